// SPDX-License-Identifier: EUPL-1.2

use mlx_core::{Array, Dtype, QuantMode, Quantization, dequantize};
use mlx_nn::{Error, Linear, params};

use crate::common::{FLOATS, assert_close, pseudo, tolerance, values, weights};

/// `x · Wᵀ + b` in float64.
fn reference(x: &Array, w: &Array, bias: Option<&Array>) -> Vec<f32> {
    let (columns, rows) = (w.dim(1).unwrap() as usize, w.dim(0).unwrap() as usize);
    let (x, w) = (values(x), values(w));
    let bias = bias.map_or(vec![0.0; rows], values);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    x.chunks(columns)
        .flat_map(|x| w.chunks(columns).zip(&bias).map(move |(w, &b)| (dot(x, w) + f64::from(b)) as f32))
        .collect()
}

#[test]
fn dense_projections_multiply_and_add() {
    let (w, b, x) = (pseudo(1, &[5, 16]), pseudo(2, &[5]), pseudo(3, &[2, 3, 16]));
    for dtype in FLOATS {
        let [w, b, x] = [&w, &b, &x].map(|a| a.astype(dtype).unwrap());
        for bias in [None, Some(&b)] {
            let mut linear = Linear::new(16, 5, bias.is_some()).unwrap();
            let mut given = weights([("weight", w.clone())]);
            given.extend(bias.map(|b| ("bias".to_owned(), b.clone())));
            params::load(&mut linear, given).unwrap();
            let y = linear.forward(&x).unwrap();
            assert_eq!((y.shape(), y.dtype()), (&[2, 3, 5][..], dtype));
            let (rtol, atol) = tolerance(dtype);
            assert_close("linear", &values(&y), &reference(&x, &w, bias), (rtol, 2.0 * atol));
        }
    }
}

const SETTINGS: [Quantization; 7] = [
    Quantization { group_size: 64, bits: 4, mode: QuantMode::Affine },
    Quantization { group_size: 32, bits: 8, mode: QuantMode::Affine },
    Quantization { group_size: 32, bits: 3, mode: QuantMode::Affine },
    Quantization { group_size: 64, bits: 6, mode: QuantMode::Affine },
    Quantization { group_size: 32, bits: 4, mode: QuantMode::Mxfp4 },
    Quantization { group_size: 16, bits: 4, mode: QuantMode::Nvfp4 },
    Quantization { group_size: 32, bits: 8, mode: QuantMode::Mxfp8 },
];

#[test]
fn quantised_projections_multiply_by_what_is_packed() {
    let (w, b, x) = (pseudo(4, &[32, 128]), pseudo(5, &[32]), pseudo(6, &[1, 3, 128]));
    for settings in SETTINGS {
        for dtype in FLOATS {
            let [w, b, x] = [&w, &b, &x].map(|a| a.astype(dtype).unwrap());
            // As a checkpoint is made, and as it is loaded.
            let packed = w.quantize(settings).unwrap();
            let mut given = weights([
                ("weight", packed.weight.clone()),
                ("scales", packed.scales.clone()),
                ("bias", b.clone()),
            ]);
            given.extend(packed.biases.clone().map(|biases| ("biases".to_owned(), biases)));
            let mut linear = Linear::new(128, 32, true).unwrap();
            params::quantize_for_load(&mut linear, |_| Some(settings)).unwrap();
            params::load(&mut linear, given).unwrap();
            assert_eq!(linear.quantization(), Some(settings));

            let (scales, biases) = (&packed.scales, packed.biases.as_ref());
            let unpacked = dequantize(&packed.weight, scales, biases, settings, Some(dtype)).unwrap();
            let y = linear.forward(&x).unwrap();
            assert_eq!((y.shape(), y.dtype()), (&[1, 3, 32][..], dtype), "{settings:?}");
            let (rtol, atol) = match dtype {
                Dtype::Float32 => (1e-4, 1e-4),
                // MLX's kernel for the CPU adds the 128 products up in the dtype of `x`.
                _ => (2e-2, 25.0 * tolerance(dtype).1),
            };
            assert_close(
                &format!("{settings:?}"),
                &values(&y),
                &reference(&x, &unpacked, Some(&b)),
                (rtol, atol),
            );
        }
    }
}

