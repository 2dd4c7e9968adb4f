// SPDX-License-Identifier: EUPL-1.2
//! Products of few rows.
//!
//! Codes become exact bfloat16 and meet activations in `vdpbf16ps`; a sum over some values of one group, in float32, is
//! then multiplied with the group's scale. Activations of more bits than bfloat16 has are the sum of two (float16) or
//! three (float32) bfloat16, exactly: the *planes*. The sum of biases takes the sums of the activations of each group.
//!
//! `vdpbf16ps` takes subnormal operands for 0, and gives 0 for subnormal sums. Of an activation, this loses less than
//! 2⁻¹²⁶, times the code.

use std::arch::x86_64::*;
use std::ops::Range;

use half::bf16;

use super::super::gemv::Line;
use super::super::{Format, Kind, Matrix};
use super::{Bits, brain, e2m1, e4m3, sixteen, whole};
use crate::simd::{Avx512, Scalar};

/// How packed values become bfloat16.
trait Codes: Copy {
    /// Values of a step.
    const STEP: usize;
    /// Words of a step.
    const WORDS: usize;
    /// Dot products of a step.
    const DOTS: usize;
    /// The first `words` of a step.
    unsafe fn load(self, p: *const u32, words: usize) -> __m512i;
    /// What dot product `d` of a step takes, 32 bfloat16.
    unsafe fn values(self, step: __m512i, d: usize) -> __m512i;
    /// Vectors of activations of a step.
    const VECTORS: usize = Self::STEP / 32;
    /// What values are greater by than the codes.
    const OFFSET: f32 = 0.0;
}

/// The first `words` of sixteen.
#[inline(always)]
unsafe fn load_words(p: *const u32, words: usize) -> __m512i {
    // SAFETY: the caller has the set, and the words.
    unsafe {
        if words == 16 {
            return _mm512_loadu_si512(p.cast());
        }
        _mm512_maskz_loadu_epi32(((1u32 << words) - 1) as __mmask16, p.cast())
    }
}

/// Shifts each 16-bit word by a multiple of 4 bits.
#[inline(always)]
unsafe fn shift(step: __m512i, nibbles: usize) -> __m512i {
    // SAFETY: the caller has the set.
    unsafe {
        match nibbles {
            0 => step,
            1 => _mm512_srli_epi16::<4>(step),
            2 => _mm512_srli_epi16::<8>(step),
            _ => _mm512_srli_epi16::<12>(step),
        }
    }
}

#[inline(always)]
unsafe fn table(values: &[u16]) -> __m512i {
    debug_assert!(values.len() >= 32);
    // SAFETY: the caller has the set; there are as many.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

/// 4 bits: 32 words of four values, in every set of which the lookup ignores all but the lowest.
#[derive(Clone, Copy)]
struct Nibbles {
    table: __m512i,
}

impl Codes for Nibbles {
    const STEP: usize = 128;
    const WORDS: usize = 16;
    const DOTS: usize = 4;
    #[inline(always)]
    unsafe fn load(self, p: *const u32, words: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { load_words(p, words) }
    }
    #[inline(always)]
    unsafe fn values(self, step: __m512i, d: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_permutexvar_epi16(shift(step, d), self.table) }
    }
}

/// 4 bits of whole numbers without a lookup, which few units of the processor do: code `c` in the upper bits of a
/// mantissa is 16 + c.
#[derive(Clone, Copy)]
struct Mantissas;

impl Codes for Mantissas {
    const STEP: usize = Nibbles::STEP;
    const WORDS: usize = Nibbles::WORDS;
    const DOTS: usize = Nibbles::DOTS;
    const OFFSET: f32 = 16.0;
    #[inline(always)]
    unsafe fn load(self, p: *const u32, words: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { load_words(p, words) }
    }
    #[inline(always)]
    unsafe fn values(self, step: __m512i, d: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe {
            let shifted = match d {
                0 => _mm512_slli_epi16::<3>(step),
                1 => _mm512_srli_epi16::<1>(step),
                2 => _mm512_srli_epi16::<5>(step),
                _ => _mm512_srli_epi16::<9>(step),
            };
            // shifted & mask | sixteen
            let (mask, sixteen) = (_mm512_set1_epi16(0x0078), _mm512_set1_epi16(brain(16.0).cast_signed()));
            _mm512_ternarylogic_epi32::<0xea>(shifted, mask, sixteen)
        }
    }
}

