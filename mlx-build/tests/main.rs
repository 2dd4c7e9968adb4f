// SPDX-License-Identifier: EUPL-1.2
//! The road from a request to a prefix, with programs that only pretend: no network, no compiler, nothing slow.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be set up is a failed test")]

#[cfg(target_os = "linux")]
mod build;
