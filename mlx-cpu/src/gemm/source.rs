// SPDX-License-Identifier: EUPL-1.2
//! Where the weights of a product come from, and in which form the kernels take them.

use std::any::TypeId;
use std::ops::Range;

use half::bf16;

#[cfg(target_arch = "x86_64")]
use super::pairs::{self, Ahead, Cut, LANES};
use super::{Shape, checked, dots, floats};
#[cfg(target_arch = "x86_64")]
use crate::RowsMut;
use crate::quant::{self, Matrix};
use crate::simd::{Kernel, Simd, dispatch};
use crate::{Element, Isa, Result, Rows};

/// The weights of a product, `[N, K]`.
#[derive(Clone, Copy, Debug)]
pub enum Weight<'a, T> {
    /// N rows of K elements.
    Rows(Rows<'a, T>),
    /// K rows of N elements: the transposed matrix, as in `x · W`.
    Columns(Rows<'a, T>),
    /// N rows of K elements in few bits.
    Packed(Matrix<'a>),
    /// K rows of N elements in few bits.
    PackedColumns(Matrix<'a>),
}

impl<'a, T: Element> Weight<'a, T> {
    /// N.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.shape()[0]
    }

    /// `[N, K]`.
    pub(crate) fn shape(&self) -> [usize; 2] {
        match self {
            Self::Rows(rows) => [rows.rows(), rows.width()],
            Self::Columns(columns) => [columns.width(), columns.rows()],
            Self::Packed(matrix) => [matrix.n(), matrix.k()],
            Self::PackedColumns(matrix) => [matrix.k(), matrix.n()],
        }
    }

    /// The matrix whose rows the kernels for packed weights take.
    pub(crate) fn packed(&self) -> Option<&Matrix<'a>> {
        match self {
            Self::Packed(matrix) => Some(matrix),
            _ => None,
        }
    }

    /// What the task after the one with these outputs reads, if it lies without gaps.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn after(&self, columns: &Range<usize>, k: usize) -> Ahead {
        match self {
            Self::Rows(rows) if rows.stride() == k && columns.end < rows.rows() => {
                let count = columns.len().min(rows.rows() - columns.end);
                Ahead::new(rows.at(columns.end).cast(), count * k * size_of::<T>())
            }
            _ => Ahead::NOTHING,
        }
    }

    /// Bits that one weight takes in memory, scales left out.
    pub(crate) fn bits(&self) -> usize {
        match self {
            Self::Rows(_) | Self::Columns(_) => size_of::<T>() * 8,
            Self::Packed(matrix) | Self::PackedColumns(matrix) => matrix.format().bits(),
        }
    }
}

/// Activations in the forms that kernels take them in.
pub(crate) struct Panels<'a, T> {
    isa: Isa,
    /// Whether products are dot products of bfloat16.
    dots: bool,
    x: Rows<'a, T>,
    /// `x` in float32, `[M, K]` without gaps; empty where it is not needed.
    floats: Vec<f32>,
    /// `x` in the order that unpacked weights of a format have, for each format.
    #[cfg(target_arch = "x86_64")]
    ordered: Vec<(quant::Format, Vec<bf16>)>,
}

