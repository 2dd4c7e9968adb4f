// SPDX-License-Identifier: EUPL-1.2
//! Ops on the graph itself.

use mlx_core::{Array, Dtype, depends};

use crate::arith::{check, refused, vector};

#[test]
fn dependencies_are_computed_first_and_values_kept() {
    let first = vector(&[1.0, 2.0]).exp().unwrap();
    let (a, b) = (vector(&[3.0]).square().unwrap(), Array::zeros(&[0, 2], Dtype::Int8).unwrap());
    let results = depends(&[&a, &b], &[&first]).unwrap();
    assert_eq!(results.len(), 2);
    check("value", Ok(results[0].clone()), Dtype::Float32, &[1], &[9.0]);
    check("empty", Ok(results[1].clone()), Dtype::Int8, &[0, 2], &[]);
    assert!(first.is_available().unwrap());
    check("none to wait for", depends(&[&a], &[]).map(|mut all| all.remove(0)), Dtype::Float32, &[1], &[9.0]);
    let again = depends(&[&a, &a], &[&a]).unwrap();
    check("itself", Ok(again[1].clone()), Dtype::Float32, &[1], &[9.0]);
    // The library itself would end the process.
    assert!(depends(&[], &[]).unwrap().is_empty() && depends(&[], &[&first]).unwrap().is_empty());
}

#[test]
fn derivatives_flow_through_depends() {
    let function = |x: &[Array]| depends(&[&x[0].square()?], &[&x[1]]);
    let operands = [vector(&[3.0]), vector(&[5.0])];
    let (_, grads) = mlx_core::transform::vjp(function, &operands, &[vector(&[1.0])]).unwrap();
    check("by the input", Ok(grads[0].clone()), Dtype::Float32, &[1], &[6.0]);
    check("by the dependency", Ok(grads[1].clone()), Dtype::Float32, &[1], &[0.0]);
}

#[test]
fn elements_are_counted_along_axes() {
    let x = Array::zeros(&[2, 3, 5], Dtype::Bool).unwrap();
    for (axes, expected) in [(&[][..], 1.0), (&[0], 2.0), (&[1, -1], 15.0), (&[0, 1, 2], 30.0)] {
        for dtype in [Dtype::Int32, Dtype::Float32, Dtype::Uint64, Dtype::Float64] {
            check("count", x.number_of_elements(axes, false, dtype), dtype, &[], &[expected]);
        }
        check(
            "inverted",
            x.number_of_elements(axes, true, Dtype::Float32),
            Dtype::Float32,
            &[],
            &[1.0 / expected],
        );
    }
    let empty = Array::zeros(&[2, 0], Dtype::Float32).unwrap();
    check("empty", empty.number_of_elements(&[1], false, Dtype::Int32), Dtype::Int32, &[], &[0.0]);
    check(
        "empty",
        empty.number_of_elements(&[1], true, Dtype::Float32),
        Dtype::Float32,
        &[],
        &[f64::INFINITY],
    );
    check(
        "scalar",
        vector(&[1.0]).sum_all().unwrap().number_of_elements(&[], false, Dtype::Int8),
        Dtype::Int8,
        &[],
        &[1.0],
    );
    for dtype in Dtype::ALL {
        x.number_of_elements(&[0, 0], true, dtype).unwrap().eval().unwrap();
    }
    for axis in [3, -4, i32::MAX, i32::MIN] {
        refused("axis", x.number_of_elements(&[0, axis], false, Dtype::Int32), "out of range");
    }
}
