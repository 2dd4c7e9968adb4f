// SPDX-License-Identifier: EUPL-1.2
//! Adapters against what mlx-lm computes with them, and both formats there and back.

use std::fs;

use mlx_core::Dtype;
use mlx_core::io::load_safetensors;
use mlx_core::random::{self, Key};
use mlx_models::adapter::AdapterFormat;
use mlx_models::{Model, load};
use mlx_nn::{adapter, params};
use serde_json::Value;

use crate::common::{distance, golden};

/// The base of a golden case, its adapter, and what mlx-lm computes with both.
fn case(name: &str) -> (Model, Vec<u32>, mlx_core::Array) {
    let dir = golden(name);
    let base: Value = serde_json::from_slice(&fs::read(dir.join("base.json")).unwrap()).unwrap();
    let model = load(golden(base["base"].as_str().unwrap())).unwrap();
    let reference = load_safetensors(dir.join("reference.safetensors")).unwrap().tensors;
    let ids = reference["input_ids"].astype(Dtype::Uint32).unwrap().to_vec::<u32>().unwrap();
    (model, ids, reference["logits"].clone())
}

fn check(name: &str, fused_within: f32) {
    let (mut model, ids, expected) = case(name);
    let plain = model.logits(&ids).unwrap();
    model.load_adapter(golden(name)).unwrap();
    let adapted = model.logits(&ids).unwrap();
    let d = distance(&adapted, &expected);
    assert!(d < 1e-3, "{name}: off by {d}");
    assert!(distance(&plain, &expected) > 0.1, "{name}: the adapter changes nothing");

    // Merged into the weights, and out again.
    adapter::merge(model.network_mut()).unwrap();
    let d = distance(&model.logits(&ids).unwrap(), &expected);
    assert!(d < fused_within, "{name}: merged, off by {d}");
    adapter::unmerge(model.network_mut()).unwrap();
    assert_eq!(distance(&model.logits(&ids).unwrap(), &adapted), 0.0);

    // By either format to a model that has not seen it.
    for format in [AdapterFormat::MlxLm, AdapterFormat::Peft] {
        let dir = tempfile::tempdir().unwrap();
        model.save_adapter(dir.path(), format).unwrap();
        let (mut again, ..) = case(name);
        again.load_adapter(dir.path()).unwrap();
        let d = distance(&again.logits(&ids).unwrap(), &adapted);
        assert!(d < 1e-5, "{name}: through {format:?}, off by {d}");
    }

    model.fuse(true).unwrap();
    assert!(adapter::adapters(model.network()).is_empty());
    let d = distance(&model.logits(&ids).unwrap(), &expected);
    assert!(d < 1e-3, "{name}: fused, off by {d}");
    let names = params::parameters(model.network());
    assert!(names.iter().all(|(path, _)| !path.contains("lora")));
}

#[test]
fn lora_on_dense_weights_agrees() {
    check("gemma3-window-lora", 1e-3);
}

#[test]
fn dora_agrees() {
    check("qwen3-tied-dora", 1e-3);
}

#[test]
fn lora_on_packed_weights_agrees() {
    // Packed again, the weights lose what 4 bits cannot hold.
    check("qwen3-tied-4bit-lora", 5.0);
}

#[test]
fn ranks_and_scales_that_differ_survive_both_formats() {
    let dir = golden("qwen3-tied");
    let ids = [1, 5, 9, 2, 77];
    let mut model = load(&dir).unwrap();
    let settings = |path: &str| {
        let (rank, scale) = if path.ends_with("v_proj") { (3, 2.0) } else { (5, 4.0) };
        let chosen = ["v_proj", "o_proj", "embed_tokens"].iter().any(|end| path.ends_with(end));
        chosen.then_some(adapter::Settings { rank, scale, ..Default::default() })
    };
    adapter::attach(model.network_mut(), settings, &Key::new(3).unwrap()).unwrap();
    let mut factors = std::collections::BTreeMap::new();
    for (path, array) in params::parameters(model.network()) {
        if path.ends_with("lora_b") {
            let key = Key::new(factors.len() as u64).unwrap();
            factors.insert(path, random::normal(array.shape(), Dtype::Float32, 0.0, 0.05, &key).unwrap());
        }
    }
    params::load_some(model.network_mut(), factors).unwrap();
    let expected = model.logits(&ids).unwrap();
    assert!(distance(&expected, &load(&dir).unwrap().logits(&ids).unwrap()) > 0.01);
    for format in [AdapterFormat::MlxLm, AdapterFormat::Peft] {
        let saved = tempfile::tempdir().unwrap();
        model.save_adapter(saved.path(), format).unwrap();
        let mut again = load(&dir).unwrap();
        again.load_adapter(saved.path()).unwrap();
        let d = distance(&again.logits(&ids).unwrap(), &expected);
        assert!(d < 1e-4, "through {format:?}, off by {d}");
    }
}

