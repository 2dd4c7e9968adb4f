// SPDX-License-Identifier: EUPL-1.2
//! Attention, and the caches it reads.

use std::ffi::CStr;

use mlx_cpu::Isa;
use mlx_cpu::attention::{self as kernel, Floats, Operand};

use super::rope::Turn;
use super::view::{Flat, elements_mut, length, with_element};
use super::{Fused, Node, enabled, is_native};
use crate::custom::{Layout, RawOp, Spec, View, apply_raw};
use crate::error::{Error, Result};
use crate::fast::{CachedAttention, Mask};
use crate::{Array, Dtype};

/// `softmax(scale · q kᵀ + mask) v`, or nothing where MLX shall see to it. The shapes fit, and nothing is empty.
pub(crate) fn attend(
    q: &Array,
    k: &Array,
    v: &Array,
    scale: f32,
    mask: Mask<'_>,
    sinks: Option<&Array>,
) -> Option<Result<Array>> {
    let dtype = q.dtype();
    let served = is_native(dtype) && k.dtype() == dtype && v.dtype() == dtype;
    // As MLX has it: what is added to scores must not be wider than they are.
    let narrow = |array: &Array| array.dtype() == dtype || dtype == crate::Dtype::Float32;
    if !served || !enabled() || sinks.is_some_and(|sinks| !is_native(sinks.dtype()) || !narrow(sinks)) {
        return None;
    }
    let (kind, array) = match mask {
        Mask::None => (MaskKind::None, None),
        Mask::Causal => (MaskKind::Causal, None),
        Mask::Window(window) => (MaskKind::Window(window), None),
        Mask::Additive(mask) if is_native(mask.dtype()) && narrow(mask) => (MaskKind::Array, Some(mask)),
        Mask::Additive(_) => return None,
        Mask::Bool(mask) => (MaskKind::Array, Some(mask)),
    };
    let (&[batch, heads, queries, _], &[.., width]) = (q.shape(), v.shape()) else { return None };
    let shape = [batch, heads, queries, width];
    // As `[B, L, H, D]`, so that merging the heads moves nothing.
    let [h, l, d] = [heads, queries, width].map(i64::from);
    let strides = [l * h * d, d, h * d, 1];
    let spec = Spec { shape: &shape, dtype, layout: Layout::Strides(&strides) };
    let mut inputs = vec![q, k, v];
    inputs.extend(array);
    inputs.extend(sinks);
    let node = Node(Attend { scale, mask: kind, sinks: sinks.is_some() });
    Some(apply_raw(node, &inputs, [spec]).map(|[out]| out))
}

#[derive(Clone, Copy)]
enum MaskKind {
    None,
    Causal,
    Window(i32),
    Array,
}

/// Inputs: `q`, `k`, `v`, perhaps a mask, perhaps sinks.
#[derive(Clone)]
struct Attend {
    scale: f32,
    mask: MaskKind,
    sinks: bool,
}

impl Fused for Attend {
    const NAME: &'static CStr = c"scaled_dot_product_attention";

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let [q, ..] = inputs else { return Ok(()) };
        with_element!(q.dtype(), "scaled_dot_product_attention", compute::<_>(self, inputs, outputs))
    }

    fn composite(&self, inputs: &[Array]) -> Result<Vec<Array>> {
        let [q, k, v, rest @ ..] = inputs else {
            return Err(Error::shape("scaled_dot_product_attention", "an input is missing"));
        };
        let (mask, rest) = match (self.mask, rest) {
            (MaskKind::Array, [mask, rest @ ..]) if mask.dtype() == crate::Dtype::Bool => {
                (Mask::Bool(mask), rest)
            }
            (MaskKind::Array, [mask, rest @ ..]) => (Mask::Additive(mask), rest),
            (MaskKind::Causal, rest) => (Mask::Causal, rest),
            (MaskKind::Window(window), rest) => (Mask::Window(window), rest),
            (_, rest) => (Mask::None, rest),
        };
        let sinks = if self.sinks { rest.first() } else { None };
        Ok(vec![crate::fast::plain_attention(q, k, v, self.scale, mask, sinks)?])
    }
}

