// SPDX-License-Identifier: EUPL-1.2
//! BOS, the EOS set, and special tokens of both kinds of files.

use mlx_tokenizer::{Tokenizer, eos_ids};
use serde_json::{Value, json};

use crate::{checkpoint, golden_dir};

fn load(name: &str) -> Tokenizer {
    Tokenizer::from_dir(golden_dir(name)).unwrap()
}

fn with(from: &str, files: &[(&str, &str)]) -> Tokenizer {
    Tokenizer::from_dir(checkpoint(Some(from), files).path()).unwrap()
}

#[test]
fn bos_is_added_only_where_the_files_ask_for_it() {
    // The post-processor of tokenizer.json asks.
    let gemma = load("gemma-json");
    let bos = gemma.id("<bos>").unwrap();
    assert_eq!(gemma.bos(), Some(bos));
    assert_eq!(gemma.encode("a", true).unwrap()[0], bos);
    assert_ne!(gemma.encode("a", false).unwrap()[0], bos);
    // The configuration asks, beside a tokenizer.model.
    let gemma = load("gemma");
    assert_eq!(gemma.bos(), gemma.id("<bos>"));
    assert_eq!(gemma.encode("", true).unwrap(), [gemma.id("<bos>").unwrap()]);
    // Nobody asks: Qwen has no BOS, and a tokenizer.model alone adds none although it has one.
    let qwen = load("qwen");
    assert_eq!((qwen.bos(), qwen.encode("a", true).unwrap()), (None, qwen.encode("a", false).unwrap()));
    let plain = load("prefixed");
    assert!(plain.id("<s>").is_some());
    assert_eq!((plain.bos(), plain.encode("a", true).unwrap()), (None, plain.encode("a", false).unwrap()));
}

