// SPDX-License-Identifier: EUPL-1.2
//! Many elements to one, and scans.

use mlx_core::{Array, Result, Scan};

use super::{Bytes, one, pick};

type OneAxis = fn(&Array, i32, bool) -> Result<Array>;
type SeveralAxes = fn(&Array, &[i32], bool) -> Result<Array>;
type ScanAxis = fn(&Array, i32, Scan) -> Result<Array>;
type ScanAll = fn(&Array, Scan) -> Result<Array>;

const ONE: [OneAxis; 12] = [
    Array::sum,
    Array::prod,
    Array::mean,
    Array::max,
    Array::min,
    Array::all,
    Array::any,
    Array::logsumexp,
    Array::median,
    Array::count_nonzero,
    Array::argmax,
    Array::argmin,
];

const SEVERAL: [SeveralAxes; 10] = [
    Array::sum_axes,
    Array::prod_axes,
    Array::mean_axes,
    Array::max_axes,
    Array::min_axes,
    Array::all_axes,
    Array::any_axes,
    Array::logsumexp_axes,
    Array::median_axes,
    Array::count_nonzero_axes,
];

const ALL: [fn(&Array) -> Result<Array>; 8] = [
    Array::sum_all,
    Array::prod_all,
    Array::max_all,
    Array::logsumexp_all,
    Array::median_all,
    Array::argmin_all,
    Array::softmax_all,
    Array::trace,
];

const SCANS: [ScanAxis; 5] =
    [Array::cumsum, Array::cumprod, Array::cummax, Array::cummin, Array::logcumsumexp];

const SCANS_ALL: [ScanAll; 5] =
    [Array::cumsum_all, Array::cumprod_all, Array::cummax_all, Array::cummin_all, Array::logcumsumexp_all];

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let a = pick(bytes, made);
    one(match bytes.below(16) {
        0..=2 => ONE[usize::from(bytes.below(12))](a, bytes.int(), bytes.flag()),
        3..=5 => SEVERAL[usize::from(bytes.below(10))](a, &bytes.ints(4), bytes.flag()),
        6 => ALL[usize::from(bytes.below(8))](a),
        7 => a.var_axes(&bytes.ints(4), bytes.flag(), bytes.int()),
        8 => a.std(bytes.int(), bytes.flag(), bytes.int()),
        9 => a.softmax(bytes.int()),
        10 => a.softmax_axes(&bytes.ints(4)),
        11 => a.trace_axes(bytes.int(), bytes.int(), bytes.int(), bytes.dtype()),
        12 => a.diff(bytes.int(), bytes.int()),
        13 => {
            let scan = SCANS_ALL[usize::from(bytes.below(5))];
            scan(a, direction(bytes))
        }
        _ => {
            let scan = SCANS[usize::from(bytes.below(5))];
            scan(a, bytes.int(), direction(bytes))
        }
    })
}

fn direction(bytes: &mut Bytes<'_>) -> Scan {
    Scan { reverse: bytes.flag(), inclusive: bytes.flag() }
}
