// SPDX-License-Identifier: EUPL-1.2
//! How well a model predicts texts.
//!
//! Texts longer than a window are scored in windows that overlap: each reaches `stride` tokens further than the one before
//! and scores these alone, so that every token but the first of a text is scored once, with at least `window − stride`
//! tokens before it where there are as many.

use mlx_core::{Array, eval, fast};

use crate::control::{CancelToken, Progress};
use crate::error::{Error, Result};
use crate::load::Model;
use crate::model::row;

/// How to score texts.
#[derive(Clone, Debug, Default)]
pub struct PerplexityOptions {
    /// Tokens that the model sees at once, at least 2 and no more than its context. Default 2048, or its context where
    /// that is shorter.
    pub window: Option<usize>,
    /// How many tokens each window reaches further than the one before, 1 to `window − 1`. Default half the window.
    pub stride: Option<usize>,
    /// The most tokens to score, of all texts together. Default all.
    pub max_tokens: Option<usize>,
    /// A flag that ends the work when it is set. Default none.
    pub cancel: Option<CancelToken>,
    /// Told how many tokens are scored, and of how many. Default none.
    pub progress: Option<Progress>,
}

/// How well a model predicts texts; over all tokens, whichever text they are in.
#[derive(Clone, Debug, PartialEq)]
pub struct Perplexity {
    /// `exp` of the mean below.
    pub perplexity: f64,
    /// The standard error of it, by the delta method: perplexity · standard deviation / √tokens. None for one token.
    pub standard_error: Option<f64>,
    /// The mean of −ln p(token), over the scored tokens.
    pub nats_per_token: f64,
    /// The bits that the scored tokens take, for each byte of text they stand for. None for ids without text.
    pub bits_per_byte: Option<f64>,
    /// How many tokens were scored.
    pub tokens: usize,
    /// How many texts they are from.
    pub texts: usize,
    /// How many bytes of text they stand for. None for ids without text.
    pub bytes: Option<usize>,
    /// Tokens that the model saw at once, at most.
    pub window: usize,
    /// How much further each window reached than the one before.
    pub stride: usize,
}

/// The tokens `begin..end` of a text, of which those from `from` on are scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    begin: usize,
    end: usize,
    from: usize,
}

/// How texts are cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    window: usize,
    stride: usize,
}

impl Cut {
    fn new(options: &PerplexityOptions, context: usize) -> Result<Self> {
        let refuse = |argument, message| Err(Error::Argument { argument, message });
        let window = options.window.unwrap_or_else(|| context.min(2048));
        if window < 2 || window > context {
            return refuse("window", format!("expected 2 to {context}, the model's context, found {window}"));
        }
        let stride = options.stride.unwrap_or(window / 2);
        if stride < 1 || stride >= window {
            return refuse(
                "stride",
                format!("expected 1 to {}, below the window, found {stride}", window - 1),
            );
        }
        if options.max_tokens == Some(0) {
            return refuse("max_tokens", "expected at least 1, found 0".into());
        }
        Ok(Self { window, stride })
    }

    /// The windows of a text of `length` tokens, all but the first with `prefix` tokens put in front of them.
    fn windows(self, length: usize, prefix: usize) -> impl Iterator<Item = Window> {
        let first = Window { begin: 0, end: self.window.min(length), from: 1 };
        std::iter::successors((length > 1).then_some(first), move |last| {
            let end = last.end.saturating_add(self.stride).min(length);
            let begin = end.saturating_sub(self.window - prefix);
            (end > last.end).then_some(Window { begin, end, from: last.end })
        })
    }
}

/// Sums over scored tokens, in float64, by Welford's method: a mean far from 0 does not eat up the deviation.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Sums {
    fn add(&mut self, value: f64) {
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }
}

impl Model {
    /// How well the model predicts `texts`, each on its own.
    ///
    /// Where the tokenizer puts a token in front of a text, such as Gemma's `<bos>`, each window begins with it, because
    /// these models see nothing else: it counts as one of the window's tokens. Empty texts are passed over.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`]; [`Error::Argument`] when an option is outside its domain, when there is no token to score,
    /// or when the model computes no number for one; [`Error::Cancelled`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_models::Result<()> {
    /// # let model = mlx_models::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/tiny-chat-qwen3"))?;
    /// let known = model.perplexity(&["The capital of France is Paris."], &Default::default())?;
    /// let unknown = model.perplexity(&["Paris of is France capital the."], &Default::default())?;
    /// assert!(known.perplexity < unknown.perplexity);
    /// # Ok(()) }
    /// ```
    pub fn perplexity<T: AsRef<str>>(&self, texts: &[T], options: &PerplexityOptions) -> Result<Perplexity> {
        let ids = texts.iter().map(|text| self.encode(text.as_ref())).collect::<Result<Vec<_>>>()?;
        let (mut result, scored) = self.score_all(&ids, options)?;
        let mut bytes = 0;
        for ((text, ids), end) in texts.iter().zip(&ids).zip(scored) {
            bytes += self.bytes(text.as_ref(), ids, end)?;
        }
        result.bytes = Some(bytes);
        let bits = result.nats_per_token * result.tokens as f64 / std::f64::consts::LN_2;
        result.bits_per_byte = (bytes > 0).then(|| bits / bytes as f64);
        Ok(result)
    }

