"""The stability region on a grid, and its boundary."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.errors import InvalidInput
from surefoot.records import Record


@dataclass(frozen=True, slots=True, eq=False)
class Region(Record):
    """The region of the complex plane in which a method's amplification is at most 1.

    Parameters
    ----------
    method : str
        Name of the method.
    real, imaginary : arrays, shapes (n,) and (m,)
        Coordinates of the grid of z = step * eigenvalue.
    amplification : array, shape (m, n)
        Growth per step at real[j] + 1j * imaginary[i].
    boundary : complex array, shape (k,)
        Boundary of the piece connected to 0, on rays from 90 to 180 degrees, mirrored: a closed curve that starts
        and ends at 0. Rays on which the method is always stable end at the window.
    real_limit, imaginary_limit : float
    """

    method: str
    real: NDArray[np.float64]
    imaginary: NDArray[np.float64]
    amplification: NDArray[np.float64]
    boundary: NDArray[np.complex128]
    real_limit: float
    imaginary_limit: float

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Whether a step is stable, shape (m, n); includes pieces of the region not connected to 0."""
        return self.amplification <= 1 + 1e-12  # a conservative method is on the boundary up to rounding

    def __str__(self) -> str:
        return (
            f"{self.method}: stable for step * eigenvalue from 0 to {-self.real_limit:.9g} on the real axis, "
            f"to +-{self.imaginary_limit:.9g}i on the imaginary axis"
        )


def region_of(method: Any, window: tuple[float, float, float, float] | None, points: int) -> Region:
    """The region of a method; see `Method.region`."""
    angles = np.linspace(np.pi / 2, np.pi, 91)
    rays = np.asarray(np.exp(1j * angles), dtype=np.complex128)
    rays[0], rays[-1] = 1j, -1  # the axes exactly: rounding off them may decide the limit
    reach = np.asarray(method.limit_along(rays))
    real_limit, imaginary_limit = float(reach[-1]), float(reach[0])
    if window is None:
        finite = np.isfinite(reach)
        # a region without end (implicit methods) is shown as far as the plane is interesting, by convention
        size = (float(reach[finite].max(initial=0.0)) or 2.0) if finite.all() else 6.0
        height = float((reach[finite] * rays.imag[finite]).max(initial=0.0))
        height = max(height, 0.1 * size) if finite.all() else size
        window = (-1.15 * size, 0.25 * size, -1.25 * height, 1.25 * height)
    left, right, bottom, top = map(float, window)
    if not (left < right and bottom < top):
        raise InvalidInput(f"window must be (left, right, bottom, top) with left < right, bottom < top; got {window!r}")
    real, imaginary = np.linspace(left, right, points), np.linspace(bottom, top, points)
    farthest = max(-left, right, top, -bottom)
    half = np.minimum(reach, farthest) * rays
    return Region(
        method=method.name,
        real=real,
        imaginary=imaginary,
        amplification=np.asarray(method.amplification(real[None, :] + 1j * imaginary[:, None])),
        boundary=np.concatenate([[0], half, half[-2::-1].conj(), [0]]),
        real_limit=real_limit,
        imaginary_limit=imaginary_limit,
    )
