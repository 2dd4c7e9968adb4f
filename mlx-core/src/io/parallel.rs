// SPDX-License-Identifier: EUPL-1.2
//! Taking over many tensors at once.
//!
//! From the page cache, what costs is not the copy but the fresh pages it goes to: the system clears and maps about
//! 1.5 GB of them a second on one core. So small tensors are taken over by other threads too, while the caller's
//! thread takes the large ones. Those threads run no ops, and so make no stream.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use super::SafetensorsFile;
use super::read::PIECE;
use crate::error::Result;
use crate::{Array, DeviceKind, SharedArray, Stream};

/// Threads that copy; more of them wait for each other in the kernel.
const THREADS: usize = 4;

/// Takes over the named tensors, each of its file, in that order.
///
/// - `progress`: called on this thread with the bytes taken over so far and the bytes there are
///
/// # Errors
/// As [`SafetensorsFile::tensor`]; headers are checked first, so that a bad one is found before a gigabyte is read.
pub fn load_tensors(
    tensors: &[(&SafetensorsFile, &str)],
    mut progress: impl FnMut(u64, u64),
) -> Result<Vec<Array>> {
    let sizes = tensors.iter().map(|(file, name)| Ok(file.info(name)?.nbytes)).collect::<Result<Vec<_>>>()?;
    let total = sizes.iter().map(|&nbytes| nbytes as u64).sum();
    let mut done = 0;
    let mut report = |nbytes: usize| {
        done += nbytes as u64;
        progress(done, total);
    };

    let on_cpu = Stream::current()?.device()?.kind()? == DeviceKind::Cpu;
    let helpers =
        if on_cpu { thread::available_parallelism().map_or(1, usize::from).min(THREADS) - 1 } else { 0 };
    let is_large = |&i: &usize| helpers == 0 || sizes.get(i).is_some_and(|&nbytes| nbytes > PIECE);
    let (large, small): (Vec<usize>, Vec<usize>) = (0..tensors.len()).partition(is_large);
    let take_over = |i: usize| -> Result<SharedArray> {
        let (file, name) = tensors[i];
        file.tensor(name)?.to_shared()
    };
    let next = AtomicUsize::new(0);
    let next_small = || small.get(next.fetch_add(1, Ordering::Relaxed)).copied();
    let mut arrays: Vec<Option<Array>> = vec![None; tensors.len()];

    thread::scope(|scope| -> Result<()> {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..helpers {
            let (sender, take_over, next_small) = (sender.clone(), &take_over, &next_small);
            let help = move || {
                while let Some(i) = next_small() {
                    if sender.send((i, take_over(i))).is_err() {
                        break;
                    }
                }
            };
            // Where no thread can be had, this one takes everything, only more slowly.
            let _ = thread::Builder::new().name("mlx-load".to_owned()).spawn_scoped(scope, help);
        }
        drop(sender);
        let mut receive = |(i, shared): (usize, Result<SharedArray>)| -> Result<()> {
            arrays[i] = Some(shared?.to_array()?);
            report(sizes[i]);
            Ok(())
        };
        let mut work = || -> Result<()> {
            for i in large.iter().copied().chain(std::iter::from_fn(next_small)) {
                receive((i, take_over(i)))?;
                // What the others have done meanwhile is reported without waiting for them.
                receiver.try_iter().try_for_each(&mut receive)?;
            }
            receiver.iter().try_for_each(&mut receive)
        };
        let outcome = work();
        if outcome.is_err() {
            // Nothing more is handed out, so that the others end soon.
            next.store(small.len(), Ordering::Relaxed);
        }
        outcome
    })?;
    // Every place was filled, or an error returned above.
    Ok(arrays.into_iter().flatten().collect())
}