    /// As [`perplexity`](Self::perplexity), for texts that are tokens already. No tokenizer is needed.
    ///
    /// # Errors
    /// As [`perplexity`](Self::perplexity); [`Error::TokenId`].
    pub fn perplexity_of_ids<T: AsRef<[u32]>>(
        &self,
        texts: &[T],
        options: &PerplexityOptions,
    ) -> Result<Perplexity> {
        self.score_all(texts, options).map(|(result, _)| result)
    }

    /// The log-probability of each of `ids` but the first, given those before it that its window holds.
    ///
    /// # Errors
    /// As [`perplexity_of_ids`](Self::perplexity_of_ids).
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_models::Result<()> {
    /// # let model = mlx_models::load(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/qwen3-tied"))?;
    /// let log_probs = model.log_probs(&[5, 6, 7], &Default::default())?;
    /// assert!(log_probs.len() == 2 && log_probs.iter().all(|&p| p < 0.0));
    /// # Ok(()) }
    /// ```
    pub fn log_probs(&self, ids: &[u32], options: &PerplexityOptions) -> Result<Vec<f32>> {
        let cut = Cut::new(options, self.context_length())?;
        let length = options.max_tokens.map_or(ids.len(), |most| ids.len().min(most.saturating_add(1)));
        let mut log_probs = Vec::with_capacity(length.saturating_sub(1));
        let total = length.saturating_sub(1);
        self.score_text(ids.get(..length).unwrap_or(ids), cut, options.cancel.as_ref(), |scored| {
            log_probs.extend(scored.iter().map(|loss| -loss));
            report(options, log_probs.len(), total);
        })?;
        Ok(log_probs)
    }

    /// Scores `texts`. Returns where in each the scoring ended, too.
    fn score_all<T: AsRef<[u32]>>(
        &self,
        texts: &[T],
        options: &PerplexityOptions,
    ) -> Result<(Perplexity, Vec<usize>)> {
        let cut = Cut::new(options, self.context_length())?;
        // As many tokens of each text as there is room for; the first is not scored.
        let mut room = options.max_tokens.unwrap_or(usize::MAX);
        let mut total = 0usize;
        let parts: Vec<&[u32]> = texts
            .iter()
            .map(|ids| {
                let ids = ids.as_ref();
                let scored = ids.len().saturating_sub(1).min(room);
                room -= scored;
                total += scored;
                if scored == 0 { &[] } else { ids.get(..=scored).unwrap_or(ids) }
            })
            .collect();
        if total == 0 {
            let message = "nothing to score: no text has more than one token".into();
            return Err(Error::Argument { argument: "texts", message });
        }
        let mut sums = Sums::default();
        for part in &parts {
            self.score_text(part, cut, options.cancel.as_ref(), |losses| {
                losses.iter().for_each(|&loss| sums.add(f64::from(loss)));
                report(options, sums.count, total);
            })?;
        }
        if !sums.mean.is_finite() {
            let message = "the model's log-probabilities are not numbers".into();
            return Err(Error::Argument { argument: "texts", message });
        }
        let (perplexity, count) = (sums.mean.exp(), sums.count as f64);
        let deviation = (sums.squares / (count - 1.0)).sqrt();
        let result = Perplexity {
            perplexity,
            standard_error: (sums.count > 1).then(|| perplexity * deviation / count.sqrt()),
            nats_per_token: sums.mean,
            bits_per_byte: None,
            tokens: sums.count,
            texts: parts.iter().filter(|part| !part.is_empty()).count(),
            bytes: None,
            window: cut.window,
            stride: cut.stride,
        };
        Ok((result, parts.iter().map(|part| part.len()).collect()))
    }

    /// Tells `each` −ln p of the tokens of one text, in order, some at a time.
    fn score_text(
        &self,
        ids: &[u32],
        cut: Cut,
        cancel: Option<&CancelToken>,
        mut each: impl FnMut(&[f32]),
    ) -> Result<()> {
        let bos = self.tokenizer().and_then(|tokenizer| tokenizer.bos());
        let prefix: &[u32] = match ids {
            [first, ..] if Some(*first) == bos => std::slice::from_ref(first),
            _ => &[],
        };
        for Window { begin, end, from } in cut.windows(ids.len(), prefix.len()) {
            let seen = ids.get(begin..end - 1).unwrap_or_default();
            let targets = ids.get(from..end).unwrap_or_default();
            match begin {
                0 => self.score_window(seen, targets, cancel, &mut each)?,
                _ => self.score_window(&[prefix, seen].concat(), targets, cancel, &mut each)?,
            }
        }
        Ok(())
    }

    /// Scores `targets`, the last of which follows the last of `seen`.
    fn score_window(
        &self,
        seen: &[u32],
        targets: &[u32],
        cancel: Option<&CancelToken>,
        each: &mut impl FnMut(&[f32]),
    ) -> Result<()> {
        /// Tokens that are computed at a time.
        const CHUNK: usize = 512;
        let (network, vocabulary) = (self.network(), self.vocab_size());
        let mut cache = network.make_cache()?;
        cache.expect(i32::try_from(seen.len()).unwrap_or(i32::MAX));
        crate::model::check_ids(targets, vocabulary)?;
        let mut targets = targets.iter().copied();
        let mut unscored = seen.len() - targets.len();
        for chunk in seen.chunks(CHUNK) {
            if cancel.is_some_and(CancelToken::is_cancelled) {
                return Err(Error::Cancelled);
            }
            let hidden = network.hidden(&row(chunk, vocabulary)?, &mut cache)?; // [1, L, D]
            let skipped = unscored.min(chunk.len());
            unscored -= skipped;
            if skipped == chunk.len() {
                // As in a prompt, only the caches are wanted.
                eval(&cache.arrays()?)?;
                continue;
            }
            hidden.eval()?;
            self.score_hidden(&hidden, skipped, &mut targets, each)?;
        }
        Ok(())
    }

    /// Scores what follows the tokens of `hidden`, `[1, L, D]`, from `first` on.
    fn score_hidden(
        &self,
        hidden: &Array,
        first: usize,
        targets: &mut impl Iterator<Item = u32>,
        each: &mut impl FnMut(&[f32]),
    ) -> Result<()> {
        /// The most bytes of logits at a time: those of a whole window would be gigabytes.
        const LOGITS: usize = 1 << 27;
        let rows = (LOGITS / size_of::<f32>() / self.vocab_size().max(1)).max(1);
        let length = hidden.dim(1)?;
        let mut begin = i32::try_from(first).unwrap_or(length);
        while begin < length {
            let end = begin.saturating_add(i32::try_from(rows).unwrap_or(i32::MAX)).min(length);
            let logits = self.network().head(&hidden.slice_axis(1, begin, end)?.squeeze_axes(&[0])?)?; // [R, V]
            let chosen: Vec<u32> = targets.take((end - begin).unsigned_abs() as usize).collect();
            let losses = fast::cross_entropy(&logits, &Array::from_slice(&chosen, &[end - begin])?)?;
            each(&losses.to_vec::<f32>()?);
            begin = end;
        }
        Ok(())
    }

    /// Bytes of `text` that its tokens from the second to before `end` stand for; to within a letter where a token holds
    /// a part of one.
    fn bytes(&self, text: &str, ids: &[u32], end: usize) -> Result<usize> {
        let (Some(tokenizer), Some(&first)) = (self.tokenizer(), ids.first()) else { return Ok(0) };
        if end == 0 {
            return Ok(0);
        }
        let upto = |end: usize| -> Result<usize> {
            Ok(tokenizer.decode(ids.get(..end).unwrap_or_default(), true)?.len())
        };
        let whole = if end < ids.len() { upto(end)? } else { text.len() };
        let before = if tokenizer.is_special(first) { 0 } else { upto(1)? };
        Ok(whole.saturating_sub(before))
    }
}

fn report(options: &PerplexityOptions, done: usize, total: usize) {
    if let Some(progress) = &options.progress {
        progress.report(done, total);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_but_the_first_is_scored_once_with_as_much_before_it_as_promised() {
        for window in 2..9 {
            for stride in 1..window {
                for prefix in [0, 1] {
                    for length in 0..40 {
                        let cut = Cut { window, stride };
                        let mut next = 1;
                        for Window { begin, end, from } in cut.windows(length, prefix) {
                            let fixed = if begin == 0 { 0 } else { prefix };
                            assert!(end - begin + fixed <= window);
                            assert_eq!(from, next, "{window} {stride} {prefix} {length}");
                            let context = from - begin + fixed;
                            assert!(
                                context >= from.min(window - stride),
                                "{window} {stride} {prefix} {length}"
                            );
                            assert!(from < end && end <= length && context >= 1);
                            next = end;
                        }
                        assert_eq!(next, length.max(1), "{window} {stride} {prefix} {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn sums_give_mean_and_deviation() {
        let mut sums = Sums::default();
        for value in [1e9 + 1.0, 1e9 + 2.0, 1e9 + 6.0] {
            sums.add(value);
        }
        assert_eq!((sums.count, sums.mean), (3, 1e9 + 3.0));
        assert!((sums.squares - 14.0).abs() < 1e-6, "{}", sums.squares);
    }
}
