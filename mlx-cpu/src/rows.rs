// SPDX-License-Identifier: EUPL-1.2
//! Matrices of which the rows may lie apart, and how their rows are shared out to threads.

use std::marker::PhantomData;
use std::ops::Range;

use crate::{Error, Result, pool};

/// `rows` rows of `width` neighbouring elements, each `stride` elements after the one before.
///
/// A stride of 0 repeats one row.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    data: &'a [T],
    rows: usize,
    width: usize,
    stride: usize,
}

impl<'a, T> Rows<'a, T> {
    /// The rows that begin at the start of `data`.
    ///
    /// # Errors
    /// [`Error::Operand`] when `data` is too short.
    pub fn new(data: &'a [T], rows: usize, width: usize, stride: usize) -> Result<Self> {
        fits(data.len(), rows, width, stride)?;
        Ok(Self { data, rows, width, stride })
    }

    /// Rows without gaps, as many as there are in `data`.
    ///
    /// # Errors
    /// [`Error::Operand`] when `data` is no whole number of rows.
    pub fn packed(data: &'a [T], width: usize) -> Result<Self> {
        Ok(Self { data, rows: whole(data.len(), width)?, width, stride: width })
    }

    /// One row.
    #[must_use]
    pub const fn one(data: &'a [T]) -> Self {
        Self { data, rows: 1, width: data.len(), stride: data.len() }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The length of a row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// How far it is from one row to the next, in elements.
    #[must_use]
    pub const fn stride(&self) -> usize {
        self.stride
    }

    /// All elements one after the other; copied where there are gaps.
    pub(crate) fn flattened(&self) -> std::borrow::Cow<'a, [T]>
    where
        T: Clone,
    {
        if self.stride == self.width || self.rows <= 1 {
            let len = if self.rows == 0 { 0 } else { self.rows * self.width };
            return std::borrow::Cow::Borrowed(&self.data[..len]);
        }
        std::borrow::Cow::Owned((0..self.rows).flat_map(|i| self.row(i).iter().cloned()).collect())
    }

    /// The row `i`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[inline]
    pub fn row(&self, i: usize) -> &'a [T] {
        assert!(i < self.rows, "no row {i} of {}", self.rows);
        &self.data[i * self.stride..][..self.width]
    }

    /// The first element of row `i < rows`.
    #[inline(always)]
    pub(crate) fn at(&self, i: usize) -> *const T {
        debug_assert!(i < self.rows);
        self.data.as_ptr().wrapping_add(i * self.stride)
    }
}

/// [`Rows`] to write to. They do not overlap.
#[derive(Debug)]
pub struct RowsMut<'a, T> {
    data: *mut T,
    rows: usize,
    width: usize,
    stride: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: as the mutable slice that it borrows.
unsafe impl<T: Send> Send for RowsMut<'_, T> {}
// SAFETY: shared, it gives pointers alone, and whoever writes through them sees to it that no two threads have a row.
unsafe impl<T: Send> Sync for RowsMut<'_, T> {}

impl<'a, T> RowsMut<'a, T> {
    /// The rows that begin at the start of `data`.
    ///
    /// # Errors
    /// [`Error::Operand`] when `data` is too short, or the rows overlap.
    pub fn new(data: &'a mut [T], rows: usize, width: usize, stride: usize) -> Result<Self> {
        fits(data.len(), rows, width, stride)?;
        if rows > 1 && stride < width {
            return Err(Error::operand("rows", format!("rows of {width} overlap at a stride of {stride}")));
        }
        Ok(Self { data: data.as_mut_ptr(), rows, width, stride, borrow: PhantomData })
    }

    /// Rows without gaps, as many as there are in `data`.
    ///
    /// # Errors
    /// [`Error::Operand`] when `data` is no whole number of rows.
    pub fn packed(data: &'a mut [T], width: usize) -> Result<Self> {
        let rows = whole(data.len(), width)?;
        Ok(Self { data: data.as_mut_ptr(), rows, width, stride: width, borrow: PhantomData })
    }

