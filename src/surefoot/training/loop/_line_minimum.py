"""How far the first update may go: the loss of one batch along it, forward passes only."""

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from surefoot.errors import InvalidInput
from surefoot.training.model.agreement import local, norm_of
from surefoot.training.model.sandbox import keep_random_state, set_buffers_aside

# The first look: this part of the parameters' own length.
SMALL = 1e-3
# Between looks, and once between the best one's neighbours.
COARSE, FINE = 10**0.5, 10**0.25
# Fifteen decades.
LOOKS = 30
# A loss that has fallen by so many times itself at their end, and is falling still, has no minimum.
FALLEN = 1e6

_copy: Any = cast(Any, torch)._foreach_copy_
_add: Any = cast(Any, torch)._foreach_add


def line_minimum(
    model: nn.Module, closure: Callable[[], Tensor], parameters: Sequence[Tensor], direction: Sequence[Tensor]
) -> float:
    """The r > 0 that makes the closure's loss least at x + r d, within a factor 10^(1/4), on the near slope.

    Parameters
    ----------
    model : Module
    closure : callable
        () -> the loss.
    parameters, direction : sequence of Tensor
        x and d.

    Returns
    -------
    float
        nan if no r lowers the loss by more than its resolution. Parameters, buffers and random states are as before;
        all looks draw the same random numbers, so a dropout mask is the same at x and beyond.

    Raises
    ------
    InvalidInput
        If the loss falls without end.
    """
    parts = [local(p.detach()) for p in parameters]
    start = [part.clone() for part in parts]
    length, unit = norm_of(start), norm_of(list(direction))
    if not 0 < unit < math.inf:
        return math.nan

    def at(r: float) -> float:
        with torch.no_grad(), keep_random_state(), set_buffers_aside(model):
            _copy(parts, _add(start, list(direction), alpha=r))
            value = float(closure())
        return value if math.isfinite(value) else math.inf

    try:
        return _search(at, SMALL * (length or 1.0) / unit)
    finally:
        with torch.no_grad():
            _copy(parts, start)


def _search(at: Callable[[float], float], r: float) -> float:
    loss, value = at(0.0), at(r)
    # equal is within the loss's resolution (bfloat16 has three digits): too near to tell, so further out
    up = value <= loss
    best = (value, r)
    for _ in range(LOOKS):
        r *= COARSE if up else 1 / COARSE
        value = at(r)
        if value < best[0] or (up and value == best[0] == loss):
            best = (value, r)
        elif up or best[0] < loss:
            break
    else:
        if up and best[0] < loss - FALLEN * abs(loss):
            raise InvalidInput(
                f"along the first update the curvature is 0 and the loss falls without end, to {best[0]:.3g} at "
                f"{best[1]:.3g} times it: it has no minimum; check its sign"
            )
    if not best[0] < loss:
        return math.nan
    return min(best, *((at(best[1] * factor), best[1] * factor) for factor in (FINE, 1 / FINE)))[1]
