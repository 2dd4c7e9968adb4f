// SPDX-License-Identifier: EUPL-1.2
//! Ops that go to kernels of our own on a processor, against MLX's ops in float64, which never do.
//!
//! Operands are rounded to the dtype first, so that what differs is the computation alone.
//!
//! Over 800 lines: one `check` and the cases of every op that has a kernel.

use mlx_core::fast::{
    self, Activation, KvBuffer, Mask, Norm, Operand, Projection, RopeOptions, Weight, add_norm, chain, gated,
    layer_norm, norm, norm_add, project, rms_norm, rope, rope_heads, scaled_dot_product_attention,
};
use mlx_core::random::{Key, normal};
use mlx_core::{Array, Dtype, QuantMode, Quantization, Quantized, Result, dequantize, transform};

/// With how far a result may be off, as a part of the largest.
const DTYPES: [(Dtype, f64); 3] = [(Dtype::Float32, 2e-5), (Dtype::Bfloat16, 2e-2), (Dtype::Float16, 3e-3)];

/// How an operand lies in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lies {
    Packed,
    /// With its axes the other way round.
    Transposed,
    /// Within something larger.
    Sliced,
    /// Every second element of the last axis of something larger.
    Stepped,
}

const EVERY: [Lies; 4] = [Lies::Packed, Lies::Transposed, Lies::Sliced, Lies::Stepped];

/// The same values, in other places.
fn lay(x: &Array, lies: Lies) -> Array {
    let (ndim, shape) = (x.ndim(), x.shape());
    let laid = match lies {
        Lies::Packed => x.contiguous().unwrap(),
        Lies::Transposed => x.transpose().unwrap().contiguous().unwrap(),
        Lies::Sliced => x.pad(&vec![(1, 2); ndim], 7.0).unwrap(),
        Lies::Stepped => {
            let wide = x.expand_dims(-1).unwrap();
            let mut doubled = shape.to_vec();
            *doubled.last_mut().unwrap() *= 2;
            mlx_core::concatenate(&[&wide, &(&wide * 2.0f32).unwrap()], -1)
                .unwrap()
                .reshape(&doubled)
                .unwrap()
        }
    };
    laid.eval().unwrap();
    let start = vec![0; ndim];
    let y = match lies {
        Lies::Packed => laid,
        Lies::Transposed => laid.transpose().unwrap(),
        Lies::Sliced => {
            let stop: Vec<i32> = shape.iter().map(|n| n + 1).collect();
            laid.slice(&vec![1; ndim], &stop).unwrap()
        }
        Lies::Stepped => {
            let mut steps = vec![1; ndim];
            steps[ndim - 1] = 2;
            laid.slice_strided(&start, laid.shape(), &steps).unwrap()
        }
    };
    y.eval().unwrap();
    assert_eq!(y.shape(), shape);
    y
}

fn draw(seed: u64, shape: &[i32]) -> Array {
    normal(shape, Dtype::Float32, 0.0, 1.0, &Key::new(seed).unwrap()).unwrap()
}

/// Several operands, no two alike.
fn drawn(shapes: &[&[i32]]) -> Vec<Array> {
    (1..).zip(shapes).map(|(seed, shape)| draw(seed, shape)).collect()
}

fn wide(x: &Array) -> Array {
    x.astype(Dtype::Float64).unwrap()
}

fn read(x: &Array) -> Vec<f64> {
    wide(x).to_vec::<f64>().unwrap()
}

fn close(found: &Array, expected: &Array, tolerance: f64, name: &str) {
    assert_eq!(found.shape(), expected.shape(), "{name}");
    let (found, expected) = (read(found), read(expected));
    let most = expected.iter().filter(|x| x.is_finite()).fold(1.0f64, |most, x| most.max(x.abs()));
    for (i, (x, y)) in found.iter().zip(&expected).enumerate() {
        let alike = x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * most;
        assert!(alike, "{name}: {x} for {y} at {i}, of up to {most}");
    }
}

fn bits(x: &Array) -> Vec<u8> {
    let x = x.contiguous().unwrap();
    x.reshape(&[-1]).unwrap().view(Dtype::Uint8).unwrap().to_vec::<u8>().unwrap()
}

type Op = fn(&[Array]) -> Result<Vec<Array>>;

