// SPDX-License-Identifier: EUPL-1.2
//! What every network must do, on tiny random configs.

use std::collections::BTreeMap;
use std::fs;

use mlx_core::{Array, Dtype};
use mlx_models::{ConfigFile, GenerateOptions, Model, inspect, load, random};
use mlx_nn::params::parameters;
use serde_json::{Value, json};

use crate::common::{copy_of, distance, forward, golden, logits_in_chunks};

const IDS: [u32; 40] = {
    let mut ids = [0; 40];
    let mut i = 0;
    while i < 40 {
        ids[i] = (i as u32 * 37 + 11) % 96;
        i += 1;
    }
    ids
};

fn qwen3() -> Value {
    json!({
        "model_type": "qwen3", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": 128,
        "rope_theta": 10000, "tie_word_embeddings": false,
    })
}

fn gemma3() -> Value {
    json!({
        "model_type": "gemma3_text", "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96,
        "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
        "max_position_embeddings": 128, "query_pre_attn_scalar": 32, "sliding_window": 8,
        "sliding_window_pattern": 2,
    })
}

/// The frequencies of dynamic and longrope scaling depend on the length of the text, so a longer prompt than those
/// before it must not reuse their keys.
#[test]
fn a_session_stays_exact_where_frequencies_depend_on_the_length() {
    for scaling in [
        json!({ "rope_type": "dynamic", "factor": 4.0 }),
        json!({
            "rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": 12,
            "short_factor": vec![1.0; 16], "long_factor": (1..17).map(f64::from).collect::<Vec<_>>(),
        }),
    ] {
        let mut config = qwen3();
        config["max_position_embeddings"] = json!(if scaling["rope_type"] == "dynamic" { 30 } else { 128 });
        config["rope_scaling"] = scaling.clone();
        let model = random(ConfigFile::new("test", config).unwrap(), Dtype::Float32, 3).unwrap();
        let limit = model.network().spec().rope_limit.unwrap();
        let options = GenerateOptions { max_tokens: 4, ignore_eos: true, ..GenerateOptions::default() };
        let mut session = model.session();
        for length in [5, limit - 4, limit + 1, limit + 4, 6] {
            let length = length.min(model.context_length() - 4);
            let ids = &IDS[..length];
            let kept = session.stream(ids, &options).unwrap().collect_all().unwrap();
            let fresh = model.generate_ids(ids, &options).unwrap();
            assert_eq!(kept.token_ids, fresh.token_ids, "{scaling} {length}");
        }
    }
}

/// Both families, dense in each dtype and packed in each mode.
fn models() -> Vec<(String, Model)> {
    let mut models = Vec::new();
    for (name, config) in [("qwen3", qwen3()), ("gemma3", gemma3())] {
        for dtype in [Dtype::Float32, Dtype::Bfloat16, Dtype::Float16] {
            let file = ConfigFile::new("test", config.clone()).unwrap();
            models.push((format!("{name} {dtype}"), random(file, dtype, 3).unwrap()));
        }
        for (mode, group_size, bits) in
            [("affine", 32, 4), ("affine", 32, 8), ("mxfp4", 32, 4), ("nvfp4", 16, 4), ("mxfp8", 32, 8)]
        {
            let mut config = config.clone();
            config["quantization"] = json!({ "group_size": group_size, "bits": bits, "mode": mode });
            let file = ConfigFile::new("test", config).unwrap();
            models.push((format!("{name} {mode} {bits}"), random(file, Dtype::Float32, 3).unwrap()));
        }
    }
    models
}

/// How far two ways to compute the same logits may be apart.
fn tolerance(name: &str, logits: &Array) -> f32 {
    let size = distance(logits, &logits.zeros_like().unwrap());
    size * if name.contains("float16") { 3e-2 } else { 1e-4 } + 1e-6
}

#[test]
fn prefill_equals_token_by_token() {
    for (name, model) in models() {
        let whole = model.logits(&IDS).unwrap();
        let limit = tolerance(&name, &whole);
        assert!(limit > 1e-5, "{name}: the logits say nothing");
        for chunk in [1, 3, 16] {
            let d = distance(&whole, &logits_in_chunks(model.network(), &IDS, chunk));
            assert!(d <= limit, "{name}: in chunks of {chunk} off by {d}, allowed {limit}");
        }
    }
}

