// SPDX-License-Identifier: EUPL-1.2
//! Products with weights, dense or packed, and what follows them.

use std::ffi::CStr;

use mlx_cpu::gemm::{self, Out, Part};
use mlx_cpu::norm::RmsNorm;
use mlx_cpu::quant::{self, Scales};
use mlx_cpu::{Isa, Rows, RowsMut, scratch};

use super::norm::HeldWeight;
use super::view::{Flat, Matrix, length, rows_mut, same, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Spec, View, apply_raw, apply_to};
use crate::error::{Error, Result};
use crate::fast::{Activation, Norm, Operand, Projection, Weight};
use crate::{Array, Dtype, QuantMode, Quantization};

/// The operand through every projection, or nothing where plain ops shall see to it. The shapes fit.
pub(crate) fn project<'a>(operand: &Operand<'a>, parts: &[Projection<'a>]) -> Option<Result<Vec<Array>>> {
    if !serves(operand, parts) {
        return None;
    }
    let (norm, mut inputs) = start(operand);
    let kinds: Vec<PartKind> = parts.iter().map(|part| PartKind::of(part, &mut inputs)).collect();
    let shapes: Vec<Vec<i32>> = parts.iter().map(|part| shape(operand.x, part)).collect();
    let specs: Vec<Spec<'_>> =
        shapes.iter().zip(&kinds).map(|(shape, kind)| Spec::new(shape, kind.dtype(operand.x))).collect();
    Some(apply_to(Node(Project { norm, parts: kinds }), &inputs, &specs))
}

/// The operand through one projection and the result through another, or nothing where plain ops shall see to it. The
/// shapes fit.
pub(crate) fn chain<'a>(
    operand: &Operand<'a>,
    [first, second]: [&Projection<'a>; 2],
) -> Option<Result<Array>> {
    if first.wide || !serves(operand, &[*first, *second]) {
        return None;
    }
    let (norm, mut inputs) = start(operand);
    let parts = [first, second].map(|part| PartKind::of(part, &mut inputs));
    let shape = shape(operand.x, second);
    let spec = Spec::new(&shape, parts[1].dtype(operand.x));
    Some(apply_raw(Node(Chain { norm, parts }), &inputs, [spec]).map(|[result]| result))
}

/// Whether the kernels take the operand and the parts.
fn serves(&Operand { x, norm }: &Operand<'_>, parts: &[Projection<'_>]) -> bool {
    let dtype = x.dtype();
    let weight = |weight: &Weight<'_>| match weight {
        Weight::Dense(weight) => weight.dtype() == dtype && weight.size() > 0,
        Weight::Packed { weight, scales, biases, .. } => {
            weight.size() > 0 && biases.is_none_or(|biases| biases.dtype() == scales.dtype())
        }
    };
    let normable = |norm: &Option<Norm<'_>>| norm.is_none_or(|norm| is_native(norm.weight.dtype()));
    let fits = |part: &Projection<'_>| {
        weight(&part.weight)
            && normable(&part.norm)
            && part.gate.as_ref().is_none_or(|(_, up)| weight(up))
            && same(dtype, [part.bias, part.add].into_iter().flatten().map(Array::dtype))
    };
    is_native(dtype) && x.size() > 0 && enabled() && normable(&norm) && parts.iter().all(fits)
}

/// The norm of an operand, and the inputs that it makes up.
fn start<'a>(&Operand { x, norm }: &Operand<'a>) -> (Option<NormKind>, Vec<&'a Array>) {
    let inputs = [x].into_iter().chain(norm.map(|norm| norm.weight)).collect();
    (norm.as_ref().map(NormKind::of), inputs)
}

/// That of the result of `part`.
fn shape(x: &Array, part: &Projection<'_>) -> Vec<i32> {
    let outer = x.shape().split_last().map_or(&[][..], |(_, outer)| outer);
    [outer, &[part.weight.rows()]].concat()
}

/// Adds the arrays of a weight to the inputs.
fn push<'a>(inputs: &mut Vec<&'a Array>, weight: Weight<'a>) -> Kind {
    match weight {
        Weight::Dense(weight) => {
            inputs.push(weight);
            Kind::Dense
        }
        Weight::Packed { weight, scales, biases, format } => {
            inputs.extend([weight, scales].into_iter().chain(biases));
            Kind::Packed(format)
        }
    }
}

