"""Changing the terrain: the same objective in other variables, where its curvature is more alike."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from surefoot._limits import Limits, limits
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import Method
from surefoot.operators import Array
from surefoot.problems._base import Problem
from surefoot.problems._changes import Change, by_centring, by_operator, by_scale, by_upper_factor
from surefoot.problems._incomplete import upper_factor
from surefoot.problems._linear import LinearModel
from surefoot.problems._parts import column_moments, column_squares
from surefoot.spectra import Spectrum

__all__ = ["Comparison", "Preconditioned", "precondition"]

NAMES = ("jacobi", "columns", "standardise", "cholesky")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Limits before and after a change of variables, side by side.

    Parameters
    ----------
    before, after : Limits
        Of one method.
    change : str
        What was done.
    """

    before: Limits
    after: Limits
    change: str

    def __str__(self) -> str:
        rows = [("", "before", "after"), *(self._row(name) for name in ("stable", "safe", "optimal", "rate"))]
        rows.append(("condition", _condition(self.before), _condition(self.after)))
        rows.append(("steps to 1e-6", _count(self.before), _count(self.after)))
        widths = [max(len(row[k]) for row in rows) for k in range(3)]
        lines = [f"step limits of {self.before.method}: {self.change}"]
        lines += ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(lines)

    def _row(self, name: str) -> tuple[str, str, str]:
        before, after = (getattr(found, name) for found in (self.before, self.after))
        return name, _number(before), _number(after)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"change": self.change, "before": self.before.to_dict(), "after": self.after.to_dict()}


class Preconditioned(Problem):
    """A problem f in the variables z, x = S z: the same values on another terrain.

        F(z) = f(S z),    grad F = S' grad f,    H_F = S'H S

    A gradient step in z is a step x - h S S' grad f(x) in x: S S' is the preconditioner. Made by `precondition`.

    Parameters
    ----------
    problem : Problem
        f.
    change : Change
        S.
    """

    def __init__(self, problem: Problem, change: Change) -> None:
        self.problem = problem
        self.change = change
        self._found: Spectrum | None = None

    @property
    def name(self) -> str:
        """The problem's, and what was done."""
        return f"{self.problem.name}, {self.change.name}"

    @property
    def size(self) -> int:
        """Number of unknowns: the same."""
        return self.problem.size

    @property
    def convex(self) -> bool:
        """As in x."""
        return self.problem.convex

    @property
    def constant_curvature(self) -> bool:
        """As in x."""
        return self.problem.constant_curvature

    def to_original(self, z: Array) -> Array:
        """The point x = S z."""
        return self.change.apply(self.checked(z, "z"))

    def from_original(self, x: Array) -> Array:
        """The point z = S^-1 x."""
        return self.change.invert(self.problem.checked(x))

    def start(self) -> Array:
        """The problem's own start, in z."""
        return self.from_original(self.problem.start())

    def value(self, x: Array) -> float:
        """F(z)."""
        return self.problem.value(self.change.apply(self.checked(x)))

    def gradient(self, x: Array) -> Array:
        """The gradient in z."""
        return self.change.adjoint(self.problem.gradient(self.change.apply(self.checked(x))))

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both at once."""
        value, gradient = self.problem.value_and_gradient(self.change.apply(self.checked(x)))
        return value, self.change.adjoint(gradient)

    def hessian_product(self, x: Array, v: Array) -> Array:
        """S'H S v."""
        x, v = self.change.apply(self.checked(x)), self.change.apply(self.checked(v, "v"))
        return self.change.adjoint(self.problem.hessian_product(x, v))

    def curvature(self) -> Spectrum:
        """Bounds on the eigenvalues of S'HS; from the entries where the problem has them."""
        if self._found is None:
            self._found = self.problem.curvature_in(self.change)
        return self._found

    def curvature_in(self, change: Change) -> Spectrum:
        """The same for a change of z."""
        return self.problem.curvature_in(self.change.then(change))

    @property
    def blocks(self) -> int:
        """As in x, if S treats the parts alike."""
        return 1 if self._block is None else self.problem.blocks

    @property
    def _block(self) -> Any:
        """The entries of S for one part, where there are any."""
        block = self.change.on_part(self.problem.blocks)
        return None if block is None else block.matrix

    def hessian_matrix(self, at: Array | None = None) -> Any:
        """S'HS of the problem's Hessian at a point, else of what the problem gives without one."""
        S = self._block
        if S is None:
            return super().hessian_matrix(at)
        return S.T @ self.problem.hessian_matrix(None if at is None else self.to_original(at)) @ S

    def hessian_diagonal(self, at: Array | None = None) -> Array:
        """The diagonal of `hessian_matrix`."""
        return np.asarray(self.hessian_matrix(at).diagonal())

    def compare(self, method: Method | None = None) -> Comparison:
        """Limits of a method before and after, gradient descent by default.

        Raises
        ------
        NotSmooth
            If the problem has no curvature to speak of.
        """
        return Comparison(limits(self.problem, method), limits(self, method), self.change.name)


