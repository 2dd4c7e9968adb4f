// SPDX-License-Identifier: EUPL-1.2
//! Keys and values that grow in place.

use std::cell::Cell;
use std::rc::Rc;

use super::{Mask, Norm, RopeOptions, rope_heads, scaled_dot_product_attention};
use crate::error::{Error, Result};
use crate::{Array, Dtype, cpu};

/// What [`KvBuffer::attend`] does to queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub struct CachedAttention<'a> {
    /// Heads of the queries.
    pub heads: i32,
    /// Norm of each head of the queries.
    pub q_norm: Option<Norm<'a>>,
    /// Norm of each head of the keys.
    pub k_norm: Option<Norm<'a>>,
    /// How queries and keys are turned.
    pub rope: &'a RopeOptions,
    /// Where the first of the new tokens stands in the text.
    pub position: i32,
    /// What scores are multiplied by.
    pub scale: f32,
    /// Which keys a query sees.
    pub mask: Mask<'a>,
}

/// Buffers of keys and values, `[B, K, capacity, E]` each, that are appended to along the third axis.
///
/// Arrays never change, so to add a token to an array means to copy it. Here that is done only where somebody could
/// tell: what an append writes lies behind everything that was handed out before, so on the CPU it goes into the same
/// memory. A clone shares the memory until one of the two appends; the second to do so copies, and so does whoever
/// appends again at a place that was written before. The memory itself is nobody else's: it is made here, and only what was
/// written is handed out.
///
/// # Examples
/// ```
/// # fn main() -> mlx_core::Result<()> {
/// use mlx_core::{Array, Dtype, fast::KvBuffer};
/// let mut buffer = KvBuffer::with_capacity([1, 2], 16, [4, 4], [Dtype::Float32; 2])?;
/// let new = Array::ones(&[1, 2, 3, 4], Dtype::Float32)?;
/// let (keys, values) = buffer.append(&new, &new, 0, 0)?;
/// assert_eq!((keys.shape(), values.shape()), (&[1, 2, 3, 4][..], &[1, 2, 3, 4][..]));
/// let (keys, _) = buffer.append(&new, &new, 3, 1)?;
/// assert_eq!((keys.shape()[2], buffer.len()), (5, 6));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct KvBuffer {
    keys: Array,
    values: Array,
    /// How many tokens of the memory are this clone's.
    len: i32,
    /// How many tokens of the memory were ever written, by any clone; fewer than none where the memory is somebody else's
    /// and is not written to.
    written: Rc<Cell<i32>>,
}

impl KvBuffer {
    /// Begins with arrays of which the first `written` tokens are of use. The first append copies them, unless nobody
    /// else has them.
    ///
    /// # Errors
    /// [`Error::Shape`] when they are not `[B, K, capacity, ..]` of the same B, K and capacity, or hold fewer tokens.
    pub fn new(keys: Array, values: Array, written: i32) -> Result<Self> {
        let fit = keys.ndim() == 4
            && values.ndim() == 4
            && keys.shape().get(..3) == values.shape().get(..3)
            && keys.shape().get(2).is_some_and(|capacity| (0..=*capacity).contains(&written));
        if !fit {
            let (k, v) = (keys.shape(), values.shape());
            let message = format!("keys of {k:?} and values of {v:?} do not hold {written} tokens together");
            return Err(Error::shape("kv_buffer", message));
        }
        Ok(Self { keys, values, len: written, written: Rc::new(Cell::new(-1)) })
    }

    /// Buffers without tokens and with room for `capacity`, `[B, K, capacity, E]` each, with E and dtype of keys and of
    /// values.
    ///
    /// # Errors
    /// [`Error::Shape`] when a number is negative, or the buffers do not fit in memory.
    pub fn with_capacity(
        [batch, kv_heads]: [i32; 2],
        capacity: i32,
        sizes: [i32; 2],
        dtypes: [Dtype; 2],
    ) -> Result<Self> {
        let shapes = sizes.map(|size| [batch, kv_heads, capacity, size]);
        let [keys, values] = match cpu::attention::unwritten(&shapes, dtypes) {
            Some(buffers) => buffers?,
            None => [Array::zeros(&shapes[0], dtypes[0])?, Array::zeros(&shapes[1], dtypes[1])?],
        };
        Ok(Self { written: Rc::new(Cell::new(0)), ..Self::new(keys, values, 0)? })
    }

    /// How many tokens there is room for.
    #[must_use]
    pub fn capacity(&self) -> i32 {
        self.keys.shape().get(2).copied().unwrap_or(0)
    }

    /// How many tokens there are.
    #[must_use]
    pub fn len(&self) -> i32 {
        self.len
    }

    /// Whether there are no tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The shape of all of the memory for keys, `[B, K, capacity, E]`.
    #[must_use]
    pub fn keys_shape(&self) -> &[i32] {
        self.keys.shape()
    }

    /// Bytes that the memory takes, tokens to come included.
    #[must_use]
    pub fn nbytes(&self) -> usize {
        self.keys.nbytes() + self.values.nbytes()
    }

