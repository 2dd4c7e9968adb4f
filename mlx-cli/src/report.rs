// SPDX-License-Identifier: EUPL-1.2
//! All output: text and JSON on standard output, everything else on standard error.

use std::cell::OnceCell;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mlx_models::Generation;
use mlx_train::Event;
use mlx_train::log::Line;
use serde::Serialize;

use crate::failure::Failure;

/// Writes to standard output, and out of every buffer.
///
/// # Errors
/// [`Failure::ReaderGone`] when nobody reads any more, else what the operating system says.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::ReaderGone,
        _ => Failure::new(format_args!("standard output: {error}")),
    })
}

/// Writes a value as JSON on standard output, indented.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut json = serde_json::to_string_pretty(value)?;
    json.push('\n');
    text(&json)
}

/// Writes a line to standard error. If that fails there is nowhere left to say so.
pub(crate) fn note(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes to standard error without ending the line.
pub(crate) fn prompt(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

/// Says what went wrong.
pub(crate) fn error(message: &str) {
    note(format_args!("error: {message}"));
}

/// What `mlx generate --json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct GenerationReport<'g> {
    text: Option<&'g str>,
    token_ids: &'g [u32],
    finish_reason: &'static str,
    prompt_tokens: usize,
    generated_tokens: usize,
    load_s: f64,
    time_to_first_token_s: f64,
    prefill_tps: f64,
    /// None for fewer than two tokens.
    decode_tps: Option<f64>,
    peak_memory_bytes: usize,
}

impl<'g> GenerationReport<'g> {
    /// The report on `generation` by a model that took `load_s` seconds to load.
    pub(crate) fn new(generation: &'g Generation, load_s: f64) -> Self {
        Self {
            text: generation.text.as_deref(),
            token_ids: &generation.token_ids,
            finish_reason: generation.finish_reason.as_str(),
            prompt_tokens: generation.prompt_tokens,
            generated_tokens: generation.generated_tokens,
            load_s,
            time_to_first_token_s: generation.time_to_first_token_s,
            prefill_tps: generation.prefill_tps,
            decode_tps: generation.decode_tps,
            peak_memory_bytes: generation.peak_memory_bytes,
        }
    }
}

/// The figures of a generation, on standard error.
pub(crate) fn figures(generation: &Generation, load_s: f64) {
    let cached = match generation.cached_tokens {
        0 => String::new(),
        cached => format!(" ({cached} of them cached)"),
    };
    note(format_args!(
        "prompt:     {}{cached}, {:.1} tokens/s, first token after {:.2} s",
        tokens(generation.prompt_tokens),
        generation.prefill_tps,
        generation.time_to_first_token_s,
    ));
    let rate = generation.decode_tps.map(|rate| format!(", {rate:.1} tokens/s")).unwrap_or_default();
    note(format_args!(
        "generated:  {}{rate}, ended by: {}",
        tokens(generation.generated_tokens),
        generation.finish_reason
    ));
    note(format_args!(
        "memory:     {} at the peak; loaded in {load_s:.2} s",
        bytes(generation.peak_memory_bytes)
    ));
}

pub(crate) fn tokens(count: usize) -> String {
    if count == 1 { "1 token".into() } else { format!("{count} tokens") }
}

/// A number of bytes for people, in decimal units.
pub(crate) fn bytes(count: usize) -> String {
    let count = count as f64;
    for (unit, size) in [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] {
        if count >= size {
            return format!("{:.2} {unit}", count / size);
        }
    }
    format!("{count} bytes")
}

/// A number of things for people, such as 596 M parameters.
pub(crate) fn count(count: usize) -> String {
    let number = count as f64;
    for (unit, size) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] {
        if number >= size {
            return format!("{:.1} {unit}", number / size);
        }
    }
    count.to_string()
}

/// A progress bar that shows itself while there is something to wait for.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    /// The bar comes when there is more than this to do.
    least: usize,
    /// When the work began.
    began: OnceCell<Instant>,
}

/// How long to wait for before a bar is worth its while.
const PATIENCE: Duration = Duration::from_millis(250);

impl Bar {
    /// How the loading of weights gets on; none where standard error is not a terminal.
    pub(crate) fn loading() -> Option<Self> {
        Self::new("loading", "{prefix} {wide_bar} {decimal_bytes} of {decimal_total_bytes}", 0)
    }

