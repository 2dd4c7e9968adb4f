// SPDX-License-Identifier: EUPL-1.2
//! Arithmetic, element by element, with broadcasting.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::{binary, opt, unary};
use crate::{Array, Dtype};

impl Array {
    unary! {
        /// `|x|`. Dtype: kept, but float32 for complex64. Source: `mlx_abs`.
        abs => mlx_abs,
        /// `x²`. Dtype: kept. Source: `mlx_square`.
        square => mlx_square,
        /// `√x`. Dtype: floating, kept; else float32. Source: `mlx_sqrt`.
        sqrt => mlx_sqrt,
        /// `1 / √x`. Dtype: floating, kept; else float32. Source: `mlx_rsqrt`.
        rsqrt => mlx_rsqrt,
        /// `1 / x`. Dtype: floating, kept; else float32. Source: `mlx_reciprocal`.
        reciprocal => mlx_reciprocal,
        /// `eˣ`. Dtype: floating, kept; else float32. Source: `mlx_exp`.
        exp => mlx_exp,
        /// `eˣ − 1`, exact near 0. Dtype: floating, kept; else float32. Source: `mlx_expm1`.
        expm1 => mlx_expm1,
        /// The natural logarithm. Dtype: floating, kept; else float32. Source: `mlx_log`.
        log => mlx_log,
        /// The logarithm to base 2. Dtype: floating, kept; else float32. Source: `mlx_log2`.
        log2 => mlx_log2,
        /// The logarithm to base 10. Dtype: floating, kept; else float32. Source: `mlx_log10`.
        log10 => mlx_log10,
        /// `ln(1 + x)`, exact near 0. Dtype: floating, kept; else float32. Source: `mlx_log1p`.
        log1p => mlx_log1p,
        /// Sine of radians. Dtype: floating, kept; else float32. Source: `mlx_sin`.
        sin => mlx_sin,
        /// Cosine of radians. Dtype: floating, kept; else float32. Source: `mlx_cos`.
        cos => mlx_cos,
        /// Tangent of radians. Dtype: floating, kept; else float32. Source: `mlx_tan`.
        tan => mlx_tan,
        /// Hyperbolic sine. Dtype: floating, kept; else float32. Source: `mlx_sinh`.
        sinh => mlx_sinh,
        /// Hyperbolic cosine. Dtype: floating, kept; else float32. Source: `mlx_cosh`.
        cosh => mlx_cosh,
        /// Hyperbolic tangent. Dtype: floating, kept; else float32. Source: `mlx_tanh`.
        tanh => mlx_tanh,
        /// Inverse sine, in radians. Dtype: floating, kept; else float32. Source: `mlx_arcsin`.
        arcsin => mlx_arcsin,
        /// Inverse cosine, in radians. Dtype: floating, kept; else float32. Source: `mlx_arccos`.
        arccos => mlx_arccos,
        /// Inverse tangent, in radians. Dtype: floating, kept; else float32. Source: `mlx_arctan`.
        arctan => mlx_arctan,
        /// Inverse hyperbolic sine. Dtype: floating, kept; else float32. Source: `mlx_arcsinh`.
        arcsinh => mlx_arcsinh,
        /// Inverse hyperbolic cosine. Dtype: floating, kept; else float32. Source: `mlx_arccosh`.
        arccosh => mlx_arccosh,
        /// Inverse hyperbolic tangent. Dtype: floating, kept; else float32. Source: `mlx_arctanh`.
        arctanh => mlx_arctanh,
        /// `1 / (1 + e⁻ˣ)`. Dtype: floating, kept; else float32. Source: `mlx_sigmoid`.
        sigmoid => mlx_sigmoid,
        /// The error function, `2/√π ∫₀ˣ e^(−t²) dt`. Dtype: floating, kept; else float32. Source: `mlx_erf`.
        erf => mlx_erf,
        /// The inverse of the error function. Dtype: floating, kept; else float32. Source: `mlx_erfinv`.
        erfinv => mlx_erfinv,
        /// The largest whole number that is not above x. Dtype: kept. Source: `mlx_floor`.
        floor => mlx_floor,
        /// The smallest whole number that is not below x. Dtype: kept. Source: `mlx_ceil`.
        ceil => mlx_ceil,
        /// x without its fraction. Dtype: kept. Source: `mlx_trunc`.
        trunc => mlx_trunc,
        /// −1, 0 or 1 as x is. Dtype: kept. Source: `mlx_sign`.
        sign => mlx_sign,
        /// `−x`. Dtype: kept; not for bool. Source: `mlx_negative`.
        negative => mlx_negative,
        /// The real part. Dtype: float32 for complex64. Source: `mlx_real`.
        real => mlx_real,
        /// The imaginary part. Dtype: float32 for complex64. Source: `mlx_imag`.
        imag => mlx_imag,
        /// The complex conjugate. Dtype: kept. Source: `mlx_conjugate`.
        conjugate => mlx_conjugate,
        /// Radians to degrees. Dtype: floating, kept; else float32. Source: `mlx_degrees`.
        degrees => mlx_degrees,
        /// Degrees to radians. Dtype: floating, kept; else float32. Source: `mlx_radians`.
        radians => mlx_radians,
        /// x with every bit flipped. Dtype: integers and bool, kept. Source: `mlx_bitwise_invert`.
        bitwise_invert => mlx_bitwise_invert,
        /// x, through which no derivative flows. Dtype: kept. Source: `mlx_stop_gradient`.
        stop_gradient => mlx_stop_gradient,
    }

