// SPDX-License-Identifier: EUPL-1.2
//! Both kernels with dot products of bfloat16.
//!
//! A product takes two neighbours along the axis that is summed. Keys and queries lie like that; values are interleaved
//! in pairs of keys for many rows, and for a few rows are multiplied in float32, since there memory is the bound.

#![expect(
    clippy::needless_range_loop,
    reason = "an index that is known names registers; an iterator may not"
)]

use std::any::TypeId;
use std::arch::x86_64::*;

use half::bf16;

use crate::simd::avx512::transpose;
use crate::simd::{Avx512, Simd};

use super::decode::{self, STEP, TILE, mask, softmax};
use super::prefill::{self, Engine, Matrix, query};
use super::{Attention, BLOCK, FEW, Part, Plan, Task};

/// Does a task, if there is a kernel for its type.
///
/// # Safety
/// The processor has the set; else as [`super::part_of`], with as much `room` as the kernel asks for.
pub(super) unsafe fn part_of<T: 'static>(
    a: &Attention<'_, T>,
    plan: &Plan,
    task: &Task,
    part: Part,
    room: *mut f32,
) -> bool {
    if TypeId::of::<T>() != TypeId::of::<bf16>() {
        return false;
    }
    // SAFETY: the two types are one; the rest is the caller's.
    unsafe {
        let a = &*std::ptr::from_ref(a).cast::<Attention<'_, bf16>>();
        if a.rows() <= FEW {
            few(a, plan, task, part, room);
        } else {
            many(a, plan, task, part, room);
        }
    }
    true
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn many(a: &Attention<'_, bf16>, plan: &Plan, task: &Task, part: Part, room: *mut f32) {
    // SAFETY: the caller's.
    unsafe { prefill::block(Pairs(Avx512::new()), a, plan, task, part, room) }
}

/// The first `n` lanes of sixteen bits.
#[inline(always)]
fn first(n: usize) -> __mmask32 {
    if n >= 32 { u32::MAX } else { (1 << n) - 1 }
}

/// Products of pairs of bfloat16.
#[derive(Clone, Copy)]
struct Pairs(Avx512);

// SAFETY of every block below: the token proves that the processor has AVX-512, `part_of` was called only where it has
// BF16 as well, and pointers are the caller's.
#[allow(clippy::undocumented_unsafe_blocks, reason = "said once above")]
impl Engine<bf16> for Pairs {
    type S = Avx512;
    const PAIR: usize = 2;
    const VECTORS: usize = 4;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    unsafe fn queries(self, a: &Attention<'_, bf16>, task: &Task, to: *mut f32) {
        unsafe {
            let words = a.width.div_ceil(2);
            for row in (0..BLOCK).step_by(16) {
                let mut w = 0;
                while w < words {
                    let mut x = [_mm512_setzero_ps(); 16];
                    let some = first(a.width - 2 * w);
                    for (i, x) in x.iter_mut().enumerate() {
                        if row + i < task.rows {
                            let q = query(a, task, row + i).add(2 * w);
                            *x = _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(some, q.cast()));
                        }
                    }
                    let x = transpose(x);
                    for (i, &x) in x.iter().enumerate().take(words - w) {
                        _mm512_storeu_ps(to.add((w + i) * BLOCK + row), x);
                    }
                    w += 16;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn keys(self, k: *const bf16, stride: usize, width: usize, n: usize, room: *mut f32) -> Matrix {
        if width.is_multiple_of(2) {
            return Matrix { p: k.cast(), along: 4, across: 2 * stride };
        }
        // The last word of a row would reach into what follows it.
        let words = width.div_ceil(2);
        unsafe {
            for i in 0..n {
                let to = room.add(i * words).cast::<bf16>();
                std::ptr::copy_nonoverlapping(k.add(i * stride), to, width);
                *to.add(width) = bf16::ZERO;
            }
        }
        Matrix { p: room.cast_const().cast(), along: 4, across: 4 * words }
    }

    #[inline(always)]
    unsafe fn values(self, v: *const bf16, stride: usize, width: usize, n: usize, room: *mut f32) -> Matrix {
        // Off the powers of two, so that the rows of a column lie in different sets of the cache.
        let pitch = width.next_multiple_of(32) + 16;
        unsafe {
            let (low, high) = halves();
            let mut i = 0;
            while i < n {
                let (x, y) = (v.add(i * stride), v.add((i + 1).min(n - 1) * stride));
                let to = room.add(i / 2 * pitch);
                let mut d = 0;
                while d < width {
                    let some = first(width - d);
                    let x = _mm512_maskz_loadu_epi16(some, x.add(d).cast());
                    let y = _mm512_maskz_loadu_epi16(if i + 1 < n { some } else { 0 }, y.add(d).cast());
                    _mm512_storeu_si512(to.add(d).cast(), _mm512_permutex2var_epi16(x, low, y));
                    _mm512_storeu_si512(to.add(d + 16).cast(), _mm512_permutex2var_epi16(x, high, y));
                    d += 32;
                }
                i += 2;
            }
        }
        Matrix { p: room.cast_const().cast(), along: 4 * pitch, across: 4 }
    }

    #[inline(always)]
    unsafe fn product<const V: usize, const N: usize>(
        self,
        acc: &mut [[__m512; V]; N],
        x: *const f32,
        y: Matrix,
        steps: usize,
    ) {
        let mut sums = *acc;
        unsafe {
            let (mut x, mut p) = (x, y.p);
            for _ in 0..steps {
                let mut xs = [_mm512_setzero_si512(); V];
                for v in 0..V {
                    xs[v] = _mm512_loadu_si512(x.add(v * 16).cast());
                }
                for j in 0..N {
                    let y = _mm512_set1_epi32(p.add(j * y.across).cast::<i32>().read_unaligned());
                    for v in 0..V {
                        sums[j][v] = dot(sums[j][v], xs[v], y);
                    }
                }
                x = x.add(BLOCK);
                p = p.add(y.along);
            }
        }
        *acc = sums;
    }

    #[inline(always)]
    unsafe fn weights(self, scores: *mut f32, n: usize, max: __m512) -> __m512 {
        unsafe {
            let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
            let half = _mm512_set1_epi32(0x8000);
            let mut i = 0;
            while i < n {
                let x = exp2(_mm512_sub_ps(_mm512_loadu_ps(scores.add(i * BLOCK)), max));
                let y = if i + 1 < n {
                    exp2(_mm512_sub_ps(_mm512_loadu_ps(scores.add((i + 1) * BLOCK)), max))
                } else {
                    _mm512_setzero_ps()
                };
                even = _mm512_add_ps(even, x);
                odd = _mm512_add_ps(odd, y);
                // To the nearest; weights are no larger than 1, and what becomes of a NaN is told by the sum.
                let x = _mm512_add_epi32(_mm512_castps_si512(x), half);
                let y = _mm512_add_epi32(_mm512_castps_si512(y), half);
                let pair = _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(x), y);
                _mm512_storeu_si512(scores.add(i / 2 * BLOCK).cast(), pair);
                i += 2;
            }
            _mm512_add_ps(even, odd)
        }
    }

    #[inline(always)]
    unsafe fn results(self, from: *const f32, rows: usize, width: usize, to: *mut f32) {
        unsafe {
            let s = self.0;
            for row in (0..rows).step_by(16) {
                let mut d = 0;
                while d < width {
                    let n = 16.min(width - d);
                    let mut x = [_mm512_setzero_ps(); 16];
                    for (i, x) in x.iter_mut().enumerate().take(n) {
                        *x = _mm512_loadu_ps(from.add((d + i) * BLOCK + row));
                    }
                    let x = transpose(x);
                    for (i, &x) in x.iter().enumerate().take(rows - row) {
                        s.store_n(to.add((row + i) * width + d), x, n);
                    }
                    d += 16;
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn fetch(self, p: *const bf16, stride: usize, width: usize, n: usize) {
        unsafe { fetch(p, stride, width, n) }
    }

    #[inline(always)]
    unsafe fn add(self, masks: *const f32, rows: usize, n: usize, scores: *mut f32) {
        unsafe {
            for row in (0..rows).step_by(16) {
                let mut i = 0;
                while i < n {
                    // What lies beyond the rows and keys of the mask falls on rows and keys that are not used.
                    let mut x = [_mm512_setzero_ps(); 16];
                    for (j, x) in x.iter_mut().enumerate() {
                        *x = _mm512_loadu_ps(masks.add((row + j) * prefill::TILE + i));
                    }
                    let x = transpose(x);
                    for (j, &x) in x.iter().enumerate().take(n - i) {
                        let p = scores.add((i + j) * BLOCK + row);
                        _mm512_storeu_ps(p, _mm512_add_ps(_mm512_loadu_ps(p), x));
                    }
                    i += 16;
                }
            }
        }
    }
}

/// Adds the products of pairs.
#[inline(always)]
unsafe fn dot(sum: __m512, x: __m512i, y: __m512i) -> __m512 {
    // SAFETY: the caller's processor has the instruction, and any bits are bfloat16.
    unsafe {
        _mm512_dpbf16_ps(
            sum,
            std::mem::transmute::<__m512i, __m512bh>(x),
            std::mem::transmute::<__m512i, __m512bh>(y),
        )
    }
}

/// Where the words of two interleaved vectors come from.
#[inline(always)]
unsafe fn halves() -> (__m512i, __m512i) {
    const fn index(from: i16) -> [i16; 32] {
        let mut index = [0; 32];
        let mut i = 0;
        while i < 16 {
            index[2 * i] = from + i as i16;
            index[2 * i + 1] = from + i as i16 + 32;
            i += 1;
        }
        index
    }
    const LOW: [i16; 32] = index(0);
    const HIGH: [i16; 32] = index(16);
    // SAFETY: the arrays have 64 bytes, and the caller's processor has AVX-512.
    unsafe { (_mm512_loadu_si512(LOW.as_ptr().cast()), _mm512_loadu_si512(HIGH.as_ptr().cast())) }
}

/// Of the polynomial of degree four whose largest relative error from `2^x` on [−½, ½] is least, 3 · 10⁻⁶.
const EXP2: [f32; 5] = [0.999_999_3, 0.693_121_8, 0.240_247_44, 0.055_917_86, 0.009_570_102];

/// `2^x` for `x ≤ 0` within a hundred-thousandth, which is far below the precision of a weight in bfloat16; NaN for NaN.
#[inline(always)]
unsafe fn exp2(x: __m512) -> __m512 {
    // SAFETY: the caller's processor has AVX-512.
    unsafe {
        // The second operand is kept where one is NaN. The bound keeps infinity from the difference below.
        let x = _mm512_max_ps(_mm512_set1_ps(-200.0), x);
        let n = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x);
        let r = _mm512_sub_ps(x, n);
        let mut p = _mm512_set1_ps(EXP2[4]);
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP2[3]));
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP2[2]));
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP2[1]));
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(EXP2[0]));
        _mm512_scalef_ps(p, n)
    }
}

