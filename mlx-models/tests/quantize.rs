// SPDX-License-Identifier: EUPL-1.2
//! Weights in few bits and back.

use std::collections::BTreeMap;

use mlx_core::io::load_safetensors;
use mlx_core::{Array, Dtype, QuantMode, Quantization, dequantize};
use mlx_models::{
    CancelToken, ConfigFile, Error, Model, Progress, QuantizeOptions, Recipe, Rule, Uneven, load, random,
};
use mlx_nn::params::parameters;
use serde_json::{Value, json};

use crate::common::{distance, golden};

fn rules(texts: &[&str]) -> Vec<Rule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn weights(model: &Model) -> BTreeMap<String, Array> {
    parameters(model.network()).into_iter().map(|(path, array)| (path, array.clone())).collect()
}

/// A Qwen 3 whose layers are 128 and 256 wide.
fn wide() -> Model {
    let config = json!({
        "model_type": "qwen3", "vocab_size": 96, "hidden_size": 128, "intermediate_size": 256,
        "num_hidden_layers": 9, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 64,
        "max_position_embeddings": 64, "rope_theta": 10000, "tie_word_embeddings": false, "torch_dtype": "float32",
    });
    random(ConfigFile::new("test", config).unwrap(), Dtype::Float32, 5).unwrap()
}

/// Checks that `model` has exactly the weights and settings of a checkpoint that mlx-lm quantised.
fn same_as_mlx_lm(model: &Model, case: &str) {
    let theirs = load(golden(case)).unwrap();
    let (found, expected) = (weights(model), weights(&theirs));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{case}");
    for (path, array) in &expected {
        assert_eq!(found[path].dtype(), array.dtype(), "{case} {path}");
        let equal = found[path].array_equal(array, false).unwrap().item::<bool>().unwrap();
        assert!(equal, "{case}: {path} differs");
    }
    let settings = |model: &Model, path: &str| -> Option<Quantization> {
        let config = model.quantization().unwrap();
        config.layers.get(path).copied().unwrap_or(Some(config.default))
    };
    for path in expected.keys().filter_map(|path| path.strip_suffix(".scales")) {
        assert_eq!(settings(model, path), settings(&theirs, path), "{case} {path}");
    }
    let ids: Vec<u32> = (0..20).map(|i| i * 13 % 300).collect();
    assert_eq!(distance(&model.logits(&ids).unwrap(), &theirs.logits(&ids).unwrap()), 0.0, "{case}");
}

#[test]
fn packed_weights_are_those_of_mlx_lm() {
    let quantize = |case: &str, settings: Quantization, rules: Vec<Rule>| {
        let options = QuantizeOptions { settings, rules, ..QuantizeOptions::default() };
        let (model, uneven) = load(golden(case)).unwrap().quantize(&options).unwrap();
        assert!(uneven.is_empty());
        model
    };
    same_as_mlx_lm(&quantize("qwen3-tied", Quantization::default(), vec![]), "qwen3-tied-4bit");
    same_as_mlx_lm(&quantize("qwen3-tied", Quantization::of(QuantMode::Mxfp4), vec![]), "qwen3-tied-mxfp4");
    let finer = rules(&["*embed*=8:32", "*v_proj=8:32"]);
    same_as_mlx_lm(&quantize("gemma3-window", Quantization::default(), finer), "gemma3-window-mixed-bits");
}

