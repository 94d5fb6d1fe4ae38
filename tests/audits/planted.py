"""Runs with a planted fault.

The runs are real descents on small problems where a fault is one of dynamics (a rate above 2/curvature, a map with an
orbit of period 2, a schedule that ran another way); what does not come from dynamics (a NaN in a batch, a checkpoint
without its optimizer) is put in where it would stand.
"""

import math

import numpy as np

# A valley with curvatures over two decades; the largest is 1, so a rate of 2 is the limit.
CURVATURES = np.geomspace(0.01, 1.0, 12)
LN10 = math.log(10)


def descend(rates, *, seed=0, noise=0.05, floor=0.3, sharpen=None, every=1, push=None, observed=0.01):
    """Noisy gradient descent on the valley: rows with step, loss, lr and norm.

    `sharpen(k)` multiplies the curvature at step k; `push` maps steps to what a batch unlike the others adds to the
    gradient. A run that has gone beyond what single precision holds goes on with NaN, as a trainer's would.
    """
    rng = np.random.default_rng(seed)
    x = np.full(len(CURVATURES), 2.0) * rng.choice([-1, 1], len(CURVATURES))
    rows = []
    for k, rate in enumerate(rates):
        curvature = CURVATURES * (sharpen(k) if sharpen else 1.0)
        with np.errstate(over="ignore", invalid="ignore"):
            loss = floor + float(np.sum(curvature * x * x)) / 2
            gradient = curvature * x + noise * np.sqrt(curvature) * rng.standard_normal(len(x))
            if k in (push or {}):
                gradient = gradient + push[k] * curvature * rng.choice([-1, 1], len(x))
            x = x - rate * gradient
            norm = float(np.linalg.norm(gradient))
        if k % every == 0:
            rows.append({"step": k, "loss": loss + observed * rng.standard_normal(), "lr": float(rate), "norm": norm})
        if not loss < 1e12:
            rest = [
                {"step": j, "loss": math.nan, "lr": float(rates[j]), "norm": math.nan} for j in range(k + 1, len(rates))
            ]
            return rows + rest[:40:every]
    return rows


def cosine(steps, peak, warmup=0, pace=1):
    """A cosine with a linear warm-up, stepped `pace` times per step."""
    rates = []
    for k in range(steps):
        p = min(pace * k, steps)
        rates.append(
            peak * p / warmup if p < warmup else peak * (1 + math.cos(math.pi * (p - warmup) / (steps - warmup))) / 2
        )
    return rates


def good(seed, steps=800):
    return descend(cosine(steps, 0.5, 50), seed=seed)


def above_the_limit(seed, steps=800):
    return descend([2.1] * steps, seed=seed)


def slow_divergence(seed, steps=1000):
    return descend([0.8] * steps, seed=seed, sharpen=lambda k: 1 + 1.7 * k / steps)


def climbs(seed, steps=800):
    return descend(cosine(steps, 3.0, 200), seed=seed)


def jumped(seed, steps=900):
    rates = cosine(450, 1.2, 30) * 2
    return descend(rates[:steps], seed=seed, sharpen=lambda k: 1 + (k > 300) * 1.5)


def bad_batch(seed, steps=800):
    rng = np.random.default_rng(seed)
    return descend(cosine(steps, 0.5, 50), seed=seed, push={int(rng.integers(300, 600)): 4.0})


def bad_numbers(seed, steps=800):
    return _broken(good(seed, steps), seed, 200, 700)


def bad_rows_of_numbers(seed, steps=800):
    rows = good(seed, steps)
    for k in np.random.default_rng(seed).integers(100, 700, 4):
        rows[int(k)]["loss"] = math.nan
    return rows


def gradient_not_finite(seed, steps=800):
    rows = good(seed, steps)
    first = int(np.random.default_rng(seed).integers(200, 700))
    rows[first]["norm"] = math.inf
    for row in rows[first + 1 :]:
        row["loss"] = row["norm"] = math.nan
    return rows


