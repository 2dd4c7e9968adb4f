// SPDX-License-Identifier: EUPL-1.2
//! How an op reaches C: one call, and one look at what it made.
//!
//! MLX's processor backend does not ask whether an allocation succeeded: an array that is larger than the machine's
//! memory ends the process with a segmentation fault when it is computed, and a size that overflows writes outside its
//! buffer. Ops are lazy, so an array costs nothing until then, and its shape can be checked first.

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::ffi::call;
use crate::{Array, Dtype};

/// The example in an op's documentation, from two elements (or a shape) and what becomes of them.
///
/// - `(x gives f32 y)`: exactly these values, which `to_vec::<f32>` reads
/// - `(x near y)`: these, to the precision of float32
/// - `(x shape y)`: an array of shape `x` gets the shape `y`
/// - `(x with other gives f32 y)`, `(x with other near y)`: of two operands
/// - `("lines")`: whatever they are
macro_rules! example {
    ($name:ident ($x:tt gives $type:ident $y:tt)) => {
        $crate::ops::node::example!(concat!(
            "let x = Array::from_slice(&",
            stringify!($x),
            ", &[2])?;\n",
            "assert_eq!(x.",
            stringify!($name),
            "()?.to_vec::<",
            stringify!($type),
            ">()?, ",
            stringify!($y),
            ");"
        ))
    };
    ($name:ident ($x:tt near $y:tt)) => {
        $crate::ops::node::example!(concat!(
            "let x = Array::from_slice(&",
            stringify!($x),
            ", &[2])?;\n",
            "let wanted = Array::from_slice(&",
            stringify!($y),
            ", &[2])?;\n",
            "assert!(x.",
            stringify!($name),
            "()?.allclose(&wanted, 1e-5, 1e-6, true)?.item::<bool>()?);"
        ))
    };
    ($name:ident ($x:tt shape $y:tt)) => {
        $crate::ops::node::example!(concat!(
            "let x = Array::zeros(&",
            stringify!($x),
            ", mlx_core::Dtype::Float32)?;\n",
            "assert_eq!(x.",
            stringify!($name),
            "()?.shape(), ",
            stringify!($y),
            ");"
        ))
    };
    ($name:ident ($x:tt with $other:tt gives $type:ident $y:tt)) => {
        $crate::ops::node::example!(concat!(
            "let x = Array::from_slice(&",
            stringify!($x),
            ", &[2])?;\n",
            "let y = Array::from_slice(&",
            stringify!($other),
            ", &[2])?;\n",
            "assert_eq!(x.",
            stringify!($name),
            "(&y)?.to_vec::<",
            stringify!($type),
            ">()?, ",
            stringify!($y),
            ");"
        ))
    };
    ($name:ident ($x:tt with $other:tt near $y:tt)) => {
        $crate::ops::node::example!(concat!(
            "let x = Array::from_slice(&",
            stringify!($x),
            ", &[2])?;\n",
            "let y = Array::from_slice(&",
            stringify!($other),
            ", &[2])?;\n",
            "let wanted = Array::from_slice(&",
            stringify!($y),
            ", &[2])?;\n",
            "assert!(x.",
            stringify!($name),
            "(&y)?.allclose(&wanted, 1e-5, 1e-6, true)?.item::<bool>()?);"
        ))
    };
    ($name:ident ($lines:literal)) => {
        $crate::ops::node::example!($lines)
    };
    ($lines:expr) => {
        concat!(
            "# Examples\n```\n# fn main() -> mlx_core::Result<()> {\nuse mlx_core::Array;\n\n",
            $lines,
            "\n# Ok(()) }\n```"
        )
    };
}
pub(crate) use example;

/// Ops of one operand without parameters, grouped by what happens to shape and dtype; each with its [`example`].
macro_rules! unary {
    (shape $shape:literal, dtype $dtype:literal;
        $($(#[$doc:meta])* $name:ident => $f:ident $example:tt),* $(,)?) => {$(
        $(#[$doc])*
        ///
        #[doc = concat!("- shape: ", $shape)]
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the dtype is not one of these, [`crate::Error::Shape`] when the result does not
        /// fit in memory.
        ///
        #[doc = $crate::ops::node::example!($name $example)]
        pub fn $name(&self) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { $crate::ffi::call!(Array = $f(self.as_raw(), stream())) }
        }
    )*};
}
pub(crate) use unary;

/// Ops of two operands without parameters, which broadcast, grouped by what happens to the dtype; each with its
/// [`example`].
macro_rules! binary {
    (dtype $dtype:literal; $($(#[$doc:meta])* $name:ident => $f:ident $example:tt),* $(,)?) => {$(
        $(#[$doc])*
        ///
        /// - shape: the one that both broadcast to
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f), "`")]
        ///
        /// # Errors
        /// [`crate::Error::Mlx`] when the shapes do not broadcast or the dtypes are not among these,
        /// [`crate::Error::Shape`] when the result does not fit in memory.
        ///
        #[doc = $crate::ops::node::example!($name $example)]
        pub fn $name(&self, other: &Array) -> Result<Array> {
            // SAFETY: op contract.
            unsafe { $crate::ffi::call!(Array = $f(self.as_raw(), other.as_raw(), stream())) }
        }
    )*};
}
pub(crate) use binary;

