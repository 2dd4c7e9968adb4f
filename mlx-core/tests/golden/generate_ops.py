# SPDX-License-Identifier: EUPL-1.2
"""Writes ops.json: what MLX's own Python package gives for quantising and for random numbers.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to. The inputs are spelled here and in the tests by the same integer formula, and are exact in every
float dtype.
"""

import importlib.metadata
import json
import pathlib
import sys

import mlx.core as mx

FORMATS = [(mode, group, bits) for mode in ["affine"] for group in [32, 64, 128] for bits in [2, 3, 4, 5, 6, 8]]
FORMATS += [("mxfp4", 32, 4), ("nvfp4", 16, 4), ("mxfp8", 32, 8)]


def pattern(rows, width, step):
    """Multiples of 1/16 between −3 and 3, in no visible order."""
    return mx.array([(i * step) % 97 - 48 for i in range(rows * width)], dtype=mx.float32).reshape(rows, width) / 16


def flat(array):
    return array.astype(mx.float32).flatten().tolist() if array.dtype == mx.bfloat16 else array.flatten().tolist()


def quantised():
    weight, x = pattern(3, 128, 37), pattern(2, 128, 23)
    left = pattern(2, 3, 11)
    for mode, group_size, bits in FORMATS:
        how = {"group_size": group_size, "bits": bits, "mode": mode}
        packed, scales, *biases = mx.quantize(weight, **how)
        biases = biases[0] if biases else None
        yield {
            **how,
            "words": flat(packed),
            "scales": flat(scales),
            "biases": flat(biases) if biases is not None else None,
            "values": flat(mx.dequantize(packed, scales, biases, dtype=mx.float32, **how)),
            "product": flat(mx.quantized_matmul(x, packed, scales, biases, transpose=True, **how)),
            "untransposed": flat(mx.quantized_matmul(left, packed, scales, biases, transpose=False, **how)),
        }


def drawn():
    key = mx.random.key(42)
    logits = pattern(2, 8, 37)
    draws = {
        "key": key,
        "split": mx.random.split(key),
        "split_n": mx.random.split(key, 3),
        "uniform": mx.random.uniform(-1, 3, (2, 3), key=key),
        "uniform_bfloat16": mx.random.uniform(0, 1, (5,), dtype=mx.bfloat16, key=key),
        "normal": mx.random.normal((5,), loc=1.0, scale=2.0, key=key),
        "normal_float16": mx.random.normal((5,), dtype=mx.float16, key=key),
        "truncated_normal": mx.random.truncated_normal(-0.5, 2.0, (5,), key=key),
        "gumbel": mx.random.gumbel((5,), key=key),
        "laplace": mx.random.laplace((5,), loc=-1.0, scale=0.5, key=key),
        "bernoulli": mx.random.bernoulli(mx.array([0.1, 0.5, 0.9, 0.5]), key=key),
        "randint": mx.random.randint(-3, 10, (8,), key=key),
        "randint_uint8": mx.random.randint(0, 256, (8,), dtype=mx.uint8, key=key),
        "categorical": mx.random.categorical(logits, key=key),
        "categorical_axis0": mx.random.categorical(logits, axis=0, key=key),
        "categorical_n": mx.random.categorical(logits, num_samples=4, key=key),
        "permutation": mx.random.permutation(mx.arange(6), key=key),
        "permutation_n": mx.random.permutation(6, key=key),
    }
    return {name: [float(value) for value in flat(array)] for name, array in draws.items()}


values = {
    "generator": "generate_ops.py",
    "mlx": importlib.metadata.version("mlx"),
    "seed": 42,
    "rtol": 1e-5,
    "atol": 1e-5,
    "quantised": list(quantised()),
    "random": drawn(),
}
(pathlib.Path(sys.argv[1]) / "ops.json").write_text(json.dumps(values) + "\n")
