// SPDX-License-Identifier: EUPL-1.2
//! The first transformer: an encoder, a decoder that looks at what it made, or both.
//!
//! Source: arXiv:1706.03762; norms before the layers: arXiv:2002.04745. Shapes: B batch, L and S tokens, D values a
//! token. The names of the parameters are those of `mlx.nn`.
//!
//! Every `forward` takes a key: with one, dropouts draw from it as in training; without, they do nothing.

use mlx_core::Array;
use mlx_core::fast::Mask;
use mlx_core::random::Key;

use crate::activation::{self, Elementwise};
use crate::error::{Error, Result, positive};
use crate::module;
use crate::sequential::next;
use crate::{Dropout, LayerNorm, Linear, MultiHeadAttention, MultiHeadOptions};

/// What the layers of a [`Transformer`] have in common.
#[derive(Clone, Copy, Debug)]
pub struct TransformerOptions {
    /// Values behind the first projection of the feed-forward layers; four times those of a token by default.
    pub inner: Option<i32>,
    /// Rate of the dropouts behind attention and activation; 0 by default.
    pub dropout: f32,
    /// The activation; [`relu`](activation::relu) by default.
    pub activation: Elementwise,
    /// Whether norms stand before attention and feed-forward layers, as by default, or behind them and the residual
    /// stream, as in the first paper.
    pub norm_first: bool,
}

impl Default for TransformerOptions {
    fn default() -> Self {
        Self { inner: None, dropout: 0.0, activation: activation::relu, norm_first: true }
    }
}

/// Attention of tokens to each other, then a feed-forward layer.
///
/// Parameters: those of `attention`, `ln1`, `ln2`, `linear1` and `linear2`.
#[derive(Clone, Debug)]
pub struct TransformerEncoderLayer {
    attention: MultiHeadAttention,
    ln1: LayerNorm,
    ln2: LayerNorm,
    linear1: Linear,
    linear2: Linear,
    shared: Shared,
}
module!(TransformerEncoderLayer { attention, ln1, ln2, linear1, linear2 });

impl TransformerEncoderLayer {
    /// A layer for tokens of `dim` values.
    ///
    /// # Errors
    /// [`Error::Config`] when a measure is not positive, `heads` does not divide `dim`, or the dropout's rate is outside 0
    /// to below 1.
    pub fn new(dim: i32, heads: i32, options: &TransformerOptions) -> Result<Self> {
        let inner = inner(dim, options)?;
        Ok(Self {
            attention: MultiHeadAttention::new(dim, heads, &MultiHeadOptions::default())?,
            ln1: norm(dim)?,
            ln2: norm(dim)?,
            linear1: Linear::new(dim, inner, true)?,
            linear2: Linear::new(inner, dim, true)?,
            shared: Shared::new(options)?,
        })
    }

    /// `[B, L, D]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`] when the shape does not fit, [`Error::Core`] when the mask does not.
    pub fn forward(&self, x: &Array, mask: Mask<'_>, key: Option<&Key>) -> Result<Array> {
        let mut rest = key.cloned();
        let x = self.shared.residual(&self.ln1, x, |x| {
            let y = self.attention.forward(x, x, x, mask)?;
            self.shared.dropout.forward(&y, next(&mut rest)?.as_ref())
        })?;
        self.shared.residual(&self.ln2, &x, |x| self.shared.feed(x, &self.linear1, &self.linear2, &mut rest))
    }
}

/// Layers of an encoder, and a norm behind them.
///
/// Parameters: those of `layers` and `ln`.
#[derive(Clone, Debug)]
pub struct TransformerEncoder {
    layers: Vec<TransformerEncoderLayer>,
    ln: LayerNorm,
}
module!(TransformerEncoder { layers, ln });

impl TransformerEncoder {
    /// So many `layers` for tokens of `dim` values.
    ///
    /// # Errors
    /// As [`TransformerEncoderLayer::new`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype, fast::Mask, random::Key};
    /// use mlx_nn::{TransformerEncoder, TransformerOptions, init};
    ///
    /// let mut encoder = TransformerEncoder::new(2, 8, 2, &TransformerOptions { dropout: 0.1, ..Default::default() })?;
    /// init::initialise(&mut encoder, &Key::new(0)?, Dtype::Float32)?;
    /// let y = encoder.forward(&Array::ones(&[1, 5, 8], Dtype::Float32)?, Mask::None, Some(&Key::new(1)?))?;
    /// assert_eq!(y.shape(), [1, 5, 8]);
    /// # Ok(()) }
    /// ```
    pub fn new(layers: usize, dim: i32, heads: i32, options: &TransformerOptions) -> Result<Self> {
        let layers = (0..layers).map(|_| TransformerEncoderLayer::new(dim, heads, options));
        Ok(Self { layers: layers.collect::<Result<_>>()?, ln: norm(dim)? })
    }

