// SPDX-License-Identifier: EUPL-1.2
//! Functions of functions: derivatives of anything written with this crate's ops, and graphs built once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::c_int;
use std::fmt;
use std::rc::Rc;

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

/// `function`, to be called with a graph that is built and simplified once for inputs of the same shapes and dtypes.
///
/// The function must be pure: it is run for the first call alone, and what it reads besides its inputs is what it was
/// then. It cannot evaluate. Where a derivative is being taken it is run as it is.
///
/// - source: `mlx_compile`
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// let gelu = transform::compile(|x| Ok(vec![(&x[0] * &(&x[0] * 1.702)?.sigmoid()?)?]));
/// let x = Array::from_slice(&[0.0f32, 100.0], &[2])?;
/// assert_eq!(gelu.call(&[x])?[0].to_vec::<f32>()?, [0.0, 100.0]);
/// # Ok(()) }
/// ```
pub fn compile<F>(function: F) -> Compiled
where
    F: Fn(&[Array]) -> Result<Vec<Array>> + 'static,
{
    Compiled { function: Rc::new(function), closure: RefCell::new(None) }
}

type Function = dyn Fn(&[Array]) -> Result<Vec<Array>>;

/// A function made by [`compile`]. It belongs to its thread.
pub struct Compiled {
    function: Rc<Function>,
    /// Taken out during a call and put back when it succeeds. The library keeps an empty graph of a function that
    /// failed, and would give no results the next time.
    closure: RefCell<Option<Closure>>,
}

impl Compiled {
    /// The results of the function at `inputs`.
    ///
    /// # Errors
    /// Whatever the function returns, as it is. A panic in it goes on in the caller.
    pub fn call(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let inputs = VectorArray::from_arrays(inputs)?;
        let known = self.closure.take();
        let closure = match known {
            Some(closure) => closure,
            None => {
                let function = Rc::clone(&self.function);
                let closure = Closure::new(move |inputs| function(inputs))?;
                // SAFETY: op contract. The result holds what it needs of `closure`.
                unsafe { call!(Closure = mlx_compile(closure.as_raw(), false)) }?
            }
        };
        // SAFETY: op contract.
        let results = unsafe { call!(VectorArray = mlx_closure_apply(closure.as_raw(), inputs.as_raw())) }?
            .to_arrays()?;
        self.closure.replace(Some(closure));
        Ok(results)
    }
}

impl fmt::Debug for Compiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled").finish_non_exhaustive()
    }
}