/// The sums of sixteen vectors.
#[inline(always)]
unsafe fn reduce(x: [__m512; 16]) -> __m512 {
    // SAFETY: the caller's processor has AVX-512.
    unsafe {
        let mut a = [_mm512_setzero_ps(); 8];
        for i in 0..8 {
            let (x, y) = (x[2 * i], x[2 * i + 1]);
            a[i] = _mm512_add_ps(_mm512_unpacklo_ps(x, y), _mm512_unpackhi_ps(x, y));
        }
        let mut b = [_mm512_setzero_ps(); 4];
        for i in 0..4 {
            let (x, y) = (_mm512_castps_pd(a[2 * i]), _mm512_castps_pd(a[2 * i + 1]));
            let (low, high) = (_mm512_unpacklo_pd(x, y), _mm512_unpackhi_pd(x, y));
            b[i] = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
        }
        let quarters = |x, y| {
            let even = _mm512_shuffle_f32x4::<0b10_00_10_00>(x, y);
            _mm512_add_ps(even, _mm512_shuffle_f32x4::<0b11_01_11_01>(x, y))
        };
        quarters(quarters(b[0], b[1]), quarters(b[2], b[3]))
    }
}

/// How far ahead of its use memory is asked for, in bytes.
const AHEAD: usize = 8192;

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn few(a: &Attention<'_, bf16>, plan: &Plan, task: &Task, part: Part, room: *mut f32) {
    // SAFETY: the caller's; `room` has what `decode` says.
    unsafe {
        let s = Avx512::new();
        let (width, values) = (a.width, a.value_width);
        let (pitch, sums_pitch) = (width.next_multiple_of(32), values.next_multiple_of(32));
        let (scores, queries) = (room, room.add(FEW * TILE).cast::<bf16>());
        let sums = room.add(FEW * (TILE + width.next_multiple_of(32)));
        for r in 0..task.rows {
            let to = queries.add(r * pitch);
            std::ptr::copy_nonoverlapping(query(a, task, r), to, width);
            std::slice::from_raw_parts_mut(to.add(width), pitch - width).fill(bf16::ZERO);
            (*part.max.add(r), *part.sum.add(r)) = Part::start(a, task, task.row + r, plan.first);
            std::slice::from_raw_parts_mut(sums.add(r * sums_pitch), sums_pitch).fill(0.0);
        }
        let k = a.k.data.as_ptr().add(task.batch * a.k.strides[0] + task.kv_head * a.k.strides[1]);
        let v = a.v.data.as_ptr().add(task.batch * a.v.strides[0] + task.kv_head * a.v.strides[1]);
        let (ks, vs) = (a.k.strides[2], a.v.strides[2]);
        let factor = a.scale * std::f32::consts::LOG2_E;
        let ahead_k = (AHEAD / (2 * width.max(1))).next_multiple_of(STEP);
        let ahead_v = (AHEAD / (2 * values.max(1))).next_multiple_of(STEP);
        fetch(k.wrapping_add(task.first * ks), ks, width, ahead_k.min(TILE));
        let mut first = task.first;
        while first < task.end {
            let n = TILE.min(task.end - first);
            let (k, v) = (k.add(first * ks), v.add(first * vs));
            let mut i = 0;
            while i < n {
                let some = 16.min(n - i);
                let next = i + ahead_k;
                if next < n {
                    fetch(k.wrapping_add(next * ks), ks, width, 16);
                } else {
                    fetch(v.wrapping_add((next - n) * vs), vs, values, 16);
                }
                let k = k.add(i * ks);
                let (q, to) = (queries, scores.add(i));
                let mut r = 0;
                while r < task.rows {
                    let (q, to) = (q.add(r * pitch), to.add(r * TILE));
                    let left = task.rows - r;
                    if some < 16 || left == 1 {
                        dots(s, q, k, ks, width, some, factor, to);
                        r += 1;
                    } else if left < 4 {
                        dots_of::<2, 8>(q, pitch, k, ks, width, factor, to);
                        r += 2;
                    } else {
                        dots_of::<4, 4>(q, pitch, k, ks, width, factor, to);
                        r += 4;
                    }
                }
                i += 16;
            }
            mask(s, a, task, first, n, scores);
            for r in 0..task.rows {
                let scale = softmax(s, scores.add(r * TILE), n, part, r);
                if scale != 1.0 {
                    let mut d = 0;
                    while d < sums_pitch {
                        let p = sums.add(r * sums_pitch + d);
                        s.store(p, s.mul(s.load(p), s.splat(scale)));
                        d += 16;
                    }
                }
            }
            let mut i = 0;
            while i < n {
                let some = STEP.min(n - i);
                let next = i + ahead_v;
                if next < n {
                    fetch(v.wrapping_add(next * vs), vs, values, STEP);
                } else {
                    // Behind the last tile, the first keys of what this thread most likely does next.
                    fetch(k.wrapping_add(next * ks), ks, width, STEP);
                }
                let (v, mut r) = (v.add(i * vs), 0);
                while r < task.rows {
                    let (p, to) = (scores.add(r * TILE + i), sums.add(r * sums_pitch));
                    match task.rows - r {
                        1 => add::<1, 4>(p, v, vs, values, some, to, sums_pitch),
                        2 | 3 => add::<2, 4>(p, v, vs, values, some, to, sums_pitch),
                        _ => add::<4, 2>(p, v, vs, values, some, to, sums_pitch),
                    }
                    r += [0, 1, 2, 2, 4][(task.rows - r).min(4)];
                }
                i += STEP;
            }
            first += n;
        }
        // From even and odd elements to their order.
        let (low, high) = words();
        for r in 0..task.rows {
            let mut d = 0;
            while d < values {
                let from = sums.add(r * sums_pitch + d);
                let (even, odd) = (s.load(from), s.load(from.add(16)));
                let (to, n) = (part.values.add(r * values + d), values - d);
                s.store_n(to, _mm512_permutex2var_ps(even, low, odd), n.min(16));
                if n > 16 {
                    s.store_n(to.add(16), _mm512_permutex2var_ps(even, high, odd), (n - 16).min(16));
                }
                d += 32;
            }
        }
    }
}

