// SPDX-License-Identifier: EUPL-1.2
//! Products.

use mlx_core::{
    Array, BlockMasks, Dtype, Result, addmm, block_masked_mm, einsum, inner, kron, outer, segmented_mm,
    tensordot,
};

use super::{Bytes, one, perhaps, pick};

const SUBSCRIPTS: [&str; 8] =
    ["ij,jk->ik", "ij,jk", "i,j->ij", "...i,...i->...", "ii->i,i", "ij,kl->", "bij,bjk->bik", "i..,->"];

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let (a, b) = (pick(bytes, made), pick(bytes, made));
    one(match bytes.below(14) {
        0 | 1 => a.matmul(b),
        2 => a.vecdot(b, bytes.int()),
        3 => a.gather_mm(b, perhaps(bytes, made), perhaps(bytes, made), bytes.flag()),
        4 => addmm(a, b, pick(bytes, made), bytes.float() as f32, bytes.float() as f32),
        5 => inner(a, b),
        6 => outer(a, b),
        7 => kron(a, b),
        8 => tensordot(a, b, &bytes.ints(3), &bytes.ints(3)),
        9 => einsum(SUBSCRIPTS[usize::from(bytes.below(8))], [a, b]),
        10 => a.hadamard_transform(bytes.flag().then(|| bytes.float() as f32)),
        11 => segmented_mm(a, b, pick(bytes, made)),
        12 => segmented_mm(a, b, &segments(bytes)?),
        _ => masked(bytes, a, b, made),
    })
}

/// Runs within a few places, or a little outside of them.
fn segments(bytes: &mut Bytes<'_>) -> Result<Array> {
    let ends: Vec<i32> = (0..bytes.below(8)).map(|_| i32::from(bytes.below(7)) - 1).collect();
    let pairs = i32::try_from(ends.len() / 2).unwrap_or_default();
    let dtype = if bytes.flag() { Dtype::Uint32 } else { Dtype::Int64 };
    Array::from_slice(&ends[..ends.len() / 2 * 2], &[pairs, 2])?.astype(dtype)
}

/// Operands have few elements, which is less than a block: so they are repeated now and then.
fn masked(bytes: &mut Bytes<'_>, a: &Array, b: &Array, made: &[Array]) -> Result<Array> {
    let (a, b) = if bytes.flag() { (a.tile(&[40, 9])?, b.tile(&[9, 50])?) } else { (a.clone(), b.clone()) };
    let masks = BlockMasks {
        block_size: [32, 64, 0, -1][usize::from(bytes.below(4))],
        out: perhaps(bytes, made),
        lhs: perhaps(bytes, made),
        rhs: perhaps(bytes, made),
    };
    if a.size().max(b.size()) > super::MOST {
        return Ok(a);
    }
    block_masked_mm(&a, &b, &masks)
}
