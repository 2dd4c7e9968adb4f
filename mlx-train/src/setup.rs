// SPDX-License-Identifier: EUPL-1.2
//! From a configuration and a model to batches.

use std::fmt;

use mlx_models::Model;

use crate::config::TrainConfig;
use crate::data::{BatchOptions, Batches, Encoded, ReadOptions, encode, read};
use crate::error::{Error, Result};

/// The data of a run.
#[derive(Debug)]
pub struct Data {
    /// What is learnt.
    pub train: Batches,
    /// What is looked at from time to time.
    pub valid: Option<Batches>,
    /// What there is, for people.
    pub report: DataReport,
}

/// What was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataReport {
    /// Examples that are learnt, and those that are looked at.
    pub examples: [usize; 2],
    /// Examples of both whose end was cut off.
    pub truncated: usize,
    /// Examples of both that were left out, because nothing in them counts.
    pub dropped: usize,
}

impl fmt::Display for DataReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [train, valid] = self.examples;
        write!(f, "{train} training examples, {valid} for validation")?;
        if self.truncated > 0 {
            write!(f, "; {} cut off", self.truncated)?;
        }
        if self.dropped > 0 {
            write!(f, "; {} without a token that counts left out", self.dropped)?;
        }
        Ok(())
    }
}

/// Reads and encodes the data that `config` names, for process number `rank` of `ranks`.
///
/// # Errors
/// [`Error`] with the file and line that cannot be used; [`Error::Models`] when the checkpoint has no tokenizer.
pub fn load_data(config: &TrainConfig, model: &Model, (rank, ranks): (i32, i32)) -> Result<Data> {
    let path = config.data.as_ref().ok_or_else(|| Error::config("data", "missing"))?;
    let tokenizer = model.tokenizer().ok_or(mlx_models::Error::NoTokenizer)?;
    let splits = read(path, &ReadOptions::default())?;
    let options = config.encode_options();
    let train = encode(&splits.train, tokenizer, &options)?;
    let valid = splits.valid.map(|records| encode(&records, tokenizer, &options)).transpose()?;
    let count = |of: fn(&Encoded) -> usize| of(&train) + valid.as_ref().map_or(0, of);
    let report = DataReport {
        examples: [train.examples.len(), valid.as_ref().map_or(0, |valid| valid.examples.len())],
        truncated: count(|encoded| encoded.truncated),
        dropped: count(|encoded| encoded.dropped),
    };
    if train.examples.is_empty() {
        return Err(Error::config("data", "no training example has a token that counts"));
    }
    let [rank, ranks] = [rank, ranks].map(|n| usize::try_from(n).unwrap_or(0));
    let options = config.batch_options(rank, ranks);
    let valid = valid.filter(|valid| !valid.examples.is_empty()).map(|valid| {
        let options = BatchOptions { shuffle: false, ..options.clone() };
        Batches::new(valid.examples, options, config.seed)
    });
    let valid = valid.transpose()?;
    Ok(Data { train: Batches::new(train.examples, options, config.seed)?, valid, report })
}
