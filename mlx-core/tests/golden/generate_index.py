# SPDX-License-Identifier: EUPL-1.2
"""Writes index.json: reads and updates by slices, integers and arrays, as MLX's own Python package does them.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to. An index is a list: an integer, ["slice", start, stop, step], "..." or "new", or an
array of indices as {"shape", "dtype", "values"}. Arrays of indices are parameters, since nothing is differentiated by them.
"""

import sys

import mlx.core as mx
from cases import FLOATS, Cases, build, given

cases = Cases("index")


def ints(values, shape=None, dtype="int32"):
    return {"shape": shape or [len(values)], "dtype": dtype, "values": values, "view": []}


def s(start=None, stop=None, step=1):
    return ["slice", start, stop, step]


def meant(index):
    """The Python index that a recorded one stands for."""
    match index:
        case "...":
            return ...
        case "new":
            return None
        case ["slice", start, stop, step]:
            return slice(start, stop, step)
        case dict():
            return build(index)
    return index


def plain(index):
    return {k: v for k, v in index.items() if k != "view"} if isinstance(index, dict) else index


def read(x, index, **how):
    cases.add("index", lambda a: a[tuple(map(meant, index))], [x], {"index": list(map(plain, index))}, **how)


def update(op, x, index, u, **how):
    def call(a, b):
        place = tuple(map(meant, index))
        if op == "update":
            out = mx.array(a)
            out[place] = b
            return out
        return getattr(a.at[place], op)(b)

    cases.add(op, call, [x, u], {"index": list(map(plain, index))}, **how)


cube = given([2, 3, 4])
indices = [
    [0],
    [-1, 2],
    [1, -3, 0],
    [s(1)],
    [s(None, None, -1)],
    ["...", s(None, None, 2)],
    ["...", s(3, 0, -2)],
    [s(), s(5, 1)],
    [s(), s(-2, None, 1), s(-100, 100, 3)],
    ["new", 0, "...", "new"],
    [1, "...", s(1, 3)],
    [ints([1, 0, 1])],
    [s(), ints([2, -3, 0, 1], [2, 2])],
    ["...", ints([3, 0, -4])],
    [s(), ints([0, 2]), ints([1, -1])],
    [ints([0, 1, 1]), ints([0, 2, 1]), ints([3, 0, 2])],
    [s(None, None, -1), ints([2, 0]), s(1, None)],
    [ints([0, 1], [2, 1]), ints([0, 2], [1, 2])],
    [ints([], [0])],
    [s(), ints([2], [])],
    [s(2, 9), s(None, None, -2)],
]
for index in indices:
    read(cube, index, grad=(0,))
for dtype in ["float16", "bfloat16", "float64", "complex64", "bool", "int8", "int64", "uint8", "uint64"]:
    read(given([2, 3, 4], dtype), [s(None, None, -1), ints([2, 0]), s(1, None, 2)])
    read(given([2, 3, 4], dtype), ["...", s(None, None, -3)])
for view in [[["transpose", [2, 0, 1]]], [["every", 2, 2]], [["reverse", 1]]]:
    x = given([4, 6, 4], seed=3, view=view)
    read(x, [s(1, None, 2), s(None, None, -1)], grad=(0,))
    read(x, [s(), ints([1, 0, -1])], grad=(0,))
    read(x, [ints([1, 0]), s(), ints([1, -1])] if view[0][0] == "reverse" else [ints([1, 0]), ints([1, -1])])
read(given([1, 4], view=[["broadcast", [3, 4]]]), [s(None, None, -1), ints([0, 3])])
read(given([0, 3]), [s(), 1])
read(given([0, 3]), [s(None, None, -1), ints([2, 0])])
read(given([]), ["..."])
read(given([]), ["new"])
for dtype in ["int8", "uint8", "int16", "uint16", "uint32", "int64", "uint64"]:
    read(given([3, 2]), [ints([2, 0, 1], dtype=dtype)])
    if dtype != "uint64":  # MLX makes floats of these two.
        read(given([3, 2]), [ints([2, 0, 1], dtype=dtype), ints([1, 0, 1])])
for index in [[0, 0, 0, 0], ["...", "..."]]:
    read(cube, index)

