// SPDX-License-Identifier: EUPL-1.2
//! What several modules of the tests need.

use std::fs;
use std::path::{Path, PathBuf};

use mlx_models::Tokenizer;
use mlx_train::data::{ReadOptions, Records, read_file};

/// The folder of a tiny checkpoint that chats.
pub(crate) fn checkpoint(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlx-models/tests/golden").join(name)
}

/// Qwen 3's way to write conversations: thoughts, tools.
pub(crate) fn thinker() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlx-tokenizer/tests/golden/chat/thinker.jinja");
    fs::read_to_string(path).unwrap()
}

/// The tokenizer of a tiny checkpoint, with another chat template or none.
pub(crate) fn tokenizer_with(name: &str, template: Option<&str>) -> Tokenizer {
    let dir = tempfile::tempdir().unwrap();
    for file in ["tokenizer.json", "generation_config.json"] {
        fs::copy(checkpoint(name).join(file), dir.path().join(file)).unwrap();
    }
    let config = fs::read(checkpoint(name).join("tokenizer_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config.as_object_mut().unwrap().remove("chat_template");
    fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
    if let Some(template) = template {
        fs::write(dir.path().join("chat_template.jinja"), template).unwrap();
    }
    Tokenizer::from_dir(dir.path()).unwrap()
}

/// The records of a file with these lines.
pub(crate) fn records(lines: &[serde_json::Value]) -> Records {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.jsonl");
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    fs::write(&path, text.join("\n")).unwrap();
    read_file(&path, &ReadOptions::default()).unwrap()
}
