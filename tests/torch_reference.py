#!/usr/bin/env python3
"""Compare tarn with PyTorch on the CPU: the same inputs, every element of every result.

usage: tests/torch_reference.py [--programs build/tests] [--record]

Runs test_torch, test_torch_ops and the other test_torch_* with --dump, reads their inputs and results, computes
the results again in PyTorch from the inputs, and prints a table of how far apart they are. Exits with 1 if any element is further
off than 1e-10 (f64) or 1e-4 (f32) of its tensor's largest; tests/torch_fixture.h tells the rule in full.
tarn's f32 is compared with PyTorch's f32, and with PyTorch's f64 from the same f32 inputs ("f32 : f64").
The last lines are like cmocka's, for tests/run.
--record also writes a digest of PyTorch's results, computed in f64, to tests/fixtures, for the programs
to check themselves against where there is no PyTorch. Needs: apt-get install python3-torch (1.13 or newer);
without it, says so and exits with 0.
"""
import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import types

SYSTEM_PYTHON = "/usr/bin/python3"  # where Debian's python3-torch lives
try:
    import numpy as np
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    from torch.nn.utils.spectral_norm import SpectralNorm
except ImportError:
    if os.path.exists(SYSTEM_PYTHON) and "TARN_TORCH_TRIED" not in os.environ:
        os.environ["TARN_TORCH_TRIED"] = "1"
        os.execv(SYSTEM_PYTHON, [SYSTEM_PYTHON] + sys.argv)
    print("skipped: python3-torch is not installed")
    print("[  SKIPPED ] 1 test(s), listed below:\n[  SKIPPED ] pytorch")
    sys.exit(0)

sys.dont_write_bytecode = True  # nothing new among the sources
from torch_optim_reference import optim_reference  # needs torch

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


# ---- single ops, in tarn's layouts


def images(f):
    """f of [N,C,H,W] as a function of [N,H,W,C]."""
    return lambda x: f(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def conv2d(**opts):
    return lambda x, w: images(lambda y: F.conv2d(y, w.permute(3, 2, 0, 1), **opts))(x)


def batchnorm(training=True, **opts):
    def f(x, gamma, beta, mean, var, batches):
        module = nn.BatchNorm1d(x.shape[-1], **opts).to(x.dtype).train(training)
        module.running_mean, module.running_var, module.num_batches_tracked = mean, var, batches
        weights = {"weight": gamma, "bias": beta}
        flat = x.reshape(-1, x.shape[-1])
        y = torch.nn.utils.stateless.functional_call(module, weights, (flat,)).reshape(x.shape)
        batches.copy_(module.num_batches_tracked)
        return y
    return f


OPS = {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "elu": lambda x: F.elu(x, 0.7),
    "gelu": F.gelu,
    "silu": F.silu,
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "erf": torch.erf,
    "clamp": lambda x: torch.clamp(x, -1, 0.5),
    "softmax": lambda x: F.softmax(x, -1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "logsumexp": lambda x: torch.logsumexp(x, -1),
    "pow": torch.pow,
    "div": torch.div,
    "var": lambda x: torch.var(x, (0, 2), unbiased=True),
    "max": lambda x: torch.amax(x, 1),
    "matmul": torch.matmul,
    "embedding": lambda table, index: F.embedding(index, table),
    "conv2d": conv2d(padding=1),
    "conv2d_stride": conv2d(stride=2, padding=1),
    "conv2d_dilation": conv2d(padding=2, dilation=2),
    "conv2d_groups": conv2d(stride=2, padding=1, groups=2),
    "conv2d_depthwise": conv2d(padding=1, groups=4),
    "conv2d_point": conv2d(),
    "conv2d_oblong": conv2d(stride=3, padding=2),
    "max_pool": images(lambda x: F.max_pool2d(x, 2)),
    "max_pool_padding": images(lambda x: F.max_pool2d(x, 3, 2, 1)),
    "avg_pool": images(lambda x: F.avg_pool2d(x, 2)),
    "avg_pool_padding": images(lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)),
    "global_avg_pool": lambda x: F.adaptive_avg_pool2d(x.permute(0, 3, 1, 2), 1).flatten(1),
    "global_max_pool": lambda x: F.adaptive_max_pool2d(x.permute(0, 3, 1, 2), 1).flatten(1),
    "cross_entropy": F.cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "mse": F.mse_loss,
    "batchnorm_rows": batchnorm(),
    "batchnorm_images": batchnorm(),
    "batchnorm_composed": batchnorm(),
    "batchnorm_opts": batchnorm(eps=1e-2, momentum=0.3),
    "batchnorm_cumulative": batchnorm(momentum=None),
    "batchnorm_evaluation": batchnorm(training=False),
}
LABELLED = ("embedding", "cross_entropy")  # input 1 is labels
STATES = (3, 4, 5)  # inputs that the op changes


def derivative(y, inputs, cotangent=None):
    """Gradients that can be differentiated again; zeros where y does not depend on an input."""
    if not y.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    got = torch.autograd.grad(y, inputs, cotangent, create_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, got)]


