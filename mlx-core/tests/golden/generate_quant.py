# SPDX-License-Identifier: EUPL-1.2
"""Writes quant.json: quantised matrices and products with them by MLX's own Python package.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to. Operands are dense and quantised within the call, so that a case stays small. Products of
two quantised operands, which the package has on a GPU only, are recorded by their definition.
"""

import sys

import mlx.core as mx
from cases import Cases, given

FORMATS = [("affine", group, bits) for group in [32, 64, 128] for bits in [2, 3, 4, 5, 6, 8]]
FORMATS += [("mxfp4", 32, 4), ("nvfp4", 16, 4), ("mxfp8", 32, 8)]
SEED = iter(range(1, 100000))
TOLERANCE = {
    "float32": dict(rtol=1e-4, atol=1e-4),
    "float16": dict(rtol=5e-3, atol=5e-2),
    "bfloat16": dict(rtol=3e-2, atol=3e-1),
}


def how(mode, group, bits):
    return {"group_size": group, "bits": bits, "mode": mode}


def spread(shape, dtype="float32", **more):
    return given(shape, dtype, seed=next(SEED), **more)


def packed(w, mode):
    """Words, scales and biases; the weight gets no gradient."""
    words, scales, *biases = mx.quantize(mx.stop_gradient(w), **mode)
    return words, scales, biases[0] if biases else None


def round_to(w, mode, scale=None, dtype=None):
    parts = mx.quantize(w, **mode, global_scale=scale)
    return mx.dequantize(*parts, **mode, global_scale=scale, dtype=dtype or w.dtype)


def dequantize(w, mode, dtype):
    words, scales, biases = packed(w, mode)
    return mx.dequantize(words, scales, biases, **mode, dtype=dtype and getattr(mx, dtype))


def matmul(x, w, mode, transpose):
    words, scales, biases = packed(w, mode)
    return mx.quantized_matmul(x, words, scales, biases, transpose=transpose, **mode)


def gather(x, w, indices, lhs, rhs, mode, transpose):
    words, scales, biases = packed(w, mode)
    indices = [mx.stop_gradient(i) for i in indices]
    left = indices.pop(0) if lhs else None
    right = indices.pop(0) if rhs else None
    return mx.gather_qmm(x, words, scales, biases, left, right, transpose=transpose, **mode)


def each_format(c):
    for mode, group, bits in FORMATS:
        f = how(mode, group, bits)
        width = max(group, 32)
        c.add("quantize", lambda w: list(mx.quantize(w, **f)), [spread((1, width))], f)
        c.add("dequantize", lambda w: dequantize(w, f, None), [spread((1, width))], f)
        for transpose in [True, False]:
            inner = (1, width) if transpose else (1, 2)
            c.add("matmul", lambda x, w: matmul(x, w, f, transpose), [spread(inner), spread((2, width))], f | {"transpose": transpose}, **TOLERANCE["float32"])
        chosen = given((1,), "uint32", values=[1])
        c.add("gather", lambda x, w, i: gather(x, w, [i], False, True, f, True), [spread((1, 1, width)), spread((2, 1, width)), chosen], f | {"transpose": True, "lhs": False, "rhs": True}, **TOLERANCE["float32"])
        if group > 32:
            continue
        for dtype in ["float16", "bfloat16"]:
            c.add("quantize", lambda w: list(mx.quantize(w, **f)), [spread((1, width), dtype)], f)
            c.add("matmul", lambda x, w: matmul(x, w, f, True), [spread((1, width), dtype), spread((2, width), dtype)], f | {"transpose": True}, **TOLERANCE[dtype])
            c.add("dequantize", lambda w: dequantize(w, f, dtype), [spread((1, width))], f | {"dtype": dtype})
        c.add("matmul", lambda x, w: matmul(x, w, f, True), [spread((1, width), low=-1.0, high=1.0), spread((2, width))], f | {"transpose": True}, grad=(0,), differences=False, **TOLERANCE["float32"])


