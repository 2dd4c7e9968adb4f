// SPDX-License-Identifier: EUPL-1.2
//! How long one token takes to choose, from logits that are there to a token that the host has read.
//!
//! `cargo bench -p mlx-sampler`. Each round is timed whole, evaluation included; the median of the rounds is printed.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::time::Instant;

use mlx_core::random::{Key, normal};
use mlx_core::{Dtype, Result};
use mlx_sampler::{Sampler, SamplerOptions};

/// The vocabularies of Qwen 3 and Gemma 3.
const VOCABULARIES: [i32; 2] = [151_936, 262_144];
const ROUNDS: usize = 50;

fn main() -> Result<(), mlx_sampler::Error> {
    let drawing = || SamplerOptions { temperature: 0.8, seed: Some(1), ..SamplerOptions::default() };
    let cases = [
        ("greedy", SamplerOptions::default()),
        ("temperature", drawing()),
        ("top-k 40", SamplerOptions { top_k: Some(40), ..drawing() }),
        ("min-p 0.05", SamplerOptions { min_p: Some(0.05), ..drawing() }),
        ("top-p 0.9", SamplerOptions { top_p: Some(0.9), ..drawing() }),
        ("top-k 40, top-p 0.9", SamplerOptions { top_k: Some(40), top_p: Some(0.9), ..drawing() }),
        (
            "penalties",
            SamplerOptions { repetition_penalty: Some(1.1), presence_penalty: Some(0.1), ..drawing() },
        ),
    ];
    for vocabulary in VOCABULARIES {
        let logits = normal(&[vocabulary], Dtype::Float32, 0.0, 3.0, &Key::new(0)?)?;
        logits.eval()?;
        for (name, options) in &cases {
            let mut sampler = Sampler::new(options.clone(), &[1, 2, 3])?;
            let mut times = Vec::with_capacity(ROUNDS);
            for _ in 0..ROUNDS {
                let start = Instant::now();
                let id = sampler.sample(&logits)?.item::<u32>()?;
                sampler.accept(id)?;
                times.push(start.elapsed());
            }
            times.sort_unstable();
            println!("V = {vocabulary}, {name:<20} {:>8.0} µs", times[ROUNDS / 2].as_secs_f64() * 1e6);
        }
    }
    Ok(())
}
