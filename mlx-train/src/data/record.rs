// SPDX-License-Identifier: EUPL-1.2
//! One line of a data file.

use mlx_models::Message;
use serde_json::{Map, Value};

/// What one line teaches.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// `{"messages": [..], "tools": [..]}`: a conversation; `tools` may be absent.
    Chat {
        /// The turns.
        messages: Vec<Message>,
        /// The tools that the model may call: a list of JSON schemas.
        tools: Option<Value>,
    },
    /// `{"prompt": .., "completion": .., "tools": [..]}`: what is given, and what is to be answered.
    Completion {
        /// What is given.
        prompt: Text,
        /// What is to be answered.
        completion: Text,
        /// The tools that the model may call: a list of JSON schemas.
        tools: Option<Value>,
    },
    /// `{"text": ".."}`: text to be continued, from its first word on.
    Text(String),
}

/// A prompt or a completion.
#[derive(Debug, Clone, PartialEq)]
pub enum Text {
    /// A text.
    Plain(String),
    /// Turns of a conversation.
    Messages(Vec<Message>),
}

/// The keys that the parts of a record stand under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Default: `messages`.
    pub messages: String,
    /// Default: `tools`.
    pub tools: String,
    /// Default: `prompt`.
    pub prompt: String,
    /// Default: `completion`.
    pub completion: String,
    /// Default: `text`.
    pub text: String,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys {
            messages: "messages".into(),
            tools: "tools".into(),
            prompt: "prompt".into(),
            completion: "completion".into(),
            text: "text".into(),
        }
    }
}

impl Keys {
    /// Two parts under one key; one of them would be read as the other.
    pub(crate) fn clash(&self) -> Option<&str> {
        let keys = [&self.messages, &self.tools, &self.prompt, &self.completion, &self.text];
        let twice =
            keys.iter().enumerate().find(|(index, key)| keys.iter().skip(index + 1).any(|k| k == *key));
        twice.map(|(_, key)| key.as_str())
    }
}

impl Record {
    /// Parses one line. Where it has keys of several forms, a prompt with a completion goes before messages, and these
    /// before a text, as in mlx-lm; keys of no form are ignored.
    pub(crate) fn parse(line: &str, keys: &Keys) -> Result<Record, String> {
        let value: Value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
        let Value::Object(mut object) = value else {
            return Err(format!("expected an object, found {}", kind(&value)));
        };
        let tools = tools(&keys.tools, object.remove(&keys.tools))?;
        let has = |object: &Map<String, Value>, key: &str| object.get(key).is_some_and(|v| !v.is_null());
        if has(&object, &keys.prompt) && has(&object, &keys.completion) {
            let prompt = text(&keys.prompt, object.remove(&keys.prompt))?;
            let completion = text(&keys.completion, object.remove(&keys.completion))?;
            return Ok(Record::Completion { prompt, completion, tools });
        }
        if has(&object, &keys.messages) {
            let messages = messages(&keys.messages, object.remove(&keys.messages))?;
            return Ok(Record::Chat { messages, tools });
        }
        match object.remove(&keys.text).filter(|value| !value.is_null()) {
            Some(Value::String(text)) => Ok(Record::Text(text)),
            Some(other) => Err(format!("{}: expected a string, found {}", keys.text, kind(&other))),
            None => Err(format!(
                "expected the key {:?}, or {:?} with {:?}, or {:?}; found {}",
                keys.messages,
                keys.prompt,
                keys.completion,
                keys.text,
                names(&object)
            )),
        }
    }
}

fn tools(key: &str, value: Option<Value>) -> Result<Option<Value>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(list @ Value::Array(_)) => Ok(Some(list)),
        Some(other) => Err(format!("{key}: expected a list of JSON schemas, found {}", kind(&other))),
    }
}

fn text(key: &str, value: Option<Value>) -> Result<Text, String> {
    match value {
        Some(Value::String(text)) => Ok(Text::Plain(text)),
        Some(Value::Array(_)) => messages(key, value).map(Text::Messages),
        other => Err(format!(
            "{key}: expected a string or a list of messages, found {}",
            kind(&other.unwrap_or_default())
        )),
    }
}

