// SPDX-License-Identifier: EUPL-1.2
//! Ops written in Rust.
#![allow(clippy::cloned_ref_to_slice_refs, reason = "a list of one, as a caller writes it")]

use std::ffi::CStr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mlx_core::custom::{CpuOp, Input, Output, OutputSpec, apply};
use mlx_core::{Array, Device, Dtype, Error, Result, Stream, async_eval, eval, transform};

fn one_float(inputs: &[&Array]) -> Result<Vec<OutputSpec>> {
    match inputs {
        [x] if x.dtype() == Dtype::Float32 => Ok(vec![OutputSpec::new(x.shape(), x.dtype())]),
        _ => Err(Error::Mlx { op: "test", message: format!("expected one float32 array, found {inputs:?}") }),
    }
}

/// `x²`; counts drops and runs.
#[derive(Clone)]
struct Square {
    dropped: Arc<AtomicUsize>,
    run: Arc<AtomicUsize>,
}

impl Square {
    fn new() -> Self {
        Self { dropped: Arc::default(), run: Arc::default() }
    }
}

impl Drop for Square {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl CpuOp for Square {
    fn name(&self) -> &'static CStr {
        c"square_in_rust"
    }
    fn outputs(&self, inputs: &[&Array]) -> Result<Vec<OutputSpec>> {
        one_float(inputs)
    }
    fn eval(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_>]) -> Result<()> {
        self.run.fetch_add(1, Ordering::SeqCst);
        let x = inputs[0].to_vec::<f32>()?;
        for (y, x) in outputs[0].as_mut_slice::<f32>()?.iter_mut().zip(x) {
            *y = x * x;
        }
        Ok(())
    }
    fn vjp(
        &self,
        primals: &[Array],
        cotangents: &[Array],
        argnums: &[usize],
        _: &[Array],
    ) -> Result<Vec<Array>> {
        assert_eq!((argnums, primals.len(), cotangents.len()), (&[0][..], 1, 1));
        Ok(vec![(&cotangents[0] * &(&primals[0] * 2.0)?)?])
    }
    fn is_equivalent(&self, _: &Self) -> bool {
        true
    }
}

fn square(x: &Array) -> Result<Array> {
    Ok(apply(Square::new(), &[x])?.remove(0))
}

/// Identity that goes wrong in the way it is told, after a while.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    Not,
    ErrorInEval,
    PanicInEval,
    ErrorInVjp,
    PanicInVjp,
    TooFewInVjp,
    ShapeInVjp,
}

impl CpuOp for Wrong {
    fn name(&self) -> &'static CStr {
        c"wrong"
    }
    fn outputs(&self, inputs: &[&Array]) -> Result<Vec<OutputSpec>> {
        one_float(inputs)
    }
    fn eval(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_>]) -> Result<()> {
        std::thread::sleep(Duration::from_millis(5));
        match self {
            Self::ErrorInEval => {
                return Err(Error::Mlx { op: "inner", message: "bad luck: 100%s%n".to_owned() });
            }
            Self::PanicInEval => panic!("lost my head"),
            _ => outputs[0].as_mut_slice::<f32>()?.copy_from_slice(&inputs[0].to_vec::<f32>()?),
        }
        Ok(())
    }
    fn vjp(&self, primals: &[Array], cotangents: &[Array], _: &[usize], _: &[Array]) -> Result<Vec<Array>> {
        match self {
            Self::ErrorInVjp => Err(Error::Index { op: "inner", index: 7, size: 3 }),
            Self::PanicInVjp => panic!("lost my gradient"),
            Self::TooFewInVjp => Ok(vec![]),
            Self::ShapeInVjp => Ok(vec![primals[0].reshape(&[-1, 1])?]),
            _ => Ok(cotangents.to_vec()),
        }
    }
}

fn wrong(how: Wrong, x: &Array) -> Result<Array> {
    Ok(apply(how, &[x])?.remove(0))
}

fn values(values: &[f32]) -> Array {
    Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap()
}

