// SPDX-License-Identifier: EUPL-1.2
//! Derivatives and compiled functions, and failures inside the functions they are taken of.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mlx_core::transform::{compile, jvp, value_and_grad, vjp};
use mlx_core::{Array, Error, Result};

fn cube(x: &[Array]) -> Result<Vec<Array>> {
    Ok(vec![(&(&x[0] * &x[0])? * &x[0])?.sum_all()?])
}

fn vector(values: &[f32]) -> Array {
    Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap()
}

#[test]
fn gradient_of_a_cube_is_three_squares() {
    let (value, grad) = value_and_grad(cube, &[0], &[vector(&[1.0, 2.0, -3.0])]).unwrap();
    assert_eq!(value[0].item::<f32>().unwrap(), 1.0 + 8.0 - 27.0);
    assert_eq!(grad[0].to_vec::<f32>().unwrap(), [3.0, 12.0, 27.0]);
}

#[test]
fn gradients_come_in_the_order_asked_for() {
    let product = |x: &[Array]| Ok(vec![(&x[0] * &x[1])?.sum_all()?]);
    let (_, grads) = value_and_grad(product, &[1, 0], &[vector(&[2.0]), vector(&[5.0])]).unwrap();
    assert_eq!(grads[0].item::<f32>().unwrap(), 2.0);
    assert_eq!(grads[1].item::<f32>().unwrap(), 5.0);
}

#[test]
fn vjp_and_jvp_agree_with_the_derivative() {
    let square = |x: &[Array]| Ok(vec![(&x[0] * &x[0])?]);
    let (_, pulled) = vjp(square, &[vector(&[3.0, 4.0])], &[vector(&[1.0, 10.0])]).unwrap();
    assert_eq!(pulled[0].to_vec::<f32>().unwrap(), [6.0, 80.0]);
    let (_, pushed) = jvp(square, &[vector(&[3.0, 4.0])], &[vector(&[1.0, 10.0])]).unwrap();
    assert_eq!(pushed[0].to_vec::<f32>().unwrap(), [6.0, 80.0]);
}

#[test]
fn arguments_that_name_no_input_are_errors() {
    for arguments in [&[][..], &[1][..], &[usize::MAX][..]] {
        let error = value_and_grad(cube, arguments, &[vector(&[1.0])]).unwrap_err();
        assert!(matches!(error, Error::Argument { argument: "arguments", .. }), "{error}");
    }
}

#[test]
fn error_in_the_function_comes_back_as_itself() {
    let wanted = |_: &[Array]| Array::scalar(1.0f32)?.item::<i32>().map(|_| vec![]);
    let error = value_and_grad(wanted, &[0], &[vector(&[1.0])]).unwrap_err();
    assert!(matches!(error, Error::Dtype { .. }), "{error}");
    assert!(vjp(wanted, &[vector(&[1.0])], &[vector(&[1.0])]).is_err());
}

#[test]
fn panic_in_the_function_goes_on_in_the_caller() {
    let payload = catch_unwind(AssertUnwindSafe(|| {
        value_and_grad(|_: &[Array]| panic!("wanted"), &[0], &[vector(&[1.0])])
    }))
    .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"wanted"));
    assert!(value_and_grad(cube, &[0], &[vector(&[1.0])]).is_ok());
}

#[test]
fn nested_functions_give_back_the_innermost_error() {
    let outer = |x: &[Array]| {
        let inner = |_: &[Array]| {
            Err(Error::Dtype { op: "inner", expected: mlx_core::Dtype::Int8, found: mlx_core::Dtype::Bool })
        };
        value_and_grad(inner, &[0], x).map(|(v, _)| v)
    };
    let error = value_and_grad(outer, &[0], &[vector(&[1.0])]).unwrap_err();
    assert!(matches!(error, Error::Dtype { op: "inner", .. }), "{error}");
}

#[test]
fn results_that_do_not_fit_are_errors() {
    let vector_valued = |x: &[Array]| Ok(x.to_vec());
    assert!(value_and_grad(vector_valued, &[0], &[vector(&[1.0, 2.0])]).is_err());
    assert!(value_and_grad(|_: &[Array]| Ok(vec![]), &[0], &[vector(&[1.0, 2.0])]).is_err());
    assert!(vjp(vector_valued, &[vector(&[1.0, 2.0])], &[vector(&[1.0])]).is_err());
    assert!(jvp(vector_valued, &[vector(&[1.0, 2.0])], &[]).is_err());
}

#[test]
fn compiled_function_runs_once_for_each_shape_and_survives_its_own_failures() {
    let runs = Rc::new(Cell::new(0));
    let (counted, broken) = (Rc::clone(&runs), Rc::new(Cell::new(0)));
    let how = Rc::clone(&broken);
    let f = compile(move |x| {
        counted.set(counted.get() + 1);
        match how.get() {
            1 => Err(Error::Index { op: "inner", index: 1, size: 1 }),
            2 => panic!("inside"),
            3 => x[0].item::<f32>().map(|_| vec![]),
            _ => Ok(vec![(&x[0] * 2.0)?, (&x[0] + 1.0)?]),
        }
    });
    let call = |x: &[f32]| {
        let x = Array::from_slice(x, &[i32::try_from(x.len()).unwrap()]).unwrap();
        Ok::<_, Error>(f.call(&[x])?.iter().map(|y| y.to_vec::<f32>().unwrap()).collect::<Vec<_>>())
    };
    // The library would take the graph of a failed call for a finished one without results.
    broken.set(1);
    for _ in 0..2 {
        assert!(matches!(call(&[1.0]), Err(Error::Index { op: "inner", .. })));
    }
    broken.set(2);
    assert!(catch_unwind(AssertUnwindSafe(|| call(&[1.0]))).is_err());
    broken.set(3);
    assert!(call(&[1.0]).is_err());
    broken.set(0);
    runs.set(0);
    for x in [1.0, 2.0, 3.0] {
        assert_eq!(call(&[x]).unwrap(), [[x * 2.0], [x + 1.0]]);
    }
    assert_eq!(runs.get(), 1);
    assert_eq!(call(&[1.0, 2.0]).unwrap(), [[2.0, 4.0], [2.0, 3.0]]);
    assert_eq!(runs.get(), 2);
}
