"""Each built-in equation gets the advice that it is known for, and the run confirms it."""

import json
import math

import numpy as np
import pytest
from scipy.sparse import diags_array

import surefoot as sf
from surefoot.errors import InvalidInput, NotFinite, NotRepeatable, UnknownTarget
from surefoot.targets import registry, resolve

KNOWN = {
    "robertson": "implicit",
    "van-der-pol": "explicit",
    "van-der-pol-1000": "implicit",
    "brusselator-1d": "stabilised",
    "heat-1d": "stabilised",
    "kepler": "explicit",
    "lorenz": "explicit",
    "fast-slow": "implicit",
    "star-and-moon": "explicit",
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_advice(name):
    (equation,) = resolve("ode:" + name)
    found = equation.diagnose()
    assert found.recommendation == KNOWN[name]
    assert found.verified, str(found)
    assert found.method in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
    near = [t for t in found.trials if t.finished and t.error <= 0.05]
    assert found.trials[0].work <= 3 * min(t.work for t in near)
    if KNOWN[name] == "explicit":
        assert found.trials[0].method == "RK45"
    else:
        explicit = next(t for t in found.trials if t.method == "RK45")
        assert not explicit.finished or explicit.evaluations > found.trials[0].evaluations


def test_all_equations_are_listed():
    listed = {entry.name for entry in registry() if entry.name.startswith("ode:")}
    assert listed == {"ode:" + name for name in KNOWN}
    with pytest.raises(UnknownTarget, match="ode:robertson"):
        resolve("ode:robertsen")


def test_numbers_of_a_linear_system():
    found = sf.diagnose(lambda t, y: [-1000 * (y[0] - y[1]), -y[1]], 0.0, [1.0, 1.0], span=10.0)
    assert found.stiffness == pytest.approx(1000, rel=1e-6)
    euler = next(c for c in found.costs if c.method == "forward Euler")
    assert euler.smallest_step == pytest.approx(0.002, rel=1e-6)
    assert euler.stability_steps == pytest.approx(5000, rel=1e-6)
    assert found.recommendation == "implicit"


def test_analytic_jacobian_and_time_dependence():
    def fun(t, y):
        return -100 * (y - np.sin(t))

    found = sf.diagnose(fun, 1.0, [0.0], span=3.0, jac=lambda t, y: [[-100.0]])
    assert found.fastest == pytest.approx(100)
    assert found.span == (1.0, 4.0)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: sf.diagnose(lambda t, y: y, 0.0, [1.0], span=-1.0), InvalidInput, "span"),
        (lambda: sf.diagnose(lambda t, y: [1.0, 2.0], 0.0, [1.0], span=1.0), InvalidInput, r"shape \(1,\)"),
        (lambda: sf.diagnose(lambda t, y: y * np.nan, 0.0, [1.0], span=1.0), NotFinite, "NaN"),
        (lambda: sf.diagnose(lambda t, y: y**2, 0.0, [1.0], span=2.0), InvalidInput, "no solution up to"),
        (
            lambda: sf.diagnose(lambda t, y: np.random.default_rng().random(1), 0.0, [1.0], span=1.0),
            NotRepeatable,
            "two",
        ),
    ],
)
def test_bad_input(make, error, says):
    with pytest.raises(error, match=says):
        make()


def heat(n):
    """A rod, one throughout, with cold ends."""
    A = (n + 1) ** 2 * diags_array([np.ones(n - 1), -2 * np.ones(n), np.ones(n - 1)], offsets=[-1, 0, 1]).tocsr()
    return lambda _, y: A @ y, np.ones(n), A


@pytest.mark.parametrize("n", [30, 200])
def test_a_rod_with_cold_ends_is_stiff_whatever_its_points(n):
    fun, start, _ = heat(n)
    found = sf.diagnose(fun, 0.0, start, span=0.2)
    assert found.recommendation in ("stabilised", "implicit")
    assert found.verified
    explicit = next(t for t in found.trials if t.method == "RK45")
    assert not explicit.finished or explicit.work > 3 * found.trials[0].work


def test_a_fine_grid_takes_an_implicit_method_with_its_pattern_and_stages_without():
    fun, start, A = heat(400)
    assert sf.diagnose(fun, 0.0, start, span=0.05, sparsity=A).method == "BDF"
    assert sf.diagnose(fun, 0.0, start, span=0.05).method == "RKC"


@pytest.mark.parametrize(
    ("fun", "start", "span"),
    [
        (lambda _, y: [-1e9 * (y[0] - y[1]), -y[1]], [1.0, 1.0], 10.0),
        (lambda _, y: [-1e15 * (y[0] - y[1]), -y[1]], [1.0, 1.0], 10.0),
        (
            lambda _, y: [
                1e4 * y[1] * y[2] - 0.04 * y[0],
                0.04 * y[0] - 1e4 * y[1] * y[2] - 3e7 * y[1] ** 2,
                3e7 * y[1] ** 2,
            ],
            [1.0, 0.0, 0.0],
            1e11,
        ),
        (lambda _, y: [y[1], 1e6 * (1 - y[0] ** 2) * y[1] - y[0]], [2.0, 0.0], 2e6),
    ],
    ids=["1e9", "1e15", "Robertson to 1e11", "van der Pol 1e6"],
)
def test_extreme_stiffness_is_an_answer(fun, start, span):
    found = sf.diagnose(fun, 0.0, start, span=span, atol=1e-10)
    assert found.recommendation == "implicit"
    assert found.verified, str(found)


def test_transport_is_not_stiff():
    n = 100
    A = (n + 1) * diags_array([np.ones(n - 1), -np.ones(n)], offsets=[-1, 0]).tocsr()
    start = np.exp(-100 * (np.linspace(0, 1, n) - 0.3) ** 2)
    found = sf.diagnose(lambda _, y: A @ y, 0.0, start, span=0.5, sparsity=A)
    assert found.recommendation == "explicit"


def test_an_equation_that_leaves_its_domain_at_a_trial_point():
    # a long first step of an explicit method makes y negative, where log raises
    found = sf.diagnose(lambda _, y: [-1e5 * math.log(y[0])], 0.0, [2.0], span=1.0)
    assert found.recommendation == "implicit"
    run = sf.integrate(lambda _, y: [-math.sqrt(y[0])], (0.0, 3.0), [1.0], method="RK45")  # 0 at t = 2
    assert not run.finished
