// SPDX-License-Identifier: EUPL-1.2
//! Chat templates: a conversation → the text that the model was trained on.
//!
//! Templates are written for Jinja and Python, and rendered here by `minijinja` with what transformers sets up around
//! Jinja: blocks trimmed, `tojson` that escapes no HTML, `raise_exception`, `strftime_now`, `generation` blocks, loop
//! controls, Python's methods and its way to write values. A template is a program of somebody else: it runs with a
//! budget of steps and memory, reads nothing but the conversation, and on a stack that is large enough for
//! whatever the budget allows it to build.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::{python, special};

/// Steps that any rendering may take; a step is an instruction or 64 bytes. A long conversation takes thousands.
const STEPS: u64 = 2_000_000;

/// Steps more for each byte of the conversation, so that no length of it exhausts an honest template.
const STEPS_PER_BYTE: u64 = 8;

/// The stack for rendering, in bytes; only what is used of it is ever memory. A value that is nested as deep as the
/// budget allows takes a frame for each level when it is dropped.
const STACK: usize = 256 << 20;

/// One turn of a conversation.
///
/// A plain message has a role and a text. Templates know more keys (`tool_calls`, `reasoning_content`, `name`) and
/// other contents (lists of parts): they go into `content` and `extra`, or the whole conversation is given as a
/// [`serde_json::Value`] instead.
#[derive(Debug, Clone, PartialEq, Serialize, serde::Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or what else the template knows.
    pub role: String,
    /// The text, or what else the template takes; null where there is none.
    #[serde(default)]
    pub content: Value,
    /// Further keys.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<String>, content: impl Into<Value>) -> Message {
        Message { role: role.into(), content: content.into(), extra: Map::new() }
    }

    /// Instructions for the whole conversation.
    pub fn system(content: impl Into<Value>) -> Message {
        Message::new("system", content)
    }

    /// What the user says.
    pub fn user(content: impl Into<Value>) -> Message {
        Message::new("user", content)
    }

    /// What the model said.
    pub fn assistant(content: impl Into<Value>) -> Message {
        Message::new("assistant", content)
    }

    /// What a tool answered.
    pub fn tool(content: impl Into<Value>) -> Message {
        Message::new("tool", content)
    }

    /// The same message with one more key.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Message {
        self.extra.insert(key.into(), value.into());
        self
    }

    /// The content where it is plain text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.content.as_str()
    }
}

/// What a template is told beside the conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatOptions {
    /// Ends the text with the beginning of the model's turn. Default: true.
    pub add_generation_prompt: bool,
    /// The tools that the model may call: a list of JSON schemas. With them, a template named `tool_use` is preferred.
    pub tools: Option<Value>,
    /// Whether the model is to think first, for templates that ask; absent, the template's own default holds.
    pub enable_thinking: Option<bool>,
    /// The name of the template, where the checkpoint has several. Default: `tool_use` with tools, else `default`.
    pub template: Option<String>,
    /// How long rendering may take. Default: 30 s, which is a thousand times what any conversation takes. It ends
    /// what the budget of steps does not see: an engine that compares or writes values which hold each other many
    /// times over. The thread that does it cannot be stopped, and runs until the process ends.
    pub time_limit: Duration,
    /// Any other variables; they take precedence over everything above.
    pub kwargs: Map<String, Value>,
}

impl Default for ChatOptions {
    fn default() -> ChatOptions {
        ChatOptions {
            add_generation_prompt: true,
            tools: None,
            enable_thinking: None,
            template: None,
            time_limit: Duration::from_secs(30),
            kwargs: Map::new(),
        }
    }
}

/// A template as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// The chat templates of a checkpoint, compiled.
pub struct ChatTemplate {
    sources: Vec<Source>,
    environment: Environment<'static>,
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("names", &self.names().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl ChatTemplate {
    pub(crate) fn new(sources: Vec<Source>) -> ChatTemplate {
        ChatTemplate { sources, environment: environment() }
    }

    /// The names of the templates; one that stands alone is `default`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.iter().map(|source| source.name.as_str())
    }

    /// The text of the template of that name.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&str> {
        self.sources.iter().find(|source| source.name == name).map(|source| source.text.as_str())
    }

