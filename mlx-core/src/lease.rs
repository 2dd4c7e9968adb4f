// SPDX-License-Identifier: EUPL-1.2
//! The processor's streams that this thread has, which it gives back when it ends.
//!
//! A stream gets a thread of the operating system with its first work and never loses it, so a program whose threads made
//! streams of their own would have more threads for each that ever computed. Those of ended threads serve the next ones.

use std::cell::RefCell;
use std::ffi::c_int;

use crate::device::Stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call, sys};

thread_local! {
    static LEASE: Lease = const { Lease { default: RefCell::new(None), owed: RefCell::new(Vec::new()) } };
}

struct Lease {
    /// The stream that MLX knows as this thread's default.
    default: RefCell<Option<Stream>>,
    /// The numbers of all that must be given back.
    owed: RefCell<Vec<c_int>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let owed = self.owed.get_mut();
        // SAFETY: op contract. The numbers are those of streams that were lent to this thread, each once. It builds on
        // them and evaluates on them no more: from here on the library refuses to.
        unsafe { sys::mlx_checked_return_streams(owed.as_ptr(), owed.len()) };
    }
}

impl Lease {
    fn borrow(&self) -> Result<Stream> {
        let mut lent = false;
        // SAFETY: op contract. The other slot is a plain value.
        let stream = unsafe { call!(Stream = mlx_checked_borrow_stream(&raw mut lent)) }?;
        if lent {
            self.owed.borrow_mut().push(stream.index()?);
        }
        Ok(stream)
    }

    fn default(&self) -> Result<Stream> {
        if let Some(stream) = &*self.default.borrow() {
            return Ok(stream.clone());
        }
        let stream = self.borrow()?;
        // SAFETY: op contract.
        unsafe { call!(mlx_set_default_stream(stream.as_raw())) }?;
        self.default.replace(Some(stream.clone()));
        Ok(stream)
    }
}

/// This thread's default stream on the processor.
pub(crate) fn default_stream() -> Result<Stream> {
    LEASE.try_with(Lease::default).unwrap_or_else(|_| Err(ending()))
}

/// Another stream on the processor, for this thread alone.
pub(crate) fn another_stream() -> Result<Stream> {
    // MLX makes a default stream of its own where it finds none.
    LEASE.try_with(|lease| lease.default().and_then(|_| lease.borrow())).unwrap_or_else(|_| Err(ending()))
}

fn ending() -> Error {
    Error::Mlx { op: "stream", message: "the thread is ending".to_owned() }
}
