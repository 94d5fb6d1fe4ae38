"""The rule that goes by the curvature along the update."""

import itertools
import math
from dataclasses import dataclass

import pytest

from surefoot.errors import InvalidInput
from surefoot.rules import AlongStep


@dataclass
class Quadratic:
    """f = L x^2/2 at x = 1, along its own gradient: n = g^2, d = L g^2."""

    sharpness: float = 4.0

    @property
    def slope(self):
        return -(self.sharpness**2)

    @property
    def direction_norm(self):
        return self.sharpness

    @property
    def curvature(self):
        return self.sharpness

    arrival_slope = slope

    @property
    def arrival_curvature(self):
        return self.sharpness**3


def follow(rule, seen, steps):
    state, rates = rule.init(), []
    for _ in range(steps):
        decision, state = rule.update(state, seen)
        rates.append(decision.step)
    return rates, state


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("sharpness", [1e-3, 4.0, 1e5])
def test_a_quadratic_gives_sigma_over_its_curvature(sigma, sharpness):
    rates, _ = follow(AlongStep(sigma=sigma), Quadratic(sharpness), 200)
    assert rates[0] == pytest.approx(0.1 * sigma / sharpness)
    assert rates[-1] == pytest.approx(sigma / sharpness)
    assert all(b <= 1.25 * a * (1 + 1e-12) for a, b in itertools.pairwise(rates))


def test_it_looks_as_often_as_it_says_and_asks_for_the_update_before():
    rule = AlongStep(every=5)
    state = rule.init()
    watched = []
    for _ in range(11):
        decision, state = rule.update(state, Quadratic())
        watched.append(decision.look_back)
    assert [k for k, w in enumerate(watched) if w] == [4, 9]


def test_uphill_the_rate_falls():
    rule = AlongStep(every=1, smoothing=0.0)
    _, state = rule.update(rule.init(), Quadratic())
    seen = Quadratic()
    uphill = type("Uphill", (), {"arrival_slope": -seen.slope, "arrival_curvature": seen.arrival_curvature})()
    decision, _ = rule.update(state, uphill)
    assert decision.step == pytest.approx(state.rate / 1.25)


def test_what_is_not_finite_changes_nothing():
    rule = AlongStep(every=1)
    _, state = rule.update(rule.init(), Quadratic())
    broken = type("Broken", (), {"arrival_slope": math.nan, "arrival_curvature": 1.0})()
    decision, after = rule.update(state, broken)
    assert (decision.step, after) == (state.rate, state)


@pytest.mark.parametrize("bad", [{"sigma": 0}, {"every": 0}, {"smoothing": 1}, {"within": 0.9}, {"start": -1}])
def test_refuses(bad):
    with pytest.raises(InvalidInput):
        AlongStep(**bad)
