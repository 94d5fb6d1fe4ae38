"""Averaged momentum with decoupled weight decay, as one linear iteration."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Rates tried per decade before the best is refined, and decades below the largest stable one: the best rate of a
# condition number up to 1e8 lies there.
PER_DECADE, DECADES = 40, 8
# Golden sections: 0.618^60 of a bracket is rounding.
REFINEMENTS = 60
GOLDEN = 0.5 * (5**0.5 - 1)


def amplification_with_decay(
    step: ArrayLike, curvature: ArrayLike, momentum: float, decay: float
) -> NDArray[np.float64]:
    """The larger root modulus of AdamW's iteration with its preconditioner frozen.

        x <- (1 - h w) x - h m,  m <- b m + (1 - b) lambda x:    r^2 - (1 + b - h w - h (1 - b) lambda) r + b (1 - h w)

    (Derived: the trace and the determinant of the iteration of (x, m).)

    Parameters
    ----------
    step, curvature : array_like
        h and lambda, broadcast.
    momentum, decay : float
        b and w.
    """
    # complex: the roots are a conjugate pair where the discriminant is negative
    h, curvature = np.asarray(step, dtype=np.complex128), np.asarray(curvature)
    p = 1 + momentum - h * decay - h * (1 - momentum) * curvature
    root = np.sqrt(p * p - 4 * momentum * (1 - h * decay))
    return np.maximum(np.abs(p + root), np.abs(p - root)) / 2


def best_step_with_decay(
    smallest: float, largest: float, momentum: float, decay: float, limit: float
) -> tuple[float, float]:
    """The step of the best worst rate over curvatures in [smallest, largest], and that rate.

    At a fixed step the product of the roots is the same for all curvatures and their sum is affine, so the modulus is
    largest at an end of the interval (derived); over the step it is minimised numerically.

    Parameters
    ----------
    smallest, largest : float
        Ends of the preconditioned curvature without decay; smallest + decay > 0.
    momentum, decay : float
    limit : float
        The largest stable step.
    """
    ends = np.array([smallest, largest])

    def worst(log_step: float) -> float:
        return float(amplification_with_decay(np.exp(log_step), ends, momentum, decay).max())

    trials = np.log(limit) - np.arange(DECADES * PER_DECADE + 1) * np.log(10) / PER_DECADE
    values = amplification_with_decay(np.exp(trials)[:, None], ends, momentum, decay).max(axis=1)
    best = int(values.argmin())
    spacing = np.log(10) / PER_DECADE
    # in log step, and never beyond the largest stable one
    low, high = float(trials[best] - spacing), float(min(trials[best] + spacing, trials[0]))
    for _ in range(REFINEMENTS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        low, high = (low, right) if worst(left) < worst(right) else (left, high)
    step = 0.5 * (low + high)
    return float(np.exp(step)), worst(step)