/// Checks an op of our own against another one in float64: its results, its gradients to all operands, and that a
/// second run gives the same bits.
fn check_against(
    name: &str,
    inputs: &[Array],
    ours: impl Fn(&[Array]) -> Result<Vec<Array>> + Clone + 'static,
    theirs: impl Fn(&[Array]) -> Result<Vec<Array>> + Clone + 'static,
    dtypes: &[(Dtype, f64)],
    layouts: &[Lies],
) {
    for &(dtype, tolerance) in dtypes {
        let rounded: Vec<Array> = inputs.iter().map(|x| x.astype(dtype).unwrap()).collect();
        let exact: Vec<Array> = rounded.iter().map(wide).collect();
        let expected = theirs(&exact).unwrap();
        let cotangents: Vec<Array> = (100..)
            .zip(&expected)
            .map(|(seed, y)| draw(seed, y.shape()).astype(Dtype::Bfloat16).unwrap().astype(dtype).unwrap())
            .collect();
        let exact_cotangents: Vec<Array> = cotangents.iter().map(wide).collect();
        let (_, gradients) = transform::vjp(theirs.clone(), &exact, &exact_cotangents).unwrap();
        for &lies in layouts {
            let name = format!("{name} {dtype} {lies:?}");
            let laid: Vec<Array> =
                rounded.iter().map(|x| if x.ndim() == 0 { x.clone() } else { lay(x, lies) }).collect();
            let found = ours(&laid).unwrap();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.iter().zip(&expected) {
                close(found, expected, tolerance, &name);
            }
            for (first, second) in found.iter().zip(ours(&laid).unwrap()) {
                assert_eq!(bits(first), bits(&second), "{name}");
            }
            let cotangents: Vec<Array> = cotangents
                .iter()
                .zip(&found)
                .map(|(c, y)| {
                    let c = c.astype(y.dtype()).unwrap();
                    if c.ndim() == 0 { c } else { lay(&c, lies) }
                })
                .collect();
            let (_, pulled) = transform::vjp(ours.clone(), &laid, &cotangents).unwrap();
            for (i, (found, expected)) in pulled.iter().zip(&gradients).enumerate() {
                assert_eq!(found.dtype(), dtype, "{name}");
                // Gradients in half precision go through more than one rounding.
                close(found, expected, 2.0 * tolerance, &format!("{name}, gradient {i}"));
            }
        }
    }
}

/// The same, against the op itself in float64.
fn check(name: &str, inputs: &[Array], op: impl Fn(&[Array]) -> Result<Vec<Array>> + Clone + 'static) {
    check_against(name, inputs, op.clone(), op, &DTYPES, &EVERY);
}

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

#[test]
fn norms_agree_with_float64() {
    for shape in [&[7][..], &[3, 33], &[2, 5, 64], &[1, 1, 1000], &[70, 17]] {
        let width = [*shape.last().unwrap()];
        let inputs = drawn(&[shape, &width, shape]);
        for (shift, eps) in [(0.0, 1e-6), (1.0, 1e-3)] {
            let name = format!("{shape:?} {shift}");
            check(&name, &inputs[..2], move |x| Ok(vec![norm(&x[0], &Norm { weight: &x[1], shift, eps })?]));
            check(&name, &inputs, move |x| {
                let (sum, normed) = add_norm(&x[0], &x[2], &Norm { weight: &x[1], shift, eps })?;
                Ok(vec![sum, normed])
            });
            check(&name, &inputs, move |x| {
                Ok(vec![norm_add(&x[0], &x[2], &Norm { weight: &x[1], shift, eps })?])
            });
        }
        check(&format!("{shape:?}"), &inputs[..2], |x| Ok(vec![rms_norm(&x[0], Some(&x[1]), 1e-5)?]));
        let inputs = drawn(&[shape, &width, &width]);
        check(&format!("{shape:?}"), &inputs[..1], |x| Ok(vec![layer_norm(&x[0], None, None, 1e-2)?]));
        check(&format!("{shape:?}"), &inputs[..2], |x| Ok(vec![layer_norm(&x[0], Some(&x[1]), None, 1e-2)?]));
        check(&format!("{shape:?}"), &inputs[..2], |x| Ok(vec![layer_norm(&x[0], None, Some(&x[1]), 1e-2)?]));
        check(&format!("{shape:?}"), &inputs, |x| {
            Ok(vec![layer_norm(&x[0], Some(&x[1]), Some(&x[2]), 1e-2)?])
        });
    }
}