/// What each part is made of, in the order of the inputs.
#[derive(Clone)]
struct Project {
    norm: Option<NormKind>,
    parts: Vec<PartKind>,
}

/// A norm, but for its weight.
#[derive(Clone, Copy)]
struct NormKind {
    shift: f32,
    eps: f32,
}

impl NormKind {
    fn of(norm: &Norm<'_>) -> Self {
        Self { shift: norm.shift, eps: norm.eps }
    }

    fn with(self, weight: &Array) -> Norm<'_> {
        Norm { weight, shift: self.shift, eps: self.eps }
    }

    fn kernel<'a>(self, weight: &'a HeldWeight<'_>) -> RmsNorm<'a> {
        RmsNorm { weight: Some(weight.lend()), offset: self.shift, eps: self.eps }
    }
}

#[derive(Clone)]
struct PartKind {
    weight: Kind,
    gate: Option<(Activation, Kind)>,
    bias: bool,
    norm: Option<NormKind>,
    add: bool,
    wide: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Dense,
    Packed(Quantization),
}

impl PartKind {
    /// Adds the arrays of a part to the inputs.
    fn of<'a>(part: &Projection<'a>, inputs: &mut Vec<&'a Array>) -> Self {
        let weight = push(inputs, part.weight);
        let gate = part.gate.map(|(activation, up)| (activation, push(inputs, up)));
        inputs.extend(part.bias);
        inputs.extend(part.norm.map(|norm| norm.weight));
        inputs.extend(part.add);
        Self {
            weight,
            gate,
            bias: part.bias.is_some(),
            norm: part.norm.as_ref().map(NormKind::of),
            add: part.add.is_some(),
            wide: part.wide,
        }
    }

    fn dtype(&self, x: &Array) -> Dtype {
        if self.wide { Dtype::Float32 } else { x.dtype() }
    }

    /// The part again, of inputs in their order.
    fn projection<'a>(&self, inputs: &mut std::slice::Iter<'a, Array>) -> Result<Projection<'a>> {
        let mut next = || inputs.next().ok_or_else(|| Error::shape("project", "an input is missing"));
        let mut weight = |kind: Kind| {
            Ok::<_, Error>(match kind {
                Kind::Dense => Weight::Dense(next()?),
                Kind::Packed(format) => Weight::Packed {
                    weight: next()?,
                    scales: next()?,
                    biases: if format.mode == QuantMode::Affine { Some(next()?) } else { None },
                    format,
                },
            })
        };
        let first = weight(self.weight)?;
        let gate = match self.gate {
            Some((activation, kind)) => Some((activation, weight(kind)?)),
            None => None,
        };
        let bias = if self.bias { Some(next()?) } else { None };
        let norm = match self.norm {
            Some(norm) => Some(norm.with(next()?)),
            None => None,
        };
        let add = if self.add { Some(next()?) } else { None };
        Ok(Projection { weight: first, bias, gate, norm, add, wide: self.wide })
    }
}

/// What is multiplied, of inputs in their order.
fn operand(norm: Option<NormKind>, inputs: &mut std::slice::Iter<'_, Array>) -> Result<Array> {
    let mut next = || inputs.next().ok_or_else(|| Error::shape("project", "an input is missing"));
    let x = next()?;
    match norm {
        Some(norm) => crate::fast::norm(x, &norm.with(next()?)),
        None => Ok(x.clone()),
    }
}

impl Fused for Project {
    const NAME: &'static CStr = c"project";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [x, ..] = inputs else { return Ok(()) };
        with_element!(x.dtype(), "project", compute::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let mut inputs = inputs.iter();
        let x = operand(self.norm, &mut inputs)?;
        self.parts.iter().map(|part| part.projection(&mut inputs)?.composite(&x)).collect()
    }
}

/// Two projections, one after the other: a feed-forward layer.
#[derive(Clone)]
struct Chain {
    norm: Option<NormKind>,
    parts: [PartKind; 2],
}

impl Fused for Chain {
    const NAME: &'static CStr = c"project_chain";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [x, ..] = inputs else { return Ok(()) };
        with_element!(x.dtype(), "project_chain", compute_chain::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let mut inputs = inputs.iter();
        let x = operand(self.norm, &mut inputs)?;
        let inner = self.parts[0].projection(&mut inputs)?.composite(&x)?;
        Ok(vec![self.parts[1].projection(&mut inputs)?.composite(&inner)?])
    }
}

