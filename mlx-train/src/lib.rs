// SPDX-License-Identifier: EUPL-1.2
//! Training of the models of `mlx-models`: adapters or all weights, from lines of JSON to files that others read.
//!
//! A [`TrainConfig`] says what a run is, a [`Trainer`] makes its steps, and [`checkpoint`] lets it go on after whatever ended
//! it, bit for bit.
//!
//! [`data`] turns lines of JSON into rows of tokens, and says of each token whether it is to be learnt:
//!
//! ```
//! use mlx_train::data::{BatchOptions, Batches, EncodeOptions, ReadOptions, encode, read};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("train.jsonl");
//! # let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/../mlx-models/tests/golden/tiny-chat-qwen3");
//! std::fs::write(&path, r#"{"prompt": "What colour is grass?", "completion": "Grass is green."}"#)?;
//! let splits = read(&path, &ReadOptions::default())?;
//!
//! let tokenizer = mlx_models::Tokenizer::from_dir(checkpoint)?;
//! let encoded = encode(&splits.train, &tokenizer, &EncodeOptions::default())?;
//! let batches = Batches::new(encoded.examples, BatchOptions::default(), 7)?;
//! let batch = batches.batch(0, 0)?;
//! assert_eq!(batch.rows, 1);
//!
//! let learnt = batch.targets.iter().zip(&batch.mask).filter(|(_, mask)| **mask == 1.0);
//! let learnt: Vec<u32> = learnt.map(|(&id, _)| id).collect();
//! assert_eq!(tokenizer.decode(&learnt, false)?, "Grass is green.<|im_end|>");
//! # Ok(()) }
//! ```
#![doc = ""]
#![doc = include_str!("../../docs/training.md")]
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod config;
mod curve;
pub mod data;
mod error;
pub mod log;
mod objective;
mod setup;
mod trainer;

pub use config::{Method, TrainConfig};
pub use curve::loss_curve;
pub use error::{Error, Result};
pub use objective::{Objective, Texts};
pub use setup::{Data, DataReport, load_data};
pub use trainer::{End, Event, Outcome, StepReport, Trainer};
