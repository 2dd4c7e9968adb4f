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
struct Whole;

impl Decode for Whole {
    const AFFINE: bool = true;
    #[inline(always)]
    unsafe fn decode(self, codes: __m128i) -> __m512 {
        // SAFETY: the caller has the set.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(codes)) }
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
    // SAFETY: the caller has the set, and scales and biases for the groups in whole sixteens; words and places are
    // those of one row.
    unsafe {
        let bits = Bits::<BITS>::new();
        let mask = _mm512_set1_epi8(((1u32 << BITS) - 1) as u8 as i8);
        // Of the four parts of 64 values.
        let (mut scale_of, mut bias_of) = ([scales; 4], [biases; 4]);
        for i in 0..4 {
            scale_of[i] = scales.add((16 * i) >> shift);
            bias_of[i] = biases.add((16 * i) >> shift);
        }
        let mut word = 0;
        for at in (0..out.len()).step_by(64) {
            let to = out.as_mut_ptr().add(at);
            let from = words.as_ptr().add(word);
            let count = (words.len() - word).min(2 * BITS);
            ahead(from, AHEAD);
            let mut parts = [_mm_setzero_si128(); 4];
            if BITS == 8 && count == 16 {
                for (i, part) in parts.iter_mut().enumerate() {
                    *part = _mm_loadu_si128(from.add(4 * i).cast());
                }
            } else {
                let codes = _mm512_and_si512(bits.load(from, count), mask);
                parts = [
                    _mm512_castsi512_si128(codes),
                    _mm512_extracti32x4_epi32::<1>(codes),
                    _mm512_extracti32x4_epi32::<2>(codes),
                    _mm512_extracti32x4_epi32::<3>(codes),
                ];
            }
            let group = at >> shift;
            let mut values = [_mm512_setzero_ps(); 4];
            for (i, part) in parts.into_iter().enumerate() {
                // Behind the row are zeros, or the parameters of another row that was here: read, and not used.
                let scale = _mm512_set1_ps(*scale_of[i].add(group));
                let value = decode.decode(part);
                values[i] = if D::AFFINE {
                    _mm512_fmadd_ps(value, scale, _mm512_set1_ps(*bias_of[i].add(group)))
                } else {
                    _mm512_mul_ps(value, scale)
                };
            }
            let left = out.len() - at;
            if left >= 64 {
                T::store4(to, values);
            } else {
                for (i, &value) in values.iter().enumerate().take(left / 16) {
                    T::store(to.add(16 * i), value);
                }
            }
            word += 2 * BITS;
        }
    }
}

/// Rows in their own order.
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
        match (format.kind(), format.bits()) {
            (Kind::Affine, 2) => rows_natural::<2, _, T>(Whole, matrix, rows, out),
            (Kind::Affine, 3) => rows_natural::<3, _, T>(Whole, matrix, rows, out),
            (Kind::Affine, 4) => rows_natural::<4, _, T>(Whole, matrix, rows, out),
            (Kind::Affine, 5) => rows_natural::<5, _, T>(Whole, matrix, rows, out),
            (Kind::Affine, 6) => rows_natural::<6, _, T>(Whole, matrix, rows, out),
            (Kind::Affine, _) => rows_natural::<8, _, T>(Whole, matrix, rows, out),
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
        if matrix.k() == 0 {
            return;
        }
        let format = matrix.format();
        match (format.bits(), format.group_size() == 32) {
            (8, _) => {
                let out: &mut [Panel] = std::slice::from_raw_parts_mut(out.as_mut_ptr().cast(), out.len());
                return self::rows(matrix, rows, out);
            }
            (2, false) => return few::<2, 1>(matrix, rows, out),
            (2, true) => return few::<2, 2>(matrix, rows, out),
            (3, false) => return few::<3, 1>(matrix, rows, out),
            (3, true) => return few::<3, 2>(matrix, rows, out),
            (5, false) => return few::<5, 1>(matrix, rows, out),
            (5, true) => return few::<5, 2>(matrix, rows, out),
            (6, false) => return few::<6, 1>(matrix, rows, out),
            (6, true) => return few::<6, 2>(matrix, rows, out),
            _ => {}
        }
        match (format.kind(), 128 / format.group_size()) {
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

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn few<const BITS: usize, const N: usize>(matrix: &Matrix<'_>, rows: Range<usize>, out: &mut [bf16]) {
    let numbers = matrix.row_groups().div_ceil(16) * 16;
    scratch::with::<f32, _>(2 * numbers, |buffer| {
        let (scales, biases) = buffer.split_at_mut(numbers);
        for (row, out) in rows.zip(out.chunks_exact_mut(matrix.k())) {
            let words = &matrix.words()[row * matrix.row_words()..][..matrix.row_words()];
            let shift = matrix.format().group_size().trailing_zeros();
            // SAFETY: the buffers hold the groups of a row in whole sixteens, thus of whole steps.
            unsafe {
                parameters(matrix, row, scales, biases);
                few_row::<BITS, N>(words, shift, scales.as_ptr(), biases.as_ptr(), out);
            }
        }
    });
}

/// A row of 2, 3, 5 or 6 bits, `N` groups in 64 values: each comes from a table of what the codes of its group stand
/// for.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn few_row<const BITS: usize, const N: usize>(
    words: &[u32],
    shift: u32,
    scales: *const f32,
    biases: *const f32,
    out: &mut [bf16],
) {
    // SAFETY: the caller's: `out` is the row, and there are scales for whole steps.
    unsafe {
        let bits = Bits::<BITS>::new();
        // What 64 codes mean before scale and bias, again and again where there are fewer.
        let mut whole = [0.0f32; 64];
        for (i, x) in whole.iter_mut().enumerate() {
            *x = (i % (1 << BITS)) as f32;
        }
        let mut codes = [_mm512_setzero_ps(); 4];
        for (i, codes) in codes.iter_mut().enumerate() {
            *codes = _mm512_loadu_ps(whole.as_ptr().add(16 * i));
        }
        let own = if BITS < 5 { 15 } else { 31 };
        let which = _mm512_inserti64x4::<1>(_mm512_setzero_si512(), _mm256_set1_epi16(own + 1));
        let own = _mm512_set1_epi16(own);
        let mut word = 0;
        for at in (0..out.len()).step_by(64) {
            let from = words.as_ptr().add(word);
            let count = (words.len() - word).min(2 * BITS);
            ahead(from, AHEAD);
            let packed = bits.load(from, count);
            // [group][sixteen]
            let mut values = [[_mm512_setzero_ps(); 4]; N];
            for (g, values) in values.iter_mut().enumerate() {
                let scale = _mm512_set1_ps(*scales.add((at >> shift) + g));
                let bias = _mm512_set1_ps(*biases.add((at >> shift) + g));
                for (i, value) in values.iter_mut().enumerate() {
                    if 16 * i < 1 << BITS {
                        *value = _mm512_fmadd_ps(codes[i], scale, bias);
                    }
                }
            }
            let first = values[0];
            let last = values[N - 1];
            for j in 0..2 {
                let index = if j == 0 { packed } else { _mm512_srli_epi16::<8>(packed) };
                // index & own | which
                let grouped = _mm512_ternarylogic_epi32::<0xea>(index, own, which);
                let found = match (BITS, N) {
                    (2 | 3, 1) => _mm512_permutexvar_epi16(index, pair(first[0], first[0])),
                    (2 | 3, _) => _mm512_permutexvar_epi16(grouped, pair(first[0], last[0])),
                    (5, 1) => _mm512_permutexvar_epi16(index, pair(first[0], first[1])),
                    (5, _) => {
                        let (a, b) = (pair(first[0], first[1]), pair(last[0], last[1]));
                        _mm512_permutex2var_epi16(a, grouped, b)
                    }
                    (_, 1) => {
                        let (a, b) = (pair(first[0], first[1]), pair(first[2], first[3]));
                        _mm512_permutex2var_epi16(a, index, b)
                    }
                    _ => {
                        let (a, b) = (pair(first[0], first[1]), pair(first[2], first[3]));
                        let low = _mm512_permutex2var_epi16(a, index, b);
                        let (a, b) = (pair(last[0], last[1]), pair(last[2], last[3]));
                        let high = _mm512_permutex2var_epi16(a, index, b);
                        _mm512_mask_mov_epi16(low, 0xffff_0000, high)
                    }
                };
                let lanes = ((out.len() - at) / 2).min(32);
                let to = out.as_mut_ptr().add(at + lanes * j);
                if lanes == 32 {
                    _mm512_storeu_si512(to.cast(), found);
                } else {
                    _mm512_mask_storeu_epi16(to.cast(), (1u32 << lanes) - 1, found);
                }
            }
            word += 2 * BITS;
        }
    }
}

/// Thirty-two bfloat16.
#[inline(always)]
unsafe fn pair(low: __m512, high: __m512) -> __m512i {
    // SAFETY: the caller has the set.
    unsafe { bytes(_mm512_cvtne2ps_pbh(high, low)) }
}

/// Brings a row of bfloat16 to the order of [`panel`].
///
/// # Safety
/// The processor has the set; `out` is as long as `row`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
pub(in super::super) unsafe fn permute(format: Format, row: &[bf16], out: &mut [bf16]) {
    let vectors = match format.bits() {
        8 => return out.copy_from_slice(row),
        4 => 4,
        _ => 2,
    };
    let step = 32 * vectors;
    let whole = row.len() / step * step;
    for at in (0..whole).step_by(step) {
        let (from, to) = (row[at..][..step].as_ptr(), out[at..][..step].as_mut_ptr());
        // SAFETY: both have as many values as a step, and stores need no alignment.
        unsafe { super::gemv::shuffle(vectors, from, to.cast()) };
    }
    let lanes = (row.len() - whole) / vectors;
    for (w, from) in row[whole..].chunks_exact(vectors).enumerate() {
        for (j, &from) in from.iter().enumerate() {
            out[whole + lanes * j + w] = from;
        }
    }
}
