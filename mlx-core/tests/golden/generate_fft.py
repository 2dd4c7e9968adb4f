# SPDX-License-Identifier: EUPL-1.2
"""Writes fft.json: Fourier transforms, as MLX's own Python package computes them.

Needs: mlx==0.32.2 mlx-cpu==0.32.2

Called with the folder to write to.
"""

import sys

import mlx.core as mx
from cases import Cases, given

cases = Cases("fft")
NORMS = ("backward", "ortho", "forward")


def one(name, x, grad=False, **how):
    # Computed in single precision whatever goes in, so finite differences say little.
    cases.add(name, lambda x: getattr(mx.fft, name)(x, **how), [x], how, grad=(0,) if grad else (), differences=False, rtol=1e-4, atol=2e-5)


for name in ("fft", "ifft", "rfft", "irfft"):
    kinds = ("float32",) if name == "rfft" else ("float32", "complex64")
    for dtype in kinds:
        x = given([6], dtype)
        for n in (None, 1, 2, 5, 6, 9):
            one(name, x, grad=True, n=n)
        for norm in NORMS[1:]:
            one(name, x, grad=True, norm=norm)
            one(name, given([3, 4], dtype), n=5, axis=0, norm=norm)
        one(name, given([3, 4], dtype), axis=0, grad=True)
        one(name, given([2, 3, 4], dtype), axis=1)
        one(name, given([2, 3, 4], dtype), axis=-3, n=3)
        one(name, given([4, 3], dtype, view=[["transpose", [1, 0]]]), axis=1)
        one(name, given([8, 3], dtype, view=[["every", 0, 2]]), axis=0)
        one(name, given([5], dtype, view=[["reverse", 0]]))
        one(name, given([1, 4], dtype, view=[["broadcast", [3, 4]]]), axis=0)
        one(name, given([7], dtype), grad=True)
        one(name, given([0, 4], dtype))
        one(name, given([0], dtype), n=3)
    for dtype in ("float16", "bfloat16", "float64", "int32", "uint8", "bool"):
        one(name, given([6], dtype))
    one(name, given([4]), n=0)
    one(name, given([4]), n=-3)
    one(name, given([4]), axis=1)
    one(name, given([4]), axis=-2)
    one(name, given([]))
    one(name, given([3, 0]))
one("rfft", given([4], "complex64"))
one("irfft", given([1]))
for base in ("fft", "ifft", "rfft", "irfft"):
    kind = "float32" if base in ("fft", "rfft") else "complex64"
    x = given([2, 3, 4], kind)
    two, several = base + "2", base + "n"
    one(two, x, grad=True)
    one(two, x, axes=[0, 1])
    one(two, x, s=[4, 5], axes=[-1, 0])
    one(two, x, s=[2, 2], axes=[-2, -1], norm="ortho")
    one(two, given([4, 3], kind, view=[["transpose", [1, 0]]]), norm="forward")
    one(two, given([4], kind))
    one(several, x, grad=True)
    for norm in NORMS[1:]:
        one(several, x, norm=norm)
    one(several, x, axes=[1])
    one(several, x, axes=[2, 0])
    one(several, x, s=[3, 2], axes=[0, 2])
    one(several, x, s=[1, 1, 1], axes=[0, 1, 2])
    one(several, given([2, 8, 3], kind, view=[["every", 1, 2]]), axes=[0, 1])
    one(several, given([0, 2, 3], kind), axes=[1, 2])
    for bad in [{"axes": [0, 0]}, {"axes": [3]}, {"axes": [0, -3]}, {"s": [2], "axes": [0, 1]}, {"s": [0, 2], "axes": [0, 1]}, {"s": [2, -2], "axes": [0, 1]}]:
        one(several, x, **bad)
    one(several, given([], kind))
for n in (1, 2, 5, 8):
    for d in (1.0, 0.25, -2.0):
        for name in ("fftfreq", "rfftfreq"):
            cases.add(name, lambda n=n, d=d, name=name: getattr(mx.fft, name)(n, d), [], {"n": n, "d": d})
for name in ("fftfreq", "rfftfreq"):
    for n, d in [(0, 1.0), (-3, 1.0), (4, 0.0)]:
        cases.add(name, lambda n=n, d=d, name=name: getattr(mx.fft, name)(n, d), [], {"n": n, "d": d})
for name in ("fftshift", "ifftshift"):
    shift = getattr(mx.fft, name)
    for x in [given([5]), given([4]), given([2, 5]), given([3, 4], "int32"), given([5], "complex64"), given([5], "bool"), given([0, 3]), given([])]:
        smooth = x["dtype"] == "float32" and x["shape"] not in ([], [0, 3])
        cases.add(name, shift, [x], {}, grad=(0,) if smooth else ())
    for axes in [[0], [-1], [1, 0], [], [2], [-3]]:
        cases.add(name, lambda x, axes=axes, shift=shift: shift(x, axes=axes), [given([3, 4])], {"axes": axes})
    cases.add(name, shift, [given([4, 3], view=[["transpose", [1, 0]]])], {})
cases.write(sys.argv[1])
