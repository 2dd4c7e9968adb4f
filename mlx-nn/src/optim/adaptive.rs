// SPDX-License-Identifier: EUPL-1.2
//! Rules that divide the gradient by the root of its past squares.

use mlx_core::Array;

use super::{Rule, Step, at_least_zero, average, fraction};
use crate::constant::Constant;
use crate::error::{Error, Result};

/// One array of zeros.
fn one(name: &'static str, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
    Ok(vec![(name, Array::zeros(parameter.shape(), parameter.dtype())?)])
}

/// `w − λ·g / (√v + ε)`.
fn divided(step: Step, parameter: &Array, gradient: &Array, v: &Array, eps: f64) -> Result<Array> {
    Ok((parameter - &(&gradient.times(step.rate)? / &v.sqrt()?.plus(eps)?)?)?)
}

/// `v ← α·v + (1 − α)·g²`, `w ← w − λ·g / (√v + ε)`. Source: the lecture of Hinton, Srivastava and Swersky, 2012.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// α; 0.99 by default.
    pub alpha: f64,
    /// ε, against division by zero; 1e-8 by default.
    pub eps: f64,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { alpha: 0.99, eps: 1e-8 }
    }
}

impl Rule for RmsProp {
    fn check(&self) -> Result<()> {
        at_least_zero("alpha", self.alpha)?;
        at_least_zero("eps", self.eps)
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        one("v", parameter)
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let [v] = state else { return Err(Error::config("state", "expected one array")) };
        *v = average(self.alpha, v, &gradient.square()?)?;
        divided(step, parameter, gradient, v, self.eps)
    }
}

/// `v ← v + g²`, `w ← w − λ·g / (√v + ε)`. Source: Duchi, Hazan and Singer, JMLR 12, 2011.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adagrad {
    /// ε, against division by zero; 1e-8 by default.
    pub eps: f64,
}

impl Default for Adagrad {
    fn default() -> Self {
        Self { eps: 1e-8 }
    }
}

impl Rule for Adagrad {
    fn check(&self) -> Result<()> {
        at_least_zero("eps", self.eps)
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        one("v", parameter)
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let [v] = state else { return Err(Error::config("state", "expected one array")) };
        *v = (&*v + &gradient.square()?)?;
        divided(step, parameter, gradient, v, self.eps)
    }
}

/// `v ← ρ·v + (1 − ρ)·g²`, `d = √(u + ε) / √(v + ε) · g`, `u ← ρ·u + (1 − ρ)·d²`, `w ← w − λ·d`. Source: arXiv:1212.5701.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaDelta {
    /// ρ; 0.9 by default.
    pub rho: f64,
    /// ε, inside both roots; 1e-6 by default.
    pub eps: f64,
}

impl Default for AdaDelta {
    fn default() -> Self {
        Self { rho: 0.9, eps: 1e-6 }
    }
}

impl Rule for AdaDelta {
    fn check(&self) -> Result<()> {
        fraction("rho", self.rho, 1.0)?;
        at_least_zero("eps", self.eps)
    }

    fn state(&self, parameter: &Array) -> Result<Vec<(&'static str, Array)>> {
        let zeros = Array::zeros(parameter.shape(), parameter.dtype())?;
        Ok(vec![("v", zeros.clone()), ("u", zeros)])
    }

    fn apply(&self, step: Step, parameter: &Array, gradient: &Array, state: &mut [Array]) -> Result<Array> {
        let [v, u] = state else { return Err(Error::config("state", "expected two arrays")) };
        *v = average(self.rho, v, &gradient.square()?)?;
        let scale = (&u.plus(self.eps)?.sqrt()? / &v.plus(self.eps)?.sqrt()?)?;
        let delta = (&scale * gradient)?;
        *u = average(self.rho, u, &delta.square()?)?;
        Ok((parameter - &delta.times(step.rate)?)?)
    }
}
