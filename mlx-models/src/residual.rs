// SPDX-License-Identifier: EUPL-1.2
//! Additions to the residual stream, which in float16 are held within its range.
//!
//! Gemma 3 was trained in bfloat16 and its residual stream grows beyond 65504, the largest float16; mlx-lm clamps
//! it there, and so do we. In any other dtype a sum is left as it is, and made together with what stands beside it.

use mlx_core::{Array, Dtype};
use mlx_nn::{GatedMlp, RmsNorm};

use crate::error::Result;

/// `x + y`, and the norm of that.
///
/// # Errors
/// [`Error::Core`](crate::Error::Core) when the shapes do not fit.
pub(crate) fn add_then_norm(x: &Array, y: &Array, norm: &RmsNorm) -> Result<(Array, Array)> {
    if x.dtype() != Dtype::Float16 {
        return Ok(norm.forward_sum(x, y)?);
    }
    let sum = add(x, y)?;
    let normed = norm.forward(&sum)?;
    Ok((sum, normed))
}

/// `x + norm(y)`.
///
/// # Errors
/// As [`add_then_norm`].
pub(crate) fn add_normed(x: &Array, y: &Array, norm: &RmsNorm) -> Result<Array> {
    if x.dtype() != Dtype::Float16 {
        return Ok(norm.forward_add(y, x)?);
    }
    add(x, &norm.forward(y)?)
}

/// `x + mlp(y)`.
///
/// # Errors
/// As [`add_then_norm`].
pub(crate) fn add_mlp(x: &Array, y: &Array, mlp: &GatedMlp) -> Result<Array> {
    if x.dtype() != Dtype::Float16 {
        return Ok(mlp.forward_add(y, x)?);
    }
    add(x, &mlp.forward(y)?)
}

/// `x + y` in float16, within its range.
fn add(x: &Array, y: &Array) -> Result<Array> {
    const LARGEST: f64 = 65504.0;
    let sum = (&x.astype(Dtype::Float32)? + &y.astype(Dtype::Float32)?)?;
    let (low, high) = (sum.scalar_like(-LARGEST)?, sum.scalar_like(LARGEST)?);
    Ok(sum.clip(Some(&low), Some(&high))?.astype(Dtype::Float16)?)
}
