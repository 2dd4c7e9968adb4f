# SPDX-License-Identifier: EUPL-1.2
"""Writes fast.json: the fused cross entropy of MLX's own Python package.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to.
"""

import sys

import mlx.core as mx
from cases import FLOATS, INTEGERS, Cases, given

c = Cases("fast")
SEED = iter(range(1, 1000))
loss = mx.fast.cross_entropy


def logits(shape, dtype="float32", **more):
    return given(shape, dtype, seed=next(SEED), **more)


def targets(*values, dtype="uint32", shape=None, view=None):
    return given((len(values),) if shape is None else shape, dtype, values=list(values), view=view)


for shape, wanted in [((3, 5), targets(0, 4, 2)), ((5,), targets(3, shape=())), ((2, 3, 4), targets(0, 1, 2, 3, 0, 1, shape=(2, 3))), ((1, 1), targets(0))]:
    for dtype in FLOATS:
        c.add("cross_entropy", loss, [logits(shape, dtype), wanted], rtol=1e-2 if dtype == "bfloat16" else 2e-3 if dtype == "float16" else None, atol=1e-2 if dtype == "bfloat16" else 2e-3 if dtype == "float16" else None)
c.add("cross_entropy", loss, [logits((3, 5), "float64"), targets(0, 4, 2)])
for dtype in INTEGERS:
    c.add("cross_entropy", loss, [logits((2, 4)), targets(3, 1, dtype=dtype)])
for view in [[["transpose", [1, 0]]], [["reverse", 1]], [["every", 1, 2]], [["broadcast", [4, 6]]]]:
    shape = (1, 6) if view[0][0] == "broadcast" else (4, 6) if view[0][0] != "transpose" else (6, 4)
    c.add("cross_entropy", loss, [logits(shape, view=view), targets(2, 1, 0, 2)])
c.add("cross_entropy", loss, [logits((3, 4)), targets(0, 9, 1, 9, 2, 9, view=[["every", 0, 2]])])
c.add("cross_entropy", loss, [given((2, 2), values=[float("inf"), 1.0, float("-inf"), 0.0]), targets(1, 1)])
c.add("cross_entropy", loss, [given((1, 2), values=[float("-inf"), float("-inf")]), targets(1)])
c.add("cross_entropy", loss, [given((1, 3), values=[1000.0, -1000.0, 0.0]), targets(2)])
for dtype in ["int32", "complex64"]:
    c.add("cross_entropy", loss, [logits((2, 3), dtype), targets(0, 1)])
for dtype in ["float32", "bool"]:
    c.add("cross_entropy", loss, [logits((2, 3)), targets(0, 1, dtype=dtype)])
for shape, wanted in [((2, 3), targets(0)), ((2, 3), targets(0, 1, shape=(2, 1))), ((2, 3), targets(0, shape=())), ((), targets(0, shape=()))]:
    c.add("cross_entropy", loss, [logits(shape), wanted])
for shape, wanted in [((3, 5), targets(0, 4, 2)), ((2, 2, 3), targets(0, 1, 2, 0, shape=(2, 2)))]:
    c.add("cross_entropy", lambda x, y: loss(x, mx.stop_gradient(y)), [logits(shape), wanted], {"stop": True}, grad=(0,), rtol=1e-4, atol=1e-5)
c.write(sys.argv[1])
