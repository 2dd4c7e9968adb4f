// SPDX-License-Identifier: EUPL-1.2
//! Arrays: making them from host memory, asking what they are, reading them.

use std::fmt;

use half::{bf16, f16};

use crate::closure::is_tracing;
use crate::element::Sealed;
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, c_len, call, handle, sys};
use crate::{Dtype, Element};

handle! {
    /// An n-dimensional array: a cheap, shared reference to a node of the lazy graph.
    ///
    /// Ops build the graph; [`Array::eval`], [`Array::item`], [`Array::to_vec`] and saving compute it. A clone shares
    /// the node, so an array stays on its thread: it is neither `Send` nor `Sync`. Between threads travel vectors, or
    /// a [`crate::SharedArray`].
    ///
    /// ```compile_fail,E0277
    /// fn sent<T: Send>() {}
    /// sent::<mlx_core::Array>();
    /// ```
    /// ```compile_fail,E0277
    /// fn shared<T: Sync>() {}
    /// shared::<mlx_core::Array>();
    /// ```
    #[must_use = "ops are lazy: an unused array computes nothing"]
    pub Array(mlx_array): mlx_array_new, mlx_array_set, mlx_array_free
}

impl Array {
    /// An array of the given shape, copied from `data` in row-major order.
    ///
    /// - source: `mlx_array_new_data`
    ///
    /// # Errors
    /// [`Error::BufferLength`] when `data` has not exactly as many elements as `shape` says, [`Error::Shape`] when a
    /// dimension is negative.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    /// assert_eq!(a.shape(), [2, 2]);
    /// # Ok(()) }
    /// ```
    pub fn from_slice<T: Element>(data: &[T], shape: &[i32]) -> Result<Self> {
        let expected = element_count("from_slice", shape, T::DTYPE)?;
        if data.len() != expected {
            return Err(Error::BufferLength { shape: shape.to_vec(), expected, found: data.len() });
        }
        // SAFETY: op contract. `data` holds `expected` elements laid out as mlx lays out `T::DTYPE`.
        unsafe { Self::copied_from(data.as_ptr().cast(), shape, T::DTYPE) }
    }

    /// An array of the given shape and dtype, copied from the raw bytes of its elements in row-major order.
    ///
    /// # Errors
    /// [`Error::BufferLength`], in bytes, when `data` has not exactly as many as `shape` and `dtype` say,
    /// [`Error::Shape`] when a dimension is negative.
    pub fn from_bytes(data: &[u8], shape: &[i32], dtype: Dtype) -> Result<Self> {
        let expected = element_count("from_bytes", shape, dtype)? * dtype.size();
        if data.len() != expected {
            return Err(Error::BufferLength { shape: shape.to_vec(), expected, found: data.len() });
        }
        if data.as_ptr().align_offset(dtype.size()) == 0 {
            // SAFETY: op contract. `data` holds `expected` bytes, aligned for `dtype`.
            return unsafe { Self::copied_from(data.as_ptr().cast(), shape, dtype) };
        }
        // A file may place a tensor anywhere; mlx reads elements, which must be aligned.
        let mut aligned = vec![0u64; expected.div_ceil(size_of::<u64>())];
        bytemuck::cast_slice_mut::<u64, u8>(&mut aligned)[..expected].copy_from_slice(data);
        // SAFETY: op contract. `aligned` holds `expected` bytes, aligned for any dtype.
        unsafe { Self::copied_from(aligned.as_ptr().cast(), shape, dtype) }
    }

    /// # Safety
    /// `data` points to as many elements of `dtype` as the validated `shape` says.
    unsafe fn copied_from(data: *const std::ffi::c_void, shape: &[i32], dtype: Dtype) -> Result<Self> {
        let dims = c_len("array", shape.len())?;
        // SAFETY: op contract, and this function's own.
        unsafe { call!(new Array = mlx_array_new_data(data, shape.as_ptr(), dims, dtype.to_raw())) }
    }

