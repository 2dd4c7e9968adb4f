// SPDX-License-Identifier: EUPL-1.2
//! Programs: each step is a call on the arrays that earlier ones made, or what a transformation makes of such a call.

mod choice;
mod elementwise;
mod fused;
mod matrix;
mod place;
mod quantised;
mod random;
mod reduction;
mod shape;
mod signal;
mod solve;
mod transformed;

use mlx_core::{Array, Result};

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
        made.extend(results.into_iter().filter(is_small));
    }
    made.iter().rev().for_each(read);
}

fn is_small(array: &Array) -> bool {
    array.size() <= MOST
}

/// One call, with operands from the arrays and parameters from the bytes.
type Call = fn(&mut Bytes<'_>, &[Array]) -> Result<Vec<Array>>;

/// A family twice is called twice as often.
const FAMILIES: [Call; 16] = [
    elementwise::unary,
    elementwise::binary,
    elementwise::other,
    shape::call,
    shape::call,
    shape::created,
    place::call,
    place::updates,
    reduction::call,
    choice::call,
    matrix::call,
    quantised::call,
    solve::call,
    signal::call,
    fused::call,
    random::call,
];

const TRANSFORMED: [Call; 3] = [transformed::pulled, transformed::pushed, transformed::mapped];

fn step(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let kind = usize::from(bytes.below(24));
    match TRANSFORMED.get(kind.wrapping_sub(21)) {
        Some(transformed) => transformed(bytes, made),
        None => plain(bytes, made),
    }
}

/// A step without a transformation.
fn plain(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    FAMILIES[usize::from(bytes.byte()) % FAMILIES.len()](bytes, made)
}

/// An operand.
fn pick<'a>(bytes: &mut Bytes<'_>, made: &'a [Array]) -> &'a Array {
    &made[usize::from(bytes.byte()) % made.len()]
}

/// An operand, or none.
fn perhaps<'a>(bytes: &mut Bytes<'_>, made: &'a [Array]) -> Option<&'a Array> {
    bytes.flag().then(|| pick(bytes, made))
}

fn one(result: Result<Array>) -> Result<Vec<Array>> {
    result.map(|array| vec![array])
}

fn two(result: Result<(Array, Array)>) -> Result<Vec<Array>> {
    result.map(|(a, b)| vec![a, b])
}
