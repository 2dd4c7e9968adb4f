// SPDX-License-Identifier: EUPL-1.2
//! What goes over rows once, and the pool itself. The operands are those of the turn before, as they are in a model
//! whose activations stay in the caches.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use half::bf16;
use mlx_cpu::elementwise::{Activation, gated};
use mlx_cpu::norm::{RmsNorm, Weight, add_rms_norm, rms_norm};
use mlx_cpu::reduce::{Weighing, argmax, sample_categorical, top_k_threshold, top_p_threshold};
use mlx_cpu::rope::{Frequencies, Heads, Rope, norm_rope};
use mlx_cpu::softmax::softmax;
use mlx_cpu::{Element, Isa, Result, Rows, RowsMut, pool};

use crate::arena::{Arena, Plain};
use crate::bench::{Bench, Spec};
use crate::summary::Ceiling;

const VOCABULARY: usize = 151_936;

fn spec(bench: &Bench, kernel: &'static str, shape: String, dtype: &str, bytes: usize) -> Spec {
    let bytes = bytes as f64;
    let (arithmetic, level) = (Ceiling::F32, bench.level(bytes));
    Spec { kernel, shape, dtype: dtype.to_owned(), operations: 0.0, arithmetic, bytes, level }
}

/// All rows but those of the pool.
pub(crate) fn all(bench: &mut Bench) -> Result<()> {
    for rows in [1, 512] {
        norms(bench, rows, 1024)?;
        heads(bench, rows)?;
        gates(bench, rows, 3072)?;
    }
    soft::<bf16>(bench, 16, 2048)?;
    soft::<f32>(bench, 512, 2048)?;
    largest::<bf16>(bench)?;
    largest::<f32>(bench)?;
    sampling(bench)
}

fn norms(bench: &mut Bench, rows: usize, width: usize) -> Result<()> {
    let isa = Isa::current();
    let shape = format!("[{rows}, {width}]");
    let arena = Arena::<bf16>::new(rows * width);
    let weight = Arena::<bf16>::new(width);
    let norm = RmsNorm { weight: Some(Weight::Bf16(weight.turn(0, width))), offset: 0.0, eps: 1e-6 };
    let x = Rows::packed(arena.turn(0, rows * width), width)?;
    let (mut out, mut total) = (arena.all().to_vec(), arena.all().to_vec());
    let row = spec(bench, "rms_norm", shape.clone(), "bf16", 4 * rows * width);
    if !bench.skips(&row) {
        bench.row(&row, |_| rms_norm(isa, x, &norm, &mut RowsMut::new(&mut out, rows, width, width)?))?;
    }
    let row = spec(bench, "add_rms_norm", shape, "bf16", 8 * rows * width);
    if !bench.skips(&row) {
        bench.row(&row, |_| {
            let mut total = RowsMut::new(&mut total, rows, width, width)?;
            let mut out = RowsMut::new(&mut out, rows, width, width)?;
            add_rms_norm(isa, x, x, &norm, false, &mut total, &mut out)
        })?;
    }
    Ok(())
}

/// The queries of Qwen3-0.6B.
fn heads(bench: &mut Bench, len: usize) -> Result<()> {
    let [heads, width] = [16, 128];
    let row =
        spec(bench, "norm_rope", format!("{heads} heads, [{len}, {width}]"), "bf16", 4 * heads * len * width);
    if bench.skips(&row) {
        return Ok(());
    }
    let arena = Arena::<bf16>::new(heads * len * width);
    let weight = Arena::<bf16>::new(width);
    let norm = RmsNorm { weight: Some(Weight::Bf16(weight.turn(0, width))), offset: 0.0, eps: 1e-6 };
    let rope = Rope {
        dims: width,
        traditional: false,
        frequencies: Frequencies::Base(1e6),
        scale: 1.0,
        magnitude: 1.0,
        inverse: false,
    };
    let (from, to) = (Heads::in_rows([1, heads, len, width]), Heads::packed([1, heads, len, width]));
    let mut out = arena.all().to_vec();
    bench.row(&row, |_| norm_rope(Isa::current(), arena.all(), &from, &norm, &rope, &[100], &mut out, &to))
}

fn gates(bench: &mut Bench, rows: usize, width: usize) -> Result<()> {
    let row = spec(bench, "gated, silu", format!("[{rows}, {width}]"), "bf16", 6 * rows * width);
    if bench.skips(&row) {
        return Ok(());
    }
    // Two halves of the same rows, as one product writes them.
    let arena = Arena::<bf16>::new(2 * rows * width);
    let gate = Rows::new(arena.all(), rows, width, 2 * width)?;
    let up = Rows::new(&arena.all()[width..], rows, width, 2 * width)?;
    let mut out = arena.turn(0, rows * width).to_vec();
    bench.row(&row, |_| {
        gated(Isa::current(), Activation::Silu, gate, up, &mut RowsMut::packed(&mut out, width)?)
    })
}

