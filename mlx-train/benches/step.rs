// SPDX-License-Identifier: EUPL-1.2
//! What a step of LoRA costs on the shapes of Qwen3-0.6B: rank 8 on q and v, one row of 256 tokens, bfloat16 weights.
//!
//! `cargo bench -p mlx-train --bench step [-- --recompute] [--quantize] [--steps N]`

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use mlx_core::{QuantMode, Quantization};
use mlx_models::preset;
use mlx_train::config::AdapterConfig;
use mlx_train::data::{BatchOptions, Batches, Example};
use mlx_train::{TrainConfig, Trainer};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let after = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<usize>().ok()
    };
    let (steps, length) = (after("--steps").unwrap_or(6), after("--length").unwrap_or(256));
    let quantization =
        has("--quantize").then_some(Quantization { group_size: 64, bits: 4, mode: QuantMode::Affine });
    let model = preset("qwen3-0.6b", quantization)?;
    let ids: Vec<u32> = (0..=length).map(|i| (i as u32 * 7919) % 150_000).collect();
    let mask = vec![true; ids.len()];
    let train = Batches::new(vec![Example::new(ids, mask)?], BatchOptions::default(), 0)?;
    let config = TrainConfig {
        adapter: AdapterConfig {
            keys: Some(vec!["self_attn.q_proj".into(), "self_attn.v_proj".into()]),
            ..Default::default()
        },
        recompute: has("--recompute"),
        steps: Some(1000),
        eval_every: 0,
        ..Default::default()
    };
    let mut trainer = Trainer::new(model, config, train, None)?;
    let mut rates = Vec::new();
    for step in 0..steps {
        let report = trainer.step()?;
        let rate = report.computed as f64 / report.seconds;
        println!(
            "step {step}: loss {:.4}, {rate:.1} tokens/s, peak {:.2} GB",
            report.loss,
            mlx_core::memory::peak_memory()? as f64 / 1e9
        );
        if step > 0 {
            rates.push(rate);
        }
    }
    rates.sort_by(f64::total_cmp);
    println!("median {:.1} tokens/s", rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN));
    Ok(())
}
