// SPDX-License-Identifier: EUPL-1.2
//! Comparisons and logic. The expected truth values are worked out by hand.

use mlx_core::{Array, Complex64, Dtype, Result, where_};

use crate::arith::{check, refused, vector, whole};

type Binary = fn(&Array, &Array) -> Result<Array>;
type Unary = fn(&Array) -> Result<Array>;

/// Each with its answers for 1 beside 2, 2 beside 2, 3 beside 2, and NaN beside NaN.
const ORDER: [(&str, Binary, [f64; 4]); 6] = [
    ("equal", Array::equal, [0.0, 1.0, 0.0, 0.0]),
    ("not_equal", Array::not_equal, [1.0, 0.0, 1.0, 1.0]),
    ("greater", Array::greater, [0.0, 0.0, 1.0, 0.0]),
    ("greater_equal", Array::greater_equal, [0.0, 1.0, 1.0, 0.0]),
    ("less", Array::less, [1.0, 0.0, 0.0, 0.0]),
    ("less_equal", Array::less_equal, [1.0, 1.0, 0.0, 0.0]),
];

/// Each with its answers for the four pairs of false and true.
const LOGIC: [(&str, Binary, [f64; 4]); 3] = [
    ("logical_and", Array::logical_and, [0.0, 0.0, 0.0, 1.0]),
    ("logical_or", Array::logical_or, [0.0, 1.0, 1.0, 1.0]),
    ("logical_xor", Array::logical_xor, [0.0, 1.0, 1.0, 0.0]),
];

#[test]
fn numbers_are_compared_in_every_dtype() {
    for (name, op, expected) in ORDER {
        let (a, b) = (vector(&[1.0, 2.0, 3.0, f32::NAN]), vector(&[2.0, 2.0, 2.0, f32::NAN]));
        for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
            check(
                name,
                op(&a.astype(dtype).unwrap(), &b.astype(dtype).unwrap()),
                Dtype::Bool,
                &[4],
                &expected,
            );
        }
        for dtype in Dtype::ALL.into_iter().filter(|dtype| dtype.is_integer()) {
            check(
                name,
                op(&whole(&[1, 2, 3], dtype), &whole(&[2], dtype)),
                Dtype::Bool,
                &[3],
                &expected[..3],
            );
        }
        check(
            name,
            op(&Array::scalar(1u8).unwrap(), &Array::scalar(2.0f32).unwrap()),
            Dtype::Bool,
            &[],
            &expected[..1],
        );
        check(name, op(&vector(&[]), &vector(&[1.0])), Dtype::Bool, &[0], &[]);
        let strided = vector(&[1.0, 3.0, 2.0, 2.0]).reshape(&[2, 2]).unwrap().transpose().unwrap();
        let wanted = [expected[0], expected[1], expected[2], expected[1]];
        check(name, op(&strided, &Array::scalar(2.0f32).unwrap()), Dtype::Bool, &[2, 2], &wanted);
        refused(name, op(&a, &vector(&[1.0, 2.0])), "broadcast");
    }
}

#[test]
fn truth_values_are_combined_and_numbers_count_as_true() {
    let (a, b) = (whole(&[0, 0, 1, 1], Dtype::Bool), whole(&[0, 1, 0, 1], Dtype::Bool));
    for (name, op, expected) in LOGIC {
        check(name, op(&a, &b), Dtype::Bool, &[4], &expected);
        let (x, y) = (vector(&[0.0, 0.0, 0.5, -2.0]), vector(&[0.0, 0.25, 0.0, f32::NAN]));
        check(name, op(&x, &y), Dtype::Bool, &[4], &expected);
        check(name, op(&x.astype(Dtype::Bfloat16).unwrap(), &b), Dtype::Bool, &[4], &expected);
        check(name, op(&vector(&[]), &b.slice_axis(0, 0, 1).unwrap()), Dtype::Bool, &[0], &[]);
        refused(name, op(&a, &vector(&[1.0, 2.0])), "broadcast");
    }
    check("logical_not", vector(&[0.0, 0.5, f32::NAN]).logical_not(), Dtype::Bool, &[3], &[1.0, 0.0, 0.0]);
    check("logical_not", Array::scalar(false).unwrap().logical_not(), Dtype::Bool, &[], &[1.0]);
}

