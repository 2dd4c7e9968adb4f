// SPDX-License-Identifier: EUPL-1.2
//! Where a run stood, on disk: `checkpoints/step-<n>/` with the trained weights, the optimiser's state and the counters.
//!
//! A checkpoint appears whole or not at all, whatever ends the process while it is written: it is made under another name,
//! brought to the disk, and renamed. Old ones go the same way, the other way round.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use mlx_core::Array;
use mlx_core::io::{load_safetensors, save_safetensors};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The counters of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps that were made.
    pub step: u64,
    /// Tokens that counted, over all steps.
    pub tokens: u64,
    /// The best loss of a validation.
    pub best: Option<f32>,
    /// The step it was found at.
    pub best_step: Option<u64>,
    /// Validations since then.
    pub stale: u64,
    /// Seconds that steps took.
    pub seconds: f64,
}

/// Everything a run needs to go on.
#[derive(Debug)]
pub struct Checkpoint {
    /// The counters.
    pub progress: Progress,
    /// The trained parameters, by path.
    pub weights: BTreeMap<String, Array>,
    /// The optimiser's state.
    pub optimizer: BTreeMap<String, Array>,
    /// What the run was configured to be, so that another one does not take it for its own.
    pub fingerprint: String,
}

#[derive(Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    progress: Progress,
    fingerprint: String,
}

const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "state.json";
const PREFIX: &str = "step-";

/// The folder of a run's checkpoints.
#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
}

impl Checkpoints {
    /// Those of the run whose output is `output`; what an interrupted run left half-done is cleared away.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn open(output: &Path) -> Result<Self> {
        let dir = output.join("checkpoints");
        fs::create_dir_all(&dir).map_err(|source| io_error(&dir, source))?;
        let checkpoints = Self { dir };
        for (path, name) in checkpoints.entries()? {
            if name.starts_with('.') {
                remove(&path)?;
            }
        }
        Ok(checkpoints)
    }

    /// The steps that there is a checkpoint of, the first first.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn steps(&self) -> Result<Vec<u64>> {
        let entries = self.entries()?;
        let mut steps: Vec<u64> =
            entries.iter().filter_map(|(_, name)| name.strip_prefix(PREFIX)?.parse().ok()).collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Where the checkpoint of a step is.
    #[must_use]
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{step:08}"))
    }

    /// Reads the checkpoint of a step.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Core`] or [`Error::File`] with the file that cannot be read.
    pub fn read(&self, step: u64) -> Result<Checkpoint> {
        let dir = self.path(step);
        let path = dir.join(STATE);
        let text = fs::read(&path).map_err(|source| io_error(&path, source))?;
        let state: State = serde_json::from_slice(&text)
            .map_err(|error| Error::File { path: path.clone(), message: error.to_string() })?;
        Ok(Checkpoint {
            progress: state.progress,
            fingerprint: state.fingerprint,
            weights: load_safetensors(dir.join(WEIGHTS))?.tensors,
            optimizer: load_safetensors(dir.join(OPTIMIZER))?.tensors,
        })
    }

    /// Writes a checkpoint, in the place of an older one of the same step. Evaluates.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Core`] when the disk refuses; nothing has changed then.
    pub fn write(&self, checkpoint: &Checkpoint) -> Result<()> {
        let step = checkpoint.progress.step;
        let partial = self.dir.join(format!(".{PREFIX}{step:08}"));
        remove(&partial)?;
        fs::create_dir(&partial).map_err(|source| io_error(&partial, source))?;
        let none = BTreeMap::new();
        save_safetensors(partial.join(WEIGHTS), &checkpoint.weights, &none)?;
        save_safetensors(partial.join(OPTIMIZER), &checkpoint.optimizer, &none)?;
        let state =
            State { progress: checkpoint.progress.clone(), fingerprint: checkpoint.fingerprint.clone() };
        let path = partial.join(STATE);
        let text = serde_json::to_vec_pretty(&state)
            .map_err(|error| Error::File { path: path.clone(), message: error.to_string() })?;
        fs::write(&path, text).map_err(|source| io_error(&path, source))?;
        sync(&path)?;
        sync(&partial)?;
        let place = self.path(step);
        self.drop_step(step)?;
        fs::rename(&partial, &place).map_err(|source| io_error(&place, source))?;
        sync(&self.dir)
    }

    /// Removes all but the last `keep` checkpoints and that of the step `best`.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn prune(&self, keep: usize, best: Option<u64>) -> Result<()> {
        let steps = self.steps()?;
        let old = steps.len().saturating_sub(keep);
        for &step in steps.iter().take(old).filter(|step| Some(**step) != best) {
            self.drop_step(step)?;
        }
        Ok(())
    }

    /// Removes the checkpoint of a step, if there is one.
    fn drop_step(&self, step: u64) -> Result<()> {
        let (path, gone) = (self.path(step), self.dir.join(format!(".old-{step:08}")));
        match fs::rename(&path, &gone) {
            Ok(()) => remove(&gone),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(io_error(&path, source)),
        }
    }

    fn entries(&self) -> Result<Vec<(PathBuf, String)>> {
        let read = |source| io_error(&self.dir, source);
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(read)? {
            let entry = entry.map_err(read)?;
            entries.push((entry.path(), entry.file_name().to_string_lossy().into_owned()));
        }
        Ok(entries)
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(path, error)),
        _ => Ok(()),
    }
}

/// Brings a file or a folder to the disk.
fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| io_error(path, source))
}

fn io_error(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_path_buf(), source }
}
