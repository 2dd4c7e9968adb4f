// SPDX-License-Identifier: EUPL-1.2
//! Arrays from a rule rather than from data.

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::node::{fits, unary};
use crate::{Array, Dtype};

impl Array {
    /// All zeros.
    ///
    /// - source: `mlx_zeros`
    ///
    /// # Errors
    /// [`Error::Shape`] when a dimension is negative or the array does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// assert_eq!(Array::zeros(&[2, 3], Dtype::Bfloat16)?.shape(), [2, 3]);
    /// assert!(Array::zeros(&[i32::MAX, i32::MAX], Dtype::Bfloat16).is_err());
    /// # Ok(()) }
    /// ```
    pub fn zeros(shape: &[i32], dtype: Dtype) -> Result<Array> {
        fits("zeros", shape, dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_zeros(shape.as_ptr(), shape.len(), dtype.to_raw(), stream())) }
    }

    /// All ones.
    ///
    /// - source: `mlx_ones`
    ///
    /// # Errors
    /// [`Error::Shape`] when a dimension is negative or the array does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// assert_eq!(Array::ones(&[2], Dtype::Int8)?.to_vec::<i8>()?, [1, 1]);
    /// # Ok(()) }
    /// ```
    pub fn ones(shape: &[i32], dtype: Dtype) -> Result<Array> {
        fits("ones", shape, dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_ones(shape.as_ptr(), shape.len(), dtype.to_raw(), stream())) }
    }

    /// All `value`, as `dtype` represents it: rounded, and saturated where an integer type does not reach that far.
    ///
    /// - source: `mlx_full`
    ///
    /// # Errors
    /// [`Error::Shape`] when a dimension is negative or the array does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// assert_eq!(Array::full(&[2], 0.5, Dtype::Float32)?.to_vec::<f32>()?, [0.5, 0.5]);
    /// assert_eq!(Array::full(&[1], 300.0, Dtype::Uint8)?.to_vec::<u8>()?, [255]);
    /// # Ok(()) }
    /// ```
    pub fn full(shape: &[i32], value: f64, dtype: Dtype) -> Result<Array> {
        fits("full", shape, dtype)?;
        let value = Array::constant(value, dtype)?;
        // SAFETY: op contract.
        unsafe {
            call!(Array = mlx_full(shape.as_ptr(), shape.len(), value.as_raw(), dtype.to_raw(), stream()))
        }
    }

    unary! { shape "kept", dtype "any, kept";
        /// Zeros of this shape and dtype.
        zeros_like => mlx_zeros_like ([1.5f32, 2.0] gives f32 [0.0, 0.0]),
        /// Ones of this shape and dtype.
        ones_like => mlx_ones_like ([1.5f32, 2.0] gives f32 [1.0, 1.0]),
    }

    /// Zeros of this shape in another dtype.
    ///
    /// - shape: kept
    /// - source: `mlx_zeros_like_dtype`
    ///
    /// # Errors
    /// [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// let x = Array::from_slice(&[1.5f32, 2.0], &[2])?;
    /// assert_eq!(x.zeros_like_dtype(Dtype::Int32)?.to_vec::<i32>()?, [0, 0]);
    /// # Ok(()) }
    /// ```
    pub fn zeros_like_dtype(&self, dtype: Dtype) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_zeros_like_dtype(self.as_raw(), dtype.to_raw(), stream())) }
    }

    /// Ones of this shape in another dtype.
    ///
    /// - shape: kept
    /// - source: `mlx_ones_like_dtype`
    ///
    /// # Errors
    /// [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// let x = Array::from_slice(&[1.5f32, 2.0], &[2])?;
    /// assert_eq!(x.ones_like_dtype(Dtype::Bool)?.to_vec::<bool>()?, [true, true]);
    /// # Ok(()) }
    /// ```
    pub fn ones_like_dtype(&self, dtype: Dtype) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_ones_like_dtype(self.as_raw(), dtype.to_raw(), stream())) }
    }

    /// An array of this shape and dtype, all `value`, rounded and saturated as [`Array::full`] does.
    ///
    /// - shape, dtype: kept
    /// - source: `mlx_full_like`
    ///
    /// # Errors
    /// [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[2])?;
    /// assert_eq!(x.full_like(7.9)?.to_vec::<i32>()?, [7, 7]);
    /// # Ok(()) }
    /// ```
    pub fn full_like(&self, value: f64) -> Result<Array> {
        self.full_like_dtype(value, self.dtype())
    }

    /// An array of this shape in another dtype, all `value`, rounded and saturated as [`Array::full`] does.
    ///
    /// - shape: kept
    /// - source: `mlx_full_like`
    ///
    /// # Errors
    /// [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// let x = Array::from_slice(&[1i32, 2], &[2])?;
    /// assert_eq!(x.full_like_dtype(7.5, Dtype::Float32)?.to_vec::<f32>()?, [7.5, 7.5]);
    /// # Ok(()) }
    /// ```
    pub fn full_like_dtype(&self, value: f64, dtype: Dtype) -> Result<Array> {
        let value = Array::constant(value, dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_full_like(self.as_raw(), value.as_raw(), dtype.to_raw(), stream())) }
    }

    /// `start, start + step, ..` up to but not including `stop`; empty when `step` leads away from it.
    ///
    /// - shape: `[⌈(stop − start) / step⌉]`
    /// - dtype: any but bool; `start` and `step` are taken in it, so they are whole for integers
    /// - source: `mlx_arange`
    ///
    /// # Errors
    /// [`Error::Argument`] when a bound is not finite, `step` is 0 or not finite, or `dtype` is bool,
    /// [`Error::Shape`] when there would be more elements than an axis, or memory, can have.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// assert_eq!(Array::arange(0.0, 1.0, 0.25, Dtype::Float32)?.to_vec::<f32>()?, [0.0, 0.25, 0.5, 0.75]);
    /// assert_eq!(Array::arange(5.0, 0.0, -2.0, Dtype::Int32)?.to_vec::<i32>()?, [5, 3, 1]);
    /// # Ok(()) }
    /// ```
    pub fn arange(start: f64, stop: f64, step: f64, dtype: Dtype) -> Result<Array> {
        let op = "arange";
        for (argument, value) in [("start", start), ("stop", stop), ("step", step)] {
            if !value.is_finite() {
                return Err(Error::argument(
                    op,
                    argument,
                    format!("expected a finite number, found {value}"),
                ));
            }
        }
        if step == 0.0 {
            return Err(Error::argument(op, "step", "must not be 0"));
        }
        if dtype == Dtype::Bool {
            return Err(Error::argument(op, "dtype", "expected numbers, found bool"));
        }
        let count = ((stop - start) / step).ceil();
        if count > f64::from(i32::MAX) || !count.is_finite() {
            return Err(Error::shape(op, format!("{count} elements are more than an axis can have")));
        }
        if count <= 0.0 {
            return Array::zeros(&[0], dtype);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_arange(start, stop, step, dtype.to_raw(), stream())) }
    }

    /// `count` numbers from `start` to `stop`, both included, at equal distances; one alone is `start`.
    ///
    /// - shape: `[count]`
    /// - dtype: any; formed in float32 (float64 in that dtype), then truncated for integers
    /// - source: `mlx_linspace`
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is negative, [`Error::Shape`] when the array does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// assert_eq!(Array::linspace(0.0, 1.0, 3, Dtype::Float32)?.to_vec::<f32>()?, [0.0, 0.5, 1.0]);
    /// # Ok(()) }
    /// ```
    pub fn linspace(start: f64, stop: f64, count: i32, dtype: Dtype) -> Result<Array> {
        length("linspace", "count", count, dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_linspace(start, stop, count, dtype.to_raw(), stream())) }
    }

    /// `count` numbers from `start` up to but not including `stop`, at equal distances.
    ///
    /// - shape: `[count]`
    /// - dtype: any; formed in float32 (float64 in that dtype), then truncated for integers
    /// - source: `mlx_linspace_endpoint`
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is negative, [`Error::Shape`] when the array does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// assert_eq!(Array::linspace_open(0.0, 1.0, 4, Dtype::Float32)?.to_vec::<f32>()?, [0.0, 0.25, 0.5, 0.75]);
    /// # Ok(()) }
    /// ```
    pub fn linspace_open(start: f64, stop: f64, count: i32, dtype: Dtype) -> Result<Array> {
        length("linspace_open", "count", count, dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_linspace_endpoint(start, stop, count, false, dtype.to_raw(), stream())) }
    }

    /// Zeros with ones on the diagonal that begins `k` columns to the right, or `−k` rows down.
    ///
    /// - shape: `[rows, columns]`
    /// - source: `mlx_eye`
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is negative or the array does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// assert_eq!(Array::eye(2, 3, 1, Dtype::Int32)?.to_vec::<i32>()?, [0, 1, 0, 0, 0, 1]);
    /// # Ok(()) }
    /// ```
    pub fn eye(rows: i32, columns: i32, k: i32, dtype: Dtype) -> Result<Array> {
        fits("eye", &[rows, columns], dtype)?;
        if rows == 0 || columns == 0 {
            return Array::zeros(&[rows, columns], dtype);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_eye(rows, columns, within(k, rows, columns), dtype.to_raw(), stream())) }
    }

    /// Zeros with ones on the diagonal.
    ///
    /// - shape: `[n, n]`
    /// - source: `mlx_identity`
    ///
    /// # Errors
    /// [`Error::Shape`] when `n` is negative or the array does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// assert_eq!(Array::identity(2, Dtype::Float32)?.to_vec::<f32>()?, [1.0, 0.0, 0.0, 1.0]);
    /// # Ok(()) }
    /// ```
    pub fn identity(n: i32, dtype: Dtype) -> Result<Array> {
        fits("identity", &[n, n], dtype)?;
        if n == 0 {
            return Array::zeros(&[0, 0], dtype);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_identity(n, dtype.to_raw(), stream())) }
    }

    /// Ones on and below the diagonal that begins `k` columns to the right, zeros above.
    ///
    /// - shape: `[rows, columns]`
    /// - source: `mlx_tri`
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is negative or the array does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// assert_eq!(Array::tri(2, 3, 0, Dtype::Int32)?.to_vec::<i32>()?, [1, 0, 0, 1, 1, 0]);
    /// # Ok(()) }
    /// ```
    pub fn tri(rows: i32, columns: i32, k: i32, dtype: Dtype) -> Result<Array> {
        fits("tri", &[rows, columns], dtype)?;
        if rows == 0 || columns == 0 {
            // The library counts along both axes before it finds that there is nothing to fill.
            return Array::zeros(&[rows, columns], dtype);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_tri(rows, columns, within(k, rows, columns), dtype.to_raw(), stream())) }
    }

    /// The lower triangle of the last two axes, zeros above the diagonal that begins `k` columns to the right.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_tril`
    ///
    /// # Errors
    /// [`Error::Shape`] when there are fewer than two axes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.tril(0)?.to_vec::<i32>()?, [1, 0, 3, 4]);
    /// # Ok(()) }
    /// ```
    pub fn tril(&self, k: i32) -> Result<Array> {
        let (rows, columns) = matrix("tril", self)?;
        if self.size() == 0 {
            return Ok(self.clone());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_tril(self.as_raw(), within(k, rows, columns), stream())) }
    }

    /// The upper triangle of the last two axes, zeros below the diagonal that begins `k` columns to the right.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_triu`
    ///
    /// # Errors
    /// [`Error::Shape`] when there are fewer than two axes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.triu(1)?.to_vec::<i32>()?, [0, 2, 0, 0]);
    /// # Ok(()) }
    /// ```
    pub fn triu(&self, k: i32) -> Result<Array> {
        let (rows, columns) = matrix("triu", self)?;
        if self.size() == 0 {
            return Ok(self.clone());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_triu(self.as_raw(), within(k, rows, columns), stream())) }
    }
}

/// Refuses a number of elements that is negative, or does not fit in memory.
pub(crate) fn length(op: &'static str, argument: &'static str, count: i32, dtype: Dtype) -> Result<()> {
    if count < 0 {
        return Err(Error::argument(op, argument, format!("must not be negative, found {count}")));
    }
    fits(op, &[count], dtype)
}

/// The lengths of the last two axes.
fn matrix(op: &'static str, array: &Array) -> Result<(i32, i32)> {
    match array.shape() {
        [.., rows, columns] => Ok((*rows, *columns)),
        shape => Err(Error::shape(op, format!("expected at least two axes, found shape {shape:?}"))),
    }
}

/// A diagonal of a matrix, or the nearest one that lies wholly outside of it: the library counts from `k` in int32,
/// and a `k` near either end of that wraps.
pub(crate) fn within(k: i32, rows: i32, columns: i32) -> i32 {
    k.clamp(-rows, columns)
}
