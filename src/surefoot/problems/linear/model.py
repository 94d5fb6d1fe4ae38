"""The base class of linear models: scores X W', a loss of the scores, a ridge without the intercept."""

import copy
from abc import abstractmethod
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np

from surefoot.checks import Share, checked
from surefoot.errors import NotSmooth
from surefoot.operators import Array, Matrix, at_once
from surefoot.problems._base import Problem, compute_once, overflow_is_a_value
from surefoot.problems._changes import Change
from surefoot.problems.linear._curvature import least_penalty, spectrum_of_gram, with_ones
from surefoot.problems.linear.parts import Columns, Followed, column_squares, dense_rows, row_squares
from surefoot.spectra import Bounds, Spectrum, worst_case

__all__ = ["LinearModel"]


class LinearModel(Problem):
    """A mean loss of linear scores plus a ridge, in K x p coefficients W, flattened by rows.

        f(W) = (1/n) sum_i loss_i(W x_i) + (ridge/2) sum_k W_k D W_k'

    x_i is a row of X with a 1 appended if there is an intercept, so p is d or d + 1; D is the identity with a
    zero for the intercept. With B(s) the second derivative of the loss in the scores, the Hessian is

        H(W) = (1/n) sum_i B(W x_i) kron x_i x_i' + ridge (I kron D)

    It is the mean of n terms, loss_i + ridge, which `terms`, `term_gradients` and `term_curvatures` serve
    (`FiniteSum`), and has cheap partial derivatives, `partial`, `coordinate_curvatures` and `follow`
    (`Partial`): what `surefoot.solvers.descend_by_parts` asks for.

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

    # the model's name, without its size
    _title: ClassVar[str]
    # the largest eigenvalue that B(s) can have
    _sharpest_bend: ClassVar[float]
    # Message of a loss with kinks, which has no second derivative: such a model defines neither `_sharpest_bend` nor
    # `_bend` nor `_measure`, and `curvature` raises NotSmooth.
    _kinks: ClassVar[str] = ""

    def __init__(self, X: Matrix, targets: Array, *, ridge: float, intercept: bool) -> None:
        self._X = X
        self._targets = targets
        self._ridge = ridge
        self._intercept = bool(intercept)
        self._rows, self._features = X.shape
        self._width = self._features + self._intercept
        self._penalty = np.full(self._width, self._ridge)
        if intercept:
            self._penalty[-1] = 0.0

    @property
    def _details(self) -> str:
        """Further details for the name, with a leading comma."""
        return ""

    @abstractmethod
    def _loss(self, scores: Array) -> float:
        """The mean loss over the rows of scores, shape (n, K)."""

    @abstractmethod
    def _slope(self, scores: Array, targets: Array) -> Array:
        """The derivative of the loss of some rows with respect to their scores, shape (rows, K)."""

    @property
    def _sharpest(self) -> float:
        if self._kinks:
            raise NotSmooth(self._kinks)
        return self._sharpest_bend

    def _bend(self, scores: Array, change: Array) -> Array:  # noqa: ARG002 - the contract
        """The second derivative of each row's loss times a change of its scores; shape (n, K)."""
        raise NotSmooth(self._kinks)

    def _measure(self, change: Change | None) -> Spectrum:  # noqa: ARG002 - the contract
        """Compute what `curvature` returns; for a change x = S z, the same for each row of W, bounds on S'HS."""
        raise NotSmooth(self._kinks)

    @property
    def name(self) -> str:
        """The model's title, rows x features, intercept and ridge."""
        intercept = ", intercept" if self._intercept else ""
        ridge = f", ridge {self._ridge:g}" if self._ridge else ""
        return f"{self._title}, {self._rows} x {self._features}{self._details}{intercept}{ridge}"

    @property
    def ridge(self) -> float:
        """The ridge, as given."""
        return self._ridge

    @property
    def size(self) -> int:
        """Number of coefficients, K p."""
        return self._targets.shape[1] * self._width

    @property
    def loss_is(self) -> str:
        """A mean over the rows."""
        return f"a mean over {self._rows} rows (for the sum divide the step by {self._rows})"

    @property
    def convex(self) -> bool:
        """True: a convex loss of a linear map plus a ridge."""
        return True

    @overflow_is_a_value
    def value(self, x: Array) -> float:
        """f(x): one product with X."""
        W = self._coefficients(x)
        (scores,) = at_once(self._scores(W))
        return self._value(W, scores)

    @overflow_is_a_value
    def gradient(self, x: Array) -> Array:
        """The gradient at x, shape (size,): one product with X, one with X', one pass over blocks."""
        W = self._coefficients(x)
        (product,) = at_once(self._back(self._slope(self._scores(W), self._targets)))
        return (product + self._penalty * W).ravel()

    @overflow_is_a_value
    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both at once, sharing the product with X."""
        W = self._coefficients(x)
        scores = self._scores(W)
        scores, product = at_once(scores, self._back(self._slope(scores, self._targets)))
        return self._value(W, scores), (product + self._penalty * W).ravel()

    @property
    def has_products(self) -> bool:
        """Whether the loss has no kinks."""
        return not self._kinks

    @overflow_is_a_value
    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v, shape (size,): two products with X, one with X', one pass over blocks."""
        W, V = self._coefficients(x), self._coefficients(v, "v")
        (product,) = at_once(self._back(self._bend(self._scores(W), self._scores(V))))
        return (product + self._penalty * V).ravel()

    @compute_once
    def curvature(self) -> Spectrum:
        """Bounds on the Hessian's eigenvalues over all x, computed once; see the class for the formula."""
        return self._measure(None)

    @checked
    def uncertain_curvature(self, fraction: Share) -> Spectrum:
        """The worst case of `curvature` over all feature scales within +-fraction.

        X'BX grows with the scale of every feature (Loewner order), so the largest eigenvalue is largest for the largest
        scales and the smallest eigenvalue smallest for the smallest.

        Raises
        ------
        InvalidInput
            If the fraction is not in [0, 1).
        """
        extremes = worst_case([self._rescale(1 - fraction).curvature(), self._rescale(1 + fraction).curvature()])
        return replace(
            extremes, note=f"every feature's scale within +-{100 * fraction:g}%", points=None, size=self.size
        )

    def _rescale(self, factor: float) -> Self:
        """The same model with its features multiplied by a factor."""
        other = copy.copy(self)
        for cached in ("_curvature", "_columns"):
            vars(other).pop(cached, None)
        vars(other)["_X"] = self._X * factor
        return other

    def curvature_in(self, change: Change) -> Spectrum:
        """Bounds on the eigenvalues of S'HS over all x, as sharp as those on H if S treats all classes alike."""
        block = change.on_part(self._targets.shape[1])
        return super().curvature_in(change) if block is None else self._measure(block)

    # ---- terms and coordinates -------------------------------------------------------------------------

    @property
    def terms(self) -> int:
        """Number of terms: the rows."""
        return self._rows

    @overflow_is_a_value
    def term_gradients(self, rows: Array, x: Array) -> Array:
        """The gradients of the given terms, shape (len(rows), size); x is not checked."""
        W = x.reshape(-1, self._width)
        block = dense_rows(self._X, rows, self._intercept)
        slopes = self._slope(block @ W.T, self._targets[rows])
        return (slopes[:, :, None] * block[:, None, :] + self._penalty * W).reshape(len(rows), -1)

    def term_curvatures(self) -> Array:
        """An upper bound on the curvature of each term, shape (n,): b |x_i|^2 + ridge, b that of the loss."""
        return self._sharpest * (row_squares(self._X) + self._intercept) + self._ridge

    def term_factors(self, x: Array) -> tuple[Array, Array]:
        """F, shape (n, K, size), and a penalty, shape (size,): term i has the Hessian F_i'F_i + diag(penalty) at x."""
        scores, units = self._scores(self._coefficients(x)), np.eye(self.blocks)
        bends = np.stack([self._bend(scores, np.tile(e, (self._rows, 1))) for e in units], axis=1)
        values, vectors = np.linalg.eigh(bends)
        roots = np.sqrt(np.maximum(values, 0.0))[:, :, None] * vectors.transpose(0, 2, 1)
        rows = dense_rows(self._X, np.arange(self._rows), self._intercept)
        factors = (roots[:, :, :, None] * rows[:, None, None, :]).reshape(self._rows, self.blocks, -1)
        return factors, np.tile(self._penalty, self.blocks)

    def partial(self, i: int, x: Array) -> float:
        """The i-th partial derivative at x: one product with X; along a path see `follow`."""
        return self.follow(self.checked(x)).partial(i)

    def coordinate_curvatures(self) -> Array:
        """An upper bound on the second derivative along each coordinate, shape (size,)."""
        return np.tile(self._diagonal(np.full(self._rows, self._sharpest)), self._targets.shape[1])

    def follow(self, x: Array) -> Followed:
        """Partial derivatives along a path from x, each for the cost of one column of X."""
        return Followed(x, self._scores, self._slope, self._columns, self._targets, self._penalty)

    @cached_property
    def _columns(self) -> Columns:
        return Columns(self._X, self._intercept)

    # ---- for preconditioners -----------------------------------------------------------------------------

    @property
    def data(self) -> Matrix:
        """The matrix X in float64; not to be modified."""
        return self._X

    @property
    def intercept(self) -> bool:
        """Whether the last coefficient of each row of W is a constant."""
        return self._intercept

    @property
    def blocks(self) -> int:
        """Number of rows of W."""
        return self._targets.shape[1]

    def hessian_diagonal(self, at: Array | None = None) -> Array:
        """The Hessian's diagonal at a point, by default of the bound on it; mean over the rows of W, shape (p,)."""
        return self._diagonal(self._row_bends(at))

    def hessian_matrix(self, at: Array | None = None) -> Matrix:
        """The mean diagonal block of the Hessian at a point, by default of the bound on it, shape (p, p)."""
        A = with_ones(self._X, self._intercept)
        bends = (self._row_bends(at) / self._rows)[:, None]
        weighted = A.multiply(bends).tocsr() if hasattr(A, "multiply") else A * bends
        if not hasattr(A, "multiply"):
            return A.T @ weighted + np.diag(self._penalty)
        from scipy.sparse import diags_array

        return (A.T @ weighted + diags_array(self._penalty)).tocsr()

    def _diagonal(self, bends: Array) -> Array:
        squares = column_squares(self._X, bends)
        if self._intercept:
            squares = np.append(squares, bends.sum())
        return squares / self._rows + self._penalty

    def _row_bends(self, at: Array | None) -> Array:
        """The second derivative of each row's loss, mean over its scores; by default its bound."""
        if at is None:
            return np.full(self._rows, self._sharpest)
        scores = self._scores(self._coefficients(at))
        units = np.eye(self.blocks)
        return np.mean([self._bend(scores, np.tile(e, (self._rows, 1)))[:, k] for k, e in enumerate(units)], axis=0)

    # ---- arithmetic -------------------------------------------------------------------------------------

    def _coefficients(self, x: Array, name: str = "x") -> Array:
        return self.checked(x, name).reshape(-1, self._width)

    # With X a Dask array these two, and `_slope` and `_bend` between them, only describe what `at_once` then computes,
    # so that a block is read once for both.

    def _scores(self, W: Array) -> Array:
        scores = self._X @ W[:, : self._features].T
        return scores + W[:, -1] if self._intercept else scores

    def _back(self, R: Array) -> Array:
        """The adjoint of `_scores` divided by n: shape (n, K) to (K, p)."""
        product = (self._X.T @ R).T
        if self._intercept:
            product = np.concatenate([product, R.sum(axis=0)[:, None]], axis=1)
        return product / self._rows

    def _value(self, W: Array, scores: Array) -> float:
        return self._loss(scores) + 0.5 * float(np.sum(self._penalty * W * W))

    def _gram_spectrum(
        self, bend: float, which: Literal["both", "largest"] = "largest", change: Change | None = None
    ) -> Spectrum:
        """The spectrum of S'(bend X'X/n + ridge D)S, computed from a factor."""
        return spectrum_of_gram(self._X, bend, self._penalty, self._intercept, change, which)

    def _state_formula(self, base: Spectrum, formula: str, change: Change | None, **changes: Any) -> Spectrum:
        """The spectrum of a p x p matrix, presented as the curvature of the problem."""
        where = "" if change is None else f", in the variables of {change.name}"
        note = f"{formula}{where}; {base.note}" if base.note else formula + where
        facts = {"kind": "curvature", "provenance": "closed form", "scope": "global", "note": note}
        return replace(base, **{**facts, **changes})

    def _flat_direction(self, change: Change | None) -> Bounds:
        """The curvature of the ridge alone along the direction that it penalises least: 0 with an intercept."""
        return least_penalty(self._penalty, change)

    @property
    def _ridge_term(self) -> str:
        if not self._ridge:
            return ""
        return " + ridge D" if self._intercept else " + ridge"


def bracket(lower: float, bound: Bounds) -> Bounds:
    """The interval from a curvature that is attained at some point to a bound that is never exceeded."""
    upper_is = "proved" if bound.upper_is == "exact" else bound.upper_is
    return replace(bound, lower=min(lower, bound.lower), lower_is="proved", upper_is=upper_is)
