// SPDX-License-Identifier: EUPL-1.2
//! Lengths of vectors and matrices, and the cross product.

use std::borrow::Cow;

use super::{Allowed, Guarded, fresh, matrix};
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::node::axis_of;
use crate::{Array, Dtype};

/// A norm of matrices for [`matrix_norm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MatrixNorm {
    /// The root of the sum of squares.
    Frobenius,
    /// The sum of the singular values.
    Nuclear,
    /// The largest sum of magnitudes of a column: the 1-norm.
    LargestColumn,
    /// The smallest sum of magnitudes of a column: order −1.
    SmallestColumn,
    /// The largest sum of magnitudes of a row: the ∞-norm.
    LargestRow,
    /// The smallest sum of magnitudes of a row: order −∞.
    SmallestRow,
    /// The largest singular value: the 2-norm.
    LargestSingular,
    /// The smallest singular value: order −2.
    SmallestSingular,
}

impl MatrixNorm {
    /// What C calls it: a name, or an order.
    const fn order(self) -> Result<f64, &'static std::ffi::CStr> {
        match self {
            Self::Frobenius => Err(c"fro"),
            Self::Nuclear => Err(c"nuc"),
            Self::LargestColumn => Ok(1.0),
            Self::SmallestColumn => Ok(-1.0),
            Self::LargestRow => Ok(f64::INFINITY),
            Self::SmallestRow => Ok(f64::NEG_INFINITY),
            Self::LargestSingular => Ok(2.0),
            Self::SmallestSingular => Ok(-2.0),
        }
    }

    /// Whether the singular values are computed for it.
    const fn is_spectral(self) -> bool {
        matches!(self, Self::Nuclear | Self::LargestSingular | Self::SmallestSingular)
    }

    /// Whether it chooses among rows, columns or values, of which there must be one.
    const fn chooses(self) -> bool {
        !matches!(self, Self::Frobenius | Self::Nuclear)
    }
}

/// An operand whose squares do not overflow an integer, and that reductions return from.
fn floating(a: &Array) -> Result<Cow<'_, Array>> {
    if a.dtype().is_float() || a.dtype() == Dtype::Complex64 {
        return fresh(a);
    }
    Ok(Cow::Owned(fresh(a)?.astype(Dtype::Float32)?))
}

/// Norms are real, but the library leaves some in the dtype of their operand.
fn real(norm: Array) -> Result<Array> {
    if norm.dtype() == Dtype::Complex64 { norm.real() } else { Ok(norm) }
}

/// The Euclidean norm, `√Σ|a|²`, over one axis, two, or all elements: the length of a vector, the Frobenius norm of a
/// matrix.
///
/// - `axes`: one or two; `None` for all elements
/// - shape: without `axes`, or with length 1 there when `keepdims`; for `None`, `[]` or `[1]`
/// - dtype: floating kept, complex64 → float32, integers and bool → float32
/// - source: `mlx_linalg_norm_l2`
///
/// # Errors
/// [`Error::Argument`] when an axis is out of range or named twice, or there are none or more than two.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[3.0f32, 4.0, 6.0, 8.0], &[2, 2])?;
/// assert_eq!(linalg::norm(&a, Some(&[-1]), false)?.to_vec::<f32>()?, [5.0, 10.0]);
/// assert_eq!(linalg::norm(&a, None, false)?.ndim(), 0);
/// # Ok(()) }
/// ```
pub fn norm(a: &Array, axes: Option<&[i32]>, keepdims: bool) -> Result<Array> {
    const OP: &str = "norm";
    if let Some(axes) = axes {
        let places = axes.iter().map(|&axis| axis_of(OP, axis, a.ndim())).collect::<Result<Vec<_>>>()?;
        match places[..] {
            [_] => {}
            [first, second] if first != second => {}
            _ => {
                let message = format!("expected one axis or two different ones, found {axes:?}");
                return Err(Error::argument(OP, "axes", message));
            }
        }
    }
    let a = floating(a)?;
    // No axes at all are a null pointer in C, which is not the same as an empty list.
    let (data, len) = axes.map_or((std::ptr::null(), 0), |axes| (axes.as_ptr(), axes.len()));
    // SAFETY: op contract. A null pointer stands for all axes.
    let norm = unsafe { call!(Array = mlx_linalg_norm_l2(a.as_raw(), data, len, keepdims, stream())) }?;
    real(norm)
}

