// SPDX-License-Identifier: EUPL-1.2
//! Tests of what the crate does as a whole, against what the Python libraries do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do"
)]

mod bad;
mod chat;
mod golden;
mod special;
mod stream;

use std::path::{Path, PathBuf};

/// A folder of `tests/golden`.
fn golden_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A temporary directory with these files, and with copies of those of a golden folder.
fn checkpoint(from: Option<&str>, files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    if let Some(from) = from {
        for entry in std::fs::read_dir(golden_dir(from)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if name != "vectors.json" {
                std::fs::copy(&path, dir.path().join(name)).unwrap();
            }
        }
    }
    for (name, content) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    dir
}
