// SPDX-License-Identifier: EUPL-1.2
//! Functions that are traced once.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use mlx_core::transform::{clear_compile_cache, compile, compile_shapeless, grad, vmap};
use mlx_core::{Array, Device, Dtype, Error, Result, Stream};

use super::{broken, close, fails_as_told, matrix, scalar, vector};

#[test]
fn compiled_function_runs_once_for_each_shape_and_survives_its_own_failures() {
    let runs = Rc::new(Cell::new(0));
    let (counted, wrong) = (Rc::clone(&runs), Rc::new(Cell::new(0)));
    let how = Rc::clone(&wrong);
    let f = compile(move |x: &[Array]| {
        counted.set(counted.get() + 1);
        match how.get() {
            1 => Err(Error::Index { op: "inner", index: 1, size: 1 }),
            2 => panic!("inside"),
            3 => x[0].item::<f32>().map(|_| vec![]),
            _ => Ok(vec![(&x[0] * 2.0)?, (&x[0] + 1.0)?]),
        }
    });
    let call = |x: &[f32]| {
        let x = Array::from_slice(x, &[i32::try_from(x.len()).unwrap()]).unwrap();
        Ok::<_, Error>(f.call(&[x])?.iter().map(|y| y.to_vec::<f32>().unwrap()).collect::<Vec<_>>())
    };
    // The library would take the graph of a failed call for a finished one without results.
    wrong.set(1);
    for _ in 0..2 {
        assert!(matches!(call(&[1.0]), Err(Error::Index { op: "inner", .. })));
    }
    wrong.set(2);
    assert!(catch_unwind(AssertUnwindSafe(|| call(&[1.0]))).is_err());
    wrong.set(3);
    assert!(call(&[1.0]).is_err());
    assert_eq!(f.graphs(), 0);
    wrong.set(0);
    runs.set(0);
    for x in [1.0, 2.0, 3.0] {
        assert_eq!(call(&[x]).unwrap(), [[x * 2.0], [x + 1.0]]);
    }
    assert_eq!(runs.get(), 1);
    assert_eq!(call(&[1.0, 2.0]).unwrap(), [[2.0, 4.0], [2.0, 3.0]]);
    assert_eq!(runs.get(), 2);
    assert_eq!(f.graphs(), 2);
}

#[test]
fn traces_are_told_apart_by_shape_dtype_structure_and_stream() {
    type Inputs = BTreeMap<String, Array>;
    let runs = Rc::new(Cell::new(0));
    let counted = Rc::clone(&runs);
    let f = compile(move |x: &Inputs| -> Result<BTreeMap<String, Array>> {
        counted.set(counted.get() + 1);
        x.iter().map(|(name, x)| Ok((format!("{name}'"), (x + 1)?))).collect()
    });
    let named = |name: &str, x: &Array| Inputs::from([(name.to_owned(), x.clone())]);
    let x = vector(&[1.0, 2.0]);
    let whole = x.astype(Dtype::Int32).unwrap();
    let square = matrix(&[1.0, 2.0], 1);
    for (input, expected) in [
        (named("a", &x), 1),
        (named("a", &vector(&[5.0, 5.0])), 1),
        (named("b", &x), 2),
        (named("a", &whole), 3),
        (named("a", &square), 4),
        (named("b", &x), 4),
        (Inputs::new(), 5),
    ] {
        let output = f.call(&input).unwrap();
        assert_eq!(
            output.keys().cloned().collect::<Vec<_>>(),
            input.keys().map(|k| format!("{k}'")).collect::<Vec<_>>()
        );
        for (name, x) in &input {
            let y = &output[&format!("{name}'")];
            assert_eq!((y.dtype(), y.shape()), (x.dtype(), x.shape()));
            close(&(y - x).unwrap(), &vec![1.0; x.size()]);
        }
        assert_eq!(runs.get(), expected, "{input:?}");
    }
    let other = Stream::new(&Device::cpu().unwrap()).unwrap();
    other.scope(|| close(&f.call(&named("a", &x)).unwrap()["a'"], &[2.0, 3.0]));
    assert_eq!(runs.get(), 6);
    f.clear();
    assert_eq!(f.graphs(), 0);
    assert!(f.call(&named("a", &x)).is_ok());
    assert_eq!(runs.get(), 7);
    clear_compile_cache().unwrap();
    close(&f.call(&named("a", &x)).unwrap()["a'"], &[2.0, 3.0]);
    assert_eq!(runs.get(), 8);
}

