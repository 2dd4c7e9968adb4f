// SPDX-License-Identifier: EUPL-1.2
//! Rows to one number each, and the choice of a token from a row of logits.

use std::ops::Range;

use crate::rows::{length, share_slice};
use crate::simd::{self, Kernel, Simd, dispatch, each, exp, fold, total};
use crate::{Element, Error, Isa, Result, Rows};

/// Elements that are looked at together: of these, only the block with the result is looked at twice.
const BLOCK: usize = 1024;

/// Elements `i..i + m`, and −∞ past them.
///
/// # Safety
/// `x` has `m` elements.
#[inline(always)]
pub(crate) unsafe fn padded<S: Simd, T: Element>(s: S, x: *const T, m: usize) -> S::V {
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

/// The elements that one task looks through. Fixed, so that the result does not depend on the threads.
const PART: usize = 16 * BLOCK;

/// Runs `body` over parts of `0..len`, on several threads if there are many, and combines what it gives in their order.
///
/// `cost` is the work of an element, compared with a load.
pub(crate) fn fold_parts<R: Copy + Send + Sync>(
    len: usize,
    cost: usize,
    first: R,
    body: &(dyn Fn(Range<usize>) -> R + Sync),
    combine: impl Fn(R, R) -> R,
) -> R {
    if len <= PART {
        return if len == 0 { first } else { combine(first, body(0..len)) };
    }
    let count = len.div_ceil(PART);
    let mut results = vec![first; count];
    share_slice(&mut results, cost * PART, &|start, results| {
        for (part, result) in (start..).zip(results) {
            *result = body(part * PART..len.min((part + 1) * PART));
        }
    });
    results.into_iter().fold(first, combine)
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

/// Checks that there are rows of something and a result for each.
fn check<T, O>(kernel: &'static str, x: &Rows<'_, T>, out: &[O]) -> Result<()> {
    length(kernel, "out", x.rows(), out.len())?;
    if x.width() == 0 && x.rows() > 0 {
        return Err(Error::operand(kernel, "expected elements in each row, found none"));
    }
    Ok(())
}

/// Runs `body` on each row, on several threads where there are many.
fn each_row<T: Element, O: Send>(
    x: Rows<'_, T>,
    out: &mut [O],
    cost: usize,
    body: &(dyn Fn(&[T]) -> O + Sync),
) {
    share_slice(out, cost * x.width(), &|start, out| {
        for (row, out) in (start..).zip(out) {
            *out = body(x.row(row));
        }
    });
}

/// Where the largest element of each row first stands.
///
/// A NaN is passed over, unless it is the first element: then the result is 0, as it is in MLX. It is also 0 where
/// nothing is above −∞.
///
/// # Errors
/// [`Error::Operand`] when rows are empty, or `out` has not one element for each.
pub fn argmax<T: Element>(isa: Isa, x: Rows<'_, T>, out: &mut [u32]) -> Result<()> {
    check("argmax", &x, out)?;
    each_row(x, out, 1, &|x| {
        if x.first().is_none_or(|first| first.to_f32().is_nan()) {
            return 0;
        }
        let part = |range: Range<usize>| {
            let (value, at) = dispatch(isa, Argmax(&x[range.clone()]));
            (value, range.start + at)
        };
        let (_, index) =
            fold_parts(x.len(), 1, (f32::NEG_INFINITY, 0), &part, |a, b| if b.0 > a.0 { b } else { a });
        u32::try_from(index).unwrap_or(u32::MAX)
    });
    Ok(())
}

struct Largest<'a, T>(&'a [T]);

impl<T: Element> Kernel for Largest<'_, T> {
    /// The largest number, and whether there is a NaN.
    type Output = (f32, bool);
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, bool) {
        let (x, n) = (self.0.as_ptr(), self.0.len());
        let zero = s.splat(0.0);
        // SAFETY: the slice has as many elements as it says.
        let (most, nan) = unsafe {
            let nan = total!(s: S, n, |i, m, seen| {
                let v = simd::load(s, x.add(i), m);
                s.add(seen, s.where_nan(v, v, zero))
            });
            (largest(s, x, n), nan)
        };
        (most, nan.is_nan())
    }
}