def precondition(problem: Problem, by: Any = "jacobi", *, at: Any = None) -> Preconditioned:
    """The same problem in variables z, x = S z, in which its curvature is more alike in all directions.

        "jacobi"       S = diag(H)^(-1/2)                        curvature 1 along each coordinate
        "columns"      S = diag(1/|x_j|)                         columns of unit norm
        "standardise"  w_j = z_j/s_j, c = z_0 - sum_j m_j w_j    columns of mean 0 and variance 1
        "cholesky"     S = R^-1, R'R = H on the entries of H     incomplete for sparse data, complete for dense

    H is the bound on the Hessian that holds everywhere (linear models), the Hessian itself (quadratics), or that at
    the start; with `at`, the Hessian at that point. The classes of a softmax are treated alike. Values are those of
    the same objective, its ridge included: only the variables are others. For a linear model a ridge is part of H:
    "jacobi" and "cholesky" see it, "columns" and "standardise" do not.

    Parameters
    ----------
    problem : Problem
    by : str, array, matrix, operator or Change
        A name above; a scale s, shape (size,), for x = s z; or S itself, shape (size, size).
    at : array, shape (size,), optional
        Where the Hessian is taken, for "jacobi" and "cholesky": to scale anew along the way.

    Returns
    -------
    Preconditioned
        With `to_original` and `from_original` for points, `compare` for limits before and after.

    Raises
    ------
    InvalidInput
        If the name is unknown or does not fit the problem, S is singular or of another shape, or the curvature along
        a coordinate is negative.
    InvalidType
        If the problem is not one, or `by` is nothing of these.
    NotSmooth
        If a curvature is asked of a problem that has none.

    References
    ----------
    A. van der Sluis, Condition numbers and equilibration of matrices, Numer. Math. 14 (1969) 14-23: scaling to a
    unit diagonal is within a factor n of the best diagonal scaling.

    Examples
    --------
    >>> import surefoot as sf
    >>> problem = sf.problems.Quadratic([[1.0, 0.0], [0.0, 1e4]])
    >>> print(sf.problems.precondition(problem, "jacobi").compare())
    step limits of gradient descent: jacobi
                     before       after
      stable         0.0002       2
      safe           0.0001       1
      optimal        0.00019998   1
      rate           0.9998       0
      condition      10000        1
      steps to 1e-6  69078        1
    """
    if not isinstance(problem, Problem):
        raise InvalidType(f"problem must be a Problem such as LeastSquares(A, b); got {type(problem).__name__}")
    point = None if at is None else problem.checked(at, "at")
    if not isinstance(by, str):
        return _changed(problem, _given(by, problem))
    makers = {"jacobi": _jacobi, "columns": _columns, "standardise": _standardise, "cholesky": _cholesky}
    if by not in makers:
        raise InvalidInput(f"by={by!r} is not known; use one of {', '.join(NAMES)}, a scale or a matrix")
    if point is not None and by not in ("jacobi", "cholesky"):
        raise InvalidInput(f"by={by!r} looks at the data only and takes no point; leave out at")
    return _changed(problem, makers[by](problem, point).repeated(problem.blocks))


