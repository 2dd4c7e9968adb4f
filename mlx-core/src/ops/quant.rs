// SPDX-License-Identifier: EUPL-1.2
//! Weights in few bits, and products with them.
//!
//! A quantised matrix is stored as uint32 words that hold `32 / bits` values each (in runs that end on a word, for 3, 5
//! and 6 bits), with one scale for each group of values in a row; affine quantisation adds one bias a group.
//! MLX's kernels trust these shapes and divide by zero on empty operands, so both are seen to here.

use std::fmt;
use std::str::FromStr;

use super::gather::Bounds;
use super::linalg::count;
use super::{opt, optional_dtype, optional_int};
use crate::cpu::gather::Chosen;
use crate::device::{on_cpu, stream};
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::vector::VectorArray;
use crate::{Array, Dtype};

/// How values are mapped to few bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QuantMode {
    /// Integers with a scale and a bias for each group, in the dtype of the weights.
    #[default]
    Affine,
    /// OCP MX: 4-bit floats (E2M1) with a power of two (E8M0) for each 32.
    Mxfp4,
    /// 4-bit floats (E2M1) with an 8-bit float (E4M3) for each 16.
    Nvfp4,
    /// OCP MX: 8-bit floats (E4M3) with a power of two (E8M0) for each 32.
    Mxfp8,
}

impl QuantMode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Affine, Self::Mxfp4, Self::Nvfp4, Self::Mxfp8];

    /// The name used in configs, such as `mxfp4`; [`FromStr`] reads it.
    ///
    /// # Examples
    /// ```
    /// use mlx_core::QuantMode;
    /// assert_eq!(QuantMode::Nvfp4.name(), "nvfp4");
    /// assert_eq!("nvfp4".parse::<QuantMode>()?, QuantMode::Nvfp4);
    /// # Ok::<(), mlx_core::Error>(())
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Mxfp4 => "mxfp4",
            Self::Nvfp4 => "nvfp4",
            Self::Mxfp8 => "mxfp8",
        }
    }

    pub(super) const fn c_name(self) -> &'static std::ffi::CStr {
        match self {
            Self::Affine => c"affine",
            Self::Mxfp4 => c"mxfp4",
            Self::Nvfp4 => c"nvfp4",
            Self::Mxfp8 => c"mxfp8",
        }
    }
}

impl fmt::Display for QuantMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for QuantMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
            let message = format!("expected affine, mxfp4, nvfp4 or mxfp8, found {name:?}");
            Error::argument("quantization", "mode", message)
        })
    }
}

/// A format of quantised weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantization {
    /// Values that share a scale: 32, 64 or 128 for affine, 16 for nvfp4, 32 for the mx modes.
    pub group_size: i32,
    /// Bits of a value: 2, 3, 4, 5, 6 or 8 for affine, 4 or 8 for the others, as their names say.
    pub bits: i32,
    /// How values are mapped to bits.
    pub mode: QuantMode,
}

impl Default for Quantization {
    /// Affine, 4 bits, groups of 64.
    fn default() -> Self {
        Self { group_size: 64, bits: 4, mode: QuantMode::Affine }
    }
}

impl QuantMode {
    /// The group sizes that the mode has.
    #[must_use]
    pub const fn group_sizes(self) -> &'static [i32] {
        match self {
            Self::Affine => &[32, 64, 128],
            Self::Nvfp4 => &[16],
            Self::Mxfp4 | Self::Mxfp8 => &[32],
        }
    }

    /// The bits of a value that the mode has.
    #[must_use]
    pub const fn bits(self) -> &'static [i32] {
        match self {
            Self::Affine => &[2, 3, 4, 5, 6, 8],
            Self::Mxfp4 | Self::Nvfp4 => &[4],
            Self::Mxfp8 => &[8],
        }
    }
}

impl Quantization {
    /// The format of a mode that has only one, or the default affine one.
    ///
    /// # Examples
    /// ```
    /// use mlx_core::{QuantMode, Quantization};
    /// assert_eq!(Quantization::of(QuantMode::Nvfp4).group_size, 16);
    /// ```
    #[must_use]
    pub const fn of(mode: QuantMode) -> Self {
        let (group_size, bits) = match mode {
            QuantMode::Affine => (64, 4),
            QuantMode::Mxfp4 => (32, 4),
            QuantMode::Nvfp4 => (16, 4),
            QuantMode::Mxfp8 => (32, 8),
        };
        Self { group_size, bits, mode }
    }

