"""Schedules written out once more, independently of the package, and torch's own."""

import math

import pytest

RATE, TOTAL, WARM = 3e-4, 1000, 100
PLAN = f"cosine:{RATE},total={TOTAL},warmup={WARM}"
BARE = f"cosine:{RATE},total={TOTAL}"


def cosine(k, total=TOTAL, warmup=WARM, rate=RATE):
    """The schedule of transformers' get_cosine_schedule_with_warmup."""
    if k < warmup:
        return rate * k / warmup
    return rate * 0.5 * (1 + math.cos(math.pi * (k - warmup) / (total - warmup)))


def held(k, **settings):
    """The same, 0 after its end."""
    return cosine(min(k, settings.get("total", TOTAL)), **settings)


def run(rate_at, steps=TOTAL):
    """The rates of a run, from the rate of each step."""
    return [rate_at(k) for k in range(steps)]


def torch_rates(rate, make, steps, each=1):
    """The rates that a torch scheduler gives, stepped so many times per optimizer step."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = make(optimizer, torch.optim.lr_scheduler)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        for _ in range(each):
            scheduler.step()
    return rates
