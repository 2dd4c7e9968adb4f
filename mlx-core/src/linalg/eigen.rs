// SPDX-License-Identifier: EUPL-1.2
//! Eigenvalues and singular values. Every matrix goes through [`Guarded`] first; the module page says why.

use super::{Allowed, Guarded, Triangle, matrix, square};
use crate::Array;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::vector::VectorArray;

/// What [`svd`] makes of `[.., M, N]`; K is the smaller of M and N.
#[derive(Clone, Debug)]
pub struct Svd {
    /// Orthonormal columns, `[.., M, M]`.
    pub u: Array,
    /// The singular values, falling, `[.., K]`; real also for a complex matrix.
    pub s: Array,
    /// Orthonormal rows, `[.., N, N]`.
    pub vt: Array,
}

/// The singular value decomposition: `a = u[.., :K] · diag(s) · vt[:K]`.
///
/// - shape: `[.., M, N]` → see [`Svd`]
/// - dtype: float32, float64 or complex64, kept
/// - source: `mlx_linalg_svd`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when there are fewer than two axes. When computed,
/// [`Error::Mlx`] when the iteration does not converge.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[0.0f32, 2.0, 3.0, 0.0], &[2, 2])?;
/// let parts = linalg::svd(&a)?;
/// let back = (&parts.u * &parts.s)?.matmul(&parts.vt)?;
/// assert!(back.allclose(&a, 1e-5, 1e-5, false)?.item::<bool>()?);
/// # Ok(()) }
/// ```
pub fn svd(a: &Array) -> Result<Svd> {
    const OP: &str = "svd";
    matrix(OP, "a", a, Allowed::Complex)?;
    let finite = Guarded::finite(a)?;
    // SAFETY: op contract.
    let parts = unsafe { call!(VectorArray = mlx_linalg_svd(finite.matrices.as_raw(), true, stream())) }?;
    match <[Array; 3]>::try_from(parts.to_arrays()?) {
        Ok([u, s, vt]) => Ok(Svd { u: finite.mark(u, 2)?, s: finite.mark(s, 1)?, vt: finite.mark(vt, 2)? }),
        Err(parts) => Err(Error::Mlx { op: OP, message: format!("expected three arrays, found {parts:?}") }),
    }
}

/// The singular values alone, falling, which is faster than [`svd`].
///
/// - shape: `[.., M, N]` → `[.., min(M, N)]`
/// - dtype: float32, float64 or complex64; real
/// - source: `mlx_linalg_svd`
///
/// # Errors
/// As [`svd`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[3.0f32, 0.0, 0.0, -4.0], &[2, 2])?;
/// assert_eq!(linalg::singular_values(&a)?.to_vec::<f32>()?, [4.0, 3.0]);
/// # Ok(()) }
/// ```
pub fn singular_values(a: &Array) -> Result<Array> {
    const OP: &str = "singular_values";
    matrix(OP, "a", a, Allowed::Complex)?;
    let finite = Guarded::finite(a)?;
    // SAFETY: op contract.
    let parts = unsafe { call!(VectorArray = mlx_linalg_svd(finite.matrices.as_raw(), false, stream())) }?;
    match parts.to_arrays()?.into_iter().next() {
        Some(s) => finite.mark(s, 1),
        None => Err(Error::Mlx { op: OP, message: "expected an array, found none".into() }),
    }
}

/// The Moore–Penrose inverse: `a · pinv(a) · a = a`, made of the singular values.
///
/// - shape: `[.., M, N]` → `[.., N, M]`
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_pinv`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when there are fewer than two axes.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[2.0f32, 0.0, 0.0, 4.0, 0.0, 0.0], &[3, 2])?;
/// let inverse = linalg::pinv(&a)?;
/// let expected = Array::from_slice(&[0.5f32, 0.0, 0.0, 0.0, 0.25, 0.0], &[2, 3])?;
/// assert!(inverse.allclose(&expected, 1e-5, 1e-6, false)?.item::<bool>()?);
/// # Ok(()) }
/// ```
pub fn pinv(a: &Array) -> Result<Array> {
    let (rows, columns) = matrix("pinv", "a", a, Allowed::Real)?;
    if a.size() == 0 {
        return Array::zeros(&[super::batch(a), &[columns, rows]].concat(), a.dtype());
    }
    let finite = Guarded::finite(a)?;
    // SAFETY: op contract.
    let inverse = unsafe { call!(Array = mlx_linalg_pinv(finite.matrices.as_raw(), stream())) }?;
    finite.mark(inverse, 2)
}

