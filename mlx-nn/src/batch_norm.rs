// SPDX-License-Identifier: EUPL-1.2
//! Norms of channels over a batch.

use mlx_core::{Array, Dtype};

use crate::constant::Constant;
use crate::error::{Error, Result, floating, positive};
use crate::group_norm::{affine, affine_parameters, widened};
use crate::matrix::like;
use crate::module;
use crate::norm::epsilon;

/// `(x − mean) / √(var + eps) · w + b` for each channel: in training of the batch, in evaluation of all batches that
/// were [tracked](Self::track).
///
/// Parameters: `weight` and `bias` `[C]` where it is affine; `running_mean` and `running_var` `[C]`, which are saved and
/// loaded with the others and change by [`track`](Self::track) alone: an optimiser is to leave them out. Source:
/// arXiv:1502.03167.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use mlx_core::Array;
/// let mut norm = mlx_nn::BatchNorm::new(1, 0.0, 0.5, true)?;
/// let x = Array::from_slice(&[1.0f32, 3.0], &[2, 1])?;
/// // Training: nothing changes but by `track`.
/// let (y, statistics) = norm.forward_batch(&x)?;
/// assert_eq!(y.to_vec::<f32>()?, [-1.0, 1.0]);
/// norm.track(&statistics)?;
/// // Half of what was, a mean of 0 and a variance of 1, and half of the batch's: 2 and, without bias, 2.
/// let z = norm.forward(&Array::from_slice(&[1.0f32], &[1, 1])?)?;
/// assert_eq!(z.item::<f32>()?, 0.0);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct BatchNorm {
    weight: Option<Array>,
    bias: Option<Array>,
    running_mean: Array,
    running_var: Array,
    eps: f32,
    momentum: f32,
}
module!(BatchNorm { weight, bias, running_mean, running_var });

/// Mean and variance of the channels of one batch, float32 `[C]`; the variance divided by one less than the number of
/// values, as an estimate for all batches.
#[derive(Clone, Debug)]
pub struct BatchStatistics {
    /// The mean of each channel.
    pub mean: Array,
    /// The variance of each channel.
    pub variance: Array,
}

impl BatchNorm {
    /// A norm of `channels`, of which a mean of 0 and a variance of 1 are thought as long as nothing was tracked. Each
    /// batch counts for `momentum`, usually 0.1, of the running statistics. With `affine` it has a weight of one and a
    /// bias of zero.
    ///
    /// # Errors
    /// [`Error::Config`] when `channels` is not positive, `eps` negative or not finite, or `momentum` outside 0 to 1.
    pub fn new(channels: i32, eps: f32, momentum: f32, affine: bool) -> Result<Self> {
        let channels = positive("channels", channels)?;
        if !(0.0..=1.0).contains(&momentum) {
            let message = format!("expected a number from 0 to 1, found {momentum}");
            return Err(Error::config("momentum", message));
        }
        let (weight, bias) = affine_parameters(channels, affine)?;
        Ok(Self {
            weight,
            bias,
            running_mean: Array::zeros(&[channels], Dtype::Float32)?,
            running_var: Array::ones(&[channels], Dtype::Float32)?,
            eps: epsilon(eps)?,
            momentum,
        })
    }

    /// As in evaluation, by the running statistics: `[B, .., C]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`] when `x` has fewer than two axes or the last is not the channels, [`Error::Core`] when it is not
    /// floating.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        self.check(x)?;
        self.normed(x, &self.running_mean, &self.running_var)
    }

    /// As in training, by the statistics of the batch itself, which come with it: `[B, .., C]` → the same, in the dtype
    /// of `x`. The running statistics stay as they are; [`track`](Self::track) adds these to them.
    ///
    /// # Errors
    /// As [`forward`](Self::forward), and when there is only one value of each channel.
    pub fn forward_batch(&self, x: &Array) -> Result<(Array, BatchStatistics)> {
        self.check(x)?;
        if x.size() <= self.running_mean.size() {
            let expected = format!("several values for each of {} channels", self.running_mean.size());
            return Err(Error::input("batch norm", expected, x.shape()));
        }
        let axes: Vec<i32> = (0..).take(x.ndim() - 1).collect();
        let wide = widened(x)?;
        let mean = wide.mean_axes(&axes, false)?;
        let y = self.normed(x, &mean, &wide.var_axes(&axes, false, 0)?)?;
        // What goes into the running statistics is no way for gradients.
        let seen = wide.stop_gradient()?;
        let statistics =
            BatchStatistics { mean: mean.stop_gradient()?, variance: seen.var_axes(&axes, false, 1)? };
        Ok((y, statistics))
    }

    /// Takes the statistics of a batch into the running ones: `(1 − momentum) · running + momentum · batch`.
    ///
    /// # Errors
    /// [`Error::Input`] when the statistics are those of other channels.
    pub fn track(&mut self, batch: &BatchStatistics) -> Result<()> {
        let mixed = |running: &Array, batch: &Array| -> Result<Array> {
            if batch.shape() != running.shape() {
                return Err(Error::input("statistics", format!("{:?}", running.shape()), batch.shape()));
            }
            let momentum = f64::from(self.momentum);
            like((&running.times(1.0 - momentum)? + &batch.times(momentum)?)?, running)
        };
        let mean = mixed(&self.running_mean, &batch.mean)?;
        self.running_var = mixed(&self.running_var, &batch.variance)?;
        self.running_mean = mean;
        Ok(())
    }

    fn check(&self, x: &Array) -> Result<()> {
        floating("batch norm", "x", x)?;
        if x.ndim() < 2 || x.shape().last() != self.running_mean.shape().last() {
            let expected = format!("[B, .., {}]", self.running_mean.size());
            return Err(Error::input("batch norm", expected, x.shape()));
        }
        Ok(())
    }

    fn normed(&self, x: &Array, mean: &Array, variance: &Array) -> Result<Array> {
        let deviation = widened(variance)?.plus(self.eps.into())?.rsqrt()?;
        let y = (&(&widened(x)? - mean)? * &deviation)?;
        like(affine(y, self.weight.as_ref(), self.bias.as_ref())?, x)
    }
}