def _changed(problem: Problem, change: Change) -> Preconditioned:
    """In the new variables; a change of a change is one change of the first problem."""
    if isinstance(problem, Preconditioned):
        return Preconditioned(problem.problem, problem.change.then(change))
    return Preconditioned(problem, change)


def _given(by: Any, problem: Problem) -> Change:
    size, blocks = problem.size, problem.blocks
    if isinstance(by, Change):
        if by.size != size:
            raise InvalidInput(f"by changes {by.size} variables and {problem.name} has {size}")
        return by
    if hasattr(by, "matvec"):
        return by_operator(by, "your operator", size)
    if hasattr(by, "tocsr"):
        return by_operator(by, "your matrix", size)
    try:
        values = np.asarray(by, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidType(f"by must be a name, a scale, a matrix or an operator; got {by!r}") from error
    part = size // blocks
    if values.ndim == 1 and values.size == part:
        return by_scale(values, "your scale", part).repeated(blocks)
    if values.ndim == 1:
        return by_scale(values, "your scale", size)
    if values.shape == (part, part):
        return by_operator(values, "your matrix", part).repeated(blocks)
    if values.ndim != 2:
        raise InvalidInput(f"by must have shape ({size},) or ({size}, {size}); got {values.shape}")
    return by_operator(values, "your matrix", size)


def _jacobi(problem: Problem, at: Array | None) -> Change:
    diagonal = problem.hessian_diagonal(at)
    if (diagonal < 0).any():
        worst = int(np.argmin(diagonal))
        raise InvalidInput(
            f"the curvature along coordinate {worst} is {diagonal[worst]:.6g}, and its root is needed; add a ridge, or "
            "give a scale of your own"
        )
    return by_scale(_inverse(np.sqrt(diagonal)), _called("jacobi", at), diagonal.size)


def _columns(problem: Problem, at: Array | None) -> Change:  # noqa: ARG001 - the contract
    model = _linear(problem, "columns")
    lengths = np.sqrt(np.append(column_squares(model.data), [model.terms] * model.intercept))
    return by_scale(_inverse(lengths), "columns", lengths.size)


def _standardise(problem: Problem, at: Array | None) -> Change:  # noqa: ARG001 - the contract
    model = _linear(problem, "standardise")
    if not model.intercept:
        raise InvalidInput(
            "centring the columns needs a constant to take the means up; set intercept=True, or use by='columns'"
        )
    means, deviations = column_moments(model.data)
    return by_centring(means, _inverse(deviations), "standardise")


def _cholesky(problem: Problem, at: Array | None) -> Change:
    R, shift = upper_factor(problem.hessian_matrix(at), problem.name)
    shifted = f", diagonal raised by {shift:g}" if shift else ""
    return by_upper_factor(R, _called("cholesky", at) + shifted, R.shape[0])


def _linear(problem: Problem, name: str) -> LinearModel:
    if isinstance(problem, LinearModel):
        return problem
    raise InvalidInput(f"by={name!r} scales the columns of data, and {problem.name} has none; use by='jacobi'")


def _inverse(sizes: Array) -> Array:
    """1/size, and 1 for a size of 0: f does not depend on that variable."""
    return np.divide(1.0, sizes, out=np.ones_like(sizes), where=sizes > 0)


def _called(name: str, at: Array | None) -> str:
    return name if at is None else f"{name} at a point"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _condition(found: Limits) -> str:
    return "-" if found.condition is None else str(found.condition)


def _count(found: Limits) -> str:
    count = found.iterations(1e-6)
    return f"{count:g}" if count < float("inf") else "sublinear"
