// SPDX-License-Identifier: EUPL-1.2
//! Activations, elementwise where they name no axis, in the dtype of their input.
//!
//! Those that configs of language models name are an [`Activation`]; all of them are functions, and with
//! [`Function`](crate::Function) layers without parameters. What cancels in half precision is computed in float32.

use std::fmt;
use std::str::FromStr;

use mlx_core::{Array, Dtype, fast, where_};

use crate::constant::Constant;
use crate::error::{Error, Result, floating};

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

/// `1 / (1 + e⁻ˣ)`.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn sigmoid(x: &Array) -> Result<Array> {
    wide("sigmoid", x, |x| Ok(x.sigmoid()?))
}

/// The hyperbolic tangent.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn tanh(x: &Array) -> Result<Array> {
    wide("tanh", x, |x| Ok(x.tanh()?))
}

/// `min(max(x, 0), 6)`.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn relu6(x: &Array) -> Result<Array> {
    hard_tanh(x, 0.0, 6.0)
}

/// `max(slope · x, x)`, usually with a slope of 0.01.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn leaky_relu(x: &Array, slope: f32) -> Result<Array> {
    wide("leaky_relu", x, |x| Ok((x * slope)?.maximum(x)?))
}

/// `x` where it is positive, else `slope · x`; the slope broadcasts. A layer that learns it is
/// [`Prelu`](crate::Prelu). Source: arXiv:1502.01852.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating or the slope does not broadcast.
pub fn prelu(x: &Array, slope: &Array) -> Result<Array> {
    wide("prelu", x, |x| Ok(where_(&positive(x)?, x, &(x * slope)?)?))
}

/// `x` where it is positive, else `alpha · (eˣ − 1)`, usually with an alpha of 1. Source: arXiv:1511.07289.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn elu(x: &Array, alpha: f32) -> Result<Array> {
    exponential("elu", x, alpha.into(), 1.0)
}

/// [`elu`] with an alpha of 1.673, times 1.051: what goes in with mean 0 and variance 1 comes out so. Source:
/// arXiv:1706.02515.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn selu(x: &Array) -> Result<Array> {
    wide("selu", x, |x| exponential("selu", x, 1.673_263_242_354_377_2, 1.0)?.times(1.050_700_987_355_480_5))
}

/// `x` where it is positive, else `alpha · (e^(x / alpha) − 1)`, usually with an alpha of 1. Source: arXiv:1704.07483.
///
/// # Errors
/// [`Error::Config`] when `alpha` is 0 or no number, [`Error::Core`] when `x` is not floating.
pub fn celu(x: &Array, alpha: f32) -> Result<Array> {
    if alpha == 0.0 || alpha.is_nan() {
        return Err(Error::config("alpha", format!("expected a number other than 0, found {alpha}")));
    }
    exponential("celu", x, alpha.into(), alpha.into())
}

/// `ln(1 + eˣ)`, a smooth [`relu`].
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn softplus(x: &Array) -> Result<Array> {
    wide("softplus", x, |x| Ok(x.logaddexp(&x.scalar_like(0.0)?)?))
}

/// `ln σ(x)`.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn log_sigmoid(x: &Array) -> Result<Array> {
    wide("log_sigmoid", x, |x| Ok(softplus(&x.negative()?)?.negative()?))
}

/// `x / (1 + |x|)`.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn softsign(x: &Array) -> Result<Array> {
    wide("softsign", x, |x| Ok((x / &x.abs()?.plus(1.0)?)?))
}

/// `x` brought nearer to 0 by `lambda`, usually 0.5, and 0 where it is no further away.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn softshrink(x: &Array, lambda: f32) -> Result<Array> {
    wide("softshrink", x, |x| beyond(x, lambda, &(x - &(&x.sign()? * lambda)?)?))
}

/// `x`, but 0 where it is no further than `lambda` from 0, usually 0.5.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn hard_shrink(x: &Array, lambda: f32) -> Result<Array> {
    wide("hard_shrink", x, |x| beyond(x, lambda, x))
}

/// `min(max(x, low), high)`, usually between −1 and 1.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn hard_tanh(x: &Array, low: f32, high: f32) -> Result<Array> {
    wide("hard_tanh", x, |x| {
        Ok(x.maximum(&x.scalar_like(low.into())?)?.minimum(&x.scalar_like(high.into())?)?)
    })
}

