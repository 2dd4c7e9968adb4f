// SPDX-License-Identifier: EUPL-1.2
//! Matrix products.
//!
//! The right operand of a product is mostly a matrix of weights, transposed: then its columns are contiguous, and the
//! kernel reads them as they lie. A plain one is transposed a block at a time.

use std::ffi::CStr;

use mlx_cpu::Isa;
use mlx_cpu::gemm::{Out, Part, Weight, project};
use mlx_cpu::{Rows, RowsMut};

use super::view::{Matrix, elements_mut, length, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Spec, View, apply_raw};
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, Dtype};

/// `a · b` through our kernels, or nothing where MLX shall see to it, errors included.
pub(crate) fn matmul(a: &Array, b: &Array) -> Option<Result<Array>> {
    let dtype = a.dtype();
    if !is_native(dtype) || b.dtype() != dtype || !enabled() {
        return None;
    }
    let ([a_batch @ .., m, k], [b_batch @ .., depth, n]) = (a.shape(), b.shape()) else { return None };
    if k != depth || a.size() == 0 || b.size() == 0 {
        return None;
    }
    // Plain weights: rows of all batches are rows of one product.
    if b_batch.is_empty() {
        let shape = [a_batch, &[*m, *n]].concat();
        return Some(apply(a, b, &shape, dtype));
    }
    let batch = broadcast(a_batch, b_batch)?;
    let shape = [&batch[..], &[*m, *n]].concat();
    let widen = |array: &Array, from: &[i32], tail: [i32; 2]| match from == batch {
        true => Ok(array.clone()),
        false => array.broadcast_to(&[&batch[..], &tail].concat()),
    };
    Some(widen(a, a_batch, [*m, *k]).and_then(|a| {
        let b = widen(b, b_batch, [*k, *n])?;
        apply(&a, &b, &shape, dtype)
    }))
}

fn apply(a: &Array, b: &Array, shape: &[i32], dtype: Dtype) -> Result<Array> {
    apply_raw(Node(Matmul), &[a, b], [Spec::new(shape, dtype)]).map(|[product]| product)
}

/// The shape that two broadcast to.
pub(super) fn broadcast(a: &[i32], b: &[i32]) -> Option<Vec<i32>> {
    let ndim = a.len().max(b.len());
    let at = |shape: &[i32], i: usize| {
        (i + shape.len()).checked_sub(ndim).and_then(|i| shape.get(i)).copied().unwrap_or(1)
    };
    (0..ndim)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

#[derive(Clone)]
struct Matmul;

impl Fused for Matmul {
    const NAME: &'static CStr = c"matmul";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let ([a, b], [out]) = (inputs, outputs) else { return Ok(()) };
        with_element!(a.dtype(), "matmul", products::<_>(a, b, out))
    }

    /// MLX's own, whose gradient is made of products that come back here.
    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [a, b] = inputs else { return Ok(Vec::new()) };
        // SAFETY: op contract.
        let product = unsafe { call!(Array = mlx_matmul(a.as_raw(), b.as_raw(), crate::device::stream())) };
        Ok(vec![product?])
    }

    /// `∂a = ∂y · bᵀ` and `∂b = aᵀ · ∂y`.
    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let ([a, b], [y]) = (primals, cotangents) else { return Ok(Vec::new()) };
        let flat = |array: &Array| match (array.shape(), b.ndim()) {
            ([.., columns], 2) => array.reshape(&[-1, *columns]),
            _ => Ok(array.clone()),
        };
        argnums
            .iter()
            .map(|&i| match i {
                0 => y.matmul(&b.swap_axes(-1, -2)?),
                _ => flat(a)?.swap_axes(-1, -2)?.matmul(&flat(y)?),
            })
            .collect()
    }

    /// One more axis in front of the batch.
    fn vmap(&self, inputs: &[Array], axes: &[Option<usize>]) -> Result<(Vec<Array>, usize)> {
        let ([a, b], [a_axis, b_axis]) = (inputs, axes) else { return Ok((Vec::new(), 0)) };
        let single = |x: &Array, axis: &Option<usize>| x.ndim() - usize::from(axis.is_some());
        let ndim = single(a, a_axis).max(single(b, b_axis));
        let in_front = |x: &Array, axis: &Option<usize>| -> Result<Array> {
            let Some(axis) = *axis else { return Ok(x.clone()) };
            let x = x.move_axis(i32::try_from(axis).unwrap_or(0), 0)?;
            let mut shape = x.shape().to_vec();
            while shape.len() <= ndim {
                shape.insert(1, 1);
            }
            x.reshape(&shape)
        };
        Ok((vec![in_front(a, a_axis)?.matmul(&in_front(b, b_axis)?)?], 0))
    }
}

