// SPDX-License-Identifier: EUPL-1.2
//! Arrays alone: fits a plane to points by gradient descent, keeps it in a file, and takes it out again.

use std::collections::BTreeMap;

use mlx_core::random::{Key, normal};
use mlx_core::transform::value_and_grad_by;
use mlx_core::{Array, Dtype, Result, eval, io};

/// The plane that the points lie on.
const PLANE: [f32; 3] = [2.0, -3.0, 0.5];

fn main() -> Result<()> {
    let points = normal(&[64, 3], Dtype::Float32, 0.0, 1.0, &Key::new(1)?)?;
    let heights = points.matmul(&Array::from_slice(&PLANE, &[3])?)?;

    let loss = {
        let (points, heights) = (points.clone(), heights.clone());
        move |parameters: &[Array]| {
            let [plane] = parameters else { return Ok(Vec::new()) };
            Ok(vec![(&points.matmul(plane)? - &heights)?.square()?.mean_all()?])
        }
    };
    let mut plane = Array::zeros(&[3], Dtype::Float32)?;
    let mut last = f32::INFINITY;
    for _ in 0..200 {
        let (values, gradients) = value_and_grad_by(loss.clone(), &[0], &[plane.clone()])?;
        plane = (&plane - &(&gradients[0] * 0.1)?)?;
        eval([&plane, &values[0]])?;
        last = values[0].item::<f32>()?;
    }
    assert!(last < 1e-6, "the loss stays at {last}");

    let file = std::env::temp_dir().join(format!("core-only-{}.safetensors", std::process::id()));
    io::save_safetensors(&file, [("plane", &plane)], &BTreeMap::new())?;
    let loaded = io::load_safetensors(&file);
    std::fs::remove_file(&file).expect("the file that was just written is there");
    let found = loaded?.tensors["plane"].to_vec::<f32>()?;
    for (found, expected) in found.iter().zip(PLANE) {
        assert!((found - expected).abs() < 1e-3, "{found} for {expected}");
    }

    // What goes wrong is an error that says what, and not the end of the process.
    let error = points.matmul(&points).expect_err("64 by 3 does not fit 64 by 3");
    println!("the plane is {found:?}; and {error}");
    Ok(())
}