#[test]
fn op_in_rust_computes_like_any_other() {
    let x = values(&[1.0, -2.0, 3.0]);
    let y = square(&x).unwrap();
    assert_eq!((y.shape(), y.dtype()), (&[3][..], Dtype::Float32));
    assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, 4.0, 9.0]);
    // Between other ops, and on the result of one of its own.
    let z = square(&(&square(&x.exp().unwrap().log().unwrap()).unwrap_or(x.clone()) + 1.0).unwrap());
    assert!(z.unwrap().to_vec::<f32>().is_ok());
    assert_eq!(square(&square(&values(&[2.0])).unwrap()).unwrap().item::<f32>().unwrap(), 16.0);
}

#[test]
fn op_in_rust_reads_transposed_sliced_reversed_and_broadcast_inputs() {
    let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    let row = values(&[1.0, 2.0]);
    for view in [
        x.transpose().unwrap(),
        x.slice(&[0, 1], &[2, 3]).unwrap(),
        row.broadcast_to(&[3, 2]).unwrap(),
        x.transpose().unwrap().slice(&[1, 0], &[3, 1]).unwrap(),
    ] {
        let expected: Vec<f32> = view.to_vec::<f32>().unwrap().iter().map(|x| x * x).collect();
        let found = square(&view).unwrap();
        assert_eq!(found.to_vec::<f32>().unwrap(), expected, "{view:?}");
        assert_eq!(found.shape(), view.shape());
    }
}

#[test]
fn op_in_rust_takes_empty_and_scalar_arrays() {
    assert_eq!(square(&Array::scalar(3.0f32).unwrap()).unwrap().item::<f32>().unwrap(), 9.0);
    let empty = Array::from_slice::<f32>(&[], &[2, 0]).unwrap();
    let found = square(&empty).unwrap();
    assert_eq!(found.shape(), [2, 0]);
    assert!(found.to_vec::<f32>().unwrap().is_empty());
}

/// Every input in row-major order, then a truth value: whether it lay so.
struct Copies;

impl CpuOp for Copies {
    fn name(&self) -> &'static CStr {
        c"copies"
    }
    fn outputs(&self, inputs: &[&Array]) -> Result<Vec<OutputSpec>> {
        Ok(inputs
            .iter()
            .flat_map(|x| [OutputSpec::new(x.shape(), x.dtype()), OutputSpec::new([], Dtype::Bool)])
            .collect())
    }
    fn eval(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_>]) -> Result<()> {
        fn copy<T: mlx_core::Element>(input: &Input<'_>, outputs: &mut [Output<'_>]) -> Result<()> {
            outputs[0].as_mut_slice::<T>()?.copy_from_slice(&input.to_vec::<T>()?);
            outputs[1].as_mut_slice::<bool>()?[0] = input.as_slice::<T>().is_some();
            Ok(())
        }
        for (input, outputs) in inputs.iter().zip(outputs.chunks_exact_mut(2)) {
            assert!(!format!("{input:?}").is_empty() && input.strides().len() == input.shape().len());
            assert!(input.to_vec::<u64>().is_err() && outputs[0].as_mut_slice::<u64>().is_err());
            assert!(input.as_slice::<u64>().is_none());
            match input.dtype() {
                Dtype::Float32 => copy::<f32>(input, outputs)?,
                Dtype::Bfloat16 => copy::<mlx_core::bf16>(input, outputs)?,
                Dtype::Bool => copy::<bool>(input, outputs)?,
                Dtype::Complex64 => copy::<mlx_core::Complex64>(input, outputs)?,
                Dtype::Int8 => copy::<i8>(input, outputs)?,
                _ => unreachable!(),
            }
        }
        Ok(())
    }
}

