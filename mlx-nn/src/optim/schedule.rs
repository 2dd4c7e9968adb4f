// SPDX-License-Identifier: EUPL-1.2
//! Learning rates by the number of steps that were made.

use std::f64::consts::PI;

use crate::error::{Error, Result};

/// A learning rate for each step, the first of which is step 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(Kind);

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    Constant(f64),
    Linear { first: f64, last: f64, steps: u64 },
    Cosine { first: f64, last: f64, steps: u64 },
    Exponential { first: f64, factor: f64 },
    Stairs { first: f64, factor: f64, every: u64 },
    Joined(Vec<(u64, Schedule)>),
}

impl Schedule {
    /// Always the same.
    #[must_use]
    pub fn constant(rate: f64) -> Self {
        Self(Kind::Constant(rate))
    }

    /// From `first` to `last` in a straight line over `steps`, and `last` from there on.
    ///
    /// # Errors
    /// [`Error::Config`] when `steps` is 0 or a rate is no number that is not negative, as for all of these.
    pub fn linear(first: f64, last: f64, steps: u64) -> Result<Self> {
        Ok(Self(Kind::Linear { first: rate(first)?, last: rate(last)?, steps: some("steps", steps)? }))
    }

    /// From `first` to `last` along half a cosine over `steps`, and `last` from there on.
    ///
    /// # Errors
    /// As [`Schedule::linear`].
    pub fn cosine(first: f64, last: f64, steps: u64) -> Result<Self> {
        Ok(Self(Kind::Cosine { first: rate(first)?, last: rate(last)?, steps: some("steps", steps)? }))
    }

    /// `first · factorᵗ` in step t.
    ///
    /// # Errors
    /// As [`Schedule::linear`].
    pub fn exponential(first: f64, factor: f64) -> Result<Self> {
        Ok(Self(Kind::Exponential { first: rate(first)?, factor: rate(factor)? }))
    }

    /// `first`, multiplied by `factor` after each `every` steps.
    ///
    /// # Errors
    /// As [`Schedule::linear`].
    pub fn stairs(first: f64, factor: f64, every: u64) -> Result<Self> {
        Ok(Self(Kind::Stairs { first: rate(first)?, factor: rate(factor)?, every: some("every", every)? }))
    }

    /// `self` up to step `at`, and from there on `next`, which counts from 0 again.
    #[must_use]
    pub fn then(self, at: u64, next: Self) -> Self {
        match self.0 {
            Kind::Joined(mut parts) => {
                parts.push((at, next));
                Self(Kind::Joined(parts))
            }
            first => Self(Kind::Joined(vec![(0, Self(first)), (at, next)])),
        }
    }

    /// From 0 to the rate that `next` begins with in a straight line over `steps`, and then `next`, which counts from 0.
    ///
    /// # Errors
    /// As [`Schedule::linear`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_nn::optim::Schedule;
    /// let schedule = Schedule::warmup(10, Schedule::cosine(1e-3, 0.0, 90)?)?;
    /// assert_eq!([0, 5, 10, 100].map(|step| schedule.rate(step)), [0.0, 5e-4, 1e-3, 0.0]);
    /// # Ok(()) }
    /// ```
    pub fn warmup(steps: u64, next: Self) -> Result<Self> {
        Ok(Self::linear(0.0, next.rate(0), steps)?.then(steps, next))
    }

    /// The rate of the step after `steps` steps.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no run has that many steps")]
    pub fn rate(&self, steps: u64) -> f64 {
        match &self.0 {
            &Kind::Constant(rate) => rate,
            &Kind::Linear { first, last, steps: all } => {
                first + (last - first) * (steps.min(all) as f64 / all as f64)
            }
            &Kind::Cosine { first, last, steps: all } => {
                let part = steps.min(all) as f64 / all as f64;
                last + (first - last) * 0.5 * (1.0 + (PI * part).cos())
            }
            &Kind::Exponential { first, factor } => first * factor.powf(steps as f64),
            &Kind::Stairs { first, factor, every } => first * factor.powf((steps / every) as f64),
            Kind::Joined(parts) => {
                let part = parts.iter().rev().find(|(at, _)| *at <= steps).or(parts.first());
                part.map_or(0.0, |(at, schedule)| schedule.rate(steps.saturating_sub(*at)))
            }
        }
    }
}

/// Checks a rate.
fn rate(value: f64) -> Result<f64> {
    match value.is_finite() && value >= 0.0 {
        true => Ok(value),
        false => Err(Error::config("rate", format!("expected a number that is not negative, found {value}"))),
    }
}

fn some(key: &'static str, steps: u64) -> Result<u64> {
    match steps {
        0 => Err(Error::config(key, "expected at least 1, found 0")),
        steps => Ok(steps),
    }
}
