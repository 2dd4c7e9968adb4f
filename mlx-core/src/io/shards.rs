// SPDX-License-Identifier: EUPL-1.2
//! A checkpoint of several safetensors files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use super::{SafetensorsFile, Tensors, load_tensors};
use crate::error::{Error, Result};

/// The file of a checkpoint that is not sharded.
const SINGLE: &str = "model.safetensors";

/// The weight files of the checkpoint in `dir`, in the order to read them.
///
/// `model.safetensors` when it is there; else the files that `model.safetensors.index.json` names; else every
/// `model*.safetensors`, by name.
///
/// # Errors
/// [`Error::Io`] when `dir` cannot be read, [`Error::File`] when it holds no weights, when the index is malformed, or
/// when a file that it names is missing.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use mlx_core::{Array, io};
/// # let dir = tempfile::tempdir()?;
/// # for (i, name) in ["a", "b"].into_iter().enumerate() {
/// #     let path = dir.path().join(format!("model-{i}.safetensors"));
/// #     io::save_safetensors(path, [(name, &Array::scalar(1.0f32)?)], &Default::default())?;
/// # }
/// assert_eq!(io::shard_paths(dir.path())?.len(), 2);
/// # Ok(()) }
/// ```
pub fn shard_paths(dir: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let dir = dir.as_ref();
    let entries = std::fs::read_dir(dir).map_err(|source| Error::io(dir, source))?;
    let single = dir.join(SINGLE);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let index = dir.join("model.safetensors.index.json");
    if index.is_file() {
        let names: BTreeSet<String> = weight_map(&index)?.into_values().collect();
        return Ok(names.into_iter().map(|name| dir.join(name)).collect());
    }
    let mut shards = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::io(dir, source))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("model") && name.ends_with(".safetensors") {
            shards.push(entry.path());
        }
    }
    if shards.is_empty() {
        return Err(Error::file(dir, "no weights: expected model.safetensors, or an index and its shards"));
    }
    shards.sort();
    Ok(shards)
}

/// Which file each weight is in, from an index.
fn weight_map(index: &Path) -> Result<BTreeMap<String, String>> {
    let text = std::fs::read(index).map_err(|source| Error::io(index, source))?;
    let json: Value =
        serde_json::from_slice(&text).map_err(|e| Error::file(index, format!("not valid JSON: {e}")))?;
    let map = json
        .get("weight_map")
        .and_then(Value::as_object)
        .ok_or_else(|| Error::file(index, "weight_map: expected an object of file names"))?;
    if map.is_empty() {
        return Err(Error::file(index, "weight_map: names no weights"));
    }
    let dir = index.parent().unwrap_or(Path::new(""));
    let mut checked = BTreeSet::new();
    map.iter()
        .map(|(weight, file)| {
            let wrong = |what: &str| Error::file(index, format!("weight_map: {weight:?}: {what}"));
            let file = file.as_str().ok_or_else(|| wrong("expected a file name"))?;
            // An index comes with the checkpoint: it may name its neighbours, and nothing else.
            if !matches!(Path::new(file).components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)])
            {
                return Err(wrong(&format!("{file:?} is not a plain file name")));
            }
            if checked.insert(file.to_owned()) && !dir.join(file).is_file() {
                return Err(wrong(&format!("the file {file:?} is missing")));
            }
            Ok((weight.clone(), file.to_owned()))
        })
        .collect()
}

/// The weight files of the checkpoint in `dir`, with their headers read and checked against the index.
///
/// # Errors
/// As [`shard_paths`] and [`SafetensorsFile::open`]; [`Error::File`] when the index names a tensor that its file lacks.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use mlx_core::{Array, io};
/// # let dir = tempfile::tempdir()?;
/// # for (i, name) in ["a", "b"].into_iter().enumerate() {
/// #     let path = dir.path().join(format!("model-{i}.safetensors"));
/// #     io::save_safetensors(path, [(name, &Array::scalar(1.0f32)?)], &Default::default())?;
/// # }
/// let files = io::open_sharded(dir.path())?;
/// let names: Vec<&str> = files.iter().flat_map(|file| file.names()).collect();
/// assert_eq!(names, ["a", "b"]);
/// # Ok(()) }
/// ```
pub fn open_sharded(dir: impl AsRef<Path>) -> Result<Vec<SafetensorsFile>> {
    let dir = dir.as_ref();
    let files = shard_paths(dir)?.into_iter().map(SafetensorsFile::open).collect::<Result<Vec<_>>>()?;
    // A single file may lie beside the index of what it was made from.
    if !dir.join(SINGLE).is_file() {
        check_index(dir, &files)?;
    }
    Ok(files)
}

/// All tensors of the checkpoint in `dir`.
///
/// - `progress`: called after each tensor with the bytes taken over so far and the bytes there are
///
/// # Errors
/// As [`open_sharded`] and [`SafetensorsFile::tensor`]; [`Error::Tensor`] when two shards hold a tensor of one name.
///
/// # Examples
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use mlx_core::{Array, io};
/// # let dir = tempfile::tempdir()?;
/// # for (i, name) in ["a", "b"].into_iter().enumerate() {
/// #     let path = dir.path().join(format!("model-{i}.safetensors"));
/// #     io::save_safetensors(path, [(name, &Array::scalar(1.0f32)?)], &Default::default())?;
/// # }
/// let mut seen = 0;
/// let all = io::load_sharded(dir.path(), |done, total| seen = 100 * done / total)?;
/// assert_eq!((all.tensors.len(), seen), (2, 100));
/// # Ok(()) }
/// ```
pub fn load_sharded(dir: impl AsRef<Path>, progress: impl FnMut(u64, u64)) -> Result<Tensors> {
    let files = open_sharded(dir)?;
    let mut all = Tensors::default();
    let wanted: Vec<_> = files.iter().flat_map(|file| file.names().map(move |name| (file, name))).collect();
    let arrays = load_tensors(&wanted, progress)?;
    for ((file, name), array) in wanted.into_iter().zip(arrays) {
        if all.tensors.insert(name.to_owned(), array).is_some() {
            let (path, name) = (file.path().to_path_buf(), name.to_owned());
            let message = "another shard has a tensor of this name".to_owned();
            return Err(Error::Tensor { path, name, message });
        }
    }
    for file in &files {
        all.metadata.extend(file.metadata());
    }
    Ok(all)
}

/// Checks that every weight of the index, if there is one, is where it says.
fn check_index(dir: &Path, files: &[SafetensorsFile]) -> Result<()> {
    let index = dir.join("model.safetensors.index.json");
    if !index.is_file() {
        return Ok(());
    }
    for (weight, file) in weight_map(&index)? {
        let shard =
            files.iter().find(|f| f.path().file_name().is_some_and(|name| name.to_string_lossy() == file));
        if shard.is_none_or(|shard| shard.info(&weight).is_err()) {
            return Err(Error::file(&index, format!("weight_map: {weight:?} is not in {file:?}")));
        }
    }
    Ok(())
}
