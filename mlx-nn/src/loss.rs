// SPDX-License-Identifier: EUPL-1.2
//! Losses: how far predictions are from what was wanted.
//!
//! Each function gives a loss for each element or row; [`Reduction`] says what becomes of them. The loss of language
//! models is [`cross_entropy`], and [`token_loss`] is it over the tokens that count.

use std::f64::consts::{LN_2, PI};

use mlx_core::{Array, Dtype, where_};

use crate::constant::Constant;
use crate::error::{Error, Result};

/// What becomes of the losses of all elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// They are kept.
    None,
    /// Their mean, the usual one.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

impl Reduction {
    fn of(self, losses: Array) -> Result<Array> {
        Ok(match self {
            Self::None => losses,
            Self::Mean => losses.mean_all()?,
            Self::Sum => losses.sum_all()?,
        })
    }
}

/// The settings of [`cross_entropy`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CrossEntropy<'a> {
    /// A factor for each loss, of the targets' shape; none by default.
    pub weights: Option<&'a Array>,
    /// How much of the wanted probability is spread over all classes, from 0, the default, to below 1.
    pub label_smoothing: f64,
    /// A class whose losses are 0, and which a mean does not count; none by default.
    pub ignore: Option<i32>,
    /// The mean by default.
    pub reduction: Reduction,
}

/// `−Σ p · ln softmax(logits)`, where p is 1 for the class that `targets` names.
///
/// - `logits`: `[.., classes]`, floating
/// - `targets`: `[..]`, the wanted class as an integer; or probabilities of the shape of `logits`
/// - result: float32, whatever the dtype of `logits`: `[..]`, or `[]` where it is reduced
///
/// A class outside `0..classes` that is not [`ignored`](CrossEntropy::ignore) gives NaN.
///
/// # Errors
/// [`Error::Input`] when a shape does not fit, [`Error::Config`] when the smoothing is outside its domain.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use mlx_core::Array;
/// use mlx_nn::loss::{CrossEntropy, cross_entropy};
///
/// let logits = Array::from_slice(&[0.0f32, 0.0, 9.0, 0.0], &[2, 2])?;
/// let targets = Array::from_slice(&[1, -100], &[2])?;
/// let settings = CrossEntropy { ignore: Some(-100), ..Default::default() };
/// assert!((cross_entropy(&logits, &targets, &settings)?.item::<f32>()? - 2f32.ln()).abs() < 1e-6);
/// # Ok(()) }
/// ```
pub fn cross_entropy(logits: &Array, targets: &Array, settings: &CrossEntropy<'_>) -> Result<Array> {
    const OP: &str = "cross_entropy";
    let smoothing = settings.label_smoothing;
    if !(0.0..1.0).contains(&smoothing) {
        let message = format!("expected a number from 0 and below 1, found {smoothing}");
        return Err(Error::config("label_smoothing", message));
    }
    let Some((&classes, rows)) = logits.shape().split_last() else {
        return Err(Error::input(OP, "[.., classes]", logits.shape()));
    };
    let logits = logits.astype(Dtype::Float32)?;
    let indices = targets.dtype().is_integer();
    let wanted = if indices { rows } else { logits.shape() };
    if targets.shape() != wanted {
        return Err(Error::input(OP, format!("targets of {wanted:?}"), targets.shape()));
    }
    if settings.ignore.is_some() && !indices {
        return Err(Error::config("ignore", "probabilities name no class"));
    }
    if let Some(weights) = settings.weights
        && weights.shape() != rows
    {
        return Err(Error::input(OP, format!("weights of {rows:?}"), weights.shape()));
    }
    let total = logits.logsumexp(-1, false)?;
    let score = if indices {
        // A class that there is not would read another row's logits: it is made 0 here, and NaN below.
        let targets = targets.astype(Dtype::Int64)?;
        let zero = Array::scalar(0i64)?;
        let known =
            targets.greater_equal(&zero)?.logical_and(&targets.less(&Array::scalar(i64::from(classes))?)?)?;
        let safe = where_(&known, &targets, &zero)?;
        let score = logits.take_along_axis(&safe.expand_dims(-1)?, -1)?.squeeze_axes(&[-1])?;
        where_(&known, &score, &Array::scalar(f32::NAN)?)?
    } else {
        (&logits * &targets.astype(Dtype::Float32)?)?.sum(-1, false)?
    };
    let mut losses = if smoothing > 0.0 {
        let spread = logits.mean(-1, false)?.times(smoothing)?;
        (&total - &(&score.times(1.0 - smoothing)? + &spread)?)?
    } else {
        (&total - &score)?
    };
    if let Some(weights) = settings.weights {
        losses = (&losses * &weights.astype(Dtype::Float32)?)?;
    }
    let Some(ignored) = settings.ignore else { return settings.reduction.of(losses) };
    let counts = targets.astype(Dtype::Int64)?.not_equal(&Array::scalar(i64::from(ignored))?)?;
    losses = where_(&counts, &losses, &Array::scalar(0.0f32)?)?;
    match settings.reduction {
        Reduction::Mean => {
            let count = counts.astype(Dtype::Float32)?.sum_all()?.maximum(&Array::scalar(1.0f32)?)?;
            Ok((&losses.sum_all()? / &count)?)
        }
        other => other.of(losses),
    }
}

