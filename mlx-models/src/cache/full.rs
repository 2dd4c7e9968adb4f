// SPDX-License-Identifier: EUPL-1.2
//! A cache that keeps every token.

use mlx_core::Array;
use mlx_core::fast::KvBuffer;

use super::{Tokens, check, round_up};
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
        check(self.buffer.as_ref(), keys, values)?;
        self.write(
            &Tokens::of(keys, values)?,
            |buffer, at, first| Ok(buffer.append(keys, values, at, first)?),
        )
    }

    /// Lets `body` write new tokens into buffers that have room for them: it is told where they go, and what they see
    /// first.
    pub(super) fn write<R>(
        &mut self,
        new: &Tokens,
        body: impl FnOnce(&mut KvBuffer, i32, i32) -> Result<R>,
    ) -> Result<R> {
        let stop = self.offset + new.length;
        let mut buffer = match &self.buffer {
            Some(buffer) if buffer.capacity() >= stop => buffer.clone(),
            Some(buffer) => new.grown(Some((buffer, 0, self.offset)), round_up(stop))?,
            None => new.grown(None, round_up(stop))?,
        };
        let result = body(&mut buffer, self.offset, 0)?;
        self.buffer = Some(buffer);
        self.offset = stop;
        Ok(result)
    }

    pub(super) fn trim(&mut self, offset: i32) {
        self.offset = offset;
    }

    pub(super) fn buffer(&self) -> Option<&KvBuffer> {
        self.buffer.as_ref()
    }
}
