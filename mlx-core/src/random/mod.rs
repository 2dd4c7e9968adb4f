// SPDX-License-Identifier: EUPL-1.2
//! Random numbers from explicit keys.
//!
//! A [`Key`] gives the same numbers each time it is used: split it, and use each part once. There is no hidden state, so a result
//! depends on its key alone and not on the thread or on what was drawn before; only [`Key::fresh`] has a memory.

mod key;
mod param;

use crate::array::element_count;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, Dtype};

pub use key::Key;
use param::broadcasts;
pub use param::{IntParam, Param};

/// Begins the thread's own sequence of keys anew; see [`Key::fresh`]. Nothing else depends on it.
///
/// - source: `mlx_random_seed`
///
/// # Errors
/// [`Error::Mlx`] when memory is exhausted.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::random::{self, Key};
/// random::seed(0)?;
/// let a = Key::fresh()?.as_array().to_vec::<u32>()?;
/// random::seed(0)?;
/// assert_eq!(Key::fresh()?.as_array().to_vec::<u32>()?, a);
/// # Ok(()) }
/// ```
pub fn seed(seed: u64) -> Result<()> {
    // SAFETY: op contract.
    unsafe { call!(mlx_random_seed(seed)) }
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
/// - shape: `shape`, to which bounds that are arrays broadcast
/// - dtype: `dtype`: float16, bfloat16 or float32
/// - source: `mlx_random_uniform`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one or a bound does not broadcast, [`Error::Shape`] when the shape is no shape.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, random};
/// let key = random::Key::new(0)?;
/// let x = random::uniform(-1.0, 1.0, &[1000], Dtype::Float32, &key)?;
/// assert!(x.to_vec::<f32>()?.iter().all(|v| (-1.0..1.0).contains(v)));
/// // A bound for each column.
/// let high = Array::from_slice(&[1.0f32, 100.0], &[2])?;
/// random::uniform(0.0, &high, &[5, 2], Dtype::Float32, &key)?.eval()?;
/// # Ok(()) }
/// ```
pub fn uniform<'a>(
    low: impl Into<Param<'a>>,
    high: impl Into<Param<'a>>,
    shape: &[i32],
    dtype: Dtype,
    key: &Key,
) -> Result<Array> {
    const OP: &str = "uniform";
    floats(OP, shape, dtype)?;
    let (low, high) = (low.into().to_array(OP, "low", shape)?, high.into().to_array(OP, "high", shape)?);
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

/// Normal with mean `loc` and standard deviation `scale`. In complex64, both parts together have that deviation.
///
/// - shape: `shape`, to which parameters that are arrays broadcast
/// - dtype: `dtype`: float16, bfloat16, float32, float64 (drawn in float32) or complex64
/// - source: `mlx_random_normal`, `mlx_random_normal_broadcast`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one or a parameter does not broadcast, [`Error::Shape`] when the shape is
/// no shape.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, random};
/// let key = random::Key::new(0)?;
/// let x = random::normal(&[10_000], Dtype::Float32, 5.0, 2.0, &key)?;
/// assert!((x.mean_all()?.item::<f32>()? - 5.0).abs() < 0.1);
/// // A mean for each row.
/// let loc = Array::from_slice(&[0.0f32, 100.0], &[2, 1])?;
/// let y = random::normal(&[2, 3], Dtype::Float32, &loc, 1.0, &key)?.to_vec::<f32>()?;
/// assert!(y[0] < 50.0 && y[5] > 50.0);
/// # Ok(()) }
/// ```
pub fn normal<'a>(
    shape: &[i32],
    dtype: Dtype,
    loc: impl Into<Param<'a>>,
    scale: impl Into<Param<'a>>,
    key: &Key,
) -> Result<Array> {
    const OP: &str = "normal";
    if matches!(dtype, Dtype::Float64 | Dtype::Complex64) {
        element_count(OP, shape, dtype)?;
    } else {
        floats(OP, shape, dtype)?;
    }
    let (loc, scale) = match (loc.into(), scale.into()) {
        (Param::Value(loc), Param::Value(scale)) => {
            // SAFETY: op contract.
            return unsafe {
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
            };
        }
        (loc, scale) => (loc.to_array(OP, "loc", shape)?, scale.to_array(OP, "scale", shape)?),
    };
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_normal_broadcast(
                shape.as_ptr(),
                shape.len(),
                dtype.to_raw(),
                loc.as_raw(),
                scale.as_raw(),
                key.0.as_raw(),
                stream(),
            )
        )
    }
}

