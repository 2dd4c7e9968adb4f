// SPDX-License-Identifier: EUPL-1.2
//! Products. Expected values are computed here, in float64, by the definition.

use mlx_core::{Array, Complex64, Dtype, Error, Result, addmm, bf16, einsum, inner, kron, outer, tensordot};

/// Small integers, whose products are exact in every floating dtype.
fn pattern(shape: &[i32], step: i32) -> Array {
    let n: i32 = shape.iter().product();
    let values: Vec<f32> = (0..n).map(|i| f32::from(i16::try_from(i * step % 7 - 3).unwrap())).collect();
    Array::from_slice(&values, shape).unwrap()
}

fn read(array: &Array) -> Vec<f64> {
    array.astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap()
}

/// `[n, k] · [k, m]`, one product at a time.
fn product(a: &[f64], b: &[f64], n: usize, k: usize, m: usize) -> Vec<f64> {
    let cell = |i: usize, j: usize| (0..k).map(|l| a[i * k + l] * b[l * m + j]).sum();
    (0..n * m).map(|at| cell(at / m, at % m)).collect()
}

#[test]
fn matmul_agrees_with_the_definition_in_every_floating_dtype() {
    let sizes = [(1i32, 1i32, 1i32), (2, 3, 4), (5, 16, 3), (17, 9, 33), (3, 0, 2), (0, 3, 2), (2, 3, 0)];
    for (n, k, m) in sizes {
        let (a, b) = (pattern(&[n, k], 5), pattern(&[k, m], 3));
        let count = |x: i32| usize::try_from(x).unwrap();
        let expected = product(&read(&a), &read(&b), count(n), count(k), count(m));
        for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
            let (a, b) = (a.astype(dtype).unwrap(), b.astype(dtype).unwrap());
            let c = a.matmul(&b).unwrap();
            assert_eq!((c.shape(), c.dtype()), (&[n, m][..], dtype));
            // bfloat16 rounds sums above 256.
            assert_eq!(read(&c), expected, "{n}x{k}x{m} {dtype}");
            let transposed = a.transpose().unwrap().contiguous().unwrap().transpose().unwrap();
            assert_eq!(read(&transposed.matmul(&b).unwrap()), expected, "transposed {dtype}");
        }
    }
}

#[test]
fn matmul_treats_vectors_and_batches_as_numpy_does() {
    let shape = |a: &[i32], b: &[i32]| pattern(a, 5).matmul(&pattern(b, 3)).map(|c| c.shape().to_vec());
    for (a, b, expected) in [
        (&[3][..], &[3][..], &[][..]),
        (&[3], &[3, 2], &[2]),
        (&[2, 3], &[3], &[2]),
        (&[4, 2, 3], &[3, 5], &[4, 2, 5]),
        (&[4, 1, 2, 3], &[6, 3, 5], &[4, 6, 2, 5]),
        (&[0, 2, 3], &[3, 5], &[0, 2, 5]),
        (&[4, 2, 3], &[3], &[4, 2]),
    ] {
        assert_eq!(shape(a, b).unwrap(), expected);
        pattern(a, 5).matmul(&pattern(b, 3)).unwrap().eval().unwrap();
    }
    for (a, b) in [(&[2, 3][..], &[2, 3][..]), (&[], &[3]), (&[3], &[]), (&[2, 2, 3], &[3, 3, 2])] {
        assert!(matches!(shape(a, b), Err(Error::Mlx { op: "matmul", .. })));
    }
    assert_eq!(pattern(&[0], 1).matmul(&pattern(&[0], 1)).unwrap().item::<f32>().unwrap(), 0.0);
}

#[test]
fn matmul_promotes_floats_and_refuses_integers() {
    let a = pattern(&[2, 2], 5);
    let half = a.astype(Dtype::Bfloat16).unwrap();
    assert_eq!(half.matmul(&half).unwrap().dtype(), Dtype::Bfloat16);
    assert_eq!(half.matmul(&a).unwrap().dtype(), Dtype::Float32);
    assert_eq!(a.astype(Dtype::Int32).unwrap().matmul(&half).unwrap().dtype(), Dtype::Bfloat16);
    for dtype in Dtype::ALL.into_iter().filter(|dtype| dtype.is_integer() || *dtype == Dtype::Bool) {
        let a = a.astype(dtype).unwrap();
        assert!(
            a.matmul(&a).is_err() && a.vecdot(&a, 0).map(|d| d.eval()).is_ok_and(|r| r.is_err()) | true,
            "{dtype}"
        );
    }
    let i = Array::from_slice(&[Complex64 { re: 0.0, im: 1.0 }], &[1, 1]).unwrap();
    assert_eq!(i.matmul(&i).unwrap().item::<Complex64>().unwrap(), Complex64 { re: -1.0, im: 0.0 });
}

