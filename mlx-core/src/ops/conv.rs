// SPDX-License-Identifier: EUPL-1.2
//! Convolutions over one, two or three spatial axes, with the channels last.
//!
//! Input and result are `[batch, space.., channels]`, a weight is `[channels out, space.., channels in / groups]`. As
//! everywhere in machine learning the kernel is not turned round: `out[i] = Σ_k input[i · stride + k · dilation] · weight[k]`,
//! summed over the channels of a group too. [`Array::conv_general`] has a switch that turns it.
//!
//! **How they are computed.** MLX's processor kernels write outside their buffers for some paddings of dilated kernels,
//! divide by the number of channels or groups unchecked, and take a kernel that is longer than its input for one that
//! fits. Its gradient by the input is wrong, or reads foreign memory, where the padding differs between the two ends or
//! is longer than the kernel. So on the processor a convolution is made of plain ops here: the places under each element
//! of the kernel side by side, and one matrix product. Elsewhere MLX's kernels are used, with what they cannot
//! differentiate taken out of their hands first: such a padding is added to the input, and an input that is spread out
//! gets its zeros beforehand.

use crate::device::{on_cpu, stream};
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::node::fits;
use crate::{Array, Dtype, concatenate};

/// How [`Array::conv1d`], [`Array::conv2d`] and [`Array::conv3d`] move over their `N` spatial axes.
///
/// # Examples
/// ```
/// use mlx_core::ConvOptions;
/// let halving = ConvOptions::<2> { stride: [2, 2], padding: [1, 1], ..Default::default() };
/// assert_eq!((halving.dilation, halving.groups), ([1, 1], 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions<const N: usize> {
    /// How far it is from one place of the result to the next; 1 by default.
    pub stride: [i32; N],
    /// How many zeros there are at either end; negative to leave places out. 0 by default.
    pub padding: [i32; N],
    /// How far it is from one element of the kernel to the next; 1 by default.
    pub dilation: [i32; N],
    /// Into how many parts the channels are split that do not see each other; 1 by default.
    pub groups: i32,
}

impl<const N: usize> Default for ConvOptions<N> {
    fn default() -> Self {
        Self { stride: [1; N], padding: [0; N], dilation: [1; N], groups: 1 }
    }
}

/// How [`Array::conv_transpose1d`], [`Array::conv_transpose2d`] and [`Array::conv_transpose3d`] move over their `N`
/// spatial axes.
///
/// The first four are those of the convolution that is transposed.
///
/// # Examples
/// ```
/// use mlx_core::ConvTransposeOptions;
/// let doubling = ConvTransposeOptions::<1> { stride: [2], ..Default::default() };
/// assert_eq!(doubling.output_padding, [0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTransposeOptions<const N: usize> {
    /// How far the input's places come to lie apart; 1 by default.
    pub stride: [i32; N],
    /// How many places of the result are left out at either end; negative for more of them. 0 by default.
    pub padding: [i32; N],
    /// How far it is from one element of the kernel to the next; 1 by default.
    pub dilation: [i32; N],
    /// How many places are added at the end: several lengths shrink to the same one by a stride, and this says which
    /// one is wanted back. 0 by default.
    pub output_padding: [i32; N],
    /// Into how many parts the channels are split that do not see each other; 1 by default.
    pub groups: i32,
}

impl<const N: usize> Default for ConvTransposeOptions<N> {
    fn default() -> Self {
        Self { stride: [1; N], padding: [0; N], dilation: [1; N], output_padding: [0; N], groups: 1 }
    }
}

/// Everything that a convolution can be told. Each list has one number for each spatial axis, or one for all of them.
///
/// # Examples
/// ```
/// use mlx_core::ConvGeneralOptions;
/// // As long a result as the input, of which no place sees a later one.
/// let causal = ConvGeneralOptions { padding_low: &[2], ..Default::default() };
/// assert_eq!(causal.padding_high, [0]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvGeneralOptions<'a> {
    /// How far it is from one place of the result to the next; 1 by default.
    pub stride: &'a [i32],
    /// How many zeros there are before the first place; negative to leave places out. 0 by default.
    pub padding_low: &'a [i32],
    /// How many zeros there are behind the last place; negative to leave places out. 0 by default.
    pub padding_high: &'a [i32],
    /// How far it is from one element of the kernel to the next; 1 by default.
    pub kernel_dilation: &'a [i32],
    /// How far the input's places come to lie apart, with zeros between; 1 by default.
    pub input_dilation: &'a [i32],
    /// Into how many parts the channels are split that do not see each other; 1 by default.
    pub groups: i32,
    /// Whether the kernel is turned round along its spatial axes, as in the convolution of mathematics.
    pub flip: bool,
}

