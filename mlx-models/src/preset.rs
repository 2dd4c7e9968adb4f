// SPDX-License-Identifier: EUPL-1.2
//! Random weights in the shapes of real checkpoints, made in memory: for measuring without a download.

use mlx_core::{Array, Dtype, QuantMode, Quantization, bf16, f16};
use serde_json::{Value, json};

use crate::architecture::{Architecture, Weights};
use crate::config::ConfigFile;
use crate::error::{Error, Result};
use crate::load::Model;

/// The presets there are.
pub const PRESETS: &[&str] = &["qwen3-0.6b", "gemma3-1b"];

/// How far the weights spread, as in the initialisation of both families.
const SPREAD: f32 = 0.02;

/// A model with random bfloat16 weights and no tokenizer.
///
/// With `quantize`, every projection and the embedding are packed, as mlx-lm does it; the packed values are drawn
/// directly.
///
/// # Errors
/// [`Error::Argument`] when `name` is not one of [`PRESETS`], or `quantize` is not a setting of MLX.
pub fn preset(name: &str, quantize: Option<Quantization>) -> Result<Model> {
    let mut config = match name {
        "qwen3-0.6b" => qwen3_0_6b(),
        "gemma3-1b" => gemma3_1b(),
        _ => {
            let message = format!("expected one of {}, found {name:?}", PRESETS.join(", "));
            return Err(Error::Argument { argument: "preset", message });
        }
    };
    if let (Some(q), Value::Object(config)) = (quantize, &mut config) {
        let settings = json!({ "group_size": q.group_size, "bits": q.bits, "mode": q.mode.to_string() });
        config.insert("quantization".into(), settings);
    }
    random(ConfigFile::new(format!("preset {name}"), config)?, Dtype::Bfloat16, 7)
}

/// The network that `config` describes, with random weights of `dtype` (bfloat16, float16 or float32) and no
/// tokenizer. The same seed gives the same weights.
///
/// # Errors
/// [`Error::Argument`] for another dtype; [`Error::Config`] or [`Error::UnknownModelType`] when no such network can
/// be.
pub fn random(config: ConfigFile, dtype: Dtype, seed: u64) -> Result<Model> {
    if !matches!(dtype, Dtype::Bfloat16 | Dtype::Float16 | Dtype::Float32) {
        let message = format!("expected bfloat16, float16 or float32, found {dtype}");
        return Err(Error::Argument { argument: "dtype", message });
    }
    let architecture = Architecture::of(&config)?;
    let quantization = config.quantization()?;
    let mut draw = Draw::new(seed, dtype);
    let weights = architecture
        .parameters(&config, quantization.as_ref())?
        .into_iter()
        .map(|(path, placeholder)| {
            let layer = path.rsplit_once('.').map_or("", |(layer, _)| layer);
            let packing = quantization.as_ref().and_then(|q| architecture.setting(q, layer));
            let weight = draw.weight(&path, &placeholder, packing)?;
            Ok((path, weight))
        })
        .collect::<Result<Weights>>()?;
    Model::in_memory(config, weights)
}

/// Draws weights much faster than they could be read from a disk: 16 random bits choose from a table.
struct Draw {
    state: u64,
    dtype: Dtype,
    table: Vec<f32>,
    /// The table in half precision, as bits.
    half: Vec<u16>,
}

impl Draw {
    fn new(seed: u64, dtype: Dtype) -> Self {
        // Equal steps from -√3 to √3 spreads: a uniform distribution with the standard deviation that is wanted.
        let step = 2.0 * 3f32.sqrt() * SPREAD / 65535.0;
        let table: Vec<f32> = (0..=u16::MAX).map(|i| (f32::from(i) - 32767.5) * step).collect();
        let bits = |&value: &f32| match dtype {
            Dtype::Float16 => f16::from_f32(value).to_bits(),
            _ => bf16::from_f32(value).to_bits(),
        };
        let half = table.iter().map(bits).collect();
        Self { state: seed, dtype, table, half }
    }

