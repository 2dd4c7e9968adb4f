// SPDX-License-Identifier: EUPL-1.2
//! Ctrl-C.

#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Copy, command};

/// A checkpoint that talks for as long as it is let.
fn endless() -> Copy {
    Copy::of("tiny-chat-qwen3").json("config.json", |config| config["max_position_embeddings"] = 50_000_000.into())
}

fn start(args: &[&str]) -> Child {
    command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends the signal that Ctrl-C sends, to this process alone.
fn interrupt(child: &Child) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
    assert!(status.success());
}

/// Waits for the end: exit code, the rest of standard output, standard error.
fn end(mut child: Child) -> (Option<i32>, String, String) {
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().map(|mut pipe| pipe.read_to_string(&mut out).unwrap());
    child.stderr.take().map(|mut pipe| pipe.read_to_string(&mut err).unwrap());
    (child.wait().unwrap().code(), out, err)
}

/// Waits until the process has taken over the signal, which the system says.
#[cfg(target_os = "linux")]
fn until_signal_is_taken(child: &Child) {
    const SIGINT_BIT: u64 = 1 << 1;
    loop {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        if u64::from_str_radix(caught.trim(), 16).unwrap() & SIGINT_BIT != 0 {
            return;
        }
        std::thread::yield_now();
    }
}

const ENDLESS: [&str; 6] = ["--prompt", "Count to ten.", "--ignore-eos", "--max-tokens", "50000000", "--model"];

#[test]
fn generation_ends_cleanly_with_figures() {
    let copy = endless();
    let mut child = start(&[&["generate"][..], &ENDLESS, &[copy.path()]].concat());
    let mut out = child.stdout.take().unwrap();
    let mut first = [0; 16];
    out.read_exact(&mut first).unwrap();
    interrupt(&child);
    let mut text = first.to_vec();
    out.read_to_end(&mut text).unwrap();
    let (code, _, err) = end(child);
    assert_eq!(code, Some(130), "{err}");
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("One, two, three,") && text.ends_with('\n'), "{text:?}");
    assert!(err.contains("ended by: cancelled") && err.contains("tokens/s") && !err.contains("error"), "{err}");
}

#[test]
fn json_tells_what_there_is() {
    let copy = endless();
    let mut child = start(&[&["generate", "--json"][..], &ENDLESS, &[copy.path()]].concat());
    // With --json nothing is printed before the end; the messages of a chat would be, so a look at the time is all
    // that is left: the process is interrupted as soon as it has made 0.2 s of work.
    wait_for_work(&child);
    interrupt(&child);
    let code_and_rest = end_with_stdout(&mut child);
    assert_eq!(code_and_rest.0, Some(130));
    let report: Value = serde_json::from_str(&code_and_rest.1).unwrap();
    assert_eq!(report["finish_reason"], "cancelled");
    assert_eq!(report["generated_tokens"], report["token_ids"].as_array().unwrap().len());
}
