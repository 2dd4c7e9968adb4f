// SPDX-License-Identifier: EUPL-1.2
//! Many rows: a block of [`BLOCK`] rows against tiles of keys.
//!
//! Rows lie along the vector, from the transposed queries to the transposed results. A product then takes keys as they
//! lie, one number for all rows, and the softmax goes down the vectors without a reduction across them:
//!
//! - `scores[key][row] = Σ_e k[key][e] · q[e][row]`
//! - `values[d][row] = Σ_key v[key][d] · weights[key][row]`
//!
//! An [`Engine`] says what is multiplied: float32 one by one, or bfloat16 in pairs.

#![expect(
    clippy::needless_range_loop,
    reason = "an index that is known names registers; an iterator may not"
)]

use std::marker::PhantomData;

use crate::simd::{Kernel, Scalar, Simd};

use super::{Attention, BLOCK, Part, Plan, Task, bias, dense, exp2};

/// Keys whose scores are held at a time.
pub(super) const TILE: usize = 128;

/// The right side of a product: word `(step, j)` lies `step · along + j · across` bytes from `p`.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    pub(super) p: *const u8,
    pub(super) along: usize,
    pub(super) across: usize,
}

/// How a block multiplies. Words are four bytes: a float32, or [`PAIR`](Self::PAIR) bfloat16 that follow each other along
/// the axis which is summed.
///
/// # Safety
/// Pointers hold what the arguments say.
pub(super) trait Engine<T>: Copy {
    type S: Simd;
    /// Elements in a word.
    const PAIR: usize;
    /// The most vectors of rows in a product.
    const VECTORS: usize;
    fn simd(self) -> Self::S;
    /// Transposes queries: `to[word][row]`, [`BLOCK`] rows, of which those that the task lacks are 0.
    unsafe fn queries(self, a: &Attention<'_, T>, task: &Task, to: *mut f32);
    /// Words of `n` keys for the product over `width`. `room` has `n · (width + 1)` words.
    unsafe fn keys(self, k: *const T, stride: usize, width: usize, n: usize, room: *mut f32) -> Matrix;
    /// Words of `n` values, for the product over `n`. `room` has `(n + 1) · (width + 32)` words.
    unsafe fn values(self, v: *const T, stride: usize, width: usize, n: usize, room: *mut f32) -> Matrix;
    /// Adds the product over `steps` words of `x`, `[step][row]`, and of `y` to `acc[j][vector]`.
    unsafe fn product<const V: usize, const N: usize>(
        self,
        acc: &mut [[<Self::S as Simd>::V; V]; N],
        x: *const f32,
        y: Matrix,
        steps: usize,
    );
    /// Makes words of weights from a vector of `n` scores each, in place, and returns their sum.
    unsafe fn weights(self, scores: *mut f32, n: usize, max: <Self::S as Simd>::V) -> <Self::S as Simd>::V;
    /// Transposes the results: `[width][BLOCK]` to `[rows][width]`.
    unsafe fn results(self, from: *const f32, rows: usize, width: usize, to: *mut f32);
    /// Asks for the memory of `n` rows, if the engine knows how to.
    #[inline(always)]
    unsafe fn fetch(self, _p: *const T, _stride: usize, _width: usize, _n: usize) {}
    /// Adds the transpose of a mask, `[rows][TILE]`, to the scores of `n` keys, `[n][BLOCK]`.
    unsafe fn add(self, masks: *const f32, rows: usize, n: usize, scores: *mut f32);
}

/// Products in float32 with any instruction set.
pub(super) struct Plain<S, T>(S, PhantomData<T>);
impl<S: Copy, T> Clone for Plain<S, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<S: Copy, T> Copy for Plain<S, T> {}

impl<S: Simd, T: Scalar> Plain<S, T> {
    /// `n` rows as float32: as they lie if they are, else converted in `room`.
    #[inline(always)]
    unsafe fn rows(
        self,
        x: *const T,
        stride: usize,
        width: usize,
        n: usize,
        room: *mut f32,
    ) -> (*const u8, usize) {
        if std::any::TypeId::of::<T>() == std::any::TypeId::of::<f32>() {
            return (x.cast(), stride * 4);
        }
        let s = self.0;
        for i in 0..n {
            let mut e = 0;
            while e < width {
                let m = S::LANES.min(width - e);
                // SAFETY: the caller's.
                unsafe { s.store_n(room.add(i * width + e), T::load_n(s, x.add(i * stride + e), m), m) }
                e += m;
            }
        }
        (room.cast_const().cast(), width * 4)
    }
}

impl<S: Simd, T: Scalar> Engine<T> for Plain<S, T> {
    type S = S;
    const PAIR: usize = 1;
    // With 16 registers of vectors, two by six leave room for the operands; with 32, four by six do.
    const VECTORS: usize = if S::LANES == 16 || cfg!(target_arch = "aarch64") { 4 } else { 2 };

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    unsafe fn queries(self, a: &Attention<'_, T>, task: &Task, to: *mut f32) {
        for r in 0..BLOCK {
            // SAFETY: the caller's.
            unsafe {
                if r < task.rows {
                    let q = query(a, task, r);
                    for e in 0..a.width {
                        *to.add(e * BLOCK + r) = (*q.add(e)).to_f32();
                    }
                } else {
                    for e in 0..a.width {
                        *to.add(e * BLOCK + r) = 0.0;
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn keys(self, k: *const T, stride: usize, width: usize, n: usize, room: *mut f32) -> Matrix {
        // SAFETY: the caller's.
        let (p, across) = unsafe { self.rows(k, stride, width, n, room) };
        Matrix { p, along: 4, across }
    }

    #[inline(always)]
    unsafe fn values(self, v: *const T, stride: usize, width: usize, n: usize, room: *mut f32) -> Matrix {
        // SAFETY: the caller's.
        let (p, along) = unsafe { self.rows(v, stride, width, n, room) };
        Matrix { p, along, across: 4 }
    }

    #[inline(always)]
    unsafe fn product<const V: usize, const N: usize>(
        self,
        acc: &mut [[S::V; V]; N],
        x: *const f32,
        y: Matrix,
        steps: usize,
    ) {
        let s = self.0;
        let mut sums = *acc;
        for i in 0..steps {
            // SAFETY: the caller's.
            unsafe {
                let mut xs = [s.splat(0.0); V];
                for v in 0..V {
                    xs[v] = s.load(x.add(i * BLOCK + v * S::LANES));
                }
                for j in 0..N {
                    let y = s.splat(y.p.add(i * y.along + j * y.across).cast::<f32>().read_unaligned());
                    for v in 0..V {
                        sums[j][v] = s.fma(xs[v], y, sums[j][v]);
                    }
                }
            }
        }
        *acc = sums;
    }

    #[inline(always)]
    unsafe fn weights(self, scores: *mut f32, n: usize, max: S::V) -> S::V {
        let s = self.0;
        let mut sum = s.splat(0.0);
        for i in 0..n {
            // SAFETY: the caller's.
            unsafe {
                let p = exp2(s, s.sub(s.load(scores.add(i * BLOCK)), max));
                s.store(scores.add(i * BLOCK), p);
                sum = s.add(sum, p);
            }
        }
        sum
    }

    #[inline(always)]
    unsafe fn results(self, from: *const f32, rows: usize, width: usize, to: *mut f32) {
        for r in 0..rows {
            for d in 0..width {
                // SAFETY: the caller's.
                unsafe { *to.add(r * width + d) = *from.add(d * BLOCK + r) }
            }
        }
    }

    #[inline(always)]
    unsafe fn add(self, masks: *const f32, rows: usize, n: usize, scores: *mut f32) {
        for r in 0..rows {
            for i in 0..n {
                // SAFETY: the caller's.
                unsafe { *scores.add(i * BLOCK + r) += *masks.add(r * TILE + i) }
            }
        }
    }
}

/// Where row `r` of a task has its query.
#[inline(always)]
pub(super) unsafe fn query<T>(a: &Attention<'_, T>, task: &Task, r: usize) -> *const T {
    let (head, l) = a.row(task.row + r);
    let [sb, sh, sl] = a.q.strides;
    // SAFETY: the operands were checked.
    unsafe {
        a.q.data.as_ptr().add(task.batch * sb + (task.kv_head * (a.heads / a.kv_heads) + head) * sh + l * sl)
    }
}

/// A task with up to [`BLOCK`] rows.
pub(super) struct Prefill<'a, T> {
    pub(super) a: &'a Attention<'a, T>,
    pub(super) plan: &'a Plan,
    pub(super) task: &'a Task,
    pub(super) part: Part,
    /// As much as [`room`] says.
    pub(super) room: *mut f32,
}

impl<T: Scalar> Kernel for Prefill<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: whoever made this has checked the operands, and the part has room for the rows.
        unsafe { block(Plain(s, PhantomData), self.a, self.plan, self.task, self.part, self.room) }
    }
}

/// The parts of the scratch of a task: queries, scores, sums, keys, values, the state of the rows,
/// and the mask.
fn sizes(width: usize, values: usize, dense: bool) -> [usize; 7] {
    [
        width * BLOCK,
        (TILE + 1) * BLOCK,
        values * BLOCK,
        TILE * (width + 1),
        (TILE + 1) * (values + 32),
        5 * BLOCK,
        if dense { BLOCK * TILE } else { 0 },
    ]
    .map(|n| n.next_multiple_of(16))
}

/// How much scratch a task needs.
pub(super) fn room<T>(a: &Attention<'_, T>) -> usize {
    sizes(a.width, a.value_width, dense(a)).iter().sum()
}

/// Does a task.
///
/// # Safety
/// The operands were checked, `part` has room for the rows, and `room` is as [`room`] says.
#[inline(always)]
pub(super) unsafe fn block<T: Scalar, E: Engine<T>>(
    engine: E,
    a: &Attention<'_, T>,
    plan: &Plan,
    task: &Task,
    part: Part,
    room: *mut f32,
) {
    let s = engine.simd();
    let lanes = <E::S as Simd>::LANES;
    let (width, values) = (a.width, a.value_width);
    let words = width.div_ceil(E::PAIR);
    let mut at = room;
    let [queries, scores, sums, key_room, value_room, state, masks] =
        sizes(width, values, dense(a)).map(|n| {
            let p = at;
            at = at.wrapping_add(n);
            p
        });
    // SAFETY: the operands were checked, and scratch has room for a block and a tile.
    unsafe {
        let [max, sum, scale, low, end] = [0, 1, 2, 3, 4].map(|i| state.add(i * BLOCK));
        engine.queries(a, task, queries);
        for r in 0..BLOCK {
            let row = r.min(task.rows - 1);
            (*max.add(r), *sum.add(r)) = Part::start(a, task, task.row + row, plan.first);
        }
        std::slice::from_raw_parts_mut(sums, values * BLOCK).fill(0.0);
        let used = task.rows.next_multiple_of(lanes);
        let seen = |r| a.visible(a.row(task.row + r).1);
        let ((first_low, first_end), (last_low, last_end)) = (seen(0), seen(task.rows - 1));
        let (mut first, stop) = (task.first.max(first_low), task.end.min(last_end));
        let factor = s.splat(a.scale * std::f32::consts::LOG2_E);
        let k = a.k.data.as_ptr().add(task.batch * a.k.strides[0] + task.kv_head * a.k.strides[1]);
        let v = a.v.data.as_ptr().add(task.batch * a.v.strides[0] + task.kv_head * a.v.strides[1]);
        let (ks, vs) = (a.k.strides[2], a.v.strides[2]);
        while first < stop {
            let n = TILE.min(stop - first);
            // With few rows, memory is too slow for the products.
            let fetch = used <= 2 * lanes;
            if fetch {
                engine.fetch(v.add(first * vs), vs, values, n);
            }
            let matrix = engine.keys(k.add(first * ks), ks, width, n, key_room);
            let mut row = 0;
            while row < used {
                let vectors = (used - row) / lanes;
                let (q, to) = (queries.add(row), scores.add(row));
                if vectors >= 4 && E::VECTORS >= 4 {
                    all_scores::<T, E, 4>(engine, q, matrix, words, n, factor, to);
                    row += 4 * lanes;
                } else if vectors >= 2 {
                    all_scores::<T, E, 2>(engine, q, matrix, words, n, factor, to);
                    row += 2 * lanes;
                } else {
                    all_scores::<T, E, 1>(engine, q, matrix, words, n, factor, to);
                    row += lanes;
                }
            }
            if first < last_low || first + n > first_end {
                for r in 0..used {
                    let (l, e) = seen(r.min(task.rows - 1));
                    // Of the keys of this tile; both are whole and small.
                    *low.add(r) = l.saturating_sub(first).min(n) as f32;
                    *end.add(r) = e.saturating_sub(first).min(n) as f32;
                }
                let hidden = s.splat(f32::NEG_INFINITY);
                for i in (0..n).filter(|i| first + i < last_low || first + i >= first_end) {
                    let key = s.splat(i as f32);
                    let mut row = 0;
                    while row < used {
                        let p = scores.add(i * BLOCK + row);
                        let shown = s.where_lt(key, s.load(low.add(row)), hidden, s.load(p));
                        s.store(p, s.where_lt(key, s.load(end.add(row)), shown, hidden));
                        row += lanes;
                    }
                }
            }
            if dense(a) {
                for r in 0..task.rows {
                    bias::<_, _, false>(s, a, task, r, first, n, masks.add(r * TILE));
                }
                engine.add(masks, task.rows, n, scores);
            }
            let mut row = 0;
            while row < used {
                let old = s.load(max.add(row));
                let mut largest = old;
                for i in 0..n {
                    largest = s.max(largest, s.load(scores.add(i * BLOCK + row)));
                }
                s.store(max.add(row), largest);
                // What may be taken from scores that are all minus infinity.
                let from = s.where_lt(largest, s.splat(f32::MIN), s.splat(0.0), largest);
                let factor = exp2(s, s.sub(old, from));
                s.store(scale.add(row), factor);
                let total = engine.weights(scores.add(row), n, from);
                s.store(sum.add(row), s.fma(s.load(sum.add(row)), factor, total));
                row += lanes;
            }
            if fetch && first + n < stop {
                engine.fetch(k.add((first + n) * ks), ks, width, TILE.min(stop - first - n));
            }
            let matrix = engine.values(v.add(first * vs), vs, values, n, value_room);
            let steps = n.div_ceil(E::PAIR);
            let mut row = 0;
            while row < used {
                let vectors = (used - row) / lanes;
                let (p, scale, to) = (scores.add(row), scale.add(row), sums.add(row));
                if vectors >= 4 && E::VECTORS >= 4 {
                    all_values::<T, E, 4>(engine, p, matrix, steps, values, scale, to);
                    row += 4 * lanes;
                } else if vectors >= 2 {
                    all_values::<T, E, 2>(engine, p, matrix, steps, values, scale, to);
                    row += 2 * lanes;
                } else {
                    all_values::<T, E, 1>(engine, p, matrix, steps, values, scale, to);
                    row += lanes;
                }
            }
            first += n;
        }
        std::ptr::copy_nonoverlapping(max, part.max, task.rows);
        std::ptr::copy_nonoverlapping(sum, part.sum, task.rows);
        engine.results(sums, task.rows, values, part.values);
    }
}

/// How many of the second axis of a product are taken at once, of those that are left, with `vectors` of up to `most`.
/// Enough sums are in flight to hide the latency of the products, and few enough stay in registers.
#[inline(always)]
const fn at_once(vectors: usize, most: usize, left: usize) -> usize {
    match (vectors, left) {
        (1, 16..) if most == 4 => 16,
        (2, 12..) if most == 4 => 12,
        // Twice four rather than six and two.
        (_, 8 | 4 | 5) => 4,
        (_, 6..) => 6,
        _ => 1,
    }
}

#[inline(always)]
unsafe fn all_scores<T, E: Engine<T>, const V: usize>(
    engine: E,
    q: *const f32,
    k: Matrix,
    words: usize,
    n: usize,
    factor: <E::S as Simd>::V,
    to: *mut f32,
) {
    let mut i = 0;
    while i < n {
        // SAFETY: the caller's.
        unsafe {
            let k = Matrix { p: k.p.add(i * k.across), ..k };
            let to = to.add(i * BLOCK);
            let taken = at_once(V, E::VECTORS, n - i);
            match taken {
                16 => some_scores::<T, E, V, 16>(engine, q, k, words, factor, to),
                12 => some_scores::<T, E, V, 12>(engine, q, k, words, factor, to),
                6 => some_scores::<T, E, V, 6>(engine, q, k, words, factor, to),
                4 => some_scores::<T, E, V, 4>(engine, q, k, words, factor, to),
                _ => some_scores::<T, E, V, 1>(engine, q, k, words, factor, to),
            }
            i += taken;
        }
    }
}

#[inline(always)]
unsafe fn some_scores<T, E: Engine<T>, const V: usize, const N: usize>(
    engine: E,
    q: *const f32,
    k: Matrix,
    words: usize,
    factor: <E::S as Simd>::V,
    to: *mut f32,
) {
    let s = engine.simd();
    let mut acc = [[s.splat(0.0); V]; N];
    // SAFETY: the caller's.
    unsafe {
        engine.product(&mut acc, q, k, words);
        for j in 0..N {
            for v in 0..V {
                s.store(to.add(j * BLOCK + v * <E::S as Simd>::LANES), s.mul(acc[j][v], factor));
            }
        }
    }
}

#[inline(always)]
unsafe fn all_values<T, E: Engine<T>, const V: usize>(
    engine: E,
    p: *const f32,
    v: Matrix,
    steps: usize,
    width: usize,
    scale: *const f32,
    to: *mut f32,
) {
    let mut d = 0;
    while d < width {
        // SAFETY: the caller's.
        unsafe {
            let v = Matrix { p: v.p.add(d * v.across), ..v };
            let to = to.add(d * BLOCK);
            let taken = at_once(V, E::VECTORS, width - d);
            match taken {
                16 => some_values::<T, E, V, 16>(engine, p, v, steps, scale, to),
                12 => some_values::<T, E, V, 12>(engine, p, v, steps, scale, to),
                6 => some_values::<T, E, V, 6>(engine, p, v, steps, scale, to),
                4 => some_values::<T, E, V, 4>(engine, p, v, steps, scale, to),
                _ => some_values::<T, E, V, 1>(engine, p, v, steps, scale, to),
            }
            d += taken;
        }
    }
}

#[inline(always)]
unsafe fn some_values<T, E: Engine<T>, const V: usize, const N: usize>(
    engine: E,
    p: *const f32,
    v: Matrix,
    steps: usize,
    scale: *const f32,
    to: *mut f32,
) {
    let s = engine.simd();
    let lanes = <E::S as Simd>::LANES;
    let mut acc = [[s.splat(0.0); V]; N];
    // SAFETY: the caller's.
    unsafe {
        for i in 0..V {
            let scale = s.load(scale.add(i * lanes));
            for j in 0..N {
                acc[j][i] = s.mul(s.load(to.add(j * BLOCK + i * lanes)), scale);
            }
        }
        engine.product(&mut acc, p, v, steps);
        for j in 0..N {
            for i in 0..V {
                s.store(to.add(j * BLOCK + i * lanes), acc[j][i]);
            }
        }
    }
}
