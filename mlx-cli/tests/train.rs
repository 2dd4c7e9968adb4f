// SPDX-License-Identifier: EUPL-1.2
//! `mlx train` and `mlx fuse`

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Outcome, command, floats, golden, keys, mlx, qwen, safetensors};

/// A folder with data on which a tiny model can learn something new.
fn data() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let record = |colour: &str| {
        json!({ "messages": [
            { "role": "user", "content": format!("What is the capital of {colour}?") },
            { "role": "assistant", "content": "Paris is blue." },
        ]})
        .to_string()
    };
    let lines: Vec<String> = ["France", "Paris", "the sky", "blue", "water", "wet"].map(record).into();
    fs::write(folder.path().join("train.jsonl"), lines.join("\n")).unwrap();
    fs::write(folder.path().join("valid.jsonl"), record("France")).unwrap();
    folder
}

/// Runs the command on that data.
fn train(data: &Path, output: &Path, args: &[&str]) -> Outcome {
    let (data, output) = (data.to_str().unwrap(), output.to_str().unwrap());
    let model = qwen();
    let fixed = ["train", "--model", &model, "--data", data, "--output", output];
    let batch: &[&str] = if args.contains(&"--batch-size") { &[] } else { &["--batch-size", "2"] };
    mlx(&[&fixed, batch, args].concat())
}

const QUESTION: &str = "What is the capital of France?";

#[test]
fn an_adapter_changes_the_answer_and_so_does_the_checkpoint_it_is_fused_into() {
    let data = data();
    let output = data.path().join("a run");
    let args = ["--steps", "150", "--learning-rate", "0.001", "--scale", "4", "--batch-size", "6", "--json"];
    let outcome = train(data.path(), &output, &args);
    assert!(outcome.err.contains("6 training examples, 1 for validation"), "{outcome:?}");
    let report = outcome.json();
    let expected = [
        "best_step",
        "best_valid_loss",
        "end",
        "loss",
        "output",
        "peak_memory_bytes",
        "seconds",
        "step",
        "tokens",
    ];
    assert_eq!(keys(&report), expected);
    assert_eq!((&report["end"], &report["step"]), (&json!("finished"), &json!(150)));
    assert!(report["loss"].as_f64().unwrap() < 1.0, "{report}");
    for file in ["adapters.safetensors", "adapter_config.json", "log.jsonl", "loss.svg"] {
        assert!(output.join(file).is_file(), "{file}");
    }

    let (model, adapter) = (qwen(), output.to_str().unwrap().to_owned());
    let ask = |args: &[&str]| mlx(&[&["generate", "--prompt", QUESTION, "--model"], args].concat()).text();
    assert_eq!(ask(&[&model]), "The capital of France is Paris.\n");
    assert_eq!(ask(&[&model, "--adapter", &adapter]), "Paris is blue.\n");

    let fused = data.path().join("fused");
    let fused = fused.to_str().unwrap();
    let fuse = ["fuse", "--model", &model, "--adapter", &adapter, "--output", fused];
    assert_eq!(keys(&mlx(&[&fuse[..], &["--json"]].concat()).json()), ["bytes", "files", "output"]);
    assert_eq!(ask(&[fused]), "Paris is blue.\n");
    mlx(&fuse).fails(1, &["fused"]);
    mlx(&[&fuse[..], &["--overwrite"]].concat()).text();
}

#[test]
fn all_weights_are_trained_into_a_checkpoint_with_its_tokenizer() {
    let data = data();
    let output = data.path().join("run");
    let args = ["--method", "full", "--steps", "30", "--learning-rate", "0.003"];
    train(data.path(), &output, &args).text();
    let model = output.join("model");
    let answer = mlx(&["generate", "--prompt", QUESTION, "--model", model.to_str().unwrap()]).text();
    assert_eq!(answer, "Paris is blue.\n");
}

