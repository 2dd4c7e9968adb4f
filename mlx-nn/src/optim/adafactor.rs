// SPDX-License-Identifier: EUPL-1.2
//! Adam in the memory of rows and columns.

use mlx_core::Array;

use super::{Rule, Step, at_least_zero, average, fraction};
use crate::constant::Constant;
use crate::error::{Error, Result};

/// Divides the gradient by the root of the mean of its square, which for matrices is kept as the product of a column and
/// a row. Source: arXiv:1804.04235.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adafactor {
    /// Added to the squares of gradients, and the least that a parameter's root mean square counts as; 1e-30 and 1e-3 by
    /// default.
    pub eps: [f64; 2],
    /// The largest root mean square of a step before the learning rate; 1 by default.
    pub clip_threshold: f64,
    /// In step t the mean forgets `t ^ decay_rate`; −0.8 by default.
    pub decay_rate: f64,
    /// β₁ of a mean of the steps; without one, the default, steps are taken as they are.
    pub beta: Option<f64>,
    /// How much of a parameter decays in a step, as a multiple of the learning rate; 0 by default.
    pub weight_decay: f64,
    /// Whether the learning rate is multiplied by the parameter's root mean square; on by default.
    pub scale_parameter: bool,
    /// Whether the learning rate is `min(1e-2, 1 / √t)` and the schedule's is not looked at; on by default.
    pub relative_step: bool,
    /// Whether a relative step begins with `1e-6 · t` instead of 1e-2; off by default.
    pub warmup_init: bool,
}

impl Default for Adafactor {
    fn default() -> Self {
        Self {
            eps: [1e-30, 1e-3],
            clip_threshold: 1.0,
            decay_rate: -0.8,
            beta: None,
            weight_decay: 0.0,
            scale_parameter: true,
            relative_step: true,
            warmup_init: false,
        }
    }
}

impl Adafactor {
    /// The rate of a step before it is scaled by the parameter.
    fn rate(&self, step: Step) -> f64 {
        if !self.relative_step {
            return step.rate;
        }
        let t = number(step);
        let most = if self.warmup_init { 1e-6 * t } else { 1e-2 };
        most.min(t.sqrt().recip())
    }
}

impl Rule for Adafactor {
    fn check(&self) -> Result<()> {
        self.eps.into_iter().try_for_each(|eps| at_least_zero("eps", eps))?;
        if let Some(beta) = self.beta {
            fraction("beta", beta, 1.0)?;
        }
        if self.clip_threshold.is_nan() || self.clip_threshold <= 0.0 {
            let message = format!("expected a number above 0, found {}", self.clip_threshold);
            return Err(Error::config("clip_threshold", message));
        }
        if self.decay_rate.is_nan() || self.decay_rate > 0.0 {
            let message = format!("expected a number that is not above 0, found {}", self.decay_rate);
            return Err(Error::config("decay_rate", message));
        }
        at_least_zero("weight_decay", self.weight_decay)
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        let zeros = |shape: &[i32]| Array::zeros(shape, parameter.dtype());
        let mut state = match *parameter.shape() {
            [ref outer @ .., rows, columns] => vec![
                ("exp_avg_sq_row", zeros(&[outer, &[rows]].concat())?),
                ("exp_avg_sq_col", zeros(&[outer, &[columns]].concat())?),
            ],
            ref shape => vec![("exp_avg_sq", zeros(shape)?)],
        };
        if self.beta.is_some() {
            state.push(("exp_avg", zeros(parameter.shape())?));
        }
        Ok(state)
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let mut rate = Array::full(&[], self.rate(step), parameter.dtype())?;
        if self.scale_parameter {
            let least = rate.scalar_like(self.eps[1])?;
            rate = (&rms(parameter)?.maximum(&least)? * &rate)?;
        }
        let keep = 1.0 - number(step).powf(self.decay_rate);
        let square = gradient.square()?.plus(self.eps[0])?;
        let (update, mean) = match state {
            [row, column, mean @ ..] if gradient.ndim() >= 2 => {
                *row = average(keep, row, &square.mean(-1, false)?)?;
                *column = average(keep, column, &square.mean(-2, false)?)?;
                let row_factor = (&*row / &row.mean(-1, true)?)?.rsqrt()?.expand_dims(-1)?;
                let column_factor = column.rsqrt()?.expand_dims(-2)?;
                ((&(&row_factor * &column_factor)? * gradient)?, mean)
            }
            [all, mean @ ..] => {
                *all = average(keep, all, &square)?;
                ((&all.rsqrt()? * gradient)?, mean)
            }
            [] => return Err(Error::config("state", "expected an array")),
        };
        let excess = rms(&update)?.times(self.clip_threshold.recip())?;
        let update = (&update / &excess.maximum(&excess.scalar_like(1.0)?)?)?;
        let mut update = (&update * &rate)?;
        if let (Some(beta), [mean]) = (self.beta, mean) {
            *mean = average(beta, mean, &update)?;
            update = mean.clone();
        }
        let mut parameter = parameter.clone();
        if self.weight_decay != 0.0 {
            parameter = (&parameter - &(&parameter * &rate.times(self.weight_decay)?)?)?;
        }
        Ok((&parameter - &update)?)
    }
}

#[expect(clippy::cast_precision_loss, reason = "no run has that many steps")]
fn number(step: Step) -> f64 {
    step.number as f64
}

/// The root of the mean square of all elements.
fn rms(x: &Array) -> Result<Array> {
    Ok(x.square()?.mean_all()?.sqrt()?)
}
