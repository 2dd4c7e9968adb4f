// SPDX-License-Identifier: EUPL-1.2
//! Element types.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::ffi::sys;

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// A truth value, one byte.
    Bool,
    /// Unsigned, 8 bits.
    Uint8,
    /// Unsigned, 16 bits.
    Uint16,
    /// Unsigned, 32 bits.
    Uint32,
    /// Unsigned, 64 bits.
    Uint64,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// IEEE half precision, 16 bits.
    Float16,
    /// IEEE single precision, 32 bits.
    Float32,
    /// IEEE double precision, 64 bits; on the CPU only.
    Float64,
    /// The upper half of a float32, 16 bits.
    Bfloat16,
    /// Two float32: a real and an imaginary part.
    Complex64,
}

impl Dtype {
    /// Every element type.
    pub const ALL: [Dtype; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Float16,
        Self::Float32,
        Self::Float64,
        Self::Bfloat16,
        Self::Complex64,
    ];

    /// Bytes that one element takes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 | Self::Float16 | Self::Bfloat16 => 2,
            Self::Uint32 | Self::Int32 | Self::Float32 => 4,
            Self::Uint64 | Self::Int64 | Self::Float64 | Self::Complex64 => 8,
        }
    }

    /// Whether this is a real floating-point type.
    #[must_use]
    pub const fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Float32 | Self::Float64 | Self::Bfloat16)
    }

    /// Whether this is a signed or unsigned integer type; `Bool` is neither.
    #[must_use]
    pub const fn is_integer(self) -> bool {
        !matches!(self, Self::Bool | Self::Complex64) && !self.is_float()
    }

    /// The name used in Python and in configs, such as `bfloat16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Uint8 => "uint8",
            Self::Uint16 => "uint16",
            Self::Uint32 => "uint32",
            Self::Uint64 => "uint64",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Bfloat16 => "bfloat16",
            Self::Complex64 => "complex64",
        }
    }

    /// The C enumerator.
    pub(crate) const fn to_raw(self) -> sys::mlx_dtype {
        match self {
            Self::Bool => sys::MLX_BOOL,
            Self::Uint8 => sys::MLX_UINT8,
            Self::Uint16 => sys::MLX_UINT16,
            Self::Uint32 => sys::MLX_UINT32,
            Self::Uint64 => sys::MLX_UINT64,
            Self::Int8 => sys::MLX_INT8,
            Self::Int16 => sys::MLX_INT16,
            Self::Int32 => sys::MLX_INT32,
            Self::Int64 => sys::MLX_INT64,
            Self::Float16 => sys::MLX_FLOAT16,
            Self::Float32 => sys::MLX_FLOAT32,
            Self::Float64 => sys::MLX_FLOAT64,
            Self::Bfloat16 => sys::MLX_BFLOAT16,
            Self::Complex64 => sys::MLX_COMPLEX64,
        }
    }

    /// The type behind a C enumerator.
    pub(crate) const fn from_raw(raw: sys::mlx_dtype) -> Self {
        match raw {
            sys::MLX_BOOL => Self::Bool,
            sys::MLX_UINT8 => Self::Uint8,
            sys::MLX_UINT16 => Self::Uint16,
            sys::MLX_UINT32 => Self::Uint32,
            sys::MLX_UINT64 => Self::Uint64,
            sys::MLX_INT8 => Self::Int8,
            sys::MLX_INT16 => Self::Int16,
            sys::MLX_INT32 => Self::Int32,
            sys::MLX_INT64 => Self::Int64,
            sys::MLX_FLOAT16 => Self::Float16,
            sys::MLX_FLOAT32 => Self::Float32,
            sys::MLX_FLOAT64 => Self::Float64,
            sys::MLX_BFLOAT16 => Self::Bfloat16,
            // The enumeration is closed: `mlx-sys` is generated from the headers that the library is built from.
            _ => Self::Complex64,
        }
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Dtype {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|dtype| dtype.name() == name)
            .ok_or_else(|| Error::argument("dtype", "name", format!("no element type is called {name:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dtype_survives_the_way_to_c_and_to_text() {
        for dtype in Dtype::ALL {
            assert_eq!(Dtype::from_raw(dtype.to_raw()), dtype);
            assert_eq!(dtype.name().parse::<Dtype>().unwrap(), dtype);
            // SAFETY: a pure function of an enumerator.
            assert_eq!(unsafe { sys::mlx_dtype_size(dtype.to_raw()) }, dtype.size());
        }
    }

    #[test]
    fn unknown_name_is_an_error_that_repeats_it() {
        let error = "float8".parse::<Dtype>().unwrap_err().to_string();
        assert!(error.contains("float8"), "{error}");
    }
}
