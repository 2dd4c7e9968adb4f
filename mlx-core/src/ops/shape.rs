// SPDX-License-Identifier: EUPL-1.2
//! Ops that move elements, or only change how they are laid out.

use crate::array::element_count;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, c_string, call};
use crate::ops::unary;
use crate::vector::VectorArray;
use crate::Array;

impl Array {
    /// The same elements in row-major order under another shape, of which one length may be −1: whatever is left.
    ///
    /// - source: `mlx_reshape`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the number of elements differs.
    pub fn reshape(&self, shape: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_reshape(self.as_raw(), shape.as_ptr(), shape.len(), stream())) }
    }

    /// Axes `start` to `end`, both included, as one. Source: `mlx_flatten`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when an axis is out of range or `end` is before `start`.
    pub fn flatten(&self, start: i32, end: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_flatten(self.as_raw(), start, end, stream())) }
    }

    /// `axis` split into several of the given lengths, of which one may be −1. Source: `mlx_unflatten`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the lengths do not multiply to that of `axis`.
    pub fn unflatten(&self, axis: i32, shape: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_unflatten(self.as_raw(), axis, shape.as_ptr(), shape.len(), stream())) }
    }

    unary! {
        /// The axes in reverse order. Dtype: kept. Source: `mlx_transpose`.
        transpose => mlx_transpose,
        /// x without its axes of length 1. Dtype: kept. Source: `mlx_squeeze`.
        squeeze => mlx_squeeze,
        /// A copy of x. Dtype: kept. Source: `mlx_copy`.
        copy => mlx_copy,
    }

    /// The axes in the given order. Source: `mlx_transpose_axes`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when `axes` is not a permutation.
    pub fn transpose_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_transpose_axes(self.as_raw(), axes.as_ptr(), axes.len(), stream())) }
    }

    /// Two axes exchanged. Source: `mlx_swapaxes`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when an axis is out of range.
    pub fn swap_axes(&self, a: i32, b: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_swapaxes(self.as_raw(), a, b, stream())) }
    }

    /// One axis moved to another place, the others keeping their order. Source: `mlx_moveaxis`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when an axis is out of range.
    pub fn move_axis(&self, from: i32, to: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_moveaxis(self.as_raw(), from, to, stream())) }
    }

    /// x without the given axes, each of length 1. Source: `mlx_squeeze_axes`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when one of them is longer, or out of range.
    pub fn squeeze_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_squeeze_axes(self.as_raw(), axes.as_ptr(), axes.len(), stream())) }
    }

    /// A new axis of length 1 at the given place of the result. Source: `mlx_expand_dims`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when `axis` is out of range.
    pub fn expand_dims(&self, axis: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_expand_dims(self.as_raw(), axis, stream())) }
    }

    /// New axes of length 1 at the given places of the result. Source: `mlx_expand_dims_axes`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when an axis is out of range or occurs twice.
    pub fn expand_dims_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_expand_dims_axes(self.as_raw(), axes.as_ptr(), axes.len(), stream())) }
    }

    /// x repeated, without a copy, to a shape that it broadcasts to. Source: `mlx_broadcast_to`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the result would be too large to address, [`Error::Mlx`] when x does not broadcast to it.
    pub fn broadcast_to(&self, shape: &[i32]) -> Result<Array> {
        element_count("broadcast_to", shape, self.dtype())?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_broadcast_to(self.as_raw(), shape.as_ptr(), shape.len(), stream())) }
    }

    /// The whole array, repeated `reps[i]` times along axis i; missing axes count from the front. Source: `mlx_tile`.
    ///
    /// # Errors
    /// [`Error::Argument`] when a count is negative, [`Error::Shape`] when the result is too large to address.
    pub fn tile(&self, reps: &[i32]) -> Result<Array> {
        let ndim = self.ndim().max(reps.len());
        let length = |lengths: &[i32], i: usize| (i + lengths.len()).checked_sub(ndim).map_or(1, |i| lengths[i]);
        let mut shape = Vec::with_capacity(ndim);
        for i in 0..ndim {
            let (dim, rep) = (length(self.shape(), i), length(reps, i));
            if rep < 0 {
                return Err(Error::argument("tile", "reps", format!("must not be negative, found {reps:?}")));
            }
            shape.push(dim.checked_mul(rep).ok_or_else(|| too_long("tile", dim, rep))?);
        }
        element_count("tile", &shape, self.dtype())?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_tile(self.as_raw(), reps.as_ptr(), reps.len(), stream())) }
    }

    /// Each element along `axis` repeated `count` times in a row. Source: `mlx_repeat_axis`.
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is negative or `axis` out of range, [`Error::Shape`] when the result is too
    /// large to address.
    pub fn repeat(&self, count: i32, axis: i32) -> Result<Array> {
        let dim = self.dim(axis)?;
        if count < 0 {
            return Err(Error::argument("repeat", "count", format!("must not be negative, found {count}")));
        }
        dim.checked_mul(count).ok_or_else(|| too_long("repeat", dim, count))?;
        element_count("repeat", &[self.shape(), &[count]].concat(), self.dtype())?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_repeat_axis(self.as_raw(), count, axis, stream())) }
    }

    /// x with `(before, after)` elements of `value` added to each axis. Dtype: kept. Source: `mlx_pad`.
    ///
    /// # Errors
    /// [`Error::Argument`] when there is not one pair an axis or a width is negative, [`Error::Shape`] when the result
    /// is too large to address.
    pub fn pad(&self, widths: &[(i32, i32)], value: f64) -> Result<Array> {
        let op = "pad";
        if widths.len() != self.ndim() {
            let message = format!("expected {} pairs, found {}", self.ndim(), widths.len());
            return Err(Error::argument(op, "widths", message));
        }
        let mut shape = Vec::with_capacity(widths.len());
        for (&dim, &(before, after)) in self.shape().iter().zip(widths) {
            if before < 0 || after < 0 {
                return Err(Error::argument(op, "widths", format!("must not be negative, found {widths:?}")));
            }
            let padded = dim.checked_add(before).and_then(|dim| dim.checked_add(after));
            shape.push(padded.ok_or_else(|| Error::shape(op, format!("{dim} + {before} + {after} is too long")))?);
        }
        element_count(op, &shape, self.dtype())?;
        let axes: Vec<i32> = (0..).take(widths.len()).collect();
        let (before, after): (Vec<i32>, Vec<i32>) = widths.iter().copied().unzip();
        let value = Array::constant(value, self.dtype())?;
        // SAFETY: op contract. The mode is a NUL-terminated constant.
        unsafe {
            call!(Array = mlx_pad(
                self.as_raw(),
                axes.as_ptr(),
                axes.len(),
                before.as_ptr(),
                before.len(),
                after.as_ptr(),
                after.len(),
                value.as_raw(),
                c"constant".as_ptr(),
                stream()
            ))
        }
    }

    /// x moved along `axis` by `shift`, what leaves at one end coming back at the other. Source: `mlx_roll_axis`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when `axis` is out of range.
    pub fn roll(&self, shift: i32, axis: i32) -> Result<Array> {
        if self.dim(axis)? == 0 {
            return Ok(self.clone());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_roll_axis(self.as_raw(), &raw const shift, 1, axis, stream())) }
    }

    /// x in reverse order along `axis`. Source: `mlx_flip_axis`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when `axis` is out of range.
    pub fn flip(&self, axis: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_flip_axis(self.as_raw(), axis, stream())) }
    }

    /// x laid out in row-major order: itself where it is so already. Source: `mlx_contiguous`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn contiguous(&self) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_contiguous(self.as_raw(), false, stream())) }
    }

    /// The diagonal that begins `offset` to the right, of two axes. Source: `mlx_diagonal`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when an axis is out of range or both are the same.
    pub fn diagonal(&self, offset: i32, axis1: i32, axis2: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_diagonal(self.as_raw(), offset, axis1, axis2, stream())) }
    }

    /// A matrix with x on the diagonal that begins `k` to the right; of a matrix, that diagonal. Source: `mlx_diag`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when x has neither one axis nor two.
    pub fn diag(&self, k: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_diag(self.as_raw(), k, stream())) }
    }

    /// A view of the elements, in row-major order, with any shape, steps and first element. Source: `mlx_as_strided`.
    ///
    /// - `strides`, `offset`: in elements
    ///
    /// # Errors
    /// [`Error::Shape`] when the view would reach outside the array.
    pub fn as_strided(&self, shape: &[i32], strides: &[i64], offset: usize) -> Result<Array> {
        let op = "as_strided";
        if shape.len() != strides.len() {
            return Err(Error::shape(op, format!("{} axes but {} strides", shape.len(), strides.len())));
        }
        let count = element_count(op, shape, self.dtype())?;
        let outside = || Error::shape(op, format!("{shape:?} by {strides:?} from {offset} reaches outside the array"));
        let (mut low, mut high) = (i64::try_from(offset).map_err(|_| outside())?, offset as i64);
        for (&dim, &stride) in shape.iter().zip(strides) {
            let reach = i64::from(dim - 1).max(0).checked_mul(stride).ok_or_else(outside)?;
            let end = if reach < 0 { &mut low } else { &mut high };
            *end = end.checked_add(reach).ok_or_else(outside)?;
        }
        if count > 0 && (low < 0 || u64::try_from(high).is_ok_and(|high| high >= self.size() as u64)) {
            return Err(outside());
        }
        // The library counts from the buffer as it is; only in row-major order are the elements where we count them.
        let base = self.contiguous()?;
        let offset = if count == 0 { 0 } else { offset };
        // SAFETY: op contract. Every element of the view lies inside the array, as checked above.
        unsafe {
            call!(Array = mlx_as_strided(
                base.as_raw(),
                shape.as_ptr(),
                shape.len(),
                strides.as_ptr(),
                strides.len(),
                offset,
                stream()
            ))
        }
    }

    /// `count` equal parts along `axis`. Source: `mlx_split`.
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is not positive, [`Error::Mlx`] when the parts would not be equal.
    pub fn split(&self, count: i32, axis: i32) -> Result<Vec<Array>> {
        if count < 1 {
            return Err(Error::argument("split", "count", format!("expected at least 1, found {count}")));
        }
        self.dim(axis)?;
        // SAFETY: op contract.
        unsafe { call!(VectorArray = mlx_split(self.as_raw(), count, axis, stream())) }?.to_arrays()
    }

    /// The parts between the given places along `axis`: one more than there are places. Source: `mlx_split_sections`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when `axis` is out of range.
    pub fn split_at(&self, places: &[i32], axis: i32) -> Result<Vec<Array>> {
        let dim = self.dim(axis)?;
        if places.windows(2).any(|pair| pair[0] > pair[1]) || places.iter().any(|&place| place < 0 || place > dim) {
            let message = format!("expected rising places in 0..={dim}, found {places:?}");
            return Err(Error::argument("split_at", "places", message));
        }
        // SAFETY: op contract.
        unsafe {
            call!(VectorArray =
                mlx_split_sections(self.as_raw(), places.as_ptr(), places.len(), axis, stream()))
        }?
        .to_arrays()
    }

    /// The slices along `axis`, without it. Source: `mlx_unstack_axis`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when `axis` is out of range.
    pub fn unstack(&self, axis: i32) -> Result<Vec<Array>> {
        if self.dim(axis)? == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: op contract.
        unsafe { call!(VectorArray = mlx_unstack_axis(self.as_raw(), axis, stream())) }?.to_arrays()
    }
}