    /// Checks that there is such a format.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the group size or the bits.
    ///
    /// # Examples
    /// ```
    /// use mlx_core::Quantization;
    /// assert!(Quantization { bits: 7, ..Default::default() }.validate().is_err());
    /// ```
    pub fn validate(self) -> Result<()> {
        let Self { group_size, bits, mode } = self;
        let (groups, widths) = (mode.group_sizes(), mode.bits());
        for (argument, value, allowed) in [("group_size", group_size, groups), ("bits", bits, widths)] {
            if !allowed.contains(&value) {
                let message = format!("expected one of {allowed:?} for mode {mode}, found {value}");
                return Err(Error::argument("quantization", argument, message));
            }
        }
        Ok(())
    }

    /// The dtype that scales have, where the mode fixes it.
    const fn scale_dtype(self) -> Option<Dtype> {
        match self.mode {
            QuantMode::Affine => None,
            QuantMode::Mxfp4 | QuantMode::Nvfp4 | QuantMode::Mxfp8 => Some(Dtype::Uint8),
        }
    }

    /// Values in a row of `words` packed words.
    fn values(self, words: i32) -> i64 {
        i64::from(words) * 32 / i64::from(self.bits)
    }

    /// Packed words and scales for a row of `values`, a multiple of the group size.
    fn row(self, values: i32) -> Result<(i32, i32)> {
        // Fewer words than values, so this fits.
        let words = i64::from(values) * i64::from(self.bits) / 32;
        let words = i32::try_from(words)
            .map_err(|_| Error::shape("quantize", format!("{values} are too many values")))?;
        Ok((words, values / self.group_size))
    }
}

/// What [`Array::quantize`] makes of a matrix.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The packed values, uint32, `[.., N, K · bits / 32]`.
    pub weight: Array,
    /// One scale a group, `[.., N, K / group_size]`: the dtype of the weights for affine, else uint8.
    pub scales: Array,
    /// One bias a group, like the scales; for affine only.
    pub biases: Option<Array>,
}

/// The operands of a quantised matrix, checked.
pub(super) struct Packed<'a> {
    weight: &'a Array,
    scales: &'a Array,
    biases: Option<&'a Array>,
    format: Quantization,
    /// The shape that dequantising gives.
    pub(super) shape: Vec<i32>,
}

