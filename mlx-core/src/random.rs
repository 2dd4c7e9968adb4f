// SPDX-License-Identifier: EUPL-1.2
//! Random numbers from explicit keys.
//!
//! A [`Key`] gives the same numbers each time it is used: split it, and use each part once. There is no hidden state, so a result
//! depends on its key alone and not on the thread or on what was drawn before.

use crate::array::element_count;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, Dtype};

/// What a draw depends on; cheap to clone, like an [`Array`].
#[derive(Clone, Debug)]
pub struct Key(Array);

impl Key {
    /// The key of a seed.
    ///
    /// - source: `mlx_random_key`
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Dtype, random};
    /// let (first, second) = random::Key::new(7)?.split()?;
    /// let a = random::uniform(0.0, 1.0, &[4], Dtype::Float32, &first)?;
    /// let b = random::uniform(0.0, 1.0, &[4], Dtype::Float32, &second)?;
    /// assert_ne!(a.to_vec::<f32>()?, b.to_vec::<f32>()?);
    /// # Ok(()) }
    /// ```
    pub fn new(seed: u64) -> Result<Self> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_random_key(seed)) }.map(Self)
    }

    /// A key from its two words, as [`Key::as_array`] gives them.
    ///
    /// # Errors
    /// [`Error::Argument`] when the array is not uint32 of shape `[2]`.
    pub fn from_array(words: Array) -> Result<Self> {
        if words.dtype() != Dtype::Uint32 || words.shape() != [2] {
            return Err(Error::argument(
                "key",
                "words",
                format!("expected uint32 of shape [2], found {words:?}"),
            ));
        }
        Ok(Self(words))
    }

    /// The two words of this key, uint32 of shape `[2]`.
    pub fn as_array(&self) -> &Array {
        &self.0
    }

    /// Two keys, independent of each other and of this one, which should not be used again.
    ///
    /// - source: `mlx_random_split`
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn split(&self) -> Result<(Self, Self)> {
        // SAFETY: op contract.
        unsafe { call!((Array, Array) = mlx_random_split(self.0.as_raw(), stream())) }
            .map(|(a, b)| (Self(a), Self(b)))
    }

    /// `n` keys, independent of each other and of this one, which should not be used again.
    ///
    /// - source: `mlx_random_split_num`
    ///
    /// # Errors
    /// [`Error::Argument`] when `n` does not fit an `i32`.
    pub fn split_n(&self, n: usize) -> Result<Vec<Self>> {
        // Two words a key.
        let count = i32::try_from(n)
            .ok()
            .filter(|count| count.checked_mul(2).is_some())
            .ok_or_else(|| Error::argument("split_n", "n", format!("{n} keys are too many")))?;
        if count == 0 {
            return Ok(vec![]);
        }
        // SAFETY: op contract.
        let keys = unsafe { call!(Array = mlx_random_split_num(self.0.as_raw(), count, stream())) }?;
        (0..count).map(|i| keys.index((i,)).map(Self)).collect()
    }
}

/// Checks a shape, and a dtype that must be one that MLX draws in.
fn floats(op: &'static str, shape: &[i32], dtype: Dtype) -> Result<()> {
    element_count(op, shape, dtype)?;
    if matches!(dtype, Dtype::Float16 | Dtype::Bfloat16 | Dtype::Float32) {
        return Ok(());
    }
    Err(Error::argument(op, "dtype", format!("expected float16, bfloat16 or float32, found {dtype}")))
}

/// Uniform in `low .. high`, which is empty when they are equal: then each value is `low`.
///
/// - shape: `shape`
/// - dtype: `dtype`: float16, bfloat16 or float32
/// - source: `mlx_random_uniform`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the shape is no shape.
pub fn uniform(low: f32, high: f32, shape: &[i32], dtype: Dtype, key: &Key) -> Result<Array> {
    floats("uniform", shape, dtype)?;
    let (low, high) = (Array::scalar(low)?, Array::scalar(high)?);
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_uniform(
                low.as_raw(),
                high.as_raw(),
                shape.as_ptr(),
                shape.len(),
                dtype.to_raw(),
                key.0.as_raw(),
                stream(),
            )
        )
    }
}

/// Normal with mean `loc` and standard deviation `scale`.
///
/// - shape: `shape`
/// - dtype: `dtype`: float16, bfloat16 or float32
/// - source: `mlx_random_normal`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the shape is no shape.
pub fn normal(shape: &[i32], dtype: Dtype, loc: f32, scale: f32, key: &Key) -> Result<Array> {
    floats("normal", shape, dtype)?;
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_normal(
                shape.as_ptr(),
                shape.len(),
                dtype.to_raw(),
                loc,
                scale,
                key.0.as_raw(),
                stream(),
            )
        )
    }
}

