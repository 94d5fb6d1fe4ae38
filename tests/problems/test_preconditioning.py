"""Changing the terrain: the same objective in other variables, and what that does to its limits."""

import json

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer

import surefoot as sf
from surefoot import rules
from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import LinearMap
from surefoot.problems import (
    Function,
    Huber,
    LeastSquares,
    Logistic,
    PowerSum,
    Preconditioned,
    Quadratic,
    Softmax,
    precondition,
)
from surefoot.problems.linear import _curvature as _linear_curvature
from surefoot.problems.preconditioning._incomplete import upper_factor

RNG = np.random.default_rng(3)
SCALES = np.array([1.0, 100.0, 0.01, 3.0])
X = (RNG.standard_normal((30, 4)) + np.array([2.0, 0.0, -1.0, 0.5])) * SCALES
TARGET = RNG.standard_normal(30)
LABELS = (RNG.standard_normal(30) > 0).astype(int)
MANY = RNG.permutation(30) % 3


def matrix_of(problem, x=None):
    x = problem.start() if x is None else x
    return np.stack([problem.hessian_product(x, e) for e in np.eye(problem.size)])


def change_matrix(changed):
    return np.stack([changed.to_original(e) for e in np.eye(changed.size)], axis=1)


def condition(problem):
    found = problem.curvature()
    return found.largest.upper / max(found.smallest.lower, 1e-300)


# ---- the same objective -----------------------------------------------------------------------------

WAYS = ["jacobi", "columns", "standardise", "cholesky", "scale", "matrix", "sparse matrix", "operator"]
FULL = RNG.standard_normal((5, 5)) + 4 * np.eye(5)
GIVEN = {
    "scale": np.array([2.0, 0.01, -3.0, 1.0, 0.5]),
    "matrix": FULL,
    "sparse matrix": scipy.sparse.csc_matrix(FULL),
    "operator": LinearMap((5, 5), lambda z: FULL @ z, lambda g: FULL.T @ g),
}
each_way = pytest.mark.parametrize("way", WAYS)


def problems(data=X):
    options = {"ridge": 0.01, "intercept": True}
    return [
        LeastSquares(data, TARGET, **options),
        Logistic(data, LABELS, **options),
        Huber(data, TARGET, 0.5, **options),
    ]


