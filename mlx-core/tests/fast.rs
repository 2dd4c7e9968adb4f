// SPDX-License-Identifier: EUPL-1.2
//! Fused kernels, against their formulas in float64.

use mlx_core::fast::{Mask, RopeOptions, layer_norm, rms_norm, rope, scaled_dot_product_attention};
use mlx_core::{Array, Dtype, Error, Result};

use crate::alone::alone;

const DTYPES: [(Dtype, f64); 4] =
    [(Dtype::Float64, 1e-5), (Dtype::Float32, 1e-5), (Dtype::Float16, 4e-3), (Dtype::Bfloat16, 3e-2)];

/// Multiples of 1/32 between −1.5 and 1.5: exact in every floating dtype.
fn pattern(shape: &[i32], step: i32) -> Array {
    let n: i32 = shape.iter().product();
    let values: Vec<f32> =
        (0..n).map(|i| f32::from(i16::try_from(i * step % 97 - 48).unwrap()) / 32.0).collect();
    Array::from_slice(&values, shape).unwrap()
}

fn read(array: &Array) -> Vec<f64> {
    array.astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap()
}

fn assert_close(found: &Array, expected: &[f64], tolerance: f64, name: &str) {
    let found = read(found);
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= tolerance * (1.0 + y.abs()), "{name}: {x} for {y} at {i}");
    }
}

#[test]
fn rms_norm_is_its_formula_and_keeps_the_dtype() {
    let (x, w) = (pattern(&[3, 2, 16], 37), pattern(&[16], 11));
    let weights = read(&w);
    for (dtype, tolerance) in DTYPES {
        for (weight, eps) in [(Some(&w), 1e-6f32), (None, 1e-6), (Some(&w), 0.5), (None, 0.0)] {
            let expected: Vec<f64> = read(&x)
                .chunks(16)
                .flat_map(|row| {
                    let scale = (row.iter().map(|x| x * x).sum::<f64>() / 16.0 + f64::from(eps)).sqrt();
                    let weights = &weights;
                    row.iter().enumerate().map(move |(i, x)| x / scale * weight.map_or(1.0, |_| weights[i]))
                })
                .collect();
            let weight = weight.map(|w| w.astype(dtype).unwrap());
            for x in [x.clone(), x.transpose().unwrap().contiguous().unwrap().transpose().unwrap()] {
                let y = rms_norm(&x.astype(dtype).unwrap(), weight.as_ref(), eps).unwrap();
                assert_eq!((y.dtype(), y.shape()), (dtype, x.shape()));
                assert_close(&y, &expected, tolerance, &format!("{dtype} {eps}"));
            }
        }
    }
}

#[test]
fn layer_norm_is_its_formula_and_keeps_the_dtype() {
    let (x, w, b) = (pattern(&[3, 16], 37), pattern(&[16], 11), pattern(&[16], 23));
    let (weights, biases) = (read(&w), read(&b));
    for (dtype, tolerance) in DTYPES {
        for (with_w, with_b) in [(true, true), (true, false), (false, true), (false, false)] {
            let expected: Vec<f64> = read(&x)
                .chunks(16)
                .flat_map(|row| {
                    let mean = row.iter().sum::<f64>() / 16.0;
                    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 16.0;
                    let (weights, biases) = (&weights, &biases);
                    row.iter().enumerate().map(move |(i, x)| {
                        (x - mean) / (variance + 1e-5).sqrt() * if with_w { weights[i] } else { 1.0 }
                            + if with_b { biases[i] } else { 0.0 }
                    })
                })
                .collect();
            let cast = |a: &Array, with: bool| with.then(|| a.astype(dtype).unwrap());
            let (w, b) = (cast(&w, with_w), cast(&b, with_b));
            let y = layer_norm(&x.astype(dtype).unwrap(), w.as_ref(), b.as_ref(), 1e-5).unwrap();
            assert_eq!(y.dtype(), dtype);
            assert_close(&y, &expected, tolerance, &format!("{dtype} {with_w} {with_b}"));
        }
    }
}

