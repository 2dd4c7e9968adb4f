// SPDX-License-Identifier: EUPL-1.2
//! Sorting, partitioning, the largest values, binary search.

use mlx_core::{Array, Result, Side};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let flat = !p.has("axis");
    let axis = if flat { 0 } else { p.int("axis") };
    // Of a partition, the element that is where sorting would put it.
    let kth = |parted: Array| parted.take(&Array::from_slice(&[p.int("kth")], &[1])?, axis);
    let x0 = &x[0];
    let result = match op {
        "sort" if flat => x0.sort_all(),
        "sort" => x0.sort(axis),
        "argsort" if flat => x0.argsort_all(),
        "argsort" => x0.argsort(axis),
        "partition" if flat => x0.partition_all(p.int("kth")).and_then(kth),
        "partition" => x0.partition(p.int("kth"), axis).and_then(kth),
        "argpartition" if flat => {
            let places = x0.argpartition_all(p.int("kth"))?;
            x0.reshape(&[-1])?.take_along_axis(&places, 0).and_then(kth)
        }
        "argpartition" => {
            let places = x0.argpartition(p.int("kth"), axis)?;
            x0.take_along_axis(&places, axis).and_then(kth)
        }
        "topk" if flat => x0.topk_all(p.int("k")).and_then(|top| top.sort(0)),
        "topk" => x0.topk(p.int("k"), axis).and_then(|top| top.sort(axis)),
        "searchsorted" => {
            x0.searchsorted(&x[1], if p.text("side") == "left" { Side::Left } else { Side::Right })
        }
        other => panic!("no op {other}"),
    };
    Ok(vec![result?])
}
