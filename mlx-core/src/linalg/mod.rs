// SPDX-License-Identifier: EUPL-1.2
//! Factors, inverses, eigenvalues and norms of matrices.
//!
//! These have a module of their own, and are functions rather than methods, because names such as `inv`, `solve`, `lu`
//! and `norm` say what they mean only here, and most of them give several arrays. Products are with the other ops:
//! [`Array::matmul`], [`crate::einsum`] and their kin.
//!
//! A matrix is the last two axes of an array; the axes before them are a batch, and each of its matrices is treated on
//! its own. An empty batch and a matrix without rows or columns are welcome.
//!
//! **Dtypes.** Factors are computed in float32 or float64, where it says so also in complex64. Other dtypes are refused
//! and not converted: a half precision inverse is seldom what was meant.
//!
//! **Devices.** MLX has the factors on the processor alone. Where a GPU is the default, run them in the scope of a
//! stream on the processor ([`crate::Stream::scope`]); elsewhere the library refuses.
//!
//! **NaN and infinity.** The library below MLX ends the process, or writes outside its buffers, when some of its routines
//! meet a value that is not finite. The functions that use those (eigenvalues, singular values and what is made of
//! them) never show it one: a matrix that holds NaN or an infinity has NaN in all its results. This costs a
//! look at values that are known, and a few ops of the graph for those still to be computed.
//!
//! **Singular matrices** have no inverse and solve nothing: there the result is NaN too, for that matrix of the batch
//! alone. The library would fail while it computes, on another thread, with half of the work done.
//!
//! **Gradients.** MLX differentiates [`cross`], the norms that need no singular values, [`solve`] and
//! [`solve_triangular`] by their right side, and [`det`] and [`slogdet`] of matrices up to 3 × 3; it refuses the others.

mod eigen;
mod factor;
mod norm;
mod solve;

pub use eigen::{Svd, eig, eigh, eigvals, eigvalsh, pinv, singular_values, svd};
pub use factor::{Lu, cholesky, lu, lu_factor, qr};
pub use norm::{MatrixNorm, cross, matrix_norm, norm, vector_norm};
pub use solve::{cholesky_inv, det, inv, slogdet, solve, solve_triangular, tri_inv};

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::ffi::{self, Handle, call, sys};
use crate::{Array, Dtype, where_};

/// One half of a square matrix, its diagonal included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Triangle {
    /// On and below the diagonal.
    #[default]
    Lower,
    /// On and above the diagonal.
    Upper,
}

impl Triangle {
    const fn is_upper(self) -> bool {
        matches!(self, Self::Upper)
    }

    /// As LAPACK calls it.
    const fn c_name(self) -> &'static std::ffi::CStr {
        match self {
            Self::Lower => c"L",
            Self::Upper => c"U",
        }
    }
}

/// The dtypes that a function takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowed {
    Real,
    Complex,
}

/// Rows and columns of the matrices of `a`, once its dtype is seen to be one that `op` takes.
fn matrix(op: &'static str, argument: &'static str, a: &Array, allowed: Allowed) -> Result<(i32, i32)> {
    let dtype = a.dtype();
    match (dtype, allowed) {
        (Dtype::Float32 | Dtype::Float64, _) | (Dtype::Complex64, Allowed::Complex) => {}
        (_, Allowed::Real) => {
            return Err(Error::argument(op, argument, format!("expected float32 or float64, found {dtype}")));
        }
        (_, Allowed::Complex) => {
            let message = format!("expected float32, float64 or complex64, found {dtype}");
            return Err(Error::argument(op, argument, message));
        }
    }
    let &[.., rows, columns] = a.shape() else {
        let message = format!("expected two axes or more, found shape {:?}", a.shape());
        return Err(Error::shape(op, message));
    };
    Ok((rows, columns))
}

/// The length of both axes of square matrices.
fn square(op: &'static str, argument: &'static str, a: &Array, allowed: Allowed) -> Result<i32> {
    let (rows, columns) = matrix(op, argument, a, allowed)?;
    if rows == columns {
        return Ok(rows);
    }
    Err(Error::shape(op, format!("expected square matrices, found shape {:?}", a.shape())))
}

/// The axes before the last two.
fn batch(a: &Array) -> &[i32] {
    a.shape().split_last_chunk::<2>().map_or(&[], |(batch, _)| batch)
}

