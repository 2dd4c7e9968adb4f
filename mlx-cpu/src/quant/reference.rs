// SPDX-License-Identifier: EUPL-1.2
//! What the kernels compute, one value after the other.

use super::format::{E2M1, E4M3};
use super::{Kind, Matrix};

/// All values of a matrix, `[n, k]`.
#[must_use]
pub fn dequantize(matrix: &Matrix<'_>) -> Vec<f32> {
    let (n, k) = (matrix.n(), matrix.k());
    let (bits, group_size) = (matrix.format().bits(), matrix.format().group_size());
    let mut values = Vec::with_capacity(n * k);
    for row in 0..n {
        let words = &matrix.words()[row * matrix.row_words()..][..matrix.row_words()];
        for i in 0..k {
            let bit = i * bits;
            let low = words[bit / 32];
            let high = words.get(bit / 32 + 1).copied().unwrap_or(0);
            let code = (u64::from(high) << 32 | u64::from(low)) >> (bit % 32) & ((1 << bits) - 1);
            let (scale, bias) = matrix.parameters(row * matrix.row_groups() + i / group_size);
            values.push(match matrix.format().kind() {
                Kind::Affine => scale * code as f32 + bias,
                Kind::Mxfp4 | Kind::Nvfp4 => scale * E2M1[code as usize],
                Kind::Mxfp8 => scale * E4M3[code as usize],
            });
        }
    }
    values
}
