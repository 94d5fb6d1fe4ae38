"""The rule that goes by the curvature along the update."""

import itertools
import math
from dataclasses import dataclass, replace

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


def look(slope, curvature):
    """What is seen at a later update."""
    return type("Look", (), {"arrival_slope": slope, "arrival_curvature": curvature})()


def begun(**options):
    """A rule and its state after the first update of a quadratic with a sharpness of 4."""
    rule = AlongStep(every=1, **options)
    return rule, rule.update(rule.init(), Quadratic(4.0))[1]


def test_descent_and_curvature_are_averages_with_the_weight_of_the_past():
    """0.8 of 16 and 64, 0.2 of 6 and 20: the rate is the ratio, the limit is twice that."""
    rule, state = begun(within=1e3)
    decision, state = rule.update(state, look(-16.0, 64.0))
    assert (decision.step, decision.limit) == (0.25, 0.5)
    decision, state = rule.update(state, look(-6.0, -20.0))
    assert decision.step == pytest.approx(14.0 / 55.2)
    assert decision.limit == pytest.approx(28.0 / 55.2)
    again, _ = AlongStep(every=5).update(replace(state, wait=3), None)
    assert again.limit == decision.limit


def test_without_curvature_the_rate_grows_as_far_as_it_may():
    rule, state = begun()
    decision, _ = rule.update(state, look(-16.0, 0.0))
    assert decision.step == pytest.approx(1.25 * state.rate)
    assert math.isnan(decision.limit)


def test_every_update_is_looked_along_where_each_is_asked_for():
    rule = AlongStep(every=1)
    decision, state = rule.update(rule.init(), Quadratic())
    assert decision.look_back
    assert rule.update(state, Quadratic())[0].look_back


@pytest.mark.parametrize(("slope", "curvature"), [(-1.0, math.nan), (-1.0, math.inf), (math.inf, 1.0)])
def test_any_number_that_is_not_finite_changes_nothing(slope, curvature):
    rule, state = begun()
    decision, after = rule.update(state, look(slope, curvature))
    assert (decision.step, after) == (state.rate, state)


@pytest.mark.parametrize(("slope", "curvature"), [(1.0, 1.0), (0.0, 1.0), (-1.0, 0.0), (-math.inf, 1.0)])
def test_the_first_update_needs_descent_and_curvature(slope, curvature):
    seen = type("First", (), {"slope": slope, "curvature": curvature, "direction_norm": 1.0})()
    decision, state = AlongStep().update(AlongStep().init(), seen)
    assert decision.step == 0
    assert "no descent" in decision.reason
    assert repr(state) == repr(AlongStep().init())  # which holds NaN


def test_at_first_negative_curvature_counts_by_its_size():
    seen = type("First", (), {"slope": -8.0, "curvature": -4.0, "direction_norm": 2.0})()
    assert AlongStep(sigma=3.0).update(AlongStep().init(), seen)[0].step == pytest.approx(0.1 * 3.0 * 8.0 / 16.0)
