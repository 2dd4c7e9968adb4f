// SPDX-License-Identifier: EUPL-1.2
//! Values for one array.
//!
//! The first axis of a weight is what goes out, the last what comes in, and axes between them are a kernel's: `fan_in` is
//! the last times these, `fan_out` the first times these.

use mlx_core::random::{self, Key};
use mlx_core::{Array, Dtype, linalg, where_};

use crate::constant::Constant;
use crate::error::{Error, Result};

/// By what the spread of [`he_normal`] and [`he_uniform`] is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fan {
    /// So that the variance stays on the way forward.
    #[default]
    In,
    /// So that the variance of gradients stays on the way back.
    Out,
}

/// `value` everywhere.
///
/// # Errors
/// [`Error::Core`] when there is no such shape.
pub fn constant(shape: &[i32], dtype: Dtype, value: f64) -> Result<Array> {
    Ok(Array::full(shape, value, dtype)?)
}

/// Normal with this mean and standard deviation.
///
/// # Errors
/// [`Error::Config`] when `dtype` is not floating, or a number not finite or the deviation negative; [`Error::Core`] when
/// there is no such shape.
pub fn normal(shape: &[i32], dtype: Dtype, mean: f32, deviation: f32, key: &Key) -> Result<Array> {
    floating(dtype)?;
    finite("mean", mean)?;
    Ok(random::normal(shape, dtype, mean, spread("deviation", deviation)?, key)?)
}

/// Uniform from `low` to below `high`.
///
/// # Errors
/// [`Error::Config`] when `dtype` is not floating or a bound not finite; [`Error::Core`] when there is no such shape.
pub fn uniform(shape: &[i32], dtype: Dtype, low: f32, high: f32, key: &Key) -> Result<Array> {
    floating(dtype)?;
    Ok(random::uniform(finite("low", low)?, finite("high", high)?, shape, dtype, key)?)
}

/// Ones on the diagonal of a square matrix, and zeros beside it.
///
/// # Errors
/// [`Error::Input`] when the shape is not square.
pub fn identity(shape: &[i32], dtype: Dtype) -> Result<Array> {
    match *shape {
        [rows, columns] if rows == columns => Ok(Array::identity(rows, dtype)?),
        _ => Err(Error::input("identity", "[N, N]", shape)),
    }
}

/// Normal with deviation `gain · √(2 / (fan_in + fan_out))`. Source: Glorot and Bengio, Understanding the difficulty of
/// training deep feedforward neural networks, 2010.
///
/// # Errors
/// [`Error::Input`] when the shape has fewer than two axes or one without places; as [`normal`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use mlx_core::{Dtype, random::Key};
/// let weight = mlx_nn::init::glorot_normal(&[64, 36], Dtype::Float32, 1.0, &Key::new(0)?)?;
/// assert!((weight.std_all(0)?.item::<f32>()? - 0.02f32.sqrt()).abs() < 0.01);
/// # Ok(()) }
/// ```
pub fn glorot_normal(shape: &[i32], dtype: Dtype, gain: f32, key: &Key) -> Result<Array> {
    let (fan_in, fan_out) = fans("glorot_normal", shape)?;
    normal(shape, dtype, 0.0, spread("gain", gain)? * (2.0 / (fan_in + fan_out)).sqrt(), key)
}

/// Uniform in `±gain · √(6 / (fan_in + fan_out))`. Source: as [`glorot_normal`].
///
/// # Errors
/// As [`glorot_normal`].
pub fn glorot_uniform(shape: &[i32], dtype: Dtype, gain: f32, key: &Key) -> Result<Array> {
    let (fan_in, fan_out) = fans("glorot_uniform", shape)?;
    let bound = spread("gain", gain)? * (6.0 / (fan_in + fan_out)).sqrt();
    uniform(shape, dtype, -bound, bound, key)
}

/// Normal with deviation `gain / √fan`. Source: arXiv:1502.01852.
///
/// # Errors
/// As [`glorot_normal`].
pub fn he_normal(shape: &[i32], dtype: Dtype, fan: Fan, gain: f32, key: &Key) -> Result<Array> {
    let fan = fan.of("he_normal", shape)?;
    normal(shape, dtype, 0.0, spread("gain", gain)? / fan.sqrt(), key)
}

/// Uniform in `±gain · √(3 / fan)`. Source: as [`he_normal`].
///
/// # Errors
/// As [`glorot_normal`].
pub fn he_uniform(shape: &[i32], dtype: Dtype, fan: Fan, gain: f32, key: &Key) -> Result<Array> {
    let bound = spread("gain", gain)? * (3.0 / fan.of("he_uniform", shape)?).sqrt();
    uniform(shape, dtype, -bound, bound, key)
}

