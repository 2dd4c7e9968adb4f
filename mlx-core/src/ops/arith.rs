// SPDX-License-Identifier: EUPL-1.2
//! Arithmetic, element by element, with broadcasting.

use std::ops::{Add, Div, Mul, Neg, Sub};

use crate::cpu;
use crate::cpu::elementwise::{Arithmetic, arithmetic};
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::node::{binary, example, unary};
use crate::ops::{opt, optional_float, where_};
use crate::{Array, Dtype};

impl Array {
    unary! { shape "kept", dtype "any, kept";
        /// `x²`.
        square => mlx_square ([-1.5f32, 2.0] gives f32 [2.25, 4.0]),
        /// −1, 0 or 1 as x is; of a complex number `x / |x|`.
        sign => mlx_sign ([-1.5f32, 0.0] gives f32 [-1.0, 0.0]),
        /// The complex conjugate; of a real number, itself.
        conjugate => mlx_conjugate ("let z = Array::scalar(mlx_core::Complex64 { re: 1.0, im: 2.0 })?;\nassert_eq!(z.conjugate()?.imag()?.item::<f32>()?, -2.0);"),
        /// x, through which no derivative flows.
        stop_gradient => mlx_stop_gradient ("use mlx_core::transform;

// Of x · x, one factor counts as a constant: the derivative is x, not 2x.
let half = |x: &[Array]| Ok(vec![(&x[0] * &x[0].stop_gradient()?)?]);
let three = Array::scalar(3.0f32)?;
let (_, grads) = transform::vjp(half, &[three], &[Array::scalar(1.0f32)?])?;
assert_eq!(grads[0].item::<f32>()?, 3.0);"),
    }

    unary! { shape "kept", dtype "any, kept";
        /// x itself: the sign `+`.
        positive => mlx_positive ([-1.5f32, 2.0] gives f32 [-1.5, 2.0]),
    }

    unary! { shape "kept", dtype "any but bool, kept";
        /// `−x`; of an unsigned integer its complement to `2ⁿ`.
        negative => mlx_negative ([-1.5f32, 2.0] gives f32 [1.5, -2.0]),
    }

    unary! { shape "kept", dtype "any, kept; complex64 gives float32";
        /// `|x|`.
        abs => mlx_abs ([-1.5f32, 2.0] gives f32 [1.5, 2.0]),
        /// The real part.
        real => mlx_real ("let z = Array::scalar(mlx_core::Complex64 { re: 1.0, im: 2.0 })?;\nassert_eq!(z.real()?.item::<f32>()?, 1.0);"),
        /// The imaginary part; of a real number, 0.
        imag => mlx_imag ("let z = Array::scalar(mlx_core::Complex64 { re: 1.0, im: 2.0 })?;\nassert_eq!(z.imag()?.item::<f32>()?, 2.0);"),
    }

    unary! { shape "kept", dtype "any but complex64, kept";
        /// The largest whole number that is not above x.
        floor => mlx_floor ([-1.5f32, 2.75] gives f32 [-2.0, 2.0]),
        /// The smallest whole number that is not below x.
        ceil => mlx_ceil ([-1.5f32, 2.25] gives f32 [-1.0, 3.0]),
        /// x without its fraction.
        trunc => mlx_trunc ([-1.5f32, 2.75] gives f32 [-1.0, 2.0]),
    }

    unary! { shape "kept", dtype "floating and complex64, kept; others give float32";
        /// `√x`; NaN below 0.
        sqrt => mlx_sqrt ([2.25f32, 4.0] gives f32 [1.5, 2.0]),
        /// `1 / √x`; +∞ at 0.
        rsqrt => mlx_rsqrt ([0.25f32, 4.0] near [2.0f32, 0.5]),
        /// `1 / x`.
        reciprocal => mlx_reciprocal ([0.25f32, -2.0] gives f32 [4.0, -0.5]),
        /// `eˣ`; of float64 only to the precision of float32.
        exp => mlx_exp ([0.0f32, 1.0] near [1.0f32, 2.7182818]),
        /// The natural logarithm; −∞ at 0, NaN below.
        log => mlx_log ([1.0f32, 10.0] near [0.0f32, 2.3025851]),
        /// The logarithm to base 2.
        log2 => mlx_log2 ([0.5f32, 8.0] near [-1.0f32, 3.0]),
        /// The logarithm to base 10.
        log10 => mlx_log10 ([0.01f32, 1000.0] near [-2.0f32, 3.0]),
        /// `ln(1 + x)`, exact near 0.
        log1p => mlx_log1p ([0.0f32, 1e-6] near [0.0f32, 1e-6]),
        /// Sine of radians.
        sin => mlx_sin ([0.0f32, 1.5707963] near [0.0f32, 1.0]),
        /// Cosine of radians.
        cos => mlx_cos ([0.0f32, 1.0471976] near [1.0f32, 0.5]),
        /// Tangent of radians.
        tan => mlx_tan ([0.0f32, 0.7853982] near [0.0f32, 1.0]),
        /// Hyperbolic sine.
        sinh => mlx_sinh ([0.0f32, 1.0] near [0.0f32, 1.1752012]),
        /// Hyperbolic cosine.
        cosh => mlx_cosh ([0.0f32, 1.0] near [1.0f32, 1.5430806]),
        /// Hyperbolic tangent.
        tanh => mlx_tanh ([0.5f32, 100.0] near [0.46211716f32, 1.0]),
        /// Inverse sine, in radians; NaN outside −1..1.
        arcsin => mlx_arcsin ([0.5f32, 1.0] near [0.5235988f32, 1.5707963]),
        /// Inverse cosine, in radians; NaN outside −1..1.
        arccos => mlx_arccos ([0.5f32, 1.0] near [1.0471976f32, 0.0]),
        /// Inverse tangent, in radians.
        arctan => mlx_arctan ([1.0f32, 1e30] near [0.7853982f32, 1.5707963]),
        /// Inverse hyperbolic sine.
        arcsinh => mlx_arcsinh ([0.0f32, 1.0] near [0.0f32, 0.8813736]),
        /// Inverse hyperbolic cosine; NaN below 1.
        arccosh => mlx_arccosh ([1.0f32, 2.0] near [0.0f32, 1.3169579]),
        /// Inverse hyperbolic tangent; NaN outside −1..1.
        arctanh => mlx_arctanh ([0.0f32, 0.5] near [0.0f32, 0.54930614]),
        /// Radians to degrees.
        degrees => mlx_degrees ([3.1415927f32, 0.0] near [180.0f32, 0.0]),
        /// Degrees to radians.
        radians => mlx_radians ([180.0f32, 0.0] near [3.1415927f32, 0.0]),
    }

    unary! { shape "kept", dtype "floating, kept; integers and bool give float32";
        /// `eˣ − 1`, exact near 0.
        expm1 => mlx_expm1 ([0.0f32, 1e-6] near [0.0f32, 1e-6]),
        /// `1 / (1 + e⁻ˣ)`.
        sigmoid => mlx_sigmoid ([0.0f32, 2.0] near [0.5f32, 0.880797]),
        /// The error function, `2/√π ∫₀ˣ e^(−t²) dt`.
        erf => mlx_erf ([0.0f32, 0.5] near [0.0f32, 0.5204999]),
        /// The inverse of the error function; ±∞ at ±1, NaN beyond.
        erfinv => mlx_erfinv ([0.0f32, 0.5] near [0.0f32, 0.47693628]),
    }

    unary! { shape "kept", dtype "integers and bool, kept";
        /// Every bit flipped; of bool the other truth value.
        bitwise_invert => mlx_bitwise_invert ([0u8, 5] gives u8 [255, 250]),
    }

    binary! { dtype "promoted";
        /// `self` to the power of `other`; between integers it wraps, and a negative exponent gives 0.
        power => mlx_power ([2.0f32, 9.0] with [3.0f32, 0.5] near [8.0f32, 3.0]),
        /// The larger of two; NaN if either is.
        maximum => mlx_maximum ([1.0f32, 5.0] with [3.0f32, 2.0] gives f32 [3.0, 5.0]),
        /// The smaller of two; NaN if either is.
        minimum => mlx_minimum ([1.0f32, 5.0] with [3.0f32, 2.0] gives f32 [1.0, 2.0]),
    }

    binary! { dtype "promoted; integers and bool give float32";
        /// `ln(eˣ + eʸ)` without overflow.
        logaddexp => mlx_logaddexp ([0.0f32, 1000.0] with [0.0f32, 0.0] near [0.6931472f32, 1000.0]),
        /// The angle of the point `(other, self)`, in radians.
        arctan2 => mlx_arctan2 ([1.0f32, 1.0] with [1.0f32, -1.0] near [0.7853982f32, 2.3561945]),
    }

    binary! { dtype "integers and bool, promoted";
        /// Bits set in both.
        bitwise_and => mlx_bitwise_and ([12u8, 5] with [10u8, 3] gives u8 [8, 1]),
        /// Bits set in either.
        bitwise_or => mlx_bitwise_or ([12u8, 5] with [10u8, 3] gives u8 [14, 7]),
        /// Bits set in exactly one of the two.
        bitwise_xor => mlx_bitwise_xor ([12u8, 5] with [10u8, 3] gives u8 [6, 6]),
    }

    /// `self` shifted left by `other` bits; by fewer than 0 or more than there are, 0.
    ///
    /// - shape: the one that both broadcast to
    /// - dtype: integers and bool, promoted; two bools give uint8
    /// - source: `mlx_left_shift`, which leaves such counts to the processor
    ///
    /// # Errors
    /// [`Error::Mlx`] when an operand is floating or the shapes do not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1u8, 1], &[2])?;
    /// let counts = Array::from_slice(&[3u8, 9], &[2])?;
    /// assert_eq!(x.left_shift(&counts)?.to_vec::<u8>()?, [8, 0]);
    /// # Ok(()) }
    /// ```
    pub fn left_shift(&self, other: &Array) -> Result<Array> {
        // SAFETY: op contract.
        let shifted = unsafe { call!(Array = mlx_left_shift(self.as_raw(), other.as_raw(), stream())) }?;
        let dtype = shifted.dtype();
        where_(&is_shift_count(&other.astype(dtype)?)?, &shifted, &Array::constant(0.0, dtype)?)
    }

    /// `self` shifted right by `other` bits, the sign coming in from the left.
    ///
    /// A count below 0 or above the number of bits leaves nothing but the sign: 0 or −1.
    ///
    /// - shape: the one that both broadcast to
    /// - dtype: integers and bool, promoted; two bools give uint8
    /// - source: `mlx_right_shift`, which leaves such counts to the processor
    ///
    /// # Errors
    /// [`Error::Mlx`] when an operand is floating or the shapes do not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[-8i32, -8], &[2])?;
    /// let counts = Array::from_slice(&[1i32, 99], &[2])?;
    /// assert_eq!(x.right_shift(&counts)?.to_vec::<i32>()?, [-4, -1]);
    /// # Ok(()) }
    /// ```
    pub fn right_shift(&self, other: &Array) -> Result<Array> {
        // SAFETY: op contract.
        let shifted = unsafe { call!(Array = mlx_right_shift(self.as_raw(), other.as_raw(), stream())) }?;
        let dtype = shifted.dtype();
        let count = other.astype(dtype)?;
        // Negative, by 0 or 1, where the sign is set; of unsigned integers nowhere.
        let sign = self.astype(dtype)?.less(&Array::constant(0.0, dtype)?)?.astype(dtype)?;
        let nothing = if is_signed(dtype) { sign.negative()? } else { sign };
        where_(&is_shift_count(&count)?, &shifted, &nothing)
    }

    /// `self − other · ⌊self / other⌋`, which has the sign of `other`.
    ///
    /// - shape: the one that both broadcast to
    /// - dtype: promoted, but not complex64; between integers a divisor of 0 gives 0, else NaN
    /// - source: `mlx_remainder`, which ends the process when an integer is divided by 0, or the smallest one by −1
    ///
    /// # Errors
    /// [`Error::Mlx`] when the shapes do not broadcast or an operand is complex.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[-7i32, 7, 7], &[3])?;
    /// let y = Array::from_slice(&[3i32, -3, 0], &[3])?;
    /// assert_eq!(x.remainder(&y)?.to_vec::<i32>()?, [2, -2, 0]);
    /// # Ok(()) }
    /// ```
    pub fn remainder(&self, other: &Array) -> Result<Array> {
        // SAFETY: op contract.
        let plain = unsafe { call!(Array = mlx_remainder(self.as_raw(), other.as_raw(), stream())) }?;
        match Divisor::of_integers(other, plain.dtype())? {
            None => Ok(plain),
            Some(divisor) => divisor.remainder(self),
        }
    }

    /// `⌊self / other⌋`.
    ///
    /// - shape: the one that both broadcast to
    /// - dtype: promoted, but not complex64; between integers a divisor of 0 gives 0
    /// - source: `mlx_floor_divide`, which ends the process when an integer is divided by 0, or the smallest one by −1
    ///   (which wraps here), and rounds the quotient of integers towards 0
    ///
    /// # Errors
    /// [`Error::Mlx`] when the shapes do not broadcast or an operand is complex.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[-7i32, 7, 7], &[3])?;
    /// let y = Array::from_slice(&[3i32, -3, 0], &[3])?;
    /// assert_eq!(x.floor_divide(&y)?.to_vec::<i32>()?, [-3, -3, 0]);
    /// # Ok(()) }
    /// ```
    pub fn floor_divide(&self, other: &Array) -> Result<Array> {
        // SAFETY: op contract.
        let plain = unsafe { call!(Array = mlx_floor_divide(self.as_raw(), other.as_raw(), stream())) }?;
        match Divisor::of_integers(other, plain.dtype())? {
            None => Ok(plain),
            Some(divisor) => divisor.quotient(self),
        }
    }

    /// The whole quotient and the remainder, as [`Array::floor_divide`] and [`Array::remainder`] give them.
    ///
    /// - shape: the one that both broadcast to, both times
    /// - dtype: promoted, but not complex64
    /// - source: those two; `mlx_divmod` ends the process for their reasons, and lets no derivative through
    ///
    /// # Errors
    /// [`Error::Mlx`] when the shapes do not broadcast or an operand is complex.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[7.5f32, -7.5], &[2])?;
    /// let (quotient, rest) = x.divmod(&Array::scalar(2.0f32)?)?;
    /// assert_eq!(quotient.to_vec::<f32>()?, [3.0, -4.0]);
    /// assert_eq!(rest.to_vec::<f32>()?, [1.5, 0.5]);
    /// # Ok(()) }
    /// ```
    pub fn divmod(&self, other: &Array) -> Result<(Array, Array)> {
        Ok((self.floor_divide(other)?, self.remainder(other)?))
    }

    /// x rounded to `decimals` digits after the point (before it, when negative), halves to even.
    ///
    /// Half precision is scaled in float32, and what has too few digits to be rounded stays as it is.
    ///
    /// - shape: kept
    /// - dtype: any, kept
    /// - source: `mlx_round`
    ///
    /// # Errors
    /// [`Error::Argument`] when `decimals` is outside −38..=38, what a float32 can scale by.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[2.5f32, 3.5, 127.0], &[3])?;
    /// assert_eq!(x.round(0)?.to_vec::<f32>()?, [2.0, 4.0, 127.0]);
    /// assert_eq!(x.round(-1)?.to_vec::<f32>()?, [0.0, 0.0, 130.0]);
    /// # Ok(()) }
    /// ```
    pub fn round(&self, decimals: i32) -> Result<Array> {
        if !(-38..=38).contains(&decimals) {
            return Err(Error::argument("round", "decimals", format!("expected −38..=38, found {decimals}")));
        }
        let dtype = self.dtype();
        let whole = dtype.is_integer() || dtype == Dtype::Bool;
        if whole && decimals >= 0 {
            return Ok(self.clone());
        }
        let half = matches!(dtype, Dtype::Float16 | Dtype::Bfloat16);
        let x = if half && decimals != 0 { self.astype(Dtype::Float32)? } else { self.clone() };
        // SAFETY: op contract.
        let rounded = unsafe { call!(Array = mlx_round(x.as_raw(), decimals, stream())) }?;
        if whole || decimals <= 0 {
            return rounded.astype(dtype);
        }
        // Scaling up overflows only where a float has no digits after the point.
        where_(&rounded.isfinite()?, &rounded, &x)?.astype(dtype)
    }

    /// x held between `min` and `max`, either of which may be absent; `max` where they cross.
    ///
    /// - shape: the one that all broadcast to
    /// - dtype: promoted
    /// - source: `mlx_clip`
    ///
    /// # Errors
    /// [`Error::Argument`] when both are absent, [`Error::Mlx`] when the shapes do not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[-2.0f32, 0.5, 3.0], &[3])?;
    /// let (low, high) = (Array::scalar(-1.0f32)?, Array::scalar(1.0f32)?);
    /// assert_eq!(x.clip(Some(&low), Some(&high))?.to_vec::<f32>()?, [-1.0, 0.5, 1.0]);
    /// assert_eq!(x.clip(None, Some(&high))?.to_vec::<f32>()?, [-2.0, 0.5, 1.0]);
    /// # Ok(()) }
    /// ```
    pub fn clip(&self, min: Option<&Array>, max: Option<&Array>) -> Result<Array> {
        if min.is_none() && max.is_none() {
            return Err(Error::argument("clip", "min", "either min or max is needed"));
        }
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_clip(self.as_raw(), opt(min), opt(max), stream())) }
    }

    /// x with NaN replaced by `nan`, and infinities by `posinf` and `neginf` or the largest finite values.
    ///
    /// - shape: kept
    /// - dtype: any but float64 and complex64, kept
    /// - source: `mlx_nan_to_num`
    ///
    /// # Errors
    /// [`Error::Mlx`] for other dtypes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[f32::NAN, f32::INFINITY, 1.5], &[3])?;
    /// assert_eq!(x.nan_to_num(0.0, Some(9.0), None)?.to_vec::<f32>()?, [0.0, 9.0, 1.5]);
    /// # Ok(()) }
    /// ```
    pub fn nan_to_num(&self, nan: f32, posinf: Option<f32>, neginf: Option<f32>) -> Result<Array> {
        let (posinf, neginf) = (optional_float(posinf), optional_float(neginf));
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_nan_to_num(self.as_raw(), nan, posinf, neginf, stream())) }
    }

    /// x in another dtype: floats become integers by truncation, complex numbers real by their real part.
    ///
    /// A NaN, or a number that the integer type does not hold, becomes an integer that is not specified.
    ///
    /// - shape: kept
    /// - source: `mlx_astype`
    ///
    /// # Errors
    /// [`Error::Shape`] when the result does not fit in memory.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// let x = Array::from_slice(&[1.9f32, -1.9], &[2])?.astype(Dtype::Int32)?;
    /// assert_eq!(x.to_vec::<i32>()?, [1, -1]);
    /// # Ok(()) }
    /// ```
    pub fn astype(&self, dtype: Dtype) -> Result<Array> {
        cpu::elementwise::cast(self, dtype).unwrap_or_else(|| self.plain_astype(dtype))
    }

    /// The same by MLX.
    pub(crate) fn plain_astype(&self, dtype: Dtype) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_astype(self.as_raw(), dtype.to_raw(), stream())) }
    }

    /// x as 8-bit floats of four exponent and three mantissa bits (E4M3), rounded to the nearest, one a byte.
    ///
    /// What lies beyond ±448, NaN included, becomes the nearest of the two.
    ///
    /// - shape: kept
    /// - dtype: floating; gives uint8
    /// - source: `mlx_to_fp8`, which misreads float64, so that it is taken through float32 here
    ///
    /// # Errors
    /// [`Error::Mlx`] when x is not floating.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[1.0f32, 1000.0], &[2])?;
    /// assert_eq!(x.to_fp8()?.to_vec::<u8>()?, [0x38, 0x7e]);
    /// # Ok(()) }
    /// ```
    pub fn to_fp8(&self) -> Result<Array> {
        let wide = self.dtype() == Dtype::Float64;
        let x = if wide { self.astype(Dtype::Float32)? } else { self.clone() };
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_to_fp8(x.as_raw(), stream())) }
    }

    /// What the 8-bit floats (E4M3) of [`Array::to_fp8`] stand for.
    ///
    /// The bytes 0x7f and 0xff, which other libraries read as NaN, are ±480 on the CPU.
    ///
    /// - shape: kept
    /// - dtype: uint8; gives `dtype`, which is floating
    /// - source: `mlx_from_fp8`, which leaves float64 half unwritten, so that it is made from float32 here
    ///
    /// # Errors
    /// [`Error::Mlx`] when x is not of uint8 or `dtype` is not floating.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::Array;
    ///
    /// let x = Array::from_slice(&[0x38u8, 0x7e], &[2])?.from_fp8(mlx_core::Dtype::Float32)?;
    /// assert_eq!(x.to_vec::<f32>()?, [1.0, 448.0]);
    /// # Ok(()) }
    /// ```
    pub fn from_fp8(&self, dtype: Dtype) -> Result<Array> {
        let native = if dtype == Dtype::Float64 { Dtype::Float32 } else { dtype };
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_from_fp8(self.as_raw(), native.to_raw(), stream())) }?.astype(dtype)
    }

    /// The same bytes as another dtype; the last axis shrinks or grows with the size of an element.
    ///
    /// - source: `mlx_view`
    ///
    /// # Errors
    /// [`Error::Mlx`] when the last axis does not hold a whole number of new elements, or when a scalar's size would
    /// change.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype};
    ///
    /// let bits = Array::from_slice(&[1.0f32, -2.0], &[2])?.view(Dtype::Uint32)?;
    /// assert_eq!(bits.to_vec::<u32>()?, [0x3f80_0000, 0xc000_0000]);
    /// assert_eq!(bits.view(Dtype::Uint8)?.shape(), [8]);
    /// # Ok(()) }
    /// ```
    pub fn view(&self, dtype: Dtype) -> Result<Array> {
        let (old, new) = (self.dtype().size(), dtype.size());
        match self.shape().split_last() {
            // The stride of an axis of 1 may be anything, and the library keeps it for the axis of several that it
            // becomes. Reshaping sets it right.
            Some((1, front)) if new < old => {
                let flat: &[i32] = if front.is_empty() { &[1, 1] } else { &[-1] };
                let flat = if self.size() == 0 { self.reshape(front)? } else { self.reshape(flat)? };
                let parts = i32::try_from(old / new).unwrap_or(1);
                flat.seen_as(dtype)?.reshape(&[front, &[parts]].concat())
            }
            _ => self.seen_as(dtype),
        }
    }

    fn seen_as(&self, dtype: Dtype) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_view(self.as_raw(), dtype.to_raw(), stream())) }
    }
}

