// SPDX-License-Identifier: EUPL-1.2

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::super::{CpuOp, Input, Output, OutputSpec, Safe};
use super::*;
use crate::ffi::handle;

/// Adds one to float32 elements, wherever they lie; counts its runs.
struct AddOne(Arc<AtomicUsize>);

impl RawOp for AddOne {
    fn name(&self) -> &'static CStr {
        c"add_one"
    }

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        for output in outputs {
            let (input, strides) = (&inputs[0], (inputs[0].strides(), output.strides()));
            let mut index = vec![0i32; output.shape().len()];
            for _ in 0..output.size() {
                let at = |strides: &[i64]| {
                    let at: i64 = strides.iter().zip(&index).map(|(s, &i)| s * i64::from(i)).sum();
                    isize::try_from(at).unwrap()
                };
                // SAFETY: by the contract of `View`.
                unsafe {
                    let value = *input.data().cast::<f32>().offset(at(strides.0));
                    *output.data().cast::<f32>().offset(at(strides.1)) = value + 1.0;
                }
                for (i, &dim) in index.iter_mut().zip(output.shape()).rev() {
                    *i += 1;
                    if *i < dim {
                        break;
                    }
                    *i = 0;
                }
            }
        }
        Ok(())
    }

    fn output_shapes(&self, inputs: &[&Array]) -> Result<Vec<Vec<i32>>> {
        Ok(vec![inputs[0].shape().to_vec()])
    }
}

fn add_one(x: &Array, layout: Layout<'_>) -> Result<Array> {
    let spec = Spec { shape: x.shape(), dtype: x.dtype(), layout };
    apply_raw(AddOne(Arc::default()), &[x], [spec]).map(|[y]| y)
}

#[test]
fn raw_op_computes_from_any_strides_to_the_strides_it_asks_for() {
    let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    let t = x.transpose().unwrap();
    let expected = [2.0, 5.0, 3.0, 6.0, 4.0, 7.0];
    for layout in [Layout::RowMajor, Layout::Zeroed, Layout::Strides(&[1, 3]), Layout::Strides(&[2, 1])] {
        let y = add_one(&t, layout).unwrap();
        assert_eq!(y.to_vec::<f32>().unwrap(), expected, "{layout:?}");
        assert_eq!((&y + &t).unwrap().to_vec::<f32>().unwrap(), [3.0, 9.0, 5.0, 11.0, 7.0, 13.0]);
    }
    for strides in [&[1, 2][..], &[3, 1], &[0, 1], &[1], &[-3, 1]] {
        assert!(add_one(&t, Layout::Strides(strides)).is_err(), "{strides:?}");
    }
}

/// Writes its second input into the part of the first that is its output.
struct Store;

impl RawOp for Store {
    fn name(&self) -> &'static CStr {
        c"store"
    }

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let (new, out) = (&inputs[1], &outputs[0]);
        let (rows, columns) = (out.shape()[0] as usize, out.shape()[1] as usize);
        let stride = usize::try_from(out.strides()[0]).unwrap();
        for row in 0..rows {
            // SAFETY: by the contract of `View`; the last axis is dense in both, and the op owns its output.
            unsafe {
                let from = new.data().cast::<f32>().add(row * columns);
                std::ptr::copy_nonoverlapping(from, out.data().cast::<f32>().add(row * stride), columns);
            }
        }
        Ok(())
    }
}

fn store(buffer: &Array, new: &Array, offset: usize) -> Result<Array> {
    let layout = Layout::Alias { input: 0, offset, strides: &[4, 1] };
    let spec = Spec { shape: new.shape(), dtype: new.dtype(), layout };
    apply_raw(Store, &[buffer, new], [spec]).map(|[out]| out)
}

