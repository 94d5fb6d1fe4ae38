"""The sensors of a NumPy run: what a rule may ask, computed when it asks."""

import math
from collections.abc import Callable

from surefoot.operators import Array

__all__ = ["Point", "Sensed", "norm"]


def norm(v: Array) -> float:
    """|v|."""
    return math.sqrt(v.dot(v))


class Point:
    """An iterate with its loss and gradient."""

    __slots__ = ("gradient", "gradient_norm", "loss", "x")

    def __init__(self, x: Array, loss: float, gradient: Array) -> None:
        self.x = x
        self.loss = loss
        self.gradient = gradient
        self.gradient_norm = norm(gradient)

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are numbers."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


class Sensed:
    """An `Observation` of a `Point`; `Arrived` where there is a point before it.

    Parameters
    ----------
    point : Point
        Where the run is.
    iteration : int
        Number of accepted points before.
    product : callable
        (x, v) to the Hessian at x times v.
    """

    __slots__ = ("_curvature", "_product", "alignment", "departure", "displacement", "iteration", "point", "step")

    def __init__(self, point: Point, iteration: int, product: Callable[[Array, Array], Array]) -> None:
        self.point = point
        self.iteration = iteration
        self.step = self.displacement = self.alignment = self.departure = math.nan
        self._product = product
        self._curvature: float | None = None

    @property
    def loss(self) -> float:
        """f(x)."""
        return self.point.loss

    @property
    def gradient_norm(self) -> float:
        """|g(x)|."""
        return self.point.gradient_norm

    @property
    def direction_norm(self) -> float:
        """|d| for d = -g."""
        return self.point.gradient_norm

    @property
    def slope(self) -> float:
        """<g, d> for d = -g."""
        return -(self.point.gradient_norm**2)

    @property
    def previous_slope(self) -> float:
        """<g-, s>/step."""
        return self.departure / self.step if self.step > 0 else 0.0

    @property
    def arrival_slope(self) -> float:
        """<g, s>/step."""
        return (self.departure + self.alignment) / self.step if self.step > 0 else 0.0

    @property
    def gradient_change(self) -> float:
        """|g - g-|."""
        return math.nan

    @property
    def curvature(self) -> float:
        """d'Hd/d'd for d = -g; one Hessian product."""
        if self._curvature is None:
            g = self.point.gradient
            square = self.point.gradient_norm**2
            self._curvature = float(g.dot(self._product(self.point.x, g))) / square if square > 0 else math.nan
        return self._curvature


class Arrived(Sensed):
    """What is seen after a move: the secant too.

    Parameters
    ----------
    point, previous : Point
        Where the run is, and the last accepted point.
    step : float
        The step between them.
    """

    __slots__ = ("_change",)

    def __init__(
        self,
        point: Point,
        previous: Point,
        iteration: int,
        step: float,
        product: Callable[[Array, Array], Array],
    ) -> None:
        self.point = point
        self.iteration = iteration
        self.step = step
        self._product = product
        self._curvature = None
        move = point.x - previous.x
        self._change = change = point.gradient - previous.gradient
        self.displacement = norm(move)
        self.alignment = float(move.dot(change))
        self.departure = float(move.dot(previous.gradient))

    @property
    def gradient_change(self) -> float:
        """|g - g-|."""
        return norm(self._change)
