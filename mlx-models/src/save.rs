// SPDX-License-Identifier: EUPL-1.2
//! From a model to a checkpoint directory that this crate, mlx-lm and transformers read.
//!
//! The directory appears whole or not at all: everything is written into a temporary one beside it, reaches the disk,
//! and is then renamed.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use mlx_core::Array;
use mlx_core::io::{open_sharded, write_safetensors};
use mlx_nn::{adapter, params};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::config::ConfigFile;
use crate::control::{CancelToken, Progress};
use crate::error::{Error, Result};
use crate::load::{Model, Origin};

/// How to save.
#[derive(Clone, Debug)]
pub struct SaveOptions {
    /// The most bytes of tensors in one file, at least 1; a tensor that has more gets a file of its own. Default 5 GB.
    pub shard_bytes: usize,
    /// Whether a checkpoint that is in the directory already is replaced. Default false.
    pub overwrite: bool,
    /// A flag that ends the saving, with nothing left behind, when it is set. Default none.
    pub cancel: Option<CancelToken>,
    /// Told how many bytes of tensors are written, and of how many. Default none.
    pub progress: Option<Progress>,
}

impl Default for SaveOptions {
    fn default() -> Self {
        Self { shard_bytes: 5_000_000_000, overwrite: false, cancel: None, progress: None }
    }
}

/// What was saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The directory.
    pub dir: PathBuf,
    /// The names of the files in it, the weights first.
    pub files: Vec<String>,
    /// Bytes of the tensors.
    pub nbytes: usize,
}

/// What comes along from the directory that a model was loaded from, and every `chat_template.*`.
const COMPANIONS: [&str; 11] = [
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
];

impl Model {
    /// Saves the model as a checkpoint in `dir`, which must not exist or be empty. Evaluates the weights.
    ///
    /// # Errors
    /// As [`save_with`](Self::save_with).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny-chat-qwen3");
    /// # let folder = tempfile::tempdir()?;
    /// # let target = folder.path().join("small");
    /// let settings = mlx_core::Quantization { group_size: 32, ..Default::default() };
    /// let model = mlx_models::load(source)?.quantized(settings)?;
    /// model.save(&target)?;
    /// assert_eq!(mlx_models::load(&target)?.nbytes(), model.nbytes());
    /// # Ok(()) }
    /// ```
    pub fn save(&self, dir: impl AsRef<Path>) -> Result<Saved> {
        self.save_with(dir, &SaveOptions::default())
    }

    /// As [`save`](Self::save), with options.
    ///
    /// The directory gets `config.json`, one `model.safetensors` or several and their index, and what stands beside the
    /// weights in the directory that the model was loaded from: tokenizer, chat template, generation config. The images'
    /// half of a multimodal checkpoint, which is never loaded, is copied from there as it is.
    ///
    /// # Errors
    /// [`Error::File`] when `dir` holds anything that may not be replaced, or the checkpoint that the model was loaded
    /// from; [`Error::Io`] with the file that the operating system refuses; [`Error::Argument`] for a model that was only
    /// [inspected](crate::inspect); [`Error::Cancelled`]. Nothing is left behind then.
    pub fn save_with(&self, dir: impl AsRef<Path>, options: &SaveOptions) -> Result<Saved> {
        Checkpoint::new(self, dir.as_ref(), options)?.write(options)
    }

    /// As [`save_with`](Self::save_with), but each weight is given up once it is written: those that are still to be
    /// computed, as after [`dequantized`](Self::dequantized), never take more memory than one file of them, and what it
    /// takes to compute one.
    ///
    /// # Errors
    /// As [`save_with`](Self::save_with).
    pub fn save_into(self, dir: impl AsRef<Path>, options: &SaveOptions) -> Result<Saved> {
        let checkpoint = Checkpoint::new(&self, dir.as_ref(), options)?;
        drop(self);
        checkpoint.write(options)
    }

    /// Whether [`save_with`](Self::save_with) would write to `dir`: what can be known before any work is done.
    ///
    /// # Errors
    /// As [`save_with`](Self::save_with).
    pub fn check_save(&self, dir: impl AsRef<Path>, options: &SaveOptions) -> Result<()> {
        Target::new(self, dir.as_ref(), options).map(drop)
    }
}