#[test]
fn constants_and_captured_arrays_are_those_of_the_trace() {
    let captured = Rc::new(RefCell::new(vector(&[10.0, 20.0])));
    let inside = Rc::clone(&captured);
    let f = compile(move |x: &Array| {
        (&(x + &*inside.borrow())? * &Array::arange(1.0, 3.0, 1.0, Dtype::Float32)?)?.exp()?.log()
    });
    let x = vector(&[1.0, 2.0]);
    close(&f.call(&x).unwrap(), &[11.0, 44.0]);
    *captured.borrow_mut() = vector(&[0.0, 0.0]);
    close(&f.call(&x).unwrap(), &[11.0, 44.0]);
    f.clear();
    close(&f.call(&x).unwrap(), &[1.0, 4.0]);
    // A result that is an input, a constant, the same array twice, and none at all.
    let f = compile(|x: &Array| Ok((x.clone(), scalar(5.0), x.square()?, x.square()?)));
    let (a, b, c, d) = f.call(&x).unwrap();
    close(&a, &[1.0, 2.0]);
    close(&b, &[5.0]);
    close(&c, &[1.0, 4.0]);
    close(&d, &[1.0, 4.0]);
    let f = compile(|_: &Array| Ok(()));
    for _ in 0..3 {
        f.call(&x).unwrap();
    }
    let f = compile(|(): &()| Ok(scalar(3.0)));
    for _ in 0..2 {
        close(&f.call(&()).unwrap(), &[3.0]);
    }
}

#[test]
fn control_flow_by_shape_is_settled_by_the_trace() {
    let f = compile(
        |x: &Array| if x.shape()[0] > 2 { Ok(vec![x.sum_all()?]) } else { Ok(vec![x.clone(), x.exp()?]) },
    );
    for _ in 0..2 {
        assert_eq!(f.call(&vector(&[1.0, 2.0])).unwrap().len(), 2);
        let long = f.call(&vector(&[1.0, 2.0, 3.0])).unwrap();
        assert_eq!(long.len(), 1);
        close(&long[0], &[6.0]);
    }
}

#[test]
fn state_goes_in_and_out() {
    type State = BTreeMap<String, Array>;
    // A step of gradient descent with momentum.
    let step = compile(|(params, velocity, x): &(State, State, Array)| -> Result<(State, State, Array)> {
        let loss = |p: &State| (&(&p["w"] * x)? - 1.0)?.square()?.mean_all();
        let (value, gradient) = mlx_core::transform::value_and_grad(loss, params)?;
        let velocity: State = velocity
            .iter()
            .map(|(name, v)| Ok((name.clone(), (&(v * 0.5)? + &gradient[name])?)))
            .collect::<Result<_>>()?;
        let params = params
            .iter()
            .map(|(name, p)| Ok((name.clone(), (p - &(&velocity[name] * 0.1)?)?)))
            .collect::<Result<_>>()?;
        Ok((params, velocity, value))
    });
    let mut params = State::from([("w".to_owned(), vector(&[0.0, 0.0]))]);
    let mut velocity = params.clone();
    let x = vector(&[1.0, 2.0]);
    let mut losses = vec![];
    for _ in 0..200 {
        let value;
        (params, velocity, value) = step.call(&(params, velocity, x.clone())).unwrap();
        losses.push(value.item::<f32>().unwrap());
    }
    assert!(losses[0] == 1.0 && losses[199] < 1e-5, "{losses:?}");
    assert_eq!(step.graphs(), 1);
}