impl<'a> Packed<'a> {
    pub(super) fn new(
        op: &'static str,
        weight: &'a Array,
        scales: &'a Array,
        biases: Option<&'a Array>,
        format: Quantization,
    ) -> Result<Self> {
        format.validate()?;
        if weight.dtype() != Dtype::Uint32 {
            let message = format!("expected uint32, found {}", weight.dtype());
            return Err(Error::argument(op, "weight", message));
        }
        let [batch @ .., rows, words] = weight.shape() else {
            let message = format!("expected two axes or more, found shape {:?}", weight.shape());
            return Err(Error::argument(op, "weight", message));
        };
        let values = format.values(*words);
        let group = i64::from(format.group_size);
        let width = i32::try_from(values)
            .ok()
            .filter(|_| values % group == 0 && i64::from(*words) * 32 == values * i64::from(format.bits));
        let Some(width) = width else {
            let message =
                format!("rows of {words} words do not hold groups of {group} values of {} bits", format.bits);
            return Err(Error::argument(op, "weight", message));
        };
        let per_group = [batch, &[*rows, width / format.group_size]].concat();
        let check = |argument: &'static str, array: &Array, dtype: Option<Dtype>| {
            if array.shape() != per_group {
                let message = format!(
                    "expected shape {per_group:?} for a weight of {:?} in {} bits and groups of {group}, found {:?}",
                    weight.shape(),
                    format.bits,
                    array.shape()
                );
                return Err(Error::argument(op, argument, message));
            }
            let found = array.dtype();
            match dtype {
                Some(dtype) if found != dtype => Err(Error::argument(
                    op,
                    argument,
                    format!("expected {dtype} for mode {}, found {found}", format.mode),
                )),
                None if !is_native(found) => Err(Error::argument(
                    op,
                    argument,
                    format!("expected float16, bfloat16 or float32, found {found}"),
                )),
                _ => Ok(()),
            }
        };
        check("scales", scales, format.scale_dtype())?;
        match (format.mode, biases) {
            (QuantMode::Affine, Some(biases)) => check("biases", biases, None)?,
            (QuantMode::Affine, None) => {
                return Err(Error::argument(op, "biases", "expected biases for mode affine, found none"));
            }
            (mode, Some(_)) => {
                return Err(Error::argument(op, "biases", format!("expected none for mode {mode}")));
            }
            (_, None) => {}
        }
        Ok(Self { weight, scales, biases, format, shape: [batch, &[*rows, width]].concat() })
    }

    /// Rows and values of one matrix as a product with it sees them.
    pub(super) fn inner_and_outer(&self, transpose: bool) -> (i32, i32) {
        match (self.shape.as_slice(), transpose) {
            (&[.., rows, width], true) => (width, rows),
            (&[.., rows, width], false) => (rows, width),
            _ => (0, 0),
        }
    }

    pub(super) fn dequantize(&self, dtype: Option<Dtype>) -> Result<Array> {
        self.dequantize_with(None, dtype)
    }

    /// With a factor that was checked, for nvfp4.
    pub(super) fn dequantize_with(&self, global: Option<&Array>, dtype: Option<Dtype>) -> Result<Array> {
        if self.weight.size() == 0 {
            let own = match (self.format.mode, global) {
                (QuantMode::Affine, _) => self.scales.dtype(),
                (_, Some(_)) => Dtype::Float32,
                (_, None) => Dtype::Bfloat16,
            };
            return Array::zeros(&self.shape, dtype.unwrap_or(own));
        }
        if self.format.mode == QuantMode::Nvfp4 && !self.weight.size().is_multiple_of(4) && on_cpu() {
            // As in quantising: 32 values at a time.
            let (weight, scales) = (one_row_more(self.weight)?, one_row_more(self.scales)?);
            let values = Packed::new("dequantize", &weight, &scales, None, self.format)?
                .dequantize_with(global, dtype)?;
            let [batch @ .., rows, _] = &self.shape[..] else { return Ok(values) };
            return one_row_less(&values, batch, *rows);
        }
        // SAFETY: op contract. The mode's name is a NUL-terminated constant; shapes and dtypes were checked.
        unsafe {
            call!(
                Array = mlx_dequantize(
                    self.weight.as_raw(),
                    self.scales.as_raw(),
                    opt(self.biases),
                    optional_int(Some(self.format.group_size)),
                    optional_int(Some(self.format.bits)),
                    self.format.mode.c_name().as_ptr(),
                    opt(global),
                    optional_dtype(dtype),
                    stream(),
                )
            )
        }
    }
}

/// How many values a row of a packed matrix holds, once its parts are seen to fit each other.
pub(crate) fn packed_width(
    op: &'static str,
    weight: &Array,
    scales: &Array,
    biases: Option<&Array>,
    format: Quantization,
) -> Result<i32> {
    Ok(Packed::new(op, weight, scales, biases, format)?.shape.last().copied().unwrap_or(0))
}

/// The rows of all matrices, and one of zeros after them.
fn one_row_more(matrices: &Array) -> Result<Array> {
    let width = matrices.shape().last().copied().unwrap_or(0);
    let zeros = Array::zeros(&[1, width], matrices.dtype())?;
    super::concatenate(&[&matrices.reshape(&[-1, width])?, &zeros], 0)
}

/// Matrices without the row that [`one_row_more`] added.
fn one_row_less(rows_of_all: &Array, batch: &[i32], rows: i32) -> Result<Array> {
    let &[count, width] = rows_of_all.shape() else { return Ok(rows_of_all.clone()) };
    rows_of_all.slice(&[0, 0], &[count - 1, width])?.reshape(&[batch, &[rows, width]].concat())
}

