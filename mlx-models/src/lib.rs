// SPDX-License-Identifier: EUPL-1.2
//! Gemma 3 and Qwen 3 on Apple's MLX: loading, generation, classification, quantising, saving.
//!
//! ```
//! # fn main() -> mlx_models::Result<()> {
//! # let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny-chat-qwen3");
//! let model = mlx_models::load(dir)?;
//! let answer = model.generate("What is the capital of France?", &Default::default())?;
//! assert_eq!(answer.text.as_deref(), Some("The capital of France is Paris."));
//!
//! let question = [mlx_models::Message::user("Is water wet?")];
//! let scores = model.classify_chat(&question, &["yes", "no"])?;
//! assert_eq!(scores.best().map(|score| score.answer.as_str()), Some("yes"));
//! # Ok(()) }
//! ```
//!
//! | architecture | `model_type` | what is special |
//! |---|---|---|
//! | [Qwen 3](qwen3) | `qwen3` | a norm on each query and key head |
//! | [Gemma 3](gemma3) | `gemma3_text`, `gemma3` (the text half) | sliding windows, two rotary bases, four norms a block |
//!
//! Reading order: [`load`] and [`Model`], [`GenerateOptions`] and [`TokenStream`], [`Session`] for conversations,
//! [`Classification`], [`Perplexity`], [`QuantizeOptions`] and [`SaveOptions`]; then [`CausalLm`], what a network is, [`qwen3`] and [`gemma3`], which read like their papers,
//! and [`cache`].
#![doc = ""]
#![doc = include_str!("../../docs/checkpoints.md")]
#![doc = ""]
#![doc = include_str!("../../docs/quantising.md")]
#![forbid(unsafe_code)]

pub mod adapter;
mod architecture;
pub mod cache;
mod classify;
pub mod config;
mod control;
mod error;
pub mod gemma3;
mod generate;
mod load;
mod model;
mod pattern;
mod perplexity;
mod preset;
mod prompt;
mod quantize;
pub mod qwen3;
mod residual;
mod rotary;
mod save;
mod session;
mod sizes;
mod stop;

pub use adapter::AdapterFormat;
pub use architecture::{ARCHITECTURES, Architecture};
pub use cache::Cache;
pub use classify::{Classification, Score};
pub use config::{ConfigFile, QuantizationConfig};
pub use control::{CancelToken, Progress};
pub use error::{Error, Result};
pub use generate::{FinishReason, GenerateOptions, Generation, Token, TokenStream};
pub use load::{LoadOptions, Model, create, inspect, load, load_with};
pub use model::{CausalLm, Spec};
pub use pattern::Pattern;
pub use perplexity::{Perplexity, PerplexityOptions};
pub use preset::{PRESETS, preset, random};
pub use quantize::{QuantizeOptions, Recipe, Rule, Uneven};
pub use rotary::RopeParameters;
pub use save::{SaveOptions, Saved};
pub use session::Session;
pub use stop::StopStrings;

pub use mlx_sampler::SamplerOptions;
pub use mlx_tokenizer::{ChatOptions, Message, Tokenizer};