/// What is to be written.
struct Checkpoint {
    target: Target,
    config: ConfigFile,
    parameters: usize,
    /// The tensors of each file.
    shards: Vec<Vec<(String, Array)>>,
    companions: Vec<PathBuf>,
}

impl Checkpoint {
    fn new(model: &Model, dir: &Path, options: &SaveOptions) -> Result<Self> {
        let target = Target::new(model, dir, options)?;
        if let Some((path, _)) = adapter::adapters(model.network()).first() {
            let message = format!("{path} has an adapter: fuse it, or save the adapter by itself");
            return Err(Error::Argument { argument: "model", message });
        }
        let name = |path: &str| model.architecture.file_name(&model.config, path);
        let weights = params::parameters(model.network()).into_iter();
        let mut tensors: Vec<_> = weights.map(|(path, array)| (name(&path), array.clone())).collect();
        let mut companions = Vec::new();
        if let Origin::Checkpoint(source) = &model.origin {
            if model.config.has("text_config") {
                tensors.extend(left_in_files(model, source)?);
            }
            companions = companions_in(source)?;
        }
        Ok(Self {
            target,
            config: with_vocabulary(model.config.clone(), model.vocab_size()),
            parameters: model.parameters(),
            shards: shards(tensors, options.shard_bytes),
            companions,
        })
    }

    fn write(self, options: &SaveOptions) -> Result<Saved> {
        let Self { target, config, parameters, shards, companions } = self;
        let nbytes = shards.iter().flatten().map(|(_, array)| array.nbytes()).sum();
        let folder = target.folder()?;
        let meter = Meter { options, done: Cell::new(0), total: nbytes };
        let (count, mut files, mut weight_map) = (shards.len(), Vec::new(), Map::new());
        for (i, shard) in shards.into_iter().enumerate() {
            let name = match count {
                1 => "model.safetensors".to_owned(),
                _ => format!("model-{:05}-of-{count:05}.safetensors", i + 1),
            };
            for (_, array) in &shard {
                // One at a time: what an array is computed from goes before the next is.
                meter.check()?;
                array.eval()?;
            }
            folder
                .write(&name, |file| {
                    let metadata = [("format".to_owned(), "mlx".to_owned())].into();
                    let tensors = shard.iter().map(|(name, array)| (name, array));
                    write_safetensors(Metered { file, meter: &meter }, tensors, &metadata)
                })
                .map_err(|error| if meter.cancelled() { Error::Cancelled } else { error })?;
            weight_map.extend(shard.into_iter().map(|(tensor, _)| (tensor, name.clone().into())));
            files.push(name);
        }
        if count > 1 {
            let metadata = json!({ "total_size": nbytes, "total_parameters": parameters });
            let index = json!({ "metadata": metadata, "weight_map": weight_map });
            files.push(folder.write_json("model.safetensors.index.json", &index)?);
        }
        files.push(folder.write_json("config.json", &Value::Object(config.as_json().clone()))?);
        for source in companions {
            meter.check()?;
            files.push(folder.copy(&source)?);
        }
        meter.check()?;
        let dir = folder.publish()?;
        Ok(Saved { dir, files, nbytes })
    }
}

/// The tensors of a multimodal checkpoint that the network has no place for, by the names that older files have: the
/// ones that mlx-lm knows too.
fn left_in_files(model: &Model, source: &Path) -> Result<Vec<(String, Array)>> {
    let mut tensors = Vec::new();
    for file in open_sharded(source)? {
        for name in file.names() {
            if model.architecture.weight_path(name).is_none() && !name.ends_with("rotary_emb.inv_freq") {
                tensors.push((name.strip_prefix("model.").unwrap_or(name).to_owned(), file.tensor(name)?));
            }
        }
    }
    Ok(tensors)
}

