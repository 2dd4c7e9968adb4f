// SPDX-License-Identifier: EUPL-1.2
//! Arrays: making them from host memory, asking what they are, reading them.
//!
//! **Lent values.** [`Array::as_slice`] and [`Array::with_bytes`] hand out the memory of an array for as long as the array
//! is borrowed. It stays where it is and as it is, because
//!
//! - nothing frees it: the array's handle counts as one owner of the node, the node owns its buffer, and a node that was
//!   computed is never computed again. The handle can only be given another node through `&mut`.
//! - no op takes it over for its own result: MLX does that where the node has one owner left, the op, and the buffer one
//!   node. The handle is another owner.
//! - no op of this crate writes to it. The only ones that write to an operand's memory are those of
//!   [`KvBuffer`](crate::fast::KvBuffer), which makes that memory itself, never hands it out whole, and writes behind
//!   everything that it handed out.
//! - no other array has the same memory without being counted: a tensor of a mapped file is lent from one mapping once,
//!   and a vector is given to one array.

use std::ffi::c_void;
use std::fmt;

use half::{bf16, f16};

use crate::closure::is_tracing;
use crate::element::Sealed;
use crate::error::{Error, Result};
use crate::ffi::{self, Handle, c_len, call, handle, sys};
use crate::memory::Foreign;
use crate::{Dtype, Element};