    /// How the computation of a prompt of more than `chunk` tokens gets on; none where standard error is not a
    /// terminal.
    pub(crate) fn prefilling(chunk: usize) -> Option<Self> {
        Self::new("reading the prompt", "{prefix} {wide_bar} {pos} of {len} tokens", chunk)
    }

    /// How quantising gets on; none where standard error is not a terminal.
    pub(crate) fn quantising() -> Option<Self> {
        Self::new("quantising", "{prefix} {wide_bar} {pos} of {len} arrays", 0)
    }

    /// How writing weights gets on; none where standard error is not a terminal.
    pub(crate) fn saving() -> Option<Self> {
        Self::new("saving", "{prefix} {wide_bar} {decimal_bytes} of {decimal_total_bytes}", 0)
    }

    /// How the scoring of texts gets on; none where standard error is not a terminal.
    pub(crate) fn scoring() -> Option<Self> {
        Self::new("scoring", "{prefix} {wide_bar} {pos} of {len} tokens", 0)
    }

    fn new(prefix: &'static str, template: &str, least: usize) -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let style = ProgressStyle::with_template(template).ok()?;
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()).with_style(style);
        Some(Self { bar: bar.with_prefix(prefix), least, began: OnceCell::new() })
    }

    /// Shows that `done` of `total` is done. The bar goes when all is.
    pub(crate) fn update(&self, done: usize, total: usize) {
        if total <= self.least {
            return;
        }
        if done >= total {
            self.bar.finish_and_clear();
            return;
        }
        if self.began.get_or_init(Instant::now).elapsed() < PATIENCE {
            return;
        }
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }
}

/// How training gets on: a bar where somebody is looking, else a line now and then.
#[derive(Debug)]
pub(crate) struct StepBar {
    bar: Option<ProgressBar>,
    speaks: bool,
    steps: u64,
    first: u64,
    began: Instant,
}

impl StepBar {
    /// A bar for the steps from `first` on; silent unless `speaks`.
    pub(crate) fn new(steps: u64, first: u64, speaks: bool) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg}");
        let bar = match style {
            Ok(style) if speaks && io::stderr().is_terminal() => {
                let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
                bar.set_position(first);
                Some(bar.with_style(style))
            }
            _ => None,
        };
        Self { bar, speaks, steps, first, began: Instant::now() }
    }

    /// Shows an event, and the line of the log that came of it.
    pub(crate) fn update(&mut self, event: &Event<'_>, line: Option<&Line>) {
        if let (Event::Step(report), Some(bar)) = (event, &self.bar) {
            bar.set_position(report.step);
        }
        let Some(line) = line.filter(|_| self.speaks) else { return };
        match line {
            Line::Train { step, loss, rate, tokens_per_second, .. } => {
                let figures =
                    format!("loss {loss:.4}, {tokens_per_second:.0} tokens/s, {}", self.left(*step));
                match &self.bar {
                    Some(bar) => bar.set_message(figures),
                    None => {
                        note(format_args!("step {step}/{}: {figures}, learning rate {rate:.2e}", self.steps))
                    }
                }
            }
            Line::Valid { step, loss } => {
                let best = matches!(event, Event::Valid { best: true, .. });
                let best = if best { ", the best so far" } else { "" };
                let told = format!("step {step}/{}: validation loss {loss:.4}{best}", self.steps);
                match &self.bar {
                    Some(bar) => bar.println(told),
                    None => note(told),
                }
            }
        }
    }

    /// The time that the rest takes at the pace so far.
    fn left(&self, step: u64) -> String {
        let done = step.saturating_sub(self.first).max(1) as f64;
        let seconds = self.began.elapsed().as_secs_f64() / done * self.steps.saturating_sub(step) as f64;
        match seconds {
            0.0..100.0 => format!("{seconds:.0} s left"),
            100.0..6000.0 => format!("{:.0} min left", seconds / 60.0),
            _ => format!("{:.1} h left", seconds / 3600.0),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_people_have_their_unit() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1_500), "1.50 kB");
        assert_eq!(bytes(1_192_000_000), "1.19 GB");
        assert_eq!(count(12), "12");
        assert_eq!(count(596_049_920), "596.0 M");
        assert_eq!((tokens(1), tokens(2)), ("1 token".into(), "2 tokens".into()));
    }
}
