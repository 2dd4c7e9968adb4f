// SPDX-License-Identifier: EUPL-1.2
//! Special tokens: their names, BOS and EOS around a text, and the ids that end a generation.

use std::path::Path;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Keys whose value is a token wherever they appear. Other keys that end in `_token` may be anything.
const KNOWN: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// What the files beside the tokenizer say about special tokens.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Special {
    /// `bos_token` and the like, as templates see them: strings, and lists of strings.
    pub(crate) names: Map<String, Value>,
    /// `add_bos_token` and `add_eos_token`, where the file says anything about them.
    pub(crate) add_bos: Option<bool>,
    pub(crate) add_eos: Option<bool>,
}

impl Special {
    /// Takes over what a `tokenizer_config.json` or `special_tokens_map.json` says; what is there already stays.
    pub(crate) fn read(&mut self, path: &Path, file: &Map<String, Value>) -> Result<()> {
        for (key, value) in file {
            match key.as_str() {
                "add_bos_token" => self.add_bos = self.add_bos.or(flag(path, key, value)?),
                "add_eos_token" => self.add_eos = self.add_eos.or(flag(path, key, value)?),
                "additional_special_tokens" => {
                    let Value::Array(list) = value else { continue };
                    let names =
                        list.iter().map(|token| content(path, key, token)).collect::<Result<Vec<_>>>()?;
                    let names = names.into_iter().flatten().map(Value::from).collect::<Vec<_>>();
                    self.names.entry(key.clone()).or_insert(Value::Array(names));
                }
                _ if key.ends_with("_token") => {
                    let name = match content(path, key, value) {
                        // Only the names that every tokenizer knows have to be names.
                        Err(error) if KNOWN.contains(&key.as_str()) => return Err(error),
                        other => other.unwrap_or(None),
                    };
                    if let Some(name) = name {
                        self.names.entry(key.clone()).or_insert(Value::from(name));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The name under a key such as `eos_token`.
    pub(crate) fn name(&self, key: &str) -> Option<&str> {
        self.names.get(key).and_then(Value::as_str)
    }
}

fn flag(path: &Path, key: &str, value: &Value) -> Result<Option<bool>> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        other => Err(Error::key(path, key, format!("expected true or false, found {}", kind(other)))),
    }
}

/// A token is written as its text, or as an object with the text under `content`.
fn content(path: &Path, key: &str, value: &Value) -> Result<Option<String>> {
    let text = match value {
        Value::Null => return Ok(None),
        // Flags such as `split_special_token` end like the name of a token and are none.
        Value::Bool(_) => return Ok(None),
        Value::Object(object) => object.get("content").unwrap_or(value),
        other => other,
    };
    match text {
        Value::String(text) => Ok(Some(text.clone())),
        other => Err(Error::key(path, key, format!("expected a string, found {}", kind(other)))),
    }
}

/// The ids under `eos_token_id` of `generation_config.json` or `config.json`, and under the same key of `text_config`.
pub(crate) fn eos_of(path: &Path, file: &Map<String, Value>, ids: &mut Vec<u32>) -> Result<()> {
    ids_under(path, "eos_token_id", file.get("eos_token_id"), ids)?;
    match file.get("text_config") {
        Some(Value::Object(text)) => {
            ids_under(path, "text_config.eos_token_id", text.get("eos_token_id"), ids)
        }
        _ => Ok(()),
    }
}

fn ids_under(path: &Path, key: &str, value: Option<&Value>, ids: &mut Vec<u32>) -> Result<()> {
    let list = match value {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) => list.as_slice(),
        Some(single) => std::slice::from_ref(single),
    };
    for value in list {
        let id = value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
            let found = if value.is_number() { value.to_string() } else { kind(value).to_owned() };
            Error::key(path, key, format!("expected an id or a list of ids, found {found}"))
        })?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(())
}

/// What a value is, in words.
pub(crate) fn kind(value: &Value) -> &'static str {
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

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn eos_takes_integers_lists_and_the_nested_config() {
        let path = Path::new("config.json");
        let mut ids = Vec::new();
        eos_of(path, &map(json!({"eos_token_id": [1, 106]})), &mut ids).unwrap();
        eos_of(path, &map(json!({"eos_token_id": 1, "text_config": {"eos_token_id": 7}})), &mut ids).unwrap();
        eos_of(path, &map(json!({"eos_token_id": null, "text_config": null})), &mut ids).unwrap();
        assert_eq!(ids, [1, 106, 7]);
    }

    #[test]
    fn eos_rejects_what_is_no_id() {
        for (value, found) in [
            (json!("</s>"), "a string"),
            (json!(-1), "-1"),
            (json!(1.5), "1.5"),
            (json!(4294967296u64), "4294967296"),
            (json!([1, [2]]), "a list"),
        ] {
            let error =
                eos_of(Path::new("config.json"), &map(json!({"eos_token_id": value})), &mut Vec::new())
                    .unwrap_err();
            let expected =
                format!("config.json: eos_token_id: expected an id or a list of ids, found {found}");
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn names_are_strings_or_objects_and_the_first_file_wins() {
        let mut special = Special::default();
        let config = json!({"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null,
            "add_bos_token": true, "split_special_token": false, "image_token": "<i>", "other_token": 7, "additional_special_tokens": ["a", {"content": "b"}]});
        special.read(Path::new("tokenizer_config.json"), &map(config)).unwrap();
        special
            .read(Path::new("special_tokens_map.json"), &map(json!({"bos_token": "x", "pad_token": "p"})))
            .unwrap();
        assert_eq!((special.name("bos_token"), special.name("eos_token")), (Some("<s>"), Some("</s>")));
        assert_eq!((special.name("pad_token"), special.name("image_token")), (Some("p"), Some("<i>")));
        assert_eq!(special.name("other_token"), None);
        assert_eq!((special.add_bos, special.add_eos), (Some(true), None));
        assert_eq!(special.names["additional_special_tokens"], json!(["a", "b"]));

        let error = special.read(Path::new("t.json"), &map(json!({"eos_token": 3}))).unwrap_err();
        assert_eq!(error.to_string(), "t.json: eos_token: expected a string, found a number");
        let error = special.read(Path::new("t.json"), &map(json!({"add_bos_token": "yes"}))).unwrap_err();
        assert_eq!(error.to_string(), "t.json: add_bos_token: expected true or false, found a string");
    }
}