impl Default for ConvGeneralOptions<'_> {
    fn default() -> Self {
        Self {
            stride: &[1],
            padding_low: &[0],
            padding_high: &[0],
            kernel_dilation: &[1],
            input_dilation: &[1],
            groups: 1,
            flip: false,
        }
    }
}

impl Array {
    /// The convolution along one axis: see [`ConvOptions`].
    ///
    /// - shape: `[B, L, C]`, weight `[O, K, C / groups]` → `[B, (L + 2 · padding − dilation · (K − 1) − 1) / stride + 1, O]`,
    ///   rounded down
    /// - dtype: floating, the common one of both
    /// - source: `mlx_conv1d`
    ///
    /// # Errors
    /// [`Error::Argument`] when an operand is not floating, a stride or dilation is not positive, or the groups do not divide the channels,
    /// [`Error::Shape`] when the shapes do not fit or the kernel is longer than the input with its padding.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, ConvOptions};
    /// let signal = Array::from_slice(&[1.0f32, 4.0, 9.0, 16.0], &[1, 4, 1])?;
    /// let difference = Array::from_slice(&[-1.0f32, 1.0], &[1, 2, 1])?;
    /// let steps = signal.conv1d(&difference, &ConvOptions::default())?;
    /// assert_eq!(steps.shape(), [1, 3, 1]);
    /// assert_eq!(steps.to_vec::<f32>()?, [3.0, 5.0, 7.0]);
    /// # Ok(()) }
    /// ```
    pub fn conv1d(&self, weight: &Array, options: &ConvOptions<1>) -> Result<Array> {
        conv("conv1d", self, weight, options)
    }

    /// The convolution along two axes: see [`ConvOptions`].
    ///
    /// - shape: `[B, H, W, C]`, weight `[O, K, K, C / groups]` → `[B, .., .., O]`, each length as for [`Array::conv1d`]
    /// - dtype: floating, the common one of both
    /// - source: `mlx_conv2d`
    ///
    /// # Errors
    /// As [`Array::conv1d`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, ConvOptions, Dtype};
    /// let image = Array::ones(&[1, 4, 4, 1], Dtype::Float32)?;
    /// let kernel = Array::ones(&[1, 3, 3, 1], Dtype::Float32)?;
    /// let sums = image.conv2d(&kernel, &ConvOptions { padding: [1, 1], stride: [3, 3], ..Default::default() })?;
    /// // What lies on the border sees zeros beyond it.
    /// assert_eq!(sums.to_vec::<f32>()?, [4.0, 4.0, 4.0, 4.0]);
    /// # Ok(()) }
    /// ```
    pub fn conv2d(&self, weight: &Array, options: &ConvOptions<2>) -> Result<Array> {
        conv("conv2d", self, weight, options)
    }

    /// The convolution along three axes: see [`ConvOptions`].
    ///
    /// - shape: `[B, D, H, W, C]`, weight `[O, K, K, K, C / groups]` → `[B, .., .., .., O]`, each length as for [`Array::conv1d`]
    /// - dtype: floating, the common one of both
    /// - source: `mlx_conv3d`
    ///
    /// # Errors
    /// As [`Array::conv1d`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, ConvOptions, Dtype};
    /// let frames = Array::ones(&[1, 2, 4, 4, 3], Dtype::Float32)?;
    /// let patches = Array::ones(&[8, 2, 2, 2, 3], Dtype::Float32)?;
    /// let embedded = frames.conv3d(&patches, &ConvOptions { stride: [2, 2, 2], ..Default::default() })?;
    /// assert_eq!(embedded.shape(), [1, 1, 2, 2, 8]);
    /// # Ok(()) }
    /// ```
    pub fn conv3d(&self, weight: &Array, options: &ConvOptions<3>) -> Result<Array> {
        conv("conv3d", self, weight, options)
    }

