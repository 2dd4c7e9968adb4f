// SPDX-License-Identifier: EUPL-1.2
//! Distributions of initial values, by their moments, bounds and structure.

use mlx_core::random::Key;
use mlx_core::{Array, Dtype};
use mlx_nn::init::{self, Fan};

use crate::common::{FLOATS, assert_close, values};

const SHAPE: [i32; 2] = [120, 80];

fn key(seed: u64) -> Key {
    Key::new(seed).unwrap()
}

/// Checks mean and standard deviation to within five standard errors and what rounding to the dtype explains.
#[track_caller]
fn moments(what: &str, x: &Array, mean: f32, deviation: f32) {
    let x = values(x);
    let n = x.len() as f32;
    let found = x.iter().sum::<f32>() / n;
    let spread = (x.iter().map(|x| (x - found).powi(2)).sum::<f32>() / n).sqrt();
    let allowed = 5.0 * deviation / n.sqrt() + 2e-3 * (mean.abs() + deviation);
    assert!((found - mean).abs() < allowed, "{what}: mean {found}, not {mean}");
    assert!((spread - deviation).abs() < allowed, "{what}: deviation {spread}, not {deviation}");
}

/// A uniform distribution: the largest values come near the bound, and none goes beyond.
#[track_caller]
fn bounds(what: &str, x: &Array, low: f32, high: f32) {
    moments(what, x, (low + high) / 2.0, (high - low) / 12f32.sqrt());
    let slack = 5e-3 * (high - low);
    let x = values(x);
    assert!(x.iter().all(|&x| x >= low - slack && x <= high + slack), "{what}: beyond {low}..{high}");
    assert!(x.iter().any(|&x| x < low + 2.0 * slack) && x.iter().any(|&x| x > high - 2.0 * slack), "{what}");
}

/// Whether the largest value is what a normal distribution of this many would show, which a uniform one would not.
#[track_caller]
fn tails(what: &str, x: &Array, deviation: f32) {
    let most = values(x).into_iter().fold(0.0, |most: f32, x| most.max(x.abs())) / deviation;
    assert!((3.0..6.5).contains(&most), "{what}: {most} deviations");
}

#[test]
fn draws_have_the_moments_that_they_are_named_for_in_every_dtype() {
    for dtype in FLOATS {
        let normal = init::normal(&SHAPE, dtype, 0.5, 2.0, &key(1)).unwrap();
        moments("normal", &normal, 0.5, 2.0);
        bounds("uniform", &init::uniform(&SHAPE, dtype, -1.0, 3.0, &key(2)).unwrap(), -1.0, 3.0);
        let glorot = init::glorot_normal(&SHAPE, dtype, 1.5, &key(3)).unwrap();
        let deviation = 1.5 * (2.0f32 / 200.0).sqrt();
        moments("glorot normal", &glorot, 0.0, deviation);
        tails("glorot normal", &glorot, deviation);
        let bound = 1.5 * (6.0f32 / 200.0).sqrt();
        bounds("glorot uniform", &init::glorot_uniform(&SHAPE, dtype, 1.5, &key(4)).unwrap(), -bound, bound);
        for (fan, count) in [(Fan::In, 80.0f32), (Fan::Out, 120.0)] {
            let he = init::he_normal(&SHAPE, dtype, fan, 2f32.sqrt(), &key(5)).unwrap();
            moments("he normal", &he, 0.0, (2.0 / count).sqrt());
            tails("he normal", &he, (2.0 / count).sqrt());
            let bound = (3.0 / count).sqrt();
            bounds("he uniform", &init::he_uniform(&SHAPE, dtype, fan, 1.0, &key(6)).unwrap(), -bound, bound);
        }
        for x in [normal, glorot] {
            assert_eq!((x.shape(), x.dtype()), (&SHAPE[..], dtype));
        }
    }
}

#[test]
fn places_of_a_kernel_count_for_both_fans() {
    // 6 · 5 in, 40 · 5 · 6 out.
    let shape = [40, 5, 6, 8];
    let x = init::he_normal(&shape, Dtype::Float32, Fan::In, 1.0, &key(7)).unwrap();
    moments("he normal in", &x, 0.0, 1.0 / 240f32.sqrt());
    let x = init::he_normal(&shape, Dtype::Float32, Fan::Out, 1.0, &key(7)).unwrap();
    moments("he normal out", &x, 0.0, 1.0 / 1200f32.sqrt());
    let x = init::glorot_normal(&shape, Dtype::Float32, 1.0, &key(7)).unwrap();
    moments("glorot normal", &x, 0.0, (2.0f32 / 1440.0).sqrt());
}

