// SPDX-License-Identifier: EUPL-1.2
//! Norms over the last axis, in float32 whatever the input.

use mlx_core::fast::{self, Operand};
use mlx_core::{Array, Dtype};

use crate::error::{Error, Result, positive};
use crate::matrix::like;
use crate::module;

/// Root-mean-square norm: `x / √(mean x² + eps) · w`.
///
/// Parameter: `weight` `[dim]`. Source: arXiv:1910.07467.
///
/// In Gemma's form, [`RmsNorm::gemma`], the factor is `1 + w`. All of it is in float32 and rounded once.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Array,
    eps: f32,
    // What is added to the weight: 1 in Gemma's form.
    shift: f32,
}
module!(RmsNorm { weight });

impl RmsNorm {
    /// A norm of `dim` values; the weight is one.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when `dim` is not positive, or `eps` negative or not finite.
    pub fn new(dim: i32, eps: f32) -> Result<Self> {
        let weight = Array::ones(&[positive("dim", dim)?], Dtype::Float32)?;
        Ok(Self { weight, eps: epsilon(eps)?, shift: 0.0 })
    }

    /// Gemma's norm of `dim` values, which multiplies by `1 + weight`; the weight is zero.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn gemma(dim: i32, eps: f32) -> Result<Self> {
        let weight = Array::zeros(&[positive("dim", dim)?], Dtype::Float32)?;
        Ok(Self { weight, eps: epsilon(eps)?, shift: 1.0 })
    }

    /// `[.., dim]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) when the last axis is not `dim`.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        check("rms norm", x, &self.weight)?;
        Ok(fast::norm(x, &self.as_norm())?)
    }

    /// The norm of `x` as the operand of a projection, which takes it on the way: `[.., dim]`.
    #[must_use]
    pub fn before<'a>(&'a self, x: &'a Array) -> Operand<'a> {
        Operand { x, norm: Some(self.as_norm()) }
    }

    /// The norm as ops take it.
    pub(crate) fn as_norm(&self) -> fast::Norm<'_> {
        fast::Norm { weight: &self.weight, shift: self.shift, eps: self.eps }
    }
}

/// `(x − mean x) / √(var x + eps) · w + b`.
///
/// Parameters: `weight` `[dim]` and, where there is one, `bias` `[dim]`. Source: arXiv:1607.06450.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Array,
    bias: Option<Array>,
    eps: f32,
}
module!(LayerNorm { weight, bias });

impl LayerNorm {
    /// A norm of `dim` values; the weight is one, and the bias zero where there is one.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when `dim` is not positive, or `eps` negative or not finite.
    pub fn new(dim: i32, eps: f32, bias: bool) -> Result<Self> {
        let weight = Array::ones(&[positive("dim", dim)?], Dtype::Float32)?;
        let bias = if bias { Some(Array::zeros(&[dim], Dtype::Float32)?) } else { None };
        Ok(Self { weight, bias, eps: epsilon(eps)? })
    }

    /// `[.., dim]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) when the last axis is not `dim`.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        check("layer norm", x, &self.weight)?;
        like(fast::layer_norm(x, Some(&self.weight), self.bias.as_ref(), self.eps)?, x)
    }
}

pub(crate) fn epsilon(eps: f32) -> Result<f32> {
    if eps.is_finite() && eps >= 0.0 {
        return Ok(eps);
    }
    Err(Error::config("eps", format!("expected a number from 0 on, found {eps}")))
}

fn check(layer: &'static str, x: &Array, weight: &Array) -> Result<()> {
    if x.shape().last() == weight.shape().last() {
        return Ok(());
    }
    Err(Error::input(layer, format!("[.., {}]", weight.size()), x.shape()))
}
