// SPDX-License-Identifier: EUPL-1.2
//! Discrete Fourier transforms: `X[k] = Σ_j x[j] · exp(−2πi · j · k / N)` along one axis or several.
//!
//! Forward transforms have the minus in the exponent, inverse ones (`i…`) have none. The real ones (`r…`) keep the
//! `N / 2 + 1` coefficients that are not the conjugate of another, and their inverses (`ir…`) give real values back from
//! these. Everything is computed in complex64, whatever dtype goes in.
//!
//! A length may be given: the input is cut, or filled with zeros at its end, to fit it. [`Norm`] says where the factor is.
//!
//! ```
//! # fn main() -> mlx_core::Result<()> {
//! use mlx_core::{Array, fft};
//! let signal = Array::from_slice(&[1.0f32, 0.0, -1.0, 0.0], &[4])?;
//! let spectrum = fft::rfft(&signal, &fft::Options::default())?;
//! assert_eq!(spectrum.abs()?.to_vec::<f32>()?, [0.0, 2.0, 0.0]);
//! let back = fft::irfft(&spectrum, &fft::Options::default())?;
//! assert_eq!(back.to_vec::<f32>()?, [1.0, 0.0, -1.0, 0.0]);
//! # Ok(()) }
//! ```

use crate::closure::is_tracing;
use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call, sys};
use crate::ops::node::{axis_of, fits};
use crate::{Array, Dtype, concatenate};

/// What a transform of N elements is multiplied by.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, fft};
/// let ones = Array::from_slice(&[1.0f32; 4], &[4])?;
/// let first = |norm| -> mlx_core::Result<f32> {
///     fft::fft(&ones, &fft::Options { norm, ..Default::default() })?.abs()?.index(0)?.item()
/// };
/// assert_eq!(first(fft::Norm::Backward)?, 4.0);
/// assert_eq!(first(fft::Norm::Ortho)?, 2.0);
/// assert_eq!(first(fft::Norm::Forward)?, 1.0);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Norm {
    /// Forward by 1, inverse by 1 / N.
    #[default]
    Backward,
    /// Both by 1 / √N, so that lengths of vectors are kept.
    Ortho,
    /// Forward by 1 / N, inverse by 1.
    Forward,
}

impl Norm {
    fn to_raw(self) -> sys::mlx_fft_norm {
        match self {
            Self::Backward => sys::MLX_FFT_NORM_BACKWARD,
            Self::Ortho => sys::MLX_FFT_NORM_ORTHO,
            Self::Forward => sys::MLX_FFT_NORM_FORWARD,
        }
    }
}

/// How a transform along one axis is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The number N of elements to transform; by default what the axis has. For [`irfft`] the length of the result, by
    /// default twice the axis less 2.
    pub n: Option<i32>,
    /// The axis; the last one, −1, by default.
    pub axis: i32,
    /// Where the factor is; [`Norm::Backward`] by default.
    pub norm: Norm,
}

impl Default for Options {
    fn default() -> Self {
        Self { n: None, axis: -1, norm: Norm::Backward }
    }
}

/// How a transform along several axes is made.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, fft};
/// let x = Array::ones(&[2, 3, 4], Dtype::Float32)?;
/// let planes = fft::NdOptions { axes: Some(&[0, 1]), sizes: Some(&[4, 8]), ..Default::default() };
/// assert_eq!(fft::fftn(&x, &planes)?.shape(), [4, 8, 4]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NdOptions<'a> {
    /// The number of elements along each of `axes`; by default what the axes have. For the inverses of real transforms
    /// the last one is the length of the result, by default twice the axis less 2.
    pub sizes: Option<&'a [i32]>,
    /// The axes, the last of which is the halved one of real transforms. By default the last two for the
    /// two-dimensional transforms, and for the others as many of the last as there are `sizes`, or all.
    pub axes: Option<&'a [i32]>,
    /// Where the factor is; [`Norm::Backward`] by default.
    pub norm: Norm,
}

/// What happens to the last of the transformed axes.
#[derive(Clone, Copy, PartialEq)]
enum Half {
    /// Nothing.
    Neither,
    /// The result has half of it.
    Result,
    /// The input has half of it.
    Input,
}

impl Half {
    /// The default length for an axis of `dim`.
    fn length(self, dim: i32) -> i64 {
        if self == Self::Input { 2 * (i64::from(dim) - 1) } else { i64::from(dim) }
    }

