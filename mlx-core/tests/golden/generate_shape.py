# SPDX-License-Identifier: EUPL-1.2
"""Writes shape.json: ops that move elements, or only change how they are laid out.

Needs: mlx==0.32.2 mlx-cpu==0.32.2
"""

import sys

import mlx.core as mx
from cases import Cases, given

cases = Cases("shape")
add = cases.add
TURNED = [["transpose", [1, 0]]]


def each(name, function, shape, params=None, many=1, smooth=True):
    """The op with its gradient, in other dtypes, and on views of the same shape (of two axes)."""
    params = params or {}
    grad = tuple(range(many)) if smooth else ()
    add(name, function, [given(shape, seed=i + 1) for i in range(many)], params, grad=grad)
    for dtype in ("float16", "bfloat16", "int32", "bool", "complex64"):
        add(name, function, [given(shape, dtype, seed=i + 1) for i in range(many)], params)
    if len(shape) == 2:
        turned = lambda seed: given(shape[::-1], seed=seed, view=TURNED)
        gaps = lambda seed: given([shape[0], 2 * shape[1]], seed=seed, view=[["every", 1, 2], ["reverse", 0]])
        add(name, function, [turned(i + 1) for i in range(many)], params)
        add(name, function, [gaps(i + 1) for i in range(many)], params)


def on(name, function, operand, params=None):
    add(name, function, [operand], params)


empty, scalar = given([2, 0, 3]), given([], values=[1.5])

for shape in ([3, 2], [-1], [1, 6, 1], [2, -1]):
    each("reshape", lambda x: mx.reshape(x, shape), [2, 3], {"shape": shape})
for operand, shape in [(empty, [0]), (empty, [0, 5]), (scalar, [1, 1]), (given([2, 3]), [4]), (given([2, 3]), [-1, -1]), (given([2, 3]), [4, -1]), (empty, [-1, 0])]:
    on("reshape", lambda x: mx.reshape(x, shape), operand, {"shape": shape})
for start, end in [(0, -1), (0, 1), (1, 2), (1, 1), (-2, -1)]:
    each("flatten", lambda x: mx.flatten(x, start, end), [2, 3, 2], {"start": start, "end": end})
on("flatten", lambda x: mx.flatten(x, 0, -1), given([3, 2], view=TURNED), {"start": 0, "end": -1})
for operand, start, end in [(scalar, 0, -1), (empty, 0, -1), (empty, 1, 2), (given([2, 3]), 1, 0), (given([2, 3]), 2, 3)]:
    on("flatten", lambda x: mx.flatten(x, start, end), operand, {"start": start, "end": end})
for axis, shape in [(1, [2, 3]), (1, [-1, 2]), (-1, [6, 1]), (0, [1, 2])]:
    each("unflatten", lambda x: mx.unflatten(x, axis, shape), [2, 6], {"axis": axis, "shape": shape})
for axis, shape in [(1, [4, 2]), (2, [1, 1]), (1, [-1, -1]), (1, [])]:
    on("unflatten", lambda x: mx.unflatten(x, axis, shape), given([2, 6]), {"axis": axis, "shape": shape})

each("transpose", lambda x: mx.transpose(x), [2, 3])
each("transpose", lambda x: mx.transpose(x), [2, 1, 3])
for axes in ([2, 0, 1], [-1, 1, 0], [0, 1, 2]):
    each("transpose", lambda x: mx.transpose(x, axes), [2, 3, 2], {"axes": axes})
for axes in ([0, 1], [0, 0, 1], [0, 1, 3]):
    on("transpose", lambda x: mx.transpose(x, axes), given([2, 3, 2]), {"axes": axes})
for operand in (empty, scalar):
    on("transpose", lambda x: mx.transpose(x), operand)
for a, b in [(0, 1), (-1, 0), (1, 1), (2, 0), (0, -3)]:
    if max(a, b) < 2 and min(a, b) > -3:
        each("swap_axes", lambda x: mx.swapaxes(x, a, b), [2, 3], {"a": a, "b": b})
        each("move_axis", lambda x: mx.moveaxis(x, a, b), [2, 3], {"a": a, "b": b})
    else:
        on("swap_axes", lambda x: mx.swapaxes(x, a, b), given([2, 3]), {"a": a, "b": b})
        on("move_axis", lambda x: mx.moveaxis(x, a, b), given([2, 3]), {"a": a, "b": b})
