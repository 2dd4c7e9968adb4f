// SPDX-License-Identifier: EUPL-1.2
//! Random numbers from explicit keys.
//!
//! A draw is a function of its key: the same key gives the same numbers, on any thread. Split a key to draw twice.

use crate::array::element_count;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, Dtype};

/// What a draw depends on.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Dtype, random};
/// let (a, b) = random::Key::new(7)?.split()?;
/// let x = random::uniform(0.0, 1.0, &[3], Dtype::Float32, &a)?.to_vec::<f32>()?;
/// assert_eq!(x, random::uniform(0.0, 1.0, &[3], Dtype::Float32, &a)?.to_vec::<f32>()?);
/// assert_ne!(x, random::uniform(0.0, 1.0, &[3], Dtype::Float32, &b)?.to_vec::<f32>()?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Key(Array);

impl Key {
    /// The key of a seed. Source: `mlx_random_key`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn new(seed: u64) -> Result<Self> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_random_key(seed)) }.map(Self)
    }

    /// Two keys that have nothing to do with each other or with this one. Source: `mlx_random_split`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn split(&self) -> Result<(Self, Self)> {
        // SAFETY: op contract.
        let (a, b) = unsafe { call!((Array, Array) = mlx_random_split(self.0.as_raw(), stream())) }?;
        Ok((Self(a), Self(b)))
    }

    /// `count` keys. Source: `mlx_random_split_num`.
    ///
    /// # Errors
    /// [`Error::Argument`] when `count` is larger than an axis can be.
    pub fn split_n(&self, count: usize) -> Result<Vec<Self>> {
        let count = i32::try_from(count)
            .map_err(|_| Error::argument("split_n", "count", format!("{count} keys are too many")))?;
        if count == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: op contract.
        let keys = unsafe { call!(Array = mlx_random_split_num(self.0.as_raw(), count, stream())) }?;
        Ok(keys.unstack(0)?.into_iter().map(Self).collect())
    }

    /// The key as an array: `[2]`, uint32.
    #[must_use]
    pub fn as_array(&self) -> &Array {
        &self.0
    }
}

/// Checks what all draws have in common.
fn check(op: &'static str, shape: &[i32], dtype: Dtype, parameters: &[(&'static str, f32)]) -> Result<()> {
    element_count(op, shape, dtype)?;
    if !dtype.is_float() {
        return Err(Error::argument(op, "dtype", format!("expected a floating dtype, found {dtype}")));
    }
    match parameters.iter().find(|(_, value)| !value.is_finite()) {
        Some((name, value)) => Err(Error::argument(op, name, format!("expected a finite number, found {value}"))),
        None => Ok(()),
    }
}

/// Evenly distributed in `low..high`. Source: `mlx_random_uniform`.
///
/// # Errors
/// [`Error::Argument`] when a bound is not finite or `dtype` not floating, [`Error::Shape`] when `shape` is impossible.
pub fn uniform(low: f32, high: f32, shape: &[i32], dtype: Dtype, key: &Key) -> Result<Array> {
    check("uniform", shape, dtype, &[("low", low), ("high", high)])?;
    let (low, high) = (Array::constant(low.into(), dtype)?, Array::constant(high.into(), dtype)?);
    // SAFETY: op contract.
    unsafe {
        call!(Array = mlx_random_uniform(
            low.as_raw(),
            high.as_raw(),
            shape.as_ptr(),
            shape.len(),
            dtype.to_raw(),
            key.0.as_raw(),
            stream()
        ))
    }
}

/// Normally distributed about `mean` with deviation `std`. Source: `mlx_random_normal`.
///
/// # Errors
/// [`Error::Argument`] when a parameter is not finite or `dtype` not floating, [`Error::Shape`] when `shape` is impossible.
pub fn normal(shape: &[i32], dtype: Dtype, mean: f32, std: f32, key: &Key) -> Result<Array> {
    check("normal", shape, dtype, &[("mean", mean), ("std", std)])?;
    // SAFETY: op contract.
    unsafe {
        call!(Array = mlx_random_normal(
            shape.as_ptr(),
            shape.len(),
            dtype.to_raw(),
            mean,
            std,
            key.0.as_raw(),
            stream()
        ))
    }
}

/// Normally distributed, held between `low` and `high`. Source: `mlx_random_truncated_normal`.
///
/// # Errors
/// [`Error::Argument`] when a bound is not finite or `dtype` not floating, [`Error::Shape`] when `shape` is impossible.
pub fn truncated_normal(low: f32, high: f32, shape: &[i32], dtype: Dtype, key: &Key) -> Result<Array> {
    check("truncated_normal", shape, dtype, &[("low", low), ("high", high)])?;
    let (low, high) = (Array::constant(low.into(), dtype)?, Array::constant(high.into(), dtype)?);
    // SAFETY: op contract.
    unsafe {
        call!(Array = mlx_random_truncated_normal(
            low.as_raw(),
            high.as_raw(),
            shape.as_ptr(),
            shape.len(),
            dtype.to_raw(),
            key.0.as_raw(),
            stream()
        ))
    }
}

