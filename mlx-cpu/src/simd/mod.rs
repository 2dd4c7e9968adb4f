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
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;

use half::{bf16, f16};

use crate::Isa;
use crate::scratch::Plain;
pub(crate) use exp::{exp, sigmoid, tanh};
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
    /// The larger; either operand where one is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; either operand where one is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    fn sqrt(self, a: Self::V) -> Self::V;
    /// To the nearest whole number, ties to even; for magnitudes below 2²².
    fn round(self, a: Self::V) -> Self::V;
    /// `2^n` for whole `n` from −126 to 127.
    fn pow2(self, n: Self::V) -> Self::V;
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
    const ZERO: Self;
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
pub trait Element: Scalar + Plain {}
impl Element for f32 {}
impl Element for bf16 {}
impl Element for f16 {}

/// `v` rounded to what `T` can hold.
#[inline(always)]
pub(crate) fn rounded<T: Scalar, S: Simd>(s: S, v: S::V) -> S::V {
    let mut buffer = [T::ZERO; 16];
    // SAFETY: a vector has sixteen lanes at most.
    unsafe {
        T::store(s, buffer.as_mut_ptr(), v);
        T::load(s, buffer.as_ptr())
    }
}

macro_rules! scalar {
    ($type:ty, $zero:expr, $load:ident, $load_n:ident, $store:ident, $store_n:ident, $to:expr, $from:expr) => {
        impl Scalar for $type {
            const ZERO: Self = $zero;
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
scalar!(f32, 0.0, load, load_n, store, store_n, std::convert::identity, std::convert::identity);
scalar!(bf16, bf16::ZERO, load_bf16, load_bf16_n, store_bf16, store_bf16_n, bf16::to_f32, bf16::from_f32);
scalar!(f16, f16::ZERO, load_f16, load_f16_n, store_f16, store_f16_n, f16::to_f32, f16::from_f32);

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
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: this function is called only where the processor has the set.
            kernel.run(unsafe { Avx2::new() })
        }
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")]
        unsafe fn avx512<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: this function is called only where the processor has the set.
            kernel.run(unsafe { Avx512::new() })
        }
        // The check is a load of a static; it makes a safe function of this one.
        // SAFETY: the processor has what the branch asks for.
        match isa {
            Isa::Avx512 | Isa::Avx512Bf16 if isa.is_available() => return unsafe { avx512(kernel) },
            Isa::Avx2 if isa.is_available() => return unsafe { avx2(kernel) },
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
