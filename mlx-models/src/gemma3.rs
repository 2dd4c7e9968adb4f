// SPDX-License-Identifier: EUPL-1.2
//! Gemma 3, text only: layers with a sliding window and layers that see everything, a norm on either side of each
//! part, and rotary embeddings of their own for each kind of layer.
//!
//! Source: arXiv:2503.19786, and transformers' `modeling_gemma3.py` for what the paper leaves out. Shapes: B batch,
//! L new and S visible tokens, D hidden, H heads, K key-value heads, E head size, V vocabulary.
//!
//! A multimodal checkpoint (`model_type` `gemma3`) has the same network under `text_config`; its vision tower and
//! projector are not loaded.

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
use crate::sizes::{Sizes, check_layers, name};

/// The keys of `config.json`, or of its `text_config`. What is absent has the value that transformers'
/// `Gemma3TextConfig` gives it: the multimodal checkpoints of the hub leave out much of what they share.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Config {
    /// V; where it is absent, as many as the checkpoint has embeddings.
    pub vocab_size: Option<i32>,
    /// D.
    pub hidden_size: i32,
    /// Width of the gated layer.
    pub intermediate_size: i32,
    /// Blocks.
    pub num_hidden_layers: i32,
    /// H.
    pub num_attention_heads: i32,
    /// K.
    pub num_key_value_heads: i32,
    /// E; not bound to D / H.
    pub head_dim: i32,
    /// Positions that the network was made for.
    pub max_position_embeddings: i32,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f32,
    /// The gate's activation.
    pub hidden_activation: String,
    /// Attention scores are divided by the square root of this, instead of that of E.
    pub query_pre_attn_scalar: f32,
    /// The window, the looking token included.
    pub sliding_window: i32,
    /// One layer in so many sees everything, where `layer_types` is absent; 6 where this is absent too.
    pub sliding_window_pattern: Option<i32>,
    /// The same under its private name, which transformers writes beside or instead of the public one.
    #[serde(rename = "_sliding_window_pattern")]
    pub private_sliding_window_pattern: Option<i32>,
    /// The kind of each layer.
    pub layer_types: Option<Vec<LayerKind>>,
    /// Whether the output projection is the embedding.
    pub tie_word_embeddings: bool,
    /// Whether the projections of attention have a bias.
    pub attention_bias: bool,
    /// Bound of the logits, `c` in `c · tanh(x / c)`.
    pub final_logit_softcapping: Option<f32>,
    /// The same for attention scores; no Gemma 3 has it and it is not supported.
    pub attn_logit_softcapping: Option<f32>,
    /// Whether tokens see those after them; not supported.
    pub use_bidirectional_attention: bool,
    /// Base of the rotary frequencies of layers that see everything, in old files.
    pub rope_theta: Option<f32>,
    /// Base of the rotary frequencies of layers with a window, in old files.
    pub rope_local_base_freq: Option<f32>,
    /// Rotary scaling of layers that see everything, in old files.
    pub rope_scaling: Option<RopeParameters>,
    /// All three, in new files.
    pub rope_parameters: Option<RopeParameters>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            vocab_size: None,
            hidden_size: 2304,
            intermediate_size: 9216,
            num_hidden_layers: 26,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            head_dim: 256,
            max_position_embeddings: 131_072,
            rms_norm_eps: 1e-6,
            hidden_activation: "gelu_pytorch_tanh".into(),
            query_pre_attn_scalar: 256.0,
            sliding_window: 4096,
            sliding_window_pattern: None,
            private_sliding_window_pattern: None,
            layer_types: None,
            tie_word_embeddings: true,
            attention_bias: false,
            final_logit_softcapping: None,
            attn_logit_softcapping: None,
            use_bidirectional_attention: false,
            rope_theta: None,
            rope_local_base_freq: None,
            rope_scaling: None,
            rope_parameters: None,
        }
    }
}

const VOCABULARY: i32 = 262_208;
const THETA: f32 = 1_000_000.0;
const LOCAL_THETA: f32 = 10_000.0;

