// SPDX-License-Identifier: EUPL-1.2
//! The fused kernels of language models.

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::{opt, optional_float};
use crate::{Array, Dtype};

/// `x / √(mean x² + eps) · weight` along the last axis, computed in float32.
///
/// - shape: `[.., D]`, `weight` `[D]` → `[.., D]`
/// - dtype: of `x` and `weight`, promoted
/// - source: `mlx_fast_rms_norm`; arXiv:1910.07467
///
/// # Errors
/// [`Error::Mlx`] when `x` is a scalar or `weight` does not fit.
pub fn rms_norm(x: &Array, weight: Option<&Array>, eps: f32) -> Result<Array> {
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_fast_rms_norm(x.as_raw(), opt(weight), eps, stream())) }
}

/// `(x − mean x) / √(var x + eps) · weight + bias` along the last axis, computed in float32.
///
/// - shape: `[.., D]`, `weight` and `bias` `[D]` → `[.., D]`
/// - dtype: of the operands, promoted
/// - source: `mlx_fast_layer_norm`; arXiv:1607.06450
///
/// # Errors
/// [`Error::Mlx`] when `x` is a scalar or the others do not fit.
pub fn layer_norm(x: &Array, weight: Option<&Array>, bias: Option<&Array>, eps: f32) -> Result<Array> {
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_fast_layer_norm(x.as_raw(), opt(weight), opt(bias), eps, stream())) }
}

/// How [`rope`] rotates.
#[derive(Clone, Debug)]
pub struct RopeOptions {
    /// Leading elements of each head that are rotated; an even number, 2 or more.
    pub dims: i32,
    /// Whether neighbours are rotated together, rather than the two halves of a head. Default false.
    pub traditional: bool,
    /// The base of the frequencies `base^(−2i/dims)`. Default 10,000; `None` where `freqs` is given.
    pub base: Option<f32>,
    /// What positions are multiplied by. Default 1.
    pub scale: f32,
    /// Periods over 2π, `[dims / 2]`, instead of those of `base`: the angle is `position · scale / freqs[i]`.
    pub freqs: Option<Array>,
}

impl Default for RopeOptions {
    fn default() -> Self {
        Self { dims: 64, traditional: false, base: Some(10_000.0), scale: 1.0, freqs: None }
    }
}

/// The position of the first row.
#[derive(Clone, Copy, Debug)]
pub enum RopeOffset<'a> {
    /// One for the whole batch.
    Scalar(i32),
    /// `[]` or `[B]`, integers: one for each of the batch.
    Array(&'a Array),
}

impl From<i32> for RopeOffset<'_> {
    fn from(offset: i32) -> Self {
        Self::Scalar(offset)
    }
}

impl<'a> From<&'a Array> for RopeOffset<'a> {
    fn from(offset: &'a Array) -> Self {
        Self::Array(offset)
    }
}

/// Rotates pairs of elements by an angle that grows with the position: rotary position embedding.
///
/// - shape: `[B, .., L, D]` → the same; positions run along the last axis but one
/// - dtype: kept; angles are in float32
/// - source: `mlx_fast_rope`, `mlx_fast_rope_dynamic`; arXiv:2104.09864
///
/// # Errors
/// [`Error::Argument`] when `dims` is odd, too small or too large, or not exactly one of `base` and `freqs` is given,
/// [`Error::Mlx`] when the shapes do not fit.
pub fn rope<'a>(x: &Array, options: &RopeOptions, offset: impl Into<RopeOffset<'a>>) -> Result<Array> {
    let RopeOptions { dims, traditional, base, scale, ref freqs } = *options;
    if base.is_some() == freqs.is_some() {
        return Err(Error::argument("rope", "base", "exactly one of base and freqs is needed"));
    }
    let width = x.dim(-1)?;
    if dims < 2 || dims % 2 != 0 || dims > width {
        let message = format!("expected an even number from 2 to {width}, found {dims}");
        return Err(Error::argument("rope", "dims", message));
    }
    let (base, freqs) = (optional_float(base), opt(freqs.as_ref()));
    match offset.into() {
        // SAFETY: op contract.
        RopeOffset::Scalar(offset) => unsafe {
            call!(Array = mlx_fast_rope(x.as_raw(), dims, traditional, base, scale, offset, freqs, stream()))
        },
        // SAFETY: op contract.
        RopeOffset::Array(offset) => unsafe {
            call!(Array =
                mlx_fast_rope_dynamic(x.as_raw(), dims, traditional, base, scale, offset.as_raw(), freqs, stream()))
        },
    }
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mask<'a> {
    /// All of them.
    #[default]
    None,
    /// Those up to its own place, the last query being at the last key.
    Causal,
    /// Added to the scores; broadcasts to `[B, H, L, S]`, in a dtype that promotes to that of the queries.
    Additive(&'a Array),
    /// Those where it is true; broadcasts to `[B, H, L, S]`.
    Bool(&'a Array),
}

/// `softmax(scale · Q Kᵀ + mask) V`, the softmax in float32.
///
/// - shape: queries `[B, H, L, E]`, keys `[B, K, S, E]`, values `[B, K, S, F]`, H a multiple of K → `[B, H, L, F]`
/// - `sinks`: `[H]`, one more score for each head that takes weight and has no value
/// - dtype: of the operands, promoted
/// - source: `mlx_fast_scaled_dot_product_attention`
///
/// # Errors
/// [`Error::Dtype`] when a mask is of the wrong kind, [`Error::Mlx`] when the shapes do not fit.
pub fn scaled_dot_product_attention(
    queries: &Array,
    keys: &Array,
    values: &Array,
    scale: f32,
    mask: Mask<'_>,
    sinks: Option<&Array>,
) -> Result<Array> {
    let op = "scaled_dot_product_attention";
    let (mode, array) = match mask {
        Mask::None => (c"", None),
        Mask::Causal => (c"causal", None),
        Mask::Additive(array) if array.dtype().is_float() => (c"array", Some(array)),
        Mask::Additive(array) => return Err(Error::Dtype { op, expected: queries.dtype(), found: array.dtype() }),
        Mask::Bool(array) if array.dtype() == Dtype::Bool => (c"array", Some(array)),
        Mask::Bool(array) => return Err(Error::Dtype { op, expected: Dtype::Bool, found: array.dtype() }),
    };
    // SAFETY: op contract. The mode is a NUL-terminated constant.
    unsafe {
        call!(Array = mlx_fast_scaled_dot_product_attention(
            queries.as_raw(),
            keys.as_raw(),
            values.as_raw(),
            scale,
            mode.as_ptr(),
            opt(array),
            opt(sinks),
            false,
            stream()
        ))
    }
}