/// The largest number of a row, and whether there is a NaN.
fn row_max<T: Element>(isa: Isa, x: &[T]) -> (f32, bool) {
    let part = |range| dispatch(isa, Largest(&x[range]));
    fold_parts(x.len(), 1, (f32::NEG_INFINITY, false), &part, |a, b| {
        (if b.0 > a.0 { b.0 } else { a.0 }, a.1 | b.1)
    })
}

/// The largest element of each row, NaN where there is one.
///
/// # Errors
/// [`Error::Operand`] when rows are empty, or `out` has not one element for each.
pub fn max<T: Element, O: Element>(isa: Isa, x: Rows<'_, T>, out: &mut [O]) -> Result<()> {
    check("max", &x, out)?;
    each_row(x, out, 2, &|x| {
        let (most, nan) = row_max(isa, x);
        O::from_f32(if nan { f32::NAN } else { most })
    });
    Ok(())
}

struct Sum<'a, T>(&'a [T]);

impl<T: Element> Kernel for Sum<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let mut sum = 0.0;
        for part in self.0.chunks(BLOCK) {
            let (x, n) = (part.as_ptr(), part.len());
            // SAFETY: the slice has as many elements as it says.
            sum += f64::from(total!(s: S, n, |i, m, sum| s.add(sum, unsafe { simd::load(s, x.add(i), m) })));
        }
        sum
    }
}

/// The sum of each row: in float32 over 1024 elements at a time, and of these sums in float64, so that long rows keep
/// their digits.
///
/// # Errors
/// [`Error::Operand`] when `out` has not one element for each row.
#[expect(clippy::cast_possible_truncation, reason = "rounded to the precision of the result")]
pub fn sum<T: Element, O: Element>(isa: Isa, x: Rows<'_, T>, out: &mut [O]) -> Result<()> {
    length("sum", "out", x.rows(), out.len())?;
    each_row(x, out, 1, &|x| {
        let part = |range| dispatch(isa, Sum(&x[range]));
        O::from_f32(fold_parts(x.len(), 1, 0.0, &part, |a, b| a + b) as f32)
    });
    Ok(())
}

/// `Σ exp((x − shift) · scale)` over the elements from `least` on; NaN where one is.
struct ExpSum<'a, T> {
    x: &'a [T],
    shift: f32,
    scale: f32,
    least: f32,
}

impl<T: Element> Kernel for ExpSum<'_, T> {
    type Output = f64;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self { x, shift, scale, least } = self;
        let mut sum = 0.0;
        for part in x.chunks(BLOCK) {
            let (x, n) = (part.as_ptr(), part.len());
            sum += f64::from(total!(s: S, n, |i, m, sum| {
                // SAFETY: the slice has as many elements as it says.
                let v = unsafe { padded(s, x.add(i), m) };
                s.add(sum, weight(s, v, shift, scale, least))
            }));
        }
        sum
    }
}

/// `exp((x − shift) · scale)`, 0 where `x < least`.
#[inline(always)]
fn weight<S: Simd>(s: S, x: S::V, shift: f32, scale: f32, least: f32) -> S::V {
    let y = exp(s, s.mul(s.sub(x, s.splat(shift)), s.splat(scale)));
    s.where_lt(x, s.splat(least), s.splat(0.0), y)
}

/// `ln Σ exp x` of each row: −∞ where all are −∞, ∞ where one is, NaN where one is.
///
/// # Errors
/// [`Error::Operand`] when `out` has not one element for each row.
#[expect(clippy::cast_possible_truncation, reason = "rounded to the precision of the result")]
pub fn logsumexp<T: Element, O: Element>(isa: Isa, x: Rows<'_, T>, out: &mut [O]) -> Result<()> {
    length("logsumexp", "out", x.rows(), out.len())?;
    each_row(x, out, 5, &|x| {
        let (most, nan) = row_max(isa, x);
        if nan {
            return O::from_f32(f32::NAN);
        }
        if most.is_infinite() {
            return O::from_f32(most);
        }
        let part =
            |range| dispatch(isa, ExpSum { x: &x[range], shift: most, scale: 1.0, least: f32::NEG_INFINITY });
        let sum = fold_parts(x.len(), 4, 0.0, &part, |a, b| a + b);
        O::from_f32((f64::from(most) + sum.ln()) as f32)
    });
    Ok(())
}

