# SPDX-License-Identifier: EUPL-1.2
"""Writes io.json: files of NumPy and of MLX's Python package, and what they make of ours.

Needs: mlx==0.32.2 mlx-cpu==0.32.2 numpy==2.4.6

Called with the folder to write to. A file travels as the hexadecimal text of its bytes.

- "read": what MLX, or NumPy where that knows more, reads from a file that one of them wrote, or that is written here by hand
- "write": the bytes that our writer is to give for some arrays. They are composed here, and recorded only after NumPy or MLX
  has read the arrays from them.
"""

import io
import json
import pathlib
import sys
import tempfile

import mlx.core as mx
import numpy as np

from cases import Cases, given

NUMPY = ("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "complex64")
scratch = pathlib.Path(tempfile.mkdtemp())
cases = Cases("io")


def values(dtype, shape=(2, 3)):
    out = np.arange(int(np.prod(shape))).reshape(shape) * 37 % 11 - (0 if dtype.startswith("u") else 4)
    if dtype == "complex64":
        out = out + 0.25j * out[::-1]
    return (out % 2 if dtype == "bool" else out).astype(dtype)


def to_mlx(array):
    return mx.array(array, dtype=mx.float64) if array.dtype == np.float64 else mx.array(array)


def by_name(loaded):
    return [loaded[name] for name in sorted(loaded)] if isinstance(loaded, dict) else loaded


def read(kind, data, loader=None):
    """A file that is to be read; by MLX unless `loader` does it."""

    def load():
        path = scratch / f"case.{kind}"
        path.write_bytes(data)
        return loader(path) if loader else by_name(mx.load(str(path)))

    cases.add("read", load, [], {"kind": kind, "file": data.hex()})


def by_numpy(path):
    """What NumPy reads, refused where MLX has no such dtype."""
    try:
        array = np.load(path)
    except Exception as error:
        raise ValueError(f"NumPy refuses it: {type(error).__name__}") from None
    if array.dtype.newbyteorder("=").name not in NUMPY:
        raise ValueError(f"no dtype {array.dtype}")
    return to_mlx(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))


def saved_by_numpy(array, version=None):
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=version)
    return out.getvalue()


def saved_by_mlx(array):
    mx.save(str(scratch / "saved.npy"), array)
    return (scratch / "saved.npy").read_bytes()


def npy(header, data, version=b"\x01\x00"):
    length = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + length + header.encode() + data


def npy_cases():
    for dtype in NUMPY:
        array = values(dtype)
        read("npy", saved_by_numpy(array))
        read("npy", saved_by_mlx(to_mlx(array)))
        swapped = array.astype(array.dtype.newbyteorder(">"))
        if array.dtype.itemsize > 1:
            read("npy", saved_by_numpy(swapped), by_numpy)
    read("npy", saved_by_mlx(mx.array([[1.5, -2.0, 3.0], [0.0, 1e30, -0.125]], dtype=mx.bfloat16)))
    plain = values("int32", (2, 3, 4))
    for array in (np.asfortranarray(plain), np.asfortranarray(plain.astype(">i4")), np.asfortranarray(values("float32")), values("float32")[:, ::2], values("float32").T):
        read("npy", saved_by_numpy(array), by_numpy)
    for shape in ((), (0,), (0, 3), (3, 0, 2), (1,), (7,), (1, 1, 1, 1, 1, 2)):
        read("npy", saved_by_numpy(values("float32", shape)), by_numpy)
        read("npy", saved_by_numpy(np.asfortranarray(values("int16", shape))), by_numpy)
    for version in ((1, 0), (2, 0), (3, 0)):
        read("npy", saved_by_numpy(values("uint16"), version), by_numpy)
    two = np.array([1.5, -2.5], dtype="<f4").tobytes()
    for header in (
        "{\"shape\": (2,), \"descr\": \"<f4\", \"fortran_order\": False}",
        "{'descr':'<f4','fortran_order':False,'shape':(2,)}\n",
        "  { 'fortran_order' : False , 'shape' : ( 2 , ) , 'descr' : '<f4' , }   \n",
    ):
        read("npy", npy(header, two), by_numpy)
        read("npy", npy(header, two, b"\x02\x00"), by_numpy)
    # Something behind the elements is not looked at.
    read("npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", two + b"more"), by_numpy)


