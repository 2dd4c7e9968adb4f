// SPDX-License-Identifier: EUPL-1.2
//! The same logits under three settings, drawn a few times each.
//!
//! `cargo run -p mlx-sampler --example draw`
#![expect(clippy::print_stdout, reason = "an example shows what it draws")]

use mlx_core::Array;
use mlx_sampler::{Result, Sampler, SamplerOptions};

fn main() -> Result<()> {
    let logits = Array::from_slice(&[2.0f32, 1.5, 0.5, -1.0], &[4])?;
    let settings = [
        ("greedy", SamplerOptions::default()),
        ("temperature 1", SamplerOptions { temperature: 1.0, seed: Some(7), ..SamplerOptions::default() }),
        (
            "temperature 1, the best two",
            SamplerOptions { temperature: 1.0, top_k: Some(2), seed: Some(7), ..SamplerOptions::default() },
        ),
    ];
    for (name, options) in settings {
        let mut sampler = Sampler::new(options, &[])?;
        let mut tokens = Vec::new();
        for _ in 0..16 {
            let token = sampler.sample(&logits)?.item::<u32>()?;
            sampler.accept(token)?;
            tokens.push(token);
        }
        println!("{name}: {tokens:?}");
    }
    Ok(())
}