/// The files of `source` that come along.
fn companions_in(source: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in entries(source)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if (COMPANIONS.contains(&&*name) || name.starts_with("chat_template.")) && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// A multimodal config that says how many embeddings there are where transformers looks for it, and, where it is not the
/// number that mlx-lm would suppose, where that looks.
fn with_vocabulary(config: ConfigFile, vocab_size: usize) -> ConfigFile {
    const SUPPOSED: u64 = 262_208;
    config.edited(|whole| {
        let size = Value::from(vocab_size);
        let Some(Value::Object(text)) = whole.get_mut("text_config") else { return };
        if text.contains_key("vocab_size") {
            text.insert("vocab_size".into(), size.clone());
        }
        if whole.get("vocab_size").unwrap_or(&SUPPOSED.into()) != &size {
            whole.insert("vocab_size".into(), size);
        }
    })
}

/// `tensors` in their order, cut so that none has more than `most` bytes unless it is a single tensor.
fn shards(tensors: Vec<(String, Array)>, most: usize) -> Vec<Vec<(String, Array)>> {
    let mut shards: Vec<Vec<(String, Array)>> = vec![Vec::new()];
    let mut bytes = 0usize;
    for (name, array) in tensors {
        bytes = bytes.saturating_add(array.nbytes());
        match shards.last_mut() {
            Some(shard) if shard.is_empty() || bytes <= most => shard.push((name, array)),
            _ => {
                bytes = array.nbytes();
                shards.push(vec![(name, array)]);
            }
        }
    }
    shards
}

/// How far the writing has come, and whether it is to go on.
struct Meter<'a> {
    options: &'a SaveOptions,
    done: Cell<usize>,
    total: usize,
}

impl Meter<'_> {
    fn cancelled(&self) -> bool {
        self.options.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    fn check(&self) -> Result<()> {
        if self.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    fn advance(&self, bytes: usize) {
        // Headers are written as well, and count for nothing.
        self.done.set(self.done.get().saturating_add(bytes).min(self.total));
        if let Some(progress) = &self.options.progress {
            progress.report(self.done.get(), self.total);
        }
    }
}

/// A file that is written in pieces, between which a cancellation is seen.
struct Metered<'a, W> {
    file: W,
    meter: &'a Meter<'a>,
}

impl<W: Write> Write for Metered<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        const PIECE: usize = 16 << 20;
        if self.meter.cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let written = self.file.write(bytes.get(..PIECE).unwrap_or(bytes))?;
        self.meter.advance(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Where a checkpoint is to appear: a path that has been looked at.
struct Target {
    /// As the caller calls it.
    shown: PathBuf,
    /// The folder that it is, or will be, in.
    parent: PathBuf,
    /// Its full path, with links followed.
    path: PathBuf,
    /// Whether there is something that is to be replaced.
    replaces: bool,
}

impl Target {
    fn new(model: &Model, dir: &Path, options: &SaveOptions) -> Result<Self> {
        let refuse = |message: String| Err(Error::File { path: dir.to_path_buf(), message });
        if options.shard_bytes == 0 {
            let message = "expected at least 1, found 0".into();
            return Err(Error::Argument { argument: "shard_bytes", message });
        }
        if matches!(model.origin, Origin::Headers) {
            let message = "the model was inspected, not loaded: it has no weights to save".into();
            return Err(Error::Argument { argument: "model", message });
        }
        let path = match fs::canonicalize(dir) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(dir).is_ok() {
                    return refuse("a link that leads nowhere".into());
                }
                let Some(name) = dir.file_name() else {
                    return refuse("expected the name of a directory".into());
                };
                let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
                let parent = parent.unwrap_or(Path::new("."));
                fs::canonicalize(parent).map_err(io_error(parent))?.join(name)
            }
            Err(source) => return Err(Error::Io { path: dir.to_path_buf(), source }),
        };
        let Some(parent) = path.parent().map(Path::to_path_buf) else {
            return refuse("expected the name of a directory".into());
        };
        if let Origin::Checkpoint(source) = &model.origin {
            check_apart(dir, &path, source)?;
        }
        let mut replaces = false;
        if path.exists() {
            if !path.is_dir() {
                return refuse("expected a directory, or nothing yet, found a file".into());
            }
            replaces = !entries(&path)?.is_empty();
            if replaces && !options.overwrite {
                return refuse(
                    "the directory is not empty; with `overwrite`, a checkpoint is replaced".into(),
                );
            }
            if replaces {
                check_replaceable(dir, &path)?;
            }
        }
        Ok(Self { shown: dir.to_path_buf(), parent, path, replaces })
    }

    /// The folder to write into.
    fn folder(self) -> Result<Folder> {
        let temporary = self.beside("partial")?;
        Ok(Folder { temporary, target: self })
    }

    /// An empty directory beside the target, which goes when it is dropped.
    fn beside(&self, suffix: &str) -> Result<TempDir> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let (prefix, suffix) = (format!(".{name}."), format!(".{suffix}"));
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(&suffix);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        builder.tempdir_in(&self.parent).map_err(io_error(&self.parent))
    }
}