    /// `[B, L, D]` → the same, in the dtype of `x`.
    ///
    /// # Errors
    /// As [`TransformerEncoderLayer::forward`].
    pub fn forward(&self, x: &Array, mask: Mask<'_>, key: Option<&Key>) -> Result<Array> {
        let (mut x, mut rest) = (x.clone(), key.cloned());
        for layer in &self.layers {
            x = layer.forward(&x, mask, next(&mut rest)?.as_ref())?;
        }
        self.ln.forward(&x)
    }
}

/// Attention of tokens to each other, then to what an encoder made, then a feed-forward layer.
///
/// Parameters: those of `self_attention`, `cross_attention`, `ln1`, `ln2`, `ln3`, `linear1` and `linear2`.
#[derive(Clone, Debug)]
pub struct TransformerDecoderLayer {
    self_attention: MultiHeadAttention,
    cross_attention: MultiHeadAttention,
    ln1: LayerNorm,
    ln2: LayerNorm,
    ln3: LayerNorm,
    linear1: Linear,
    linear2: Linear,
    shared: Shared,
}
module!(TransformerDecoderLayer { self_attention, cross_attention, ln1, ln2, ln3, linear1, linear2 });

impl TransformerDecoderLayer {
    /// A layer for tokens of `dim` values.
    ///
    /// # Errors
    /// As [`TransformerEncoderLayer::new`].
    pub fn new(dim: i32, heads: i32, options: &TransformerOptions) -> Result<Self> {
        let inner = inner(dim, options)?;
        let attention = || MultiHeadAttention::new(dim, heads, &MultiHeadOptions::default());
        Ok(Self {
            self_attention: attention()?,
            cross_attention: attention()?,
            ln1: norm(dim)?,
            ln2: norm(dim)?,
            ln3: norm(dim)?,
            linear1: Linear::new(dim, inner, true)?,
            linear2: Linear::new(inner, dim, true)?,
            shared: Shared::new(options)?,
        })
    }

    /// `x` `[B, L, D]` and `memory`, which an encoder made, `[B, S, D]` → `[B, L, D]`, in the dtype of `x`. `mask` is for
    /// the attention of `x` to itself, `memory_mask` for that to `memory`.
    ///
    /// # Errors
    /// [`Error::Input`] when a shape does not fit, [`Error::Core`] when a mask does not.
    pub fn forward(
        &self,
        x: &Array,
        memory: &Array,
        mask: Mask<'_>,
        memory_mask: Mask<'_>,
        key: Option<&Key>,
    ) -> Result<Array> {
        let mut rest = key.cloned();
        let x = self.shared.residual(&self.ln1, x, |x| {
            let y = self.self_attention.forward(x, x, x, mask)?;
            self.shared.dropout.forward(&y, next(&mut rest)?.as_ref())
        })?;
        let x = self.shared.residual(&self.ln2, &x, |x| {
            let y = self.cross_attention.forward(x, memory, memory, memory_mask)?;
            self.shared.dropout.forward(&y, next(&mut rest)?.as_ref())
        })?;
        self.shared.residual(&self.ln3, &x, |x| self.shared.feed(x, &self.linear1, &self.linear2, &mut rest))
    }
}

/// Layers of a decoder, and a norm behind them.
///
/// Parameters: those of `layers` and `ln`.
#[derive(Clone, Debug)]
pub struct TransformerDecoder {
    layers: Vec<TransformerDecoderLayer>,
    ln: LayerNorm,
}
module!(TransformerDecoder { layers, ln });

impl TransformerDecoder {
    /// So many `layers` for tokens of `dim` values.
    ///
    /// # Errors
    /// As [`TransformerEncoderLayer::new`].
    pub fn new(layers: usize, dim: i32, heads: i32, options: &TransformerOptions) -> Result<Self> {
        let layers = (0..layers).map(|_| TransformerDecoderLayer::new(dim, heads, options));
        Ok(Self { layers: layers.collect::<Result<_>>()?, ln: norm(dim)? })
    }