#[test]
fn op_in_rust_gives_several_outputs_of_several_dtypes() {
    let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    let inputs = [
        x.clone(),
        x.transpose().unwrap(),
        x.astype(Dtype::Bfloat16).unwrap(),
        Array::from_bytes(&[0, 1, 7], &[3], Dtype::Bool).unwrap(),
        Array::scalar(mlx_core::Complex64 { re: 1.0, im: 2.0 }).unwrap(),
        Array::from_slice(&[-1i8, 5], &[2]).unwrap(),
    ];
    let outputs = apply(Copies, &inputs.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(outputs.len(), 12);
    // The last first, so that siblings are computed with it.
    for (input, outputs) in inputs.iter().zip(outputs.chunks_exact(2)).rev() {
        assert_eq!((outputs[0].shape(), outputs[0].dtype()), (input.shape(), input.dtype()));
        if input.dtype() == Dtype::Bool {
            assert_eq!(outputs[0].to_vec::<bool>().unwrap(), input.to_vec::<bool>().unwrap());
        } else {
            assert!(outputs[0].array_equal(input, true).unwrap().item::<bool>().unwrap(), "{input:?}");
        }
    }
    let in_order: Vec<bool> = outputs.iter().skip(1).step_by(2).map(|x| x.item::<bool>().unwrap()).collect();
    // The transposed one is not, and 7 is no truth value.
    assert_eq!(in_order, [true, false, true, false, true, true]);
}

/// Claims an output of this shape.
struct Claims(Vec<i32>);

impl CpuOp for Claims {
    fn name(&self) -> &'static CStr {
        c"claims"
    }
    fn outputs(&self, _: &[&Array]) -> Result<Vec<OutputSpec>> {
        Ok(if self.0.is_empty() { vec![] } else { vec![OutputSpec::new(self.0.as_slice(), Dtype::Float32)] })
    }
    fn eval(&self, _: &[Input<'_>], _: &mut [Output<'_>]) -> Result<()> {
        Ok(())
    }
}

#[test]
fn apply_refuses_inputs_and_outputs_that_cannot_be() {
    let error = square(&Array::scalar(1i32).unwrap()).unwrap_err();
    assert!(error.to_string().contains("expected one float32"), "{error}");
    for shape in [&[-1][..], &[i32::MAX, i32::MAX, i32::MAX], &[1 << 20, 1 << 20, 1 << 8], &[]] {
        let error = apply(Claims(shape.to_vec()), &[]).unwrap_err();
        assert!(matches!(error, Error::Shape { op: "claims", .. }), "{error}");
    }
    // No input is none too few.
    assert_eq!(apply(Claims(vec![2]), &[]).unwrap()[0].to_vec::<f32>().unwrap(), [0.0, 0.0]);
}

#[test]
fn error_in_an_ops_eval_is_an_error_of_the_read() {
    let x = values(&[1.0, 2.0]);
    let y = wrong(Wrong::ErrorInEval, &x).unwrap();
    let message = y.to_vec::<f32>().unwrap_err().to_string();
    assert!(message.contains("wrong: inner: bad luck: 100%s%n"), "{message}");
    // The stream works on.
    assert_eq!(square(&x).unwrap().to_vec::<f32>().unwrap(), [1.0, 4.0]);
}

#[test]
fn panic_in_an_ops_eval_is_an_error_of_the_read() {
    let x = values(&[1.0, 2.0]);
    let y = wrong(Wrong::PanicInEval, &x).unwrap();
    let message = eval([&y]).unwrap_err().to_string();
    assert!(message.contains("wrong panicked: lost my head"), "{message}");
    assert_eq!(square(&x).unwrap().to_vec::<f32>().unwrap(), [1.0, 4.0]);
}

#[test]
fn failed_op_fails_every_read_of_what_needs_it() {
    let x = values(&[1.0, 2.0]);
    for asynchronous in [false, true] {
        for how in [Wrong::ErrorInEval, Wrong::PanicInEval] {
            let before = (&x + 1.0).unwrap();
            before.eval().unwrap();
            let failed = wrong(how, &before).unwrap();
            let after = (&failed + 1.0).unwrap();
            let last = square(&after).unwrap();
            if asynchronous {
                // Three graphs, all given to the stream before the first fails.
                for array in [&failed, &after, &last] {
                    async_eval([array]).unwrap();
                }
            }
            let told = last.to_vec::<f32>().unwrap_err().to_string();
            assert!(told.contains("wrong"), "{told}");
            for array in [&last, &after, &failed, &last] {
                for _ in 0..2 {
                    let message = array.to_vec::<f32>().unwrap_err().to_string();
                    assert!(message.contains("failed before: wrong"), "{message}");
                    assert!(
                        array.is_available().is_err() && array.eval().is_err() && array.to_shared().is_err()
                    );
                }
                // Nor does a new graph get past it.
                let new = (&square(array).unwrap() + array).unwrap();
                assert!(
                    eval([&new, &x]).is_err() && async_eval([&new]).is_err() && new.item::<f32>().is_err()
                );
            }
            // What was computed before is whole, and the stream works on.
            assert_eq!(before.to_vec::<f32>().unwrap(), [2.0, 3.0]);
            assert_eq!(square(&before).unwrap().to_vec::<f32>().unwrap(), [4.0, 9.0]);
            Stream::current().unwrap().synchronize().unwrap();
        }
    }
}

