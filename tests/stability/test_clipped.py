"""A cap on the gradient's norm: what the limits predict is what orbits and runs do, from both sides of the limit."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot import dynamics, stability
from surefoot.errors import InvalidInput
from surefoot.methods import RK4, EMAMomentum, GradientDescent, HeavyBall, Leapfrog, Nesterov
from surefoot.stability import ClippedLimits

RNG = np.random.default_rng(0)
MOMENTA = [HeavyBall(0.5), HeavyBall(0.9), HeavyBall(0.9, 0.5), Nesterov(0.9), EMAMomentum(0.9)]


def clipped_update(method, curvature, cap):
    """A method on a clipped gradient, as a map of its whole state."""

    def update(state, step):
        return np.stack(method.update(tuple(state), lambda x: -step * np.clip(curvature * x, -cap, cap)))

    return update


@given(
    curvature=st.floats(0.01, 1e3), excess=st.floats(1.01, 10), cap=st.floats(1e-3, 1e3), start=st.floats(-0.99, 0.99)
)
@settings(max_examples=40)
def test_the_predicted_oscillation_is_the_one_that_comes(curvature, excess, cap, start):
    limit = sf.limits([[curvature]], clip=cap)
    step = excess * limit.curvature_limit
    predicted = limit.oscillation(step)
    start = (start if abs(start) > 1e-3 else 0.5) * predicted.highest
    x = dynamics.orbit(dynamics.ClippedQuadratic(curvature, cap), step, start, steps=3000, keep=4)
    assert abs(x[-1] - x[-2]) == pytest.approx(predicted.peak_to_peak, rel=1e-9)
    assert predicted.lowest * (1 - 1e-6) <= abs(x[-1]) <= predicted.highest * (1 + 1e-6)


def test_it_is_the_cycle_of_the_long_run():
    limit = sf.limits(np.diag([10.0, 0.1]), clip=2.0)
    assert limit.oscillation(0.5) == stability.clipped_oscillation(limit.sharpness, 0.5, 2.0)
    assert limit.oscillation(limit.curvature_limit) is None
    assert limit.oscillation(math.nextafter(limit.curvature_limit, 1)) is not None


def test_a_cap_changes_no_other_number_and_survives_json():
    plain, capped = sf.limits(np.diag([1.0, 4.0])), sf.limits(np.diag([1.0, 4.0]), clip=3.0)
    for name in ("stable", "curvature_limit", "safe", "optimal", "rate", "condition"):
        assert getattr(plain, name) == getattr(capped, name)
    assert ClippedLimits.from_dict(json.loads(json.dumps(capped.to_dict()))) == capped
    assert "clip at 3" in str(capped)


@pytest.mark.parametrize("method", MOMENTA, ids=lambda m: m.name)
def test_with_momentum_the_smallest_cycle_is_stated_and_others_are_not_claimed(method):
    """Derived: both points clipped, the step's response at -1 is 2/R, R the limit of step * curvature."""
    assert f"{2 * 0.75 / method.real_limit:.6g} apart" in sf.limits([[1.0]], method, clip=0.75).reasons["clip"]
    limit = sf.limits([[1.0]], method, clip=1.0)
    with pytest.raises(InvalidInput, match="momentum"):
        limit.oscillation(10.0)
    step = 1.2 * limit.curvature_limit
    distance = 2 * step / method.real_limit
    arriving = step / (1 + method.momentum) if isinstance(method, Nesterov) else distance
    update = clipped_update(method, 1.0, 1.0)
    first = np.array([[distance / 2], [arriving]])
    second = update(first, step)
    np.testing.assert_allclose(second[0], -first[0], rtol=1e-12)
    np.testing.assert_allclose(update(second, step), first, rtol=1e-12)
    starts = RNG.uniform(-1, 1, 60) * distance
    states = np.stack([starts, *(0 * starts for _ in range(method.memory - 1))])
    seen = dynamics.orbit(update, np.full(60, step), states, steps=4000, keep=240)
    swings = np.ptp(seen[:, 0], axis=0)
    assert swings.min() > (1 - 1e-6) * distance
    assert np.isfinite(swings).all()


@pytest.mark.parametrize("steps_aside", [1, 2, 3, 5])
@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_the_sizes_of_the_cycles_with_momentum(momentum, steps_aside):
    """Derived: q gradients of each sign, v_0 = -C (1 - b^q)/((1 - b)(1 + b^q)); the swing is the sum of |v| over q."""
    b, q = momentum, steps_aside
    v = -(1 - b**q) / ((1 - b) * (1 + b**q))
    velocities = []
    for _ in range(q):
        v = b * v + 1
        velocities.append(v)
    swing = sum(map(abs, velocities))
    step = 1.5 * 2 * (1 + b)
    starts = RNG.uniform(-1, 1, 400) * 10 ** RNG.uniform(-1, 3, 400)
    update = clipped_update(HeavyBall(b), 1.0, 1.0)
    x = dynamics.orbit(update, np.full(400, step), np.stack([starts, 0 * starts]), steps=3000, keep=80)
    found = dynamics.period(x, tolerance=1e-9) == 2 * q
    if found.any():
        np.testing.assert_allclose(np.ptp(x[:, 0, found], axis=0), step * swing, rtol=1e-9)
    assert found.any() == ((momentum, q) != (0.5, 3) and (momentum, q) != (0.5, 5))


def test_what_has_no_known_oscillation_says_so():
    for method in (RK4(), Leapfrog()):
        limit = sf.limits([[1.0]], method, clip=1.0)
        with pytest.raises(InvalidInput, match="not derived"):
            limit.oscillation(100.0)
    for curvature in (0.0, -1.0):
        limit = sf.limits([[curvature]], clip=1.0)
        assert "no positive curvature" in limit.reasons["clip"]
        assert limit.sharpness is None
    with pytest.raises(InvalidInput, match="Jacobian"):
        sf.limits([[0.0, 1.0], [-1.0, 0.0]], clip=1.0, kind="jacobian")
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(InvalidInput, match="clip"):
            sf.limits([[1.0]], GradientDescent(), clip=bad)


def test_an_oscillation_begins_at_two_over_the_curvature():
    assert stability.clipped_oscillation(10.0, 0.99 * 0.2, 1.0) is None
    above = stability.clipped_oscillation(10.0, 1.01 * 0.2, 1.0)
    assert (above.peak_to_peak, above.lowest, above.highest) == pytest.approx((0.202, 0.1, 0.102))
    assert above.amplitude == above.peak_to_peak / 2
    for k in range(3):
        with pytest.raises(InvalidInput, match="must be"):
            stability.clipped_oscillation(*(0.0 if i == k else 1.0 for i in range(3)))
