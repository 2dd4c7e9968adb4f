// SPDX-License-Identifier: EUPL-1.2
//! Prefill, decode, stop.
//!
//! Decoding is pipelined: the pass that computes token n + 1 is submitted before token n is read, so the device is
//! not idle while the host decodes text. Nothing is submitted after the last token that was asked for.

use std::fmt;
use std::time::Instant;

use mlx_core::{Array, async_eval};
use mlx_sampler::{Sampler, SamplerOptions};
use mlx_tokenizer::{ChatOptions, DecodeStream};
use serde::Serialize;

use crate::control::{CancelToken, Progress};
use crate::error::{Error, Result};
use crate::load::Model;
use crate::model::{check_ids, prefill, row};
use crate::session::{Session, State};
use crate::stop::StopStrings;

/// What to generate, and when to stop.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// The most tokens to generate. Default 256.
    pub max_tokens: usize,
    /// How tokens are chosen. Default: the most probable one.
    pub sampler: SamplerOptions,
    /// Strings that end the text; neither they nor what follows is part of it. Default none.
    pub stop: Vec<String>,
    /// Whether an end-of-sequence token is a token like any other. Default false.
    pub ignore_eos: bool,
    /// Whether a prompt is continued as it stands. Otherwise, where the checkpoint has a chat template, a prompt is
    /// taken for a user's message and rendered with it. Default false.
    pub raw: bool,
    /// The system message in front of a prompt that is rendered with the chat template. Default none.
    pub system: Option<String>,
    /// What the chat template is told: tools, thinking, other variables. Default nothing.
    pub chat: ChatOptions,
    /// How many tokens of a prompt are computed at a time, at least 1. It bounds memory, and how long a cancellation
    /// waits; the result does not depend on it. Default 512.
    pub prefill_chunk: usize,
    /// A flag that ends generation when it is set. Default none.
    pub cancel: Option<CancelToken>,
    /// Told how many tokens of the prompt are computed, and of how many. Default none.
    pub progress: Option<Progress>,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_tokens: 256,
            sampler: SamplerOptions::default(),
            stop: Vec::new(),
            ignore_eos: false,
            raw: false,
            system: None,
            chat: ChatOptions::default(),
            prefill_chunk: 512,
            cancel: None,
            progress: None,
        }
    }
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model ended the text, or a stop string came.
    Stop,
    /// As many tokens as were asked for, or as the context holds.
    Length,
    /// The [`CancelToken`] was set.
    Cancelled,
}

impl FinishReason {
    /// The name as in reports: `stop`, `length` or `cancelled`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for FinishReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One generated token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The text that is certain now; none without a tokenizer.
    ///
    /// It is empty while a letter is incomplete or a stop string possible; the last token brings what is left.
    pub text: Option<String>,
}

/// What was generated, and how fast.
#[derive(Clone, Debug, PartialEq)]
pub struct Generation {
    /// The text; none without a tokenizer.
    pub text: Option<String>,
    /// The generated tokens. An end-of-sequence token that ended the text is the last of them; it has no text.
    pub token_ids: Vec<u32>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of them were in the cache already.
    pub cached_tokens: usize,
    /// How many tokens were generated.
    pub generated_tokens: usize,
    /// Seconds from the call to the first token; until the end where there was none.
    pub time_to_first_token_s: f64,
    /// Prompt tokens that were computed, per second until the first token.
    pub prefill_tps: f64,
    /// `(n − 1) / (time of the last token − time of the first)`; none for fewer than two tokens.
    pub decode_tps: Option<f64>,
    /// The most memory that arrays took since the process began or `mlx_core::memory::reset_peak_memory` was
    /// called, weights included.
    pub peak_memory_bytes: usize,
}

/// Tokens as they are generated.
///
/// The prompt is computed when the first token is asked for. After the last token, or earlier,
/// [`finish`](Self::finish) gives the figures. Dropping it stops.
pub struct TokenStream<'m> {
    model: &'m Model,
    state: StateRef<'m>,
    sampler: Sampler,
    options: GenerateOptions,
    prompt: Vec<u32>,
    cached: usize,
    /// How many tokens to generate at most.
    limit: usize,
    /// The token that is being computed.
    pending: Option<Array>,
    text: Option<Text<'m>>,
    ids: Vec<u32>,
    finish: Option<FinishReason>,
    started: Instant,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// From tokens to the text that may be shown.
struct Text<'m> {
    decoder: DecodeStream<'m>,
    stops: StopStrings,
    shown: String,
}

/// A cache of the stream's own, or that of a session.
enum StateRef<'m> {
    Owned(State),
    Borrowed(&'m mut State),
}

impl StateRef<'_> {
    fn get(&mut self) -> &mut State {
        match self {
            Self::Owned(state) => state,
            Self::Borrowed(state) => state,
        }
    }
}

impl<'m> TokenStream<'m> {
    pub(crate) fn owned(model: &'m Model, ids: &[u32], options: &GenerateOptions) -> Result<Self> {
        Self::new(model, StateRef::Owned(State::default()), ids, options)
    }

