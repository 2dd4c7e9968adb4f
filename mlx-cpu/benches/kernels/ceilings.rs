// SPDX-License-Identifier: EUPL-1.2
//! What the machine can do at most: bytes read, and operations by instruction.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;
use std::time::Instant;

use mlx_cpu::pool;

use crate::arena::Arena;
use crate::machine::Machine;
use crate::summary::{Ceiling, Spread};

/// Bytes of the buffer for memory: far beyond the caches of a desktop, and a few of those of a server.
const MEMORY: usize = 512 << 20;

/// About how long one measurement of arithmetic or of a cache takes on one thread.
const SECONDS: f64 = 1e-3;

/// Of so many measurements in a row the best counts: in the others something else had the processor.
const TRIES: usize = 4;

/// What was measured, for each ceiling and number of threads.
#[derive(Debug)]
pub(crate) struct Ceilings {
    buffer: Arena<u32>,
    l2: usize,
    l3: usize,
    threads: usize,
    /// The rates, 1 a second, in the order of time.
    pub(crate) values: BTreeMap<(Ceiling, usize), Vec<f64>>,
}

impl Ceilings {
    pub(crate) fn new(machine: &Machine) -> Self {
        let buffer = Arena::new(MEMORY.max(16 * machine.l3) / 4);
        let &Machine { l2, l3, threads, .. } = machine;
        Self { buffer, l2, l3, threads, values: BTreeMap::new() }
    }

    /// Measures everything once, on one thread and on all.
    pub(crate) fn measure(&mut self) {
        let counts = if self.threads > 1 { vec![1, self.threads] } else { vec![1] };
        for ceiling in Ceiling::ALL {
            for &threads in &counts {
                let rates = (0..TRIES).filter_map(|turn| self.once(ceiling, threads, turn));
                if let Some(rate) = rates.reduce(f64::max) {
                    self.values.entry((ceiling, threads)).or_default().push(rate);
                }
            }
        }
    }

    /// The rates of a ceiling so far.
    pub(crate) fn spread(&self, ceiling: Ceiling, threads: usize) -> Option<Spread> {
        self.values.get(&(ceiling, threads)).map(|values| Spread::of(values))
    }

    fn once(&self, ceiling: Ceiling, threads: usize, turn: usize) -> Option<f64> {
        match ceiling {
            // A quarter of the buffer after the other, so that what is read has long left the caches.
            Ceiling::Memory => {
                let bytes = self.buffer.all().len();
                let start = turn % 4 * bytes;
                Some(self.read(start..start + bytes, threads, false))
            }
            // A share of the cache, which may be smaller to us than the machine says.
            Ceiling::L3 => {
                let bytes = (self.l3 / 4).max(4 * self.l2 * threads).min(self.l3 / 2);
                Some(self.read(0..bytes, threads, false))
            }
            Ceiling::L2 => Some(self.read(0..self.l2 / 2 * threads, threads, true)),
            Ceiling::F32 => Some(compute(threads, fma())),
            Ceiling::Bf16 => dot_bf16().map(|dot| compute(threads, dot)),
            Ceiling::Int8 => dot_int8().map(|dot| compute(threads, dot)),
        }
    }

    /// Bytes a second, reading these of the buffer. `own` gives each thread a part that stays its own, and
    /// else they take one piece after the other.
    fn read(&self, range: Range<usize>, threads: usize, own: bool) -> f64 {
        let bytes = range.len();
        let words = self.buffer.all().get(range.start / 4..range.end / 4).unwrap_or_default();
        let piece = if own { words.len() / threads } else { 64 << 10 };
        let pieces: Vec<&[u32]> = words.chunks(piece.max(1)).collect();
        let expected = bytes as f64 / 30e9 / threads as f64;
        let rounds = (SECONDS / expected).ceil().max(1.0) as usize;
        let read = |i: usize| {
            if own {
                for _ in 0..rounds {
                    black_box(sum(black_box(pieces[i])));
                }
            } else {
                black_box(sum(black_box(pieces[i % pieces.len()])));
            }
        };
        let tasks = if own { pieces.len() } else { pieces.len() * rounds };
        let all = || on(threads, tasks, &read);
        if bytes < self.l3 {
            all();
        }
        let start = Instant::now();
        all();
        (bytes * rounds) as f64 / start.elapsed().as_secs_f64()
    }
}

/// Does the tasks on one thread or on all of the pool.
fn on(threads: usize, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
    if threads == 1 { (0..tasks).for_each(task) } else { pool::run(tasks, task) }
}

/// A loop of `rounds` turns, and how many operations a turn has.
type Loop = (fn(usize), f64);

/// Operations a second.
fn compute(threads: usize, (run, operations): Loop) -> f64 {
    const ROUNDS: usize = 5_000;
    let start = Instant::now();
    run(ROUNDS);
    let once = start.elapsed().as_secs_f64();
    let tasks = threads * (SECONDS / once).ceil().max(4.0) as usize;
    let start = Instant::now();
    on(threads, tasks, &|_| run(ROUNDS));
    operations * (ROUNDS * tasks) as f64 / start.elapsed().as_secs_f64()
}

#[cfg(target_arch = "x86_64")]
use x86::{dot_bf16, dot_int8, fma, sum};

/// What every processor has.
mod plain {
    use std::hint::black_box;

    /// Sums that do not wait for each other.
    const CHAINS: usize = 64;

