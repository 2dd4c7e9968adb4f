// SPDX-License-Identifier: EUPL-1.2
//! Rows to one number each, and the choice of a token from a row of logits.

use crate::rows::{length, share};
use crate::simd::{self, Kernel, Simd, dispatch, fold};
use crate::{Element, Isa, Result, Rows, RowsMut};

/// Elements that are looked at together: of these, only the block with the result is looked at twice.
const BLOCK: usize = 1024;

/// Elements `i..i + m`, and −∞ past them.
///
/// # Safety
/// `x` has `m` elements.
#[inline(always)]
unsafe fn padded<S: Simd, T: Element>(s: S, x: *const T, m: usize) -> S::V {
    // SAFETY: the caller's, and an array of sixteen elements, as many as a vector has at most.
    unsafe {
        let v = simd::load(s, x, m);
        if m == S::LANES {
            return v;
        }
        let inside = s.load_n([1.0f32; 16].as_ptr(), m);
        s.where_lt(s.splat(0.0), inside, v, s.splat(f32::NEG_INFINITY))
    }
}

/// The largest number of a row, NaN passed over; −∞ where there is none.
///
/// # Safety
/// `x` has `n` elements.
#[inline(always)]
pub(crate) unsafe fn largest<S: Simd, T: Element>(s: S, x: *const T, n: usize) -> f32 {
    let [a, b, c, d] = fold!(S, n, s.splat(f32::NEG_INFINITY), |i, m, most| {
        // SAFETY: the caller's row has `i + m` elements.
        let v = unsafe { padded(s, x.add(i), m) };
        s.where_lt(most, v, v, most)
    });
    let (a, c) = (s.where_lt(a, b, b, a), s.where_lt(c, d, d, c));
    s.largest(s.where_lt(a, c, c, a))
}

struct Argmax<'a, T>(&'a [T]);

impl<T: Element> Kernel for Argmax<'_, T> {
    /// The largest number, and where it first stands; −∞ and 0 where there is none above −∞.
    type Output = (f32, usize);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, usize) {
        let Self(x) = self;
        let (mut most, mut block) = (f32::NEG_INFINITY, 0);
        for (i, part) in x.chunks(BLOCK).enumerate() {
            // SAFETY: the slice has as many elements as it says.
            let here = unsafe { largest(s, part.as_ptr(), part.len()) };
            if here > most {
                (most, block) = (here, i);
            }
        }
        if most == f32::NEG_INFINITY {
            return (most, 0);
        }
        let start = block * BLOCK;
        let within = x[start..].iter().position(|x| x.to_f32() == most).unwrap_or(0);
        (most, start + within)
    }
}

/// Where the largest element of each row first stands.
///
/// A NaN is passed over, unless it is the first element: then the result is 0, as it is in MLX. It is also 0 where
/// nothing is above −∞.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when rows are empty, or `out` has not one element for each.
pub fn argmax<T: Element>(isa: Isa, x: Rows<'_, T>, out: &mut [u32]) -> Result<()> {
    const KERNEL: &str = "argmax";
    length(KERNEL, "out", x.rows(), out.len())?;
    if x.width() == 0 && x.rows() > 0 {
        return Err(crate::Error::operand(KERNEL, "expected elements in each row, found none"));
    }
    let out = RowsMut::new(out, x.rows(), 1, 1)?;
    share(x.rows(), x.width(), &|rows| {
        for row in rows {
            let index = argmax_row(isa, x.row(row));
            // SAFETY: the row has one element, and no other task writes to it.
            unsafe { out.at(row).write(u32::try_from(index).unwrap_or(u32::MAX)) }
        }
    });
    Ok(())
}

/// The largest row that one thread looks through on its own is a few tasks long.
const PART: usize = 64 * BLOCK;

fn argmax_row<T: Element>(isa: Isa, x: &[T]) -> usize {
    if x.first().is_none_or(|first| first.to_f32().is_nan()) {
        return 0;
    }
    let (mut most, mut index) = (f32::NEG_INFINITY, 0);
    let mut parts = [(f32::NEG_INFINITY, 0); 16];
    for (j, group) in x.chunks(PART * parts.len()).enumerate() {
        let count = group.len().div_ceil(PART);
        let slots = match RowsMut::new(&mut parts, count, 1, 1) {
            Ok(slots) => slots,
            Err(_) => return index,
        };
        share(count, PART, &|range| {
            for part in range {
                let end = group.len().min((part + 1) * PART);
                let (value, at) = dispatch(isa, Argmax(&group[part * PART..end]));
                // SAFETY: the row has one element, and no other task writes to it.
                unsafe { slots.at(part).write((value, part * PART + at)) }
            }
        });
        for &(value, at) in &parts[..count] {
            if value > most {
                (most, index) = (value, j * PART * 16 + at);
            }
        }
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, SIZES, everywhere};

    /// As MLX does it.
    fn argmax_reference<T: Element>(x: &[T]) -> usize {
        let mut best = 0;
        for i in 1..x.len() {
            if x[i].to_f32() > x[best].to_f32() {
                best = i;
            }
        }
        best
    }

    fn argmax_values<T: Element>(isa: Isa) {
        let random = &mut Random(10);
        for n in SIZES.into_iter().filter(|&n| n > 0).chain([5000, 300_001, 1 << 20, (1 << 20) + 3]) {
            let mut x: Vec<T> = random.vec(n + 1, 2.0);
            for odd in [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 2.0] {
                for at in [0, n / 2, n - 1] {
                    let before = x[1 + at];
                    x[1 + at] = T::from_f32(odd);
                    let mut out = [9];
                    argmax(isa, Rows::one(&x[1..]), &mut out).unwrap();
                    assert_eq!(out[0] as usize, argmax_reference(&x[1..]), "{isa} {n} {odd} at {at}");
                    x[1 + at] = before;
                }
            }
            x[1..].fill(T::from_f32(f32::NEG_INFINITY));
            let mut out = [9];
            argmax(isa, Rows::one(&x[1..]), &mut out).unwrap();
            assert_eq!(out, [0]);
        }
        let x: Vec<T> = [3.0, 1.0, 3.0, 0.0, -0.0, 0.0, 9.0, 9.0, 9.0].map(T::from_f32).to_vec();
        let mut out = [7; 2];
        argmax(isa, Rows::new(&x, 2, 3, 3).unwrap(), &mut out).unwrap();
        assert_eq!(out, [0, 0]);
        assert!(argmax(isa, Rows::new(&x, 2, 0, 3).unwrap(), &mut out).is_err());
        assert!(argmax(isa, Rows::new(&x, 3, 3, 3).unwrap(), &mut out).is_err());
    }

    #[test]
    fn argmax_is_the_first_of_the_largest_as_in_mlx() {
        everywhere!(argmax_values);
    }
}
