"""Closed forms agree with the update they describe, and with real iterations on both sides of each limit."""

import dataclasses
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import surefoot.methods as sm
from surefoot.errors import InvalidInput
from surefoot.methods import EMAMomentum, ForwardEuler, GradientDescent, HeavyBall, Method, Nesterov

METHODS = [
    GradientDescent(),
    HeavyBall(0.0),
    HeavyBall(0.9),
    HeavyBall(0.99),
    HeavyBall(0.9, dampening=0.5),
    EMAMomentum(0.9),
    Nesterov(0.0),
    Nesterov(0.9),
]
NAMED = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)


def test_gradient_descent_is_forward_euler():
    assert ForwardEuler is GradientDescent


@NAMED
def test_closed_amplification_is_the_spectral_radius_of_the_update(method):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((7, 5)) * 3 + 1j * rng.standard_normal((7, 5))
    # double roots lose half the digits, so the comparison stays off them by luck of the draw
    np.testing.assert_allclose(method.amplification(z), Method.amplification(method, z), rtol=1e-9)


@NAMED
def test_closed_limit_is_where_the_generic_search_finds_it(method):
    generic = float(Method.limit_along(method, -1.0))
    assert method.real_limit == pytest.approx(generic, rel=1e-9)


@NAMED
@pytest.mark.parametrize("condition", [1.0, 3.0, 100.0, 1e4])
def test_closed_best_step_has_the_rate_that_the_generic_search_finds(method, condition):
    step, rate = method.best_step(1.0, condition)
    _, generic = Method.best_step(method, 1.0, condition)
    assert rate == pytest.approx(generic, abs=2e-6)
    assert method.amplification(-step * np.geomspace(1, condition, 200)).max() <= rate + 1e-9


@pytest.mark.parametrize(
    ("method", "limit"),
    [
        (GradientDescent(), 2),
        (HeavyBall(0.9), 3.8),
        (EMAMomentum(0.9), 38),
        (Nesterov(0.9), 2 * 1.9 / 2.8),
    ],
)
def test_reference_limits(method, limit):
    assert method.real_limit == pytest.approx(limit, rel=1e-12)


def test_best_pairs():
    method, step = HeavyBall.best(1.0, 100.0)
    assert step == pytest.approx((2 / 11) ** 2)
    assert np.sqrt(method.momentum) == pytest.approx(0.818182, abs=1e-6)
    rates = method.amplification(-step * np.linspace(1, 100, 300))
    assert rates.max() == pytest.approx(0.818182, abs=1e-5)
    method, step = Nesterov.best(1.0, 100.0)
    rates = method.amplification(-step * np.linspace(1, 100, 300))
    assert rates.max() == pytest.approx(0.884722, abs=1e-6)
    assert "0.818182" in HeavyBall().tuned(1.0, 100.0)
    assert "0.884722" in Nesterov().tuned(1.0, 100.0)


def iterate(method, curvatures, step, steps):
    """Growth of the iterate over a real run of the update, from a random start."""
    x = np.random.default_rng(1).standard_normal(curvatures.size)
    state = method.start(x)
    for _ in range(steps):
        state = method.update(state, lambda y: -step * curvatures * y)
        if np.abs(state[0]).max() > 1e9:
            break
    return np.linalg.norm(state[0]) / np.linalg.norm(x)


@NAMED
def test_both_sides_of_the_limit(method):
    curvatures = np.array([0.5, 1.0, 7.0])
    limit = method.real_limit / 7.0
    assert iterate(method, curvatures, 0.99 * limit, 5000) < 1e-3
    assert iterate(method, curvatures, 1.01 * limit, 5000) > 1e3


@NAMED
def test_negative_curvature_grows_at_any_step(method):
    assert (method.amplification(np.geomspace(1e-4, 10, 50)) > 1).all()


