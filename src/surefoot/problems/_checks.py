"""Checks of the data of problems; each returns the cleaned value."""

from typing import Any

import array_api_compat as compat
import numpy as np

from surefoot.checks import refuse_mask
from surefoot.errors import InvalidInput, InvalidType, NotFinite, SurefootError
from surefoot.operators import Array, Matrix, MatrixOperator, Operator, OutOfCore

# Most labels that are shown in a message: as many as fit on a line.
LABELS_SHOWN = 6


def real_matrix(value: Any, name: str) -> Matrix:
    """A dense or sparse (CSR) matrix in float64, its entries finite.

    Raises
    ------
    InvalidType
        If it is complex, not numeric, or an operator without entries.
    """
    if isinstance(value, Operator) and value.entries is not None:
        value = value.entries
    if compat.is_dask_array(value):  # too large for memory: products stay lazy
        return OutOfCore(value).blocks
    if hasattr(value, "matvec"):
        raise InvalidType(
            f"{name} must be an array or a scipy.sparse matrix, with its entries at hand; got {value!r}; "
            f"least squares by products alone is Quadratic(gram(A), A.T @ b): the sum of r^2/2, "
            "so divide both by the number of rows for the mean"
        )
    try:
        entries = MatrixOperator(value, tolerance=0.0).entries
    except SurefootError as error:
        raise type(error)(f"{name}: {error}") from error
    _refuse_complex(entries, name)
    if hasattr(entries, "sum_duplicates"):
        entries.sum_duplicates()  # of our own copy
    return entries


def real_vector(value: Any, size: int, name: str) -> Array:
    """A float64 vector of shape (size,), its entries finite; a copy.

    Raises
    ------
    InvalidType
        If it is not numeric.
    """
    vector = _array(value, name)
    _refuse_complex(vector, name)
    if vector.dtype.kind not in "buif":
        raise InvalidType(f"{name} must hold numbers; got dtype {vector.dtype}")
    _need_shape(vector, size, name)
    _refuse_nonfinite(vector, name)
    return vector.astype(np.float64)


def regression_data(A: Any, b: Any) -> tuple[Matrix, Array]:
    """The cleaned matrix and the targets as a column, shape (n, 1)."""
    matrix = real_matrix(A, "A")
    return matrix, real_vector(b, matrix.shape[0], "b")[:, None]


def classification_data(X: Any, y: Any) -> tuple[Matrix, Array]:
    """The cleaned matrix and the signs of two classes as a column, shape (n, 1)."""
    matrix = real_matrix(X, "X")
    return matrix, _binary_labels(y, matrix.shape[0], "y")[:, None]


def _binary_labels(value: Any, rows: int, name: str) -> Array:
    """Labels from {0, 1}, {-1, 1} or {False, True} as -1.0 and 1.0, shape (rows,).

    Raises
    ------
    InvalidInput
        If there are other labels, one class only, or another number of them.
    """
    labels = _labels(value, rows, name)
    seen = set(np.unique(labels).tolist())
    if not (seen <= {0, 1} or seen <= {-1, 1}):
        raise InvalidInput(
            f"{name} must hold 0 and 1, or -1 and 1; it holds {_show(labels)}: recode the labels, "
            "or use a softmax, which takes any"
        )
    _need_two_classes(labels, name)
    return np.where(labels == 1, 1.0, -1.0)


def class_labels(value: Any, rows: int, name: str) -> tuple[Array, Array]:
    """The sorted distinct labels, shape (K,), and each row's index among them, shape (rows,).

    Raises
    ------
    InvalidInput
        If labels are fractions, there is one class only, or another number of them.
    """
    labels = _labels(value, rows, name)
    if labels.dtype.kind == "f" and (labels != np.round(labels)).any():
        raise InvalidInput(
            f"{name} must hold class labels, whole numbers or text; it holds {_show(labels)}: "
            "use least squares for real-valued targets"
        )
    _need_two_classes(labels, name)
    classes, codes = np.unique(labels, return_inverse=True)
    return classes, codes


def _labels(value: Any, rows: int, name: str) -> Array:
    labels = _array(value, name)
    if labels.dtype.kind == "O":  # a table's column of Python objects; mixed numbers and text become text
        labels = _array(labels.tolist(), name)
    _refuse_complex(labels, name)
    if labels.dtype.kind not in "buifUS":
        raise InvalidType(f"{name} must hold labels, numbers or text; got dtype {labels.dtype}")
    if labels.ndim == 2 and labels.shape == (rows, labels.shape[1]) and labels.shape[1] > 1:
        raise InvalidInput(
            f"{name} must have shape ({rows},), one label per row; got {labels.shape}: "
            "for one-hot rows pass y.argmax(axis=1)"
        )
    _need_shape(labels, rows, name)
    if labels.dtype.kind == "f":
        _refuse_nonfinite(labels, name)
    return labels


def _array(value: Any, name: str) -> Array:
    refuse_mask(value, name)
    try:
        return np.asarray(value)
    except (ValueError, RuntimeError) as error:  # rows of unequal length, a tensor that requires grad
        raise InvalidInput(f"{name}: cannot read this as a vector: {error}") from error


def _refuse_complex(values: Matrix, name: str) -> None:
    if values.dtype.kind == "c":
        raise InvalidType(f"{name} must be real; got dtype {values.dtype}: split it into real and imaginary parts")


def _refuse_nonfinite(values: Array, name: str) -> None:
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise NotFinite(f"{name} has {bad} NaN or infinite entries of {values.size}; drop or impute them")


def _need_shape(values: Array, size: int, name: str) -> None:
    if values.shape != (size,):
        raise InvalidInput(f"{name} must have shape ({size},); got {values.shape}")


def _need_two_classes(labels: Array, name: str) -> None:
    if np.unique(labels).size < 2:
        raise InvalidInput(f"{name} holds one class only, {_show(labels)}: classification needs at least two")


def _show(labels: Array) -> str:
    """The first distinct labels, for a message."""
    seen = np.unique(labels).tolist()
    more = f", ... ({len(seen)} distinct)" if len(seen) > LABELS_SHOWN else ""
    first = (f"{label:g}" if isinstance(label, float) else repr(label) for label in seen[:LABELS_SHOWN])
    return ", ".join(first) + more
