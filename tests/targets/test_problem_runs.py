"""A classical target's short runs are the engine's, and as long as they were asked to be."""

import math

import numpy as np
import pytest

from surefoot.problems import Logistic, Quadratic
from surefoot.rules import Constant
from surefoot.solvers import descend
from surefoot.targets import ProblemTarget

Q = np.diag([1.0, 2.0, 4.0])


def labels(target):
    return [candidate.label for candidate in target.candidates()]


def test_they_are_those_of_descend():
    target = ProblemTarget(Quadratic(Q, [1.0, 1.0, 1.0]))
    for candidate in target.candidates():
        run = descend(target.problem, target.start, rule=Constant(step=0.1), method=candidate.method, steps=30, tol=0)
        assert target.trial(candidate, 0.1, 30) == run.trace.loss.tolist()
        assert target.gradient_norms(candidate, 0.1, 30) == run.trace.gradient_norm.tolist()


def test_gradient_descent_by_hand():
    target = ProblemTarget(Quadratic(Q, [1.0, 1.0, 1.0]))
    x, losses = np.zeros(3), []
    for _ in range(6):
        losses.append(0.5 * x @ Q @ x - x.sum())
        x = x - 0.3 * (Q @ x - 1)
    assert target.trial(target.candidates()[0], 0.3, 5) == pytest.approx(losses)


def test_a_run_that_comes_to_rest_stays_there():
    target = ProblemTarget(Quadratic([[2.0]], [2.0]))
    losses = target.trial(target.candidates()[0], 0.5, 7)
    assert losses == [0.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]
    assert target.gradient_norms(target.candidates()[0], 0.5, 3) == [2.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("step", [1e30, 1e200])
def test_a_run_that_leaves_the_numbers_ends_in_nan(step):
    target = ProblemTarget(Quadratic(Q, [1.0, 1.0, 1.0]))
    for values in (
        target.trial(target.candidates()[0], step, 60),
        target.gradient_norms(target.candidates()[0], step, 60),
    ):
        assert math.isnan(values[-1])
        assert len(values) < 60
        assert all(map(math.isfinite, values[:-1]))


def test_a_step_too_small_to_move_anything_is_a_run_that_rests():
    target = ProblemTarget(Logistic([[1.0], [-1.0], [2.0]], [0, 1, 1], ridge=0.1))
    target.start = np.array([1.0])
    losses = target.trial(target.candidates()[0], 1e-40, 4)
    assert len(losses) == 5
    assert len(set(losses)) == 1
