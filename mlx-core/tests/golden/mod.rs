// SPDX-License-Identifier: EUPL-1.2
//! Calls that MLX's own Python package has answered, made with our ops: results, refusals and gradients.
//!
//! A family is a file of cases, written by the generator of its name, and a Rust file that makes the same calls.
//! `cases.py` says what is in a case.

mod compare;
mod conv;
mod create;
mod elementwise;
mod fast;
mod fft;
mod index;
mod io;
mod linalg;
mod quant;
mod random;
mod reduce;
mod shape;
mod sort;
mod transform;

use std::fmt::Write as _;

use mlx_core::transform::vjp;
use mlx_core::{Array, Complex64, Dtype, Result, bf16, f16, step};
use serde_json::Value;

/// Every family with its cases.
const FAMILIES: &[(&str, &str, Run)] = &[
    ("compare", include_str!("compare.json"), compare::run),
    ("conv", include_str!("conv.json"), conv::run),
    ("create", include_str!("create.json"), create::run),
    ("elementwise", include_str!("elementwise.json"), elementwise::run),
    ("fast", include_str!("fast.json"), fast::run),
    ("fft", include_str!("fft.json"), fft::run),
    ("index", include_str!("index.json"), index::run),
    ("io", include_str!("io.json"), io::run),
    ("linalg", include_str!("linalg.json"), linalg::run),
    ("quant", include_str!("quant.json"), quant::run),
    ("random", include_str!("random.json"), random::run),
    ("reduce", include_str!("reduce.json"), reduce::run),
    ("shape", include_str!("shape.json"), shape::run),
    ("sort", include_str!("sort.json"), sort::run),
    ("transform", include_str!("transform.json"), transform::run),
];

/// Makes the call that an op's name and parameters stand for.
pub(crate) type Run = fn(&str, &[Array], &Params) -> Result<Vec<Array>>;

/// How many cases there are at least, all families together.
const AT_LEAST: usize = 1500;

#[test]
fn results_refusals_and_gradients_are_those_of_the_python_package() {
    let mut failures = Vec::new();
    let mut count = 0;
    for &(family, text, run) in FAMILIES {
        let file: Value = serde_json::from_str(text).unwrap();
        for (place, case) in file["cases"].as_array().unwrap().iter().enumerate() {
            count += 1;
            if let Err(reason) = (Case { case, run }).check() {
                let op = case["op"].as_str().unwrap();
                failures.push(format!("{family} {place}: {op} {}: {reason}", case["params"]));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {count} cases:\n{}",
        failures.len(),
        failures[..failures.len().min(40)].join("\n")
    );
    assert!(count >= AT_LEAST, "{count} cases");
}

/// The parameters of a call. A name that is absent is an error of the test itself.
#[derive(Clone, Debug)]
pub(crate) struct Params(Value);

impl Params {
    /// A parameter that must be there.
    #[track_caller]
    fn get(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or_else(|| panic!("no parameter {name} in {}", self.0))
    }

    /// Whether the case has this parameter, and it is not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| !value.is_null())
    }

    #[track_caller]
    pub(crate) fn int(&self, name: &str) -> i32 {
        i32::try_from(self.get(name).as_i64().unwrap()).unwrap()
    }

    #[track_caller]
    pub(crate) fn ints(&self, name: &str) -> Vec<i32> {
        let list = self.get(name).as_array().unwrap();
        list.iter().map(|v| i32::try_from(v.as_i64().unwrap()).unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn float(&self, name: &str) -> f64 {
        number(self.get(name))
    }

    #[track_caller]
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).as_bool().unwrap()
    }

    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).as_str().unwrap()
    }

    #[track_caller]
    pub(crate) fn dtype(&self, name: &str) -> Dtype {
        dtype(self.text(name))
    }
}

struct Case<'a> {
    case: &'a Value,
    run: Run,
}

