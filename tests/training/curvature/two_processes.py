"""What each of two processes runs under DistributedDataParallel; see test_distributed."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import surefoot as sf
from surefoot.errors import SurefootError
from surefoot.training import fisher, gauss_newton, hessian, optimizer_limits, supervised

loss = supervised(functional.cross_entropy)
SPLIT = 9, 4  # unequal parts


def problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3)).double()
    return model, torch.randn(13, 5).double(), torch.randint(3, (13,))


def measured(model, batch, split):
    """Everything that must agree, as plain numbers."""
    H = hessian(model, loss, batch)
    v = np.random.default_rng(0).standard_normal(H.shape[0])
    inner = getattr(model, "module", model)
    found = sf.spectrum(H)
    adam = torch.optim.Adam(inner.parameters(), lr=0.1)
    for p in inner.parameters():  # an optimizer state, the same everywhere
        adam.state[p] = {"step": torch.tensor(5.0), "exp_avg": p * 0, "exp_avg_sq": p.detach() ** 2 + 1e-3}
    return {
        "product": (H @ v).tolist(),
        "rebuilt": (hessian(model, loss, batch, max_memory=0) @ v).tolist(),
        "gauss_newton": (gauss_newton(model, loss, batch) @ v).tolist(),
        "fisher": (fisher(model, loss, batch) @ v).tolist(),
        "block": (H.restricted(["3"]) @ v[:27]).tolist(),
        "gradient": H.gradient().tolist(),
        "value": H.value,
        "spectrum": [found.largest.lower, found.largest.upper, found.smallest.lower, found.smallest.upper],
        "products": found.products,
        "names": list(H.names),
        "limit": optimizer_limits(H, adam).curvature_limit,
        "probed": optimizer_limits(H, torch.optim.AdamW(inner.parameters(), lr=0.1)).curvature_limit if split else 0.0,
    }


def failing_midway(ddp, batch, rank):
    """What each process is told where one's loss raises in the middle of a measurement."""
    broken = []

    def fragile(model, batch):
        if broken and rank == 1:
            raise RuntimeError("out of memory, on this process only")
        return loss(model, batch)

    H = hessian(ddp, fragile, batch, max_memory=0, check=False)
    v = np.ones(H.shape[0])
    H @ v
    broken.append(True)
    told = {}
    for name, measure in {
        "midway product": lambda: H @ v,
        "midway spectrum": lambda: sf.spectrum(H),
        "midway gradient": H.gradient,
        "midway gradients": lambda: list(H.batch_gradients()),
        "midway restricted": lambda: H.restricted(["3"]) @ v[:27],
    }.items():
        try:
            measure()
            told[name] = "none"
        except Exception as error:
            told[name] = str(error)
    broken.clear()
    told["fixed"] = (H @ v).tolist()
    return told


def run(rank):
    """What one of them found."""
    model, x, y = problem()
    parts = list(zip(x.split(SPLIT), y.split(SPLIT), strict=True))
    ddp = nn.parallel.DistributedDataParallel(model)
    record = measured(ddp, parts[rank], split=True)
    try:  # data that only one process cannot use
        hessian(ddp, loss, parts[rank] if rank == 0 else [])
        record["error"] = "none"
    except SurefootError as error:
        record["error"] = str(error)
    record |= failing_midway(ddp, parts[rank], rank)
    record["uneven"] = [
        sum(float(g.sum()) for g in gradients)
        for gradients in hessian(ddp, loss, [parts[rank]] * (1 + rank)).batch_gradients()
    ]
    # and all is well afterwards
    record["after"] = (hessian(ddp, loss, parts[rank]) @ np.ones(len(record["gradient"]))).tolist()
    return record
