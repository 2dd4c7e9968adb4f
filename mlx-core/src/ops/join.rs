// SPDX-License-Identifier: EUPL-1.2
//! One array of several, and several of one.

use crate::Array;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::shape::length;
use crate::vector::VectorArray;

impl Array {
    /// `count` equal parts along `axis`.
    ///
    /// - shape: `[.., N, ..]` → `count` times `[.., N / count, ..]`
    /// - dtype: any, kept
    /// - source: `mlx_split`
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is not positive or above the axis's length, or `axis` out of range,
    /// [`Error::Mlx`] when the parts would not be equal.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[4])?;
    /// let halves = x.split(2, 0)?;
    /// assert_eq!(halves[1].to_vec::<i32>()?, [3, 4]);
    /// # Ok(()) }
    /// ```
    pub fn split(&self, count: i32, axis: i32) -> Result<Vec<Array>> {
        let dim = length("split", self, axis)?;
        if count < 1 || count > dim.max(1) {
            let message = format!("expected 1 to {}, found {count}", dim.max(1));
            return Err(Error::argument("split", "count", message));
        }
        // SAFETY: op contract.
        unsafe { call!(VectorArray = mlx_split(self.as_raw(), count, axis, stream())) }?.to_arrays()
    }

    /// The parts between the given places along `axis`: one more than there are places.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_split_sections`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is out of range, or the places do not rise from 0 to at most its length.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[4])?;
    /// let parts = x.split_at(&[1, 3], 0)?;
    /// assert_eq!(parts.len(), 3);
    /// assert_eq!(parts[1].to_vec::<i32>()?, [2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn split_at(&self, places: &[i32], axis: i32) -> Result<Vec<Array>> {
        let dim = length("split_at", self, axis)?;
        if places.windows(2).any(|pair| pair[0] > pair[1])
            || places.iter().any(|&place| place < 0 || place > dim)
        {
            let message = format!("expected rising places in 0..={dim}, found {places:?}");
            return Err(Error::argument("split_at", "places", message));
        }
        // SAFETY: op contract.
        unsafe {
            call!(
                VectorArray =
                    mlx_split_sections(self.as_raw(), places.as_ptr(), places.len(), axis, stream())
            )
        }?
        .to_arrays()
    }

    /// The slices along `axis`, without it.
    ///
    /// - shape: `[.., N, ..]` → N times `[.., ..]`
    /// - dtype: any, kept
    /// - source: `mlx_unstack_axis`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// let rows = x.unstack(0)?;
    /// assert_eq!(rows[1].to_vec::<i32>()?, [3, 4]);
    /// # Ok(()) }
    /// ```
    pub fn unstack(&self, axis: i32) -> Result<Vec<Array>> {
        if length("unstack", self, axis)? == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: op contract.
        unsafe { call!(VectorArray = mlx_unstack_axis(self.as_raw(), axis, stream())) }?.to_arrays()
    }
}

/// Arrays one after another along an axis that they have.
///
/// - shape: `[.., N₁, ..]`, `[.., N₂, ..]`, .. → `[.., N₁ + N₂ + .., ..]`
/// - dtype: promoted
/// - source: `mlx_concatenate_axis`
///
/// # Errors
/// [`Error::Argument`] when there are none or `axis` is out of range, [`Error::Shape`] when the result does not fit in
/// memory, [`Error::Mlx`] when shapes differ elsewhere than along `axis`.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, concatenate};
///
/// let (x, y) = (Array::from_slice(&[1i32, 2], &[1, 2])?, Array::from_slice(&[3i32, 4], &[1, 2])?);
/// assert_eq!(concatenate(&[&x, &y], 0)?.to_vec::<i32>()?, [1, 2, 3, 4]);
/// assert_eq!(concatenate(&[&x, &y], 1)?.shape(), [1, 4]);
/// # Ok(()) }
/// ```
pub fn concatenate(arrays: &[&Array], axis: i32) -> Result<Array> {
    if arrays.is_empty() {
        return Err(Error::argument("concatenate", "arrays", "there are none"));
    }
    let dims = arrays.iter().map(|array| length("concatenate", array, axis).map(i64::from));
    if i32::try_from(dims.sum::<Result<i64>>()?).is_err() {
        return Err(Error::shape("concatenate", "the result is longer than an axis can be"));
    }
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_concatenate_axis(arrays.as_raw(), axis, stream())) }
}