#[test]
fn failure_is_told_by_whatever_waits_first() {
    let x = values(&[1.0, 2.0]);
    let start = || {
        let failed = wrong(Wrong::ErrorInEval, &x).unwrap();
        async_eval([&failed]).unwrap();
        failed
    };
    let failed = start();
    assert!(Stream::current().unwrap().synchronize().is_err());
    assert!(failed.to_vec::<f32>().is_err());

    let failed = start();
    while failed.is_available().is_ok_and(|done| !done) {}
    assert!(failed.to_vec::<f32>().is_err());

    // An array that has nothing to do with it, because the stream does things in order.
    let failed = start();
    let other = (&x + 1.0).unwrap();
    assert!(other.eval().is_err());
    assert!(failed.to_vec::<f32>().is_err());
    assert_eq!((&x + 1.0).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0]);

    // Another stream that waits for this one.
    let stream = Stream::new(&Device::cpu().unwrap()).unwrap();
    let failed = wrong(Wrong::ErrorInEval, &x).unwrap();
    let there = stream.scope(|| failed.exp()).unwrap();
    assert!(there.to_vec::<f32>().is_err());
    for _ in 0..2 {
        assert!(failed.to_vec::<f32>().is_err() && there.to_vec::<f32>().is_err());
    }
    assert_eq!(stream.scope(|| x.negative()).unwrap().to_vec::<f32>().unwrap(), [-1.0, -2.0]);
}

#[test]
fn error_that_no_stream_made_spoils_only_what_nobody_has_waited_for() {
    let x = values(&[1.0, 2.0]);
    let known = wrong(Wrong::Not, &x).unwrap();
    known.eval().unwrap();
    let y = wrong(Wrong::Not, &x).unwrap();
    async_eval([&y]).unwrap();
    let foreign = std::thread::spawn(|| {
        // The graph of another thread fails here at once.
        struct Carried(Array);
        // SAFETY: a test of what happens when somebody breaks the rule; the other thread is gone by then.
        unsafe impl Send for Carried {}
        // Only a stream that could not be lent any more is this thread's alone.
        let streams: Vec<_> = (0..1100).map(|_| Stream::new(&Device::cpu().unwrap()).unwrap()).collect();
        let one = Array::scalar(1.0f32).unwrap();
        Carried(streams[1099].scope(|| &one + &one).unwrap())
    })
    .join()
    .unwrap();
    assert!(foreign.0.eval().is_err());
    // For all that can be known, it was this that failed.
    assert!(y.to_vec::<f32>().is_err());
    assert_eq!(known.to_vec::<f32>().unwrap(), [1.0, 2.0]);
    assert_eq!(wrong(Wrong::Not, &known).unwrap().to_vec::<f32>().unwrap(), [1.0, 2.0]);
}

#[test]
fn vjp_in_rust_agrees_with_finite_differences() {
    let x = [0.5f32, -1.5, 2.0];
    let loss = |x: &[Array]| Ok(vec![square(&(&square(&x[0])? + &x[0])?)?.sum_all()?]);
    let (_, gradient) = transform::value_and_grad_by(loss, &[0], &[values(&x)]).unwrap();
    let gradient = gradient[0].to_vec::<f32>().unwrap();
    let at = |x: &[f32]| loss(&[values(x)]).unwrap()[0].item::<f32>().unwrap();
    for (i, found) in gradient.iter().enumerate() {
        let (mut more, mut less) = (x, x);
        more[i] += 1e-2;
        less[i] -= 1e-2;
        let expected = (at(&more) - at(&less)) / 2e-2;
        assert!((found - expected).abs() < 1e-2 * expected.abs().max(1.0), "{found} {expected}");
    }
}

