# SPDX-License-Identifier: EUPL-1.2
"""Writes conv.json: convolutions and their transposes, as MLX's own Python package computes them.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to. MLX 0.32.2 has no right answer for some calls, which are left out: derivatives by the
input where the padding differs between the ends or is longer than the kernel, negative padding of an input that is
spread out, paddings much longer than the input beside a dilated kernel. Our own tests have these.
"""

import sys

import mlx.core as mx
from cases import Cases, given

cases = Cases("conv")
CONV = {1: mx.conv1d, 2: mx.conv2d, 3: mx.conv3d}
TRANSPOSE = {1: mx.conv_transpose1d, 2: mx.conv_transpose2d, 3: mx.conv_transpose3d}


def each(n, axes):
    return [n] * axes if isinstance(n, int) else n


def forward(x, w, axes, *, grad=False, rtol=None, atol=None, **how):
    how = {k: v if k == "groups" else each(v, axes) for k, v in how.items()}
    given_ = {k: v if k == "groups" or axes > 1 else v[0] for k, v in how.items()}
    cases.add(f"conv{axes}d", lambda x, w: CONV[axes](x, w, **given_), [x, w], how, grad=(0, 1) if grad else (), rtol=rtol, atol=atol)


def transposed(x, w, axes, *, grad=False, **how):
    how = {k: v if k == "groups" else each(v, axes) for k, v in how.items()}
    given_ = {k: v if k == "groups" or axes > 1 else v[0] for k, v in how.items()}
    cases.add(f"conv_transpose{axes}d", lambda x, w: TRANSPOSE[axes](x, w, **given_), [x, w], how, grad=(0, 1) if grad else ())


def general(x, w, *, grad=False, **how):
    padding = (how["padding_low"], how["padding_high"]) if "padding_low" in how else 0
    rest = {k: v for k, v in how.items() if not k.startswith("padding")}
    cases.add("conv_general", lambda x, w: mx.conv_general(x, w, padding=padding, **rest), [x, w], how, grad=(0, 1) if grad else ())


def operands(axes, groups=1, dtype="float32", batch=2, length=6, kernel=3, channels=2, out=2, **how):
    spatial = [length - i for i in range(axes)]
    lengths = [max(kernel - i, 1) for i in range(axes)]
    x = given([batch, *spatial, channels * groups], dtype, seed=axes, **how)
    return x, given([out * groups, *lengths, channels], dtype, seed=axes + 10)


for axes in (1, 2, 3):
    small = {"batch": 1, "channels": 1, "out": 1, "length": 5} if axes == 3 else {"length": 5} if axes == 2 else {}
    for how in [{}, {"stride": 2}, {"padding": 1}, {"dilation": 2}, {"stride": 2, "padding": 1}, {"stride": 3}]:
        x, w = operands(axes, **small)
        if axes == 3 and how == {"dilation": 2}:
            x, w = operands(axes, **(small | {"length": 6, "kernel": 2}))
        if axes == 3 and "padding" in how:  # The last axis of the kernel has one place.
            how = how | {"padding": [1, 1, 0]}
        forward(x, w, axes, grad=True, **how)
        transposed(x, w, axes, grad=how.get("stride", 1) < 3, **how)
    forward(*operands(axes, kernel=1, **small), axes, grad=True)
    forward(*operands(axes, kernel=1, **small), axes, stride=2, grad=True)
    transposed(*operands(axes, **small), axes, stride=2, output_padding=1)
    transposed(*operands(axes, **small), axes, stride=2, padding=[1, 1, 0][:axes], output_padding=1)
    for dtype in ("float16", "bfloat16", "float64"):
        tolerance = {"rtol": 2e-2, "atol": 6e-2} if dtype == "bfloat16" else {"rtol": 2e-3, "atol": 8e-3} if dtype == "float16" else {}
        forward(*operands(axes, dtype=dtype, **small), axes, stride=2, **tolerance)
        forward(*operands(axes, dtype=dtype, **(small | {"length": 4, "kernel": 2})), axes, **tolerance)
    for dtype in ("int32", "bool", "complex64"):
        forward(*operands(axes, dtype=dtype, **small), axes)
    for bad in [{"stride": 0}, {"stride": -1}, {"dilation": 0}]:
        forward(*operands(axes, **small), axes, **bad)
    for bad in [{"stride": 0}, {"dilation": -1}, {"padding": 9}]:
        transposed(*operands(axes, **small), axes, **bad)
    forward(*operands(axes, **(small | {"length": 3, "kernel": 5})), axes)
    forward(*operands(axes, **(small | {"batch": 0})), axes)
    forward(given([2] + [4] * axes + [3]), given([2] + [2] * axes + [2]), axes)
    forward(given([4] * axes + [3]), given([2] + [2] * axes + [3]), axes)
    forward(given([2] + [4] * axes + [3]), given([2] + [2] * (axes - 1) + [3]), axes)
