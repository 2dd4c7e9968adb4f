// SPDX-License-Identifier: EUPL-1.2
//! Quantised weights, against MLX's own Python package (`golden/generate_ops.py`) and against dequantising first.

use mlx_core::{
    Array, Dtype, Error, GlobalScales, QqmmWeight, QuantMode, Quantization, Quantized, Result, dequantize,
    dequantize_scaled,
};
use serde_json::Value;

use crate::random::golden;

/// Multiples of 1/16, as the generator of the golden values spells them.
fn pattern(rows: i32, width: i32, step: i32) -> Array {
    let value = |i: i32| f32::from(i16::try_from(i * step % 97 - 48).unwrap()) / 16.0;
    Array::from_slice(&(0..rows * width).map(value).collect::<Vec<_>>(), &[rows, width]).unwrap()
}

fn read(array: &Array) -> Vec<f32> {
    array.astype(Dtype::Float32).unwrap().to_vec::<f32>().unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn assert_close(found: &[f32], expected: &[f32], rtol: f32, atol: f32, name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (i, (x, y)) in found.iter().zip(expected).enumerate() {
        assert!((x - y).abs() <= atol + rtol * y.abs(), "{name}: {x} for {y} at {i}");
    }
}

fn formats() -> impl Iterator<Item = Quantization> {
    let affine = [32, 64, 128].into_iter().flat_map(|group_size| {
        [2, 3, 4, 5, 6, 8].map(|bits| Quantization { group_size, bits, mode: QuantMode::Affine })
    });
    affine.chain([QuantMode::Mxfp4, QuantMode::Nvfp4, QuantMode::Mxfp8].map(Quantization::of))
}

fn product(x: &Array, q: &Quantized, transpose: bool, format: Quantization) -> Result<Array> {
    x.quantized_matmul(&q.weight, &q.scales, q.biases.as_ref(), transpose, format)
}

fn back(q: &Quantized, format: Quantization, dtype: Option<Dtype>) -> Result<Array> {
    dequantize(&q.weight, &q.scales, q.biases.as_ref(), format, dtype)
}

#[test]
fn every_format_agrees_with_python() {
    let golden = golden();
    let cases = golden["quantised"].as_array().unwrap();
    assert_eq!(cases.len(), formats().count());
    for (case, format) in cases.iter().zip(formats()) {
        let name = format!("{} {} {}", format.mode, format.group_size, format.bits);
        assert_eq!(case["mode"], format.mode.name());
        assert_eq!([&case["group_size"], &case["bits"]], [format.group_size, format.bits]);
        let packed = pattern(3, 128, 37).quantize(format).unwrap();
        let words: Vec<u64> = packed.weight.to_vec::<u32>().unwrap().into_iter().map(u64::from).collect();
        assert_eq!(Value::from(words), case["words"], "{name}");
        assert_eq!(read(&packed.scales), numbers(&case["scales"]), "{name}");
        assert_eq!(packed.biases.is_some(), format.mode == QuantMode::Affine);
        if let Some(biases) = &packed.biases {
            assert_eq!(read(biases), numbers(&case["biases"]), "{name}");
        }
        let values = back(&packed, format, Some(Dtype::Float32)).unwrap();
        assert_eq!(read(&values), numbers(&case["values"]), "{name}");
        let right = product(&pattern(2, 128, 23), &packed, true, format).unwrap();
        assert_close(&read(&right), &numbers(&case["product"]), 1e-5, 1e-4, &name);
        let left = product(&pattern(2, 3, 11), &packed, false, format).unwrap();
        assert_close(&read(&left), &numbers(&case["untransposed"]), 1e-5, 1e-4, &name);
    }
}

#[test]
fn products_agree_with_dequantising_first() {
    for format in formats() {
        let weight = pattern(5, 256, 31);
        for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32] {
            let name = format!("{format:?} {dtype}");
            // MLX's CPU kernels add up 256 products of up to 9 in the dtype itself.
            let (rtol, atol) = match dtype {
                Dtype::Float32 => (1e-5, 1e-3),
                Dtype::Float16 => (1e-2, 0.3),
                _ => (2e-2, 2.5),
            };
            let packed = weight.astype(dtype).unwrap().quantize(format).unwrap();
            let whole = read(&back(&packed, format, Some(Dtype::Float32)).unwrap());
            let full = Array::from_slice(&whole, &[5, 256]).unwrap();
            for (shape, transpose) in
                [(&[1, 256][..], true), (&[256], true), (&[2, 3, 256], true), (&[3, 5], false), (&[5], false)]
            {
                let width = *shape.last().unwrap();
                let rows = shape.iter().product::<i32>() / width;
                let x = pattern(rows, width, 23).reshape(shape).unwrap();
                let y = product(&x.astype(dtype).unwrap(), &packed, transpose, format).unwrap();
                let matrix = if transpose { full.transpose().unwrap() } else { full.clone() };
                let expected = x.matmul(&matrix).unwrap();
                assert_eq!((y.dtype(), y.shape()), (dtype, expected.shape()), "{name}");
                assert_close(&read(&y), &read(&expected), rtol, atol, &name);
            }
        }
    }
}

