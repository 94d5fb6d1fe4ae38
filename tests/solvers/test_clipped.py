"""Clipping above the limit: `descend` sees the oscillation that the limits predict, and calls it by its name."""

import math

import numpy as np
import pytest

import surefoot as sf
from surefoot.methods import HeavyBall
from surefoot.problems import Quadratic
from surefoot.rules import Clipped, Constant


def run(curvatures, factor, cap, x0, **settings):
    problem = Quadratic(np.diag(curvatures))
    limit = sf.limits(problem, clip=cap)
    step = factor * limit.curvature_limit
    # the rule's cap is on the move, that of the limits on the gradient
    rule = Clipped(rule=Constant(step=step), cap=step * cap)
    return limit.oscillation(step), sf.descend(problem, x0, rule=rule, **settings)


@pytest.mark.parametrize("factor", [1.02, 1.7, 6.0])
@pytest.mark.parametrize("start", [1e-3, 40.0])
def test_one_direction_swings_as_predicted(factor, start):
    predicted, seen = run([5.0], factor, 0.7, np.array([start]), steps=3000)
    assert seen.verdict.ending == "oscillating"
    assert seen.verdict.oscillation == pytest.approx(predicted.peak_to_peak, rel=1e-9)
    assert predicted.lowest <= abs(seen.x[0]) <= predicted.highest
    assert "bounded oscillation" in str(seen.verdict)
    assert seen.verdict.to_dict()["oscillation"] == seen.verdict.oscillation


def test_a_start_near_the_minimum_is_not_called_divergence_though_the_loss_rises():
    _, seen = run([5.0], 1.5, 1.0, np.array([1e-4]), steps=400)
    assert seen.trace.loss[-1] > 100 * seen.trace.loss[0]
    assert seen.verdict.ending == "oscillating"


def test_other_directions_use_up_part_of_the_cap():
    """In several directions the prediction is an upper estimate of the sharp one's swing."""
    predicted, seen = run([5.0, 0.3, 0.1], 1.5, 1.0, np.array([0.3, 2.0, 5.0]), steps=4000)
    assert seen.verdict.ending == "oscillating"
    assert seen.verdict.oscillation <= predicted.peak_to_peak * (1 + 1e-9)
    assert seen.verdict.oscillation == pytest.approx(predicted.peak_to_peak, rel=1e-6)


def test_below_the_limit_nothing_swings():
    predicted, seen = run([5.0], 0.98, 0.7, np.array([3.0]), steps=3000)
    assert predicted is None
    assert seen.converged
    assert math.isnan(seen.verdict.oscillation)
    assert seen.verdict.to_dict()["oscillation"] == "nan"


def test_without_a_cap_it_diverges_and_a_steady_clipped_descent_does_not_swing():
    problem = Quadratic(np.diag([5.0]))
    gone = sf.descend(problem, np.array([1.0]), rule=Constant(step=0.5), steps=300)
    assert gone.verdict.ending == "diverged"
    assert math.isnan(gone.verdict.oscillation)
    far = Quadratic(np.diag([1e-3]))
    steady = sf.descend(far, np.array([1e4]), rule=Clipped(rule=Constant(step=1000.0), cap=1.0), steps=100)
    assert math.isnan(steady.verdict.oscillation)
    assert steady.verdict.ending != "oscillating"


def test_the_length_of_a_move_with_momentum_is_not_claimed():
    problem = Quadratic(np.diag([5.0]))
    rule = Clipped(rule=Constant(step=1.5), cap=1.0)
    seen = sf.descend(problem, np.array([0.3]), rule=rule, method=HeavyBall(0.5), steps=500)
    assert math.isnan(seen.verdict.oscillation)