impl Config {
    /// Reads and checks the keys.
    ///
    /// `rows` is how many embeddings the checkpoint has. It stands in for an absent `vocab_size`, and in a multimodal
    /// config goes before one: converters have been known to override it.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) with the key that is of the wrong type, impossible or not supported.
    pub fn read(file: &ConfigFile, rows: Option<i32>) -> Result<Self> {
        let section = Self::section(file);
        let mut config: Self = file.parse(section)?;
        if section.is_some() || config.vocab_size.is_none() {
            config.vocab_size = rows.or(config.vocab_size);
        }
        config.sizes().check(file, section)?;
        let invalid = |key: &str, message: String| Err(file.invalid(&name(section, key), message));
        if config.pattern() < 1 {
            let message = format!("expected at least 1, found {}", config.pattern());
            return invalid("sliding_window_pattern", message);
        }
        if let Some(cap) = config.attn_logit_softcapping {
            return invalid("attn_logit_softcapping", format!("{cap} is not supported, only null is"));
        }
        if config.use_bidirectional_attention {
            return invalid("use_bidirectional_attention", "true is not supported, only false is".into());
        }
        for (key, value) in [
            ("query_pre_attn_scalar", Some(config.query_pre_attn_scalar)),
            ("final_logit_softcapping", config.final_logit_softcapping),
        ] {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value > 0.0)) {
                return invalid(key, format!("expected a positive number, found {value}"));
            }
        }
        let window = Some(config.sliding_window);
        check_layers(file, section, &config.kinds(), config.num_hidden_layers, window)?;
        Ok(config)
    }

    /// Where the keys stand: a multimodal config has a section for them.
    fn section(file: &ConfigFile) -> Option<&'static str> {
        file.has("text_config").then_some("text_config")
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            vocab_size: self.vocab_size.unwrap_or(VOCABULARY),
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            max_position_embeddings: self.max_position_embeddings,
        }
    }

    fn pattern(&self) -> i32 {
        self.sliding_window_pattern.or(self.private_sliding_window_pattern).unwrap_or(6)
    }

    fn kinds(&self) -> Vec<LayerKind> {
        match &self.layer_types {
            Some(kinds) => kinds.clone(),
            None => (1..=self.num_hidden_layers)
                .map(|layer| match layer % self.pattern() {
                    0 => LayerKind::FullAttention,
                    _ => LayerKind::SlidingAttention,
                })
                .collect(),
        }
    }
}

/// Grouped-query attention with a norm on each query and key head.
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
        let (d, e) = (config.hidden_size, config.head_dim);
        let (h, k) = (config.num_attention_heads, config.num_key_value_heads);
        let bias = config.attention_bias;
        Ok(Self {
            q_proj: Linear::new(d, h * e, bias)?,
            k_proj: Linear::new(d, k * e, bias)?,
            v_proj: Linear::new(d, k * e, bias)?,
            o_proj: Linear::new(h * e, d, bias)?,
            q_norm: RmsNorm::gemma(e, config.rms_norm_eps)?,
            k_norm: RmsNorm::gemma(e, config.rms_norm_eps)?,
            rope,
            heads: h,
            kv_heads: k,
            scale: config.query_pre_attn_scalar.powf(-0.5),
        })
    }

    /// `x + after(attention(before(x)))`: `[B, L, D]` → `[B, L, D]`; `cache` grows by L.
    fn forward(
        &self,
        x: &Array,
        [before, after]: [&RmsNorm; 2],
        pass: &Pass,
        cache: &mut KvCache,
    ) -> Result<Array> {
        let [q, k, v] = project(before.before(x), [&self.q_proj, &self.k_proj, &self.v_proj])?;
        let attended = cache.attend(&q, &k, &v, &self.heads(), pass)?;
        residual::add_linear(x, &attended, &self.o_proj, Some(after))
    }

    /// How projections become heads, and these scores.
    fn heads(&self) -> Heads<'_> {
        let &Self { heads: queries, kv_heads: keys, scale, ref q_norm, ref k_norm, ref rope, .. } = self;
        Heads { queries, keys, q_norm, k_norm, rope, scale }
    }
}

/// Attention and feed-forward layer, each between two norms and beside the residual stream.
#[derive(Clone, Debug)]
pub struct Block {
    self_attn: Attention,
    mlp: GatedMlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    post_feedforward_layernorm: RmsNorm,
}
module!(Block {
    self_attn,
    mlp,
    input_layernorm,
    post_attention_layernorm,
    pre_feedforward_layernorm,
    post_feedforward_layernorm,
});

impl Block {
    fn new(config: &Config, rope: Rope, mlp: GatedMlp) -> Result<Self> {
        let norm = || RmsNorm::gemma(config.hidden_size, config.rms_norm_eps);
        Ok(Self {
            self_attn: Attention::new(config, rope)?,
            mlp,
            input_layernorm: norm()?,
            post_attention_layernorm: norm()?,
            pre_feedforward_layernorm: norm()?,
            post_feedforward_layernorm: norm()?,
        })
    }

    fn forward(&self, x: &Array, pass: &Pass, cache: &mut KvCache) -> Result<Array> {
        let norms = [&self.input_layernorm, &self.post_attention_layernorm];
        let x = self.self_attn.forward(x, norms, pass, cache)?;
        let (before, after) = (&self.pre_feedforward_layernorm, &self.post_feedforward_layernorm);
        residual::add_mlp(&x, before.before(&x), &self.mlp, Some(after))
    }
}