/// Whether MLX's CPU kernels for quantised weights know the dtype.
fn is_native(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::Float16 | Dtype::Bfloat16 | Dtype::Float32)
}

pub(super) fn check_operand(op: &'static str, argument: &'static str, x: &Array) -> Result<()> {
    if is_native(x.dtype()) {
        return Ok(());
    }
    let message = format!("expected float16, bfloat16 or float32, found {}", x.dtype());
    Err(Error::argument(op, argument, message))
}

impl Array {
    /// This matrix in few bits, row by row in groups.
    ///
    /// Affine maps each group to `0 ..= 2^bits − 1` so that its value largest in magnitude and 0 are kept well; the others round to
    /// the nearest float of their kind.
    ///
    /// - shape: `[.., N, K]`, K a multiple of the group size → see [`Quantized`]
    /// - dtype: float16, bfloat16 or float32
    /// - source: `mlx_quantize`
    ///
    /// # Errors
    /// [`Error::Argument`] when there is no such format, or the matrix does not fit it.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, Quantization, dequantize};
    /// let w = Array::ones(&[2, 64], Dtype::Float32)?;
    /// let q = Quantization::default();
    /// let packed = w.quantize(q)?;
    /// assert_eq!(packed.weight.shape(), [2, 8]);
    /// let back = dequantize(&packed.weight, &packed.scales, packed.biases.as_ref(), q, None)?;
    /// assert_eq!(back.to_vec::<f32>()?, [1.0; 128]);
    /// # Ok(()) }
    /// ```
    pub fn quantize(&self, format: Quantization) -> Result<Quantized> {
        self.quantize_with(format, None)
    }

    /// This matrix in nvfp4, with one more factor for all groups, so that their scales can use the whole range of an E4M3:
    /// a value is `code · scale · global / 2688`.
    ///
    /// - `global`: the largest magnitude of the matrix, a float32 of one element
    /// - shape, dtype: as [`Array::quantize`]
    /// - source: `mlx_quantize`
    ///
    /// # Errors
    /// As [`Array::quantize`]; [`Error::Argument`] when `global` is not such an array.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, dequantize_scaled};
    /// let w = Array::full(&[2, 32], 1e-4, Dtype::Float32)?;
    /// let global = w.abs()?.max_all()?;
    /// let packed = w.quantize_scaled(&global)?;
    /// let back = dequantize_scaled(&packed.weight, &packed.scales, &global, None)?;
    /// assert!(back.allclose(&w, 1e-3, 0.0, false)?.item::<bool>()?);
    /// # Ok(()) }
    /// ```
    pub fn quantize_scaled(&self, global: &Array) -> Result<Quantized> {
        let global = global_scale("quantize_scaled", global)?;
        self.quantize_with(Quantization::of(QuantMode::Nvfp4), Some(&global))
    }

