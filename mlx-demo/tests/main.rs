// SPDX-License-Identifier: EUPL-1.2
//! What is written, as those see it who read it.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mlx_tokenizer::{ChatOptions, Message, Tokenizer};
use serde_json::Value;
use tempfile::TempDir;

/// What seed 0 gives.
static WRITTEN: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    mlx_demo::write(dir.path(), 0).unwrap();
    dir
});

fn tokenizer(model: &str) -> Tokenizer {
    Tokenizer::from_dir(WRITTEN.path().join(model)).unwrap()
}

fn json(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(WRITTEN.path().join(path)).unwrap()).unwrap()
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let again = tempfile::tempdir().unwrap();
    mlx_demo::write(again.path(), 0).unwrap();
    let relative = |dir: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        files(dir)
            .into_iter()
            .map(|(path, bytes)| (path.strip_prefix(dir).unwrap().to_owned(), bytes))
            .collect()
    };
    let (first, second) = (relative(WRITTEN.path()), relative(again.path()));
    assert_eq!(first.len(), 16);
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (path, bytes) in &first {
        assert!(bytes == &second[path], "{} differs", path.display());
    }
}

#[test]
fn tokenizers_give_back_every_text() {
    for model in ["qwen3", "gemma3"] {
        let tokenizer = tokenizer(model);
        assert_eq!(tokenizer.vocab_size(), 1280);
        for text in [
            "Once upon a time, there was an owl.",
            "naïve 🦙 日本",
            "  two  spaces ",
            "a\n\nb\tc",
            "▁",
            "7 + 3 = 10",
        ] {
            let ids = tokenizer.encode(text, false).unwrap();
            let expected = if model == "gemma3" { text.replace('▁', " ") } else { text.to_owned() };
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), expected);
        }
    }
}

#[test]
fn text_takes_about_one_token_a_word() {
    let lines = fs::read_to_string(WRITTEN.path().join("data/stories/test.jsonl")).unwrap();
    let texts: Vec<String> = lines
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().map(str::to_owned))
        .collect();
    assert!(texts.len() > 20);
    for model in ["qwen3", "gemma3"] {
        let tokenizer = tokenizer(model);
        let tokens: usize = texts.iter().map(|text| tokenizer.encode(text, false).unwrap().len()).sum();
        let words: usize = texts.iter().map(|text| text.split_whitespace().count()).sum();
        assert!(tokens < words * 3 / 2, "{model}: {tokens} tokens for {words} words");
    }
}

#[test]
fn conversations_are_written_as_the_large_models_have_them() {
    let system = [
        Message::system("Be brief."),
        Message::user("Hi"),
        Message::assistant("Yes? "),
        Message::user("Bye"),
    ];
    for (model, expected) in [
        (
            "qwen3",
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nYes? \
             <|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n",
        ),
        (
            "gemma3",
            "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\nYes?<end_of_turn>\n\
             <start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n",
        ),
    ] {
        assert_eq!(tokenizer(model).render_chat(&system, &ChatOptions::default()).unwrap(), expected);
    }
    let twice = [Message::user("Hi"), Message::user("Hi")];
    let error = tokenizer("gemma3").render_chat(&twice, &ChatOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("expected user and assistant in turns, the user first"), "{error}");
    let tool = [Message::tool("Hi")];
    let error = tokenizer("qwen3").render_chat(&tool, &ChatOptions::default()).unwrap_err().to_string();
    assert!(error.ends_with("expected the role system, user or assistant, found tool"), "{error}");
}

#[test]
fn headers_and_ends_of_turns_are_single_tokens() {
    for (model, role, ends) in [("qwen3", "assistant", "<|im_end|>"), ("gemma3", "model", "<end_of_turn>")] {
        let tokenizer = tokenizer(model);
        let end = tokenizer.id(ends).unwrap();
        assert!(tokenizer.eos().contains(&end) && tokenizer.is_special(end));
        assert_eq!(tokenizer.encode(&format!("{role}{ends}"), false).unwrap().len(), 2);
    }
    assert_eq!(tokenizer("gemma3").bos(), Some(2));
    assert_eq!(tokenizer("qwen3").bos(), None);
    let think = tokenizer("qwen3").id("<think>").unwrap();
    assert!(!tokenizer("qwen3").is_special(think));
}

#[test]
fn models_have_less_than_two_million_parameters() {
    for model in ["qwen3", "gemma3"] {
        let config = json(format!("{model}/config.json"));
        let of = |key: &str| config[key].as_u64().unwrap();
        let (hidden, head) = (of("hidden_size"), of("head_dim"));
        let (queries, keys) = (of("num_attention_heads") * head, of("num_key_value_heads") * head);
        let attention = 2 * hidden * queries + 2 * hidden * keys;
        let layer = attention + 3 * hidden * of("intermediate_size");
        let parameters = of("vocab_size") * hidden + of("num_hidden_layers") * layer;
        assert!((1_000_000..1_900_000).contains(&parameters), "{model}: {parameters}");
        assert!(config["tie_word_embeddings"].as_bool().unwrap());
        // Groups of 64 weights can be quantised.
        assert!([hidden, queries, of("intermediate_size")].iter().all(|size| size % 64 == 0));
    }
}

#[test]
fn data_has_a_few_megabytes_of_text() {
    let size: u64 = ["stories", "domains"]
        .iter()
        .map(|name| fs::metadata(WRITTEN.path().join("data").join(name).join("train.jsonl")).unwrap().len())
        .sum();
    assert!((3_000_000..8_000_000).contains(&size), "{size}");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let error = mlx_demo::write(&dir.path().join("file"), 0).unwrap_err();
    assert!(format!("{error:#}").contains("file/data/stories/train.jsonl"), "{error:#}");
}
