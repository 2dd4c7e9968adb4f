// SPDX-License-Identifier: EUPL-1.2
//! Creation. The expected numbers are worked out by hand.

use mlx_core::{Array, Complex64, Dtype, Error, Result};

use crate::arith::{check, refused, vector, whole};

type Create = fn(&[i32], Dtype) -> Result<Array>;

const FILLED: [(&str, Create, f64); 3] = [
    ("zeros", Array::zeros, 0.0),
    ("ones", Array::ones, 1.0),
    ("full", |shape, dtype| Array::full(shape, 3.0, dtype), 3.0),
];

#[test]
fn filled_arrays_have_their_value_in_every_dtype() {
    for (name, create, value) in FILLED {
        for dtype in Dtype::ALL {
            let value = if dtype == Dtype::Bool { f64::from(value != 0.0) } else { value };
            check(name, create(&[2, 2], dtype), dtype, &[2, 2], &[value; 4]);
            check(name, create(&[], dtype), dtype, &[], &[value]);
            check(name, create(&[3, 0], dtype), dtype, &[3, 0], &[]);
        }
    }
}

#[test]
fn filled_arrays_that_no_machine_holds_are_errors() {
    for (name, create, _) in FILLED {
        for (shape, part) in [
            (&[-1][..], "negative"),
            (&[2, -3], "negative"),
            (&[0, -1], "negative"),
            (&[i32::MAX, i32::MAX], "memory limit"),
            (&[1 << 20, 1 << 20, 1 << 10], "memory limit"),
            (&[i32::MAX, i32::MAX, i32::MAX, i32::MAX], "too large to address"),
            (&[0, i32::MAX, i32::MAX, i32::MAX, i32::MAX], "too large to address"),
        ] {
            let result = create(shape, Dtype::Bool);
            assert!(matches!(result, Err(Error::Shape { .. })), "{name} {shape:?}");
            refused(name, result, part);
        }
    }
}

#[test]
fn full_rounds_and_saturates() {
    for (value, dtype, expected) in [
        (300.0, Dtype::Uint8, 255.0),
        (-1.0, Dtype::Uint32, 0.0),
        (2.9, Dtype::Int16, 2.0),
        (f64::NAN, Dtype::Int32, 0.0),
        (0.1, Dtype::Bool, 1.0),
        (0.1, Dtype::Bfloat16, 0.100_097_656_25),
        (1e6, Dtype::Float16, f64::INFINITY),
        (0.1, Dtype::Float64, 0.1),
    ] {
        check("full", Array::full(&[2], value, dtype), dtype, &[2], &[expected; 2]);
    }
    let z = Array::full(&[1], 2.0, Dtype::Complex64).unwrap();
    assert_eq!(z.to_vec::<Complex64>().unwrap(), [Complex64 { re: 2.0, im: 0.0 }]);
}

#[test]
fn like_takes_shape_and_dtype_of_another() {
    for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8, Dtype::Bool] {
        let strided = Array::ones(&[2, 3], dtype).unwrap().transpose().unwrap();
        check("zeros_like", strided.zeros_like(), dtype, &[3, 2], &[0.0; 6]);
        check("ones_like", strided.ones_like(), dtype, &[3, 2], &[1.0; 6]);
        check("full_like", strided.full_like(1.0), dtype, &[3, 2], &[1.0; 6]);
        check("empty", Array::zeros(&[0], dtype).unwrap().full_like(1.0), dtype, &[0], &[]);
        check("scalar", Array::zeros(&[], dtype).unwrap().ones_like(), dtype, &[], &[1.0]);
    }
}

#[test]
fn arange_counts_up_and_down() {
    for (start, stop, step, dtype, expected) in [
        (0.0, 4.0, 1.0, Dtype::Int32, &[0.0, 1.0, 2.0, 3.0][..]),
        (0.0, 1.0, 0.25, Dtype::Float32, &[0.0, 0.25, 0.5, 0.75]),
        (10.0, 0.0, -3.0, Dtype::Int64, &[10.0, 7.0, 4.0, 1.0]),
        (0.0, 5.0, 2.0, Dtype::Bfloat16, &[0.0, 2.0, 4.0]),
        (1.0, 3.0, 1.0, Dtype::Float16, &[1.0, 2.0]),
        (0.0, 3.0, 1.0, Dtype::Complex64, &[0.0, 1.0, 2.0]),
        (0.0, 10.0, -1.0, Dtype::Float32, &[]),
        (5.0, 5.0, 1.0, Dtype::Uint8, &[]),
        (0.0, -1e300, 1.0, Dtype::Float32, &[]),
        (7.0, 7.5, 100.0, Dtype::Float64, &[7.0]),
    ] {
        let n = i32::try_from(expected.len()).unwrap();
        check("arange", Array::arange(start, stop, step, dtype), dtype, &[n], expected);
    }
}