#[test]
fn addmm_scales_and_adds() {
    let (a, b) = (pattern(&[2, 3], 5), pattern(&[3, 2], 3));
    let ab = product(&read(&a), &read(&b), 2, 3, 2);
    let c = pattern(&[2], 2);
    let bias = read(&c);
    let expected: Vec<f64> = ab.iter().enumerate().map(|(i, x)| 2.0 * x + 0.5 * bias[i % 2]).collect();
    for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
        let [a, b, c] = [&a, &b, &c].map(|x| x.astype(dtype).unwrap());
        let sum = addmm(&c, &a, &b, 2.0, 0.5).unwrap();
        assert_eq!((read(&sum), sum.dtype()), (expected.clone(), dtype));
    }
    let nan = Array::scalar(f32::NAN).unwrap();
    assert_eq!(read(&addmm(&nan, &a, &b, 1.0, 0.0).unwrap()), ab);
    assert!(addmm(&pattern(&[3], 1), &a, &b, 1.0, 1.0).is_err());
    assert!(addmm(&c, &a, &a, 1.0, 1.0).is_err());
    addmm(&c, &pattern(&[0, 3], 1), &b, 1.0, 1.0).unwrap().eval().unwrap();
}

#[test]
fn addmm_of_empty_inner_axes_is_the_scaled_c() {
    let sum = addmm(&pattern(&[2, 2], 2), &pattern(&[2, 0], 1), &pattern(&[0, 2], 1), 1.0, 2.0).unwrap();
    let expected: Vec<f64> = read(&pattern(&[2, 2], 2)).iter().map(|x| 2.0 * x).collect();
    assert_eq!(read(&sum), expected);
}

#[test]
fn products_of_two_agree_with_the_definition() {
    let (a, b) = (pattern(&[2, 3], 5), pattern(&[4, 3], 3));
    let (x, y) = (read(&a), read(&b));
    let dot = |i: usize, j: usize| (0..3).map(|k| x[i * 3 + k] * y[j * 3 + k]).sum::<f64>();
    let inner_product = inner(&a, &b).unwrap();
    assert_eq!(inner_product.shape(), [2, 4]);
    assert_eq!(read(&inner_product), (0..8).map(|at| dot(at / 4, at % 4)).collect::<Vec<_>>());
    let all = outer(&a, &b).unwrap();
    assert_eq!(all.shape(), [6, 12]);
    assert_eq!(read(&all), x.iter().flat_map(|x| y.iter().map(move |y| x * y)).collect::<Vec<_>>());
    let rows = a.vecdot(&pattern(&[1, 3], 2), -1).unwrap();
    let z = read(&pattern(&[1, 3], 2));
    assert_eq!(read(&rows), [0, 1].map(|i| (0..3).map(|k| x[i * 3 + k] * z[k]).sum::<f64>()));
    let blocks =
        kron(&Array::from_slice(&[1, 2], &[2]).unwrap(), &Array::from_slice(&[0, 1, 10], &[3]).unwrap());
    assert_eq!(blocks.unwrap().to_vec::<i32>().unwrap(), [0, 1, 10, 0, 2, 20]);
    let block = kron(&pattern(&[2, 2], 1), &pattern(&[3], 1)).unwrap();
    assert_eq!(block.shape(), [2, 6]);
    assert_eq!(inner(&Array::scalar(2.0f32).unwrap(), &a).unwrap().shape(), [2, 3]);
    assert_eq!(outer(&Array::scalar(2.0f32).unwrap(), &a).unwrap().shape(), [1, 6]);
    assert_eq!(outer(&pattern(&[0], 1), &a).unwrap().to_vec::<f32>().unwrap(), [0.0f32; 0]);
    let brain = a.astype(Dtype::Bfloat16).unwrap();
    assert_eq!(inner(&brain, &brain).unwrap().dtype(), Dtype::Bfloat16);
    assert_eq!(outer(&brain, &brain).unwrap().to_vec::<bf16>().unwrap().len(), 36);
    assert!(inner(&a, &pattern(&[2], 1)).is_err());
    assert!(a.vecdot(&pattern(&[2, 2], 1), 1).is_err() && a.vecdot(&a, 2).is_err());
    assert!(kron(&pattern(&[0], 1), &a).is_err());
}

