// SPDX-License-Identifier: EUPL-1.2
//! Reductions, scans and softmax. The expected numbers were formed in float64 by NumPy.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as they do")]

use mlx_core::{Array, Complex64, Dtype, Result, Scan};

use crate::arith::{check, refused, vector, whole};

type One = fn(&Array, i32, bool) -> Result<Array>;
type Several = fn(&Array, &[i32], bool) -> Result<Array>;
type All = fn(&Array) -> Result<Array>;

struct Reduction {
    name: &'static str,
    one: One,
    several: Several,
    all: All,
    /// Along axis 0 of [`table`], along axis 1, and of everything.
    expected: ([f64; 3], [f64; 2], f64),
    /// Of no elements; `None` where that is refused.
    empty: Option<f64>,
    /// What an int8 gives, and what a bool gives.
    dtypes: (Dtype, Dtype),
}

/// `[[1, −2, 0.5], [3, 4, −0.5]]`.
fn table() -> Array {
    vector(&[1.0, -2.0, 0.5, 3.0, 4.0, -0.5]).reshape(&[2, 3]).unwrap()
}

const KEPT: (Dtype, Dtype) = (Dtype::Int8, Dtype::Bool);
const WIDENED: (Dtype, Dtype) = (Dtype::Int32, Dtype::Int32);
const FLOAT: (Dtype, Dtype) = (Dtype::Float32, Dtype::Float32);
const TRUTH: (Dtype, Dtype) = (Dtype::Bool, Dtype::Bool);

macro_rules! reduction {
    ($one:ident $several:ident $all:ident, $expected:expr, $empty:expr, $dtypes:expr) => {
        Reduction {
            name: stringify!($one),
            one: Array::$one,
            several: Array::$several,
            all: Array::$all,
            expected: $expected,
            empty: $empty,
            dtypes: $dtypes,
        }
    };
}

#[rustfmt::skip]
const REDUCTIONS: [Reduction; 9] = [
    reduction!(sum sum_axes sum_all, ([4.0, 2.0, 0.0], [-0.5, 6.5], 6.0), Some(0.0), WIDENED),
    reduction!(prod prod_axes prod_all, ([3.0, -8.0, -0.25], [-1.0, -6.0], 6.0), Some(1.0), WIDENED),
    reduction!(mean mean_axes mean_all, ([2.0, 1.0, 0.0], [-0.5 / 3.0, 6.5 / 3.0], 1.0), Some(f64::NAN), FLOAT),
    reduction!(max max_axes max_all, ([3.0, 4.0, 0.5], [1.0, 4.0], 4.0), None, KEPT),
    reduction!(min min_axes min_all, ([1.0, -2.0, -0.5], [-2.0, -0.5], -2.0), None, KEPT),
    reduction!(all all_axes all_all, ([1.0; 3], [1.0; 2], 1.0), Some(1.0), TRUTH),
    reduction!(any any_axes any_all, ([1.0; 3], [1.0; 2], 1.0), Some(0.0), TRUTH),
    reduction!(logsumexp logsumexp_axes logsumexp_all,
        ([3.1269280110, 4.0024756851, 0.8132616875], [1.5045969048, 4.3213502138], 4.3794302169), None, FLOAT),
    reduction!(median median_axes median_all, ([2.0, 1.0, 0.0], [0.5, 3.0], 0.75), None, FLOAT),
];

#[test]
fn reductions_have_their_value_over_one_several_and_all_axes() {
    for r in &REDUCTIONS {
        let (columns, rows, whole) = r.expected;
        for dtype in [Dtype::Float32, Dtype::Float64, Dtype::Float16, Dtype::Bfloat16] {
            let x = table().astype(dtype).unwrap();
            let result = if r.dtypes == TRUTH { Dtype::Bool } else { dtype };
            check(r.name, (r.one)(&x, 0, false), result, &[3], &columns);
            check(r.name, (r.one)(&x, -1, false), result, &[2], &rows);
            check(r.name, (r.one)(&x, 1, true), result, &[2, 1], &rows);
            check(r.name, (r.several)(&x, &[0, -1], false), result, &[], &[whole]);
            check(r.name, (r.several)(&x, &[1, 0], true), result, &[1, 1], &[whole]);
            check(r.name, (r.all)(&x), result, &[], &[whole]);
            // A strided view gives what its copy would.
            check(r.name, (r.one)(&x.transpose().unwrap(), 0, false), result, &[2], &rows);
        }
    }
}

