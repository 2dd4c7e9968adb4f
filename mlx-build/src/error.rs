// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong between a fresh clone and a native library, each with what helps.

use std::path::{Path, PathBuf};

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was missing, what was tried, and which command or variable helps.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The target triple is not one that the pins cover.
    #[error(
        "no native library is pinned for {triple} with the {backend} backend; pinned are {known}; \
         build MLX yourself and name it with MLX_DIR, or name a finished prefix with MLX_PREFIX"
    )]
    UnknownPlatform {
        /// The triple that was asked for.
        triple: String,
        /// The backend that was asked for, or `default`.
        backend: String,
        /// The platforms and backends that the pins cover.
        known: String,
    },

    /// The name of a backend is none of those that exist.
    #[error("unknown backend `{name}`: expected cpu, metal or cuda")]
    UnknownBackend {
        /// What was given.
        name: String,
    },

    /// There is no Python interpreter.
    #[error(
        "no Python interpreter: tried {tried}; install Python 3 (Debian, Ubuntu: `apt install python3 python3-pip`) \
         or name one with MLX_PYTHON"
    )]
    NoPython {
        /// The programs that were looked for.
        tried: String,
    },

    /// The interpreter has no pip.
    #[error(
        "{python} has no pip ({detail}), which fetches {wanted}; install it (Debian, Ubuntu: `apt install \
         python3-pip`, elsewhere `{python} -m ensurepip`), name another interpreter with MLX_PYTHON, or a finished \
         prefix with MLX_PREFIX"
    )]
    NoPip {
        /// The interpreter.
        python: PathBuf,
        /// What it said.
        detail: String,
        /// The wheels that are wanted.
        wanted: String,
    },

    /// There is no C++ compiler.
    #[error(
        "no C++ compiler: tried {tried}; install one (Debian, Ubuntu: `apt install g++`, Fedora: `dnf install gcc-c++`, \
         macOS: `xcode-select --install`) or name one with CXX"
    )]
    NoCompiler {
        /// What was tried and what it said.
        tried: String,
    },

    /// A file was fetched whose content is not the one that was pinned.
    #[error(
        "{} has sha256 {found}, but {expected} is pinned in vendor/mlx-c/wheels.txt; the file was not used; if the \
         package index is a mirror, check it, and try again", .file.display()
    )]
    WrongHash {
        /// The file.
        file: PathBuf,
        /// The hash in the pins.
        expected: String,
        /// The hash of the file.
        found: String,
    },

    /// A download failed.
    #[error("cannot fetch {what}: `{command}` failed: {detail}; check the network, or {help}")]
    Fetch {
        /// What was to be fetched.
        what: String,
        /// The command line.
        command: String,
        /// The end of what it said.
        detail: String,
        /// What to do without a network.
        help: String,
    },

    /// CMake or the compiler failed.
    #[error("building libmlxc failed; the end of {}:\n{tail}", .log.display())]
    Build {
        /// Everything that was said.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },

    /// The mlx-c sources are not what the fixes expect.
    #[error("the mlx-c sources in {} are not as expected: {detail}", .dir.display())]
    Sources {
        /// The folder that holds `mlx/c`.
        dir: PathBuf,
        /// What differs.
        detail: String,
    },

    /// A folder that a variable names does not hold what it should.
    #[error("{variable} names {}, which is not usable: {detail}", .path.display())]
    Override {
        /// `MLX_PREFIX`, `MLX_DIR` or `MLX_C_SOURCE_DIR`.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },

    /// The table of pins cannot be read.
    #[error("vendor/mlx-c/wheels.txt line {line}: {detail}")]
    Pins {
        /// Counted from one.
        line: usize,
        /// What is wrong with it.
        detail: String,
    },

    /// A program was run as a build step from within a build step.
    #[error("a build step must not start a build: call mlx_build::run_step_if_asked first in main")]
    Nested,

    /// A file or folder could not be read or written.
    #[error("cannot {action} {}: {source}{help}", .path.display())]
    Io {
        /// `create`, `read`, `write`, `lock`, ..
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
        /// What helps, beginning with `; `, or nothing.
        help: &'static str,
    },
}

impl Error {
    /// For `map_err` on an action on a file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { action, path, source, help: "" }
    }

    /// The same for the folders under the target directory, which the user can put elsewhere.
    pub(crate) fn target_io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io {
            action,
            path,
            source,
            help: "; the native library is kept under the target directory: make it writable, choose another with \
                   CARGO_TARGET_DIR, or name a finished prefix with MLX_PREFIX",
        }
    }
}