    /// With a factor that was checked, for nvfp4.
    pub(super) fn quantize_with(&self, format: Quantization, global: Option<&Array>) -> Result<Quantized> {
        const OP: &str = "quantize";
        format.validate()?;
        check_operand(OP, "weight", self)?;
        let [batch @ .., rows, width] = self.shape() else {
            let message = format!("expected two axes or more, found shape {:?}", self.shape());
            return Err(Error::argument(OP, "weight", message));
        };
        if width % format.group_size != 0 {
            let message =
                format!("rows of {width} values do not divide into groups of {}", format.group_size);
            return Err(Error::argument(OP, "weight", message));
        }
        if self.size() == 0 {
            let (words, groups) = format.row(*width)?;
            let per_group = [batch, &[*rows, groups]].concat();
            let parameters = || Array::zeros(&per_group, format.scale_dtype().unwrap_or(self.dtype()));
            return Ok(Quantized {
                weight: Array::zeros(&[batch, &[*rows, words]].concat(), Dtype::Uint32)?,
                scales: parameters()?,
                biases: (format.mode == QuantMode::Affine).then(parameters).transpose()?,
            });
        }
        if format.mode == QuantMode::Nvfp4 && !self.size().is_multiple_of(32) && on_cpu() {
            // The library packs 32 values at a time, which an odd number of groups does not make up.
            let packed = one_row_more(self)?.quantize_with(format, global)?;
            let weight = one_row_less(&packed.weight, batch, *rows)?;
            let scales = one_row_less(&packed.scales, batch, *rows)?;
            return Ok(Quantized { weight, scales, biases: None });
        }
        // SAFETY: op contract. The mode's name is a NUL-terminated constant.
        let parts = unsafe {
            call!(
                VectorArray = mlx_quantize(
                    self.as_raw(),
                    optional_int(Some(format.group_size)),
                    optional_int(Some(format.bits)),
                    format.mode.c_name().as_ptr(),
                    opt(global),
                    stream(),
                )
            )
        }?;
        let mut parts = parts.to_arrays()?.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(weight), Some(scales), biases) => Ok(Quantized { weight, scales, biases }),
            _ => Err(Error::Mlx { op: OP, message: "expected a weight and scales".into() }),
        }
    }

    /// The product of this with a quantised matrix, which is never dequantised whole.
    ///
    /// - shape: `[.., M, K]` with a matrix of `[N, K]` when `transpose`, else `[K, N]` → `[.., M, N]`; a vector `[K]` →
    ///   `[N]`; leading axes broadcast
    /// - dtype: float16, bfloat16 or float32; for affine the common one with the scales, so activations in bfloat16
    ///   want scales in bfloat16; else kept
    /// - source: `mlx_quantized_matmul`
    ///
    /// # Errors
    /// [`Error::Argument`] when the parts of the matrix do not fit each other or the format, [`Error::Shape`] when the
    /// inner lengths differ.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, Quantization};
    /// let x = Array::ones(&[1, 64], Dtype::Float32)?;
    /// let q = Quantization::default();
    /// let w = Array::full(&[3, 64], 0.5, Dtype::Float32)?.quantize(q)?;
    /// let y = x.quantized_matmul(&w.weight, &w.scales, w.biases.as_ref(), true, q)?;
    /// assert_eq!(y.to_vec::<f32>()?, [32.0; 3]);
    /// # Ok(()) }
    /// ```
    pub fn quantized_matmul(
        &self,
        weight: &Array,
        scales: &Array,
        biases: Option<&Array>,
        transpose: bool,
        format: Quantization,
    ) -> Result<Array> {
        const OP: &str = "quantized_matmul";
        check_operand(OP, "x", self)?;
        let packed = Packed::new(OP, weight, scales, biases, format)?;
        let (inner, outer) = packed.inner_and_outer(transpose);
        if self.shape().last() != Some(&inner) {
            let message = format!("expected a last axis of {inner}, found shape {:?}", self.shape());
            return Err(Error::shape(OP, message));
        }
        if self.size() == 0 || weight.size() == 0 {
            return self.times_dequantized(&packed, transpose);
        }
        let parts = [weight, scales];
        if weight.ndim() > 2 {
            // A batch of matrices, each chosen in order.
            let chosen = Chosen { lhs: None, rhs: None, sorted: false };
            if let Some(product) =
                crate::cpu::gather::gather_qmm(self, parts, biases, transpose, format, outer, chosen)
            {
                return product;
            }
        }
        crate::cpu::quantized::quantized_matmul(self, parts, biases, transpose, format, outer)
            .unwrap_or_else(|| self.plain_quantized_matmul(weight, scales, biases, transpose, format))
    }

    /// MLX's own product, with operands that were checked.
    pub(crate) fn plain_quantized_matmul(
        &self,
        weight: &Array,
        scales: &Array,
        biases: Option<&Array>,
        transpose: bool,
        format: Quantization,
    ) -> Result<Array> {
        // SAFETY: op contract. The mode's name is a NUL-terminated constant; shapes and dtypes were checked.
        unsafe {
            call!(
                Array = mlx_quantized_matmul(
                    self.as_raw(),
                    weight.as_raw(),
                    scales.as_raw(),
                    opt(biases),
                    transpose,
                    optional_int(Some(format.group_size)),
                    optional_int(Some(format.bits)),
                    format.mode.c_name().as_ptr(),
                    stream(),
                )
            )
        }
    }

    /// The product in full precision, for operands that are empty.
    pub(super) fn times_dequantized(&self, packed: &Packed<'_>, transpose: bool) -> Result<Array> {
        let dtype = if packed.format.mode == QuantMode::Affine { None } else { Some(self.dtype()) };
        let matrix = packed.dequantize(dtype)?;
        self.matmul(&if transpose { matrix.swap_axes(-1, -2)? } else { matrix })
    }

    /// Products of chosen matrices with chosen quantised ones: result `i` is `self[lhs[i]] · weight[rhs[i]]`, with the
    /// leading axes of each operand counted as one.
    ///
    /// Indices count from the front. Those that are known are checked; those still to be computed are clamped into the
    /// range, as [`Array::take`] says.
    ///
    /// - shape: `[.., M, K]`, matrices of `[.., N, K]` when `transpose`, else `[.., K, N]`, indices that broadcast to
    ///   `[I..]` → `[I.., M, N]`; an operand without indices uses its matrices in order
    /// - dtype: as [`Array::quantized_matmul`]
    /// - `sorted`: a promise that `rhs` is in ascending order, which makes it faster on a GPU
    /// - source: `mlx_gather_qmm`
    ///
    /// # Errors
    /// As [`Array::quantized_matmul`]; [`Error::Index`] when a known index is out of range, [`Error::Argument`] when
    /// indices are not integers, [`Error::Mlx`] when they do not broadcast.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, Quantization};
    /// let x = Array::ones(&[2, 1, 64], Dtype::Float32)?;
    /// let q = Quantization::default();
    /// // Three experts of one output each.
    /// let values = Array::from_slice(&[1.0f32, 2.0, 3.0], &[3, 1, 1])?;
    /// let w = values.broadcast_to(&[3, 1, 64])?.quantize(q)?;
    /// let chosen = Array::from_slice(&[2u32, 0], &[2])?;
    /// let biases = w.biases.as_ref();
    /// let y = x.gather_qmm(&w.weight, &w.scales, biases, None, Some(&chosen), true, q, false)?;
    /// assert_eq!(y.to_vec::<f32>()?, [192.0, 64.0]);
    /// # Ok(()) }
    /// ```
    pub fn gather_qmm(
        &self,
        weight: &Array,
        scales: &Array,
        biases: Option<&Array>,
        lhs: Option<&Array>,
        rhs: Option<&Array>,
        transpose: bool,
        format: Quantization,
        sorted: bool,
    ) -> Result<Array> {
        const OP: &str = "gather_qmm";
        check_operand(OP, "x", self)?;
        let packed = Packed::new(OP, weight, scales, biases, format)?;
        let (inner, outer) = packed.inner_and_outer(transpose);
        let [batch @ .., _, width] = self.shape() else {
            let message = format!("expected two axes or more, found shape {:?}", self.shape());
            return Err(Error::shape(OP, message));
        };
        if *width != inner {
            let message = format!("expected a last axis of {inner}, found shape {:?}", self.shape());
            return Err(Error::shape(OP, message));
        }
        let matrices = packed.shape.get(..packed.shape.len() - 2).unwrap_or(&[]);
        let lhs = lhs.map(|i| Bounds::from_front(OP, "lhs", count(OP, batch)?).apply(i)).transpose()?;
        let rhs = rhs.map(|i| Bounds::from_front(OP, "rhs", count(OP, matrices)?).apply(i)).transpose()?;
        if self.size() == 0 || weight.size() == 0 {
            let dtype = if format.mode == QuantMode::Affine { None } else { Some(self.dtype()) };
            let matrix = packed.dequantize(dtype)?;
            let matrix = if transpose { matrix.swap_axes(-1, -2)? } else { matrix };
            return self.gather_mm(&matrix, lhs.as_ref(), rhs.as_ref(), sorted);
        }
        let chosen = Chosen { lhs: lhs.as_ref(), rhs: rhs.as_ref(), sorted };
        let parts = [weight, scales];
        crate::cpu::gather::gather_qmm(self, parts, biases, transpose, format, outer, chosen).unwrap_or_else(
            || {
                let indices = [lhs.as_ref(), rhs.as_ref()];
                self.plain_gather_qmm(parts, biases, indices, transpose, format, sorted)
            },
        )
    }

    /// MLX's own products, with operands that were checked.
    pub(crate) fn plain_gather_qmm(
        &self,
        [weight, scales]: [&Array; 2],
        biases: Option<&Array>,
        [lhs, rhs]: [Option<&Array>; 2],
        transpose: bool,
        format: Quantization,
        sorted: bool,
    ) -> Result<Array> {
        // SAFETY: op contract. The mode's name is a NUL-terminated constant; shapes and dtypes were checked, and the
        // indices are in range, or clamped into it.
        unsafe {
            call!(
                Array = mlx_gather_qmm(
                    self.as_raw(),
                    weight.as_raw(),
                    scales.as_raw(),
                    opt(biases),
                    opt(lhs),
                    opt(rhs),
                    transpose,
                    optional_int(Some(format.group_size)),
                    optional_int(Some(format.bits)),
                    format.mode.c_name().as_ptr(),
                    sorted,
                    stream(),
                )
            )
        }
    }
}

