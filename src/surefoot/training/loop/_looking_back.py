"""What a rule that looks back may ask for, or return to: the point before the last update."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from surefoot.rules import Decision
from surefoot.training.loop._judge import LOOKING_BACK, UNDOING
from surefoot.training.loop._sensors import Sensed, moves
from surefoot.training.loop.training_step import TrainingStep
from surefoot.training.model.agreement import local
from surefoot.training.model.snapshot import Snapshot, Subject


class PointBefore:
    """Keeps the point before an update: its parameters, or all of it with its gradients for a rule that may return.

    Parameters
    ----------
    step : TrainingStep
    subject : Subject

    Attributes
    ----------
    parameters : list of Tensor or None
    slope : float
        There, along the update made.
    """

    def __init__(self, step: TrainingStep, subject: Subject) -> None:
        self._step, self._subject = step, subject
        self.parameters: list[Tensor] | None = None
        self.slope = float("nan")
        self._whole: tuple[Snapshot, list[Tensor | None]] | None = None

    def keep(self, decision: Decision, seen: Sensed, needs: frozenset[str]) -> None:
        """Keep the present point, as far as a rule with such needs can ask for it."""
        parameters = self._step.parameters
        looks = decision.look_back and not LOOKING_BACK.isdisjoint(needs)
        self.parameters = [local(p.detach()).clone() for p in parameters] if looks else None
        if "previous_slope" in needs:
            self.slope = seen.slope
        if not UNDOING.isdisjoint(needs):
            gradients = [None if p.grad is None else p.grad.clone() for p in parameters]
            self._whole = self._subject.capture(0), gradients

    def move(self) -> list[Tensor] | None:
        """The update made since; None if nothing was kept."""
        return None if self.parameters is None else moves(self._step.parameters, self.parameters)

    def put_back(self) -> bool:
        """Return to it, its gradients too; whether there is such a point."""
        if self._whole is None:
            return False
        kept, gradients = self._whole
        self._subject.restore(kept)
        for p, g in zip(self._step.parameters, gradients, strict=True):
            p.grad = None if g is None else g.clone()
        return True

    def forget(self, *, whole: bool = True) -> None:
        """It is gone, or no longer where the last update began."""
        self.parameters = None
        if whole:
            self._whole = None

    def state_dict(self) -> dict[str, Any]:
        """Tensors and a number."""
        kept = None if self.parameters is None else [p.clone() for p in self.parameters]
        return {"before": kept, "previous slope": self.slope}

    def parse(self, data: Mapping[str, Any]) -> Callable[[], None]:
        """What `state_dict` returned; nothing is changed until the result is called."""
        saved, slope = data["before"], float(data["previous slope"])
        if saved is not None:
            pairs = zip(saved, self._step.parameters, strict=True)
            saved = [value.to(p.device, local(p).dtype, copy=True).view(local(p).shape) for value, p in pairs]

        def adopt() -> None:
            self.parameters, self.slope, self._whole = saved, slope, None

        return adopt
