// SPDX-License-Identifier: EUPL-1.2
//! Chat templates against `golden/chat.json`, which `generate_chat.py` wrote with transformers, and what they must not
//! be able to do.

use std::time::Duration;

use mlx_tokenizer::{ChatOptions, Error, Message, Tokenizer};
use serde_json::{Map, Value, json};

use crate::{checkpoint, golden_dir};

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(golden_dir("chat.json")).unwrap()).unwrap()
}

/// A tokenizer with this template and the special tokens of the golden cases.
fn with_template(template: &str) -> (tempfile::TempDir, Tokenizer) {
    let config =
        json!({"bos_token": "<bos>", "eos_token": {"content": "<eos>"}, "pad_token": "<pad>"}).to_string();
    let files = [("chat_template.jinja", template), ("tokenizer_config.json", &config)];
    let dir = checkpoint(Some("qwen"), &files);
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    (dir, tokenizer)
}

fn options(variables: &Map<String, Value>) -> ChatOptions {
    let mut kwargs = variables.clone();
    for key in ["messages", "tools", "enable_thinking", "add_generation_prompt"] {
        kwargs.remove(key);
    }
    ChatOptions {
        add_generation_prompt: variables.get("add_generation_prompt").is_none_or(|v| v == true),
        tools: variables.get("tools").cloned(),
        enable_thinking: variables.get("enable_thinking").and_then(Value::as_bool),
        kwargs,
        ..ChatOptions::default()
    }
}