/// A vector of fewer bytes is copied: that costs less than to keep it.
const WORTH_KEEPING: usize = 4096;

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

    /// An array of the given shape that takes over `data`, in row-major order.
    ///
    /// On the CPU nothing is copied, unless the vector is small: the array lies in the vector's memory, which is freed
    /// when the last array that needs it is dropped, on whatever thread. Elsewhere this is
    /// [`from_slice`](Self::from_slice).
    ///
    /// # Errors
    /// As [`Array::from_slice`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let squares: Vec<f32> = (0..6u8).map(|i| f32::from(i * i)).collect();
    /// let a = mlx_core::Array::from_vec(squares, &[2, 3])?;
    /// assert_eq!(a.sum_all()?.item::<f32>()?, 55.0);
    /// # Ok(()) }
    /// ```
    pub fn from_vec<T: Element>(mut data: Vec<T>, shape: &[i32]) -> Result<Self> {
        let expected = element_count("from_vec", shape, T::DTYPE)?;
        if data.len() != expected {
            return Err(Error::BufferLength { shape: shape.to_vec(), expected, found: data.len() });
        }
        let aligned = data.as_ptr().align_offset(T::DTYPE.size()) == 0;
        if size_of_val(data.as_slice()) < WORTH_KEEPING || !aligned {
            return Self::from_slice(&data, shape);
        }
        let place = data.as_mut_ptr();
        let counted = Foreign::new(size_of_val(data.as_slice()));
        // SAFETY: `data` holds the elements of `shape`, more than eight bytes, aligned. It goes along, so that its memory
        // lives as long as it is used, and it is not touched there: a vector that moves leaves its elements in place.
        match unsafe { Self::given(place.cast(), shape, T::DTYPE, (data, counted)) } {
            Ok(array) => Ok(array),
            Err((data, _)) => Self::from_slice(&data, shape),
        }
    }

    /// An array whose elements are the first bytes of `words`, which it takes over where it can.
    pub(crate) fn from_words(mut words: Vec<u64>, shape: &[i32], dtype: Dtype) -> Result<Self> {
        let nbytes = element_count("from_words", shape, dtype)? * dtype.size();
        let Some(bytes) = bytemuck::cast_slice::<u64, u8>(&words).get(..nbytes) else {
            let found = size_of_val(words.as_slice());
            return Err(Error::BufferLength { shape: shape.to_vec(), expected: nbytes, found });
        };
        if nbytes < WORTH_KEEPING {
            return Self::from_bytes(bytes, shape, dtype);
        }
        let (place, counted) = (words.as_mut_ptr(), Foreign::new(nbytes));
        // SAFETY: `words` holds the elements of `shape`, more than eight bytes, aligned for any. It goes along, so that its
        // memory lives as long as it is used, and it is not touched there.
        match unsafe { Self::given(place.cast(), shape, dtype, (words, counted)) } {
            Ok(array) => Ok(array),
            Err((words, _)) => {
                let bytes = bytemuck::cast_slice::<u64, u8>(&words);
                Self::from_bytes(bytes.get(..nbytes).unwrap_or_default(), shape, dtype)
            }
        }
    }

    /// An array in memory that `owner` frees when it is dropped. Gives `owner` back where arrays are not in plain memory.
    ///
    /// # Safety
    /// `data` points to the elements of `shape`, at least eight bytes of them, aligned, which nobody else reads or writes
    /// before `owner` is dropped; `owner` may be dropped on any thread.
    unsafe fn given<P>(data: *mut c_void, shape: &[i32], dtype: Dtype, owner: P) -> Result<Self, P> {
        unsafe extern "C" fn release<P>(owner: *mut c_void) {
            // Nothing may unwind through C, and what a destructor wanted to say has no one to hear it.
            let dropped = std::panic::catch_unwind(|| {
                // SAFETY: the pointer of a boxed `P`, given away below, which comes back once.
                drop(unsafe { Box::from_raw(owner.cast::<P>()) });
            });
            if let Err(payload) = dropped {
                std::mem::forget(payload);
            }
        }
        let owner = Box::into_raw(Box::new(owner));
        let mut array = <Array as Handle>::empty();
        // SAFETY: op contract, except that mlx keeps the pointer; by this function's contract it may.
        let given = unsafe {
            call!(mlx_custom_give(
                array.as_mut_raw(),
                data,
                shape.as_ptr(),
                shape.len(),
                dtype.to_raw(),
                owner.cast(),
                Some(release::<P>),
            ))
        };
        match given {
            Ok(()) => Ok(array),
            // SAFETY: a failure leaves the owner with the caller.
            Err(_) => Err(*unsafe { Box::from_raw(owner) }),
        }
    }

    /// An array of the given shape and dtype, copied from the raw bytes of its elements in row-major order.
    ///
    /// # Errors
    /// [`Error::BufferLength`], in bytes, when `data` has not exactly as many as `shape` and `dtype` say,
    /// [`Error::Shape`] when a dimension is negative.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// let a = Array::from_bytes(&[1, 0, 2, 0], &[2], Dtype::Uint16)?;
    /// assert_eq!(a.to_vec::<u16>()?, [1u16, 2].map(u16::from_le));
    /// # Ok(()) }
    /// ```
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

    /// The array of a shape without elements, computed.
    pub(crate) fn without_elements(shape: &[i32], dtype: Dtype) -> Result<Self> {
        debug_assert!(shape.contains(&0), "{shape:?} has elements");
        // SAFETY: there is nothing to be read at the address.
        unsafe { Self::copied_from(std::ptr::dangling::<u64>().cast(), shape, dtype) }
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
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::scalar(2.5f32)?;
    /// assert!(a.shape().is_empty());
    /// assert_eq!(a.item::<f32>()?, 2.5);
    /// # Ok(()) }
    /// ```
    pub fn scalar<T: Element>(value: T) -> Result<Self> {
        Self::from_slice(&[value], &[])
    }

    /// A constant of shape `[]` in the dtype of `self` when that is floating, else in float32.
    ///
    /// MLX promotes `bfloat16 × float32` to float32 even when one operand is a scalar; a constant made here does not.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    /// let a = Array::ones(&[2], Dtype::Bfloat16)?;
    /// assert_eq!((&a * &a.scalar_like(0.5)?)?.dtype(), Dtype::Bfloat16);
    /// # Ok(()) }
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::from_slice(&[0u8; 6], &[2, 3])?;
    /// assert_eq!((a.shape(), a.ndim(), a.size()), (&[2, 3][..], 2, 6));
    /// # Ok(()) }
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// assert_eq!(mlx_core::Array::from_slice(&[0i32; 6], &[2, 3])?.nbytes(), 24);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.size() * self.dtype().size()
    }

    /// The element type.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// assert_eq!(mlx_core::Array::scalar(true)?.dtype(), mlx_core::Dtype::Bool);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        // SAFETY: op contract.
        Dtype::from_raw(unsafe { sys::mlx_array_dtype(self.as_raw()) })
    }

    /// The length of `axis`; a negative one counts from the end.
    ///
    /// # Errors
    /// [`Error::Argument`] when `axis` is outside `-ndim..ndim`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::from_slice(&[0u8; 6], &[2, 3])?;
    /// assert_eq!((a.dim(0)?, a.dim(-1)?), (2, 3));
    /// # Ok(()) }
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::scalar(1.0f32)?.exp()?;
    /// a.eval()?;
    /// assert!(a.is_available()?);
    /// # Ok(()) }
    /// ```
    pub fn eval(&self) -> Result<()> {
        // SAFETY: op contract.
        unsafe { call!(mlx_checked_array_eval(self.as_raw(), is_tracing())) }
    }

    /// Whether the values are there, so that reading them waits for nothing.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the library cannot tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::scalar(1.0f32)?.exp()?;
    /// assert!(!a.is_available()?);
    /// mlx_core::async_eval([&a])?;
    /// let value = a.item::<f32>()?; // waits
    /// assert!(a.is_available()? && value > 2.7);
    /// # Ok(()) }
    /// ```
    pub fn is_available(&self) -> Result<bool> {
        // SAFETY: op contract.
        unsafe { call!(copy bool = mlx_checked_array_is_available(self.as_raw())) }
    }

    /// The only value of an array of size 1. Evaluates.
    ///
    /// # Errors
    /// [`Error::Dtype`] when `T` is not the element type, [`Error::Shape`] when there is not exactly one element,
    /// [`Error::Mlx`] when the computation fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::from_slice(&[1, 2, 3], &[3])?;
    /// assert_eq!(a.sum_all()?.item::<i32>()?, 6);
    /// assert!(a.item::<i32>().is_err());
    /// # Ok(()) }
    /// ```
    pub fn item<T: Element>(&self) -> Result<T> {
        self.expect_dtype::<T>("item")?;
        if self.size() != 1 {
            let message = format!("expected one element, found shape {:?}", self.shape());
            return Err(Error::shape("item", message));
        }
        self.eval()?;
        let data = self.data()?.cast::<<T as Sealed>::Storage>();
        // SAFETY: the array is evaluated and has one element, whatever its strides; a view of smaller elements may lie
        // anywhere.
        Ok(T::from_storage(unsafe { data.read_unaligned() }))
    }

    /// All values in row-major order, where they lie. Evaluates, and copies nothing.
    ///
    /// # Errors
    /// [`Error::Dtype`] when `T` is not the element type; [`Error::Argument`] when the values do not lie one after the
    /// other in row-major order, as after a transposition ([`to_vec`](Self::to_vec) takes any layout, and
    /// [`contiguous`](Self::contiguous) makes an array that is in order); [`Error::Mlx`] when the computation fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    /// assert_eq!(a.as_slice::<f32>()?[2], 3.0);
    /// assert!(a.transpose()?.as_slice::<f32>().is_err());
    /// # Ok(()) }
    /// ```
    ///
    /// What is borrowed stays as it is, so the array can be used meanwhile, but not replaced:
    ///
    /// ```compile_fail,E0506
    /// # fn main() -> mlx_core::Result<()> {
    /// let mut a = mlx_core::Array::scalar(1.0f32)?;
    /// let values = a.as_slice::<f32>()?;
    /// a = a.exp()?;
    /// assert_eq!(values, [1.0]);
    /// # Ok(()) }
    /// ```
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        self.expect_dtype::<T>("as_slice")?;
        self.eval()?;
        if self.size() == 0 {
            return Ok(&[]);
        }
        let refused = |message: &str| Err(Error::argument("as_slice", "self", message));
        if !self.is_row_contiguous()? {
            return refused("the values do not lie one after the other in row-major order");
        }
        let data = self.data()?.cast::<T>();
        if !data.is_aligned() {
            return refused("the values are a view of smaller ones, and not aligned");
        }
        if T::DTYPE == Dtype::Bool {
            // SAFETY: the buffer of an evaluated, row-contiguous array holds `size` initialised bytes.
            let bytes = unsafe { ffi::slice(data.cast::<u8>(), self.size()) };
            if bytes.iter().any(|&byte| byte > 1) {
                return refused("a truth value from elsewhere is neither 0 nor 1");
            }
        }
        // SAFETY: the buffer of an evaluated, row-contiguous array holds `size` elements, aligned, each a value of `T`. It
        // stays as it is while `self` is borrowed: see the module's page.
        Ok(unsafe { ffi::slice(data, self.size()) })
    }

    /// All values in row-major order. Evaluates.
    ///
    /// # Errors
    /// [`Error::Dtype`] when `T` is not the element type, [`Error::Mlx`] when the computation fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2])?;
    /// assert_eq!(a.transpose()?.to_vec::<f32>()?, [1.0, 3.0, 2.0, 4.0]);
    /// # Ok(()) }
    /// ```
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.expect_dtype::<T>("to_vec")?;
        self.with_bytes(|bytes| match bytemuck::try_cast_slice::<u8, <T as Sealed>::Storage>(bytes) {
            Ok(storage) => storage.iter().map(|&s| T::from_storage(s)).collect(),
            // No elements, or a view of smaller elements that begins between two of these.
            Err(_) => bytes
                .chunks_exact(T::DTYPE.size())
                .map(|chunk| T::from_storage(bytemuck::pod_read_unaligned(chunk)))
                .collect(),
        })
    }

    /// The bytes of all values in row-major order, lent to `body`. Evaluates.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the computation fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let a = mlx_core::Array::from_slice(&[1u8, 2, 3, 4], &[2, 2])?.transpose()?;
    /// assert_eq!(a.with_bytes(<[u8]>::to_vec)?, [1, 3, 2, 4]);
    /// # Ok(()) }
    /// ```
    pub fn with_bytes<R>(&self, body: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.eval()?;
        if self.is_row_contiguous()? {
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
        let data = self.data()?;
        // SAFETY: the buffer of an evaluated, row-contiguous array holds `nbytes` initialised bytes, which stay as they are
        // while `self` is borrowed: see the module's page.
        Ok(body(unsafe { ffi::slice(data, nbytes) }))
    }

    /// Whether an evaluated array lies in row-major order without gaps. Others cannot tell.
    fn is_row_contiguous(&self) -> Result<bool> {
        // SAFETY: op contract.
        unsafe { call!(copy bool = _mlx_array_is_row_contiguous(self.as_raw())) }
    }

    /// Where the first element of an evaluated array that has one lies.
    fn data(&self) -> Result<*const u8> {
        // SAFETY: op contract. The array is evaluated, so there is a buffer behind it. Any dtype may be seen as bytes.
        let data = unsafe {
            ffi::prepare();
            sys::mlx_array_data_uint8(self.as_raw())
        };
        if data.is_null() {
            ffi::check("mlx_array_data", 1)?;
        }
        Ok(data)
    }

    fn expect_dtype<T: Element>(&self, op: &'static str) -> Result<()> {
        let found = self.dtype();
        if found != T::DTYPE {
            return Err(Error::Dtype { op, expected: T::DTYPE, found });
        }
        Ok(())
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
        assert_eq!(error.to_string(), "item: expected dtype float64, found float32");
        assert!(Array::scalar(1u8).unwrap().as_slice::<bool>().is_err());
        assert!(Array::scalar(1u8).unwrap().to_vec::<i8>().is_err());
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

    #[test]
    fn what_an_array_was_given_is_dropped_once_wherever_it_ends() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        struct Owner(#[expect(dead_code, reason = "kept alive")] Vec<u64>, Arc<AtomicUsize>);
        impl Drop for Owner {
            fn drop(&mut self) {
                self.1.fetch_add(1, Ordering::SeqCst);
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let give = || {
            let mut words: Vec<u64> = (0..1000).collect();
            let place = words.as_mut_ptr();
            // SAFETY: `words` holds the elements, and goes along.
            let given =
                unsafe { Array::given(place.cast(), &[10, 100], Dtype::Uint64, Owner(words, drops.clone())) };
            given.ok()
        };
        let Some(a) = give() else {
            // Where arrays are not in plain memory, the owner came back.
            assert_eq!(drops.load(Ordering::SeqCst), 1);
            return;
        };
        let view = a.transpose().unwrap();
        let clone = a.clone();
        drop(a);
        view.eval().unwrap();
        drop(clone);
        assert_eq!(drops.load(Ordering::SeqCst), 0);
        drop(view);
        assert_eq!(drops.load(Ordering::SeqCst), 1);

        // An op takes the memory over, and the stream's thread may be the last to let go of it.
        let result = (&give().unwrap() + &Array::scalar(1u64).unwrap()).unwrap();
        result.eval().unwrap();
        assert_eq!(result.as_slice::<u64>().unwrap()[..3], [1, 2, 3]);
        drop(result);
        crate::synchronize().unwrap();
        let shared = give().unwrap().to_shared().unwrap();
        std::thread::spawn(move || drop(shared)).join().unwrap();
        // Never computed.
        drop((&give().unwrap() * &give().unwrap()).unwrap());
        // The library lets go of operands a moment after the result is there.
        for _ in 0..1000 {
            if drops.load(Ordering::SeqCst) == 5 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(drops.load(Ordering::SeqCst), 5);
    }
}
