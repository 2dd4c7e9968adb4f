// SPDX-License-Identifier: EUPL-1.2
//! Arithmetic: values, dtypes, weak constants, and what the library itself would not survive.
//!
//! The expected numbers were formed in float64 by Python's `math` and NumPy, which never ran our code.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails as they do")]

use mlx_core::{Array, Complex64, Dtype, Error, Result, bf16, concatenate, f16};

type Unary = fn(&Array) -> Result<Array>;
type Binary = fn(&Array, &Array) -> Result<Array>;

const HALF: [Dtype; 2] = [Dtype::Float16, Dtype::Bfloat16];
const INTEGERS: [Dtype; 8] = [
    Dtype::Uint8,
    Dtype::Uint16,
    Dtype::Uint32,
    Dtype::Uint64,
    Dtype::Int8,
    Dtype::Int16,
    Dtype::Int32,
    Dtype::Int64,
];

/// A vector of float32.
pub(crate) fn vector(values: &[f32]) -> Array {
    Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap()
}

/// A vector of whole numbers in any dtype.
pub(crate) fn whole(values: &[i64], dtype: Dtype) -> Array {
    Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap().astype(dtype).unwrap()
}

/// Every value as float64.
pub(crate) fn values(array: &Array) -> Vec<f64> {
    match array.dtype() {
        Dtype::Float16 => array.to_vec::<f16>().unwrap().into_iter().map(f64::from).collect(),
        Dtype::Bfloat16 => array.to_vec::<bf16>().unwrap().into_iter().map(f64::from).collect(),
        Dtype::Float32 => array.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
        _ => array.astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap(),
    }
}

/// The one function that knows how a result is compared: shape, dtype and every value, within what the dtype can say.
#[track_caller]
pub(crate) fn check(what: &str, got: Result<Array>, dtype: Dtype, shape: &[i32], expected: &[f64]) {
    let got = got.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!((got.dtype(), got.shape()), (dtype, shape), "{what}");
    let (rtol, atol) = match dtype {
        // MLX computes the exponential of float64 to float32's precision.
        Dtype::Float64 => (1e-6, 1e-6),
        Dtype::Float32 => (1e-5, 1e-6),
        Dtype::Float16 => (1e-3, 1e-3),
        Dtype::Bfloat16 => (1e-2, 1e-2),
        _ => (0.0, 0.0),
    };
    let found = values(&got);
    assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
    for (&found_one, &wanted) in found.iter().zip(expected) {
        let same = found_one == wanted || (found_one.is_nan() && wanted.is_nan());
        assert!(
            same || (found_one - wanted).abs() <= atol + rtol * wanted.abs(),
            "{what}: expected {expected:?}, found {found:?}"
        );
    }
}

/// Checks that a call is refused, in a message that holds `part`.
#[track_caller]
pub(crate) fn refused<T>(what: &str, got: Result<T>, part: &str) {
    match got {
        Ok(_) => panic!("{what}: was not refused"),
        Err(error) => assert!(error.to_string().contains(part), "{what}: {error}"),
    }
}