#[test]
fn gradients_of_and_in_compiled_functions() {
    let f = compile(|x: &Array| x.square()?.sum_all());
    let x = vector(&[1.0, 2.0]);
    for _ in 0..2 {
        close(&grad(|x: &Array| f.call(x), &x).unwrap(), &[2.0, 4.0]);
        close(&f.call(&x).unwrap(), &[5.0]);
    }
    let df = compile(|x: &Array| grad(|x: &Array| (&x.square()? * x)?.sum_all(), x));
    let ddf = compile(move |x: &Array| grad(|x: &Array| df.call(x)?.sum_all(), x));
    for _ in 0..2 {
        close(&ddf.call(&x).unwrap(), &[6.0, 12.0]);
    }
    let mapped = compile(|x: &Array| {
        let gradient = |x: &[Array]| Ok(vec![grad(|x: &Array| x.exp()?.sum_all(), &x[0])?]);
        Ok(vmap(gradient, std::slice::from_ref(x), 0, 0)?.remove(0))
    });
    close(&mapped.call(&matrix(&[0.0, 0.0], 1)).unwrap(), &[1.0, 1.0]);
}

#[test]
fn compiled_functions_call_each_other_and_themselves() {
    let inner = Rc::new(compile(|x: &Array| x + 1.0));
    let once = Rc::clone(&inner);
    let outer = compile(move |x: &Array| once.call(&once.call(x)?));
    for _ in 0..2 {
        close(&outer.call(&scalar(1.0)).unwrap(), &[3.0]);
        close(&inner.call(&scalar(1.0)).unwrap(), &[2.0]);
    }
    // Shorter each time.
    type Own = mlx_core::transform::Compiled<Array, Array>;
    let own: Rc<RefCell<Option<Rc<Own>>>> = Rc::default();
    let inside = Rc::clone(&own);
    let sum = Rc::new(compile(move |x: &Array| -> Result<Array> {
        let n = x.shape()[0];
        if n == 1 {
            return x.sum_all();
        }
        let own = inside.borrow().clone().unwrap();
        &x.index(0)? + &own.call(&x.index(1..)?)?
    }));
    own.replace(Some(Rc::clone(&sum)));
    for _ in 0..2 {
        close(&sum.call(&vector(&[1.0, 2.0, 3.0])).unwrap(), &[6.0]);
    }
    own.replace(None);
}

#[test]
fn failures_in_compiled_functions_come_back_as_themselves() {
    for how in [0, 1] {
        let f = compile(move |x: &Array| broken(how).map(|()| x.clone()));
        fails_as_told(how, || f.call(&scalar(1.0)));
        fails_as_told(how, || f.call(&scalar(1.0)));
        fails_as_told(how, || grad(|x: &Array| f.call(x), &scalar(1.0)));
        let f = Rc::new(f);
        let outer = compile(move |x: &Array| f.call(x));
        fails_as_told(how, || outer.call(&scalar(1.0)));
    }
}

#[test]
fn function_of_any_shape_keeps_one_graph() {
    let runs = Rc::new(Cell::new(0));
    let counted = Rc::clone(&runs);
    // SAFETY: products, norms and element-wise ops find their shapes anew.
    let f = unsafe {
        compile_shapeless(move |(x, w): &(Array, Array)| {
            counted.set(counted.get() + 1);
            x.matmul(w)?.exp()?.softmax(-1)
        })
    };
    let w = matrix(&[1.0, 0.0, 0.0, 1.0], 2);
    for n in [1, 2, 5] {
        let x = Array::ones(&[n, 2], Dtype::Float32).unwrap();
        let y = f.call(&(x, w.clone())).unwrap();
        assert_eq!(y.shape(), [n, 2]);
        close(&y, &vec![0.5; n as usize * 2]);
    }
    assert_eq!((runs.get(), f.graphs()), (1, 1));
    // Another number of axes is another graph.
    let x = Array::ones(&[2, 2, 2], Dtype::Float32).unwrap();
    assert_eq!(f.call(&(x, w)).unwrap().shape(), [2, 2, 2]);
    assert_eq!(f.graphs(), 2);
    // An op that cannot tell its shape is an error.
    // SAFETY: it is refused.
    let f = unsafe { compile_shapeless(|x: &Array| x.index(1..2)) };
    assert!(f.call(&vector(&[1.0, 2.0, 3.0])).is_err() || f.call(&vector(&[1.0])).is_err());
}
