// SPDX-License-Identifier: EUPL-1.2
//! Softmax and its logarithm over rows.

use std::ops::Range;

use crate::reduce::{fold_parts, padded};
use crate::rows::{same, share};
use crate::simd::{self, Kernel, Simd, dispatch, each, exp, fold, total};
use crate::{Element, Isa, Result, Rows, RowsMut};

/// `softmax(scale · x + mask)` of each row: `exp(v − max v) / Σ exp(v − max v)`.
///
/// A mask of stride 0 is one row for all. A row with a NaN or ∞ is NaN, and so is one of −∞ alone, as in MLX.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the operands do not fit each other.
pub fn softmax<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    scale: f32,
    mask: Option<Rows<'_, T>>,
    out: &mut RowsMut<'_, T>,
) -> Result<()> {
    start(isa, "softmax", x, scale, mask, out, false)
}

/// The logarithm of [`softmax`]: `v − max v − ln Σ exp(v − max v)` for `v = scale · x + mask`.
///
/// # Errors
/// [`Error::Operand`](crate::Error::Operand) when the operands do not fit each other.
pub fn log_softmax<T: Element>(
    isa: Isa,
    x: Rows<'_, T>,
    scale: f32,
    mask: Option<Rows<'_, T>>,
    out: &mut RowsMut<'_, T>,
) -> Result<()> {
    start(isa, "log_softmax", x, scale, mask, out, true)
}

/// Elements that are summed in float32; their sums are summed in float64.
const BLOCK: usize = 4096;

#[expect(clippy::cast_possible_truncation, reason = "rounded to float32")]
fn start<T: Element>(
    isa: Isa,
    kernel: &'static str,
    x: Rows<'_, T>,
    scale: f32,
    mask: Option<Rows<'_, T>>,
    out: &mut RowsMut<'_, T>,
    log: bool,
) -> Result<()> {
    let (rows, width) = (x.rows(), x.width());
    if let Some(mask) = mask {
        same(kernel, "mask", (rows, width), (mask.rows(), mask.width()))?;
    }
    same(kernel, "out", (rows, width), (out.rows(), out.width()))?;
    let out = &*out;
    share(rows, 6 * width, &|rows| {
        for row in rows {
            let operand = Operand { x: x.row(row), mask: mask.map(|mask| mask.row(row)), scale };
            let part = |range| dispatch(isa, Most { operand, range });
            let most = fold_parts(width, 1, f32::NEG_INFINITY, &part, |a, b| if b > a { b } else { a });
            let part = |range| dispatch(isa, ExpSum { operand, most, range });
            let sum = fold_parts(width, 4, 0.0, &part, |a, b| a + b);
            let by = if log { sum.ln() as f32 } else { (1.0 / sum) as f32 };
            let out = Row(out.at(row));
            share(width.div_ceil(BLOCK), 4 * BLOCK.min(width), &|blocks| {
                let range = blocks.start * BLOCK..width.min(blocks.end * BLOCK);
                dispatch(isa, Write { operand, most, by, log, out: &out, range });
            });
        }
    });
    Ok(())
}

/// `scale · x + mask` of a row.
#[derive(Clone, Copy)]
struct Operand<'a, T> {
    x: &'a [T],
    mask: Option<&'a [T]>,
    scale: f32,
}

impl<T: Element> Operand<'_, T> {
    /// Elements `i..i + m`, the rest −∞.
    ///
    /// # Safety
    /// The row has them.
    #[inline(always)]
    unsafe fn at<S: Simd>(&self, s: S, i: usize, m: usize) -> S::V {
        // SAFETY: the caller's; a mask is as long as the row.
        unsafe {
            let scale = s.splat(self.scale);
            match self.mask {
                // Past the end, the mask decides.
                Some(mask) => {
                    s.fma(simd::load(s, self.x.as_ptr().add(i), m), scale, padded(s, mask.as_ptr().add(i), m))
                }
                None => {
                    let v = s.mul(simd::load(s, self.x.as_ptr().add(i), m), scale);
                    if m == S::LANES {
                        return v;
                    }
                    let inside = s.load_n([1.0f32; 16].as_ptr(), m);
                    s.where_lt(s.splat(0.0), inside, v, s.splat(f32::NEG_INFINITY))
                }
            }
        }
    }
}

struct Most<'a, T> {
    operand: Operand<'a, T>,
    range: Range<usize>,
}

impl<T: Element> Kernel for Most<'_, T> {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Self { operand, range } = self;
        let start = range.start;
        let [a, b, c, d] = fold!(S, range.len(), s.splat(f32::NEG_INFINITY), |i, m, most| {
            // SAFETY: the range lies within the row.
            let v = unsafe { operand.at(s, start + i, m) };
            s.where_lt(most, v, v, most)
        });
        let (a, c) = (s.where_lt(a, b, b, a), s.where_lt(c, d, d, c));
        s.largest(s.where_lt(a, c, c, a))
    }
}

