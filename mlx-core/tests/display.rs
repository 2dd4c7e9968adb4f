// SPDX-License-Identifier: EUPL-1.2
//! The text of arrays. `golden/display.json` has what NumPy makes of the same values.

use mlx_core::{Array, Complex64, DisplayOptions, Dtype, bf16, f16};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn array(case: &Value) -> Array {
    let shape: Vec<i32> = case["shape"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| i32::try_from(n.as_i64().unwrap()).unwrap())
        .collect();
    let values = case["values"].as_array().unwrap();
    let floats = || values.iter().map(number);
    match case["dtype"].as_str().unwrap() {
        "float64" => Array::from_slice(&floats().collect::<Vec<_>>(), &shape),
        "float32" => Array::from_slice(&floats().map(|x| x as f32).collect::<Vec<_>>(), &shape),
        "float16" => Array::from_slice(&floats().map(f16::from_f64).collect::<Vec<_>>(), &shape),
        "bool" => {
            Array::from_slice(&values.iter().map(|x| x.as_i64() == Some(1)).collect::<Vec<_>>(), &shape)
        }
        "uint64" => {
            Array::from_slice(&values.iter().map(|x| x.as_u64().unwrap()).collect::<Vec<_>>(), &shape)
        }
        "complex64" => {
            let complex = |x: &Value| Complex64 { re: number(&x[0]) as f32, im: number(&x[1]) as f32 };
            Array::from_slice(&values.iter().map(complex).collect::<Vec<_>>(), &shape)
        }
        name => {
            let dtype = Dtype::ALL.into_iter().find(|dtype| dtype.to_string() == name).unwrap();
            Array::from_slice(&values.iter().map(|x| x.as_i64().unwrap()).collect::<Vec<_>>(), &shape)
                .unwrap()
                .astype(dtype)
        }
    }
    .unwrap()
}

#[test]
fn arrays_are_shown_as_numpy_shows_them() {
    let file: Value = serde_json::from_str(include_str!("golden/display.json")).unwrap();
    let cases = file["cases"].as_array().unwrap();
    let mut failures = Vec::new();
    for case in cases {
        let given = &case["options"];
        let mut options = DisplayOptions::default();
        let number = |name: &str| given[name].as_u64().map(|n| n as usize);
        options.precision = number("precision").unwrap_or(options.precision);
        options.threshold = number("threshold").unwrap_or(options.threshold);
        options.line_width = number("width").unwrap_or(options.line_width);
        options.edge_items = given["edge"].as_i64().map_or(options.edge_items, |n| n as i32);
        let found = array(case).display_with(&options).unwrap().to_string();
        if found != case["text"].as_str().unwrap() {
            failures.push(format!("{} {given}:\n{found}\n{}", case["dtype"], case["text"].as_str().unwrap()));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
    assert!(cases.len() > 80);
}

#[test]
fn views_scalars_and_bfloat16_are_shown() {
    let text = |x: Array| x.display().unwrap().to_string();
    let x = Array::from_slice(&[1i32, 2, 3, 4, 5, 6], &[2, 3]).unwrap();
    assert_eq!(text(x.transpose().unwrap()), "[[1 4]\n [2 5]\n [3 6]]");
    assert_eq!(text(Array::scalar(1.0f32).unwrap()), "1.0");
    assert_eq!(text(Array::scalar(true).unwrap()), "True");
    assert_eq!(text(Array::scalar(-7i8).unwrap()), "-7");
    let x = [0.1f32, 1.0, -2.75, 3.140_625].map(bf16::from_f32);
    assert_eq!(text(Array::from_slice(&x, &[4]).unwrap()), "[ 0.1   1.   -2.75  3.14]");
    let x = Array::from_slice(&[1.0f32 / 3.0, 2.0], &[2]).unwrap().display().unwrap();
    assert_eq!(format!("{x:.2} {x:?}"), "[0.33 2.  ] [0.33333334 2.        ]");
}

#[test]
fn odd_options_and_failures_are_no_panic() {
    let x = Array::ones(&[50, 3], Dtype::Float32).unwrap();
    for edge_items in [i32::MIN, -1, 0, 1, i32::MAX] {
        for (line_width, precision) in [(0, 0), (1, 200), (usize::MAX, 3)] {
            let options = DisplayOptions { threshold: 0, edge_items, line_width, precision };
            assert!(x.display_with(&options).unwrap().to_string().starts_with("[["));
        }
    }
    // A placeholder has no values.
    let inside = |x: &[Array]| x[0].display().map(|_| vec![]);
    assert!(mlx_core::transform::vmap(inside, &[x], 0, 0).is_err());
}
