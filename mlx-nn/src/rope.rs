// SPDX-License-Identifier: EUPL-1.2
//! Rotary position embeddings, and the ways to stretch them over longer texts.
//!
//! Source: arXiv:2104.09864; the scalings as transformers computes them (`modeling_rope_utils.py`), each with its own
//! source at [`RopeScaling`]. Shapes: B batch, H heads, L new tokens, E head size, R ≤ E rotated dimensions.
//!
//! Frequencies are computed in float64, rounded once, and kept in float32 whatever the dtype of the model.

use std::cell::RefCell;
use std::f64::consts::PI;

use mlx_core::fast::{self, RopeOptions};
use mlx_core::{Array, Dtype};

use crate::RmsNorm;
use crate::error::{Error, Result, positive};

/// What a [`Rope`] is made from.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// E.
    pub head_dim: i32,
    /// θ: dimension `2i` turns by `θ^(−2i/R)` radians a token. `rope_theta` in configs; 10000 by default.
    pub base: f32,
    /// How the frequencies are stretched; not at all by default.
    pub scaling: RopeScaling,
    /// Whether neighbouring dimensions turn together, `(0, 1), (2, 3), ..`, instead of the two halves of a head. False
    /// by default, as every checkpoint in transformers' format has it.
    pub traditional: bool,
    /// Tokens that the model is made for, stretching included: `max_position_embeddings` in configs; 2048 by default.
    pub max_position_embeddings: i32,
    /// R / E; the rest of a head stays as it is. 1 by default.
    pub partial_rotary_factor: f32,
}

impl Default for RopeConfig {
    fn default() -> Self {
        Self {
            head_dim: 64,
            base: 10_000.0,
            scaling: RopeScaling::Default,
            traditional: false,
            max_position_embeddings: 2048,
            partial_rotary_factor: 1.0,
        }
    }
}

/// How frequencies are stretched so that a model can read longer texts than it was trained on.
///
/// `None` stands for the default of the key in transformers, which each field names.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// Not at all.
    #[default]
    Default,
    /// All by one factor. Source: arXiv:2306.15595.
    Linear {
        /// Divides the frequencies.
        factor: f32,
    },
    /// A base that grows with the text once it is longer than `max_position_embeddings`; see [`Rope::forward_within`]
    /// for what "the text" is. Source: transformers' `dynamic`, after the NTK-aware scaling in arXiv:2309.00071.
    Dynamic {
        /// How much longer than `max_position_embeddings` a text may be.
        factor: f32,
    },
    /// Low frequencies by the whole factor, high ones not, those between smoothly. Source: Llama 3.1's reference code.
    Llama3 {
        /// Divides the low frequencies.
        factor: f32,
        /// Wavelengths above the training length over this are low frequencies.
        low_freq_factor: f32,
        /// Wavelengths below the training length over this are high frequencies.
        high_freq_factor: f32,
        /// The training length.
        original_max_position_embeddings: i32,
    },
    /// Dimensions that turn often in the training length keep their frequency, those that turn seldom are divided by
    /// the factor, with a ramp between; what is rotated is scaled too. Source: arXiv:2309.00071.
    Yarn {
        /// Divides the low frequencies; `max_position_embeddings` over the training length by default.
        factor: Option<f32>,
        /// The training length.
        original_max_position_embeddings: i32,
        /// Scales what is rotated; `0.1 · ln(factor) + 1` by default, or as `mscale` and `mscale_all_dim` say.
        attention_factor: Option<f32>,
        /// Turns from which on a dimension keeps its frequency; 32 by default.
        beta_fast: Option<f32>,
        /// Turns up to which a dimension is divided by the whole factor; 1 by default.
        beta_slow: Option<f32>,
        /// Weight of the logarithm in the numerator of the attention factor, where `mscale_all_dim` is given too.
        mscale: Option<f32>,
        /// Weight of the logarithm in its denominator.
        mscale_all_dim: Option<f32>,
        /// Whether the ramp begins and ends at whole dimensions; true by default.
        truncate: Option<bool>,
    },
    /// A divisor for each frequency, one list for texts up to the training length and one beyond; see
    /// [`Rope::forward_within`] for what "the text" is. Source: arXiv:2402.13753.
    LongRope {
        /// R / 2 divisors for texts up to the training length.
        short_factor: Vec<f32>,
        /// R / 2 divisors for longer texts.
        long_factor: Vec<f32>,
        /// How much longer than the training length a text may be; `max_position_embeddings` over it by default.
        factor: Option<f32>,
        /// Scales what is rotated; `√(1 + ln(factor) / ln(training length))` by default.
        attention_factor: Option<f32>,
        /// The training length.
        original_max_position_embeddings: i32,
    },
}