/// A block of weights, ready for a product.
pub(crate) enum Panel<'a, T> {
    /// As it lies in memory.
    Direct(*const T, usize),
    /// In float32.
    Floats(&'a [f32]),
    /// In bfloat16, in the order of K.
    Plain(&'a [bf16]),
}

impl<'a, T: Element> Panels<'a, T> {
    /// Prepares `x` for all of `weights`; `few` leaves out what packed weights would need.
    pub(crate) fn new<'w>(
        isa: Isa,
        x: &Rows<'a, T>,
        weights: impl Iterator<Item = &'w Weight<'w, T>>,
        few: bool,
    ) -> Result<Self>
    where
        T: 'w,
    {
        let dots = isa.has_bf16_dots() && isa.is_available() && TypeId::of::<T>() == TypeId::of::<bf16>();
        let mut this = Self {
            isa,
            dots,
            x: *x,
            floats: Vec::new(),
            #[cfg(target_arch = "x86_64")]
            ordered: Vec::new(),
        };
        for weight in weights {
            match weight {
                Weight::Packed(_) if few => {}
                #[cfg(target_arch = "x86_64")]
                Weight::Packed(matrix) if dots => this.order(matrix.format())?,
                _ if dots => {}
                _ => this.widen(),
            }
        }
        Ok(this)
    }

    /// Whether products are dot products of bfloat16.
    pub(super) const fn is_dots(&self) -> bool {
        self.dots
    }

    /// Brings the given outputs of `weight` to pairs, and returns the activations that they are to be multiplied with, and
    /// their stride. `rows` has room for sixteen rows of K bfloat16.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn pack(
        &self,
        weight: &Weight<'_, T>,
        columns: &Range<usize>,
        cut: Cut,
        block: &mut [f32],
        rows: &mut [f32],
    ) -> (*const bf16, usize) {
        let (k, count) = (self.x.width(), columns.len());
        let block = block.as_mut_ptr().cast::<u32>();
        // SAFETY: a float32 is two bfloat16, all of whose bits are values; there is room for sixteen rows.
        let rows = unsafe { std::slice::from_raw_parts_mut(rows.as_mut_ptr().cast::<bf16>(), LANES * k) };
        for first in (0..count).step_by(LANES) {
            let n = LANES.min(count - first);
            let these = columns.start + first..columns.start + first + n;
            let rows = &mut rows[..n * k];
            let (p, stride) = match weight {
                Weight::Rows(source) => (source.at(these.start).cast::<bf16>(), source.stride()),
                Weight::Packed(matrix) => {
                    checked(quant::unpack_panel_bf16(self.isa, matrix, these, rows));
                    (rows.as_ptr(), k)
                }
                Weight::Columns(source) => {
                    // SAFETY: these are columns of the matrix, whose elements are bfloat16 where dot products are used; the
                    // block was made for the cut.
                    unsafe {
                        let p = source.at(0).cast::<bf16>().wrapping_add(these.start);
                        pairs::pack_columns(cut, p, source.stride(), n, first, count, block);
                    }
                    continue;
                }
                Weight::PackedColumns(matrix) => {
                    transpose_packed(self.isa, matrix, these, rows, bf16::from_f32);
                    (rows.as_ptr(), k)
                }
            };
            // SAFETY: there are `n` rows of K elements; the block was made for the cut.
            unsafe { pairs::pack_rows(cut, p, stride, n, first, count, block) };
        }
        let ordered = weight
            .packed()
            .and_then(|matrix| self.ordered.iter().find(|(format, _)| *format == matrix.format()));
        match ordered {
            Some((_, x)) => (x.as_ptr(), k),
            None => (self.x.at(0).cast(), self.x.stride()),
        }
    }

    /// Fills `floats`, once.
    fn widen(&mut self) {
        let (m, k) = (self.x.rows(), self.x.width());
        if !self.floats.is_empty() || TypeId::of::<T>() == TypeId::of::<f32>() {
            return;
        }
        self.floats = vec![0.0; m * k];
        for (i, row) in self.floats.chunks_exact_mut(k.max(1)).enumerate() {
            dispatch(self.isa, Widen { from: self.x.row(i), to: row });
        }
    }

    /// Adds `x` in the order of `format`, once.
    #[cfg(target_arch = "x86_64")]
    fn order(&mut self, format: quant::Format) -> Result<()> {
        if self.ordered.iter().any(|(known, _)| *known == format) {
            return Ok(());
        }
        let (m, k) = (self.x.rows(), self.x.width());
        let mut ordered = vec![bf16::ZERO; m * k];
        let x = self.x;
        let out = RowsMut::new(&mut ordered, m, k, k)?;
        let isa = self.isa;
        let task = |i: usize| {
            for row in i * 16..(i * 16 + 16).min(m) {
                // SAFETY: `T` is bfloat16 where dot products of it are used; each task has rows of its own.
                let (from, to) = unsafe {
                    (
                        std::slice::from_raw_parts(x.row(row).as_ptr().cast::<bf16>(), k),
                        std::slice::from_raw_parts_mut(out.at(row), k),
                    )
                };
                checked(quant::permute(isa, format, from, to));
            }
        };
        crate::pool::run(m.div_ceil(16), &task);
        self.ordered.push((format, ordered));
        Ok(())
    }

    /// Float32 elements that [`fill`](Self::fill) needs for `count` outputs.
    pub(crate) fn floats(&self, weight: &Weight<'_, T>, count: usize, k: usize, m: usize) -> usize {
        let elements = count * k;
        match weight {
            Weight::Rows(_) if self.dots || m < CONVERT || TypeId::of::<T>() == TypeId::of::<f32>() => 0,
            _ if self.dots => elements.div_ceil(2),
            _ => elements,
        }
    }

    /// Brings the given outputs of `weight` into the form that products take.
    pub(crate) fn fill<'p>(
        &self,
        weight: &Weight<'_, T>,
        columns: Range<usize>,
        buffer: &'p mut [f32],
    ) -> Panel<'p, T> {
        let k = self.x.width();
        let halves = |buffer: &'p mut [f32]| {
            let len = columns.len() * k;
            // SAFETY: a float32 is two bfloat16, all of whose bits are values; the buffer was made for `len` of them.
            unsafe { std::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<bf16>(), len) }
        };
        match weight {
            Weight::Rows(rows) if buffer.is_empty() => {
                // SAFETY: the first row of the block is one of the matrix, which was checked.
                Panel::Direct(unsafe { rows.at(0).add(columns.start * rows.stride()) }, rows.stride())
            }
            Weight::Rows(rows) => {
                for (row, to) in columns.zip(buffer.chunks_exact_mut(k.max(1))) {
                    dispatch(self.isa, Widen { from: rows.row(row), to });
                }
                Panel::Floats(buffer)
            }
            // Only AVX-512 unpacks to an order of its own, and it takes another road.
            Weight::Packed(matrix) if self.dots => {
                let panel = halves(buffer);
                checked(quant::unpack_panel_bf16(self.isa, matrix, columns, panel));
                Panel::Plain(panel)
            }
            Weight::Packed(matrix) => {
                checked(quant::unpack_panel_f32(self.isa, matrix, columns, buffer));
                Panel::Floats(buffer)
            }
            Weight::Columns(source) if self.dots => {
                let panel = halves(buffer);
                transpose(source, columns, panel, |x: T| bf16::from_f32(x.to_f32()));
                Panel::Plain(panel)
            }
            Weight::Columns(source) => {
                transpose(source, columns, buffer, T::to_f32);
                Panel::Floats(buffer)
            }
            Weight::PackedColumns(matrix) if self.dots => {
                let panel = halves(buffer);
                transpose_packed(self.isa, matrix, columns, panel, bf16::from_f32);
                Panel::Plain(panel)
            }
            Weight::PackedColumns(matrix) => {
                transpose_packed(self.isa, matrix, columns, buffer, std::convert::identity);
                Panel::Floats(buffer)
            }
        }
    }
}

