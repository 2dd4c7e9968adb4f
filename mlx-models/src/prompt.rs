// SPDX-License-Identifier: EUPL-1.2
//! From text and messages to the tokens that a model is given.

use mlx_tokenizer::{ChatOptions, Message, Tokenizer};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::generate::GenerateOptions;
use crate::load::Model;

impl Model {
    /// The tokens of `text`, with those that the tokenizer puts around a text.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], or [`Error::Tokenizer`] when the text cannot be encoded.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.require_tokenizer()?.encode(text, true)?)
    }

    /// The tokens that [`generate`](Self::generate) gives the model for `prompt`.
    ///
    /// With a chat template, and unless `options.raw`, the prompt is a user's message behind `options.system`;
    /// else it is continued as it stands.
    ///
    /// # Errors
    /// As [`encode`](Self::encode) and [`chat_prompt`](Self::chat_prompt); [`Error::NoChatTemplate`] for a system
    /// message that has nowhere to go; [`Error::EmptyPrompt`].
    pub fn prompt_ids(&self, prompt: &str, options: &GenerateOptions) -> Result<Vec<u32>> {
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        let template = self.require_tokenizer()?.chat_template().is_some();
        if options.raw || !template {
            if options.system.is_some() {
                return Err(Error::NoChatTemplate);
            }
            return self.encode(prompt);
        }
        let system = options.system.as_deref().map(Message::system);
        let messages: Vec<Message> = system.into_iter().chain([Message::user(prompt)]).collect();
        self.chat_prompt(&messages, &options.chat)
    }

    /// The tokens of `messages` as the chat template renders them, up to where the assistant's answer begins.
    ///
    /// `messages` is a slice of [`Message`], or a JSON value of the same form.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`], [`Error::NoChatTemplate`], or [`Error::Tokenizer`] with what the template says.
    pub fn chat_prompt<M: Serialize + ?Sized>(
        &self,
        messages: &M,
        options: &ChatOptions,
    ) -> Result<Vec<u32>> {
        let text = self.chat_text(messages, options)?;
        self.encode_rendered(&text)
    }

    /// `messages` as the chat template renders them.
    pub(crate) fn chat_text<M: Serialize + ?Sized>(
        &self,
        messages: &M,
        options: &ChatOptions,
    ) -> Result<String> {
        let tokenizer = self.require_tokenizer()?;
        if tokenizer.chat_template().is_none() {
            return Err(Error::NoChatTemplate);
        }
        Ok(tokenizer.render_chat(messages, options)?)
    }

    /// The tokens of a rendered chat: the template has written the special tokens itself.
    pub(crate) fn encode_rendered(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.require_tokenizer()?.encode(text, false)?)
    }

    /// Checks that `tokens` positions are within the model's context.
    pub(crate) fn check_length(&self, tokens: usize) -> Result<()> {
        let limit = self.network().spec().context_length;
        if tokens > limit {
            return Err(Error::ContextLength { tokens, limit });
        }
        Ok(())
    }

    fn require_tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer().ok_or(Error::NoTokenizer)
    }
}
