"""The orthonormal vectors of a Lanczos run, in blocks that are never copied."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.operators import Array, Space

# Bytes of a block. A host commits memory when it is written, so a block costs what is used of it; and up to this size
# the products with the basis are single calls.
BLOCK_BYTES = 1 << 26
LARGEST_BLOCK = 1024
# Columns of a product with the basis on a CPU in single precision: at worst (equal terms of one sign) 2e-5 of rounding.
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
        # where rows cannot be set in place each is a block of its own
        self._height = max(1, min(LARGEST_BLOCK, BLOCK_BYTES // (size * space.itemsize))) if space.writable else 1
        self._blocks: list[Any] = []

    def bytes_with(self, rows: int) -> int:
        """What so many rows take."""
        return rows * self.size * self.space.itemsize

    def append(self, row: Array) -> None:
        """One more row."""
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
            # a float32 product of a whole row is off by 2e-4 (`Space.inner`): short ones, added in double precision
            found: Any = 0.0
            for first in range(0, self.size, RUN):
                piece = vector[first : first + RUN]
                parts = [block[:, first : first + RUN] @ piece for block in self._parts()]
                found = found + xp.astype(xp.concat(parts), xp.float64)
            return xp.astype(found, space.dtype)
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
        space, used = self.space, weights.shape[1]
        found: Any = None
        first = 0
        for block in self._parts():
            last = min(first + block.shape[0], used)
            part = weights[:, first:last]
            term = (part if space.on_numpy else space.asarray(part)) @ block[: last - first, :]
            found = term if found is None else found + term
            first = last
            if first == used:
                break
        return found

    def _parts(self) -> list[Any]:
        """The blocks, the last one as far as it is filled."""
        rest = self.rows - self._height * (len(self._blocks) - 1)
        return [*self._blocks[:-1], self._blocks[-1][:rest, :]]
