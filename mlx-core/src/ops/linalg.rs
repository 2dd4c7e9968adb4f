// SPDX-License-Identifier: EUPL-1.2
//! Products of vectors, matrices and tensors.

use super::gather::Bounds;
use super::opt;
use crate::cpu::gather::Chosen;
use crate::device::{on_cpu, stream};
use crate::error::{Error, Result};
use crate::ffi::{Handle, c_string, call};
use crate::vector::VectorArray;
use crate::{Array, Dtype};

impl Array {
    /// The matrix product `self · other`. A vector on the left counts as a row, on the right as a column, and that axis is left out
    /// of the result; the axes before the last two broadcast.
    ///
    /// - shape: `[.., N, K] · [.., K, M]` → `[.., N, M]`
    /// - dtype: floating or complex, the common one of both; integers are refused
    /// - source: `mlx_matmul`
    ///
    /// # Errors
    /// [`Error::Mlx`] when an operand has no axes, the inner lengths differ, the leading axes do not broadcast, or
    /// both dtypes are integer.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    /// let x = Array::from_slice(&[1.0f32, 10.0], &[2])?;
    /// assert_eq!(a.matmul(&x)?.to_vec::<f32>()?, [21.0, 43.0]);
    /// # Ok(()) }
    /// ```
    pub fn matmul(&self, other: &Array) -> Result<Array> {
        if let Some(product) = crate::cpu::product::matmul(self, other) {
            return product;
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_matmul(self.as_raw(), other.as_raw(), stream())) }
    }

    /// The dot product along `axis` of both operands, whose other axes broadcast; the left one is conjugated when it is complex.
    ///
    /// - shape: `[.., N, ..]`, `[.., N, ..]` → that axis is left out
    /// - dtype: floating or complex, the common one of both
    /// - source: `mlx_vecdot`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the lengths along `axis` differ or the other axes do not broadcast.
    pub fn vecdot(&self, other: &Array, axis: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_vecdot(self.as_raw(), other.as_raw(), axis, stream())) }
    }

    /// Matrix products of chosen pairs of matrices: result `i` is `self[lhs[i]] · other[rhs[i]]`, with the leading axes
    /// of each operand counted as one.
    ///
    /// Indices count from the front. Those that are known are checked; those still to be computed are clamped into the
    /// range, as [`Array::take`] says. On the CPU, rows that meet the same matrix are multiplied together.
    ///
    /// - shape: `[.., N, K]`, `[.., K, M]`, indices that broadcast to `[I..]` → `[I.., N, M]`; an operand without
    ///   indices uses its matrices in order
    /// - dtype: floating, the common one of both
    /// - `sorted`: a promise that `rhs` is in ascending order, which makes it faster on a GPU
    /// - source: `mlx_gather_mm`
    ///
    /// # Errors
    /// [`Error::Shape`] when an operand has fewer than two axes or inner lengths differ, [`Error::Index`] when an index is out of
    /// range, [`Error::Argument`] when indices are not integers, [`Error::Mlx`] when the indices do not broadcast.
    pub fn gather_mm(
        &self,
        other: &Array,
        lhs: Option<&Array>,
        rhs: Option<&Array>,
        sorted: bool,
    ) -> Result<Array> {
        const OP: &str = "gather_mm";
        let (a, b) = (self.shape(), other.shape());
        let ([a_batch @ .., _, inner], [b_batch @ .., depth, _]) = (a, b) else {
            return Err(Error::shape(OP, format!("expected two axes or more, found {a:?} and {b:?}")));
        };
        if inner != depth {
            return Err(Error::shape(OP, format!("inner lengths of {a:?} and {b:?} differ")));
        }
        let (a_count, b_count) = (count(OP, a_batch)?, count(OP, b_batch)?);
        let lhs = lhs.map(|i| Bounds::from_front(OP, "lhs", a_count).apply(i)).transpose()?;
        let rhs = rhs.map(|i| Bounds::from_front(OP, "rhs", b_count).apply(i)).transpose()?;
        let chosen = Chosen { lhs: lhs.as_ref(), rhs: rhs.as_ref(), sorted };
        crate::cpu::gather::gather_mm(self, other, chosen)
            .unwrap_or_else(|| self.plain_gather_mm(other, lhs.as_ref(), rhs.as_ref(), sorted))
    }

    /// The same by MLX, with operands that were checked.
    pub(crate) fn plain_gather_mm(
        &self,
        other: &Array,
        lhs: Option<&Array>,
        rhs: Option<&Array>,
        sorted: bool,
    ) -> Result<Array> {
        const OP: &str = "gather_mm";
        let ([a_batch @ .., rows, inner], [b_batch @ .., depth, columns]) = (self.shape(), other.shape())
        else {
            return Err(Error::shape(OP, "expected two axes or more"));
        };
        let plain = self.dtype() == Dtype::Float32 && other.dtype() == Dtype::Float32;
        if (plain || !on_cpu()) && self.size() > 0 && other.size() > 0 {
            // SAFETY: op contract. The indices are in range, or clamped into it.
            return unsafe {
                call!(
                    Array =
                        mlx_gather_mm(self.as_raw(), other.as_raw(), opt(lhs), opt(rhs), sorted, stream(),)
                )
            };
        }
        let chosen = |matrices: &Array, count: i32, [n, m]: [i32; 2], indices: Option<&Array>| match indices {
            Some(indices) => matrices.reshape(&[count, n, m])?.take(indices, 0),
            None => Ok(matrices.clone()),
        };
        let a = chosen(self, count(OP, a_batch)?, [*rows, *inner], lhs)?;
        let b = chosen(other, count(OP, b_batch)?, [*depth, *columns], rhs)?;
        a.matmul(&b)
    }
}