/// How logits become weights: `exp(x / temperature)`, 0 for those below `least`.
#[derive(Clone, Copy, Debug)]
pub struct Weighing {
    /// Above 0, and finite.
    pub temperature: f32,
    /// The smallest logit that counts, such as a [`top_k_threshold`]; −∞ for none.
    pub least: f32,
}

impl Weighing {
    /// The largest logit and the factor for differences from it.
    fn start(&self, isa: Isa, kernel: &'static str, x: &[f32]) -> Result<(f32, f32)> {
        let temperature = self.temperature;
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::operand(
                kernel,
                format!("expected a temperature above 0, found {temperature}"),
            ));
        }
        let (most, nan) = row_max(isa, x);
        if nan || !most.is_finite() || most.partial_cmp(&self.least).is_none_or(std::cmp::Ordering::is_lt) {
            let found = if nan { f32::NAN } else { most };
            let message =
                format!("expected numbers, the largest finite and {} or more, found {found}", self.least);
            return Err(Error::operand(kernel, message));
        }
        // With the largest factor, a logit that differs at all has no weight.
        Ok((most, (1.0 / temperature).min(f32::MAX)))
    }
}

/// Elements of which the draw keeps the sum of the weights.
const DRAW: usize = 512;

/// `DRAW` elements at a time, the sums of their weights.
struct Sums<'a> {
    x: &'a [f32],
    shift: f32,
    scale: f32,
    least: f32,
    out: &'a mut [f32],
}

impl Kernel for Sums<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, shift, scale, least, out } = self;
        for (part, out) in x.chunks(DRAW).zip(out) {
            let (x, n) = (part.as_ptr(), part.len());
            *out = total!(s: S, n, |i, m, sum| {
                // SAFETY: the slice has as many elements as it says.
                let v = unsafe { padded(s, x.add(i), m) };
                s.add(sum, weight(s, v, shift, scale, least))
            });
        }
    }
}

/// The weights themselves.
struct Weights<'a> {
    x: &'a [f32],
    shift: f32,
    scale: f32,
    least: f32,
    out: &'a mut [f32],
}

impl Kernel for Weights<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, shift, scale, least, out } = self;
        let n = x.len().min(out.len());
        each!(S, n, |i, m| {
            // SAFETY: both slices have `i + m` elements.
            unsafe {
                let v = simd::load(s, x.as_ptr().add(i), m);
                simd::store(s, out.as_mut_ptr().add(i), weight(s, v, shift, scale, least), m);
            }
        });
    }
}

/// Draws an index with a probability in proportion to its weight: the first at which the running sum of the weights is
/// more than `uniform` of their total.
///
/// The same numbers give the same index on every run, whatever the number of threads. What has no weight is not drawn.
///
/// # Errors
/// [`Error::Operand`] when a logit is NaN, when none is finite and at least `least`, or when `uniform` is not in `[0, 1)`.
pub fn sample_categorical(isa: Isa, logits: &[f32], weighing: &Weighing, uniform: f32) -> Result<usize> {
    const KERNEL: &str = "sample_categorical";
    if !(0.0..1.0).contains(&uniform) {
        return Err(Error::operand(KERNEL, format!("expected a number in [0, 1), found {uniform}")));
    }
    let (shift, scale) = weighing.start(isa, KERNEL, logits)?;
    let least = weighing.least;
    let count = logits.len().div_ceil(DRAW);
    let mut sums = vec![0f32; count];
    share_slice(&mut sums, 4 * DRAW, &|start, out| {
        dispatch(isa, Sums { x: &logits[start * DRAW..], shift, scale, least, out });
    });
    let total: f64 = sums.iter().map(|&sum| f64::from(sum)).sum();
    let mut target = f64::from(uniform) * total;
    let mut chosen = 0;
    for (block, &sum) in sums.iter().enumerate().filter(|(_, sum)| **sum > 0.0) {
        chosen = block;
        if target < f64::from(sum) {
            break;
        }
        target -= f64::from(sum);
    }
    let x = &logits[chosen * DRAW..logits.len().min((chosen + 1) * DRAW)];
    let mut weights = [0f32; DRAW];
    dispatch(isa, Weights { x, shift, scale, least, out: &mut weights });
    // The sum in another order may fall short of the target; then it is the last that has a weight.
    let mut within = 0;
    for (i, &weight) in weights[..x.len()].iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        within = i;
        if target < f64::from(weight) {
            break;
        }
        target -= f64::from(weight);
    }
    Ok(chosen * DRAW + within)
}

