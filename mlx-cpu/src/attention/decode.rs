// SPDX-License-Identifier: EUPL-1.2
//! Few rows against many keys: keys and values are read once, at the speed of memory.

#![expect(
    clippy::needless_range_loop,
    reason = "an index that is known names registers; an iterator may not"
)]

use crate::simd::{Kernel, Scalar, Simd};

use super::{Attention, FEW, Part, Plan, Task, bias, dense, exp2, finite};

/// Keys whose scores are held at a time.
pub(super) const TILE: usize = 256;
/// Keys whose values are added at a time, with the sums in registers.
pub(super) const STEP: usize = 16;

/// A task with at most [`FEW`] rows.
pub(super) struct Decode<'a, T> {
    pub(super) a: &'a Attention<'a, T>,
    pub(super) plan: &'a Plan,
    pub(super) task: &'a Task,
    pub(super) part: Part,
    /// [`Decode::room`] elements.
    pub(super) room: *mut f32,
}

impl<T> Decode<'_, T> {
    /// How much scratch a task needs.
    pub(super) fn room(a: &Attention<'_, T>) -> usize {
        FEW * (TILE + a.width.next_multiple_of(16))
    }
}

/// Hides scores, `[rows, TILE]` of the keys from `first` on, and adds the mask to them.
///
/// # Safety
/// `scores` has `rows · TILE` elements, and the operands were checked.
#[inline(always)]
pub(super) unsafe fn mask<S: Simd, T>(
    s: S,
    a: &Attention<'_, T>,
    task: &Task,
    first: usize,
    n: usize,
    scores: *mut f32,
) {
    for r in 0..task.rows {
        let (low, end) = a.visible(a.row(task.row + r).1);
        // SAFETY: `r < rows` and `n ≤ TILE`; the operands were checked.
        unsafe {
            let scores = scores.add(r * TILE);
            if dense(a) {
                bias::<_, _, true>(s, a, task, r, first, n, scores);
            }
            let scores = std::slice::from_raw_parts_mut(scores, n);
            if low > first {
                scores[..(low - first).min(n)].fill(f32::NEG_INFINITY);
            }
            if end < first + n {
                scores[end.saturating_sub(first)..].fill(f32::NEG_INFINITY);
            }
        }
    }
}

/// Makes weights of the scores of a row, adds them to its sum, and returns what its sums so far are to be multiplied by.
///
/// # Safety
/// `scores` has `n` elements, and `part` row `r`.
#[inline(always)]
pub(super) unsafe fn softmax<S: Simd>(s: S, scores: *mut f32, n: usize, part: Part, r: usize) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let lanes = S::LANES;
        let whole = n - n % lanes;
        let old = *part.max.add(r);
        let mut max = s.splat(old);
        let mut i = 0;
        while i < whole {
            max = s.max(max, s.load(scores.add(i)));
            i += lanes;
        }
        let mut largest = s.largest(max);
        for i in whole..n {
            largest = largest.max(*scores.add(i));
        }
        // A NaN takes no part in this; it spreads through its weight.
        let largest = if largest.is_nan() { old } else { largest };
        *part.max.add(r) = largest;
        let from = finite(largest);
        let scale = (old - from).exp2();
        let (from, mut sum) = (s.splat(from), s.splat(0.0));
        i = 0;
        while i < whole {
            let p = exp2(s, s.sub(s.load(scores.add(i)), from));
            s.store(scores.add(i), p);
            sum = s.add(sum, p);
            i += lanes;
        }
        let mut total = s.sum(sum);
        if i < n {
            let p = exp2(s, s.sub(s.load_n(scores.add(i), n - i), from));
            s.store_n(scores.add(i), p, n - i);
            for i in whole..n {
                total += *scores.add(i);
            }
        }
        *part.sum.add(r) = *part.sum.add(r) * scale + total;
        scale
    }
}