/// 8 bits, as the sum of two values of 4 bits.
#[derive(Clone, Copy)]
struct Bytes {
    low: __m512i,
    high: __m512i,
}

impl Codes for Bytes {
    const STEP: usize = 64;
    const WORDS: usize = 16;
    const DOTS: usize = 4;
    #[inline(always)]
    unsafe fn load(self, p: *const u32, words: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { load_words(p, words) }
    }
    #[inline(always)]
    unsafe fn values(self, step: __m512i, d: usize) -> __m512i {
        let table = if d.is_multiple_of(2) { self.low } else { self.high };
        // SAFETY: the caller's.
        unsafe { _mm512_permutexvar_epi16(shift(step, d), table) }
    }
}

/// 2, 3 and 5 bits.
#[derive(Clone, Copy)]
struct Few<const BITS: usize> {
    bits: Bits<BITS>,
    table: __m512i,
}

impl<const BITS: usize> Codes for Few<BITS> {
    const STEP: usize = 64;
    const WORDS: usize = 2 * BITS;
    const DOTS: usize = 2;
    #[inline(always)]
    unsafe fn load(self, p: *const u32, words: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { self.bits.load(p, words) }
    }
    #[inline(always)]
    unsafe fn values(self, step: __m512i, d: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_permutexvar_epi16(shift(step, 2 * d), self.table) }
    }
}

/// 6 bits.
#[derive(Clone, Copy)]
struct Six {
    bits: Bits<6>,
    low: __m512i,
    high: __m512i,
}

impl Codes for Six {
    const STEP: usize = 64;
    const WORDS: usize = 12;
    const DOTS: usize = 2;
    #[inline(always)]
    unsafe fn load(self, p: *const u32, words: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { self.bits.load(p, words) }
    }
    #[inline(always)]
    unsafe fn values(self, step: __m512i, d: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_permutex2var_epi16(self.low, shift(step, 2 * d), self.high) }
    }
}

/// E4M3: two lookups of 64 magnitudes each, and the sign.
#[derive(Clone, Copy)]
struct Floats {
    tables: [__m512i; 4],
}

impl Codes for Floats {
    const STEP: usize = 64;
    const WORDS: usize = 16;
    const DOTS: usize = 2;
    #[inline(always)]
    unsafe fn load(self, p: *const u32, words: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { load_words(p, words) }
    }
    #[inline(always)]
    unsafe fn values(self, step: __m512i, d: usize) -> __m512i {
        let [a, b, c, e] = self.tables;
        // SAFETY: the caller's.
        unsafe {
            let index = shift(step, 2 * d);
            let sign = if d == 0 { _mm512_slli_epi16::<8>(step) } else { step };
            let small = _mm512_permutex2var_epi16(a, index, b);
            let large = _mm512_permutex2var_epi16(c, index, e);
            let is_large = _mm512_test_epi16_mask(index, _mm512_set1_epi16(0x40));
            let magnitude = _mm512_mask_mov_epi16(small, is_large, large);
            // magnitude | sign & 0x8000
            _mm512_ternarylogic_epi32::<0xf8>(magnitude, sign, _mm512_set1_epi16(i16::MIN))
        }
    }
}

/// Where the lanes of the first step find their scales, if a step is `N` groups.
const fn spread<const N: usize>() -> [i32; 16] {
    let mut index = [0; 16];
    let mut i = 0;
    while i < 16 {
        index[i] = (i * N / 16) as i32;
        i += 1;
    }
    index
}