/// How much scratch [`few`] needs.
pub(super) fn room<T>(a: &Attention<'_, T>) -> usize {
    decode::Decode::room(a) + FEW * (a.width.next_multiple_of(32) + a.value_width.next_multiple_of(32))
}

/// Where the elements of two interleaved vectors come from.
#[inline(always)]
unsafe fn words() -> (__m512i, __m512i) {
    // SAFETY: the caller's processor has AVX-512.
    unsafe {
        (
            _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
            _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
        )
    }
}

/// Asks for the memory of `n` rows. It need not exist.
#[inline(always)]
unsafe fn fetch(p: *const bf16, stride: usize, width: usize, n: usize) {
    for i in 0..n {
        let mut e = 0;
        while e < width {
            // SAFETY: a prefetch of any address is allowed.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(i * stride + e).cast()) }
            e += 32;
        }
    }
}

/// `factor · q · k` for up to sixteen keys.
#[inline(always)]
unsafe fn dots(
    s: Avx512,
    q: *const bf16,
    k: *const bf16,
    stride: usize,
    width: usize,
    n: usize,
    factor: f32,
    to: *mut f32,
) {
    // SAFETY: the caller's; rows beyond the last are that one again.
    unsafe {
        let mut acc = [_mm512_setzero_ps(); 16];
        let last = n - 1;
        let mut e = 0;
        while e < width {
            let some = first(width - e);
            let q = _mm512_loadu_si512(q.add(e).cast());
            let k = k.add(e);
            for j in 0..16 {
                acc[j] = dot(acc[j], _mm512_maskz_loadu_epi16(some, k.add(j.min(last) * stride).cast()), q);
            }
            e += 32;
        }
        s.store_n(to, s.mul(reduce(acc), s.splat(factor)), n);
    }
}

