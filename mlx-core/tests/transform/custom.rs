// SPDX-License-Identifier: EUPL-1.2
//! Functions with derivatives of their own, and those that are computed again.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use mlx_core::transform::{CustomFunction, checkpoint, compile, grad, jvp, vjp, vmap};
use mlx_core::{Array, Error, Result};

use super::{broken, close, fails_as_told, matrix, scalar, vector};

fn sum(function: &CustomFunction) -> impl Fn(&Array) -> Result<Array> {
    move |x| function.call(std::slice::from_ref(x))?[0].sum_all()
}

#[test]
fn own_derivatives_take_the_place_of_the_functions() {
    let f = CustomFunction::new(|x| Ok(vec![(&x[0] * &x[1])?, x[0].exp()?]))
        .with_vjp(|primals, cotangents, results| {
            assert_eq!([primals.len(), cotangents.len(), results.len()], [2, 2, 2]);
            Ok(vec![(&cotangents[0] * 100.0)?, (&results[0] * &cotangents[0])?])
        })
        .with_jvp(|primals, tangents, of| {
            assert_eq!((primals.len(), tangents.len()), (2, of.len()));
            Ok(vec![(&tangents[0] * 7.0)?, (&tangents[0] * 8.0)?])
        })
        .with_vmap(|inputs, axes| {
            assert_eq!(axes, [Some(0), None]);
            let y = (&inputs[0] + &inputs[1])?;
            Ok(vec![(y.clone(), Some(0)), (inputs[1].clone(), None)])
        });
    let (x, y) = (vector(&[1.0, 2.0]), vector(&[3.0, 4.0]));
    let values = f.call(&[x.clone(), y.clone()]).unwrap();
    close(&values[0], &[3.0, 8.0]);
    let ones = vector(&[1.0, 1.0]);
    let (_, pulled) = vjp(|x| f.call(x), &[x.clone(), y.clone()], &[ones.clone(), ones.clone()]).unwrap();
    close(&pulled[0], &[100.0, 100.0]);
    close(&pulled[1], &[3.0, 8.0]);
    let (values, pushed) = jvp(|x| f.call(x), &[x.clone(), y.clone()], &[ones.clone(), ones]).unwrap();
    close(&values[0], &[3.0, 8.0]);
    close(&pushed[0], &[7.0, 7.0]);
    close(&pushed[1], &[8.0, 8.0]);
    // Of one input alone.
    let one = |v: &Array| f.call(&[x.clone(), v.clone()])?[0].sum_all();
    close(&grad(one, &y).unwrap(), &[3.0, 8.0]);
    let rows = matrix(&[1.0, 2.0, 3.0, 4.0], 2);
    let mapped = vmap(|x| f.call(x), &[rows, y], [Some(0), None], 0).unwrap();
    close(&mapped[0], &[4.0, 6.0, 6.0, 8.0]);
    close(&mapped[1], &[3.0, 4.0, 3.0, 4.0]);
}

#[test]
fn what_is_not_said_is_found_from_the_function() {
    let plain = CustomFunction::new(|x| Ok(vec![x[0].square()?]));
    let x = vector(&[1.0, 3.0]);
    close(&grad(sum(&plain), &x).unwrap(), &[2.0, 6.0]);
    let ones = [vector(&[1.0, 1.0])];
    close(&jvp(|x| plain.call(x), &[x.clone()], &ones).unwrap().1[0], &[2.0, 6.0]);
    close(&vmap(|x| plain.call(x), &[x.clone()], 0, 0).unwrap()[0], &[1.0, 9.0]);
    // Own pullback, the function's way to be mapped.
    let f = plain.with_vjp(|_, cotangents, _| Ok(cotangents.to_vec()));
    close(&vmap(|x| f.call(x), &[x.clone()], 0, 0).unwrap()[0], &[1.0, 9.0]);
    close(&grad(sum(&f), &x).unwrap(), &[1.0, 1.0]);
    // In a compiled function, and with a second derivative.
    let compiled = compile(move |x: &Array| grad(sum(&f), x));
    close(&compiled.call(&x).unwrap(), &[1.0, 1.0]);
    let cube = CustomFunction::new(|x| Ok(vec![(&x[0].square()? * &x[0])?]))
        .with_vjp(|primals, cotangents, _| Ok(vec![(&(&primals[0].square()? * 3.0)? * &cotangents[0])?]));
    let second = grad(|x: &Array| grad(sum(&cube), x)?.sum_all(), &x).unwrap();
    close(&second, &[6.0, 18.0]);
}