/// What all tiles of a product share.
struct Tiles<'a> {
    /// `[steps][m][planes][vectors]` of 32 bfloat16.
    x: *const Line,
    /// `[m][sums_stride]`, for affine.
    sums: *const f32,
    sums_stride: usize,
    matrix: &'a Matrix<'a>,
    /// Steps are halves of groups where 1.
    group_shift: u32,
}

/// `M` rows of activations times `R` rows of a matrix, 2 or 4.
///
/// # Safety
/// The processor has the set; the matrix has these rows.
#[inline(always)]
#[expect(clippy::needless_range_loop, reason = "the indices of a tile are of several arrays at once")]
unsafe fn tile<C: Codes, const N: usize, const PLANES: usize, const M: usize, const R: usize>(
    codes: C,
    tiles: &Tiles<'_>,
    rows: [usize; R],
) -> [[f32; R]; M] {
    let matrix = tiles.matrix;
    let (groups, row_words) = (matrix.row_groups(), matrix.row_words());
    let e4m3 = matrix.format().kind() == Kind::Nvfp4;
    // SAFETY: the caller's. The last step reads the words that are left of the row; activations and their sums are
    // padded with zeros to whole steps and sixteens.
    unsafe {
        let words = rows.map(|row| matrix.words().as_ptr().add(row * row_words));
        let mut sums = [[_mm512_setzero_ps(); R]; M];
        let mut x = tiles.x;
        let mut at = 0;
        let mut group = 0;
        while group < groups {
            // The scales of sixteen groups, each row's in one register.
            let count = (groups - group).min(16);
            let mut scales = [_mm512_setzero_ps(); R];
            for r in 0..R {
                scales[r] = sixteen(matrix.scales(), e4m3, rows[r] * groups + group, count);
                if let Some(biases) = matrix.biases() {
                    let bias = sixteen(biases, false, rows[r] * groups + group, count);
                    let bias = _mm512_fnmadd_ps(_mm512_set1_ps(C::OFFSET), scales[r], bias);
                    for m in 0..M {
                        let x = _mm512_loadu_ps(tiles.sums.add(m * tiles.sums_stride + group));
                        sums[m][r] = _mm512_fmadd_ps(bias, x, sums[m][r]);
                    }
                }
            }
            let mut index = _mm512_loadu_si512(const { spread::<N>() }.as_ptr().cast());
            let steps = if N == 1 { count << tiles.group_shift } else { count.div_ceil(N) };
            for step in 0..steps {
                if N == 1 {
                    index = _mm512_set1_epi32((step >> tiles.group_shift) as i32);
                }
                let left = (row_words - at).min(C::WORDS);
                let mut loaded = [_mm512_setzero_si512(); R];
                for r in 0..R {
                    // Past the larger caches, which have no use for what is read once: moving lines to them and out again
                    // costs a tenth of the rate where memory is slow.
                    let later = words[r].wrapping_add(at).wrapping_byte_add(WORDS_AHEAD);
                    _mm_prefetch::<_MM_HINT_NTA>(later.cast());
                    loaded[r] = codes.load(words[r].add(at), left);
                }
                let mut dots = [[_mm512_setzero_ps(); R]; M];
                for d in 0..C::DOTS {
                    let vector = d * C::VECTORS / C::DOTS;
                    let mut values = [_mm512_setzero_si512(); R];
                    for r in 0..R {
                        values[r] = codes.values(loaded[r], d);
                    }
                    for m in 0..M {
                        for plane in 0..PLANES {
                            let x = x.add((m * PLANES + plane) * C::VECTORS + vector);
                            let x = _mm512_load_si512(x.cast());
                            for r in 0..R {
                                dots[m][r] = _mm512_dpbf16_ps(dots[m][r], bf16s(values[r]), bf16s(x));
                            }
                        }
                    }
                }
                for r in 0..R {
                    let scale = _mm512_permutexvar_ps(index, scales[r]);
                    for m in 0..M {
                        sums[m][r] = _mm512_fmadd_ps(dots[m][r], scale, sums[m][r]);
                    }
                }
                index = _mm512_add_epi32(index, _mm512_set1_epi32(N as i32));
                x = x.add(M * PLANES * C::VECTORS);
                at += C::WORDS;
            }
            group += 16;
        }
        let mut out = [[0.0; R]; M];
        for m in 0..M {
            let zero = _mm512_setzero_ps();
            let (c, d) = if R == 4 { (sums[m][2], sums[m][3]) } else { (zero, zero) };
            let four = sum4(sums[m][0], sums[m][1], c, d);
            out[m].copy_from_slice(&four[..R]);
        }
        out
    }
}

