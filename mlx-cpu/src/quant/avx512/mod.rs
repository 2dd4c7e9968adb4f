// SPDX-License-Identifier: EUPL-1.2
//! [`Isa::Avx512Bf16`](crate::Isa::Avx512Bf16): packed values become bfloat16 by looking them up in registers.
//!
//! A *step* is what one load of packed words holds. Its 16-bit words, shifted to the right by so many bits, are indices
//! of table lookups (which read their lowest five or six bits and no others), so a step comes out as a few vectors of
//! every fourth or every second value. Activations are brought to that order once a product.

pub(super) mod gemv;
pub(super) mod unpack;

use std::arch::x86_64::*;

use super::Scales;
use super::format::{E2M1, E4M3};

/// How many bytes ahead the packed words of a row are asked for: what the memory delivers in its latency, and more.
const AHEAD: usize = 8192;

/// Asks for the line `bytes` behind `p`, whether or not there is such memory.
#[inline(always)]
unsafe fn ahead<T>(p: *const T, bytes: usize) {
    // SAFETY: a prefetch of any address is allowed.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(p.wrapping_byte_add(bytes).cast()) };
}

/// Copies `count` numbers from `start` on as float32, with zeros up to a multiple of 16.
///
/// # Safety
/// The processor has the set, `to` has room, and there are as many numbers.
#[inline(always)]
unsafe fn widen(scales: Scales<'_>, e4m3: bool, start: usize, count: usize, to: *mut f32) {
    for at in (0..count).step_by(16) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_ps(to.add(at), sixteen(scales, e4m3, start + at, (count - at).min(16))) };
    }
}

/// Up to sixteen numbers from `start` on as float32, and zeros.
///
/// # Safety
/// The processor has the set, and there are `count` numbers from `start` on, at most 16.
#[inline(always)]
unsafe fn sixteen(scales: Scales<'_>, e4m3: bool, start: usize, count: usize) -> __m512 {
    let mask = first(count);
    // SAFETY: the caller's; the mask ends the reads.
    unsafe {
        match scales {
            Scales::F32(x) => {
                let p = x.as_ptr().add(start);
                ahead(p, AHEAD / 4);
                _mm512_maskz_loadu_ps(mask, p)
            }
            Scales::Bf16(x) => {
                let p = x.as_ptr().add(start);
                ahead(p, AHEAD / 8);
                let x = _mm256_maskz_loadu_epi16(mask, p.cast());
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(x)))
            }
            Scales::F16(x) => {
                let p = x.as_ptr().add(start);
                ahead(p, AHEAD / 8);
                _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, p.cast()))
            }
            Scales::Bytes(x) => {
                let p = x.as_ptr().add(start);
                ahead(p, AHEAD / 8);
                let x = _mm_maskz_loadu_epi8(mask, p.cast());
                _mm512_maskz_mov_ps(mask, if e4m3 { e4m3_to_f32(x) } else { e8m0_to_f32(x) })
            }
        }
    }
}

/// The first `n` of 16 lanes.
#[inline(always)]
fn first(n: usize) -> __mmask16 {
    ((1u32 << n.min(16)) - 1) as __mmask16
}

/// Sixteen E8M0 as float32.
#[inline(always)]
unsafe fn e8m0_to_f32(codes: __m128i) -> __m512 {
    // SAFETY: the caller has the set.
    unsafe {
        let exponent = _mm512_slli_epi32::<23>(_mm512_cvtepu8_epi32(codes));
        _mm512_castsi512_ps(_mm512_max_epu32(exponent, _mm512_set1_epi32(0x0040_0000)))
    }
}

/// Sixteen E4M3 as float32. A float16 of the same bits is the value divided by 256.
#[inline(always)]
unsafe fn e4m3_to_f32(codes: __m128i) -> __m512 {
    // SAFETY: the caller has the set.
    unsafe {
        let wide = _mm256_slli_epi16::<7>(_mm256_cvtepi8_epi16(codes));
        let half = _mm256_and_si256(wide, _mm256_set1_epi16(0xbfffu16 as i16));
        _mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256.0))
    }
}

/// What [`Bits`] permutes and shifts by.
const fn gather(bits: usize) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut i = 0;
    while i < 64 {
        // Bytes behind the value's are shifted out.
        let byte = i / 8 * bits + i % 8;
        bytes[i] = if byte < 64 { byte as u8 } else { 0 };
        i += 1;
    }
    bytes
}

const fn shifts(bits: usize) -> [u8; 64] {
    let mut bytes = [0; 64];
    let mut i = 0;
    while i < 64 {
        bytes[i] = (i % 8 * bits) as u8;
        i += 1;
    }
    bytes
}

/// How 64 values of some bits become bytes in their own order.
#[derive(Clone, Copy)]
struct Bits<const BITS: usize> {
    gather: __m512i,
    shifts: __m512i,
}

impl<const BITS: usize> Bits<BITS> {
    const GATHER: [u8; 64] = gather(BITS);
    const SHIFTS: [u8; 64] = shifts(BITS);

    #[inline(always)]
    unsafe fn new() -> Self {
        // SAFETY: the caller has the set; the constants have 64 bytes.
        unsafe {
            Self {
                gather: _mm512_loadu_si512(Self::GATHER.as_ptr().cast()),
                shifts: _mm512_loadu_si512(Self::SHIFTS.as_ptr().cast()),
            }
        }
    }

    /// The first `words` of 2 · `BITS` words as bytes, whose bits from `BITS` on are others' (none for 8).
    #[inline(always)]
    unsafe fn load(self, p: *const u32, words: usize) -> __m512i {
        // SAFETY: the caller has the set, and words behind `p`.
        unsafe {
            let raw = _mm512_maskz_loadu_epi32(((1u32 << words) - 1) as __mmask16, p.cast());
            if BITS == 8 {
                return raw;
            }
            _mm512_multishift_epi64_epi8(self.shifts, _mm512_permutexvar_epi8(self.gather, raw))
        }
    }
}

/// Bits of the bfloat16 that has this value, which must be one.
const fn brain(x: f32) -> u16 {
    (x.to_bits() >> 16) as u16
}

/// Whole numbers from 0, again and again from `count` on, times `factor`.
const fn whole<const LEN: usize>(count: usize, factor: usize) -> [u16; LEN] {
    let mut table = [0; LEN];
    let mut i = 0;
    while i < LEN {
        table[i] = brain((i % count * factor) as f32);
        i += 1;
    }
    table
}

const fn e2m1() -> [u16; 32] {
    let mut table = [0; 32];
    let mut i = 0;
    while i < 32 {
        table[i] = brain(E2M1[i % 16]);
        i += 1;
    }
    table
}

/// Those without a sign.
const fn e4m3() -> [u16; 128] {
    let mut table = [0; 128];
    let mut i = 0;
    while i < 128 {
        table[i] = brain(E4M3[i]);
        i += 1;
    }
    table
}
