// SPDX-License-Identifier: EUPL-1.2
//! Eight lanes: AVX2 with FMA and F16C.

use std::arch::x86_64::*;

use half::{bf16, f16};

use super::{Kernel, Simd};

/// The token of [`Isa::Avx2`](crate::Isa::Avx2).
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The processor has AVX2, FMA and F16C.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

type V = __m256;

/// To bfloat16, rounded to nearest even; a NaN becomes a quiet one.
#[inline(always)]
unsafe fn to_bf16(v: V) -> __m128i {
    // SAFETY: the caller has a token.
    unsafe {
        let bits = _mm256_castps_si256(v);
        let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
        let rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
        let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(v, v));
        let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
        let chosen = _mm256_srli_epi32::<16>(_mm256_blendv_epi8(rounded, quiet, nan));
        // The pack works within halves of 128 bits.
        let packed = _mm256_permute4x64_epi64::<0b1000>(_mm256_packus_epi32(chosen, chosen));
        _mm256_castsi256_si128(packed)
    }
}

#[inline(always)]
unsafe fn from_bf16(v: __m128i) -> V {
    // SAFETY: the caller has a token.
    unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(v))) }
}

/// The first `n` of eight 16-bit elements, the rest 0.
#[inline(always)]
unsafe fn load_half_n(p: *const u16, n: usize) -> __m128i {
    let mut buffer = [0u16; 8];
    // SAFETY: the caller's pointer has `n ≤ 8` elements.
    unsafe {
        std::ptr::copy_nonoverlapping(p, buffer.as_mut_ptr(), n);
        _mm_loadu_si128(buffer.as_ptr().cast())
    }
}

#[inline(always)]
unsafe fn store_half_n(p: *mut u16, v: __m128i, n: usize) {
    let mut buffer = [0u16; 8];
    // SAFETY: the caller's pointer has room for `n ≤ 8` elements.
    unsafe {
        _mm_storeu_si128(buffer.as_mut_ptr().cast(), v);
        std::ptr::copy_nonoverlapping(buffer.as_ptr(), p, n);
    }
}

// SAFETY of every block below: a token proves that the processor has the instructions, and pointers are the caller's.
#[allow(clippy::undocumented_unsafe_blocks, reason = "said once above")]
impl Simd for Avx2 {
    type V = V;
    const LANES: usize = 8;

    #[inline(always)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn inside<K: Kernel>(s: Avx2, kernel: K) -> K::Output {
            kernel.run(s)
        }
        // SAFETY: there is a value of this type only where the processor has the set.
        unsafe { inside(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> V {
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_n(self, p: *const f32, n: usize) -> V {
        let mut buffer = [0f32; 8];
        unsafe {
            std::ptr::copy_nonoverlapping(p, buffer.as_mut_ptr(), n);
            _mm256_loadu_ps(buffer.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: V) {
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, v: V, n: usize) {
        let mut buffer = [0f32; 8];
        unsafe {
            _mm256_storeu_ps(buffer.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(buffer.as_ptr(), p, n);
        }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> V {
        unsafe { from_bf16(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_bf16_n(self, p: *const bf16, n: usize) -> V {
        unsafe { from_bf16(load_half_n(p.cast(), n)) }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut bf16, v: V) {
        unsafe { _mm_storeu_si128(p.cast(), to_bf16(v)) }
    }
    #[inline(always)]
    unsafe fn store_bf16_n(self, p: *mut bf16, v: V, n: usize) {
        unsafe { store_half_n(p.cast(), to_bf16(v), n) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> V {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_f16_n(self, p: *const f16, n: usize) -> V {
        unsafe { _mm256_cvtph_ps(load_half_n(p.cast(), n)) }
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut f16, v: V) {
        unsafe { _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v)) }
    }
    #[inline(always)]
    unsafe fn store_f16_n(self, p: *mut f16, v: V, n: usize) {
        unsafe { store_half_n(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(v), n) }
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn round(self, a: V) -> V {
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn pow2(self, n: V) -> V {
        unsafe {
            let n = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(n))
        }
    }
    #[inline(always)]
    fn where_lt(self, a: V, b: V, x: V, y: V) -> V {
        unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
    }
    #[inline(always)]
    fn where_nan(self, a: V, x: V, y: V) -> V {
        unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_UNORD_Q>(a, a)) }
    }
    #[inline(always)]
    fn swap_pairs(self, a: V) -> V {
        unsafe { _mm256_permute_ps::<0b10_11_00_01>(a) }
    }
    #[inline(always)]
    fn sum(self, v: V) -> f32 {
        unsafe {
            let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
        }
    }
    #[inline(always)]
    fn largest(self, v: V) -> f32 {
        unsafe {
            let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
            _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
        }
    }
}