/// `x · min(max(x + 3, 0), 6) / 6`, a [`silu`] of straight lines. Source: arXiv:1905.02244.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn hard_swish(x: &Array) -> Result<Array> {
    wide("hard_swish", x, |x| (x * &relu6(&x.plus(3.0)?)?)?.times(1.0 / 6.0))
}

/// `x · tanh(ln(1 + eˣ))`. Source: arXiv:1908.08681.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn mish(x: &Array) -> Result<Array> {
    wide("mish", x, |x| Ok((x * &softplus(x)?.tanh()?)?))
}

/// 1 from `threshold` on, else 0, in the dtype of `x`; it has no gradient.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating.
pub fn step(x: &Array, threshold: f32) -> Result<Array> {
    wide("step", x, |x| Ok(x.greater_equal(&x.scalar_like(threshold.into())?)?.astype(x.dtype())?))
}

/// `eˣ / Σ eˣ` along `axis`.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating or `axis` out of range.
pub fn softmax(x: &Array, axis: i32) -> Result<Array> {
    wide("softmax", x, |x| Ok(x.softmax(axis)?))
}

/// `e⁻ˣ / Σ e⁻ˣ` along `axis`.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating or `axis` out of range.
pub fn softmin(x: &Array, axis: i32) -> Result<Array> {
    wide("softmin", x, |x| Ok(x.negative()?.softmax(axis)?))
}

/// `x − ln Σ eˣ` along `axis`.
///
/// # Errors
/// [`Error::Core`] when `x` is not floating or `axis` out of range.
pub fn log_softmax(x: &Array, axis: i32) -> Result<Array> {
    wide("log_softmax", x, |x| {
        if x.dim(axis)? == 0 {
            return Ok(x.clone());
        }
        // A large maximum would round the sum away.
        let x = (x - &x.max(axis, true)?.stop_gradient()?)?;
        Ok((&x - &x.logsumexp(axis, true)?)?)
    })
}

/// `a · σ(b)` for the two halves a and b of `x` along `axis`. Source: arXiv:1612.08083.
///
/// # Errors
/// [`Error::Input`] when the axis has an odd length, [`Error::Core`] when there is no such axis or `x` is not floating.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// let x = mlx_core::Array::from_slice(&[3.0f32, 0.0], &[2])?;
/// assert_eq!(mlx_nn::activation::glu(&x, -1)?.to_vec::<f32>()?, [1.5]);
/// # Ok(()) }
/// ```
pub fn glu(x: &Array, axis: i32) -> Result<Array> {
    if x.dim(axis)? % 2 != 0 {
        return Err(Error::input("glu", format!("an even length of axis {axis}"), x.shape()));
    }
    wide("glu", x, |x| match x.split(2, axis)?.as_slice() {
        [a, b] => Ok((a * &b.sigmoid()?)?),
        _ => Err(Error::input("glu", "two halves", x.shape())),
    })
}

/// Runs `body` in float32 where `x` is in half precision.
fn wide(op: &'static str, x: &Array, body: impl FnOnce(&Array) -> Result<Array>) -> Result<Array> {
    floating(op, "x", x)?;
    match x.dtype() {
        dtype @ (Dtype::Float16 | Dtype::Bfloat16) => Ok(body(&x.astype(Dtype::Float32)?)?.astype(dtype)?),
        _ => body(x),
    }
}

fn positive(x: &Array) -> Result<Array> {
    Ok(x.greater(&x.scalar_like(0.0)?)?)
}

/// `value` where `x` is further than `lambda` from 0, else 0.
fn beyond(x: &Array, lambda: f32, value: &Array) -> Result<Array> {
    let far = x.abs()?.greater(&x.scalar_like(lambda.into())?)?;
    Ok(where_(&far, value, &x.scalar_like(0.0)?)?)
}

/// `x` where it is positive, else `alpha · (e^(x / scale) − 1)`.
fn exponential(op: &'static str, x: &Array, alpha: f64, scale: f64) -> Result<Array> {
    wide(op, x, |x| {
        // Of a large x the exponential would be infinite, and its gradient NaN though nobody looks at it. In this order
        // the gradient at 0 is that of x.
        let below = x.scalar_like(0.0)?.minimum(x)?.times(1.0 / scale)?.expm1()?.times(alpha)?;
        Ok(where_(&positive(x)?, x, &below)?)
    })
}

/// An elementwise function as layers are given it, such as [`tanh`] or a closure that captures nothing.
pub type Elementwise = fn(&Array) -> Result<Array>;

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
