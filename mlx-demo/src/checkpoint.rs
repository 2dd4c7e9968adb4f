// SPDX-License-Identifier: EUPL-1.2
//! What stands beside the weights of the two small models: configs, tokenizers, chat templates.

use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::files::{write, write_json};
use crate::tokenizer::{self, GEMMA3_TOKENS, QWEN3_TOKENS, VOCABULARY};

/// The longest text that the models see.
const CONTEXT: usize = 1024;

/// ChatML: each turn between `<|im_start|>` with the role, and `<|im_end|>`.
const QWEN3_TEMPLATE: &str = r"{%- for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('expected the role system, user or assistant, found ' + message.role) }}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
";

/// Turns between `<start_of_turn>` and `<end_of_turn>`; a system message goes in front of the first user's.
const GEMMA3_TEMPLATE: &str = r"{{- bos_token }}
{%- set preface = '' %}
{%- set turns = messages %}
{%- if messages and messages[0].role == 'system' %}
    {%- set preface = messages[0].content + '\n\n' %}
    {%- set turns = messages[1:] %}
{%- endif %}
{%- for message in turns %}
    {%- if message.role != ['user', 'assistant'][loop.index0 % 2] %}
        {{- raise_exception('expected user and assistant in turns, the user first') }}
    {%- endif %}
    {{- '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') + '\n' }}
    {{- (preface if loop.first else '') + message.content | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\n' }}
{%- endif %}
";

/// Writes `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json` and `chat_template.jinja` of
/// a Qwen 3 of 1.8 million parameters.
pub(crate) fn qwen3(folder: &Path, texts: &[&str]) -> Result<()> {
    let first = VOCABULARY - QWEN3_TOKENS.len();
    let id = |name: &str| QWEN3_TOKENS.iter().position(|token| *token == name).map(|index| first + index);
    let (pad, end) = (id("<|endoftext|>"), id("<|im_end|>"));
    let config = json!({
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": VOCABULARY,
        "hidden_size": 192,
        "intermediate_size": 384,
        "num_hidden_layers": 5,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_scaling": null,
        "attention_bias": false,
        "attention_dropout": 0.0,
        "use_sliding_window": false,
        "sliding_window": null,
        "tie_word_embeddings": true,
        "bos_token_id": null,
        "eos_token_id": end,
        "pad_token_id": pad,
        "torch_dtype": "bfloat16",
    });
    let settings = json!({
        "tokenizer_class": "Qwen2Tokenizer",
        "add_bos_token": false,
        "add_prefix_space": false,
        "bos_token": null,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": null,
        "clean_up_tokenization_spaces": false,
        "model_max_length": CONTEXT,
    });
    let generation = json!({"eos_token_id": [end, pad], "pad_token_id": pad});
    files(folder, &tokenizer::qwen3(texts)?, &config, &settings, &generation, QWEN3_TEMPLATE)
}

/// The same of a Gemma 3 of 1.7 million parameters: five layers that look back over a window, and one over everything.
pub(crate) fn gemma3(folder: &Path, texts: &[&str]) -> Result<()> {
    let id = |name: &str| GEMMA3_TOKENS.iter().position(|token| *token == name);
    let (pad, eos, bos, end) = (id("<pad>"), id("<eos>"), id("<bos>"), id("<end_of_turn>"));
    let config = json!({
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "vocab_size": VOCABULARY,
        "hidden_size": 192,
        "intermediate_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": CONTEXT,
        "query_pre_attn_scalar": 32,
        "rms_norm_eps": 1e-6,
        "rope_theta": 100000.0,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": null,
        "sliding_window": 64,
        "sliding_window_pattern": 6,
        "attention_bias": false,
        "attention_dropout": 0.0,
        "attn_logit_softcapping": null,
        "final_logit_softcapping": null,
        "tie_word_embeddings": true,
        "bos_token_id": bos,
        "eos_token_id": [eos, end],
        "pad_token_id": pad,
        "torch_dtype": "bfloat16",
    });
    let settings = json!({
        "tokenizer_class": "GemmaTokenizer",
        "add_bos_token": true,
        "add_eos_token": false,
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "clean_up_tokenization_spaces": false,
        "model_max_length": CONTEXT,
        "spaces_between_special_tokens": false,
    });
    let generation = json!({"bos_token_id": bos, "eos_token_id": [eos, end], "pad_token_id": pad});
    files(folder, &tokenizer::gemma3(texts)?, &config, &settings, &generation, GEMMA3_TEMPLATE)
}

fn files(
    folder: &Path,
    tokenizer: &Value,
    config: &Value,
    settings: &Value,
    generation: &Value,
    template: &str,
) -> Result<()> {
    write(&folder.join("tokenizer.json"), tokenizer.to_string().as_bytes())?;
    write_json(&folder.join("config.json"), config)?;
    write_json(&folder.join("tokenizer_config.json"), settings)?;
    write_json(&folder.join("generation_config.json"), generation)?;
    write(&folder.join("chat_template.jinja"), template.as_bytes())
}
