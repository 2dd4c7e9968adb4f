// SPDX-License-Identifier: EUPL-1.2
//! Ops that move elements, or only change how they are laid out.

use crate::Array;
use crate::array::element_count;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::create::within;
use crate::ops::node::{axis_of, fits, unary};

impl Array {
    /// The same elements in row-major order under another shape, of which one length may be −1: whatever is left.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_reshape`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the number of elements differs, or more than one length is −1.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::from_slice(&[1i32, 2, 3, 4, 5, 6], &[6])?;
    /// assert_eq!(a.reshape(&[2, -1])?.shape(), [2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn reshape(&self, shape: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_reshape(self.as_raw(), shape.as_ptr(), shape.len(), stream())) }
    }

    /// Axes `start` to `end`, both included, as one; a scalar becomes a vector of one.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_flatten`
    ///
    /// # Errors
    /// [`Error::Mlx`] when `start` is after `end` or the last axis, or the new axis would be too long.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4, 5, 6], &[1, 2, 3])?;
    /// assert_eq!(x.flatten(1, 2)?.shape(), [1, 6]);
    /// assert_eq!(x.flatten(0, -1)?.shape(), [6]);
    /// # Ok(()) }
    /// ```
    pub fn flatten(&self, start: i32, end: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_flatten(self.as_raw(), start, end, stream())) }
    }

    /// `axis` split into several of the given lengths, of which one may be −1: whatever is left.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_unflatten`, which ends the process when −1 stands beside a 0
    ///
    /// # Errors
    /// [`Error::Mlx`] when the lengths do not multiply to that of `axis`, [`Error::Shape`] when −1 stands beside a 0.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4, 5, 6], &[1, 6])?;
    /// assert_eq!(x.unflatten(1, &[-1, 3])?.shape(), [1, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn unflatten(&self, axis: i32, shape: &[i32]) -> Result<Array> {
        axis_of("unflatten", axis, self.ndim())?;
        if shape.contains(&-1) && shape.contains(&0) {
            return Err(Error::shape(
                "unflatten",
                format!("beside a 0 nothing tells what −1 is in {shape:?}"),
            ));
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_unflatten(self.as_raw(), axis, shape.as_ptr(), shape.len(), stream())) }
    }

    unary! { shape "the axes in reverse order", dtype "any, kept";
        /// The axes in reverse order, without a copy.
        transpose => mlx_transpose ([2, 3, 1] shape [1, 3, 2]),
    }

    unary! { shape "without the axes of length 1", dtype "any, kept";
        /// x without its axes of length 1.
        squeeze => mlx_squeeze ([1, 3, 1] shape [3]),
    }

    unary! { shape "kept", dtype "any, kept";
        /// A copy of x.
        copy => mlx_copy ([1.5f32, 2.0] gives f32 [1.5, 2.0]),
    }

    unary! { shape "`[]` becomes `[1]`, else kept", dtype "any, kept";
        /// x with at least one axis.
        atleast_1d => mlx_atleast_1d ([] shape [1]),
    }

    unary! { shape "`[]` becomes `[1, 1]`, `[N]` becomes `[1, N]`, else kept", dtype "any, kept";
        /// x with at least two axes.
        atleast_2d => mlx_atleast_2d ([3] shape [1, 3]),
    }

    unary! {
        shape "`[]` becomes `[1, 1, 1]`, `[N]` becomes `[1, N, 1]`, `[N, M]` becomes `[N, M, 1]`, else kept",
        dtype "any, kept";
        /// x with at least three axes.
        atleast_3d => mlx_atleast_3d ([2, 3] shape [2, 3, 1]),
    }

    /// The axes in the given order, without a copy.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_transpose_axes`
    ///
    /// # Errors
    /// [`Error::Mlx`] when `axes` is not a permutation.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4, 5, 6], &[1, 2, 3])?;
    /// assert_eq!(x.transpose_axes(&[2, 0, 1])?.shape(), [3, 1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn transpose_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_transpose_axes(self.as_raw(), axes.as_ptr(), axes.len(), stream())) }
    }

    /// Two axes exchanged, without a copy.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_swapaxes`
    ///
    /// # Errors
    /// [`Error::Mlx`] when an axis is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.swap_axes(0, 1)?.to_vec::<i32>()?, [1, 3, 2, 4]);
    /// # Ok(()) }
    /// ```
    pub fn swap_axes(&self, a: i32, b: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_swapaxes(self.as_raw(), a, b, stream())) }
    }

    /// One axis moved to another place, the others keeping their order, without a copy.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_moveaxis`
    ///
    /// # Errors
    /// [`Error::Mlx`] when an axis is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4, 5, 6], &[1, 2, 3])?;
    /// assert_eq!(x.move_axis(-1, 0)?.shape(), [3, 1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn move_axis(&self, from: i32, to: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_moveaxis(self.as_raw(), from, to, stream())) }
    }

    /// x without the given axis of length 1.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_squeeze_axis`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is out of range, [`Error::Mlx`] when it is not of length 1.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[1, 2, 1])?;
    /// assert_eq!(x.squeeze_axis(-1)?.shape(), [1, 2]);
    /// assert!(x.squeeze_axis(1).is_err());
    /// # Ok(()) }
    /// ```
    pub fn squeeze_axis(&self, axis: i32) -> Result<Array> {
        axis_of("squeeze_axis", axis, self.ndim())?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_squeeze_axis(self.as_raw(), axis, stream())) }
    }

    /// x without the given axes, each of length 1.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_squeeze_axes`
    ///
    /// # Errors
    /// [`Error::Mlx`] when one of them is not of length 1, is out of range or occurs twice.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[1, 2, 1])?;
    /// assert_eq!(x.squeeze_axes(&[0, 2])?.shape(), [2]);
    /// # Ok(()) }
    /// ```
    pub fn squeeze_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_squeeze_axes(self.as_raw(), axes.as_ptr(), axes.len(), stream())) }
    }

    /// A new axis of length 1 at the given place of the result.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_expand_dims`
    ///
    /// # Errors
    /// [`Error::Mlx`] when `axis` is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[2])?;
    /// assert_eq!(x.expand_dims(-1)?.shape(), [2, 1]);
    /// # Ok(()) }
    /// ```
    pub fn expand_dims(&self, axis: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_expand_dims(self.as_raw(), axis, stream())) }
    }

    /// New axes of length 1 at the given places of the result.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_expand_dims_axes`
    ///
    /// # Errors
    /// [`Error::Mlx`] when an axis is out of range or occurs twice.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[2])?;
    /// assert_eq!(x.expand_dims_axes(&[0, 2])?.shape(), [1, 2, 1]);
    /// # Ok(()) }
    /// ```
    pub fn expand_dims_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_expand_dims_axes(self.as_raw(), axes.as_ptr(), axes.len(), stream())) }
    }

    /// x repeated, without a copy, to a shape that it broadcasts to.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_broadcast_to`
    ///
    /// # Errors
    /// [`Error::Shape`] when the result, written out, would not fit in memory: the next op might write it out,
    /// [`Error::Mlx`] when x does not broadcast to it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[2])?;
    /// assert_eq!(x.broadcast_to(&[2, 2])?.to_vec::<i32>()?, [1, 2, 1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn broadcast_to(&self, shape: &[i32]) -> Result<Array> {
        fits("broadcast_to", shape, self.dtype())?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_broadcast_to(self.as_raw(), shape.as_ptr(), shape.len(), stream())) }
    }

    /// The whole array, repeated `reps[i]` times along axis i, the last of both being the same.
    ///
    /// - dtype: any, kept
    /// - source: `mlx_tile`
    ///
    /// # Errors
    /// [`Error::Argument`] when a count is negative, [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[2])?;
    /// assert_eq!(x.tile(&[2])?.to_vec::<i32>()?, [1, 2, 1, 2]);
    /// assert_eq!(x.tile(&[2, 1])?.shape(), [2, 2]);
    /// # Ok(()) }
    /// ```
    pub fn tile(&self, reps: &[i32]) -> Result<Array> {
        if reps.iter().any(|&rep| rep < 0) {
            return Err(Error::argument("tile", "reps", format!("must not be negative, found {reps:?}")));
        }
        let ndim = self.ndim().max(reps.len());
        let length =
            |lengths: &[i32], i: usize| (i + lengths.len()).checked_sub(ndim).map_or(1, |i| lengths[i]);
        let shape = (0..ndim)
            .map(|i| product("tile", length(self.shape(), i), length(reps, i)))
            .collect::<Result<Vec<_>>>()?;
        fits("tile", &shape, self.dtype())?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_tile(self.as_raw(), reps.as_ptr(), reps.len(), stream())) }
    }

    /// Each element along `axis` repeated `count` times in a row.
    ///
    /// - shape: `[.., N, ..]` → `[.., N · count, ..]`
    /// - dtype: any, kept
    /// - source: `mlx_repeat_axis`
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is negative or `axis` out of range, [`Error::Shape`] when the result does not
    /// fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.repeat(2, 1)?.to_vec::<i32>()?, [1, 1, 2, 2, 3, 3, 4, 4]);
    /// # Ok(()) }
    /// ```
    pub fn repeat(&self, count: i32, axis: i32) -> Result<Array> {
        let dim = length("repeat", self, axis)?;
        if count < 0 {
            return Err(Error::argument("repeat", "count", format!("must not be negative, found {count}")));
        }
        product("repeat", dim, count)?;
        fits("repeat", &[self.shape(), &[count]].concat(), self.dtype())?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_repeat_axis(self.as_raw(), count, axis, stream())) }
    }

    /// Each element of the flattened array repeated `count` times in a row.
    ///
    /// - shape: `[size · count]`
    /// - dtype: any, kept
    /// - source: `mlx_repeat`
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is negative, [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[2, 1])?;
    /// assert_eq!(x.repeat_all(2)?.to_vec::<i32>()?, [1, 1, 2, 2]);
    /// # Ok(()) }
    /// ```
    pub fn repeat_all(&self, count: i32) -> Result<Array> {
        let op = "repeat_all";
        if count < 0 {
            return Err(Error::argument(op, "count", format!("must not be negative, found {count}")));
        }
        let size = product(op, self.flat_size(op)?, count)?;
        fits(op, &[size], self.dtype())?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_repeat(self.as_raw(), count, stream())) }
    }

    /// x moved along `axis` by `shift`, what leaves at one end coming back at the other.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_roll_axis`, which ends the process when the axis has no length
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3], &[3])?;
    /// assert_eq!(x.roll(1, 0)?.to_vec::<i32>()?, [3, 1, 2]);
    /// assert_eq!(x.roll(-1, 0)?.to_vec::<i32>()?, [2, 3, 1]);
    /// # Ok(()) }
    /// ```
    pub fn roll(&self, shift: i32, axis: i32) -> Result<Array> {
        let Some(shift) = shift.checked_rem_euclid(length("roll", self, axis)?) else {
            return Ok(self.clone());
        };
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_roll_axis(self.as_raw(), &raw const shift, 1, axis, stream())) }
    }

    /// x moved along several axes, each pair being how far and along which: `(shift, axis)`.
    ///
    /// An axis that occurs twice is moved twice.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_roll_axes`
    ///
    /// # Errors
    /// [`Error::Argument`] when an axis is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.roll_axes(&[(1, 0), (1, 1)])?.to_vec::<i32>()?, [4, 3, 2, 1]);
    /// # Ok(()) }
    /// ```
    pub fn roll_axes(&self, shifts: &[(i32, i32)]) -> Result<Array> {
        let mut axes = Vec::with_capacity(shifts.len());
        let mut places = Vec::with_capacity(shifts.len());
        for &(shift, axis) in shifts {
            let dim = length("roll_axes", self, axis)?;
            axes.push(axis);
            places.push(shift.checked_rem_euclid(dim).unwrap_or(0));
        }
        if self.size() == 0 {
            return Ok(self.clone());
        }
        // SAFETY: op contract.
        unsafe {
            call!(
                Array = mlx_roll_axes(
                    self.as_raw(),
                    places.as_ptr(),
                    places.len(),
                    axes.as_ptr(),
                    axes.len(),
                    stream()
                )
            )
        }
    }

    /// x moved by `shift` in row-major order: what leaves one row enters the next.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_roll`
    ///
    /// # Errors
    /// [`Error::Shape`] when the array has more elements than an axis can have.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.roll_all(1)?.to_vec::<i32>()?, [4, 1, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn roll_all(&self, shift: i32) -> Result<Array> {
        let Some(shift) = shift.checked_rem_euclid(self.flat_size("roll_all")?) else {
            return Ok(self.clone());
        };
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_roll(self.as_raw(), &raw const shift, 1, stream())) }
    }

    /// x in reverse order along `axis`.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_flip_axis`, of which the derivative is 0 along an axis of length 1; such ones stay as they are
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
    /// assert_eq!(x.flip(1)?.to_vec::<i32>()?, [2, 1, 4, 3]);
    /// # Ok(()) }
    /// ```
    pub fn flip(&self, axis: i32) -> Result<Array> {
        if length("flip", self, axis)? < 2 {
            return Ok(self.clone());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_flip_axis(self.as_raw(), axis, stream())) }
    }

    /// x in reverse order along each of the given axes; one that occurs twice counts once.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_flip_axes`, of which the derivative is 0 along an axis of length 1; such ones stay as they are
    ///
    /// # Errors
    /// [`Error::Argument`] when an axis is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.flip_axes(&[0])?.to_vec::<i32>()?, [3, 4, 1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn flip_axes(&self, axes: &[i32]) -> Result<Array> {
        let mut long = Vec::with_capacity(axes.len());
        for &axis in axes {
            if length("flip_axes", self, axis)? > 1 {
                long.push(axis);
            }
        }
        let axes = long;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_flip_axes(self.as_raw(), axes.as_ptr(), axes.len(), stream())) }
    }

    /// x in reverse order along every axis.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_flip`, or [`Array::flip_axes`] where an axis has length 1
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.flip_all()?.to_vec::<i32>()?, [4, 3, 2, 1]);
    /// # Ok(()) }
    /// ```
    pub fn flip_all(&self) -> Result<Array> {
        if self.shape().contains(&1) {
            let axes: Vec<i32> = (0..).take(self.ndim()).collect();
            return self.flip_axes(&axes);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_flip(self.as_raw(), stream())) }
    }

    /// x laid out in row-major order: itself where it is so already.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_contiguous`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.transpose()?.contiguous()?.to_vec::<i32>()?, [1, 3, 2, 4]);
    /// # Ok(()) }
    /// ```
    pub fn contiguous(&self) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_contiguous(self.as_raw(), false, stream())) }
    }

    /// The diagonal that begins `offset` places along `axis2` (or `−offset` along `axis1`).
    ///
    /// - shape: without the two axes, and the diagonal's as the last
    /// - dtype: any, kept
    /// - source: `mlx_diagonal`
    ///
    /// # Errors
    /// [`Error::Argument`] when an axis is out of range, [`Error::Mlx`] when both are the same.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4, 5, 6], &[2, 3])?;
    /// assert_eq!(x.diagonal(0, 0, 1)?.to_vec::<i32>()?, [1, 5]);
    /// assert_eq!(x.diagonal(1, 0, 1)?.to_vec::<i32>()?, [2, 6]);
    /// # Ok(()) }
    /// ```
    pub fn diagonal(&self, offset: i32, axis1: i32, axis2: i32) -> Result<Array> {
        let offset = within(offset, length("diagonal", self, axis1)?, length("diagonal", self, axis2)?);
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_diagonal(self.as_raw(), offset, axis1, axis2, stream())) }
    }

    /// Of a vector, the matrix with it on the diagonal that begins `k` to the right; of a matrix, that diagonal.
    ///
    /// - shape: `[N]` → `[N + |k|, N + |k|]`, or `[N, M]` → the diagonal's
    /// - dtype: any, kept
    /// - source: `mlx_diag`, which ends the process when the matrix does not fit in memory
    ///
    /// # Errors
    /// [`Error::Shape`] when x has neither one axis nor two, or the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[2])?;
    /// assert_eq!(x.diag(0)?.to_vec::<i32>()?, [1, 0, 0, 2]);
    /// assert_eq!(x.diag(0)?.diag(0)?.to_vec::<i32>()?, [1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn diag(&self, k: i32) -> Result<Array> {
        let k = match *self.shape() {
            [n] => {
                let side = n.checked_add_unsigned(k.unsigned_abs());
                let side =
                    side.ok_or_else(|| Error::shape("diag", format!("{n} + |{k}| is too long an axis")))?;
                fits("diag", &[side, side], self.dtype())?;
                k
            }
            [rows, columns] => within(k, rows, columns),
            _ => {
                return Err(Error::shape(
                    "diag",
                    format!("expected one or two axes, found {:?}", self.shape()),
                ));
            }
        };
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_diag(self.as_raw(), k, stream())) }
    }

    /// A view of the elements, in row-major order, with any shape, steps and first element.
    ///
    /// - `strides`, `offset`: in elements
    /// - shape: `shape`
    /// - dtype: any, kept
    /// - source: `mlx_as_strided`, which reads whatever memory it is told to
    ///
    /// # Errors
    /// [`Error::Shape`] when the view would reach outside the array.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// // Windows of two over a sequence, without a copy.
    /// let x = Array::from_slice(&[1i32, 2, 3], &[3])?;
    /// assert_eq!(x.as_strided(&[2, 2], &[1, 1], 0)?.to_vec::<i32>()?, [1, 2, 2, 3]);
    /// assert!(x.as_strided(&[4], &[1], 0).is_err());
    /// # Ok(()) }
    /// ```
    pub fn as_strided(&self, shape: &[i32], strides: &[i64], offset: usize) -> Result<Array> {
        let op = "as_strided";
        if shape.len() != strides.len() {
            return Err(Error::shape(op, format!("{} axes but {} strides", shape.len(), strides.len())));
        }
        let count = element_count(op, shape, self.dtype())?;
        let outside =
            || Error::shape(op, format!("{shape:?} by {strides:?} from {offset} reaches outside the array"));
        if count > 0 {
            let first = i64::try_from(offset).map_err(|_| outside())?;
            let (mut low, mut high) = (first, first);
            for (&dim, &stride) in shape.iter().zip(strides) {
                let reach = i64::from(dim - 1).checked_mul(stride).ok_or_else(outside)?;
                let end = if reach < 0 { &mut low } else { &mut high };
                *end = end.checked_add(reach).ok_or_else(outside)?;
            }
            if low < 0 || usize::try_from(high).map_or(true, |high| high >= self.size()) {
                return Err(outside());
            }
        }
        // The library counts from the buffer as it is; only in row-major order are the elements where we count them.
        let base = self.contiguous()?;
        let offset = if count == 0 { 0 } else { offset };
        // SAFETY: op contract. Every element of the view lies inside the array, as checked above.
        unsafe {
            call!(
                Array = mlx_as_strided(
                    base.as_raw(),
                    shape.as_ptr(),
                    shape.len(),
                    strides.as_ptr(),
                    strides.len(),
                    offset,
                    stream()
                )
            )
        }
    }
}

/// The length of an axis, with the op's own name in the error.
pub(super) fn length(op: &'static str, array: &Array, axis: i32) -> Result<i32> {
    axis_of(op, axis, array.ndim()).map(|axis| array.shape()[axis])
}

/// The length of an axis that grows by a factor.
pub(super) fn product(op: &'static str, dim: i32, count: i32) -> Result<i32> {
    dim.checked_mul(count)
        .ok_or_else(|| Error::shape(op, format!("{dim} × {count} is longer than an axis can be")))
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
