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
/// // Other work, meanwhile.
/// assert!(a.item::<f32>()? > 2.7);
/// # Ok(()) }
/// ```
pub fn async_eval<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Result<()> {
    let arrays = VectorArray::from_arrays(arrays)?;
    // SAFETY: op contract.
    unsafe { call!(mlx_checked_async_eval(arrays.as_raw())) }
}

/// Ops of the library's that fail when they are computed. No safe call makes one, since those that could fail are refused
/// or kept from it; so they are made here without their guards.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{opt, optional_int};
    use crate::{Dtype, device};

    /// Fails on the stream's thread.
    fn fails_there() -> Array {
        let singular = Array::zeros(&[2, 2], Dtype::Float32).unwrap();
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_linalg_inv(singular.as_raw(), device::stream())) }.unwrap()
    }

    /// Fails on the thread that evaluates, before the stream hears of it.
    fn fails_here(x: &Array) -> Array {
        let weight = Array::ones(&[2, 32], Dtype::Float32).unwrap();
        let (size, bits, stream) = (optional_int(Some(32)), optional_int(Some(8)), device::stream());
        // SAFETY: op contract. The mode's name is a NUL-terminated constant.
        unsafe {
            call!(
                Array = mlx_qqmm(
                    x.as_raw(),
                    weight.as_raw(),
                    opt(None),
                    size,
                    bits,
                    c"mxfp8".as_ptr(),
                    opt(None),
                    opt(None),
                    stream,
                )
            )
        }
        .unwrap()
    }

    /// Looks at an array that failed in every way, more than once.
    fn assert_failed(array: &Array) {
        for _ in 0..2 {
            assert!(array.eval().is_err() && eval([array]).is_err() && array.to_vec::<f32>().is_err());
            assert!(array.to_shared().is_err() && array.sum_all().unwrap().item::<f32>().is_err());
            assert!(async_eval([array]).is_err() || array.eval().is_err());
        }
    }

    #[test]
    fn what_failed_natively_fails_every_time() {
        for asynchronous in [false, true] {
            let x = Array::ones(&[1, 32], Dtype::Float32).unwrap();
            let before = (&x + 1.0).unwrap();
            for failed in [fails_there(), fails_here(&before)] {
                let after = (&failed * 2.0).unwrap();
                if asynchronous {
                    for array in [&failed, &after] {
                        let _ = async_eval([array]);
                    }
                }
                for array in [&after, &failed, &after] {
                    assert_failed(array);
                }
                assert_eq!(before.to_vec::<f32>().unwrap(), [2.0; 32]);
                assert_eq!(before.sum_all().unwrap().item::<f32>().unwrap(), 64.0);
            }
        }
    }

    #[test]
    fn a_failure_that_hides_behind_another_is_not_forgotten() {
        let x = Array::ones(&[1, 32], Dtype::Float32).unwrap();
        for _ in 0..200 {
            let first = fails_there();
            let _ = async_eval([&first]);
            // It may be told at once. If not, its text is lost here: there is room for one.
            assert!(fails_here(&(&x + 1.0).unwrap()).eval().is_err());
            assert_failed(&first);

            let (first, second) = (fails_there(), fails_there());
            let _ = async_eval([&first]);
            let _ = async_eval([&second]);
            let _ = device::synchronize();
            for failed in [&first, &second] {
                assert_failed(failed);
            }
        }
        assert_eq!(x.sum_all().unwrap().item::<f32>().unwrap(), 32.0);
    }
}
