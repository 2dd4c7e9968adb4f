// SPDX-License-Identifier: EUPL-1.2
//! A bound on gradients.

use std::collections::BTreeMap;

use mlx_core::{Array, Dtype};

use crate::constant::Constant;
use crate::error::{Error, Result};

/// Scales all gradients down together so that their norm, all taken as one vector, is at most `most`; returns the norm
/// that they had. Evaluates.
///
/// The norm is summed in float32 whatever the dtype, and gradients keep theirs.
///
/// # Errors
/// [`Error::Config`] when `most` is not a number above 0; [`Error::Diverged`] when the norm is not finite: gradients are then
/// as they were, and a step by them would spoil every parameter.
///
/// # Examples
/// ```
/// use std::collections::BTreeMap;
///
/// use mlx_core::Array;
/// use mlx_nn::optim::clip_global_norm;
///
/// # fn main() -> mlx_nn::Result<()> {
/// let mut gradients = BTreeMap::from([("w".to_owned(), Array::from_slice(&[3.0f32, 4.0], &[2])?)]);
/// assert_eq!(clip_global_norm(&mut gradients, 1.0)?, 5.0);
/// let clipped = gradients["w"].to_vec::<f32>()?;
/// assert!((clipped[0] - 0.6).abs() < 1e-6 && (clipped[1] - 0.8).abs() < 1e-6);
/// # Ok(()) }
/// ```
pub fn clip_global_norm(gradients: &mut BTreeMap<String, Array>, most: f64) -> Result<f32> {
    if most.is_nan() || most <= 0.0 {
        return Err(Error::config("max_norm", format!("expected a number above 0, found {most}")));
    }
    let mut squares = Array::scalar(0.0f32)?;
    for gradient in gradients.values() {
        squares = (&squares + &gradient.astype(Dtype::Float32)?.square()?.sum_all()?)?;
    }
    let norm = squares.sqrt()?.item::<f32>()?;
    if !norm.is_finite() {
        let culprits = gradients.iter().filter_map(|(path, gradient)| {
            let sum = gradient.astype(Dtype::Float32).and_then(|g| g.square()?.sum_all()?.item::<f32>());
            (!sum.is_ok_and(f32::is_finite)).then(|| path.clone())
        });
        return Err(Error::Diverged { paths: culprits.collect() });
    }
    let scale = most / (f64::from(norm) + 1e-6);
    if scale < 1.0 {
        for gradient in gradients.values_mut() {
            *gradient = gradient.times(scale)?;
        }
    }
    Ok(norm)
}