def fp16(seed, steps=800):
    rows = good(seed, steps)
    scale, first = 65536.0, int(np.random.default_rng(seed).integers(200, 500))
    for k, row in enumerate(rows):
        if k > first and k % 6 == 0:
            scale /= 2
        row["scale"] = scale
        if k > first:
            row["norm"] = math.inf if k % 6 == 0 else row["norm"]
    return rows


def oscillation(seed, steps=600, rate=2.3):
    """Gradient descent on exp(x) - x, of curvature 1 at its minimum, at a rate above 2: an orbit of period 2."""
    rng = np.random.default_rng(seed)
    x, y = 0.5, np.full(6, 2.0)
    rows = []
    for k in range(steps):
        loss = math.exp(x) - x - 1 + 0.02 * float(y @ y)
        gradient = math.exp(x) - 1 + 0.01 * rng.standard_normal()
        rows.append({"step": k, "loss": loss, "lr": rate, "norm": abs(gradient)})
        x -= rate * gradient
        y *= 0.99
    return rows


def order_of_the_data(seed, steps=1000, epoch=100):
    rows = good(seed, steps)
    for k, row in enumerate(rows):
        row["loss"] += 0.25 * (k % epoch) / epoch
        row["epoch"] = k / epoch
    return rows


def best_constant(seed, steps=500):
    rng = np.random.default_rng(seed)
    return [
        {"step": k, "loss": LN10 + 0.004 * rng.standard_normal(), "lr": 0.1, "norm": 0.3 + 0.05 * rng.random()}
        for k in range(steps)
    ]


def rate_of_zero(seed, steps=300):
    return descend([0.0] * steps, seed=seed)


def too_small(seed, steps=600):
    return descend([2e-4] * steps, seed=seed, observed=0.002)


def much_too_small(seed, steps=600):
    return descend([1e-9] * steps, seed=seed, observed=0.02)


def no_gradient(seed, steps=600):
    rows = good(seed, steps)
    first = int(np.random.default_rng(seed).integers(60, 200))
    for row in rows[first:]:
        row["loss"], row["norm"] = LN10, 0.0
    return rows


def resume_lost_state(seed, steps=1000):
    rows = good(seed, steps)
    again = [dict(row) for row in rows[560:]]
    for i, row in enumerate(again):
        row["loss"] += 0.9 * math.exp(-i / 120)
    return rows[:600] + again


def overfitting(seed, steps=1000):
    return _held_out(good(seed, steps))


def annealed_early(seed, steps=1000):
    return descend(cosine(steps, 0.5, 20, pace=4), seed=seed)


def bad_rows(seed, steps=1000, epoch=100):
    at = int(np.random.default_rng(seed).integers(10, 90))
    rows = descend(cosine(steps, 0.5, 50), seed=seed, push={at + i * epoch: 3.0 for i in range(1, 10)})
    for k, row in enumerate(rows):
        row["epoch"] = k / epoch
    return rows


def recurring_spikes(seed, steps=1000):
    rng = np.random.default_rng(seed)
    return descend(
        [0.5] * steps, seed=seed, push={int(k): 3.0 for k in rng.choice(np.arange(150, 950), 7, replace=False)}
    )


def no_minimum(seed, steps=500):
    rng = np.random.default_rng(seed)
    return [
        {"step": k, "loss": 1.0 - 1e-3 * 1.02**k + 0.01 * rng.standard_normal(), "lr": 0.01, "norm": 0.05 * 1.01**k}
        for k in range(steps)
    ]


def rises_at_the_start(seed, steps=800):
    """A rate above the limit for the first 60 steps, until it has come down."""
    rates = [2.12 if k < 60 else 0.4 for k in range(steps)]
    return descend(rates, seed=seed, noise=0.02)


def collapse(seed, steps=800):
    rows = good(seed, steps)
    rng = np.random.default_rng(seed)
    first = int(rng.integers(300, 500))
    for row in rows[first:]:
        row["loss"], row["norm"] = LN10 + 0.005 * rng.standard_normal(), 0.02 * rng.random()
    return rows


