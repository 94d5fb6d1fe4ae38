"""Periodic orbits as solutions of equations, at a parameter or with a given multiplier or amplitude."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from surefoot.dynamics._linearised import Linearised
from surefoot.dynamics.maps import Real, ignore_overflow

# Newton's method doubles the digits: it converges within this many steps or not at all.
NEWTON_STEPS = 25
# Relative size of the last Newton step but one: the last squares it, to rounding.
SETTLED = 1e-10
# Relative displacement for differences of the multiplier, which is itself a derivative. An error of 1e-8 in this slope
# costs Newton's method a step at most, and no accuracy.
NUDGE = 1e-5

# The equation that determines the parameter: a function from points (d, q), parameter and Jacobians (d, d, q) to its
# defect and its gradient, shape (d q + 1,), with respect to all coordinates of all points and then the parameter.
Condition = Callable[[Real, float, Real], tuple[float, Real]]


@dataclass(frozen=True, slots=True)
class ClosedOrbit:
    """A periodic orbit: its points in order, shape (d, q), and its parameter."""

    points: Real
    parameter: float

    @property
    def period(self) -> int:
        """The number of points."""
        return self.points.shape[1]


def close(linearised: Linearised, guess: ClosedOrbit, condition: Condition) -> ClosedOrbit | None:
    """Solve for a periodic orbit and its parameter by Newton's method on all points at once.

        f(x_i, p) - x_{i+1} = 0,  i = 1..q,  x_{q+1} = x_1;    condition(x_1, ..., x_q, p) = 0

    This is multiple shooting: long orbits of a chaotic map are as well conditioned as short ones.

    Returns
    -------
    ClosedOrbit or None
        None if Newton's method did not converge.
    """
    points, parameter = guess.points.copy(), guess.parameter
    size, period = points.shape
    with ignore_overflow():
        polished = False  # whether the tolerance is met, after which one more step reaches rounding
        for _ in range(NEWTON_STEPS):
            values, jacobians, slopes = linearised(points, parameter)
            defect = values - np.roll(points, -1, axis=1)
            extra, gradient = condition(points, parameter, jacobians)
            matrix = _bordered_matrix(jacobians, slopes, gradient)
            rhs = np.append(defect.T.ravel(), extra)
            if not (np.isfinite(matrix).all() and np.isfinite(rhs).all()):
                return None
            try:
                move = np.linalg.solve(matrix, rhs)
            except np.linalg.LinAlgError:
                return None
            points = points - move[:-1].reshape(period, size).T
            parameter = parameter - float(move[-1])
            if polished:
                return ClosedOrbit(points, parameter)
            sizes = SETTLED * linearised.scale, SETTLED * max(abs(parameter), linearised.span)
            polished = bool(np.abs(move[:-1]).max() <= sizes[0] and abs(move[-1]) <= sizes[1])
    return None


def at_parameter(value: float) -> Condition:
    """The condition of a given parameter."""

    def condition(points: Real, parameter: float, _: Real) -> tuple[float, Real]:
        gradient = np.zeros(points.size + 1)
        gradient[-1] = 1.0
        return parameter - value, gradient

    return condition


def at_amplitude(direction: Real, index: int, value: float) -> Condition:
    """The condition that point `index` and that half a period later differ by 2 * value along a unit direction (d,)."""

    def condition(points: Real, _: float, __: Real) -> tuple[float, Real]:
        size, period = points.shape
        half = period // 2
        apart = direction @ (points[:, index] - points[:, index + half]) / 2 - value
        gradient = np.zeros(points.size + 1)
        gradient[index * size : (index + 1) * size] = direction / 2
        gradient[(index + half) * size : (index + half + 1) * size] = -direction / 2
        return float(apart), gradient

    return condition


def at_multiplier(linearised: Linearised, value: float) -> Condition:
    """The condition of an eigenvalue of J_q ... J_1: -1 at a period doubling, 1 at a fold, 0 if superstable."""

    def condition(points: Real, parameter: float, jacobians: Real) -> tuple[float, Real]:
        size, period = points.shape
        # all displaced points in one call of the update: coordinate j of point i, up and down
        nudge = NUDGE * np.maximum(np.abs(points), linearised.scale)
        shifts = np.eye(size)[:, None, :] * nudge.T[None]
        up = linearised.jacobian((points[:, :, None] + shifts).reshape(size, -1), parameter)
        down = linearised.jacobian((points[:, :, None] - shifts).reshape(size, -1), parameter)
        change = ((up - down).reshape(size, size, period, size)) / (2 * nudge.T)
        before, after = _partial_products(jacobians)
        gradient = np.zeros(points.size + 1)
        base = _product(jacobians)
        for i in range(period):
            for j in range(size):
                gradient[i * size + j] = _determinant_slope(base, after[i] @ change[:, :, i, j] @ before[i], value)
        step = NUDGE * max(abs(parameter), linearised.span)
        ahead, behind = (_product(linearised.jacobian(points, parameter + s)) for s in (step, -step))
        gradient[-1] = _determinant_slope(base, (ahead - behind) / (2 * step), value)
        return float(np.linalg.det(base - value * np.eye(size))), gradient

    return condition


def around(linearised: Linearised, orbit: ClosedOrbit) -> Real:
    """The derivative around an orbit, J_q ... J_2 J_1, shape (d, d); its eigenvalues are the multipliers."""
    return _product(linearised.jacobian(orbit.points, orbit.parameter))


def _product(jacobians: Real) -> Real:
    product = np.eye(jacobians.shape[0])
    for i in range(jacobians.shape[2]):
        product = jacobians[:, :, i] @ product
    return product


def _partial_products(jacobians: Real) -> tuple[list[Real], list[Real]]:
    """For each i: J_{i-1} ... J_1 and J_q ... J_{i+1}."""
    size, _, period = jacobians.shape
    before, after = [np.eye(size)], [np.eye(size)]
    for i in range(period - 1):
        before.append(jacobians[:, :, i] @ before[-1])
        after.append(after[-1] @ jacobians[:, :, period - 1 - i])
    return before, after[::-1]


def _determinant_slope(matrix: Real, change: Real, value: float) -> float:
    """The derivative of det(M - value I) along `change`, by Jacobi's formula."""
    shifted = matrix - value * np.eye(len(matrix))
    if len(matrix) == 1:
        return float(change[0, 0])
    u, s, vh = np.linalg.svd(shifted)
    # the adjugate from the singular values, since at the solution the matrix has no inverse
    others = np.array([np.prod(np.delete(s, k)) for k in range(len(s))])
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return float(sign * (others * np.einsum("ik,ij,kj->k", u, change, vh)).sum())


def _bordered_matrix(jacobians: Real, slopes: Real, gradient: Real) -> Real:
    size, _, period = jacobians.shape
    matrix = np.zeros((size * period + 1, size * period + 1))
    for i in range(period):
        here = slice(i * size, (i + 1) * size)
        following = (i + 1) % period
        matrix[here, here] += jacobians[:, :, i]
        matrix[here, following * size : (following + 1) * size] -= np.eye(size)
        matrix[here, -1] = slopes[:, i]
    matrix[-1] = gradient
    return matrix
