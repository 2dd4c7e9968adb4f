// SPDX-License-Identifier: EUPL-1.2
//! Tests of public behaviour, one module a file of the crate.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod common;

mod activation;
mod attention;
mod contract;
mod distribution;
mod dropout;
mod edges;
mod embedding;
mod gradients;
mod init;
mod layers;
mod linear;
mod loss;
mod norm;
mod optim;
mod params;
mod refusals;
mod rope;
mod sequential;