#[rustfmt::skip]
#[expect(clippy::approx_constant, reason = "all come from one generator")]
const UNARY: &[(&str, Unary, &[f32], &[f64])] = &[
    ("square", Array::square, &[-1.5, -0.5, 0.25, 2.0], &[2.25, 0.25, 0.0625, 4.0]),
    ("sign", Array::sign, &[-1.5, 0.0, 0.25, 2.0], &[-1.0, 0.0, 1.0, 1.0]),
    ("conjugate", Array::conjugate, &[-1.5, -0.5, 0.25, 2.0], &[-1.5, -0.5, 0.25, 2.0]),
    ("stop_gradient", Array::stop_gradient, &[-1.5, -0.5, 0.25, 2.0], &[-1.5, -0.5, 0.25, 2.0]),
    ("negative", Array::negative, &[-1.5, -0.5, 0.25, 2.0], &[1.5, 0.5, -0.25, -2.0]),
    ("positive", Array::positive, &[-1.5, -0.5, 0.25, 2.0], &[-1.5, -0.5, 0.25, 2.0]),
    ("abs", Array::abs, &[-1.5, -0.5, 0.25, 2.0], &[1.5, 0.5, 0.25, 2.0]),
    ("real", Array::real, &[-1.5, -0.5, 0.25, 2.0], &[-1.5, -0.5, 0.25, 2.0]),
    ("imag", Array::imag, &[-1.5, -0.5, 0.25, 2.0], &[0.0, 0.0, 0.0, 0.0]),
    ("floor", Array::floor, &[-1.5, -0.5, 0.25, 2.0], &[-2.0, -1.0, 0.0, 2.0]),
    ("ceil", Array::ceil, &[-1.5, -0.5, 0.25, 2.0], &[-1.0, 0.0, 1.0, 2.0]),
    ("trunc", Array::trunc, &[-1.5, -0.5, 0.25, 2.0], &[-1.0, 0.0, 0.0, 2.0]),
    ("sqrt", Array::sqrt, &[0.25, 1.0, 1.5, 8.0], &[0.5, 1.0, 1.2247448714, 2.8284271247]),
    ("rsqrt", Array::rsqrt, &[0.25, 1.0, 1.5, 8.0], &[2.0, 1.0, 0.8164965809, 0.3535533906]),
    ("reciprocal", Array::reciprocal, &[0.25, 1.0, 1.5, 8.0], &[4.0, 1.0, 0.6666666667, 0.125]),
    ("exp", Array::exp, &[-1.5, -0.5, 0.25, 2.0], &[0.2231301601, 0.6065306597, 1.2840254167, 7.3890560989]),
    ("log", Array::log, &[0.25, 1.0, 1.5, 8.0], &[-1.3862943611, 0.0, 0.4054651081, 2.0794415417]),
    ("log2", Array::log2, &[0.25, 1.0, 1.5, 8.0], &[-2.0, 0.0, 0.5849625007, 3.0]),
    ("log10", Array::log10, &[0.25, 1.0, 1.5, 8.0], &[-0.6020599913, 0.0, 0.1760912591, 0.903089987]),
    ("log1p", Array::log1p, &[-0.5, 0.0, 0.25, 0.75], &[-0.6931471806, 0.0, 0.2231435513, 0.5596157879]),
    ("sin", Array::sin, &[-1.5, -0.5, 0.25, 2.0], &[-0.9974949866, -0.4794255386, 0.2474039593, 0.9092974268]),
    ("cos", Array::cos, &[-1.5, -0.5, 0.25, 2.0], &[0.0707372017, 0.8775825619, 0.9689124217, -0.4161468365]),
    ("tan", Array::tan, &[-1.5, -0.5, 0.25, 2.0], &[-14.1014199472, -0.5463024898, 0.2553419212, -2.1850398633]),
    ("sinh", Array::sinh, &[-1.5, -0.5, 0.25, 2.0], &[-2.1292794551, -0.5210953055, 0.2526123168, 3.6268604078]),
    ("cosh", Array::cosh, &[-1.5, -0.5, 0.25, 2.0], &[2.3524096152, 1.1276259652, 1.0314130999, 3.7621956911]),
    ("tanh", Array::tanh, &[-1.5, -0.5, 0.25, 2.0], &[-0.9051482536, -0.4621171573, 0.2449186624, 0.9640275801]),
    ("arcsin", Array::arcsin, &[-0.5, 0.0, 0.25, 0.75], &[-0.5235987756, 0.0, 0.2526802551, 0.848062079]),
    ("arccos", Array::arccos, &[-0.5, 0.0, 0.25, 0.75], &[2.0943951024, 1.5707963268, 1.3181160717, 0.7227342478]),
    ("arctan", Array::arctan, &[-1.5, -0.5, 0.25, 2.0], &[-0.9827937232, -0.463647609, 0.2449786631, 1.1071487178]),
    ("arcsinh", Array::arcsinh, &[-1.5, -0.5, 0.25, 2.0], &[-1.1947632173, -0.4812118251, 0.2474664615, 1.4436354752]),
    ("arccosh", Array::arccosh, &[1.0, 1.5, 2.0, 8.0], &[0.0, 0.9624236501, 1.3169578969, 2.7686593833]),
    ("arctanh", Array::arctanh, &[-0.5, 0.0, 0.25, 0.75], &[-0.5493061443, 0.0, 0.2554128119, 0.9729550745]),
    ("degrees", Array::degrees, &[-1.5, -0.5, 0.25, 2.0], &[-85.9436692696, -28.6478897565, 14.3239448783, 114.5915590262]),
    ("radians", Array::radians, &[-1.5, -0.5, 0.25, 2.0], &[-0.0261799388, -0.0087266463, 0.0043633231, 0.034906585]),
    ("expm1", Array::expm1, &[-1.5, -0.5, 0.25, 2.0], &[-0.7768698399, -0.3934693403, 0.2840254167, 6.3890560989]),
    ("sigmoid", Array::sigmoid, &[-1.5, -0.5, 0.25, 2.0], &[0.1824255238, 0.3775406688, 0.5621765009, 0.880797078]),
    ("erf", Array::erf, &[-1.5, -0.5, 0.25, 2.0], &[-0.9661051465, -0.5204998778, 0.2763263902, 0.995322265]),
    ("erfinv", Array::erfinv, &[-0.5, 0.0, 0.25, 0.75], &[-0.4769362762, -0.0, 0.225312055, 0.8134198476]),
];

/// Name, op, both operands, result.
type BinaryCase = (&'static str, Binary, &'static [f32], &'static [f32], &'static [f64]);

