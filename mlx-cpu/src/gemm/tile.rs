// SPDX-License-Identifier: EUPL-1.2
//! The innermost loops: a few rows of activations against a few rows of weights.
//!
//! Both operands run along K as they lie in memory, so each product of a tile is a dot product: lanes are summed at its
//! end, and nothing has to be packed. In float32 a tile of 6 × 4 keeps 24 sums in registers and loads 10 vectors for 24
//! products; dot products of bfloat16 come here with at most four rows, and with more go to `pairs`.

use crate::simd::{Kernel, Scalar, Simd, prefetch};

/// How many rows of weights a tile has.
pub(crate) const NR: usize = 4;

/// Rows of activations of the largest tile. In a smaller one there is so little to do for a weight that the memory
/// decides how long it takes.
const MOST: usize = 6;

/// How many bytes ahead the weights of a smaller tile are asked for.
const AHEAD: usize = 1024;

/// `out[m][n] (+)= Σ_k x[m][k] · w[n][k]` for `m < rows ≤ 6`, `n < cols ≤ 4`, in float32.
#[derive(Clone, Copy)]
pub(crate) struct Tile<X, W> {
    pub(crate) x: *const X,
    pub(crate) x_stride: usize,
    pub(crate) w: *const W,
    pub(crate) w_stride: usize,
    pub(crate) k: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) out: *mut f32,
    pub(crate) out_stride: usize,
    /// From one column of `out` to the next.
    pub(crate) out_step: usize,
    /// Whether to add to what `out` holds.
    pub(crate) accumulate: bool,
    /// How many elements there are between the end of these rows of weights and those that are read next.
    pub(crate) gap: usize,
}

/// A block: all rows of activations of a tile against many rows of weights.
///
/// # Safety
/// `x` has `tile.rows` rows and `w` `count` rows of `k` elements, `out` room for `tile.rows` rows of `count`.
pub(crate) struct Block<X, W> {
    pub(crate) tile: Tile<X, W>,
    pub(crate) count: usize,
    /// Elements of K that are summed at a time.
    pub(crate) step: usize,
}

impl<X, W> Block<X, W>
where
    Tile<X, W>: Copy,
{
    /// Goes through the tiles of the block.
    ///
    /// With few rows of activations a tile's rows of weights lie far apart: that makes four long streams, which the
    /// processor's own prefetching follows better than one.
    #[inline(always)]
    pub(super) unsafe fn walk(self, mut each: impl FnMut(Tile<X, W>)) {
        let Self { tile, count, step } = self;
        let step = step.max(1);
        // SAFETY: the block's; every part and row is one of it.
        unsafe {
            if tile.rows < MOST {
                let apart = count / NR;
                let far = Tile { w_stride: apart * tile.w_stride, out_step: apart, cols: NR, ..tile };
                let mut n = 0;
                while n < apart {
                    // At its end a stream goes on in the block that comes next, most likely on this thread.
                    let gap = if n + 1 == apart { (count - apart) * tile.w_stride } else { 0 };
                    let next = Tile { w: tile.w.add(n * tile.w_stride), out: tile.out.add(n), gap, ..far };
                    next.along(step, &mut each);
                    n += 1;
                }
                n = apart * NR;
                while n < count {
                    let w = tile.w.add(n * tile.w_stride);
                    Tile { w, out: tile.out.add(n), cols: 1, ..tile }.along(step, &mut each);
                    n += 1;
                }
                return;
            }
            // A part of the activations stays in the first cache while all weights pass.
            tile.along(step, |part| {
                let mut n = 0;
                while n < count {
                    let cols = NR.min(count - n);
                    each(Tile { w: part.w.add(n * part.w_stride), out: part.out.add(n), cols, ..part });
                    n += cols;
                }
            });
        }
    }
}

