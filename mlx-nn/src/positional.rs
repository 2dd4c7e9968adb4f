// SPDX-License-Identifier: EUPL-1.2
//! Positions as vectors, and as what they take off the scores of attention. Rotary ones are a [`Rope`](crate::Rope).

use std::f64::consts::TAU;

use mlx_core::{Array, Dtype, concatenate};

use crate::constant::Constant;
use crate::error::{Error, Result, floating, positive};
use crate::matrix::like;
use crate::unary::without_parameters;

/// Sines and cosines of positions at frequencies that fall geometrically. Source: arXiv:1706.03762.
#[derive(Clone, Debug)]
pub struct SinusoidalEncoding {
    /// Float32 `[dim / 2]`.
    frequencies: Array,
    scale: f64,
    cos_first: bool,
}

without_parameters!(SinusoidalEncoding);

/// The settings of a [`SinusoidalEncoding`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SinusoidalOptions {
    /// The lowest frequency, in radians a position; 0.0001 by default.
    pub min_frequency: f64,
    /// The highest frequency; 1 by default.
    pub max_frequency: f64,
    /// What everything is multiplied by; √(2 / dim) by default, which makes vectors of length 1.
    pub scale: Option<f64>,
    /// Whether the cosines come before the sines; not by default.
    pub cos_first: bool,
    /// Whether frequencies are turns rather than radians; not by default.
    pub full_turns: bool,
}

impl Default for SinusoidalOptions {
    fn default() -> Self {
        Self { min_frequency: 1e-4, max_frequency: 1.0, scale: None, cos_first: false, full_turns: false }
    }
}

impl SinusoidalEncoding {
    /// Vectors of `dim` values.
    ///
    /// # Errors
    /// [`Error::Config`] when `dim` is not positive and even, or a frequency not finite and above 0.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_nn::{SinusoidalEncoding, SinusoidalOptions};
    /// let encoding = SinusoidalEncoding::new(4, &SinusoidalOptions { scale: Some(1.0), ..Default::default() })?;
    /// let start = encoding.forward(&mlx_core::Array::from_slice(&[0.0f32], &[1])?)?;
    /// assert_eq!(start.to_vec::<f32>()?, [0.0, 0.0, 1.0, 1.0]);
    /// # Ok(()) }
    /// ```
    pub fn new(dim: i32, options: &SinusoidalOptions) -> Result<Self> {
        if dim < 1 || dim % 2 != 0 {
            return Err(Error::config("dim", format!("expected a positive even number, found {dim}")));
        }
        let logarithm = |key, frequency: f64| match frequency.is_finite() && frequency > 0.0 {
            true => Ok(frequency.ln()),
            false => {
                let message = format!("expected a finite number above 0, found {frequency}");
                Err(Error::config(key, message))
            }
        };
        let low = logarithm("min_frequency", options.min_frequency)?;
        let high = logarithm("max_frequency", options.max_frequency)?;
        let half = dim / 2;
        let steps = Array::arange(0.0, f64::from(half), 1.0, Dtype::Float32)?;
        let falling = steps.times(-1.0 / f64::from((half - 1).max(1)))?.plus(1.0)?;
        let mut frequencies = falling.times(high - low)?.plus(low)?.exp()?;
        if options.full_turns {
            frequencies = frequencies.times(TAU)?;
        }
        let scale = options.scale.unwrap_or_else(|| (2.0 / f64::from(dim)).sqrt());
        Ok(Self { frequencies, scale, cos_first: options.cos_first })
    }

    /// The vectors of positions: `[..]` → `[.., dim]`, in the dtype of `positions`; of integers float32.
    ///
    /// # Errors
    /// [`Error::Core`] when an op fails.
    pub fn forward(&self, positions: &Array) -> Result<Array> {
        let wide = match positions.dtype() {
            Dtype::Float64 => positions.clone(),
            _ => positions.astype(Dtype::Float32)?,
        };
        let angles = (&wide.expand_dims(-1)? * &self.frequencies)?;
        let (sin, cos) = (angles.sin()?, angles.cos()?);
        let pair = if self.cos_first { [&cos, &sin] } else { [&sin, &cos] };
        like(concatenate(&pair, -1)?.times(self.scale)?, positions)
    }
}

