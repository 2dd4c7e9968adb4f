// SPDX-License-Identifier: EUPL-1.2
//! Raw bindings to mlx-c, the C interface of Apple's MLX.
//!
//! Everything here is `unsafe` C; use `mlx-core` unless you are writing a safe layer of your own.
#![allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    unreachable_pub,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]

mod bindings;

pub use bindings::*;
