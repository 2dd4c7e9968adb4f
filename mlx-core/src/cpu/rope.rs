// SPDX-License-Identifier: EUPL-1.2
//! Rotary position embeddings, alone and behind the norm of each head.

use std::ffi::CStr;

use mlx_cpu::Isa;
use mlx_cpu::norm::{RmsNorm, Weight};
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
    let turn = plan(x, options, offset)?;
    let freqs = options.freqs.as_ref();
    let inputs: Vec<&Array> = [x].into_iter().chain(freqs).collect();
    let node = Node(Rope { form: Form::Heads, turn });
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
    let turn = plan(x, options, offset)?;
    if norm.is_some_and(|norm| !is_native(norm.weight.dtype())) {
        return None;
    }
    let &[batch, tokens, width] = x.shape() else { return None };
    let shape = [batch, heads, tokens, width / heads];
    let spec = Spec { shape: &shape, dtype: x.dtype(), layout: Layout::RowMajor };
    let inputs: Vec<&Array> =
        [x].into_iter().chain(options.freqs.as_ref()).chain(norm.map(|norm| norm.weight)).collect();
    let form = Form::Rows { heads, norm: norm.map(|norm| (norm.shift, norm.eps)) };
    let node = Node(Rope { form, turn });
    Some(apply_raw(node, &inputs, [spec]).map(|[turned]| turned))
}

/// What the two have in common, or nothing where the kernels do not serve.
fn plan(x: &Array, options: &RopeOptions, offset: RopeOffset<'_>) -> Option<Turn> {
    // An offset that is still to be computed is left to MLX.
    let RopeOffset::Position(position) = offset else { return None };
    if !is_native(x.dtype()) || x.size() == 0 || !enabled() {
        return None;
    }
    Turn::new(options, position)
}

/// How heads are turned.
#[derive(Clone, Copy)]
pub(super) struct Turn {
    dims: i32,
    traditional: bool,
    base: Option<f32>,
    scale: f32,
    position: i32,
    /// Whether to turn back, for the derivative.
    inverse: bool,
}

impl Turn {
    /// As `options` say, or nothing where the kernels do not serve.
    pub(super) fn new(options: &RopeOptions, position: i32) -> Option<Self> {
        let native = options.freqs.as_ref().is_none_or(|freqs| freqs.dtype() == crate::Dtype::Float32);
        let &RopeOptions { dims, traditional, base, scale, .. } = options;
        native.then_some(Self { dims, traditional, base, scale, position, inverse: false })
    }

    fn options(&self, freqs: Option<&Array>) -> RopeOptions {
        let &Self { dims, traditional, base, scale, .. } = self;
        RopeOptions { dims, traditional, base, scale, freqs: freqs.cloned() }
    }

    /// The periods, where there is no base, and the inputs behind them.
    pub(super) fn periods<'v, 'a>(
        &self,
        inputs: &'v [View<'a>],
    ) -> Result<(Option<Flat<'a, f32>>, &'v [View<'a>])> {
        match (self.base, inputs) {
            (None, [freqs, rest @ ..]) => Ok((Some(Flat::of(freqs)?), rest)),
            (_, rest) => Ok((None, rest)),
        }
    }

    /// The same as the kernel takes it.
    pub(super) fn kernel<'f>(&self, freqs: Option<&'f [f32]>) -> kernel::Rope<'f> {
        kernel::Rope {
            dims: length(self.dims),
            traditional: self.traditional,
            frequencies: match freqs {
                Some(freqs) => Frequencies::Periods(freqs),
                None => Frequencies::Base(self.base.unwrap_or(10_000.0)),
            },
            scale: self.scale,
            magnitude: 1.0,
            inverse: self.inverse,
        }
    }

    /// Turns heads, which are normed before where there is a weight, with an offset and an epsilon.
    pub(super) fn run<T: mlx_cpu::Element>(
        &self,
        isa: Isa,
        x: &[T],
        from: &Heads,
        norm: Option<(Weight<'_>, f32, f32)>,
        rope: &kernel::Rope<'_>,
        out: &mut [T],
        to: &Heads,
    ) -> Result<()> {
        let offsets = [self.position];
        match norm {
            Some((weight, offset, eps)) => {
                let norm = RmsNorm { weight: Some(weight), offset, eps };
                kernel::norm_rope(isa, x, from, &norm, rope, &offsets, out, to)?;
            }
            None => kernel::rope(isa, x, from, rope, &offsets, out, to)?,
        }
        Ok(())
    }
}