/// Rows of activations from which on converting weights once is cheaper than doing so for every tile.
const CONVERT: usize = 7;

impl<T: Element> Panel<'_, T> {
    /// Sums of products of rows of `x` from `row` on: `out` is `[rows, count]`.
    pub(crate) fn multiply(
        &self,
        isa: Isa,
        panels: &Panels<'_, T>,
        row: usize,
        shape: Shape,
        out: &mut [f32],
    ) {
        let (k, stride) = (panels.x.width(), panels.x.stride());
        // SAFETY: rows and columns lie within `x` and the panel, whose measures were checked against each other; a
        // panel of bfloat16 is only made where `T` is bfloat16 and the processor has its dot products.
        unsafe {
            let x = panels.x.at(0).add(row * stride);
            let wide = || (panels.floats.as_ptr().add(row * k), k);
            match self {
                Self::Direct(w, w_stride) if panels.dots => {
                    dots((x.cast(), stride), (w.cast(), *w_stride), shape, out);
                }
                Self::Direct(w, w_stride) if panels.floats.is_empty() => {
                    floats(isa, (x, stride), (*w, *w_stride), shape, out);
                }
                Self::Direct(w, w_stride) => floats(isa, wide(), (*w, *w_stride), shape, out),
                Self::Floats(w) if panels.floats.is_empty() => {
                    floats(isa, (x, stride), (w.as_ptr(), k), shape, out);
                }
                Self::Floats(w) => floats(isa, wide(), (w.as_ptr(), k), shape, out),
                Self::Plain(w) => dots((x.cast(), stride), (w.as_ptr(), k), shape, out),
            }
        }
    }
}

/// Copies columns of `source` into rows of `out`, `[columns, K]`.
fn transpose<T: Element, U: Copy>(
    source: &Rows<'_, T>,
    columns: Range<usize>,
    out: &mut [U],
    convert: impl Fn(T) -> U,
) {
    let k = source.rows();
    // A few rows at a time: what is read stays in the cache while the columns are written.
    for block in (0..k).step_by(16) {
        let end = (block + 16).min(k);
        for (j, column) in columns.clone().enumerate() {
            let to = &mut out[j * k + block..j * k + end];
            for (to, i) in to.iter_mut().zip(block..end) {
                *to = convert(source.row(i)[column]);
            }
        }
    }
}

/// The same for packed rows, of which whole groups are unpacked.
fn transpose_packed<U: Copy>(
    isa: Isa,
    source: &Matrix<'_>,
    columns: Range<usize>,
    out: &mut [U],
    convert: impl Fn(f32) -> U,
) {
    let k = source.n();
    let group = source.format().group_size();
    let first = columns.start / group * group;
    let last = columns.end.next_multiple_of(group).min(source.k());
    let width = last - first;
    let mut rows = vec![0f32; 16 * width];
    for block in (0..k).step_by(16) {
        let end = (block + 16).min(k);
        quant::unpack_block_f32(isa, source, block..end, first..last, &mut rows);
        for (j, column) in columns.clone().enumerate() {
            let to = &mut out[j * k + block..j * k + end];
            for (i, to) in to.iter_mut().enumerate() {
                *to = convert(rows[i * width + column - first]);
            }
        }
    }
}

/// Copies a row into float32.
struct Widen<'a, T> {
    from: &'a [T],
    to: &'a mut [f32],
}

impl<T: Element> Kernel for Widen<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.from.len().min(self.to.len());
        let (from, to) = (self.from.as_ptr(), self.to.as_mut_ptr());
        let mut i = 0;
        // SAFETY: both slices have `len` elements.
        unsafe {
            while i + S::LANES <= len {
                s.store(to.add(i), T::load(s, from.add(i)));
                i += S::LANES;
            }
            if i < len {
                s.store_n(to.add(i), T::load_n(s, from.add(i), len - i), len - i);
            }
        }
    }
}
