// SPDX-License-Identifier: EUPL-1.2
//! Functions of functions: derivatives of anything written with this crate's ops.

use std::collections::BTreeSet;
use std::ffi::c_int;

use crate::Array;
use crate::closure::Closure;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call, handle};
use crate::vector::VectorArray;

handle! {
    /// A function that gives values and gradients, on the C side.
    ValueAndGrad(mlx_closure_value_and_grad): mlx_closure_value_and_grad_new, mlx_closure_value_and_grad_free
}

/// The values of `function` at `inputs`, and the gradients of the sum of its first result.
///
/// - `arguments`: which inputs to differentiate by
/// - returns: all results of `function`, and one gradient for each of `arguments`, of that input's shape
/// - source: `mlx_value_and_grad`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Argument`] when `arguments` is empty or names no input,
/// [`Error::Shape`] when the first result is not a scalar. A panic in `function` goes on in the caller.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// let x = Array::from_slice(&[1.0f32, 2.0, 3.0], &[3])?;
/// let (value, grad) = transform::value_and_grad(|x| Ok(vec![(&x[0] * &x[0])?.sum_all()?]), &[0], &[x])?;
/// assert_eq!(value[0].item::<f32>()?, 14.0);
/// assert_eq!(grad[0].to_vec::<f32>()?, [2.0, 4.0, 6.0]);
/// # Ok(()) }
/// ```
pub fn value_and_grad<F>(
    function: F,
    arguments: &[usize],
    inputs: &[Array],
) -> Result<(Vec<Array>, Vec<Array>)>
where
    F: Fn(&[Array]) -> Result<Vec<Array>> + 'static,
{
    let op = "value_and_grad";
    if arguments.is_empty() {
        return Err(Error::argument(op, "arguments", "names no input to differentiate by"));
    }
    let argnums = arguments
        .iter()
        .map(|&n| match c_int::try_from(n) {
            Ok(raw) if n < inputs.len() => Ok(raw),
            _ => Err(Error::argument(op, "arguments", format!("{n} is not one of {} inputs", inputs.len()))),
        })
        .collect::<Result<BTreeSet<_>>>()?;
    // The library takes a set, and gives the gradients in rising order.
    let argnums: Vec<c_int> = argnums.into_iter().collect();
    let closure = Closure::new(move |inputs| {
        let results = function(inputs)?;
        match results.first() {
            Some(first) if first.ndim() == 0 => Ok(results),
            Some(first) => {
                Err(Error::shape(op, format!("the first result must be a scalar, found {first:?}")))
            }
            None => Err(Error::shape(op, "the function gave no result")),
        }
    })?;
    let inputs = VectorArray::from_arrays(inputs)?;
    // SAFETY: op contract.
    let function = unsafe {
        call!(ValueAndGrad = mlx_value_and_grad(closure.as_raw(), argnums.as_ptr(), argnums.len()))
    }?;
    // SAFETY: op contract.
    let (values, grads) = unsafe {
        call!(
            (VectorArray, VectorArray) = mlx_closure_value_and_grad_apply(function.as_raw(), inputs.as_raw())
        )
    }?;
    let grads = grads.to_arrays()?;
    let ordered = arguments
        .iter()
        .filter_map(|&n| argnums.iter().position(|&raw| usize::try_from(raw) == Ok(n)))
        .filter_map(|place| grads.get(place).cloned())
        .collect();
    Ok((values.to_arrays()?, ordered))
}

/// The results of `function` at `primals`, and `cotangents` pulled back through it to each of `primals`.
///
/// - `cotangents`: one for each result, of that result's shape
/// - source: `mlx_vjp`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Mlx`] when the cotangents do not fit the results. A panic in
/// `function` goes on in the caller.
pub fn vjp<F>(function: F, primals: &[Array], cotangents: &[Array]) -> Result<(Vec<Array>, Vec<Array>)>
where
    F: Fn(&[Array]) -> Result<Vec<Array>> + 'static,
{
    let closure = Closure::new(function)?;
    let (primals, cotangents) = (VectorArray::from_arrays(primals)?, VectorArray::from_arrays(cotangents)?);
    // SAFETY: op contract.
    let (values, grads) = unsafe {
        call!((VectorArray, VectorArray) = mlx_vjp(closure.as_raw(), primals.as_raw(), cotangents.as_raw()))
    }?;
    Ok((values.to_arrays()?, grads.to_arrays()?))
}

/// The results of `function` at `primals`, and `tangents` pushed forward through it to each result.
///
/// - `tangents`: one for each of `primals`, of that input's shape
/// - source: `mlx_jvp`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Mlx`] when the tangents do not fit. A panic in `function` goes on in
/// the caller.
pub fn jvp<F>(function: F, primals: &[Array], tangents: &[Array]) -> Result<(Vec<Array>, Vec<Array>)>
where
    F: Fn(&[Array]) -> Result<Vec<Array>> + 'static,
{
    let closure = Closure::new(function)?;
    let (primals, tangents) = (VectorArray::from_arrays(primals)?, VectorArray::from_arrays(tangents)?);
    // SAFETY: op contract.
    let (values, pushed) = unsafe {
        call!((VectorArray, VectorArray) = mlx_jvp(closure.as_raw(), primals.as_raw(), tangents.as_raw()))
    }?;
    Ok((values.to_arrays()?, pushed.to_arrays()?))
}