#[rustfmt::skip]
#[expect(clippy::approx_constant, reason = "all come from one generator")]
const BINARY: &[BinaryCase] = &[
    ("power", Array::power, &[0.5, 1.5, 2.0, 4.0], &[2.0, -1.0, 3.0, 0.5], &[0.25, 0.6666666667, 8.0, 2.0]),
    ("maximum", Array::maximum, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[0.5, -0.5, 0.25, 2.0]),
    ("minimum", Array::minimum, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[-1.5, -2.0, 0.25, 1.5]),
    ("logaddexp", Array::logaddexp, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[0.626928011, -0.298586722, 0.9431471806, 2.4740769842]),
    ("arctan2", Array::arctan2, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[-1.2490457724, -2.8966139905, 0.7853981634, 0.927295218]),
    ("remainder", Array::remainder, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[0.0, -0.5, 0.0, 0.5]),
    ("floor_divide", Array::floor_divide, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[-3.0, 0.0, 1.0, 1.0]),
    ("add", |a, b| a + b, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[-1.0, -2.5, 0.5, 3.5]),
    ("sub", |a, b| a - b, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[-2.0, 1.5, 0.0, 0.5]),
    ("mul", |a, b| a * b, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[-0.75, 1.0, 0.0625, 3.0]),
    ("div", |a, b| a / b, &[-1.5, -0.5, 0.25, 2.0], &[0.5, -2.0, 0.25, 1.5], &[-3.0, 0.25, 1.0, 1.3333333333]),
];

#[test]
fn every_unary_op_has_its_value_in_each_float() {
    for &(name, op, inputs, expected) in UNARY {
        let n = i32::try_from(inputs.len()).unwrap();
        check(name, op(&vector(inputs)), Dtype::Float32, &[n], expected);
        for dtype in [Dtype::Float64, Dtype::Float16, Dtype::Bfloat16] {
            check(name, op(&vector(inputs).astype(dtype).unwrap()), dtype, &[n], expected);
        }
    }
}

#[test]
fn every_unary_op_takes_empty_scalar_and_strided_arrays() {
    for &(name, op, inputs, expected) in UNARY {
        check(name, op(&Array::zeros(&[2, 0], Dtype::Float32).unwrap()), Dtype::Float32, &[2, 0], &[]);
        check(name, op(&Array::scalar(inputs[1]).unwrap()), Dtype::Float32, &[], &expected[1..2]);
        let strided = vector(inputs).reshape(&[2, 2]).unwrap().transpose().unwrap();
        let turned = [expected[0], expected[2], expected[1], expected[3]];
        check(name, op(&strided), Dtype::Float32, &[2, 2], &turned);
    }
}

#[test]
fn every_binary_op_has_its_value_in_each_float_and_broadcasts() {
    for &(name, op, a, b, expected) in BINARY {
        let (a, b) = (vector(a), vector(b));
        check(name, op(&a, &b), Dtype::Float32, &[4], expected);
        for dtype in HALF {
            check(name, op(&a.astype(dtype).unwrap(), &b.astype(dtype).unwrap()), dtype, &[4], expected);
        }
        let column = a.reshape(&[4, 1]).unwrap();
        let row = b.reshape(&[1, 4]).unwrap();
        let table = op(&column, &row).unwrap();
        assert_eq!(table.shape(), [4, 4], "{name}");
        check(name, table.diagonal(0, 0, 1), Dtype::Float32, &[4], expected);
        let (left, right) = (a.reshape(&[2, 2]).unwrap(), b.reshape(&[2, 2]).unwrap());
        let turned = [expected[0], expected[2], expected[1], expected[3]];
        check(
            name,
            op(&left.transpose().unwrap(), &right.transpose().unwrap()),
            Dtype::Float32,
            &[2, 2],
            &turned,
        );
        let empty = Array::zeros(&[0, 1], Dtype::Float32).unwrap();
        check(name, op(&empty, &b), Dtype::Float32, &[0, 4], &[]);
        refused(name, op(&a, &vector(&[1.0, 2.0, 3.0])), "broadcast");
    }
}

#[test]
fn results_that_cannot_be_held_are_refused_before_they_are_computed() {
    let row = Array::scalar(1.0f32).unwrap().broadcast_to(&[1, 1 << 30]).unwrap();
    let column = row.reshape(&[1 << 30, 1]).unwrap();
    for &(name, op, ..) in BINARY {
        refused(name, op(&row, &column), "memory limit");
    }
    // Wide enough a row overflows what can be addressed, not only what there is.
    let thick = Array::scalar(1u8).unwrap().broadcast_to(&[1 << 16, 1, 1 << 16, 1]).unwrap();
    let thin = Array::scalar(1u8).unwrap().broadcast_to(&[1, 1 << 16, 1, 1 << 16]).unwrap();
    refused("add", &thick + &thin, "too large to address");
    refused("astype", thick.astype(Dtype::Complex64), "memory limit");
}