def op_reference(dump, name, f, states=STATES):
    """As compute_case in test_torch_ops.c. states: the inputs that f changes."""
    inputs, real, out = [], [], {}
    while f"in/{name}/{len(inputs)}" in dump:
        i = len(inputs)
        x = torch.from_numpy(dump[f"in/{name}/{i}"].copy())
        if i == 1 and name in LABELLED:
            x = x.long()
        elif i not in states:
            real.append(x.requires_grad_())
        inputs.append(x)
    y = f(*inputs)
    c = torch.from_numpy(dump[f"in/{name}/c0"].copy()).requires_grad_()
    d = derivative(y, real, c)
    second = sum((g * torch.from_numpy(dump[f"in/{name}/v{j}"].copy())).sum() for j, g in enumerate(d))
    dd = derivative(second, real + [c])
    out[f"{name}/y"] = y
    out.update({f"{name}/d{j}": g for j, g in enumerate(d)})
    out.update({f"{name}/dd{j}": g for j, g in enumerate(dd)})
    out.update({f"{name}/state{i}": x for i, x in enumerate(inputs) if i in states})
    return out


# ---- normalizations


def channels_first(f):
    """f of [N,C,...] as a function of [N,...,C]."""
    return lambda x, *rest: f(x.movedim(-1, 1), *rest).movedim(1, -1)


def rmsnorm(x, gamma, eps=1e-5):  # torch 1.13 has none: 1910.07467, equation 4
    return x / torch.sqrt(torch.mean(x * x, -1, keepdim=True) + eps) * gamma


def weightnorm(v, g):
    """torch.nn.utils.weight_norm's w. The second derivatives of its own function, which 1.13's gradgradcheck refutes,
    are not used."""
    v, g = v.movedim(-1, 0), g.reshape(-1, *[1] * (v.dim() - 1))
    w = v * (g / torch.norm_except_dim(v, 2, 0))
    assert torch.allclose(w, torch._weight_norm(v, g, 0))
    return w.movedim(0, -1)


def spectralnorm(steps=1, training=True):
    """Its u and v are tarn's with the output's axis put first, whatever the order of the others."""
    def f(w, u, v):
        module = types.SimpleNamespace(weight_orig=w.movedim(-1, 0), weight_u=u, weight_v=v)
        return SpectralNorm(n_power_iterations=steps).compute_weight(module, training).movedim(0, -1)
    return f


