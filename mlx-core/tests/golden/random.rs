// SPDX-License-Identifier: EUPL-1.2
//! The calls of `generate_random.py`.

use mlx_core::random::{self, Key};
use mlx_core::{Array, Result, stack};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let one = |array: Result<Array>| array.map(|array| vec![array]);
    let key = Key::new(p.text("seed").parse().unwrap())?;
    match op {
        "key" => Ok(vec![key.as_array().clone()]),
        "split" => key.split().map(|(a, b)| vec![a.as_array().clone(), b.as_array().clone()]),
        "split_n" => {
            let keys = key.split_n(usize::try_from(p.int("n")).unwrap())?;
            one(stack(&keys.iter().map(Key::as_array).collect::<Vec<_>>(), 0))
        }
        "categorical" => one(random::categorical(&x[0], p.int("axis"), &key)),
        "categorical_n" => one(random::categorical_n(&x[0], p.int("axis"), p.int("n"), &key)),
        "categorical_shape" => one(random::categorical_shape(&x[0], p.int("axis"), &p.ints("shape"), &key)),
        "permutation" => one(random::permutation(&x[0], p.int("axis"), &key)),
        "permutation_n" => one(random::permutation_n(p.int("n"), &key)),
        "bernoulli" => one(random::bernoulli(&x[0], &p.ints("shape"), &key)),
        "multivariate" => one(random::multivariate_normal(&x[0], &x[1], &p.ints("shape"), &key)),
        _ => one(draw(op, x, p, &key)),
    }
}

/// The draws that have a dtype.
fn draw(op: &str, x: &[Array], p: &Params, key: &Key) -> Result<Array> {
    let (shape, dtype) = (p.ints("shape"), p.dtype("dtype"));
    let float = |name| p.float(name) as f32;
    match op {
        "uniform" => random::uniform(float("low"), float("high"), &shape, dtype, key),
        "normal" => random::normal(&shape, dtype, float("loc"), float("scale"), key),
        "truncated_normal" => random::truncated_normal(float("lower"), float("upper"), &shape, dtype, key),
        "gumbel" => random::gumbel(&shape, dtype, key),
        "laplace" => random::laplace(&shape, dtype, float("loc"), float("scale"), key),
        "randint" => random::randint(p.int("low"), p.int("high"), &shape, dtype, key),
        "uniform_arrays" => random::uniform(&x[0], &x[1], &shape, dtype, key),
        "normal_arrays" => random::normal(&shape, dtype, &x[0], &x[1], key),
        "truncated_arrays" => random::truncated_normal(&x[0], &x[1], &shape, dtype, key),
        "randint_arrays" => random::randint(&x[0], &x[1], &shape, dtype, key),
        other => panic!("no op {other}"),
    }
}
