// SPDX-License-Identifier: EUPL-1.2
//! Packed rows to floats.

use std::ops::Range;

use half::bf16;

use super::{Element, Format, Matrix, plain};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::simd::{Kernel, Scalar, Simd, dispatch};
use crate::{Error, Isa, Result};

struct Rows<'a, T> {
    matrix: &'a Matrix<'a>,
    rows: Range<usize>,
    out: &'a mut [T],
}

impl<T: Scalar> Kernel for Rows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let k = self.matrix.k();
        if k == 0 {
            return;
        }
        for (row, out) in self.rows.zip(self.out.chunks_exact_mut(k)) {
            plain::groups(s, self.matrix, row, 0, out);
        }
    }
}

/// Writes the values of `rows` as `[rows.len(), k]`, computed in float32 and rounded once.
///
/// # Errors
/// [`Error::Operand`] when the matrix has no such rows, or `out` has another length.
pub fn dequantize_rows<T: Element>(
    isa: Isa,
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    out: &mut [T],
) -> Result<()> {
    matrix.check_rows("dequantize_rows", &rows, out.len(), matrix.k())?;
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Bf16 && isa.is_available() {
        // SAFETY: the set is available, and the rows and their places were checked.
        unsafe { avx512::unpack::rows(matrix, rows, out) };
        return Ok(());
    }
    #[cfg(target_arch = "x86_64")]
    if matches!(isa, Isa::Avx2 | Isa::Avx512) && isa.is_available() {
        // SAFETY: the set is available, and the rows and their places were checked.
        unsafe { avx2::run(avx2::Unpack { out }, matrix, rows) };
        return Ok(());
    }
    dispatch(isa, Rows { matrix, rows, out });
    Ok(())
}

/// Writes the values of `rows` as `[rows.len(), k]` in bfloat16, computed in float32 and rounded once, each row in the
/// panel order: that of [`permute`] for the same instruction set, format and `k`.
///
/// With [`Isa::Avx512Bf16`], values that are subnormal in float32 become 0, as they would in a product there.
///
/// # Errors
/// [`Error::Operand`] when the matrix has no such rows, or `out` has another length.
pub fn unpack_panel_bf16(isa: Isa, matrix: &Matrix<'_>, rows: Range<usize>, out: &mut [bf16]) -> Result<()> {
    matrix.check_rows("unpack_panel_bf16", &rows, out.len(), matrix.k())?;
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Bf16 && isa.is_available() {
        // SAFETY: the set is available, and the rows and their places were checked.
        unsafe { avx512::unpack::panel(matrix, rows, out) };
        return Ok(());
    }
    #[cfg(target_arch = "x86_64")]
    if matches!(isa, Isa::Avx2 | Isa::Avx512) && isa.is_available() {
        // SAFETY: the set is available, and the rows and their places were checked.
        unsafe { avx2::run(avx2::Unpack { out }, matrix, rows) };
        return Ok(());
    }
    dispatch(isa, Rows { matrix, rows, out });
    Ok(())
}

/// Writes the values of `rows` as `[rows.len(), k]` in float32, in their own order.
///
/// # Errors
/// [`Error::Operand`] when the matrix has no such rows, or `out` has another length.
pub fn unpack_panel_f32(isa: Isa, matrix: &Matrix<'_>, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
    dequantize_rows(isa, matrix, rows, out)
}

/// Brings a row of `k` elements to the order in which [`unpack_panel_bf16`] writes rows of a matrix in `format`.
///
/// # Errors
/// [`Error::Operand`] when `k` is no multiple of the group size, or the lengths differ.
pub fn permute(isa: Isa, format: Format, row: &[bf16], out: &mut [bf16]) -> Result<()> {
    if row.len() != out.len() || !row.len().is_multiple_of(format.group_size()) {
        let message = format!(
            "expected two rows of groups of {}, found {} and {} values",
            format.group_size(),
            row.len(),
            out.len()
        );
        return Err(Error::operand("permute", message));
    }
    #[cfg(target_arch = "x86_64")]
    if isa == Isa::Avx512Bf16 && isa.is_available() {
        // SAFETY: the set is available, and the lengths were checked.
        unsafe { avx512::unpack::permute(format, row, out) };
        return Ok(());
    }
    let _ = isa;
    out.copy_from_slice(row);
    Ok(())
}

/// Writes the values of some rows and columns, which begin and end with a group, as `[rows, columns]` in float32.
pub(crate) fn unpack_block_f32(
    isa: Isa,
    matrix: &Matrix<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    out: &mut [f32],
) {
    dispatch(isa, Block { matrix, rows, columns, out });
}

struct Block<'a> {
    matrix: &'a Matrix<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    out: &'a mut [f32],
}

impl Kernel for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let group = self.columns.start / self.matrix.format().group_size();
        let width = self.columns.len();
        if width == 0 {
            return;
        }
        for (row, out) in self.rows.zip(self.out.chunks_exact_mut(width)) {
            plain::groups(s, self.matrix, row, group, out);
        }
    }
}
