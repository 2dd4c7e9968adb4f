// SPDX-License-Identifier: EUPL-1.2
//! `mlx perplexity`: how well a model predicts a text.

use std::fmt::Write;
use std::time::Instant;

use mlx_core::memory;
use mlx_models::{Perplexity, PerplexityOptions, Progress};
use serde::Serialize;

use crate::cmd::{load, usage};
use crate::failure::Failure;
use crate::plan;
use crate::report::{self, Bar};

/// What `mlx perplexity --json` prints.
#[derive(Debug, Serialize)]
struct Score {
    perplexity: f64,
    /// None for a single token.
    standard_error: Option<f64>,
    nats_per_token: f64,
    bits_per_byte: Option<f64>,
    tokens: usize,
    texts: usize,
    bytes: Option<usize>,
    window: usize,
    stride: usize,
    tokens_per_second: f64,
    load_s: f64,
    peak_memory_bytes: usize,
}

/// Runs the command.
pub(crate) fn run(plan: plan::Perplexity) -> Result<(), Failure> {
    let model = load(&plan.dir, plan.adapter.as_deref())?;
    let progress = Bar::scoring().map(|bar| Progress::new(move |done, total| bar.update(done, total)));
    let options = PerplexityOptions { progress, ..plan.options };
    let started = Instant::now();
    let found = model
        .perplexity(&plan.texts, &options)
        .map_err(|error| usage(error, &["window", "stride", "max_tokens"]))?;
    let seconds = started.elapsed().as_secs_f64();
    let score = Score::new(&found, seconds, model.load_seconds(), memory::peak_memory()?);
    if plan.json { report::json(&score) } else { report::text(&score.table()) }
}

impl Score {
    fn new(found: &Perplexity, seconds: f64, load_s: f64, peak_memory_bytes: usize) -> Self {
        Self {
            perplexity: found.perplexity,
            standard_error: found.standard_error,
            nats_per_token: found.nats_per_token,
            bits_per_byte: found.bits_per_byte,
            tokens: found.tokens,
            texts: found.texts,
            bytes: found.bytes,
            window: found.window,
            stride: found.stride,
            tokens_per_second: found.tokens as f64 / seconds,
            load_s,
            peak_memory_bytes,
        }
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<14} {value}");
        };
        let error = self.standard_error.map(|error| format!(" ± {error:.4}")).unwrap_or_default();
        line("perplexity", format!("{:.4}{error}", self.perplexity));
        let bits = self.nats_per_token / std::f64::consts::LN_2;
        let per_byte = self.bits_per_byte.map(|bits| format!(", {bits:.4} a byte")).unwrap_or_default();
        line("bits", format!("{bits:.4} a token{per_byte}"));
        let texts = if self.texts == 1 { "1 text".to_owned() } else { format!("{} texts", self.texts) };
        line(
            "scored",
            format!(
                "{} of {texts}, in windows of {} that advance by {}",
                report::tokens(self.tokens),
                self.window,
                self.stride
            ),
        );
        let memory = report::bytes(self.peak_memory_bytes);
        line("speed", format!("{:.1} tokens/s, {memory} of memory at the peak", self.tokens_per_second));
        text
    }
}