#[test]
fn error_and_panic_in_an_ops_vjp_come_back_as_themselves() {
    let gradient = |how: Wrong| {
        let f = move |x: &[Array]| Ok(vec![wrong(how, &x[0])?.sum_all()?]);
        transform::value_and_grad_by(f, &[0], &[values(&[1.0, 2.0])])
    };
    assert_eq!(gradient(Wrong::Not).unwrap().1[0].to_vec::<f32>().unwrap(), [1.0, 1.0]);
    let error = gradient(Wrong::ErrorInVjp).unwrap_err();
    assert!(matches!(error, Error::Index { op: "inner", index: 7, size: 3 }), "{error}");
    let panic = catch_unwind(AssertUnwindSafe(|| gradient(Wrong::PanicInVjp))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"lost my gradient"));
    for how in [Wrong::TooFewInVjp, Wrong::ShapeInVjp] {
        let message = gradient(how).unwrap_err().to_string();
        assert!(message.contains("wrong: the vjp gave"), "{message}");
    }
    // The thread differentiates on.
    assert!(gradient(Wrong::Not).is_ok());
}

#[test]
fn op_without_a_derivative_says_so() {
    let f = |_: &[Array]| Ok(vec![apply(Claims(vec![1]), &[&values(&[1.0])])?[0].sum_all()?]);
    assert!(transform::value_and_grad_by(f, &[0], &[values(&[1.0])]).is_ok()); // a constant has the gradient 0
    let f = |x: &[Array]| Ok(vec![apply(Claims(vec![1]), &[&x[0]])?[0].sum_all()?]);
    let error = transform::value_and_grad_by(f, &[0], &[values(&[1.0])]).unwrap_err();
    assert_eq!(error.to_string(), "claims: has no vjp");
    let f = |x: &[Array]| apply(Claims(vec![1]), &[&x[0]]);
    let error = transform::jvp(f, &[values(&[1.0])], &[values(&[1.0])]).unwrap_err();
    assert_eq!(error.to_string(), "claims: has no jvp");
}

#[test]
fn jvp_is_found_from_the_vjp() {
    let f = |x: &[Array]| Ok(vec![square(&(&square(&x[0])? + &x[1])?)?]);
    let (x, y) = (values(&[1.0, 2.0]), values(&[3.0, 4.0]));
    let (value, pushed) = transform::jvp(f, &[x, y], &[values(&[1.0, 1.0]), values(&[0.0, 10.0])]).unwrap();
    assert_eq!(value[0].to_vec::<f32>().unwrap(), [16.0, 64.0]);
    // 2 (x² + y) (2 x dx + dy)
    assert_eq!(pushed[0].to_vec::<f32>().unwrap(), [16.0, 224.0]);
    // And of a gradient: the second derivative of x⁴.
    let gradient = |x: &[Array]| {
        let quartic = |x: &Array| square(&square(x)?)?.sum_all();
        Ok(vec![transform::grad(quartic, &x[0])?])
    };
    let (_, second) = transform::jvp(gradient, &[values(&[1.0, 2.0])], &[values(&[1.0, 1.0])]).unwrap();
    assert_eq!(second[0].to_vec::<f32>().unwrap(), [12.0, 48.0]);
}

/// `[a · b, a]` for one row and one number, which says itself how it is pushed forward and mapped.
struct Scale {
    mapped: Arc<AtomicUsize>,
    how: u8,
}

impl CpuOp for Scale {
    fn name(&self) -> &'static CStr {
        c"scale"
    }
    fn outputs(&self, inputs: &[&Array]) -> Result<Vec<OutputSpec>> {
        match inputs {
            [a, b] if b.ndim() == 0 => {
                Ok(vec![OutputSpec::new(a.shape(), a.dtype()), OutputSpec::new(a.shape(), a.dtype())])
            }
            _ => Err(Error::Shape { op: "scale", message: "expected an array and a number".to_owned() }),
        }
    }
    fn eval(&self, inputs: &[Input<'_>], outputs: &mut [Output<'_>]) -> Result<()> {
        let (a, b) = (inputs[0].to_vec::<f32>()?, inputs[1].to_vec::<f32>()?[0]);
        for (y, a) in outputs[0].as_mut_slice::<f32>()?.iter_mut().zip(&a) {
            *y = a * b;
        }
        outputs[1].as_mut_slice::<f32>()?.copy_from_slice(&a);
        Ok(())
    }
    fn jvp(
        &self,
        primals: &[Array],
        tangents: &[Array],
        argnums: &[usize],
        outputs: &[Array],
    ) -> Result<Vec<Array>> {
        assert_eq!((argnums, tangents.len(), outputs.len()), (&[0][..], 1, 2));
        match self.how {
            1 => return Ok(vec![]),
            7 => return Err(Error::Index { op: "inner", index: 7, size: 3 }),
            8 => panic!("lost my tangent"),
            _ => {}
        }
        Ok(vec![(&tangents[0] * &primals[1])?, tangents[0].clone()])
    }
    fn vmap(&self, inputs: &[Array], axes: &[Option<usize>]) -> Result<Option<(Vec<Array>, usize)>> {
        self.mapped.fetch_add(1, Ordering::SeqCst);
        match (self.how, axes) {
            (2, _) => Err(Error::Index { op: "inner", index: 7, size: 3 }),
            (3, _) => panic!("lost my axis"),
            (4, _) => Ok(Some((vec![inputs[0].clone()], 0))),
            (5, _) => Ok(Some((vec![inputs[0].clone(), inputs[0].clone()], 7))),
            (6, _) => Ok(Some((vec![inputs[0].transpose()?, inputs[0].clone()], 0))),
            (_, &[Some(axis), None]) => Ok(Some((vec![(&inputs[0] * &inputs[1])?, inputs[0].clone()], axis))),
            _ => Ok(None),
        }
    }
}

