// SPDX-License-Identifier: EUPL-1.2
//! The road between threads, and what happens off it.

use std::cell::RefCell;
use std::ffi::CStr;
use std::sync::{Arc, Barrier, mpsc};
use std::thread;

use mlx_core::custom::{CpuOp, Input, Output, OutputSpec, apply};
use mlx_core::{
    Array, Device, Dtype, Error, Result, SharedArray, Stream, async_eval, concatenate, eval, transform,
};

use super::alone::alone;
#[cfg(target_os = "linux")]
use super::alone::{resident, threads};

#[test]
fn shared_array_serves_four_threads_at_once() {
    let data: Vec<f32> = (0..4096u16).map(f32::from).collect();
    let weights = Array::from_slice(&data, &[64, 64]).unwrap();
    // Lazy when it is shared: sharing must evaluate and wait.
    let shared = Arc::new((&weights * 2.0).unwrap().to_shared().unwrap());
    let expected: f32 = data.iter().map(|x| 2.0 * x).sum();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for _ in 0..500 {
                    let a = shared.to_array().unwrap();
                    let doubled = (&a + &a).unwrap();
                    assert_eq!(doubled.sum_all().unwrap().item::<f32>().unwrap(), 2.0 * expected);
                    assert_eq!(a.clone().to_vec::<f32>().unwrap()[1], 2.0);
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}

#[test]
fn shared_array_outlives_the_thread_that_made_it() {
    let shared: SharedArray =
        thread::spawn(|| Array::from_slice(&[1i32, 2, 3], &[3]).unwrap().to_shared().unwrap())
            .join()
            .unwrap();
    assert_eq!((shared.shape(), shared.dtype()), (&[3][..], mlx_core::Dtype::Int32));
    assert_eq!(shared.to_array().unwrap().to_vec::<i32>().unwrap(), [1, 2, 3]);
    assert_eq!(format!("{shared:?}"), "SharedArray { shape: [3], dtype: int32 }");
}

#[test]
fn lazy_arrays_are_shared_as_values() {
    let a = Array::from_slice(&[1.0f32, 4.0, 9.0, 16.0], &[2, 2]).unwrap();
    let strided = a.transpose().unwrap().to_shared().unwrap();
    let values = thread::spawn(move || strided.to_array().unwrap().to_vec::<f32>().unwrap()).join().unwrap();
    assert_eq!(values, [1.0, 9.0, 4.0, 16.0]);
}

#[test]
fn stream_scope_runs_ops_on_another_stream() -> Result<()> {
    let other = Stream::new(&Device::cpu()?)?;
    let a = Array::from_slice(&[1.0f32, 2.0], &[2])?;
    let there = other.scope(|| &a + &a)?;
    let here = (&there * &a)?;
    eval([&here, &there])?;
    assert_eq!(here.to_vec::<f32>()?, [2.0, 8.0]);
    Ok(())
}

#[test]
fn every_thread_computes_on_its_own() {
    let workers: Vec<_> = (0..8u8)
        .map(|i| {
            thread::spawn(move || {
                let a = Array::from_slice(&vec![f32::from(i); 1000], &[1000]).unwrap();
                a.exp().unwrap().sum_all().unwrap().item::<f32>().unwrap()
            })
        })
        .collect();
    for (i, worker) in workers.into_iter().enumerate() {
        let expected = 1000.0 * (i as f32).exp();
        assert!((worker.join().unwrap() - expected).abs() <= expected * 1e-4);
    }
}

#[test]
fn arrays_of_a_callback_are_shared_as_values() {
    let kept = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let (inside, sent) = (kept.clone(), std::rc::Rc::new(std::cell::RefCell::new(Vec::new())));
    let sender = sent.clone();
    let function = move |x: &[Array]| {
        let halves = (&x[0] * &x[0])?.split(2, 0)?;
        eval(&halves)?;
        sender.borrow_mut().push(halves[0].to_shared()?);
        inside.borrow_mut().extend(halves.iter().cloned());
        Ok(vec![(&halves[0] + &halves[1])?.sum_all()?])
    };
    let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[4]).unwrap();
    mlx_core::transform::value_and_grad_by(function, &[0], &[x]).unwrap();
    let mut shared: Vec<SharedArray> = sent.borrow_mut().drain(..).collect();
    shared.extend(kept.borrow().iter().map(|array| array.to_shared().unwrap()));
    let workers =
        shared.into_iter().map(|array| thread::spawn(move || array.to_array().unwrap().to_vec::<f32>()));
    let values: Vec<Vec<f32>> = workers.map(|worker| worker.join().unwrap().unwrap()).collect();
    assert_eq!(values, [[1.0, 4.0], [1.0, 4.0], [9.0, 16.0]]);
}

