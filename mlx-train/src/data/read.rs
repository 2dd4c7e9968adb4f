// SPDX-License-Identifier: EUPL-1.2
//! Data files: one JSON object a line.

use std::fs;
use std::path::{Path, PathBuf};

use crate::data::record::{Keys, Record};
use crate::error::{Error, Result};

/// How data files are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The keys that the parts of a record stand under.
    pub keys: Keys,
}

/// The records of one file, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Records {
    path: PathBuf,
    records: Vec<(usize, Record)>,
}

impl Records {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none, which [`read_file`] refuses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The records, each with its line, counted from 1.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &Record)> {
        self.records.iter().map(|(line, record)| (*line, record))
    }
}

/// What is trained on, and what only measures it.
#[derive(Debug, Clone, PartialEq)]
pub struct Splits {
    /// What is learnt.
    pub train: Records,
    /// What is looked at while training, if there is any.
    pub valid: Option<Records>,
    /// What is looked at in the end, if there is any.
    pub test: Option<Records>,
}

/// Reads `train.jsonl` and, where they are there, `valid.jsonl` and `test.jsonl` of a directory; or one file, all of it
/// for training.
///
/// # Errors
/// [`Error::File`] where `path` is a directory without `train.jsonl`, and as [`read_file`].
pub fn read(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Splits> {
    let path = path.as_ref();
    if !path.is_dir() {
        return Ok(Splits { train: read_file(path, options)?, valid: None, test: None });
    }
    let train = path.join("train.jsonl");
    if !train.exists() {
        return Err(Error::File { path: path.to_owned(), message: "holds no train.jsonl".into() });
    }
    let optional = |name: &str| {
        let path = path.join(name);
        path.exists().then(|| read_file(&path, options)).transpose()
    };
    Ok(Splits {
        train: read_file(&train, options)?,
        valid: optional("valid.jsonl")?,
        test: optional("test.jsonl")?,
    })
}

/// Reads one file. Blank lines are skipped, and so is the mark that some programs put before UTF-8.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::Line`] for a line that is no record, [`Error::File`] when it holds no
/// record at all, [`Error::Argument`] when two of the keys are the same.
///
/// # Examples
/// ```
/// use mlx_train::data::{Keys, ReadOptions, Record, read_file};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("notes.jsonl");
/// std::fs::write(&path, "{\"note\": \"The tide is out.\"}\n")?;
/// let keys = Keys { text: "note".into(), ..Keys::default() };
/// let records = read_file(&path, &ReadOptions { keys })?;
/// assert_eq!(records.iter().next(), Some((1, &Record::Text("The tide is out.".into()))));
/// # Ok(()) }
/// ```
pub fn read_file(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Records> {
    let path = path.as_ref();
    if let Some(key) = options.keys.clash() {
        return Err(Error::argument("keys", format!("two parts of a record stand under {key:?}")));
    }
    let bytes = fs::read(path).map_err(|source| Error::io(path, source))?;
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
    let mut records = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        let wrong = |message| Error::Line { path: path.to_owned(), line: index + 1, message };
        let text = std::str::from_utf8(line).map_err(|error| wrong(format!("not UTF-8: {error}")))?;
        records.push((index + 1, Record::parse(text, &options.keys).map_err(wrong)?));
    }
    if records.is_empty() {
        return Err(Error::File { path: path.to_owned(), message: "holds no records".into() });
    }
    Ok(Records { path: path.to_owned(), records })
}