    /// Renders a conversation. `names` are the special tokens, by their keys in `tokenizer_config.json`.
    pub(crate) fn render<M: Serialize + ?Sized>(
        &self,
        messages: &M,
        options: &ChatOptions,
        names: &Map<String, Value>,
    ) -> Result<String> {
        let source = self.choose(options)?;
        let messages = check_messages(messages)?;
        if let Some(tools) = options.tools.as_ref().filter(|tools| !tools.is_array()) {
            let message = format!("expected a list of JSON schemas, found {}", special::kind(tools));
            return Err(Error::Argument { argument: "tools", message });
        }

        // Absent tools and documents are none, not undefined, as transformers passes them.
        let mut context = names.clone();
        context.insert("messages".into(), messages);
        context.insert("tools".into(), options.tools.clone().unwrap_or(Value::Null));
        context.insert("documents".into(), Value::Null);
        context.insert("add_generation_prompt".into(), options.add_generation_prompt.into());
        if let Some(thinking) = options.enable_thinking {
            context.insert("enable_thinking".into(), thinking.into());
        }
        context.extend(options.kwargs.iter().map(|(key, value)| (key.clone(), value.clone())));
        let context = Value::Object(context);
        let steps = STEPS.saturating_add(STEPS_PER_BYTE.saturating_mul(size(&context)));

        let mut environment = self.environment.clone();
        environment.set_fuel(Some(steps));
        let (sender, receiver) = mpsc::sync_channel(1);
        let moved = source.clone();
        let work = move || {
            let text = generation_blocks(&moved.text);
            let rendered = environment
                .render_named_str(&moved.name, &text, Serde(&context))
                .map_err(|error| describe(&moved, &error));
            // Nobody listens any more once the time is up.
            let _ = sender.send(rendered);
        };
        std::thread::Builder::new()
            .name("chat template".into())
            .stack_size(STACK)
            .spawn(work)
            .map_err(|error| Error::Io { path: source.path.clone(), source: error })?;
        let failed = |message: String| Error::Template { path: source.path.clone(), line: 0, message };
        match receiver.recv_timeout(options.time_limit) {
            Ok(rendered) => rendered,
            Err(RecvTimeoutError::Timeout) => {
                Err(failed(format!("the template takes longer than {:?}", options.time_limit)))
            }
            Err(RecvTimeoutError::Disconnected) => Err(failed("the template engine failed inside".into())),
        }
    }

    fn choose(&self, options: &ChatOptions) -> Result<&Source> {
        let find = |name: &str| self.sources.iter().find(|source| source.name == name);
        let found = match &options.template {
            Some(name) => find(name),
            None => options.tools.as_ref().and_then(|_| find("tool_use")).or_else(|| find("default")),
        };
        found.ok_or_else(|| {
            let names = self.names().collect::<Vec<_>>().join(", ");
            let wanted = options.template.as_deref().unwrap_or("default");
            Error::Argument {
                argument: "template",
                message: format!("no template named {wanted:?}, there are: {names}"),
            }
        })
    }
}

/// A conversation is a list of objects, each with a role.
fn check_messages<M: Serialize + ?Sized>(messages: &M) -> Result<Value> {
    let wrong = |message: String| Error::Argument { argument: "messages", message };
    let messages =
        serde_json::to_value(messages).map_err(|e| wrong(format!("cannot be written as JSON: {e}")))?;
    let Value::Array(list) = &messages else {
        return Err(wrong(format!("expected a list, found {}", special::kind(&messages))));
    };
    for (index, message) in list.iter().enumerate() {
        match message.get("role") {
            Some(Value::String(_)) => {}
            Some(other) => {
                return Err(wrong(format!(
                    "message {index}: role: expected a string, found {}",
                    special::kind(other)
                )));
            }
            None if message.is_object() => return Err(wrong(format!("message {index} has no role"))),
            None => {
                return Err(wrong(format!(
                    "message {index}: expected an object, found {}",
                    special::kind(message)
                )));
            }
        }
    }
    Ok(messages)
}

