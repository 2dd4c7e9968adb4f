// SPDX-License-Identifier: EUPL-1.2
//! From views of the graph to what kernels take.

use mlx_cpu::{Rows, RowsMut};

use crate::Dtype;
use crate::custom::View;
use crate::error::{Error, Result};

/// Calls a function with the element type of a dtype that kernels compute with.
macro_rules! with_element {
    ($dtype:expr, $op:expr, $function:ident :: <_>($($arg:expr),* $(,)?)) => {
        match $dtype {
            $crate::Dtype::Float32 => $function::<f32>($($arg),*),
            $crate::Dtype::Bfloat16 => $function::<half::bf16>($($arg),*),
            $crate::Dtype::Float16 => $function::<half::f16>($($arg),*),
            other => Err($crate::Error::argument($op, "x", format!("no kernel for {other}"))),
        }
    };
}
pub(crate) use with_element;

/// Rows of a matrix, lent by the graph or, where its strides are nothing that kernels take, copied.
pub(crate) enum Matrix<'a, T> {
    Lent(Rows<'a, T>),
    Copied { data: Vec<T>, rows: usize, columns: usize },
}

impl<'a, T: Copy> Matrix<'a, T> {
    /// All axes of `view` but the last as rows.
    pub(crate) fn of(view: &View<'a>) -> Result<Self> {
        let (shape, strides) = (view.shape(), view.strides());
        let (Some((&columns, outer)), Some((&step, outer_strides))) =
            (shape.split_last(), strides.split_last())
        else {
            return Err(Error::shape("cpu", "expected an axis"));
        };
        Self::with(view, 0, outer, outer_strides, columns, step)
    }

    /// A matrix within `view`: from element `offset` on, with these axes and strides for its rows and columns.
    pub(crate) fn with(
        view: &View<'a>,
        offset: i64,
        outer: &[i32],
        outer_strides: &[i64],
        columns: i32,
        step: i64,
    ) -> Result<Self> {
        let columns = length(columns);
        let rows: usize = outer.iter().map(|&dim| length(dim)).product();
        if rows == 0 || columns == 0 {
            return Ok(Self::Copied { data: Vec::new(), rows, columns });
        }
        // SAFETY: by the contract of `View`, elements lie at every index within the shape.
        let start = unsafe { view.data().cast::<T>().cast_const().offset(place(offset)?) };
        if (step == 1 || columns == 1)
            && start.is_aligned()
            && let Some(stride) = collapse(outer, outer_strides)
        {
            let len = (rows - 1) * stride + columns;
            // SAFETY: the rows begin `stride` apart, and each has `columns` elements, all within the view; nobody
            // writes to them during the call.
            let data = unsafe { std::slice::from_raw_parts(start, len) };
            return Ok(Self::Lent(Rows::new(data, rows, columns, stride)?));
        }
        let mut data = Vec::with_capacity(rows * columns);
        let mut index = vec![0i32; outer.len()];
        let mut row = 0i64;
        for _ in 0..rows {
            for column in 0..columns {
                let at = row + i64::try_from(column).unwrap_or(0) * step;
                // SAFETY: as above; the element may lie anywhere.
                data.push(unsafe { start.offset(place(at)?).read_unaligned() });
            }
            for ((i, &dim), &stride) in index.iter_mut().zip(outer).zip(outer_strides).rev() {
                *i += 1;
                row += stride;
                if *i < dim {
                    break;
                }
                row -= stride * i64::from(dim);
                *i = 0;
            }
        }
        Ok(Self::Copied { data, rows, columns })
    }

    /// The matrix as kernels take it.
    pub(crate) fn rows(&self) -> Result<Rows<'_, T>> {
        match self {
            Self::Lent(rows) => Ok(*rows),
            Self::Copied { data, rows, columns } => Ok(Rows::new(data, *rows, *columns, *columns)?),
        }
    }
}

/// The distance between rows that several axes make up together, if there is one.
fn collapse(shape: &[i32], strides: &[i64]) -> Option<usize> {
    let mut axes = shape.iter().zip(strides).rev().filter(|(dim, _)| **dim > 1);
    let Some((&dim, &step)) = axes.next() else { return Some(0) };
    let mut next = step.checked_mul(i64::from(dim))?;
    for (&dim, &stride) in axes {
        if stride != next {
            return None;
        }
        next = stride.checked_mul(i64::from(dim))?;
    }
    usize::try_from(step).ok()
}

/// Results in row-major order, all axes but the last as rows.
pub(crate) fn rows_mut<'a, T>(view: &mut View<'a>) -> Result<RowsMut<'a, T>> {
    let columns = view.shape().last().map_or(1, |&dim| length(dim));
    let rows = view.size().checked_div(columns).unwrap_or(0);
    Ok(RowsMut::new(elements_mut(view), rows, columns, columns)?)
}

/// All elements of a result that was asked for in row-major order.
pub(crate) fn elements_mut<'a, T>(view: &mut View<'a>) -> &'a mut [T] {
    if view.size() == 0 {
        return &mut [];
    }
    // SAFETY: by the contract of `View` nobody else touches a result, and there are `size` elements in a buffer that
    // is aligned for them. It may not be initialised: kernels write it and do not read it, and of the element types
    // all bits are values.
    unsafe { std::slice::from_raw_parts_mut(view.data().cast::<T>(), view.size()) }
}

/// All elements of an operand, which must lie in row-major order.
pub(crate) fn elements<'a, T>(view: &View<'a>) -> Option<&'a [T]> {
    if view.size() == 0 {
        return Some(&[]);
    }
    let data = view.data().cast::<T>().cast_const();
    if !view.is_row_contiguous() || !data.is_aligned() {
        return None;
    }
    // SAFETY: by the contract of `View` there are `size` elements one after the other, which nobody writes to during
    // the call.
    Some(unsafe { std::slice::from_raw_parts(data, view.size()) })
}

/// The elements of an operand in row-major order, copied where they do not lie so.
pub(crate) enum Flat<'a, T> {
    Lent(&'a [T]),
    Copied(Vec<T>),
}

impl<'a, T: Copy> Flat<'a, T> {
    pub(crate) fn of(view: &View<'a>) -> Result<Self> {
        if let Some(elements) = elements(view) {
            return Ok(Self::Lent(elements));
        }
        let one = [1i32];
        let (shape, strides) = (view.shape(), view.strides());
        let copied = match (shape.split_last(), strides.split_last()) {
            (Some((&columns, outer)), Some((&step, outer_strides))) => {
                Matrix::with(view, 0, outer, outer_strides, columns, step)?
            }
            _ => Matrix::with(view, 0, &one, &[1], 1, 1)?,
        };
        Ok(Self::Copied(match copied {
            Matrix::Copied { data, .. } => data,
            Matrix::Lent(rows) => (0..rows.rows()).flat_map(|i| rows.row(i).iter().copied()).collect(),
        }))
    }
}

impl<T> std::ops::Deref for Flat<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        match self {
            Self::Lent(slice) => slice,
            Self::Copied(data) => data,
        }
    }
}

/// A dimension as a length.
pub(crate) fn length(dim: i32) -> usize {
    usize::try_from(dim).unwrap_or(0)
}

fn place(offset: i64) -> Result<isize> {
    isize::try_from(offset).map_err(|_| Error::shape("cpu", "an offset is too large"))
}

/// Whether a dtype is one of a list, for readers of a condition.
pub(crate) fn same(dtype: Dtype, others: impl IntoIterator<Item = Dtype>) -> bool {
    others.into_iter().all(|other| other == dtype)
}