impl<X, W> Tile<X, W>
where
    Self: Copy,
{
    /// Cuts K in parts of `step`, all but the first of which are added.
    #[inline(always)]
    unsafe fn along(self, step: usize, mut each: impl FnMut(Self)) {
        let mut start = 0;
        loop {
            let k = step.min(self.k - start);
            // SAFETY: within the rows.
            let (x, w) = unsafe { (self.x.add(start), self.w.add(start)) };
            let gap = if start + k >= self.k { self.gap } else { 0 };
            each(Self { x, w, k, accumulate: start > 0, gap, ..self });
            start += k;
            if start >= self.k {
                return;
            }
        }
    }
}

impl<X: Scalar, W: Scalar> Kernel for Block<X, W> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: the block's.
        unsafe { self.walk(|tile| s.apart(tile)) }
    }
}

impl<X: Scalar, W: Scalar> Kernel for Tile<X, W> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: the tile's.
        unsafe { whole::<S, X, W>(s, self) }
    }
}

/// How many elements ahead of element `i` of `k` something is asked for, `by` of them if it lies in line.
#[inline(always)]
fn ahead(i: usize, k: usize, gap: usize, by: usize) -> usize {
    if i + by < k { by } else { by + gap }
}

/// Dispatches on the tile's size, so that the loops have constant bounds.
#[inline(always)]
unsafe fn whole<S: Simd, X: Scalar, W: Scalar>(s: S, tile: Tile<X, W>) {
    // SAFETY: the caller's.
    unsafe {
        match (tile.cols, tile.rows) {
            (NR, 6) => floats::<S, X, W, 6, NR>(s, tile),
            (NR, 5) => floats::<S, X, W, 5, NR>(s, tile),
            (NR, 4) => floats::<S, X, W, 4, NR>(s, tile),
            (NR, 3) => floats::<S, X, W, 3, NR>(s, tile),
            (NR, 2) => floats::<S, X, W, 2, NR>(s, tile),
            (NR, 1) => floats::<S, X, W, 1, NR>(s, tile),
            (cols, rows) => {
                for m in 0..rows {
                    for n in 0..cols {
                        let one = Tile {
                            x: tile.x.add(m * tile.x_stride),
                            w: tile.w.add(n * tile.w_stride),
                            out: tile.out.add(m * tile.out_stride + n * tile.out_step),
                            ..tile
                        };
                        floats::<S, X, W, 1, 1>(s, one);
                    }
                }
            }
        }
    }
}