/// About how many bytes a value has.
fn size(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64 + 2,
        Value::Array(list) => list.iter().map(size).sum::<u64>() + 2,
        Value::Object(object) => {
            object.iter().map(|(key, value)| key.len() as u64 + size(value) + 4).sum::<u64>() + 2
        }
        _ => 4,
    }
}

/// The error as its file, line and message.
fn describe(source: &Source, error: &minijinja::Error) -> Error {
    let line = error.line().unwrap_or(0);
    let mut message = match error.detail() {
        Some(detail) if error.source().is_some_and(|e| e.is::<Raised>()) => detail.to_owned(),
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    if error.kind() == ErrorKind::OutOfFuel {
        message = "the template takes more steps or memory than any conversation needs".into();
    }
    Error::Template { path: source.path.clone(), line, message }
}

/// Marks what `raise_exception` raises: its message is the template author's and needs no words around it.
#[derive(Debug)]
struct Raised;

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("raised by the template")
    }
}

impl std::error::Error for Raised {}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    minijinja_contrib::add_to_environment(&mut environment);
    if let Ok(syntax) = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build() {
        environment.set_syntax(syntax);
    }
    // Nothing is HTML here, whatever a template is called.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(python::formatter);
    environment.set_unknown_method_callback(python::method);
    environment.add_filter("tojson", python::tojson);
    environment.add_test("iterable", python::is_iterable);
    environment.add_function("raise_exception", |message: String| -> Result<String, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message).with_source(Raised))
    });
    environment.add_function("strftime_now", |format: String| strftime(&format, &jiff::ZonedDateTime::now()));
    environment
}

fn strftime(format: &str, time: &jiff::ZonedDateTime) -> Result<String, minijinja::Error> {
    jiff::fmt::strtime::format(format, time).map_err(|e| {
        minijinja::Error::new(ErrorKind::InvalidOperation, format!("strftime_now({format:?}): {e}"))
    })
}

