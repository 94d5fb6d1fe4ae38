"""Closed forms of the curvature: reference values, and Hessians that they must bound."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from problems.cases import CASES
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from surefoot.operators import gram
from surefoot.problems import LeastSquares, Logistic, Quadratic, Softmax
from surefoot.spectra import Spectrum

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
ROUNDING = 1e-10


def matrix_of(hessian):
    return np.stack([hessian @ unit for unit in np.eye(hessian.shape[0])])


def condition(spectrum):
    return spectrum.largest.upper / spectrum.smallest.lower


# ---- reference values -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tumours():
    return load_breast_cancer(return_X_y=True)


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def test_breast_cancer_logistic(tumours):
    X, y = tumours
    assert Logistic(X, y).curvature().largest.upper == pytest.approx(416434.6102, abs=1e-4)
    assert Logistic(X, y, intercept=True).curvature().largest.upper == pytest.approx(416434.7943, abs=1e-4)
    assert Logistic(standardised(X), y).curvature().largest.upper == pytest.approx(3.320401921, rel=1e-9)


def test_breast_cancer_least_squares_condition(tumours):
    X, y = tumours
    normalised = X / np.linalg.norm(X, axis=0)
    assert condition(LeastSquares(X, y).curvature()) == pytest.approx(2.2063e12, rel=1e-3)
    assert condition(LeastSquares(normalised, y).curvature()) == pytest.approx(3.12164e6, rel=1e-3)
    assert condition(LeastSquares(standardised(X), y).curvature()) == pytest.approx(99828.1, rel=1e-3)


@pytest.mark.parametrize(("ridge", "step"), [(0, 0.495936853831), (0.1, 0.472503656165), (1, 0.331522585703)])
def test_diabetes_optimal_step(ridge, step):
    X, y = load_diabetes(return_X_y=True)
    sums = LeastSquares(X * len(y) ** 0.5, y, ridge=ridge)  # the mean over rows of this is X'X
    for problem in (Quadratic(X.T @ X, X.T @ y, ridge=ridge), Quadratic(gram(X), ridge=ridge), sums):
        found = problem.curvature()
        assert 2 / (found.largest.upper + found.smallest.lower) == pytest.approx(step, rel=1e-9)


def test_hilbert_largest_relaxation():
    found = LeastSquares(scipy.linalg.hilbert(5) * 5**0.5, np.ones(5)).curvature()
    assert 2 / found.largest.upper == pytest.approx(0.814449020024, rel=1e-10)


def test_ill_conditioned_least_squares_keeps_its_smallest_curvature():
    U = scipy.linalg.qr(np.random.default_rng(0).standard_normal((20, 5)), mode="economic")[0]
    V = scipy.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))[0]
    found = LeastSquares(U * np.logspace(0, -10, 5) @ V, np.ones(20)).curvature()
    assert condition(found) == pytest.approx(1e20, rel=1e-4)


# ---- what the ends say ----------------------------------------------------------------------------


@each_case
def test_curvature_bounds_sampled_hessians(case):
    problem, found = case.problem, case.problem.curvature()
    rng = np.random.default_rng(6)
    scale = abs(found.largest.upper) + abs(found.smallest.lower)
    for size in (0.0, 0.1, 1.0, 10.0):
        values = np.linalg.eigvalsh(matrix_of(problem.hessian(size * rng.standard_normal(problem.size))))
        assert values[-1] <= found.largest.upper + ROUNDING * scale
        assert values[0] >= found.smallest.lower - ROUNDING * scale


@each_case
def test_curvature_is_global_closed_form_and_computed_once(case):
    found = case.problem.curvature()
    assert (found.kind, found.provenance, found.scope) == ("curvature", "closed form", "global")
    assert found.size == case.problem.size
    assert case.problem.curvature() is found
    assert Spectrum.from_dict(found.to_dict()) == found


@each_case
def test_lower_end_of_the_largest_is_reached(case):
    """The supremum is no less than its lower end: attained at 0 for these, or approached far out."""
    problem, found = case.problem, case.problem.curvature()
    points = [problem.start()]
    if isinstance(problem, Softmax) and problem.size % 4 == 0 and problem.size // 4 == 4:  # with an intercept
        far = np.zeros((4, 4))
        far[2:, -1] = -40.0
        points.append(far.ravel())
    tops = [np.linalg.eigvalsh(matrix_of(problem.hessian(x)))[-1] for x in points]
    assert max(tops) == pytest.approx(found.largest.lower, rel=1e-9)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("model", [Logistic, Softmax])
def test_smallest_is_the_least_penalty_and_is_approached(model, intercept):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((8, 2)), np.arange(8) % 2
    problem = model(X, y, ridge=0.25, intercept=intercept)
    expected = 0.0 if intercept else 0.25
    assert problem.curvature().smallest.lower == problem.curvature().smallest.upper == expected
    far = 1e6 * rng.standard_normal(problem.size)
    assert np.linalg.eigvalsh(matrix_of(problem.hessian(far)))[0] == pytest.approx(expected, abs=1e-12)


def test_ridge_with_an_intercept_need_not_raise_the_smallest():
    A = np.array([[1.0], [-1.0]])
    assert LeastSquares(A * 3, [0, 1], ridge=5.0).curvature().smallest.upper == pytest.approx(14.0)
    found = LeastSquares(A * 3, [0, 1], ridge=5.0, intercept=True).curvature()
    assert found.smallest.upper == pytest.approx(1.0)
    assert found.largest.lower == pytest.approx(14.0)


def test_rank_deficient_least_squares_has_smallest_zero():
    wide = np.random.default_rng(0).standard_normal((3, 6))
    assert LeastSquares(wide, np.ones(3)).curvature().smallest.lower == 0.0
    assert LeastSquares(wide, np.ones(3), ridge=0.5).curvature().smallest.lower == 0.5


def test_softmax_interval_when_data_point_every_way():
    X = np.random.default_rng(0).standard_normal((30, 3))
    largest = np.linalg.eigvalsh(X.T @ X / 30)[-1]
    found = Softmax(X, np.arange(30) % 5, ridge=0.1).curvature()
    assert found.largest.lower == pytest.approx(largest / 5 + 0.1)
    assert found.largest.upper == pytest.approx(largest / 2 + 0.1)
    assert (found.largest.lower_is, found.largest.upper_is) == ("proved", "proved")


def test_softmax_bound_is_the_supremum_for_nonnegative_data():
    X, y = load_digits(return_X_y=True)
    X, y = X[:60, 10:20] / 16, y[:60]
    problem = Softmax(X, y)
    far = np.full((10, 10), -1e4)
    far[:2] = 0.0
    top = scipy.linalg.eigvalsh(matrix_of(problem.hessian(far.ravel())))[-1]
    assert problem.curvature().largest.upper_is == "exact"
    assert top == pytest.approx(problem.curvature().largest.upper, rel=1e-9)


def test_quadratic_convexity_is_certified():
    assert Quadratic(np.diag([1.0, 0.0])).convex
    assert not Quadratic(np.diag([1.0, -1e-3])).convex
    assert Quadratic(np.diag([1.0, -1e-3]), ridge=1e-3).convex
    assert Quadratic(gram(np.ones((2, 3)))).convex
    assert LeastSquares([[1.0]], [1.0]).convex


# ---- large and sparse -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def big():
    X = scipy.sparse.random_array((9000, 2500), density=0.002, rng=1, format="csr")
    return X, np.arange(9000) % 2


@pytest.mark.parametrize("intercept", [False, True])
def test_large_sparse_least_squares_is_measured_without_densifying(big, intercept):
    X, y = big
    found = LeastSquares(X, y, ridge=0.01, intercept=intercept).curvature()
    A = scipy.sparse.hstack([X, np.ones((9000, 1))]) if intercept else X
    penalty = np.full(A.shape[1], 0.01)
    penalty[2500:] = 0.0
    formed = A.T @ A / 9000 + scipy.sparse.diags_array(penalty)
    truth = scipy.sparse.linalg.eigsh(formed, k=1, return_eigenvectors=False, v0=np.ones(A.shape[1]))[0]
    assert found.products > 0
    assert found.points is None
    assert found.largest.lower * (1 - 1e-12) <= truth <= found.largest.upper * (1 + 1e-12)
    assert found.smallest.lower >= (0.0 if intercept else 0.01)


def test_large_sparse_logistic_is_a_narrow_interval(big):
    X, y = big
    found = Logistic(X, y, ridge=0.1).curvature()
    assert found.largest.width <= 0.01 * found.largest.upper
    assert found.largest.upper_is == "probabilistic"
    assert 0 < found.failure <= 1e-6
    assert found.smallest.lower == 0.1


# ---- laws -----------------------------------------------------------------------------------------

MODELS = {"least squares": LeastSquares, "logistic": Logistic, "softmax": Softmax}


@st.composite
def tables(draw):
    rows, columns = draw(st.integers(3, 9)), draw(st.integers(1, 4))
    X = np.random.default_rng(draw(st.integers(0, 10**6))).standard_normal((rows, columns))
    return X, np.arange(rows) % draw(st.sampled_from([2, 3]))


def build(name, X, y, **options):
    return MODELS[name](X, y % 2 if name == "logistic" else y, **options)


law = pytest.mark.parametrize("name", MODELS)
few = settings(max_examples=25)


def top(problem):
    return problem.curvature().largest.upper


@law
@given(table=tables(), factor=st.floats(1e-3, 1e3))
@few
def test_scaling_the_data_scales_the_curvature_by_the_square(name, table, factor):
    X, y = table
    assert top(build(name, factor * X, y)) == pytest.approx(factor**2 * top(build(name, X, y)), rel=1e-10)


@law
@given(table=tables(), seed=st.integers(0, 100))
@few
def test_rotating_the_features_changes_no_curvature(name, table, seed):
    X, y = table
    R = scipy.linalg.qr(np.random.default_rng(seed).standard_normal((X.shape[1],) * 2))[0]
    before, after = build(name, X, y, ridge=0.1), build(name, X @ R, y, ridge=0.1)
    assert top(after) == pytest.approx(top(before), rel=1e-10)
    assert after.curvature().smallest.lower == pytest.approx(before.curvature().smallest.lower, abs=1e-10)


@law
@given(table=tables(), seed=st.integers(0, 100), intercept=st.booleans())
@few
def test_order_and_repetition_of_rows_do_not_matter(name, table, seed, intercept):
    X, y = table
    order = np.random.default_rng(seed).permutation(len(y))
    base = build(name, X, y, ridge=0.1, intercept=intercept)
    permuted = build(name, X[order], y[order], ridge=0.1, intercept=intercept)
    doubled = build(name, np.repeat(X, 2, axis=0), np.repeat(y, 2), ridge=0.1, intercept=intercept)
    x = np.random.default_rng(seed).standard_normal(base.size)
    for other in (permuted, doubled):
        assert top(other) == pytest.approx(top(base), rel=1e-10)
        assert other.value(x) == pytest.approx(base.value(x), rel=1e-12)


@law
@given(table=tables(), ridge=st.floats(0, 10), intercept=st.booleans())
@few
def test_sparse_equals_dense(name, table, ridge, intercept):
    X, y = table
    dense = build(name, X, y, ridge=ridge, intercept=intercept)
    sparse = build(name, scipy.sparse.coo_array(X), y, ridge=ridge, intercept=intercept)
    x, v = np.random.default_rng(0).standard_normal((2, dense.size))
    assert sparse.value(x) == pytest.approx(dense.value(x), rel=1e-12)
    np.testing.assert_allclose(sparse.gradient(x), dense.gradient(x), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(sparse.hessian_product(x, v), dense.hessian_product(x, v), rtol=1e-11, atol=1e-13)
    assert top(sparse) == pytest.approx(top(dense), rel=1e-10)


@law
@given(table=tables(), ridge=st.floats(1e-6, 10))
@few
def test_ridge_adds_to_both_ends(name, table, ridge):
    X, y = table
    plain, ridged = build(name, X, y).curvature(), build(name, X, y, ridge=ridge).curvature()
    assert ridged.largest.upper == pytest.approx(plain.largest.upper + ridge, rel=1e-12)
    assert ridged.smallest.lower == pytest.approx(plain.smallest.lower + ridge, rel=1e-12)


@law
def test_integers_are_accepted(name):
    X, y = np.array([[1, 2], [3, 4], [5, -6]]), np.array([0, 1, 0])
    integer, real = build(name, X, y), build(name, X.astype(float), y.astype(float))
    x = np.linspace(-1, 1, real.size)
    assert integer.value(x) == real.value(x)
    assert top(integer) == top(real)
    assert top(build(name, scipy.sparse.csr_array(X), y)) == pytest.approx(top(real))
