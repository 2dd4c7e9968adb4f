// SPDX-License-Identifier: EUPL-1.2
//! [`Isa::Avx2`](crate::Isa::Avx2): eight values at a time, which are as many bytes as a value has bits.

use std::arch::x86_64::*;
use std::ops::Range;

use super::format::E2M1;
use super::{Kind, Matrix};
use crate::simd::{Avx2, Scalar, Simd};

/// How eight values become float32, before their scale.
pub(super) trait Codes: Copy {
    const BITS: usize;
    const AFFINE: bool;
    /// `bits` has those of eight values.
    unsafe fn values(self, bits: u64) -> __m256;
}

/// Each lane shifted down to its value, with other values above it.
#[inline(always)]
unsafe fn shifted<const BITS: usize>(bits: u64) -> __m256i {
    let b = BITS as i32;
    // SAFETY: the caller has the set.
    unsafe {
        if BITS <= 4 {
            let shifts = _mm256_setr_epi32(0, b, 2 * b, 3 * b, 4 * b, 5 * b, 6 * b, 7 * b);
            return _mm256_srlv_epi32(_mm256_set1_epi32(bits as i32), shifts);
        }
        let (low, high) = (bits, bits >> (4 * BITS));
        let words = _mm256_set_m128i(_mm_set1_epi32(high as i32), _mm_set1_epi32(low as i32));
        _mm256_srlv_epi32(words, _mm256_setr_epi32(0, b, 2 * b, 3 * b, 0, b, 2 * b, 3 * b))
    }
}

#[derive(Clone, Copy)]
struct Whole<const BITS: usize>;

impl<const BITS: usize> Codes for Whole<BITS> {
    const BITS: usize = BITS;
    const AFFINE: bool = true;
    #[inline(always)]
    unsafe fn values(self, bits: u64) -> __m256 {
        // SAFETY: the caller has the set.
        unsafe {
            if BITS == 8 {
                return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_set_epi64x(0, bits as i64)));
            }
            let mask = _mm256_set1_epi32((1 << BITS) - 1);
            _mm256_cvtepi32_ps(_mm256_and_si256(shifted::<BITS>(bits), mask))
        }
    }
}

#[derive(Clone, Copy)]
struct Fp4;

impl Codes for Fp4 {
    const BITS: usize = 4;
    const AFFINE: bool = false;
    #[inline(always)]
    unsafe fn values(self, bits: u64) -> __m256 {
        // SAFETY: the caller has the set. The lookup reads the lowest three bits of an index.
        unsafe {
            let code = shifted::<4>(bits);
            let magnitude = _mm256_permutevar8x32_ps(_mm256_loadu_ps(E2M1.as_ptr()), code);
            let sign = _mm256_and_si256(_mm256_slli_epi32::<28>(code), _mm256_set1_epi32(i32::MIN));
            _mm256_or_ps(magnitude, _mm256_castsi256_ps(sign))
        }
    }
}

#[derive(Clone, Copy)]
struct Fp8;

impl Codes for Fp8 {
    const BITS: usize = 8;
    const AFFINE: bool = false;
    #[inline(always)]
    unsafe fn values(self, bits: u64) -> __m256 {
        // SAFETY: the caller has the set. A float16 of the same bits is the value divided by 256.
        unsafe {
            let codes = _mm_set_epi64x(0, bits as i64);
            let wide = _mm_slli_epi16::<7>(_mm_cvtepi8_epi16(codes));
            let half = _mm_and_si128(wide, _mm_set1_epi16(0xbfffu16 as i16));
            _mm256_mul_ps(_mm256_cvtph_ps(half), _mm256_set1_ps(256.0))
        }
    }
}

/// The bits of the eight values with number `i`, where the row has no others from `words` on.
#[inline(always)]
unsafe fn eight<C: Codes>(words: *const u32, i: usize) -> u64 {
    // SAFETY: the caller's; no byte is read that is not of these values.
    unsafe {
        let p = words.cast::<u8>().add(i * C::BITS);
        match C::BITS {
            2 => u64::from(p.cast::<u16>().read_unaligned()),
            3 => u64::from(p.cast::<u16>().read_unaligned()) | u64::from(*p.add(2)) << 16,
            4 => u64::from(p.cast::<u32>().read_unaligned()),
            5 => u64::from(p.cast::<u32>().read_unaligned()) | u64::from(*p.add(4)) << 32,
            6 => {
                let high = p.add(4).cast::<u16>().read_unaligned();
                u64::from(p.cast::<u32>().read_unaligned()) | u64::from(high) << 32
            }
            _ => p.cast::<u64>().read_unaligned(),
        }
    }
}

/// The eight values with number `i` of a row.
#[inline(always)]
unsafe fn scaled<C: Codes>(codes: C, words: *const u32, i: usize, scale: __m256, bias: __m256) -> __m256 {
    // SAFETY: the caller's.
    unsafe {
        let value = codes.values(eight::<C>(words, i));
        if C::AFFINE { _mm256_fmadd_ps(value, scale, bias) } else { _mm256_mul_ps(value, scale) }
    }
}