    /// Whether MLX's derivative of a transform to `n` elements is wrong: it takes every number of real values for an even one.
    fn is_misjudged(self, n: i32) -> bool {
        self == Self::Input && n % 2 == 1 && is_tracing()
    }

    /// Whether `n` elements along the last axis can be transformed: both sides are arrays that fit into memory.
    fn check(self, op: &'static str, x: &Array, axes: &[usize], sizes: &[i32]) -> Result<()> {
        let mut shape = x.shape().to_vec();
        for (place, (&axis, &size)) in axes.iter().zip(sizes).enumerate() {
            let halved = self != Self::Neither && place + 1 == axes.len();
            if let Some(dim) = shape.get_mut(axis) {
                *dim = if halved { size / 2 + 1 } else { size };
            }
        }
        fits(op, &shape, Dtype::Complex64)
    }
}

/// Axis and length for `f`, checked.
fn along(op: &'static str, x: &Array, options: &Options, half: Half) -> Result<(i32, i32)> {
    let axis = axis_of(op, options.axis, x.ndim())?;
    let dim = x.shape().get(axis).copied().unwrap_or_default();
    let n = length(op, options.n, dim, half)?;
    half.check(op, x, &[axis], &[n])?;
    Ok((n, i32::try_from(axis).unwrap_or(options.axis)))
}

fn length(op: &'static str, n: Option<i32>, dim: i32, half: Half) -> Result<i32> {
    let n = n.map_or_else(|| half.length(dim), i64::from);
    i32::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| {
        Error::argument(op, "n", format!("a transform needs at least one element, and {n} are asked for"))
    })
}

/// Axes and lengths, checked; `default` is how many of the last axes there are when nothing is said.
fn over(
    op: &'static str,
    x: &Array,
    options: &NdOptions<'_>,
    half: Half,
    default: Option<usize>,
) -> Result<(Vec<i32>, Vec<i32>)> {
    let ndim = x.ndim();
    let axes: Vec<usize> = match options.axes {
        Some(axes) => axes.iter().map(|&axis| axis_of(op, axis, ndim)).collect::<Result<_>>()?,
        None => {
            let count = default.or(options.sizes.map(<[i32]>::len)).unwrap_or(ndim);
            let first = ndim.checked_sub(count).ok_or_else(|| {
                Error::argument(op, "axes", format!("{count} axes are more than {:?} has", x.shape()))
            })?;
            (first..ndim).collect()
        }
    };
    if axes.is_empty() {
        return Err(Error::argument(op, "axes", "expected at least one"));
    }
    if axes.iter().enumerate().any(|(place, axis)| axes.iter().take(place).any(|other| other == axis)) {
        return Err(Error::argument(op, "axes", format!("an axis is named twice in {axes:?}")));
    }
    if let Some(sizes) = options.sizes
        && sizes.len() != axes.len()
    {
        let message = format!("expected one for each of {} axes, found {sizes:?}", axes.len());
        return Err(Error::argument(op, "sizes", message));
    }
    let sizes = axes.iter().enumerate().map(|(place, &axis)| {
        let half = if place + 1 == axes.len() { half } else { Half::Neither };
        let given = options.sizes.and_then(|sizes| sizes.get(place).copied());
        length(op, given, x.shape().get(axis).copied().unwrap_or_default(), half)
    });
    let sizes = sizes.collect::<Result<Vec<_>>>()?;
    half.check(op, x, &axes, &sizes)?;
    let axes = axes.into_iter().filter_map(|axis| i32::try_from(axis).ok()).collect();
    Ok((axes, sizes))
}

/// The inverse of a real transform, by way of all coefficients along the last of `axes`.
fn unfolded(x: &Array, axes: &[i32], sizes: &[i32], norm: Norm) -> Result<Array> {
    let (Some((&axis, axes)), Some((&n, sizes))) = (axes.split_last(), sizes.split_last()) else {
        return Err(Error::argument("irfftn", "axes", "expected at least one"));
    };
    let mut half = match axes {
        [] => x.clone(),
        _ => ifftn(x, &NdOptions { sizes: Some(sizes), axes: Some(axes), norm })?,
    };
    let known = n / 2 + 1;
    let mut missing = half.shape().to_vec();
    if let Some(dim) = missing.get_mut(axis_of("irfftn", axis, half.ndim())?)
        && *dim < known
    {
        *dim = known - *dim;
        half = concatenate(&[&half, &Array::zeros(&missing, half.dtype())?], axis)?;
    }
    half = half.slice_axis(axis, 0, known)?;
    let mirrored = half.slice_axis(axis, 1, known)?.flip(axis)?.conjugate()?;
    ifft(&concatenate(&[&half, &mirrored], axis)?, &Options { n: None, axis, norm })?.real()
}

