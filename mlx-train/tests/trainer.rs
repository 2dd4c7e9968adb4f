// SPDX-License-Identifier: EUPL-1.2
//! Steps against Python's MLX, and against each other: however a step is computed, it is the same step.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mlx_core::io::load_safetensors;
use mlx_core::{Array, Dtype};
use mlx_models::{Model, load};
use mlx_train::config::{AdapterConfig, OptimizerConfig, OptimizerName, ScheduleName};
use mlx_train::data::{BatchOptions, Batches, Example};
use mlx_train::{End, Event, Method, TrainConfig, Trainer};

fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlx-models/tests/golden").join(case)
}

/// The largest difference between two sets of weights, as a share of the largest weight.
fn distance(found: &BTreeMap<String, Array>, expected: &BTreeMap<String, Array>) -> f32 {
    let mut worst = 0.0f32;
    for (path, expected) in expected {
        let numbers = |array: &Array| array.astype(Dtype::Float32).unwrap().to_vec::<f32>().unwrap();
        let (found, expected) = (numbers(&found[path]), numbers(expected));
        assert_eq!(found.len(), expected.len(), "{path}");
        for (found, expected) in found.iter().zip(&expected) {
            let d = (found - expected).abs() / expected.abs().max(1.0);
            worst = if d.is_nan() { f32::INFINITY } else { worst.max(d) };
        }
    }
    worst
}

/// Ten steps as `generate_steps.py` makes them.
fn against_python(name: &str, model: Model, config: TrainConfig) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/steps-{name}.safetensors"));
    let mut expected = load_safetensors(path).unwrap().tensors;
    let mut take = |name: &str| expected.remove(name).unwrap();
    let (ids, counts, losses) = (take("ids"), take("counts"), take("losses").to_vec::<f32>().unwrap());
    let width = usize::try_from(ids.shape()[1]).unwrap();
    let ids = ids.astype(Dtype::Uint32).unwrap().to_vec::<u32>().unwrap();
    let counts = counts.astype(Dtype::Uint8).unwrap().to_vec::<u8>().unwrap();
    let examples = ids.chunks(width).zip(counts.chunks(width - 1)).map(|(ids, counts)| {
        let mask = std::iter::once(false).chain(counts.iter().map(|&c| c == 1)).collect();
        Example::new(ids.to_vec(), mask).unwrap()
    });
    let options = BatchOptions { rows: 2, shuffle: false, ..Default::default() };
    let train = Batches::new(examples.collect(), options, 0).unwrap();
    let mut trainer = Trainer::new(model, config, train, None).unwrap();
    for (step, expected) in losses.iter().enumerate() {
        let found = trainer.step().unwrap().loss;
        let d = (found - expected).abs() / expected;
        assert!(d < 1e-4, "{name}: step {step}: {found} and not {expected}");
    }
    let d = distance(&trainer.trained(), &expected);
    assert!(d < 1e-4, "{name}: in the end, weights are off by {d}");
}

#[test]
fn ten_full_steps_agree_with_python() {
    let config = TrainConfig {
        method: Method::Full,
        steps: Some(10),
        learning_rate: 1e-3,
        optimizer_config: OptimizerConfig { weight_decay: Some(0.0), ..Default::default() },
        clip: 0.0,
        ..Default::default()
    };
    against_python("full", load(golden("qwen3-tied")).unwrap(), config);
}

#[test]
fn ten_lora_steps_agree_with_python() {
    for recompute in [false, true] {
        let mut model = load(golden("gemma3-window")).unwrap();
        model.load_adapter(golden("gemma3-window-lora")).unwrap();
        let config = TrainConfig {
            steps: Some(10),
            learning_rate: 5e-3,
            optimizer: OptimizerName::Adam,
            optimizer_config: OptimizerConfig { bias_correction: Some(true), ..Default::default() },
            clip: 0.5,
            recompute,
            ..Default::default()
        };
        against_python("lora", model, config);
    }
}

/// Examples of lengths from 5 to 24, whose answers follow from their prompts.
fn examples(count: u32) -> Vec<Example> {
    (0..count)
        .map(|i| {
            let length = 5 + (i * 7) % 20;
            let ids: Vec<u32> = (0..length).map(|j| 1 + (i * 31 + j * j * 17) % 190).collect();
            let mask = (0..length).map(|j| j >= 2 && (i + j) % 4 != 0).collect();
            Example::new(ids, mask).unwrap()
        })
        .collect()
}