/// Standard normal, but only what falls between `lower` and `upper`.
///
/// - shape: `shape`
/// - dtype: `dtype`: float16, bfloat16 or float32
/// - source: `mlx_random_truncated_normal`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one or `lower` is not below `upper`, [`Error::Shape`] when the shape is no shape.
pub fn truncated_normal(lower: f32, upper: f32, shape: &[i32], dtype: Dtype, key: &Key) -> Result<Array> {
    floats("truncated_normal", shape, dtype)?;
    if lower >= upper || lower.is_nan() || upper.is_nan() {
        let message = format!("expected more than lower = {lower}, found {upper}");
        return Err(Error::argument("truncated_normal", "upper", message));
    }
    let (lower, upper) = (Array::scalar(lower)?, Array::scalar(upper)?);
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_truncated_normal(
                lower.as_raw(),
                upper.as_raw(),
                shape.as_ptr(),
                shape.len(),
                dtype.to_raw(),
                key.0.as_raw(),
                stream(),
            )
        )
    }
}

/// Standard Gumbel: `−ln(−ln u)` for a uniform `u`. The largest of logits plus these is a draw from their softmax.
///
/// - shape: `shape`
/// - dtype: `dtype`: float16, bfloat16 or float32
/// - source: `mlx_random_gumbel`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the shape is no shape.
pub fn gumbel(shape: &[i32], dtype: Dtype, key: &Key) -> Result<Array> {
    floats("gumbel", shape, dtype)?;
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_gumbel(shape.as_ptr(), shape.len(), dtype.to_raw(), key.0.as_raw(), stream(),)
        )
    }
}

/// Laplace with mean `loc` and the density `exp(−|x − loc| / scale) / (2 scale)`.
///
/// - shape: `shape`
/// - dtype: `dtype`: float16, bfloat16 or float32
/// - source: `mlx_random_laplace`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, [`Error::Shape`] when the shape is no shape.
pub fn laplace(shape: &[i32], dtype: Dtype, loc: f32, scale: f32, key: &Key) -> Result<Array> {
    floats("laplace", shape, dtype)?;
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_laplace(
                shape.as_ptr(),
                shape.len(),
                dtype.to_raw(),
                loc,
                scale,
                key.0.as_raw(),
                stream(),
            )
        )
    }
}

/// True with probability `p`; always or never where `p` lies above 1 or below 0, and never where it is NaN.
///
/// - shape: `shape`, to which `p` broadcasts
/// - dtype: `p` floating → bool
/// - source: `mlx_random_bernoulli`
///
/// # Errors
/// [`Error::Argument`] when `p` is not floating, [`Error::Shape`] when the shape is no shape, [`Error::Mlx`] when `p`
/// does not broadcast to it.
pub fn bernoulli(p: &Array, shape: &[i32], key: &Key) -> Result<Array> {
    element_count("bernoulli", shape, Dtype::Float32)?;
    if !p.dtype().is_float() {
        return Err(Error::argument(
            "bernoulli",
            "p",
            format!("expected a floating dtype, found {}", p.dtype()),
        ));
    }
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_bernoulli(p.as_raw(), shape.as_ptr(), shape.len(), key.0.as_raw(), stream(),)
        )
    }
}

/// Integers in `low .. high`, all alike likely as far as a float32 between the two can tell.
///
/// - shape: `shape`
/// - dtype: `dtype`, integer
/// - source: `mlx_random_randint`
///
/// # Errors
/// [`Error::Argument`] when the dtype is not integer, `low` is not below `high`, or the dtype cannot hold the bounds,
/// [`Error::Shape`] when the shape is no shape.
pub fn randint(low: i32, high: i32, shape: &[i32], dtype: Dtype, key: &Key) -> Result<Array> {
    const OP: &str = "randint";
    element_count(OP, shape, dtype)?;
    if !dtype.is_integer() {
        return Err(Error::argument(OP, "dtype", format!("expected an integer dtype, found {dtype}")));
    }
    if low >= high {
        return Err(Error::argument(OP, "high", format!("expected more than low = {low}, found {high}")));
    }
    let (min, max) = crate::ops::dtype_range(dtype);
    if i64::from(low) < min || i64::from(high) - 1 > max {
        let message = format!("cannot hold all of {low}..{high}, found {dtype}");
        return Err(Error::argument(OP, "dtype", message));
    }
    let (low, high) = (Array::scalar(low)?, Array::scalar(high)?);
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_randint(
                low.as_raw(),
                high.as_raw(),
                shape.as_ptr(),
                shape.len(),
                dtype.to_raw(),
                key.0.as_raw(),
                stream(),
            )
        )
    }
}

