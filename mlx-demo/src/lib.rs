// SPDX-License-Identifier: EUPL-1.2
//! Text, tokenizers and configs for the small models that the repository carries.
//!
//! Everything is written here: the words, the plots, the facts, the chat templates. A seed decides what is drawn of them,
//! and the same seed gives the same bytes everywhere.
//!
//! - `story` and its plots: short stories, each with a beginning, a problem and an end;
//! - `facts`: simple questions, from tables of what is so;
//! - `domains`: sentences that are technical, creative, ethical or casual, and are to be told apart;
//! - `tokenizer`: two tokenizers trained on all that, one as Qwen 3 has it, one as Gemma 3 has it;
//! - `checkpoint`: the files around them.
#![forbid(unsafe_code)]

mod checkpoint;
mod data;
mod domains;
mod draw;
mod facts;
mod files;
mod story;
mod text;
mod tokenizer;
mod words;

use std::path::Path;

use anyhow::Result;

/// Writes `data/stories` and `data/domains` with `train.jsonl`, `valid.jsonl` and `test.jsonl` each, and `qwen3` and
/// `gemma3` with a tokenizer and the configs of a small model, without weights.
///
/// # Errors
/// When a file cannot be written, or the tokenizers library fails.
pub fn write(output: &Path, seed: u64) -> Result<()> {
    let stories = data::stories(seed);
    let domains = data::domains(seed);
    stories.write(&output.join("data/stories"))?;
    domains.write(&output.join("data/domains"))?;
    let texts = [data::texts(&stories.train), data::texts(&domains.train)].concat();
    checkpoint::qwen3(&output.join("qwen3"), &texts)?;
    checkpoint::gemma3(&output.join("gemma3"), &texts)
}
