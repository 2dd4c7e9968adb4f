// SPDX-License-Identifier: EUPL-1.2
//! Files that are broken or hostile: one clear line that names the file and the key, and never a panic.

use mlx_tokenizer::{Tokenizer, eos_ids};
use serde_json::{Value, json};

use crate::{checkpoint, golden_dir};

fn error_of(from: Option<&str>, files: &[(&str, &str)]) -> String {
    let dir = checkpoint(from, files);
    let error = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
    assert!(!error.contains('\n'), "{error:?} is one line");
    error.replace(dir.path().to_str().unwrap(), "DIR")
}

#[test]
fn missing_files_are_named() {
    assert_eq!(error_of(None, &[]), "DIR: holds neither tokenizer.json nor tokenizer.model");
    let error = Tokenizer::from_dir("no/such/directory").unwrap_err().to_string();
    assert_eq!(error, "no/such/directory: holds neither tokenizer.json nor tokenizer.model");
}

#[test]
fn a_directory_in_the_place_of_a_file_is_an_error() {
    let dir = checkpoint(Some("qwen"), &[]);
    std::fs::remove_file(dir.path().join("tokenizer.json")).unwrap();
    std::fs::create_dir(dir.path().join("tokenizer.json")).unwrap();
    assert!(!Tokenizer::exists_in(dir.path()));
    let error = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json: "), "{error}");
}

