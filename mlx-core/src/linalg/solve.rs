// SPDX-License-Identifier: EUPL-1.2
//! Inverses, systems of equations and determinants.

use super::{Allowed, Guarded, Triangle, batch, fresh, lu, square};
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, Dtype};

/// The inverse: `a · inv(a) = 1`; NaN for a singular matrix. To solve equations, [`solve`] is faster and more exact.
///
/// - shape: `[.., N, N]` → the same
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_inv`, by `mlx_linalg_lu` and `mlx_linalg_solve_triangular`, which can be kept from failing
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the matrices are not square.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[2.0f32, 0.0, 0.0, 4.0], &[2, 2])?;
/// assert_eq!(linalg::inv(&a)?.to_vec::<f32>()?, [0.5, 0.0, 0.0, 0.25]);
/// # Ok(()) }
/// ```
pub fn inv(a: &Array) -> Result<Array> {
    let n = square("inv", "a", a, Allowed::Real)?;
    if n == 0 || a.size() == 0 {
        return Ok(a.clone()); // The library divides by zero.
    }
    solved(a, &Array::identity(n, a.dtype())?.broadcast_to(a.shape())?, Method::General)
}

/// The inverse of a triangle, which is a triangle of the same kind; NaN where a zero is on the diagonal. What lies outside
/// the triangle is not read.
///
/// - shape: `[.., N, N]` → the same
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_tri_inv`
///
/// # Errors
/// As [`inv`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::linalg::{self, Triangle};
/// let a = Array::from_slice(&[1.0f32, 0.0, 2.0, 1.0], &[2, 2])?;
/// assert_eq!(linalg::tri_inv(&a, Triangle::Lower)?.to_vec::<f32>()?, [1.0, 0.0, -2.0, 1.0]);
/// # Ok(()) }
/// ```
pub fn tri_inv(a: &Array, triangle: Triangle) -> Result<Array> {
    if square("tri_inv", "a", a, Allowed::Real)? == 0 {
        return Ok(a.clone());
    }
    let guarded = Guarded::regular(a)?;
    // SAFETY: op contract.
    let inverse = unsafe {
        call!(Array = mlx_linalg_tri_inv(guarded.matrices.as_raw(), triangle.is_upper(), stream()))
    }?;
    guarded.mark(inverse, 2)
}

/// The inverse of the matrix whose [`super::cholesky`] triangle is `a`; NaN where a zero is on its diagonal.
///
/// - shape: `[.., N, N]` → the same
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_cholesky_inv`
///
/// # Errors
/// As [`inv`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::linalg::{self, Triangle};
/// // The triangle of 4.
/// let a = Array::from_slice(&[2.0f32], &[1, 1])?;
/// assert_eq!(linalg::cholesky_inv(&a, Triangle::Lower)?.to_vec::<f32>()?, [0.25]);
/// # Ok(()) }
/// ```
pub fn cholesky_inv(a: &Array, triangle: Triangle) -> Result<Array> {
    if square("cholesky_inv", "a", a, Allowed::Real)? == 0 {
        return Ok(a.clone());
    }
    let guarded = Guarded::regular(a)?;
    // SAFETY: op contract.
    let inverse = unsafe {
        call!(Array = mlx_linalg_cholesky_inv(guarded.matrices.as_raw(), triangle.is_upper(), stream()))
    }?;
    guarded.mark(inverse, 2)
}

/// What a system of equations is solved with.
#[derive(Clone, Copy)]
enum Method {
    General,
    Triangular(Triangle),
}

/// `x` with `a · x = b`; NaN for a singular matrix.
///
/// - shape: `a` `[.., N, N]`, `b` `[N]` or `[.., N, K]` → `[.., N]` or `[.., N, K]`; the axes before broadcast
/// - dtype: float32 or float64, the wider one of both
/// - source: `mlx_linalg_solve`, by `mlx_linalg_lu` and `mlx_linalg_solve_triangular`, which can be kept from failing
///
/// # Errors
/// [`Error::Argument`] when a dtype is another one, [`Error::Shape`] when the matrices are not square or `b` does not fit
/// them.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[2.0f32, 0.0, 0.0, 4.0], &[2, 2])?;
/// let b = Array::from_slice(&[2.0f32, 2.0], &[2])?;
/// assert_eq!(linalg::solve(&a, &b)?.to_vec::<f32>()?, [1.0, 0.5]);
/// # Ok(()) }
/// ```
pub fn solve(a: &Array, b: &Array) -> Result<Array> {
    system("solve", a, b, Method::General)
}

/// `x` with `a · x = b` for a triangle `a`; NaN where a zero is on its diagonal. What lies outside the triangle is not read.
///
/// - shape, dtype: as [`solve`]
/// - source: `mlx_linalg_solve_triangular`
///
/// # Errors
/// As [`solve`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::linalg::{self, Triangle};
/// let a = Array::from_slice(&[1.0f32, 0.0, 2.0, 1.0], &[2, 2])?;
/// let b = Array::from_slice(&[1.0f32, 5.0], &[2])?;
/// assert_eq!(linalg::solve_triangular(&a, &b, Triangle::Lower)?.to_vec::<f32>()?, [1.0, 3.0]);
/// # Ok(()) }
/// ```
pub fn solve_triangular(a: &Array, b: &Array, triangle: Triangle) -> Result<Array> {
    system("solve_triangular", a, b, Method::Triangular(triangle))
}