fn batches(count: u32, options: BatchOptions) -> Batches {
    Batches::new(examples(count), options, 5).unwrap()
}

fn lora(config: TrainConfig) -> TrainConfig {
    TrainConfig {
        adapter: AdapterConfig { rank: 4, scale: 4.0, ..Default::default() },
        learning_rate: 2e-3,
        eval_every: 0,
        ..config
    }
}

/// The weights after some steps, and the losses on the way.
fn run(case: &str, config: TrainConfig, options: BatchOptions) -> (BTreeMap<String, Array>, Vec<f32>) {
    let model = load(golden(case)).unwrap();
    let steps = config.steps.unwrap();
    let mut trainer = Trainer::new(model, config, batches(12, options), None).unwrap();
    let losses = (0..steps).map(|_| trainer.step().unwrap().loss).collect();
    (trainer.trained(), losses)
}

#[test]
fn recomputed_blocks_packed_rows_and_small_parts_make_the_same_step() {
    for case in ["qwen3-tied", "gemma3-window", "qwen3-untied-yarn"] {
        let config = || lora(TrainConfig { steps: Some(3), ..Default::default() });
        let whole = BatchOptions { rows: 12, ..Default::default() };
        let (weights, losses) = run(case, config(), whole.clone());
        let same = |what: &str, (other, found): (BTreeMap<String, Array>, Vec<f32>)| {
            for (found, expected) in found.iter().zip(&losses) {
                assert!((found - expected).abs() < 1e-4 * expected, "{case}, {what}: {found}, {expected}");
            }
            let d = distance(&other, &weights);
            assert!(d < 1e-4, "{case}, {what}: off by {d}");
        };
        same("recomputed", run(case, TrainConfig { recompute: true, ..config() }, whole.clone()));
        let packed = BatchOptions { rows: 12, pack: Some(40), ..Default::default() };
        same("packed", run(case, config(), packed.clone()));
        same("packed and recomputed", run(case, TrainConfig { recompute: true, ..config() }, packed));
        let parts = BatchOptions { rows: 3, ..Default::default() };
        same("in four parts", run(case, TrainConfig { accumulate: 4, ..config() }, parts));
    }
}

#[test]
fn every_method_learns() {
    for (method, case) in [
        (Method::Lora, "gemma3-window-mixed-bits"),
        (Method::Lora, "qwen3-tied-4bit"),
        (Method::Lora, "qwen3-tied-mxfp4"),
        (Method::Dora, "qwen3-tied"),
        (Method::Dora, "qwen3-tied-4bit"),
        (Method::Full, "gemma3-window"),
        (Method::Full, "qwen3-untied-yarn"),
    ] {
        let config = lora(TrainConfig {
            method,
            steps: Some(12),
            warmup: 2,
            schedule: ScheduleName::Cosine,
            ..Default::default()
        });
        let config = TrainConfig { learning_rate: 5e-3, recompute: method == Method::Full, ..config };
        let (_, losses) = run(case, config, BatchOptions { rows: 12, ..Default::default() });
        let (first, last) = (losses[0], losses[11]);
        assert!(last < 0.8 * first, "{method:?} on {case}: {losses:?}");
    }
}

