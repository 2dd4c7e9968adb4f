// SPDX-License-Identifier: EUPL-1.2
//! Reading and writing at places that arrays of indices name.
//!
//! **Indices out of range.** MLX's kernels check no index: on the CPU a bad one reads foreign memory, or writes to it.
//! So every op here checks or bounds its indices first, and none can leave its operand:
//!
//! - indices whose values are there already (made on the host, or evaluated) are read, and one out of range is an
//!   [`Error::Index`];
//! - indices still to be computed cannot be looked at, because ops never evaluate. They are clamped to the range within
//!   the graph, so that one out of range means the nearest place that exists. This costs one or two ops on the
//!   indices, and none where their dtype cannot leave the range.
//!
//! Indices are integers of any width; negative ones count from the end.

use super::shape::broadcast_shapes;
use super::slice::broadcast_update;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, call, sys};
use crate::vector::VectorArray;
use crate::{Array, Dtype, Scan, where_};

/// The places along one axis that an index may name.
pub(super) struct Bounds {
    op: &'static str,
    argument: &'static str,
    /// The length of the axis.
    size: i32,
    /// How many places from the named one on are touched.
    extent: i32,
    /// Whether a negative index counts from the end.
    wraps: bool,
}

impl Bounds {
    /// Any place of an axis of `size`, counted from either end.
    pub(super) fn new(op: &'static str, argument: &'static str, size: i32) -> Self {
        Self { op, argument, size, extent: 1, wraps: true }
    }

    /// Any place of an axis of `size`, counted from the front.
    pub(super) fn from_front(op: &'static str, argument: &'static str, size: i32) -> Self {
        Self { wraps: false, ..Self::new(op, argument, size) }
    }

    /// The first of `extent` places in a row, all of which must exist.
    pub(super) fn extent(self, extent: i32) -> Self {
        Self { extent, ..self }
    }

    /// `indices` as they are when they are known to be in range, else bounded within the graph.
    pub(super) fn apply(&self, indices: &Array) -> Result<Array> {
        let dtype = indices.dtype();
        if !dtype.is_integer() {
            let message = format!("expected integers, found {dtype}");
            return Err(Error::argument(self.op, self.argument, message));
        }
        if indices.size() == 0 {
            return Ok(indices.clone());
        }
        let last = self.size - self.extent;
        if last < 0 {
            let message = format!("{} places do not fit into an axis of {}", self.extent, self.size);
            return Err(Error::argument(self.op, self.argument, message));
        }
        if indices.is_available()? {
            let (size, last) = (i64::from(self.size), i64::from(last));
            let (mut bad, mut wraps) = (None, false);
            visit_values(indices, |index| {
                let negative = self.wraps && index < 0;
                wraps |= negative;
                let place = if negative { index.saturating_add(size) } else { index };
                if !(0..=last).contains(&place) {
                    bad = bad.or(Some(index));
                }
            })?;
            if let Some(index) = bad {
                return Err(Error::Index { op: self.op, index, size });
            }
            // The kernels count negative indices from the end themselves, but know of one place only.
            if self.extent == 1 || !wraps {
                return Ok(indices.clone());
            }
        }
        self.bound(indices)
    }

    /// `indices` clamped within the graph.
    fn bound(&self, indices: &Array) -> Result<Array> {
        let last = self.size - self.extent;
        let (indices, lowest) = match (self.wraps, self.extent) {
            (false, _) => (indices.clone(), 0),
            (true, 1) => (indices.clone(), -self.size),
            (true, _) if !is_signed(indices.dtype()) => (indices.clone(), 0),
            (true, _) => {
                // Wide enough that adding the length cannot overflow.
                let wide = indices.astype(Dtype::Int64)?;
                let zero = Array::scalar(0i64)?;
                let wrapped = (&wide + &Array::scalar(i64::from(self.size))?)?;
                (where_(&wide.less(&zero)?, &wrapped, &wide)?, 0)
            }
        };
        let dtype = indices.dtype();
        let (min, max) = dtype_range(dtype);
        let mut bounded = indices;
        if i64::from(lowest) > min {
            bounded = bounded.maximum(&Array::constant(lowest.into(), dtype)?)?;
        }
        if i64::from(last) < max {
            bounded = bounded.minimum(&Array::constant(last.into(), dtype)?)?;
        }
        Ok(bounded)
    }
}