#[test]
fn norms_reject_what_does_not_fit_and_take_empty_arrays() {
    let x = pattern(&[2, 4], 37);
    let ints = |shape: &[i32]| Array::zeros(shape, Dtype::Int32).unwrap();
    for w in [
        pattern(&[], 1),
        pattern(&[3], 1),
        pattern(&[0], 1),
        pattern(&[1], 1),
        pattern(&[4, 4], 1),
        ints(&[4]),
    ] {
        assert!(rms_norm(&x, Some(&w), 1e-5).is_err(), "{w:?}");
        assert!(layer_norm(&x, Some(&w), None, 1e-5).is_err(), "{w:?}");
        assert!(layer_norm(&x, None, Some(&w), 1e-5).is_err(), "{w:?}");
    }
    for x in [
        pattern(&[], 1),
        ints(&[2, 4]),
        Array::zeros(&[2, 4], Dtype::Complex64).unwrap(),
        Array::zeros(&[4], Dtype::Bool).unwrap(),
    ] {
        assert!(rms_norm(&x, None, 1e-5).is_err() && layer_norm(&x, None, None, 1e-5).is_err(), "{x:?}");
    }
    for eps in [-1.0, f32::NAN] {
        assert!(matches!(rms_norm(&x, None, eps), Err(Error::Argument { argument: "eps", .. })));
        assert!(matches!(layer_norm(&x, None, None, eps), Err(Error::Argument { argument: "eps", .. })));
    }
    for shape in [&[0][..], &[2, 0], &[0, 4]] {
        let x = pattern(shape, 1);
        let w = pattern(&shape[shape.len() - 1..], 1);
        for y in
            [rms_norm(&x, Some(&w), 1e-5), layer_norm(&x, Some(&w), Some(&w), 1e-5), rms_norm(&x, None, 0.0)]
        {
            let y = y.unwrap();
            y.eval().unwrap();
            assert_eq!(y.shape(), shape);
        }
    }
    let half = x.astype(Dtype::Bfloat16).unwrap();
    assert_eq!(rms_norm(&half, Some(&pattern(&[4], 1)), 1e-5).unwrap().dtype(), Dtype::Float32);
}

#[test]
fn norms_come_back_from_empty_arrays_in_any_layout() {
    alone("fast::norms_come_back_from_empty_arrays_in_any_layout", || {
        for dtype in [Dtype::Float32, Dtype::Bfloat16] {
            let rows = pattern(&[0, 3, 4], 1).astype(dtype).unwrap();
            for x in [&rows.transpose().unwrap(), &rows.swap_axes(0, 1).unwrap(), &rows] {
                for result in [layer_norm(x, None, None, 1e-5), rms_norm(x, None, 1e-5)] {
                    assert!(read(&result.unwrap()).is_empty());
                }
            }
        }
    });
}

/// Turns each pair of `[B, H, L, E]` by its angle; `rate(i)` is the angle of pair `i` for one position.
fn turned(
    x: &Array,
    dims: usize,
    traditional: bool,
    scale: f64,
    offsets: &[i32],
    rate: impl Fn(usize) -> f64,
) -> Vec<f64> {
    let &[b, h, l, e] = x.shape() else { panic!("four axes") };
    let [b, h, l, e] = [b, h, l, e].map(|n| usize::try_from(n).unwrap());
    let mut values = read(x);
    for row in 0..b * h * l {
        let offset = offsets[(row / (h * l)) % offsets.len()];
        let position = (row % l) as f64 + f64::from(offset);
        for pair in 0..dims / 2 {
            let (i, j) = if traditional { (2 * pair, 2 * pair + 1) } else { (pair, pair + dims / 2) };
            let angle = position * scale * rate(pair);
            let (first, second) = (values[row * e + i], values[row * e + j]);
            values[row * e + i] = first * angle.cos() - second * angle.sin();
            values[row * e + j] = first * angle.sin() + second * angle.cos();
        }
    }
    values
}

