// SPDX-License-Identifier: EUPL-1.2
//! Functions of one example, mapped over many.

use mlx_core::transform::{Axes, compile, grad, jvp, vmap};
use mlx_core::{Array, Dtype, Error, Result, Scan, concatenate, fft, where_};

use super::{broken, close, fails_as_told, matrix, scalar, vector};
use crate::alone::alone;

/// Maps `function` over the rows of `x`, and holds the result against one call for each row.
#[track_caller]
fn check(name: &str, x: &Array, function: impl Fn(&Array) -> Result<Array>) {
    let mapped = vmap(|x| Ok(vec![function(&x[0])?]), std::slice::from_ref(x), 0, 0)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let rows: Vec<Array> = (0..x.shape()[0]).map(|i| function(&x.index(i).unwrap()).unwrap()).collect();
    let rows = mlx_core::stack(&rows.iter().collect::<Vec<_>>(), 0).unwrap();
    assert_eq!(mapped[0].shape(), rows.shape(), "{name}");
    assert_eq!(mapped[0].dtype(), rows.dtype(), "{name}");
    let near = mapped[0].allclose(&rows, 1e-5, 1e-5, true).unwrap().item::<bool>().unwrap();
    assert!(near, "{name}: {} for {}", mapped[0].display().unwrap(), rows.display().unwrap());
}

#[test]
fn ops_are_mapped_to_what_they_give_one_by_one() {
    let values: Vec<f32> = (0..24).map(|i| ((i * 37) % 23) as f32 / 8.0 - 1.0).collect();
    let x = Array::from_slice(&values, &[2, 3, 4]).unwrap();
    let y = Array::from_slice(&values[..12], &[4, 3]).unwrap();
    let indices = Array::from_slice(&[2i32, 0], &[2]).unwrap();
    for x in [&x, &x.transpose_axes(&[2, 1, 0]).unwrap().copy().unwrap().transpose_axes(&[2, 1, 0]).unwrap()]
    {
        check("matmul", x, |x| x.matmul(&y));
        check("matmul from the right", x, |x| y.matmul(x));
        check("matmul of itself", x, |x| x.matmul(&x.transpose()?));
        check("softmax", x, |x| x.softmax(-1));
        check("softmax 0", x, |x| x.softmax(0));
        check("logsumexp", x, |x| x.logsumexp(-1, false));
        check("sum", x, |x| x.sum(0, false));
        check("mean", x, |x| x.mean(-1, true));
        check("max", x, |x| x.max(-1, false));
        check("argmax", x, |x| x.argmax(-1, false));
        check("sort", x, |x| x.sort(0));
        check("cumsum", x, |x| x.cumsum(0, mlx_core::Scan::default()));
        check("take", x, |x| x.take(&indices, 0));
        check("take 1", x, |x| x.take(&indices, 1));
        check("slice", x, |x| x.index((1.., ..2)));
        check("reshape", x, |x| x.reshape(&[-1]));
        check("transpose", x, |x| x.transpose());
        check("concatenate", x, |x| concatenate(&[x, &y.transpose()?], 0));
        check("where", x, |x| where_(&x.greater(&scalar(0.0))?, x, &scalar(0.5)));
        check("exp", x, |x| x.exp());
        check("astype", x, |x| x.astype(Dtype::Float16));
        check("rms norm", x, |x| {
            mlx_core::fast::norm(
                x,
                &mlx_core::fast::Norm { weight: &vector(&[1.0, 2.0, 3.0, 4.0]), shift: 0.0, eps: 1e-5 },
            )
        });
        check("silu", x, |x| mlx_core::fast::Activation::Silu.apply(x));
        check("gradient", x, |x| grad(|x: &Array| x.square()?.sum_all(), x));
    }
    let vectors = matrix(&values[..6], 3);
    check("dot", &vectors, |x| x.matmul(&y.transpose()?));
    check("outer", &vectors, |x| mlx_core::outer(x, x));
    check("scalar", &vector(&values[..5]), |x| x.exp());
}

