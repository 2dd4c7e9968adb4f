// SPDX-License-Identifier: EUPL-1.2
//! Checkpoints that are broken: exit code 1, one clear line that names the file or the key, and no panic.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Copy, golden, mlx, mlx_reading, qwen};

/// Checks that every command which loads the checkpoint refuses it.
#[track_caller]
fn refused(copy: &Copy, parts: &[&str]) {
    mlx(&["generate", "--model", copy.path(), "--prompt-ids", "1,2", "--max-tokens", "2"]).fails(1, parts);
    let output = copy.file("logits.out");
    let output = output.to_str().unwrap();
    mlx(&["logits", "--model", copy.path(), "--prompt-ids", "1,2", "--output", output]).fails(1, parts);
    assert!(fs::metadata(output).is_err());
}

/// As [`refused`], and `mlx info`, which reads headers only, refuses it too.
#[track_caller]
fn refused_by_its_headers(copy: &Copy, parts: &[&str]) {
    refused(copy, parts);
    mlx(&["info", "--model", copy.path()]).fails(1, parts);
}

#[test]
fn a_missing_directory() {
    for args in [
        &["generate", "--prompt", "x"][..],
        &["chat"],
        &["tokenize", "--prompt", "x"],
        &["logits", "--prompt-ids", "1", "--output", "x"],
        &["info"],
        &["bench"],
        &["quantize", "--output", "x"],
        &["perplexity"],
    ] {
        mlx(&[args, &["--model", "no/such/place"]].concat()).fails(1, &["no/such/place"]);
    }
    let file = format!("{}/config.json", qwen());
    mlx(&["info", "--model", &file]).fails(1, &["config.json", "directory"]);
}

#[test]
fn a_directory_that_lacks_a_file() {
    refused_by_its_headers(&Copy::of("qwen3-tied").remove("config.json"), &["config.json"]);
    let empty = Copy::of("qwen3-tied").remove("model.safetensors");
    refused_by_its_headers(&empty, &["model.safetensors"]);
    let sharded = Copy::of("qwen3-sharded").remove("model-00002-of-00003.safetensors");
    refused_by_its_headers(&sharded, &["model-00002-of-00003.safetensors", "missing"]);
}

#[test]
fn safetensors_that_are_cut_short() {
    let whole = fs::read(format!("{}/model.safetensors", golden("qwen3-tied"))).unwrap();
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        let copy = Copy::of("qwen3-tied").write("model.safetensors", &whole[..length]);
        refused_by_its_headers(&copy, &["model.safetensors"]);
    }
}

#[test]
fn safetensors_that_are_hostile() {
    let headers: [&[u8]; 6] = [
        b"\xff\xff\xff\xff\xff\xff\xff\x7f{}",
        b"\x02\0\0\0\0\0\0\0[]",
        b"\x02\0\0\0\0\0\0\0{",
        b"{}{}{}{}{}{}",
        &[0; 64],
        b"\x05\0\0\0\0\0\0\0%s%n!",
    ];
    for bytes in headers {
        refused_by_its_headers(
            &Copy::of("qwen3-tied").write("model.safetensors", bytes),
            &["model.safetensors"],
        );
    }
    let norm = "model.norm.weight";
    let changes: [fn(&mut Value); 5] = [
        |info| info["data_offsets"] = json!([0, u64::MAX]),
        |info| info["data_offsets"] = json!([-8, 4]),
        |info| info["shape"] = json!([u64::MAX, u64::MAX]),
        |info| info["dtype"] = json!("Q7"),
        |info| *info = json!(null),
    ];
    for change in changes {
        let copy = Copy::of("qwen3-tied").header("model.safetensors", |header| change(&mut header[norm]));
        refused_by_its_headers(&copy, &["model.safetensors"]);
    }
    let index = "model.safetensors.index.json";
    for weight_map in [json!({ "a": "../../../etc/passwd" }), json!({ "a": 1 }), json!([]), json!({})] {
        let copy = Copy::of("qwen3-sharded").json(index, |value| value["weight_map"] = weight_map.clone());
        refused_by_its_headers(&copy, &[index, "weight_map"]);
    }
}

#[test]
fn weights_of_the_wrong_shape() {
    // The same elements the other way round, and all culprits are named.
    let names = ["model.layers.0.mlp.gate_proj.weight", "model.layers.1.mlp.down_proj.weight"];
    let copy = Copy::of("qwen3-tied").header("model.safetensors", |header| {
        for name in names {
            let shape = header[name]["shape"].as_array_mut().unwrap();
            shape.reverse();
        }
    });
    refused_by_its_headers(&copy, &[copy.path(), names[0], names[1]]);
}

#[test]
fn weights_that_are_missing_or_surplus() {
    let copy = Copy::of("qwen3-tied").header("model.safetensors", |header| {
        let header = header.as_object_mut().unwrap();
        let norm = header.remove("model.norm.weight").unwrap();
        header.insert("model.norm.wait".into(), norm);
    });
    refused_by_its_headers(&copy, &[copy.path(), "model.norm.weight", "model.norm.wait"]);
}