fn too_long(op: &'static str, dim: i32, count: i32) -> Error {
    Error::shape(op, format!("{dim} × {count} is longer than an axis can be"))
}

/// Arrays one after another along an axis that they have. Dtype: promoted. Source: `mlx_concatenate_axis`.
///
/// # Errors
/// [`Error::Argument`] when there are none, [`Error::Mlx`] when shapes differ elsewhere than along `axis`.
pub fn concatenate(arrays: &[&Array], axis: i32) -> Result<Array> {
    let Some(first) = arrays.first() else {
        return Err(Error::argument("concatenate", "arrays", "there are none"));
    };
    first.dim(axis)?;
    let dims = arrays.iter().map(|array| array.dim(axis)).collect::<Result<Vec<_>>>()?;
    if i32::try_from(dims.iter().map(|&dim| i64::from(dim)).sum::<i64>()).is_err() {
        return Err(Error::shape("concatenate", "the result is longer than an axis can be"));
    }
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_concatenate_axis(arrays.as_raw(), axis, stream())) }
}

/// Arrays of one shape as the slices along a new axis. Dtype: promoted. Source: `mlx_stack_axis`.
///
/// # Errors
/// [`Error::Argument`] when there are none, [`Error::Mlx`] when shapes differ or `axis` is out of range.
pub fn stack(arrays: &[&Array], axis: i32) -> Result<Array> {
    if arrays.is_empty() {
        return Err(Error::argument("stack", "arrays", "there are none"));
    }
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_stack_axis(arrays.as_raw(), axis, stream())) }
}