    binary! {
        /// `self` to the power of `other`. Dtype: promoted. Source: `mlx_power`.
        power => mlx_power,
        /// The larger of two; NaN if either is. Dtype: promoted. Source: `mlx_maximum`.
        maximum => mlx_maximum,
        /// The smaller of two; NaN if either is. Dtype: promoted. Source: `mlx_minimum`.
        minimum => mlx_minimum,
        /// `ln(eˣ + eʸ)` without overflow. Dtype: promoted, floating. Source: `mlx_logaddexp`.
        logaddexp => mlx_logaddexp,
        /// The angle of the point (other, self), in radians. Dtype: promoted, floating. Source: `mlx_arctan2`.
        arctan2 => mlx_arctan2,
        /// Bits set in both. Dtype: integers and bool, promoted. Source: `mlx_bitwise_and`.
        bitwise_and => mlx_bitwise_and,
        /// Bits set in either. Dtype: integers and bool, promoted. Source: `mlx_bitwise_or`.
        bitwise_or => mlx_bitwise_or,
        /// Bits set in one of the two. Dtype: integers and bool, promoted. Source: `mlx_bitwise_xor`.
        bitwise_xor => mlx_bitwise_xor,
        /// `self` shifted left by `other` bits. Dtype: integers, promoted. Source: `mlx_left_shift`.
        left_shift => mlx_left_shift,
        /// `self` shifted right by `other` bits. Dtype: integers, promoted. Source: `mlx_right_shift`.
        right_shift => mlx_right_shift,
    }

    /// `self − other · ⌊self / other⌋`, with the sign of `other`.
    ///
    /// - dtype: promoted; where both are integers, a divisor of 0 gives 0
    /// - source: `mlx_remainder`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the shapes do not broadcast.
    pub fn remainder(&self, other: &Array) -> Result<Array> {
        let (divisor, zero) = safe_divisor(self, other)?;
        // SAFETY: op contract.
        let out = unsafe { call!(Array = mlx_remainder(self.as_raw(), divisor.as_raw(), stream())) }?;
        without_zero_divisors(out, zero.as_ref())
    }

    /// `⌊self / other⌋`.
    ///
    /// - dtype: promoted; where both are integers, a divisor of 0 gives 0
    /// - source: `mlx_floor_divide`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the shapes do not broadcast.
    pub fn floor_divide(&self, other: &Array) -> Result<Array> {
        let (divisor, zero) = safe_divisor(self, other)?;
        // SAFETY: op contract.
        let out = unsafe { call!(Array = mlx_floor_divide(self.as_raw(), divisor.as_raw(), stream())) }?;
        without_zero_divisors(out, zero.as_ref())
    }

    /// The whole quotient and the remainder, as [`Array::floor_divide`] and [`Array::remainder`] give them.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the shapes do not broadcast.
    pub fn divmod(&self, other: &Array) -> Result<(Array, Array)> {
        Ok((self.floor_divide(other)?, self.remainder(other)?))
    }