#[test]
fn special_floats_are_told_apart() {
    let specials = [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let cases: [(&str, Unary, [f64; 4]); 5] = [
        ("isnan", Array::isnan, [0.0, 1.0, 0.0, 0.0]),
        ("isinf", Array::isinf, [0.0, 0.0, 1.0, 1.0]),
        ("isfinite", Array::isfinite, [1.0, 0.0, 0.0, 0.0]),
        ("isposinf", Array::isposinf, [0.0, 0.0, 1.0, 0.0]),
        ("isneginf", Array::isneginf, [0.0, 0.0, 0.0, 1.0]),
    ];
    for (name, op, expected) in cases {
        for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
            check(name, op(&vector(&specials).astype(dtype).unwrap()), Dtype::Bool, &[4], &expected);
        }
        check(name, op(&whole(&[7], Dtype::Int8)), Dtype::Bool, &[1], &expected[..1]);
        check(name, op(&vector(&[])), Dtype::Bool, &[0], &[]);
        let z = Array::scalar(Complex64 { re: 1.0, im: 2.0 }).unwrap();
        check(name, op(&z), Dtype::Bool, &[], &expected[..1]);
    }
}

#[test]
fn array_equal_compares_shape_and_values() {
    let x = vector(&[1.0, f32::NAN]);
    for (name, other, equal_nan, expected) in [
        ("itself, with NaN", x.clone(), true, 1.0),
        ("itself, without", x.clone(), false, 0.0),
        ("other values", vector(&[2.0, f32::NAN]), true, 0.0),
        ("other shape", x.reshape(&[1, 2]).unwrap(), true, 0.0),
        ("other dtype", x.astype(Dtype::Float64).unwrap(), true, 1.0),
        ("empty", vector(&[]), true, 0.0),
    ] {
        check(name, x.array_equal(&other, equal_nan), Dtype::Bool, &[], &[expected]);
    }
    check("two empty", vector(&[]).array_equal(&vector(&[]), false), Dtype::Bool, &[], &[1.0]);
    check(
        "whole",
        whole(&[1], Dtype::Int8).array_equal(&whole(&[1], Dtype::Uint8), true),
        Dtype::Bool,
        &[],
        &[1.0],
    );
}

#[test]
fn closeness_is_relative_to_the_second() {
    let (a, b) =
        (vector(&[1.0, 100.0, f32::INFINITY, f32::NAN]), vector(&[1.05, 100.05, f32::INFINITY, f32::NAN]));
    check("isclose", a.isclose(&b, 0.0, 0.1, false), Dtype::Bool, &[4], &[1.0, 1.0, 1.0, 0.0]);
    check("isclose", a.isclose(&b, 1e-3, 0.0, true), Dtype::Bool, &[4], &[0.0, 1.0, 1.0, 1.0]);
    check("allclose", a.allclose(&b, 0.0, 0.1, true), Dtype::Bool, &[], &[1.0]);
    check("allclose", a.allclose(&b, 0.0, 0.1, false), Dtype::Bool, &[], &[0.0]);
    check("empty", vector(&[]).allclose(&vector(&[]), 0.0, 0.0, false), Dtype::Bool, &[], &[1.0]);
    let half = a.astype(Dtype::Bfloat16).unwrap();
    check("half", half.isclose(&half, 0.0, 0.0, true), Dtype::Bool, &[4], &[1.0; 4]);
    refused("isclose", a.isclose(&vector(&[1.0, 2.0]), 0.0, 0.0, false), "broadcast");
    let row = Array::scalar(1.0f32).unwrap().broadcast_to(&[1, 1 << 30]).unwrap();
    let column = row.reshape(&[1 << 30, 1]).unwrap();
    refused("allclose", row.allclose(&column, 0.0, 0.0, false), "memory limit");
    refused("where_", where_(&row, &column, &row), "memory limit");
}

#[test]
fn where_chooses_and_promotes() {
    let condition = whole(&[1, 0, 1], Dtype::Bool);
    let (x, y) = (vector(&[1.0, 2.0, 3.0]), Array::scalar(-1.0f32).unwrap());
    check("where_", where_(&condition, &x, &y), Dtype::Float32, &[3], &[1.0, -1.0, 3.0]);
    check("numbers", where_(&vector(&[0.5, 0.0, f32::NAN]), &x, &y), Dtype::Float32, &[3], &[1.0, -1.0, 3.0]);
    let column = condition.reshape(&[3, 1]).unwrap();
    check(
        "table",
        where_(&column, &whole(&[1, 2], Dtype::Int8), &whole(&[9], Dtype::Int32)),
        Dtype::Int32,
        &[3, 2],
        &[1.0, 2.0, 9.0, 9.0, 1.0, 2.0],
    );
    let half = x.astype(Dtype::Bfloat16).unwrap();
    check(
        "half",
        where_(&condition, &half, &half.scalar_like(0.0).unwrap()),
        Dtype::Bfloat16,
        &[3],
        &[1.0, 0.0, 3.0],
    );
    check("empty", where_(&vector(&[]), &y, &y), Dtype::Float32, &[0], &[]);
    refused("where_", where_(&condition, &vector(&[1.0, 2.0]), &y), "broadcast");
}
