// SPDX-License-Identifier: EUPL-1.2
//! Derivatives: pullbacks, pushforwards, gradients.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ffi::c_int;

use super::graph::{Walk, settled, shallow};
use super::tree::Tree;
use crate::closure::Closure;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call, handle};
use crate::vector::VectorArray;
use crate::{Array, Dtype};

handle! {
    /// A function that gives values and gradients, on the C side.
    ValueAndGrad(mlx_closure_value_and_grad): mlx_closure_value_and_grad_new, mlx_closure_value_and_grad_free
}

/// The gradient of `function` at `at`, in the structure of `at`.
///
/// `function` gives a scalar, or a tree whose first array is one. It may borrow from its surroundings; the derivative is
/// taken by `at` alone. A leaf of `at` that has no derivative, because it holds integers or truth values, gets zeros.
///
/// - returns: for each leaf of `at`, an array of its shape and dtype
/// - source: `mlx_value_and_grad`
///
/// # Errors
/// As [`value_and_grad`].
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// let x = Array::from_slice(&[1.0f32, 2.0, 3.0], &[3])?;
/// let gradient = transform::grad(|x: &Array| x.square()?.sum_all(), &x)?;
/// assert_eq!(gradient.to_vec::<f32>()?, [2.0, 4.0, 6.0]);
///
/// // Of the gradient's sum, by a function of a function.
/// let second = transform::grad(
///     |x: &Array| transform::grad(|x: &Array| (&x.square()? * x)?.sum_all(), x)?.sum_all(),
///     &x,
/// )?;
/// assert_eq!(second.to_vec::<f32>()?, [6.0, 12.0, 18.0]);
/// # Ok(()) }
/// ```
pub fn grad<I, O>(function: impl FnOnce(&I) -> Result<O>, at: &I) -> Result<I::Owned>
where
    I: Tree + ?Sized,
    O: Tree<Owned = O>,
{
    value_and_grad(function, at).map(|(_, gradient)| gradient)
}

/// The value of `function` at `at`, and the gradient of its first array in the structure of `at`.
///
/// As [`grad`]; what else `function` gives besides its first array comes along, and is not differentiated.
///
/// - source: `mlx_value_and_grad`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Argument`] when no leaf of `at` is floating or complex,
/// [`Error::Shape`] when the first result is not a scalar, [`Error::Dtype`] when it is not floating. A panic in
/// `function` goes on in the caller.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use std::collections::BTreeMap;
///
/// use mlx_core::{Array, Result, transform};
///
/// type Params = BTreeMap<String, Array>;
/// let params = Params::from([
///     ("weight".to_owned(), Array::from_slice(&[1.0f32, -1.0], &[2])?),
///     ("bias".to_owned(), Array::scalar(0.5f32)?),
/// ]);
/// let x = Array::from_slice(&[3.0f32, 2.0], &[2])?;
///
/// // The loss, and what else is worth knowing; `x` is borrowed.
/// let loss = |p: &Params| -> Result<(Array, Array)> {
///     let y = (&(&p["weight"] * &x)? + &p["bias"])?;
///     Ok((y.square()?.sum_all()?, y))
/// };
/// let ((value, y), gradient) = transform::value_and_grad(loss, &params)?;
/// assert_eq!(y.to_vec::<f32>()?, [3.5, -1.5]);
/// assert_eq!(value.item::<f32>()?, 14.5);
/// assert_eq!(gradient["weight"].to_vec::<f32>()?, [21.0, -6.0]);
/// assert_eq!(gradient["bias"].item::<f32>()?, 4.0);
/// # Ok(()) }
/// ```
pub fn value_and_grad<I, O>(function: impl FnOnce(&I) -> Result<O>, at: &I) -> Result<(O, I::Owned)>
where
    I: Tree + ?Sized,
    O: Tree<Owned = O>,
{
    let op = "value_and_grad";
    let inputs = at.leaves();
    let variables: Vec<usize> =
        inputs.iter().enumerate().filter(|(_, x)| is_smooth(x.dtype())).map(|(i, _)| i).collect();
    if variables.is_empty() {
        return Err(Error::argument(op, "at", "has no floating array to differentiate by"));
    }
    let structure = at.structure();
    let mut results = None;
    let (values, gradients) = differentiate(
        op,
        |inputs| {
            let inputs = structure.build::<I>(op, inputs.to_vec())?;
            let value = function(inputs.borrow())?;
            results = Some(value.structure());
            Ok(value.leaves())
        },
        &variables,
        &inputs,
    )?;
    let results = results.ok_or_else(|| Error::shape(op, "the function was not run"))?;
    let mut gradients = gradients.into_iter();
    let gradients = inputs
        .iter()
        .enumerate()
        .map(|(i, input)| match variables.binary_search(&i) {
            Ok(_) => gradients.next().ok_or_else(|| Error::shape(op, "a gradient is missing")),
            Err(_) => Array::zeros(input.shape(), input.dtype()),
        })
        .collect::<Result<_>>()?;
    Ok((results.build::<O>(op, values)?, structure.build::<I>(op, gradients)?))
}

