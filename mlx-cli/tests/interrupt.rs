// SPDX-License-Identifier: EUPL-1.2
//! Ctrl-C.

#![cfg(unix)]

use std::fs;
use std::io::{BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::support::{Copy, command, safetensors};

/// A checkpoint that talks for as long as it is let.
fn endless() -> Copy {
    Copy::of("tiny-chat-qwen3")
        .json("config.json", |config| config["max_position_embeddings"] = 50_000_000.into())
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

/// Waits until the process has computed for a second, which is far more than starting takes.
#[cfg(target_os = "linux")]
fn until_it_is_at_work(child: &Child) {
    loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        // Behind the name in parentheses, the twelfth field is the time spent, in hundredths of a second.
        let spent = stat.rsplit(')').next().unwrap().split_whitespace().nth(11).unwrap();
        if spent.parse::<u64>().unwrap() >= 100 {
            return;
        }
        std::thread::yield_now();
    }
}

const ENDLESS: [&str; 6] =
    ["--prompt", "Count to ten.", "--ignore-eos", "--max-tokens", "50000000", "--model"];

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
    assert!(
        err.contains("ended by: cancelled") && err.contains("tokens/s") && !err.contains("error"),
        "{err}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn json_tells_what_there_is() {
    let copy = endless();
    let child = start(&[&["generate", "--json"][..], &ENDLESS, &[copy.path()]].concat());
    until_it_is_at_work(&child);
    interrupt(&child);
    let (code, out, err) = end(child);
    assert_eq!((code, err.as_str()), (Some(130), ""));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["finish_reason"], "cancelled");
    assert_eq!(report["generated_tokens"], report["token_ids"].as_array().unwrap().len());
}

#[test]
fn an_answer_in_a_chat_is_broken_off() {
    let copy = endless();
    // Nobody will say that this answer is over: the template ends no turn, and the model knows no end.
    let copy = copy.json("generation_config.json", |config| config["eos_token_id"] = 0.into());
    let copy = copy.json("config.json", |config| config["eos_token_id"] = 0.into());
    let copy = copy.json("tokenizer_config.json", |config| config["eos_token"] = Value::Null);
    let mut child = start(&["chat", "--model", copy.path(), "--max-tokens", "50000000"]);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"Count to ten.\nWho are you?\n").unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = vec![0; 8];
    out.read_exact(&mut text).unwrap();
    interrupt(&child);
    out.read_to_end(&mut text).unwrap();
    let (code, _, err) = end(child);
    // Nobody is at a terminal to ask something else, so the second line is not answered.
    assert_eq!(code, Some(130), "{err}");
    assert_eq!(err.matches("ended by: cancelled").count(), 1, "{err}");
    assert!(String::from_utf8(text).unwrap().ends_with('\n'));
}

#[test]
#[cfg(target_os = "linux")]
fn waiting_for_input_ends_at_once() {
    for args in [&["generate", "--model", "x"][..], &["tokenize", "--model", "x"]] {
        let child = start(args);
        until_signal_is_taken(&child);
        interrupt(&child);
        assert_eq!(end(child), (Some(130), String::new(), String::new()));
    }
}

/// Arguments for logits that take a second or so.
fn long_logits<'a>(copy: &'a Copy, ids: &'a str, output: &'a str) -> [&'a str; 7] {
    ["logits", "--model", copy.path(), "--prompt-ids", ids, "--output", output]
}

#[test]
#[cfg(target_os = "linux")]
fn no_file_is_begun_when_logits_are_interrupted() {
    let copy = endless();
    let folder = tempfile::tempdir().unwrap();
    let (ids, output) = (vec!["1"; 3000].join(","), folder.path().join("logits.safetensors"));
    let child = start(&long_logits(&copy, &ids, output.to_str().unwrap()));
    until_signal_is_taken(&child);
    interrupt(&child);
    assert_eq!(end(child), (Some(130), String::new(), String::new()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_that_is_begun_is_finished() {
    let copy = endless();
    let folder = tempfile::tempdir().unwrap();
    let (ids, output) = (vec!["1"; 200].join(","), folder.path().join("logits.pipe"));
    // A pipe shows how far the writing is: it holds less than the file has.
    assert!(Command::new("mkfifo").arg(&output).status().unwrap().success());
    let child = start(&long_logits(&copy, &ids, output.to_str().unwrap()));
    let mut pipe = fs::File::open(&output).unwrap();
    let mut bytes = vec![0; 8];
    pipe.read_exact(&mut bytes).unwrap();
    interrupt(&child);
    pipe.read_to_end(&mut bytes).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    assert_eq!(bytes.len(), 8 + header + 200 * 480 * 4);
    assert_eq!(end(child).0, Some(130));
}

#[test]
#[cfg(target_os = "linux")]
fn a_checkpoint_that_is_half_written_goes_when_it_is_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let copy = large();
    let args = ["quantize", "--model", copy.path(), "--output", output.to_str().unwrap(), "--dequantize"];
    let child = start(&args);
    // As soon as there is a temporary directory, the writing has begun.
    while fs::read_dir(folder.path()).unwrap().count() == 0 {
        assert!(fs::metadata(format!("/proc/{}/fd", child.id())).is_ok(), "the process has ended");
        std::thread::yield_now();
    }
    interrupt(&child);
    assert_eq!(end(child), (Some(130), String::new(), String::new()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A checkpoint that takes a while to write: a packed embedding of 40 MB that is a quarter of a gigabyte in full.
#[cfg(target_os = "linux")]
fn large() -> Copy {
    const ROWS: usize = 1 << 20;
    let copy = Copy::of("qwen3-tied-4bit").json("config.json", |config| config["vocab_size"] = ROWS.into());
    let (mut header, data) = safetensors(&copy.file("model.safetensors"));
    let mut bytes = Vec::new();
    for (name, info) in header.as_object_mut().unwrap() {
        let Some(offsets) = info.get("data_offsets").and_then(Value::as_array) else { continue };
        let offset = |i: usize| offsets[i].as_u64().unwrap() as usize;
        let (first, last, begin) = (offset(0), offset(1), bytes.len());
        if name.contains("embed_tokens") {
            let rows = info["shape"][0].as_u64().unwrap() as usize;
            bytes.resize(begin + (last - first) / rows * ROWS, 0);
            info["shape"][0] = ROWS.into();
        } else {
            bytes.extend(&data[first..last]);
        }
        info["data_offsets"] = serde_json::json!([begin, bytes.len()]);
    }
    let json = serde_json::to_vec(&header).unwrap();
    copy.write("model.safetensors", [&(json.len() as u64).to_le_bytes()[..], &json, &bytes].concat())
}
