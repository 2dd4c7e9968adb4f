// SPDX-License-Identifier: EUPL-1.2
//! Reductions and scans along axes, and softmax.

use std::borrow::Cow;

use crate::cpu::reduce::{Over, along};
use crate::device::stream;
use crate::error::Result;
use crate::ffi::{Handle, call};
use crate::ops::node::axis_of;
use crate::ops::optional_dtype;
use crate::{Array, Dtype};

/// What a reduction reads: of an empty array another one in row-major order. The processor's reductions never return from
/// some empty arrays in another layout, such as `[0, 1, 7]` transposed and reduced along its last axis.
fn fresh(array: &Array) -> Result<Cow<'_, Array>> {
    if array.size() > 0 {
        Ok(Cow::Borrowed(array))
    } else {
        Array::zeros(array.shape(), array.dtype()).map(Cow::Owned)
    }
}

/// A reduction in its three forms: one axis, several, all.
macro_rules! reduction {
    (dtype $dtype:literal, empty $empty:literal; $($(#[$doc:meta])* $one:ident $several:ident $all:ident
        => $f_one:ident $f_several:ident $f_all:ident $(through $over:ident)?),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - shape: without `axis`, or with length 1 there when `keepdims`; a negative axis counts from the end
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- an axis of length 0: ", $empty)]
        #[doc = concat!("- source: `", stringify!($f_one), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range.
        pub fn $one(&self, axis: i32, keepdims: bool) -> Result<Array> {
            $(if let Some(result) = along(Over::$over, self, axis, keepdims) {
                return result;
            })?
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(fresh(self)?.as_raw(), axis, keepdims, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] over several axes together.")]
        ///
        /// - shape: without `axes`, or with length 1 there when `keepdims`; no axes leave it as it is
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f_several), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when an axis is out of range or occurs twice.
        pub fn $several(&self, axes: &[i32], keepdims: bool) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_several(fresh(self)?.as_raw(), axes.as_ptr(), axes.len(), keepdims, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] over all elements.")]
        ///
        /// - shape: `[]`
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- no elements: ", $empty)]
        #[doc = concat!("- source: `", stringify!($f_all), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the library fails.
        pub fn $all(&self) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(fresh(self)?.as_raw(), false, stream())) }
        }
    )*};
}

/// Variance and standard deviation, which have one more parameter.
macro_rules! deviation {
    ($($(#[$doc:meta])* $one:ident $several:ident $all:ident
        => $f_one:ident $f_several:ident $f_all:ident),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - `ddof`: taken off the number of elements that the sum of squares is divided by, but not below 0
        /// - shape: without `axis`, or with length 1 there when `keepdims`
        /// - dtype: floating, kept; others give float32
        #[doc = concat!("- source: `", stringify!($f_one), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range.
        pub fn $one(&self, axis: i32, keepdims: bool, ddof: i32) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(fresh(self)?.as_raw(), axis, keepdims, ddof, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] over several axes together.")]
        ///
        /// - shape: without `axes`, or with length 1 there when `keepdims`
        /// - dtype: floating, kept; others give float32
        #[doc = concat!("- source: `", stringify!($f_several), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when an axis is out of range or occurs twice.
        pub fn $several(&self, axes: &[i32], keepdims: bool, ddof: i32) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_several(fresh(self)?.as_raw(), axes.as_ptr(), axes.len(), keepdims, ddof, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] over all elements.")]
        ///
        /// - shape: `[]`
        /// - dtype: floating, kept; others give float32
        #[doc = concat!("- source: `", stringify!($f_all), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the library fails.
        pub fn $all(&self, ddof: i32) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(fresh(self)?.as_raw(), false, ddof, stream())) }
        }
    )*};
}

/// The place of an extreme value.
macro_rules! place {
    ($($(#[$doc:meta])* $one:ident $all:ident => $f_one:ident $f_all:ident $(through $over:ident)?),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - shape: without `axis`, or with length 1 there when `keepdims`
        /// - dtype: any; gives uint32
        #[doc = concat!("- source: `", stringify!($f_one), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when `axis` is out of range or the array is empty.
        pub fn $one(&self, axis: i32, keepdims: bool) -> Result<Array> {
            $(if let Some(result) = along(Over::$over, self, axis, keepdims) {
                return result;
            })?
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(fresh(self)?.as_raw(), axis, keepdims, stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] in the flattened array.")]
        ///
        /// - shape: `[]`
        /// - dtype: any; gives uint32
        #[doc = concat!("- source: `", stringify!($f_all), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the array is empty.
        pub fn $all(&self) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(fresh(self)?.as_raw(), false, stream())) }
        }
    )*};
}

