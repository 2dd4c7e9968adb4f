// SPDX-License-Identifier: EUPL-1.2
//! A function of one example, run for all of them at once.

use std::ffi::c_int;

use super::graph::{Walk, settled, shallow};
use crate::Array;
use crate::closure::Closure;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::node::axis_of;
use crate::vector::VectorArray;

/// Which axis of each array is mapped.
///
/// Made of a number, for the same axis of all, or of a list with an axis or `None` for each.
///
/// # Examples
/// ```
/// use mlx_core::transform::Axes;
/// assert_eq!(Axes::from(0), Axes::All(0));
/// assert_eq!(Axes::from([Some(-1), None]), Axes::Each(vec![Some(-1), None]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axes {
    /// This axis of every array; a negative one counts from the end.
    All(i32),
    /// For each array its axis, or nothing where the whole array belongs to each example.
    Each(Vec<Option<i32>>),
}

impl From<i32> for Axes {
    fn from(axis: i32) -> Self {
        Self::All(axis)
    }
}

impl<const N: usize> From<[Option<i32>; N]> for Axes {
    fn from(axes: [Option<i32>; N]) -> Self {
        Self::Each(axes.into())
    }
}

impl From<&[Option<i32>]> for Axes {
    fn from(axes: &[Option<i32>]) -> Self {
        Self::Each(axes.into())
    }
}

impl From<Vec<Option<i32>>> for Axes {
    fn from(axes: Vec<Option<i32>>) -> Self {
        Self::Each(axes)
    }
}

impl Axes {
    /// The place of each array's axis, of which it has `ndims`.
    fn places(&self, argument: &'static str, ndims: &[usize]) -> Result<Vec<Option<usize>>> {
        let op = "vmap";
        let place = |axis: Option<i32>, ndim| axis.map(|axis| axis_of(op, axis, ndim)).transpose();
        match self {
            Self::All(axis) => ndims.iter().map(|&ndim| place(Some(*axis), ndim)).collect(),
            Self::Each(axes) if axes.len() == ndims.len() => {
                axes.iter().zip(ndims).map(|(&axis, &ndim)| place(axis, ndim)).collect()
            }
            Self::Each(axes) => {
                Err(Error::argument(op, argument, format!("{} axes for {} arrays", axes.len(), ndims.len())))
            }
        }
    }
}

/// `function`, which is written for one example, of every example along an axis.
///
/// The ops in `function` see arrays without the mapped axis, and are run once, for all examples together. It cannot
/// evaluate. It may borrow from its surroundings.
///
/// - `in_axes`: the axis of each input that runs over the examples; `None` for one that is the same for all
/// - `out_axes`: where that axis goes in each result; `None` for one that does not depend on the example
/// - source: `mlx_detail_vmap_trace`, `mlx_detail_vmap_replace`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Argument`] when an axis is out of range or none is mapped, or when a
/// result that depends on the example shall have no axis; [`Error::Shape`] when the mapped axes differ in length;
/// [`Error::Mlx`] when an op cannot be mapped. A panic in `function` goes on in the caller.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// let rows = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
/// let by = Array::from_slice(&[10.0f32, 1.0], &[2])?;
/// // The product of each row with the same vector.
/// let dot = |x: &[Array]| Ok(vec![(&x[0] * &x[1])?.sum_all()?]);
/// let products = transform::vmap(dot, &[rows.clone(), by], [Some(0), None], 0)?;
/// assert_eq!(products[0].to_vec::<f32>()?, [12.0, 34.0]);
///
/// // The gradient for each example apart.
/// let slope = |x: &[Array]| {
///     let cube = |x: &Array| (&x.square()? * x)?.sum_all();
///     Ok(vec![transform::grad(cube, &x[0])?])
/// };
/// let slopes = transform::vmap(slope, &[rows], 0, 1)?;
/// assert_eq!(slopes[0].to_vec::<f32>()?, [3.0, 27.0, 12.0, 48.0]);
/// # Ok(()) }
/// ```
pub fn vmap(
    function: impl FnOnce(&[Array]) -> Result<Vec<Array>>,
    inputs: &[Array],
    in_axes: impl Into<Axes>,
    out_axes: impl Into<Axes>,
) -> Result<Vec<Array>> {
    let ndims: Vec<usize> = inputs.iter().map(Array::ndim).collect();
    let in_axes = in_axes.into().places("in_axes", &ndims)?;
    map(function, inputs, &in_axes, &out_axes.into())
}

/// [`vmap`] with axes that are places in `inputs`.
pub(crate) fn map(
    function: impl FnOnce(&[Array]) -> Result<Vec<Array>>,
    inputs: &[Array],
    in_axes: &[Option<usize>],
    out_axes: &Axes,
) -> Result<Vec<Array>> {
    let op = "vmap";
    let mut lengths = inputs.iter().zip(in_axes).filter_map(|(input, &axis)| input.shape().get(axis?));
    let Some(length) = lengths.next() else {
        return Err(Error::argument(op, "in_axes", "map none of the inputs"));
    };
    if let Some(other) = lengths.find(|&other| other != length) {
        return Err(Error::shape(op, format!("mapped axes of {length} and {other} elements")));
    }
    let in_axes = to_raw(in_axes);
    let list = VectorArray::from_arrays(inputs)?;
    let mut places = Vec::new();
    let checked = |inputs: &[Array]| {
        let results = function(inputs)?;
        let ndims: Vec<usize> = results.iter().map(|result| result.ndim() + 1).collect();
        places = out_axes.places("out_axes", &ndims)?;
        shallow(Walk::Vmap, &results)?;
        Ok(results)
    };
    let (traced, results) = Closure::scoped(checked, |closure| {
        // SAFETY: op contract; there are as many axes as inputs, and each is one of its input.
        unsafe {
            call!(
                (VectorArray, VectorArray) =
                    mlx_detail_vmap_trace(closure.as_raw(), list.as_raw(), in_axes.as_ptr(), in_axes.len())
            )
        }
    })?;
    let out_axes = to_raw(&places);
    // SAFETY: op contract; the vectors are those of the trace, and there are as many axes as results.
    let mapped = unsafe {
        call!(
            VectorArray = mlx_detail_vmap_replace(
                list.as_raw(),
                traced.as_raw(),
                results.as_raw(),
                in_axes.as_ptr(),
                in_axes.len(),
                out_axes.as_ptr(),
                out_axes.len()
            )
        )
    }
    .map_err(|error| match error {
        // The axes were checked, but for those that are none.
        Error::Mlx { message, .. } if message.starts_with("[vmap] Axis -1 invalid") => {
            Error::argument(op, "out_axes", "is None for a result that depends on the example")
        }
        other => other,
    })?;
    let mapped = settled(&mapped)?.into_iter().zip(settled(&results)?).zip(places);
    // The library repeats what does not depend on the example also where nobody asked for it.
    Ok(mapped.map(|((mapped, single), place)| if place.is_some() { mapped } else { single }).collect())
}

/// A result that is the same for all examples, once for each.
pub(super) fn repeat(result: &Array, place: usize, length: i32) -> Result<Array> {
    let mut shape = result.shape().to_vec();
    shape.insert(place, 1);
    let single = result.reshape(&shape)?;
    if let Some(dim) = shape.get_mut(place) {
        *dim = length;
    }
    single.broadcast_to(&shape)
}

/// Axes as the library takes them: -1 for none.
fn to_raw(axes: &[Option<usize>]) -> Vec<c_int> {
    axes.iter().map(|axis| axis.and_then(|axis| c_int::try_from(axis).ok()).unwrap_or(-1)).collect()
}
