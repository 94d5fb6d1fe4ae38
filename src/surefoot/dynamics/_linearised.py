"""An update with its derivatives at the points of an orbit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.dynamics._tangent import TINY, analytic
from surefoot.dynamics.maps import Real, Update

# Relative step of central differences, the cube root of eps, where truncation and rounding balance.
DIFFERENCE = float(np.cbrt(np.finfo(np.float64).eps))


@dataclass(frozen=True, slots=True)
class Linearised:
    """Values and derivatives of an update at many points: its own derivatives, the complex step, or differences.

    Parameters
    ----------
    update : callable
    scalar : bool
        Whether the update takes states of shape (m,); here they always have shape (d, m).
    scale : float
        A typical size of the states, for tolerances: an orbit at the origin has no size of its own.
    span : float
        A typical size of the parameter.
    exact : bool
        Whether the complex step can be used.
    own : callable, optional
        (points, parameters) to Jacobians (d, d, m) and derivatives in the parameter (d, m), for an update that has a
        method `derivatives`.
    """

    update: Update
    scalar: bool
    scale: float
    span: float
    exact: bool
    own: Callable[[Real, Real], tuple[Real, Real]] | None = None

    @classmethod
    def of(cls, update: Update, states: Real, parameters: Real, *, scale: float, span: float) -> "Linearised":
        """The linearisation, with the way to differentiate chosen at states of shape (m,) or (d, m).

        The complex step is tried in the parameter too, where an abs() may make the update real.
        """
        own = getattr(update, "derivatives", None)
        if own is not None and states.ndim == 2:
            return cls(update, False, scale or 1.0, span or 1.0, False, own)
        exact = analytic(update, states, parameters) and analytic(
            lambda p, x: update(x, p).reshape(-1, p.size).sum(axis=0), parameters, states
        )
        return cls(update, states.ndim == 1, scale or 1.0, span or 1.0, exact)

    def __call__(self, points: Real, parameter: float) -> tuple[Real, Real, Real]:
        """Values (d, m), Jacobians (d, d, m) and derivatives in the parameter (d, m), at points (d, m)."""
        values = self.value(points, parameter)
        if self.own is not None:
            return values, *self.own(points, np.full(points.shape[1], parameter))
        return values, self.jacobian(points, parameter), self.slope(points, parameter)

    def value(self, points: Real, parameter: float) -> Real:
        """The images of the points, (d, m)."""
        return np.asarray(self._apply(points, np.full(points.shape[1], parameter)), dtype=np.float64)

    def jacobian(self, points: Real, parameter: float) -> Real:
        """df_i/dx_j at each point, shape (d, d, m)."""
        size, number = points.shape
        if self.own is not None:
            return self.own(points, np.full(number, parameter))[0]
        parameters = np.full(size * number, parameter)
        wide = np.repeat(points[:, None, :], size, axis=1)
        displacement = self._steps(points, self.scale)
        step = np.eye(size)[:, :, None] * displacement[None]
        images = self._quotient(
            wide.reshape(size, -1), step.reshape(size, -1), parameters, np.zeros_like(parameters)
        ).reshape(size, size, number)
        return images / displacement[None]

    def slope(self, points: Real, parameter: float) -> Real:
        """df/dparameter at each point, shape (d, m)."""
        parameters = np.full(points.shape[1], parameter)
        if self.own is not None:
            return self.own(points, parameters)[1]
        step = self._steps(parameters, self.span)
        return self._quotient(points, np.zeros_like(points), parameters, step) / step

    def _steps(self, values: Real, typical: float) -> Real:
        """The displacement along each coordinate, shape (d, m)."""
        if self.exact:
            return np.full_like(values, TINY)
        return DIFFERENCE * np.maximum(np.abs(values), typical)

    def _quotient(self, points: Real, step: Real, parameters: Real, parameter_step: Real) -> Real:
        """The change of the update along a displacement: its imaginary part, or half the central difference."""
        if self.exact:
            return np.asarray(
                self._apply(points + 1j * step, parameters + 1j * parameter_step), dtype=np.complex128
            ).imag
        ahead = self._apply(points + step, parameters + parameter_step)
        behind = self._apply(points - step, parameters - parameter_step)
        return (np.asarray(ahead, dtype=np.float64) - behind) / 2

    def _apply(self, points: NDArray[Any], parameters: NDArray[Any]) -> Any:
        return np.asarray(self.update(points[0], parameters))[None] if self.scalar else self.update(points, parameters)
