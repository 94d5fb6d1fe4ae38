"""A run in several copies that see the same batches, each at its own rate: what trials of rates are made of."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.rules.training.watch import CONFIRMED, DEAF
from surefoot.training.model.output_variation import Listener
from surefoot.training.model.sandbox import random_state_kept

__all__ = ["Lanes"]


@dataclass(slots=True)
class Lane:
    """A copy of the run; not in use while another is on the modules.

    Parameters
    ----------
    tensors : list of Tensor
        Values of parameters and buffers.
    optimizers : list of (state, groups)
        Of each optimizer.
    largest : float
        The most that the model's answer varied.
    deaf : int
        Batches in a row to which it answered the same whatever the input.
    gradients : list of Tensor or None
        Of the batch at hand.
    before : list of Tensor
        The buffers before the batch at hand.
    loss : float
        Of the batch at hand; a sum until all of its parts are there.
    past : tuple of (float, float)
        Loss and gradient norm of each batch so far.
    """

    tensors: list[Tensor]
    optimizers: list[tuple[Any, list[dict[str, Any]]]]
    largest: float
    deaf: int = 0
    gradients: list[Tensor | None] | None = None
    before: list[Tensor] | None = None
    loss: float = 0.0
    past: tuple[tuple[float, float], ...] = ()


class Lanes:
    """Several copies of model and optimizers in turn on the same modules.

    A parameter's value is exchanged by pointing its data elsewhere, so that a change of lanes copies nothing; at the
    end the last lane's values are copied back to where the parameters were.

    Parameters
    ----------
    model : Module
    optimizers : sequence of Optimizer
    """

    def __init__(self, model: nn.Module, optimizers: Sequence[Optimizer]) -> None:
        self._optimizers = tuple(optimizers)
        self._listener = Listener(model)
        self._model = model
        self._home: list[Tensor] = []
        self.lanes: list[Lane] = []
        self.past: tuple[tuple[float, float], ...] = ()

    def __len__(self) -> int:
        return len(self.lanes)

    @property
    def losses(self) -> tuple[float, ...]:
        """Of the batch at hand; infinite where the model has stopped listening."""
        return tuple(math.inf if lane.deaf >= CONFIRMED else lane.loss for lane in self.lanes)

    def enter(self, loss: float, heard: float) -> None:
        """One lane, the run as it is now: gradients are there, no update made yet."""
        self._home = [t.data for t in self._tensors]
        lane = Lane(list(self._home), self._borrowed(), heard, loss=loss)
        lane.gradients = [p.grad for p in self._parameters]
        self.lanes = [lane]

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
        # the first lane comes last and leaves the random states where a run without trials would
        for lane in reversed(self.lanes):
            self._load(lane, None if fresh else lane.gradients)
            if fresh:
                lane.before = [buffer.detach().clone() for buffer in self._model.buffers()]
            self._listener.largest = lane.largest
            self._listener.arm()
            if lane is self.lanes[0]:
                value = evaluate()
            else:
                with random_state_kept():
                    value = evaluate()
            lane.deaf = lane.deaf + 1 if self._listener.heard() < DEAF else 0
            lane.largest = self._listener.largest
            lane.loss = value if fresh else lane.loss + value
            lane.gradients = [p.grad for p in self._parameters]
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
        parents = self.lanes
        first = {parent: i for i, (parent, _) in reversed(list(enumerate(plan)))}
        lanes = [parents[p] if first[p] == i else _copied(parents[p]) for i, (p, _) in enumerate(plan)]
        for lane, (_, rate) in reversed(list(zip(lanes, plan, strict=True))):
            self._load(lane, lane.gradients)
            update(rate)
            lane.optimizers = self._borrowed()
            lane.gradients, lane.before = None, None
        self.lanes = lanes
        if len(lanes) == 1:
            self._leave()

    def forget(self) -> None:
        """Leave the batch out: every lane as it was before it."""
        self._listener.forget()
        for lane in reversed(self.lanes):
            self._load(lane, None)
            if lane.before is not None:
                with torch.no_grad():
                    for buffer, value in zip(self._model.buffers(), lane.before, strict=True):
                        buffer.copy_(value)
            lane.gradients, lane.before = None, None

    def state_dict(self) -> list[dict[str, Any]]:
        """Between batches: plain values and tensors."""
        saved: list[dict[str, Any]] = []
        for lane in reversed(self.lanes):
            self._load(lane, None)
            states = [copy.deepcopy(optimizer.state_dict()) for optimizer in self._optimizers]
            tensors = [t.clone() for t in lane.tensors]
            saved.append({"tensors": tensors, "optimizers": states, "heard": lane.largest, "deaf": lane.deaf})
            saved[-1]["past"] = [list(batch) for batch in lane.past]
        return saved[::-1]

    def load_state_dict(self, data: Sequence[dict[str, Any]]) -> None:
        """The inverse of `state_dict`; model and optimizer have been loaded and are those of the first lane."""
        self.lanes = []
        self._home = [t.data for t in self._tensors]
        for saved in reversed(data):
            values = [
                value.to(home.device, copy=True) for value, home in zip(saved["tensors"], self._home, strict=True)
            ]
            for optimizer, state in zip(self._optimizers, saved["optimizers"], strict=True):
                optimizer.load_state_dict(copy.deepcopy(state))
            past = tuple((loss, norm) for loss, norm in saved["past"])
            self.lanes.insert(0, Lane(values, self._borrowed(), saved["heard"], saved["deaf"], past=past))
        if self.lanes:
            self._load(self.lanes[0], None)

    @property
    def _tensors(self) -> list[Tensor]:
        found = {id(t): t for t in [*self._model.parameters(), *self._parameters, *self._model.buffers()]}
        return list(found.values())

    @property
    def _parameters(self) -> list[Tensor]:
        return [p for optimizer in self._optimizers for group in optimizer.param_groups for p in group["params"]]

    def _borrowed(self) -> list[tuple[Any, list[dict[str, Any]]]]:
        """State and groups of each optimizer, as they are."""
        return [
            (o.state, [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in o.param_groups])
            for o in self._optimizers
        ]

    def _load(self, lane: Lane, gradients: Sequence[Tensor | None] | None) -> None:
        """Put a lane on the modules."""
        for tensor, value in zip(self._tensors, lane.tensors, strict=True):
            tensor.data = value
        for optimizer, (state, groups) in zip(self._optimizers, lane.optimizers, strict=True):
            optimizer.state = state
            for group, entries in zip(optimizer.param_groups, groups, strict=True):
                group.update(entries)
        for i, p in enumerate(self._parameters):
            p.grad = None if gradients is None else gradients[i]

    def _leave(self) -> None:
        """One lane is left: its values go to where the parameters were."""
        with torch.no_grad():
            for tensor, home in zip(self._tensors, self._home, strict=True):
                if tensor.data_ptr() != home.data_ptr():
                    home.copy_(tensor.data)
                tensor.data = home
        self.past = self.lanes[0].past
        self.lanes, self._home = [], []


def _copied(lane: Lane) -> Lane:
    """The same in tensors of its own."""
    gradients = None if lane.gradients is None else [None if g is None else g.clone() for g in lane.gradients]
    optimizers = [(_renewed(state), copy.deepcopy(groups)) for state, groups in lane.optimizers]
    return Lane(
        [t.clone() for t in lane.tensors], optimizers, lane.largest, lane.deaf, gradients, None, lane.loss, lane.past
    )


def _renewed(state: Any) -> Any:
    """An optimizer's state, copied; its keys stay the parameters."""
    fresh = type(state)(state.default_factory) if hasattr(state, "default_factory") else type(state)()
    for key, value in state.items():
        fresh[key] = copy.deepcopy(value)
    return fresh
