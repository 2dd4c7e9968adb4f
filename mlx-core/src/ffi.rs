// SPDX-License-Identifier: EUPL-1.2
//! The road to C.
//!
//! **Op contract**, the argument that every routine `unsafe` block of this crate rests on. Handles that are passed
//! are owned by live values, borrowed for the whole call. The output slot is an owned handle, empty or full. A
//! pointer and its length come from one slice that mlx does not keep. The error handler was installed first. A block
//! that needs more than this says what, in full.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

pub(crate) use mlx_sys as sys;

use crate::error::{Error, Result};

/// An owned C handle. An empty one may be dropped, and fails cleanly when it is used.
pub(crate) trait Handle: Sized {
    type Raw: Copy;
    /// An empty handle, the state of an output slot before its call. Installs the error handler on first use.
    fn empty() -> Self;
    /// Takes over a handle that C returned.
    fn from_raw(raw: Self::Raw) -> Self;
    /// The struct that C functions take; valid as long as `self` is.
    fn as_raw(&self) -> Self::Raw;
    /// The slot that a C function fills.
    fn as_mut_raw(&mut self) -> *mut Self::Raw;
    /// Whether there is nothing behind the handle, which is how constructors report failure.
    fn is_empty(&self) -> bool;
}

/// Declares a newtype that owns a C handle: freed once, on drop.
///
/// With a third function, the one that sets a slot from another handle, it is `Clone` too.
macro_rules! handle {
    ($(#[$meta:meta])* $vis:vis $name:ident($raw:ident): $new:ident, $set:ident, $free:ident) => {
        $crate::ffi::handle!($(#[$meta])* $vis $name($raw): $new, $free);

        impl Clone for $name {
            fn clone(&self) -> Self {
                let mut out = <Self as $crate::ffi::Handle>::empty();
                // SAFETY: op contract. Setting a slot to a live handle only counts one more reference.
                unsafe {
                    $crate::ffi::sys::$set(
                        $crate::ffi::Handle::as_mut_raw(&mut out),
                        $crate::ffi::Handle::as_raw(self),
                    );
                }
                out
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis $name:ident($raw:ident): $new:ident, $free:ident) => {
        $(#[$meta])*
        $vis struct $name($crate::ffi::sys::$raw);

        impl $crate::ffi::Handle for $name {
            type Raw = $crate::ffi::sys::$raw;
            fn empty() -> Self {
                $crate::ffi::prepare();
                // SAFETY: makes an empty handle, from nothing.
                <Self as $crate::ffi::Handle>::from_raw(unsafe { $crate::ffi::sys::$new() })
            }
            fn from_raw(raw: Self::Raw) -> Self {
                #[cfg(test)]
                $crate::ffi::live::add(1);
                Self(raw)
            }
            fn as_raw(&self) -> Self::Raw {
                self.0
            }
            fn as_mut_raw(&mut self) -> *mut Self::Raw {
                &raw mut self.0
            }
            fn is_empty(&self) -> bool {
                self.0.ctx.is_null()
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                #[cfg(test)]
                $crate::ffi::live::add(-1);
                // SAFETY: the handle is owned by `self`, and this is the only place that frees it.
                unsafe {
                    $crate::ffi::sys::$free(self.0);
                }
            }
        }
    };
}
pub(crate) use handle;

/// Calls a C function that returns a status, and gives back what it wrote.
///
/// - `call!(Array = f(args))`: the first parameter of `f` is an output slot; a result that no machine, or not this one,
///   can hold is refused
/// - `call!(VectorArray = f(args))`: the same for another handle type
/// - `call!((Array, Array) = f(args))`: the first two are
/// - `call!(new Array = f(args))`: `f` returns a handle and no status
/// - `call!(copy usize = f(args))`: the first parameter is a slot for a plain value
/// - `call!(f(args))`: nothing is written
macro_rules! call {
    (($a:ident, $b:ident) = $f:ident($($arg:expr),* $(,)?)) => {{
        let mut a = <$a as $crate::ffi::Handle>::empty();
        let mut b = <$b as $crate::ffi::Handle>::empty();
        let status = $crate::ffi::sys::$f(
            $crate::ffi::Handle::as_mut_raw(&mut a),
            $crate::ffi::Handle::as_mut_raw(&mut b),
            $($arg),*
        );
        $crate::ffi::check(stringify!($f), status).map(|()| (a, b))
    }};
    (new $out:ident = $f:ident($($arg:expr),* $(,)?)) => {{
        $crate::ffi::prepare();
        let out = <$out as $crate::ffi::Handle>::from_raw($crate::ffi::sys::$f($($arg),*));
        $crate::ffi::check(stringify!($f), i32::from($crate::ffi::Handle::is_empty(&out))).map(|()| out)
    }};
    (copy $out:ty = $f:ident($($arg:expr),* $(,)?)) => {{
        $crate::ffi::prepare();
        let mut out = <$out as Default>::default();
        let status = $crate::ffi::sys::$f(&raw mut out, $($arg),*);
        $crate::ffi::check(stringify!($f), status).map(|()| out)
    }};
    (Array = $f:ident($($arg:expr),* $(,)?)) => {{
        let mut out = <Array as $crate::ffi::Handle>::empty();
        let status = $crate::ffi::sys::$f($crate::ffi::Handle::as_mut_raw(&mut out), $($arg),*);
        $crate::ffi::check(stringify!($f), status).and_then(|()| $crate::ops::node::admit(stringify!($f), out))
    }};
    ($out:ident = $f:ident($($arg:expr),* $(,)?)) => {{
        let mut out = <$out as $crate::ffi::Handle>::empty();
        let status = $crate::ffi::sys::$f($crate::ffi::Handle::as_mut_raw(&mut out), $($arg),*);
        $crate::ffi::check(stringify!($f), status).map(|()| out)
    }};
    ($f:ident($($arg:expr),* $(,)?)) => {{
        $crate::ffi::prepare();
        let status = $crate::ffi::sys::$f($($arg),*);
        $crate::ffi::check(stringify!($f), status)
    }};
}
pub(crate) use call;

/// What a callback could not say to C.
enum Parked {
    Error(Error),
    Panic(Box<dyn Any + Send>),
}

thread_local! {
    /// Whether one of the two below may hold something. Every call asks, so this is the one that needs no destructor.
    static LEFT: Cell<bool> = const { Cell::new(false) };
    /// The last message of the error handler on this thread.
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    /// What the last failed callback on this thread wanted to say.
    static PARKED: RefCell<Option<Parked>> = const { RefCell::new(None) };
}

/// Installs the error handler, once, and forgets the message of an earlier call.
///
/// mlx-c's own handler prints and ends the process, and some calls fail without a message: then the text of an
/// earlier failure must not be theirs.
pub(crate) fn prepare() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        // SAFETY: the handler is a plain function that needs no data; `Once` keeps this from racing itself, and no
        // other code of this crate reaches C before it.
        unsafe { sys::mlx_set_error_handler(Some(on_error), std::ptr::null_mut(), None) }
    });
    // A thread that is being torn down has no thread-locals any more; then there is nothing to forget either.
    if LEFT.get() {
        let _ = LAST.try_with(|last| last.take());
    }
}

/// Keeps what C has to say, for `check`, which the same thread runs next.
unsafe extern "C" fn on_error(message: *const c_char, _data: *mut c_void) {
    if message.is_null() {
        return;
    }
    // SAFETY: mlx-c passes a NUL-terminated string that outlives this call.
    let text = unsafe { CStr::from_ptr(message) }.to_string_lossy();
    let text = without_source_position(&text).to_owned();
    LEFT.set(true);
    let _ = LAST.try_with(|last| last.replace(Some(text)));
}

/// Drops the trailing ` at file:line` that mlx-c adds: a place on the machine that built it.
fn without_source_position(message: &str) -> &str {
    match message.rsplit_once(" at ") {
        Some((text, position))
            if position.rsplit_once(':').is_some_and(|(file, line)| {
                file.ends_with(".cpp") && !line.is_empty() && line.bytes().all(|b| b.is_ascii_digit())
            }) =>
        {
            text
        }
        _ => message,
    }
}

/// Turns a status into a `Result`, giving back what a callback could not say to C.
#[inline]
pub(crate) fn check(op: &'static str, status: c_int) -> Result<()> {
    if status == 0 && !LEFT.get() { Ok(()) } else { explain(op, status) }
}

#[cold]
fn explain(op: &'static str, status: c_int) -> Result<()> {
    let parked = PARKED.try_with(RefCell::take).ok().flatten();
    let message = LAST.try_with(RefCell::take).ok().flatten();
    LEFT.set(false);
    match parked {
        Some(Parked::Panic(payload)) => resume_unwind(payload),
        Some(Parked::Error(error)) => Err(error),
        None if status == 0 => Ok(()),
        None => {
            let op = op.strip_prefix("mlx_").unwrap_or(op);
            let op = op.strip_prefix("checked_").unwrap_or(op);
            Err(Error::Mlx { op, message: message.unwrap_or_else(|| format!("failed with status {status}")) })
        }
    }
}

/// Runs the body of a callback; an error or a panic is parked for `check`, and C is told 1.
///
/// Nothing may unwind through C.
pub(crate) fn guard(body: impl FnOnce() -> Result<()>) -> c_int {
    let parked = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => Parked::Error(error),
        Err(payload) => Parked::Panic(payload),
    };
    LEFT.set(true);
    let _ = PARKED.try_with(|slot| slot.replace(Some(parked)));
    1
}

/// Runs `body`, which may make calls of its own, between a callback that failed and the `check` that shall hear of it.
pub(crate) fn aside<R>(body: impl FnOnce() -> R) -> R {
    let parked = PARKED.try_with(RefCell::take).ok().flatten();
    let last = LAST.try_with(RefCell::take).ok().flatten();
    let result = body();
    LEFT.set(true);
    let _ = PARKED.try_with(|slot| slot.replace(parked));
    let _ = LAST.try_with(|slot| slot.replace(last));
    result
}

/// A string for C, or an error that names the argument when it holds a NUL byte.
pub(crate) fn c_string(op: &'static str, argument: &'static str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::argument(op, argument, format!("{text:?} holds a NUL byte")))
}

/// A slice from C, which may give a null pointer for an empty one.
///
/// # Safety
/// Unless `len` is 0 or `data` is null, `data` points to `len` initialised elements that outlive `'a`.
pub(crate) unsafe fn slice<'a, T>(data: *const T, len: usize) -> &'a [T] {
    if data.is_null() || len == 0 {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(data, len) }
}

/// A slice's length as `c_int`, for the calls that take one.
pub(crate) fn c_len(op: &'static str, len: usize) -> Result<c_int> {
    c_int::try_from(len).map_err(|_| Error::shape(op, format!("{len} axes are too many")))
}

/// How many owned handles this thread has, for tests of leaks.
#[cfg(test)]
pub(crate) mod live {
    use std::cell::Cell;

    thread_local!(static COUNT: Cell<isize> = const { Cell::new(0) });

    pub(crate) fn add(n: isize) {
        let _ = COUNT.try_with(|count| count.set(count.get() + n));
    }

    pub(crate) fn count() -> isize {
        // The thread's streams stay.
        crate::device::stream();
        COUNT.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Array;

    /// Bytes of this process that are in memory.
    #[cfg(target_os = "linux")]
    fn resident() -> usize {
        // The address sanitizer keeps freed memory, and tells leaks by itself.
        if std::env::var_os("ASAN_OPTIONS").is_some() {
            return 0;
        }
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    fn mismatched_matmul(a: &Array, b: &Array) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_matmul(a.as_raw(), b.as_raw(), crate::device::stream())) }
    }

    #[test]
    fn failing_calls_leave_no_handle_and_no_memory() {
        let a = Array::from_slice(&[0.0f32; 6], &[2, 3]).unwrap();
        let fail = |n: usize| {
            for _ in 0..n {
                assert!(mismatched_matmul(&a, &a).is_err());
            }
        };
        fail(1000);
        let handles = live::count();
        #[cfg(target_os = "linux")]
        let before = resident();
        fail(200_000);
        assert_eq!(live::count(), handles);
        // Other tests run beside this one, so the bound is loose; a handle a call would be far above it.
        #[cfg(target_os = "linux")]
        assert!(resident().saturating_sub(before) < 200_000 * 200, "{} bytes grew", resident() - before);
    }

    #[test]
    fn error_says_what_failed_without_a_place_on_the_build_machine() {
        let a = Array::from_slice(&[0.0f32; 6], &[2, 3]).unwrap();
        let message = mismatched_matmul(&a, &a).unwrap_err().to_string();
        assert!(message.starts_with("matmul: ") && message.contains("(2,3)"), "{message}");
        assert!(!message.contains(".cpp"), "{message}");
        assert_eq!(without_source_position("no dog at home"), "no dog at home");
        assert_eq!(without_source_position("gone at /a b/ops.cpp:12"), "gone");
    }

    #[test]
    fn message_of_an_earlier_failure_is_not_given_again() {
        let a = Array::from_slice(&[0.0f32; 6], &[2, 3]).unwrap();
        assert!(mismatched_matmul(&a, &a).is_err());
        let bogus = sys::mlx_map_string_to_array { ctx: std::ptr::null_mut() };
        // SAFETY: an empty map fails cleanly; the key is a NUL-terminated constant.
        let error =
            unsafe { call!(Array = mlx_map_string_to_array_get(bogus, c"absent".as_ptr())) }.unwrap_err();
        assert!(!error.to_string().contains("matmul"), "{error}");
    }

    #[test]
    fn format_directives_in_a_path_are_only_text() {
        handle! {
            Map(mlx_map_string_to_array): mlx_map_string_to_array_new, mlx_map_string_to_array_free
        }
        handle! {
            Texts(mlx_map_string_to_string): mlx_map_string_to_string_new, mlx_map_string_to_string_free
        }
        for name in
            ["%s%n%s%n.safetensors", "%p%x%s%s%s%s%s%s%s%s.safetensors", "%n%n%n%n.safetensors", "100%"]
        {
            let path = c_string("load", "path", name).unwrap();
            // SAFETY: op contract.
            let error =
                unsafe { call!((Map, Texts) = mlx_load_safetensors(path.as_ptr(), crate::device::stream())) }
                    .map(|_| ())
                    .unwrap_err()
                    .to_string();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn destructor_that_makes_calls_does_not_take_what_a_callback_said() {
        let a = Array::scalar(1.0f32).unwrap();
        assert_eq!(guard(|| Err(Error::argument("test", "x", "refused"))), 1);
        aside(|| assert!(a.eval().is_ok() && mismatched_matmul(&a, &a).is_err()));
        let error = check("mlx_test", 1).unwrap_err();
        assert!(matches!(error, Error::Argument { op: "test", .. }), "{error}");
    }

    #[test]
    fn nul_in_a_string_is_an_error_that_names_the_argument() {
        let error = c_string("load", "path", "a\0b").unwrap_err().to_string();
        assert!(error.contains("path") && error.contains("NUL"), "{error}");
    }

    #[test]
    fn empty_handles_fail_cleanly() {
        let empty = <Array as Handle>::empty();
        assert!(empty.is_empty());
        assert!(empty.eval().is_err());
        assert!(empty.shape().is_empty());
        assert!(mismatched_matmul(&empty, &empty).is_err());
        drop(empty.clone());
    }

    #[test]
    fn handle_of_one_thread_is_counted_there() {
        let before = live::count();
        let a = Array::scalar(1u8).unwrap();
        let b = a.clone();
        assert_eq!(live::count(), before + 2);
        drop((a, b));
        assert_eq!(live::count(), before);
    }
}
