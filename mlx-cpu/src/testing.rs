// SPDX-License-Identifier: EUPL-1.2
//! What tests of kernels share.

use crate::Element;

/// Lengths around those of vectors, and of models.
pub(crate) const SIZES: [usize; 14] = [0, 1, 2, 3, 15, 16, 17, 31, 33, 63, 65, 127, 1000, 1152];

/// Numbers that look random, the same on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From −1 to 1.
    pub(crate) fn number(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    pub(crate) fn vec<T: Element>(&mut self, len: usize, scale: f32) -> Vec<T> {
        (0..len).map(|_| T::from_f32(scale * self.number())).collect()
    }
}

/// Half a unit in the last place of `T` relative to 1, and a little for float32 on the way.
pub(crate) fn precision<T: Element>() -> f64 {
    let one = T::from_f32(1.0).to_f32();
    let mut step = 1.0f32;
    while T::from_f32(one + step / 2.0).to_f32() > one {
        step /= 2.0;
    }
    f64::from(step) / 2.0
}

/// Half the distance of the numbers of `T` around 0.
fn grain<T: Element>() -> f64 {
    let mut step = 1.0f32;
    while T::from_f32(step / 2.0).to_f32() > 0.0 {
        step /= 2.0;
    }
    f64::from(step) / 2.0
}

/// Checks one value: the same if not finite, else within `relative` of the size and `absolute`.
#[track_caller]
pub(crate) fn close<T: Element>(found: T, expected: f64, relative: f64, absolute: f64, place: &str) {
    let found = f64::from(found.to_f32());
    // What the element type makes of the reference: beyond its range, infinity.
    let rounded = f64::from(T::from_f32(expected as f32).to_f32());
    let ok = if found.is_finite() && rounded.is_finite() {
        let relative = relative + 1.01 * precision::<T>();
        (found - expected).abs() <= relative * expected.abs() + absolute + 1.01 * grain::<T>()
    } else {
        found == rounded || (found.is_nan() && rounded.is_nan())
    };
    assert!(ok, "{place}: expected {expected:e}, found {found:e}");
}

/// The bits of each element, for comparisons in which a NaN equals itself.
pub(crate) fn bits<T: Element>(x: &[T]) -> Vec<u32> {
    x.iter().map(|x| x.to_f32().to_bits()).collect()
}

/// Runs the test for each element type and instruction set.
macro_rules! everywhere {
    ($body:ident) => {
        for isa in $crate::Isa::available() {
            $body::<f32>(isa);
            $body::<half::bf16>(isa);
            $body::<half::f16>(isa);
        }
    };
}
pub(crate) use everywhere;