    /// x rounded to `decimals` digits after the point, halves to even. Dtype: kept. Source: `mlx_round`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when the dtype cannot be rounded.
    pub fn round(&self, decimals: i32) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_round(self.as_raw(), decimals, stream())) }
    }

    /// x held between `min` and `max`, either of which may be absent. Dtype: promoted. Source: `mlx_clip`.
    ///
    /// # Errors
    /// [`Error::Argument`] when both are absent, [`Error::Mlx`] when the shapes do not broadcast.
    pub fn clip(&self, min: Option<&Array>, max: Option<&Array>) -> Result<Array> {
        if min.is_none() && max.is_none() {
            return Err(Error::argument("clip", "min", "either min or max is needed"));
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_clip(self.as_raw(), opt(min), opt(max), stream())) }
    }

    /// x with NaN replaced by `nan`, and infinities by `posinf` and `neginf` or the largest finite values.
    ///
    /// - dtype: kept
    /// - source: `mlx_nan_to_num`
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn nan_to_num(&self, nan: f32, posinf: Option<f32>, neginf: Option<f32>) -> Result<Array> {
        // SAFETY: op contract.
        unsafe {
            call!(Array = mlx_nan_to_num(
                self.as_raw(),
                nan,
                super::optional_float(posinf),
                super::optional_float(neginf),
                stream()
            ))
        }
    }

    /// x in another dtype; floats become integers by truncation. Source: `mlx_astype`.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn astype(&self, dtype: Dtype) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_astype(self.as_raw(), dtype.to_raw(), stream())) }
    }

    /// The same bytes as another dtype; the last axis grows or shrinks with the size of an element.
    ///
    /// - source: `mlx_view`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the last axis does not hold a whole number of new elements.
    pub fn view(&self, dtype: Dtype) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_view(self.as_raw(), dtype.to_raw(), stream())) }
    }
}

/// A divisor without zeros, and where they were, when integers are divided: there the processor would raise a fault
/// that ends the process.
fn safe_divisor(dividend: &Array, divisor: &Array) -> Result<(Array, Option<Array>)> {
    let whole = |dtype: Dtype| dtype.is_integer() || dtype == Dtype::Bool;
    if !whole(dividend.dtype()) || !whole(divisor.dtype()) {
        return Ok((divisor.clone(), None));
    }
    let zero = divisor.equal(&Array::constant(0.0, divisor.dtype())?)?;
    let one = Array::constant(1.0, divisor.dtype())?;
    Ok((super::where_(&zero, &one, divisor)?, Some(zero)))
}

/// Zeros where the divisor was zero.
fn without_zero_divisors(out: Array, zero: Option<&Array>) -> Result<Array> {
    match zero {
        Some(zero) => super::where_(zero, &Array::constant(0.0, out.dtype())?, &out),
        None => Ok(out),
    }
}

/// The weak constant that a Rust float stands for beside `array`: it never promotes a floating array.
fn weak_float(array: &Array, value: f32) -> Result<Array> {
    array.scalar_like(f64::from(value))
}

/// The weak constant that a Rust integer stands for beside `array`: it takes the array's dtype, or int32 beside bool.
fn weak_int(array: &Array, value: i32) -> Result<Array> {
    let dtype = if array.dtype() == Dtype::Bool { Dtype::Int32 } else { array.dtype() };
    Array::constant(f64::from(value), dtype)
}

macro_rules! operator {
    ($($trait:ident $method:ident $f:ident $what:literal),* $(,)?) => {$(
        impl $trait for &Array {
            type Output = Result<Array>;
            #[doc = concat!($what, ", with broadcasting. Dtype: promoted. Source: `", stringify!($f), "`.")]
            fn $method(self, other: &Array) -> Result<Array> {
                // SAFETY: op contract.
                unsafe { call!(Array = $f(self.as_raw(), other.as_raw(), stream())) }
            }
        }
        impl $trait<f32> for &Array {
            type Output = Result<Array>;
            #[doc = concat!($what, " with a constant, in the array's dtype when that is floating, else in float32.")]
            fn $method(self, other: f32) -> Result<Array> {
                self.$method(&weak_float(self, other)?)
            }
        }
        impl $trait<i32> for &Array {
            type Output = Result<Array>;
            #[doc = concat!($what, " with a constant, in the array's dtype, or in int32 when that is bool.")]
            fn $method(self, other: i32) -> Result<Array> {
                self.$method(&weak_int(self, other)?)
            }
        }
    )*};
}

operator! {
    Add add mlx_add "Sum",
    Sub sub mlx_subtract "Difference",
    Mul mul mlx_multiply "Product",
    Div div mlx_divide "Quotient; of integers in float32",
}

impl Neg for &Array {
    type Output = Result<Array>;
    fn neg(self) -> Result<Array> {
        self.negative()
    }
}
