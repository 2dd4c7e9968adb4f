// SPDX-License-Identifier: EUPL-1.2
//! One vector type for each instruction set, and one way to write a kernel for all of them.
//!
//! A kernel is a struct of its operands with [`Kernel::run`], generic over [`Simd`]. [`dispatch`] compiles it once for
//! each instruction set and calls the one that is asked for. `run`, and whatever it calls with the token `s`, must be
//! `#[inline(always)]`: only then is it compiled with the instructions of the set. Closures that use `s` are not
//! inlined reliably, so hot loops have none.

mod exp;
mod portable;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use half::{bf16, f16};

use crate::Isa;
use crate::scratch::Plain;
pub(crate) use exp::{exp, sigmoid};
pub(crate) use portable::Portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;

/// A token for an instruction set: that it exists proves that the processor has the set.
///
/// `V` is a vector of [`LANES`](Self::LANES) float32. `_n` forms read or write the first `n ≤ LANES` elements alone;
/// lanes that are not read are 0.
///
/// # Safety of the loads and stores
/// The pointer is valid for as many elements as are read or written. It needs no alignment beyond the element's.
pub(crate) trait Simd: Copy + 'static {
    /// Vector of float32.
    type V: Copy;
    /// Its length, a power of two from 4 to 16.
    const LANES: usize;

    /// Runs `kernel` in a function of its own that has these instructions: a closure need not be inlined into one, and would
    /// then call each instruction as a function.
    #[inline(always)]
    fn apart<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    fn splat(self, x: f32) -> Self::V;
    unsafe fn load(self, p: *const f32) -> Self::V;
    unsafe fn load_n(self, p: *const f32, n: usize) -> Self::V;
    unsafe fn store(self, p: *mut f32, v: Self::V);
    unsafe fn store_n(self, p: *mut f32, v: Self::V, n: usize);
    unsafe fn load_bf16(self, p: *const bf16) -> Self::V;
    unsafe fn load_bf16_n(self, p: *const bf16, n: usize) -> Self::V;
    /// Rounds to nearest even; a NaN stays one.
    unsafe fn store_bf16(self, p: *mut bf16, v: Self::V);
    unsafe fn store_bf16_n(self, p: *mut bf16, v: Self::V, n: usize);
    unsafe fn load_f16(self, p: *const f16) -> Self::V;
    unsafe fn load_f16_n(self, p: *const f16, n: usize) -> Self::V;
    /// Rounds to nearest even; a NaN stays one.
    unsafe fn store_f16(self, p: *mut f16, v: Self::V);
    unsafe fn store_f16_n(self, p: *mut f16, v: Self::V, n: usize);

    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`; rounded once where the set has a fused form.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger. Where one is NaN: `b`, or NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller. Where one is NaN: `b`, or NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest whole number, ties to even; for magnitudes below 2²².
    fn round(self, a: Self::V) -> Self::V;
    /// `2^n` for whole `n` from −126 to 127.
    fn pow2(self, n: Self::V) -> Self::V;
    /// `v · 2^n` for whole `n` from −126 to 128, with `v` from ½ to 2.
    #[inline(always)]
    fn scale(self, v: Self::V, n: Self::V) -> Self::V {
        let half = self.min(n, self.splat(127.0));
        self.mul(self.mul(v, self.pow2(half)), self.pow2(self.sub(n, half)))
    }
    /// Lane by lane: `x` where `a < b`, else `y` (also where one is NaN).
    fn where_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// Lane by lane: `x` where `a` is NaN, else `y`.
    fn where_nan(self, a: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// Each two lanes change places: 1, 0, 3, 2 and so on.
    fn swap_pairs(self, a: Self::V) -> Self::V;
    /// The sum of all lanes, in an order that does not change.
    fn sum(self, v: Self::V) -> f32;
    /// The largest of all lanes; unspecified where one is NaN.
    fn largest(self, v: Self::V) -> f32;
}

/// An element that kernels compute with in float32.
pub(crate) trait Scalar: Copy + Send + Sync + 'static {
    #[cfg(test)]
    const ZERO: Self;
    /// How many bfloat16 any value is the sum of.
    #[cfg(target_arch = "x86_64")]
    const PLANES: usize;
    unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V;
    unsafe fn load_n<S: Simd>(s: S, p: *const Self, n: usize) -> S::V;
    unsafe fn store<S: Simd>(s: S, p: *mut Self, v: S::V);
    unsafe fn store_n<S: Simd>(s: S, p: *mut Self, v: S::V, n: usize);
    fn to_f32(self) -> f32;
    fn from_f32(x: f32) -> Self;
}

/// The element types of kernels: `f32`, `bf16` and `f16`. Whatever the type, kernels compute in float32, and round to
/// nearest even when they store.
#[expect(private_bounds, reason = "nobody else can implement it")]
pub trait Element: Scalar + Plain + Default {}
impl Element for f32 {}
impl Element for bf16 {}
impl Element for f16 {}

macro_rules! scalar {
    ($type:ty, $zero:expr, $planes:literal, $load:ident, $load_n:ident, $store:ident, $store_n:ident, $to:expr, $from:expr) => {
        impl Scalar for $type {
            #[cfg(test)]
            const ZERO: Self = $zero;
            #[cfg(target_arch = "x86_64")]
            const PLANES: usize = $planes;
            #[inline(always)]
            unsafe fn load<S: Simd>(s: S, p: *const Self) -> S::V {
                // SAFETY: the caller's.
                unsafe { s.$load(p) }
            }
            #[inline(always)]
            unsafe fn load_n<S: Simd>(s: S, p: *const Self, n: usize) -> S::V {
                // SAFETY: the caller's.
                unsafe { s.$load_n(p, n) }
            }
            #[inline(always)]
            unsafe fn store<S: Simd>(s: S, p: *mut Self, v: S::V) {
                // SAFETY: the caller's.
                unsafe { s.$store(p, v) }
            }
            #[inline(always)]
            unsafe fn store_n<S: Simd>(s: S, p: *mut Self, v: S::V, n: usize) {
                // SAFETY: the caller's.
                unsafe { s.$store_n(p, v, n) }
            }
            #[inline(always)]
            fn to_f32(self) -> f32 {
                $to(self)
            }
            #[inline(always)]
            fn from_f32(x: f32) -> Self {
                $from(x)
            }
        }
    };
}
scalar!(f32, 0.0, 3, load, load_n, store, store_n, std::convert::identity, std::convert::identity);
scalar!(bf16, bf16::ZERO, 1, load_bf16, load_bf16_n, store_bf16, store_bf16_n, bf16::to_f32, bf16::from_f32);
scalar!(f16, f16::ZERO, 2, load_f16, load_f16_n, store_f16, store_f16_n, f16::to_f32, f16::from_f32);

/// The first `n ≤ LANES` elements, the rest 0.
///
/// # Safety
/// The pointer has `n` elements.
#[inline(always)]
pub(crate) unsafe fn load<T: Scalar, S: Simd>(s: S, p: *const T, n: usize) -> S::V {
    // SAFETY: the caller's.
    unsafe { if n == S::LANES { T::load(s, p) } else { T::load_n(s, p, n) } }
}

/// Stores the first `n ≤ LANES` elements.
///
/// # Safety
/// The pointer has room for `n` elements.
#[inline(always)]
pub(crate) unsafe fn store<T: Scalar, S: Simd>(s: S, p: *mut T, v: S::V, n: usize) {
    // SAFETY: the caller's.
    unsafe { if n == S::LANES { T::store(s, p, v) } else { T::store_n(s, p, v, n) } }
}

/// Runs `body` with the first index `i` and the number `m` of the elements of each vector that `n` elements fill, the
/// last one perhaps in part.
macro_rules! each {
    ($simd:ty, $n:expr, |$i:ident, $m:ident| $body:block) => {{
        let n: usize = $n;
        let mut $i = 0usize;
        while n - $i >= <$simd>::LANES {
            let $m = <$simd>::LANES;
            $body
            $i += <$simd>::LANES;
        }
        if $i < n {
            let $m = n - $i;
            $body
        }
    }};
}

/// Folds as [`each!`] runs, into four accumulators in turn, and gives these.
macro_rules! fold {
    ($simd:ty, $n:expr, $first:expr, |$i:ident, $m:ident, $acc:ident| $value:expr) => {{
        let n: usize = $n;
        let mut accs = [$first; 4];
        let mut at = 0usize;
        while n - at >= 4 * <$simd>::LANES {
            {
                let ($i, $m, $acc) = (at, <$simd>::LANES, accs[0]);
                accs[0] = $value;
            }
            {
                let ($i, $m, $acc) = (at + <$simd>::LANES, <$simd>::LANES, accs[1]);
                accs[1] = $value;
            }
            {
                let ($i, $m, $acc) = (at + 2 * <$simd>::LANES, <$simd>::LANES, accs[2]);
                accs[2] = $value;
            }
            {
                let ($i, $m, $acc) = (at + 3 * <$simd>::LANES, <$simd>::LANES, accs[3]);
                accs[3] = $value;
            }
            at += 4 * <$simd>::LANES;
        }
        while n - at >= <$simd>::LANES {
            let ($i, $m, $acc) = (at, <$simd>::LANES, accs[0]);
            accs[0] = $value;
            at += <$simd>::LANES;
        }
        if at < n {
            let ($i, $m, $acc) = (at, n - at, accs[1]);
            accs[1] = $value;
        }
        accs
    }};
}

/// Folds from 0, and gives the sum of the lanes of all accumulators.
macro_rules! total {
    ($s:ident: $simd:ty, $n:expr, |$i:ident, $m:ident, $sum:ident| $value:expr) => {{
        let [a, b, c, d] = $crate::simd::fold!($simd, $n, $s.splat(0.0), |$i, $m, $sum| $value);
        $s.sum($s.add($s.add(a, b), $s.add(c, d)))
    }};
}
pub(crate) use {each, fold, total};

/// The work of a kernel, for any instruction set.
pub(crate) trait Kernel {
    type Output;
    /// Must be `#[inline(always)]`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Runs `kernel` with the instructions of `isa`; the portable ones where this machine lacks them.