/// The eigenvalues of any square matrix, in no order, and its eigenvectors, which are the columns: `a · v = v · diag(w)`.
///
/// - shape: `[.., N, N]` → `[.., N]` and `[.., N, N]`
/// - dtype: float32 or complex64 → complex64; float64 → complex64 too, for want of a wider one
/// - source: `mlx_linalg_eig`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the matrices are not square. When computed,
/// [`Error::Mlx`] when the iteration does not converge.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Complex64, linalg};
/// // A quarter turn has the eigenvalues i and −i.
/// let turn = Array::from_slice(&[0.0f32, -1.0, 1.0, 0.0], &[2, 2])?;
/// let (values, _vectors) = linalg::eig(&turn)?;
/// let values = values.to_vec::<Complex64>()?;
/// assert!(values.iter().all(|w| w.re.abs() < 1e-6 && (w.im.abs() - 1.0).abs() < 1e-6));
/// # Ok(()) }
/// ```
pub fn eig(a: &Array) -> Result<(Array, Array)> {
    square("eig", "a", a, Allowed::Complex)?;
    let finite = Guarded::finite(a)?;
    // SAFETY: op contract.
    let (values, vectors) =
        unsafe { call!((Array, Array) = mlx_linalg_eig(finite.matrices.as_raw(), stream())) }?;
    Ok((finite.mark(values, 1)?, finite.mark(vectors, 2)?))
}

/// The eigenvalues of [`eig`] alone.
///
/// - shape: `[.., N, N]` → `[.., N]`
/// - dtype: as [`eig`]
/// - source: `mlx_linalg_eigvals`
///
/// # Errors
/// As [`eig`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[2.0f32, 0.0, 0.0, 2.0], &[2, 2])?;
/// assert_eq!(linalg::eigvals(&a)?.real()?.to_vec::<f32>()?, [2.0, 2.0]);
/// # Ok(()) }
/// ```
pub fn eigvals(a: &Array) -> Result<Array> {
    square("eigvals", "a", a, Allowed::Complex)?;
    let finite = Guarded::finite(a)?;
    // SAFETY: op contract.
    let values = unsafe { call!(Array = mlx_linalg_eigvals(finite.matrices.as_raw(), stream())) }?;
    finite.mark(values, 1)
}

/// The eigenvalues of a symmetric or Hermitian matrix, rising, and its eigenvectors, which are the columns.
///
/// Only the given triangle is read; the other one is taken to mirror it.
///
/// - shape: `[.., N, N]` → `[.., N]` and `[.., N, N]`
/// - dtype: float32, float64 or complex64; eigenvalues real, eigenvectors kept
/// - source: `mlx_linalg_eigh`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the matrices are not square. When computed,
/// [`Error::Mlx`] when the iteration does not converge.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::linalg::{self, Triangle};
/// let a = Array::from_slice(&[2.0f32, 1.0, 1.0, 2.0], &[2, 2])?;
/// let (values, vectors) = linalg::eigh(&a, Triangle::Lower)?;
/// let back = (&vectors * &values)?.matmul(&vectors.transpose()?)?;
/// assert!(back.allclose(&a, 1e-5, 1e-5, false)?.item::<bool>()?);
/// # Ok(()) }
/// ```
pub fn eigh(a: &Array, triangle: Triangle) -> Result<(Array, Array)> {
    square("eigh", "a", a, Allowed::Complex)?;
    let finite = Guarded::finite(a)?;
    // SAFETY: op contract. The triangle's name is a NUL-terminated constant.
    let (values, vectors) = unsafe {
        call!(
            (Array, Array) = mlx_linalg_eigh(finite.matrices.as_raw(), triangle.c_name().as_ptr(), stream())
        )
    }?;
    Ok((finite.mark(values, 1)?, finite.mark(vectors, 2)?))
}

/// The eigenvalues of [`eigh`] alone.
///
/// - shape: `[.., N, N]` → `[.., N]`
/// - dtype: float32, float64 or complex64; real
/// - source: `mlx_linalg_eigvalsh`
///
/// # Errors
/// As [`eigh`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::linalg::{self, Triangle};
/// let a = Array::from_slice(&[5.0f32, 0.0, 0.0, -1.0], &[2, 2])?;
/// assert_eq!(linalg::eigvalsh(&a, Triangle::Upper)?.to_vec::<f32>()?, [-1.0, 5.0]);
/// # Ok(()) }
/// ```
pub fn eigvalsh(a: &Array, triangle: Triangle) -> Result<Array> {
    square("eigvalsh", "a", a, Allowed::Complex)?;
    let finite = Guarded::finite(a)?;
    // SAFETY: op contract. The triangle's name is a NUL-terminated constant.
    let values = unsafe {
        call!(Array = mlx_linalg_eigvalsh(finite.matrices.as_raw(), triangle.c_name().as_ptr(), stream()))
    }?;
    finite.mark(values, 1)
}
