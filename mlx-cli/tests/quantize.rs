// SPDX-License-Identifier: EUPL-1.2
//! `mlx quantize`

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Copy, Outcome, golden, keys, mlx, qwen};

/// Runs the command with `--json` from one checkpoint to a new directory.
fn quantize(model: &str, output: &Path, args: &[&str]) -> Outcome {
    let output = output.to_str().unwrap();
    mlx(&[&["quantize", "--model", model, "--output", output, "--json"], args].concat())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn config(dir: &Path) -> Value {
    serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap()
}

#[test]
fn a_packed_checkpoint_answers_and_the_report_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("a name with spaces");
    let report = quantize(&qwen(), &output, &["--bits", "8", "--group-size", "32"]).json();
    let expected = [
        "bits_per_weight",
        "bytes",
        "bytes_before",
        "files",
        "load_s",
        "output",
        "parameters",
        "peak_memory_bytes",
        "quantization",
        "quantize_s",
        "save_s",
        "uneven",
    ];
    assert_eq!(keys(&report), expected);
    assert_eq!(report["output"], output.to_str().unwrap());
    assert_eq!(report["quantization"], json!({ "mode": "affine", "bits": 8, "group_size": 32, "layers": 0 }));
    let (bytes, parameters) = (report["bytes"].as_f64().unwrap(), report["parameters"].as_f64().unwrap());
    assert_eq!(report["bits_per_weight"], 8.0 * bytes / parameters);
    assert!(bytes < 0.6 * report["bytes_before"].as_f64().unwrap());
    let info = mlx(&["info", "--model", output.to_str().unwrap(), "--json"]).json();
    assert_eq!((&info["bytes"], &info["parameters"]), (&report["bytes"], &report["parameters"]));
    let question = ["generate", "--prompt", "What is the capital of France?", "--model"];
    let answer = mlx(&[&question[..], &[output.to_str().unwrap()]].concat()).text();
    assert_eq!(answer, "The capital of France is Paris.\n");
    assert_eq!(names(folder.path()), ["a name with spaces"]);
}

#[test]
fn without_json_there_is_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let args = ["quantize", "--model", &qwen(), "--output", output.to_str().unwrap(), "--rule", "*.0.*=8"];
    let table = mlx(&args).text();
    for part in
        ["output", "out, ", "bits a weight", "affine, 4 bits in groups of 64", "settings of their own"]
    {
        assert!(table.contains(part), "{table}");
    }
}

#[test]
fn recipes_rules_modes_and_types_reach_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = golden("qwen3-tied");
    quantize(&model, &at("recipe"), &["--recipe", "mixed_3_6", "--group-size", "32"]).json();
    let found = config(&at("recipe"))["quantization"].clone();
    assert_eq!(found["bits"], 3);
    assert_eq!(
        found["model.layers.2.mlp.down_proj"],
        json!({ "group_size": 32, "bits": 6, "mode": "affine" })
    );
    let rules =
        ["--mode", "mxfp8", "--rule", "*.v_proj=skip", "--rule", "*.self_attn.*=6:32", "--dtype", "float16"];
    quantize(&model, &at("rules"), &rules).json();
    let found = config(&at("rules"));
    assert_eq!(found["torch_dtype"], "float16");
    assert_eq!(found["quantization"], found["quantization_config"]);
    assert_eq!(found["quantization"]["mode"], "mxfp8");
    assert_eq!(found["quantization"]["model.layers.1.self_attn.v_proj"], false);
    assert_eq!(found["quantization"]["model.layers.1.self_attn.q_proj"]["bits"], 6);
    let info = mlx(&["info", "--model", at("rules").to_str().unwrap(), "--json"]).json();
    assert_eq!(keys(&info["dtypes"]), ["float16", "uint32", "uint8"]);
}

#[test]
fn a_dense_checkpoint_comes_back_in_several_files() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("dense");
    let args = ["--dequantize", "--dtype", "bfloat16", "--max-shard-size", "100kB"];
    let report = quantize(&golden("qwen3-tied-4bit"), &output, &args).json();
    assert_eq!((&report["quantization"], &report["bits_per_weight"]), (&Value::Null, &json!(16.0)));
    let listed: Vec<String> =
        report["files"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().into()).collect();
    assert!(listed.contains(&"model.safetensors.index.json".into()) && listed.len() > 3, "{listed:?}");
    let mut sorted = listed.clone();
    sorted.sort();
    assert_eq!(names(&output), sorted);
    assert!(config(&output).get("quantization").is_none());
    mlx(&["generate", "--model", output.to_str().unwrap(), "--prompt-ids", "5,6", "--max-tokens", "2"])
        .text();
}

