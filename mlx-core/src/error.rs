// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong, with what a caller needs to act on it.

use std::path::{Path, PathBuf};

use crate::Dtype;

/// The result of anything that reaches the native library or the disk.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The native library refused an operation.
    #[error("{op}: {message}")]
    Mlx {
        /// The C function that failed.
        op: &'static str,
        /// What the library said.
        message: String,
    },

    /// An array has another element type than the one asked for.
    #[error("{op}: expected dtype {expected}, found {found}")]
    Dtype {
        /// What was attempted.
        op: &'static str,
        /// The dtype that would do.
        expected: Dtype,
        /// The dtype of the array.
        found: Dtype,
    },

    /// A buffer does not hold as many elements as its shape says.
    #[error("shape {shape:?} needs {expected} elements, found {found}")]
    BufferLength {
        /// The shape that was given.
        shape: Vec<i32>,
        /// Elements (or bytes, where bytes were given) that the shape needs.
        expected: usize,
        /// Elements (or bytes) that the buffer has.
        found: usize,
    },

    /// A shape that no array can have, or that does not fit its operand.
    #[error("{op}: {message}")]
    Shape {
        /// What was attempted.
        op: &'static str,
        /// What was expected and what was found.
        message: String,
    },

    /// An index outside its axis.
    #[error("{op}: index {index} is out of range for an axis of {size}")]
    Index {
        /// What was attempted.
        op: &'static str,
        /// The index as it was given.
        index: i64,
        /// The length of the axis.
        size: i64,
    },

    /// An argument outside its domain.
    #[error("{op}: {argument}: {message}")]
    Argument {
        /// What was attempted.
        op: &'static str,
        /// The argument's name.
        argument: &'static str,
        /// What was expected and what was found.
        message: String,
    },

    /// The operating system refused to read or write a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// A file that is not what its name promises.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// A tensor of a file that cannot be used.
    #[error("{}: tensor {name:?}: {message}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// An argument of `op` outside its domain.
    pub(crate) fn argument(op: &'static str, argument: &'static str, message: impl Into<String>) -> Self {
        Self::Argument { op, argument, message: message.into() }
    }

    /// A shape that `op` cannot take.
    pub(crate) fn shape(op: &'static str, message: impl Into<String>) -> Self {
        Self::Shape { op, message: message.into() }
    }

    /// An operating system error about `path`.
    pub(crate) fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// A file whose content is wrong.
    pub(crate) fn file(path: impl AsRef<Path>, message: impl Into<String>) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), message: message.into() }
    }
}
