"""A small noisy training run for the guard's tests, with a place to break it."""

import copy

import torch
from torch import nn
from torch.nn import functional

STEPS, BATCH, CLASSES = 600, 32, 4


def data():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(512, 8, generator=g)
    w = torch.randn(8, CLASSES, generator=g)
    y = (x @ w + 0.5 * torch.randn(512, CLASSES, generator=g)).argmax(1)
    return x, y


X, Y = data()
CONSTANT = float(-(p := torch.bincount(Y) / len(Y)).mul(p.log()).sum())


def network(seed=0, **options):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, CLASSES))


def batches(steps=STEPS, seed=0):
    g = torch.Generator().manual_seed(1000 + seed)
    for _ in range(steps):
        i = torch.randint(len(X), (BATCH,), generator=g)
        yield X[i], Y[i]


def final(model):
    with torch.no_grad():
        return float(functional.cross_entropy(model(X), Y))


def adamw(model, rate=3e-3):
    return torch.optim.AdamW(model.parameters(), lr=rate)


def sgd(model, rate=0.1):
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)


def cosine(optimizer, steps=STEPS):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)


def plain(model, optimizer, steps=STEPS, scheduler=None):
    for x, y in batches(steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def guarded(guard, steps=STEPS, scheduler=None, before=None, corrupt=None):
    """`before(k)` may break something; `corrupt(k, x)` changes a batch."""
    model = guard.model
    for k, (x, y) in enumerate(batches(steps)):
        if before is not None:
            before(k)
        if corrupt is not None:
            x = corrupt(k, x)
        guard.step(lambda x=x, y=y: functional.cross_entropy(model(x), y))
        if scheduler is not None:
            scheduler.step()


def everything(model, optimizer, *others):
    """A deep copy of all state, to compare bit for bit."""
    return copy.deepcopy([model.state_dict(), optimizer.state_dict(), *(other.state_dict() for other in others)])


def same(a, b):
    if isinstance(a, torch.Tensor):
        alike = isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape
        return alike and bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(p, q) for p, q in zip(a, b, strict=True))
    return a == b or (a != a and b != b)


class AveragedSGD(torch.optim.Optimizer):
    """Schedule-free SGD in a few lines: numbers in the groups, a second iterate in the state, two modes."""

    def __init__(self, params, lr=0.1, beta=0.9):
        super().__init__(params, {"lr": lr, "beta": beta, "k": 0, "weight_sum": 0.0, "train_mode": True})

    @torch.no_grad()
    def _switch(self, train):
        for group in self.param_groups:
            if group["train_mode"] != train:
                for p in group["params"]:
                    if "z" in self.state[p]:
                        p.lerp_(self.state[p]["z"], 1 - group["beta"] if train else 1 - 1 / group["beta"])
                group["train_mode"] = train

    def train(self):
        self._switch(True)

    def eval(self):
        self._switch(False)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            group["k"] += 1
            group["weight_sum"] += group["lr"] ** 2
            share = group["lr"] ** 2 / group["weight_sum"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                z = self.state[p].setdefault("z", p.clone())
                x = p.lerp(z, 1 - 1 / group["beta"])
                z.sub_(p.grad, alpha=group["lr"])
                p.copy_(x.lerp(z, share).lerp(z, 1 - group["beta"]))
