// SPDX-License-Identifier: EUPL-1.2
//! Rotary position embeddings, alone and after the norm of each head.
//!
//! The angle of pair `i` at position `p` is `p · scale · f_i` in float32, as it is in MLX; its sine and cosine are those of
//! the angle so rounded, for all of its size.

use std::cell::RefCell;

use crate::norm::{RmsNorm, inverse_rms, scale_row, with_weight};
use crate::rows::{share, share_slice};
use crate::simd::{self, Kernel, Simd, dispatch, each};
use crate::{Element, Error, Isa, Result};

/// The positions of the elements of `[B, H, L, E]` in a slice: batch, heads, positions, and the neighbours of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// `[B, H, L, E]`.
    pub shape: [usize; 4],
    /// How far it is to the next sequence, head and position, in elements.
    pub strides: [usize; 3],
}

impl Heads {
    /// `[B, H, L, E]` without gaps.
    #[must_use]
    pub const fn packed(shape: [usize; 4]) -> Self {
        let [_, h, l, e] = shape;
        Self { shape, strides: [h * l * e, l * e, e] }
    }

    /// `[B, H, L, E]` in rows `[B, L, H · E]`, as a projection writes them.
    #[must_use]
    pub const fn in_rows(shape: [usize; 4]) -> Self {
        let [_, h, l, e] = shape;
        Self { shape, strides: [h * l * e, e, h * e] }
    }

    fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }

    /// Checks that a slice of `len` elements has all of them.
    fn check(&self, kernel: &'static str, operand: &str, len: usize) -> Result<()> {
        let Self { shape, strides } = self;
        let mut needed = Some(shape[3]);
        for (&size, &stride) in shape.iter().zip(strides) {
            needed = needed.and_then(|n| size.saturating_sub(1).checked_mul(stride)?.checked_add(n));
        }
        if self.is_empty() || needed.is_some_and(|needed| needed <= len) {
            return Ok(());
        }
        let message = format!("{operand} of {shape:?} at strides of {strides:?} does not fit {len} elements");
        Err(Error::operand(kernel, message))
    }

    /// Checks that no element has two places.
    fn check_apart(&self, kernel: &'static str) -> Result<()> {
        let mut axes = [0, 1, 2].map(|axis| (self.strides[axis], self.shape[axis]));
        axes.sort_unstable();
        let mut extent = self.shape[3];
        for (stride, size) in axes {
            if size <= 1 {
                continue;
            }
            if stride < extent {
                let message = format!("heads of {:?} overlap at strides of {:?}", self.shape, self.strides);
                return Err(Error::operand(kernel, message));
            }
            extent += stride * (size - 1);
        }
        Ok(())
    }

    #[inline(always)]
    fn at(&self, b: usize, h: usize, l: usize) -> usize {
        b * self.strides[0] + h * self.strides[1] + l * self.strides[2]
    }
}

/// How fast each pair turns.
#[derive(Clone, Copy, Debug)]
pub enum Frequencies<'a> {
    /// `base^(−2i / dims)`.
    Base(f32),
    /// These, one for each pair.
    Inverse(&'a [f32]),
    /// The reciprocals of these, one for each pair: what MLX calls `freqs`.
    Periods(&'a [f32]),
}

/// What is turned, and how far.
#[derive(Clone, Copy, Debug)]
pub struct Rope<'a> {
    /// The first elements of a head, an even number, that turn; the others stay.
    pub dims: usize,
    /// Whether a pair is two neighbours; else it is an element and the one `dims / 2` after it.
    pub traditional: bool,
    /// How fast each pair turns.
    pub frequencies: Frequencies<'a>,
    /// A factor of the position.
    pub scale: f32,
    /// A factor of what turns, as YaRN has one; 1 for none.
    pub magnitude: f32,
    /// Whether to turn back: the gradient of the turn.
    pub inverse: bool,
}