#[test]
fn own_jvp_and_vmap_are_used_and_checked() {
    let mapped = Arc::new(AtomicUsize::new(0));
    let scale = |how: u8| {
        let mapped = Arc::clone(&mapped);
        move |x: &[Array]| apply(Scale { mapped: Arc::clone(&mapped), how }, &[&x[0], &x[1]])
    };
    let two = Array::scalar(2.0f32).unwrap();
    let by = two.clone();
    let of_first = move |x: &[Array]| scale(0)(&[x[0].clone(), by.clone()]);
    let (_, pushed) = transform::jvp(of_first, &[values(&[1.0, 2.0])], &[values(&[1.0, 10.0])]).unwrap();
    assert_eq!(pushed[0].to_vec::<f32>().unwrap(), [2.0, 20.0]);
    assert_eq!(pushed[1].to_vec::<f32>().unwrap(), [1.0, 10.0]);
    let push = |how: u8| {
        let of_first = |x: &[Array]| scale(how)(&[x[0].clone(), two.clone()]);
        transform::jvp(of_first, &[values(&[1.0])], &[values(&[1.0])])
    };
    assert!(push(1).unwrap_err().to_string().contains("scale"));
    assert!(matches!(push(7), Err(Error::Index { op: "inner", index: 7, .. })));
    let panic = catch_unwind(AssertUnwindSafe(|| push(8))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"lost my tangent"));
    assert!(push(0).is_ok());

    let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    // Its own way, along either axis, then one after the other.
    for (axis, columns) in [(0, [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]), (1, [2.0, 4.0, 6.0, 8.0, 10.0, 12.0])] {
        let inputs = [x.clone(), two.clone()];
        let y = transform::vmap(scale(0), &inputs, [Some(axis), None], axis).unwrap();
        assert_eq!(y[0].to_vec::<f32>().unwrap(), columns);
    }
    assert_eq!(mapped.load(Ordering::SeqCst), 2);
    let y = transform::vmap(scale(0), &[x.clone(), values(&[10.0, 100.0])], 0, 0).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [10.0, 20.0, 30.0, 400.0, 500.0, 600.0]);
    let y = transform::vmap(scale(0), &[x.clone(), values(&[1.0, 2.0])], [None, Some(0)], 0).unwrap();
    assert_eq!((y[0].shape(), y[1].shape()), (&[2, 2, 3][..], &[2, 2, 3][..]));

    let inputs = [x.clone(), two];
    let run = |how: u8| transform::vmap(scale(how), &inputs, [Some(0), None], 0);
    assert!(matches!(run(2), Err(Error::Index { op: "inner", index: 7, .. })));
    let panic = catch_unwind(AssertUnwindSafe(|| run(3))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"lost my axis"));
    for how in [4, 5, 6] {
        let message = run(how).unwrap_err().to_string();
        assert!(message.contains("scale: the vmap gave"), "{message}");
    }
    assert!(run(0).is_ok());
}