/// How many matrices the leading axes hold.
pub(super) fn count(op: &'static str, batch: &[i32]) -> Result<i32> {
    batch
        .iter()
        .try_fold(1i32, |count, &dim| count.checked_mul(dim))
        .ok_or_else(|| Error::shape(op, format!("{batch:?} are more matrices than an index can count")))
}

/// `alpha · a · b + beta · c`, where `c` broadcasts to the product.
///
/// - shape: `c` `[.., N, M]`, `a` `[.., N, K]`, `b` `[.., K, M]` → `[.., N, M]`
/// - dtype: floating or complex, the common one of all three; `c` is not read when `beta` is 0
/// - source: `mlx_addmm`
///
/// # Errors
/// [`Error::Mlx`] when the shapes do not fit or the dtypes are integer.
pub fn addmm(c: &Array, a: &Array, b: &Array, alpha: f32, beta: f32) -> Result<Array> {
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_addmm(c.as_raw(), a.as_raw(), b.as_raw(), alpha, beta, stream())) }
}

/// The inner product over the last axis of both; with a scalar, the ordinary product.
///
/// - shape: `[A.., K]`, `[B.., K]` → `[A.., B..]`
/// - dtype: floating or complex, the common one of both
/// - source: `mlx_inner`
///
/// # Errors
/// [`Error::Mlx`] when the last lengths differ.
pub fn inner(a: &Array, b: &Array) -> Result<Array> {
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_inner(a.as_raw(), b.as_raw(), stream())) }
}

/// Every product of an element of `a` with one of `b`, both flattened.
///
/// - shape: N elements, M elements → `[N, M]`
/// - dtype: any, the common one of both
/// - source: `mlx_outer`
///
/// # Errors
/// [`Error::Shape`] when an operand has more elements than an axis can be long.
pub fn outer(a: &Array, b: &Array) -> Result<Array> {
    for operand in [a, b] {
        if i32::try_from(operand.size()).is_err() {
            let message = format!("{} elements are too many for one axis", operand.size());
            return Err(Error::shape("outer", message));
        }
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_outer(a.as_raw(), b.as_raw(), stream())) }
}

