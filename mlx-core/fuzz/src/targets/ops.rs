// SPDX-License-Identifier: EUPL-1.2
//! Programs: each byte is an op on the arrays that earlier ones made.

use mlx_core::{
    Array, Dtype, Result, Scan, Side, addmm, concatenate, fast, inner, kron, outer, stack, tensordot, where_,
};

use super::{Bytes, read};

/// Arrays with more elements are not kept: the next op would take long.
const MOST: usize = 1 << 14;

pub(crate) fn run(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let mut made: Vec<Array> = (0..3).filter_map(|_| bytes.array()).collect();
    for _ in 0..16 {
        if bytes.is_empty() || made.is_empty() {
            break;
        }
        let results = step(&mut bytes, &made).unwrap_or_default();
        made.extend(results.into_iter().filter(|array| array.size() <= MOST));
    }
    made.iter().rev().for_each(read);
}

type Unary = fn(&Array) -> Result<Array>;
type Binary = fn(&Array, &Array) -> Result<Array>;

const UNARY: &[Unary] = &[
    Array::square,
    Array::sign,
    Array::conjugate,
    Array::negative,
    Array::abs,
    Array::real,
    Array::imag,
    Array::floor,
    Array::ceil,
    Array::sqrt,
    Array::rsqrt,
    Array::reciprocal,
    Array::exp,
    Array::log,
    Array::log2,
    Array::log1p,
    Array::sin,
    Array::cosh,
    Array::tanh,
    Array::arcsin,
    Array::arctanh,
    Array::expm1,
    Array::sigmoid,
    Array::erf,
    Array::erfinv,
    Array::bitwise_invert,
    Array::logical_not,
    Array::isnan,
    Array::isfinite,
    Array::transpose,
    Array::squeeze,
    Array::copy,
    Array::atleast_1d,
    Array::atleast_3d,
    Array::contiguous,
    Array::sum_all,
    Array::max_all,
    Array::argmin_all,
    Array::stop_gradient,
];

const BINARY: &[Binary] = &[
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
    Array::logical_xor,
    Array::matmul,
    inner,
    outer,
    kron,
    |a, b| a.array_equal(b, true),
    |a, b| a.isclose(b, 1e-5, 1e-8, false),
    |a, b| a.searchsorted(b, Side::Left),
    |a, b| where_(a, b, a),
    |a, b| fast::gated(fast::Activation::Silu, a, b),
];

/// Makes one call with operands from `made` and parameters from `bytes`.
fn step(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let pick = |bytes: &mut Bytes<'_>| &made[usize::from(bytes.byte()) % made.len()];
    let kind = bytes.below(64);
    let a = pick(bytes);
    let one = |result: Result<Array>| result.map(|array| vec![array]);
    match kind {
        0..=7 => one(UNARY[usize::from(bytes.byte()) % UNARY.len()](a)),
        8..=17 => {
            let b = pick(bytes);
            one(BINARY[usize::from(bytes.byte()) % BINARY.len()](a, b))
        }
        18 => one(a.reshape(&bytes.ints(5))),
        19 => one(a.transpose_axes(&bytes.ints(5))),
        20 => one(a.slice(&bytes.ints(4), &bytes.ints(4))),
        21 => one(a.slice_strided(&bytes.ints(4), &bytes.ints(4), &bytes.ints(4))),
        22 => one(a.slice_update(pick(bytes), &bytes.ints(4), &bytes.ints(4))),
        23 => one(concatenate(&[a, pick(bytes)], bytes.int())),
        24 => one(stack(&[a, pick(bytes)], bytes.int())),
        25 => one(a.broadcast_to(&bytes.ints(5))),
        26 => one(a.tile(&bytes.ints(3))),
        27 => one(a.repeat(bytes.int(), bytes.int())),
        28 => {
            let widths: Vec<_> = (0..bytes.below(5)).map(|_| (bytes.int(), bytes.int())).collect();
            one(a.pad(&widths, bytes.float()))
        }
        29 => one(a.roll(bytes.int(), bytes.int())),
        30 => one(a.flip(bytes.int())),
        31 => one(a.diagonal(bytes.int(), bytes.int(), bytes.int())),
        32 => one(a.diag(bytes.int())),
        33 => a.split(bytes.int(), bytes.int()),
        34 => a.split_at(&bytes.ints(4), bytes.int()),
        35 => one(a.sum(bytes.int(), bytes.flag())),
        36 => one(a.prod_axes(&bytes.ints(4), bytes.flag())),
        37 => one(a.max(bytes.int(), bytes.flag())),
        38 => one(a.var(bytes.int(), bytes.flag(), bytes.int())),
        39 => one(a.argmax(bytes.int(), bytes.flag())),
        40 => one(a.logsumexp(bytes.int(), bytes.flag())),
        41 => one(a.softmax(bytes.int())),
        42 => one(a.cumsum(bytes.int(), scan(bytes))),
        43 => one(a.logcumsumexp(bytes.int(), scan(bytes))),
        44 => one(a.sort(bytes.int())),
        45 => one(a.argsort(bytes.int())),
        46 => one(a.partition(bytes.int(), bytes.int())),
        47 => one(a.topk(bytes.int(), bytes.int())),
        48 => one(a.take(pick(bytes), bytes.int())),
        49 => one(a.take_along_axis(pick(bytes), bytes.int())),
        50 => one(a.put_along_axis(pick(bytes), pick(bytes), bytes.int())),
        51 => one(a.scatter_add_axis(pick(bytes), pick(bytes), bytes.int())),
        52 => one(a.gather(&[pick(bytes)], &bytes.ints(2), &bytes.ints(4))),
        53 => one(a.scatter(&[pick(bytes)], pick(bytes), &bytes.ints(2))),
        54 => one(a.masked_scatter(pick(bytes), pick(bytes))),
        55 => one(a.slice_dynamic(pick(bytes), &bytes.ints(3), &bytes.ints(4))),
        56 => one(a.as_strided(
            &bytes.ints(4),
            &bytes.ints(4).into_iter().map(i64::from).collect::<Vec<_>>(),
            usize::from(bytes.byte()),
        )),
        57 => one(a.astype(bytes.dtype())),
        58 => one(addmm(a, pick(bytes), pick(bytes), bytes.float() as f32, bytes.float() as f32)),
        59 => one(tensordot(a, pick(bytes), &bytes.ints(3), &bytes.ints(3))),
        60 => one(fast::rms_norm(a, Some(pick(bytes)), bytes.float() as f32)),
        61 => one(fast::layer_norm(a, Some(pick(bytes)), None, bytes.float() as f32)),
        62 => created(bytes).map(|array| vec![array]),
        _ => one(a.unflatten(bytes.int(), &bytes.ints(4))),
    }
}

fn scan(bytes: &mut Bytes<'_>) -> Scan {
    Scan { reverse: bytes.flag(), inclusive: bytes.flag() }
}

fn created(bytes: &mut Bytes<'_>) -> Result<Array> {
    match bytes.below(6) {
        0 => Array::full(&bytes.ints(4), bytes.float(), bytes.dtype()),
        1 => Array::arange(bytes.float(), bytes.float(), bytes.float(), bytes.dtype()),
        2 => Array::linspace(bytes.float(), bytes.float(), bytes.int(), bytes.dtype()),
        3 => Array::eye(bytes.int(), bytes.int(), bytes.int(), bytes.dtype()),
        4 => Array::tri(bytes.int(), bytes.int(), bytes.int(), bytes.dtype()),
        _ => Array::zeros(&bytes.ints(3), Dtype::Float32),
    }
}