#[test]
fn a_model_type_that_nobody_knows() {
    for (value, part) in
        [(json!("gpt2"), "gpt2"), (json!("%s%n"), "%s%n"), (json!(7), "a number"), (Value::Null, "missing")]
    {
        let copy = Copy::of("qwen3-tied").json("config.json", |config| config["model_type"] = value.clone());
        refused_by_its_headers(&copy, &["config.json", "model_type", part]);
    }
}

#[test]
fn config_values_of_the_wrong_type_or_size() {
    for (key, value) in [
        ("hidden_size", json!("64")),
        ("hidden_size", json!(0)),
        ("hidden_size", json!(-64)),
        ("hidden_size", json!(1e30)),
        ("num_hidden_layers", json!(null)),
        ("num_hidden_layers", json!(1_000_000_000)),
        ("num_attention_heads", json!([4])),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(31)),
        ("vocab_size", json!(2.5)),
        ("rms_norm_eps", json!("small")),
        ("tie_word_embeddings", json!("yes")),
        ("rope_theta", json!({})),
        ("max_position_embeddings", json!(0)),
    ] {
        let copy = Copy::of("qwen3-tied").json("config.json", |config| config[key] = value.clone());
        refused_by_its_headers(&copy, &["config.json", key]);
    }
    for text in ["", "{", "[]", "null", "\u{0}"] {
        refused_by_its_headers(&Copy::of("qwen3-tied").write("config.json", text), &["config.json"]);
    }
}

#[test]
fn quantisation_that_nobody_knows() {
    for (key, value) in [("bits", json!(7)), ("group_size", json!(0)), ("mode", json!("ternary"))] {
        let copy = Copy::of("qwen3-tied-4bit").json("config.json", |config| {
            for section in ["quantization", "quantization_config"] {
                if config.get(section).is_some() {
                    config[section][key] = value.clone();
                }
            }
        });
        refused_by_its_headers(&copy, &["config.json", "quantization", key]);
    }
}

#[test]
fn token_ids_out_of_range() {
    let dir = golden("qwen3-tied");
    for ids in ["320", "1,2,320", "4294967295"] {
        let id = ids.rsplit(',').next().unwrap();
        mlx(&["generate", "--model", &dir, "--prompt-ids", ids]).fails(1, &[id, "320 tokens"]);
        mlx(&["logits", "--model", &dir, "--prompt-ids", ids, "--output", "/dev/null"])
            .fails(1, &[id, "320 tokens"]);
    }
}

#[test]
fn an_empty_prompt() {
    for args in [
        &["generate", "--prompt", ""][..],
        &["generate", "--raw", "--prompt", ""],
        &["generate", "--prompt-ids", ""],
        &["logits", "--prompt-ids", "", "--output", "/dev/null"],
    ] {
        mlx(&[args, &["--model", &qwen()]].concat()).fails(1, &["prompt is empty"]);
    }
    mlx_reading(&["generate", "--model", &qwen()], b"").fails(1, &["prompt is empty"]);
    mlx_reading(&["generate", "--model", &qwen()], b"\n").fails(1, &["prompt is empty"]);
    mlx_reading(&["generate", "--model", &qwen()], b"\xff\xfe").fails(1, &["standard input", "UTF-8"]);
}

#[test]
fn a_prompt_longer_than_the_context() {
    let ids = vec!["1"; 513].join(",");
    mlx(&["generate", "--model", &golden("qwen3-tied"), "--prompt-ids", &ids]).fails(1, &["513", "512"]);
}

#[test]
fn text_for_a_checkpoint_without_a_tokenizer() {
    let dir = golden("qwen3-tied");
    mlx(&["generate", "--model", &dir, "--prompt", "x"]).fails(1, &["tokenizer.json"]);
    mlx(&["generate", "--model", &dir, "--prompt-ids", "1", "--stop", "x"]).fails(1, &["tokenizer.json"]);
}

#[test]
fn a_tokenizer_that_does_not_fit() {
    let copy = Copy::of("qwen3-tied");
    fs::copy(format!("{}/tokenizer.json", qwen()), copy.file("tokenizer.json")).unwrap();
    refused_by_its_headers(&copy, &[copy.path(), "tokenizer", "320"]);
}

#[test]
fn a_tokenizer_that_is_broken() {
    for text in ["", "{}", "[1]", "{\"model\": 7}"] {
        let copy = Copy::of("tiny-chat-qwen3").write("tokenizer.json", text);
        refused_by_its_headers(&copy, &["tokenizer.json"]);
        mlx(&["tokenize", "--model", copy.path(), "--prompt", "x"]).fails(1, &["tokenizer.json"]);
    }
}

#[test]
fn logits_that_are_not_numbers() {
    // A final norm of NaN, in bfloat16.
    let copy = Copy::of("tiny-chat-qwen3");
    let path = copy.file("model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let begin = 8 + length + header["model.norm.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[begin..begin + 2].copy_from_slice(&[0xc0, 0x7f]);
    fs::write(&path, bytes).unwrap();
    mlx(&["generate", "--model", copy.path(), "--prompt", "x"]).fails(1, &["generated token 0", "NaN"]);
}