#[test]
fn a_wrong_adapter_is_refused_and_the_model_stays_as_it_was() {
    let name = "qwen3-tied-dora";
    let (mut model, ids, _) = case(name);
    let before = model.logits(&ids).unwrap();
    let refused = |model: &mut Model, edit: &dyn Fn(&std::path::Path), told: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        for file in ["adapter_config.json", "adapters.safetensors"] {
            fs::copy(golden(name).join(file), dir.path().join(file)).unwrap();
        }
        edit(dir.path());
        let error = model.load_adapter(dir.path()).unwrap_err().to_string();
        assert!(told.iter().all(|word| error.contains(word)), "{error}");
        assert_eq!(distance(&model.logits(&ids).unwrap(), &before), 0.0);
    };
    let config = |text: &'static str| {
        move |dir: &std::path::Path| fs::write(dir.join("adapter_config.json"), text).unwrap()
    };
    refused(&mut model, &config("{"), &["adapter_config.json"]);
    refused(&mut model, &config("{}"), &["adapter_config.json", "lora_parameters"]);
    refused(&mut model, &config(r#"{"lora_parameters": {"rank": 4}}"#), &["scale", "missing"]);
    refused(&mut model, &config(r#"{"fine_tune_type": "magic"}"#), &["fine_tune_type", "magic"]);
    refused(&mut model, &config(r#"{"peft_type": "IA3"}"#), &["peft_type", "IA3"]);
    refused(
        &mut model,
        &|dir| fs::remove_file(dir.join("adapters.safetensors")).unwrap(),
        &["adapters.safetensors"],
    );
    refused(
        &mut model,
        &|dir| fs::write(dir.join("adapters.safetensors"), b"no").unwrap(),
        &["adapters.safetensors"],
    );
    let tensors = |change: &dyn Fn(&mut std::collections::BTreeMap<String, mlx_core::Array>),
                   dir: &std::path::Path| {
        let path = dir.join("adapters.safetensors");
        let mut tensors = load_safetensors(golden(name).join("adapters.safetensors")).unwrap().tensors;
        change(&mut tensors);
        mlx_core::io::save_safetensors(&path, &tensors, &Default::default()).unwrap();
    };
    let q = "model.layers.1.self_attn.q_proj";
    refused(&mut model, &|dir| tensors(&|t| drop(t.remove(&format!("{q}.lora_b"))), dir), &[q, "missing"]);
    refused(
        &mut model,
        &|dir| {
            tensors(
                &|t| {
                    let a = t[&format!("{q}.lora_a")].clone();
                    t.insert("model.layers.9.self_attn.q_proj.lora_a".into(), a.clone());
                    t.insert("model.layers.9.self_attn.q_proj.lora_b".into(), a.transpose().unwrap());
                },
                dir,
            );
        },
        &["model.layers.9.self_attn.q_proj"],
    );
    refused(
        &mut model,
        &|dir| {
            tensors(
                &|t| {
                    let wide = mlx_core::Array::ones(&[65, 4], Dtype::Float32).unwrap();
                    t.insert(format!("{q}.lora_a"), wide);
                },
                dir,
            );
        },
        &[q, "65"],
    );
    // And the right one still fits.
    model.load_adapter(golden(name)).unwrap();
    let error = model.load_adapter(golden(name)).unwrap_err().to_string();
    assert!(error.contains("already"), "{error}");
}