#[test]
fn reductions_of_whole_numbers_have_the_documented_dtype() {
    for r in &REDUCTIONS {
        for (from, expected) in [(Dtype::Int8, r.dtypes.0), (Dtype::Bool, r.dtypes.1)] {
            assert_eq!(
                (r.all)(&Array::ones(&[3], from).unwrap()).unwrap().dtype(),
                expected,
                "{} of {from}",
                r.name
            );
        }
    }
    check("sum", whole(&[200, 100], Dtype::Uint8).sum_all(), Dtype::Uint32, &[], &[300.0]);
    check("sum", whole(&[100, 100], Dtype::Int8).sum(0, false), Dtype::Int32, &[], &[200.0]);
    check("prod", whole(&[16, 16, 2], Dtype::Uint16).prod_all(), Dtype::Uint32, &[], &[512.0]);
    let z =
        Array::from_slice(&[Complex64 { re: 1.0, im: 2.0 }, Complex64 { re: 3.0, im: -1.0 }], &[2]).unwrap();
    assert_eq!(z.sum_all().unwrap().item::<Complex64>().unwrap(), Complex64 { re: 4.0, im: 1.0 });
}

#[test]
fn reductions_of_nothing_are_their_neutral_value_or_an_error() {
    let empty = Array::zeros(&[2, 0, 3], Dtype::Float32).unwrap();
    for r in &REDUCTIONS {
        let result = if r.dtypes == TRUTH { Dtype::Bool } else { Dtype::Float32 };
        match r.empty {
            Some(value) => {
                check(r.name, (r.one)(&empty, 1, false), result, &[2, 3], &[value; 6]);
                check(r.name, (r.several)(&empty, &[0, 1], false), result, &[3], &[value; 3]);
                check(r.name, (r.all)(&empty), result, &[], &[value]);
            }
            None => {
                assert!((r.one)(&empty, 1, false).is_err(), "{}", r.name);
                assert!((r.all)(&empty).is_err(), "{}", r.name);
            }
        }
    }
}

#[test]
fn reductions_of_nothing_end_in_any_layout() {
    // The library's own reductions run for ever over some of these.
    let plain = Array::zeros(&[0, 2, 3], Dtype::Float32).unwrap();
    let layouts = [plain.transpose_axes(&[2, 1, 0]), plain.transpose_axes(&[1, 0, 2]), plain.swap_axes(0, 2)];
    for empty in layouts.map(Result::unwrap) {
        for r in &REDUCTIONS {
            for axes in [&[0][..], &[1], &[2], &[0, 1], &[1, 2], &[0, 2], &[0, 1, 2]] {
                let result = (r.several)(&empty, axes, true);
                assert!(result.and_then(|x| x.eval()).is_ok() || r.empty.is_none(), "{} {axes:?}", r.name);
            }
        }
        for axis in 0..3 {
            empty.var(axis, false, 0).unwrap().eval().unwrap();
            empty.std_axes(&[axis], false, 0).unwrap().eval().unwrap();
            empty.count_nonzero(axis, false).unwrap().eval().unwrap();
        }
        check("array_equal", empty.array_equal(&empty, false), Dtype::Bool, &[], &[1.0]);
    }
}

#[test]
fn reductions_refuse_axes_that_are_not_there_or_come_twice() {
    let (x, scalar) = (table(), Array::scalar(2.0f32).unwrap());
    for r in &REDUCTIONS {
        for axis in [2, -3, i32::MAX, i32::MIN] {
            assert!((r.one)(&x, axis, false).is_err(), "{} {axis}", r.name);
            assert!((r.several)(&x, &[0, axis], false).is_err(), "{} {axis}", r.name);
        }
        assert!((r.several)(&x, &[1, -1], false).is_err(), "{}", r.name);
        assert!((r.one)(&scalar, 0, false).is_err(), "{}", r.name);
        check(
            r.name,
            (r.several)(&x.reshape(&[6]).unwrap(), &[0], true).and_then(|y| y.squeeze()),
            (r.all)(&x).unwrap().dtype(),
            &[],
            &[r.expected.2],
        );
    }
    check("max", scalar.max_all(), Dtype::Float32, &[], &[2.0]);
    check(
        "sum over no axes",
        x.sum_axes(&[], false),
        Dtype::Float32,
        &[2, 3],
        &[1.0, -2.0, 0.5, 3.0, 4.0, -0.5],
    );
}