    /// The keys of all tokens that there are, `[B, K, len, E]`. Lazy, and copies nothing.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn keys(&self) -> Result<Array> {
        self.keys.slice_axis(2, 0, self.len)
    }

    /// The values of all tokens that there are, `[B, K, len, E]`. Lazy, and copies nothing.
    ///
    /// # Errors
    /// [`Error::Mlx`] when memory is exhausted.
    pub fn values(&self) -> Result<Array> {
        self.values.slice_axis(2, 0, self.len)
    }

    /// Writes `keys` and `values`, `[B, K, L, E]` each, from token `at` on, and returns the tokens from `first` up to
    /// the new ones, `[B, K, at + L − first, E]` each. Lazy.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes do not fit or there is no room, [`Error::Argument`] when the dtypes differ; the
    /// buffer is then as it was.
    pub fn append(&mut self, keys: &Array, values: &Array, at: i32, first: i32) -> Result<(Array, Array)> {
        const OP: &str = "kv_buffer";
        let length = keys.shape().get(2).copied().unwrap_or(0);
        let stop = at.saturating_add(length);
        let fits = |buffer: &Array, new: &Array| match (buffer.shape(), new.shape()) {
            (&[b, k, _, e], &[nb, nk, nl, ne]) => (b, k, e, length) == (nb, nk, ne, nl),
            _ => false,
        };
        if !fits(&self.keys, keys) || !fits(&self.values, values) {
            let message = format!(
                "keys of {:?} and values of {:?} do not fit into {:?} and {:?}",
                keys.shape(),
                values.shape(),
                self.keys.shape(),
                self.values.shape()
            );
            return Err(Error::shape(OP, message));
        }
        if at < 0 || stop > self.capacity() || !(0..=at).contains(&first) {
            let message = format!("no room for tokens {at} to {stop} of {}", self.capacity());
            return Err(Error::shape(OP, message));
        }
        if at > self.len {
            let message = format!("token {at} would follow {} tokens with a gap", self.len);
            return Err(Error::shape(OP, message));
        }
        for (argument, new, buffer) in [("keys", keys, &self.keys), ("values", values, &self.values)] {
            if new.dtype() != buffer.dtype() {
                let message = format!("expected {}, found {}", buffer.dtype(), new.dtype());
                return Err(Error::argument(OP, argument, message));
            }
        }
        if self.written.get() == at
            && let Some(result) =
                cpu::attention::append([&self.keys, &self.values], [keys, values], at, first)
        {
            let [k, v, seen_k, seen_v] = result?;
            (self.keys, self.values, self.len) = (k, v, stop);
            self.written.set(stop);
            return Ok((seen_k, seen_v));
        }
        let k = self.keys.slice_update_axis(keys, 2, at, stop)?;
        let v = self.values.slice_update_axis(values, 2, at, stop)?;
        let seen = (k.slice_axis(2, first, stop)?, v.slice_axis(2, first, stop)?);
        *self = Self { keys: k, values: v, len: stop, written: Rc::new(Cell::new(stop)) };
        Ok(seen)
    }

    /// Attention of new tokens over those from `first` on: heads are split, normed and turned, keys and values written
    /// from token `at` on as [`append`](Self::append) does, and the heads of the result merged. Lazy.
    ///
    /// - shape: `q` `[B, L, H·E]`, `k` and `v` `[B, L, K·E]` → `[B, L, H·E]`
    /// - dtype: floating, the same for all, kept
    ///
    /// # Errors
    /// As [`append`](Self::append), [`rope_heads`] and [`scaled_dot_product_attention`]; the buffer is then as it was.
    pub fn attend(
        &mut self,
        [q, k, v]: [&Array; 3],
        options: &CachedAttention<'_>,
        at: i32,
        first: i32,
    ) -> Result<Array> {
        let &CachedAttention { heads, q_norm, k_norm, rope, position, scale, mask } = options;
        let &[batch, kv_heads, capacity, size] = self.keys.shape() else {
            return Err(Error::shape("kv_buffer", "expected four axes"));
        };
        let length = q.shape().get(1).copied().unwrap_or(0);
        let stop = at.saturating_add(length);
        let width = |heads: i32| heads.checked_mul(size).unwrap_or(-1);
        let fit = q.shape() == [batch, length, width(heads)]
            && [k, v].iter().all(|rows| rows.shape() == [batch, length, width(kv_heads)])
            && self.values.shape() == self.keys.shape()
            && (0 <= first && first <= at && stop <= capacity && at < stop);
        let norms_fit = [&q_norm, &k_norm].into_iter().flatten().all(|norm| norm.fits(size));
        let visible = stop - first;
        if fit
            && norms_fit
            && self.written.get() == at
            && self.len == at
            && heads > 0
            && heads % kv_heads.max(1) == 0
            && rope.check("kv_buffer", size).is_ok()
            && let Some(result) =
                cpu::attention::attend_cached([q, k, v], [&self.keys, &self.values], options, at, first)
        {
            let [out, keys, values] = result?;
            (self.keys, self.values, self.len) = (keys, values, stop);
            self.written.set(stop);
            return Ok(out);
        }
        let q = rope_heads(q, heads, q_norm.as_ref(), rope, position)?;
        let k = rope_heads(k, kv_heads, k_norm.as_ref(), rope, position)?;
        let v = v.reshape(&[batch, length, kv_heads, size])?.transpose_axes(&[0, 2, 1, 3])?;
        let (k, v) = self.append(&k, &v, at, first)?;
        let mask = match mask {
            Mask::Causal | Mask::Window(_) if length == 1 && visible > 0 => Mask::None,
            mask => mask,
        };
        let out = scaled_dot_product_attention(&q, &k, &v, scale, mask, None)?;
        out.transpose_axes(&[0, 2, 1, 3])?.reshape(&[batch, length, width(heads)])
    }
}
