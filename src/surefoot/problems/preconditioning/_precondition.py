"""Preconditioning: the same objective in variables in which its curvature varies less with direction."""

from typing import Any

import numpy as np

from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators import Array
from surefoot.problems._base import Problem
from surefoot.problems._changes import Change, by_centring, by_operator, by_scale, by_upper_factor
from surefoot.problems.linear.model import LinearModel
from surefoot.problems.linear.parts import column_moments, column_squares
from surefoot.problems.preconditioning._incomplete import upper_factor
from surefoot.problems.preconditioning._preconditioned import Preconditioned


@checked
def precondition(problem: Problem, by: Any = "jacobi", *, at: Any = None) -> Preconditioned:
    """The same problem in variables z, x = S z, in which its curvature varies less with direction.

        "jacobi"       S = diag(H)^(-1/2)                        curvature 1 along each coordinate
        "columns"      S = diag(1/|x_j|)                         columns of unit norm
        "standardise"  w_j = z_j/s_j, c = z_0 - sum_j m_j w_j    columns of mean 0 and variance 1
        "cholesky"     S = R^-1, R'R = H on the entries of H     incomplete for sparse data, complete for dense

    H is the bound on the Hessian that holds everywhere (linear models), the Hessian itself (quadratics), or that at
    the start; with `at`, the Hessian at that point. The classes of a softmax are treated alike. The objective is the
    same, its ridge included; only the variables change. For a linear model a ridge is part of H: "jacobi" and
    "cholesky" use it, "columns" and "standardise" do not.

    Parameters
    ----------
    problem : Problem
    by : str, array, matrix, operator or Change
        A name above; a scale s, shape (size,), for x = s z; or S itself, shape (size, size).
    at : array, shape (size,), optional
        Point of the Hessian, for "jacobi" and "cholesky", to rescale during a run.

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
    point = None if at is None else problem.checked(at, "at")
    if not isinstance(by, str):
        return _apply_change(problem, _change_of(by, problem))
    makers = {"jacobi": _jacobi, "columns": _columns, "standardise": _standardise, "cholesky": _cholesky}
    if by not in makers:
        raise InvalidInput(f"by={by!r} is not known; use one of {', '.join(makers)}, a scale or a matrix")
    if point is not None and by not in ("jacobi", "cholesky"):
        raise InvalidInput(f"by={by!r} looks at the data only and takes no point; leave out at")
    return _apply_change(problem, makers[by](problem, point).repeat(problem.blocks))


def _apply_change(problem: Problem, change: Change) -> Preconditioned:
    """The problem in new variables; a change of a changed problem becomes one change of the original."""
    if isinstance(problem, Preconditioned):
        return Preconditioned(problem.problem, problem.change.then(change))
    return Preconditioned(problem, change)


def _change_of(by: Any, problem: Problem) -> Change:
    size, blocks = problem.size, problem.blocks
    if isinstance(by, Change):
        if by.size != size:
            raise InvalidInput(f"by changes {by.size} variables and {problem.name} has {size}")
        return by
    if hasattr(by, "matvec") or hasattr(by, "tocsr"):
        return by_operator(by, "your operator" if hasattr(by, "matvec") else "your matrix", size)
    values = real_array(by, "by, unless it is a name or an operator,")
    if values.ndim not in (1, 2):
        raise InvalidInput(f"by must have shape ({size},) or ({size}, {size}); got {values.shape}")
    # a scale or a matrix of the size of one part is used for each of them
    part = size // blocks
    copies = blocks if values.shape in ((part,), (part, part)) else 1
    if values.ndim == 1:
        return by_scale(values, "your scale", size // copies).repeat(copies)
    return by_operator(values, "your matrix", size // copies).repeat(copies)


def _jacobi(problem: Problem, at: Array | None) -> Change:
    diagonal = problem.hessian_diagonal(at)
    if (diagonal < 0).any():
        worst = int(np.argmin(diagonal))
        raise InvalidInput(
            f"the curvature along coordinate {worst} is {diagonal[worst]:.6g}, and its root is needed; add a ridge, or "
            "give a scale of your own"
        )
    return by_scale(_inverse(np.sqrt(diagonal)), _title("jacobi", at), diagonal.size)


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
    return by_upper_factor(R, _title("cholesky", at) + shifted, R.shape[0])


def _linear(problem: Problem, name: str) -> LinearModel:
    if isinstance(problem, LinearModel):
        return problem
    raise InvalidInput(f"by={name!r} scales the columns of data, and {problem.name} has none; use by='jacobi'")


def _inverse(sizes: Array) -> Array:
    """1/size, or 1 for a size of 0, where f does not depend on the variable."""
    return np.divide(1.0, sizes, out=np.ones_like(sizes), where=sizes > 0)


def _title(name: str, at: Array | None) -> str:
    return name if at is None else f"{name} at a point"