#[test]
fn shapes_and_dtypes_hold() {
    for (name, model) in models() {
        let network = model.network();
        let expected = match name.split(' ').nth(1) {
            Some("bfloat16") => Dtype::Bfloat16,
            Some("float16") => Dtype::Float16,
            _ => Dtype::Float32,
        };
        let ids = Array::from_slice(&IDS, &[2, 20]).unwrap();
        let mut cache = network.make_cache().unwrap();
        let hidden = network.hidden(&ids, &mut cache).unwrap();
        assert_eq!((hidden.shape(), hidden.dtype()), (&[2, 20, 64][..], expected), "{name}");
        assert!(
            cache.arrays().unwrap().iter().all(|array| array.dtype() == expected),
            "{name}: the cache is of another dtype"
        );
        assert_eq!(cache.offset(), 20);
        let logits = network.head(&hidden).unwrap();
        assert_eq!((logits.shape(), logits.dtype()), (&[2, 20, 96][..], Dtype::Float32), "{name}");
        let last = network.forward_last(&ids, &mut cache).unwrap();
        assert_eq!((last.shape(), last.dtype()), (&[2, 96][..], Dtype::Float32), "{name}");
        assert_eq!(cache.offset(), 40);
    }
}

#[test]
fn a_batch_of_two_is_two_texts() {
    for (name, model) in models() {
        let network = model.network();
        let (first, second) = IDS.split_at(20);
        let mut cache = network.make_cache().unwrap();
        let batch = |range: std::ops::Range<usize>| {
            let length = i32::try_from(range.len()).unwrap();
            let rows: Vec<u32> = [first, second].iter().flat_map(|ids| ids[range.clone()].to_vec()).collect();
            Array::from_slice(&rows, &[2, length]).unwrap()
        };
        let start = network.forward(&batch(0..15), &mut cache).unwrap();
        let rest = network.forward(&batch(15..20), &mut cache).unwrap();
        let both = mlx_core::concatenate(&[&start, &rest], 1).unwrap();
        for (row, ids) in [(0, first), (1, second)] {
            let alone = model.logits(ids).unwrap();
            let together = both.slice_axis(0, row, row + 1).unwrap().squeeze_axes(&[0]).unwrap();
            let d = distance(&alone, &together);
            assert!(d <= tolerance(&name, &alone), "{name}: row {row} is off by {d}");
        }
    }
}

#[test]
fn saving_and_loading_again_changes_nothing() {
    for (name, model) in models() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = if name.starts_with("qwen3") { qwen3() } else { gemma3() };
        if let Some(q) = model.quantization() {
            let q = q.default;
            config["quantization"] =
                json!({ "group_size": q.group_size, "bits": q.bits, "mode": q.mode.to_string() });
        }
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let weights = parameters(model.network());
        let weights = weights.iter().map(|(path, array)| (path.as_str(), *array));
        let path = dir.path().join("model.safetensors");
        mlx_core::io::save_safetensors(path, weights, &BTreeMap::new()).unwrap();
        let loaded = load(dir.path()).unwrap();
        assert_eq!(loaded.parameters(), model.parameters(), "{name}");
        assert_eq!(loaded.nbytes_by_dtype(), model.nbytes_by_dtype(), "{name}");
        assert_eq!(distance(&loaded.logits(&IDS).unwrap(), &model.logits(&IDS).unwrap()), 0.0, "{name}");
    }
}

#[test]
fn inspecting_shows_what_loading_would_and_reads_no_weights() {
    for case in ["gemma3-window-mixed-bits", "gemma3-conditional-nested", "qwen3-sharded", "tiny-chat-gemma3"]
    {
        let (seen, loaded) = (inspect(golden(case)).unwrap(), load(golden(case)).unwrap());
        assert_eq!(seen.network().spec(), loaded.network().spec(), "{case}");
        assert_eq!(seen.parameters(), loaded.parameters(), "{case}");
        assert_eq!(seen.nbytes_by_dtype(), loaded.nbytes_by_dtype(), "{case}");
        assert_eq!(seen.eos(), loaded.eos(), "{case}");
    }
    let dir = copy_of("qwen3-tied");
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    assert!(inspect(dir.path()).unwrap_err().to_string().contains("model.safetensors"));
}