    /// One row.
    #[must_use]
    pub const fn one(data: &'a mut [T]) -> Self {
        let len = data.len();
        Self { data: data.as_mut_ptr(), rows: 1, width: len, stride: len, borrow: PhantomData }
    }

    /// How many rows there are.
    #[must_use]
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// The length of a row.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The rows to read.
    ///
    /// # Safety
    /// Nobody writes to them while the result is used.
    pub(crate) unsafe fn as_rows(&self) -> Rows<'_, T> {
        let len = self.rows.saturating_sub(1) * self.stride + if self.rows > 0 { self.width } else { 0 };
        // SAFETY: the slice that was borrowed has these elements.
        let data = unsafe { std::slice::from_raw_parts(self.data, len) };
        Rows { data, rows: self.rows, width: self.width, stride: self.stride }
    }

    /// The same rows once more.
    ///
    /// # Safety
    /// Nobody else writes to them, or reads them, while the result is used.
    pub(crate) unsafe fn again(&self) -> RowsMut<'_, T> {
        RowsMut { borrow: PhantomData, ..*self }
    }

    /// The first element of row `i < rows`. Whoever writes there is the only one at the time.
    #[inline(always)]
    pub(crate) fn at(&self, i: usize) -> *mut T {
        debug_assert!(i < self.rows);
        self.data.wrapping_add(i * self.stride)
    }
}

fn fits(len: usize, rows: usize, width: usize, stride: usize) -> Result<()> {
    let needed = match rows {
        0 => Some(0),
        _ => (rows - 1).checked_mul(stride).and_then(|last| last.checked_add(width)),
    };
    match needed {
        Some(needed) if needed <= len => Ok(()),
        _ => {
            let message = format!("{rows} rows of {width} at a stride of {stride} do not fit {len} elements");
            Err(Error::operand("rows", message))
        }
    }
}

fn whole(len: usize, width: usize) -> Result<usize> {
    match len.checked_rem(width) {
        Some(0) => Ok(len / width),
        None if len == 0 => Ok(0),
        _ => Err(Error::operand("rows", format!("{len} elements are no whole number of rows of {width}"))),
    }
}

/// Checks that `found`, rows and width, is `expected`.
pub(crate) fn same(
    kernel: &'static str,
    operand: &str,
    expected: (usize, usize),
    found: (usize, usize),
) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    let message = format!(
        "expected {} rows of {} in {operand}, found {} of {}",
        expected.0, expected.1, found.0, found.1
    );
    Err(Error::operand(kernel, message))
}

/// Checks the length of a slice.
pub(crate) fn length(kernel: &'static str, operand: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::operand(kernel, format!("expected {expected} elements in {operand}, found {found}")))
}

/// Shares `rows` out, of which each is the work of `cost` elements; little work stays on this thread.
///
/// How they are shared out depends on the number of threads, so a row may not depend on its company.
pub(crate) fn share(rows: usize, cost: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
    /// Elements from which on a second thread pays.
    const FORK: usize = 64 << 10;
    /// The least elements of a task.
    const TASK: usize = 16 << 10;
    let cost = cost.max(1);
    if rows <= 1 || rows.saturating_mul(cost) < FORK {
        return body(0..rows);
    }
    let threads = pool::threads();
    if threads == 1 {
        return body(0..rows);
    }
    let each = rows.div_ceil(threads * 4).max(TASK.div_ceil(cost));
    pool::run(rows.div_ceil(each), &|task| body(task * each..rows.min((task + 1) * each)));
}

/// Shares the elements of `out` out, of which each is the work of `cost` elements: `body` gets the index of the first and
/// the elements themselves.
pub(crate) fn share_slice<T: Send>(out: &mut [T], cost: usize, body: &(dyn Fn(usize, &mut [T]) + Sync)) {
    let len = out.len();
    let all = RowsMut::one(out);
    share(len, cost, &|range| {
        // SAFETY: the range lies within the slice, and no two tasks have an element in common.
        let part =
            unsafe { std::slice::from_raw_parts_mut(all.at(0).wrapping_add(range.start), range.len()) };
        body(range.start, part);
    });
}