#[test]
fn nan_is_not_lost_in_extremes() {
    let x = vector(&[1.0, f32::NAN, 3.0]);
    for r in [Array::max_all, Array::min_all, Array::median_all, Array::sum_all] {
        check("NaN", r(&x), Dtype::Float32, &[], &[f64::NAN]);
    }
}

#[test]
fn count_nonzero_counts() {
    let x = vector(&[0.0, 2.0, f32::NAN, 0.0]).reshape(&[2, 2]).unwrap();
    let count = |got: Result<Array>| got.unwrap().astype(Dtype::Int64);
    check("axis", count(x.count_nonzero(1, false)), Dtype::Int64, &[2], &[1.0, 1.0]);
    check("axes", count(x.count_nonzero_axes(&[0, 1], false)), Dtype::Int64, &[], &[2.0]);
    check("all", count(x.count_nonzero_all()), Dtype::Int64, &[], &[2.0]);
    check("empty", count(vector(&[]).count_nonzero_all()), Dtype::Int64, &[], &[0.0]);
    assert!(x.count_nonzero(2, false).is_err());
}

#[test]
fn variance_takes_the_degrees_of_freedom_off() {
    for dtype in [Dtype::Float32, Dtype::Float16, Dtype::Bfloat16] {
        let x = table().astype(dtype).unwrap();
        check("var", x.var(0, false, 0), dtype, &[3], &[1.0, 9.0, 0.25]);
        check("var", x.var(0, true, 1), dtype, &[1, 3], &[2.0, 18.0, 0.5]);
        check("std", x.std(0, false, 0), dtype, &[3], &[1.0, 3.0, 0.5]);
        check("var_axes", x.var_axes(&[0, 1], false, 0), dtype, &[], &[24.5 / 6.0]);
        check("std_axes", x.std_axes(&[1, 0], false, 0), dtype, &[], &[(24.5f64 / 6.0).sqrt()]);
        check("var_all", x.var_all(1), dtype, &[], &[4.9]);
        check("std_all", x.std_all(1), dtype, &[], &[4.9f64.sqrt()]);
    }
    let one = vector(&[2.0, 4.0]);
    for ddof in [2, 3, i32::MAX] {
        check("none left", one.var(0, false, ddof), Dtype::Float32, &[], &[f64::INFINITY]);
    }
    check("whole", whole(&[1, 3], Dtype::Int8).std_all(0), Dtype::Float32, &[], &[1.0]);
    check("empty", vector(&[]).var_all(0), Dtype::Float32, &[], &[f64::NAN]);
    for axis in [1, -2] {
        assert!(one.var(axis, false, 0).is_err() && one.std(axis, false, 0).is_err());
        assert!(one.var_axes(&[0, 0], false, 0).is_err() && one.std_axes(&[axis], false, 0).is_err());
    }
}

#[test]
fn places_of_extremes_are_the_first() {
    for dtype in Dtype::ALL.into_iter().filter(|&dtype| dtype != Dtype::Bool) {
        let x = whole(&[1, 5, 2, 5, 0, 5, 0, 9], dtype).reshape(&[2, 4]).unwrap();
        check("argmax", x.argmax(1, false), Dtype::Uint32, &[2], &[1.0, 3.0]);
        check("argmin", x.argmin(-1, true), Dtype::Uint32, &[2, 1], &[0.0, 0.0]);
        check("argmax", x.argmax(0, false), Dtype::Uint32, &[4], &[0.0, 0.0, 0.0, 1.0]);
        check("argmax_all", x.argmax_all(), Dtype::Uint32, &[], &[7.0]);
        check("argmin_all", x.argmin_all(), Dtype::Uint32, &[], &[4.0]);
        check("strided", x.transpose().unwrap().argmax(0, false), Dtype::Uint32, &[2], &[1.0, 3.0]);
    }
    check("bool", whole(&[0, 1, 1], Dtype::Bool).argmax_all(), Dtype::Uint32, &[], &[1.0]);
    check("scalar", Array::scalar(1.0f32).unwrap().argmax_all(), Dtype::Uint32, &[], &[0.0]);
    for empty in [vector(&[]), Array::zeros(&[2, 0], Dtype::Float32).unwrap()] {
        refused("argmax", empty.argmax(-1, false), "zero size");
        refused("argmin", empty.argmin(-1, false), "zero size");
        refused("argmax_all", empty.argmax_all(), "zero size");
        refused("argmin_all", empty.argmin_all(), "zero size");
    }
    for axis in [1, -2, i32::MIN] {
        assert!(vector(&[1.0]).argmax(axis, false).is_err() && vector(&[1.0]).argmin(axis, false).is_err());
    }
}

