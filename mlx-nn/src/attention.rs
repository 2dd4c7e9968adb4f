// SPDX-License-Identifier: EUPL-1.2
//! Heads, masks and attention.
//!
//! Source: arXiv:1706.03762; heads that share keys and values: arXiv:2305.13245. Shapes: B batch, L new tokens, S keys,
//! H query heads, K key-value heads (a divisor of H), E head size.

use mlx_core::fast::{self, CachedAttention, KvBuffer, Mask};
use mlx_core::{Array, Dtype};

use crate::error::{Error, Result, positive};
use crate::matrix::like;
use crate::{RmsNorm, Rope};

/// `[B, L, H·E]` → `[B, H, L, E]`.
///
/// # Errors
/// [`Error::Input`] when `x` has not three axes, the last of them a multiple of `heads`.
pub fn split_heads(x: &Array, heads: i32) -> Result<Array> {
    let heads = positive("heads", heads)?;
    match *x.shape() {
        [b, l, d] if d % heads == 0 => {
            Ok(x.reshape(&[b, l, heads, d / heads])?.transpose_axes(&[0, 2, 1, 3])?)
        }
        _ => Err(Error::input("split heads", format!("[B, L, {heads}·E]"), x.shape())),
    }
}

/// `[B, H, L, E]` → `[B, L, H·E]`.
///
/// # Errors
/// [`Error::Input`] when `x` has not four axes.
pub fn merge_heads(x: &Array) -> Result<Array> {
    let &[b, h, l, e] = x.shape() else {
        return Err(Error::input("merge heads", "[B, H, L, E]", x.shape()));
    };
    let width =
        h.checked_mul(e).ok_or_else(|| Error::input("merge heads", "fewer values a token", x.shape()))?;
    Ok(x.transpose_axes(&[0, 2, 1, 3])?.reshape(&[b, l, width])?)
}

/// How a layer makes queries and keys of its projections, and scores of these.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// H.
    pub queries: i32,
    /// K.
    pub keys: i32,
    /// Norm of each head of the queries.
    pub q_norm: &'a RmsNorm,
    /// Norm of each head of the keys.
    pub k_norm: &'a RmsNorm,
    /// Turns queries and keys by their positions.
    pub rope: &'a Rope,
    /// What scores are multiplied by.
    pub scale: f32,
}

/// Where new tokens stand, in a text and in the buffers of a cache.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The position of the first new token in the text.
    pub position: i32,
    /// Tokens of the text as far as it is known, for [`Rope::forward_within`].
    pub text: i32,
    /// Where the first new token goes in the buffers.
    pub at: i32,
    /// The first token in the buffers that the new ones may look at.
    pub first: i32,
}

impl Heads<'_> {
    /// Attention of new tokens over themselves and those in `buffer`, to which their keys and values are added: heads
    /// are split, normed, turned, attended to and merged again.
    ///
    /// `q`: `[B, L, H·E]`, `k` and `v`: `[B, L, K·E]` → `[B, L, H·E]`, in the dtype of `q`.
    ///
    /// # Errors
    /// [`Error::Input`] when the shapes do not fit each other, [`Error::Core`] when they do not fit the buffer, and
    /// [`Error::Config`] for an impossible position.
    pub fn attend(
        &self,
        q: &Array,
        k: &Array,
        v: &Array,
        buffer: &mut KvBuffer,
        place: Place,
        mask: Mask<'_>,
    ) -> Result<Array> {
        let Place { position, text, at, first } = place;
        let &[_, new, _] = q.shape() else { return Err(Error::input("attend", "[B, L, H·E]", q.shape())) };
        if let Some(rope) = self.rope.plain_options(new, position, text)? {
            let options = CachedAttention {
                heads: self.queries,
                q_norm: Some(self.q_norm.as_norm()),
                k_norm: Some(self.k_norm.as_norm()),
                rope: &rope,
                position,
                scale: self.scale,
                mask,
            };
            return Ok(buffer.attend([q, k, v], &options, at, first)?);
        }
        let q = self.rope.heads(q, self.queries, self.q_norm, position, text)?; // [B, H, L, E]
        let k = self.rope.heads(k, self.keys, self.k_norm, position, text)?; // [B, K, L, E]
        let (k, v) = buffer.append(&k, &split_heads(v, self.keys)?, at, first)?; // [B, K, S, E]
        merge_heads(&attend(&q, &k, &v, self.scale, mask)?)
    }

    /// Attention of the tokens of whole texts, of which the longest is known to have `text` tokens: [`attend`](Self::attend)
    /// without a buffer.
    ///
    /// # Errors
    /// As [`attend`](Self::attend).
    pub fn attend_whole(&self, q: &Array, k: &Array, v: &Array, text: i32, mask: Mask<'_>) -> Result<Array> {
        let q = self.rope.heads(q, self.queries, self.q_norm, 0, text)?; // [B, H, L, E]
        let k = self.rope.heads(k, self.keys, self.k_norm, 0, text)?; // [B, K, L, E]
        merge_heads(&attend(&q, &k, &split_heads(v, self.keys)?, self.scale, mask)?)
    }
}

