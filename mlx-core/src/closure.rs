// SPDX-License-Identifier: EUPL-1.2
//! Rust functions that C may call.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{c_int, c_void};
use std::rc::Rc;
use std::thread::{self, ThreadId};

use crate::Array;
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, call, guard, handle, sys};
use crate::vector::{ArrayMap, VectorArray};

thread_local! {
    /// How many callbacks this thread is in.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Whether this thread was ever in one.
    static TRACED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a callback runs on this thread. What is evaluated in it keeps its place in the graph.
pub(crate) fn is_tracing() -> bool {
    DEPTH.try_with(Cell::get).is_ok_and(|depth| depth > 0)
}

/// Whether an array of this thread may come from a callback.
pub(crate) fn has_traced() -> bool {
    TRACED.try_with(Cell::get).unwrap_or(true)
}

/// Counts a callback for as long as it runs, panics included.
pub(crate) struct Inside;

impl Inside {
    pub(crate) fn new() -> Self {
        let _ = TRACED.try_with(|traced| traced.set(true));
        let _ = DEPTH.try_with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        let _ = DEPTH.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
    }
}

handle! {
    /// A function from arrays to arrays on the C side.
    pub(crate) Closure(mlx_closure): mlx_closure_new, mlx_closure_free
}

handle! {
    /// A function from arrays, some of them by name, to arrays.
    pub(crate) NamedClosure(mlx_closure_kwargs): mlx_closure_kwargs_new, mlx_closure_kwargs_free
}

handle! {
    /// The pullback of a function: primals, cotangents and results, to a cotangent for each primal.
    pub(crate) VjpClosure(mlx_closure_custom): mlx_closure_custom_new, mlx_closure_custom_free
}

handle! {
    /// The pushforward of a function: primals, tangents and whose they are, to a tangent for each result.
    pub(crate) JvpClosure(mlx_closure_custom_jvp): mlx_closure_custom_jvp_new, mlx_closure_custom_jvp_free
}

handle! {
    /// A function mapped over an axis: inputs and their mapped axes, to results and theirs.
    pub(crate) VmapClosure(mlx_closure_custom_vmap): mlx_closure_custom_vmap_new, mlx_closure_custom_vmap_free
}

/// What a closure carries: the function, and the thread that it must not leave.
struct Payload<F> {
    function: F,
    owner: ThreadId,
}

impl<F> Payload<F> {
    /// Gives `function` up to C, which hands it back to `release::<F>`.
    fn give(function: F) -> *mut c_void {
        // It is there before the first trace asks for the thread's default stream, which MLX would make.
        crate::device::stream();
        Box::into_raw(Box::new(Self { function, owner: thread::current().id() })).cast()
    }

    /// The function behind a payload, on its own thread.
    ///
    /// # Safety
    /// `payload` is a live `Payload<F>`.
    unsafe fn lend<'a>(payload: *mut c_void) -> Result<&'a F> {
        // SAFETY: by this function's contract. The owner never changes, and any thread may read it.
        let payload = unsafe { &*payload.cast::<Self>() };
        if payload.owner == thread::current().id() {
            return Ok(&payload.function);
        }
        Err(Error::Mlx {
            op: "callback",
            message: "a function was called on another thread than its own".to_owned(),
        })
    }
}

impl Closure {
    /// Wraps `function`.
    ///
    /// An error or a panic inside it comes back from the call that ran it.
    pub(crate) fn new<F>(function: F) -> Result<Self>
    where
        F: Fn(&[Array]) -> Result<Vec<Array>> + 'static,
    {
        // SAFETY: op contract. The payload is a `Payload<F>`, given up to the closure, which hands it to `run::<F>` and,
        // once, to `release::<F>`.
        unsafe {
            call!(
                new Closure =
                    mlx_closure_new_func_payload(Some(run::<F>), Payload::give(function), Some(release::<F>))
            )
        }
    }

    /// Wraps `function` for as long as `body` runs: it may borrow from its surroundings, and runs once.
    ///
    /// What C holds is not the function but a link to it, which is cut when this call ends, also by a panic, and when
    /// the function is run. Whatever copies of the closure the library may keep, a later call finds no function, and is
    /// an error.
    pub(crate) fn scoped<R>(
        function: impl FnOnce(&[Array]) -> Result<Vec<Array>>,
        body: impl FnOnce(&Self) -> Result<R>,
    ) -> Result<R> {
        let mut function = Some(function);
        let mut once = |inputs: &[Array]| match function.take() {
            Some(function) => function(inputs),
            None => Err(called_late()),
        };
        let lent: &mut Once<'_> = &mut once;
        // SAFETY: only the lifetime of what is behind the pointer changes. `once` lives until this function returns, and
        // `cut` below, which is dropped before it, takes the pointer out of the only place where it is kept. Whoever took
        // it out earlier is a call of the closure, which is within `body`, or on this thread's stack above it.
        let lent =
            unsafe { std::mem::transmute::<*mut Once<'_>, *mut Once<'static>>(std::ptr::from_mut(lent)) };
        let link: Rc<Cell<Option<*mut Once<'static>>>> = Rc::new(Cell::new(Some(lent)));
        let cut = Cut(Rc::clone(&link));
        let closure = Self::new(move |inputs| {
            let function = link.take().ok_or_else(called_late)?;
            // SAFETY: the link was whole, so `scoped` has not returned, and `once` is alive; the pointer was taken out, so
            // nobody else has it.
            unsafe { (*function)(inputs) }
        })?;
        let result = body(&closure);
        drop(cut);
        result
    }
}

type Once<'a> = dyn FnMut(&[Array]) -> Result<Vec<Array>> + 'a;

/// Cuts the link to a borrowed function.
struct Cut(Rc<Cell<Option<*mut Once<'static>>>>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

fn called_late() -> Error {
    Error::Mlx { op: "callback", message: "a function that runs once was called again".to_owned() }
}

impl NamedClosure {
    /// Wraps `function`, as [`Closure::new`].
    pub(crate) fn new<F>(function: F) -> Result<Self>
    where
        F: Fn(&[Array], &BTreeMap<String, Array>) -> Result<Vec<Array>> + 'static,
    {
        // SAFETY: op contract, and as for `Closure::new`.
        unsafe {
            call!(
                new NamedClosure = mlx_closure_kwargs_new_func_payload(
                    Some(run_named::<F>),
                    Payload::give(function),
                    Some(release::<F>)
                )
            )
        }
    }
}

impl VjpClosure {
    /// Wraps `function`, as [`Closure::new`].
    pub(crate) fn new<F>(function: F) -> Result<Self>
    where
        F: Fn(&[Array], &[Array], &[Array]) -> Result<Vec<Array>> + 'static,
    {
        // SAFETY: op contract, and as for `Closure::new`.
        unsafe {
            call!(
                new VjpClosure = mlx_closure_custom_new_func_payload(
                    Some(run_vjp::<F>),
                    Payload::give(function),
                    Some(release::<F>)
                )
            )
        }
    }
}

impl JvpClosure {
    /// Wraps `function`, as [`Closure::new`].
    pub(crate) fn new<F>(function: F) -> Result<Self>
    where
        F: Fn(&[Array], &[Array], &[usize]) -> Result<Vec<Array>> + 'static,
    {
        // SAFETY: op contract, and as for `Closure::new`.
        unsafe {
            call!(
                new JvpClosure = mlx_closure_custom_jvp_new_func_payload(
                    Some(run_jvp::<F>),
                    Payload::give(function),
                    Some(release::<F>)
                )
            )
        }
    }
}

impl VmapClosure {
    /// Wraps `function`, as [`Closure::new`]. The axes that it gives must be axes of its results.
    pub(crate) fn new<F>(function: F) -> Result<Self>
    where
        F: Fn(&[Array], &[Option<usize>]) -> Result<Vec<(Array, Option<usize>)>> + 'static,
    {
        // SAFETY: op contract, and as for `Closure::new`.
        unsafe {
            call!(
                new VmapClosure = mlx_closure_custom_vmap_new_func_payload(
                    Some(run_vmap::<F>),
                    Payload::give(function),
                    Some(release::<F>)
                )
            )
        }
    }
}

/// Numbers of operands from C, which are never negative.
///
/// # Safety
/// As for [`ffi::slice`].
pub(crate) unsafe fn argnums(data: *const c_int, len: usize) -> Vec<usize> {
    // SAFETY: by this function's contract.
    unsafe { ffi::slice(data, len) }.iter().filter_map(|&n| usize::try_from(n).ok()).collect()
}

/// Mapped axes from C, where a negative one says that the operand is not mapped.
///
/// # Safety
/// As for [`ffi::slice`].
pub(crate) unsafe fn mapped_axes(data: *const c_int, len: usize) -> Vec<Option<usize>> {
    // SAFETY: by this function's contract.
    unsafe { ffi::slice(data, len) }.iter().map(|&n| usize::try_from(n).ok()).collect()
}

/// Fills a slot for the results of a callback.
///
/// # Safety
/// `slot` is one that C gave to a callback.
pub(crate) unsafe fn fill(slot: *mut sys::mlx_vector_array, results: &[Array]) -> Result<()> {
    let results = VectorArray::from_arrays(results)?;
    // SAFETY: by this function's contract; the slot shares the arrays of `results`.
    unsafe { call!(mlx_vector_array_set(slot, results.as_raw())) }
}

/// Runs the function of a closure.
///
/// # Safety
/// `payload` is a live `Payload<F>`; `inputs` is a live vector; `outputs` is an empty slot.
unsafe extern "C" fn run<F>(
    outputs: *mut sys::mlx_vector_array,
    inputs: sys::mlx_vector_array,
    payload: *mut c_void,
) -> c_int
where
    F: Fn(&[Array]) -> Result<Vec<Array>> + 'static,
{
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract.
        unsafe {
            let function = Payload::<F>::lend(payload)?;
            fill(outputs, &function(&VectorArray::lent(inputs)?)?)
        }
    })
}

