// SPDX-License-Identifier: EUPL-1.2
//! From and to the arrays of the `ndarray` crate, with the feature `ndarray`.
//!
//! - `Array::try_from(owned)` takes an owned array over: nothing is copied where [`Array::from_vec`] copies nothing and the
//!   elements lie in row-major or column-major order.
//! - `Array::try_from(&any)` copies an array or a view of any layout.
//! - `ArrayD::<T>::try_from(&array)` evaluates and copies; `into_dimensionality` then fixes the number of axes.
//! - `ArrayViewD::<T>::try_from(&array)` evaluates and copies nothing, under the conditions of [`Array::as_slice`].

use ndarray::{ArrayBase, ArrayD, ArrayViewD, Data, Dimension, IxDyn, ShapeError};

use crate::error::{Error, Result};
use crate::{Array, Element};

/// An array that takes over an owned one.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// let table = ndarray::arr2(&[[1.0f32, 2.0], [3.0, 4.0]]);
/// let a = Array::try_from(table.reversed_axes())?;
/// assert_eq!(a.to_vec::<f32>()?, [1.0, 3.0, 2.0, 4.0]);
/// # Ok(()) }
/// ```
impl<T: Element, D: Dimension> TryFrom<ndarray::Array<T, D>> for Array {
    type Error = Error;

    fn try_from(array: ndarray::Array<T, D>) -> Result<Self> {
        let shape = shape_of(array.shape())?;
        if array.is_standard_layout() {
            return Self::from_vec(whole(array), &shape);
        }
        let reversed = array.reversed_axes();
        if reversed.is_standard_layout() {
            let shape: Vec<i32> = shape.into_iter().rev().collect();
            return Self::from_vec(whole(reversed), &shape)?.transpose();
        }
        Self::try_from(&reversed.reversed_axes())
    }
}

/// An array with a copy of the elements, in any layout.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// let table = ndarray::arr2(&[[1u8, 2, 3], [4, 5, 6]]);
/// let a = Array::try_from(&table.slice(ndarray::s![.., ..;2]))?;
/// assert_eq!((a.shape(), a.to_vec::<u8>()?), (&[2, 2][..], vec![1, 3, 4, 6]));
/// # Ok(()) }
/// ```
impl<T: Element, S: Data<Elem = T>, D: Dimension> TryFrom<&ArrayBase<S, D>> for Array {
    type Error = Error;

    fn try_from(array: &ArrayBase<S, D>) -> Result<Self> {
        let shape = shape_of(array.shape())?;
        match array.as_slice() {
            Some(data) => Self::from_slice(data, &shape),
            None => Self::from_vec(array.iter().copied().collect(), &shape),
        }
    }
}

/// A copy of the elements, in row-major order. Evaluates.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?.transpose()?;
/// let table = ndarray::ArrayD::<f32>::try_from(&a)?;
/// assert_eq!((table[[0, 1]], table.sum()), (3.0, 10.0));
/// # Ok(()) }
/// ```
impl<T: Element> TryFrom<&Array> for ArrayD<T> {
    type Error = Error;

    fn try_from(array: &Array) -> Result<Self> {
        Self::from_shape_vec(shape_to(array), array.to_vec::<T>()?).map_err(misfit)
    }
}

/// The elements where they lie. Evaluates.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// let view = ndarray::ArrayViewD::<f32>::try_from(&a)?;
/// assert_eq!(view[[1, 0]], 3.0);
/// # Ok(()) }
/// ```
impl<'a, T: Element> TryFrom<&'a Array> for ArrayViewD<'a, T> {
    type Error = Error;

    fn try_from(array: &'a Array) -> Result<Self> {
        Self::from_shape(shape_to(array), array.as_slice::<T>()?).map_err(misfit)
    }
}

/// The elements of an array that lies in row-major order; moved to the front where it is a part of its vector.
fn whole<T, D: Dimension>(array: ndarray::Array<T, D>) -> Vec<T> {
    let size = array.len();
    let (mut data, first) = array.into_raw_vec_and_offset();
    let first = first.unwrap_or(0);
    data.truncate(first + size);
    data.drain(..first.min(data.len()));
    data
}

fn shape_of(shape: &[usize]) -> Result<Vec<i32>> {
    shape
        .iter()
        .map(|&dim| i32::try_from(dim))
        .collect::<Result<_, _>>()
        .map_err(|_| Error::shape("ndarray", format!("{shape:?} has an axis longer than {}", i32::MAX)))
}

fn shape_to(array: &Array) -> IxDyn {
    let shape: Vec<usize> = array.shape().iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).collect();
    IxDyn(&shape)
}

fn misfit(error: ShapeError) -> Error {
    Error::shape("ndarray", error.to_string())
}