#[test]
fn derivatives_that_do_not_fit_are_errors() {
    let x = [vector(&[1.0, 2.0])];
    type Wrong = fn(&Array) -> Result<Vec<Array>>;
    let wrong: [Wrong; 3] = [|_| Ok(vec![]), |x| Ok(vec![x.clone(), x.clone()]), |_| Ok(vec![scalar(1.0)])];
    for wrong in wrong {
        let f = CustomFunction::new(|x| Ok(x.to_vec()))
            .with_vjp(move |x, _, _| wrong(&x[0]))
            .with_jvp(move |x, _, _| wrong(&x[0]))
            .with_vmap(move |x, _| Ok(wrong(&x[0])?.into_iter().map(|y| (y, Some(0))).collect()));
        assert!(matches!(vjp(|x| f.call(x), &x, &x), Err(Error::Shape { .. })));
        assert!(matches!(jvp(|x| f.call(x), &x, &x), Err(Error::Shape { .. })));
        assert!(matches!(vmap(|x| f.call(x), &x, 0, 0), Err(Error::Shape { .. })));
    }
    for axis in [1, usize::MAX] {
        let f = CustomFunction::new(|x| Ok(x.to_vec()))
            .with_vmap(move |x, _| Ok(vec![(x[0].clone(), Some(axis))]));
        assert!(vmap(|x| f.call(x), &x, 0, 0).is_err());
    }
    let none = CustomFunction::new(|_| Ok(vec![]));
    assert!(matches!(none.call(&x), Err(Error::Shape { .. })));
    assert!(checkpoint(|_: &Array| Ok(()), &x[0]).is_err());
}

#[test]
fn failures_in_derivatives_come_back_as_themselves() {
    let x = [vector(&[1.0, 2.0])];
    for how in [0, 1] {
        let fails = move || broken(how).map(|()| vec![]);
        let f = CustomFunction::new(move |_| fails());
        fails_as_told(how, || f.call(&x));
        let f = CustomFunction::new(|x| Ok(x.to_vec()))
            .with_vjp(move |_, _, _| fails())
            .with_jvp(move |_, _, _| fails())
            .with_vmap(move |_, _| broken(how).map(|()| vec![]));
        fails_as_told(how, || vjp(|x| f.call(x), &x, &x));
        fails_as_told(how, || jvp(|x| f.call(x), &x, &x));
        fails_as_told(how, || vmap(|x| f.call(x), &x, 0, 0));
        fails_as_told(how, || grad(|x: &Array| f.call(&[x.clone()])?[0].sum_all(), &x[0]));
        fails_as_told(how, || checkpoint(move |_: &Array| fails(), &x[0]));
    }
}

#[test]
fn checkpoint_runs_the_function_again_for_the_gradient() {
    type Params = BTreeMap<String, Array>;
    let params = Params::from([("w".to_owned(), vector(&[2.0, 3.0])), ("b".to_owned(), scalar(1.0))]);
    let runs = Rc::new(Cell::new(0));
    let loss = |p: &Params| {
        let counted = Rc::clone(&runs);
        let layer = move |(p, x): &(Params, Array)| -> Result<(Array, Array)> {
            counted.set(counted.get() + 1);
            let y = (&(&p["w"] * x)? + &p["b"])?.square()?;
            Ok((y.clone(), y))
        };
        checkpoint(layer, &(p.clone(), vector(&[1.0, 1.0])))?.0.sum_all()
    };
    assert_eq!(loss(&params).unwrap().item::<f32>().unwrap(), 25.0);
    assert_eq!(runs.replace(0), 1);
    let gradient = grad(loss, &params).unwrap();
    close(&gradient["w"], &[6.0, 8.0]);
    close(&gradient["b"], &[14.0]);
    assert_eq!(runs.get(), 2);
}
