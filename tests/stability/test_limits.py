"""Spectrum x method = limits: closed forms, both sides, signs, covariance."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import EMAMomentum, GradientDescent, HeavyBall, Nesterov
from surefoot.operators import LinearMap, gram
from surefoot.spectra import Bounds, Spectrum

METHODS = [GradientDescent(), HeavyBall(0.9), Nesterov(0.9), EMAMomentum(0.9)]
NAMED = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)


def random_symmetric(seed, eigenvalues):
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((len(eigenvalues),) * 2))
    matrix = rotation @ np.diag(eigenvalues) @ rotation.T
    return (matrix + matrix.T) / 2


def run(method, matrix, step, steps=4000):
    state = method.start(np.random.default_rng(9).standard_normal(len(matrix)))
    first = np.linalg.norm(state[0])
    for _ in range(steps):
        state = method.update(state, lambda x: -step * (matrix @ x))
        if np.abs(state[0]).max() > 1e9:
            break
    return np.linalg.norm(state[0]) / first


@NAMED
def test_both_sides_of_stable(method):
    matrix = random_symmetric(1, [0.3, 1.0, 2.0, 5.0])
    lim = sf.limits(matrix, method)
    assert run(method, matrix, 0.99 * lim.stable) < 1e-3
    assert run(method, matrix, 1.01 * lim.stable) > 1e3


@NAMED
def test_the_rate_is_what_is_seen(method):
    matrix = random_symmetric(2, [1.0, 4.0, 9.0])
    lim = sf.limits(matrix, method)
    seen = (run(method, matrix, lim.optimal, 240) / run(method, matrix, lim.optimal, 120)) ** (1 / 120)
    assert seen <= lim.rate * 1.05
    assert run(method, matrix, lim.optimal, int(3 * lim.iterations(1e-6))) < 1e-6


def test_gradient_descent_closed_forms():
    lim = sf.limits(np.diag([1.0, 4.0]))
    assert (lim.stable, lim.curvature_limit, lim.safe, lim.optimal, lim.rate) == (0.5, 0.5, 0.25, 0.4, 0.6)
    assert lim.condition == Bounds.exactly(4.0)
    assert lim.iterations(1e-6) == 28
    assert lim.scope == "global"


def test_feature_units_and_jacobi():
    assert sf.limits(np.diag([1.0, 1e4])).stable == 2e-4
    assert sf.limits(np.eye(2)).stable == 2.0


def test_negative_curvature_has_no_stable_step():
    lim = sf.limits(np.diag([-0.3, 2.0]))
    assert lim.stable == 0.0
    assert lim.curvature_limit == 1.0
    assert lim.safe == 0.5
    assert lim.rate == 1.0
    assert lim.condition is None
    assert "-0.3" in lim.reasons["stable"]
    assert sf.limits(np.diag([-0.3, 2.0]), HeavyBall()).optimal is None


def test_no_curvature_has_no_limit():
    flat = sf.limits(np.zeros((3, 3)))
    assert flat.stable == flat.curvature_limit == np.inf
    assert flat.reasons["stable"] == "there is no positive curvature"
    concave = sf.limits(-np.eye(2))
    assert concave.stable == 0.0
    assert concave.curvature_limit == np.inf


def test_rank_deficient_least_squares():
    lim = sf.limits(gram(np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])))
    assert lim.stable == 0.5
    assert lim.optimal == lim.safe == 0.25
    assert lim.rate == 1.0
    assert lim.iterations(1e-3) == np.inf
    assert "smallest positive eigenvalue 1" in lim.reasons["rate"]
    assert lim.reasons["optimal"] == "the safe step"
    without = sf.limits(gram(np.eye(3)[:2]), Nesterov())
    assert without.optimal is None
    assert without.reasons["optimal"].startswith("none")


def test_an_undecided_sign_is_said_and_not_called_unstable():
    found = Spectrum(
        kind="curvature",
        largest=Bounds(1.0, 1.01),
        smallest=Bounds(-0.01, 0.01),
        size=9,
        provenance="measured",
    )
    lim = sf.limits(found)
    assert lim.stable == pytest.approx(2 / 1.01)
    assert "undecided" in lim.reasons["stable"]
    assert lim.rate == 1.0


def test_the_safe_step_comes_from_the_upper_end_and_failures_of_both_ends_add():
    """Intervals of which only the ends on the cautious side may set a step, and either of which may miss."""
    found = sf.Spectrum(
        kind="curvature",
        largest=sf.Bounds(4.0, 5.0, "proved", "probabilistic", 1e-3),
        smallest=sf.Bounds(0.5, 6.0, "probabilistic", "proved", 1e-4),
        size=3,
        provenance="measured",
    )
    lim = sf.limits(found)
    assert (lim.safe, lim.stable) == (1 / 5, 2 / 5)
    assert lim.condition.upper == 10.0
    assert lim.condition.lower == 1.0  # 4/6 is no condition number
    assert lim.condition.failure == pytest.approx(1.1e-3)
    # minus a symmetric Jacobian is a curvature, end for end
    mirrored = sf.Spectrum(
        kind="jacobian",
        largest=sf.Bounds(-6.0, -0.5, "proved", "probabilistic", 1e-4),
        smallest=sf.Bounds(-5.0, -4.0, "probabilistic", "proved", 1e-3),
        size=3,
        provenance="measured",
    )
    of_jacobian = sf.limits(mirrored)
    assert (of_jacobian.stable, of_jacobian.optimal, of_jacobian.rate) == (lim.stable, lim.optimal, lim.rate)
    assert of_jacobian.condition == lim.condition


def test_the_upper_end_is_used():
    values = np.linspace(0, 1, 5000)
    operator = LinearMap((5000, 5000), lambda x: values * x, symmetric=True)
    lim = sf.limits(operator)
    assert 0.99 * 2 <= lim.stable <= 2.0
    assert lim.failure == 1e-6


def test_euler_on_jacobians():
    lim = sf.limits([[-1.0, 2.0], [-2.0, -1.0]], kind="jacobian")
    assert lim.stable == pytest.approx(2 * 1 / (1 + 4))
    assert lim.optimal == pytest.approx(0.2, abs=1e-6)
    assert sf.limits([[0.0, 1.0], [-1.0, 0.0]], kind="jacobian").stable == 0.0
    growing = sf.limits([[1.0, 2.0], [-2.0, -1.5]], kind="jacobian")
    assert growing.stable == 0.0 or growing.curvature_limit > 0
    heat = np.diag(-2.0 * np.ones(5)) + np.diag(np.ones(4), 1) + np.diag(np.ones(4), -1)
    spectrum = sf.spectrum(heat, kind="jacobian")
    assert sf.limits(spectrum).stable == pytest.approx(2 / -spectrum.smallest.lower)
    assert sf.limits(spectrum).stable == pytest.approx(sf.limits(-heat).stable)


def test_random_jacobians_on_both_sides():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        matrix = rng.standard_normal((6, 6)) - 4 * np.eye(6)
        lim = sf.limits(matrix, kind="jacobian")
        inside, outside = (np.abs(1 + f * lim.stable * np.linalg.eigvals(matrix)).max() for f in (0.99, 1.01))
        assert inside < 1 < outside
        assert lim.rate == pytest.approx(np.abs(1 + lim.optimal * np.linalg.eigvals(matrix)).max(), rel=1e-9)


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=6), st.floats(1e-6, 1e6), st.integers(0, 99))
@settings(max_examples=50)
def test_scale_covariance_and_rotation_invariance(eigenvalues, scale, seed):
    for method in METHODS[:2]:
        plain = sf.limits(np.diag(eigenvalues), method)
        changed = sf.limits(scale * random_symmetric(seed, eigenvalues), method)
        for name in ("stable", "curvature_limit", "optimal"):
            assert getattr(changed, name) == pytest.approx(getattr(plain, name) / scale, rel=1e-6)
        assert changed.rate == pytest.approx(plain.rate, rel=1e-6, abs=1e-9)


@given(st.floats(0.1, 10), st.floats(0.0, 5))
def test_ridge_lowers_the_limit_and_the_condition(top, ridge):
    found = sf.spectrum(np.diag([0.01, top]))
    plain, shifted = sf.limits(found), sf.limits(found.shifted(ridge))
    assert shifted.stable <= plain.stable
    assert shifted.condition.upper <= plain.condition.upper * (1 + 1e-12)


def test_print_and_json():
    for terrain in (np.diag([1.0, 2.0]), np.zeros((2, 2)), sf.spectrum([[0.0, 1.0], [-1.0, 0.0]], kind="jacobian")):
        lim = sf.limits(terrain)
        assert "stable" in str(lim)
        again = sf.Limits.from_dict(json.loads(json.dumps(lim.to_dict(), allow_nan=False)))
        assert again == lim
    assert "(linear claim at this point)" in str(sf.limits(replace(sf.spectrum(np.eye(2)), scope="local")))
    assert "(for the whole problem)" in str(sf.limits(np.eye(2)))
    assert "best pair" in str(sf.limits(np.diag([1.0, 100.0]), HeavyBall()))


def test_bad_input():
    with pytest.raises(InvalidType, match="method must be a Method"):
        sf.limits(np.eye(2), "sgd")
    with pytest.raises(InvalidType, match="str"):
        sf.limits("matrix")
    for tolerance in (0.0, 1.0, 1.5):
        with pytest.raises(InvalidInput, match="tolerance"):
            sf.limits(np.eye(2)).iterations(tolerance)