impl Rope<'_> {
    fn check(&self, kernel: &'static str, heads: &Heads, offsets: &[i32]) -> Result<()> {
        let &Self { dims, frequencies, .. } = self;
        let [batch, _, len, width] = heads.shape;
        if dims == 0 || dims % 2 != 0 || dims > width {
            let message = format!("expected an even number from 2 to {width} in dims, found {dims}");
            return Err(Error::operand(kernel, message));
        }
        if let Frequencies::Inverse(list) | Frequencies::Periods(list) = frequencies
            && list.len() != dims / 2
        {
            let message = format!("expected {} frequencies, found {}", dims / 2, list.len());
            return Err(Error::operand(kernel, message));
        }
        if offsets.len() != 1 && offsets.len() != batch {
            let message =
                format!("expected an offset, or one for each of {batch} sequences, found {}", offsets.len());
            return Err(Error::operand(kernel, message));
        }
        let last = i64::try_from(len).unwrap_or(i64::MAX);
        if offsets.iter().any(|&offset| i64::from(offset).saturating_add(last) > i64::from(i32::MAX)) {
            return Err(Error::operand(
                kernel,
                format!("expected positions below 2³¹, found {len} from {offsets:?}"),
            ));
        }
        Ok(())
    }

    /// One frequency for each pair.
    #[expect(clippy::cast_possible_truncation, reason = "rounded to the precision of MLX")]
    fn frequencies(&self) -> Vec<f32> {
        match self.frequencies {
            Frequencies::Base(base) => (0..self.dims / 2)
                .map(|i| f64::from(base).powf(-((2 * i) as f64) / self.dims as f64) as f32)
                .collect(),
            Frequencies::Inverse(list) => list.to_vec(),
            Frequencies::Periods(list) => list.iter().map(|period| 1.0 / period).collect(),
        }
    }
}

/// Turns the pairs of each head by the angles of its position: `offset + l`, with one offset for all sequences or one for
/// each.
///
/// # Errors
/// [`Error::Operand`] when the operands do not fit each other, or the heads of `out` overlap.
pub fn rope<T: Element>(
    isa: Isa,
    x: &[T],
    from: &Heads,
    rope: &Rope<'_>,
    offsets: &[i32],
    out: &mut [T],
    to: &Heads,
) -> Result<()> {
    turn(isa, "rope", x, from, None, rope, offsets, out, to)
}

/// The RMS norm of each head, rounded, and then [`rope`].
///
/// # Errors
/// [`Error::Operand`] when the operands do not fit each other, or the heads of `out` overlap.
pub fn norm_rope<T: Element>(
    isa: Isa,
    x: &[T],
    from: &Heads,
    norm: &RmsNorm<'_>,
    rope: &Rope<'_>,
    offsets: &[i32],
    out: &mut [T],
    to: &Heads,
) -> Result<()> {
    turn(isa, "norm_rope", x, from, Some(norm), rope, offsets, out, to)
}

fn turn<T: Element>(
    isa: Isa,
    kernel: &'static str,
    x: &[T],
    from: &Heads,
    norm: Option<&RmsNorm<'_>>,
    rope: &Rope<'_>,
    offsets: &[i32],
    out: &mut [T],
    to: &Heads,
) -> Result<()> {
    if from.shape != to.shape {
        return Err(Error::operand(
            kernel,
            format!("expected {:?} in out, found {:?}", from.shape, to.shape),
        ));
    }
    from.check(kernel, "x", x.len())?;
    to.check(kernel, "out", out.len())?;
    to.check_apart(kernel)?;
    rope.check(kernel, from, offsets)?;
    if let Some(weight) = norm.and_then(|norm| norm.weight) {
        crate::rows::length(kernel, "weight", from.shape[3], weight.len())?;
    }
    if from.is_empty() {
        return Ok(());
    }
    let [batch, heads, len, width] = from.shape;
    let out = Shared(out.as_mut_ptr());
    with_weight(isa, norm.and_then(|norm| norm.weight), norm.map_or(0.0, |norm| norm.offset), |w| {
        with_table(isa, rope, offsets, len, |table| {
            let norm = norm.map(|norm| (w, norm.eps));
            let cost = heads * width * if norm.is_some() { 3 } else { 2 };
            share(batch * len, cost, &|rows| {
                let (traditional, dims) = (rope.traditional, rope.dims);
                let tables = offsets.len();
                dispatch(isa, Turn { x, from, to, norm, table, tables, traditional, dims, out: &out, rows });
            });
        });
    });
    Ok(())
}

/// A pointer that tasks share, each for elements of its own.
struct Shared<T>(*mut T);
// SAFETY: whoever writes through it sees to it that no two threads have an element.
unsafe impl<T: Send> Sync for Shared<T> {}