#[test]
fn op_without_a_vmap_is_applied_to_one_example_after_the_other() {
    let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    let op = Square::new();
    let run = Arc::clone(&op.run);
    let f = |x: &[Array]| apply(op.clone(), &[&x[0]]);
    for (axis, runs) in [(0, 2), (1, 3), (-1, 3)] {
        run.store(0, Ordering::SeqCst);
        let y = transform::vmap(f, &[x.clone()], axis, axis).unwrap();
        assert_eq!(y[0].to_vec::<f32>().unwrap(), [1.0, 4.0, 9.0, 16.0, 25.0, 36.0]);
        assert_eq!(run.load(Ordering::SeqCst), runs);
    }
    // None at all, a view, a gradient, and twice.
    let empty = Array::from_slice::<f32>(&[], &[0, 3]).unwrap();
    let y = transform::vmap(f, &[empty], 0, 0).unwrap();
    assert_eq!(y[0].shape(), [0, 3]);
    let y = transform::vmap(f, &[x.transpose().unwrap()], 0, 0).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [1.0, 16.0, 4.0, 25.0, 9.0, 36.0]);
    let slope = |x: &[Array]| Ok(vec![transform::grad(|x: &Array| square(x)?.sum_all(), &x[0])?]);
    let y = transform::vmap(slope, &[x.clone()], 0, 0).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    let total = |x: &Array| transform::vmap(f, &[x.clone()], 1, 0)?[0].sum_all();
    let gradient = transform::grad(total, &x).unwrap();
    assert_eq!(gradient.to_vec::<f32>().unwrap(), [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
    let y = transform::vmap(|x| transform::vmap(f, x, 0, 0), &[x.clone()], 0, 0).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [1.0, 4.0, 9.0, 16.0, 25.0, 36.0]);
    // In a compiled function.
    let compiled = transform::compile(|x: &Array| {
        Ok(transform::vmap(|x| Ok(vec![square(&x[0])?]), &[x.clone()], 0, 0)?.remove(0))
    });
    for _ in 0..2 {
        assert_eq!(compiled.call(&x).unwrap().to_vec::<f32>().unwrap(), [1.0, 4.0, 9.0, 16.0, 25.0, 36.0]);
    }
    // What it refuses for an example, and what fails in one.
    let whole = Array::from_slice(&[1i32, 2], &[2]).unwrap();
    assert!(transform::vmap(f, &[whole], 0, 0).unwrap_err().to_string().contains("expected one float32"));
    let bad = transform::vmap(|x| Ok(vec![wrong(Wrong::PanicInEval, &x[0])?]), &[x], 0, 0).unwrap();
    assert!(bad[0].to_vec::<f32>().unwrap_err().to_string().contains("wrong panicked"));
}

#[test]
fn two_panics_at_once_are_told_and_leave_nothing_behind() {
    let x = values(&[1.0, 2.0]);
    let streams = [Stream::current().unwrap(), Stream::new(&Device::cpu().unwrap()).unwrap()];
    for asynchronous in [false, true] {
        for other in [Wrong::PanicInEval, Wrong::ErrorInEval] {
            let both = [
                streams[0].scope(|| wrong(Wrong::PanicInEval, &x)).unwrap(),
                streams[1].scope(|| wrong(other, &x)).unwrap(),
            ];
            if asynchronous {
                async_eval(&both).unwrap();
            } else {
                assert!(eval(&both).unwrap_err().to_string().contains("wrong"));
            }
            for array in [&both[0], &both[1], &both[0]] {
                assert!(array.to_vec::<f32>().unwrap_err().to_string().contains("wrong"));
            }
            // Both streams, and both ways to evaluate, have nothing more to say.
            for stream in &streams {
                stream.synchronize().unwrap();
                let y = stream.scope(|| square(&x)).unwrap();
                async_eval([&y]).unwrap();
                assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, 4.0]);
                assert_eq!(stream.scope(|| &x + 1.0).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0]);
            }
        }
    }
    // Two in one graph on one stream.
    let both = (&wrong(Wrong::PanicInEval, &x).unwrap() + &wrong(Wrong::PanicInEval, &x).unwrap()).unwrap();
    for _ in 0..2 {
        assert!(both.eval().unwrap_err().to_string().contains("lost my head"));
    }
    assert_eq!(square(&x).unwrap().to_vec::<f32>().unwrap(), [1.0, 4.0]);
    Stream::current().unwrap().synchronize().unwrap();
}

