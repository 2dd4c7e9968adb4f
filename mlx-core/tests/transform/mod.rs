// SPDX-License-Identifier: EUPL-1.2
//! Derivatives and compiled functions, and failures inside the functions they are taken of.
#![allow(clippy::cloned_ref_to_slice_refs, reason = "a list of one, as a caller writes it")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use mlx_core::transform::{jvp, value_and_grad_by, vjp};
use mlx_core::{Array, Dtype, Error, Result};

mod compile;
mod custom;
mod export;
mod grad;
mod vmap;

fn cube(x: &[Array]) -> Result<Vec<Array>> {
    Ok(vec![(&(&x[0] * &x[0])? * &x[0])?.sum_all()?])
}

/// Values that are close, in float32.
#[track_caller]
fn close(found: &Array, expected: &[f32]) {
    let found = found.astype(Dtype::Float32).unwrap().to_vec::<f32>().unwrap();
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 + 1e-5 * b.abs();
    assert!(
        found.len() == expected.len() && found.iter().zip(expected).all(near),
        "{found:?} for {expected:?}"
    );
}

fn scalar(value: f32) -> Array {
    Array::scalar(value).unwrap()
}

fn matrix(values: &[f32], columns: i32) -> Array {
    Array::from_slice(values, &[values.len() as i32 / columns, columns]).unwrap()
}

/// What goes wrong in a callback.
fn broken(how: u32) -> Result<()> {
    match how {
        0 => Err(Error::Index { op: "inner", index: 1, size: 1 }),
        _ => panic!("inside"),
    }
}

/// Whether `body` fails as `broken(how)` does.
#[track_caller]
fn fails_as_told<T: std::fmt::Debug>(how: u32, body: impl FnOnce() -> Result<T>) {
    let result = catch_unwind(AssertUnwindSafe(body));
    match (how, result) {
        (0, Ok(Err(Error::Index { op: "inner", .. }))) => {}
        (1, Err(payload)) => assert_eq!(payload.downcast_ref::<&str>(), Some(&"inside")),
        (_, other) => panic!("{other:?}"),
    }
    // Nothing of it is left for the next call.
    assert_eq!((&scalar(1.0) + 1.0).unwrap().item::<f32>().unwrap(), 2.0);
}

fn vector(values: &[f32]) -> Array {
    Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap()
}

#[test]
fn gradient_of_a_cube_is_three_squares() {
    let (value, grad) = value_and_grad_by(cube, &[0], &[vector(&[1.0, 2.0, -3.0])]).unwrap();
    assert_eq!(value[0].item::<f32>().unwrap(), 1.0 + 8.0 - 27.0);
    assert_eq!(grad[0].to_vec::<f32>().unwrap(), [3.0, 12.0, 27.0]);
}

#[test]
fn gradients_come_in_the_order_asked_for() {
    let product = |x: &[Array]| Ok(vec![(&x[0] * &x[1])?.sum_all()?]);
    let (_, grads) = value_and_grad_by(product, &[1, 0], &[vector(&[2.0]), vector(&[5.0])]).unwrap();
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
        let error = value_and_grad_by(cube, arguments, &[vector(&[1.0])]).unwrap_err();
        assert!(matches!(error, Error::Argument { argument: "arguments", .. }), "{error}");
    }
}

#[test]
fn error_in_the_function_comes_back_as_itself() {
    let wanted = |_: &[Array]| Array::scalar(1.0f32)?.item::<i32>().map(|_| vec![]);
    let error = value_and_grad_by(wanted, &[0], &[vector(&[1.0])]).unwrap_err();
    assert!(matches!(error, Error::Dtype { .. }), "{error}");
    assert!(vjp(wanted, &[vector(&[1.0])], &[vector(&[1.0])]).is_err());
}

#[test]
fn panic_in_the_function_goes_on_in_the_caller() {
    let payload = catch_unwind(AssertUnwindSafe(|| {
        value_and_grad_by(|_: &[Array]| panic!("wanted"), &[0], &[vector(&[1.0])])
    }))
    .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"wanted"));
    assert!(value_and_grad_by(cube, &[0], &[vector(&[1.0])]).is_ok());
}

#[test]
fn nested_functions_give_back_the_innermost_error() {
    let outer = |x: &[Array]| {
        let inner = |_: &[Array]| {
            Err(Error::Dtype { op: "inner", expected: mlx_core::Dtype::Int8, found: mlx_core::Dtype::Bool })
        };
        value_and_grad_by(inner, &[0], x).map(|(v, _)| v)
    };
    let error = value_and_grad_by(outer, &[0], &[vector(&[1.0])]).unwrap_err();
    assert!(matches!(error, Error::Dtype { op: "inner", .. }), "{error}");
}

#[test]
fn results_that_do_not_fit_are_errors() {
    let vector_valued = |x: &[Array]| Ok(x.to_vec());
    assert!(value_and_grad_by(vector_valued, &[0], &[vector(&[1.0, 2.0])]).is_err());
    assert!(value_and_grad_by(|_: &[Array]| Ok(vec![]), &[0], &[vector(&[1.0, 2.0])]).is_err());
    assert!(vjp(vector_valued, &[vector(&[1.0, 2.0])], &[vector(&[1.0])]).is_err());
    assert!(jvp(vector_valued, &[vector(&[1.0, 2.0])], &[]).is_err());
}

#[test]
fn graphs_too_deep_for_the_stack_are_errors() {
    use mlx_core::transform::{NodeNames, checkpoint, export_function, export_to_dot, grad, vmap};
    fn deep(x: &Array, depth: usize) -> Result<Array> {
        let mut y = x.clone();
        for _ in 0..depth {
            y = (&y + x)?;
        }
        y.sum_all()
    }
    let run = |depth: usize| -> Vec<Result<()>> {
        let x = Array::ones(&[2], Dtype::Float32).unwrap();
        let one = [x.clone()];
        let list = move |x: &[Array]| Ok(vec![deep(&x[0], depth)?]);
        let file = tempfile::NamedTempFile::new().unwrap();
        vec![
            grad(|x: &Array| deep(x, depth), &x).and_then(|y| y.eval()),
            vjp(list, &one, &[Array::scalar(1.0f32).unwrap()]).map(|_| ()),
            jvp(list, &one, &one).map(|_| ()),
            vmap(list, &one, 0, 0).map(|_| ()),
            mlx_core::transform::compile(move |x: &Array| deep(x, depth)).call(&x).map(|_| ()),
            grad(|x: &Array| checkpoint(move |x: &Array| deep(x, depth), x), &x).map(|_| ()),
            export_to_dot([&deep(&x, depth).unwrap()], &NodeNames::new()).map(|_| ()),
            export_function(file.path(), list, &one, false),
            // No walk of that kind.
            deep(&x, depth).and_then(|y| y.eval()).map_err(|_| unreachable!()),
        ]
    };
    // The stack of a test's thread has two megabytes.
    for result in run(4000) {
        result.unwrap();
    }
    let mut results = run(50_000);
    results.pop().unwrap().unwrap();
    for result in results {
        assert!(result.unwrap_err().to_string().contains("deep"));
    }
    let large = std::thread::Builder::new().stack_size(64 << 20);
    let gradient = || grad(|x: &Array| deep(x, 50_000), &scalar(1.0)).unwrap().item::<f32>().unwrap();
    assert_eq!(large.spawn(gradient).unwrap().join().unwrap(), 50_001.0);
}
