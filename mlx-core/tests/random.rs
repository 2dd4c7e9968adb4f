// SPDX-License-Identifier: EUPL-1.2
//! Draws: against MLX's own Python package for one key (`golden/generate_ops.py`), and against their distributions.

use mlx_core::random::{self, Key};
use mlx_core::{Array, Dtype, Error, Result};
use serde_json::Value;

/// What `golden/generate_ops.py` wrote.
pub(crate) fn golden() -> Value {
    let golden: Value = serde_json::from_str(include_str!("golden/ops.json")).unwrap();
    assert_eq!(golden["mlx"], "0.32.2");
    golden
}

fn read(array: &Array) -> Vec<f64> {
    array.astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap()
}

fn logits() -> Array {
    let values: Vec<f32> = (0..16i16).map(|i| f32::from(i * 37 % 97 - 48) / 16.0).collect();
    Array::from_slice(&values, &[2, 8]).unwrap()
}

#[test]
fn draws_of_a_key_are_those_of_python() {
    let golden = golden();
    let key = Key::new(42).unwrap();
    let f32s = Dtype::Float32;
    let (first, second) = key.split().unwrap();
    let three = key.split_n(3).unwrap();
    let words = |keys: &[&Key]| {
        let all: Vec<&Array> = keys.iter().map(|key| key.as_array()).collect();
        mlx_core::concatenate(&all, 0)
    };
    let p = Array::from_slice(&[0.1f32, 0.5, 0.9, 0.5], &[4]).unwrap();
    let six = Array::arange(0.0, 6.0, 1.0, Dtype::Int32).unwrap();
    let draws: [(&str, Result<Array>); 19] = [
        ("key", Ok(key.as_array().clone())),
        ("split", words(&[&first, &second])),
        ("split_n", words(&three.iter().collect::<Vec<_>>())),
        ("uniform", random::uniform(-1.0, 3.0, &[2, 3], f32s, &key)),
        ("uniform_bfloat16", random::uniform(0.0, 1.0, &[5], Dtype::Bfloat16, &key)),
        ("normal", random::normal(&[5], f32s, 1.0, 2.0, &key)),
        ("normal_float16", random::normal(&[5], Dtype::Float16, 0.0, 1.0, &key)),
        ("truncated_normal", random::truncated_normal(-0.5, 2.0, &[5], f32s, &key)),
        ("gumbel", random::gumbel(&[5], f32s, &key)),
        ("laplace", random::laplace(&[5], f32s, -1.0, 0.5, &key)),
        ("bernoulli", random::bernoulli(&p, &[4], &key)),
        ("randint", random::randint(-3, 10, &[8], Dtype::Int32, &key)),
        ("randint_uint8", random::randint(0, 256, &[8], Dtype::Uint8, &key)),
        ("categorical", random::categorical(&logits(), -1, &key)),
        ("categorical_axis0", random::categorical(&logits(), 0, &key)),
        ("categorical_n", random::categorical_n(&logits(), 1, 4, &key)),
        ("permutation", random::permutation(&six, 0, &key)),
        ("permutation_n", random::permutation_n(6, &key)),
        // The same key draws the same again.
        ("uniform", random::uniform(-1.0, 3.0, &[2, 3], f32s, &Key::new(42).unwrap())),
    ];
    for (name, draw) in draws {
        let found = read(&draw.unwrap());
        let expected = golden["random"][name].as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (x, y) in found.iter().zip(expected) {
            let y = y.as_f64().unwrap();
            assert!((x - y).abs() <= 1e-5 + 1e-5 * y.abs(), "{name}: {x} for {y}");
        }
    }
}

/// Mean and variance of a draw of 40 000.
fn moments(draw: &Array) -> (f64, f64) {
    let values = read(draw);
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
}