/// As [`run`], with inputs by name.
///
/// # Safety
/// As for [`run`]; `named` is a live map.
unsafe extern "C" fn run_named<F>(
    outputs: *mut sys::mlx_vector_array,
    inputs: sys::mlx_vector_array,
    named: sys::mlx_map_string_to_array,
    payload: *mut c_void,
) -> c_int
where
    F: Fn(&[Array], &BTreeMap<String, Array>) -> Result<Vec<Array>> + 'static,
{
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract.
        unsafe {
            let function = Payload::<F>::lend(payload)?;
            fill(outputs, &function(&VectorArray::lent(inputs)?, &ArrayMap::lent(named)?)?)
        }
    })
}

/// As [`run`], for a pullback.
///
/// # Safety
/// As for [`run`]; the vectors are live.
unsafe extern "C" fn run_vjp<F>(
    outputs: *mut sys::mlx_vector_array,
    primals: sys::mlx_vector_array,
    cotangents: sys::mlx_vector_array,
    results: sys::mlx_vector_array,
    payload: *mut c_void,
) -> c_int
where
    F: Fn(&[Array], &[Array], &[Array]) -> Result<Vec<Array>> + 'static,
{
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract.
        unsafe {
            let function = Payload::<F>::lend(payload)?;
            let [primals, cotangents, results] =
                [primals, cotangents, results].map(|raw| VectorArray::lent(raw));
            fill(outputs, &function(&primals?, &cotangents?, &results?)?)
        }
    })
}

