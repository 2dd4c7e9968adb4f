// SPDX-License-Identifier: EUPL-1.2
//! What can go wrong, with what a caller needs to act on it.

use std::path::PathBuf;

/// The result of anything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An array operation or a weight file.
    #[error(transparent)]
    Core(#[from] mlx_core::Error),

    /// A layer.
    #[error(transparent)]
    Nn(#[from] mlx_nn::Error),

    /// The sampler or its options.
    #[error(transparent)]
    Sampler(#[from] mlx_sampler::Error),

    /// The tokenizer or the chat template.
    #[error(transparent)]
    Tokenizer(#[from] mlx_tokenizer::Error),

    /// The operating system refused to read a file or directory.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },

    /// A file or directory that is not what a checkpoint needs.
    #[error("{}: {message}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// A key of `config.json` with a value that cannot be used.
    #[error("{}: key {key}: {message}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, with dots between levels.
        key: String,
        /// What was expected and what was found.
        message: String,
    },

    /// An architecture that this crate does not know.
    #[error("{}: key model_type: {found:?} is not supported, only {known} are", path.display())]
    UnknownModelType {
        /// The file.
        path: PathBuf,
        /// The value that was found.
        found: String,
        /// The values that are known.
        known: String,
    },

    /// Weights that do not fit the model which `config.json` describes; all culprits are listed.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The checkpoint directory.
        path: PathBuf,
        /// What is missing, surplus or misshapen.
        source: mlx_nn::Error,
    },

    /// A tokenizer with more ids than the model has embeddings.
    #[error(
        "{}: the tokenizer's ids go up to {largest}, but the model has {vocab_size} embeddings; \
         this tokenizer belongs to another model",
        path.display()
    )]
    TokenizerMismatch {
        /// The checkpoint directory.
        path: PathBuf,
        /// The tokenizer's largest id.
        largest: u32,
        /// How many tokens the model knows.
        vocab_size: usize,
    },

    /// Text was given to, or asked of, a checkpoint without a tokenizer.
    #[error("the checkpoint has no tokenizer.json or tokenizer.model, so only token ids will do")]
    NoTokenizer,

    /// Messages were given to a checkpoint without a chat template.
    #[error("the checkpoint has no chat template, so messages cannot be turned into a prompt")]
    NoChatTemplate,

    /// A prompt without a token.
    #[error("the prompt is empty: a model needs at least one token")]
    EmptyPrompt,

    /// A token id that the model has no embedding for.
    #[error("token id {id} is out of range: the vocabulary has {vocab_size} tokens, 0 to {}", vocab_size.saturating_sub(1))]
    TokenId {
        /// The id.
        id: u32,
        /// How many tokens the model knows.
        vocab_size: usize,
    },

    /// A prompt that leaves no room for an answer.
    #[error(
        "the prompt has {tokens} tokens, but the model's context has room for {limit}, the answer included"
    )]
    ContextLength {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions that the model was made for.
        limit: usize,
    },

    /// An argument outside its domain.
    #[error("{argument}: {message}")]
    Argument {
        /// The argument's name.
        argument: &'static str,
        /// What was expected and what was found.
        message: String,
    },

    /// Keys or values that do not belong to a cache.
    #[error("cache: expected shape {expected}, found {found:?}")]
    CacheShape {
        /// The shape that would do.
        expected: String,
        /// The shape that came.
        found: Vec<i32>,
    },

    /// A cache that no longer has the tokens which a shorter text needs.
    #[error("cache: {length} tokens cannot be taken back to {offset}")]
    Trim {
        /// The length that was asked for.
        offset: i32,
        /// Tokens in the cache.
        length: i32,
    },

    /// The caller's [`CancelToken`](crate::CancelToken) was set.
    #[error("cancelled")]
    Cancelled,
}