/// The bytes that one array may take: MLX's memory limit before anybody changed it, four fifths of the machine's
/// memory.
pub(crate) fn largest() -> usize {
    static LARGEST: OnceLock<usize> = OnceLock::new();
    *LARGEST.get_or_init(|| {
        // SAFETY: op contract.
        let limit = unsafe { call!(copy usize = mlx_get_memory_limit()) };
        limit.ok().filter(|&bytes| bytes > 0).unwrap_or(isize::MAX.unsigned_abs())
    })
}

/// Hands on what `op` made, if its shape is one that an array can have.
///
/// What has no elements has one value only, and becomes that at once: kernels of the processor divide by lengths, or do not
/// come back from an empty array in another layout than row-major. While a function is traced it is the transformation that
/// sees to this (`transform::graph::settled`), since a function may be traced for other shapes than those it is shown.
pub(crate) fn admit(op: &'static str, out: Array) -> Result<Array> {
    let op = op.strip_prefix("mlx_").unwrap_or(op);
    let shape = out.shape();
    fits(op, shape, out.dtype())?;
    if shape.contains(&0) && !crate::closure::is_tracing() {
        return Array::without_elements(shape, out.dtype());
    }
    Ok(out)
}

/// Whether an array of this shape could be computed here. An overflow somewhere in the library shows as a negative
/// length.
pub(crate) fn fits(op: &'static str, shape: &[i32], dtype: Dtype) -> Result<()> {
    // A length of 0 counts as 1: a later reduction drops it, and what is left must be addressable too.
    let bytes = shape.iter().try_fold(dtype.size(), |bytes, &dim| {
        usize::try_from(dim).ok().and_then(|dim| bytes.checked_mul(dim.max(1)))
    });
    match bytes {
        Some(bytes) if bytes <= largest() => Ok(()),
        _ if shape.iter().any(|&dim| dim < 0) => {
            Err(Error::shape(op, format!("dimensions must not be negative, found {shape:?}")))
        }
        Some(bytes) => Err(Error::shape(
            op,
            format!("{shape:?} of {dtype} takes {bytes} bytes, more than the memory limit"),
        )),
        None => Err(Error::shape(op, format!("{shape:?} of {dtype} is too large to address"))),
    }
}

/// The place of `axis` among `ndim` axes, a negative one counting from the end.
pub(crate) fn axis_of(op: &'static str, axis: i32, ndim: usize) -> Result<usize> {
    let place = i64::from(axis) + if axis < 0 { i64::try_from(ndim).unwrap_or(i64::MAX) } else { 0 };
    usize::try_from(place)
        .ok()
        .filter(|&place| place < ndim)
        .ok_or_else(|| Error::argument(op, "axis", format!("{axis} is out of range for {ndim} axes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_overflow_or_exceed_the_machine_are_refused_with_a_reason() {
        for (shape, expected) in [
            (&[-1, 2][..], "negative"),
            (&[i32::MAX, i32::MAX, i32::MAX], "too large to address"),
            (&[0, i32::MAX, i32::MAX, i32::MAX], "too large to address"),
            (&[65536, 65536, 65536, 65536], "too large to address"),
            (&[1 << 20, 1 << 20, 1 << 10], "more than the memory limit"),
        ] {
            let message = fits("op", shape, Dtype::Float32).unwrap_err().to_string();
            assert!(message.starts_with("op: ") && message.contains(expected), "{message}");
        }
        assert!(fits("op", &[0, 1 << 20], Dtype::Float32).is_ok());
        assert!(fits("op", &[], Dtype::Complex64).is_ok());
        assert!(largest() > 1 << 20);
    }

    #[test]
    fn axes_count_from_either_end() {
        assert_eq!(axis_of("op", -1, 3).unwrap(), 2);
        assert_eq!(axis_of("op", 0, 3).unwrap(), 0);
        for axis in [3, -4, i32::MIN, i32::MAX] {
            assert!(axis_of("op", axis, 3).is_err());
        }
        assert!(axis_of("op", 0, 0).is_err());
    }

    #[test]
    fn error_names_the_op_without_its_c_prefix() {
        let row = Array::from_slice(&[0u8], &[1, 1]).unwrap();
        let wide = row.broadcast_to(&[1, 1 << 30]).unwrap();
        let tall = row.broadcast_to(&[1 << 30, 1]).unwrap();
        let message = (&wide + &tall).unwrap_err().to_string();
        assert!(message.starts_with("add: [1073741824, 1073741824] of uint8"), "{message}");
    }
}
