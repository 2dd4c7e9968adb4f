// SPDX-License-Identifier: EUPL-1.2
//! A cache for layers with a sliding window.

use mlx_core::Array;
use mlx_core::fast::KvBuffer;

use super::{STEP, Tokens, check, round_up};
use crate::error::{Error, Result};

/// Keys and values of the tokens that a window of W still reaches, and up to 256 more so that the text can be
/// taken back a little.
///
/// L new tokens see the last W − 1 tokens before them and each other: that is what [`append`](super::KvCache::append)
/// returns, whatever L is. The buffers hold the tokens in the order of the text; when they are full, the tokens
/// that are out of reach are dropped and the rest moves to the front. That copy comes once in 256 tokens, where a
/// ring would have to be put back in order for every chunk.
#[derive(Clone, Debug)]
pub struct RotatingCache {
    /// Keys and values, `[B, K, capacity, E]` each, of which the first `held` tokens are filled.
    buffer: Option<KvBuffer>,
    /// How many tokens are in the buffers; the last of them is at position `offset - 1`.
    held: i32,
    offset: i32,
    window: i32,
}

impl RotatingCache {
    /// An empty cache for a window of `window` tokens, the looking token included.
    ///
    /// # Errors
    /// [`Error::Argument`] when `window` is below 1.
    pub fn new(window: i32) -> Result<Self> {
        if window < 1 {
            let message = format!("expected at least 1, found {window}");
            return Err(Error::Argument { argument: "sliding_window", message });
        }
        Ok(Self { buffer: None, held: 0, offset: 0, window })
    }

    /// How many tokens went in.
    #[must_use]
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// How many tokens a token sees, itself included.
    #[must_use]
    pub fn window(&self) -> i32 {
        self.window
    }

    /// How many earlier tokens the next [`append`](super::KvCache::append) returns in front of the new ones.
    #[must_use]
    pub fn visible(&self) -> i32 {
        self.offset.min(self.window - 1)
    }

    /// As [`KvCache::append`](super::KvCache::append).
    pub(super) fn append(&mut self, keys: &Array, values: &Array) -> Result<(Array, Array)> {
        check(self.buffer.as_ref(), keys, values)?;
        self.write(
            &Tokens::of(keys, values)?,
            |buffer, at, first| Ok(buffer.append(keys, values, at, first)?),
        )
    }

    /// As [`FullCache::write`](super::FullCache).
    pub(super) fn write<R>(
        &mut self,
        new: &Tokens,
        body: impl FnOnce(&mut KvBuffer, i32, i32) -> Result<R>,
    ) -> Result<R> {
        let length = new.length;
        let visible = self.visible();
        let capacity = self.buffer.as_ref().map_or(0, KvBuffer::capacity);
        let reserve = (self.window - 1).saturating_add(STEP);
        // Where to write, how many of the held tokens stay in front, and how large the buffers become.
        let (kept, capacity) = if self.held + length <= capacity {
            (self.held, capacity)
        } else if self.held <= reserve {
            (self.held, round_up(self.held + length))
        } else {
            (reserve, reserve + length + STEP - 1)
        };
        let mut buffer = match &self.buffer {
            Some(buffer) if kept == self.held && buffer.capacity() == capacity => buffer.clone(),
            Some(buffer) => new.grown(Some((buffer, self.held - kept, self.held)), capacity)?,
            None => new.grown(None, capacity)?,
        };
        let result = body(&mut buffer, kept, kept - visible)?;
        self.buffer = Some(buffer);
        self.held = kept + length;
        self.offset += length;
        Ok(result)
    }

    /// Whether every token that the window reaches from position `offset` is still here.
    pub(super) fn can_trim(&self, offset: i32) -> bool {
        let oldest = self.offset - self.held;
        (0..=self.offset).contains(&offset) && oldest <= (offset - (self.window - 1)).max(0)
    }

    pub(super) fn trim(&mut self, offset: i32) {
        self.held -= self.offset - offset;
        self.offset = offset;
    }

    pub(super) fn buffer(&self) -> Option<&KvBuffer> {
        self.buffer.as_ref()
    }
}
