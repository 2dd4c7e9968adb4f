// SPDX-License-Identifier: EUPL-1.2
//! Wrong usage: exit code 2, and one line that names the argument.

use std::fs::File;
use std::process::Stdio;

use crate::support::{command, mlx, qwen};

#[test]
fn without_a_model_every_command_says_how_to_name_one() {
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
        mlx(args).fails(2, &["no model", "--model DIR"]);
    }
}

#[test]
fn flags_outside_their_domain_are_named() {
    for (flag, value, part) in [
        ("--temperature", "-1", "found -1"),
        ("--temperature", "NaN", "NaN"),
        ("--temperature", "inf", "inf"),
        ("--temperature", "hot", "hot"),
        ("--top-p", "1.5", "0 to 1, found 1.5"),
        ("--top-p", "-0.1", "found -0.1"),
        ("--min-p", "2", "0 to 1, found 2"),
        ("--top-k", "-1", "-1"),
        ("--top-k", "1.5", "1.5"),
        ("--repetition-penalty", "0", "above 0, found 0"),
        ("--presence-penalty", "nan", "NaN"),
        ("--frequency-penalty", "inf", "inf"),
        ("--max-tokens", "-1", "-1"),
        ("--max-tokens", "many", "many"),
        ("--seed", "1.5", "1.5"),
        ("--stop", "", "at least one character"),
        ("--prompt-ids", "1,,2", "\"\" is not a token id"),
        ("--prompt-ids", "1,-2", "\"-2\" is not a token id"),
        ("--prompt-ids", "4294967296", "4294967296"),
    ] {
        let prompt = if flag == "--prompt-ids" { &[][..] } else { &["--prompt", "x"] };
        mlx(&[&["generate", "--model", &qwen(), flag, value], prompt].concat()).fails(2, &[flag, part]);
    }
    mlx(&["chat", "--model", &qwen(), "--temperature", "-1"]).fails(2, &["--temperature"]);
}

#[test]
fn flags_that_exclude_each_other_are_named() {
    for args in [
        &["generate", "--prompt", "x", "--prompt-ids", "1"][..],
        &["generate", "--prompt", "x", "--system", "y", "--raw"],
        &["tokenize", "--prompt", "x", "--decode", "1"],
        &["tokenize", "--messages", "x", "--decode", "1"],
    ] {
        mlx(&[args, &["--model", &qwen()]].concat()).fails(2, &["cannot be used with"]);
    }
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    mlx(&["logits", "--model", &qwen(), "--prompt-ids", "1"]).fails(2, &["--output"]);
    mlx(&["logits", "--model", &qwen(), "--output", "x"]).fails(2, &["--prompt-ids"]);
    mlx(&["generate", "--modle", "x"]).fails(2, &["--modle", "--model"]);
    mlx(&["genrate"]).fails(2, &["genrate", "generate"]);
    let outcome = mlx(&[]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""));
    assert!(outcome.err.contains("Usage: mlx") && outcome.err.contains("tokenize"), "{outcome:?}");
}

#[test]
fn help_and_version_go_to_standard_output() {
    assert!(mlx(&["--version"]).text().starts_with("mlx 0."));
    let help = mlx(&["--help"]).text();
    for command in ["generate", "chat", "tokenize", "logits", "info", "bench", "quantize", "perplexity"] {
        assert!(help.contains(command), "{help}");
        assert!(mlx(&[command, "--help"]).text().contains("--model <DIR>"));
    }
    let generate = mlx(&["generate", "--help"]).text();
    for flag in [
        "--prompt",
        "--prompt-ids",
        "--system",
        "--raw",
        "--max-tokens",
        "--temperature",
        "--top-k",
        "--top-p",
    ] {
        assert!(generate.contains(flag), "{flag}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_standard_output_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let child = command(&["tokenize", "--model", &qwen(), "--prompt", "x"])
        .stdin(Stdio::null())
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(
        err.starts_with("error: standard output: No space left on device") && err.lines().count() == 1,
        "{err}"
    );
}

#[test]
fn variables_that_cannot_be_obeyed_are_one_error_that_names_them() {
    for (name, value) in [("MLX_CPU_ISA", "sse9"), ("MLX_CPU_THREADS", "many"), ("MLX_CPU_KERNELS", "yes")] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mlx"))
            .args(["info", "--model", "nowhere"])
            .env(name, value)
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(name) && message.contains(value), "{message}");
        assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    }
}
