// SPDX-License-Identifier: EUPL-1.2
//! Nothing of MLX is out of reach unnoticed: each function of mlx-c is called by this crate, or `ledger.toml` says why
//! it is not. A new version of the library shows here what it brought.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    group: Vec<Group>,
}

/// Functions that are left alone for one reason.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    reason: String,
    functions: Vec<String>,
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of all functions that the bindings declare.
fn declared() -> BTreeSet<String> {
    let text = read(here().join("../mlx-sys/src/bindings.rs"));
    let name = |line: &str| -> Option<String> {
        let (name, _) = line.trim_start().strip_prefix("pub fn ")?.split_once('(')?;
        Some(name.to_owned())
    };
    text.lines().filter_map(name).collect()
}

/// Every word of the crate's own code, that of its tests and comments left out.
fn words() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut folders = vec![here().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = read(&path);
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let code = code.lines().map(|line| line.split("//").next().unwrap());
            for line in code {
                let split = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                words.extend(split.filter(|word| word.contains("mlx_")).map(str::to_owned));
            }
        }
    }
    words
}

#[test]
fn each_function_of_the_library_is_called_or_the_ledger_says_why_not() {
    let (declared, words) = (declared(), words());
    assert!(declared.len() > 600, "only {} functions were found in the bindings", declared.len());
    let ledger: Ledger = toml::from_str(&read(here().join("ledger.toml"))).unwrap();
    let mut left = BTreeMap::new();
    for group in &ledger.group {
        assert!(!group.reason.trim().is_empty(), "a group has no reason: {:?}", group.functions);
        for function in &group.functions {
            assert!(left.insert(function.as_str(), &group.reason).is_none(), "{function} stands twice");
        }
    }
    let mut wrong = Vec::new();
    for function in &declared {
        match (words.contains(function), left.contains_key(function.as_str())) {
            (true, false) | (false, true) => {}
            (false, false) => wrong.push(format!("{function} is neither called nor in the ledger")),
            (true, true) => wrong.push(format!("{function} is called, and the ledger says it is not")),
        }
    }
    let unknown = left.keys().filter(|function| !declared.contains(**function));
    wrong.extend(unknown.map(|function| format!("{function} is in the ledger, and the library has none")));
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}
