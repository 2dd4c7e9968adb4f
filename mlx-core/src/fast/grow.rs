// SPDX-License-Identifier: EUPL-1.2
//! Keys and values that grow in place.

use std::cell::Cell;
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::{Array, cpu};

/// Buffers of keys and values, `[B, K, capacity, E]` each, that are appended to along the third axis.
///
/// Arrays never change, so to add a token to an array means to copy it. Here that is done only where somebody could
/// tell: what an append writes lies behind everything that was handed out before, so on the CPU it goes into the same
/// memory. A clone shares the memory until one of the two appends; the second to do so copies, and so does whoever
/// appends again at a place that was written before.
#[derive(Clone, Debug)]
pub struct KvBuffer {
    keys: Array,
    values: Array,
    /// How many tokens of the memory were ever written, by any clone.
    written: Rc<Cell<i32>>,
}

impl KvBuffer {
    /// Takes over buffers of which the first `written` tokens are of use.
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
        Ok(Self { keys, values, written: Rc::new(Cell::new(written)) })
    }

    /// How many tokens there is room for.
    #[must_use]
    pub fn capacity(&self) -> i32 {
        self.keys.shape().get(2).copied().unwrap_or(0)
    }

    /// All of the keys' memory, `[B, K, capacity, E]`.
    pub fn keys(&self) -> &Array {
        &self.keys
    }

    /// All of the values' memory, `[B, K, capacity, E]`.
    pub fn values(&self) -> &Array {
        &self.values
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
            (self.keys, self.values) = (k, v);
            self.written.set(stop);
            return Ok((seen_k, seen_v));
        }
        let k = self.keys.slice_update_axis(keys, 2, at, stop)?;
        let v = self.values.slice_update_axis(values, 2, at, stop)?;
        let seen = (k.slice_axis(2, first, stop)?, v.slice_axis(2, first, stop)?);
        *self = Self { keys: k, values: v, written: Rc::new(Cell::new(stop)) };
        Ok(seen)
    }
}
