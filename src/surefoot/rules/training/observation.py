"""What a training run shows a rule, and what the rule may answer beyond a step."""

import math
from dataclasses import dataclass
from typing import Protocol

from surefoot.rules._base import Decision

__all__ = ["Course", "Outlook"]


class Outlook(Protocol):
    """What `surefoot.training.Pilot` senses at an update: some of `Observation`, and things only training has.

    u is the last update per unit of rate, u = (x - x-)/rate, so the optimizer's own direction with its momentum and
    preconditioner inside; g and H are of the present batch, which had no part in u.
    """

    @property
    def iteration(self) -> int:
        """Updates so far."""
        ...

    @property
    def step(self) -> float:
        """The rate of the last update; nan before the first."""
        ...

    @property
    def loss(self) -> float:
        """Of this batch."""
        ...

    @property
    def gradient_norm(self) -> float:
        """|g|."""
        ...

    @property
    def direction_norm(self) -> float:
        """|v|, v the update about to be made per unit of rate. Costs nothing beside copies of the parameters."""
        ...

    @property
    def slope(self) -> float:
        """<g, v>."""
        ...

    @property
    def curvature(self) -> float:
        """v'Hv/v'v; costs about three gradients."""
        ...

    @property
    def reach(self) -> float:
        """The rate to begin the first trials around.

        argmin over r of the batch's loss at x + r v, on a grid, divided by how far momentum carries a gradient in the
        long run (10 for heavy ball at 0.9). nan where no r lowers the loss. Costs some fifteen forward passes.
        """
        ...

    @property
    def losses(self) -> tuple[float, ...]:
        """Of this batch, for each lane; infinite where a lane's model answers the same whatever it is asked."""
        ...

    @property
    def until_cooldown(self) -> float:
        """Batches before the cool-down begins; inf where nobody knows."""
        ...

    @property
    def displacement(self) -> float:
        """|x - x-|."""
        ...

    @property
    def alignment(self) -> float:
        """<s, Hs>, s = x - x-; costs about three gradients; nan likewise."""
        ...

    @property
    def arrival_slope(self) -> float:
        """<g, u>; nan where there is no update to look along."""
        ...

    @property
    def arrival_curvature(self) -> float:
        """u'Hu; costs about three gradients; nan likewise."""
        ...

    @property
    def limit(self) -> float:
        """The optimizer's linear stability limit here, from its preconditioned Hessian; costs several products."""
        ...

    @property
    def remaining(self) -> float:
        """1 until the cool-down, then the part of it that is left, down to 1/its length at the last update."""
        ...

    @property
    def rescues(self) -> int:
        """How often the guard has returned to an earlier state."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Course(Decision):
    """A decision for a training run: `step` is the rate.

    Parameters
    ----------
    limit : float
        The largest rate that the rule takes for stable; nan for no opinion.
    noise : float
        What part of the batch's gradient it takes for noise, in its own measure; nan for no opinion.
    watch : bool
        Whether it will want to look along this update from the next point. Keeping the parameters costs a copy.
    lanes : tuple of (int, float)
        The run in several copies, which all see the same batches: (the lane it continues, its rate) for each, the one
        that stands for the run first. Empty: go on with the first lane alone.
    """

    limit: float = math.nan
    noise: float = math.nan
    watch: bool = True
    lanes: tuple[tuple[int, float], ...] = ()
