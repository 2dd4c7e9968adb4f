// SPDX-License-Identifier: EUPL-1.2
//! Activations and gates.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::error::Result;
use crate::{Array, Dtype, cpu};

/// An elementwise function between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `x · σ(x)`. Source: arXiv:1702.03118.
    Silu,
    /// `x · Φ(x)`, with the normal distribution `Φ(x) = (1 + erf(x / √2)) / 2`. Source: arXiv:1606.08415.
    Gelu,
    /// `x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2`. Source: arXiv:1606.08415.
    GeluTanh,
    /// `x · σ(1.702 · x)`.
    QuickGelu,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²`. Source: arXiv:2109.08668.
    ReluSquared,
}

impl Activation {
    /// The activation of `x`, elementwise.
    ///
    /// - shape: any, kept
    /// - dtype: floating, kept; half precision is computed in float32
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the dtype is not floating.
    pub fn apply(self, x: &Array) -> Result<Array> {
        cpu::elementwise::activate(self, x).unwrap_or_else(|| self.plain(x))
    }

    /// The activation in MLX's own ops.
    pub(crate) fn plain(self, x: &Array) -> Result<Array> {
        match self {
            Self::Silu => x * &x.sigmoid()?,
            Self::Gelu => wide(x, |x| {
                let phi = (&(x * &x.scalar_like(FRAC_1_SQRT_2)?)?.erf()? + 1.0f32)?;
                &(x * 0.5f32)? * &phi
            }),
            Self::GeluTanh => {
                // √(2/π) = (2/√π) / √2.
                const SCALE: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
                wide(x, |x| {
                    let cubic =
                        (&(&x.square()? * &x.scalar_like(0.044_715 * SCALE)?)? + &x.scalar_like(SCALE)?)?;
                    let phi = (&(x * &cubic)?.tanh()? + 1.0f32)?;
                    &(x * 0.5f32)? * &phi
                })
            }
            Self::QuickGelu => wide(x, |x| x * &(x * &x.scalar_like(1.702)?)?.sigmoid()?),
            Self::Relu => x.maximum(&x.scalar_like(0.0)?),
            Self::ReluSquared => x.maximum(&x.scalar_like(0.0)?)?.square(),
        }
    }

    /// The same function among the kernels.
    pub(crate) fn kernel(self) -> mlx_cpu::elementwise::Activation {
        use mlx_cpu::elementwise::Activation as Kernel;
        match self {
            Self::Silu => Kernel::Silu,
            Self::Gelu => Kernel::Gelu,
            Self::GeluTanh => Kernel::GeluTanh,
            Self::QuickGelu => Kernel::QuickGelu,
            Self::Relu => Kernel::Relu,
            Self::ReluSquared => Kernel::ReluSquared,
        }
    }
}

/// `activation(gate) · up`, in one pass: the heart of SwiGLU and GeGLU. Source: arXiv:2002.05202.
///
/// - shape: the one that both broadcast to
/// - dtype: floating, kept; on the CPU computed in float32 and rounded once
///
/// # Errors
/// [`crate::Error::Mlx`] when the shapes do not broadcast or the dtype is not floating.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::fast::{Activation, gated};
/// let (gate, up) = (Array::from_slice(&[-1.0f32, 2.0], &[2])?, Array::from_slice(&[5.0f32, 3.0], &[2])?);
/// assert_eq!(gated(Activation::Relu, &gate, &up)?.to_vec::<f32>()?, [0.0, 6.0]);
/// # Ok(()) }
/// ```
pub fn gated(activation: Activation, gate: &Array, up: &Array) -> Result<Array> {
    cpu::elementwise::gated(activation, gate, up).unwrap_or_else(|| &activation.apply(gate)? * up)
}

/// Runs `body` in float32 where `x` is in half precision: sums like `1 + tanh(..)` lose all of a small value there.
fn wide(x: &Array, body: impl FnOnce(&Array) -> Result<Array>) -> Result<Array> {
    match x.dtype() {
        dtype @ (Dtype::Float16 | Dtype::Bfloat16) => body(&x.astype(Dtype::Float32)?)?.astype(dtype),
        _ => body(x),
    }
}
