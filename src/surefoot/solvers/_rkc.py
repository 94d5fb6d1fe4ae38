"""Runge-Kutta-Chebyshev with adaptive steps: explicit, for large stiff problems of diffusion."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.methods import RungeKuttaChebyshev
from surefoot.operators import Array
from surefoot.solvers._start import Start

# Most stages of a step: beyond a few hundred the rounding errors of the recurrence show (Sommeijer et al. 1998).
MOST_STAGES = 200
# The spectral radius is measured again after this many accepted steps, as in their code, and after each rejection.
RENEW = 25
# Most iterations of the power method, as in their code.
POWER_STEPS = 50
# The power method stops at this relative change; its estimate is from below and raised by their factor 1.2.
SETTLED, MARGIN = 0.01, 1.2


class ChebyshevSteps:
    """Steps of order 2 with as many stages as stability needs, and the local error of RKC.

        error = 4/5 (y_n - y_{n+1}) + 2/5 h (f_n + f_{n+1})

    References
    ----------
    B. P. Sommeijer, L. F. Shampine, J. G. Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput. Appl. Math. 88
    (1998) 315-326, equations 2.9 and 3.1.
    """

    # with this the controller aims at half the tolerance, as their 0.8 error^(-1/3) does
    name, order, safety = "Runge-Kutta-Chebyshev", 2, 0.935

    def __init__(self, start: Start) -> None:
        self.start, self.radius = start, _Radius(start)
        self.here = np.append(start.y0, start.t0), np.append(start.value, 1.0)
        self.ahead = self.here
        self.accepted = 0
        self._measure()

    def step(self, z: Array, h: float) -> tuple[Array, Array]:
        """The next state and the error of this step; the slope at its start is known from the step before."""
        method = RungeKuttaChebyshev.covering(max(h * self.rho, 1.0))
        slope, push = self.here[1], self.start.flow(h)
        trial = method.update((z,), lambda x: h * slope if x is z else push(x))[0]
        self.ahead = trial, self.start.flow(1.0)(trial)
        return trial, 0.8 * (z - trial) + 0.4 * h * (slope + self.ahead[1])

    def go_on(self, *, accepted: bool) -> None:
        """Keep the slope at the end of an accepted step, and measure the radius again when it is due."""
        self.accepted += accepted
        self.here = self.ahead if accepted else self.here
        if not accepted or self.accepted % RENEW == 0:
            self._measure()

    def _measure(self) -> None:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            self.rho = self.radius.measure(*self.here)
        self.longest = 0.65 * MOST_STAGES**2 / self.rho if self.rho > 0 else math.inf


class _Radius:
    """The spectral radius of the Jacobian, by the power method on differences; starts from its last direction."""

    def __init__(self, start: Start) -> None:
        self.start = start
        self.direction: NDArray[np.float64] | None = None

    def measure(self, z: Array, slope: Array) -> float:
        """An estimate a little above the largest |eigenvalue|; 0 if the flow is constant."""
        push: Any = self.start.flow(1.0)
        y = z[:-1]
        v = slope[:-1] if self.direction is None or not self.direction.any() else self.direction
        # perturbed, since the slope may be an eigenvector of another eigenvalue
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
