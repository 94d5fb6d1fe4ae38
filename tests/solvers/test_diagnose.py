"""Each built-in equation gets the advice that it is known for, and the run confirms it."""

import json

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput, NotFinite, NotRepeatable, UnknownTarget
from surefoot.targets import ode, odes

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
    found = ode(name).diagnose()
    assert found.recommendation == KNOWN[name]
    assert found.verified, str(found)
    assert found.method in str(found)
    json.dumps(found.to_dict(), allow_nan=False)
    if KNOWN[name] == "explicit":
        assert found.trials[0].method == "RK45"
    else:
        explicit = next(t for t in found.trials if t.method == "RK45")
        assert not explicit.finished or explicit.evaluations > found.trials[0].evaluations


def test_all_equations_are_listed():
    assert set(odes()) == {"ode:" + name for name in KNOWN}
    with pytest.raises(UnknownTarget, match="ode:robertson"):
        ode("ode:robertsen")
    with pytest.raises(UnknownTarget, match="give one of"):
        ode("zzz")


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
