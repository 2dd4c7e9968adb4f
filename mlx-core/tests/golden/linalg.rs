// SPDX-License-Identifier: EUPL-1.2
//! The calls of `generate_linalg.py`.

use mlx_core::linalg::{self, MatrixNorm, Triangle};
use mlx_core::{
    Array, BlockMasks, Dtype, Result, addmm, block_masked_mm, einsum, inner, kron, outer, segmented_mm,
    tensordot,
};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let one = |array: Result<Array>| array.map(|array| vec![array]);
    match op {
        "qr" => {
            let (q, r) = linalg::qr(&x[0])?;
            Ok(vec![q.abs()?, r.abs()?, q.matmul(&r)?])
        }
        "lu" => linalg::lu(&x[0]).map(|lu| vec![lu.permutation, lu.lower, lu.upper]),
        "lu_factor" => linalg::lu_factor(&x[0]).map(|(lu, pivots)| vec![lu, pivots]),
        "svd" => svd(&x[0]),
        "singular_values" => one(linalg::singular_values(&x[0])),
        "pinv" => one(linalg::pinv(&x[0])),
        "eig" => {
            let (w, v) = linalg::eig(&x[0])?;
            let left = x[0].astype(Dtype::Complex64)?.matmul(&v)?;
            let rest = (&left - &(&v * &w.expand_dims(-2)?)?)?.abs()?;
            Ok(vec![w.sum(-1, false)?, (&w * &w)?.sum(-1, false)?, rest])
        }
        "eigvals" => one(linalg::eigvals(&x[0])?.sum(-1, false)),
        "eigh" => {
            let a = (&x[0] + &adjoint(&x[0])?)?;
            let (w, v) = linalg::eigh(&a, triangle(p))?;
            Ok(vec![w.clone(), (&v * &w.expand_dims(-2)?)?.matmul(&adjoint(&v)?)?])
        }
        "eigvalsh" => one(linalg::eigvalsh(&x[0], triangle(p))),
        "cholesky" => {
            let a = x[0].matmul(&x[0].swap_axes(-1, -2)?)?;
            let eye = Array::identity(*x[0].shape().last().unwrap(), x[0].dtype())?;
            one(linalg::cholesky(&(&a + &eye)?, triangle(p)))
        }
        "plain_cholesky" => one(linalg::cholesky(&x[0], triangle(p))),
        "cholesky_inv" => one(linalg::cholesky_inv(&x[0], triangle(p))),
        "tri_inv" => one(linalg::tri_inv(&x[0], triangle(p))),
        "inv" => one(linalg::inv(&x[0])),
        "det" => one(linalg::det(&x[0])),
        "slogdet" => {
            let (sign, log) = linalg::slogdet(&x[0])?;
            Ok(if p.has("log") { vec![log] } else { vec![sign, log] })
        }
        "solve" | "solve_triangular" => {
            let a = if p.has("stop") { x[0].stop_gradient()? } else { x[0].clone() };
            one(match op {
                "solve" => linalg::solve(&a, &x[1]),
                _ => linalg::solve_triangular(&a, &x[1], triangle(p)),
            })
        }
        "norm" => {
            let axes = p.has("axes").then(|| p.ints("axes"));
            one(linalg::norm(&x[0], axes.as_deref(), p.flag("keepdims")))
        }
        "vector_norm" => {
            one(linalg::vector_norm(&x[0], p.text("p").parse().unwrap(), p.int("axis"), p.flag("keepdims")))
        }
        "matrix_norm" => {
            let axes = <[i32; 2]>::try_from(p.ints("axes")).unwrap();
            one(linalg::matrix_norm(&x[0], kind(p.text("kind")), axes, p.flag("keepdims")))
        }
        "cross" => one(linalg::cross(&x[0], &x[1], p.int("axis"))),
        "block_masked" => {
            let mut rest = x[2..].iter();
            let mut mask = |name: &str| if p.has(name) { rest.next() } else { None };
            let masks = BlockMasks {
                block_size: p.int("block_size"),
                out: mask("mask_out"),
                lhs: mask("mask_lhs"),
                rhs: mask("mask_rhs"),
            };
            let product = block_masked_mm(&x[0], &x[1], &masks)?;
            Ok(vec![product.sum(-1, false)?, product.sum(-2, false)?])
        }
        "segmented" => one(segmented_mm(&x[0], &x[1], &x[2])),
        _ => product(op, x, p).map(|array| vec![array]),
    }
}

fn product(op: &str, x: &[Array], p: &Params) -> Result<Array> {
    match op {
        "matmul" => x[0].matmul(&x[1]),
        "addmm" => addmm(&x[0], &x[1], &x[2], p.float("alpha") as f32, p.float("beta") as f32),
        "inner" => inner(&x[0], &x[1]),
        "outer" => outer(&x[0], &x[1]),
        "kron" => kron(&x[0], &x[1]),
        "vecdot" => x[0].vecdot(&x[1], p.int("axis")),
        "tensordot" => tensordot(&x[0], &x[1], &p.ints("axes_a"), &p.ints("axes_b")),
        "einsum" => einsum(p.text("text"), x),
        "hadamard" => x[0].hadamard_transform(p.has("scale").then(|| p.float("scale") as f32)),
        "gather_mm" => {
            let stop = |i: &Array| if p.has("stop") { i.stop_gradient() } else { Ok(i.clone()) };
            let indices = x[2..].iter().map(stop).collect::<Result<Vec<_>>>()?;
            let mut indices = indices.iter();
            let lhs = if p.flag("lhs") { indices.next() } else { None };
            let rhs = if p.flag("rhs") { indices.next() } else { None };
            x[0].gather_mm(&x[1], lhs, rhs, false)
        }
        other => panic!("no op {other}"),
    }
}

/// The conjugate transposed.
fn adjoint(a: &Array) -> Result<Array> {
    a.swap_axes(-1, -2)?.conjugate()
}

fn svd(a: &Array) -> Result<Vec<Array>> {
    let parts = linalg::svd(a)?;
    let k = *parts.s.shape().last().unwrap();
    let first =
        |array: &Array, axis: i32| array.take(&Array::arange(0.0, f64::from(k), 1.0, Dtype::Uint32)?, axis);
    let scaled = (&first(&parts.u, -1)? * &parts.s.expand_dims(-2)?)?;
    let unit = adjoint(&parts.u)?.matmul(&parts.u)?;
    Ok(vec![parts.s, scaled.matmul(&first(&parts.vt, -2)?)?, unit])
}

fn triangle(p: &Params) -> Triangle {
    match p.text("triangle") {
        "lower" => Triangle::Lower,
        _ => Triangle::Upper,
    }
}

fn kind(name: &str) -> MatrixNorm {
    match name {
        "frobenius" => MatrixNorm::Frobenius,
        "nuclear" => MatrixNorm::Nuclear,
        "largest_column" => MatrixNorm::LargestColumn,
        "smallest_column" => MatrixNorm::SmallestColumn,
        "largest_row" => MatrixNorm::LargestRow,
        "smallest_row" => MatrixNorm::SmallestRow,
        "largest_singular" => MatrixNorm::LargestSingular,
        "smallest_singular" => MatrixNorm::SmallestSingular,
        other => panic!("no norm {other}"),
    }
}