/// `softmax(scale · q · kᵀ + mask) · v`, the softmax in float32, in the dtype of `q`.
///
/// `q`: `[B, H, L, E]`, `k` and `v`: `[B, K, S, E]` → `[B, H, L, E]`. Every key head serves `H / K` query heads, in
/// order; it is not copied for them.
///
/// [`Mask::Causal`] takes the L queries for the last of the S tokens, so it serves a chunk after cached tokens as it
/// stands, and for one token there is nothing to mask. An additive mask may have any floating dtype.
///
/// # Errors
/// [`Error::Input`] when the shapes do not fit each other.
pub fn attend(q: &Array, k: &Array, v: &Array, scale: f32, mask: Mask<'_>) -> Result<Array> {
    let (&[b, h, l, e], &[kb, heads, s, ke]) = (q.shape(), k.shape()) else {
        let bad = if q.ndim() == 4 { k } else { q };
        return Err(Error::input("attend", "[B, H, L, E]", bad.shape()));
    };
    if (kb, ke) != (b, e) || heads < 1 || h % heads != 0 {
        return Err(Error::input(
            "attend",
            format!("keys [{b}, K, S, {e}] with {h} a multiple of K"),
            k.shape(),
        ));
    }
    if v.shape().get(..3) != Some(&[b, heads, s]) || v.ndim() != 4 {
        return Err(Error::input("attend", format!("values [{b}, {heads}, {s}, E]"), v.shape()));
    }
    let converted;
    let mask = match mask {
        Mask::Causal | Mask::Window(_) if l > s => {
            // The first queries would see nothing at all, and their softmax be a division of zero by zero.
            return Err(Error::input("attend", format!("at least {l} keys for {l} queries"), k.shape()));
        }
        Mask::Causal if l == 1 => Mask::None,
        Mask::Additive(values) if values.dtype() != q.dtype() => {
            converted = values.astype(q.dtype())?;
            Mask::Additive(&converted)
        }
        other => other,
    };
    like(fast::scaled_dot_product_attention(q, k, v, scale, mask, None)?, q)
}

/// True where a query sees a key: key `j` is not after query `i`, `j ≤ i`.
///
/// The queries stand at positions `offset..offset + l`, the keys at `0..offset + l`: bool `[l, offset + l]`.
///
/// # Errors
/// [`Error::Config`] when `l` is not positive, `offset` negative, or their sum too large.
pub fn causal_mask(l: i32, offset: i32) -> Result<Array> {
    let (queries, keys) = positions(l, offset)?;
    Ok(keys.less_equal(&queries)?)
}

/// True where a query sees a key within its window: `i − window < j ≤ i`, so that `window` keys are seen, its own
/// included.
///
/// The queries stand at positions `offset..offset + l`, the keys at `0..offset + l`: bool `[l, offset + l]`. Where
/// older keys are no longer kept, count positions from the oldest that is: only differences matter.
///
/// # Errors
/// As [`causal_mask`], and when `window` is not positive.
pub fn sliding_mask(l: i32, offset: i32, window: i32) -> Result<Array> {
    let window = positive("window", window)?;
    let (queries, keys) = positions(l, offset)?;
    let near = keys.greater(&(&queries - window)?)?;
    Ok(keys.less_equal(&queries)?.logical_and(&near)?)
}

/// Positions of the queries, int32 `[l, 1]`, and of the keys, `[1, offset + l]`.
fn positions(l: i32, offset: i32) -> Result<(Array, Array)> {
    let l = positive("l", l)?;
    let end = match offset {
        0.. => offset.checked_add(l),
        _ => None,
    };
    let end =
        end.ok_or_else(|| Error::config("offset", format!("expected 0 or a text's length, found {offset}")))?;
    let range = |start: i32| Array::arange(f64::from(start), f64::from(end), 1.0, Dtype::Int32);
    Ok((range(offset)?.expand_dims(1)?, range(0)?.expand_dims(0)?))
}
