// SPDX-License-Identifier: EUPL-1.2
//! `mlx info`: what a checkpoint is, from its config and the headers of its files.

use std::collections::BTreeMap;
use std::fmt::Write;

use mlx_core::Dtype;
use mlx_models::cache::KvCache;
use mlx_models::{Model, QuantizationConfig, inspect};
use serde::Serialize;

use crate::failure::Failure;
use crate::plan::Info;
use crate::report;

/// What `mlx info --json` prints.
#[derive(Debug, Serialize)]
struct Facts {
    architecture: &'static str,
    model_type: String,
    /// Scalar weights; a quantised one counts as one.
    parameters: usize,
    /// Bytes of the weights.
    bytes: usize,
    /// Bytes of the weights by the dtype that they are stored in.
    dtypes: BTreeMap<String, usize>,
    quantization: Option<Packing>,
    layers: usize,
    hidden_size: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    vocab_size: usize,
    context_length: usize,
    sliding_window: Option<usize>,
    tied_embeddings: bool,
    tokenizer: bool,
    chat_template: bool,
    memory: Memory,
}

/// How the weights are quantised.
#[derive(Debug, Serialize)]
pub(super) struct Packing {
    mode: String,
    bits: i32,
    group_size: i32,
    /// Layers with settings of their own, or none.
    layers: usize,
}

/// What running it takes, in bytes.
#[derive(Debug, Serialize)]
struct Memory {
    weights_bytes: usize,
    /// What the cache grows by with each 1000 tokens.
    cache_bytes_per_1k_tokens: usize,
    /// What the layers with a window take once it is full, however long the text.
    cache_bytes_windows: usize,
    /// The weights and the cache of the longest text.
    full_context_bytes: usize,
}

/// Runs the command.
pub(crate) fn run(plan: Info) -> Result<(), Failure> {
    let model = inspect(&plan.dir)?;
    let facts = Facts::new(&model)?;
    if plan.json { report::json(&facts) } else { report::text(&facts.table()) }
}

impl Facts {
    fn new(model: &Model) -> Result<Self, Failure> {
        let spec = model.network().spec();
        let dtypes = model.nbytes_by_dtype();
        Ok(Self {
            architecture: model.architecture(),
            model_type: model.config().model_type()?.to_owned(),
            parameters: model.parameters(),
            bytes: model.nbytes(),
            quantization: model.quantization().map(Packing::new),
            layers: spec.layers,
            hidden_size: spec.hidden_size,
            heads: spec.heads,
            kv_heads: spec.kv_heads,
            head_dim: spec.head_dim,
            vocab_size: spec.vocab_size,
            context_length: spec.context_length,
            sliding_window: spec.sliding_window,
            tied_embeddings: spec.tied,
            tokenizer: model.tokenizer().is_some(),
            chat_template: model.tokenizer().is_some_and(|tokenizer| tokenizer.chat_template().is_some()),
            memory: Memory::new(model, &dtypes)?,
            dtypes: dtypes.into_iter().map(|(dtype, bytes)| (dtype.to_string(), bytes)).collect(),
        })
    }

    fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<14} {value}");
        };
        line("architecture", format!("{} ({})", self.architecture, self.model_type));
        line("parameters", format!("{} ({})", report::count(self.parameters), self.parameters));
        let dtypes = self.dtypes.iter().map(|(dtype, bytes)| format!("{dtype} {}", report::bytes(*bytes)));
        line("weights", format!("{}: {}", report::bytes(self.bytes), dtypes.collect::<Vec<_>>().join(", ")));
        line("quantisation", self.quantization.as_ref().map_or_else(|| "none".into(), Packing::describe));
        line(
            "network",
            format!(
                "{} layers, {} wide, {} heads of {}, {} for keys and values",
                self.layers, self.hidden_size, self.heads, self.head_dim, self.kv_heads
            ),
        );
        let tied = if self.tied_embeddings { ", output tied to the embedding" } else { "" };
        line("vocabulary", format!("{} tokens{tied}", self.vocab_size));
        let window = self.sliding_window.map(|window| format!(", windows of {window}")).unwrap_or_default();
        line("context", format!("{} tokens{window}", self.context_length));
        let tokenizer = match (self.tokenizer, self.chat_template) {
            (true, true) => "yes, with a chat template",
            (true, false) => "yes, without a chat template",
            (false, _) => "none",
        };
        line("tokenizer", tokenizer.into());
        let Memory { weights_bytes, cache_bytes_per_1k_tokens, cache_bytes_windows, full_context_bytes } =
            self.memory;
        let windows = match cache_bytes_windows {
            0 => String::new(),
            bytes => format!(" and {} for windows", report::bytes(bytes)),
        };
        line(
            "memory",
            format!(
                "{} for the weights, {} of cache for each 1000 tokens{windows}; {} for the whole context",
                report::bytes(weights_bytes),
                report::bytes(cache_bytes_per_1k_tokens),
                report::bytes(full_context_bytes)
            ),
        );
        text
    }
}

impl Packing {
    pub(super) fn new(config: &QuantizationConfig) -> Self {
        let default = config.default;
        Self {
            mode: default.mode.to_string(),
            bits: default.bits,
            group_size: default.group_size,
            layers: config.layers.len(),
        }
    }

    pub(super) fn describe(&self) -> String {
        let own = match self.layers {
            0 => String::new(),
            1 => ", 1 layer with settings of its own".into(),
            layers => format!(", {layers} layers with settings of their own"),
        };
        format!("{}, {} bits in groups of {}{own}", self.mode, self.bits, self.group_size)
    }
}

impl Memory {
    fn new(model: &Model, dtypes: &BTreeMap<Dtype, usize>) -> Result<Self, Failure> {
        let spec = model.network().spec();
        // Keys and values have the dtype of the activations, which is that of the floating weights.
        let floating = dtypes.iter().filter(|(dtype, _)| dtype.is_float()).max_by_key(|(_, bytes)| **bytes);
        let size = floating.map_or(Dtype::Float32, |(dtype, _)| *dtype).size();
        let per_token =
            2usize.saturating_mul(spec.kv_heads).saturating_mul(spec.head_dim).saturating_mul(size);
        let (mut growing, mut windows) = (0usize, 0usize);
        for layer in model.network().make_cache()?.layers() {
            match layer {
                KvCache::Rotating(cache) => {
                    let window = usize::try_from(cache.window()).unwrap_or_default().min(spec.context_length);
                    windows = windows.saturating_add(per_token.saturating_mul(window));
                }
                _ => growing = growing.saturating_add(per_token),
            }
        }
        let weights_bytes = model.nbytes();
        Ok(Self {
            weights_bytes,
            cache_bytes_per_1k_tokens: growing.saturating_mul(1000),
            cache_bytes_windows: windows,
            full_context_bytes: weights_bytes
                .saturating_add(growing.saturating_mul(spec.context_length))
                .saturating_add(windows),
        })
    }
}
