// SPDX-License-Identifier: EUPL-1.2
//! The measures that every decoder's config has, checked before anything is built from them.

use crate::config::{ConfigFile, LayerKind};
use crate::error::Result;
use crate::model::Spec;

/// Measures of a decoder, with the names they have in `config.json`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) vocab_size: i32,
    pub(crate) hidden_size: i32,
    pub(crate) intermediate_size: i32,
    pub(crate) num_hidden_layers: i32,
    pub(crate) num_attention_heads: i32,
    pub(crate) num_key_value_heads: i32,
    pub(crate) head_dim: i32,
    pub(crate) max_position_embeddings: i32,
}

impl Sizes {
    /// Checks that a network can have these measures; `section` is where in `file` they stand.
    pub(crate) fn check(&self, file: &ConfigFile, section: Option<&str>) -> Result<()> {
        // Far beyond any model, and small enough that no product of two overflows where shapes are computed.
        const WIDEST: i32 = 1 << 24;
        const DEEPEST: i32 = 4096;
        let measures = [
            ("vocab_size", self.vocab_size, WIDEST),
            ("hidden_size", self.hidden_size, WIDEST),
            ("intermediate_size", self.intermediate_size, WIDEST),
            ("num_hidden_layers", self.num_hidden_layers, DEEPEST),
            ("num_attention_heads", self.num_attention_heads, DEEPEST),
            ("num_key_value_heads", self.num_key_value_heads, DEEPEST),
            ("head_dim", self.head_dim, DEEPEST),
            ("max_position_embeddings", self.max_position_embeddings, i32::MAX),
        ];
        for (key, value, largest) in measures {
            if !(1..=largest).contains(&value) {
                let message = format!("expected 1 to {largest}, found {value}");
                return Err(file.invalid(&name(section, key), message));
            }
        }
        if self.head_dim % 2 != 0 {
            let message = format!("expected an even number, found {}", self.head_dim);
            return Err(file.invalid(&name(section, "head_dim"), message));
        }
        if self.num_attention_heads % self.num_key_value_heads != 0 {
            let message = format!(
                "expected a divisor of num_attention_heads, which is {}, found {}",
                self.num_attention_heads, self.num_key_value_heads
            );
            return Err(file.invalid(&name(section, "num_key_value_heads"), message));
        }
        Ok(())
    }
}

impl Sizes {
    /// What callers are told of a network with these measures.
    pub(crate) fn spec(&self, context_length: usize, window: Option<i32>, tied: bool) -> Spec {
        // They were checked: none is negative.
        let count = |value: i32| usize::try_from(value).unwrap_or(0);
        Spec {
            vocab_size: count(self.vocab_size),
            context_length,
            layers: count(self.num_hidden_layers),
            hidden_size: count(self.hidden_size),
            heads: count(self.num_attention_heads),
            kv_heads: count(self.num_key_value_heads),
            head_dim: count(self.head_dim),
            sliding_window: window.map(count),
            tied,
            rope_limit: None,
        }
    }
}

/// Checks that there is one kind for each layer, and a usable window if any layer has one.
pub(crate) fn check_layers(
    file: &ConfigFile,
    section: Option<&str>,
    kinds: &[LayerKind],
    layers: i32,
    window: Option<i32>,
) -> Result<()> {
    if usize::try_from(layers) != Ok(kinds.len()) {
        let message = format!("expected {layers} entries, one for each layer, found {}", kinds.len());
        return Err(file.invalid(&name(section, "layer_types"), message));
    }
    let key = name(section, "sliding_window");
    match window {
        _ if !kinds.contains(&LayerKind::SlidingAttention) => Ok(()),
        Some(window) if window < 1 => Err(file.invalid(&key, format!("expected at least 1, found {window}"))),
        Some(_) => Ok(()),
        None => Err(file.invalid(&key, "missing, although some layers have a window")),
    }
}

/// `key` with the section it stands in.
pub(crate) fn name(section: Option<&str>, key: &str) -> String {
    section.map_or_else(|| key.to_owned(), |section| format!("{section}.{key}"))
}
