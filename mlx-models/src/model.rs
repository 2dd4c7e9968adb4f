// SPDX-License-Identifier: EUPL-1.2
//! What every architecture offers to generation and classification.

use mlx_core::{Array, Dtype, eval};
use mlx_nn::{Module, RmsNorm, params};

use crate::cache::Cache;
use crate::error::{Error, Result};

/// What a caller needs to know of a network, whatever its architecture.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Tokens with an embedding; ids run from 0 to one below.
    pub vocab_size: usize,
    /// Positions that the network was made for.
    pub context_length: usize,
    /// Blocks, each with one cache.
    pub layers: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of the keys and values.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Window of the layers that have one.
    pub sliding_window: Option<usize>,
    /// Whether the output projection is the embedding.
    pub tied: bool,
    /// The length from which on rotary frequencies depend on that of the text, where they ever do.
    pub rope_limit: Option<usize>,
}

/// A decoder that predicts the next token.
///
/// Shapes: B batch, L new tokens, D hidden, V vocabulary. All of it is lazy.
pub trait CausalLm: Module {
    /// The network's measures.
    fn spec(&self) -> &Spec;

    /// An empty cache with what each layer needs.
    ///
    /// # Errors
    /// [`Error::Argument`] when a window is not positive.
    fn make_cache(&self) -> Result<Cache>;

    /// The normalised output of the last block for `ids`, `[B, L]` of integers, as `[B, L, D]` in the dtype of the
    /// weights. `cache` holds the tokens before them and grows by L.
    ///
    /// # Errors
    /// [`Error::Core`] or [`Error::Nn`] when shapes do not fit; the cache is then of no more use.
    fn hidden(&self, ids: &Array, cache: &mut Cache) -> Result<Array>;

    /// The logits, `[.., V]` in float32, for the output of [`hidden`](Self::hidden).
    ///
    /// # Errors
    /// [`Error::Nn`] when the last axis is not D.
    fn head(&self, hidden: &Array) -> Result<Array>;

    /// The logits after each token, `[B, L, V]` in float32.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden).
    fn forward(&self, ids: &Array, cache: &mut Cache) -> Result<Array> {
        self.head(&self.hidden(ids, cache)?)
    }

    /// The logits after the last token, `[B, V]` in float32. The output projection is computed for that one alone.
    ///
    /// # Errors
    /// As [`hidden`](Self::hidden).
    fn forward_last(&self, ids: &Array, cache: &mut Cache) -> Result<Array> {
        let hidden = self.hidden(ids, cache)?;
        let length = hidden.dim(1)?;
        let last = hidden.slice_axis(1, length - 1, length)?.squeeze_axes(&[1])?;
        self.head(&last)
    }
}

/// `ids` as one row of token ids, `[1, L]`, each of which has an embedding.
///
/// # Errors
/// [`Error::EmptyPrompt`] or [`Error::TokenId`].
pub(crate) fn row(ids: &[u32], vocab_size: usize) -> Result<Array> {
    check_ids(ids, vocab_size)?;
    let length = i32::try_from(ids.len()).map_err(|_| Error::Argument {
        argument: "ids",
        message: format!("{} tokens are too many for one array", ids.len()),
    })?;
    Ok(Array::from_slice(ids, &[1, length])?)
}

/// Checks that there is a token, and that each has an embedding.
///
/// MLX itself would read whatever lies beyond the table.
pub(crate) fn check_ids(ids: &[u32], vocab_size: usize) -> Result<()> {
    if ids.is_empty() {
        return Err(Error::EmptyPrompt);
    }
    match ids.iter().find(|&&id| usize::try_from(id).map_or(true, |id| id >= vocab_size)) {
        Some(&id) => Err(Error::TokenId { id, vocab_size }),
        None => Ok(()),
    }
}

/// The logits after the last of `ids`, `[1, V]`, computed in chunks of `chunk` tokens. `go_on` is asked before each,
/// with how many tokens are in the cache by then; when it says no, there are no logits.
pub(crate) fn prefill(
    network: &dyn CausalLm,
    ids: &[u32],
    cache: &mut Cache,
    chunk: usize,
    mut go_on: impl FnMut(usize) -> bool,
) -> Result<Option<Array>> {
    let vocab_size = network.spec().vocab_size;
    let mut chunks = ids.chunks(chunk.max(1)).peekable();
    while let Some(chunk) = chunks.next() {
        if !go_on(usize::try_from(cache.offset()).unwrap_or(0)) {
            return Ok(None);
        }
        let ids = row(chunk, vocab_size)?;
        if chunks.peek().is_none() {
            return Ok(Some(network.forward_last(&ids, cache)?));
        }
        // Only the caches are evaluated: what the last block makes of these tokens is wanted by nobody.
        let _ = network.hidden(&ids, cache)?;
        eval(&cache.arrays()?)?;
    }
    Err(Error::EmptyPrompt)
}

/// The dtype that a network computes in: that of its norms, which are never packed.
pub(crate) fn dtype_of(norm: &RmsNorm) -> Dtype {
    params::parameters(norm).first().map_or(Dtype::Float32, |(_, weight)| weight.dtype())
}
