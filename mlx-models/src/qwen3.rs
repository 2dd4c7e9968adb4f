// SPDX-License-Identifier: EUPL-1.2
//! Qwen 3: grouped-query attention with an RMS norm on each query and key head.
//!
//! Source: arXiv:2505.09388. Shapes: B batch, L new and S visible tokens, D hidden, H heads, K key-value heads,
//! E head size, V vocabulary.

use mlx_core::Array;
use mlx_nn::attention::Heads;
use mlx_nn::{Embedding, GatedMlp, Linear, RmsNorm, Rope, module, project};
use serde::Deserialize;

use crate::cache::{Cache, KvCache, Pass};
use crate::config::{ConfigFile, LayerKind, activation};
use crate::error::Result;
use crate::model::{CausalLm, Spec, dtype_of};
use crate::residual;
use crate::rotary::{RopeParameters, Rotary};
use crate::sizes::{Sizes, check_layers};

/// The keys of `config.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// V.
    pub vocab_size: i32,
    /// D.
    pub hidden_size: i32,
    /// Width of the gated layer.
    pub intermediate_size: i32,
    /// Blocks.
    pub num_hidden_layers: i32,
    /// H.
    pub num_attention_heads: i32,
    /// K; as many as H where it is absent.
    pub num_key_value_heads: Option<i32>,
    /// E; not bound to D / H.
    #[serde(default = "default_head_dim")]
    pub head_dim: i32,
    /// Positions that the network was made for.
    #[serde(default = "default_positions")]
    pub max_position_embeddings: i32,
    /// Added to the mean square in the norms.
    #[serde(default = "default_eps")]
    pub rms_norm_eps: f32,
    /// The gate's activation.
    #[serde(default = "default_activation")]
    pub hidden_act: String,
    /// Whether the output projection is the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Whether the projections of attention have a bias.
    #[serde(default)]
    pub attention_bias: bool,
    /// Whether some layers have a window at all.
    #[serde(default)]
    pub use_sliding_window: bool,
    /// The window, the looking token included.
    pub sliding_window: Option<i32>,
    /// The first layer with a window, where `layer_types` is absent.
    #[serde(default = "default_window_layers")]
    pub max_window_layers: i32,
    /// The kind of each layer.
    pub layer_types: Option<Vec<LayerKind>>,
    /// Base of the rotary frequencies, in old files.
    pub rope_theta: Option<f32>,
    /// Rotary scaling, in old files.
    pub rope_scaling: Option<RopeParameters>,
    /// Both, in new files.
    pub rope_parameters: Option<RopeParameters>,
}

// The values of transformers' `Qwen3Config`.
fn default_head_dim() -> i32 {
    128
}
fn default_positions() -> i32 {
    32768
}
fn default_eps() -> f32 {
    1e-6
}
fn default_activation() -> String {
    "silu".into()
}
fn default_window_layers() -> i32 {
    28
}
const THETA: f32 = 10_000.0;

impl Config {
    /// Reads and checks the keys.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the key that is missing, of the wrong type or impossible.
    pub fn read(file: &ConfigFile) -> Result<Self> {
        let config: Self = file.parse(None)?;
        config.sizes().check(file, None)?;
        check_layers(file, None, &config.kinds(), config.num_hidden_layers, config.sliding_window)?;
        Ok(config)
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads.unwrap_or(self.num_attention_heads),
            head_dim: self.head_dim,
            max_position_embeddings: self.max_position_embeddings,
        }
    }

    /// The kind of each layer. A window counts only where `use_sliding_window` says so, even if layers are listed.
    fn kinds(&self) -> Vec<LayerKind> {
        match &self.layer_types {
            Some(kinds) if self.use_sliding_window => kinds.clone(),
            Some(kinds) => vec![LayerKind::FullAttention; kinds.len()],
            None => (0..self.num_hidden_layers)
                .map(|layer| match self.use_sliding_window && layer >= self.max_window_layers {
                    true => LayerKind::SlidingAttention,
                    false => LayerKind::FullAttention,
                })
                .collect(),
        }
    }
}

/// Grouped-query attention.
#[derive(Clone, Debug)]
pub struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    rope: Rope,
    heads: i32,
    kv_heads: i32,
    scale: f32,
}
module!(Attention { q_proj, k_proj, v_proj, o_proj, q_norm, k_norm });

impl Attention {
    fn new(config: &Config, rope: Rope) -> Result<Self> {
        let Sizes { hidden_size: d, num_attention_heads: h, num_key_value_heads: k, head_dim: e, .. } =
            config.sizes();
        let bias = config.attention_bias;
        Ok(Self {
            q_proj: Linear::new(d, h * e, bias)?,
            k_proj: Linear::new(d, k * e, bias)?,
            v_proj: Linear::new(d, k * e, bias)?,
            o_proj: Linear::new(h * e, d, bias)?,
            q_norm: RmsNorm::new(e, config.rms_norm_eps)?,
            k_norm: RmsNorm::new(e, config.rms_norm_eps)?,
            rope,
            heads: h,
            kv_heads: k,
            scale: (e as f32).powf(-0.5),
        })
    }

