"""Problems from files: NumPy arrays and archives, Matrix Market, comma-separated tables."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surefoot.checks import as_path
from surefoot.errors import InvalidInput, SurefootError
from surefoot.operators import Array, Matrix, as_operator
from surefoot.operators.symmetry import asymmetry_note
from surefoot.problems import LeastSquares, Logistic, Problem, Quadratic, Softmax
from surefoot.targets._formats import read_content
from surefoot.targets._tables import Table, column_index

Loss = Literal["least-squares", "logistic", "softmax", "quadratic"]
# What a table of data can be fitted by.
LOSSES: tuple[Loss, ...] = ("least-squares", "logistic", "softmax", "quadratic")
# Ends errors: a file does not say what it is for.
CHOOSE_LOSS = "choose --loss least-squares, logistic or softmax"

# Names in a .npz archive: the matrix, what goes with it, and the loss that this implies.
PAIRS: tuple[tuple[str, str, Loss | None], ...] = (
    ("A", "b", "least-squares"),
    ("X", "y", None),
    ("Q", "b", "quadratic"),
)
# The losses that take features and labels; a quadratic takes a matrix.
MODELS = {"least-squares": LeastSquares, "logistic": Logistic, "softmax": Softmax}


def load_matrix(path: str | PathLike[str]) -> Matrix:
    """Read a matrix.

    Parameters
    ----------
    path : path
        A .npy file; a .npz archive with one array, an array named A, X or Q, or a scipy.sparse matrix; a
        Matrix Market .mtx file; a .csv table of numbers, with or without a header.

    Returns
    -------
    array or scipy.sparse matrix, shape (m, n)
        float64 or complex128, finite.

    Notes
    -----
    Every error is a `SurefootError` that names the file: `UnknownTarget` if it is not there, else
    `InvalidInput` if it cannot be read, or does not hold one finite matrix.
    """
    path, content = as_path(path), read_content(path)
    try:
        if isinstance(content, Mapping):
            content = content[_matrix_key(content)]
        return as_operator(_entries(content), tolerance=0.0).entries
    except SurefootError as error:
        raise _about(path, error) from error


def load_problem(
    path: str | PathLike[str],
    *,
    loss: Loss | None = None,
    label: str | None = None,
    ridge: float = 0.0,
    intercept: bool = False,
) -> Problem:
    """Read a problem.

    Parameters
    ----------
    path : path
        A .npz archive may hold both sides by name: A and b, X and y, or Q and perhaps b. Any other file
        holds one table: a column of it is the label (or right-hand side) and the others are the features.
    loss : "least-squares", "logistic", "softmax" or "quadratic", optional
        Default: quadratic for a symmetric matrix, with b = 0, and for an archive with Q; least squares for
        an archive with A and b. Nothing else has one.
    label : str, optional
        Column of the label: its name in the header of a .csv file, or its index from 0 (negative from the
        end). The last one by default.
    ridge : float
        Nonnegative.
    intercept : bool
        Fit a constant too, not penalised.

    Returns
    -------
    Problem

    Notes
    -----
    Every error is a `SurefootError` that names the file: `UnknownTarget` if it is not there, else `InvalidInput` if it
    cannot be read, does not hold what the loss needs, or no loss was given where there is a choice, and `InvalidType`
    if its entries are not real numbers.
    """
    if loss is not None and loss not in LOSSES:
        raise InvalidInput(f"unknown loss {loss!r}; choose one of {', '.join(LOSSES)}")
    path, content = as_path(path), read_content(path)
    try:
        table, vector, implied = _sides(content)
        loss = loss or implied or _only_choice(table, vector)
        if label is not None and (vector is not None or loss == "quadratic"):
            raise InvalidInput(f"--label {label}: there is no label column to choose here; leave it out")
        if loss == "quadratic":
            if intercept:
                raise InvalidInput("a quadratic has no intercept; leave it out, or choose another --loss")
            return Quadratic(_entries(table), vector, ridge=ridge)
        if vector is None:
            table, vector = _split(table, label, loss)
        return MODELS[loss](_entries(table), vector, ridge=ridge, intercept=intercept)
    except SurefootError as error:
        raise _about(path, error) from error


def _about(path: Path, error: SurefootError) -> SurefootError:
    """The same error, with the name of the file."""
    return type(error)(f"{path}: {error}")


def _sides(content: Any) -> tuple[Any, Any, Loss | None]:
    """The table, what goes with it or None, and the loss that their names imply, if any."""
    if not isinstance(content, Mapping):
        return content, None, None
    for left, right, implied in PAIRS:
        if left in content and right in content:
            return content[left], content[right], implied
    return content[_matrix_key(content)], None, "quadratic" if "Q" in content else None


def _matrix_key(arrays: Mapping[str, Array]) -> str:
    if len(arrays) == 1:
        return next(iter(arrays))
    known = [key for key in ("A", "X", "Q") if key in arrays]
    if len(known) != 1:
        raise InvalidInput(f"holds the arrays {', '.join(arrays)}; name them A and b, X and y, or Q and b")
    return known[0]


def _only_choice(table: Any, vector: Any) -> Loss:
    """Quadratic, for a symmetric matrix alone; else the user has to say."""
    # least squares on class labels, or softmax on prices, would run and mean nothing: it is not guessed
    if vector is not None:
        raise InvalidInput(f"a table with labels fits more than one loss; {CHOOSE_LOSS}")
    if len(table.shape) != 2 or table.shape[0] != table.shape[1]:
        raise InvalidInput(
            f"shape {tuple(table.shape)} is not square, so it is no quadratic by itself; {CHOOSE_LOSS} "
            "(the last column is the label unless --label says another)"
        )
    operator = as_operator(_entries(table), kind="curvature")
    if operator.symmetric is not True:
        raise InvalidInput(
            f"the matrix is square and not symmetric{asymmetry_note(operator)}, so it is no quadratic by itself; "
            f"{CHOOSE_LOSS}"
        )
    return "quadratic"


def _entries(table: Any) -> Matrix:
    return table.numbers(range(table.width)) if isinstance(table, Table) else table


def _split(table: Any, label: str | None, loss: Loss) -> tuple[Matrix, Array]:
    """The features and the label column of one table."""
    if len(table.shape) != 2 or table.shape[1] < 2:
        raise InvalidInput(f"needs at least one column of features and one label; got shape {tuple(table.shape)}")
    width = table.shape[1]
    names = table.names if isinstance(table, Table) else None
    column = column_index(label, width, names)
    features = [i for i in range(width) if i != column]
    if isinstance(table, Table):
        y = table.numbers([column])[:, 0] if loss == "least-squares" else table.labels(column)
        return table.numbers(features), y
    entries: Matrix = as_operator(table, tolerance=0.0).entries
    y = entries[:, [column]]
    return entries[:, features], np.asarray(y.toarray() if hasattr(y, "toarray") else y)[:, 0]
