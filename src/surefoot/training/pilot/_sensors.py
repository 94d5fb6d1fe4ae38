"""What a pilot can sense at an update; each on first access, none leaving a trace."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from surefoot.training.model.agreement import gradient_norm
from surefoot.training.model.sandbox import undisturbed

__all__ = ["AVAILABLE", "Senses", "along", "moved"]

# What a rule may need of a training run; see surefoot.rules.training.observation.Outlook.
AVAILABLE = frozenset({
    "iteration", "step", "loss", "losses", "gradient_norm", "direction_norm", "slope", "curvature", "reach",
    "displacement", "alignment", "arrival_slope", "arrival_curvature", "limit", "remaining", "until_cooldown",
    "rescues",
})  # fmt: skip

_subtract: Any = cast(Any, torch)._foreach_sub
_grad: Any = torch.autograd.grad


class Measuring(Protocol):
    """What senses ask at most once each."""

    def look(self, direction: Sequence[Tensor]) -> tuple[float, float]:
        """Slope and curvature of this batch along a direction."""
        ...

    def departure(self) -> list[Tensor]:
        """The update about to be made, per unit of rate."""
        ...

    def reach(self) -> float:
        """Where the first trials begin."""
        ...

    def limit(self) -> float:
        """The stability limit."""
        ...


@dataclass(slots=True, kw_only=True)
class Senses:
    """An `Outlook` at one update: gradients are there, the optimizer has not stepped.

    Parameters
    ----------
    iteration, step, loss, losses, remaining, until_cooldown, rescues
        As in `Outlook`.
    parameters : sequence of Tensor
        Those that the optimizer trains.
    update : list of Tensor or None
        The move x - x-; None where x- was not kept.
    instruments : Measuring
    """

    iteration: int
    step: float
    loss: float
    losses: tuple[float, ...]
    remaining: float
    until_cooldown: float
    rescues: int
    parameters: Sequence[Tensor]
    update: list[Tensor] | None
    instruments: Measuring
    _seen: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def gradient_norm(self) -> float:
        """See `Outlook`, as the others."""
        return self._once("gradient_norm", lambda: gradient_norm(self.parameters))

    @property
    def displacement(self) -> float:
        """|x - x-|."""
        return math.nan if self.update is None else length(self.update)

    @property
    def alignment(self) -> float:
        """<s, Hs>, s = x - x-: how the gradient of this batch changes along the last move, to first order."""
        return self._arrival[1] if self._arrived else math.nan

    @property
    def arrival_slope(self) -> float:
        """Slope <g, u>."""
        return self._arrival[0] / self.step if self._arrived else math.nan

    @property
    def arrival_curvature(self) -> float:
        """Curvature u'Hu."""
        return self._arrival[1] / self.step**2 if self._arrived else math.nan

    @property
    def direction_norm(self) -> float:
        """|v|."""
        return self._once("direction_norm", lambda: length(self._direction))

    @property
    def slope(self) -> float:
        """<g, v>."""
        return self._departing[0]

    @property
    def curvature(self) -> float:
        """v'Hv/v'v."""
        norm = self.direction_norm
        return self._departing[1] / norm**2 if norm > 0 else math.nan

    @property
    def reach(self) -> float:
        """Where the first trials begin."""
        return self._once("reach", self.instruments.reach)

    @property
    def limit(self) -> float:
        """The stability limit."""
        return self._once("limit", self.instruments.limit)

    @property
    def _arrived(self) -> bool:
        return self.update is not None and self.step > 0

    @property
    def _arrival(self) -> tuple[float, float]:
        return self._once("arrival", lambda: self.instruments.look(self.update or []))

    @property
    def _direction(self) -> list[Tensor]:
        return self._once("direction", self.instruments.departure)

    @property
    def _departing(self) -> tuple[float, float]:
        return self._once("departing", lambda: self.instruments.look(self._direction))

    def _once(self, name: str, sense: Callable[[], Any]) -> Any:
        if name not in self._seen:
            self._seen[name] = sense()
        return self._seen[name]


def length(tensors: Sequence[Tensor]) -> float:
    """The norm of all of them together."""
    return math.sqrt(dot(tensors, tensors))


def dot(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    """<a, b> over all tensors, in single precision at least; one transfer from the device."""
    parts = [(_wide(x) * _wide(y)).sum().to(a[0].device) for x, y in zip(a, b, strict=True)]
    return float(torch.stack(parts).sum().item())


def moved(parameters: Sequence[Tensor], before: Sequence[Tensor]) -> list[Tensor]:
    """The move x - x-."""
    return list(_subtract([p.detach() for p in parameters], list(before)))


def along(
    model: nn.Module, closure: Callable[[], Tensor], parameters: Sequence[Tensor], direction: Sequence[Tensor]
) -> tuple[float, float]:
    """<g, d> and d'Hd of the closure's loss here, by differentiating twice.

    Gradients, buffers and random states are as before; dropout draws whatever comes next.
    """
    with undisturbed(model):
        trained = [(p, d) for p, d in zip(parameters, direction, strict=True) if p.requires_grad]
        first = _grad(closure(), [p for p, _ in trained], create_graph=True, allow_unused=True)
        used = [(g, p, d) for g, (p, d) in zip(first, trained, strict=True) if g is not None]
        if not used:
            return 0.0, 0.0
        slope = torch.stack([(g * d).sum() for g, _, d in used]).sum()
        if not slope.requires_grad:
            return slope.item(), 0.0
        second = _grad(slope, [p for _, p, _ in used], allow_unused=True)
        bent = [(h, d) for h, (_, _, d) in zip(second, used, strict=True) if h is not None]
        return slope.item(), dot([h for h, _ in bent], [d for _, d in bent]) if bent else 0.0


def _wide(tensor: Tensor) -> Tensor:
    tensor = tensor.detach()
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
