// SPDX-License-Identifier: EUPL-1.2
//! Weights in few bits, made here and of whatever there is.

use mlx_core::{
    Array, Dtype, GlobalScales, QqmmWeight, QuantMode, Quantization, Quantized, Result, dequantize,
    dequantize_scaled,
};

use super::{Bytes, one, perhaps, pick};

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let format = format(bytes);
    match bytes.below(10) {
        0 => pick(bytes, made).quantize(format).map(parts),
        1 => one(pick(bytes, made).quantized_matmul(
            pick(bytes, made),
            pick(bytes, made),
            perhaps(bytes, made),
            bytes.flag(),
            format,
        )),
        2 => {
            let dtype = bytes.flag().then(|| bytes.dtype());
            one(dequantize(pick(bytes, made), pick(bytes, made), perhaps(bytes, made), format, dtype))
        }
        3 | 4 => {
            let weight = matrix(bytes, format)?.quantize(format)?;
            let (x, transpose) = (matrix(bytes, format)?, bytes.flag());
            let biases = weight.biases.as_ref();
            let product = x.quantized_matmul(&weight.weight, &weight.scales, biases, transpose, format)?;
            let back = dequantize(&weight.weight, &weight.scales, biases, format, None)?;
            Ok(vec![product, back])
        }
        5 => {
            let weight = matrix(bytes, format)?.quantize(format)?;
            let (x, transpose) = (matrix(bytes, format)?, bytes.flag());
            let (left, right) = (perhaps(bytes, made), perhaps(bytes, made));
            let (packed, scales, biases) = (&weight.weight, &weight.scales, weight.biases.as_ref());
            one(x.gather_qmm(packed, scales, biases, left, right, transpose, format, bytes.flag()))
        }
        6 => {
            let dense = matrix(bytes, format)?;
            let packed = if bytes.flag() { Some(dense.quantize(format)?) } else { None };
            let global = pick(bytes, made);
            let global = bytes.flag().then_some(GlobalScales { x: global, weight: global });
            one(matrix(bytes, format)?.qqmm(weight(&dense, packed.as_ref()), format, global))
        }
        7 => {
            let dense = matrix(bytes, format)?;
            let packed = if bytes.flag() { Some(dense.quantize(format)?) } else { None };
            let (left, right) = (perhaps(bytes, made), perhaps(bytes, made));
            let x = matrix(bytes, format)?;
            one(x.gather_qqmm(weight(&dense, packed.as_ref()), left, right, format, None, bytes.flag()))
        }
        8 => {
            let global = pick(bytes, made);
            let packed = matrix(bytes, Quantization::of(QuantMode::Nvfp4))?.quantize_scaled(global)?;
            one(dequantize_scaled(&packed.weight, &packed.scales, global, None))
        }
        _ => one(dequantize_scaled(
            pick(bytes, made),
            pick(bytes, made),
            pick(bytes, made),
            bytes.flag().then(|| bytes.dtype()),
        )),
    }
}

fn format(bytes: &mut Bytes<'_>) -> Quantization {
    let mode = QuantMode::ALL[usize::from(bytes.below(4))];
    match bytes.byte() {
        // One that there is, mostly.
        byte @ 0..=223 => {
            let (sizes, bits) = (mode.group_sizes(), mode.bits());
            let byte = usize::from(byte);
            Quantization { mode, group_size: sizes[byte % sizes.len()], bits: bits[byte / 8 % bits.len()] }
        }
        _ => Quantization { mode, group_size: bytes.int(), bits: bytes.int() },
    }
}

/// A few rows of whole groups, or nearly, perhaps in a batch and perhaps in another layout.
fn matrix(bytes: &mut Bytes<'_>, format: Quantization) -> Result<Array> {
    let group = format.group_size.clamp(1, 128);
    let columns = i32::from(bytes.below(4)) * group + if bytes.below(8) == 7 { 1 } else { 0 };
    let rows = if bytes.flag() { group } else { i32::from(bytes.below(5)) };
    let batch = i32::from(bytes.below(3));
    let shape = if batch == 0 { vec![rows, columns] } else { vec![batch, rows, columns] };
    let count: i32 = shape.iter().product();
    let step = bytes.float() / 16.0;
    let values: Vec<f32> = (0..count).map(|i| ((f64::from(i % 37) - 18.0) * step) as f32).collect();
    let dtype = [Dtype::Float32, Dtype::Float16, Dtype::Bfloat16, bytes.dtype()];
    let array = Array::from_slice(&values, &shape)?.astype(dtype[usize::from(bytes.below(4))])?;
    match bytes.below(4) {
        1 => array.flip(-1),
        2 => array.swap_axes(-1, -2)?.contiguous()?.swap_axes(-1, -2),
        _ => Ok(array),
    }
}

fn weight<'a>(dense: &'a Array, packed: Option<&'a Quantized>) -> QqmmWeight<'a> {
    match packed {
        Some(Quantized { weight, scales, .. }) => QqmmWeight::Packed { weight, scales },
        None => QqmmWeight::Dense(dense),
    }
}

fn parts(quantized: Quantized) -> Vec<Array> {
    [quantized.weight, quantized.scales].into_iter().chain(quantized.biases).collect()
}
