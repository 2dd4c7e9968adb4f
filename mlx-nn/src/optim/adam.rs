// SPDX-License-Identifier: EUPL-1.2
//! Adam and its kin: a step by the mean of the gradient over the root of the mean of its square.

use mlx_core::Array;

use super::{Rule, Step, at_least_zero, average, fraction};
use crate::constant::Constant;
use crate::error::{Error, Result};

/// `m ← β₁·m + (1 − β₁)·g`, `v ← β₂·v + (1 − β₂)·g²`, `w ← w − λ·m / (√v + ε)`. Source: arXiv:1412.6980.
///
/// As in Python's MLX the means are not corrected for starting at 0 unless [`bias_correction`](Self::bias_correction)
/// says so; PyTorch always corrects them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// β₁ and β₂; 0.9 and 0.999 by default.
    pub betas: [f64; 2],
    /// ε, against division by zero; 1e-8 by default.
    pub eps: f64,
    /// Whether `m` is divided by `1 − β₁ᵗ` and `v` by `1 − β₂ᵗ` in step t; off by default.
    pub bias_correction: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, bias_correction: false }
    }
}

impl Rule for Adam {
    fn check(&self) -> Result<()> {
        self.betas.into_iter().try_for_each(|beta| fraction("betas", beta, 1.0))?;
        at_least_zero("eps", self.eps)
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        let zeros = Array::zeros(parameter.shape(), parameter.dtype())?;
        Ok(vec![("m", zeros.clone()), ("v", zeros)])
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let [m, v] = state else { return Err(Error::config("state", "expected two arrays")) };
        let [first, second] = self.betas;
        *m = average(first, m, gradient)?;
        *v = average(second, v, &gradient.square()?)?;
        let (mut rate, mut root) = (step.rate, v.sqrt()?);
        if self.bias_correction {
            #[expect(clippy::cast_precision_loss, reason = "no run has that many steps")]
            let number = step.number as f64;
            rate /= 1.0 - first.powf(number);
            root = root.times((1.0 - second.powf(number)).sqrt().recip())?;
        }
        Ok((parameter - &(&m.times(rate)? / &root.plus(self.eps)?)?)?)
    }
}

/// [`Adam`] whose parameters decay apart from their gradient: `w` is first multiplied by `1 − λ · weight_decay`.
/// Source: arXiv:1711.05101.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// β₁ and β₂; 0.9 and 0.999 by default.
    pub betas: [f64; 2],
    /// ε, against division by zero; 1e-8 by default.
    pub eps: f64,
    /// How much of a parameter decays in a step, as a multiple of the learning rate; 0.01 by default.
    pub weight_decay: f64,
    /// As [`Adam::bias_correction`]; off by default.
    pub bias_correction: bool,
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { betas, eps, bias_correction } = Adam::default();
        Self { betas, eps, weight_decay: 0.01, bias_correction }
    }
}

impl AdamW {
    fn adam(&self) -> Adam {
        Adam { betas: self.betas, eps: self.eps, bias_correction: self.bias_correction }
    }
}

impl Rule for AdamW {
    fn check(&self) -> Result<()> {
        self.adam().check()?;
        at_least_zero("weight_decay", self.weight_decay)
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        self.adam().state(parameter)
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let decayed = parameter.times(1.0 - step.rate * self.weight_decay)?;
        self.adam().apply(step, &decayed, gradient, state)
    }
}

/// [`Adam`] by the largest gradient instead of the mean square: `v ← max(β₂·v, |g|)`, `w ← w − λ·m / (v + ε)`.
/// Source: arXiv:1412.6980, section 7.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adamax {
    /// β₁ and β₂; 0.9 and 0.999 by default.
    pub betas: [f64; 2],
    /// ε, against division by zero; 1e-8 by default.
    pub eps: f64,
}

impl Default for Adamax {
    fn default() -> Self {
        let Adam { betas, eps, .. } = Adam::default();
        Self { betas, eps }
    }
}

impl Rule for Adamax {
    fn check(&self) -> Result<()> {
        Adam { betas: self.betas, eps: self.eps, bias_correction: false }.check()
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        Adam::default().state(parameter)
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let [m, v] = state else { return Err(Error::config("state", "expected two arrays")) };
        let [first, second] = self.betas;
        *m = average(first, m, gradient)?;
        *v = v.times(second)?.maximum(&gradient.abs()?)?;
        Ok((parameter - &(&m.times(step.rate)? / &v.plus(self.eps)?)?)?)
    }
}