fn compute<T: kernel::Element + Copy>(
    op: &Attend,
    inputs: &[View<'_>],
    outputs: &mut [View<'_>],
) -> Result<()> {
    let ([q, k, v, rest @ ..], [out]) = (inputs, outputs) else { return Ok(()) };
    let (&[batch, heads, queries, width], &[_, kv_heads, keys, value_width]) = (q.shape(), v.shape()) else {
        return Ok(());
    };
    let (mask_view, sinks) = match (op.mask, rest) {
        (MaskKind::Array, [mask, rest @ ..]) => (Some(mask), rest.first()),
        (_, rest) => (None, rest.first()),
    };
    let (q_held, k_held, v_held) =
        (HeldOperand::<T>::of(q)?, HeldOperand::<T>::of(k)?, HeldOperand::<T>::of(v)?);
    let held_mask = mask_view.map(|mask| HeldMask::of(mask, [batch, heads, queries, keys])).transpose()?;
    let sinks = sinks.map(super::norm::HeldWeight::of).transpose()?.map(|sinks| sinks.to_floats());
    let attention = kernel::Attention {
        batch: length(batch),
        heads: length(heads),
        kv_heads: length(kv_heads),
        queries: length(queries),
        keys: length(keys),
        width: length(width),
        value_width: length(value_width),
        q: q_held.lend(),
        k: k_held.lend(),
        v: v_held.lend(),
        scale: op.scale,
        mask: match (op.mask, &held_mask) {
            (MaskKind::Array, Some(mask)) => mask.lend(),
            (MaskKind::Causal, _) => kernel::Mask::Causal,
            (MaskKind::Window(window), _) => kernel::Mask::Window(length(window)),
            _ => kernel::Mask::None,
        },
        sinks: sinks.as_deref(),
    };
    let [h, l, d] = [heads, queries, value_width].map(length);
    Ok(kernel::attend(Isa::current(), &attention, super::view::elements_mut(out), [l * h * d, d, h * d])?)
}

/// An operand whose last axis is contiguous, lent or copied.
struct HeldOperand<'a, T> {
    data: Flat<'a, T>,
    strides: [usize; 3],
}

impl<'a, T: Copy> HeldOperand<'a, T> {
    fn of(view: &View<'a>) -> Result<Self> {
        let (shape, strides) = (view.shape(), view.strides());
        let (&[b, h, l, e], &[by_b, by_h, by_l, step]) = (shape, strides) else {
            return Err(Error::shape("scaled_dot_product_attention", "expected four axes"));
        };
        let outer = [by_b, by_h, by_l].map(|stride| usize::try_from(stride).ok());
        if let [Some(by_b), Some(by_h), Some(by_l)] = outer
            && (step == 1 || e == 1)
            && view.data().cast::<T>().is_aligned()
        {
            let [b, h, l, e] = [b, h, l, e].map(length);
            let len = (b - 1) * by_b + (h - 1) * by_h + (l - 1) * by_l + e;
            // SAFETY: by the contract of `View` the last of these elements is there; those between are within the same
            // buffer, and what is not initialised among them is not looked at. Nobody writes to what is looked at.
            let data = unsafe { std::slice::from_raw_parts(view.data().cast::<T>().cast_const(), len) };
            return Ok(Self { data: Flat::Lent(data), strides: [by_b, by_h, by_l] });
        }
        let [h, l, e] = [h, l, e].map(length);
        Ok(Self { data: Flat::of(view)?, strides: [h * l * e, l * e, e] })
    }

    fn lend(&self) -> Operand<'_, T> {
        Operand { data: &self.data, strides: self.strides }
    }
}

/// A mask with strides for all four axes of the scores.
struct HeldMask<'a> {
    data: MaskData<'a>,
    strides: [usize; 4],
}

