// SPDX-License-Identifier: EUPL-1.2
//! Derivatives of single ops and of whole functions, of any order, through trees.

use std::collections::BTreeMap;

use mlx_core::transform::{Tree, grad, jvp, value_and_grad, value_and_grad_by, vjp};
use mlx_core::{Array, Dtype, Error, Result, concatenate, where_};

use super::{broken, close, fails_as_told, matrix, scalar, vector};
use crate::alone::alone;

/// The derivative of a function of one number.
fn slope(function: impl FnOnce(&Array) -> Result<Array>, at: f32) -> f32 {
    grad(function, &scalar(at)).unwrap().item().unwrap()
}

#[test]
fn derivatives_of_any_order_are_right() {
    fn nth(n: u32, x: &Array) -> Result<Array> {
        match n {
            0 => x.square()?.square(),
            n => grad(|x: &Array| nth(n - 1, x), x),
        }
    }
    for (n, expected) in [(0, 16.0), (1, 32.0), (2, 48.0), (3, 48.0), (4, 24.0), (5, 0.0)] {
        close(&nth(n, &scalar(2.0)).unwrap(), &[expected]);
    }
    let second = |x: &Array| grad(|x: &Array| grad(|x: &Array| x.sin(), x), x);
    close(&second(&scalar(0.5)).unwrap(), &[-(0.5f32.sin())]);
    // Forwards over backwards, and the other way round, on a product of inputs.
    let f = |x: &[Array]| Ok(vec![(&(&x[0] * &x[0])? * &x[1])?]);
    let (x, y, one) = (scalar(3.0), scalar(5.0), scalar(1.0));
    let inner = |x: &[Array]| Ok(vjp(f, &[x[0].clone(), y.clone()], &[one.clone()])?.1);
    let (first, pushed) = jvp(inner, &[x.clone()], &[one.clone()]).unwrap();
    close(&first[0], &[30.0]);
    close(&pushed[0], &[10.0]);
    close(&pushed[1], &[6.0]);
    let inner = |x: &[Array]| Ok(jvp(f, &[x[0].clone(), y.clone()], &[one.clone(), scalar(0.0)])?.1);
    close(&vjp(inner, &[x], &[one.clone()]).unwrap().1[0], &[10.0]);
}

#[test]
fn functions_borrow_from_their_surroundings() {
    let weights = [scalar(2.0), scalar(3.0)];
    let mut seen = Vec::new();
    let gradient = grad(
        |x: &Array| {
            seen.push(x.shape().to_vec());
            (&(x * &weights[0])? * &weights[1])?.sum_all()
        },
        &vector(&[1.0, 1.0]),
    );
    close(&gradient.unwrap(), &[6.0, 6.0]);
    assert_eq!(seen, [[2]]);
}

#[test]
fn trees_have_gradients_of_their_own_shape() {
    type Layer = BTreeMap<String, Array>;
    let layer =
        |w: f32| -> Layer { [("w".to_owned(), vector(&[w, w])), ("b".to_owned(), scalar(1.0))].into() };
    let params: (Vec<Layer>, Option<Array>, [Array; 2]) =
        (vec![layer(2.0), layer(3.0)], Some(scalar(4.0)), [scalar(5.0), scalar(7.0)]);
    let loss = |p: &(Vec<Layer>, Option<Array>, [Array; 2])| -> Result<(Array, Vec<Array>)> {
        let mut y = p.2[0].clone();
        let mut kept = vec![];
        for layer in &p.0 {
            y = (&(&layer["w"] * &y)? + &layer["b"])?.sum_all()?;
            kept.push(y.clone());
        }
        Ok(((&y * p.1.as_ref().unwrap())?, kept))
    };
    let ((value, kept), gradient) = value_and_grad(loss, &params).unwrap();
    close(&value, &[536.0]);
    assert_eq!(kept.len(), 2);
    close(&kept[0], &[22.0]);
    close(&gradient.0[0]["w"], &[120.0, 120.0]);
    close(&gradient.0[0]["b"], &[48.0]);
    close(&gradient.0[1]["w"], &[88.0, 88.0]);
    close(gradient.1.as_ref().unwrap(), &[134.0]);
    close(&gradient.2[0], &[96.0]);
    close(&gradient.2[1], &[0.0]);
    // A tree without that part, and a slice.
    let fewer = (params.0.clone(), None, params.2.clone());
    assert!(grad(|p: &(Vec<Layer>, Option<Array>, [Array; 2])| p.2[0].square(), &fewer).unwrap().1.is_none());
    let list = [scalar(1.0), scalar(2.0)];
    let gradient = grad(|x: &[Array]| &x[0] * &x[1], &list[..]).unwrap();
    assert_eq!(gradient.leaves().len(), 2);
    close(&gradient[0], &[2.0]);
}

