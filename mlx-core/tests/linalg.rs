// SPDX-License-Identifier: EUPL-1.2
//! Products. Expected values are computed here, in float64, by the definition.

use mlx_core::{
    Array, BlockMasks, Complex64, Dtype, Error, Result, addmm, bf16, block_masked_mm, einsum, inner, kron,
    outer, segmented_mm, tensordot,
};

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

#[test]
fn addmm_of_empty_operands_broadcasts_and_refuses_as_others_do() {
    // The library fails to reshape these.
    let sum = addmm(&pattern(&[4], 2), &pattern(&[2, 3, 0], 1), &pattern(&[0, 4], 1), 1.0, 2.0).unwrap();
    assert_eq!(sum.shape(), [2, 3, 4]);
    assert_eq!(read(&sum)[..4], read(&pattern(&[4], 2)).iter().map(|x| 2.0 * x).collect::<Vec<_>>());
    let nan = Array::scalar(f32::NAN).unwrap();
    assert_eq!(read(&addmm(&nan, &pattern(&[1, 0], 1), &pattern(&[0, 1], 1), 1.0, 0.0).unwrap()), [0.0]);
    assert!(addmm(&pattern(&[5, 3, 4], 2), &pattern(&[3, 0], 1), &pattern(&[0, 4], 1), 1.0, 2.0).is_err());
    assert!(addmm(&pattern(&[4], 2), &pattern(&[3, 0], 1), &pattern(&[2, 4], 1), 1.0, 2.0).is_err());
    let half = |shape: &[i32]| pattern(shape, 1).astype(Dtype::Bfloat16).unwrap();
    let sum = addmm(&half(&[4]), &half(&[3, 0]), &half(&[0, 4]), 0.5, 2.0).unwrap();
    assert_eq!((sum.shape(), sum.dtype()), (&[3, 4][..], Dtype::Bfloat16));
}

#[test]
fn einsum_comes_back_from_empty_operands_in_any_layout() {
    let empty = pattern(&[0, 1, 7], 1).transpose_axes(&[1, 2, 0]).unwrap();
    for text in ["abc->ab", "abc->ac", "abc->", "abc->c", "abc->b"] {
        einsum(text, [&empty]).unwrap().eval().unwrap();
    }
    einsum("abc,abc->ab", [&empty, &empty]).unwrap().eval().unwrap();
    empty.vecdot(&empty, -1).unwrap().eval().unwrap();
}

#[test]
fn segments_out_of_range_are_refused_or_clamped() {
    let (a, b) = (pattern(&[2, 6], 5), pattern(&[6, 3], 3));
    let segments =
        |pairs: &[i64]| Array::from_slice(pairs, &[i32::try_from(pairs.len() / 2).unwrap(), 2]).unwrap();
    for bad in [[0, 7], [-1, 3], [i64::MIN, 0], [0, i64::MAX], [9, 9]] {
        let error = segmented_mm(&a, &b, &segments(&bad)).unwrap_err();
        assert!(matches!(error, Error::Index { op: "segmented_mm", .. }), "{error}");
    }
    let whole = a.matmul(&b).unwrap();
    // Not known before they are computed.
    let lazy = (&segments(&[-40, 700, 5, 2, 7, 7]) + &segments(&[0; 6])).unwrap();
    let products = segmented_mm(&a, &b, &lazy).unwrap();
    assert_eq!(read(&products)[..6], read(&whole));
    assert!(read(&products)[6..].iter().all(|&x| x == 0.0));
    // One that ends before it starts is empty.
    assert!(read(&segmented_mm(&a, &b, &segments(&[5, 2])).unwrap()).iter().all(|&x| x == 0.0));
    // The library divides by the number of elements.
    for (a, b, pairs) in
        [(&[0, 6], &[6, 3], &[0, 2, 5, 6][..]), (&[2, 6], &[6, 0], &[0, 2]), (&[2, 0], &[0, 3], &[0, 0])]
    {
        let products = segmented_mm(&pattern(a, 5), &pattern(b, 3), &segments(pairs)).unwrap();
        assert_eq!(products.shape(), [i32::try_from(pairs.len() / 2).unwrap(), a[0], b[1]]);
        assert!(read(&products).iter().all(|&x| x == 0.0));
    }
    assert_eq!(segmented_mm(&a, &b, &segments(&[])).unwrap().shape(), [0, 2, 3]);
    // The library does not look whether the inner lengths are the same.
    assert!(matches!(
        segmented_mm(&a, &pattern(&[5, 3], 3), &segments(&[0, 2])),
        Err(Error::Shape { op: "segmented_mm", .. })
    ));
    let floats = Array::from_slice(&[0.0f32, 1.0], &[1, 2]).unwrap();
    assert!(
        segmented_mm(&a, &b, &floats).is_err()
            && segmented_mm(&a, &b, &segments(&[]).transpose().unwrap()).is_err()
    );
}