#[test]
fn round_trips_stay_within_half_a_step() {
    for format in formats() {
        let weight = pattern(4, 128, 29);
        let found = read(&back(&weight.quantize(format).unwrap(), format, Some(Dtype::Float32)).unwrap());
        // Values lie within −3 and 3; affine moves its zero by up to half a step to keep 0 exact.
        let step = match format.mode {
            QuantMode::Affine => 6.0 / ((1 << format.bits) - 1) as f32,
            QuantMode::Mxfp4 | QuantMode::Nvfp4 => 1.0,
            QuantMode::Mxfp8 => 0.25,
        };
        for (x, y) in found.iter().zip(read(&weight)) {
            assert!((x - y).abs() <= step * 1.01, "{format:?}: {x} for {y}");
        }
    }
}

#[test]
fn dequantising_gives_the_dtype_asked_for() {
    for format in formats() {
        let weight = pattern(2, 128, 37).astype(Dtype::Bfloat16).unwrap();
        let packed = weight.quantize(format).unwrap();
        assert_eq!(back(&packed, format, None).unwrap().dtype(), Dtype::Bfloat16, "{format:?}");
        for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32] {
            let values = back(&packed, format, Some(dtype)).unwrap();
            values.eval().unwrap();
            assert_eq!((values.dtype(), values.shape()), (dtype, &[2, 128][..]));
        }
        for dtype in [Dtype::Int32, Dtype::Float64, Dtype::Bool, Dtype::Complex64] {
            let error = back(&packed, format, Some(dtype)).unwrap_err().to_string();
            assert!(error.contains("dtype: expected float16, bfloat16 or float32"), "{error}");
        }
    }
}

#[test]
fn quantised_rows_can_be_looked_up_alone() {
    for format in formats() {
        let packed = pattern(6, 128, 37).quantize(format).unwrap();
        let ids = Array::from_slice(&[5u32, 0, 5], &[3]).unwrap();
        let rows = |array: &Array| array.take(&ids, 0).unwrap();
        let some = Quantized {
            weight: rows(&packed.weight),
            scales: rows(&packed.scales),
            biases: packed.biases.as_ref().map(rows),
        };
        let expected = rows(&back(&packed, format, None).unwrap());
        assert_eq!(read(&back(&some, format, None).unwrap()), read(&expected), "{format:?}");
    }
}

#[test]
fn formats_that_do_not_exist_are_errors_that_name_the_argument() {
    let w = pattern(2, 128, 37);
    let affine = |group_size, bits| Quantization { group_size, bits, mode: QuantMode::Affine };
    let of = |mode, group_size, bits| Quantization { group_size, bits, mode };
    for (format, argument) in [
        (affine(0, 4), "group_size"),
        (affine(-64, 4), "group_size"),
        (affine(16, 4), "group_size"),
        (affine(256, 4), "group_size"),
        (affine(64, 0), "bits"),
        (affine(64, 1), "bits"),
        (affine(64, 7), "bits"),
        (affine(64, -4), "bits"),
        (affine(64, 16), "bits"),
        (of(QuantMode::Mxfp4, 64, 4), "group_size"),
        (of(QuantMode::Mxfp4, 32, 8), "bits"),
        (of(QuantMode::Nvfp4, 32, 4), "group_size"),
        (of(QuantMode::Mxfp8, 32, 4), "bits"),
    ] {
        let packed = w.quantize(Quantization::default()).unwrap();
        for result in [
            w.quantize(format).map(|q| q.weight),
            back(&packed, format, None),
            product(&w, &packed, true, format),
            w.gather_qmm(&packed.weight, &packed.scales, None, None, None, true, format, false),
        ] {
            assert!(
                matches!(result, Err(Error::Argument { argument: found, .. }) if found == argument),
                "{format:?}"
            );
        }
    }
    for mode in QuantMode::ALL {
        assert_eq!(mode.name().parse::<QuantMode>().unwrap(), mode);
        assert_eq!(format!("{mode:>8}").trim(), mode.name());
        Quantization::of(mode).validate().unwrap();
    }
    let error = "mxfp6".parse::<QuantMode>().unwrap_err().to_string();
    assert!(error.contains("mxfp6"), "{error}");
}