/// The sum of the losses of the tokens that count, and how many these are: what a step of training a language model
/// divides by when its micro-batches are put together.
///
/// - `logits`: `[B, L, V]`, floating
/// - `targets`: `[B, L]`, the token that comes next, as integers
/// - `mask`: `[B, L]`, 1 where a token counts and 0 where not; any dtype
/// - result: two float32 of shape `[]`
///
/// # Errors
/// [`Error::Input`] when a shape does not fit.
pub fn token_loss(
    logits: &Array,
    targets: &Array,
    mask: &Array,
    label_smoothing: f64,
) -> Result<(Array, Array)> {
    if mask.shape() != targets.shape() {
        return Err(Error::input("token_loss", format!("a mask of {:?}", targets.shape()), mask.shape()));
    }
    let settings = CrossEntropy { label_smoothing, reduction: Reduction::None, ..Default::default() };
    let losses = cross_entropy(logits, targets, &settings)?;
    let counts = mask.astype(Dtype::Bool)?;
    // Chosen and not multiplied: what does not count may be NaN.
    let losses = where_(&counts, &losses, &Array::scalar(0.0f32)?)?;
    Ok((losses.sum_all()?, counts.astype(Dtype::Float32)?.sum_all()?))
}

/// Checks that two operands have one shape, and gives their difference.
fn difference(loss: &'static str, predictions: &Array, targets: &Array) -> Result<Array> {
    same(loss, predictions, targets)?;
    Ok((predictions - targets)?)
}

fn same(loss: &'static str, a: &Array, b: &Array) -> Result<()> {
    match a.shape() == b.shape() {
        true => Ok(()),
        false => Err(Error::input(loss, format!("{:?}", a.shape()), b.shape())),
    }
}

/// `(x − y)²`.
///
/// # Errors
/// [`Error::Input`] when the shapes differ, as for all of these.
pub fn mse(predictions: &Array, targets: &Array, reduction: Reduction) -> Result<Array> {
    reduction.of(difference("mse", predictions, targets)?.square()?)
}

/// `|x − y|`.
///
/// # Errors
/// As [`mse`].
pub fn l1(predictions: &Array, targets: &Array, reduction: Reduction) -> Result<Array> {
    reduction.of(difference("l1", predictions, targets)?.abs()?)
}

/// `d² / 2β` where `d = |x − y|` is below β, else `d − β/2`.
///
/// # Errors
/// As [`mse`]; [`Error::Config`] when `beta` is not above 0.
pub fn smooth_l1(predictions: &Array, targets: &Array, beta: f64, reduction: Reduction) -> Result<Array> {
    above_zero("beta", beta)?;
    let d = difference("smooth_l1", predictions, targets)?.abs()?;
    let near = d.square()?.times(0.5 / beta)?;
    let far = d.plus(-0.5 * beta)?;
    reduction.of(where_(&d.less(&d.scalar_like(beta)?)?, &near, &far)?)
}

/// `d²/2` where `d = |x − y|` is at most δ, else `δ·(d − δ/2)`.
///
/// # Errors
/// As [`mse`]; [`Error::Config`] when `delta` is not above 0.
pub fn huber(predictions: &Array, targets: &Array, delta: f64, reduction: Reduction) -> Result<Array> {
    above_zero("delta", delta)?;
    let d = difference("huber", predictions, targets)?.abs()?;
    let near = d.minimum(&d.scalar_like(delta)?)?;
    let far = (&d - &near)?;
    reduction.of((&near.square()?.times(0.5)? + &far.times(delta)?)?)
}

/// `ln cosh(x − y)`.
///
/// # Errors
/// As [`mse`].
pub fn log_cosh(predictions: &Array, targets: &Array, reduction: Reduction) -> Result<Array> {
    let d = difference("log_cosh", predictions, targets)?;
    reduction.of(d.logaddexp(&(-&d)?)?.plus(-LN_2)?)
}

/// `−(y·ln p + (1 − y)·ln(1 − p))` with `p = σ(x)`: targets of 0 and 1, predictions before the sigmoid.
///
/// # Errors
/// As [`mse`].
pub fn binary_cross_entropy(logits: &Array, targets: &Array, reduction: Reduction) -> Result<Array> {
    same("binary_cross_entropy", logits, targets)?;
    let soft = logits.logaddexp(&logits.scalar_like(0.0)?)?;
    reduction.of((&soft - &(logits * targets)?)?)
}

/// [`binary_cross_entropy`] of probabilities, whose logarithms count as at least −100.
///
/// # Errors
/// As [`mse`].
pub fn binary_cross_entropy_of_probabilities(
    probabilities: &Array,
    targets: &Array,
    reduction: Reduction,
) -> Result<Array> {
    same("binary_cross_entropy", probabilities, targets)?;
    let log = |p: &Array| p.log()?.maximum(&p.scalar_like(-100.0)?);
    let one = probabilities.scalar_like(1.0)?;
    let yes = (targets * &log(probabilities)?)?;
    let no = (&(&one - targets)? * &log(&(&one - probabilities)?)?)?;
    reduction.of((-&(&yes + &no)?)?)
}

