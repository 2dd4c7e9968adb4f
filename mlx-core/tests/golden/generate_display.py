# SPDX-License-Identifier: EUPL-1.2
"""Writes display.json: arrays, and the text that NumPy makes of them.

Needs: numpy==2.4.6

Called with the folder to write to.
"""

import json
import pathlib
import sys

import numpy as np

cases = []


def plain(value):
    if isinstance(value, complex):
        return [plain(value.real), plain(value.imag)]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return int(value) if isinstance(value, bool) else value


def add(values, dtype, **options):
    array = np.asarray(values, dtype=dtype)
    names = {"precision": "precision", "threshold": "threshold", "edge": "edgeitems", "width": "linewidth"}
    with np.printoptions(**{names[name]: value for name, value in options.items()}):
        text = np.array2string(array)
    values = [plain(value) for value in array.flatten().tolist()]
    cases.append({"shape": list(array.shape), "dtype": str(array.dtype), "values": values, "options": options, "text": text})


def floats(d):
    large = 1e4 if d == "float16" else 1e10
    for values in [
        [1, 2.5, -3], [[1, 2], [3, 4]], [0.1, 0.2, 1 / 3], [1e-5, 1], [large, 1], [1, 1001], [np.nan, 1, np.inf],
        [np.nan, -np.inf], [-np.inf, 2.25], [0, 0], [-0.0, 1], [1e-5, np.nan, -2], [123.456, 7], [0.012345679, 0.5],
        [999.5, 2], np.arange(24).reshape(2, 3, 4) / 8, [0.0001, 0.01], np.linspace(-1, 1, 30), [16777.217, 20000],
        np.zeros((2, 0)),
    ]:
        add(values, d)
    add([1 / 3, 2 / 3], d, precision=3)
    add([12345.678, 1], d, precision=2)


for d in ["float32", "float64", "float16"]:
    floats(d)
add(np.arange(2000).reshape(20, 100), "int32")
add(np.arange(2000), "int64")
add(np.arange(1500).reshape(2, 3, 250), "uint16")
add([1, -20, 300], "int16")
add([[1, -20], [100, 4]], "int8")
add([2**64 - 1, 0], "uint64")
add([-(2**63), 2**63 - 1], "int64")
add([True, False], "bool")
add([[True], [True]], "bool")
add([1 + 2j, 3.5 - 4j], "complex64")
add([1e-5 + 1j, complex(np.nan, 2)], "complex64")
add([[0.1 + 0.25j]], "complex64")
add([complex(np.inf, -np.inf), 1], "complex64")
add(np.arange(100), "int32")
add(np.arange(60) / 7, "float32")
add(np.arange(60).reshape(2, 30) / 7, "float32", width=40)
add(np.arange(12), "int32", threshold=5, edge=2)
add(np.arange(64).reshape(4, 4, 4), "int32", threshold=5, edge=1)
add(np.arange(3000).reshape(1000, 3) / 3, "float32")
add(np.arange(7), "int32", threshold=5, edge=3)
add(np.arange(6), "int32", threshold=5, edge=3)
add([[[]]], "float32")
add(np.ones((1, 1, 1, 1)), "float32")
add([1e38, 1e-38], "float32")
add([1e300, 1e-300], "float64")
add([65504, 6e-8], "float16")

lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
text = f'{{"numpy": "{np.__version__}", "cases": [\n{lines}\n]}}\n'
(pathlib.Path(sys.argv[1]) / "display.json").write_text(text)
