// SPDX-License-Identifier: EUPL-1.2
//! Groups to float32 on any instruction set.

use super::format::{E2M1, E4M3};
use super::{Kind, Matrix};
use crate::simd::{Scalar, Simd};

/// The largest group.
const LARGEST: usize = 128;

/// Whole values of `BITS` bits as float32. `words` and `out` are a group.
#[inline(always)]
fn whole<const BITS: usize>(words: &[u32], out: &mut [f32; LARGEST]) {
    if 32 % BITS == 0 {
        let per_word = 32 / BITS;
        let mask = ((1u64 << BITS) - 1) as u32;
        for (&word, out) in words.iter().zip(out.chunks_exact_mut(per_word)) {
            for (j, out) in out.iter_mut().enumerate() {
                *out = (word >> (BITS * j) & mask) as i32 as f32;
            }
        }
        return;
    }
    for (words, out) in words.chunks_exact(BITS).zip(out.chunks_exact_mut(32)) {
        for (i, out) in out.iter_mut().enumerate() {
            let (word, shift) = (i * BITS / 32, i * BITS % 32);
            let mut code = words[word] >> shift;
            if shift + BITS > 32 {
                code |= words[word + 1] << (32 - shift);
            }
            *out = (code & ((1 << BITS) - 1)) as i32 as f32;
        }
    }
}

/// The codes of a group as the values that the scale multiplies.
#[inline(always)]
fn codes(kind: Kind, bits: usize, words: &[u32], out: &mut [f32; LARGEST]) {
    match (kind, bits) {
        (Kind::Affine, 2) => whole::<2>(words, out),
        (Kind::Affine, 3) => whole::<3>(words, out),
        (Kind::Affine, 4) => whole::<4>(words, out),
        (Kind::Affine, 5) => whole::<5>(words, out),
        (Kind::Affine, 6) => whole::<6>(words, out),
        (Kind::Affine, _) => whole::<8>(words, out),
        (Kind::Mxfp4 | Kind::Nvfp4, _) => {
            for (&word, out) in words.iter().zip(out.chunks_exact_mut(8)) {
                for (j, out) in out.iter_mut().enumerate() {
                    *out = E2M1[(word >> (4 * j) & 15) as usize];
                }
            }
        }
        (Kind::Mxfp8, _) => {
            for (&word, out) in words.iter().zip(out.chunks_exact_mut(4)) {
                for (j, out) in out.iter_mut().enumerate() {
                    *out = E4M3[(word >> (8 * j) & 255) as usize];
                }
            }
        }
    }
}

/// Writes the values of `out.len() / group_size` groups of a row from `group` on, in their own order.
#[inline(always)]
pub(super) fn groups<S: Simd, T: Scalar>(s: S, matrix: &Matrix<'_>, row: usize, group: usize, out: &mut [T]) {
    let (kind, bits, size) = (matrix.format().kind(), matrix.format().bits(), matrix.format().group_size());
    let words = &matrix.words()[row * matrix.row_words()..][..matrix.row_words()];
    let group_words = size * bits / 32;
    let mut buffer = [0.0; LARGEST];
    for (i, out) in out.chunks_exact_mut(size).enumerate() {
        codes(kind, bits, &words[(group + i) * group_words..][..group_words], &mut buffer);
        let (scale, bias) = matrix.parameters(row * matrix.row_groups() + group + i);
        let (scale, bias) = (s.splat(scale), s.splat(bias));
        for at in (0..size).step_by(S::LANES) {
            // SAFETY: a group is a multiple of 16 values, thus of the lanes, and has no more than the buffer.
            unsafe {
                let q = s.load(buffer.as_ptr().add(at));
                let value =
                    if matches!(kind, Kind::Affine) { s.fma(q, scale, bias) } else { s.mul(q, scale) };
                T::store(s, out.as_mut_ptr().add(at), value);
            }
        }
    }
}