/// The values of `function` at `inputs`, and the gradients of its first result by some of them.
///
/// [`value_and_grad`] for lists: what to differentiate by is told by number.
///
/// - `arguments`: the places of these inputs, in any order
/// - returns: all results of `function`, and one gradient for each of `arguments`, of that input's shape and dtype
/// - source: `mlx_value_and_grad`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Argument`] when `arguments` is empty or names no input,
/// [`Error::Shape`] when the first result is not a scalar, [`Error::Dtype`] when it, or an input that is named, is not
/// floating. A panic in `function` goes on in the caller.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// let (x, y) = (Array::scalar(2.0f32)?, Array::scalar(5.0f32)?);
/// let product = |x: &[Array]| Ok(vec![(&x[0] * &x[1])?]);
/// let (value, gradients) = transform::value_and_grad_by(product, &[1], &[x, y])?;
/// assert_eq!(value[0].item::<f32>()?, 10.0);
/// assert_eq!(gradients[0].item::<f32>()?, 2.0);
/// # Ok(()) }
/// ```
pub fn value_and_grad_by(
    function: impl FnOnce(&[Array]) -> Result<Vec<Array>>,
    arguments: &[usize],
    inputs: &[Array],
) -> Result<(Vec<Array>, Vec<Array>)> {
    let op = "value_and_grad_by";
    if arguments.is_empty() {
        return Err(Error::argument(op, "arguments", "names no input to differentiate by"));
    }
    for &n in arguments {
        match inputs.get(n) {
            Some(input) if is_smooth(input.dtype()) => {}
            Some(input) => {
                return Err(Error::Dtype { op, expected: Dtype::Float32, found: input.dtype() });
            }
            None => {
                let message = format!("{n} is not one of {} inputs", inputs.len());
                return Err(Error::argument(op, "arguments", message));
            }
        }
    }
    let variables: Vec<usize> = arguments.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
    let (values, gradients) = differentiate(op, function, &variables, inputs)?;
    let ordered = arguments
        .iter()
        .filter_map(|n| variables.binary_search(n).ok())
        .filter_map(|place| gradients.get(place).cloned())
        .collect();
    Ok((values, ordered))
}

/// Whether values of this dtype have derivatives.
fn is_smooth(dtype: Dtype) -> bool {
    dtype.is_float() || dtype == Dtype::Complex64
}

/// All results of `function`, and the gradients of the first by `variables`, which are in rising order and name inputs.
fn differentiate(
    op: &'static str,
    function: impl FnOnce(&[Array]) -> Result<Vec<Array>>,
    variables: &[usize],
    inputs: &[Array],
) -> Result<(Vec<Array>, Vec<Array>)> {
    let argnums: Vec<c_int> = variables.iter().filter_map(|&n| c_int::try_from(n).ok()).collect();
    let checked = |inputs: &[Array]| {
        let results = function(inputs)?;
        match results.first() {
            Some(first) if first.ndim() != 0 => {
                Err(Error::shape(op, format!("the first result must be a scalar, found {first:?}")))
            }
            Some(first) if !first.dtype().is_float() => {
                Err(Error::Dtype { op, expected: Dtype::Float32, found: first.dtype() })
            }
            Some(_) => shallow(Walk::Derivative, &results).map(|()| results),
            None => Err(Error::shape(op, "the function gave no result")),
        }
    };
    let inputs = VectorArray::from_arrays(inputs)?;
    let (values, gradients) = Closure::scoped(checked, |closure| {
        // SAFETY: op contract.
        let function = unsafe {
            call!(ValueAndGrad = mlx_value_and_grad(closure.as_raw(), argnums.as_ptr(), argnums.len()))
        }?;
        // SAFETY: op contract.
        unsafe {
            call!(
                (VectorArray, VectorArray) =
                    mlx_closure_value_and_grad_apply(function.as_raw(), inputs.as_raw())
            )
        }
    })?;
    Ok((settled(&values)?, settled(&gradients)?))
}