/// Turns pairs of dimensions of queries and keys by an angle that grows with the position.
#[derive(Clone, Debug)]
pub struct Rope {
    config: RopeConfig,
    dims: i32,
    attention_factor: f64,
    // 1 in the dimensions that are not rotated: `[E]`, or `[]` where all are. Absent where the factor is 1.
    attention: Option<Array>,
    // Periods over 2π, float32 `[R / 2]`, for texts no longer than the model's own or its training length.
    short: Array,
    // The same for the length of the last text that was longer.
    long: RefCell<Option<(i32, Array)>>,
}

impl Rope {
    /// Computes the frequencies.
    ///
    /// # Errors
    /// [`Error::Config`] with the key that is outside its domain.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// use mlx_nn::{Rope, RopeConfig};
    ///
    /// let rope = Rope::new(RopeConfig { head_dim: 4, base: 1e6, ..RopeConfig::default() })?;
    /// let q = Array::ones(&[1, 2, 3, 4], Dtype::Float32)?;
    /// // Three tokens that follow seven cached ones.
    /// assert_eq!(rope.forward(&q, 7)?.shape(), q.shape());
    /// # Ok(()) }
    /// ```
    pub fn new(config: RopeConfig) -> Result<Self> {
        let dims = check(&config)?;
        let attention_factor = attention_factor(&config);
        let attention = match attention_factor == 1.0 {
            true => None,
            false if dims == config.head_dim => Some(Array::scalar(attention_factor as f32)?),
            false => {
                let of = |dim| if dim < dims { attention_factor as f32 } else { 1.0 };
                let factors: Vec<f32> = (0..config.head_dim).map(of).collect();
                Some(Array::from_slice(&factors, &[config.head_dim])?)
            }
        };
        let short = periods(&inverse_frequencies(&config, dims, 0))?;
        Ok(Self { config, dims, attention_factor, attention, short, long: RefCell::new(None) })
    }

    /// Rotates `x`, `[B, H, L, E]`, whose tokens stand at `offset..offset + L`, and scales it by the attention factor.
    /// In the dtype of `x`.
    ///
    /// With a scaling that depends on the length of the text, that is `offset + L`; see
    /// [`forward_within`](Self::forward_within).
    ///
    /// # Errors
    /// [`Error::Input`] when the last axis is not E or there are fewer than three, [`Error::Config`] when `offset` is
    /// negative or too large.
    pub fn forward(&self, x: &Array, offset: i32) -> Result<Array> {
        self.forward_within(x, offset, 0)
    }

