// SPDX-License-Identifier: EUPL-1.2
//! Gradients by the parameters of a module.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::mem;
use std::rc::Rc;

use mlx_core::transform::{self, CustomFunction, Tree};
use mlx_core::{Array, depends};

use crate::error::{Error, Result};
use crate::module::{Module, ParamPath, VisitorMut};
use crate::params;

/// The value of `function` of `module`, and the gradient of its first array, a scalar, by every floating parameter that
/// `trainable` chooses, by path and value.
///
/// `function` sees the module with parameters that are followed; when this returns, they are as they were.
///
/// # Errors
/// Whatever `function` returns, as it is; [`Error::Core`] when no parameter is chosen, or the first array is no scalar.
///
/// # Examples
/// ```
/// # fn main() -> mlx_nn::Result<()> {
/// use mlx_core::{Array, Dtype};
/// use mlx_nn::{Linear, value_and_grad};
///
/// let mut layer = Linear::new(2, 1, true)?;
/// let x = Array::from_slice(&[3.0f32, 4.0], &[1, 2])?;
/// let loss = |layer: &Linear| -> mlx_nn::Result<Array> { Ok(layer.forward(&x)?.sum_all()?) };
/// let (value, gradients) = value_and_grad(&mut layer, |path, _| path == "weight", loss)?;
/// assert_eq!(value.item::<f32>()?, 0.0);
/// assert_eq!(gradients["weight"].to_vec::<f32>()?, [3.0, 4.0]);
/// assert!(!gradients.contains_key("bias"));
/// # Ok(()) }
/// ```
pub fn value_and_grad<M, O, E>(
    module: &mut M,
    trainable: impl Fn(&str, &Array) -> bool,
    function: impl FnOnce(&M) -> Result<O, E>,
) -> Result<(O, BTreeMap<String, Array>), E>
where
    M: Module + ?Sized,
    O: Tree<Owned = O>,
    E: From<Error>,
{
    let chosen: BTreeMap<String, Array> = params::parameters(module)
        .into_iter()
        .filter(|(path, value)| value.dtype().is_float() && trainable(path, value))
        .map(|(path, value)| (path, value.clone()))
        .collect();
    // Put back when this is dropped, whatever happens in between.
    let restore = Restore { module, parameters: chosen.clone() };
    let mut failure = None;
    let result = transform::value_and_grad(
        |parameters: &BTreeMap<String, Array>| {
            let done = substitute(&mut *restore.module, parameters).map_err(E::from);
            done.and_then(|()| function(&*restore.module)).map_err(|error| {
                failure = Some(error);
                stopped("the function failed")
            })
        },
        &chosen,
    );
    match (failure, result) {
        (Some(failure), _) => Err(failure),
        (None, result) => result.map_err(|error| E::from(Error::Core(error))),
    }
}

/// `forward` of `layer` at `x`, without keeping what lies between for the gradient: it is computed again when the gradient
/// is.
///
/// Gradients flow through `x` and through the parameters of `layer` for whose paths, counted from the layer, `trainable`
/// says so; all others are constants.
///
/// # Errors
/// Whatever `forward` returns, as it is.
pub fn checkpoint<M, E>(
    layer: &M,
    trainable: impl Fn(&str) -> bool,
    x: &Array,
    forward: impl Fn(&M, &Array) -> Result<Array, E> + 'static,
) -> Result<Array, E>
where
    M: Module + Clone + 'static,
    E: From<Error> + Display + 'static,
{
    let (paths, mut inputs): (Vec<String>, Vec<Array>) = params::parameters(layer)
        .into_iter()
        .filter(|(path, value)| value.dtype().is_float() && trainable(path))
        .map(|(path, value)| (path, value.clone()))
        .unzip();
    inputs.insert(0, x.clone());
    let layer = RefCell::new(layer.clone());
    let failure: Rc<RefCell<Option<E>>> = Rc::default();
    let failed = Rc::clone(&failure);
    let run: Rc<Run> = Rc::new(move |inputs: &[Array]| {
        let Some((x, parameters)) = inputs.split_first() else { return Ok(Vec::new()) };
        let parameters = paths.iter().cloned().zip(parameters.iter().cloned()).collect();
        let mut layer = layer.try_borrow_mut().map_err(|_| stopped("it was called by itself"))?;
        let done = substitute(&mut *layer, &parameters).map_err(E::from).and_then(|()| forward(&layer, x));
        done.map(|y| vec![y]).map_err(|error| {
            let told = stopped(&error);
            *failed.borrow_mut() = Some(error);
            told
        })
    });
    let again = Rc::clone(&run);
    let function = CustomFunction::new(move |inputs| run(inputs)).with_vjp(move |inputs, cotangents, _| {
        // Not before its turn: else all layers would be computed again at once.
        let late = depends(&inputs.iter().collect::<Vec<_>>(), &cotangents.iter().collect::<Vec<_>>())?;
        Ok(transform::vjp(|inputs| again(inputs), &late, cotangents)?.1)
    });
    let result = function.call(&inputs);
    match (failure.borrow_mut().take(), result) {
        (Some(failure), _) => Err(failure),
        (None, Err(error)) => Err(Error::Core(error).into()),
        (None, Ok(mut results)) => {
            results.pop().ok_or_else(|| Error::config("checkpoint", "no result").into())
        }
    }
}

/// A function as the library differentiates it.
type Run = dyn Fn(&[Array]) -> mlx_core::Result<Vec<Array>>;

/// A module whose parameters are put back in the end.
struct Restore<'m, M: Module + ?Sized> {
    module: &'m mut M,
    parameters: BTreeMap<String, Array>,
}

impl<M: Module + ?Sized> Drop for Restore<'_, M> {
    fn drop(&mut self) {
        let parameters = mem::take(&mut self.parameters);
        // Only a module that refuses to be walked over can fail, and it was walked over before.
        let _ = substitute(&mut *self.module, &parameters);
    }
}

/// Puts arrays in the place of parameters, by path.
fn substitute<M: Module + ?Sized>(module: &mut M, parameters: &BTreeMap<String, Array>) -> Result<()> {
    struct Swap<'p>(&'p BTreeMap<String, Array>);
    impl VisitorMut for Swap<'_> {
        fn parameter(&mut self, path: &str, value: &mut Array) -> Result<()> {
            if let Some(parameter) = self.0.get(path) {
                *value = parameter.clone();
            }
            Ok(())
        }
    }
    module.visit_mut(&mut ParamPath::new(), &mut Swap(parameters))
}

/// What the library is told when a function fails; the caller gets the error itself where there is still a way to it.
fn stopped(why: impl Display) -> mlx_core::Error {
    mlx_core::Error::Shape { op: "value_and_grad", message: why.to_string() }
}
