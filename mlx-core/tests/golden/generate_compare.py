# SPDX-License-Identifier: EUPL-1.2
"""Writes compare.json: comparisons, logic, and choices by them.

Needs: mlx==0.32.2 mlx-cpu==0.32.2
"""

import sys

import mlx.core as mx
from cases import Cases, given

cases = Cases("compare")
add = cases.add
nan, inf = float("nan"), float("inf")

for name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal"):
    op = getattr(mx, name)
    for dtype in ("float32", "float16", "bfloat16", "float64", "complex64"):
        add(name, op, [given([4], dtype, values=[1, 2, 3, nan]), given([4], dtype, values=[2, 2, 2, nan])])
    for dtype in ("int8", "uint8", "int32", "uint64", "bool"):
        add(name, op, [given([3], dtype, values=[1, 0, 1]), given([3], dtype, values=[0, 0, 1])])
    add(name, op, [given([2], "int8", values=[-1, 1]), given([2], "uint8", values=[255, 1])])
    add(name, op, [given([2], "int32", values=[1, 2]), given([2], "float16", values=[1.5, 2.0])])
    add(name, op, [given([2, 1], values=[1, 2]), given([3], values=[1, 2, 3])])
    add(name, op, [given([2, 3], seed=1, view=[["transpose", [1, 0]]]), given([3, 4], seed=2, view=[["every", 1, 2]])])
    add(name, op, [given([3], values=[inf, -inf, 0.0], view=[["reverse", 0]]), given([3], values=[inf, -inf, -0.0])])
    add(name, op, [given([2, 0]), given([1])])
    add(name, op, [given([], values=[1.0]), given([], values=[1.0])])
    add(name, op, [given([2]), given([3])])

for name in ("logical_and", "logical_or", "logical_xor"):
    op = getattr(mx, name)
    for dtype in ("bool", "float32", "bfloat16", "int32", "uint8", "complex64"):
        add(name, op, [given([4], dtype, values=[0, 0, 1, 1]), given([4], dtype, values=[0, 1, 0, 1])])
    add(name, op, [given([2], values=[nan, 0.5]), given([2], "int32", values=[1, 0])])
    add(name, op, [given([2, 2], "bool", values=[1, 0, 0, 1], view=[["transpose", [1, 0]]]), given([2], "bool", values=[1, 0])])
    add(name, op, [given([0], "bool"), given([1], "bool")])
    add(name, op, [given([2], "bool", values=[1, 0]), given([3], "bool", values=[1, 0, 1])])

for name in ("logical_not", "isnan", "isinf", "isfinite", "isposinf", "isneginf"):
    op = getattr(mx, name)
    for dtype in ("float32", "float16", "bfloat16", "float64", "complex64"):
        add(name, op, [given([5], dtype, values=[0, 1.5, nan, inf, -inf])])
    for dtype in ("int32", "uint8", "bool"):
        add(name, op, [given([2], dtype, values=[0, 1])])
    add(name, op, [given([2, 4], values=[0, nan, inf, -inf, 1, 2, nan, 0], view=[["every", 1, 2], ["transpose", [1, 0]]])])
    add(name, op, [given([0])])
    add(name, op, [given([], values=[nan])])

for equal_nan in (False, True):
    how = {"equal_nan": equal_nan}
    op = lambda a, b: mx.array_equal(a, b, equal_nan=equal_nan)
    add("array_equal", op, [given([2], values=[1, nan]), given([2], values=[1, nan])], how)
    add("array_equal", op, [given([2], values=[1, 2]), given([2], "int32", values=[1, 2])], how)
    add("array_equal", op, [given([2]), given([2, 1])], how)
    add("array_equal", op, [given([2, 3], view=[["transpose", [1, 0]]]), given([3, 2])], how)
    add("array_equal", op, [given([0]), given([0])], how)
    add("array_equal", op, [given([3], "complex64"), given([3], "complex64")], how)
    for rtol, atol in [(1e-5, 1e-8), (0.0, 0.1), (1e-3, 0.0)]:
        how = {"equal_nan": equal_nan, "rtol": rtol, "atol": atol}
        for name in ("isclose", "allclose"):
            op = lambda a, b: getattr(mx, name)(a, b, rtol=rtol, atol=atol, equal_nan=equal_nan)
            add(name, op, [given([5], values=[1.0, 100.0, inf, -inf, nan]), given([5], values=[1.0625, 100.0625, inf, inf, nan])], how)
            add(name, op, [given([2], "float16", values=[1.0, 2.0]), given([2], "float16", values=[1.0, 2.0])], how)
            add(name, op, [given([2, 1], "int32", values=[1, 2]), given([2], "int32", values=[1, 2])], how)
            add(name, op, [given([2, 3], view=[["transpose", [1, 0]]]), given([3, 2], seed=3)], how)
add("isclose", lambda a, b: mx.isclose(a, b), [given([2]), given([3])], {"equal_nan": False, "rtol": 1e-5, "atol": 1e-8})

condition = given([2, 3], "bool", seed=5)
add("where", mx.where, [condition, given([2, 3], seed=1), given([2, 3], seed=2)], grad=(1, 2))
add("where", mx.where, [given([3], "bool", seed=5), given([2, 1], seed=1), given([], values=[9.0])], grad=(1, 2))
for dtype in ("float16", "bfloat16", "int32", "bool", "complex64", "float64"):
    add("where", mx.where, [given([3], "bool", values=[1, 0, 1]), given([3], dtype, seed=1), given([3], dtype, seed=2)])
add("where", mx.where, [given([3], values=[0.5, 0.0, nan]), given([3], "int8", seed=1), given([3], "float16", seed=2)])
add("where", mx.where, [given([2, 2], "bool", values=[1, 0, 0, 1], view=[["transpose", [1, 0]]]), given([2, 4], view=[["every", 1, 2]]), given([2, 2], view=[["reverse", 0]])])
add("where", mx.where, [given([0], "bool"), given([1]), given([1])])
add("where", mx.where, [given([2], "bool", values=[1, 0]), given([3]), given([3])])

cases.write(sys.argv[1])
