// SPDX-License-Identifier: EUPL-1.2
//! Quantised matrices: few bits a weight, with a scale for each group of them.

use std::ffi::CStr;
use std::fmt;
use std::str::FromStr;

use crate::device::stream;
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::ops::gather::Bounds;
use crate::ops::linalg::count;
use crate::ops::{opt, optional_dtype, optional_int};
use crate::vector::VectorArray;
use crate::{Array, Dtype};

/// How a group of weights is represented.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QuantMode {
    /// Whole numbers times a scale plus a bias, both in the dtype of the weights.
    #[default]
    Affine,
    /// 4-bit floats (E2M1) times a power of two, in groups of 32.
    Mxfp4,
    /// 4-bit floats (E2M1) times an 8-bit float (E4M3), in groups of 16.
    Nvfp4,
    /// 8-bit floats (E4M3) times a power of two, in groups of 32.
    Mxfp8,
}

impl QuantMode {
    /// Every mode.
    pub const ALL: [QuantMode; 4] = [Self::Affine, Self::Mxfp4, Self::Nvfp4, Self::Mxfp8];

    /// The name in configs, such as `affine`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Mxfp4 => "mxfp4",
            Self::Nvfp4 => "nvfp4",
            Self::Mxfp8 => "mxfp8",
        }
    }

    const fn c_name(self) -> &'static CStr {
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

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name).ok_or_else(|| {
            Error::argument("quantize", "mode", format!("expected affine, mxfp4, nvfp4 or mxfp8, found {name:?}"))
        })
    }
}

/// How a matrix is quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quantization {
    /// Weights that share a scale: 32, 64 or 128, or what the mode demands.
    pub group_size: i32,
    /// Bits a weight: 2, 3, 4, 5, 6 or 8, or what the mode demands.
    pub bits: i32,
    /// How a group is represented.
    pub mode: QuantMode,
}

impl Quantization {
    /// Affine, in groups of 64.
    #[must_use]
    pub const fn affine(bits: i32) -> Self {
        Self { group_size: 64, bits, mode: QuantMode::Affine }
    }

    /// Checks that the library knows this combination.
    ///
    /// # Errors
    /// [`Error::Argument`] with the parameter that does not go with the mode.
    pub fn validate(&self) -> Result<()> {
        let (groups, bits): (&[i32], &[i32]) = match self.mode {
            QuantMode::Affine => (&[32, 64, 128], &[2, 3, 4, 5, 6, 8]),
            QuantMode::Mxfp4 => (&[32], &[4]),
            QuantMode::Nvfp4 => (&[16], &[4]),
            QuantMode::Mxfp8 => (&[32], &[8]),
        };
        for (argument, value, known) in [("group_size", self.group_size, groups), ("bits", self.bits, bits)] {
            if !known.contains(&value) {
                let message = format!("{} takes one of {known:?}, found {value}", self.mode);
                return Err(Error::argument("quantize", argument, message));
            }
        }
        Ok(())
    }

    /// The length of a row of packed weights, in uint32, for a row of `columns` weights.
    ///
    /// # Errors
    /// [`Error::Argument`] when the combination is unknown or `columns` is not a multiple of the group size.
    pub fn packed_columns(&self, columns: i32) -> Result<i32> {
        self.groups(columns)?;
        Ok(i32::try_from(i64::from(columns) * i64::from(self.bits) / 32).unwrap_or(i32::MAX))
    }

    /// The number of groups in a row of `columns` weights.
    ///
    /// # Errors
    /// [`Error::Argument`] when the combination is unknown or `columns` is not a multiple of the group size.
    pub fn groups(&self, columns: i32) -> Result<i32> {
        self.validate()?;
        if columns % self.group_size != 0 {
            let message = format!("{columns} columns are not a multiple of {}", self.group_size);
            return Err(Error::argument("quantize", "group_size", message));
        }
        Ok(columns / self.group_size)
    }
}

/// A quantised matrix.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// `[.., N, K · bits / 32]`, uint32: the weights of each row, packed from the low bits up.
    pub weight: Array,
    /// `[.., N, K / group_size]`: in the dtype of the weights, or uint8 in the floating modes.
    pub scales: Array,
    /// As `scales`; in the affine mode only.
    pub biases: Option<Array>,
}

impl Array {
    /// A matrix quantised along its rows.
    ///
    /// - shape: `[.., N, K]`, K a multiple of the group size
    /// - source: `mlx_quantize`
    ///
    /// # Errors
    /// [`Error::Argument`] when mode, group size, bits and K do not go together, [`Error::Mlx`] when there are fewer than
    /// two axes or the dtype is not floating.
    pub fn quantize(&self, q: Quantization) -> Result<Quantized> {
        q.groups(self.dim(-1)?)?;
        // SAFETY: op contract. The mode is a NUL-terminated constant.
        let parts = unsafe {
            call!(VectorArray = mlx_quantize(
                self.as_raw(),
                optional_int(Some(q.group_size)),
                optional_int(Some(q.bits)),
                q.mode.c_name().as_ptr(),
                opt(None),
                stream()
            ))
        }?
        .to_arrays()?;
        let mut parts = parts.into_iter();
        match (parts.next(), parts.next(), parts.next()) {
            (Some(weight), Some(scales), biases) => Ok(Quantized { weight, scales, biases }),
            _ => Err(Error::shape("quantize", "the library returned fewer than two arrays")),
        }
    }

