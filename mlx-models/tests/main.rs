// SPDX-License-Identifier: EUPL-1.2
//! The tests of this crate, in one binary.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails says so by panicking"
)]

mod adapter;
mod bad_input;
mod cache;
mod classify;
mod common;
mod config;
mod contract;
mod generate;
mod golden;
mod mlx_lm;
mod perplexity;
mod quantize;
mod save;
