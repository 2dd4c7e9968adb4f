// SPDX-License-Identifier: EUPL-1.2
//! Products of many rows in the dot products of bfloat16 that AVX512-BF16 has.
//!
//! A block of weights is brought to *pairs*: for two neighbours along K, sixteen outputs side by side. A pair of
//! activations in every lane then meets them, so that lanes are outputs and nothing has to be summed across. This costs as
//! much as a few rows of activations do, and the innermost loop then runs at the speed of the dot products themselves.
//!
//! K is summed pair by pair in parts, whatever the block.

use std::arch::x86_64::*;
use std::ops::Range;

use half::bf16;

use crate::simd::avx512::transpose;

/// Outputs of a vector.
pub(super) const LANES: usize = 16;
/// Vectors of outputs that the innermost loop takes at once.
const GROUP: usize = 4;
/// Rows of activations that it takes at once: with four vectors, 24 sums and what they are made of fill the registers.
pub(super) const ROWS: usize = 6;

/// Elements of K of a part: six rows of activations stay in the first cache.
const PART: usize = 2304;
/// Elements of a part of a block of weights: in the second cache, with room for the block that comes next.
const ELEMENTS: usize = 128 << 10;

/// How a product along `k` is cut, by its shape alone.
#[derive(Clone, Copy)]
pub(super) struct Cut {
    k: usize,
    /// Elements of a part, all but the last of them a multiple of 64.
    part: usize,
}

impl Cut {
    pub(super) fn new(k: usize) -> Self {
        Self { k, part: k.div_ceil(k.div_ceil(PART).max(1)).next_multiple_of(64).max(64) }
    }

    pub(super) fn parts(self) -> usize {
        self.k.div_ceil(self.part).max(1)
    }

    /// The elements of K of a part.
    pub(super) fn part(self, i: usize) -> Range<usize> {
        (i * self.part).min(self.k)..((i + 1) * self.part).min(self.k)
    }

    /// Outputs of a task, if as many blocks of weights are multiplied side by side.
    pub(super) fn outputs(self, blocks: usize) -> usize {
        (ELEMENTS / (self.part * blocks) / (LANES * GROUP)).max(1) * LANES * GROUP
    }

    /// Words of a block with this many outputs.
    pub(super) fn words(self, outputs: usize) -> usize {
        outputs.next_multiple_of(LANES) * self.k.next_multiple_of(2) / 2
    }

    /// Where a part begins in a block.
    fn start(self, outputs: usize, part: usize) -> usize {
        outputs.next_multiple_of(LANES) * self.part(part).start / 2
    }
}

/// The vectors of a block in groups: where each begins, and how many it has.
fn groups(outputs: usize) -> impl Iterator<Item = (usize, usize)> {
    let vectors = outputs.div_ceil(LANES);
    (0..vectors).step_by(GROUP).map(move |first| (first, GROUP.min(vectors - first)))
}

/// Brings up to sixteen rows of weights, `outputs` from `first` on of a block of `count`, to pairs.
///
/// # Safety
/// The processor has the set; `rows` points to `n` rows of K elements, `stride` apart, and `block` to
/// [`Cut::words`] words.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(super) unsafe fn pack_rows(
    cut: Cut,
    rows: *const bf16,
    stride: usize,
    n: usize,
    first: usize,
    count: usize,
    block: *mut u32,
) {
    // SAFETY: the caller's; masks end the reads, and no more pairs are stored than there are.
    unsafe {
        for part in 0..cut.parts() {
            let (to, step) = place(cut, part, first, count, block);
            let k = cut.part(part);
            let mut at = k.start;
            // Numbers that are known keep the vectors in registers.
            while n == LANES && at + 32 <= k.end {
                let mut x = [_mm512_setzero_ps(); 16];
                for (i, x) in x.iter_mut().enumerate() {
                    let p = rows.add(i * stride + at);
                    _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(256).cast());
                    *x = _mm512_loadu_ps(p.cast());
                }
                let to = to.add((at - k.start) / 2 * step);
                for (i, &x) in transpose(x).iter().enumerate() {
                    _mm512_storeu_ps(to.add(i * step).cast(), x);
                }
                at += 32;
            }
            while at < k.end {
                let left = (k.end - at).min(32);
                let some = if left == 32 { u32::MAX } else { (1 << left) - 1 };
                let mut x = [_mm512_setzero_ps(); 16];
                for (i, x) in x.iter_mut().enumerate().take(n) {
                    let p = rows.add(i * stride + at);
                    *x = _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(some, p.cast()));
                }
                let to = to.add((at - k.start) / 2 * step);
                for (i, &x) in transpose(x).iter().enumerate().take(left.div_ceil(2)) {
                    _mm512_storeu_ps(to.add(i * step).cast(), x);
                }
                at += 32;
            }
        }
    }
}

