// SPDX-License-Identifier: EUPL-1.2
//! What the library's allocator holds, and what it may hold. All figures are bytes, for the whole process.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Result;
use crate::ffi::call;

macro_rules! figure {
    ($(#[$meta:meta])* $name:ident, $f:ident) => {
        $(#[$meta])*
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the backend cannot tell.
        pub fn $name() -> Result<usize> {
            // SAFETY: op contract.
            unsafe { call!(copy usize = $f()) }
        }
    };
}

macro_rules! limit {
    ($(#[$meta:meta])* $name:ident, $f:ident) => {
        $(#[$meta])*
        ///
        /// Returns the limit that was in force before.
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the backend refuses the limit.
        pub fn $name(bytes: usize) -> Result<usize> {
            // SAFETY: op contract.
            unsafe { call!(copy usize = $f(bytes)) }
        }
    };
}

/// Bytes of arrays that lie in mapped files, now and at most. The library's allocator does not know of them.
static MAPPED: AtomicUsize = AtomicUsize::new(0);
static MOST_MAPPED: AtomicUsize = AtomicUsize::new(0);

/// Counts an array in a mapped file for as long as it lives.
pub(crate) struct Mapped(usize);

impl Mapped {
    pub(crate) fn new(bytes: usize) -> Self {
        let now = MAPPED.fetch_add(bytes, Ordering::Relaxed) + bytes;
        MOST_MAPPED.fetch_max(now, Ordering::Relaxed);
        Self(bytes)
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        MAPPED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Bytes of live arrays, those in mapped files included.
///
/// # Errors
/// [`crate::Error::Mlx`] when the backend cannot tell.
pub fn active_memory() -> Result<usize> {
    // SAFETY: op contract.
    let allocated = unsafe { call!(copy usize = mlx_get_active_memory()) }?;
    Ok(allocated + MAPPED.load(Ordering::Relaxed))
}

/// The most bytes of live arrays since the start or the last [`reset_peak_memory`]; those in mapped files are added at
/// their own peak.
///
/// # Errors
/// [`crate::Error::Mlx`] when the backend cannot tell.
pub fn peak_memory() -> Result<usize> {
    // SAFETY: op contract.
    let allocated = unsafe { call!(copy usize = mlx_get_peak_memory()) }?;
    Ok(allocated + MOST_MAPPED.load(Ordering::Relaxed))
}

figure! {
    /// Bytes of freed buffers that are kept for reuse.
    cache_memory, mlx_get_cache_memory
}
figure! {
    /// The bytes past which allocation waits for running work to finish.
    memory_limit, mlx_get_memory_limit
}
/// Sets the bytes past which allocation waits for running work to finish. It is a guideline, not a bound.
///
/// Returns the limit that was in force before.
///
/// # Errors
/// [`crate::Error::Mlx`] when the backend refuses the limit.
pub fn set_memory_limit(bytes: usize) -> Result<usize> {
    // The first limit tells what this machine can hold, and is still wanted when it is no longer in force.
    crate::ops::node::largest();
    // SAFETY: op contract.
    unsafe { call!(copy usize = mlx_set_memory_limit(bytes)) }
}

limit! {
    /// Sets the most bytes of freed buffers that are kept for reuse.
    ///
    /// The default on the CPU is 32 MB: larger temporaries go back to the system each time, and come back page by page.
    set_cache_limit, mlx_set_cache_limit
}
limit! {
    /// Sets the bytes that may be wired down for the GPU; Metal only.
    set_wired_limit, mlx_set_wired_limit
}

/// Makes [`peak_memory`] start again from the bytes now live.
///
/// # Errors
/// [`crate::Error::Mlx`] when the backend cannot.
pub fn reset_peak_memory() -> Result<()> {
    MOST_MAPPED.store(MAPPED.load(Ordering::Relaxed), Ordering::Relaxed);
    // SAFETY: op contract.
    unsafe { call!(mlx_reset_peak_memory()) }
}

/// Gives the buffers kept for reuse back to the system.
///
/// # Errors
/// [`crate::Error::Mlx`] when the backend cannot.
pub fn clear_cache() -> Result<()> {
    // SAFETY: op contract.
    unsafe { call!(mlx_clear_cache()) }
}
