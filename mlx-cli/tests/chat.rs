// SPDX-License-Identifier: EUPL-1.2
//! `mlx chat`, with lines from a pipe.

use crate::support::{gemma, golden, mlx, mlx_reading, qwen};

/// How many tokens of each prompt were in the cache, by the figures on standard error.
fn cached(err: &str) -> Vec<usize> {
    let lines = err.lines().filter(|line| line.starts_with("prompt:"));
    lines
        .map(|line| {
            let end = line.find(" of them cached").unwrap_or(0);
            let digits: String = line[..end].chars().rev().take_while(char::is_ascii_digit).collect();
            digits.chars().rev().collect::<String>().parse().unwrap_or(0)
        })
        .collect()
}

#[test]
fn each_line_is_answered() {
    let input = b"What colour is grass?\n\n/reset\nWhat is the capital of Italy?\n/exit\nWho are you?\n";
    for model in [qwen(), gemma()] {
        let outcome = mlx_reading(&["chat", "--model", &model], input);
        assert_eq!(outcome.text(), "Grass is green.\nThe capital of Italy is Rome.\n");
    }
}

#[test]
fn the_conversation_is_remembered_and_not_computed_again() {
    let input = b"What colour is grass?\nWhat colour is the sky?\n/reset\nWhat colour is grass?\n";
    let outcome = mlx_reading(&["chat", "--model", &qwen(), "--max-tokens", "20"], input);
    let cached = cached(&outcome.err);
    assert_eq!(cached.len(), 3, "{}", outcome.err);
    // The second prompt holds the first with its answer; the last begins as the first did.
    assert!(cached[0] == 0 && cached[1] > 20, "{}", outcome.err);
    let out = outcome.text();
    assert!(out.starts_with("Grass is green.\n") && out.ends_with("Grass is green.\n"), "{out}");
}

#[test]
fn other_instructions_begin_another_conversation() {
    let outcome =
        mlx_reading(&["chat", "--model", &qwen()], b"Hello!\n/system Be brief.\nHello!\n/system\nHello!\n");
    let tokens: Vec<&str> = outcome
        .err
        .lines()
        .filter_map(|line| line.strip_prefix("prompt:")?.trim().split(' ').next())
        .collect();
    assert_eq!(tokens.len(), 3, "{outcome:?}");
    assert_eq!(tokens[0], tokens[2]);
    assert!(tokens[1].parse::<usize>().unwrap() > tokens[0].parse().unwrap(), "{tokens:?}");
}

#[test]
fn an_unknown_command_is_no_message() {
    let outcome = mlx_reading(&["chat", "--model", &qwen()], b"/quit\n");
    assert!(outcome.err.contains("/quit is no command"), "{outcome:?}");
    assert_eq!(outcome.text(), "");
}

#[test]
fn a_checkpoint_that_cannot_chat_says_so() {
    mlx(&["chat", "--model", &golden("qwen3-tied")]).fails(1, &["tokenizer"]);
    mlx_reading(&["chat", "--model", &qwen()], b"\xff\n").fails(1, &["not UTF-8"]);
}