/// Checks that `target` and the checkpoint in `source` are apart, since the weights may still lie in its files.
fn check_apart(shown: &Path, target: &Path, source: &Path) -> Result<()> {
    let canonical = |path: &Path| fs::canonicalize(path).map_err(io_error(path));
    let refuse = |relation: &str| {
        let message = format!("{relation} {}, which the model was loaded from", source.display());
        Err(Error::File { path: shown.to_path_buf(), message })
    };
    let from = canonical(source)?;
    if target == from {
        return refuse("the directory is");
    }
    if target.starts_with(&from) {
        return refuse("the directory is inside");
    }
    if from.starts_with(target) {
        return refuse("the directory holds");
    }
    // Caches keep the files elsewhere, and links in the directory.
    for file in mlx_core::io::shard_paths(source)? {
        if canonical(&file)?.starts_with(target) {
            return refuse("the directory holds the files of");
        }
    }
    Ok(())
}

/// Checks that a directory holds a checkpoint and nothing besides: no mistyped path may cost more than that.
fn check_replaceable(shown: &Path, path: &Path) -> Result<()> {
    let refuse = |message: String| Err(Error::File { path: shown.to_path_buf(), message });
    let entries = entries(path)?;
    if let Some(folder) = entries.iter().find(|entry| !entry.is_file()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        return refuse(format!(
            "the directory holds {name:?}, which no checkpoint has, so it is not overwritten"
        ));
    }
    if !path.join("config.json").is_file() {
        return refuse(
            "the directory is no checkpoint, since it has no config.json, so it is not overwritten".into(),
        );
    }
    Ok(())
}

/// A directory that is being filled.
struct Folder {
    temporary: TempDir,
    target: Target,
}

impl Folder {
    /// Writes one file, out of every buffer and to the disk. Errors name the file that it will be.
    fn write(
        &self,
        name: &str,
        content: impl FnOnce(&mut BufWriter<File>) -> mlx_core::Result<()>,
    ) -> Result<String> {
        let shown = self.target.shown.join(name);
        let io = io_error(&shown);
        let mut file =
            BufWriter::with_capacity(1 << 20, File::create(self.temporary.path().join(name)).map_err(&io)?);
        content(&mut file).map_err(|error| match error {
            mlx_core::Error::Io { source, .. } => io(source),
            other => other.into(),
        })?;
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(&io)?;
        Ok(name.to_owned())
    }

    fn write_json(&self, name: &str, value: &Value) -> Result<String> {
        let text = format!("{value:#}\n");
        self.write(name, |file| {
            file.write_all(text.as_bytes())
                .map_err(|source| mlx_core::Error::Io { path: name.into(), source })
        })
    }

    fn copy(&self, source: &Path) -> Result<String> {
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        let content = fs::read(source).map_err(io_error(source))?;
        self.write(&name, |file| {
            file.write_all(&content)
                .map_err(|error| mlx_core::Error::Io { path: source.into(), source: error })
        })
    }

    /// Gives the directory its name, and returns that.
    fn publish(self) -> Result<PathBuf> {
        let Self { temporary, target } = self;
        let shown = target.shown.clone();
        let io = io_error(&shown);
        sync(temporary.path()).map_err(&io)?;
        let replaced = if target.replaces { Some(target.beside("old")?) } else { None };
        if let Some(old) = &replaced {
            fs::rename(&target.path, old.path()).map_err(&io)?;
        }
        if let Err(error) = fs::rename(temporary.path(), &target.path) {
            if let Some(old) = &replaced {
                fs::rename(old.path(), &target.path).map_err(&io)?;
            }
            return Err(io(error));
        }
        let _ = temporary.keep();
        // The names are there for everybody; whether they outlive a power cut is all that can fail here.
        let _ = sync(&target.parent);
        Ok(target.shown)
    }
}

/// Brings the names in a directory to the disk.
fn sync(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// The paths in a directory, by name.
fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).map_err(io_error(dir))?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(io_error(dir))?;
    paths.sort();
    Ok(paths)
}

/// What the operating system says about `path`.
fn io_error(path: &Path) -> impl Fn(io::Error) -> Error + '_ {
    |source| Error::Io { path: path.to_path_buf(), source }
}
