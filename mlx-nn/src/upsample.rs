// SPDX-License-Identifier: EUPL-1.2
//! Spatial axes made longer, or shorter, by values between those that there are.

use mlx_core::{Array, Dtype, where_};

use crate::constant::Constant;
use crate::error::{Error, Result};
use crate::matrix::like;
use crate::unary::without_parameters;

/// How the values between those that there are come about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interpolation {
    /// That of the nearest place.
    #[default]
    Nearest,
    /// On straight lines.
    Linear(Grid),
    /// On curves of third degree.
    Cubic(Grid),
}

/// Where the places of the result lie among those of the input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grid {
    /// Places are the middles of cells, and the cells of both fill the same room.
    #[default]
    Centres,
    /// The first and the last place of both are the same.
    Corners,
    /// As [`Centres`](Self::Centres), and where the result is shorter each of its places sees all that it stands for, so
    /// that what is finer than it leaves no trace.
    Antialiased,
}

/// Scales the spatial axes of `[B, L.., C]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upsample {
    scale: Vec<f64>,
    interpolation: Interpolation,
}

without_parameters!(Upsample);

impl Upsample {
    /// Scales by one factor for all spatial axes, or by one for each.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no factor, or one is not finite and above 0.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::Array;
    /// use mlx_nn::{Grid, Interpolation, Upsample};
    ///
    /// let x = Array::from_slice(&[1.0f32, 3.0], &[1, 2, 1])?;
    /// let nearest = Upsample::new(&[2.0], Interpolation::Nearest)?;
    /// assert_eq!(nearest.forward(&x)?.to_vec::<f32>()?, [1.0, 1.0, 3.0, 3.0]);
    /// let linear = Upsample::new(&[2.0], Interpolation::Linear(Grid::Centres))?;
    /// assert_eq!(linear.forward(&x)?.to_vec::<f32>()?, [1.0, 1.5, 2.5, 3.0]);
    /// # Ok(()) }
    /// ```
    pub fn new(scale: &[f64], interpolation: Interpolation) -> Result<Self> {
        if scale.is_empty() || scale.iter().any(|&scale| !(scale.is_finite() && scale > 0.0)) {
            return Err(Error::config("scale", format!("expected finite numbers above 0, found {scale:?}")));
        }
        Ok(Self { scale: scale.to_vec(), interpolation })
    }

    /// `[B, L.., C]` → `[B, scale · L.., C]`, rounded down, in the dtype of `x`; of integers float32, but with
    /// [`Interpolation::Nearest`].
    ///
    /// # Errors
    /// [`Error::Input`] when `x` has no spatial axes or another number of them than there are factors, or an axis has no
    /// places; [`Error::Config`] when the result is longer than an axis can be, [`Error::Core`] when it does not fit in
    /// memory.
    pub fn forward(&self, x: &Array) -> Result<Array> {
        let space = x.ndim().saturating_sub(2);
        let scale = match *self.scale {
            [one] if space > 0 => vec![one; space],
            _ if self.scale.len() == space => self.scale.clone(),
            _ => {
                let expected = format!("[B, L.., C] with {} spatial axes", self.scale.len());
                return Err(Error::input("upsample", expected, x.shape()));
            }
        };
        if self.interpolation == Interpolation::Nearest {
            return along_axes(x, &scale, nearest);
        }
        let wide = if x.dtype() == Dtype::Float64 { x.clone() } else { x.astype(Dtype::Float32)? };
        let (curve, grid) = match self.interpolation {
            Interpolation::Cubic(grid) => (Curve::Cubic, grid),
            Interpolation::Linear(grid) => (Curve::Linear, grid),
            Interpolation::Nearest => (Curve::Linear, Grid::Centres),
        };
        like(along_axes(&wide, &scale, |x, axis| curve.resample(x, axis, grid))?, x)
    }
}

/// One spatial axis: its number, its length and the length that it is to have.
#[derive(Clone, Copy)]
struct Axis {
    axis: i32,
    from: i32,
    to: i32,
    scale: f64,
}

/// Does `resample` to one spatial axis after the other.
fn along_axes(x: &Array, scale: &[f64], resample: impl Fn(&Array, Axis) -> Result<Array>) -> Result<Array> {
    let mut y = x.clone();
    for (axis, &scale) in (1..).zip(scale) {
        let from = x.dim(axis)?;
        if from < 1 {
            return Err(Error::input("upsample", format!("places along axis {axis}"), x.shape()));
        }
        let to = f64::from(from) * scale;
        if to > f64::from(i32::MAX) {
            return Err(Error::config("scale", format!("{from} places times {scale} are too many")));
        }
        y = resample(&y, Axis { axis, from, to: to as i32, scale })?;
    }
    Ok(y)
}

