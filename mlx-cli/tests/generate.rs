// SPDX-License-Identifier: EUPL-1.2
//! `mlx generate`

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{command, gemma, golden, integers, keys, listed, mlx, mlx_reading, qwen};

const QUESTION: &str = "What colour is grass?";

#[test]
fn both_families_answer() {
    for (model, question, answer) in [
        (qwen(), QUESTION, "Grass is green.\n"),
        (gemma(), QUESTION, "Grass is green.\n"),
        (qwen(), "What is MLX?", "MLX is an array framework for machine learning, made by Apple.\n"),
        (gemma(), "What is the capital of Austria?", "The capital of Austria is Vienna.\n"),
    ] {
        let outcome = mlx(&["generate", "--model", &model, "--prompt", question]);
        assert!(outcome.err.contains("tokens/s") && outcome.err.contains("ended by: stop"), "{outcome:?}");
        assert_eq!(outcome.text(), answer);
    }
}

#[test]
fn letters_of_several_tokens_arrive_whole() {
    let question = "How do you say good morning in German?";
    for model in [qwen(), gemma()] {
        let text = mlx(&["generate", "--model", &model, "--prompt", question]).text();
        assert_eq!(text, "Guten Morgen! And for a nice day: Schönen Tag. 🌞\n");
    }
}

#[test]
fn json_has_the_fields_of_the_design() {
    let report = mlx(&["generate", "--model", &qwen(), "--prompt", QUESTION, "--json"]).json();
    assert_eq!(
        keys(&report),
        [
            "decode_tps",
            "finish_reason",
            "generated_tokens",
            "load_s",
            "peak_memory_bytes",
            "prefill_tps",
            "prompt_tokens",
            "text",
            "time_to_first_token_s",
            "token_ids"
        ]
    );
    assert_eq!(report["text"], "Grass is green.");
    assert_eq!(report["finish_reason"], "stop");
    let ids = report["token_ids"].as_array().unwrap();
    assert_eq!(report["generated_tokens"], ids.len());
    assert_eq!(ids.last(), Some(&Value::from(479)), "the last one ends the text");
    for figure in
        ["load_s", "time_to_first_token_s", "prefill_tps", "decode_tps", "peak_memory_bytes", "prompt_tokens"]
    {
        assert!(report[figure].as_f64().unwrap() > 0.0, "{figure}: {report}");
    }
}

#[test]
fn ids_need_no_tokenizer_and_text_is_null_then() {
    let dir = golden("qwen3-tied");
    let reference = Path::new(&dir).join("reference.safetensors");
    let prompt = listed(&integers(&reference, "input_ids"));
    let expected = integers(&reference, "greedy");
    let count = expected.len().to_string();
    let args = ["generate", "--model", &dir, "--prompt-ids", &prompt, "--max-tokens", &count, "--ignore-eos"];
    let report = mlx(&[&args[..], &["--json"]].concat()).json();
    assert_eq!(report["text"], Value::Null);
    assert_eq!(report["token_ids"], Value::from(expected.clone()));
    assert_eq!(report["finish_reason"], "length");
    assert_eq!(mlx(&args).text(), format!("{}\n", listed(&expected)));
}

#[test]
fn one_token_has_no_decode_rate() {
    let args = ["generate", "--model", &qwen(), "--prompt", QUESTION, "--max-tokens", "1", "--json"];
    let report = mlx(&args).json();
    assert_eq!(report["decode_tps"], Value::Null);
    assert_eq!(
        (&report["generated_tokens"], &report["finish_reason"]),
        (&Value::from(1), &Value::from("length"))
    );
    let none =
        mlx(&["generate", "--model", &qwen(), "--prompt", QUESTION, "--max-tokens", "0", "--json"]).json();
    assert_eq!((&none["generated_tokens"], &none["text"]), (&Value::from(0), &Value::from("")));
}

#[test]
fn the_prompt_may_come_on_standard_input() {
    let typed = mlx(&["generate", "--model", &qwen(), "--prompt", QUESTION, "--json"]).json();
    for input in [QUESTION.to_owned(), format!("{QUESTION}\n"), format!("{QUESTION}\r\n")] {
        let read = mlx_reading(&["generate", "--model", &qwen(), "--json"], input.as_bytes()).json();
        assert_eq!((&read["text"], &read["prompt_tokens"]), (&typed["text"], &typed["prompt_tokens"]));
    }
}

