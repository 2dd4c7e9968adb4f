// SPDX-License-Identifier: EUPL-1.2
//! Order: sorting, partitioning, the largest values, binary search.
//!
//! NaN counts as larger than every number. On an empty array the native sort divides by zero and ends the process, so
//! empty arrays never reach it.

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, Dtype};

/// Which of several equal elements [`Array::searchsorted`] points at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Side {
    /// Before the first equal element: the number of elements smaller than the value.
    #[default]
    Left,
    /// Behind the last equal element: the number of elements not larger than the value.
    Right,
}

impl Array {
    /// The elements in ascending order along `axis`; equal ones keep their order, NaNs come last.
    ///
    /// - shape: `[.., N, ..]` → the same
    /// - dtype: any, kept
    /// - source: `mlx_sort_axis`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is outside `-ndim..ndim`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[3i32, 1, 2], &[3])?;
    /// assert_eq!(x.sort(0)?.to_vec::<i32>()?, [1, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn sort(&self, axis: i32) -> Result<Array> {
        let (axis, _) = self.axis("sort", axis)?;
        if self.size() == 0 {
            return Ok(self.clone());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_sort_axis(self.as_raw(), axis, stream())) }
    }

    /// The indices that [`Array::sort`] would take the elements in.
    ///
    /// - shape: `[.., N, ..]` → the same
    /// - dtype: any → uint32
    /// - source: `mlx_argsort_axis`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is outside `-ndim..ndim`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[3i32, 1, 2], &[3])?;
    /// assert_eq!(x.argsort(-1)?.to_vec::<u32>()?, [1, 2, 0]);
    /// # Ok(()) }
    /// ```
    pub fn argsort(&self, axis: i32) -> Result<Array> {
        let (axis, _) = self.axis("argsort", axis)?;
        if self.size() == 0 {
            return Array::zeros(self.shape(), Dtype::Uint32);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_argsort_axis(self.as_raw(), axis, stream())) }
    }

    /// A permutation along `axis` with, at position `kth`, the element that sorting would put there: none before it is
    /// larger, none after it smaller. The order on either side is unspecified.
    ///
    /// - shape: `[.., N, ..]` → the same
    /// - dtype: any, kept
    /// - `kth`: in `-N..N`, a negative one counts from the end
    /// - source: `mlx_partition_axis`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is outside `-ndim..ndim`, [`Error::Index`] when `kth` is outside `-N..N`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[5i32, 1, 4, 2, 3], &[5])?;
    /// assert_eq!(x.partition(2, 0)?.to_vec::<i32>()?[2], 3);
    /// # Ok(()) }
    /// ```
    pub fn partition(&self, kth: i32, axis: i32) -> Result<Array> {
        let (axis, size) = self.axis("partition", axis)?;
        let kth = position("partition", kth, size)?;
        if self.size() == 0 {
            return Ok(self.clone());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_partition_axis(self.as_raw(), kth, axis, stream())) }
    }

    /// The indices that [`Array::partition`] would take the elements in.
    ///
    /// - shape: `[.., N, ..]` → the same
    /// - dtype: any → uint32
    /// - `kth`: in `-N..N`, a negative one counts from the end
    /// - source: `mlx_argpartition_axis`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is outside `-ndim..ndim`, [`Error::Index`] when `kth` is outside `-N..N`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[5i32, 1, 4, 2, 3], &[5])?;
    /// assert_eq!(x.argpartition(2, 0)?.to_vec::<u32>()?[2], 4);
    /// # Ok(()) }
    /// ```
    pub fn argpartition(&self, kth: i32, axis: i32) -> Result<Array> {
        let (axis, size) = self.axis("argpartition", axis)?;
        let kth = position("argpartition", kth, size)?;
        if self.size() == 0 {
            return Array::zeros(self.shape(), Dtype::Uint32);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_argpartition_axis(self.as_raw(), kth, axis, stream())) }
    }

    /// The `k` largest elements along `axis`, in no particular order: sort them where the order matters.
    ///
    /// A NaN is among the largest.
    ///
    /// - shape: `[.., N, ..]` → `[.., k, ..]`
    /// - dtype: any, kept
    /// - source: `mlx_topk_axis`
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is outside `-ndim..ndim` or `k` is outside `0..=N`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[5i32, 1, 4, 2, 3], &[5])?;
    /// assert_eq!(x.topk(2, 0)?.sort(0)?.to_vec::<i32>()?, [4, 5]);
    /// # Ok(()) }
    /// ```
    pub fn topk(&self, k: i32, axis: i32) -> Result<Array> {
        let (axis, size) = self.axis("topk", axis)?;
        if !(0..=size).contains(&k) {
            return Err(Error::argument("topk", "k", format!("expected 0 to {size}, found {k}")));
        }
        if self.size() == 0 || k == 0 {
            let mut shape = self.shape().to_vec();
            if let Some(dim) = usize::try_from(axis).ok().and_then(|axis| shape.get_mut(axis)) {
                *dim = k;
            }
            return Array::zeros(&shape, self.dtype());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_topk_axis(self.as_raw(), k, axis, stream())) }
    }

    /// All elements in ascending order; equal ones keep their order, NaNs come last.
    ///
    /// - shape: `[size]`
    /// - dtype: any, kept
    /// - source: `mlx_sort`
    ///
    /// # Errors
    /// [`Error::Shape`] when the array has more elements than an axis can have.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[3i32, 1, 2, 0], &[2, 2])?;
    /// assert_eq!(x.sort_all()?.to_vec::<i32>()?, [0, 1, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn sort_all(&self) -> Result<Array> {
        if self.flat_size("sort_all")? == 0 {
            return Array::zeros(&[0], self.dtype());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_sort(self.as_raw(), stream())) }
    }

    /// The indices into the flattened array that [`Array::sort_all`] would take the elements in.
    ///
    /// - shape: `[size]`
    /// - dtype: any → uint32
    /// - source: `mlx_argsort`
    ///
    /// # Errors
    /// [`Error::Shape`] when the array has more elements than an axis can have.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[3i32, 1, 2, 0], &[2, 2])?;
    /// assert_eq!(x.argsort_all()?.to_vec::<u32>()?, [3, 1, 2, 0]);
    /// # Ok(()) }
    /// ```
    pub fn argsort_all(&self) -> Result<Array> {
        if self.flat_size("argsort_all")? == 0 {
            return Array::zeros(&[0], Dtype::Uint32);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_argsort(self.as_raw(), stream())) }
    }

    /// [`Array::partition`] of the flattened array.
    ///
    /// - shape: `[size]`
    /// - dtype: any, kept
    /// - `kth`: in `-size..size`, a negative one counts from the end
    /// - source: `mlx_partition`
    ///
    /// # Errors
    /// [`Error::Index`] when `kth` is outside `-size..size`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[3i32, 1, 2, 0], &[2, 2])?;
    /// assert_eq!(x.partition_all(1)?.to_vec::<i32>()?[1], 1);
    /// # Ok(()) }
    /// ```
    pub fn partition_all(&self, kth: i32) -> Result<Array> {
        let kth = position("partition_all", kth, self.flat_size("partition_all")?)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_partition(self.as_raw(), kth, stream())) }
    }

    /// The indices into the flattened array that [`Array::partition_all`] would take the elements in.
    ///
    /// - shape: `[size]`
    /// - dtype: any → uint32
    /// - `kth`: in `-size..size`, a negative one counts from the end
    /// - source: `mlx_argpartition`
    ///
    /// # Errors
    /// [`Error::Index`] when `kth` is outside `-size..size`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[3i32, 1, 2, 0], &[2, 2])?;
    /// assert_eq!(x.argpartition_all(2)?.to_vec::<u32>()?[2], 2);
    /// # Ok(()) }
    /// ```
    pub fn argpartition_all(&self, kth: i32) -> Result<Array> {
        let kth = position("argpartition_all", kth, self.flat_size("argpartition_all")?)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_argpartition(self.as_raw(), kth, stream())) }
    }

    /// The `k` largest of all elements, in no particular order.
    ///
    /// A NaN is among the largest.
    ///
    /// - shape: `[k]`
    /// - dtype: any, kept
    /// - source: `mlx_topk`
    ///
    /// # Errors
    /// [`Error::Argument`] when `k` is outside `0..=size`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[3i32, 1, 2, 0], &[2, 2])?;
    /// assert_eq!(x.topk_all(2)?.sort(0)?.to_vec::<i32>()?, [2, 3]);
    /// # Ok(()) }
    /// ```
    pub fn topk_all(&self, k: i32) -> Result<Array> {
        let size = self.flat_size("topk_all")?;
        if !(0..=size).contains(&k) {
            return Err(Error::argument("topk_all", "k", format!("expected 0 to {size}, found {k}")));
        }
        if k == 0 {
            return Array::zeros(&[0], self.dtype());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_topk(self.as_raw(), k, stream())) }
    }

    /// Where each of `values` belongs in this sorted sequence, by binary search.
    ///
    /// The sequence must be in ascending order, NaNs last; on another one the result is some number in `0..=N`.
    ///
    /// - shape: `[N]`, values `[..]` → the shape of `values`
    /// - dtype: any → uint32; the two are compared in their common dtype
    /// - source: `mlx_searchsorted`
    ///
    /// # Errors
    /// [`Error::Shape`] when this array has not exactly one axis.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Side};
    ///
    /// let x = Array::from_slice(&[1.0f32, 2.0, 2.0, 3.0], &[4])?;
    /// let values = Array::from_slice(&[2.0f32, 9.0], &[2])?;
    /// assert_eq!(x.searchsorted(&values, Side::Left)?.to_vec::<u32>()?, [1, 4]);
    /// assert_eq!(x.searchsorted(&values, Side::Right)?.to_vec::<u32>()?, [3, 4]);
    /// # Ok(()) }
    /// ```
    pub fn searchsorted(&self, values: &Array, side: Side) -> Result<Array> {
        if self.ndim() != 1 {
            let message = format!("expected a sequence of one axis, found shape {:?}", self.shape());
            return Err(Error::shape("searchsorted", message));
        }
        if self.size() == 0 || values.size() == 0 {
            return Array::zeros(values.shape(), Dtype::Uint32);
        }
        let side = match side {
            Side::Left => c"left",
            Side::Right => c"right",
        };
        // SAFETY: op contract. The name of the side is a NUL-terminated constant.
        unsafe { call!(Array = mlx_searchsorted(self.as_raw(), values.as_raw(), side.as_ptr(), stream())) }
    }

    /// The number of elements, as the length of one axis.
    pub(crate) fn flat_size(&self, op: &'static str) -> Result<i32> {
        let size = self.size();
        i32::try_from(size)
            .map_err(|_| Error::shape(op, format!("{size} elements are more than an axis can have")))
    }

    /// `axis` counted from the front, and its length.
    pub(crate) fn axis(&self, op: &'static str, axis: i32) -> Result<(i32, i32)> {
        let shape = self.shape();
        let ndim = shape.len();
        usize::try_from(axis)
            .ok()
            .or_else(|| ndim.checked_sub(axis.unsigned_abs() as usize).filter(|_| axis < 0))
            .and_then(|axis| Some((i32::try_from(axis).ok()?, *shape.get(axis)?)))
            .ok_or_else(|| Error::argument(op, "axis", format!("{axis} is out of range for shape {shape:?}")))
    }
}

/// `index` counted from the front of an axis of `size`.
pub(crate) fn position(op: &'static str, index: i32, size: i32) -> Result<i32> {
    let from_front = if index < 0 { index.checked_add(size) } else { Some(index) };
    from_front.filter(|index| (0..size).contains(index)).ok_or(Error::Index {
        op,
        index: index.into(),
        size: size.into(),
    })
}