# What was planted: how, the causes that are right (any of a tuple's words), the verdicts that are right, and the plan.
PLANTED = {
    "good": (good, [], ("good",), None),
    "rate above the limit": (above_the_limit, ["rate above the limit"], ("diverging",), None),
    "slow divergence": (slow_divergence, ["rate above the limit"], ("diverging",), None),
    "warm-up climbs": (climbs, ["warm-up climbs above the limit"], ("diverging",), None),
    "rate jumped": (jumped, ["rate jumped"], ("diverging",), None),
    "bad batch": (bad_batch, ["bad batch"], ("good",), None),
    "bad numbers": (bad_numbers, ["bad numbers"], ("diverging",), None),
    "bad rows of numbers": (bad_rows_of_numbers, ["bad numbers"], ("good",), None),
    "gradient not finite": (gradient_not_finite, ["gradient not finite"], ("diverging",), None),
    "fp16 overflow": (fp16, ["fp16 overflow"], ("good", "diverging"), None),
    "oscillation": (oscillation, ["rate at the limit"], ("oscillating",), None),
    "order of the data": (order_of_the_data, ["order of the data"], ("oscillating", "good"), None),
    "best constant": (best_constant, ["best constant"], ("cannot tell",), None),
    "rate is 0": (rate_of_zero, ["rate is 0"], ("too small",), None),
    "too small": (too_small, ["rate too small"], ("too small",), None),
    "much too small": (much_too_small, ["rate too small"], ("too small",), None),
    "no gradient": (no_gradient, ["no gradient"], ("diverging", "cannot tell"), None),
    "resume lost state": (resume_lost_state, ["resume lost state"], ("good", "diverging"), None),
    "overfitting": (overfitting, ["overfitting"], ("good",), None),
    "annealed early": (annealed_early, ["annealed early"], ("good",), None),
    "bad rows": (bad_rows, ["bad rows in the data"], ("good", "oscillating"), None),
    "recurring spikes": (recurring_spikes, ["recurring spikes"], ("good",), None),
    "no minimum": (no_minimum, ["no minimum"], ("diverging",), None),
    "rises at the start": (rises_at_the_start, ["warm-up too short"], ("good",), None),
    "collapse": (collapse, ["collapse"], ("diverging",), None),
    "stepped too often": (
        annealed_early, ["schedule: stepped too often"], ("good",), "cosine:0.5,total=1000,warmup=20",
    ),
    # two at once
    "schedule and bad numbers": (
        lambda seed: _broken(annealed_early(seed), seed),
        ["schedule: stepped too often", "bad numbers"], ("diverging",), "cosine:0.5,total=1000,warmup=20",
    ),
    "schedule and divergence": (
        jumped, ["schedule: restarted", "rate jumped"], ("diverging",), "cosine:1.2,total=450,warmup=30",
    ),
    "overfitting and annealed early": (
        lambda seed: _held_out(annealed_early(seed)), ["overfitting", "annealed early"], ("good",), None,
    ),
    "bad batch and overfitting": (
        lambda seed: _held_out(bad_batch(seed)), ["bad batch", "overfitting"], ("good",), None,
    ),
    "fp16 and too small": (
        lambda seed: _scaled(too_small(seed)), ["fp16 overflow", "rate too small"], ("too small",), None,
    ),
    "bad numbers and annealed early": (
        lambda seed: _broken(annealed_early(seed), seed), ["bad numbers", "annealed early"], ("diverging",), None,
    ),
}  # fmt: skip


def _broken(rows, seed, low=600, high=900):
    """Not finite from a row between two on."""
    first = int(np.random.default_rng(seed).integers(low, high))
    for row in rows[first:]:
        row["loss"] = row["norm"] = math.nan
    return rows


def _held_out(rows):
    """With a held-out loss that rises from two fifths of the run on."""
    n = len(rows)
    for k, row in enumerate(rows):
        if k % 50 == 0:
            row["val"] = row["loss"] + 0.1 + 0.6 * max(k - 0.4 * n, 0) / (0.6 * n)
    return rows


def _scaled(rows):
    for k, row in enumerate(rows):
        row["scale"] = 65536.0 / 2 ** (max(k - 200, 0) // 20)
    return rows
