// SPDX-License-Identifier: EUPL-1.2
//! The exponential function and what is made of it.

use super::Simd;

/// `e^x` within two units in the last place; 0 below −87.3, infinity above 88.72, NaN for NaN.
///
/// `x = n ln 2 + r` with `|r| ≤ ln 2 / 2`, a polynomial in `r`, then a scaling by `2^n` in two steps, since `n` may be 128.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    const LOWEST: f32 = -87.336_54;
    const HIGHEST: f32 = 88.722_84;
    // ln 2 in two parts, the first with few enough bits that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let bounded = s.min(s.max(x, s.splat(LOWEST)), s.splat(HIGHEST));
    let n = s.round(s.mul(bounded, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2_HIGH), bounded);
    let r = s.fma(n, s.splat(-LN2_LOW), r);
    // Taylor's coefficients; the error at |r| = 0.347 is 0.1 units in the last place.
    let mut p = s.splat(1.0 / 5040.0);
    p = s.fma(p, r, s.splat(1.0 / 720.0));
    p = s.fma(p, r, s.splat(1.0 / 120.0));
    p = s.fma(p, r, s.splat(1.0 / 24.0));
    p = s.fma(p, r, s.splat(1.0 / 6.0));
    p = s.fma(p, r, s.splat(0.5));
    p = s.fma(p, r, s.splat(1.0));
    p = s.fma(p, r, s.splat(1.0));
    let half = s.min(n, s.splat(127.0));
    let y = s.mul(s.mul(p, s.pow2(half)), s.pow2(s.sub(n, half)));
    let y = s.where_lt(x, s.splat(LOWEST), s.splat(0.0), y);
    let y = s.where_lt(s.splat(HIGHEST), x, s.splat(f32::INFINITY), y);
    // A bound may have swallowed a NaN; its square alone is not above −1.
    s.add(y, s.where_lt(s.splat(-1.0), s.mul(x, x), s.splat(0.0), x))
}

/// `1 / (1 + e^−x)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// The hyperbolic tangent, within 2⁻²³ absolutely.
#[inline(always)]
pub(crate) fn tanh<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let e = exp(s, s.add(x, x));
    s.sub(one, s.div(s.splat(2.0), s.add(e, one)))
}
