"""Numerical search on an amplification factor, for methods without closed forms."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_step", "bisect_crossing", "first_crossing"]

Amplification = Callable[[NDArray[np.complex128]], NDArray[np.float64]]

# Growth per step below this is rounding of the companion matrix's eigenvalues.
ROUNDING = 1e-13
# |z| beyond which only methods that are always stable (implicit ones) are stable, among those of interest.
FARTHEST = 1e8
# Growth at this |z| counts as growth of arbitrarily small steps: below it |r| - 1 of a damped mode is near rounding.
NEAREST = 1e-7
# Points over 15 decades, 1.2% apart: narrower lobes of instability are missed.
GRID = 3000
# Halvings that reduce a bracket to rounding.
BISECTIONS = 60
# Each zoom narrows the bracket around the best of its 101 steps by a factor of 50: after six it is 1e-10 of the first.
ZOOMS = 6


def first_crossing(amplification: Amplification, directions: NDArray[np.complex128]) -> NDArray[np.float64]:
    """The first |z| along each direction at which the amplification exceeds 1; 0 if small |z| grow, inf if none does.

    A geometric grid brackets the crossing, bisection refines it. A lobe of instability narrower than the grid's
    spacing (1.2%) can be missed.
    """
    rays = directions.reshape(-1)
    radii = np.concatenate([[0.0], np.geomspace(NEAREST, FARTHEST, GRID)])
    first = np.asarray([int((amplification(radii * ray) > 1 + ROUNDING).argmax()) for ray in rays])
    inside = bisect_crossing(amplification, rays, radii, first, ROUNDING)
    limits = np.where(first == 0, np.inf, np.where(first == 1, 0.0, inside))
    return limits.reshape(directions.shape)


def bisect_crossing(
    amplification: Amplification,
    rays: NDArray[np.complex128],
    radii: NDArray[np.float64],
    first: NDArray[np.intp],
    rounding: float,
) -> NDArray[np.float64]:
    """The largest |z| without growth along each ray, between the first sample with growth and the one before."""
    inside, outside = radii[np.maximum(first - 1, 0)], radii[first]
    for _ in range(BISECTIONS):
        middle = 0.5 * (inside + outside)
        grows = amplification(middle * rays) > 1 + rounding
        inside, outside = np.where(grows, inside, middle), np.where(grows, middle, outside)
    return inside


def best_step(amplification: Amplification, eigenvalues: NDArray[np.complex128], longest: float) -> tuple[float, float]:
    """The step in (0, longest] with the smallest worst amplification over flow eigenvalues, and that amplification."""

    def worst(steps: NDArray[np.float64]) -> NDArray[np.float64]:
        return amplification(np.outer(steps, eigenvalues)).max(axis=1)

    low, high = 0.0, longest
    step = rate = float("inf")
    for _ in range(ZOOMS):
        steps = np.linspace(low, high, 103)[1:-1]
        rates = worst(steps)
        best = int(rates.argmin())
        step, rate = float(steps[best]), float(rates[best])
        spacing = float(steps[1] - steps[0])
        low, high = max(0.0, step - spacing), step + spacing
    return step, rate
