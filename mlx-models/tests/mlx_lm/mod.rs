// SPDX-License-Identifier: EUPL-1.2
//! mlx-lm as a witness: what it computes from the checkpoints that we write.
//!
//! `MLX_PYTHON` names the interpreter, else it is `python3`. Where that has no mlx-lm, there is no witness, and tests say
//! so on standard error. `requirements.txt` has the versions that CI installs. Other crates include this file with `#[path]`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mlx_core::Array;
use mlx_core::io::load_safetensors;
use serde_json::json;

/// One forward pass that mlx-lm is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Job<'a> {
    pub(crate) dir: &'a Path,
    /// The folder of an adapter.
    pub(crate) adapter: Option<&'a Path>,
    pub(crate) ids: &'a [u32],
}

/// The logits of each job, `[L, V]`; none where there is no mlx-lm. One process does them all, since it is slow to start.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
pub(crate) fn logits(jobs: &[Job<'_>]) -> Option<Vec<Array>> {
    let python = PathBuf::from(std::env::var_os("MLX_PYTHON").unwrap_or_else(|| "python3".into()));
    let find = "import importlib.util, sys; sys.exit(importlib.util.find_spec('mlx_lm') is None)";
    let found = Command::new(&python).args(["-c", find]).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("left out: {} has no mlx-lm; MLX_PYTHON names another interpreter", python.display());
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = |i: usize| folder.path().join(format!("{i}.safetensors"));
    let list: Vec<_> = jobs
        .iter()
        .enumerate()
        .map(
            |(i, job)| json!({ "dir": job.dir, "adapter": job.adapter, "ids": job.ids, "output": output(i) }),
        )
        .collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlx-models/tests/mlx_lm/logits.py");
    let mut child = Command::new(&python).arg(script).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(json!(list).to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "mlx-lm cannot run the checkpoints");
    let read = |i| load_safetensors(output(i)).unwrap().tensors.remove("logits").unwrap();
    Some((0..jobs.len()).map(read).collect())
}
