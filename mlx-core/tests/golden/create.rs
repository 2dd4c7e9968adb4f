// SPDX-License-Identifier: EUPL-1.2
//! Arrays from a rule, windows, triangles.

use mlx_core::{Array, Result};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let matrix = || (p.int("rows"), p.int("columns"), p.int("k"), p.dtype("dtype"));
    let line = || (p.float("start"), p.float("stop"), p.int("count"), p.dtype("dtype"));
    let result = match op {
        "zeros" => Array::zeros(&p.ints("shape"), p.dtype("dtype")),
        "ones" => Array::ones(&p.ints("shape"), p.dtype("dtype")),
        "full" => Array::full(&p.ints("shape"), p.float("value"), p.dtype("dtype")),
        "zeros_like" if p.has("dtype") => x[0].zeros_like_dtype(p.dtype("dtype")),
        "zeros_like" => x[0].zeros_like(),
        "ones_like" if p.has("dtype") => x[0].ones_like_dtype(p.dtype("dtype")),
        "ones_like" => x[0].ones_like(),
        "full_like" if p.has("dtype") => x[0].full_like_dtype(p.float("value"), p.dtype("dtype")),
        "full_like" => x[0].full_like(p.float("value")),
        "arange" => Array::arange(p.float("start"), p.float("stop"), p.float("step"), p.dtype("dtype")),
        "linspace" => {
            let (start, stop, count, dtype) = line();
            Array::linspace(start, stop, count, dtype)
        }
        "linspace_open" => {
            let (start, stop, count, dtype) = line();
            Array::linspace_open(start, stop, count, dtype)
        }
        "eye" => {
            let (rows, columns, k, dtype) = matrix();
            Array::eye(rows, columns, k, dtype)
        }
        "tri" => {
            let (rows, columns, k, dtype) = matrix();
            Array::tri(rows, columns, k, dtype)
        }
        "identity" => Array::identity(p.int("n"), p.dtype("dtype")),
        "tril" => x[0].tril(p.int("k")),
        "triu" => x[0].triu(p.int("k")),
        "bartlett" => Array::bartlett(p.int("n")),
        "blackman" => Array::blackman(p.int("n")),
        "hamming" => Array::hamming(p.int("n")),
        "hanning" => Array::hanning(p.int("n")),
        other => panic!("no op {other}"),
    };
    Ok(vec![result?])
}