struct Turn<'a, T> {
    x: &'a [T],
    from: &'a Heads,
    to: &'a Heads,
    /// The weight and the epsilon of a norm that comes first.
    norm: Option<(Option<&'a [f32]>, f32)>,
    table: &'a [f32],
    tables: usize,
    traditional: bool,
    dims: usize,
    out: &'a Shared<T>,
    /// Of `B · L`.
    rows: std::ops::Range<usize>,
}

impl<T: Element> Kernel for Turn<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, from, to, norm, table, tables, traditional, dims, out, rows } = self;
        /// Heads of which the norms are computed together.
        const GROUP: usize = 32;
        let [_, heads, len, width] = from.shape;
        let mut scales = [0f32; GROUP];
        for row in rows {
            let (b, l) = (row / len, row % len);
            let size = if traditional { 2 * dims } else { dims };
            let angles = (if tables == 1 { l } else { row }) * size;
            let cos = table[angles..angles + size].as_ptr();
            for h in 0..heads {
                if norm.is_some() && h % GROUP == 0 {
                    // Ahead of the heads, because each waits for its own long.
                    for (ahead, scale) in (h..heads).zip(&mut scales) {
                        let eps = norm.map_or(0.0, |(_, eps)| eps);
                        // SAFETY: the caller checked that `x` holds a head of `width` elements for each index.
                        *scale = unsafe { inverse_rms(s, x.as_ptr().add(from.at(b, ahead, l)), width, eps) };
                    }
                }
                // SAFETY: the caller checked that both slices hold a head of `width` elements for each index, and that
                // those of `out` are apart; no other task has this row. The table has `size` elements from `cos`, and the
                // weight `width`.
                unsafe {
                    let (x, out) = (x.as_ptr().add(from.at(b, h, l)), out.0.add(to.at(b, h, l)));
                    let x = match norm {
                        Some((w, _)) => {
                            scale_row(s, x, scales[h % GROUP], w.map(<[f32]>::as_ptr), out, width);
                            out.cast_const()
                        }
                        None => {
                            std::ptr::copy_nonoverlapping(x.add(dims), out.add(dims), width - dims);
                            x
                        }
                    };
                    match traditional {
                        false => turn_halves(s, x, cos, cos.add(dims / 2), dims / 2, out),
                        true => turn_neighbours(s, x, cos, cos.add(dims), dims, out),
                    }
                }
            }
        }
    }
}

/// Turns pairs `(x[i], x[i + half])`; `x` may be `out`.
///
/// # Safety
/// `x` and `out` have `2 half` elements, `cos` and `sin` `half`.
#[inline(always)]
unsafe fn turn_halves<S: Simd, T: Element>(
    s: S,
    x: *const T,
    cos: *const f32,
    sin: *const f32,
    half: usize,
    out: *mut T,
) {
    each!(S, half, |i, m| {
        // SAFETY: the caller's, as `i + m ≤ half`. Each element is read before it is written.
        unsafe {
            let (c, d) = (simd::load(s, cos.add(i), m), simd::load(s, sin.add(i), m));
            let (a, b) = (simd::load(s, x.add(i), m), simd::load(s, x.add(half + i), m));
            simd::store(s, out.add(i), s.sub(s.mul(a, c), s.mul(b, d)), m);
            simd::store(s, out.add(half + i), s.add(s.mul(b, c), s.mul(a, d)), m);
        }
    });
}

/// Turns pairs `(x[2i], x[2i + 1])`; `x` may be `out`. There is a cosine for each element, and a sine: of the first of a
/// pair it is that of the angle back.
///
/// # Safety
/// All have `dims` elements.
#[inline(always)]
unsafe fn turn_neighbours<S: Simd, T: Element>(
    s: S,
    x: *const T,
    cos: *const f32,
    sin: *const f32,
    dims: usize,
    out: *mut T,
) {
    each!(S, dims, |i, m| {
        // SAFETY: the caller's, as `i + m ≤ dims`.
        unsafe {
            let (c, d) = (simd::load(s, cos.add(i), m), simd::load(s, sin.add(i), m));
            let v = simd::load(s, x.add(i), m);
            simd::store(s, out.add(i), s.add(s.mul(v, c), s.mul(s.swap_pairs(v), d)), m);
        }
    });
}

