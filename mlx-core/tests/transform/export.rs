// SPDX-License-Identifier: EUPL-1.2
//! Functions in files, and graphs as text.

use std::collections::BTreeMap;
use std::fs;

use mlx_core::transform::{
    Exporter, NodeNames, export_function, export_function_named, export_to_dot, import_function, print_graph,
};
use mlx_core::{Array, Dtype, Error, Result, custom, fast};

use super::{broken, close, fails_as_told, matrix, scalar, vector};

fn model(x: &[Array]) -> Result<Vec<Array>> {
    let w = matrix(&[1.0, 2.0, 3.0, 4.0], 2);
    let y = fast::Activation::Silu.apply(&x[0].matmul(&w)?)?;
    let weight = vector(&[1.0, 1.0]);
    let y = fast::norm(&y, &fast::Norm { weight: &weight, shift: 0.0, eps: 1e-5 })?;
    Ok(vec![y.softmax(-1)?, y.astype(Dtype::Float16)?])
}

#[test]
fn exported_function_gives_the_same_also_on_another_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a model.mlxfn");
    let x = matrix(&[0.5, -1.0, 2.0, 0.25], 2);
    export_function(&path, model, &[x.clone()], false).unwrap();
    let expected = model(&[x.clone()]).unwrap();
    let (first, second) = (expected[0].to_vec::<f32>().unwrap(), expected[1].astype(Dtype::Float32).unwrap());
    let second = second.to_vec::<f32>().unwrap();
    let check = |path: &std::path::Path| {
        // SAFETY: written above.
        let imported = unsafe { import_function(path) }.unwrap();
        let x = matrix(&[0.5, -1.0, 2.0, 0.25], 2);
        for _ in 0..2 {
            let found = imported.call(&[x.clone()]).unwrap();
            close(&found[0], &first);
            let half = found[1].astype(Dtype::Float32).unwrap().to_vec::<f32>().unwrap();
            assert!(half.iter().zip(&second).all(|(a, b)| (a - b).abs() < 2e-3), "{half:?} {second:?}");
        }
        for wrong in [&[][..], &[scalar(1.0)], &[x.clone(), x.clone()], &[x.astype(Dtype::Int32).unwrap()]] {
            assert!(imported.call(wrong).is_err());
        }
    };
    check(&path);
    std::thread::scope(|scope| scope.spawn(|| check(&path)).join().unwrap());
    // Nothing else is left in the directory.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn exporter_writes_several_graphs_and_shapeless_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.mlxfn");
    let mut exporter = Exporter::new(&path, |x| Ok(vec![(&x[0] * 2.0)?.sum_all()?]), false).unwrap();
    for n in 1..4 {
        exporter.trace(&[Array::ones(&[n], Dtype::Float32).unwrap()]).unwrap();
    }
    assert!(!path.exists());
    exporter.finish().unwrap();
    // SAFETY: written above.
    let f = unsafe { import_function(&path) }.unwrap();
    for n in 1..4 {
        close(&f.call(&[Array::ones(&[n], Dtype::Float32).unwrap()]).unwrap()[0], &[n as f32 * 2.0]);
    }
    assert!(f.call(&[Array::ones(&[4], Dtype::Float32).unwrap()]).is_err());

    export_function(&path, |x| Ok(vec![x[0].exp()?]), &[vector(&[1.0])], true).unwrap();
    // SAFETY: written above; an element-wise op takes any shape.
    let f = unsafe { import_function(&path) }.unwrap();
    close(&f.call(&[vector(&[0.0, 0.0])]).unwrap()[0], &[1.0, 1.0]);

    let by = |n: f32| BTreeMap::from([("by".to_owned(), scalar(n)), ("plus".to_owned(), scalar(1.0))]);
    let named =
        |x: &[Array], named: &BTreeMap<String, Array>| Ok(vec![(&(&x[0] * &named["by"])? + &named["plus"])?]);
    export_function_named(&path, named, &[vector(&[1.0, 2.0])], &by(1.0), false).unwrap();
    // SAFETY: written above.
    let f = unsafe { import_function(&path) }.unwrap();
    close(&f.call_named(&[vector(&[1.0, 2.0])], &by(3.0)).unwrap()[0], &[4.0, 7.0]);
    assert!(f.call(&[vector(&[1.0, 2.0])]).is_err());
    let other = BTreeMap::from([("other".to_owned(), scalar(1.0)), ("plus".to_owned(), scalar(1.0))]);
    assert!(f.call_named(&[vector(&[1.0, 2.0])], &other).is_err());
    assert!(
        f.call_named(&[vector(&[1.0, 2.0])], &BTreeMap::from([("a\0".to_owned(), scalar(1.0))])).is_err()
    );
}

