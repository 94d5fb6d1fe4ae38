"""One table of problems, and what is written down twice: each loss once more, for complex arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from surefoot.problems import (
    AbsoluteLoss,
    Function,
    Hinge,
    Huber,
    LeastSquares,
    Logistic,
    PowerSum,
    Problem,
    Quadratic,
    ResidualNorm,
    Softmax,
    precondition,
)

ROWS, FEATURES, CLASSES = 12, 3, 4
FAR = 10.0  # a delta that no residual at the start exceeds


@dataclass(frozen=True)
class Case:
    name: str
    problem: Problem
    naive: Callable[[np.ndarray], Any]


def _data():
    rng = np.random.default_rng(11)
    X = rng.standard_normal((ROWS, FEATURES)) * [1.0, 3.0, 0.2] + 0.3
    return X, rng.standard_normal(ROWS), rng.permutation(ROWS) % 2, rng.permutation(ROWS) % CLASSES


def _with_ones(X, intercept):
    return np.column_stack([X, np.ones(len(X))]) if intercept else X


def _ridge(W, ridge, intercept):
    return ridge / 2 * (W[:, : W.shape[1] - intercept] ** 2).sum()


def _least_squares(X, b, ridge, intercept):
    A = _with_ones(X, intercept)
    return lambda x: ((A @ x - b) ** 2).mean() / 2 + _ridge(x[None], ridge, intercept)


def _logistic(X, y, ridge, intercept):
    A = _with_ones(X, intercept)
    return lambda x: np.log(1 + np.exp(-(2 * y - 1) * (A @ x))).mean() + _ridge(x[None], ridge, intercept)


def _size(z):
    """|z|, analytic beside its kink."""
    return z * np.sign(np.real(z))


def _huber(X, b, ridge, intercept, delta=FAR):
    A = _with_ones(X, intercept)

    def f(x):
        r = _size(A @ x - b)
        return np.where(r.real <= delta, r * r / 2, delta * r - delta**2 / 2).mean() + _ridge(x[None], ridge, intercept)

    return f


def _absolute(X, b, ridge, intercept):
    A = _with_ones(X, intercept)
    return lambda x: _size(A @ x - b).mean() + _ridge(x[None], ridge, intercept)


def _hinge(X, y, ridge, intercept):
    A = _with_ones(X, intercept)

    def f(x):
        margin = 1 - (2 * y - 1) * (A @ x)
        return np.where(margin.real > 0, margin, 0).mean() + _ridge(x[None], ridge, intercept)

    return f


def _softmax(X, y, ridge, intercept):
    A = _with_ones(X, intercept)

    def f(x):
        W = x.reshape(CLASSES, -1)
        S = A @ W.T
        return (np.log(np.exp(S).sum(axis=1)) - S[np.arange(len(y)), y]).mean() + _ridge(W, ridge, intercept)

    return f


def far_huber(A, b, **options):
    return Huber(A, b, FAR, **options)


def make_cases():
    X, b, y, k = _data()
    Q = X.T @ X - 2 * np.eye(FEATURES)
    cases = [
        Case("quadratic", Quadratic(Q, b[:3]), lambda x: x @ Q @ x / 2 - b[:3] @ x),
        Case("quadratic ridge", Quadratic(Q, ridge=2.5), lambda x: x @ Q @ x / 2 + 1.25 * (x @ x)),
        Case(
            "quadratic sparse",
            Quadratic(scipy.sparse.csr_array(Q), b[:3]),
            lambda x: x @ Q @ x / 2 - b[:3] @ x,
        ),
    ]
    models = [
        (LeastSquares, b, _least_squares),
        (Logistic, y, _logistic),
        (Softmax, k, _softmax),
        (far_huber, b, _huber),
    ]
    for model, target, naive in models:
        for ridge, intercept in ((0.0, False), (0.3, False), (0.0, True), (0.3, True)):
            for sparse in (False, True):
                data = scipy.sparse.csc_matrix(X) if sparse else X
                name = f"{model.__name__} ridge={ridge} intercept={intercept} sparse={sparse}"
                problem = model(data, target, ridge=ridge, intercept=intercept)
                cases.append(Case(name, problem, naive(X, target, ridge, intercept)))
    return cases


def make_preconditioned():
    """The same objectives in other variables, one for each way of changing them."""
    X, b, y, k = _data()
    W = np.random.default_rng(5).standard_normal((FEATURES + 1, FEATURES + 1)) + 3 * np.eye(FEATURES + 1)
    sparse = scipy.sparse.csr_array(X)
    wanted = [
        (LeastSquares, X, b, _least_squares, 0.3, True, "standardise"),
        (LeastSquares, sparse, b, _least_squares, 0.3, True, "standardise"),
        (LeastSquares, X, b, _least_squares, 0.0, False, "columns"),
        (LeastSquares, X, b, _least_squares, 0.3, True, W),
        (LeastSquares, sparse, b, _least_squares, 0.3, True, scipy.sparse.csr_array(W)),
        (Logistic, X, y, _logistic, 0.3, False, "jacobi"),
        (Logistic, sparse, y, _logistic, 0.3, False, "cholesky"),
        (Logistic, X, y, _logistic, 0.3, False, W[:3, :3]),
        (far_huber, X, b, _huber, 0.3, True, "cholesky"),
        (Softmax, X, k, _softmax, 0.3, False, "jacobi"),
        (Softmax, X, k, _softmax, 0.3, False, "cholesky"),
        (Softmax, X, k, _softmax, 0.0, False, np.array([2.0, -1.0, 0.5])),
    ]
    cases = []
    for model, data, target, naive, ridge, intercept, by in wanted:
        changed = precondition(model(data, target, ridge=ridge, intercept=intercept), by)
        cases.append(_changed_case(changed, naive(X, target, ridge, intercept)))
    Q = X.T @ X
    for source in (Q, scipy.sparse.csr_array(Q)):
        cases.append(
            _changed_case(
                precondition(Quadratic(source, b[:3], ridge=0.5)), lambda x: x @ Q @ x / 2 + x @ x / 4 - b[:3] @ x
            )
        )
    return cases


def _changed_case(changed, naive):
    S = np.stack([changed.to_original(e) for e in np.eye(changed.size)], axis=1)
    sparse = "sparse" if hasattr(changed.change.matrix, "nnz") else "dense"
    return Case(f"{changed.name} {sparse}", changed, lambda z: naive(S @ z))


def make_without_global_curvature():
    """Kinks, and curvature that nothing bounds; each with a naive formula, at points where it is smooth."""
    X, b, _, _ = _data()
    cases = [
        Case("residual norm", ResidualNorm(X, b), lambda x: (((X @ x - b) ** 2).sum()) ** 0.5),
        Case(
            "residual norm sparse",
            ResidualNorm(scipy.sparse.csr_array(X), b),
            lambda x: ((X @ x - b) ** 2).sum() ** 0.5,
        ),
        Case("function", Function(lambda x: np.cosh(x).sum(), np.sinh, size=3), lambda x: np.cosh(x).sum()),
        Case(
            "function with products",
            Function(lambda x: np.cosh(x).sum(), np.sinh, lambda x, v: np.cosh(x) * v, start=np.ones(3)),
            lambda x: np.cosh(x).sum(),
        ),
    ]
    for p in (1.5, 2.0, 3.0, 4.0):
        cases.append(Case(f"power {p}", PowerSum(p, size=3), lambda x, p=p: (_size(x) ** p).sum()))
    return cases


def make_kinked():
    X, b, y, _ = _data()
    cases = []
    for ridge, intercept in ((0.0, False), (0.3, True)):
        for data in (X, scipy.sparse.csr_array(X)):
            for model, target, naive in ((AbsoluteLoss, b, _absolute), (Hinge, y, _hinge)):
                problem = model(data, target, ridge=ridge, intercept=intercept)
                cases.append(Case(f"{problem.name} {type(data).__name__}", problem, naive(X, target, ridge, intercept)))
    cases.append(_changed_case(precondition(Hinge(X, y, ridge=0.3), "columns"), _hinge(X, y, 0.3, False)))
    return cases


CASES = make_cases() + make_preconditioned()
LOCAL = make_without_global_curvature()
KINKED = make_kinked()
