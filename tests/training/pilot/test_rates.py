"""Clipped steps, effective rates and the best step with decoupled decay, against runs of torch.optim."""

import json
import math

import numpy as np
import pytest
import torch
from torch import nn, optim
from torch.nn import functional
from training.optimizers.test_optimizers import ADAM, FROZEN, preset, quadratic

from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import EMAMomentum, GradientDescent, HeavyBall, Nesterov
from surefoot.stability import ClippedLimits
from surefoot.training import effective_rate, equivalent_rate, hessian, optimizer_limits, supervised
from surefoot.training.optimizers._weight_decay import amplification_with_decay, best_step_with_decay

mse = supervised(functional.mse_loss)


def parabola(a=4.0):
    """f(x) = a x^2/2."""
    model = nn.Linear(1, 1, bias=False).double()
    return model, (torch.full((1, 1), math.sqrt(a / 2)).double(), torch.zeros(1, 1).double())


def clipped_run(model, batch, optimizer, cap, start, steps=400):
    (x,) = model.parameters()
    with torch.no_grad():
        x.fill_(start)
    seen = []
    for _ in range(steps):
        optimizer.zero_grad()
        mse(model, batch).backward()
        nn.utils.clip_grad_norm_(model.parameters(), cap)
        optimizer.step()
        seen.append(x.item())
    return np.array(seen)


# --- a cap on the gradient


@pytest.mark.parametrize(("rate", "start"), [(0.55, 0.01), (0.8, 0.003), (3.0, 0.2), (0.8, 1.1)])
def test_divergence_becomes_the_predicted_oscillation(rate, start):
    model, batch = parabola()
    optimizer = optim.SGD(model.parameters(), lr=rate)
    limit = optimizer_limits(hessian(model, mse, batch), optimizer, clip=2.0)
    assert limit.curvature_limit == pytest.approx(0.5)
    predicted = limit.oscillation(rate)
    tail = clipped_run(model, batch, optimizer, 2.0, start)[-2:]
    # torch divides by the norm + 1e-6, so its cap is a little below C
    assert np.ptp(tail) == pytest.approx(predicted.peak_to_peak, rel=1e-4)
    assert np.abs(tail).mean() == pytest.approx(predicted.amplitude, rel=1e-4)
    assert predicted.lowest * (1 - 1e-4) <= np.abs(tail).min()
    assert np.abs(tail).max() <= predicted.highest * (1 + 1e-4)


def test_below_the_limit_a_cap_changes_nothing():
    model, batch = parabola()
    optimizer = optim.SGD(model.parameters(), lr=0.45)
    H = hessian(model, mse, batch)
    limit, plain = optimizer_limits(H, optimizer, clip=2.0), optimizer_limits(H, optimizer)
    assert limit.oscillation(0.45) is None
    assert abs(clipped_run(model, batch, optimizer, 2.0, 3.0)[-1]) < 1e-6
    for name in ("stable", "curvature_limit", "safe", "optimal", "rate"):
        assert getattr(limit, name) == getattr(plain, name)
    assert "peak to peak" in str(limit)


def test_units_of_a_cap():
    model, batch = parabola()
    optimizer = optim.SGD(model.parameters(), lr=1.0)
    H = hessian(model, mse, batch)
    one, two = (optimizer_limits(H, optimizer, clip=cap).oscillation(1.0) for cap in (1.0, 2.0))
    assert two.peak_to_peak == 2 * one.peak_to_peak
    assert two.lowest == 2 * one.lowest
    assert one.lowest + one.highest == one.peak_to_peak


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.9), "momentum"),
        (lambda p: optim.SGD(p, lr=0.1, weight_decay=0.1), "decay"),
        (lambda p: optim.RMSprop(p, lr=0.1), "preconditioner"),
        (lambda p: optim.AdamW(p, lr=0.1), "momentum"),
    ],
)
def test_where_the_oscillation_is_not_derived_it_says_so(make, why):
    model, batch, _ = quadratic()
    limit = optimizer_limits(hessian(model, mse, batch), make(model.parameters()), clip=1.0)
    assert why in limit.reasons["clip"]
    with pytest.raises(InvalidInput, match=why):
        limit.oscillation(1.0)


def test_clipped_limits_round_trip():
    model, batch = parabola()
    limit = optimizer_limits(hessian(model, mse, batch), optim.SGD(model.parameters(), lr=1.0), clip=2.0)
    assert ClippedLimits.from_dict(json.loads(json.dumps(limit.to_dict()))) == limit
    for bad in (0.0, -1.0, math.inf):
        with pytest.raises(InvalidInput, match="clip"):
            optimizer_limits(hessian(model, mse, batch), optim.SGD(model.parameters(), lr=1.0), clip=bad)


# --- effective rates


@pytest.mark.parametrize(
    "method",
    [GradientDescent(), HeavyBall(0.9), HeavyBall(0.9, 0.5), Nesterov(0.8), EMAMomentum(0.9)],
    ids=lambda m: m.name,
)
def test_slow_directions_decay_at_the_effective_rate(method):
    rate, curvature = 0.01, 1e-6
    slow = 1 - float(method.amplification(-rate * curvature))
    assert slow == pytest.approx(effective_rate(method, rate) * curvature, rel=1e-4)


