// SPDX-License-Identifier: EUPL-1.2

use mlx_core::{Array, Dtype};
use mlx_nn::{Error, LayerNorm, RmsNorm, params};
use serde::Deserialize;

use crate::common::{FLOATS, Tensor, assert_close, golden, pseudo, tolerance, values, weights};

#[derive(Deserialize)]
struct Golden {
    norms: Norms,
}

#[derive(Deserialize)]
struct Norms {
    eps: f32,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    dtype: String,
    rms: Tensor,
    gemma: Tensor,
    layer: Tensor,
}

#[test]
fn norms_agree_with_transformers_in_every_dtype() {
    let golden = golden::<Golden>("layers.json").norms;
    assert_eq!(golden.cases.len(), FLOATS.len());
    for case in &golden.cases {
        let dtype: Dtype = case.dtype.parse().unwrap();
        let x = golden.x.array().astype(dtype).unwrap();
        let weight = golden.weight.array().astype(dtype).unwrap();
        let bias = golden.bias.array().astype(dtype).unwrap();
        let dim = weight.dim(0).unwrap();

        let mut rms = RmsNorm::new(dim, golden.eps).unwrap();
        params::load(&mut rms, weights([("weight", weight.clone())])).unwrap();
        let mut gemma = RmsNorm::gemma(dim, golden.eps).unwrap();
        params::load(&mut gemma, weights([("weight", weight.clone())])).unwrap();
        let mut layer = LayerNorm::new(dim, golden.eps, true).unwrap();
        params::load(&mut layer, weights([("weight", weight), ("bias", bias)])).unwrap();

        for (name, found, expected) in [
            ("rms", rms.forward(&x).unwrap(), &case.rms),
            ("gemma", gemma.forward(&x).unwrap(), &case.gemma),
            ("layer", layer.forward(&x).unwrap(), &case.layer),
        ] {
            assert_eq!((found.dtype(), found.shape()), (dtype, x.shape()), "{name}");
            assert_close(&format!("{name} in {dtype}"), &values(&found), &expected.values, tolerance(dtype));
        }
    }
}

/// With a weight near 0 the sum `1 + w` differs between bfloat16 and float32, and so do many products.
#[test]
fn gemma_forms_one_plus_w_in_float32_and_rounds_once() {
    let dim = 256;
    let w = (&pseudo(1, &[dim]) * 0.02f32).unwrap().astype(Dtype::Bfloat16).unwrap();
    let x = pseudo(2, &[4, dim]).astype(Dtype::Bfloat16).unwrap();
    let mut norm = RmsNorm::gemma(dim, 1e-6).unwrap();
    params::load(&mut norm, weights([("weight", w.clone())])).unwrap();
    let found = norm.forward(&x).unwrap();
    assert_eq!(found.dtype(), Dtype::Bfloat16);

    let (wide_x, wide_w) = (values(&x), values(&w));
    let expected: Vec<f32> = wide_x
        .chunks(dim as usize)
        .flat_map(|row| {
            let mean = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / f64::from(dim);
            let scale = (mean + 1e-6).sqrt().recip();
            row.iter().zip(&wide_w).map(move |(&x, &w)| (f64::from(x) * scale * (1.0 + f64::from(w))) as f32)
        })
        .collect();
    let rounded = values(&Array::from_slice(&expected, &[4, dim]).unwrap().astype(Dtype::Bfloat16).unwrap());
    let differing = values(&found).iter().zip(&rounded).filter(|(a, b)| a != b).count();
    // A tie may fall the other way; a sum formed in bfloat16 makes about a third of them differ.
    assert!(differing <= 2, "{differing} of {} values are not the correctly rounded ones", rounded.len());
}

#[test]
fn gemma_forgets_what_it_derived_when_its_weight_changes() {
    let x = pseudo(3, &[2, 4]);
    let mut norm = RmsNorm::gemma(4, 1e-6).unwrap();
    let before = values(&norm.forward(&x).unwrap());
    params::load(&mut norm, weights([("weight", Array::ones(&[4], Dtype::Float32).unwrap())])).unwrap();
    let doubled: Vec<f32> = before.iter().map(|x| 2.0 * x).collect();
    assert_close("doubled", &values(&norm.forward(&x).unwrap()), &doubled, (1e-6, 1e-6));
}

#[test]
fn float32_weights_do_not_widen_half_precision() {
    for dtype in FLOATS {
        let x = pseudo(4, &[1, 3, 8]).astype(dtype).unwrap();
        for norm in [RmsNorm::new(8, 1e-5).unwrap(), RmsNorm::gemma(8, 1e-5).unwrap()] {
            assert_eq!(norm.forward(&x).unwrap().dtype(), dtype);
        }
        for bias in [true, false] {
            assert_eq!(LayerNorm::new(8, 1e-5, bias).unwrap().forward(&x).unwrap().dtype(), dtype);
        }
    }
}

#[test]
fn fresh_norms_have_unit_scale() {
    let x = Array::from_slice(&[3.0f32, 4.0], &[2]).unwrap();
    let rms = (12.5f32).sqrt();
    for norm in [RmsNorm::new(2, 0.0).unwrap(), RmsNorm::gemma(2, 0.0).unwrap()] {
        assert_close("rms", &values(&norm.forward(&x).unwrap()), &[3.0 / rms, 4.0 / rms], (1e-6, 0.0));
    }
    let layer = LayerNorm::new(2, 0.0, false).unwrap().forward(&x).unwrap();
    assert_close("layer", &values(&layer), &[-1.0, 1.0], (1e-6, 0.0));
}

#[test]
fn wrong_widths_and_settings_are_errors() {
    let x = Array::ones(&[2, 3], Dtype::Float32).unwrap();
    let error = RmsNorm::new(4, 1e-6).unwrap().forward(&x).unwrap_err();
    assert_eq!(error.to_string(), "rms norm: expected [.., 4], found shape [2, 3]");
    assert!(matches!(LayerNorm::new(4, 1e-6, true).unwrap().forward(&x), Err(Error::Input { .. })));
    let scalar = Array::scalar(1.0f32).unwrap();
    assert!(RmsNorm::new(1, 1e-6).unwrap().forward(&scalar).is_err());
    assert_eq!(RmsNorm::new(0, 1e-6).unwrap_err().to_string(), "dim: expected at least 1, found 0");
    assert!(RmsNorm::gemma(-1, 1e-6).is_err());
    for eps in [-1.0, f32::NAN, f32::INFINITY] {
        assert!(matches!(RmsNorm::new(2, eps), Err(Error::Config { key: "eps", .. })));
        assert!(matches!(LayerNorm::new(2, eps, true), Err(Error::Config { key: "eps", .. })));
    }
}