fn messages(key: &str, value: Option<Value>) -> Result<Vec<Message>, String> {
    let list = match value {
        Some(Value::Array(list)) => list,
        other => {
            let found = kind(&other.unwrap_or_default());
            return Err(format!("{key}: expected a list of messages, found {found}"));
        }
    };
    if list.is_empty() {
        return Err(format!("{key}: expected at least one message"));
    }
    let message = |(index, value): (usize, Value)| {
        if !value.is_object() {
            return Err(format!("{key}: message {index}: expected an object, found {}", kind(&value)));
        }
        serde_json::from_value(value).map_err(|error| format!("{key}: message {index}: {error}"))
    };
    list.into_iter().enumerate().map(message).collect()
}

/// The keys of an object, in words.
fn names(object: &Map<String, Value>) -> String {
    const SHOWN: usize = 8;
    if object.is_empty() {
        return "none".into();
    }
    let mut names: Vec<String> = object.keys().take(SHOWN).map(|key| format!("{key:?}")).collect();
    if object.len() > SHOWN {
        names.push("..".into());
    }
    names.join(", ")
}

/// What a value is, in words.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(value: &Value) -> Result<Record, String> {
        Record::parse(&value.to_string(), &Keys::default())
    }

    #[test]
    fn each_form_is_recognised() {
        let turn = json!({"role": "user", "content": "hi"});
        let schemas = json!([{"name": "f"}]);
        let messages = vec![Message::user("hi")];
        assert_eq!(
            parse(&json!({"messages": [turn], "tools": schemas, "id": 3})).unwrap(),
            Record::Chat { messages: messages.clone(), tools: Some(schemas) }
        );
        assert_eq!(
            parse(&json!({"prompt": [turn], "completion": "yes", "tools": null})).unwrap(),
            Record::Completion {
                prompt: Text::Messages(messages),
                completion: Text::Plain("yes".into()),
                tools: None
            }
        );
        assert_eq!(parse(&json!({"text": "a"})).unwrap(), Record::Text("a".into()));
    }

    #[test]
    fn forms_have_the_order_of_mlx_lm_and_null_is_absent() {
        let all = json!({"text": "t", "prompt": "p", "completion": "c", "messages": [{"role": "user"}]});
        assert!(matches!(parse(&all).unwrap(), Record::Completion { .. }));
        let chat = json!({"text": "t", "prompt": "p", "completion": null, "messages": [{"role": "user"}]});
        assert!(matches!(parse(&chat).unwrap(), Record::Chat { .. }));
        assert_eq!(parse(&json!({"text": "t", "messages": null})).unwrap(), Record::Text("t".into()));
    }

    #[test]
    fn keys_may_be_renamed() {
        let keys = Keys { prompt: "question".into(), completion: "answer".into(), ..Keys::default() };
        let line = r#"{"question": "a", "answer": "b", "prompt": 3}"#;
        let expected = Record::Completion {
            prompt: Text::Plain("a".into()),
            completion: Text::Plain("b".into()),
            tools: None,
        };
        assert_eq!(Record::parse(line, &keys).unwrap(), expected);
        assert_eq!(keys.clash(), None);
        assert_eq!(Keys { text: "prompt".into(), ..Keys::default() }.clash(), Some("prompt"));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        for (line, message) in [
            ("[1]", "expected an object, found a list"),
            (
                r#"{"a": 1, "b": 2}"#,
                r#"expected the key "messages", or "prompt" with "completion", or "text"; found "a", "b""#,
            ),
            ("{}", r#"expected the key "messages", or "prompt" with "completion", or "text"; found none"#),
            (r#"{"text": 3}"#, "text: expected a string, found a number"),
            (r#"{"messages": {}}"#, "messages: expected a list of messages, found an object"),
            (r#"{"messages": []}"#, "messages: expected at least one message"),
            (r#"{"messages": ["hi"]}"#, "messages: message 0: expected an object, found a string"),
            (
                r#"{"messages": [{"role": "user"}, {"content": "x"}]}"#,
                "messages: message 1: missing field `role`",
            ),
            (
                r#"{"prompt": 1, "completion": "x"}"#,
                "prompt: expected a string or a list of messages, found a number",
            ),
            (r#"{"text": "a", "tools": {}}"#, "tools: expected a list of JSON schemas, found an object"),
        ] {
            assert_eq!(Record::parse(line, &Keys::default()).unwrap_err(), message, "{line}");
        }
        let error = Record::parse(r#"{"text": "a"#, &Keys::default()).unwrap_err();
        assert!(error.starts_with("not JSON: EOF while parsing a string"), "{error}");
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Record::parse(&deep, &Keys::default()).unwrap_err().contains("recursion limit"));
    }
}