#[test]
fn a_norm_takes_a_weight_of_another_dtype() {
    let (x, w) = (draw(1, &[3, 48]).astype(Dtype::Bfloat16).unwrap(), draw(2, &[48]));
    let op = |x: &[Array]| Ok(vec![norm(&x[0], &Norm { weight: &x[1], shift: 1.0, eps: 1e-6 })?]);
    let y = draw(3, &[3, 48]).astype(Dtype::Bfloat16).unwrap();
    let (found, pulled) = transform::vjp(op, &[x.clone(), w.clone()], std::slice::from_ref(&y)).unwrap();
    let (expected, gradients) = transform::vjp(op, &[wide(&x), wide(&w)], &[wide(&y)]).unwrap();
    assert_eq!([pulled[0].dtype(), pulled[1].dtype()], [Dtype::Bfloat16, Dtype::Float32]);
    close(&found[0], &expected[0], 2e-2, "value");
    close(&pulled[0], &gradients[0], 2e-2, "x");
    close(&pulled[1], &gradients[1], 1e-5, "weight");
}

#[test]
fn gradients_have_gradients() {
    let inputs = drawn(&[&[3, 16], &[16], &[3, 16]]);
    let ops: [(&str, Op); 5] = [
        ("norm", |x| Ok(vec![norm(&x[0], &Norm { weight: &x[1], shift: 1.0, eps: 1e-3 })?])),
        ("layer_norm", |x| Ok(vec![layer_norm(&x[0], Some(&x[1]), None, 1e-3)?])),
        ("silu", |x| Ok(vec![Activation::Silu.apply(&x[0])?])),
        ("gated", |x| Ok(vec![gated(Activation::GeluTanh, &x[0], &x[2])?])),
        ("softmax", |x| Ok(vec![x[0].softmax(-1)?])),
    ];
    for (name, op) in ops {
        // The gradient of a sum of squares of the gradient.
        let twice = |inputs: &[Array]| {
            let outer = move |x: &[Array]| {
                let (_, pulled) = transform::vjp(op, x, &op(x)?)?;
                Ok(vec![pulled[0].square()?.sum_all()?])
            };
            let one = Array::ones(&[], inputs[0].dtype())?;
            Ok::<_, mlx_core::Error>(transform::vjp(outer, inputs, &[one])?.1)
        };
        let exact: Vec<Array> = inputs.iter().map(wide).collect();
        for (i, (found, expected)) in twice(&inputs).unwrap().iter().zip(twice(&exact).unwrap()).enumerate() {
            close(found, &expected, 2e-5, &format!("{name} {i}"));
        }
    }
}

#[test]
fn tangents_agree_with_float64() {
    let ops: [(&str, Op); 5] = [
        ("matmul", |x| Ok(vec![x[0].matmul(&x[1].transpose()?)?])),
        ("norm", |x| Ok(vec![norm(&x[0], &Norm { weight: &x[2], shift: 1.0, eps: 1e-3 })?])),
        ("gated", |x| Ok(vec![gated(Activation::Silu, &x[0], &x[1])?])),
        ("softmax", |x| Ok(vec![x[0].softmax(-1)?])),
        ("sum", |x| Ok(vec![(&x[0] * &(&x[0] + &x[1])?)?])),
    ];
    let inputs = drawn(&[&[5, 16], &[5, 16], &[16]]);
    let tangents = drawn(&[&[4, 5, 16], &[5, 16], &[16]]);
    let tangents = [
        tangents[0].slice_axis(0, 1, 2).unwrap().squeeze_axes(&[0]).unwrap(),
        tangents[1].clone(),
        tangents[2].clone(),
    ];
    for (dtype, tolerance) in DTYPES {
        let cast = |x: &[Array]| x.iter().map(|x| x.astype(dtype).unwrap()).collect::<Vec<_>>();
        let exact = |x: &[Array]| x.iter().map(wide).collect::<Vec<_>>();
        let (x, t) = (cast(&inputs), cast(&tangents));
        for (name, op) in ops {
            let (_, pushed) = transform::jvp(op, &x, &t).unwrap();
            let (_, expected) = transform::jvp(op, &exact(&x), &exact(&t)).unwrap();
            close(&pushed[0], &expected[0], 2.0 * tolerance, &format!("{name} {dtype}"));
        }
    }
}