    /// The transpose of a convolution along one axis: each place of the input adds its multiple of the kernel to the result. See
    /// [`ConvTransposeOptions`].
    ///
    /// - shape: `[B, L, C]`, weight `[O, K, C / groups]` →
    ///   `[B, (L − 1) · stride − 2 · padding + dilation · (K − 1) + output_padding + 1, O]`
    /// - dtype: floating, the common one of both
    /// - source: `mlx_conv_transpose1d`
    ///
    /// # Errors
    /// As [`Array::conv1d`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, ConvTransposeOptions};
    /// let few = Array::from_slice(&[1.0f32, 2.0], &[1, 2, 1])?;
    /// let kernel = Array::from_slice(&[1.0f32, 10.0, 100.0], &[1, 3, 1])?;
    /// let more = few.conv_transpose1d(&kernel, &ConvTransposeOptions { stride: [2], ..Default::default() })?;
    /// assert_eq!(more.to_vec::<f32>()?, [1.0, 10.0, 102.0, 20.0, 200.0]);
    /// # Ok(()) }
    /// ```
    pub fn conv_transpose1d(&self, weight: &Array, options: &ConvTransposeOptions<1>) -> Result<Array> {
        conv_transpose("conv_transpose1d", self, weight, options)
    }

    /// The transpose of a convolution along two axes: see [`ConvTransposeOptions`].
    ///
    /// - shape: `[B, H, W, C]`, weight `[O, K, K, C / groups]` → `[B, .., .., O]`, each length as for
    ///   [`Array::conv_transpose1d`]
    /// - dtype: floating, the common one of both
    /// - source: `mlx_conv_transpose2d`
    ///
    /// # Errors
    /// As [`Array::conv1d`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, ConvTransposeOptions, Dtype};
    /// let image = Array::ones(&[1, 4, 4, 2], Dtype::Float32)?;
    /// let kernel = Array::ones(&[3, 2, 2, 2], Dtype::Float32)?;
    /// let large = image.conv_transpose2d(&kernel, &ConvTransposeOptions { stride: [2, 2], ..Default::default() })?;
    /// assert_eq!(large.shape(), [1, 8, 8, 3]);
    /// # Ok(()) }
    /// ```
    pub fn conv_transpose2d(&self, weight: &Array, options: &ConvTransposeOptions<2>) -> Result<Array> {
        conv_transpose("conv_transpose2d", self, weight, options)
    }

    /// The transpose of a convolution along three axes: see [`ConvTransposeOptions`].
    ///
    /// - shape: `[B, D, H, W, C]`, weight `[O, K, K, K, C / groups]` → `[B, .., .., .., O]`, each length as for
    ///   [`Array::conv_transpose1d`]
    /// - dtype: floating, the common one of both
    /// - source: `mlx_conv_transpose3d`
    ///
    /// # Errors
    /// As [`Array::conv1d`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, ConvTransposeOptions, Dtype};
    /// let volume = Array::ones(&[1, 2, 2, 2, 1], Dtype::Float32)?;
    /// let kernel = Array::ones(&[1, 2, 2, 2, 1], Dtype::Float32)?;
    /// let larger = volume.conv_transpose3d(&kernel, &ConvTransposeOptions::default())?;
    /// assert_eq!(larger.shape(), [1, 3, 3, 3, 1]);
    /// # Ok(()) }
    /// ```
    pub fn conv_transpose3d(&self, weight: &Array, options: &ConvTransposeOptions<3>) -> Result<Array> {
        conv_transpose("conv_transpose3d", self, weight, options)
    }