#[test]
fn rope_is_its_formula_in_every_form() {
    let x = pattern(&[2, 3, 5, 16], 37);
    let freqs: Vec<f32> = (0..4u8).map(|i| 1.5 + f32::from(i)).collect();
    let freqs_array = Array::from_slice(&freqs, &[4]).unwrap();
    for (dtype, tolerance) in DTYPES {
        let input = x.astype(dtype).unwrap();
        for traditional in [false, true] {
            for (dims, base, scale) in [(16, 10_000.0f32, 1.0f32), (8, 500.0, 0.5), (2, 10.0, 2.0)] {
                let options = RopeOptions { dims, traditional, base: Some(base), scale, freqs: None };
                let rate = |i: usize| f64::from(base).powf(-2.0 * i as f64 / f64::from(dims));
                let width = usize::try_from(dims).unwrap();
                let name = format!("{dtype} {dims} {traditional}");
                for offset in [0, 7, -3] {
                    let expected = turned(&x, width, traditional, scale.into(), &[offset], rate);
                    let y = rope(&input, &options, offset).unwrap();
                    assert_eq!((y.dtype(), y.shape()), (dtype, x.shape()));
                    assert_close(&y, &expected, tolerance, &name);
                    for shape in [&[][..], &[1]] {
                        let same = Array::from_slice(&[offset], shape).unwrap();
                        assert_close(&rope(&input, &options, &same).unwrap(), &expected, tolerance, &name);
                    }
                }
                let expected = turned(&x, width, traditional, scale.into(), &[3, 11], rate);
                let offsets = Array::from_slice(&[3, 11], &[2]).unwrap();
                for offset_dtype in [Dtype::Int32, Dtype::Uint32, Dtype::Int64] {
                    let offsets = offsets.astype(offset_dtype).unwrap();
                    assert_close(&rope(&input, &options, &offsets).unwrap(), &expected, tolerance, &name);
                }
            }
            let options = RopeOptions {
                dims: 8,
                traditional,
                base: None,
                freqs: Some(freqs_array.clone()),
                ..Default::default()
            };
            let expected = turned(&x, 8, traditional, 1.0, &[4], |i| 1.0 / f64::from(freqs[i]));
            assert_close(&rope(&input, &options, 4).unwrap(), &expected, tolerance, "freqs");
            let offset = Array::scalar(4).unwrap();
            assert_close(
                &rope(&input, &options, &offset).unwrap(),
                &expected,
                tolerance,
                "freqs, array offset",
            );
        }
    }
}

#[test]
fn rope_takes_views_and_single_positions() {
    let options = RopeOptions { dims: 8, ..Default::default() };
    let rate = |i: usize| 10_000f64.powf(-2.0 * i as f64 / 8.0);
    // As attention makes it: heads taken out of [B, L, H, E].
    let view = pattern(&[2, 5, 3, 8], 37).swap_axes(1, 2).unwrap();
    assert_close(&rope(&view, &options, 2).unwrap(), &turned(&view, 8, false, 1.0, &[2], rate), 1e-5, "view");
    let one = pattern(&[2, 3, 1, 8], 37);
    assert_close(&rope(&one, &options, 9).unwrap(), &turned(&one, 8, false, 1.0, &[9], rate), 1e-5, "decode");
    let one_view = pattern(&[2, 1, 3, 8], 37).swap_axes(1, 2).unwrap();
    assert_close(
        &rope(&one_view, &options, 9).unwrap(),
        &turned(&one_view, 8, false, 1.0, &[9], rate),
        1e-5,
        "view",
    );
    let three = pattern(&[3, 5, 8], 37);
    let four = three.expand_dims(1).unwrap();
    assert_close(
        &rope(&three, &options, 1).unwrap(),
        &turned(&four, 8, false, 1.0, &[1], rate),
        1e-5,
        "three axes",
    );
    for shape in [[0, 3, 5, 8], [2, 0, 5, 8], [2, 3, 0, 8]] {
        let empty = rope(&pattern(&shape, 1), &options, 0).unwrap();
        empty.eval().unwrap();
        assert_eq!(empty.shape(), shape);
    }
}

#[test]
fn rope_rejects_what_does_not_fit() {
    let x = pattern(&[2, 3, 5, 8], 37);
    let of = |dims| RopeOptions { dims, ..Default::default() };
    let freqs = |shape: &[i32]| Some(pattern(shape, 1));
    let float_offset = Array::scalar(1.5f32).unwrap();
    let three = Array::from_slice(&[1, 2, 3], &[3]).unwrap();
    let matrix = Array::from_slice(&[1, 2], &[1, 2]).unwrap();
    for (argument, result) in [
        ("dims", rope(&x, &of(0), 0)),
        ("dims", rope(&x, &of(-2), 0)),
        ("dims", rope(&x, &of(3), 0)),
        ("dims", rope(&x, &of(10), 0)),
        ("dims", rope(&x, &of(i32::MAX), 0)),
        ("base", rope(&x, &RopeOptions { base: None, ..of(8) }, 0)),
        ("base", rope(&x, &RopeOptions { base: Some(0.0), ..of(8) }, 0)),
        ("base", rope(&x, &RopeOptions { base: Some(f32::NAN), ..of(8) }, 0)),
        ("scale", rope(&x, &RopeOptions { scale: f32::INFINITY, ..of(8) }, 0)),
        ("freqs", rope(&x, &RopeOptions { freqs: freqs(&[4]), ..of(8) }, 0)),
        ("freqs", rope(&x, &RopeOptions { base: None, freqs: freqs(&[3]), ..of(8) }, 0)),
        ("freqs", rope(&x, &RopeOptions { base: None, freqs: freqs(&[1, 4]), ..of(8) }, 0)),
        ("freqs", rope(&x, &RopeOptions { base: None, freqs: freqs(&[]), ..of(8) }, 0)),
        ("offset", rope(&x, &of(8), &float_offset)),
        ("offset", rope(&x, &of(8), &three)),
        ("offset", rope(&x, &of(8), &matrix)),
        ("x", rope(&Array::zeros(&[1, 1, 8], Dtype::Int32).unwrap(), &of(8), 0)),
    ] {
        assert!(
            matches!(&result, Err(Error::Argument { argument: found, .. }) if *found == argument),
            "{argument}: {result:?}"
        );
    }
    for shape in [&[][..], &[8], &[2, 8]] {
        assert!(matches!(rope(&pattern(shape, 1), &of(8), 0), Err(Error::Shape { .. })), "{shape:?}");
    }
}