    /// An array of shape `[]` with one value.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn scalar<T: Element>(value: T) -> Result<Self> {
        Self::from_slice(&[value], &[])
    }

    /// A constant of shape `[]` in the dtype of `self` when that is floating, else in float32.
    ///
    /// MLX promotes `bfloat16 × float32` to float32 even when one operand is a scalar; a constant made here does not.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn scalar_like(&self, value: f64) -> Result<Self> {
        let dtype = self.dtype();
        Self::constant(
            value,
            if dtype.is_float() || dtype == Dtype::Complex64 { dtype } else { Dtype::Float32 },
        )
    }

    /// A constant of shape `[]` in `dtype`, rounded and saturated as Rust's `as` does.
    pub(crate) fn constant(value: f64, dtype: Dtype) -> Result<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, as documented"
        )]
        match dtype {
            Dtype::Bool => Self::scalar(value != 0.0),
            Dtype::Uint8 => Self::scalar(value as u8),
            Dtype::Uint16 => Self::scalar(value as u16),
            Dtype::Uint32 => Self::scalar(value as u32),
            Dtype::Uint64 => Self::scalar(value as u64),
            Dtype::Int8 => Self::scalar(value as i8),
            Dtype::Int16 => Self::scalar(value as i16),
            Dtype::Int32 => Self::scalar(value as i32),
            Dtype::Int64 => Self::scalar(value as i64),
            Dtype::Float16 => Self::scalar(f16::from_f64(value)),
            Dtype::Float32 => Self::scalar(value as f32),
            Dtype::Float64 => Self::scalar(value),
            Dtype::Bfloat16 => Self::scalar(bf16::from_f64(value)),
            Dtype::Complex64 => Self::scalar(crate::Complex64 { re: value as f32, im: 0.0 }),
        }
    }

    /// The length of each axis; empty for a scalar.
    #[must_use]
    pub fn shape(&self) -> &[i32] {
        // SAFETY: op contract. The shape is a vector inside the node that `self` keeps alive, and a node's shape
        // never changes.
        unsafe { ffi::slice(sys::mlx_array_shape(self.as_raw()), self.ndim()) }
    }

    /// The number of axes.
    #[must_use]
    pub fn ndim(&self) -> usize {
        // SAFETY: op contract.
        unsafe { sys::mlx_array_ndim(self.as_raw()) }
    }

    /// The number of elements.
    #[must_use]
    pub fn size(&self) -> usize {
        // SAFETY: op contract.
        unsafe { sys::mlx_array_size(self.as_raw()) }
    }

    /// The bytes that the elements take.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.size() * self.dtype().size()
    }

    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        // SAFETY: op contract.
        Dtype::from_raw(unsafe { sys::mlx_array_dtype(self.as_raw()) })
    }

    /// The length of `axis`; a negative one counts from the end.
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is outside `-ndim..ndim`.
    pub fn dim(&self, axis: i32) -> Result<i32> {
        let ndim = self.ndim();
        usize::try_from(axis)
            .ok()
            .or_else(|| ndim.checked_sub(axis.unsigned_abs() as usize))
            .and_then(|axis| self.shape().get(axis).copied())
            .ok_or_else(|| Error::argument("dim", "axis", format!("{axis} is out of range for {ndim} axes")))
    }

    /// Computes this array, and waits for it.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the computation fails, or when the array was made by another thread.
    pub fn eval(&self) -> Result<()> {
        // SAFETY: op contract.
        unsafe { call!(mlx_checked_array_eval(self.as_raw(), is_tracing())) }
    }

    /// Whether the values are there, so that reading them waits for nothing.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    pub fn is_available(&self) -> Result<bool> {
        // SAFETY: op contract.
        unsafe { call!(copy bool = mlx_checked_array_is_available(self.as_raw())) }
    }

    /// The only value of an array of size 1. Evaluates.
    ///
    /// # Errors
    /// [`Error::Dtype`] when `T` is not the element type, [`Error::Shape`] when there is not exactly one element,
    /// [`Error::Mlx`] when the computation fails.
    pub fn item<T: Element>(&self) -> Result<T> {
        match self.to_vec::<T>()?.as_slice() {
            [value] => Ok(*value),
            _ => Err(Error::shape("item", format!("expected one element, found shape {:?}", self.shape()))),
        }
    }

    /// All values in row-major order. Evaluates.
    ///
    /// # Errors
    /// [`Error::Dtype`] when `T` is not the element type, [`Error::Mlx`] when the computation fails.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let found = self.dtype();
        if found != T::DTYPE {
            return Err(Error::Dtype { op: "to_vec", expected: T::DTYPE, found });
        }
        self.with_bytes(|bytes| match bytemuck::try_cast_slice::<u8, <T as Sealed>::Storage>(bytes) {
            Ok(storage) => storage.iter().map(|&s| T::from_storage(s)).collect(),
            // No elements, or a view of smaller elements that begins between two of these.
            Err(_) => bytes
                .chunks_exact(found.size())
                .map(|chunk| T::from_storage(bytemuck::pod_read_unaligned(chunk)))
                .collect(),
        })
    }

    /// The bytes of all values in row-major order, lent to `body`. Evaluates.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the computation fails.
    pub fn with_bytes<R>(&self, body: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.eval()?;
        // Only an evaluated array can tell how it is laid out.
        // SAFETY: op contract.
        let in_order = unsafe { call!(copy bool = _mlx_array_is_row_contiguous(self.as_raw())) }?;
        if in_order {
            return self.with_evaluated_bytes(body);
        }
        // SAFETY: op contract.
        let copy = unsafe { call!(Array = mlx_contiguous(self.as_raw(), false, crate::device::stream())) }?;
        copy.eval()?;
        copy.with_evaluated_bytes(body)
    }

    /// `with_bytes` for an array that is evaluated and row-contiguous.
    fn with_evaluated_bytes<R>(&self, body: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let nbytes = self.nbytes();
        if nbytes == 0 {
            return Ok(body(&[]));
        }
        // SAFETY: op contract. The array is evaluated, so there is a buffer behind it. Any dtype may be seen as bytes.
        let data = unsafe {
            ffi::prepare();
            sys::mlx_array_data_uint8(self.as_raw())
        };
        if data.is_null() {
            ffi::check("mlx_array_data", 1)?;
        }
        // SAFETY: the buffer of an evaluated, row-contiguous array holds `nbytes` initialised bytes; `self` keeps it
        // alive and nothing writes to it while it is borrowed.
        Ok(body(unsafe { ffi::slice(data, nbytes) }))
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array")
            .field("shape", &self.shape())
            .field("dtype", &format_args!("{}", self.dtype()))
            .finish()
    }
}

