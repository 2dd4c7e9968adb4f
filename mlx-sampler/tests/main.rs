// SPDX-License-Identifier: EUPL-1.2
//! The sampler as its users see it, against an implementation in plain float64.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod distribution;
mod draws;
mod edges;
mod history;
mod reference;

use mlx_core::Array;
use mlx_sampler::SamplerOptions;

/// One row of logits.
fn row(logits: &[f32]) -> Array {
    Array::from_slice(logits, &[i32::try_from(logits.len()).unwrap()]).unwrap()
}

/// Options that draw at temperature 1, with the same seed each time.
fn drawing() -> SamplerOptions {
    SamplerOptions { temperature: 1.0, seed: Some(1), ..SamplerOptions::default() }
}