fn nearest(x: &Array, Axis { axis, from, to, scale }: Axis) -> Result<Array> {
    if scale >= 1.0 && scale.fract() == 0.0 {
        return Ok(x.repeat(scale as i32, axis)?);
    }
    let places = Array::arange(0.0, f64::from(to), 1.0, Dtype::Float32)?;
    let ratio = f64::from(from) / f64::from(to.max(1));
    let places = match to > from {
        true => places.plus(0.5)?.times(ratio)?.plus(-0.5)?.round(0)?,
        false => places.times(ratio)?.floor()?,
    };
    Ok(x.take(&places.astype(Dtype::Int32)?, axis)?)
}

#[derive(Clone, Copy)]
enum Curve {
    Linear,
    Cubic,
}

impl Curve {
    /// Each place of the result is a sum over neighbours, its taps, in the input.
    fn resample(self, x: &Array, line: Axis, grid: Grid) -> Result<Array> {
        let Axis { axis, from, to, .. } = line;
        let at = line.places(grid)?; // [to, 1]
        let (offsets, stretch) = self.taps(line, grid)?;
        let taps = (&at.floor()? + &offsets)?; // [to, taps]
        let distance = (&at - &taps)?.abs()?.times(1.0 / stretch)?;
        let mut weights = self.weights(&distance, grid)?;
        let last = taps.scalar_like(f64::from(from - 1))?;
        let zero = taps.scalar_like(0.0)?;
        if grid == Grid::Antialiased {
            let inside = taps.greater_equal(&zero)?.logical_and(&taps.less_equal(&last)?)?;
            weights = where_(&inside, &weights, &zero)?;
            let total = weights.sum(1, true)?;
            weights = (&weights / &where_(&total.greater(&zero)?, &total, &total.scalar_like(1.0)?)?)?;
        }
        let taps = taps.maximum(&zero)?.minimum(&last)?.astype(Dtype::Int32)?;
        let count = taps.dim(1)?;
        let mut shape = vec![1; x.ndim() + 1];
        for (length, size) in shape.iter_mut().skip(axis.unsigned_abs() as usize).zip([to, count]) {
            *length = size;
        }
        let seen = x.take(&taps, axis)?; // [.., to, taps, ..]
        Ok((&seen * &weights.reshape(&shape)?.astype(x.dtype())?)?.sum(axis + 1, false)?)
    }

    /// Where taps lie beside the place before, `[1, taps]`, and by how much their curve is stretched.
    fn taps(self, line: Axis, grid: Grid) -> Result<(Array, f64)> {
        let (first, last, stretch) = match (self, grid) {
            (Self::Linear, Grid::Centres | Grid::Corners) => (0.0, 1.0, 1.0),
            (Self::Cubic, Grid::Centres | Grid::Corners) => (-1.0, 2.0, 1.0),
            (_, Grid::Antialiased) => {
                let radius = if matches!(self, Self::Linear) { 1.0 } else { 2.0 };
                let stretch = (1.0 / line.scale).max(1.0);
                // Further away than the axis is long there is nothing.
                let reach = (radius * stretch).ceil().min(f64::from(line.from));
                (-reach, reach, stretch)
            }
        };
        Ok((Array::arange(first, last + 1.0, 1.0, Dtype::Float32)?.expand_dims(0)?, stretch))
    }

    /// How much of a tap there is at this distance from it.
    fn weights(self, x: &Array, grid: Grid) -> Result<Array> {
        let zero = x.scalar_like(0.0)?;
        if matches!(self, Self::Linear) {
            return Ok((1.0 - x)?.maximum(&zero)?);
        }
        // Keys' curve with the two slopes in use: a of −0.75 as OpenCV has it, and −0.5 as Pillow has it where it smooths.
        let a = if grid == Grid::Antialiased { -0.5 } else { -0.75 };
        // Horner's scheme, from the highest coefficient down.
        let polynomial = |[cubic, square, linear, constant]: [f64; 4]| -> Result<Array> {
            let sum = (&x.times(cubic)?.plus(square)? * x)?.plus(linear)?;
            (&sum * x)?.plus(constant)
        };
        let inner = polynomial([a + 2.0, -(a + 3.0), 0.0, 1.0])?;
        let outer = polynomial([a, -5.0 * a, 8.0 * a, -4.0 * a])?;
        let near = x.less_equal(&x.scalar_like(1.0)?)?;
        let far = where_(&x.less_equal(&x.scalar_like(2.0)?)?, &outer, &zero)?;
        Ok(where_(&near, &inner, &far)?)
    }
}

impl Axis {
    /// Where the places of the result lie in the input, float32 `[to, 1]`.
    fn places(&self, grid: Grid) -> Result<Array> {
        let (from, to) = (f64::from(self.from), f64::from(self.to));
        let places = Array::arange(0.0, to, 1.0, Dtype::Float32)?;
        let places = match grid {
            Grid::Corners => places.times((from - 1.0) / (to - 1.0).max(1.0))?,
            Grid::Centres | Grid::Antialiased => {
                let step = 1.0 / self.scale;
                places.times(step)?.plus(-((to - 1.0) * step - from + 1.0) / 2.0)?
            }
        };
        Ok(places.expand_dims(1)?)
    }
}
