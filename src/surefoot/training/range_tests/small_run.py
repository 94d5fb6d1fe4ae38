"""The pilot's rehearsal of a run on copies, without the run itself, with the losses at each rate."""

import copy
import math
from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import Diverged, InvalidInput
from surefoot.rules.training.autopilot import Autopilot, AutopilotState
from surefoot.rules.training.choice import JUDGES
from surefoot.training.model.agreement import agree_on
from surefoot.training.model.loss import Loss, as_scalar, locate
from surefoot.training.model.sandbox import keep_random_state
from surefoot.training.model.trees import on_device
from surefoot.training.pilot import Pilot

__all__ = ["SmallRun"]

# The cost of an evaluation, in optimizer steps: a backward pass takes twice as long as a forward one.
EVALUATION = 1 / 3


class SmallRun:
    """A training run in small: the pilot's rehearsal of it, on copies of model and optimizer.

    Parameters
    ----------
    model : Module
    loss : callable
        (model, batch) -> a scalar tensor.
    optimizer : Optimizer
    rule : Autopilot
    total : int
        Updates of the run that is rehearsed.
    seed : int
        Seed of what the model draws.

    Attributes
    ----------
    rate : float
        Rate that was chosen; nan until then.
    state : AutopilotState
        State of the rule after the last update.
    courses : dict
        Losses of each copy by the rate it had at its end, also of those that were given up.
    start : tuple of float
        Losses before any update, on the batches by which rates are compared.
    spent : float
        Cost in optimizer steps: forward and backward are one, an evaluation is a third.
    """

    def __init__(
        self, model: nn.Module, loss: Loss, optimizer: Optimizer, rule: Autopilot, total: int, seed: int
    ) -> None:
        self.model, self.loss, self.optimizer, self.rule = model, loss, optimizer, rule
        self.total, self.seed = total, seed
        self.spent, self.rate = 0.0, math.nan
        self.state = rule.init()
        self.courses: dict[float, tuple[float, ...]] = {}
        self.start: tuple[float, ...] = ()
        self._device = next(p.device for group in optimizer.param_groups for p in group["params"])

    def rehearse(self, batches: Iterable[Any]) -> str:
        """Rehearse on an endless sequence of batches; the reason if no rate came of it, empty if one did."""
        with keep_random_state(), torch.enable_grad():
            torch.manual_seed(self.seed)
            model, optimizer = self._copies()
            # long enough for the rehearsal to end before a cool-down
            total = max(self.total, 2 * self.rule.rehearsal(self.total))
            pilot = Pilot(model, optimizer, rule=self.rule, total_steps=total, measure=False)
            judges: list[Any] = []
            try:
                for batch in islice(batches, total):
                    judges = [*judges, on_device(batch, self._device)][-JUDGES:]
                    where = f"at update {pilot.updates + 1} of the rehearsal"
                    pilot.step(lambda batch=judges[-1], where=where: self._value(model, batch, where))
                    self._follow(pilot.rule_state)
                    if len(self.state.rates) == 1:
                        break
                else:
                    return f"the gradient is 0 on {total} batches: nothing moves the model"
            except (InvalidInput, Diverged) as error:
                return str(error)
            self.rate = pilot.rate
            self.start = self.losses_before(judges)
        return "" if self.state.tried else "no copy's loss stayed finite, at any rate; fix the model or the data first"

    @torch.no_grad()
    def losses_before(self, batches: Iterable[Any]) -> tuple[float, ...]:
        """The loss on each batch before any update, as the ranks agree on it."""
        with keep_random_state():
            model, _ = self._copies()
            values = [
                float(self._value(model, on_device(batch, self._device), "before the rehearsal")) for batch in batches
            ]
        return tuple(agree_on(values, self._device))

    def _follow(self, state: AutopilotState) -> None:
        self.state = state
        if len(state.rates) > 1:
            self.courses.update(zip(state.rates, state.losses, strict=True))
        for rate, judges in state.tried:
            self.courses[rate] = (*self.courses.get(rate, ()), judges[-1])

    def _value(self, model: nn.Module, batch: Any, where: str) -> Tensor:
        self.spent += 1.0 if torch.is_grad_enabled() else EVALUATION
        with locate(where):
            return as_scalar(self.loss(model, batch))

    def _copies(self) -> tuple[nn.Module, Optimizer]:
        try:
            return copy.deepcopy((self.model, self.optimizer))
        except (RuntimeError, TypeError) as error:
            raise InvalidInput(
                f"the model and its optimizer cannot be copied ({error}); make them so that copy.deepcopy takes them: "
                "a rehearsal trains copies"
            ) from error
