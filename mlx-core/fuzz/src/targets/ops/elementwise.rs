// SPDX-License-Identifier: EUPL-1.2
//! Ops that treat each element alike.

use mlx_core::{Array, Result, fast, where_};

use super::{Bytes, one, perhaps, pick, two};

const UNARY: &[fn(&Array) -> Result<Array>] = &[
    Array::square,
    Array::sign,
    Array::conjugate,
    Array::negative,
    Array::positive,
    Array::abs,
    Array::real,
    Array::imag,
    Array::floor,
    Array::ceil,
    Array::trunc,
    Array::sqrt,
    Array::rsqrt,
    Array::reciprocal,
    Array::exp,
    Array::log,
    Array::log2,
    Array::log10,
    Array::log1p,
    Array::sin,
    Array::tan,
    Array::cosh,
    Array::tanh,
    Array::arcsin,
    Array::arccosh,
    Array::arctanh,
    Array::degrees,
    Array::expm1,
    Array::sigmoid,
    Array::erf,
    Array::erfinv,
    Array::bitwise_invert,
    Array::logical_not,
    Array::isnan,
    Array::isfinite,
    Array::isneginf,
    Array::zeros_like,
    Array::ones_like,
    Array::stop_gradient,
    Array::copy,
    Array::to_fp8,
];

const BINARY: &[fn(&Array, &Array) -> Result<Array>] = &[
    |a, b| a + b,
    |a, b| a - b,
    |a, b| a * b,
    |a, b| a / b,
    Array::power,
    Array::maximum,
    Array::minimum,
    Array::logaddexp,
    Array::arctan2,
    Array::bitwise_and,
    Array::bitwise_or,
    Array::bitwise_xor,
    Array::left_shift,
    Array::right_shift,
    Array::remainder,
    Array::floor_divide,
    Array::equal,
    Array::less,
    Array::greater_equal,
    Array::logical_xor,
    |a, b| a.array_equal(b, true),
    |a, b| a.isclose(b, 1e-5, 1e-8, false),
    |a, b| where_(a, b, a),
    |a, b| fast::gated(fast::Activation::Silu, a, b),
    |a, b| fast::gated(fast::Activation::ReluSquared, a, b),
];

pub(super) fn unary(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let a = pick(bytes, made);
    one(UNARY[usize::from(bytes.byte()) % UNARY.len()](a))
}

pub(super) fn binary(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let (a, b) = (pick(bytes, made), pick(bytes, made));
    one(BINARY[usize::from(bytes.byte()) % BINARY.len()](a, b))
}

pub(super) fn other(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let a = pick(bytes, made);
    match bytes.below(10) {
        0 => one(where_(a, pick(bytes, made), pick(bytes, made))),
        1 => two(a.divmod(pick(bytes, made))),
        2 => one(a.clip(perhaps(bytes, made), perhaps(bytes, made))),
        3 => one(a.round(bytes.int())),
        4 => {
            let bound = |bytes: &mut Bytes<'_>| bytes.flag().then(|| bytes.float() as f32);
            one(a.nan_to_num(bytes.float() as f32, bound(bytes), bound(bytes)))
        }
        5 => one(a.from_fp8(bytes.dtype())),
        6 => one(a.view(bytes.dtype())),
        7 => one(a.full_like(bytes.float())),
        _ => one(a.astype(bytes.dtype())),
    }
}