/// Attention by its definition; `bias(b, h, i, j)` is added to the scores.
fn attention(
    q: &Array,
    k: &Array,
    v: &Array,
    scale: f64,
    bias: impl Fn(usize, usize, usize, usize) -> f64,
    sinks: Option<&[f64]>,
) -> Vec<f64> {
    let dims = |a: &Array| a.shape().iter().map(|&n| usize::try_from(n).unwrap()).collect::<Vec<_>>();
    let (qs, ks, vs) = (dims(q), dims(k), dims(v));
    let (heads, queries, width, groups, keys, out) = (qs[1], qs[2], qs[3], ks[1], ks[2], vs[3]);
    let (q, k, v) = (read(q), read(k), read(v));
    let mut result = vec![];
    for b in 0..qs[0] {
        for h in 0..heads {
            let group = b * groups + h / (heads / groups);
            for i in 0..queries {
                let score = |j: usize| {
                    let dot: f64 = (0..width)
                        .map(|e| {
                            q[((b * heads + h) * queries + i) * width + e] * k[(group * keys + j) * width + e]
                        })
                        .sum();
                    dot * scale + bias(b, h, i, j)
                };
                let exps: Vec<f64> = (0..keys).map(|j| score(j).exp()).collect();
                let total = exps.iter().sum::<f64>() + sinks.map_or(0.0, |sinks| sinks[h].exp());
                for e in 0..out {
                    result.push((0..keys).map(|j| exps[j] / total * v[(group * keys + j) * out + e]).sum());
                }
            }
        }
    }
    result
}

#[test]
fn attention_is_its_formula_under_every_mask() {
    // Grouped heads, one query as in decoding, more keys than queries, a value size of its own.
    for (b, heads, groups, queries, keys, width, out) in [
        (1, 2, 2, 4, 4, 8, 8),
        (2, 4, 2, 3, 5, 8, 8),
        (2, 6, 1, 1, 7, 16, 16),
        (1, 4, 2, 3, 5, 8, 4),
        (1, 2, 1, 2, 40, 64, 64),
        (1, 2, 2, 33, 65, 128, 128),
    ] {
        let q = pattern(&[b, heads, queries, width], 37);
        let (k, v) = (pattern(&[b, groups, keys, width], 23), pattern(&[b, groups, keys, out], 11));
        let scale = 1.0 / f32::from(i16::try_from(width).unwrap()).sqrt();
        let additive = pattern(&[b, heads, queries, keys], 13);
        let added = read(&additive);
        let [hs, ls, ss] = [heads, queries, keys].map(|n| usize::try_from(n).unwrap());
        let seen: Vec<bool> = (0..queries * keys).map(|i| i % 3 != 1 || i % keys == 0).collect();
        let boolean = Array::from_slice(&seen, &[queries, keys]).unwrap();
        let sinks = pattern(&[heads], 29);
        let sink_values = read(&sinks);
        let hide = |visible: bool| if visible { 0.0 } else { f64::NEG_INFINITY };
        type Bias<'a> = Box<dyn Fn(usize, usize, usize, usize) -> f64 + 'a>;
        for (dtype, tolerance) in DTYPES {
            // Scores are rounded before the softmax, and their errors grow in it.
            let tolerance = 2.0 * tolerance;
            let cast = |a: &Array| a.astype(dtype).unwrap();
            let additive = cast(&additive);
            let masks: [(&str, Mask<'_>, Bias<'_>); 4] = [
                ("none", Mask::None, Box::new(|_, _, _, _| 0.0)),
                ("causal", Mask::Causal, Box::new(|_, _, i, j| hide(j <= i + ss - ls))),
                (
                    "additive",
                    Mask::Additive(&additive),
                    Box::new(|b, h, i, j| added[((b * hs + h) * ls + i) * ss + j]),
                ),
                ("bool", Mask::Bool(&boolean), Box::new(|_, _, i, j| hide(seen[i * ss + j]))),
            ];
            for (name, mask, bias) in masks {
                for with_sinks in [false, true] {
                    let sinks = with_sinks.then(|| cast(&sinks));
                    let y = scaled_dot_product_attention(
                        &cast(&q),
                        &cast(&k),
                        &cast(&v),
                        scale,
                        mask,
                        sinks.as_ref(),
                    );
                    let y = y.unwrap();
                    assert_eq!((y.dtype(), y.shape()), (dtype, &[b, heads, queries, out][..]));
                    let sinks = with_sinks.then_some(sink_values.as_slice());
                    let expected = attention(&q, &k, &v, scale.into(), &bias, sinks);
                    assert_close(
                        &y,
                        &expected,
                        tolerance,
                        &format!("{name} {dtype} {with_sinks} {queries}x{keys}"),
                    );
                }
            }
        }
    }
}

