// SPDX-License-Identifier: EUPL-1.2

use std::collections::BTreeMap;

use mlx_core::{Array, Dtype};
use mlx_nn::{Activation, activation};
use serde::Deserialize;

use crate::common::{FLOATS, Tensor, assert_close, golden, tolerance, values};

#[derive(Deserialize)]
struct Golden {
    activations: Activations,
}

#[derive(Deserialize)]
struct Activations {
    x: Tensor,
    values: BTreeMap<String, Tensor>,
}

#[test]
fn every_activation_agrees_with_transformers() {
    let golden = golden::<Golden>("layers.json").activations;
    assert!(golden.values.len() >= Activation::ALL.len());
    for (name, expected) in &golden.values {
        let activation: Activation = name.parse().unwrap();
        let found = activation.forward(&golden.x.array()).unwrap();
        assert_close(name, &values(&found), &expected.values, (1e-5, 1e-6));
    }
}

#[test]
fn half_precision_stays_and_is_accurate_where_terms_cancel() {
    let x = [-3.5f32, -2.0, -0.5, 0.0, 0.25, 1.5, 6.0];
    for activation in Activation::ALL {
        let exact = activation.forward(&Array::from_slice(&x, &[7]).unwrap()).unwrap();
        for dtype in FLOATS {
            let input = Array::from_slice(&x, &[7]).unwrap().astype(dtype).unwrap();
            let found = activation.forward(&input).unwrap();
            assert_eq!(found.dtype(), dtype, "{activation}");
            // Relative to each value: `gelu(-3.5)` is -0.0008, which `1 + erf(x)` cannot form in half precision.
            let (rtol, _) = tolerance(dtype);
            assert_close(activation.name(), &values(&found), &values(&exact), (rtol, 1e-6));
        }
    }
}

#[test]
fn float16_survives_the_cube_of_a_large_number() {
    let x = Array::from_slice(&[-300.0f32, 300.0], &[2]).unwrap().astype(Dtype::Float16).unwrap();
    assert_eq!(values(&activation::gelu_tanh(&x).unwrap()), [0.0, 300.0]);
}

#[test]
fn gates_multiply_the_activation() {
    let gate = Array::from_slice(&[-1.0f32, 0.5, 2.0], &[3]).unwrap();
    let up = Array::from_slice(&[3.0f32, -2.0, 0.5], &[3]).unwrap();
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let gelu =
        |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh());
    let expected = |f: &dyn Fn(f64) -> f64| [-1.0, 0.5, 2.0].map(f).into_iter().zip([3.0, -2.0, 0.5]);
    let expected = |f: &dyn Fn(f64) -> f64| expected(f).map(|(g, u)| (g * u) as f32).collect::<Vec<_>>();
    assert_close("swiglu", &values(&activation::swiglu(&gate, &up).unwrap()), &expected(&silu), (1e-5, 1e-6));
    assert_close("geglu", &values(&activation::geglu(&gate, &up).unwrap()), &expected(&gelu), (1e-5, 1e-6));
    assert!(activation::swiglu(&gate, &Array::ones(&[2], Dtype::Float32).unwrap()).is_err());
}

#[test]
fn names_are_read_and_unknown_ones_refused() {
    for activation in Activation::ALL {
        assert_eq!(activation.to_string().parse::<Activation>().unwrap(), activation);
    }
    assert_eq!("swish".parse::<Activation>().unwrap(), Activation::Silu);
    let error = "gelu_10".parse::<Activation>().unwrap_err().to_string();
    assert!(
        error.starts_with("activation: expected one of silu, ") && error.ends_with("found \"gelu_10\""),
        "{error}"
    );
}

#[test]
fn scalars_and_empty_arrays_pass() {
    for activation in Activation::ALL {
        assert_eq!(activation.forward(&Array::scalar(0.0f32).unwrap()).unwrap().item::<f32>().unwrap(), 0.0);
        let empty = Array::zeros(&[2, 0], Dtype::Bfloat16).unwrap();
        assert_eq!(activation.forward(&empty).unwrap().shape(), [2, 0]);
    }
}
