// SPDX-License-Identifier: EUPL-1.2
//! Root mean square norms together with what stands beside them in a model.

use super::{RopeOffset, RopeOptions, plain_rms_norm, rope};
use crate::error::{Error, Result};
use crate::{Array, Dtype, cpu};

/// `x / √(mean x² + eps) · (weight + shift)` over the last axis, in float32, rounded once to the dtype of `x`.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a> {
    /// `[N]`, floating; its dtype does not change that of the result.
    pub weight: &'a Array,
    /// What is added to the weight: 0, or 1 in Gemma's norms.
    pub shift: f32,
    /// Added to the mean square.
    pub eps: f32,
}

impl Norm<'_> {
    /// Whether it is one for heads of this size.
    pub(crate) fn fits(&self, size: i32) -> bool {
        self.check("norm", Some(&size)).is_ok()
    }

    pub(super) fn check(&self, op: &'static str, width: Option<&i32>) -> Result<()> {
        super::check_eps(op, self.eps)?;
        super::check_float(op, "weight", Some(self.weight))?;
        match width {
            Some(width) if self.weight.shape() == [*width] => Ok(()),
            _ => Err(Error::argument(
                op,
                "weight",
                format!("expected one for each of the last axis, found {:?}", self.weight.shape()),
            )),
        }
    }

    /// The norm in MLX's own ops.
    pub(crate) fn plain(&self, x: &Array) -> Result<Array> {
        let dtype = x.dtype();
        let y = if self.shift == 0.0 {
            plain_rms_norm(x, Some(self.weight), self.eps)?
        } else {
            let weight = (&self.weight.astype(Dtype::Float32)? + self.shift)?;
            plain_rms_norm(x, Some(&weight), self.eps)?
        };
        if y.dtype() == dtype { Ok(y) } else { y.astype(dtype) }
    }
}

/// The norm of `x`.
///
/// - shape: `[.., N]`, kept
/// - dtype: floating, kept
///
/// # Errors
/// [`Error::Argument`] when the weight does not fit, or `x` is not floating.
pub fn norm(x: &Array, norm: &Norm<'_>) -> Result<Array> {
    super::check_float("norm", "x", Some(x))?;
    norm.check("norm", x.shape().last())?;
    cpu::norm::norm(x, norm).unwrap_or_else(|| norm.plain(x))
}

/// `x + y`, and the norm of that sum: a residual stream and what the next layer sees of it.
///
/// - shape: `[.., N]` both, kept
/// - dtype: floating, that of `x`; the sum is rounded before its norm is taken
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, [`Error::Argument`] when the weight does not fit or dtypes differ.
pub fn add_norm(x: &Array, y: &Array, norm: &Norm<'_>) -> Result<(Array, Array)> {
    const OP: &str = "add_norm";
    check_pair(OP, x, y)?;
    norm.check(OP, x.shape().last())?;
    if let Some(results) = cpu::norm::add_norm(x, y, norm) {
        return results;
    }
    let sum = (x + y)?;
    let normed = norm.plain(&sum)?;
    Ok((sum, normed))
}

/// `x + norm(y)`: a residual stream and a layer whose result is normed.
///
/// - shape: `[.., N]` both, kept
/// - dtype: floating, that of `x`; the norm is rounded before it is added
///
/// # Errors
/// As [`add_norm`].
pub fn norm_add(x: &Array, y: &Array, norm: &Norm<'_>) -> Result<Array> {
    const OP: &str = "norm_add";
    check_pair(OP, x, y)?;
    norm.check(OP, x.shape().last())?;
    cpu::norm::norm_add(x, y, norm).unwrap_or_else(|| x + &norm.plain(y)?)
}

/// Heads of queries or keys as attention takes them: `[B, L, H·E]` split, each head normed, and turned by its position.
///
/// - shape: `[B, L, H·E]` → `[B, H, L, E]`
/// - dtype: floating, kept; rounded between the norm and the rotation
///
/// # Errors
/// [`Error::Shape`] when `x` has not three axes, the last of them a multiple of `heads`; [`Error::Argument`] when the
/// norm or an option does not fit.
pub fn rope_heads<'a>(
    x: &Array,
    heads: i32,
    norm: Option<&Norm<'_>>,
    options: &RopeOptions,
    offset: impl Into<RopeOffset<'a>>,
) -> Result<Array> {
    const OP: &str = "rope_heads";
    let &[batch, length, width] = x.shape() else {
        return Err(Error::shape(OP, format!("expected [B, L, H·E], found {:?}", x.shape())));
    };
    if heads < 1 || width % heads != 0 {
        return Err(Error::shape(OP, format!("{heads} heads do not share {width} values")));
    }
    let size = width / heads;
    if let Some(norm) = norm {
        norm.check(OP, Some(&size))?;
    }
    let offset = offset.into();
    super::check_float(OP, "x", Some(x))?;
    offset.check(OP, batch)?;
    options.check(OP, size)?;
    if let Some(result) = cpu::rope::rope_heads(x, heads, norm, options, offset) {
        return result;
    }
    let x = x.reshape(&[batch, length, heads, size])?.transpose_axes(&[0, 2, 1, 3])?;
    let x = match norm {
        Some(norm) => norm.plain(&x)?,
        None => x,
    };
    rope(&x, options, offset)
}

fn check_pair(op: &'static str, x: &Array, y: &Array) -> Result<()> {
    super::check_float(op, "x", Some(x))?;
    if x.shape() != y.shape() {
        return Err(Error::shape(op, format!("{:?} and {:?} differ", x.shape(), y.shape())));
    }
    if x.dtype() != y.dtype() {
        return Err(Error::argument(op, "y", format!("expected {}, found {}", x.dtype(), y.dtype())));
    }
    Ok(())
}
