// SPDX-License-Identifier: EUPL-1.2
//! Taking over many tensors at once.
//!
//! From the page cache, what costs is not the copy but the fresh pages it goes to: the system clears and maps about
//! 1.5 GB of them a second on one core. So small tensors are taken over by a second thread too, while the caller's
//! thread takes the large ones. The second thread runs no ops, and so makes no stream.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::SafetensorsFile;
use super::read::PIECE;
use crate::error::{Error, Result};
use crate::{Array, DeviceKind, SharedArray, Stream};

/// Threads that copy; more of them wait for each other in the kernel.
const THREADS: usize = 4;

/// One tensor to take over.
struct Job<'a> {
    file: &'a SafetensorsFile,
    name: &'a str,
    nbytes: usize,
}

/// All tensors of `files`, in their order, as (index of the file, name, array).
///
/// - `progress`: called on this thread with the bytes taken over so far and the bytes there are
pub(super) fn take_all(
    files: &[SafetensorsFile],
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<(usize, String, Array)>> {
    // Headers first: a bad one is found before a gigabyte has been read.
    let mut jobs = Vec::new();
    for (index, file) in files.iter().enumerate() {
        for name in file.names() {
            jobs.push((index, Job { file, name, nbytes: file.info(name)?.nbytes }));
        }
    }
    let total = jobs.iter().map(|(_, job)| job.nbytes as u64).sum();
    let mut done = 0;
    let mut report = |nbytes: usize| {
        done += nbytes as u64;
        progress(done, total);
    };

    let on_cpu = Stream::current()?.device()?.kind()? == DeviceKind::Cpu;
    let helpers =
        if on_cpu { thread::available_parallelism().map_or(1, usize::from).min(THREADS) - 1 } else { 0 };
    let mut arrays: Vec<Option<Array>> = jobs.iter().map(|_| None).collect();
    let small: Vec<usize> = jobs
        .iter()
        .enumerate()
        .filter(|(_, (_, job))| helpers > 0 && job.nbytes <= PIECE)
        .map(|(i, _)| i)
        .collect();
    let next = AtomicUsize::new(0);
    let take_next = || small.get(next.fetch_add(1, Ordering::Relaxed)).copied();

    thread::scope(|scope| -> Result<()> {
        let (sender, receiver) = mpsc::channel::<(usize, Result<SharedArray>)>();
        for _ in 0..helpers {
            let (sender, jobs, take_next) = (sender.clone(), &jobs, &take_next);
            // Without a helper thread the caller's takes everything, only more slowly.
            let _ = thread::Builder::new().name("mlx-load".to_owned()).spawn_scoped(scope, move || {
                while let Some(i) = take_next() {
                    let (_, job) = &jobs[i];
                    let shared = job.file.tensor(job.name).and_then(|array| array.to_shared());
                    if sender.send((i, shared)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut take_and_receive = || -> Result<()> {
            let mut receive = |(i, shared): (usize, Result<SharedArray>)| -> Result<()> {
                arrays[i] = Some(shared?.to_array()?);
                report(jobs[i].1.nbytes);
                Ok(())
            };
            // Progress is told as the helpers get on, without waiting for them while there is work here.
            let large = (0..jobs.len()).filter(|&i| helpers == 0 || jobs[i].1.nbytes > PIECE);
            for i in large.chain(std::iter::from_fn(take_next)) {
                let (_, job) = &jobs[i];
                receive((i, job.file.tensor(job.name).and_then(|array| array.to_shared())))?;
                receiver.try_iter().try_for_each(&mut receive)?;
            }
            receiver.iter().try_for_each(&mut receive)
        };
        let outcome = take_and_receive();
        if outcome.is_err() {
            // Nothing more is handed out, so that the helpers end soon.
            next.store(small.len(), Ordering::Relaxed);
        }
        outcome
    })?;

    jobs.iter()
        .zip(arrays)
        .map(|((index, job), array)| match array {
            Some(array) => Ok((*index, job.name.to_owned(), array)),
            None => Err(Error::file(job.file.path(), format!("tensor {:?} was not read", job.name))),
        })
        .collect()
}