#[test]
fn draws_have_the_moments_of_their_distributions() {
    const N: &[i32] = &[40_000];
    const EULER: f64 = 0.577_215_664_901_532_9;
    let half = Array::scalar(0.25f32).unwrap();
    let pi_squared = std::f64::consts::PI.powi(2);
    for seed in [1, 7] {
        let key = Key::new(seed).unwrap();
        for (dtype, slack) in [(Dtype::Float32, 1.0), (Dtype::Bfloat16, 1.5), (Dtype::Float16, 1.5)] {
            let draws: [(&str, Result<Array>, f64, f64); 5] = [
                ("uniform", random::uniform(-1.0, 3.0, N, dtype, &key), 1.0, 16.0 / 12.0),
                ("normal", random::normal(N, dtype, 2.0, 3.0, &key), 2.0, 9.0),
                ("gumbel", random::gumbel(N, dtype, &key), EULER, pi_squared / 6.0),
                ("laplace", random::laplace(N, dtype, 1.0, 0.5, &key), 1.0, 0.5),
                // The density of a normal between −1 and 1: variance 1 − 2 φ(1) / (2 Φ(1) − 1).
                ("truncated_normal", random::truncated_normal(-1.0, 1.0, N, dtype, &key), 0.0, 0.291_125_1),
            ];
            for (name, draw, mean, variance) in draws {
                let draw = draw.unwrap();
                assert_eq!(draw.dtype(), dtype, "{name}");
                let found = moments(&draw);
                // Five standard errors of the mean; the variance's own spread is a few times larger.
                let error = 5.0 * (variance / 40_000.0f64).sqrt() * slack;
                assert!((found.0 - mean).abs() < error, "{name} {dtype}: mean {}", found.0);
                assert!(
                    (found.1 / variance - 1.0).abs() < 0.06 * slack,
                    "{name} {dtype}: variance {}",
                    found.1
                );
            }
        }
        let (mean, _) = moments(&random::bernoulli(&half, N, &key).unwrap());
        assert!((mean - 0.25).abs() < 0.011, "{mean}");
        let (mean, variance) = moments(&random::randint(-5, 6, N, Dtype::Int16, &key).unwrap());
        assert!(mean.abs() < 0.08 && (variance - 10.0).abs() < 0.3, "{mean} {variance}");
        for (width, dtype) in [(1, Dtype::Uint8), (2, Dtype::Uint16), (4, Dtype::Uint32)] {
            let bits = random::bits(N, width, &key).unwrap();
            assert_eq!(bits.dtype(), dtype);
            let (mean, _) = moments(&bits);
            let top = 2f64.powi(8 * width);
            assert!((mean / top - 0.5).abs() < 5.0 * (1.0 / 12.0 / 40_000.0f64).sqrt(), "{width}: {mean}");
        }
    }
}

#[test]
fn draws_stay_within_their_bounds() {
    let key = Key::new(3).unwrap();
    for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32] {
        let values = read(&random::uniform(0.0, 1.0, &[100_000], dtype, &key).unwrap());
        assert!(values.iter().all(|x| (0.0..1.0).contains(x)), "{dtype}");
        let values = read(&random::truncated_normal(-0.5, 0.5, &[10_000], dtype, &key).unwrap());
        assert!(values.iter().all(|x| (-0.5..=0.5).contains(x)), "{dtype}");
        assert!(
            read(&random::gumbel(&[100_000], dtype, &key).unwrap()).iter().all(|x| x.is_finite()),
            "{dtype}"
        );
    }
    for (low, high, dtype) in [
        (0, 3, Dtype::Uint8),
        (-128, 128, Dtype::Int8),
        (0, 1, Dtype::Int64),
        (i32::MIN, i32::MAX, Dtype::Int32),
    ] {
        let values = read(&random::randint(low, high, &[10_000], dtype, &key).unwrap());
        assert!(values.iter().all(|&x| x >= f64::from(low) && x < f64::from(high)), "{low}..{high} {dtype}");
    }
}

