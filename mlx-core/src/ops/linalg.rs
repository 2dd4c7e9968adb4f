// SPDX-License-Identifier: EUPL-1.2
//! Products of vectors, matrices and tensors.

use super::gather::Bounds;
use super::{opt, optional_float};
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
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    /// assert_eq!(a.vecdot(&a, -1)?.to_vec::<f32>()?, [5.0, 25.0]);
    /// # Ok(()) }
    /// ```
    pub fn vecdot(&self, other: &Array, axis: i32) -> Result<Array> {
        // SAFETY: op contract.
        let products = unsafe { call!(Array = mlx_vecdot(self.as_raw(), other.as_raw(), axis, stream())) }?;
        sums_of(products, [self, other])
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
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    /// let x = Array::from_slice(&[1.0f32, 2.0, 3.0], &[3, 1, 1])?;
    /// let experts = Array::from_slice(&[10.0f32, 100.0], &[2, 1, 1])?;
    /// let chosen = Array::from_slice(&[1u32, 0, 1], &[3])?;
    /// let y = x.gather_mm(&experts, None, Some(&chosen), false)?;
    /// assert_eq!(y.to_vec::<f32>()?, [100.0, 20.0, 300.0]);
    /// # Ok(()) }
    /// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, addmm};
/// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// let bias = Array::from_slice(&[1.0f32, -1.0], &[2])?;
/// assert_eq!(addmm(&bias, &a, &a, 1.0, 10.0)?.to_vec::<f32>()?, [17.0, 0.0, 25.0, 12.0]);
/// # Ok(()) }
/// ```
pub fn addmm(c: &Array, a: &Array, b: &Array, alpha: f32, beta: f32) -> Result<Array> {
    if a.size() == 0 || b.size() == 0 {
        // The library cannot reshape some of these.
        let (product, c) = ((&a.matmul(b)? * alpha)?, (c * beta)?);
        let sum = (&product + &c)?;
        if sum.shape() != product.shape() {
            let message = format!("{:?} does not broadcast to {:?}", c.shape(), product.shape());
            return Err(Error::shape("addmm", message));
        }
        return if beta == 0.0 { product.astype(sum.dtype()) } else { Ok(sum) };
    }
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, inner};
/// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// assert_eq!(inner(&a, &a)?.to_vec::<f32>()?, [5.0, 11.0, 11.0, 25.0]);
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, outer};
/// let a = Array::from_slice(&[1i32, 2], &[2])?;
/// assert_eq!(outer(&a, &a)?.to_vec::<i32>()?, [1, 2, 2, 4]);
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, kron};
/// let a = Array::from_slice(&[1i32, 10], &[2])?;
/// let b = Array::from_slice(&[1i32, 2, 3], &[3])?;
/// assert_eq!(kron(&a, &b)?.to_vec::<i32>()?, [1, 2, 3, 10, 20, 30]);
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, tensordot};
/// let a = Array::ones(&[2, 3, 4], Dtype::Float32)?;
/// let b = Array::ones(&[4, 5, 3], Dtype::Float32)?;
/// let c = tensordot(&a, &b, &[1, 2], &[2, 0])?;
/// assert_eq!((c.shape(), c.max_all()?.item::<f32>()?), (&[2, 5][..], 12.0));
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, einsum};
/// let a = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// assert_eq!(einsum("ij,jk->ik", [&a, &a])?.to_vec::<f32>()?, [7.0, 10.0, 15.0, 22.0]);
/// assert_eq!(einsum("ii", [&a])?.item::<f32>()?, 5.0);
/// # Ok(()) }
/// ```
pub fn einsum<'a>(subscripts: &str, operands: impl IntoIterator<Item = &'a Array>) -> Result<Array> {
    let subscripts = c_string("einsum", "subscripts", subscripts)?;
    let operands: Vec<&Array> = operands.into_iter().collect();
    let list = VectorArray::from_arrays(operands.iter().copied())?;
    // SAFETY: op contract.
    let result = unsafe { call!(Array = mlx_einsum(subscripts.as_ptr(), list.as_raw(), stream())) }?;
    sums_of(result, operands)
}

/// What sums of products of `operands` are: `result`, unless an operand has no elements. Then they are zeros, and `result`
/// told their shape: the processor's reductions never return from some empty arrays that are not in row-major order.
fn sums_of<'a>(result: Array, operands: impl IntoIterator<Item = &'a Array>) -> Result<Array> {
    match operands.into_iter().any(|operand| operand.size() == 0) {
        true => Array::zeros(result.shape(), result.dtype()),
        false => Ok(result),
    }
}

