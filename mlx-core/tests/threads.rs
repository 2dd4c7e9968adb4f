// SPDX-License-Identifier: EUPL-1.2
//! The road between threads, and what happens off it.

use std::sync::Arc;
use std::thread;

use mlx_core::{Array, Device, Result, SharedArray, Stream, eval};

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
