// SPDX-License-Identifier: EUPL-1.2
//! Rates of prefill and decoding: `cargo bench -p mlx-models [-- PRESET | DIR]`, at a fixed tiny config by default.
//!
//! Everything is evaluated inside the timed region, graph building included. For a checkpoint directory the time and
//! the peak memory of loading are shown too.
#![allow(clippy::print_stdout, reason = "a bench shows what it measures")]

use std::error::Error;

use mlx_core::{Dtype, memory};
use mlx_models::{ConfigFile, GenerateOptions, Model, PRESETS, load, preset, random};
use serde_json::json;

const PROMPT: usize = 128;
const NEW: usize = 32;
const ROUNDS: usize = 3;

fn model(name: Option<&str>) -> Result<Model, Box<dyn Error>> {
    let tiny = json!({
        "model_type": "qwen3", "vocab_size": 512, "hidden_size": 128, "intermediate_size": 256,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
        "max_position_embeddings": 4096, "tie_word_embeddings": true,
    });
    Ok(match name {
        None => random(ConfigFile::new("tiny", tiny)?, Dtype::Bfloat16, 1)?,
        Some(name) if PRESETS.contains(&name) => preset(name, None)?,
        Some(dir) => load(dir)?,
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo puts `--bench` in front of what was typed.
    let name = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let model = model(name.as_deref())?;
    let weights = model.nbytes();
    println!(
        "loaded in {:.3} s; weights {:.1} MB, peak {:.1} MB",
        model.load_seconds(),
        weights as f64 / 1e6,
        memory::peak_memory()? as f64 / 1e6
    );
    let vocabulary = u32::try_from(model.vocab_size())?;
    let prompt: Vec<u32> = (0..).map(|i| i * 7 % vocabulary).take(PROMPT).collect();
    let options = GenerateOptions { max_tokens: NEW, ignore_eos: true, ..Default::default() };
    for _ in 0..ROUNDS {
        let figures = model.generate_ids(&prompt, &options)?;
        println!(
            "prefill {PROMPT}: {:.1} tokens a second; decode {NEW}: {:.1}",
            figures.prefill_tps,
            figures.decode_tps.unwrap_or_default()
        );
    }
    Ok(())
}