/// Random words: every bit of `width` bytes is 0 or 1 alike.
///
/// - shape: `shape`
/// - dtype: uint8, uint16 or uint32 for a width of 1, 2 or 4
/// - source: `mlx_random_bits`
///
/// # Errors
/// [`Error::Argument`] when the width is another one, [`Error::Shape`] when the shape is no shape.
pub fn bits(shape: &[i32], width: i32, key: &Key) -> Result<Array> {
    if ![1, 2, 4].contains(&width) {
        return Err(Error::argument("bits", "width", format!("expected 1, 2 or 4 bytes, found {width}")));
    }
    element_count("bits", shape, Dtype::Uint32)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_random_bits(shape.as_ptr(), shape.len(), width, key.0.as_raw(), stream())) }
}

/// Checks the logits of a draw, and counts their axis from the front.
fn logits_axis(logits: &Array, axis: i32) -> Result<i32> {
    const OP: &str = "categorical";
    let (axis, size) = logits.axis(OP, axis)?;
    if !logits.dtype().is_float() {
        let message = format!("expected a floating dtype, found {}", logits.dtype());
        return Err(Error::argument(OP, "logits", message));
    }
    if size == 0 {
        return Err(Error::shape(OP, format!("nothing to draw from in shape {:?}", logits.shape())));
    }
    Ok(axis)
}

/// A draw from the softmax of `logits` along `axis`. Where all are −∞ or one is NaN, the result is some index of the axis.
///
/// - shape: `[A.., N, B..]` → `[A.., B..]`
/// - dtype: floating → uint32
/// - source: `mlx_random_categorical`
///
/// # Errors
/// [`Error::Argument`] when `axis` is out of range or the dtype is not floating, [`Error::Shape`] when there is nothing
/// to draw from.
pub fn categorical(logits: &Array, axis: i32, key: &Key) -> Result<Array> {
    let axis = logits_axis(logits, axis)?;
    if logits.size() == 0 {
        let kept = (0..).zip(logits.shape()).filter(|(i, _)| *i != axis).map(|(_, &size)| size);
        return Array::zeros(&kept.collect::<Vec<_>>(), Dtype::Uint32);
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_random_categorical(logits.as_raw(), axis, key.0.as_raw(), stream())) }
}

/// `samples` independent draws from the softmax of `logits` along `axis`.
///
/// - shape: `[A.., N, B..]` → `[A.., B.., samples]`
/// - dtype: floating → uint32
/// - source: `mlx_random_categorical_num_samples`
///
/// # Errors
/// As [`categorical`]; [`Error::Argument`] when `samples` is negative.
pub fn categorical_n(logits: &Array, axis: i32, samples: i32, key: &Key) -> Result<Array> {
    const OP: &str = "categorical_n";
    let axis = logits_axis(logits, axis)?;
    if samples < 0 {
        return Err(Error::argument(OP, "samples", format!("expected 0 or more, found {samples}")));
    }
    // The noise has a value for each sample of each logit.
    element_count(OP, &[logits.shape(), &[samples]].concat(), Dtype::Float32)?;
    if samples == 0 || logits.size() == 0 {
        let kept = (0..).zip(logits.shape()).filter(|(i, _)| *i != axis).map(|(_, &size)| size);
        return Array::zeros(&kept.chain([samples]).collect::<Vec<_>>(), Dtype::Uint32);
    }
    // SAFETY: op contract.
    unsafe {
        call!(
            Array =
                mlx_random_categorical_num_samples(logits.as_raw(), axis, samples, key.0.as_raw(), stream(),)
        )
    }
}

/// The slices of `x` along `axis` in random order.
///
/// - shape: kept
/// - dtype: any, kept
/// - source: `mlx_random_permutation`
///
/// # Errors
/// [`Error::Argument`] when `axis` is out of range.
pub fn permutation(x: &Array, axis: i32, key: &Key) -> Result<Array> {
    let (axis, size) = x.axis("permutation", axis)?;
    // The native sort behind this divides by zero on an empty axis.
    if size == 0 {
        return Ok(x.clone());
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_random_permutation(x.as_raw(), axis, key.0.as_raw(), stream())) }
}

/// The numbers `0 .. n` in random order.
///
/// - shape: `[n]`
/// - dtype: uint32
/// - source: `mlx_random_permutation_arange`
///
/// # Errors
/// [`Error::Argument`] when `n` is negative.
pub fn permutation_n(n: i32, key: &Key) -> Result<Array> {
    if n < 0 {
        return Err(Error::argument("permutation_n", "n", format!("expected 0 or more, found {n}")));
    }
    if n == 0 {
        return Array::zeros(&[0], Dtype::Uint32);
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_random_permutation_arange(n, key.0.as_raw(), stream())) }
}