#[test]
fn the_configuration_overrides_the_post_processor() {
    let config =
        r#"{"bos_token": "<bos>", "eos_token": "<eos>", "add_bos_token": false, "add_eos_token": true}"#;
    let tokenizer = with("gemma-json", &[("tokenizer_config.json", config)]);
    let mut expected = tokenizer.encode("a b", false).unwrap();
    expected.push(tokenizer.id("<eos>").unwrap());
    assert_eq!(tokenizer.encode("a b", true).unwrap(), expected);
    assert_eq!(tokenizer.bos(), None);
    // A post-processor that adds an EOS alone adds no BOS.
    let llama = with("llama-json", &[("tokenizer_config.json", r#"{"eos_token": "<eos>"}"#)]);
    assert_eq!(llama.bos(), llama.id("<bos>"));
}

#[test]
fn eos_set_is_the_union_of_all_files() {
    let qwen = load("qwen");
    assert_eq!(qwen.eos(), [qwen.id("<|im_end|>").unwrap(), qwen.id("<|endoftext|>").unwrap()]);
    let gemma = load("gemma");
    assert_eq!(gemma.eos(), [1, gemma.id("<end_of_turn>").unwrap()]);
    // Without configuration it is the model's own.
    let plain = load("prefixed");
    assert_eq!(plain.eos(), [plain.id("</s>").unwrap()]);

    let files = [("config.json", r#"{"eos_token_id": 5, "text_config": {"eos_token_id": [6, 5]}}"#)];
    let dir = checkpoint(None, &files);
    assert_eq!(eos_ids(dir.path()).unwrap(), [5, 6]);
    assert_eq!(eos_ids(checkpoint(None, &[]).path()).unwrap(), [0u32; 0]);
    let both = [files[0], ("generation_config.json", r#"{"eos_token_id": [9, 6]}"#)];
    assert_eq!(eos_ids(checkpoint(None, &both).path()).unwrap(), [9, 6, 5]);
}

#[test]
fn special_tokens_are_recognised_in_the_text_and_skipped_when_asked() {
    for name in ["gemma", "gemma-json"] {
        let tokenizer = load(name);
        let text = "<bos><start_of_turn>user\n Hi <end_of_turn>";
        let ids = tokenizer.encode(text, false).unwrap();
        assert_eq!(
            ids[..2],
            [tokenizer.id("<bos>").unwrap(), tokenizer.id("<start_of_turn>").unwrap()],
            "{name}"
        );
        assert!(tokenizer.is_special(ids[1]) && !tokenizer.is_special(ids[2]));
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), "user\n Hi ");
    }
    // Where encoding puts a space before the text, a written BOS before it changes nothing.
    let tokenizer = load("prefixed");
    let (bare, written) =
        (tokenizer.encode("the sea", false).unwrap(), tokenizer.encode("<s>the sea", false).unwrap());
    assert_eq!(written[1..], bare);
    assert_eq!(tokenizer.decode(&written, false).unwrap(), "<s>the sea");
}

#[test]
fn pieces_and_ids_map_to_each_other() {
    for name in ["qwen", "gemma", "gemma-json", "prefixed"] {
        let tokenizer = load(name);
        for id in 0..tokenizer.vocab_size() as u32 {
            let piece = tokenizer.token(id).unwrap();
            assert_eq!(tokenizer.id(&piece), Some(id), "{name}: {piece:?}");
        }
        assert_eq!(tokenizer.token(tokenizer.vocab_size() as u32), None);
        assert_eq!(tokenizer.id("no such piece"), None);
    }
}

#[test]
fn ids_without_a_piece_have_no_text() {
    for name in ["qwen", "gemma", "gemma-json"] {
        let tokenizer = load(name);
        let mut ids = tokenizer.encode("the sea", false).unwrap();
        ids.insert(1, 1_000_000);
        ids.push(u32::MAX);
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), "the sea", "{name}");
    }
}

#[test]
fn added_tokens_keep_the_ids_of_the_file_across_a_hole() {
    let path = golden_dir("qwen").join("tokenizer.json");
    let mut file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for (at, token) in file["added_tokens"].as_array_mut().unwrap().iter_mut().enumerate() {
        token["id"] = json!(5000 + 10 * at);
    }
    let tokenizer = with("qwen", &[("tokenizer.json", &file.to_string())]);
    let ids = tokenizer.encode("<|im_start|>a<|im_end|>", false).unwrap();
    assert_eq!((ids[0], ids[2]), (5010, 5020));
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "<|im_start|>a<|im_end|>");
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "a");
    assert_eq!(tokenizer.vocab_size(), 5081);
}

#[test]
fn tokens_beside_a_tokenizer_model_are_added_to_it() {
    let size = load("prefixed").vocab_size();
    let config = json!({"added_tokens_decoder": {
        (size + 1).to_string(): {"content": "<|end|>", "special": true},
        (size + 3).to_string(): {"content": "<plain>"}}, "eos_token": "<|end|>"})
    .to_string();
    let added = json!({"<more>": size + 4, "<plain>": size + 3}).to_string();
    let tokenizer = with("prefixed", &[("tokenizer_config.json", &config), ("added_tokens.json", &added)]);
    assert_eq!(tokenizer.vocab_size(), size + 5);
    let ids = tokenizer.encode("sea<plain>sea<more><|end|>", false).unwrap();
    assert_eq!(ids[ids.len() - 2..], [size as u32 + 4, size as u32 + 1]);
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), "sea<plain>sea<more><|end|>");
    assert_eq!(tokenizer.decode(&ids, true).unwrap(), "sea<plain>sea<more>");
    assert_eq!(tokenizer.eos(), [size as u32 + 1]);
    assert_eq!(tokenizer.token(size as u32), None);
}

#[test]
fn tokenizer_json_is_preferred_to_tokenizer_model() {
    let model = std::fs::read(golden_dir("gemma/tokenizer.model")).unwrap();
    let dir = checkpoint(Some("qwen"), &[]);
    std::fs::write(dir.path().join("tokenizer.model"), model).unwrap();
    let tokenizer = Tokenizer::from_dir(dir.path()).unwrap();
    assert!(tokenizer.id("<|im_end|>").is_some());
    assert!(Tokenizer::exists_in(dir.path()) && Tokenizer::exists_in(golden_dir("gemma")));
    assert!(!Tokenizer::exists_in(golden_dir("chat")));
}
