"""Thresholds: closed forms, published values, and the laws that hold for every smooth map."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.dynamics import (
    Cascade,
    Cubic,
    TanhRNN,
    accumulation,
    bifurcations,
    cycle,
    feigenbaum_ratios,
    orbit,
    period,
    superstable,
)
from surefoot.dynamics._bifurcations import _branch, _follow
from surefoot.dynamics._closing import ClosedOrbit
from surefoot.dynamics._linearised import Linearised
from surefoot.errors import InvalidInput

DOUBLINGS = (2.0, math.sqrt(6), 2.544090359552, 2.564407266095, 2.568759419544)
ONSET = 2.569945671870945


def test_road_to_chaos_on_the_cubic():
    found = bifurcations(Cubic(), (1.5, 3.0), 0.3, 5)
    np.testing.assert_allclose(found.parameters, DOUBLINGS, rtol=1e-12)
    assert [d.period for d in found.doublings] == [1, 2, 4, 8, 16]
    assert found.reason == "found all 5"
    assert found.ratios == pytest.approx((4.7514, 4.6563, 4.6682), abs=1e-4)


@settings(max_examples=10)
@given(a=st.floats(0.01, 100.0))
def test_thresholds_scale_with_the_curvature(a):
    found = bifurcations(Cubic(a), (1.5 / a, 3.0 / a), 0.3, 3)
    np.testing.assert_allclose(np.array(found.parameters) * a, DOUBLINGS[:3], rtol=1e-10)


@settings(max_examples=10)
@given(shift=st.floats(-5.0, 5.0), scale=st.floats(0.01, 100.0))
def test_thresholds_do_not_depend_on_the_coordinate(shift, scale):
    loss = Cubic()

    def moved(y, step):
        return shift + scale * loss((y - shift) / scale, step)

    found = bifurcations(moved, (1.5, 3.0), shift + 0.3 * scale, 4)
    np.testing.assert_allclose(found.parameters, DOUBLINGS[:4], rtol=1e-9)


def test_tanh_rnn():
    network = TanhRNN()
    weight = network.minimum(1.0)
    assert weight == pytest.approx(0.92963279, abs=5e-9)
    assert network.curvature(weight) == pytest.approx(0.94364542, abs=5e-9)
    found = bifurcations(network, (1.0, 6.0), 1.0, 5)
    assert found.parameters[0] == pytest.approx(2 / network.curvature(weight), rel=1e-12)
    assert found.parameters[:2] == pytest.approx((2.119440164, 2.825501087), abs=1e-9)
    assert len(found.doublings) == 5
    # each threshold separates what orbits do on its two sides
    sides = np.array([p * (1 + s) for p in found.parameters[:3] for s in (-2e-3, 2e-3)])
    assert period(orbit(network, sides, 1.0, steps=20_000, keep=128)).tolist() == [1, 2, 2, 4, 4, 8]


def test_doubling_orbit_is_an_orbit_with_multiplier_minus_one():
    network = TanhRNN()
    for doubling in bifurcations(network, (1.0, 6.0), 1.0, 4).doublings:
        points = np.array(doubling.orbit)[:, 0]
        np.testing.assert_allclose(network(points, doubling.parameter), np.roll(points, -1), atol=1e-12)
        slopes = 1 - doubling.parameter * network.curvature(points)
        assert np.prod(slopes) == pytest.approx(-1, abs=1e-9)


def henon(state, a):
    x, y = state
    return np.stack([1 - a * x * x + y, 0.3 * x])


def test_henon_map():
    found = bifurcations(henon, (0.1, 1.4), [0.5, 0.1], 4)
    # the first two in closed form, 3 (1-b)^2/4 and (1-b)^2 + (1+b)^2/4 at b = 0.3
    assert found.parameters[:2] == pytest.approx((0.3675, 0.9125), rel=1e-11)
    assert found.parameters[2:] == pytest.approx((1.02585540507, 1.05112566204), rel=1e-10)


def test_heavy_ball_doubles_at_its_linear_limit():
    def momentum(state, step):
        x, v = state
        v = 0.5 * v + (x - x * x)
        return np.stack([x - step * v, v])

    found = bifurcations(momentum, (1.0, 4.0), [0.1, 0.0], 2)
    assert found.parameters[0] == pytest.approx(2 * 1.5, rel=1e-11)
    sides = np.array([found.parameters[1] * s for s in (0.998, 1.002)])
    assert period(orbit(momentum, sides, found.doublings[1].orbit[0], steps=20_000, keep=128)).tolist() == [2, 4]


def test_without_complex_numbers():
    found = bifurcations(lambda x, e: x.real - e.real * (x.real - x.real**2), (1.5, 3.0), 0.3, 4)
    np.testing.assert_allclose(found.parameters, DOUBLINGS[:4], atol=1e-9)


def test_why_the_list_ends():
    assert "up to 2.3" in bifurcations(Cubic(), (1.5, 2.3), 0.3).reason
    assert bifurcations(Cubic(), (1.5, 1.9), 0.3).doublings == ()
    # x - e sin-like: f'''' > 0 with f''' = 0 doubles backwards
    quartic = bifurcations(lambda x, e: x - e * (x + x**3), (1.5, 3.0), 0.1, 3)
    assert quartic.parameters == pytest.approx((2.0,), rel=1e-12)
    assert "subcritical" in quartic.reason

    def rotation(state, gain):
        x, y = state
        shrink = gain / (1 + x * x + y * y)
        return np.stack([shrink * (0.6 * x - 0.8 * y), shrink * (0.8 * x + 0.6 * y)])

    assert "elsewhere than at -1" in bifurcations(rotation, (0.5, 3.0), [0.3, 0.1]).reason


def test_record_survives_json_and_csv(tmp_path):
    found = bifurcations(Cubic(), (1.5, 3.0), 0.3, 3)
    assert Cascade.from_dict(found.to_dict()) == found
    lines = found.to_csv(tmp_path / "c.csv").read_text().splitlines()
    assert lines[0] == "parameter,period,period_after"
    assert [float(line.split(",")[0]) for line in lines[1:]] == list(found.parameters)
    assert "2 -> 4" in str(found)


def test_superstable_orbits_give_feigenbaum_and_the_onset():
    loss = Cubic()
    found = superstable(loss, loss.critical, (0.5, 3.0), 11)
    assert found[:2] == pytest.approx((1.0, math.sqrt(5)), rel=1e-12)
    assert feigenbaum_ratios(found)[-1] == pytest.approx(4.6692016, abs=2e-6)
    assert accumulation(found) == pytest.approx(ONSET, abs=1e-11)
    # between two doublings lies one superstable orbit
    doublings = bifurcations(loss, (0.5, 3.0), 0.3, 5).parameters
    assert (found[1:5] > doublings[:4]).all()
    assert (found[1:5] < doublings[1:5]).all()


def test_superstable_orbits_from_the_middle_of_the_doublings():
    """Gradient descent in the double well (x^2 - 1)^2/4: periods 1 and 2 at 1/2 and 3/sqrt 2 - 1, in closed form."""

    def step(x, rate):
        return x - rate * (x**3 - x)

    def critical(rate):
        return np.sqrt((1 + rate) / (3 * rate))

    assert superstable(step, critical, (0.3, 1.302), 2) == pytest.approx([0.5, 3 / math.sqrt(2) - 1], rel=1e-12)
    whole = superstable(step, critical, (0.3, 1.302), 5)
    assert superstable(step, critical, (0.9, 1.302), 4) == pytest.approx(whole[1:], rel=1e-10)
    assert superstable(step, critical, (1.2, 1.302), 3) == pytest.approx(whole[2:], rel=1e-10)
    with pytest.raises(InvalidInput, match="count must be at most 13 from period 2 on"):
        superstable(step, critical, (0.9, 1.302), 14)


def test_fold_superstable_and_unstable_orbits():
    loss = Cubic()
    guess = orbit(loss, 2.835, 0.4, steps=3000, keep=3)
    fold = cycle(loss, 2.83, guess, multiplier=1.0)
    assert fold is not None
    assert fold.parameter == pytest.approx(2 * math.sqrt(2), abs=1e-9)
    assert "neutral" in str(fold)
    flip = cycle(loss, 2.84, guess, multiplier=-1.0)
    assert flip is not None
    # where 3 becomes 6, r = 3.8414990075435 for the logistic map
    assert flip.parameter == pytest.approx(2.8414990075435, abs=1e-9)
    unstable = cycle(loss, 2.5, [0.01])
    assert unstable is not None
    assert not unstable.stable
    assert unstable.points == pytest.approx([0.0], abs=1e-12)
    assert unstable.multipliers.real == pytest.approx([-1.5])
    assert cycle(loss, 2.5, [0.3, 0.1, 0.6]) is None or cycle(loss, 2.5, [0.3, 0.1, 0.6]).period == 3


def test_fold_of_the_henon_map():
    # fixed points are born at a = -(1 - b)^2 / 4
    fold = cycle(henon, -0.1, [[-1.0], [-0.3]], multiplier=1.0)
    assert fold is not None
    assert fold.parameter == pytest.approx(-0.1225, abs=1e-10)
    assert fold.points.shape == (2, 1)


def test_an_orbit_that_creeps_is_solved_for():
    def narrow(state, step):
        x, y = state
        return np.stack([x - step * (x - x * x), y - step * 1e-4 * (y - 1)])

    found = bifurcations(narrow, (1.5, 2.5), [0.3, 0.0], 2, settle=500)
    np.testing.assert_allclose(found.parameters, DOUBLINGS[:2], rtol=1e-10)


def test_a_continuum_of_minima_is_refused():
    def flat(state, step):
        x, y = state
        slope = (x * x + y * y - 1) / 2
        return np.stack([x - step * slope * x, y - step * slope * y])

    with pytest.raises(InvalidInput, match="continuum"):
        bifurcations(flat, (0.5, 3.0), [0.5, 0.4])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: bifurcations(Cubic(), (3.0, 1.0), 0.3), "interval"),
        (lambda: bifurcations(Cubic(), (2.9, 3.0), 0.3), "not settled"),
        (lambda: bifurcations(Cubic(), (1.5, 3.0), 0.3, 0), "count"),
        (lambda: superstable(Cubic(), 0.5, (5.0, 6.0), 3), "widen"),
        (lambda: superstable(lambda x, r: r * x * (1 - x), 0.5, (1.5, 4.0), 40), "count must be at most"),
        (lambda: accumulation([1.0, 2.0]), "at least three"),
        (lambda: cycle(Cubic(), 1.0, np.zeros((1, 1, 1))), "points"),
    ],
)
def test_errors_say_what_was_seen(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()


def test_a_step_that_falls_back_to_the_single_orbit_is_noticed():
    """Far from a doubling Newton's method, begun at the doubled orbit close to it, finds the single one instead."""
    loss = Cubic()
    linearised = Linearised.of(loss, np.array([0.3]), np.array([1.5]), scale=1.0, span=1.0)
    doubling = ClosedOrbit(np.zeros((1, 1)), 2.0)
    entered = _branch(linearised, doubling, 1e-3)
    assert isinstance(entered, ClosedOrbit)
    assert entered.period == 2
    for step in (0.02, 0.1, 0.3):
        end = _follow(linearised, entered, step, 3.0)
        assert isinstance(end, ClosedOrbit)
        assert end.parameter == pytest.approx(math.sqrt(6), rel=1e-12)
