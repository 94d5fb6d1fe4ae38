"""The contract of a step rule: numbers in, a decision out, all state in between explicit.

A rule never sees an array. At each point the driver hands it an `Observation`; the rule answers with a
`Decision` and its next state. The same rule therefore drives a NumPy problem and a torch optimizer, is tested
without either, and checkpoints as plain JSON.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from surefoot.errors import InvalidInput
from surefoot.records import dump, load

__all__ = ["Decision", "Observation", "Rule"]


class Observation(Protocol):
    """What the driver's sensors saw on arriving at the current point x; every value a float.

    A driver computes each on first access, so a rule pays only for what it reads, and must list in
    `Rule.needs` what it reads beyond `iteration` and `step`. The previous point x- is the last *accepted*
    one, and s = x - x- the move that led here. Values that need x- are nan at the first point. Non-finite
    values are passed on as they are.
    """

    @property
    def iteration(self) -> int:
        """Number of accepted points before this one: 0 at the start, 1 at every trial that follows it."""
        ...

    @property
    def step(self) -> float:
        """The step that led here; nan at the first point."""
        ...

    @property
    def loss(self) -> float:
        """f(x)."""
        ...

    @property
    def gradient_norm(self) -> float:
        """|g(x)|."""
        ...

    @property
    def direction_norm(self) -> float:
        """|d|, d the direction that the driver will move in; |g(x)| for plain descent."""
        ...

    @property
    def slope(self) -> float:
        """<g(x), d> along the direction d that the driver will move in, x <- x + step d; -|g|^2 for plain descent."""
        ...

    @property
    def previous_slope(self) -> float:
        """<g(x-), d->: the slope at x- along the direction d- that led here."""
        ...

    @property
    def arrival_slope(self) -> float:
        """<g(x), d->: the slope here along the direction that led here."""
        ...

    @property
    def displacement(self) -> float:
        """|s|."""
        ...

    @property
    def gradient_change(self) -> float:
        """|g(x) - g(x-)|."""
        ...

    @property
    def alignment(self) -> float:
        """<s, g(x) - g(x-)>: nonnegative where f is convex."""
        ...

    @property
    def curvature(self) -> float:
        """d'Hd/d'd along the direction d to be taken; costs a Hessian product."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do next.

    Parameters
    ----------
    step : float
        Step to take next, finite and >= 0: from here if `accept`, else from the last accepted point (the
        driver's one undo).
    accept : bool
        Whether the current point stands.
    restart : bool
        Whether momentum and other memory of the method is to be dropped.
    reason : str
        Reason, for a person; empty when there is nothing to say.

    Raises
    ------
    InvalidInput
        If the step is negative or not finite: a rule that has no step to offer has to say so otherwise.
    """

    step: float
    accept: bool = True
    restart: bool = False
    reason: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.step < math.inf:
            raise InvalidInput(f"a rule must answer with a finite step >= 0; got {self.step!r}; fix its update")


class Rule(ABC):
    """Decides steps: a frozen configuration with pure `init` and `update`.

    The state is a frozen dataclass of numbers, strings, booleans, None, tuples of those and nested states,
    and keeps its shape: what is a nested state in `init()` stays one of the same class.
    """

    @property
    def needs(self) -> frozenset[str]:
        """Names of the `Observation` values it reads; a driver that cannot supply one refuses at construction."""
        return frozenset()

    @abstractmethod
    def init(self) -> Any:
        """The state before the first observation."""

    @abstractmethod
    def update(self, state: Any, observation: Observation) -> tuple[Decision, Any]:
        """The decision at the point just reached, and the next state."""

    def dump(self, state: Any) -> dict[str, Any]:
        """The state as plain JSON values; floats survive exactly, infinities and NaN too."""
        return dump(state)

    def load(self, data: Mapping[str, Any]) -> Any:
        """The inverse of `dump`.

        Raises
        ------
        InvalidInput
            If the data are not of a state of this rule.
        """
        return load(data, self.init())