/// Writes `generation` blocks as blocks that the engine knows.
///
/// They mark what the model said, for training, and change nothing of the text. `with` keeps two things of them: what
/// is set inside stays inside, and the marks for white space stay where they were.
fn generation_blocks(source: &str) -> Cow<'_, str> {
    if !source.contains("generation") {
        return Cow::Borrowed(source);
    }
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{#")).chain(rest.find("{{")).min() {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let length = tag_length(tag);
        let (tag, after) = tag.split_at(length);
        match generation_word(tag) {
            Some((range, word)) => {
                out.push_str(tag.get(..range.start).unwrap_or(""));
                out.push_str(word);
                out.push_str(tag.get(range.end..).unwrap_or(""));
            }
            None => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The length of the tag, comment or expression that `text` begins with; all of the text where it does not end.
fn tag_length(text: &str) -> usize {
    let end = match text.as_bytes().get(1) {
        Some(b'%') => "%}",
        Some(b'#') => "#}",
        _ => "}}",
    };
    let comment = end == "#}";
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(2) {
        if let Some(open) = quote {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == open => quote = None,
                _ => {}
            }
        } else if !comment && matches!(c, '"' | '\'') {
            quote = Some(c);
        } else if text.get(at..).is_some_and(|rest| rest.starts_with(end)) {
            return at + 2;
        }
    }
    text.len()
}

/// Where the word stands in `{%- generation -%}` and its end, and the word that replaces it.
fn generation_word(tag: &str) -> Option<(std::ops::Range<usize>, &'static str)> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let word = inner.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '+'));
    let replacement = match word {
        "generation" => "with",
        "endgeneration" => "endwith",
        _ => return None,
    };
    let start = tag.find(word)?;
    Some((start..start + word.len(), replacement))
}

/// The templates of a `chat_template` key: a string, or a list of named ones.
pub(crate) fn sources_of(path: &Path, value: &Value) -> Result<Vec<Source>> {
    let source =
        |name: &str, text: &str| Source { name: name.into(), path: path.to_owned(), text: text.into() };
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![source("default", text)]),
        Value::Array(list) => list
            .iter()
            .enumerate()
            .map(|(index, entry)| match (entry.get("name"), entry.get("template")) {
                (Some(Value::String(name)), Some(Value::String(text))) => Ok(source(name, text)),
                _ => Err(Error::key(
                    path,
                    format!("chat_template[{index}]"),
                    "expected an object with the strings `name` and `template`",
                )),
            })
            .collect(),
        other => {
            let message =
                format!("expected a string or a list of named templates, found {}", special::kind(other));
            Err(Error::key(path, "chat_template", message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn generation_blocks_become_scopes_and_nothing_else_changes() {
        for (source, expected) in [
            ("a{% generation %}b{% endgeneration %}", "a{% with %}b{% endwith %}"),
            ("{%- generation -%}x{%+ endgeneration %}", "{%- with -%}x{%+ endwith %}"),
            ("{%generation%}{%endgeneration%}", "{%with%}{%endwith%}"),
            ("{# {% generation %} #}", "{# {% generation %} #}"),
            ("{{ '{% generation %}' }}", "{{ '{% generation %}' }}"),
            ("{% if add_generation_prompt %}generation", "{% if add_generation_prompt %}generation"),
            ("{% set a = '%}generation' %}", "{% set a = '%}generation' %}"),
            ("{% generation", "{% generation"),
            ("é{{ 'it\\'s }} generation' }}", "é{{ 'it\\'s }} generation' }}"),
        ] {
            assert_eq!(generation_blocks(source), expected);
        }
    }

    #[test]
    fn strftime_follows_python() {
        let time: jiff::ZonedDateTime = "2024-07-06T05:04:03[UTC]".parse().unwrap();
        // Each pair was printed by Python 3.11 for that time.
        for (format, text) in [
            ("%d %b %Y", "06 Jul 2024"),
            ("%Y-%m-%d", "2024-07-06"),
            ("%B %d, %Y", "July 06, 2024"),
            ("%A %a %j", "Saturday Sat 188"),
            ("%H:%M:%S %I %p", "05:04:03 05 AM"),
            ("%-d %% %y", "6 % 24"),
        ] {
            assert_eq!(strftime(format, &time).unwrap(), text);
        }
        assert!(strftime("%!", &time).unwrap_err().to_string().contains("strftime_now"));
    }

    #[test]
    fn messages_are_checked() {
        for (messages, expected) in [
            (json!({"role": "user"}), "messages: expected a list, found an object"),
            (json!(["hi"]), "messages: message 0: expected an object, found a string"),
            (json!([{"role": "user"}, {"content": "x"}]), "messages: message 1 has no role"),
            (json!([{"role": 3}]), "messages: message 0: role: expected a string, found a number"),
        ] {
            assert_eq!(check_messages(&messages).unwrap_err().to_string(), expected);
        }
        let message = Message::user("hi").with("name", "Ada");
        assert_eq!(
            check_messages(&[message]).unwrap().to_string(),
            r#"[{"role":"user","content":"hi","name":"Ada"}]"#
        );
    }

    #[test]
    fn chat_template_key_is_checked() {
        let path = Path::new("t.json");
        assert_eq!(sources_of(path, &json!("x")).unwrap()[0].name, "default");
        let named = sources_of(path, &json!([{"name": "tool_use", "template": "t"}])).unwrap();
        assert_eq!((named[0].name.as_str(), named[0].text.as_str()), ("tool_use", "t"));
        let error = sources_of(path, &json!([{"name": "a"}])).unwrap_err().to_string();
        assert_eq!(
            error,
            "t.json: chat_template[0]: expected an object with the strings `name` and `template`"
        );
        let error = sources_of(path, &json!(3)).unwrap_err().to_string();
        assert_eq!(
            error,
            "t.json: chat_template: expected a string or a list of named templates, found a number"
        );
    }
}
