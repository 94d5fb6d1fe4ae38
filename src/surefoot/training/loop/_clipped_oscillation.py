"""The sense for a rate above the limit whose divergence a clip hides: the gradients turn back at every update."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

# So many updates in a row must be clipped before directions are looked at: a fast start is clipped too.
CLIPPED = 20
# So many turns in a row: with one parameter each comparison of noise is a coin's toss.
TURNS = 20
# A cosine up to this has turned back; the part of the gradient that does not turn is then below a quarter of it.
TURNED = -0.9
# The mean loss has fallen if by more than this part of itself since counting began.
FALLEN = 0.01
# Not seen for so many updates: the next one is another episode.
EPISODE = 100


@dataclass(frozen=True, slots=True)
class Turns:
    """What was seen: the cap, updates cut in a row, their largest cosine, the last two norms' mean over the cap."""

    cap: float
    clipped: int
    cosine: float
    excess: float


class ClippedOscillation:
    """Whether clipped gradients only turn each other back.

    20 updates in a row above the cap without the mean loss falling by 1%, then 20 more of which each gradient has a
    cosine of at most -0.9 with the one before. Only in the second 20 is anything but numbers read: the gradient,
    of which one copy is kept. *Heuristic*: noise does not do that, but two batches in strict turn do.

    Parameters
    ----------
    cap : float
        Largest gradient norm, positive.
    """

    def __init__(self, cap: float) -> None:
        self.cap = cap
        self._last = -EPISODE
        self._seen = -EPISODE
        self._begin(0.0)

    def see(self, step: int, norm: float, level: float, parameters: Sequence[Tensor]) -> Turns | None:
        """One update that is about to be made; what was seen if it is news.

        Parameters
        ----------
        step : int
            Its number; a gap begins the count anew.
        norm : float
            Norm of the gradient before it was cut; with several processes of the averaged gradient, the same on all.
        level : float
            The mean loss, of all processes.
        parameters : sequence of Tensor
            With their gradients, cut.

        Returns
        -------
        Turns or None
            None too if it was seen less than 100 updates ago.
        """
        if not norm > self.cap:
            self._begin(level)
            return None
        if step != self._last + 1:
            self._begin(level)
        self._last = step
        self._run += 1
        if self._run <= CLIPPED:
            return None
        if self._mark - level > FALLEN * abs(level) or not self._turns_back(norm, parameters):
            self._begin(level)
            return None
        if self._turns < TURNS:
            return None
        news = step - self._seen >= EPISODE
        self._seen = step
        turns = Turns(self.cap, self._run, self._cosine, (norm + self._norm) / (2 * self.cap))
        self._begin(level)
        return turns if news else None

    @property
    def looks(self) -> bool:
        """Whether the next update may be one whose gradient is compared."""
        return self._run >= CLIPPED

    def state_dict(self) -> dict[str, Any]:
        """Plain values; comparing begins anew after loading."""
        return {"last": self._last, "run": self._run, "mark": self._mark, "seen": self._seen}

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self._begin(data["mark"])
        self._last, self._run, self._seen = data["last"], data["run"], data["seen"]

    def _begin(self, level: float) -> None:
        self._run, self._mark = 0, level
        self._turns, self._cosine = 0, -1.0
        self._gradient: Tensor | None = None
        self._norm = self._now = math.nan

    def _turns_back(self, norm: float, parameters: Sequence[Tensor]) -> bool:
        """Whether this gradient turns back the one before; nothing speaks against it if there is none before."""
        before, now = self._gradient, _flat(parameters)
        self._gradient, self._norm, self._now = now, self._now, norm
        if before is None:
            return True
        if before.shape != now.shape:
            return False
        lengths = torch.dot(before, before).sqrt() * torch.dot(now, now).sqrt()
        cosine = (torch.dot(before, now) / lengths).item()
        self._turns, self._cosine = self._turns + 1, max(self._cosine, cosine)
        return cosine <= TURNED


def describe(turns: Turns, level: float, rate: float | None) -> str:
    """For a person; the rate of plain gradient descent, None where something else acts between clip and step."""
    above = "above the limit"
    if rate is not None:
        size = f"peak to peak rate x C = {rate * turns.cap:.4g}"
        above = f"about {turns.excess:.3g} x the limit (mean gradient norm / C), {size}"
    return (
        f"clipped oscillation: every gradient of the last {turns.clipped} updates was cut at C = {turns.cap:.4g}, and "
        f"each of the last {TURNS} turned back the one before (cosine {turns.cosine:.2f} or less); the loss stays near "
        f"{level:.4g}; unless two batches take turns, the rate is {above}; lower the rate"
    )


def plain_rate(optimizers: Sequence[Optimizer], rates: Sequence[float]) -> float | None:
    """The one rate by which gradients become steps; None if there is more to a step than that."""
    plain = all(
        type(optimizer) is SGD and not group["momentum"] and not group["weight_decay"]
        for optimizer in optimizers
        for group in optimizer.param_groups
    )
    return rates[0] if plain and len(set(rates)) == 1 else None


def _flat(parameters: Sequence[Tensor]) -> Tensor:
    """A copy of the gradient as one vector."""
    gradients = [p.grad.detach().to_dense().flatten() for p in parameters if p.grad is not None]
    wide = torch.float64 if any(g.dtype is torch.float64 for g in gradients) else torch.float32
    return torch.cat([g.to(gradients[0].device, wide) for g in gradients])