/// More than anything has, so that a list of slopes is short.
const MAX_HEADS: i32 = 1 << 16;

/// What distance takes off the scores of attention: `−slope · |i − j|` for query i and key j, with a slope for each head.
///
/// - `queries`, `keys`: how many there are; the first query stands at `offset`, the first key at 0
/// - result: `[1, heads, queries, keys]` of `dtype`, an additive mask as attention takes it
///
/// Slopes fall geometrically from `2^(−8 / heads)` to 1/256 where `heads` is a power of two; elsewhere those of the next
/// smaller power, and then every other one of the next larger. Source: arXiv:2108.12409.
///
/// # Errors
/// [`Error::Config`] when a number is not positive, `offset` negative or too large, or `dtype` not floating.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// let mask = mlx_nn::alibi(1, 3, 8, 2, mlx_core::Dtype::Float32)?;
/// assert_eq!(mask.shape(), [1, 8, 1, 3]);
/// assert_eq!(mask.to_vec::<f32>()?[..3], [-1.0, -0.5, 0.0]);
/// # Ok(()) }
/// ```
pub fn alibi(queries: i32, keys: i32, heads: i32, offset: i32, dtype: Dtype) -> Result<Array> {
    let (queries, keys) = (positive("queries", queries)?, positive("keys", keys)?);
    let end = offset.checked_add(queries).filter(|_| offset >= 0);
    let end = end.ok_or_else(|| Error::config("offset", format!("expected 0 or more, found {offset}")))?;
    if !dtype.is_float() {
        return Err(Error::config("dtype", format!("expected a floating dtype, found {dtype}")));
    }
    if !(1..=MAX_HEADS).contains(&heads) {
        return Err(Error::config("heads", format!("expected 1 to {MAX_HEADS}, found {heads}")));
    }
    let slopes: Vec<f32> = slopes(heads).into_iter().map(|slope| -slope as f32).collect();
    let slopes = Array::from_slice(&slopes, &[heads, 1, 1])?;
    let range = |start: i32, end: i32| Array::arange(start.into(), end.into(), 1.0, Dtype::Int32);
    let distance = (&range(offset, end)?.expand_dims(1)? - &range(0, keys)?)?.abs()?;
    // In float32, which holds every distance that a text has, and rounded once.
    Ok((&distance.astype(Dtype::Float32)? * &slopes)?.expand_dims(0)?.astype(dtype)?)
}

/// Scores with [`alibi`] added to them, and a mask where there is one: `[B, H, L, S]` → the same, in the dtype of
/// `scores`.
///
/// # Errors
/// As [`alibi`]; [`Error::Input`] when the scores have not four axes, [`Error::Core`] when they are not floating or the
/// mask does not broadcast.
pub fn add_alibi(scores: &Array, offset: i32, mask: Option<&Array>) -> Result<Array> {
    floating("add_alibi", "scores", scores)?;
    let &[_, heads, queries, keys] = scores.shape() else {
        return Err(Error::input("add_alibi", "[B, H, L, S]", scores.shape()));
    };
    let mut bias = alibi(queries, keys, heads, offset, scores.dtype())?;
    if let Some(mask) = mask {
        bias = (&bias + mask)?;
    }
    like((scores + &bias)?, scores)
}

fn slopes(heads: i32) -> Vec<f64> {
    let geometric = |heads: u32| (1..=heads).map(move |i| (-8.0 * f64::from(i) / f64::from(heads)).exp2());
    let heads = heads.unsigned_abs();
    let power = if heads.is_power_of_two() { heads } else { heads.next_power_of_two() / 2 };
    let more = geometric(power.saturating_mul(2)).step_by(2);
    geometric(power).chain(more).take(heads as usize).collect()
}
