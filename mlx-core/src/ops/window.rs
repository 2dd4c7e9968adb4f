// SPDX-License-Identifier: EUPL-1.2
//! Windows: symmetric curves that fade a signal in and out.

use crate::device::stream;
use crate::error::Result;
use crate::ffi::call;
use crate::ops::create::length;
use crate::{Array, Dtype};

macro_rules! window {
    ($($(#[$doc:meta])* $name:ident => $f:ident $wanted:literal),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// One sample alone is 1.
        ///
        /// - shape: `[n]`
        /// - dtype: float32
        #[doc = concat!("- source: `", stringify!($f), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Argument`] when `n` is negative, [`crate::Error::Shape`] when the window does not fit in
        /// memory.
        ///
        /// # Examples
        /// ```
        /// # fn main() -> mlx_core::Result<()> {
        /// use mlx_core::Array;
        ///
        #[doc = concat!("let wanted = Array::from_slice(&[", $wanted, "], &[5])?;")]
        #[doc = concat!("assert!(Array::", stringify!($name), "(5)?.allclose(&wanted, 1e-5, 1e-6, false)?.item::<bool>()?);")]
        /// # Ok(()) }
        /// ```
        pub fn $name(n: i32) -> Result<Array> {
            length(stringify!($name), "n", n, Dtype::Float32)?;
            // SAFETY: op contract.
            unsafe { call!(Array = $f(n, stream())) }
        }
    )*};
}

/// Windows. At sample i of n, `t = 2π i / (n − 1)`.
impl Array {
    window! {
        /// The triangle that rises from 0 to 1 and falls back to 0: `1 − |2i / (n − 1) − 1|`.
        bartlett => mlx_bartlett "0.0f32, 0.5, 1.0, 0.5, 0.0",
        /// Two cosines, with weak side lobes: `0.42 − 0.5 cos t + 0.08 cos 2t`.
        blackman => mlx_blackman "0.0f32, 0.34, 1.0, 0.34, 0.0",
        /// A raised cosine that does not reach 0: `0.54 − 0.46 cos t`.
        hamming => mlx_hamming "0.08f32, 0.54, 1.0, 0.54, 0.08",
        /// A raised cosine: `0.5 − 0.5 cos t`.
        hanning => mlx_hanning "0.0f32, 0.5, 1.0, 0.5, 0.0",
    }
}
