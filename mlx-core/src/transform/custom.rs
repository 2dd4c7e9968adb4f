// SPDX-License-Identifier: EUPL-1.2
//! Functions with derivatives of their own.

use std::borrow::Borrow;
use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use super::graph::{Walk, shallow};
use super::tree::Tree;
use crate::Array;
use crate::closure::{Closure, JvpClosure, VjpClosure, VmapClosure};
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::vector::VectorArray;

/// The results of `function` at `inputs`, without keeping what lies between for the gradient: that is computed again when
/// it is needed.
///
/// It costs a second run of `function`, and saves the memory of its intermediate arrays. Gradients flow through `inputs`
/// alone: an array that `function` captures is a constant here, so parameters go in with the inputs.
///
/// - source: `mlx_checkpoint`
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Shape`] when it gives no array. A panic in it goes on in the caller.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Result, transform};
/// fn layer((weight, x): &(Array, Array)) -> Result<Array> {
///     (weight * x)?.exp()
/// }
/// let (weight, x) = (Array::scalar(2.0f32)?, Array::scalar(0.0f32)?);
/// let loss = |x: &Array| transform::checkpoint(layer, &(weight.clone(), x.clone()));
/// assert_eq!(transform::grad(loss, &x)?.item::<f32>()?, 2.0);
/// # Ok(()) }
/// ```
pub fn checkpoint<I, O>(function: impl Fn(&I) -> Result<O> + 'static, inputs: &I) -> Result<O>
where
    I: Tree + ?Sized,
    O: Tree<Owned = O>,
{
    let op = "checkpoint";
    let (structure, results) = (inputs.structure(), Rc::new(OnceCell::new()));
    let told = Rc::clone(&results);
    let function = Closure::new(move |inputs| {
        let results = function(structure.build::<I>(op, inputs.to_vec())?.borrow())?;
        let leaves = results.leaves();
        if leaves.is_empty() {
            return Err(Error::shape(op, "the function gave no array"));
        }
        let _ = told.set(results.structure());
        // Here, because the library differentiates it without asking.
        shallow(Walk::Derivative, &leaves)?;
        Ok(leaves)
    })?;
    let inputs = VectorArray::from_arrays(&inputs.leaves())?;
    // SAFETY: op contract. The result, and what it makes, hold what they need of `function`.
    let values = unsafe {
        call!(Closure = mlx_checkpoint(function.as_raw()))
            .and_then(|function| call!(VectorArray = mlx_closure_apply(function.as_raw(), inputs.as_raw())))
    }?;
    let structure = results.get().ok_or_else(|| Error::shape(op, "the function was not run"))?;
    structure.build::<O>(op, values.to_arrays()?)
}

type Function = dyn Fn(&[Array]) -> Result<Vec<Array>>;
type Vjp = dyn Fn(&[Array], &[Array], &[Array]) -> Result<Vec<Array>>;
type Jvp = dyn Fn(&[Array], &[Array], &[usize]) -> Result<Vec<Array>>;
type Vmap = dyn Fn(&[Array], &[Option<usize>]) -> Result<Vec<(Array, Option<usize>)>>;

/// A function that says itself what its derivatives are, and how it is mapped over an axis.
///
/// What it does not say is found from the function, as for any other. Derivatives flow through its inputs alone: an array
/// that it captures is a constant.
///
/// - source: `mlx_custom_function`, of which `mlx_custom_vjp` is a part
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::transform::{self, CustomFunction};
/// use mlx_core::{Array, Result};
///
/// // Rounding, which lets gradients through as if it were not there.
/// let round = CustomFunction::new(|x| Ok(vec![x[0].round(0)?]))
///     .with_vjp(|_primals, cotangents, _results| Ok(cotangents.to_vec()));
/// let x = Array::from_slice(&[0.4f32, 1.6], &[2])?;
/// let loss = |x: &Array| -> Result<Array> { round.call(&[x.clone()])?[0].square()?.sum_all() };
/// assert_eq!(transform::grad(loss, &x)?.to_vec::<f32>()?, [0.0, 4.0]);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CustomFunction {
    function: Rc<Function>,
    vjp: Option<Rc<Vjp>>,
    jvp: Option<Rc<Jvp>>,
    vmap: Option<Rc<Vmap>>,
}