#[test]
fn integers_become_float32_where_the_result_is_not_whole() {
    let ones = whole(&[1, 1], Dtype::Int8);
    let whole_kept = [
        "square",
        "sign",
        "conjugate",
        "stop_gradient",
        "negative",
        "positive",
        "abs",
        "real",
        "imag",
        "floor",
        "ceil",
        "trunc",
    ];
    for &(name, op, ..) in UNARY {
        let expected = if whole_kept.contains(&name) { Dtype::Int8 } else { Dtype::Float32 };
        assert_eq!(op(&ones).unwrap().dtype(), expected, "{name}");
    }
    check(
        "div",
        &whole(&[1, 7], Dtype::Int32) / &whole(&[2, 0], Dtype::Int32),
        Dtype::Float32,
        &[2],
        &[0.5, f64::INFINITY],
    );
    check("logaddexp", ones.logaddexp(&ones), Dtype::Float32, &[2], &[1.0 + 2f64.ln(); 2]);
}

#[test]
fn complex_numbers_are_taken_where_they_make_sense() {
    let z = Array::from_slice(&[Complex64 { re: 3.0, im: -4.0 }], &[1]).unwrap();
    check("abs", z.abs(), Dtype::Float32, &[1], &[5.0]);
    check("real", z.real(), Dtype::Float32, &[1], &[3.0]);
    check("imag", z.imag(), Dtype::Float32, &[1], &[-4.0]);
    assert_eq!(z.conjugate().unwrap().to_vec::<Complex64>().unwrap(), [Complex64 { re: 3.0, im: 4.0 }]);
    assert_eq!((&z * 2.0).unwrap().to_vec::<Complex64>().unwrap(), [Complex64 { re: 6.0, im: -8.0 }]);
    let total: [(&str, Unary); 7] = [
        ("floor", Array::floor),
        ("ceil", Array::ceil),
        ("trunc", Array::trunc),
        ("expm1", Array::expm1),
        ("sigmoid", Array::sigmoid),
        ("erf", Array::erf),
        ("erfinv", Array::erfinv),
    ];
    for (name, op) in total {
        refused(name, op(&z), "complex");
    }
    for op in [Array::remainder, Array::floor_divide] {
        refused("division", op(&z, &z), "omplex");
    }
    assert!(z.divmod(&z).is_err());
    refused("nan_to_num", z.nan_to_num(0.0, None, None), "complex64");
}

#[test]
fn negative_refuses_bool_and_wraps_unsigned() {
    refused("negative", Array::scalar(true).unwrap().negative(), "bool");
    check("negative", whole(&[1, 0], Dtype::Uint8).negative(), Dtype::Uint8, &[2], &[255.0, 0.0]);
    check("neg", -&vector(&[1.0]), Dtype::Float32, &[1], &[-1.0]);
}

#[test]
fn weak_constants_keep_the_dtype_of_the_array() {
    for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
        let two = Array::full(&[2], 2.0, dtype).unwrap();
        check("a + f32", &two + 0.5, dtype, &[2], &[2.5, 2.5]);
        check("f32 - a", 0.5 - &two, dtype, &[2], &[-1.5, -1.5]);
        check("a * i32", &two * 3, dtype, &[2], &[6.0, 6.0]);
        check("i32 / a", 1 / &two, dtype, &[2], &[0.5, 0.5]);
    }
    for dtype in INTEGERS {
        let two = whole(&[2], dtype);
        check("a + i32", &two + 3, dtype, &[1], &[5.0]);
        check("i32 * a", 3 * &two, dtype, &[1], &[6.0]);
        check("a + f32", &two + 0.5, Dtype::Float32, &[1], &[2.5]);
        check("a / i32", &two / 4, Dtype::Float32, &[1], &[0.5]);
    }
    check("bool + i32", &Array::scalar(true).unwrap() + 2, Dtype::Int32, &[], &[3.0]);
    refused("uint8 + -1", &whole(&[2], Dtype::Uint8) + -1, "-1 is not a value of uint8");
    refused("300 - int8", 300 - &whole(&[2], Dtype::Int8), "300 is not a value of int8");
}

