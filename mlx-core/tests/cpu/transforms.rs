// SPDX-License-Identifier: EUPL-1.2
//! Derivatives of derivatives, tangents, compiled functions.

use super::*;

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