NORMS = {
    "layernorm": lambda x, gamma, beta: F.layer_norm(x, x.shape[-1:], gamma, beta),
    "layernorm_eps": lambda x, gamma, beta: F.layer_norm(x, x.shape[-1:], gamma, beta, 1e-2),
    "layernorm_plain": lambda x: F.layer_norm(x, x.shape[-1:]),
    "rmsnorm": rmsnorm,
    "groupnorm": channels_first(lambda x, gamma, beta: F.group_norm(x, 3, gamma, beta)),
    "groupnorm_rows": channels_first(lambda x, gamma, beta: F.group_norm(x, 2, gamma, beta, 1e-2)),
    "instancenorm": channels_first(lambda x, gamma, beta: F.instance_norm(x, weight=gamma, bias=beta)),
    "instancenorm_plain": channels_first(lambda x: F.instance_norm(x)),
    "weightnorm_linear": weightnorm,
    "weightnorm_conv2d": weightnorm,
    "spectralnorm_linear": spectralnorm(),
    "spectralnorm_conv2d": spectralnorm(),
    "spectralnorm_steps": spectralnorm(steps=4),
    "spectralnorm_evaluation": spectralnorm(training=False),
}
NORM_STATES = {name: (1, 2) for name in NORMS if name.startswith("spectralnorm")}  # inputs that it changes


def norms_reference(dump):
    out = {}
    for name, f in NORMS.items():
        out.update(op_reference(dump, name, f, NORM_STATES.get(name, ())))
    return out


# ---- optimisers

SGD, ADAM, ADAMW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
OPTIMISERS = {
    "sgd": (SGD, {"lr": 0.1}),
    "sgd_decay": (SGD, {"lr": 0.1, "weight_decay": 0.05}),
    "sgd_momentum": (SGD, {"lr": 0.05, "momentum": 0.9}),
    "sgd_dampening": (SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}),
    "sgd_nesterov": (SGD, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    "sgd_clipped": (SGD, {"lr": 0.5, "momentum": 0.5}),
    "adam": (ADAM, {}),
    "adam_opts": (ADAM, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    "adamw": (ADAMW, {"lr": 0.01}),
    "adamw_opts": (ADAMW, {"lr": 0.02, "betas": (0.9, 0.99), "weight_decay": 0.2}),
}
MAX_NORM = {"sgd_clipped": 0.25}


def optimiser_reference(dump, name, new, opts):
    """As compute_optim in test_torch_ops.c."""
    x, y, w, b = (torch.from_numpy(dump[f"in/steps/{key}"].copy()) for key in "xywb")
    weights, norms = [w.requires_grad_(), b.requires_grad_()], []
    optimizer = new(weights, **opts)
    for begin in range(0, len(x), 4):
        optimizer.zero_grad()
        F.mse_loss(torch.tanh(x[begin:begin + 4] @ w + b), y[begin:begin + 4]).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(weights, MAX_NORM.get(name, float("inf"))))
        optimizer.step()
    return {f"steps/{name}/norms": torch.stack(norms), f"steps/{name}/w": w, f"steps/{name}/b": b}


def ops_reference(dump):
    out = {}
    for name, f in OPS.items():
        out.update(op_reference(dump, name, f))
    for name, (new, opts) in OPTIMISERS.items():
        out.update(optimiser_reference(dump, name, new, opts))
    return out


# ---- comparing and recording


def digest(x):
    """[sum, norm, largest magnitude, every stride-th element]"""
    flat = x.reshape(-1).astype(np.float64)
    stride = 1 if flat.size <= 128 else 7 if flat.size <= 4096 else 97
    head = [flat.sum(), np.sqrt((flat * flat).sum()), np.abs(flat).max()]
    return np.concatenate([head, flat[::stride]]).astype(x.dtype)


def allowed(name, want, tolerance):
    floor = 1 if name.startswith("steps/") else 1e-2
    return tolerance * max(np.abs(want).max(), floor)


def compare(dump, reference, tolerance):
    """{section: [elements, worst difference over what is allowed, where]}"""
    table = {}
    for name in sorted(set(reference) | {n for n in dump if not n.startswith("in/")}):
        section = "/".join(name.split("/")[:2 if name.startswith("steps/") else 1])
        row = table.setdefault(section, [0, -1.0, ""])
        if name not in dump or name not in reference or dump[name].shape != reference[name].shape:
            row[1:] = float("inf"), f"{name}: missing on one side, or of another shape"
            continue
        want, got = reference[name].astype(np.float64), dump[name].astype(np.float64)
        off = np.abs(got - want) / allowed(name, want, tolerance)
        off = np.where(np.isnan(off), np.inf, off)
        row[0] += off.size
        if off.max() > row[1]:
            i = np.unravel_index(off.argmax(), off.shape)
            row[1:] = off.max(), f"{name}{[int(k) for k in i]}: {got[i]:.12g}, PyTorch {want[i]:.12g}"
    return table