/// Normal with this deviation, but `⌈sparsity · columns⌉` places of each row, at random, are 0. Source: Martens, Deep
/// learning via Hessian-free optimization, 2010.
///
/// # Errors
/// [`Error::Input`] when the shape has not two axes, [`Error::Config`] when `sparsity` is outside 0 to 1; as [`normal`].
pub fn sparse(shape: &[i32], dtype: Dtype, sparsity: f64, deviation: f32, key: &Key) -> Result<Array> {
    let &[rows, columns] = shape else { return Err(Error::input("sparse", "[rows, columns]", shape)) };
    if !(0.0..=1.0).contains(&sparsity) {
        return Err(Error::config("sparsity", format!("expected a number from 0 to 1, found {sparsity}")));
    }
    let (values, order) = key.split()?;
    let values = normal(shape, dtype, 0.0, deviation, &values)?;
    let zeros = (sparsity * f64::from(columns)).ceil() as i32;
    if rows < 1 || zeros < 1 {
        return Ok(values);
    }
    let order = random::uniform(0.0, 1.0, shape, Dtype::Float32, &order)?.argsort(1)?;
    let places = order.slice_axis(1, 0, zeros.min(columns))?;
    Ok(values.put_along_axis(&places, &values.scalar_like(0.0)?.broadcast_to(places.shape())?, 1)?)
}

/// A matrix whose rows, or where there are more of them its columns, are orthogonal and of length `gain`; every such
/// matrix is alike likely. Drawn in float32. Source: arXiv:1312.6120.
///
/// # Errors
/// [`Error::Input`] when the shape has not two axes of at least 1; as [`normal`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use mlx_core::{Array, Dtype, random::Key};
/// let q = mlx_nn::init::orthogonal(&[3, 5], Dtype::Float32, 1.0, &Key::new(0)?)?;
/// let product = q.matmul(&q.transpose()?)?;
/// assert!(product.allclose(&Array::identity(3, Dtype::Float32)?, 1e-5, 1e-5, false)?.item::<bool>()?);
/// # Ok(()) }
/// ```
pub fn orthogonal(shape: &[i32], dtype: Dtype, gain: f32, key: &Key) -> Result<Array> {
    floating(dtype)?;
    finite("gain", gain)?;
    let (rows, columns) = match *shape {
        [rows, columns] if rows > 0 && columns > 0 => (rows, columns),
        _ => return Err(Error::input("orthogonal", "[rows, columns] of at least 1", shape)),
    };
    let tall = [rows.max(columns), rows.min(columns)];
    let (q, r) = linalg::qr(&random::normal(&tall, Dtype::Float32, 0.0, 1.0, key)?)?;
    // Which of a column and its opposite comes out is the algorithm's choice; the signs of r make it the draw's.
    let diagonal = r.diagonal(0, 0, 1)?;
    let one = diagonal.scalar_like(1.0)?;
    let signs = where_(&diagonal.less(&diagonal.scalar_like(0.0)?)?, &one.negative()?, &one)?;
    let q = (&q * &signs)?.times(gain.into())?;
    let q = if rows < columns { q.transpose()? } else { q };
    Ok(q.astype(dtype)?)
}

impl Fan {
    fn of(self, name: &'static str, shape: &[i32]) -> Result<f32> {
        let (fan_in, fan_out) = fans(name, shape)?;
        Ok(match self {
            Self::In => fan_in,
            Self::Out => fan_out,
        })
    }
}

fn fans(name: &'static str, shape: &[i32]) -> Result<(f32, f32)> {
    match shape {
        [out, kernel @ .., inputs] if shape.iter().all(|&n| n > 0) => {
            let field: f32 = kernel.iter().map(|&n| n as f32).product();
            Ok((*inputs as f32 * field, *out as f32 * field))
        }
        _ => Err(Error::input(name, "[out, .., in] of at least 1", shape)),
    }
}

fn floating(dtype: Dtype) -> Result<()> {
    match dtype.is_float() {
        true => Ok(()),
        false => Err(Error::config("dtype", format!("expected a floating dtype, found {dtype}"))),
    }
}

fn finite(key: &'static str, value: f32) -> Result<f32> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(Error::config(key, format!("expected a finite number, found {value}"))),
    }
}

fn spread(key: &'static str, value: f32) -> Result<f32> {
    match value.is_finite() && value >= 0.0 {
        true => Ok(value),
        false => Err(Error::config(key, format!("expected a finite number from 0 on, found {value}"))),
    }
}
