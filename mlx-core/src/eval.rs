// SPDX-License-Identifier: EUPL-1.2
//! From the lazy graph to values.

use crate::Array;
use crate::closure::is_tracing;
use crate::error::Result;
use crate::ffi::{Handle, call};
use crate::vector::VectorArray;

/// Computes the given arrays, and waits for them.
///
/// # Errors
/// [`crate::Error::Mlx`] when a computation fails, or when an array was made by another thread.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// let a = Array::scalar(1.0f32)?;
/// let (b, c) = ((&a + &a)?, a.exp()?);
/// mlx_core::eval([&b, &c])?;
/// # Ok(()) }
/// ```
pub fn eval<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Result<()> {
    let arrays = VectorArray::from_arrays(arrays)?;
    // SAFETY: op contract.
    unsafe { call!(mlx_checked_eval(arrays.as_raw(), is_tracing())) }
}

/// Starts to compute the given arrays, and returns before they are there.
///
/// A later [`eval`] or read waits for them.
///
/// # Errors
/// [`crate::Error::Mlx`] when a computation cannot be started.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// let a = Array::scalar(1.0f32)?.exp()?;
/// mlx_core::async_eval([&a])?;
/// // Anything else meanwhile.
/// assert_eq!(a.item::<f32>()?, 1.0f32.exp());
/// # Ok(()) }
/// ```
pub fn async_eval<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Result<()> {
    let arrays = VectorArray::from_arrays(arrays)?;
    // SAFETY: op contract.
    unsafe { call!(mlx_checked_async_eval(arrays.as_raw())) }
}
