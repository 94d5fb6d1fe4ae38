"""How sharp the loss is where a run returned to: measured at the event, never otherwise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import SurefootError, first_line
from surefoot.records import Record
from surefoot.spectra import Bounds, spectrum
from surefoot.training.curvature import hessian
from surefoot.training.optimizers import optimizer_limits

# A diagnosis needs one digit: a dozen products or so.
RTOL = 0.1
FAILURE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpness(Record):
    """The largest curvature at a point and what it means for the rate.

    Parameters
    ----------
    largest : Bounds or None
        On the largest eigenvalue of the batch's Hessian; None where it could not be measured.
    limit : float or None
        The optimizer's linear stability limit there, in units of the first group's rate, negative directions
        left out; None where the optimizer is of no known kind.
    rate : float
        The first group's rate in the update before.
    note : str
        Why something is missing.
    """

    largest: Bounds | None
    limit: float | None
    rate: float
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Rate over limit."""
        return None if self.limit is None or not 0 < self.limit < math.inf else self.rate / self.limit

    def __str__(self) -> str:
        within = "" if self.largest is None else f"sharpness in {self.largest}"
        if self.ratio is not None:
            return f"the step was {self.ratio:.3g} x the stability limit ({within})"
        return within or f"sharpness not measured: {self.note}"


def measure(model: nn.Module, closure: Callable[[], Tensor], optimizer: Optimizer, rate: float) -> Sharpness:
    """The sharpness of the closure's loss at the model's current point.

    Whatever goes wrong (a loss that is not finite or not repeatable, memory) becomes the note: a diagnosis
    must not end a run.
    """
    closed: Any = closure
    largest, limit, note = None, None, ""
    try:
        # the closure has its model and batch inside; the tensor only stands for one batch
        H = hessian(model, lambda _model, _batch: closed(), torch.zeros(1), count=lambda _batch: 1.0)
        largest = spectrum(H, which="largest", rtol=RTOL, failure=FAILURE).largest
        limit = optimizer_limits(H, optimizer, rtol=RTOL, failure=FAILURE).curvature_limit
    except (SurefootError, RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        note = first_line(error)
    return Sharpness(largest=largest, limit=limit, rate=rate, note=note)
