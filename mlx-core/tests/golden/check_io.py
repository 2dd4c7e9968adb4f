# SPDX-License-Identifier: EUPL-1.2
"""Reads with NumPy and MLX what our writers wrote: the check in the other direction, run by hand.

Needs: mlx==0.32.2 mlx-cpu==0.32.2 numpy==2.4.6

    MLX_CORE_IO_CHECK=<folder> cargo test -p mlx-core --test main files_for_other_readers -- --ignored
    python3 mlx-core/tests/golden/check_io.py <folder>
"""

import pathlib
import sys

import mlx.core as mx
import numpy as np

NAMES = ["bool", "complex64", "bfloat16"]
NAMES += [f"{kind}{bits}" for kind, sizes in (("uint", (8, 16, 32, 64)), ("int", (8, 16, 32, 64)), ("float", (16, 32, 64))) for bits in sizes]
folder = pathlib.Path(sys.argv[1])
checked = 0


def expected(name):
    return mx.arange(6, dtype=mx.float32).reshape(2, 3).astype(getattr(mx, "bool_" if name == "bool" else name)).T


def check(where, name, found):
    global checked
    wanted = expected(name)
    assert found.dtype == wanted.dtype and mx.array_equal(found, wanted), f"{where}: {name}: {found}"
    checked += 1


def check_numpy(where, name, found):
    global checked
    if name == "bfloat16":
        assert found.dtype == np.dtype("V2"), f"{where}: {found.dtype}"
        found, wanted = found.view(np.uint16), np.array(expected(name).view(mx.uint16))
    else:
        wanted = np.array(expected(name))
    assert found.dtype == wanted.dtype and np.array_equal(found, wanted), f"{where}: {name}: {found}"
    checked += 1


mx.set_default_device(mx.cpu)
for name in NAMES:
    path = str(folder / f"{name}.npy")
    check("mlx npy", name, mx.load(path))
    check_numpy("numpy npy", name, np.load(path))
for archive in ("stored.npz", "deflated.npz"):
    loaded = mx.load(str(folder / archive))
    assert sorted(loaded) == sorted(NAMES), archive
    with np.load(folder / archive) as by_numpy:
        for name in NAMES:
            check(f"mlx {archive}", name, loaded[name])
            check_numpy(f"numpy {archive}", name, by_numpy[name])
loaded, metadata = mx.load(str(folder / "all.safetensors"), return_metadata=True)
assert metadata == {"format": "mlx"} and sorted(loaded) == sorted(set(NAMES) - {"float64"})
for name, array in loaded.items():
    check("mlx safetensors", name, array)
print(f"{checked} arrays are as they were written")