/// `−x[target]` of log-probabilities.
///
/// - `log_probabilities`: `[.., classes]`; `targets`: `[..]`, integers
///
/// # Errors
/// [`Error::Input`] when a shape does not fit.
pub fn nll(log_probabilities: &Array, targets: &Array, reduction: Reduction) -> Result<Array> {
    let rows = log_probabilities.shape().split_last().map(|(_, rows)| rows);
    if rows != Some(targets.shape()) {
        return Err(Error::input("nll", "targets without the last axis", targets.shape()));
    }
    let chosen = log_probabilities.take_along_axis(&targets.expand_dims(-1)?, -1)?.squeeze_axes(&[-1])?;
    reduction.of((-&chosen)?)
}

/// `Σ eᵗ · (t − x)` along the last axis: how far the log-probabilities `x` are from `t`.
///
/// # Errors
/// As [`mse`].
pub fn kl_divergence(log_predictions: &Array, log_targets: &Array, reduction: Reduction) -> Result<Array> {
    let d = difference("kl_divergence", log_targets, log_predictions)?;
    reduction.of((&log_targets.exp()? * &d)?.sum(-1, false)?)
}

/// `(ln v + (x − y)² / v) / 2` for means x and variances v, which count as at least `eps`; with `full`, plus `ln(2π) / 2`.
///
/// # Errors
/// As [`mse`].
pub fn gaussian_nll(
    means: &Array,
    targets: &Array,
    variances: &Array,
    full: bool,
    eps: f64,
    reduction: Reduction,
) -> Result<Array> {
    let square = difference("gaussian_nll", targets, means)?.square()?;
    same("gaussian_nll", means, variances)?;
    let v = variances.maximum(&variances.scalar_like(eps)?)?;
    let mut losses = (&v.log()? + &(&square / &v)?)?.times(0.5)?;
    if full {
        losses = losses.plus(0.5 * (2.0 * PI).ln())?;
    }
    reduction.of(losses)
}

/// `max(0, 1 − x·y)` for targets of −1 and 1.
///
/// # Errors
/// As [`mse`].
pub fn hinge(predictions: &Array, targets: &Array, reduction: Reduction) -> Result<Array> {
    same("hinge", predictions, targets)?;
    let margin = (&predictions.scalar_like(1.0)? - &(predictions * targets)?)?;
    reduction.of(margin.maximum(&margin.scalar_like(0.0)?)?)
}

/// `a · b / max(|a|·|b|, eps)` along `axis`: 1 where they point the same way.
///
/// # Errors
/// As [`mse`].
pub fn cosine_similarity(a: &Array, b: &Array, axis: i32, eps: f64, reduction: Reduction) -> Result<Array> {
    same("cosine_similarity", a, b)?;
    let norm = |x: &Array| x.square()?.sum(axis, false)?.sqrt();
    let lengths = (&norm(a)? * &norm(b)?)?;
    let lengths = lengths.maximum(&lengths.scalar_like(eps)?)?;
    reduction.of((&(a * b)?.sum(axis, false)? / &lengths)?)
}

/// `max(0, −y·(a − b) + margin)` for targets of −1 and 1.
///
/// # Errors
/// As [`mse`].
pub fn margin_ranking(
    a: &Array,
    b: &Array,
    targets: &Array,
    margin: f64,
    reduction: Reduction,
) -> Result<Array> {
    let d = difference("margin_ranking", a, b)?;
    same("margin_ranking", a, targets)?;
    let losses = (-&(targets * &d)?)?.plus(margin)?;
    reduction.of(losses.maximum(&losses.scalar_like(0.0)?)?)
}

/// `max(0, |a − p| − |a − n| + margin)` along `axis`, with the `power`-norm: an anchor is to be nearer to the positive
/// than to the negative.
///
/// # Errors
/// As [`mse`].
pub fn triplet(
    anchors: &Array,
    positives: &Array,
    negatives: &Array,
    axis: i32,
    power: f64,
    margin: f64,
    eps: f64,
    reduction: Reduction,
) -> Result<Array> {
    let distance = |d: Array| -> Result<Array> {
        let sum = d.abs()?.power(&d.scalar_like(power)?)?.sum(axis, false)?;
        Ok(sum.plus(eps)?.power(&sum.scalar_like(power.recip())?)?)
    };
    let near = distance(difference("triplet", anchors, positives)?)?;
    let far = distance(difference("triplet", anchors, negatives)?)?;
    let losses = (&near - &far)?.plus(margin)?;
    reduction.of(losses.maximum(&losses.scalar_like(0.0)?)?)
}

fn above_zero(key: &'static str, value: f64) -> Result<()> {
    match value > 0.0 {
        true => Ok(()),
        false => Err(Error::config(key, format!("expected a number above 0, found {value}"))),
    }
}