/// The matrix that a quantised one stands for.
///
/// - shape: `[.., N, words]` → `[.., N, K]`; see [`Quantized`]
/// - dtype: `dtype`, else that of the scales for affine and bfloat16 for the others
/// - source: `mlx_dequantize`
///
/// # Errors
/// [`Error::Argument`] when the parts do not fit each other or the format, or `dtype` is not float16, bfloat16 or
/// float32.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, QuantMode, Quantization, dequantize};
/// let q = Quantization::of(QuantMode::Mxfp8);
/// let packed = Array::full(&[1, 32], 1.5, Dtype::Float32)?.quantize(q)?;
/// let back = dequantize(&packed.weight, &packed.scales, None, q, Some(Dtype::Float32))?;
/// assert_eq!(back.to_vec::<f32>()?, [1.5; 32]);
/// # Ok(()) }
/// ```
pub fn dequantize(
    weight: &Array,
    scales: &Array,
    biases: Option<&Array>,
    format: Quantization,
    dtype: Option<Dtype>,
) -> Result<Array> {
    const OP: &str = "dequantize";
    if let Some(dtype) = dtype.filter(|dtype| !is_native(*dtype)) {
        let message = format!("expected float16, bfloat16 or float32, found {dtype}");
        return Err(Error::argument(OP, "dtype", message));
    }
    Packed::new(OP, weight, scales, biases, format)?.dequantize(dtype)
}

