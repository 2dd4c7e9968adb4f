// SPDX-License-Identifier: EUPL-1.2
//! Functions whose graph is built and simplified once.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_int;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use super::graph::{Walk, settled, shallow};
use super::tree::{Structure, Tree};
use crate::closure::Closure;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call, handle, sys};
use crate::vector::VectorArray;
use crate::{Array, Dtype};

/// `function`, to be called with a graph that is built and simplified once for inputs of the same structure, shapes and
/// dtypes on the same stream.
///
/// The function must be pure: it is run for the first such call alone, and what it reads besides its inputs, arrays that
/// it captures among it, is from then on what it was at that time. State goes in with the inputs and comes back with the
/// results. It cannot evaluate. Inside of another transformation it is run as it is. An array that it captures must be
/// neither one of the inputs nor computed from one and still lazy: the library refuses that.
///
/// On a processor, MLX turns runs of element-wise ops into C++ and calls the system's compiler for it; the first call
/// takes a second or so, and fails where there is no compiler. [`set_compile_mode`] turns that off.
///
/// - source: `mlx_compile`
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Result, transform};
/// let gelu = transform::compile(|x: &Array| x * &(x * 1.702)?.sigmoid()?);
/// let x = Array::from_slice(&[0.0f32, 100.0], &[2])?;
/// assert_eq!(gelu.call(&x)?.to_vec::<f32>()?, [0.0, 100.0]);
///
/// // A counter that is handed in and out.
/// let step = transform::compile(|(state, x): &(Array, Array)| -> Result<(Array, Array)> {
///     let state = (state + x)?;
///     Ok((state.clone(), (&state * 2.0)?))
/// });
/// let (mut state, one) = (Array::scalar(0.0f32)?, Array::scalar(1.0f32)?);
/// for _ in 0..3 {
///     (state, _) = step.call(&(state, one.clone()))?;
/// }
/// assert_eq!(state.item::<f32>()?, 3.0);
/// # Ok(()) }
/// ```
pub fn compile<I, O, F>(function: F) -> Compiled<I, O>
where
    I: Tree + ?Sized,
    O: Tree<Owned = O>,
    F: Fn(&I) -> Result<O> + 'static,
{
    Compiled::new(function, false)
}

/// As [`compile`], with one graph for inputs of any shape with as many axes.
///
/// The graph of the first call is used for other shapes as it is. Most ops find the shapes of their results anew; an op
/// that cannot is an error.
///
/// - source: `mlx_compile`
///
/// # Safety
/// Later inputs must be such that each op of the graph is valid for them with the parameters that it got in the first
/// call. MLX does not check this again: rows that were taken by index, or a window that was cut at a place that an array
/// gives, are read, and written, with the lengths of the first call, beyond the end of an array that is smaller.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// // SAFETY: an element-wise op is valid for every shape.
/// let double = unsafe { transform::compile_shapeless(|x: &Array| x + x) };
/// for n in 1..4 {
///     assert_eq!(double.call(&Array::ones(&[n], mlx_core::Dtype::Float32)?)?.shape(), [n]);
/// }
/// assert_eq!(double.graphs(), 1);
/// # Ok(()) }
/// ```
pub unsafe fn compile_shapeless<I, O, F>(function: F) -> Compiled<I, O>
where
    I: Tree + ?Sized,
    O: Tree<Owned = O>,
    F: Fn(&I) -> Result<O> + 'static,
{
    Compiled::new(function, true)
}

/// What a graph was built for.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    structure: Structure,
    stream: c_int,
    /// For each input its dtype, its number of axes, and unless any shape will do, their lengths.
    inputs: Vec<(Dtype, usize)>,
    shapes: Vec<i32>,
}

/// A function with the shapes of its inputs settled.
struct Entry {
    closure: Closure,
    /// The structure of the results, as it was when the function last ran.
    results: Rc<RefCell<Option<Structure>>>,
}

/// A function made by [`compile`]. It belongs to its thread.
///
/// It keeps one graph for each kind of input that it was called with, until it is dropped.
pub struct Compiled<I: ?Sized, O> {
    function: Rc<Flat>,
    shapeless: bool,
    /// A graph that failed is not kept: the library would take it for a finished one without results.
    entries: RefCell<HashMap<Key, Rc<Entry>>>,
    kinds: PhantomData<fn(&I) -> O>,
}

/// A function between lists of arrays, which is told the structure of the first and tells that of the second.
type Flat = dyn Fn(&Structure, &[Array]) -> Result<(Structure, Vec<Array>)>;

impl<I: Tree + ?Sized, O: Tree<Owned = O>> Compiled<I, O> {
    fn new(function: impl Fn(&I) -> Result<O> + 'static, shapeless: bool) -> Self {
        let function = move |structure: &Structure, inputs: &[Array]| {
            let inputs = structure.build::<I>("compile", inputs.to_vec())?;
            let results = function(inputs.borrow())?;
            Ok((results.structure(), results.leaves()))
        };
        Self { function: Rc::new(function), shapeless, entries: RefCell::default(), kinds: PhantomData }
    }

