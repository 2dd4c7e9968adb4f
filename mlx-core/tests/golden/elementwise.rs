// SPDX-License-Identifier: EUPL-1.2
//! Arithmetic, functions of one number, bits, casts.

use mlx_core::{Array, Result};

use super::Params;

type Unary = fn(&Array) -> Result<Array>;
type Binary = fn(&Array, &Array) -> Result<Array>;

macro_rules! table {
    ($($name:ident)*) => { &[$((stringify!($name), Array::$name)),*] };
}

const UNARY: &[(&str, Unary)] = table!(
    square sign conjugate stop_gradient negative positive abs real imag floor ceil trunc sqrt rsqrt reciprocal exp log log2
    log10 log1p sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arccosh arctanh degrees radians expm1 sigmoid
    erf erfinv bitwise_invert to_fp8
);

const BINARY: &[(&str, Binary)] = table!(
    power maximum minimum logaddexp arctan2 remainder floor_divide bitwise_and bitwise_or bitwise_xor left_shift
    right_shift
);

pub(super) fn run(op: &str, x: &[Array], p: &Params) -> Result<Vec<Array>> {
    if let Some((_, unary)) = UNARY.iter().find(|(name, _)| *name == op) {
        return Ok(vec![unary(&x[0])?]);
    }
    if let Some((_, binary)) = BINARY.iter().find(|(name, _)| *name == op) {
        return Ok(vec![binary(&x[0], &x[1])?]);
    }
    let result = match op {
        "add" => &x[0] + &x[1],
        "subtract" => &x[0] - &x[1],
        "multiply" => &x[0] * &x[1],
        "divide" => &x[0] / &x[1],
        "add_float" => &x[0] + 0.5,
        "sub_from_float" => 0.5 - &x[0],
        "mul_int" => &x[0] * 3,
        "div_of_int" => 1 / &x[0],
        "neg" => -&x[0],
        "divmod" => {
            let (quotient, rest) = x[0].divmod(&x[1])?;
            return Ok(vec![quotient, rest]);
        }
        "round" => x[0].round(p.int("decimals")),
        "clip" => match p.text("bounds") {
            "low" => x[0].clip(Some(&x[1]), None),
            "high" => x[0].clip(None, Some(&x[1])),
            _ => x[0].clip(Some(&x[1]), Some(&x[2])),
        },
        "nan_to_num" => {
            let number = |name: &str| p.has(name).then(|| p.float(name) as f32);
            x[0].nan_to_num(number("nan").unwrap_or(0.0), number("posinf"), number("neginf"))
        }
        "astype" => x[0].astype(p.dtype("dtype")),
        "view" => x[0].view(p.dtype("dtype")),
        "from_fp8" => x[0].from_fp8(p.dtype("dtype")),
        other => panic!("no op {other}"),
    };
    Ok(vec![result?])
}
