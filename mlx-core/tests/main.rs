// SPDX-License-Identifier: EUPL-1.2
//! Tests of public behaviour, one module a family.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod arith;
mod compare;
mod cpu;
mod create;
mod custom;
mod fast;
mod golden;
mod index;
mod io;
mod ledger;
mod linalg;
mod quant;
mod random;
mod reduce;
mod shape;
mod sort;
mod threads;
mod transform;