#[test]
fn a_key_draws_the_same_again_and_another_key_others() {
    let draws: [&dyn Fn(u64) -> Array; 5] = [
        &|seed| init::normal(&[5, 4], Dtype::Float32, 0.0, 1.0, &key(seed)).unwrap(),
        &|seed| init::glorot_uniform(&[5, 4], Dtype::Float32, 1.0, &key(seed)).unwrap(),
        &|seed| init::he_normal(&[5, 4], Dtype::Float32, Fan::In, 1.0, &key(seed)).unwrap(),
        &|seed| init::orthogonal(&[5, 4], Dtype::Float32, 1.0, &key(seed)).unwrap(),
        &|seed| init::sparse(&[5, 4], Dtype::Float32, 0.5, 1.0, &key(seed)).unwrap(),
    ];
    for draw in draws {
        assert_eq!(values(&draw(1)), values(&draw(1)));
        assert_ne!(values(&draw(1)), values(&draw(2)));
    }
}

#[test]
fn constants_and_identities_are_exact() {
    for dtype in FLOATS {
        let x = init::constant(&[2, 3], dtype, 0.5).unwrap();
        assert_eq!((x.dtype(), values(&x)), (dtype, vec![0.5; 6]));
        let x = init::identity(&[2, 2], dtype).unwrap();
        assert_eq!((x.dtype(), values(&x)), (dtype, vec![1.0, 0.0, 0.0, 1.0]));
    }
}

#[test]
fn orthogonal_rows_or_columns_have_the_length_of_the_gain() {
    for (shape, gain) in [([6, 6], 1.0f32), ([4, 7], 2.0), ([7, 4], 0.5), ([1, 5], 1.0), ([5, 1], 1.0)] {
        let q = init::orthogonal(&shape, Dtype::Float32, gain, &key(8)).unwrap();
        assert_eq!(q.shape(), shape);
        let turned = q.transpose().unwrap();
        let small = shape[0].min(shape[1]);
        let product = if shape[0] <= shape[1] { q.matmul(&turned) } else { turned.matmul(&q) }.unwrap();
        let expected = (&Array::identity(small, Dtype::Float32).unwrap() * (gain * gain)).unwrap();
        assert_close(&format!("{shape:?}"), &values(&product), &values(&expected), (0.0, 1e-5));
    }
    let half = init::orthogonal(&[3, 3], Dtype::Bfloat16, 1.0, &key(8)).unwrap();
    assert_eq!(half.dtype(), Dtype::Bfloat16);
}

#[test]
fn orthogonal_matrices_prefer_no_direction() {
    // Each entry has mean 0 and mean square 1 / n; an algorithm's own signs would show in the diagonal.
    let (n, draws) = (3, 400);
    let mut sums = vec![(0.0f32, 0.0f32); 9];
    for seed in 0..draws {
        let q = values(&init::orthogonal(&[n, n], Dtype::Float32, 1.0, &key(seed)).unwrap());
        for (sum, q) in sums.iter_mut().zip(q) {
            *sum = (sum.0 + q, sum.1 + q * q);
        }
    }
    for (i, (sum, squares)) in sums.into_iter().enumerate() {
        let (mean, square) = (sum / draws as f32, squares / draws as f32);
        assert!(mean.abs() < 5.0 * (1.0 / 3.0f32 / draws as f32).sqrt(), "entry {i}: mean {mean}");
        assert!((square - 1.0 / 3.0).abs() < 0.08, "entry {i}: mean square {square}");
    }
}

#[test]
fn each_row_of_a_sparse_matrix_has_its_zeros() {
    for (sparsity, zeros) in [(0.0, 0), (0.3, 24), (0.301, 25), (1.0, 80)] {
        let x = init::sparse(&SHAPE, Dtype::Float32, sparsity, 2.0, &key(9)).unwrap();
        let x = values(&x);
        let mut columns = [0; 80];
        for row in x.chunks(80) {
            assert_eq!(row.iter().filter(|&&x| x == 0.0).count(), zeros, "{sparsity}");
            for (count, &x) in columns.iter_mut().zip(row) {
                *count += i32::from(x == 0.0);
            }
        }
        if zeros == 24 {
            // Which ones differs from row to row: none is in all of them.
            assert!(columns.iter().all(|&count| (10..70).contains(&count)), "{columns:?}");
            let kept: Vec<f32> = x.into_iter().filter(|&x| x != 0.0).collect();
            moments("kept", &Array::from_slice(&kept, &[kept.len() as i32]).unwrap(), 0.0, 2.0);
        }
    }
}

#[test]
fn empty_shapes_draw_nothing() {
    assert_eq!(init::normal(&[0, 3], Dtype::Float32, 0.0, 1.0, &key(0)).unwrap().shape(), [0, 3]);
    assert_eq!(init::sparse(&[0, 3], Dtype::Float32, 0.5, 1.0, &key(0)).unwrap().shape(), [0, 3]);
    assert_eq!(init::sparse(&[3, 0], Dtype::Float32, 0.5, 1.0, &key(0)).unwrap().shape(), [3, 0]);
}