/// `starts` as they are when every slice is known to lie within its axis, else clamped within the graph: `starts[i]` is
/// the first of `fits[i].1` places in a row on an axis of `fits[i].0`, counted from the front.
pub(super) fn bounded_starts(op: &'static str, starts: &Array, fits: &[(i32, i32)]) -> Result<Array> {
    let dtype = starts.dtype();
    if !dtype.is_integer() {
        return Err(Error::argument(op, "start", format!("expected integers, found {dtype}")));
    }
    if starts.ndim() > 1 || starts.size() != fits.len() {
        let message =
            format!("expected one for each of {} axes, found shape {:?}", fits.len(), starts.shape());
        return Err(Error::argument(op, "start", message));
    }
    let lasts = fits.iter().map(|&(size, extent)| i64::from(size) - i64::from(extent));
    if starts.is_available()? {
        for ((value, last), &(size, _)) in values(starts)?.into_iter().zip(lasts).zip(fits) {
            if !(0..=last).contains(&value) {
                return Err(Error::Index { op, index: value, size: size.into() });
            }
        }
        return Ok(starts.clone());
    }
    let (_, max) = dtype_range(dtype);
    let lasts: Vec<i64> = lasts.map(|last| last.min(max)).collect();
    let lasts = Array::from_slice(&lasts, starts.shape())?.astype(dtype)?;
    let starts =
        if is_signed(dtype) { starts.maximum(&Array::constant(0.0, dtype)?)? } else { starts.clone() };
    starts.minimum(&lasts)
}

fn is_signed(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64)
}

/// The smallest and largest value of an integer dtype, as far as an int64 holds them.
pub(crate) fn dtype_range(dtype: Dtype) -> (i64, i64) {
    match dtype {
        Dtype::Uint8 => (0, u8::MAX.into()),
        Dtype::Uint16 => (0, u16::MAX.into()),
        Dtype::Uint32 => (0, u32::MAX.into()),
        Dtype::Uint64 => (0, i64::MAX),
        Dtype::Int8 => (i8::MIN.into(), i8::MAX.into()),
        Dtype::Int16 => (i16::MIN.into(), i16::MAX.into()),
        Dtype::Int32 => (i32::MIN.into(), i32::MAX.into()),
        _ => (i64::MIN, i64::MAX),
    }
}

/// The values of an integer array that is available, in row-major order.
fn values(array: &Array) -> Result<Vec<i64>> {
    let mut values = Vec::with_capacity(array.size());
    visit_values(array, |value| values.push(value))?;
    Ok(values)
}

/// Shows `see` each value of an integer array that is available, in row-major order, without evaluating anything; values
/// that an int64 cannot hold as the largest one that it can.
fn visit_values(array: &Array, see: impl FnMut(i64)) -> Result<()> {
    match array.dtype() {
        Dtype::Uint8 => visit_as::<u8>(array, see),
        Dtype::Uint16 => visit_as::<u16>(array, see),
        Dtype::Uint32 => visit_as::<u32>(array, see),
        Dtype::Uint64 => visit_as::<u64>(array, see),
        Dtype::Int8 => visit_as::<i8>(array, see),
        Dtype::Int16 => visit_as::<i16>(array, see),
        Dtype::Int32 => visit_as::<i32>(array, see),
        Dtype::Int64 => visit_as::<i64>(array, see),
        found => Err(Error::Dtype { op: "index", expected: Dtype::Int32, found }),
    }
}

