# SPDX-License-Identifier: EUPL-1.2
"""Writes sort.json: sorting, partitioning, the largest values, binary search.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

What has no particular order is recorded in one: of a partition the element that is in its place, of the largest ones
their sorted values.
"""

import sys

import mlx.core as mx
from cases import Cases, given

cases = Cases("sort")
add = cases.add
nan, inf = float("nan"), float("inf")
APART = [3.5, -0.5, 2.0, 7.25, -4.0, 1.0, 5.5, 0.25, -2.0, 6.0, 4.0, -1.5]
ALL = ("float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "complex64")


def apart(shape, **more):
    count = 1
    for n in shape:
        count *= n
    return given(shape, values=APART[:count], **more)


VIEWS = [
    apart([4, 3], view=[["transpose", [1, 0]]]),
    apart([3, 4], view=[["every", 1, 2]]),
    apart([3, 4], view=[["reverse", 1], ["reverse", 0]]),
]
for name in ("sort", "argsort"):
    op = getattr(mx, name)
    for dtype in ALL:
        operand = given([2, 4], dtype, seed=3)
        add(name, lambda x: op(x, axis=-1), [operand], {"axis": -1})
        add(name, lambda x: op(x, axis=None), [operand])
    for axis in (0, 1, -2):
        add(name, lambda x: op(x, axis=axis), [apart([3, 4])], {"axis": axis}, grad=(0,) if name == "sort" else ())
    add(name, lambda x: op(x, axis=None), [apart([3, 4])], grad=(0,) if name == "sort" else ())
    add(name, lambda x: op(x, axis=1), [apart([2, 3, 2])], {"axis": 1})
    for view in VIEWS:
        add(name, lambda x: op(x, axis=1), [view], {"axis": 1})
        add(name, lambda x: op(x, axis=None), [view])
    add(name, lambda x: op(x, axis=0), [given([6], values=[nan, inf, 1.0, -inf, nan, 0.0])], {"axis": 0})
    add(name, lambda x: op(x, axis=0), [given([5], "float16", values=[nan, inf, 1.0, -inf, 0.0])], {"axis": 0})
    add(name, lambda x: op(x, axis=0), [given([4], values=[2.0, 1.0, 2.0, 1.0])], {"axis": 0})
    add(name, lambda x: op(x, axis=None), [given([], values=[2.0])])
    for axis in (0, -1):
        add(name, lambda x: op(x, axis=axis), [given([], values=[2.0])], {"axis": axis})
    for axis in (2, -3):
        add(name, lambda x: op(x, axis=axis), [apart([3, 4])], {"axis": axis})


def kth_of(op, pick, kth, axis):
    def function(x):
        parted = op(x, kth, axis=axis)
        if pick:
            flat = x.flatten() if axis is None else x
            parted = mx.take_along_axis(flat, parted, 0 if axis is None else axis)
        along = 0 if axis is None else axis
        return mx.take(parted, mx.array([kth % parted.shape[along]]), along)

    return function


for name, pick in (("partition", False), ("argpartition", True)):
    op = getattr(mx, name)
    for dtype in ALL[:-1]:
        operand = given([2, 4], dtype, seed=3)
        add(name, kth_of(op, pick, 2, -1), [operand], {"kth": 2, "axis": -1})
        add(name, kth_of(op, pick, 5, None), [operand], {"kth": 5})
    for kth in (0, 1, 3, -1, -4):
        grad = (0,) if not pick else ()
        add(name, kth_of(op, pick, kth, 1), [apart([3, 4])], {"kth": kth, "axis": 1}, grad=grad)
        add(name, kth_of(op, pick, kth, None), [apart([3, 4])], {"kth": kth})
    for view in VIEWS:
        add(name, kth_of(op, pick, 1, 1), [view], {"kth": 1, "axis": 1})
        add(name, kth_of(op, pick, 1, None), [view], {"kth": 1})
    add(name, kth_of(op, pick, 2, 0), [given([4], values=[nan, 1.0, nan, 0.0])], {"kth": 2, "axis": 0})
    for kth, axis in [(4, 1), (-5, 1), (0, 2), (0, -3), (12, None), (-13, None)]:
        params = {"kth": kth} if axis is None else {"kth": kth, "axis": axis}
        add(name, lambda x: op(x, kth, axis=axis), [apart([3, 4])], params)

top = lambda k, axis: lambda x: mx.sort(mx.topk(x, k, axis=axis), axis=0 if axis is None else axis)
for dtype in ALL[:-1]:
    operand = given([2, 4], dtype, seed=3)
    add("topk", top(2, -1), [operand], {"k": 2, "axis": -1})
    add("topk", top(3, None), [operand], {"k": 3})
for k in (1, 2, 3, 4):
    add("topk", top(k, 1), [apart([3, 4])], {"k": k, "axis": 1}, grad=(0,))
    add("topk", top(k, None), [apart([3, 4])], {"k": k}, grad=(0,))
add("topk", top(2, 0), [apart([3, 4])], {"k": 2, "axis": 0})
for view in VIEWS:
    add("topk", top(2, 1), [view], {"k": 2, "axis": 1})
    add("topk", top(2, None), [view], {"k": 2})
add("topk", top(2, 0), [given([4], values=[nan, 1.0, 3.0, 2.0])], {"k": 2, "axis": 0})
add("topk", lambda x: mx.topk(x, 0, axis=1), [apart([3, 4])], {"k": 0, "axis": 1})
for k, axis in [(5, 1), (-1, 1), (1, 2), (1, -3), (13, None), (-1, None)]:
    params = {"k": k} if axis is None else {"k": k, "axis": axis}
    add("topk", lambda x: mx.topk(x, k, axis=axis), [apart([3, 4])], params)

rising = [-2, 1, 1, 3, 5]
for side in ("left", "right"):
    op = lambda a, v: mx.searchsorted(a, v, side=side)
    how = {"side": side}
    for dtype in ("float32", "float16", "bfloat16", "float64", "int32", "int8"):
        add("searchsorted", op, [given([5], dtype, values=rising), given([2, 3], dtype, values=[-3, -2, 1, 2, 5, 9])], how)
    add("searchsorted", op, [given([5], "uint8", values=[0, 1, 1, 3, 5]), given([3], "uint8", values=[0, 1, 9])], how)
    add("searchsorted", op, [given([5], "int32", values=rising), given([3], values=[0.5, 1.0, 5.5])], how)
    add("searchsorted", op, [given([5], values=rising[::-1], view=[["reverse", 0]]), given([2, 2], values=[1, 2, 3, 4], view=[["transpose", [1, 0]]])], how)
    add("searchsorted", op, [given([5], values=rising, view=[["every", 0, 2]]), given([], values=[1.0])], how)
    add("searchsorted", op, [given([4], values=[-inf, 0.0, inf, nan]), given([4], values=[-inf, nan, inf, 1.0])], how)
    add("searchsorted", op, [given([2, 2]), given([2])], how)

cases.write(sys.argv[1])
