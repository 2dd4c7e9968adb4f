// SPDX-License-Identifier: EUPL-1.2
//! Elements by their order.

use mlx_core::{Array, Result};

use super::{Bytes, one, pick};

pub(super) fn call(bytes: &mut Bytes<'_>, made: &[Array]) -> Result<Vec<Array>> {
    let a = pick(bytes, made);
    one(match bytes.below(10) {
        0 => a.sort(bytes.int()),
        1 => a.argsort(bytes.int()),
        2 => a.partition(bytes.int(), bytes.int()),
        3 => a.argpartition(bytes.int(), bytes.int()),
        4 => a.topk(bytes.int(), bytes.int()),
        5 => a.sort_all(),
        6 => a.argsort_all(),
        7 => a.partition_all(bytes.int()),
        8 => a.argpartition_all(bytes.int()),
        _ => a.topk_all(bytes.int()),
    })
}