    /// The convolution along one, two or three axes with everything that it can be told: see [`ConvGeneralOptions`].
    ///
    /// The input is spread out first, then padded: a negative padding leaves out places of the input with its zeros.
    ///
    /// - shape: `[B, L.., C]`, weight `[O, K.., C / groups]` → `[B, .., O]`, each length as for [`Array::conv1d`] of an input
    ///   of `(L − 1) · input_dilation + 1 + padding_low + padding_high`
    /// - dtype: floating, the common one of both
    /// - source: `mlx_conv_general`
    ///
    /// # Errors
    /// As [`Array::conv1d`]; [`Error::Argument`] when a list has neither one number nor one for each axis.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, ConvGeneralOptions};
    /// let signal = Array::from_slice(&[1.0f32, 2.0, 3.0], &[1, 3, 1])?;
    /// let kernel = Array::from_slice(&[10.0f32, 1.0], &[1, 2, 1])?;
    /// let causal = ConvGeneralOptions { padding_low: &[1], ..Default::default() };
    /// assert_eq!(signal.conv_general(&kernel, &causal)?.to_vec::<f32>()?, [1.0, 12.0, 23.0]);
    /// let turned = ConvGeneralOptions { flip: true, ..causal };
    /// assert_eq!(signal.conv_general(&kernel, &turned)?.to_vec::<f32>()?, [10.0, 21.0, 32.0]);
    /// # Ok(()) }
    /// ```
    pub fn conv_general(&self, weight: &Array, options: &ConvGeneralOptions<'_>) -> Result<Array> {
        const OP: &str = "conv_general";
        let axes = self.ndim().saturating_sub(2);
        let each = |name: &'static str, list: &[i32]| match *list {
            [one] => Ok(vec![one; axes]),
            _ if list.len() == axes => Ok(list.to_vec()),
            _ => {
                let message = format!("expected one number, or one for each of {axes} axes, found {list:?}");
                Err(Error::argument(OP, name, message))
            }
        };
        let wide = |list: Vec<i32>| list.into_iter().map(i64::from).collect();
        let conv = Conv {
            stride: each("stride", options.stride)?,
            low: wide(each("padding_low", options.padding_low)?),
            high: wide(each("padding_high", options.padding_high)?),
            dilation: each("kernel_dilation", options.kernel_dilation)?,
            spread: each("input_dilation", options.input_dilation)?,
            groups: options.groups,
            flip: options.flip,
        };
        conv.apply(OP, self, weight)
    }
}

fn conv<const N: usize>(
    op: &'static str,
    input: &Array,
    weight: &Array,
    options: &ConvOptions<N>,
) -> Result<Array> {
    expect_axes(op, input, N)?;
    let padding = options.padding.map(i64::from).to_vec();
    let conv = Conv {
        stride: options.stride.to_vec(),
        low: padding.clone(),
        high: padding,
        dilation: options.dilation.to_vec(),
        spread: vec![1; N],
        groups: options.groups,
        flip: false,
    };
    conv.apply(op, input, weight)
}

fn conv_transpose<const N: usize>(
    op: &'static str,
    input: &Array,
    weight: &Array,
    options: &ConvTransposeOptions<N>,
) -> Result<Array> {
    expect_axes(op, input, N)?;
    expect_axes(op, weight, N)?;
    let lengths = weight.shape().iter().skip(1).zip(options.dilation);
    let low: Vec<i64> = lengths
        .zip(options.padding)
        .map(|((&length, dilation), padding)| extent(length, dilation) - 1 - i64::from(padding))
        .collect();
    let high = low.iter().zip(options.output_padding).map(|(low, more)| low + i64::from(more)).collect();
    let conv = Conv {
        stride: vec![1; N],
        low,
        high,
        dilation: options.dilation.to_vec(),
        spread: options.stride.to_vec(),
        groups: options.groups,
        flip: true,
    };
    conv.apply(op, input, weight)
}

fn expect_axes(op: &'static str, array: &Array, spatial: usize) -> Result<()> {
    if array.ndim() == spatial + 2 {
        return Ok(());
    }
    let message = format!("expected {} axes, {spatial} of them spatial, found {array:?}", spatial + 2);
    Err(Error::shape(op, message))
}

/// How many places an axis of `length` takes when its places lie `apart`.
fn extent(length: i32, apart: i32) -> i64 {
    if length == 0 { 0 } else { (i64::from(length) - 1) * i64::from(apart) + 1 }
}

/// One number for each spatial axis.
struct Conv {
    stride: Vec<i32>,
    low: Vec<i64>,
    high: Vec<i64>,
    dilation: Vec<i32>,
    /// How far the places of the input come to lie apart.
    spread: Vec<i32>,
    groups: i32,
    flip: bool,
}

impl Conv {
    fn apply(&self, op: &'static str, input: &Array, weight: &Array) -> Result<Array> {
        let (space, dtype) = self.check(op, input, weight)?;
        let (batch, out) = (input.dim(0)?, weight.dim(0)?);
        let shape = [&[batch], &space[..], &[out]].concat();
        fits(op, &shape, dtype)?;
        if input.size() == 0 || weight.size() == 0 {
            return Array::zeros(&shape, dtype);
        }
        let (input, weight) = (input.astype(dtype)?, weight.astype(dtype)?);
        if on_cpu() {
            let weight = if self.flip { turned(&weight)? } else { weight };
            return self.unfolded(op, &self.padded(op, &input)?, &weight, &space);
        }
        if self.groups > 1 && space.len() == 3 {
            return self.by_group(op, &input, &weight);
        }
        self.native(op, &input, &weight)
    }

