# SPDX-License-Identifier: EUPL-1.2
"""Quantised checkpoints as mlx-lm writes them, with the logits that mlx-lm computes from them.

Usage: python generate_mlx_lm.py OUT_DIR
Needs: mlx==0.32.2 mlx-cpu==0.32.2 mlx-lm==0.32.2; run it after generate_transformers.py on the same folder.

Each case is a folder with config.json, model.safetensors and reference.safetensors: input_ids (int32 [L]) and logits
(float32 [L, V]).
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import load_model, quantize_model


def finer(path, _module):
    """Embeddings and values in 8 bits, everything else as the default says."""
    return {"group_size": 32, "bits": 8} if "embed" in path or "v_proj" in path else True


def quantised(source, out, group_size, bits, predicate=None, mode="affine"):
    with tempfile.TemporaryDirectory() as folder:
        # mlx-lm would take reference.safetensors for weights.
        for name in ("config.json", "model.safetensors"):
            shutil.copy(source / name, folder)
        model, config = load_model(Path(folder))
    model, config = quantize_model(
        model, dict(config), group_size, bits, mode=mode, quant_predicate=predicate
    )
    out.mkdir(parents=True, exist_ok=True)
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(out / "model.safetensors"), weights, {"format": "mlx"})
    (out / "config.json").write_text(json.dumps(config, indent=1))
    ids = mx.load(str(source / "reference.safetensors"))["input_ids"].astype(mx.int32)
    logits = model(ids[None])[0].astype(mx.float32)
    mx.save_safetensors(str(out / "reference.safetensors"), {"input_ids": ids, "logits": logits})
    print(out.name, logits.shape)


def main():
    out = Path(sys.argv[1])
    quantised(out / "qwen3-tied", out / "qwen3-tied-4bit", 64, 4)
    quantised(out / "gemma3-window", out / "gemma3-window-mixed-bits", 64, 4, finer)
    quantised(out / "qwen3-tied", out / "qwen3-tied-mxfp4", 32, 4, mode="mxfp4")


if __name__ == "__main__":
    main()