#[test]
fn integers_are_divided_without_a_fault() {
    for dtype in INTEGERS {
        let (a, b) = (whole(&[7, 0, 5, 6], dtype), whole(&[2, 3, 0, 0], dtype));
        check("floor_divide", a.floor_divide(&b), dtype, &[4], &[3.0, 0.0, 0.0, 0.0]);
        check("remainder", a.remainder(&b), dtype, &[4], &[1.0, 0.0, 0.0, 0.0]);
        let (quotient, rest) = a.divmod(&whole(&[0], dtype)).unwrap();
        check("divmod", Ok(quotient), dtype, &[4], &[0.0; 4]);
        check("divmod", Ok(rest), dtype, &[4], &[0.0; 4]);
        check("empty", whole(&[], dtype).remainder(&whole(&[0], dtype)), dtype, &[0], &[]);
        let strided = whole(&[1, 0, 2, 0], dtype).reshape(&[2, 2]).unwrap().transpose().unwrap();
        check("strided", strided.remainder(&strided), dtype, &[2, 2], &[0.0; 4]);
    }
    // By Python's `//` and `%`, but for the divisors of 0 and the quotient that wraps.
    let (a, b) = ([-7, 7, -7, 7, -6, 5], [2, -2, -2, 2, 3, -10]);
    let (quotients, rests) = ([-4.0, -4.0, 3.0, 3.0, -2.0, -1.0], [1.0, -1.0, -1.0, 1.0, 0.0, -5.0]);
    for (dtype, smallest) in [
        (Dtype::Int8, i64::from(i8::MIN)),
        (Dtype::Int16, i64::from(i16::MIN)),
        (Dtype::Int32, i64::from(i32::MIN)),
        (Dtype::Int64, i64::MIN),
    ] {
        let (a, b) = (whole(&a, dtype), whole(&b, dtype));
        check("floor_divide", a.floor_divide(&b), dtype, &[6], &quotients);
        check("remainder", a.remainder(&b), dtype, &[6], &rests);
        let extreme = whole(&[smallest, smallest, smallest], dtype);
        let by = whole(&[-1, 0, 1], dtype);
        check("smallest", extreme.floor_divide(&by), dtype, &[3], &[smallest as f64, 0.0, smallest as f64]);
        check("smallest", extreme.remainder(&by), dtype, &[3], &[0.0; 3]);
        check(
            "scalar",
            Array::scalar(5i64).unwrap().astype(dtype).unwrap().remainder(&by),
            dtype,
            &[3],
            &[0.0; 3],
        );
    }
    // -128 by 100 is -2 with a rest of 72: the product of both wraps on the way.
    check(
        "wraps",
        whole(&[-128], Dtype::Int8).floor_divide(&whole(&[100], Dtype::Int8)),
        Dtype::Int8,
        &[1],
        &[-2.0],
    );
    let truth = Array::from_slice(&[true, false], &[2]).unwrap();
    check("bool", truth.remainder(&truth), Dtype::Bool, &[2], &[0.0, 0.0]);
    check("bool", truth.floor_divide(&truth), Dtype::Bool, &[2], &[1.0, 0.0]);
    check(
        "mixed",
        whole(&[7], Dtype::Uint8).remainder(&whole(&[-1], Dtype::Int8)),
        Dtype::Int16,
        &[1],
        &[0.0],
    );
    check("floats", vector(&[1.0]).remainder(&vector(&[0.0])), Dtype::Float32, &[1], &[f64::NAN]);
    check(
        "half",
        whole(&[7], Dtype::Int32).floor_divide(&Array::scalar(f16::ZERO).unwrap()),
        Dtype::Float16,
        &[1],
        &[f64::INFINITY],
    );
}

#[test]
fn power_of_integers_is_whole() {
    check(
        "power",
        whole(&[2, -3, 0], Dtype::Int32).power(&whole(&[10, 3, 0], Dtype::Int32)),
        Dtype::Int32,
        &[3],
        &[1024.0, -27.0, 1.0],
    );
    check(
        "power",
        whole(&[1, 2], Dtype::Int32).power(&whole(&[-1, -1], Dtype::Int32)),
        Dtype::Int32,
        &[2],
        &[0.0, 0.0],
    );
}

#[test]
fn bits_are_combined_and_floats_refused() {
    for dtype in INTEGERS {
        let (a, b) = (whole(&[12, 5], dtype), whole(&[10, 3], dtype));
        check("and", a.bitwise_and(&b), dtype, &[2], &[8.0, 1.0]);
        check("or", a.bitwise_or(&b), dtype, &[2], &[14.0, 7.0]);
        check("xor", a.bitwise_xor(&b), dtype, &[2], &[6.0, 6.0]);
        check("empty", whole(&[], dtype).bitwise_or(&b.reshape(&[2, 1]).unwrap()), dtype, &[2, 0], &[]);
    }
    check("invert", whole(&[0, 5], Dtype::Int16).bitwise_invert(), Dtype::Int16, &[2], &[-1.0, -6.0]);
    check("invert", whole(&[0, 5], Dtype::Uint8).bitwise_invert(), Dtype::Uint8, &[2], &[255.0, 250.0]);
    check(
        "invert",
        Array::from_slice(&[true, false], &[2]).unwrap().bitwise_invert(),
        Dtype::Bool,
        &[2],
        &[0.0, 1.0],
    );
    let x = vector(&[1.0]);
    refused("invert", x.bitwise_invert(), "integer");
    for op in
        [Array::bitwise_and, Array::bitwise_or, Array::bitwise_xor, Array::left_shift, Array::right_shift]
    {
        refused("bits", op(&x, &x), "integer");
        refused("bits", op(&whole(&[1, 2], Dtype::Int8), &whole(&[1, 2, 3], Dtype::Int8)), "broadcast");
    }
}

