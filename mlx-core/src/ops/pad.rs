// SPDX-License-Identifier: EUPL-1.2
//! What stands around an array.

use std::ffi::CStr;

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::node::fits;
use crate::{Array, Dtype};

/// What [`Array::pad`] puts around an array. A number turns into [`Padding::Constant`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Padding {
    /// One value, as the dtype represents it.
    Constant(f64),
    /// The element at the edge: `a a | a b c | c c`.
    Edge,
    /// The array mirrored at its outermost elements, which are not repeated: `c b | a b c | b a`.
    Reflect,
    /// The array mirrored at its edges, so that the outermost elements are repeated: `b a | a b c | c b`.
    Symmetric,
}

impl From<f64> for Padding {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

impl Padding {
    /// The library's name.
    fn mode(self) -> &'static CStr {
        match self {
            Self::Constant(_) => c"constant",
            Self::Edge => c"edge",
            Self::Reflect => c"reflect",
            Self::Symmetric => c"symmetric",
        }
    }

    fn value(self) -> f64 {
        if let Self::Constant(value) = self { value } else { 0.0 }
    }

    /// Where in an axis of length `dim` > 0 each element of a mirrored one comes from.
    fn places(self, dim: i32, before: i32, after: i32) -> Result<Array> {
        let twice = f64::from(u8::from(matches!(self, Self::Symmetric))); // whether the outermost elements are repeated
        let period = (2.0 * f64::from(dim) - 2.0 + 2.0 * twice).max(1.0);
        let whole = |value| Array::constant(value, Dtype::Int64);
        let places = Array::arange(-f64::from(before), f64::from(dim) + f64::from(after), 1.0, Dtype::Int64)?;
        // Up to the far edge a place is its own, and from there on that of its mirror image.
        let forwards = places.remainder(&whole(period)?)?;
        forwards.minimum(&(&whole(period - twice)? - &forwards)?)
    }
}

impl Array {
    /// x with `(before, after)` elements added to each axis: of one value, or taken from x as [`Padding`] says.
    ///
    /// - `padding`: a number is that constant
    /// - shape: `[.., N, ..]` → `[.., before + N + after, ..]`
    /// - dtype: any, kept
    /// - source: `mlx_pad`; but mirrored elements are taken by index, because its derivative misses some of them, and
    ///   it takes a step of its own for each length of the array
    ///
    /// # Errors
    /// [`Error::Argument`] when there is not one pair an axis, a width is negative, or an axis of length 0 is to be
    /// padded with what it has not, [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Padding};
    ///
    /// let x = Array::from_slice(&[1i32, 2, 3], &[3])?;
    /// assert_eq!(x.pad(&[(1, 2)], 9.0)?.to_vec::<i32>()?, [9, 1, 2, 3, 9, 9]);
    /// assert_eq!(x.pad(&[(1, 2)], Padding::Edge)?.to_vec::<i32>()?, [1, 1, 2, 3, 3, 3]);
    /// assert_eq!(x.pad(&[(1, 2)], Padding::Reflect)?.to_vec::<i32>()?, [2, 1, 2, 3, 2, 1]);
    /// assert_eq!(x.pad(&[(1, 2)], Padding::Symmetric)?.to_vec::<i32>()?, [1, 1, 2, 3, 3, 2]);
    /// # Ok(()) }
    /// ```
    pub fn pad(&self, widths: &[(i32, i32)], padding: impl Into<Padding>) -> Result<Array> {
        let padding = padding.into();
        self.check_padding("pad", widths, padding)?;
        if matches!(padding, Padding::Reflect | Padding::Symmetric) {
            return self.mirrored(widths, padding);
        }
        let axes: Vec<i32> = (0..).take(widths.len()).collect();
        let (before, after): (Vec<i32>, Vec<i32>) = widths.iter().copied().unzip();
        let value = Array::constant(padding.value(), self.dtype())?;
        // SAFETY: op contract. The mode is a NUL-terminated constant.
        unsafe {
            call!(
                Array = mlx_pad(
                    self.as_raw(),
                    axes.as_ptr(),
                    axes.len(),
                    before.as_ptr(),
                    before.len(),
                    after.as_ptr(),
                    after.len(),
                    value.as_raw(),
                    padding.mode().as_ptr(),
                    stream()
                )
            )
        }
    }

    /// [`Array::pad`] by one width, on both sides of every axis.
    ///
    /// - shape: `[.., N, ..]` → `[.., N + 2 · width, ..]`
    /// - dtype: any, kept
    /// - source: `mlx_pad_symmetric`
    ///
    /// # Errors
    /// [`Error::Argument`] when `width` is negative, or an axis of length 0 is to be padded with what it has not,
    /// [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[7i32], &[1, 1])?;
    /// let padded = x.pad_symmetric(1, 0.0)?;
    /// assert_eq!(padded.shape(), [3, 3]);
    /// assert_eq!(padded.to_vec::<i32>()?, [0, 0, 0, 0, 7, 0, 0, 0, 0]);
    /// # Ok(()) }
    /// ```
    pub fn pad_symmetric(&self, width: i32, padding: impl Into<Padding>) -> Result<Array> {
        let padding = padding.into();
        let widths = vec![(width, width); self.ndim()];
        self.check_padding("pad_symmetric", &widths, padding)?;
        if matches!(padding, Padding::Reflect | Padding::Symmetric) {
            return self.mirrored(&widths, padding);
        }
        let value = Array::constant(padding.value(), self.dtype())?;
        // SAFETY: op contract. The mode is a NUL-terminated constant.
        unsafe {
            call!(
                Array = mlx_pad_symmetric(
                    self.as_raw(),
                    width,
                    value.as_raw(),
                    padding.mode().as_ptr(),
                    stream()
                )
            )
        }
    }

    /// x between its mirror images, by index.
    fn mirrored(&self, widths: &[(i32, i32)], padding: Padding) -> Result<Array> {
        let mut x = self.clone();
        for (axis, &(before, after)) in (0..).zip(widths) {
            if (before, after) != (0, 0) {
                x = x.take(&padding.places(x.dim(axis)?, before, after)?, axis)?;
            }
        }
        Ok(x)
    }

    /// Refuses what cannot be padded.
    fn check_padding(&self, op: &'static str, widths: &[(i32, i32)], padding: Padding) -> Result<()> {
        if widths.len() != self.ndim() {
            let message = format!("expected {} pairs, found {}", self.ndim(), widths.len());
            return Err(Error::argument(op, "widths", message));
        }
        let mut shape = Vec::with_capacity(widths.len());
        for (axis, (&dim, &(before, after))) in self.shape().iter().zip(widths).enumerate() {
            if before < 0 || after < 0 {
                return Err(Error::argument(op, "widths", format!("must not be negative, found {widths:?}")));
            }
            if dim == 0 && (before, after) != (0, 0) && !matches!(padding, Padding::Constant(_)) {
                let message = format!("axis {axis} has no element to take, and no room for {widths:?}");
                return Err(Error::argument(op, "widths", message));
            }
            let padded = dim.checked_add(before).and_then(|dim| dim.checked_add(after));
            shape.push(
                padded.ok_or_else(|| Error::shape(op, format!("{dim} + {before} + {after} is too long")))?,
            );
        }
        fits(op, &shape, self.dtype())
    }
}