#[test]
fn leaves_without_a_derivative_get_zeros() {
    let tree =
        (vector(&[1.0, 2.0]), Array::from_slice(&[3i32, 4], &[2]).unwrap(), Array::scalar(true).unwrap());
    let loss = |(x, n, _): &(Array, Array, Array)| (x * n)?.sum_all();
    let gradient = grad(loss, &tree).unwrap();
    close(&gradient.0, &[3.0, 4.0]);
    assert_eq!(gradient.1.to_vec::<i32>().unwrap(), [0, 0]);
    assert!(!gradient.2.item::<bool>().unwrap());
    let error = grad(|n: &Array| n.sum_all(), &tree.1).unwrap_err();
    assert!(matches!(error, Error::Argument { argument: "at", .. }), "{error}");
    assert!(grad(|_: &Vec<Array>| Ok(scalar(1.0)), &vec![]).is_err());
    let error = value_and_grad_by(|x| Ok(vec![x[0].clone()]), &[0], &[Array::scalar(1i32).unwrap()]);
    assert!(matches!(error, Err(Error::Dtype { .. })));
    // A loss that is no number has no slope.
    for dtype in [Dtype::Int32, Dtype::Bool, Dtype::Complex64] {
        let error = grad(|x: &Array| x.sum_all()?.astype(dtype), &tree.0).unwrap_err();
        assert!(matches!(error, Error::Dtype { .. }), "{error}");
    }
}

#[test]
fn half_precision_and_float64_keep_their_dtype() {
    for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
        let x = vector(&[1.0, 2.0, 3.0]).astype(dtype).unwrap();
        let gradient = grad(|x: &Array| x.square()?.sum_all(), &x).unwrap();
        assert_eq!(gradient.dtype(), dtype);
        close(&gradient, &[2.0, 4.0, 6.0]);
    }
}

#[test]
fn gradients_go_through_indexing_scatter_where_and_reductions_with_ties() {
    let x = vector(&[1.0, 3.0, 2.0, 3.0]);
    let indices = Array::from_slice(&[1i32, 1, 0], &[3]).unwrap();
    let of = |f: &dyn Fn(&Array) -> Result<Array>| grad(|x: &Array| f(x)?.sum_all(), &x).unwrap();
    close(&of(&|x| x.index(1)), &[0.0, 1.0, 0.0, 0.0]);
    close(&of(&|x| x.index(1..3)?.square()), &[0.0, 6.0, 4.0, 0.0]);
    close(&of(&|x| x.take(&indices, 0)), &[1.0, 2.0, 0.0, 0.0]);
    close(&of(&|x| concatenate(&[x, &x.square()?], 0)), &[3.0, 7.0, 5.0, 7.0]);
    close(&of(&|x| where_(&x.greater(&scalar(1.5))?, &x.square()?, &(x * 10.0)?)), &[10.0, 6.0, 4.0, 6.0]);
    // Those that reach the maximum share its slope.
    close(&of(&|x| x.max(0, false)), &[0.0, 0.5, 0.0, 0.5]);
    close(&of(&|x| x.prod(0, false)), &[18.0, 6.0, 9.0, 6.0]);
    close(&of(&|x| x.cumsum(0, mlx_core::Scan::default())), &[4.0, 3.0, 2.0, 1.0]);
    close(&of(&|x| x.sort(0)?.index(0)), &[1.0, 0.0, 0.0, 0.0]);
    // An index has no slope.
    assert!(grad(|x: &Array| x.argmax(0, false)?.astype(Dtype::Float32), &x).is_ok());
}

