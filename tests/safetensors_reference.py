#!/usr/bin/env python3
"""Compare tarn's weights files with those of the reference library, byte for byte.

usage: tests/safetensors_reference.py [--program build/tests/test_safetensors] [--record]

Both ways: files of random tensors that the library wrote are read and written again by tarn, and must come
out the same; the file that tarn writes must hold, for the library, what tests/test_safetensors.c put in, and
equal what the library writes. --record also writes the files in tests/fixtures anew. Needs: pip install
safetensors numpy; without them it says so and stops with status 0.
"""
import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
SPECS = [  # as in tests/test_safetensors.c
    ("conv1.weight", np.float32, (3, 3, 1, 2)), ('b"quote\\slash', np.float32, (5,)),
    ("scalar", np.float64, ()), ("empty", np.float32, (0, 3)), ("labels\n\t\x01", np.int32, (4,)),
    ("pixels \u00e9\U0001f389", np.uint8, (2, 3)), ("a.double", np.float64, (2, 2)), ("", np.uint8, (1,)),
]
METADATA = {"step": "12", 'note "x"': "caf\u00e9\n"}


def tensor(k, dtype, shape):
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    values = {np.uint8: (k * 40 + i * 7) % 256, np.int32: (i - 1) * 100000007 + k}.get(
        dtype, (i + 1) / (k + 3) - 1)
    return values.astype(dtype).reshape(shape)


def expected():
    return {name: tensor(k, dtype, shape) for k, (name, dtype, shape) in enumerate(SPECS)}


def save_as_tarn_orders_metadata(path):
    """The library keeps no order of the metadata; write until it has tarn's."""
    for _ in range(1000):
        save_file(expected(), path, METADATA)
        if path.read_bytes().index(b'"step"') < path.read_bytes().index(b'"note'):
            return
    sys.exit("the library never wrote the metadata in order")


def random_tensors(rng):
    names = ["".join(rng.choice('abc.\\"/\n\t\x7f\u00e9\u4e2d\U0001f389') for _ in range(rng.randrange(1, 9)))
             for _ in range(rng.randrange(12))]
    dtypes = [np.float32, np.float64, np.int32, np.uint8]
    draw = np.random.default_rng(rng.randrange(2**32))
    result = {}
    for name in names:
        dtype = np.dtype(rng.choice(dtypes))
        shape = [rng.randrange(5) for _ in range(rng.randrange(5))]
        raw = draw.integers(0, 256, int(np.prod(shape)) * dtype.itemsize, dtype=np.uint8)
        result[name] = raw.view(dtype).reshape(shape)
    return result


def same(a, b):
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes() for k in a)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default="build/tests/test_safetensors")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--files", type=int, default=200)
    args = parser.parse_args()
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        theirs, ours = pathlib.Path(folder, "theirs"), pathlib.Path(folder, "ours")
        for i in range(args.files):
            tensors = random_tensors(rng)
            save_file(tensors, theirs, {"k": "v \\ \u00e9"} if i % 2 else None)
            subprocess.run([args.program, "--copy", theirs, ours], check=True)
            if theirs.read_bytes() != ours.read_bytes() or not same(load_file(ours), tensors):
                sys.exit(f"file {i} differs: {sorted(tensors)}")
        subprocess.run([args.program, "--write", ours], check=True)
        save_as_tarn_orders_metadata(theirs)
        with safe_open(ours, "numpy") as f:
            if f.metadata() != METADATA:
                sys.exit(f"the metadata differ: {f.metadata()}")
        if not same(load_file(ours), expected()) or ours.read_bytes() != theirs.read_bytes():
            sys.exit("the file that tarn writes differs from the library's")
        if args.record:
            (FIXTURES / "reference.safetensors").write_bytes(theirs.read_bytes())
            square = np.ones((2, 2))
            save_file({"f32": square.astype(np.float32), "f16": square.astype(np.float16),
                       "i64": square.astype(np.int64), "bool": square.astype(bool),
                       "i8": square.astype(np.int8)}, FIXTURES / "foreign.safetensors")
    print(f"{args.files + 1} files agree with safetensors, byte for byte")


if __name__ == "__main__":
    main()
