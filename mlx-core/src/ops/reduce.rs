// SPDX-License-Identifier: EUPL-1.2
//! Reductions and scans along axes.

use crate::Array;
use crate::device::stream;
use crate::error::Result;
use crate::ffi::{Handle, call};
use crate::ops::{optional_dtype, unary};

/// A reduction in its three forms: one axis, several, all.
macro_rules! reduction {
    ($($(#[$doc:meta])* $one:ident $several:ident $all:ident => $f_one:ident $f_several:ident $f_all:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - along one axis, which is dropped, or kept as 1 with `keepdims`; a negative one counts from the end
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range or empty where that has no value.
        pub fn $one(&self, axis: i32, keepdims: bool) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(self.as_raw(), axis, keepdims, stream())) }
        }

        $(#[$doc])*
        ///
        /// - along several axes
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when an axis is out of range, occurs twice, or is empty where that has no value.
        pub fn $several(&self, axes: &[i32], keepdims: bool) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_several(self.as_raw(), axes.as_ptr(), axes.len(), keepdims, stream())) }
        }

        $(#[$doc])*
        ///
        /// - over all elements; shape `[]`
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the array is empty where that has no value.
        pub fn $all(&self) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(self.as_raw(), false, stream())) }
        }
    )*};
}

/// Variance and standard deviation, which have one more parameter.
macro_rules! deviation {
    ($($(#[$doc:meta])* $one:ident $several:ident => $f_one:ident $f_several:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - `ddof`: taken off the count that the sum of squares is divided by
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range.
        pub fn $one(&self, axis: i32, keepdims: bool, ddof: i32) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(self.as_raw(), axis, keepdims, ddof, stream())) }
        }

        $(#[$doc])*
        ///
        /// - along several axes
        /// - `ddof`: taken off the count that the sum of squares is divided by
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when an axis is out of range or occurs twice.
        pub fn $several(&self, axes: &[i32], keepdims: bool, ddof: i32) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_several(self.as_raw(), axes.as_ptr(), axes.len(), keepdims, ddof, stream())) }
        }
    )*};
}

/// The place of an extreme value.
macro_rules! place {
    ($($(#[$doc:meta])* $one:ident $all:ident => $f_one:ident $f_all:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - along one axis; uint32; the first of equals
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range or empty.
        pub fn $one(&self, axis: i32, keepdims: bool) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(self.as_raw(), axis, keepdims, stream())) }
        }

        $(#[$doc])*
        ///
        /// - in the flattened array; uint32; shape `[]`
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the array is empty.
        pub fn $all(&self) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(self.as_raw(), false, stream())) }
        }
    )*};
}

impl Array {
    reduction! {
        /// Sum. Dtype: kept; of bool and small integers int32. Source: `mlx_sum`.
        sum sum_axes sum_all => mlx_sum_axis mlx_sum_axes mlx_sum,
        /// Mean. Dtype: floating, kept; else float32. Source: `mlx_mean`.
        mean mean_axes mean_all => mlx_mean_axis mlx_mean_axes mlx_mean,
        /// Product. Dtype: kept; of bool and small integers int32. Source: `mlx_prod`.
        prod prod_axes prod_all => mlx_prod_axis mlx_prod_axes mlx_prod,
        /// Largest. Dtype: kept. Source: `mlx_max`.
        max max_axes max_all => mlx_max_axis mlx_max_axes mlx_max,
        /// Smallest. Dtype: kept. Source: `mlx_min`.
        min min_axes min_all => mlx_min_axis mlx_min_axes mlx_min,
        /// Whether all are true (not zero). Dtype: bool. Source: `mlx_all`.
        all all_axes all_all => mlx_all_axis mlx_all_axes mlx_all,
        /// Whether any is true (not zero). Dtype: bool. Source: `mlx_any`.
        any any_axes any_all => mlx_any_axis mlx_any_axes mlx_any,
        /// `ln Σ eˣ` without overflow. Dtype: floating, kept. Source: `mlx_logsumexp`.
        logsumexp logsumexp_axes logsumexp_all => mlx_logsumexp_axis mlx_logsumexp_axes mlx_logsumexp,
        /// Median; of an even count the mean of the middle two. Dtype: floating. Source: `mlx_median`.
        median median_axes median_all => mlx_median_axis mlx_median_axes mlx_median,
        /// How many are not zero. Dtype: integer. Source: `mlx_count_nonzero`.
        count_nonzero count_nonzero_axes count_nonzero_all
            => mlx_count_nonzero_axis mlx_count_nonzero_axes mlx_count_nonzero,
    }