#[inline(always)]
unsafe fn bf16s(v: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes.
    unsafe { std::mem::transmute(v) }
}

/// The sums of the lanes of four vectors.
#[inline(always)]
unsafe fn sum4(a: __m512, b: __m512, c: __m512, d: __m512) -> [f32; 4] {
    // SAFETY: the caller has the set.
    unsafe {
        let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
        let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
        let (ab, cd) = (_mm512_castps_pd(ab), _mm512_castps_pd(cd));
        let low = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
        let high = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
        let v = _mm512_add_ps(low, high);
        let v = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let mut out = [0.0; 4];
        _mm_storeu_ps(out.as_mut_ptr(), v);
        out
    }
}

/// Values of a step, for activations.
fn step(format: Format) -> usize {
    if format.bits() == 4 { 128 } else { 64 }
}

/// How many rows the tile has that comes next where `m` are left.
const fn tile_rows(m: usize) -> usize {
    match m {
        1 => 1,
        2 | 3 => 2,
        _ => 4,
    }
}

/// The layout of activations: first the tiles, then the sums of groups.
pub(in super::super) struct Layout {
    steps: usize,
    vectors: usize,
    planes: usize,
    groups: usize,
    pub(in super::super) lines: usize,
}

impl Layout {
    pub(in super::super) fn new(format: Format, m: usize, k: usize, planes: usize) -> Self {
        let step = step(format);
        let (steps, vectors) = (k.div_ceil(step), step / 32);
        let groups = if format.kind() == Kind::Affine { k / format.group_size() } else { 0 };
        let lines = m * (steps * vectors * planes + groups.div_ceil(16));
        Self { steps, vectors, planes, groups, lines }
    }

    fn row(&self) -> usize {
        self.steps * self.vectors * self.planes
    }
}

/// Brings `[m, k]` activations to the order of `layout`.
///
/// # Safety
/// The processor has the set; `x` is `[m, k]` for the layout, and `out` has its lines.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
pub(in super::super) unsafe fn prepare<T: Scalar>(
    layout: &Layout,
    format: Format,
    m: usize,
    k: usize,
    x: &[T],
    out: &mut [Line],
) {
    let (tiles, sums) = out.split_at_mut(m * layout.row());
    let mut done = 0;
    while done < m {
        let rows = tile_rows(m - done);
        for i in 0..rows {
            let x = &x[(done + i) * k..][..k];
            // SAFETY: the tile starts there and has `rows` interleaved rows.
            unsafe {
                let to = tiles.as_mut_ptr().add(done * layout.row() + i * layout.planes * layout.vectors);
                order(layout, x, to, rows * layout.planes * layout.vectors);
            }
            let stride = layout.groups.div_ceil(16);
            if stride > 0 {
                let to = sums[(done + i) * stride..][..stride].as_mut_ptr().cast::<f32>();
                // SAFETY: there is one sum a group.
                unsafe { group_sums(x, format.group_size(), to) };
            }
        }
        done += rows;
    }
}

