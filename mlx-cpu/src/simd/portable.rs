// SPDX-License-Identifier: EUPL-1.2
//! Vectors that every processor has: four lanes, left to the compiler.

use half::{bf16, f16};

use super::Simd;

/// The token of [`Isa::Portable`](crate::Isa::Portable).
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type V = [f32; 4];

macro_rules! lanes {
    ($i:ident => $value:expr) => {
        [
            {
                let $i = 0;
                $value
            },
            {
                let $i = 1;
                $value
            },
            {
                let $i = 2;
                $value
            },
            {
                let $i = 3;
                $value
            },
        ]
    };
}

macro_rules! memory {
    ($load:ident, $load_n:ident, $store:ident, $store_n:ident, $type:ty) => {
        #[inline(always)]
        unsafe fn $load(self, p: *const $type) -> V {
            // SAFETY: the caller's.
            lanes!(i => super::Scalar::to_f32(unsafe { p.add(i).read_unaligned() }))
        }
        #[inline(always)]
        unsafe fn $load_n(self, p: *const $type, n: usize) -> V {
            // SAFETY: the caller's; only the first `n` are read.
            lanes!(i => if i < n { super::Scalar::to_f32(unsafe { p.add(i).read_unaligned() }) } else { 0.0 })
        }
        #[inline(always)]
        unsafe fn $store(self, p: *mut $type, v: V) {
            for (i, x) in v.into_iter().enumerate() {
                // SAFETY: the caller's.
                unsafe { p.add(i).write_unaligned(super::Scalar::from_f32(x)) }
            }
        }
        #[inline(always)]
        unsafe fn $store_n(self, p: *mut $type, v: V, n: usize) {
            for (i, x) in v.into_iter().enumerate().take(n) {
                // SAFETY: the caller's; only the first `n` are written.
                unsafe { p.add(i).write_unaligned(super::Scalar::from_f32(x)) }
            }
        }
    };
}

impl Simd for Portable {
    type V = V;
    const LANES: usize = 4;

    memory!(load, load_n, store, store_n, f32);
    memory!(load_bf16, load_bf16_n, store_bf16, store_bf16_n, bf16);
    memory!(load_f16, load_f16_n, store_f16, store_f16_n, f16);

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        [x; 4]
    }
    #[inline(always)]
    fn add(self, a: V, b: V) -> V {
        lanes!(i => a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: V, b: V) -> V {
        lanes!(i => a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: V, b: V) -> V {
        lanes!(i => a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: V, b: V) -> V {
        lanes!(i => a[i] / b[i])
    }
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        // Without the instruction, a fused product is a call of the C library.
        lanes!(i => a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: V, b: V) -> V {
        lanes!(i => if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: V, b: V) -> V {
        lanes!(i => if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn round(self, a: V) -> V {
        // Adding 1.5 · 2²³ leaves no bits for a fraction.
        const SHIFT: f32 = 12_582_912.0;
        lanes!(i => (a[i] + SHIFT) - SHIFT)
    }
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, from -126 to 127")]
    fn pow2(self, n: V) -> V {
        lanes!(i => f32::from_bits(((n[i] as i32 + 127) as u32) << 23))
    }
    #[inline(always)]
    fn where_lt(self, a: V, b: V, x: V, y: V) -> V {
        lanes!(i => if a[i] < b[i] { x[i] } else { y[i] })
    }
    #[inline(always)]
    fn where_nan(self, a: V, x: V, y: V) -> V {
        lanes!(i => if a[i].is_nan() { x[i] } else { y[i] })
    }
    #[inline(always)]
    fn swap_pairs(self, a: V) -> V {
        [a[1], a[0], a[3], a[2]]
    }
    #[inline(always)]
    fn sum(self, v: V) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }
    #[inline(always)]
    fn largest(self, v: V) -> f32 {
        let [a, b, c, d] = v;
        let (e, f) = (if a > b { a } else { b }, if c > d { c } else { d });
        if e > f { e } else { f }
    }
}
