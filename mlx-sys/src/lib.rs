// SPDX-License-Identifier: EUPL-1.2
//! Raw bindings to mlx-c, the C interface of Apple's MLX.
//!
//! Everything here is `unsafe` C; use `mlx-core` unless you are writing a safe layer of your own. Before any other call,
//! set an error handler with [`mlx_set_error_handler`]: the one that mlx-c begins with ends the process.
//!
//! The bindings are written by `cargo xtask bindings` from `wrapper.h` and committed. The build script finds the native
//! library, or builds it; `docs/native-build.md` in the repository says how, and which variables steer it.

// The layout is the generator's, so that it is the same on every machine.
#[rustfmt::skip]
#[allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    unreachable_pub,
    clippy::all,
    reason = "the names and the layout of the C headers, written by a program"
)]
mod bindings;

pub use bindings::*;