/// A weight whose views are held for the kernel.
pub(super) enum Held<'a, T> {
    Dense(Matrix<'a, T>),
    Packed {
        words: Flat<'a, u32>,
        scales: HeldScales<'a>,
        biases: Option<HeldScales<'a>>,
        format: Quantization,
        rows: usize,
    },
}

pub(super) enum HeldScales<'a> {
    F32(Flat<'a, f32>),
    Bf16(Flat<'a, half::bf16>),
    F16(Flat<'a, half::f16>),
    Bytes(Flat<'a, u8>),
}

impl<'a> HeldScales<'a> {
    fn of(view: &View<'a>) -> Result<Self> {
        Ok(match view.dtype() {
            Dtype::Float32 => Self::F32(Flat::of(view)?),
            Dtype::Bfloat16 => Self::Bf16(Flat::of(view)?),
            Dtype::Float16 => Self::F16(Flat::of(view)?),
            Dtype::Uint8 => Self::Bytes(Flat::of(view)?),
            other => return Err(Error::argument("project", "scales", format!("no kernel for {other}"))),
        })
    }

    fn lend(&self) -> Scales<'_> {
        match self {
            Self::F32(x) => Scales::F32(x),
            Self::Bf16(x) => Scales::Bf16(x),
            Self::F16(x) => Scales::F16(x),
            Self::Bytes(x) => Scales::Bytes(x),
        }
    }
}

/// The format as kernels name it.
pub(super) fn kernel_format(format: Quantization) -> Result<quant::Format> {
    let (bits, group) = (format.bits.unsigned_abs() as usize, format.group_size.unsigned_abs() as usize);
    Ok(match format.mode {
        QuantMode::Affine => quant::Format::new(quant::Kind::Affine, bits, group)?,
        QuantMode::Mxfp4 => quant::Format::MXFP4,
        QuantMode::Nvfp4 => quant::Format::NVFP4,
        QuantMode::Mxfp8 => quant::Format::MXFP8,
    })
}

impl<'a, T: mlx_cpu::Element> Held<'a, T> {
    fn of(kind: Kind, inputs: &mut std::slice::Iter<'_, View<'a>>) -> Result<Self> {
        match kind {
            Kind::Dense => {
                let view = inputs.next().ok_or_else(|| Error::shape("project", "an input is missing"))?;
                Ok(Self::Dense(Matrix::of(view)?))
            }
            Kind::Packed(format) => Self::packed(format, inputs),
        }
    }

    /// Words, scales and, for affine, biases.
    pub(super) fn packed(format: Quantization, inputs: &mut std::slice::Iter<'_, View<'a>>) -> Result<Self> {
        let mut next = || inputs.next().ok_or_else(|| Error::shape("project", "an input is missing"));
        let words = next()?;
        let rows = words.shape().iter().rev().nth(1).map_or(0, |&rows| length(rows));
        let affine = format.mode == QuantMode::Affine;
        Ok(Self::Packed {
            words: Flat::of(words)?,
            scales: HeldScales::of(next()?)?,
            biases: if affine { Some(HeldScales::of(next()?)?) } else { None },
            format,
            rows,
        })
    }

    pub(super) fn lend(&self) -> Result<gemm::Weight<'_, T>> {
        match self {
            Self::Dense(matrix) => Ok(gemm::Weight::Rows(matrix.rows()?)),
            Self::Packed { words, scales, biases, format, rows } => {
                let columns = if *rows == 0 { 0 } else { words.len() / rows * 32 / length(format.bits) };
                let biases = biases.as_ref().map(HeldScales::lend);
                let format = kernel_format(*format)?;
                Ok(gemm::Weight::Packed(quant::Matrix::new(
                    format,
                    *rows,
                    columns,
                    words,
                    scales.lend(),
                    biases,
                )?))
            }
        }
    }
}

/// The operands of a part, as the graph gives them.
struct Operands<'a, T> {
    weight: Held<'a, T>,
    gate: Option<(Activation, Held<'a, T>)>,
    bias: Option<Flat<'a, T>>,
    norm: Option<HeldWeight<'a>>,
    add: Option<Matrix<'a, T>>,
}

impl<'a, T: mlx_cpu::Element> Operands<'a, T> {
    fn of(kind: &PartKind, inputs: &mut std::slice::Iter<'_, View<'a>>) -> Result<Self> {
        let weight = Held::of(kind.weight, inputs)?;
        let gate = match kind.gate {
            Some((activation, kind)) => Some((activation, Held::of(kind, inputs)?)),
            None => None,
        };
        let mut next = |wanted: bool| if wanted { inputs.next() } else { None };
        let bias = next(kind.bias).map(Flat::of).transpose()?;
        let norm = next(kind.norm.is_some()).map(HeldWeight::of).transpose()?;
        let add = next(kind.add).map(Matrix::of).transpose()?;
        Ok(Self { weight, gate, bias, norm, add })
    }

    /// The part that goes to `out`.
    fn part<'p>(&'p self, kind: &PartKind, out: Out<'p, T>) -> Result<Part<'p, T>> {
        let gate = match &self.gate {
            Some((activation, up)) => Some((activation.kernel(), up.lend()?)),
            None => None,
        };
        Ok(Part {
            weight: self.weight.lend()?,
            bias: self.bias.as_deref(),
            gate,
            norm: kind.norm.zip(self.norm.as_ref()).map(|(norm, weight)| norm.kernel(weight)),
            add: self.add.as_ref().map(Matrix::rows).transpose()?,
            out,
        })
    }
}

/// Where a part goes.
fn out<'a, T: mlx_cpu::Element>(kind: &PartKind, view: &'a mut View<'_>) -> Result<Out<'a, T>> {
    Ok(if kind.wide { Out::F32(rows_mut(view)?) } else { Out::Same(rows_mut(view)?) })
}

/// The activations, and the weight of their norm.
fn activations<'a, T: mlx_cpu::Element>(
    norm: Option<NormKind>,
    inputs: &mut std::slice::Iter<'_, View<'a>>,
) -> Result<(Matrix<'a, T>, Option<HeldWeight<'a>>)> {
    let x = inputs.next().ok_or_else(|| Error::shape("project", "an input is missing"))?;
    let weight = norm.and_then(|_| inputs.next()).map(HeldWeight::of).transpose()?;
    Ok((Matrix::of(x)?, weight))
}