enum MaskData<'a> {
    Bool(Flat<'a, u8>),
    F32(Flat<'a, f32>),
    Bf16(Flat<'a, half::bf16>),
    F16(Flat<'a, half::f16>),
}

impl<'a> HeldMask<'a> {
    fn of(view: &View<'a>, scores: [i32; 4]) -> Result<Self> {
        use crate::Dtype;
        // Row-major strides of the mask's own shape, and 0 where it is broadcast.
        let shape = view.shape();
        let mut strides = [0usize; 4];
        let mut next = 1;
        for ((slot, &dim), &score) in
            strides.iter_mut().rev().zip(shape.iter().rev()).zip(scores.iter().rev())
        {
            if dim == score && dim > 1 {
                *slot = next;
            }
            next *= length(dim);
        }
        let data = match view.dtype() {
            Dtype::Bool => MaskData::Bool(Flat::of(view)?),
            Dtype::Bfloat16 => MaskData::Bf16(Flat::of(view)?),
            Dtype::Float16 => MaskData::F16(Flat::of(view)?),
            _ => MaskData::F32(Flat::of(view)?),
        };
        Ok(Self { data, strides })
    }

    fn lend(&self) -> kernel::Mask<'_> {
        let strides = self.strides;
        let data = match &self.data {
            MaskData::Bool(data) => return kernel::Mask::Bool { data, strides },
            MaskData::F32(data) => Floats::F32(data),
            MaskData::Bf16(data) => Floats::Bf16(data),
            MaskData::F16(data) => Floats::F16(data),
        };
        kernel::Mask::Additive { data, strides }
    }
}

/// Arrays that nothing has been written to, or nothing where MLX shall make them.
pub(crate) fn unwritten(shapes: &[[i32; 4]; 2], dtypes: [Dtype; 2]) -> Option<Result<[Array; 2]>> {
    // What is traced is computed in other ways too, of all of its elements.
    if !enabled() || crate::closure::is_tracing() {
        return None;
    }
    let specs = [Spec::new(&shapes[0], dtypes[0]), Spec::new(&shapes[1], dtypes[1])];
    Some(apply_raw(Unwritten, &[], specs))
}

/// Memory, as it is.
struct Unwritten;

impl RawOp for Unwritten {
    fn name(&self) -> &'static CStr {
        c"unwritten"
    }

    fn eval(&self, _: &[View<'_>], _: &mut [View<'_>]) -> Result<()> {
        Ok(())
    }
}

/// Writes `new` keys and values behind token `at` of their buffers, in place: the buffers as they are then, and views of
/// the tokens from `first` on. Shapes and dtypes fit.
///
/// The caller answers for it that nobody has seen what lies there.
pub(crate) fn append(
    buffers: [&Array; 2],
    new: [&Array; 2],
    at: i32,
    first: i32,
) -> Option<Result<[Array; 4]>> {
    // A derivative needs the old arrays as they were.
    if !enabled() || crate::closure::is_tracing() || new.iter().any(|new| new.size() == 0) {
        return None;
    }
    let sizes: [Option<i64>; 2] = buffers.map(|buffer| match buffer.dtype().size() {
        2 | 4 => buffer.shape().get(3).map(|&size| i64::from(size)),
        _ => None,
    });
    let [Some(k_size), Some(v_size)] = sizes else { return None };
    let &[batch, heads, capacity, _] = buffers[0].shape() else { return None };
    let tokens = at + new[0].shape().get(2).copied()? - first;
    let strides = |size: i64| {
        let head = size * i64::from(capacity);
        [head * i64::from(heads), head, size, 1]
    };
    let (k_strides, v_strides) = (strides(k_size), strides(v_size));
    let shape = |size: i64| [batch, heads, tokens, i32::try_from(size).unwrap_or(0)];
    let (k_shape, v_shape) = (shape(k_size), shape(v_size));
    let start = |size: i64| length(first) * usize::try_from(size).unwrap_or(0);
    let alias = |input, offset, strides| Layout::Alias { input, offset, strides };
    let spec = |shape, like: &Array, layout| Spec { shape, dtype: like.dtype(), layout };
    Some(apply_raw(
        Append { at: length(at) },
        &[buffers[0], buffers[1], new[0], new[1]],
        [
            spec(buffers[0].shape(), buffers[0], alias(0, 0, &k_strides)),
            spec(buffers[1].shape(), buffers[1], alias(1, 0, &v_strides)),
            spec(&k_shape, buffers[0], alias(0, start(k_size), &k_strides)),
            spec(&v_shape, buffers[1], alias(1, start(v_size), &v_strides)),
        ],
    ))
}

/// Copies new tokens into buffers.
struct Append {
    at: usize,
}

impl RawOp for Append {
    fn name(&self) -> &'static CStr {
        c"append"
    }

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        let ([_, _, k, v], [k_buffer, v_buffer, ..]) = (inputs, outputs) else { return Ok(()) };
        for (new, buffer) in [(k, k_buffer), (v, v_buffer)] {
            match new.dtype().size() {
                2 => copy::<u16>(new, buffer, self.at)?,
                4 => copy::<u32>(new, buffer, self.at)?,
                _ => return Err(Error::shape("append", "expected elements of two or four bytes")),
            }
        }
        Ok(())
    }
}

