"""Orbits for many parameters at once, and the periods to which they settle."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Count, Positive, checked, real_array
from surefoot.dynamics.maps import Real, Update, check_states, ignore_overflow, prepare
from surefoot.errors import InvalidInput


@checked
def orbit(update: Update, parameters: ArrayLike, x0: ArrayLike, *, steps: Count, keep: Count | None = None) -> Real:
    """The last states of the orbits x_{t+1} = update(x_t, parameter), one for each parameter.

    Parameters
    ----------
    update : callable
        (x, parameter) to the next x, both arrays, the parameters along the last axis: any function written with NumPy
        operations. For a scalar map x has shape (p,), for a vector map (d, p), so that ``x - step * (A @ x)`` works.
    parameters : float or array, shape (p,)
    x0 : float, array (d,), or array (d, p)
        A number makes a scalar map; (d,) one start for all parameters; (d, p) one for each.
    steps : int
        Applications of the update.
    keep : int, optional
        Number of last states to return, at most `steps` (default: all of them).

    Returns
    -------
    array, shape (keep, p) or (keep, d, p)
        States in order of time; without the last axis if `parameters` is a number. Not finite if an orbit diverged.

    Raises
    ------
    InvalidInput
        If an argument has the wrong shape or range, or the update changes the shape of a state.

    Examples
    --------
    Gradient descent on x^2/2 with the steps 0.5 and 3:

    >>> from surefoot.dynamics import orbit
    >>> orbit(lambda x, step: x - step * x, [0.5, 3.0], 1.0, steps=3)
    array([[ 0.5  , -2.   ],
           [ 0.25 ,  4.   ],
           [ 0.125, -8.   ]])
    """
    values, states = prepare(update, parameters, x0)
    # a long transient is not stored
    keep = steps if keep is None else keep
    if keep > steps:
        raise InvalidInput(f"keep must be at most steps = {steps}; got {keep}")
    points = np.empty((keep, *states.shape))
    with ignore_overflow():
        for t in range(steps):
            states = update(states, values)
            if t >= steps - keep:
                points[t - steps + keep] = states
    check_states(states, points.shape[1:])
    return points if np.ndim(parameters) else points[..., 0]


@checked
def period(points: ArrayLike, *, tolerance: Positive = 1e-6, longest: Count = 64) -> NDArray[np.int64]:
    """The period to which orbits have settled; 0 if none is found.

        the least q with |x_{t+q} - x_t| <= tolerance * max(1, max_t |x_t|) for all kept t

    A heuristic with a tolerance: an orbit that still creeps towards its cycle (close to a doubling) shows no period or
    twice the period. `bifurcations` solves for cycles instead and has no such problem.

    Parameters
    ----------
    points : array, shape (keep, p) or (keep, d, p) or (keep,)
        Orbits, as `orbit` returns them.
    tolerance : float
        Largest distance of points a period apart, relative to the size of the orbit.
    longest : int
        Longest period to look for; at most keep / 2 is used, so that every period is seen twice.

    Returns
    -------
    int array, shape (p,) or ()

    Raises
    ------
    InvalidInput
        If there are fewer than two points, or the tolerance is not positive.

    Examples
    --------
    >>> from surefoot.dynamics import orbit, period
    >>> print(period(orbit(lambda x, r: r * x * (1 - x), [2.5, 3.2, 3.5, 3.9], 0.3, steps=1000, keep=128)))
    [1 2 4 0]
    """
    kept = real_array(points, "points")
    if kept.ndim not in (1, 2, 3) or kept.shape[0] < 2:
        raise InvalidInput(f"points must have shape (keep, p) or (keep, d, p) with keep >= 2; got {kept.shape}")
    alone = kept.ndim == 1
    kept = kept[:, None] if alone else kept
    kept = kept[:, None, :] if kept.ndim == 2 else kept
    longest = min(longest, kept.shape[0] // 2)
    periods = np.zeros(kept.shape[-1], dtype=np.int64)
    with ignore_overflow():
        scale = np.abs(kept).max(axis=(0, 1))
        room = tolerance * np.maximum(1.0, scale)
        # the last point alone excludes nearly all candidates, so that the whole window is read about once
        ahead = np.abs(kept[-1 - longest : -1][::-1] - kept[-1]).max(axis=1) <= room
        for q in range(1, longest + 1):
            some = np.flatnonzero(ahead[q - 1] & (periods == 0) & np.isfinite(scale))
            if some.size:
                near = kept[..., some]
                closed = np.abs(near[q:] - near[:-q]).max(axis=(0, 1)) <= room[some]
                periods[some[closed]] = q
    return periods[0] if alone else periods
