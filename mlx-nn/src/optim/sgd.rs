// SPDX-License-Identifier: EUPL-1.2
//! Stochastic gradient descent.

use mlx_core::Array;

use super::{Rule, Step, at_least_zero};
use crate::constant::Constant;
use crate::error::{Error, Result};

/// `v ← μ·v + (1 − τ)·g`, `w ← w − λ·v`, with the gradient `g` plus `weight_decay · w`. Without momentum `v` is `g`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sgd {
    /// μ, how much of the last step goes on; 0 by default.
    pub momentum: f64,
    /// Added to the gradient, times the parameter; 0 by default.
    pub weight_decay: f64,
    /// τ, how much the gradient is weakened where there is momentum; 0 by default.
    pub dampening: f64,
    /// Whether to step by `g + μ·v`; off by default. Needs momentum, and no dampening.
    pub nesterov: bool,
}

impl Rule for Sgd {
    fn check(&self) -> Result<()> {
        at_least_zero("momentum", self.momentum)?;
        at_least_zero("weight_decay", self.weight_decay)?;
        at_least_zero("dampening", self.dampening)?;
        if self.nesterov && (self.momentum <= 0.0 || self.dampening != 0.0) {
            return Err(Error::config("nesterov", "needs momentum, and no dampening"));
        }
        Ok(())
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        Ok(vec![("v", Array::zeros(parameter.shape(), parameter.dtype())?)])
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let mut gradient = gradient.clone();
        if self.weight_decay != 0.0 {
            gradient = (&gradient + &parameter.times(self.weight_decay)?)?;
        }
        let [v] = state else { return Err(Error::config("state", "expected one array")) };
        if self.momentum > 0.0 {
            let fresh =
                if self.dampening > 0.0 { gradient.times(1.0 - self.dampening)? } else { gradient.clone() };
            *v = (&v.times(self.momentum)? + &fresh)?;
            gradient = if self.nesterov { (&gradient + &v.times(self.momentum)?)? } else { v.clone() };
        }
        Ok((parameter - &gradient.times(step.rate)?)?)
    }
}
