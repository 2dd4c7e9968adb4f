# SPDX-License-Identifier: EUPL-1.2
"""The logits that mlx-lm computes from checkpoints, for tests that compare ours with them.

Usage: python logits.py < jobs.json

A job is an object: `dir`, a checkpoint; `adapter`, the folder of an adapter, or null; `ids`, tokens; `output`, the
safetensors file to write `logits` to, float32 [L, V].
"""

import json
import sys
from pathlib import Path

import mlx.core as mx
from mlx_lm.utils import load_adapters, load_model


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
