"""Orbits with a small displacement carried along, and the stretching of that displacement."""

import warnings
from typing import Any

import numpy as np

from surefoot.dynamics.maps import Real, Update, ignore_overflow

# Displacement along the imaginary axis: so small that its square vanishes beside any state, and large enough to shrink
# by 1e-200 before it is rescaled.
TINY = 1e-100
# Steps between rescalings: even a stretching by 1e3 per step keeps the displacement below 1e-52.
RENEWAL = 16
# Relative real displacement, for updates that do not accept complex numbers: the root of eps balances rounding and
# curvature.
NEARBY = 1e-8
# Largest relative difference between the complex step and the difference quotient. Quotients over 1e-6 are accurate to
# 1e-9; a wrong derivative (of abs, of sign) is off by a share of itself.
DOUBT = 1e-4
# Number of states at which they are compared: a branch of the update that only later states take is not detected.
TRIED = 8
# Relative displacement of the difference quotient, near the cube root of eps, where its two errors balance.
QUOTIENT = 1e-6


def analytic(update: Update, states: Real, parameters: Real) -> bool:
    """Whether the update can be differentiated by the complex step, Im f(x + ih) / h (Squire, Trapp 1998).

    It cannot if it refuses complex numbers or returns a wrong derivative (abs, sign, a call of another library): the
    derivative is compared with difference quotients at the first states of the orbits, in one direction.
    """
    wide = parameters.astype(np.complex128)
    try:
        with ignore_overflow(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a library may warn that it drops imaginary parts, which is detected below
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
    except Exception:  # any failure with complex numbers; with real ones the update has already worked
        return False
    return True


def travel(update: Update, parameters: Real, states: Real, *, steps: int, discard: int, keep: int) -> tuple[Real, Real]:
    """Run all orbits; returns the last states and the average stretching of a displacement.

    Parameters
    ----------
    update, parameters, states
        What `prepare` returns: (p,) and (p,) or (d, p).
    steps, discard, keep : int
        Applications of the update, initial steps that are not averaged over, and last states to keep.

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
    """Carry the displacement in the imaginary part: x + i h v maps to f(x) + i h J v, with one evaluation per step."""
    first = steps - len(points)
    # converted to complex once, or every operation of every step would convert them
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
            # a displacement of 0 has made the sum -inf; a new one keeps the orbit going
            z = z.real + 1j * TINY * np.where(size > 0, vector, _unit(np.ones_like(states)))


def _paired_run(
    update: Update, parameters: Real, states: Real, points: Real, logs: Real, steps: int, discard: int
) -> None:
    """Carry two nearby orbits, brought back to a fixed distance after every step (Benettin et al. 1980)."""
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