#[test]
fn arange_names_the_argument_that_is_wrong() {
    for (start, stop, step, part) in [
        (0.0, 1.0, 0.0, "step"),
        (0.0, 0.0, 0.0, "step"),
        (0.0, 1.0, f64::NAN, "step"),
        (0.0, 1.0, f64::INFINITY, "step"),
        (f64::NAN, 1.0, 1.0, "start"),
        (0.0, f64::INFINITY, 1.0, "stop"),
        (0.0, 1e30, 1.0, "more than an axis"),
        (0.0, 1.0, 1e-300, "more than an axis"),
        (-f64::MAX, f64::MAX, 1.0, "more than an axis"),
        (0.0, 2_147_483_648.0, 1.0, "more than an axis"),
    ] {
        refused("arange", Array::arange(start, stop, step, Dtype::Float32), part);
    }
    refused("arange", Array::arange(0.0, 3.0, 1.0, Dtype::Bool), "dtype");
}

#[test]
fn linspace_includes_both_ends() {
    check(
        "linspace",
        Array::linspace(0.0, 1.0, 5, Dtype::Float32),
        Dtype::Float32,
        &[5],
        &[0.0, 0.25, 0.5, 0.75, 1.0],
    );
    check(
        "linspace",
        Array::linspace(1.0, -1.0, 3, Dtype::Bfloat16),
        Dtype::Bfloat16,
        &[3],
        &[1.0, 0.0, -1.0],
    );
    check("one", Array::linspace(2.0, 9.0, 1, Dtype::Float32), Dtype::Float32, &[1], &[2.0]);
    check("none", Array::linspace(2.0, 9.0, 0, Dtype::Float32), Dtype::Float32, &[0], &[]);
    check("whole", Array::linspace(0.0, 3.0, 4, Dtype::Int32), Dtype::Int32, &[4], &[0.0, 1.0, 2.0, 3.0]);
    let third = Array::linspace(0.0, 1.0, 4, Dtype::Float64).unwrap().to_vec::<f64>().unwrap()[1];
    assert!((third - 1.0 / 3.0).abs() < 1e-15, "{third}");
    for count in [-1, i32::MIN] {
        refused("linspace", Array::linspace(0.0, 1.0, count, Dtype::Float32), "count");
    }
}