/// A tile in float32 products, whatever the elements are.
#[inline(always)]
unsafe fn floats<S: Simd, X: Scalar, W: Scalar, const M: usize, const N: usize>(s: S, tile: Tile<X, W>) {
    let Tile { x, x_stride, w, w_stride, k, out, out_stride, out_step, accumulate, gap, .. } = tile;
    let mut sums = [[s.splat(0.0); N]; M];
    let mut i = 0;
    // SAFETY: the caller's pointers have `k` elements in each row.
    unsafe {
        while i + S::LANES <= k {
            let mut weights = [s.splat(0.0); N];
            let mut n = 0;
            while n < N {
                let w = w.add(n * w_stride + i);
                if M < MOST {
                    prefetch(w.wrapping_add(ahead(i, k, gap, AHEAD / size_of::<W>())));
                }
                weights[n] = W::load(s, w);
                n += 1;
            }
            let mut m = 0;
            while m < M {
                let v = X::load(s, x.add(m * x_stride + i));
                let mut n = 0;
                while n < N {
                    sums[m][n] = s.fma(v, weights[n], sums[m][n]);
                    n += 1;
                }
                m += 1;
            }
            i += S::LANES;
        }
        let mut sums = sums;
        if i < k {
            let left = k - i;
            for (m, sums) in sums.iter_mut().enumerate() {
                let v = X::load_n(s, x.add(m * x_stride + i), left);
                for (n, sum) in sums.iter_mut().enumerate() {
                    *sum = s.fma(v, W::load_n(s, w.add(n * w_stride + i), left), *sum);
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            for (n, &sum) in sums.iter().enumerate() {
                let slot = out.add(m * out_stride + n * out_step);
                let earlier = if accumulate { *slot } else { 0.0 };
                *slot = earlier + s.sum(sum);
            }
        }
    }
}

/// The same in the dot products of bfloat16 that AVX512-BF16 has.
#[cfg(target_arch = "x86_64")]
pub(crate) mod bf16 {
    use std::arch::x86_64::*;

    use half::bf16;

    use super::{AHEAD, Block, NR, Tile, ahead};
    use crate::simd::prefetch;

    /// # Safety
    /// The processor has AVX512-BF16, and the block's own conditions hold.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    pub(crate) unsafe fn block(block: Block<bf16, bf16>) {
        // SAFETY: the block's, and the caller has the instructions.
        unsafe {
            let mut block = block;
            if block.tile.rows == 1 {
                let done = row(&block);
                block.tile.w = block.tile.w.add(done * block.tile.w_stride);
                block.tile.out = block.tile.out.add(done);
                block.count -= done;
            }
            block.walk(|tile| match (tile.cols, tile.rows) {
                (NR, 4) => dots::<4, NR>(tile),
                (NR, 3) => dots::<3, NR>(tile),
                (NR, 2) => dots::<2, NR>(tile),
                (NR, 1) => dots::<1, NR>(tile),
                (cols, rows) => {
                    for m in 0..rows {
                        for n in 0..cols {
                            dots::<1, 1>(Tile {
                                x: tile.x.add(m * tile.x_stride),
                                w: tile.w.add(n * tile.w_stride),
                                out: tile.out.add(m * tile.out_stride + n * tile.out_step),
                                ..tile
                            });
                        }
                    }
                }
            });
        }
    }

    /// The tiles of one row of activations, as [`Block::walk`] has them, and how many rows of weights these were. Here the
    /// memory is the limit, which must not wait while one tile ends and the next begins.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn row(block: &Block<bf16, bf16>) -> usize {
        const BY: usize = AHEAD / size_of::<bf16>();
        let &Block { tile: Tile { x, w, w_stride, k, out, .. }, count, step } = block;
        let apart = count / NR;
        // SAFETY: the caller's.
        unsafe {
            for n in 0..apart {
                let w: [*const bf16; NR] =
                    std::array::from_fn(|j| w.wrapping_add((n + j * apart) * w_stride));
                let gap = if n + 1 == apart { (count - apart) * w_stride } else { 0 };
                let mut total = _mm_setzero_ps();
                let mut start = 0;
                while start < k {
                    let end = (start + step).min(k);
                    let mut sums = [_mm512_setzero_ps(); NR];
                    let mut i = start;
                    while i + 32 <= end {
                        let v = load(x.add(i));
                        let later = i + ahead(i, k, gap, BY);
                        for j in 0..NR {
                            prefetch(w[j].wrapping_add(later));
                            sums[j] = _mm512_dpbf16_ps(sums[j], v, load(w[j].add(i)));
                        }
                        i += 32;
                    }
                    if i < end {
                        let mask = (1u32 << (end - i)) - 1;
                        let v = load_n(x.add(i), mask);
                        for j in 0..NR {
                            sums[j] = _mm512_dpbf16_ps(sums[j], v, load_n(w[j].add(i), mask));
                        }
                    }
                    let four = four(&sums);
                    let [a, b] = [_mm512_castps512_ps128(four), _mm512_extractf32x4_ps::<1>(four)];
                    let [c, d] = [_mm512_extractf32x4_ps::<2>(four), _mm512_extractf32x4_ps::<3>(four)];
                    // In the order of the other tiles.
                    let sum = _mm_add_ps(_mm_add_ps(a, c), _mm_add_ps(b, d));
                    total = if start == 0 { sum } else { _mm_add_ps(total, sum) };
                    start = end;
                }
                for (j, sum) in std::mem::transmute::<__m128, [f32; NR]>(total).into_iter().enumerate() {
                    *out.add(n + j * apart) = sum;
                }
            }
        }
        apart * NR
    }

    /// Thirty-two elements as the dot product takes them.
    #[inline(always)]
    unsafe fn load(p: *const bf16) -> __m512bh {
        // SAFETY: the caller's pointer has 32 elements. The two types are the same 64 bytes.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(p.cast())) }
    }

    #[inline(always)]
    unsafe fn load_n(p: *const bf16, mask: __mmask32) -> __m512bh {
        // SAFETY: the caller's pointer has the elements of the mask.
        unsafe { std::mem::transmute::<__m512i, __m512bh>(_mm512_maskz_loadu_epi16(mask, p.cast())) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")]
    unsafe fn dots<const M: usize, const N: usize>(tile: Tile<bf16, bf16>) {
        let Tile { x, x_stride, w, w_stride, k, out, out_stride, out_step, accumulate, gap, .. } = tile;
        let mut sums = [[_mm512_setzero_ps(); N]; M];
        let mut i = 0;
        // SAFETY: the caller's pointers have `k` elements in each row.
        unsafe {
            while i + 32 <= k {
                let mut weights = [load(w.add(i)); N];
                for (n, v) in weights.iter_mut().enumerate().skip(1) {
                    *v = load(w.add(n * w_stride + i));
                }
                let later = i + ahead(i, k, gap, AHEAD / size_of::<bf16>());
                for n in 0..N {
                    prefetch(w.wrapping_add(n * w_stride + later));
                }
                for (m, sums) in sums.iter_mut().enumerate() {
                    let v = load(x.add(m * x_stride + i));
                    for (sum, &weight) in sums.iter_mut().zip(&weights) {
                        *sum = _mm512_dpbf16_ps(*sum, v, weight);
                    }
                }
                i += 32;
            }
            if i < k {
                let mask = (1u32 << (k - i)) - 1;
                for (m, sums) in sums.iter_mut().enumerate() {
                    let v = load_n(x.add(m * x_stride + i), mask);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = _mm512_dpbf16_ps(*sum, v, load_n(w.add(n * w_stride + i), mask));
                    }
                }
            }
            if N == NR {
                // Indices that are known keep the sums in registers; what is left of them goes through memory.
                let mut rows = [_mm512_setzero_ps(); 4];
                for (row, sums) in rows.iter_mut().zip(&sums) {
                    *row = four(sums);
                }
                let [a, b, c, d] = rows;
                let mut totals = [0f32; 16];
                _mm512_storeu_ps(totals.as_mut_ptr(), across(a, b, c, d));
                for m in 0..M {
                    for n in 0..NR {
                        let slot = out.add(m * out_stride + n * out_step);
                        *slot = totals[m * NR + n] + if accumulate { *slot } else { 0.0 };
                    }
                }
            } else {
                for (m, sums) in sums.iter().enumerate() {
                    for (n, &sum) in sums.iter().enumerate() {
                        let zero = _mm512_setzero_ps();
                        // In the order of the full tile, so that a column's place does not change its bits.
                        let total = across(four_of(sum, zero, zero, zero), zero, zero, zero);
                        let slot = out.add(m * out_stride + n * out_step);
                        let earlier = if accumulate { *slot } else { 0.0 };
                        *slot = earlier + _mm512_cvtss_f32(total);
                    }
                }
            }
        }
    }

    /// In each quarter of the result, that quarter's sum of each of four vectors.
    #[inline(always)]
    unsafe fn four(v: &[__m512]) -> __m512 {
        // SAFETY: the caller has the instructions.
        unsafe { four_of(v[0], v[1], v[2], v[3]) }
    }

    #[inline(always)]
    unsafe fn four_of(a: __m512, b: __m512, c: __m512, d: __m512) -> __m512 {
        // SAFETY: the caller has the instructions.
        unsafe {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
            _mm512_add_ps(
                _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
            )
        }
    }

    /// The sums of the quarters of four vectors, one in each quarter of the result.
    #[inline(always)]
    unsafe fn across(a: __m512, b: __m512, c: __m512, d: __m512) -> __m512 {
        // SAFETY: the caller has the instructions.
        unsafe {
            let ab = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
                _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
            );
            let cd = _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b01_00_01_00>(c, d),
                _mm512_shuffle_f32x4::<0b11_10_11_10>(c, d),
            );
            _mm512_add_ps(
                _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd),
                _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd),
            )
        }
    }
}
