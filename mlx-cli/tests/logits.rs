// SPDX-License-Identifier: EUPL-1.2
//! `mlx logits`

use std::fs;
use std::path::Path;

use crate::support::{floats, golden, integers, listed, mlx, safetensors};

#[test]
fn logits_are_those_of_the_reference() {
    for (case, tolerance) in [("qwen3-tied", 1e-3), ("gemma3-window", 1e-3), ("qwen3-tied-4bit", 2e-3)] {
        let dir = golden(case);
        let reference = Path::new(&dir).join("reference.safetensors");
        let prompt = listed(&integers(&reference, "input_ids"));
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("logits.safetensors");
        let args = ["logits", "--model", &dir, "--prompt-ids", &prompt, "--output", output.to_str().unwrap()];
        let outcome = mlx(&args);
        assert!(outcome.err.contains("logits.safetensors"), "{outcome:?}");
        assert_eq!(outcome.text(), "");
        let (header, _) = safetensors(&output);
        assert_eq!(
            header.as_object().unwrap().keys().filter(|key| *key != "__metadata__").count(),
            1,
            "{header}"
        );
        let (shape, found) = floats(&output, "logits");
        let (expected_shape, expected) = floats(&reference, "logits");
        assert_eq!(shape, expected_shape);
        let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < tolerance, "{case}: {difference}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left beside the file");
    }
}

#[test]
fn an_existing_file_is_replaced_or_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("logits.safetensors");
    let run = |ids: &str| {
        let output = output.to_str().unwrap();
        mlx(&["logits", "--model", &golden("qwen3-tied"), "--prompt-ids", ids, "--output", output])
    };
    fs::write(&output, "precious").unwrap();
    run("1,320").fails(1, &["320", "320 tokens"]);
    assert_eq!(fs::read_to_string(&output).unwrap(), "precious");
    run("1,2").text();
    assert_eq!(floats(&output, "logits").0, [2, 320]);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error_that_names_it() {
    let dir = golden("qwen3-tied");
    let run = |output: &str| mlx(&["logits", "--model", &dir, "--prompt-ids", "1,2", "--output", output]);
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/logits.safetensors");
    run(missing.to_str().unwrap()).fails(1, &["missing/logits.safetensors", "No such file or directory"]);
    run(folder.path().to_str().unwrap()).fails(1, &[folder.path().to_str().unwrap(), "directory"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    if cfg!(target_os = "linux") {
        run("/dev/full").fails(1, &["/dev/full", "No space left on device"]);
        run("/proc/logits").fails(1, &["/proc/logits"]);
    }
}
