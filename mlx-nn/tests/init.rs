// SPDX-License-Identifier: EUPL-1.2

use mlx_core::random::Key;
use mlx_core::{Dtype, QuantMode, Quantization};
use mlx_nn::{Embedding, Linear, RmsNorm, init, module, params};

use crate::common::{FLOATS, values};

struct Model {
    embed: Embedding,
    first: Linear,
    second: Linear,
    norm: RmsNorm,
}
module!(Model { embed, first, second, norm });

fn model() -> Model {
    Model {
        embed: Embedding::new(200, 64).unwrap(),
        first: Linear::new(64, 128, true).unwrap(),
        second: Linear::new(64, 128, true).unwrap(),
        norm: RmsNorm::new(64, 1e-6).unwrap(),
    }
}

fn drawn(seed: u64, dtype: Dtype) -> Vec<(String, Vec<f32>)> {
    let mut model = model();
    init::initialise(&mut model, &Key::new(seed).unwrap(), dtype).unwrap();
    params::parameters(&model)
        .into_iter()
        .map(|(path, value)| {
            assert_eq!(value.dtype(), dtype, "{path}");
            (path, values(value))
        })
        .collect()
}

#[test]
fn layers_are_drawn_with_their_own_spread_and_norms_kept() {
    for dtype in FLOATS {
        for (path, values) in drawn(1, dtype) {
            let n = values.len() as f32;
            let mean = values.iter().sum::<f32>() / n;
            let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n).sqrt();
            // A uniform distribution in ±1/8 deviates by 1/8/√3.
            let expected = match path.as_str() {
                "embed.weight" => 0.125,
                "norm.weight" => {
                    assert!(values.iter().all(|&x| x == 1.0));
                    continue;
                }
                _ => {
                    assert!(values.iter().all(|x| x.abs() <= 0.125), "{path} in {dtype}");
                    0.125 / 3f32.sqrt()
                }
            };
            // Four standard errors, of 128 values in a bias.
            let allowed = 4.0 * expected / n.sqrt();
            assert!(
                mean.abs() < allowed && (deviation - expected).abs() < allowed,
                "{path}: {mean} ± {deviation}"
            );
        }
    }
}

#[test]
fn a_key_gives_the_same_values_again_and_another_key_others() {
    let first = drawn(1, Dtype::Float32);
    assert_eq!(first, drawn(1, Dtype::Float32));
    let other = drawn(2, Dtype::Float32);
    for ((path, a), (_, b)) in first.iter().zip(&other) {
        assert_eq!(a == b, path == "norm.weight", "{path}");
    }
    let of = |path: &str| &first.iter().find(|(found, _)| found == path).unwrap().1;
    assert_ne!(of("first.weight"), of("second.weight"));
    assert_ne!(of("first.bias"), of("second.bias"));
    assert_ne!(of("first.weight")[..128], of("first.bias")[..]);
}

#[test]
fn quantised_layers_are_drawn_and_packed() {
    let settings = Quantization { group_size: 64, bits: 8, mode: QuantMode::Affine };
    let (mut packed, mut dense) = (model(), model());
    params::quantize_for_load(&mut packed, |_| Some(settings)).unwrap();
    for model in [&mut packed, &mut dense] {
        init::initialise(model, &Key::new(3).unwrap(), Dtype::Bfloat16).unwrap();
    }
    assert_eq!(packed.first.quantization(), Some(settings));
    params::quantize(&mut dense, |_| Some(settings)).unwrap();
    for ((path, a), (_, b)) in params::parameters(&packed).into_iter().zip(params::parameters(&dense)) {
        assert_eq!((a.dtype(), values(a)), (b.dtype(), values(b)), "{path}");
    }
}

#[test]
fn only_floating_dtypes_are_drawn() {
    assert!(init::initialise(&mut model(), &Key::new(0).unwrap(), Dtype::Int8).is_err());
}
