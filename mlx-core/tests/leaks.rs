// SPDX-License-Identifier: EUPL-1.2
//! Memory of the process that stays where it is, however long one goes on. The handles are counted in the crate itself.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;

use mlx_core::custom::{CpuOp, Input, Output, OutputSpec, apply};
use mlx_core::{Array, Dtype, Result, concatenate, eval, io, transform};

use super::alone::leaves_less_than;

const MB: usize = 1 << 20;

#[test]
fn a_million_ops_leave_nothing() {
    // 20,000 rounds of 60 ops: ten bytes an op would be 12 MB.
    leaves_less_than("leaks::a_million_ops_leave_nothing", 8 * MB, 20_000, || {
        let mut x = Array::from_slice(&[0.5f32; 16], &[4, 4]).unwrap();
        let row = Array::from_slice(&[0.25f32; 4], &[4]).unwrap();
        for _ in 0..6 {
            let y = (&x * &row).unwrap().matmul(&x).unwrap();
            let y = y.reshape(&[2, 8]).unwrap().transpose().unwrap().reshape(&[4, 4]).unwrap();
            let y = y.slice(&[0, 0], &[2, 4]).unwrap();
            let y = concatenate(&[&y, &y], 0).unwrap();
            x = (&y.softmax(-1).unwrap() + 0.5).unwrap().exp().unwrap();
        }
        x.eval().unwrap();
    });
}

#[test]
fn graphs_that_are_never_computed_leave_nothing() {
    leaves_less_than("leaks::graphs_that_are_never_computed_leave_nothing", 8 * MB, 20_000, || {
        let mut x = Array::from_slice(&[0.5f32; 16], &[4, 4]).unwrap();
        for _ in 0..50 {
            x = (&x + &x).unwrap();
        }
    });
}

#[test]
fn errors_leave_nothing() {
    let a = Array::from_slice(&[0.5f32; 6], &[2, 3]).unwrap();
    leaves_less_than("leaks::errors_leave_nothing", 4 * MB, 50_000, || {
        assert!(a.matmul(&a).is_err());
        assert!(a.reshape(&[5]).is_err());
        assert!(concatenate(&[&a, &a], 7).is_err());
        assert!(a.sum(9, false).is_err());
        assert!(a.index((1, 9)).is_err());
        assert!(a.item::<f32>().is_err());
    });
}

struct Fails;

impl CpuOp for Fails {
    fn name(&self) -> &'static std::ffi::CStr {
        c"fails"
    }
    fn outputs(&self, inputs: &[&Array]) -> Result<Vec<OutputSpec>> {
        Ok(inputs.iter().map(|x| OutputSpec::new(x.shape(), x.dtype())).collect())
    }
    fn eval(&self, inputs: &[Input<'_>], _: &mut [Output<'_>]) -> Result<()> {
        Err(mlx_core::Error::Mlx { op: "fails", message: format!("{} inputs, on purpose", inputs.len()) })
    }
}

#[test]
fn failed_evaluations_leave_nothing() {
    leaves_less_than("leaks::failed_evaluations_leave_nothing", 4 * MB, 5_000, || {
        let a = Array::from_slice(&[0.5f32; 64], &[64]).unwrap();
        let out = apply(Fails, &[&(&a + &a).unwrap()]).unwrap();
        assert!(out[0].eval().is_err());
        assert!(out[0].to_vec::<f32>().is_err());
    });
}

#[test]
fn transforms_leave_nothing() {
    leaves_less_than("leaks::transforms_leave_nothing", 8 * MB, 5_000, || {
        let x = Array::from_slice(&[0.5f32; 4], &[4]).unwrap();
        let loss = |x: &[Array]| Ok(vec![x[0].square()?.sum_all()?]);
        let (value, gradient) = transform::value_and_grad_by(loss, &[0], std::slice::from_ref(&x)).unwrap();
        eval(value.iter().chain(&gradient)).unwrap();
        let compiled = transform::compile(|x: &[Array]| Ok(vec![(&x[0].exp()? * &x[0])?]));
        eval(&compiled.call(std::slice::from_ref(&x)).unwrap()).unwrap();
        let fails = |_: &[Array]| Err(mlx_core::Error::Mlx { op: "test", message: "refused".to_owned() });
        assert!(transform::value_and_grad_by(fails, &[0], &[x]).is_err());
    });
}

#[test]
fn files_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = std::cell::Cell::new(None);
    leaves_less_than("leaks::files_leave_nothing", 8 * MB, 1_000, || {
        let a = Array::from_slice(&[0.5f32; 1024], &[32, 32]).unwrap();
        io::save_safetensors(&path, [("a", &a), ("b", &a)], &BTreeMap::new()).unwrap();
        let tensors = io::load_safetensors(&path).unwrap().tensors;
        assert_eq!(tensors["b"].sum_all().unwrap().item::<f32>().unwrap(), 512.0);
        std::fs::write(folder.path().join("bad"), [9u8; 64]).unwrap();
        assert!(io::load_safetensors(folder.path().join("bad")).is_err());
        drop(tensors);
        // Files are closed, or there would be one more each time.
        let known = before.get().unwrap_or_else(open);
        before.set(Some(known));
        assert!(open() <= known + 4, "{} files are open", open());
    });
}

#[test]
fn shared_arrays_leave_nothing() {
    leaves_less_than("leaks::shared_arrays_leave_nothing", 16 * MB, 2_000, || {
        let shared = Array::full(&[64, 64], 2.0, Dtype::Float32).unwrap().to_shared().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let a = shared.to_array().unwrap();
                assert_eq!(a.matmul(&a).unwrap().index((0, 0)).unwrap().item::<f32>().unwrap(), 256.0);
            });
        });
    });
}
