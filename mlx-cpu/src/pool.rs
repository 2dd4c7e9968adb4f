// SPDX-License-Identifier: EUPL-1.2
//! The one set of threads that all kernels share.
//!
//! A job is a number of tasks, of which each thread has a share of neighbours, and when it is done with those it takes
//! what others have left; the caller takes part. Neighbours mostly read neighbouring memory, which a thread then asks for
//! before it is at it. Which thread does a task must not change its result. A second caller, or a task that has work of
//! its own, finds the pool taken and does its tasks alone: there are never more busy threads than the pool has.
//!
//! A thread without work looks out for it for some microseconds, because the next kernel of a model follows at once,
//! and then sleeps.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crate::{Error, Result};

const VARIABLE: &str = "MLX_CPU_THREADS";

/// How long a thread without work looks out for it before it sleeps. The gaps between two kernels of a model that
/// decodes are shorter, and waking a thread takes about as long.
const LOOKOUT: Duration = Duration::from_micros(60);

/// Runs `task(0)` to `task(tasks - 1)`, each once, on the threads of the pool and this one, and returns when all are
/// done.
///
/// # Panics
/// When a task does: the others are done all the same, and one of the panics goes on here.
pub fn run(tasks: usize, task: &(dyn Fn(usize) + Sync)) {
    let pool = Pool::get();
    if tasks <= 1 {
        return (0..tasks).for_each(task);
    }
    if pool.workers.is_empty() || IN_TASK.get() {
        return alone(tasks, task);
    }
    let turn = match pool.turn.try_lock() {
        Ok(turn) => turn,
        Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        Err(TryLockError::WouldBlock) => return alone(tasks, task),
    };
    let panic = pool.run(tasks, task);
    drop(turn);
    if let Some(panic) = panic {
        resume_unwind(panic);
    }
}

/// Runs every task on this thread; one that panics does not keep the others from being done.
fn alone(tasks: usize, task: &(dyn Fn(usize) + Sync)) {
    let share = Share { next: AtomicUsize::new(0), end: AtomicUsize::new(tasks) };
    let job = Job { task, shares: std::slice::from_ref(&share), panic: Mutex::new(None) };
    job.work(0);
    if let Some(panic) = job.panic.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        resume_unwind(panic);
    }
}

/// How many threads a job runs on, the caller included.
#[must_use]
pub fn threads() -> usize {
    Pool::get().workers.len() + 1
}

thread_local!(static IN_TASK: Cell<bool> = const { Cell::new(false) });

/// A job, as the threads see it. It lies on the stack of the caller, who does not return before all have left.
struct Job<'a> {
    task: &'a (dyn Fn(usize) + Sync),
    shares: &'a [Share],
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// The tasks of one thread that nobody has taken yet: a line of the cache, so that threads do not wait for each other.
#[derive(Default)]
#[repr(align(128))]
struct Share {
    next: AtomicUsize,
    end: AtomicUsize,
}

impl Job<'_> {
    /// Takes the tasks of share `own`, then those of the shares after it, until there are none.
    fn work(&self, own: usize) {
        let outer = IN_TASK.replace(true);
        let (before, from) = self.shares.split_at(own.min(self.shares.len()));
        for share in from.iter().chain(before) {
            let end = share.end.load(Ordering::Relaxed);
            // Looked at first, so that a counter is not raised for ever.
            while share.next.load(Ordering::Relaxed) < end {
                let i = share.next.fetch_add(1, Ordering::Relaxed);
                if i >= end {
                    break;
                }
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.task)(i))) {
                    let mut slot = self.panic.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    slot.get_or_insert(panic);
                }
            }
        }
        IN_TASK.set(outer);
    }
}

/// `state` holds the number of the job in the upper half, and in the lower one whether it is closed to threads that
/// come late, and how many are in it.
const CLOSED: u64 = 1 << 31;
const COUNT: u64 = CLOSED - 1;
const NEXT: u64 = 1 << 32;

struct Pool {
    state: AtomicU64,
    /// A `Job` while `state` is not closed or somebody is counted in it.
    job: std::sync::atomic::AtomicPtr<()>,
    /// One for each thread, the caller's first.
    shares: Vec<Share>,
    workers: Vec<Worker>,
    turn: Mutex<()>,
}

struct Worker {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Pool {
    fn get() -> &'static Self {
        static POOL: OnceLock<Pool> = OnceLock::new();
        static START: std::sync::Once = std::sync::Once::new();
        let pool = POOL.get_or_init(|| {
            let threads = asked_for().ok().flatten().unwrap_or_else(default_threads);
            let worker = |_| Worker { asleep: AtomicBool::new(false), thread: OnceLock::new() };
            Pool {
                state: AtomicU64::new(CLOSED),
                job: std::sync::atomic::AtomicPtr::new(std::ptr::null_mut()),
                shares: (0..threads).map(|_| Share::default()).collect(),
                workers: (1..threads).map(worker).collect(),
                turn: Mutex::new(()),
            }
        });
        START.call_once(|| {
            for (i, worker) in pool.workers.iter().enumerate() {
                // Without this thread the others do its tasks.
                if let Ok(handle) = thread::Builder::new()
                    .name(format!("mlx-cpu-{}", i + 1))
                    .spawn(move || pool.serve(worker, i + 1))
                {
                    let _ = worker.thread.set(handle.thread().clone());
                }
            }
        });
        pool
    }

