// SPDX-License-Identifier: EUPL-1.2
//! A C vector of arrays, and a map of them, as calls with many operands or results take it.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};

use crate::Array;
use crate::error::Result;
use crate::few::Few;
use crate::ffi::{Handle, c_string, call, check, handle, prepare, sys};

handle! {
    /// A vector of arrays on the C side.
    pub(crate) VectorArray(mlx_vector_array): mlx_vector_array_new, mlx_vector_array_free
}

/// An array as C takes it, for the time of a call.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Lent(sys::mlx_array);

impl Default for Lent {
    fn default() -> Self {
        Self(sys::mlx_array { ctx: std::ptr::null_mut() })
    }
}

impl VectorArray {
    /// A vector that shares the given arrays.
    pub(crate) fn from_arrays<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> Result<Self> {
        // What takes the vector may ask for the thread's default stream, which MLX would make where it finds none.
        crate::device::stream();
        let raw: Few<Lent> = arrays.into_iter().map(|array| Lent(array.as_raw())).collect();
        // SAFETY: op contract. The raw structs are copied out of arrays borrowed for this call, and mlx-c copies
        // what they refer to.
        unsafe { call!(new VectorArray = mlx_vector_array_new_data(raw.as_ptr().cast(), raw.len())) }
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

handle! {
    /// A map of arrays on the C side.
    pub(crate) ArrayMap(mlx_map_string_to_array): mlx_map_string_to_array_new, mlx_map_string_to_array_free
}

/// A walk over a map, which it must not outlive.
struct Walk(sys::mlx_map_string_to_array_iterator);

impl Drop for Walk {
    fn drop(&mut self) {
        // SAFETY: the iterator is owned by `self`, and this is the only place that frees it.
        unsafe {
            sys::mlx_map_string_to_array_iterator_free(self.0);
        }
    }
}

impl ArrayMap {
    /// A map that shares the given arrays.
    pub(crate) fn from_arrays(op: &'static str, arrays: &BTreeMap<String, Array>) -> Result<Self> {
        let map = Self::empty();
        for (name, array) in arrays {
            let name = c_string(op, "name", name)?;
            // SAFETY: op contract; the name ends in a NUL, and is copied.
            unsafe { call!(mlx_map_string_to_array_insert(map.as_raw(), name.as_ptr(), array.as_raw())) }?;
        }
        Ok(map)
    }

    /// The arrays of a map that C lends to a callback, shared.
    ///
    /// # Safety
    /// `raw` is a live map, which stays C's to free.
    pub(crate) unsafe fn lent(raw: sys::mlx_map_string_to_array) -> Result<BTreeMap<String, Array>> {
        prepare();
        // SAFETY: by this function's contract.
        let walk = Walk(unsafe { sys::mlx_map_string_to_array_iterator_new(raw) });
        check("mlx_map_string_to_array_iterator_new", i32::from(walk.0.ctx.is_null()))?;
        let mut arrays = BTreeMap::new();
        loop {
            let mut key: *const c_char = std::ptr::null();
            let mut value = Array::empty();
            // SAFETY: both slots are ours; the key points into the map, which lives on.
            let status = unsafe {
                sys::mlx_map_string_to_array_iterator_next(&raw mut key, value.as_mut_raw(), walk.0)
            };
            // The end is told by a status too.
            if status != 0 || key.is_null() {
                return Ok(arrays);
            }
            // SAFETY: the key of an entry, which ends in a NUL.
            let key = unsafe { CStr::from_ptr(key) }.to_string_lossy().into_owned();
            arrays.insert(key, value);
        }
    }
}

impl std::fmt::Debug for ArrayMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArrayMap").finish_non_exhaustive()
    }
}
