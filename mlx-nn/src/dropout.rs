// SPDX-License-Identifier: EUPL-1.2
//! Dropout: values that are left out at random while a model learns.

use mlx_core::random::{self, Key};
use mlx_core::{Array, where_};

use crate::constant::Constant;
use crate::error::{Error, Result};
use crate::unary::{Unary, without_parameters};

/// Leaves out each value with probability `rate`, and multiplies the others by `1 / (1 − rate)`, so that the mean stays.
///
/// Source: arXiv:1207.0580.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use mlx_core::{Array, Dtype, random::Key};
/// let (dropout, x) = (mlx_nn::Dropout::new(0.5)?, Array::ones(&[4], Dtype::Float32)?);
/// let training = dropout.forward(&x, Some(&Key::new(0)?))?.to_vec::<f32>()?;
/// assert!(training.iter().all(|&y| y == 0.0 || y == 2.0));
/// assert_eq!(dropout.forward(&x, None)?.to_vec::<f32>()?, [1.0; 4]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    rate: f32,
}

impl Dropout {
    /// A dropout of `rate`, from 0 to below 1.
    ///
    /// # Errors
    /// [`Error::Config`] when `rate` is outside.
    pub fn new(rate: f32) -> Result<Self> {
        Ok(Self { rate: checked(rate)? })
    }

    /// With a key, which is to be used nowhere else, `x` with values left out; without one, or at a rate of 0, `x`.
    ///
    /// - shape: any, kept
    /// - dtype: floating, kept
    ///
    /// # Errors
    /// [`Error::Core`] when an op fails.
    pub fn forward(&self, x: &Array, key: Option<&Key>) -> Result<Array> {
        drop(x, self.rate, x.shape(), key)
    }

    /// The probability of a value to be left out.
    #[must_use]
    pub fn rate(&self) -> f32 {
        self.rate
    }
}

/// Leaves out whole channels, each along `N` spatial axes at once: neighbours there say so much about each other that
/// single values would not be missed. Source: arXiv:1411.4280.
///
/// [`Dropout2d`] and [`Dropout3d`] are the usual ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelDropout<const N: usize> {
    rate: f32,
}

/// Leaves out whole channels of images.
pub type Dropout2d = ChannelDropout<2>;
/// Leaves out whole channels of volumes.
pub type Dropout3d = ChannelDropout<3>;

impl<const N: usize> ChannelDropout<N> {
    /// A dropout of `rate`, from 0 to below 1.
    ///
    /// # Errors
    /// [`Error::Config`] when `rate` is outside.
    pub fn new(rate: f32) -> Result<Self> {
        Ok(Self { rate: checked(rate)? })
    }

    /// With a key, which is to be used nowhere else, `x` with channels left out; without one, or at a rate of 0, `x`.
    ///
    /// - shape: `[space.., C]` or `[B, space.., C]`, kept
    /// - dtype: floating, kept
    ///
    /// # Errors
    /// [`Error::Input`] when `x` has another number of axes, [`Error::Core`] when an op fails.
    pub fn forward(&self, x: &Array, key: Option<&Key>) -> Result<Array> {
        if x.ndim() != N + 1 && x.ndim() != N + 2 {
            let expected = format!("{} axes, or {} in batches", N + 1, N + 2);
            return Err(Error::input("channel dropout", expected, x.shape()));
        }
        let channels = x.ndim() - 1;
        let space = channels - N..channels;
        let shape: Vec<i32> =
            x.shape().iter().enumerate().map(|(i, &n)| if space.contains(&i) { 1 } else { n }).collect();
        drop(x, self.rate, &shape, key)
    }

    /// The probability of a channel to be left out.
    #[must_use]
    pub fn rate(&self) -> f32 {
        self.rate
    }
}

without_parameters!(Dropout, Dropout2d, Dropout3d);

impl Unary for Dropout {
    fn apply(&self, x: &Array, key: Option<&Key>) -> Result<Array> {
        self.forward(x, key)
    }
}

impl Unary for Dropout2d {
    fn apply(&self, x: &Array, key: Option<&Key>) -> Result<Array> {
        self.forward(x, key)
    }
}

impl Unary for Dropout3d {
    fn apply(&self, x: &Array, key: Option<&Key>) -> Result<Array> {
        self.forward(x, key)
    }
}

fn checked(rate: f32) -> Result<f32> {
    match (0.0..1.0).contains(&rate) {
        true => Ok(rate),
        false => Err(Error::config("rate", format!("expected a number from 0 and below 1, found {rate}"))),
    }
}

/// `shape` is that of what is drawn, and broadcasts to that of `x`.
fn drop(x: &Array, rate: f32, shape: &[i32], key: Option<&Key>) -> Result<Array> {
    let Some(key) = key.filter(|_| rate > 0.0) else { return Ok(x.clone()) };
    let kept = random::bernoulli(1.0 - rate, shape, key)?;
    let scaled = x.times(1.0 / (1.0 - f64::from(rate)))?;
    // Chosen rather than multiplied, so that what is left out is 0 even where it was infinite.
    Ok(where_(&kept, &scaled, &x.scalar_like(0.0)?)?)
}