    /// Opens a job, takes part, closes it, and waits for those who are in it.
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) -> Option<Box<dyn Any + Send>> {
        let job = Job { task, shares: &self.shares, panic: Mutex::new(None) };
        // Nobody is in the pool, so nobody reads what follows before the state is opened.
        let threads = self.shares.len();
        let (each, more) = (tasks / threads, tasks % threads);
        let mut start = 0;
        for (i, share) in self.shares.iter().enumerate() {
            let end = start + each + usize::from(i < more);
            share.next.store(start, Ordering::Relaxed);
            share.end.store(end, Ordering::Relaxed);
            start = end;
        }
        self.job.store((&raw const job).cast_mut().cast(), Ordering::Relaxed);
        let number = (self.state.load(Ordering::Relaxed) & !(NEXT - 1)).wrapping_add(NEXT);
        self.state.store(number, Ordering::SeqCst);
        // Either a worker sees the new state before it sleeps, or it is seen asleep here.
        fence(Ordering::SeqCst);
        for worker in self.workers.iter().take(tasks - 1) {
            if worker.asleep.load(Ordering::SeqCst)
                && let Some(thread) = worker.thread.get()
            {
                thread.unpark();
            }
        }
        job.work(0);
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        let mut turns = 0u32;
        while self.state.load(Ordering::Acquire) & COUNT != 0 {
            turns += 1;
            if turns > 2000 {
                // A worker may wait for the processor that this loop is using.
                thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
        job.panic.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The life of a worker, who has the share of this number.
    fn serve(&self, worker: &Worker, share: usize) {
        let mut done = 0;
        loop {
            let state = self.wait(worker, done);
            done = state >> 32;
            if state & CLOSED != 0 {
                continue;
            }
            // Counted in before the job is looked at: the caller stays until the count is 0.
            if self.state.compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                // Another came first, or the job was closed.
                done = done.wrapping_sub(1);
                continue;
            }
            let job = self.job.load(Ordering::Relaxed).cast::<Job<'_>>();
            // SAFETY: the state was open and counts this thread now. The caller who opened it stored a job that lives
            // until the count is 0, and it is shared only.
            unsafe { (*job).work(share) };
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a job with another number than `done`, and returns the state that has it.
    fn wait(&self, worker: &Worker, done: u64) -> u64 {
        loop {
            let started = Instant::now();
            for turn in 0u32.. {
                let state = self.state.load(Ordering::Acquire);
                if state >> 32 != done {
                    return state;
                }
                std::hint::spin_loop();
                if turn % 64 == 63 && started.elapsed() > LOOKOUT {
                    break;
                }
            }
            worker.asleep.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            while self.state.load(Ordering::SeqCst) >> 32 == done {
                thread::park();
            }
            worker.asleep.store(false, Ordering::SeqCst);
        }
    }
}

/// What `MLX_CPU_THREADS` says.
pub(crate) fn asked_for() -> Result<Option<usize>> {
    let Some(value) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) else { return Ok(None) };
    let value = value.to_string_lossy();
    match value.trim().parse() {
        Ok(threads @ 1..=1024) => Ok(Some(threads)),
        _ => Err(Error::variable(VARIABLE, format!("expected a number from 1 to 1024, found {value:?}"))),
    }
}

/// The physical cores that this process may use: two threads of one core share the units that kernels keep busy.
fn default_threads() -> usize {
    let usable = thread::available_parallelism().map_or(1, usize::from);
    #[cfg(target_os = "linux")]
    if let Some(cores) = linux::physical_cores() {
        return usable.min(cores).max(1);
    }
    usable
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeSet;

    /// How many cores the processors belong to that the kernel lets this process run on.
    pub(super) fn physical_cores() -> Option<usize> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let cores: BTreeSet<String> = processors(list.trim())?
            .map(|cpu| {
                let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
                // A machine that does not tell has one thread a core.
                std::fs::read_to_string(path).unwrap_or_else(|_| cpu.to_string())
            })
            .collect();
        (!cores.is_empty()).then_some(cores.len())
    }

    /// The numbers in a list like `0-3,8`.
    pub(super) fn processors(list: &str) -> Option<impl Iterator<Item = usize>> {
        let ranges: Option<Vec<_>> = list
            .split(',')
            .map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                Some(first.parse::<usize>().ok()?..=last.parse::<usize>().ok()?)
            })
            .collect();
        ranges.map(|ranges| ranges.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once() {
        for tasks in [0usize, 1, 2, 3, 7, 64, 1000] {
            for _ in 0..50 {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                run(tasks, &|i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|count| count.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn callers_at_once_and_within_each_other_all_finish() {
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let sum = AtomicUsize::new(0);
                        run(8, &|i| {
                            run(4, &|j| {
                                sum.fetch_add(i * 4 + j, Ordering::Relaxed);
                            });
                        });
                        assert_eq!(sum.load(Ordering::Relaxed), 31 * 32 / 2);
                    }
                });
            }
        });
    }

    #[test]
    fn panic_of_a_task_goes_on_in_the_caller_after_the_others_are_done() {
        for _ in 0..20 {
            let done = AtomicUsize::new(0);
            let caught = catch_unwind(AssertUnwindSafe(|| {
                run(16, &|i| {
                    assert_ne!(i, 5, "task five");
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }));
            assert!(caught.is_err());
            assert_eq!(done.load(Ordering::Relaxed), 15);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn lists_of_processors_are_read() {
        let read = |list| linux::processors(list).map(Iterator::collect::<Vec<_>>);
        assert_eq!(read("0-3,8"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(read("5"), Some(vec![5]));
        assert_eq!(read("x"), None);
        assert!(linux::physical_cores().unwrap() >= 1);
    }
}
