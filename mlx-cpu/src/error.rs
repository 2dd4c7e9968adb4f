// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Operands that do not fit each other or the kernel.
    #[error("{kernel}: {message}")]
    Operand {
        /// The kernel.
        kernel: &'static str,
        /// What was expected, and what was found.
        message: String,
    },
    /// An environment variable that cannot be obeyed.
    #[error("{name}: {message}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What was expected, and what was found.
        message: String,
    },
}

/// The result of a fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn operand(kernel: &'static str, message: impl Into<String>) -> Self {
        Self::Operand { kernel, message: message.into() }
    }

    pub(crate) fn variable(name: &'static str, message: impl Into<String>) -> Self {
        Self::Variable { name, message: message.into() }
    }
}