#[test]
fn parts_that_do_not_fit_are_errors_that_name_the_argument() {
    let format = Quantization::default();
    let w = pattern(4, 128, 37);
    let Quantized { weight, scales, biases } = w.quantize(format).unwrap();
    let biases = biases.unwrap();
    let x = pattern(2, 128, 23);
    let fewer = scales.slice(&[0, 0], &[2, 2]).unwrap();
    let check = |weight: &Array, scales: &Array, biases: Option<&Array>, format, argument: &str| {
        for result in [
            dequantize(weight, scales, biases, format, None),
            x.quantized_matmul(weight, scales, biases, true, format),
            x.gather_qmm(weight, scales, biases, None, None, true, format, false),
        ] {
            match result.unwrap_err() {
                Error::Argument { argument: found, .. } => assert_eq!(found, argument),
                error => panic!("{argument}: {error}"),
            }
        }
    };
    check(&weight, &scales, None, format, "biases");
    check(&weight, &fewer, Some(&biases), format, "scales");
    check(&weight, &scales, Some(&fewer), format, "biases");
    check(&weight, &scales.astype(Dtype::Int32).unwrap(), Some(&biases), format, "scales");
    check(&weight, &scales.astype(Dtype::Float64).unwrap(), Some(&biases), format, "scales");
    check(&weight, &scales, Some(&biases.astype(Dtype::Complex64).unwrap()), format, "biases");
    check(&weight.astype(Dtype::Int32).unwrap(), &scales, Some(&biases), format, "weight");
    check(&weight.index(0).unwrap(), &scales, Some(&biases), format, "weight");
    check(&weight.slice(&[0, 0], &[4, 3]).unwrap(), &scales, Some(&biases), format, "weight");
    check(&weight, &scales, Some(&biases), Quantization { bits: 8, ..format }, "scales");
    check(&weight, &scales, Some(&biases), Quantization { bits: 3, ..format }, "weight");
    check(&weight, &scales, Some(&biases), Quantization { group_size: 32, ..format }, "scales");
    check(&weight, &scales, Some(&biases), Quantization::of(QuantMode::Mxfp4), "scales");
    let floats = w.quantize(Quantization::of(QuantMode::Mxfp4)).unwrap();
    check(&floats.weight, &floats.scales, Some(&biases), Quantization::of(QuantMode::Mxfp4), "biases");
    check(&floats.weight, &scales, None, Quantization::of(QuantMode::Mxfp4), "scales");

    let times = |x: &Array| x.quantized_matmul(&weight, &scales, Some(&biases), true, format);
    for dtype in [Dtype::Int32, Dtype::Bool, Dtype::Float64, Dtype::Complex64] {
        let error = times(&x.astype(dtype).unwrap()).unwrap_err().to_string();
        assert!(error.contains("x: expected float16"), "{error}");
        assert!(x.astype(dtype).unwrap().quantize(format).is_err());
    }
    for shape in [&[2, 127][..], &[2, 0], &[], &[2, 4]] {
        let x = Array::zeros(shape, Dtype::Float32).unwrap();
        assert!(matches!(times(&x), Err(Error::Shape { .. })), "{shape:?}");
    }
    for shape in [&[][..], &[64], &[2, 63]] {
        assert!(Array::zeros(shape, Dtype::Float32).unwrap().quantize(format).is_err(), "{shape:?}");
    }
}