#[test]
fn rotations_agree_with_float64() {
    let freqs = Array::from_slice(&[1.0f32, 3.0, 9.0, 27.0], &[4]).unwrap();
    let base = RopeOptions { dims: 8, base: Some(100.0), ..RopeOptions::default() };
    let options = [
        base.clone(),
        RopeOptions { dims: 16, traditional: true, scale: 0.5, ..base.clone() },
        RopeOptions { base: None, freqs: Some(freqs), ..base },
    ];
    for options in options {
        for offset in [0, 7] {
            for shape in [&[2, 3, 5, 16][..], &[1, 1, 1, 16], &[3, 4, 17]] {
                let options = options.clone();
                check(&format!("{options:?} {shape:?} {offset}"), &drawn(&[shape]), move |x| {
                    Ok(vec![rope(&x[0], &options, offset)?])
                });
            }
            let (one, two) = (options.clone(), options.clone());
            let inputs = drawn(&[&[2, 5, 48], &[16]]);
            check("heads", &inputs[..1], move |x| Ok(vec![rope_heads(&x[0], 3, None, &one, offset)?]));
            check("normed heads", &inputs, move |x| {
                let norm = Norm { weight: &x[1], shift: 1.0, eps: 1e-3 };
                Ok(vec![rope_heads(&x[0], 3, Some(&norm), &two, offset)?])
            });
        }
    }
}

#[derive(Clone, Debug)]
enum Shown {
    All,
    Causal,
    Window(i32),
    Bool(Array),
    Additive(Array),
}

#[test]
fn attention_agrees_with_float64() {
    for (heads, kv_heads, queries, keys) in [(4, 2, 5, 9), (2, 2, 1, 33), (8, 1, 17, 17), (3, 1, 70, 80)] {
        let visible = draw(9, &[1, 1, queries, keys]);
        let visible = visible.greater(&Array::full(&[], -0.5, Dtype::Float32).unwrap()).unwrap();
        let masks = [
            Shown::All,
            Shown::Causal,
            Shown::Window(1),
            Shown::Window(4),
            Shown::Window(1000),
            Shown::Bool(visible),
            Shown::Additive(draw(8, &[heads, queries, keys]).astype(Dtype::Float16).unwrap()),
        ];
        for shown in masks {
            for sinks in [false, true] {
                let name = format!("{heads} {kv_heads} {queries} {keys} {shown:?} {sinks}");
                let [q, k, s] = [[2, heads, queries, 32], [2, kv_heads, keys, 32], [2, kv_heads, keys, 24]];
                let shapes: [&[i32]; 4] = [&q, &k, &s, &[heads]];
                let inputs = drawn(&shapes[..if sinks { 4 } else { 3 }]);
                let shown = shown.clone();
                let op = move |x: &[Array]| {
                    let additive;
                    let mask = match &shown {
                        Shown::All => Mask::None,
                        Shown::Causal => Mask::Causal,
                        Shown::Window(width) => Mask::Window(*width),
                        Shown::Bool(mask) => Mask::Bool(mask),
                        Shown::Additive(mask) => {
                            additive = mask.astype(x[0].dtype())?;
                            Mask::Additive(&additive)
                        }
                    };
                    Ok(vec![scaled_dot_product_attention(&x[0], &x[1], &x[2], 0.2, mask, x.get(3))?])
                };
                check_against(
                    &name,
                    &inputs,
                    op.clone(),
                    op,
                    &DTYPES,
                    &[Lies::Packed, Lies::Transposed, Lies::Sliced],
                );
            }
        }
    }
}

const ACTIVATIONS: [Activation; 6] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Relu,
    Activation::ReluSquared,
];

#[test]
fn activations_and_gates_agree_with_float64() {
    for activation in ACTIVATIONS {
        for shape in [&[5][..], &[3, 7], &[2, 3, 33], &[3, 4099], &[10_001]] {
            let inputs = drawn(&[shape, shape]);
            let name = format!("{activation:?} {shape:?}");
            check(&name, &inputs[..1], move |x| Ok(vec![activation.apply(&x[0])?]));
            check(&name, &inputs, move |x| Ok(vec![gated(activation, &x[0], &x[1])?]));
        }
        // Two halves of the same rows, a scalar, and a gate that is broadcast.
        check("halves", &drawn(&[&[3, 14]]), move |x| {
            let halves = x[0].split(2, -1)?;
            Ok(vec![gated(activation, &halves[0], &halves[1])?])
        });
        check("scalars", &drawn(&[&[], &[]]), move |x| {
            Ok(vec![gated(activation, &x[0], &x[1])?, activation.apply(&x[0])?])
        });
        check("broadcast", &drawn(&[&[3, 1], &[2, 1, 5]]), move |x| {
            Ok(vec![gated(activation, &x[0], &x[1])?])
        });
    }
}

