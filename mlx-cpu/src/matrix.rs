// SPDX-License-Identifier: EUPL-1.2
//! Views of matrices in plain slices.

use std::marker::PhantomData;

use crate::{Error, Result};

/// A matrix whose rows lie `stride` elements apart, each contiguous.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a, T> {
    data: &'a [T],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a, T> Rows<'a, T> {
    /// `rows` rows of `columns` elements, the first at the start of `data`.
    ///
    /// # Errors
    /// [`Error::Operand`] when `data` ends before the last row does.
    pub fn new(data: &'a [T], rows: usize, columns: usize, stride: usize) -> Result<Self> {
        check(data.len(), rows, columns, stride)?;
        Ok(Self { data, rows, columns, stride })
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How long a row is.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// How far apart the starts of two rows are.
    #[must_use]
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// Row `i`; empty past the last.
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [T] {
        if i >= self.rows {
            return &[];
        }
        &self.data[i * self.stride..][..self.columns]
    }

    pub(crate) fn as_ptr(&self) -> *const T {
        self.data.as_ptr()
    }
}

/// A matrix to be written, whose rows lie `stride` elements apart and do not overlap.
#[derive(Debug)]
pub struct RowsMut<'a, T> {
    data: *mut T,
    rows: usize,
    columns: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: it is an exclusive borrow of a slice, and `T` may be sent.
unsafe impl<T: Send> Send for RowsMut<'_, T> {}
// SAFETY: what is shared gives nothing but the measures and, within the crate, a pointer whose uses are unsafe.
unsafe impl<T: Sync> Sync for RowsMut<'_, T> {}

impl<'a, T> RowsMut<'a, T> {
    /// `rows` rows of `columns` elements, the first at the start of `data`.
    ///
    /// # Errors
    /// [`Error::Operand`] when `data` ends before the last row does, or rows overlap.
    pub fn new(data: &'a mut [T], rows: usize, columns: usize, stride: usize) -> Result<Self> {
        check(data.len(), rows, columns, stride)?;
        if rows > 1 && stride < columns {
            return Err(Error::operand("matrix", format!("rows of {columns} overlap {stride} apart")));
        }
        Ok(Self { data: data.as_mut_ptr(), rows, columns, stride, lifetime: PhantomData })
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How long a row is.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Where element `column` of `row` lies. Tasks that run at once write different ones.
    pub(crate) fn at(&self, row: usize, column: usize) -> *mut T {
        debug_assert!(row < self.rows && column <= self.columns);
        // SAFETY: within the slice, by the check in `new`, or one past its end.
        unsafe { self.data.add(row * self.stride + column) }
    }
}

fn check(len: usize, rows: usize, columns: usize, stride: usize) -> Result<()> {
    let needed = match rows {
        0 => Some(0),
        _ if columns == 0 => Some(0),
        _ => (rows - 1).checked_mul(stride).and_then(|start| start.checked_add(columns)),
    };
    match needed {
        Some(needed) if needed <= len => Ok(()),
        _ => Err(Error::operand(
            "matrix",
            format!("{len} elements do not hold {rows} rows of {columns}, {stride} apart"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_that_leave_their_slice_are_refused() {
        let data = [0u8; 10];
        assert!(Rows::new(&data, 2, 5, 5).is_ok());
        assert!(Rows::new(&data, 2, 4, 6).is_ok());
        assert!(Rows::new(&data, 2, 5, 6).is_err());
        assert!(Rows::new(&data, usize::MAX, 5, usize::MAX).is_err());
        assert!(Rows::new(&data, 0, 50, 6).is_ok());
        assert!(RowsMut::new(&mut [0u8; 10], 3, 4, 3).is_err());
        assert_eq!(Rows::new(&[1, 2, 3, 4], 2, 2, 2).unwrap().row(1), [3, 4]);
    }
}