/// On these the native kernels divide by zero.
#[test]
fn empty_operands_do_not_end_the_process() {
    for format in formats() {
        let packed = pattern(4, 128, 37).quantize(format).unwrap();
        let x = |shape: &[i32]| Array::zeros(shape, Dtype::Float32).unwrap();
        for shape in [&[0, 128][..], &[2, 0, 128]] {
            let y = product(&x(shape), &packed, true, format).unwrap();
            y.eval().unwrap();
            assert_eq!((y.dim(-1).unwrap(), y.size()), (4, 0));
        }
        for shape in [[0, 128], [4, 0]] {
            let packed = x(&shape).quantize(format).unwrap();
            let values = back(&packed, format, None).unwrap();
            values.eval().unwrap();
            assert_eq!(values.shape(), shape);
            let y = product(&x(&[3, shape[1]]), &packed, true, format).unwrap();
            assert_eq!(y.to_vec::<f32>().unwrap(), vec![0.0; 3 * usize::try_from(shape[0]).unwrap()]);
        }
        let one = Array::from_slice(&[0], &[1]).unwrap();
        let three = pattern(12, 128, 37).reshape(&[3, 4, 128]).unwrap().quantize(format).unwrap();
        let gathered = |x: &Array, q: &Quantized| {
            x.gather_qmm(&q.weight, &q.scales, q.biases.as_ref(), Some(&one), Some(&one), true, format, false)
        };
        let y = gathered(&x(&[1, 0, 128]), &three).unwrap();
        y.eval().unwrap();
        assert_eq!(y.shape(), [1, 0, 4]);
        assert!(gathered(&x(&[0, 1, 128]), &three).is_err());
        assert!(gathered(&x(&[1, 1, 128]), &x(&[0, 4, 128]).quantize(format).unwrap()).is_err());
    }
}

#[test]
fn gather_qmm_multiplies_chosen_pairs() {
    for format in formats() {
        let packed = pattern(12, 128, 37).reshape(&[3, 4, 128]).unwrap().quantize(format).unwrap();
        let whole = back(&packed, format, Some(Dtype::Float32)).unwrap();
        let x = pattern(4, 128, 23).reshape(&[2, 2, 128]).unwrap();
        let indices =
            |values: &[i32]| Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap();
        let times = |lhs: Option<&Array>, rhs: Option<&Array>| {
            x.gather_qmm(
                &packed.weight,
                &packed.scales,
                packed.biases.as_ref(),
                lhs,
                rhs,
                true,
                format,
                false,
            )
        };
        let expected = |lhs: i32, rhs: i32| {
            let right = whole.index(rhs).unwrap().transpose().unwrap();
            read(&x.index(lhs).unwrap().matmul(&right).unwrap())
        };
        let y = times(Some(&indices(&[1, 0, 1])), Some(&indices(&[0, 2, 1]))).unwrap();
        assert_eq!(y.shape(), [3, 2, 4]);
        let all = [expected(1, 0), expected(0, 2), expected(1, 1)].concat();
        assert_close(&read(&y), &all, 1e-5, 1e-3, &format!("{format:?}"));
        let y = times(None, Some(&indices(&[2, 2]))).unwrap();
        assert_close(&read(&y), &[expected(0, 2), expected(1, 2)].concat(), 1e-5, 1e-3, "in order");
        for bad in [3, -1, 1 << 30, i32::MIN] {
            let error = times(None, Some(&indices(&[0, bad]))).unwrap_err();
            assert!(matches!(error, Error::Index { op: "gather_qmm", size: 3, .. }), "{error}");
            assert!(matches!(
                times(Some(&indices(&[bad])), Some(&indices(&[0]))),
                Err(Error::Index { size: 2, .. })
            ));
            let unknown = (&indices(&[0, bad]) + 0).unwrap();
            let clamped = [expected(0, 0), expected(1, if bad > 0 { 2 } else { 0 })].concat();
            assert_close(&read(&times(None, Some(&unknown)).unwrap()), &clamped, 1e-5, 1e-3, "clamped");
        }
        assert!(times(None, Some(&Array::scalar(0.5f32).unwrap())).is_err());
        assert!(times(None, None).is_err());
        assert!(
            x.index((0, 0))
                .unwrap()
                .gather_qmm(
                    &packed.weight,
                    &packed.scales,
                    packed.biases.as_ref(),
                    None,
                    None,
                    true,
                    format,
                    false
                )
                .is_err()
        );
    }
}

