// SPDX-License-Identifier: EUPL-1.2
//! What a gated feed-forward layer and the layers around it cost: `cargo bench -p mlx-nn`.
//!
//! Every time includes evaluating the result. `prefill` is 32 tokens, `decode` one.

use std::time::Instant;

use mlx_core::random::{self, Key};
use mlx_core::{Array, Dtype, QuantMode, Quantization};
use mlx_nn::{Activation, GatedMlp, Result, RmsNorm, Rope, RopeConfig, init, params};

const DIM: i32 = 256;
const ROUNDS: u32 = 9;

/// Prints the median of some rounds, after one that warms up.
#[expect(clippy::print_stdout, reason = "a benchmark shows its result")]
fn time(name: &str, mut body: impl FnMut() -> Result<Array>) -> Result<()> {
    body()?.eval()?;
    let mut micros = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        body()?.eval()?;
        micros.push(start.elapsed().as_secs_f64() * 1e6);
    }
    micros.sort_by(f64::total_cmp);
    println!("{name:32} {:10.1} µs", micros.get(micros.len() / 2).copied().unwrap_or_default());
    Ok(())
}

fn main() -> Result<()> {
    let key = Key::new(0)?;
    let settings = Quantization { group_size: 64, bits: 4, mode: QuantMode::Affine };
    let mut dense = GatedMlp::new(DIM, 4 * DIM, Activation::Silu)?;
    init::initialise(&mut dense, &key, Dtype::Bfloat16)?;
    let mut packed = dense.clone();
    params::quantize(&mut packed, |_| Some(settings))?;
    for (_, value) in params::parameters(&dense).into_iter().chain(params::parameters(&packed)) {
        value.eval()?;
    }
    let (norm, gemma) = (RmsNorm::new(DIM, 1e-6)?, RmsNorm::gemma(DIM, 1e-6)?);
    let rope = Rope::new(RopeConfig { head_dim: 64, ..RopeConfig::default() })?;
    for (phase, tokens) in [("prefill", 32), ("decode", 1)] {
        let x = random::normal(&[1, tokens, DIM], Dtype::Bfloat16, 0.0, 1.0, &key)?;
        let heads = x.reshape(&[1, tokens, DIM / 64, 64])?.transpose_axes(&[0, 2, 1, 3])?;
        x.eval()?;
        time(&format!("{phase} swiglu bfloat16"), || dense.forward(&x))?;
        time(&format!("{phase} swiglu 4 bits"), || packed.forward(&x))?;
        time(&format!("{phase} rms norm"), || norm.forward(&x))?;
        time(&format!("{phase} gemma norm"), || gemma.forward(&x))?;
        time(&format!("{phase} rope"), || rope.forward(&heads, 7))?;
    }
    Ok(())
}
