// SPDX-License-Identifier: EUPL-1.2
//! Products with packed weights, in either layout.

use std::ffi::CStr;

use mlx_cpu::Isa;
use mlx_cpu::gemm::{self, Out, Part};

use super::project::Held;
use super::view::{Matrix, rows_mut, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Spec, View, apply_raw};
use crate::error::{Error, Result};
use crate::{Array, QuantMode, Quantization};

/// `x · W`, or `x · Wᵀ` when `transpose`, with `n` results a row; nothing where MLX shall see to it. The shapes fit.
pub(crate) fn quantized_matmul(
    x: &Array,
    [weight, scales]: [&Array; 2],
    biases: Option<&Array>,
    transpose: bool,
    format: Quantization,
    n: i32,
) -> Option<Result<Array>> {
    let dtype = x.dtype();
    let affine = format.mode == QuantMode::Affine;
    let served = is_native(dtype)
        && weight.ndim() == 2
        && (!affine || scales.dtype() == dtype)
        && biases.is_none_or(|biases| biases.dtype() == dtype);
    if !served || !enabled() {
        return None;
    }
    let (_, outer) = x.shape().split_last()?;
    let shape = [outer, &[n]].concat();
    let inputs: Vec<&Array> = [x, weight, scales].into_iter().chain(biases).collect();
    let node = Node(QuantizedMatmul { transpose, format });
    Some(apply_raw(node, &inputs, [Spec::new(&shape, dtype)]).map(|[product]| product))
}

/// Inputs: `x`, words, scales and, for affine, biases.
#[derive(Clone)]
struct QuantizedMatmul {
    transpose: bool,
    format: Quantization,
}

impl Fused for QuantizedMatmul {
    const NAME: &'static CStr = c"quantized_matmul";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [x, ..] = inputs else { return Ok(()) };
        with_element!(x.dtype(), "quantized_matmul", compute::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [x, weight, scales, rest @ ..] = inputs else {
            return Err(Error::shape("quantized_matmul", "an input is missing"));
        };
        Ok(vec![x.plain_quantized_matmul(weight, scales, rest.first(), self.transpose, self.format)?])
    }

    /// `∂x` is the product of `∂y` with the same weights in the other layout.
    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let ([_, weight, scales, rest @ ..], [y], [0]) = (primals, cotangents, argnums) else {
            let (function, chosen) = self.function_of(primals, argnums);
            return Ok(crate::transform::vjp(function, &chosen, cotangents)?.1);
        };
        Ok(vec![y.quantized_matmul(weight, scales, rest.first(), !self.transpose, self.format)?])
    }

    /// One more axis in front of `x`, where the weights are one matrix for all.
    fn vmap(&self, inputs: &[Array], axes: &[Option<usize>]) -> Result<(Vec<Array>, usize)> {
        match (inputs, axes) {
            ([x, weight, scales, rest @ ..], [Some(axis), others @ ..])
                if weight.ndim() == 2 && others.iter().all(Option::is_none) =>
            {
                let x = x.move_axis(i32::try_from(*axis).unwrap_or(0), 0)?;
                let product =
                    x.quantized_matmul(weight, scales, rest.first(), self.transpose, self.format)?;
                Ok((vec![product], 0))
            }
            _ => Err(Error::Mlx {
                op: "quantized_matmul",
                message: "cannot be mapped over quantised weights".to_owned(),
            }),
        }
    }
}

fn compute<T: mlx_cpu::Element>(
    op: &QuantizedMatmul,
    inputs: &[View<'_>],
    outputs: &mut [View<'_>],
) -> Result<()> {
    let ([x, packed @ ..], [out]) = (inputs, outputs) else { return Ok(()) };
    let x = Matrix::<T>::of(x)?;
    let held = Held::<T>::packed(op.format, &mut packed.iter())?;
    let weight = match (held.lend()?, op.transpose) {
        (gemm::Weight::Packed(matrix), false) => gemm::Weight::PackedColumns(matrix),
        (weight, _) => weight,
    };
    let part = Part { weight, bias: None, gate: None, norm: None, add: None, out: Out::Same(rows_mut(out)?) };
    Ok(gemm::project(Isa::current(), x.rows()?, None, &[part])?)
}
