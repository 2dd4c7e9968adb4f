// SPDX-License-Identifier: EUPL-1.2
//! Norms, alone and with a residual stream, and their gradients.

use std::ffi::CStr;

use mlx_cpu::norm::{self as kernel, Weight};
use mlx_cpu::{Isa, RowsMut};

use super::view::{Flat, Matrix, elements_mut, rows_mut, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Spec, View, apply_raw, apply_to};
use crate::error::{Error, Result};
use crate::fast::Norm;
use crate::{Array, Dtype, transform};

/// Whether the kernels take these operands.
fn serves(x: &Array, weight: &Array) -> bool {
    is_native(x.dtype()) && is_native(weight.dtype()) && x.size() > 0 && enabled()
}

/// The norm of `x`, or nothing where plain ops shall see to it.
pub(crate) fn norm(x: &Array, norm: &Norm<'_>) -> Option<Result<Array>> {
    let spec = Spec::new(x.shape(), x.dtype());
    serves(x, norm.weight).then(|| {
        apply_raw(Node(RmsNorm::new(Form::Alone, norm)), &[x, norm.weight], [spec]).map(|[normed]| normed)
    })
}

/// `x + y` and its norm.
pub(crate) fn add_norm(x: &Array, y: &Array, norm: &Norm<'_>) -> Option<Result<(Array, Array)>> {
    let spec = Spec::new(x.shape(), x.dtype());
    serves(x, norm.weight).then(|| {
        let node = Node(RmsNorm::new(Form::AfterSum, norm));
        apply_raw(node, &[x, norm.weight, y], [spec, spec]).map(|[sum, normed]| (sum, normed))
    })
}

/// `x` plus the norm of `y`.
pub(crate) fn norm_add(x: &Array, y: &Array, norm: &Norm<'_>) -> Option<Result<Array>> {
    let spec = Spec::new(x.shape(), x.dtype());
    serves(x, norm.weight).then(|| {
        let node = Node(RmsNorm::new(Form::BeforeSum, norm));
        apply_raw(node, &[x, norm.weight, y], [spec]).map(|[sum]| sum)
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Alone,
    AfterSum,
    BeforeSum,
}

/// Inputs: `x`, weight and, but for the first form, `y`.
#[derive(Clone)]
struct RmsNorm {
    form: Form,
    shift: f32,
    eps: f32,
}

impl RmsNorm {
    fn new(form: Form, norm: &Norm<'_>) -> Self {
        Self { form, shift: norm.shift, eps: norm.eps }
    }
}

impl Fused for RmsNorm {
    const NAME: &'static CStr = c"rms_norm";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [x, ..] = inputs else { return Ok(()) };
        with_element!(x.dtype(), "rms_norm", compute::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let missing = || Error::shape("rms_norm", "an input is missing");
        let [x, weight, rest @ ..] = inputs else { return Err(missing()) };
        let norm = Norm { weight, shift: self.shift, eps: self.eps };
        match (self.form, rest) {
            (Form::Alone, []) => Ok(vec![norm.plain(x)?]),
            (Form::AfterSum, [y]) => {
                let sum = (x + y)?;
                let normed = norm.plain(&sum)?;
                Ok(vec![sum, normed])
            }
            (Form::BeforeSum, [y]) => Ok(vec![(x + &norm.plain(y)?)?]),
            _ => Err(missing()),
        }
    }

    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let missing = || Error::shape("rms_norm", "an input is missing");
        let back = NormVjp { shift: Some(self.shift), eps: self.eps, bias: false };
        // Of `x`, the weight and `y`.
        let gradients = match (self.form, primals, cotangents) {
            (Form::Alone, [x, weight], [y]) => back.apply(x, Some(weight), y)?,
            (Form::AfterSum, [x, weight, residual], [total, y]) => {
                let mut gradients = back.apply(&(x + residual)?, Some(weight), y)?;
                let x = gradients.first_mut().ok_or_else(missing)?;
                *x = (&*x + total)?;
                let x = x.clone();
                gradients.push(x);
                gradients
            }
            (Form::BeforeSum, [_, weight, inner], [y]) => {
                let mut gradients = back.apply(inner, Some(weight), y)?;
                gradients.push(y.clone());
                gradients.swap(0, 2);
                gradients
            }
            _ => return Err(missing()),
        };
        argnums.iter().map(|&i| gradients.get(i).cloned().ok_or_else(missing)).collect()
    }
}

fn compute<T: mlx_cpu::Element>(op: &RmsNorm, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
    let [x, weight, rest @ ..] = inputs else { return Ok(()) };
    let held = HeldWeight::of(weight)?;
    let norm = kernel::RmsNorm { weight: Some(held.lend()), offset: op.shift, eps: op.eps };
    let x = Matrix::<T>::of(x)?;
    let (isa, clamped) = (Isa::current(), false);
    match (op.form, rest, outputs) {
        (Form::Alone, [], [out]) => kernel::rms_norm(isa, x.rows()?, &norm, &mut rows_mut(out)?)?,
        (Form::AfterSum, [y], [sum, out]) => {
            let y = Matrix::<T>::of(y)?;
            let mut sum: RowsMut<'_, T> = rows_mut(sum)?;
            kernel::add_rms_norm(isa, x.rows()?, y.rows()?, &norm, clamped, &mut sum, &mut rows_mut(out)?)?;
        }
        (Form::BeforeSum, [y], [out]) => {
            let y = Matrix::<T>::of(y)?;
            kernel::norm_add(isa, y.rows()?, x.rows()?, &norm, clamped, &mut rows_mut(out)?)?;
        }
        _ => {}
    }
    Ok(())
}

/// The layer norm of `x`, or nothing where MLX shall see to it.
pub(crate) fn layer_norm(
    x: &Array,
    weight: Option<&Array>,
    bias: Option<&Array>,
    eps: f32,
) -> Option<Result<Array>> {
    let width = x.shape().last()?;
    let fits = [weight, bias]
        .into_iter()
        .flatten()
        .all(|array| array.shape() == [*width] && array.dtype() == x.dtype());
    if !fits || !is_native(x.dtype()) || x.size() == 0 || !enabled() {
        return None;
    }
    let inputs: Vec<&Array> = [x].into_iter().chain(weight).chain(bias).collect();
    let node = Node(LayerNorm { weight: weight.is_some(), bias: bias.is_some(), eps });
    Some(apply_raw(node, &inputs, [Spec::new(x.shape(), x.dtype())]).map(|[normed]| normed))
}

/// Inputs: `x`, and the weight and bias that there are.
#[derive(Clone)]
struct LayerNorm {
    weight: bool,
    bias: bool,
    eps: f32,
}

impl LayerNorm {
    /// Weight and bias among the inputs after `x`.
    fn parts<'a, I>(&self, rest: &'a [I]) -> [Option<&'a I>; 2] {
        match (self.weight, self.bias) {
            (false, true) => [None, rest.first()],
            _ => [rest.first(), rest.get(1)],
        }
    }
}

