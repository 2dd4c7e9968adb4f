// SPDX-License-Identifier: EUPL-1.2
//! A cache that keeps every token.

use mlx_core::Array;
use mlx_core::fast::KvBuffer;

use super::{check, grown, round_up, tokens};
use crate::error::Result;

/// Keys and values of every token, in buffers that grow in steps of 256 tokens.
#[derive(Clone, Debug, Default)]
pub struct FullCache {
    /// Keys and values, `[B, K, capacity, E]` each, of which the first `offset` tokens are filled.
    buffer: Option<KvBuffer>,
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
        let length = check(self.buffer.as_ref().map(KvBuffer::keys), keys, values)?;
        let stop = self.offset + length;
        let mut buffer = match &self.buffer {
            Some(buffer) if buffer.capacity() >= stop => buffer.clone(),
            Some(buffer) => {
                let kept = |array: &Array| tokens(array, 0, self.offset);
                let k = grown(Some(&kept(buffer.keys())?), keys, round_up(stop))?;
                KvBuffer::new(k, grown(Some(&kept(buffer.values())?), values, round_up(stop))?, self.offset)?
            }
            None => {
                let capacity = round_up(stop);
                KvBuffer::new(grown(None, keys, capacity)?, grown(None, values, capacity)?, 0)?
            }
        };
        let visible = buffer.append(keys, values, self.offset, 0)?;
        self.buffer = Some(buffer);
        self.offset = stop;
        Ok(visible)
    }

    pub(super) fn trim(&mut self, offset: i32) {
        self.offset = offset;
    }

    pub(super) fn buffers(&self) -> (Option<&Array>, Option<&Array>) {
        (self.buffer.as_ref().map(KvBuffer::keys), self.buffer.as_ref().map(KvBuffer::values))
    }
}
