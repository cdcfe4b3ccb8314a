#!/usr/bin/env python3
"""Compare tarn with PyTorch on the CPU: the same inputs, every element of every result.

usage: tests/torch_reference.py [--programs build/tests] [--record]

Runs test_torch and test_torch_ops with --dump, reads their inputs and results, computes the results again in
PyTorch from the inputs, and prints a table of how far apart they are. Exits with 1 if any element is further
off than 1e-10 (f64) or 1e-4 (f32) of its tensor's largest; tests/torch_fixture.h tells the rule in full.
--record also writes a digest of PyTorch's results to tests/fixtures, for the two programs to check
themselves against where there is no PyTorch. Needs: apt-get install python3-torch (1.13 or newer).
"""
import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's python3-torch lives
try:
    import numpy as np
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
except ImportError:
    if os.path.exists(SYSTEM_PYTHON) and "TARN_TORCH_TRIED" not in os.environ:
        os.environ["TARN_TORCH_TRIED"] = "1"
        os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON] + sys.argv)
    print("skipped: python3-torch is not installed")
    sys.exit(0)

FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures"
TOLERANCE = {"f64": 1e-10, "f32": 1e-4}
DTYPES = {"F64": np.dtype("<f8"), "F32": np.dtype("<f4")}

# ---- files


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + size])
    out = {}
    for name, t in header.items():
        if name != "__metadata__":
            begin, end = (8 + size + offset for offset in t["data_offsets"])
            out[name] = np.frombuffer(data[begin:end], DTYPES[t["dtype"]]).reshape(t["shape"])
    return out


def write_safetensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name, x in tensors.items():
        blobs.append(x.tobytes())
        dtype = next(key for key, value in DTYPES.items() if value == x.dtype)
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [at, at + len(blobs[-1])]}
        at += len(blobs[-1])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


# ---- cnn28

MODULES = {"c1": 0, "b1": 1, "c2": 4, "b2": 5, "f1": 9, "f2": 11}  # tarn's layers in the Sequential
PARTS = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias", "running_mean": "running_mean",
         "running_var": "running_var", "batches": "num_batches_tracked"}
BATCH, STEPS = 4, 10


def cnn28():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(7 * 7 * 64, 128), nn.ReLU(), nn.Linear(128, 10))


def flat_order(rows, back=False):
    """fc1's rows: tarn flattens [7,7,64], PyTorch [64,7,7]."""
    shape, axes = ((64, 7, 7), (1, 2, 0)) if back else ((7, 7, 64), (2, 0, 1))
    return rows.reshape(*shape, -1).transpose(*axes, 3).reshape(rows.shape)


def to_torch(name, x):
    """A weight of tarn's in PyTorch's layout."""
    if name in ("c1.weight", "c2.weight"):
        x = x.transpose(3, 2, 0, 1)  # [R,S,C,K] -> [K,C,R,S]
    elif name == "f1.weight":
        x = flat_order(x).T
    elif name == "f2.weight":
        x = x.T
    return torch.from_numpy(np.array(x, order="C"))


def from_torch(name, x):
    x = x.detach().numpy()
    if name in ("c1.weight", "c2.weight"):
        x = x.transpose(2, 3, 1, 0)
    elif name == "f1.weight":
        x = flat_order(x.T, back=True)
    elif name == "f2.weight":
        x = x.T
    return x


def cnn28_tensors(model):
    """Its parameters and buffers by tarn's names, in tarn's order."""
    for layer, i in MODULES.items():
        for part, attribute in PARTS.items():
            if (part in ("gamma", "beta")) == isinstance(model[i], nn.BatchNorm2d) or part not in (
                    "weight", "bias", "gamma", "beta"):
                x = getattr(model[i], attribute, None)
                if x is not None:
                    yield f"{layer}.{part}", x