fn visit_as<T: Copy>(array: &Array, mut see: impl FnMut(i64)) -> Result<()>
where
    i64: TryFrom<T>,
{
    if array.size() == 0 {
        return Ok(());
    }
    let shape = array.shape();
    // SAFETY: op contract. The strides are a vector inside the node that `array` keeps alive, one for each axis; an
    // available array's never change.
    let strides = unsafe { ffi::slice(sys::mlx_array_strides(array.as_raw()), shape.len()) };
    // SAFETY: op contract. The array is available, so there is a buffer behind it.
    let data = unsafe {
        ffi::prepare();
        sys::mlx_array_data_uint8(array.as_raw())
    };
    if data.is_null() || strides.len() != shape.len() {
        return ffi::check("mlx_array_data", 1);
    }
    let data = data.cast::<T>();
    let mut place = vec![0i32; shape.len()];
    let mut offset = 0isize;
    for _ in 0..array.size() {
        // SAFETY: `offset` is the sum of place × stride with every place below its axis' length: an element of this
        // array, so it lies inside the buffer that `array` keeps alive. `T` is the Rust type of the array's dtype, and
        // nothing writes to the buffer of an available array that has another owner.
        let value = unsafe { data.offset(offset).read_unaligned() };
        see(i64::try_from(value).unwrap_or(i64::MAX));
        for ((place, &size), &stride) in place.iter_mut().zip(shape).zip(strides).rev() {
            // mlx-c shows signed strides through an unsigned type.
            let stride = stride.cast_signed();
            *place += 1;
            offset += stride;
            if *place < size {
                break;
            }
            offset -= stride * *place as isize;
            *place = 0;
        }
    }
    Ok(())
}

/// What happens where an update meets an element.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Meet {
    Replace,
    Add,
    Max,
    Min,
    Prod,
}

impl Array {
    /// The slices that `indices` name along `axis`.
    ///
    /// Indices out of range are errors where they are known, and clamped where they are still to be computed: an
    /// embedding looked up with a token that the same graph samples costs one op on that token.
    ///
    /// - shape: `[A.., N, B..]`, indices `[I..]` → `[A.., I.., B..]`
    /// - dtype: any, kept; indices integer, negative ones count from the end
    /// - source: `mlx_take_axis`
    ///
    /// # Errors
    /// [`Error::Index`] when a known index is outside `-N..N`, [`Error::Argument`] when `axis` is out of range, indices
    /// are not integers, or there is nothing to take from.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let rows = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    /// let picked = rows.take(&Array::from_slice(&[1, -2, 1], &[3])?, 0)?;
    /// assert_eq!(picked.to_vec::<f32>()?, [3.0, 4.0, 1.0, 2.0, 3.0, 4.0]);
    /// assert!(rows.take(&Array::scalar(2)?, 0).is_err());
    /// # Ok(()) }
    /// ```
    pub fn take(&self, indices: &Array, axis: i32) -> Result<Array> {
        let (axis, size) = self.axis("take", axis)?;
        let indices = Bounds::new("take", "indices", size).apply(indices)?;
        // SAFETY: op contract. The indices are in range, or clamped into it.
        unsafe { call!(Array = mlx_take_axis(self.as_raw(), indices.as_raw(), axis, stream())) }
    }

    /// The elements that `indices` name in row-major order.
    ///
    /// - shape: N elements, indices `[I..]` → `[I..]`
    /// - dtype: any, kept; indices as in [`Array::take`]
    /// - source: `mlx_take`
    ///
    /// # Errors
    /// As [`Array::take`]; [`Error::Shape`] when there are more elements than an index can count.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    /// assert_eq!(a.take_flat(&Array::from_slice(&[2, -1], &[2])?)?.to_vec::<f32>()?, [3.0, 4.0]);
    /// # Ok(()) }
    /// ```
    pub fn take_flat(&self, indices: &Array) -> Result<Array> {
        let size = i32::try_from(self.size()).map_err(|_| {
            Error::shape("take_flat", format!("{:?} has more elements than an index can count", self.shape()))
        })?;
        let indices = Bounds::new("take_flat", "indices", size).apply(indices)?;
        // SAFETY: op contract. The indices are in range, or clamped into it.
        unsafe { call!(Array = mlx_take(self.as_raw(), indices.as_raw(), stream())) }
    }

