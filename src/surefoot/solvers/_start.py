"""The checked arguments of an integration, and its first step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Range
from surefoot.errors import InvalidInput
from surefoot.operators import Array
from surefoot.problems.trial_points import attempt
from surefoot.spectra.measured.jacobian import Fun, check_fun, check_point, evaluate_twice

# By SciPy's convention: no estimate of a step's error is more accurate than a hundred rounding errors of its terms.
LEAST_RTOL = 100 * 2.0**-52
RelativeTolerance = Annotated[float, Range(f"[{LEAST_RTOL}, inf)", "rounding hides smaller errors")]


@dataclass(slots=True)
class Start:
    """The checked arguments of an integration, with a counter of the calls of fun."""

    call: Any
    t0: float
    t1: float
    y0: NDArray[np.float64]
    value: NDArray[np.float64]
    evaluations: int = 0

    @classmethod
    def checked(cls, fun: Fun, span: Sequence[float], y0: ArrayLike) -> "Start":
        y = check_point(y0, "y0")
        if len(span) != 2 or not -math.inf < span[0] < span[1] < math.inf:
            raise InvalidInput(f"span must be (t0, t1) with t0 < t1, finite; got {span!r}")
        t0, t1 = float(span[0]), float(span[1])
        call = check_fun(fun, y.size)
        return cls(call, t0, t1, y, evaluate_twice(call, t0, y))

    def flow(self, step: float) -> Any:
        """The map from a state, its last entry the time, to the step times its derivative; nan if fun raises."""

        def push(z: Array) -> Array:
            self.evaluations += 1
            slope = attempt(self.call, float(z[-1]), z[:-1])
            return np.full_like(z, math.nan) if slope is None else step * np.append(slope, 1.0)

        return push


def first_step(start: Start, order: int, rtol: float, atol: float) -> float:
    """A hundredth of |y|/|y'| in the tolerance's norm, shortened by a trial Euler step (Hairer et al. 1993, II.4)."""
    scale = atol + rtol * np.abs(start.y0)
    size, slope = (float(np.sqrt(np.mean((v / scale) ** 2))) for v in (start.y0, start.value))
    h = 0.01 * size / slope if size > 1e-5 and slope > 1e-5 else 1e-6
    h = min(h, start.t1 - start.t0)
    there = attempt(start.call, start.t0 + h, start.y0 + h * start.value)
    if there is None:
        return 0.01 * h
    change = there - start.value
    bend = float(np.sqrt(np.mean((change / scale) ** 2))) / h
    largest = max(slope, bend)
    second = max(1e-6, 1e-3 * h) if largest <= 1e-15 else (0.01 / largest) ** (1 / (order + 1))
    return min(100 * h, second)
