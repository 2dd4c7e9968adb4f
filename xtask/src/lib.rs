// SPDX-License-Identifier: EUPL-1.2
//! The repository's own commands, one a module; `main.rs` says which there are.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "commands talk to the terminal")]

pub mod bench;
pub mod bindings;
pub mod ci;
pub mod doctor;
pub mod fuzz;
pub mod golden;
pub mod native;
pub mod pins;
pub mod sanitizer;
pub mod tidy;
pub mod workspace;
