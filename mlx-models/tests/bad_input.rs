// SPDX-License-Identifier: EUPL-1.2
//! Checkpoints and requests that cannot be: each gives one clear line, and nothing else happens.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlx_core::io::{load_safetensors, save_safetensors};
use mlx_core::{Array, Dtype};
use mlx_models::{GenerateOptions, SamplerOptions, load};
use serde_json::json;

use crate::common::{copy_of, edit_json, golden};

/// The error of loading `dir`, which must name what is in `named` and be one line.
fn fails(dir: &Path, named: &[&str]) {
    let error = load(dir).expect_err("loading should fail").to_string();
    for name in named {
        assert!(error.contains(name), "{name:?} is not in {error:?}");
    }
    assert!(!error.contains('\n') && !error.ends_with('.'), "{error:?}");
}

/// A copy of a checkpoint in one file, with its tensors changed.
fn with_tensors(edit: impl FnOnce(&mut BTreeMap<String, Array>)) -> tempfile::TempDir {
    let dir = copy_of("qwen3-tied");
    let path = dir.path().join("model.safetensors");
    let mut tensors = load_safetensors(&path).unwrap().tensors;
    edit(&mut tensors);
    let named = tensors.iter().map(|(name, array)| (name.as_str(), array));
    save_safetensors(&path, named, &BTreeMap::new()).unwrap();
    dir
}

#[test]
fn a_directory_that_is_missing_or_a_file_or_empty() {
    let dir = tempfile::tempdir().unwrap();
    fails(&dir.path().join("nowhere"), &["nowhere"]);
    fails(&golden("qwen3-tied").join("config.json"), &["config.json", "directory"]);
    fails(dir.path(), &["config.json"]);
}

#[test]
fn a_config_that_is_no_json_or_no_config() {
    let dir = copy_of("qwen3-tied");
    let config = dir.path().join("config.json");
    for (text, named) in
        [("", "JSON"), ("{", "JSON"), ("[1]", "object"), ("\u{0}\u{1}", "JSON"), ("{}", "model_type")]
    {
        fs::write(&config, text).unwrap();
        fails(dir.path(), &["config.json", named]);
    }
    fs::write(&config, "[".repeat(100_000)).unwrap();
    fails(dir.path(), &["config.json"]);
}

#[test]
fn an_unknown_model_type_lists_the_known_ones() {
    let dir = copy_of("qwen3-tied");
    edit_json(&dir.path().join("config.json"), |config| config["model_type"] = json!("gpt_oss"));
    fails(dir.path(), &["config.json", "model_type", "gpt_oss", "qwen3, gemma3_text, gemma3"]);
}

#[test]
fn weights_that_are_absent_truncated_or_hostile() {
    let dir = copy_of("qwen3-tied");
    let path = dir.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for bytes in [
        &b""[..],
        &[0; 7],
        &u64::MAX.to_le_bytes(),
        &whole[..whole.len() / 2],
        &whole[..whole.len() - 1],
        &[[200, 0, 0, 0, 0, 0, 0, 0].as_slice(), b"{\"%s%n%p\": "].concat(),
    ] {
        fs::write(&path, bytes).unwrap();
        fails(dir.path(), &["model.safetensors"]);
    }
    // A header that promises more than there is, under a name made for printf.
    let header = br#"{"%n%s":{"dtype":"F32","shape":[99999999,99999999],"data_offsets":[0,8]}}"#;
    let length = u64::try_from(header.len()).unwrap().to_le_bytes();
    fs::write(&path, [length.as_slice(), header, &[0; 8]].concat()).unwrap();
    fails(dir.path(), &["model.safetensors"]);
    fs::remove_file(&path).unwrap();
    fails(dir.path(), &[dir.path().to_str().unwrap(), "model.safetensors"]);
}

#[test]
fn an_index_that_names_a_missing_or_foreign_file() {
    let dir = copy_of("qwen3-sharded");
    let index = dir.path().join("model.safetensors.index.json");
    fs::remove_file(dir.path().join("model-00002-of-00003.safetensors")).unwrap();
    fails(dir.path(), &["index.json", "model-00002-of-00003.safetensors"]);
    edit_json(&index, |index| index["weight_map"]["model.norm.weight"] = json!("../../etc/passwd"));
    fails(dir.path(), &["index.json"]);
    fs::write(&index, "{}").unwrap();
    fails(dir.path(), &["index.json", "weight_map"]);
}

#[test]
fn weights_that_are_missing_surplus_or_misshapen_are_all_listed() {
    let dir = with_tensors(|tensors| {
        let _ = tensors.remove("model.norm.weight").unwrap();
        let _ = tensors.remove("model.layers.1.self_attn.q_norm.weight").unwrap();
        tensors.insert("model.layers.9.extra".into(), Array::scalar(1.0f32).unwrap());
        let wrong = Array::zeros(&[3, 5], Dtype::Float32).unwrap();
        tensors.insert("model.layers.0.mlp.up_proj.weight".into(), wrong);
        let integers = Array::zeros(&[64], Dtype::Int32).unwrap();
        tensors.insert("model.layers.0.input_layernorm.weight".into(), integers);
    });
    fails(
        dir.path(),
        &[
            dir.path().to_str().unwrap(),
            "model.norm.weight",
            "model.layers.1.self_attn.q_norm.weight",
            "model.layers.9.extra",
            "model.layers.0.mlp.up_proj.weight",
            "[3, 5]",
            "model.layers.0.input_layernorm.weight",
            "int32",
        ],
    );
}

