// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong, with what a caller needs to act on it.

/// The result of anything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array operation.
    #[error(transparent)]
    Core(#[from] mlx_core::Error),

    /// An option outside its domain.
    #[error("{argument}: {message}")]
    Argument {
        /// The option's name.
        argument: &'static str,
        /// What was expected and what was found.
        message: String,
    },

    /// A token id that the logits have no place for.
    #[error("{argument}: token id {id} is out of range: the vocabulary has {vocab_size} tokens")]
    TokenId {
        /// Where the id stands: `logit_bias`, `prompt` or `token`.
        argument: &'static str,
        /// The id.
        id: u32,
        /// How many logits there are.
        vocab_size: usize,
    },

    /// Logits that are not one row of floating numbers, or not as many as before.
    #[error("logits: expected {expected}, found {found:?}")]
    Shape {
        /// What would do.
        expected: String,
        /// The shape that came.
        found: Vec<i32>,
    },

    /// Logits that no distribution follows from.
    #[error("the logits of generated token {position} hold NaN or infinity, or exclude every token")]
    Logits {
        /// Which generated token it is, counted from 0.
        position: usize,
    },
}
