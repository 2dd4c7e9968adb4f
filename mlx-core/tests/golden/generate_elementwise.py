# SPDX-License-Identifier: EUPL-1.2
"""Writes elementwise.json: arithmetic, functions of one number, bits, casts.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Integers are divided without negative numbers and shifted by fewer bits than they have, since the package leaves the
rest to the processor, and we do not.
"""

import sys

import mlx.core as mx
from cases import Cases, given, named, numbers

cases = Cases("elementwise")
add = cases.add


def smooth(shape, seed=1, low=-3.0, high=3.0, **more):
    """float32 at odd multiples of 1/32: never whole, so no kink is near."""
    count = 1
    for n in shape:
        count *= n
    return given(shape, values=[v + 1 / 32 for v in numbers(count, seed, low, high)], **more)


# Name, the domain, and whether there is a derivative.
UNARY = [
    ("square", -3, 3, True),
    ("sign", -3, 3, True),
    ("conjugate", -3, 3, True),
    ("stop_gradient", -3, 3, False),
    ("negative", -3, 3, True),
    ("abs", -3, 3, True),
    ("real", -3, 3, False),
    ("imag", -3, 3, False),
    ("floor", -3, 3, True),
    ("ceil", -3, 3, True),
    ("trunc", -3, 3, True),
    ("positive", -3, 3, True),
    ("sqrt", 0.25, 3, True),
    ("rsqrt", 0.25, 3, True),
    ("reciprocal", 0.25, 3, True),
    ("exp", -3, 3, True),
    ("log", 0.25, 3, True),
    ("log2", 0.25, 3, True),
    ("log10", 0.25, 3, True),
    ("log1p", -0.5, 3, True),
    ("sin", -3, 3, True),
    ("cos", -3, 3, True),
    ("tan", -1.25, 1.25, True),
    ("sinh", -3, 3, True),
    ("cosh", -3, 3, True),
    ("tanh", -3, 3, True),
    ("arcsin", -0.875, 0.875, True),
    ("arccos", -0.875, 0.875, True),
    ("arctan", -3, 3, True),
    ("arcsinh", -3, 3, True),
    ("arccosh", 1.25, 3, True),
    ("arctanh", -0.875, 0.875, True),
    ("degrees", -3, 3, True),
    ("radians", -3, 3, True),
    ("expm1", -3, 3, True),
    ("sigmoid", -3, 3, True),
    ("erf", -3, 3, True),
    ("erfinv", -0.875, 0.875, True),
]
for name, low, high, differentiable in UNARY:
    op = getattr(mx, name)
    domain = {"low": low, "high": high}
    add(name, op, [smooth([2, 3], low=low, high=high - 0.125)], grad=(0,) if differentiable else ())
    add(name, op, [given([5], "float16", seed=2, **domain)])
    add(name, op, [given([3, 2], "bfloat16", seed=3, view=[["transpose", [1, 0]]], **domain)])
    add(name, op, [given([3], "float64", seed=4, **domain)])
    add(name, op, [given([2, 4], seed=5, view=[["every", 1, 2], ["reverse", 0]], **domain)])
    add(name, op, [given([4], "int32", seed=6)])
    add(name, op, [given([3], "uint8", seed=7)])
    add(name, op, [given([2], "bool", values=[True, False])])
    add(name, op, [given([2], "complex64", seed=8, low=low, high=high)])
    add(name, op, [given([2, 0])])
    add(name, op, [given([], **domain, seed=9)])
for name in ("exp", "log", "sqrt", "abs", "sign", "tanh", "sigmoid", "erf"):
    special = given([4], values=[float("nan"), float("inf"), float("-inf"), 0.0])
    add(name, getattr(mx, name), [special])