@each_way
@pytest.mark.parametrize("data", [X, scipy.sparse.csr_array(X)], ids=["dense", "sparse"])
def test_values_gradients_and_points_go_over(way, data):
    z, v = RNG.standard_normal((2, 5))
    for problem in problems(data):
        changed = precondition(problem, GIVEN.get(way, way))
        S, x = change_matrix(changed), changed.to_original(z)
        assert changed.value(z) == problem.value(x)
        np.testing.assert_allclose(x, S @ z, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(changed.from_original(x), z, rtol=1e-6, atol=1e-8)
        gradient = problem.gradient(x)
        np.testing.assert_allclose(changed.gradient(z), S.T @ gradient, rtol=1e-8, atol=1e-9 * np.abs(S).max())
        value, together = changed.value_and_gradient(z)
        assert value == changed.value(z)
        np.testing.assert_array_equal(together, changed.gradient(z))
        image = changed.hessian_product(z, v)
        np.testing.assert_allclose(
            image, S.T @ problem.hessian_product(x, S @ v), rtol=1e-8, atol=1e-9 * np.abs(image).max()
        )
        assert changed.value(changed.start()) == pytest.approx(problem.value(problem.start()), rel=1e-14)
        assert (changed.size, changed.convex, changed.constant_curvature) == (5, True, problem.constant_curvature)
        assert changed.name.startswith(problem.name + ", ")


@each_way
def test_both_have_one_minimum(way):
    for problem in problems():
        changed = precondition(problem, GIVEN.get(way, way))
        least = sf.descend(precondition(problem, "cholesky"), rule=rules.Auto(), steps=5000, tol=1e-12).loss
        run = sf.descend(changed, rule=rules.Auto(), steps=20000, tol=1e-7)
        assert problem.value(changed.to_original(run.x)) == pytest.approx(
            least, rel=2e-2 if way == "operator" else 1e-3
        )


@each_way
def test_the_curvature_in_the_new_variables_bounds_sampled_hessians(way):
    for data in (X, scipy.sparse.csr_array(X)):
        for problem in problems(data):
            changed = precondition(problem, GIVEN.get(way, way))
            found = changed.curvature()
            assert changed.curvature() is found
            for size in (0.0, 0.1, 10.0):
                values = np.linalg.eigvalsh(matrix_of(changed, size * RNG.standard_normal(5)))
                slack = 1e-9 * found.largest.upper
                assert found.smallest.lower - slack <= values[0]
                assert values[-1] <= found.largest.upper + slack
            top = np.linalg.eigvalsh(matrix_of(changed, changed.start()))[-1]
            if found.largest.upper_is == "exact" and not isinstance(problem, Huber):
                assert found.largest.upper == pytest.approx(top, rel=1e-9)


def test_what_each_name_promises():
    problem = LeastSquares(X, TARGET, ridge=0.01, intercept=True)
    ones = np.column_stack([X, np.ones(30)])
    np.testing.assert_allclose(np.linalg.norm(ones @ change_matrix(precondition(problem, "columns")), axis=0), 1.0)
    standard = ones @ change_matrix(precondition(problem, "standardise"))
    np.testing.assert_allclose(standard[:, :-1].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(standard[:, :-1].std(axis=0), 1.0)
    np.testing.assert_allclose(standard[:, -1], 1.0)
    np.testing.assert_allclose(np.diag(matrix_of(precondition(problem, "jacobi"))), 1.0)
    np.testing.assert_allclose(matrix_of(precondition(problem, "cholesky")), np.eye(5), atol=1e-8)


def test_gradient_descent_in_z_is_preconditioned_descent_in_x():
    """Iterate for iterate: z -> z - h S'g is x -> x - h S S'g, and descend's own scaling for a diagonal S."""
    problem, steps = LeastSquares(X, TARGET, ridge=0.1), 40
    changed = precondition(problem, "jacobi")
    S = change_matrix(changed)
    path = []
    sf.descend(
        changed,
        rule=rules.Constant(step=0.5),
        steps=steps,
        tol=0,
        callback=lambda z, _: path.append(changed.to_original(z)),
    )
    x, scaled = problem.start(), []
    sf.descend(
        problem, rule=rules.Constant(step=0.5), scaling=np.diag(S) ** 2, steps=steps, tol=0,
        callback=lambda x, _: scaled.append(x),
    )  # fmt: skip
    for z_point, x_point in zip(path, scaled, strict=True):
        np.testing.assert_allclose(z_point, x, rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(x_point, x, rtol=1e-9, atol=1e-14)
        x = x - 0.5 * (S @ (S.T @ problem.gradient(x)))


# ---- reference values -------------------------------------------------------------------------------


def test_a_diagonal_quadratic_before_and_after():
    comparison = precondition(Quadratic(np.diag([1.0, 1e4]))).compare()
    assert (comparison.before.stable, comparison.after.stable) == (2e-4, 2.0)
    assert str(comparison).splitlines()[2].split() == ["stable", "0.0002", "2"]
    assert json.loads(json.dumps(comparison.to_dict()))["after"]["stable"] == 2.0
    heavy = precondition(Quadratic(np.diag([1.0, 1e4]))).compare(sf.methods.HeavyBall(0.5))
    assert (heavy.before.stable, heavy.after.stable) == (3e-4, 3.0)


def test_features_of_scales_one_and_a_hundred():
    """Orthonormal features: the limit 2 falls to 2/10000 when one is measured in a smaller unit, and comes back."""
    features = np.linalg.qr(RNG.standard_normal((16, 2)))[0] * 4
    assert sf.limits(LeastSquares(features, np.ones(16))).stable == pytest.approx(2.0, rel=1e-12)
    spoilt = LeastSquares(features * [1.0, 100.0], np.ones(16))
    comparison = precondition(spoilt, "jacobi").compare()
    assert comparison.before.stable == pytest.approx(2e-4, rel=1e-12)
    assert comparison.after.stable == pytest.approx(2.0, rel=1e-12)


@pytest.fixture(scope="module")
def tumours():
    return load_breast_cancer(return_X_y=True)


def test_breast_cancer_least_squares_conditions(tumours):
    data, y = tumours
    raw = LeastSquares(data, y)
    assert condition(raw) == pytest.approx(2.2063e12, rel=1e-3)
    assert condition(precondition(raw, "columns")) == pytest.approx(3.12164e6, rel=1e-3)
    assert condition(precondition(LeastSquares(data, y, intercept=True), "standardise")) == pytest.approx(
        99828.1, rel=1e-3
    )


def newton(problem):
    x = problem.start()
    for _ in range(60):
        move = np.linalg.solve(problem.hessian_matrix(x), -problem.gradient(x))
        while problem.value(x + move) > problem.value(x) + 1e-4 * (problem.gradient(x) @ move):
            move = move / 2
            if np.linalg.norm(move) < 1e-14:
                return x
        x = x + move
    return x


class Race:
    """Gradients until the loss of the one objective has come within 1e-6 of its least value, relative to the start."""

    def __init__(self, problem):
        self.problem = problem
        self.least = problem.value(newton(problem))
        self.goal = self.least + 1e-6 * (problem.value(problem.start()) - self.least)

    def run(self, changed, start=None, steps=20000):
        return sf.descend(
            changed, start, rule=rules.Auto(), steps=steps, tol=0, callback=lambda _, loss: loss <= self.goal
        )

    def anew(self, ways, every):
        """Scaled anew every so many moves, at the point reached."""
        x, gradients = self.problem.start(), 0
        for _ in range(100):
            changed = self.problem
            for by, local in ways:
                at = changed.from_original(x) if isinstance(changed, Preconditioned) else x
                changed = precondition(changed, by, at=at) if local else precondition(changed, by)
            run = self.run(changed, changed.from_original(x), every)
            x, gradients = changed.to_original(run.x), gradients + run.evaluations
            if self.problem.value(x) <= self.goal:
                return gradients
        raise AssertionError("not reached")


def test_breast_cancer_logistic_goals(tumours):
    """Gradients of the same raw objective, ridge 1e-3, to a relative gap of 1e-6; printed with -s."""
    data, y = tumours
    standardised = Race(Logistic((data - data.mean(axis=0)) / data.std(axis=0), y, ridge=1e-3))
    raw = Race(Logistic(data, y, ridge=1e-3))
    fitted = Race(Logistic(data, y, ridge=1e-3, intercept=True))
    both = precondition(precondition(fitted.problem, "standardise"), "jacobi")
    counts = {
        "standardised data": (standardised.run(standardised.problem).evaluations, 80),
        "raw, cholesky once": (raw.run(precondition(raw.problem, "cholesky")).evaluations, 1500),
        "raw, cholesky anew every 20": (raw.anew([("cholesky", True)], 20), 500),
        "raw with intercept, jacobi once": (fitted.run(precondition(fitted.problem, "jacobi")).evaluations, 1500),
        "raw with intercept, standardise and jacobi once": (fitted.run(both).evaluations, 1500),
        "the same, jacobi anew every 20": (fitted.anew([("standardise", False), ("jacobi", True)], 20), 500),
    }
    for name, (count, goal) in counts.items():
        print(f"{name}: {count} gradients, goal {goal}")
        assert count <= goal, name


# ---- laws -------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(s=st.floats(1e-3, 1e3), j=st.integers(0, 3), seed=st.integers(0, 1000))
def test_the_unit_of_a_feature(s, j, seed):
    """An orthogonal feature times s: its eigenvalue times s^2, the others as they were; scaled, no change at all."""
    rng = np.random.default_rng(seed)
    data = np.linalg.qr(rng.standard_normal((12, 4)))[0] * np.sqrt(12) * [1.0, 2.0, 3.0, 4.0]
    unit = np.ones(4)
    unit[j] = s
    eigenvalues = np.array([1.0, 4.0, 9.0, 16.0]) * unit**2
    b = rng.standard_normal(12)
    changed = LeastSquares(data * unit, b)
    np.testing.assert_allclose(changed.curvature().points, np.sort(eigenvalues), rtol=1e-10)
    for by in ("jacobi", "columns", "cholesky"):
        before, after = (precondition(problem, by).curvature() for problem in (LeastSquares(data, b), changed))
        np.testing.assert_allclose(after.points, before.points, rtol=1e-9)


@pytest.mark.parametrize("by", ["jacobi", "columns", "standardise"])
@settings(max_examples=25)
@given(powers=st.lists(st.integers(-20, 20), min_size=4, max_size=4))
def test_a_scaled_run_does_not_see_the_units(by, powers):
    """Features in units that are powers of two: the same iterates, bit for bit, for a problem without a ridge."""
    units = 2.0 ** np.array(powers)
    losses = []
    for data in (X, X * units):
        problem = Logistic(data, LABELS, intercept=True)
        losses.append(sf.descend(precondition(problem, by), rule=rules.Auto(), steps=30, tol=0).trace.loss)
    np.testing.assert_array_equal(losses[0], losses[1])


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6))
def test_jacobi_is_within_n_of_the_best_diagonal_scaling(seed, n):
    """Van der Sluis 1969."""
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n + 2, n)) * np.exp(rng.standard_normal(n) * 3)
    jacobi = condition(precondition(Quadratic(F.T @ F)))
    for _ in range(10):
        other = condition(precondition(Quadratic(F.T @ F), np.exp(3 * rng.standard_normal(n))))
        assert jacobi <= n * other * (1 + 1e-6)