/// `a`, but of an empty array another one in row-major order: reductions never return from some in another layout.
fn fresh(a: &Array) -> Result<Cow<'_, Array>> {
    if a.size() > 0 { Ok(Cow::Borrowed(a)) } else { Array::zeros(a.shape(), a.dtype()).map(Cow::Owned) }
}

/// Matrices that the library below can be shown, and which of them were something else before.
pub(crate) struct Guarded {
    /// The matrices, with another one in the place of each that it cannot be shown.
    pub(crate) matrices: Array,
    /// Whether a matrix is its own, `[.., 1, 1]`; nothing where all are known to be.
    mask: Option<Array>,
}

impl Guarded {
    /// Those whose values are all finite; zeros for others. `a` must have two axes and a dtype that [`matrix`] admits.
    pub(crate) fn finite(a: &Array) -> Result<Self> {
        if a.size() == 0 || is_known_finite(a)? {
            return Ok(Self { matrices: a.clone(), mask: None });
        }
        let mask = a.isfinite()?.all_axes(&[-2, -1], true)?;
        let matrices = where_(&mask, a, &Array::constant(0.0, a.dtype())?)?;
        Ok(Self { matrices, mask: Some(mask) })
    }

    /// Triangles without a zero on their diagonal; ones for others.
    fn regular(a: &Array) -> Result<Self> {
        let zero = Array::constant(0.0, a.dtype())?;
        let diagonal = a.diagonal(0, -2, -1)?;
        let mask = diagonal.not_equal(&zero)?.all(-1, true)?.expand_dims(-1)?;
        let one = Array::identity(a.shape().last().copied().unwrap_or(0), a.dtype())?;
        let matrices = where_(&mask, a, &one)?;
        Ok(Self { matrices, mask: Some(mask) })
    }

    /// NaN for the results of matrices that were something else. `axes` is how many of the last axes of `result` belong to
    /// one.
    pub(crate) fn mark(&self, result: Array, axes: usize) -> Result<Array> {
        let Some(mask) = &self.mask else { return Ok(result) };
        let mask = match axes {
            0 => mask.squeeze_axes(&[-2, -1])?,
            1 => mask.squeeze_axes(&[-1])?,
            _ => mask.clone(),
        };
        where_(&mask, &result, &Array::constant(f64::NAN, result.dtype())?)
    }
}

/// Whether all values are there and finite. `false` says nothing.
fn is_known_finite(a: &Array) -> Result<bool> {
    if !a.is_available()? {
        return Ok(false);
    }
    // SAFETY: op contract. The array is available, so its layout is known.
    if !unsafe { call!(copy bool = _mlx_array_is_row_contiguous(a.as_raw())) }? {
        return Ok(false);
    }
    // SAFETY: op contract. The array is available, so there is a buffer behind it. Any dtype may be seen as bytes.
    let data = unsafe { sys::mlx_array_data_uint8(a.as_raw()) };
    // SAFETY: the buffer of an available, row-contiguous array holds `nbytes` initialised bytes; `a` keeps it alive and
    // nothing writes to it while it is borrowed.
    let bytes = unsafe { ffi::slice(data, a.nbytes()) };
    if bytes.len() != a.nbytes() {
        return Ok(false);
    }
    Ok(if a.dtype() == Dtype::Float64 {
        bytes.as_chunks::<8>().0.iter().all(|&chunk| f64::from_ne_bytes(chunk).is_finite())
    } else {
        bytes.as_chunks::<4>().0.iter().all(|&chunk| f32::from_ne_bytes(chunk).is_finite())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_are_looked_at_and_unknown_ones_are_not() {
        let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
        assert!(is_known_finite(&a).unwrap());
        assert!(Guarded::finite(&a).unwrap().mask.is_none());
        let lazy = (&a + &a).unwrap();
        assert!(!is_known_finite(&lazy).unwrap());
        assert!(!lazy.is_available().unwrap());
        let bad = Array::from_slice(&[1.0f64, 2.0, 3.0, f64::NAN], &[2, 2]).unwrap();
        assert!(!is_known_finite(&bad).unwrap());
        let marked = Guarded::finite(&bad).unwrap();
        assert_eq!(marked.matrices.to_vec::<f64>().unwrap(), [0.0; 4]);
        assert!(marked.mark(Array::scalar(1.0f64).unwrap(), 0).unwrap().item::<f64>().unwrap().is_nan());
    }
}
