"""Whether a model's output still depends on its input: a sensor for failures without a NaN."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from surefoot.training.model.trees import leaves

__all__ = ["COLLAPSED", "OutputVariation"]

# An output that varies over a batch by less than this share of its largest variation, and of its size, has collapsed to
# a constant. By convention; a run that learns keeps most of its variation.
COLLAPSED = 0.03
# Largest number of an output's entries that is measured, a sample of more: the logits of a large vocabulary must not be
# copied. By convention.
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
        """Stop measuring."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def read(self) -> tuple[float, float]:
        """Spread s and size m of the output since `arm`, nan if nothing was measured; one transfer from the device."""
        measured = self.take()
        if measured is None:
            return math.nan, math.nan
        spread, size = measured.tolist()
        return spread, size

    def take(self) -> Tensor | None:
        """Spread and size on the device; None if nothing was measured."""
        self.disarm()
        measured, self._variation = self._variation, None
        return measured

    def ratio(self, spread: float, size: float) -> float:
        """The ratio r of a spread and a size; nan if they are not finite."""
        if not spread + size < math.inf:
            return math.nan
        self.largest = max(self.largest, spread)
        return max(spread / self.largest, spread / size if size else 1.0) if self.largest else 1.0

    def forget(self) -> None:
        """Drop what was measured: after a return it belongs to a state that is gone."""
        self.take()

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
