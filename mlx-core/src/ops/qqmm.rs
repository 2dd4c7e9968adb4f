// SPDX-License-Identifier: EUPL-1.2
//! Products of two quantised operands.

use super::gather::Bounds;
use super::linalg::count;
use super::quant::{Packed, check_operand, global_scale};
use super::{opt, optional_int};
use crate::device::{on_cpu, stream};
use crate::error::{Error, Result};
use crate::ffi::{Handle, call};
use crate::{Array, QuantMode, Quantization, Quantized};

/// The right operand of [`Array::qqmm`].
#[derive(Clone, Copy, Debug)]
pub enum QqmmWeight<'a> {
    /// A matrix in float16, bfloat16 or float32, quantised on the way.
    Dense(&'a Array),
    /// What [`Array::quantize`] made of one.
    Packed {
        /// The packed values.
        weight: &'a Array,
        /// One scale a group.
        scales: &'a Array,
    },
}

/// The factors of [`Array::quantize_scaled`] for both operands of [`Array::qqmm`].
#[derive(Clone, Copy, Debug)]
pub struct GlobalScales<'a> {
    /// That of the left operand.
    pub x: &'a Array,
    /// That of the weight.
    pub weight: &'a Array,
}

/// The operands of a product of two quantised matrices, checked.
struct Qq<'a> {
    weight: QqmmWeight<'a>,
    /// The factors of both operands.
    global: Option<[Array; 2]>,
    /// The shape of the weight, dequantised.
    shape: Vec<i32>,
}

impl<'a> Qq<'a> {
    fn new(
        op: &'static str,
        x: &Array,
        weight: QqmmWeight<'a>,
        format: Quantization,
        global: Option<GlobalScales<'_>>,
    ) -> Result<Self> {
        format.validate()?;
        check_operand(op, "x", x)?;
        if format.mode == QuantMode::Affine {
            return Err(Error::argument(op, "format", "expected nvfp4, mxfp4 or mxfp8, found affine"));
        }
        let global = match global {
            Some(_) if format.mode != QuantMode::Nvfp4 => {
                let message = format!("expected none for mode {}", format.mode);
                return Err(Error::argument(op, "global", message));
            }
            Some(GlobalScales { x, weight }) => Some([global_scale(op, x)?, global_scale(op, weight)?]),
            None => None,
        };
        let shape = match weight {
            QqmmWeight::Packed { weight, scales } => Packed::new(op, weight, scales, None, format)?.shape,
            QqmmWeight::Dense(dense) => {
                check_operand(op, "weight", dense)?;
                dense.shape().to_vec()
            }
        };
        let (Some(width), [.., _, _], [.., _, inner]) = (x.shape().last(), x.shape(), &shape[..]) else {
            let message = format!("expected two axes or more, found {:?} and {shape:?}", x.shape());
            return Err(Error::shape(op, message));
        };
        if width != inner || width % format.group_size != 0 {
            let message = format!(
                "expected last axes alike and a multiple of {}, found {:?} and {shape:?}",
                format.group_size,
                x.shape()
            );
            return Err(Error::shape(op, message));
        }
        Ok(Self { weight, global, shape })
    }

    /// The weight and its scales for C.
    fn parts(&self) -> (&'a Array, Option<&'a Array>) {
        match self.weight {
            QqmmWeight::Dense(weight) => (weight, None),
            QqmmWeight::Packed { weight, scales } => (weight, Some(scales)),
        }
    }

    fn globals(&self) -> [Option<&Array>; 2] {
        self.global.as_ref().map_or([None, None], |[x, weight]| [Some(x), Some(weight)])
    }

    /// `x` as its quantised form has it, and the packed weight; where there are factors, the weight as it has it.
    fn rounded(&self, x: &Array, format: Quantization) -> Result<(Array, Quantized, Option<Array>)> {
        let [global_x, global_weight] = self.globals();
        let packed = x.quantize_with(format, global_x)?;
        let rounded = Packed::new("qqmm", &packed.weight, &packed.scales, None, format)?
            .dequantize_with(global_x, Some(x.dtype()))?;
        let weight = match self.weight {
            QqmmWeight::Dense(weight) => weight.quantize_with(format, global_weight)?,
            QqmmWeight::Packed { weight, scales } => {
                Quantized { weight: weight.clone(), scales: scales.clone(), biases: None }
            }
        };
        let dense = global_weight
            .map(|global| {
                Packed::new("qqmm", &weight.weight, &weight.scales, None, format)?
                    .dequantize_with(Some(global), Some(x.dtype()))?
                    .swap_axes(-1, -2)
            })
            .transpose()?;
        Ok((rounded, weight, dense))
    }
}

