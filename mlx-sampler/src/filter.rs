// SPDX-License-Identifier: EUPL-1.2
//! Temperature, top-k, top-p and min-p.
//!
//! Each filter is a threshold on the logits, so tokens of equal logits are kept or dropped together, and the result
//! depends neither on the order of the vocabulary nor on how a device sorts.

use mlx_core::{Array, Scan, where_};

use crate::SamplerOptions;
use crate::error::Result;
use crate::sum::{rows, sum};

/// Applies temperature, top-k, top-p and min-p to the logits `x`, `[V]` in float32.
///
/// Of the result, `[V]` in float32, the largest entry is 0 and what is dropped is negative infinity. At least one
/// token is kept. `options` must not be greedy.
pub(crate) fn filter(x: &Array, options: &SamplerOptions) -> Result<Array> {
    // Relative to the largest, no temperature makes a logit overflow, and min-p is a constant.
    let mut kept = (&(x - &x.max(0, true)?)? / options.temperature)?;
    let mut candidates = kept.clone();
    if let Some(k) = options.top_k.filter(|&k| k > 0 && k < x.size()).and_then(|k| i32::try_from(k).ok()) {
        candidates = kept.topk(k, 0)?;
        kept = keep_from(&kept, &candidates.min(0, true)?)?;
    }
    if let Some(p) = options.top_p.filter(|&p| p < 1.0) {
        kept = keep_from(&kept, &top_p_threshold(&kept, &candidates, p)?)?;
    }
    if let Some(fraction) = options.min_p.filter(|&fraction| fraction > 0.0) {
        kept = keep_from(&kept, &kept.scalar_like(f64::from(fraction).ln())?)?;
    }
    Ok(kept)
}

/// The smallest logit that top-p keeps, `[]`.
///
/// - `kept`: what is left of the vocabulary, with 0 for the largest
/// - `candidates`: the largest entries of `kept` in any order: all of them but such as equal the least
fn top_p_threshold(kept: &Array, candidates: &Array, p: f32) -> Result<Array> {
    let ascending = candidates.sort(0)?;
    let (ascending, above) = mass_above(&ascending)?;
    let total = sum(&kept.exp()?)?;
    // A token belongs to the set as long as those above it do not make up p. Where the sum is reached only among the
    // equals that `candidates` lacks, all candidates are kept, and with the least of them its equals.
    let wanted = above.less(&(&total * p)?)?;
    let smallest = where_(&wanted, &ascending, &Array::scalar(f32::INFINITY)?)?.min_all()?;
    // With p = 0 nothing is wanted; the largest is kept all the same.
    Ok(smallest.minimum(&Array::scalar(0.0f32)?)?)
}

/// The exponentials above each entry of `ascending`, `[N]`, summed; and `ascending` itself. Both in rows.
fn mass_above(ascending: &Array) -> Result<(Array, Array)> {
    let rows = rows(ascending, f64::NEG_INFINITY)?;
    let exponentials = rows.exp()?;
    let from_above = Scan { reverse: true, inclusive: false };
    let within = exponentials.cumsum(1, from_above)?;
    let after = exponentials.sum(1, true)?.cumsum(0, from_above)?;
    Ok((rows, (&within + &after)?))
}

/// `x` where it is at least `threshold`, else negative infinity.
fn keep_from(x: &Array, threshold: &Array) -> Result<Array> {
    Ok(where_(&x.greater_equal(threshold)?, x, &Array::scalar(f32::NEG_INFINITY)?)?)
}