#[test]
fn reductions_agree_with_float64() {
    for shape in [&[1][..], &[7], &[3, 33], &[2, 3, 64], &[2, 5000], &[100, 3], &[1, 70_001]] {
        let inputs = drawn(&[shape]);
        let name = format!("{shape:?}");
        check(&name, &inputs, |x| Ok(vec![x[0].softmax(-1)?]));
        let last = i32::try_from(shape.len()).unwrap() - 1;
        check(&name, &inputs, move |x| Ok(vec![x[0].logsumexp(last, false)?]));
        check(&name, &inputs, |x| Ok(vec![x[0].logsumexp(-1, true)?]));
        for (dtype, _) in DTYPES {
            for lies in EVERY {
                let x = lay(&inputs[0].astype(dtype).unwrap(), lies);
                for keepdims in [false, true] {
                    let (found, expected) =
                        (x.argmax(-1, keepdims).unwrap(), wide(&x).argmax(-1, keepdims).unwrap());
                    assert_eq!((found.dtype(), found.shape()), (Dtype::Uint32, expected.shape()));
                    assert_eq!(found.to_vec::<u32>().unwrap(), expected.to_vec::<u32>().unwrap());
                }
            }
        }
    }
}

/// Rows with numbers that are none, or the same twice.
fn odd() -> Array {
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let rows = [
        [1.0, 2.0, 2.0, 1.0, 2.0],
        [-0.0, 0.0, -0.0, 0.0, 0.0],
        [nan, 1.0, 2.0, 3.0, 0.0],
        [1.0, nan, 5.0, nan, 5.0],
        [inf, 1.0, inf, 0.0, 2.0],
        [-inf, 1.0, 2.0, -inf, 0.0],
        [-inf; 5],
        [inf, -inf, 0.0, 1.0, 2.0],
        [65_000.0, -65_000.0, 6e-8, -6e-8, 0.0],
        [nan; 5],
    ];
    Array::from_slice(&rows.concat(), &[10, 5]).unwrap()
}

#[test]
fn odd_numbers_come_out_as_in_mlx() {
    for (dtype, tolerance) in DTYPES {
        let x = odd().astype(dtype).unwrap();
        let exact = wide(&x);
        // Whatever the size of the others is, a number between 0 and 1 is not lost among them.
        let alike = |found: Array, expected: Array, name: &str| {
            for row in 0..10 {
                let of = |x: &Array| x.slice_axis(0, row, row + 1).unwrap();
                close(&of(&found), &of(&expected), tolerance, &format!("{name} {dtype} {row}"));
            }
        };
        alike(x.softmax(-1).unwrap(), exact.softmax(-1).unwrap(), "softmax");
        alike(x.logsumexp(-1, false).unwrap(), exact.logsumexp(-1, false).unwrap(), "logsumexp");
        alike(x.argmax(-1, false).unwrap(), exact.argmax(-1, false).unwrap(), "argmax");
        for activation in ACTIVATIONS {
            // A square or a cube may be too large for the dtype where it is not for float64.
            let small = x.slice_axis(0, 0, 8).unwrap();
            let found = activation.apply(&small).unwrap();
            close(
                &found,
                &activation.apply(&wide(&small)).unwrap(),
                tolerance,
                &format!("{activation:?} {dtype}"),
            );
            let up = Array::ones(small.shape(), dtype).unwrap();
            assert_eq!(
                bits(&gated(activation, &small, &up).unwrap()),
                bits(&found),
                "{activation:?} {dtype}"
            );
        }
    }
}

/// Every bit pattern of a 16-bit dtype, or of float32 those around its roundings to 16 bits.
fn patterns(dtype: Dtype) -> Array {
    if dtype == Dtype::Float32 {
        let halves = (0..=u16::MAX).flat_map(|top| {
            [0u16, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xf000]
                .map(|low| f32::from_bits(u32::from(top) << 16 | u32::from(low)))
        });
        let values: Vec<f32> = halves.collect();
        return Array::from_slice(&values, &[i32::try_from(values.len()).unwrap()]).unwrap();
    }
    Array::from_slice(&(0..=u16::MAX).collect::<Vec<_>>(), &[65_536]).unwrap().view(dtype).unwrap()
}

