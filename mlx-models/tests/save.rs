// SPDX-License-Identifier: EUPL-1.2
//! Checkpoints that are written: whole, readable by others, and never over anything precious.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use mlx_core::io::{SafetensorsFile, load_sharded};
use mlx_core::{Array, Dtype};
use mlx_models::{
    CancelToken, ConfigFile, Error, GenerateOptions, Model, Progress, QuantizeOptions, SaveOptions, inspect,
    load, preset, random,
};
use serde_json::{Value, json};

use crate::common::{copy_of, distance, edit_json, golden};
use crate::mlx_lm::{Job, logits};

/// Every golden checkpoint.
const CASES: [&str; 14] = [
    "qwen3-tied",
    "qwen3-untied-yarn",
    "qwen3-sharded",
    "qwen3-window-bias",
    "qwen3-tied-4bit",
    "qwen3-tied-mxfp4",
    "gemma3-window",
    "gemma3-linear-rope-new-config",
    "gemma3-conditional-nested",
    "gemma3-embed-scale-short",
    "gemma3-softcap-linear-rope",
    "gemma3-window-mixed-bits",
    "tiny-chat-qwen3",
    "tiny-chat-gemma3",
];

fn ids() -> Vec<u32> {
    (0..24).map(|i| (i * 37 + 11) % 300).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read_json(path: PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Tensors as bytes, so that values are compared exactly.
fn tensors(dir: &Path) -> BTreeMap<String, (Dtype, Vec<i32>, Vec<u8>)> {
    let all = load_sharded(dir, |_, _| ()).unwrap().tensors;
    let bytes = |array: &Array| array.with_bytes(<[u8]>::to_vec).unwrap();
    all.iter().map(|(name, a)| (name.clone(), (a.dtype(), a.shape().to_vec(), bytes(a)))).collect()
}

#[test]
fn a_saved_checkpoint_has_the_config_the_tensors_and_the_logits_that_were_loaded() {
    for case in CASES {
        let (source, folder) = (golden(case), tempfile::tempdir().unwrap());
        let target = folder.path().join("saved");
        let model = load(&source).unwrap();
        let saved = model.save(&target).unwrap();
        assert_eq!(names(folder.path()), ["saved"], "{case}: something was left beside it");
        let mut listed = saved.files.clone();
        listed.sort();
        assert_eq!(names(&target), listed, "{case}");
        assert_eq!(tensors(&target), tensors(&source), "{case}");
        if case != "gemma3-conditional-nested" {
            assert_eq!(
                read_json(target.join("config.json")),
                read_json(source.join("config.json")),
                "{case}"
            );
        }
        let again = load(&target).unwrap();
        assert_eq!(distance(&again.logits(&ids()).unwrap(), &model.logits(&ids()).unwrap()), 0.0, "{case}");
    }
}

#[test]
fn what_stands_beside_the_weights_comes_along_and_nothing_else_does() {
    let source = copy_of("tiny-chat-qwen3");
    for (name, text) in
        [("vocab.json", "{}"), ("merges.txt", "a b"), ("special_tokens_map.json", "{}"), ("notes.md", "mine")]
    {
        fs::write(source.path().join(name), text).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("saved");
    load(source.path()).unwrap().save(&target).unwrap();
    let expected = [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "merges.txt",
        "model.safetensors",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
    ];
    assert_eq!(names(&target), expected);
    for name in expected.into_iter().filter(|name| !["config.json", "model.safetensors"].contains(name)) {
        let read = |dir: &Path| fs::read(dir.join(name)).unwrap();
        assert_eq!(read(&target), read(source.path()), "{name}");
    }
    let model = load(&target).unwrap();
    let answer = model.generate("What is the capital of France?", &GenerateOptions::default()).unwrap();
    assert_eq!(answer.text.as_deref(), Some("The capital of France is Paris."));
}

#[test]
fn shards_hold_no_more_than_was_asked_for_and_their_index_says_where_everything_is() {
    let model = load(golden("qwen3-untied-yarn")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (i, shard_bytes) in [1, 40_000, 100_000, usize::MAX].into_iter().enumerate() {
        let target = folder.path().join(i.to_string());
        let saved = model.save_with(&target, &SaveOptions { shard_bytes, ..SaveOptions::default() }).unwrap();
        let weights: Vec<_> = saved.files.iter().filter(|name| name.ends_with(".safetensors")).collect();
        let single = shard_bytes == usize::MAX;
        assert_eq!(weights.len() == 1, single);
        assert_eq!(target.join("model.safetensors.index.json").exists(), !single);
        let mut seen = 0;
        for (i, name) in weights.iter().enumerate() {
            let file = SafetensorsFile::open(target.join(name)).unwrap();
            assert_eq!(file.metadata(), [("format".to_owned(), "mlx".to_owned())].into());
            let sizes: Vec<usize> = file.names().map(|name| file.info(name).unwrap().nbytes).collect();
            assert!(sizes.len() == 1 || sizes.iter().sum::<usize>() <= shard_bytes, "{name}: {sizes:?}");
            seen += sizes.iter().sum::<usize>();
            if !single {
                assert_eq!(**name, format!("model-{:05}-of-{:05}.safetensors", i + 1, weights.len()));
                let index = read_json(target.join("model.safetensors.index.json"));
                assert_eq!(index["metadata"]["total_size"], model.nbytes());
                assert_eq!(index["metadata"]["total_parameters"], model.parameters());
                assert!(file.names().all(|tensor| index["weight_map"][tensor] == **name));
            }
        }
        assert_eq!((seen, saved.nbytes), (model.nbytes(), model.nbytes()));
        assert_eq!(tensors(&target), tensors(&golden("qwen3-untied-yarn")));
    }
    let none = SaveOptions { shard_bytes: 0, ..SaveOptions::default() };
    let error = model.save_with(folder.path().join("none"), &none).unwrap_err().to_string();
    assert_eq!(error, "shard_bytes: expected at least 1, found 0");
}

#[test]
fn a_tied_head_is_not_written_even_where_the_file_had_one() {
    let source = copy_of("qwen3-tied");
    let mut all = load_sharded(source.path(), |_, _| ()).unwrap().tensors;
    let table = all["model.embed_tokens.weight"].clone();
    all.insert("lm_head.weight".into(), table);
    mlx_core::io::save_safetensors(source.path().join("model.safetensors"), &all, &BTreeMap::new()).unwrap();
    let target = source.path().with_extension("saved");
    load(source.path()).unwrap().save(&target).unwrap();
    let written = tensors(&target);
    fs::remove_dir_all(&target).unwrap();
    assert!(!written.contains_key("lm_head.weight") && written.contains_key("model.embed_tokens.weight"));
}

#[test]
fn the_half_for_images_is_copied_under_names_that_every_reader_knows() {
    let source = copy_of("gemma3-conditional-nested");
    // As transformers 5 names them.
    let renamed: BTreeMap<String, Array> = load_sharded(source.path(), |_, _| ())
        .unwrap()
        .tensors
        .into_iter()
        .map(|(name, array)| match name.strip_prefix("language_model.model.") {
            Some(rest) => (format!("model.language_model.{rest}"), array),
            None => (format!("model.{name}"), array),
        })
        .collect();
    mlx_core::io::save_safetensors(source.path().join("model.safetensors"), &renamed, &BTreeMap::new())
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("plain"), folder.path().join("packed"));
    load(source.path()).unwrap().save(&plain).unwrap();
    assert_eq!(tensors(&plain), tensors(&golden("gemma3-conditional-nested")));
    let config = read_json(plain.join("config.json"));
    assert_eq!((&config["vocab_size"], &config["text_config"]["vocab_size"]), (&json!(320), &json!(320)));
    assert_eq!(config["vision_config"]["hidden_size"], 8);

    let rules = vec!["*.v_proj=8:32".parse().unwrap(), "model.layers.0.*=skip".parse().unwrap()];
    let options = QuantizeOptions { rules, ..QuantizeOptions::default() };
    let (model, _) = load(&plain).unwrap().quantize(&options).unwrap();
    model.save(&packed).unwrap();
    let (before, after) = (tensors(&plain), tensors(&packed));
    let images =
        |name: &&String| name.starts_with("vision_tower.") || name.starts_with("multi_modal_projector.");
    assert_eq!(before.keys().filter(images).count(), 2);
    for name in before.keys().filter(images) {
        assert_eq!(after[name], before[name], "{name}");
    }
    let config = read_json(packed.join("config.json"));
    for section in ["quantization", "quantization_config"] {
        assert_eq!(
            config[section]["language_model.model.layers.1.self_attn.v_proj"],
            json!({ "group_size": 32, "bits": 8, "mode": "affine" })
        );
        assert_eq!(
            config[section]["language_model.model.layers.0.self_attn.v_proj"],
            json!({ "group_size": 32, "bits": 8, "mode": "affine" })
        );
        assert_eq!(config[section]["language_model.model.layers.0.mlp.up_proj"], json!(false));
    }
    let again = load(&packed).unwrap();
    assert_eq!(distance(&again.logits(&ids()).unwrap(), &model.logits(&ids()).unwrap()), 0.0);
}

#[test]
fn mlx_lm_computes_the_same_logits_from_what_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let mut cases: Vec<(String, Model)> = Vec::new();
    for case in [
        "qwen3-tied",
        "qwen3-untied-yarn",
        "qwen3-sharded",
        "qwen3-tied-4bit",
        "qwen3-tied-mxfp4",
        "gemma3-window",
        "gemma3-conditional-nested",
        "gemma3-window-mixed-bits",
    ] {
        cases.push((case.into(), load(golden(case)).unwrap()));
    }
    for (case, settings) in [
        ("qwen3-untied-yarn", "*=5:32"),
        ("gemma3-conditional-nested", "*=mxfp8"),
        ("gemma3-window", "*=nvfp4"),
    ] {
        let rules =
            vec!["*.k_proj=skip".parse().unwrap(), "*.v_proj=8".parse().unwrap(), settings.parse().unwrap()];
        let options = QuantizeOptions { rules, ..QuantizeOptions::default() };
        let (model, _) = load(golden(case)).unwrap().quantize(&options).unwrap();
        cases.push((format!("{case} {settings}"), model));
    }
    cases.push(("back".into(), load(golden("qwen3-tied-4bit")).unwrap().dequantized(None).unwrap()));
    let ids = ids();
    let dirs: Vec<PathBuf> = (0..cases.len()).map(|i| folder.path().join(i.to_string())).collect();
    for (i, ((_, model), dir)) in cases.iter().zip(&dirs).enumerate() {
        // Some of them in several files.
        let shard_bytes = if i % 2 == 0 { usize::MAX } else { 50_000 };
        model.save_with(dir, &SaveOptions { shard_bytes, ..SaveOptions::default() }).unwrap();
    }
    let jobs: Vec<Job<'_>> = dirs.iter().map(|dir| Job { dir, adapter: None, ids: &ids }).collect();
    let Some(found) = logits(&jobs) else { return };
    for ((name, model), theirs) in cases.iter().zip(&found) {
        let d = distance(&model.logits(&ids).unwrap(), theirs);
        assert!(d < 1e-3, "{name}: off by {d}");
    }
}

/// Checks that saving to `dir` is refused with these words, and that `watched` is as it was.
#[track_caller]
fn refused(model: &Model, dir: &Path, overwrite: bool, parts: &[&str], watched: &Path) {
    let before = names(watched);
    let options = SaveOptions { overwrite, ..SaveOptions::default() };
    let early = model.check_save(dir, &options).unwrap_err().to_string();
    let error = model.save_with(dir, &options).unwrap_err().to_string();
    assert_eq!(early, error);
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    assert_eq!(names(watched), before);
}

#[test]
fn nothing_is_written_over_what_is_there_unless_it_is_a_checkpoint_and_that_was_asked_for() {
    let model = load(golden("qwen3-tied")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "precious").unwrap();
    fs::create_dir_all(at("full/inner")).unwrap();
    fs::create_dir(at("notes")).unwrap();
    fs::write(at("notes/letter.txt"), "precious").unwrap();
    fs::create_dir(at("empty")).unwrap();
    for overwrite in [false, true] {
        let refused = |dir: PathBuf, parts: &[&str]| refused(&model, &dir, overwrite, parts, folder.path());
        refused(at("file"), &["file", "found a file"]);
        refused(at("missing/saved"), &["missing", "No such file"]);
        refused(PathBuf::from("/"), &["/"]);
        refused(at("missing/.."), &["missing"]);
        refused(at("full"), &["full", if overwrite { "\"inner\"" } else { "not empty" }]);
        refused(at("notes"), &["notes", if overwrite { "no config.json" } else { "not empty" }]);
    }
    model.save(at("empty")).unwrap();
    refused(&model, &at("empty"), false, &["not empty"], folder.path());
    fs::write(at("empty/tokenizer.json"), "old").unwrap();
    let overwrite = SaveOptions { overwrite: true, ..SaveOptions::default() };
    load(golden("gemma3-window")).unwrap().save_with(at("empty"), &overwrite).unwrap();
    assert_eq!(names(&at("empty")), ["config.json", "model.safetensors"]);
    assert_eq!(load(at("empty")).unwrap().architecture(), "Gemma 3");
    assert_eq!(names(folder.path()), ["empty", "file", "full", "notes"]);
}

#[test]
fn the_checkpoint_that_a_model_was_loaded_from_is_never_touched() {
    let outer = tempfile::tempdir().unwrap();
    let source = outer.path().join("checkpoint");
    fs::create_dir(&source).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("qwen3-tied").join(name), source.join(name)).unwrap();
    }
    let model = load(&source).unwrap();
    for overwrite in [false, true] {
        refused(&model, &source, overwrite, &["the directory is", "loaded from"], outer.path());
        refused(&model, &source.join("."), overwrite, &["the directory is"], outer.path());
        refused(&model, &source.join("inner"), overwrite, &["inside"], &source);
        refused(&model, outer.path(), overwrite, &["the directory holds"], outer.path());
    }
    #[cfg(unix)]
    {
        let link = outer.path().join("link");
        std::os::unix::fs::symlink(&source, &link).unwrap();
        refused(&model, &link, true, &["the directory is"], outer.path());
        let lost = outer.path().join("lost");
        std::os::unix::fs::symlink("nowhere", &lost).unwrap();
        refused(&model, &lost, true, &["a link that leads nowhere"], outer.path());
        // The weights of a cache lie elsewhere.
        let cache = outer.path().join("cache");
        fs::create_dir(&cache).unwrap();
        fs::rename(source.join("model.safetensors"), cache.join("blob")).unwrap();
        std::os::unix::fs::symlink(cache.join("blob"), source.join("model.safetensors")).unwrap();
        fs::write(cache.join("config.json"), "{}").unwrap();
        refused(&load(&source).unwrap(), &cache, true, &["holds the files of"], &cache);
    }
}