/// Distributed as the largest of many normal draws: `−ln(−ln u)`. Source: `mlx_random_gumbel`.
///
/// # Errors
/// [`Error::Argument`] when `dtype` is not floating, [`Error::Shape`] when `shape` is impossible.
pub fn gumbel(shape: &[i32], dtype: Dtype, key: &Key) -> Result<Array> {
    check("gumbel", shape, dtype, &[])?;
    // SAFETY: op contract.
    unsafe {
        call!(Array = mlx_random_gumbel(shape.as_ptr(), shape.len(), dtype.to_raw(), key.0.as_raw(), stream()))
    }
}

/// Distributed as `e^(−|x − mean| / scale)`. Source: `mlx_random_laplace`.
///
/// # Errors
/// [`Error::Argument`] when a parameter is not finite or `dtype` not floating, [`Error::Shape`] when `shape` is impossible.
pub fn laplace(shape: &[i32], dtype: Dtype, mean: f32, scale: f32, key: &Key) -> Result<Array> {
    check("laplace", shape, dtype, &[("mean", mean), ("scale", scale)])?;
    // SAFETY: op contract.
    unsafe {
        call!(Array = mlx_random_laplace(
            shape.as_ptr(),
            shape.len(),
            dtype.to_raw(),
            mean,
            scale,
            key.0.as_raw(),
            stream()
        ))
    }
}

/// True with the probabilities `p`, which broadcast to `shape`. Dtype: bool. Source: `mlx_random_bernoulli`.
///
/// # Errors
/// [`Error::Shape`] when `shape` is impossible, [`Error::Mlx`] when `p` does not broadcast to it.
pub fn bernoulli(p: &Array, shape: &[i32], key: &Key) -> Result<Array> {
    element_count("bernoulli", shape, Dtype::Float32)?;
    // SAFETY: op contract.
    unsafe {
        call!(Array =
            mlx_random_bernoulli(p.as_raw(), shape.as_ptr(), shape.len(), key.0.as_raw(), stream()))
    }
}

/// Whole numbers in `low..high`. Source: `mlx_random_randint`.
///
/// # Errors
/// [`Error::Argument`] when `low` is not below `high` or `dtype` is no integer type, [`Error::Shape`] when `shape` is
/// impossible.
pub fn randint(low: i32, high: i32, shape: &[i32], dtype: Dtype, key: &Key) -> Result<Array> {
    let op = "randint";
    element_count(op, shape, dtype)?;
    if low >= high {
        return Err(Error::argument(op, "low", format!("expected less than {high}, found {low}")));
    }
    if !dtype.is_integer() {
        return Err(Error::argument(op, "dtype", format!("expected an integer dtype, found {dtype}")));
    }
    let (low, high) = (Array::scalar(low)?, Array::scalar(high)?);
    // SAFETY: op contract.
    unsafe {
        call!(Array = mlx_random_randint(
            low.as_raw(),
            high.as_raw(),
            shape.as_ptr(),
            shape.len(),
            dtype.to_raw(),
            key.0.as_raw(),
            stream()
        ))
    }
}

/// Indices along `axis`, with probabilities proportional to `exp(logits)`.
///
/// - shape: that of `logits` without `axis`
/// - dtype: uint32
/// - source: `mlx_random_categorical`
///
/// # Errors
/// [`Error::Argument`] when `axis` is out of range, [`Error::Shape`] when it is empty.
pub fn categorical(logits: &Array, axis: i32, key: &Key) -> Result<Array> {
    if logits.dim(axis)? == 0 {
        return Err(Error::shape("categorical", format!("nothing to choose from in {:?}", logits.shape())));
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_random_categorical(logits.as_raw(), axis, key.0.as_raw(), stream())) }
}

/// The slices of `x` along `axis` in random order. Source: `mlx_random_permutation`.
///
/// # Errors
/// [`Error::Argument`] when `axis` is out of range.
pub fn permutation(x: &Array, axis: i32, key: &Key) -> Result<Array> {
    if x.dim(axis)? == 0 {
        return Ok(x.clone());
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_random_permutation(x.as_raw(), axis, key.0.as_raw(), stream())) }
}

/// Random bits, in elements of `width` bytes.
///
/// - dtype: uint8, uint16 or uint32, for a width of 1, 2 or 4
/// - source: `mlx_random_bits`
///
/// # Errors
/// [`Error::Argument`] when `width` is another number, [`Error::Shape`] when `shape` is impossible.
pub fn bits(shape: &[i32], width: i32, key: &Key) -> Result<Array> {
    if ![1, 2, 4].contains(&width) {
        return Err(Error::argument("bits", "width", format!("expected 1, 2 or 4 bytes, found {width}")));
    }
    element_count("bits", shape, Dtype::Uint32)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_random_bits(shape.as_ptr(), shape.len(), width, key.0.as_raw(), stream())) }
}