/// What a table is made of.
#[derive(Clone, PartialEq)]
struct Key {
    offsets: Vec<i32>,
    len: usize,
    /// The frequencies, scale and magnitude, as bits.
    numbers: Vec<u32>,
    inverse: bool,
}

impl Key {
    fn is(&self, rope: &Rope<'_>, offsets: &[i32], len: usize) -> bool {
        let pairs = rope.dims / 2;
        let Some((head, list)) = self.numbers.split_at_checked(4) else { return false };
        self.len == len
            && self.inverse == rope.inverse
            && self.offsets == offsets
            && head == Self::head(rope)
            && match rope.frequencies {
                Frequencies::Base(_) => list.len() == pairs,
                Frequencies::Inverse(given) | Frequencies::Periods(given) => {
                    list.len() == given.len() && list.iter().zip(given).all(|(a, b)| *a == b.to_bits())
                }
            }
    }

    fn head(rope: &Rope<'_>) -> [u32; 4] {
        let (kind, base) = match rope.frequencies {
            Frequencies::Base(base) => (0, base.to_bits()),
            Frequencies::Inverse(_) => (1, 0),
            Frequencies::Periods(_) => (2, 0),
        };
        [kind | u32::from(rope.traditional) << 8, base, rope.scale.to_bits(), rope.magnitude.to_bits()]
    }

    fn new(rope: &Rope<'_>, offsets: &[i32], len: usize) -> Self {
        let mut numbers = Self::head(rope).to_vec();
        match rope.frequencies {
            Frequencies::Base(_) => numbers.resize(4 + rope.dims / 2, 0),
            Frequencies::Inverse(list) | Frequencies::Periods(list) => {
                numbers.extend(list.iter().map(|x| x.to_bits()))
            }
        }
        Self { offsets: offsets.to_vec(), len, numbers, inverse: rope.inverse }
    }
}

/// The layers of a model that are alike share a table; those of Gemma are of two kinds, and queries and keys come in turn.
const KEPT: usize = 4;
/// The largest table that is kept, in elements.
const LARGEST_KEPT: usize = 1 << 20;

thread_local!(static TABLES: RefCell<Vec<(Key, Vec<f32>)>> = const { RefCell::new(Vec::new()) });

/// Lends `body` the cosines and then the sines of each position of each offset: `[offsets, len, 2, dims / 2]`, or for
/// pairs of neighbours `[offsets, len, 2, dims]`.
fn with_table<R>(
    isa: Isa,
    rope: &Rope<'_>,
    offsets: &[i32],
    len: usize,
    body: impl FnOnce(&[f32]) -> R,
) -> R {
    // Taken out while it is in use, so that nothing is borrowed when other kernels run.
    let kept = TABLES.with_borrow_mut(|tables| {
        let found = tables.iter().position(|(key, _)| key.is(rope, offsets, len))?;
        Some(tables.remove(found))
    });
    let (key, table) = kept.unwrap_or_else(|| {
        let mut table = vec![0f32; offsets.len() * len * rope.dims];
        fill(isa, rope, offsets, len, &mut table);
        if rope.traditional {
            table = for_neighbours(&table, rope.dims);
        }
        (Key::new(rope, offsets, len), table)
    });
    let result = body(&table);
    if table.len() <= LARGEST_KEPT {
        TABLES.with_borrow_mut(|tables| {
            tables.truncate(KEPT - 1);
            tables.insert(0, (key, table));
        });
    }
    result
}

/// The table with what each element of a pair needs in its place.
fn for_neighbours(table: &[f32], dims: usize) -> Vec<f32> {
    let mut wide = Vec::with_capacity(2 * table.len());
    for row in table.chunks_exact(dims) {
        let (cos, sin) = row.split_at(dims / 2);
        wide.extend(cos.iter().flat_map(|&cos| [cos, cos]));
        wide.extend(sin.iter().flat_map(|&sin| [-sin, sin]));
    }
    wide
}

