// SPDX-License-Identifier: EUPL-1.2
//! What a request may ask of the sampler.

use crate::error::{Error, Result};

/// How tokens are chosen. The default is greedy: always the most probable one.
///
/// The steps are applied in the order of the fields that follow, except that [`temperature`](Self::temperature) comes
/// after the penalties: logit bias, penalties, temperature, top-k, top-p, min-p, draw. So the filters see the
/// distribution that is drawn from, as in transformers and vLLM, and not the one before temperature, as in mlx-lm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SamplerOptions {
    /// What the logits are divided by; 0 takes the most probable token, the lowest id among equals. Default 0.
    pub temperature: f32,

    /// Keep the k largest logits, and any that equal the k-th. `None` and 0 keep all. Default `None`.
    pub top_k: Option<usize>,

    /// Keep the smallest set of most probable tokens whose probabilities sum to at least this, and any that equal the
    /// least probable of them; 0 keeps the most probable, 1 keeps all. Default `None`, which keeps all.
    pub top_p: Option<f32>,

    /// Keep the tokens at least this fraction as probable as the most probable one. Default `None`, which keeps all.
    pub min_p: Option<f32>,

    /// For tokens of the prompt or the text: positive logits are divided by this, negative ones multiplied. Above 1 it
    /// discourages repetition. Default `None`, which is 1. Source: arXiv:1909.05858, with the sign as transformers has it.
    pub repetition_penalty: Option<f32>,

    /// Subtracted from the logit of each token that was generated, however often. Default `None`, which is 0.
    pub presence_penalty: Option<f32>,

    /// Subtracted from a token's logit as many times as it was generated. Default `None`, which is 0.
    pub frequency_penalty: Option<f32>,

    /// Added to the logits of these ids; negative infinity excludes a token. Several for one id add up. Default none.
    pub logit_bias: Vec<(u32, f32)>,

    /// What the draws follow from: the same seed and logits give the same tokens. Default `None`, a new one each time.
    pub seed: Option<u64>,
}

impl SamplerOptions {
    /// Checks every option that can be checked without a vocabulary.
    ///
    /// # Errors
    /// [`Error::Argument`] naming the first option outside its domain.
    ///
    /// # Examples
    /// ```
    /// let options = mlx_sampler::SamplerOptions { top_p: Some(1.5), ..Default::default() };
    /// assert_eq!(options.validate().unwrap_err().to_string(), "top_p: expected 0 to 1, found 1.5");
    /// ```
    pub fn validate(&self) -> Result<()> {
        let check = |argument, value: Option<f32>, valid: fn(f32) -> bool, expected: &str| match value {
            Some(found) if !valid(found) => {
                Err(Error::Argument { argument, message: format!("expected {expected}, found {found}") })
            }
            _ => Ok(()),
        };
        let fraction = |v: f32| (0.0..=1.0).contains(&v);
        check(
            "temperature",
            Some(self.temperature),
            |v| v >= 0.0 && v.is_finite(),
            "a finite number from 0 up",
        )?;
        check("top_p", self.top_p, fraction, "0 to 1")?;
        check("min_p", self.min_p, fraction, "0 to 1")?;
        check(
            "repetition_penalty",
            self.repetition_penalty,
            |v| v > 0.0 && v.is_finite(),
            "a finite number above 0",
        )?;
        check("presence_penalty", self.presence_penalty, f32::is_finite, "a finite number")?;
        check("frequency_penalty", self.frequency_penalty, f32::is_finite, "a finite number")?;
        for &(id, bias) in &self.logit_bias {
            if bias.is_nan() || bias == f32::INFINITY {
                // Two certain tokens have no meaning, and infinity plus an excluded logit is no number.
                let message =
                    format!("token id {id}: expected a finite number or negative infinity, found {bias}");
                return Err(Error::Argument { argument: "logit_bias", message });
            }
        }
        Ok(())
    }

    /// Whether nothing is drawn.
    ///
    /// A temperature below the smallest normal number counts as 0: hardware may take it for that when it divides.
    #[must_use]
    pub fn is_greedy(&self) -> bool {
        self.temperature < f32::MIN_POSITIVE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_names_the_option_and_what_was_found() {
        let default = SamplerOptions::default;
        let cases = [
            (
                SamplerOptions { temperature: -0.5, ..default() },
                "temperature: expected a finite number from 0 up, found -0.5",
            ),
            (
                SamplerOptions { temperature: f32::NAN, ..default() },
                "temperature: expected a finite number from 0 up, found NaN",
            ),
            (
                SamplerOptions { temperature: f32::INFINITY, ..default() },
                "temperature: expected a finite number from 0 up, found inf",
            ),
            (SamplerOptions { top_p: Some(-0.1), ..default() }, "top_p: expected 0 to 1, found -0.1"),
            (SamplerOptions { top_p: Some(f32::NAN), ..default() }, "top_p: expected 0 to 1, found NaN"),
            (SamplerOptions { min_p: Some(2.0), ..default() }, "min_p: expected 0 to 1, found 2"),
            (
                SamplerOptions { repetition_penalty: Some(0.0), ..default() },
                "repetition_penalty: expected a finite number above 0, found 0",
            ),
            (
                SamplerOptions { presence_penalty: Some(f32::NEG_INFINITY), ..default() },
                "presence_penalty: expected a finite number, found -inf",
            ),
            (
                SamplerOptions { frequency_penalty: Some(f32::NAN), ..default() },
                "frequency_penalty: expected a finite number, found NaN",
            ),
            (
                SamplerOptions { logit_bias: vec![(1, f32::NEG_INFINITY), (7, f32::INFINITY)], ..default() },
                "logit_bias: token id 7: expected a finite number or negative infinity, found inf",
            ),
        ];
        for (options, message) in cases {
            assert_eq!(options.validate().unwrap_err().to_string(), message);
        }
        default().validate().unwrap();
        let bounds = SamplerOptions {
            temperature: f32::MAX,
            top_k: Some(usize::MAX),
            top_p: Some(0.0),
            min_p: Some(1.0),
            repetition_penalty: Some(f32::MIN_POSITIVE),
            presence_penalty: Some(-2.0),
            frequency_penalty: Some(2.0),
            logit_bias: vec![(u32::MAX, f32::NEG_INFINITY)],
            seed: Some(u64::MAX),
        };
        bounds.validate().unwrap();
    }

    #[test]
    fn only_a_temperature_of_nothing_is_greedy() {
        for (temperature, greedy) in [(0.0, true), (-0.0, true), (1e-45, true), (1e-30, false), (1.0, false)]
        {
            assert_eq!(
                SamplerOptions { temperature, ..Default::default() }.is_greedy(),
                greedy,
                "{temperature}"
            );
        }
    }
}