    /// For each place of `indices`, the element at that place with the index in the place of `axis`:
    /// `out[i][j] = a[i][indices[i][j]]` for the last of two axes.
    ///
    /// - shape: `[A.., N, B..]`, indices `[A.., M, B..]` → `[A.., M, B..]`; other axes than `axis` broadcast
    /// - dtype: any, kept; indices as in [`Array::take`]
    /// - source: `mlx_take_along_axis`
    ///
    /// # Errors
    /// As [`Array::take`]; [`Error::Shape`] when the shapes do not fit.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let scores = Array::from_slice(&[0.25f32, 0.5, 4.0, 3.0], &[2, 2])?;
    /// let best = scores.argsort(-1)?.slice_axis(-1, -1, i32::MAX)?;
    /// assert_eq!(scores.take_along_axis(&best, -1)?.to_vec::<f32>()?, [0.5, 4.0]);
    /// # Ok(()) }
    /// ```
    pub fn take_along_axis(&self, indices: &Array, axis: i32) -> Result<Array> {
        const OP: &str = "take_along_axis";
        let (axis, size) = self.axis(OP, axis)?;
        self.fits_along(OP, indices, axis, true)?;
        let indices = Bounds::new(OP, "indices", size).apply(indices)?;
        // SAFETY: op contract. The indices are in range, or clamped into it.
        unsafe { call!(Array = mlx_take_along_axis(self.as_raw(), indices.as_raw(), axis, stream())) }
    }

    /// This array with `values` at the places that [`Array::take_along_axis`] would read. Where two indices name the
    /// same place, one of the values is there.
    ///
    /// - shape: `[A.., N, B..]`, indices `[A.., M, B..]`, values that broadcast to the indices → `[A.., N, B..]`; the
    ///   indices' other axes than `axis` broadcast
    /// - dtype: any, kept, values converted to it; indices as in [`Array::take`]
    /// - source: `mlx_put_along_axis`
    ///
    /// # Errors
    /// As [`Array::take_along_axis`]; [`Error::Shape`] when the values do not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// let labels = Array::from_slice(&[2, 0], &[2, 1])?;
    /// let one_hot = Array::zeros(&[2, 3], Dtype::Float32)?.put_along_axis(&labels, &Array::scalar(1.0f32)?, 1)?;
    /// assert_eq!(one_hot.to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]);
    /// # Ok(()) }
    /// ```
    pub fn put_along_axis(&self, indices: &Array, values: &Array, axis: i32) -> Result<Array> {
        const OP: &str = "put_along_axis";
        let (axis, size) = self.axis(OP, axis)?;
        self.fits_along(OP, indices, axis, false)?;
        self.fits_places(OP, indices, values, axis)?;
        let indices = Bounds::new(OP, "indices", size).apply(indices)?;
        // SAFETY: op contract. The indices are in range, or clamped into it.
        unsafe {
            call!(
                Array = mlx_put_along_axis(self.as_raw(), indices.as_raw(), values.as_raw(), axis, stream(),)
            )
        }
    }

    /// This array with `values` added at the places that [`Array::take_along_axis`] would read; each of several values
    /// for one place is added.
    ///
    /// - shape, dtype: as [`Array::put_along_axis`]
    /// - source: `mlx_scatter_add_axis`
    ///
    /// # Errors
    /// As [`Array::put_along_axis`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// let words = Array::from_slice(&[1, 0, 1, 1], &[4])?;
    /// let counts = Array::zeros(&[3], Dtype::Int32)?.scatter_add_axis(&words, &Array::scalar(1)?, 0)?;
    /// assert_eq!(counts.to_vec::<i32>()?, [1, 3, 0]);
    /// # Ok(()) }
    /// ```
    pub fn scatter_add_axis(&self, indices: &Array, values: &Array, axis: i32) -> Result<Array> {
        const OP: &str = "scatter_add_axis";
        let (axis, size) = self.axis(OP, axis)?;
        self.fits_along(OP, indices, axis, false)?;
        self.fits_places(OP, indices, values, axis)?;
        let indices = Bounds::new(OP, "indices", size).apply(indices)?;
        // SAFETY: op contract. The indices are in range, or clamped into it.
        unsafe {
            call!(
                Array =
                    mlx_scatter_add_axis(self.as_raw(), indices.as_raw(), values.as_raw(), axis, stream(),)
            )
        }
    }

    /// Checks that `values` broadcasts to the places that `indices` name in this array.
    fn fits_places(&self, op: &'static str, indices: &Array, values: &Array, axis: i32) -> Result<()> {
        let places: Vec<i32> = (0..)
            .zip(self.shape().iter().zip(indices.shape()))
            .map(|(i, (&ours, &theirs))| if i == axis { theirs } else { ours })
            .collect();
        let found = values.shape();
        let fits = found.len() <= places.len()
            && found.iter().rev().zip(places.iter().rev()).all(|(&n, &m)| n == m || n == 1);
        if fits {
            return Ok(());
        }
        Err(Error::shape(
            op,
            format!("values of {found:?} do not broadcast to the {places:?} that are named"),
        ))
    }