fn fill(isa: Isa, rope: &Rope<'_>, offsets: &[i32], len: usize, table: &mut [f32]) {
    let frequencies = &rope.frequencies();
    let (magnitude, inverse) = (rope.magnitude, rope.inverse);
    let mut rows: Vec<&mut [f32]> = table.chunks_exact_mut(rope.dims).collect();
    share_slice(&mut rows, 4 * rope.dims, &|start, rows| {
        for (row, angles) in (start..).zip(rows) {
            let position = i64::from(offsets[row / len]) + (row % len) as i64;
            let (cos, sin) = angles.split_at_mut(rope.dims / 2);
            let position = position as f32 * rope.scale;
            dispatch(isa, Angles { position, frequencies, magnitude, inverse, cos, sin });
        }
    });
}

/// The cosines and sines of a position.
struct Angles<'a> {
    position: f32,
    frequencies: &'a [f32],
    magnitude: f32,
    inverse: bool,
    cos: &'a mut [f32],
    sin: &'a mut [f32],
}

impl Kernel for Angles<'_> {
    type Output = ();
    /// Plain arithmetic in double precision, for the compiler to make vectors of: the same bits in every instruction set.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { position, frequencies, magnitude, inverse, cos, sin } = self;
        let mut far = false;
        let sign = if inverse { -magnitude } else { magnitude };
        for ((c, d), f) in cos.iter_mut().zip(&mut *sin).zip(frequencies) {
            let angle = position * f;
            far |= angle.abs().partial_cmp(&FAR).is_none_or(std::cmp::Ordering::is_ge);
            let (sine, cosine) = sin_cos(angle);
            *c = cosine * magnitude;
            *d = sine * sign;
        }
        if far {
            for ((c, d), f) in cos.iter_mut().zip(sin).zip(frequencies) {
                let (sine, cosine) = f64::from(position * f).sin_cos();
                *c = cosine as f32 * magnitude;
                *d = sine as f32 * sign;
            }
        }
    }
}

/// From this angle on the reduction is left to the standard library.
const FAR: f32 = 1e8;

