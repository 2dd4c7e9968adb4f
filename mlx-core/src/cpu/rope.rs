// SPDX-License-Identifier: EUPL-1.2
//! Rotary position embeddings, alone and behind the norm of each head.

use std::ffi::CStr;

use mlx_cpu::Isa;
use mlx_cpu::norm::RmsNorm;
use mlx_cpu::rope::{self as kernel, Frequencies, Heads};

use super::norm::HeldWeight;
use super::view::{Flat, elements_mut, length, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::Array;
use crate::custom::{Layout, Spec, View, apply_raw};
use crate::error::{Error, Result};
use crate::fast::{Norm, RopeOffset, RopeOptions};

/// `x`, `[B, .., L, E]`, turned; nothing where MLX shall see to it. The operands fit.
pub(crate) fn rope(x: &Array, options: &RopeOptions, offset: RopeOffset<'_>) -> Option<Result<Array>> {
    let (op, position) = plan(x, options, offset)?;
    let freqs = options.freqs.as_ref();
    let inputs: Vec<&Array> = [x].into_iter().chain(freqs).collect();
    let node = Node(Rope { form: Form::Heads, position, ..op });
    Some(apply_raw(node, &inputs, [Spec::new(x.shape(), x.dtype())]).map(|[turned]| turned))
}

/// `x`, `[B, L, H·E]`, as heads `[B, H, L, E]`, normed and turned.
pub(crate) fn rope_heads(
    x: &Array,
    heads: i32,
    norm: Option<&Norm<'_>>,
    options: &RopeOptions,
    offset: RopeOffset<'_>,
) -> Option<Result<Array>> {
    let (op, position) = plan(x, options, offset)?;
    if norm.is_some_and(|norm| !is_native(norm.weight.dtype())) {
        return None;
    }
    let &[batch, tokens, width] = x.shape() else { return None };
    let shape = [batch, heads, tokens, width / heads];
    let spec = Spec { shape: &shape, dtype: x.dtype(), layout: Layout::RowMajor };
    let inputs: Vec<&Array> =
        [x].into_iter().chain(options.freqs.as_ref()).chain(norm.map(|norm| norm.weight)).collect();
    let form = Form::Rows { heads, norm: norm.map(|norm| (norm.shift, norm.eps)) };
    let node = Node(Rope { form, position, ..op });
    Some(apply_raw(node, &inputs, [spec]).map(|[turned]| turned))
}

/// What the two have in common, or nothing where the kernels do not serve.
fn plan(x: &Array, options: &RopeOptions, offset: RopeOffset<'_>) -> Option<(Rope, i32)> {
    // An offset that is still to be computed is left to MLX.
    let RopeOffset::Position(position) = offset else { return None };
    let native = options.freqs.as_ref().is_none_or(|freqs| freqs.dtype() == crate::Dtype::Float32);
    if !is_native(x.dtype()) || x.size() == 0 || !native || !enabled() {
        return None;
    }
    let &RopeOptions { dims, traditional, base, scale, .. } = options;
    Some((Rope { dims, traditional, base, scale, position, form: Form::Heads, inverse: false }, position))
}

/// Inputs: `x`, periods where there is no base, and the weight of a norm.
#[derive(Clone)]
struct Rope {
    form: Form,
    dims: i32,
    traditional: bool,
    base: Option<f32>,
    scale: f32,
    position: i32,
    /// Whether to turn back, for the derivative.
    inverse: bool,
}

#[derive(Clone, Copy)]
enum Form {
    /// `[B, .., L, E]`.
    Heads,
    /// `[B, L, H·E]`, perhaps to be normed with this shift and epsilon.
    Rows { heads: i32, norm: Option<(f32, f32)> },
}

impl Rope {
    fn options(&self, freqs: Option<&Array>) -> RopeOptions {
        let &Self { dims, traditional, base, scale, .. } = self;
        RopeOptions { dims, traditional, base, scale, freqs: freqs.cloned() }
    }
}

impl Fused for Rope {
    const NAME: &'static CStr = c"rope";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [x, ..] = inputs else { return Ok(()) };
        with_element!(x.dtype(), "rope", compute::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let missing = || Error::shape("rope", "an input is missing");
        let [x, rest @ ..] = inputs else { return Err(missing()) };
        let (freqs, rest) = match (self.base, rest) {
            (None, [freqs, rest @ ..]) => (Some(freqs), rest),
            (_, rest) => (None, rest),
        };
        let options = self.options(freqs);
        let Form::Rows { heads, norm } = self.form else {
            return Ok(vec![crate::fast::plain_rope(x, &options, self.position.into())?]);
        };
        let &[batch, tokens, width] = x.shape() else { return Err(missing()) };
        let x = x.reshape(&[batch, tokens, heads, width / heads])?.transpose_axes(&[0, 2, 1, 3])?;
        let x = match (norm, rest) {
            (Some((shift, eps)), [weight]) => Norm { weight, shift, eps }.plain(&x)?,
            _ => x,
        };
        // A node of ours again, for which there is a derivative in one step.
        Ok(vec![crate::fast::rope(&x, &options, self.position)?])
    }

    /// A turn is undone by turning back.
    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let ([x, freqs @ ..], [y], [0], Form::Heads) = (primals, cotangents, argnums, self.form) else {
            let (function, chosen) = self.function_of(primals, argnums);
            return Ok(crate::transform::vjp(function, &chosen, cotangents)?.1);
        };
        let node = Node(Self { inverse: !self.inverse, ..self.clone() });
        let inputs: Vec<&Array> = [y].into_iter().chain(freqs).collect();
        apply_raw(node, &inputs, [Spec::new(x.shape(), y.dtype())]).map(Vec::from)
    }
}

