"""The orthonormal vectors of a Lanczos run, stored in blocks that are never copied."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.operators import Array, Space

# Bytes of a block. A host commits memory only when it is written, so a block takes what is used of it; and a basis up
# to this size is multiplied in one call.
BLOCK_BYTES = 1 << 26
# Rows of a block of short vectors: more than a run takes on any spectrum measured so far.
LARGEST_BLOCK = 1024
# Columns of one product with the basis on a CPU in single precision: at worst (equal terms of one sign) it is off by
# 2e-5.
RUN = 1 << 12


class Basis:
    """Rows of shape (n,), appended one at a time, in the space of the operator.

    Parameters
    ----------
    space : Space
    size : int
        n.
    """

    def __init__(self, space: Space, size: int) -> None:
        self.space = space
        self.size = size
        self.rows = 0
        # where rows cannot be set in place, each is a block of its own
        self._height = max(1, min(LARGEST_BLOCK, BLOCK_BYTES // (size * space.itemsize))) if space.writable else 1
        self._blocks: list[Any] = []

    def bytes_with(self, rows: int) -> int:
        """Bytes of a basis of so many rows."""
        return rows * self.size * self.space.itemsize

    def append(self, row: Array) -> None:
        """Append a row."""
        xp = self.space.xp
        if not self.space.writable:
            self._blocks.append(xp.reshape(row, (1, self.size)))
        else:
            if self.rows == self._height * len(self._blocks):
                shape = (self._height, self.size)
                self._blocks.append(xp.empty(shape, dtype=self.space.dtype, device=self.space.device))
            self._blocks[-1][self.rows % self._height, :] = row
        self.rows += 1

    def __getitem__(self, i: int) -> Array:
        return self._blocks[i // self._height][i % self._height, :]

    def project(self, vector: Array) -> Array:
        """The inner products of all rows with a vector, shape (rows,), on the device."""
        xp, space = self.space.xp, self.space
        if not space.on_numpy and space.itemsize == 4 and str(space.device) == "cpu" and self.size > RUN:
            # a float32 product of a whole row is off by 2e-4 (`Space.inner`): short ones are added in double precision
            total: Any = 0.0
            for first in range(0, self.size, RUN):
                piece = vector[first : first + RUN]
                parts = [block[:, first : first + RUN] @ piece for block in self._parts()]
                total = total + xp.astype(xp.concat(parts), xp.float64)
            return xp.astype(total, space.dtype)
        parts = [xp.conj(block) @ vector if space.complex else block @ vector for block in self._parts()]
        return parts[0] if len(parts) == 1 else xp.concat(parts)

    def subtract(self, vector: Array, coefficients: Array) -> Array:
        """The vector minus the rows, each times its coefficient."""
        first = 0
        for block in self._parts():
            vector = vector - coefficients[first : first + block.shape[0]] @ block
            first += block.shape[0]
        return vector

    def combine(self, weights: NDArray[np.float64]) -> Array:
        """Weights @ rows, for weights of shape (k, m) of the first m rows; shape (k, n)."""
        total: Any = 0.0
        first = 0
        for block in self._parts():
            # the last rows may lie beyond the weights: Lanczos stores a vector before it knows its coefficients
            part = weights[:, first : first + block.shape[0]]
            rows = block[: part.shape[1], :]
            total = total + (part if self.space.on_numpy else self.space.asarray(part)) @ rows
            first += block.shape[0]
        return total

    def _parts(self) -> list[Any]:
        """The blocks, the last one up to its last row."""
        rest = self.rows - self._height * (len(self._blocks) - 1)
        return [*self._blocks[:-1], self._blocks[-1][:rest, :]]