/// Transforms along one axis.
macro_rules! one {
    ($($(#[$doc:meta])* $name:ident => $f:ident, $half:ident, shape $shape:literal, dtype $dtype:literal;)*) => {$(
        $(#[$doc])*
        ///
        #[doc = concat!("- shape: ", $shape)]
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f), "`")]
        ///
        /// # Errors
        /// [`Error::Argument`] when the axis is out of range or fewer than one element is to be transformed,
        /// [`Error::Shape`] when the result does not fit in memory.
        pub fn $name(x: &Array, options: &Options) -> Result<Array> {
            let (n, axis) = along(stringify!($name), x, options, Half::$half)?;
            if Half::$half.is_misjudged(n) {
                return unfolded(x, &[axis], &[n], options.norm);
            }
            // SAFETY: op contract.
            unsafe { call!(Array = $f(x.as_raw(), n, axis, options.norm.to_raw(), stream())) }
        }
    )*};
}

/// Transforms along several axes.
macro_rules! several {
    ($($(#[$doc:meta])* $name:ident => $f:ident, $half:ident, default $default:expr, dtype $dtype:literal;)*) => {$(
        $(#[$doc])*
        ///
        #[doc = concat!("- dtype: ", $dtype)]
        #[doc = concat!("- source: `", stringify!($f), "`")]
        ///
        /// # Errors
        /// [`Error::Argument`] when an axis is out of range or named twice, there are none, there is not one size for
        /// each, or fewer than one element is to be transformed, [`Error::Shape`] when the result does not fit in memory.
        pub fn $name(x: &Array, options: &NdOptions<'_>) -> Result<Array> {
            let (axes, sizes) = over(stringify!($name), x, options, Half::$half, $default)?;
            if sizes.last().is_some_and(|&n| Half::$half.is_misjudged(n)) {
                return unfolded(x, &axes, &sizes, options.norm);
            }
            // SAFETY: op contract.
            unsafe {
                call!(
                    Array = $f(
                        x.as_raw(),
                        sizes.as_ptr(),
                        sizes.len(),
                        axes.as_ptr(),
                        axes.len(),
                        options.norm.to_raw(),
                        stream(),
                    )
                )
            }
        }
    )*};
}

one! {
    /// The transform along one axis.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Complex64, fft};
    /// let impulse = Array::from_slice(&[0.0f32, 1.0], &[2])?;
    /// let flat = fft::fft(&impulse, &fft::Options { n: Some(4), ..Default::default() })?;
    /// let [first, second] = [Complex64 { re: 1.0, im: 0.0 }, Complex64 { re: 0.0, im: -1.0 }];
    /// assert_eq!(flat.to_vec::<Complex64>()?[..2], [first, second]);
    /// # Ok(()) }
    /// ```
    fft => mlx_fft_fft, Neither, shape "`[.., N, ..]` → the same, or N as given", dtype "any → complex64";

    /// The inverse of [`fft`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, fft};
    /// let x = Array::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[4])?;
    /// let spectrum = fft::fft(&x, &fft::Options::default())?;
    /// let back = fft::ifft(&spectrum, &fft::Options::default())?.real()?;
    /// assert_eq!(back.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
    /// # Ok(()) }
    /// ```
    ifft => mlx_fft_ifft, Neither, shape "`[.., N, ..]` → the same, or N as given", dtype "any → complex64";

    /// The transform of real values: the coefficients up to the middle, of which the others are conjugates. Of complex
    /// values the imaginary part is dropped.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, fft};
    /// let x = Array::from_slice(&[1.0f32, -1.0, 1.0, -1.0], &[4])?;
    /// let spectrum = fft::rfft(&x, &fft::Options::default())?;
    /// assert_eq!(spectrum.real()?.to_vec::<f32>()?, [0.0, 0.0, 4.0]);
    /// # Ok(()) }
    /// ```
    rfft => mlx_fft_rfft, Result, shape "`[.., N, ..]` → `[.., N / 2 + 1, ..]`", dtype "any → complex64";

    /// The inverse of [`rfft`]. An odd length has to be given: `n`, since the coefficients do not tell.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, fft};
    /// let x = Array::from_slice(&[3.0f32, 0.0, 0.0], &[3])?;
    /// let spectrum = fft::rfft(&x, &fft::Options::default())?;
    /// let back = fft::irfft(&spectrum, &fft::Options { n: Some(3), ..Default::default() })?;
    /// assert_eq!(back.shape(), [3]);
    /// # Ok(()) }
    /// ```
    irfft => mlx_fft_irfft, Input, shape "`[.., M, ..]` → `[.., 2 · (M − 1), ..]`, or N as given", dtype "any → float32";
}

several! {
    /// The transform along two axes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, fft};
    /// let image = Array::ones(&[2, 4], Dtype::Float32)?;
    /// let spectrum = fft::fft2(&image, &fft::NdOptions::default())?.abs()?;
    /// assert_eq!(spectrum.to_vec::<f32>()?, [8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    /// # Ok(()) }
    /// ```
    fft2 => mlx_fft_fft2, Neither, default Some(2), dtype "any → complex64";

    /// The inverse of [`fft2`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, fft};
    /// let x = Array::ones(&[2, 4], Dtype::Float32)?;
    /// let impulse = fft::ifft2(&x, &fft::NdOptions::default())?.real()?;
    /// assert_eq!(impulse.to_vec::<f32>()?[..2], [1.0, 0.0]);
    /// # Ok(()) }
    /// ```
    ifft2 => mlx_fft_ifft2, Neither, default Some(2), dtype "any → complex64";

    /// [`rfft`] along the last of two axes, and [`fft`] along the other.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, fft};
    /// let image = Array::ones(&[4, 6], Dtype::Float32)?;
    /// assert_eq!(fft::rfft2(&image, &fft::NdOptions::default())?.shape(), [4, 4]);
    /// # Ok(()) }
    /// ```
    rfft2 => mlx_fft_rfft2, Result, default Some(2), dtype "any → complex64";

    /// The inverse of [`rfft2`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, fft};
    /// let spectrum = Array::ones(&[4, 4], Dtype::Complex64)?;
    /// let odd = fft::NdOptions { sizes: Some(&[4, 7]), ..Default::default() };
    /// assert_eq!(fft::irfft2(&spectrum, &odd)?.shape(), [4, 7]);
    /// # Ok(()) }
    /// ```
    irfft2 => mlx_fft_irfft2, Input, default Some(2), dtype "any → float32";

    /// The transform along several axes.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, fft};
    /// let x = Array::ones(&[2, 2, 2], Dtype::Float32)?;
    /// let spectrum = fft::fftn(&x, &fft::NdOptions::default())?;
    /// assert_eq!(spectrum.abs()?.max_all()?.item::<f32>()?, 8.0);
    /// # Ok(()) }
    /// ```
    fftn => mlx_fft_fftn, Neither, default None, dtype "any → complex64";

    /// The inverse of [`fftn`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, fft};
    /// let x = Array::ones(&[2, 3, 4], Dtype::Complex64)?;
    /// let ends = fft::NdOptions { axes: Some(&[0, -1]), ..Default::default() };
    /// assert_eq!(fft::ifftn(&x, &ends)?.shape(), [2, 3, 4]);
    /// # Ok(()) }
    /// ```
    ifftn => mlx_fft_ifftn, Neither, default None, dtype "any → complex64";

    /// [`rfft`] along the last of the axes, and [`fft`] along the others.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, fft};
    /// let x = Array::ones(&[2, 3, 4], Dtype::Float32)?;
    /// assert_eq!(fft::rfftn(&x, &fft::NdOptions::default())?.shape(), [2, 3, 3]);
    /// # Ok(()) }
    /// ```
    rfftn => mlx_fft_rfftn, Result, default None, dtype "any → complex64";

    /// The inverse of [`rfftn`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, fft};
    /// let spectrum = Array::ones(&[2, 3, 3], Dtype::Complex64)?;
    /// assert_eq!(fft::irfftn(&spectrum, &fft::NdOptions::default())?.shape(), [2, 3, 4]);
    /// # Ok(()) }
    /// ```
    irfftn => mlx_fft_irfftn, Input, default None, dtype "any → float32";
}

/// The frequencies that [`fft`] of `n` samples gives coefficients for: `[0, 1, .., −2, −1] / (n · d)`.
///
/// - `d`: the time from one sample to the next
/// - shape: `[n]`
/// - dtype: float32
/// - source: `mlx_fft_fftfreq`
///
/// # Errors
/// [`Error::Argument`] when `n` is not positive or `d` is 0 or not finite.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// let hertz = mlx_core::fft::fftfreq(4, 0.5)?;
/// assert_eq!(hertz.to_vec::<f32>()?, [0.0, 0.5, -1.0, -0.5]);
/// # Ok(()) }
/// ```
pub fn fftfreq(n: i32, d: f64) -> Result<Array> {
    check_samples("fftfreq", n, d)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_fft_fftfreq(n, d, stream())) }
}

