"""A rule on a problem as a map: the orbit is the run that `descend` makes, and the long run finds its limit."""

import numpy as np
import pytest

import surefoot as sf
from surefoot.dynamics import bifurcations, diagram, lyapunov, orbit, period
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import GradientDescent, HeavyBall, Nesterov
from surefoot.problems import Function, Logistic, Quadratic
from surefoot.rules import AdGD, BarzilaiBorwein, Clipped, Constant, Cosine, Warmup
from surefoot.solvers import as_map

RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 3))
LOGISTIC = Logistic(X, np.sign(RNG.standard_normal(20)), ridge=0.1)
QUADRATIC = Quadratic(np.diag([1.0, 4.0]))
CUBIC = Function(lambda x: x[0] ** 2 / 2 - x[0] ** 3 / 3, lambda x: x - x**2, size=1, start=[0.3], name="cubic")


@pytest.mark.parametrize("method", [GradientDescent(), HeavyBall(0.7), Nesterov(0.5)], ids=lambda m: m.name)
def test_an_orbit_is_the_run(method):
    steps = [0.1, 0.4]
    start = np.ones(3)
    states = np.concatenate(method.start(start))
    x = orbit(as_map(LOGISTIC, method=method), steps, states, steps=25, keep=1)[0]
    for i, step in enumerate(steps):
        run = sf.descend(LOGISTIC, start, rule=Constant(step=step), method=method, steps=25, tol=0.0)
        np.testing.assert_array_equal(x[:3, i], run.x)


def test_a_clipped_rule_swings_as_the_limits_say():
    limit = sf.limits(QUADRATIC, clip=0.5)
    update = as_map(QUADRATIC, lambda step: Clipped(rule=Constant(step=step), cap=0.5 * step))
    steps = np.array([0.9, 1.2, 3.0]) * limit.curvature_limit
    x = orbit(update, steps, [0.3, 0.4], steps=2000, keep=8)
    assert period(x, tolerance=1e-9).tolist() == [1, 2, 2]
    swings = np.linalg.norm(x[-1] - x[-2], axis=0)
    assert swings[0] < 1e-12
    for swing, step in zip(swings[1:], steps[1:], strict=True):
        assert swing == pytest.approx(limit.oscillation(step).peak_to_peak, rel=1e-9)


def test_thresholds_exponents_and_diagrams_take_it():
    update = as_map(CUBIC)
    found = bifurcations(update, (1.5, 2.5), [0.3], 2)
    np.testing.assert_allclose(found.parameters, [2.0, np.sqrt(6)], rtol=1e-8)
    assert lyapunov(update, [1.5, 2.9], [0.3], 600)[1] > 0.2
    seen = diagram(update, [1.5, 2.2, 2.5, 3.2], [0.3], steps=400, keep=16)
    assert seen.period.tolist() == [1, 2, 4, 0]
    assert seen.left.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    "rule",
    [
        lambda step: BarzilaiBorwein(first=step),
        lambda step: AdGD(first=step),
        lambda step: Cosine(step=step, steps=100),
        lambda step: Warmup(rule=Constant(step=step), steps=10),
    ],
)
def test_rules_that_remember_are_refused(rule):
    with pytest.raises(InvalidInput, match="of the point alone"):
        as_map(QUADRATIC, rule)


def test_what_is_wrong_is_said():
    with pytest.raises(InvalidType, match="problem"):
        as_map(np.eye(2))
    with pytest.raises(InvalidType, match="rule"):
        as_map(QUADRATIC, lambda step: step)
    with pytest.raises(InvalidInput, match=r"shape \(2, p\)"):
        orbit(as_map(QUADRATIC), [0.1], [1.0], steps=3)
    with pytest.raises(InvalidInput, match=r"shape \(4, p\)"):
        orbit(as_map(QUADRATIC, method=HeavyBall(0.5)), [0.1], [1.0, 1.0], steps=3)
