"""A run in several copies that see the same batches, each at its own rate: what trials of rates are made of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.rules._watch import CONFIRMED, DEAF
from surefoot.training._collapse import Listener
from surefoot.training._sandbox import random_state_kept
from surefoot.training._snapshot import Snapshot, Subject

__all__ = ["Lanes"]


@dataclass(slots=True)
class Lane:
    """A copy of the run.

    Parameters
    ----------
    snapshot : Snapshot
        Its state.
    rate : float
    listener : Listener
        Whether its model still listens to its input.
    deaf : int
        Batches in a row to which it did not.
    gradients, buffers : list of Tensor or None
        What the batch at hand made of them; None between batches.
    loss : float
        Of the batch at hand; a sum until all of its parts are there.
    """

    snapshot: Snapshot
    rate: float
    listener: Listener
    deaf: int = 0
    gradients: list[Tensor | None] | None = None
    buffers: list[Tensor] | None = None
    loss: float = 0.0


class Lanes:
    """Several copies of model and optimizers in turn on the same modules.

    Parameters
    ----------
    model : Module
    optimizers : sequence of Optimizer
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self._model, self._optimizers = model, tuple(optimizers)
        self._subject = Subject(model, self._optimizers)
        self._parameters = [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
        self.lanes: list[Lane] = []

    def __len__(self) -> int:
        return len(self.lanes)

    @property
    def losses(self) -> tuple[float, ...]:
        """Of the batch at hand; infinite where the model has stopped listening."""
        return tuple(math.inf if lane.deaf >= CONFIRMED else lane.loss for lane in self.lanes)

    def enter(self, loss: float, rate: float, heard: float) -> None:
        """One lane, the run as it is now: gradients are there, no update made yet."""
        gradients = [p.grad for p in self._parameters]
        snapshot = self._subject.capture(0)
        self.lanes = [Lane(snapshot, rate, self._listener(heard), gradients=gradients, loss=loss)]

    def sense(self, evaluate: Callable[[], float], fresh: bool) -> float:
        """Loss and gradient of a batch, or of a part of one, in every lane, with the same random numbers.

        Parameters
        ----------
        evaluate : callable
            Runs forward and backward; returns the loss.
        fresh : bool
            Whether this is the batch's first part.

        Returns
        -------
        float
            The first lane's loss.
        """
        value = 0.0
        for lane in reversed(self.lanes):
            self._subject.restore(lane.snapshot)
            self._load(None if fresh else lane)
            lane.listener.arm()
            # the first lane comes last and leaves the random states where a run without trials would
            if lane is self.lanes[0]:
                value = evaluate()
            else:
                with random_state_kept():
                    value = evaluate()
            lane.deaf = lane.deaf + 1 if lane.listener.heard() < DEAF else 0
            lane.loss = value if fresh else lane.loss + value
            lane.gradients = [p.grad for p in self._parameters]
            lane.buffers = [buffer.detach().clone() for buffer in self._model.buffers()]
        return value

    def advance(self, plan: Sequence[tuple[int, float]], update: Callable[[float], None]) -> None:
        """An update in every lane of the plan; the first of them is left standing.

        Parameters
        ----------
        plan : sequence of (int, float)
            The lane that each continues, and its rate.
        update : callable
            Makes the update at a rate from the gradients that are there.
        """
        parents, heirs = self.lanes, [parent for parent, _ in plan]
        lanes: list[Lane] = []
        for i, (parent, rate) in reversed(list(enumerate(plan))):
            source = parents[parent]
            self._subject.restore(source.snapshot)
            # an optimizer or clipping may change gradients in place
            shared = heirs.index(parent) != i
            self._load(source, copies=shared)
            update(rate)
            # the last to continue a lane may have its memory
            spare = None if shared else source.snapshot
            listener = self._listener(source.listener.largest)
            lanes.append(Lane(self._subject.capture(0, into=spare), rate, listener, source.deaf))
        self.lanes = lanes[::-1]
        if len(plan) == 1:
            self.lanes = []

    def forget(self) -> None:
        """Leave the batch out: every lane as it was before it."""
        for lane in self.lanes:
            lane.gradients, lane.buffers = None, None
        if self.lanes:
            self._subject.restore(self.lanes[0].snapshot)
        self._load(None)

    def state_dict(self) -> list[dict[str, Any]]:
        """Between batches: plain values and tensors."""
        return [
            {
                "snapshot": _copied(lane.snapshot.plain()),
                "rate": lane.rate,
                "heard": lane.listener.largest,
                "deaf": lane.deaf,
            }
            for lane in self.lanes
        ]

    def load_state_dict(self, data: Sequence[dict[str, Any]]) -> None:
        """The inverse of `state_dict`."""
        self.lanes = []
        for saved in data:
            snapshot = Snapshot.from_plain(_copied(saved["snapshot"]))
            self.lanes.append(Lane(snapshot, saved["rate"], self._listener(saved["heard"]), saved["deaf"]))

    def _listener(self, heard: float) -> Listener:
        listener = Listener(self._model)
        listener.largest = heard
        return listener

    def _load(self, lane: Lane | None, copies: bool = False) -> None:
        """A lane's gradients, and its buffers after the batch; no gradients for None."""
        gradients = None if lane is None else lane.gradients
        for i, p in enumerate(self._parameters):
            g = None if gradients is None else gradients[i]
            p.grad = g.clone() if g is not None and copies else g
        if lane is not None and lane.buffers is not None:
            with torch.no_grad():
                for buffer, value in zip(self._model.buffers(), lane.buffers, strict=True):
                    buffer.copy_(value)


def _copied(plain: dict[str, Any]) -> dict[str, Any]:
    """The same values in tensors of their own: the lanes go on writing into theirs."""
    return {**plain, "flats": [flat.clone() for flat in plain["flats"]]}
