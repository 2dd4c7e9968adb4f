# SPDX-License-Identifier: EUPL-1.2
"""Writes random.json: what a key draws in MLX's own Python package.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to. Each case names the seed of its key; parameters that are arrays are operands.
"""

import sys

import mlx.core as mx
from cases import Cases, given

HALF = ["float32", "float16", "bfloat16"]
EVERY = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
SHAPES = [[], [1], [7], [2, 3], [0], [2, 0], [2, 1, 3]]


def key(seed):
    return mx.random.key(seed)


def values(*v, dtype="float32", shape=None, view=None):
    return given(shape if shape is not None else (len(v),), dtype, values=list(v), view=view)


c = Cases("random")
random = mx.random
for seed in [0, 1, 42, 2**32, 2**63 + 5]:
    c.add("key", lambda: key(seed), [], {"seed": str(seed)})
    c.add("split", lambda: list(random.split(key(seed))), [], {"seed": str(seed)})
    c.add("split_n", lambda: random.split(key(seed), 3), [], {"seed": str(seed), "n": 3})
c.add("split_n", lambda: random.split(key(3), 1), [], {"seed": "3", "n": 1})

plain = {
    "uniform": [(lambda s, d, k: random.uniform(-1.0, 3.0, s, d, k), {"low": -1.0, "high": 3.0}), (lambda s, d, k: random.uniform(2.0, 2.0, s, d, k), {"low": 2.0, "high": 2.0})],
    "normal": [(lambda s, d, k: random.normal(s, d, 0.0, 1.0, k), {"loc": 0.0, "scale": 1.0}), (lambda s, d, k: random.normal(s, d, -1.5, 0.25, k), {"loc": -1.5, "scale": 0.25})],
    "truncated_normal": [(lambda s, d, k: random.truncated_normal(-0.5, 2.0, s, d, k), {"lower": -0.5, "upper": 2.0})],
    "gumbel": [(lambda s, d, k: random.gumbel(s, d, k), {})],
    "laplace": [(lambda s, d, k: random.laplace(s, d, 0.5, 2.0, k), {"loc": 0.5, "scale": 2.0})],
}
# A last bit of a logarithm may differ between machines.
t = dict(rtol=1e-4, atol=1e-5)
half = {"float32": t, "float16": dict(rtol=2e-3, atol=2e-3), "bfloat16": dict(rtol=1e-2, atol=1e-2)}
for op, forms in plain.items():
    for function, p in forms:
        for i, shape in enumerate(SHAPES):
            c.add(op, lambda: function(shape, mx.float32, key(i)), [], p | {"shape": shape, "dtype": "float32", "seed": str(i)}, **t)
        for dtype in HALF[1:]:
            c.add(op, lambda: function([5], getattr(mx, dtype), key(9)), [], p | {"shape": [5], "dtype": dtype, "seed": "9"}, **half[dtype])
    function, p = forms[0]
    for shape in [[-1], [2, -3]]:
        c.add(op, lambda: function(shape, mx.float32, key(9)), [], p | {"shape": shape, "dtype": "float32", "seed": "9"})
    for dtype in ["int32", "bool"]:
        dt = mx.bool_ if dtype == "bool" else mx.int32
        c.add(op, lambda: function([2], dt, key(9)), [], p | {"shape": [2], "dtype": dtype, "seed": "9"})
for dtype in ["float64", "complex64"]:
    c.add("normal", lambda: random.normal([4], getattr(mx, dtype), 1.0, 2.0, key(5)), [], {"shape": [4], "dtype": dtype, "seed": "5", "loc": 1.0, "scale": 2.0}, **t)

