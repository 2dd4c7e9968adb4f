// SPDX-License-Identifier: EUPL-1.2
//! Tests that count handles over many rounds. The transformations are counted where they are; how much memory the process
//! has is asked in `tests/leaks.rs`.

use std::collections::BTreeMap;
use std::ffi::CStr;

use crate::custom::{CpuOp, Input, Output, OutputSpec, apply};
use crate::ffi::live;
use crate::vector::VectorArray;
use crate::{Array, Device, Dtype, Error, Result, Stream, concatenate, io, random, stack};

/// Runs `work` so often that one handle in a thousand rounds would show.
fn ends_where_it_began(rounds: usize, mut work: impl FnMut()) {
    work();
    let before = live::count();
    (0..rounds).for_each(|_| work());
    assert_eq!(live::count(), before);
}

fn square() -> Array {
    Array::from_slice(&[0.5f32, 1.0, 2.0, 4.0], &[2, 2]).unwrap()
}

#[test]
fn ops_leave_no_handle() {
    let x = square();
    let places = Array::from_slice(&[1, 0], &[2]).unwrap();
    ends_where_it_began(10_000, || {
        let y = (&x + 1.0).unwrap().matmul(&x).unwrap().softmax(-1).unwrap();
        let z = concatenate(&[&y, &stack(&[&x, &x], 0).unwrap().index(0).unwrap()], 1).unwrap();
        let parts = z.split(2, 1).unwrap();
        let taken = parts[0].take(&places, 0).unwrap().index_update((0, ..), &parts[1].index(1).unwrap());
        assert!(taken.unwrap().floor_divide(&x).unwrap().sort(-1).is_ok());
    });
}

#[test]
fn refused_ops_leave_no_handle() {
    let x = square();
    let far = Array::from_slice(&[9, 0], &[2]).unwrap();
    ends_where_it_began(10_000, || {
        assert!(x.reshape(&[3]).is_err());
        assert!(concatenate(&[&x, &x.index(0).unwrap()], 0).is_err());
        assert!(x.take(&far, 0).is_err());
        assert!(x.split(3, 0).is_err());
        assert!(x.index((0, 0, 0)).is_err());
        assert!(x.item::<f32>().is_err());
        assert!(x.broadcast_to(&[i32::MAX, i32::MAX, 2, 2]).is_err());
        assert!(crate::einsum("ij,jk", [&x]).is_err());
    });
}

#[test]
fn vectors_and_evaluations_leave_no_handle() {
    ends_where_it_began(10_000, || {
        let (x, y) = (square(), square().exp().unwrap());
        let vector = VectorArray::from_arrays([&x, &y, &x]).unwrap();
        assert_eq!(vector.to_arrays().unwrap().len(), 3);
        crate::async_eval([&y]).unwrap();
        crate::eval([&x, &y]).unwrap();
        assert!(y.to_vec::<f32>().is_ok());
    });
}

/// Fails if it is told to.
struct Perhaps(bool);

impl CpuOp for Perhaps {
    fn name(&self) -> &'static CStr {
        c"perhaps"
    }
    fn outputs(&self, inputs: &[&Array]) -> Result<Vec<OutputSpec>> {
        match inputs {
            [x] => Ok(vec![OutputSpec::new(x.shape(), x.dtype()); 2]),
            _ => Err(Error::argument("perhaps", "inputs", "expected one")),
        }
    }
    fn eval(&self, _: &[Input<'_>], outputs: &mut [Output<'_>]) -> Result<()> {
        assert_eq!(outputs.len(), 2);
        if self.0 { Err(Error::argument("perhaps", "x", "refused")) } else { Ok(()) }
    }
}

#[test]
fn ops_in_rust_leave_no_handle() {
    let x = square();
    ends_where_it_began(10_000, || {
        let out = apply(Perhaps(false), &[&x]).unwrap();
        assert_eq!(out[1].sum_all().unwrap().item::<f32>().unwrap(), 0.0);
        assert!(apply(Perhaps(false), &[&x, &x]).is_err());
    });
    ends_where_it_began(1_000, || {
        assert!(apply(Perhaps(true), &[&x]).unwrap()[0].eval().is_err());
    });
}

#[test]
fn files_leave_no_handle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    ends_where_it_began(500, || {
        let x = square();
        io::save_safetensors(&path, [("x", &x)], &BTreeMap::new()).unwrap();
        let tensors = io::load_safetensors(&path).unwrap().tensors;
        assert_eq!(tensors["x"].to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
        assert!(io::SafetensorsFile::open(&path).unwrap().tensor("absent").is_err());
        assert!(io::save_safetensors(&path, [("x", &x), ("x", &x)], &BTreeMap::new()).is_err());
    });
}

#[test]
fn devices_streams_and_keys_leave_no_handle() {
    ends_where_it_began(10_000, || {
        let cpu = Device::cpu().unwrap();
        assert_eq!(cpu, Stream::default_on(&cpu).unwrap().device().unwrap());
        assert!(Stream::current().unwrap().scope(|| square().exp()).is_ok());
        let key = random::Key::new(7).unwrap();
        let draws = random::uniform(0.0, 1.0, &[2], Dtype::Float32, &key.split().unwrap().0);
        assert!(draws.is_ok() && random::uniform(0.0, 1.0, &[-1], Dtype::Float32, &key).is_err());
    });
}

#[test]
fn threads_leave_no_handle() {
    let shared = square().to_shared().unwrap();
    ends_where_it_began(300, || {
        let here = square().to_shared().unwrap();
        std::thread::scope(|scope| {
            let left = scope.spawn(|| {
                let before = live::count();
                let sum = (&here.to_array().unwrap() + &shared.to_array().unwrap()).unwrap();
                assert_eq!(sum.to_vec::<f32>().unwrap()[3], 8.0);
                drop(sum);
                live::count() - before
            });
            assert_eq!(left.join().unwrap(), 0);
        });
    });
}
