// SPDX-License-Identifier: EUPL-1.2

use std::collections::BTreeMap;

use mlx_core::{Array, Dtype, QuantMode, Quantization};
use mlx_nn::{Embedding, Error, LayerNorm, Linear, Module, ParamPath, RmsNorm, VisitorMut, module, params};

use crate::common::{pseudo, values};

struct Block {
    proj: Linear,
    norm: RmsNorm,
}
module!(Block { proj => "self_attn.proj", norm });

struct Model {
    embed: Embedding,
    layers: Vec<Block>,
    extra: Box<LayerNorm>,
    inner: Inner,
    head: Option<Linear>,
    gain: Array,
}
module!(Model { embed, layers, extra, inner => "", head => "lm_head", gain });

struct Inner {
    norm: RmsNorm,
}
module!(Inner { norm });

fn model(head: bool) -> Model {
    let block = || Block { proj: Linear::new(64, 64, true).unwrap(), norm: RmsNorm::new(64, 1e-6).unwrap() };
    Model {
        embed: Embedding::new(10, 64).unwrap(),
        layers: vec![block(), block()],
        extra: Box::new(LayerNorm::new(4, 1e-5, true).unwrap()),
        inner: Inner { norm: RmsNorm::gemma(64, 1e-6).unwrap() },
        head: head.then(|| Linear::new(64, 10, false).unwrap()),
        gain: Array::ones(&[1], Dtype::Float32).unwrap(),
    }
}

fn paths(model: &Model) -> Vec<String> {
    params::parameters(model).into_iter().map(|(path, _)| path).collect()
}

/// Weights that fit, each with values of its own.
fn fitting(model: &Model) -> BTreeMap<String, Array> {
    let list = params::parameters(model).into_iter().enumerate();
    list.map(|(i, (path, value))| (path, pseudo(i as u32, value.shape()).astype(value.dtype()).unwrap()))
        .collect()
}

const Q4: Quantization = Quantization { group_size: 64, bits: 4, mode: QuantMode::Affine };

#[test]
fn paths_follow_the_fields() {
    let expected = [
        "embed.weight",
        "layers.0.self_attn.proj.weight",
        "layers.0.self_attn.proj.bias",
        "layers.0.norm.weight",
        "layers.1.self_attn.proj.weight",
        "layers.1.self_attn.proj.bias",
        "layers.1.norm.weight",
        "extra.weight",
        "extra.bias",
        "norm.weight",
        "lm_head.weight",
        "gain",
    ];
    assert_eq!(paths(&model(true)), expected);
    assert_eq!(paths(&model(false)).len(), expected.len() - 1);
}

#[test]
fn both_walks_see_the_same_paths() {
    #[derive(Default)]
    struct Paths(Vec<String>);
    impl VisitorMut for Paths {
        fn parameter(&mut self, path: &str, _value: &mut Array) -> mlx_nn::Result<()> {
            self.0.push(path.to_owned());
            Ok(())
        }
    }
    for quantised in [false, true] {
        let mut model = model(true);
        if quantised {
            params::quantize_for_load(&mut model, |_| Some(Q4)).unwrap();
        }
        let mut seen = Paths::default();
        model.visit_mut(&mut ParamPath::new(), &mut seen).unwrap();
        assert_eq!(seen.0, paths(&model));
    }
}

#[test]
fn counts_and_bytes_add_up() {
    let mut model = model(true);
    let count = 10 * 64 + 2 * (64 * 64 + 64 + 64) + 2 * 4 + 64 + 640 + 1;
    assert_eq!(params::count(&model), count);
    assert_eq!(params::nbytes(&model), 4 * count);
    params::quantize_for_load(&mut model, |path| (path == "embed").then_some(Q4)).unwrap();
    assert_eq!(params::count(&model), count, "a packed table stands for as many numbers");
    assert_eq!(params::nbytes(&model), 4 * (count - 640) + 640 / 2 + 2 * 4 * 10);
}

#[test]
fn loading_takes_every_weight_and_its_dtype() {
    let mut model = model(true);
    let weights: BTreeMap<String, Array> = fitting(&model)
        .into_iter()
        .map(|(path, value)| (path, value.astype(Dtype::Bfloat16).unwrap()))
        .collect();
    params::load(&mut model, weights.clone()).unwrap();
    for (path, value) in params::parameters(&model) {
        assert_eq!(value.dtype(), Dtype::Bfloat16, "{path}");
        assert_eq!(values(value), values(&weights[&path]), "{path}");
    }
}

