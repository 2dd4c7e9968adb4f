// SPDX-License-Identifier: EUPL-1.2
//! Arguments that nobody means: whatever they are, a call gives an array or an error, and the process goes on.

use mlx_core::{
    Array, Dtype, Indexing, Padding, Result, Scan, Side, broadcast_arrays, concatenate, concatenate_flat,
    depends, meshgrid, stack, where_,
};

const EXTREMES: [i32; 11] = [0, 1, -1, 2, -2, 3, -4, 7, 1 << 30, i32::MAX, i32::MIN];
const LISTS: [&[i32]; 12] = [
    &[],
    &[0],
    &[-1],
    &[0, 1],
    &[1, 0, 2],
    &[0, 0],
    &[2, -1, 0],
    &[-1, -1],
    &[1 << 16, 1 << 16, 1 << 16, 1 << 16],
    &[i32::MAX, i32::MAX],
    &[i32::MIN],
    &[0, i32::MAX, i32::MIN],
];
const SCANS: [Scan; 2] = [Scan { reverse: false, inclusive: true }, Scan { reverse: true, inclusive: false }];

/// Small arrays of every layout that has been trouble, in `dtype`.
fn arrays(dtype: Dtype) -> Vec<Array> {
    let ones = |shape: &[i32]| Array::ones(shape, dtype).unwrap();
    vec![
        ones(&[]),
        ones(&[0]),
        ones(&[1]),
        ones(&[2, 3]).transpose().unwrap(),
        ones(&[0, 1, 7]).transpose().unwrap(),
        ones(&[2, 0, 3]).transpose_axes(&[1, 0, 2]).unwrap(),
        ones(&[1, 1]).broadcast_to(&[2, 2]).unwrap(),
        ones(&[3, 4]).slice_strided(&[2, 0], &[-4, 4], &[-1, 2]).unwrap(),
    ]
}

/// Computes what is small enough, which is what an op's author might have missed.
fn settle(result: Result<Array>) {
    if let Ok(array) = result
        && array.nbytes() < 1 << 22
    {
        array.eval().unwrap();
    }
}

fn settle_all(result: Result<Vec<Array>>) {
    result.into_iter().flatten().for_each(|array| settle(Ok(array)));
}

#[test]
fn reductions_scans_and_sorts_survive_any_axis() {
    for dtype in Dtype::ALL {
        for x in arrays(dtype) {
            for axis in EXTREMES {
                for keepdims in [false, true] {
                    settle(x.sum(axis, keepdims));
                    settle(x.prod(axis, keepdims));
                    settle(x.mean(axis, keepdims));
                    settle(x.max(axis, keepdims));
                    settle(x.min(axis, keepdims));
                    settle(x.all(axis, keepdims));
                    settle(x.any(axis, keepdims));
                    settle(x.logsumexp(axis, keepdims));
                    settle(x.median(axis, keepdims));
                    settle(x.count_nonzero(axis, keepdims));
                    settle(x.argmax(axis, keepdims));
                    settle(x.argmin(axis, keepdims));
                }
                settle(x.softmax(axis));
                for scan in SCANS {
                    settle(x.cumsum(axis, scan));
                    settle(x.cumprod(axis, scan));
                    settle(x.cummax(axis, scan));
                    settle(x.cummin(axis, scan));
                    settle(x.logcumsumexp(axis, scan));
                }
                settle(x.sort(axis));
                settle(x.argsort(axis));
                for n in EXTREMES {
                    settle(x.partition(n, axis));
                    settle(x.argpartition(n, axis));
                    settle(x.topk(n, axis));
                    settle(x.diff(n, axis));
                    settle(x.var(axis, true, n));
                    settle(x.trace_axes(n, axis, 0, dtype));
                    settle(x.trace_axes(n, 1, axis, dtype));
                    settle(x.diagonal(n, axis, -1));
                }
            }
            for axes in LISTS {
                settle(x.sum_axes(axes, false));
                settle(x.prod_axes(axes, true));
                settle(x.mean_axes(axes, false));
                settle(x.max_axes(axes, false));
                settle(x.min_axes(axes, true));
                settle(x.all_axes(axes, false));
                settle(x.any_axes(axes, false));
                settle(x.logsumexp_axes(axes, false));
                settle(x.median_axes(axes, false));
                settle(x.count_nonzero_axes(axes, false));
                settle(x.var_axes(axes, false, 1));
                settle(x.std_axes(axes, true, i32::MIN));
                settle(x.softmax_axes(axes));
                settle(x.number_of_elements(axes, true, dtype));
            }
            let all: [fn(&Array) -> Result<Array>; 15] = [
                Array::sum_all,
                Array::prod_all,
                Array::mean_all,
                Array::max_all,
                Array::min_all,
                Array::all_all,
                Array::any_all,
                Array::logsumexp_all,
                Array::median_all,
                Array::argmax_all,
                Array::argmin_all,
                Array::softmax_all,
                Array::trace,
                Array::sort_all,
                Array::argsort_all,
            ];
            all.into_iter().for_each(|op| settle(op(&x)));
            for n in EXTREMES {
                settle(x.partition_all(n));
                settle(x.argpartition_all(n));
                settle(x.topk_all(n));
                settle(x.var_all(n));
                settle(x.std_all(n));
            }
            for scan in SCANS {
                settle(x.cumsum_all(scan));
                settle(x.cumprod_all(scan));
                settle(x.cummax_all(scan));
                settle(x.cummin_all(scan));
                settle(x.logcumsumexp_all(scan));
            }
        }
    }
}

