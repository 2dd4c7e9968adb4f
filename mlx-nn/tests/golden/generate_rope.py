# SPDX-License-Identifier: EUPL-1.2
"""Reference values for rotary embeddings, computed by transformers.

Usage: generate_rope.py OUT_DIR     writes OUT_DIR/rope.json

Needs: torch==2.9.1 transformers==5.23.0 safetensors==0.8.0

The seed is 20.

Each case has the keys of a config, and for some texts (`offset` tokens before, as many after as `x` has) the inverse
frequencies, the attention factor and the rotated `x`. Every text gets a fresh embedding, so that the scalings that
depend on the length of the text see that of this text alone.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import transformers
from transformers import Phi3Config, Qwen3Config
from transformers.models.phi3 import modeling_phi3
from transformers.models.qwen3 import modeling_qwen3

HEAD_DIM = 16
SHORT = [1.0, 1.05, 1.1, 1.2, 1.3, 1.5, 1.75, 2.0]
LONG = [1.0, 1.5, 2.0, 3.5, 6.0, 10.0, 20.0, 32.0]

# name, `max_position_embeddings`, the keys of `rope_parameters`, offsets
CASES = [
    ("default", 4096, {"rope_type": "default", "rope_theta": 10000.0}, [0, 1, 4093]),
    ("default with a large base", 40960, {"rope_type": "default", "rope_theta": 1000000.0}, [0, 513]),
    ("linear", 4096, {"rope_type": "linear", "rope_theta": 10000.0, "factor": 8.0}, [0, 100, 4000]),
    # The limit, just beyond it, and far beyond it.
    ("dynamic", 64, {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}, [0, 61, 62, 500]),
    (
        "llama3",
        131072,
        {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        [0, 3000],
    ),
    # Wavelengths on all three sides of the two limits.
    (
        "llama3 in a small model",
        512,
        {
            "rope_type": "llama3",
            "rope_theta": 1000.0,
            "factor": 4.0,
            "low_freq_factor": 2.0,
            "high_freq_factor": 12.0,
            "original_max_position_embeddings": 128,
        },
        [0, 300],
    ),
    (
        "yarn",
        131072,
        {
            "rope_type": "yarn",
            "rope_theta": 1000000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 32768,
        },
        [0, 1000],
    ),
    (
        "yarn with its own ramp",
        256,
        {
            "rope_type": "yarn",
            "rope_theta": 1000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 64,
            "beta_fast": 8.0,
            "beta_slow": 0.5,
            "truncate": False,
        },
        [0, 200],
    ),
    (
        "yarn with a given attention factor",
        256,
        {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 4.0,
            "original_max_position_embeddings": 64,
            "attention_factor": 0.75,
        },
        [0, 200],
    ),
    (
        "yarn with mscale",
        163840,
        {
            "rope_type": "yarn",
            "rope_theta": 10000.0,
            "factor": 40.0,
            "original_max_position_embeddings": 4096,
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "mscale": 1.0,
            "mscale_all_dim": 0.707,
        },
        [0, 5000],
    ),
    (
        "longrope",
        1024,
        {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": SHORT,
            "long_factor": LONG,
            "original_max_position_embeddings": 32,
        },
        [0, 29, 30, 900],
    ),
    (
        "longrope with given factors",
        1024,
        {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": SHORT,
            "long_factor": LONG,
            "factor": 4.0,
            "attention_factor": 1.25,
            "original_max_position_embeddings": 32,
        },
        [0, 900],
    ),
    ("partial", 4096, {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}, [0, 777]),
    (
        "partial longrope",
        1024,
        {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": SHORT[:4],
            "long_factor": LONG[:4],
            "original_max_position_embeddings": 32,
            "partial_rotary_factor": 0.5,
        },
        [0, 900],
    ),
]


def embedding(max_position_embeddings, parameters):
    """A rotary embedding for these keys, and the function that applies it. Phi 3 is the one that rotates in part."""
    shared = {
        "head_dim": HEAD_DIM,
        "hidden_size": 2 * HEAD_DIM,
        "num_attention_heads": 2,
        "max_position_embeddings": max_position_embeddings,
        "rope_parameters": dict(parameters),
    }
    if "partial_rotary_factor" not in parameters:
        rotary = modeling_qwen3.Qwen3RotaryEmbedding(Qwen3Config(**shared))
        return rotary, modeling_qwen3.apply_rotary_pos_emb
    shared.pop("head_dim")
    original = parameters.get("original_max_position_embeddings", max_position_embeddings)
    config = Phi3Config(**shared, original_max_position_embeddings=original)
    return modeling_phi3.Phi3RotaryEmbedding(config), modeling_phi3.apply_rotary_pos_emb


def numbers(tensor):
    """Nine digits name a float32."""
    return [float(f"{value:.9g}") for value in tensor.flatten().tolist()]


def main(out):
    x = torch.from_numpy(np.random.default_rng(20).standard_normal((1, 2, 3, HEAD_DIM), dtype=np.float32))
    cases = []
    for name, max_position_embeddings, parameters, offsets in CASES:
        texts = []
        for offset in offsets:
            rotary, apply = embedding(max_position_embeddings, parameters)
            positions = torch.arange(offset, offset + x.shape[2])[None]
            cos, sin = rotary(x, positions)
            rotated, _ = apply(x, x, cos, sin)
            texts.append(
                {
                    "offset": offset,
                    "inverse_frequencies": numbers(rotary.inv_freq),
                    "attention_factor": float(rotary.attention_scaling),
                    "rotated": numbers(rotated),
                }
            )
        cases.append(
            {
                "name": name,
                "max_position_embeddings": max_position_embeddings,
                "rope_parameters": parameters,
                "texts": texts,
            }
        )
    document = {
        "generator": "generate_rope.py",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "seed": 20,
        "head_dim": HEAD_DIM,
        "x": {"shape": list(x.shape), "values": numbers(x)},
        "cases": cases,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "rope.json").write_text(json.dumps(document, indent=None, separators=(", ", ": ")) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