/// Elements of which the thresholds keep the largest.
const GROUP: usize = 64;

struct GroupMax<'a> {
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for GroupMax<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, out } = self;
        for (part, out) in x.chunks(GROUP).zip(out) {
            // SAFETY: the slice has as many elements as it says.
            *out = unsafe { largest(s, part.as_ptr(), part.len()) };
        }
    }
}

/// The largest of each [`GROUP`].
fn group_max(isa: Isa, x: &[f32]) -> Vec<f32> {
    let count = x.len().div_ceil(GROUP);
    let mut groups = vec![0f32; count];
    share_slice(&mut groups, GROUP, &|start, out| dispatch(isa, GroupMax { x: &x[start * GROUP..], out }));
    groups
}

/// The elements from `least` on, in their order, from the groups that have any.
fn collect(x: &[f32], groups: &[f32], least: f32) -> Vec<f32> {
    let mut found = vec![0f32; groups.iter().filter(|&&most| most >= least).count() * GROUP];
    let mut count = 0;
    for (part, _) in x.chunks(GROUP).zip(groups).filter(|&(_, &most)| most >= least) {
        for &x in part {
            found[count] = x;
            count += usize::from(x >= least);
        }
    }
    found.truncate(count);
    found
}

/// The `k`-th largest logit: keeping those from it on keeps `k`, and with them those that equal the last.
///
/// −∞ where there are no more than `k`, and ∞ for `k = 0`. A NaN counts as −∞.
#[must_use]
pub fn top_k_threshold(isa: Isa, logits: &[f32], k: usize) -> f32 {
    if k == 0 {
        return f32::INFINITY;
    }
    if k >= logits.len() {
        return f32::NEG_INFINITY;
    }
    // The k-th largest of the groups' largest is no larger than the k-th largest of all, so that only what is at least
    // as large need be looked at.
    let groups = group_max(isa, logits);
    if k <= groups.len() / 2 {
        let least = kth_largest(&mut groups.clone(), k);
        if least > f32::NEG_INFINITY {
            return kth_largest(&mut collect(logits, &groups, least), k);
        }
    }
    radix_select(logits, k)
}

/// The `k`-th largest of numbers that are not NaN, `1 ≤ k ≤ len`.
fn kth_largest(x: &mut [f32], k: usize) -> f32 {
    match k.checked_sub(1) {
        Some(k) if k < x.len() => *x.select_nth_unstable_by(k, |a, b| b.total_cmp(a)).1,
        _ => f32::NEG_INFINITY,
    }
}

/// A number that is the larger, the larger `x` is; NaN counts as −∞, and −0 as 0.
#[inline(always)]
fn key(x: f32) -> u32 {
    let x = if x.is_nan() { f32::NEG_INFINITY } else { x + 0.0 };
    let bits = x.to_bits();
    bits ^ (0x8000_0000 | ((bits.cast_signed() >> 31).cast_unsigned() & 0x7fff_ffff))
}

fn unkey(key: u32) -> f32 {
    f32::from_bits(if key & 0x8000_0000 != 0 { key ^ 0x8000_0000 } else { !key })
}

/// The `k`-th largest by the digits of the keys, `1 ≤ k ≤ len`.
fn radix_select(x: &[f32], mut k: usize) -> f32 {
    const DIGITS: [(u32, usize); 3] = [(21, 1 << 11), (10, 1 << 11), (0, 1 << 10)];
    let mut keys: Vec<u32> = x.iter().map(|&x| key(x)).collect();
    for (shift, size) in DIGITS {
        // Four counts, so that equal neighbours do not wait for each other.
        let mut counts = vec![[0u32; 4]; size];
        let mask = (size - 1) as u32;
        for (i, key) in keys.iter().enumerate() {
            counts[((key >> shift) & mask) as usize][i & 3] += 1;
        }
        let mut digit = mask;
        for (value, counts) in counts.iter().enumerate().rev() {
            let here = counts.iter().sum::<u32>() as usize;
            if k <= here {
                digit = value as u32;
                break;
            }
            k -= here;
        }
        keys.retain(|key| (key >> shift) & mask == digit);
        if let [only] = keys[..] {
            return unkey(only);
        }
    }
    keys.first().map_or(f32::NEG_INFINITY, |&key| unkey(key))
}