#[test]
fn ops_of_shape_survive_any_number() {
    let modes = [Padding::Constant(f64::NAN), Padding::Edge, Padding::Reflect, Padding::Symmetric];
    for dtype in [Dtype::Float32, Dtype::Bool, Dtype::Bfloat16, Dtype::Complex64] {
        for x in arrays(dtype) {
            let ndim = x.ndim();
            for list in LISTS {
                settle(x.reshape(list));
                settle(x.transpose_axes(list));
                settle(x.squeeze_axes(list));
                settle(x.expand_dims_axes(list));
                settle(x.broadcast_to(list));
                settle(x.tile(list));
                settle(x.flip_axes(list));
                settle(x.roll_axes(&list.iter().map(|&n| (n, n)).collect::<Vec<_>>()));
                let strides: Vec<i64> = list.iter().map(|&n| i64::from(n)).collect();
                settle(x.as_strided(list, &strides, 1));
                for axis in EXTREMES {
                    settle(x.unflatten(axis, list));
                    settle_all(x.split_at(list, axis));
                }
            }
            for a in EXTREMES {
                settle(x.squeeze_axis(a));
                settle(x.expand_dims(a));
                settle(x.flip(a));
                settle(x.roll_all(a));
                settle(x.repeat_all(a));
                settle(x.diag(a));
                settle(x.tril(a));
                settle(x.triu(a));
                settle_all(x.unstack(a));
                settle(stack(&[&x, &x], a));
                settle(concatenate(&[&x, &x], a));
                for mode in modes {
                    settle(x.pad_symmetric(a, mode));
                }
                for b in EXTREMES {
                    settle(x.flatten(a, b));
                    settle(x.swap_axes(a, b));
                    settle(x.move_axis(a, b));
                    settle(x.roll(a, b));
                    settle(x.repeat(a, b));
                    settle_all(x.split(a, b));
                    for mode in modes {
                        settle(x.pad(&vec![(a, b); ndim], mode));
                    }
                }
            }
            let all: [fn(&Array) -> Result<Array>; 9] = [
                Array::transpose,
                Array::squeeze,
                Array::copy,
                Array::contiguous,
                Array::flip_all,
                Array::atleast_1d,
                Array::atleast_2d,
                Array::atleast_3d,
                Array::zeros_like,
            ];
            all.into_iter().for_each(|op| settle(op(&x)));
            for y in arrays(Dtype::Int8) {
                settle_all(broadcast_arrays(&[&x, &y]));
                settle_all(meshgrid(&[&x, &y], true, Indexing::Ij));
                settle_all(depends(&[&x], &[&y]));
                settle(concatenate_flat(&[&x, &y]));
            }
        }
    }
}

#[test]
fn elementwise_ops_survive_any_pair_of_arrays() {
    type Binary = fn(&Array, &Array) -> Result<Array>;
    let binary: [Binary; 25] = [
        |a, b| a + b,
        |a, b| a - b,
        |a, b| a * b,
        |a, b| a / b,
        Array::power,
        Array::maximum,
        Array::minimum,
        Array::logaddexp,
        Array::arctan2,
        Array::remainder,
        Array::floor_divide,
        Array::bitwise_and,
        Array::bitwise_or,
        Array::bitwise_xor,
        Array::left_shift,
        Array::right_shift,
        Array::equal,
        Array::less,
        Array::greater_equal,
        Array::logical_and,
        Array::logical_xor,
        |a, b| a.isclose(b, f64::NAN, f64::INFINITY, true),
        |a, b| a.array_equal(b, false),
        |a, b| a.clip(Some(b), Some(b)),
        |a, b| a.searchsorted(b, Side::Right),
    ];
    for dtype in Dtype::ALL {
        for other in
            [Dtype::Int8, Dtype::Uint64, Dtype::Bool, Dtype::Float16, Dtype::Float64, Dtype::Complex64]
        {
            for x in arrays(dtype) {
                // Zeros and negative numbers too.
                for y in arrays(other)
                    .into_iter()
                    .step_by(2)
                    .flat_map(|y| [y.zeros_like(), y.full_like(-1.0), Ok(y)])
                {
                    let y = y.unwrap();
                    binary.iter().for_each(|op| settle(op(&x, &y)));
                    settle(where_(&x, &y, &x));
                }
            }
        }
        for x in arrays(dtype) {
            for target in Dtype::ALL {
                settle(x.astype(target));
                settle(x.view(target));
                settle(x.from_fp8(target));
                settle(x.full_like_dtype(f64::MAX, target));
            }
            for n in EXTREMES {
                settle(x.round(n));
            }
            settle(x.nan_to_num(f32::NAN, Some(f32::INFINITY), None));
            settle(x.to_fp8());
        }
    }
}

#[test]
fn constructors_survive_any_number() {
    let odd = [0.0, -0.0, 1.0, -1.5, 1e-300, 1e30, f64::MAX, f64::MIN, f64::NAN, f64::INFINITY];
    for dtype in Dtype::ALL {
        for a in EXTREMES {
            for b in EXTREMES {
                settle(Array::eye(a, b, b, dtype));
                settle(Array::tri(a, b, a, dtype));
            }
            settle(Array::identity(a, dtype));
        }
        for shape in LISTS {
            settle(Array::zeros(shape, dtype));
            settle(Array::ones(shape, dtype));
            odd.into_iter().for_each(|value| settle(Array::full(shape, value, dtype)));
        }
        for start in odd {
            for stop in odd {
                odd.into_iter().for_each(|step| settle(Array::arange(start, stop, step, dtype)));
                for count in [0, 1, 3, -1, i32::MIN, i32::MAX] {
                    settle(Array::linspace(start, stop, count, dtype));
                    settle(Array::linspace_open(start, stop, count, dtype));
                }
            }
        }
    }
    for n in EXTREMES {
        settle(Array::hamming(n));
        settle(Array::hanning(n));
        settle(Array::bartlett(n));
        settle(Array::blackman(n));
    }
}