#[test]
fn loading_lists_every_culprit_at_once_and_changes_nothing() {
    let mut model = model(true);
    let before: Vec<Vec<f32>> =
        params::parameters(&model).into_iter().map(|(_, value)| values(value)).collect();
    let mut weights = fitting(&model);
    weights.remove("norm.weight");
    weights.remove("layers.1.norm.weight");
    weights.insert("rotary.inv_freq".into(), Array::ones(&[4], Dtype::Float32).unwrap());
    weights.insert("gain".into(), Array::ones(&[2], Dtype::Float32).unwrap());
    weights.insert("extra.bias".into(), Array::ones(&[4], Dtype::Uint8).unwrap());
    let error = params::load(&mut model, weights).unwrap_err();
    assert_eq!(
        error.to_string(),
        "weights do not fit the model; 2 missing: layers.1.norm.weight, norm.weight; 1 surplus: rotary.inv_freq; \
         2 misshapen: extra.bias (expected [4] of floating dtype, found [4] of uint8), \
         gain (expected [1] of floating dtype, found [2] of float32)"
    );
    let Error::Weights(errors) = error else { panic!("{error}") };
    assert_eq!((errors.missing.len(), errors.surplus.len(), errors.misfit.len()), (2, 1, 2));
    let after: Vec<Vec<f32>> =
        params::parameters(&model).into_iter().map(|(_, value)| values(value)).collect();
    assert_eq!(before, after);
}

#[test]
fn a_tied_model_has_no_place_for_a_head() {
    let weights = fitting(&model(true));
    let error = params::load(&mut model(false), weights).unwrap_err();
    assert_eq!(error.to_string(), "weights do not fit the model; 1 surplus: lm_head.weight");
}

#[test]
fn a_quantised_checkpoint_needs_room_and_fits_exactly() {
    let mut source = model(true);
    let dense = fitting(&source);
    params::load(&mut source, dense).unwrap();
    params::quantize(&mut source, |path| (path != "lm_head").then_some(Q4)).unwrap();
    let checkpoint: BTreeMap<String, Array> =
        params::parameters(&source).into_iter().map(|(path, value)| (path, value.clone())).collect();
    assert!(
        checkpoint.contains_key("layers.0.self_attn.proj.biases")
            && !checkpoint.contains_key("lm_head.scales")
    );

    let mut target = model(true);
    let error = params::load(&mut target, checkpoint.clone()).unwrap_err().to_string();
    assert!(error.contains("surplus: embed.biases, embed.scales"), "{error}");
    assert!(
        error.contains("embed.weight (expected [10, 64] of floating dtype, found [10, 8] of uint32)"),
        "{error}"
    );

    params::quantize_for_load(&mut target, |path| {
        checkpoint.contains_key(&format!("{path}.scales")).then_some(Q4)
    })
    .unwrap();
    params::load(&mut target, checkpoint.clone()).unwrap();
    let ids = Array::from_slice(&[1u32, 9], &[2]).unwrap();
    let run = |model: &Model| {
        let x = model.embed.forward(&ids).unwrap();
        values(&model.layers[1].proj.forward(&model.layers[0].proj.forward(&x).unwrap()).unwrap())
    };
    assert_eq!(run(&target), run(&source));
}

#[test]
fn room_for_one_packing_does_not_take_another() {
    let mut source = Linear::new(64, 8, false).unwrap();
    params::quantize(&mut source, |_| Some(Quantization { bits: 8, ..Q4 })).unwrap();
    let weights =
        params::parameters(&source).into_iter().map(|(path, value)| (path, value.clone())).collect();
    let mut target = Linear::new(64, 8, false).unwrap();
    params::quantize_for_load(&mut target, |_| Some(Q4)).unwrap();
    let error = params::load(&mut target, weights).unwrap_err().to_string();
    assert!(
        error.ends_with("1 misshapen: weight (expected [8, 8] of uint32, found [8, 16] of uint32)"),
        "{error}"
    );
}

#[test]
fn casting_changes_floats_and_nothing_packed() {
    let mut model = model(false);
    params::quantize(&mut model, |path| (path == "embed").then_some(Q4)).unwrap();
    params::cast(&mut model, Dtype::Float16).unwrap();
    for (path, value) in params::parameters(&model) {
        let expected = if path == "embed.weight" { Dtype::Uint32 } else { Dtype::Float16 };
        assert_eq!(value.dtype(), expected, "{path}");
    }
    assert_eq!(
        params::cast(&mut model, Dtype::Int32).unwrap_err().to_string(),
        "dtype: expected a floating dtype, found int32"
    );
}

#[test]
fn modules_can_be_walked_behind_a_pointer() {
    let boxed: Box<dyn Module> = Box::new(model(true));
    assert_eq!(params::count(boxed.as_ref()), params::count(&model(true)));
    let mut boxed = boxed;
    params::cast(boxed.as_mut(), Dtype::Bfloat16).unwrap();
    assert_eq!(params::nbytes(&boxed), 2 * params::count(&boxed));
}
