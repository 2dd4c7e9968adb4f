# SPDX-License-Identifier: EUPL-1.2
"""Writes create.json: arrays from a rule, windows, triangles.

Needs: mlx==0.32.2 mlx-cpu==0.32.2
"""

import sys

import mlx.core as mx
from cases import Cases, given, named

cases = Cases("create")
add = cases.add
ALL = ("float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "complex64")
SOME = ("float32", "float16", "bfloat16", "int32", "uint8", "bool", "complex64")

for dtype in ALL:
    how = {"shape": [2, 2], "dtype": dtype}
    add("zeros", lambda: mx.zeros([2, 2], named(dtype)), [], how)
    add("ones", lambda: mx.ones([2, 2], named(dtype)), [], how)
    # The package keeps a constant's own type where it is the wider one.
    three = {"b": True, "c": 3 + 0j}.get(dtype[0] if dtype != "bfloat16" else "", 3 if "int" in dtype else 3.0)
    add("full", lambda: mx.full([2, 2], three, dtype=named(dtype)), [], how | {"value": 3.0})
for shape in ([], [0], [3, 0], [1, 2, 1]):
    how = {"shape": shape, "dtype": "float32"}
    add("zeros", lambda: mx.zeros(shape), [], how)
    add("ones", lambda: mx.ones(shape), [], how)
    add("full", lambda: mx.full(shape, -1.5), [], how | {"value": -1.5})
for operand in [given([2, 3], view=[["transpose", [1, 0]]]), given([2], "bfloat16"), given([2], "int8"), given([2], "bool"), given([2], "complex64"), given([]), given([0, 2]), given([1, 2], view=[["broadcast", [2, 2]]])]:
    add("zeros_like", mx.zeros_like, [operand])
    add("ones_like", mx.ones_like, [operand])
    add("full_like", lambda x: mx.full_like(x, 1.0), [operand], {"value": 1.0})
    for dtype in ("int32", "float16"):
        add("zeros_like", lambda x: mx.zeros_like(x, dtype=named(dtype)), [operand], {"dtype": dtype})
        add("ones_like", lambda x: mx.ones_like(x, dtype=named(dtype)), [operand], {"dtype": dtype})
        add("full_like", lambda x: mx.full_like(x, 2.0, dtype=named(dtype)), [operand], {"value": 2.0, "dtype": dtype})

for dtype in ALL[:-2] + ("complex64",):
    for start, stop, step in [(0, 4, 1), (10, 1, -3), (1, 8, 2)]:
        if step > 0 or not dtype.startswith("u"):
            how = {"start": start, "stop": stop, "step": step, "dtype": dtype}
            add("arange", lambda: mx.arange(start, stop, step, named(dtype)), [], how)
for start, stop, step, dtype in [(0, 1, 0.25, "float32"), (0.5, -1.0, -0.375, "float32"), (0, 1, 0.25, "float16"), (0, 1, 0.125, "bfloat16"), (0, 1, 0.1, "float64"), (3, 0, 1, "float32"), (2, 2, 1, "int32"), (0, 4, 0.5, "int32"), (0.5, 4, 1, "int32"), (-2.5, 2.5, 1, "float32")]:
    add("arange", lambda: mx.arange(start, stop, step, named(dtype)), [], {"start": start, "stop": stop, "step": step, "dtype": dtype})

for dtype in ALL:
    for start, stop, count in [(0, 1, 5), (1, 9, 3)]:
        how = {"start": start, "stop": stop, "count": count, "dtype": dtype}
        add("linspace", lambda: mx.linspace(start, stop, count, dtype=named(dtype)), [], how)
        add("linspace_open", lambda: mx.linspace(start, stop, count, dtype=named(dtype), endpoint=False), [], how)
for start, stop, count in [(-1.5, 2.5, 9), (3, -3, 4), (1, 1, 3), (2, 5, 1), (2, 5, 0), (2, 5, 2), (0, 1, -1), (1e30, -1e30, 3)]:
    how = {"start": start, "stop": stop, "count": count, "dtype": "float32"}
    add("linspace", lambda: mx.linspace(start, stop, count), [], how)
    add("linspace_open", lambda: mx.linspace(start, stop, count, endpoint=False), [], how)

for dtype in SOME:
    for k in (0, 1, -1, 4, -4):
        how = {"rows": 2, "columns": 3, "k": k, "dtype": dtype}
        add("eye", lambda: mx.eye(2, 3, k, named(dtype)), [], how)
        add("tri", lambda: mx.tri(2, 3, k, named(dtype)), [], how)
    add("identity", lambda: mx.identity(3, named(dtype)), [], {"n": 3, "dtype": dtype})
for rows, columns in [(0, 3), (3, 0), (1, 1), (4, 2)]:
    add("eye", lambda: mx.eye(rows, columns), [], {"rows": rows, "columns": columns, "k": 0, "dtype": "float32"})
    add("tri", lambda: mx.tri(rows, columns), [], {"rows": rows, "columns": columns, "k": 0, "dtype": "float32"})
for n in (0, 1):
    add("identity", lambda: mx.identity(n), [], {"n": n, "dtype": "float32"})
for name in ("tril", "triu"):
    op = getattr(mx, name)
    for k in (0, 1, -1, 3, -3):
        add(name, lambda x: op(x, k), [given([2, 3])], {"k": k}, grad=(0,))
        add(name, lambda x: op(x, k), [given([2, 3], "bfloat16", view=[["transpose", [1, 0]]])], {"k": k})
        add(name, lambda x: op(x, k), [given([2, 2, 4], "int32", view=[["every", 2, 2], ["reverse", 1]])], {"k": k})
    for dtype in ("float16", "bool", "complex64", "uint8"):
        add(name, lambda x: op(x, 0), [given([3, 3], dtype)], {"k": 0})
    for shape in ([0, 3], [2, 0], [3], []):
        add(name, lambda x: op(x, 0), [given(shape)], {"k": 0})

for name in ("bartlett", "blackman", "hamming", "hanning"):
    op = getattr(mx, name)
    for n in (0, 1, 2, 3, 4, 7, 16):
        add(name, lambda: op(n), [], {"n": n})

cases.write(sys.argv[1])