#[test]
fn attention_takes_views() {
    let heads = |step| pattern(&[2, 5, 4, 8], step).swap_axes(1, 2).unwrap();
    let (q, k, v) = (heads(37), heads(23), heads(11));
    let y = scaled_dot_product_attention(&q, &k, &v, 0.5, Mask::Causal, None).unwrap();
    let causal = |_, _, i, j| if j <= i { 0.0 } else { f64::NEG_INFINITY };
    assert_close(&y, &attention(&q, &k, &v, 0.5, causal, None), 1e-5, "views");
    // As a cache makes it: the first part of longer buffers.
    let part = |a: &Array| a.index((.., .., 1..4)).unwrap();
    let y = scaled_dot_product_attention(&part(&q), &part(&k), &part(&v), 0.5, Mask::None, None).unwrap();
    assert_close(
        &y,
        &attention(&part(&q), &part(&k), &part(&v), 0.5, |_, _, _, _| 0.0, None),
        1e-5,
        "slices",
    );
}

#[test]
fn attention_promotes_only_where_operands_differ() {
    let half = |shape: &[i32]| pattern(shape, 37).astype(Dtype::Bfloat16).unwrap();
    let (q, k) = (half(&[1, 2, 3, 8]), half(&[1, 2, 3, 8]));
    let wide = pattern(&[1, 2, 3, 8], 37);
    let dtype = |q: &Array, k: &Array, v: &Array| {
        scaled_dot_product_attention(q, k, v, 1.0, Mask::None, None).unwrap().dtype()
    };
    assert_eq!(dtype(&q, &k, &k), Dtype::Bfloat16);
    assert_eq!(dtype(&q, &wide, &k), Dtype::Float32);
    let sinks = pattern(&[2], 1);
    assert!(scaled_dot_product_attention(&q, &k, &k, 1.0, Mask::Causal, Some(&sinks)).is_err());
    let sinks = sinks.astype(Dtype::Bfloat16).unwrap();
    let y = scaled_dot_product_attention(&q, &k, &k, 1.0, Mask::Causal, Some(&sinks)).unwrap();
    assert_eq!(y.dtype(), Dtype::Bfloat16);
    // A mask wider than the result would widen it.
    let mask = pattern(&[3, 3], 1);
    assert!(scaled_dot_product_attention(&q, &k, &k, 1.0, Mask::Additive(&mask), None).is_err());
}

