// SPDX-License-Identifier: EUPL-1.2
//! Tiles in the products of bfloat16 that NEON has: `bfmmla` multiplies two rows with two rows, four elements at a time.
//!
//! A tile of 8 × 4 keeps 16 sums of 2 × 2 in registers, those of the lower and the upper half of eight elements apart.
//! Every tile sums in the same order, so that a row's or a column's place does not change its bits.

use std::arch::aarch64::*;
use std::arch::asm;
use std::array;

use half::bf16;

use super::tile::{Block, NR, Tile};

/// Rows of activations of the largest tile.
pub(super) const ROWS: usize = 8;

/// # Safety
/// The processor has NEON with bfloat16, the block's own conditions hold, and its tile has at most [`ROWS`] rows.
#[target_feature(enable = "neon,bf16")]
pub(super) unsafe fn block(block: Block<bf16, bf16>) {
    // SAFETY: the block's, and the caller has the instructions.
    unsafe {
        block.walk(|tile| match tile.rows.div_ceil(2) {
            1 => products::<1>(tile),
            2 => products::<2>(tile),
            3 => products::<3>(tile),
            _ => products::<4>(tile),
        });
    }
}

/// `P` pairs of rows of activations with two pairs of rows of weights. A row beyond the last is the last again, and its
/// sums go nowhere.
#[inline]
#[target_feature(enable = "neon,bf16")]
unsafe fn products<const P: usize>(tile: Tile<bf16, bf16>) {
    let Tile { x, x_stride, w, w_stride, k, rows, cols, out, out_stride, out_step, accumulate, .. } = tile;
    // SAFETY: the tile's: these are rows of it, with `k` elements each, and places that it has.
    unsafe {
        let x: [[*const u16; 2]; P] =
            array::from_fn(|p| array::from_fn(|i| x.add((2 * p + i).min(rows - 1) * x_stride).cast()));
        let w: [[*const u16; 2]; NR / 2] =
            array::from_fn(|q| array::from_fn(|j| w.add((2 * q + j).min(cols - 1) * w_stride).cast()));
        let mut sums = [[[vdupq_n_f32(0.0); 2]; NR / 2]; P];
        let mut i = 0;
        while i + 8 <= k {
            let weights = w.map(|pair| halves(pair.map(|row| vld1q_u16(row.add(i)))));
            for (sums, pair) in sums.iter_mut().zip(&x) {
                add(sums, halves(pair.map(|row| vld1q_u16(row.add(i)))), &weights);
            }
            i += 8;
        }
        if i < k {
            let last = |row: *const u16| {
                let mut elements = [0u16; 8];
                row.add(i).copy_to_nonoverlapping(elements.as_mut_ptr(), k - i);
                vld1q_u16(elements.as_ptr())
            };
            let weights = w.map(|pair| halves(pair.map(last)));
            for (sums, pair) in sums.iter_mut().zip(&x) {
                add(sums, halves(pair.map(last)), &weights);
            }
        }
        for (p, sums) in sums.iter().enumerate() {
            for (q, [low, high]) in sums.iter().enumerate() {
                let mut four = [0f32; 4];
                vst1q_f32(four.as_mut_ptr(), vaddq_f32(*low, *high));
                for (place, sum) in four.into_iter().enumerate() {
                    let (m, n) = (2 * p + place / 2, 2 * q + place % 2);
                    if m < rows && n < cols {
                        let slot = out.add(m * out_stride + n * out_step);
                        *slot = sum + if accumulate { *slot } else { 0.0 };
                    }
                }
            }
        }
    }
}

/// Of eight elements of two rows the first four of each, and the last four.
#[inline]
#[target_feature(enable = "neon")]
fn halves([a, b]: [uint16x8_t; 2]) -> [uint16x8_t; 2] {
    let [a, b] = [vreinterpretq_u64_u16(a), vreinterpretq_u64_u16(b)];
    [vreinterpretq_u16_u64(vzip1q_u64(a, b)), vreinterpretq_u16_u64(vzip2q_u64(a, b))]
}

/// Adds the products of a pair of rows with every pair of rows of weights.
#[inline]
#[target_feature(enable = "neon,bf16")]
fn add(sums: &mut [[float32x4_t; 2]], x: [uint16x8_t; 2], weights: &[[uint16x8_t; 2]]) {
    for (sums, weights) in sums.iter_mut().zip(weights) {
        for (half, sum) in sums.iter_mut().enumerate() {
            *sum = mmla(*sum, x[half], weights[half]);
        }
    }
}

/// `sum[i][j] + Σ a[i][k] · b[j][k]`, of two rows of four each.
#[inline]
#[target_feature(enable = "neon,bf16")]
fn mmla(mut sum: float32x4_t, a: uint16x8_t, b: uint16x8_t) -> float32x4_t {
    // SAFETY: the instruction reads and writes these registers alone. Rust has no name for it yet.
    unsafe {
        asm!(
            "bfmmla {sum:v}.4s, {a:v}.8h, {b:v}.8h",
            sum = inout(vreg) sum,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}
