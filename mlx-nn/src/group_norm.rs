// SPDX-License-Identifier: EUPL-1.2
//! Norms over the spatial axes and groups of channels, in float32 whatever the input.

use mlx_core::{Array, Dtype, fast};

use crate::error::{Error, Result, floating, positive};
use crate::matrix::like;
use crate::module;
use crate::norm::epsilon;

/// Layer norm of each group of channels together with all spatial axes, then a factor and a summand for each channel.
///
/// Parameters, where it has any: `weight` and `bias`, `[C]`. Source: arXiv:1803.08494.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    weight: Option<Array>,
    bias: Option<Array>,
    channels: i32,
    eps: f32,
    grouping: Grouping,
    groups: i32,
}
module!(GroupNorm { weight, bias });

/// Which channels make a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grouping {
    /// Channels as far apart as there are groups: c and c + groups. MLX's own.
    #[default]
    Strided,
    /// Neighbours, as in PyTorch and so in its checkpoints.
    Neighbours,
}

impl GroupNorm {
    /// A norm of `channels` in so many groups; with `affine` it has parameters, a weight of one and a bias of zero.
    ///
    /// # Errors
    /// [`Error::Config`] when `groups` or `channels` is not positive, the one does not divide the other, or `eps` is
    /// negative or not finite.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::Array;
    /// use mlx_nn::{GroupNorm, Grouping};
    ///
    /// let x = Array::from_slice(&[1.0f32, 1.0, 3.0, 9.0], &[1, 1, 4])?;
    /// let pairs = GroupNorm::new(2, 4, 0.0, false, Grouping::Strided)?;
    /// assert_eq!(pairs.forward(&x)?.to_vec::<f32>()?, [-1.0, -1.0, 1.0, 1.0]);
    /// # Ok(()) }
    /// ```
    pub fn new(groups: i32, channels: i32, eps: f32, affine: bool, grouping: Grouping) -> Result<Self> {
        let (groups, channels) = (positive("groups", groups)?, positive("channels", channels)?);
        if channels % groups != 0 {
            return Err(Error::config("groups", format!("{groups} do not divide {channels} channels")));
        }
        let (weight, bias) = affine_parameters(channels, affine)?;
        Ok(Self { weight, bias, channels, eps: epsilon(eps)?, grouping, groups })
    }

    /// `[B, .., C]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`] when `x` has fewer than two axes or the last is not the channels, [`Error::Core`] when it is not
    /// floating.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        floating("group norm", "x", x)?;
        if x.ndim() < 2 || x.shape().last() != Some(&self.channels) {
            return Err(Error::input("group norm", format!("[B, .., {}]", self.channels), x.shape()));
        }
        let y = grouped(&widened(x)?, self.groups, self.grouping, self.eps)?;
        like(affine(y, self.weight.as_ref(), self.bias.as_ref())?, x)
    }
}

/// Layer norm of each channel over all spatial axes: a [`GroupNorm`] of as many groups as there are channels.
///
/// Parameters, where it has any: `weight` and `bias`, `[C]`. Source: arXiv:1607.08022.
#[derive(Clone, Debug)]
pub struct InstanceNorm {
    weight: Option<Array>,
    bias: Option<Array>,
    channels: i32,
    eps: f32,
}
module!(InstanceNorm { weight, bias });

impl InstanceNorm {
    /// A norm of `channels`; with `affine` it has parameters, a weight of one and a bias of zero.
    ///
    /// # Errors
    /// [`Error::Config`] when `channels` is not positive, or `eps` negative or not finite.
    pub fn new(channels: i32, eps: f32, affine: bool) -> Result<Self> {
        let channels = positive("channels", channels)?;
        let (weight, bias) = affine_parameters(channels, affine)?;
        Ok(Self { weight, bias, channels, eps: epsilon(eps)? })
    }

    /// `[B, L.., C]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`] when `x` has fewer than three axes or the last is not the channels, [`Error::Core`] when it is
    /// not floating.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        floating("instance norm", "x", x)?;
        if x.ndim() < 3 || x.shape().last() != Some(&self.channels) {
            return Err(Error::input("instance norm", format!("[B, L.., {}]", self.channels), x.shape()));
        }
        let y = grouped(&widened(x)?, self.channels, Grouping::Neighbours, self.eps)?;
        like(affine(y, self.weight.as_ref(), self.bias.as_ref())?, x)
    }
}

/// The layer norm of each group over the spatial axes: `[B, .., C]` → the same.
fn grouped(x: &Array, groups: i32, grouping: Grouping, eps: f32) -> Result<Array> {
    let shape = x.shape();
    let (Some(&batch), Some(&channels)) = (shape.first(), shape.last()) else {
        return Err(Error::input("group norm", "[B, .., C]", shape));
    };
    if x.size() == 0 {
        return Ok(x.clone());
    }
    let size = channels / groups;
    // Where it holds anything, neither factor is 0.
    let inner = i32::try_from(x.size() / (batch.unsigned_abs() as usize * channels.unsigned_abs() as usize))
        .map_err(|_| Error::input("group norm", "fewer places", shape))?;
    let (split, order) = match grouping {
        Grouping::Strided => ([batch, inner, size, groups], [0, 3, 1, 2]),
        Grouping::Neighbours => ([batch, inner, groups, size], [0, 2, 1, 3]),
    };
    let grouped = x.reshape(&split)?.transpose_axes(&order)?; // [B, G, L, C / G]
    let normed = fast::layer_norm(&grouped.flatten(2, 3)?, None, None, eps)?;
    let back = match grouping {
        Grouping::Strided => [0, 2, 3, 1],
        Grouping::Neighbours => [0, 2, 1, 3],
    };
    Ok(normed.reshape(&[batch, groups, inner, size])?.transpose_axes(&back)?.reshape(shape)?)
}

/// `x` in float32 where it is in half precision, so that what follows is rounded once.
pub(crate) fn widened(x: &Array) -> Result<Array> {
    Ok(match x.dtype() {
        Dtype::Float16 | Dtype::Bfloat16 => x.astype(Dtype::Float32)?,
        _ => x.clone(),
    })
}

/// A weight of one and a bias of zero, where there are to be any.
pub(crate) fn affine_parameters(channels: i32, affine: bool) -> Result<(Option<Array>, Option<Array>)> {
    if !affine {
        return Ok((None, None));
    }
    Ok((Some(Array::ones(&[channels], Dtype::Float32)?), Some(Array::zeros(&[channels], Dtype::Float32)?)))
}

/// `weight · x + bias`, as far as there are any.
pub(crate) fn affine(x: Array, weight: Option<&Array>, bias: Option<&Array>) -> Result<Array> {
    let x = weight.map_or(Ok(x.clone()), |weight| weight * &x)?;
    Ok(bias.map_or(Ok(x.clone()), |bias| &x + bias)?)
}