pub(crate) fn dispatch<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        // The check is a load of a static; it makes a safe function of this one.
        match isa {
            Isa::Avx512 | Isa::Avx512Bf16 if isa.is_available() => {
                // SAFETY: the processor has the set.
                return unsafe { Avx512::new() }.apart(kernel);
            }
            Isa::Avx2 if isa.is_available() => {
                // SAFETY: the processor has the set.
                return unsafe { Avx2::new() }.apart(kernel);
            }
            _ => {}
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        if matches!(isa, Isa::Neon | Isa::NeonDot) && isa.is_available() {
            // SAFETY: the processor has NEON, as every aarch64 one that Rust supports.
            return kernel.run(unsafe { Neon::new() });
        }
    }
    let _ = isa;
    kernel.run(Portable)
}

/// Asks for the line of `p`, whether or not there is such memory.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of any address is allowed.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Convert<'a, A, B>(&'a [A], &'a mut [B]);

    impl<A: Scalar, B: Scalar> Kernel for Convert<'_, A, B> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self(from, to) = self;
            assert_eq!(from.len(), to.len());
            each!(S, from.len(), |i, m| {
                // SAFETY: both slices have `i + m` elements.
                unsafe { store(s, to.as_mut_ptr().add(i), load(s, from.as_ptr().add(i), m), m) }
            });
        }
    }

    /// The bits, with one pattern for all that is no number.
    fn number(x: f32) -> u32 {
        if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
    }

    fn widens<T: Scalar>(isa: Isa, all: &[T]) {
        // The length is no whole number of vectors.
        for all in [all, &all[1..], &all[3..]] {
            let mut out = vec![0f32; all.len()];
            dispatch(isa, Convert(all, &mut out));
            for (x, found) in all.iter().zip(out) {
                assert_eq!(number(found), number(x.to_f32()), "{isa} {:e}", x.to_f32());
            }
        }
    }

    #[test]
    fn every_half_widens_as_half_says() {
        let (b, h): (Vec<bf16>, Vec<f16>) =
            (0..=u16::MAX).map(|bits| (bf16::from_bits(bits), f16::from_bits(bits))).unzip();
        for isa in Isa::available() {
            widens(isa, &b);
            widens(isa, &h);
        }
    }

    fn narrows<T: Scalar>(isa: Isa, from: &[f32]) {
        for from in [from, &from[..from.len() - 5]] {
            let mut out = vec![T::ZERO; from.len()];
            dispatch(isa, Convert(from, &mut out));
            for (&x, found) in from.iter().zip(out) {
                assert_eq!(number(found.to_f32()), number(T::from_f32(x).to_f32()), "{isa} {x:e}");
            }
        }
    }

    /// Each half, the middle between it and the next, and the neighbours of both: where rounding goes one way or other.
    #[test]
    fn float32_rounds_to_halves_as_half_says() {
        let mut from = Vec::new();
        for bits in 0..=u16::MAX {
            let b = u32::from(bits) << 16;
            let (h, next) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits.wrapping_add(1)).to_f32());
            let middle = ((f64::from(h) + f64::from(next)) / 2.0) as f32;
            for bits in [b, b | 0x8000, h.to_bits(), middle.to_bits()] {
                from.extend([bits.wrapping_sub(1), bits, bits.wrapping_add(1)].map(f32::from_bits));
            }
        }
        for isa in Isa::available() {
            narrows::<bf16>(isa, &from);
            narrows::<f16>(isa, &from);
        }
    }

    struct Lanes;

    impl Kernel for Lanes {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let (mut out, count): ([f32; 16], _) = ([0.0; 16], S::LANES);
            let x: [f32; 16] = std::array::from_fn(|i| i as f32 - 2.5);
            // SAFETY: the arrays have as many elements as a vector has at most.
            unsafe {
                let v = s.load(x.as_ptr());
                s.store(out.as_mut_ptr(), s.swap_pairs(v));
                assert!((0..count).all(|i| out[i] == x[i ^ 1]));
                s.store(out.as_mut_ptr(), s.where_nan(v, s.splat(7.0), v));
                assert_eq!(out[..count], x[..count]);
                s.store(out.as_mut_ptr(), s.where_nan(s.splat(f32::NAN), s.splat(7.0), v));
                assert!(out[..count].iter().all(|&x| x == 7.0));
                s.store(out.as_mut_ptr(), s.round(v));
                assert!((0..count).all(|i| out[i] == x[i].round_ties_even()));
                s.store(out.as_mut_ptr(), s.where_lt(v, s.splat(0.0), s.splat(1.0), s.splat(2.0)));
                assert!((0..count).all(|i| out[i] == if x[i] < 0.0 { 1.0 } else { 2.0 }));
                assert_eq!(s.largest(v), x[count - 1]);
                assert_eq!(s.sum(v), x[..count].iter().sum::<f32>());
                for n in 0..=count {
                    s.store(out.as_mut_ptr(), s.load_n(x.as_ptr(), n));
                    assert!((0..count).all(|i| out[i] == if i < n { x[i] } else { 0.0 }));
                    out = [9.0; 16];
                    s.store_n(out.as_mut_ptr(), v, n);
                    assert!((0..16).all(|i| out[i] == if i < n { x[i] } else { 9.0 }));
                }
                for n in -126..=127i16 {
                    s.store(out.as_mut_ptr(), s.pow2(s.splat(f32::from(n))));
                    assert_eq!(out[0], f32::from(n).exp2());
                }
            }
        }
    }

    #[test]
    fn lanes_do_as_they_say() {
        for isa in Isa::available() {
            dispatch(isa, Lanes);
        }
    }
}