/// Inputs: `x`, periods where there is no base, and the weight of a norm.
#[derive(Clone)]
struct Rope {
    form: Form,
    turn: Turn,
}

#[derive(Clone, Copy)]
enum Form {
    /// `[B, .., L, E]`.
    Heads,
    /// `[B, L, H·E]`, perhaps to be normed with this shift and epsilon.
    Rows { heads: i32, norm: Option<(f32, f32)> },
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
        let (freqs, rest) = match (self.turn.base, rest) {
            (None, [freqs, rest @ ..]) => (Some(freqs), rest),
            (_, rest) => (None, rest),
        };
        let options = self.turn.options(freqs);
        let position = self.turn.position;
        let Form::Rows { heads, norm } = self.form else {
            return Ok(vec![crate::fast::plain_rope(x, &options, position.into())?]);
        };
        let &[batch, tokens, width] = x.shape() else { return Err(missing()) };
        let x = x.reshape(&[batch, tokens, heads, width / heads])?.transpose_axes(&[0, 2, 1, 3])?;
        let x = match (norm, rest) {
            (Some((shift, eps)), [weight]) => Norm { weight, shift, eps }.plain(&x)?,
            _ => x,
        };
        // A node of ours again, for which there is a derivative in one step.
        Ok(vec![crate::fast::rope(&x, &options, position)?])
    }

    /// A turn is undone by turning back.
    fn vjp(&self, primals: &[Array], cotangents: &[Array], argnums: &[usize]) -> Result<Vec<Array>> {
        let ([x, freqs @ ..], [y], [0], Form::Heads) = (primals, cotangents, argnums, self.form) else {
            let (function, chosen) = self.function_of(primals, argnums);
            return Ok(crate::transform::vjp(function, &chosen, cotangents)?.1);
        };
        let turn = Turn { inverse: !self.turn.inverse, ..self.turn };
        let node = Node(Self { form: Form::Heads, turn });
        let inputs: Vec<&Array> = [y].into_iter().chain(freqs).collect();
        apply_raw(node, &inputs, [Spec::new(x.shape(), y.dtype())]).map(Vec::from)
    }
}

fn compute<T: mlx_cpu::Element>(op: &Rope, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
    let ([x, rest @ ..], [out]) = (inputs, outputs) else { return Ok(()) };
    let (freqs, rest) = op.turn.periods(rest)?;
    let rope = op.turn.kernel(freqs.as_deref());
    let held = Flat::<T>::of(x)?;
    let isa = Isa::current();
    match op.form {
        Form::Heads => {
            let [batch, middle @ .., tokens, width] = x.shape() else { return Ok(()) };
            let heads = middle.iter().map(|&dim| length(dim)).product();
            let heads = Heads::packed([length(*batch), heads, length(*tokens), length(*width)]);
            op.turn.run(isa, &held, &heads, None, &rope, elements_mut(out), &heads)
        }
        Form::Rows { norm, .. } => {
            let &[batch, heads, tokens, width] = out.shape() else { return Ok(()) };
            let shape = [batch, heads, tokens, width].map(length);
            let (from, to) = (Heads::in_rows(shape), Heads::packed(shape));
            let weight = rest.first().map(HeldWeight::of).transpose()?;
            let norm = norm.zip(weight.as_ref()).map(|((offset, eps), weight)| (weight.lend(), offset, eps));
            op.turn.run(isa, &held, &from, norm, &rope, elements_mut(out), &to)
        }
    }
}
