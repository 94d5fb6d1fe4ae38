"""Values, gradients and Hessian products against naive formulas, complex steps and central differences."""

import numpy as np
import pytest
from problems.cases import CASES, KINKED, LOCAL

from surefoot.operators import as_operator
from surefoot.problems import LeastSquares, Logistic, Quadratic, Softmax

each_case = pytest.mark.parametrize("case", [*CASES, *LOCAL, *KINKED], ids=lambda case: case.name)
each_smooth_case = pytest.mark.parametrize("case", [*CASES, *LOCAL], ids=lambda case: case.name)


def points(case, seed):
    rng = np.random.default_rng(seed)
    return rng.standard_normal(case.problem.size), rng.standard_normal(case.problem.size)


@each_case
def test_value_is_the_naive_formula(case):
    x, _ = points(case, 1)
    assert case.problem.value(x) == pytest.approx(case.naive(x), rel=1e-13)


@each_case
def test_gradient_is_the_complex_step_of_the_naive_formula(case):
    x, _ = points(case, 2)
    step = 1e-30
    expected = [case.naive(x + 1j * step * unit).imag / step for unit in np.eye(x.size)]
    np.testing.assert_allclose(case.problem.gradient(x), expected, rtol=1e-12, atol=1e-14)


@each_smooth_case
def test_hessian_product_is_the_central_difference_of_the_gradient(case):
    x, v = points(case, 3)
    step = 1e-5
    difference = (case.problem.gradient(x + step * v) - case.problem.gradient(x - step * v)) / (2 * step)
    np.testing.assert_allclose(case.problem.hessian_product(x, v), difference, rtol=1e-7, atol=1e-8)


@each_case
def test_value_and_gradient_agree_with_both(case):
    x, _ = points(case, 4)
    value, gradient = case.problem.value_and_gradient(x)
    assert value == case.problem.value(x)
    np.testing.assert_array_equal(gradient, case.problem.gradient(x))


@each_smooth_case
def test_hessian_is_an_operator_that_scipy_takes(case):
    x, v = points(case, 5)
    hessian = case.problem.hessian(x)
    assert hessian.shape == (x.size, x.size)
    assert hessian.kind == "curvature"
    assert hessian.psd is case.problem.convex
    np.testing.assert_array_equal(hessian @ v, case.problem.hessian_product(x, v))


@each_case
def test_size_start_and_repr(case):
    problem = case.problem
    assert problem.start().shape == (problem.size,)
    assert repr(problem) == f"{type(problem).__name__}(size={problem.size})"


@each_case
def test_points_are_checked(case):
    problem = case.problem
    for call in (problem.value, problem.gradient, problem.value_and_gradient, problem.hessian):
        with pytest.raises(ValueError, match=rf"x must have shape \({problem.size},\); got \({problem.size + 1},\)"):
            call(np.zeros(problem.size + 1))
        with pytest.raises(ValueError, match="x has 1 NaN or infinite entries"):
            call(np.where(np.arange(problem.size) == 0, np.nan, 0.0))
        with pytest.raises(TypeError, match="x must be real"):
            call(1j * np.zeros(problem.size))
    with pytest.raises(ValueError, match="v must have shape"):
        problem.hessian_product(problem.start(), np.zeros(problem.size + 1))
    assert problem.value([2] * problem.size) == problem.value(2.0 * np.ones(problem.size))


@pytest.mark.parametrize("score", [40.0, 800.0, 1e6])
def test_losses_are_stable_far_out(score):
    logistic = Logistic([[1.0], [1.0]], [0, 1])
    assert logistic.value([score]) == pytest.approx(score / 2, rel=1e-12)
    assert logistic.gradient([score]) == pytest.approx([0.5])
    assert logistic.gradient([-score]) == pytest.approx([-0.5])
    softmax = Softmax([[1.0], [1.0], [1.0]], [0, 1, 2])
    assert softmax.value([score, 0, -score]) == pytest.approx(score, rel=1e-12)
    np.testing.assert_allclose(softmax.gradient([score, 0, -score]), [2 / 3, -1 / 3, -1 / 3])


def test_logistic_tails_keep_their_relative_accuracy():
    separable = Logistic([[1.0], [-1.0]], [1, 0])
    assert separable.gradient([50.0]) == pytest.approx([-np.exp(-50)], rel=1e-12)
    assert separable.hessian_product([50.0], [1.0]) == pytest.approx([np.exp(-50)], rel=1e-12)
    assert separable.value([50.0]) == pytest.approx(np.exp(-50), rel=1e-12)


@pytest.mark.parametrize("problem", [LeastSquares([[1e200]], [0.0]), LeastSquares([[1e200]], [0.0], ridge=1.0)])
def test_overflow_is_an_infinite_value_without_a_warning(problem):
    assert problem.value([1e200]) == np.inf
    assert problem.value_and_gradient([1e200])[0] == np.inf


def test_two_class_softmax_is_logistic():
    rng = np.random.default_rng(0)
    X, y, w = rng.standard_normal((9, 2)), rng.permutation(9) % 2, rng.standard_normal(2)
    softmax, logistic = Softmax(X, y), Logistic(X, y)
    assert softmax.value(np.concatenate([-w / 2, w / 2])) == pytest.approx(logistic.value(w), rel=1e-13)
    assert softmax.curvature().largest.upper == pytest.approx(2 * logistic.curvature().largest.upper)


def test_quadratic_of_an_operator_is_that_of_its_matrix():
    rng = np.random.default_rng(1)
    Q = rng.standard_normal((5, 5))
    Q = Q + Q.T
    dense = Quadratic(Q, np.arange(5))

    class Duck:
        shape = (5, 5)
        dtype = np.float64

        def matvec(self, x):
            return Q @ x

    x = rng.standard_normal(5)
    problem = Quadratic(Duck(), np.arange(5))
    assert problem.value(x) == pytest.approx(dense.value(x))
    np.testing.assert_allclose(problem.gradient(x), dense.gradient(x))
    assert Quadratic(as_operator(Q), np.arange(5)).value(x) == dense.value(x)


def test_the_data_are_copied():
    X = np.eye(2)
    b = np.ones(2)
    problem = LeastSquares(X, b)
    before = problem.value([1.0, 2.0])
    X[:] = 7
    b[:] = 7
    assert problem.value([1.0, 2.0]) == before