impl Array {
    /// The product of two quantised matrices, `self · weightᵀ`. This one is quantised on the way, and so is the weight unless
    /// it already is.
    ///
    /// On the CPU, where MLX has no such product, the operands are rounded to the format and multiplied in the dtype of
    /// `self`. CUDA knows nvfp4 and mxfp8.
    ///
    /// - `format`: nvfp4, mxfp4 or mxfp8
    /// - `global`: for nvfp4 only
    /// - shape: `[.., M, K]` with `[N, K]` → `[.., M, N]`, K a multiple of the group size
    /// - dtype: float16, bfloat16 or float32, kept
    /// - source: `mlx_qqmm`
    ///
    /// A gradient is there on a GPU only, and with a dense weight.
    ///
    /// # Errors
    /// [`Error::Argument`] when the format is affine, the parts of the weight do not fit each other, or there are factors
    /// for another mode than nvfp4; [`Error::Shape`] when the operands do not fit each other.
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, QqmmWeight, QuantMode, Quantization};
    /// let x = Array::ones(&[1, 32], Dtype::Float32)?;
    /// let w = Array::full(&[2, 32], 0.5, Dtype::Float32)?;
    /// let y = x.qqmm(QqmmWeight::Dense(&w), Quantization::of(QuantMode::Mxfp8), None)?;
    /// assert_eq!(y.to_vec::<f32>()?, [16.0, 16.0]);
    /// # Ok(()) }
    /// ```
    pub fn qqmm(
        &self,
        weight: QqmmWeight<'_>,
        format: Quantization,
        global: Option<GlobalScales<'_>>,
    ) -> Result<Array> {
        const OP: &str = "qqmm";
        let operands = Qq::new(OP, self, weight, format, global)?;
        let (&[rows, _], Some((_, batch))) = (&operands.shape[..], self.shape().split_last()) else {
            let message = format!("expected a weight of two axes, found {:?}", operands.shape);
            return Err(Error::shape(OP, message));
        };
        if self.size() == 0 || rows == 0 {
            return Array::zeros(&[batch, &[rows]].concat(), self.dtype());
        }
        if on_cpu() {
            let (x, packed, dense) = operands.rounded(self, format)?;
            return match dense {
                Some(dense) => x.matmul(&dense),
                None => x.quantized_matmul(&packed.weight, &packed.scales, None, true, format),
            };
        }
        let ((weight, scales), [global_x, global_weight]) = (operands.parts(), operands.globals());
        // SAFETY: op contract. The mode's name is a NUL-terminated constant; shapes and dtypes were checked.
        unsafe {
            call!(
                Array = mlx_qqmm(
                    self.as_raw(),
                    weight.as_raw(),
                    opt(scales),
                    optional_int(Some(format.group_size)),
                    optional_int(Some(format.bits)),
                    format.mode.c_name().as_ptr(),
                    opt(global_x),
                    opt(global_weight),
                    stream(),
                )
            )
        }
    }

    /// [`Array::qqmm`] of chosen matrices with chosen ones: result `i` is `self[lhs[i]] · weight[rhs[i]]ᵀ`, as
    /// [`Array::gather_qmm`] has it.
    ///
    /// - shape: `[.., M, K]`, matrices of `[.., N, K]`, indices that broadcast to `[I..]` → `[I.., M, N]`; an operand without
    ///   indices uses its matrices in order
    /// - dtype: float16, bfloat16 or float32, kept
    /// - `sorted`: a promise that `rhs` is in ascending order
    /// - source: `mlx_gather_qqmm`
    ///
    /// There is no gradient on a GPU.
    ///
    /// # Errors
    /// As [`Array::qqmm`] and [`Array::gather_qmm`].
    ///
    /// # Examples
    /// ```
    /// # fn main() -> mlx_core::Result<()> {
    /// use mlx_core::{Array, Dtype, QqmmWeight, QuantMode, Quantization};
    /// let x = Array::ones(&[1, 1, 32], Dtype::Float32)?;
    /// let values = Array::from_slice(&[1.0f32, 2.0], &[2, 1, 1])?;
    /// let experts = values.broadcast_to(&[2, 1, 32])?;
    /// let chosen = Array::from_slice(&[1u32], &[1])?;
    /// let format = Quantization::of(QuantMode::Mxfp8);
    /// let y = x.gather_qqmm(QqmmWeight::Dense(&experts), None, Some(&chosen), format, None, false)?;
    /// assert_eq!(y.to_vec::<f32>()?, [64.0]);
    /// # Ok(()) }
    /// ```
    pub fn gather_qqmm(
        &self,
        weight: QqmmWeight<'_>,
        lhs: Option<&Array>,
        rhs: Option<&Array>,
        format: Quantization,
        global: Option<GlobalScales<'_>>,
        sorted: bool,
    ) -> Result<Array> {
        const OP: &str = "gather_qqmm";
        let operands = Qq::new(OP, self, weight, format, global)?;
        let ([batch @ .., _, _], [matrices @ .., _, _]) = (self.shape(), &operands.shape[..]) else {
            return Err(Error::shape(OP, "expected two axes or more"));
        };
        let lhs = lhs.map(|i| Bounds::from_front(OP, "lhs", count(OP, batch)?).apply(i)).transpose()?;
        let rhs = rhs.map(|i| Bounds::from_front(OP, "rhs", count(OP, matrices)?).apply(i)).transpose()?;
        let (lhs, rhs) = (lhs.as_ref(), rhs.as_ref());
        if on_cpu() || self.size() == 0 || operands.shape.contains(&0) {
            let (x, packed, dense) = operands.rounded(self, format)?;
            return match dense {
                Some(dense) => x.gather_mm(&dense, lhs, rhs, sorted),
                None => x.gather_qmm(&packed.weight, &packed.scales, None, lhs, rhs, true, format, sorted),
            };
        }
        let ((weight, scales), [global_x, global_weight]) = (operands.parts(), operands.globals());
        // SAFETY: op contract. The mode's name is a NUL-terminated constant; shapes and dtypes were checked, and the
        // indices are in range, or clamped into it.
        unsafe {
            call!(
                Array = mlx_gather_qqmm(
                    self.as_raw(),
                    weight.as_raw(),
                    opt(scales),
                    opt(lhs),
                    opt(rhs),
                    optional_int(Some(format.group_size)),
                    optional_int(Some(format.bits)),
                    format.mode.c_name().as_ptr(),
                    opt(global_x),
                    opt(global_weight),
                    sorted,
                    stream(),
                )
            )
        }
    }
}