    /// Checks that `indices` has this array's shape apart from `axis`, where axes of 1 broadcast; with `both`, those
    /// of this array do too.
    fn fits_along(&self, op: &'static str, indices: &Array, axis: i32, both: bool) -> Result<()> {
        let (ours, theirs) = (self.shape(), indices.shape());
        let fits = ours.len() == theirs.len()
            && ours
                .iter()
                .zip(theirs)
                .zip(0..)
                .all(|((&n, &m), i)| i == axis || n == m || m == 1 || (both && n == 1));
        if fits {
            return Ok(());
        }
        Err(Error::shape(op, format!("indices of {theirs:?} do not fit {ours:?} along axis {axis}")))
    }

    /// Slices of this array, one for each place of the indices: the slice begins at `indices[i]` on axis `axes[i]`, at 0
    /// on all others, and is `slice_sizes` long.
    ///
    /// - shape: indices that broadcast to `[I..]`, slice sizes `[S..]` with one for each axis → `[I.., S..]`
    /// - dtype: any, kept; indices as in [`Array::take`]
    /// - source: `mlx_gather`
    ///
    /// # Errors
    /// [`Error::Index`] when a known slice does not lie within the array, [`Error::Argument`] when an axis is out of
    /// range or named twice, the lists differ in length, or a size is longer than its axis.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::arange(0.0, 12.0, 1.0, mlx_core::Dtype::Int32)?.reshape(&[3, 4])?;
    /// // Two windows of one row and two columns each.
    /// let (rows, columns) = (Array::from_slice(&[0, 2], &[2])?, Array::from_slice(&[1, 2], &[2])?);
    /// let windows = a.gather(&[&rows, &columns], &[0, 1], &[1, 2])?;
    /// assert_eq!(windows.shape(), [2, 1, 2]);
    /// assert_eq!(windows.to_vec::<i32>()?, [1, 2, 10, 11]);
    /// # Ok(()) }
    /// ```
    pub fn gather(&self, indices: &[&Array], axes: &[i32], slice_sizes: &[i32]) -> Result<Array> {
        const OP: &str = "gather";
        let shape = self.shape();
        if slice_sizes.len() != shape.len()
            || slice_sizes.iter().zip(shape).any(|(size, dim)| !(0..=*dim).contains(size))
        {
            let message = format!("expected a size up to {shape:?} for each axis, found {slice_sizes:?}");
            return Err(Error::argument(OP, "slice_sizes", message));
        }
        let axes = self.indexed_axes(OP, indices, axes)?;
        let extents: Vec<i32> =
            axes.iter().filter_map(|&a| slice_sizes.get(usize::try_from(a).ok()?).copied()).collect();
        let (indices, broadcast) = self.bounded(OP, indices, &axes, &extents)?;
        if broadcast.contains(&0) || slice_sizes.contains(&0) {
            return Array::zeros(&[&broadcast[..], slice_sizes].concat(), self.dtype());
        }
        let indices = VectorArray::from_arrays(&indices)?;
        // SAFETY: op contract. The slices lie within the array, or are clamped into it.
        unsafe {
            call!(
                Array = mlx_gather(
                    self.as_raw(),
                    indices.as_raw(),
                    axes.as_ptr(),
                    axes.len(),
                    slice_sizes.as_ptr(),
                    slice_sizes.len(),
                    stream(),
                )
            )
        }
    }