    /// The results of the function at `inputs`.
    ///
    /// # Errors
    /// Whatever the function returns, as it is; [`Error::Mlx`] when the graph cannot be built. A panic in the function
    /// goes on in the caller.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, transform};
    /// let norm = transform::compile(|x: &Array| x.square()?.sum_all()?.sqrt());
    /// assert_eq!(norm.call(&Array::from_slice(&[3.0f32, 4.0], &[2])?)?.item::<f32>()?, 5.0);
    /// # Ok(()) }
    /// ```
    pub fn call(&self, inputs: &I) -> Result<O> {
        let leaves = inputs.leaves();
        let structure = inputs.structure();
        let mut key = Key {
            stream: crate::Stream::current()?.index()?,
            inputs: leaves.iter().map(|x| (x.dtype(), x.ndim())).collect(),
            shapes: Vec::new(),
            structure,
        };
        if !self.shapeless {
            key.shapes.extend(leaves.iter().flat_map(Array::shape));
        }
        let known = self.entries.borrow().get(&key).cloned();
        let entry = match &known {
            Some(entry) => Rc::clone(entry),
            None => Rc::new(self.entry(&key.structure)?),
        };
        let inputs = VectorArray::from_arrays(&leaves)?;
        // SAFETY: op contract.
        let results =
            unsafe { call!(VectorArray = mlx_closure_apply(entry.closure.as_raw(), inputs.as_raw())) };
        let results = match results.and_then(|results| results.to_arrays()) {
            Ok(results) => results,
            Err(error) => {
                let failed = self.entries.borrow_mut().remove(&key);
                drop(failed);
                return Err(error);
            }
        };
        let structure = RefCell::borrow(&entry.results).clone();
        let structure = structure.ok_or_else(|| Error::shape("compile", "the function was not run"))?;
        let results = structure.build::<O>("compile", results)?;
        if known.is_none() {
            let replaced = self.entries.borrow_mut().insert(key, entry);
            drop(replaced);
        }
        Ok(results)
    }

    fn entry(&self, structure: &Structure) -> Result<Entry> {
        let results = Rc::new(RefCell::new(None));
        let (function, structure, told) = (Rc::clone(&self.function), structure.clone(), Rc::clone(&results));
        let shapeless = self.shapeless;
        let closure = Closure::new(move |inputs| {
            let (structure, results) = function(&structure, inputs)?;
            told.replace(Some(structure));
            shallow(Walk::Compile, &results)?;
            // Without shapes, what is empty now may not be the next time.
            if shapeless { Ok(results) } else { settled(&VectorArray::from_arrays(&results)?) }
        })?;
        // SAFETY: op contract. The result holds what it needs of `closure`.
        let closure = unsafe { call!(Closure = mlx_compile(closure.as_raw(), self.shapeless)) }?;
        Ok(Entry { closure, results })
    }

    /// How many graphs are kept: one for each kind of input so far.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, transform};
    /// let double = transform::compile(|x: &Array| x + x);
    /// for shape in [&[2][..], &[3], &[2]] {
    ///     double.call(&Array::ones(shape, Dtype::Float32)?)?;
    /// }
    /// assert_eq!(double.graphs(), 2);
    /// double.clear();
    /// assert_eq!(double.graphs(), 0);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn graphs(&self) -> usize {
        self.entries.borrow().len()
    }

    /// Drops every graph: the next call runs the function again.
    ///
    /// # Examples
    /// See [`Compiled::graphs`].
    pub fn clear(&self) {
        let entries = self.entries.take();
        drop(entries);
    }
}

impl<I: ?Sized, O> fmt::Debug for Compiled<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compiled")
            .field("shapeless", &self.shapeless)
            .field("graphs", &self.entries.borrow().len())
            .finish_non_exhaustive()
    }
}

/// How much is done to the graphs of compiled functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CompileMode {
    /// Nothing: the function is run each time.
    Disabled,
    /// The graph is kept, and otherwise as the function built it.
    NoSimplify,
    /// What is computed twice becomes one; nothing is fused, so that no compiler is called.
    NoFuse,
    /// Everything.
    #[default]
    Enabled,
}

/// Sets what [`compile`] does from now on, in the whole process. The environment variable `MLX_DISABLE_COMPILE` sets the
/// mode that a process begins with.
///
/// - source: `mlx_set_compile_mode`; [`CompileMode::Disabled`] and [`CompileMode::Enabled`] are `mlx_disable_compile` and
///   `mlx_enable_compile`
///
/// # Errors
/// [`Error::Mlx`] when the library refuses.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::transform::{CompileMode, set_compile_mode};
/// set_compile_mode(CompileMode::NoFuse)?;
/// set_compile_mode(CompileMode::default())?;
/// # Ok(()) }
/// ```
pub fn set_compile_mode(mode: CompileMode) -> Result<()> {
    let raw = match mode {
        CompileMode::Disabled => sys::MLX_COMPILE_MODE_DISABLED,
        CompileMode::NoSimplify => sys::MLX_COMPILE_MODE_NO_SIMPLIFY,
        CompileMode::NoFuse => sys::MLX_COMPILE_MODE_NO_FUSE,
        CompileMode::Enabled => sys::MLX_COMPILE_MODE_ENABLED,
    };
    // SAFETY: op contract.
    unsafe { call!(mlx_set_compile_mode(raw)) }
}

handle! {
    /// A reference to the graphs that a thread keeps.
    Cache(mlx_compile_cache): mlx_compile_cache_new, mlx_compile_cache_free
}

/// Drops the graphs of all compiled functions of this thread; the next call of each runs it again.
///
/// There is rarely a need: a [`Compiled`] that is dropped takes its graphs with it.
///
/// - source: `mlx_detail_compile_clear_cache`
///
/// # Errors
/// [`Error::Mlx`] when the library refuses.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, transform};
/// let double = transform::compile(|x: &Array| x + x);
/// let two = double.call(&Array::scalar(1.0f32)?)?;
/// transform::clear_compile_cache()?;
/// assert_eq!(double.call(&two)?.item::<f32>()?, 4.0);
/// # Ok(()) }
/// ```
pub fn clear_compile_cache() -> Result<()> {
    // SAFETY: op contract.
    let cache = unsafe { call!(Cache = mlx_detail_compile_cache()) }?;
    // SAFETY: op contract.
    unsafe { call!(mlx_detail_compile_clear_cache(cache.as_raw())) }
}
