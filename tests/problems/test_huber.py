"""Huber's loss: squares inside, lines outside, and a curvature that knows which of them can be reached."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType
from surefoot.problems import AbsoluteLoss, Huber, LeastSquares

RNG = np.random.default_rng(4)
A = RNG.standard_normal((30, 4))
B = A @ np.ones(4) + 0.1 * RNG.standard_normal(30)


def hessian(problem, x):
    return np.stack([problem.hessian_product(x, unit) for unit in np.eye(problem.size)])


def test_beyond_all_residuals_it_is_least_squares():
    x, v = RNG.standard_normal((2, 4))
    huber, squares = Huber(A, B, 1e6, ridge=0.2), LeastSquares(A, B, ridge=0.2)
    assert huber.value(x) == pytest.approx(squares.value(x), rel=1e-13)
    np.testing.assert_allclose(huber.gradient(x), squares.gradient(x), rtol=1e-12)
    np.testing.assert_allclose(huber.hessian_product(x, v), squares.hessian_product(x, v), rtol=1e-12)
    assert huber.curvature().largest == squares.curvature().largest


def test_for_a_small_delta_it_is_delta_times_the_absolute_loss():
    x, delta = RNG.standard_normal(4), 1e-9
    assert Huber(A, B, delta).value(x) / delta == pytest.approx(AbsoluteLoss(A, B).value(x), rel=1e-8)


@settings(max_examples=30)
@given(unit=st.floats(1e-3, 1e3), seed=st.integers(0, 100))
def test_the_unit_of_the_targets(unit, seed):
    """b, x and delta in another unit: the value changes by its square, the curvature not at all."""
    x = np.random.default_rng(seed).standard_normal(4)
    plain, other = Huber(A, B, 0.3), Huber(A, unit * B, unit * 0.3)
    assert other.value(unit * x) == pytest.approx(unit**2 * plain.value(x), rel=1e-12)
    assert other.curvature().largest.upper == pytest.approx(plain.curvature().largest.upper, rel=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("intercept", [False, True])
def test_the_supremum_is_told_from_a_bound(sparse, intercept):
    data = scipy.sparse.csr_array(A) if sparse else A
    reachable = Huber(data, B + 50 * (A @ np.ones(4)), 1.0, intercept=intercept).curvature()
    assert reachable.largest.upper_is == "exact"
    outliers = B + 100 * (np.arange(30) % 3 == 0)
    found = Huber(data, outliers, 1.0, intercept=intercept).curvature()
    assert (found.largest.lower_is, found.largest.upper_is) == ("proved", "proved")
    assert found.largest.lower < found.largest.upper == pytest.approx(reachable.largest.upper)


def test_the_lower_end_is_met_where_the_longest_row_fits():
    b = 100 * RNG.standard_normal(30)
    problem = Huber(A, b, 1e-6, ridge=0.2)
    longest = int(np.argmax((A**2).sum(axis=1)))
    x = A[longest] * b[longest] / (A[longest] @ A[longest])
    assert np.linalg.eigvalsh(hessian(problem, x))[-1] == pytest.approx(problem.curvature().largest.lower, rel=1e-10)


def test_the_smallest_is_the_ridge_and_is_attained_far_out():
    problem = Huber(A, B, 0.1, ridge=0.25)
    far = 1e6 * RNG.standard_normal(4)
    np.testing.assert_allclose(hessian(problem, far), 0.25 * np.eye(4))
    assert problem.curvature().smallest.lower == problem.curvature().smallest.upper == 0.25
    assert Huber(A, B, 0.1, ridge=0.25, intercept=True).curvature().smallest.upper == 0.0


def test_one_outlier_moves_it_by_no_more_than_delta_allows():
    spoilt = B.copy()
    spoilt[0] += 1e6
    fit = sf.descend(Huber(A, spoilt, 0.3), rule=sf.rules.Auto(), tol=1e-10)
    assert fit.converged
    np.testing.assert_allclose(fit.x, np.ones(4), atol=0.2)
    assert np.abs(sf.descend(LeastSquares(A, spoilt), rule=sf.rules.Auto(), tol=1e-10).x - 1).max() > 1e3


def test_the_safe_step_descends_and_twice_the_limit_does_not():
    problem = Huber(A, B, 100.0)
    lim = sf.limits(problem)
    below = sf.descend(problem, rule=sf.rules.Constant(step=0.99 * lim.stable), steps=300)
    above = sf.descend(problem, rule=sf.rules.Constant(step=1.01 * lim.stable), steps=300)
    assert (np.diff(below.trace.loss) <= 1e-15).all()
    assert above.loss > above.trace.loss.min()


@pytest.mark.parametrize(
    ("delta", "error", "message"),
    [
        (0.0, InvalidInput, r"delta must be positive and finite; got 0\.0"),
        (-1, InvalidInput, "got -1"),
        (np.inf, InvalidInput, "got inf"),
        (np.nan, InvalidInput, "got nan"),
        ("wide", InvalidType, "delta must be a number; got 'wide'"),
        (None, InvalidType, "got None"),
    ],
)
def test_delta(delta, error, message):
    with pytest.raises(error, match=message):
        Huber(A, B, delta)


def test_name():
    assert Huber(A, B, 0.5, ridge=0.1).name == "Huber regression, 30 x 4, delta 0.5, ridge 0.1"
