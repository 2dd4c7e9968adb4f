// SPDX-License-Identifier: EUPL-1.2
//! Scans, which give every element what came up to it, and differences of neighbours.
//!
//! The processor's scan divides by the length of the axis, which ends the process when there is none, so empty arrays
//! never reach it.

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::node::{axis_of, example};
use crate::ops::optional_dtype;
use crate::{Array, Dtype};

/// How a scan runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scan {
    /// Whether it runs from the end. Default: it does not.
    pub reverse: bool,
    /// Whether an element counts at its own place. Default: it does.
    pub inclusive: bool,
}

impl Default for Scan {
    fn default() -> Self {
        Self { reverse: false, inclusive: true }
    }
}

/// Scans, each with the dtype that it runs in.
macro_rules! scan {
    (dtype $dtype:literal, in $in:ident; $($(#[$doc:meta])* $one:ident $all:ident
        => $f_one:ident $f_all:ident ($($extra:expr),*) $wanted:literal),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - shape: kept
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f_one), "`")]
        ///
        /// # Errors
        /// [`Error::Argument`] when `axis` is out of range.
        ///
        #[doc = example!(concat!(
            "use mlx_core::Scan;\n\n",
            "let x = Array::from_slice(&[1.0f32, 3.0, 2.0], &[3])?;\n",
            "let wanted = Array::from_slice(&", $wanted, ", &[3])?;\n",
            "let scanned = x.", stringify!($one), "(0, Scan::default())?;\n",
            "assert!(scanned.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);"
        ))]
        pub fn $one(&self, axis: i32, scan: Scan) -> Result<Array> {
            axis_of(stringify!($one), axis, self.ndim())?;
            let x = self.in_dtype($in(self.dtype()))?;
            if x.size() == 0 {
                return Ok(x);
            }
            let Scan { reverse, inclusive } = scan;
            // SAFETY: op contract.
            unsafe { call!(Array = $f_one(x.as_raw(), axis, reverse, inclusive, $($extra,)* stream())) }
        }

        #[doc = concat!("[`Array::", stringify!($one), "`] of the flattened array.")]
        ///
        /// - shape: `[size]`
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f_all), "`")]
        ///
        /// # Errors
        /// [`Error::Mlx`] when the array has more elements than an axis can have.
        ///
        #[doc = example!(concat!(
            "use mlx_core::Scan;\n\n",
            "let x = Array::from_slice(&[1.0f32, 3.0, 2.0], &[3, 1])?;\n",
            "let wanted = Array::from_slice(&", $wanted, ", &[3])?;\n",
            "let scanned = x.", stringify!($all), "(Scan::default())?;\n",
            "assert_eq!(scanned.shape(), [3]);\n",
            "assert!(scanned.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);"
        ))]
        pub fn $all(&self, scan: Scan) -> Result<Array> {
            let dtype = $in(self.dtype());
            if self.size() == 0 {
                return Array::zeros(&[0], dtype);
            }
            let x = self.in_dtype(dtype)?;
            let Scan { reverse, inclusive } = scan;
            // SAFETY: op contract.
            unsafe { call!(Array = $f_all(x.as_raw(), reverse, inclusive, $($extra,)* stream())) }
        }
    )*};
}

impl Array {
    scan! { dtype "kept; bool gives int32", in without_bool;
        /// Running sum; where nothing counts yet, 0. For a wider accumulator, cast first.
        cumsum cumsum_all => mlx_cumsum_axis mlx_cumsum (optional_dtype(None)) "[1.0f32, 4.0, 6.0]",
    }
    scan! { dtype "any, kept", in kept;
        /// Running product; where nothing counts yet, 1. For a wider accumulator, cast first.
        cumprod cumprod_all => mlx_cumprod_axis mlx_cumprod (optional_dtype(None)) "[1.0f32, 3.0, 6.0]",
        /// Largest so far; where nothing counts yet, the smallest value of the dtype. From a NaN on, NaN.
        cummax cummax_all => mlx_cummax_axis mlx_cummax () "[1.0f32, 3.0, 3.0]",
        /// Smallest so far; where nothing counts yet, the largest value of the dtype. From a NaN on, NaN.
        cummin cummin_all => mlx_cummin_axis mlx_cummin () "[1.0f32, 1.0, 1.0]",
    }
    scan! { dtype "floating and complex64, kept; others give float32", in floating;
        /// Running `ln Σ eˣ` without overflow; where nothing counts yet, −∞.
        logcumsumexp logcumsumexp_all => mlx_logcumsumexp_axis mlx_logcumsumexp () "[1.0f32, 3.126928, 3.407606]",
    }

    /// Each element less the one before it along `axis`, `n` times over.
    ///
    /// - shape: `[.., N, ..]` → `[.., N − n, ..]`, or length 0 there when `n` is larger
    /// - dtype: kept; of bool, where neighbours differ
    /// - source: `mlx_diff`, which goes on counting when nothing is left
    ///
    /// # Errors
    /// [`Error::Argument`] when `n` is negative or `axis` out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1i32, 4, 9, 16], &[4])?;
    /// assert_eq!(x.diff(1, 0)?.to_vec::<i32>()?, [3, 5, 7]);
    /// assert_eq!(x.diff(2, 0)?.to_vec::<i32>()?, [2, 2]);
    /// # Ok(()) }
    /// ```
    pub fn diff(&self, n: i32, axis: i32) -> Result<Array> {
        let (axis, dim) = self.axis("diff", axis)?;
        if n < 0 {
            return Err(Error::argument("diff", "n", format!("must not be negative, found {n}")));
        }
        if n >= dim {
            let mut shape = self.shape().to_vec();
            if let Some(dim) = usize::try_from(axis).ok().and_then(|axis| shape.get_mut(axis)) {
                *dim = if n == 0 { *dim } else { 0 };
            }
            return Array::zeros(&shape, self.dtype());
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_diff(self.as_raw(), n, axis, stream())) }
    }

    /// This array, cast where it has another dtype.
    fn in_dtype(&self, dtype: Dtype) -> Result<Array> {
        if self.dtype() == dtype { Ok(self.clone()) } else { self.astype(dtype) }
    }
}

fn kept(dtype: Dtype) -> Dtype {
    dtype
}

fn without_bool(dtype: Dtype) -> Dtype {
    if dtype == Dtype::Bool { Dtype::Int32 } else { dtype }
}

/// The library itself would round each step of `logcumsumexp` to the integer type.
fn floating(dtype: Dtype) -> Dtype {
    if dtype.is_integer() || dtype == Dtype::Bool { Dtype::Float32 } else { dtype }
}
