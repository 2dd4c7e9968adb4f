// SPDX-License-Identifier: EUPL-1.2
//! Repetition, presence and frequency penalties, and logit bias.
//!
//! What was generated is counted on the device, by the tokens as they are drawn there, so a penalty does not make the
//! next token wait until the host has read the last one.

use mlx_core::{Array, Dtype, where_};

use crate::SamplerOptions;
use crate::error::{Error, Result};

/// What makes one token more or less probable than the model has it.
#[derive(Debug)]
pub(crate) struct Penalties {
    bias: Vec<(u32, f32)>,
    repetition: f32,
    presence: f32,
    frequency: f32,
    prompt: Vec<u32>,
    /// Generated tokens that came before the size of the vocabulary was known.
    early: Vec<u32>,
    tables: Option<Tables>,
}

/// Arrays over the vocabulary, each only where an option asks for it.
#[derive(Debug)]
struct Tables {
    vocab_size: usize,
    /// What is added to the logits: float32 `[V]`.
    bias: Option<Array>,
    /// Which tokens the prompt has: bool `[V]`.
    prompt: Option<Array>,
    /// How often each token was generated: float32 `[V]`.
    counts: Option<Array>,
    /// The ids: uint32 `[V]`.
    ids: Array,
}

impl Penalties {
    pub(crate) fn new(options: &SamplerOptions, prompt: &[u32]) -> Self {
        let repetition = options.repetition_penalty.unwrap_or(1.0);
        Self {
            bias: options.logit_bias.clone(),
            repetition,
            presence: options.presence_penalty.unwrap_or(0.0),
            frequency: options.frequency_penalty.unwrap_or(0.0),
            prompt: if repetition == 1.0 { Vec::new() } else { prompt.to_vec() },
            early: Vec::new(),
            tables: None,
        }
    }

    /// Whether it matters which tokens were generated.
    pub(crate) fn counts_tokens(&self) -> bool {
        self.repetition != 1.0 || self.presence != 0.0 || self.frequency != 0.0
    }

    /// The logits `x`, `[V]` in float32, with bias and penalties.
    pub(crate) fn apply(&self, x: &Array) -> Result<Array> {
        let fresh;
        let tables = match &self.tables {
            Some(tables) if tables.vocab_size == x.size() => tables,
            Some(tables) => {
                let expected = format!("{} of them, as before", tables.vocab_size);
                return Err(Error::Shape { expected, found: x.shape().to_vec() });
            }
            None => {
                fresh = self.tables(x.size())?;
                &fresh
            }
        };
        let mut x = x.clone();
        if let Some(bias) = &tables.bias {
            x = (&x + bias)?;
        }
        let Some(counts) = &tables.counts else { return Ok(x) };
        let zero = Array::scalar(0.0f32)?;
        let generated = counts.greater(&zero)?;
        if let Some(prompt) = &tables.prompt {
            let seen = prompt.logical_or(&generated)?;
            let penalised = where_(&x.greater(&zero)?, &(&x / self.repetition)?, &(&x * self.repetition)?)?;
            x = where_(&seen, &penalised, &x)?;
        }
        if self.frequency != 0.0 {
            x = (&x - &(counts * self.frequency)?)?;
        }
        if self.presence != 0.0 {
            x = (&x - &(&generated.astype(Dtype::Float32)? * self.presence)?)?;
        }
        Ok(x)
    }

    /// Counts a token drawn on the device, uint32 `[]`, from `vocab_size` many.
    pub(crate) fn count(&mut self, token: &Array, vocab_size: usize) -> Result<()> {
        if self.tables.is_none() {
            self.tables = Some(self.tables(vocab_size)?);
            self.early = Vec::new();
        }
        let Some(tables) = &mut self.tables else { return Ok(()) };
        if let Some(counts) = &tables.counts {
            tables.counts = Some((counts + &tables.one_hot(token)?)?);
        }
        Ok(())
    }

    /// Counts a token that the host knows; `drawn` is the one that was counted in its place, if any.
    pub(crate) fn count_known(&mut self, token: u32, drawn: Option<u32>) -> Result<()> {
        if drawn == Some(token) || !self.counts_tokens() {
            return Ok(());
        }
        let Some(tables) = &mut self.tables else {
            self.early.push(token);
            return Ok(());
        };
        check_id("token", token, tables.vocab_size)?;
        if let Some(counts) = &tables.counts {
            let mut counts = (counts + &tables.one_hot(&Array::scalar(token)?)?)?;
            if let Some(drawn) = drawn {
                counts = (&counts - &tables.one_hot(&Array::scalar(drawn)?)?)?;
            }
            tables.counts = Some(counts);
        }
        Ok(())
    }

    /// The tables for a vocabulary of this size. It is not known before the first logits come.
    fn tables(&self, vocab_size: usize) -> Result<Tables> {
        let length = i32::try_from(vocab_size).map_err(|_| Error::Shape {
            expected: "a vocabulary that fits an axis".into(),
            found: Vec::new(),
        })?;
        let table = |argument, entries: &mut dyn Iterator<Item = (u32, f32)>| -> Result<Array> {
            let mut values = vec![0.0f32; vocab_size];
            for (id, value) in entries {
                check_id(argument, id, vocab_size)?;
                if let Some(entry) = usize::try_from(id).ok().and_then(|id| values.get_mut(id)) {
                    *entry += value;
                }
            }
            Ok(Array::from_slice(&values, &[length])?)
        };
        let ones = |ids: &[u32]| ids.iter().map(|&id| (id, 1.0)).collect::<Vec<_>>().into_iter();
        Ok(Tables {
            vocab_size,
            bias: match self.bias.as_slice() {
                [] => None,
                bias => Some(table("logit_bias", &mut bias.iter().copied())?),
            },
            prompt: match self.repetition {
                1.0 => None,
                _ => Some(table("prompt", &mut ones(&self.prompt))?.astype(Dtype::Bool)?),
            },
            counts: if self.counts_tokens() { Some(table("token", &mut ones(&self.early))?) } else { None },
            ids: Array::arange(0.0, f64::from(length), 1.0, Dtype::Uint32)?,
        })
    }
}

impl Tables {
    /// 1 at `token`, uint32 `[]`, and 0 elsewhere: float32 `[V]`.
    fn one_hot(&self, token: &Array) -> Result<Array> {
        Ok(self.ids.equal(token)?.astype(Dtype::Float32)?)
    }
}

/// Checks that a vocabulary of this size has the token.
fn check_id(argument: &'static str, id: u32, vocab_size: usize) -> Result<()> {
    match usize::try_from(id) {
        Ok(index) if index < vocab_size => Ok(()),
        _ => Err(Error::TokenId { argument, id, vocab_size }),
    }
}