impl CustomFunction {
    /// `function`, as it is so far.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, transform::CustomFunction};
    /// let double = CustomFunction::new(|x| Ok(vec![(&x[0] * 2.0)?]));
    /// assert_eq!(double.call(&[Array::scalar(3.0f32)?])?[0].item::<f32>()?, 6.0);
    /// # Ok(()) }
    /// ```
    pub fn new(function: impl Fn(&[Array]) -> Result<Vec<Array>> + 'static) -> Self {
        Self { function: Rc::new(function), vjp: None, jvp: None, vmap: None }
    }

    /// With a pullback: from the inputs, a cotangent for each result, and the results, to a cotangent for each input, of
    /// that input's shape.
    ///
    /// # Examples
    /// See [`CustomFunction`].
    #[must_use]
    pub fn with_vjp(
        self,
        vjp: impl Fn(&[Array], &[Array], &[Array]) -> Result<Vec<Array>> + 'static,
    ) -> Self {
        Self { vjp: Some(Rc::new(vjp)), ..self }
    }

    /// With a pushforward: from the inputs, and the tangents of those that the third argument names, to a tangent for
    /// each result, of that result's shape.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::transform::{self, CustomFunction};
    /// use mlx_core::Array;
    /// let double = CustomFunction::new(|x| Ok(vec![(&x[0] * 2.0)?]))
    ///     .with_jvp(|_primals, tangents, _of| Ok(vec![(&tangents[0] * 2.0)?]));
    /// let one = [Array::scalar(1.0f32)?];
    /// assert_eq!(transform::jvp(|x| double.call(x), &one, &one)?.1[0].item::<f32>()?, 2.0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_jvp(
        self,
        jvp: impl Fn(&[Array], &[Array], &[usize]) -> Result<Vec<Array>> + 'static,
    ) -> Self {
        Self { jvp: Some(Rc::new(jvp)), ..self }
    }

    /// With a way to be mapped: from the inputs with all examples, and the axis of each that runs over them, to the results
    /// with all examples, and their axes. `None` stands for an input or a result that is the same for all.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::transform::{self, CustomFunction};
    /// use mlx_core::Array;
    /// let double = CustomFunction::new(|x| Ok(vec![(&x[0] * 2.0)?]))
    ///     .with_vmap(|x, axes| Ok(vec![((&x[0] * 2.0)?, axes[0])]));
    /// let x = Array::from_slice(&[1.0f32, 2.0], &[2])?;
    /// let y = transform::vmap(|x| double.call(x), &[x], 0, 0)?;
    /// assert_eq!(y[0].to_vec::<f32>()?, [2.0, 4.0]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn with_vmap(
        self,
        vmap: impl Fn(&[Array], &[Option<usize>]) -> Result<Vec<(Array, Option<usize>)>> + 'static,
    ) -> Self {
        Self { vmap: Some(Rc::new(vmap)), ..self }
    }

    /// The results of the function at `inputs`.
    ///
    /// # Errors
    /// Whatever the function returns, as it is; [`Error::Shape`] when it gives no array. What its derivatives return
    /// comes back from where they are taken; one that does not fit is an [`Error::Shape`] there.
    ///
    /// # Examples
    /// See [`CustomFunction::new`].
    pub fn call(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let op = "custom_function";
        // The shapes of this call's results: what its derivatives give is held against them, since the library trusts it.
        let known: Rc<OnceCell<Vec<Vec<i32>>>> = Rc::default();
        let (function, told) = (Rc::clone(&self.function), Rc::clone(&known));
        let function = Closure::new(move |inputs| {
            let results = function(inputs)?;
            if results.is_empty() {
                return Err(Error::shape(op, "the function gave no array"));
            }
            let _ = told.set(results.iter().map(|result| result.shape().to_vec()).collect());
            // Here, because the library differentiates it without asking.
            shallow(Walk::Derivative, &results)?;
            Ok(results)
        })?;
        let vjp = self.vjp.clone().map(|vjp| {
            VjpClosure::new(move |primals, cotangents, results| {
                let pulled = vjp(primals, cotangents, results)?;
                let shapes: Vec<&[i32]> = primals.iter().map(Array::shape).collect();
                fit(op, "the vjp", &pulled, &shapes)?;
                pulled.iter().zip(primals).map(|(pulled, primal)| pulled.astype(primal.dtype())).collect()
            })
        });
        let jvp = self.jvp.clone().map(|jvp| {
            let known = Rc::clone(&known);
            JvpClosure::new(move |primals, tangents, of| {
                let pushed = jvp(primals, tangents, of)?;
                let shapes: Vec<&[i32]> = known.get().into_iter().flatten().map(Vec::as_slice).collect();
                fit(op, "the jvp", &pushed, &shapes)?;
                Ok(pushed)
            })
        });
        let vmap = self.vmap.clone().map(|vmap| {
            let known = Rc::clone(&known);
            VmapClosure::new(move |inputs, axes| {
                let mapped = vmap(inputs, axes)?;
                let mut lengths =
                    inputs.iter().zip(axes).filter_map(|(x, &axis)| x.shape().get(axis?).copied());
                let length = lengths.next();
                let single: Vec<Vec<i32>> = mapped
                    .iter()
                    .map(|(result, axis)| {
                        let mut shape = result.shape().to_vec();
                        match *axis {
                            Some(axis) if shape.get(axis).copied() == length && length.is_some() => {
                                shape.remove(axis);
                                Ok(shape)
                            }
                            Some(axis) => {
                                let message = format!("the vmap names axis {axis} of {result:?}");
                                Err(Error::shape(op, message))
                            }
                            None => Ok(shape),
                        }
                    })
                    .collect::<Result<_>>()?;
                if known.get().is_none_or(|known| *known != single) {
                    let message = format!("the vmap gave {single:?} for results of {:?}", known.get());
                    return Err(Error::shape(op, message));
                }
                // The library wants an axis for each result.
                mapped
                    .into_iter()
                    .map(|(result, axis)| match (axis, length) {
                        (None, Some(length)) => {
                            super::vmap::repeat(&result, 0, length).map(|result| (result, Some(0)))
                        }
                        _ => Ok((result, axis)),
                    })
                    .collect()
            })
        });
        let (vjp, jvp, vmap) = (vjp.transpose()?, jvp.transpose()?, vmap.transpose()?);
        let vjp = vjp.unwrap_or_else(VjpClosure::empty);
        let jvp = jvp.unwrap_or_else(JvpClosure::empty);
        let vmap = vmap.unwrap_or_else(VmapClosure::empty);
        let inputs = VectorArray::from_arrays(inputs)?;
        // SAFETY: op contract; an empty closure stands for one that is absent. The result, and the node that it makes,
        // hold what they need of the closures.
        unsafe {
            call!(Closure = mlx_custom_function(function.as_raw(), vjp.as_raw(), jvp.as_raw(), vmap.as_raw()))
                .and_then(|function| {
                    call!(VectorArray = mlx_closure_apply(function.as_raw(), inputs.as_raw()))
                })
        }?
        .to_arrays()
    }
}

/// Whether arrays have these shapes.
fn fit(op: &'static str, what: &str, found: &[Array], expected: &[&[i32]]) -> Result<()> {
    if found.iter().map(Array::shape).eq(expected.iter().copied()) {
        return Ok(());
    }
    Err(Error::shape(op, format!("{what} gave {found:?} where shapes {expected:?} are needed")))
}

impl fmt::Debug for CustomFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomFunction")
            .field("vjp", &self.vjp.is_some())
            .field("jvp", &self.jvp.is_some())
            .field("vmap", &self.vmap.is_some())
            .finish_non_exhaustive()
    }
}
