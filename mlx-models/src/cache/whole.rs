// SPDX-License-Identifier: EUPL-1.2
//! No cache: texts that are seen whole.

use mlx_core::Array;
use mlx_nn::attention::{causal_mask, sliding_mask};

use super::CacheMask;
use crate::error::{Error, Result};

/// What a layer sees of texts that come whole: nothing is kept from one pass to the next.
#[derive(Clone, Debug)]
pub struct WholeTexts {
    window: Option<i32>,
    /// Which text each token belongs to, `[B, L]`, where a row has several.
    texts: Option<Array>,
}

impl WholeTexts {
    pub(super) fn new(window: Option<i32>, texts: Option<Array>) -> Self {
        Self { window, texts }
    }

    /// The window, the looking token included, of a layer that has one.
    pub(super) fn window(&self) -> Option<i32> {
        self.window
    }

    /// The mask for rows of `l` tokens.
    pub(super) fn mask(&self, l: i32) -> Result<CacheMask> {
        let window = self.window.filter(|&window| window < l);
        let Some(texts) = &self.texts else {
            return Ok(window.map_or(CacheMask::Causal, CacheMask::Window));
        };
        if texts.shape().last() != Some(&l) {
            return Err(Error::CacheShape { expected: format!("[B, {l}]"), found: texts.shape().to_vec() });
        }
        let same = texts.expand_dims(2)?.equal(&texts.expand_dims(1)?)?; // [B, L, L]
        let seen = match window {
            Some(window) => sliding_mask(l, 0, window)?,
            None => causal_mask(l, 0)?,
        };
        Ok(CacheMask::Array(same.logical_and(&seen)?.expand_dims(1)?))
    }
}
