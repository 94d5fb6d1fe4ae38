"""An orbit together with a small displacement carried along it: where it goes, and how it stretches."""

import warnings
from typing import Any

import numpy as np

from surefoot.dynamics.maps import Real, Update, ignore_overflow

# A displacement along the imaginary axis so small that its square vanishes against any state, and large enough that
# it may shrink by 1e-200 before it is renewed.
TINY = 1e-100
# Between two renewals: even a stretching of 1e3 per step keeps the displacement below 1e-52.
RENEWAL = 16
# Where the update cannot take complex numbers: a real displacement, a compromise of rounding and curvature.
NEARBY = 1e-8
# How far the complex derivative may be from the difference quotient before it is not believed: quotients over 1e-6 are
# right to 1e-9, a wrong derivative (of abs, of a sign) is off by a part of itself.
DOUBT = 1e-4
# Points of the orbits at which that is compared: a branch that only later states take is not seen.
TRIED = 8
# Relative displacement of the difference quotient: the cube root of the precision, where its two errors meet.
QUOTIENT = 1e-6


def analytic(update: Update, states: Real, parameters: Real) -> bool:
    """Whether the update can be differentiated by the complex step, Im f(x + ih) / h (Squire, Trapp 1998).

    Not if it refuses complex numbers or answers with the wrong derivative (abs, sign, a call into another library):
    compared with difference quotients along the beginning of the orbits, in one direction.
    """
    wide = parameters.astype(np.complex128)
    try:
        with ignore_overflow(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as a library's remark that it drops imaginary parts: then see below
            for _ in range(TRIED):
                nudge = QUOTIENT * np.maximum(1.0, np.abs(states))
                moved = np.asarray(update(states + 1j * TINY * nudge, wide))
                if moved.dtype.kind != "c" or moved.shape != states.shape:
                    return False
                ahead, behind = update(states + nudge, parameters), update(states - nudge, parameters)
                quotient = (np.asarray(ahead) - np.asarray(behind)) / 2
                doubtful = np.abs(moved.imag / TINY - quotient) > DOUBT * (nudge + np.abs(quotient))
                if doubtful[np.isfinite(quotient)].any():
                    return False
                states = np.asarray(update(states, parameters), dtype=np.float64)
    except Exception:  # whatever an update does with complex numbers: with real ones it has already worked
        return False
    return True


def travel(update: Update, parameters: Real, states: Real, *, steps: int, discard: int, keep: int) -> tuple[Real, Real]:
    """Run all orbits, keep the last states and average the stretching of a displacement.

    Parameters
    ----------
    update, parameters, states
        What `prepare` returns: (p,) and (p,) or (d, p).
    steps, discard, keep : int
        Applications of the update; how many of the first not to average over; how many of the last states to keep.

    Returns
    -------
    points : array, shape (keep, p) or (keep, d, p)
    exponent : array, shape (p,)
        (1/(steps - discard)) ln(|displacement at the end| / |displacement at discard|); NaN where the orbit left.
    """
    points = np.empty((keep, *states.shape))
    logs = np.zeros(parameters.size)
    run = _complex_run if analytic(update, states, parameters) else _paired_run
    with ignore_overflow():
        run(update, parameters, states, points, logs, steps, discard)
        logs /= steps - discard
        logs[np.isnan(logs) | (logs == np.inf)] = np.nan
    return points, logs


def _complex_run(
    update: Update, parameters: Real, states: Real, points: Real, logs: Real, steps: int, discard: int
) -> None:
    """The displacement rides in the imaginary part: x + i h v goes to f(x) + i h J v, one evaluation per step."""
    first = steps - len(points)
    # complex parameters once, or every operation of every step would convert them again
    wide = parameters.astype(np.complex128)
    z = states + 1j * TINY * _unit(np.ones_like(states))
    for t in range(steps):
        z = update(z, wide)
        if t >= first:
            points[t - first] = z.real
        done = t + 1
        if done % RENEWAL == 0 or done in (discard, steps):
            size = _norm(z.imag) / TINY
            if done > discard:
                logs += np.log(size)
            vector = z.imag / (TINY * size)
            # a cycle that contracts to nothing has the exponent -inf, which the sum keeps
            z = z.real + 1j * TINY * np.where(size > 0, vector, _unit(np.ones_like(states)))


def _paired_run(
    update: Update, parameters: Real, states: Real, points: Real, logs: Real, steps: int, discard: int
) -> None:
    """Two nearby orbits, brought back to the same distance after every step (Benettin et al. 1980)."""
    first = steps - len(points)
    direction = _unit(np.ones_like(states))
    for t in range(steps):
        nearby = NEARBY * np.maximum(1.0, _norm(states))
        other = np.asarray(update(states + nearby * direction, parameters), dtype=np.float64)
        states = np.asarray(update(states, parameters), dtype=np.float64)
        if t >= first:
            points[t - first] = states
        change = (other - states) / nearby
        size = _norm(change)
        if t >= discard:
            logs += np.log(size)
        direction = np.where(size > 0, change / size, direction)


def _norm(vectors: Any) -> Real:
    return np.abs(vectors) if vectors.ndim == 1 else np.sqrt((vectors**2).sum(axis=0))


def _unit(vectors: Real) -> Real:
    return vectors / _norm(vectors)