/// Sums in float32 of groups of `group` values, 32 to 128.
#[inline(always)]
unsafe fn group_sums<T: Scalar>(x: &[T], group: usize, to: *mut f32) {
    // SAFETY: the caller's; a group is a multiple of 32 values.
    unsafe {
        let s = Avx512::new();
        let groups = x.len() / group;
        let mut i = 0;
        while i < groups {
            let mut four = [_mm512_setzero_ps(); 4];
            let count = (groups - i).min(4);
            for (g, v) in four.iter_mut().enumerate().take(count) {
                let p = x.as_ptr().add((i + g) * group);
                *v = _mm512_add_ps(T::load(s, p), T::load(s, p.add(16)));
                let mut at = 32;
                while at < group {
                    *v = _mm512_add_ps(*v, T::load(s, p.add(at)));
                    at += 16;
                }
            }
            // The row of sums is padded to whole sixteens.
            let [a, b, c, d] = four;
            _mm_storeu_ps(to.add(i), _mm_loadu_ps(sum4(a, b, c, d).as_ptr()));
            i += 4;
        }
    }
}

/// One row, split in planes and brought to the order of steps, which are `stride` vectors apart.
#[inline(always)]
unsafe fn order<T: Scalar>(layout: &Layout, x: &[T], to: *mut Line, stride: usize) {
    let width = layout.vectors * 32;
    for step in 0..layout.steps {
        let start = step * width;
        let count = (x.len() - start).min(width);
        // SAFETY: the caller's; the buffer is as long as a step, and what is left of a row is a multiple of 16.
        unsafe {
            let to = to.add(step * stride);
            if size_of::<T>() == 2 && layout.planes == 1 && count == width {
                shuffle(layout.vectors, x.as_ptr().add(start).cast(), to);
                continue;
            }
            let mut planes = [[Line([0.0; 16]); 4]; 3];
            split(&x[start..][..count], layout.planes, &mut planes);
            for (plane, values) in planes.iter().enumerate().take(layout.planes) {
                shuffle(layout.vectors, values.as_ptr().cast(), to.add(plane * layout.vectors));
            }
        }
    }
}

/// The upper halves of 32-bit lanes.
#[inline(always)]
unsafe fn store_top(p: *mut u16, v: __m512i) {
    // SAFETY: the caller has the set, and room for 16.
    unsafe { _mm256_storeu_si256(p.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(v))) };
}

/// Splits values in planes that are bfloat16, from the highest bits on. What is no number stays whole in the first.
#[inline(always)]
unsafe fn split<T: Scalar>(x: &[T], planes: usize, out: &mut [[Line; 4]; 3]) {
    // SAFETY: the caller has the set, and `x` is a multiple of 16 values, at most 128.
    unsafe {
        let s = Avx512::new();
        let top = _mm512_set1_epi32(0xffff_0000u32 as i32);
        let [p0, p1, p2] = out.each_mut().map(|plane| plane.as_mut_ptr().cast::<u16>());
        for at in (0..x.len()).step_by(16) {
            let v = T::load(s, x.as_ptr().add(at));
            // A NaN must not lose the bits that make it one.
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(v, v);
            let v = _mm512_castsi512_ps(_mm512_mask_or_epi32(
                _mm512_castps_si512(v),
                nan,
                _mm512_castps_si512(v),
                _mm512_set1_epi32(0x0040_0000),
            ));
            let high = _mm512_and_si512(_mm512_castps_si512(v), top);
            store_top(p0.add(at), high);
            if planes > 1 {
                let finite =
                    _mm512_cmp_ps_mask::<_CMP_LT_OQ>(_mm512_abs_ps(v), _mm512_set1_ps(f32::INFINITY));
                let rest = _mm512_maskz_sub_ps(finite, v, _mm512_castsi512_ps(high));
                let middle = _mm512_and_si512(_mm512_castps_si512(rest), top);
                store_top(p1.add(at), middle);
                if planes > 2 {
                    let low = _mm512_sub_ps(rest, _mm512_castsi512_ps(middle));
                    store_top(p2.add(at), _mm512_castps_si512(low));
                }
            }
        }
    }
}

