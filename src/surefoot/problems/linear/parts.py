"""Rows and columns of a linear model's data, for stochastic and coordinate methods."""

from collections.abc import Callable

import numpy as np

from surefoot.operators import Array, Matrix

__all__ = ["Columns", "Followed", "column_moments", "column_squares", "dense_rows", "row_squares"]

# Up to this many rows of a sparse matrix it is faster to copy them one by one than to slice.
FEW = 8
EPS = float(np.finfo(np.float64).eps)

Slope = Callable[[Array, Array], Array]


def row_squares(X: Matrix) -> Array:
    """|x_i|^2 for each row, shape (n,)."""
    return np.asarray((X.multiply(X) if hasattr(X, "multiply") else X * X).sum(axis=1)).ravel()


def column_squares(X: Matrix, weights: Array | None = None) -> Array:
    """sum_i w_i X_ij^2 for each column, shape (d,); the weights are 1 by default."""
    squares = X.multiply(X) if hasattr(X, "multiply") else X * X
    w = np.ones(X.shape[0]) if weights is None else weights
    return np.asarray(squares.T @ w).ravel()


def column_moments(X: Matrix) -> tuple[Array, Array]:
    """Mean and standard deviation of each column, shape (d,) each; deviations at rounding level are 0."""
    n = X.shape[0]
    means = np.asarray(X.sum(axis=0)).ravel() / n
    if hasattr(X, "tocsc"):
        columns = X.tocsc()
        counts = np.diff(columns.indptr)
        centred = columns.data - np.repeat(means, counts)
        squares = np.bincount(np.repeat(np.arange(X.shape[1]), counts), centred * centred, X.shape[1])
        squares = squares + (n - counts) * means * means
    else:
        squares = ((X - means) ** 2).sum(axis=0)
    deviations = np.sqrt(squares / n)
    return means, np.where(deviations > n * EPS * np.abs(means), deviations, 0.0)


def dense_rows(X: Matrix, rows: Array, intercept: bool) -> Array:
    """Rows as a dense array, shape (len(rows), p), with a 1 appended to each if there is an intercept."""
    if not hasattr(X, "indptr"):
        block = X[rows]
    elif len(rows) > FEW:
        block = X[rows].toarray()
    else:
        block = np.zeros((len(rows), X.shape[1]))
        for filled, i in zip(block, rows, strict=True):
            span = slice(X.indptr[i], X.indptr[i + 1])
            filled[X.indices[span]] = X.data[span]
    return np.column_stack([block, np.ones(len(rows))]) if intercept else block


class Columns:
    """Access to single columns: the rows where a column is not zero, and its entries there."""

    def __init__(self, X: Matrix, intercept: bool) -> None:
        self._X = X.tocsc() if hasattr(X, "tocsc") else X
        self._features = X.shape[1]
        self._ones = np.ones(X.shape[0]) if intercept else None

    def __getitem__(self, j: int) -> tuple[Array | slice, Array]:
        if j == self._features and self._ones is not None:
            return slice(None), self._ones
        if hasattr(self._X, "indptr"):
            span = slice(self._X.indptr[j], self._X.indptr[j + 1])
            return self._X.indices[span], self._X.data[span]
        return slice(None), self._X[:, j]


class Followed:
    """Partial derivatives along a path that changes one coordinate at a time.

        df/dW_kj = (1/n) sum_i x_ij slope_k(s_i) + penalty_j W_kj,    s <- s + (change of W_kj) x_j

    The scores s are updated, so a move and a derivative cost one column each instead of the whole matrix. Once per pass
    they are recomputed, before rounding errors add up.

    Parameters
    ----------
    x : array, shape (K p,)
        Start of the path.
    scores : callable
        W of shape (K, p) to scores of shape (n, K).
    slope : callable
        Scores and targets of some rows to the derivatives of the loss, shape (rows, K).
    columns : Columns
    targets : array, shape (n, K)
    penalty : array, shape (p,)
    """

    def __init__(
        self,
        x: Array,
        scores: Callable[[Array], Array],
        slope: Slope,
        columns: Columns,
        targets: Array,
        penalty: Array,
    ) -> None:
        self._W = np.array(x, dtype=np.float64).reshape(-1, penalty.size)
        self._fresh = scores
        self._slope = slope
        self._columns = columns
        self._targets = targets
        self._penalty = penalty
        self._scores = np.array(scores(self._W))
        self._moves = 0

    def move(self, i: int, value: float) -> None:
        """Set coordinate i."""
        k, j = divmod(i, self._penalty.size)
        change = value - self._W[k, j]
        if change == 0:
            return
        self._W[k, j] = value
        self._moves += 1
        if self._moves % self._W.size:
            rows, entries = self._columns[j]
            self._scores[rows, k] += change * entries
        else:
            self._scores = np.array(self._fresh(self._W))

    def partial(self, i: int) -> float:
        """The i-th partial derivative at the current point."""
        k, j = divmod(i, self._penalty.size)
        rows, entries = self._columns[j]
        slopes = self._slope(self._scores[rows], self._targets[rows])[:, k]
        return float(entries @ slopes) / len(self._targets) + float(self._penalty[j] * self._W[k, j])