/// As [`run`], for a pushforward.
///
/// # Safety
/// As for [`run`]; the vectors are live, and `numbers` points to `len` numbers.
unsafe extern "C" fn run_jvp<F>(
    outputs: *mut sys::mlx_vector_array,
    primals: sys::mlx_vector_array,
    tangents: sys::mlx_vector_array,
    numbers: *const c_int,
    len: usize,
    payload: *mut c_void,
) -> c_int
where
    F: Fn(&[Array], &[Array], &[usize]) -> Result<Vec<Array>> + 'static,
{
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract.
        unsafe {
            let function = Payload::<F>::lend(payload)?;
            let [primals, tangents] = [primals, tangents].map(|raw| VectorArray::lent(raw));
            fill(outputs, &function(&primals?, &tangents?, &argnums(numbers, len))?)
        }
    })
}

/// As [`run`], for a function that is mapped.
///
/// # Safety
/// As for [`run`]; `axes` points to `len` numbers, and `output_axes` is an empty slot.
unsafe extern "C" fn run_vmap<F>(
    outputs: *mut sys::mlx_vector_array,
    output_axes: *mut sys::mlx_vector_int,
    inputs: sys::mlx_vector_array,
    axes: *const c_int,
    len: usize,
    payload: *mut c_void,
) -> c_int
where
    F: Fn(&[Array], &[Option<usize>]) -> Result<Vec<(Array, Option<usize>)>> + 'static,
{
    guard(|| {
        let _inside = Inside::new();
        // SAFETY: by this function's contract; the axes are copied.
        unsafe {
            let function = Payload::<F>::lend(payload)?;
            let (results, axes): (Vec<_>, Vec<_>) =
                function(&VectorArray::lent(inputs)?, &mapped_axes(axes, len))?.into_iter().unzip();
            let mut axes: Vec<c_int> = axes
                .into_iter()
                .map(|axis| axis.and_then(|axis| c_int::try_from(axis).ok()).unwrap_or(-1))
                .collect();
            fill(outputs, &results)?;
            call!(mlx_vector_int_set_data(output_axes, axes.as_mut_ptr(), axes.len()))
        }
    })
}