BINARY = ["add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "logaddexp", "arctan2"]
for name in BINARY + ["remainder", "floor_divide"]:
    op = getattr(mx, name)
    positive = {"low": 0.25, "high": 3.0}
    a = lambda dtype, seed=1, shape=(2, 3), **more: given(shape, dtype, seed=seed, **positive, **more)
    b = lambda dtype, seed=2, shape=(2, 3), **more: given(shape, dtype, seed=seed, low=0.5, high=3.0, **more)
    whole = name in ("remainder", "floor_divide")
    add(name, op, [smooth([2, 3], low=0.25, high=2.5), given([2, 3], seed=12, low=0.5, high=3.0)], grad=(0, 1), differences=not whole)
    add(name, op, [smooth([2, 1], 3, 0.25, 2.5), given([3], seed=14, low=0.5, high=3.0)], grad=(0, 1), differences=not whole)
    for dtype in ("float16", "bfloat16", "float64"):
        add(name, op, [a(dtype), b(dtype)])
    for dtype in ("int32", "int8", "uint8", "uint64"):
        add(name, op, [given([4], dtype, values=[7, 1, 0, 12]), given([4], dtype, values=[2, 3, 1, 5])])
    add(name, op, [given([2], "bool", values=[True, False]), given([2], "bool", values=[True, True])])
    add(name, op, [given([2], "complex64", seed=5), given([2], "complex64", seed=6)])
    for left, right in [("float16", "int32"), ("bfloat16", "float32"), ("float16", "bfloat16"), ("int8", "uint8"), ("bool", "int8")]:
        add(name, op, [given([2], left, values=[1, 1]), given([2], right, values=[1, 1])])
    add(name, op, [a("float32", shape=(3, 2), view=[["transpose", [1, 0]]]), b("float32", shape=(2, 6), view=[["every", 1, 2]])])
    add(name, op, [a("float32", shape=(1, 3), view=[["broadcast", [2, 3]]]), b("float32", view=[["reverse", 1]])])
    add(name, op, [given([2, 0]), given([1])])
    add(name, op, [given([], values=[1.5]), given([], values=[0.5])])
    add(name, op, [given([2]), given([3])])
for name in ("remainder", "floor_divide"):
    signs = [given([4], values=[2.5, -2.5, 2.5, -2.5]), given([4], values=[1.0, 1.0, -1.0, -1.0])]
    add(name, getattr(mx, name), signs)
for dtype in ("float32", "bfloat16", "int32"):
    add("divmod", mx.divmod, [given([4], dtype, values=[7, 1, 0, 12]), given([4], dtype, values=[2, 3, 1, 5])])
add("divmod", mx.divmod, [given([2, 1], values=[2.5, -2.5]), given([2], values=[1.0, -1.0])])
add("divmod", mx.divmod, [given([2], "complex64"), given([2])])
add("divmod", mx.divmod, [given([2]), given([3])])

for name in ("bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift"):
    op = getattr(mx, name)
    for dtype in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"):
        add(name, op, [given([3], dtype, values=[12, 5, 3]), given([3], dtype, values=[1, 3, 2])])
    add(name, op, [given([2], "bool", values=[True, False]), given([2], "bool", values=[True, True])])
    add(name, op, [given([2, 1], "int32", values=[12, 5]), given([3], "int8", values=[1, 3, 2])])
    add(name, op, [given([2, 2], "int32", values=[1, 2, 3, 4], view=[["transpose", [1, 0]]]), given([], "int32", values=[1])])
    add(name, op, [given([0], "int32"), given([1], "int32")])
    add(name, op, [given([2]), given([2])])
    add(name, op, [given([2], "int32"), given([3], "int32")])
for dtype in ("int8", "uint8", "int32", "uint64", "bool", "float32"):
    add("bitwise_invert", mx.bitwise_invert, [given([2], dtype, values=[1, 0])])

# Constants.
for name, function in [
    ("add_float", lambda x: x + 0.5),
    ("sub_from_float", lambda x: 0.5 - x),
    ("mul_int", lambda x: x * 3),
    ("div_of_int", lambda x: 1 / x),
    ("neg", lambda x: -x),
]:
    for dtype in ("float32", "float16", "bfloat16", "int32", "uint8", "complex64"):
        if (name, dtype) != ("neg", "bool"):
            add(name, function, [given([3], dtype, values=[1, 2, 3])])
    add(name, function, [smooth([2, 2])], grad=(0,))
    add(name, function, [given([2, 3], view=[["transpose", [1, 0]]], values=[1, 2, 3, 4, 5, 6])])

for decimals in (0, 1, 3, -1):
    add("round", lambda x: mx.round(x, decimals), [given([6], values=[2.5, -1.5, 0.125, 127.0, 15.0, 1.0])], {"decimals": decimals})
    add("round", lambda x: mx.round(x, decimals), [given([2, 2], view=[["transpose", [1, 0]]])], {"decimals": decimals})
    if decimals >= 0:
        add("round", lambda x: mx.round(x, decimals), [given([3], "int32")], {"decimals": decimals})
for dtype in ("float16", "bfloat16", "complex64"):
    add("round", lambda x: mx.round(x, 0), [given([5], dtype, seed=3)], {"decimals": 0})

low, high = given([], values=[-1.0]), given([], values=[1.25])
both = lambda x, a, b: mx.clip(x, a, b)
add("clip", both, [smooth([2, 3]), low, high], {"bounds": "both"}, grad=(0,))
add("clip", lambda x, a: mx.clip(x, a, None), [smooth([2, 3]), low], {"bounds": "low"}, grad=(0,))
add("clip", lambda x, b: mx.clip(x, None, b), [smooth([2, 3]), high], {"bounds": "high"}, grad=(0,))
add("clip", both, [given([2, 3]), given([2, 1], values=[-1.0, 0.0]), given([3], values=[0.5, 1.0, 2.0])], {"bounds": "both"})
for dtype in ("float16", "bfloat16", "int32", "float64"):
    add("clip", both, [given([4], dtype), given([], dtype, values=[-1]), given([], dtype, values=[1])], {"bounds": "both"})
add("clip", both, [given([4], "int32"), low, high], {"bounds": "both"})
add("clip", both, [given([2]), given([3]), high], {"bounds": "both"})
add("clip", both, [given([2, 3], view=[["transpose", [1, 0]]]), high, low], {"bounds": "both"})
add("clip", both, [given([0]), low, high], {"bounds": "both"})

odd = [float("nan"), float("inf"), float("-inf"), 1.5]
for dtype in ("float32", "float16", "bfloat16"):
    add("nan_to_num", lambda x: mx.nan_to_num(x), [given([4], dtype, values=odd)])
    add("nan_to_num", lambda x: mx.nan_to_num(x, 7.0, 8.0, -9.0), [given([4], dtype, values=odd)], {"nan": 7.0, "posinf": 8.0, "neginf": -9.0})
add("nan_to_num", lambda x: mx.nan_to_num(x, posinf=2.0), [given([2, 2], values=odd, view=[["transpose", [1, 0]]])], {"posinf": 2.0})
add("nan_to_num", lambda x: mx.nan_to_num(x), [given([3], "int32")])
add("nan_to_num", lambda x: mx.nan_to_num(x), [given([2], "complex64")])

ALL = ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bfloat16", "complex64"]
for source in ALL:
    for target in ALL:
        add("astype", lambda x: x.astype(named(target)), [given([2], source, values=[0, 1] if source == "bool" else [3, 1])], {"dtype": target})
for target in ("int32", "bool", "bfloat16"):
    add("astype", lambda x: x.astype(named(target)), [given([2, 6], seed=4, view=[["every", 1, 2], ["transpose", [1, 0]]])], {"dtype": target})
add("astype", lambda x: x.astype(mx.float16), [smooth([3])], {"dtype": "float16"}, grad=(0,), differences=False)
for source, target, values in [
    ("float32", "int32", [1.0, -2.0]),
    ("float32", "uint8", [1.0, -2.0]),
    ("uint8", "uint16", [1, 2, 3, 4]),
    ("uint8", "float32", [0, 0, 128, 63]),
    ("bfloat16", "uint16", [1.0, -2.5]),
    ("uint8", "uint16", [1, 2, 3]),
    ("float32", "float32", [1.5]),
]:
    add("view", lambda x: x.view(named(target)), [given([len(values)], source, values=values)], {"dtype": target})
add("view", lambda x: x.view(mx.int32), [given([2, 2], values=[1.0, 2.0, 3.0, 4.0], view=[["transpose", [1, 0]]])], {"dtype": "int32"})
add("view", lambda x: x.view(mx.uint8), [given([])], {"dtype": "uint8"})

tame = [0.0, 1.0, -1.0, 0.1, 448.0, 500.0, -1e9, 0.001953125, 0.0009, 3.3125]
for dtype in ("float32", "float16", "bfloat16"):
    add("to_fp8", mx.to_fp8, [given([10], dtype, values=[v if abs(v) < 6e4 else -6e4 for v in tame])])
add("to_fp8", mx.to_fp8, [given([2, 3], view=[["transpose", [1, 0]]])])
add("to_fp8", mx.to_fp8, [given([3], "int32")])
add("to_fp8", mx.to_fp8, [given([0])])
for dtype in ("float32", "float16", "bfloat16", "int32"):
    add("from_fp8", lambda x: mx.from_fp8(x, named(dtype)), [given([64], "uint8", values=list(range(0, 256, 4)))], {"dtype": dtype})
add("from_fp8", lambda x: mx.from_fp8(x, mx.float32), [given([2, 2], "uint8", values=[1, 60, 130, 200], view=[["transpose", [1, 0]]])], {"dtype": "float32"})
add("from_fp8", lambda x: mx.from_fp8(x, mx.float32), [given([2], "uint32", values=[1, 2])], {"dtype": "float32"})

cases.write(sys.argv[1])