#[test]
fn each_format_packs_every_layer_as_the_library_packs_its_weight_and_comes_back() {
    let dense = weights(&wide());
    let affine = [2, 3, 4, 5, 6, 8].into_iter().flat_map(|bits| {
        [32, 64, 128].map(|group_size| Quantization { bits, group_size, mode: QuantMode::Affine })
    });
    let others = [QuantMode::Mxfp4, QuantMode::Nvfp4, QuantMode::Mxfp8].map(Quantization::of);
    for settings in affine.chain(others) {
        let model = wide().quantized(settings).unwrap();
        assert_eq!(model.parameters(), wide().parameters());
        let found = weights(&model);
        let back = wide().quantized(settings).unwrap().dequantized(None).unwrap();
        assert!(back.quantization().is_none() && !back.config().has("quantization"));
        let restored = weights(&back);
        assert_eq!(restored.keys().collect::<Vec<_>>(), dense.keys().collect::<Vec<_>>());
        for (path, array) in dense.iter().filter(|(_, array)| array.ndim() == 2) {
            let layer = path.strip_suffix(".weight").unwrap();
            let packed = array.quantize(settings).unwrap();
            let equal = |a: &Array, b: &Array| a.array_equal(b, false).unwrap().item::<bool>().unwrap();
            assert!(equal(&found[path], &packed.weight), "{settings:?} {path}");
            assert!(equal(&found[&format!("{layer}.scales")], &packed.scales), "{settings:?} {path}");
            let unpacked =
                dequantize(&packed.weight, &packed.scales, packed.biases.as_ref(), settings, None).unwrap();
            assert!(equal(&restored[path], &unpacked.astype(Dtype::Float32).unwrap()), "{settings:?} {path}");
        }
        let ids = [1, 50, 95, 3];
        let (a, b) = (model.logits(&ids).unwrap(), back.logits(&ids).unwrap());
        let size = distance(&a, &a.zeros_like().unwrap());
        assert!(distance(&a, &b) < 2e-3 * size, "{settings:?}: {} of {size}", distance(&a, &b));
    }
}

#[test]
fn rules_go_before_the_recipe_and_the_first_that_fits_decides() {
    let settings = Quantization { group_size: 32, ..Quantization::default() };
    let rules = rules(&["*.0.*.v_proj=skip", "*v_proj=mxfp8", "lm_head=3:128"]);
    let options = QuantizeOptions { settings, rules, recipe: Some(Recipe::Mixed2_6), ..Default::default() };
    let (model, uneven) = wide().quantize(&options).unwrap();
    assert!(uneven.is_empty());
    let config = model.quantization().unwrap();
    let affine = |bits, group_size| Quantization { bits, group_size, mode: QuantMode::Affine };
    assert_eq!(config.default, affine(2, 32));
    let mut expected = BTreeMap::from([
        ("model.layers.0.self_attn.v_proj".to_owned(), None),
        ("lm_head".to_owned(), Some(affine(3, 128))),
    ]);
    for block in 1..9 {
        let path = format!("model.layers.{block}.self_attn.v_proj");
        expected.insert(path, Some(Quantization::of(QuantMode::Mxfp8)));
    }
    // Of nine blocks the first, the last two, and each third one after the first.
    for block in [0, 3, 6, 7, 8] {
        expected.insert(format!("model.layers.{block}.mlp.down_proj"), Some(affine(6, 32)));
    }
    assert_eq!(config.layers, expected);
    assert!(
        parameters(model.network()).iter().all(|(path, _)| path != "model.layers.0.self_attn.v_proj.scales")
    );
}

#[test]
fn layers_that_cannot_be_grouped_stay_dense_and_are_told() {
    let config = json!({
        "model_type": "qwen3", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 128,
        "tie_word_embeddings": true,
    });
    let model = || random(ConfigFile::new("test", config.clone()).unwrap(), Dtype::Float32, 3).unwrap();
    let (packed, uneven) = model().quantize(&QuantizeOptions::default()).unwrap();
    let path = |block: usize| format!("model.layers.{block}.mlp.down_proj");
    assert_eq!(uneven, [0, 1].map(|block| Uneven { path: path(block), width: 96, group_size: 64 }));
    let layers = &packed.quantization().unwrap().layers;
    assert_eq!(layers, &BTreeMap::from([(path(0), None), (path(1), None)]));
    assert_eq!(packed.config().as_json()["quantization"][path(1)], Value::Bool(false));
    let strict = model().quantized(Quantization::default()).unwrap_err().to_string();
    assert!(strict.contains("model.layers.0.mlp.down_proj, 96,") && strict.contains("64"), "{strict}");
    let none = Quantization { group_size: 0, ..Quantization::default() };
    assert!(model().quantized(none).unwrap_err().to_string().contains("found 0"));
    let all = Quantization { group_size: 128, ..Quantization::default() };
    let only = rules(&["*q_proj=4:128", "*=skip"]);
    for (settings, rules) in [(all, rules(&["*o_proj=skip"])), (Quantization::default(), only)] {
        let options = QuantizeOptions { settings, rules, ..Default::default() };
        let error = model().quantize(&options).unwrap_err().to_string();
        assert!(error.starts_with("quantize: no layer can be packed") && error.contains("128"), "{error}");
    }
}

