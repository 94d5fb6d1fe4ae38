"""Lightning: Guard and a rate that is found, as callbacks. Needs lightning (the extra `lightning`)."""

import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from surefoot.errors import InvalidInput, InvalidType, LossFailed, MissingExtra
from surefoot.integrations._callback import Guarding, Piloting

try:
    from lightning.pytorch import Callback, LightningModule
except ModuleNotFoundError as error:
    raise MissingExtra("surefoot.integrations.lightning needs lightning; install it with pip") from error

__all__ = ["GuardCallback", "PilotCallback"]


class GuardCallback(Guarding, Callback):
    """Takes back what goes wrong in a Lightning run: ``Trainer(..., callbacks=[GuardCallback()])``.

    At each update the loss and the gradient's norm are judged before the optimizer steps, as `surefoot.training.Guard`
    does. Lightning keeps its loop, its accumulation, clipping, precision and schedulers: gradients are judged before
    the clip. The state is in Lightning's checkpoints, and a run that is resumed goes on with it. Loggers get the rate
    that ran as "surefoot/rate": a monitor of the optimizer's groups sees the scheduler's own. For automatic
    optimization with one optimizer; in manual optimization ask `surefoot.training.Guard` in ``training_step``.

    Parameters
    ----------
    watch : Watch, optional
        The thresholds.
    keep, every, random_states
        As in `surefoot.training.Guard`.

    Attributes
    ----------
    loop : Loop or None
        From the beginning of the training on; ``print(callback.loop.explain())`` says what happened.

    Raises
    ------
    Diverged
        Out of ``fit()``, after too many returns in a row, with a diagnosis.
    InvalidInput
        If optimization is manual, or there are several optimizers.
    """

    _loss: Any = None  # what a pilot rehearses with, if not `training_step`
    _loaded: Mapping[str, Any] | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Take the model and the optimizer; go on from a checkpoint."""
        if not pl_module.automatic_optimization:
            raise InvalidInput("optimization is manual: there use surefoot.training.Guard in training_step")
        if len(trainer.optimizers) != 1:
            raise InvalidInput(
                f"there are {len(trainer.optimizers)} optimizers, and one is guarded; use surefoot.training.Guard"
            )
        with warnings.catch_warnings():
            # what a copy without a trainer has to log nobody wants
            warnings.filterwarnings("ignore", message=r"You are trying to `self.log\(\)`")
            self.begin(
                pl_module, trainer.optimizers[0], _LossOfStep(trainer, self._loss), _prepared(trainer),
                trainer.estimated_stepping_batches, trainer.global_step, trainer.accumulate_grad_batches, self._loaded,
            )  # fmt: skip
        self._loaded = None

    def on_before_backward(self, trainer: Any, pl_module: Any, loss: Tensor) -> None:
        """The loss of a part of the batch: its share, which Lightning has divided by the number of parts.

        In float16 it comes multiplied by the loss scale, which changes as the run goes.
        """
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._losses.append(loss.detach() / (1.0 if scaler is None else scaler.get_scale()))

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Judge, and decide whether there is an update: without gradients the optimizer has nothing to step with."""
        if self.loop is not None:
            loss = torch.stack(self._losses).sum()
            self._losses = []
            self.judge(loss, optimizer, getattr(trainer.precision_plugin, "scaler", None))

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """The rate that ran, for the loggers."""
        if self.loop is not None and math.isfinite(self.loop.rate):
            pl_module.log("surefoot/rate", self.loop.rate)

    def state_dict(self) -> dict[str, Any]:
        """For Lightning's checkpoint."""
        return self.state()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """From Lightning's checkpoint; put to use when the training starts, after the optimizer's own state."""
        self._loaded = dict(state_dict)


class PilotCallback(Piloting, GuardCallback):
    """A Lightning run without a learning rate: ``Trainer(..., callbacks=[PilotCallback()])``.

    When the training begins, a copy of the model rehearses the run over its first batches, as
    `surefoot.training.Pilot` does: that chooses the rate. The run then warms up over a tenth of its updates, holds
    that rate, and cools down to zero over the last fifth; the groups keep the ratios of their rates, and a
    scheduler counts for nothing. Guarded as by `GuardCallback`.

    Parameters
    ----------
    total_steps : int, optional
        Updates of the run; by default the Trainer's own estimate.
    loss : callable, optional
        (model, batch) to a scalar tensor. By default what ``training_step`` returns on a copy that has no trainer;
        give it where ``training_step`` asks its trainer for something, or goes on from step to step.
    watch, keep, every, random_states
        As in `GuardCallback`.

    Attributes
    ----------
    loop : Loop or None
    said : str
        What the rehearsal chose.

    Raises
    ------
    InvalidInput
        If the rehearsal finds no rate, or the length of the run is not known.
    """

    def __init__(
        self,
        total_steps: int | None = None,
        *,
        loss: Callable[[LightningModule, Any], Tensor] | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(total_steps=total_steps, **settings)
        self._loss = loss


class _LossOfStep:
    """The loss of a batch as ``training_step`` has it, in the Trainer's precision."""

    def __init__(self, trainer: Any, given: Any) -> None:
        self._precision, self._given = trainer.precision_plugin, given

    def __call__(self, model: Any, batch: Any) -> Tensor:
        with self._precision.train_step_context():
            if self._given is not None:
                return self._given(model, batch)
            arguments = (batch, 0)[: len(inspect.signature(model.training_step).parameters)]
            try:
                returned = model.training_step(*arguments)
            except RuntimeError as error:
                if "not attached to a" not in str(error):
                    raise
                raise LossFailed(
                    "training_step asks for its trainer, and the copy that rehearses has none; give "
                    "PilotCallback(loss=...), (model, batch) to a scalar tensor"
                ) from error
        loss = returned["loss"] if isinstance(returned, Mapping) else returned
        if not isinstance(loss, Tensor):
            raise InvalidType(
                f"training_step returned no loss but a {type(loss).__name__} in the rehearsal; give "
                "PilotCallback(loss=...), (model, batch) to a scalar tensor"
            )
        return loss


def _prepared(trainer: Any) -> Iterator[Any]:
    """The loader's batches as ``training_step`` gets them: converted, moved, and through the module's own hooks."""
    module = trainer.lightning_module
    for batch in trainer.train_dataloader:
        converted = trainer.precision_plugin.convert_input(batch)
        ready = module._on_before_batch_transfer(converted, dataloader_idx=0)
        yield trainer.strategy.batch_to_device(ready, dataloader_idx=0)
