#!/usr/bin/env python3
"""Compare what tarn and the reference library make of damaged safetensors files.

usage: tests/safetensors_damage.py [--program build/tests/test_safetensors_damage] [--files 5000] [--record]

tarn must take no file that the library refuses, and find in the others what the library finds; it may refuse
more only for the reasons below. --record writes the fixtures that tests/test_safetensors_use.c reads. Needs:
pip install safetensors numpy; without them it says so and stops with status 0.
"""
import argparse
import collections
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import safetensors
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(0)

FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures"
OURS = {"F64": np.float64, "F32": np.float32, "I32": np.int32, "U8": np.uint8}
MAX_DIMS = 8
LIBRARY_DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
                  "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
                  "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2", "complex64"]
# What tarn alone refuses: repeated and unknown keys, an entry that is an array, metadata that are null or
# white space before the header, names with a NUL.
STRICTER = ["given twice", "each once", "expected {", "a NUL character"]

# ---- the library's files


def save(tensors, metadata=None):
    """The library's bytes for {name: array}, or for {name: (dtype, shape, bytes)}."""
    specs, keep = {}, []
    for name, x in tensors.items():
        if isinstance(x, tuple):
            dtype, shape, data = x
            raw = np.frombuffer(data, np.uint8).copy()
        else:
            raw, dtype, shape = x, x.dtype.name, x.shape
        keep.append(raw)
        specs[name] = safetensors.TensorSpec(dtype=dtype, shape=shape, data_ptr=raw.ctypes.data, data_len=raw.nbytes)
    return bytes(safetensors.serialize(specs, metadata))


def element_bytes(dtype):
    if dtype == "bool" or dtype.startswith("float4"):
        return 1
    digits = "".join(c for c in dtype.split("_")[0].removeprefix("bfloat") if c.isdigit())
    return int(digits) // 8


def fixtures():
    every = {f"{dtype} x": (dtype, [3], bytes(range(i, i + 3 * element_bytes(dtype))))
             for i, dtype in enumerate(LIBRARY_DTYPES)}
    name = "".join(map(chr, range(1, 128))) + "\u0080\u07ff\u0800\uffff\U00010000\U0010ffff"
    return {"reference_dtypes.safetensors": save(every), "reference_empty.safetensors": save({}),
            "reference_name.safetensors": save({name: np.array([7], np.uint8)})}


def random_text(rng):
    return "".join(rng.choice("abc.0\"\\/\b\n\x01\x7f \u00e9\u20ac\uffff\U0001f600") for _ in range(rng.randrange(8)))