/// The frequencies that [`rfft`] of `n` samples gives coefficients for: `[0, 1, .., n / 2] / (n · d)`.
///
/// - `d`: the time from one sample to the next
/// - shape: `[n / 2 + 1]`
/// - dtype: float32
/// - source: `mlx_fft_rfftfreq`
///
/// # Errors
/// [`Error::Argument`] when `n` is not positive or `d` is 0 or not finite.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// let hertz = mlx_core::fft::rfftfreq(4, 0.5)?;
/// assert_eq!(hertz.to_vec::<f32>()?, [0.0, 0.5, 1.0]);
/// # Ok(()) }
/// ```
pub fn rfftfreq(n: i32, d: f64) -> Result<Array> {
    check_samples("rfftfreq", n, d)?;
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_fft_rfftfreq(n, d, stream())) }
}

fn check_samples(op: &'static str, n: i32, d: f64) -> Result<()> {
    // Beyond this the library's own count overflows.
    if !(1..=i32::MAX / 2).contains(&n) {
        return Err(Error::argument(op, "n", format!("expected 1 to {}, found {n}", i32::MAX / 2)));
    }
    if d == 0.0 || !d.is_finite() {
        return Err(Error::argument(op, "d", format!("expected a finite time other than 0, found {d}")));
    }
    fits(op, &[n], Dtype::Float32)
}