#[test]
fn axes_may_be_any_and_missing() {
    let x = matrix(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3);
    let double = |x: &[Array]| Ok(vec![(&x[0] * 2.0)?]);
    for (in_axis, out_axis, shape) in
        [(0, 0, [2, 3]), (0, 1, [3, 2]), (1, 0, [3, 2]), (-1, -1, [2, 3]), (-2, -1, [3, 2])]
    {
        let out = vmap(double, &[x.clone()], in_axis, out_axis).unwrap();
        assert_eq!(out[0].shape(), shape, "{in_axis} {out_axis}");
    }
    // Per input, and a result that does not depend on the example, with and without an axis.
    let function = |x: &[Array]| Ok(vec![(&x[0] + &x[1])?, x[1].clone(), (&x[1] * 2.0)?]);
    let inputs = [x.clone(), vector(&[10.0, 20.0])];
    let out = vmap(function, &inputs, [Some(1), None], [Some(1), None, Some(0)]).unwrap();
    close(&out[0], &[11.0, 12.0, 13.0, 24.0, 25.0, 26.0]);
    close(&out[1], &[10.0, 20.0]);
    assert_eq!(out[2].shape(), [3, 2]);
    close(&out[2], &[20.0, 40.0, 20.0, 40.0, 20.0, 40.0]);
    let out = vmap(function, &inputs, vec![Some(1), None], &[Some(0), Some(1), Some(-1)][..]).unwrap();
    assert_eq!([out[1].shape(), out[2].shape()], [[2, 3], [2, 3]]);
}

#[test]
fn axes_that_do_not_fit_are_errors() {
    let x = matrix(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3);
    let double = |x: &[Array]| Ok(vec![(&x[0] * 2.0)?]);
    for axis in [2, 3, -3, i32::MIN, i32::MAX] {
        assert!(matches!(vmap(double, &[x.clone()], axis, 0), Err(Error::Argument { .. })), "in {axis}");
        assert!(matches!(vmap(double, &[x.clone()], 0, axis), Err(Error::Argument { .. })), "out {axis}");
    }
    for axes in [vec![], vec![None], vec![Some(0), Some(0)]] {
        assert!(matches!(vmap(double, &[x.clone()], axes, 0), Err(Error::Argument { .. })));
    }
    for axes in [vec![], vec![None], vec![Some(0), Some(0)]] {
        // The second is wrong because the result depends on the example.
        assert!(
            matches!(vmap(double, &[x.clone()], 0, axes.clone()), Err(Error::Argument { .. })),
            "{axes:?}"
        );
    }
    assert!(vmap(double, &[scalar(1.0)], 0, 0).is_err());
    assert!(vmap(|_| Ok(vec![]), &[], 0, 0).is_err());
    let add = |x: &[Array]| Ok(vec![(&x[0] + &x[1])?]);
    let error = vmap(add, &[x.clone(), vector(&[1.0, 2.0, 3.0])], 0, 0).unwrap_err();
    assert!(matches!(error, Error::Shape { .. }), "{error}");
    assert!(vmap(|_| Ok(vec![]), &[x], 0, 0).unwrap().is_empty());
    assert_eq!(Axes::from(3), Axes::All(3));
}

#[test]
fn empty_axes_are_mapped() {
    let x = Array::from_slice::<f32>(&[], &[0, 3]).unwrap();
    let y = matrix(&[1.0; 6], 2);
    let out = vmap(|x| Ok(vec![x[0].matmul(&y)?, x[0].softmax(-1)?, x[0].sum_all()?]), &[x], 0, 0).unwrap();
    assert_eq!([out[0].shape(), out[1].shape(), out[2].shape()], [&[0, 2][..], &[0, 3], &[0]]);
    mlx_core::eval(&out).unwrap();
}

#[test]
fn ops_that_divide_by_a_length_are_mapped_over_no_examples() {
    // Inside, nobody sees that there are none.
    alone("transform::vmap::ops_that_divide_by_a_length_are_mapped_over_no_examples", || {
        let x = Array::zeros(&[3, 0, 3], Dtype::Float32).unwrap();
        let ops: [fn(&Array) -> Result<Array>; 5] = [
            |x| x.cumsum(-1, Scan::default()),
            |x| x.astype(Dtype::Bool)?.cummin(0, Scan::default()),
            |x| x.transpose()?.sum(-1, false),
            |x| x.sort(0),
            |x| fft::fft(x, &fft::Options::default()),
        ];
        for op in ops {
            let out = vmap(|x| Ok(vec![op(&x[0])?]), &[x.clone()], 1, 0).unwrap();
            assert_eq!((out[0].shape()[0], out[0].size()), (0, 0));
            mlx_core::eval(&out).unwrap();
        }
    });
}