/// Whether integers of this type can be negative.
fn is_signed(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::Int8 | Dtype::Int16 | Dtype::Int32 | Dtype::Int64)
}

/// Where `count` is a number of bits that its own dtype has.
fn is_shift_count(count: &Array) -> Result<Array> {
    let dtype = count.dtype();
    #[expect(clippy::cast_precision_loss, reason = "an element has at most 64 bits")]
    let bits = Array::constant((8 * dtype.size()) as f64, dtype)?;
    let below = count.less(&bits)?;
    if is_signed(dtype) {
        below.logical_and(&count.greater_equal(&Array::constant(0.0, dtype)?)?)
    } else {
        Ok(below)
    }
}

/// An integer divisor with 1 in the place of those that make the processor raise a fault: 0, and −1, by which the
/// smallest integer cannot be divided. A fault ends the process, so the values are never even tried.
struct Divisor {
    safe: Array,
    is_zero: Array,
    is_minus_one: Option<Array>,
}

impl Divisor {
    /// `None` when the division is not one of integers, which the dtype of its result tells.
    fn of_integers(divisor: &Array, dtype: Dtype) -> Result<Option<Self>> {
        if !dtype.is_integer() && dtype != Dtype::Bool {
            return Ok(None);
        }
        let divisor = divisor.astype(dtype)?;
        let is_zero = divisor.equal(&Array::constant(0.0, dtype)?)?;
        let is_minus_one =
            if is_signed(dtype) { Some(divisor.equal(&Array::constant(-1.0, dtype)?)?) } else { None };
        let unsafe_ = match &is_minus_one {
            Some(is_minus_one) => is_zero.logical_or(is_minus_one)?,
            None => is_zero.clone(),
        };
        let safe = where_(&unsafe_, &Array::constant(1.0, dtype)?, &divisor)?;
        Ok(Some(Self { safe, is_zero, is_minus_one }))
    }