#[test]
fn views_are_quantised_like_what_they_show() {
    let format = Quantization::default();
    let w = pattern(128, 4, 37).transpose().unwrap();
    let copy = Array::from_slice(&read(&w), &[4, 128]).unwrap();
    let (a, b) = (w.quantize(format).unwrap(), copy.quantize(format).unwrap());
    assert_eq!(a.weight.to_vec::<u32>().unwrap(), b.weight.to_vec::<u32>().unwrap());
    let every_second = |q: &Quantized| Quantized {
        weight: q.weight.index((mlx_core::step(.., 2),)).unwrap(),
        scales: q.scales.index((mlx_core::step(.., 2),)).unwrap(),
        biases: q.biases.as_ref().map(|b| b.index((mlx_core::step(.., 2),)).unwrap()),
    };
    let x = pattern(128, 2, 23).transpose().unwrap();
    let y = product(&x, &every_second(&a), true, format).unwrap();
    let expected = x.matmul(&back(&every_second(&b), format, None).unwrap().transpose().unwrap()).unwrap();
    assert_close(&read(&y), &read(&expected), 1e-5, 1e-3, "views");
}

#[test]
fn factors_for_all_groups_must_be_one_float32() {
    let w = pattern(2, 32, 37);
    let (one, two) = (Array::scalar(3.0f32).unwrap(), Array::from_slice(&[1.0f32, 2.0], &[2]).unwrap());
    let wrapped = Array::from_slice(&[3.0f32], &[1, 1]).unwrap();
    let packed = w.quantize_scaled(&wrapped).unwrap();
    assert_eq!(
        packed.weight.to_vec::<u32>().unwrap(),
        w.quantize_scaled(&one).unwrap().weight.to_vec::<u32>().unwrap()
    );
    for bad in [&two, &Array::scalar(3i32).unwrap(), &Array::scalar(3.0f64).unwrap()] {
        assert!(matches!(w.quantize_scaled(bad), Err(Error::Argument { argument: "global", .. })));
        assert!(dequantize_scaled(&packed.weight, &packed.scales, bad, None).is_err());
    }
    for bad in [0.0, f32::NAN, f32::INFINITY, -1.0] {
        let bad = Array::scalar(bad).unwrap();
        let packed = w.quantize_scaled(&bad).unwrap();
        dequantize_scaled(&packed.weight, &packed.scales, &bad, None).unwrap().eval().unwrap();
    }
    let empty = pattern(0, 32, 1).quantize_scaled(&one).unwrap();
    let back = dequantize_scaled(&empty.weight, &empty.scales, &one, None).unwrap();
    assert_eq!((back.shape(), back.dtype()), (&[0, 32][..], Dtype::Float32));
    let wrong = packed.scales.reshape(&[4, 1]).unwrap();
    assert!(dequantize_scaled(&packed.weight, &wrong, &one, None).is_err());
    assert!(dequantize_scaled(&packed.weight, &packed.scales, &one, Some(Dtype::Int32)).is_err());
}

#[test]
fn products_of_two_quantised_operands_check_what_they_are_given() {
    let (x, w) = (pattern(2, 32, 23), pattern(3, 32, 37));
    let one = Array::scalar(3.0f32).unwrap();
    let global = Some(GlobalScales { x: &one, weight: &one });
    let nvfp4 = Quantization::of(QuantMode::Nvfp4);
    let dense = QqmmWeight::Dense(&w);
    assert!(x.qqmm(dense, nvfp4, global).is_ok());
    for format in [Quantization::default(), Quantization { bits: 8, ..nvfp4 }] {
        assert!(matches!(x.qqmm(dense, format, None), Err(Error::Argument { .. })));
    }
    assert!(x.qqmm(dense, Quantization::of(QuantMode::Mxfp8), global).is_err());
    let two = Array::from_slice(&[1.0f32, 2.0], &[2]).unwrap();
    assert!(x.qqmm(dense, nvfp4, Some(GlobalScales { x: &two, weight: &one })).is_err());
    let packed = w.quantize(nvfp4).unwrap();
    let short = packed.scales.reshape(&[2, 3]).unwrap();
    let bad = QqmmWeight::Packed { weight: &packed.weight, scales: &short };
    assert!(matches!(x.qqmm(bad, nvfp4, None), Err(Error::Argument { argument: "scales", .. })));
    for weight in
        [pattern(3, 48, 1), pattern(3, 31, 1), pattern(32, 3, 1).transpose().unwrap().reshape(&[96]).unwrap()]
    {
        assert!(x.qqmm(QqmmWeight::Dense(&weight), nvfp4, None).is_err(), "{weight:?}");
    }
    let odd = pattern(2, 40, 1);
    assert!(odd.qqmm(QqmmWeight::Dense(&odd), nvfp4, None).is_err());
    assert!(x.reshape(&[64]).unwrap().qqmm(dense, nvfp4, None).is_err());
    assert!(x.astype(Dtype::Float64).unwrap().qqmm(dense, nvfp4, None).is_err());
    // Matrices in a batch want indices.
    let stacked = w.reshape(&[1, 3, 32]).unwrap();
    assert!(x.qqmm(QqmmWeight::Dense(&stacked), nvfp4, None).is_err());
    for (rows, columns, width) in [(0, 3, 32), (2, 0, 32), (2, 3, 0)] {
        let (x, w) = (pattern(rows, width, 1), pattern(columns, width, 1));
        let product = x.qqmm(QqmmWeight::Dense(&w), nvfp4, None).unwrap();
        assert_eq!(product.shape(), [rows, columns]);
        assert!(read(&product).iter().all(|&v| v == 0.0));
        let (x, w) = (x.reshape(&[1, rows, width]).unwrap(), w.reshape(&[1, columns, width]).unwrap());
        let product = x.gather_qqmm(QqmmWeight::Dense(&w), None, None, nvfp4, None, false).unwrap();
        assert_eq!(product.shape(), [1, rows, columns]);
        product.eval().unwrap();
    }
}