#[test]
fn exports_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let path = |n: usize| dir.path().join(format!("{n}.mlxfn"));
    std::thread::scope(|scope| {
        for n in 0..4 {
            let path = path(n);
            scope.spawn(move || {
                for _ in 0..20 {
                    export_function(&path, model, &[matrix(&[1.0; 4], 2)], false).unwrap();
                }
            });
        }
    });
    let x = [vector(&[1.0])];
    let nested = |x: &[Array]| {
        export_function(path(7), |x| Ok(x.to_vec()), x, false)?;
        Ok(x.to_vec())
    };
    assert!(export_function(path(8), nested, &x, false).unwrap_err().to_string().contains("exported"));
    export_function(path(8), |x| Ok(x.to_vec()), &x, false).unwrap();
}

#[test]
fn failed_export_leaves_no_file_and_keeps_an_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.mlxfn");
    let x = [vector(&[1.0])];
    for how in [0, 1] {
        fails_as_told(how, || export_function(&path, |_| broken(how).map(|()| vec![]), &x, false));
        let named = move |_: &[Array], _: &BTreeMap<String, Array>| broken(how).map(|()| vec![]);
        fails_as_told(how, || export_function_named(&path, named, &x, &BTreeMap::new(), false));
        let mut exporter = Exporter::new(&path, move |_| broken(how).map(|()| vec![]), false).unwrap();
        fails_as_told(how, || exporter.trace(&x));
        assert!(exporter.trace(&x).is_err() && exporter.finish().is_err());
    }
    // An op in Rust is not in the format.
    struct Same;
    impl custom::CpuOp for Same {
        fn name(&self) -> &'static std::ffi::CStr {
            c"same"
        }
        fn outputs(&self, x: &[&Array]) -> Result<Vec<custom::OutputSpec>> {
            Ok(vec![custom::OutputSpec::new(x[0].shape(), x[0].dtype())])
        }
        fn eval(&self, _: &[custom::Input<'_>], _: &mut [custom::Output<'_>]) -> Result<()> {
            Ok(())
        }
    }
    let error = export_function(&path, |x| custom::apply(Same, &[&x[0]]), &x, false).unwrap_err();
    assert!(matches!(error, Error::Mlx { .. }), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    fs::write(&path, "old").unwrap();
    assert!(export_function(&path, |x| custom::apply(Same, &[&x[0]]), &x, false).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert!(export_function(dir.path().join("none/f.mlxfn"), |x| Ok(x.to_vec()), &x, false).is_err());
}

#[test]
fn files_that_are_something_else_or_end_early_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.mlxfn");
    let open = |path: &std::path::Path| {
        // SAFETY: what is not whole must be refused before anything of it is used; the test is about that.
        unsafe { import_function(path) }
    };
    assert!(matches!(open(&path), Err(Error::Io { .. })));
    assert!(matches!(open(dir.path()), Err(Error::Io { .. })));
    for bytes in [
        &b""[..],
        b"x",
        b"{\"a\": 1}\n",
        &[0; 100],
        &[255; 100],
        b"\x06\0\0\0\0\0\0\0python and more",
        b"GGUF\x03\0\0\0\0\0\0\0",
    ] {
        fs::write(&path, bytes).unwrap();
        assert!(matches!(open(&path), Err(Error::File { .. })), "{bytes:?}");
    }
    export_function(&path, model, &[matrix(&[0.5, -1.0, 2.0, 0.25], 2)], false).unwrap();
    let whole = fs::read(&path).unwrap();
    let x = matrix(&[0.5, -1.0, 2.0, 0.25], 2);
    let mut refused = 0;
    for len in (0..whole.len()).step_by(7) {
        fs::write(&path, &whole[..len]).unwrap();
        match open(&path) {
            Err(_) => refused += 1,
            // Arrays are read when they are needed.
            Ok(f) => assert!(
                f.call(&[x.clone()]).is_err() || f.call(&[x.clone()]).unwrap()[0].eval().is_err(),
                "{len}"
            ),
        }
    }
    assert!(refused > 10);
}

#[test]
fn graphs_are_shown_as_text() {
    let (x, y) = (scalar(1.0), scalar(2.0));
    let z = (&(&x + &y).unwrap() * &x).unwrap();
    let mut names = NodeNames::new();
    names.set(&x, "x\"\n\\").unwrap();
    names.set(&z, "out%s%n").unwrap();
    assert!(names.set(&y, "a\0").is_err());
    assert_eq!(names.get(&x).unwrap(), "x___");
    assert!(!names.get(&y).unwrap().is_empty());
    let dot = export_to_dot([&z], &names).unwrap();
    assert!(
        dot.starts_with("digraph {") && dot.contains("out%s%n") && dot.trim_end().ends_with('}'),
        "{dot}"
    );
    let text = print_graph([&z, &x], &names).unwrap();
    assert!(text.contains("Add") && text.contains("Multiply") && text.contains("x___"), "{text}");
    // Nothing is evaluated by that.
    assert!(!z.is_available().unwrap());
    z.eval().unwrap();
    assert!(!print_graph([&z], &names).unwrap().contains("Multiply"));
    assert!(export_to_dot([], &NodeNames::default()).unwrap().starts_with("digraph"));
}
