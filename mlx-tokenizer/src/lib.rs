// SPDX-License-Identifier: EUPL-1.2
//! Text to token ids and back, streaming decoding and chat templates, from the files of a checkpoint.
//!
//! [`Tokenizer::from_dir`] reads what a directory holds: `tokenizer.json` (through the `tokenizers` crate) or, where
//! there is none, a SentencePiece BPE `tokenizer.model`; `tokenizer_config.json` and `special_tokens_map.json` for
//! special tokens; `generation_config.json` and `config.json` for the ids that end a generation; chat templates from
//! `chat_template.jinja`, `additional_chat_templates/`, `tokenizer_config.json` or `chat_template.json`.
//!
//! - [`encode`](Tokenizer::encode) and [`decode`](Tokenizer::decode) work on whole texts;
//! - [`stream`](Tokenizer::stream) decodes while ids are being generated, and joins to exactly the whole;
//! - [`render_chat`](Tokenizer::render_chat) and [`encode_chat`](Tokenizer::encode_chat) turn a conversation into what
//!   the model was trained on.
//!
//! ```
//! use mlx_tokenizer::{ChatOptions, Message, Tokenizer};
//!
//! # fn main() -> mlx_tokenizer::Result<()> {
//! # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/qwen");
//! let tokenizer = Tokenizer::from_dir(dir)?;
//! let ids = tokenizer.encode(" naïve 🦙", false)?;
//! assert_eq!(tokenizer.decode(&ids, true)?, " naïve 🦙");
//!
//! let mut stream = tokenizer.stream(true);
//! let mut text = String::new();
//! for id in ids {
//!     text.push_str(&stream.push(id)?); // never half a character
//! }
//! text.push_str(&stream.finish()?);
//! assert_eq!(text, " naïve 🦙");
//!
//! let prompt = tokenizer.render_chat(&[Message::user("Hello!")], &ChatOptions::default())?;
//! assert!(prompt.contains("Hello!"));
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod charsmap;
mod chat;
mod decode;
mod encode;
mod error;
mod json;
mod load;
mod proto;
mod python;
mod sentencepiece;
mod special;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use chat::{ChatOptions, ChatTemplate, Message};
pub use decode::{DecodeStream, OwnedDecodeStream};
pub use error::{Error, Result};

/// A checkpoint's tokenizer with its special tokens and chat templates. It is `Send + Sync`: threads share one.
pub struct Tokenizer {
    engine: Engine,
    decoder: decode::Decoder,
    vocab_size: usize,
    eos: Vec<u32>,
    special: special::Special,
    chat: Option<ChatTemplate>,
    dir: PathBuf,
}

enum Engine {
    Json { tokenizer: Box<tokenizers::Tokenizer>, special: HashSet<u32> },
    SentencePiece(Box<sentencepiece::SentencePiece>),
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.engine {
            Engine::Json { .. } => "tokenizer.json",
            Engine::SentencePiece(_) => "tokenizer.model",
        };
        f.debug_struct("Tokenizer")
            .field("dir", &self.dir)
            .field("kind", &kind)
            .field("vocab_size", &self.vocab_size)
            .field("eos", &self.eos)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Loads the tokenizer of a checkpoint directory.
    ///
    /// # Errors
    /// [`Error::Missing`] without `tokenizer.json` and `tokenizer.model`; [`Error::Io`], [`Error::File`] and
    /// [`Error::Key`] for files that cannot be read or do not make sense. A chat template is only compiled when it is
    /// rendered, so a broken one keeps nobody from encoding.
    pub fn from_dir(dir: impl AsRef<Path>) -> Result<Tokenizer> {
        load::from_dir(dir.as_ref())
    }

    /// Whether a directory holds a `tokenizer.json` or a `tokenizer.model`.
    #[must_use]
    pub fn exists_in(dir: impl AsRef<Path>) -> bool {
        load::exists_in(dir.as_ref())
    }

    /// A decoder for ids that come one by one; with `skip_special`, special tokens are left out.
    #[must_use]
    pub fn stream(&self, skip_special: bool) -> DecodeStream<'_> {
        DecodeStream::new(self, skip_special)
    }

    /// The checkpoint's chat templates, if it has any.
    #[must_use]
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.chat.as_ref()
    }

    /// The text of a special token by its key in `tokenizer_config.json`, such as `bos_token`.
    #[must_use]
    pub fn special_token(&self, key: &str) -> Option<&str> {
        self.special.name(key)
    }

    /// Renders a conversation with the checkpoint's chat template.
    ///
    /// `messages` is anything that serialises to a list of objects with a `role`: a slice of [`Message`], or a
    /// [`serde_json::Value`] as it came from elsewhere.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`] where there is none, [`Error::Argument`] for messages or tools of the wrong form, and
    /// [`Error::Template`] with file and line when the template fails, runs out of its budget, or refuses the
    /// conversation itself.
    pub fn render_chat<M: Serialize + ?Sized>(&self, messages: &M, options: &ChatOptions) -> Result<String> {
        let chat = self.chat.as_ref().ok_or_else(|| Error::NoChatTemplate { dir: self.dir.clone() })?;
        chat.render(messages, options, &self.special.names)
    }

    /// Renders a conversation and encodes it. The template writes out the special tokens that belong there, a BOS among
    /// them, so none is added to its text.
    ///
    /// # Errors
    /// As [`render_chat`](Tokenizer::render_chat) and [`encode`](Tokenizer::encode).
    pub fn encode_chat<M: Serialize + ?Sized>(
        &self,
        messages: &M,
        options: &ChatOptions,
    ) -> Result<Vec<u32>> {
        self.encode(&self.render_chat(messages, options)?, false)
    }
}

/// The ids that end a generation as `generation_config.json` and `config.json` of a directory name them, for use
/// without a tokenizer. Either file may be missing.
///
/// # Errors
/// [`Error::Io`], [`Error::File`] and [`Error::Key`] for a file that cannot be read or does not make sense.
pub fn eos_ids(dir: impl AsRef<Path>) -> Result<Vec<u32>> {
    load::eos_ids(dir.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_a_tokenizer() {
        fn shared<T: Send + Sync>() {}
        shared::<Tokenizer>();
        shared::<OwnedDecodeStream>();
    }
}