#[test]
fn gather_qqmm_rejects_or_clamps_what_is_out_of_range() {
    let format = Quantization::of(QuantMode::Mxfp8);
    let x = pattern(2, 32, 23).reshape(&[2, 1, 32]).unwrap();
    let w = pattern(6, 32, 37).reshape(&[3, 2, 32]).unwrap();
    let apply = |lhs: Option<&Array>, rhs: Option<&Array>| {
        x.gather_qqmm(QqmmWeight::Dense(&w), lhs, rhs, format, None, false)
    };
    let index = |values: &[i32]| Array::from_slice(values, &[2]).unwrap();
    for bad in [[0, 3], [-1, 0], [i32::MIN, i32::MAX]] {
        assert!(matches!(apply(None, Some(&index(&bad))), Err(Error::Index { .. })));
        assert!(matches!(apply(Some(&index(&bad)), Some(&index(&[0, 1]))), Err(Error::Index { .. })));
    }
    let lazy = (&index(&[100, -100]) + &index(&[0, 0])).unwrap();
    let clamped = apply(None, Some(&lazy)).unwrap();
    assert_eq!(read(&clamped), read(&apply(None, Some(&index(&[2, 0]))).unwrap()));
    assert!(apply(None, Some(&Array::from_slice(&[0.0f32, 1.0], &[2]).unwrap())).is_err());
}

#[test]
fn an_odd_number_of_groups_is_quantised_like_an_even_one() {
    let format = Quantization::of(QuantMode::Nvfp4);
    let even = pattern(4, 16, 37);
    let expected = even.quantize(format).unwrap();
    let whole = dequantize(&expected.weight, &expected.scales, None, format, Some(Dtype::Float32)).unwrap();
    for rows in [1, 3] {
        let odd = even.slice(&[0, 0], &[rows, 16]).unwrap().reshape(&[1, rows, 1, 16]).unwrap();
        let packed = odd.quantize(format).unwrap();
        assert_eq!(
            (packed.weight.shape(), packed.scales.shape()),
            (&[1, rows, 1, 2][..], &[1, rows, 1, 1][..])
        );
        let count = usize::try_from(rows).unwrap();
        let words = |array: &Array| array.to_vec::<u32>().unwrap();
        assert_eq!(words(&packed.weight), words(&expected.weight)[..2 * count]);
        assert_eq!(packed.scales.to_vec::<u8>().unwrap(), expected.scales.to_vec::<u8>().unwrap()[..count]);
        let back = dequantize(&packed.weight, &packed.scales, None, format, Some(Dtype::Float32)).unwrap();
        assert_eq!(read(&back), read(&whole)[..16 * count]);
        let x = pattern(2, 16, 23);
        let product = x.qqmm(QqmmWeight::Dense(&pattern(rows, 16, 5)), format, None).unwrap();
        assert_eq!(product.shape(), [2, rows]);
        product.eval().unwrap();
    }
}
