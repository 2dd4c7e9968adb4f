// SPDX-License-Identifier: EUPL-1.2
//! Products with weights of every kind.

use super::*;

#[test]
fn matmul_agrees_with_float64() {
    for (a, b) in [
        (&[3, 5][..], &[5, 7][..]),
        (&[1, 64], &[64, 33]),
        (&[37, 129], &[129, 65]),
        (&[2, 1, 3, 33], &[4, 33, 17]),
        (&[2, 3, 16], &[16, 9]),
        (&[3, 1], &[1, 4]),
        (&[2, 4, 8], &[2, 8, 1]),
    ] {
        check(&format!("{a:?} {b:?}"), &drawn(&[a, b]), |x| Ok(vec![x[0].matmul(&x[1])?]));
        let swapped = [&b[..b.len() - 2], &[b[b.len() - 1], b[b.len() - 2]]].concat();
        check(&format!("{a:?} {swapped:?}ᵀ"), &drawn(&[a, &swapped]), |x| {
            Ok(vec![x[0].matmul(&x[1].swap_axes(-1, -2)?)?])
        });
    }
}

#[test]
fn a_broadcast_operand_is_multiplied_as_it_is() {
    let (row, b) = (draw(1, &[1, 24]), draw(2, &[24, 10]));
    for (dtype, tolerance) in DTYPES {
        let (row, b) = (row.astype(dtype).unwrap(), b.astype(dtype).unwrap());
        let a = row.broadcast_to(&[3, 5, 24]).unwrap();
        let expected = wide(&a).matmul(&wide(&b)).unwrap();
        close(&a.matmul(&b).unwrap(), &expected, tolerance, "rows");
        let many = b.broadcast_to(&[3, 24, 10]).unwrap();
        close(&a.matmul(&many).unwrap(), &expected, tolerance, "matrices");
    }
}

fn formats() -> Vec<Quantization> {
    let affine = |group_size, bits| Quantization { group_size, bits, mode: QuantMode::Affine };
    let mut formats = vec![
        affine(64, 4),
        affine(32, 8),
        affine(128, 2),
        affine(64, 3),
        affine(32, 5),
        affine(64, 6),
        affine(32, 4),
    ];
    formats.extend([QuantMode::Mxfp4, QuantMode::Nvfp4, QuantMode::Mxfp8].map(Quantization::of));
    formats
}

/// The same for products with packed matrices: MLX's own, which the variable asks for, sum up in the dtype itself.
fn packed_dtypes() -> [(Dtype, f64); 3] {
    let stock = std::env::var_os("MLX_CPU_KERNELS").is_some_and(|value| value == "0");
    DTYPES.map(|(dtype, tolerance)| {
        (dtype, if stock && dtype != Dtype::Float32 { 8.0 * tolerance } else { tolerance })
    })
}

/// A packed matrix, and in float64 what it stands for.
fn packed(weight: &Array, dtype: Dtype, format: Quantization) -> (Quantized, Array) {
    let q = weight.astype(dtype).unwrap().quantize(format).unwrap();
    let full = dequantize(&q.weight, &q.scales, q.biases.as_ref(), format, Some(Dtype::Float32)).unwrap();
    (q, wide(&full))
}

#[test]
fn quantized_matmul_agrees_with_float64() {
    for format in formats() {
        for (dtype, tolerance) in packed_dtypes() {
            for (rows, shape) in [(1, &[1][..]), (5, &[5]), (12, &[2, 6]), (33, &[33])] {
                for transpose in [true, false] {
                    let (q, full) = packed(&draw(1, &[48, 256]), dtype, format);
                    let full = if transpose { full.transpose().unwrap() } else { full };
                    let inner = full.shape()[0];
                    let x = draw(2, &[rows, inner]).reshape(&[shape, &[inner]].concat()).unwrap();
                    check_against(
                        &format!("{format:?} {shape:?} {transpose}"),
                        &[x],
                        move |x| {
                            let (w, s, b) = (&q.weight, &q.scales, q.biases.as_ref());
                            Ok(vec![x[0].quantized_matmul(w, s, b, transpose, format)?])
                        },
                        move |x| Ok(vec![x[0].matmul(&full)?]),
                        &[(dtype, tolerance)],
                        &[Lies::Packed, Lies::Sliced, Lies::Transposed],
                    );
                }
            }
        }
    }
}

