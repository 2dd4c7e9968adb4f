// SPDX-License-Identifier: EUPL-1.2
//! Two tokenizers: byte-level BPE as Qwen 3 has it, and BPE with byte fallback as Gemma 3 has it.
//!
//! The `tokenizers` crate finds the merges; the files around them are written here, key by key as those of the large
//! models.

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use tokenizers::Tokenizer;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::BpeTrainer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

/// Entries of each vocabulary.
pub(crate) const VOCABULARY: usize = 1280;

/// Added behind Qwen's vocabulary: the first three are special, the others only never split.
pub(crate) const QWEN3_TOKENS: [&str; 9] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
];
const QWEN3_SPECIAL: usize = 3;

/// Before Gemma's vocabulary, in this order.
pub(crate) const GEMMA3_TOKENS: [&str; 7] =
    ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"];

/// How Qwen's text is split before it is merged.
const QWEN3_WORDS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// How Gemma's is split while merges are learnt. The finished tokenizer splits nothing: no merge reaches over such a
/// border, so that none is missed.
const GEMMA3_WORDS: &str = r"▁?\p{L}+|▁?\p{N}|\n+|▁?[^\p{L}\p{N}▁\n]+|▁+";

/// Whether a piece of text between special tokens stands for itself.
fn added(id: usize, content: &str, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": special,
    })
}

fn split(pattern: Value, behaviour: &str) -> Value {
    json!({"type": "Split", "pattern": pattern, "behavior": behaviour, "invert": false})
}

/// `tokenizer.json` in the manner of Qwen 3.
pub(crate) fn qwen3(texts: &[&str]) -> Result<Value> {
    let bytes =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false});
    let words = split(json!({"Regex": QWEN3_WORDS}), "Isolated");
    let mut file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [words, bytes.clone()]},
        "post_processor": bytes.clone(),
        "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": {}, "merges": [],
        },
    });
    let learnt = VOCABULARY - QWEN3_TOKENS.len();
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(learnt)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    learn(&mut file, trainer, texts)?;
    let tokens = QWEN3_TOKENS.iter().enumerate();
    file["added_tokens"] =
        tokens.map(|(index, token)| added(learnt + index, token, index < QWEN3_SPECIAL)).collect();
    Ok(file)
}

/// `tokenizer.json` in the manner of Gemma 3.
pub(crate) fn gemma3(texts: &[&str]) -> Result<Value> {
    let bos = GEMMA3_TOKENS.iter().position(|token| *token == "<bos>").unwrap_or(0);
    let sequence = |id: &str| json!({"Sequence": {"id": id, "type_id": 0}});
    let begin = json!({"SpecialToken": {"id": "<bos>", "type_id": 0}});
    let mut file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": GEMMA3_TOKENS.iter().enumerate().map(|(id, token)| added(id, token, true)).collect::<Vec<_>>(),
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": split(json!({"Regex": GEMMA3_WORDS}), "Isolated"),
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin.clone(), sequence("A")],
            "pair": [begin.clone(), sequence("A"), begin, sequence("B")],
            "special_tokens": {"<bos>": {"id": "<bos>", "ids": [bos], "tokens": ["<bos>"]}},
        },
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        ]},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
            "vocab": {"<unk>": 0}, "merges": [],
        },
    });
    let bytes = (0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>"));
    let first = GEMMA3_TOKENS.iter().map(|token| (*token).to_owned()).chain(bytes);
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(VOCABULARY)
        .special_tokens(first.map(|token| tokenizers::AddedToken::from(token, true)).collect())
        .build();
    learn(&mut file, trainer, texts)?;
    file["pre_tokenizer"] = split(json!({"String": " "}), "MergedWithPrevious");
    Ok(file)
}

/// Fills `model` of a `tokenizer.json` with what its own parts make of `texts`.
fn learn(file: &mut Value, trainer: BpeTrainer, texts: &[&str]) -> Result<()> {
    let lib = |error: tokenizers::Error| anyhow!("the tokenizers library: {error}");
    let mut tokenizer = Tokenizer::from_bytes(file.to_string()).map_err(lib)?;
    tokenizer.train(&mut TrainerWrapper::BpeTrainer(trainer), texts.iter()).map_err(lib)?;
    let mut model = serde_json::to_value(tokenizer.get_model())?;
    for part in ["vocab", "merges"] {
        let learnt = model.get_mut(part).map(Value::take);
        file["model"][part] = learnt.with_context(|| format!("the tokenizers library wrote no {part}"))?;
    }
    // What is written has to be what is read.
    Tokenizer::from_bytes(file.to_string()).map_err(lib)?;
    Ok(())
}