impl Array {
    /// The Walsh–Hadamard transform of the last axis: its product with a matrix of ±1 whose rows are orthogonal.
    ///
    /// - `scale`: what the result is multiplied by; `None` for `1 / √N`, which makes the transform orthonormal
    /// - shape: kept; the last axis has N = m · 2ᵏ elements, where m is 1, 12, 20 or 28
    /// - dtype: float16, bfloat16 or float32, kept; integers and bool → float32
    /// - source: `mlx_hadamard_transform`
    ///
    /// # Errors
    /// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the length is another one or there is no
    /// axis.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let x = mlx_core::Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[4])?;
    /// assert_eq!(x.hadamard_transform(Some(1.0))?.to_vec::<f32>()?, [10.0, -2.0, -4.0, 0.0]);
    /// # Ok(()) }
    /// ```
    pub fn hadamard_transform(&self, scale: Option<f32>) -> Result<Array> {
        const OP: &str = "hadamard_transform";
        let dtype = self.dtype();
        if matches!(dtype, Dtype::Float64 | Dtype::Complex64) {
            let message = format!("expected float16, bfloat16, float32 or integers, found {dtype}");
            return Err(Error::argument(OP, "x", message));
        }
        let odd = self.shape().last().map(|&n| n >> n.trailing_zeros().min(31));
        let halvings = self.shape().last().map_or(0, |n| n.trailing_zeros());
        if !(odd == Some(1) || matches!(odd, Some(3 | 5 | 7)) && halvings >= 2) {
            let message =
                format!("expected a last axis of m · 2^k, m one of 1, 12, 20, 28, found {:?}", self.shape());
            return Err(Error::shape(OP, message));
        }
        if self.size() == 0 {
            let kept = if dtype.is_float() { dtype } else { Dtype::Float32 };
            return Array::zeros(self.shape(), kept);
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_hadamard_transform(self.as_raw(), optional_float(scale), stream())) }
    }
}

/// Which blocks [`block_masked_mm`] reads and writes.
#[derive(Clone, Copy, Debug)]
pub struct BlockMasks<'a> {
    /// The length of a block's sides: 32 or 64, which is the default.
    pub block_size: i32,
    /// A factor for each block of the result.
    pub out: Option<&'a Array>,
    /// A factor for each block of the left operand.
    pub lhs: Option<&'a Array>,
    /// A factor for each block of the right operand.
    pub rhs: Option<&'a Array>,
}

impl Default for BlockMasks<'_> {
    fn default() -> Self {
        Self { block_size: 64, out: None, lhs: None, rhs: None }
    }
}

/// The matrix product of blocks: each block of an operand or of the result is multiplied by a factor, and skipped where a
/// bool one is false.
///
/// - shape: `[.., N, K] · [.., K, M]` → `[.., N, M]`; masks have one value for each block, one that is not whole included:
///   `[.., ⌈N / block⌉, ⌈M / block⌉]` for the result, or what broadcasts to that
/// - dtype: floating, the common one of both; float64 is refused; masks bool, or floating, whose values are factors
/// - source: `mlx_block_masked_mm`
///
/// On the CPU, half precision is computed in float32.
///
/// # Errors
/// [`Error::Argument`] when the block size or a dtype is another one, [`Error::Shape`] when an operand has fewer than two
/// axes, [`Error::Mlx`] when the shapes do not fit.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, BlockMasks, Dtype, block_masked_mm};
/// let a = Array::ones(&[64, 32], Dtype::Float32)?;
/// let keep = Array::from_slice(&[true, false], &[2, 1])?;
/// let masks = BlockMasks { block_size: 32, out: Some(&keep), ..Default::default() };
/// let c = block_masked_mm(&a, &a.slice(&[0, 0], &[32, 32])?, &masks)?;
/// assert_eq!(c.sum_all()?.item::<f32>()?, 32.0 * 32.0 * 32.0);
/// # Ok(()) }
/// ```
pub fn block_masked_mm(a: &Array, b: &Array, masks: &BlockMasks<'_>) -> Result<Array> {
    const OP: &str = "block_masked_mm";
    let &BlockMasks { block_size, out, lhs, rhs } = masks;
    if ![32, 64].contains(&block_size) {
        let message = format!("expected 32 or 64, found {block_size}");
        return Err(Error::argument(OP, "block_size", message));
    }
    for (argument, operand) in [("a", a), ("b", b)] {
        if !operand.dtype().is_float() || operand.dtype() == Dtype::Float64 {
            let message = format!("expected float16, bfloat16 or float32, found {}", operand.dtype());
            return Err(Error::argument(OP, argument, message));
        }
        if operand.ndim() < 2 {
            let message = format!("expected two axes or more, found shape {:?}", operand.shape());
            return Err(Error::shape(OP, message));
        }
    }
    for (argument, mask) in [("out", out), ("lhs", lhs), ("rhs", rhs)] {
        if let Some(dtype) = mask.map(Array::dtype)
            && dtype != Dtype::Bool
            && (!dtype.is_float() || dtype == Dtype::Float64)
        {
            let message = format!("expected bool, float16, bfloat16 or float32, found {dtype}");
            return Err(Error::argument(OP, argument, message));
        }
    }
    let product = |a: &Array, b: &Array| {
        // SAFETY: op contract.
        unsafe {
            call!(
                Array = mlx_block_masked_mm(
                    a.as_raw(),
                    b.as_raw(),
                    block_size,
                    opt(out),
                    opt(lhs),
                    opt(rhs),
                    stream(),
                )
            )
        }
    };
    if !on_cpu() || (a.dtype() == Dtype::Float32 && b.dtype() == Dtype::Float32) {
        return product(a, b);
    }
    let common = if a.dtype() == b.dtype() { a.dtype() } else { Dtype::Float32 };
    product(&a.astype(Dtype::Float32)?, &b.astype(Dtype::Float32)?)?.astype(common)
}