/// The same for weights that lie the other way round: `column` points to the first of `n` outputs for the first element
/// of K.
///
/// # Safety
/// As [`pack_rows`], with `n` elements in each of K rows.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(super) unsafe fn pack_columns(
    cut: Cut,
    column: *const bf16,
    stride: usize,
    n: usize,
    first: usize,
    count: usize,
    block: *mut u32,
) {
    let some = ((1u32 << n) - 1) as __mmask16;
    // SAFETY: the caller's; masks end the reads.
    unsafe {
        for part in 0..cut.parts() {
            let (mut to, step) = place(cut, part, first, count, block);
            let k = cut.part(part);
            for at in k.clone().step_by(2) {
                let p = column.add(at * stride);
                let even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, p.cast()));
                let odd = if at + 1 < k.end { some } else { 0 };
                let p = p.wrapping_add(stride);
                let odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(odd, p.cast()));
                _mm512_storeu_si512(to.cast(), _mm512_or_si512(even, _mm512_slli_epi32::<16>(odd)));
                to = to.add(step);
            }
        }
    }
}

/// Where the first pair of a vector of outputs lies, and how many words it is to the next.
unsafe fn place(cut: Cut, part: usize, first: usize, count: usize, block: *mut u32) -> (*mut u32, usize) {
    let vector = first / LANES;
    let group = vector / GROUP * GROUP;
    let vectors = GROUP.min(count.div_ceil(LANES) - group);
    let pairs = cut.part(part).len().div_ceil(2);
    let before = cut.start(count, part) + group * LANES * pairs + (vector - group) * LANES;
    // SAFETY: the caller's block has all vectors of all parts.
    (unsafe { block.add(before) }, vectors * LANES)
}

/// Memory that is asked for while something else is computed.
pub(super) struct Ahead {
    next: *const u8,
    end: *const u8,
}

impl Ahead {
    pub(super) const NOTHING: Self = Self { next: std::ptr::null(), end: std::ptr::null() };

    /// `bytes` from `start` on, which need not exist.
    pub(super) fn new(start: *const u8, bytes: usize) -> Self {
        Self { next: start, end: start.wrapping_add(bytes) }
    }

    /// Asks for two lines of what is left.
    #[inline(always)]
    fn ask(&mut self) {
        if self.next < self.end {
            // SAFETY: a prefetch of any address is allowed.
            unsafe {
                _mm_prefetch::<_MM_HINT_T1>(self.next.cast());
                _mm_prefetch::<_MM_HINT_T1>(self.next.wrapping_add(64).cast());
            }
            self.next = self.next.wrapping_add(128);
        }
    }
}