places = [
    ([1], [3, 4]),
    ([s(), 1], [2, 4]),
    ([s(None, None, -1), s(1)], [2, 2, 4]),
    (["...", s(3, 0, -2)], [2, 3, 2]),
    (["...", s(1, 3)], [3, 1]),
    (["..."], [2, 3, 4]),
    ([s(5)], [1]),
    ([ints([1, 0])], [2, 3, 4]),
    ([s(), ints([2, 0])], [2, 2, 4]),
    (["...", ints([1, 3, 0])], [1, 3]),
    ([ints([0, 1, 1]), ints([2, 0, 1])], [3, 4]),
    ([1, ints([2, 0]), s(None, None, 2)], [2, 2]),
    ([ints([0, 1]), ints([2, 0]), ints([1, 1])], [2]),
    ([ints([1], [])], [3, 4]),
]
for op in ["update", "add", "subtract", "multiply", "divide", "maximum", "minimum"]:
    for n, (index, shape) in enumerate(places):
        through_arrays = any(isinstance(i, dict) for i in index)
        # Away from ties, zero and the other operand's values.
        x, u = given([2, 3, 4], low=0.5, seed=n + 1), given(shape, seed=n + 40, low=0.53125, high=2.53125)
        smooth = not (through_arrays and op in ("multiply", "divide", "maximum", "minimum"))
        update(op, x, index, u, grad=(0, 1) if smooth else (), rtol=1e-4 if op == "divide" else None)
    for dtype in FLOATS[1:] + ("float64", "complex64"):
        exact = given([2, 4], dtype, values=[2.0, 4.0, 1.0, 0.5, 4.0, 2.0, 8.0, 1.0])
        halves = given([2], dtype, values=[2.0, 0.5])
        if dtype == "complex64" and op in ("maximum", "minimum"):
            continue
        update(op, exact, [s(), s(1, None, 2)], halves)
        update(op, exact, [s(), ints([3, 0])], halves)
    if op != "divide":
        for dtype in ("int8", "int32", "uint8", "int64", "uint32"):
            x, u = given([2, 4], dtype, values=list(range(8))), given([2], dtype, values=[3, 1])
            update(op, x, [s(), s(None, None, -3)], u)
            update(op, x, [ints([1, 0]), ints([0, 3])], u)
    if op not in ("divide", "subtract"):
        x = given([4], "bool", values=[True, False, True, False])
        update(op, x, [s(1, 3)], given([2], "bool", values=[True, False]))
    update(op, given([3, 2], low=1.0, view=[["transpose", [1, 0]]]), [s(None, None, -1), s(1)], given([2], low=1.0), rtol=1e-4)
    update(op, given([3, 2], low=1.0), [ints([1, 0])], given([2, 2], low=1.0, view=[["reverse", 0]]), rtol=1e-4)
    update(op, given([0, 2]), [s()], given([1]))
for op in ["add", "subtract", "multiply"]:
    # A place that is named several times meets every update.
    update(op, given([3]), [ints([1, 1, 0])], given([3], low=1.0, seed=5), grad=(0, 1) if op != "multiply" else ())
    update(op, given([3, 2]), [ints([2, 2])], given([2, 2], low=1.0, seed=5), grad=(0, 1) if op != "multiply" else ())
update("update", cube, [0], given([5]))
update("add", cube, [s(), ints([0, 1])], given([3, 4]))


def named(op, function, operands, params, **how):
    """A call with an array of indices among its parameters."""
    shown = {k: plain(v) for k, v in params.items()}
    cases.add(op, lambda *x: function(*x, **{k: build(v) if isinstance(v, dict) else v for k, v in params.items()}), operands, shown, **how)


grid = given([3, 4], seed=9)
for axis, indices in [(0, ints([2, 0, -1])), (1, ints([1, 3, -4, 0], [2, 2])), (-1, ints([2], [])), (0, ints([], [0]))]:
    named("take", lambda a, indices, axis: mx.take(a, indices, axis), [grid], {"indices": indices, "axis": axis}, grad=(0,))
for indices in [ints([11, 0, -1, 5]), ints([3], []), ints([0, 1, 2, 3], [2, 2])]:
    named("take_flat", lambda a, indices: mx.take(a, indices), [grid], {"indices": indices}, grad=(0,))
along = [(0, ints([2, 0, 1, -1], [1, 4])), (1, ints([3, 0, 1, -1, 2, 2], [3, 2])), (-1, ints([3, 0, 1], [3, 1]))]
for axis, indices in along:
    for x in [grid, given([4, 3], view=[["transpose", [1, 0]]])]:
        named("take_along_axis", mx.take_along_axis, [x], {"indices": indices, "axis": axis}, grad=(0,))
        u = given(indices["shape"], seed=11)
        put = lambda a, values, indices, axis: mx.put_along_axis(a, indices, values, axis)
        distinct = {"indices": indices, "axis": axis} if indices["shape"] != [3, 2] else {"indices": ints([3, 0, 1, -1, 2, 1], [3, 2]), "axis": axis}
        named("put_along_axis", put, [x, u], distinct, grad=(0, 1))
    for dtype in ["float16", "bfloat16", "int32", "bool", "complex64"]:
        named("take_along_axis", mx.take_along_axis, [given([3, 4], dtype)], {"indices": indices, "axis": axis})

for axes, sizes, start in [([0], [2, 4], [1]), ([1], [3, 2], [2]), ([0, 1], [1, 3], [2, 1]), ([1, 0], [2, 2], [0, 1])]:
    start = ints(start)
    dynamic = lambda a, start, axes, sizes: mx.slice(a, start, axes, sizes)
    named("slice_dynamic", dynamic, [grid], {"start": start, "axes": axes, "sizes": sizes}, grad=(0,))
    put = lambda a, u, start, axes: mx.slice_update(a, u, start, axes)
    named("slice_update_dynamic", put, [grid, given(sizes, seed=4)], {"start": start, "axes": axes}, grad=(0, 1))

mask = ints([True, False, True, True, False, False], [2, 3], "bool")


def fill(a, value, mask):
    a = mx.array(a)
    a[mask] = value
    return a


for dtype in ["float32", "bfloat16", "int32", "complex64"]:
    named("masked_fill", fill, [given([2, 3], dtype), given([], dtype, seed=8)], {"mask": mask})
    named("masked_scatter", fill, [given([2, 3], dtype), given([3], dtype, seed=8)], {"mask": mask})
rows = ints([False, True], [2], "bool")
named("masked_fill", fill, [given([2, 3]), given([3], seed=8)], {"mask": rows})
named("masked_scatter", fill, [given([2, 3]), given([1, 3], seed=8)], {"mask": rows})
cases.write(sys.argv[1])