#[test]
fn a_dtype_holds_for_what_is_dense_for_scales_and_in_the_config() {
    for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32] {
        let rules = rules(&["*embed*=skip"]);
        let options = QuantizeOptions { dtype: Some(dtype), rules, ..Default::default() };
        let (model, _) = wide().quantize(&options).unwrap();
        let dtypes: Vec<Dtype> = model.nbytes_by_dtype().into_keys().collect();
        let mut expected = vec![Dtype::Uint32, dtype];
        expected.sort();
        assert_eq!(dtypes, expected);
        assert_eq!(model.config().as_json()["torch_dtype"], dtype.to_string());
        let back = model.dequantized(Some(Dtype::Bfloat16)).unwrap();
        assert_eq!(back.nbytes_by_dtype().into_keys().collect::<Vec<_>>(), [Dtype::Bfloat16]);
        assert_eq!(back.config().as_json()["torch_dtype"], "bfloat16");
    }
    // Without one, that of the file.
    let model = load(golden("qwen3-tied-mxfp4")).unwrap().dequantized(None).unwrap();
    assert_eq!(model.nbytes_by_dtype().into_keys().collect::<Vec<_>>(), [Dtype::Float32]);
    let reference =
        load_safetensors(golden("qwen3-tied-mxfp4").join("reference.safetensors")).unwrap().tensors;
    let ids = reference["input_ids"].astype(Dtype::Uint32).unwrap().to_vec::<u32>().unwrap();
    assert!(distance(&model.logits(&ids).unwrap(), &reference["logits"]) < 2e-3);
}

#[test]
fn what_cannot_be_done_is_one_error_that_says_why() {
    let refused = |options: QuantizeOptions, parts: &[&str]| {
        let error = wide().quantize(&options).unwrap_err().to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    };
    let settings = Quantization { bits: 7, ..Quantization::default() };
    refused(QuantizeOptions { settings, ..Default::default() }, &["bits", "found 7"]);
    let settings = Quantization::of(QuantMode::Mxfp4);
    let recipe = Some(Recipe::Mixed4_6);
    refused(QuantizeOptions { settings, recipe, ..Default::default() }, &["recipe", "mixed_4_6", "mxfp4"]);
    refused(QuantizeOptions { dtype: Some(Dtype::Int8), ..Default::default() }, &["dtype", "found int8"]);
    refused(
        QuantizeOptions { rules: rules(&["*.w_proj=8"]), ..Default::default() },
        &["rule", "\"*.w_proj\"", "model.embed_tokens"],
    );
    refused(
        QuantizeOptions { rules: rules(&["*=skip"]), ..Default::default() },
        &["no layer is to be packed"],
    );
    let wrong = Rule {
        settings: Some(Quantization { group_size: 1, ..Default::default() }),
        ..rules(&["*=4"])[0].clone()
    };
    refused(QuantizeOptions { rules: vec![wrong], ..Default::default() }, &["group_size", "found 1"]);
    let again = load(golden("qwen3-tied-4bit")).unwrap().quantized(Quantization::default()).unwrap_err();
    assert!(again.to_string().contains("quantised already"), "{again}");
    let dense = wide().dequantized(None).unwrap_err().to_string();
    assert!(dense.contains("not quantised"), "{dense}");
    let int = load(golden("qwen3-tied-4bit")).unwrap().dequantized(Some(Dtype::Uint8)).unwrap_err();
    assert!(int.to_string().contains("found uint8"), "{int}");
    assert!("mixed_1_2".parse::<Recipe>().unwrap_err().to_string().contains("mixed_2_6"));
}

#[test]
fn quantising_can_be_followed_and_ended() {
    let cancel = CancelToken::new();
    let flag = cancel.clone();
    let seen = std::rc::Rc::new(std::cell::Cell::new((0, 0)));
    let last = seen.clone();
    let progress = Progress::new(move |done, total| {
        last.set((done, total));
        if done == 3 {
            flag.cancel();
        }
    });
    let options = QuantizeOptions { cancel: Some(cancel), progress: Some(progress), ..Default::default() };
    assert!(matches!(wide().quantize(&options), Err(Error::Cancelled)));
    assert_eq!(seen.get().0, 3);
    assert!(matches!(wide().quantize(&options), Err(Error::Cancelled)), "a set flag stays set");
    let options = QuantizeOptions { cancel: None, ..options };
    wide().quantize(&options).unwrap();
    assert!(seen.get().0 == seen.get().1 && seen.get().1 > 60);
}