/// Normal vectors with the given means and covariances, made of the singular values of these.
///
/// A covariance should be symmetric and positive semi-definite, which is not checked. One that holds NaN or an infinity
/// gives NaN.
///
/// - shape: `mean` `[.., N]`, `covariance` `[.., N, N]` → `[shape.., N]`; the axes before broadcast to `shape`, and an empty
///   `shape` stands for what they broadcast to
/// - dtype: float32; computed on the CPU only
/// - source: `mlx_random_multivariate_normal`
///
/// # Errors
/// [`Error::Argument`] when a dtype is another one or a parameter does not broadcast, [`Error::Shape`] when the shapes do not
/// fit each other or `shape` is no shape.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, random};
/// let key = random::Key::new(0)?;
/// let mean = Array::from_slice(&[10.0f32, -10.0], &[2])?;
/// let covariance = Array::from_slice(&[1.0f32, 0.9, 0.9, 1.0], &[2, 2])?;
/// let x = random::multivariate_normal(&mean, &covariance, &[100], &key)?;
/// assert_eq!(x.shape(), [100, 2]);
/// # Ok(()) }
/// ```
pub fn multivariate_normal(mean: &Array, covariance: &Array, shape: &[i32], key: &Key) -> Result<Array> {
    const OP: &str = "multivariate_normal";
    for (argument, array) in [("mean", mean), ("covariance", covariance)] {
        if array.dtype() != Dtype::Float32 {
            let message = format!("expected float32, found {}", array.dtype());
            return Err(Error::argument(OP, argument, message));
        }
    }
    let ([means @ .., n], [matrices @ .., rows, columns]) = (mean.shape(), covariance.shape()) else {
        let message = format!(
            "expected a mean [.., N] and a covariance [.., N, N], found {:?} and {:?}",
            mean.shape(),
            covariance.shape()
        );
        return Err(Error::shape(OP, message));
    };
    if rows != columns || rows != n {
        let message = format!("mean {:?} and covariance {:?} do not fit", mean.shape(), covariance.shape());
        return Err(Error::shape(OP, message));
    }
    element_count(OP, &[shape, &[*n]].concat(), Dtype::Float32)?;
    if !shape.is_empty() {
        for (argument, batch) in [("mean", means), ("covariance", matrices)] {
            if !broadcasts(batch, shape) {
                let message = format!("batch {batch:?} does not broadcast to {shape:?}");
                return Err(Error::argument(OP, argument, message));
            }
        }
    }
    let finite = crate::linalg::Guarded::finite(covariance)?;
    // SAFETY: op contract.
    let draws = unsafe {
        call!(
            Array = mlx_random_multivariate_normal(
                mean.as_raw(),
                finite.matrices.as_raw(),
                shape.as_ptr(),
                shape.len(),
                Dtype::Float32.to_raw(),
                key.0.as_raw(),
                stream(),
            )
        )
    }?;
    finite.mark(draws, 1)
}