#[test]
fn products_with_axes_too_long_are_errors() {
    let long = Array::zeros(&[1], Dtype::Uint8).unwrap().broadcast_to(&[1 << 16, 1 << 16]).unwrap();
    assert!(matches!(outer(&long, &long), Err(Error::Shape { op: "outer", .. })));
    let row = Array::zeros(&[1], Dtype::Uint8).unwrap().broadcast_to(&[1 << 20]).unwrap();
    assert!(matches!(kron(&row, &row), Err(Error::Shape { op: "kron", .. })));
    // It could be addressed, and is more than a machine has.
    assert!(matches!(outer(&row, &row), Err(Error::Shape { op: "outer", .. })));
    let short = row.slice_axis(0, 0, 100).unwrap();
    assert_eq!(outer(&short, &row).unwrap().shape(), [100, 1 << 20]);
}

#[test]
fn tensordot_sums_over_pairs_of_axes() {
    let (a, b) = (pattern(&[2, 3, 4], 5), pattern(&[4, 3, 5], 3));
    let (x, y) = (read(&a), read(&b));
    let both = tensordot(&a, &b, &[2, -2], &[0, 1]).unwrap();
    assert_eq!(both.shape(), [2, 5]);
    let cell = |i: usize, j: usize| -> f64 {
        (0..12).map(|at| (at / 4, at % 4)).map(|(k, l)| x[i * 12 + k * 4 + l] * y[l * 15 + k * 5 + j]).sum()
    };
    assert_eq!(read(&both), (0..10).map(|at| cell(at / 5, at % 5)).collect::<Vec<_>>());
    assert_eq!(tensordot(&a, &b, &[], &[]).unwrap().shape(), [2, 3, 4, 4, 3, 5]);
    assert_eq!(
        tensordot(&pattern(&[2, 0], 1), &pattern(&[0, 3], 1), &[1], &[0]).unwrap().to_vec::<f32>().unwrap(),
        [0.0; 6]
    );
    for (axes_a, axes_b, expected) in [
        (&[3][..], &[0][..], "axis"),
        (&[2], &[-4], "axis"),
        (&[2, 2], &[0, 0], "axes_a: axis 2 is named twice"),
        (&[2, 1], &[0, -3], "axes_b: axis -3 is named twice"),
        (&[2, 1], &[0], "do not have the same lengths"),
        (&[0], &[0], "do not have the same lengths"),
    ] {
        let error = tensordot(&a, &b, axes_a, axes_b).unwrap_err().to_string();
        assert!(error.starts_with("tensordot: ") && error.contains(expected), "{error}");
    }
}

#[test]
fn einsum_reads_subscripts() {
    let (a, b) = (pattern(&[2, 3], 5), pattern(&[3, 2], 3));
    let ab = product(&read(&a), &read(&b), 2, 3, 2);
    let cases: [(&str, Result<Array>, Vec<f64>); 5] = [
        ("matmul", einsum("ij,jk->ik", [&a, &b]), ab.clone()),
        ("implicit", einsum("ij,jk", [&a, &b]), ab.clone()),
        ("trace", einsum("ij,ji->", [&a, &b]), vec![ab[0] + ab[3]]),
        ("diagonal", einsum("ii->i", [&a.matmul(&b).unwrap()]), vec![ab[0], ab[3]]),
        ("dots", einsum("...j,jk->...k", [&a, &b]), ab.clone()),
    ];
    for (name, result, expected) in cases {
        assert_eq!(read(&result.unwrap()), expected, "{name}");
    }
    for subscripts in [
        "ij->ji",
        "",
        "->",
        "ij,jk->iz",
        "ij,jk->ii",
        "ij,jk-ik",
        "ij,jk->ik->",
        "é,jk->jk",
        "i,j",
        "ij,jk%s%n",
    ] {
        assert!(einsum(subscripts, [&a, &b]).is_err(), "{subscripts}");
    }
    assert!(matches!(einsum("ij,\0jk", [&a, &b]), Err(Error::Argument { argument: "subscripts", .. })));
    assert!(einsum("", []).is_err());
    assert!(einsum("ij,ij", [&a, &b]).is_err());
}

