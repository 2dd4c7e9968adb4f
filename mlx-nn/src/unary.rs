// SPDX-License-Identifier: EUPL-1.2
//! What makes one array of another: the layers that a [`Sequential`](crate::Sequential) strings together.

use std::fmt;

use mlx_core::Array;
use mlx_core::random::Key;

use crate::error::Result;
use crate::module::{Module, ParamPath, Visitor, VisitorMut};
use crate::{
    Activation, AvgPool, Conv, ConvTranspose, Embedding, GatedMlp, GroupNorm, InstanceNorm, LayerNorm,
    Linear, MaxPool, Prelu, RmsNorm, SinusoidalEncoding, Upsample,
};

/// A layer that takes one array and gives one, whatever else it can do.
///
/// A [`BatchNorm`](crate::BatchNorm) is none, because its training gives statistics besides, nor are recurrent layers
/// and attention. [`Function`] makes one of a closure.
pub trait Unary: Module {
    /// The result for `x`. With a `key` as in training, where dropouts draw from it; without one as in evaluation. Other
    /// layers do not look at it.
    ///
    /// # Errors
    /// As the `forward` of the layer.
    fn apply(&self, x: &Array, key: Option<&Key>) -> Result<Array>;
}

impl<U: Unary + ?Sized> Unary for Box<U> {
    fn apply(&self, x: &Array, key: Option<&Key>) -> Result<Array> {
        (**self).apply(x, key)
    }
}

/// A function as a layer without parameters.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use mlx_core::Array;
/// use mlx_nn::{Function, Unary};
///
/// let double = Function(|x: &Array| Ok((x * 2.0)?));
/// assert_eq!(double.apply(&Array::scalar(3.0f32)?, None)?.item::<f32>()?, 6.0);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy)]
pub struct Function<F>(pub F);

impl<F> fmt::Debug for Function<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

impl<F> Module for Function<F> {
    fn visit<'a>(&'a self, _path: &mut ParamPath, _visitor: &mut dyn Visitor<'a>) {}

    fn visit_mut(&mut self, _path: &mut ParamPath, _visitor: &mut dyn VisitorMut) -> Result<()> {
        Ok(())
    }
}

impl<F: Fn(&Array) -> Result<Array>> Unary for Function<F> {
    fn apply(&self, x: &Array, _key: Option<&Key>) -> Result<Array> {
        (self.0)(x)
    }
}

/// Gives back what it is given: in the place of a layer that is left out, so that those behind it keep their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity;

impl Unary for Identity {
    fn apply(&self, x: &Array, _key: Option<&Key>) -> Result<Array> {
        Ok(x.clone())
    }
}

/// Implements [`Module`] for types without parameters.
macro_rules! without_parameters {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::Module for $type {
            fn visit<'a>(&'a self, _path: &mut $crate::ParamPath, _visitor: &mut dyn $crate::Visitor<'a>) {}

            fn visit_mut(
                &mut self,
                _path: &mut $crate::ParamPath,
                _visitor: &mut dyn $crate::VisitorMut,
            ) -> $crate::Result<()> {
                Ok(())
            }
        }
    )+};
}
pub(crate) use without_parameters;

/// Layers whose `forward` takes an array and nothing else.
macro_rules! unary {
    ($($type:ty),+ $(,)?) => {$(
        impl Unary for $type {
            fn apply(&self, x: &Array, _key: Option<&Key>) -> Result<Array> {
                self.forward(x)
            }
        }
    )+};
}

without_parameters!(Activation, Identity);

unary! {
    Activation, Prelu,
    Linear, Embedding, GatedMlp, SinusoidalEncoding,
    RmsNorm, LayerNorm, GroupNorm, InstanceNorm,
    Conv<1>, Conv<2>, Conv<3>,
    ConvTranspose<1>, ConvTranspose<2>, ConvTranspose<3>,
    MaxPool<1>, MaxPool<2>, MaxPool<3>,
    AvgPool<1>, AvgPool<2>, AvgPool<3>,
    Upsample,
}
