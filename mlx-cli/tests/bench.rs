// SPDX-License-Identifier: EUPL-1.2
//! `mlx bench`

use serde_json::Value;

use crate::support::{golden, keys, mlx, qwen};

/// Checks one entry, and returns its test and depth.
fn entry(value: &Value) -> (String, u64) {
    assert_eq!(keys(value), ["depth", "peak_memory_bytes", "test", "tokens_per_second"]);
    let rates = &value["tokens_per_second"];
    assert_eq!(keys(rates), ["max", "median", "min"]);
    let rate = |key: &str| rates[key].as_f64().unwrap();
    assert!(0.0 < rate("min") && rate("min") <= rate("median") && rate("median") <= rate("max"), "{value}");
    assert!(value["peak_memory_bytes"].as_u64().unwrap() > 0);
    (value["test"].as_str().unwrap().to_owned(), value["depth"].as_u64().unwrap())
}

#[test]
fn json_is_a_list_of_measurements() {
    let args = ["bench", "--model", &qwen(), "-p", "16,33", "-n", "4", "-d", "0,20", "-r", "2", "--json"];
    let list = mlx(&args).json();
    let found: Vec<(String, u64)> = list.as_array().unwrap().iter().map(entry).collect();
    let expected = [("pp16", 0), ("pp33", 0), ("tg4", 0), ("pp16", 20), ("pp33", 20), ("tg4", 20)];
    assert_eq!(found, expected.map(|(test, depth)| (test.to_owned(), depth)));
}

#[test]
fn a_checkpoint_with_windows_is_measured_past_them() {
    let list = mlx(&[
        "bench",
        "--model",
        &golden("gemma3-window"),
        "-p",
        "20",
        "-n",
        "3",
        "-d",
        "40",
        "-r",
        "1",
        "--json",
    ]);
    assert_eq!(list.json().as_array().unwrap().iter().map(entry).count(), 2);
}

#[test]
fn the_table_has_a_line_for_each_test() {
    let table = mlx(&["bench", "--model", &qwen(), "-p", "8", "-n", "2", "-r", "1"]).text();
    let firsts: Vec<&str> = table.lines().map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(firsts, ["test", "pp8", "tg2"]);
}

#[test]
fn a_checkpoint_is_measured_quantised() {
    let bench = |bits: &str| {
        mlx(&[
            "bench",
            "--model",
            &golden("qwen3-tied"),
            "--quantize",
            bits,
            "-p",
            "8",
            "-n",
            "2",
            "-r",
            "1",
            "--json",
        ])
        .json()
    };
    let memory = |list: serde_json::Value| list[1]["peak_memory_bytes"].as_u64().unwrap();
    let (four, eight) = (memory(bench("4")), memory(bench("8")));
    assert!(four < eight, "{four} bytes in 4 bits, {eight} in 8");
    mlx(&["bench", "--model", &qwen(), "--quantize", "4"]).fails(1, &["model.embed_tokens", "64"]);
    mlx(&["bench", "--model", &golden("qwen3-tied-4bit"), "--quantize", "4"]).fails(1, &["already"]);
}

#[test]
fn what_cannot_be_measured_is_wrong_usage() {
    mlx(&["bench"]).fails(2, &["--model", "--preset"]);
    mlx(&["bench", "--preset", "gpt-2"]).fails(2, &["gpt-2", "qwen3-0.6b", "gemma3-1b"]);
    mlx(&["bench", "--preset", "qwen3-0.6b", "--model", "x"]).fails(2, &["--preset", "--model"]);
    mlx(&["bench", "--preset", "qwen3-0.6b", "--quantize", "3"]).fails(2, &["--quantize", "3"]);
    mlx(&["bench", "--model", &qwen(), "-r", "0"]).fails(2, &["-r"]);
    mlx(&["bench", "--model", &qwen(), "-n", "1"]).fails(2, &["-n"]);
    mlx(&["bench", "--model", &qwen(), "-p", "1,a"]).fails(2, &["-p", "'a'"]);
    mlx(&["bench", "--model", &qwen(), "-d", "-5"]).fails(2, &["-d", "'-5'"]);
    mlx(&["bench", "--model", &qwen(), "-p", "2000"]).fails(2, &["pp2000", "1024"]);
    mlx(&["bench", "--model", "no/such"]).fails(1, &["no/such"]);
}