#[test]
fn shifts_are_defined_for_every_count() {
    for dtype in INTEGERS {
        let bits = i64::try_from(8 * dtype.size()).unwrap();
        let counts = whole(&[0, 1, bits - 1, bits, 100], dtype);
        let five = whole(&[5], dtype);
        let left = five.left_shift(&counts).unwrap();
        check("left", left.slice_axis(0, 0, 2), dtype, &[2], &[5.0, 10.0]);
        check("left", left.slice_axis(0, 3, 5), dtype, &[2], &[0.0, 0.0]);
        check("right", five.right_shift(&counts), dtype, &[5], &[5.0, 2.0, 0.0, 0.0, 0.0]);
        check("empty", whole(&[], dtype).left_shift(&five), dtype, &[0], &[]);
    }
    for dtype in [Dtype::Int8, Dtype::Int16, Dtype::Int32, Dtype::Int64] {
        let counts = whole(&[1, 100, -1, -100], dtype);
        check("left", whole(&[5], dtype).left_shift(&counts), dtype, &[4], &[10.0, 0.0, 0.0, 0.0]);
        check("right", whole(&[-5], dtype).right_shift(&counts), dtype, &[4], &[-3.0, -1.0, -1.0, -1.0]);
        check("right", whole(&[5], dtype).right_shift(&counts), dtype, &[4], &[2.0, 0.0, 0.0, 0.0]);
    }
    let truth = Array::from_slice(&[true, false], &[2]).unwrap();
    check("bool", truth.left_shift(&truth), Dtype::Uint8, &[2], &[2.0, 0.0]);
    check("bool", truth.right_shift(&truth), Dtype::Uint8, &[2], &[0.0, 0.0]);
}

#[test]
fn round_keeps_what_has_no_digits_to_lose() {
    let x = vector(&[2.5, -1.5, 0.125, 1234.5]);
    check("round", x.round(0), Dtype::Float32, &[4], &[2.0, -2.0, 0.0, 1234.0]);
    check("round", x.round(2), Dtype::Float32, &[4], &[2.5, -1.5, 0.12, 1234.5]);
    check("round", x.round(-2), Dtype::Float32, &[4], &[0.0, 0.0, 0.0, 1200.0]);
    check("round", x.round(38), Dtype::Float32, &[4], &[2.5, -1.5, 0.125, 1234.5]);
    check("round", x.round(-38), Dtype::Float32, &[4], &[0.0; 4]);
    for dtype in HALF {
        let half = vector(&[2.5, -0.125]).astype(dtype).unwrap();
        check("round", half.round(0), dtype, &[2], &[2.0, 0.0]);
        check("round", half.round(38), dtype, &[2], &[2.5, -0.125]);
        check("round", half.round(-30), dtype, &[2], &[0.0, 0.0]);
    }
    let special = vector(&[f32::INFINITY, f32::NAN]);
    check("round", special.round(1), Dtype::Float32, &[2], &[f64::INFINITY, f64::NAN]);
    let whole = whole(&[15, 25, -15, 123], Dtype::Int32);
    check("round", whole.round(38), Dtype::Int32, &[4], &[15.0, 25.0, -15.0, 123.0]);
    check("round", whole.round(-1), Dtype::Int32, &[4], &[20.0, 20.0, -20.0, 120.0]);
    check("round", whole.round(-30), Dtype::Int32, &[4], &[0.0; 4]);
    check("round", vector(&[]).round(3), Dtype::Float32, &[0], &[]);
    for decimals in [39, -39, i32::MAX, i32::MIN] {
        refused("round", x.round(decimals), "decimals");
    }
}

#[test]
fn clip_holds_between_bounds_that_may_be_absent() {
    let x = vector(&[-2.0, 0.5, 3.0]);
    let (low, high) = (Array::scalar(-1.0f32).unwrap(), Array::scalar(1.0f32).unwrap());
    check("clip", x.clip(Some(&low), Some(&high)), Dtype::Float32, &[3], &[-1.0, 0.5, 1.0]);
    check("clip", x.clip(Some(&low), None), Dtype::Float32, &[3], &[-1.0, 0.5, 3.0]);
    check("clip", x.clip(None, Some(&high)), Dtype::Float32, &[3], &[-2.0, 0.5, 1.0]);
    check("clip", x.clip(Some(&high), Some(&low)), Dtype::Float32, &[3], &[-1.0; 3]);
    check("clip", vector(&[]).clip(Some(&low), None), Dtype::Float32, &[0], &[]);
    let half = x.astype(Dtype::Bfloat16).unwrap();
    let bound = half.scalar_like(1.0).unwrap();
    check("clip", half.clip(None, Some(&bound)), Dtype::Bfloat16, &[3], &[-2.0, 0.5, 1.0]);
    refused("clip", x.clip(None, None), "either min or max");
    refused("clip", x.clip(Some(&vector(&[1.0, 2.0])), None), "broadcast");
}