/// Copies `new`, `[B, K, L, E]`, into a row-major buffer `[B, K, capacity, E]` from token `at` on.
fn copy<T: Copy>(new: &View<'_>, buffer: &View<'_>, at: usize) -> Result<()> {
    let (&[batch, heads, tokens, size], &[_, _, capacity, _]) = (new.shape(), buffer.shape()) else {
        return Err(Error::shape("append", "expected four axes"));
    };
    let &[by_batch, by_head, by_token, step] = new.strides() else { return Ok(()) };
    let (size, capacity) = (length(size), length(capacity));
    for b in 0..batch {
        for h in 0..heads {
            let row = (length(b) * length(heads) + length(h)) * capacity + at;
            for t in 0..tokens {
                let from = i64::from(b) * by_batch + i64::from(h) * by_head + i64::from(t) * by_token;
                // SAFETY: the index lies within the shape of `new`, and the token within the capacity, as was checked
                // when the op was applied. The buffer is written by this op alone, in a place that nobody reads.
                unsafe {
                    let from = new.data().cast::<T>().cast_const().offset(isize::try_from(from).unwrap_or(0));
                    let to = buffer.data().cast::<T>().add((row + length(t)) * size);
                    if step == 1 {
                        std::ptr::copy_nonoverlapping(from, to, size);
                    } else {
                        for i in 0..size {
                            let step = isize::try_from(step).unwrap_or(0) * isize::try_from(i).unwrap_or(0);
                            to.add(i).write_unaligned(from.offset(step).read_unaligned());
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// Attention with a cache in one node: the result, `[B, L, H·E]`, and the buffers as they are then. Shapes fit; nothing
/// where plain ops shall see to it.
///
/// The caller answers for it that nobody has seen what lies behind token `at` of the buffers.
pub(crate) fn attend_cached(
    rows: [&Array; 3],
    buffers: [&Array; 2],
    options: &CachedAttention<'_>,
    at: i32,
    first: i32,
) -> Option<Result<[Array; 3]>> {
    let [q, ..] = rows;
    let dtype = q.dtype();
    let norms = [options.q_norm, options.k_norm];
    let same = rows.iter().chain(&buffers).all(|array| array.dtype() == dtype);
    let native = norms.iter().flatten().all(|norm| is_native(norm.weight.dtype()));
    if !is_native(dtype) || !same || !native || q.size() == 0 || !enabled() || crate::closure::is_tracing() {
        return None;
    }
    let mask = match options.mask {
        Mask::None => MaskKind::None,
        Mask::Causal => MaskKind::Causal,
        Mask::Window(window) => MaskKind::Window(window),
        Mask::Additive(_) | Mask::Bool(_) => return None,
    };
    let turn = Turn::new(options.rope, options.position)?;
    let &[batch, kv_heads, capacity, size] = buffers[0].shape() else { return None };
    let &[_, tokens, _] = q.shape() else { return None };
    let [k, c, e] = [kv_heads, capacity, size].map(i64::from);
    let strides = [k * c * e, c * e, e, 1];
    let alias = |input| Spec {
        shape: buffers[0].shape(),
        dtype,
        layout: Layout::Alias { input, offset: 0, strides: &strides },
    };
    let turned = [batch, options.heads, tokens, size];
    let inputs: Vec<&Array> = buffers
        .into_iter()
        .chain(rows)
        .chain(options.rope.freqs.as_ref())
        .chain(norms.iter().flatten().map(|norm| norm.weight))
        .collect();
    let op = AttendCached {
        turn,
        norms: norms.map(|norm| norm.map(|norm| (norm.shift, norm.eps))),
        scale: options.scale,
        mask,
        at: length(at),
        first: length(first),
    };
    // The last is where the turned queries lie meanwhile.
    let specs = [Spec::new(q.shape(), dtype), alias(0), alias(1), Spec::new(&turned, dtype)];
    Some(apply_raw(op, &inputs, specs).map(|[out, keys, values, _]| [out, keys, values]))
}

/// Inputs: buffers of keys and values, rows of queries, keys and values, periods where there is no base, and the
/// weights of the norms.
struct AttendCached {
    turn: Turn,
    norms: [Option<(f32, f32)>; 2],
    scale: f32,
    mask: MaskKind,
    at: usize,
    first: usize,
}

impl RawOp for AttendCached {
    fn name(&self) -> &'static CStr {
        c"attend_cached"
    }

    fn eval(&self, inputs: &[View<'_>], outputs: &mut [View<'_>]) -> Result<()> {
        if super::is_hollow() {
            return Ok(());
        }
        let [buffer, ..] = inputs else { return Ok(()) };
        with_element!(buffer.dtype(), "attend_cached", compute_cached::<_>(self, inputs, outputs))
    }
}

fn compute_cached<T: kernel::Element + mlx_cpu::Element>(
    op: &AttendCached,
    inputs: &[View<'_>],
    outputs: &mut [View<'_>],
) -> Result<()> {
    let ([_, _, q, k, v, rest @ ..], [out, keys, values, turned]) = (inputs, outputs) else { return Ok(()) };
    let (freqs, rest) = op.turn.periods(rest)?;
    let rope = op.turn.kernel(freqs.as_deref());
    let mut weights = rest.iter();
    let mut norm = |norm: Option<(f32, f32)>| match (norm, norm.and(weights.next())) {
        (Some((offset, eps)), Some(weight)) => {
            super::norm::HeldWeight::of(weight).map(|held| Some((held, offset, eps)))
        }
        _ => Ok(None),
    };
    let [q_norm, k_norm] = [norm(op.norms[0])?, norm(op.norms[1])?];
    let (&[batch, kv_heads, capacity, size], &[_, heads, tokens, _]) = (keys.shape(), turned.shape()) else {
        return Ok(());
    };
    let [batch, kv_heads, capacity, size, heads, tokens] =
        [batch, kv_heads, capacity, size, heads, tokens].map(length);
    let isa = Isa::current();
    let buffer_strides = [kv_heads * capacity * size, capacity * size, size];
    let turn = |x: &View<'_>,
                heads: usize,
                norm: &Option<(super::norm::HeldWeight<'_>, f32, f32)>,
                out: &mut [T],
                strides| {
        let shape = [batch, heads, tokens, size];
        let (from, to) = (mlx_cpu::rope::Heads::in_rows(shape), mlx_cpu::rope::Heads { shape, strides });
        let x = Flat::<T>::of(x)?;
        op.turn.run(isa, &x, &from, norm.as_ref().map(|(w, o, e)| (w.lend(), *o, *e)), &rope, out, &to)
    };
    // The buffers are written behind `at` alone, which nobody else looks at.
    let start = op.at * size;
    let keys_all = elements_mut::<T>(keys);
    turn(k, kv_heads, &k_norm, &mut keys_all[start..], buffer_strides)?;
    let values_all = elements_mut::<T>(values);
    let v = Flat::<T>::of(v)?;
    for (row, tokens_of) in v.chunks_exact((kv_heads * size).max(1)).enumerate() {
        let (b, t) = (row / tokens, row % tokens);
        for (h, value) in tokens_of.chunks_exact(size.max(1)).enumerate() {
            let to = b * buffer_strides[0] + h * buffer_strides[1] + start + t * size;
            values_all[to..to + size].copy_from_slice(value);
        }
    }
    let turned = elements_mut::<T>(turned);
    turn(q, heads, &q_norm, turned, [heads * tokens * size, tokens * size, size])?;
    let visible = op.at + tokens - op.first;
    let cached = |data| Operand { data, strides: buffer_strides };
    let attention = kernel::Attention {
        batch,
        heads,
        kv_heads,
        queries: tokens,
        keys: visible,
        width: size,
        value_width: size,
        q: Operand { data: turned, strides: [heads * tokens * size, tokens * size, size] },
        k: cached(&keys_all[op.first * size..]),
        v: cached(&values_all[op.first * size..]),
        scale: op.scale,
        mask: match op.mask {
            MaskKind::Causal => kernel::Mask::Causal,
            MaskKind::Window(window) => kernel::Mask::Window(length(window)),
            _ => kernel::Mask::None,
        },
        sinks: None,
    };
    let width = heads * size;
    Ok(kernel::attend(isa, &attention, elements_mut(out), [tokens * width, size, width])?)
}