for a, b in [(0, 2), (2, 0), (1, -1)]:
    on("move_axis", lambda x: mx.moveaxis(x, a, b), given([2, 3, 2]), {"a": a, "b": b})

each("squeeze", lambda x: mx.squeeze(x), [1, 3, 1])
each("squeeze_axis", lambda x: mx.squeeze(x, 0), [1, 3], {"axis": 0})
for axis in (1, 3, -4):
    on("squeeze_axis", lambda x: mx.squeeze(x, axis), given([1, 3, 1]), {"axis": axis})
each("squeeze_axes", lambda x: mx.squeeze(x, (0, -1)), [1, 3, 1], {"axes": [0, -1]})
for axes in ([1], [0, 0], [3], [-4]):
    on("squeeze_axes", lambda x: mx.squeeze(x, axes), given([1, 3, 1]), {"axes": axes})
each("expand_dims", lambda x: mx.expand_dims(x, 1), [2, 3], {"axis": 1})
for axis in (0, -1, 3, -4):
    on("expand_dims", lambda x: mx.expand_dims(x, axis), given([2, 3]), {"axis": axis})
each("expand_dims_axes", lambda x: mx.expand_dims(x, (0, 2)), [2, 3], {"axes": [0, 2]})
for axes in ([0, -1], [1, 1], [0, 5], [0, -5]):
    on("expand_dims_axes", lambda x: mx.expand_dims(x, axes), given([2, 3]), {"axes": axes})
for n in (1, 2, 3):
    op = getattr(mx, f"atleast_{n}d")
    for operand in (scalar, given([3]), given([3, 2], view=TURNED), given([2, 1, 2], "bfloat16"), empty):
        on(f"atleast_{n}d", lambda x: op(x), operand)
    add(f"atleast_{n}d", lambda x: op(x), [given([3])], grad=(0,))

for shape, target in [([3], [2, 3]), ([2, 1], [2, 3]), ([1], [2, 2]), ([2, 3], [1, 2, 3])]:
    each("broadcast_to", lambda x: mx.broadcast_to(x, target), shape, {"shape": target})
for operand, target in [(scalar, [2, 2]), (scalar, [0, 2]), (given([3]), [2]), (given([3]), [3, 1]), (given([3]), [])]:
    on("broadcast_to", lambda x: mx.broadcast_to(x, target), operand, {"shape": target})
add("broadcast_arrays", lambda *x: mx.broadcast_arrays(*x), [given([2, 1]), given([3], seed=2), given([], seed=3)], grad=(0, 1, 2))
add("broadcast_arrays", lambda *x: mx.broadcast_arrays(*x), [given([2, 3], view=TURNED), given([1, 2], "int8")])
add("broadcast_arrays", lambda *x: mx.broadcast_arrays(*x), [given([2]), given([3])])

for reps in ([2], [2, 1], [1, 3], [2, 1, 2], [0]):
    each("tile", lambda x: mx.tile(x, reps), [2, 3], {"reps": reps})
for operand, reps in [(scalar, [2]), (empty, [2]), (given([2]), []), (given([2]), [-1])]:
    on("tile", lambda x: mx.tile(x, reps), operand, {"reps": reps})
for count, axis in [(2, 0), (3, -1), (1, 1), (0, 0)]:
    each("repeat", lambda x: mx.repeat(x, count, axis), [2, 2], {"count": count, "axis": axis})
each("repeat_all", lambda x: mx.repeat(x, 2), [2, 2], {"count": 2})
for operand in (scalar, empty):
    on("repeat_all", lambda x: mx.repeat(x, 3), operand, {"count": 3})
on("repeat_all", lambda x: mx.repeat(x, -1), given([2]), {"count": -1})
for count, axis in [(-1, 0), (2, 2), (2, -3)]:
    on("repeat", lambda x: mx.repeat(x, count, axis), given([2, 2]), {"count": count, "axis": axis})

