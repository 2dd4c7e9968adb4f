// SPDX-License-Identifier: EUPL-1.2
//! Norms over the last axis, in float32 whatever the input.

use std::cell::OnceCell;

use mlx_core::{Array, Dtype, fast};

use crate::error::{Error, Result, positive};
use crate::matrix::like;
use crate::module;
use crate::module::{Module, ParamPath, Visitor, VisitorMut};

/// Root-mean-square norm: `x / √(mean x² + eps) · w`.
///
/// Parameter: `weight` `[dim]`. Source: arXiv:1910.07467.
///
/// Two orders of rounding are in use for half precision, and checkpoints were trained with one of them.
/// [`RmsNorm::new`] rounds the normalised `x` to its dtype and then multiplies by `w`, as Llama and Qwen do.
/// [`RmsNorm::gemma`] keeps float32 throughout, multiplies by `1 + w`, and rounds once.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    weight: Array,
    eps: f32,
    gemma: bool,
    // `1 + weight` in float32, formed on first use. Whoever may change `weight` empties it.
    shifted: OnceCell<Array>,
}

impl RmsNorm {
    /// A norm of `dim` values; the weight is one.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when `dim` is not positive, or `eps` negative or not finite.
    pub fn new(dim: i32, eps: f32) -> Result<Self> {
        let weight = Array::ones(&[positive("dim", dim)?], Dtype::Float32)?;
        Ok(Self { weight, eps: epsilon(eps)?, gemma: false, shifted: OnceCell::new() })
    }

    /// Gemma's norm of `dim` values, which multiplies by `1 + weight`; the weight is zero.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn gemma(dim: i32, eps: f32) -> Result<Self> {
        let weight = Array::zeros(&[positive("dim", dim)?], Dtype::Float32)?;
        Ok(Self { weight, eps: epsilon(eps)?, gemma: true, shifted: OnceCell::new() })
    }

    /// `[.., dim]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) when the last axis is not `dim`.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        check("rms norm", x, &self.weight)?;
        let y = match self.gemma {
            false => fast::rms_norm(x, Some(&self.weight), self.eps)?,
            // A float32 weight makes the whole op float32.
            true => fast::rms_norm(x, Some(self.shifted()?), self.eps)?,
        };
        like(y, x)
    }

    fn shifted(&self) -> Result<&Array> {
        if let Some(shifted) = self.shifted.get() {
            return Ok(shifted);
        }
        let shifted = (&self.weight.astype(Dtype::Float32)? + 1.0f32)?;
        Ok(self.shifted.get_or_init(|| shifted))
    }
}

impl Module for RmsNorm {
    fn visit<'a>(&'a self, path: &mut ParamPath, visitor: &mut dyn Visitor<'a>) {
        path.within("weight", |path| self.weight.visit(path, visitor));
    }

    fn visit_mut(&mut self, path: &mut ParamPath, visitor: &mut dyn VisitorMut) -> Result<()> {
        self.shifted.take();
        path.within("weight", |path| self.weight.visit_mut(path, visitor))
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

fn epsilon(eps: f32) -> Result<f32> {
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
