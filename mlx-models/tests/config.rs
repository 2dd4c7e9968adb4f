// SPDX-License-Identifier: EUPL-1.2
//! Configs of either generation, sparse ones, and impossible ones.

use std::collections::BTreeMap;
use std::fs;

use mlx_core::Dtype;
use mlx_core::io::{load_safetensors, save_safetensors};
use mlx_models::{ConfigFile, Model, load, random};
use serde_json::{Value, json};

use crate::common::{copy_of, distance, edit_json};

fn qwen3() -> Value {
    json!({
        "model_type": "qwen3", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64,
    })
}

fn gemma3() -> Value {
    json!({
        "model_type": "gemma3_text", "vocab_size": 32, "hidden_size": 16, "intermediate_size": 32,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "max_position_embeddings": 64, "sliding_window": 4,
    })
}

/// `base` with other values for some keys.
fn with(mut base: Value, changes: Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

fn build(config: Value) -> Result<Model, String> {
    let file = ConfigFile::new("dir/config.json", config).map_err(|error| error.to_string())?;
    random(file, Dtype::Float32, 1).map_err(|error| error.to_string())
}

#[test]
fn a_wrong_value_is_an_error_that_names_the_file_and_the_key() {
    let cases = [
        (qwen3(), json!({ "hidden_size": "wide" }), "hidden_size", "expected i32"),
        (qwen3(), json!({ "hidden_size": null }), "hidden_size", "missing"),
        (qwen3(), json!({ "num_hidden_layers": 2.5 }), "num_hidden_layers", "2.5"),
        (qwen3(), json!({ "num_hidden_layers": 1_000_000_000 }), "num_hidden_layers", "1000000000"),
        (qwen3(), json!({ "vocab_size": 0 }), "vocab_size", "found 0"),
        (qwen3(), json!({ "head_dim": 7 }), "head_dim", "even"),
        (qwen3(), json!({ "num_key_value_heads": 3 }), "num_key_value_heads", "divisor"),
        (qwen3(), json!({ "hidden_act": "sine" }), "hidden_act", "sine"),
        (qwen3(), json!({ "rms_norm_eps": [] }), "rms_norm_eps", "sequence"),
        (qwen3(), json!({ "layer_types": ["full_attention", "chunked"] }), "layer_types[1]", "chunked"),
        (qwen3(), json!({ "layer_types": ["full_attention"] }), "layer_types", "found 1"),
        (qwen3(), json!({ "use_sliding_window": true, "max_window_layers": 0 }), "sliding_window", "missing"),
        (qwen3(), json!({ "rope_theta": -1.0 }), "rope_theta", "-1"),
        (qwen3(), json!({ "rope_scaling": { "rope_type": "ntk" } }), "rope_scaling.rope_type", "ntk"),
        (qwen3(), json!({ "rope_scaling": { "type": "linear" } }), "rope_scaling.factor", "missing"),
        (
            qwen3(),
            json!({ "rope_scaling": { "rope_type": "linear", "factor": 0.0 } }),
            "rope_scaling.factor",
            "0",
        ),
        (qwen3(), json!({ "rope_scaling": 4 }), "rope_scaling", "integer"),
        (qwen3(), json!({ "quantization": { "bits": 7 } }), "quantization.bits", "found 7"),
        (qwen3(), json!({ "quantization": { "mode": "int4" } }), "quantization.mode", "int4"),
        (qwen3(), json!({ "quantization": [] }), "quantization", "a list"),
        (
            qwen3(),
            json!({ "quantization": { "group_size": 64, "model.norm": { "group_size": "x" } } }),
            "quantization.model.norm.group_size",
            "\"x\"",
        ),
        (
            qwen3(),
            json!({ "quantization_config": { "quant_method": "gptq" } }),
            "quantization_config.quant_method",
            "gptq",
        ),
        (gemma3(), json!({ "sliding_window": 0 }), "sliding_window", "found 0"),
        (gemma3(), json!({ "sliding_window_pattern": 0 }), "sliding_window_pattern", "found 0"),
        (gemma3(), json!({ "query_pre_attn_scalar": -2 }), "query_pre_attn_scalar", "-2"),
        (gemma3(), json!({ "attn_logit_softcapping": 50.0 }), "attn_logit_softcapping", "not supported"),
        (
            gemma3(),
            json!({ "use_bidirectional_attention": true }),
            "use_bidirectional_attention",
            "not supported",
        ),
        (gemma3(), json!({ "rope_local_base_freq": 0.0 }), "rope_local_base_freq", "0"),
        (gemma3(), json!({ "text_config": 3 }), "text_config", "a number"),
        (gemma3(), json!({ "text_config": { "head_dim": "x" } }), "text_config.head_dim", "expected i32"),
        (gemma3(), json!({ "text_config": { "head_dim": 3 } }), "text_config.head_dim", "even"),
        (
            gemma3(),
            json!({ "rope_parameters": { "sliding_attention": { "rope_type": "linear" } } }),
            "rope_parameters.sliding_attention.factor",
            "missing",
        ),
        (qwen3(), json!({ "model_type": 3 }), "model_type", "a number"),
        (qwen3(), json!({ "model_type": null }), "model_type", "missing"),
    ];
    for (base, changes, key, found) in cases {
        let error = build(with(base, changes.clone())).expect_err(&changes.to_string());
        assert!(error.starts_with(&format!("dir/config.json: key {key}: ")), "{changes}: {error}");
        assert!(error.contains(found), "{changes}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn an_unknown_model_type_lists_the_known_ones() {
    let error = build(with(qwen3(), json!({ "model_type": "llama" }))).unwrap_err();
    assert_eq!(
        error,
        "dir/config.json: key model_type: \"llama\" is not supported, only qwen3, gemma3_text, gemma3 are"
    );
    assert!(build(json!([])).unwrap_err().contains("expected a JSON object"));
}

#[test]
fn both_generations_of_keys_describe_the_same_network() {
    let old = with(
        gemma3(),
        json!({
            "rope_theta": 50_000, "rope_local_base_freq": 700, "sliding_window_pattern": 2,
            "rope_scaling": { "rope_type": "linear", "factor": 4.0 },
        }),
    );
    let new = with(
        gemma3(),
        json!({
            "rope_parameters": {
                "full_attention": { "rope_type": "linear", "rope_theta": 50_000, "factor": 4.0 },
                "sliding_attention": { "rope_type": "default", "rope_theta": 700 },
            },
            "layer_types": ["sliding_attention", "full_attention"],
        }),
    );
    let ids: Vec<u32> = (0..20).map(|i| i * 7 % 32).collect();
    let logits = |config: &Value| build(config.clone()).unwrap().logits(&ids).unwrap();
    assert_eq!(distance(&logits(&old), &logits(&new)), 0.0);
    // transformers writes the pattern under a private name as well.
    let private = with(old.clone(), json!({ "_sliding_window_pattern": 2 }));
    assert_eq!(distance(&logits(&old), &logits(&private)), 0.0);
    let private = with(old.clone(), json!({ "sliding_window_pattern": null, "_sliding_window_pattern": 2 }));
    assert_eq!(distance(&logits(&old), &logits(&private)), 0.0);
    // And each of these keys matters.
    for change in [
        json!({ "rope_theta": 10_000 }),
        json!({ "rope_local_base_freq": 70_000 }),
        json!({ "sliding_window_pattern": 1 }),
        json!({ "rope_scaling": null }),
        json!({ "query_pre_attn_scalar": 1 }),
        json!({ "sliding_window": 9 }),
    ] {
        assert!(distance(&logits(&old), &logits(&with(old.clone(), change.clone()))) > 0.0, "{change}");
    }

    let old =
        with(qwen3(), json!({ "rope_theta": 50_000, "rope_scaling": { "type": "linear", "factor": 2.0 } }));
    let new = with(
        qwen3(),
        json!({ "rope_parameters": { "rope_theta": 50_000, "rope_type": "linear", "factor": 2.0 } }),
    );
    assert_eq!(distance(&logits(&old), &logits(&new)), 0.0);
    // Some files have both names for the type.
    let both = with(
        qwen3(),
        json!({
            "rope_theta": 50_000, "rope_scaling": { "type": "linear", "rope_type": "linear", "factor": 2.0 },
        }),
    );
    assert_eq!(distance(&logits(&old), &logits(&both)), 0.0);
}

#[test]
fn a_result_does_not_depend_on_chunks_where_frequencies_depend_on_the_length() {
    let dynamic = json!({
        "max_position_embeddings": 64,
        "rope_scaling": { "rope_type": "dynamic", "factor": 4.0 },
    });
    let long = json!({
        "rope_scaling": {
            "rope_type": "longrope", "short_factor": [1.0, 1.0, 1.0, 1.0], "long_factor": [1.0, 2.0, 4.0, 8.0],
            "original_max_position_embeddings": 8, "factor": 8.0,
        },
    });
    let ids: Vec<u32> = (0..30).map(|i| i * 7 % 32).collect();
    for change in [dynamic, long] {
        let model = build(with(qwen3(), change.clone())).unwrap();
        let whole = model.logits(&ids).unwrap();
        let mut cache = model.network().make_cache().unwrap();
        cache.expect(30);
        let parts: Vec<_> =
            ids.chunks(7).map(|ids| crate::common::forward(model.network(), ids, &mut cache)).collect();
        let parts = mlx_core::concatenate(&parts.iter().collect::<Vec<_>>(), 0).unwrap();
        assert!(distance(&whole, &parts) < 1e-5, "{change}");
    }
}

#[test]
fn windows_of_qwen3_follow_the_switch_and_the_layers() {
    let spec = |change: Value| build(with(qwen3(), change)).unwrap().network().spec().clone();
    assert_eq!(spec(json!({ "sliding_window": 4 })).sliding_window, None);
    let on = json!({ "use_sliding_window": true, "sliding_window": 4, "max_window_layers": 1 });
    assert_eq!(spec(on).sliding_window, Some(4));
    let none = json!({ "use_sliding_window": true, "sliding_window": 4, "max_window_layers": 2 });
    assert_eq!(spec(none).sliding_window, None);
    let listed = json!({
        "use_sliding_window": true, "sliding_window": 4,
        "layer_types": ["full_attention", "sliding_attention"],
    });
    assert_eq!(spec(listed).sliding_window, Some(4));
}

#[test]
fn yarn_widens_the_context_and_nothing_narrows_it() {
    let context = |change: Value| build(with(qwen3(), change)).unwrap().context_length();
    let yarn = |factor: f64, trained: i32| {
        json!({ "rope_scaling": {
            "rope_type": "yarn", "factor": factor, "original_max_position_embeddings": trained,
        } })
    };
    assert_eq!(context(json!({})), 64);
    assert_eq!(context(yarn(4.0, 48)), 192);
    assert_eq!(context(yarn(2.0, 16)), 64);
    assert_eq!(context(json!({ "rope_scaling": { "rope_type": "linear", "factor": 4.0 } })), 64);
}

/// The nested golden case, as it is and with its config and names changed, gives the same logits.
fn nested_variant(rename: impl Fn(&str) -> String, edit: impl FnOnce(&mut Value)) -> Model {
    let dir = copy_of("gemma3-conditional-nested");
    let path = dir.path().join("model.safetensors");
    let tensors = load_safetensors(&path).unwrap().tensors;
    let renamed: Vec<_> = tensors.iter().map(|(name, array)| (rename(name), array)).collect();
    fs::remove_file(&path).unwrap();
    save_safetensors(&path, renamed.iter().map(|(name, array)| (name.as_str(), *array)), &BTreeMap::new())
        .unwrap();
    edit_json(&dir.path().join("config.json"), edit);
    load(dir.path()).unwrap()
}

#[test]
fn multimodal_checkpoints_load_by_either_prefix_and_with_a_wrong_vocabulary_size() {
    let ids: Vec<u32> = (0..40).map(|i| i * 13 % 320).collect();
    let plain = nested_variant(str::to_owned, |_| {}).logits(&ids).unwrap();
    // transformers 5 puts the language model behind `model`, beside the vision tower.
    let new_prefix = |name: &str| match name.strip_prefix("language_model.model.") {
        Some(rest) => format!("model.language_model.{rest}"),
        None => format!("model.{name}"),
    };
    assert_eq!(distance(&plain, &nested_variant(new_prefix, |_| {}).logits(&ids).unwrap()), 0.0);
    let overridden =
        nested_variant(str::to_owned, |config| config["text_config"]["vocab_size"] = json!(262_208));
    assert_eq!(overridden.vocab_size(), 320);
    assert_eq!(distance(&plain, &overridden.logits(&ids).unwrap()), 0.0);
    let omitted = nested_variant(str::to_owned, |config| {
        let text = config["text_config"].as_object_mut().unwrap();
        // What hub configs leave out, as far as its value is transformers' default.
        for key in ["vocab_size", "rms_norm_eps", "hidden_activation", "tie_word_embeddings", "rope_theta"] {
            text.remove(key).unwrap();
        }
        for key in ["rope_local_base_freq", "sliding_window_pattern", "attention_bias", "model_type"] {
            text.remove(key).unwrap();
        }
    });
    assert_eq!(distance(&plain, &omitted.logits(&ids).unwrap()), 0.0);
}

#[test]
fn the_sparse_config_of_a_hub_checkpoint_gets_the_sizes_of_transformers() {
    // The keys that the hub's Gemma 3 4B has under `text_config`, with fewer layers.
    let config = json!({
        "model_type": "gemma3",
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
            "rope_scaling": { "factor": 8.0, "rope_type": "linear" }, "sliding_window": 1024,
        },
        "vision_config": {},
    });
    let spec = build(config).unwrap().network().spec().clone();
    assert_eq!((spec.vocab_size, spec.heads, spec.kv_heads, spec.head_dim), (262_208, 8, 4, 256));
    assert_eq!((spec.context_length, spec.sliding_window, spec.tied), (131_072, Some(1024), true));
}

#[test]
fn a_plain_config_must_agree_with_its_embedding() {
    let dir = copy_of("gemma3-embed-scale-short");
    edit_json(&dir.path().join("config.json"), |config| config["vocab_size"] = json!(321));
    let error = load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("model.embed_tokens.weight (expected [321, 96]"), "{error}");
    edit_json(&dir.path().join("config.json"), |config| {
        config.as_object_mut().unwrap().remove("vocab_size");
    });
    assert_eq!(load(dir.path()).unwrap().vocab_size(), 320);
}