/// `factor · q · k` for `R` queries and sixteen keys, `N` of them at a time; `R · N` is sixteen.
#[inline(always)]
unsafe fn dots_of<const R: usize, const N: usize>(
    q: *const bf16,
    pitch: usize,
    k: *const bf16,
    stride: usize,
    width: usize,
    factor: f32,
    to: *mut f32,
) {
    // SAFETY: the caller's. A masked store touches its own lanes alone.
    unsafe {
        for keys in (0..16).step_by(N) {
            let mut acc = [_mm512_setzero_ps(); 16];
            let k = k.add(keys * stride);
            let mut e = 0;
            while e < width {
                let some = first(width - e);
                let mut qs = [_mm512_setzero_si512(); R];
                for r in 0..R {
                    qs[r] = _mm512_loadu_si512(q.add(r * pitch + e).cast());
                }
                for j in 0..N {
                    let k = _mm512_maskz_loadu_epi16(some, k.add(j * stride + e).cast());
                    for r in 0..R {
                        acc[r * N + j] = dot(acc[r * N + j], k, qs[r]);
                    }
                }
                e += 32;
            }
            let found = _mm512_mul_ps(reduce(acc), _mm512_set1_ps(factor));
            for r in 0..R {
                let lanes = ((1u32 << N) - 1) << (r * N);
                _mm512_mask_storeu_ps(
                    to.wrapping_add(r * TILE + keys).wrapping_sub(r * N),
                    lanes as __mmask16,
                    found,
                );
            }
        }
    }
}