/// Pearson's χ² of draws against probabilities.
fn chi_square(draws: &[u32], probabilities: &[f64]) -> f64 {
    let n = draws.len() as f64;
    let count = |i: usize| draws.iter().filter(|&&x| x as usize == i).count() as f64;
    probabilities.iter().enumerate().map(|(i, p)| (count(i) - n * p).powi(2) / (n * p)).sum()
}

#[test]
fn categorical_draws_from_the_softmax() {
    let values = [0.0f32, 1.0, -1.0, 2.0];
    let exps = values.map(|x| f64::from(x).exp());
    let probabilities = exps.map(|x| x / exps.iter().sum::<f64>());
    for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32] {
        let logits = Array::from_slice(&values, &[4]).unwrap().astype(dtype).unwrap();
        let draws = random::categorical_n(&logits, 0, 20_000, &Key::new(11).unwrap()).unwrap();
        // The 99.9 % point for three degrees of freedom; noise in half precision has ties and is coarser.
        let bound = if dtype == Dtype::Float32 { 16.27 } else { 60.0 };
        let found = chi_square(&draws.to_vec::<u32>().unwrap(), &probabilities);
        assert!(found < bound, "{dtype}: {found}");
    }
    let masked = Array::from_slice(&[f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY], &[3]).unwrap();
    let draws = random::categorical_n(&masked, 0, 1000, &Key::new(1).unwrap()).unwrap();
    assert!(draws.to_vec::<u32>().unwrap().iter().all(|&x| x == 1));
    for odd in [f32::NAN, f32::NEG_INFINITY, f32::INFINITY] {
        let logits = Array::full(&[3], odd.into(), Dtype::Float32).unwrap();
        assert!(random::categorical(&logits, 0, &Key::new(1).unwrap()).unwrap().item::<u32>().unwrap() < 3);
    }
}

#[test]
fn permutations_hold_everything_once() {
    let key = Key::new(5).unwrap();
    let mut order = random::permutation_n(1000, &key).unwrap().to_vec::<u32>().unwrap();
    assert_ne!(order[..10], (0..10).collect::<Vec<_>>());
    order.sort_unstable();
    assert_eq!(order, (0..1000).collect::<Vec<_>>());
    let rows = Array::from_slice(&[0, 1, 2, 3, 4, 5], &[3, 2]).unwrap();
    let shuffled = random::permutation(&rows, 0, &key).unwrap().to_vec::<i32>().unwrap();
    let mut pairs: Vec<&[i32]> = shuffled.chunks(2).collect();
    pairs.sort_unstable();
    assert_eq!(pairs, [[0, 1], [2, 3], [4, 5]]);
}

#[test]
fn keys_are_independent_and_reproducible() {
    let draw = |key: &Key| random::bits(&[8], 4, key).unwrap().to_vec::<u32>().unwrap();
    let key = Key::new(9).unwrap();
    let (a, b) = key.split().unwrap();
    let many = key.split_n(4).unwrap();
    let mut seen: Vec<Vec<u32>> = [&key, &a, &b].into_iter().chain(&many).map(draw).collect();
    assert_eq!(draw(&a), draw(&Key::new(9).unwrap().split().unwrap().0));
    assert_eq!(draw(&many[3]), draw(&Key::from_array(many[3].as_array().clone()).unwrap()));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 7);
    assert_ne!(draw(&Key::new(0).unwrap()), draw(&Key::new(1 << 32).unwrap()));
    assert!(key.split_n(0).unwrap().is_empty());
    assert!(key.split_n(usize::MAX).is_err() && key.split_n(1 << 31).is_err());
    for words in [
        Array::zeros(&[3], Dtype::Uint32),
        Array::zeros(&[2], Dtype::Int32),
        Array::zeros(&[], Dtype::Uint32),
    ] {
        assert!(matches!(Key::from_array(words.unwrap()), Err(Error::Argument { argument: "words", .. })));
    }
}

