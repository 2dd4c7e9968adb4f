// SPDX-License-Identifier: EUPL-1.2
//! A rectifier that learns its slope.

use mlx_core::{Array, Dtype};

use crate::activation::prelu;
use crate::error::{Error, Result, positive};
use crate::matrix::like;
use crate::module;

/// `max(x, 0) + w · min(x, 0)`. Source: arXiv:1502.01852.
///
/// Parameter: `weight` `[features]`, or `[1]` for all features alike.
#[derive(Clone, Debug)]
pub struct Prelu {
    weight: Array,
}
module!(Prelu { weight });

impl Prelu {
    /// A rectifier with a slope for each of `features` values of the last axis, or with 1 a slope for all; 0.25 as
    /// the paper has it.
    ///
    /// # Errors
    /// [`Error::Config`] when `features` is not positive.
    pub fn new(features: i32) -> Result<Self> {
        Self::with_slope(features, 0.25)
    }

    /// As [`new`](Self::new), with another slope to begin with.
    ///
    /// # Errors
    /// [`Error::Config`] when `features` is not positive or `slope` not finite.
    pub fn with_slope(features: i32, slope: f32) -> Result<Self> {
        if !slope.is_finite() {
            return Err(Error::config("slope", format!("expected a finite number, found {slope}")));
        }
        Ok(Self { weight: Array::full(&[positive("features", features)?], slope.into(), Dtype::Float32)? })
    }

    /// `[.., features]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`] when there are several features and the last axis is not theirs.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        let features = self.weight.size();
        if features > 1 && x.shape().last() != self.weight.shape().last() {
            return Err(Error::input("prelu", format!("[.., {features}]"), x.shape()));
        }
        // The slope of a scalar is a scalar.
        let weight = if x.ndim() == 0 { &self.weight.reshape(&[])? } else { &self.weight };
        like(prelu(x, weight)?, x)
    }
}