/// The results of `function` at `primals`, and `cotangents` pulled back through it to each of `primals`.
///
/// - `cotangents`: one for each result, of that result's shape
/// - returns: the results, and for each of `primals` an array of its shape: `Σ cotangent · ∂result/∂primal`
/// - source: `mlx_vjp`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Shape`] when the cotangents do not fit the results. A panic in
/// `function` goes on in the caller.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// let x = Array::from_slice(&[3.0f32, 4.0], &[2])?;
/// let weights = Array::from_slice(&[1.0f32, 10.0], &[2])?;
/// let (value, pulled) = transform::vjp(|x: &[Array]| Ok(vec![x[0].square()?]), &[x], &[weights])?;
/// assert_eq!(value[0].to_vec::<f32>()?, [9.0, 16.0]);
/// assert_eq!(pulled[0].to_vec::<f32>()?, [6.0, 80.0]);
/// # Ok(()) }
/// ```
pub fn vjp(
    function: impl FnOnce(&[Array]) -> Result<Vec<Array>>,
    primals: &[Array],
    cotangents: &[Array],
) -> Result<(Vec<Array>, Vec<Array>)> {
    let op = "vjp";
    let checked = |inputs: &[Array]| {
        let mut results = function(inputs)?;
        if results.len() != cotangents.len() {
            let message = format!("{} cotangents for {} results", cotangents.len(), results.len());
            return Err(Error::shape(op, message));
        }
        for (result, cotangent) in results.iter().zip(cotangents) {
            if result.shape() != cotangent.shape() {
                let (result, cotangent) = (result.shape(), cotangent.shape());
                return Err(Error::shape(
                    op,
                    format!("a cotangent of {cotangent:?} for a result of {result:?}"),
                ));
            }
        }
        // The library passes over results that end in `stop_gradient` when it counts cotangents, and takes one cotangent
        // for an array that is given twice.
        if results.len() > 1 {
            results = results.iter().map(Array::copy).collect::<Result<_>>()?;
        }
        shallow(Walk::Derivative, &results)?;
        Ok(results)
    };
    let primals = VectorArray::from_arrays(primals)?;
    let (values, pulled) = Closure::scoped(checked, |closure| {
        let cotangents = VectorArray::from_arrays(cotangents)?;
        // SAFETY: op contract.
        unsafe {
            call!(
                (VectorArray, VectorArray) = mlx_vjp(closure.as_raw(), primals.as_raw(), cotangents.as_raw())
            )
        }
    })?;
    Ok((settled(&values)?, settled(&pulled)?))
}

/// The results of `function` at `primals`, and `tangents` pushed forward through it to each result.
///
/// - `tangents`: one for each of `primals`, of that input's shape and dtype
/// - returns: the results, and for each an array of its shape: `Σ ∂result/∂primal · tangent`
/// - source: `mlx_jvp`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Shape`] and [`Error::Dtype`] when the tangents do not fit,
/// [`Error::Mlx`] when an op has no jvp. A panic in `function` goes on in the caller.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// let (x, direction) = (Array::scalar(3.0f32)?, Array::scalar(1.0f32)?);
/// let (_, slope) = transform::jvp(|x: &[Array]| Ok(vec![x[0].square()?]), &[x], &[direction])?;
/// assert_eq!(slope[0].item::<f32>()?, 6.0);
/// # Ok(()) }
/// ```
pub fn jvp(
    function: impl FnOnce(&[Array]) -> Result<Vec<Array>>,
    primals: &[Array],
    tangents: &[Array],
) -> Result<(Vec<Array>, Vec<Array>)> {
    let op = "jvp";
    if primals.len() != tangents.len() {
        return Err(Error::shape(op, format!("{} tangents for {} inputs", tangents.len(), primals.len())));
    }
    for (primal, tangent) in primals.iter().zip(tangents) {
        if primal.shape() != tangent.shape() {
            let (primal, tangent) = (primal.shape(), tangent.shape());
            return Err(Error::shape(op, format!("a tangent of {tangent:?} for an input of {primal:?}")));
        }
        if primal.dtype() != tangent.dtype() {
            return Err(Error::Dtype { op, expected: primal.dtype(), found: tangent.dtype() });
        }
    }
    let checked = |inputs: &[Array]| {
        let results = function(inputs)?;
        shallow(Walk::Derivative, &results).map(|()| results)
    };
    let (primals, tangents) = (VectorArray::from_arrays(primals)?, VectorArray::from_arrays(tangents)?);
    let (values, pushed) = Closure::scoped(checked, |closure| {
        // SAFETY: op contract.
        unsafe {
            call!((VectorArray, VectorArray) = mlx_jvp(closure.as_raw(), primals.as_raw(), tangents.as_raw()))
        }
    })?;
    Ok((settled(&values)?, settled(&pushed)?))
}
