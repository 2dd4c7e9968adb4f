// SPDX-License-Identifier: EUPL-1.2
//! Products of simpler matrices that give the matrix back.

use super::{Allowed, Triangle, batch, matrix, square};
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::vector::VectorArray;
use crate::{Array, Dtype, concatenate};

/// Orthonormal columns `q` and an upper triangle `r` with `a = q · r`; K is the smaller of M and N.
///
/// - shape: `[.., M, N]` → `[.., M, K]`, `[.., K, N]`
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_qr`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when there are fewer than two axes.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[3.0f32, 1.0, 4.0, 2.0, 0.0, 5.0], &[3, 2])?;
/// let (q, r) = linalg::qr(&a)?;
/// assert_eq!((q.shape(), r.shape()), (&[3, 2][..], &[2, 2][..]));
/// assert!(q.matmul(&r)?.allclose(&a, 1e-5, 1e-5, false)?.item::<bool>()?);
/// # Ok(()) }
/// ```
pub fn qr(a: &Array) -> Result<(Array, Array)> {
    matrix("qr", "a", a, Allowed::Real)?;
    // SAFETY: op contract.
    unsafe { call!((Array, Array) = mlx_linalg_qr(a.as_raw(), stream())) }
}

/// The triangle `t` of a symmetric, positive definite matrix: `a = t · tᵀ` for the lower one, `tᵀ · t` for the upper one.
///
/// Only that triangle of `a` is read. Whether the matrix is positive definite is not checked: for another one the result means
/// nothing.
///
/// - shape: `[.., N, N]` → the same
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_cholesky`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the matrices are not square.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::linalg::{self, Triangle};
/// let a = Array::from_slice(&[4.0f32, 2.0, 2.0, 5.0], &[2, 2])?;
/// assert_eq!(linalg::cholesky(&a, Triangle::Lower)?.to_vec::<f32>()?, [2.0, 0.0, 1.0, 2.0]);
/// assert_eq!(linalg::cholesky(&a, Triangle::Upper)?.to_vec::<f32>()?, [2.0, 1.0, 0.0, 2.0]);
/// # Ok(()) }
/// ```
pub fn cholesky(a: &Array, triangle: Triangle) -> Result<Array> {
    square("cholesky", "a", a, Allowed::Real)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_linalg_cholesky(a.as_raw(), triangle.is_upper(), stream())) }
}

/// What [`lu`] makes of `[.., M, N]`; K is the smaller of M and N.
#[derive(Clone, Debug)]
pub struct Lu {
    /// Row `i` of the matrix is row `permutation[i]` of `lower · upper`; uint32, `[.., M]`.
    pub permutation: Array,
    /// A lower triangle with ones on its diagonal, `[.., M, K]`.
    pub lower: Array,
    /// An upper triangle, `[.., K, N]`.
    pub upper: Array,
}

/// A permutation and two triangles: `a[i] = (lower · upper)[permutation[i]]`, row by row.
///
/// - shape: `[.., M, N]` → see [`Lu`]
/// - dtype: float32 or float64, kept
/// - source: `mlx_linalg_lu`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when there are fewer than two axes.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[0.0f32, 2.0, 1.0, 3.0], &[2, 2])?;
/// let parts = linalg::lu(&a)?;
/// let product = parts.lower.matmul(&parts.upper)?;
/// assert_eq!(product.take(&parts.permutation, 0)?.to_vec::<f32>()?, [0.0, 2.0, 1.0, 3.0]);
/// # Ok(()) }
/// ```
pub fn lu(a: &Array) -> Result<Lu> {
    const OP: &str = "lu";
    let (rows, columns) = matrix(OP, "a", a, Allowed::Real)?;
    if rows.min(columns) == 0 {
        // The library divides by zero.
        let order = Array::arange(0.0, f64::from(rows), 1.0, Dtype::Uint32)?;
        return Ok(Lu {
            permutation: order.broadcast_to(&[batch(a), &[rows]].concat())?,
            lower: Array::zeros(&[batch(a), &[rows, 0]].concat(), a.dtype())?,
            upper: Array::zeros(&[batch(a), &[0, columns]].concat(), a.dtype())?,
        });
    }
    if rows == 1 {
        return Ok(Lu {
            permutation: Array::zeros(&[batch(a), &[1]].concat(), Dtype::Uint32)?,
            lower: Array::ones(&[batch(a), &[1, 1]].concat(), a.dtype())?,
            upper: a.clone(),
        });
    }
    // As for `lu_factor`: a packed matrix of one column reaches an op that believes what it says of its length.
    let wide = if columns == 1 { concatenate(&[a, &a.zeros_like()?], -1)? } else { a.clone() };
    // SAFETY: op contract.
    let parts = unsafe { call!(VectorArray = mlx_linalg_lu(wide.as_raw(), stream())) }?.to_arrays()?;
    match <[Array; 3]>::try_from(parts) {
        Ok([permutation, lower, upper]) if columns == 1 => {
            let (lower, upper) =
                (lower.slice_axis(-1, 0, 1)?, upper.slice_axis(-1, 0, 1)?.slice_axis(-2, 0, 1)?);
            Ok(Lu { permutation, lower, upper })
        }
        Ok([permutation, lower, upper]) => Ok(Lu { permutation, lower, upper }),
        Err(parts) => Err(Error::Mlx { op: OP, message: format!("expected three arrays, found {parts:?}") }),
    }
}

/// The triangles of [`lu`] in one matrix, without the ones, and the pivots: row `i` was exchanged with row `pivots[i]`, in
/// order.
///
/// - shape: `[.., M, N]` → the same, and pivots `[.., min(M, N)]`
/// - dtype: float32 or float64, kept; pivots uint32
/// - source: `mlx_linalg_lu_factor`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when there are fewer than two axes.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[1.0f32, 2.0, 4.0, 4.0], &[2, 2])?;
/// let (packed, pivots) = linalg::lu_factor(&a)?;
/// assert_eq!(packed.to_vec::<f32>()?, [4.0, 4.0, 0.25, 1.0]);
/// assert_eq!(pivots.to_vec::<u32>()?, [1, 1]);
/// # Ok(()) }
/// ```
pub fn lu_factor(a: &Array) -> Result<(Array, Array)> {
    let (rows, columns) = matrix("lu_factor", "a", a, Allowed::Real)?;
    if rows.min(columns) == 0 {
        // The library divides by zero.
        return Ok((a.clone(), Array::zeros(&[batch(a), &[0]].concat(), Dtype::Uint32)?));
    }
    // SAFETY: op contract.
    let (packed, pivots) = unsafe { call!((Array, Array) = mlx_linalg_lu_factor(a.as_raw(), stream())) }?;
    // The processor's says that it has as many elements as it has bytes, and the next op would believe it.
    Ok((packed.contiguous()?, pivots))
}
