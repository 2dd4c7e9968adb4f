// SPDX-License-Identifier: EUPL-1.2
//! Convolutions and their transposes over one, two or three spatial axes, with the channels last.
//!
//! Letters for shapes: B batch, L, or D, H and W, the spatial axes, K a kernel's, C channels in and O channels out.

use mlx_core::random::{self, Key};
use mlx_core::{Array, ConvOptions, ConvTransposeOptions, Dtype};

use crate::error::{Error, Result, positive};
use crate::matrix::like;
use crate::module;

/// A convolution over `N` spatial axes: [`Conv1d`], [`Conv2d`] or [`Conv3d`].
///
/// Parameters: `weight` `[O, K.., C / groups]` and, where there is one, `bias` `[O]`.
#[derive(Clone, Debug)]
pub struct Conv<const N: usize> {
    weight: Array,
    bias: Option<Array>,
    options: ConvOptions<N>,
}

/// A convolution of sequences.
pub type Conv1d = Conv<1>;
/// A convolution of images.
pub type Conv2d = Conv<2>;
/// A convolution of volumes.
pub type Conv3d = Conv<3>;

module!(Conv<1> { weight, bias });
module!(Conv<2> { weight, bias });
module!(Conv<3> { weight, bias });

impl<const N: usize> Conv<N> {
    /// A convolution from `inputs` to `outputs` channels. The weight is uniform in `±1/√(C · K ..)`, drawn lazily from
    /// `key` in float32, and the bias zero where there is one.
    ///
    /// # Errors
    /// [`Error::Config`] when channels, a kernel's length, a stride, a dilation or the groups are not positive, a
    /// padding is negative, or the groups do not divide the channels.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, ConvOptions, Dtype, random::Key};
    /// use mlx_nn::Conv2d;
    ///
    /// let halving = ConvOptions { stride: [2, 2], padding: [1, 1], ..Default::default() };
    /// let conv = Conv2d::new(3, 8, [3, 3], halving, true, &Key::new(0)?)?;
    /// assert_eq!(conv.forward(&Array::ones(&[1, 8, 6, 3], Dtype::Float32)?)?.shape(), [1, 4, 3, 8]);
    /// # Ok(()) }
    /// ```
    pub fn new(
        inputs: i32,
        outputs: i32,
        kernel: [i32; N],
        options: ConvOptions<N>,
        bias: bool,
        key: &Key,
    ) -> Result<Self> {
        check(&options.stride, &options.padding, &options.dilation)?;
        let (weight, bias) = parameters(inputs, outputs, kernel, options.groups, bias, key)?;
        Ok(Self { weight, bias, options })
    }

    /// Stride, padding, dilation and groups.
    #[must_use]
    pub fn options(&self) -> ConvOptions<N> {
        self.options
    }
}

/// The transpose of a convolution over `N` spatial axes: [`ConvTranspose1d`], [`ConvTranspose2d`] or [`ConvTranspose3d`].
///
/// Parameters: `weight` `[O, K.., C / groups]` and, where there is one, `bias` `[O]`.
#[derive(Clone, Debug)]
pub struct ConvTranspose<const N: usize> {
    weight: Array,
    bias: Option<Array>,
    options: ConvTransposeOptions<N>,
}

/// The transpose of a convolution of sequences.
pub type ConvTranspose1d = ConvTranspose<1>;
/// The transpose of a convolution of images.
pub type ConvTranspose2d = ConvTranspose<2>;
/// The transpose of a convolution of volumes.
pub type ConvTranspose3d = ConvTranspose<3>;

module!(ConvTranspose<1> { weight, bias });
module!(ConvTranspose<2> { weight, bias });
module!(ConvTranspose<3> { weight, bias });

