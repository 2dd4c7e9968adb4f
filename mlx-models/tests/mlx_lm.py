# SPDX-License-Identifier: EUPL-1.2
"""The logits that mlx-lm computes from checkpoints, for tests that compare ours with them.

Usage: python mlx_lm.py < jobs.json
Needs: mlx-lm

A job is an object: `dir`, a checkpoint; `adapter`, the folder of an adapter, or null; `ids`, tokens; `output`, the
safetensors file to write `logits` to, float32 [L, V].
"""

import json
import sys
from pathlib import Path

# This file has the package's name, and its folder is where Python would look first.
sys.path = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]

import mlx.core as mx  # noqa: E402
from mlx_lm.utils import load_adapters, load_model  # noqa: E402


def main():
    for job in json.load(sys.stdin):
        model, _ = load_model(Path(job["dir"]), lazy=True)
        if job["adapter"]:
            model = load_adapters(model, job["adapter"])
            model.eval()
        logits = model(mx.array(job["ids"], mx.int32)[None])[0].astype(mx.float32)
        mx.save_safetensors(job["output"], {"logits": logits})


if __name__ == "__main__":
    main()
