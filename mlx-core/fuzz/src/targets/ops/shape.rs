// SPDX-License-Identifier: EUPL-1.2
//! Arrays from nothing, and arrays that hold the same elements in another order or number.

use mlx_core::{
    Array, Dtype, Indexing, Padding, Result, broadcast_arrays, concatenate, depends, meshgrid, stack,
};

use super::{Bytes, one, pick};

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let a = pick(bytes, made);
    match bytes.below(36) {
        0 => one(a.transpose()),
        1 => one(a.squeeze()),
        2 => one(a.atleast_1d()),
        3 => one(a.atleast_3d()),
        4 => one(a.contiguous()),
        5 => one(a.reshape(&bytes.ints(5))),
        6 => one(a.flatten(bytes.int(), bytes.int())),
        7 => one(a.unflatten(bytes.int(), &bytes.ints(4))),
        8 => one(a.transpose_axes(&bytes.ints(5))),
        9 => one(a.move_axis(bytes.int(), bytes.int())),
        10 => one(a.squeeze_axes(&bytes.ints(3))),
        11 => one(a.expand_dims_axes(&bytes.ints(3))),
        12 => one(concatenate(&[a, pick(bytes, made)], bytes.int())),
        13 => one(stack(&[a, pick(bytes, made)], bytes.int())),
        14 => broadcast_arrays(&[a, pick(bytes, made)]),
        15 => {
            let indexing = if bytes.flag() { Indexing::Xy } else { Indexing::Ij };
            meshgrid(&[a, pick(bytes, made)], bytes.flag(), indexing)
        }
        16 => depends(&[a], &[pick(bytes, made)]),
        17 => one(a.broadcast_to(&bytes.ints(5))),
        18 => one(a.tile(&bytes.ints(3))),
        19 => one(a.repeat(bytes.int(), bytes.int())),
        20..=23 => {
            let widths: Vec<_> = (0..bytes.below(5)).map(|_| (bytes.int(), bytes.int())).collect();
            one(a.pad(&widths, padding(bytes)))
        }
        24 => one(a.pad_symmetric(bytes.int(), padding(bytes))),
        25 => one(a.roll(bytes.int(), bytes.int())),
        26 => {
            let shifts: Vec<_> = (0..bytes.below(4)).map(|_| (bytes.int(), bytes.int())).collect();
            one(a.roll_axes(&shifts))
        }
        27 => one(a.flip_axes(&bytes.ints(3))),
        28 => one(a.diagonal(bytes.int(), bytes.int(), bytes.int())),
        29 => one(a.diag(bytes.int())),
        30 => a.split(bytes.int(), bytes.int()),
        31 => a.split_at(&bytes.ints(4), bytes.int()),
        32 => a.unstack(bytes.int()),
        33 => one(a.number_of_elements(&bytes.ints(3), bytes.flag(), bytes.dtype())),
        34 => one(if bytes.flag() { a.tril(bytes.int()) } else { a.triu(bytes.int()) }),
        _ => one(a.as_strided(
            &bytes.ints(4),
            &bytes.ints(4).into_iter().map(i64::from).collect::<Vec<_>>(),
            usize::from(bytes.byte()),
        )),
    }
}

fn padding(bytes: &mut Bytes<'_>) -> Padding {
    match bytes.below(4) {
        0 => Padding::Constant(bytes.float()),
        1 => Padding::Edge,
        2 => Padding::Reflect,
        _ => Padding::Symmetric,
    }
}

pub(super) fn created(bytes: &mut Bytes<'_>, _made: &[Array]) -> Result<Vec<Array>> {
    one(match bytes.below(8) {
        0 => Array::full(&bytes.ints(4), bytes.float(), bytes.dtype()),
        1 => Array::arange(bytes.float(), bytes.float(), bytes.float(), bytes.dtype()),
        2 => Array::linspace(bytes.float(), bytes.float(), bytes.int(), bytes.dtype()),
        3 => Array::linspace_open(bytes.float(), bytes.float(), bytes.int(), bytes.dtype()),
        4 => Array::eye(bytes.int(), bytes.int(), bytes.int(), bytes.dtype()),
        5 => Array::tri(bytes.int(), bytes.int(), bytes.int(), bytes.dtype()),
        6 => {
            let window = [Array::bartlett, Array::blackman, Array::hamming, Array::hanning];
            window[usize::from(bytes.below(4))](bytes.int())
        }
        _ => Array::zeros(&bytes.ints(3), Dtype::Float32),
    })
}
