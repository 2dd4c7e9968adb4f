// SPDX-License-Identifier: EUPL-1.2
//! `mlx bench`: how fast prefill and decoding are.
//!
//! Both are measured through the same stream of tokens that `mlx generate` uses, so a figure is what a user gets,
//! sampling and reading of each token included. Each measurement is repeated after one that does not count.

use std::fmt::Write;

use mlx_core::memory;
use mlx_models::{GenerateOptions, Generation, Model, preset};
use serde::Serialize;

use crate::cmd::load;
use crate::failure::Failure;
use crate::plan::{Bench, Kind, Source, Test};
use crate::report;

/// One entry of what `mlx bench --json` prints.
#[derive(Debug, Serialize)]
struct Measurement {
    /// `pp` and the tokens of the prompt, or `tg` and the tokens generated.
    test: String,
    depth: usize,
    tokens_per_second: Rates,
    peak_memory_bytes: usize,
}

/// Of all repetitions.
#[derive(Debug, PartialEq, Serialize)]
struct Rates {
    median: f64,
    min: f64,
    max: f64,
}

/// Runs the command.
pub(crate) fn run(plan: Bench) -> Result<(), Failure> {
    let model = match &plan.source {
        Source::Checkpoint { dir, adapter, quantization } => {
            let mut model = load(dir, None)?;
            if let Some(settings) = quantization {
                model = model.quantized(*settings)?;
            }
            if let Some(adapter) = adapter {
                model.load_adapter(adapter)?;
            }
            model
        }
        Source::Preset { name, quantization } => preset(name, *quantization)?,
    };
    let context = model.context_length();
    for test in &plan.tests {
        let (Kind::Prefill(length) | Kind::Decode(length)) = test.kind;
        let needed = length.saturating_add(test.depth).saturating_add(1);
        if needed > context {
            let name = name(test.kind);
            let message =
                format!("{name} at depth {} needs {needed} positions, the model has {context}", test.depth);
            return Err(Failure::Usage(message));
        }
    }
    let mut measurements = Vec::new();
    for test in &plan.tests {
        let measurement = measure(&model, *test, plan.repetitions)?;
        if !plan.json {
            report::text(&row(&measurement, measurements.is_empty()))?;
        }
        measurements.push(measurement);
    }
    if plan.json { report::json(&measurements) } else { Ok(()) }
}

/// Runs one test as often as asked for, and once more before that.
fn measure(model: &Model, test: Test, repetitions: usize) -> Result<Measurement, Failure> {
    let mut rates = Vec::new();
    let mut peak = 0;
    for repetition in 0..=repetitions {
        memory::reset_peak_memory()?;
        let rate = once(model, test)?;
        if repetition > 0 {
            rates.push(rate);
            peak = peak.max(memory::peak_memory()?);
        }
    }
    Ok(Measurement {
        test: name(test.kind),
        depth: test.depth,
        tokens_per_second: Rates::new(rates),
        peak_memory_bytes: peak,
    })
}

/// Tokens a second.
fn once(model: &Model, test: Test) -> Result<f64, Failure> {
    let mut session = model.session();
    let mut stream = |tokens: usize, max_tokens: usize| -> Result<Generation, Failure> {
        let options = GenerateOptions { max_tokens, ignore_eos: true, ..GenerateOptions::default() };
        let mut stream = session.stream(&ids(model, tokens), &options)?;
        for token in stream.by_ref() {
            token?;
        }
        Ok(stream.finish()?)
    };
    if test.depth > 0 {
        // What is in the cache already is not computed again below.
        stream(test.depth, 1)?;
    }
    match test.kind {
        Kind::Prefill(length) => {
            let generation = stream(test.depth + length, 1)?;
            if generation.cached_tokens != test.depth {
                let cached = generation.cached_tokens;
                return Err(Failure::new(format_args!(
                    "the cache holds {cached} tokens instead of {}",
                    test.depth
                )));
            }
            Ok(generation.prefill_tps)
        }
        Kind::Decode(length) => stream(test.depth + 1, length)?
            .decode_tps
            .ok_or_else(|| Failure::new("too few tokens were generated to tell how fast")),
    }
}

/// Ids all over the vocabulary, the same in every run.
fn ids(model: &Model, count: usize) -> Vec<u32> {
    let vocabulary = u32::try_from(model.vocab_size()).unwrap_or(u32::MAX).max(1);
    let step = |id: &u32| Some((id.wrapping_mul(1_664_525).wrapping_add(1_013_904_223)) % vocabulary);
    std::iter::successors(Some(1 % vocabulary), step).take(count).collect()
}

/// The test's name, as llama-bench has them.
fn name(kind: Kind) -> String {
    match kind {
        Kind::Prefill(length) => format!("pp{length}"),
        Kind::Decode(length) => format!("tg{length}"),
    }
}

/// A line of the table, with the headings above it if it is the first.
fn row(measurement: &Measurement, first: bool) -> String {
    let mut text = String::new();
    if first {
        let _ = writeln!(
            text,
            "{:<8} {:>7} {:>12} {:>12} {:>12} {:>12}",
            "test", "depth", "tokens/s", "min", "max", "memory"
        );
    }
    let Measurement { test, depth, tokens_per_second: Rates { median, min, max }, peak_memory_bytes } =
        measurement;
    let memory = report::bytes(*peak_memory_bytes);
    let _ = writeln!(text, "{test:<8} {depth:>7} {median:>12.2} {min:>12.2} {max:>12.2} {memory:>12}");
    text
}

impl Rates {
    fn new(mut rates: Vec<f64>) -> Self {
        rates.sort_by(f64::total_cmp);
        let at = |index: usize| rates.get(index).copied().unwrap_or_default();
        let middle = rates.len() / 2;
        let median =
            if rates.len() % 2 == 1 { at(middle) } else { (at(middle.saturating_sub(1)) + at(middle)) / 2.0 };
        Self { median, min: at(0), max: at(rates.len().saturating_sub(1)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_ordered_before_they_are_summed_up() {
        assert_eq!(Rates::new(vec![3.0, 1.0, 2.0]), Rates { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Rates::new(vec![4.0, 1.0]), Rates { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Rates::new(vec![5.0]), Rates { median: 5.0, min: 5.0, max: 5.0 });
    }
}