MODES = ["constant", "edge", "reflect", "symmetric"]
for mode in MODES:
    # The package's derivative of mirrored padding leaves elements out.
    smooth = mode in ("constant", "edge")
    for widths in ([[1, 2], [0, 1]], [[0, 0], [2, 0]]):
        each("pad", lambda x: mx.pad(x, widths, mode=mode), [3, 3], {"widths": sum(widths, []), "mode": mode, "value": 0}, smooth=smooth)
    # Further than the array is long.
    on("pad", lambda x: mx.pad(x, [[5, 7]], mode=mode), given([3]), {"widths": [5, 7], "mode": mode, "value": 0})
    on("pad", lambda x: mx.pad(x, [[2, 3], [1, 4]], mode=mode), given([2, 1]), {"widths": [2, 3, 1, 4], "mode": mode, "value": 0})
    add("pad", lambda x: mx.pad(x, [[4, 3]], mode=mode), [given([2])], {"widths": [4, 3], "mode": mode, "value": 0}, grad=(0,) if smooth else ())
    each("pad_symmetric", lambda x: mx.pad(x, 1, mode=mode), [2, 3], {"width": 1, "mode": mode, "value": 0}, smooth=smooth)
    on("pad_symmetric", lambda x: mx.pad(x, 2, mode=mode), given([2, 2]), {"width": 2, "mode": mode, "value": 0})
    on("pad_symmetric", lambda x: mx.pad(x, 3, mode=mode), given([2, 2]), {"width": 3, "mode": mode, "value": 0})
    on("pad_symmetric", lambda x: mx.pad(x, 0, mode=mode), given([2, 2]), {"width": 0, "mode": mode, "value": 0})
    on("pad_symmetric", lambda x: mx.pad(x, 1, mode=mode), scalar, {"width": 1, "mode": mode, "value": 0})
    on("pad_symmetric", lambda x: mx.pad(x, -1, mode=mode), given([2]), {"width": -1, "mode": mode, "value": 0})
    on("pad", lambda x: mx.pad(x, [[0, 0], [0, 0], [1, 1]], mode=mode), empty, {"widths": [0, 0, 0, 0, 1, 1], "mode": mode, "value": 0})
    on("pad", lambda x: mx.pad(x, [[1, -1]], mode=mode), given([2]), {"widths": [1, -1], "mode": mode, "value": 0})
for mode in ("reflect", "symmetric"):
    on("pad", lambda x: mx.pad(x, [[1, 0]], mode=mode), given([0]), {"widths": [1, 0], "mode": mode, "value": 0})
each("pad", lambda x: mx.pad(x, [[1, 1], [1, 0]], constant_values=mx.array(1, x.dtype)), [2, 2], {"widths": [1, 1, 1, 0], "mode": "constant", "value": 1})
on("pad", lambda x: mx.pad(x, [[1, 1]], constant_values=mx.array(-1.5)), given([0]), {"widths": [1, 1], "mode": "constant", "value": -1.5})

for shift, axis in [(1, 0), (-1, 1), (5, 1), (0, 0), (-7, -2)]:
    each("roll", lambda x: mx.roll(x, shift, axis), [2, 3], {"shift": shift, "axis": axis})
for shifts, axes in [((1, 2), (0, 1)), ((1, 1), (1, 1)), ((-1,), (0,)), ((), ())]:
    each("roll_axes", lambda x: mx.roll(x, shifts, axes), [2, 3], {"shifts": list(shifts), "axes": list(axes)})
for shift in (1, -2, 7):
    each("roll_all", lambda x: mx.roll(x, shift), [2, 3], {"shift": shift})
for operand in (scalar, empty):
    on("roll_all", lambda x: mx.roll(x, 1), operand, {"shift": 1})
on("roll_axes", lambda x: mx.roll(x, (1, 1), (0, 2)), empty, {"shifts": [1, 1], "axes": [0, 2]})
on("roll_axes", lambda x: mx.roll(x, (1, 1), (0, 2)), given([2, 3]), {"shifts": [1, 1], "axes": [0, 2]})
on("roll", lambda x: mx.roll(x, 1, 2), given([2, 3]), {"shift": 1, "axis": 2})
for axis in (0, -1):
    each("flip", lambda x: mx.flip(x, axis), [2, 3], {"axis": axis})
for axes in ([0, 1], [1], []):
    each("flip_axes", lambda x: mx.flip(x, axes), [2, 3], {"axes": axes})
each("flip_all", lambda x: mx.flip(x), [2, 3])
for operand in (scalar, empty):
    on("flip_all", lambda x: mx.flip(x), operand)
for axes in ([2], [0, -3]):
    on("flip_axes", lambda x: mx.flip(x, axes), given([2, 3]), {"axes": axes})
on("flip", lambda x: mx.flip(x, 2), given([2, 3]), {"axis": 2})
each("contiguous", lambda x: mx.contiguous(x), [2, 3])

