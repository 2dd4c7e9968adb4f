// SPDX-License-Identifier: EUPL-1.2
//! A map of two inputs, linear in each.

use mlx_core::random::{self, Key};
use mlx_core::{Array, Dtype};

use crate::error::{Error, Result, floating, positive};
use crate::matrix::like;
use crate::module;

/// `y = a · W · b + bias` for each of the outputs' matrices W: what two things have to do with each other.
///
/// Parameters: `weight` `[out, second, first]` and, where there is one, `bias` `[out]`.
#[derive(Clone, Debug)]
pub struct Bilinear {
    weight: Array,
    bias: Option<Array>,
}
module!(Bilinear { weight, bias });

impl Bilinear {
    /// A map of `first` and `second` values to `outputs`. Weight and bias are uniform in `±1/√first`, drawn lazily from
    /// `key` in float32.
    ///
    /// # Errors
    /// [`Error::Config`] when a width is not positive.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype, random::Key};
    /// let bilinear = mlx_nn::Bilinear::new(3, 4, 2, true, &Key::new(0)?)?;
    /// let (a, b) = (Array::ones(&[5, 3], Dtype::Float32)?, Array::ones(&[5, 4], Dtype::Float32)?);
    /// assert_eq!(bilinear.forward(&a, &b)?.shape(), [5, 2]);
    /// # Ok(()) }
    /// ```
    pub fn new(first: i32, second: i32, outputs: i32, bias: bool, key: &Key) -> Result<Self> {
        let bound = (positive("first", first)? as f32).sqrt().recip();
        let shape = [positive("outputs", outputs)?, positive("second", second)?, first];
        let (weight, other) = key.split()?;
        let draw = |shape: &[i32], key| random::uniform(-bound, bound, shape, Dtype::Float32, key);
        Ok(Self {
            weight: draw(&shape, &weight)?,
            bias: if bias { Some(draw(&[outputs], &other)?) } else { None },
        })
    }

    /// `a` `[.., first]` and `b` `[.., second]` → `[.., outputs]`, in the dtype of `a`.
    ///
    /// # Errors
    /// [`Error::Input`] when a shape does not fit, [`Error::Core`] when an input is not floating.
    pub fn forward(&self, a: &Array, b: &Array) -> Result<Array> {
        const NAME: &str = "bilinear";
        floating(NAME, "a", a)?;
        floating(NAME, "b", b)?;
        let (outputs, second, first) = (self.weight.dim(0)?, self.weight.dim(1)?, self.weight.dim(2)?);
        let batch = match a.shape() {
            [batch @ .., found] if *found == first => batch,
            _ => return Err(Error::input(NAME, format!("a of [.., {first}]"), a.shape())),
        };
        let expected = [batch, &[second]].concat();
        if b.shape() != expected {
            return Err(Error::input(NAME, format!("b of {expected:?}"), b.shape()));
        }
        let rows = self.weight.flatten(0, 1)?; // [out · second, first]
        let seen = a.matmul(&rows.transpose()?)?.unflatten(-1, &[outputs, second])?; // [.., out, second]
        let y = seen.matmul(&b.expand_dims(-1)?)?.squeeze_axis(-1)?;
        match &self.bias {
            Some(bias) => like((&y + bias)?, a),
            None => like(y, a),
        }
    }
}
