// SPDX-License-Identifier: EUPL-1.2
//! Sixteen lanes: AVX-512.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernel, Simd};

/// The token of [`Isa::Avx512`](crate::Isa::Avx512).
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The processor has AVX-512 F, BW, VL and DQ, and F16C.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

type V = __m512;

#[inline(always)]
fn mask(n: usize) -> __mmask16 {
    // A shift by 16 must give all ones, which the wider type sees to.
    (((1u32 << n) - 1) & 0xffff) as __mmask16
}

/// To bfloat16, rounded to nearest even; a NaN becomes a quiet one. The single instruction for this needs BF16, and
/// takes subnormal numbers for 0.
#[inline(always)]
unsafe fn to_bf16(v: V) -> __m256i {
    // SAFETY: the caller has a token.
    unsafe {
        let bits = _mm512_castps_si512(v);
        let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
        let rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
        let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
        let quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x0040_0000));
        let chosen = _mm512_mask_mov_epi32(rounded, nan, quiet);
        _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(chosen))
    }
}

#[inline(always)]
unsafe fn from_bf16(v: __m256i) -> V {
    // SAFETY: the caller has a token.
    unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(v))) }
}

// SAFETY of every block below: a token proves that the processor has the instructions, and pointers are the caller's.
#[allow(clippy::undocumented_unsafe_blocks, reason = "said once above")]
impl Simd for Avx512 {
    type V = V;
    const LANES: usize = 16;

    #[inline(always)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
        unsafe fn inside<K: Kernel>(s: Avx512, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: there is a value of this type only where the processor has the set.
        unsafe { inside(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> V {
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_n(self, p: *const f32, n: usize) -> V {
        unsafe { _mm512_maskz_loadu_ps(mask(n), p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: V) {
        unsafe { _mm512_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, v: V, n: usize) {
        unsafe { _mm512_mask_storeu_ps(p, mask(n), v) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> V {
        unsafe { from_bf16(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16_n(self, p: *const bf16, n: usize) -> V {
        unsafe { from_bf16(_mm256_maskz_loadu_epi16(mask(n), p.cast())) }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut bf16, v: V) {
        unsafe { _mm256_storeu_si256(p.cast(), to_bf16(v)) }
    }
    #[inline(always)]
    unsafe fn store_bf16_n(self, p: *mut bf16, v: V, n: usize) {
        unsafe { _mm256_mask_storeu_epi16(p.cast(), mask(n), to_bf16(v)) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> V {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_f16_n(self, p: *const f16, n: usize) -> V {
        unsafe { _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask(n), p.cast())) }
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut f16, v: V) {
        unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }
    #[inline(always)]
    unsafe fn store_f16_n(self, p: *mut f16, v: V, n: usize) {
        unsafe {
            _mm256_mask_storeu_epi16(p.cast(), mask(n), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v));
        }
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn round(self, a: V) -> V {
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn pow2(self, n: V) -> V {
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), n) }
    }
    #[inline(always)]
    fn scale(self, v: V, n: V) -> V {
        unsafe { _mm512_scalef_ps(v, n) }
    }
    #[inline(always)]
    fn where_lt(self, a: V, b: V, x: V, y: V) -> V {
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x) }
    }
    #[inline(always)]
    fn where_nan(self, a: V, x: V, y: V) -> V {
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a), y, x) }
    }
    #[inline(always)]
    fn swap_pairs(self, a: V) -> V {
        unsafe { _mm512_permute_ps::<0b10_11_00_01>(a) }
    }
    #[inline(always)]
    fn sum(self, v: V) -> f32 {
        unsafe { _mm512_reduce_add_ps(v) }
    }
    #[inline(always)]
    fn largest(self, v: V) -> f32 {
        unsafe { _mm512_reduce_max_ps(v) }
    }
}

/// Sixteen vectors the other way round.
#[inline(always)]
pub(crate) unsafe fn transpose(x: [__m512; 16]) -> [__m512; 16] {
    // SAFETY: the caller's processor has AVX-512.
    unsafe {
        let zero = _mm512_setzero_ps();
        // Four by four within quarters, then the quarters.
        let (mut a, mut b) = ([zero; 16], [zero; 16]);
        for i in 0..8 {
            a[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
            a[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
        }
        for i in 0..4 {
            for j in 0..2 {
                let (x, y) = (_mm512_castps_pd(a[4 * i + j]), _mm512_castps_pd(a[4 * i + j + 2]));
                b[4 * i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
                b[4 * i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
            }
        }
        // `b[4 i + c]` has column `c` of each quarter, of rows `4 i` to `4 i + 3`.
        for c in 0..4 {
            let low = _mm512_shuffle_f32x4::<0b10_00_10_00>(b[c], b[4 + c]);
            let low_odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(b[c], b[4 + c]);
            let high = _mm512_shuffle_f32x4::<0b10_00_10_00>(b[8 + c], b[12 + c]);
            let high_odd = _mm512_shuffle_f32x4::<0b11_01_11_01>(b[8 + c], b[12 + c]);
            a[c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(low, high);
            a[8 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(low, high);
            a[4 + c] = _mm512_shuffle_f32x4::<0b10_00_10_00>(low_odd, high_odd);
            a[12 + c] = _mm512_shuffle_f32x4::<0b11_01_11_01>(low_odd, high_odd);
        }
        a
    }
}
