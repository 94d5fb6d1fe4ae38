"""An objective that raises at a trial point has failed a trial; at the start it raises."""

import math

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import SurefootError
from surefoot.problems import Function, Problem
from surefoot.problems.trial_points import attempt, look
from surefoot.rules.named import named_rule
from surefoot.trials import race, sweep


class Barrier(Problem):
    """sum x - log x by math.log: no numbers left of 0, and a problem that is no `Function`."""

    name, size = "barrier", 2

    def value(self, x):
        return float(sum(xi - math.log(xi) for xi in x))

    def gradient(self, x):
        return np.array([1 - 1 / xi for xi in x])

    def hessian_product(self, x, v):
        return v / x**2

    def curvature(self):
        return sf.spectrum(self.hessian(self.start()))

    def start(self):
        return np.array([0.05, 3.0])


def factored(x):
    """log det through a Cholesky factor, which is refused where the matrix is not definite."""
    A = np.array([[1.0 + x[0], 0.5], [0.5, 1.0 + x[1]]])
    L = np.linalg.cholesky(A)
    return float(x @ x - 2 * np.log(np.diag(L)).sum())


def factored_gradient(x):
    A = np.array([[1.0 + x[0], 0.5], [0.5, 1.0 + x[1]]])
    np.linalg.cholesky(A)
    return 2 * x - np.diag(np.linalg.inv(A))


def exponential(x):
    return math.exp(x[0]) + math.exp(-x[0]) + x[1] ** 2


def exponential_gradient(x):
    return np.array([math.exp(x[0]) - math.exp(-x[0]), 2 * x[1]])


PROBLEMS = {
    "log": Barrier(),
    "cholesky": Function(factored, factored_gradient, start=[2.0, 3.0]),
    "exp": Function(exponential, exponential_gradient, start=[8.0, 3.0]),
}


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
@pytest.mark.parametrize("rule", ["auto", "armijo", "wolfe", "bb", "adgd", "constant:100"])
def test_every_rule_survives(problem, rule):
    run = sf.descend(problem, rule=named_rule(rule), steps=200)
    assert math.isfinite(run.loss)
    assert run.loss <= problem.value(problem.start())
    if rule in ("auto", "armijo", "wolfe", "bb"):
        assert run.converged, run


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_advise_race_and_sweep_survive(problem):
    assert sf.advise(problem).recommendations
    assert race(problem, steps=60).entries
    rates = [0.01, 1.0, 100.0]
    endings = [outcome.ending for outcome in sweep(problem, rates, steps=200).outcomes]
    assert len(endings) == 3


def test_the_start_is_no_trial():
    with pytest.raises(ValueError, match=r"domain|positive"):
        sf.descend(Barrier(), [-1.0, 1.0], rule=sf.rules.Auto(), steps=5)
    broken = Function(lambda x: 1 / 0, lambda x: x, start=[1.0])
    with pytest.raises(ZeroDivisionError):
        sf.descend(broken, rule=sf.rules.Auto(), steps=5)


def test_what_is_passed_on():
    def complain(error):
        def call(_):
            raise error

        return call

    assert attempt(complain(OverflowError()), 0) is None
    assert attempt(complain(sf.errors.NotFinite("x")), 0) is None
    for error in (SurefootError("shape"), MemoryError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            attempt(complain(error), 0)
    loss, gradient = look(Barrier(), np.array([-1.0, 1.0]))
    assert math.isnan(loss)
    assert np.isnan(gradient).all()


def test_samples_outside_the_domain_are_left_out():
    problem = Function(
        lambda x: -math.log(x[0]),
        lambda x: np.array([-1 / x[0] if x[0] > 0 else math.log(x[0])]),
        start=[0.5],
        radius=1.0,
    )
    region = problem.curvature().region
    assert "where f raises" in region