#[test]
fn softmax_is_stable_and_sums_to_one() {
    let x = vector(&[0.0, 1.0, 2.0]);
    let expected = [0.0900305732, 0.2447284711, 0.6652409558];
    for dtype in [Dtype::Float32, Dtype::Float16, Dtype::Bfloat16] {
        check("softmax", x.astype(dtype).unwrap().softmax(0), dtype, &[3], &expected);
    }
    check("large", (&x + 10_000.0).unwrap().softmax(-1), Dtype::Float32, &[3], &expected);
    check("whole", whole(&[0, 1, 2], Dtype::Int32).softmax(0), Dtype::Float32, &[3], &expected);
    check("masked", vector(&[f32::NEG_INFINITY, 0.0]).softmax(0), Dtype::Float32, &[2], &[0.0, 1.0]);
    let pair = vector(&[0.0, 0.0, 1.0, 1.0]).reshape(&[2, 2]).unwrap();
    check(
        "axis 0",
        pair.softmax(0),
        Dtype::Float32,
        &[2, 2],
        &[0.2689414214, 0.2689414214, 0.7310585786, 0.7310585786],
    );
    check(
        "strided",
        pair.transpose().unwrap().softmax(1),
        Dtype::Float32,
        &[2, 2],
        &[0.2689414214, 0.7310585786, 0.2689414214, 0.7310585786],
    );
    check(
        "axes",
        pair.softmax_axes(&[0, 1]),
        Dtype::Float32,
        &[2, 2],
        &[0.1344707107, 0.1344707107, 0.3655292893, 0.3655292893],
    );
    check("empty", Array::zeros(&[2, 0], Dtype::Float32).unwrap().softmax(1), Dtype::Float32, &[2, 0], &[]);
    for axis in [2, -3] {
        assert!(pair.softmax(axis).is_err() && pair.softmax_axes(&[axis]).is_err());
    }
    assert!(pair.softmax_axes(&[0, -2]).is_err());
    assert!(Array::scalar(1.0f32).unwrap().softmax(0).is_err());
}

const FORWARD: Scan = Scan { reverse: false, inclusive: true };
const BACKWARD: Scan = Scan { reverse: true, inclusive: true };
const EXCLUSIVE: Scan = Scan { reverse: false, inclusive: false };
const BACKWARD_EXCLUSIVE: Scan = Scan { reverse: true, inclusive: false };

type ScanOp = fn(&Array, i32, Scan) -> Result<Array>;

/// Each with its values for `[1, 3, 2]`: inclusive, and in reverse.
const SCANS: [(&str, ScanOp, [f64; 3], [f64; 3]); 5] = [
    ("cumsum", Array::cumsum, [1.0, 4.0, 6.0], [6.0, 5.0, 2.0]),
    ("cumprod", Array::cumprod, [1.0, 3.0, 6.0], [6.0, 6.0, 2.0]),
    ("cummax", Array::cummax, [1.0, 3.0, 3.0], [3.0, 3.0, 2.0]),
    ("cummin", Array::cummin, [1.0, 1.0, 1.0], [1.0, 2.0, 2.0]),
    (
        "logcumsumexp",
        Array::logcumsumexp,
        [1.0, 3.1269280110, 3.4076059644],
        [3.4076059644, 3.3132616875, 2.0],
    ),
];