/// Standard normal, but only what falls between `lower` and `upper`.
///
/// - shape: `shape`, to which bounds that are arrays broadcast
/// - dtype: `dtype`: float16, bfloat16 or float32
/// - source: `mlx_random_truncated_normal`
///
/// # Errors
/// [`Error::Argument`] when the dtype is another one, a bound does not broadcast, or, both being numbers, `lower` is not
/// below `upper`; [`Error::Shape`] when the shape is no shape. In arrays that is not checked: there a value means nothing.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Dtype, random};
/// let key = random::Key::new(0)?;
/// let x = random::truncated_normal(-2.0, 2.0, &[100], Dtype::Float32, &key)?;
/// assert!(x.to_vec::<f32>()?.iter().all(|v| v.abs() <= 2.0));
/// # Ok(()) }
/// ```
pub fn truncated_normal<'a>(
    lower: impl Into<Param<'a>>,
    upper: impl Into<Param<'a>>,
    shape: &[i32],
    dtype: Dtype,
    key: &Key,
) -> Result<Array> {
    const OP: &str = "truncated_normal";
    floats(OP, shape, dtype)?;
    let (lower, upper) = (lower.into(), upper.into());
    if let (Param::Value(lower), Param::Value(upper)) = (lower, upper)
        && (lower >= upper || lower.is_nan() || upper.is_nan())
    {
        let message = format!("expected more than lower = {lower}, found {upper}");
        return Err(Error::argument(OP, "upper", message));
    }
    let (lower, upper) = (lower.to_array(OP, "lower", shape)?, upper.to_array(OP, "upper", shape)?);
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, random};
/// let key = random::Key::new(0)?;
/// // A draw from a softmax, by hand.
/// let logits = Array::from_slice(&[0.0f32, 50.0, 0.0], &[3])?;
/// let noisy = (&logits + &random::gumbel(&[3], Dtype::Float32, &key)?)?;
/// assert_eq!(noisy.argmax(-1, false)?.item::<u32>()?, 1);
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Dtype, random};
/// let key = random::Key::new(0)?;
/// let x = random::laplace(&[10_000], Dtype::Float32, 3.0, 1.0, &key)?;
/// assert!((x.mean_all()?.item::<f32>()? - 3.0).abs() < 0.1);
/// # Ok(()) }
/// ```
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
/// - shape: `shape`, to which `p` broadcasts when it is an array
/// - dtype: `p` floating → bool
/// - source: `mlx_random_bernoulli`
///
/// # Errors
/// [`Error::Argument`] when `p` is not floating or does not broadcast, [`Error::Shape`] when the shape is no shape.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, random};
/// let key = random::Key::new(0)?;
/// let p = Array::from_slice(&[0.0f32, 1.0], &[2])?;
/// let x = random::bernoulli(&p, &[2, 2], &key)?;
/// assert_eq!(x.to_vec::<bool>()?, [false, true, false, true]);
/// let mask = random::bernoulli(0.9, &[3], &key)?;
/// assert_eq!(mask.shape(), [3]);
/// # Ok(()) }
/// ```
pub fn bernoulli<'a>(p: impl Into<Param<'a>>, shape: &[i32], key: &Key) -> Result<Array> {
    const OP: &str = "bernoulli";
    element_count(OP, shape, Dtype::Float32)?;
    let p = p.into().to_array(OP, "p", shape)?;
    if !p.dtype().is_float() {
        return Err(Error::argument(OP, "p", format!("expected a floating dtype, found {}", p.dtype())));
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
/// - shape: `shape`, to which bounds that are arrays broadcast
/// - dtype: `dtype`, integer
/// - source: `mlx_random_randint`
///
/// # Errors
/// [`Error::Argument`] when the dtype is not integer, a bound is not or does not broadcast, or, both being numbers, `low`
/// is not below `high` or the dtype cannot hold them; [`Error::Shape`] when the shape is no shape. In arrays that is not
/// checked: there a value means nothing.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Dtype, random};
/// let key = random::Key::new(0)?;
/// let dice = random::randint(1, 7, &[100], Dtype::Uint8, &key)?;
/// assert!(dice.to_vec::<u8>()?.iter().all(|n| (1..=6).contains(n)));
/// # Ok(()) }
/// ```
pub fn randint<'a>(
    low: impl Into<IntParam<'a>>,
    high: impl Into<IntParam<'a>>,
    shape: &[i32],
    dtype: Dtype,
    key: &Key,
) -> Result<Array> {
    const OP: &str = "randint";
    element_count(OP, shape, dtype)?;
    if !dtype.is_integer() {
        return Err(Error::argument(OP, "dtype", format!("expected an integer dtype, found {dtype}")));
    }
    let (low, high) = (low.into(), high.into());
    if let (IntParam::Value(low), IntParam::Value(high)) = (low, high) {
        if low >= high {
            return Err(Error::argument(OP, "high", format!("expected more than low = {low}, found {high}")));
        }
        let (min, max) = crate::ops::dtype_range(dtype);
        if i64::from(low) < min || i64::from(high) - 1 > max {
            let message = format!("cannot hold all of {low}..{high}, found {dtype}");
            return Err(Error::argument(OP, "dtype", message));
        }
    }
    let (low, high) = (low.to_array(OP, "low", shape)?, high.to_array(OP, "high", shape)?);
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::random;
/// let key = random::Key::new(0)?;
/// let words = random::bits(&[4], 4, &key)?;
/// assert_eq!(words.to_vec::<u32>()?.len(), 4);
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, random};
/// let key = random::Key::new(0)?;
/// let logits = Array::from_slice(&[0.0f32, 50.0, 50.0, 0.0], &[2, 2])?;
/// assert_eq!(random::categorical(&logits, -1, &key)?.to_vec::<u32>()?, [1, 0]);
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, random};
/// let key = random::Key::new(0)?;
/// let logits = Array::from_slice(&[0.0f32, 50.0], &[2])?;
/// assert_eq!(random::categorical_n(&logits, -1, 3, &key)?.to_vec::<u32>()?, [1, 1, 1]);
/// # Ok(()) }
/// ```
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

