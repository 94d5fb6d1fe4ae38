"""What a run says prints, and is right, for any run of any rule on any problem."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot.problems import (
    AbsoluteLoss,
    Function,
    Hinge,
    Huber,
    LeastSquares,
    Logistic,
    PowerSum,
    Quadratic,
    ResidualNorm,
)
from surefoot.rules.named import Known, named_rule, named_rules
from surefoot.solvers import descend

RNG = np.random.default_rng(0)
X, TARGETS = RNG.standard_normal((12, 3)), RNG.standard_normal(12)
LABELS = np.sign(TARGETS)

PROBLEMS = {
    "quadratic": lambda c: Quadratic(c * np.diag([1.0, 3.0, 100.0]), c * np.ones(3)),
    "saddle": lambda c: Quadratic(c * np.diag([1.0, -1.0, 2.0]), c * np.ones(3)),
    "least squares": lambda c: LeastSquares(X, c * TARGETS),
    "logistic": lambda c: Logistic(c * X, LABELS, ridge=1e-3),
    "huber": lambda c: Huber(X, c * 1e3 * TARGETS, 1.0),
    "absolute": lambda c: AbsoluteLoss(X, c * TARGETS),
    "hinge": lambda c: Hinge(c * X, LABELS),
    "residual": lambda c: ResidualNorm(X, c * TARGETS),
    "power": lambda c: PowerSum(4, size=3),
    "linear": lambda c: Function(lambda x: c * float(x.sum()), lambda x: c * np.ones(3), size=3),
    "log": lambda c: Function(lambda x: float(x[0] - math.log(x[0])), lambda x: np.array([1 - 1 / x[0]]), start=[c]),
}
RULES = sorted(rule.name for rule in named_rules())


def run_of(problem, rule, step):
    """One run, where the rule can be built from a step and the Lipschitz constants that it may ask for."""
    known = Known(first=step, largest=1 / step, smallest=0.01 / step, steps=30, optimum=-1.0)
    name = rule if rule != "constant" else f"constant:{step!r}"
    return descend(problem, rule=named_rule(name, known), steps=30)


@given(
    st.sampled_from(sorted(PROBLEMS)),
    st.sampled_from(RULES),
    st.sampled_from([1e-150, 1e-12, 1e-3, 1.0, 1e3, 1e12, 1e150]),
    st.sampled_from([1e-12, 1e-3, 0.1, 10.0, 1e6]),
)
@settings(max_examples=250, suppress_health_check=list(HealthCheck))
def test_every_run_prints(name, rule, scale, step):
    problem = PROBLEMS[name](scale)
    try:
        run = run_of(problem, rule, step)
    except sf.errors.SurefootError:
        return  # a rule that asks for more than this problem has, or a start beyond floats: said, not crashed
    text = str(run) + str(run.verdict) + repr(run)
    assert text
    for k in range(len(run.trace)):
        assert run.trace.explain(k)
    run.to_dict()


def test_straight_stretches_are_not_too_small_steps():
    for problem in (PROBLEMS["linear"](1.0), Huber(X, 1e9 * TARGETS, 1.0)):
        run = descend(problem, rule=sf.rules.Constant(step=0.1), steps=40)
        assert "inf times" not in str(run)
        assert math.isnan(run.verdict.reach) or run.verdict.reach > 0


def test_second_order_names_its_curvature_and_takes_the_local_one():
    # cosh: the secant over a long move is e^10 times the curvature at the point left
    problem = Function(lambda x: float(np.cosh(x[0])), lambda x: np.sinh(x), lambda x, v: np.cosh(x) * v, start=[1.0])
    step = 20.0
    run = descend(problem, rule=sf.rules.Constant(step=step), steps=1)
    g, h = np.sinh(1.0), np.cosh(1.0)
    model = -step * g**2 + step**2 * h * g**2 / 2
    assert run.trace.curvature[1] == pytest.approx(h)
    assert run.trace.predicted[1] == pytest.approx(model)
    assert f"second order says {model:+.4g}" in run.trace.explain(1)
    assert "above the limit (curvature at the point left)" in run.trace.explain(1)
    plain = descend(problem, rule=sf.rules.Constant(step=step), steps=1, curvature=False)
    assert plain.trace.curvature[1] == pytest.approx(abs(np.sinh(1 - step * g) - g) / (step * g))
    assert "curvature on average over the move" in plain.trace.explain(1)


def test_differences_of_gradients_are_not_worth_a_product():
    by_differences = Function(lambda x: float(np.cosh(x[0])), np.sinh, start=[1.0])
    run = descend(by_differences, rule=sf.rules.Constant(step=0.1), steps=2)
    assert run.trace.curvature_is == "on average over the move"
    kinked = descend(AbsoluteLoss(X, TARGETS), rule=sf.rules.Constant(step=0.1), steps=2)
    assert kinked.trace.curvature_is == "on average over the move"


def test_along_momentum_it_is_the_curvature_along_the_move():
    problem = Logistic(X, LABELS, ridge=0.1)
    points = []
    run = descend(
        problem, np.ones(3), rule=sf.rules.Constant(step=0.5), method=sf.methods.HeavyBall(0.9), steps=3,
        callback=lambda x, _: points.append(x.copy()),
    )  # fmt: skip
    points.insert(0, np.ones(3)) if len(points) == 3 else None
    s = points[3] - points[2]
    assert run.trace.curvature[3] == pytest.approx(s @ problem.hessian_product(points[2], s) / (s @ s))