#[test]
fn mapped_functions_nest_and_mix_with_other_transformations() {
    let x = matrix(&[1.0, 2.0, 3.0, 4.0], 2);
    // Over both axes.
    let inner = |x: &[Array]| vmap(|x| Ok(vec![x[0].square()?]), x, 0, 0);
    close(&vmap(inner, &[x.clone()], 0, 0).unwrap()[0], &[1.0, 4.0, 9.0, 16.0]);
    // Every pair of rows: a product of matrices.
    let pairs =
        vmap(|a| vmap(|b| Ok(vec![(&a[0] * &b[0])?.sum_all()?]), &[x.clone()], 0, 0), &[x.clone()], 0, 0);
    close(&pairs.unwrap()[0], &[5.0, 11.0, 11.0, 25.0]);
    // A gradient of a mapped function, and a mapped second derivative.
    let loss = |x: &Array| vmap(|x| Ok(vec![x[0].square()?.sum_all()?]), &[x.clone()], 0, 0)?[0].sum_all();
    close(&grad(loss, &x).unwrap(), &[2.0, 4.0, 6.0, 8.0]);
    let second = |x: &[Array]| {
        let first = |x: &Array| grad(|x: &Array| (&x.square()? * x)?.sum_all(), x)?.sum_all();
        Ok(vec![grad(first, &x[0])?])
    };
    close(&vmap(second, &[x.clone()], 1, 1).unwrap()[0], &[6.0, 12.0, 18.0, 24.0]);
    // The columns of a Jacobian.
    let f = |x: &[Array]| Ok(vec![(&x[0] * &x[0].sum_all()?)?]);
    let at = vector(&[1.0, 2.0]);
    let basis = Array::eye(2, 2, 0, Dtype::Float32).unwrap();
    let column = |t: &[Array]| Ok(vec![jvp(f, &[at.clone()], &[t[0].clone()])?.1.remove(0)]);
    close(&vmap(column, &[basis], 0, 1).unwrap()[0], &[4.0, 1.0, 2.0, 5.0]);
    // Inside a compiled function, and a compiled function inside.
    let squares = compile(|x: &Array| Ok(vmap(|x| Ok(vec![x[0].square()?]), &[x.clone()], 0, 0)?.remove(0)));
    close(&squares.call(&x).unwrap(), &[1.0, 4.0, 9.0, 16.0]);
    let square = compile(|x: &Array| x.square());
    close(&vmap(|x| Ok(vec![square.call(&x[0])?]), &[x], 0, 0).unwrap()[0], &[1.0, 4.0, 9.0, 16.0]);
}

#[test]
fn placeholders_of_a_mapped_function_are_of_no_use_outside() {
    let x = matrix(&[1.0, 2.0, 3.0, 4.0], 2);
    let mut escaped = None;
    vmap(
        |x| {
            escaped = Some(x[0].clone());
            assert!(x[0].to_vec::<f32>().is_err() && (&x[0] + 1.0)?.eval().is_err());
            assert!(mlx_core::async_eval([&x[0]]).is_err());
            Ok(x.to_vec())
        },
        &[x],
        0,
        0,
    )
    .unwrap();
    let escaped = escaped.unwrap();
    for _ in 0..2 {
        assert!(escaped.eval().is_err());
        assert!((&escaped + 1.0).unwrap().to_vec::<f32>().is_err());
        assert!(escaped.is_available().is_ok_and(|there| !there));
        assert!(escaped.to_shared().is_err());
    }
}

#[test]
fn quantised_weights_take_mapped_inputs() {
    let weight = Array::ones(&[32, 64], Dtype::Float32).unwrap();
    let format = mlx_core::Quantization::default();
    let packed = weight.quantize(format).unwrap();
    let x = Array::ones(&[3, 2, 64], Dtype::Float32).unwrap();
    let product =
        |x: &Array| x.quantized_matmul(&packed.weight, &packed.scales, packed.biases.as_ref(), true, format);
    if !mlx_core::has_cpu_kernels() {
        // The library itself has no such rule, and says so.
        let error = vmap(|x| Ok(vec![product(&x[0])?]), &[x], 0, 0).unwrap_err();
        assert!(error.to_string().contains("vmap"), "{error}");
        return;
    }
    check("quantised", &x, product);
    let over =
        |w: &[Array]| Ok(vec![x.quantized_matmul(&w[0], &w[1], packed.biases.as_ref(), true, format)?]);
    let (w, s) = (packed.weight.expand_dims(0).unwrap(), packed.scales.expand_dims(0).unwrap());
    assert!(vmap(over, &[w, s], 0, 0).is_err());
}

#[test]
fn failures_in_mapped_functions_come_back_as_themselves() {
    let x = matrix(&[1.0, 2.0, 3.0, 4.0], 2);
    for how in [0, 1] {
        fails_as_told(how, || vmap(|x| broken(how).map(|()| x.to_vec()), &[x.clone()], 0, 0));
        let inner = |x: &[Array]| vmap(|x| broken(how).map(|()| x.to_vec()), x, 0, 0);
        fails_as_told(how, || vmap(inner, &[x.clone()], 0, 0));
    }
}