fn compute<T: mlx_cpu::Element>(op: &Project, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
    let mut inputs = inputs.iter();
    let (x, weight) = activations::<T>(op.norm, &mut inputs)?;
    let operands: Vec<Operands<'_, T>> =
        op.parts.iter().map(|kind| Operands::of(kind, &mut inputs)).collect::<Result<_>>()?;
    let parts: Vec<Part<'_, T>> = operands
        .iter()
        .zip(&op.parts)
        .zip(outputs)
        .map(|((operands, kind), view)| operands.part(kind, out(kind, view)?))
        .collect::<Result<_>>()?;
    let norm = op.norm.zip(weight.as_ref()).map(|(norm, weight)| norm.kernel(weight));
    Ok(gemm::project(Isa::current(), x.rows()?, norm.as_ref(), &parts)?)
}

fn compute_chain<T: mlx_cpu::Element>(
    op: &Chain,
    inputs: &[View<'_>],
    outputs: &mut [View<'_>],
) -> Result<()> {
    let ([first, second], [result]) = (&op.parts, outputs) else { return Ok(()) };
    let mut inputs = inputs.iter();
    let (x, weight) = activations::<T>(op.norm, &mut inputs)?;
    let [before, after] = [Operands::of(first, &mut inputs)?, Operands::of(second, &mut inputs)?];
    let (isa, x) = (Isa::current(), x.rows()?);
    let (rows, width) = (x.rows(), before.weight.lend()?.outputs());
    let norm = op.norm.zip(weight.as_ref()).map(|(norm, weight)| norm.kernel(weight));
    scratch::with::<T, _>(rows * width, |inner| {
        let to = Out::Same(RowsMut::packed(inner, width)?);
        gemm::project(isa, x, norm.as_ref(), &[before.part(first, to)?])?;
        let part = after.part(second, out(second, result)?)?;
        Ok(gemm::project(isa, Rows::packed(inner, width)?, None, &[part])?)
    })
}