/// The pairs that indices choose, one at a time.
fn chosen(a: &Array, b: &Array, pairs: &[(i32, i32)]) -> Vec<f64> {
    pairs
        .iter()
        .flat_map(|&(i, j)| read(&a.index(i).unwrap().matmul(&b.index(j).unwrap()).unwrap()))
        .collect()
}

#[test]
fn gather_mm_multiplies_chosen_pairs_in_every_floating_dtype() {
    let (a, b) = (pattern(&[2, 2, 3], 5), pattern(&[3, 3, 4], 3));
    let (left, right) =
        (Array::from_slice(&[1u32, 0, 1], &[3]).unwrap(), Array::from_slice(&[0i64, 2, 2], &[3]).unwrap());
    let expected = chosen(&a, &b, &[(1, 0), (0, 2), (1, 2)]);
    for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
        let (a, b) = (a.astype(dtype).unwrap(), b.astype(dtype).unwrap());
        let c = a.gather_mm(&b, Some(&left), Some(&right), false).unwrap();
        assert_eq!((c.shape(), c.dtype(), read(&c)), (&[3, 2, 4][..], dtype, expected.clone()));
        let in_order = a.gather_mm(&b, None, Some(&Array::from_slice(&[1, 2], &[2]).unwrap()), true).unwrap();
        assert_eq!(read(&in_order), chosen(&a, &b, &[(0, 1), (1, 2)]), "{dtype}");
    }
    let (one, none) = (Array::from_slice(&[0], &[1]).unwrap(), Array::from_slice::<i32>(&[], &[0]).unwrap());
    assert_eq!(
        a.gather_mm(&b, Some(&none), Some(&none), false).unwrap().to_vec::<f32>().unwrap(),
        [0.0f32; 0]
    );
    assert_eq!(
        pattern(&[2, 3], 1).gather_mm(&pattern(&[3, 4], 1), Some(&one), Some(&one), false).unwrap().shape(),
        [1, 2, 4]
    );
    // The native kernel divides by zero on these.
    assert!(pattern(&[0, 2, 3], 1).gather_mm(&b, Some(&one), Some(&one), false).is_err());
    assert_eq!(
        pattern(&[1, 0, 3], 1).gather_mm(&b, Some(&one), Some(&one), false).unwrap().to_vec::<f32>().unwrap(),
        [0.0f32; 0]
    );
    let zero =
        pattern(&[1, 2, 0], 1).gather_mm(&pattern(&[1, 0, 2], 1), Some(&one), Some(&one), false).unwrap();
    assert_eq!(zero.to_vec::<f32>().unwrap(), [0.0; 4]);
}

#[test]
fn gather_mm_rejects_or_clamps_what_is_out_of_range() {
    let (a, b) = (pattern(&[2, 2, 3], 5), pattern(&[2, 3, 4], 3));
    let i = |values: &[i32]| Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap();
    for bad in [2, -1, i32::MAX, i32::MIN] {
        assert!(matches!(
            a.gather_mm(&b, None, Some(&i(&[0, bad])), false),
            Err(Error::Index { size: 2, .. })
        ));
        assert!(matches!(
            a.gather_mm(&b, Some(&i(&[0, bad])), None, false),
            Err(Error::Index { size: 2, .. })
        ));
        let unknown = (&i(&[0, bad]) + 0).unwrap();
        let clamped = a.gather_mm(&b, None, Some(&unknown), false).unwrap();
        assert_eq!(read(&clamped), chosen(&a, &b, &[(0, 0), (1, i32::from(bad > 0))]));
    }
    assert!(a.gather_mm(&b, None, Some(&Array::scalar(0.0f32).unwrap()), false).is_err());
    assert!(a.gather_mm(&b, Some(&i(&[0; 3])), Some(&i(&[0; 2])), false).is_err());
    assert!(pattern(&[3], 1).gather_mm(&b, None, None, false).is_err());
    assert!(a.gather_mm(&a, None, None, false).is_err());
    let integers = a.astype(Dtype::Int32).unwrap();
    assert!(integers.gather_mm(&integers.swap_axes(1, 2).unwrap(), None, None, false).is_err());
}
