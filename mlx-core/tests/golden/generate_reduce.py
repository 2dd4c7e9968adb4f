# SPDX-License-Identifier: EUPL-1.2
"""Writes reduce.json: reductions, places of extremes, softmax, traces, scans, differences.

Needs: mlx==0.32.2 mlx-cpu==0.32.2
"""

import sys

import mlx.core as mx
from cases import Cases, given, named

cases = Cases("reduce")
add = cases.add
nan, inf = float("nan"), float("inf")
# All different, so that no extreme is a tie and no median jumps.
APART = [v / 8 + 1 / 32 for v in (3, -7, 12, 5, -2, 9, -11, 1, 16, -4, 7, -9, 2, 14, -15, 6, 10, -5, 4, -13, 8, 11, -1, 13)]


def apart(shape, dtype="float32", **more):
    count = 1
    for n in shape:
        count *= n
    return given(shape, dtype, values=APART[:count], **more)


def three(name, op, operand, *, axis, axes, rest=None, all_grad=(), **more):
    """One axis, several with their lengths kept, and everything."""
    rest = rest or {}
    add(name, lambda x: op(x, axis=axis, **rest), [operand], {"axis": axis, "keepdims": False, **rest}, **more)
    add(name, lambda x: op(x, axis=axis, keepdims=True, **rest), [operand], {"axis": axis, "keepdims": True, **rest})
    add(name, lambda x: op(x, axis=axes, keepdims=True, **rest), [operand], {"axes": list(axes), "keepdims": True, **rest}, **more)
    add(name, lambda x: op(x, axis=axes, **rest), [operand], {"axes": list(axes), "keepdims": False, **rest})
    add(name, lambda x: op(x, **rest), [operand], rest, **more)


SMOOTH = {"sum", "prod", "mean", "max", "min", "logsumexp", "median", "var", "std"}
for name in ("sum", "prod", "mean", "max", "min", "all", "any", "logsumexp", "median", "var", "std"):
    op = getattr(mx, name)
    grad = {"grad": (0,)} if name in SMOOTH else {}
    three(name, op, apart([2, 3]), axis=1, axes=(0, 1), **grad)
    three(name, op, apart([2, 1, 3]), axis=0, axes=(2, 0), **grad)
    for dtype in ("float16", "bfloat16"):
        three(name, op, apart([2, 2], dtype), axis=-1, axes=(0,))
    for dtype in ("float64", "int32", "int8", "uint8", "bool", "complex64", "uint64"):
        operand = given([2, 2], dtype, values=[1, 0, 1, 3]) if dtype != "bool" else given([2, 2], "bool", values=[1, 0, 1, 1])
        add(name, lambda x: op(x, axis=0), [operand], {"axis": 0, "keepdims": False})
        add(name, lambda x: op(x), [operand])
    add(name, lambda x: op(x, axis=0), [apart([3, 2], view=[["transpose", [1, 0]]])], {"axis": 0, "keepdims": False})
    add(name, lambda x: op(x, axis=1), [apart([2, 6], view=[["every", 1, 2], ["reverse", 0]])], {"axis": 1, "keepdims": False})
    add(name, lambda x: op(x, axis=1), [apart([1, 3], view=[["broadcast", [2, 3]]])], {"axis": 1, "keepdims": False})
    add(name, lambda x: op(x, axis=(0, 2)), [apart([2, 3, 4], view=[["transpose", [2, 0, 1]]])], {"axes": [0, 2], "keepdims": False})
    add(name, lambda x: op(x), [given([], values=[1.5])])
    add(name, lambda x: op(x, axis=1), [given([2, 0])], {"axis": 1, "keepdims": False})
    add(name, lambda x: op(x, axis=0), [given([2, 0])], {"axis": 0, "keepdims": False})
    add(name, lambda x: op(x), [given([0])])
    add(name, lambda x: op(x, axis=0), [given([2, 2], values=[nan, 1, inf, -inf])], {"axis": 0, "keepdims": False})
    for axis in (2, -3):
        add(name, lambda x: op(x, axis=axis), [given([2, 3])], {"axis": axis, "keepdims": False})
        add(name, lambda x: op(x, axis=(0, axis)), [given([2, 3])], {"axes": [0, axis], "keepdims": False})
    add(name, lambda x: op(x, axis=(1, -1)), [given([2, 3])], {"axes": [1, -1], "keepdims": False})
    if name != "median":
        add(name, lambda x: op(x, axis=()), [apart([2, 3])], {"axes": [], "keepdims": False})