#[test]
fn alias_is_written_in_place_and_stays_within_its_buffer() {
    let buffer = Array::from_slice(&[0.0f32; 8], &[2, 4]).unwrap();
    let new = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    let part = store(&buffer, &new, 1).unwrap();
    // A view of the buffer with gaps, for itself and for stock ops.
    assert_eq!((&part + 1.0).unwrap().to_vec::<f32>().unwrap(), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(part.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(part.transpose().unwrap().to_vec::<f32>().unwrap(), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(buffer.to_vec::<f32>().unwrap(), [0.0, 1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 0.0]);
    // The view alone keeps the buffer.
    drop(buffer);
    assert_eq!(part.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);

    let buffer = Array::from_slice(&[0.0f32; 8], &[2, 4]).unwrap();
    for offset in [3, usize::MAX / 2] {
        let error = store(&buffer, &new, offset).unwrap().eval().unwrap_err();
        assert!(error.to_string().contains("store: the output does not lie within"), "{error}");
    }
    let error = store(&buffer.transpose().unwrap(), &new, 0).unwrap().eval().unwrap_err();
    assert!(error.to_string().contains("store: the output does not lie within"), "{error}");
    let strides = Layout::Alias { input: 0, offset: 0, strides: &[-1, 1] };
    let spec = Spec { shape: &[2, 2], dtype: Dtype::Float32, layout: strides };
    assert!(apply_raw(Store, &[&buffer, &new], [spec]).is_err());
    let absent = Layout::Alias { input: 2, offset: 0, strides: &[4, 1] };
    let spec = Spec { shape: &[2, 2], dtype: Dtype::Float32, layout: absent };
    assert!(apply_raw(Store, &[&buffer, &new], [spec]).is_err());
    assert_eq!(buffer.to_vec::<f32>().unwrap(), [0.0; 8]);
}

#[test]
fn buffer_of_a_result_is_given_to_the_next_op() {
    let x = Array::from_slice(&[1.0f32; 64], &[64]).unwrap();
    let address = |a: &Array| {
        a.eval().unwrap();
        // SAFETY: op contract, and the array is evaluated.
        unsafe { sys::mlx_array_data_float32(a.as_raw()) as usize }
    };
    struct Tell(Arc<AtomicUsize>);
    impl RawOp for Tell {
        fn name(&self) -> &'static CStr {
            c"tell"
        }
        fn eval(&self, _: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
            self.0.store(outputs[0].data() as usize, Ordering::SeqCst);
            Ok(())
        }
    }
    let told = Arc::new(AtomicUsize::new(0));
    let spec = Spec::new(x.shape(), x.dtype());
    let [y] = apply_raw(Tell(Arc::clone(&told)), &[&x], [spec]).unwrap();
    let z = y.negative().unwrap();
    drop(y);
    assert_eq!(address(&z), told.load(Ordering::SeqCst));
}

#[test]
fn shapes_are_told_to_functions_compiled_for_any_shape() {
    handle! {
        Any(mlx_closure): mlx_closure_new, mlx_closure_free
    }
    let compiled = |layout: fn() -> Layout<'static>| {
        let function =
            crate::closure::Closure::new(move |x| Ok(vec![add_one(&(&x[0] * 2.0)?, layout())?])).unwrap();
        // SAFETY: op contract.
        unsafe { call!(Any = mlx_compile(function.as_raw(), true)) }.unwrap()
    };
    let run = |function: &Any, x: &Array| {
        let inputs = VectorArray::from_arrays([x])?;
        // SAFETY: op contract.
        unsafe { call!(VectorArray = mlx_closure_apply(function.as_raw(), inputs.as_raw())) }?.to_arrays()
    };
    let short = Array::from_slice(&[1.0f32, 2.0], &[2]).unwrap();
    let long = Array::from_slice(&[1.0f32, 2.0, 3.0], &[3]).unwrap();
    let function = compiled(|| Layout::RowMajor);
    for x in [&short, &long] {
        let expected: Vec<f32> = x.to_vec::<f32>().unwrap().iter().map(|x| x * 2.0 + 1.0).collect();
        assert_eq!(run(&function, x).unwrap()[0].to_vec::<f32>().unwrap(), expected);
    }
    let function = compiled(|| Layout::Strides(&[1]));
    let message = run(&function, &short).unwrap_err().to_string();
    assert!(message.contains("add_one has a layout that is fixed"), "{message}");
}

/// Fails wherever it can.
struct Fails(fn() -> Error);

impl RawOp for Fails {
    fn name(&self) -> &'static CStr {
        c"fails"
    }
    fn eval(&self, _: &[View<'_>], _: &mut [View<'_>]) -> Result<()> {
        Err(self.0())
    }
    fn vjp(&self, _: &[Array], _: &[Array], _: &[usize], _: &[Array]) -> Result<Vec<Array>> {
        Err(self.0())
    }
}

fn fails(x: &Array) -> Result<Array> {
    let spec = Spec::new(x.shape(), x.dtype());
    apply_raw(Fails(|| Error::argument("inner", "x", "no")), &[x], [spec]).map(|[y]| y)
}