for k in (0, 1, -1, 2, -2, 5, -5):
    each("diag", lambda x: mx.diag(x, k), [2, 3], {"k": k})
    on("diagonal", lambda x: mx.diagonal(x, k, 0, 1), given([2, 3]), {"k": k, "axis1": 0, "axis2": 1})
    on("diagonal", lambda x: mx.diagonal(x, k, -1, 0), given([2, 3, 2]), {"k": k, "axis1": -1, "axis2": 0})
    add("diag", lambda x: mx.diag(x, k), [given([2])], {"k": k}, grad=(0,))
each("diagonal", lambda x: mx.diagonal(x, 0, 1, 2), [2, 3, 3], {"k": 0, "axis1": 1, "axis2": 2})
for operand in (scalar, given([1, 1, 1])):
    on("diag", lambda x: mx.diag(x, 0), operand, {"k": 0})
for axis1, axis2 in [(0, 0), (0, 2), (-3, 0)]:
    on("diagonal", lambda x: mx.diagonal(x, 0, axis1, axis2), given([2, 3]), {"k": 0, "axis1": axis1, "axis2": axis2})
for shape, strides, offset in [([3, 2], [2, 1], 0), ([4, 3], [1, 1], 0), ([2, 2], [0, 1], 2), ([], [], 3)]:
    each("as_strided", lambda x: mx.as_strided(x, shape, strides, offset), [6], {"shape": shape, "strides": strides, "offset": offset})

for count, axis in [(2, 1), (4, -1), (1, 0), (3, 1), (2, 2)]:
    on("split", lambda x: mx.split(x, count, axis), given([2, 4]), {"count": count, "axis": axis})
each("split", lambda x: mx.split(x, 2, 1), [2, 4], {"count": 2, "axis": 1})
for places, axis in [([1, 3], 1), ([], 0), ([2], -1), ([1, 1], 1), ([0, 4], 1)]:
    on("split_at", lambda x: mx.split(x, places, axis), given([4, 2], view=TURNED), {"places": places, "axis": axis})
each("split_at", lambda x: mx.split(x, [1, 3], 1), [2, 4], {"places": [1, 3], "axis": 1})
for axis in (0, 1, -1, 2):
    on("unstack", lambda x: mx.unstack(x, axis=axis), given([2, 3]), {"axis": axis})
each("unstack", lambda x: mx.unstack(x, axis=1), [2, 3], {"axis": 1})
for axis in (0, 1, -1):
    each("concatenate", lambda *x: mx.concatenate(x, axis), [2, 3], {"axis": axis}, many=2)
    each("stack", lambda *x: mx.stack(x, axis), [2, 3], {"axis": axis}, many=2)
each("concatenate_flat", lambda *x: mx.concatenate(x, axis=None), [2, 2], many=2)
joined = lambda axis: lambda *x: mx.concatenate(x, axis)
for a, b, axis in [("int8", "uint8", 0), ("float16", "bfloat16", 0), ("int32", "float16", 1), ("bool", "int8", 0), ("float32", "complex64", 0)]:
    add("concatenate", joined(axis), [given([1, 2], a), given([1, 2], b, seed=2)], {"axis": axis})
    add("stack", lambda *x: mx.stack(x, axis), [given([1, 2], a), given([1, 2], b, seed=2)], {"axis": axis})
    add("concatenate_flat", lambda *x: mx.concatenate(x, axis=None), [given([1, 2], a), given([], b, seed=2)])
add("concatenate", joined(0), [given([0, 2]), given([2, 2], view=TURNED), given([1, 2])], {"axis": 0})
add("concatenate_flat", lambda *x: mx.concatenate(x, axis=None), [given([0, 2]), given([2, 2], view=TURNED), given([])])
for a, b, axis in [([1, 2], [1, 3], 0), ([1, 2], [2], 0), ([1, 2], [1, 2], 2), ([], [], 0)]:
    add("concatenate", joined(axis), [given(a), given(b)], {"axis": axis})
for a, b, axis in [([1, 2], [1, 3], 0), ([1, 2], [1, 2], 3), ([], [], 0)]:
    add("stack", lambda *x: mx.stack(x, axis), [given(a), given(b)], {"axis": axis})
for sparse in (False, True):
    for indexing in ("xy", "ij"):
        how = {"sparse": sparse, "indexing": indexing}
        grid = lambda *x: mx.meshgrid(*x, **how)
        add("meshgrid", grid, [given([2]), given([3], seed=2)], how, grad=(0, 1))
        add("meshgrid", grid, [given([2]), given([3], "int32", seed=2), given([2], "bfloat16")], how)
        add("meshgrid", grid, [given([0]), given([6], view=[["every", 0, 2]])], how)

cases.write(sys.argv[1])