#[test]
fn the_draw_does_not_depend_on_the_thread() {
    let draw = || {
        random::normal(&[4], Dtype::Float32, 0.0, 1.0, &Key::new(6).unwrap())
            .unwrap()
            .to_vec::<f32>()
            .unwrap()
    };
    let elsewhere = std::thread::spawn(draw).join().unwrap();
    assert_eq!(draw(), elsewhere);
}

/// On some of these the native sort divides by zero.
#[test]
fn empty_and_scalar_draws_work() {
    let key = Key::new(1).unwrap();
    let p = Array::scalar(0.5f32).unwrap();
    let f = Dtype::Float32;
    for shape in [&[][..], &[0], &[2, 0], &[0, 3]] {
        for draw in [
            random::uniform(0.0, 1.0, shape, f, &key),
            random::normal(shape, f, 0.0, 1.0, &key),
            random::truncated_normal(-1.0, 1.0, shape, f, &key),
            random::gumbel(shape, f, &key),
            random::laplace(shape, f, 0.0, 1.0, &key),
            random::bernoulli(&p, shape, &key),
            random::randint(0, 5, shape, Dtype::Int32, &key),
            random::bits(shape, 4, &key),
        ] {
            let draw = draw.unwrap();
            draw.eval().unwrap();
            assert_eq!(draw.shape(), shape);
        }
    }
    for (shape, axis) in [(&[0][..], 0), (&[0, 2], 0), (&[2, 0], 1), (&[2, 0], 0)] {
        let x = Array::zeros(shape, f).unwrap();
        let shuffled = random::permutation(&x, axis, &key).unwrap();
        shuffled.eval().unwrap();
        assert_eq!(shuffled.shape(), shape);
    }
    assert_eq!(random::permutation_n(0, &key).unwrap().to_vec::<u32>().unwrap(), [0u32; 0]);
    let none = Array::zeros(&[0, 3], f).unwrap();
    let drawn = random::categorical(&none, 1, &key).unwrap();
    drawn.eval().unwrap();
    assert_eq!(drawn.shape(), [0]);
    assert_eq!(random::categorical_n(&none, 1, 5, &key).unwrap().shape(), [0, 5]);
    assert_eq!(random::categorical_n(&logits(), 0, 0, &key).unwrap().shape(), [8, 0]);
    assert_eq!(random::categorical_n(&logits(), 0, 3, &key).unwrap().shape(), [8, 3]);
}

