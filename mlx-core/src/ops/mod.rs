// SPDX-License-Identifier: EUPL-1.2
//! The ops, one family a file. They never evaluate.

mod arith;
mod compare;
mod conv;
mod create;
mod cumulative;
mod gather;
mod graph;
mod index;
mod join;
mod linalg;
pub(crate) mod node;
mod pad;
mod qqmm;
mod quant;
mod reduce;
mod shape;
mod slice;
mod sort;
mod window;

pub use compare::where_;
pub use conv::{ConvGeneralOptions, ConvOptions, ConvTransposeOptions};
pub use cumulative::Scan;
pub(crate) use gather::dtype_range;
pub use graph::depends;
pub use index::{Ellipsis, Index, IndexList, NewAxis, step};
pub use join::{Indexing, broadcast_arrays, concatenate, concatenate_flat, meshgrid, stack};
pub(crate) use linalg::class_indices;
pub use linalg::{BlockMasks, addmm, block_masked_mm, einsum, inner, kron, outer, segmented_mm, tensordot};
pub use pad::Padding;
pub use qqmm::{GlobalScales, QqmmWeight};
pub(crate) use quant::packed_width;
pub use quant::{QuantMode, Quantization, Quantized, dequantize, dequantize_scaled};
pub use sort::Side;

use crate::Array;
use crate::ffi::{Handle, sys};

/// Lends an empty handle for an operand that is absent.
pub(crate) fn opt(array: Option<&Array>) -> sys::mlx_array {
    array.map_or(sys::mlx_array { ctx: std::ptr::null_mut() }, Handle::as_raw)
}

pub(crate) fn optional_float(value: Option<f32>) -> sys::mlx_optional_float {
    sys::mlx_optional_float { value: value.unwrap_or_default(), has_value: value.is_some() }
}

pub(crate) fn optional_int(value: Option<i32>) -> sys::mlx_optional_int {
    sys::mlx_optional_int { value: value.unwrap_or_default(), has_value: value.is_some() }
}

pub(crate) fn optional_dtype(value: Option<crate::Dtype>) -> sys::mlx_optional_dtype {
    sys::mlx_optional_dtype {
        value: value.unwrap_or(crate::Dtype::Float32).to_raw(),
        has_value: value.is_some(),
    }
}
