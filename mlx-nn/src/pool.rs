// SPDX-License-Identifier: EUPL-1.2
//! The largest or the mean of what lies under a window that moves over one, two or three spatial axes, with the channels
//! last.

use mlx_core::Array;

use crate::conv::within;
use crate::error::{Error, Result, floating};
use crate::unary::without_parameters;

/// The largest value under each window: [`MaxPool1d`], [`MaxPool2d`] or [`MaxPool3d`]. Padding is smaller than any.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// let x = mlx_core::Array::from_slice(&[1.0f32, 4.0, 2.0, 3.0], &[1, 2, 2, 1])?;
/// assert_eq!(mlx_nn::MaxPool2d::new([1, 2])?.forward(&x)?.to_vec::<f32>()?, [4.0, 3.0]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool<const N: usize>(Windows<N>);

/// The mean of the values under each window: [`AvgPool1d`], [`AvgPool2d`] or [`AvgPool3d`]. Padding counts as zeros.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// let x = mlx_core::Array::from_slice(&[1.0f32, 3.0, 5.0], &[1, 3, 1])?;
/// let overlapping = mlx_nn::AvgPool1d::with([2], [1], [0])?;
/// assert_eq!(overlapping.forward(&x)?.to_vec::<f32>()?, [2.0, 4.0]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool<const N: usize>(Windows<N>);

/// The largest values of parts of sequences.
pub type MaxPool1d = MaxPool<1>;
/// The largest values of parts of images.
pub type MaxPool2d = MaxPool<2>;
/// The largest values of parts of volumes.
pub type MaxPool3d = MaxPool<3>;
/// The means of parts of sequences.
pub type AvgPool1d = AvgPool<1>;
/// The means of parts of images.
pub type AvgPool2d = AvgPool<2>;
/// The means of parts of volumes.
pub type AvgPool3d = AvgPool<3>;

without_parameters!(MaxPool<1>, MaxPool<2>, MaxPool<3>, AvgPool<1>, AvgPool<2>, AvgPool<3>);

macro_rules! pool {
    ($($layer:ident $name:literal $outside:expr, $reduce:ident),+ $(,)?) => {$(
        impl<const N: usize> $layer<N> {
            /// Windows of these lengths, one behind the other, without padding.
            ///
            /// # Errors
            /// [`Error::Config`] when a length is not positive.
            pub fn new(kernel: [i32; N]) -> Result<Self> {
                Self::with(kernel, kernel, [0; N])
            }

            /// Windows that are `stride` apart, over an input with `padding` at either end.
            ///
            /// # Errors
            /// [`Error::Config`] when a length or a stride is not positive, or a padding negative.
            pub fn with(kernel: [i32; N], stride: [i32; N], padding: [i32; N]) -> Result<Self> {
                Windows::new(kernel, stride, padding).map(Self)
            }

            /// `[B, L.., C]` → `[B, (L + 2 · padding − kernel) / stride + 1 .., C]`, rounded down, in the dtype of `x`.
            ///
            /// # Errors
            /// [`Error::Input`] when `x` has another number of axes or is shorter than a window, [`Error::Core`] when
            /// it is not floating.
            pub fn forward(&self, x: &Array) -> Result<Array> {
                floating($name, "x", x)?;
                let windows = self.0.of($name, x, $outside)?;
                // `[B, L.., kernel.., C]`.
                let first = 1 + N as i32;
                let axes: Vec<i32> = (first..first + N as i32).collect();
                Ok(windows.$reduce(&axes, false)?)
            }
        }
    )+};
}

pool! {
    MaxPool "max pool" f64::NEG_INFINITY, max_axes,
    AvgPool "average pool" 0.0, mean_axes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Windows<const N: usize> {
    kernel: [i32; N],
    stride: [i32; N],
    padding: [i32; N],
}

impl<const N: usize> Windows<N> {
    fn new(kernel: [i32; N], stride: [i32; N], padding: [i32; N]) -> Result<Self> {
        within("kernel", &kernel, 1)?;
        within("stride", &stride, 1)?;
        within("padding", &padding, 0)?;
        Ok(Self { kernel, stride, padding })
    }

    /// `[B, L.., C]` → `[B, places.., kernel.., C]`: what lies under each window, without a copy of what it shares with
    /// others.
    fn of(&self, name: &'static str, x: &Array, outside: f64) -> Result<Array> {
        let padded;
        let x = if self.padding == [0; N] || x.ndim() != N + 2 {
            x
        } else {
            let widths: Vec<(i32, i32)> = self.padding.iter().map(|&n| (n, n)).collect();
            padded = x.pad(&[&[(0, 0)], &widths[..], &[(0, 0)]].concat(), outside)?;
            &padded
        };
        let [batch, space @ .., channels] = x.shape() else {
            return Err(Error::input(name, "[B, L.., C]", x.shape()));
        };
        if space.len() != N || space.iter().zip(&self.kernel).any(|(&length, &kernel)| length < kernel) {
            let expected = format!("[B, L.., C] with L from {:?} on, padding included", self.kernel);
            return Err(Error::input(name, expected, x.shape()));
        }
        let mut strides = vec![1i64];
        for &n in x.shape().iter().skip(1).rev() {
            strides.push(strides.last().map_or(1, |&step| step * i64::from(n.max(1))));
        }
        strides.reverse();
        let [first, steps @ .., last] = strides.as_slice() else {
            return Err(Error::input(name, "[B, L.., C]", x.shape()));
        };
        let lengths = space.iter().zip(self.kernel.iter().zip(&self.stride));
        let places: Vec<i32> = lengths.map(|(&n, (&kernel, &stride))| (n - kernel) / stride + 1).collect();
        let moves: Vec<i64> = steps.iter().zip(&self.stride).map(|(step, &n)| step * i64::from(n)).collect();
        let shape = [&[*batch], &places[..], &self.kernel, &[*channels]].concat();
        let strides = [&[*first], &moves[..], steps, &[*last]].concat();
        Ok(x.as_strided(&shape, &strides, 0)?)
    }
}