#[test]
fn square_root_at_zero_and_where_do_what_they_say() {
    assert!(slope(|x| x.sqrt(), 0.0).is_infinite());
    assert!(slope(|x| x.log(), 0.0).is_infinite());
    assert_eq!(slope(|x| x.abs(), 0.0), 0.0);
    assert_eq!(slope(|x| x.maximum(&scalar(0.0)), 2.0), 1.0);
    assert_eq!(slope(|x| x.power(&scalar(3.0)), 2.0), 12.0);
    assert_eq!(slope(|x| scalar(2.0).power(x), 0.0), 2.0f32.ln());
}

#[test]
fn stop_gradient_stops_it_at_every_depth() {
    assert_eq!(slope(|x| &x.stop_gradient()? * x, 3.0), 3.0);
    assert_eq!(slope(|x| (x * x)?.stop_gradient(), 3.0), 0.0);
    // Inside, outside, and both of a second derivative.
    let inner = |x: &Array| grad(|x: &Array| &x.square()? * &x.stop_gradient()?, x);
    assert_eq!(inner(&scalar(3.0)).unwrap().item::<f32>().unwrap(), 18.0);
    assert_eq!(slope(inner, 3.0), 6.0);
    assert_eq!(slope(|x| inner(x)?.stop_gradient(), 3.0), 0.0);
    assert_eq!(slope(|x| &inner(&x.stop_gradient()?)? * x, 3.0), 18.0);
    let pushed = |x: &[Array]| Ok(vec![(&x[0].stop_gradient()? * &x[0])?]);
    close(&jvp(pushed, &[scalar(3.0)], &[scalar(1.0)]).unwrap().1[0], &[3.0]);
}

#[test]
fn cotangents_belong_to_their_results_though_some_are_stopped_or_given_twice() {
    let x = [vector(&[1.0, 2.0])];
    let stopped = |x: &[Array]| Ok(vec![x[0].stop_gradient()?, (&x[0] * 2.0)?]);
    let (values, pulled) = vjp(stopped, &x, &[vector(&[5.0, 5.0]), vector(&[7.0, 7.0])]).unwrap();
    close(&values[1], &[2.0, 4.0]);
    close(&pulled[0], &[14.0, 14.0]);
    let twice = |x: &[Array]| {
        let y = (&x[0] * 2.0)?;
        Ok(vec![y.clone(), y, x[0].clone()])
    };
    let cotangents = [vector(&[1.0, 1.0]), vector(&[10.0, 10.0]), vector(&[100.0, 100.0])];
    close(&vjp(twice, &x, &cotangents).unwrap().1[0], &[122.0, 122.0]);
    close(&vjp(|x| Ok(vec![x[0].stop_gradient()?]), &x, &cotangents[..1]).unwrap().1[0], &[0.0, 0.0]);
    // The same array as two inputs has a gradient for each.
    let (_, pulled) =
        vjp(|x| Ok(vec![(&x[0] * &x[1])?]), &[x[0].clone(), x[0].clone()], &cotangents[..1]).unwrap();
    close(&pulled[0], &[1.0, 2.0]);
    close(&pulled[1], &[1.0, 2.0]);
}

#[test]
fn cotangents_and_tangents_that_do_not_fit_are_errors() {
    let x = [vector(&[1.0, 2.0])];
    let same = |x: &[Array]| Ok(x.to_vec());
    for wrong in [&[][..], &[scalar(1.0)][..], &[x[0].clone(), x[0].clone()][..]] {
        assert!(matches!(vjp(same, &x, wrong), Err(Error::Shape { .. })));
        assert!(matches!(jvp(same, &x, wrong), Err(Error::Shape { .. })));
    }
    let whole = x[0].astype(Dtype::Int32).unwrap();
    assert!(matches!(jvp(same, &x, &[whole]), Err(Error::Dtype { .. })));
    assert!(vjp(|_| Ok(vec![]), &x, &[]).unwrap().0.is_empty());
    assert!(jvp(|_| Ok(vec![]), &x, &x).unwrap().1.is_empty());
    assert!(vjp(|_| Ok(vec![scalar(1.0)]), &[], &[scalar(1.0)]).unwrap().1.is_empty());
}