# Arrays as parameters.
row, column = values(0.0, 1.0, -2.0), values(1.0, 4.0, shape=(2, 1))
strided = values(0.0, 9.0, 1.0, 9.0, -2.0, 9.0, view=[["every", 0, 2]])
for low, high, shape in [(row, column, [2, 3]), (strided, values(5.0, shape=()), [3]), (row, column, [4, 2, 3]), (values(0, 1, -2, dtype="int32"), column, [2, 3])]:
    for dtype in HALF:
        p = {"shape": shape, "dtype": dtype, "seed": "11"}
        c.add("uniform_arrays", lambda a, b: random.uniform(a, b, shape, getattr(mx, dtype), key(11)), [low, high], p, **half[dtype])
        c.add("normal_arrays", lambda a, b: random.normal(shape, getattr(mx, dtype), a, b, key(11)), [low, high], p, **half[dtype])
    c.add("truncated_arrays", lambda a, b: random.truncated_normal(a, b, shape, mx.float32, key(11)), [values(-1.0, -2.0, 0.0), column], {"shape": [2, 3], "dtype": "float32", "seed": "11"} | {"shape": shape}, **t) if shape != [3] else None
for low, high, shape in [(row, column, [2]), (row, column, [3, 3]), (row, values(1.0, 2.0), [3])]:
    p = {"shape": shape, "dtype": "float32", "seed": "11"}
    c.add("uniform_arrays", lambda a, b: random.uniform(a, b, shape, mx.float32, key(11)), [low, high], p)
    c.add("truncated_arrays", lambda a, b: random.truncated_normal(a, b, shape, mx.float32, key(11)), [low, high], p)
    if shape != [2]:  # The package draws more than it was asked for.
        c.add("normal_arrays", lambda a, b: random.normal(shape, mx.float32, a, b, key(11)), [low, high], p)

for low, high in [(-3, 10), (0, 1), (0, 100)]:
    for dtype in EVERY if low >= 0 else EVERY[:4]:
        c.add("randint", lambda: random.randint(low, high, [6], getattr(mx, dtype), key(7)), [], {"low": low, "high": high, "shape": [6], "dtype": dtype, "seed": "7"})
for shape in SHAPES:
    c.add("randint", lambda: random.randint(-5, 5, shape, mx.int32, key(8)), [], {"low": -5, "high": 5, "shape": shape, "dtype": "int32", "seed": "8"})
c.add("randint", lambda: random.randint(0, 5, [2], mx.float32, key(8)), [], {"low": 0, "high": 5, "shape": [2], "dtype": "float32", "seed": "8"})
for low, high, shape in [(values(0, 10, dtype="int32"), values(5, 20, dtype="int32", shape=(2, 1)), [2, 2]), (values(0, dtype="int64", shape=()), values(7, 9, 100, dtype="uint8"), [3]), (values(1, 2, dtype="int32"), values(5, 9, 7, dtype="int32"), [3])]:
    c.add("randint_arrays", lambda a, b: random.randint(a, b, shape, mx.int32, key(13)), [low, high], {"shape": shape, "dtype": "int32", "seed": "13"})

for p, shape in [(values(0.1, 0.5, 0.9), [3]), (values(0.1, 0.5, 0.9), [4, 3]), (values(0.5, shape=()), [2, 5]), (values(0.0, 1.0, -1.0, 2.0), [4]), (values(0.25, 0.75, dtype="bfloat16"), [2]), (values(0.1, 0.9, shape=(2, 1), view=[["broadcast", [2, 3]]]), [2, 3]), (values(0.3), [0])]:
    c.add("bernoulli", lambda p: random.bernoulli(p, shape, key(17)), [p], {"shape": shape, "seed": "17"})
for p, shape in [(values(0, 1, dtype="int32"), [2]), (values(0.1, 0.2), [3]), (values(0.5, 0.5, shape=(1, 2)), [2]), (values(0.5), [-1])]:
    c.add("bernoulli", lambda p: random.bernoulli(p, shape, key(17)), [p], {"shape": shape, "seed": "17"})