/// Adds `p · v` for `R` rows and `n` keys to the sums, which keep the even elements of each 32 before the odd ones.
/// `V` vectors of values are taken at once.
#[inline(always)]
unsafe fn add<const R: usize, const V: usize>(
    p: *const f32,
    v: *const bf16,
    stride: usize,
    width: usize,
    n: usize,
    to: *mut f32,
    pitch: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut d = 0;
        while d + 32 * V <= width {
            add_some::<R, V>(p, v.add(d), stride, u32::MAX, n, to.add(d), pitch);
            d += 32 * V;
        }
        while d < width {
            add_some::<R, 1>(p, v.add(d), stride, first(width - d), n, to.add(d), pitch);
            d += 32;
        }
    }
}

#[inline(always)]
unsafe fn add_some<const R: usize, const V: usize>(
    p: *const f32,
    v: *const bf16,
    stride: usize,
    some: __mmask32,
    n: usize,
    to: *mut f32,
    pitch: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let odd = _mm512_set1_epi32(0xffff_0000_u32.cast_signed());
        let mut acc = [[[_mm512_setzero_ps(); 2]; V]; R];
        for r in 0..R {
            for j in 0..V {
                for half in 0..2 {
                    acc[r][j][half] = _mm512_loadu_ps(to.add(r * pitch + 32 * j + 16 * half));
                }
            }
        }
        for i in 0..n {
            let mut p_of = [_mm512_setzero_ps(); R];
            for r in 0..R {
                p_of[r] = _mm512_set1_ps(*p.add(r * TILE + i));
            }
            for j in 0..V {
                let v = v.add(i * stride + 32 * j).cast();
                let v = if V == 1 { _mm512_maskz_loadu_epi16(some, v) } else { _mm512_loadu_si512(v.cast()) };
                let low = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(v));
                let high = _mm512_castsi512_ps(_mm512_and_si512(v, odd));
                for r in 0..R {
                    acc[r][j][0] = _mm512_fmadd_ps(low, p_of[r], acc[r][j][0]);
                    acc[r][j][1] = _mm512_fmadd_ps(high, p_of[r], acc[r][j][1]);
                }
            }
        }
        for r in 0..R {
            for j in 0..V {
                for half in 0..2 {
                    _mm512_storeu_ps(to.add(r * pitch + 32 * j + 16 * half), acc[r][j][half]);
                }
            }
        }
    }
}