/// How far below the largest the cuts of the first look are, in units of the temperature. Below the last, weights are 0.
const CUTS: [f32; 8] = [1.0, 2.0, 4.0, 6.0, 8.0, 11.0, 15.0, 88.0];

/// The sums of the weights of what is at least as large as each cut. The last cut is the lowest.
struct CutSums<'a> {
    x: &'a [f32],
    shift: f32,
    scale: f32,
    cuts: [f32; 8],
}

impl Kernel for CutSums<'_> {
    type Output = [f64; 8];
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f64; 8] {
        let Self { x, shift, scale, cuts } = self;
        let mut sums = [0f64; 8];
        let zero = s.splat(0.0);
        for part in x.chunks(BLOCK) {
            let mut here = [zero; 8];
            each!(S, part.len(), |i, m| {
                // SAFETY: the slice has as many elements as it says.
                let v = unsafe { padded(s, part.as_ptr().add(i), m) };
                let w = weight(s, v, shift, scale, cuts[7]);
                here[7] = s.add(here[7], w);
                for j in 0..7 {
                    here[j] = s.add(here[j], s.where_lt(v, s.splat(cuts[j]), zero, w));
                }
            });
            for (sum, here) in sums.iter_mut().zip(here) {
                *sum += f64::from(s.sum(here));
            }
        }
        sums
    }
}

/// The smallest logit of the nucleus: of the fewest largest logits of which the weights make up `p` of the total.
///
/// Those that equal the last are to be kept with it. For `p = 0` it is the largest logit; for `p ≥ 1`, `least`. Sums of
/// weights are rounded, and so the nucleus may differ by a logit from that of exact arithmetic; it is the same on every
/// run.
///
/// # Errors
/// [`Error::Operand`] when a logit is NaN, when none is finite and at least `least`, or when `p` is below 0.
pub fn top_p_threshold(isa: Isa, logits: &[f32], weighing: &Weighing, p: f32) -> Result<f32> {
    /// The most elements that are sorted, unless more are nearly alike.
    const SORTED: f64 = 2048.0;
    const KERNEL: &str = "top_p_threshold";
    if p.partial_cmp(&0.0).is_none_or(std::cmp::Ordering::is_lt) {
        return Err(Error::operand(KERNEL, format!("expected a share from 0 to 1, found {p}")));
    }
    let (shift, scale) = weighing.start(isa, KERNEL, logits)?;
    if p >= 1.0 {
        return Ok(weighing.least);
    }
    let mut cuts = CUTS.map(|cut| (shift - cut / scale).max(weighing.least));
    // The last logit of the nucleus is from `low` on and below `high`; `above` are the weights from `high` on.
    let (mut low, mut high, mut above) = (cuts[7], f32::INFINITY, 0.0);
    let mut wanted = f64::INFINITY;
    for look in 0..4 {
        let part = |range| dispatch(isa, CutSums { x: &logits[range], shift, scale, cuts });
        let sums = fold_parts(logits.len(), 6, [0f64; 8], &part, |a, b| std::array::from_fn(|i| a[i] + b[i]));
        if look == 0 {
            wanted = f64::from(p) * sums[7];
        }
        let mut through = sums[7];
        for (cut, sum) in cuts.into_iter().zip(sums) {
            if sum >= wanted {
                (low, through) = (cut, sum);
                break;
            }
            (high, above) = (cut, sum);
        }
        // None of them weighs less than one at `low`.
        if through - above <= SORTED * f64::from((low - shift) * scale).exp() {
            break;
        }
        let top = high.min(shift);
        cuts = std::array::from_fn(|i| if i == 7 { low } else { top + (low - top) * ((i + 1) as f32 / 8.0) });
    }
    let groups = group_max(isa, logits);
    let mut inside = collect(logits, &groups, low);
    inside.retain(|&x| x < high);
    inside.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut weights = vec![0f32; inside.len()];
    dispatch(isa, Weights { x: &inside, shift, scale, least: low, out: &mut weights });
    let mut smallest = high.min(shift);
    for (x, weight) in inside.into_iter().zip(weights) {
        smallest = x;
        above += f64::from(weight);
        if above >= wanted {
            break;
        }
    }
    Ok(smallest)
}

#[cfg(test)]
mod tests;