def random_file(rng):
    tensors = {}
    for _ in range(rng.randrange(1, 6)):
        dtype = np.dtype(rng.choice(list(OURS.values())))
        shape = [rng.choice([0, 1, 1, 2, 3]) for _ in range(rng.randrange(5))]
        data = rng.randbytes(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
        tensors[random_text(rng)] = np.frombuffer(data, dtype).reshape(shape)
    return save(tensors, {random_text(rng): random_text(rng)} if rng.random() < 0.5 else None)


# ---- damage


def pieces(data):
    (size,) = struct.unpack_from("<Q", data)
    return data[8:8 + size], data[8 + size:]


def with_header(header, data):
    return struct.pack("<Q", len(header)) + header + data


def damaged(rng, whole):
    """`whole` with its header changed in one of several ways; the length before it stays right."""
    header, data = pieces(whole)
    at = rng.randrange(len(header))
    to = rng.randrange(at, min(len(header), at + 40))
    kind = rng.randrange(6)
    if kind == 0:
        header = header[:at] + rng.randbytes(1) + header[at + 1:]
    elif kind == 1:
        header = header[:at] + bytes([rng.choice(b"0123456789-+.eE\"\\{}[],: \t\nnutrdf\0")]) + header[at + 1:]
    elif kind == 2:
        header = header[:at] + header[to:]
    elif kind == 3:
        header = header[:to] + header[at:to] + header[to:]
    elif kind == 4:
        header = header[:at] + rng.choice([b" ", b"\n", b"\\u00e9", b"\\ud83d\\ude00", b"\\ud83d", b"\xc3", b"0", b"1",
                                           b",\"x\":1", b",{}", b"null", b"1e1"]) + header[at:]
    else:
        data = data[:-1] if rng.random() < 0.5 else data + b"\0"
    return with_header(header, data)


def by_hand():
    """Headers that chance does not find."""
    one = b"{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[%s]}"
    a = b"\"a\":" + one % (b"3", b"0,3")
    headers = [b"", b"{", b"{}", b"[]", b"null", b"{" + a + b",\"__metadata__\":null}", b" {" + a + b"}",
               b"{" + a + b"," + a + b"}", b"{" + a[:-1] + b",\"more\":[1,{\"x\":null}]}}", b"{\"a\":[\"U8\",[3],[0,3]]}",
               b"{\"__metadata__\":{}," + a + b"}", b"{\"__metadata__\":{\"k\":1}," + a + b"}", b"{" + a + b"} x",
               b"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}," + a + b"}", b"{" + a + b"}\0", b"{" + a + b"}\n\t\r "]
    headers += [b"{\"%s\":%s}" % (name, a[4:]) for name in
                (b"\\u0000", b"\\ud83d\\ude00", b"\\uDE00", b"\\ud83d", b"\\/", b"\\x", b"\xff", b"\xed\xa0\x80")]
    for shape, offsets in [(b"3.0", b"0,3"), (b"3e0", b"0,3"), (b"-3", b"0,3"), (b"03", b"0,3"), (b"+3", b"0,3"),
                           (b"3", b"-0,3"), (b"3", b"0,3,3"), (b"3", b"0"), (b"3", b"1,4"), (b"3", b"3,0"),
                           (b"3", b"0,18446744073709551616"), (b"3", b"18446744073709551613,0"),
                           (b"4294967296,4294967296,3", b"0,3"), (b"9223372036854775808,2,0", b"0,3"), (b"3,", b"0,3"),
                           (b"3,1,1,1,1,1,1,1,1,1,1", b"0,3"), (b"1,,3", b"0,3"), (b"true", b"0,3"), (b"\"3\"", b"0,3"),
                           (b" 3 ", b" 0 , 3 "), (b"[3]", b"0,3")]:
        headers.append(b"{\"a\":%s}" % one % (shape, offsets))
    for first, second in [((b"2", b"0,2"), (b"2", b"1,3")), ((b"1", b"0,1"), (b"1", b"2,3")),
                          ((b"3", b"0,3"), (b"3", b"0,3")), ((b"0", b"0,0"), (b"3", b"0,3")),
                          ((b"3", b"0,3"), (b"0", b"3,3")), ((b"3", b"0,3"), (b"0", b"1,1")),
                          ((b"3", b"0,3"), (b"0", b"0,0"))]:
        headers.append(b"{\"a\":%s,\"b\":%s}" % (one % first, one % second))
    return [with_header(header, b"abc") for header in headers]


# ---- verdicts


def listing(data):
    """What the library finds: a line a tensor, as the program prints them; None if it refuses the file."""
    try:
        tensors = safetensors.deserialize(data)
    except safetensors.SafetensorError:
        return None
    lines = []
    for name, x in tensors:
        small = len(x["shape"]) <= MAX_DIMS
        shape = ",".join(map(str, x["shape"])) if small else "?"
        contents = bytes(x["data"]).hex() if small and x["dtype"] in OURS else "-"
        lines.append(f"{name.encode().hex()} {x['dtype']} [{shape}] {contents}")
    return sorted(lines)


def differences(files, verdicts, counts):
    for data, verdict in zip(files, verdicts):
        want, lines = listing(data), verdict.split("\n")
        if not verdict.startswith("error "):
            if want is None:
                yield f"tarn alone takes {pieces(data)[0]}"
            elif sorted(lines[1:]) != want:
                yield f"of {pieces(data)[0]} tarn finds {lines[1:]}, the library {want}"
            counts["taken by both"] += 1
        elif want is None:
            counts["refused by both"] += 1
        else:
            reason = next((s for s in STRICTER if s in verdict), None)
            if not reason:
                yield f"tarn alone refuses {pieces(data)[0]}: {verdict}"
            counts[f"refused by tarn alone: {reason}"] += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/tests/test_safetensors_damage")
    parser.add_argument("--files", type=int, default=5000, help="how many are damaged by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    if args.record:
        for name, data in fixtures().items():
            (FIXTURES / name).write_bytes(data)
        return 0
    rng = random.Random(args.seed)
    whole = list(fixtures().values()) + [random_file(rng) for _ in range(300)]
    files = by_hand() + whole + [damaged(rng, rng.choice(whole)) for _ in range(args.files)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, str(i)) for i in range(len(files))]
        for path, data in zip(paths, files):
            path.write_bytes(data)
        done = subprocess.run([args.program, "--judge", *paths], capture_output=True, check=True)
    verdicts = done.stdout.decode().split("\n.\n")[:-1]
    if len(verdicts) != len(files):
        sys.exit(f"{len(verdicts)} verdicts on {len(files)} files")
    counts = collections.Counter()
    found = list(differences(files, verdicts, counts))
    for what, count in counts.most_common():
        print(f"{count:6} {what}")
    for problem in found[:20]:
        print("differs:", problem)
    print(f"{len(files)} files, {len(found)} differences from safetensors {safetensors.__version__}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