#[test]
fn configurations_in_toml_yaml_and_json_say_the_same() {
    let data = data();
    let texts = [
        (
            "toml",
            "data = \".\"\nsteps = 2\nbatch_size = 2\nlog_every = 1\n[adapter]\nrank = 2\nkeys = [\"q_proj\"]\n",
        ),
        (
            "yaml",
            "data: .\niters: 2\nbatch_size: 2\nsteps_per_report: 1\nlora_parameters:\n  rank: 2\n  keys: [q_proj]\n",
        ),
        (
            "json",
            r#"{"data": ".", "iters": 2, "batch_size": 2, "log_every": 1, "adapter": {"rank": 2, "keys": ["q_proj"]}}"#,
        ),
    ];
    let mut weights = Vec::new();
    for (kind, text) in texts {
        let config = data.path().join(format!("run.{kind}"));
        fs::write(&config, text).unwrap();
        let output = data.path().join(kind);
        let (config, output) = (config.to_str().unwrap(), output.to_str().unwrap());
        mlx(&["train", "--config", config, "--model", &qwen(), "--output", output]).text();
        let log = fs::read_to_string(format!("{output}/log.jsonl")).unwrap();
        let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().filter(|line| line["event"] == "train").count(), 2, "{log}");
        weights.push(fs::read(format!("{output}/adapters.safetensors")).unwrap());
    }
    assert!(weights.iter().all(|other| *other == weights[0]));
}

#[test]
fn wrong_arguments_are_told_before_anything_is_written() {
    let data = data();
    let output = data.path().join("run");
    let told = |args: &[&str], code: i32, parts: &[&str]| {
        train(data.path(), &output, args).fails(code, parts);
        assert!(!output.join("adapters.safetensors").exists());
    };
    told(&["--rank", "0"], 2, &["rank", "found 0"]);
    told(&["--dropout", "1"], 2, &["dropout"]);
    told(&["--accumulate", "0"], 2, &["accumulate"]);
    told(&["--learning-rate", "-1"], 2, &[]);
    told(&["--steps", "0"], 2, &["steps"]);
    told(&["--steps", "1", "--epochs", "1"], 2, &["--epochs"]);
    told(&["--from-scratch"], 2, &["from_scratch"]);
    told(&["--config", "nowhere.toml"], 1, &["nowhere.toml"]);
    told(&["--layers", "99"], 1, &["layers", "99"]);
    told(&["--keys", "nothing"], 1, &["nothing"]);
    told(&["--adapter", "nowhere"], 1, &["nowhere"]);
    mlx(&["train", "--model", &qwen(), "--output", "x"]).fails(2, &["--data"]);
    mlx(&["train", "--model", &qwen(), "--data", "x"]).fails(2, &["--output"]);
    let config = data.path().join("run.toml");
    fs::write(&config, "stpes = 3").unwrap();
    told(&["--config", config.to_str().unwrap()], 1, &["run.toml", "stpes"]);
    fs::write(data.path().join("train.jsonl"), "{\"text\": \"a\"}\n{\"text\": 1}\n").unwrap();
    told(&[], 1, &["train.jsonl", "line 2"]);
    let packed = golden("qwen3-tied-4bit");
    let (data, out) = (data.path().to_str().unwrap(), output.to_str().unwrap());
    mlx(&["train", "--model", &packed, "--data", data, "--output", out]).fails(1, &["tokenizer"]);
}

#[test]
fn a_run_that_is_there_is_not_begun_again_by_accident() {
    let data = data();
    let output = data.path().join("run");
    train(data.path(), &output, &["--steps", "1"]).text();
    train(data.path(), &output, &["--steps", "1"]).fails(1, &["--resume"]);
    train(data.path(), &output, &["--steps", "1", "--resume", "--rank", "3"]).fails(1, &["another run"]);
    train(data.path(), &output, &["--steps", "3", "--resume"]).text();
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_if_it_had_not_been() {
    let data = data();
    let config = data.path().join("run.toml");
    fs::write(&config, "steps = 60\nsave_every = 2\neval_every = 5\naccumulate = 2\nlog_every = 3\n")
        .unwrap();
    let config = config.to_str().unwrap().to_owned();
    let args = ["--config", &config, "--dropout", "0.1", "--learning-rate", "0.002", "--resume"];
    let straight = data.path().join("straight");
    train(data.path(), &straight, &args).text();

    let broken = data.path().join("broken");
    let model = qwen();
    let fixed = ["train", "--model", &model, "--data", data.path().to_str().unwrap(), "--batch-size", "2"];
    let all = [&fixed[..], &["--output", broken.to_str().unwrap()], &args].concat();
    let mut killed = 0;
    for round in 0..20u64 {
        let mut child =
            command(&all).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(120 + (round * 97) % 400));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
    }
    assert!(killed > 0);
    train(data.path(), &broken, &args).text();
    for file in ["adapters.safetensors", "adapter_config.json"] {
        assert_eq!(fs::read(straight.join(file)).unwrap(), fs::read(broken.join(file)).unwrap(), "{file}");
    }
    // The log too, but for how long things took.
    let losses = |output: &Path| -> Vec<(u64, u64)> {
        let log = fs::read_to_string(output.join("log.jsonl")).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let valid = lines.filter(|line| line["event"] == "valid");
        valid.map(|l| (l["step"].as_u64().unwrap(), l["loss"].as_f64().unwrap().to_bits())).collect()
    };
    assert_eq!(losses(&straight), losses(&broken));
}

