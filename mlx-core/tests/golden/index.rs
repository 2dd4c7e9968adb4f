// SPDX-License-Identifier: EUPL-1.2
//! Reads and updates by indices.

use mlx_core::{Array, Index, Result};
use serde_json::Value;

use super::{Params, operand};

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let array = |name: &str| operand(p.get(name));
    let out = match op {
        "take" => x[0].take(&array("indices"), p.int("axis")),
        "take_flat" => x[0].take_flat(&array("indices")),
        "take_along_axis" => x[0].take_along_axis(&array("indices"), p.int("axis")),
        "put_along_axis" => x[0].put_along_axis(&array("indices"), &x[1], p.int("axis")),
        "slice_dynamic" => x[0].slice_dynamic(&array("start"), &p.ints("axes"), &p.ints("sizes")),
        "slice_update_dynamic" => x[0].slice_update_dynamic(&x[1], &array("start"), &p.ints("axes")),
        "masked_fill" => x[0].masked_fill(&array("mask"), &x[1]),
        "masked_scatter" => x[0].masked_scatter(&array("mask"), &x[1]),
        _ => by_index(op, x, p),
    }?;
    Ok(vec![out])
}

fn by_index(op: &str, x: &[Array], p: &Params) -> Result<Array> {
    let list = p.get("index").as_array().unwrap();
    let arrays: Vec<Array> = list.iter().filter(|index| index.is_object()).map(operand).collect();
    let mut next = arrays.iter();
    let bound = |value: &Value| value.as_i64().map(|n| i32::try_from(n).unwrap());
    let indices: Vec<Index<'_>> = list
        .iter()
        .map(|index| match index {
            Value::String(name) if name == "..." => Index::Ellipsis,
            Value::String(_) => Index::NewAxis,
            Value::Array(s) => {
                Index::Slice { start: bound(&s[1]), stop: bound(&s[2]), step: bound(&s[3]).unwrap() }
            }
            Value::Object(_) => Index::Take(next.next().unwrap()),
            number => Index::At(bound(number).unwrap()),
        })
        .collect();
    match op {
        "index" => x[0].index(indices),
        "update" => x[0].index_update(indices, &x[1]),
        "add" => x[0].index_add(indices, &x[1]),
        "subtract" => x[0].index_subtract(indices, &x[1]),
        "multiply" => x[0].index_multiply(indices, &x[1]),
        "divide" => x[0].index_divide(indices, &x[1]),
        "maximum" => x[0].index_maximum(indices, &x[1]),
        "minimum" => x[0].index_minimum(indices, &x[1]),
        other => panic!("no op {other}"),
    }
}
