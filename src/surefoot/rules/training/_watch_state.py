"""What a watch is shown, what it answers and what it remembers."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from surefoot.rules._base import Decision
from surefoot.rules.wrappers.brake import BrakeState

__all__ = ["Action", "Sight", "Verdict", "WatchState"]

Action = Literal["go", "skip", "back", "stop"]


class Sight(Protocol):
    """What the driver saw at a step; a subset of `Observation`, and two things only training has.

    `sound` may be dear, and is asked for last.
    """

    @property
    def loss(self) -> float:
        """The mini-batch's loss."""
        ...

    @property
    def gradient_norm(self) -> float:
        """The norm of its gradient."""
        ...

    @property
    def sound(self) -> bool:
        """Whether parameters, buffers and the optimizer's state are all finite."""
        ...

    @property
    def hearing(self) -> float:
        """How much the model's answers vary with its input, over the most they did; nan where nobody listened."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Decision):
    """A decision of `Watch`: `step` is the factor on the rate, `accept` whether this update is taken.

    Parameters
    ----------
    action : "go", "skip", "back" or "stop"
        Update; leave this batch out; return to the last good state; give up.
    kind : str
        Which sense spoke; empty for none.
    good : bool
        Whether nothing speaks against keeping this state for later.
    adopted : bool
        Whether what looked wrong was taken for a change of the data.
    """

    action: Action = "go"
    kind: str = ""
    good: bool = True
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class WatchState:
    """What the watch remembers.

    Parameters
    ----------
    brake : BrakeState
        Its factor is that on the rate.
    count : int
        Updates accepted since the averages began.
    level, spread, typical : float
        Mean of the loss, its largest deviation of late, its typical one.
    peak : float
        Largest gradient norm of late.
    first, best, scale : float
        First loss, least level, the typical deviation then.
    lost : float
        Steps in a row above lost ground, each counted as often as it is above it.
    still : int
        Steps in a row without a gradient.
    doubts : int
        Batches left out in a row.
    rescues : int
        Returns since the rate was last fully restored and proved.
    since : int
        Updates since the last return.
    wait : int
        Steps until the factor or its ceiling may grow again.
    ceiling : float
        Where the factor's growth pauses: half of what last failed, then twice as much after each wait.
    """

    brake: BrakeState
    count: int = 0
    level: float = math.nan
    spread: float = math.nan
    typical: float = math.nan
    peak: float = math.nan
    first: float = math.nan
    best: float = math.nan
    scale: float = math.nan
    lost: float = 0.0
    still: int = 0
    deaf: int = 0
    doubts: int = 0
    rescues: int = 0
    since: int = 0
    wait: int = 0
    ceiling: float = 1.0
