# SPDX-License-Identifier: EUPL-1.2
"""Reference values for activations, norms and attention, computed by torch and transformers.

Usage: generate_layers.py OUT_DIR     writes OUT_DIR/layers.json

Needs: torch==2.9.1 transformers==5.23.0 safetensors==0.8.0

The seed is 21.

Half precision values are given as the float32 numbers that they stand for.
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from transformers.activations import ACT2FN
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

ACTIVATIONS = ["silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "quick_gelu", "relu", "relu2"]
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
rng = np.random.default_rng(21)


def draw(*shape, scale=1.0):
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32) * np.float32(scale))


def tensor(t):
    """Nine digits name a float32."""
    return {"shape": list(t.shape), "values": [float(f"{value:.9g}") for value in t.float().flatten().tolist()]}


def activations():
    x = torch.cat([draw(24, scale=3.0), torch.tensor([0.0, -0.0, 1e-3, -1e-3, 12.0, -12.0, 100.0, -100.0])])
    return {"x": tensor(x), "values": {name: tensor(ACT2FN[name](x)) for name in ACTIVATIONS}}


def norms():
    dim, eps = 12, 1e-6
    x, weight, bias = draw(2, 3, dim, scale=2.0), draw(dim, scale=0.5), draw(dim, scale=0.5)
    cases = []
    for name, dtype in DTYPES.items():
        plain, gemma = Qwen3RMSNorm(dim, eps), Gemma3RMSNorm(dim, eps)
        plain.weight.data, gemma.weight.data = weight.to(dtype), weight.to(dtype)
        input = x.to(dtype)
        cases.append(
            {
                "dtype": name,
                "rms": tensor(plain(input).detach()),
                "gemma": tensor(gemma(input).detach()),
                "layer": tensor(F.layer_norm(input, (dim,), weight.to(dtype), bias.to(dtype), eps)),
            }
        )
    return {"eps": eps, "x": tensor(x), "weight": tensor(weight), "bias": tensor(bias), "cases": cases}


def attention():
    batch, heads, kv_heads, new, cached, size, window = 2, 4, 2, 3, 4, 8, 3
    total = cached + new
    q, k, v = draw(batch, heads, new, size), draw(batch, kv_heads, total, size), draw(batch, kv_heads, total, size)
    additive = draw(new, total)
    queries, keys = torch.arange(cached, total)[:, None], torch.arange(total)[None]
    causal = keys <= queries
    sliding = causal & (keys > queries - window)
    scale = 0.3

    def attend(mask):
        return tensor(F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale, enable_gqa=True))

    return {
        "scale": scale,
        "window": window,
        "cached": cached,
        "q": tensor(q),
        "k": tensor(k),
        "v": tensor(v),
        "additive": tensor(additive),
        "masks": {
            "none": attend(None),
            "causal": attend(causal),
            "sliding": attend(sliding),
            "additive": attend(additive),
        },
    }


def main(out):
    document = {
        "generator": "generate_layers.py",
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "seed": 21,
        "activations": activations(),
        "norms": norms(),
        "attention": attention(),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "layers.json").write_text(json.dumps(document, separators=(", ", ": ")) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