/// A product for each run of the inner axis: result `i` is `a[:, start:end] · b[start:end]`.
///
/// Ends that are known are checked; those still to be computed are clamped into the range, as [`Array::take`] says. A run
/// that ends before it starts is empty, and its product 0.
///
/// - `segments`: integers `[.., 2]`, the start and the end of each run
/// - shape: `[N, K] · [K, M]` → `[.., N, M]`
/// - dtype: floating, the common one of both
/// - source: `mlx_segmented_mm`
///
/// There is no gradient.
///
/// # Errors
/// [`Error::Index`] when a known end is outside `0 ..= K`, [`Error::Argument`] when segments are not integers,
/// [`Error::Shape`] when they are not pairs or an operand has not two axes, [`Error::Mlx`] when the inner lengths differ.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, segmented_mm};
/// let a = Array::from_slice(&[1.0f32, 2.0, 3.0], &[1, 3])?;
/// let b = Array::from_slice(&[1.0f32, 10.0, 100.0], &[3, 1])?;
/// let segments = Array::from_slice(&[0u32, 1, 1, 3], &[2, 2])?;
/// assert_eq!(segmented_mm(&a, &b, &segments)?.to_vec::<f32>()?, [1.0, 320.0]);
/// # Ok(()) }
/// ```
pub fn segmented_mm(a: &Array, b: &Array, segments: &Array) -> Result<Array> {
    const OP: &str = "segmented_mm";
    let (&[_, inner], &[depth, _]) = (a.shape(), b.shape()) else {
        let message = format!("expected two axes each, found {:?} and {:?}", a.shape(), b.shape());
        return Err(Error::shape(OP, message));
    };
    if inner != depth || inner == i32::MAX {
        let message = format!("inner lengths of {:?} and {:?} do not fit", a.shape(), b.shape());
        return Err(Error::shape(OP, message));
    }
    if segments.shape().last() != Some(&2) {
        let message = format!("expected segments of shape [.., 2], found {:?}", segments.shape());
        return Err(Error::shape(OP, message));
    }
    // An end may be one behind the last place.
    let segments = Bounds::from_front(OP, "segments", inner + 1).apply(segments)?.astype(Dtype::Uint32)?;
    let last = Array::scalar(1u32)?;
    let first = Array::scalar(0u32)?;
    let (start, end) = (segments.take(&first, -1)?, segments.take(&last, -1)?);
    let segments = super::stack(&[&start, &start.maximum(&end)?], -1)?;
    // SAFETY: op contract. Each run lies within the inner axis.
    let result =
        unsafe { call!(Array = mlx_segmented_mm(a.as_raw(), b.as_raw(), segments.as_raw(), stream())) }?;
    sums_of(result, [a, b, &segments])
}

/// Indices that choose among `size` places counted from the front: known ones are checked, others are clamped.
pub(crate) fn class_indices(
    op: &'static str,
    argument: &'static str,
    size: i32,
    indices: &Array,
) -> Result<Array> {
    Bounds::from_front(op, argument, size).apply(indices)
}