/// Draws of the given shape from the softmax of `logits` along `axis`.
///
/// - shape: `[A.., N, B..]`, where `[A.., B..]` broadcasts to `shape` → `shape`
/// - dtype: floating → uint32
/// - source: `mlx_random_categorical_shape`
///
/// # Errors
/// As [`categorical`]; [`Error::Shape`] when the other axes do not broadcast to `shape`, or it is no shape.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, random};
/// let key = random::Key::new(0)?;
/// let logits = Array::from_slice(&[0.0f32, 50.0, 50.0, 0.0], &[2, 2])?;
/// let x = random::categorical_shape(&logits, -1, &[3, 2], &key)?;
/// assert_eq!(x.to_vec::<u32>()?, [1, 0, 1, 0, 1, 0]);
/// # Ok(()) }
/// ```
pub fn categorical_shape(logits: &Array, axis: i32, shape: &[i32], key: &Key) -> Result<Array> {
    const OP: &str = "categorical_shape";
    let axis = logits_axis(logits, axis)?;
    let size = logits.dim(axis)?;
    // The noise has a value for each sample of each logit.
    element_count(OP, &[shape, &[size]].concat(), Dtype::Float32)?;
    let kept = (0..).zip(logits.shape()).filter(|(i, _)| *i != axis).map(|(_, &size)| size);
    let kept: Vec<i32> = kept.collect();
    if !broadcasts(&kept, shape) {
        return Err(Error::shape(
            OP,
            format!("logits without their axis, {kept:?}, do not broadcast to {shape:?}"),
        ));
    }
    if shape.contains(&0) {
        return Array::zeros(shape, Dtype::Uint32);
    }
    // SAFETY: op contract.
    unsafe {
        call!(
            Array = mlx_random_categorical_shape(
                logits.as_raw(),
                axis,
                shape.as_ptr(),
                shape.len(),
                key.0.as_raw(),
                stream(),
            )
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, random};
/// let key = random::Key::new(0)?;
/// let rows = Array::arange(0.0, 6.0, 1.0, Dtype::Float32)?.reshape(&[3, 2])?;
/// let shuffled = random::permutation(&rows, 0, &key)?.to_vec::<f32>()?;
/// assert!(shuffled.chunks(2).all(|row| row[1] == row[0] + 1.0));
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::random;
/// let key = random::Key::new(0)?;
/// let mut order = random::permutation_n(5, &key)?.to_vec::<u32>()?;
/// order.sort_unstable();
/// assert_eq!(order, [0, 1, 2, 3, 4]);
/// # Ok(()) }
/// ```
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