def test_the_error_of_the_effective_rate_is_the_stated_one():
    b, rate = 0.9, 0.001
    for curvature in (0.02, 0.1):
        x = effective_rate(HeavyBall(b), rate) * curvature
        slow = 1 - float(HeavyBall(b).amplification(-rate * curvature))
        assert slow / x - 1 == pytest.approx(b * x / (1 - b), rel=0.05)


def test_above_the_critical_curvature_there_is_no_equivalent():
    critical = (1 - math.sqrt(0.9)) ** 2 / 0.1
    assert effective_rate(HeavyBall(0.9), 0.1, curvature=0.99 * critical) == pytest.approx(1.0)
    with pytest.raises(InvalidInput, match="oscillates"):
        effective_rate(HeavyBall(0.9), 0.1, curvature=1.01 * critical)
    # it does: the roots are a complex pair of modulus sqrt(b)
    assert HeavyBall(0.9).amplification(-0.1 * 1.01 * critical) == pytest.approx(math.sqrt(0.9))


def test_equivalent_rates():
    assert equivalent_rate(HeavyBall(0.9), HeavyBall(0.99), 0.1) == pytest.approx(0.01)
    assert equivalent_rate(HeavyBall(0.9), EMAMomentum(0.9), 0.1) == pytest.approx(1.0)
    there = equivalent_rate(Nesterov(0.9), HeavyBall(0.5), 0.1)
    assert equivalent_rate(HeavyBall(0.5), Nesterov(0.9), there) == pytest.approx(0.1)
    p = [nn.Parameter(torch.zeros(1))]
    assert equivalent_rate(optim.SGD(p, lr=0.1, momentum=0.9), GradientDescent()) == pytest.approx(1.0)
    assert effective_rate(optim.AdamW(p, lr=0.02)) == 0.02


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: effective_rate(HeavyBall()), InvalidInput),
        (lambda: effective_rate(HeavyBall(), 0.0), InvalidInput),
        (lambda: effective_rate("SGD", 0.1), InvalidType),
        (lambda: equivalent_rate(HeavyBall(), GradientDescent, 0.1), InvalidType),
    ],
)
def test_arguments_of_effective_rates(call, error):
    with pytest.raises(error):
        call()


# --- decoupled decay


def test_the_decayed_iteration_is_torchs():
    """The roots' modulus is the rate at which AdamW itself approaches 0, its preconditioner frozen."""
    a, h, w, b = 2.0, 0.02, 0.7, 0.6  # slow enough for real roots
    model, batch = parabola(a)
    optimizer = optim.AdamW(model.parameters(), lr=h, betas=(b, FROZEN), weight_decay=w, eps=0)
    preset(optimizer, ADAM, 1e18)
    (x,) = model.parameters()
    v = (optimizer.state[x]["exp_avg_sq"] / (1 - FROZEN**1e18)).sqrt().item()
    sizes = []
    with torch.no_grad():
        x.fill_(1.0)
    for _ in range(200):
        optimizer.zero_grad()
        mse(model, batch).backward()
        optimizer.step()
        sizes.append(abs(x.item()))
    rate = (sizes[-1] / sizes[99]) ** (1 / 100)
    assert amplification_with_decay(h, a / v, b, w) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("decay", [0.01, 1.0])
def test_the_best_decayed_step_is_the_best(momentum, decay):
    smallest, largest = 0.1, 10.0
    limit = (2 + 2 * momentum) / (1 - momentum) / (largest + decay * (1 + momentum) / (1 - momentum))
    step, rate = best_step_with_decay(smallest, largest, momentum, decay, limit)
    between = np.linspace(smallest, largest, 200)
    assert amplification_with_decay(step, between, momentum, decay).max() == pytest.approx(rate)
    trials = np.linspace(1e-4, 1, 3000)[:, None] * limit
    assert amplification_with_decay(trials, between, momentum, decay).max(axis=1).min() >= rate - 1e-6


def test_without_momentum_and_decay_it_is_two_over_the_sum():
    step, rate = best_step_with_decay(1.0, 9.0, 0.0, 0.0, 2 / 9)
    assert step == pytest.approx(2 / 10)
    assert rate == pytest.approx(8 / 10)


def test_adamw_has_an_optimal_step():
    model, batch, _ = quadratic()
    optimizer = preset(optim.AdamW(model.parameters(), lr=0.1, betas=(0.9, FROZEN), weight_decay=0.4), ADAM, 1e18)
    limit = optimizer_limits(hessian(model, mse, batch), optimizer, rtol=1e-6)
    assert 0 < limit.optimal < limit.stable
    assert 0 < limit.rate < 1
    assert "decoupled decay 0.4" in limit.reasons["optimal"]
    # decay alone makes flat directions decay, but negative ones keep the sign
    assert limit.iterations(1e-3) < math.inf
