"""What a pilot measures with: the closure of the batch at hand, an optimizer to try, a tracker of the sharpness."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from surefoot.errors import SurefootError
from surefoot.training.guard import Guard
from surefoot.training.loop.group_rates import Rates
from surefoot.training.model.agreement import agreed, alone
from surefoot.training.model.sandbox import buffers_set_aside, random_state_kept
from surefoot.training.model.snapshot import Subject
from surefoot.training.optimizers import effective_rate
from surefoot.training.pilot._line_minimum import line_minimum
from surefoot.training.pilot._sensors import along, moved
from surefoot.training.sharpness import SharpnessTracker

__all__ = ["Instruments"]

# A rate to read an update's direction off; the update itself is not kept.
UNIT = 1.0


class Instruments:
    """Measurements at the present point, on the present batch; none leaves a trace.

    Parameters
    ----------
    guard : Guard
    rates : Rates

    Attributes
    ----------
    closure : callable or None
        Of the batch at hand.
    """

    def __init__(self, guard: Guard, rates: Rates) -> None:
        self._guard, self._rates = guard, rates
        self.closure: Callable[[], Tensor] | None = None
        self._tracker: SharpnessTracker | None = None

    def look(self, direction: Sequence[Tensor]) -> tuple[float, float]:
        """Slope and curvature along a direction."""
        return along(self._guard.model, self._loss, self._guard._trained(), direction)

    def departure(self) -> list[Tensor]:
        """The update about to be made per unit of rate, off one that is made and taken back."""
        parameters, optimizers = self._guard._trained(), self._guard.optimizers
        subject = Subject(self._guard.model, optimizers)
        kept = subject.capture(0)
        self._rates.write(UNIT)
        for optimizer in optimizers:
            optimizer.step()
        after = [p.detach().clone() for p in parameters]
        subject.restore(kept)
        return [s / (UNIT * self._guard.factor) for s in moved(after, [p.detach() for p in parameters])]

    def reach(self) -> float:
        """How far the first update may go, in terms of a rate that is held; nan if nowhere."""
        parameters = self._guard._trained()
        found = line_minimum(self._guard.model, self._loss, parameters, self.departure())
        if not alone():
            found = math.exp(agreed((math.log(found),), parameters[0].device)[0])
        try:
            return found / effective_rate(self._guard.optimizers[0], 1.0)
        except SurefootError:  # an optimizer of no known kind: as if it had no memory
            return found

    def limit(self) -> float:
        """The stability limit on this batch, in units of the first group's rate."""
        if self._tracker is None:
            self._tracker = self._new_tracker()
        limit = self._tracker.update().limit
        return math.inf if limit is None else limit

    def state_dict(self) -> dict[str, Any] | None:
        """The tracker's."""
        return None if self._tracker is None else self._tracker.state_dict()

    def load_state_dict(self, data: Mapping[str, Any] | None) -> None:
        """The inverse of `state_dict`."""
        self._tracker = None
        if data is not None:
            self._tracker = self._new_tracker()
            self._tracker.load_state_dict(data)

    def _loss(self) -> Tensor:
        return cast("Callable[[], Tensor]", self.closure)()

    def _same_loss(self) -> Tensor:
        """The loss, with the same dropout each time it is asked for at this update, and no buffer touched."""
        with random_state_kept(), buffers_set_aside(self._guard.model):
            torch.manual_seed(self._guard.updates)
            return self._loss()

    def _new_tracker(self) -> SharpnessTracker:
        """The closure has its model and batch inside; the tensor only stands for one batch."""
        return SharpnessTracker(
            self._guard.model, lambda _model, _batch: self._same_loss(), lambda: torch.zeros(1),
            self._guard.optimizers[0], count=lambda _batch: 1.0,
        )  # fmt: skip