def more(c):
    f = how("affine", 32, 4)
    for shape in [(1, 32), (3, 32), (2, 2, 32), (2, 64), (1, 1, 1, 32), (0, 32)]:
        if 0 not in shape:  # The package divides by zero.
            c.add("quantize", lambda w: list(mx.quantize(w, **f)), [spread(shape)], f)
    for shape, view in [((32, 2), [["transpose", [1, 0]]]), ((2, 64), [["every", 1, 2]]), ((2, 32), [["reverse", 1]]), ((1, 32), [["broadcast", [3, 32]]])]:
        c.add("quantize", lambda w: list(mx.quantize(w, **f)), [spread(shape, view=view)], f)
        c.add("matmul", lambda x, w: matmul(x, w, f, True), [spread(shape, view=view), spread((2, 32))], f | {"transpose": True}, **TOLERANCE["float32"])
    constants = [[0.0] * 32, [2.5] * 32, [-1.0] * 32, [0.0] * 31 + [3.0], [float(i) for i in range(32)]]
    for mode, group, bits in [("affine", 32, 4), ("affine", 32, 8), ("mxfp4", 32, 4), ("nvfp4", 16, 4), ("mxfp8", 32, 8)]:
        g = how(mode, group, bits)
        for values in constants:
            c.add("quantize", lambda w: list(mx.quantize(w, **g)), [given((1, 32), values=values)], g)
    for shape, dtype in [((32,), "float32"), ((), "float32"), ((2, 31), "float32"), ((2, 32), "int32"), ((2, 32), "bool"), ((2, 32), "complex64")]:
        c.add("quantize", lambda w: list(mx.quantize(w, **f)), [spread(shape, dtype)], f)
    for mode, group, bits in [("affine", 16, 4), ("affine", 32, 7), ("mxfp4", 64, 4), ("mxfp4", 32, 8), ("nvfp4", 32, 4), ("mxfp8", 32, 4)]:
        g = how(mode, group, bits)
        c.add("quantize", lambda w: list(mx.quantize(w, **g)), [spread((2, 128))], g)
    for x, w in [((32,), (2, 32)), ((2, 2, 32), (3, 32)), ((3, 2, 32), (3, 2, 32)), ((1, 2, 32), (3, 2, 32))]:
        c.add("matmul", lambda x, w: matmul(x, w, f, True), [spread(x), spread(w)], f | {"transpose": True}, **TOLERANCE["float32"])
    for x, w in [((2, 64), (2, 32)), ((), (2, 32)), ((2, 3, 32), (4, 2, 32))]:
        c.add("matmul", lambda x, w: matmul(x, w, f, True), [spread(x), spread(w)], f | {"transpose": True})
    pairs = [given((2, 2), "int32", values=[0, 1, 1, 0]), given((2,), "uint32", values=[2, 0])]
    for g in [f, how("mxfp4", 32, 4)]:
        p = g | {"transpose": True, "lhs": True, "rhs": True}
        c.add("gather", lambda x, w, i, j: gather(x, w, [i, j], True, True, g, True), [spread((2, 1, 32)), spread((3, 2, 32))] + pairs, p, **TOLERANCE["float32"])
        c.add("gather", lambda x, w, i, j: gather(x, w, [i, j], True, True, g, False), [spread((2, 1, 2)), spread((3, 2, 32))] + pairs, p | {"transpose": False}, **TOLERANCE["float32"])
        c.add("gather", lambda x, w, i, j: gather(x, w, [i, j], True, True, g, True), [spread((2, 1, 32)), spread((3, 2, 32))] + pairs, p, grad=(0,), differences=False, **TOLERANCE["float32"])
        for dtype in ["float16", "bfloat16"]:
            c.add("gather", lambda x, w, i, j: gather(x, w, [i, j], True, True, g, True), [spread((2, 1, 32), dtype), spread((3, 2, 32), dtype)] + pairs, p, **TOLERANCE[dtype])
    c.add("gather", lambda x, w: gather(x, w, [], False, False, f, True), [spread((2, 1, 32)), spread((2, 3, 32))], f | {"transpose": True, "lhs": False, "rhs": False}, **TOLERANCE["float32"])
    c.add("gather", lambda x, w, i: gather(x, w, [i], True, False, f, True), [spread((2, 1, 32)), spread((3, 2, 32)), given((3,), "uint32", values=[1, 1, 0])], f | {"transpose": True, "lhs": True, "rhs": False}, **TOLERANCE["float32"])


def scaled(c):
    f = how("nvfp4", 16, 4)
    for dtype in ["float32", "float16", "bfloat16"]:
        for scale in [3.0, 6.0, 100.0]:
            s = given((), values=[scale])
            c.add("quantize_scaled", lambda w, s: list(mx.quantize(w, **f, global_scale=s)), [spread((2, 32), dtype), s])
            c.add("dequantize_scaled", lambda w, s: round_to(w, f, s, getattr(mx, dtype)), [spread((1, 32)), s], {"dtype": dtype})
    for s in [given((2,), values=[1.0, 2.0]), given((), "int32", values=[1]), given((), "float16", values=[1.0])]:
        c.add("quantize_scaled", lambda w, s: list(mx.quantize(w, **f, global_scale=s)), [spread((2, 32)), s])
    for mode, group, bits in FORMATS[-3:]:
        g = how(mode, group, bits)
        product = lambda x, w: round_to(x, g) @ mx.swapaxes(round_to(w, g, dtype=x.dtype), -1, -2)
        for dtype in ["float32", "float16", "bfloat16"]:
            for dense in [True, False]:
                c.add("qqmm", product, [spread((2, 32), dtype), spread((3, 32), dtype)], g | {"dense": dense}, **TOLERANCE[dtype])
        c.add("qqmm", product, [spread((2, 2, 64)), spread((3, 64))], g | {"dense": True}, **TOLERANCE["float32"])
        c.add("qqmm", product, [spread((64, 2), view=[["transpose", [1, 0]]]), spread((3, 64), view=[["reverse", 0]])], g | {"dense": False}, **TOLERANCE["float32"])
        chosen = given((2,), "uint32", values=[2, 0])
        for dense in [True, False]:
            c.add("gather_qqmm", lambda x, w, i: product(x, w[i]), [spread((2, 1, 32)), spread((3, 2, 32)), chosen], g | {"dense": dense}, **TOLERANCE["float32"])
    both = [given((), values=[3.0]), given((), values=[6.0])]
    product = lambda x, w, a, b: round_to(x, f, a) @ mx.swapaxes(round_to(w, f, b, dtype=x.dtype), -1, -2)
    for dtype in ["float32", "bfloat16"]:
        c.add("qqmm", product, [spread((2, 32), dtype), spread((3, 32), dtype)] + both, f | {"dense": True}, **TOLERANCE[dtype])
    c.add("gather_qqmm", lambda x, w, i, a, b: product(x, w[i], a, b), [spread((2, 1, 32)), spread((3, 2, 32)), given((2,), "int64", values=[1, 1])] + both, f | {"dense": True}, **TOLERANCE["float32"])


c = Cases("quant")
each_format(c)
more(c)
scaled(c)
c.write(sys.argv[1])
