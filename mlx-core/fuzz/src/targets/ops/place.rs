// SPDX-License-Identifier: EUPL-1.2
//! Elements by their places, read and replaced.

use mlx_core::{Array, Index, Result, Side};

use super::{Bytes, one, pick};

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let a = pick(bytes, made);
    match bytes.below(10) {
        0 => one(a.slice(&bytes.ints(4), &bytes.ints(4))),
        1 => one(a.slice_strided(&bytes.ints(4), &bytes.ints(4), &bytes.ints(4))),
        2 => one(a.slice_axis(bytes.int(), bytes.int(), bytes.int())),
        3 => one(a.slice_dynamic(pick(bytes, made), &bytes.ints(3), &bytes.ints(4))),
        4 => one(a.take(pick(bytes, made), bytes.int())),
        5 => one(a.take_flat(pick(bytes, made))),
        6 => one(a.take_along_axis(pick(bytes, made), bytes.int())),
        7 => one(a.gather(&[pick(bytes, made)], &bytes.ints(2), &bytes.ints(4))),
        8 => {
            let side = if bytes.flag() { Side::Left } else { Side::Right };
            one(a.searchsorted(pick(bytes, made), side))
        }
        _ => one(a.gather(&[pick(bytes, made), pick(bytes, made)], &bytes.ints(2), &bytes.ints(4))),
    }
}

type Scatter = fn(&Array, &[&Array], &Array, &[i32]) -> Result<Array>;
type SliceUpdate = fn(&Array, &Array, &[i32], &[i32], &[i32]) -> Result<Array>;
type IndexUpdate = fn(&Array, Vec<Index<'_>>, &Array) -> Result<Array>;

const SCATTERS: [Scatter; 5] =
    [Array::scatter, Array::scatter_add, Array::scatter_max, Array::scatter_min, Array::scatter_prod];

const SLICE_UPDATES: [SliceUpdate; 5] = [
    Array::slice_update_strided,
    Array::slice_update_add_strided,
    Array::slice_update_max_strided,
    Array::slice_update_min_strided,
    Array::slice_update_prod_strided,
];

const INDEX_UPDATES: [IndexUpdate; 7] = [
    |a, indices, update| a.index_update(indices, update),
    |a, indices, update| a.index_add(indices, update),
    |a, indices, update| a.index_subtract(indices, update),
    |a, indices, update| a.index_multiply(indices, update),
    |a, indices, update| a.index_divide(indices, update),
    |a, indices, update| a.index_maximum(indices, update),
    |a, indices, update| a.index_minimum(indices, update),
];

pub(super) fn updates(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let (a, update) = (pick(bytes, made), pick(bytes, made));
    one(match bytes.below(16) {
        0..=2 => {
            let scatter = SCATTERS[usize::from(bytes.below(5))];
            scatter(a, &[pick(bytes, made)], update, &bytes.ints(2))
        }
        3 => {
            let scatter = SCATTERS[usize::from(bytes.below(5))];
            scatter(a, &[pick(bytes, made), pick(bytes, made)], update, &bytes.ints(3))
        }
        4 => a.put_along_axis(pick(bytes, made), update, bytes.int()),
        5 => a.scatter_add_axis(pick(bytes, made), update, bytes.int()),
        6 => a.masked_scatter(pick(bytes, made), update),
        7 => a.masked_fill(pick(bytes, made), update),
        8 => a.slice_update_dynamic(update, pick(bytes, made), &bytes.ints(3)),
        9 => a.slice_update_axis(update, bytes.int(), bytes.int(), bytes.int()),
        10..=12 => {
            let replace = SLICE_UPDATES[usize::from(bytes.below(5))];
            replace(a, update, &bytes.ints(4), &bytes.ints(4), &bytes.ints(4))
        }
        _ => {
            let replace = INDEX_UPDATES[usize::from(bytes.below(7))];
            let indices = (0..bytes.below(4)).map(|_| index(bytes, made)).collect();
            replace(a, indices, update)
        }
    })
}

fn index<'a>(bytes: &mut Bytes<'_>, made: &'a [Array]) -> Index<'a> {
    match bytes.below(5) {
        0 => Index::At(bytes.int()),
        1 => Index::Slice {
            start: bytes.flag().then(|| bytes.int()),
            stop: bytes.flag().then(|| bytes.int()),
            step: bytes.int(),
        },
        2 => Index::Ellipsis,
        3 => Index::NewAxis,
        _ => Index::Take(pick(bytes, made)),
    }
}
