"""The sensors of a NumPy run; each is computed when a rule reads it."""

import math
from collections.abc import Callable

from surefoot.operators import Array

Product = Callable[[Array, Array], Array]


def norm(v: Array) -> float:
    """|v|."""
    return math.sqrt(v.dot(v))


class Point:
    """An iterate with its loss and gradient, and the point reported as the result there."""

    __slots__ = ("answer", "gradient", "gradient_norm", "loss", "x")

    def __init__(self, x: Array, loss: float, gradient: Array, answer: Array | None = None) -> None:
        self.x = x
        self.loss = float(loss)
        self.gradient = gradient
        self.gradient_norm = norm(gradient)
        self.answer = x if answer is None else answer

    @property
    def finite(self) -> bool:
        """Whether loss and gradient are finite."""
        return math.isfinite(self.loss) and math.isfinite(self.gradient_norm)


class Sensed:
    """An `Observation` of the first `Point`; see `Arrived` for later ones.

    Parameters
    ----------
    point : Point
        Current point.
    iteration : int
        Number of accepted points before.
    product : callable
        (x, v) to the Hessian at x times v.
    scale : array, shape (size,), or None
        P in d = -P g. Norms are those of the variable P^-1/2 x, in which the run is plain descent.
    """

    __slots__ = (
        "_curvature", "_product", "_scale", "alignment", "departure", "displacement", "iteration", "point", "step",
    )  # fmt: skip

    def __init__(self, point: Point, iteration: int, product: Product, scale: Array | None = None) -> None:
        self.point = point
        self.iteration = iteration
        self.step = self.displacement = self.alignment = self.departure = math.nan
        self._product = product
        self._scale = scale
        self._curvature: float | None = None

    @property
    def loss(self) -> float:
        """f(x), with the penalty if there is one."""
        return self.point.loss

    @property
    def gradient_norm(self) -> float:
        """|g(x)|."""
        if self._scale is None:
            return self.point.gradient_norm
        return math.sqrt(self.point.gradient.dot(self._scale * self.point.gradient))

    @property
    def direction_norm(self) -> float:
        """|d|, in the unit of x."""
        return self.point.gradient_norm if self._scale is None else norm(self._scale * self.point.gradient)

    @property
    def slope(self) -> float:
        """<g, d>."""
        size = self.gradient_norm
        return -size * size

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
        """d'Hd/d'd; one Hessian product."""
        if self._curvature is None:
            g = self.point.gradient
            d = g if self._scale is None else self._scale * g
            square = -self.slope
            self._curvature = float(d.dot(self._product(self.point.x, d))) / square if square > 0 else math.nan
        return self._curvature


class Arrived(Sensed):
    """An `Observation` after a move, which includes the secant.

    Parameters
    ----------
    point, previous : Point
        Current point, and the last accepted point.
    iteration, product, scale
        As in `Sensed`; `scale` is that of the move.
    step : float
        The step between them.
    penalised : bool
        Whether the move was proximal: to first order the sum then changes by -|s|^2/step.
    """

    __slots__ = ("_change",)

    def __init__(
        self,
        point: Point,
        previous: Point,
        iteration: int,
        step: float,
        product: Product,
        scale: Array | None = None,
        penalised: bool = False,
    ) -> None:
        self.point = point
        self.iteration = iteration
        self.step = step
        self._product = product
        self._scale = scale
        # a Hessian product is made only when a rule reads the curvature
        self._curvature = None
        move = point.x - previous.x
        self._change = change = point.gradient - previous.gradient
        self.displacement = norm(move) if scale is None else math.sqrt(move.dot(move / scale))
        self.alignment = float(move.dot(change))
        if penalised:
            # the move is -step times the gradient mapping, which replaces the gradient
            self.departure = -self.displacement * self.displacement / step if step > 0 else 0.0
        else:
            self.departure = float(move.dot(previous.gradient))

    @property
    def gradient_change(self) -> float:
        """|g - g-|."""
        if self._scale is None:
            return norm(self._change)
        return math.sqrt(self._change.dot(self._scale * self._change))
