"""Changing the variables: the same objective in others, how its curvature there is computed, what is refused."""

import numpy as np
import pytest
import scipy.sparse
from problems.scaled import FULL, LABELS, MANY, RNG, SCALES, TARGET, X, change_matrix, matrix_of

import surefoot as sf
from surefoot import rules
from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import LinearMap
from surefoot.problems import Function, Huber, LeastSquares, Logistic, PowerSum, Quadratic, Softmax, precondition
from surefoot.problems.linear import _curvature as _linear_curvature

# ---- the same objective -----------------------------------------------------------------------------

WAYS = ["jacobi", "columns", "standardise", "cholesky", "scale", "matrix", "sparse matrix", "operator"]
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
