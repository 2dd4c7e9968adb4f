# SPDX-License-Identifier: EUPL-1.2
"""Writes linalg.json: factors, inverses, norms and products by MLX's own Python package.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to. What a factorisation gives is only known up to signs and order, so such cases record what is
made of it: products, magnitudes and sums.
"""

import math
import sys

import mlx.core as mx
from cases import Cases, given, numbers

la = mx.linalg
SEED = iter(range(1, 100000))


def matrix(shape, dtype="float32", diagonal=8.0, view=None):
    """Numbers of the pattern with more on the diagonal, far from singular."""
    *_, rows, columns = shape
    values = numbers(max(1, math.prod(shape)), next(SEED))[: math.prod(shape)]
    values = [v + diagonal * ((i // columns) % rows == i % columns) for i, v in enumerate(values)]
    if dtype == "complex64":
        values = [complex(v, w) for v, w in zip(values, numbers(max(1, len(values)), next(SEED)))]
    elif not dtype.startswith(("float", "bfloat")):
        values = [int(v) for v in values]
    return given(shape, dtype, values=values, view=view)


def spread(shape, dtype="float32", **more):
    return given(shape, dtype, seed=next(SEED), **more)


def positive(a):
    """A positive definite matrix made of any."""
    return a @ mx.swapaxes(a, -1, -2) + mx.eye(a.shape[-1], dtype=a.dtype)


def hermitian(a):
    return a + mx.conj(mx.swapaxes(a, -1, -2))


def qr(a):
    q, r = la.qr(a)
    return [mx.abs(q), mx.abs(r), q @ r]


def svd(a):
    u, s, vt = la.svd(a)
    k = s.shape[-1]
    return [s, (u[..., :k] * mx.expand_dims(s, -2)) @ vt[..., :k, :], mx.conj(mx.swapaxes(u, -1, -2)) @ u]


def eig(a):
    w, v = la.eig(a)
    return [w.sum(-1), (w * w).sum(-1), mx.abs(a.astype(mx.complex64) @ v - v * mx.expand_dims(w, -2))]


def eigh(a, uplo):
    a = hermitian(a)
    w, v = la.eigh(a, uplo)
    return [w, (v * mx.expand_dims(w, -2)) @ mx.conj(mx.swapaxes(v, -1, -2))]


def lu(a):
    p, lower, upper = la.lu(a)
    return [p, lower, upper]


UPPER = {"lower": False, "upper": True}
UPLO = {"lower": "L", "upper": "U"}
NORMS = {
    "frobenius": "fro",
    "nuclear": "nuc",
    "largest_column": 1,
    "smallest_column": -1,
    "largest_row": float("inf"),
    "smallest_row": float("-inf"),
    "largest_singular": 2,
    "smallest_singular": -2,
}
SQUARE = [(1, 1), (2, 2), (3, 3), (5, 5), (2, 4, 4), (0, 3, 3)]
VIEWS = [
    ((4, 4), [["transpose", [1, 0]]]),
    ((6, 3), [["every", 0, 2]]),
    ((3, 3), [["reverse", 1]]),
    ((1, 3, 3), [["broadcast", [2, 3, 3]]]),
]


def operands(shapes, dtypes=("float32", "float64")):
    """An operand of each shape in float32, one of the others, and one of each view."""
    for shape in shapes:
        yield matrix(shape)
    for dtype in dtypes[1:]:
        yield matrix((3, 3), dtype)
        yield matrix((2, 2, 2), dtype)
    for shape, view in VIEWS:
        yield matrix(shape, view=view)


def refused(c, op, function, params=None, *, dtypes, square=True):
    for dtype in dtypes:
        c.add(op, function, [matrix((2, 2), dtype)], params)
    for shape in [(), (3,)] + ([(2, 3)] if square else []):
        c.add(op, function, [spread(shape)], params)


def factors(c):
    t = dict(rtol=1e-4, atol=1e-4)
    half = ("float16", "bfloat16", "int32")
    real, both = half + ("complex64",), half
    oblong = [(3, 5), (5, 3), (2, 3, 2), (2, 0), (0, 2)]
    for a in operands(SQUARE + oblong + [(0, 0)]):
        c.add("qr", qr, [a], **t)
    refused(c, "qr", qr, dtypes=real, square=False)
    for a in operands(SQUARE + oblong[:3]):
        c.add("lu", lu, [a], **t)
        c.add("lu_factor", lambda a: list(la.lu_factor(a)), [a], **t)
    refused(c, "lu", lu, dtypes=real, square=False)
    refused(c, "lu_factor", lambda a: list(la.lu_factor(a)), dtypes=real, square=False)
    for a in operands(SQUARE + oblong, ("float32", "float64", "complex64")):
        c.add("svd", svd, [a], **t)
        c.add("singular_values", lambda a: la.svd(a, compute_uv=False), [a], **t)
    refused(c, "svd", svd, dtypes=both, square=False)
    for a in operands(SQUARE + oblong[:3]):
        c.add("pinv", la.pinv, [a], **t)
    refused(c, "pinv", la.pinv, dtypes=real, square=False)
    for a in operands(SQUARE, ("float32", "float64", "complex64")):
        c.add("eig", eig, [a], rtol=1e-4, atol=1e-3)
        c.add("eigvals", lambda a: [la.eigvals(a).sum(-1)], [a], **t)
    refused(c, "eig", eig, dtypes=both)
    for triangle, uplo in UPLO.items():
        for a in operands(SQUARE, ("float32", "float64", "complex64")):
            c.add("eigh", lambda a: eigh(a, uplo), [a], {"triangle": triangle}, **t)
        c.add("eigvalsh", lambda a: la.eigvalsh(a, uplo), [matrix((2, 3, 3))], {"triangle": triangle}, **t)
        c.add("eigvalsh", lambda a: la.eigvalsh(a, uplo), [matrix((3, 3), "complex64", view=[["transpose", [1, 0]]])], {"triangle": triangle}, **t)
        refused(c, "eigvalsh", lambda a: la.eigvalsh(a, uplo), {"triangle": triangle}, dtypes=both)
    for triangle, upper in UPPER.items():
        p = {"triangle": triangle}
        for a in operands(SQUARE):
            c.add("cholesky", lambda a: la.cholesky(positive(a), upper=upper), [a], p, **t)
            c.add("cholesky_inv", lambda a: la.cholesky_inv(a, upper=upper), [a], p, **t)
            c.add("tri_inv", lambda a: la.tri_inv(a, upper=upper), [a], p, **t)
        refused(c, "plain_cholesky", lambda a: la.cholesky(a, upper=upper), p, dtypes=real)
        refused(c, "tri_inv", lambda a: la.tri_inv(a, upper=upper), p, dtypes=real)


def equations(c):
    t = dict(rtol=1e-4, atol=1e-4)
    real = ("float16", "bfloat16", "int32", "complex64")
    for a in operands(SQUARE):
        c.add("inv", la.inv, [a], **t)
        c.add("det", la.det, [a], **t)
        c.add("slogdet", lambda a: list(la.slogdet(a)), [a], **t)
    refused(c, "inv", la.inv, dtypes=real)
    for op, function in [("det", la.det), ("slogdet", lambda a: list(la.slogdet(a)))]:
        refused(c, op, function, dtypes=("complex64",))
    singular = given((3, 3), values=[1.0, 2.0, 3.0, 2.0, 4.0, 6.0, 1.0, 1.0, 1.0])
    for op, function in [("det", la.det), ("slogdet", lambda a: list(la.slogdet(a)))]:
        c.add(op, function, [singular], **t)
    for n in [1, 2, 3]:
        c.add("det", la.det, [matrix((n, n))], grad=(0,), rtol=1e-3, atol=1e-3)
        c.add("slogdet", lambda a: [la.slogdet(a)[1]], [matrix((n, n))], {"log": True}, grad=(0,), rtol=1e-3, atol=1e-3)
    pairs = [((3, 3), (3,)), ((3, 3), (3, 2)), ((1, 1), (1,)), ((2, 3, 3), (2, 3, 2)), ((2, 3, 3), (1, 3, 2)), ((1, 3, 3), (2, 3, 1)), ((5, 5), (5, 0))]
    methods = [("solve", la.solve, {})]
    methods += [("solve_triangular", lambda a, b, u=u: la.solve_triangular(a, b, upper=u), {"triangle": n}) for n, u in UPPER.items()]
    for op, function, p in methods:
        for a, b in pairs:
            c.add(op, function, [matrix(a), spread(b)], p, **t)
        c.add(op, function, [matrix((3, 3), "float64"), spread((3,), "float64")], p, **t)
        c.add(op, function, [matrix((3, 3), view=[["transpose", [1, 0]]]), spread((2, 3), view=[["transpose", [1, 0]]])], p, **t)
        c.add(op, function, [matrix((6, 3), view=[["every", 0, 2]]), spread((3,), view=[["reverse", 0]])], p, **t)
        c.add(op, function, [matrix((3, 3)), spread((3, 1), view=[["broadcast", [3, 4]]])], p, **t)
        for a, b in [((3, 3), (4,)), ((3, 3), ()), ((3, 2), (3,)), ((3,), (3,)), ((2, 3, 3), (5, 3, 1))]:
            c.add(op, function, [spread(a), spread(b)], p)
        c.add(op, function, [matrix((2, 2), "complex64"), spread((2,), "complex64")], p)
        c.add(op, function, [matrix((2, 2), "float16"), spread((2,), "float16")], p)
        for b in [(3,), (3, 2)]:
            c.add(op, lambda a, b: function(mx.stop_gradient(a), b), [matrix((3, 3)), spread(b)], p | {"stop": True}, grad=(1,), **t)


def norms(c):
    every = ("float16", "bfloat16", "float64", "complex64", "int32", "bool")
    t = dict(rtol=1e-5, atol=1e-5)
    for shape in [(), (1,), (5,), (3, 4), (2, 3, 4), (0,), (0, 3)]:
        for keepdims in [False, True]:
            c.add("norm", lambda a: la.norm(a, keepdims=keepdims), [spread(shape)], {"axes": None, "keepdims": keepdims}, **t)
    for dtype in every:
        c.add("norm", lambda a: la.norm(a, axis=[1]), [spread((3, 4), dtype)], {"axes": [1], "keepdims": False})
    for axes in [[0], [-1], [0, 1], [2, 0], [-1, -2]]:
        p = {"axes": axes, "keepdims": True}
        c.add("norm", lambda a: la.norm(a, axis=axes, keepdims=True), [spread((2, 3, 4))], p, **t)
        c.add("norm", lambda a: la.norm(a, axis=axes), [spread((2, 3, 4), view=[["transpose", [2, 0, 1]]])], p | {"keepdims": False}, **t)
    for axes in [[3], [-4], [0, 1, 2]]:
        c.add("norm", lambda a: la.norm(a, axis=axes), [spread((2, 3, 4))], {"axes": axes, "keepdims": False})
    for view in [[["every", 1, 2]], [["reverse", 0]], [["broadcast", [3, 4]]]]:
        shape = (1, 4) if view[0][0] == "broadcast" else (3, 4)
        c.add("norm", lambda a: la.norm(a, axis=[1]), [spread(shape, view=view)], {"axes": [1], "keepdims": False}, **t)
    c.add("norm", lambda a: la.norm(a, axis=[1]), [spread((2, 3), low=1.0)], {"axes": [1], "keepdims": False}, grad=(0,), rtol=1e-4, atol=1e-4)
    for order in [0.0, 1.0, 2.0, 3.0, -1.0, 0.5, -2.5, float("inf"), float("-inf")]:
        # JSON has no infinities.
        p = {"p": str(order), "axis": -1, "keepdims": False}
        c.add("vector_norm", lambda a: la.norm(a, order, axis=-1), [spread((3, 4), low=0.5)], p, rtol=1e-4, atol=1e-4)
        c.add("vector_norm", lambda a: la.norm(a, order, axis=0, keepdims=True), [spread((3, 2), low=0.5, view=[["transpose", [1, 0]]])], p | {"axis": 0, "keepdims": True}, rtol=1e-4, atol=1e-4)
    for dtype in every[:3] + ("int32",):
        c.add("vector_norm", lambda a: la.norm(a, 1.0, axis=-1), [spread((3, 4), dtype)], {"p": "1.0", "axis": -1, "keepdims": False})
    c.add("vector_norm", lambda a: la.norm(a, 3.0, axis=-1), [spread((2, 3), low=0.5)], {"p": "3.0", "axis": -1, "keepdims": False}, grad=(0,), rtol=1e-4, atol=1e-4)
    c.add("vector_norm", lambda a: la.norm(a, 1.0, axis=-1), [spread((2, 3), low=0.5)], {"p": "1.0", "axis": -1, "keepdims": False}, grad=(0,), rtol=1e-4, atol=1e-4)
    c.add("vector_norm", lambda a: la.norm(a, float("inf"), axis=0), [spread((0, 3))], {"p": "inf", "axis": 0, "keepdims": False})
    c.add("vector_norm", lambda a: la.norm(a, 1.0, axis=0), [spread((0, 3))], {"p": "1.0", "axis": 0, "keepdims": False})
    c.add("vector_norm", lambda a: la.norm(a, 1.0, axis=2), [spread((2, 3))], {"p": "1.0", "axis": 2, "keepdims": False})
    for kind, order in NORMS.items():
        for axes, keepdims in [([0, 1], False), ([-1, 0], True), ([2, 1], False), ([-2, -1], True)]:
            c.add("matrix_norm", lambda a: la.norm(a, order, axis=axes, keepdims=keepdims), [spread((2, 3, 4))], {"kind": kind, "axes": axes, "keepdims": keepdims}, rtol=1e-4, atol=1e-4)
        p = {"kind": kind, "axes": [0, 1], "keepdims": False}
        c.add("matrix_norm", lambda a: la.norm(a, order, axis=[0, 1]), [spread((4, 6), view=[["every", 1, 2], ["transpose", [1, 0]]])], p, rtol=1e-4, atol=1e-4)
        c.add("matrix_norm", lambda a: la.norm(a, order, axis=[0, 1]), [spread((3, 2), "float64")], p, rtol=1e-4, atol=1e-4)
        c.add("matrix_norm", lambda a: la.norm(a, order, axis=[0, 1]), [spread((3, 2), "float16")], p)
        c.add("matrix_norm", lambda a: la.norm(a, order, axis=[0, 2]), [spread((3, 2))], p | {"axes": [0, 2]})
        c.add("matrix_norm", lambda a: la.norm(a, order, axis=[0, 1]), [spread((0, 0))], p)
    for shape in [(3,), (2,), (4, 3), (4, 2)]:
        c.add("cross", lambda a, b: la.cross(a, b), [spread(shape), spread(shape)], {"axis": -1})
    c.add("cross", lambda a, b: la.cross(a, b, axis=0), [spread((3, 2)), spread((3, 2))], {"axis": 0})
    c.add("cross", lambda a, b: la.cross(a, b), [spread((2, 3)), spread((1, 3), view=[["reverse", 1]])], {"axis": -1})
    c.add("cross", lambda a, b: la.cross(a, b), [spread((2, 2)), spread((2, 3))], {"axis": -1})
    for dtype in every[:5]:
        c.add("cross", lambda a, b: la.cross(a, b), [spread((3,), dtype), spread((3,), dtype)], {"axis": -1})
    c.add("cross", lambda a, b: la.cross(a, b), [spread((2, 3)), spread((2, 3))], {"axis": -1}, grad=(0, 1))
    for a, b, axis in [((4,), (4,), -1), ((3,), (3,), 1), ((), (), -1), ((2, 3), (5, 3), -1)]:
        c.add("cross", lambda x, y: la.cross(x, y, axis=axis), [spread(a), spread(b)], {"axis": axis})


def products(c):
    t = dict(rtol=1e-5, atol=1e-4)
    half = {"float32": t, "float64": t, "float16": dict(rtol=2e-3, atol=2e-2), "bfloat16": dict(rtol=2e-2, atol=2e-1), "complex64": t}
    shapes = [((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 2, 3), (3, 2)), ((2, 1, 2, 3), (3, 3, 2)), ((2, 0), (0, 3)), ((2, 3, 0), (0, 4)), ((0, 3), (3, 2)), ((0,), (0,))]
    for a, b in shapes:
        c.add("matmul", mx.matmul, [spread(a), spread(b)], **t)
        if a != (2, 3, 0):  # The package fails to reshape it.
            c.add("addmm", lambda x, a, b: mx.addmm(x, a, b, 0.5, -2.0), [spread(()), spread(a), spread(b)], {"alpha": 0.5, "beta": -2.0}, **t)
    for dtype, tolerance in half.items():
        c.add("matmul", mx.matmul, [spread((3, 4), dtype), spread((5, 4), dtype, view=[["transpose", [1, 0]]])], **tolerance)
        c.add("addmm", lambda x, a, b: mx.addmm(x, a, b, 2.0, 0.5), [spread((2,), dtype), spread((3, 4), dtype), spread((4, 2), dtype)], {"alpha": 2.0, "beta": 0.5}, **tolerance)
        c.add("inner", mx.inner, [spread((2, 3), dtype), spread((4, 3), dtype)], **tolerance)
        c.add("outer", mx.outer, [spread((2, 2), dtype), spread((3,), dtype)], **tolerance)
        c.add("kron", mx.kron, [spread((2, 2), dtype), spread((1, 3), dtype)], **tolerance)
        c.add("vecdot", lambda a, b: mx.vecdot(a, b), [spread((2, 3), dtype), spread((2, 3), dtype)], {"axis": -1}, **tolerance)
        c.add("tensordot", lambda a, b: mx.tensordot(a, b, [[0, 2], [1, 0]]), [spread((2, 3, 4), dtype), spread((4, 2, 5), dtype)], {"axes_a": [0, 2], "axes_b": [1, 0]}, **tolerance)
        c.add("einsum", lambda a, b: mx.einsum("bij,jk->bik", a, b), [spread((2, 2, 3), dtype), spread((3, 2), dtype)], {"text": "bij,jk->bik"}, **tolerance)
    for dtype in ["int32", "uint8", "bool"]:
        for op, function in [("matmul", mx.matmul), ("outer", mx.outer), ("kron", mx.kron)]:
            c.add(op, function, [spread((2, 2), dtype), spread((2, 2), dtype)])
        c.add("addmm", lambda x, a, b: mx.addmm(x, a, b, 1.0, 1.0), [spread((2, 2), dtype)] * 3, {"alpha": 1.0, "beta": 1.0})
    for a, b in [((2, 3), (2, 3)), ((), (3,)), ((2, 2, 3), (3, 3, 2))]:
        c.add("matmul", mx.matmul, [spread(a), spread(b)])
        c.add("addmm", lambda x, a, b: mx.addmm(x, a, b, 1.0, 1.0), [spread(()), spread(a), spread(b)], {"alpha": 1.0, "beta": 1.0})
    c.add("addmm", lambda x, a, b: mx.addmm(x, a, b, 1.0, 1.0), [spread((5, 2, 2)), spread((2, 3)), spread((3, 2))], {"alpha": 1.0, "beta": 1.0})
    c.add("addmm", lambda x, a, b: mx.addmm(x, a, b, 1.0, 0.0), [given((2, 2), values=[float("nan")] * 4), spread((2, 3)), spread((3, 2))], {"alpha": 1.0, "beta": 0.0}, **t)
    c.add("matmul", mx.matmul, [spread((2, 3)), spread((3, 2))], grad=(0, 1), rtol=1e-4, atol=1e-4)
    c.add("addmm", lambda x, a, b: mx.addmm(x, a, b, 2.0, 0.5), [spread((2,)), spread((2, 3)), spread((3, 2))], {"alpha": 2.0, "beta": 0.5}, grad=(0, 1, 2), rtol=1e-4, atol=1e-4)
    for view in [[["every", 1, 2]], [["reverse", 1]], [["broadcast", [4, 3]]]]:
        shape = {"every": (2, 6), "reverse": (2, 3), "broadcast": (1, 3)}[view[0][0]]
        c.add("matmul", mx.matmul, [spread(shape, view=view), spread((3, 2))], **t)
        c.add("inner", mx.inner, [spread(shape, view=view), spread((2, 3))], **t)
        c.add("outer", mx.outer, [spread(shape, view=view), spread((2,))], **t)
        c.add("kron", mx.kron, [spread(shape, view=view), spread((2, 2))], **t)
    c.add("inner", mx.inner, [spread((2, 3)), spread((2, 4))])
    c.add("inner", mx.inner, [spread(()), spread((2, 3))])
    c.add("outer", mx.outer, [spread((0,)), spread((2,))])
    c.add("kron", mx.kron, [spread((0,)), spread((2,))])
    c.add("kron", mx.kron, [spread(()), spread((2,))])
    c.add("inner", mx.inner, [spread((2, 3)), spread((2, 3))], grad=(0, 1), rtol=1e-4, atol=1e-4)
    c.add("outer", mx.outer, [spread((2,)), spread((3,))], grad=(0, 1), rtol=1e-4, atol=1e-4)
    c.add("kron", mx.kron, [spread((2,)), spread((3,))], grad=(0, 1), rtol=1e-4, atol=1e-4)
    texts = [("ij->ji", [(2, 3)]), ("ii->i", [(3, 3)]), ("ii", [(3, 3)]), ("ij,jk", [(2, 3), (3, 2)]), ("...i,...i->...", [(2, 3), (3,)]), ("ab,bc,cd->ad", [(2, 3), (3, 2), (2, 4)]), ("i,j->ij", [(2,), (3,)]), ("ij->", [(2, 3)]), ("ab,bc->ac", [(2, 0), (0, 3)]), ("ab->b", [(0, 3)]), ("->", [()])]
    texts += [("ij", [(3,)]), ("ij->ii", [(3, 3)]), ("ij->k", [(3, 3)]), ("i,i->", [(3,), (4,)]), ("i", []), ("1->", [(3,)]), ("i,j->ij", [(2,)])]
    for text, shapes in texts:
        c.add("einsum", lambda *x: mx.einsum(text, *x), [spread(s) for s in shapes], {"text": text}, **t)
    c.add("einsum", lambda *x: mx.einsum("ij,jk->ki", *x), [spread((2, 3)), spread((3, 2))], {"text": "ij,jk->ki"}, grad=(0, 1), rtol=1e-4, atol=1e-4)
    c.add("tensordot", lambda a, b: mx.tensordot(a, b, [[1], [0]]), [spread((2, 3)), spread((3, 2))], {"axes_a": [1], "axes_b": [0]}, grad=(0, 1), rtol=1e-4, atol=1e-4)
    c.add("tensordot", lambda a, b: mx.tensordot(a, b, [[], []]), [spread((2,)), spread((3,))], {"axes_a": [], "axes_b": []}, **t)
    for length in [1, 2, 8, 12, 20, 24, 28]:
        c.add("hadamard", mx.hadamard_transform, [spread((2, length))], **t)
    for dtype in ["float16", "bfloat16", "int32", "bool"]:
        c.add("hadamard", mx.hadamard_transform, [spread((3, 8), dtype)], rtol=2e-3 if dtype == "float16" else 2e-2, atol=2e-2)
    c.add("hadamard", lambda a: mx.hadamard_transform(a, scale=0.25), [spread((4, 3), view=[["transpose", [1, 0]]])], {"scale": 0.25}, **t)
    c.add("hadamard", lambda a: mx.hadamard_transform(a, scale=2.0), [spread((8,), view=[["reverse", 0]])], {"scale": 2.0}, **t)
    c.add("hadamard", mx.hadamard_transform, [spread((1, 4), view=[["broadcast", [3, 4]]])], **t)
    c.add("hadamard", mx.hadamard_transform, [spread((2, 4))], grad=(0,), differences=False, **t)
    for shape, dtype in [((3,), "float32"), ((36, 9), "float32"), ((0,), "float32"), ((4,), "float64")]:
        c.add("hadamard", mx.hadamard_transform, [spread(shape, dtype)])
    chosen = given((3,), "uint32", values=[2, 0, 1])
    for dtype in ["float32", "float16", "bfloat16"]:
        # In half precision the package has it on a GPU only.
        gathered = lambda a, b, i: mx.gather_mm(a, b, rhs_indices=i) if dtype == "float32" else a @ b[i]
        c.add("gather_mm", gathered, [spread((3, 2, 3), dtype), spread((3, 3, 2), dtype), chosen], {"lhs": False, "rhs": True}, **half[dtype])
    c.add("gather_mm", lambda a, b, i: mx.gather_mm(a, b, lhs_indices=i), [spread((3, 2, 3)), spread((3, 3, 2)), chosen], {"lhs": True, "rhs": False}, **t)
    both = [given((2, 2), "int32", values=[0, 1, 1, 2]), given((2,), "uint32", values=[2, 0])]
    c.add("gather_mm", lambda a, b, i, j: mx.gather_mm(a, b, i, j), [spread((3, 2, 3)), spread((3, 3, 2))] + both, {"lhs": True, "rhs": True}, **t)
    c.add("gather_mm", lambda a, b, i: mx.gather_mm(a, b, rhs_indices=mx.stop_gradient(i)), [spread((3, 2, 3)), spread((3, 3, 2)), chosen], {"lhs": False, "rhs": True, "stop": True}, grad=(0, 1), differences=False, rtol=1e-4, atol=1e-4)
    c.add("gather_mm", lambda a, b, i: mx.gather_mm(a, b, rhs_indices=i), [spread((3, 2, 4)), spread((3, 3, 2)), chosen], {"lhs": False, "rhs": True})


def blocks(c):
    # Blocks are of 32, so the operands are broadcast from few numbers.
    wide = lambda n, m, dtype="float32": spread((n, 1), dtype, low=-1.0, high=1.0, view=[["broadcast", [n, m]]])
    t = dict(rtol=1e-4, atol=1e-3)
    bools = lambda *s: given(s, "bool", seed=next(SEED))

    def summary(x):
        # A whole product would be long: sums that tell each block from the others.
        return [x.sum(-1), x.sum(-2)]

    def masked(names, size):
        def run(a, b, *masks):
            return summary(mx.block_masked_mm(a, b, block_size=size, **dict(zip(names, masks))))

        return run

    p = lambda *names, size=32: {"block_size": size} | dict.fromkeys(names, True)
    c.add("block_masked", masked((), 32), [wide(40, 8), wide(8, 5)], p(), **t)
    c.add("block_masked", masked(("mask_out",), 32), [wide(40, 8), wide(8, 40), bools(2, 2)], p("mask_out"), **t)
    c.add("block_masked", masked(("mask_out",), 64), [wide(70, 3), wide(3, 5), bools(2, 1)], p("mask_out", size=64), **t)
    c.add("block_masked", masked(("mask_out",), 32), [wide(40, 8), wide(8, 40), spread((2, 2))], p("mask_out"), **t)
    c.add("block_masked", masked(("mask_lhs", "mask_rhs"), 32), [wide(40, 40), wide(40, 5), bools(2, 2), bools(2, 1)], p("mask_lhs", "mask_rhs"), **t)
    c.add("block_masked", masked(("mask_lhs",), 32), [wide(40, 40), wide(40, 5), spread((2, 2))], p("mask_lhs"), **t)
    c.add("block_masked", masked(("mask_out", "mask_lhs", "mask_rhs"), 32), [wide(40, 40), wide(40, 5), spread((2, 1)), spread((2, 2), view=[["transpose", [1, 0]]]), spread((2, 1))], p("mask_out", "mask_lhs", "mask_rhs"), **t)
    c.add("block_masked", masked(("mask_out",), 32), [spread((2, 33, 2)), spread((2, 3)), bools(1, 2, 1)], p("mask_out"), **t)
    c.add("block_masked", masked(("mask_out",), 32), [wide(40, 8), wide(8, 40), bools(1)], p("mask_out"), **t)
    c.add("block_masked", masked(("mask_out",), 32), [wide(40, 8), wide(8, 40), bools(3, 2)], p("mask_out"))
    c.add("block_masked", masked(("mask_out",), 16), [wide(40, 8), wide(8, 40), bools(3, 2)], p("mask_out", size=16))
    c.add("block_masked", masked((), 32), [spread((2, 2), "int32"), spread((2, 2), "int32")], p())
    c.add("block_masked", masked((), 32), [spread((2, 3)), spread((2, 2))], p())
    c.add("block_masked", masked(("mask_out",), 32), [spread((33, 2)), spread((2, 3)), spread((2, 1))], p("mask_out"), grad=(0, 1, 2), differences=False, **t)

    segmented = mx.segmented_mm
    runs = lambda *values, dtype="uint32", view=None: given((len(values) // 2, 2), dtype, values=list(values), view=view)
    for dtype, tolerance in [("float32", t), ("float16", dict(rtol=2e-3, atol=2e-2)), ("bfloat16", dict(rtol=2e-2, atol=2e-1)), ("float64", t)]:
        c.add("segmented", segmented, [spread((2, 6), dtype), spread((6, 3), dtype), runs(0, 2, 2, 6, 3, 3)], **tolerance)
    c.add("segmented", segmented, [spread((2, 6)), spread((6, 3)), runs(0, 6, 5, 6, dtype="int64")], **t)
    c.add("segmented", segmented, [spread((6, 2), view=[["transpose", [1, 0]]]), spread((3, 6), view=[["transpose", [1, 0]]]), runs(0, 2, 2, 6, view=[["reverse", 0]])], **t)
    c.add("segmented", segmented, [spread((2, 6)), spread((6, 3)), given((2,), "uint32", values=[1, 5])], **t)
    c.add("segmented", segmented, [spread((2, 6)), spread((6, 3)), given((0, 2), "uint32", values=[])], **t)
    c.add("segmented", segmented, [spread((2, 0)), spread((0, 3)), runs(0, 0, 0, 0)], **t)
    for a, b, s in [((2, 2, 6), (6, 3), runs(0, 2)), ((6,), (6, 3), runs(0, 2))]:
        c.add("segmented", segmented, [spread(a), spread(b), s])
    c.add("segmented", segmented, [spread((2, 6)), spread((6, 3)), given((3,), "uint32", values=[1, 5, 6])])
    c.add("segmented", segmented, [spread((2, 6)), spread((6, 3)), given((2,), "float32", values=[1.0, 5.0])])
    c.add("segmented", segmented, [spread((2, 6), "int32"), spread((6, 3), "int32"), runs(0, 2)])


c = Cases("linalg")
factors(c)
equations(c)
norms(c)
products(c)
blocks(c)
c.write(sys.argv[1])
