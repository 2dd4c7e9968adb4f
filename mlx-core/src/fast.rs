// SPDX-License-Identifier: EUPL-1.2
//! The fused kernels of language models.
//!
//! Letters for shapes: B batch, H query heads, K key-value heads, L queries, S keys, E head size.

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::{opt, optional_float};
use crate::{Array, Dtype};

/// Root mean square norm over the last axis: `x / √(mean x² + eps) · weight`, accumulated in float32.
///
/// - shape: `[.., N]`, weight `[N]` → `[.., N]`
/// - dtype: floating; the common one of `x` and `weight`, so a bfloat16 input wants a bfloat16 weight
/// - source: `mlx_fast_rms_norm`
///
/// # Errors
/// [`Error::Argument`] when `eps` is negative or not a number, [`Error::Mlx`] when the weight does not fit, or `x` has no axes or is
/// not floating.
pub fn rms_norm(x: &Array, weight: Option<&Array>, eps: f32) -> Result<Array> {
    check_eps("rms_norm", eps)?;
    check_float("rms_norm", "weight", weight)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_fast_rms_norm(x.as_raw(), opt(weight), eps, stream())) }
}

/// Layer norm over the last axis: `(x − mean x) / √(var x + eps) · weight + bias`, accumulated in float32.
///
/// - shape: `[.., N]`, weight and bias `[N]` → `[.., N]`
/// - dtype: floating; the common one of `x` and `weight`, or that of `x` without a weight
/// - source: `mlx_fast_layer_norm`
///
/// # Errors
/// [`Error::Argument`] when `eps` is negative or not a number, [`Error::Mlx`] when weight or bias do not fit, or `x` has no axes or
/// is not floating.
pub fn layer_norm(x: &Array, weight: Option<&Array>, bias: Option<&Array>, eps: f32) -> Result<Array> {
    check_eps("layer_norm", eps)?;
    check_float("layer_norm", "weight", weight)?;
    check_float("layer_norm", "bias", bias)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_fast_layer_norm(x.as_raw(), opt(weight), opt(bias), eps, stream())) }
}

fn check_eps(op: &'static str, eps: f32) -> Result<()> {
    if eps >= 0.0 {
        Ok(())
    } else {
        Err(Error::argument(op, "eps", format!("expected 0 or more, found {eps}")))
    }
}

fn check_float(op: &'static str, argument: &'static str, array: Option<&Array>) -> Result<()> {
    match array.map(Array::dtype) {
        Some(dtype) if !dtype.is_float() => {
            Err(Error::argument(op, argument, format!("expected a floating dtype, found {dtype}")))
        }
        _ => Ok(()),
    }
}

/// How [`rope`] turns: which pairs, and how fast.
#[derive(Clone, Debug)]
pub struct RopeOptions {
    /// How many of the last axis are turned, from the first on; even, from 2 to its length. The default, 0, must be
    /// replaced.
    pub dims: i32,
    /// Whether neighbours make up a pair; else (the default) the first half goes with the second.
    pub traditional: bool,
    /// Pair `i` turns by `base^(−2i / dims)` a position; 10 000 by default. `None` with `freqs`.
    pub base: Option<f32>,
    /// What positions are multiplied by; 1 by default.
    pub scale: f32,
    /// Instead of `base`: pair `i` turns by `1 / freqs[i]` a position; `[dims / 2]`.
    pub freqs: Option<Array>,
}

impl Default for RopeOptions {
    fn default() -> Self {
        Self { dims: 0, traditional: false, base: Some(10_000.0), scale: 1.0, freqs: None }
    }
}

/// The position of the first query, in [`rope`].
#[derive(Clone, Copy, Debug)]
pub enum RopeOffset<'a> {
    /// The same for the whole batch.
    Position(i32),
    /// One for each sequence, `[B]`, or one for all, `[]` or `[1]`; integers, which may still have to be computed.
    Positions(&'a Array),
}

impl From<i32> for RopeOffset<'_> {
    fn from(position: i32) -> Self {
        Self::Position(position)
    }
}

impl<'a> From<&'a Array> for RopeOffset<'a> {
    fn from(positions: &'a Array) -> Self {
        Self::Positions(positions)
    }
}