#[test]
fn casts_round_to_the_nearest_even() {
    for from in [Dtype::Float32, Dtype::Bfloat16, Dtype::Float16] {
        let x = patterns(from);
        let numbers = x.astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap();
        for to in [Dtype::Float32, Dtype::Bfloat16, Dtype::Float16] {
            let y = x.astype(to).unwrap();
            assert_eq!((y.dtype(), y.size()), (to, x.size()));
            for (x, y) in numbers.iter().zip(read(&y)) {
                #[expect(clippy::cast_possible_truncation, reason = "they are float32")]
                let expected = match to {
                    Dtype::Bfloat16 => f64::from(half::bf16::from_f32(*x as f32).to_f32()),
                    Dtype::Float16 => f64::from(half::f16::from_f32(*x as f32).to_f32()),
                    _ => *x,
                };
                let alike = (y.is_nan() && expected.is_nan())
                    || (y == expected && y.is_sign_negative() == expected.is_sign_negative());
                assert!(alike, "{from} to {to}: {y} for {x}, not {expected}");
            }
        }
    }
}

#[test]
fn sums_and_products_are_those_of_mlx_to_the_bit() {
    for dtype in [Dtype::Bfloat16, Dtype::Float16] {
        let a = patterns(dtype);
        for step in [1, 77, 1031, 32_768] {
            let b = a.roll(step, 0).unwrap();
            for (name, op) in
                [("sum", (|a, b| a + b) as fn(&Array, &Array) -> Result<Array>), ("product", |a, b| a * b)]
            {
                let found = read(&op(&a, &b).unwrap());
                // Pieces too small for a kernel of ours.
                let (a, b) = (a.split(512, 0).unwrap(), b.split(512, 0).unwrap());
                let expected = a.iter().zip(&b).flat_map(|(a, b)| read(&op(a, b).unwrap()));
                for (i, (x, y)) in found.iter().zip(expected).enumerate() {
                    let alike = (x.is_nan() && y.is_nan()) || x.to_bits() == y.to_bits();
                    assert!(alike, "{name} {dtype}: {x} for {y} at {i}");
                }
            }
        }
    }
    for shape in [&[70, 80][..], &[3, 2001]] {
        let inputs = drawn(&[shape, shape]);
        check("sum", &inputs, |x| Ok(vec![(&x[0] + &x[1])?]));
        check("product", &inputs, |x| Ok(vec![(&x[0] * &x[1])?]));
        check("cast", &inputs, |x| {
            let dtype = x[0].dtype();
            let back = if dtype == Dtype::Float64 { dtype } else { Dtype::Float32 };
            Ok(vec![x[0].astype(back)?])
        });
    }
}

/// Keys and values `[1, 2, tokens, 4]` of the numbers from `start` on.
fn tokens(start: i32, tokens: i32) -> (Array, Array) {
    let n = 8 * tokens;
    let values: Vec<f32> = (start..start + n).map(|i| f32::from(i16::try_from(i).unwrap())).collect();
    let keys = Array::from_slice(&values, &[1, 2, tokens, 4]).unwrap();
    let values = (&keys * -1.0f32).unwrap();
    (keys, values)
}

fn floats(x: &Array) -> Vec<f32> {
    x.to_vec::<f32>().unwrap()
}

