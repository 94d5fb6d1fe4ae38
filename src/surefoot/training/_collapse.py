"""Whether a model still listens to its input: the sensor for the failures that no NaN announces."""

from typing import Any

import torch
from torch import Tensor, nn

from surefoot.training._trees import leaves

__all__ = ["Listener"]

# Outputs that vary by less than this part of their size are the same answer, to single precision.
DEAF = 1e-5
# Only a model that once varied by this much can be said to have stopped.
HEARD = 1e-3
# Batches in a row before it is believed.
CONFIRMED = 3


class Listener:
    """Measures how much a model's output varies over a batch, when asked to.

        r = ||std over the batch of the output|| / (||mean over the batch|| + largest std so far)

    Most runs that fail quietly end at r = 0: every unit of a layer dead, or saturated, the output a constant,
    its last bias at the best constant predictor. A healthy model at a constant loss (a slow start) keeps r of
    1e-3 and more. A heuristic; says nothing for batches of one or outputs without a batch dimension.

    Parameters
    ----------
    model : Module
        A hook is on it only during the one forward pass that is listened to.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handle: Any = None
        self._variation: Tensor | None = None
        self.largest = 0.0
        self.healthiest = 0.0
        self.deaf = 0

    def arm(self) -> None:
        """Listen to the next forward pass."""
        if self._handle is None:
            self._handle = self._model.register_forward_hook(self._heard)

    def disarm(self) -> None:
        """Listen no more."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    @property
    def suspicious(self) -> bool:
        """Whether the last answer heard was a constant."""
        return self.deaf > 0

    @property
    def collapsed(self) -> bool:
        """Whether the last answers were."""
        return self.deaf >= CONFIRMED

    def conclude(self) -> None:
        """Draw the conclusion from what was heard since `arm`; one transfer from the device."""
        self.disarm()
        if self._variation is None:
            return
        spread, size = self._variation.tolist()
        self._variation = None
        if not spread + size < float("inf"):
            return
        self.largest = max(self.largest, spread)
        ratio = spread / (size + self.largest) if size + self.largest > 0 else 0.0
        self.healthiest = max(self.healthiest, ratio)
        self.deaf = self.deaf + 1 if ratio < DEAF and self.healthiest > HEARD else 0

    def forget(self) -> None:
        """After a return: what was heard of the state that is gone."""
        self.disarm()
        self._variation, self.deaf = None, 0

    def _heard(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        answers = [t for t in leaves(output) if isinstance(t, Tensor) and t.is_floating_point() and t.ndim]
        if not answers or answers[0].shape[0] < 2:
            return
        answer = answers[0].detach().flatten(1) if answers[0].ndim > 1 else answers[0].detach()[:, None]
        if answer.dtype in (torch.float16, torch.bfloat16):
            answer = answer.float()
        spread, size = torch.std_mean(answer, dim=0)
        self._variation = torch.stack([torch.linalg.vector_norm(spread), torch.linalg.vector_norm(size)])