impl Case<'_> {
    fn check(&self) -> Result<(), String> {
        let operands: Vec<Array> = self.list("in").iter().map(operand).collect();
        let op = self.case["op"].as_str().unwrap().to_owned();
        let params = Params(self.case["params"].clone());
        let run = self.run;
        let results = run(&op, &operands, &params).and_then(|results| {
            mlx_core::eval(&results)?;
            Ok(results)
        });
        let results = match (results, self.case.get("error")) {
            (Err(_), Some(_)) => return Ok(()),
            (Ok(_), Some(error)) => return Err(format!("was to be refused: {error}")),
            (Err(error), None) => return Err(format!("was refused: {error}")),
            (Ok(results), None) => results,
        };
        self.compare("results", &results, "out", None)?;
        let Some(by) = self.case.get("grad") else { return Ok(()) };
        let by: Vec<usize> = by.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
        let cotangents: Vec<Array> = self.list("cotangents").iter().map(operand).collect();
        let function = move |x: &[Array]| run(&op, x, &params);
        let (_, grads) =
            vjp(function.clone(), &operands, &cotangents).map_err(|error| format!("gradient: {error}"))?;
        let grads: Vec<Array> = by.iter().map(|&n| grads[n].clone()).collect();
        self.compare("gradient", &grads, "grads", None)?;
        if self.case["differences"] == Value::Bool(true) {
            let differences = finite_differences(&function, &operands, &cotangents, &by)
                .map_err(|error| format!("finite differences: {error}"))?;
            self.compare("finite differences", &differences, "grads", Some(2e-3))?;
        }
        Ok(())
    }

    fn list(&self, name: &str) -> &[Value] {
        self.case[name].as_array().map_or(&[], Vec::as_slice)
    }

    /// Holds `found` against what the case has under `name`; with a tolerance of its own, only the values.
    fn compare(&self, what: &str, found: &[Array], name: &str, tolerance: Option<f64>) -> Result<(), String> {
        let wanted = self.list(name);
        if found.len() != wanted.len() {
            return Err(format!("{what}: {} for {}", found.len(), wanted.len()));
        }
        for (found, wanted) in found.iter().zip(wanted) {
            let wanted_dtype = dtype(wanted["dtype"].as_str().unwrap());
            if tolerance.is_none() && found.dtype() != wanted_dtype {
                return Err(format!("{what}: {} for {wanted_dtype}", found.dtype()));
            }
            let wanted_shape = shape(wanted);
            if found.shape() != wanted_shape {
                return Err(format!("{what}: shape {:?} for {wanted_shape:?}", found.shape()));
            }
            let (rtol, atol) = match (tolerance, wanted_dtype) {
                (Some(t), _) => (t, t),
                (None, Dtype::Float32 | Dtype::Complex64) => (1e-5, 1e-6),
                (None, Dtype::Float64) => (1e-6, 1e-6),
                (None, Dtype::Float16) => (1e-3, 1e-3),
                (None, Dtype::Bfloat16) => (1e-2, 1e-2),
                (None, _) => (0.0, 0.0),
            };
            let own = |key: &str, other: f64| {
                self.case.get(key).map_or(other, |v| v.as_f64().unwrap().max(tolerance.unwrap_or(0.0)))
            };
            let (rtol, atol) = (own("rtol", rtol), own("atol", atol));
            let (found, wanted) = (values(found), numbers(wanted));
            let same = |&a: &f64, &b: &f64| {
                a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= atol + rtol * b.abs()
            };
            if found.len() != wanted.len() || !found.iter().zip(&wanted).all(|(a, b)| same(a, b)) {
                let mut text = format!("{what}: ");
                let _ = write!(text, "{found:?} for {wanted:?}");
                return Err(text);
            }
        }
        Ok(())
    }
}

/// The gradient of `Σ cotangent · result` by central differences in float64.
fn finite_differences(
    function: &impl Fn(&[Array]) -> Result<Vec<Array>>,
    operands: &[Array],
    cotangents: &[Array],
    by: &[usize],
) -> Result<Vec<Array>> {
    const H: f64 = 1e-3;
    let wide = |x: &Array| if x.dtype().is_float() { x.astype(Dtype::Float64) } else { Ok(x.clone()) };
    let operands = operands.iter().map(wide).collect::<Result<Vec<_>>>()?;
    let weights: Vec<Vec<f64>> = cotangents.iter().map(values).collect();
    let sum = |operands: &[Array]| -> Result<f64> {
        let results = function(operands)?;
        let dot = |(result, weight): (&Array, &Vec<f64>)| -> f64 {
            values(result).iter().zip(weight).map(|(a, b)| a * b).sum()
        };
        Ok(results.iter().zip(&weights).map(dot).sum())
    };
    let mut out = Vec::new();
    for &n in by {
        let base = values(&operands[n]);
        let shape = operands[n].shape().to_vec();
        let mut gradient = Vec::with_capacity(base.len());
        for place in 0..base.len() {
            let at = |delta: f64| {
                let mut moved = base.clone();
                moved[place] += delta;
                let mut operands = operands.clone();
                operands[n] = Array::from_slice(&moved, &shape)?;
                sum(&operands)
            };
            gradient.push((at(H)? - at(-H)?) / (2.0 * H));
        }
        out.push(Array::from_slice(&gradient, &shape)?);
    }
    Ok(out)
}