def refusals():
    good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"
    two = bytes(8)
    for descr in ("<U3", "|S4", "<c16", "<f16", "|O", "<M8[ns]", "|V4", "<f3", "<q9"):
        read("npy", npy(good.replace("<f4", descr), bytes(64)), by_numpy)
    read("npy", npy(good.replace("'<f4'", "[('a', '<f4')]"), two), by_numpy)
    for header in ("", "{", "nonsense", "{'descr': '<f4'}", good.replace("(2,)", "(-2,)"), good.replace("(2,)", "2"), good.replace("False", "0 or")):
        read("npy", npy(header, two), by_numpy)
    read("npy", npy(good, two[:-1]), by_numpy)
    read("npy", npy(good, b""), by_numpy)
    read("npy", npy(good, two, b"\x04\x00"), by_numpy)
    read("npy", npy(good, two)[1:], by_numpy)
    read("npy", b"\x93NUM", by_numpy)


def archive_cases():
    arrays = {"x": values("float32"), "deep/y": values("int8", (4,)), "arr_0": values("complex64", (1, 2))}
    out = io.BytesIO()
    np.savez(out, **arrays)
    read("npz", out.getvalue())
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    read("npz", out.getvalue())
    out = io.BytesIO()
    np.savez_compressed(out, values("float64", (50, 50)) * 0)
    read("npz", out.getvalue(), lambda path: [to_mlx(a) for a in np.load(path).values()])
    of_mlx = {"b": mx.array([1.5, 2.5], dtype=mx.bfloat16), "a": mx.arange(6).reshape(2, 3)}
    for save in (mx.savez, mx.savez_compressed):
        save(str(scratch / "saved.npz"), **of_mlx)
        read("npz", (scratch / "saved.npz").read_bytes())


def safetensors_cases():
    for dtype in NUMPY + ("bfloat16",):
        if dtype == "float64":
            # MLX's own writer has no name for it.
            continue
        array = mx.array(values("float32"), dtype=mx.bfloat16) if dtype == "bfloat16" else to_mlx(values(dtype))
        mx.save_safetensors(str(scratch / "saved.safetensors"), {"x": array, "a": array.T, "s": array[0, 0]}, {"format": "mlx", "of": dtype})
        read("safetensors", (scratch / "saved.safetensors").read_bytes())


def write(kind, operands, compose, loader):
    def composed(*given_arrays):
        data = compose(given_arrays)
        path = scratch / f"composed.{kind}"
        path.write_bytes(data)
        for found, wanted in zip(loader(path), given_arrays, strict=True):
            assert found.shape == wanted.shape and found.dtype == wanted.dtype and mx.array_equal(found, wanted, equal_nan=True), kind
        return mx.array(list(data), dtype=mx.uint8)

    cases.add("write", composed, operands, {"kind": kind})


def our_npy(arrays):
    (array,) = arrays
    if array.dtype != mx.bfloat16:
        return saved_by_numpy(np.array(array, order="C"))
    # NumPy's own header, but for the name of the type, which is MLX's.
    bits = saved_by_numpy(np.array(array.view(mx.uint16), order="C"))
    return bits.replace(b"'<u2'", b"'<V2'")


def our_safetensors(arrays):
    names = {mx.bool_: "BOOL", mx.complex64: "C64", mx.bfloat16: "BF16"}
    names |= {getattr(mx, f"uint{n}"): f"U{n}" for n in (8, 16, 32, 64)} | {getattr(mx, f"int{n}"): f"I{n}" for n in (8, 16, 32, 64)}
    names |= {getattr(mx, f"float{n}"): f"F{n}" for n in (16, 32, 64)}
    header, data = {"__metadata__": {"format": "mlx"}}, b""
    for i, array in enumerate(arrays):
        bits = array.view(mx.uint16) if array.dtype == mx.bfloat16 else array
        new = np.array(bits, order="C").tobytes()
        header[f"t{i}"] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(new)]}
        data += new
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def write_cases():
    def loaded(path):
        return [mx.load(str(path))]

    operands = [given([2, 3], dtype) for dtype in NUMPY + ("bfloat16",)]
    operands += [given(shape) for shape in ([], [0], [0, 3], [7], [1, 1, 1, 1, 1, 2])]
    operands += [given([2, 3], view=[["transpose", [1, 0]]]), given([4, 6], "int16", view=[["every", 1, 2], ["reverse", 0]])]
    operands += [given([1, 3], "bfloat16", view=[["broadcast", [2, 3]]])]
    for operand in operands:
        write("npy", [operand], our_npy, loaded)
    # MLX does not read float64 from this format.
    read_back = [operand for operand in operands if operand["dtype"] != "float64"]
    for group in (read_back[:5], read_back[5:13], read_back[13:], read_back[:1]):
        write("safetensors", group, our_safetensors, lambda path: [a for _, a in sorted(mx.load(str(path)).items(), key=lambda item: int(item[0][1:]))])


npy_cases()
refusals()
archive_cases()
safetensors_cases()
write_cases()
cases.write(sys.argv[1])
