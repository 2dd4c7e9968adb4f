// SPDX-License-Identifier: EUPL-1.2
//! Rust functions that C may call.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::thread::{self, ThreadId};

use crate::Array;
use crate::error::Result;
use crate::ffi::{Handle, call, guard, handle, sys};
use crate::vector::VectorArray;

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

/// What a closure carries: the function, and the thread that it must not leave.
struct Payload<F> {
    function: F,
    owner: ThreadId,
}

impl Closure {
    /// Wraps `function`.
    ///
    /// An error or a panic inside it comes back from the call that ran it.
    pub(crate) fn new<F>(function: F) -> Result<Self>
    where
        F: Fn(&[Array]) -> Result<Vec<Array>> + 'static,
    {
        let payload = Box::into_raw(Box::new(Payload { function, owner: thread::current().id() }));
        // SAFETY: op contract. `payload` is a `Payload<F>`, given up to the closure, which hands it to `run::<F>` and,
        // once, to `release::<F>`.
        unsafe {
            call!(new Closure = mlx_closure_new_func_payload(Some(run::<F>), payload.cast(), Some(release::<F>)))
        }
    }
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
        let (payload, inputs) = unsafe { (&*payload.cast::<Payload<F>>(), VectorArray::lent(inputs)?) };
        let results = (payload.function)(&inputs)?;
        let results = VectorArray::from_arrays(&results)?;
        // SAFETY: by this function's contract; the slot shares the arrays of `results`.
        unsafe { call!(mlx_vector_array_set(outputs, results.as_raw())) }
    })
}

/// Frees what a closure carries.
///
/// # Safety
/// `payload` is a `Payload<F>` that nobody uses any more.
unsafe extern "C" fn release<F>(payload: *mut c_void) {
    // A panicking destructor must not unwind through C either; what it wanted to say has no one to hear it.
    let _ = std::panic::catch_unwind(|| {
        // SAFETY: by this function's contract.
        let payload = unsafe { Box::from_raw(payload.cast::<Payload<F>>()) };
        if payload.owner != thread::current().id() {
            // The last copy may die on a thread of the library's, where nothing that the function holds may be
            // touched: a leak is the sound way out.
            std::mem::forget(payload);
        }
    });
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
}
