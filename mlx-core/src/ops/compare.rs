// SPDX-License-Identifier: EUPL-1.2
//! Comparisons and logic, element by element, with broadcasting. Results are bool.

use crate::Array;
use crate::device::stream;
use crate::error::Result;
use crate::ffi::{Handle, call};
use crate::ops::node::{binary, unary};

impl Array {
    binary! { dtype "any, compared in the promoted dtype; gives bool";
        /// Where two are equal; NaN equals nothing.
        equal => mlx_equal ([1i32, 2] with [1i32, 3] gives bool [true, false]),
        /// Where two differ; NaN differs from everything.
        not_equal => mlx_not_equal ([1i32, 2] with [1i32, 3] gives bool [false, true]),
        /// Where `self > other`.
        greater => mlx_greater ([1i32, 4] with [1i32, 3] gives bool [false, true]),
        /// Where `self ≥ other`.
        greater_equal => mlx_greater_equal ([1i32, 2] with [1i32, 3] gives bool [true, false]),
        /// Where `self < other`.
        less => mlx_less ([1i32, 2] with [1i32, 3] gives bool [false, true]),
        /// Where `self ≤ other`.
        less_equal => mlx_less_equal ([1i32, 4] with [1i32, 3] gives bool [true, false]),
    }

    binary! { dtype "any; gives bool";
        /// Where both are true, which means not zero.
        logical_and => mlx_logical_and ([true, true] with [true, false] gives bool [true, false]),
        /// Where either is true.
        logical_or => mlx_logical_or ([false, true] with [false, false] gives bool [false, true]),
        /// Where exactly one of the two is true.
        logical_xor => mlx_logical_xor ([true, true] with [true, false] gives bool [false, true]),
    }

    unary! { shape "kept", dtype "any; gives bool";
        /// Where x is false, which means zero.
        logical_not => mlx_logical_not ([0.0f32, 0.5] gives bool [true, false]),
        /// Where x is NaN.
        isnan => mlx_isnan ([f32::NAN, 1.0] gives bool [true, false]),
        /// Where x is infinite.
        isinf => mlx_isinf ([f32::NEG_INFINITY, f32::NAN] gives bool [true, false]),
        /// Where x is neither NaN nor infinite.
        isfinite => mlx_isfinite ([1.0, f32::NAN] gives bool [true, false]),
        /// Where x is +∞.
        isposinf => mlx_isposinf ([f32::INFINITY, f32::NEG_INFINITY] gives bool [true, false]),
        /// Where x is −∞.
        isneginf => mlx_isneginf ([f32::INFINITY, f32::NEG_INFINITY] gives bool [false, true]),
    }

    /// Whether two arrays have one shape and the same values, in the promoted dtype.
    ///
    /// - `equal_nan`: whether NaN equals NaN
    /// - shape: `[]`
    /// - dtype: any; gives bool
    /// - source: `mlx_array_equal`
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the library fails; other shapes are no error but give false.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1.0f32, f32::NAN], &[2])?;
    /// assert!(x.array_equal(&x, true)?.item::<bool>()?);
    /// assert!(!x.array_equal(&x, false)?.item::<bool>()?);
    /// # Ok(()) }
    /// ```
    pub fn array_equal(&self, other: &Array, equal_nan: bool) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_array_equal(self.as_raw(), other.as_raw(), equal_nan, stream())) }
    }

    /// Whether `|self − other| ≤ atol + rtol · |other|` everywhere; equal infinities are close.
    ///
    /// - `equal_nan`: whether NaN is close to NaN
    /// - shape: `[]`
    /// - dtype: any; gives bool
    /// - source: `mlx_isclose` and `mlx_all`, which is what `mlx_allclose` does
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the shapes do not broadcast, [`crate::Error::Shape`] when what they broadcast to does
    /// not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1.0f32, 100.0], &[2])?;
    /// let y = (&x + 0.05)?;
    /// assert!(x.allclose(&y, 0.0, 0.1, false)?.item::<bool>()?);
    /// assert!(!x.allclose(&y, 1e-3, 0.0, false)?.item::<bool>()?);
    /// # Ok(()) }
    /// ```
    pub fn allclose(&self, other: &Array, rtol: f64, atol: f64, equal_nan: bool) -> Result<Array> {
        // In two steps, because the size of the one between is not seen in the result.
        self.isclose(other, rtol, atol, equal_nan)?.all_all()
    }

    /// Where `|self − other| ≤ atol + rtol · |other|`; equal infinities are close.
    ///
    /// - `equal_nan`: whether NaN is close to NaN
    /// - shape: the one that both broadcast to
    /// - dtype: any; gives bool
    /// - source: `mlx_isclose`
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the shapes do not broadcast, [`crate::Error::Shape`] when the result does not fit in
    /// memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1.0f32, 100.0], &[2])?;
    /// let y = (&x + 0.05)?;
    /// assert_eq!(x.isclose(&y, 1e-3, 0.0, false)?.to_vec::<bool>()?, [false, true]);
    /// # Ok(()) }
    /// ```
    pub fn isclose(&self, other: &Array, rtol: f64, atol: f64, equal_nan: bool) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_isclose(self.as_raw(), other.as_raw(), rtol, atol, equal_nan, stream())) }
    }
}

/// `x` where `condition` is true (not zero) and `y` elsewhere.
///
/// - shape: the one that all three broadcast to
/// - dtype: of `x` and `y`, promoted
/// - source: `mlx_where`; the underscore keeps clear of Rust's keyword
///
/// # Errors
/// [`crate::Error::Mlx`] when the shapes do not broadcast, [`crate::Error::Shape`] when the result does not fit in
/// memory.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, where_};
///
/// let x = Array::from_slice(&[1.0f32, -2.0, 3.0], &[3])?;
/// let zero = Array::scalar(0.0f32)?;
/// assert_eq!(where_(&x.greater(&zero)?, &x, &zero)?.to_vec::<f32>()?, [1.0, 0.0, 3.0]);
/// # Ok(()) }
/// ```
pub fn where_(condition: &Array, x: &Array, y: &Array) -> Result<Array> {
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_where(condition.as_raw(), x.as_raw(), y.as_raw(), stream())) }
}
