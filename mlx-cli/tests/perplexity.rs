// SPDX-License-Identifier: EUPL-1.2
//! `mlx perplexity`

use std::fs;

use serde_json::{Value, json};

use crate::support::{gemma, golden, keys, mlx, mlx_reading, qwen};

const TEXT: &str = "The capital of France is Paris.";

/// The figures for a text on standard input.
fn score(text: &str, args: &[&str]) -> Value {
    mlx_reading(&[&["perplexity", "--model", &qwen(), "--json"], args].concat(), text.as_bytes()).json()
}

#[test]
fn a_text_that_was_learnt_is_predicted_better_and_the_figures_fit_each_other() {
    let found = score(TEXT, &[]);
    let expected = [
        "bits_per_byte",
        "bytes",
        "load_s",
        "nats_per_token",
        "peak_memory_bytes",
        "perplexity",
        "standard_error",
        "stride",
        "texts",
        "tokens",
        "tokens_per_second",
        "window",
    ];
    assert_eq!(keys(&found), expected);
    let number = |key: &str| found[key].as_f64().unwrap();
    assert!((number("perplexity").ln() - number("nats_per_token")).abs() < 1e-12);
    let bits = number("nats_per_token") * number("tokens") / std::f64::consts::LN_2 / number("bytes");
    assert!((number("bits_per_byte") - bits).abs() < 1e-12);
    let other = score("Paris is France of capital the.", &[]);
    assert!(number("perplexity") < other["perplexity"].as_f64().unwrap());
    let table = mlx_reading(&["perplexity", "--model", &qwen()], TEXT.as_bytes()).text();
    for part in ["perplexity", " ± ", "a byte", "of 1 text, in windows of", "tokens/s"] {
        assert!(table.contains(part), "{table}");
    }
}

#[test]
fn texts_come_from_files_and_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let run = |args: &[&str]| mlx(&[&["perplexity", "--model", &qwen(), "--json"], args].concat()).json();
    let plain = run(&["--file", &file("a text.txt", TEXT)]);
    assert_eq!(plain["nats_per_token"], score(TEXT, &[])["nats_per_token"]);
    assert_eq!(run(&["--file", &file("bom.txt", &format!("\u{feff}{TEXT}"))])["tokens"], plain["tokens"]);
    let line = |text: &str| json!({ "text": text, "source": 7 }).to_string();
    let lines = format!("{}\n\n{}\r\n", line(TEXT), line("The sky is blue."));
    let both = run(&["--file", &file("texts.JSONL", &lines)]);
    assert_eq!(both["texts"], 2);
    let sky = score("The sky is blue.", &[]);
    let count = |found: &Value| found["tokens"].as_f64().unwrap();
    let total = |found: &Value| found["nats_per_token"].as_f64().unwrap() * count(found);
    assert_eq!(count(&both), count(&plain) + count(&sky));
    assert!((total(&both) - total(&plain) - total(&sky)).abs() < 1e-6);
    assert_eq!(score(&lines, &["--jsonl"])["nats_per_token"], both["nats_per_token"]);
    let limited = score(&lines, &["--jsonl", "--max-tokens", "3"]);
    assert_eq!((&limited["tokens"], &limited["texts"]), (&json!(3), &json!(1)));
}

#[test]
fn windows_are_those_that_were_asked_for() {
    let text = format!("{TEXT} The sky is blue.").repeat(4);
    let whole = score(&text, &[]);
    let cut = score(&text, &["--window", "16", "--stride", "4"]);
    assert_eq!((&cut["window"], &cut["stride"]), (&json!(16), &json!(4)));
    assert_eq!(whole["stride"], whole["window"].as_u64().unwrap() / 2);
    assert_eq!((&cut["tokens"], &cut["bytes"]), (&whole["tokens"], &whole["bytes"]));
    assert_ne!(cut["nats_per_token"], whole["nats_per_token"]);
    assert_eq!(score(&text, &["--window", "10"])["stride"], 5);
    let gemma = mlx_reading(&["perplexity", "--model", &gemma(), "--json"], text.as_bytes()).json();
    assert_eq!(gemma["bytes"], text.len());
}

#[test]
fn wrong_arguments_are_named() {
    for (args, parts) in [
        (&["--window", "1"][..], &["--window", "found 1"][..]),
        (&["--window", "1000000"], &["--window", "context", "found 1000000"]),
        (&["--window", "-1"], &["--window", "-1"]),
        (&["--stride", "0"], &["--stride", "found 0"]),
        (&["--window", "8", "--stride", "8"], &["--stride", "1 to 7", "found 8"]),
        (&["--max-tokens", "0"], &["--max-tokens", "found 0"]),
        (&["--max-tokens", "many"], &["--max-tokens", "many"]),
    ] {
        let model = qwen();
        let args = [&["perplexity", "--model", &model], args].concat();
        mlx_reading(&args, TEXT.as_bytes()).fails(2, parts);
    }
}

#[test]
fn input_that_cannot_be_scored_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = |input: &[u8], args: &[&str]| {
        mlx_reading(&[&["perplexity", "--model", &qwen()], args].concat(), input)
    };
    run(b"", &[]).fails(1, &["nothing to score"]);
    run(b"x", &[]).fails(1, &["nothing to score"]);
    run(b"\xff", &[]).fails(1, &["standard input", "UTF-8"]);
    run(b"{\"text\": \"a b\"}\n{\"txt\": 1}\n", &["--jsonl"])
        .fails(1, &["standard input", "line 2", "\"text\""]);
    run(b"{\"text\": 1}", &["--jsonl"]).fails(1, &["line 1", "\"text\""]);
    run(b"[]", &["--jsonl"]).fails(1, &["line 1", "\"text\""]);
    run(b"\n{", &["--jsonl"]).fails(1, &["line 2", "not valid JSON"]);
    run(b"", &["--jsonl"]).fails(1, &["nothing to score"]);
    run(b"", &["--file", "no/such/file"]).fails(1, &["no/such/file"]);
    run(b"", &["--file", folder.path().to_str().unwrap()]).fails(1, &["directory"]);
    let latin = folder.path().join("latin.txt");
    fs::write(&latin, b"caf\xe9").unwrap();
    run(b"", &["--file", latin.to_str().unwrap()]).fails(1, &["latin.txt", "not UTF-8 after 3 bytes"]);
    mlx_reading(&["perplexity", "--model", &golden("qwen3-tied")], b"x y").fails(1, &["tokenizer.json"]);
}
