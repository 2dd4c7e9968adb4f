// SPDX-License-Identifier: EUPL-1.2
//! Scores of given answers: how probable the model finds each of them after one prompt.

use mlx_core::{Array, Dtype};
use mlx_tokenizer::ChatOptions;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::load::Model;
use crate::model::{prefill, row};

/// How many tokens of the prompt are computed at a time.
const CHUNK: usize = 512;

/// One answer's score.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The answer.
    pub answer: String,
    /// The natural logarithm of its probability after the prompt: the sum over its tokens.
    pub log_prob: f64,
    /// How many tokens that sum has.
    pub tokens: usize,
}

/// The scores of all answers, in the order in which they were given.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    /// A score for each answer.
    pub scores: Vec<Score>,
}

impl Classification {
    /// The most probable answer; the first of them where several are equal.
    #[must_use]
    pub fn best(&self) -> Option<&Score> {
        self.scores.iter().reduce(|best, score| if score.log_prob > best.log_prob { score } else { best })
    }

    /// The probability of each answer if it must be one of them: a softmax over the scores.
    #[must_use]
    pub fn probabilities(&self) -> Vec<f64> {
        let Some(best) = self.best() else { return Vec::new() };
        let weights: Vec<f64> =
            self.scores.iter().map(|score| (score.log_prob - best.log_prob).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / sum).collect()
    }
}

impl Model {
    /// The log-probability of each of `answers` as the text that follows `prompt`, with the prompt computed once.
    ///
    /// The prompt is taken as it stands. Prompt and answer are turned into tokens together, since a token may reach
    /// across the boundary; each answer is scored from the first token in which any of them differs from the prompt
    /// alone, so that the scores can be compared. Log-probabilities are float32, summed over an answer's tokens: a
    /// longer answer is not made up for its length.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`]; [`Error::Argument`] when there is no answer, one adds nothing to the prompt, or the
    /// model computes no number for one;
    /// [`Error::EmptyPrompt`] when no token precedes the answers.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_models::Result<()> {
    /// # let model = mlx_models::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny-chat-qwen3"))?;
    /// let scores = model.classify("The capital of France is", &[" Paris.", " a lemon."])?;
    /// assert_eq!(scores.best().map(|score| score.answer.as_str()), Some(" Paris."));
    /// # Ok(()) }
    /// ```
    pub fn classify(&self, prompt: &str, answers: &[&str]) -> Result<Classification> {
        let prompt_ids = self.encode(prompt)?;
        let whole =
            answers.iter().map(|answer| self.encode(&format!("{prompt}{answer}"))).collect::<Result<_>>()?;
        self.score(&prompt_ids, answers, whole)
    }

    /// As [`classify`](Self::classify), with each answer as the assistant's next words after `messages`.
    ///
    /// # Errors
    /// As [`classify`](Self::classify); [`Error::NoChatTemplate`] without a chat template.
    pub fn classify_chat<M: Serialize + ?Sized>(
        &self,
        messages: &M,
        answers: &[&str],
    ) -> Result<Classification> {
        let prompt = self.chat_text(messages, &ChatOptions::default())?;
        let prompt_ids = self.encode_rendered(&prompt)?;
        let whole = answers
            .iter()
            .map(|answer| self.encode_rendered(&format!("{prompt}{answer}")))
            .collect::<Result<_>>()?;
        self.score(&prompt_ids, answers, whole)
    }

    /// Scores `whole`, the tokens of prompt and answer, from where they part from the prompt.
    fn score(&self, prompt: &[u32], answers: &[&str], whole: Vec<Vec<u32>>) -> Result<Classification> {
        let start = whole.iter().map(|ids| common_prefix(prompt, ids)).min().ok_or_else(|| {
            Error::Argument { argument: "answers", message: "expected at least one, found none".into() }
        })?;
        if start == 0 {
            return Err(Error::EmptyPrompt);
        }
        let (network, vocabulary) = (self.network(), self.network().spec().vocab_size);
        let mut tails = Vec::with_capacity(whole.len());
        for (answer, ids) in answers.iter().zip(&whole) {
            let tail = ids.get(start..).unwrap_or_default();
            if tail.is_empty() || answer.is_empty() {
                let message = format!("{answer:?} adds no token to the prompt");
                return Err(Error::Argument { argument: "answers", message });
            }
            self.check_length(ids.len())?;
            tails.push(tail);
        }
        let mut cache = network.make_cache()?;
        cache.expect(i32::try_from(start).unwrap_or(i32::MAX));
        let prompt = prompt.get(..start).unwrap_or_default();
        let first = prefill(network, prompt, &mut cache, CHUNK, |_| true)?.ok_or(Error::EmptyPrompt)?; // [1, V]
        let mut scores = Vec::with_capacity(answers.len());
        for (answer, tail) in answers.iter().zip(tails) {
            let mut log_probs = Vec::with_capacity(tail.len());
            if let Some((_, before)) = tail.split_last() {
                let chosen = row(tail, vocabulary)?;
                let head = chosen.slice_axis(1, 0, 1)?;
                log_probs.extend(chosen_log_probs(&first, &head)?);
                if !before.is_empty() {
                    // The last token's own logits are wanted by nobody. The clone shares the prompt's arrays.
                    let logits = network.forward(&row(before, vocabulary)?, &mut cache.clone())?;
                    let length = i32::try_from(tail.len()).unwrap_or(i32::MAX);
                    let chosen = chosen.slice_axis(1, 1, length)?;
                    log_probs.extend(chosen_log_probs(&logits.squeeze_axes(&[0])?, &chosen)?);
                }
            }
            let log_prob: f64 = log_probs.iter().map(|&p| f64::from(p)).sum();
            if log_prob.is_nan() {
                let message = format!("the logits of {answer:?} hold NaN");
                return Err(Error::Argument { argument: "answers", message });
            }
            scores.push(Score { answer: (*answer).to_owned(), log_prob, tokens: tail.len() });
        }
        Ok(Classification { scores })
    }
}

/// The log-probabilities of `chosen`, `[1, L]`, by `logits`, `[L, V]` in float32.
fn chosen_log_probs(logits: &Array, chosen: &Array) -> Result<Vec<f32>> {
    let picked = logits.take_along_axis(&chosen.transpose()?, -1)?; // [L, 1]
    let total = logits.logsumexp(-1, true)?; // [L, 1]
    Ok((&picked - &total)?.astype(Dtype::Float32)?.to_vec::<f32>()?)
}

/// How many items two sequences begin with in common.
fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classification(log_probs: &[f64]) -> Classification {
        let score = |&log_prob: &f64| Score { answer: String::new(), log_prob, tokens: 1 };
        Classification { scores: log_probs.iter().map(score).collect() }
    }

    #[test]
    fn probabilities_are_a_softmax_that_very_small_scores_survive() {
        let p = classification(&[-2000.0, -2000.0 - 3f64.ln()]).probabilities();
        assert!((p[0] - 0.75).abs() < 1e-12 && (p[1] - 0.25).abs() < 1e-12, "{p:?}");
        assert!(classification(&[]).probabilities().is_empty());
    }

    #[test]
    fn the_first_of_equals_is_the_best() {
        let scores = classification(&[-2.0, -1.0, -1.0]);
        assert!(std::ptr::eq(scores.best().unwrap(), &scores.scores[1]));
        assert_eq!(classification(&[]).best(), None);
    }
}