#[test]
fn layers_that_stay_dense_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    // 96 wide, which is no multiple of 64.
    let report = quantize(&golden("gemma3-embed-scale-short"), &folder.path().join("out"), &[]).json();
    let uneven = report["uneven"].as_array().unwrap();
    assert!(uneven.iter().any(|layer| layer["path"] == "model.embed_tokens" && layer["width"] == 96));
    let output = folder.path().join("table");
    let args =
        ["quantize", "--model", &golden("gemma3-embed-scale-short"), "--output", output.to_str().unwrap()];
    assert!(mlx(&args).text().contains("model.embed_tokens: its width, 96, is no multiple of 64"));
}

#[test]
fn wrong_arguments_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let model = golden("qwen3-tied");
    for (args, parts) in [
        (&["--bits", "7"][..], &["--bits", "2, 3, 4, 5, 6, 8", "found 7"][..]),
        (&["--bits", "-4"], &["--bits", "found -4"]),
        (&["--bits", "four"], &["--bits", "four"]),
        (&["--group-size", "16"], &["--group-size", "32, 64, 128", "found 16"]),
        (&["--mode", "mxfp4", "--bits", "8"], &["--bits", "mxfp4", "found 8"]),
        (&["--mode", "ternary"], &["--mode", "ternary", "nvfp4"]),
        (&["--recipe", "mixed_1_2"], &["--recipe", "mixed_1_2", "mixed_4_6"]),
        (&["--recipe", "mixed_4_6", "--bits", "4"], &["--bits", "--recipe"]),
        (&["--recipe", "mixed_4_6", "--mode", "nvfp4"], &["--recipe", "affine", "nvfp4"]),
        (&["--rule", "x"], &["--rule", "PATTERN=SETTING"]),
        (&["--rule", "x=9"], &["--rule", "found 9"]),
        (&["--rule", "*.w_proj=4"], &["--rule", "*.w_proj", "model.embed_tokens"]),
        (&["--dtype", "int8"], &["--dtype", "int8", "bfloat16"]),
        (&["--dequantize", "--bits", "4"], &["--dequantize", "--bits"]),
        (&["--dequantize", "--rule", "x=4"], &["--dequantize", "--rule"]),
        (&["--max-shard-size", "0"], &["--max-shard-size", "5GB"]),
        (&["--max-shard-size", "-5GB"], &["--max-shard-size"]),
    ] {
        quantize(&model, &output, args).fails(2, parts);
    }
    mlx(&["quantize", "--model", &model]).fails(2, &["--output"]);
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn what_cannot_be_done_is_a_failure_that_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let model = golden("qwen3-tied");
    quantize(&golden("qwen3-tied-4bit"), &at("out"), &[]).fails(1, &["config.json", "quantised already"]);
    quantize(&model, &at("out"), &["--dequantize"]).fails(1, &["config.json", "not quantised"]);
    quantize(&model, &at("out"), &["--rule", "*=skip"]).fails(1, &["no layer is to be packed"]);
    quantize("no/such/place", &at("out"), &[]).fails(1, &["no/such/place"]);
    quantize(&model, &at("no/such/place"), &[]).fails(1, &["no/such", "No such file"]);
    if cfg!(target_os = "linux") {
        quantize(&model, Path::new("/proc/out"), &[]).fails(1, &["/proc"]);
    }
    assert_eq!(names(folder.path()), [""; 0]);
    fs::write(at("file"), "precious").unwrap();
    quantize(&model, &at("file"), &["--overwrite"]).fails(1, &["file", "found a file"]);
    fs::create_dir(at("home")).unwrap();
    fs::write(at("home/letter"), "precious").unwrap();
    quantize(&model, &at("home"), &[]).fails(1, &["home", "not empty", "overwrite"]);
    quantize(&model, &at("home"), &["--overwrite"]).fails(1, &["home", "no config.json"]);
    assert_eq!(fs::read_to_string(at("home/letter")).unwrap(), "precious");
    assert_eq!(names(folder.path()), ["file", "home"]);
}

#[test]
fn the_source_is_never_the_target() {
    let copy = Copy::of("qwen3-tied");
    let before = names(Path::new(copy.path()));
    for args in [&[][..], &["--overwrite"]] {
        quantize(copy.path(), Path::new(copy.path()), args).fails(1, &["the directory is", "loaded from"]);
        quantize(copy.path(), &copy.file("inner"), args).fails(1, &["inside", "loaded from"]);
    }
    assert_eq!(names(Path::new(copy.path())), before);
    assert_eq!(
        fs::read(copy.file("model.safetensors")).unwrap(),
        fs::read(format!("{}/model.safetensors", golden("qwen3-tied"))).unwrap()
    );
}

#[test]
fn a_checkpoint_is_replaced_only_on_purpose() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    quantize(&golden("qwen3-tied"), &output, &[]).json();
    quantize(&golden("qwen3-tied"), &output, &["--bits", "8"]).fails(1, &["not empty"]);
    assert_eq!(config(&output)["quantization"]["bits"], 4);
    quantize(&golden("qwen3-tied"), &output, &["--bits", "8", "--overwrite"]).json();
    assert_eq!(config(&output)["quantization"]["bits"], 8);
    assert_eq!(names(folder.path()), ["out"]);
}