def cnn28_reference(dump):
    images = torch.from_numpy(dump["in/images"].copy()).permute(0, 3, 1, 2)
    labels = torch.from_numpy(dump["in/labels"].astype(np.int64))
    dtype, out = images.dtype, {}

    def fresh():
        model = cnn28().to(dtype)
        with torch.no_grad():
            for name, x in cnn28_tensors(model):
                x.copy_(to_torch(name, dump[f"in/{name}"]))
        return model

    def batch(step):
        return images[step * BATCH:(step + 1) * BATCH], labels[step * BATCH:(step + 1) * BATCH]

    def evaluate(section, model):
        x, y = batch(0)
        with torch.no_grad():
            logits = model.eval()(x)
            out[f"{section}/eval_logits"], out[f"{section}/eval_loss"] = logits, F.cross_entropy(logits, y)
        model.train()

    def take_steps(section, model, optimizer, zero_conv_bias):
        losses = []
        for step in range(STEPS):
            x, y = batch(step)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            if zero_conv_bias:
                for layer in ("c1", "c2"):
                    model[MODULES[layer]].bias.grad.zero_()
            optimizer.step()
            losses.append(loss.detach())
        out[f"{section}/losses"] = torch.stack(losses)
        for name, x in cnn28_tensors(model):
            out[f"{section}/{name}"] = from_torch(name, x)
        evaluate(section, model)

    model = fresh()
    evaluate("first", model)
    x, y = batch(0)
    logits = model(x)
    loss = F.cross_entropy(logits, y)
    loss.backward()
    out["first/logits"], out["first/loss"] = logits, loss
    for name, x in cnn28_tensors(model):
        if isinstance(x, nn.Parameter):
            out[f"first/grad/{name}"] = from_torch(name, x.grad)
        else:
            out[f"first/{name}"] = from_torch(name, x)
    model = fresh()
    take_steps("steps/adam", model, torch.optim.Adam(model.parameters(), lr=1e-3), True)
    model = fresh()
    take_steps("steps/sgd", model, torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, nesterov=True,
                                                   weight_decay=5e-4), False)
    return out


# ---- comparing and recording


def digest(x):
    """[sum, norm, largest magnitude, every stride-th element]"""
    flat = x.reshape(-1).astype(np.float64)
    stride = 1 if flat.size <= 128 else 7 if flat.size <= 4096 else 97
    head = [flat.sum(), np.sqrt((flat * flat).sum()), np.abs(flat).max()]
    return np.concatenate([head, flat[::stride]]).astype(x.dtype)


def section_of(name):
    return "/".join(name.split("/")[:2 if name.startswith("steps/") else 1])


def compare(dump, reference, tolerance):
    """{section: (elements, worst difference over its limit, where)}"""
    table = {}
    for name in sorted(set(reference) | {n for n in dump if not n.startswith("in/")}):
        if name not in dump or name not in reference or dump[name].shape != reference[name].shape:
            count, excess, where = 0, float("inf"), f"{name} (missing on one side, or of another shape)"
        else:
            want, got = reference[name].astype(np.float64), dump[name].astype(np.float64)
            floor = 1 if name.startswith("steps/") else 1e-2
            limit = tolerance * max(np.abs(want).max(), floor)
            off = np.abs(got - want)
            count, excess = off.size, off.max() / limit
            if not excess <= 1:  # a NaN too
                i = np.unravel_index(np.nanargmax(np.where(np.isnan(off), np.inf, off)), off.shape)
                where = f"{name}{list(i)}: {got[i]:.9g}, PyTorch {want[i]:.9g}"
                excess = float("inf") if np.isnan(excess) else excess
            else:
                where = name
        elements, worst, worst_where = table.get(section_of(name), (0, -1.0, ""))
        if excess > worst:
            worst, worst_where = excess, where
        table[section_of(name)] = elements + count, worst, worst_where
    return table


SUITES = {"cnn28": ("test_torch", cnn28_reference)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/tests", help="the folder with test_torch and test_torch_ops")
    parser.add_argument("--record", action="store_true", help="write tests/fixtures from PyTorch's results")
    args = parser.parse_args()
    passed = failed = 0
    print(f"tarn against PyTorch {torch.__version__}: largest difference over what is allowed")
    print(f"{'':6} {'section':28} {'dtype':5} {'elements':>9} {'ratio':>9}  where")
    for suite, (program, compute) in SUITES.items():
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([os.path.join(args.programs, program), "--dump", folder], check=True)
            dumps = {d: read_safetensors(f"{folder}/{suite}_{d}.safetensors") for d in TOLERANCE}
        for dtype, dump in dumps.items():
            reference = {}
            for name, x in compute(dump).items():
                x = x.detach().numpy() if isinstance(x, torch.Tensor) else x
                reference[name] = np.array(x, DTYPES[dtype.upper()], order="C")
            for section, (elements, worst, where) in compare(dump, reference, TOLERANCE[dtype]).items():
                ok = worst <= 1
                passed, failed = passed + ok, failed + (not ok)
                print(f"{'ok' if ok else 'FAILED':6} {section:28} {dtype:5} {elements:9} {worst:9.2g}  {where}")
            if args.record:
                FIXTURES.mkdir(exist_ok=True)
                write_safetensors(FIXTURES / f"{suite}_{dtype}.safetensors",
                                  {name: digest(x) for name, x in reference.items()})
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