#[test]
fn draws_reject_what_does_not_fit() {
    let key = Key::new(1).unwrap();
    let f = Dtype::Float32;
    let p = Array::scalar(0.5f32).unwrap();
    type Draw = fn(&[i32], Dtype, &Key) -> Result<Array>;
    let draws: [Draw; 5] = [
        |shape, dtype, key| random::uniform(0.0, 1.0, shape, dtype, key),
        |shape, dtype, key| random::normal(shape, dtype, 0.0, 1.0, key),
        |shape, dtype, key| random::truncated_normal(-1.0, 1.0, shape, dtype, key),
        |shape, dtype, key| random::gumbel(shape, dtype, key),
        |shape, dtype, key| random::laplace(shape, dtype, 0.0, 1.0, key),
    ];
    for (place, draw) in draws.into_iter().enumerate() {
        let native = |dtype| matches!(dtype, Dtype::Float16 | Dtype::Bfloat16 | Dtype::Float32);
        // The normal distribution has two more.
        let more = |dtype| place == 1 && matches!(dtype, Dtype::Float64 | Dtype::Complex64);
        for dtype in Dtype::ALL.into_iter().filter(|&dtype| !native(dtype) && !more(dtype)) {
            assert!(
                matches!(draw(&[2], dtype, &key), Err(Error::Argument { argument: "dtype", .. })),
                "{dtype}"
            );
        }
        assert!(matches!(draw(&[-1], f, &key), Err(Error::Shape { .. })));
        assert!(matches!(draw(&[i32::MAX; 4], f, &key), Err(Error::Shape { .. })));
    }
    for result in [
        random::truncated_normal(1.0, -1.0, &[2], f, &key),
        random::truncated_normal(f32::NAN, 1.0, &[2], f, &key),
        random::randint(5, 5, &[2], Dtype::Int32, &key),
        random::randint(0, 300, &[2], Dtype::Uint8, &key),
        random::randint(-1, 3, &[2], Dtype::Uint32, &key),
        random::randint(0, 3, &[2], f, &key),
        random::randint(0, 3, &[2], Dtype::Bool, &key),
        random::randint(0, 3, &[-2], Dtype::Int32, &key),
        random::bits(&[2], 3, &key),
        random::bits(&[2], 8, &key),
        random::bits(&[-2], 4, &key),
        random::bernoulli(&p, &[-2], &key),
        random::bernoulli(&Array::from_slice(&[0.5f32; 2], &[2]).unwrap(), &[3], &key),
        random::bernoulli(&Array::scalar(1).unwrap(), &[3], &key),
        random::categorical(&p, 0, &key),
        random::categorical(&logits(), 2, &key),
        random::categorical(&Array::zeros(&[2, 0], f).unwrap(), 1, &key),
        random::categorical(&Array::zeros(&[2], Dtype::Int32).unwrap(), 0, &key),
        random::categorical_n(&logits(), 1, -1, &key),
        random::categorical_n(&logits(), 2, 1, &key),
        random::permutation(&p, 0, &key),
        random::permutation(&logits(), 2, &key),
        random::permutation_n(-1, &key),
    ] {
        assert!(result.is_err(), "{result:?}");
    }
}

#[test]
fn the_threads_own_keys_begin_anew_with_a_seed() {
    let draw = || {
        random::seed(5).unwrap();
        let keys = [Key::fresh().unwrap(), Key::fresh().unwrap()];
        keys.map(|key| key.as_array().to_vec::<u32>().unwrap())
    };
    let [first, second] = draw();
    assert_ne!(first, second);
    assert_eq!(draw(), [first, second]);
    // A given key is not affected.
    let key = Key::new(1).unwrap();
    let before = read(&random::uniform(0.0, 1.0, &[3], Dtype::Float32, &key).unwrap());
    random::seed(u64::MAX).unwrap();
    assert_eq!(read(&random::uniform(0.0, 1.0, &[3], Dtype::Float32, &key).unwrap()), before);
}

#[test]
fn parameters_that_do_not_fit_are_errors_that_name_them() {
    let key = Key::new(0).unwrap();
    let shape = [2, 3];
    let f32s = Dtype::Float32;
    let four = Array::zeros(&[4], f32s).unwrap();
    let wide = Array::zeros(&[5, 2, 3], f32s).unwrap();
    let complex = Array::zeros(&[3], Dtype::Complex64).unwrap();
    for bad in [&four, &wide, &complex] {
        assert!(matches!(
            random::uniform(bad, 1.0, &shape, f32s, &key),
            Err(Error::Argument { argument: "low", .. })
        ));
        assert!(matches!(
            random::uniform(0.0, bad, &shape, f32s, &key),
            Err(Error::Argument { argument: "high", .. })
        ));
        assert!(matches!(
            random::normal(&shape, f32s, bad, 1.0, &key),
            Err(Error::Argument { argument: "loc", .. })
        ));
        assert!(matches!(
            random::normal(&shape, f32s, 0.0, bad, &key),
            Err(Error::Argument { argument: "scale", .. })
        ));
        assert!(random::truncated_normal(bad, 1.0, &shape, f32s, &key).is_err());
        assert!(random::bernoulli(bad, &shape, &key).is_err());
        assert!(random::randint(bad, 9, &shape, Dtype::Int32, &key).is_err());
    }
    for extreme in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
        random::uniform(extreme, 1.0, &[4], f32s, &key).unwrap().eval().unwrap();
        random::normal(&[4], f32s, extreme, extreme, &key).unwrap().eval().unwrap();
        random::bernoulli(extreme, &[4], &key).unwrap().eval().unwrap();
        let p = Array::scalar(extreme).unwrap();
        random::truncated_normal(&p, 0.0, &[4], f32s, &key).unwrap().eval().unwrap();
        random::categorical_shape(&Array::full(&[4], f64::from(extreme), f32s).unwrap(), 0, &[3], &key)
            .unwrap()
            .eval()
            .unwrap();
    }
    let (low, high) = (Array::scalar(i64::MIN).unwrap(), Array::scalar(u64::MAX).unwrap());
    for dtype in [Dtype::Int8, Dtype::Int64, Dtype::Uint64] {
        random::randint(&low, &high, &[4], dtype, &key).unwrap().eval().unwrap();
        random::randint(&high, &low, &[4], dtype, &key).unwrap().eval().unwrap();
    }
}

