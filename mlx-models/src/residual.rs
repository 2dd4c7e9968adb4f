// SPDX-License-Identifier: EUPL-1.2
//! Additions to the residual stream, which in float16 are held within its range.
//!
//! Gemma 3 was trained in bfloat16 and its residual stream grows beyond 65504, the largest float16; mlx-lm clamps
//! it there, and so do we. In any other dtype a sum is left as it is, and made together with what stands beside it.

use mlx_core::{Array, Dtype};
use mlx_nn::{GatedMlp, Linear, Operand, RmsNorm};

use crate::error::Result;

/// `x + linear(y)`, or with a norm `x + norm(linear(y))`.
///
/// # Errors
/// [`Error::Core`](crate::Error::Core) when the shapes do not fit.
pub(crate) fn add_linear(x: &Array, y: &Array, linear: &Linear, norm: Option<&RmsNorm>) -> Result<Array> {
    if x.dtype() != Dtype::Float16 {
        return Ok(linear.forward_add(y, norm, x)?);
    }
    add(x, linear.forward(y)?, norm)
}

/// `x + mlp(y)`, or with a norm `x + norm(mlp(y))`.
///
/// # Errors
/// As [`add_linear`].
pub(crate) fn add_mlp(x: &Array, y: Operand<'_>, mlp: &GatedMlp, norm: Option<&RmsNorm>) -> Result<Array> {
    if x.dtype() != Dtype::Float16 {
        return Ok(mlp.forward_add(y, norm, x)?);
    }
    add(x, mlp.forward(&y.to_array()?)?, norm)
}

/// `x + y`, or `x + norm(y)`, in float16 and within its range.
fn add(x: &Array, mut y: Array, norm: Option<&RmsNorm>) -> Result<Array> {
    const LARGEST: f64 = 65504.0;
    if let Some(norm) = norm {
        y = norm.forward(&y)?;
    }
    let sum = (&x.astype(Dtype::Float32)? + &y.astype(Dtype::Float32)?)?;
    let (low, high) = (sum.scalar_like(-LARGEST)?, sum.scalar_like(LARGEST)?);
    Ok(sum.clip(Some(&low), Some(&high))?.astype(Dtype::Float16)?)
}
