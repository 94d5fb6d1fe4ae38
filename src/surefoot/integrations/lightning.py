"""Lightning: Guard and a rate that is found, as callbacks. Needs lightning (the extra `lightning`)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput, MissingExtra
from surefoot.integrations._rehearsed import rehearsed
from surefoot.rules import Watch
from surefoot.training.loop import Loop

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError as error:
    raise MissingExtra("surefoot.integrations.lightning needs lightning; install it with pip") from error

__all__ = ["GuardCallback", "PilotCallback"]


class GuardCallback(Callback):
    """Takes back what goes wrong in a Lightning run: ``Trainer(..., callbacks=[GuardCallback()])``.

    At each update the loss and the gradient's norm are judged before the optimizer steps, as `surefoot.training.Guard`
    does. Lightning keeps its loop, its accumulation, clipping, precision and schedulers: gradients are judged before
    the clip. The state is in Lightning's checkpoints, and a run that is resumed goes on with it. For automatic
    optimization with one optimizer; in manual optimization use `surefoot.training.Guard` in ``training_step``.

    Parameters
    ----------
    watch : Watch, optional
        The thresholds.
    keep, every, random_states
        As in `surefoot.training.Guard`.

    Attributes
    ----------
    loop : Loop or None
        From the beginning of the training on; ``print(callback.loop.report())`` says what happened.

    Raises
    ------
    Diverged
        Out of ``fit()``, after too many returns in a row, with a diagnosis.
    InvalidInput
        If optimization is manual, or there are several optimizers.
    """

    def __init__(
        self, *, watch: Watch | None = None, keep: Any = "device", every: int | None = None, random_states: bool = False
    ) -> None:
        self._settings: dict[str, Any] = {"keep": keep, "every": every, "random_states": random_states}
        self._watch = Watch() if watch is None else watch
        self.loop: Loop | None = None
        self._loaded: dict[str, Any] = {}
        self._losses: list[Tensor] = []

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the model and the optimizer; go on from a checkpoint."""
        if not pl_module.automatic_optimization:
            raise InvalidInput("optimization is manual: there use surefoot.training.Guard in training_step")
        if len(trainer.optimizers) != 1:
            raise InvalidInput(
                f"there are {len(trainer.optimizers)} optimizers, and one is guarded; use surefoot.training.Guard"
            )
        self.loop = self._make(pl_module, trainer.optimizers[0], trainer)
        if self._loaded:
            self.loop.load_state_dict(self._loaded)
            self._loaded = {}

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """The loss of a part of the batch: its share, which Lightning has divided by the number of parts."""
        self._losses.append(loss.detach())

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Judge, and decide whether there is an update: without gradients the optimizer has nothing to step with."""
        if self.loop is not None:
            total = torch.stack(self._losses).sum()
            self._losses = []
            self.loop.observe(total)

    def state_dict(self) -> dict[str, Any]:
        """For Lightning's checkpoint."""
        return {} if self.loop is None else self.loop.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From Lightning's checkpoint; put to use when the training starts, after the optimizer's own state."""
        self._loaded = dict(state_dict)

    def _make(self, model: nn.Module, optimizer: Any, trainer: Any) -> Loop:
        return Loop(model, optimizer, watch=self._watch, **self._settings)


class PilotCallback(GuardCallback):
    """A Lightning run without a learning rate: ``Trainer(..., callbacks=[PilotCallback(loss)])``.

    When the training begins, rehearsals on copies of the model choose a rate (`surefoot.training.range_test`, 100 steps
    over the first batches). The run then warms up over a tenth of its updates, holds that rate, and cools down to zero
    over the last fifth; the groups keep the ratios of their rates, and a scheduler counts for nothing. Guarded as by
    `GuardCallback`.

    Parameters
    ----------
    loss : callable
        (model, batch) to a scalar tensor: what ``training_step`` computes, without logging.
    total_steps : int, optional
        Updates of the run; by default the Trainer's own estimate.
    watch, keep, every, random_states
        As in `GuardCallback`.

    Attributes
    ----------
    loop : Loop or None
    said : str
        What the rehearsals chose.

    Raises
    ------
    InvalidInput
        If the rehearsals find no rate, or the length of the run is not known.
    """

    def __init__(self, loss: Any, total_steps: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._loss, self._total = loss, total_steps
        self.said = ""

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Judge, decide the rate, and put it into force; the scheduler's own counts for nothing."""
        _at_peak(optimizer)
        super().on_before_optimizer_step(trainer, pl_module, optimizer)

    def _make(self, model: nn.Module, optimizer: Any, trainer: Any) -> Loop:
        total = self._total or trainer.estimated_stepping_batches
        if not 0 < total < float("inf"):
            raise InvalidInput("the length of the run is not known; give PilotCallback(loss, total_steps=...)")
        _at_peak(optimizer)
        rule, self.said = rehearsed(model, self._loss, trainer.train_dataloader, optimizer, int(total))
        return Loop(model, optimizer, watch=self._watch, rule=rule, total_steps=int(total), **self._settings)


def _at_peak(optimizer: Any) -> None:
    """Undo what a scheduler did: each group at the rate that it was given."""
    for group in optimizer.param_groups:
        group["lr"] = group.get("initial_lr", group["lr"])
