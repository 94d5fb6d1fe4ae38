"""What the work costs, counted: products, gradients, evaluations, bytes. A cost that moves turns red here.

These are small sisters of the groups of benchmarks/. The numbers are what was counted, not a goal: a change that lowers
one writes the lower number down, one that raises it says in its message what that buys. Each is the same on every
machine: small problems in float64 whose counts stay when their numbers are moved by 1e-9. How often a guarded step
waits for a device is counted in training/loop/test_waiting.py.
"""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import surefoot as sf
from surefoot.operators import LinearMap
from surefoot.training import Guard, Pilot, gradient_noise, hessian, optimizer_limits, range_test, supervised
from surefoot.trials import race

# Unknowns of the matrices: at 500 the work between products is nothing.
SIZE = 500


def outliers():
    return np.r_[0.01 * np.abs(np.random.default_rng(0).standard_normal(SIZE - 10)), np.linspace(0.2, 1, 10)]


def products(values, **asked):
    """Products of a spectrum of a diagonal matrix."""
    operator = LinearMap((SIZE, SIZE), lambda x: values * x, symmetric=True)
    return sf.spectrum(operator, rng=0, **asked).products


def applications(values):
    """Products with A and with its transpose until the norm is certified."""
    count = 0

    def product(x):
        nonlocal count
        count += 1
        return values * x

    sf.spectra.norm_squared(LinearMap((SIZE, SIZE), product, rmatvec=product))
    return count


MATRICES = {
    "outliers, largest end": (lambda: products(outliers(), which="largest"), 16),
    "outliers, both ends": (lambda: products(outliers(), which="both"), 28),
    "evenly spread, largest end": (lambda: products(np.linspace(0, 1, SIZE), which="largest"), 77),
    "evenly spread, to 5% at 1e-3": (
        lambda: products(np.linspace(0, 1, SIZE), which="largest", rtol=0.05, failure=1e-3), 24,
    ),
    "a norm of outliers": (lambda: applications(outliers()), 26),
}  # fmt: skip


@pytest.mark.parametrize("name", MATRICES)
def test_products(name):
    call, number = MATRICES[name]
    assert call() == number


def valley():
    """A quadratic of condition 100."""
    return sf.problems.Quadratic(np.diag(np.geomspace(1e-2, 1, 50)), np.ones(50))


# AdGD and Armijo are not here: moved by 1e-9 they take 3% more or fewer.
RULES = {"auto": 47, "bb": 58, "bb-short": 49, "fista": 86, "constant:optimal": 295}


def test_gradients_of_rules():
    """To a gap of 1e-6."""
    made = race(valley(), list(RULES), steps=5000, tol=1e-6, baselines=False)
    assert {entry.name: entry.reached(1e-6) for entry in made.entries} == RULES


EVALUATIONS = {"RK45": 2306, "RKC": 3515}


@pytest.mark.parametrize("method", EVALUATIONS)
def test_evaluations_of_integrators(method):
    rates = np.geomspace(1, 1000, 20)
    run = sf.integrate(lambda t, y: -rates * y, (0.0, 1.0), np.ones(20), method=method)
    assert run.evaluations == EVALUATIONS[method]


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.Tanh(), torch.nn.Linear(12, 3)).double()


def batches(number, rows=20):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(number * rows, 6, generator=generator, dtype=torch.float64)
    y = (x @ torch.randn(6, 3, generator=generator, dtype=torch.float64)).argmax(1)
    return list(zip(x.split(rows), y.split(rows), strict=True))


def adam(model, rate=1e-2):
    return torch.optim.AdamW(model.parameters(), lr=rate)


class Calls:
    """The loss, and how often it was called with and without a gradient."""

    def __init__(self):
        self.gradients = self.forwards = 0
        self._loss = supervised(cross_entropy)

    def __call__(self, model, batch):
        self.gradients += torch.is_grad_enabled()
        self.forwards += not torch.is_grad_enabled()
        return self._loss(model, batch)


def curvature():
    calls = Calls()
    H = hessian(network(), calls, batches(4))
    return calls.gradients, sf.spectrum(H, which="largest").products


def limits():
    calls, model = Calls(), network()
    optimizer_limits(hessian(model, calls, batches(4)), adam(model))
    return calls.gradients, calls.forwards


def noise():
    calls = Calls()
    gradient_noise(network(), calls, batches(4))
    return calls.gradients, calls.forwards


def rehearsal():
    calls, model = Calls(), network()
    range_test(model, calls, batches(20), adam(model), steps=100)
    return calls.gradients, calls.forwards


def piloted():
    calls, model = Calls(), network()
    pilot = Pilot(model, adam(model), total_steps=100)
    for batch in batches(100):
        pilot.step(lambda batch=batch: calls(model, batch))
    return calls.gradients, calls.forwards


TRAINING = {
    "set-up of a Hessian; products of its largest end": (curvature, (8, 26)),
    "gradients and forward passes of optimizer_limits": (limits, (12, 3)),
    "gradients and forward passes of gradient_noise": (noise, (10, 0)),
    "gradients and forward passes of a range test of 100 steps": (rehearsal, (81, 16)),
    "gradients and forward passes of a pilot's 100 steps": (piloted, (148, 11)),
}


@pytest.mark.parametrize("name", TRAINING)
def test_gradients_and_forward_passes(name):
    call, numbers = TRAINING[name]
    assert call() == numbers


def test_a_guard_asks_for_one_gradient_a_step_and_keeps_two_snapshots():
    calls, model = Calls(), network()
    guard = Guard(model, adam(model))
    for batch in batches(300):
        guard.step(lambda batch=batch: calls(model, batch))
    assert (calls.gradients, calls.forwards, guard.cost.snapshots) == (300, 0, 30)
    # parameters and AdamW's two averages, twice, and its counts of steps
    assert guard.cost.bytes == 2 * (3 * 8 * 123 + 4 * 4)


def test_how_well_a_pilot_ends():
    """Its mean loss, on a task in float64 that hangs on no rounding."""
    model = network()
    pilot = Pilot(model, adam(model), total_steps=100)
    for batch in batches(100):
        pilot.step(lambda batch=batch: supervised(cross_entropy)(model, batch))
    with torch.no_grad():
        losses = [cross_entropy(model(x), y).item() for x, y in batches(100)]
    assert np.mean(losses) == pytest.approx(0.1134, rel=0.01)