struct ExpSum<'a, T> {
    operand: Operand<'a, T>,
    most: f32,
    range: Range<usize>,
}

impl<T: Element> Kernel for ExpSum<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self { operand, most, range } = self;
        let most = s.splat(most);
        let mut sum = 0.0;
        let mut start = range.start;
        while start < range.end {
            let n = BLOCK.min(range.end - start);
            sum += f64::from(total!(s: S, n, |i, m, sum| {
                // SAFETY: the range lies within the row.
                let v = unsafe { operand.at(s, start + i, m) };
                let e = exp(s, s.sub(v, most));
                let e = if m == S::LANES {
                    e
                } else {
                    // Where all is −∞, what lies past the end is no number either, but the sum is that already.
                    // SAFETY: the array has as many elements as a vector has at most.
                    let inside = unsafe { s.load_n([1.0f32; 16].as_ptr(), m) };
                    s.where_lt(s.splat(0.0), inside, e, s.splat(0.0))
                };
                s.add(sum, e)
            }));
            start += n;
        }
        sum
    }
}

/// Where a row is written to.
struct Row<T>(*mut T);
// SAFETY: whoever writes through it sees to it that no two threads have an element.
unsafe impl<T: Send> Sync for Row<T> {}

struct Write<'a, T> {
    operand: Operand<'a, T>,
    most: f32,
    /// The reciprocal of the sum, or its logarithm.
    by: f32,
    log: bool,
    out: &'a Row<T>,
    range: Range<usize>,
}

impl<T: Element> Kernel for Write<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { operand, most, by, log, out, range } = self;
        let (most, by, start) = (s.splat(most), s.splat(by), range.start);
        each!(S, range.len(), |i, m| {
            // SAFETY: the range lies within the row, and no other task writes to it.
            unsafe {
                let v = s.sub(operand.at(s, start + i, m), most);
                let y = if log { s.sub(v, by) } else { s.mul(exp(s, v), by) };
                simd::store(s, out.0.add(start + i), y, m);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, SIZES, close, everywhere};

    fn reference(x: &[f64], log: bool) -> Vec<f64> {
        let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = x.iter().map(|x| (x - most).exp()).sum();
        x.iter().map(|x| if log { x - most - sum.ln() } else { (x - most).exp() / sum }).collect()
    }

    fn values<T: Element>(isa: Isa) {
        let random = &mut Random(15);
        for n in SIZES.into_iter().chain([70_001]) {
            let (rows, stride) = (3, n + 3);
            let (x, mask): (Vec<T>, Vec<T>) = (random.vec(1 + rows * stride, 9.0), random.vec(n, 3.0));
            let x = Rows::new(&x[1..], rows, n, stride).unwrap();
            for (scale, masked) in [(1.0, false), (0.25, true), (-1.0, false)] {
                let mask_rows = masked.then(|| Rows::new(&mask, rows, n, 0).unwrap());
                for log in [false, true] {
                    let mut out = vec![T::ZERO; rows * n];
                    let to = &mut RowsMut::new(&mut out, rows, n, n).unwrap();
                    let kernel = if log { log_softmax } else { softmax };
                    kernel(isa, x, scale, mask_rows, to).unwrap();
                    for row in 0..rows {
                        let v: Vec<f64> = x
                            .row(row)
                            .iter()
                            .zip(&mask)
                            .map(|(x, m)| {
                                let m = if masked { f64::from(m.to_f32()) } else { 0.0 };
                                f64::from(x.to_f32()) * f64::from(scale) + m
                            })
                            .collect();
                        for (i, expected) in reference(&v, log).into_iter().enumerate() {
                            let place = format!("{isa} {log} {n} [{row}, {i}]");
                            close(out[row * n + i], expected, 3e-6, if log { 2e-6 } else { 0.0 }, &place);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn softmax_is_its_formula() {
        everywhere!(values);
    }

    fn special<T: Element>(isa: Isa) {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        for n in [1usize, 3, 16, 40] {
            for odd in [nan, inf, -inf, 0.0, 1e-40] {
                for fill in [-inf, 0.5] {
                    let mut x = vec![T::from_f32(fill); n];
                    x[n / 2] = T::from_f32(odd);
                    let wide: Vec<f64> = x.iter().map(|x| f64::from(x.to_f32())).collect();
                    for log in [false, true] {
                        let mut out = vec![T::ZERO; n];
                        let kernel = if log { log_softmax } else { softmax };
                        kernel(isa, Rows::one(&x), 1.0, None, &mut RowsMut::one(&mut out)).unwrap();
                        let whole = wide.iter().any(|x| x.is_nan());
                        for (i, expected) in reference(&wide, log).into_iter().enumerate() {
                            let expected = if whole { f64::NAN } else { expected };
                            close(out[i], expected, 1e-6, 1e-6, &format!("{isa} {log} {n} {odd} {fill} {i}"));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rows_without_a_softmax_are_nan() {
        everywhere!(special);
    }
}