for shape, axis in [((8,), -1), ((2, 8), -1), ((4, 3), 0), ((2, 3, 4), 1), ((2, 1), 1)]:
    for dtype in HALF:
        logits = given(shape, dtype, seed=19)
        c.add("categorical", lambda x: random.categorical(x, axis, key=key(19)), [logits], {"axis": axis, "seed": "19"})
    c.add("categorical_n", lambda x: random.categorical(x, axis, num_samples=5, key=key(19)), [logits], {"axis": axis, "n": 5, "seed": "19"})
    kept = [n for i, n in enumerate(shape) if i != axis % len(shape)]
    for lead in [[], [3], [2, 2]]:
        c.add("categorical_shape", lambda x: random.categorical(x, axis, shape=lead + kept, key=key(19)), [logits], {"axis": axis, "shape": lead + kept, "seed": "19"})
for view in [[["transpose", [1, 0]]], [["reverse", 1]], [["every", 1, 2]]]:
    c.add("categorical", lambda x: random.categorical(x, -1, key=key(23)), [given((4, 6), seed=3, view=view)], {"axis": -1, "seed": "23"})
for shape, kept in [((1, 8), [4]), ((2, 8), [3]), ((2, 8), []), ((2, 8), [5, 1]), ((8,), [-4]), ((1, 8), [0])]:
    c.add("categorical_shape", lambda x: random.categorical(x, -1, shape=kept, key=key(19)), [given(shape, seed=19)], {"axis": -1, "shape": kept, "seed": "19"})
for axis in [2, -3]:
    c.add("categorical", lambda x: random.categorical(x, axis, key=key(19)), [given((2, 8))], {"axis": axis, "seed": "19"})

for shape, axis in [((6,), 0), ((3, 2), 0), ((3, 4), 1), ((2, 3, 2), -2)]:
    c.add("permutation", lambda x: random.permutation(x, axis, key(29)), [given(shape)], {"axis": axis, "seed": "29"})
    c.add("permutation", lambda x: random.permutation(x, axis, key(29)), [given(shape, "int32", view=[["reverse", 0]])], {"axis": axis, "seed": "29"})
c.add("permutation", lambda x: random.permutation(x, 1, key(29)), [given((6,))], {"axis": 1, "seed": "29"})
for n in [1, 2, 10]:
    c.add("permutation_n", lambda: random.permutation(n, key=key(31)), [], {"n": n, "seed": "31"})

cov = values(2.0, 0.5, 0.5, 1.0, shape=(2, 2))
for mean, covariance, shape in [
    (values(1.0, -1.0), cov, [3]),
    (values(1.0, -1.0), cov, []),
    (given((3, 2)), cov, [3]),
    (given((3, 2)), cov, [2, 3]),
    (given((3, 2)), cov, []),
    (values(1.0, -1.0), values(2.0, 0.5, 0.5, 1.0, 1.0, 0.0, 0.0, 9.0, shape=(2, 2, 2)), [2]),
    (values(0.0), values(4.0, shape=(1, 1)), [5]),
    (values(1.0, -1.0), cov, [0]),
    (values(1.0, -1.0), values(2.0, 0.0, 0.0, 2.0, shape=(2, 2), view=[["transpose", [1, 0]]]), [2]),
]:
    # The vectors of the decomposition are known up to their signs.
    c.add("multivariate", lambda m, v: random.multivariate_normal(m, v, shape, key=key(37)), [mean, covariance], {"shape": shape, "seed": "37"}, rtol=1e-3, atol=1e-3)
for mean, covariance, shape in [(values(1.0), cov, [3]), (values(1.0, 2.0), given((2, 3)), [3]), (given((5, 2)), cov, [3]), (values(1.0, shape=()), cov, [3]), (values(1.0, 2.0), values(1.0, shape=()), [3]), (values(1.0, 2.0), cov, [-1])]:
    c.add("multivariate", lambda m, v: random.multivariate_normal(m, v, shape, key=key(37)), [mean, covariance], {"shape": shape, "seed": "37"})
c.write(sys.argv[1])
