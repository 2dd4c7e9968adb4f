// SPDX-License-Identifier: EUPL-1.2
//! The exponential function and what is made of it.

use super::Simd;

/// `e^x` within two units in the last place; 0 below −87.3, infinity above 88.72, NaN for NaN.
///
/// `x = n ln 2 + r` with `|r| ≤ ln 2 / 2`, a polynomial in `r`, then a scaling by `2^n` in two steps, since `n` may be 128.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    const LOWEST: f32 = -87.336_54;
    // Above 88.72 the scaling overflows.
    const HIGHEST: f32 = 89.0;
    // ln 2 in two parts, the first with few enough bits that its product with n is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // In this order of operands, a NaN stays one.
    let bounded = s.min(s.splat(HIGHEST), s.max(s.splat(LOWEST), x));
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
    s.where_lt(x, s.splat(LOWEST), s.splat(0.0), s.scale(p, n))
}

/// `1 / (1 + e^−x)` within three units in the last place; 0 below −88.72.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::simd::{self, Kernel, dispatch, each};

    struct All<'a> {
        x: &'a [f32],
        function: usize,
        out: &'a mut [f32],
    }

    impl Kernel for All<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            let Self { x, function, out } = self;
            assert_eq!(x.len(), out.len());
            each!(S, x.len(), |i, m| {
                // SAFETY: both slices have `i + m` elements.
                unsafe {
                    let v = simd::load(s, x.as_ptr().add(i), m);
                    let y = match function {
                        0 => exp(s, v),
                        _ => sigmoid(s, v),
                    };
                    simd::store(s, out.as_mut_ptr().add(i), y, m);
                }
            });
        }
    }

    /// Every 4099th float32, and all around what is special.
    fn inputs() -> Vec<f32> {
        let mut x: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
        for around in [
            0.0f32,
            -87.336_54,
            88.722_84,
            88.376_26,
            -103.972_08,
            1.0,
            -1.0,
            f32::INFINITY,
            f32::MAX,
            9.0,
            0.5,
        ] {
            for sign in [1.0, -1.0] {
                let bits = (sign * around).to_bits();
                x.extend((bits.saturating_sub(300)..=bits.saturating_add(300)).map(f32::from_bits));
            }
        }
        x
    }

    /// The distance of the float32 next to `x`.
    fn unit(x: f64) -> f64 {
        let x = (x.abs() as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
        f64::from(x) - f64::from(f32::from_bits(x.to_bits() - 1))
    }

    #[test]
    fn functions_are_as_exact_as_they_say() {
        let x = inputs();
        let mut out = vec![0f32; x.len()];
        for isa in Isa::available() {
            let mut worst = [0f64; 2];
            for (function, worst) in worst.iter_mut().enumerate() {
                dispatch(isa, All { x: &x, function, out: &mut out });
                for (&x, &found) in x.iter().zip(&out) {
                    let wide = f64::from(x);
                    if x.is_nan() {
                        assert!(found.is_nan(), "{isa} {function} of NaN: {found}");
                        continue;
                    }
                    let (expected, unit) = match function {
                        0 if x < -87.336_54 => {
                            assert_eq!(found, 0.0, "{isa} exp {x}");
                            continue;
                        }
                        0 => (wide.exp(), unit(wide.exp())),
                        _ => {
                            let y = 1.0 / (1.0 + (-wide).exp());
                            (y, unit(y))
                        }
                    };
                    if expected as f32 == f32::INFINITY {
                        assert_eq!(found, f32::INFINITY, "{isa} {function} of {x}");
                        continue;
                    }
                    assert!(found.is_finite(), "{isa} {function} of {x}: {found}, expected {expected}");
                    if function == 1 && x < -88.72 {
                        assert!((0.0..=f32::MIN_POSITIVE).contains(&found), "{isa} sigmoid {x}: {found}");
                        continue;
                    }
                    *worst = worst.max((f64::from(found) - expected).abs() / unit);
                }
            }
            assert!(worst[0] <= 2.0 && worst[1] <= 3.0, "{isa} {worst:?}");
        }
    }
}
