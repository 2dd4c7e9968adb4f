// SPDX-License-Identifier: EUPL-1.2
//! A conversation's cache, kept from one turn to the next.

use crate::cache::Cache;
use crate::error::Result;
use crate::generate::{GenerateOptions, TokenStream};
use crate::load::Model;
use crate::model::CausalLm;

/// A cache and the tokens in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) cache: Cache,
    /// The ids that the cache holds, in order. The cache may be one token ahead: the next one is submitted before
    /// the last one is known.
    pub(crate) tokens: Vec<u32>,
}

impl State {
    pub(crate) fn new(network: &dyn CausalLm) -> Result<Self> {
        Ok(Self { cache: network.make_cache()?, tokens: Vec::new() })
    }

    /// Takes the cache back to what it has in common with `ids`, and returns how many tokens those are.
    ///
    /// At least the last of `ids` stays to be computed, since its logits are wanted. Where a sliding window has
    /// dropped tokens that the shorter text needs, or where the keys were rotated for a text of another length, the
    /// cache starts anew: the result is exact either way.
    pub(crate) fn rewind(&mut self, network: &dyn CausalLm, ids: &[u32]) -> Result<usize> {
        let common = self.tokens.iter().zip(ids).take_while(|(a, b)| a == b).count();
        let common = common.min(ids.len().saturating_sub(1));
        let longest = ids.len().max(self.tokens.len() + 1);
        let other_length = network.spec().rope_limit.is_some_and(|limit| longest > limit);
        let offset = i32::try_from(common).unwrap_or(i32::MAX);
        if common == 0 || other_length || self.cache.trim(offset).is_err() {
            *self = Self::new(network)?;
            return Ok(0);
        }
        self.tokens.truncate(common);
        Ok(common)
    }
}

/// A conversation with a model: what the prompts have in common is computed once.
///
/// Each prompt is given whole; the cache is taken back to where it parts from the text before.
#[derive(Debug)]
pub struct Session<'m> {
    model: &'m Model,
    state: State,
}

impl<'m> Session<'m> {
    pub(crate) fn new(model: &'m Model) -> Self {
        Self { model, state: State::default() }
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// How many tokens the cache holds.
    #[must_use]
    pub fn cached_tokens(&self) -> usize {
        self.state.tokens.len()
    }

    /// As [`Model::stream`], with the cache of this session.
    ///
    /// # Errors
    /// As [`Model::stream`].
    pub fn stream(&mut self, ids: &[u32], options: &GenerateOptions) -> Result<TokenStream<'_>> {
        TokenStream::borrowed(self.model, &mut self.state, ids, options)
    }
}