    /// The lengths of the result's spatial axes, and its dtype.
    fn check(&self, op: &'static str, input: &Array, weight: &Array) -> Result<(Vec<i32>, Dtype)> {
        let (shape, kernel) = (input.shape(), weight.shape());
        if !(3..=5).contains(&shape.len()) || kernel.len() != shape.len() {
            let message = format!(
                "expected one to three spatial axes between the first and the last, found {shape:?} and a weight of {kernel:?}"
            );
            return Err(Error::shape(op, message));
        }
        let dtype = match (input.dtype(), weight.dtype()) {
            (a, b) if !a.is_float() || !b.is_float() => {
                let message = format!("expected floating dtypes, found {a} and a weight of {b}");
                return Err(Error::argument(op, "dtype", message));
            }
            (a, b) if a == b => a,
            (Dtype::Float64, _) | (_, Dtype::Float64) => Dtype::Float64,
            _ => Dtype::Float32,
        };
        let lists =
            [("stride", &self.stride), ("dilation", &self.dilation), ("input dilation", &self.spread)];
        if let Some((name, list)) = lists.into_iter().find(|(_, list)| list.iter().any(|&n| n < 1)) {
            return Err(Error::argument(
                op,
                "options",
                format!("expected a positive {name}, found {list:?}"),
            ));
        }
        let (channels, own, out) = (input.dim(-1)?, weight.dim(-1)?, weight.dim(0)?);
        let groups = self.groups;
        if groups < 1 || channels % groups != 0 || out % groups != 0 {
            let message =
                format!("{groups} do not divide {channels} channels of the input and {out} of the result");
            return Err(Error::argument(op, "groups", message));
        }
        if channels / groups != own {
            let message = format!(
                "a weight of {kernel:?} is for {own} channels a group, and {shape:?} has {channels} in {groups}"
            );
            return Err(Error::shape(op, message));
        }
        let mut space = Vec::with_capacity(self.stride.len());
        for (axis, (&length, &places)) in shape.iter().zip(kernel).skip(1).take(self.stride.len()).enumerate()
        {
            let spread = extent(length, self.spread[axis]);
            let (low, high) = (self.low[axis], self.high[axis]);
            let (input, kernel) = (spread + low + high, extent(places, self.dilation[axis]));
            if low.min(0) + high.min(0) + spread < 0 {
                let message = format!("a padding of {low} and {high} leaves out more than {spread} places");
                return Err(Error::shape(op, message));
            }
            if places < 1 || input < kernel {
                let message =
                    format!("a kernel of {kernel} places does not fit into {input}, padding included");
                return Err(Error::shape(op, message));
            }
            let steps = (input - kernel) / i64::from(self.stride[axis]) + 1;
            space.push(
                i32::try_from(steps).map_err(|_| {
                    Error::shape(op, format!("{steps} places are more than an axis can have"))
                })?,
            );
        }
        Ok((space, dtype))
    }

    /// `input` as the kernel sees it: spread out and padded.
    fn padded(&self, op: &'static str, input: &Array) -> Result<Array> {
        let mut input = input.clone();
        for (axis, &apart) in (1..).zip(&self.spread) {
            input = spread_out(op, &input, axis, apart)?;
        }
        let short = |n: i64| {
            i32::try_from(n)
                .map_err(|_| Error::shape(op, format!("a padding of {n} is too long for an axis")))
        };
        let (mut start, mut stop) = (vec![0; input.ndim()], input.shape().to_vec());
        let mut widths = vec![(0, 0); input.ndim()];
        for (axis, (&low, &high)) in (1..).zip(self.low.iter().zip(&self.high)) {
            start[axis] = short(-low.min(0))?;
            stop[axis] += short(high.min(0))?;
            widths[axis] = (short(low.max(0))?, short(high.max(0))?);
        }
        let input = input.slice(&start, &stop)?;
        if widths.iter().all(|&width| width == (0, 0)) { Ok(input) } else { input.pad(&widths, 0.0) }
    }