/// `x` with the coefficient of frequency 0 moved from the front of each axis to its middle.
///
/// - `axes`: those to move along, or all
/// - shape, dtype: kept
/// - source: `mlx_fft_fftshift`
///
/// # Errors
/// [`Error::Argument`] when an axis is out of range or named twice.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::fft;
/// let rising = fft::fftshift(&fft::fftfreq(4, 0.25)?, None)?;
/// assert_eq!(rising.to_vec::<f32>()?, [-2.0, -1.0, 0.0, 1.0]);
/// # Ok(()) }
/// ```
pub fn fftshift(x: &Array, axes: Option<&[i32]>) -> Result<Array> {
    let axes = shifted_axes("fftshift", x, axes)?;
    if axes.is_empty() || x.size() == 0 {
        return Ok(x.clone());
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_fft_fftshift(x.as_raw(), axes.as_ptr(), axes.len(), stream())) }
}

/// The inverse of [`fftshift`], which it differs from where an axis is odd.
///
/// - `axes`: those to move along, or all
/// - shape, dtype: kept
/// - source: `mlx_fft_ifftshift`
///
/// # Errors
/// [`Error::Argument`] when an axis is out of range or named twice.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, fft};
/// let x = Array::from_slice(&[0, 1, 2, 3, 4], &[5])?;
/// assert_eq!(fft::fftshift(&x, None)?.to_vec::<i32>()?, [3, 4, 0, 1, 2]);
/// assert_eq!(fft::ifftshift(&x, Some(&[0]))?.to_vec::<i32>()?, [2, 3, 4, 0, 1]);
/// # Ok(()) }
/// ```
pub fn ifftshift(x: &Array, axes: Option<&[i32]>) -> Result<Array> {
    let axes = shifted_axes("ifftshift", x, axes)?;
    if axes.is_empty() || x.size() == 0 {
        return Ok(x.clone());
    }
    // SAFETY: op contract.
    unsafe { call!(Array = mlx_fft_ifftshift(x.as_raw(), axes.as_ptr(), axes.len(), stream())) }
}

fn shifted_axes(op: &'static str, x: &Array, axes: Option<&[i32]>) -> Result<Vec<i32>> {
    let all = (0..).take(x.ndim());
    let axes: Vec<i32> = axes.map_or_else(|| all.collect(), <[i32]>::to_vec);
    let places = axes.iter().map(|&axis| axis_of(op, axis, x.ndim())).collect::<Result<Vec<_>>>()?;
    if places.iter().enumerate().any(|(i, place)| places.iter().take(i).any(|other| other == place)) {
        return Err(Error::argument(op, "axes", format!("an axis is named twice in {axes:?}")));
    }
    Ok(axes)
}
