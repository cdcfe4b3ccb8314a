"""The cases of test_torch_optim.c in PyTorch, for torch_reference.py."""
import torch
import torch.nn.functional as F

SCHEDULERS = torch.optim.lr_scheduler
STEPS = 50


def one_cycle(**opts):
    return lambda optimizer: SCHEDULERS.OneCycleLR(optimizer, 0.5, total_steps=STEPS, cycle_momentum=False, **opts)


SCHEDULES = {
    "inverse_sqrt": lambda optimizer: SCHEDULERS.LambdaLR(optimizer, lambda step: 0.3 / (step + 1)**0.5),
    "inverse": lambda optimizer: SCHEDULERS.LambdaLR(optimizer, lambda step: 0.3 / (1 + 0.07 * step)),
    "one_cycle": one_cycle(),
    "one_cycle_opts": one_cycle(div_factor=4, final_div_factor=10, pct_start=0.45),
    "one_cycle_rising": one_cycle(pct_start=0.99),
    "one_cycle_falling": one_cycle(pct_start=0.01),
}
PLATEAUS = {
    "plateau": {},
    "plateau_absolute": {"threshold_mode": "abs", "threshold": 0.05, "factor": 0.7, "patience": 3},
    "plateau_relative": {"threshold": 0.1, "factor": 0.8, "patience": 5, "cooldown": 4},
    "plateau_maximize": {"mode": "max", "threshold": 0.02, "factor": 0.9, "patience": 4, "cooldown": 7},
    "plateau_both": {"mode": "max", "threshold_mode": "abs", "threshold": 0.01, "factor": 0.6, "patience": 20},
    "plateau_impatient": {"threshold": 1e-300, "factor": 0.95, "patience": 0, "cooldown": 1},
    "plateau_floor": {"factor": 0.5, "patience": 2, "min_lr": 0.03},
    "plateau_eps": {"factor": 0.5, "patience": 6, "eps": 0.1},
}


def rate_of(optimizer):
    return optimizer.param_groups[0]["lr"]


def sgd():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1)


def schedule_reference(new):
    optimizer, rates = sgd(), []
    scheduler = new(optimizer)
    for _ in range(STEPS):
        rates.append(rate_of(optimizer))
        optimizer.step()
        scheduler.step()
    return torch.tensor(rates, dtype=torch.float64)


def plateau_reference(metrics, opts):
    optimizer, rates = sgd(), []
    scheduler = SCHEDULERS.ReduceLROnPlateau(optimizer, **opts)
    for metric in metrics:
        scheduler.step(float(metric))
        rates.append(rate_of(optimizer))
    return torch.tensor(rates, dtype=torch.float64)


ADAGRAD, RMSPROP = torch.optim.Adagrad, torch.optim.RMSprop


class AdagradMean(torch.optim.Optimizer):
    """With the root of the mean square, which PyTorch lacks."""

    def __init__(self, weights, lr):
        super().__init__(weights, {"lr": lr})
        self.squares = [[] for _ in weights]

    @torch.no_grad()
    def step(self):
        for w, squares in zip(self.param_groups[0]["params"], self.squares):
            squares.append(w.grad**2)
            w -= self.param_groups[0]["lr"] / torch.stack(squares).mean(0).sqrt() * w.grad


RADAM = torch.optim.RAdam


def nadam(weights, **opts):
    """In 1.13 only the foreach loop has the paper's product of momenta (the other has a factor too many, mended in
    2.0); it keeps it in the default dtype, which here is f64."""
    return torch.optim.NAdam(weights, foreach=True, **opts)


OPTIMISERS = {
    "adagrad": (ADAGRAD, {}),
    "adagrad_lr_decay": (ADAGRAD, {"lr": 0.3, "lr_decay": 0.05}),
    "adagrad_start": (ADAGRAD, {"lr": 0.2, "initial_accumulator_value": 0.1, "eps": 1e-3}),
    "adagrad_opts": (ADAGRAD, {"lr": 0.3, "lr_decay": 0.01, "weight_decay": 0.05, "initial_accumulator_value": 0.02}),
    "adagrad_mean": (AdagradMean, {"lr": 0.02}),
    "rmsprop": (RMSPROP, {}),
    "rmsprop_decay": (RMSPROP, {"lr": 0.02, "alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    "rmsprop_momentum": (RMSPROP, {"lr": 0.01, "momentum": 0.8}),
    "rmsprop_centered": (RMSPROP, {"lr": 0.01, "alpha": 0.95, "centered": True}),
    "rmsprop_opts": (RMSPROP, {"lr": 0.01, "alpha": 0.9, "eps": 1e-4, "weight_decay": 0.05, "momentum": 0.6,
                               "centered": True}),
    "radam": (RADAM, {}),
    "radam_opts": (RADAM, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    "radam_short": (RADAM, {"lr": 0.02, "betas": (0.9, 0.5)}),
    "nadam": (nadam, {}),
    "nadam_opts": (nadam, {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-4, "weight_decay": 0.1}),
    "nadam_momentum": (nadam, {"lr": 0.02, "momentum_decay": 0.3}),
}


def optimiser_reference(dump, name, new, opts):
    """As compute_optim in test_torch_optim.c."""
    x, y, w, b = (torch.from_numpy(dump[f"in/{key}"].copy()) for key in "xywb")
    weights = [w.requires_grad_(), b.requires_grad_()]
    optimizer = new(weights, **opts)
    for begin in range(0, len(x), 4):
        optimizer.zero_grad()
        F.mse_loss(torch.tanh(x[begin:begin + 4] @ w + b), y[begin:begin + 4]).backward()
        optimizer.step()
    return {f"steps/{name}/w": w, f"steps/{name}/b": b}


def optim_reference(dump):
    out = {f"{name}/lr": schedule_reference(new) for name, new in SCHEDULES.items()}
    for name, opts in PLATEAUS.items():
        out[f"{name}/lr"] = plateau_reference(dump["in/metric"], opts)
        if opts.get("threshold_mode") == "abs":
            out[f"{name}/lr_signed"] = plateau_reference(dump["in/signed"], opts)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    for name, (new, opts) in OPTIMISERS.items():
        out.update(optimiser_reference(dump, name, new, opts))
    torch.set_default_dtype(before)
    return out