#[test]
fn nan_to_num_replaces_what_is_not_finite() {
    let x = vector(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1.5]);
    check("given", x.nan_to_num(7.0, Some(8.0), Some(-9.0)), Dtype::Float32, &[4], &[7.0, 8.0, -9.0, 1.5]);
    let limits = [0.0, f64::from(f32::MAX), f64::from(f32::MIN), 1.5];
    check("limits", x.nan_to_num(0.0, None, None), Dtype::Float32, &[4], &limits);
    let half = x.astype(Dtype::Float16).unwrap();
    check("half", half.nan_to_num(0.0, None, None), Dtype::Float16, &[4], &[0.0, 65504.0, -65504.0, 1.5]);
    check("whole", whole(&[3], Dtype::Int8).nan_to_num(0.0, None, None), Dtype::Int8, &[1], &[3.0]);
    refused("float64", x.astype(Dtype::Float64).unwrap().nan_to_num(0.0, None, None), "float64");
}

#[test]
fn astype_goes_from_every_dtype_to_every_other() {
    for from in Dtype::ALL {
        for to in Dtype::ALL {
            let ones = Array::ones(&[3], from).unwrap();
            check(&format!("{from} to {to}"), ones.astype(to), to, &[3], &[1.0; 3]);
            check("empty", Array::zeros(&[0, 2], from).unwrap().astype(to), to, &[0, 2], &[]);
        }
    }
    check("truncates", vector(&[1.9, -1.9]).astype(Dtype::Int32), Dtype::Int32, &[2], &[1.0, -1.0]);
    check("is true", vector(&[0.0, 0.5, f32::NAN]).astype(Dtype::Bool), Dtype::Bool, &[3], &[0.0, 1.0, 1.0]);
    // What an integer cannot hold becomes some integer, and nothing else happens.
    let odd = vector(&[f32::NAN, f32::INFINITY, -1e30, 1e30]);
    for to in INTEGERS {
        assert_eq!(odd.astype(to).unwrap().astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap().len(), 4);
    }
}

#[test]
fn view_reads_the_same_bytes() {
    check(
        "bits of 1.0",
        vector(&[1.0, -2.0]).view(Dtype::Uint32),
        Dtype::Uint32,
        &[2],
        &[1_065_353_216.0, 3_221_225_472.0],
    );
    check("narrower", vector(&[1.0]).view(Dtype::Uint16), Dtype::Uint16, &[2], &[0.0, 16256.0]);
    check("wider", whole(&[0, 0, 128, 63], Dtype::Uint8).view(Dtype::Float32), Dtype::Float32, &[1], &[1.0]);
    let strided = vector(&[1.0, 2.0, 3.0, 4.0]).reshape(&[2, 2]).unwrap().transpose().unwrap();
    check(
        "strided",
        strided.view(Dtype::Int32).and_then(|bits| bits.view(Dtype::Float32)),
        Dtype::Float32,
        &[2, 2],
        &[1.0, 3.0, 2.0, 4.0],
    );
    // The last axis has one element, and a stride that means nothing.
    let column = whole(&[1, 2, 3], Dtype::Uint16).reshape(&[1, 3]).unwrap().transpose().unwrap();
    check("column", column.view(Dtype::Uint8), Dtype::Uint8, &[3, 2], &[1.0, 0.0, 2.0, 0.0, 3.0, 0.0]);
    let single = whole(&[1, 2, 3], Dtype::Uint16).slice_strided(&[1], &[3], &[2]).unwrap();
    check("single", single.view(Dtype::Uint8), Dtype::Uint8, &[2], &[2.0, 0.0]);
    let gaps = whole(&[1, 2, 3, 4], Dtype::Uint16).reshape(&[2, 2]).unwrap().slice(&[0, 1], &[2, 2]).unwrap();
    check("gaps", gaps.view(Dtype::Uint8), Dtype::Uint8, &[2, 2], &[2.0, 0.0, 4.0, 0.0]);
    check(
        "no rows",
        Array::zeros(&[0, 1], Dtype::Uint16).unwrap().view(Dtype::Uint8),
        Dtype::Uint8,
        &[0, 2],
        &[],
    );
    check("empty", vector(&[]).view(Dtype::Uint8), Dtype::Uint8, &[0], &[]);
    check("scalar", Array::scalar(1.0f32).unwrap().view(Dtype::Int32), Dtype::Int32, &[], &[1_065_353_216.0]);
    // A truth value may be any byte there; it stays true.
    let truth = whole(&[0, 1, 7], Dtype::Uint8).view(Dtype::Bool).unwrap();
    assert_eq!(truth.to_vec::<bool>().unwrap(), [false, true, true]);
    refused("odd", whole(&[1, 2, 3], Dtype::Uint8).view(Dtype::Uint16), "view");
    refused("scalar", Array::scalar(1.0f32).unwrap().view(Dtype::Uint8), "scalar");
}

