"""The largest stable step of a method on a set of eigenvalues."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surefoot.methods import Method

__all__ = ["Reach", "largest_step"]

# Up to this many eigenvalues the ray of each is followed; of more, the longest in each bundle of neighbouring rays.
EVERY = 40
# Bundles between the real and the imaginary axis, by convention: what they miss is tested afterwards.
BUNDLES = 40


@dataclass(frozen=True, slots=True)
class Reach:
    """The largest step for which every given point stays in the stable region, and the point that sets it."""

    step: float
    point: complex


def largest_step(points: NDArray[np.complex128], method: Method) -> Reach:
    """The minimum over all points of limit_along(point/|point|)/|point|."""
    points = points[points != 0]
    if not points.size:
        return Reach(math.inf, 0j)
    # stability regions are symmetric about the real axis
    points = np.unique(points.real + 1j * np.abs(points.imag))
    chosen = points if points.size <= EVERY else points[_longest_of_bundles(points)]
    best = _smallest(chosen, method)
    if chosen.size < points.size and 0 < best.step < math.inf:
        # a point that the bundles missed shows growth just inside the limit
        missed = points[method.amplification(0.999 * best.step * points) > 1 + 1e-12]
        best = min(best, _smallest(missed, method), key=lambda r: r.step) if missed.size else best
    return best


def _smallest(points: NDArray[np.complex128], method: Method) -> Reach:
    sizes = np.abs(points)
    steps = np.asarray(method.limit_along(points / sizes)) / sizes
    k = int(steps.argmin())
    return Reach(float(steps[k]), complex(points[k]))


def _longest_of_bundles(points: NDArray[np.complex128]) -> NDArray[np.intp]:
    """One index for each bundle of rays; bundles are narrow near the imaginary axis, where limits vary most."""
    sizes = np.abs(points)
    decay, turn = -points.real / sizes, points.imag / sizes
    with np.errstate(divide="ignore"):
        level = np.where(decay > 0, np.round(6 * np.log(np.maximum(decay, 1e-18))), -1000.0)
    bundle = level * 1000 + np.round(BUNDLES * turn)
    order = np.lexsort((-sizes, bundle))
    return order[np.unique(bundle[order], return_index=True)[1]]
