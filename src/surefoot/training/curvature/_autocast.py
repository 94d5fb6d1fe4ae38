"""Running a model below the precision of its parameters, and the error that it makes."""

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from surefoot.training.curvature.operator import CurvatureOperator

# The error of a product is a mean over samples, of which one figure is shown: more samples would not change it. By
# convention.
SAMPLES = 64


@contextmanager
def autocast_to(dtype: torch.dtype | None, model: nn.Module) -> Generator[None]:
    """Autocast on the model's device; nothing for None."""
    with nullcontext() if dtype is None else torch.autocast(next(model.parameters()).device.type, dtype=dtype):
        yield


def autocast_error(operator: "CurvatureOperator") -> str:
    """The error of one product under autocast, in words, against the parameters' precision on at most 64 samples.

    The direction is the gradient's: curvature is large there, so the error is that of the eigenvalues that matter
    rather than that of a random direction, where little is left beside rounding.
    """
    low, full = operator.sampled(SAMPLES), operator.sampled(SAMPLES, full=True)
    space = operator.space
    direction = full.gradient_vector()
    size = space.norm(direction)
    if not size:
        return "autocast not compared: the gradient is 0"
    exact, rounded = full.matvec(direction / size), low.matvec(direction / size)
    error = space.norm(rounded - exact) / max(space.norm(exact), space.tiny)
    name = str(operator.curvature.autocast).removeprefix("torch.")
    return f"{name} products off by {100 * error:.2g}% along the gradient"