#[test]
fn packed_parameters_count_as_what_they_stand_for() {
    let count =
        |name: &str| models().iter().find(|(n, _)| n == name).map(|(_, model)| model.parameters()).unwrap();
    for family in ["qwen3", "gemma3"] {
        let dense = count(&format!("{family} float32"));
        for mode in ["affine 4", "affine 8", "mxfp4 4", "nvfp4 4", "mxfp8 8"] {
            assert_eq!(count(&format!("{family} {mode}")), dense, "{family} {mode}");
        }
    }
}

#[test]
fn float16_residuals_beyond_its_range_are_held_instead_of_becoming_infinite() {
    // A Gemma 3 whose norms behind each part multiply by thousands: in float16 the residual stream leaves its range.
    let file = ConfigFile::new("test", gemma3()).unwrap();
    let model = random(file, Dtype::Float32, 3).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), gemma3().to_string()).unwrap();
    let loud = |path: &str, array: &Array| -> Array {
        let behind = path.contains("post_attention_layernorm") || path.contains("post_feedforward_layernorm");
        let array = if behind { (array + 30000.0).unwrap() } else { array.clone() };
        array.astype(Dtype::Float16).unwrap()
    };
    let weights: Vec<(String, Array)> =
        parameters(model.network()).iter().map(|(path, array)| (path.clone(), loud(path, array))).collect();
    let path = dir.path().join("model.safetensors");
    let named = weights.iter().map(|(path, array)| (path.as_str(), array));
    mlx_core::io::save_safetensors(path, named, &BTreeMap::new()).unwrap();
    let logits = load(dir.path()).unwrap().logits(&IDS).unwrap().to_vec::<f32>().unwrap();
    assert!(logits.iter().all(|x| x.is_finite()));
}

#[test]
fn smaller_weights_of_another_dtype_do_not_widen_the_computation() {
    for (config, family) in [(qwen3(), "qwen3"), (gemma3(), "gemma3")] {
        let model = random(ConfigFile::new("test", config.clone()).unwrap(), Dtype::Bfloat16, 3).unwrap();
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let mixed: Vec<(String, Array)> = parameters(model.network())
            .iter()
            .map(|(path, array)| {
                let dtype = if path.contains("norm") { Dtype::Float32 } else { array.dtype() };
                (path.clone(), array.astype(dtype).unwrap())
            })
            .collect();
        let named = mixed.iter().map(|(path, array)| (path.as_str(), array));
        mlx_core::io::save_safetensors(dir.path().join("model.safetensors"), named, &BTreeMap::new())
            .unwrap();
        let loaded = load(dir.path()).unwrap();
        assert_eq!(loaded.nbytes_by_dtype().into_keys().collect::<Vec<_>>(), [Dtype::Bfloat16], "{family}");
    }
}

#[test]
fn the_order_of_cached_chunks_is_kept_for_a_second_text() {
    // The same cache taken back and used for another text gives what a new cache gives.
    for (name, model) in models() {
        let network = model.network();
        let mut cache = network.make_cache().unwrap();
        let _ = forward(network, &IDS, &mut cache);
        cache.trim(25).unwrap();
        let other: Vec<u32> = IDS[..10].to_vec();
        let reused = forward(network, &other, &mut cache);
        let text: Vec<u32> = IDS[..25].iter().chain(&other).copied().collect();
        let fresh = model.logits(&text).unwrap().slice_axis(0, 25, 35).unwrap();
        let d = distance(&reused, &fresh);
        assert!(d <= tolerance(&name, &fresh), "{name}: off by {d}");
    }
}

#[test]
fn random_models_generate() {
    for (name, model) in models() {
        let options = GenerateOptions { max_tokens: 5, ..Default::default() };
        let generation = model.generate_ids(&IDS[..3], &options).unwrap();
        assert_eq!(generation.token_ids.len(), 5, "{name}");
    }
}