    /// The convolution as a product of matrices; `input` is padded, and the kernel is not turned.
    fn unfolded(&self, op: &'static str, input: &Array, weight: &Array, space: &[i32]) -> Result<Array> {
        let kernel = &weight.shape()[1..=space.len()];
        let (channels, own, out) = (input.dim(-1)?, weight.dim(-1)?, weight.dim(0)?);
        // What lies under one element of the kernel at every step.
        let under = |input: &Array, place: &[i32]| {
            let (mut start, mut stop) = (vec![0; input.ndim()], input.shape().to_vec());
            let mut strides = vec![1; input.ndim()];
            for axis in 0..space.len() {
                // The last step ends within the input, so nothing here exceeds the length of an axis.
                start[axis + 1] = place[axis] * self.dilation[axis];
                stop[axis + 1] = start[axis + 1] + (space[axis] - 1) * self.stride[axis] + 1;
                strides[axis + 1] = self.stride[axis];
            }
            input.slice_strided(&start, &stop, &strides)
        };
        let count = kernel.iter().try_fold(1i32, |count, &length| count.checked_mul(length));
        let width = count.and_then(|count| count.checked_mul(channels));
        let (Some(count), Some(width)) = (count, width) else {
            return Err(Error::shape(
                op,
                format!("a kernel of {kernel:?} for {channels} channels is too large"),
            ));
        };
        if self.groups > 1 && own == 1 && out == channels && count <= MOST_DEPTHWISE {
            return depthwise(input, weight, &places(kernel), under);
        }
        let shape = [&[input.dim(0)?], space, &[width]].concat();
        fits(op, &shape, input.dtype())?;
        let patches = if count <= MOST_PARTS {
            let parts = places(kernel).iter().map(|place| under(input, place)).collect::<Result<Vec<_>>>()?;
            match parts.as_slice() {
                [one] => one.clone(),
                several => concatenate(&several.iter().collect::<Vec<_>>(), -1)?,
            }
        } else {
            self.strided(input, kernel, space)?.reshape(&shape)?
        };
        if self.groups == 1 {
            return patches.matmul(&weight.reshape(&[out, -1])?.transpose()?);
        }
        let groups = self.groups;
        let shape = [&patches.shape()[..=space.len()], &[out]].concat();
        let patches = patches.reshape(&[-1, count, groups, own])?.transpose_axes(&[2, 0, 1, 3])?;
        let patches = patches.flatten(2, 3)?;
        let weight = weight.reshape(&[groups, out / groups, -1])?.swap_axes(1, 2)?;
        patches.matmul(&weight)?.swap_axes(0, 1)?.reshape(&shape)
    }

    /// What lies under the kernel at every step, as one view: `[batch, space.., kernel.., channels]`.
    fn strided(&self, input: &Array, kernel: &[i32], space: &[i32]) -> Result<Array> {
        let mut strides = vec![1i64; input.ndim()];
        for axis in (1..input.ndim()).rev() {
            strides[axis - 1] = strides[axis] * i64::from(input.shape()[axis]);
        }
        let own = &strides[1..=space.len()];
        let shape = [&input.shape()[..1], space, kernel, &[input.dim(-1)?]].concat();
        let steps = own.iter().zip(&self.stride).map(|(own, &step)| own * i64::from(step));
        let apart = own.iter().zip(&self.dilation).map(|(own, &apart)| own * i64::from(apart));
        let strides: Vec<i64> = [strides[0]].into_iter().chain(steps).chain(apart).chain([1]).collect();
        input.as_strided(&shape, &strides, 0)
    }

    /// One convolution for each group, where MLX knows of one group only.
    fn by_group(&self, op: &'static str, input: &Array, weight: &Array) -> Result<Array> {
        let one = Conv {
            stride: self.stride.clone(),
            low: self.low.clone(),
            high: self.high.clone(),
            dilation: self.dilation.clone(),
            spread: self.spread.clone(),
            groups: 1,
            flip: self.flip,
        };
        let (inputs, weights) = (input.split(self.groups, -1)?, weight.split(self.groups, 0)?);
        let results = inputs.iter().zip(&weights).map(|(input, weight)| one.native(op, input, weight));
        let results = results.collect::<Result<Vec<_>>>()?;
        concatenate(&results.iter().collect::<Vec<_>>(), -1)
    }