    /// This array with slices replaced: `updates[i..]` goes where [`Array::gather`] would read the slice of its shape.
    /// Where slices overlap, one of the updates is there.
    ///
    /// - shape: indices that broadcast to `[I..]`, updates `[I.., S..]` with an S for each axis → this array's shape
    /// - dtype: any, kept, updates converted to it; indices as in [`Array::take`]
    /// - source: `mlx_scatter`
    ///
    /// # Errors
    /// As [`Array::gather`]; [`Error::Shape`] when the updates do not fit.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// let rows = Array::from_slice(&[2, 0], &[2])?;
    /// let updates = Array::from_slice(&[1, 2, 3, 4], &[2, 1, 2])?;
    /// let a = Array::zeros(&[3, 2], Dtype::Int32)?.scatter(&[&rows], &updates, &[0])?;
    /// assert_eq!(a.to_vec::<i32>()?, [3, 4, 0, 0, 1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn scatter(&self, indices: &[&Array], updates: &Array, axes: &[i32]) -> Result<Array> {
        self.scatter_with("scatter", Meet::Replace, indices, updates, axes)
    }

    /// [`Array::scatter`] that adds; overlapping updates are all added.
    ///
    /// - shape, dtype: as [`Array::scatter`]
    /// - source: `mlx_scatter_add`
    ///
    /// # Errors
    /// As [`Array::scatter`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let (twice, updates) = (Array::from_slice(&[0, 0], &[2])?, Array::from_slice(&[4, 5], &[2, 1])?);
    /// let a = Array::from_slice(&[2, 2], &[2])?.scatter_add(&[&twice], &updates, &[0])?;
    /// assert_eq!(a.to_vec::<i32>()?, [11, 2]);
    /// # Ok(()) }
    /// ```
    pub fn scatter_add(&self, indices: &[&Array], updates: &Array, axes: &[i32]) -> Result<Array> {
        self.scatter_with("scatter_add", Meet::Add, indices, updates, axes)
    }

    /// [`Array::scatter`] that keeps the larger of element and update.
    ///
    /// - shape, dtype: as [`Array::scatter`]
    /// - source: `mlx_scatter_max`
    ///
    /// # Errors
    /// As [`Array::scatter`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let (twice, updates) = (Array::from_slice(&[0, 0], &[2])?, Array::from_slice(&[4, 5], &[2, 1])?);
    /// let a = Array::from_slice(&[1, 2], &[2])?.scatter_max(&[&twice], &updates, &[0])?;
    /// assert_eq!(a.to_vec::<i32>()?, [5, 2]);
    /// # Ok(()) }
    /// ```
    pub fn scatter_max(&self, indices: &[&Array], updates: &Array, axes: &[i32]) -> Result<Array> {
        self.scatter_with("scatter_max", Meet::Max, indices, updates, axes)
    }

    /// [`Array::scatter`] that keeps the smaller of element and update.
    ///
    /// - shape, dtype: as [`Array::scatter`]
    /// - source: `mlx_scatter_min`
    ///
    /// # Errors
    /// As [`Array::scatter`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let (twice, updates) = (Array::from_slice(&[0, 0], &[2])?, Array::from_slice(&[4, 5], &[2, 1])?);
    /// let a = Array::from_slice(&[1, 2], &[2])?.scatter_min(&[&twice], &updates, &[0])?;
    /// assert_eq!(a.to_vec::<i32>()?, [1, 2]);
    /// # Ok(()) }
    /// ```
    pub fn scatter_min(&self, indices: &[&Array], updates: &Array, axes: &[i32]) -> Result<Array> {
        self.scatter_with("scatter_min", Meet::Min, indices, updates, axes)
    }

    /// [`Array::scatter`] that multiplies; overlapping updates are all multiplied in.
    ///
    /// - shape, dtype: as [`Array::scatter`]
    /// - source: `mlx_scatter_prod`
    ///
    /// # Errors
    /// As [`Array::scatter`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let (twice, updates) = (Array::from_slice(&[0, 0], &[2])?, Array::from_slice(&[4, 5], &[2, 1])?);
    /// let a = Array::from_slice(&[1, 2], &[2])?.scatter_prod(&[&twice], &updates, &[0])?;
    /// assert_eq!(a.to_vec::<i32>()?, [20, 2]);
    /// # Ok(()) }
    /// ```
    pub fn scatter_prod(&self, indices: &[&Array], updates: &Array, axes: &[i32]) -> Result<Array> {
        self.scatter_with("scatter_prod", Meet::Prod, indices, updates, axes)
    }

    pub(super) fn scatter_with(
        &self,
        op: &'static str,
        meet: Meet,
        indices: &[&Array],
        updates: &Array,
        axes: &[i32],
    ) -> Result<Array> {
        let axes = self.indexed_axes(op, indices, axes)?;
        let shape = self.shape();
        let found = updates.shape();
        let slice = found.len().checked_sub(shape.len()).and_then(|from| found.get(from..)).unwrap_or(&[]);
        let extents: Vec<i32> =
            axes.iter().filter_map(|&a| slice.get(usize::try_from(a).ok()?).copied()).collect();
        let fits = slice.len() == shape.len() && slice.iter().zip(shape).all(|(s, n)| s <= n);
        let misfit = |broadcast: &[i32]| {
            let message =
                format!("updates of {found:?} are not slices of {shape:?} for each index of {broadcast:?}");
            Err(Error::shape(op, message))
        };
        if !fits {
            return misfit(&broadcast_shapes(op, indices)?);
        }
        let (indices, broadcast) = self.bounded(op, indices, &axes, &extents)?;
        if [&broadcast[..], slice].concat() != found {
            return misfit(&broadcast);
        }
        if updates.size() == 0 {
            return Ok(self.clone());
        }
        let vector = VectorArray::from_arrays(&indices)?;
        let (a, i, u) = (self.as_raw(), vector.as_raw(), updates.as_raw());
        let (axes, len) = (axes.as_ptr(), axes.len());
        // SAFETY: op contract: `self`, `vector`, `updates` and the axes outlive the call. The slices lie within the
        // array, or are clamped into it.
        unsafe {
            match meet {
                Meet::Replace => call!(Array = mlx_scatter(a, i, u, axes, len, stream())),
                Meet::Add => call!(Array = mlx_scatter_add(a, i, u, axes, len, stream())),
                Meet::Max => call!(Array = mlx_scatter_max(a, i, u, axes, len, stream())),
                Meet::Min => call!(Array = mlx_scatter_min(a, i, u, axes, len, stream())),
                Meet::Prod => call!(Array = mlx_scatter_prod(a, i, u, axes, len, stream())),
            }
        }
    }

    /// The axes counted from the front, one for each array of indices.
    fn indexed_axes(&self, op: &'static str, indices: &[&Array], axes: &[i32]) -> Result<Vec<i32>> {
        if axes.len() != indices.len() {
            let message =
                format!("expected one for each of {} arrays of indices, found {axes:?}", indices.len());
            return Err(Error::argument(op, "axes", message));
        }
        let mut resolved = Vec::with_capacity(axes.len());
        for &axis in axes {
            let (axis, _) = self.axis(op, axis)?;
            if resolved.contains(&axis) {
                return Err(Error::argument(op, "axes", format!("axis {axis} is named twice")));
            }
            resolved.push(axis);
        }
        Ok(resolved)
    }

    /// Indices that stay within their axes, in one dtype and broadcast to one shape, and that shape.
    fn bounded(
        &self,
        op: &'static str,
        indices: &[&Array],
        axes: &[i32],
        extents: &[i32],
    ) -> Result<(Vec<Array>, Vec<i32>)> {
        let broadcast = broadcast_shapes(op, indices)?;
        // The kernels read all indices as the first one's dtype, after a promotion that makes floats of some pairs.
        let mixed = indices.windows(2).any(|pair| pair[0].dtype() != pair[1].dtype());
        let bounded = indices.iter().zip(axes).zip(extents).map(|((indices, &axis), &extent)| {
            let (_, size) = self.axis(op, axis)?;
            let bounded = Bounds::new(op, "indices", size).extent(extent).apply(indices)?;
            let bounded = if mixed { bounded.astype(Dtype::Int64)? } else { bounded };
            if bounded.shape() == broadcast { Ok(bounded) } else { bounded.broadcast_to(&broadcast) }
        });
        Ok((bounded.collect::<Result<_>>()?, broadcast))
    }

    /// This array with the elements where `mask` is true replaced by the elements of `source`, taken in row-major order.
    ///
    /// A mask still to be computed may select more elements than `source` has; then the last one is repeated.
    ///
    /// - shape: `[N..]`, mask with the leading axes of this array, source of at least as many elements as are
    ///   selected → `[N..]`
    /// - dtype: any, kept, source converted to it; mask bool
    /// - source: `mlx_take`, `mlx_cumsum`, `mlx_where`
    ///
    /// # Errors
    /// [`Error::Argument`] when the mask is not boolean, its shape does not lead this array's, the source is empty, or a
    /// known mask selects more elements than the source has.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let text = Array::from_slice(&[1, 0, 0, 2], &[4])?;
    /// let gaps = text.equal(&Array::scalar(0)?)?;
    /// let filled = text.masked_scatter(&gaps, &Array::from_slice(&[7, 8], &[2])?)?;
    /// assert_eq!(filled.to_vec::<i32>()?, [1, 7, 8, 2]);
    /// # Ok(()) }
    /// ```
    pub fn masked_scatter(&self, mask: &Array, source: &Array) -> Result<Array> {
        const OP: &str = "masked_scatter";
        let leading = self.leading_mask(OP, mask)?;
        if self.size() == 0 {
            return Ok(self.clone());
        }
        if mask.is_available()? {
            let selected = self.size() / mask.size() * count_true(mask)?;
            if selected > source.size() {
                let message = format!("expected {selected} elements for the mask, found {}", source.size());
                return Err(Error::argument(OP, "source", message));
            }
            if selected == 0 {
                return Ok(self.clone());
            }
        }
        if source.size() == 0 {
            return Err(Error::argument(OP, "source", "expected at least one element, found none"));
        }
        let mask = leading.broadcast_to(self.shape())?;
        let one = Array::scalar(1i64)?;
        let order = (&mask.reshape(&[-1])?.astype(Dtype::Int64)?.cumsum(0, Scan::default())? - &one)?;
        // Before the first true the count is 0, and the place -1 would wrap.
        let order = order.maximum(&Array::scalar(0i64)?)?.reshape(self.shape())?;
        let picked = source.take_flat(&order)?.astype(self.dtype())?;
        where_(&mask, &picked, self)
    }

    /// This array with `value` wherever `mask` is true, as NumPy's `a[mask] = value` for a value that does not depend on how
    /// many places the mask selects. [`Array::masked_scatter`] is for one that does.
    ///
    /// - shape: `[N..]`, mask with the leading axes of this array, value that broadcasts to this array → `[N..]`
    /// - dtype: any, kept, the value converted to it; mask bool
    /// - source: `mlx_where`
    ///
    /// # Errors
    /// [`Error::Argument`] when the mask is not boolean or its shape does not lead this array's, [`Error::Shape`] when the
    /// value does not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1.0f32, -2.0, 3.0, -4.0], &[2, 2])?;
    /// let positive = a.masked_fill(&a.less(&Array::scalar(0.0f32)?)?, &Array::scalar(0.0f32)?)?;
    /// assert_eq!(positive.to_vec::<f32>()?, [1.0, 0.0, 3.0, 0.0]);
    /// // Whole rows, where the mask has one axis.
    /// let rows = Array::from_slice(&[false, true], &[2])?;
    /// let filled = a.masked_fill(&rows, &Array::from_slice(&[8.0f32, 9.0], &[2])?)?;
    /// assert_eq!(filled.to_vec::<f32>()?, [1.0, -2.0, 8.0, 9.0]);
    /// # Ok(()) }
    /// ```
    pub fn masked_fill(&self, mask: &Array, value: &Array) -> Result<Array> {
        const OP: &str = "masked_fill";
        let mask = self.leading_mask(OP, mask)?;
        let value = broadcast_update(OP, value, self.shape())?.astype(self.dtype())?;
        where_(&mask, &value, self)
    }

    /// A mask of this array's number of axes, from one that has the leading ones.
    fn leading_mask(&self, op: &'static str, mask: &Array) -> Result<Array> {
        if mask.dtype() != Dtype::Bool {
            return Err(Error::argument(op, "mask", format!("expected bool, found {}", mask.dtype())));
        }
        if !self.shape().starts_with(mask.shape()) {
            let message = format!("{:?} does not lead the shape {:?}", mask.shape(), self.shape());
            return Err(Error::argument(op, "mask", message));
        }
        if mask.ndim() == self.ndim() {
            return Ok(mask.clone());
        }
        mask.reshape(&[mask.shape(), &vec![1; self.ndim() - mask.ndim()]].concat())
    }
}

/// How many elements of an available boolean array are true.
fn count_true(mask: &Array) -> Result<usize> {
    let mut count = 0;
    // A byte of any view; `visit_as` walks the strides.
    visit_as::<u8>(mask, |value| count += usize::from(value != 0))?;
    Ok(count)
}