/// Every how manieth value a vector has: `[vectors][32]` to `[32][vectors]` and back.
const fn stride_index(vectors: usize, first: usize) -> [u16; 32] {
    let mut index = [0; 32];
    let mut i = 0;
    while i < 32 {
        index[i] = (i * vectors + first) as u16 % 64;
        i += 1;
    }
    index
}

/// Values of a step from their own order to that of lookups: vector `j` has each value `vectors · i + j`.
#[inline(always)]
pub(super) unsafe fn shuffle(vectors: usize, from: *const bf16, to: *mut Line) {
    const TWO: [[u16; 32]; 2] = [stride_index(2, 0), stride_index(2, 1)];
    const FOUR: [[u16; 32]; 4] =
        [stride_index(4, 0), stride_index(4, 1), stride_index(4, 2), stride_index(4, 3)];
    // SAFETY: the caller has the set, and as many values.
    unsafe {
        let (a, b) = (_mm512_loadu_si512(from.cast()), _mm512_loadu_si512(from.add(32).cast()));
        if vectors == 2 {
            for (j, index) in TWO.iter().enumerate() {
                let v = _mm512_permutex2var_epi16(a, table(index), b);
                _mm512_storeu_si512(to.add(j).cast(), v);
            }
            return;
        }
        let (c, d) = (_mm512_loadu_si512(from.add(64).cast()), _mm512_loadu_si512(from.add(96).cast()));
        for (j, index) in FOUR.iter().enumerate() {
            let low = _mm512_permutex2var_epi16(a, table(index), b);
            let high = _mm512_permutex2var_epi16(c, table(index), d);
            _mm512_storeu_si512(to.add(j).cast(), _mm512_mask_mov_epi16(low, 0xffff_0000, high));
        }
    }
}

/// Which product it is.
pub(in super::super) struct Product<'a> {
    pub(in super::super) x: &'a [Line],
    pub(in super::super) m: usize,
    pub(in super::super) planes: usize,
    pub(in super::super) matrix: &'a Matrix<'a>,
    pub(in super::super) rows: Range<usize>,
}

impl Product<'_> {
    /// # Safety
    /// The processor has the set; `x` was prepared for `m` rows of the matrix's width in `planes`, and the rows are
    /// the matrix's, and `out` is `[m, rows.len()]`.
    pub(in super::super) unsafe fn run(self, out: &mut [f32]) {
        let format = self.matrix.format();
        // SAFETY: the caller's.
        unsafe {
            match (format.kind(), format.bits()) {
                (Kind::Affine, 2) => self.few::<2>(out),
                (Kind::Affine, 3) => self.few::<3>(out),
                (Kind::Affine, 5) => self.few::<5>(out),
                (Kind::Affine, 6) => six(self, out),
                (Kind::Affine, 8) => bytes(self, out),
                (Kind::Mxfp8, _) => floats(self, out),
                _ => nibbles(self, out),
            }
        }
    }

    unsafe fn few<const BITS: usize>(self, out: &mut [f32]) {
        #[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
        unsafe fn few<const BITS: usize>(product: Product<'_>, out: &mut [f32]) {
            // SAFETY: the caller's.
            unsafe {
                let codes =
                    Few::<BITS> { bits: Bits::new(), table: table(&const { whole::<32>(1 << BITS, 1) }) };
                product.groups(codes, out);
            }
        }
        // SAFETY: the caller's.
        unsafe { few::<BITS>(self, out) }
    }

    #[inline(always)]
    unsafe fn groups<C: Codes>(self, codes: C, out: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe {
            match C::STEP / self.matrix.format().group_size() {
                0 | 1 => self.planes::<C, 1>(codes, out),
                2 => self.planes::<C, 2>(codes, out),
                // Only steps of 128 values are so many groups.
                4 if C::STEP == 128 => self.planes::<C, 4>(codes, out),
                _ if C::STEP == 128 => self.planes::<C, 8>(codes, out),
                _ => {}
            }
        }
    }

    #[inline(always)]
    unsafe fn planes<C: Codes, const N: usize>(self, codes: C, out: &mut [f32]) {
        // SAFETY: the caller's.
        unsafe {
            match self.planes {
                1 => self.tiles::<C, N, 1>(codes, out),
                2 => self.tiles::<C, N, 2>(codes, out),
                _ => self.tiles::<C, N, 3>(codes, out),
            }
        }
    }

    /// The tiles of rows of activations, one after the other.
    #[inline(always)]
    unsafe fn tiles<C: Codes, const N: usize, const PLANES: usize>(&self, codes: C, out: &mut [f32]) {
        let mut done = 0;
        while done < self.m {
            let rows = tile_rows(self.m - done);
            // SAFETY: the caller's.
            unsafe {
                match rows {
                    1 => rows_of::<C, N, PLANES, 1, 4>(self, codes, done, out),
                    2 => rows_of::<C, N, PLANES, 2, 4>(self, codes, done, out),
                    _ => rows_of::<C, N, PLANES, 4, 2>(self, codes, done, out),
                }
            }
            done += rows;
        }
    }
}

