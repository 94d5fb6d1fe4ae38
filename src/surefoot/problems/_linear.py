"""What linear models share: scores X W', a loss of the scores, a ridge that spares the intercept."""

import math
from abc import abstractmethod
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from surefoot.operators import Array, Matrix, gram
from surefoot.problems._base import Problem
from surefoot.problems._checks import nonnegative
from surefoot.spectra import Bounds, Spectrum, spectrum

__all__ = ["LinearModel"]

# A run that diverges shows as an infinite value, which its driver reads, not as a warning.
overflow_is_a_value = np.errstate(over="ignore", invalid="ignore")


class LinearModel(Problem):
    """A mean loss of linear scores plus a ridge, in K x p coefficients W, flattened by rows.

        f(W) = (1/n) sum_i loss_i(W x_i) + (ridge/2) sum_k W_k D W_k'

    x_i is a row of X with a 1 appended if there is an intercept, so p is d or d + 1; D is the identity with a
    zero for the intercept. With B(s) the second derivative of the loss in the scores, the Hessian is

        H(W) = (1/n) sum_i B(W x_i) kron x_i x_i' + ridge (I kron D)

    Parameters
    ----------
    X : dense or sparse matrix, shape (n, d)
        Already cleaned.
    targets : array, shape (n, K)
        Already cleaned; K is 1 but for the softmax.
    ridge : float
        Nonnegative and finite.
    intercept : bool
        Whether to fit a constant, the last coefficient of each row of W.
    """

    def __init__(self, X: Matrix, targets: Array, *, ridge: float, intercept: bool) -> None:
        self._X = X
        self._targets = targets
        self._ridge = nonnegative(ridge, "ridge")
        self._intercept = bool(intercept)
        self._rows, self._features = X.shape
        self._width = self._features + self._intercept
        self._penalty = np.full(self._width, self._ridge)
        if intercept:
            self._penalty[-1] = 0.0

    @property
    @abstractmethod
    def _title(self) -> str:
        """The model's name, without its size."""

    @property
    def _details(self) -> str:
        """What else the name should say, with a leading comma."""
        return ""

    @abstractmethod
    def _loss(self, scores: Array) -> float:
        """Mean over the rows of scores, shape (n, K)."""

    @abstractmethod
    def _slope(self, scores: Array) -> Array:
        """First derivative of each row's loss in its scores, shape (n, K)."""

    @abstractmethod
    def _bend(self, scores: Array, change: Array) -> Array:
        """Second derivative of each row's loss in its scores, times a change of scores; shape (n, K)."""

    @abstractmethod
    def _measured(self) -> Spectrum:
        """What `curvature` returns, computed."""

    @property
    def name(self) -> str:
        """The model, rows x features, and what was added."""
        intercept = ", intercept" if self._intercept else ""
        ridge = f", ridge {self._ridge:g}" if self._ridge else ""
        return f"{self._title}, {self._rows} x {self._features}{self._details}{intercept}{ridge}"

    @property
    def size(self) -> int:
        """Number of coefficients, K p."""
        return self._targets.shape[1] * self._width

    @property
    def convex(self) -> bool:
        """True: a convex loss of a linear map plus a ridge."""
        return True

    @overflow_is_a_value
    def value(self, x: Array) -> float:
        """f(x): one product with X."""
        W = self._coefficients(x)
        return self._value(W, self._scores(W))

    @overflow_is_a_value
    def gradient(self, x: Array) -> Array:
        """The gradient at x, shape (size,): one product with X and one with X'."""
        W = self._coefficients(x)
        return self._gradient(W, self._scores(W))

    @overflow_is_a_value
    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both at once, sharing the product with X."""
        W = self._coefficients(x)
        scores = self._scores(W)
        return self._value(W, scores), self._gradient(W, scores)

    @overflow_is_a_value
    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v, shape (size,): two products with X and one with X'."""
        W, V = self._coefficients(x), self._coefficients(v, "v")
        bent = self._bend(self._scores(W), self._scores(V))
        return (self._back(bent) + self._penalty * V).ravel()

    def curvature(self) -> Spectrum:
        """Bounds on the Hessian's eigenvalues over all x, computed once; see the class for the formula."""
        return self._curvature

    @cached_property
    def _curvature(self) -> Spectrum:
        return self._measured()

    def _coefficients(self, x: Array, name: str = "x") -> Array:
        return self.checked(x, name).reshape(-1, self._width)

    def _scores(self, W: Array) -> Array:
        scores = self._X @ W[:, : self._features].T
        return scores + W[:, -1] if self._intercept else scores

    def _back(self, R: Array) -> Array:
        """The adjoint of `_scores` divided by n: shape (n, K) to (K, p)."""
        product = (self._X.T @ R).T
        if self._intercept:
            product = np.column_stack([product, R.sum(axis=0)])
        return product / self._rows

    def _value(self, W: Array, scores: Array) -> float:
        return self._loss(scores) + 0.5 * float(np.sum(self._penalty * W * W))

    def _gradient(self, W: Array, scores: Array) -> Array:
        return (self._back(self._slope(scores)) + self._penalty * W).ravel()

    def _bent_gram(self, bend: float, which: Literal["both", "largest"] = "largest") -> Spectrum:
        """The spectrum of bend X'X/n + ridge D, through a factor: its condition is not squared."""
        scale = math.sqrt(bend / self._rows)
        factor = self._X * scale
        if not self._intercept:
            return spectrum(gram(factor), which=which).shifted(self._ridge)
        stacks = _sparse_stacks() if hasattr(factor, "tocsr") else (np.hstack, np.vstack, np.eye)
        hstack, vstack, eye = stacks
        factor = hstack([factor, np.full((self._rows, 1), scale)])
        if self._ridge:
            factor = vstack([factor, math.sqrt(self._ridge) * eye(self._features, self._width)])
        return spectrum(gram(factor), which=which)

    def _closed_form(self, base: Spectrum, formula: str, **changes: Any) -> Spectrum:
        """A spectrum of some p x p matrix as the whole problem's curvature."""
        note = f"{formula}; {base.note}" if base.note else formula
        facts = {"kind": "curvature", "provenance": "closed form", "scope": "global", "note": note}
        return replace(base, **{**facts, **changes})

    @property
    def _flat_direction(self) -> Bounds:
        """Exactly the ridge along the direction that it penalises least: 0 with an intercept."""
        return Bounds.exactly(float(self._penalty.min()))

    @property
    def _ridge_term(self) -> str:
        if not self._ridge:
            return ""
        return " + ridge D" if self._intercept else " + ridge"


def _sparse_stacks() -> tuple[Any, Any, Any]:
    from scipy.sparse import eye_array, hstack, vstack

    return hstack, vstack, eye_array
