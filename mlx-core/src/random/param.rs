// SPDX-License-Identifier: EUPL-1.2
//! Parameters of distributions: a number for all draws, or an array of them.

use crate::error::{Error, Result};
use crate::{Array, Dtype};

/// A parameter of a distribution: one number for all draws, or an array of numbers that broadcasts to them.
///
/// Functions take anything that becomes one: an `f32`, or an `&Array`.
#[derive(Clone, Copy, Debug)]
pub enum Param<'a> {
    /// The same for all.
    Value(f32),
    /// Of any real dtype.
    Array(&'a Array),
}

impl From<f32> for Param<'_> {
    fn from(value: f32) -> Self {
        Self::Value(value)
    }
}

impl<'a> From<&'a Array> for Param<'a> {
    fn from(array: &'a Array) -> Self {
        Self::Array(array)
    }
}

impl Param<'_> {
    pub(super) fn to_array(self, op: &'static str, argument: &'static str, shape: &[i32]) -> Result<Array> {
        match self {
            Self::Value(value) => Array::scalar(value),
            Self::Array(array) if array.dtype() == Dtype::Complex64 => {
                Err(Error::argument(op, argument, "expected real numbers, found complex64"))
            }
            Self::Array(array) => spread(op, argument, array, shape).map(|()| array.clone()),
        }
    }
}

/// A bound of [`randint`](super::randint): one integer for all draws, or an array of integers that broadcasts to them.
///
/// The function takes anything that becomes one: an `i32`, or an `&Array`.
#[derive(Clone, Copy, Debug)]
pub enum IntParam<'a> {
    /// The same for all.
    Value(i32),
    /// Of any integer dtype.
    Array(&'a Array),
}

impl From<i32> for IntParam<'_> {
    fn from(value: i32) -> Self {
        Self::Value(value)
    }
}

impl<'a> From<&'a Array> for IntParam<'a> {
    fn from(array: &'a Array) -> Self {
        Self::Array(array)
    }
}

impl IntParam<'_> {
    pub(super) fn to_array(self, op: &'static str, argument: &'static str, shape: &[i32]) -> Result<Array> {
        match self {
            Self::Value(value) => Array::scalar(value),
            Self::Array(array) if !array.dtype().is_integer() => {
                Err(Error::argument(op, argument, format!("expected integers, found {}", array.dtype())))
            }
            Self::Array(array) => spread(op, argument, array, shape).map(|()| array.clone()),
        }
    }
}

/// Whether a shape broadcasts to another one.
pub(super) fn broadcasts(from: &[i32], to: &[i32]) -> bool {
    from.len() <= to.len() && from.iter().rev().zip(to.iter().rev()).all(|(&a, &b)| a == b || a == 1)
}

/// Checks that a parameter broadcasts to the draws.
pub(super) fn spread(op: &'static str, argument: &'static str, array: &Array, shape: &[i32]) -> Result<()> {
    if broadcasts(array.shape(), shape) {
        return Ok(());
    }
    Err(Error::argument(op, argument, format!("shape {:?} does not broadcast to {shape:?}", array.shape())))
}
