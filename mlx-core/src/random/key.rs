// SPDX-License-Identifier: EUPL-1.2
//! Where random numbers come from.

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, Dtype};

/// What a draw depends on; cheap to clone, like an [`Array`].
#[derive(Clone, Debug)]
pub struct Key(pub(super) Array);

impl Key {
    /// The key of a seed.
    ///
    /// - source: `mlx_random_key`
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Dtype, random};
    /// let (first, second) = random::Key::new(7)?.split()?;
    /// let a = random::uniform(0.0, 1.0, &[4], Dtype::Float32, &first)?;
    /// let b = random::uniform(0.0, 1.0, &[4], Dtype::Float32, &second)?;
    /// assert_ne!(a.to_vec::<f32>()?, b.to_vec::<f32>()?);
    /// # Ok(()) }
    /// ```
    pub fn new(seed: u64) -> Result<Self> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_random_key(seed)) }.map(Self)
    }

    /// A key from its two words, as [`Key::as_array`] gives them.
    ///
    /// # Errors
    /// [`Error::Argument`] when the array is not uint32 of shape `[2]`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::random::Key;
    /// let key = Key::new(7)?;
    /// let same = Key::from_array(key.as_array().clone())?;
    /// assert_eq!(same.as_array().to_vec::<u32>()?, [0, 7]);
    /// # Ok(()) }
    /// ```
    pub fn from_array(words: Array) -> Result<Self> {
        if words.dtype() != Dtype::Uint32 || words.shape() != [2] {
            return Err(Error::argument(
                "key",
                "words",
                format!("expected uint32 of shape [2], found {words:?}"),
            ));
        }
        Ok(Self(words))
    }

    /// The two words of this key, uint32 of shape `[2]`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let key = mlx_core::random::Key::new(1 << 32)?;
    /// assert_eq!(key.as_array().to_vec::<u32>()?, [1, 0]);
    /// # Ok(()) }
    /// ```
    pub fn as_array(&self) -> &Array {
        &self.0
    }

    /// Two keys, independent of each other and of this one, which should not be used again.
    ///
    /// - source: `mlx_random_split`
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Dtype, random};
    /// let (now, later) = random::Key::new(0)?.split()?;
    /// let weights = random::normal(&[2, 2], Dtype::Float32, 0.0, 0.02, &now)?;
    /// let more = random::normal(&[2, 2], Dtype::Float32, 0.0, 0.02, &later)?;
    /// assert_ne!(weights.to_vec::<f32>()?, more.to_vec::<f32>()?);
    /// # Ok(()) }
    /// ```
    pub fn split(&self) -> Result<(Self, Self)> {
        // SAFETY: op contract.
        unsafe { call!((Array, Array) = mlx_random_split(self.0.as_raw(), stream())) }
            .map(|(a, b)| (Self(a), Self(b)))
    }

    /// `n` keys, independent of each other and of this one, which should not be used again.
    ///
    /// - source: `mlx_random_split_num`
    ///
    /// # Errors
    /// [`Error::Argument`] when `n` does not fit an `i32`.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// let keys = mlx_core::random::Key::new(0)?.split_n(3)?;
    /// assert_eq!(keys.len(), 3);
    /// # Ok(()) }
    /// ```
    pub fn split_n(&self, n: usize) -> Result<Vec<Self>> {
        // Two words a key.
        let count = i32::try_from(n)
            .ok()
            .filter(|count| count.checked_mul(2).is_some())
            .ok_or_else(|| Error::argument("split_n", "n", format!("{n} keys are too many")))?;
        if count == 0 {
            return Ok(vec![]);
        }
        // SAFETY: op contract.
        let keys = unsafe { call!(Array = mlx_random_split_num(self.0.as_raw(), count, stream())) }?;
        (0..count).map(|i| keys.index((i,)).map(Self)).collect()
    }

    /// The next key of the thread's own sequence, which [`seed`](super::seed) begins anew. For when no key is at hand: what is drawn
    /// then depends on everything that the thread drew before.
    ///
    /// A thread that was given no seed begins with one made of the time, and threads that begin together may have the same.
    ///
    /// - source: `mlx_random_bits` without a key
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::random::{self, Key};
    /// random::seed(3)?;
    /// let (first, second) = (Key::fresh()?, Key::fresh()?);
    /// assert_ne!(first.as_array().to_vec::<u32>()?, second.as_array().to_vec::<u32>()?);
    /// random::seed(3)?;
    /// assert_eq!(Key::fresh()?.as_array().to_vec::<u32>()?, first.as_array().to_vec::<u32>()?);
    /// # Ok(()) }
    /// ```
    pub fn fresh() -> Result<Self> {
        let shape = [2];
        // SAFETY: op contract. An empty key stands for the thread's sequence.
        unsafe {
            call!(Array = mlx_random_bits(shape.as_ptr(), shape.len(), 4, crate::ops::opt(None), stream()))
        }
        .map(Self)
    }
}