#[test]
fn normal_vectors_have_the_covariance_asked_for() {
    let key = Key::new(3).unwrap();
    let mean = Array::from_slice(&[1.0f32, -2.0], &[2]).unwrap();
    let covariance = Array::from_slice(&[2.0f32, 0.6, 0.6, 0.5], &[2, 2]).unwrap();
    let draws = read(&random::multivariate_normal(&mean, &covariance, &[20_000], &key).unwrap());
    let n = draws.len() as f64 / 2.0;
    let mut sums = [0.0; 5];
    for pair in draws.chunks(2) {
        let (a, b) = (pair[0] - 1.0, pair[1] + 2.0);
        for (sum, value) in sums.iter_mut().zip([a, b, a * a, a * b, b * b]) {
            *sum += value / n;
        }
    }
    for (found, expected) in sums.iter().zip([0.0, 0.0, 2.0, 0.6, 0.5]) {
        assert!((found - expected).abs() < 0.06, "{sums:?}");
    }
}

#[test]
fn covariances_that_are_not_finite_give_nan() {
    let key = Key::new(3).unwrap();
    let mean = Array::zeros(&[40], Dtype::Float32).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![0.0f32; 2 * 40 * 40];
        values[41 * 7] = 1.0;
        values[1600 + 5] = bad;
        let covariances = Array::from_slice(&values, &[2, 40, 40]).unwrap();
        for covariances in [covariances.clone(), (&covariances * 1.0).unwrap()] {
            let draws = read(&random::multivariate_normal(&mean, &covariances, &[3, 2], &key).unwrap());
            for (row, draw) in draws.chunks(40).enumerate() {
                assert!(draw.iter().all(|x| x.is_nan() == (row % 2 == 1)), "{bad} {row}");
            }
        }
    }
    for (mean, covariance) in
        [(vec![], vec![0, 0]), (vec![2], vec![3, 3]), (vec![2], vec![2]), (vec![2], vec![2, 3])]
    {
        let [mean, covariance] =
            [mean, covariance].map(|shape| Array::zeros(&shape, Dtype::Float32).unwrap());
        assert!(matches!(
            random::multivariate_normal(&mean, &covariance, &[3], &key),
            Err(Error::Shape { .. })
        ));
    }
    let half = Array::zeros(&[2], Dtype::Float16).unwrap();
    let whole = Array::zeros(&[2, 2], Dtype::Float32).unwrap();
    assert!(random::multivariate_normal(&half, &whole, &[3], &key).is_err());
    let empty = Array::zeros(&[0], Dtype::Float32).unwrap();
    let none = Array::zeros(&[0, 0], Dtype::Float32).unwrap();
    assert_eq!(random::multivariate_normal(&empty, &none, &[3], &key).unwrap().shape(), [3, 0]);
}