#[test]
fn a_buffer_never_changes_what_it_handed_out() {
    for evaluate in [false, true] {
        let empty = || Array::zeros(&[1, 2, 16, 4], Dtype::Float32).unwrap();
        let mut buffer = KvBuffer::new(empty(), empty(), 0).unwrap();
        let mut handed = Vec::new();
        let mut expected: Vec<(Array, Array)> = Vec::new();
        for (i, length) in [3, 1, 1, 4].into_iter().enumerate() {
            let at = expected.last().map_or(0, |(keys, _)| keys.shape()[2]);
            let (k, v) = tokens(100 * i32::try_from(i).unwrap(), length);
            let seen = buffer.append(&k, &v, at, 0).unwrap();
            if evaluate {
                seen.0.eval().unwrap();
            }
            handed.push(seen);
            expected.push(match expected.last() {
                Some((keys, values)) => (
                    mlx_core::concatenate(&[keys, &k], 2).unwrap(),
                    mlx_core::concatenate(&[values, &v], 2).unwrap(),
                ),
                None => (k, v),
            });
        }
        // A clone goes another way from here; so does a trim.
        let mut other = buffer.clone();
        let (mine, yours) = (tokens(500, 2), tokens(700, 3));
        let (k1, v1) = buffer.append(&mine.0, &mine.1, 9, 0).unwrap();
        let (k2, v2) = other.append(&yours.0, &yours.1, 9, 0).unwrap();
        let trimmed = tokens(900, 2);
        let (k3, v3) = buffer.append(&trimmed.0, &trimmed.1, 4, 2).unwrap();
        let join = |parts: [&Array; 2]| floats(&mlx_core::concatenate(&parts, 2).unwrap());
        let (keys, values) = &expected[3];
        // Read the last ones first: nothing may depend on the order.
        let tail = |x: &Array| x.slice_axis(2, 2, 4).unwrap();
        assert_eq!(floats(&k3), join([&tail(keys), &trimmed.0]));
        assert_eq!(floats(&v3), join([&tail(values), &trimmed.1]));
        assert_eq!(floats(&k2), join([keys, &yours.0]));
        assert_eq!(floats(&v2), join([values, &yours.1]));
        assert_eq!(floats(&k1), join([keys, &mine.0]));
        assert_eq!(floats(&v1), join([values, &mine.1]));
        // Both go on, each in its own.
        let next = tokens(1100, 1);
        let (k4, _) = other.append(&next.0, &next.1, 12, 0).unwrap();
        let (k5, _) = buffer.append(&next.0, &next.1, 6, 4).unwrap();
        assert_eq!(floats(&k4), join([&k2, &next.0]));
        assert_eq!(floats(&k5), join([&trimmed.0, &next.0]));
        assert_eq!(floats(&k2), join([keys, &yours.0]));
        for ((k, v), (keys, values)) in handed.iter().zip(&expected) {
            assert_eq!((floats(k), floats(v)), (floats(keys), floats(values)));
        }
    }
}

#[test]
fn a_buffer_hands_its_gradient_on() {
    let empty = move |dtype| Array::zeros(&[1, 2, 8, 4], dtype).unwrap();
    let (keys, values) = tokens(1, 2);
    let loss = move |x: &[Array]| {
        let dtype = x[0].dtype();
        let mut buffer = KvBuffer::new(empty(dtype), empty(dtype), 0)?;
        let _ = buffer.append(&x[0], &x[1], 0, 0)?;
        let (k, v) = buffer.append(&x[1], &x[0], 2, 1)?;
        Ok(vec![(&k.square()?.sum_all()? + &v.sum_all()?)?])
    };
    let one = Array::ones(&[], Dtype::Float32).unwrap();
    let (value, found) =
        transform::vjp(loss, &[keys.clone(), values.clone()], std::slice::from_ref(&one)).unwrap();
    let (expected_value, expected) =
        transform::vjp(loss, &[wide(&keys), wide(&values)], &[wide(&one)]).unwrap();
    close(&value[0], &expected_value[0], 1e-6, "value");
    for (found, expected) in found.iter().zip(&expected) {
        close(found, expected, 1e-6, "gradient");
    }
}

#[test]
fn compiled_functions_take_the_same_kernels() {
    let compiled = transform::compile(|x: &[Array]| {
        let y = gated(Activation::Silu, &x[0], &(&x[0] + &x[1])?)?;
        let y = fast::norm(&y, &Norm { weight: &x[2], shift: 0.0, eps: 1e-5 })?;
        Ok(vec![(&y.softmax(-1)? * &x[1])?.astype(Dtype::Float32)?, y.argmax(-1, false)?])
    });
    for (dtype, tolerance) in DTYPES {
        let inputs: Vec<Array> =
            drawn(&[&[40, 128], &[40, 128], &[128]]).iter().map(|x| x.astype(dtype).unwrap()).collect();
        let exact: Vec<Array> = inputs.iter().map(wide).collect();
        let y = gated(Activation::Silu, &exact[0], &(&exact[0] + &exact[1]).unwrap()).unwrap();
        let y = fast::norm(&y, &Norm { weight: &exact[2], shift: 0.0, eps: 1e-5 }).unwrap();
        let expected = (&y.softmax(-1).unwrap() * &exact[1]).unwrap();
        for _ in 0..2 {
            let found = compiled.call(&inputs).unwrap();
            close(&found[0], &expected, 2.0 * tolerance, &format!("{dtype}"));
            assert_eq!(found[1].shape(), [40]);
        }
    }
}