@given(st.floats(0.01, 3), st.floats(-np.pi, np.pi))
def test_euler_on_a_complex_pair(a, angle):
    eigenvalue = -a + 1j * np.tan(angle)
    reach = float(GradientDescent().limit_along(eigenvalue / abs(eigenvalue))) / abs(eigenvalue)
    assert reach == pytest.approx(2 * a / abs(eigenvalue) ** 2, rel=1e-9)


def test_rays_where_nothing_is_stable():
    assert GradientDescent().limit_along(1j) == 0
    assert HeavyBall(0.5).limit_along(1.0) == 0
    np.testing.assert_array_equal(GradientDescent().limit_along([[1.0], [-1.0]]), [[0.0], [2.0]])


class BackwardEuler(Method):
    """x' = x/(1 - z) on a linear flow, by solving for the fixed point: always stable."""

    name = "backward Euler"

    def update(self, state, flow):
        (x,) = state
        z = flow(np.ones_like(x))
        return (x / (1 - z),)


def test_an_always_stable_method_has_no_limit():
    assert BackwardEuler().real_limit == np.inf
    _, rate = BackwardEuler().best_step(1.0, 10.0)
    assert rate < 1e-2


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: HeavyBall(1.0), "momentum must be in"),
        (lambda: HeavyBall(-0.1), "momentum must be in"),
        (lambda: HeavyBall(0.5, dampening=1.0), "dampening"),
        (lambda: EMAMomentum(float("nan")), "beta"),
        (lambda: Nesterov(2), "momentum"),
        (lambda: HeavyBall.best(0.0, 1.0), "0 < smallest"),
        (lambda: Nesterov.best(2.0, 1.0), "0 < smallest"),
    ],
)
def test_bad_parameters(make, says):
    with pytest.raises(InvalidInput, match=says):
        make()


@pytest.mark.parametrize("name", sm.__all__)
def test_a_method_is_a_value(name):
    """Equal by its parameters, and nothing about it can be changed: limits are cached by it."""
    kind = getattr(sm, name)
    needed = {"AdamsBashforth": (2,), "HeavyBall": (0.5,), "EMAMomentum": (0.5,), "Nesterov": (0.5,), "RadauIIA": (2,)}
    if not (isinstance(kind, type) and issubclass(kind, sm.Method)) or inspect.isabstract(kind):
        pytest.skip("not a method")
    try:
        one, other = kind(*needed.get(name, ())), kind(*needed.get(name, ()))
    except TypeError:
        pytest.skip("made from data of one's own")
    assert one == other
    assert hash(one) == hash(other)
    assert kind.__dataclass_params__.frozen


def test_stages_by_default():
    assert (sm.RungeKuttaChebyshev().stages, sm.RungeKuttaLegendre().stages) == (10, 9)


def test_methods_are_frozen():
    for module in pkgutil.walk_packages(sm.__path__, "surefoot.methods."):
        for cls in vars(importlib.import_module(module.name)).values():
            if dataclasses.is_dataclass(cls) and isinstance(cls, type) and issubclass(cls, Method):
                assert cls.__dataclass_params__.frozen, cls


def test_the_search_for_the_best_step_has_ten_digits():
    """2/(mu + L) and (L - mu)/(L + mu), by the search alone."""
    for condition in (3.0, 4.0, 7.0, 10.0):
        step, rate = Method.best_step(GradientDescent(), 1.0, condition)
        assert step == pytest.approx(2 / (1 + condition), rel=3e-10)
        assert rate == pytest.approx((condition - 1) / (condition + 1), rel=1e-9)


def test_the_boundary_of_a_region_is_where_the_method_conserves():
    """Of forward Euler the unit circle around -1, from 0 over its top to -2 and back."""
    boundary = ForwardEuler().region().boundary
    np.testing.assert_allclose(np.abs(1 + boundary), 1, atol=1e-6)
    assert boundary[0] == boundary[-1] == 0
    assert boundary.real.min() == pytest.approx(-2)
    assert boundary.imag.max() == pytest.approx(1, abs=1e-3)


def test_an_implicit_step_from_rest_stays_there():
    (x,) = sm.BackwardEuler().update((np.zeros(2),), lambda x: -x)
    assert not x.any()