    /// Dividing by the 1 in the place of 0 or −1 leaves the remainder that both have: 0.
    fn remainder(&self, dividend: &Array) -> Result<Array> {
        // SAFETY: op contract.
        unsafe { call!(Array = mlx_remainder(dividend.as_raw(), self.safe.as_raw(), stream())) }
    }

    fn quotient(&self, dividend: &Array) -> Result<Array> {
        let dtype = self.safe.dtype();
        let dividend = dividend.astype(dtype)?;
        // SAFETY: op contract.
        let mut quotient =
            unsafe { call!(Array = mlx_floor_divide(dividend.as_raw(), self.safe.as_raw(), stream())) }?;
        if let Some(is_minus_one) = &self.is_minus_one {
            // The quotient is rounded towards 0 on some backends: one too many where it and the divisor leave another
            // rest than the floor does.
            let rest = (&dividend - &(&quotient * &self.safe)?)?;
            let rounded_up = rest.not_equal(&self.remainder(&dividend)?)?.astype(dtype)?;
            quotient = (&quotient - &rounded_up)?;
            quotient = where_(is_minus_one, &dividend.negative()?, &quotient)?;
        }
        where_(&self.is_zero, &Array::constant(0.0, dtype)?, &quotient)
    }
}

/// The weak constant that a Rust float stands for beside `array`: it never promotes a floating array.
fn weak_float(array: &Array, value: f32) -> Result<Array> {
    array.scalar_like(f64::from(value))
}