/// What is done with the rows of a matrix.
pub(super) trait Task {
    unsafe fn run<C: Codes>(self, codes: C, matrix: &Matrix<'_>, rows: Range<usize>);
}

/// Rows as `T`, in their own order.
pub(super) struct Unpack<'a, T> {
    pub(super) out: &'a mut [T],
}

impl<T: Scalar> Task for Unpack<'_, T> {
    #[inline(always)]
    unsafe fn run<C: Codes>(self, codes: C, matrix: &Matrix<'_>, rows: Range<usize>) {
        let (k, group) = (matrix.k(), matrix.format().group_size());
        for (row, out) in rows.zip(self.out.chunks_exact_mut(k)) {
            let words = matrix.words()[row * matrix.row_words()..][..matrix.row_words()].as_ptr();
            for g in 0..matrix.row_groups() {
                let (scale, bias) = matrix.parameters(row * matrix.row_groups() + g);
                // SAFETY: the caller has the set; the group is one of the row.
                unsafe {
                    let (scale, bias) = (_mm256_set1_ps(scale), _mm256_set1_ps(bias));
                    for i in g * group / 8..(g + 1) * group / 8 {
                        let value = scaled(codes, words, i, scale, bias);
                        T::store(Avx2::new(), out.as_mut_ptr().add(8 * i), value);
                    }
                }
            }
        }
    }
}

/// Products with float32 rows, which are `stride` apart.
pub(super) struct Product<'a> {
    pub(super) x: *const f32,
    pub(super) stride: usize,
    pub(super) m: usize,
    pub(super) out: &'a mut [f32],
}

impl Task for Product<'_> {
    #[inline(always)]
    unsafe fn run<C: Codes>(mut self, codes: C, matrix: &Matrix<'_>, rows: Range<usize>) {
        let mut done = 0;
        while done < self.m {
            // SAFETY: the caller's.
            unsafe {
                match self.m - done {
                    1 => done += self.tile::<C, 1>(codes, matrix, rows.clone(), done),
                    2 | 3 => done += self.tile::<C, 2>(codes, matrix, rows.clone(), done),
                    _ => done += self.tile::<C, 4>(codes, matrix, rows.clone(), done),
                }
            }
        }
    }
}

impl Product<'_> {
    /// `M` rows of activations from `done` on.
    #[inline(always)]
    unsafe fn tile<C: Codes, const M: usize>(
        &mut self,
        codes: C,
        matrix: &Matrix<'_>,
        rows: Range<usize>,
        done: usize,
    ) -> usize {
        let eights = matrix.format().group_size() / 8;
        let count = rows.len();
        for (j, row) in rows.enumerate() {
            let words = matrix.words()[row * matrix.row_words()..][..matrix.row_words()].as_ptr();
            // SAFETY: the caller has the set; a group is an even number of eights, of the words and of activations.
            unsafe {
                let x = self.x.add(done * self.stride);
                let mut sums = [[_mm256_setzero_ps(); 2]; M];
                for g in 0..matrix.row_groups() {
                    let (scale, bias) = matrix.parameters(row * matrix.row_groups() + g);
                    let (scale, bias) = (_mm256_set1_ps(scale), _mm256_set1_ps(bias));
                    for i in (g * eights..(g + 1) * eights).step_by(2) {
                        let even = scaled(codes, words, i, scale, bias);
                        let odd = scaled(codes, words, i + 1, scale, bias);
                        for (m, [a, b]) in sums.iter_mut().enumerate() {
                            let x = x.add(m * self.stride + 8 * i);
                            *a = _mm256_fmadd_ps(even, _mm256_loadu_ps(x), *a);
                            *b = _mm256_fmadd_ps(odd, _mm256_loadu_ps(x.add(8)), *b);
                        }
                    }
                }
                for (m, [a, b]) in sums.into_iter().enumerate() {
                    self.out[(done + m) * count + j] = Avx2::new().sum(_mm256_add_ps(a, b));
                }
            }
        }
        M
    }
}

/// Does a task with the rows of a matrix.
///
/// # Safety
/// The processor has the set; the rows are the matrix's, and the task has operands for them.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn run<T: Task>(task: T, matrix: &Matrix<'_>, rows: Range<usize>) {
    let format = matrix.format();
    if matrix.k() == 0 {
        return;
    }
    // SAFETY: the caller's.
    unsafe {
        match (format.kind(), format.bits()) {
            (Kind::Affine, 2) => task.run(Whole::<2>, matrix, rows),
            (Kind::Affine, 3) => task.run(Whole::<3>, matrix, rows),
            (Kind::Affine, 4) => task.run(Whole::<4>, matrix, rows),
            (Kind::Affine, 5) => task.run(Whole::<5>, matrix, rows),
            (Kind::Affine, 6) => task.run(Whole::<6>, matrix, rows),
            (Kind::Affine, _) => task.run(Whole::<8>, matrix, rows),
            (Kind::Mxfp8, _) => task.run(Fp8, matrix, rows),
            (Kind::Mxfp4 | Kind::Nvfp4, _) => task.run(Fp4, matrix, rows),
        }
    }
}
