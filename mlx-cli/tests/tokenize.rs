// SPDX-License-Identifier: EUPL-1.2
//! `mlx tokenize`

use serde_json::Value;

use crate::support::{Copy, gemma, golden, keys, listed, mlx, mlx_reading, qwen};

#[test]
fn text_becomes_ids_and_pieces_and_text_again() {
    let text = "Schönen Tag. 🌞";
    for model in [qwen(), gemma()] {
        let tokens = mlx(&["tokenize", "--model", &model, "--prompt", text, "--json"]).json();
        assert_eq!(keys(&tokens), ["pieces", "text", "token_ids"]);
        assert_eq!(tokens["text"], text);
        let ids: Vec<u64> =
            tokens["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        assert_eq!(tokens["pieces"].as_array().unwrap().len(), ids.len());
        let back = mlx(&["tokenize", "--model", &model, "--decode", &listed(&ids)]).text();
        assert_eq!(back.trim_start_matches("<bos>"), format!("{text}\n"));
    }
}

#[test]
fn a_bos_comes_only_where_the_tokenizer_asks_for_it() {
    let first = |model: &str| {
        mlx(&["tokenize", "--model", model, "--prompt", "Hello", "--json"]).json()["pieces"][0].clone()
    };
    assert_eq!(first(&gemma()), "<bos>");
    assert_ne!(first(&qwen()), "<|endoftext|>");
}

#[test]
fn messages_are_rendered_with_the_template() {
    let copy = Copy::of("tiny-chat-qwen3").write(
        "messages.json",
        r#"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello!"}]"#,
    );
    let messages = copy.file("messages.json");
    let args = ["tokenize", "--model", copy.path(), "--messages", messages.to_str().unwrap()];
    let expected = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello!<|im_end|>\n<|im_start|>assistant\n";
    let tokens = mlx(&[&args[..], &["--json"]].concat()).json();
    assert_eq!(tokens["text"], expected);
    assert_eq!(tokens["pieces"][0], "<|im_start|>");
    assert!(mlx(&args).text().starts_with(expected));
    // What generate feeds the model is the same.
    let prompt =
        mlx(&["generate", "--model", copy.path(), "--prompt", "Hello!", "--system", "Be brief.", "--json"])
            .json();
    assert_eq!(prompt["prompt_tokens"], tokens["token_ids"].as_array().unwrap().len());
}

#[test]
fn tools_and_keyword_arguments_reach_the_template() {
    let template = "{{ tools[0].name }} {{ enable_thinking }} {{ colour }} {{ messages[0].content }}";
    let copy = Copy::of("tiny-chat-qwen3")
        .write("chat_template.jinja", template)
        .write("messages.json", r#"[{"role": "user", "content": "hi"}]"#)
        .write("tools.json", r#"[{"name": "look_up"}]"#);
    let (messages, tools) = (copy.file("messages.json"), copy.file("tools.json"));
    let args = ["tokenize", "--model", copy.path(), "--messages", messages.to_str().unwrap()];
    let more = [
        "--tools",
        tools.to_str().unwrap(),
        "--template-kwargs",
        r#"{"enable_thinking": false, "colour": "red"}"#,
    ];
    let tokens = mlx(&[&args[..], &more, &["--json"]].concat()).json();
    assert_eq!(tokens["text"].as_str().unwrap().to_lowercase(), "look_up false red hi");
    mlx(&[&args[..], &["--template-kwargs", "[1]"]].concat()).fails(2, &["--template-kwargs", "JSON object"]);
    mlx(&[&args[..], &["--template-kwargs", "{"]].concat())
        .fails(2, &["--template-kwargs", "not valid JSON"]);
    mlx(&["tokenize", "--model", copy.path(), "--tools", "x.json"]).fails(2, &["--messages"]);
}

#[test]
fn a_template_that_refuses_says_why() {
    let copy = Copy::of("tiny-chat-qwen3")
        .write("chat_template.jinja", "{{ raise_exception('roles must take turns') }}")
        .write("messages.json", r#"[{"role": "user", "content": "hi"}]"#);
    let messages = copy.file("messages.json");
    mlx(&["tokenize", "--model", copy.path(), "--messages", messages.to_str().unwrap()])
        .fails(1, &["chat_template.jinja", "roles must take turns"]);
}

#[test]
fn lines_show_id_and_piece() {
    let tokens = mlx(&["tokenize", "--model", &qwen(), "--prompt", "Hello!", "--json"]).json();
    let lines = mlx_reading(&["tokenize", "--model", &qwen()], b"Hello!").text();
    let ids: Vec<Value> =
        lines.lines().map(|line| line.split('\t').next().unwrap().parse::<u64>().unwrap().into()).collect();
    assert_eq!(Value::from(ids), tokens["token_ids"]);
}

#[test]
fn weights_are_not_needed() {
    let copy = Copy::of("tiny-chat-gemma3").remove("model.safetensors");
    assert!(mlx(&["tokenize", "--model", copy.path(), "--prompt", "Hello!"]).text().contains("<bos>"));
}

#[test]
fn what_cannot_be_tokenized_is_an_error_that_says_why() {
    mlx(&["tokenize", "--model", &golden("qwen3-tied"), "--prompt", "x"])
        .fails(1, &["qwen3-tied", "tokenizer.json"]);
    mlx(&["tokenize", "--model", &qwen(), "--decode", "1,480"]).fails(1, &["--decode", "480", "vocabulary"]);
    mlx(&["tokenize", "--model", &qwen(), "--messages", "no/such.json"]).fails(1, &["no/such.json"]);
    let copy = Copy::of("tiny-chat-qwen3").write("m.json", "{").write("n.json", r#"{"role": "user"}"#);
    let file = |name| copy.file(name).to_str().unwrap().to_owned();
    mlx(&["tokenize", "--model", copy.path(), "--messages", &file("m.json")])
        .fails(1, &["m.json", "not valid JSON"]);
    mlx(&["tokenize", "--model", copy.path(), "--messages", &file("n.json")])
        .fails(1, &["messages", "n.json"]);
    mlx_reading(&["tokenize", "--model", &qwen()], b"ab\xff")
        .fails(1, &["standard input", "UTF-8", "2 bytes"]);
}