/// Arrays as views of the one shape that they broadcast to. Source: `mlx_broadcast_arrays`.
///
/// # Errors
/// [`Error::Mlx`] when they do not broadcast.
pub fn broadcast_arrays(arrays: &[&Array]) -> Result<Vec<Array>> {
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract.
    unsafe { call!(VectorArray = mlx_broadcast_arrays(arrays.as_raw(), stream())) }?.to_arrays()
}

/// Coordinate arrays from coordinate vectors. Source: `mlx_meshgrid`.
///
/// - `sparse`: whether each result keeps length 1 along the axes of the others
/// - `indexing`: `"xy"` or `"ij"`
///
/// # Errors
/// [`Error::Argument`] when there are none, [`Error::Mlx`] when one is not a vector or `indexing` is unknown.
pub fn meshgrid(arrays: &[&Array], sparse: bool, indexing: &str) -> Result<Vec<Array>> {
    if arrays.is_empty() {
        return Err(Error::argument("meshgrid", "arrays", "there are none"));
    }
    let indexing = c_string("meshgrid", "indexing", indexing)?;
    let arrays = VectorArray::from_arrays(arrays.iter().copied())?;
    // SAFETY: op contract. `indexing` is NUL-terminated and lives through the call.
    unsafe { call!(VectorArray = mlx_meshgrid(arrays.as_raw(), sparse, indexing.as_ptr(), stream())) }?.to_arrays()
}

/// The one shape that all of `arrays` broadcast to.
pub(crate) fn broadcast_shapes(op: &'static str, arrays: &[&Array]) -> Result<Vec<i32>> {
    let ndim = arrays.iter().map(|array| array.ndim()).max().unwrap_or(0);
    let mut common = vec![1; ndim];
    for array in arrays {
        for (length, &dim) in common.iter_mut().rev().zip(array.shape().iter().rev()) {
            if *length != dim && *length != 1 && dim != 1 {
                let shapes: Vec<&[i32]> = arrays.iter().map(|array| array.shape()).collect();
                return Err(Error::shape(op, format!("shapes {shapes:?} do not broadcast")));
            }
            if *length == 1 {
                *length = dim;
            }
        }
    }
    Ok(common)
}