fn compute<T: mlx_cpu::Element>(op: &Rope, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
    let ([x, rest @ ..], [out]) = (inputs, outputs) else { return Ok(()) };
    let (freqs, rest) = match (op.base, rest) {
        (None, [freqs, rest @ ..]) => (Some(Flat::<f32>::of(freqs)?), rest),
        (_, rest) => (None, rest),
    };
    let frequencies = match (&freqs, op.base) {
        (Some(freqs), _) => Frequencies::Periods(freqs),
        (None, base) => Frequencies::Base(base.unwrap_or(10_000.0)),
    };
    let rope = kernel::Rope {
        dims: length(op.dims),
        traditional: op.traditional,
        frequencies,
        scale: op.scale,
        magnitude: 1.0,
        inverse: op.inverse,
    };
    let held = Flat::<T>::of(x)?;
    let offsets = [op.position];
    let isa = Isa::current();
    match op.form {
        Form::Heads => {
            let [batch, middle @ .., tokens, width] = x.shape() else { return Ok(()) };
            let heads = middle.iter().map(|&dim| length(dim)).product();
            let shape = [length(*batch), heads, length(*tokens), length(*width)];
            let heads = Heads::packed(shape);
            kernel::rope(isa, &held, &heads, &rope, &offsets, elements_mut(out), &heads)?;
        }
        Form::Rows { norm, .. } => {
            let &[batch, heads, tokens, width] = out.shape() else { return Ok(()) };
            let shape = [batch, heads, tokens, width].map(length);
            let (from, to) = (Heads::in_rows(shape), Heads::packed(shape));
            let out = elements_mut(out);
            match (norm, rest) {
                (Some((offset, eps)), [weight]) => {
                    let weight = HeldWeight::of(weight)?;
                    let norm = RmsNorm { weight: Some(weight.lend()), offset, eps };
                    kernel::norm_rope(isa, &held, &from, &norm, &rope, &offsets, out, &to)?;
                }
                _ => kernel::rope(isa, &held, &from, &rope, &offsets, out, &to)?,
            }
        }
    }
    Ok(())
}
