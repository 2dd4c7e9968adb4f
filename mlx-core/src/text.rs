// SPDX-License-Identifier: EUPL-1.2
//! Strings from the C side.

use std::ffi::{CStr, c_char};

use crate::error::Result;
use crate::ffi::{self, Handle, handle, sys};

handle! {
    /// A string on the C side.
    pub(crate) Text(mlx_string): mlx_string_new, mlx_string_free
}

impl Text {
    /// The text; what is not UTF-8 is replaced.
    pub(crate) fn to_text(&self) -> String {
        // SAFETY: op contract. The string behind the pointer lives as long as `self`.
        unsafe { text(sys::mlx_string_data(self.as_raw())) }
    }
}

handle! {
    /// A vector of strings on the C side.
    pub(crate) Texts(mlx_vector_string): mlx_vector_string_new, mlx_vector_string_free
}

impl Texts {
    /// Each text; what is not UTF-8 is replaced.
    pub(crate) fn to_texts(&self) -> Result<Vec<String>> {
        // SAFETY: op contract.
        let len = unsafe { sys::mlx_vector_string_size(self.as_raw()) };
        (0..len)
            .map(|i| {
                ffi::prepare();
                let mut out = std::ptr::null_mut();
                // SAFETY: op contract, with an output slot of one pointer, which points into `self`.
                unsafe {
                    let status = sys::mlx_vector_string_get(&raw mut out, self.as_raw(), i);
                    ffi::check("mlx_vector_string_get", status)?;
                    Ok(text(out))
                }
            })
            .collect()
    }
}

/// A string that C lends, which may be null for none.
///
/// # Safety
/// Unless null, `data` points to a string that ends in a NUL.
pub(crate) unsafe fn text(data: *const c_char) -> String {
    if data.is_null() {
        return String::new();
    }
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(data) }.to_string_lossy().into_owned()
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.to_text().fmt(f)
    }
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").finish_non_exhaustive()
    }
}
