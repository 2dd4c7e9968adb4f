# SPDX-License-Identifier: EUPL-1.2
"""What the generators of golden cases share: calls of MLX's own Python package, recorded with what went in and came out.

A generator makes one `Cases`, adds calls, and writes `<family>.json`. `mod.rs` beside this file reads it; an op's name and
its parameters mean there what the family's Rust file says, so that nothing here knows our interface.
"""

import importlib.metadata
import json
import math
import pathlib

import mlx.core as mx

FLOATS = ("float32", "float16", "bfloat16")
SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
# Multiples of 1/16 with at most six significant bits are exact in every floating dtype.
STEP, SPAN = 16, 97


def numbers(count, seed=1, low=-3.0, high=3.0):
    """`count` multiples of 1/16 between `low` and `high`, in no visible order."""
    state, out = seed * 2654435761 % 2**32, []
    steps = int((high - low) * STEP)
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(low + (state >> 8) % (steps + 1) / STEP)
    return out


def given(shape, dtype="float32", seed=1, low=-3.0, high=3.0, values=None, view=None):
    """An operand: `values`, or numbers of a pattern, and how to look at them.

    `view` is a list of steps that are taken here and by our tests, so that operands with gaps, reversed and repeated
    ones are tried: ["transpose", [axes]], ["every", axis, n], ["reverse", axis], ["broadcast", [shape]].
    """
    count = math.prod(shape)
    if values is None:
        values = numbers(count, seed, low, high)
        if not dtype.startswith(("float", "bfloat", "complex")):
            values = [int(v) for v in values]
            if dtype.startswith("uint"):
                values = [abs(v) for v in values]
            if dtype == "bool":
                values = [bool(v % 2) for v in values]
        elif dtype == "complex64":
            values = [complex(a, b) for a, b in zip(values, numbers(count, seed + 1000, low, high))]
    elif dtype in ("bool", "complex64"):
        values = [(bool if dtype == "bool" else complex)(v) for v in values]
    return {"shape": list(shape), "dtype": dtype, "values": values, "view": view or []}


def named(dtype):
    """The dtype of that name, which for truth values is another one in Python."""
    return getattr(mx, "bool_" if dtype == "bool" else dtype)


def build(operand):
    """The array that an operand stands for."""
    array = mx.array(operand["values"], dtype=named(operand["dtype"])).reshape(operand["shape"])
    for step in operand["view"]:
        match step:
            case ["transpose", axes]:
                array = array.transpose(axes)
            case ["every", axis, n]:
                array = array[(slice(None),) * axis + (slice(None, None, n),)]
            case ["reverse", axis]:
                array = array[(slice(None),) * axis + (slice(None, None, -1),)]
            case ["broadcast", shape]:
                array = mx.broadcast_to(array, shape)
            case other:
                raise ValueError(f"no view {other}")
    return array


def plain(value, dtype):
    """One value as JSON has it."""
    if isinstance(value, complex):
        return [plain(value.real, "float32"), plain(value.imag, "float32")]
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return value if dtype == "float64" else float(format(value, ".9g"))
    return value


def recorded(array):
    """An array with its values, for the file."""
    dtype = str(array.dtype).removeprefix("mlx.core.")
    flat = array.astype(mx.float32) if dtype in ("bfloat16", "float16") else array
    values = [plain(v, dtype) for v in flat.flatten().tolist()]
    return {"shape": list(array.shape), "dtype": dtype, "values": values}


def listed(result):
    return list(result) if isinstance(result, (list, tuple)) else [result]


class Cases:
    def __init__(self, family):
        mx.set_default_device(mx.cpu)
        self.family, self.cases = family, []

    def add(self, op, function, operands, params=None, *, grad=(), differences=True, rtol=None, atol=None):
        """Records `function(*arrays)`: its results, or that it refuses.

        - `op`, `params`: what the Rust side reads to make the same call
        - `grad`: the operands to differentiate by, with a cotangent of the pattern for each result
        - `differences`: whether the gradient is also held against finite differences in float64
        - `rtol`, `atol`: where the dtype's own tolerance does not fit
        """
        case = {"op": op, "params": params or {}, "in": []}
        for operand in operands:
            shown = {k: v for k, v in operand.items() if k != "view" or v}
            case["in"].append(shown | {"values": [plain(v, operand["dtype"]) for v in operand["values"]]})
        if rtol is not None:
            case["rtol"] = rtol
        if atol is not None:
            case["atol"] = atol
        arrays = [build(operand) for operand in operands]
        try:
            out = listed(function(*arrays))
            mx.eval(out)
            case["out"] = [recorded(array) for array in out]
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            case["error"] = str(error).splitlines()[0]
            assert not grad, f"{op} refuses: {error}"
        if grad:
            cotangents = [given(a.shape, str(a.dtype).removeprefix("mlx.core."), seed=77 + i) for i, a in enumerate(out)]
            _, grads = mx.vjp(lambda *x: listed(function(*x)), arrays, [build(c) for c in cotangents])
            case["cotangents"] = [{k: v for k, v in c.items() if k != "view"} for c in cotangents]
            case["grad"] = list(grad)
            case["grads"] = [recorded(grads[i]) for i in grad]
            case["differences"] = differences
        self.cases.append(case)

    def write(self, folder):
        head = {"family": self.family, "mlx": importlib.metadata.version("mlx")}
        lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in self.cases)
        text = json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n"
        path = pathlib.Path(folder) / f"{self.family}.json"
        path.write_text(text)
        print(f"{path.name}: {len(self.cases)} cases, {len(text) // 1024} KiB")