#[test]
fn batches_of_quantised_matrices_agree_with_float64() {
    for format in formats() {
        for (dtype, tolerance) in packed_dtypes() {
            for (batch, shape) in [(&[3][..], &[3, 2][..]), (&[2, 3], &[3, 5]), (&[2, 1], &[2, 4, 1])] {
                for transpose in [true, false] {
                    let weight = draw(1, &[batch, &[32, 128]].concat());
                    let (q, full) = packed(&weight, dtype, format);
                    let full = if transpose { full.swap_axes(-1, -2).unwrap() } else { full };
                    let inner = full.shape()[batch.len()];
                    check_against(
                        &format!("{format:?} {batch:?} {shape:?} {transpose}"),
                        &[draw(2, &[shape, &[inner]].concat())],
                        move |x| {
                            let (w, s, b) = (&q.weight, &q.scales, q.biases.as_ref());
                            Ok(vec![x[0].quantized_matmul(w, s, b, transpose, format)?])
                        },
                        move |x| Ok(vec![x[0].matmul(&full)?]),
                        &[(dtype, tolerance)],
                        &[Lies::Packed, Lies::Transposed],
                    );
                }
            }
        }
    }
}

/// Which matrices of `x`, and which experts: shapes of `x`, and indices into 5 experts.
fn choices() -> Vec<(&'static [i32], Option<Array>, Option<Array>)> {
    let of = |values: &[u32], shape: &[i32]| Some(Array::from_slice(values, shape).unwrap());
    vec![
        // One token and its experts.
        (&[1, 1], None, of(&[3, 0, 4], &[1, 3])),
        // Several tokens, of which each has rows of its own.
        (&[6, 1, 1], None, of(&[3, 0, 4, 3, 3, 2, 2, 1, 0, 4, 0, 3], &[6, 2])),
        (&[6, 1], None, of(&[0, 0, 1, 3, 3, 3], &[6])),
        (&[4, 3], of(&[2, 0, 0, 3, 1], &[5]), of(&[1, 4, 1, 1, 0], &[5])),
        (&[4, 2], of(&[3, 1], &[2, 1]), of(&[1, 4, 1], &[3])),
        (&[2, 3, 2], of(&[5, 0, 2, 5], &[4]), of(&[2, 2, 2, 2], &[4])),
        (&[5, 2], None, None),
        (&[5, 2], of(&[4, 4, 0, 1, 2], &[5]), None),
    ]
}

/// The chosen pairs multiplied, of matrices in float64.
fn multiply(x: &Array, full: &Array, lhs: Option<&Array>, rhs: Option<&Array>) -> Result<Array> {
    let take = |of: &Array, indices: Option<&Array>| {
        let (outer, inner) = of.shape().split_at(of.ndim() - 2);
        match indices {
            Some(indices) => of.reshape(&[&[outer.iter().product()], inner].concat())?.take(indices, 0),
            None => Ok(of.clone()),
        }
    };
    take(x, lhs)?.matmul(&take(full, rhs)?)
}