/// The matrix on the right of a product, and whether its columns are the outputs: its columns are contiguous, or its rows
/// are, or it is copied.
pub(super) fn right<'a, T: Copy>(b: &View<'a>) -> Result<(Matrix<'a, T>, bool)> {
    let (&[k, n], &[row, column]) = (b.shape(), b.strides()) else {
        return Err(Error::shape("matmul", format!("expected two axes, found {:?}", b.shape())));
    };
    if row == 1 || k == 1 {
        return Ok((Matrix::with(b, 0, &[n], &[column], k, 1)?, false));
    }
    Ok((Matrix::with(b, 0, &[k], &[row], n, column)?, true))
}

/// Every product of a batch.
fn products<T: mlx_cpu::Element>(a: &View<'_>, b: &View<'_>, out: &mut View<'_>) -> Result<()> {
    let isa = Isa::current();
    let ([a_batch @ .., m, k], [b_batch @ .., _, n]) = (a.shape(), b.shape()) else { return Ok(()) };
    let ([a_outer @ .., a_row, a_step], [b_outer @ .., b_row, b_column]) = (a.strides(), b.strides()) else {
        return Ok(());
    };
    let (m, n) = (*m, *n);
    let results = elements_mut::<T>(out);
    let weight = |offset: i64| -> Result<(Matrix<'_, T>, bool)> {
        // Either its columns are contiguous, or its rows are, or it is copied.
        if *b_row == 1 || *k == 1 {
            return Ok((Matrix::with(b, offset, &[n], &[*b_column], *k, 1)?, false));
        }
        Ok((Matrix::with(b, offset, &[*k], &[*b_row], n, *b_column)?, true))
    };
    let one = |x: Rows<'_, T>, weight: &(Matrix<'_, T>, bool), results: &mut [T]| -> Result<()> {
        let rows = weight.0.rows()?;
        let weight = if weight.1 { Weight::Columns(rows) } else { Weight::Rows(rows) };
        let out = Out::Same(RowsMut::new(results, x.rows(), length(n), length(n))?);
        Ok(project(isa, x, None, &[Part { weight, bias: None, gate: None, norm: None, add: None, out }])?)
    };
    if b_batch.is_empty() {
        let outer = [a_batch, &[m]].concat();
        let strides = [a_outer, &[*a_row]].concat();
        let x = Matrix::with(a, 0, &outer, &strides, *k, *a_step)?;
        return one(x.rows()?, &weight(0)?, results);
    }
    // The batches have the same shape.
    let mut index = vec![0i32; a_batch.len()];
    let (mut at_a, mut at_b) = (0, 0);
    for results in results.chunks_exact_mut((length(m) * length(n)).max(1)) {
        let x = Matrix::with(a, at_a, &[m], &[*a_row], *k, *a_step)?;
        one(x.rows()?, &weight(at_b)?, results)?;
        for (axis, i) in index.iter_mut().enumerate().rev() {
            *i += 1;
            at_a += a_outer[axis];
            at_b += b_outer[axis];
            if *i < a_batch[axis] {
                break;
            }
            at_a -= a_outer[axis] * i64::from(a_batch[axis]);
            at_b -= b_outer[axis] * i64::from(a_batch[axis]);
            *i = 0;
        }
    }
    Ok(())
}