    /// `self` times a quantised matrix, without unpacking that.
    ///
    /// - shape: `[.., M, K]` times `[N, K]` transposed → `[.., M, N]`; not transposed, times `[K, N]`
    /// - dtype: that of `self`, floating
    /// - source: `mlx_quantized_matmul`
    ///
    /// # Errors
    /// [`Error::Argument`] when the parameters do not go together, [`Error::Mlx`] when the shapes do not fit.
    pub fn quantized_matmul(
        &self,
        weight: &Array,
        scales: &Array,
        biases: Option<&Array>,
        transpose: bool,
        q: Quantization,
    ) -> Result<Array> {
        check_parts("quantized_matmul", weight, scales, biases, q)?;
        // SAFETY: op contract. The mode is a NUL-terminated constant.
        unsafe {
            call!(Array = mlx_quantized_matmul(
                self.as_raw(),
                weight.as_raw(),
                scales.as_raw(),
                opt(biases),
                transpose,
                optional_int(Some(q.group_size)),
                optional_int(Some(q.bits)),
                q.mode.c_name().as_ptr(),
                stream()
            ))
        }
    }

    /// Products of chosen pairs of `self` and quantised matrices: `self[lhs[i]] × w[rhs[i]]`.
    ///
    /// - `lhs`, `rhs`: integers into the batch axes, flattened; bounded as by [`Array::take`]
    /// - source: `mlx_gather_qmm`
    ///
    /// # Errors
    /// [`Error::Index`] when an index is out of range, [`Error::Argument`] when the parameters do not go together,
    /// [`Error::Mlx`] when the shapes do not fit.
    pub fn gather_qmm(
        &self,
        matrix: &Quantized,
        lhs: Option<&Array>,
        rhs: Option<&Array>,
        transpose: bool,
        q: Quantization,
        sorted: bool,
    ) -> Result<Array> {
        let op = "gather_qmm";
        check_parts(op, &matrix.weight, &matrix.scales, matrix.biases.as_ref(), q)?;
        let bounded = |array: &Array, argument, indices: Option<&Array>| {
            let batch = array.shape().split_last_chunk::<2>().map(|(batch, _)| batch).unwrap_or_default();
            let bounds = Bounds::from_front(op, argument, count(op, batch)?);
            indices.map(|indices| bounds.apply(indices)).transpose()
        };
        let (lhs, rhs) = (bounded(self, "lhs", lhs)?, bounded(&matrix.weight, "rhs", rhs)?);
        // SAFETY: op contract. The mode is a NUL-terminated constant, and all indices are in range.
        unsafe {
            call!(Array = mlx_gather_qmm(
                self.as_raw(),
                matrix.weight.as_raw(),
                matrix.scales.as_raw(),
                opt(matrix.biases.as_ref()),
                opt(lhs.as_ref()),
                opt(rhs.as_ref()),
                transpose,
                optional_int(Some(q.group_size)),
                optional_int(Some(q.bits)),
                q.mode.c_name().as_ptr(),
                sorted,
                stream()
            ))
        }
    }
}

/// A quantised matrix unpacked.
///
/// - shape: `[.., N, K]`
/// - dtype: `dtype`, or that of the scales, or bfloat16 in the floating modes
/// - source: `mlx_dequantize`
///
/// # Errors
/// [`Error::Argument`] when the parameters do not go together, [`Error::Mlx`] when the shapes do not fit.
pub fn dequantize(
    weight: &Array,
    scales: &Array,
    biases: Option<&Array>,
    q: Quantization,
    dtype: Option<Dtype>,
) -> Result<Array> {
    check_parts("dequantize", weight, scales, biases, q)?;
    // SAFETY: op contract. The mode is a NUL-terminated constant.
    unsafe {
        call!(Array = mlx_dequantize(
            weight.as_raw(),
            scales.as_raw(),
            opt(biases),
            optional_int(Some(q.group_size)),
            optional_int(Some(q.bits)),
            q.mode.c_name().as_ptr(),
            opt(None),
            optional_dtype(dtype),
            stream()
        ))
    }
}

/// Checks what the kernels trust: that each packed row has as many groups as scales (and biases).
fn check_parts(
    op: &'static str,
    weight: &Array,
    scales: &Array,
    biases: Option<&Array>,
    q: Quantization,
) -> Result<()> {
    q.validate()?;
    if weight.dtype() != Dtype::Uint32 {
        return Err(Error::Dtype { op, expected: Dtype::Uint32, found: weight.dtype() });
    }
    if (q.mode == QuantMode::Affine) != biases.is_some() {
        let message = format!("{} {} biases", q.mode, if biases.is_some() { "has no" } else { "needs" });
        return Err(Error::argument(op, "biases", message));
    }
    let affine = q.mode == QuantMode::Affine;
    for part in std::iter::once(scales).chain(biases) {
        if affine != part.dtype().is_float() || (!affine && part.dtype() != Dtype::Uint8) {
            let expected = if affine { Dtype::Float32 } else { Dtype::Uint8 };
            return Err(Error::Dtype { op, expected, found: part.dtype() });
        }
        let columns = i64::from(weight.dim(-1)?) * 32 / i64::from(q.bits);
        let rows_agree = weight.ndim() >= 2
            && weight.ndim() == part.ndim()
            && weight.shape().iter().rev().skip(1).eq(part.shape().iter().rev().skip(1));
        if !rows_agree || columns != i64::from(part.dim(-1)?) * i64::from(q.group_size) {
            let message = format!(
                "weight {:?} and scales or biases {:?} do not fit {} bits in groups of {}",
                weight.shape(),
                part.shape(),
                q.bits,
                q.group_size
            );
            return Err(Error::shape(op, message));
        }
    }
    Ok(())
}