/// The elements of arrays of any shape, each flattened, one after another.
///
/// - shape: `[size₁ + size₂ + ..]`
/// - dtype: promoted
/// - source: `mlx_concatenate`
///
/// # Errors
/// [`Error::Argument`] when there are none, [`Error::Shape`] when the result does not fit in memory.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, concatenate_flat};
///
/// let (x, y) = (Array::from_slice(&[1i32, 2], &[2, 1])?, Array::scalar(3i32)?);
/// assert_eq!(concatenate_flat(&[&x, &y])?.to_vec::<i32>()?, [1, 2, 3]);
/// # Ok(()) }
/// ```
pub fn concatenate_flat(arrays: &[&Array]) -> Result<Array> {
    let op = "concatenate_flat";
    if arrays.is_empty() {
        return Err(Error::argument(op, "arrays", "there are none"));
    }
    if i32::try_from(arrays.iter().map(|array| array.size()).sum::<usize>()).is_err() {
        return Err(Error::shape(op, "the result is longer than an axis can be"));
    }
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_concatenate(arrays.as_raw(), stream())) }
}

/// Arrays of one shape as the slices along a new axis.
///
/// - shape: N arrays of `[.., ..]` → `[.., N, ..]`
/// - dtype: promoted
/// - source: `mlx_stack_axis`
///
/// # Errors
/// [`Error::Argument`] when there are none, [`Error::Shape`] when the result does not fit in memory, [`Error::Mlx`]
/// when shapes differ or `axis` is out of range.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, stack};
///
/// let (x, y) = (Array::from_slice(&[1i32, 2], &[2])?, Array::from_slice(&[3i32, 4], &[2])?);
/// assert_eq!(stack(&[&x, &y], 1)?.to_vec::<i32>()?, [1, 3, 2, 4]);
/// # Ok(()) }
/// ```
pub fn stack(arrays: &[&Array], axis: i32) -> Result<Array> {
    if arrays.is_empty() {
        return Err(Error::argument("stack", "arrays", "there are none"));
    }
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_stack_axis(arrays.as_raw(), axis, stream())) }
}

/// Arrays as views of the one shape that they broadcast to; no arrays give none.
///
/// - dtype: any, kept
/// - source: `mlx_broadcast_arrays`
///
/// # Errors
/// [`Error::Mlx`] when they do not broadcast, [`Error::Shape`] when one, written out, would not fit in memory.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, broadcast_arrays};
///
/// let (x, y) = (Array::from_slice(&[1i32, 2], &[2])?, Array::from_slice(&[3i32, 4], &[2, 1])?);
/// let views = broadcast_arrays(&[&x, &y])?;
/// assert_eq!(views[0].to_vec::<i32>()?, [1, 2, 1, 2]);
/// assert_eq!(views[1].to_vec::<i32>()?, [3, 3, 4, 4]);
/// # Ok(()) }
/// ```
pub fn broadcast_arrays(arrays: &[&Array]) -> Result<Vec<Array>> {
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract.
    unsafe { call!(VectorArray = mlx_broadcast_arrays(arrays.as_raw(), stream())) }?.to_arrays()
}

/// Which of the first two axes of a grid the first two vectors run along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Indexing {
    /// The first vector runs along columns, the second along rows.
    #[default]
    Xy,
    /// The first vector runs along rows, the second along columns.
    Ij,
}

/// Coordinate arrays from coordinate vectors.
///
/// - `sparse`: whether each result keeps length 1 along the axes of the others
/// - shape: vectors of N, M, .. (a scalar counts as one of 1) → `[M, N, ..]` each with [`Indexing::Xy`], `[N, M, ..]` with [`Indexing::Ij`]
/// - dtype: any, kept
/// - source: `mlx_meshgrid`
///
/// # Errors
/// [`Error::Argument`] when there are none, [`Error::Shape`] when the grid does not fit in memory, [`Error::Mlx`] when
/// one has more than one axis.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Indexing, meshgrid};
///
/// let (x, y) = (Array::from_slice(&[1i32, 2], &[2])?, Array::from_slice(&[3i32, 4, 5], &[3])?);
/// let grids = meshgrid(&[&x, &y], false, Indexing::Ij)?;
/// assert_eq!(grids[0].to_vec::<i32>()?, [1, 1, 1, 2, 2, 2]);
/// assert_eq!(grids[1].to_vec::<i32>()?, [3, 4, 5, 3, 4, 5]);
/// # Ok(()) }
/// ```
pub fn meshgrid(arrays: &[&Array], sparse: bool, indexing: Indexing) -> Result<Vec<Array>> {
    if arrays.is_empty() {
        return Err(Error::argument("meshgrid", "arrays", "there are none"));
    }
    let indexing = match indexing {
        Indexing::Xy => c"xy",
        Indexing::Ij => c"ij",
    };
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract. `indexing` is a NUL-terminated constant.
    unsafe { call!(VectorArray = mlx_meshgrid(arrays.as_raw(), sparse, indexing.as_ptr(), stream())) }?
        .to_arrays()
}
