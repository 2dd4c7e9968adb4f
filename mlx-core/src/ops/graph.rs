// SPDX-License-Identifier: EUPL-1.2
//! Ops on the graph itself: its order, and lengths as values of it.

use crate::device::stream;
use crate::error::Result;
use crate::ffi::{Handle, call};
use crate::ops::node::axis_of;
use crate::vector::VectorArray;
use crate::{Array, Dtype};

impl Array {
    /// The number of elements along `axes` together, as a value of the graph: a compiled function computes it anew for
    /// arrays of other lengths.
    ///
    /// - `inverted`: whether it is 1 divided by that number instead
    /// - shape: `[]`
    /// - dtype: `dtype`, into which the number is cast
    /// - source: `mlx_number_of_elements`
    ///
    /// # Errors
    /// [`crate::Error::Argument`] when an axis is out of range.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// let x = Array::zeros(&[2, 3, 5], Dtype::Float32)?;
    /// assert_eq!(x.number_of_elements(&[0, -1], false, Dtype::Int32)?.item::<i32>()?, 10);
    /// # Ok(()) }
    /// ```
    pub fn number_of_elements(&self, axes: &[i32], inverted: bool, dtype: Dtype) -> Result<Array> {
        for &axis in axes {
            axis_of("number_of_elements", axis, self.ndim())?;
        }
        // SAFETY: op contract.
        unsafe {
            call!(
                Array = mlx_number_of_elements(
                    self.as_raw(),
                    axes.as_ptr(),
                    axes.len(),
                    inverted,
                    dtype.to_raw(),
                    stream()
                )
            )
        }
    }
}

/// The arrays of `inputs`, none of which is computed before all of `dependencies` are.
///
/// - shape, dtype: of each input, kept
/// - source: `mlx_depends`, which ends the process when there are no inputs; these give no arrays
///
/// # Errors
/// [`crate::Error::Mlx`] when the library fails.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, depends};
///
/// let (first, second) = (Array::scalar(1.0f32)?.exp()?, Array::scalar(2.0f32)?.square()?);
/// let second = depends(&[&second], &[&first])?;
/// assert_eq!(second[0].item::<f32>()?, 4.0);
/// assert!(first.is_available()?);
/// # Ok(()) }
/// ```
pub fn depends(inputs: &[&Array], dependencies: &[&Array]) -> Result<Vec<Array>> {
    if inputs.is_empty() {
        return Ok(Vec::new());
    }
    let inputs = VectorArray::from_arrays(inputs.iter().copied())?;
    let dependencies = VectorArray::from_arrays(dependencies.iter().copied())?;
    // SAFETY: op contract.
    unsafe { call!(VectorArray = mlx_depends(inputs.as_raw(), dependencies.as_raw())) }?.to_arrays()
}