#[test]
fn dtypes_are_promoted_as_in_mlx() {
    // By Python's mlx.core 0.32.2.
    for (a, b, expected) in [
        (Dtype::Uint8, Dtype::Int8, Dtype::Int16),
        (Dtype::Uint32, Dtype::Int32, Dtype::Int64),
        (Dtype::Uint64, Dtype::Int64, Dtype::Float32),
        (Dtype::Bool, Dtype::Int8, Dtype::Int8),
        (Dtype::Int32, Dtype::Float16, Dtype::Float16),
        (Dtype::Float16, Dtype::Bfloat16, Dtype::Float32),
        (Dtype::Bfloat16, Dtype::Float64, Dtype::Float64),
        (Dtype::Float64, Dtype::Complex64, Dtype::Complex64),
    ] {
        let (one, two) = (Array::ones(&[1], a).unwrap(), Array::ones(&[1], b).unwrap());
        check(&format!("{a} + {b}"), &one + &two, expected, &[1], &[2.0]);
        check(&format!("{b} + {a}"), &two + &one, expected, &[1], &[2.0]);
    }
}

#[test]
fn failed_ops_leave_the_next_ones_alone() {
    let x = vector(&[1.0, 2.0]);
    for _ in 0..100 {
        assert!(matches!(&x + &vector(&[1.0, 2.0, 3.0]), Err(Error::Mlx { op: "add", .. })));
        check("add", &x + &x, Dtype::Float32, &[2], &[2.0, 4.0]);
    }
    let joined = concatenate(&[&x, &x], 0);
    check("concatenate", joined, Dtype::Float32, &[4], &[1.0, 2.0, 1.0, 2.0]);
}

#[test]
fn eight_bit_floats_come_back_from_every_float() {
    // 1.0625 lies in the middle between two and goes to the even one; float64 is no wider on the way.
    let (x, bytes) =
        ([1.0, -2.5, 448.0, 1000.0, 0.0, 1.0625], [0x38, 0xc2, 0x7e, 0x7e, 0, 0x38].map(f64::from));
    let back = [1.0, -2.5, 448.0, 448.0, 0.0, 1.0];
    for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
        let packed = vector(&x).astype(dtype).unwrap().to_fp8().unwrap();
        check("to_fp8", Ok(packed.clone()), Dtype::Uint8, &[6], &bytes);
        check("from_fp8", packed.from_fp8(dtype), dtype, &[6], &back);
        check("empty", vector(&[]).astype(dtype).unwrap().to_fp8(), Dtype::Uint8, &[0], &[]);
    }
    let every: Vec<i64> = (0..256).collect();
    for dtype in [Dtype::Float32, Dtype::Float64] {
        let read = values(&whole(&every, Dtype::Uint8).from_fp8(dtype).unwrap());
        // All but the two that others read as NaN.
        for (byte, value) in (0u32..256).zip(read).filter(|(byte, _)| byte & 0x7f != 0x7f) {
            let (exponent, mantissa) = (byte >> 3 & 15, f64::from(byte & 7));
            let magnitude = match exponent {
                0 => mantissa / 512.0,
                _ => (1.0 + mantissa / 8.0) * 2f64.powi(i32::try_from(exponent).unwrap() - 7),
            };
            assert_eq!(value, if byte > 127 { -magnitude } else { magnitude }, "{byte:#x}");
        }
    }
    for dtype in INTEGERS.into_iter().chain([Dtype::Bool, Dtype::Complex64]) {
        refused("to_fp8", Array::ones(&[2], dtype).unwrap().to_fp8(), "floating");
        refused("from_fp8", whole(&[1], Dtype::Uint8).from_fp8(dtype), "floating");
        if dtype != Dtype::Uint8 {
            refused("from_fp8", Array::ones(&[2], dtype).unwrap().from_fp8(Dtype::Float32), "uint8");
        }
    }
}

#[test]
fn derivative_of_divmod_is_that_of_the_remainder() {
    let both = |x: &[Array]| x[0].divmod(&x[1]).map(|(quotient, rest)| vec![quotient, rest]);
    let (x, y, one) = (vector(&[7.5, -7.5]), vector(&[2.0, 2.0]), vector(&[1.0, 1.0]));
    let (_, grads) = mlx_core::transform::vjp(both, &[x, y], &[one.clone(), one]).unwrap();
    check("by the dividend", Ok(grads[0].clone()), Dtype::Float32, &[2], &[1.0, 1.0]);
    check("by the divisor", Ok(grads[1].clone()), Dtype::Float32, &[2], &[-3.0, 4.0]);
}
