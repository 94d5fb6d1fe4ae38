"""Linear models as sums of terms and by their coordinates: the pieces make the whole, and drivers solve it by them."""

import copy

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot import rules
from surefoot.errors import InvalidInput
from surefoot.problems import AbsoluteLoss, Hinge, Huber, LeastSquares, Logistic, Softmax
from surefoot.solvers import SAGA, SGD, Coordinate, descend_by_parts

ROWS, FEATURES, CLASSES = 40, 4, 3
RNG = np.random.default_rng(2)
X = RNG.standard_normal((ROWS, FEATURES)) * [1.0, 2.0, 0.5, 1.0]
X[RNG.uniform(size=X.shape) < 0.4] = 0.0
SPARSE = scipy.sparse.csc_array(X)
TARGET = X @ RNG.standard_normal(FEATURES) + 0.3 * RNG.standard_normal(ROWS)
TWO = (TARGET > 0).astype(int)
THREE = RNG.permutation(ROWS) % CLASSES


def build(data, **options):
    return {
        "least squares": LeastSquares(data, TARGET, **options),
        "huber": Huber(data, TARGET, 0.5, **options),
        "logistic": Logistic(data, TWO, **options),
        "softmax": Softmax(data, THREE, **options),
    }


SMOOTH = {
    f"{name} {kind}{' intercept' if intercept else ''}": problem
    for kind, data in (("dense", X), ("sparse", SPARSE))
    for intercept in (False, True)
    for name, problem in build(data, ridge=0.05, intercept=intercept).items()
}
ALL = SMOOTH | {
    "absolute": AbsoluteLoss(SPARSE, TARGET, ridge=0.1, intercept=True),
    "hinge": Hinge(X, TWO, ridge=0.1),
}
each = pytest.mark.parametrize("problem", ALL.values(), ids=ALL)
each_smooth = pytest.mark.parametrize("problem", SMOOTH.values(), ids=SMOOTH)


def point(problem, seed=0):
    return np.random.default_rng(seed).standard_normal(problem.size)


@each
def test_the_mean_of_the_terms_is_the_gradient(problem):
    x = point(problem)
    found = problem.term_gradients(np.arange(problem.terms), x)
    assert found.shape == (problem.terms, problem.size)
    np.testing.assert_allclose(found.mean(axis=0), problem.gradient(x), rtol=1e-11, atol=1e-13)
    some = np.array([7, 3, 3, 0])
    np.testing.assert_array_equal(problem.term_gradients(some, x), found[some])


@each
def test_partial_derivatives_are_the_gradients_entries(problem):
    x = point(problem)
    found = [problem.partial(i, x) for i in range(problem.size)]
    np.testing.assert_allclose(found, problem.gradient(x), rtol=1e-11, atol=1e-13)
    with pytest.raises(InvalidInput, match="x must have shape"):
        problem.partial(0, np.zeros(problem.size + 1))


@each_smooth
def test_a_terms_curvature_is_bounded_and_its_largest_is_no_gift(problem):
    """One row by itself, repeated, is a problem whose curvature is that term's."""
    bounds = problem.term_curvatures()
    assert bounds.shape == (problem.terms,)
    x, rng = point(problem), np.random.default_rng(1)
    for i in (0, 5, 11):
        for _ in range(20):
            v = rng.standard_normal(problem.size)
            eps = 1e-4
            plus, minus = (problem.term_gradients(np.array([i]), x + s * eps * v)[0] for s in (1, -1))
            assert v @ (plus - minus) / (2 * eps) <= bounds[i] * (v @ v) * (1 + 1e-6) + 1e-7
    row = X[5] if problem.size % FEATURES == 0 else np.append(X[5], 1.0)
    sharpest = {"least": 1.0, "huber": 1.0, "logis": 0.25, "softm": 0.5, "Huber": 1.0}[problem.name[:5]]
    assert bounds[5] == pytest.approx(sharpest * (row @ row) + 0.05)


@each_smooth
def test_a_coordinates_curvature_is_bounded(problem):
    bounds = problem.coordinate_curvatures()
    assert bounds.shape == (problem.size,)
    for seed in range(5):
        x = 0.3 * point(problem, seed)
        bends = [problem.hessian_product(x, e)[i] for i, e in enumerate(np.eye(problem.size))]
        assert (np.asarray(bends) <= bounds * (1 + 1e-12)).all()


@pytest.mark.parametrize("data", [X, SPARSE], ids=["dense", "sparse"])
def test_coordinate_curvatures_of_least_squares_are_the_diagonal(data):
    problem = LeastSquares(data, TARGET, ridge=0.3, intercept=True)
    bends = [problem.hessian_product(problem.start(), e)[i] for i, e in enumerate(np.eye(problem.size))]
    np.testing.assert_allclose(problem.coordinate_curvatures(), bends, rtol=1e-12)


