"""The history of a run, point by point."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from surefoot.records import Record

CurvatureIs = Literal["at the point left", "on average over the move"]

Row = tuple[float, float, float, float, float, bool, str]


@dataclass(frozen=True, slots=True, eq=False)
class Trace(Record):
    """One row for each point at which the loss and the gradient were evaluated, the start first.

    Parameters
    ----------
    loss : array, shape (n,)
        Loss f(x).
    gradient_norm : array, shape (n,)
        |g(x)|.
    step : array, shape (n,)
        Step of the move to this point, unit 1/curvature; nan at the start.
    curvature : array, shape (n,)
        Curvature along the move s to this point, nan at the start; `curvature_is` says which: s'Hs/s's at the point
        left, or the average over the move <s, y>/<s, s> from the change y of the gradient.
    predicted : array, shape (n,)
        Change of the loss that the second-order model predicts for the move: <g-, s> + curvature |s|^2/2, which for
        plain descent is -a |g|^2 + a^2 g'Hg/2.
    accepted : bool array, shape (n,)
        Whether the point was accepted; a move starts at the last accepted point.
    reason : tuple of n strings
        Reason that the rule gave for its decision at this point.
    curvature_is : "at the point left" or "on average over the move"
        The first if the problem has Hessian products, unless ``descend(curvature=False)``.
    """

    loss: NDArray[np.float64]
    gradient_norm: NDArray[np.float64]
    step: NDArray[np.float64]
    curvature: NDArray[np.float64]
    predicted: NDArray[np.float64]
    accepted: NDArray[np.bool_]
    reason: tuple[str, ...]
    curvature_is: CurvatureIs = "on average over the move"

    @classmethod
    def of(cls, rows: Sequence[Row], curvature_is: CurvatureIs = "on average over the move") -> "Trace":
        """The trace of rows in the order of the fields."""
        *numbers, accepted, reason = zip(*rows, strict=True)
        loss, norm, step, curvature, predicted = (np.asarray(column, dtype=np.float64) for column in numbers)
        return cls(loss, norm, step, curvature, predicted, np.asarray(accepted), reason, curvature_is)

    def __len__(self) -> int:
        return len(self.reason)

    @property
    def change(self) -> NDArray[np.float64]:
        """The actual change of the loss in each move from the last accepted point; nan at the start."""
        before = np.maximum.accumulate(np.where(self.accepted, np.arange(len(self)), 0))
        with np.errstate(invalid="ignore", over="ignore"):
            return np.concatenate([[np.nan], self.loss[1:] - self.loss[before[:-1]]])

    @property
    def overshoot(self) -> NDArray[np.bool_]:
        """Whether step > 2/curvature, so that the model predicts a rise of the loss."""
        with np.errstate(invalid="ignore", over="ignore"):
            return self.step * self.curvature > 2

    def explain(self, k: int) -> str:
        """Why the loss rose or fell at point k, by the second-order model."""
        if not 0 < k < len(self):
            return "the start: no move led here" if k == 0 else f"no point {k}; there are {len(self)}"
        change, predicted = float(self.change[k]), float(self.predicted[k])
        step, curvature = float(self.step[k]), float(self.curvature[k])
        outcome = f"rose by {change:.4g}" if change > 0 else f"fell by {-change:.4g}"
        outcome = "became undefined" if math.isnan(change) else outcome
        text = f"point {k}: the loss {outcome} where second order says {predicted:+.4g}"
        if curvature > 0:
            ratio = step * curvature / 2
            side = "above" if ratio > 1 else "below"
            text += f"; the step {step:.4g} is {ratio:.3g} times 2/curvature = {2 / curvature:.4g}, {side} the limit"
            text += f" (curvature {self.curvature_is})"
        elif curvature <= 0:
            text += f"; the curvature {self.curvature_is} is {curvature:.4g}: no step is too long to second order"
        return text + ("" if self.accepted[k] else "; taken back")