impl Array {
    reduction! {
        dtype "kept; bool, int8 and int16 give int32, uint8 and uint16 give uint32", empty "the sum is 0";
        /// Sum.
        sum sum_axes sum_all => mlx_sum_axis mlx_sum_axes mlx_sum,
    }
    reduction! {
        dtype "kept; bool, int8 and int16 give int32, uint8 and uint16 give uint32", empty "the product is 1";
        /// Product.
        prod prod_axes prod_all => mlx_prod_axis mlx_prod_axes mlx_prod,
    }
    reduction! { dtype "floating and complex64, kept; others give float32", empty "the mean is NaN";
        /// Mean.
        mean mean_axes mean_all => mlx_mean_axis mlx_mean_axes mlx_mean,
    }
    reduction! { dtype "any, kept", empty "an error, unless the result is empty too";
        /// Largest; NaN if there is one.
        max max_axes max_all => mlx_max_axis mlx_max_axes mlx_max,
        /// Smallest; NaN if there is one.
        min min_axes min_all => mlx_min_axis mlx_min_axes mlx_min,
    }
    reduction! { dtype "any; gives bool", empty "true";
        /// Whether all are true, which means not zero.
        all all_axes all_all => mlx_all_axis mlx_all_axes mlx_all,
    }
    reduction! { dtype "any; gives bool", empty "false";
        /// Whether any is true, which means not zero.
        any any_axes any_all => mlx_any_axis mlx_any_axes mlx_any,
    }
    reduction! { dtype "floating and complex64, kept; others give float32", empty "an error";
        /// `ln Σ eˣ` without overflow.
        logsumexp logsumexp_axes logsumexp_all => mlx_logsumexp_axis mlx_logsumexp_axes mlx_logsumexp
            through LogSumExp,
    }
    reduction! { dtype "floating, kept; others give float32", empty "an error";
        /// Median; of an even number of elements the mean of the middle two; NaN if there is one.
        median median_axes median_all => mlx_median_axis mlx_median_axes mlx_median,
    }
    reduction! { dtype "any; gives an integer", empty "0";
        /// How many are not zero.
        count_nonzero count_nonzero_axes count_nonzero_all
            => mlx_count_nonzero_axis mlx_count_nonzero_axes mlx_count_nonzero,
    }

    deviation! {
        /// Variance: the mean squared distance from the mean.
        var var_axes var_all => mlx_var_axis mlx_var_axes mlx_var,
        /// Standard deviation: the root of [`Array::var`].
        std std_axes std_all => mlx_std_axis mlx_std_axes mlx_std,
    }

    place! {
        /// Where the largest is; the first of equals, or of NaNs.
        argmax argmax_all => mlx_argmax_axis mlx_argmax through Argmax,
        /// Where the smallest is; the first of equals, or of NaNs.
        argmin argmin_all => mlx_argmin_axis mlx_argmin,
    }

    /// Softmax along `axis`: `exp(x − max x) / Σ exp(x − max x)`, accumulated in float32.
    ///
    /// - shape: `[.., N, ..]` → the same
    /// - dtype: floating and complex64, kept; others give float32
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
        if let Some(result) = along(Over::Softmax, self, axis, true) {
            return result;
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_softmax_axis(self.as_raw(), axis, true, stream())) }
    }

    /// Softmax over several axes together, accumulated in float32.
    ///
    /// - shape: kept
    /// - dtype: floating and complex64, kept; others give float32
    /// - source: `mlx_softmax_axes`
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when an axis is out of range or occurs twice.
    pub fn softmax_axes(&self, axes: &[i32]) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_softmax_axes(self.as_raw(), axes.as_ptr(), axes.len(), true, stream())) }
    }

    /// Running `ln Σ eˣ`.
    ///
    /// - `reverse`: from the end of `axis`
    /// - `inclusive`: whether an element counts at its own place; if not, the first is −∞
    /// - shape: kept
    /// - dtype: floating, kept; integers and bool give float32
    /// - source: `mlx_logcumsumexp_axis`
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when `axis` is out of range.
    pub fn logcumsumexp(&self, axis: i32, reverse: bool, inclusive: bool) -> Result<Array> {
        axis_of("logcumsumexp", axis, self.ndim())?;
        // The library would round each step to the integer type.
        let whole = self.dtype().is_integer() || self.dtype() == Dtype::Bool;
        let x = if whole { self.astype(Dtype::Float32)? } else { self.clone() };
        if x.size() == 0 {
            return Ok(x);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_logcumsumexp_axis(x.as_raw(), axis, reverse, inclusive, stream())) }
    }
}

/// Scans, of which some can accumulate in another dtype; ours keep the library's choice.
macro_rules! scan {
    (dtype $dtype:literal, bool $of_bool:ident; $($(#[$doc:meta])* $name:ident => $f:ident($($extra:expr),*)),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - `reverse`: from the end of `axis`
        /// - `inclusive`: whether an element counts at its own place
        /// - shape: kept
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Argument`] when `axis` is out of range.
        pub fn $name(&self, axis: i32, reverse: bool, inclusive: bool) -> Result<Array> {
            axis_of(stringify!($name), axis, self.ndim())?;
            if self.size() == 0 {
                // The processor's scan divides by the length of the axis, which ends the process.
                let of_bool = Dtype::$of_bool;
                return self.astype(if self.dtype() == Dtype::Bool { of_bool } else { self.dtype() });
            }
            // SAFETY: op contract.
            unsafe { call!(Array = $f(self.as_raw(), axis, reverse, inclusive, $($extra,)* stream())) }
        }
    )*};
}

impl Array {
    scan! { dtype "kept; bool gives int32", bool Int32;
        /// Running sum; where nothing counts yet, 0.
        cumsum => mlx_cumsum_axis(optional_dtype(None)),
    }
    scan! { dtype "any, kept", bool Bool;
        /// Running product; where nothing counts yet, 1.
        cumprod => mlx_cumprod_axis(optional_dtype(None)),
        /// Largest so far; where nothing counts yet, the smallest value of the dtype.
        cummax => mlx_cummax_axis(),
        /// Smallest so far; where nothing counts yet, the largest value of the dtype.
        cummin => mlx_cummin_axis(),
    }
}