/// The Kronecker product: each element of `a` times the whole of `b`.
///
/// - shape: `[A, ..]`, `[B, ..]` → `[A · B, ..]`, the shorter shape with ones before it
/// - dtype: any, the common one of both
/// - source: `mlx_kron`
///
/// # Errors
/// [`Error::Mlx`] when an operand is empty, [`Error::Shape`] when an axis of the result would be too long.
pub fn kron(a: &Array, b: &Array) -> Result<Array> {
    let pairs = a.shape().iter().rev().zip(b.shape().iter().rev());
    if pairs.into_iter().any(|(m, n)| m.checked_mul(*n).is_none()) {
        let message =
            format!("the product of {:?} and {:?} has an axis that is too long", a.shape(), b.shape());
        return Err(Error::shape("kron", message));
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_kron(a.as_raw(), b.as_raw(), stream())) }
}

/// The sum of products over pairs of axes, `axes_a[i]` with `axes_b[i]`; with none, the outer product.
///
/// - shape: the axes of `a` that are left, then those of `b`
/// - dtype: floating or complex, the common one of both
/// - source: `mlx_tensordot`
///
/// # Errors
/// [`Error::Argument`] when an axis is out of range or named twice, [`Error::Shape`] when the two lists or the lengths
/// of a pair differ.
pub fn tensordot(a: &Array, b: &Array, axes_a: &[i32], axes_b: &[i32]) -> Result<Array> {
    const OP: &str = "tensordot";
    let resolve = |array: &Array, argument: &'static str, axes: &[i32]| -> Result<Vec<(i32, i32)>> {
        let mut resolved: Vec<(i32, i32)> = Vec::with_capacity(axes.len());
        for &axis in axes {
            let found = array.axis(OP, axis)?;
            if resolved.contains(&found) {
                return Err(Error::argument(OP, argument, format!("axis {axis} is named twice")));
            }
            resolved.push(found);
        }
        Ok(resolved)
    };
    let (from_a, from_b) = (resolve(a, "axes_a", axes_a)?, resolve(b, "axes_b", axes_b)?);
    let lengths = |axes: &[(i32, i32)]| axes.iter().map(|&(_, size)| size).collect::<Vec<_>>();
    if lengths(&from_a) != lengths(&from_b) {
        let message = format!(
            "axes {axes_a:?} of {:?} and {axes_b:?} of {:?} do not have the same lengths",
            a.shape(),
            b.shape()
        );
        return Err(Error::shape(OP, message));
    }
    let axes = |axes: &[(i32, i32)]| axes.iter().map(|&(axis, _)| axis).collect::<Vec<_>>();
    let (axes_a, axes_b) = (axes(&from_a), axes(&from_b));
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_tensordot(
                a.as_raw(),
                b.as_raw(),
                axes_a.as_ptr(),
                axes_a.len(),
                axes_b.as_ptr(),
                axes_b.len(),
                stream(),
            )
        )
    }
}

/// Einstein summation: `"ij,jk->ik"` is a matrix product. Without `->` the letters that occur once make up the result.
///
/// - shape: as the subscripts say; `...` stands for any axes
/// - dtype: floating or complex where axes are summed over between operands, the common one
/// - source: `mlx_einsum`
///
/// # Errors
/// [`Error::Mlx`] when the subscripts are malformed or do not fit the operands, [`Error::Argument`] when they hold a
/// NUL byte.
pub fn einsum<'a>(subscripts: &str, operands: impl IntoIterator<Item = &'a Array>) -> Result<Array> {
    let subscripts = c_string("einsum", "subscripts", subscripts)?;
    let operands = VectorArray::from_arrays(operands)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_einsum(subscripts.as_ptr(), operands.as_raw(), stream())) }
}