fn shape(recorded: &Value) -> Vec<i32> {
    recorded["shape"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| i32::try_from(n.as_i64().unwrap()).unwrap())
        .collect()
}

fn dtype(name: &str) -> Dtype {
    Dtype::ALL
        .into_iter()
        .find(|dtype| dtype.to_string() == name)
        .unwrap_or_else(|| panic!("no dtype {name}"))
}

fn number(value: &Value) -> f64 {
    match value {
        Value::String(text) => text.parse().unwrap(),
        Value::Bool(truth) => f64::from(u8::from(*truth)),
        other => other.as_f64().unwrap(),
    }
}

/// The recorded values; both parts of each complex one.
fn numbers(recorded: &Value) -> Vec<f64> {
    let mut out = Vec::new();
    for value in recorded["values"].as_array().unwrap() {
        match value {
            Value::Array(parts) => out.extend(parts.iter().map(number)),
            other => out.push(number(other)),
        }
    }
    out
}

/// The values of an array, as `numbers` gives them.
fn values(array: &Array) -> Vec<f64> {
    match array.dtype() {
        Dtype::Complex64 => array
            .to_vec::<Complex64>()
            .unwrap()
            .iter()
            .flat_map(|c| [f64::from(c.re), f64::from(c.im)])
            .collect(),
        Dtype::Float16 => array.to_vec::<f16>().unwrap().into_iter().map(f64::from).collect(),
        Dtype::Bfloat16 => array.to_vec::<bf16>().unwrap().into_iter().map(f64::from).collect(),
        Dtype::Float32 => array.to_vec::<f32>().unwrap().into_iter().map(f64::from).collect(),
        Dtype::Int64 => array.to_vec::<i64>().unwrap().into_iter().map(|v| v as f64).collect(),
        Dtype::Uint64 => array.to_vec::<u64>().unwrap().into_iter().map(|v| v as f64).collect(),
        _ => array.astype(Dtype::Float64).unwrap().to_vec::<f64>().unwrap(),
    }
}

/// The array that a recorded operand stands for.
fn operand(recorded: &Value) -> Array {
    let (shape, dtype) = (shape(recorded), dtype(recorded["dtype"].as_str().unwrap()));
    let list = recorded["values"].as_array().unwrap();
    let mut array = match dtype {
        Dtype::Complex64 => {
            let parts: Vec<f64> = numbers(recorded);
            let values: Vec<_> =
                parts.chunks(2).map(|c| Complex64 { re: c[0] as f32, im: c[1] as f32 }).collect();
            Array::from_slice(&values, &shape).unwrap()
        }
        Dtype::Uint64 => {
            let values: Vec<u64> = list.iter().map(|v| v.as_u64().unwrap()).collect();
            Array::from_slice(&values, &shape).unwrap()
        }
        dtype if dtype.is_integer() => {
            let values: Vec<i64> = list.iter().map(|v| v.as_i64().unwrap()).collect();
            Array::from_slice(&values, &shape).unwrap().astype(dtype).unwrap()
        }
        // Through float32, as the Python package takes its numbers.
        Dtype::Float64 => Array::from_slice(&numbers(recorded), &shape).unwrap(),
        dtype => {
            let values: Vec<f32> = numbers(recorded).into_iter().map(|v| v as f32).collect();
            Array::from_slice(&values, &shape).unwrap().astype(dtype).unwrap()
        }
    };
    for view in recorded["view"].as_array().into_iter().flatten() {
        let ints = |value: &Value| -> Vec<i32> {
            value.as_array().unwrap().iter().map(|n| i32::try_from(n.as_i64().unwrap()).unwrap()).collect()
        };
        let axis = || usize::try_from(view[1].as_u64().unwrap()).unwrap();
        array = match view[0].as_str().unwrap() {
            "transpose" => array.transpose_axes(&ints(&view[1])).unwrap(),
            "broadcast" => array.broadcast_to(&ints(&view[1])).unwrap(),
            "every" => {
                let mut strides = vec![1; array.ndim()];
                strides[axis()] = i32::try_from(view[2].as_i64().unwrap()).unwrap();
                let (start, stop) = (vec![0; array.ndim()], array.shape().to_vec());
                array.slice_strided(&start, &stop, &strides).unwrap()
            }
            "reverse" => {
                let mut indices = vec![step(.., 1); axis()];
                indices.push(step(.., -1));
                array.index(indices).unwrap()
            }
            other => panic!("no view {other}"),
        };
    }
    array
}
