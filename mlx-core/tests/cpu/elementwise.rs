// SPDX-License-Identifier: EUPL-1.2
//! Activations, reductions, casts and sums.

use super::*;

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