@settings(max_examples=25)
@given(ridge=st.floats(1e-4, 1e2), rank=st.integers(1, 3))
def test_a_ridge_buys_a_linear_rate(ridge, rank):
    """Rank deficient: without a ridge no rate is certain; with one it is (L - mu)/(L + mu), L and mu raised by it."""
    A = RNG.standard_normal((20, rank)) @ RNG.standard_normal((rank, 4))
    assert sf.limits(LeastSquares(A, TARGET[:20])).rate == 1.0
    lim = sf.limits(LeastSquares(A, TARGET[:20], ridge=ridge))
    top = np.linalg.eigvalsh(A.T @ A / 20)[-1]
    assert lim.rate == pytest.approx(top / (top + 2 * ridge), rel=1e-9)
    assert lim.optimal == pytest.approx(2 / (top + 2 * ridge), rel=1e-9)


def test_the_ridges_rate_is_the_one_measured():
    A = RNG.standard_normal((20, 2)) @ RNG.standard_normal((2, 4))
    problem = LeastSquares(A, TARGET[:20], ridge=0.3)
    lim = sf.limits(problem)
    start = 10 * RNG.standard_normal(4)
    run = sf.descend(
        problem, start, rule=rules.Constant(step=lim.optimal), steps=60, tol=0, spectrum=problem.curvature()
    )
    assert run.verdict.rate == pytest.approx(lim.rate, abs=0.02)
    assert run.verdict.predicted == pytest.approx(lim.rate, rel=1e-9)


