// SPDX-License-Identifier: EUPL-1.2
//! Linear algebra.

use mlx_core::linalg::{self, Lu, MatrixNorm, Svd, Triangle};
use mlx_core::{Array, Result};

use super::{Bytes, one, pick, two};

const NORMS: [MatrixNorm; 8] = [
    MatrixNorm::Frobenius,
    MatrixNorm::Nuclear,
    MatrixNorm::LargestColumn,
    MatrixNorm::SmallestColumn,
    MatrixNorm::LargestRow,
    MatrixNorm::SmallestRow,
    MatrixNorm::LargestSingular,
    MatrixNorm::SmallestSingular,
];

/// Matrices whose decomposition still takes no time.
const LARGEST: i32 = 64;

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let (a, b) = (pick(bytes, made), pick(bytes, made));
    if a.shape().iter().chain(b.shape()).any(|&dim| dim > LARGEST) {
        return Ok(Vec::new());
    }
    // Most arrays are not square, and few are positive definite.
    let a = &match bytes.below(4) {
        0 => a.clone(),
        1 => a.matmul(&a.swap_axes(-1, -2)?)?,
        _ => {
            let side = i32::from(bytes.below(5));
            a.pad(&[(0, LARGEST), (0, LARGEST)], 1.0)?.slice(&[0, 0], &[side, side])?
        }
    };
    let triangle = if bytes.flag() { Triangle::Lower } else { Triangle::Upper };
    match bytes.below(22) {
        0 => one(linalg::inv(a)),
        1 => one(linalg::tri_inv(a, triangle)),
        2 => one(linalg::cholesky_inv(a, triangle)),
        3 => one(linalg::solve(a, b)),
        4 => one(linalg::solve_triangular(a, b, triangle)),
        5 => one(linalg::det(a)),
        6 => two(linalg::slogdet(a)),
        7 => linalg::svd(a).map(|Svd { u, s, vt }| vec![u, s, vt]),
        8 => one(linalg::singular_values(a)),
        9 => one(linalg::pinv(a)),
        10 => two(linalg::eig(a)),
        11 => one(linalg::eigvals(a)),
        12 => two(linalg::eigh(a, triangle)),
        13 => one(linalg::eigvalsh(a, triangle)),
        14 => two(linalg::qr(a)),
        15 => one(linalg::cholesky(a, triangle)),
        16 => linalg::lu(a).map(|Lu { permutation, lower, upper }| vec![permutation, lower, upper]),
        17 => two(linalg::lu_factor(a)),
        18 => {
            let axes = bytes.flag().then(|| bytes.ints(3));
            one(linalg::norm(a, axes.as_deref(), bytes.flag()))
        }
        19 => one(linalg::vector_norm(a, bytes.float(), bytes.int(), bytes.flag())),
        20 => {
            let kind = NORMS[usize::from(bytes.below(8))];
            one(linalg::matrix_norm(a, kind, [bytes.int(), bytes.int()], bytes.flag()))
        }
        _ => one(linalg::cross(a, b, bytes.int())),
    }
}