    /// As [`forward`](Self::forward), in a text of at least `length` tokens.
    ///
    /// [`RopeScaling::Dynamic`] and [`RopeScaling::LongRope`] have other frequencies in a long text than in a short
    /// one. As in transformers, they are chosen by the tokens known when keys are rotated, `offset + L`, and keys in a
    /// cache stay as they were. So while a text grows past the limit, older keys have the frequencies of the shorter
    /// text, and a prompt that is read in chunks gives another result than one that is read whole, unless the caller
    /// names the length of the whole prompt here. Other scalings ignore it.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_within(&self, x: &Array, offset: i32, length: i32) -> Result<Array> {
        let (new, size) = match *x.shape() {
            [.., new, size] if x.ndim() >= 3 => (new, size),
            _ => (0, 0),
        };
        if size != self.config.head_dim {
            return Err(Error::input("rope", format!("[.., H, L, {}]", self.config.head_dim), x.shape()));
        }
        let options = self.options(new, offset, length)?;
        let Some(attention) = &self.attention else {
            return Ok(fast::rope(x, &options, offset)?);
        };
        // In float32, so that half precision is rounded once.
        let wide = fast::rope(&x.astype(Dtype::Float32)?, &options, offset)?;
        Ok((&wide * attention)?.astype(x.dtype())?)
    }

    /// Queries or keys as attention takes them: `[B, L, H·E]` split into heads, each normed and then turned, as
    /// [`forward_within`](Self::forward_within) does it. `[B, H, L, E]`, in the dtype of `x`.
    ///
    /// # Errors
    /// [`Error::Input`] when `x` has not three axes, the last of them `heads` times E; [`Error::Config`] as for
    /// [`forward`](Self::forward).
    pub fn heads(&self, x: &Array, heads: i32, norm: &RmsNorm, offset: i32, length: i32) -> Result<Array> {
        let size = self.config.head_dim;
        let &[_, new, width] = x.shape() else {
            return Err(Error::input("rope", "[B, L, H·E]", x.shape()));
        };
        if heads.checked_mul(size) != Some(width) {
            return Err(Error::input("rope", format!("[B, L, {heads} · {size}]"), x.shape()));
        }
        if self.attention.is_some() {
            let split = crate::attention::split_heads(x, heads)?;
            return self.forward_within(&norm.forward(&split)?, offset, length);
        }
        let options = self.options(new, offset, length)?;
        Ok(fast::rope_heads(x, heads, Some(&norm.as_norm()), &options, offset)?)
    }

    /// As ops take it, for `new` tokens from `offset` on in a text of at least `length` tokens; nothing where what is
    /// turned has to be scaled too.
    pub(crate) fn plain_options(&self, new: i32, offset: i32, length: i32) -> Result<Option<RopeOptions>> {
        match self.attention {
            Some(_) => Ok(None),
            None => self.options(new, offset, length).map(Some),
        }
    }

    /// How `new` tokens from `offset` on turn in a text of at least `length` tokens.
    fn options(&self, new: i32, offset: i32, length: i32) -> Result<RopeOptions> {
        let end = if offset < 0 { None } else { offset.checked_add(new) };
        let end =
            end.ok_or_else(|| Error::config("offset", format!("expected a position, found {offset}")))?;
        Ok(RopeOptions {
            dims: self.dims,
            traditional: self.config.traditional,
            base: None,
            scale: 1.0,
            freqs: Some(self.periods(end.max(length))?),
        })
    }

    /// What [`forward`](Self::forward) was made from.
    #[must_use]
    pub fn config(&self) -> &RopeConfig {
        &self.config
    }

    /// What rotated dimensions are multiplied by: 1 but for yarn and longrope.
    #[must_use]
    pub fn attention_factor(&self) -> f32 {
        self.attention_factor as f32
    }

    /// Radians a token for each of the R / 2 pairs, in a text of `length` tokens.
    #[must_use]
    pub fn inverse_frequencies(&self, length: i32) -> Vec<f32> {
        inverse_frequencies(&self.config, self.dims, length).into_iter().map(|f| f as f32).collect()
    }

    /// The periods for a text of `length` tokens.
    fn periods(&self, length: i32) -> Result<Array> {
        // What stands for all lengths that share their frequencies.
        let length = match &self.config.scaling {
            RopeScaling::Dynamic { .. } if length > self.config.max_position_embeddings => length,
            RopeScaling::LongRope { original_max_position_embeddings, .. }
                if length > *original_max_position_embeddings =>
            {
                original_max_position_embeddings.saturating_add(1)
            }
            _ => return Ok(self.short.clone()),
        };
        let mut long = self.long.borrow_mut();
        match &*long {
            Some((known, periods)) if *known == length => Ok(periods.clone()),
            _ => {
                let periods = periods(&inverse_frequencies(&self.config, self.dims, length))?;
                *long = Some((length, periods.clone()));
                Ok(periods)
            }
        }
    }
}

/// MLX takes periods rather than frequencies.
fn periods(inverse: &[f64]) -> Result<Array> {
    let periods: Vec<f32> = inverse.iter().map(|f| f.recip() as f32).collect();
    let len = i32::try_from(periods.len()).map_err(|_| Error::config("head_dim", "too large"))?;
    Ok(Array::from_slice(&periods, &[len])?)
}

/// `θ^(2i/R)` for each pair.
fn powers(base: f64, dims: i32) -> impl Iterator<Item = f64> {
    (0..dims / 2).map(move |i| base.powf(f64::from(2 * i) / f64::from(dims)))
}

