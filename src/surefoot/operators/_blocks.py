"""Operators built from others: stacked, block diagonal and Kronecker products."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators._adapters import as_operator
from surefoot.operators._base import Array, Operator


class Stacked(Operator):
    """The linear map of `stacked`, with its blocks and their weights."""

    def __init__(self, blocks: tuple[Operator, ...], weights: tuple[float, ...]) -> None:
        self.blocks = blocks
        self.weights = weights
        shape = (sum(block.shape[0] for block in blocks), blocks[0].shape[1])
        super().__init__(shape, **_common_facts(blocks))

    def _apply(self, x: Array) -> Array:
        images = [w * _times(block, x) for w, block in zip(self.weights, self.blocks, strict=True)]
        return self.space.xp.concat(images)

    def _apply_adjoint(self, x: Array) -> Array:
        parts = _split(x, [block.shape[0] for block in self.blocks])
        weighted = zip(self.weights, self.blocks, parts, strict=True)
        terms = [w * _times(block, part, adjoint=True) for w, block, part in weighted]
        return self.space.xp.sum(self.space.xp.stack(terms), axis=0)


class BlockDiagonal(Operator):
    """The linear map of `block_diagonal`, with its blocks."""

    def __init__(self, blocks: tuple[Operator, ...]) -> None:
        self.blocks = blocks
        super().__init__(
            (sum(block.shape[0] for block in blocks), sum(block.shape[1] for block in blocks)),
            **_common_facts(blocks),
            symmetric=True if all(block.symmetric for block in blocks) else None,
            psd=all(block.psd for block in blocks),
        )

    def _apply(self, x: Array) -> Array:
        return self._block_by_block(x)

    def _apply_adjoint(self, x: Array) -> Array:
        return self._block_by_block(x, adjoint=True)

    def _block_by_block(self, x: Array, *, adjoint: bool = False) -> Array:
        parts = _split(x, [block.shape[0 if adjoint else 1] for block in self.blocks])
        images = [_times(block, part, adjoint=adjoint) for block, part in zip(self.blocks, parts, strict=True)]
        return self.space.xp.concat(images)


class Kronecker(Operator):
    """The linear map of `kronecker`, with its factors."""

    def __init__(self, left: Operator, right: Operator) -> None:
        self.left = left
        self.right = right
        super().__init__(
            (left.shape[0] * right.shape[0], left.shape[1] * right.shape[1]),
            **_common_facts((left, right)),
            symmetric=True if left.symmetric and right.symmetric else None,
            psd=left.psd and right.psd,
        )

    def _apply(self, x: Array) -> Array:
        return self._row_and_column(x)

    def _apply_adjoint(self, x: Array) -> Array:
        return self._row_and_column(x, adjoint=True)

    def _row_and_column(self, x: Array, *, adjoint: bool = False) -> Array:
        """vec(A X B'), without the Kronecker product: B times each row of X, then A times each column."""
        xp, side = self.space.xp, 0 if adjoint else 1
        rows = x.reshape(self.left.shape[side], self.right.shape[side])
        inner = xp.stack([_times(self.right, row, adjoint=adjoint) for row in rows])
        columns = [_times(self.left, inner[:, j], adjoint=adjoint) for j in range(inner.shape[1])]
        return xp.reshape(xp.stack(columns, axis=1), (-1,))


@checked
def stacked(blocks: Sequence[Any], weights: Sequence[float] | None = None) -> Stacked:
    """Operators stacked vertically: a model and its regulariser, the views of a scan.

        K x = (w_1 A_1 x, ..., w_k A_k x),    K'K = sum_i w_i^2 A_i'A_i

    Parameters
    ----------
    blocks : sequence of matrices or operators
        Blocks with the same number of columns n.
    weights : sequence of float, optional
        Weights w_i, one for each block; 1 by default.

    Returns
    -------
    Stacked
        Shape (sum of the rows, n).

    Raises
    ------
    InvalidInput
        If there is no block, the numbers of columns differ, or there is not one weight for each block.
    """
    operators = _operators(blocks)
    columns = [operator.shape[1] for operator in operators]
    if len(set(columns)) > 1:
        raise InvalidInput(f"stacked blocks need the same number of columns; got {columns}")
    scales = np.ones(len(operators)) if weights is None else real_array(weights, "weights")
    if scales.shape != (len(operators),) or not np.isfinite(scales).all():
        raise InvalidInput(f"weights must be {len(operators)} finite numbers, one for each block; got {weights!r}")
    return Stacked(operators, tuple(float(w) for w in scales))


@checked
def block_diagonal(blocks: Sequence[Any]) -> BlockDiagonal:
    """Operators along a diagonal, each applied to its own part of x: the channels of an image, a batch.

        A (x_1, ..., x_k) = (A_1 x_1, ..., A_k x_k)

    Parameters
    ----------
    blocks : sequence of matrices or operators

    Raises
    ------
    InvalidInput
        If there is no block.
    """
    return BlockDiagonal(_operators(blocks))


@checked
def kronecker(left: Any, right: Any) -> Kronecker:
    """The Kronecker product A (x) B: A along the rows of an array and B along its columns.

        (A (x) B) vec X = vec(A X B'),    vec by rows, as ``X.ravel()``

    Parameters
    ----------
    left, right : matrix or operator

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.operators._blocks import kronecker
    >>> K = kronecker([[1, 2]], np.eye(2))
    >>> K.matvec([1.0, 2.0, 3.0, 4.0]).tolist()
    [7.0, 10.0]
    """
    return Kronecker(as_operator(left), as_operator(right))


def _operators(blocks: Sequence[Any]) -> tuple[Operator, ...]:
    operators = tuple(as_operator(block) for block in blocks)
    if not operators:
        raise InvalidInput("needs at least one block; got none")
    return operators


def _times(operator: Operator, x: Array, *, adjoint: bool = False) -> Array:
    """A x or A^H x; a real operator multiplies the parts of a complex x one by one."""
    product = operator.rmatvec if adjoint else operator.matvec
    xp = operator.space.xp
    if operator.complex or not xp.isdtype(x.dtype, "complex floating"):
        return product(x)
    return product(xp.real(x)) + 1j * product(xp.imag(x))


def _split(vector: Array, sizes: Sequence[int]) -> list[Array]:
    edges = np.cumsum([0, *sizes]).tolist()
    return [vector[a:b] for a, b in pairwise(edges)]


def _common_facts(blocks: Sequence[Operator]) -> dict[str, Any]:
    """The facts of an operator built from blocks: the space of its vectors, its precision, and `black_box`."""
    spaces = {(block.space.xp.__name__, str(block.space.device)): block.space for block in blocks}
    if len(spaces) > 1:
        places = ", ".join(f"{name} on {device}" for name, device in spaces)
        raise InvalidInput(f"the parts of an operator need one array library and device; got {places}")
    # the widest dtype, so that no part loses digits
    wide = max((block.space for block in blocks), key=lambda space: (space.complex, space.itemsize))
    return {
        "dtype": np.complex128 if any(block.complex for block in blocks) else np.float64,
        "like": wide,
        "black_box": any(block.black_box for block in blocks),
        "precision": max(block.precision for block in blocks),
    }