#[test]
fn gather_mm_agrees_with_float64() {
    for (case, (shape, lhs, rhs)) in choices().into_iter().enumerate() {
        for swapped in [false, true] {
            let weight: &[i32] = if swapped { &[5, 9, 40] } else { &[5, 40, 9] };
            let matrices = move |w: &Array| if swapped { w.swap_axes(-1, -2) } else { Ok(w.clone()) };
            let (indices, same) = ((lhs.clone(), rhs.clone()), (lhs.clone(), rhs.clone()));
            check_against(
                &format!("case {case} {swapped}"),
                &drawn(&[&[shape, &[40]].concat(), weight]),
                move |x| {
                    Ok(vec![x[0].gather_mm(
                        &matrices(&x[1])?,
                        indices.0.as_ref(),
                        indices.1.as_ref(),
                        false,
                    )?])
                },
                move |x| Ok(vec![multiply(&x[0], &matrices(&x[1])?, same.0.as_ref(), same.1.as_ref())?]),
                &DTYPES,
                &EVERY,
            );
        }
    }
}

#[test]
fn gather_qmm_agrees_with_float64() {
    for format in formats() {
        for (case, (shape, lhs, rhs)) in choices().into_iter().enumerate() {
            for (dtype, tolerance) in packed_dtypes() {
                for transpose in [true, false] {
                    let (q, full) = packed(&draw(1, &[5, 32, 128]), dtype, format);
                    let full = if transpose { full.swap_axes(-1, -2).unwrap() } else { full };
                    let inner = full.shape()[1];
                    let (indices, same) = ((lhs.clone(), rhs.clone()), (lhs.clone(), rhs.clone()));
                    check_against(
                        &format!("{format:?} case {case} {transpose}"),
                        &[draw(2, &[shape, &[inner]].concat())],
                        move |x| {
                            let (w, s, b) = (&q.weight, &q.scales, q.biases.as_ref());
                            let (lhs, rhs) = (indices.0.as_ref(), indices.1.as_ref());
                            Ok(vec![x[0].gather_qmm(w, s, b, lhs, rhs, transpose, format, false)?])
                        },
                        move |x| Ok(vec![multiply(&x[0], &full, same.0.as_ref(), same.1.as_ref())?]),
                        &[(dtype, tolerance)],
                        &[Lies::Packed, Lies::Sliced],
                    );
                }
            }
        }
    }
}

#[test]
fn experts_may_lie_anywhere_and_be_chosen_by_any_integers() {
    let format = Quantization::default();
    let (q, full) = packed(&draw(1, &[6, 32, 128]), Dtype::Bfloat16, format);
    let every_second = |x: &Array| {
        let mut steps = vec![1; x.ndim()];
        steps[0] = 2;
        x.slice_strided(&vec![0; x.ndim()], x.shape(), &steps).unwrap()
    };
    let x = draw(2, &[4, 1, 128]).astype(Dtype::Bfloat16).unwrap();
    let chosen = Array::from_slice(&[2u32, 0, 2, 1], &[4]).unwrap();
    let expected =
        multiply(&wide(&x), &every_second(&full).swap_axes(-1, -2).unwrap(), None, Some(&chosen)).unwrap();
    let (w, s, b) =
        (every_second(&q.weight), every_second(&q.scales), every_second(q.biases.as_ref().unwrap()));
    for dtype in
        [Dtype::Uint8, Dtype::Int8, Dtype::Int16, Dtype::Int32, Dtype::Uint32, Dtype::Int64, Dtype::Uint64]
    {
        let chosen = chosen.astype(dtype).unwrap();
        let found = x.gather_qmm(&w, &s, Some(&b), None, Some(&chosen), true, format, false).unwrap();
        close(&found, &expected, 2e-2, &format!("{dtype}"));
    }
    // What is still to be computed is clamped.
    let far = (&chosen + &Array::from_slice(&[90u32], &[1]).unwrap()).unwrap();
    let last = Array::from_slice(&[2u32; 4], &[4]).unwrap();
    let clamped = x.gather_qmm(&w, &s, Some(&b), None, Some(&far), true, format, false).unwrap();
    let meant = x.gather_qmm(&w, &s, Some(&b), None, Some(&last), true, format, false).unwrap();
    assert_eq!(bits(&clamped), bits(&meant));
}

