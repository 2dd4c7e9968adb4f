// SPDX-License-Identifier: EUPL-1.2
//! Steps that are brought near to an orthogonal matrix.

use mlx_core::{Array, addmm};

use super::{Rule, Step, at_least_zero, average, fraction};
use crate::constant::Constant;
use crate::error::{Error, Result};

/// Momentum whose step, where it is a matrix, has all its singular values brought near to 1. Source: Jordan and others,
/// "Muon", 2024.
///
/// `g ← g + weight_decay·w`, `v ← μ·v + (1 − μ)·g`, and a step by `(1 − μ)·g + μ·v`, or `v` without Nesterov's look ahead.
/// A matrix `[m, n]` is made orthogonal and multiplied by `√max(1, m / n)`; of more axes all but the first are taken
/// together for that.
///
/// For the matrices between the layers; embeddings, the head, biases and norms are better left to [`AdamW`](super::AdamW), with
/// [`Optimizer::group`](super::Optimizer::group).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Muon {
    /// μ; 0.95 by default.
    pub momentum: f64,
    /// Added to the gradient, times the parameter; 0.01 by default.
    pub weight_decay: f64,
    /// Whether to look ahead; on by default.
    pub nesterov: bool,
    /// How many rounds of Newton and Schulz bring a matrix near to orthogonal; 5 by default.
    pub rounds: usize,
}

impl Default for Muon {
    fn default() -> Self {
        Self { momentum: 0.95, weight_decay: 0.01, nesterov: true, rounds: 5 }
    }
}

impl Rule for Muon {
    fn check(&self) -> Result<()> {
        fraction("momentum", self.momentum, 1.0)?;
        at_least_zero("weight_decay", self.weight_decay)
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        Ok(vec![("v", Array::zeros(parameter.shape(), parameter.dtype())?)])
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let [v] = state else { return Err(Error::config("state", "expected one array")) };
        let mut gradient = gradient.clone();
        if self.weight_decay != 0.0 {
            gradient = (&gradient + &parameter.times(self.weight_decay)?)?;
        }
        *v = average(self.momentum, v, &gradient)?;
        let update = match self.nesterov {
            true => average(self.momentum, v, &gradient)?,
            false => v.clone(),
        };
        let mut rate = step.rate;
        let update = match *update.shape() {
            [] | [_] => update,
            [rows, ..] => {
                let shape = update.shape().to_vec();
                let [.., second_last, last] = shape[..] else {
                    return Err(Error::config("shape", "no matrix"));
                };
                rate *= (f64::from(second_last) / f64::from(last.max(1))).max(1.0).sqrt();
                orthogonal(&update.reshape(&[rows, -1])?, self.rounds)?.reshape(&shape)?
            }
        };
        Ok((parameter - &update.times(rate)?)?)
    }
}

/// A matrix with the singular vectors of `x`, and singular values near 1.
fn orthogonal(x: &Array, rounds: usize) -> Result<Array> {
    // Of the polynomial a·s + b·s³ + c·s⁵, which lifts small singular values quickly.
    const A: f64 = 3.4445;
    const B: f64 = -4.7750;
    const C: f32 = 2.0315;
    let tall = x.dim(0)? > x.dim(1)?;
    let x = if tall { x.transpose()? } else { x.clone() };
    let norm = x.square()?.sum_axes(&[0, 1], true)?.sqrt()?;
    let mut x = (&x / &norm.plus(1e-7)?)?;
    for _ in 0..rounds {
        let a = x.matmul(&x.transpose()?)?;
        let b = addmm(&a.times(B)?, &a, &a, C, 1.0)?;
        x = addmm(&x.times(A)?, &b, &x, 1.0, 1.0)?;
    }
    Ok(if tall { x.transpose()? } else { x })
}
