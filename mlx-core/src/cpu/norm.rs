// SPDX-License-Identifier: EUPL-1.2
//! Norms, alone and with a residual stream.

use std::ffi::CStr;

use mlx_cpu::norm::{self as kernel, Weight};
use mlx_cpu::{Isa, RowsMut};

use super::view::{Flat, Matrix, rows_mut, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Spec, View, apply_raw};
use crate::error::{Error, Result};
use crate::fast::Norm;
use crate::{Array, Dtype};

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