#[test]
fn project_agrees_with_float64() {
    // x, weight, up, bias, add.
    let inputs = drawn(&[&[2, 3, 40], &[24, 40], &[24, 40], &[24], &[2, 3, 24]]);
    for activation in [None, Some(Activation::Silu), Some(Activation::GeluTanh)] {
        check(&format!("{activation:?}"), &inputs, move |x| {
            let gate = activation.map(|activation| (activation, Weight::Dense(&x[2])));
            let all = Projection {
                gate,
                bias: Some(&x[3]),
                add: Some(&x[4]),
                ..Projection::new(Weight::Dense(&x[1]))
            };
            project(&x[0], &[all, Projection::new(Weight::Dense(&x[2]))])
        });
    }
    // The same with norms before and after: x, weight, up, bias, add, and the norms' weights.
    for rows in [1, 3, 11] {
        let inputs = drawn(&[&[rows, 40], &[24, 40], &[24, 40], &[24], &[rows, 24], &[40], &[24]]);
        check(&format!("norms, {rows} rows"), &inputs, move |x| {
            let before = Norm { weight: &x[5], shift: 1.0, eps: 1e-3 };
            let after = Norm { weight: &x[6], shift: 0.0, eps: 1e-3 };
            let first = Projection { norm: Some(after), ..Projection::new(Weight::Dense(&x[1])) };
            let second = Projection {
                bias: Some(&x[3]),
                add: Some(&x[4]),
                gate: Some((Activation::Silu, Weight::Dense(&x[2]))),
                ..first
            };
            project(Operand { x: &x[0], norm: Some(before) }, &[first, second])
        });
        // And a feed-forward layer: gate, up and down.
        let inputs = drawn(&[&[rows, 40], &[24, 40], &[24, 40], &[40, 24], &[40], &[40], &[rows, 40]]);
        check(&format!("chain, {rows} rows"), &inputs, move |x| {
            let before = Norm { weight: &x[4], shift: 1.0, eps: 1e-3 };
            let after = Norm { weight: &x[5], shift: 0.0, eps: 1e-3 };
            let gate = Some((Activation::GeluTanh, Weight::Dense(&x[2])));
            let first = Projection { gate, ..Projection::new(Weight::Dense(&x[1])) };
            let down = Projection::new(Weight::Dense(&x[3]));
            let second = Projection { norm: Some(after), add: Some(&x[6]), ..down };
            let operand = Operand { x: &x[0], norm: Some(before) };
            Ok(vec![chain(operand, &first, &second)?, chain(&x[0], &first, &down)?])
        });
    }
    for format in formats() {
        for (dtype, tolerance) in packed_dtypes() {
            let (q, full) = packed(&draw(1, &[32, 128]), dtype, format);
            let (up, full_up) = packed(&draw(2, &[32, 128]), dtype, format);
            let weight = |q: &Quantized| (q.weight.clone(), q.scales.clone(), q.biases.clone());
            let parts = [weight(&q), weight(&up)];
            check_against(
                &format!("{format:?}"),
                &drawn(&[&[3, 128], &[3, 32]]),
                move |x| {
                    let [first, up] = parts.each_ref().map(|(weight, scales, biases)| Weight::Packed {
                        weight,
                        scales,
                        biases: biases.as_ref(),
                        format,
                    });
                    let gated = Projection { gate: Some((Activation::Silu, up)), ..Projection::new(first) };
                    let wide = Projection { add: Some(&x[1]), wide: true, ..Projection::new(up) };
                    project(&x[0], &[gated, wide])
                },
                move |x| {
                    let product = |w: &Array| x[0].matmul(&w.transpose()?);
                    let (first, up) = (product(&full)?, product(&full_up)?);
                    Ok(vec![(&(&first * &first.sigmoid()?)? * &up)?, (&up + &x[1])?])
                },
                &[(dtype, tolerance)],
                &[Lies::Packed, Lies::Transposed],
            );
        }
    }
}
