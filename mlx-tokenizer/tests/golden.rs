// SPDX-License-Identifier: EUPL-1.2
//! Encoding and decoding against `vectors.json`, which `golden/generate_tokenizers.py` wrote.

use std::path::Path;
use std::time::Instant;

use mlx_tokenizer::Tokenizer;
use serde_json::Value;

use crate::golden_dir;

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The text that a stream gives piece by piece.
pub(crate) fn streamed(tokenizer: &Tokenizer, ids: &[u32], skip_special: bool) -> String {
    let mut stream = tokenizer.stream(skip_special);
    let mut text = String::new();
    for &id in ids {
        text.push_str(&stream.push(id).unwrap());
    }
    text.push_str(&stream.finish().unwrap());
    text
}

/// Every case of a folder; the number of cases.
fn check(dir: &Path) -> usize {
    let tokenizer = Tokenizer::from_dir(dir).unwrap();
    let vectors: Value = serde_json::from_slice(&std::fs::read(dir.join("vectors.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in vectors["encode"].as_array().unwrap() {
        count += 1;
        let text = case["text"].as_str().unwrap();
        let found = tokenizer.encode(text, false).unwrap();
        if found != ids(&case["ids"]) {
            wrong.push(format!("encode {text:?}\n   found {found:?}\nexpected {:?}", ids(&case["ids"])));
        }
        if let Some(special) = case.get("special") {
            let found = tokenizer.encode(text, true).unwrap();
            if found != ids(special) {
                wrong.push(format!(
                    "encode {text:?} with special tokens\n   found {found:?}\nexpected {special}"
                ));
            }
        }
        let whole = tokenizer.decode(&found, false).unwrap();
        let parts = streamed(&tokenizer, &found, false);
        if whole != parts {
            wrong.push(format!("stream of {text:?}\n   found {parts:?}\nexpected {whole:?}"));
        }
    }
    for case in vectors["decode"].as_array().unwrap() {
        count += 1;
        let ids = ids(&case["ids"]);
        for (key, skip) in [("text", false), ("skipped", true)] {
            let Some(expected) = case.get(key) else { continue };
            let expected = expected.as_str().unwrap();
            let (whole, parts) = (tokenizer.decode(&ids, skip).unwrap(), streamed(&tokenizer, &ids, skip));
            if whole != expected || parts != expected {
                wrong.push(format!(
                    "decode {ids:?}, {key}\n   found {whole:?}\nstreamed {parts:?}\nexpected {expected:?}"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}: {} of {count} are wrong\n{}",
        dir.display(),
        wrong.len(),
        wrong[..wrong.len().min(6)].join("\n")
    );
    count
}

#[test]
fn byte_level_bpe_agrees_with_python() {
    assert!(check(&golden_dir("qwen")) > 150);
}

#[test]
fn long_runs_of_white_space_are_split_before_the_word() {
    let tokenizer = Tokenizer::from_dir(golden_dir("qwen")).unwrap();
    let word = tokenizer.encode(" a", false).unwrap();
    let ids = tokenizer.encode(&format!("{}a", " ".repeat(100_000)), false).unwrap();
    assert!(ids.ends_with(&word));
    assert!(tokenizer.encode(&" ".repeat(2_000_000), false).is_err());
}

#[test]
fn byte_fallback_bpe_from_json_agrees_with_python() {
    assert!(check(&golden_dir("gemma-json")) > 150);
    assert!(check(&golden_dir("llama-json")) > 150);
}

#[test]
fn sentencepiece_model_agrees_with_python() {
    assert!(check(&golden_dir("gemma")) > 100);
    assert!(check(&golden_dir("prefixed")) > 100);
    assert!(check(&golden_dir("no-fallback")) > 100);
}

#[test]
#[ignore = "needs MLX_TOKENIZER_GOLDEN, a folder that generate_tokenizers.py filled"]
fn more_golden_folders_agree_with_python() {
    let folder = std::env::var("MLX_TOKENIZER_GOLDEN").expect("MLX_TOKENIZER_GOLDEN names a folder");
    let mut folders = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let dir = entry.unwrap().path();
        if dir.join("vectors.json").is_file() {
            println!("{}: {} cases", dir.display(), check(&dir));
            folders += 1;
        }
    }
    assert!(folders > 0);
}

/// `NAME.json` is a `tokenizer.json`, `NAME.vectors.json` a list of `{text, ids}`.
#[test]
#[ignore = "needs MLX_TOKENIZER_REAL, a folder with unpacked NAME.json and NAME.vectors.json"]
fn real_vocabularies_agree_with_their_vectors() {
    let folder = std::env::var("MLX_TOKENIZER_REAL").expect("MLX_TOKENIZER_REAL names a folder");
    let mut tokenizers = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let vectors_path = entry.unwrap().path();
        let Some(stem) = vectors_path.to_str().unwrap().strip_suffix(".vectors.json") else { continue };
        let dir = tempfile::tempdir().unwrap();
        std::fs::copy(format!("{stem}.json"), dir.path().join("tokenizer.json")).unwrap();
        let start = Instant::now();
        let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
        println!("{stem}: {} ids, loaded in {:?}", tokenizer.vocab_size(), start.elapsed());

        let vectors: Vec<Value> = serde_json::from_slice(&std::fs::read(&vectors_path).unwrap()).unwrap();
        let (mut bytes, mut seconds) = (0, 0.0);
        for case in &vectors {
            let text = case["text"].as_str().unwrap();
            let start = Instant::now();
            let found = tokenizer.encode(text, false).unwrap();
            seconds += start.elapsed().as_secs_f64();
            bytes += text.len();
            assert_eq!(found, ids(&case["ids"]), "{text:?}");
            assert_eq!(tokenizer.decode(&found, false).unwrap(), text);
            assert_eq!(streamed(&tokenizer, &found, false), text);
        }
        println!("{} texts, {:.2} MB/s", vectors.len(), bytes as f64 / seconds / 1e6);
        tokenizers += 1;
    }
    assert!(tokenizers > 0);
}