# ---- Richardson's iteration ---------------------------------------------------------------------------


def richardson(A, b, omega, steps):
    """x <- x + omega A'(b - A x)."""
    x = np.zeros((A.shape[1], 1))
    for _ in range(steps):
        yield x.ravel()
        x = x + omega * (A.T @ (b[:, None] - A @ x))


def test_richardson_is_gradient_descent_bit_for_bit():
    """On the normal equations; with 32 rows the mean over them is exact, so that nothing is rounded differently."""
    rng = np.random.default_rng(0)  # its own: how soon the gradient is exactly zero depends on the draw
    A, b = rng.standard_normal((32, 5)), rng.standard_normal(32)
    omega = 1.7 / np.linalg.norm(A, 2) ** 2
    path = []
    sf.descend(
        LeastSquares(A, b), rule=rules.Constant(step=32 * omega), steps=200, tol=0, callback=lambda x, _: path.append(x)
    )
    assert len(path) > 100
    for x, y in zip(path, richardson(A, b, omega, len(path)), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("rows", [7, 30, 100])
def test_richardson_is_gradient_descent_for_any_number_of_rows(rows):
    A, b = RNG.standard_normal((rows, 5)), RNG.standard_normal(rows)
    omega = 1.7 / np.linalg.norm(A, 2) ** 2
    for problem, step in ((LeastSquares(A, b), rows * omega), (Quadratic(A.T @ A, A.T @ b), omega)):
        path = []
        sf.descend(problem, rule=rules.Constant(step=step), steps=50, tol=0, callback=lambda x, _, p=path: p.append(x))
        for x, y in zip(path, richardson(A, b, omega, len(path)), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


# ---- Cholesky -----------------------------------------------------------------------------------------


def laplacian(m):
    line = scipy.sparse.diags_array([2.0 * np.ones(m), -np.ones(m - 1), -np.ones(m - 1)], offsets=[0, 1, -1])
    eye = scipy.sparse.eye_array(m)
    return (scipy.sparse.kron(line, eye) + scipy.sparse.kron(eye, line)).tocsr()


def test_an_incomplete_factor_matches_where_the_matrix_has_entries():
    M = laplacian(7)
    R, shift = upper_factor(M, "a Laplacian")
    assert shift == 0
    gap = (R.T @ R - M).toarray()
    np.testing.assert_allclose(gap[M.toarray() != 0], 0, atol=1e-14)
    assert np.abs(gap).max() > 0.1  # it is incomplete
    assert (scipy.sparse.tril(R, k=-1)).nnz == 0


def test_an_incomplete_factor_is_complete_for_a_band_without_fill():
    line = scipy.sparse.diags_array([2.0 * np.ones(9), -np.ones(8), -np.ones(8)], offsets=[0, 1, -1]).tocsr()
    R, _ = upper_factor(line, "a band")
    np.testing.assert_allclose(R.toarray(), scipy.linalg.cholesky(line.toarray()), atol=1e-14)


def test_it_improves_a_laplacian():
    problem = Quadratic(laplacian(16))
    before, after = condition(problem), condition(precondition(problem, "cholesky"))
    assert after < before / 8


def test_a_factor_that_does_not_exist_is_found_by_a_shift():
    """Kershaw's matrix: positive definite, and its incomplete factor meets a negative pivot."""
    M = np.array([[3.0, -2, 0, 2], [-2, 3, -2, 0], [0, -2, 3, -2], [2, 0, -2, 3]])
    assert np.linalg.eigvalsh(M)[0] > 0
    R, shift = upper_factor(scipy.sparse.csr_array(M), "Kershaw's")
    assert shift > 0
    gap = (R.T @ R).toarray() - M - shift * np.diag(np.diag(M))
    np.testing.assert_allclose(gap[M != 0], 0, atol=1e-12)
    changed = precondition(Quadratic(scipy.sparse.csr_array(M)), "cholesky")
    assert "diagonal raised by" in changed.name


def test_a_matrix_without_a_factor_is_refused():
    for M in (np.diag([1.0, -1.0]), scipy.sparse.diags_array([1.0, 0.0]).tocsr()):
        with pytest.raises(InvalidInput, match=r"curvature along coordinate 1 is .*; add a ridge"):
            precondition(Quadratic(M), "cholesky")
    with pytest.raises(InvalidInput, match="far from positive definite; add a ridge"):
        precondition(Quadratic([[1.0, 50.0], [50.0, 1.0]]), "cholesky")


# ---- how it is computed -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["standardise", "cholesky"])
def test_measured_and_formed_curvature_agree(way, monkeypatch):
    for model, y in ((LeastSquares, TARGET), (Logistic, LABELS), (Softmax, MANY)):
        for sparse in (False, True):
            data = scipy.sparse.csr_array(X) if sparse else X
            problem = model(data, y, ridge=0.01, intercept=True)
            formed = precondition(problem, way).curvature()
            with monkeypatch.context() as patch:
                patch.setattr(_linear_curvature, "FORM_ENTRIES", 0)
                measured = precondition(problem, way).curvature()
            assert measured.largest.upper == pytest.approx(formed.largest.upper, rel=0.02)
            assert measured.largest.lower <= formed.largest.upper * (1 + 1e-9)


@pytest.mark.parametrize("by", ["jacobi", "columns", "cholesky"])
def test_the_classes_of_a_softmax_are_treated_alike(by):
    problem = Softmax(X, MANY, ridge=0.01)
    changed = precondition(problem, by)
    S = change_matrix(changed)
    np.testing.assert_allclose(S, np.kron(np.eye(3), S[:4, :4]), atol=1e-14)
    top = np.linalg.eigvalsh(S.T @ np.kron(np.eye(3), X.T @ X / 60 + 0.01 * np.eye(4)) @ S)[-1]
    assert changed.curvature().largest.upper == pytest.approx(top, rel=1e-9)
    assert changed.curvature().size == 12


def test_a_scale_for_each_class_is_bounded_too():
    problem = Softmax(X, MANY, ridge=0.01)
    changed = precondition(problem, RNG.uniform(0.5, 2.0, 12))
    values = np.linalg.eigvalsh(matrix_of(changed))
    assert changed.curvature().smallest.lower <= values[0]
    assert values[-1] <= changed.curvature().largest.upper


def test_a_change_of_a_change_is_one_change():
    problem = Logistic(X, LABELS, ridge=0.01, intercept=True)
    twice = precondition(precondition(problem, "standardise"), "jacobi")
    assert twice.problem is problem
    assert twice.name.endswith("standardise, then jacobi")
    first = precondition(problem, "standardise")
    S = change_matrix(first) @ np.diag(
        1 / np.sqrt(np.diag(change_matrix(first).T @ problem.hessian_matrix() @ change_matrix(first)))
    )
    np.testing.assert_allclose(change_matrix(twice), S, rtol=1e-10, atol=1e-14)
    z = RNG.standard_normal(5)
    np.testing.assert_allclose(twice.from_original(twice.to_original(z)), z, rtol=1e-10)
    assert twice.curvature().largest.upper == pytest.approx(np.linalg.eigvalsh(matrix_of(twice))[-1], rel=1e-9)


def test_at_a_point_the_hessian_there_is_taken():
    for problem in (Logistic(X, LABELS, ridge=0.01), Softmax(X, MANY, ridge=0.01), Huber(X, TARGET, 0.5, ridge=0.01)):
        x = 0.01 * RNG.standard_normal(problem.size)
        H = matrix_of(problem, x)
        changed = precondition(problem, "jacobi", at=x)
        mean = H.diagonal().reshape(problem.blocks, -1).mean(axis=0)
        np.testing.assert_allclose(change_matrix(changed)[:4, :4].diagonal(), mean**-0.5, rtol=1e-10)
        assert changed.name.endswith("jacobi at a point")
    x = np.zeros(4)
    np.testing.assert_allclose(
        matrix_of(precondition(Logistic(X, LABELS, ridge=0.01), "cholesky", at=x), x), np.eye(4), atol=1e-8
    )


def test_functions_are_scaled_by_their_hessian_at_the_start():
    def gradient(x):
        return np.array([x[0], 1e4 * x[1] ** 3])

    problem = Function(lambda x: x[0] ** 2 / 2 + 1e4 * x[1] ** 4 / 4, gradient, start=[1.0, 1.0])
    changed = precondition(problem, "jacobi")
    np.testing.assert_allclose(changed.to_original(np.ones(2)), [1.0, 3e4**-0.5], rtol=1e-6)
    np.testing.assert_allclose(changed.to_original(changed.start()), [1.0, 1.0])
    quartic = precondition(PowerSum(4, start=[1.0, 0.1]), np.array([1.0, 10.0]))
    found = quartic.curvature()
    assert (found.scope, found.largest.upper) == ("local", pytest.approx(12 * 1.0001**0.5 * 100, rel=1e-9))
    assert "no step holds for all x" in found.region


def test_a_dead_column_is_left_alone():
    data = np.column_stack([X, np.zeros(30), np.full(30, 7.0)])
    problem = LeastSquares(data, TARGET, intercept=True)
    for by in ("jacobi", "columns", "standardise"):
        S = change_matrix(precondition(problem, by))
        assert np.isfinite(S).all()
        assert S[4, 4] == 1.0
    assert change_matrix(precondition(problem, "standardise"))[5, 5] == 1.0  # a constant column: no deviation


# ---- bad input ----------------------------------------------------------------------------------------

PROBLEM = LeastSquares(X, TARGET)


@pytest.mark.parametrize(
    ("problem", "by", "error", "message"),
    [
        (PROBLEM, "ruiz", InvalidInput, "by='ruiz' is not known; use one of jacobi, columns, standardise, cholesky"),
        (PROBLEM, "standardise", InvalidInput, "set intercept=True, or use by='columns'"),
        (Quadratic(np.eye(2)), "columns", InvalidInput, "quadratic, 2 unknowns has none; use by='jacobi'"),
        (Quadratic(np.eye(2)), "standardise", InvalidInput, "scales the columns of data"),
        (Quadratic(np.diag([1.0, -2.0])), "jacobi", InvalidInput, "curvature along coordinate 1 is -2.*; add a ridge"),
        (PROBLEM, np.array([1.0, 0.0, 1.0, 1.0]), InvalidInput, "scale must not be zero; entry 1 is"),
        (PROBLEM, np.ones(3), InvalidInput, r"by must have shape \(4,\); got \(3,\)"),
        (PROBLEM, np.ones((2, 2, 2)), InvalidInput, r"\(4, 4\); got \(2, 2, 2\)"),
        (PROBLEM, np.ones((3, 3)), InvalidInput, r"\(4, 4\) or \(4,\); got \(3, 3\)"),
        (PROBLEM, np.ones((4, 4)), InvalidInput, "must be invertible; its condition number is"),
        (PROBLEM, scipy.sparse.csr_array((4, 4)), InvalidInput, "must be invertible"),
        (PROBLEM, np.full(4, np.nan), InvalidInput, "4 NaN or infinite"),
        (PROBLEM, LinearMap((3, 3), lambda x: x, lambda x: x), InvalidInput, r"\(4, 4\) or \(4,\); got \(3, 3\)"),
        (PROBLEM, LinearMap((4, 4), lambda x: x, dtype=complex), InvalidType, "by must be real"),
        (PROBLEM, {"a": 1}, InvalidType, "by, unless it is a name or an operator, must hold real numbers"),
        (PROBLEM, precondition(Quadratic(np.eye(2))).change, InvalidInput, "changes 2 variables and .* has 4"),
        (np.eye(2), "jacobi", InvalidType, "problem must be a Problem; got .*ndarray"),
    ],
)
def test_refusals(problem, by, error, message):
    with pytest.raises(error, match=message):
        precondition(problem, by)


def test_more_refusals():
    with pytest.raises(InvalidInput, match="takes no point; leave out at"):
        precondition(PROBLEM, "columns", at=np.zeros(4))
    with pytest.raises(InvalidInput, match=r"at must have shape \(4,\)"):
        precondition(PROBLEM, "jacobi", at=np.zeros(3))
    flat = LinearMap((4, 4), lambda z: np.append(z[:3], 0.0), lambda g: np.append(g[:3], 0.0))
    with pytest.raises(InvalidInput, match=r"could not solve S z = x by iteration .*; give its matrix"):
        precondition(PROBLEM, flat).from_original(np.ones(4))
    np.testing.assert_array_equal(precondition(PROBLEM, flat).start(), np.zeros(4))
    big = Function(lambda x: 0.0, lambda x: x, size=1001)
    with pytest.raises(InvalidInput, match="1001 products to form, 1000 at most are made; give a scale"):
        precondition(big, "jacobi")
    with pytest.raises(InvalidInput, match=r"z must have shape \(4,\)"):
        precondition(PROBLEM).to_original(np.ones(5))


@pytest.mark.parametrize("by", ["columns", "standardise", "jacobi", "cholesky"])
def test_sparse_data_are_scaled_as_dense_ones(by):
    data = np.where(np.abs(X) < 0.7 * SCALES, 0.0, X)
    dense, sparse = (
        change_matrix(precondition(LeastSquares(kind(data), TARGET, ridge=0.1, intercept=True), by))
        for kind in (np.asarray, scipy.sparse.csr_array)
    )
    np.testing.assert_allclose(sparse, dense, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("by", ["jacobi", "columns", "cholesky", FULL[:4, :4]], ids=str)
@pytest.mark.parametrize("model", [Logistic, Softmax])
def test_far_out_the_ridge_alone_is_left(by, model):
    """The smallest curvature in the new variables is approached, so it is the infimum and not only a bound."""
    changed = precondition(model(X, LABELS, ridge=0.3), by)
    values = np.linalg.eigvalsh(matrix_of(changed, changed.from_original(1e7 * RNG.standard_normal(changed.size))))
    assert changed.curvature().smallest.lower == pytest.approx(values[0], rel=1e-6)
    assert changed.curvature().smallest.upper == pytest.approx(values[0], rel=1e-6)
