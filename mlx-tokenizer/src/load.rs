// SPDX-License-Identifier: EUPL-1.2
//! A checkpoint directory → a tokenizer: the only file of this crate that reads the disk.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::{Map, Value};

use crate::chat::{ChatTemplate, Source, sources_of};
use crate::decode::Decoder;
use crate::error::{Error, Result};
use crate::sentencepiece::{Extra, SentencePiece};
use crate::special::{Special, eos_of, kind};
use crate::{Engine, Tokenizer, json};

/// No tokenizer comes near this; a file that does is not read into memory to find that out.
const LARGEST_FILE: u64 = 1 << 30;

const TOKENIZER_JSON: &str = "tokenizer.json";
const TOKENIZER_MODEL: &str = "tokenizer.model";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Whether the directory has a tokenizer at all.
pub(crate) fn exists_in(dir: &Path) -> bool {
    dir.join(TOKENIZER_JSON).is_file() || dir.join(TOKENIZER_MODEL).is_file()
}

pub(crate) fn from_dir(dir: &Path) -> Result<Tokenizer> {
    let config_path = dir.join(TOKENIZER_CONFIG);
    let config = read_object(&config_path)?;
    let mut special = Special::default();
    if let Some(config) = &config {
        special.read(&config_path, config)?;
    }
    let map_path = dir.join("special_tokens_map.json");
    if let Some(map) = read_object(&map_path)? {
        special.read(&map_path, &map)?;
    }

    let json_path = dir.join(TOKENIZER_JSON);
    let model_path = dir.join(TOKENIZER_MODEL);
    let (engine, decoder, vocab_size) = if let Some(bytes) = read(&json_path)? {
        let text = String::from_utf8(bytes)
            .map_err(|_| Error::file(&json_path, "not a tokenizer: it is not UTF-8"))?;
        let loaded = json::read(&json_path, &text)?;
        let decoder = Decoder::new(loaded.tokenizer.get_decoder());
        let special: HashSet<u32> = loaded.special.into_iter().collect();
        (Engine::Json { tokenizer: Box::new(loaded.tokenizer), special }, decoder, loaded.vocab_size)
    } else if let Some(bytes) = read(&model_path)? {
        let extra = extra_tokens(dir, &config_path, config.as_ref())?;
        let model = SentencePiece::new(&model_path, &bytes, extra)?;
        for (key, name) in model.names() {
            special.names.entry(*key).or_insert(Value::from(name.as_str()));
        }
        let (decoder, size) = (Decoder::SentencePiece(model.style()), model.vocab_size());
        (Engine::SentencePiece(Box::new(model)), decoder, size)
    } else {
        return Err(Error::Missing { dir: dir.to_owned() });
    };

    let mut tokenizer = Tokenizer {
        engine,
        decoder,
        vocab_size,
        eos: eos_ids(dir)?,
        special,
        chat: chat_template(dir, &config_path, config.as_ref())?,
        dir: dir.to_owned(),
    };
    tokenizer.settle(&config_path)?;
    Ok(tokenizer)
}

/// The ids under `eos_token_id` of `generation_config.json` and `config.json`.
pub(crate) fn eos_ids(dir: &Path) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for name in ["generation_config.json", "config.json"] {
        let path = dir.join(name);
        if let Some(file) = read_object(&path)? {
            eos_of(&path, &file, &mut ids)?;
        }
    }
    Ok(ids)
}

/// Tokens that `tokenizer_config.json` or `added_tokens.json` adds to a `tokenizer.model`.
fn extra_tokens(dir: &Path, config_path: &Path, config: Option<&Map<String, Value>>) -> Result<Vec<Extra>> {
    let mut extra = Vec::new();
    if let Some(added) =
        config.and_then(|config| config.get("added_tokens_decoder")).filter(|added| !added.is_null())
    {
        let wrong =
            |id: &str, message: &str| Error::key(config_path, format!("added_tokens_decoder.{id}"), message);
        let Value::Object(added) = added else {
            let message = format!("expected an object, found {}", kind(added));
            return Err(Error::key(config_path, "added_tokens_decoder", message));
        };
        for (key, token) in added {
            let id = key.parse().map_err(|_| wrong(key, "is no id"))?;
            let content = token.get("content").and_then(Value::as_str);
            let content =
                content.ok_or_else(|| wrong(key, "expected an object with the string `content`"))?;
            let special = token.get("special").and_then(Value::as_bool).unwrap_or(false);
            extra.push(Extra { id, content: content.to_owned(), special });
        }
    }
    let path = dir.join("added_tokens.json");
    for (content, id) in read_object(&path)?.unwrap_or_default() {
        let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
        let id = id.ok_or_else(|| Error::key(&path, content.as_str(), "expected an id"))?;
        if !extra.iter().any(|token| token.id == id) {
            extra.push(Extra { id, content, special: false });
        }
    }
    Ok(extra)
}

/// The templates from the first place that has any, and the named ones beside it.
fn chat_template(
    dir: &Path,
    config_path: &Path,
    config: Option<&Map<String, Value>>,
) -> Result<Option<ChatTemplate>> {
    let mut sources = Vec::new();
    let jinja = dir.join("chat_template.jinja");
    if let Some(text) = read_text(&jinja)? {
        sources.push(Source { name: "default".into(), path: jinja, text });
    }
    for folder in ["additional_chat_templates", "chat_templates"] {
        let folder = dir.join(folder);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(source) => return Err(Error::Io { path: folder, source }),
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|source| Error::Io { path: folder.clone(), source })?.path());
        }
        // The order of a directory is nobody's; names are told in alphabetical order.
        paths.sort();
        for path in paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "jinja")) {
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            if sources.iter().any(|source| source.name == name) {
                continue;
            }
            if let Some(text) = read_text(&path)? {
                sources.push(Source { name, path, text });
            }
        }
    }
    if sources.is_empty()
        && let Some(value) = config.and_then(|config| config.get("chat_template"))
    {
        sources = sources_of(config_path, value)?;
    }
    if sources.is_empty() {
        let path = dir.join("chat_template.json");
        if let Some(file) = read_object(&path)? {
            sources = sources_of(&path, file.get("chat_template").unwrap_or(&Value::Null))?;
        }
    }
    Ok((!sources.is_empty()).then(|| ChatTemplate::new(sources)))
}

/// The bytes of a file; `None` when there is no such file.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |source| Error::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > LARGEST_FILE => {
            Err(Error::file(path, format!("has {} bytes, more than {LARGEST_FILE}", metadata.len())))
        }
        Ok(_) => fs::read(path).map(Some).map_err(failed),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn read_text(path: &Path) -> Result<Option<String>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    String::from_utf8(bytes).map(Some).map_err(|_| Error::file(path, "is not UTF-8"))
}

/// The object that a JSON file holds; `None` when there is no such file.
fn read_object(path: &Path) -> Result<Option<Map<String, Value>>> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(Some(object)),
        Ok(other) => Err(Error::file(path, format!("expected an object, found {}", kind(&other)))),
        Err(error) => Err(Error::file(path, format!("not JSON: {error}"))),
    }
}
