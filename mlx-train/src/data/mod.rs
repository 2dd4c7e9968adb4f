// SPDX-License-Identifier: EUPL-1.2
//! From files to batches: [`read`] lines, [`encode`] them with a model's tokenizer, put them into [`Batches`].

mod batch;
mod encode;
mod pack;
mod read;
mod record;
mod shuffle;

pub use batch::{Batch, BatchOptions, Batches};
pub use encode::{EncodeOptions, Encoded, Example, LossOn, TooLong, encode};
pub use read::{ReadOptions, Records, Splits, read, read_file};
pub use record::{Keys, Record, Text};
