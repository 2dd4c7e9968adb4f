// SPDX-License-Identifier: EUPL-1.2
//! From logits to a token: logit bias, penalties, temperature, top-k, top-p, min-p, and the draw, in this order.
//!
//! All of it is computed in float32 on the device, and is lazy: [`Sampler::sample`] returns the token as an array, which
//! can be fed to the next pass before anybody has read it. Penalties are no exception, because the sampler counts on the
//! device what was drawn there. The host reads a token when it likes and then calls [`Sampler::accept`], which is also
//! where logits that were no numbers come to light.
//!
//! ```
//! # fn main() -> mlx_sampler::Result<()> {
//! use mlx_core::Array;
//! use mlx_sampler::{Sampler, SamplerOptions};
//!
//! let options = SamplerOptions { temperature: 0.8, top_k: Some(2), seed: Some(7), ..Default::default() };
//! let mut sampler = Sampler::new(options, &[])?;
//! let logits = Array::from_slice(&[0.1f32, 3.0, 2.5, -1.0], &[4])?;
//! let token = sampler.sample(&logits)?;
//! let id = token.item::<u32>()?;
//! sampler.accept(id)?;
//! assert!(id == 1 || id == 2);
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod choose;
mod error;
mod filter;
mod options;
mod penalty;
mod sum;

pub use error::{Error, Result};
pub use options::SamplerOptions;

use std::collections::VecDeque;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use mlx_core::random::{Key, categorical};
use mlx_core::{Array, Dtype, where_};

use crate::penalty::Penalties;

/// Chooses the tokens of one request.
///
/// It belongs to the thread that made it, as the arrays that it holds do.
pub struct Sampler {
    options: SamplerOptions,
    seed: u64,
    /// What the next draw follows from.
    key: Key,
    penalties: Penalties,
    /// Tokens that were drawn and not yet accepted, the oldest first.
    pending: VecDeque<Drawn>,
    accepted: usize,
}

/// A token on the device.
struct Drawn {
    /// uint32 `[]`.
    token: Array,
    /// Whether its logits were unusable: bool `[]`. The token depends on it, so reading it waits for nothing more.
    fault: Array,
}

impl Sampler {
    /// A sampler for a request whose prompt was `prompt`, which only the repetition penalty looks at.
    ///
    /// # Errors
    /// [`Error::Argument`] naming an option outside its domain.
    pub fn new(options: SamplerOptions, prompt: &[u32]) -> Result<Self> {
        options.validate()?;
        // The standard library seeds each hasher from the system's random numbers, and counts on from there.
        let seed = options.seed.unwrap_or_else(|| RandomState::new().hash_one(0u8));
        let key = Key::new(seed)?;
        let penalties = Penalties::new(&options, prompt);
        Ok(Self { options, seed, key, penalties, pending: VecDeque::new(), accepted: 0 })
    }

    /// The seed that the draws follow from, whether it was asked for or not.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The options that the sampler was made with.
    #[must_use]
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// The next token for these logits. Lazy.
    ///
    /// - `logits`: `[V]`, or `[1, .., V]`, floating, taken in float32
    /// - returns: `[]`, uint32, always below V, so that it may be looked up before it is read
    ///
    /// Each token should be given to [`accept`](Self::accept) once it is read. That logits are NaN is not known before
    /// they are computed: the token is then 0, and `accept` returns the error.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is not exactly one row or its length changed, [`Error::TokenId`] when the prompt or
    /// the logit bias has an id outside the vocabulary, [`Error::Core`] when the logits are not floating.
    pub fn sample(&mut self, logits: &Array) -> Result<Array> {
        let row = row(logits)?;
        let x = self.penalties.apply(&row)?;
        let keys = if self.options.is_greedy() { None } else { Some(self.key.split()?) };
        let key = keys.as_ref().map(|(_, key)| key);
        let (token, fault) = match choose::choose(&x, &self.options, key) {
            Some(chosen) => chosen?,
            None => {
                let fault = fault(&x)?;
                let token = match key {
                    None => x.argmax(0, false)?,
                    Some(key) => categorical(&filter::filter(&x, &self.options)?, 0, key)?,
                };
                (where_(&fault, &Array::scalar(0u32)?, &token)?, fault)
            }
        };
        self.penalties.count(&token, row.size())?;
        if let Some((next, _)) = keys {
            self.key = next;
        }
        self.pending.push_back(Drawn { token: token.clone(), fault });
        Ok(token)
    }

    /// The log-probabilities that [`sample`](Self::sample) would draw from now, `[V]` in float32: negative infinity
    /// where a filter drops a token. Lazy, and changes nothing. When greedy, bias and penalties alone are applied.
    ///
    /// # Errors
    /// As [`sample`](Self::sample).
    pub fn logprobs(&self, logits: &Array) -> Result<Array> {
        let mut x = self.penalties.apply(&row(logits)?)?;
        if !self.options.is_greedy() {
            x = filter::filter(&x, &self.options)?;
        }
        Ok((&x - &sum::log_sum_exp(&x)?)?)
    }

    /// Says that the oldest token that was sampled and not yet accepted has been read, and is `token`.
    ///
    /// When `token` is another one, because the caller put it in the place of what was drawn, the penalties count it
    /// instead; tokens sampled in the meantime are not changed. With nothing left to accept, `token` is counted as
    /// generated.
    ///
    /// # Errors
    /// [`Error::Logits`] when the logits of that token held NaN or positive infinity, or excluded every token;
    /// [`Error::TokenId`] when `token` is outside the vocabulary and penalties are on; [`Error::Core`] when the
    /// computation failed.
    pub fn accept(&mut self, token: u32) -> Result<()> {
        let drawn = match self.pending.pop_front() {
            None => None,
            Some(drawn) if drawn.fault.item::<bool>()? => {
                return Err(Error::Logits { position: self.accepted });
            }
            Some(drawn) if self.penalties.counts_tokens() => Some(drawn.token.item::<u32>()?),
            Some(_) => Some(token),
        };
        self.penalties.count_known(token, drawn)?;
        self.accepted += 1;
        Ok(())
    }
}

impl fmt::Debug for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampler")
            .field("options", &self.options)
            .field("seed", &self.seed)
            .field("accepted", &self.accepted)
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

/// The one row of logits that there must be, as `[V]` in float32.
fn row(logits: &Array) -> Result<Array> {
    let found = logits.dtype();
    if !found.is_float() {
        return Err(mlx_core::Error::Dtype { op: "sample", expected: Dtype::Float32, found }.into());
    }
    let length = logits.shape().last().copied().unwrap_or(0);
    if length < 1 || usize::try_from(length) != Ok(logits.size()) {
        let expected = "one row, [V] or [1, V]".into();
        return Err(Error::Shape { expected, found: logits.shape().to_vec() });
    }
    Ok(logits.reshape(&[length])?.astype(Dtype::Float32)?)
}

/// Whether no distribution follows from the logits `x`, `[V]`: bool `[]`.
///
/// It is so when an entry is NaN, when one is positive infinity, and when all are negative infinity. Whether a
/// maximum shows NaN is up to the backend, so that is asked for by itself; the exponentials, which would show all of it,
/// cost several times as much.
fn fault(x: &Array) -> Result<Array> {
    let usable = x.max(0, false)?.isfinite()?;
    Ok(x.isnan()?.any(0, false)?.logical_or(&usable.logical_not()?)?)
}
