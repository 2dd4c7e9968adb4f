// SPDX-License-Identifier: EUPL-1.2
//! Activations, elementwise, in the dtype of their input.

use std::fmt;
use std::str::FromStr;

use mlx_core::{Array, fast};

use crate::error::{Error, Result};

/// `x · σ(x)`, also called swish. Source: arXiv:1702.03118.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn silu(x: &Array) -> Result<Array> {
    Activation::Silu.forward(x)
}

/// `x · Φ(x)` with the normal distribution `Φ(x) = (1 + erf(x / √2)) / 2`. Source: arXiv:1606.08415.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn gelu(x: &Array) -> Result<Array> {
    Activation::Gelu.forward(x)
}

/// `x · (1 + tanh(√(2/π) · (x + 0.044715 · x³))) / 2`, transformers' `gelu_pytorch_tanh`. Source: arXiv:1606.08415.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn gelu_tanh(x: &Array) -> Result<Array> {
    Activation::GeluTanh.forward(x)
}

/// `x · σ(1.702 · x)`, a coarse GELU. Source: arXiv:1606.08415.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn quick_gelu(x: &Array) -> Result<Array> {
    Activation::QuickGelu.forward(x)
}

/// `max(x, 0)`.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn relu(x: &Array) -> Result<Array> {
    Activation::Relu.forward(x)
}

/// `max(x, 0)²`. Source: arXiv:2109.08668.
///
/// # Errors
/// [`Error::Core`] when an op fails.
pub fn relu_squared(x: &Array) -> Result<Array> {
    Activation::ReluSquared.forward(x)
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
        Ok(fast::Activation::from(self).apply(x)?)
    }

    /// The activation of `gate`, times `up`.
    ///
    /// # Errors
    /// [`Error::Core`] when the shapes do not fit each other.
    pub fn gated(self, gate: &Array, up: &Array) -> Result<Array> {
        Ok(fast::gated(self.into(), gate, up)?)
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

impl From<Activation> for fast::Activation {
    fn from(activation: Activation) -> Self {
        match activation {
            Activation::Silu => Self::Silu,
            Activation::Gelu => Self::Gelu,
            Activation::GeluTanh => Self::GeluTanh,
            Activation::QuickGelu => Self::QuickGelu,
            Activation::Relu => Self::Relu,
            Activation::ReluSquared => Self::ReluSquared,
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
