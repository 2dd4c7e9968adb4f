// SPDX-License-Identifier: EUPL-1.2
//! Tests of public behaviour, one module a file of the crate.

mod common;

mod activation;
mod attention;
mod contract;
mod embedding;
mod init;
mod linear;
mod norm;
mod params;
mod rope;