    /// `x + attention(norm(x))`: `[B, L, D]` → `[B, L, D]`; `cache` grows by L.
    fn forward(&self, x: &Array, norm: &RmsNorm, pass: &Pass, cache: &mut KvCache) -> Result<Array> {
        let [q, k, v] = project(norm.before(x), [&self.q_proj, &self.k_proj, &self.v_proj])?;
        let attended = cache.attend(&q, &k, &v, &self.heads(), pass)?;
        residual::add_linear(x, &attended, &self.o_proj, None)
    }

    /// How projections become heads, and these scores.
    fn heads(&self) -> Heads<'_> {
        let &Self { heads: queries, kv_heads: keys, scale, ref q_norm, ref k_norm, ref rope, .. } = self;
        Heads { queries, keys, q_norm, k_norm, rope, scale }
    }
}

/// Attention and feed-forward layer, each behind a norm and beside the residual stream.
#[derive(Clone, Debug)]
pub struct Block {
    self_attn: Attention,
    mlp: GatedMlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
}
module!(Block { self_attn, mlp, input_layernorm, post_attention_layernorm });

impl Block {
    fn forward(&self, x: &Array, pass: &Pass, cache: &mut KvCache) -> Result<Array> {
        let x = self.self_attn.forward(x, &self.input_layernorm, pass, cache)?;
        residual::add_mlp(&x, self.post_attention_layernorm.before(&x), &self.mlp, None)
    }
}

/// Embedding, blocks and the last norm.
#[derive(Debug)]
pub struct Decoder {
    embed_tokens: Embedding,
    layers: Vec<Block>,
    norm: RmsNorm,
}
module!(Decoder { embed_tokens, layers, norm });

impl Decoder {
    /// `ids`: `[B, L]` → `[B, L, D]`.
    fn forward(&self, ids: &Array, cache: &mut Cache) -> Result<Array> {
        let pass = cache.pass(ids.dim(1)?)?;
        let mut x = self.embed_tokens.forward(ids)?.astype(dtype_of(&self.norm))?;
        for (number, (layer, cache)) in self.layers.iter().zip(cache.layers_mut()).enumerate() {
            x = pass.block(number, layer, &x, cache, Block::forward)?;
        }
        Ok(self.norm.forward(&x)?)
    }
}

/// Qwen 3 with its output projection.
#[derive(Debug)]
pub struct Qwen3 {
    model: Decoder,
    lm_head: Option<Linear>,
    kinds: Vec<LayerKind>,
    spec: Spec,
}
module!(Qwen3 { model, lm_head });

impl Qwen3 {
    /// The network that `file` describes, with weights still to be loaded.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when no such network can be.
    pub fn new(file: &ConfigFile) -> Result<Self> {
        let config = Config::read(file)?;
        let sizes = config.sizes();
        let activation = activation(file, None, "hidden_act", &config.hidden_act)?;
        let rotary = Rotary {
            theta: ("rope_theta", config.rope_theta),
            scaling: config.rope_scaling.as_ref(),
            parameters: config.rope_parameters.as_ref(),
            default_theta: THETA,
        };
        let kinds = config.kinds();
        let layers = kinds.iter().map(|&kind| {
            let rope = rotary.build(file, None, kind, &sizes)?;
            Ok(Block {
                self_attn: Attention::new(&config, rope)?,
                mlp: GatedMlp::new(config.hidden_size, config.intermediate_size, activation)?,
                input_layernorm: RmsNorm::new(config.hidden_size, config.rms_norm_eps)?,
                post_attention_layernorm: RmsNorm::new(config.hidden_size, config.rms_norm_eps)?,
            })
        });
        let model = Decoder {
            embed_tokens: Embedding::new(config.vocab_size, config.hidden_size)?,
            layers: layers.collect::<Result<_>>()?,
            norm: RmsNorm::new(config.hidden_size, config.rms_norm_eps)?,
        };
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(Linear::new(config.hidden_size, config.vocab_size, false)?),
        };
        let window = if kinds.contains(&LayerKind::SlidingAttention) { config.sliding_window } else { None };
        let spec = sizes.spec(rotary.context(&sizes), window, config.tie_word_embeddings);
        Ok(Self { model, lm_head, kinds, spec: Spec { rope_limit: rotary.limit(&sizes), ..spec } })
    }
}

impl CausalLm for Qwen3 {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn make_cache(&self) -> Result<Cache> {
        Cache::for_layers(&self.kinds, self.spec.sliding_window)
    }

    fn hidden(&self, ids: &Array, cache: &mut Cache) -> Result<Array> {
        self.model.forward(ids, cache)
    }

    fn head(&self, hidden: &Array) -> Result<Array> {
        Ok(match &self.lm_head {
            Some(head) => head.forward_wide(hidden)?,
            None => self.model.embed_tokens.as_linear_wide(hidden)?,
        })
    }
}

/// The path of the weight that a file calls `name`; none for the rotary frequencies that old files still have.
pub(crate) fn weight_path(name: &str) -> Option<String> {
    (!name.ends_with("rotary_emb.inv_freq")).then(|| name.to_owned())
}