fn system(op: &'static str, a: &Array, b: &Array, method: Method) -> Result<Array> {
    let n = square(op, "a", a, Allowed::Real)?;
    if !matches!(b.dtype(), Dtype::Float32 | Dtype::Float64) {
        let message = format!("expected float32 or float64, found {}", b.dtype());
        return Err(Error::argument(op, "b", message));
    }
    let fits = match b.shape() {
        [rows] | [.., rows, _] => *rows == n,
        [] => false,
    };
    if !fits {
        let message = format!("matrices of {:?} and a right side of {:?} do not fit", a.shape(), b.shape());
        return Err(Error::shape(op, message));
    }
    if n == 0 || b.size() == 0 || a.size() == 0 {
        return a.matmul(b); // The same shape, and nothing to compute.
    }
    let dtype = if a.dtype() == b.dtype() { a.dtype() } else { Dtype::Float64 };
    let widened = |x: &Array| if x.dtype() == dtype { Ok(x.clone()) } else { x.astype(dtype) };
    let (a, b) = (widened(a)?, widened(b)?);
    if batch(&a).is_empty() && b.ndim() <= 2 {
        return solved(&a, &b, method);
    }
    // The library wants as many axes on either side.
    let column = b.ndim() == 1;
    let b = if column { b.expand_dims(-1)? } else { b };
    let common = common_batch(op, &a, &b)?;
    let spread = |x: &Array| {
        let (_, [rows, columns]) = x.shape().split_last_chunk::<2>().unwrap_or((&[], &[0, 0]));
        if batch(x) == common {
            Ok(x.clone())
        } else {
            x.broadcast_to(&[&common[..], &[*rows, *columns]].concat())
        }
    };
    let x = solved(&spread(&a)?, &spread(&b)?, method)?;
    if column { x.squeeze_axes(&[-1]) } else { Ok(x) }
}

/// The axes before the last two that both broadcast to.
fn common_batch(op: &'static str, a: &Array, b: &Array) -> Result<Vec<i32>> {
    let (long, short) = if a.ndim() >= b.ndim() { (batch(a), batch(b)) } else { (batch(b), batch(a)) };
    let mut common = long.to_vec();
    for (dim, &other) in common.iter_mut().rev().zip(short.iter().rev()) {
        if *dim != other && *dim != 1 && other != 1 {
            let message = format!("batches of {:?} and {:?} do not broadcast", a.shape(), b.shape());
            return Err(Error::shape(op, message));
        }
        *dim = if *dim == 1 { other } else { *dim };
    }
    Ok(common)
}

/// `b` has one axis only where `a` has two, else both have the same batch.
fn solved(a: &Array, b: &Array, method: Method) -> Result<Array> {
    let triangle = match method {
        Method::Triangular(triangle) => triangle,
        Method::General => {
            let parts = lu(a)?;
            // `permutation` says where each row of the matrix is in `lower · upper`; here it is the other way round.
            let order = parts.permutation.argsort(-1)?;
            let order = if b.ndim() == 1 { order } else { order.expand_dims(-1)? };
            let sorted = b.take_along_axis(&order, if b.ndim() == 1 { -1 } else { -2 })?;
            let lower = solved(&parts.lower, &sorted, Method::Triangular(Triangle::Lower))?;
            return solved(&parts.upper, &lower, Method::Triangular(Triangle::Upper));
        }
    };
    let guarded = Guarded::regular(a)?;
    let upper = triangle.is_upper();
    // SAFETY: op contract.
    let x = unsafe {
        call!(Array = mlx_linalg_solve_triangular(guarded.matrices.as_raw(), b.as_raw(), upper, stream()))
    }?;
    guarded.mark(x, b.ndim().min(2))
}

/// The determinant; that of a matrix without rows is 1.
///
/// - shape: `[.., N, N]` → `[..]`
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_det`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the matrices are not square.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// assert_eq!(linalg::det(&a)?.item::<f32>()?, -2.0);
/// # Ok(()) }
/// ```
pub fn det(a: &Array) -> Result<Array> {
    square("det", "a", a, Allowed::Real)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_linalg_det(fresh(a)?.as_raw(), stream())) }
}

/// The sign of the determinant and the logarithm of its magnitude, which holds where [`det`] would overflow: 0 and −∞ for
/// a singular matrix.
///
/// - shape: `[.., N, N]` → `[..]` twice
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_slogdet`
///
/// # Errors
/// As [`det`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[0.0f32, 1.0, 1.0, 0.0], &[2, 2])?;
/// let (sign, log) = linalg::slogdet(&a)?;
/// assert_eq!((sign.item::<f32>()?, log.item::<f32>()?), (-1.0, 0.0));
/// # Ok(()) }
/// ```
pub fn slogdet(a: &Array) -> Result<(Array, Array)> {
    square("slogdet", "a", a, Allowed::Real)?;
    // SAFETY: op contract.
    unsafe { call!((Array, Array) = mlx_linalg_slogdet(fresh(a)?.as_raw(), stream())) }
}