#[test]
fn attention_rejects_what_does_not_fit() {
    let a = |shape: &[i32]| pattern(shape, 37);
    let plain = |q: &[i32], k: &[i32], v: &[i32], mask: Mask<'_>| {
        scaled_dot_product_attention(&a(q), &a(k), &a(v), 1.0, mask, None)
    };
    let good = [1, 4, 3, 8];
    for (q, k, v) in [
        (&[4, 3, 8][..], &[4, 3, 8][..], &[4, 3, 8][..]),
        (&[1, 3, 3, 8], &[1, 2, 3, 8], &[1, 2, 3, 8]),
        (&[1, 2, 3, 8], &[1, 4, 3, 8], &[1, 4, 3, 8]),
        (&good, &[1, 2, 3, 8], &[1, 1, 3, 8]),
        (&good, &[1, 2, 3, 8], &[1, 2, 5, 8]),
        (&good, &[2, 2, 3, 8], &[2, 2, 3, 8]),
        (&good, &[1, 2, 3, 4], &[1, 2, 3, 4]),
        (&good, &[1, 0, 3, 8], &[1, 0, 3, 8]),
        (&good, &[1, 4, 0, 8], &[1, 4, 0, 8]),
        (&[], &[], &[]),
    ] {
        assert!(matches!(plain(q, k, v, Mask::None), Err(Error::Shape { .. })), "{q:?} {k:?} {v:?}");
    }
    assert!(matches!(plain(&good, &[1, 4, 2, 8], &[1, 4, 2, 8], Mask::Causal), Err(Error::Shape { .. })));
    let masked = |mask: Mask<'_>| plain(&good, &[1, 2, 5, 8], &[1, 2, 5, 8], mask);
    let is_mask = |result: Result<Array>| matches!(result, Err(Error::Argument { argument: "mask", .. }));
    for shape in [&[4, 5][..], &[3, 4], &[1, 2, 3, 5], &[2, 4, 3, 5], &[1, 1, 4, 3, 5], &[0, 5]] {
        assert!(is_mask(masked(Mask::Additive(&a(shape)))), "{shape:?}");
        assert!(is_mask(masked(Mask::Bool(&Array::ones(shape, Dtype::Bool).unwrap()))), "{shape:?}");
    }
    assert!(is_mask(masked(Mask::Bool(&a(&[3, 5])))));
    for dtype in [Dtype::Bool, Dtype::Int32, Dtype::Complex64] {
        assert!(is_mask(masked(Mask::Additive(&Array::zeros(&[3, 5], dtype).unwrap()))), "{dtype}");
    }
    assert!(masked(Mask::Additive(&Array::zeros(&[3, 5], Dtype::Float64).unwrap())).is_err());
    for shape in [&[][..], &[5], &[3, 1], &[1, 1, 3, 5], &[1, 4, 1, 1]] {
        masked(Mask::Additive(&a(shape))).unwrap().eval().unwrap();
        masked(Mask::Bool(&Array::ones(shape, Dtype::Bool).unwrap())).unwrap().eval().unwrap();
    }
    let q = a(&good);
    for sinks in [a(&[]), a(&[2]), a(&[4, 1]), a(&[0]), Array::zeros(&[4], Dtype::Int32).unwrap()] {
        let result = scaled_dot_product_attention(&q, &q, &q, 1.0, Mask::None, Some(&sinks));
        assert!(matches!(result, Err(Error::Argument { argument: "sinks", .. })), "{sinks:?}");
    }
    for dtype in [Dtype::Int32, Dtype::Bool, Dtype::Complex64] {
        let odd = q.astype(dtype).unwrap();
        assert!(scaled_dot_product_attention(&odd, &q, &q, 1.0, Mask::None, None).is_err());
        assert!(scaled_dot_product_attention(&q, &q, &odd, 1.0, Mask::None, None).is_err());
    }
}

/// Some of these end the process in the native kernel.
#[test]
fn attention_of_nothing_is_nothing() {
    let a = |shape: &[i32]| pattern(shape, 37);
    for (q, k, v) in [
        ([1, 2, 0, 8], [1, 2, 3, 8], [1, 2, 3, 8]),
        ([1, 2, 0, 8], [1, 2, 0, 8], [1, 2, 0, 8]),
        ([0, 2, 3, 8], [0, 2, 3, 8], [0, 2, 3, 8]),
        ([1, 0, 3, 8], [1, 2, 3, 8], [1, 2, 3, 8]),
        ([1, 2, 3, 8], [1, 2, 3, 8], [1, 2, 3, 0]),
    ] {
        for mask in [Mask::None, Mask::Causal] {
            let y = scaled_dot_product_attention(&a(&q), &a(&k), &a(&v), 1.0, mask, None).unwrap();
            y.eval().unwrap();
            assert_eq!(y.shape(), [q[0], q[1], q[2], v[3]]);
        }
    }
    let none = [1, 2, 3, 0];
    let y =
        scaled_dot_product_attention(&a(&none), &a(&none), &a(&[1, 2, 3, 4]), 1.0, Mask::None, None).unwrap();
    let expected = attention(&a(&none), &a(&none), &a(&[1, 2, 3, 4]), 1.0, |_, _, _, _| 0.0, None);
    assert_close(&y, &expected, 1e-5, "no width: all keys alike");
}
