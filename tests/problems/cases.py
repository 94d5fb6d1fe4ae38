"""One table of problems, and what is written down twice: each loss once more, for complex arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse

from surefoot.problems import LeastSquares, Logistic, Problem, Quadratic, Softmax

ROWS, FEATURES, CLASSES = 12, 3, 4


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


def _softmax(X, y, ridge, intercept):
    A = _with_ones(X, intercept)

    def f(x):
        W = x.reshape(CLASSES, -1)
        S = A @ W.T
        return (np.log(np.exp(S).sum(axis=1)) - S[np.arange(len(y)), y]).mean() + _ridge(W, ridge, intercept)

    return f


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
    models = [(LeastSquares, b, _least_squares), (Logistic, y, _logistic), (Softmax, k, _softmax)]
    for model, target, naive in models:
        for ridge, intercept in ((0.0, False), (0.3, False), (0.0, True), (0.3, True)):
            for sparse in (False, True):
                data = scipy.sparse.csc_matrix(X) if sparse else X
                name = f"{model.__name__} ridge={ridge} intercept={intercept} sparse={sparse}"
                problem = model(data, target, ridge=ridge, intercept=intercept)
                cases.append(Case(name, problem, naive(X, target, ridge, intercept)))
    return cases


CASES = make_cases()
