// SPDX-License-Identifier: EUPL-1.2
//! `mlx quantize`: a checkpoint with its weights in few bits, or back in full.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use mlx_core::memory;
use mlx_models::{Error, Model, Progress, QuantizeOptions, SaveOptions, Uneven};
use serde::Serialize;

use crate::cmd::info::Packing;
use crate::cmd::{load, usage};
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::plan::{Quantize, Work};
use crate::report::{self, Bar};

/// What `mlx quantize --json` prints.
#[derive(Debug, Serialize)]
struct Outcome {
    output: PathBuf,
    files: Vec<String>,
    /// Scalar weights; a quantised one counts as one.
    parameters: usize,
    /// Bytes of the weights before and after.
    bytes_before: usize,
    bytes: usize,
    bits_per_weight: f64,
    quantization: Option<Packing>,
    /// Layers that could not be packed.
    uneven: Vec<Odd>,
    load_s: f64,
    quantize_s: f64,
    save_s: f64,
    peak_memory_bytes: usize,
}

/// A layer whose width is no multiple of the group size.
#[derive(Debug, Serialize)]
struct Odd {
    path: String,
    width: i32,
    group_size: i32,
}

/// Runs the command.
pub(crate) fn run(plan: Quantize, interrupt: &Interrupt) -> Result<(), Failure> {
    let model = load(&plan.dir, None)?;
    // Before any work is done, so that a mistyped directory costs no time.
    model.check_save(&plan.output, &plan.save)?;
    let (bytes_before, load_s) = (model.nbytes(), model.load_seconds());
    let started = Instant::now();
    let (model, uneven) = convert(model, plan.work)?;
    let quantize_s = started.elapsed().as_secs_f64();
    let parameters = model.parameters();
    let (bytes, bits_per_weight) = (model.nbytes(), model.bits_per_weight());
    let quantization = model.quantization().map(Packing::new);
    let started = Instant::now();
    let progress = Bar::saving().map(|bar| Progress::new(move |done, total| bar.update(done, total)));
    let options = SaveOptions { cancel: Some(interrupt.token()), progress, ..plan.save };
    // Ctrl-C does not end the process while there is a directory that somebody has to remove.
    let saved = interrupt.softened(|| model.save_into(&plan.output, &options));
    let saved = saved.map_err(|error| match error {
        Error::Cancelled => Failure::Interrupted,
        other => other.into(),
    })?;
    let outcome = Outcome {
        output: saved.dir,
        files: saved.files,
        parameters,
        bytes_before,
        bytes,
        bits_per_weight,
        quantization,
        uneven: uneven.into_iter().map(Odd::from).collect(),
        load_s,
        quantize_s,
        save_s: started.elapsed().as_secs_f64(),
        peak_memory_bytes: memory::peak_memory()?,
    };
    if plan.json {
        report::json(&outcome)?
    } else {
        report::text(&outcome.table())?
    }
    if interrupt.came() { Err(Failure::Interrupted) } else { Ok(()) }
}

fn convert(model: Model, work: Work) -> Result<(Model, Vec<Uneven>), Failure> {
    match work {
        Work::Dequantize(dtype) => Ok((model.dequantized(dtype)?, Vec::new())),
        Work::Quantize(options) => {
            let progress =
                Bar::quantising().map(|bar| Progress::new(move |done, total| bar.update(done, total)));
            model.quantize(&QuantizeOptions { progress, ..options }).map_err(|error| usage(error, &["rule"]))
        }
    }
}

impl Outcome {
    fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<14} {value}");
        };
        line("output", format!("{}, {} files", self.output.display(), self.files.len()));
        line("parameters", format!("{} ({})", report::count(self.parameters), self.parameters));
        let (before, after) = (report::bytes(self.bytes_before), report::bytes(self.bytes));
        line("weights", format!("{after}, before {before}: {:.2} bits a weight", self.bits_per_weight));
        line("quantisation", self.quantization.as_ref().map_or_else(|| "none".into(), Packing::describe));
        for Odd { path, width, group_size } in &self.uneven {
            line("stays dense", format!("{path}: its width, {width}, is no multiple of {group_size}"));
        }
        let memory = report::bytes(self.peak_memory_bytes);
        line(
            "time",
            format!(
                "{:.1} s to convert, {:.1} s to save; {memory} of memory at the peak, mapped files included",
                self.quantize_s, self.save_s
            ),
        );
        text
    }
}

impl From<Uneven> for Odd {
    fn from(Uneven { path, width, group_size }: Uneven) -> Self {
        Self { path, width, group_size }
    }
}
