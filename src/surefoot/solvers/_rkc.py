"""Runge-Kutta-Chebyshev with steps of its own choice: explicit, and at home on large stiff problems of diffusion."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.methods import RungeKuttaChebyshev
from surefoot.operators import Array
from surefoot.solvers._start import Start, first_step

__all__ = ["run_rkc"]

# A step's stages are limited: beyond a few hundred the rounding of the recurrence shows (Sommeijer et al. 1998).
MOST_STAGES = 200
# The spectral radius is measured anew after so many accepted steps, as in their code, and after each rejection.
RENEW = 25
POWER_STEPS = 50
# The power method stops at this relative change; the estimate comes from below and is raised by their factor 1.2.
SETTLED, MARGIN = 0.01, 1.2
# Steps aim below the tolerance and change by no more than these factors at a time: by convention.
AIM, SHRINK, GROW = 0.8, 0.1, 5.0


def run_rkc(
    start: Start, first: float | None, rtol: float, atol: float, max_steps: int
) -> tuple[list[float], list[Array], int, str]:
    """Integrate with order 2, the local error estimated as in RKC and the stages chosen for each step.

        error = 4/5 (y_n - y_{n+1}) + 2/5 h (f_n + f_{n+1})

    Returns
    -------
    times, values : lists
        All accepted points, the start included.
    rejected : int
    message : str
        ``finished``, or why it stopped.

    References
    ----------
    B. P. Sommeijer, L. F. Shampine, J. G. Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput. Appl. Math. 88
    (1998) 315-326, equations 2.9 and 3.1.
    """
    radius = _Radius(start)
    z = np.append(start.y0, start.t0)
    slope = np.append(start.value, 1.0)
    h = first_step(start, 2, rtol, atol) if first is None else first
    times, values, rejected = [start.t0], [start.y0], 0
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        rho = radius.measure(z, slope)
        while z[-1] < start.t1:
            if len(times) - 1 + rejected >= max_steps:
                return times, values, rejected, f"stopped at t = {z[-1]:.6g}: all {max_steps} steps used"
            longest = 0.65 * MOST_STAGES**2 / rho if rho > 0 else math.inf
            h = min(h, longest, start.t1 - float(z[-1]))
            if h <= 16 * np.finfo(np.float64).eps * max(abs(float(z[-1])), start.t1 - start.t0):
                return times, values, rejected, f"stopped at t = {z[-1]:.6g}: the step no longer moves the time"
            method = RungeKuttaChebyshev.covering(max(h * rho, 1.0))
            trial = _step(method, z, h, slope, start)
            after = start.flow(1.0)(trial)
            gap = 0.8 * (z - trial) + 0.4 * h * (slope + after)
            scale = atol + rtol * np.maximum(np.abs(z[:-1]), np.abs(trial[:-1]))
            error = float(np.sqrt(np.mean((gap[:-1] / scale) ** 2)))
            if not error <= 1:
                rejected += 1
                rho = radius.measure(z, slope)
                h *= max(SHRINK, AIM * error ** (-1 / 3)) if math.isfinite(error) else SHRINK
                continue
            last = h == start.t1 - float(z[-1])
            z, slope = trial, after
            z[-1] = start.t1 if last else z[-1]
            times.append(float(z[-1]))
            values.append(z[:-1])
            h *= min(GROW, AIM * error ** (-1 / 3)) if error > 0 else GROW
            if (len(times) - 1) % RENEW == 0:
                rho = radius.measure(z, slope)
    return times, values, rejected, "finished"


def _step(method: RungeKuttaChebyshev, z: Array, h: float, slope: Array, start: Start) -> Array:
    """One step, without evaluating the slope at its start again."""
    push = start.flow(h)
    return method.update((z,), lambda x: h * slope if x is z else push(x))[0]


class _Radius:
    """The spectral radius of the Jacobian by the power method on differences; the last direction starts the next."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.direction: NDArray[np.float64] | None = None

    def measure(self, z: Array, slope: Array) -> float:
        """A little more than the largest |eigenvalue|; 0 where the flow is constant."""
        push: Any = self.start.flow(1.0)
        y = z[:-1]
        v = slope[:-1] if self.direction is None or not self.direction.any() else self.direction
        # a start that is no eigenvector by accident: the slope may well be one
        v = v + 1e-3 * np.linalg.norm(v) * np.cos(np.arange(y.size)) if self.direction is None else v
        if not v.any():
            v = np.cos(np.arange(y.size))
        size = math.sqrt(np.finfo(np.float64).eps) * (float(np.linalg.norm(y)) or 1.0)
        before = 0.0
        for _ in range(POWER_STEPS):
            v = v / np.linalg.norm(v)
            change = (push(np.append(y + size * v, z[-1]))[:-1] - slope[:-1]) / size
            here = float(np.linalg.norm(change))
            if not math.isfinite(here) or here == 0:
                break
            v = self.direction = change
            if abs(here - before) <= SETTLED * here:
                before = here
                break
            before = here
        return MARGIN * before
