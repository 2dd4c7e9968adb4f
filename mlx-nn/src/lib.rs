// SPDX-License-Identifier: EUPL-1.2
//! Layers of language models on [`mlx_core`]: projections, embeddings, norms, rotary embeddings, attention.
//!
//! A layer is a struct of parameters and hyper-parameters with a `new` and a `forward`. [`module!`] names its
//! parameters once, after the names that checkpoints use, and every walk over them (loading, counting, quantising,
//! drawing initial values, saving) follows that one list. [`Linear`] and [`Embedding`] are dense or quantised, and the
//! code of a model cannot tell which.
//!
//! Every layer returns the dtype that it was given: one float32 constant in a bfloat16 model would turn its whole
//! residual stream into float32, at several times the cost.
//!
//! ```
//! use mlx_core::{Array, Dtype, random::Key};
//! use mlx_nn::{Activation, GatedMlp, Linear, RmsNorm, init, module, params};
//!
//! /// A feed-forward block beside a residual stream.
//! struct Block {
//!     norm: RmsNorm,
//!     mlp: GatedMlp,
//! }
//! module!(Block { norm => "input_layernorm", mlp });
//!
//! impl Block {
//!     fn forward(&self, x: &Array) -> mlx_nn::Result<Array> {
//!         Ok((x + &self.mlp.forward(&self.norm.forward(x)?)?)?)
//!     }
//! }
//!
//! # fn main() -> mlx_nn::Result<()> {
//! let mut block = Block { norm: RmsNorm::new(8, 1e-6)?, mlp: GatedMlp::new(8, 16, Activation::Silu)? };
//! init::initialise(&mut block, &Key::new(7)?, Dtype::Bfloat16)?;
//! let y = block.forward(&Array::ones(&[1, 3, 8], Dtype::Bfloat16)?)?;
//! assert_eq!((y.shape(), y.dtype()), (&[1, 3, 8][..], Dtype::Bfloat16));
//!
//! let names: Vec<String> = params::parameters(&block).into_iter().map(|(path, _)| path).collect();
//! assert_eq!(names[..2], ["input_layernorm.weight", "mlp.gate_proj.weight"]);
//! # Ok(()) }
//! ```
//!
//! Reading order: [`Module`] and [`params`], then the layers as a token meets them: [`Embedding`], the norms,
//! [`Linear`], [`Rope`], [`attention`], [`GatedMlp`]; for training [`loss`] and [`optim`].

#![forbid(unsafe_code)]

pub mod activation;
pub mod adapter;
pub mod attention;
pub mod init;
pub mod loss;
pub mod optim;
pub mod params;

mod batch_norm;
mod bilinear;
mod constant;
mod conv;
mod dropout;
mod embedding;
mod error;
mod grad;
mod group_norm;
mod linear;
mod matrix;
mod mlp;
mod module;
mod multi_head;
mod norm;
mod pool;
mod positional;
mod prelu;
mod recurrent;
mod rope;
mod sequential;
mod transformer;
mod unary;
mod upsample;

pub use activation::Activation;
pub use batch_norm::{BatchNorm, BatchStatistics};
pub use bilinear::Bilinear;
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d,
};
pub use dropout::{ChannelDropout, Dropout, Dropout2d, Dropout3d};
pub use embedding::Embedding;
pub use error::{Error, Misfit, Result, WeightErrors};
pub use grad::{checkpoint, value_and_grad};
pub use group_norm::{GroupNorm, Grouping, InstanceNorm};
pub use linear::{Linear, project};
pub use mlp::GatedMlp;
pub use mlx_core::fast::Operand;
pub use module::{Layer, LayerMut, Module, ParamPath, Visitor, VisitorMut};
pub use multi_head::{MultiHeadAttention, MultiHeadOptions};
pub use norm::{LayerNorm, RmsNorm};
pub use pool::{AvgPool, AvgPool1d, AvgPool2d, AvgPool3d, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d};
pub use positional::{SinusoidalEncoding, SinusoidalOptions, add_alibi, alibi};
pub use prelu::Prelu;
pub use recurrent::{Gru, Lstm, Rnn};
pub use rope::{Rope, RopeConfig, RopeScaling};
pub use sequential::Sequential;
pub use transformer::{
    Transformer, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer,
    TransformerMasks, TransformerOptions,
};
pub use unary::{Function, Identity, Unary};
pub use upsample::{Grid, Interpolation, Upsample};
