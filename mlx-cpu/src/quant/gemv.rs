// SPDX-License-Identifier: EUPL-1.2
//! Products of few rows with packed weights.

use std::ops::Range;

use super::{Element, Format, Matrix, plain};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::simd::{Kernel, Scalar, Simd, dispatch};
use crate::{Error, Isa, Result};

/// How many rows of activations [`Prepared`] takes.
pub const MAX_ROWS: usize = 8;

/// Rows of activations as [`gemv_rows`] reads them, made once a product.
///
/// No activation is rounded.
#[derive(Clone, Debug)]
pub struct Prepared {
    isa: Isa,
    format: Format,
    /// How many bfloat16 a value is the sum of, where the instruction set wants such.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no other set wants them yet"))]
    planes: usize,
    m: usize,
    k: usize,
    lines: Vec<Line>,
}

/// A line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [f32; 16]);

impl Prepared {
    /// Prepares `x`, `[m, k]` with `m` from 1 to [`MAX_ROWS`], for products with matrices of `format`.
    ///
    /// # Errors
    /// [`Error::Operand`] when `m` or `k` is out of range, `k` is no multiple of the group size, or `x` has another
    /// length.
    pub fn new<T: Element>(isa: Isa, format: Format, m: usize, k: usize, x: &[T]) -> Result<Self> {
        const NAME: &str = "gemv";
        if m == 0 || m > MAX_ROWS {
            return Err(Error::operand(NAME, format!("expected 1 to {MAX_ROWS} rows, found {m}")));
        }
        if !k.is_multiple_of(format.group_size()) {
            let message = format!("rows of {k} values do not divide into groups of {}", format.group_size());
            return Err(Error::operand(NAME, message));
        }
        if m.checked_mul(k) != Some(x.len()) {
            return Err(Error::operand(NAME, format!("expected {m} rows of {k} values, found {}", x.len())));
        }
        let isa = if isa.is_available() { isa } else { Isa::Portable };
        #[cfg(target_arch = "x86_64")]
        if isa == Isa::Avx512Bf16 {
            let planes = T::PLANES;
            let layout = avx512::gemv::Layout::new(format, m, k, planes);
            let mut lines = vec![Line([0.0; 16]); layout.lines];
            // SAFETY: the set is available, and the operands are of these shapes.
            unsafe { avx512::gemv::prepare(&layout, format, m, k, x, &mut lines) };
            return Ok(Self { isa, format, planes, m, k, lines });
        }
        let lines = vec![Line([0.0; 16]); k.div_ceil(16) * m];
        let mut prepared = Self { isa, format, planes: 0, m, k, lines };
        dispatch(isa, Widen { x, k, out: &mut prepared.lines });
        Ok(prepared)
    }

    /// How many rows there are.
    #[must_use]
    pub const fn m(&self) -> usize {
        self.m
    }

    /// How many values a row has.
    #[must_use]
    pub const fn k(&self) -> usize {
        self.k
    }
}

struct Widen<'a, T> {
    x: &'a [T],
    k: usize,
    out: &'a mut [Line],
}

impl<T: Scalar> Kernel for Widen<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.k == 0 {
            return;
        }
        for (x, out) in self.x.chunks_exact(self.k).zip(self.out.chunks_exact_mut(self.k.div_ceil(16))) {
            let out = out.as_mut_ptr().cast::<f32>();
            for at in (0..self.k).step_by(S::LANES) {
                // SAFETY: a row is a multiple of 16 values, thus of the lanes.
                unsafe { s.store(out.add(at), T::load(s, x.as_ptr().add(at))) };
            }
        }
    }
}

/// Multiplies the prepared rows with `rows` of a matrix: `out[i · rows.len() + j] = Σ x[i, :] · matrix[rows.start + j, :]`.
///
/// Sums are in float32, in an order that depends on the instruction set, the format and `k` alone. Where an activation
/// or a scale is not finite, a result that depends on it is not finite either; which of NaN and the infinities it is
/// may differ from the sum of the products.
///
/// # Errors
/// [`Error::Operand`] when the matrix has another format or `k`, has no such rows, or `out` is not `[m, rows.len()]`.
pub fn gemv_rows(
    prepared: &Prepared,
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    out: &mut [f32],
) -> Result<()> {
    const NAME: &str = "gemv_rows";
    matrix.check_rows(NAME, &rows, out.len(), prepared.m)?;
    if matrix.format() != prepared.format || matrix.k() != prepared.k {
        let message = format!(
            "expected rows of {} values in {:?}, found {} in {:?}",
            prepared.k,
            prepared.format,
            matrix.k(),
            matrix.format()
        );
        return Err(Error::operand(NAME, message));
    }
    #[cfg(target_arch = "x86_64")]
    if prepared.isa == Isa::Avx512Bf16 {
        let Prepared { planes, m, ref lines, .. } = *prepared;
        let product = avx512::gemv::Product { x: lines, m, planes, matrix, rows };
        // SAFETY: the activations were prepared for this format and `k`, which the set was available for.
        unsafe { product.run(out) };
        return Ok(());
    }
    #[cfg(target_arch = "x86_64")]
    if matches!(prepared.isa, Isa::Avx2 | Isa::Avx512) && prepared.k > 0 {
        let (x, stride) = (prepared.lines.as_ptr().cast(), prepared.k.div_ceil(16) * 16);
        let product = avx2::Product { x, stride, m: prepared.m, out };
        // SAFETY: the set was available for the activations, which fit the matrix; the rows were checked.
        unsafe { avx2::run(product, matrix, rows) };
        return Ok(());
    }
    dispatch(prepared.isa, Product { prepared, matrix, rows, out });
    Ok(())
}

struct Product<'a> {
    prepared: &'a Prepared,
    matrix: &'a Matrix<'a>,
    rows: Range<usize>,
    out: &'a mut [f32],
}

/// Values that are unpacked at a time; a multiple of every group size.
const CHUNK: usize = 512;

impl Kernel for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { prepared, matrix, rows, out } = self;
        let (m, k, count) = (prepared.m, prepared.k, rows.len());
        let x = prepared.lines.as_ptr().cast::<f32>();
        let stride = k.div_ceil(16) * 16;
        let mut buffer = [Line([0.0; 16]); CHUNK / 16];
        for (j, row) in rows.enumerate() {
            let mut sums = [[s.splat(0.0); 2]; MAX_ROWS];
            for start in (0..k).step_by(CHUNK) {
                let len = CHUNK.min(k - start);
                // SAFETY: the buffer has as many.
                let values =
                    unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<f32>(), len) };
                plain::groups(s, matrix, row, start / matrix.format().group_size(), values);
                for (i, sums) in sums.iter_mut().enumerate().take(m) {
                    let [mut even, mut odd] = *sums;
                    let mut at = 0;
                    // SAFETY: a row is a multiple of 16 values, thus of the lanes, and has `k` of them.
                    unsafe {
                        let x = x.add(i * stride + start);
                        while at + 2 * S::LANES <= len {
                            even = s.fma(s.load(values.as_ptr().add(at)), s.load(x.add(at)), even);
                            let at2 = at + S::LANES;
                            odd = s.fma(s.load(values.as_ptr().add(at2)), s.load(x.add(at2)), odd);
                            at += 2 * S::LANES;
                        }
                        if at < len {
                            even = s.fma(s.load(values.as_ptr().add(at)), s.load(x.add(at)), even);
                        }
                    }
                    *sums = [even, odd];
                }
            }
            for (i, [even, odd]) in sums.into_iter().enumerate().take(m) {
                out[i * count + j] = s.sum(s.add(even, odd));
            }
        }
    }
}
