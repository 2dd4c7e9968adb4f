// SPDX-License-Identifier: EUPL-1.2
//! Comparisons and logic, element by element, with broadcasting. Results are bool.

use crate::Array;
use crate::device::stream;
use crate::error::Result;
use crate::ffi::{Handle, call};
use crate::ops::{binary, unary};

impl Array {
    binary! {
        /// Where two are equal; NaN equals nothing. Dtype: bool. Source: `mlx_equal`.
        equal => mlx_equal,
        /// Where two differ. Dtype: bool. Source: `mlx_not_equal`.
        not_equal => mlx_not_equal,
        /// Where `self > other`. Dtype: bool. Source: `mlx_greater`.
        greater => mlx_greater,
        /// Where `self ≥ other`. Dtype: bool. Source: `mlx_greater_equal`.
        greater_equal => mlx_greater_equal,
        /// Where `self < other`. Dtype: bool. Source: `mlx_less`.
        less => mlx_less,
        /// Where `self ≤ other`. Dtype: bool. Source: `mlx_less_equal`.
        less_equal => mlx_less_equal,
        /// Where both are true (not zero). Dtype: bool. Source: `mlx_logical_and`.
        logical_and => mlx_logical_and,
        /// Where either is true. Dtype: bool. Source: `mlx_logical_or`.
        logical_or => mlx_logical_or,
        /// Where one of the two is true. Dtype: bool. Source: `mlx_logical_xor`.
        logical_xor => mlx_logical_xor,
    }

    unary! {
        /// Where x is false (zero). Dtype: bool. Source: `mlx_logical_not`.
        logical_not => mlx_logical_not,
        /// Where x is NaN. Dtype: bool. Source: `mlx_isnan`.
        isnan => mlx_isnan,
        /// Where x is infinite. Dtype: bool. Source: `mlx_isinf`.
        isinf => mlx_isinf,
        /// Where x is neither NaN nor infinite. Dtype: bool. Source: `mlx_isfinite`.
        isfinite => mlx_isfinite,
        /// Where x is +∞. Dtype: bool. Source: `mlx_isposinf`.
        isposinf => mlx_isposinf,
        /// Where x is −∞. Dtype: bool. Source: `mlx_isneginf`.
        isneginf => mlx_isneginf,
    }

    /// Whether two arrays have one shape and the same values. Shape: `[]`, bool. Source: `mlx_array_equal`.
    ///
    /// - `equal_nan`: whether NaN equals NaN
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when memory is exhausted.
    pub fn array_equal(&self, other: &Array, equal_nan: bool) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_array_equal(self.as_raw(), other.as_raw(), equal_nan, stream())) }
    }

    /// Whether `|self − other| ≤ atol + rtol · |other|` everywhere. Shape: `[]`, bool. Source: `mlx_allclose`.
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the shapes do not broadcast.
    pub fn allclose(&self, other: &Array, rtol: f64, atol: f64, equal_nan: bool) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_allclose(self.as_raw(), other.as_raw(), rtol, atol, equal_nan, stream())) }
    }

    /// Where `|self − other| ≤ atol + rtol · |other|`. Dtype: bool. Source: `mlx_isclose`.
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the shapes do not broadcast.
    pub fn isclose(&self, other: &Array, rtol: f64, atol: f64, equal_nan: bool) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_isclose(self.as_raw(), other.as_raw(), rtol, atol, equal_nan, stream())) }
    }
}

/// `x` where `condition` is true and `y` elsewhere, with broadcasting. Dtype: of `x` and `y`, promoted.
///
/// - source: `mlx_where`; the underscore keeps clear of Rust's keyword
///
/// # Errors
/// [`crate::Error::Mlx`] when the shapes do not broadcast.
pub fn where_(condition: &Array, x: &Array, y: &Array) -> Result<Array> {
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_where(condition.as_raw(), x.as_raw(), y.as_raw(), stream())) }
}
