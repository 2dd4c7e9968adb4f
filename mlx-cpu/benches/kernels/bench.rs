// SPDX-License-Identifier: EUPL-1.2
//! One row after the other, each on one thread and on all, with the ceilings measured again in between.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use mlx_cpu::{Isa, Result, pool};
use serde_json::{Value, json};

use crate::ceilings::Ceilings;
use crate::machine::Machine;
use crate::summary::{Ceiling, Spread, figure, floor, percent, rate, table, time};

/// About how long one sample takes, so that reading the clock is no part of it.
const SAMPLE: f64 = 50e-6;

/// Rows after which the ceilings are measured again.
const AGAIN: usize = 10;

/// The most samples of a row.
const SAMPLES: usize = 2000;

/// What is measured, and the work that it is.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) kernel: &'static str,
    pub(crate) shape: String,
    pub(crate) dtype: String,
    /// Multiplications and additions; 0 where the bytes are all that counts.
    pub(crate) operations: f64,
    /// The instruction that could do them.
    pub(crate) arithmetic: Ceiling,
    /// Bytes that must move, whatever the kernel does.
    pub(crate) bytes: f64,
    /// From where.
    pub(crate) level: Ceiling,
}

/// A row of the table.
#[derive(Debug)]
struct Row {
    spec: Spec,
    threads: usize,
    seconds: Spread,
    samples: usize,
}

/// Everything measured so far.
#[derive(Debug)]
pub(crate) struct Bench {
    machine: Machine,
    ceilings: Ceilings,
    budget: Duration,
    filter: String,
    rows: Vec<Row>,
    /// Rows of which one turn alone would take more than the budget.
    left_out: usize,
    started: Instant,
}

impl Bench {
    pub(crate) fn new(budget: Duration, filter: String) -> Self {
        let machine = Machine::here();
        let ceilings = Ceilings::new(&machine);
        Self { machine, ceilings, budget, filter, rows: Vec::new(), left_out: 0, started: Instant::now() }
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn measure_ceilings(&mut self, times: usize) {
        (0..times).for_each(|_| self.ceilings.measure());
    }

    /// The instruction that products of an element type use at best.
    pub(crate) fn arithmetic(&self, dtype: &str) -> Ceiling {
        if dtype == "bf16" && self.machine.isa == Isa::Avx512Bf16 { Ceiling::Bf16 } else { Ceiling::F32 }
    }

    /// Where data of so many bytes lies when it is used again and again by all threads.
    pub(crate) fn level(&self, bytes: f64) -> Ceiling {
        match bytes {
            b if b <= self.machine.l2 as f64 / 2.0 => Ceiling::L2,
            b if b <= self.machine.l3 as f64 / 2.0 => Ceiling::L3,
            _ => Ceiling::Memory,
        }
    }

    /// Whether the row is not asked for, or too long.
    pub(crate) fn skips(&mut self, spec: &Spec) -> bool {
        let Spec { kernel, shape, dtype, .. } = spec;
        if !format!("{kernel} {shape} {dtype}").contains(&self.filter) {
            return true;
        }
        let long = self.floor(spec, self.machine.threads).is_some_and(|(s, _)| s > self.budget.as_secs_f64());
        self.left_out += usize::from(long);
        long
    }

    /// Measures `run`, which is given the number of the turn, on one thread and on all.
    pub(crate) fn row(&mut self, spec: &Spec, mut run: impl FnMut(usize) -> Result<()> + Send) -> Result<()> {
        let counts = if self.machine.threads > 1 { vec![1, self.machine.threads] } else { vec![1] };
        for threads in counts {
            let budget = self.budget;
            let samples = if threads == 1 {
                alone(&mut || repeat(budget, &mut run))?
            } else {
                repeat(budget, &mut run)?
            };
            self.add(spec, threads, &samples);
        }
        Ok(())
    }

    /// Adds what was measured.
    pub(crate) fn add(&mut self, spec: &Spec, threads: usize, samples: &[f64]) {
        let seconds = Spread::of(samples);
        self.rows.push(Row { spec: spec.clone(), threads, seconds, samples: samples.len() });
        if self.rows.len().is_multiple_of(AGAIN) {
            self.ceilings.measure();
        }
        if self.rows.len().is_multiple_of(50) {
            let Self { rows, started, .. } = self;
            eprintln!(
                "{} rows after {:.0} s: {} {}",
                rows.len(),
                started.elapsed().as_secs_f64(),
                spec.kernel,
                spec.shape
            );
        }
    }

    /// The least time for the work on so many threads, and the ceiling that says so.
    fn floor(&self, spec: &Spec, threads: usize) -> Option<(f64, Ceiling)> {
        self.floor_by(spec, threads, |spread| spread.median)
    }

    fn floor_by(&self, spec: &Spec, threads: usize, of: impl Fn(Spread) -> f64) -> Option<(f64, Ceiling)> {
        let ceiling = |which| self.ceilings.spread(which, threads).map_or(0.0, &of);
        floor(
            (spec.operations, spec.arithmetic, ceiling(spec.arithmetic)),
            (spec.bytes, spec.level, ceiling(spec.level)),
        )
    }

    /// The ceilings and how far they moved.
    pub(crate) fn ceilings_table(&self) -> String {
        let rows = self.ceilings.values.iter().map(|(&(ceiling, threads), values)| {
            let spread = Spread::of(values);
            let Spread { median, min, max } = spread;
            let rates = [median, min, max].map(|rate| figure(rate / 1e9));
            let mut row = vec![ceiling.name().to_owned(), ceiling.unit().to_owned(), threads.to_string()];
            row.extend(rates);
            row.extend([values.len().to_string(), format!("{:.0} %", spread.drift())]);
            row
        });
        let headings = ["ceiling", "unit", "threads", "median", "min", "max", "samples", "drift"];
        table(&headings, &rows.collect::<Vec<_>>(), 2)
    }

    /// All rows, with their share of the median ceiling.
    pub(crate) fn rows_table(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                let Row { spec, threads, seconds: Spread { median, min, max }, .. } = row;
                let dash = || "–".to_owned();
                let share = |(floor, _): (f64, Ceiling), seconds| format!("{:.0} %", percent(floor, seconds));
                let typical = self.floor(spec, *threads);
                // The fastest turn against the fastest that the machine was: both undisturbed.
                let best = self.floor_by(spec, *threads, |spread| spread.max);
                let limit = typical.map_or_else(dash, |(_, limit)| limit.name().to_owned());
                let best = best.map_or_else(dash, |best| share(best, *min));
                let share = typical.map_or_else(dash, |typical| share(typical, *median));
                vec![
                    spec.kernel.to_owned(),
                    spec.shape.clone(),
                    spec.dtype.clone(),
                    limit,
                    threads.to_string(),
                    time(*median),
                    time(*min),
                    time(*max),
                    rate(spec.operations, *median),
                    rate(spec.bytes, *median),
                    share,
                    best,
                ]
            })
            .collect();
        let headings = [
            "kernel", "shape", "dtype", "limit", "threads", "median", "min", "max", "GFLOP/s", "GB/s",
            "of limit", "at best",
        ];
        let mut text = table(&headings, &rows, 4);
        if self.left_out > 0 {
            let budget = time(self.budget.as_secs_f64());
            text += &format!("{} rows were left out: one turn takes longer than {budget}.\n", self.left_out);
        }
        text
    }

    /// The same for programs; times in seconds, rates in 10⁹ a second.
    pub(crate) fn json(&self, quick: bool) -> Value {
        let ceilings = self.ceilings.values.iter().map(|(&(ceiling, threads), values)| {
            let spread = Spread::of(values);
            let Spread { median, min, max } = spread;
            json!({
                "ceiling": ceiling.name(), "unit": ceiling.unit(), "threads": threads,
                "median": median / 1e9, "min": min / 1e9, "max": max / 1e9,
                "drift_percent": spread.drift(), "samples": values.len(),
            })
        });
        let rows = self.rows.iter().map(|row| {
            let Row { spec, threads, seconds: Spread { median, min, max }, samples } = row;
            let rate = |work: f64| (work > 0.0).then(|| work / median / 1e9);
            let floor = self.floor(spec, *threads);
            let best = self.floor_by(spec, *threads, |spread| spread.max);
            json!({
                "kernel": spec.kernel, "shape": spec.shape, "dtype": spec.dtype, "threads": threads,
                "seconds": { "median": median, "min": min, "max": max }, "samples": samples,
                "operations": spec.operations, "bytes": spec.bytes,
                "gflops": rate(spec.operations), "gbytes": rate(spec.bytes),
                "limit": floor.map(|(_, limit)| limit.name()),
                "percent": floor.map(|(floor, _)| percent(floor, *median)),
                "percent_at_best": best.map(|(floor, _)| percent(floor, *min)),
            })
        });
        json!({
            "machine": self.machine.json(), "quick": quick, "left_out": self.left_out,
            "ceilings": ceilings.collect::<Vec<_>>(), "rows": rows.collect::<Vec<_>>(),
        })
    }
}

