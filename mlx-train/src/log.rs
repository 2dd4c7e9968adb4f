// SPDX-License-Identifier: EUPL-1.2
//! What happened in a run: `log.jsonl`, a line for each event, and the loss as a curve.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::trainer::{Event, StepReport};

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Line {
    /// A mean over the steps since the last such line.
    Train {
        /// Steps by then.
        step: u64,
        /// How often the data was gone through.
        epoch: f64,
        /// The mean loss of a token.
        loss: f64,
        /// The learning rate of the last step.
        rate: f64,
        /// The norm of the last gradient before it was clipped.
        norm: f32,
        /// Tokens that counted, a second.
        tokens_per_second: f64,
        /// Seconds that steps took since the process began.
        seconds: f64,
    },
    /// A validation.
    Valid {
        /// Steps by then.
        step: u64,
        /// The mean loss of a token.
        loss: f32,
    },
}

impl Line {
    fn step(&self) -> u64 {
        match self {
            Self::Train { step, .. } | Self::Valid { step, .. } => *step,
        }
    }
}

/// The log of a run that goes on.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    every: u64,
    // Since the last line.
    loss: f64,
    tokens: usize,
    seconds: f64,
    total: f64,
}

impl Log {
    /// The log in `output` of a run that stands at `step`: lines of later steps, which an interrupted run wrote and this one
    /// makes again, are cut off. A line is written each `every` steps.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn open(output: &Path, step: u64, every: u64) -> Result<Self> {
        let path = output.join("log.jsonl");
        let failed = |source| Error::Io { path: path.clone(), source };
        fs::create_dir_all(output).map_err(failed)?;
        let kept: Vec<String> = match fs::read_to_string(&path) {
            Ok(text) if step > 0 => {
                let known = |line: &&str| serde_json::from_str::<Line>(line).is_ok_and(|l| l.step() <= step);
                text.lines().filter(known).map(str::to_owned).collect()
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => Vec::new(),
        };
        let partial = output.join(".log.jsonl");
        let text: String = kept.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&partial, text).and_then(|()| fs::rename(&partial, &path)).map_err(failed)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        Ok(Self { file, path: path.clone(), every, loss: 0.0, tokens: 0, seconds: 0.0, total: 0.0 })
    }

    /// Takes an event in; returns the line that it wrote, if it is one that has a line.
    ///
    /// # Errors
    /// [`Error::Io`] when the disk refuses.
    pub fn take(&mut self, event: &Event<'_>) -> Result<Option<Line>> {
        let line = match event {
            Event::Step(report) => {
                let StepReport { step, steps, epoch, loss, rate, norm, tokens, seconds, .. } = **report;
                #[expect(clippy::cast_precision_loss, reason = "for people")]
                let count = tokens as f64;
                self.loss += f64::from(loss) * count;
                self.tokens += tokens;
                self.seconds += seconds;
                self.total += seconds;
                if !step.is_multiple_of(self.every) && step != steps {
                    return Ok(None);
                }
                #[expect(clippy::cast_precision_loss, reason = "for people")]
                let count = self.tokens.max(1) as f64;
                let line = Line::Train {
                    step,
                    epoch,
                    loss: self.loss / count,
                    rate,
                    norm,
                    tokens_per_second: count / self.seconds.max(1e-9),
                    seconds: self.total,
                };
                (self.loss, self.tokens, self.seconds) = (0.0, 0, 0.0);
                line
            }
            &Event::Valid { step, loss, .. } => Line::Valid { step, loss },
            Event::Saved { .. } => return Ok(None),
        };
        let failed = |source| Error::Io { path: self.path.clone(), source };
        let text = serde_json::to_string(&line).map_err(|error| failed(error.into()))?;
        writeln!(self.file, "{text}").map_err(failed)?;
        Ok(Some(line))
    }
}

/// The lines of the log in `output`; those that are no lines, such as half a one at the end, are passed over.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub fn read_log(output: &Path) -> Result<Vec<Line>> {
    let path = output.join("log.jsonl");
    let text = fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