/// The sine and cosine of an angle below [`FAR`], rounded from double precision.
#[inline(always)]
fn sin_cos(angle: f32) -> (f32, f32) {
    // π/2 in two parts, the first of 33 bits, so that its products with whole numbers below 2²⁰ are exact; above, the
    // error stays far below a float32's.
    const HIGH: f64 = 1.570_796_326_734_125_6;
    const LOW: f64 = 6.077_100_506_506_192e-11;
    // Adding 1.5 · 2⁵² leaves no bits for a fraction, and the lowest bits of the sum are those of the whole number.
    const SHIFT: f64 = 6_755_399_441_055_744.0;
    let x = f64::from(angle);
    let shifted = x * std::f64::consts::FRAC_2_PI + SHIFT;
    let quadrant = shifted.to_bits();
    let n = shifted - SHIFT;
    let r = (x - n * HIGH) - n * LOW;
    let z = r * r;
    // Taylor's series up to π/4: the first terms left out are below 10⁻¹¹.
    let sine = r + r
        * z
        * (-1.0 / 6.0 + z * (1.0 / 120.0 + z * (-1.0 / 5040.0 + z * (1.0 / 362_880.0 - z / 39_916_800.0))));
    let cosine = 1.0
        + z * (-0.5
            + z * (1.0 / 24.0
                + z * (-1.0 / 720.0 + z * (1.0 / 40_320.0 - z * (1.0 / 3_628_800.0 - z / 479_001_600.0)))));
    let odd = quadrant & 1 != 0;
    let (a, b) = if odd { (cosine, sine) } else { (sine, cosine) };
    // The sine changes its sign in the quadrants 2 and 3, the cosine in 1 and 2.
    let sine = f64::from_bits(a.to_bits() ^ ((quadrant & 2) << 62));
    let cosine = f64::from_bits(b.to_bits() ^ ((quadrant.wrapping_add(1) & 2) << 62));
    (sine as f32, cosine as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::bf16;

    use crate::norm::{Weight, rms_norm};
    use crate::testing::{Random, bits, close, everywhere};
    use crate::{Rows, RowsMut};

    fn plain(dims: usize) -> Rope<'static> {
        let frequencies = Frequencies::Base(1e6);
        Rope { dims, traditional: false, frequencies, scale: 1.0, magnitude: 1.0, inverse: false }
    }

    /// The turned value of element `i` of a head.
    fn reference(head: &[f64], rope: &Rope<'_>, position: i32, i: usize) -> f64 {
        if i >= rope.dims {
            return head[i];
        }
        let half = rope.dims / 2;
        let (pair, first, second) = match rope.traditional {
            true => (i / 2, i & !1, i | 1),
            false => (i % half, i % half, i % half + half),
        };
        let angle = f64::from(position as f32 * rope.scale * rope.frequencies()[pair]);
        let (sin, cos) = if rope.inverse { (-angle).sin_cos() } else { angle.sin_cos() };
        let (a, b) = (head[first], head[second]);
        f64::from(rope.magnitude) * if i == first { a * cos - b * sin } else { b * cos + a * sin }
    }

    fn values<T: Element>(isa: Isa) {
        let random = &mut Random(4);
        let periods: Vec<f32> = (0..64).map(|i| 1.0 + i as f32).collect();
        for (dims, width) in
            [(2, 2), (2, 5), (6, 7), (30, 32), (32, 33), (34, 34), (62, 64), (128, 128), (100, 256)]
        {
            for (traditional, inverse, offsets) in [
                (false, false, vec![0]),
                (true, false, vec![5]),
                (false, true, vec![999_990, 17]),
                (true, true, vec![131_072, 1_000_000]),
            ] {
                let mut rope = Rope { traditional, inverse, scale: 0.25, magnitude: 1.5, ..plain(dims) };
                if dims == 62 {
                    rope.frequencies = Frequencies::Periods(&periods[..31]);
                }
                let shape = [2, 3, 4, width];
                let from = Heads { shape, strides: [12 * width + 9, width + 1, 3 * width + 3] };
                let to = Heads::packed(shape);
                let x: Vec<T> = random.vec(2 * (12 * width + 12), 1.0);
                let mut out = vec![T::ZERO; 24 * width];
                super::rope(isa, &x, &from, &rope, &offsets, &mut out, &to).unwrap();
                for (b, h, l) in (0..24).map(|i| (i / 12, i / 4 % 3, i % 4)) {
                    let head: Vec<f64> =
                        x[from.at(b, h, l)..][..width].iter().map(|x| f64::from(x.to_f32())).collect();
                    let position = offsets[b % offsets.len()] + l as i32;
                    for i in 0..width {
                        let expected = reference(&head, &rope, position, i);
                        let place = format!("{isa} {dims} of {width}, [{b}, {h}, {l}, {i}]");
                        close(out[to.at(b, h, l) + i], expected, 1e-6, 4e-7, &place);
                    }
                }
            }
        }
    }

    #[test]
    fn rope_turns_each_pair_by_its_angle() {
        everywhere!(values);
    }

    fn fused<T: Element>(isa: Isa) {
        let random = &mut Random(5);
        for (batch, heads, len, width, dims, traditional) in [
            (1, 16, 1, 128, 128, false),
            (2, 3, 40, 64, 32, true),
            (1, 4, 300, 256, 256, false),
            (1, 1, 3, 17, 16, false),
        ] {
            let shape = [batch, heads, len, width];
            let x: Vec<T> = random.vec(batch * heads * len * width, 2.0);
            let w: Vec<bf16> = random.vec(width, 1.0);
            let norm = RmsNorm { weight: Some(Weight::from(&w[..])), offset: 1.0, eps: 1e-6 };
            let (from, to) = (Heads::in_rows(shape), Heads::packed(shape));
            let rope = Rope { traditional, ..plain(dims) };
            let (mut fused, mut normed) = (vec![T::ZERO; x.len()], vec![T::ZERO; x.len()]);
            norm_rope(isa, &x, &from, &norm, &rope, &[7], &mut fused, &to).unwrap();
            let rows = Rows::packed(&x, width).unwrap();
            rms_norm(isa, rows, &norm, &mut RowsMut::packed(&mut normed, width).unwrap()).unwrap();
            let mut apart = vec![T::ZERO; x.len()];
            super::rope(isa, &normed, &from, &rope, &[7], &mut apart, &to).unwrap();
            assert_eq!(bits(&fused), bits(&apart));
        }
    }

    #[test]
    fn norm_and_rope_have_the_bits_of_the_separate_ones() {
        everywhere!(fused);
    }

    #[test]
    fn sines_are_those_of_the_angle_in_float32() {
        let random = &mut Random(6);
        for exponent in -30..27 {
            for _ in 0..2000 {
                let angle = random.number() * (exponent as f32).exp2();
                let (sin, cos) = sin_cos(angle);
                let (expected_sin, expected_cos) = f64::from(angle).sin_cos();
                assert!((f64::from(sin) - expected_sin).abs() < 3.1e-8 + 1e-8, "sin {angle}: {sin}");
                assert!((f64::from(cos) - expected_cos).abs() < 3.1e-8 + 1e-8, "cos {angle}: {cos}");
            }
        }
        for (offset, frequency) in [(1_000_000, 1e3f32), (3, f32::INFINITY), (1, f32::NAN)] {
            let inverse = [frequency];
            let rope = Rope { frequencies: Frequencies::Inverse(&inverse), ..plain(2) };
            let heads = Heads::packed([1, 1, 1, 2]);
            let mut out = [0f32; 2];
            super::rope(Isa::Portable, &[1.0, 0.0], &heads, &rope, &[offset], &mut out, &heads).unwrap();
            let (sin, cos) = f64::from(offset as f32 * frequency).sin_cos();
            close(out[0], cos, 0.0, 1e-7, "cos");
            close(out[1], sin, 0.0, 1e-7, "sin");
        }
    }

    #[test]
    fn tables_that_are_kept_are_those_of_their_arguments() {
        let heads = Heads::packed([2, 1, 2, 4]);
        let x: Vec<f32> = (0..16).map(|i| i as f32).collect();
        let inverse = [0.5f32, 0.25];
        let run = |rope: &Rope<'_>, offsets: &[i32]| {
            let mut out = vec![0f32; 16];
            super::rope(Isa::Portable, &x, &heads, rope, offsets, &mut out, &heads).unwrap();
            out
        };
        let mut ropes = vec![plain(4), plain(2)];
        ropes.push(Rope { frequencies: Frequencies::Inverse(&inverse), ..plain(4) });
        ropes.push(Rope { frequencies: Frequencies::Periods(&inverse), ..plain(4) });
        ropes.push(Rope { frequencies: Frequencies::Base(1e4), ..plain(4) });
        ropes.push(Rope { scale: 2.0, ..plain(4) });
        ropes.push(Rope { magnitude: 2.0, ..plain(4) });
        ropes.push(Rope { inverse: true, ..plain(4) });
        let mut seen: Vec<Vec<f32>> = Vec::new();
        for _ in 0..3 {
            let mut round = Vec::new();
            for rope in &ropes {
                for offsets in [&[3][..], &[4], &[3, 4]] {
                    round.push(run(rope, offsets));
                    assert_eq!(run(rope, offsets), *round.last().unwrap());
                }
            }
            for (i, a) in round.iter().enumerate() {
                assert!(round[..i].iter().all(|b| a != b), "{i} has the table of another");
            }
            assert!(seen.is_empty() || seen == round);
            seen = round;
        }
    }

    #[test]
    fn operands_that_do_not_fit_are_refused() {
        let (x, mut out) = ([0f32; 64], [0f32; 64]);
        let heads = Heads::packed([1, 2, 4, 8]);
        let isa = Isa::Portable;
        for dims in [0, 3, 10] {
            assert!(super::rope(isa, &x, &heads, &plain(dims), &[0], &mut out, &heads).is_err());
        }
        assert!(super::rope(isa, &x[1..], &heads, &plain(8), &[0], &mut out, &heads).is_err());
        assert!(super::rope(isa, &x, &heads, &plain(8), &[0], &mut out[1..], &heads).is_err());
        assert!(super::rope(isa, &x, &heads, &plain(8), &[0, 1], &mut out, &heads).is_err());
        assert!(super::rope(isa, &x, &heads, &plain(8), &[i32::MAX], &mut out, &heads).is_err());
        let overlapping = Heads { strides: [0, 8, 8], ..heads };
        assert!(super::rope(isa, &x, &heads, &plain(8), &[0], &mut out, &overlapping).is_err());
        let huge = Heads { shape: [2, 2, 2, 8], strides: [usize::MAX, 1, 1] };
        assert!(super::rope(isa, &x, &huge, &plain(8), &[0], &mut out, &Heads::packed(huge.shape)).is_err());
        assert!(super::rope(isa, &x, &overlapping, &plain(8), &[0], &mut out, &heads).is_ok());
    }
}