#[test]
fn op_in_rust_works_in_a_compiled_function() {
    let op = Square::new();
    let run = Arc::clone(&op.run);
    let f = transform::compile(move |x: &[Array]| {
        let (a, b) = (apply(op.clone(), &[&x[0]])?.remove(0), apply(op.clone(), &[&x[0]])?.remove(0));
        Ok(vec![(&(&a + &b)? * 0.5)?])
    });
    for n in 1..4u16 {
        let x = f32::from(n);
        assert_eq!(f.call(&[values(&[x, -x])]).unwrap()[0].to_vec::<f32>().unwrap(), [x * x, x * x]);
        // Equivalent ops are one.
        assert_eq!(run.load(Ordering::SeqCst), usize::from(n));
    }
    assert_eq!(f.call(&[values(&[3.0])]).unwrap()[0].item::<f32>().unwrap(), 9.0);
    // A failure in it is one of each call.
    let f = transform::compile(|x: &[Array]| Ok(vec![(&wrong(Wrong::ErrorInEval, &x[0])? + 1.0)?]));
    for _ in 0..2 {
        assert!(f.call(&[values(&[1.0])]).unwrap()[0].to_vec::<f32>().is_err());
    }
    // And it has a gradient.
    let f = transform::compile(|x: &[Array]| Ok(vec![square(&x[0])?.sum_all()?]));
    let (_, gradient) = transform::value_and_grad_by(move |x| f.call(x), &[0], &[values(&[3.0])]).unwrap();
    assert_eq!(gradient[0].to_vec::<f32>().unwrap(), [6.0]);
}

#[test]
fn op_is_dropped_exactly_once() {
    let op = Square::new();
    let dropped = Arc::clone(&op.dropped);
    let x = values(&[1.0]);
    // Computed, dropped while it is computed, never computed, refused.
    let y = apply(op.clone(), &[&x]).unwrap().remove(0);
    y.eval().unwrap();
    let z = apply(op.clone(), &[&x]).unwrap().remove(0);
    async_eval([&z]).unwrap();
    drop((y, z));
    drop(apply(op.clone(), &[&x]).unwrap());
    assert!(apply(op.clone(), &[]).is_err());
    Stream::current().unwrap().synchronize().unwrap();
    assert_eq!((dropped.load(Ordering::SeqCst), Arc::strong_count(&dropped)), (4, 2));
}

#[test]
fn result_may_be_dropped_while_it_is_computed() {
    let x = Array::from_slice(&vec![1.0f32; 1 << 16], &[1 << 16]).unwrap();
    for _ in 0..10 {
        let y = wrong(Wrong::Not, &(&x + 1.0).unwrap()).unwrap();
        async_eval([&y]).unwrap();
        drop(y);
        // Would be given the buffer if it were free.
        let z = Array::from_slice(&vec![5.0f32; 1 << 16], &[1 << 16]).unwrap();
        Stream::current().unwrap().synchronize().unwrap();
        assert!(z.to_vec::<f32>().unwrap().iter().all(|&z| z == 5.0));
    }
}

#[test]
fn ops_of_eight_threads_run_side_by_side() {
    let workers: Vec<_> = (0..8u8)
        .map(|n| {
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let x = values(&[f32::from(n), 1.0]);
                    let y = square(&(&square(&x).unwrap() + 1.0).unwrap()).unwrap();
                    let n = f32::from(n);
                    assert_eq!(y.to_vec::<f32>().unwrap(), [(n * n + 1.0) * (n * n + 1.0), 4.0]);
                    let bad = wrong(Wrong::ErrorInEval, &y).unwrap();
                    assert!(bad.to_vec::<f32>().is_err() && bad.to_vec::<f32>().is_err());
                }
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}

#[test]
fn op_outlives_the_thread_that_applied_it() {
    let op = Square::new();
    let (dropped, run) = (Arc::clone(&op.dropped), Arc::clone(&op.run));
    std::thread::spawn(move || {
        let y = apply(op, &[&values(&[3.0])]).unwrap().remove(0);
        async_eval([&y]).unwrap();
        // The thread ends with the work in flight, and its arrays and its stream go with it.
    })
    .join()
    .unwrap();
    for _ in 0..1000 {
        if dropped.load(Ordering::SeqCst) == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((run.load(Ordering::SeqCst), dropped.load(Ordering::SeqCst)), (1, 1));
}