#[test]
fn raw_text_goes_in_as_it_is() {
    let prompt = "<|im_start|>user\nWhat colour is grass?<|im_end|>\n<|im_start|>assistant\n";
    let args = ["generate", "--model", &qwen(), "--raw"];
    assert_eq!(mlx(&[&args[..], &["--prompt", prompt]].concat()).text(), "Grass is green.\n");
    // With --raw the line end at the end belongs to the text.
    assert_eq!(mlx_reading(&args, prompt.as_bytes()).text(), "Grass is green.\n");
    let rendered = mlx(&["generate", "--model", &qwen(), "--prompt", QUESTION, "--json"]).json();
    let raw = mlx(&["generate", "--model", &qwen(), "--prompt", QUESTION, "--raw", "--json"]).json();
    assert!(raw["prompt_tokens"].as_u64() < rendered["prompt_tokens"].as_u64());
}

#[test]
fn a_system_message_comes_before_the_prompt() {
    let args = ["generate", "--model", &qwen(), "--prompt", QUESTION, "--json"];
    let plain = mlx(&args).json();
    let more = mlx(&[&args[..], &["--system", "Be brief."]].concat()).json();
    assert!(more["prompt_tokens"].as_u64() > plain["prompt_tokens"].as_u64());
}

#[test]
fn stop_strings_end_the_text_before_them() {
    let args = ["generate", "--model", &qwen(), "--prompt", QUESTION];
    let outcome = mlx(&[&args[..], &["--stop", "purple", "--stop", " green"]].concat());
    assert!(outcome.err.contains("ended by: stop"));
    assert_eq!(outcome.text(), "Grass is\n");
    // What might have become a stop string, and did not, is shown in the end.
    assert_eq!(mlx(&[&args[..], &["--stop", "green!"]].concat()).text(), "Grass is green.\n");
}

#[test]
fn end_of_sequence_can_be_ignored() {
    let args = [
        "generate",
        "--model",
        &qwen(),
        "--prompt",
        QUESTION,
        "--max-tokens",
        "40",
        "--json",
        "--ignore-eos",
    ];
    let report = mlx(&args).json();
    assert_eq!(
        (&report["generated_tokens"], &report["finish_reason"]),
        (&Value::from(40), &Value::from("length"))
    );
}

#[test]
fn a_seed_makes_draws_repeatable() {
    let run = |seed| {
        let args =
            ["generate", "--model", &qwen(), "--prompt", "x", "--temperature", "1.5", "--max-tokens", "20"];
        mlx(&[&args[..], &["--seed", seed, "--ignore-eos", "--json"]].concat()).json()["token_ids"].clone()
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

#[test]
fn every_sampling_flag_is_heard() {
    let base = ["generate", "--model", &qwen(), "--prompt", QUESTION, "--json", "--seed", "3"];
    let text = |more: &[&str]| mlx(&[&base[..], more].concat()).json()["text"].clone();
    let greedy = text(&[]);
    // A hot draw from the best token alone is the best token.
    for only_the_best in [["--top-k", "1"], ["--top-p", "0"], ["--min-p", "1"]] {
        assert_eq!(text(&[&["--temperature", "5"], &only_the_best[..]].concat()), greedy);
    }
    assert_ne!(text(&["--temperature", "5"]), greedy);
    // Penalties that leave no token twice.
    for penalty in ["--repetition-penalty", "--presence-penalty", "--frequency-penalty"] {
        let report =
            mlx(&[&base[..], &[penalty, "1000", "--ignore-eos", "--max-tokens", "60"]].concat()).json();
        let ids: Vec<u64> =
            report["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
        let mut distinct = ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), ids.len(), "{penalty}: {ids:?}");
    }
}

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    let args = ["generate", "--model", &qwen(), "--prompt", QUESTION, "--max-tokens", "900", "--ignore-eos"];
    let mut child =
        command(&args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut [0; 1]).unwrap();
    drop(out);
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{err}");
    assert!(!err.contains("error") && !err.contains("panicked"), "{err}");
}
