// SPDX-License-Identifier: EUPL-1.2
//! Activations, elementwise, in the dtype of their input.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};
use std::fmt;
use std::str::FromStr;

use mlx_core::{Array, Dtype};

use crate::error::{Error, Result};

/// `x · σ(x)`, also called swish. Source: arXiv:1702.03118.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn silu(x: &Array) -> Result<Array> {
    Ok((x * &x.sigmoid()?)?)
}

/// `x · Φ(x)` with the normal distribution `Φ(x) = (1 + erf(x / √2)) / 2`. Source: arXiv:1606.08415.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn gelu(x: &Array) -> Result<Array> {
    wide(x, |x| {
        let phi = (&(x * &x.scalar_like(FRAC_1_SQRT_2)?)?.erf()? + 1.0f32)?;
        Ok((&(x * 0.5f32)? * &phi)?)
    })
}

/// `x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2`, transformers' `gelu_pytorch_tanh`. Source: arXiv:1606.08415.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn gelu_tanh(x: &Array) -> Result<Array> {
    // √(2/π) = (2/√π) / √2.
    const SCALE: f64 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
    wide(x, |x| {
        let cubic = (&(&x.square()? * &x.scalar_like(0.044_715 * SCALE)?)? + &x.scalar_like(SCALE)?)?;
        let phi = (&(x * &cubic)?.tanh()? + 1.0f32)?;
        Ok((&(x * 0.5f32)? * &phi)?)
    })
}

/// `x · σ(1.702 · x)`, a coarse GELU. Source: arXiv:1606.08415.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn quick_gelu(x: &Array) -> Result<Array> {
    wide(x, |x| Ok((x * &(x * &x.scalar_like(1.702)?)?.sigmoid()?)?))
}

/// `max(x, 0)`.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn relu(x: &Array) -> Result<Array> {
    Ok(x.maximum(&x.scalar_like(0.0)?)?)
}

/// `max(x, 0)²`. Source: arXiv:2109.08668.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn relu_squared(x: &Array) -> Result<Array> {
    Ok(relu(x)?.square()?)
}

/// `silu(gate) · up`, the heart of a SwiGLU layer. Source: arXiv:2002.05202.
///
/// # Errors
/// [`Error::Core`] when the shapes do not fit each other.
pub fn swiglu(gate: &Array, up: &Array) -> Result<Array> {
    Activation::Silu.gated(gate, up)
}

/// `gelu_tanh(gate) · up`, the heart of a GeGLU layer as Gemma has it. Source: arXiv:2002.05202.
///
/// # Errors
/// [`Error::Core`] when the shapes do not fit each other.
pub fn geglu(gate: &Array, up: &Array) -> Result<Array> {
    Activation::GeluTanh.gated(gate, up)
}

/// Runs `body` in float32 where `x` is in half precision: sums like `1 + tanh(..)` lose all of a small value there.
fn wide(x: &Array, body: impl FnOnce(&Array) -> Result<Array>) -> Result<Array> {
    match x.dtype() {
        dtype @ (Dtype::Float16 | Dtype::Bfloat16) => Ok(body(&x.astype(Dtype::Float32)?)?.astype(dtype)?),
        _ => body(x),
    }
}

/// An activation by the name that configs have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// [`silu`]; `silu` or `swish`.
    Silu,
    /// [`gelu`]; `gelu`.
    Gelu,
    /// [`gelu_tanh`]; `gelu_pytorch_tanh`, `gelu_new`, `gelu_fast`, `gelu_accurate` or `gelu_tanh`.
    GeluTanh,
    /// [`quick_gelu`]; `quick_gelu`.
    QuickGelu,
    /// [`relu`]; `relu`.
    Relu,
    /// [`relu_squared`]; `relu2`.
    ReluSquared,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Self; 6] =
        [Self::Silu, Self::Gelu, Self::GeluTanh, Self::QuickGelu, Self::Relu, Self::ReluSquared];

    /// The activation of `x`, elementwise, in its dtype.
    ///
    /// # Errors
    /// [`Error::Core`] when an op fails.
    pub fn forward(self, x: &Array) -> Result<Array> {
        match self {
            Self::Silu => silu(x),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::QuickGelu => quick_gelu(x),
            Self::Relu => relu(x),
            Self::ReluSquared => relu_squared(x),
        }
    }

    /// The activation of `gate`, times `up`.
    ///
    /// # Errors
    /// [`Error::Core`] when the shapes do not fit each other.
    pub fn gated(self, gate: &Array, up: &Array) -> Result<Array> {
        Ok((&self.forward(gate)? * up)?)
    }

    /// The name in configs; the first where there are several.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silu => "silu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_pytorch_tanh",
            Self::QuickGelu => "quick_gelu",
            Self::Relu => "relu",
            Self::ReluSquared => "relu2",
        }
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "silu" | "swish" => Self::Silu,
            "gelu" | "gelu_python" => Self::Gelu,
            "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_python_tanh"
            | "gelu_tanh" => Self::GeluTanh,
            "quick_gelu" => Self::QuickGelu,
            "relu" => Self::Relu,
            "relu2" => Self::ReluSquared,
            _ => {
                let known = Self::ALL.map(Self::name).join(", ");
                return Err(Error::config("activation", format!("expected one of {known}, found {name:?}")));
            }
        })
    }
}