/// Scaled embedding, blocks and the last norm.
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
        let x = self.embed_tokens.forward(ids)?.astype(dtype_of(&self.norm))?;
        // The scale is rounded to the dtype of the weights, as transformers does it.
        let mut x = (&x * &x.scalar_like(f64::from(self.embed_tokens.dim()).sqrt())?)?;
        for (number, (layer, cache)) in self.layers.iter().zip(cache.layers_mut()).enumerate() {
            x = pass.block(number, layer, &x, cache, Block::forward)?;
        }
        Ok(self.norm.forward(&x)?)
    }
}

/// Gemma 3 with its output projection.
#[derive(Debug)]
pub struct Gemma3 {
    model: Decoder,
    lm_head: Option<Linear>,
    kinds: Vec<LayerKind>,
    softcap: Option<f32>,
    spec: Spec,
}
module!(Gemma3 { model, lm_head });

impl Gemma3 {
    /// The network that `file` describes, with weights still to be loaded, and with `rows` embeddings as
    /// [`Config::read`] takes them.
    ///
    /// # Errors
    /// [`Error::Config`](crate::Error::Config) when no such network can be.
    pub fn new(file: &ConfigFile, rows: Option<i32>) -> Result<Self> {
        let config = Config::read(file, rows)?;
        let section = Config::section(file);
        let sizes = config.sizes();
        let activation = activation(file, section, "hidden_activation", &config.hidden_activation)?;
        // Layers with a window have a base of their own and are never scaled, unless a new config says so.
        let full = Rotary {
            theta: ("rope_theta", config.rope_theta),
            scaling: config.rope_scaling.as_ref(),
            parameters: config.rope_parameters.as_ref(),
            default_theta: THETA,
        };
        let sliding = Rotary {
            theta: ("rope_local_base_freq", config.rope_local_base_freq),
            scaling: None,
            parameters: config.rope_parameters.as_ref().filter(|parameters| parameters.is_nested()),
            default_theta: LOCAL_THETA,
        };
        let kinds = config.kinds();
        let layers = kinds.iter().map(|&kind| {
            let rotary = if kind == LayerKind::FullAttention { &full } else { &sliding };
            let rope = rotary.build(file, section, kind, &sizes)?;
            let mlp = GatedMlp::new(config.hidden_size, config.intermediate_size, activation)?;
            Block::new(&config, rope, mlp)
        });
        let model = Decoder {
            embed_tokens: Embedding::new(sizes.vocab_size, sizes.hidden_size)?,
            layers: layers.collect::<Result<_>>()?,
            norm: RmsNorm::gemma(config.hidden_size, config.rms_norm_eps)?,
        };
        let lm_head = match config.tie_word_embeddings {
            true => None,
            false => Some(Linear::new(sizes.hidden_size, sizes.vocab_size, false)?),
        };
        let windowed = kinds.contains(&LayerKind::SlidingAttention);
        let window = windowed.then_some(config.sliding_window);
        let rope_limit = full.limit(&sizes).into_iter().chain(sliding.limit(&sizes)).min();
        let spec =
            Spec { rope_limit, ..sizes.spec(full.context(&sizes), window, config.tie_word_embeddings) };
        Ok(Self { model, lm_head, kinds, softcap: config.final_logit_softcapping, spec })
    }
}

impl CausalLm for Gemma3 {
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
        let logits = match &self.lm_head {
            Some(head) => head.forward_wide(hidden)?,
            None => self.model.embed_tokens.as_linear_wide(hidden)?,
        };
        match self.softcap {
            Some(cap) => Ok((&(&logits * (1.0 / cap))?.tanh()? * cap)?),
            None => Ok(logits),
        }
    }
}

/// The path of the weight that a file calls `name`; none for what only images need.
///
/// In multimodal checkpoints the network is called `language_model`, and transformers 5 puts it behind `model`.
pub(crate) fn weight_path(name: &str) -> Option<String> {
    const IMAGES: [&str; 2] = ["vision_tower.", "multi_modal_projector."];
    let inner = name.strip_prefix("model.").unwrap_or(name);
    if IMAGES.iter().any(|prefix| inner.starts_with(prefix)) || name.ends_with("rotary_emb.inv_freq") {
        return None;
    }
    Some(match (name.strip_prefix("model.language_model."), name.strip_prefix("language_model.")) {
        (Some(rest), _) => format!("model.{rest}"),
        (None, Some(rest)) => rest.to_owned(),
        (None, None) => name.to_owned(),
    })
}