/// Rotary position embedding: turns each pair `(a, b)` of the last axis by the angle `t` of its position to
/// `(a cos t − b sin t, a sin t + b cos t)`.
///
/// - shape: `[B, .., L, E]` → the same, with positions counted along L
/// - dtype: floating, kept
/// - source: `mlx_fast_rope`, `mlx_fast_rope_dynamic`; arXiv:2104.09864
///
/// # Errors
/// [`Error::Argument`] when an option or the offset does not fit, [`Error::Shape`] when `x` has fewer than three axes.
pub fn rope<'a>(x: &Array, options: &RopeOptions, offset: impl Into<RopeOffset<'a>>) -> Result<Array> {
    const OP: &str = "rope";
    let shape = x.shape();
    let (&[batch, _, ..], Some(&width)) = (shape, shape.last()) else {
        return Err(Error::shape(OP, format!("expected three axes or more, found shape {shape:?}")));
    };
    if shape.len() < 3 {
        return Err(Error::shape(OP, format!("expected three axes or more, found shape {shape:?}")));
    }
    check_float(OP, "x", Some(x))?;
    let &RopeOptions { dims, traditional, base, scale, ref freqs } = options;
    if dims <= 0 || dims % 2 != 0 || dims > width {
        let message = format!("expected an even number from 2 to {width}, found {dims}");
        return Err(Error::argument(OP, "dims", message));
    }
    if !scale.is_finite() {
        return Err(Error::argument(OP, "scale", format!("expected a finite number, found {scale}")));
    }
    match (base, freqs) {
        (Some(base), None) if base.is_finite() && base > 0.0 => {}
        (Some(base), None) => {
            return Err(Error::argument(OP, "base", format!("expected a positive number, found {base}")));
        }
        (None, Some(freqs)) => {
            check_float(OP, "freqs", Some(freqs))?;
            if freqs.shape() != [dims / 2] {
                let message = format!("expected shape [{}], found {:?}", dims / 2, freqs.shape());
                return Err(Error::argument(OP, "freqs", message));
            }
        }
        (Some(_), Some(_)) => {
            return Err(Error::argument(OP, "freqs", "expected either a base or freqs, found both"));
        }
        (None, None) => {
            return Err(Error::argument(OP, "base", "expected either a base or freqs, found neither"));
        }
    }
    let base = optional_float(base);
    match offset.into() {
        RopeOffset::Position(offset) => {
            // SAFETY: op contract.
            unsafe {
                call!(
                    Array = mlx_fast_rope(
                        x.as_raw(),
                        dims,
                        traditional,
                        base,
                        scale,
                        offset,
                        opt(freqs.as_ref()),
                        stream(),
                    )
                )
            }
        }
        RopeOffset::Positions(offset) => {
            if !offset.dtype().is_integer() {
                let message = format!("expected integers, found {}", offset.dtype());
                return Err(Error::argument(OP, "offset", message));
            }
            if !matches!(offset.shape(), [] | [1]) && offset.shape() != [batch] {
                let message =
                    format!("expected one for each of {batch} sequences, found shape {:?}", offset.shape());
                return Err(Error::argument(OP, "offset", message));
            }
            // SAFETY: op contract.
            unsafe {
                call!(
                    Array = mlx_fast_rope_dynamic(
                        x.as_raw(),
                        dims,
                        traditional,
                        base,
                        scale,
                        offset.as_raw(),
                        opt(freqs.as_ref()),
                        stream(),
                    )
                )
            }
        }
    }
}

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, Default)]
pub enum Mask<'a> {
    /// All.
    #[default]
    None,
    /// Those up to its own place, with the last query at the last key.
    Causal,
    /// All, with this added to the scores before the softmax; broadcasts to `[B, H, L, S]`, in a dtype no wider than the
    /// result's.
    Additive(&'a Array),
    /// Those where this is true; broadcasts to `[B, H, L, S]`. A query that sees no key gives an unspecified row.
    Bool(&'a Array),
}

/// Attention: `softmax(scale · q kᵀ + mask) v`, with the softmax in float32. Query head `h` reads the key-value head
/// `h / (H / K)`.
///
/// `sinks` holds a score for each query head that takes part in the softmax beside the keys and stands for no value, in a dtype no
/// wider than the result's.
///
/// - shape: `q` `[B, H, L, E]`, `k` `[B, K, S, E]`, `v` `[B, K, S, D]` with K a divisor of H, `sinks` `[H]` → `[B, H, L, D]`
/// - dtype: floating, the common one of `q`, `k` and `v`
/// - source: `mlx_fast_scaled_dot_product_attention`
///
/// # Errors
/// [`Error::Shape`] when the operands do not fit each other, there are no heads, no keys, or with a causal mask more queries than
/// keys; [`Error::Argument`] when mask or sinks do not fit or an operand is not floating.
pub fn scaled_dot_product_attention(
    q: &Array,
    k: &Array,
    v: &Array,
    scale: f32,
    mask: Mask<'_>,
    sinks: Option<&Array>,
) -> Result<Array> {
    const OP: &str = "scaled_dot_product_attention";
    for (argument, operand) in [("q", Some(q)), ("k", Some(k)), ("v", Some(v)), ("sinks", sinks)] {
        check_float(OP, argument, operand)?;
    }
    let misfit = || {
        let (q, k, v) = (q.shape(), k.shape(), v.shape());
        let message = format!("queries of {q:?}, keys of {k:?} and values of {v:?} do not fit each other");
        Error::shape(OP, message)
    };
    let (
        &[batch, heads, queries, width],
        &[k_batch, kv_heads, keys, k_width],
        &[v_batch, v_heads, v_keys, out],
    ) = (q.shape(), k.shape(), v.shape())
    else {
        return Err(misfit());
    };
    let fit = [k_batch, v_batch] == [batch; 2]
        && v_heads == kv_heads
        && kv_heads > 0
        && heads % kv_heads == 0
        && k_width == width
        && v_keys == keys;
    if !fit {
        return Err(misfit());
    }
    if keys == 0 && queries > 0 {
        return Err(Error::shape(OP, "expected at least one key, found none"));
    }
    if let Some(sinks) = sinks.filter(|sinks| sinks.shape() != [heads]) {
        let message = format!("expected one for each of {heads} heads, found shape {:?}", sinks.shape());
        return Err(Error::argument(OP, "sinks", message));
    }
    let (mode, mask) = match mask {
        Mask::None => (c"", None),
        Mask::Causal if queries > keys => {
            let message = format!("{queries} queries cannot end at the last of {keys} keys");
            return Err(Error::shape(OP, message));
        }
        Mask::Causal => (c"causal", None),
        Mask::Additive(mask) => {
            check_float(OP, "mask", Some(mask))?;
            (c"array", Some(mask))
        }
        Mask::Bool(mask) if mask.dtype() != Dtype::Bool => {
            return Err(Error::argument(OP, "mask", format!("expected bool, found {}", mask.dtype())));
        }
        Mask::Bool(mask) => (c"array", Some(mask)),
    };
    if let Some(mask) = mask {
        let scores = [batch, heads, queries, keys];
        let found = mask.shape();
        let fits =
            found.len() <= 4 && found.iter().rev().zip(scores.iter().rev()).all(|(&m, &s)| m == s || m == 1);
        if !fits {
            let message = format!("{found:?} does not broadcast to {scores:?}");
            return Err(Error::argument(OP, "mask", message));
        }
    }
    if batch == 0 || heads == 0 || queries == 0 || out == 0 {
        return empty_attention(q, k, v, &[batch, heads, queries, out]);
    }
    // SAFETY: op contract. The mode is a NUL-terminated constant.
    unsafe {
        call!(
            Array = mlx_fast_scaled_dot_product_attention(
                q.as_raw(),
                k.as_raw(),
                v.as_raw(),
                scale,
                mode.as_ptr(),
                opt(mask),
                opt(sinks),
                false,
                stream(),
            )
        )
    }
}

/// A result without elements, in the dtype that the operands have in common.
fn empty_attention(q: &Array, k: &Array, v: &Array, shape: &[i32]) -> Result<Array> {
    let scalar = |array: &Array| Array::zeros(&[], array.dtype());
    let common = (&(&scalar(q)? + &scalar(k)?)? + &scalar(v)?)?.dtype();
    Array::zeros(shape, common)
}