#[test]
fn eye_puts_its_diagonal_anywhere_even_outside() {
    for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Int8, Dtype::Bool, Dtype::Complex64] {
        check("eye", Array::eye(2, 3, 0, dtype), dtype, &[2, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        check("eye", Array::eye(2, 3, 2, dtype), dtype, &[2, 3], &[0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
        check("eye", Array::eye(2, 3, -1, dtype), dtype, &[2, 3], &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
        check("identity", Array::identity(2, dtype), dtype, &[2, 2], &[1.0, 0.0, 0.0, 1.0]);
        check("empty", Array::eye(0, 3, 0, dtype), dtype, &[0, 3], &[]);
        check("empty", Array::identity(0, dtype), dtype, &[0, 0], &[]);
    }
    for k in [3, -2, i32::MAX, i32::MIN, -i32::MAX] {
        check("outside", Array::eye(2, 3, k, Dtype::Float32), Dtype::Float32, &[2, 3], &[0.0; 6]);
    }
    for (rows, columns) in [(-1, 2), (2, -1), (i32::MAX, i32::MAX)] {
        assert!(matches!(Array::eye(rows, columns, 0, Dtype::Float32), Err(Error::Shape { .. })));
        assert!(matches!(Array::tri(rows, columns, 0, Dtype::Bool), Err(Error::Shape { .. })));
    }
    assert!(Array::identity(-1, Dtype::Float32).is_err());
}

#[test]
fn triangles_are_cut_at_any_diagonal() {
    let all = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let x = whole(&[1, 2, 3, 4, 5, 6], Dtype::Int32).reshape(&[2, 3]).unwrap();
    for (k, lower, upper) in [
        (0, [1.0, 0.0, 0.0, 4.0, 5.0, 0.0], [1.0, 2.0, 3.0, 0.0, 5.0, 6.0]),
        (1, [1.0, 2.0, 0.0, 4.0, 5.0, 6.0], [0.0, 2.0, 3.0, 0.0, 0.0, 6.0]),
        (-1, [0.0, 0.0, 0.0, 4.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        (3, all, [0.0; 6]),
        (i32::MAX, all, [0.0; 6]),
        (-2, [0.0; 6], all),
        (i32::MIN, [0.0; 6], all),
        (-i32::MAX, [0.0; 6], all),
    ] {
        check("tril", x.tril(k), Dtype::Int32, &[2, 3], &lower);
        check("triu", x.triu(k), Dtype::Int32, &[2, 3], &upper);
        let ones = lower.map(|v| f64::from(v != 0.0));
        check("tri", Array::tri(2, 3, k, Dtype::Float16), Dtype::Float16, &[2, 3], &ones);
    }
    let strided = x.transpose().unwrap().astype(Dtype::Bfloat16).unwrap();
    check("strided", strided.tril(0), Dtype::Bfloat16, &[3, 2], &[1.0, 0.0, 2.0, 5.0, 3.0, 6.0]);
    check(
        "empty",
        Array::zeros(&[2, 0, 3], Dtype::Float32).unwrap().triu(0),
        Dtype::Float32,
        &[2, 0, 3],
        &[],
    );
    check("tri", Array::tri(0, 2, 0, Dtype::Bool), Dtype::Bool, &[0, 2], &[]);
    check("tri", Array::tri(i32::MAX, 0, i32::MIN, Dtype::Bool), Dtype::Bool, &[i32::MAX, 0], &[]);
    check(
        "tril",
        Array::zeros(&[0, i32::MAX], Dtype::Bool).unwrap().tril(1),
        Dtype::Bool,
        &[0, i32::MAX],
        &[],
    );
    for vector in [vector(&[1.0]), Array::scalar(1.0f32).unwrap()] {
        refused("tril", vector.tril(0), "two axes");
        refused("triu", vector.triu(0), "two axes");
    }
}

#[test]
fn like_takes_the_shape_alone_with_a_dtype() {
    for dtype in Dtype::ALL {
        let x = Array::ones(&[2, 3], Dtype::Bfloat16).unwrap().transpose().unwrap();
        check("zeros", x.zeros_like_dtype(dtype), dtype, &[3, 2], &[0.0; 6]);
        check("ones", x.ones_like_dtype(dtype), dtype, &[3, 2], &[1.0; 6]);
        check("full", x.full_like_dtype(1.0, dtype), dtype, &[3, 2], &[1.0; 6]);
    }
    let x = vector(&[1.0]);
    check("saturates", x.full_like_dtype(1e9, Dtype::Uint8), Dtype::Uint8, &[1], &[255.0]);
    check("saturates", x.full_like_dtype(f64::NAN, Dtype::Int32), Dtype::Int32, &[1], &[0.0]);
    // The largest that fits as bytes; twice as long it does not, and as complex numbers it is eight times as long.
    let one = Array::scalar(true).unwrap();
    let long = (0..30).map_while(|n| one.broadcast_to(&[1 << n, 1 << 30]).ok()).last().unwrap();
    refused("zeros", long.zeros_like_dtype(Dtype::Complex64), "memory limit");
    refused("ones", long.ones_like_dtype(Dtype::Complex64), "memory limit");
    refused("full", long.full_like_dtype(1.0, Dtype::Complex64), "memory limit");
}

#[test]
fn windows_are_symmetric_and_of_any_length() {
    type Window = fn(i32) -> Result<Array>;
    let windows: [(&str, Window, f64); 4] = [
        ("bartlett", Array::bartlett, 0.0),
        ("blackman", Array::blackman, 0.0),
        ("hamming", Array::hamming, 0.08),
        ("hanning", Array::hanning, 0.0),
    ];
    for (name, window, end) in windows {
        check(name, window(0), Dtype::Float32, &[0], &[]);
        check(name, window(1), Dtype::Float32, &[1], &[1.0]);
        check(name, window(2), Dtype::Float32, &[2], &[end, end]);
        check(name, window(3), Dtype::Float32, &[3], &[end, 1.0, end]);
        let many = window(1001).unwrap();
        assert!(many.allclose(&many.flip(0).unwrap(), 1e-4, 1e-5, false).unwrap().item::<bool>().unwrap());
        for n in [-1, i32::MIN] {
            refused(name, window(n), "negative");
        }
    }
}

#[test]
fn linspace_without_its_end_stops_one_step_short() {
    let open = |count, dtype| Array::linspace_open(0.0, 2.0, count, dtype);
    check("open", open(4, Dtype::Float32), Dtype::Float32, &[4], &[0.0, 0.5, 1.0, 1.5]);
    check("whole", open(4, Dtype::Int32), Dtype::Int32, &[4], &[0.0, 0.0, 1.0, 1.0]);
    check("one", open(1, Dtype::Bfloat16), Dtype::Bfloat16, &[1], &[0.0]);
    check("none", open(0, Dtype::Float64), Dtype::Float64, &[0], &[]);
    for count in [-1, i32::MIN] {
        refused("linspace_open", open(count, Dtype::Float32), "count");
    }
    for bound in [f64::NAN, f64::INFINITY, f64::MAX] {
        for dtype in Dtype::ALL {
            Array::linspace_open(bound, 1.0, 3, dtype).unwrap().eval().unwrap();
            Array::linspace(0.0, bound, 3, dtype).unwrap().eval().unwrap();
        }
    }
}