    /// MLX's own convolution, of which it can give the gradient.
    fn native(&self, op: &'static str, input: &Array, weight: &Array) -> Result<Array> {
        let kernel = weight.shape().iter().skip(1).zip(&self.dilation);
        let padding = self.low.iter().zip(&self.high);
        let even = padding
            .zip(kernel)
            .all(|((low, high), (&k, &dilation))| low == high && (0..extent(k, dilation)).contains(low));
        let is_spread = self.spread.iter().any(|&n| n > 1);
        let prepared = !even || (is_spread && self.stride.iter().any(|&n| n > 1));
        let axes = self.stride.len();
        let (none, ones) = (vec![0i32; axes], vec![1i32; axes]);
        let (input, padding, spread) = if prepared {
            (self.padded(op, input)?, none, &ones)
        } else {
            let low = self.low.iter().filter_map(|&n| i32::try_from(n).ok()).collect();
            (input.clone(), low, &self.spread)
        };
        // SAFETY: op contract. Each list has one number for each spatial axis, the groups divide the channels, and the
        // kernel has at least one place and fits into the input.
        unsafe {
            call!(
                Array = mlx_conv_general(
                    input.as_raw(),
                    weight.as_raw(),
                    self.stride.as_ptr(),
                    axes,
                    padding.as_ptr(),
                    axes,
                    padding.as_ptr(),
                    axes,
                    self.dilation.as_ptr(),
                    axes,
                    spread.as_ptr(),
                    axes,
                    self.groups,
                    self.flip,
                    stream(),
                )
            )
        }
    }
}

/// The most elements of a kernel that are multiplied in one by one where each channel has a kernel of its own.
const MOST_DEPTHWISE: i32 = 256;

/// The most elements of a kernel whose places are put side by side one by one. One view that overlaps itself is made of
/// more, and the derivative of that is slow.
const MOST_PARTS: i32 = 4096;

/// The convolution of each channel with a kernel of its own, in float32 at least.
fn depthwise(
    input: &Array,
    weight: &Array,
    places: &[Vec<i32>],
    under: impl Fn(&Array, &[i32]) -> Result<Array>,
) -> Result<Array> {
    let dtype = input.dtype();
    let wide = if dtype == Dtype::Float64 { dtype } else { Dtype::Float32 };
    let input = input.astype(wide)?;
    let weight = weight.astype(wide)?.reshape(&[weight.dim(0)?, -1])?.transpose()?;
    let mut sum: Option<Array> = None;
    for (row, place) in (0..).zip(places) {
        let product = (&under(&input, place)? * &weight.index(row)?)?;
        sum = Some(match sum {
            Some(sum) => (&sum + &product)?,
            None => product,
        });
    }
    sum.ok_or_else(|| Error::shape("conv", "a kernel without elements"))?.astype(dtype)
}

/// Every place of a kernel, in row-major order.
fn places(kernel: &[i32]) -> Vec<Vec<i32>> {
    kernel.iter().fold(vec![vec![]], |before, &length| {
        let longer = |place: &Vec<i32>, next| [&place[..], &[next]].concat();
        before.iter().flat_map(|place| (0..length).map(move |next| longer(place, next))).collect()
    })
}

/// A weight with its kernel turned round along every spatial axis.
fn turned(weight: &Array) -> Result<Array> {
    let mut indices = vec![crate::step(.., -1); weight.ndim()];
    for index in [0, weight.ndim() - 1] {
        indices[index] = (..).into();
    }
    weight.index(indices)
}

/// The places of `axis` so far apart, with zeros between; the axis has at least one place.
fn spread_out(op: &'static str, input: &Array, axis: i32, apart: i32) -> Result<Array> {
    let length = input.dim(axis)?;
    if apart == 1 || length == 1 {
        return Ok(input.clone());
    }
    let spread = i32::try_from(extent(length, apart))
        .ok()
        .filter(|_| length.checked_mul(apart).is_some())
        .ok_or_else(|| Error::shape(op, format!("{length} places, {apart} apart, are too long an axis")))?;
    let split = input.expand_dims(axis + 1)?;
    let mut widths = vec![(0, 0); split.ndim()];
    if let Some(width) = usize::try_from(axis + 1).ok().and_then(|place| widths.get_mut(place)) {
        *width = (0, apart - 1);
    }
    split.pad(&widths, 0.0)?.flatten(axis, axis + 1)?.slice_axis(axis, 0, spread)
}