/// Radians a token for each pair, in a text of `length` tokens.
fn inverse_frequencies(config: &RopeConfig, dims: i32, length: i32) -> Vec<f64> {
    let base = f64::from(config.base);
    let plain = powers(base, dims).map(f64::recip);
    match &config.scaling {
        RopeScaling::Default => plain.collect(),
        RopeScaling::Linear { factor } => plain.map(|f| f / f64::from(*factor)).collect(),
        RopeScaling::Dynamic { factor } => {
            let (factor, most) = (f64::from(*factor), f64::from(config.max_position_embeddings));
            let growth = factor * f64::from(length).max(most) / most - (factor - 1.0);
            let dims_f = f64::from(dims);
            powers(base * growth.powf(dims_f / (dims_f - 2.0)), dims).map(f64::recip).collect()
        }
        &RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            let (factor, low, high) =
                (f64::from(factor), f64::from(low_freq_factor), f64::from(high_freq_factor));
            // Turns in the training length: at most `low` is a low frequency, at least `high` a high one.
            let turns = move |f: f64| f64::from(original_max_position_embeddings) * f / (2.0 * PI);
            plain
                .map(|f| {
                    let keep = ((turns(f) - low) / (high - low)).clamp(0.0, 1.0);
                    (1.0 - keep) * f / factor + keep * f
                })
                .collect()
        }
        &RopeScaling::Yarn {
            factor,
            original_max_position_embeddings,
            beta_fast,
            beta_slow,
            truncate,
            ..
        } => {
            let factor = stretch(config, factor, original_max_position_embeddings);
            let dims_f = f64::from(dims);
            // The dimension, not always a whole one, that turns so often in the training length.
            let dimension = |turns: f64| {
                let wavelength = f64::from(original_max_position_embeddings) / (turns * 2.0 * PI);
                dims_f * wavelength.ln() / (2.0 * base.ln())
            };
            let low = dimension(given(beta_fast).unwrap_or(32.0));
            let high = dimension(given(beta_slow).unwrap_or(1.0));
            let (low, high) = if truncate.unwrap_or(true) { (low.floor(), high.ceil()) } else { (low, high) };
            let (low, high) = (low.max(0.0), high.min(dims_f - 1.0));
            // What transformers adds so that the ramp has a width.
            let high = if low == high { high + 0.001 } else { high };
            plain
                .enumerate()
                .map(|(i, f)| {
                    let slow = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    slow * f / factor + (1.0 - slow) * f
                })
                .collect()
        }
        RopeScaling::LongRope { short_factor, long_factor, original_max_position_embeddings, .. } => {
            let factors = if length > *original_max_position_embeddings { long_factor } else { short_factor };
            plain.zip(factors).map(|(f, factor)| f / f64::from(*factor)).collect()
        }
    }
}

fn attention_factor(config: &RopeConfig) -> f64 {
    let scale = |factor: f64, weight: f64| if factor <= 1.0 { 1.0 } else { 0.1 * weight * factor.ln() + 1.0 };
    match &config.scaling {
        RopeScaling::Yarn { attention_factor: Some(known), .. }
        | RopeScaling::LongRope { attention_factor: Some(known), .. } => f64::from(*known),
        RopeScaling::Yarn { factor, original_max_position_embeddings, mscale, mscale_all_dim, .. } => {
            let factor = stretch(config, *factor, *original_max_position_embeddings);
            match (given(*mscale), given(*mscale_all_dim)) {
                (Some(above), Some(below)) => scale(factor, above) / scale(factor, below),
                _ => scale(factor, 1.0),
            }
        }
        RopeScaling::LongRope { factor, original_max_position_embeddings, .. } => {
            let factor = stretch(config, *factor, *original_max_position_embeddings);
            match factor <= 1.0 {
                true => 1.0,
                false => (1.0 + factor.ln() / f64::from(*original_max_position_embeddings).ln()).sqrt(),
            }
        }
        _ => 1.0,
    }
}

/// How much longer than in training a text may be.
fn stretch(config: &RopeConfig, factor: Option<f32>, original: i32) -> f64 {
    factor.map_or_else(|| f64::from(config.max_position_embeddings) / f64::from(original), f64::from)
}

