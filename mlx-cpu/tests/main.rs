// SPDX-License-Identifier: EUPL-1.2
//! What a user of the crate relies on.

mod attention;
mod bench;
mod gemm;
mod quant;
mod vector;
