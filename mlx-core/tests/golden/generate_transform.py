# SPDX-License-Identifier: EUPL-1.2
"""Writes transform.json: what MLX's own Python package gives for mapped functions, pushforwards and gradients of them.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to.
"""

import sys

import mlx.core as mx
from cases import FLOATS, Cases, given

cases = Cases("transform")

# Functions of one or two arrays, by name; the Rust side has the same.
FUNCTIONS = {
    "exp": lambda x: mx.exp(x),
    "sum": lambda x: mx.sum(x),
    "softmax": lambda x: mx.softmax(x, axis=-1),
    "logsumexp": lambda x: mx.logsumexp(x, axis=-1),
    "cumsum": lambda x: mx.cumsum(x, axis=0),
    "sort": lambda x: mx.sort(x, axis=-1),
    "max": lambda x: mx.max(x, axis=-1),
    "argmax": lambda x: mx.argmax(x, axis=-1),
    "transpose": lambda x: mx.transpose(x),
    "slice": lambda x: x[1:],
    "reverse": lambda x: x[::-1],
    "square": lambda x: x * x,
    "tanh": lambda x: mx.tanh(x),
    "prod": lambda x: mx.prod(x, axis=0),
    "add": lambda x, y: x + y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
    "matmul": lambda x, y: x @ y,
    "maximum": lambda x, y: mx.maximum(x, y),
    "where": lambda x, y: mx.where(x > y, x, y * 2),
    "concatenate": lambda x, y: mx.concatenate([x, y], axis=0),
    "take": lambda x, y: mx.take(x, y, axis=0),
    "outer": lambda x, y: mx.outer(x, y),
}


def vmap(name, operands, in_axes, out_axis=0):
    function = mx.vmap(FUNCTIONS[name], in_axes=tuple(in_axes), out_axes=out_axis)
    cases.add("vmap", function, operands, {"function": name, "in": in_axes, "out": out_axis})


def jvp(name, operands):
    def function(*x):
        half = len(x) // 2
        _, pushed = mx.jvp(FUNCTIONS[name], list(x[:half]), list(x[half:]))
        return pushed

    cases.add("jvp", function, operands, {"function": name})


def mapped_grad(name, operands, in_axes):
    function = mx.vmap(mx.grad(lambda *x: FUNCTIONS[name](*x).sum()), in_axes=tuple(in_axes))
    cases.add("mapped_grad", function, operands, {"function": name, "in": in_axes})


UNARY = ["exp", "sum", "softmax", "logsumexp", "cumsum", "sort", "max", "argmax", "transpose", "slice", "reverse", "tanh", "prod"]
for i, name in enumerate(UNARY):
    for axis, out in [(0, 0), (1, 1), (2, 0)]:
        vmap(name, [given((2, 3, 4), seed=i)], [axis], out if name not in ("sum",) else 0)
    if name not in ("argmax", "max", "sort"):
        jvp(name, [given((2, 3), seed=i), given((2, 3), seed=i + 50)])
        mapped_grad(name, [given((2, 3, 2), seed=i, low=0.5)], [0])
for name in ["exp", "softmax", "cumsum", "square"]:
    for dtype in FLOATS[1:]:
        vmap(name, [given((2, 3), dtype, seed=5)], [0])
    vmap(name, [given((3, 4), seed=6, view=[["transpose", [1, 0]]])], [1])
    vmap(name, [given((4, 3), seed=7, view=[["every", 0, 2], ["reverse", 1]])], [0])
vmap("square", [given((2, 3), "int32", seed=8)], [0])
vmap("square", [given((2, 3), "complex64", seed=9)], [1], 1)
vmap("exp", [given((0, 3), values=[])], [0])
vmap("exp", [given((), seed=1)], [0])
vmap("exp", [given((3,), seed=1)], [0])

for i, name in enumerate(["add", "multiply", "divide", "maximum", "where"]):
    one, two = given((2, 3), seed=i), given((2, 3), seed=i + 9, low=0.5)
    for axes, out in [([0, 0], 0), ([1, 1], 1), ([0, None], 0), ([None, 1], 0)]:
        if axes == [0, None]:
            vmap(name, [one, given((3,), seed=3, low=0.5)], axes, out)
        elif axes == [None, 1]:
            vmap(name, [given((2,), seed=4), two], axes, out)
        else:
            vmap(name, [one, two], axes, out)
    jvp(name, [one, two, given((2, 3), seed=20), given((2, 3), seed=21)])
    mapped_grad(name, [one, two], [0, 0])
for axes, shapes in [
    ([0, 0], [(2, 3, 4), (2, 4, 2)]),
    ([0, None], [(2, 3, 4), (4, 2)]),
    ([None, 0], [(3, 4), (2, 4, 2)]),
    ([1, 2], [(3, 2, 4), (4, 2, 2)]),
    ([2, None], [(3, 4, 2), (4, 2)]),
    ([0, 0], [(2, 4), (2, 4, 3)]),
    ([0, 0], [(2, 3, 4), (2, 4)]),
    ([0, None], [(2, 2, 3, 4), (4, 2)]),
    ([0, 0], [(3, 2, 3, 4), (3, 4, 2)]),
]:
    vmap("matmul", [given(shapes[0], seed=1), given(shapes[1], seed=2)], axes)
mapped_grad("matmul", [given((2, 3, 4), seed=1), given((2, 4, 2), seed=2)], [0, 0])
mapped_grad("matmul", [given((2, 3, 4), seed=1), given((4, 2), seed=2)], [0, None])
jvp("matmul", [given((3, 4), seed=1), given((4, 2), seed=2), given((3, 4), seed=3), given((4, 2), seed=4)])
vmap("concatenate", [given((2, 3, 2), seed=1), given((2, 1, 2), seed=2)], [0, 0])
vmap("concatenate", [given((2, 3, 2), seed=1), given((1, 2), seed=2)], [0, None])
vmap("take", [given((2, 4, 3), seed=1), given((2,), "int32", values=[3, 0])], [0, None])
vmap("take", [given((4, 3), seed=1), given((2, 2), "int32", values=[3, 0, 1, 1])], [None, 0])
vmap("take", [given((2, 4), seed=1), given((2, 3), "int32", values=[3, 0, 1, 1, 2, 2])], [0, 0])
vmap("outer", [given((2, 3), seed=1), given((2, 4), seed=2)], [0, 0])
# Refusals.
vmap("add", [given((2, 3), seed=1), given((3, 3), seed=2)], [0, 0])
vmap("exp", [given((2, 3), seed=1)], [2])
vmap("exp", [given((2, 3), seed=1)], [0], 4)
jvp("exp", [given((2, 3), seed=1), given((3,), seed=2)])
jvp("matmul", [given((2, 3), seed=1), given((4, 2), seed=2), given((2, 3), seed=1), given((4, 2), seed=2)])

cases.write(sys.argv[1])