fn soft<T: Element + Plain>(bench: &mut Bench, rows: usize, width: usize) -> Result<()> {
    let row =
        spec(bench, "softmax", format!("[{rows}, {width}]"), T::NAME, 2 * rows * width * size_of::<T>());
    if bench.skips(&row) {
        return Ok(());
    }
    let arena = Arena::<T>::new(rows * width);
    let x = Rows::packed(arena.turn(0, rows * width), width)?;
    let mut out = arena.turn(0, rows * width).to_vec();
    bench.row(&row, |_| softmax(Isa::current(), x, 1.0, None, &mut RowsMut::packed(&mut out, width)?))
}

fn largest<T: Element + Plain>(bench: &mut Bench) -> Result<()> {
    let row = spec(bench, "argmax", format!("[1, {VOCABULARY}]"), T::NAME, VOCABULARY * size_of::<T>());
    if bench.skips(&row) {
        return Ok(());
    }
    let arena = Arena::<T>::new(VOCABULARY);
    let x = Rows::packed(arena.turn(0, VOCABULARY), VOCABULARY)?;
    let mut out = [0];
    bench.row(&row, |_| argmax(Isa::current(), x, &mut out))
}

/// What a sampler does with the logits of a token.
fn sampling(bench: &mut Bench) -> Result<()> {
    let isa = Isa::current();
    let shape = format!("[1, {VOCABULARY}]");
    let arena = Arena::<f32>::new(VOCABULARY);
    // From −12.5 to 12.5, as logits have it.
    let logits: Vec<f32> = arena.turn(0, VOCABULARY).iter().map(|x| 100.0 * x).collect();
    let weighing = Weighing { temperature: 0.7, least: f32::NEG_INFINITY };
    let row = spec(bench, "top_k_threshold, 40", shape.clone(), "f32", 4 * VOCABULARY);
    if !bench.skips(&row) {
        bench.row(&row, |_| {
            std::hint::black_box(top_k_threshold(isa, &logits, 40));
            Ok(())
        })?;
    }
    let row = spec(bench, "top_p_threshold, 0.9", shape.clone(), "f32", 4 * VOCABULARY);
    if !bench.skips(&row) {
        bench.row(&row, |_| {
            top_p_threshold(isa, &logits, &weighing, 0.9).map(|least| {
                std::hint::black_box(least);
            })
        })?;
    }
    let row = spec(bench, "sample_categorical", shape, "f32", 4 * VOCABULARY);
    if !bench.skips(&row) {
        bench.row(&row, |_| {
            sample_categorical(isa, &logits, &weighing, 0.5).map(|index| {
                std::hint::black_box(index);
            })
        })?;
    }
    Ok(())
}

/// What it costs to give two tasks to the pool: empty ones, and such that wait for each other, so that a second thread
/// has to come; right after the job before, and after a pause in which the threads fall asleep.
pub(crate) fn pool(bench: &mut Bench) -> Result<()> {
    if pool::threads() < 2 {
        return Ok(());
    }
    const PAUSE: Duration = Duration::from_millis(1);
    for (shape, meet, pause) in [
        ("2 empty tasks, awake", false, None),
        ("2 empty tasks, asleep", false, Some(PAUSE)),
        ("2 tasks that meet, awake", true, None),
        ("2 tasks that meet, asleep", true, Some(PAUSE)),
    ] {
        let spec = Spec { bytes: 0.0, ..spec(bench, "pool", shape.to_owned(), "", 0) };
        if bench.skips(&spec) {
            continue;
        }
        let mut samples = Vec::new();
        for _ in 0..if pause.is_some() { 40 } else { 2000 } {
            if let Some(pause) = pause {
                let start = Instant::now();
                while start.elapsed() < pause {
                    std::hint::spin_loop();
                }
            }
            let arrived = AtomicUsize::new(0);
            let start = Instant::now();
            pool::run(2, &|_| {
                if meet {
                    arrived.fetch_add(1, Ordering::AcqRel);
                    // No longer than this, should there be no second thread after all.
                    while arrived.load(Ordering::Acquire) < 2 && start.elapsed() < 50 * PAUSE {
                        std::hint::spin_loop();
                    }
                }
            });
            samples.push(start.elapsed().as_secs_f64());
        }
        bench.add(&spec, pool::threads(), &samples);
    }
    Ok(())
}
