// SPDX-License-Identifier: EUPL-1.2
//! The calls of `generate_quant.py`.

use mlx_core::{
    Array, GlobalScales, QqmmWeight, QuantMode, Quantization, Quantized, Result, dequantize,
    dequantize_scaled,
};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let one = |array: Result<Array>| array.map(|array| vec![array]);
    let listed = |q: Quantized| [q.weight, q.scales].into_iter().chain(q.biases).collect();
    match op {
        "quantize" => x[0].quantize(format(p)).map(listed),
        "dequantize" => {
            let w = x[0].quantize(format(p))?;
            let dtype = p.has("dtype").then(|| p.dtype("dtype"));
            one(dequantize(&w.weight, &w.scales, w.biases.as_ref(), format(p), dtype))
        }
        "matmul" => {
            let w = x[1].stop_gradient()?.quantize(format(p))?;
            let biases = w.biases.as_ref();
            one(x[0].quantized_matmul(&w.weight, &w.scales, biases, p.flag("transpose"), format(p)))
        }
        "gather" => {
            let w = x[1].stop_gradient()?.quantize(format(p))?;
            let indices = x[2..].iter().map(Array::stop_gradient).collect::<Result<Vec<_>>>()?;
            let mut indices = indices.iter();
            let lhs = if p.flag("lhs") { indices.next() } else { None };
            let rhs = if p.flag("rhs") { indices.next() } else { None };
            let (biases, transpose) = (w.biases.as_ref(), p.flag("transpose"));
            one(x[0].gather_qmm(&w.weight, &w.scales, biases, lhs, rhs, transpose, format(p), false))
        }
        "quantize_scaled" => x[0].quantize_scaled(&x[1]).map(listed),
        "dequantize_scaled" => {
            let w = x[0].quantize_scaled(&x[1])?;
            one(dequantize_scaled(&w.weight, &w.scales, &x[1], Some(p.dtype("dtype"))))
        }
        "qqmm" | "gather_qqmm" => {
            let (chosen, global) = match (op, &x[2..]) {
                ("qqmm", []) => (None, None),
                ("qqmm", [x, weight]) => (None, Some(GlobalScales { x, weight })),
                (_, [chosen]) => (Some(chosen), None),
                (_, [chosen, x, weight]) => (Some(chosen), Some(GlobalScales { x, weight })),
                other => panic!("{other:?}"),
            };
            let packed = x[1].quantize(format(p))?;
            let weight = if p.flag("dense") {
                QqmmWeight::Dense(&x[1])
            } else {
                QqmmWeight::Packed { weight: &packed.weight, scales: &packed.scales }
            };
            one(match op {
                "qqmm" => x[0].qqmm(weight, format(p), global),
                _ => x[0].gather_qqmm(weight, None, chosen, format(p), global, false),
            })
        }
        other => panic!("no op {other}"),
    }
}

fn format(p: &Params) -> Quantization {
    let mode: QuantMode = p.text("mode").parse().unwrap();
    Quantization { group_size: p.int("group_size"), bits: p.int("bits"), mode }
}
