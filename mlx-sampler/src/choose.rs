// SPDX-License-Identifier: EUPL-1.2
//! Filters and the draw as one op, where logits are in the processor's memory.
//!
//! The same as [`filter`](crate::filter) and a draw, in two or three passes over the vocabulary: thresholds are found by
//! selection instead of sorting, and the token is the one at which the running sum of weights passes a random share.

use std::ffi::CStr;

use mlx_core::custom::{CpuOp, Input, Output, OutputSpec, apply};
use mlx_core::random::{Key, uniform};
use mlx_core::{Array, Dtype};
use mlx_cpu::reduce::{self, Weighing};
use mlx_cpu::{Isa, Rows};

use crate::SamplerOptions;
use crate::error::{Error, Result};

/// The token, uint32 `[]`, and whether the logits were unusable, bool `[]`. Drawn with `key`, which is absent when
/// greedy.
///
/// - `x`: `[V]` in float32
///
/// `None` where ops do not go to the processor's kernels.
pub(crate) fn choose(
    x: &Array,
    options: &SamplerOptions,
    key: Option<&Key>,
) -> Option<Result<(Array, Array)>> {
    mlx_core::has_cpu_kernels().then(|| {
        let op = Choose { options: options.clone() };
        let share = key.map(|key| uniform(0.0, 1.0, &[], Dtype::Float32, key)).transpose()?;
        let inputs: Vec<&Array> = [x].into_iter().chain(&share).collect();
        match <[Array; 2]>::try_from(apply(op, &inputs)?) {
            Ok([token, fault]) => Ok((token, fault)),
            Err(_) => Err(Error::Shape { expected: "two results".into(), found: Vec::new() }),
        }
    })
}

struct Choose {
    options: SamplerOptions,
}

impl CpuOp for Choose {
    fn name(&self) -> &'static CStr {
        c"choose"
    }

    fn outputs(&self, _: &[&Array]) -> mlx_core::Result<Vec<OutputSpec>> {
        Ok(vec![OutputSpec::new([], Dtype::Uint32), OutputSpec::new([], Dtype::Bool)])
    }

    fn eval(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_>]) -> mlx_core::Result<()> {
        let ([logits, share @ ..], [token, fault]) = (inputs, outputs) else { return Ok(()) };
        let copied;
        let x = match logits.as_slice::<f32>() {
            Some(x) => x,
            None => {
                copied = logits.to_vec::<f32>()?;
                &copied
            }
        };
        let share = share.first().map(|share| share.to_vec::<f32>()).transpose()?;
        let chosen = self.choose(x, share.as_ref().and_then(|share| share.first()).copied());
        let failed =
            |error: mlx_cpu::Error| mlx_core::Error::Mlx { op: "choose", message: error.to_string() };
        let chosen = chosen.map_err(failed)?;
        if let ([token], [fault]) = (token.as_mut_slice::<u32>()?, fault.as_mut_slice::<bool>()?) {
            *token = chosen.unwrap_or(0);
            *fault = chosen.is_none();
        }
        Ok(())
    }
}

impl Choose {
    /// The token, or nothing when no distribution follows from the logits.
    fn choose(&self, x: &[f32], share: Option<f32>) -> mlx_cpu::Result<Option<u32>> {
        let (isa, options) = (Isa::current(), &self.options);
        let mut most = [0f32];
        reduce::max(isa, Rows::one(x), &mut most)?;
        let [most] = most;
        // A NaN anywhere makes the largest one; all excluded make it negative infinity.
        if !most.is_finite() {
            return Ok(None);
        }
        let Some(share) = share else {
            let mut token = [0u32];
            reduce::argmax(isa, Rows::one(x), &mut token)?;
            return Ok(token.first().copied());
        };
        let temperature = options.temperature;
        let mut weighing = Weighing { temperature, least: f32::NEG_INFINITY };
        if let Some(k) = options.top_k.filter(|&k| k > 0 && k < x.len()) {
            weighing.least = reduce::top_k_threshold(isa, x, k);
        }
        if let Some(p) = options.top_p.filter(|&p| p < 1.0) {
            weighing.least = weighing.least.max(reduce::top_p_threshold(isa, x, &weighing, p)?);
        }
        if let Some(fraction) = options.min_p.filter(|&fraction| fraction > 0.0) {
            weighing.least = weighing.least.max(temperature.mul_add(fraction.ln(), most)).min(most);
        }
        let token = reduce::sample_categorical(isa, x, &weighing, share)?;
        Ok(u32::try_from(token).ok())
    }
}