#[test]
fn scans_run_either_way_along_any_axis() {
    for (name, scan, forward, backward) in SCANS {
        for dtype in [Dtype::Float32, Dtype::Float16, Dtype::Bfloat16] {
            let x = vector(&[1.0, 3.0, 2.0]).astype(dtype).unwrap();
            check(name, scan(&x, 0, FORWARD), dtype, &[3], &forward);
            check(name, scan(&x, -1, BACKWARD), dtype, &[3], &backward);
            let column = x.reshape(&[3, 1]).unwrap();
            check(name, scan(&column, 0, FORWARD), dtype, &[3, 1], &forward);
            check(name, scan(&column.transpose().unwrap(), 1, FORWARD), dtype, &[1, 3], &forward);
        }
        let x = whole(&[1, 3, 2], Dtype::Int32);
        let of_whole = if name == "logcumsumexp" { Dtype::Float32 } else { Dtype::Int32 };
        check(name, scan(&x, 0, FORWARD), of_whole, &[3], &forward);
        assert_eq!(scan(&x, 0, EXCLUSIVE).unwrap().shape(), [3]);
        for axis in [1, -2, i32::MAX, i32::MIN] {
            refused(name, scan(&x, axis, FORWARD), "out of range");
        }
        refused(name, scan(&Array::scalar(1.0f32).unwrap(), 0, FORWARD), "out of range");
    }
    let all: [fn(&Array, Scan) -> Result<Array>; 5] = [
        Array::cumsum_all,
        Array::cumprod_all,
        Array::cummax_all,
        Array::cummin_all,
        Array::logcumsumexp_all,
    ];
    for ((name, _, forward, backward), scan) in SCANS.into_iter().zip(all) {
        let x = vector(&[1.0, 2.0, 3.0, 0.0, 2.0, 0.0]).reshape(&[3, 2]).unwrap();
        let x = x.slice_axis(1, 0, 1).unwrap();
        check(name, scan(&x, Scan::default()), Dtype::Float32, &[3], &forward);
        check(name, scan(&x.transpose().unwrap(), BACKWARD), Dtype::Float32, &[3], &backward);
        assert_eq!(scan(&Array::scalar(1.0f32).unwrap(), FORWARD).unwrap().shape(), [1]);
    }
    let x = vector(&[1.0, 3.0, 2.0]);
    check("exclusive", x.cumsum(0, EXCLUSIVE), Dtype::Float32, &[3], &[0.0, 1.0, 4.0]);
    check("exclusive", x.cumsum(0, BACKWARD_EXCLUSIVE), Dtype::Float32, &[3], &[5.0, 2.0, 0.0]);
    check("exclusive", x.cumprod(0, EXCLUSIVE), Dtype::Float32, &[3], &[1.0, 1.0, 3.0]);
    check("bool", whole(&[1, 1, 0], Dtype::Bool).cumsum(0, FORWARD), Dtype::Int32, &[3], &[1.0, 2.0, 2.0]);
}

#[test]
fn scans_of_nothing_are_empty() {
    for (name, scan, ..) in SCANS {
        for dtype in Dtype::ALL {
            let expected = match (name, dtype) {
                ("cumsum", Dtype::Bool) => Dtype::Int32,
                ("logcumsumexp", dtype) if dtype.is_integer() || dtype == Dtype::Bool => Dtype::Float32,
                _ => dtype,
            };
            for shape in [&[0][..], &[2, 0, 3]] {
                for axis in 0..i32::try_from(shape.len()).unwrap() {
                    let empty = Array::zeros(shape, dtype).unwrap();
                    check(name, scan(&empty, axis, FORWARD), expected, shape, &[]);
                    check(name, scan(&empty, axis, BACKWARD_EXCLUSIVE), expected, shape, &[]);
                }
                let one = scan(&Array::ones(&[1], dtype).unwrap(), 0, FORWARD).unwrap();
                assert_eq!(one.dtype(), expected, "{name} of {dtype}");
            }
        }
    }
}

#[test]
fn flattened_scans_of_nothing_are_empty() {
    for dtype in Dtype::ALL {
        let whole = dtype.is_integer() || dtype == Dtype::Bool;
        let sum = if dtype == Dtype::Bool { Dtype::Int32 } else { dtype };
        let floating = if whole { Dtype::Float32 } else { dtype };
        for shape in [&[0][..], &[2, 0, 3]] {
            let empty = Array::zeros(shape, dtype).unwrap();
            for scan in [FORWARD, BACKWARD_EXCLUSIVE] {
                check("cumsum_all", empty.cumsum_all(scan), sum, &[0], &[]);
                check("cumprod_all", empty.cumprod_all(scan), dtype, &[0], &[]);
                check("cummax_all", empty.cummax_all(scan), dtype, &[0], &[]);
                check("cummin_all", empty.cummin_all(scan), dtype, &[0], &[]);
                check("logcumsumexp_all", empty.logcumsumexp_all(scan), floating, &[0], &[]);
            }
        }
    }
}

