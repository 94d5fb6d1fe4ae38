"""A trial of rates: the run goes on in several copies, each at its own rate, until the rule chooses one."""

from collections.abc import Callable

import torch
from torch import Tensor

from surefoot.rules import Decision
from surefoot.training.loop._sensors import Sensed
from surefoot.training.loop.copies import Copies
from surefoot.training.loop.group_rates import Rates
from surefoot.training.loop.training_step import TrainingStep


class Trials:
    """Runs the copies of a trial as the rule's decisions say.

    Neither the watch nor a GradScaler has a say in an update of a copy.

    Parameters
    ----------
    step : TrainingStep
    rates : Rates

    Attributes
    ----------
    copies : Copies
    first : bool
        Whether this trial began before the run's first update. Its rates are those at a scheduler's peak, not at the
        bottom of its warm-up.
    """

    def __init__(self, step: TrainingStep, rates: Rates) -> None:
        self._step, self._rates = step, rates
        self.copies = Copies(step.model, step.optimizers)
        self.first = False

    @property
    def running(self) -> bool:
        """Whether there is a trial now."""
        return len(self.copies) > 0

    def begin(self, decision: Decision, seen: Sensed, largest: float, *, first: bool) -> None:
        """The run goes on in the copies of this decision.

        Parameters
        ----------
        decision : Decision
        seen : Sensed
            The update at which it begins.
        largest : float
            The most that the model's output varied so far.
        first : bool
        """
        self._step.forget_scale()
        self.first = first
        self.copies.enter(seen.loss, largest)
        self._advance(decision, seen.factor)

    def evaluate(self, closure: Callable[[], Tensor], weight: float, *, fresh: bool) -> Tensor:
        """Loss and gradients of a batch, or of a part of one, in every copy; the loss of the first."""
        scale, value = self._loss_scale(), torch.empty(0)

        def part() -> float:
            nonlocal value
            value = self._step.checked(closure())
            (value * (scale * weight / self._step.accumulate)).backward()
            value = value.detach()
            return float(value) * weight

        self.copies.sense(part, fresh=fresh)
        return value  # of the first copy, which comes last

    def finish(self, total: float, device: torch.device) -> tuple[tuple[float, ...], float]:
        """The batch is complete: the losses of all copies, and the first one's gradient norm.

        Parameters
        ----------
        total : float
            Sum of the weights of its parts.
        device : device
            Where ranks talk.
        """
        self._rates.read()
        scale, scaler = self._loss_scale(), self._step.scaler
        overflow = self.copies.finish(scale * total / self._step.accumulate, total, device)
        losses, norm = self.copies.losses, self.copies.norms[0]
        self.copies.spoil(as_loss=scaler is None)
        if scaler is None:
            losses = self.copies.losses
        elif overflow:
            scaler.update(scale / 2)
        return losses, norm

    def go_on(self, decision: Decision, factor: float) -> None:
        """An update in each copy that stays; or the batch left out of all, and one chosen."""
        if decision.accept:
            self._advance(decision, factor)
            return
        self.copies.forget()
        if len(decision.copies) == 1:
            self.copies.choose(decision.copies[0][0])

    def _advance(self, decision: Decision, factor: float) -> None:
        plan = decision.copies or ((0, decision.step),)
        self.copies.advance(plan, lambda rate: self._update(rate * factor))

    def _update(self, rate: float) -> None:
        self._rates.write(rate, at_peak=self.first)
        if self._step.clip is not None:
            self._step.cut()
        self._step.update_without_scaler()

    def _loss_scale(self) -> float:
        return 1.0 if self._step.scaler is None else self._step.scaler.get_scale()
