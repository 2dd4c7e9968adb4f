// SPDX-License-Identifier: EUPL-1.2
//! Norms.

use super::*;

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