/// How many bytes ahead words are asked for: the processor's own prefetching does not follow rows that are so short.
const WORDS_AHEAD: usize = 16 << 10;

/// All rows of the matrix for the tile of activations that starts with row `done`.
#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn rows_of<C: Codes, const N: usize, const PLANES: usize, const M: usize, const R: usize>(
    product: &Product<'_>,
    codes: C,
    done: usize,
    out: &mut [f32],
) {
    let Product { x, m, matrix, rows, .. } = product;
    let format = matrix.format();
    let layout = Layout::new(format, *m, matrix.k(), PLANES);
    let (activations, sums) = x.split_at(m * layout.row());
    let sixteens = matrix.row_groups().div_ceil(16);
    let tiles = Tiles {
        x: activations[done * layout.row()..].as_ptr(),
        sums: sums.as_ptr().wrapping_add(done * sixteens).cast(),
        sums_stride: sixteens * 16,
        matrix,
        group_shift: (format.group_size() / C::STEP).max(1).trailing_zeros(),
    };
    let count = rows.len();
    let mut j = 0;
    while j < count {
        let left = (count - j).min(R);
        // A tile that is not full does its last row more than once.
        let rows = std::array::from_fn(|r| rows.start + j + r.min(left - 1));
        // SAFETY: the rows are the matrix's, and the activations were prepared for its format.
        let results = unsafe { tile::<C, N, PLANES, M, R>(codes, &tiles, rows) };
        for (i, results) in results.iter().enumerate() {
            // No `copy_from_slice`, which would be a call for so few.
            let out = &mut out[(done + i) * count + j..][..left];
            if let Ok(out) = <&mut [f32; R]>::try_from(&mut *out) {
                *out = *results;
            } else {
                out.copy_from_slice(&results[..left]);
            }
        }
        j += R;
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn nibbles(product: Product<'_>, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let affine = product.matrix.format().kind() == Kind::Affine;
        if affine && product.planes < 3 {
            return product.groups(Mantissas, out);
        }
        // Of float32 the sums are as exact as sums can be: no offset is taken off them again.
        let values = if affine { &const { whole::<32>(16, 1) } } else { &const { e2m1() } };
        product.groups(Nibbles { table: table(values) }, out);
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn bytes(product: Product<'_>, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let (low, high) = (table(&const { whole::<32>(16, 1) }), table(&const { whole::<32>(16, 16) }));
        product.groups(Bytes { low, high }, out);
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn six(product: Product<'_>, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let values = &const { whole::<64>(64, 1) };
        product.groups(Six { bits: Bits::new(), low: table(values), high: table(&values[32..]) }, out);
    }
}

#[target_feature(enable = "avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx512vbmi")]
unsafe fn floats(product: Product<'_>, out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let values = &const { e4m3() };
        let tables = [table(values), table(&values[32..]), table(&values[64..]), table(&values[96..])];
        product.groups(Floats { tables }, out);
    }
}
