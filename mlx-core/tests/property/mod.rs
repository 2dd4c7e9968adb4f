// SPDX-License-Identifier: EUPL-1.2
//! What holds for whatever arguments there are: random ones, always the same.

mod conv;
mod index;
mod io;
mod shape;

use std::fmt::Debug;

use mlx_core::Array;
use ndarray::ArrayD;
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Holds `test` against that many values of `strategy`, and against smaller ones where it fails. Nothing is written.
fn check<S>(cases: u32, strategy: S, test: impl Fn(S::Value))
where
    S: Strategy,
    S::Value: Debug,
{
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(config, rng).run(&strategy, |value| {
        test(value);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// Lengths of up to `most` axes, with empty ones among them.
fn shapes(most: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(proptest::prop_oneof![1 => 0..1usize, 12 => 1..5usize], 0..=most)
}

fn narrow(shape: &[usize]) -> Vec<i32> {
    shape.iter().map(|&n| i32::try_from(n).unwrap()).collect()
}

/// An array whose elements are their own places, in both libraries; a view when `order` says so: bit `i` has axis `i` run
/// backwards, and one bit more exchanges the first and the last axis.
fn counted(shape: &[usize], order: u8) -> (Array, ArrayD<i32>) {
    let ndim = shape.len();
    let size = i32::try_from(shape.iter().product::<usize>()).unwrap();
    let plain = ArrayD::from_shape_vec(shape, (0..size).collect()).unwrap();
    let swapped = ndim > 1 && order & (1 << 7) != 0;
    let mut stored = plain.clone();
    if swapped {
        stored.swap_axes(0, ndim - 1);
    }
    for axis in (0..ndim).filter(|axis| order & (1 << axis) != 0) {
        stored.invert_axis(ndarray::Axis(axis));
    }
    let values: Vec<i32> = stored.iter().copied().collect();
    let mut array = Array::from_slice(&values, &narrow(stored.shape())).unwrap();
    for axis in (0..ndim).filter(|axis| order & (1 << axis) != 0) {
        array = array.flip(i32::try_from(axis).unwrap()).unwrap();
    }
    if swapped {
        array = array.swap_axes(0, -1).unwrap();
    }
    assert_same(&array, &plain);
    (array, plain)
}

#[track_caller]
fn assert_same(found: &Array, wanted: &ArrayD<i32>) {
    assert_eq!(found.shape(), narrow(wanted.shape()));
    assert_eq!(found.to_vec::<i32>().unwrap(), wanted.iter().copied().collect::<Vec<_>>());
}
