// SPDX-License-Identifier: EUPL-1.2
//! Packed rows to floats.

use std::arch::x86_64::*;
use std::ops::Range;

use half::bf16;

use super::super::format::E2M1;
use super::super::{Format, Kind, Matrix};
use super::{AHEAD, Bits, ahead, e4m3_to_f32, widen};
use crate::scratch;
use crate::simd::{Avx512, Scalar};

/// Where values go.
pub(in super::super) trait Target: Copy {
    /// Four vectors to 64 places.
    unsafe fn store4(to: *mut Self, v: [__m512; 4]);
    unsafe fn store(to: *mut Self, v: __m512);
}

/// A bfloat16 of a panel.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(in super::super) struct Panel(bf16);

impl Target for Panel {
    #[inline(always)]
    unsafe fn store4(to: *mut Self, v: [__m512; 4]) {
        let [a, b, c, d] = v;
        // SAFETY: the caller's.
        unsafe {
            _mm512_storeu_si512(to.cast(), bytes(_mm512_cvtne2ps_pbh(b, a)));
            _mm512_storeu_si512(to.add(32).cast(), bytes(_mm512_cvtne2ps_pbh(d, c)));
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut Self, v: __m512) {
        // SAFETY: the caller's; both are 32 bytes.
        unsafe {
            _mm256_storeu_si256(to.cast(), std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(v)))
        };
    }
}

impl<T: Scalar> Target for T {
    #[inline(always)]
    unsafe fn store4(to: *mut Self, v: [__m512; 4]) {
        // SAFETY: the caller's.
        unsafe {
            for (i, v) in v.into_iter().enumerate() {
                T::store(Avx512::new(), to.add(16 * i), v);
            }
        }
    }
    #[inline(always)]
    unsafe fn store(to: *mut Self, v: __m512) {
        // SAFETY: the caller's.
        unsafe { T::store(Avx512::new(), to, v) }
    }
}

#[inline(always)]
unsafe fn bytes(v: __m512bh) -> __m512i {
    // SAFETY: both are 64 bytes.
    unsafe { std::mem::transmute(v) }
}

/// Sixteen codes, a byte each, as the values that the scale multiplies.
trait Decode: Copy {
    const AFFINE: bool;
    unsafe fn decode(self, codes: __m128i) -> __m512;
}

#[derive(Clone, Copy)]
struct Whole {
    mask: __m512i,
}

impl Decode for Whole {
    const AFFINE: bool = true;
    #[inline(always)]
    unsafe fn decode(self, codes: __m128i) -> __m512 {
        // SAFETY: the caller has the set.
        unsafe { _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_cvtepu8_epi32(codes), self.mask)) }
    }
}

#[derive(Clone, Copy)]
struct Fp4 {
    table: __m512,
}

impl Decode for Fp4 {
    const AFFINE: bool = false;
    #[inline(always)]
    unsafe fn decode(self, codes: __m128i) -> __m512 {
        // SAFETY: the caller has the set.
        unsafe { _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(codes), self.table) }
    }
}

#[derive(Clone, Copy)]
struct Fp8;

impl Decode for Fp8 {
    const AFFINE: bool = false;
    #[inline(always)]
    unsafe fn decode(self, codes: __m128i) -> __m512 {
        // SAFETY: the caller has the set.
        unsafe { e4m3_to_f32(codes) }
    }
}

/// A row in its own order.
#[inline(always)]
unsafe fn natural<const BITS: usize, D: Decode, T: Target>(
    decode: D,
    words: &[u32],
    group: usize,
    scales: *const f32,
    biases: *const f32,
    out: &mut [T],
) {
    let shift = group.trailing_zeros();
    // SAFETY: the caller has the set, and scales and biases for the groups; words and places are those of one row.
    unsafe {
        let bits = Bits::<BITS>::new();
        let (mut at, mut word) = (0, 0);
        while at < out.len() {
            let to = out.as_mut_ptr().add(at);
            let count = (words.len() - word).min(2 * BITS);
            ahead(words.as_ptr().wrapping_add(word), AHEAD);
            let codes = bits.load(words.as_ptr().add(word), count);
            let parts = [
                _mm512_castsi512_si128(codes),
                _mm512_extracti32x4_epi32::<1>(codes),
                _mm512_extracti32x4_epi32::<2>(codes),
                _mm512_extracti32x4_epi32::<3>(codes),
            ];
            let left = out.len() - at;
            let mut values = [_mm512_setzero_ps(); 4];
            for (i, part) in parts.into_iter().enumerate() {
                // What is behind the row has the parameters of its last group.
                let group = (at + (16 * i).min(left - 16)) >> shift;
                let scale = _mm512_set1_ps(*scales.add(group));
                let value = decode.decode(part);
                values[i] = if D::AFFINE {
                    _mm512_fmadd_ps(value, scale, _mm512_set1_ps(*biases.add(group)))
                } else {
                    _mm512_mul_ps(value, scale)
                };
            }
            if left >= 64 {
                T::store4(to, values);
            } else {
                for (i, &value) in values.iter().enumerate().take(left / 16) {
                    T::store(to.add(16 * i), value);
                }
            }
            at += 64;
            word += 2 * BITS;
        }
    }
}

