// SPDX-License-Identifier: EUPL-1.2
//! The fused kernels of language models.
//!
//! Letters for shapes: B batch, H query heads, K key-value heads, L queries, S keys, E head size.

mod activation;
mod cross_entropy;
mod grow;
mod kernel;
mod norm;
mod project;

pub use activation::{Activation, gated};
pub use cross_entropy::cross_entropy;
pub use grow::{CachedAttention, KvBuffer};
pub use kernel::{CudaKernel, CudaSource, KernelLaunch, MetalKernel, MetalSource, TemplateValue};
pub use norm::{Norm, add_norm, norm, norm_add, rope_heads};
pub use project::{Operand, Projection, Weight, chain, project};

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::{opt, optional_float};
use crate::{Array, Dtype, cpu};

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
    if let Some(weight) = weight
        && weight.dtype() == x.dtype()
        && weight.ndim() == 1
        && weight.shape().last() == x.shape().last()
        && let Some(result) = cpu::norm::norm(x, &Norm { weight, shift: 0.0, eps })
    {
        return result;
    }
    plain_rms_norm(x, weight, eps)
}

/// MLX's own norm.
fn plain_rms_norm(x: &Array, weight: Option<&Array>, eps: f32) -> Result<Array> {
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
    cpu::norm::layer_norm(x, weight, bias, eps).unwrap_or_else(|| plain_layer_norm(x, weight, bias, eps))
}

/// MLX's own layer norm.
pub(crate) fn plain_layer_norm(
    x: &Array,
    weight: Option<&Array>,
    bias: Option<&Array>,
    eps: f32,
) -> Result<Array> {
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

impl RopeOptions {
    /// Checks the options for heads of `width` values.
    fn check(&self, op: &'static str, width: i32) -> Result<()> {
        let &Self { dims, base, scale, ref freqs, .. } = self;
        if dims <= 0 || dims % 2 != 0 || dims > width {
            let message = format!("expected an even number from 2 to {width}, found {dims}");
            return Err(Error::argument(op, "dims", message));
        }
        if !scale.is_finite() {
            return Err(Error::argument(op, "scale", format!("expected a finite number, found {scale}")));
        }
        match (base, freqs) {
            (Some(base), None) if base.is_finite() && base > 0.0 => {}
            (Some(base), None) => {
                return Err(Error::argument(op, "base", format!("expected a positive number, found {base}")));
            }
            (None, Some(freqs)) => {
                check_float(op, "freqs", Some(freqs))?;
                if freqs.shape() != [dims / 2] {
                    let message = format!("expected shape [{}], found {:?}", dims / 2, freqs.shape());
                    return Err(Error::argument(op, "freqs", message));
                }
            }
            (Some(_), Some(_)) => {
                return Err(Error::argument(op, "freqs", "expected either a base or freqs, found both"));
            }
            (None, None) => {
                return Err(Error::argument(op, "base", "expected either a base or freqs, found neither"));
            }
        }
        Ok(())
    }
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

impl RopeOffset<'_> {
    /// Checks that there is a position for each sequence.
    fn check(&self, op: &'static str, batch: i32) -> Result<()> {
        if let Self::Positions(offset) = self {
            if !offset.dtype().is_integer() {
                let message = format!("expected integers, found {}", offset.dtype());
                return Err(Error::argument(op, "offset", message));
            }
            if !matches!(offset.shape(), [] | [1]) && offset.shape() != [batch] {
                let message =
                    format!("expected one for each of {batch} sequences, found shape {:?}", offset.shape());
                return Err(Error::argument(op, "offset", message));
            }
        }
        Ok(())
    }
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
    let offset = offset.into();
    offset.check(OP, batch)?;
    options.check(OP, width)?;
    if let Some(result) = cpu::rope::rope(x, options, offset) {
        return result;
    }
    plain_rope(x, options, offset)
}

/// MLX's own rotation, of operands that fit.
pub(crate) fn plain_rope(x: &Array, options: &RopeOptions, offset: RopeOffset<'_>) -> Result<Array> {
    let &RopeOptions { dims, traditional, base, scale, ref freqs } = options;
    let base = optional_float(base);
    match offset {
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
    /// Of those that [`Causal`](Self::Causal) shows, the last so many, the query's own included: a sliding window, at
    /// least 1.
    Window(i32),
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
    let array = match mask {
        Mask::Causal | Mask::Window(_) if queries > keys => {
            let message = format!("{queries} queries cannot end at the last of {keys} keys");
            return Err(Error::shape(OP, message));
        }
        Mask::Window(window) if window < 1 => {
            return Err(Error::argument(
                OP,
                "mask",
                format!("expected a window of 1 or more, found {window}"),
            ));
        }
        Mask::None | Mask::Causal | Mask::Window(_) => None,
        Mask::Additive(mask) => {
            check_float(OP, "mask", Some(mask))?;
            Some(mask)
        }
        Mask::Bool(mask) if mask.dtype() != Dtype::Bool => {
            return Err(Error::argument(OP, "mask", format!("expected bool, found {}", mask.dtype())));
        }
        Mask::Bool(mask) => Some(mask),
    };
    if let Some(mask) = array {
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
    if width > 0
        && let Some(result) = cpu::attention::attend(q, k, v, scale, mask, sinks)
    {
        return result;
    }
    plain_attention(q, k, v, scale, mask, sinks)
}

/// MLX's own attention, of operands that fit.
pub(crate) fn plain_attention(
    q: &Array,
    k: &Array,
    v: &Array,
    scale: f32,
    mask: Mask<'_>,
    sinks: Option<&Array>,
) -> Result<Array> {
    let window;
    let (mode, mask) = match mask {
        Mask::None => (c"", None),
        Mask::Causal => (c"causal", None),
        Mask::Window(width) => {
            window = window_mask(q.dim(2)?, k.dim(2)?, width)?;
            (c"array", Some(&window))
        }
        Mask::Additive(mask) | Mask::Bool(mask) => (c"array", Some(mask)),
    };
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

/// True where a query, of which the last is at the last key, sees a key: `[queries, keys]`.
fn window_mask(queries: i32, keys: i32, window: i32) -> Result<Array> {
    let place = |start: i32, end: i32| Array::arange(f64::from(start), f64::from(end), 1.0, Dtype::Int32);
    let query = place(keys - queries, keys)?.expand_dims(1)?;
    let key = place(0, keys)?.expand_dims(0)?;
    let near = key.greater(&(&query - window)?)?;
    key.less_equal(&query)?.logical_and(&near)
}

/// A result without elements, in the dtype that the operands have in common.
fn empty_attention(q: &Array, k: &Array, v: &Array, shape: &[i32]) -> Result<Array> {
    let scalar = |array: &Array| Array::zeros(&[], array.dtype());
    let common = (&(&scalar(q)? + &scalar(k)?)? + &scalar(v)?)?.dtype();
    Array::zeros(shape, common)
}
