// SPDX-License-Identifier: EUPL-1.2
//! Tests of public behaviour, one module a family.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::cloned_ref_to_slice_refs, reason = "`&[x.clone()]` reads as the list that it is")]

mod alone;
mod arith;
mod compare;
mod conv;
mod cpu;
mod create;
mod custom;
mod display;
mod distributed;
mod fast;
mod fft;
mod fuzz;
mod golden;
mod graph;
mod hostile;
mod index;
mod interchange;
mod io;
mod leaks;
mod ledger;
mod lent;
mod linalg;
mod loss;
mod matrix;
mod property;
mod quant;
mod random;
mod reduce;
mod shape;
mod sort;
mod threads;
mod transform;