#[test]
fn a_cancelled_saving_leaves_nothing() {
    let model = load(golden("gemma3-window")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("saved");
    for part in [0.0, 0.3, 0.99, 1.0] {
        let cancel = CancelToken::new();
        let flag = cancel.clone();
        let progress = Progress::new(move |done, total| {
            assert!(done <= total);
            if done as f64 >= part * total as f64 {
                flag.cancel();
            }
        });
        let options = SaveOptions {
            cancel: Some(cancel),
            progress: Some(progress),
            shard_bytes: 300_000,
            ..SaveOptions::default()
        };
        assert!(matches!(model.save_with(&target, &options), Err(Error::Cancelled)), "{part}");
        assert_eq!(names(folder.path()), [""; 0], "{part}");
    }
}

#[test]
fn a_refusing_disk_is_an_error_that_names_the_file() {
    let model = load(golden("qwen3-tied")).unwrap();
    if cfg!(target_os = "linux") {
        let error = model.save("/proc/saved").unwrap_err().to_string();
        assert!(error.starts_with("/proc: "), "{error}");
    }
    // What is to come along is a directory now.
    let source = copy_of("tiny-chat-qwen3");
    let model = load(source.path()).unwrap();
    fs::remove_dir_all(source.path()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = model.save(folder.path().join("saved")).unwrap_err().to_string();
    assert!(error.contains("No such file"), "{error}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn only_models_with_weights_are_saved_and_those_made_in_memory_are_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("saved");
    let error = inspect(golden("qwen3-tied")).unwrap().save(&target).unwrap_err().to_string();
    assert_eq!(error, "model: the model was inspected, not loaded: it has no weights to save");
    let config = read_json(golden("gemma3-window").join("config.json"));
    let model = random(ConfigFile::new("test", config).unwrap(), Dtype::Bfloat16, 3).unwrap();
    let expected = model.logits(&ids()).unwrap();
    model.save_into(&target, &SaveOptions::default()).unwrap();
    assert_eq!(distance(&load(&target).unwrap().logits(&ids()).unwrap(), &expected), 0.0);
    assert!(preset("no such", None).is_err());
}

#[test]
fn keys_that_are_null_and_keys_that_nobody_reads_stay() {
    let source = copy_of("qwen3-tied");
    edit_json(&source.path().join("config.json"), |config| config["remark"] = json!({ "a": [null, 1.5] }));
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("saved");
    load(source.path()).unwrap().quantized(Default::default()).unwrap().save(&target).unwrap();
    let (before, after) =
        (read_json(source.path().join("config.json")), read_json(target.join("config.json")));
    for (key, value) in before.as_object().unwrap() {
        assert_eq!(&after[key], value, "{key}");
    }
    assert!(before["rope_scaling"].is_null() && after.as_object().unwrap().contains_key("rope_scaling"));
    let settings = json!({ "group_size": 64, "bits": 4, "mode": "affine" });
    assert_eq!((&after["quantization"], &after["quantization_config"]), (&settings, &settings));
}