/// Sums over one part of K of `rows ≤ 6` rows of activations with a block of `count` outputs: to `out`, rows of which are
/// `pitch` apart, or on top of what it holds for all parts but the first.
///
/// # Safety
/// The processor has the set; `x` points to the rows, `stride` apart, the block was packed for `cut`, and `out` has whole
/// vectors of outputs in each row.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
pub(super) unsafe fn multiply(
    cut: Cut,
    part: usize,
    (x, stride): (*const bf16, usize),
    rows: usize,
    block: *const u32,
    count: usize,
    (out, pitch): (*mut f32, usize),
    ahead: &mut Ahead,
) {
    let k = cut.part(part);
    // SAFETY: the caller's.
    unsafe {
        let (x, block) = (x.add(k.start), block.add(cut.start(count, part)));
        for (first, vectors) in groups(count) {
            let tile = Tile {
                x,
                stride,
                w: block.add(first * LANES * k.len().div_ceil(2)),
                k: k.len(),
                out: out.add(first * LANES),
                pitch,
                add: part > 0,
            };
            match vectors {
                4 => tile.rows::<4>(rows, ahead),
                3 => tile.rows::<3>(rows, ahead),
                2 => tile.rows::<2>(rows, ahead),
                _ => tile.rows::<1>(rows, ahead),
            }
        }
    }
}

/// What the innermost loop works on.
struct Tile {
    x: *const bf16,
    stride: usize,
    w: *const u32,
    k: usize,
    out: *mut f32,
    pitch: usize,
    add: bool,
}

impl Tile {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn rows<const V: usize>(self, rows: usize, ahead: &mut Ahead) {
        // SAFETY: the caller's.
        unsafe {
            match rows {
                6 => self.sums::<6, V>(ahead),
                5 => self.sums::<5, V>(ahead),
                4 => self.sums::<4, V>(ahead),
                3 => self.sums::<3, V>(ahead),
                2 => self.sums::<2, V>(ahead),
                _ => self.sums::<1, V>(ahead),
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn sums<const M: usize, const V: usize>(self, ahead: &mut Ahead) {
        let Self { x, stride, mut w, k, out, pitch, add } = self;
        let mut sums = [[_mm512_setzero_ps(); V]; M];
        // SAFETY: the caller's.
        unsafe {
            if add {
                for (m, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm512_loadu_ps(out.add(m * pitch + v * LANES));
                    }
                }
            }
            let mut at = 0;
            while at + 16 <= k {
                ahead.ask();
                for pair in 0..8 {
                    let x = x.add(at + 2 * pair);
                    step::<M, V>(&mut sums, |m| x.add(m * stride).cast::<i32>().read_unaligned(), w);
                    w = w.add(V * LANES);
                }
                at += 16;
            }
            while at < k {
                let some = (k - at).min(2);
                let pair = |m: usize| {
                    let mut pair = [bf16::ZERO; 2];
                    std::ptr::copy_nonoverlapping(x.add(m * stride + at), pair.as_mut_ptr(), some);
                    std::mem::transmute::<[bf16; 2], i32>(pair)
                };
                step::<M, V>(&mut sums, pair, w);
                w = w.add(V * LANES);
                at += 2;
            }
            for (m, sums) in sums.iter().enumerate() {
                for (v, &sum) in sums.iter().enumerate() {
                    _mm512_storeu_ps(out.add(m * pitch + v * LANES), sum);
                }
            }
        }
    }
}

/// One pair of each row of activations with one pair of each output.
#[inline(always)]
unsafe fn step<const M: usize, const V: usize>(
    sums: &mut [[__m512; V]; M],
    pair: impl Fn(usize) -> i32,
    w: *const u32,
) {
    // SAFETY: the caller has the set, and `V` vectors of pairs; any bits are bfloat16.
    unsafe {
        let bf16s = |v: __m512i| std::mem::transmute::<__m512i, __m512bh>(v);
        let mut weights = [_mm512_setzero_si512(); V];
        let mut v = 0;
        while v < V {
            weights[v] = _mm512_loadu_si512(w.add(v * LANES).cast());
            v += 1;
        }
        let mut m = 0;
        while m < M {
            let x = bf16s(_mm512_set1_epi32(pair(m)));
            let mut v = 0;
            while v < V {
                sums[m][v] = _mm512_dpbf16_ps(sums[m][v], x, bf16s(weights[v]));
                v += 1;
            }
            m += 1;
        }
    }
}
