// SPDX-License-Identifier: EUPL-1.2
//! What the library's allocator holds, and what it may hold. All figures are bytes, for the whole process.
//!
//! ```
//! # fn main() -> mlx_core::Result<()> {
//! use mlx_core::{Array, Dtype, memory};
//! memory::reset_peak_memory()?;
//! let a = Array::ones(&[1 << 20], Dtype::Float32)?.exp()?;
//! a.eval()?;
//! assert!(memory::peak_memory()? >= 4 << 20);
//! # Ok(()) }
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::error::Result;
use crate::ffi::call;

macro_rules! figure {
    ($(#[$meta:meta])* $name:ident, $f:ident) => {
        $(#[$meta])*
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the backend cannot tell.
        ///
        /// # Examples
        /// ```
        /// # fn main() -> mlx_core::Result<()> {
        #[doc = concat!("let bytes = mlx_core::memory::", stringify!($name), "()?;")]
        /// println!("{bytes} bytes");
        /// # Ok(()) }
        /// ```
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
        ///
        /// # Examples
        /// ```
        /// # fn main() -> mlx_core::Result<()> {
        #[doc = concat!("use mlx_core::memory::", stringify!($name), ";")]
        #[doc = concat!("let before = ", stringify!($name), "(64 << 20)?;")]
        #[doc = concat!(stringify!($name), "(before)?;")]
        /// # Ok(()) }
        /// ```
        pub fn $name(bytes: usize) -> Result<usize> {
            // SAFETY: op contract.
            unsafe { call!(copy usize = $f(bytes)) }
        }
    };
}

/// Bytes of arrays that lie in mapped files and in vectors, now and at most. The library's allocator does not know of
/// them.
static FOREIGN: AtomicUsize = AtomicUsize::new(0);
static MOST_FOREIGN: AtomicUsize = AtomicUsize::new(0);

/// Counts an array in memory that is not the library's, for as long as it lives.
pub(crate) struct Foreign(usize);

impl Foreign {
    pub(crate) fn new(bytes: usize) -> Self {
        let now = FOREIGN.fetch_add(bytes, Ordering::Relaxed) + bytes;
        MOST_FOREIGN.fetch_max(now, Ordering::Relaxed);
        Self(bytes)
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        FOREIGN.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// Bytes of live arrays, those in mapped files and in vectors that were taken over included.
///
/// # Errors
/// [`crate::Error::Mlx`] when the backend cannot tell.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// let a = mlx_core::Array::from_slice(&[0.0f32; 1000], &[1000])?;
/// assert!(mlx_core::memory::active_memory()? >= a.nbytes());
/// # Ok(()) }
/// ```
pub fn active_memory() -> Result<usize> {
    // SAFETY: op contract.
    let allocated = unsafe { call!(copy usize = mlx_get_active_memory()) }?;
    Ok(allocated + FOREIGN.load(Ordering::Relaxed))
}

/// The most bytes of live arrays since the start or the last [`reset_peak_memory`]; those in mapped files and in vectors
/// that were taken over are added at their own peak.
///
/// # Errors
/// [`crate::Error::Mlx`] when the backend cannot tell.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::memory::{active_memory, peak_memory};
/// let active = active_memory()?;
/// println!("{active} bytes, and {} at most", peak_memory()?);
/// # Ok(()) }
/// ```
pub fn peak_memory() -> Result<usize> {
    // SAFETY: op contract.
    let allocated = unsafe { call!(copy usize = mlx_get_peak_memory()) }?;
    Ok(allocated + MOST_FOREIGN.load(Ordering::Relaxed))
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::memory::{memory_limit, set_memory_limit};
/// let before = set_memory_limit(1 << 30)?;
/// assert_eq!(memory_limit()?, 1 << 30);
/// set_memory_limit(before)?;
/// # Ok(()) }
/// ```
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
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::memory;
/// memory::reset_peak_memory()?;
/// println!("{} bytes since", memory::peak_memory()?);
/// # Ok(()) }
/// ```
pub fn reset_peak_memory() -> Result<()> {
    MOST_FOREIGN.store(FOREIGN.load(Ordering::Relaxed), Ordering::Relaxed);
    // SAFETY: op contract.
    unsafe { call!(mlx_reset_peak_memory()) }
}

/// Gives the buffers kept for reuse back to the system.
///
/// # Errors
/// [`crate::Error::Mlx`] when the backend cannot.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// mlx_core::memory::clear_cache()?;
/// println!("{} bytes kept", mlx_core::memory::cache_memory()?);
/// # Ok(()) }
/// ```
pub fn clear_cache() -> Result<()> {
    // SAFETY: op contract.
    unsafe { call!(mlx_clear_cache()) }
}