/// Seconds of each sample, after a turn that does not count. However long turns take there are two samples.
fn repeat(budget: Duration, run: &mut dyn FnMut(usize) -> Result<()>) -> Result<Vec<f64>> {
    let began = Instant::now();
    let mut turn = 0;
    let mut sample = |turns: usize| {
        let start = Instant::now();
        for _ in 0..turns {
            run(turn)?;
            turn += 1;
        }
        Ok(start.elapsed().as_secs_f64() / turns as f64)
    };
    let budget = budget.as_secs_f64();
    sample(1)?;
    let mut samples = Vec::new();
    let once = sample(1)?.max(1e-9);
    if once > SAMPLE {
        // One turn is a sample.
        samples.push(once);
    }
    let turns = (SAMPLE / once).ceil().clamp(1.0, 1e6) as usize;
    while samples.len() < 2 || (began.elapsed().as_secs_f64() < budget && samples.len() < SAMPLES) {
        samples.push(sample(turns)?);
    }
    Ok(samples)
}

/// Runs `work` on this thread as a task of the pool, so that the kernels in it find the pool taken and stay on this
/// thread too.
fn alone<R: Send>(work: &mut (dyn FnMut() -> R + Send)) -> R {
    let caller = thread::current().id();
    let state = Mutex::new((work, None));
    loop {
        // Whichever thread takes a task first; it is done by this one alone, and by others never.
        pool::run(2.max(pool::threads()), &|_| {
            if thread::current().id() == caller
                && let Ok(mut state) = state.lock()
                && state.1.is_none()
            {
                let result = (state.0)();
                state.1 = Some(result);
            }
        });
        if let Some(result) = state.lock().ok().and_then(|mut state| state.1.take()) {
            return result;
        }
    }
}