/// The p-norm of the vectors along `axis`: `(Σ|a|^p)^(1/p)`.
///
/// - `p`: any number; 0 counts what is not 0, ∞ is the largest magnitude and −∞ the smallest one
/// - shape: without `axis`, or with length 1 there when `keepdims`
/// - dtype: floating kept, complex64 → float32, integers and bool → float32
/// - source: `mlx_linalg_norm`
///
/// # Errors
/// [`Error::Argument`] when `axis` is out of range or `p` is NaN, [`Error::Shape`] when the largest or smallest of no
/// values is asked for.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let a = Array::from_slice(&[3.0f32, 0.0, -4.0], &[3])?;
/// assert_eq!(linalg::vector_norm(&a, 1.0, 0, false)?.item::<f32>()?, 7.0);
/// assert_eq!(linalg::vector_norm(&a, 0.0, 0, false)?.item::<f32>()?, 2.0);
/// assert_eq!(linalg::vector_norm(&a, f64::INFINITY, 0, false)?.item::<f32>()?, 4.0);
/// # Ok(()) }
/// ```
pub fn vector_norm(a: &Array, p: f64, axis: i32, keepdims: bool) -> Result<Array> {
    const OP: &str = "vector_norm";
    let (axis, size) = a.axis(OP, axis)?;
    if p.is_nan() {
        return Err(Error::argument(OP, "p", "expected a number, found NaN"));
    }
    if size == 0 && p.is_infinite() {
        return Err(Error::shape(OP, format!("no value to choose in shape {:?}", a.shape())));
    }
    let a = floating(a)?;
    // SAFETY: op contract.
    let norm =
        unsafe { call!(Array = mlx_linalg_norm(a.as_raw(), p, &raw const axis, 1, keepdims, stream())) }?;
    real(norm)
}

/// A norm of the matrices in two axes, rows first.
///
/// - shape: without `axes`, or with length 1 there when `keepdims`
/// - dtype: floating kept, complex64 → float32, integers and bool → float32; those of singular values float32, float64 or
///   complex64 only
/// - source: `mlx_linalg_norm_matrix`, `mlx_linalg_norm`
///
/// # Errors
/// [`Error::Argument`] when an axis is out of range, both are the same, or the dtype is none of these, [`Error::Shape`]
/// when the largest or smallest of no values is asked for.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// use mlx_core::linalg::{self, MatrixNorm};
/// let a = Array::from_slice(&[1.0f32, -2.0, 3.0, 4.0], &[2, 2])?;
/// let norm = |kind| linalg::matrix_norm(&a, kind, [0, 1], false)?.item::<f32>();
/// assert_eq!(norm(MatrixNorm::LargestColumn)?, 6.0);
/// assert_eq!(norm(MatrixNorm::LargestRow)?, 7.0);
/// # Ok(()) }
/// ```
pub fn matrix_norm(a: &Array, kind: MatrixNorm, axes: [i32; 2], keepdims: bool) -> Result<Array> {
    const OP: &str = "matrix_norm";
    let ((row, rows), (column, columns)) = (a.axis(OP, axes[0])?, a.axis(OP, axes[1])?);
    if row == column {
        return Err(Error::argument(OP, "axes", format!("expected two different ones, found {axes:?}")));
    }
    if kind.chooses() && (rows == 0 || columns == 0) {
        return Err(Error::shape(OP, format!("no value to choose in shape {:?}", a.shape())));
    }
    let (finite, a) = if kind.is_spectral() {
        matrix(OP, "a", a, Allowed::Complex)?;
        // The mask is for the last two axes.
        let moved = a.move_axis(row, -1)?.move_axis(if column > row { column - 1 } else { column }, -1)?;
        let finite = Guarded::finite(&moved)?;
        let matrices = finite.matrices.clone();
        (Some(finite), Cow::Owned(matrices))
    } else {
        (None, floating(a)?)
    };
    let axes = if finite.is_some() { [-2, -1] } else { [row, column] };
    let (data, len) = (axes.as_ptr(), axes.len());
    // The axes of a matrix that was moved go back by hand.
    let keep = keepdims && finite.is_none();
    let norm = match kind.order() {
        // SAFETY: op contract.
        Ok(order) => unsafe { call!(Array = mlx_linalg_norm(a.as_raw(), order, data, len, keep, stream())) },
        // SAFETY: op contract. The name is a NUL-terminated constant.
        Err(name) => unsafe {
            call!(Array = mlx_linalg_norm_matrix(a.as_raw(), name.as_ptr(), data, len, keep, stream()))
        },
    }?;
    let norm = real(norm)?;
    let Some(finite) = finite else { return Ok(norm) };
    let norm = finite.mark(norm, 0)?;
    if keepdims { norm.expand_dims_axes(&[row.min(column), row.max(column)]) } else { Ok(norm) }
}

/// The cross product of the vectors along `axis`, which have three components, or two and a third that is 0; the other
/// axes broadcast.
///
/// - shape: `[.., 3, ..]` or `[.., 2, ..]` twice → `[.., 3, ..]`
/// - dtype: any, the common one of both
/// - source: `mlx_linalg_cross`
///
/// # Errors
/// [`Error::Argument`] when `axis` is out of range, [`Error::Mlx`] when the lengths are others or the other axes do not
/// broadcast.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, linalg};
/// let x = Array::from_slice(&[1.0f32, 0.0, 0.0], &[3])?;
/// let y = Array::from_slice(&[0.0f32, 1.0, 0.0], &[3])?;
/// assert_eq!(linalg::cross(&x, &y, -1)?.to_vec::<f32>()?, [0.0, 0.0, 1.0]);
/// # Ok(()) }
/// ```
pub fn cross(a: &Array, b: &Array, axis: i32) -> Result<Array> {
    for operand in [a, b] {
        operand.axis("cross", axis)?;
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_linalg_cross(a.as_raw(), b.as_raw(), axis, stream())) }
}