#[test]
fn masked_products_work_in_half_precision_and_refuse_what_does_not_fit() {
    let (a, b) = (pattern(&[40, 3], 5), pattern(&[3, 2], 3));
    let mask = Array::from_slice(&[true, false], &[2, 1]).unwrap();
    let masks = BlockMasks { block_size: 32, out: Some(&mask), ..Default::default() };
    let expected: Vec<f64> = product(&read(&a), &read(&b), 40, 3, 2)
        .iter()
        .enumerate()
        .map(|(i, &x)| if i < 64 { x } else { 0.0 })
        .collect();
    for dtype in [Dtype::Float32, Dtype::Float16, Dtype::Bfloat16] {
        let masked = block_masked_mm(&a.astype(dtype).unwrap(), &b.astype(dtype).unwrap(), &masks).unwrap();
        assert_eq!((read(&masked), masked.dtype()), (expected.clone(), dtype));
    }
    for block_size in [0, -32, 16, 33, i32::MIN, i32::MAX] {
        let error = block_masked_mm(&a, &b, &BlockMasks { block_size, ..masks }).unwrap_err();
        assert!(matches!(error, Error::Argument { argument: "block_size", .. }), "{error}");
    }
    for dtype in Dtype::ALL.into_iter().filter(|dtype| !dtype.is_float() || *dtype == Dtype::Float64) {
        let (a, b) = (a.astype(dtype).unwrap(), b.astype(dtype).unwrap());
        assert!(
            matches!(block_masked_mm(&a, &b, &masks), Err(Error::Argument { argument: "a", .. })),
            "{dtype}"
        );
    }
    let whole = Array::from_slice(&[1i32, 0], &[2, 1]).unwrap();
    assert!(block_masked_mm(&a, &b, &BlockMasks { out: Some(&whole), ..masks }).is_err());
    for shape in [&[3][..], &[], &[2, 4, 5]] {
        assert!(block_masked_mm(&a, &pattern(shape, 1), &masks).and_then(|c| c.eval()).is_err(), "{shape:?}");
    }
    for shape in [&[0, 3][..], &[40, 0]] {
        let (a, b) = (pattern(shape, 1), pattern(&[shape[1], 2], 1));
        let plain = BlockMasks { out: None, ..masks };
        assert!(read(&block_masked_mm(&a, &b, &plain).unwrap()).iter().all(|&x| x == 0.0));
    }
}

#[test]
fn hadamard_transforms_undo_themselves_and_refuse_other_lengths() {
    for n in [1, 2, 4, 64, 12, 24, 20, 28, 56] {
        let x = pattern(&[3, n], 5);
        let back = x.hadamard_transform(None).unwrap().hadamard_transform(None).unwrap();
        // Those of 12, 20 and 28 are not symmetric, but their rows are orthogonal all the same.
        let norms = |a: &Array| read(&(a * a).unwrap().sum(-1, false).unwrap());
        for (found, expected) in norms(&back).iter().zip(norms(&x)) {
            assert!((found - expected).abs() < 1e-3 * expected.max(1.0), "{n}");
        }
    }
    for shape in [&[3][..], &[4, 0], &[], &[6], &[44], &[2, 100]] {
        assert!(matches!(pattern(shape, 1).hadamard_transform(None), Err(Error::Shape { .. })), "{shape:?}");
    }
    assert_eq!(pattern(&[0, 4], 1).hadamard_transform(None).unwrap().shape(), [0, 4]);
    for dtype in [Dtype::Float64, Dtype::Complex64] {
        let x = pattern(&[4], 1).astype(dtype).unwrap();
        assert!(matches!(x.hadamard_transform(None), Err(Error::Argument { .. })));
    }
}
