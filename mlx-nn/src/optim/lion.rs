// SPDX-License-Identifier: EUPL-1.2
//! Steps of one size.

use mlx_core::Array;

use super::{Rule, Step, at_least_zero, average, fraction};
use crate::constant::Constant;
use crate::error::{Error, Result};

/// `c = β₁·m + (1 − β₁)·g`, `m ← β₂·m + (1 − β₂)·g`, `w ← (1 − λ·weight_decay)·w − λ·sign(c)`. Source: arXiv:2302.06675.
///
/// Wants a learning rate that is 3 to 10 times smaller than Adam's, and a weight decay that is as much larger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lion {
    /// β₁ and β₂; 0.9 and 0.99 by default.
    pub betas: [f64; 2],
    /// How much of a parameter decays in a step, as a multiple of the learning rate; 0 by default.
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Self {
        Self { betas: [0.9, 0.99], weight_decay: 0.0 }
    }
}

impl Rule for Lion {
    fn check(&self) -> Result<()> {
        self.betas.into_iter().try_for_each(|beta| fraction("betas", beta, 1.0))?;
        at_least_zero("weight_decay", self.weight_decay)
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        Ok(vec![("m", Array::zeros(parameter.shape(), parameter.dtype())?)])
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let [m] = state else { return Err(Error::config("state", "expected one array")) };
        let [first, second] = self.betas;
        let direction = average(first, m, gradient)?.sign()?;
        *m = average(second, m, gradient)?;
        let decayed = match self.weight_decay > 0.0 {
            true => parameter.times(1.0 - step.rate * self.weight_decay)?,
            false => parameter.clone(),
        };
        Ok((&decayed - &direction.times(step.rate)?)?)
    }
}
