// SPDX-License-Identifier: EUPL-1.2
//! Rotations, attention, and the buffers of keys and values.

use super::*;

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