#[test]
fn broken_files_beside_the_tokenizer_are_named_with_their_key() {
    for (name, content, expected) in [
        ("config.json", "{", "DIR/config.json: not JSON: EOF"),
        ("config.json", "[1]", "DIR/config.json: expected an object, found a list"),
        ("config.json", r#"{"eos_token_id": "x"}"#, "DIR/config.json: eos_token_id: expected an id"),
        (
            "config.json",
            r#"{"text_config": {"eos_token_id": -2}}"#,
            "DIR/config.json: text_config.eos_token_id: expected an id or a list of ids, found -2",
        ),
        ("generation_config.json", "\u{feff}{}", "DIR/generation_config.json: not JSON"),
        (
            "generation_config.json",
            r#"{"eos_token_id": [1, 2.5]}"#,
            "DIR/generation_config.json: eos_token_id: ",
        ),
        (
            "tokenizer_config.json",
            r#"{"bos_token": 1}"#,
            "DIR/tokenizer_config.json: bos_token: expected a string",
        ),
        (
            "tokenizer_config.json",
            r#"{"eos_token": {"content": []}}"#,
            "DIR/tokenizer_config.json: eos_token: ",
        ),
        (
            "tokenizer_config.json",
            r#"{"add_bos_token": true, "bos_token": "<nope>"}"#,
            "DIR/tokenizer_config.json: bos_token: \"<nope>\" is not in the vocabulary",
        ),
        ("tokenizer_config.json", r#"{"chat_template": {}}"#, "no error: chat_template.jinja comes first"),
        (
            "special_tokens_map.json",
            r#"{"eos_token": false, "unk_token": 3}"#,
            "DIR/special_tokens_map.json: unk_token",
        ),
    ] {
        let dir = checkpoint(Some("qwen"), &[(name, content)]);
        match Tokenizer::from_dir(dir.path()) {
            Ok(_) => assert!(expected.starts_with("no error"), "{name} {content}"),
            Err(error) => {
                let error = error.to_string().replace(dir.path().to_str().unwrap(), "DIR");
                assert!(error.starts_with(expected), "{error}");
            }
        }
    }
    let dir = checkpoint(None, &[("config.json", r#"{"eos_token_id": {}}"#)]);
    assert!(eos_ids(dir.path()).unwrap_err().to_string().ends_with("found an object"));
}

#[test]
fn broken_tokenizer_json_is_named_with_its_key() {
    let path = golden_dir("qwen/tokenizer.json");
    let whole: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let change = |pointer: &str, value: Value| {
        let mut file = whole.clone();
        *file.pointer_mut(pointer).unwrap() = value;
        file.to_string()
    };
    for (content, expected) in [
        (String::new(), "DIR/tokenizer.json: not a tokenizer: EOF"),
        ("{}".into(), "DIR/tokenizer.json: not a tokenizer: missing field `model`"),
        ("[]".into(), "DIR/tokenizer.json: not a tokenizer: "),
        (change("/version", json!("2.0")), "DIR/tokenizer.json: version: expected \"1.0\", found \"2.0\""),
        (change("/model", json!(null)), "DIR/tokenizer.json: model: is null"),
        (change("/model", json!({"type": "Magic"})), "DIR/tokenizer.json: model: "),
        (
            change("/model/vocab", json!([1])),
            "DIR/tokenizer.json: model: invalid type: sequence, expected a map",
        ),
        (change("/model/vocab", json!({"a": -1})), "DIR/tokenizer.json: model: invalid value: integer `-1`"),
        (change("/model/vocab", json!({"a": 4294967296u64})), "DIR/tokenizer.json: model: invalid value"),
        (
            change("/model/merges", json!(["a b c"])),
            "DIR/tokenizer.json: model: merge \"a b c\" is not two pieces",
        ),
        (change("/model/merges", json!([["a"]])), "DIR/tokenizer.json: model: invalid length 1"),
        (change("/model/merges", json!([["a", "b", "c"]])), "DIR/tokenizer.json: model: invalid length 3"),
        (change("/model/merges", json!([["?", "nowhere"]])), "DIR/tokenizer.json: model: "),
        (
            change("/model/merges", json!([["a", "b".repeat(99)]])),
            "DIR/tokenizer.json: model.merges[0]: \"a\" and \"bbbb",
        ),
        (change("/model/continuing_subword_prefix", json!("é##")), "DIR/tokenizer.json: model.merges[0]: "),
        (
            change("/model/unk_token", json!("<x>")),
            "DIR/tokenizer.json: model.unk_token: \"<x>\" is not in the",
        ),
        (change("/model/dropout", json!(7.5)), "DIR/tokenizer.json: model: "),
        (
            change("/added_tokens", json!([{"content": "x"}])),
            "DIR/tokenizer.json: added_tokens: missing field `id`",
        ),
        (change("/normalizer", json!({"type": "Rot13"})), "DIR/tokenizer.json: normalizer: "),
        (
            change("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "/////w=="})),
            "DIR/tokenizer.json: normalizer: ",
        ),
        (change("/pre_tokenizer", json!(["x"])), "DIR/tokenizer.json: pre_tokenizer: "),
        (
            change(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
            ),
            "DIR/tokenizer.json: pre_tokenizer: ",
        ),
        (
            change("/post_processor", json!({"type": "TemplateProcessing"})),
            "DIR/tokenizer.json: post_processor: ",
        ),
        (
            change("/decoder", json!({"type": "Strip", "content": "xy", "start": 0, "stop": 0})),
            "DIR/tokenizer.json: decoder: ",
        ),
    ] {
        let error = error_of(None, &[("tokenizer.json", &content)]);
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
        assert!(error.len() < 500, "{error}");
    }
}

#[test]
fn a_tokenizer_json_that_is_cut_off_anywhere_is_an_error() {
    let bytes = std::fs::read(golden_dir("gemma-json/tokenizer.json")).unwrap();
    for at in (0..bytes.len() - 1).step_by(97) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer.json"), &bytes[..at]).unwrap();
        assert!(Tokenizer::from_dir(dir.path()).is_err(), "cut at {at}");
    }
}

#[test]
fn characters_without_a_piece_become_the_unknown_one_or_nothing() {
    let model =
        |unk: Value| json!({"type": "BPE", "vocab": {"a": 0, "?": 1}, "merges": [], "unk_token": unk});
    for (unk, expected) in [(Value::Null, vec![0]), (json!("?"), vec![0, 1, 1])] {
        let file = json!({"version": "1.0", "model": model(unk)}).to_string();
        let dir = checkpoint(None, &[("tokenizer.json", &file)]);
        let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
        assert_eq!(tokenizer.encode("abé", true).unwrap(), expected);
    }
}

#[test]
fn other_models_than_bpe_load_through_the_tokenizers_crate() {
    let file = json!({"version": "1.0", "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"the": 0, "sea": 1, "?": 7}, "unk_token": "?"}});
    let dir = checkpoint(None, &[("tokenizer.json", &file.to_string())]);
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    assert_eq!(tokenizer.encode("the big sea", false).unwrap(), [0, 7, 1]);
    assert_eq!(tokenizer.decode(&[0, 1], false).unwrap(), "the sea");
    assert_eq!(tokenizer.vocab_size(), 8);
}

/// Fields of a `tokenizer.model`, written by hand.
mod proto {
    pub(super) fn varint(mut value: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
        out
    }

    pub(super) fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    pub(super) fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
        [varint(field << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
    }

    pub(super) fn piece(text: &str, score: f32, kind: u64) -> Vec<u8> {
        let score = [varint(2 << 3 | 5), score.to_le_bytes().to_vec()].concat();
        bytes(1, &[bytes(1, text.as_bytes()), score, number(3, kind)].concat())
    }

    pub(super) fn bpe() -> Vec<u8> {
        bytes(2, &number(3, 2))
    }
}

#[test]
fn broken_tokenizer_model_is_named_with_what_is_wrong() {
    use proto::{bpe, bytes, number, piece};
    let unk = || piece("<unk>", 0.0, 2);
    let spec = |field: u64, flag: u64| bytes(2, &[number(3, 2), number(field, flag)].concat());
    for (content, expected) in [
        (vec![], "not a SentencePiece model: it has no pieces"),
        (b"PK\x03\x04 this is a zip file".to_vec(), "not a SentencePiece model: "),
        (bytes(1, &[0xff; 12]), "not a SentencePiece model: piece 0: a number has more than 64 bits"),
        (
            [unk(), vec![0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f]].concat(),
            "not a SentencePiece model: a field of 3",
        ),
        (unk(), "a unigram model is not supported, only SentencePiece BPE"),
        ([unk(), bytes(2, &number(3, 4))].concat(), "a character model is not supported"),
        ([unk(), bytes(2, &number(3, 77))].concat(), "has the unknown model type 77"),
        ([piece("a", 0.0, 1), bpe()].concat(), "expected one piece for the unknown, found 0"),
        ([unk(), piece("", 0.0, 1), bpe()].concat(), "piece 1: is empty"),
        (
            [unk(), piece("a", 0.0, 1), piece("a", 0.0, 1), bpe()].concat(),
            "piece 2: repeats \"a\", which is piece 1",
        ),
        ([unk(), piece("a", f32::NAN, 1), bpe()].concat(), "piece 1: has the score NaN"),
        (
            [unk(), piece(&"a".repeat(5000), 0.0, 1), bpe()].concat(),
            "piece 1: has 5000 bytes, more than 1024",
        ),
        ([unk(), piece("x", 0.0, 6), bpe()].concat(), "piece 1: is a byte piece, and reads \"x\""),
        ([unk(), spec(35, 1)].concat(), "expected 256 byte pieces, found 0"),
        ([unk(), spec(24, 1)].concat(), "trainer_spec.treat_whitespace_as_suffix: is not supported"),
        (
            [unk(), piece("a", 0.0, 1), piece("aa", 0.0, 5), bpe()].concat(),
            "piece 2: is of the type unused, and can be merged to",
        ),
        (
            [unk(), bpe(), bytes(3, &bytes(2, &[0xff; 20]))].concat(),
            "normalizer_spec.precompiled_charsmap: the character map's trie",
        ),
        ([unk(), bpe(), bytes(5, &bytes(2, b"x"))].concat(), "denormalizer_spec: is not supported"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("tokenizer.model"), content).unwrap();
        let error = Tokenizer::from_dir(dir.path()).unwrap_err().to_string();
        let error = error.replace(dir.path().to_str().unwrap(), "DIR");
        assert!(
            error.starts_with(&format!("DIR/tokenizer.model: {expected}")),
            "{error}\nexpected {expected}"
        );
    }
}

#[test]
fn a_tokenizer_model_that_is_cut_off_or_changed_anywhere_never_panics() {
    let whole = std::fs::read(golden_dir("prefixed/tokenizer.model")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.model");
    let try_it = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        if let Ok(tokenizer) = Tokenizer::from_dir(dir.path()) {
            let ids = tokenizer.encode("The ﬁ e\u{301} sea <sep> ①② 🚢", true).unwrap();
            tokenizer.decode(&ids, false).unwrap();
        }
    };
    for at in (0..whole.len()).step_by(131) {
        try_it(&whole[..at]);
        for bits in [0x01, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= bits;
            try_it(&changed);
        }
    }
}

#[test]
fn tokens_that_contradict_a_tokenizer_model_are_errors() {
    let added = |id: u32, content: &str| {
        json!({"added_tokens_decoder": {id.to_string(): {"content": content}}}).to_string()
    };
    for (config, expected) in [
        (added(0, "<new>"), "added token 0: \"<new>\" takes the place of \"<unk>\" of tokenizer.model"),
        (added(9000, "<unk>"), "added token 9000: \"<unk>\" has the id 0 in tokenizer.model"),
        (added(9000, ""), "added token 9000: is empty"),
        (json!({"added_tokens_decoder": {"x": {}}}).to_string(), "added_tokens_decoder.x: is no id"),
        (
            json!({"added_tokens_decoder": {"7": "x"}}).to_string(),
            "added_tokens_decoder.7: expected an object with",
        ),
        (
            json!({"added_tokens_decoder": []}).to_string(),
            "added_tokens_decoder: expected an object, found a list",
        ),
    ] {
        let error = error_of(Some("prefixed"), &[("tokenizer_config.json", &config)]);
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
    let error = error_of(Some("prefixed"), &[("added_tokens.json", r#"{"<x>": "y"}"#)]);
    assert_eq!(error, "DIR/added_tokens.json: <x>: expected an id");
}
