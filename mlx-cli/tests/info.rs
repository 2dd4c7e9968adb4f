// SPDX-License-Identifier: EUPL-1.2
//! `mlx info`

use std::fs::File;

use serde_json::{Value, json};

use crate::support::{Copy, gemma, golden, keys, mlx, qwen, safetensors};

/// The parameters and bytes of a checkpoint by its headers alone.
fn header_totals(path: &str) -> (u64, u64) {
    let (header, data) = safetensors(&std::path::Path::new(path).join("model.safetensors"));
    let tensors = header.as_object().unwrap().iter().filter(|(name, _)| *name != "__metadata__");
    let size = |tensor: &Value| {
        tensor["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap()).product::<u64>()
    };
    (tensors.map(|(_, tensor)| size(tensor)).sum(), data.len() as u64)
}

#[test]
fn a_dense_checkpoint_is_described() {
    for (model, architecture, model_type, layers) in
        [(qwen(), "Qwen 3", "qwen3", 2), (gemma(), "Gemma 3", "gemma3_text", 3)]
    {
        let info = mlx(&["info", "--model", &model, "--json"]).json();
        let (parameters, bytes) = header_totals(&model);
        for (key, expected) in [
            ("architecture", json!(architecture)),
            ("model_type", json!(model_type)),
            ("parameters", json!(parameters)),
            ("bytes", json!(bytes)),
            ("dtypes", json!({ "bfloat16": bytes })),
            ("quantization", Value::Null),
            ("layers", json!(layers)),
            ("vocab_size", json!(480)),
            ("context_length", json!(1024)),
            ("tied_embeddings", json!(true)),
            ("tokenizer", json!(true)),
            ("chat_template", json!(true)),
        ] {
            assert_eq!(info[key], expected, "{key}: {info}");
        }
        assert_eq!(
            keys(&info["memory"]),
            ["cache_bytes_per_1k_tokens", "cache_bytes_windows", "full_context_bytes", "weights_bytes"]
        );
        let text = mlx(&["info", "--model", &model]).text();
        assert!(text.contains(architecture) && text.contains("bfloat16") && text.contains("cache"), "{text}");
    }
}

#[test]
fn the_cache_is_told_by_its_layers() {
    // Keys and values, heads × width × two bytes, for each layer.
    let memory = |model: &str| mlx(&["info", "--model", model, "--json"]).json()["memory"].clone();
    let qwen = memory(&qwen());
    assert_eq!(qwen["cache_bytes_per_1k_tokens"], 2 * (2 * 2 * 32 * 2) * 1000);
    assert_eq!(qwen["cache_bytes_windows"], 0);
    // One of the three layers sees everything; the others have a window of 16.
    let gemma = memory(&gemma());
    assert_eq!(gemma["cache_bytes_per_1k_tokens"], (2 * 32 * 2) * 1000);
    assert_eq!(gemma["cache_bytes_windows"], 2 * (2 * 32 * 2) * 16);
    let sum = gemma["weights_bytes"].as_u64().unwrap() + 128 * 1024 + 4096;
    assert_eq!(gemma["full_context_bytes"], sum);
}

#[test]
fn a_quantised_checkpoint_counts_what_its_weights_stand_for() {
    let dense = mlx(&["info", "--model", &golden("qwen3-tied"), "--json"]).json();
    let packed = mlx(&["info", "--model", &golden("qwen3-tied-4bit"), "--json"]).json();
    assert_eq!(packed["quantization"]["bits"], 4, "{packed}");
    assert_eq!(packed["quantization"]["mode"], "affine");
    assert_eq!(packed["parameters"], dense["parameters"]);
    assert!(packed["bytes"].as_u64().unwrap() < dense["bytes"].as_u64().unwrap() / 3);
    assert_eq!(packed["tokenizer"], false);
    let text = mlx(&["info", "--model", &golden("qwen3-tied-4bit")]).text();
    assert!(text.contains("affine, 4 bits in groups of"), "{text}");
}

#[test]
fn sharded_checkpoints_are_one() {
    let sharded = mlx(&["info", "--model", &golden("qwen3-sharded"), "--json"]).json();
    assert!(sharded["parameters"].as_u64().unwrap() > 0);
    let case = golden("qwen3-sharded");
    let bytes: u64 = (1..=3)
        .map(|shard| {
            let path = format!("{case}/model-0000{shard}-of-00003.safetensors");
            safetensors(std::path::Path::new(&path)).1.len() as u64
        })
        .sum();
    assert_eq!(sharded["bytes"], bytes);
}

#[test]
fn weights_are_not_read() {
    // A file of 69 GB that is one hole: whoever reads it, or finds room for it, does not come to an end soon.
    const LAYERS: u64 = 11;
    const HIDDEN: u64 = 2048;
    const WIDE: u64 = 1 << 19;
    let copy = Copy::of("tiny-chat-qwen3").remove("tokenizer.json").json("config.json", |config| {
        config["vocab_size"] = 2.into();
        config["hidden_size"] = HIDDEN.into();
        config["intermediate_size"] = WIDE.into();
        config["num_hidden_layers"] = LAYERS.into();
        config["num_attention_heads"] = 1.into();
        config["num_key_value_heads"] = 1.into();
        config["head_dim"] = 2.into();
    });
    let mut header = serde_json::Map::new();
    let mut end = 0u64;
    let mut tensor = |name: String, shape: &[u64]| {
        let begin = end;
        end += shape.iter().product::<u64>() * 2;
        let info = json!({ "dtype": "BF16", "shape": shape, "data_offsets": [begin, end] });
        header.insert(name, info);
    };
    tensor("model.embed_tokens.weight".into(), &[2, HIDDEN]);
    tensor("model.norm.weight".into(), &[HIDDEN]);
    for layer in 0..LAYERS {
        for (name, shape) in [
            ("input_layernorm", &[HIDDEN][..]),
            ("post_attention_layernorm", &[HIDDEN]),
            ("self_attn.q_proj", &[2, HIDDEN]),
            ("self_attn.k_proj", &[2, HIDDEN]),
            ("self_attn.v_proj", &[2, HIDDEN]),
            ("self_attn.o_proj", &[HIDDEN, 2]),
            ("self_attn.q_norm", &[2]),
            ("self_attn.k_norm", &[2]),
            ("mlp.gate_proj", &[WIDE, HIDDEN]),
            ("mlp.up_proj", &[WIDE, HIDDEN]),
            ("mlp.down_proj", &[HIDDEN, WIDE]),
        ] {
            tensor(format!("model.layers.{layer}.{name}.weight"), shape);
        }
    }
    let json = serde_json::to_vec(&header).unwrap();
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(&json);
    let length = bytes.len() as u64 + end;
    let copy = copy.write("model.safetensors", bytes);
    File::options().write(true).open(copy.file("model.safetensors")).unwrap().set_len(length).unwrap();
    let info = mlx(&["info", "--model", copy.path(), "--json"]).json();
    assert_eq!(info["bytes"], end);
    assert!(end > 3 * LAYERS * WIDE * HIDDEN * 2);
}