/// The matrix that [`Array::quantize_scaled`] made of another one.
///
/// - shape: `[.., N, words]` → `[.., N, K]`; see [`Quantized`]
/// - dtype: `dtype`, else float32
/// - source: `mlx_dequantize`
///
/// # Errors
/// As [`dequantize`]; [`Error::Argument`] when `global` is not a float32 of one element.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, dequantize_scaled};
/// let w = Array::full(&[1, 16], 3.0, Dtype::Float32)?;
/// let global = Array::scalar(3.0f32)?;
/// let packed = w.quantize_scaled(&global)?;
/// let back = dequantize_scaled(&packed.weight, &packed.scales, &global, None)?;
/// assert_eq!(back.to_vec::<f32>()?, [3.0; 16]);
/// # Ok(()) }
/// ```
pub fn dequantize_scaled(
    weight: &Array,
    scales: &Array,
    global: &Array,
    dtype: Option<Dtype>,
) -> Result<Array> {
    const OP: &str = "dequantize_scaled";
    if let Some(dtype) = dtype.filter(|dtype| !is_native(*dtype)) {
        let message = format!("expected float16, bfloat16 or float32, found {dtype}");
        return Err(Error::argument(OP, "dtype", message));
    }
    let global = global_scale(OP, global)?;
    Packed::new(OP, weight, scales, None, Quantization::of(QuantMode::Nvfp4))?
        .dequantize_with(Some(&global), dtype)
}

/// A factor for all groups of a matrix, as a scalar.
pub(super) fn global_scale(op: &'static str, global: &Array) -> Result<Array> {
    if global.dtype() != Dtype::Float32 || global.size() != 1 {
        return Err(Error::argument(op, "global", format!("expected one float32, found {global:?}")));
    }
    if global.ndim() == 0 { Ok(global.clone()) } else { global.reshape(&[]) }
}