#[test]
fn ops_leave_no_handle_whether_they_work_or_fail() {
    let _ = crate::device::stream(); // is kept
    let before = ffi::live::count();
    {
        let x = Array::from_slice(&[1.0f32, 2.0], &[2]).unwrap();
        for _ in 0..10 {
            assert!(add_one(&x, Layout::RowMajor).unwrap().eval().is_ok());
            assert!(add_one(&x, Layout::Strides(&[2])).is_err());
            assert!(fails(&x).unwrap().eval().is_err());
            let graph = |x: &[Array]| Ok(vec![fails(&x[0])?.sum_all()?]);
            let error =
                crate::transform::value_and_grad_by(graph, &[0], std::slice::from_ref(&x)).unwrap_err();
            assert!(matches!(error, Error::Argument { op: "inner", .. }), "{error}");
        }
    }
    assert_eq!(ffi::live::count(), before);
}

#[test]
fn failure_while_a_function_is_differentiated_stays_one() {
    let x = Array::from_slice(&[1.0f32, 2.0], &[2]).unwrap();
    let graph = |x: &[Array]| {
        let constant = fails(&Array::scalar(1.0f32)?)?;
        let failed = (&fails(&x[0])? + &constant)?;
        for _ in 0..3 {
            assert!(failed.to_vec::<f32>().is_err());
            assert!((&failed + 1.0)?.eval().is_err());
            assert!(constant.eval().is_err());
        }
        assert_eq!((&x[0] + 1.0)?.to_vec::<f32>()?, [2.0, 3.0]);
        Ok(vec![(&x[0] * &x[0])?.sum_all()?])
    };
    let (_, gradient) = crate::transform::value_and_grad_by(graph, &[0], &[x]).unwrap();
    assert_eq!(gradient[0].to_vec::<f32>().unwrap(), [2.0, 4.0]);
}

#[test]
fn states_of_other_ops_are_never_equivalent() {
    let state = |n| State { kind: TypeId::of::<Safe<Number>>(), op: Safe(Arc::new(Number(n))) };
    struct Number(i32);
    impl CpuOp for Number {
        fn name(&self) -> &'static CStr {
            c"number"
        }
        fn outputs(&self, _: &[&Array]) -> Result<Vec<OutputSpec>> {
            Ok(vec![])
        }
        fn eval(&self, _: &[Input<'_>], _: &mut [Output<'_>]) -> Result<()> {
            Ok(())
        }
        fn is_equivalent(&self, other: &Self) -> bool {
            assert!(self.0 != 3);
            self.0 == other.0
        }
    }
    let same = |a: *const c_void, b: *const c_void| {
        // SAFETY: the first is a state of this kind, the second one of any.
        unsafe { is_equivalent::<Safe<Number>>(a, b) }
    };
    let [one, uno, two, three] = [1, 1, 2, 3].map(state);
    let [one, uno, two, three] = [&one, &uno, &two, &three].map(|s| std::ptr::from_ref(s).cast());
    let other = State { kind: TypeId::of::<AddOne>(), op: AddOne(Arc::default()) };
    assert!(same(one, uno) && !same(one, two));
    assert!(!same(one, std::ptr::from_ref(&other).cast()));
    assert!(!same(three, three)); // a panic is a no
}

/// What an op costs: `cargo nextest run --release -p mlx-core --run-ignored only --no-capture cost_of_an_op`.
#[test]
#[ignore = "a measurement"]
fn cost_of_an_op() {
    use std::time::Instant;
    struct Nothing;
    impl RawOp for Nothing {
        fn name(&self) -> &'static CStr {
            c"nothing"
        }
        fn eval(&self, _: &[View<'_>], _: &mut [View<'_>]) -> Result<()> {
            Ok(())
        }
    }
    let x = Array::from_slice(&[1.0f32; 16], &[1, 1, 16]).unwrap();
    let nothing =
        |x: &Array| apply_raw(Nothing, &[x], [Spec::new(&[1, 1, 16], Dtype::Float32)]).map(|[y]| y).unwrap();
    let measure = |name: &str, op: &dyn Fn(&Array) -> Array| {
        let (mut build, mut run) = (f64::MAX, f64::MAX);
        for _ in 0..200 {
            let start = Instant::now();
            let mut y = op(&x);
            for _ in 1..1000 {
                y = op(&y);
            }
            build = build.min(start.elapsed().as_secs_f64());
            let start = Instant::now();
            y.eval().unwrap();
            run = run.min(start.elapsed().as_secs_f64());
        }
        eprintln!("{name}: {:.0} ns to apply, {:.0} ns to compute", build * 1e6, run * 1e6);
    };
    measure("stock op  ", &|x| x.negative().unwrap());
    measure("op in Rust", &nothing);
}