    pub(crate) fn borrowed(
        model: &'m Model,
        state: &'m mut State,
        ids: &[u32],
        options: &GenerateOptions,
    ) -> Result<Self> {
        Self::new(model, StateRef::Borrowed(state), ids, options)
    }

    fn new(model: &'m Model, state: StateRef<'m>, ids: &[u32], options: &GenerateOptions) -> Result<Self> {
        let started = Instant::now();
        let spec = model.network().spec();
        check_ids(ids, spec.vocab_size)?;
        if options.prefill_chunk == 0 {
            let message = "expected at least 1, found 0".into();
            return Err(Error::Argument { argument: "prefill_chunk", message });
        }
        let room = spec.context_length.saturating_sub(ids.len());
        if room == 0 {
            return Err(Error::ContextLength { tokens: ids.len(), limit: spec.context_length });
        }
        let sampler = Sampler::new(options.sampler.clone(), ids)?;
        let text = match model.tokenizer() {
            Some(tokenizer) => Some(Text {
                decoder: tokenizer.stream(true),
                stops: StopStrings::new(&options.stop)?,
                shown: String::new(),
            }),
            None if !options.stop.is_empty() => return Err(Error::NoTokenizer),
            None => None,
        };
        Ok(Self {
            model,
            state,
            sampler,
            options: options.clone(),
            prompt: ids.to_vec(),
            cached: 0,
            limit: options.max_tokens.min(room),
            pending: None,
            text,
            ids: Vec::new(),
            finish: (options.max_tokens == 0).then_some(FinishReason::Length),
            started,
            first: None,
            last: None,
        })
    }

    /// Generates what is left, and gives the figures.
    ///
    /// # Errors
    /// Whatever fails on the way.
    pub fn collect_all(mut self) -> Result<Generation> {
        for token in &mut self {
            token?;
        }
        self.finish()
    }

    /// Why generation ended, once it has.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    /// What was generated so far, and the figures. A stream that has not ended counts as cancelled.
    ///
    /// # Errors
    /// [`Error::Core`] when the allocator cannot tell the memory figure, [`Error::Tokenizer`] when the text that is
    /// held back cannot be decoded.
    pub fn finish(mut self) -> Result<Generation> {
        if self.finish.is_none() {
            self.end(FinishReason::Cancelled)?;
        }
        let seconds = |from: Instant, to: Instant| to.duration_since(from).as_secs_f64();
        let first = seconds(self.started, self.first.unwrap_or_else(Instant::now));
        let decode = match (self.first, self.last) {
            (Some(first), Some(last)) if self.ids.len() > 1 => {
                Some((self.ids.len() - 1) as f64 / seconds(first, last).max(f64::MIN_POSITIVE))
            }
            _ => None,
        };
        let computed = if self.first.is_some() { self.prompt.len() - self.cached } else { 0 };
        Ok(Generation {
            text: self.text.map(|text| text.shown),
            generated_tokens: self.ids.len(),
            token_ids: self.ids,
            finish_reason: self.finish.unwrap_or(FinishReason::Cancelled),
            prompt_tokens: self.prompt.len(),
            cached_tokens: self.cached,
            time_to_first_token_s: first,
            prefill_tps: computed as f64 / first.max(f64::MIN_POSITIVE),
            decode_tps: decode,
            peak_memory_bytes: mlx_core::memory::peak_memory()?,
        })
    }