@each
@settings(max_examples=10)
@given(seed=st.integers(0, 10**6))
def test_a_followed_path_has_the_partial_derivatives_of_its_points(problem, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(problem.size)
    path = problem.follow(x)
    for _ in range(3 * problem.size):  # past several fresh starts
        i, j = rng.integers(problem.size, size=2)
        x[i] = rng.standard_normal()
        path.move(int(i), float(x[i]))
        assert path.partial(int(j)) == pytest.approx(problem.gradient(x)[j], rel=1e-9, abs=1e-11)


def test_a_path_is_not_moved_by_the_callers_array():
    problem = LeastSquares(X, TARGET)
    x = np.ones(FEATURES)
    path = problem.follow(x)
    before = path.partial(0)
    x[:] = 100.0
    assert path.partial(0) == before


# ---- the drivers on them ----------------------------------------------------------------------------


def minimiser(problem):
    return centred(problem, sf.descend(problem, rule=rules.Auto(), steps=5000, tol=1e-10).x)


def centred(problem, x):
    """Without what all classes of a softmax have in common: with an intercept it is not determined."""
    W = x.reshape(problem.blocks, -1)
    return (W - (problem.blocks > 1) * W.mean(axis=0)).ravel()


@each_smooth
def test_saga_finds_the_same_minimiser(problem):
    step = rules.Constant(step=1 / (3 * problem.term_curvatures().max()))
    run = descend_by_parts(problem, rule=step, sampler=SAGA(), passes=500, tol=1e-7)
    assert run.converged
    np.testing.assert_allclose(centred(problem, run.x), minimiser(problem), atol=1e-5)


@each_smooth
def test_coordinate_steps_find_the_same_minimiser_and_never_raise_the_loss(problem):
    for cyclic in (False, True):
        run = descend_by_parts(
            problem, rule=rules.Constant(step=1.0), sampler=Coordinate(cyclic=cyclic), passes=4000, tol=1e-7
        )
        assert run.converged
        np.testing.assert_allclose(centred(problem, run.x), minimiser(problem), atol=1e-5)
        assert (np.diff(run.trace.loss) <= 1e-12).all()


@pytest.mark.parametrize("importance", [False, True])
@pytest.mark.parametrize("name", ["least squares sparse intercept", "logistic dense", "softmax sparse"])
def test_sgd_with_a_fading_step_comes_near_the_same_minimiser(name, importance):
    problem = SMOOTH[name]
    sharpest = problem.term_curvatures()
    step = rules.InverseTime(step=1 / (sharpest.mean() if importance else sharpest.max()), halving=200)
    run = descend_by_parts(problem, rule=step, sampler=SGD(batch=4, importance=importance), passes=300, tol=0)
    best = minimiser(problem)
    gap = problem.value(problem.start()) - problem.value(best)
    assert problem.value(run.x) - problem.value(best) < 2e-2 * gap


def test_a_cycle_on_least_squares_is_gauss_seidel():
    problem = LeastSquares(SPARSE, TARGET, ridge=0.2, intercept=True)
    run = descend_by_parts(problem, rule=rules.Constant(step=1.0), sampler=Coordinate(cyclic=True), passes=1, tol=0)
    A = np.column_stack([X, np.ones(ROWS)])
    H = A.T @ A / ROWS + np.diag([0.2] * FEATURES + [0.0])
    np.testing.assert_allclose(run.x, np.linalg.solve(np.tril(H), A.T @ TARGET / ROWS), rtol=1e-10)


def test_following_and_not_following_are_the_same_run():
    problem = SMOOTH["softmax sparse intercept"]
    plain = copy.copy(problem)
    hidden = {"follow": None, "partial": lambda _, i, x: problem.partial(i, x)}
    plain.__class__ = type("Plain", (type(problem),), hidden)
    runs = [
        descend_by_parts(p, rule=rules.Constant(step=0.7), sampler=Coordinate(), passes=5, tol=0)
        for p in (problem, plain)
    ]
    np.testing.assert_allclose(runs[0].x, runs[1].x, rtol=1e-9, atol=1e-12)


def test_divergence_is_said():
    problem = LeastSquares(X, TARGET)
    for sampler in (SGD(), SAGA(), Coordinate()):
        run = descend_by_parts(problem, rule=rules.Constant(step=50.0), sampler=sampler, passes=300)
        assert run.verdict.ending == "diverged"
        assert np.isfinite(run.x).all()


def test_a_column_of_zeros_has_no_coordinate_step():
    dead = np.column_stack([X, np.zeros(ROWS)])
    with pytest.raises(InvalidInput, match="add a ridge"):
        descend_by_parts(LeastSquares(dead, TARGET), rule=rules.Constant(step=1.0), sampler=Coordinate())


def test_repeated_entries_of_a_sparse_matrix_are_added_up():
    twice = scipy.sparse.csr_matrix((np.array([1.0, 2.0, 4.0]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    problem, plain = LeastSquares(twice, [1.0, 2.0]), LeastSquares(twice.toarray(), [1.0, 2.0])
    assert twice.nnz == 3
    x = np.array([0.5, -1.0])
    np.testing.assert_array_equal(problem.term_gradients(np.arange(2), x), plain.term_gradients(np.arange(2), x))
    np.testing.assert_array_equal(problem.term_curvatures(), plain.term_curvatures())
    np.testing.assert_array_equal(problem.coordinate_curvatures(), plain.coordinate_curvatures())
    path = problem.follow(x)
    path.move(0, 3.0)
    assert path.partial(0) == pytest.approx(plain.gradient([3.0, -1.0])[0])