#[test]
fn float32_weights_and_scales_do_not_widen_half_precision() {
    for dtype in FLOATS {
        let x = pseudo(7, &[2, 64]).astype(dtype).unwrap();
        let mut linear = Linear::new(64, 8, true).unwrap();
        assert_eq!(linear.forward(&x).unwrap().dtype(), dtype);
        params::quantize(&mut linear, |_| Some(SETTINGS[0])).unwrap();
        assert_eq!(linear.forward(&x).unwrap().dtype(), dtype);
    }
}

#[test]
fn quantising_packs_the_values_that_are_there() {
    let w = pseudo(8, &[8, 64]);
    let mut linear = Linear::new(64, 8, false).unwrap();
    params::load(&mut linear, weights([("weight", w.clone())])).unwrap();
    let x = pseudo(9, &[2, 64]);
    let exact = values(&linear.forward(&x).unwrap());
    let mut seen = Vec::new();
    params::quantize(&mut linear, |path| {
        seen.push(path.to_owned());
        Some(SETTINGS[1])
    })
    .unwrap();
    assert_eq!(seen, [""]);
    assert_eq!(params::count(&linear), 8 * 64);
    assert_eq!(params::nbytes(&linear), 8 * 64 + 2 * 4 * 8 * 2);
    assert_close("8 bits", &values(&linear.forward(&x).unwrap()), &exact, (0.0, 0.05));
    // Once more with the same settings changes nothing; with others it would lose what is there.
    params::quantize(&mut linear, |_| Some(SETTINGS[1])).unwrap();
    let error = params::quantize(&mut linear, |_| Some(SETTINGS[0])).unwrap_err();
    assert!(error.to_string().ends_with("already 8-bit affine"), "{error}");
}

#[test]
fn impossible_quantisation_names_the_layer() {
    struct Model {
        proj: Linear,
    }
    mlx_nn::module!(Model { proj });
    let mut model = Model { proj: Linear::new(48, 8, false).unwrap() };
    let error = params::quantize(&mut model, |_| Some(SETTINGS[0])).unwrap_err();
    assert_eq!(error.to_string(), "proj: group_size: 48 columns are not a multiple of 64");
    for settings in [
        Quantization { group_size: 0, ..SETTINGS[0] },
        Quantization { group_size: 48, ..SETTINGS[0] },
        Quantization { bits: 7, ..SETTINGS[0] },
        Quantization { bits: 8, ..SETTINGS[4] },
    ] {
        for real in [true, false] {
            let done = match real {
                true => params::quantize(&mut model, |_| Some(settings)),
                false => params::quantize_for_load(&mut model, |_| Some(settings)),
            };
            assert!(matches!(done, Err(Error::Layer { .. })), "{settings:?}");
        }
    }
    assert_eq!(model.proj.quantization(), None);
}

#[test]
fn wrong_widths_are_errors() {
    let mut linear = Linear::new(64, 3, true).unwrap();
    let x = Array::ones(&[2, 5], Dtype::Float32).unwrap();
    let message = "linear: expected [.., 64], found shape [2, 5]";
    assert_eq!(linear.forward(&x).unwrap_err().to_string(), message);
    params::quantize(&mut linear, |_| Some(SETTINGS[0])).unwrap();
    assert_eq!(linear.forward(&x).unwrap_err().to_string(), message);
    assert!(linear.forward(&Array::scalar(1.0f32).unwrap()).is_err());
    assert_eq!(Linear::new(0, 3, true).unwrap_err().to_string(), "inputs: expected at least 1, found 0");
    assert_eq!(Linear::new(3, -1, true).unwrap_err().to_string(), "outputs: expected at least 1, found -1");
}

#[test]
fn strided_and_empty_inputs_are_projected() {
    let w = pseudo(10, &[3, 4]);
    let mut linear = Linear::new(4, 3, false).unwrap();
    params::load(&mut linear, weights([("weight", w.clone())])).unwrap();
    let x = pseudo(11, &[4, 2]).transpose().unwrap();
    assert_close("strided", &values(&linear.forward(&x).unwrap()), &reference(&x, &w, None), (1e-5, 1e-6));
    let empty = Array::zeros(&[0, 4], Dtype::Float32).unwrap();
    assert_eq!(linear.forward(&empty).unwrap().shape(), [0, 3]);
    assert_eq!(linear.forward(&Array::ones(&[4], Dtype::Float32).unwrap()).unwrap().shape(), [3]);
}