impl<T: Scalar> Kernel for Decode<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { a, plan, task, part, room } = self;
        let (width, values) = (a.width, a.value_width);
        let group = a.heads / a.kv_heads;
        let pitch = width.next_multiple_of(16);
        let (scores, queries) = (room, room.wrapping_add(FEW * TILE));
        // SAFETY: the operands were checked, scratch has the rows, and so has the part.
        unsafe {
            for r in 0..task.rows {
                let (head, l) = a.row(task.row + r);
                let [sb, sh, sl] = a.q.strides;
                let q = a.q.data.as_ptr().add(task.batch * sb + (task.kv_head * group + head) * sh + l * sl);
                for e in 0..width {
                    *queries.add(r * pitch + e) = (*q.add(e)).to_f32();
                }
                (*part.max.add(r), *part.sum.add(r)) = Part::start(a, task, task.row + r, plan.first);
                std::slice::from_raw_parts_mut(part.values.add(r * values), values).fill(0.0);
            }
            let k = a.k.data.as_ptr().add(task.batch * a.k.strides[0] + task.kv_head * a.k.strides[1]);
            let v = a.v.data.as_ptr().add(task.batch * a.v.strides[0] + task.kv_head * a.v.strides[1]);
            let factor = a.scale * std::f32::consts::LOG2_E;
            let mut first = task.first;
            while first < task.end {
                let n = TILE.min(task.end - first);
                let (k, ks) = (k.add(first * a.k.strides[2]), a.k.strides[2]);
                let mut r = 0;
                while r < task.rows {
                    let (q, out) = (queries.add(r * pitch), scores.add(r * TILE));
                    match task.rows - r {
                        1 => dots::<S, T, 1>(s, q, pitch, k, ks, width, n, factor, out),
                        2 | 3 => dots::<S, T, 2>(s, q, pitch, k, ks, width, n, factor, out),
                        _ => dots::<S, T, 4>(s, q, pitch, k, ks, width, n, factor, out),
                    }
                    r += [0, 1, 2, 2, 4][(task.rows - r).min(4)];
                }
                mask(s, a, task, first, n, scores);
                for r in 0..task.rows {
                    let scale = softmax(s, scores.add(r * TILE), n, part, r);
                    if scale != 1.0 {
                        for d in 0..values {
                            *part.values.add(r * values + d) *= scale;
                        }
                    }
                }
                let (v, vs) = (v.add(first * a.v.strides[2]), a.v.strides[2]);
                let mut i = 0;
                while i < n {
                    let keys = STEP.min(n - i);
                    let (v, mut r) = (v.add(i * vs), 0);
                    while r < task.rows {
                        let (p, out) = (scores.add(r * TILE + i), part.values.add(r * values));
                        match task.rows - r {
                            1 => add::<S, T, 1>(s, p, v, vs, values, keys, out),
                            2 | 3 => add::<S, T, 2>(s, p, v, vs, values, keys, out),
                            _ => add::<S, T, 4>(s, p, v, vs, values, keys, out),
                        }
                        r += [0, 1, 2, 2, 4][(task.rows - r).min(4)];
                    }
                    i += keys;
                }
                first += n;
            }
        }
    }
}

/// `factor · q · k` for `R` queries and `n` keys.
#[inline(always)]
unsafe fn dots<S: Simd, T: Scalar, const R: usize>(
    s: S,
    q: *const f32,
    pitch: usize,
    k: *const T,
    stride: usize,
    width: usize,
    n: usize,
    factor: f32,
    out: *mut f32,
) {
    let whole = width - width % S::LANES;
    for i in 0..n {
        // SAFETY: the caller's.
        unsafe {
            let k = k.add(i * stride);
            // Two sums a query hide the latency of the products.
            let mut acc = [[s.splat(0.0); 2]; R];
            let mut e = 0;
            while e + S::LANES < whole {
                let (x, y) = (T::load(s, k.add(e)), T::load(s, k.add(e + S::LANES)));
                for r in 0..R {
                    let q = q.add(r * pitch + e);
                    acc[r][0] = s.fma(x, s.load(q), acc[r][0]);
                    acc[r][1] = s.fma(y, s.load(q.add(S::LANES)), acc[r][1]);
                }
                e += 2 * S::LANES;
            }
            while e < width {
                let m = S::LANES.min(width - e);
                let x = T::load_n(s, k.add(e), m);
                for r in 0..R {
                    acc[r][0] = s.fma(x, s.load_n(q.add(r * pitch + e), m), acc[r][0]);
                }
                e += m;
            }
            for r in 0..R {
                *out.add(r * TILE + i) = factor * s.sum(s.add(acc[r][0], acc[r][1]));
            }
        }
    }
}

/// Adds `p · v` for `R` rows and `n` keys to `out`.
#[inline(always)]
unsafe fn add<S: Simd, T: Scalar, const R: usize>(
    s: S,
    p: *const f32,
    v: *const T,
    stride: usize,
    width: usize,
    n: usize,
    out: *mut f32,
) {
    let lanes = S::LANES;
    let mut d = 0;
    // SAFETY: the caller's.
    unsafe {
        while d + 2 * lanes <= width {
            let mut acc = [[s.splat(0.0); 2]; R];
            for r in 0..R {
                for j in 0..2 {
                    acc[r][j] = s.load(out.add(r * width + d + j * lanes));
                }
            }
            for i in 0..n {
                let v = v.add(i * stride + d);
                let (x, y) = (T::load(s, v), T::load(s, v.add(lanes)));
                for r in 0..R {
                    let p = s.splat(*p.add(r * TILE + i));
                    acc[r][0] = s.fma(x, p, acc[r][0]);
                    acc[r][1] = s.fma(y, p, acc[r][1]);
                }
            }
            for r in 0..R {
                for j in 0..2 {
                    s.store(out.add(r * width + d + j * lanes), acc[r][j]);
                }
            }
            d += 2 * lanes;
        }
        while d < width {
            let m = lanes.min(width - d);
            for r in 0..R {
                let out = out.add(r * width + d);
                let mut acc = s.load_n(out, m);
                for i in 0..n {
                    acc = s.fma(T::load_n(s, v.add(i * stride + d), m), s.splat(*p.add(r * TILE + i)), acc);
                }
                s.store_n(out, acc, m);
            }
            d += m;
        }
    }
}