/// Runs to the end, told to stop after `stop` steps; the weights then, and how it ended.
fn run_in(output: &Path, config: &TrainConfig, stop: Option<u64>) -> (Trainer, End) {
    let model = load(golden("qwen3-tied")).unwrap();
    let train = batches(12, BatchOptions { rows: 4, ..Default::default() });
    let valid = batches(5, BatchOptions { rows: 4, shuffle: false, ..Default::default() });
    let mut trainer = Trainer::new(model, config.clone(), train, Some(valid)).unwrap();
    trainer.resume(output).unwrap();
    let outcome = trainer
        .run(output, &mut |event| match event {
            Event::Step(report) if Some(report.step) == stop => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
        .unwrap();
    (trainer, outcome.end)
}

fn bits(weights: &BTreeMap<String, Array>) -> BTreeMap<&str, Vec<u32>> {
    let bits = |array: &Array| array.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect();
    weights.iter().map(|(path, array)| (path.as_str(), bits(array))).collect()
}

#[test]
fn a_run_that_was_interrupted_and_goes_on_gives_the_same_bits() {
    for method in [Method::Lora, Method::Full] {
        let mut config = lora(TrainConfig { method, steps: Some(9), ..Default::default() });
        config.adapter.dropout = 0.2;
        config.accumulate = 2;
        config.eval_every = 4;
        config.save_every = 2;
        let straight = tempfile::tempdir().unwrap();
        let (expected, end) = run_in(straight.path(), &config, None);
        assert_eq!(end, End::Finished);
        let broken = tempfile::tempdir().unwrap();
        for stop in [1, 2, 5, 8] {
            assert_eq!(run_in(broken.path(), &config, Some(stop)).1, End::Interrupted);
        }
        let (found, end) = run_in(broken.path(), &config, None);
        assert_eq!(end, End::Finished);
        assert_eq!(found.progress().best, expected.progress().best);
        assert_eq!(found.progress().tokens, expected.progress().tokens);
        assert_eq!(bits(&found.trained()), bits(&expected.trained()), "{method:?}");
    }
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let output = tempfile::tempdir().unwrap();
    let config = lora(TrainConfig { steps: Some(2), save_every: 1, ..Default::default() });
    run_in(output.path(), &config, None);
    let other = TrainConfig { learning_rate: 1.0, ..config };
    let train = batches(12, BatchOptions { rows: 4, ..Default::default() });
    let mut trainer = Trainer::new(load(golden("qwen3-tied")).unwrap(), other, train, None).unwrap();
    let error = trainer.resume(output.path()).unwrap_err().to_string();
    assert!(error.contains("step-00000002") && error.contains("rate 1"), "{error}");
}

#[test]
fn a_run_ends_when_validations_no_longer_get_better_and_has_the_best_weights() {
    let output = tempfile::tempdir().unwrap();
    let mut config = lora(TrainConfig { steps: Some(60), patience: 2, ..Default::default() });
    config.eval_every = 1;
    config.keep = 1;
    // So fast that what was learnt is soon forgotten.
    config.learning_rate = 0.2;
    let (trainer, end) = run_in(output.path(), &config, None);
    assert_eq!(end, End::Stopped);
    let progress = trainer.progress().clone();
    assert_eq!(progress.step, progress.best_step.unwrap() + 2);
    let mut trainer = trainer;
    let loss = trainer.validate().unwrap().unwrap();
    assert!((loss - progress.best.unwrap()).abs() < 1e-5 * loss);
}

#[test]
fn a_configuration_that_cannot_be_is_refused_by_its_key() {
    let refused = |case: &str, config: TrainConfig, key: &str| {
        let train = batches(12, BatchOptions::default());
        let error = Trainer::new(load(golden(case)).unwrap(), config, train, None).unwrap_err().to_string();
        assert!(error.contains(key), "{key}: {error}");
    };
    let base = TrainConfig::default;
    refused("qwen3-tied", TrainConfig { batch_size: 0, ..base() }, "batch_size");
    refused("qwen3-tied", TrainConfig { learning_rate: f64::NAN, ..base() }, "learning_rate");
    refused("qwen3-tied", TrainConfig { layers: Some(9), ..base() }, "layers");
    refused("qwen3-tied", TrainConfig { layers: Some(0), ..base() }, "layers");
    refused("qwen3-tied", TrainConfig { dtype: Some("int8".into()), ..base() }, "dtype");
    refused("qwen3-tied-4bit", TrainConfig { method: Method::Full, ..base() }, "method");
    let adapter = |adapter| TrainConfig { adapter, ..base() };
    refused("qwen3-tied", adapter(AdapterConfig { rank: 0, ..Default::default() }), "rank");
    refused("qwen3-tied", adapter(AdapterConfig { dropout: 1.0, ..Default::default() }), "dropout");
    let keys = Some(vec!["q_proj".into(), "nowhere".into()]);
    refused("qwen3-tied", adapter(AdapterConfig { keys, ..Default::default() }), "nowhere");
    let momentum = OptimizerConfig { momentum: Some(0.5), ..Default::default() };
    refused("qwen3-tied", TrainConfig { optimizer_config: momentum, ..base() }, "momentum");
}

#[test]
fn a_token_without_an_embedding_is_refused() {
    let example = Example::new(vec![1, 2, 100_000], vec![false, true, true]).unwrap();
    let train = Batches::new(vec![example], BatchOptions::default(), 0).unwrap();
    let config = TrainConfig { steps: Some(1), ..Default::default() };
    let mut trainer = Trainer::new(load(golden("qwen3-tied")).unwrap(), config, train, None).unwrap();
    let error = trainer.step().unwrap_err().to_string();
    assert!(error.contains("100000"), "{error}");
    assert_eq!(trainer.progress().step, 0);
}