#[test]
fn differences_end_where_nothing_is_left() {
    let x = vector(&[1.0, 4.0, 9.0, 16.0]);
    check("diff", x.diff(1, 0), Dtype::Float32, &[3], &[3.0, 5.0, 7.0]);
    check("diff", x.diff(2, -1), Dtype::Float32, &[2], &[2.0, 2.0]);
    check("diff", x.diff(0, 0), Dtype::Float32, &[4], &[1.0, 4.0, 9.0, 16.0]);
    let table = x.reshape(&[2, 2]).unwrap();
    check("strided", table.transpose().unwrap().diff(1, 1), Dtype::Float32, &[2, 1], &[8.0, 12.0]);
    for n in [4, 5, i32::MAX] {
        check("diff", x.diff(n, 0), Dtype::Float32, &[0], &[]);
        check("diff", table.diff(n, 0), Dtype::Float32, &[0, 2], &[]);
    }
    for n in [0, 1, i32::MAX] {
        check("empty", Array::zeros(&[0, 3], Dtype::Int8).unwrap().diff(n, 0), Dtype::Int8, &[0, 3], &[]);
    }
    check("empty", Array::zeros(&[0, 3], Dtype::Int8).unwrap().diff(1, 1), Dtype::Int8, &[0, 2], &[]);
    check("bool", whole(&[1, 0, 0], Dtype::Bool).diff(1, 0), Dtype::Bool, &[2], &[1.0, 0.0]);
    check("wraps", whole(&[3, 1], Dtype::Uint8).diff(1, 0), Dtype::Uint8, &[1], &[254.0]);
    for n in [-1, i32::MIN] {
        refused("diff", x.diff(n, 0), "negative");
    }
    for axis in [1, -2, i32::MAX, i32::MIN] {
        refused("diff", x.diff(1, axis), "out of range");
    }
    refused("diff", Array::scalar(1.0f32).unwrap().diff(0, 0), "out of range");
}

#[test]
fn traces_of_nothing_end_in_any_layout() {
    for shape in [[0, 1, 7], [0, 3, 7], [2, 0, 3], [0, 0, 2]] {
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1], [1, 2, 0], [2, 0, 1]] {
            let empty = Array::zeros(&shape, Dtype::Int8).unwrap().transpose_axes(&order).unwrap();
            let rest = usize::try_from(empty.shape()[2]).unwrap();
            check("trace", empty.trace(), Dtype::Int32, &empty.shape()[2..], &vec![0.0; rest]);
            for (axis1, axis2) in [(0, 1), (1, 2), (0, 2), (2, 0)] {
                for offset in [0, 1, -1, 7, i32::MAX, i32::MIN] {
                    let trace = empty.trace_axes(offset, axis1, axis2, Dtype::Float32).unwrap();
                    trace.eval().unwrap();
                    assert_eq!((trace.ndim(), trace.dtype()), (1, Dtype::Float32));
                }
            }
        }
    }
    let x = table();
    for offset in [3, -2, i32::MAX, i32::MIN] {
        check("outside", x.trace_axes(offset, 0, 1, Dtype::Int8), Dtype::Int32, &[], &[0.0]);
    }
    check("trace", x.trace(), Dtype::Float32, &[], &[5.0]);
    refused("trace", vector(&[1.0]).trace(), "two axes");
    refused("trace", Array::scalar(1.0f32).unwrap().trace(), "two axes");
    refused("trace_axes", x.trace_axes(0, 1, -1, Dtype::Float32), "same");
    for axis in [2, -3, i32::MAX, i32::MIN] {
        refused("trace_axes", x.trace_axes(0, 0, axis, Dtype::Float32), "out of range");
        refused("trace_axes", x.trace_axes(0, axis, 0, Dtype::Float32), "out of range");
    }
}
