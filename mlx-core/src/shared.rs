// SPDX-License-Identifier: EUPL-1.2
//! The road between threads: arrays that are evaluated and waited for.

use std::fmt;

use crate::closure::{has_traced, is_tracing};
use crate::error::Result;
use crate::ffi::call;
use crate::{Array, Dtype};

/// An evaluated array that may be sent to, and shared with, other threads.
///
/// Weights are loaded once, turned into this, and turned back into an [`Array`] on every worker. On the CPU and on
/// Metal both ways are free, but for an array shared from inside a function whose derivative is being taken: that is
/// copied. On CUDA, where even a read on the host moves the buffer, each way copies.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::Array;
/// let shared = Array::from_slice(&[1.0f32, 2.0], &[2])?.to_shared()?;
/// let sum = std::thread::spawn(move || -> mlx_core::Result<f32> {
///     let a = shared.to_array()?;
///     (&a + &a)?.to_vec::<f32>().map(|v| v.iter().sum())
/// });
/// assert_eq!(sum.join().unwrap()?, 6.0);
/// # Ok(()) }
/// ```
pub struct SharedArray(Shared);

enum Shared {
    /// The node itself. Nothing changes it any more: it is evaluated, its event has been waited for and taken off, and
    /// its inputs are detached, since no derivative was being taken.
    Node(Array),
    /// A copy of the values, where the node must not be read by two threads.
    Bytes { bytes: Box<[u8]>, shape: Box<[i32]>, dtype: Dtype },
}

// SAFETY: `Bytes` is plain data. A `Node` is made by `to_shared` alone, of an array that is evaluated and waited for, on
// a backend whose buffers are host memory. What other threads do with it is `clone` and `drop` (atomic counts in the
// library), reading shape, dtype and data (all constant from then on), and using it as an operand (which reads the
// same). The buffer is donated to an op, and so written, only when its count says that the op's own handle is the last.
unsafe impl Send for SharedArray {}
// SAFETY: as for `Send`; no method takes `&mut self`.
unsafe impl Sync for SharedArray {}

impl Array {
    /// This array in a form that other threads may have. Evaluates, and waits.
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when the computation fails.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let shared = mlx_core::Array::scalar(3u8)?.to_shared()?;
    /// let there = std::thread::spawn(move || shared.to_array()?.item::<u8>());
    /// assert_eq!(there.join().unwrap()?, 3);
    /// # Ok(()) }
    /// ```
    pub fn to_shared(&self) -> Result<SharedArray> {
        // SAFETY: op contract.
        let cuda = unsafe { call!(copy bool = mlx_cuda_is_available()) }?;
        if cuda || is_tracing() {
            let (shape, dtype) = (self.shape().into(), self.dtype());
            let bytes = self.with_bytes(|bytes| Box::from(bytes))?;
            return Ok(SharedArray(Shared::Bytes { bytes, shape, dtype }));
        }
        // An array that was evaluated inside a callback still has its inputs; an op on it makes one that has not.
        let array = if has_traced() { self.copy()? } else { self.clone() };
        array.eval()?;
        // An array may be evaluated and its event not yet waited for; then the second wait settles its state.
        array.eval()?;
        Ok(SharedArray(Shared::Node(array)))
    }
}

impl SharedArray {
    /// The array, for ops on this thread.
    ///
    /// # Errors
    /// [`crate::Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let shared = mlx_core::Array::scalar(3u8)?.to_shared()?;
    /// assert_eq!(shared.to_array()?.item::<u8>()?, 3);
    /// # Ok(()) }
    /// ```
    pub fn to_array(&self) -> Result<Array> {
        match &self.0 {
            Shared::Node(array) => Ok(array.clone()),
            Shared::Bytes { bytes, shape, dtype } => Array::from_bytes(bytes, shape, *dtype),
        }
    }

    /// The length of each axis.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// assert_eq!(mlx_core::Array::from_slice(&[1, 2], &[2])?.to_shared()?.shape(), [2]);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn shape(&self) -> &[i32] {
        match &self.0 {
            Shared::Node(array) => array.shape(),
            Shared::Bytes { shape, .. } => shape,
        }
    }

    /// The element type.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// assert_eq!(mlx_core::Array::scalar(3u8)?.to_shared()?.dtype(), mlx_core::Dtype::Uint8);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        match &self.0 {
            Shared::Node(array) => array.dtype(),
            Shared::Bytes { dtype, .. } => *dtype,
        }
    }
}

impl fmt::Debug for SharedArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedArray")
            .field("shape", &self.shape())
            .field("dtype", &format_args!("{}", self.dtype()))
            .finish()
    }
}