#[test]
fn packed_weights_without_settings_or_settings_that_do_not_fit() {
    let dir = copy_of("qwen3-tied-4bit");
    let config = dir.path().join("config.json");
    edit_json(&config, |config| config["quantization"]["bits"] = json!(8));
    fails(dir.path(), &["model.layers.0.mlp.down_proj.weight"]);
    edit_json(&config, |config| {
        config["quantization"] = json!({ "group_size": 64, "bits": 4, "model.embed_tokens": false });
    });
    fails(dir.path(), &["model.embed_tokens.scales"]);
    edit_json(&config, |config| {
        let config = config.as_object_mut().unwrap();
        config.remove("quantization");
        config.remove("quantization_config");
    });
    fails(dir.path(), &["model.layers.0.mlp.down_proj.scales"]);
    // In 128-wide groups a hidden size of 64 cannot be packed at all.
    edit_json(&config, |config| config["quantization"] = json!({ "group_size": 128, "bits": 4 }));
    fails(dir.path(), &["model.embed_tokens", "group"]);
}

#[test]
fn a_second_copy_of_a_tied_table_is_left_alone() {
    let dir = with_tensors(|tensors| {
        let table = tensors["model.embed_tokens.weight"].clone();
        tensors.insert("lm_head.weight".into(), table);
        tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), Array::scalar(1.0f32).unwrap());
    });
    load(dir.path()).unwrap();
}

#[test]
fn a_tokenizer_of_a_larger_model() {
    let dir = copy_of("qwen3-tied");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        fs::copy(golden("tiny-chat-qwen3").join(name), dir.path().join(name)).unwrap();
    }
    fails(dir.path(), &[dir.path().to_str().unwrap(), "tokenizer", "476", "320"]);
    fs::write(dir.path().join("tokenizer.json"), "{\"model\":").unwrap();
    fails(dir.path(), &["tokenizer.json"]);
}

#[test]
fn special_tokens_beyond_the_table_are_no_mismatch() {
    // Gemma 3's tokenizer has a special token for images also where the model has no row for it.
    let dir = copy_of("tiny-chat-qwen3");
    edit_json(&dir.path().join("tokenizer.json"), |file| {
        file["added_tokens"].as_array_mut().unwrap().push(json!({
            "id": 480, "content": "<image>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        }));
    });
    let model = load(dir.path()).unwrap();
    assert_eq!(model.tokenizer().unwrap().vocab_size(), 481);
    let options = GenerateOptions { raw: true, ..Default::default() };
    let error = model.generate("<image>", &options).unwrap_err().to_string();
    assert_eq!(error, "token id 480 is out of range: the vocabulary has 480 tokens, 0 to 479");
}

#[test]
fn prompts_that_are_empty_too_long_or_out_of_range() {
    let model = load(golden("qwen3-tied")).unwrap();
    let options = GenerateOptions::default();
    let error = |ids: &[u32]| model.generate_ids(ids, &options).unwrap_err().to_string();
    assert!(error(&[]).contains("empty"));
    assert_eq!(error(&[1, 320]), "token id 320 is out of range: the vocabulary has 320 tokens, 0 to 319");
    assert!(error(&[u32::MAX]).contains("4294967295"));
    let long = error(&[1; 512]);
    assert!(long.contains("512"), "{long}");
    assert!(model.logits(&[]).unwrap_err().to_string().contains("empty"));
    assert!(model.logits(&[320]).unwrap_err().to_string().contains("320"));
    assert!(model.logits(&[1; 513]).unwrap_err().to_string().contains("513"));
    // There is no tokenizer here.
    assert!(model.generate("text", &options).unwrap_err().to_string().contains("tokenizer"));
    assert!(model.classify("text", &["a"]).unwrap_err().to_string().contains("tokenizer"));

    let chat = load(golden("tiny-chat-qwen3")).unwrap();
    assert!(chat.generate("", &options).unwrap_err().to_string().contains("empty"));
    let raw = GenerateOptions { raw: true, ..Default::default() };
    assert!(chat.generate("", &raw).unwrap_err().to_string().contains("empty"));
}

#[test]
fn options_that_cannot_be_are_named() {
    let model = load(golden("tiny-chat-qwen3")).unwrap();
    let default = GenerateOptions::default;
    let sampler = |sampler: SamplerOptions| GenerateOptions { sampler, ..default() };
    for (options, named) in [
        (GenerateOptions { prefill_chunk: 0, ..default() }, "prefill_chunk"),
        (GenerateOptions { stop: vec![String::new()], ..default() }, "stop"),
        (sampler(SamplerOptions { temperature: -1.0, ..Default::default() }), "temperature"),
        (sampler(SamplerOptions { logit_bias: vec![(480, 1.0)], ..Default::default() }), "480"),
    ] {
        let error = model.generate("Hello!", &options).unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
    let no_text = load(golden("qwen3-tied")).unwrap();
    let options = GenerateOptions { stop: vec!["x".into()], ..default() };
    assert!(no_text.generate_ids(&[1], &options).unwrap_err().to_string().contains("tokenizer"));
}

#[test]
fn a_checkpoint_without_a_chat_template_takes_no_messages() {
    let dir = copy_of("tiny-chat-qwen3");
    fs::remove_file(dir.path().join("chat_template.jinja")).unwrap();
    let model = load(dir.path()).unwrap();
    let options = GenerateOptions { max_tokens: 3, ..Default::default() };
    // A prompt is continued as it stands.
    assert_eq!(model.prompt_ids("Hello!", &options).unwrap(), model.encode("Hello!").unwrap());
    let error = model.chat(&[mlx_models::Message::user("Hello!")], &options).unwrap_err().to_string();
    assert!(error.contains("chat template"), "{error}");
    let options = GenerateOptions { system: Some("Be brief.".into()), ..options };
    assert!(model.generate("Hello!", &options).unwrap_err().to_string().contains("chat template"));
}
