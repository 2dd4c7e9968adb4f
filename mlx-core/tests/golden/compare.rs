// SPDX-License-Identifier: EUPL-1.2
//! Comparisons, logic, and choices by them.

use mlx_core::{Array, Result, where_};

use super::Params;

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    let closeness = || (p.float("rtol"), p.float("atol"), p.flag("equal_nan"));
    let result = match op {
        "equal" => x[0].equal(&x[1]),
        "not_equal" => x[0].not_equal(&x[1]),
        "greater" => x[0].greater(&x[1]),
        "greater_equal" => x[0].greater_equal(&x[1]),
        "less" => x[0].less(&x[1]),
        "less_equal" => x[0].less_equal(&x[1]),
        "logical_and" => x[0].logical_and(&x[1]),
        "logical_or" => x[0].logical_or(&x[1]),
        "logical_xor" => x[0].logical_xor(&x[1]),
        "logical_not" => x[0].logical_not(),
        "isnan" => x[0].isnan(),
        "isinf" => x[0].isinf(),
        "isfinite" => x[0].isfinite(),
        "isposinf" => x[0].isposinf(),
        "isneginf" => x[0].isneginf(),
        "array_equal" => x[0].array_equal(&x[1], p.flag("equal_nan")),
        "isclose" => {
            let (rtol, atol, equal_nan) = closeness();
            x[0].isclose(&x[1], rtol, atol, equal_nan)
        }
        "allclose" => {
            let (rtol, atol, equal_nan) = closeness();
            x[0].allclose(&x[1], rtol, atol, equal_nan)
        }
        "where" => where_(&x[0], &x[1], &x[2]),
        other => panic!("no op {other}"),
    };
    Ok(vec![result?])
}
