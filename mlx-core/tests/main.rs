// SPDX-License-Identifier: EUPL-1.2
//! Tests of public behaviour, one module a family.

mod arith;
mod compare;
mod create;
mod fast;
mod index;
mod io;
mod linalg;
mod quant;
mod random;
mod reduce;
mod shape;
mod sort;
mod threads;
mod transform;