for axes in (1, 2):
    small = {"length": 5, "batch": 1} if axes == 2 else {}
    for groups in (2, 3):
        for how in [{}, {"stride": 2}, {"padding": 1}, {"dilation": 2}]:
            x, w = operands(axes, groups=groups, channels=1 if axes == 2 else 2, out=1, **small)
            forward(x, w, axes, groups=groups, grad=True, **how)
    # A kernel for each channel, and several.
    forward(*operands(axes, groups=4, channels=1, out=1, **small), axes, groups=4, grad=True)
    forward(*operands(axes, groups=3, channels=1, out=2, **small), axes, groups=3, grad=True)
    for dtype in ("float16", "bfloat16"):
        tolerance = {"rtol": 2e-2, "atol": 6e-2} if dtype == "bfloat16" else {"rtol": 2e-3, "atol": 8e-3}
        forward(*operands(axes, groups=4, channels=1, out=1, dtype=dtype, **small), axes, groups=4, **tolerance)
        forward(*operands(axes, groups=2, dtype=dtype, **small), axes, groups=2, **tolerance)
    transposed(*operands(axes, groups=2, **small), axes, groups=2)
    transposed(*operands(axes, groups=2, channels=1, **small), axes, groups=2, stride=2)
    forward(*operands(axes, groups=2, **small), axes, groups=3)
    forward(given([1] + [4] * axes + [4]), given([3] + [2] * axes + [2]), axes, groups=2)
    forward(*operands(axes, **small), axes, groups=-1)
for view in [[["transpose", [0, 2, 1]]], [["every", 1, 2]], [["reverse", 1]]]:
    x, w = given([2, 6, 6], seed=7, view=view), given([2, 2, 6], seed=8)
    forward(x, w, 1, grad=True)
    forward(x, given([2, 6, 2], seed=8, view=[["transpose", [0, 2, 1]]]), 1)
forward(given([1, 5, 2], view=[["broadcast", [3, 5, 2]]]), given([1, 2, 2], seed=8, view=[["broadcast", [4, 2, 2]]]), 1)
forward(*operands(2, length=6), 2, stride=[1, 2], padding=[1, 0], grad=True)
forward(*operands(2, length=7, kernel=2), 2, dilation=[1, 2], grad=True)
forward(given([1, 5, 2], "float16"), given([2, 2, 2]), 1, rtol=1e-4, atol=1e-5)
forward(given([1, 5, 2], "bfloat16"), given([2, 2, 2], "float16"), 1, rtol=1e-4, atol=1e-5)
forward(given([1, 5, 2], "int32"), given([2, 2, 2]), 1)
forward(given([1, 0, 2]), given([2, 2, 2]), 1)
forward(given([1, 0, 2]), given([2, 2, 2]), 1, padding=2)

x, w = operands(1)
y, v = operands(2, length=5)
for a, b, axes in [(x, w, 1), (y, v, 2)]:
    general(a, b, grad=True)
    general(a, b, flip=True, grad=True)
    general(a, b, stride=[2], kernel_dilation=[1], grad=True)
    general(a, b, padding_low=[1] * axes, padding_high=[1] * axes, grad=True)
    general(a, b, padding_low=[2] * axes, padding_high=[0] * axes)
    general(a, b, padding_low=[0] * axes, padding_high=[3] * axes)
    general(a, b, padding_low=[1] * axes, padding_high=[2] * axes, stride=[2] * axes, flip=True)
    general(a, b, padding_low=[-1] * axes, padding_high=[0] * axes)
    general(a, b, padding_low=[-1] * axes, padding_high=[-1] * axes)
    general(a, b, padding_low=[-2] * axes, padding_high=[1] * axes)
    general(a, b, input_dilation=[2] * axes, grad=True)
    general(a, b, input_dilation=[3] * axes, flip=True, grad=True)
    general(a, b, input_dilation=[2] * axes, padding_low=[1] * axes, padding_high=[1] * axes, grad=True)
    general(a, b, input_dilation=[2] * axes, stride=[2] * axes)
    general(a, b, input_dilation=[2] * axes, kernel_dilation=[2] * axes)
    for bad in ["stride", "kernel_dilation", "input_dilation"]:
        general(a, b, **{bad: [0] * axes})
        general(a, b, **{bad: [1] * (axes + 2)})
general(given([2, 2, 2]), given([2, 2]))
general(given([2, 2]), given([2, 2]))
general(given([]), given([]))
cases.write(sys.argv[1])