fn check(cases: &[&Value], shared: &Map<String, Value>, source: impl Fn(&Value) -> String) {
    let mut wrong = Vec::new();
    for case in cases {
        let source = source(case);
        let variables = case.get("variables").and_then(Value::as_object).unwrap_or(shared);
        let found = with_template(&source).1.render_chat(&variables["messages"], &options(variables));
        let right = match (&found, case.get("text"), case.get("error")) {
            (Ok(found), Some(expected), _) => found == expected.as_str().unwrap(),
            // The words of an exception are the template's; those of other errors are the engine's.
            (Err(Error::Template { message, .. }), None, Some(expected)) => {
                case["kind"] != "TemplateError" || message == expected.as_str().unwrap()
            }
            _ => false,
        };
        if !right {
            let expected = case.get("text").or(case.get("error")).unwrap();
            wrong.push(format!("{}\n   found {found:?}\nexpected {expected}", source.trim_end()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}

#[test]
fn whole_templates_render_as_in_transformers() {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    let whole: Vec<_> = cases.iter().filter(|case| case["template"].is_string()).collect();
    assert!(whole.len() > 40);
    check(&whole, &Map::new(), |case| {
        std::fs::read_to_string(golden_dir("chat").join(case["template"].as_str().unwrap())).unwrap()
    });
}

#[test]
fn features_of_templates_render_as_in_transformers() {
    let golden = golden();
    let cases = golden["cases"].as_array().unwrap();
    let lines: Vec<_> = cases.iter().filter(|case| case["template"].is_null()).collect();
    assert!(lines.len() > 50);
    let shared = golden["shared"].as_object().unwrap();
    check(&lines, shared, |case| case["source"].as_str().unwrap().to_owned());
}

#[test]
fn templates_come_from_the_first_place_that_has_any() {
    let messages = [Message::user("hi")];
    let render = |files: &[(&str, &str)], options: &ChatOptions| {
        let dir = checkpoint(Some("qwen"), files);
        Tokenizer::from_dir(dir.path()).unwrap().render_chat(&messages, options)
    };
    let plain = ChatOptions::default();
    let tools = ChatOptions { tools: Some(json!([])), ..ChatOptions::default() };
    let named = |name: &str| ChatOptions { template: Some(name.into()), ..ChatOptions::default() };

    let config =
        r#"{"chat_template": [{"name": "default", "template": "A"}, {"name": "tool_use", "template": "B"}]}"#;
    let config = ("tokenizer_config.json", config);
    let legacy = ("chat_template.json", r#"{"chat_template": "C"}"#);
    let folder = ("additional_chat_templates/tool_use.jinja", "D");
    let jinja = ("chat_template.jinja", "E");
    assert_eq!(render(&[jinja, config, legacy], &plain).unwrap(), "E");
    assert_eq!(render(&[jinja, folder, config], &tools).unwrap(), "D");
    assert_eq!(render(&[jinja, folder, config], &plain).unwrap(), "E");
    // The fixture has its own chat_template.jinja, so the others are seen without it.
    let bare = |files: &[(&str, &str)], options: &ChatOptions| {
        let dir = checkpoint(Some("gemma"), files);
        Tokenizer::from_dir(dir.path()).unwrap().render_chat(&messages, options)
    };
    assert_eq!(bare(&[config, legacy], &plain).unwrap(), "A");
    assert_eq!(bare(&[config, legacy], &tools).unwrap(), "B");
    assert_eq!(bare(&[config], &named("tool_use")).unwrap(), "B");
    assert_eq!(bare(&[("tokenizer_config.json", r#"{"chat_template": "F"}"#)], &tools).unwrap(), "F");
    assert_eq!(bare(&[("tokenizer_config.json", "{}"), legacy], &plain).unwrap(), "C");
    let error = bare(&[config], &named("other")).unwrap_err().to_string();
    assert_eq!(error, "template: no template named \"other\", there are: default, tool_use");
    let error = bare(&[], &plain).unwrap_err().to_string();
    assert!(error.contains("has no chat template (chat_template.jinja, or"), "{error}");
}

#[test]
fn errors_name_file_and_line() {
    for (template, line, said) in [
        ("a\n{% if %}", 2, "syntax error"),
        ("a\nb\n{{ raise_exception('no tools here') }}", 3, "no tools here"),
        ("{% macro f() %}\n{{ raise_exception('in a macro') }}{% endmacro %}{{ f() }}", 2, "in a macro"),
        ("\n\n\n{{ messages.none.role }}", 4, "undefined"),
        ("{{ strftime_now('%!') }}", 1, "strftime_now"),
        ("{% include 'config.json' %}", 1, "include"),
        ("\n{{ 'a' | nofilter }}", 2, "nofilter"),
        ("{{ 1 | tojson(indent=100000000) }}", 1, "indent"),
    ] {
        let error = with_template(template)
            .1
            .render_chat(&[Message::user("x")], &ChatOptions::default())
            .unwrap_err();
        let Error::Template { path, line: found, message } = &error else { panic!("{error:?}") };
        assert_eq!(path.file_name().unwrap(), "chat_template.jinja");
        assert!(*found == line && message.contains(said), "{template:?}: line {found}: {message}");
        assert!(!message.contains('\n'), "{message:?} is one line");
    }
}

#[test]
fn tools_and_messages_of_the_wrong_form_are_errors() {
    let (_dir, tokenizer) = with_template("x");
    let tools = ChatOptions { tools: Some(json!({"a": 1})), ..ChatOptions::default() };
    let error = tokenizer.render_chat(&[Message::user("x")], &tools).unwrap_err().to_string();
    assert_eq!(error, "tools: expected a list of JSON schemas, found an object");
    let error = tokenizer.render_chat(&json!("hi"), &ChatOptions::default()).unwrap_err().to_string();
    assert_eq!(error, "messages: expected a list, found a string");
}

/// Each of these would run, or grow, for ever, or end the process by its depth.
#[test]
fn hostile_templates_end_with_an_error() {
    let deep_source = format!("{}x{}", "{% if true %}".repeat(20_000), "{% endif %}".repeat(20_000));
    let deep_expression = format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000));
    let deep_list = format!("{{{{ {}1{} }}}}", "[".repeat(50_000), "]".repeat(50_000));
    for template in [
        "{% for a in range(90000) %}{% for b in range(90000) %}{% for c in range(90000) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
        "{{ 'x' * 100000000000 }}",
        "{{ 'abcdefgh'.replace('', 'x' * 1000000).replace('', 'x' * 1000000).replace('x', 'y' * 1000000) }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(9000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
        "{% set ns = namespace(l=[1]) %}{% for i in range(9000) %}{% set ns.l = {'a': ns.l} %}{% endfor %}{{ ns.l | tojson }}",
        "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
        "{{ range(1000000000) | list }}",
        "{{ '{:>99999999999}'.format(1) }}",
        "{{ '{:.99999999999f}'.format(1.5) }}",
        "{{ '{0:^4294967295}'.format('a') }}",
        "{{ '{:>{}}'.format('a', 99999999999) }}",
        &deep_source,
        &deep_expression,
        &deep_list,
    ] {
        let found = with_template(template).1.render_chat(&[Message::user("x")], &ChatOptions::default());
        let shown = &template[..template.len().min(80)];
        assert!(matches!(found, Err(Error::Template { .. })), "{shown}: {:?}", found.map(|text| text.len()));
    }
}

/// Two values that hold themselves 2⁹⁹ times over are compared: the engine counts no steps for that.
#[test]
fn what_the_budget_does_not_see_ends_with_the_time() {
    let template = "{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(99) %}{% set ns.l = [ns.l, ns.l] %}\
                    {% set ns.m = [ns.m, ns.m] %}{% endfor %}{{ ns.l == ns.m }}";
    let options = ChatOptions { time_limit: Duration::from_millis(300), ..ChatOptions::default() };
    let error = with_template(template).1.render_chat(&[Message::user("x")], &options).unwrap_err();
    assert!(error.to_string().ends_with("the template takes longer than 300ms"), "{error}");
}

#[test]
fn values_nested_as_deep_as_the_budget_allows_are_dropped_without_harm() {
    let template = "{% set ns = namespace(l=[1]) %}{% for j in range(9) %}{% for i in range(90000) %}{% set ns.l = [ns.l] %}\
                    {% endfor %}{% endfor %}";
    let found = with_template(template).1.render_chat(&[Message::user("x")], &ChatOptions::default());
    assert!(matches!(found, Err(Error::Template { .. })), "{found:?}");
}

#[test]
fn long_conversations_stay_within_the_budget() {
    let template = std::fs::read_to_string(golden_dir("chat/thinker.jinja")).unwrap();
    let (_dir, tokenizer) = with_template(&template);
    let mut messages = Vec::new();
    for turn in 0..2000 {
        messages.push(Message::user(format!("question {turn}")));
        messages.push(Message::assistant("x".repeat(200)));
    }
    let text = tokenizer.render_chat(&messages, &ChatOptions::default()).unwrap();
    assert!(text.contains("question 1999") && text.len() > 400_000);
}

#[test]
fn a_conversation_is_encoded_with_the_special_tokens_that_the_template_writes() {
    let tokenizer = Tokenizer::from_dir(golden_dir("gemma")).unwrap();
    assert!(tokenizer.bos().is_some());
    let template = std::fs::read_to_string(golden_dir("chat/turns.jinja")).unwrap();
    let dir = checkpoint(Some("gemma"), &[("chat_template.jinja", &template)]);
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    let messages = [Message::user("What is the weather?")];
    let ids = tokenizer.encode_chat(&messages, &ChatOptions::default()).unwrap();
    let bos = tokenizer.bos().unwrap();
    assert_eq!(ids.iter().filter(|id| **id == bos).count(), 1);
    assert_eq!(ids[0], bos);
    assert_eq!(ids[1], tokenizer.id("<start_of_turn>").unwrap());
    let text = tokenizer.render_chat(&messages, &ChatOptions::default()).unwrap();
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
}
