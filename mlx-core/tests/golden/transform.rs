// SPDX-License-Identifier: EUPL-1.2
//! Mapped functions, pushforwards, and gradients that are mapped.

use mlx_core::transform::{grad, jvp, vmap};
use mlx_core::{Array, Result, concatenate, outer, step, where_};

use super::Params;

/// The function that goes by a name in the generator.
fn call(name: &str, x: &[Array]) -> Result<Array> {
    let [x, rest @ ..] = x else { panic!("{name} of nothing") };
    let y = || &rest[0];
    match name {
        "exp" => x.exp(),
        "sum" => x.sum_all(),
        "softmax" => x.softmax(-1),
        "logsumexp" => x.logsumexp(-1, false),
        "cumsum" => x.cumsum(0, mlx_core::Scan::default()),
        "sort" => x.sort(-1),
        "max" => x.max(-1, false),
        "argmax" => x.argmax(-1, false),
        "transpose" => x.transpose(),
        "slice" => x.index(1..),
        "reverse" => x.index(step(.., -1)),
        "square" => x * x,
        "tanh" => x.tanh(),
        "prod" => x.prod(0, false),
        "add" => x + y(),
        "multiply" => x * y(),
        "divide" => x / y(),
        "matmul" => x.matmul(y()),
        "maximum" => x.maximum(y()),
        "where" => where_(&x.greater(y())?, x, &(y() * 2)?),
        "concatenate" => concatenate(&[x, y()], 0),
        "take" => x.take(y(), 0),
        "outer" => outer(x, y()),
        other => panic!("no function {other}"),
    }
}

/// The mapped axis of each operand.
fn axes(p: &Params) -> Vec<Option<i32>> {
    let axis = |value: &serde_json::Value| value.as_i64().map(|axis| i32::try_from(axis).unwrap());
    p.get("in").as_array().unwrap().iter().map(axis).collect()
}

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let name = p.text("function");
    let function = |x: &[Array]| Ok(vec![call(name, x)?]);
    match op {
        "vmap" => vmap(function, x, axes(p), p.int("out")),
        "jvp" => {
            let (primals, tangents) = x.split_at(x.len() / 2);
            jvp(function, primals, tangents).map(|(_, pushed)| pushed)
        }
        "mapped_grad" => {
            let gradient = |x: &[Array]| {
                let by_first = |first: &Array| {
                    let inputs: Vec<Array> = [first].into_iter().chain(&x[1..]).cloned().collect();
                    call(name, &inputs)?.sum_all()
                };
                Ok(vec![grad(by_first, &x[0])?])
            };
            vmap(gradient, x, axes(p), 0)
        }
        other => panic!("no op {other}"),
    }
}