    /// The next 64 random bits, by splitmix64.
    fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A weight in the place of `placeholder`, packed as `packing` says if it is packed. Norms keep the value that
    /// leaves their input as it is.
    fn weight(&mut self, path: &str, placeholder: &Array, packing: Option<Quantization>) -> Result<Array> {
        let (shape, count) = (placeholder.shape(), placeholder.size());
        match (packing, path.rsplit('.').next()) {
            (Some(packing), Some("weight")) if placeholder.dtype() == Dtype::Uint32 => {
                // All codes are valid, except that e4m3, the type of mxfp8, has a NaN: without the upper bit of the
                // exponent it cannot come.
                let valid = if packing.mode == QuantMode::Mxfp8 { 0xbfbf_bfbf_bfbf_bfbf } else { u64::MAX };
                let words = (0..count.div_ceil(2)).flat_map(|_| {
                    let bits = self.bits() & valid;
                    [bits as u32, (bits >> 32) as u32]
                });
                Ok(Array::from_slice(&words.take(count).collect::<Vec<_>>(), shape)?)
            }
            (Some(packing), Some(part @ ("scales" | "biases"))) => self.scales(part, placeholder, packing),
            _ if shape.len() < 2 => Ok(placeholder.astype(self.dtype)?),
            _ if self.dtype == Dtype::Float32 => {
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    let i = usize::from(self.bits() as u16);
                    values.extend(self.table.get(i).copied());
                }
                Ok(Array::from_slice(&values, shape)?)
            }
            _ => {
                let mut values: Vec<u16> = Vec::with_capacity(count + 4);
                while values.len() < count {
                    let mut bits = self.bits();
                    for _ in 0..4 {
                        values.extend(self.half.get(usize::from(bits as u16)));
                        bits >>= 16;
                    }
                }
                values.truncate(count);
                Ok(Array::from_slice(&values, shape)?.view(self.dtype)?)
            }
        }
    }

    /// Scales or biases that turn packed values into some of the usual spread.
    fn scales(&self, part: &str, placeholder: &Array, packing: Quantization) -> Result<Array> {
        let (shape, count) = (placeholder.shape(), placeholder.size());
        let code = match packing.mode {
            QuantMode::Affine => {
                // The codes 0 to 2^bits − 1 become −√3 to √3 spreads.
                let scale = 2.0 * 3f32.sqrt() * SPREAD / ((1i32 << packing.bits) - 1) as f32;
                let value = if part == "scales" { scale } else { -3f32.sqrt() * SPREAD };
                return Ok(Array::full(shape, f64::from(value), self.dtype)?);
            }
            // e8m0, 2^(code − 127); the values reach 6, and, as they are drawn here, 1.875.
            QuantMode::Mxfp4 => 120u8,
            QuantMode::Mxfp8 => 121,
            // e4m3, whose smallest normal number is 2^-6.
            _ => 0x08,
        };
        Ok(Array::from_slice(&vec![code; count], shape)?)
    }
}

/// Qwen3-0.6B.
fn qwen3_0_6b() -> Value {
    json!({
        "model_type": "qwen3", "vocab_size": 151_936, "hidden_size": 1024, "intermediate_size": 3072,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "hidden_act": "silu", "max_position_embeddings": 40_960, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000,
        "tie_word_embeddings": true, "attention_bias": false, "use_sliding_window": false,
    })
}

/// Gemma3-1B.
fn gemma3_1b() -> Value {
    json!({
        "model_type": "gemma3_text", "vocab_size": 262_144, "hidden_size": 1152, "intermediate_size": 6912,
        "num_hidden_layers": 26, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 32_768, "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 256, "sliding_window": 512, "sliding_window_pattern": 6,
        "rope_theta": 1_000_000, "rope_local_base_freq": 10_000, "tie_word_embeddings": true,
        "attention_bias": false,
    })
}
