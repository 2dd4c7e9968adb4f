// SPDX-License-Identifier: EUPL-1.2
//! Factors, inverses, eigenvalues and norms: what the golden cases cannot say.

use mlx_core::linalg::{self, MatrixNorm, Triangle};
use mlx_core::{Array, Complex64, Dtype, Error, Result, eval, transform};

/// Numbers in no visible order, with more on the diagonal.
fn pattern(shape: &[i32]) -> Array {
    let n: i32 = shape.iter().product();
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let value = |i: i32| {
        let more = if i / columns % columns == i % columns { 9 } else { 0 };
        f32::from(i16::try_from(i * 37 % 23 - 11 + more).unwrap()) / 4.0
    };
    Array::from_slice(&(0..n).map(value).collect::<Vec<_>>(), shape).unwrap()
}

fn read(array: &Array) -> Vec<f64> {
    let real = if array.dtype() == Dtype::Complex64 { array.abs().unwrap() } else { array.clone() };
    real.astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap()
}

/// A function by name, and what it gives.
type Named = (&'static str, fn(&Array) -> Result<Vec<Array>>);

fn pair((a, b): (Array, Array)) -> Vec<Array> {
    vec![a, b]
}

/// Every function of one operand that wants matrices.
const ALL: [Named; 27] = [
    ("qr", |a| linalg::qr(a).map(pair)),
    ("cholesky", |a| linalg::cholesky(a, Triangle::Lower).map(|t| vec![t])),
    ("cholesky", |a| linalg::cholesky(a, Triangle::Upper).map(|t| vec![t])),
    ("lu", |a| linalg::lu(a).map(|lu| vec![lu.permutation, lu.lower, lu.upper])),
    ("lu_factor", |a| linalg::lu_factor(a).map(pair)),
    ("svd", |a| linalg::svd(a).map(|svd| vec![svd.u, svd.s, svd.vt])),
    ("singular_values", |a| linalg::singular_values(a).map(|s| vec![s])),
    ("pinv", |a| linalg::pinv(a).map(|a| vec![a])),
    ("eig", |a| linalg::eig(a).map(pair)),
    ("eigvals", |a| linalg::eigvals(a).map(|w| vec![w])),
    ("eigh", |a| linalg::eigh(a, Triangle::Lower).map(pair)),
    ("eigh", |a| linalg::eigh(a, Triangle::Upper).map(pair)),
    ("eigvalsh", |a| linalg::eigvalsh(a, Triangle::Lower).map(|w| vec![w])),
    ("inv", |a| linalg::inv(a).map(|a| vec![a])),
    ("tri_inv", |a| linalg::tri_inv(a, Triangle::Lower).map(|a| vec![a])),
    ("tri_inv", |a| linalg::tri_inv(a, Triangle::Upper).map(|a| vec![a])),
    ("cholesky_inv", |a| linalg::cholesky_inv(a, Triangle::Lower).map(|a| vec![a])),
    ("cholesky_inv", |a| linalg::cholesky_inv(a, Triangle::Upper).map(|a| vec![a])),
    ("solve", |a| linalg::solve(a, a).map(|x| vec![x])),
    ("solve_triangular", |a| linalg::solve_triangular(a, a, Triangle::Lower).map(|x| vec![x])),
    ("det", |a| linalg::det(a).map(|d| vec![d])),
    ("slogdet", |a| linalg::slogdet(a).map(pair)),
    ("nuclear", |a| linalg::matrix_norm(a, MatrixNorm::Nuclear, [-2, -1], false).map(|n| vec![n])),
    ("largest", |a| linalg::matrix_norm(a, MatrixNorm::LargestSingular, [-1, -2], true).map(|n| vec![n])),
    ("smallest", |a| linalg::matrix_norm(a, MatrixNorm::SmallestSingular, [-2, -1], false).map(|n| vec![n])),
    ("row", |a| linalg::matrix_norm(a, MatrixNorm::LargestRow, [-2, -1], false).map(|n| vec![n])),
    ("norm", |a| linalg::norm(a, None, false).map(|n| vec![n])),
];

/// Those that give NaN for a matrix that is not finite.
const FINITE: [&str; 10] = [
    "svd",
    "singular_values",
    "pinv",
    "eig",
    "eigvals",
    "eigh",
    "eigvalsh",
    "nuclear",
    "largest",
    "smallest",
];

#[test]
fn nothing_ends_the_process_whatever_the_matrix() {
    // The library below ends it, hangs, or writes outside its buffers for several of these.
    let shapes: [&[i32]; 14] = [
        &[0, 0],
        &[2, 0, 0],
        &[0, 3, 3],
        &[3, 0],
        &[0, 3],
        &[1, 1],
        &[2, 2],
        &[3, 3],
        &[2, 3, 3],
        &[3, 5],
        &[5, 3],
        &[33, 33],
        &[],
        &[3],
    ];
    let bad = [0.0, 1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE / 4.0];
    for shape in shapes {
        let base = pattern(shape);
        let n = base.size();
        let mut operands = vec![base.clone()];
        for value in bad {
            operands.push(Array::full(shape, f64::from(value), Dtype::Float32).unwrap());
            for place in [0, n / 2, n.saturating_sub(1)].into_iter().filter(|&place| place < n) {
                let mut values = base.to_vec::<f32>().unwrap();
                values[place] = value;
                operands.push(Array::from_slice(&values, shape).unwrap());
            }
        }
        for operand in operands {
            for dtype in [Dtype::Float32, Dtype::Float64, Dtype::Complex64] {
                let known = operand.astype(dtype).unwrap();
                known.eval().unwrap();
                let lazy = operand.astype(dtype).unwrap();
                let turned = if lazy.ndim() > 1 { known.swap_axes(-1, -2).unwrap() } else { lazy.clone() };
                for (name, function) in ALL {
                    for a in [&known, &lazy, &turned] {
                        // Refused at once, or a value.
                        if let Ok(results) = function(a) {
                            let computed = eval(&results).map_err(|error| error.to_string());
                            assert_eq!(computed, Ok(()), "{name} {a:?}");
                        }
                    }
                }
            }
        }
    }
    // And the thread can go on.
    assert_eq!(
        read(&linalg::inv(&Array::identity(2, Dtype::Float32).unwrap()).unwrap()),
        [1.0, 0.0, 0.0, 1.0]
    );
}

#[test]
fn matrices_that_are_not_finite_give_nan_and_leave_their_neighbours_alone() {
    let mut values = pattern(&[3, 4, 4]).to_vec::<f32>().unwrap();
    values[21] = f32::INFINITY;
    values[40] = f32::NAN;
    let good = pattern(&[3, 4, 4]).slice(&[0, 0, 0], &[1, 4, 4]).unwrap();
    for dtype in [Dtype::Float32, Dtype::Float64] {
        let known = Array::from_slice(&values, &[3, 4, 4]).unwrap().astype(dtype).unwrap();
        let lazy = known.abs().unwrap().maximum(&known).unwrap();
        known.eval().unwrap();
        for (name, function) in ALL.into_iter().filter(|(name, _)| FINITE.contains(name)) {
            let alone = function(&good.astype(dtype).unwrap()).unwrap();
            for (results, expected) in function(&known).unwrap().iter().zip(&alone) {
                let found = read(results);
                let (first, rest) = found.split_at(found.len() / 3);
                assert!(rest.iter().all(|x| x.is_nan()), "{name}");
                for (x, y) in first.iter().zip(read(expected)) {
                    assert!((x - y).abs() < 1e-4, "{name}: {x} for {y}");
                }
            }
            for results in function(&lazy).unwrap() {
                let found = read(&results);
                assert!(found[found.len() / 3..].iter().all(|x| x.is_nan()), "{name}");
                assert!(found[..found.len() / 3].iter().all(|x| x.is_finite()), "{name}");
            }
        }
    }
}

#[test]
fn matrices_without_rows_have_factors_and_inverses_without_rows() {
    for dtype in [Dtype::Float32, Dtype::Float64] {
        let a = Array::zeros(&[2, 0, 0], dtype).unwrap();
        for inverse in [
            linalg::inv(&a),
            linalg::tri_inv(&a, Triangle::Upper),
            linalg::cholesky_inv(&a, Triangle::Lower),
            linalg::pinv(&a),
        ] {
            let inverse = inverse.unwrap();
            assert_eq!((inverse.shape(), inverse.dtype()), (&[2, 0, 0][..], dtype));
        }
        assert_eq!(read(&linalg::det(&a).unwrap()), [1.0, 1.0]);
        let tall = Array::zeros(&[3, 0], dtype).unwrap();
        let lu = linalg::lu(&tall).unwrap();
        assert_eq!(lu.permutation.to_vec::<u32>().unwrap(), [0, 1, 2]);
        assert_eq!((lu.lower.shape(), lu.upper.shape()), (&[3, 0][..], &[0, 0][..]));
        let (packed, pivots) = linalg::lu_factor(&tall.transpose().unwrap()).unwrap();
        assert_eq!((packed.shape(), pivots.shape()), (&[0, 3][..], &[0][..]));
        let b = Array::zeros(&[0, 4], dtype).unwrap();
        assert_eq!(linalg::solve(&a, &b).unwrap().shape(), [2, 0, 4]);
        let b = Array::zeros(&[0], dtype).unwrap();
        assert_eq!(linalg::solve(&a.reshape(&[2, 0, 0]).unwrap(), &b).unwrap().shape(), [2, 0]);
    }
}

#[test]
fn ops_on_a_packed_lu_stay_within_it() {
    for shape in [&[3, 1][..], &[1, 3], &[2, 3, 3], &[40, 40]] {
        let a = Array::ones(shape, Dtype::Float32).unwrap();
        // The sum takes the matrix's buffer over, as the square does the sum's.
        let packed = || linalg::lu_factor(&a).unwrap().0;
        let y = (&packed() + 1.0).unwrap().square().unwrap();
        let wanted: Vec<f32> =
            packed().to_vec::<f32>().unwrap().iter().map(|x| (x + 1.0) * (x + 1.0)).collect();
        assert_eq!(y.to_vec::<f32>().unwrap(), wanted, "{shape:?}");
    }
}

#[test]
fn single_rows_and_columns_have_triangles() {
    let column = Array::from_slice(&[1.0f32, -4.0, 2.0, 3.0, 0.0, 0.0], &[2, 3, 1]).unwrap();
    let linalg::Lu { permutation, lower, upper } = linalg::lu(&column).unwrap();
    assert_eq!((lower.shape(), upper.shape()), (&[2, 3, 1][..], &[2, 1, 1][..]));
    let product = lower.matmul(&upper).unwrap();
    let places = permutation.expand_dims(-1).unwrap();
    assert_eq!(read(&product.take_along_axis(&places, 1).unwrap()), read(&column));
    assert_eq!(read(&upper), [-4.0, 3.0]);

    let row = Array::from_slice(&[0.0f32, -4.0, 2.0], &[1, 3]).unwrap();
    let linalg::Lu { permutation, lower, upper } = linalg::lu(&row).unwrap();
    assert_eq!(permutation.to_vec::<u32>().unwrap(), [0]);
    assert_eq!((read(&lower), read(&upper)), (vec![1.0], read(&row)));
}

#[test]
fn singular_matrices_give_nan_and_leave_their_neighbours_alone() {
    let values = [1.0f32, 2.0, 2.0, 4.0, 2.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0];
    let a = Array::from_slice(&values, &[3, 2, 2]).unwrap();
    let b = Array::from_slice(&[2.0f32, 8.0], &[2]).unwrap();
    let nan = |values: &[f64]| values.iter().all(|x| x.is_nan());
    let inverse = read(&linalg::inv(&a).unwrap());
    assert!(nan(&inverse[..4]) && nan(&inverse[8..]));
    assert_eq!(inverse[4..8], [0.5, 0.0, 0.0, 0.25]);
    let x = read(&linalg::solve(&a, &b).unwrap());
    assert!(nan(&x[..2]) && nan(&x[4..]));
    assert_eq!(x[2..4], [1.0, 2.0]);
    for triangle in [Triangle::Lower, Triangle::Upper] {
        let x = read(&linalg::solve_triangular(&a, &b, triangle).unwrap());
        assert_eq!((&x[2..4], nan(&x[4..])), (&[1.0, 2.0][..], true));
        for inverse in [linalg::tri_inv(&a, triangle), linalg::cholesky_inv(&a, triangle)] {
            let inverse = read(&inverse.unwrap());
            assert!(inverse[..8].iter().all(|x| x.is_finite()) && nan(&inverse[8..]));
        }
    }
    let one = a.take(&Array::scalar(0u32).unwrap(), 0).unwrap();
    assert!(nan(&read(&linalg::solve(&one, &b).unwrap())));
    let (sign, log) = linalg::slogdet(&one).unwrap();
    assert_eq!((read(&sign), read(&log)), (vec![0.0], vec![f64::NEG_INFINITY]));
}

#[test]
fn right_sides_broadcast_against_matrices() {
    let a = pattern(&[2, 3, 3]);
    for (a_shape, b_shape) in [
        (&[3, 3][..], &[5, 3, 2][..]),
        (&[2, 3, 3], &[3]),
        (&[2, 3, 3], &[3, 1]),
        (&[4, 1, 3, 3], &[2, 3, 2]),
    ] {
        let (a, b) = (
            a.take(&Array::scalar(0u32).unwrap(), 0).unwrap().broadcast_to(a_shape).unwrap(),
            pattern(b_shape),
        );
        let x = linalg::solve(&a, &b).unwrap();
        let back = if b.ndim() == 1 {
            a.matmul(&x.expand_dims(-1).unwrap()).unwrap().squeeze_axes(&[-1]).unwrap()
        } else {
            a.matmul(&x).unwrap()
        };
        let expected = b.broadcast_to(back.shape()).unwrap();
        assert!(back.allclose(&expected, 1e-3, 1e-3, false).unwrap().item::<bool>().unwrap(), "{b_shape:?}");
    }
    // The wider dtype of both, from the beginning.
    let (wide, b) = (a.astype(Dtype::Float64).unwrap(), pattern(&[2, 3, 1]));
    let mixed = linalg::solve(&a, &b.astype(Dtype::Float64).unwrap()).unwrap();
    let exact = linalg::solve(&wide, &b.astype(Dtype::Float64).unwrap()).unwrap();
    assert_eq!((mixed.dtype(), read(&mixed)), (Dtype::Float64, read(&exact)));
    for bad in [&[4][..], &[], &[3, 3, 3, 3, 4, 2], &[5, 3, 1]] {
        assert!(matches!(linalg::solve(&a, &pattern(bad)), Err(Error::Shape { .. })), "{bad:?}");
    }
    let whole = pattern(&[2, 3, 1]).astype(Dtype::Int32).unwrap();
    assert!(matches!(linalg::solve(&a, &whole), Err(Error::Argument { argument: "b", .. })));
}

#[test]
fn dtypes_that_no_factor_has_are_errors_that_name_them() {
    for dtype in Dtype::ALL.into_iter().filter(|dtype| !matches!(dtype, Dtype::Float32 | Dtype::Float64)) {
        let a = pattern(&[2, 2]).astype(dtype).unwrap();
        for (name, function) in ALL.into_iter().filter(|(name, _)| !["row", "norm"].contains(name)) {
            if dtype == Dtype::Complex64 && FINITE.contains(&name) && name != "pinv" {
                assert!(function(&a).is_ok(), "{name}");
                continue;
            }
            let error = function(&a).unwrap_err();
            assert!(matches!(error, Error::Argument { argument: "a", .. }), "{name} {dtype}: {error}");
            assert!(error.to_string().contains(dtype.name()), "{error}");
        }
    }
}

#[test]
fn norms_come_back_from_empty_operands_in_any_layout() {
    let empty = Array::zeros(&[0, 1, 7], Dtype::Float32).unwrap().transpose_axes(&[1, 2, 0]).unwrap();
    assert_eq!(read(&linalg::norm(&empty, Some(&[-1]), false).unwrap()), [0.0; 7]);
    assert_eq!(read(&linalg::norm(&empty, None, false).unwrap()), [0.0]);
    assert_eq!(read(&linalg::vector_norm(&empty, 3.0, -1, false).unwrap()), [0.0; 7]);
    for kind in [MatrixNorm::Frobenius, MatrixNorm::Nuclear] {
        assert_eq!(read(&linalg::matrix_norm(&empty, kind, [0, -1], false).unwrap()), [0.0; 7]);
    }
    for kind in [MatrixNorm::LargestColumn, MatrixNorm::SmallestRow, MatrixNorm::LargestSingular] {
        let error = linalg::matrix_norm(&empty, kind, [0, -1], false).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
    for p in [f64::INFINITY, f64::NEG_INFINITY] {
        assert!(matches!(linalg::vector_norm(&empty, p, -1, false), Err(Error::Shape { .. })));
    }
}

#[test]
fn norms_refuse_axes_that_do_not_fit() {
    let a = pattern(&[2, 3, 3]);
    for axes in [&[3][..], &[-4], &[], &[0, 0], &[0, -3], &[0, 1, 2], &[i32::MIN], &[i32::MAX, 0]] {
        assert!(matches!(linalg::norm(&a, Some(axes), true), Err(Error::Argument { .. })), "{axes:?}");
    }
    for axes in [[0, 0], [1, -2], [0, 3], [i32::MIN, i32::MAX]] {
        for kind in [MatrixNorm::Nuclear, MatrixNorm::Frobenius, MatrixNorm::LargestRow] {
            assert!(
                matches!(linalg::matrix_norm(&a, kind, axes, true), Err(Error::Argument { .. })),
                "{axes:?}"
            );
        }
    }
    for axis in [3, -4, i32::MIN, i32::MAX] {
        assert!(linalg::vector_norm(&a, 1.0, axis, false).is_err() && linalg::cross(&a, &a, axis).is_err());
    }
    assert!(linalg::vector_norm(&a, f64::NAN, 0, false).is_err());
    linalg::vector_norm(&a, 1e300, 0, false).unwrap().eval().unwrap();
}

#[test]
fn norms_of_integers_do_not_overflow_and_those_of_complex_numbers_are_real() {
    let large = Array::from_slice(&[120i8, 50], &[2]).unwrap();
    assert_eq!(read(&linalg::norm(&large, None, false).unwrap()), [130.0]);
    assert_eq!(read(&linalg::vector_norm(&large, 1.0, 0, false).unwrap()), [170.0]);
    let complex =
        Array::from_slice(&[Complex64 { re: 3.0, im: 4.0 }, Complex64 { re: 0.0, im: 0.0 }], &[1, 2])
            .unwrap();
    for norm in [
        linalg::norm(&complex, Some(&[1]), false),
        linalg::vector_norm(&complex, 3.0, 1, false),
        linalg::matrix_norm(&complex, MatrixNorm::Nuclear, [0, 1], false),
        linalg::matrix_norm(&complex, MatrixNorm::LargestSingular, [0, 1], false),
    ] {
        let norm = norm.unwrap();
        assert_eq!(norm.dtype(), Dtype::Float32);
        assert!((read(&norm)[0] - 5.0).abs() < 1e-5);
    }
}

#[test]
fn gradients_that_the_library_lacks_are_errors() {
    for function in [
        (|x: &[Array]| linalg::inv(&x[0])?.sum_all().map(|s| vec![s])) as fn(&[Array]) -> Result<Vec<Array>>,
        |x| linalg::singular_values(&x[0])?.sum_all().map(|s| vec![s]),
        |x| linalg::eigvalsh(&x[0], Triangle::Lower)?.sum_all().map(|s| vec![s]),
        |x| linalg::qr(&x[0])?.1.sum_all().map(|s| vec![s]),
        |x| linalg::cholesky(&x[0], Triangle::Lower)?.sum_all().map(|s| vec![s]),
    ] {
        assert!(transform::value_and_grad_by(function, &[0], &[pattern(&[3, 3])]).is_err());
    }
}

#[test]
fn factors_can_be_compiled() {
    let compiled = transform::compile(|x: &[Array]| {
        let svd = linalg::svd(&x[0])?;
        Ok(vec![svd.s, linalg::inv(&x[0])?])
    });
    let a = pattern(&[3, 3]);
    let results = compiled.call(std::slice::from_ref(&a)).unwrap();
    assert!(
        results[0]
            .allclose(&linalg::singular_values(&a).unwrap(), 1e-4, 1e-4, false)
            .unwrap()
            .item::<bool>()
            .unwrap()
    );
    assert!(
        results[1].allclose(&linalg::inv(&a).unwrap(), 1e-4, 1e-4, false).unwrap().item::<bool>().unwrap()
    );
}
