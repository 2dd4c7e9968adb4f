// SPDX-License-Identifier: EUPL-1.2
//! What several modules of the tests need.

use std::fs;
use std::path::{Path, PathBuf};

use mlx_core::{Array, Dtype};
use mlx_models::{Cache, CausalLm};
use serde_json::Value;

/// A folder of `tests/golden`.
pub(crate) fn golden(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case)
}

/// A copy of a golden checkpoint that a test may spoil.
pub(crate) fn copy_of(case: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(golden(case)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    dir
}

/// Changes a JSON file in place.
pub(crate) fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    edit(&mut value);
    fs::write(path, serde_json::to_vec(&value).unwrap()).unwrap();
}

/// The logits of `ids`, `[L, V]`, computed in chunks of `chunk` tokens.
pub(crate) fn logits_in_chunks(network: &dyn CausalLm, ids: &[u32], chunk: usize) -> Array {
    let mut cache = network.make_cache().unwrap();
    let parts: Vec<Array> = ids.chunks(chunk).map(|ids| forward(network, ids, &mut cache)).collect();
    mlx_core::concatenate(&parts.iter().collect::<Vec<_>>(), 0).unwrap()
}

/// The logits of `ids`, `[L, V]`, after what is in `cache`.
pub(crate) fn forward(network: &dyn CausalLm, ids: &[u32], cache: &mut Cache) -> Array {
    let length = i32::try_from(ids.len()).unwrap();
    let row = Array::from_slice(ids, &[1, length]).unwrap();
    network.forward(&row, cache).unwrap().squeeze_axes(&[0]).unwrap()
}

/// The largest absolute difference between two arrays of one shape.
pub(crate) fn distance(a: &Array, b: &Array) -> f32 {
    assert_eq!(a.shape(), b.shape());
    let (a, b) = (a.astype(Dtype::Float32).unwrap(), b.astype(Dtype::Float32).unwrap());
    let (a, b) = (a.to_vec::<f32>().unwrap(), b.to_vec::<f32>().unwrap());
    a.iter().zip(&b).fold(0.0, |worst, (a, b)| {
        let d = (a - b).abs();
        // A NaN must not pass for a small difference.
        if d.is_nan() { f32::INFINITY } else { worst.max(d) }
    })
}