impl Fused for LayerNorm {
    const NAME: &'static CStr = c"layer_norm";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [x, ..] = inputs else { return Ok(()) };
        with_element!(x.dtype(), "layer_norm", compute_layer::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [x, rest @ ..] = inputs else { return Err(Error::shape("layer_norm", "an input is missing")) };
        let [weight, bias] = self.parts(rest);
        Ok(vec![crate::fast::plain_layer_norm(x, weight, bias, self.eps)?])
    }

    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let missing = || Error::shape("layer_norm", "an input is missing");
        let ([x, rest @ ..], [y]) = (primals, cotangents) else { return Err(missing()) };
        let [weight, _] = self.parts(rest);
        let back = NormVjp { shift: None, eps: self.eps, bias: self.bias };
        let gradients = back.apply(x, weight, y)?;
        argnums.iter().map(|&i| gradients.get(i).cloned().ok_or_else(missing)).collect()
    }
}

fn compute_layer<T: mlx_cpu::Element>(
    op: &LayerNorm,
    inputs: &[View<'_>],
    outputs: &mut [View<'_>],
) -> Result<()> {
    let ([x, rest @ ..], [out]) = (inputs, outputs) else { return Ok(()) };
    let x = Matrix::<T>::of(x)?;
    let [weight, bias] = op.parts(rest);
    let (weight, bias) = (weight.map(HeldWeight::of).transpose()?, bias.map(HeldWeight::of).transpose()?);
    let norm = kernel::LayerNorm {
        weight: weight.as_ref().map(HeldWeight::lend),
        bias: bias.as_ref().map(HeldWeight::lend),
        eps: op.eps,
    };
    Ok(kernel::layer_norm(Isa::current(), x.rows()?, &norm, &mut rows_mut(out)?)?)
}

/// The gradients of a norm. Inputs: `x`, `∂y` and, where there is one, the weight; outputs: `∂x`, and in float32 that of
/// the weight, and of the bias.
#[derive(Clone)]
struct NormVjp {
    /// What a root mean square norm adds to its weight; nothing for a layer norm.
    shift: Option<f32>,
    eps: f32,
    bias: bool,
}

impl NormVjp {
    /// The gradients of `x`, of the weight and of the bias, those that there are, in this order.
    fn apply(&self, x: &Array, weight: Option<&Array>, y: &Array) -> Result<Vec<Array>> {
        let dtype = x.dtype();
        let width = x.shape().last().copied().unwrap_or(1);
        let row = [width];
        let wide = |wanted: bool| wanted.then(|| Spec::new(&row, Dtype::Float32));
        let specs: Vec<Spec<'_>> = [Spec::new(x.shape(), dtype)]
            .into_iter()
            .chain(wide(weight.is_some()))
            .chain(wide(self.bias))
            .collect();
        let y = if y.dtype() == dtype { y.clone() } else { y.astype(dtype)? };
        let inputs: Vec<&Array> = [x, &y].into_iter().chain(weight).collect();
        let mut gradients = apply_to(Node(self.clone()), &inputs, &specs)?;
        // A bias has the dtype of `x`.
        let dtypes = weight.map(Array::dtype).into_iter().chain(self.bias.then_some(dtype));
        for (gradient, dtype) in gradients.iter_mut().skip(1).zip(dtypes) {
            if dtype != Dtype::Float32 {
                *gradient = gradient.astype(dtype)?;
            }
        }
        Ok(gradients)
    }
}

impl Fused for NormVjp {
    const NAME: &'static CStr = c"norm_vjp";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [x, ..] = inputs else { return Ok(()) };
        with_element!(x.dtype(), "norm_vjp", compute_vjp::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [x, y, weight @ ..] = inputs else {
            return Err(Error::shape("norm_vjp", "an input is missing"));
        };
        // The gradients of weight and bias come in float32, so both are variables in float32.
        let width = x.shape().last().copied().unwrap_or(1);
        let bias = if self.bias { Some(Array::zeros(&[width], Dtype::Float32)?) } else { None };
        let weight = weight.first().map(|weight| weight.astype(Dtype::Float32)).transpose()?;
        let (shift, eps, dtype, weighted) = (self.shift, self.eps, x.dtype(), weight.is_some());
        let function = move |inputs: &[Array]| {
            let [x, rest @ ..] = inputs else { return Ok(Vec::new()) };
            let (weight, bias) = match weighted {
                true => (rest.first(), rest.get(1)),
                false => (None, rest.first()),
            };
            let normed = match (shift, weight) {
                (Some(shift), Some(weight)) => Norm { weight, shift, eps }.plain(x)?,
                _ => crate::fast::plain_layer_norm(&x.astype(Dtype::Float32)?, weight, bias, eps)?,
            };
            Ok(vec![normed.astype(dtype)?])
        };
        let primals: Vec<Array> = [x.clone()].into_iter().chain(weight).chain(bias).collect();
        Ok(transform::vjp(function, &primals, std::slice::from_ref(y))?.1)
    }
}

fn compute_vjp<T: mlx_cpu::Element>(
    op: &NormVjp,
    inputs: &[View<'_>],
    outputs: &mut [View<'_>],
) -> Result<()> {
    let ([x, y, weight @ ..], [dx, rest @ ..]) = (inputs, outputs) else { return Ok(()) };
    let (x, y) = (Matrix::<T>::of(x)?, Matrix::<T>::of(y)?);
    let held = weight.first().map(HeldWeight::of).transpose()?;
    let weight = held.as_ref().map(HeldWeight::lend);
    let mut rest = rest.iter_mut().map(elements_mut::<f32>);
    let dw = if weight.is_some() { rest.next() } else { None };
    let db = rest.next();
    let (isa, eps, mut dx) = (Isa::current(), op.eps, rows_mut(dx)?);
    let (x, y) = (x.rows()?, y.rows()?);
    match op.shift {
        Some(offset) => {
            kernel::rms_norm_vjp(isa, x, &kernel::RmsNorm { weight, offset, eps }, y, &mut dx, dw)?
        }
        None => {
            let norm = kernel::LayerNorm { weight, bias: None, eps };
            kernel::layer_norm_vjp(isa, x, &norm, y, &mut dx, dw, db)?;
        }
    }
    Ok(())
}

/// A weight in any element type, held for a kernel.
pub(super) enum HeldWeight<'a> {
    F32(Flat<'a, f32>),
    Bf16(Flat<'a, half::bf16>),
    F16(Flat<'a, half::f16>),
}

impl<'a> HeldWeight<'a> {
    pub(super) fn of(view: &View<'a>) -> Result<Self> {
        Ok(match view.dtype() {
            Dtype::Bfloat16 => Self::Bf16(Flat::of(view)?),
            Dtype::Float16 => Self::F16(Flat::of(view)?),
            _ => Self::F32(Flat::of(view)?),
        })
    }

    pub(super) fn lend(&self) -> Weight<'_> {
        match self {
            Self::F32(w) => Weight::F32(w),
            Self::Bf16(w) => Weight::Bf16(w),
            Self::F16(w) => Weight::F16(w),
        }
    }

    /// The values in float32.
    pub(super) fn to_floats(&self) -> Vec<f32> {
        match self {
            Self::F32(w) => w.to_vec(),
            Self::Bf16(w) => w.iter().map(|x| x.to_f32()).collect(),
            Self::F16(w) => w.iter().map(|x| x.to_f32()).collect(),
        }
    }
}
