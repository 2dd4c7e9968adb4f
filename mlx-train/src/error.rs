// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong, with what a caller needs to act on it.

use std::path::{Path, PathBuf};

/// The result of anything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
}

impl Error {
    /// An argument that cannot be used.
    pub(crate) fn argument(argument: &'static str, message: impl Into<String>) -> Error {
        Error::Argument { argument, message: message.into() }
    }

    /// A failure of the operating system at `path`.
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Error {
        Error::Io { path: path.to_owned(), source }
    }
}