for name in ("var", "std"):
    op = getattr(mx, name)
    for ddof in (1, 2, 5):
        three(name, op, apart([2, 3]), axis=1, axes=(0, 1), rest={"ddof": ddof})
    add(name, lambda x: op(x, axis=1, ddof=1), [apart([2, 3])], {"axis": 1, "keepdims": False, "ddof": 1}, grad=(0,))
for dtype in ("float32", "bfloat16", "int8", "bool", "complex64"):
    op = mx.count_nonzero
    three("count_nonzero", op, given([2, 3], dtype, values=[0, 1, 1, 0, 0, 1]), axis=1, axes=(0, 1))
add("count_nonzero", lambda x: mx.count_nonzero(x, axis=0), [given([2, 2], values=[0, nan, 1, 0], view=[["transpose", [1, 0]]])], {"axis": 0, "keepdims": False})
add("count_nonzero", lambda x: mx.count_nonzero(x), [given([0])])
add("count_nonzero", lambda x: mx.count_nonzero(x, axis=1), [given([2])], {"axis": 1, "keepdims": False})

for name in ("argmax", "argmin"):
    op = getattr(mx, name)
    for dtype in ("float32", "float16", "bfloat16", "float64", "int32", "uint8", "complex64"):
        operand = given([2, 3], dtype, values=[1, 3, 3, 2, 0, 0])
        for axis, keepdims in [(1, False), (-1, True), (0, False)]:
            add(name, lambda x: op(x, axis=axis, keepdims=keepdims), [operand], {"axis": axis, "keepdims": keepdims})
        add(name, lambda x: op(x), [operand])
    add(name, lambda x: op(x, axis=1), [apart([3, 2], view=[["transpose", [1, 0]]])], {"axis": 1, "keepdims": False})
    add(name, lambda x: op(x, axis=1), [apart([2, 6], view=[["every", 1, 2], ["reverse", 1]])], {"axis": 1, "keepdims": False})
    add(name, lambda x: op(x), [apart([3, 2], view=[["transpose", [1, 0]]])])
    add(name, lambda x: op(x), [given([])])
    add(name, lambda x: op(x), [given([0])])
    add(name, lambda x: op(x, axis=1), [given([2, 0])], {"axis": 1, "keepdims": False})
    add(name, lambda x: op(x, axis=2), [given([2, 3])], {"axis": 2, "keepdims": False})

precise = lambda x, **how: mx.softmax(x, precise=True, **how)
for dtype in ("float32", "float16", "bfloat16", "float64", "int32", "bool"):
    grad = {"grad": (0,)} if dtype == "float32" else {}
    operand = apart([2, 3], dtype) if "float" in dtype else given([2, 3], dtype, seed=3)
    add("softmax", lambda x: precise(x, axis=1), [operand], {"axis": 1}, **grad)
    add("softmax", lambda x: precise(x, axis=0), [operand], {"axis": 0}, **grad)
    add("softmax", lambda x: precise(x, axis=(0, 1)), [operand], {"axes": [0, 1]}, **grad)
    add("softmax", lambda x: precise(x), [operand], **grad)
add("softmax", lambda x: precise(x, axis=-1), [apart([3, 2], view=[["transpose", [1, 0]]])], {"axis": -1}, grad=(0,))
add("softmax", lambda x: precise(x, axis=-1), [apart([2, 6], view=[["every", 1, 2]])], {"axis": -1})
add("softmax", lambda x: precise(x, axis=-1), [given([3], values=[1e4, 1e4 - 1, -inf])], {"axis": -1})
add("softmax", lambda x: precise(x, axis=1), [given([2, 0])], {"axis": 1})
add("softmax", lambda x: precise(x), [given([])])
add("softmax", lambda x: precise(x), [given([0, 2])])
add("softmax", lambda x: precise(x, axis=2), [given([2, 3])], {"axis": 2})
add("softmax", lambda x: precise(x, axis=(0, 0)), [given([2, 3])], {"axes": [0, 0]})

for dtype in ("float32", "float16", "bfloat16", "float64", "int8", "uint8", "int32", "bool", "complex64"):
    operand = given([2, 3], dtype, seed=4)
    grad = {"grad": (0,)} if dtype == "float32" else {}
    add("trace", mx.trace, [operand], **grad)
    for target in ("float32", "float16", "int32", "int8", "bool"):
        add("trace", lambda x: mx.trace(x, 1, 0, 1, named(target)), [operand], {"offset": 1, "axis1": 0, "axis2": 1, "dtype": target})
