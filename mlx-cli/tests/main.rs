// SPDX-License-Identifier: EUPL-1.2
//! The real program on real, if tiny, checkpoints: what it prints, where, and with which exit code.
#![forbid(unsafe_code)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod bad_input;
mod bench;
mod chat;
mod generate;
mod info;
mod interrupt;
mod logits;
mod perplexity;
mod quantize;
mod support;
mod tokenize;
mod train;
mod usage;
