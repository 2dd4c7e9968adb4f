# SPDX-License-Identifier: EUPL-1.2
"""Ten steps of training in Python's MLX with mlx-lm's models: losses and what the weights are in the end.

Usage: python generate_steps.py MODELS_GOLDEN_DIR OUT_DIR
Needs: mlx==0.32.2 mlx-cpu==0.32.2 mlx-lm==0.32.2.

`full`: every weight of qwen3-tied with AdamW, two rows of different lengths, some of whose tokens count.
`lora`: the adapter of gemma3-window-lora with Adam, whose means are corrected for starting at 0, and clipped gradients.
Each is a safetensors file: `ids` int32 [B, L + 1], `counts` bool [B, L], `losses` float32 [10], and weights by path.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_unflatten
from mlx_lm.tuner.utils import linear_to_lora_layers
from mlx_lm.utils import load_model

STEPS = 10


def load(source):
    with tempfile.TemporaryDirectory() as folder:
        # mlx-lm would take reference.safetensors for weights.
        for name in ("config.json", "model.safetensors"):
            shutil.copy(source / name, folder)
        return load_model(Path(folder))[0]


def batch(vocabulary, length, seed):
    mx.random.seed(seed)
    ids = mx.random.randint(1, vocabulary, (2, length + 1))
    # The second row is shorter, and the first tokens of both are a prompt.
    places = mx.arange(length)[None]
    counts = (places >= mx.array([[3], [5]])) & (places < mx.array([[length], [length - 7]]))
    return ids, counts


def loss(model, ids, counts):
    logits = model(ids[:, :-1]).astype(mx.float32)
    losses = nn.losses.cross_entropy(logits, ids[:, 1:], reduction="none") * counts
    return losses.sum() / counts.sum()


def run(model, optimizer, ids, counts, clip=None):
    step = nn.value_and_grad(model, loss)
    losses = []
    for _ in range(STEPS):
        value, gradients = step(model, ids, counts)
        if clip:
            gradients, _ = optim.clip_grad_norm(gradients, clip)
        optimizer.update(model, gradients)
        mx.eval(model.parameters(), optimizer.state, value)
        losses.append(value.item())
    print(losses)
    return mx.array(losses)


def main():
    golden, out = Path(sys.argv[1]), Path(sys.argv[2])
    model = load(golden / "qwen3-tied")
    ids, counts = batch(model.args.vocab_size, 24, 1)
    losses = run(model, optim.AdamW(1e-3, weight_decay=0.0), ids, counts)
    keep = {k: v for k, v in tree_flatten(model.parameters()) if ".0." in k or k == "model.norm.weight"}
    mx.save_safetensors(str(out / "steps-full.safetensors"), {"ids": ids, "counts": counts, "losses": losses, **keep})

    model = load(golden / "gemma3-window")
    model.freeze()
    config = json.loads((golden / "gemma3-window-lora" / "adapter_config.json").read_text())
    linear_to_lora_layers(model, config["num_layers"], config["lora_parameters"])
    first = mx.load(str(golden / "gemma3-window-lora" / "adapters.safetensors"))
    model.update(tree_unflatten(list(first.items())))
    ids, counts = batch(200, 40, 2)
    losses = run(model, optim.Adam(5e-3, bias_correction=True), ids, counts, clip=0.5)
    keep = dict(tree_flatten(model.trainable_parameters()))
    mx.save_safetensors(str(out / "steps-lora.safetensors"), {"ids": ids, "counts": counts, "losses": losses, **keep})


if __name__ == "__main__":
    main()
