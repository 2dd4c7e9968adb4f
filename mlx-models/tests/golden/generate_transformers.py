# SPDX-License-Identifier: EUPL-1.2
"""Tiny random checkpoints with logits and a greedy continuation, computed by transformers in float32.

Usage: python generate_transformers.py OUT_DIR
Needs: torch==2.9.1 transformers==5.23.0 safetensors==0.8.0

Each case is a folder with config.json, the weights, and reference.safetensors: input_ids (int32 [L]), logits
(float32 [L, V]) and greedy (int32, the continuation by argmax, computed without a cache). The weights come from
torch's generator with the seed of the case.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, Qwen3Config, Qwen3ForCausalLM

VOCABULARY = 320
THETA = 1_000_000.0
LOCAL_THETA = 10_000.0
NEW_TOKENS = 12


def randomise(model, seed, spread):
    """Draws every parameter; norms lie around the value that leaves their input as it is."""
    generator = torch.Generator().manual_seed(seed)
    neutral = 0 if isinstance(model, Gemma3ForCausalLM) else 1
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(noise * 0.3 + neutral if parameter.ndim == 1 else noise * spread)
    if model.config.tie_word_embeddings:
        model.tie_weights()


def prompt(length, seed):
    return torch.randint(3, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed))


def write_reference(model, ids, out):
    logits = model(ids[None]).logits[0].float()
    text = ids[None]
    for _ in range(NEW_TOKENS):
        following = model(text).logits[0, -1].argmax()
        text = torch.cat([text, following.view(1, 1)], 1)
    reference = {
        "input_ids": ids.to(torch.int32),
        "logits": logits.contiguous(),
        "greedy": text[0, len(ids) :].to(torch.int32).contiguous(),
    }
    save_file(reference, out / "reference.safetensors")
    top = logits.topk(2).values
    print(f"{out.name}: logits spread {logits.std():.2f}, smallest lead {(top[:, 0] - top[:, 1]).min():.4f}")


def write_checkpoint(model, config, out, shards=1, prefix="", extra=None):
    out.mkdir(parents=True, exist_ok=True)
    tied = model.config.tie_word_embeddings
    state = {
        prefix + name: tensor.contiguous().clone()
        for name, tensor in model.state_dict().items()
        if not (tied and name == "lm_head.weight")
    }
    state |= extra or {}
    if shards == 1:
        save_file(state, out / "model.safetensors", {"format": "pt"})
    else:
        names, where = sorted(state), {}
        for i in range(shards):
            file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
            part = {name: state[name] for name in names[i::shards]}
            save_file(part, out / file, {"format": "pt"})
            where |= dict.fromkeys(part, file)
        total = sum(tensor.numel() * tensor.element_size() for tensor in state.values())
        index = {"metadata": {"total_size": total}, "weight_map": where}
        (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    (out / "config.json").write_text(json.dumps(config, indent=1))


def qwen3(out, seed, length=24, new_keys=False, scaling=None, shards=1, **changes):
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
    } | changes
    rope = {"rope_type": "default", "rope_theta": THETA} | (scaling or {})
    model = Qwen3ForCausalLM(Qwen3Config(**sizes, rope_parameters=rope)).float().eval()
    model.config._attn_implementation = "eager"
    randomise(model, seed, 0.15)
    config = sizes | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3"}
    if new_keys:
        kinds = ["full_attention"] * sizes["num_hidden_layers"]
        config |= {"rope_parameters": rope, "dtype": "float32", "layer_types": kinds}
    else:
        window = {"sliding_window": None, "use_sliding_window": False}
        config = window | config | {"rope_theta": THETA, "rope_scaling": scaling, "torch_dtype": "float32"}
    write_checkpoint(model, config, out, shards)
    write_reference(model, prompt(length, seed + 1), out)


def gemma3(out, seed, length=48, new_keys=False, scaling=None, nested=False, pattern=6, **changes):
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "query_pre_attn_scalar": 48,
        "sliding_window": 16,
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
        "hidden_activation": "gelu_pytorch_tanh",
        "tie_word_embeddings": True,
    } | changes
    kinds = [
        "sliding_attention" if (layer + 1) % pattern else "full_attention"
        for layer in range(sizes["num_hidden_layers"])
    ]
    rope = {
        "full_attention": {"rope_type": "default", "rope_theta": THETA} | (scaling or {}),
        "sliding_attention": {"rope_type": "default", "rope_theta": LOCAL_THETA},
    }
    model = Gemma3ForCausalLM(Gemma3TextConfig(**sizes, layer_types=kinds, rope_parameters=rope)).float().eval()
    model.config._attn_implementation = "eager"
    randomise(model, seed, 0.12)
    config = sizes | {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text"}
    if new_keys:
        config |= {"rope_parameters": rope, "layer_types": kinds, "dtype": "float32"}
    else:
        config |= {"rope_theta": THETA, "rope_local_base_freq": LOCAL_THETA, "rope_scaling": scaling}
        config |= {"sliding_window_pattern": pattern, "torch_dtype": "float32"}
    prefix, extra = "", {}
    if nested:
        del config["architectures"]
        config = {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "model_type": "gemma3",
            "text_config": config,
            "vision_config": {"model_type": "siglip_vision_model", "hidden_size": 8, "num_hidden_layers": 1},
            "eos_token_id": [1, 106],
            "image_token_index": 262144,
            "mm_tokens_per_image": 256,
        }
        prefix = "language_model."
        extra = {
            "vision_tower.vision_model.embeddings.patch_embedding.weight": torch.zeros(8, 3, 2, 2),
            "multi_modal_projector.mm_soft_emb_norm.weight": torch.zeros(8),
        }
    write_checkpoint(model, config, out, prefix=prefix, extra=extra)
    write_reference(model, prompt(length, seed + 1), out)


def main():
    torch.set_grad_enabled(False)
    out = Path(sys.argv[1])
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
    linear = {"rope_type": "linear", "factor": 8.0}
    qwen3(out / "qwen3-tied", 1)
    qwen3(out / "qwen3-untied-yarn", 2, tie_word_embeddings=False, new_keys=True, length=96, scaling=yarn)
    gemma3(out / "gemma3-window", 3)
    gemma3(out / "gemma3-linear-rope-new-config", 4, new_keys=True, scaling=linear)
    gemma3(out / "gemma3-conditional-nested", 5, nested=True, length=40)
    qwen3(out / "qwen3-sharded", 6, shards=3)
    short = {"hidden_size": 96, "num_attention_heads": 3, "num_hidden_layers": 3}
    gemma3(out / "gemma3-embed-scale-short", 8, length=40, **short)
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    small = {"hidden_size": 32, "intermediate_size": 64, "head_dim": 16}
    qwen3(out / "qwen3-window-bias", 9, length=40, attention_bias=True, **window, **small)
    capped = {"final_logit_softcapping": 3.0, "num_hidden_layers": 3, "head_dim": 16, "intermediate_size": 64}
    gemma3(out / "gemma3-softcap-linear-rope", 10, length=40, scaling=linear, pattern=2, **capped)


if __name__ == "__main__":
    main()