cube = given([2, 3, 4], seed=5)
for offset, axis1, axis2 in [(0, 0, 2), (0, 2, 1), (-1, 1, 2), (1, -1, 0), (3, 1, 2), (9, 0, 1), (-9, 0, 1)]:
    add("trace", lambda x: mx.trace(x, offset, axis1, axis2, mx.float32), [cube], {"offset": offset, "axis1": axis1, "axis2": axis2, "dtype": "float32"}, grad=(0,))
add("trace", mx.trace, [given([3, 2], view=[["transpose", [1, 0]]])])
add("trace", mx.trace, [given([0, 2, 3])])
add("trace", mx.trace, [given([3])])
add("trace", lambda x: mx.trace(x, 0, 0, 0, mx.float32), [cube], {"offset": 0, "axis1": 0, "axis2": 0, "dtype": "float32"})
add("trace", lambda x: mx.trace(x, 0, 0, 3, mx.float32), [cube], {"offset": 0, "axis1": 0, "axis2": 3, "dtype": "float32"})

for name in ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"):
    op = getattr(mx, name)
    for reverse in (False, True):
        for inclusive in (True, False):
            how = {"reverse": reverse, "inclusive": inclusive}
            # An exclusive extreme begins with an infinity, which has no difference quotient.
            grad = {"grad": (0,)} if inclusive or name in ("cumsum", "cumprod") else {}
            add(name, lambda x: op(x, axis=1, **how), [apart([2, 3])], {"axis": 1, **how}, **grad)
            add(name, lambda x: op(x, axis=0, **how), [apart([3, 2])], {"axis": 0, **how}, **grad)
            add(name, lambda x: op(x, **how), [apart([2, 2])], how, **grad)
            add(name, lambda x: op(x, axis=-1, **how), [apart([3, 2], view=[["transpose", [1, 0]]])], {"axis": -1, **how})
            for dtype in ("float16", "bfloat16", "int32", "uint8", "bool", "complex64", "float64"):
                if name == "logcumsumexp" and dtype in ("int32", "uint8", "bool"):
                    continue  # rounded to the integer at each step there, formed in float32 here
                if name in ("cummax", "cummin") and dtype == "complex64" and not inclusive:
                    continue
                add(name, lambda x: op(x, axis=0, **how), [given([4], dtype, seed=6)], {"axis": 0, **how})
    forward = {"reverse": False, "inclusive": True}
    add(name, lambda x: op(x, axis=0), [given([2, 6], seed=7, view=[["every", 1, 2], ["reverse", 0]])], {"axis": 0, **forward})
    add(name, lambda x: op(x), [given([3, 2], seed=7, view=[["transpose", [1, 0]]])], forward)
    add(name, lambda x: op(x), [given([])], forward)
    if name in ("cummax", "cummin"):
        add(name, lambda x: op(x, axis=0), [given([4], values=[1.0, nan, 2.0, 0.0])], {"axis": 0, **forward})
    for axis in (2, -3):
        add(name, lambda x: op(x, axis=axis), [given([2, 3])], {"axis": axis, **forward})

for n in (0, 1, 2, 3, 5):
    add("diff", lambda x: mx.diff(x, n=n, axis=-1), [apart([2, 4])], {"n": n, "axis": -1}, grad=(0,) if n < 4 else ())
    add("diff", lambda x: mx.diff(x, n=n, axis=0), [apart([3, 2])], {"n": n, "axis": 0})
for dtype in ("float16", "bfloat16", "float64", "int32", "uint8", "bool", "complex64"):
    add("diff", lambda x: mx.diff(x), [given([5], dtype, seed=8)], {"n": 1, "axis": -1})
add("diff", lambda x: mx.diff(x, axis=1), [apart([3, 2], view=[["transpose", [1, 0]]])], {"n": 1, "axis": 1})
add("diff", lambda x: mx.diff(x, axis=0), [apart([6], view=[["every", 0, 2], ["reverse", 0]])], {"n": 1, "axis": 0})
add("diff", lambda x: mx.diff(x), [given([2, 0])], {"n": 1, "axis": -1})
add("diff", lambda x: mx.diff(x), [given([])], {"n": 1, "axis": -1})
add("diff", lambda x: mx.diff(x, n=-1), [given([2])], {"n": -1, "axis": -1})
add("diff", lambda x: mx.diff(x, axis=1), [given([2])], {"n": 1, "axis": 1})

cases.write(sys.argv[1])
