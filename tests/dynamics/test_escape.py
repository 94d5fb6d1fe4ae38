"""Clipping, the flip criterion and escape: predictions against runs."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.dynamics import (
    ClippedQuadratic,
    Cubic,
    Landscape,
    TwoMinima,
    cycle,
    escape_step,
    escape_steps,
    flip,
    orbit,
    period,
    wander,
)
from surefoot.errors import InvalidInput
from surefoot.stability import clipped_oscillation

SHARP, BARRIER = 0.97, 0.92


@settings(max_examples=40)
@given(
    curvature=st.floats(0.1, 100),
    excess=st.floats(1.05, 20),
    cap=st.floats(0.01, 10),
    start=st.floats(-0.999, 0.999),
)
def test_clipped_descent_ends_in_the_predicted_family(curvature, excess, cap, start):
    step = 2 * excess / curvature
    predicted = clipped_oscillation(curvature, step, cap)
    assert predicted is not None
    x0 = start * predicted.highest
    if abs(x0) < 1e-3 * predicted.lowest:
        x0 = predicted.lowest / 3
    x = orbit(ClippedQuadratic(curvature, cap), step, x0, steps=2000, keep=50)
    assert period(x, tolerance=1e-9) == 2
    assert abs(x[-1] - x[-2]) == pytest.approx(step * cap, rel=1e-9)
    assert np.abs(x[-2:]).mean() == pytest.approx(predicted.amplitude, rel=1e-9)
    assert (np.abs(x) >= predicted.lowest * (1 - 1e-9)).all()
    assert (np.abs(x) <= predicted.highest * (1 + 1e-9)).all()


def test_every_value_in_the_interval_belongs_to_a_cycle():
    predicted = clipped_oscillation(10.0, 0.5, 1.0)
    assert predicted is not None
    assert (predicted.peak_to_peak, predicted.amplitude) == (0.5, 0.25)
    starts = np.linspace(predicted.lowest, predicted.highest, 21)
    x = orbit(ClippedQuadratic(10.0, 1.0), np.full(21, 0.5), starts[None], steps=2, keep=2)
    np.testing.assert_allclose(x[0, 0], starts - 0.5, atol=1e-14)
    np.testing.assert_allclose(x[1, 0], starts, atol=1e-14)
    below = orbit(ClippedQuadratic(10.0, 1.0), 0.5, 0.98 * predicted.lowest, steps=2)[-1]
    assert abs(below - 0.98 * predicted.lowest) > 1e-3


def test_up_to_the_limit_there_is_no_cycle():
    assert clipped_oscillation(10.0, 0.2, 1.0) is None
    assert clipped_oscillation(10.0, 0.2 * (1 + 1e-12), 1.0) is not None
    assert abs(orbit(ClippedQuadratic(10.0, 1.0), 0.199, 3.0, steps=5000)[-1]) < 1e-10


@settings(max_examples=25)
@given(third=st.floats(-3, 3), fourth=st.floats(-6, 6))
def test_flip_predicts_the_side_and_the_size_of_the_cycle(third, fourth):
    predicted = flip(1.0, third, fourth)
    if abs(predicted.coefficient) < 0.2:
        return

    def update(x, step):
        return x - step * (x + third * x**2 / 2 + fourth * x**3 / 6)

    step = 2 + math.copysign(1e-5, predicted.coefficient)
    size = predicted.amplitude(step)
    found = cycle(update, step, [size, -size])
    assert found is not None
    half = abs(found.points[0] - found.points[1]) / 2
    assert half == pytest.approx(size, rel=2e-3)
    assert found.stable == (predicted.outcome == "bounded")
    assert math.isnan(predicted.amplitude(4 - step))


def test_flip_against_runs():
    assert flip(2.0, -4.0, 0.0).amplitude(1.01) == pytest.approx(math.sqrt(0.02) / 2)
    x = orbit(Cubic(2.0), 1.01, 0.1, steps=5000, keep=2)
    assert abs(x[1] - x[0]) / 2 == pytest.approx(math.sqrt(0.02) / 2, rel=0.01)
    assert flip(1.0, 0.0, 6.0).outcome == "escape"
    assert not np.isfinite(orbit(lambda x, e: x - e * (x + x**3), 2.01, 0.05, steps=5000)[-1])
    assert flip(1.0, 1.0, 3.0).outcome == "undecided"
    assert math.isnan(flip(1.0, 1.0, 3.0).amplitude(2.1))


def test_thresholds_of_the_two_minima():
    landscape = TwoMinima()
    found = escape_steps(landscape, SHARP, BARRIER)
    assert found.minimum == pytest.approx(0.971398, abs=5e-7)
    assert landscape.curvature(found.minimum) == pytest.approx(23.849342, abs=5e-7)
    assert found.necessary == pytest.approx(0.083860, abs=5e-7)
    assert landscape.curvature(landscape.minimum(0.05)) == pytest.approx(1.0, abs=1e-9)
    assert found.trapped == pytest.approx(0.1313, abs=5e-5)


def test_between_necessary_and_sufficient_the_orbit_is_unstable_and_stays():
    landscape = TwoMinima()
    found = escape_steps(landscape, SHARP, BARRIER)
    starts = np.linspace(0.93, 0.98, 41)

    def inside(step):
        x = orbit(landscape, np.full(41, step), starts[None], steps=20_000, keep=500)[:, 0]
        return (x > found.barrier).all(axis=0), np.ptp(x, axis=0)

    stays, spread = inside(0.99 * found.necessary)
    assert stays.all()
    assert spread.max() < 1e-8
    for step in (1.02 * found.necessary, 0.11, (1 - 1e-5) * found.trapped):
        stays, spread = inside(step)
        assert stays.all()
        assert spread.min() > 1e-3
    stays, _ = inside((1 + 1e-3) * found.trapped)
    assert not stays.any()


def test_every_scanned_rate_escapes_and_settles_in_the_flat_minimum():
    rates = np.linspace(0.14, 1.99, 186)
    end = orbit(TwoMinima(), rates, 0.9713, steps=6000, keep=1)[0]
    np.testing.assert_allclose(end, 0.0, atol=1e-6)


@settings(max_examples=10)
@given(scale=st.floats(0.1, 10))
def test_escape_scales_with_the_landscape(scale):
    """f(-x/s) has the curvature divided by s^2, so steps times s^2, and the well opens to the other side."""

    class Moved(Landscape):
        def value(self, x):
            return TwoMinima().value(-x / scale)

        def gradient(self, x):
            return -TwoMinima().gradient(-x / scale) / scale

    plain = escape_steps(TwoMinima(), SHARP, BARRIER)
    moved = escape_steps(Moved(), -SHARP * scale, -BARRIER * scale)
    assert moved.necessary == pytest.approx(plain.necessary * scale**2, rel=1e-9)
    assert moved.trapped == pytest.approx(plain.trapped * scale**2, rel=1e-9)


@settings(max_examples=50)
@given(a=st.floats(0.5, 50), excess=st.floats(1.02, 3), offset=st.floats(1e-6, 0.5))
def test_step_at_which_a_quadratic_well_is_left(a, excess, offset):
    step, x, count = 2 * excess / a, offset, 0
    while abs(x) < 1.0:
        x -= step * a * x
        count += 1
    predicted = escape_step(a, 1.0, offset, step)
    # where the orbit ends on the edge itself rounding decides
    if abs(math.log(1 / offset) / math.log(2 * excess - 1) % 1) > 1e-9:
        assert predicted == count
    assert escape_step(a, 1.0, offset, 2 / a) == math.inf


def test_high_then_low_beats_every_constant_rate_under_noise():
    landscape = TwoMinima()
    length, switch = 400, 40
    constants = np.geomspace(0.005, 1.9, 40)
    schedules = [np.full(length, rate) for rate in constants]
    schedules.append(np.where(np.arange(length) < switch, 0.3, 0.01))
    starts = np.full(300, escape_steps(landscape, SHARP, BARRIER).minimum)
    losses = landscape.value(wander(landscape, schedules, starts, noise=0.1)).mean(axis=1)
    assert losses[-1] < 0.3 * losses[:-1].min()
    # the low rate alone never leaves the sharp minimum, the high one alone never settles
    low, high = wander(landscape, [np.full(length, 0.01), np.full(length, 0.3)], starts, noise=0.1)
    assert (low > 0.9).all()
    assert (np.abs(high) < 0.5).all()
    assert landscape.value(high).mean() > 10 * losses[-1]


def test_stationary_noise_at_the_flat_minimum():
    """Around a quadratic of curvature 1 the variance is eta s^2/(2 - eta)."""
    for rate in (0.1, 0.5, 1.0):
        end = wander(TwoMinima(), [np.full(300, rate)], np.zeros(4000), noise=0.05, rng=3)[0]
        assert end.var() == pytest.approx(rate * 0.05**2 / (2 - rate), rel=0.1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: clipped_oscillation(0.0, 1.0, 1.0), "curvature"),
        (lambda: clipped_oscillation(1.0, 1.0, math.inf), "cap"),
        (lambda: flip(-1.0, 0.0, 0.0), "second"),
        (lambda: flip(1.0, math.nan, 0.0), "finite"),
        (lambda: escape_step(1.0, 0.5, 0.7, 1.0), "offset"),
        (lambda: escape_steps(TwoMinima(), SHARP, 0.98), "no maximum"),
        (lambda: escape_steps(TwoMinima(), BARRIER, BARRIER), "no minimum"),
        (lambda: wander(TwoMinima(), [0.1, 0.2], [0.0]), "schedules"),
        (lambda: wander(TwoMinima(), [[0.1]], [0.0], noise=-1), "noise"),
    ],
)
def test_errors_say_what_was_seen(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
