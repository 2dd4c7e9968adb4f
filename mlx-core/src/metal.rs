// SPDX-License-Identifier: EUPL-1.2
//! What concerns Apple's GPUs alone. Elsewhere there is nothing to record and nothing to load.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::ffi::{c_string, call};
use crate::text::Text;

/// Whether this machine, with this build of the library, has Metal.
///
/// # Errors
/// [`Error::Mlx`] when the library cannot tell.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Device, metal};
/// if metal::is_available()? {
///     assert!(Device::gpu()?.is_available()?);
/// }
/// # Ok(()) }
/// ```
pub fn is_available() -> Result<bool> {
    // SAFETY: op contract.
    unsafe { call!(copy bool = mlx_metal_is_available()) }
}

/// Begins to record what the GPU does, into a trace for Xcode at `path`, which ends in `.gputrace` and does not exist yet.
/// The process must run with the variable `MTL_CAPTURE_ENABLED=1`.
///
/// # Errors
/// [`Error::Argument`] where there is no Metal or the path is not UTF-8, [`Error::Mlx`] when the recording cannot begin.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::metal;
/// if metal::is_available()? && std::env::var("MTL_CAPTURE_ENABLED").is_ok() {
///     metal::start_capture("first.gputrace")?;
///     mlx_core::Array::scalar(1.0f32)?.exp()?.eval()?;
///     metal::stop_capture()?;
/// }
/// # Ok(()) }
/// ```
pub fn start_capture(path: impl AsRef<Path>) -> Result<()> {
    expect("start_capture")?;
    let path = c_string("start_capture", "path", text("start_capture", path.as_ref())?)?;
    // SAFETY: op contract; the path ends in a NUL.
    unsafe { call!(mlx_metal_start_capture(path.as_ptr())) }
}

/// Ends what [`start_capture`] began.
///
/// # Errors
/// [`Error::Argument`] where there is no Metal, [`Error::Mlx`] when the library refuses.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::metal;
/// if !metal::is_available()? {
///     assert!(metal::stop_capture().is_err());
/// }
/// # Ok(()) }
/// ```
pub fn stop_capture() -> Result<()> {
    expect("stop_capture")?;
    // SAFETY: op contract.
    unsafe { call!(mlx_metal_stop_capture()) }
}

/// The file that the GPU's kernels are loaded from; none where there is no Metal, or none was named or found.
///
/// # Errors
/// [`Error::Mlx`] when the library cannot tell.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// let kernels = mlx_core::metal::metallib_path()?;
/// assert!(kernels.is_none_or(|path| !path.as_os_str().is_empty()));
/// # Ok(()) }
/// ```
pub fn metallib_path() -> Result<Option<PathBuf>> {
    if !is_available()? {
        return Ok(None);
    }
    // SAFETY: op contract.
    let path = unsafe { call!(Text = mlx_metal_get_metallib_path()) }?.to_text();
    Ok(Some(path).filter(|path| !path.is_empty()).map(PathBuf::from))
}

/// Names the file that the GPU's kernels are loaded from. It must be called before anything runs on the GPU.
///
/// # Safety
/// The file holds the kernels of just this version of the library: kernels write to memory, and nothing checks what they
/// do. No other thread uses the library meanwhile.
///
/// # Errors
/// [`Error::Argument`] where there is no Metal or the path is not UTF-8, [`Error::Mlx`] when the library refuses.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::metal;
/// if !metal::is_available()? {
///     // SAFETY: nothing is loaded where there is no Metal.
///     assert!(unsafe { metal::set_metallib_path("mlx.metallib") }.is_err());
/// }
/// # Ok(()) }
/// ```
pub unsafe fn set_metallib_path(path: impl AsRef<Path>) -> Result<()> {
    expect("set_metallib_path")?;
    let path = c_string("set_metallib_path", "path", text("set_metallib_path", path.as_ref())?)?;
    // SAFETY: op contract and this function's own; the path ends in a NUL.
    unsafe { call!(mlx_metal_set_metallib_path(path.as_ptr())) }
}

fn expect(op: &'static str) -> Result<()> {
    if is_available()? { Ok(()) } else { Err(Error::argument(op, "device", "there is no Metal here")) }
}

fn text<'a>(op: &'static str, path: &'a Path) -> Result<&'a str> {
    path.to_str().ok_or_else(|| Error::argument(op, "path", format!("{} is not UTF-8", path.display())))
}