/// A few ops of different kinds, and what they give on the host.
fn graph(seed: u16) -> (Array, f32) {
    let host: Vec<f32> = (0..256).map(|i| f32::from((i * 7 + seed) % 13) - 6.0).collect();
    let a = Array::from_slice(&host, &[16, 16]).unwrap();
    let b = (&a.transpose().unwrap() + &a).unwrap().slice(&[0, 0], &[8, 16]).unwrap();
    let c = concatenate(&[&b, &b], 0).unwrap().reshape(&[256]).unwrap();
    let at = |i: usize, j: usize| host[16 * i + j];
    let sum: f32 = (0..8).flat_map(|i| (0..16).map(move |j| (i, j))).map(|(i, j)| at(i, j) + at(j, i)).sum();
    (c.sum_all().unwrap(), 2.0 * sum)
}

#[test]
fn graphs_of_several_threads_do_not_meet() {
    let start = Arc::new(Barrier::new(8));
    let workers: Vec<_> = (0..8u16)
        .map(|seed| {
            let start = start.clone();
            thread::spawn(move || {
                start.wait();
                for round in 0..100 {
                    let (sum, expected) = graph(seed * 100 + round);
                    if round % 2 == 0 {
                        async_eval([&sum]).unwrap();
                    }
                    assert_eq!(sum.item::<f32>().unwrap(), expected);
                    let square = |x: &[Array]| Ok(vec![x[0].square()?.sum_all()?]);
                    let x = Array::scalar(f32::from(round)).unwrap();
                    let (_, gradient) = transform::value_and_grad_by(square, &[0], &[x]).unwrap();
                    assert_eq!(gradient[0].item::<f32>().unwrap(), 2.0 * f32::from(round));
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

#[test]
fn shared_array_is_read_and_dropped_by_eight_threads_at_once() {
    for round in 0..20u16 {
        let a = Array::full(&[128, 128], f64::from(round), Dtype::Float32).unwrap();
        let shared = Arc::new(a.transpose().unwrap().to_shared().unwrap());
        drop(a);
        let start = Arc::new(Barrier::new(8));
        let workers: Vec<_> = (0..8)
            .map(|i| {
                let (shared, start) = (shared.clone(), start.clone());
                thread::spawn(move || {
                    start.wait();
                    let a = shared.to_array().unwrap();
                    drop(shared); // the last one frees, whichever it is
                    let sum = if i % 2 == 0 { (&a * &a).unwrap() } else { a.square().unwrap() };
                    drop(a);
                    sum.sum_all().unwrap().item::<f32>().unwrap()
                })
            })
            .collect();
        drop(shared);
        let expected = f32::from(round * round) * 16384.0;
        assert!(workers.into_iter().all(|worker| worker.join().unwrap() == expected));
    }
}

#[test]
fn errors_stay_on_the_thread_that_made_them() {
    let start = Arc::new(Barrier::new(8));
    let workers: Vec<_> = (0..8i32)
        .map(|i| {
            let start = start.clone();
            thread::spawn(move || {
                let a = Array::ones(&[1, 10 + i], Dtype::Float32).unwrap();
                start.wait();
                for _ in 0..500 {
                    let message = a.matmul(&a).unwrap_err().to_string();
                    assert!(message.contains(&format!("(1,{})", 10 + i)), "{message}");
                    let refused = format!("refused by {i}");
                    let text = refused.clone();
                    let fails = move |_: &[Array]| Err(Error::Mlx { op: "test", message: text.clone() });
                    let error = transform::value_and_grad_by(fails, &[0], std::slice::from_ref(&a))
                        .unwrap_err()
                        .to_string();
                    assert!(error.contains(&refused), "{error}");
                    assert_eq!(a.sum_all().unwrap().item::<f32>().unwrap(), (10 + i) as f32);
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
}

/// Fails when it is computed.
struct Fails;

impl CpuOp for Fails {
    fn name(&self) -> &'static CStr {
        c"fails"
    }
    fn outputs(&self, inputs: &[&Array]) -> Result<Vec<OutputSpec>> {
        Ok(inputs.iter().map(|x| OutputSpec::new(x.shape(), x.dtype())).collect())
    }
    fn eval(&self, _: &[Input<'_>], _: &mut [Output<'_>]) -> Result<()> {
        Err(Error::Mlx { op: "fails", message: "on purpose".to_owned() })
    }
}

thread_local! {
    static KEPT: RefCell<Vec<Array>> = const { RefCell::new(Vec::new()) };
}

/// What a thread may leave behind: graphs, arrays that are being computed, failures that nobody asked for.
fn leave_things_behind(round: usize) {
    let a = Array::full(&[32, 32], 1.0, Dtype::Float32).unwrap();
    let lazy = a.matmul(&a).unwrap();
    let started = (&a + &lazy).unwrap();
    async_eval([&started]).unwrap();
    let mut kept = vec![a.clone(), lazy, started];
    if round.is_multiple_of(3) {
        let fails = apply(Fails, &[&a]).unwrap();
        // Whether the failure is already there when this returns is a matter of time.
        let _ = async_eval(&fails);
        kept.extend(fails);
    }
    KEPT.with_borrow_mut(|all| all.extend(kept));
}

#[test]
fn threads_that_end_leave_nothing_to_the_next() {
    for round in 0..60 {
        thread::spawn(move || leave_things_behind(round)).join().unwrap();
        let sum = thread::spawn(move || {
            let (sum, expected) = graph(u16::try_from(round).unwrap());
            (sum.item::<f32>().unwrap(), expected)
        });
        let (sum, expected) = sum.join().unwrap();
        assert_eq!(sum, expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_thousand_short_lived_workers_leave_no_thread_and_no_memory() {
    alone("threads::a_thousand_short_lived_workers_leave_no_thread_and_no_memory", || {
        let eight = |round: usize| {
            let workers: Vec<_> = (0..8)
                .map(|i| {
                    thread::spawn(move || {
                        if i % 4 == 0 {
                            return leave_things_behind(round);
                        }
                        if i % 4 == 1 {
                            let other = Stream::new(&Device::cpu().unwrap()).unwrap();
                            other.scope(|| assert!(graph(3).0.eval().is_ok()));
                        }
                        let (sum, expected) = graph(i);
                        assert_eq!(sum.item::<f32>().unwrap(), expected);
                    })
                })
                .collect();
            workers.into_iter().for_each(|worker| worker.join().unwrap());
        };
        (0..25).for_each(eight);
        let (threads_before, before) = (threads(), resident());
        (0..125).for_each(eight);
        // Eight at once, each with one or two streams: how many of them overlap is a matter of time.
        assert!(threads() <= threads_before.max(24), "{} threads, before {threads_before}", threads());
        let grown = resident().saturating_sub(before);
        assert!(grown < 24 << 20, "{grown} bytes more");
    });
}

#[cfg(target_os = "linux")]
#[test]
fn streams_that_do_nothing_cost_no_thread_and_more_than_can_be_lent_are_made() {
    alone("threads::streams_that_do_nothing_cost_no_thread_and_more_than_can_be_lent_are_made", || {
        let a = Array::scalar(2.0f32).unwrap();
        (&a + &a).unwrap().eval().unwrap();
        let before = threads();
        let streams: Vec<_> = (0..1500).map(|_| Stream::new(&Device::cpu().unwrap()).unwrap()).collect();
        assert!(threads() <= before + 1, "{} threads, before {before}", threads());
        let mut indices: Vec<_> = streams.iter().map(|stream| stream.index().unwrap()).collect();
        indices.sort_unstable();
        indices.dedup();
        assert_eq!(indices.len(), streams.len(), "each is another one");
        for stream in [&streams[0], &streams[1400]] {
            assert_eq!(stream.scope(|| &a * &a).unwrap().item::<f32>().unwrap(), 4.0);
        }
        // Nothing is left to be lent, and a thread computes all the same.
        let elsewhere =
            thread::spawn(|| Array::scalar(1.0f32).unwrap().exp().unwrap().item::<f32>().unwrap());
        assert!((elsewhere.join().unwrap() - std::f32::consts::E).abs() < 1e-6);
    });
}

/// Computes when its thread's locals are destroyed, and says what came of it.
struct Last(RefCell<Option<(Array, mpsc::Sender<Vec<bool>>)>>);

impl Drop for Last {
    fn drop(&mut self) {
        if let Some((array, sender)) = self.0.take() {
            let built = array.exp();
            let computed = built.as_ref().is_ok_and(|built| built.eval().is_ok());
            let lazy = array.eval().is_ok();
            let other =
                Device::cpu().and_then(|cpu| Stream::new(&cpu)).is_ok_and(|s| s.synchronize().is_ok());
            let started = async_eval([&array]).is_ok();
            sender.send(vec![computed, lazy, other, started]).unwrap();
        }
    }
}

thread_local! {
    static LAST: Last = const { Last(RefCell::new(None)) };
}

#[test]
fn a_thread_local_that_computes_in_its_destructor_gets_an_error_or_a_value() {
    for first in [true, false] {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // Which is destroyed first depends on which was used first.
            if first {
                LAST.with(|_| ());
            }
            let a = Array::scalar(1.0f32).unwrap();
            let lazy = (&a + &a).unwrap();
            a.exp().unwrap().eval().unwrap();
            LAST.with(|last| last.0.replace(Some((lazy, sender))));
        })
        .join()
        .unwrap();
        let results = receiver.recv().unwrap();
        // Rust destroys the youngest first, so the streams are still there in one case and given back in the other.
        assert!(results.iter().all(|&computed| computed != first), "{first}: {results:?}");
    }
}