impl<const N: usize> ConvTranspose<N> {
    /// A transposed convolution from `inputs` to `outputs` channels, with initial values like those of [`Conv::new`].
    ///
    /// # Errors
    /// As [`Conv::new`]; [`Error::Config`] when an output padding is negative.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_nn::Result<()> {
    /// use mlx_core::{Array, ConvTransposeOptions, Dtype, random::Key};
    /// use mlx_nn::ConvTranspose1d;
    ///
    /// let doubling = ConvTransposeOptions { stride: [2], ..Default::default() };
    /// let conv = ConvTranspose1d::new(3, 8, [2], doubling, true, &Key::new(0)?)?;
    /// assert_eq!(conv.forward(&Array::ones(&[1, 5, 3], Dtype::Float32)?)?.shape(), [1, 10, 8]);
    /// # Ok(()) }
    /// ```
    pub fn new(
        inputs: i32,
        outputs: i32,
        kernel: [i32; N],
        options: ConvTransposeOptions<N>,
        bias: bool,
        key: &Key,
    ) -> Result<Self> {
        check(&options.stride, &options.padding, &options.dilation)?;
        within("output_padding", &options.output_padding, 0)?;
        let (weight, bias) = parameters(inputs, outputs, kernel, options.groups, bias, key)?;
        Ok(Self { weight, bias, options })
    }

    /// Stride, padding, dilation, output padding and groups.
    #[must_use]
    pub fn options(&self) -> ConvTransposeOptions<N> {
        self.options
    }
}

macro_rules! forward {
    ($($layer:ident<$n:literal> $op:ident $name:literal $from:literal $to:literal),+ $(,)?) => {$(
        impl $layer<$n> {
            #[doc = concat!("`", $from, "` → `", $to, "`, in the dtype of `x`; the lengths are those of [`Array::", stringify!($op), "`].")]
            ///
            /// # Errors
            /// [`Error::Input`] when `x` has another number of axes or channels, [`Error::Core`] when the kernel does
            /// not fit into it or it is not floating.
            pub fn forward(&self, x: &Array) -> Result<Array> {
                let channels = self.weight.dim(-1)?.saturating_mul(self.options.groups);
                if x.ndim() != $n + 2 || x.shape().last() != Some(&channels) {
                    let from = $from.trim_end_matches("C]");
                    return Err(Error::input($name, format!("{from}{channels}]"), x.shape()));
                }
                let y = x.$op(&self.weight, &self.options)?;
                match &self.bias {
                    Some(bias) => like((&y + bias)?, x),
                    None => like(y, x),
                }
            }
        }
    )+};
}

forward! {
    Conv<1> conv1d "conv1d" "[B, L, C]" "[B, L', O]",
    Conv<2> conv2d "conv2d" "[B, H, W, C]" "[B, H', W', O]",
    Conv<3> conv3d "conv3d" "[B, D, H, W, C]" "[B, D', H', W', O]",
    ConvTranspose<1> conv_transpose1d "transposed conv1d" "[B, L, C]" "[B, L', O]",
    ConvTranspose<2> conv_transpose2d "transposed conv2d" "[B, H, W, C]" "[B, H', W', O]",
    ConvTranspose<3> conv_transpose3d "transposed conv3d" "[B, D, H, W, C]" "[B, D', H', W', O]",
}

fn check(stride: &[i32], padding: &[i32], dilation: &[i32]) -> Result<()> {
    within("stride", stride, 1)?;
    within("padding", padding, 0)?;
    within("dilation", dilation, 1)
}

/// Checks that every number is at least `least`.
pub(crate) fn within(key: &'static str, list: &[i32], least: i32) -> Result<()> {
    match list.iter().all(|&n| n >= least) {
        true => Ok(()),
        false => Err(Error::config(key, format!("expected numbers from {least} on, found {list:?}"))),
    }
}

fn parameters(
    inputs: i32,
    outputs: i32,
    kernel: impl AsRef<[i32]>,
    groups: i32,
    bias: bool,
    key: &Key,
) -> Result<(Array, Option<Array>)> {
    let kernel = kernel.as_ref();
    let (inputs, outputs) = (positive("inputs", inputs)?, positive("outputs", outputs)?);
    within("kernel", kernel, 1)?;
    let groups = positive("groups", groups)?;
    if inputs % groups != 0 || outputs % groups != 0 {
        let message = format!("{groups} do not divide {inputs} channels in and {outputs} out");
        return Err(Error::config("groups", message));
    }
    let fan: f32 = kernel.iter().map(|&n| n as f32).product::<f32>() * inputs as f32;
    let bound = fan.sqrt().recip();
    let shape = [&[outputs], kernel, &[inputs / groups]].concat();
    let weight = random::uniform(-bound, bound, &shape, Dtype::Float32, key)?;
    let bias = if bias { Some(Array::zeros(&[outputs], Dtype::Float32)?) } else { None };
    Ok((weight, bias))
}
