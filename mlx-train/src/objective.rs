// SPDX-License-Identifier: EUPL-1.2
//! What training makes small: the loss of a batch.

use std::collections::BTreeSet;
use std::rc::Rc;

use mlx_core::{Array, Dtype, concatenate, depends, transform};
use mlx_models::CausalLm;
use mlx_nn::loss::{CrossEntropy, Reduction, cross_entropy};

use crate::data::Batch;
use crate::error::{Error, Result};

/// How many tokens meet the output projection at once: their logits are the largest arrays of a step, and those of the next
/// ones take the same memory.
const CHUNK: i32 = 128;

/// A batch as arrays.
#[derive(Clone, Debug)]
pub struct Texts {
    /// uint32 `[B, L]`.
    ids: Array,
    /// Which text a token belongs to, `[B, L]`, where rows have several.
    texts: Option<Array>,
    /// Where the tokens stand after which one comes that counts, in `[B · L]`: int32 `[N]`.
    places: Array,
    /// The tokens that come, uint32 `[N]`.
    targets: Array,
    /// N.
    tokens: usize,
}

impl Texts {
    /// `batch` for a network with so many tokens.
    ///
    /// # Errors
    /// [`Error::Batch`] when nothing counts in it, a token has no embedding, or it is too large.
    pub fn new(batch: &Batch, vocab_size: usize) -> Result<Self> {
        let size = |n: usize| {
            i32::try_from(n).map_err(|_| Error::Batch { message: format!("{n} is too large for an array") })
        };
        let shape = [size(batch.rows)?, size(batch.len)?];
        let unknown = |ids: &[u32]| {
            ids.iter().copied().find(|&id| usize::try_from(id).map_or(true, |id| id >= vocab_size))
        };
        if let Some(id) = unknown(&batch.ids).or_else(|| unknown(&batch.targets)) {
            let message = format!("token id {id} is out of range: the model has {vocab_size} tokens");
            return Err(Error::Batch { message });
        }
        let counts = batch.mask.iter().enumerate().filter(|(_, counts)| **counts > 0.0);
        let places: Vec<i32> = counts.map(|(place, _)| size(place)).collect::<Result<_>>()?;
        if places.is_empty() {
            return Err(Error::Batch { message: "no token of it counts".into() });
        }
        let targets: Vec<u32> = batch
            .targets
            .iter()
            .zip(&batch.mask)
            .filter(|(_, counts)| **counts > 0.0)
            .map(|(target, _)| *target)
            .collect();
        let count = [size(places.len())?];
        Ok(Self {
            ids: Array::from_slice(&batch.ids, &shape)?,
            texts: batch.segments.as_ref().map(|texts| Array::from_slice(texts, &shape)).transpose()?,
            tokens: places.len(),
            places: Array::from_slice(&places, &count)?,
            targets: Array::from_slice(&targets, &count)?,
        })
    }

    /// How many tokens count.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

/// How the loss is computed.
#[derive(Clone, Debug, Default)]
pub struct Objective {
    /// How much of the wanted probability is spread over all tokens.
    pub label_smoothing: f64,
    /// The paths of the parameters that are trained.
    pub trained: Rc<BTreeSet<String>>,
    /// Whether blocks are computed again for the gradient.
    pub recompute: bool,
}

impl Objective {
    /// The sum of the losses of the tokens that count, float32 `[]`; lazy.
    ///
    /// # Errors
    /// [`Error::Models`] when an op fails.
    pub fn loss(&self, network: &dyn CausalLm, texts: &Texts) -> Result<Array> {
        let mut cache = network.make_cache()?.whole(texts.texts.as_ref())?;
        if self.recompute {
            cache.recompute(Rc::clone(&self.trained));
        }
        let hidden = network.hidden(&texts.ids, &mut cache)?;
        let &[rows, length, width] = hidden.shape() else {
            return Err(Error::Batch { message: "the network gave no vector a token".into() });
        };
        // Only where the next token counts is it predicted.
        let hidden = hidden.reshape(&[rows * length, width])?.take(&texts.places, 0)?; // [N, D]
        if self.trains_head(network) {
            return self.through_head(network, &hidden, &texts.targets);
        }
        self.past_head(network, &hidden, &texts.targets)
    }

    /// Whether gradients flow to the output projection.
    fn trains_head(&self, network: &dyn CausalLm) -> bool {
        let head = if network.spec().tied { "model.embed_tokens." } else { "lm_head." };
        self.trained.iter().any(|path| path.starts_with(head))
    }

    /// The loss, by the output projection itself.
    fn through_head(&self, network: &dyn CausalLm, hidden: &Array, targets: &Array) -> Result<Array> {
        let mut sum: Option<Array> = None;
        for (hidden, targets) in chunks(hidden, targets)? {
            let loss = self.tokens_loss(network, &hidden, &targets)?;
            sum = Some(match sum {
                Some(sum) => (&sum + &loss)?,
                None => loss,
            });
        }
        sum.ok_or_else(|| Error::Batch { message: "no token of it counts".into() })
    }

    /// The loss where the output projection does not change: its gradient by `hidden` is computed together with it, chunk
    /// after chunk, so that the logits of one chunk at a time are all that there are.
    fn past_head(&self, network: &dyn CausalLm, hidden: &Array, targets: &Array) -> Result<Array> {
        let fixed = hidden.stop_gradient()?;
        let mut sum = Array::scalar(0.0f32)?;
        let mut slopes = Vec::new();
        for (mut hidden, targets) in chunks(&fixed, targets)? {
            if let Some(last) = slopes.last() {
                // After the chunk before: both at once would take twice the memory.
                hidden = depends(&[&hidden], &[&sum, last])?
                    .pop()
                    .ok_or_else(|| Error::Batch { message: "an array is missing".into() })?;
            }
            let mut failure = None;
            let result = transform::value_and_grad(
                |hidden: &Array| {
                    self.tokens_loss(network, hidden, &targets).map_err(|error| {
                        let message = error.to_string();
                        failure = Some(error);
                        mlx_core::Error::Shape { op: "loss", message }
                    })
                },
                &hidden,
            );
            if let Some(failure) = failure {
                return Err(failure);
            }
            let (loss, slope) = result?;
            sum = (&sum + &loss)?;
            slopes.push(slope);
        }
        let slope = concatenate(&slopes.iter().collect::<Vec<_>>(), 0)?.stop_gradient()?;
        // Nothing is added; but the gradient of this by `hidden` is the slope.
        let tangent = (&(hidden - &fixed)? * &slope)?.astype(Dtype::Float32)?.sum_all()?;
        Ok((&sum.stop_gradient()? + &tangent)?)
    }

    fn tokens_loss(&self, network: &dyn CausalLm, hidden: &Array, targets: &Array) -> Result<Array> {
        let settings = CrossEntropy {
            label_smoothing: self.label_smoothing,
            reduction: Reduction::Sum,
            ..Default::default()
        };
        Ok(cross_entropy(&network.head(hidden)?, targets, &settings)?)
    }
}

/// `hidden` `[N, D]` and `targets` `[N]`, a chunk of tokens at a time.
fn chunks(hidden: &Array, targets: &Array) -> Result<Vec<(Array, Array)>> {
    let count = targets.dim(0)?;
    (0..count)
        .step_by(CHUNK.unsigned_abs() as usize)
        .map(|start| {
            let stop = count.min(start + CHUNK);
            Ok((hidden.slice_axis(0, start, stop)?, targets.slice_axis(0, start, stop)?))
        })
        .collect()
}
