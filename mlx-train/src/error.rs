// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong, with what a caller needs to act on it.

use std::path::{Path, PathBuf};

/// The result of anything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array operation or a weight file.
    #[error(transparent)]
    Core(#[from] mlx_core::Error),

    /// A layer or an optimiser.
    #[error(transparent)]
    Nn(#[from] mlx_nn::Error),

    /// A model or its tokenizer.
    #[error(transparent)]
    Models(#[from] mlx_models::Error),

    /// The operating system refused to read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// A file or directory that is not what training needs.
    #[error("{}: {message}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },

    /// A line of a data file that cannot be used.
    #[error("{}: line {line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What was expected and what was found.
        message: String,
    },

    /// A line of a data file that the tokenizer or the chat template refuses.
    #[error("{}: line {line}: {source}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the tokenizer or the template said.
        source: Box<mlx_models::Error>,
    },

    /// An argument that cannot be used.
    #[error("{argument}: {message}")]
    Argument {
        /// The argument's name.
        argument: &'static str,
        /// What was expected and what was found.
        message: String,
    },

    /// A key of the configuration with a value that cannot be used.
    #[error("key {key}: {message}")]
    Config {
        /// The key.
        key: &'static str,
        /// What was expected and what was found.
        message: String,
    },

    /// A batch that cannot be computed.
    #[error("batch: {message}")]
    Batch {
        /// What was expected and what was found.
        message: String,
    },

    /// A loss that is not finite.
    #[error("step {step}: the loss is {found}; a lower learning rate or a bound on gradients may help")]
    Loss {
        /// The step.
        step: u64,
        /// The loss.
        found: f64,
    },

    /// A checkpoint that a run cannot go on from.
    #[error("{}: {message}", path.display())]
    Resume {
        /// The checkpoint.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
}

impl Error {
    /// An argument that cannot be used.
    pub(crate) fn argument(argument: &'static str, message: impl Into<String>) -> Error {
        Error::Argument { argument, message: message.into() }
    }

    /// A key of the configuration outside its domain.
    pub(crate) fn config(key: &'static str, message: impl Into<String>) -> Error {
        Error::Config { key, message: message.into() }
    }

    /// A failure of the operating system at `path`.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io { path: path.to_owned(), source }
    }
}
