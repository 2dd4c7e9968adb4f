// SPDX-License-Identifier: EUPL-1.2
//! Four lanes: NEON.

use std::arch::aarch64::*;
use std::arch::asm;

use half::{bf16, f16};

use super::{Scalar, Simd};

/// The token of [`Isa::Neon`](crate::Isa::Neon).
#[derive(Clone, Copy)]
pub(crate) struct Neon(());

impl Neon {
    /// # Safety
    /// The processor has NEON.
    #[inline(always)]
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

type V = float32x4_t;

/// Four elements of any type through a buffer, for what NEON has no instruction for on every processor.
#[inline(always)]
unsafe fn gather<T: Scalar>(p: *const T, n: usize) -> V {
    let mut buffer = [0f32; 4];
    for (i, x) in buffer.iter_mut().enumerate().take(n) {
        // SAFETY: the caller's pointer has `n` elements.
        *x = unsafe { p.add(i).read_unaligned() }.to_f32();
    }
    // SAFETY: the caller has a token, and the buffer four elements.
    unsafe { vld1q_f32(buffer.as_ptr()) }
}

#[inline(always)]
unsafe fn scatter<T: Scalar>(p: *mut T, v: V, n: usize) {
    let mut buffer = [0f32; 4];
    // SAFETY: the caller has a token, and the buffer four elements.
    unsafe { vst1q_f32(buffer.as_mut_ptr(), v) };
    for (i, &x) in buffer.iter().enumerate().take(n) {
        // SAFETY: the caller's pointer has room for `n` elements.
        unsafe { p.add(i).write_unaligned(T::from_f32(x)) };
    }
}

/// To bfloat16, rounded to nearest even; a NaN becomes a quiet one.
#[inline(always)]
unsafe fn to_bf16(v: V) -> uint16x4_t {
    // SAFETY: the caller has a token.
    unsafe {
        let bits = vreinterpretq_u32_f32(v);
        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
        let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
        let number = vceqq_f32(v, v);
        let quiet = vorrq_u32(bits, vdupq_n_u32(0x0040_0000));
        vshrn_n_u32::<16>(vbslq_u32(number, rounded, quiet))
    }
}

/// From float16. Rust has no stable name for the instruction, which every NEON has.
#[inline(always)]
unsafe fn from_f16(h: uint16x4_t) -> V {
    let v: V;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!("fcvtl {v:v}.4s, {h:v}.4h", v = out(vreg) v, h = in(vreg) h, options(pure, nomem, nostack, preserves_flags));
    }
    v
}

/// To float16, rounded to nearest even.
#[inline(always)]
unsafe fn to_f16(v: V) -> uint16x4_t {
    let h: uint16x4_t;
    // SAFETY: the instruction reads and writes these registers alone.
    unsafe {
        asm!("fcvtn {h:v}.4h, {v:v}.4s", h = out(vreg) h, v = in(vreg) v, options(pure, nomem, nostack, preserves_flags));
    }
    h
}

// SAFETY of every block below: a token proves that the processor has the instructions, and pointers are the caller's.
#[allow(clippy::undocumented_unsafe_blocks, reason = "said once above")]
impl Simd for Neon {
    type V = V;
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        unsafe { vdupq_n_f32(x) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> V {
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn load_n(self, p: *const f32, n: usize) -> V {
        unsafe { gather(p, n) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: V) {
        unsafe { vst1q_f32(p, v) }
    }
    #[inline(always)]
    unsafe fn store_n(self, p: *mut f32, v: V, n: usize) {
        unsafe { scatter(p, v, n) }
    }
    #[inline(always)]
    unsafe fn load_bf16(self, p: *const bf16) -> V {
        unsafe { vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vld1_u16(p.cast())))) }
    }
    #[inline(always)]
    unsafe fn load_bf16_n(self, p: *const bf16, n: usize) -> V {
        unsafe { gather(p, n) }
    }
    #[inline(always)]
    unsafe fn store_bf16(self, p: *mut bf16, v: V) {
        unsafe { vst1_u16(p.cast(), to_bf16(v)) }
    }
    #[inline(always)]
    unsafe fn store_bf16_n(self, p: *mut bf16, v: V, n: usize) {
        unsafe { scatter(p, v, n) }
    }
    #[inline(always)]
    unsafe fn load_f16(self, p: *const f16) -> V {
        unsafe { from_f16(vld1_u16(p.cast())) }
    }
    #[inline(always)]
    unsafe fn load_f16_n(self, p: *const f16, n: usize) -> V {
        unsafe { gather(p, n) }
    }
    #[inline(always)]
    unsafe fn store_f16(self, p: *mut f16, v: V) {
        unsafe { vst1_u16(p.cast(), to_f16(v)) }
    }
    #[inline(always)]
    unsafe fn store_f16_n(self, p: *mut f16, v: V, n: usize) {
        unsafe { scatter(p, v, n) }
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        unsafe { vdivq_f32(a, b) }
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        unsafe { vminq_f32(a, b) }
    }
    #[inline(always)]
    fn round(self, a: V) -> V {
        unsafe { vrndnq_f32(a) }
    }
    #[inline(always)]
    fn pow2(self, n: V) -> V {
        unsafe { vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127)))) }
    }
    #[inline(always)]
    fn where_lt(self, a: V, b: V, x: V, y: V) -> V {
        unsafe { vbslq_f32(vcltq_f32(a, b), x, y) }
    }
    #[inline(always)]
    fn where_nan(self, a: V, x: V, y: V) -> V {
        unsafe { vbslq_f32(vceqq_f32(a, a), y, x) }
    }
    #[inline(always)]
    fn swap_pairs(self, a: V) -> V {
        unsafe { vrev64q_f32(a) }
    }
    #[inline(always)]
    fn sum(self, v: V) -> f32 {
        unsafe { vaddvq_f32(v) }
    }
    #[inline(always)]
    fn largest(self, v: V) -> f32 {
        unsafe { vmaxvq_f32(v) }
    }
}
