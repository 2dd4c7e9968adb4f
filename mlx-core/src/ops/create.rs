// SPDX-License-Identifier: EUPL-1.2
//! Arrays from a rule rather than from data.

use crate::array::element_count;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::unary;
use crate::{Array, Dtype};

impl Array {
    /// All zeros. Source: `mlx_zeros`.
    ///
    /// # Errors
    /// [`Error::Shape`] when a dimension is negative or the array too large to address.
    pub fn zeros(shape: &[i32], dtype: Dtype) -> Result<Array> {
        element_count("zeros", shape, dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_zeros(shape.as_ptr(), shape.len(), dtype.to_raw(), stream())) }
    }

    /// All ones. Source: `mlx_ones`.
    ///
    /// # Errors
    /// [`Error::Shape`] when a dimension is negative or the array too large to address.
    pub fn ones(shape: &[i32], dtype: Dtype) -> Result<Array> {
        element_count("ones", shape, dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_ones(shape.as_ptr(), shape.len(), dtype.to_raw(), stream())) }
    }

    /// All `value`, as `dtype` represents it. Source: `mlx_full`.
    ///
    /// # Errors
    /// [`Error::Shape`] when a dimension is negative or the array too large to address.
    pub fn full(shape: &[i32], value: f64, dtype: Dtype) -> Result<Array> {
        element_count("full", shape, dtype)?;
        let value = Array::constant(value, dtype)?;
        // SAFETY: op contract.
        unsafe {
            call!(Array = mlx_full(shape.as_ptr(), shape.len(), value.as_raw(), dtype.to_raw(), stream()))
        }
    }

    unary! {
        /// Zeros of this shape and dtype. Source: `mlx_zeros_like`.
        zeros_like => mlx_zeros_like,
        /// Ones of this shape and dtype. Source: `mlx_ones_like`.
        ones_like => mlx_ones_like,
    }

    /// An array of this shape and dtype, all `value`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn full_like(&self, value: f64) -> Result<Array> {
        Array::full(self.shape(), value, self.dtype())
    }

    /// `start, start + step, ..` up to but not including `stop`; empty when `step` leads away from it.
    ///
    /// - shape: `[⌈(stop − start) / step⌉]`
    /// - source: `mlx_arange`
    ///
    /// # Errors
    /// [`Error::Argument`] when a bound is not finite or `step` is 0 or not finite, [`Error::Shape`] when there would be
    /// more elements than an axis can have.
    pub fn arange(start: f64, stop: f64, step: f64, dtype: Dtype) -> Result<Array> {
        let op = "arange";
        for (argument, value) in [("start", start), ("stop", stop), ("step", step)] {
            if !value.is_finite() {
                return Err(Error::argument(op, argument, format!("expected a finite number, found {value}")));
            }
        }
        if step == 0.0 {
            return Err(Error::argument(op, "step", "must not be 0"));
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

    /// `count` numbers from `start` to `stop`, both included, at equal distances. Source: `mlx_linspace`.
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is negative.
    pub fn linspace(start: f64, stop: f64, count: i32, dtype: Dtype) -> Result<Array> {
        element_count("linspace", &[count], dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_linspace(start, stop, count, dtype.to_raw(), stream())) }
    }

    /// `[rows, columns]` of zeros with ones on the diagonal that begins `k` to the right. Source: `mlx_eye`.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is negative or the array too large to address.
    pub fn eye(rows: i32, columns: i32, k: i32, dtype: Dtype) -> Result<Array> {
        element_count("eye", &[rows, columns], dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_eye(rows, columns, k, dtype.to_raw(), stream())) }
    }

    /// `[n, n]` of zeros with ones on the diagonal.
    ///
    /// # Errors
    /// [`Error::Shape`] when `n` is negative or the array too large to address.
    pub fn identity(n: i32, dtype: Dtype) -> Result<Array> {
        Array::eye(n, n, 0, dtype)
    }

    /// `[rows, columns]` of ones on and below the diagonal that begins `k` to the right, zeros above. Source: `mlx_tri`.
    ///
    /// # Errors
    /// [`Error::Shape`] when a size is negative or the array too large to address.
    pub fn tri(rows: i32, columns: i32, k: i32, dtype: Dtype) -> Result<Array> {
        element_count("tri", &[rows, columns], dtype)?;
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_tri(rows, columns, k, dtype.to_raw(), stream())) }
    }

    /// The lower triangle of the last two axes, zeros above the diagonal that begins `k` to the right.
    ///
    /// - source: `mlx_tril`
    ///
    /// # Errors
    /// [`Error::Mlx`] when there are fewer than two axes.
    pub fn tril(&self, k: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_tril(self.as_raw(), k, stream())) }
    }

    /// The upper triangle of the last two axes, zeros below the diagonal that begins `k` to the right.
    ///
    /// - source: `mlx_triu`
    ///
    /// # Errors
    /// [`Error::Mlx`] when there are fewer than two axes.
    pub fn triu(&self, k: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_triu(self.as_raw(), k, stream())) }
    }
}
