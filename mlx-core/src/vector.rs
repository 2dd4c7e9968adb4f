// SPDX-License-Identifier: EUPL-1.2
//! A C vector of arrays, as calls with many operands or results take it.

use crate::Array;
use crate::error::Result;
use crate::ffi::{Handle, call, handle, sys};

handle! {
    /// A vector of arrays on the C side.
    pub(crate) VectorArray(mlx_vector_array): mlx_vector_array_new, mlx_vector_array_free
}

impl VectorArray {
    /// A vector that shares the given arrays.
    pub(crate) fn from_arrays<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Result<Self> {
        let raw: Vec<sys::mlx_array> = arrays.into_iter().map(Handle::as_raw).collect();
        // SAFETY: op contract. The raw structs are copied out of arrays borrowed for this call, and mlx-c copies
        // what they refer to.
        unsafe { call!(new VectorArray = mlx_vector_array_new_data(raw.as_ptr(), raw.len())) }
    }

    /// The arrays of a vector that C lends to a callback, shared.
    ///
    /// # Safety
    /// `raw` is a live vector, which stays C's to free.
    pub(crate) unsafe fn lent(raw: sys::mlx_vector_array) -> Result<Vec<Array>> {
        let lent = std::mem::ManuallyDrop::new(Self::from_raw(raw));
        #[cfg(test)]
        crate::ffi::live::add(-1);
        lent.to_arrays()
    }

    /// The arrays of this vector, shared.
    pub(crate) fn to_arrays(&self) -> Result<Vec<Array>> {
        // SAFETY: op contract.
        let len = unsafe { sys::mlx_vector_array_size(self.as_raw()) };
        // SAFETY: op contract.
        (0..len).map(|i| unsafe { call!(Array = mlx_vector_array_get(self.as_raw(), i)) }).collect()
    }
}

impl std::fmt::Debug for VectorArray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VectorArray").finish_non_exhaustive()
    }
}