#[test]
fn zero_size_arrays_have_gradients() {
    let empty = Array::from_slice::<f32>(&[], &[0, 3]).unwrap();
    let gradient = grad(|x: &Array| x.exp()?.sum_all(), &empty).unwrap();
    assert_eq!(gradient.shape(), [0, 3]);
    assert!(gradient.to_vec::<f32>().unwrap().is_empty());
}

#[test]
fn gradients_of_empty_arrays_in_another_layout_come_to_an_end() {
    alone("transform::grad::gradients_of_empty_arrays_in_another_layout_come_to_an_end", || {
        let x = Array::ones(&[7, 1, 1], Dtype::Float32).unwrap();
        let empty = Array::ones(&[7, 1, 0], Dtype::Float32).unwrap();
        let product = |x: &[Array]| Ok(vec![(&x[0] * &empty)?.transpose()?]);
        let cotangent = Array::zeros(&[0, 1, 7], Dtype::Float32).unwrap();
        // The gradient by x is a sum over the axis that x does not have, of the cotangent transposed.
        let (results, gradients) = vjp(product, &[x.clone()], &[cotangent.clone()]).unwrap();
        assert_eq!(results[0].shape(), [0, 1, 7]);
        assert_eq!(gradients[0].to_vec::<f32>().unwrap(), [0.0; 7]);

        let total = |x: &Array| (x * &empty)?.transpose()?.sum_all();
        assert_eq!(grad(total, &x).unwrap().to_vec::<f32>().unwrap(), [0.0; 7]);
        // Of a gradient, too.
        let slope = |x: &Array| {
            let product = |x: &[Array]| Ok(vec![(&x[0].square()? * &empty)?.transpose()?]);
            vjp(product, &[x.clone()], &[cotangent.clone()])?.1[0].sum_all()
        };
        assert_eq!(grad(slope, &x).unwrap().to_vec::<f32>().unwrap(), [0.0; 7]);
        let (_, pushed) = jvp(product, &[x.clone()], &[x.clone()]).unwrap();
        assert_eq!(pushed[0].shape(), [0, 1, 7]);
        assert!(pushed[0].to_vec::<f32>().unwrap().is_empty());
    });
}

#[test]
fn values_inside_a_function_may_be_read_and_the_gradient_stays() {
    let gradient = grad(
        |x: &Array| {
            let y = x.square()?;
            // Control flow by value.
            if y.item::<f32>()? > 1.0 { &y * x } else { Ok(y) }
        },
        &scalar(2.0),
    );
    close(&gradient.unwrap(), &[12.0]);
}

#[test]
fn matmul_and_broadcast_have_the_gradients_of_their_formulas() {
    let (a, b) = (matrix(&[1.0, 2.0, 3.0, 4.0], 2), matrix(&[5.0, 6.0, 7.0, 8.0], 2));
    let gradient = grad(|(a, b): &(Array, Array)| a.matmul(b)?.sum_all(), &(a.clone(), b)).unwrap();
    close(&gradient.0, &[11.0, 15.0, 11.0, 15.0]);
    close(&gradient.1, &[4.0, 4.0, 6.0, 6.0]);
    let gradient = grad(|x: &Array| (&a * x)?.sum_all(), &vector(&[1.0, 1.0])).unwrap();
    close(&gradient, &[4.0, 6.0]);
}

#[test]
fn failures_in_functions_come_back_as_themselves_from_any_depth() {
    let x = scalar(1.0);
    for how in [0, 1] {
        fails_as_told(how, || grad(|x: &Array| broken(how).map(|()| x.clone()), &x));
        fails_as_told(how, || vjp(|x| broken(how).map(|()| x.to_vec()), &[x.clone()], &[x.clone()]));
        fails_as_told(how, || jvp(|x| broken(how).map(|()| x.to_vec()), &[x.clone()], &[x.clone()]));
        let inner = |x: &Array| grad(|x: &Array| broken(how).map(|()| x.clone()), x);
        fails_as_told(how, || grad(inner, &x));
    }
}
