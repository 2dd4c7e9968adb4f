// SPDX-License-Identifier: EUPL-1.2
//! A cache that keeps every token.

use mlx_core::Array;

use super::{check, grown, round_up, tokens};
use crate::error::Result;

/// Keys and values of every token, in buffers that grow in steps of 256 tokens.
#[derive(Clone, Debug, Default)]
pub struct FullCache {
    /// Keys and values, `[B, K, capacity, E]` each, of which the first `offset` tokens are filled.
    buffers: Option<(Array, Array)>,
    offset: i32,
}

impl FullCache {
    /// How many tokens went in.
    #[must_use]
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// As [`KvCache::append`](super::KvCache::append).
    pub(super) fn append(&mut self, keys: &Array, values: &Array) -> Result<(Array, Array)> {
        let length = check(self.buffers.as_ref().map(|(keys, _)| keys), keys, values)?;
        let (start, stop) = (self.offset, self.offset + length);
        let write = |buffer: Option<&Array>, new: &Array| -> Result<Array> {
            let buffer = match buffer {
                Some(buffer) if buffer.dim(2)? >= stop => buffer.clone(),
                Some(buffer) => grown(Some(&tokens(buffer, 0, start)?), new, round_up(stop))?,
                None => grown(None, new, round_up(stop))?,
            };
            Ok(buffer.slice_update_axis(new, 2, start, stop)?)
        };
        let k = write(self.buffers.as_ref().map(|(keys, _)| keys), keys)?;
        let v = write(self.buffers.as_ref().map(|(_, values)| values), values)?;
        let visible = (tokens(&k, 0, stop)?, tokens(&v, 0, stop)?);
        self.buffers = Some((k, v));
        self.offset = stop;
        Ok(visible)
    }

    pub(super) fn trim(&mut self, offset: i32) {
        self.offset = offset;
    }

    pub(super) fn buffers(&self) -> (Option<&Array>, Option<&Array>) {
        (self.buffers.as_ref().map(|(keys, _)| keys), self.buffers.as_ref().map(|(_, values)| values))
    }
}