/// The weak constant that a Rust integer stands for beside `array`: it takes the array's dtype, or int32 beside bool.
fn weak_int(op: &'static str, array: &Array, value: i32) -> Result<Array> {
    let dtype = if array.dtype() == Dtype::Bool { Dtype::Int32 } else { array.dtype() };
    let (low, high) = match dtype {
        Dtype::Uint8 => (0, i32::from(u8::MAX)),
        Dtype::Uint16 => (0, i32::from(u16::MAX)),
        Dtype::Uint32 | Dtype::Uint64 => (0, i32::MAX),
        Dtype::Int8 => (i32::from(i8::MIN), i32::from(i8::MAX)),
        Dtype::Int16 => (i32::from(i16::MIN), i32::from(i16::MAX)),
        _ => (i32::MIN, i32::MAX),
    };
    if value < low || value > high {
        return Err(Error::argument(op, "constant", format!("{value} is not a value of {dtype}")));
    }
    Array::constant(f64::from(value), dtype)
}

macro_rules! operator {
    ($($trait:ident $method:ident $f:ident $what:literal $example:literal $($kernel:ident)?),* $(,)?) => {$(
        impl $trait for &Array {
            type Output = Result<Array>;
            #[doc = concat!($what, ", with broadcasting. Dtype: promoted. Source: `", stringify!($f), "`.")]
            ///
            #[doc = example!(concat!(
                "let (x, y) = (Array::from_slice(&[6.0f32, 1.0], &[2])?, Array::scalar(2.0f32)?);\n",
                $example
            ))]
            fn $method(self, other: &Array) -> Result<Array> {
                $(if let Some(result) = arithmetic(Arithmetic::$kernel, self, other) {
                    return result;
                })?
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
        impl $trait<&Array> for f32 {
            type Output = Result<Array>;
            #[doc = concat!($what, " with a constant, in the array's dtype when that is floating, else in float32.")]
            fn $method(self, other: &Array) -> Result<Array> {
                (&weak_float(other, self)?).$method(other)
            }
        }
        impl $trait<i32> for &Array {
            type Output = Result<Array>;
            #[doc = concat!($what, " with a constant, in the array's dtype, or in int32 when that is bool. A constant \
                                    that the dtype does not hold is an error.")]
            fn $method(self, other: i32) -> Result<Array> {
                self.$method(&weak_int(stringify!($method), self, other)?)
            }
        }
        impl $trait<&Array> for i32 {
            type Output = Result<Array>;
            #[doc = concat!($what, " with a constant, in the array's dtype, or in int32 when that is bool. A constant \
                                    that the dtype does not hold is an error.")]
            fn $method(self, other: &Array) -> Result<Array> {
                (&weak_int(stringify!($method), other, self)?).$method(other)
            }
        }
    )*};
}

operator! {
    Add add mlx_add "Sum"
        "assert_eq!((&x + &y)?.to_vec::<f32>()?, [8.0, 3.0]);\nassert_eq!((&x + 1.5)?.to_vec::<f32>()?, [7.5, 2.5]);" Add,
    Sub sub mlx_subtract "Difference"
        "assert_eq!((&x - &y)?.to_vec::<f32>()?, [4.0, -1.0]);",
    Mul mul mlx_multiply "Product"
        "assert_eq!((&x * &y)?.to_vec::<f32>()?, [12.0, 2.0]);" Multiply,
    Div div mlx_divide "Quotient; of integers in float32"
        "assert_eq!((&x / &y)?.to_vec::<f32>()?, [3.0, 0.5]);",
}

impl Neg for &Array {
    type Output = Result<Array>;
    /// [`Array::negative`].
    fn neg(self) -> Result<Array> {
        self.negative()
    }
}