/// An optional number; transformers takes 0 for absent in the keys of yarn.
fn given(value: Option<f32>) -> Option<f64> {
    value.filter(|value| *value != 0.0).map(f64::from)
}

/// Checks everything that the formulas divide by or take a logarithm of, and returns R.
fn check(config: &RopeConfig) -> Result<i32> {
    let head_dim = positive("head_dim", config.head_dim)?;
    positive("max_position_embeddings", config.max_position_embeddings)?;
    let share = above("partial_rotary_factor", config.partial_rotary_factor, 0.0)?;
    if share > 1.0 {
        return Err(Error::config("partial_rotary_factor", format!("expected at most 1, found {share}")));
    }
    // Rounded towards zero, as transformers does. A product in float64 would show that 0.7 is a little less in float32.
    let dims = (head_dim as f32 * share) as i32;
    if dims < 2 || dims % 2 != 0 {
        let message =
            format!("expected an even number of rotated dimensions from 2 on, found {dims} of {head_dim}");
        return Err(Error::config("head_dim", message));
    }
    above("rope_theta", config.base, 0.0)?;
    let optional = |key, value: Option<f32>| value.map_or(Ok(0.0), |value| above(key, value, 0.0));
    match &config.scaling {
        RopeScaling::Default => {}
        RopeScaling::Linear { factor } => {
            above("factor", *factor, 0.0)?;
        }
        RopeScaling::Dynamic { factor } => {
            above("factor", *factor, 0.0)?;
            if dims < 4 {
                return Err(Error::config("head_dim", "dynamic scaling needs at least 4 rotated dimensions"));
            }
        }
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            above("factor", *factor, 0.0)?;
            above("low_freq_factor", *low_freq_factor, 0.0)?;
            above("high_freq_factor", *high_freq_factor, *low_freq_factor)?;
            positive("original_max_position_embeddings", *original_max_position_embeddings)?;
        }
        RopeScaling::Yarn {
            factor,
            original_max_position_embeddings,
            attention_factor,
            beta_fast,
            beta_slow,
            mscale,
            mscale_all_dim,
            truncate: _,
        } => {
            optional("factor", *factor)?;
            positive("original_max_position_embeddings", *original_max_position_embeddings)?;
            optional("attention_factor", *attention_factor)?;
            // The ramp is drawn over logarithms to the base.
            above("rope_theta", config.base, 1.0)?;
            for (key, value) in [
                ("beta_fast", beta_fast),
                ("beta_slow", beta_slow),
                ("mscale", mscale),
                ("mscale_all_dim", mscale_all_dim),
            ] {
                optional(key, value.filter(|value| *value != 0.0))?;
            }
            let (fast, slow) = (given(*beta_fast).unwrap_or(32.0), given(*beta_slow).unwrap_or(1.0));
            if fast < slow {
                return Err(Error::config(
                    "beta_fast",
                    format!("expected at least beta_slow {slow}, found {fast}"),
                ));
            }
        }
        RopeScaling::LongRope {
            short_factor,
            long_factor,
            factor,
            attention_factor,
            original_max_position_embeddings,
        } => {
            optional("factor", *factor)?;
            optional("attention_factor", *attention_factor)?;
            let original = positive("original_max_position_embeddings", *original_max_position_embeddings)?;
            if original == 1 {
                // The attention factor divides by its logarithm.
                return Err(Error::config(
                    "original_max_position_embeddings",
                    "expected at least 2, found 1",
                ));
            }
            for (key, list) in [("short_factor", short_factor), ("long_factor", long_factor)] {
                if i32::try_from(list.len()) != Ok(dims / 2) {
                    let message = format!("expected {} numbers, found {}", dims / 2, list.len());
                    return Err(Error::config(key, message));
                }
                for &value in list {
                    above(key, value, 0.0)?;
                }
            }
        }
    }
    Ok(dims)
}

/// Checks that a finite number is above `bound`.
fn above(key: &'static str, value: f32, bound: f32) -> Result<f32> {
    if value.is_finite() && value > bound {
        return Ok(value);
    }
    Err(Error::config(key, format!("expected a number above {bound}, found {value}")))
}