/// Runs `row` for each row, with its words, and its scales and biases as float32.
#[inline(always)]
unsafe fn rows_natural<const BITS: usize, D: Decode, T: Target>(
    decode: D,
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    out: &mut [T],
) {
    let numbers = matrix.row_groups().div_ceil(16) * 16;
    scratch::with::<f32, _>(2 * numbers, |buffer| {
        let (scales, biases) = buffer.split_at_mut(numbers);
        for (row, out) in rows.zip(out.chunks_exact_mut(matrix.k())) {
            // SAFETY: the caller's.
            unsafe { one_natural::<BITS, D, T>(decode, matrix, row, scales, biases, out) };
        }
    });
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn one_natural<const BITS: usize, D: Decode, T: Target>(
    decode: D,
    matrix: &Matrix<'_>,
    row: usize,
    scales: &mut [f32],
    biases: &mut [f32],
    out: &mut [T],
) {
    let words = &matrix.words()[row * matrix.row_words()..][..matrix.row_words()];
    // SAFETY: the buffers hold the groups of a row in whole sixteens.
    unsafe {
        parameters(matrix, row, scales, biases);
        natural::<BITS, D, T>(
            decode,
            words,
            matrix.format().group_size(),
            scales.as_ptr(),
            biases.as_ptr(),
            out,
        );
    }
}

#[inline(always)]
unsafe fn parameters(matrix: &Matrix<'_>, row: usize, scales: &mut [f32], biases: &mut [f32]) {
    let groups = matrix.row_groups();
    // SAFETY: the caller's.
    unsafe {
        let e4m3 = matrix.format().kind() == Kind::Nvfp4;
        widen(matrix.scales(), e4m3, row * groups, groups, scales.as_mut_ptr());
        if let Some(from) = matrix.biases() {
            widen(from, false, row * groups, groups, biases.as_mut_ptr());
        }
    }
}

/// Rows in their own order.
///
/// # Safety
/// The processor has the set; the rows are the matrix's, and `out` has room for them.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
pub(in super::super) unsafe fn rows<T: Target>(matrix: &Matrix<'_>, rows: Range<usize>, out: &mut [T]) {
    let format = matrix.format();
    if matrix.k() == 0 {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        let whole = Whole { mask: _mm512_set1_epi32((1 << format.bits()) - 1) };
        match (format.kind(), format.bits()) {
            (Kind::Affine, 2) => rows_natural::<2, _, T>(whole, matrix, rows, out),
            (Kind::Affine, 3) => rows_natural::<3, _, T>(whole, matrix, rows, out),
            (Kind::Affine, 4) => rows_natural::<4, _, T>(whole, matrix, rows, out),
            (Kind::Affine, 5) => rows_natural::<5, _, T>(whole, matrix, rows, out),
            (Kind::Affine, 6) => rows_natural::<6, _, T>(whole, matrix, rows, out),
            (Kind::Affine, _) => rows_natural::<8, _, T>(whole, matrix, rows, out),
            (Kind::Mxfp8, _) => rows_natural::<8, _, T>(Fp8, matrix, rows, out),
            (Kind::Mxfp4 | Kind::Nvfp4, _) => {
                let table = _mm512_loadu_ps(E2M1.as_ptr());
                rows_natural::<4, _, T>(Fp4 { table }, matrix, rows, out);
            }
        }
    }
}

/// Rows of a panel.
///
/// # Safety
/// The processor has the set; the rows are the matrix's, and `out` has room for them.
pub(in super::super) unsafe fn panel(matrix: &Matrix<'_>, rows: Range<usize>, out: &mut [bf16]) {
    // SAFETY: the caller's.
    unsafe {
        if matrix.format().bits() != 4 {
            let out: &mut [Panel] = std::slice::from_raw_parts_mut(out.as_mut_ptr().cast(), out.len());
            return self::rows(matrix, rows, out);
        }
        if matrix.k() == 0 {
            return;
        }
        match (matrix.format().kind(), 128 / matrix.format().group_size()) {
            (Kind::Affine, 1) => nibbles::<true, 1>(matrix, rows, out),
            (Kind::Affine, 2) => nibbles::<true, 2>(matrix, rows, out),
            (Kind::Affine, _) => nibbles::<true, 4>(matrix, rows, out),
            (_, 4) => nibbles::<false, 4>(matrix, rows, out),
            _ => nibbles::<false, 8>(matrix, rows, out),
        }
    }
}

/// The part of an index that says which table of its register a lane looks in: 128 values are `groups` groups, and a
/// register or a pair of them has up to four tables.
const fn tables(groups: usize) -> [u16; 32] {
    let mut index = [0; 32];
    let mut i = 0;
    while i < 32 {
        index[i] = ((i * groups / 32) % 4 * 16) as u16;
        i += 1;
    }
    index
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn nibbles<const AFFINE: bool, const N: usize>(
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    out: &mut [bf16],
) {
    let numbers = matrix.row_groups().div_ceil(16) * 16;
    scratch::with::<f32, _>(2 * numbers, |buffer| {
        let (scales, biases) = buffer.split_at_mut(numbers);
        for (row, out) in rows.zip(out.chunks_exact_mut(matrix.k())) {
            let words = &matrix.words()[row * matrix.row_words()..][..matrix.row_words()];
            // SAFETY: the buffers hold the groups of a row in whole sixteens, thus of whole steps.
            unsafe {
                parameters(matrix, row, scales, biases);
                nibble_row::<AFFINE, N>(words, scales.as_ptr(), biases.as_ptr(), out);
            }
        }
    });
}

/// A row of 4 bits: for each 128 values a table of what its groups' codes stand for, in which they are looked up.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn nibble_row<const AFFINE: bool, const N: usize>(
    words: &[u32],
    scales: *const f32,
    biases: *const f32,
    out: &mut [bf16],
) {
    // SAFETY: the caller's: `out` has eight places for each word, and there are scales for whole steps.
    unsafe {
        let codes = if AFFINE {
            let mut whole = [0.0; 16];
            for (i, x) in whole.iter_mut().enumerate() {
                *x = i as f32;
            }
            _mm512_loadu_ps(whole.as_ptr())
        } else {
            _mm512_loadu_ps(E2M1.as_ptr())
        };
        let which = _mm512_loadu_si512(const { tables(N) }.as_ptr().cast());
        let fifteen = _mm512_set1_epi16(15);
        let mut step = 0;
        while step * 16 < words.len() {
            let count = words.len() - step * 16;
            let p = words.as_ptr().add(step * 16);
            ahead(p, AHEAD);
            let word = if count >= 16 {
                _mm512_loadu_si512(p.cast())
            } else {
                _mm512_maskz_loadu_epi32(((1u32 << count) - 1) as __mmask16, p.cast())
            };
            let mut values = [_mm512_setzero_ps(); N];
            for (g, values) in values.iter_mut().enumerate() {
                let scale = _mm512_set1_ps(*scales.add(step * N + g));
                *values = if AFFINE {
                    _mm512_fmadd_ps(codes, scale, _mm512_set1_ps(*biases.add(step * N + g)))
                } else {
                    _mm512_mul_ps(codes, scale)
                };
            }
            let mut tables = [_mm512_setzero_si512(); 4];
            for (i, table) in tables.iter_mut().enumerate() {
                if 2 * i < N {
                    *table = bytes(_mm512_cvtne2ps_pbh(values[(2 * i + 1).min(N - 1)], values[2 * i]));
                }
            }
            let shifted = [
                word,
                _mm512_srli_epi16::<4>(word),
                _mm512_srli_epi16::<8>(word),
                _mm512_srli_epi16::<12>(word),
            ];
            for (j, shifted) in shifted.into_iter().enumerate() {
                // shifted & 15 | which
                let index =
                    if N == 1 { shifted } else { _mm512_ternarylogic_epi32::<0xea>(shifted, fifteen, which) };
                let [a, b, c, d] = tables;
                let found = match N {
                    1 | 2 => _mm512_permutexvar_epi16(index, a),
                    4 => _mm512_permutex2var_epi16(a, index, b),
                    _ => {
                        let low = _mm512_permutex2var_epi16(a, index, b);
                        let high = _mm512_permutex2var_epi16(c, index, d);
                        _mm512_mask_mov_epi16(low, 0xffff_0000, high)
                    }
                };
                let to = out.as_mut_ptr().add(step * 128);
                if count >= 16 {
                    _mm512_storeu_si512(to.add(32 * j).cast(), found);
                } else {
                    let lanes = 2 * count;
                    _mm512_mask_storeu_epi16(to.add(lanes * j).cast(), (1u32 << lanes) - 1, found);
                }
            }
            step += 1;
        }
    }
}

/// Brings a row of bfloat16 to the order of [`panel`].
///
/// # Safety
/// The processor has the set; `out` is as long as `row`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
pub(in super::super) unsafe fn permute(format: Format, row: &[bf16], out: &mut [bf16]) {
    if format.bits() != 4 {
        out.copy_from_slice(row);
        return;
    }
    let (steps, rest) = row.as_chunks::<128>();
    let (out, out_rest) = out.split_at_mut(steps.len() * 128);
    for (from, to) in steps.iter().zip(out.as_chunks_mut::<128>().0) {
        // SAFETY: both have 128 values, and stores need no alignment.
        unsafe { super::gemv::shuffle(4, from.as_ptr(), to.as_mut_ptr().cast()) };
    }
    let words = rest.len() / 4;
    for (w, from) in rest.as_chunks::<4>().0.iter().enumerate() {
        for (j, &from) in from.iter().enumerate() {
            out_rest[words * j + w] = from;
        }
    }
}
