"""Limits for uncertain features hold for every feature scale within the range."""

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput
from surefoot.problems import LeastSquares, Logistic, Quadratic, Softmax

RNG = np.random.default_rng(4)
X = RNG.standard_normal((60, 4))
CASES = {
    "least squares": lambda x: LeastSquares(x, np.arange(60.0), ridge=0.1),
    "with intercept": lambda x: LeastSquares(x, np.arange(60.0), intercept=True),
    "logistic": lambda x: Logistic(x, np.arange(60) % 2, ridge=0.01),
    "softmax": lambda x: Softmax(x, np.arange(60) % 3, intercept=True),
}


@pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())
def test_every_sampled_scaling_stays_within(make):
    worst = make(X).uncertain_curvature(0.2)
    assert worst.provenance == "worst case"
    for _ in range(300):
        found = make(X * RNG.uniform(0.8, 1.2, 4)).curvature()
        assert found.largest.upper <= worst.largest.upper * (1 + 1e-12)
        assert found.smallest.lower >= worst.smallest.lower * (1 - 1e-12) - 1e-15
    assert make(X * 1.2).curvature().largest.upper == pytest.approx(worst.largest.upper, rel=1e-12)


def test_no_uncertainty_is_the_nominal_case():
    problem = CASES["least squares"](X)
    assert problem.uncertain_curvature(0.0).largest.upper == problem.curvature().largest.upper
    assert sf.limits(problem.uncertain_curvature(0.2)).stable < sf.limits(problem).stable


def test_advice_with_uncertain_features_is_smaller():
    target = sf.targets.as_target(CASES["logistic"](X))
    nominal, robust = sf.advise(target), sf.advise(target.with_uncertainty(0.2))
    for plain, safe in zip(nominal.recommendations, robust.recommendations, strict=True):
        assert safe.limits.stable < plain.limits.stable
        assert "within +-20%" in safe.spectrum.note
        assert all(v.agrees is not False for v in safe.verification)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, np.nan])
def test_a_fraction_out_of_range(fraction):
    with pytest.raises(InvalidInput, match="fraction"):
        CASES["logistic"](X).uncertain_curvature(fraction)


def test_a_quadratic_has_no_features():
    with pytest.raises(InvalidInput, match="no features"):
        Quadratic(np.eye(2)).uncertain_curvature(0.1)