    fn is_cancelled(&self) -> bool {
        self.options.cancel.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    /// Computes the prompt and submits the first token; false when it was cancelled on the way.
    fn prefill(&mut self) -> Result<bool> {
        let network = self.model.network();
        let state = self.state.get();
        self.cached = state.rewind(network, &self.prompt)?;
        let total = self.prompt.len();
        state.cache.expect(i32::try_from(total).unwrap_or(i32::MAX));
        let report = |done| {
            if let Some(progress) = &self.options.progress {
                progress.report(done, total);
            }
        };
        let cancelled = || self.options.cancel.as_ref().is_some_and(CancelToken::is_cancelled);
        let new = self.prompt.get(self.cached..).unwrap_or_default();
        let mut done = self.cached;
        let logits = prefill(network, new, &mut state.cache, self.options.prefill_chunk, |cached| {
            done = cached;
            report(done);
            !cancelled()
        })?;
        let Some(logits) = logits else {
            state.tokens.extend(self.prompt.get(self.cached..done).unwrap_or_default());
            return Ok(false);
        };
        let token = self.sampler.sample(&logits)?;
        async_eval([&token])?;
        self.pending = Some(token);
        state.tokens.clone_from(&self.prompt);
        report(total);
        Ok(true)
    }

    /// Reads the pending token, with the next one submitted before that.
    fn step(&mut self) -> Result<Option<Token>> {
        if self.is_cancelled() || (self.pending.is_none() && !self.prefill()?) {
            return self.end(FinishReason::Cancelled);
        }
        let Some(current) = self.pending.take() else { return Ok(None) };
        let last = self.ids.len() + 1 >= self.limit;
        if !last {
            let ids = current.reshape(&[1, 1])?;
            let logits = self.model.network().forward_last(&ids, &mut self.state.get().cache)?;
            let next = self.sampler.sample(&logits)?;
            async_eval([&next])?;
            self.pending = Some(next);
        }
        let id = current.item::<u32>()?;
        self.sampler.accept(id)?;
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.ids.push(id);
        if !last {
            self.state.get().tokens.push(id);
        }
        let ended = !self.options.ignore_eos && self.model.eos().contains(&id);
        if ended {
            self.finish = Some(FinishReason::Stop);
        } else if last {
            self.finish = Some(FinishReason::Length);
        }
        let text = match &mut self.text {
            None => None,
            Some(text) => {
                let mut piece = if ended { String::new() } else { text.stops.push(&text.decoder.push(id)?) };
                if self.finish.is_some() && !text.stops.matched() {
                    piece += &text.stops.push(&text.decoder.finish()?);
                    piece += &text.stops.finish();
                }
                if text.stops.matched() {
                    self.finish = Some(FinishReason::Stop);
                }
                text.shown += &piece;
                Some(piece)
            }
        };
        Ok(Some(Token { id, text }))
    }

    /// Ends without another token; text that was held back is added to what [`finish`](Self::finish) returns.
    fn end(&mut self, reason: FinishReason) -> Result<Option<Token>> {
        self.finish = Some(reason);
        if let Some(text) = &mut self.text {
            let tail = text.stops.push(&text.decoder.finish()?) + &text.stops.finish();
            text.shown += &tail;
        }
        Ok(None)
    }
}

impl Iterator for TokenStream<'_> {
    type Item = Result<Token>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finish.is_some() {
            return None;
        }
        let token = self.step().transpose();
        if let Some(Err(_)) = token {
            // Some layers may have seen more than others: nobody may go on with this cache.
            *self.state.get() = State::default();
            self.finish = Some(FinishReason::Cancelled);
        }
        if self.finish.is_some() {
            self.pending = None;
        }
        token
    }
}

impl fmt::Debug for TokenStream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStream")
            .field("prompt_tokens", &self.prompt.len())
            .field("generated_tokens", &self.ids.len())
            .field("finish", &self.finish)
            .finish_non_exhaustive()
    }
}

impl Model {
    /// Generates tokens after `ids`, one at a time.
    ///
    /// Every id is checked, and nothing is computed yet.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::TokenId`], [`Error::ContextLength`], [`Error::Argument`] or
    /// [`Error::Sampler`] for an option that cannot be, [`Error::NoTokenizer`] for stop strings without text.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_models::Result<()> {
    /// # let model = mlx_models::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny-chat-qwen3"))?;
    /// let options = Default::default();
    /// let mut stream = model.stream(&model.prompt_ids("Count to ten.", &options)?, &options)?;
    /// let mut shown = String::new();
    /// for token in &mut stream {
    ///     shown += &token?.text.unwrap_or_default(); // as it comes
    /// }
    /// let figures = stream.finish()?;
    /// assert_eq!(figures.text, Some(shown));
    /// # Ok(()) }
    /// ```
    pub fn stream(&self, ids: &[u32], options: &GenerateOptions) -> Result<TokenStream<'_>> {
        TokenStream::owned(self, ids, options)
    }

    /// Generates all tokens after `ids`.
    ///
    /// # Errors
    /// As [`stream`](Self::stream), or whatever fails on the way.
    pub fn generate_ids(&self, ids: &[u32], options: &GenerateOptions) -> Result<Generation> {
        self.stream(ids, options)?.collect_all()
    }

    /// Generates an answer to `prompt`: with a chat template, to the message that it is; else, or with
    /// `options.raw`, its continuation.
    ///
    /// # Errors
    /// As [`prompt_ids`](Self::prompt_ids) and [`generate_ids`](Self::generate_ids).
    pub fn generate(&self, prompt: &str, options: &GenerateOptions) -> Result<Generation> {
        self.generate_ids(&self.prompt_ids(prompt, options)?, options)
    }

    /// Generates the assistant's next message.
    ///
    /// # Errors
    /// As [`chat_prompt`](Self::chat_prompt) and [`generate_ids`](Self::generate_ids).
    pub fn chat<M: Serialize + ?Sized>(&self, messages: &M, options: &GenerateOptions) -> Result<Generation> {
        self.generate_ids(&self.chat_prompt(messages, &options.chat)?, options)
    }

    /// A conversation, whose prompts share a cache.
    #[must_use]
    pub fn session(&self) -> Session<'_> {
        Session::new(self)
    }

    /// The logits after each of `ids`, `[L, V]` in float32, in one pass. Lazy.
    ///
    /// # Errors
    /// [`Error::EmptyPrompt`], [`Error::TokenId`] or [`Error::ContextLength`].
    pub fn logits(&self, ids: &[u32]) -> Result<Array> {
        let network = self.network();
        let ids = row(ids, network.spec().vocab_size)?;
        self.check_length(ids.size())?;
        Ok(network.forward(&ids, &mut network.make_cache()?)?.squeeze_axes(&[0])?)
    }
}