/// Frees what a closure carries.
///
/// # Safety
/// `payload` is a `Payload<F>` that nobody uses any more.
unsafe extern "C" fn release<F>(payload: *mut c_void) {
    // A panicking destructor must not unwind through C either; what it wanted to say has no one to hear it. A destructor
    // may make calls of its own, while the error of the call that failed is still under way.
    let dropped = ffi::aside(|| {
        std::panic::catch_unwind(|| {
            // SAFETY: by this function's contract.
            let payload = unsafe { Box::from_raw(payload.cast::<Payload<F>>()) };
            if payload.owner != thread::current().id() {
                // The last copy may die on a thread of the library's, where nothing that the function holds may be
                // touched: a leak is the sound way out.
                std::mem::forget(payload);
            }
        })
    });
    if let Err(payload) = dropped {
        std::mem::forget(payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::ffi::live;

    fn apply(closure: &Closure, input: &Array) -> Result<Vec<Array>> {
        let inputs = VectorArray::from_arrays([input])?;
        // SAFETY: op contract.
        unsafe { call!(VectorArray = mlx_closure_apply(closure.as_raw(), inputs.as_raw())) }?.to_arrays()
    }

    #[test]
    fn closure_runs_and_leaves_no_handle() {
        let before = live::count();
        {
            let closure = Closure::new(|inputs| Ok(vec![inputs[0].clone(), inputs[0].clone()])).unwrap();
            for _ in 0..1000 {
                let out = apply(&closure, &Array::scalar(2.0f32).unwrap()).unwrap();
                assert_eq!(out.len(), 2);
                assert_eq!(out[1].item::<f32>().unwrap(), 2.0);
            }
        }
        assert_eq!(live::count(), before);
    }

    #[test]
    fn error_in_a_callback_comes_back_as_itself() {
        let before = live::count();
        {
            let closure = Closure::new(|_| Err(Error::argument("test", "x", "refused"))).unwrap();
            let error = apply(&closure, &Array::scalar(2.0f32).unwrap()).unwrap_err();
            assert!(matches!(error, Error::Argument { op: "test", argument: "x", .. }), "{error}");
            // Nothing of it stays behind for the next call.
            assert!(Array::scalar(1.0f32).unwrap().eval().is_ok());
        }
        assert_eq!(live::count(), before);
    }

    #[test]
    fn panic_in_a_callback_comes_back_as_itself() {
        let before = live::count();
        {
            let closure = Closure::new(|_| panic!("from the inside")).unwrap();
            let input = Array::scalar(2.0f32).unwrap();
            let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| apply(&closure, &input)))
                .unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"from the inside"));
            assert!(input.eval().is_ok());
        }
        assert_eq!(live::count(), before);
    }

    #[test]
    fn closure_frees_what_it_carries_exactly_once() {
        let carried = std::rc::Rc::new(());
        let inside = carried.clone();
        let closure = Closure::new(move |inputs| {
            let _ = &inside;
            Ok(inputs.to_vec())
        })
        .unwrap();
        assert_eq!(std::rc::Rc::strong_count(&carried), 2);
        drop(closure);
        assert_eq!(std::rc::Rc::strong_count(&carried), 1);
    }

    #[test]
    fn borrowed_function_runs_once_and_never_after_its_scope() {
        let before = live::count();
        {
            let input = Array::scalar(2.0f32).unwrap();
            let mut runs = 0;
            let kept = Closure::scoped(
                |inputs| {
                    runs += 1;
                    Ok(inputs.to_vec())
                },
                |closure| {
                    assert!(apply(closure, &input).is_ok());
                    assert!(apply(closure, &input).is_err());
                    // As a copy that the library keeps.
                    let mut copy = Closure::empty();
                    // SAFETY: op contract.
                    unsafe { call!(mlx_closure_set(copy.as_mut_raw(), closure.as_raw())) }.map(|()| copy)
                },
            )
            .unwrap();
            assert_eq!(runs, 1);
            assert!(apply(&kept, &input).unwrap_err().to_string().contains("again"));
            let kept = Closure::scoped(
                |_| panic!("never"),
                |closure| {
                    let mut copy = Closure::empty();
                    // SAFETY: op contract.
                    unsafe { call!(mlx_closure_set(copy.as_mut_raw(), closure.as_raw())) }.map(|()| copy)
                },
            )
            .unwrap();
            assert!(apply(&kept, &input).is_err());
        }
        assert_eq!(live::count(), before);
    }
}
