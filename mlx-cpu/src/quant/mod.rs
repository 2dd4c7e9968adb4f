// SPDX-License-Identifier: EUPL-1.2
//! Weights in few bits: to floats, to panels for the matrix product, and products with few rows.
//!
//! A [`Matrix`] borrows the parts of a quantised matrix as MLX lays them out. [`dequantize_rows`] gives its values in
//! their own order; [`unpack_panel_bf16`] gives them in the order that is quickest to unpack, to which [`permute`]
//! brings the other factor; [`gemv_rows`] multiplies packed weights with up to [`MAX_ROWS`] rows that were
//! [`Prepared`].
//!
//! A value of an affine matrix is `scale · q + bias` in float32, one of the others `scale · value`. As in MLX, and
//! unlike in the OCP formats, no code is NaN: the scale 0xff of E8M0 is infinite, and 0x7f of E4M3 is 480.

mod format;
mod gemv;
mod plain;
pub mod reference;
mod unpack;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

pub use format::{Format, Kind, Matrix, Scales};
pub use gemv::{MAX_ROWS, Prepared, gemv_rows};
pub(crate) use unpack::unpack_block_f32;
pub use unpack::{dequantize_rows, permute, unpack_panel_bf16, unpack_panel_f32};

pub(crate) use crate::Element;