/// The number of elements of `shape`, if an array of that shape and dtype can be addressed at all.
pub(crate) fn element_count(op: &'static str, shape: &[i32], dtype: Dtype) -> Result<usize> {
    let mut count = 1usize;
    let mut largest = dtype.size();
    for &dim in shape {
        let dim = usize::try_from(dim)
            .map_err(|_| Error::shape(op, format!("dimensions must not be negative, found {shape:?}")))?;
        // Zeros are left out of the bound: `[0, i32::MAX, i32::MAX, i32::MAX]` overflows in the strides.
        largest = largest
            .checked_mul(dim.max(1))
            .filter(|&bytes| isize::try_from(bytes).is_ok())
            .ok_or_else(|| Error::shape(op, format!("{shape:?} of {dtype} is too large to address")))?;
        count *= dim;
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Complex64;

    #[test]
    fn every_element_type_comes_back_as_it_went() {
        fn check<T: Element>(values: &[T]) {
            let array = Array::from_slice(values, &[i32::try_from(values.len()).unwrap()]).unwrap();
            assert_eq!(array.dtype(), T::DTYPE);
            assert_eq!(array.to_vec::<T>().unwrap(), values);
            assert_eq!(array.nbytes(), size_of_val(values));
            assert_eq!(Array::scalar(values[0]).unwrap().item::<T>().unwrap(), values[0]);
        }
        check(&[true, false, true]);
        check(&[0u8, 255]);
        check(&[0u16, u16::MAX]);
        check(&[0u32, u32::MAX]);
        check(&[0u64, u64::MAX]);
        check(&[i8::MIN, i8::MAX]);
        check(&[i16::MIN, i16::MAX]);
        check(&[i32::MIN, i32::MAX]);
        check(&[i64::MIN, i64::MAX]);
        check(&[f16::MIN, f16::MAX]);
        check(&[f32::MIN, f32::INFINITY]);
        check(&[f64::MIN, f64::EPSILON]);
        check(&[bf16::MIN, bf16::MAX]);
        check(&[Complex64 { re: 1.0, im: -2.0 }]);
    }

    #[test]
    fn from_slice_rejects_a_buffer_that_does_not_fit_its_shape() {
        let error = Array::from_slice(&[1.0f32; 3], &[2, 2]).unwrap_err();
        assert!(matches!(error, Error::BufferLength { expected: 4, found: 3, .. }), "{error}");
        assert!(Array::from_slice(&[1.0f32; 3], &[-3]).is_err());
        assert!(Array::from_slice::<f32>(&[], &[i32::MAX, i32::MAX, i32::MAX]).is_err());
        assert!(Array::from_slice::<f32>(&[], &[0, i32::MAX, i32::MAX, i32::MAX]).is_err());
    }

    #[test]
    fn empty_and_scalar_arrays_are_read() {
        let empty = Array::from_slice::<f32>(&[], &[2, 0, 3]).unwrap();
        assert_eq!((empty.size(), empty.shape()), (0, &[2, 0, 3][..]));
        assert!(empty.to_vec::<f32>().unwrap().is_empty());
        assert!(empty.item::<f32>().is_err());
        let scalar = Array::scalar(3i32).unwrap();
        assert_eq!((scalar.ndim(), scalar.shape()), (0, &[][..]));
    }

    #[test]
    fn reading_another_dtype_is_an_error() {
        let error = Array::scalar(1.0f32).unwrap().item::<f64>().unwrap_err();
        assert_eq!(error.to_string(), "to_vec: expected dtype float64, found float32");
    }

    #[test]
    fn from_bytes_takes_unaligned_data_and_strange_truth_values() {
        let bytes = [9u8, 0, 0, 128, 63, 0, 0, 0, 64];
        let floats = Array::from_bytes(&bytes[1..], &[2], Dtype::Float32).unwrap();
        assert_eq!(floats.to_vec::<f32>().unwrap(), [1.0, 2.0]);
        let bools = Array::from_bytes(&[0, 1, 7], &[3], Dtype::Bool).unwrap();
        assert_eq!(bools.to_vec::<bool>().unwrap(), [false, true, true]);
        assert!(Array::from_bytes(&bytes, &[2], Dtype::Float32).is_err());
    }

    #[test]
    fn dim_counts_from_either_end() {
        let a = Array::from_slice(&[0u8; 6], &[2, 3]).unwrap();
        assert_eq!([a.dim(0).unwrap(), a.dim(-1).unwrap(), a.dim(-2).unwrap()], [2, 3, 2]);
        assert!(a.dim(2).is_err() && a.dim(-3).is_err() && a.dim(i32::MIN).is_err());
    }

    #[test]
    fn scalar_like_keeps_half_precision() {
        for dtype in [Dtype::Float16, Dtype::Bfloat16, Dtype::Float32, Dtype::Float64] {
            let a = Array::constant(1.5, dtype).unwrap();
            assert_eq!(a.scalar_like(0.1).unwrap().dtype(), dtype);
        }
        assert_eq!(Array::scalar(1i32).unwrap().scalar_like(0.1).unwrap().dtype(), Dtype::Float32);
    }

    #[test]
    fn debug_shows_shape_and_dtype_only() {
        let a = Array::from_slice(&[0u8; 6], &[2, 3]).unwrap();
        assert_eq!(format!("{a:?}"), "Array { shape: [2, 3], dtype: uint8 }");
    }
}