/// Two processes that share a run; nothing where one could not join the other, whose port was taken meanwhile.
fn two_processes(data: &Path, output: &Path, args: &[&str]) -> Option<()> {
    let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
    drop(listeners);
    let hosts = data.join("hosts.json");
    fs::write(&hosts, format!(r#"[["127.0.0.1:{}"], ["127.0.0.1:{}"]]"#, ports[0], ports[1])).unwrap();
    let model = qwen();
    let fixed = ["train", "--model", &model, "--data", data.to_str().unwrap()];
    let all = [&fixed[..], &["--output", output.to_str().unwrap(), "--batch-size", "4"], args].concat();
    let children = ["0", "1"].map(|rank| {
        let mut command = command(&all);
        command.env("MLX_HOSTFILE", &hosts).env("MLX_RANK", rank);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    });
    let ended = children.map(|child| child.wait_with_output().unwrap());
    let told = ended.each_ref().map(|ended| String::from_utf8_lossy(&ended.stderr).into_owned());
    if told.iter().any(|told| told.contains("distributed_init")) {
        return None;
    }
    assert!(ended.iter().all(|ended| ended.status.success()), "{told:?}");
    assert!(told[0].contains("6 training examples") && told[1].is_empty(), "{told:?}");
    Some(())
}

#[test]
fn two_processes_make_the_steps_of_one_with_the_same_batch() {
    let data = data();
    // Plain descent in small steps: what the sums' last bits differ by stays there.
    let config = data.path().join("run.toml");
    fs::write(&config, "optimizer = \"sgd\"\nlearning_rate = 0.001\nsteps = 4\n[adapter]\nrank = 4\n")
        .unwrap();
    let args = ["--config", config.to_str().unwrap()];
    let alone = data.path().join("alone");
    let one = [&args[..], &["--batch-size", "4"]].concat();
    let fixed = ["train", "--data", data.path().to_str().unwrap(), "--output", alone.to_str().unwrap()];
    mlx(&[&fixed[..], &["--model", &qwen()], &one].concat()).text();
    let together = data.path().join("together");
    let joined = (0..5).any(|_| two_processes(data.path(), &together, &args).is_some());
    assert!(joined, "no port was free for long enough");
    let path = |output: &Path| output.join("adapters.safetensors");
    let (header, _) = safetensors(&path(&alone));
    let (mut worst, mut moved) = (0.0f32, 0.0f32);
    for name in keys(&header).into_iter().filter(|name| *name != "__metadata__") {
        let [a, b] = [&alone, &together].map(|output| floats(&path(output), name).1);
        worst = a.iter().zip(&b).fold(worst, |worst, (a, b)| worst.max((a - b).abs()));
        if name.ends_with("lora_b") {
            moved = a.iter().fold(moved, |most, a| most.max(a.abs()));
        }
    }
    assert!(moved > 1e-4 && worst < 1e-5 * moved, "weights that moved by {moved} differ by {worst}");
}

#[test]
fn fuse_tells_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("fused");
    let output = output.to_str().unwrap();
    let model = golden("qwen3-tied");
    let fuse = |adapter: &str| mlx(&["fuse", "--model", &model, "--adapter", adapter, "--output", output]);
    fuse("nowhere").fails(1, &["nowhere"]);
    fuse(&golden("gemma3-window-lora")).fails(1, &["adapters.safetensors"]);
    assert!(!Path::new(output).exists());
    fuse(&golden("qwen3-tied-dora")).text();
    let ids = ["logits", "--prompt-ids", "1,2,3", "--output"];
    let (fused, adapted) = (folder.path().join("a"), folder.path().join("b"));
    mlx(&[&ids[..], &[fused.to_str().unwrap(), "--model", output]].concat()).text();
    let adapter = golden("qwen3-tied-dora");
    let args = [&ids[..], &[adapted.to_str().unwrap(), "--model", &model, "--adapter", &adapter]].concat();
    mlx(&args).text();
    let logits = |path: &Path| floats(path, "logits").1;
    let worst = logits(&fused).iter().zip(logits(&adapted)).fold(0.0f32, |d, (a, b)| d.max((a - b).abs()));
    assert!(worst < 1e-3, "{worst}");
}
