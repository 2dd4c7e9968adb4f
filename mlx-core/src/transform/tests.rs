// SPDX-License-Identifier: EUPL-1.2
//! What transformations leave behind: nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::ffi::live;
use crate::{Array, Error, Result};

/// Bytes of this process that are in memory.
fn resident() -> usize {
    // The address sanitizer keeps freed memory, and tells leaks by itself.
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        return 0;
    }
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

/// Runs `body` often, and holds handles and memory against what they were.
fn leaves_nothing(rounds: usize, mut body: impl FnMut()) {
    let _ = crate::device::stream(); // is kept
    for _ in 0..rounds / 10 {
        body();
    }
    // Other tests run beside this one and take memory too, so a leak is what shows each time.
    let mut least = usize::MAX;
    for _ in 0..3 {
        let (handles, memory) = (live::count(), resident());
        for _ in 0..rounds {
            body();
        }
        assert_eq!(live::count(), handles);
        least = least.min(resident().saturating_sub(memory));
        if least < rounds * 100 + (1 << 20) {
            return;
        }
    }
    panic!("{least} bytes grew in {rounds} rounds");
}

fn x() -> Array {
    Array::from_slice(&[1.0f32; 256], &[2, 128]).unwrap()
}

fn refused() -> Error {
    Error::argument("test", "x", "refused")
}

#[test]
fn gradients_leave_nothing() {
    let at = (x(), vec![x()]);
    leaves_nothing(10_000, || {
        let gradient = grad(|(x, y): &(Array, Vec<Array>)| (x * &y[0])?.sum_all(), &at).unwrap();
        assert_eq!(gradient.1.len(), 1);
        gradient.0.eval().unwrap();
    });
}

#[test]
fn mapped_functions_leave_nothing() {
    let x = [x()];
    leaves_nothing(10_000, || {
        let y = vmap(|x| Ok(vec![x[0].square()?.sum_all()?]), &x, 0, 0).unwrap();
        y[0].eval().unwrap();
    });
}

#[test]
fn compiled_functions_take_their_graphs_with_them() {
    let x = x();
    // Kept: one graph. Made anew: one each, with an array that it captures.
    let kept = compile(|x: &Array| x.reshape(&[-1])?.square());
    leaves_nothing(10_000, || kept.call(&x).unwrap().eval().unwrap());
    leaves_nothing(2_000, || {
        let captured = Array::ones(&[128], crate::Dtype::Float32).unwrap();
        let f = compile(move |x: &Array| (x + &captured)?.reshape(&[-1]));
        assert_eq!(f.call(&x).unwrap().size(), 256);
    });
    let carried = std::rc::Rc::new(());
    let inside = carried.clone();
    let f = compile(move |x: &Array| {
        let _ = &inside;
        x.square()
    });
    f.call(&x).unwrap().eval().unwrap();
    drop(f);
    assert_eq!(std::rc::Rc::strong_count(&carried), 1);
}

#[test]
fn functions_with_own_derivatives_leave_nothing() {
    let x = x();
    let carried = std::rc::Rc::new(());
    let [a, b] = [carried.clone(), carried.clone()];
    let f = CustomFunction::new(move |x| {
        let _ = &a;
        Ok(vec![x[0].square()?])
    })
    .with_vjp(move |_, cotangents, _| {
        let _ = &b;
        Ok(cotangents.to_vec())
    });
    leaves_nothing(5_000, || {
        let g = grad(|x: &Array| f.call(std::slice::from_ref(x))?[0].sum_all(), &x).unwrap();
        g.eval().unwrap();
        let again = grad(|x: &Array| checkpoint(|x: &Array| x.square()?.sum_all(), x), &x).unwrap();
        again.eval().unwrap();
        vmap(|x| f.call(x), std::slice::from_ref(&x), 0, 0).unwrap()[0].eval().unwrap();
    });
    drop(f);
    assert_eq!(std::rc::Rc::strong_count(&carried), 1);
}

#[test]
fn failures_leave_nothing() {
    let x = x();
    let list = [x.clone()];
    let broken = |_: &[Array]| -> Result<Vec<Array>> { Err(refused()) };
    let f = CustomFunction::new(|x| Ok(x.to_vec())).with_vjp(|_, _, _| Err(refused()));
    let compiled = compile(|_: &Array| -> Result<Array> { Err(refused()) });
    leaves_nothing(10_000, || {
        for error in [
            grad(|_: &Array| -> Result<Array> { Err(refused()) }, &x).unwrap_err(),
            vjp(broken, &list, &list).unwrap_err(),
            jvp(broken, &list, &list).unwrap_err(),
            vmap(broken, &list, 0, 0).unwrap_err(),
            compiled.call(&x).unwrap_err(),
            checkpoint(|_: &Array| -> Result<Array> { Err(refused()) }, &x).unwrap_err(),
            vjp(|x| f.call(x), &list, &list).unwrap_err(),
        ] {
            assert!(matches!(error, Error::Argument { op: "test", .. }), "{error}");
        }
    });
    // A panic costs more, above all its text.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    leaves_nothing(1_000, || {
        assert!(
            catch_unwind(AssertUnwindSafe(|| grad(|_: &Array| -> Result<Array> { panic!() }, &x))).is_err()
        );
        assert!(catch_unwind(AssertUnwindSafe(|| vmap(|_| panic!(), &list, 0, 0))).is_err());
    });
    std::panic::set_hook(hook);
}

#[test]
fn files_and_texts_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.mlxfn");
    let list = [x()];
    leaves_nothing(300, || {
        export_function(&path, |x| Ok(vec![x[0].square()?]), &list, false).unwrap();
        // SAFETY: written in the line above.
        let f = unsafe { import_function(&path) }.unwrap();
        f.call(&list).unwrap()[0].eval().unwrap();
        let y = list[0].square().unwrap();
        let mut names = NodeNames::new();
        names.set(&y, "y").unwrap();
        assert!(print_graph([&y], &names).unwrap().contains('y'));
    });
}
