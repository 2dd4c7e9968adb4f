// SPDX-License-Identifier: EUPL-1.2
//! The loss of a classifier.

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::class_indices;
use crate::{Array, Dtype};

/// The cross entropy of each row with its class: `ln Σ exp(logits) − logits[target]`, accumulated in float32 without
/// writing out the softmax. One kernel on CUDA, a few ops elsewhere.
///
/// Targets count from the front. Those that are known are checked; those still to be computed are clamped into the range, as
/// [`Array::take`] says.
///
/// - shape: logits `[.., N]`, targets `[..]` → `[..]`
/// - dtype: logits floating, targets integer → float32
/// - source: `mlx_fast_cross_entropy`
///
/// # Errors
/// [`Error::Argument`] when a dtype is another one, [`Error::Shape`] when the shapes do not fit, [`Error::Index`] when a
/// known target is not one of the N classes.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, fast};
/// let logits = Array::from_slice(&[0.0f32, 0.0, 0.0, 90.0], &[2, 2])?;
/// let targets = Array::from_slice(&[0u32, 1], &[2])?;
/// let loss = fast::cross_entropy(&logits, &targets)?.to_vec::<f32>()?;
/// assert!((loss[0] - 2f32.ln()).abs() < 1e-6 && loss[1] == 0.0);
/// # Ok(()) }
/// ```
pub fn cross_entropy(logits: &Array, targets: &Array) -> Result<Array> {
    const OP: &str = "cross_entropy";
    if !logits.dtype().is_float() {
        let message = format!("expected a floating dtype, found {}", logits.dtype());
        return Err(Error::argument(OP, "logits", message));
    }
    let rows = match logits.shape() {
        [rows @ .., classes] if rows == targets.shape() => Some((rows, *classes)),
        _ => None,
    };
    let Some((rows, classes)) = rows else {
        let message = format!(
            "expected logits [.., N] and targets [..], found {:?} and {:?}",
            logits.shape(),
            targets.shape()
        );
        return Err(Error::shape(OP, message));
    };
    let targets = class_indices(OP, "targets", classes, targets)?;
    if logits.size() == 0 {
        return Array::zeros(rows, Dtype::Float32);
    }
    // SAFETY: op contract. The targets are in range, or clamped into it.
    unsafe { call!(Array = mlx_fast_cross_entropy(logits.as_raw(), targets.as_raw(), stream())) }
}