def as_arrays(results, dtype):
    results = {n: x.detach().numpy() if isinstance(x, torch.Tensor) else x for n, x in results.items()}
    return {n: np.array(x, DTYPES[dtype], order="C") for n, x in results.items()}


def widened(dump):
    return {name: x.astype(np.float64) for name, x in dump.items()}


def record(suite, dtype, reference):
    FIXTURES.mkdir(exist_ok=True)
    write_safetensors(FIXTURES / f"{suite}_{dtype}.safetensors", {n: digest(x) for n, x in reference.items()})


def conditioning(dump, reference, compute):
    """How far a relative change of 1e-6 in the inputs moves the results, over what is allowed in f32."""
    random, moved = np.random.default_rng(1), {}
    for name, x in widened(dump).items():
        whole = x == np.round(x)  # labels and counts stay
        moved[name] = np.where(whole, x, x * (1 + 1e-6 * random.standard_normal(x.shape)))
    return max(row[1] for row in compare(as_arrays(compute(moved), "F64"), reference, TOLERANCE["f32"]).values())


SUITES = {"cnn28": ("test_torch", cnn28_reference), "torch_ops": ("test_torch_ops", ops_reference),
          "torch_norms": ("test_torch_norms", norms_reference), "torch_optim": ("test_torch_optim", optim_reference)}


def check(suite, programs, recording):
    """Prints a table; returns how many sections there are, and those that disagree."""
    program, compute = SUITES[suite]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([os.path.join(programs, program), "--dump", folder], check=True)
        f64, f32 = (read_safetensors(f"{folder}/{suite}_{d}.safetensors") for d in ("f64", "f32"))
    references = [as_arrays(compute(f64), "F64"), as_arrays(compute(f32), "F32"),
                  as_arrays(compute(widened(f32)), "F64")]
    tables = [compare(f64, references[0], TOLERANCE["f64"]), compare(f32, references[1], TOLERANCE["f32"]),
              compare(f32, references[2], TOLERANCE["f32"])]
    failed = []
    for section in tables[0]:
        rows = [table[section] for table in tables]
        bad = [row[2] for row in rows if not row[1] <= 1]
        failed += [f"{suite}: {section}"] if bad else []
        print(f"{'FAILED' if bad else 'ok':6} {section:22} {rows[0][0]:9}" + "".join(f"{r[1]:10.2g}" for r in rows))
        for where in bad:
            print(f"       {where}")
    if recording:
        record(suite, "f64", references[0])
        record(suite, "f32", as_arrays(references[2], "F32"))
        print(f"recorded {suite}; 1e-6 more or less in the inputs moves PyTorch's results by "
              f"{conditioning(f32, references[2], compute):.2g} of what f32 may be off")
    return len(tables[0]), failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", default="build/tests", help="the folder with test_torch and its like")
    parser.add_argument("--record", action="store_true", help="write tests/fixtures from PyTorch's results")
    args = parser.parse_args()
    print(f"tarn against PyTorch {torch.__version__}: largest difference over what is allowed")
    print(f"{'':6} {'section':22} {'elements':>9}{'f64':>10}{'f32':>10}{'f32 : f64':>10}")
    count, failed = 0, []
    for suite in SUITES:
        n, bad = check(suite, args.programs, args.record)
        count, failed = count + n, failed + bad
    print(f"[  PASSED  ] {count - len(failed)} test(s).")
    if failed:
        print(f"[  FAILED  ] {len(failed)} test(s), listed below:")
        print("\n".join(f"[  FAILED  ] {name}" for name in failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
