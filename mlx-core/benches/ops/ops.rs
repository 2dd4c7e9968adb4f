// SPDX-License-Identifier: EUPL-1.2
//! The loops of `ops.c` in Rust.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mlx_core::{Array, Dtype, Result, concatenate, fast, where_};

/// How many results are alive together.
pub(crate) const BATCH: usize = 64;

/// The ops by the names that `ops.c` has for them too.
pub(crate) const OPS: [(&str, Make); 16] = [
    ("add", |x| &x.square + &x.row),
    ("multiply", |x| &x.square * &x.square),
    ("add_constant", |x| &x.square + 1.5),
    ("matmul", |x| x.square.matmul(&x.square)),
    ("exp", |x| x.square.exp()),
    ("sum", |x| x.square.sum(-1, false)),
    ("softmax", |x| x.square.softmax(-1)),
    ("reshape", |x| x.square.reshape(&[2, 8])),
    ("transpose", |x| x.square.transpose()),
    ("slice", |x| x.square.slice(&[1, 0], &[3, 4])),
    ("expand_dims", |x| x.square.expand_dims(0)),
    ("astype", |x| x.square.astype(Dtype::Bfloat16)),
    ("where", |x| where_(&x.yes, &x.square, &x.square)),
    ("concatenate", |x| concatenate(&[&x.square, &x.square], 0)),
    ("rms_norm", |x| fast::rms_norm(&x.half, Some(&x.weight), 1e-5)),
    ("clone", |x| Ok(x.square.clone())),
];

type Make = fn(&Operands) -> Result<Array>;

/// What the ops are given.
pub(crate) struct Operands {
    square: Array,
    row: Array,
    half: Array,
    weight: Array,
    yes: Array,
}

impl Operands {
    fn new() -> Result<Self> {
        let x = Self {
            square: Array::ones(&[4, 4], Dtype::Float32)?,
            row: Array::ones(&[4], Dtype::Float32)?,
            half: Array::ones(&[4, 4], Dtype::Bfloat16)?,
            weight: Array::ones(&[4], Dtype::Bfloat16)?,
            yes: Array::ones(&[4, 4], Dtype::Bool)?,
        };
        mlx_core::eval([&x.square, &x.row, &x.half, &x.weight, &x.yes])?;
        Ok(x)
    }
}

/// Counts what Rust code allocates; the library has an allocator of its own.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Reads lines `OP BATCHES` and answers each with `NANOSECONDS ALLOCATIONS`, as `ops.c` does.
pub(crate) fn serve() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let operands = Operands::new()?;
    let mut results = Vec::with_capacity(BATCH);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (name, batches) = line.split_once(' ').ok_or("a line is OP BATCHES")?;
        let &(_, make) = OPS.iter().find(|op| op.0 == name).ok_or("no such op")?;
        let batches: u64 = batches.parse()?;
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let start = Instant::now();
        for _ in 0..batches {
            for _ in 0..BATCH {
                results.push(make(&operands)?);
            }
            results.clear();
        }
        let nanoseconds = start.elapsed().as_nanos();
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{nanoseconds} {allocations}")?;
        out.flush()?;
    }
    Ok(())
}
