"""What the callbacks of every framework are: settings, a loop from the beginning of a training on, a rule for it."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from surefoot.errors import InvalidInput
from surefoot.integrations._rehearsed import rehearsed, warmed_up
from surefoot.rules import Watch
from surefoot.training.loop import Loop
from surefoot.training.loop.training_step import OVERFLOWS
from surefoot.training.model.agreement import gradient_norm
from surefoot.training.optimizers.unwrapped import unwrap


class Guarding:
    """A loop with a watch, made when the training begins.

    Parameters
    ----------
    watch : Watch, optional
        The thresholds.
    keep, every, random_states
        As in `surefoot.training.Guard`.
    """

    def __init__(
        self, *, watch: Watch | None = None, keep: Any = "device", every: int | None = None, random_states: bool = False
    ) -> None:
        self._settings: dict[str, Any] = {
            "watch": Watch() if watch is None else watch, "keep": keep, "every": every, "random_states": random_states,
        }  # fmt: skip
        self.loop: Loop | None = None
        # of the parts of the update in the making
        self._losses: list[Tensor] = []
        self._overflows = 0

    def begin(
        self,
        model: nn.Module,
        optimizer: Any,
        loss: Callable[[nn.Module, Any], Tensor],
        data: Iterable[Any],
        total: float,
        done: int = 0,
        parts: int = 1,
        saved: Mapping[str, Any] | None = None,
    ) -> None:
        """Make the loop of this training.

        Parameters
        ----------
        model : Module
        optimizer : Optimizer
            As the framework prepared it.
        loss : callable
            (model, batch) to a scalar tensor.
        data : iterable of batches
        total : float
            Updates of the run, as the framework sees it, those that are done included.
        done : int
            Updates that were made before.
        parts : int
            Batches that make an update.
        saved : mapping, optional
            What `state` returned for the training that is gone on with.
        """
        self._losses, self._overflows = [], 0
        plan = self._plan(model, optimizer, loss, data, total, done, parts, saved)
        self.loop = Loop(model, optimizer, **plan, **self._settings)
        if saved:
            # the run is as long as it is said to be now: one that goes on for longer cools down later
            fresh = self.loop.state_dict()
            self.loop.load_state_dict({**saved, "end": fresh["end"], "cooling": fresh["cooling"]})

    def _plan(self, *_given: Any) -> dict[str, Any]:
        """The rule of the loop and the length of the run: here the framework decides the rate."""
        return {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint of the framework holds for `begin`; empty before the training."""
        return {} if self.loop is None else self.loop.state_dict()

    def judge(self, loss: Tensor, optimizer: Any, scaler: Any) -> bool:
        """Decide about the update whose gradients are there, unscaled.

        Parameters
        ----------
        loss : Tensor
        optimizer : Optimizer
            As the framework prepared it.
        scaler : GradScaler or None
            What leaves a batch out by itself where its scale was too high for float16. That is no fault of the run.

        Returns
        -------
        bool
            Whether there is an update; if not, the gradients are gone.
        """
        assert self.loop is not None
        self.to_peak(optimizer)
        if scaler is not None and bool(loss.isfinite()):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            self._overflows = 0 if math.isfinite(gradient_norm(parameters)) else self._overflows + 1
            if 0 < self._overflows <= OVERFLOWS:
                return True
        return self.loop.observe(loss)

    def to_peak(self, optimizer: Any) -> None:
        """What a scheduler did is left as it is: its rates are the run's."""


class Piloting(Guarding):
    """The same with a rule for the rate, from a rehearsal when the training begins.

    Parameters
    ----------
    total_steps : int, optional
        Updates of the run; by default as many as the framework says.
    **settings
        As in `Guarding`.

    Attributes
    ----------
    said : str
        What the rehearsal chose.

    Raises
    ------
    InvalidInput
        From `begin`: if the length of the run is not known, or the rehearsal finds no rate.
    """

    def __init__(self, total_steps: int | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self._total = total_steps
        self._rate, self._warmup = math.nan, 0
        self.said = ""

    def _plan(self, *given: Any) -> dict[str, Any]:
        """A warm-up to the rate of the rehearsal, a hold, a cool-down."""
        model, optimizer, loss, data, total, done, parts, saved = given
        total = self._total or total
        if not 0 < total < math.inf:
            raise InvalidInput("the length of the run is not known; give PilotCallback(total_steps=...)")
        self.to_peak(optimizer)
        if saved:  # the rate of this run is known: a rehearsal from here would choose another
            self._rate, self._warmup, self.said = (saved[name] for name in ("rate", "warmup", "said"))
        else:
            total = max(int(total) - done, 1)
            self._rate, self._warmup, self.said = rehearsed(model, loss, data, unwrap(optimizer), total, parts)
        return {"rule": warmed_up(self._rate, self._warmup), "total_steps": int(total)}

    def state(self) -> dict[str, Any]:
        """The same with what the rehearsal chose."""
        return {**super().state(), "rate": self._rate, "warmup": self._warmup, "said": self.said}

    def to_peak(self, optimizer: Any) -> None:
        """Undo what a scheduler did: each group at the rate that it was given; its schedule counts for nothing."""
        for group in optimizer.param_groups:
            group["lr"] = group.get("initial_lr", group["lr"])