    deviation! {
        /// Variance. Dtype: floating, kept; else float32. Source: `mlx_var`.
        var var_axes => mlx_var_axis mlx_var_axes,
        /// Standard deviation. Dtype: floating, kept; else float32. Source: `mlx_std`.
        std std_axes => mlx_std_axis mlx_std_axes,
    }

    place! {
        /// Where the largest is. Source: `mlx_argmax`.
        argmax argmax_all => mlx_argmax_axis mlx_argmax,
        /// Where the smallest is. Source: `mlx_argmin`.
        argmin argmin_all => mlx_argmin_axis mlx_argmin,
    }

    /// Softmax along `axis`: `exp(x − max x) / Σ exp(x − max x)`, accumulated in float32.
    ///
    /// - shape: `[.., N, ..]` → the same
    /// - dtype: floating, kept
    /// - source: `mlx_softmax_axis`
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when `axis` is outside `-ndim..ndim`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let p = mlx_core::Array::from_slice(&[0.0f32, 0.0], &[2])?.softmax(-1)?;
    /// assert_eq!(p.to_vec::<f32>()?, [0.5, 0.5]);
    /// # Ok(()) }
    /// ```
    pub fn softmax(&self, axis: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_softmax_axis(self.as_raw(), axis, true, stream())) }
    }

    /// Softmax over several axes together, accumulated in float32. Source: `mlx_softmax_axes`.
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when an axis is out of range or occurs twice.
    pub fn softmax_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_softmax_axes(self.as_raw(), axes.as_ptr(), axes.len(), true, stream())) }
    }
}

/// Scans, of which some can accumulate in another dtype; ours keep the library's choice.
macro_rules! scan {
    ($($(#[$doc:meta])* $name:ident => $f:ident($($extra:expr),*)),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - `reverse`: from the end of `axis`
        /// - `inclusive`: whether an element counts at its own place
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range.
        pub fn $name(&self, axis: i32, reverse: bool, inclusive: bool) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f(self.as_raw(), axis, reverse, inclusive, $($extra,)* stream())) }
        }
    )*};
}

impl Array {
    scan! {
        /// Running sum. Dtype: kept; of bool int32. Source: `mlx_cumsum_axis`.
        cumsum => mlx_cumsum_axis(optional_dtype(None)),
        /// Running product. Dtype: kept; of bool int32. Source: `mlx_cumprod_axis`.
        cumprod => mlx_cumprod_axis(optional_dtype(None)),
        /// Largest so far. Dtype: kept. Source: `mlx_cummax_axis`.
        cummax => mlx_cummax_axis(),
        /// Smallest so far. Dtype: kept. Source: `mlx_cummin_axis`.
        cummin => mlx_cummin_axis(),
        /// Running `ln Σ eˣ`. Dtype: floating, kept. Source: `mlx_logcumsumexp_axis`.
        logcumsumexp => mlx_logcumsumexp_axis(),
    }

    unary! {
        /// x with at least one axis. Dtype: kept. Source: `mlx_atleast_1d`.
        atleast_1d => mlx_atleast_1d,
        /// x with at least two axes. Dtype: kept. Source: `mlx_atleast_2d`.
        atleast_2d => mlx_atleast_2d,
        /// x with at least three axes. Dtype: kept. Source: `mlx_atleast_3d`.
        atleast_3d => mlx_atleast_3d,
    }
}