    /// As [`TransformerDecoderLayer::forward`].
    ///
    /// # Errors
    /// As [`TransformerDecoderLayer::forward`].
    pub fn forward(
        &self,
        x: &Array,
        memory: &Array,
        mask: Mask<'_>,
        memory_mask: Mask<'_>,
        key: Option<&Key>,
    ) -> Result<Array> {
        let (mut x, mut rest) = (x.clone(), key.cloned());
        for layer in &self.layers {
            x = layer.forward(&x, memory, mask, memory_mask, next(&mut rest)?.as_ref())?;
        }
        self.ln.forward(&x)
    }
}

/// An encoder of a source and a decoder of a target that looks at it.
///
/// Parameters: those of `encoder` and `decoder`.
#[derive(Clone, Debug)]
pub struct Transformer {
    encoder: TransformerEncoder,
    decoder: TransformerDecoder,
}
module!(Transformer { encoder, decoder });

/// Who sees whom in a [`Transformer`]; all by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct TransformerMasks<'a> {
    /// Among the tokens of the source.
    pub source: Mask<'a>,
    /// Among the tokens of the target; [`Mask::Causal`] where they are to be predicted.
    pub target: Mask<'a>,
    /// What tokens of the target see of the source.
    pub memory: Mask<'a>,
}

impl Transformer {
    /// A transformer of these two.
    #[must_use]
    pub fn new(encoder: TransformerEncoder, decoder: TransformerDecoder) -> Self {
        Self { encoder, decoder }
    }

    /// `source` `[B, S, D]` and `target` `[B, L, D]` → `[B, L, D]`, in the dtype of `target`.
    ///
    /// # Errors
    /// [`Error::Input`] when a shape does not fit, [`Error::Core`] when a mask does not.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype, fast::Mask};
    /// use mlx_nn::{Transformer, TransformerDecoder, TransformerEncoder, TransformerMasks, TransformerOptions};
    ///
    /// let options = TransformerOptions::default();
    /// let encoder = TransformerEncoder::new(2, 8, 2, &options)?;
    /// let transformer = Transformer::new(encoder, TransformerDecoder::new(1, 8, 2, &options)?);
    /// let (source, target) = (Array::ones(&[1, 5, 8], Dtype::Float32)?, Array::ones(&[1, 3, 8], Dtype::Float32)?);
    /// let masks = TransformerMasks { target: Mask::Causal, ..Default::default() };
    /// assert_eq!(transformer.forward(&source, &target, &masks, None)?.shape(), [1, 3, 8]);
    /// # Ok(()) }
    /// ```
    pub fn forward(
        &self,
        source: &Array,
        target: &Array,
        masks: &TransformerMasks<'_>,
        key: Option<&Key>,
    ) -> Result<Array> {
        let mut rest = key.cloned();
        let memory = self.encoder.forward(source, masks.source, next(&mut rest)?.as_ref())?;
        self.decoder.forward(target, &memory, masks.target, masks.memory, rest.as_ref())
    }
}

/// What a layer has besides parameters.
#[derive(Clone, Copy, Debug)]
struct Shared {
    dropout: Dropout,
    activation: Elementwise,
    norm_first: bool,
}

impl Shared {
    fn new(options: &TransformerOptions) -> Result<Self> {
        Ok(Self {
            dropout: Dropout::new(options.dropout)?,
            activation: options.activation,
            norm_first: options.norm_first,
        })
    }

    /// `x + part(norm(x))`, or `norm(x + part(x))`.
    fn residual(
        &self,
        norm: &LayerNorm,
        x: &Array,
        part: impl FnOnce(&Array) -> Result<Array>,
    ) -> Result<Array> {
        match self.norm_first {
            true => Ok((x + &part(&norm.forward(x)?)?)?),
            false => norm.forward(&(x + &part(x)?)?),
        }
    }

    fn feed(&self, x: &Array, first: &Linear, second: &Linear, rest: &mut Option<Key>) -> Result<Array> {
        let inner = (self.activation)(&first.forward(x)?)?;
        second.forward(&self.dropout.forward(&inner, next(rest)?.as_ref())?)
    }
}

fn inner(dim: i32, options: &TransformerOptions) -> Result<i32> {
    let four = positive("dim", dim)?.checked_mul(4);
    match options.inner {
        Some(inner) => positive("inner", inner),
        None => four.ok_or_else(|| Error::config("dim", format!("four times {dim} is too large"))),
    }
}

fn norm(dim: i32) -> Result<LayerNorm> {
    LayerNorm::new(positive("dim", dim)?, 1e-5, true)
}
