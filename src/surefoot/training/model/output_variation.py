"""Whether a model's output still depends on its input: the sensor for the failures that no NaN announces."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.training.model.trees import leaves

__all__ = ["COLLAPSED", "OutputVariation"]

# After a short run, an output that varies over a batch by less than this part of what it did, and of its size, is a
# constant. By convention; a run that learns keeps most of its variation.
COLLAPSED = 0.03
# Of more numbers an output than these a sample is measured: the logits of a large vocabulary must not be copied.
MOST = 1 << 16


class OutputVariation:
    """Measures how much a model's output varies over a batch, when asked to.

        r = s / max(largest s so far, m),    s = ||std over the batch of the output||,  m = ||mean over the batch||

    Most runs that fail quietly end at r = 0: every unit of a layer dead, or saturated, the output a constant,
    its last bias at the best constant predictor. A model that still learns lowers s below what it was (a wild
    start) or below m (targets far from 0), but hardly far below both. A heuristic; says nothing for batches of one
    or outputs without a batch dimension.

    Parameters
    ----------
    model : Module
        A hook is on it only during the one forward pass that is measured.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._handle: Any = None
        self._variation: Tensor | None = None
        self.largest = 0.0

    def arm(self) -> None:
        """Measure the next forward pass."""
        if self._handle is None:
            self._handle = self._model.register_forward_hook(self._measure)

    def disarm(self) -> None:
        """Measure no more."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def read(self) -> tuple[float, float]:
        """Spread s and size m of the output since `arm`, nan if nothing was measured; one transfer from the device."""
        found = self.take()
        if found is None:
            return math.nan, math.nan
        spread, size = found.tolist()
        return spread, size

    def take(self) -> Tensor | None:
        """The same on the device; None if nothing was measured."""
        self.disarm()
        found, self._variation = self._variation, None
        return found

    def ratio(self, spread: float, size: float) -> float:
        """The ratio r of what was read; nan if that is not finite."""
        if not spread + size < math.inf:
            return math.nan
        self.largest = max(self.largest, spread)
        return max(spread / self.largest, spread / size if size else 1.0) if self.largest else 1.0

    def forget(self) -> None:
        """After a return: what was measured of the state that is gone."""
        self.disarm()
        self._variation = None

    def _measure(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        outputs = [t for t in leaves(output) if isinstance(t, Tensor) and t.is_floating_point() and t.ndim]
        if not outputs or outputs[0].shape[0] < 2:
            return
        part = outputs[0].detach().flatten(1) if outputs[0].ndim > 1 else outputs[0].detach()[:, None]
        part = part[:, :: 1 + part.shape[1] // MOST]
        if part.dtype in (torch.float16, torch.bfloat16):
            part = part.float()
        mean = part.mean(0)
        # the same as std(0), whose one pass over strided columns takes many times as long
        spread = torch.linalg.vector_norm(part - mean) / (part.shape[0] - 1) ** 0.5
        self._variation = torch.stack([spread, torch.linalg.vector_norm(mean)])
