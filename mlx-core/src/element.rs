// SPDX-License-Identifier: EUPL-1.2
//! Which Rust type stands for which element type.

use half::{bf16, f16};

use crate::Dtype;

/// A complex number of two float32, laid out as MLX does.
///
/// It carries a value and no arithmetic. With the feature `num-complex`, `num_complex::Complex<f32>` is an element type too.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Complex64};
/// let z = Array::scalar(Complex64::from((3.0, -4.0)))?;
/// assert_eq!(z.abs()?.item::<f32>()?, 5.0);
/// assert_eq!(<[f32; 2]>::from(z.item::<Complex64>()?), [3.0, -4.0]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct Complex64 {
    /// The real part.
    pub re: f32,
    /// The imaginary part.
    pub im: f32,
}

mod sealed {
    /// An element, and the plain data of the same layout behind it, of which every bit pattern is valid.
    pub trait Sealed: Copy + 'static {
        type Storage: bytemuck::Pod;
        fn from_storage(storage: Self::Storage) -> Self;
        fn into_storage(self) -> Self::Storage;
    }
}
pub(crate) use sealed::Sealed;

/// A Rust type whose values are an array's elements. Sealed: MLX's set of types is fixed.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Element};
/// fn first<T: Element>(array: &Array) -> mlx_core::Result<Option<T>> {
///     Ok(array.astype(T::DTYPE)?.to_vec::<T>()?.first().copied())
/// }
/// assert_eq!(first::<f32>(&Array::from_slice(&[3u8, 4], &[2])?)?, Some(3.0));
/// # Ok(()) }
/// ```
pub trait Element: Sealed + Default + std::fmt::Debug + PartialEq {
    /// The element type of arrays that hold this.
    const DTYPE: Dtype;
}

macro_rules! element {
    ($($rust:ty => $dtype:ident),* $(,)?) => {$(
        impl Sealed for $rust {
            type Storage = $rust;
            fn from_storage(storage: $rust) -> $rust { storage }
            fn into_storage(self) -> $rust { self }
        }
        impl Element for $rust {
            const DTYPE: Dtype = Dtype::$dtype;
        }
    )*};
}

element! {
    u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64,
    i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64,
    f16 => Float16, f32 => Float32, f64 => Float64, bf16 => Bfloat16,
}

impl Sealed for bool {
    // A byte read from a file may be neither 0 nor 1, which a `bool` must never be.
    type Storage = u8;
    fn from_storage(storage: u8) -> bool {
        storage != 0
    }
    fn into_storage(self) -> u8 {
        u8::from(self)
    }
}

impl Element for bool {
    const DTYPE: Dtype = Dtype::Bool;
}

impl Sealed for Complex64 {
    type Storage = [f32; 2];
    fn from_storage([re, im]: [f32; 2]) -> Self {
        Self { re, im }
    }
    fn into_storage(self) -> [f32; 2] {
        [self.re, self.im]
    }
}

impl Element for Complex64 {
    const DTYPE: Dtype = Dtype::Complex64;
}

impl From<[f32; 2]> for Complex64 {
    fn from([re, im]: [f32; 2]) -> Self {
        Self { re, im }
    }
}

impl From<Complex64> for [f32; 2] {
    fn from(value: Complex64) -> Self {
        [value.re, value.im]
    }
}

impl From<(f32, f32)> for Complex64 {
    fn from((re, im): (f32, f32)) -> Self {
        Self { re, im }
    }
}

impl From<Complex64> for (f32, f32) {
    fn from(value: Complex64) -> Self {
        (value.re, value.im)
    }
}

impl From<f32> for Complex64 {
    fn from(re: f32) -> Self {
        Self { re, im: 0.0 }
    }
}

#[cfg(feature = "num-complex")]
mod num {
    use num_complex::Complex;

    use super::{Complex64, Element, Sealed};
    use crate::Dtype;

    impl Sealed for Complex<f32> {
        type Storage = [f32; 2];
        fn from_storage([re, im]: [f32; 2]) -> Self {
            Self { re, im }
        }
        fn into_storage(self) -> [f32; 2] {
            [self.re, self.im]
        }
    }

    // The same layout: two floats, the real one first.
    impl Element for Complex<f32> {
        const DTYPE: Dtype = Dtype::Complex64;
    }

    impl From<Complex<f32>> for Complex64 {
        fn from(value: Complex<f32>) -> Self {
            Self { re: value.re, im: value.im }
        }
    }

    impl From<Complex64> for Complex<f32> {
        fn from(value: Complex64) -> Self {
            Self { re: value.re, im: value.im }
        }
    }
}