    pub(super) const OPERATIONS: f64 = 2.0 * CHAINS as f64;

    #[inline(always)]
    pub(super) fn fma(rounds: usize) {
        let (a, b) = (black_box(0.999f32), black_box(1e-3f32));
        let mut sums = black_box([0.5f32; CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                // Without the instruction `mul_add` is a call of a function.
                *sum = if cfg!(target_arch = "aarch64") { a.mul_add(*sum, b) } else { a * *sum + b };
            }
        }
        black_box(sums);
    }

    #[inline(always)]
    pub(super) fn sum(words: &[u32]) -> u32 {
        words.iter().fold(0, |sum: u32, word| sum.wrapping_add(*word))
    }
}

#[cfg(not(target_arch = "x86_64"))]
use other::{dot_bf16, dot_int8, fma, sum};

#[cfg(not(target_arch = "x86_64"))]
mod other {
    use super::{Loop, plain};

    pub(super) fn sum(words: &[u32]) -> u32 {
        plain::sum(words)
    }

    pub(super) fn fma() -> Loop {
        (plain::fma, plain::OPERATIONS)
    }

    pub(super) fn dot_bf16() -> Option<Loop> {
        None
    }

    pub(super) fn dot_int8() -> Option<Loop> {
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::is_x86_feature_detected as has;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    use super::{Loop, plain};

    /// Registers that are summed in: more than an instruction takes turns, so that none waits.
    const CHAINS: usize = 16;

    pub(super) fn sum(words: &[u32]) -> u32 {
        if has!("avx512f") {
            // SAFETY: the processor has it.
            unsafe { sum_avx512(words) }
        } else if has!("avx2") {
            // SAFETY: the processor has it.
            unsafe { sum_avx2(words) }
        } else {
            plain::sum(words)
        }
    }

    pub(super) fn fma() -> Loop {
        if has!("avx512f") {
            // SAFETY: the processor has it.
            (|rounds| unsafe { fma_avx512(rounds) }, (CHAINS * 16 * 2) as f64)
        } else if has!("avx2") && has!("fma") {
            // SAFETY: the processor has both.
            (|rounds| unsafe { fma_avx2(rounds) }, (AVX2_CHAINS * 8 * 2) as f64)
        } else {
            (plain::fma, plain::OPERATIONS)
        }
    }

    pub(super) fn dot_bf16() -> Option<Loop> {
        // SAFETY: the processor has both.
        (has!("avx512f") && has!("avx512bf16"))
            .then_some((|rounds| unsafe { bf16_avx512(rounds) }, (CHAINS * 32 * 2) as f64))
    }

    pub(super) fn dot_int8() -> Option<Loop> {
        // SAFETY: the processor has both.
        (has!("avx512f") && has!("avx512vnni"))
            .then_some((|rounds| unsafe { int8_avx512(rounds) }, (CHAINS * 64 * 2) as f64))
    }

    /// Half as many registers as AVX-512 has, less the factors.
    const AVX2_CHAINS: usize = 12;

    /// Bytes that memory is asked for ahead of the reading, as the kernels do.
    const AHEAD: usize = 4096;

    #[target_feature(enable = "avx512f")]
    fn sum_avx512(words: &[u32]) -> u32 {
        let mut sums = [_mm512_setzero_si512(); 8];
        for block in words.chunks_exact(16 * sums.len()) {
            for (i, sum) in sums.iter_mut().enumerate() {
                let line = block[16 * i..16 * (i + 1)].as_ptr();
                _mm_prefetch::<_MM_HINT_T0>(line.wrapping_byte_add(AHEAD).cast());
                // SAFETY: the line has sixteen words.
                *sum = _mm512_add_epi32(*sum, unsafe { _mm512_loadu_si512(line.cast()) });
            }
        }
        let total = sums.into_iter().reduce(|a, b| _mm512_add_epi32(a, b)).unwrap_or(_mm512_setzero_si512());
        _mm512_reduce_add_epi32(total).cast_unsigned()
    }

    #[target_feature(enable = "avx2")]
    fn sum_avx2(words: &[u32]) -> u32 {
        plain::sum(words)
    }

    #[target_feature(enable = "avx512f")]
    fn fma_avx512(rounds: usize) {
        let (a, b) = (_mm512_set1_ps(black_box(0.999)), _mm512_set1_ps(black_box(1e-3)));
        let mut sums = black_box([_mm512_set1_ps(0.5); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(a, *sum, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx2,fma")]
    fn fma_avx2(rounds: usize) {
        let (a, b) = (_mm256_set1_ps(black_box(0.999)), _mm256_set1_ps(black_box(1e-3)));
        let mut sums = black_box([_mm256_set1_ps(0.5); AVX2_CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(a, *sum, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn bf16_avx512(rounds: usize) {
        let ones = _mm512_set1_ps(black_box(0.25));
        let (a, b) = (_mm512_cvtne2ps_pbh(ones, ones), _mm512_cvtne2ps_pbh(ones, ones));
        let mut sums = black_box([_mm512_set1_ps(0.5); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
        black_box(sums);
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn int8_avx512(rounds: usize) {
        let (a, b) = (_mm512_set1_epi8(black_box(1)), _mm512_set1_epi8(black_box(1)));
        let mut sums = black_box([_mm512_setzero_si512(); CHAINS]);
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        black_box(sums);
    }
}
