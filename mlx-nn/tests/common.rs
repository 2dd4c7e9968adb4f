// SPDX-License-Identifier: EUPL-1.2
//! Reading reference values and comparing with them.

use std::path::Path;

use mlx_core::{Array, Dtype};
use serde::Deserialize;
use serde::de::DeserializeOwned;

pub(crate) const FLOATS: [Dtype; 3] = [Dtype::Float32, Dtype::Float16, Dtype::Bfloat16];

/// A tensor of a golden file.
#[derive(Deserialize)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<i32>,
    pub(crate) values: Vec<f32>,
}

impl Tensor {
    pub(crate) fn array(&self) -> Array {
        Array::from_slice(&self.values, &self.shape).unwrap()
    }
}

pub(crate) fn golden<T: DeserializeOwned>(file: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Values as float32, whatever the dtype.
pub(crate) fn values(x: &Array) -> Vec<f32> {
    x.astype(Dtype::Float32).unwrap().to_vec().unwrap()
}

/// The tolerances, relative and absolute, that one or two roundings of this dtype explain.
pub(crate) fn tolerance(dtype: Dtype) -> (f32, f32) {
    match dtype {
        Dtype::Float16 => (1e-3, 1e-3),
        Dtype::Bfloat16 => (1e-2, 1e-2),
        _ => (1e-5, 1e-6),
    }
}

#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32], (rtol, atol): (f32, f32)) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() <= atol + rtol * expected.abs();
        assert!(near, "{what}: value {i} is {found}, expected {expected}");
    }
}

/// Values without a pattern, in -1..1, the same on every machine.
pub(crate) fn pseudo(seed: u32, shape: &[i32]) -> Array {
    let mut state = u64::from(seed).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product::<i32>()).map(|_| next()).collect();
    Array::from_slice(&values, shape).unwrap()
}

/// `weights` as [`mlx_nn::params::load`] takes them.
pub(crate) fn weights<const N: usize>(list: [(&str, Array); N]) -> std::collections::BTreeMap<String, Array> {
    list.into_iter().map(|(path, value)| (path.to_owned(), value)).collect()
}
