"""The interface of a step rule: an observation in, a decision and the next state out.

A rule never sees an array. At each point the driver passes it an `Observation`; the rule returns a `Decision` and its
next state. The same rule therefore drives a NumPy problem and a torch optimizer, is tested without either, and is saved
as plain JSON.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from surefoot.errors import InvalidInput
from surefoot.records import dump, load


class Observation(Protocol):
    """The driver's measurements at the current point x; every value a float unless it says otherwise.

    A driver computes each value on first access, so a rule pays only for what it reads; it must list in `Rule.needs`
    what it reads beyond `iteration` and `step`. The previous point x- is the last *accepted* one, and s = x - x- the
    move that led here. Values that need x- are nan at the first point. Non-finite values are passed on as they are.

    No driver supplies every value: one that cannot measure what a rule needs refuses the rule. The values after
    `curvature` exist in training runs alone (`surefoot.training`). There g and H are of the present batch, which had no
    part in the move s, and with several processes each number is the mean over all of them, the same on each.

    Examples
    --------
    Any object with the values that a rule reads will do, as in a test of the rule:

    >>> from types import SimpleNamespace
    >>> from surefoot.rules import Polyak
    >>> rule = Polyak(optimum=0.0)
    >>> rule.update(rule.init(), SimpleNamespace(step=float("nan"), loss=2.0, gradient_norm=2.0))[0].step  # 2/2^2
    0.5
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

    @property
    def arrival_curvature(self) -> float:
        """d-'H(x)d-, d- the direction that led here, not normalised; costs about three gradients."""
        ...

    @property
    def limit(self) -> float:
        """The optimizer's linear stability limit, from its preconditioned Hessian; costs several products."""
        ...

    @property
    def reach(self) -> float:
        """The rate to begin the first trials around.

        argmin over r of the batch's loss at x + r d, on a grid, divided by how far momentum carries a gradient in the
        long run (10 for heavy ball at 0.9). nan where no r lowers the loss. Costs some fifteen forward passes.
        """
        ...

    @property
    def losses(self) -> tuple[float, ...]:
        """The losses of this batch, one for each copy of the run; inf where a copy's output collapsed to a constant."""
        ...

    @property
    def remaining(self) -> float:
        """1 until the cool-down, then the share of it that is left, down to 1/its length at the last update."""
        ...

    @property
    def until_cooldown(self) -> float:
        """Updates before the cool-down begins; inf if unknown."""
        ...

    @property
    def factor(self) -> float:
        """The factor that rules asked before this one put on the rate: below 1 while a brake is on."""
        ...

    @property
    def rescues(self) -> int:
        """Number of returns to an earlier state that were blamed on the rate."""
        ...

    @property
    def sound(self) -> bool:
        """Whether parameters, buffers and the optimizer's state are all finite. Reads all of them."""
        ...

    @property
    def output_variation(self) -> float:
        """Variation of the model's output over the batch, relative to its largest so far; nan if not measured."""
        ...

    @property
    def buffer_change(self) -> float:
        """Size of the batch's change of the model's buffers (running statistics); 0 if there are none."""
        ...

    @property
    def kept_loss(self) -> float:
        """The loss of this batch at the state that a return would go back to; inf if not finite, nan if unknown.

        Costs a forward and a backward pass and two copies of the state.
        """
        ...

    @property
    def kept_gradient_norm(self) -> float:
        """The gradient norm of this batch there, likewise."""
        ...

    @property
    def outside(self) -> bool:
        """Whether the loss also depends on parameters that are trained elsewhere, as a generator's on its critic's.

        Then an earlier state with a lower loss may only be one that the others have not adapted to. Costs a forward
        pass.
        """
        ...

    @property
    def kept_limit(self) -> float:
        """`limit` at the state that a return would go back to; nan if unknown."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A rule's answer: the next step, and whether the current point is accepted.

    Parameters
    ----------
    step : float
        Step to take next, finite and >= 0: from here if `accept`, else from the last accepted point.
    accept : bool
        Whether the current point is kept; if not, the driver goes back to the last accepted one.
    restart : bool
        Whether to drop momentum and other memory of the method.
    reason : str
        Reason in words; empty for none.
    action : "", "skip", "back" or "stop"
        Action of a training run if the point is not accepted: "" to undo the last update, else leave this batch out,
        return to the last good state, or give up.
    kind : str
        Kind of event in a word or two, to filter by; empty for none.
    keep : bool
        Whether this state may be kept for later returns.
    copies : tuple of (int, float)
        Continue the run in several copies that all see the same batches: (the copy that each continues, its rate), the
        one that stands for the run first. Empty: go on with the first alone.
    look_back : bool
        Whether the rule will measure along this update from the next point; keeping the parameters costs a copy.
    limit : float
        Largest step that the rule considers stable; nan if it does not know.
    noise : float
        The rule's measure of the gradient's noise; nan if it has none.

    Raises
    ------
    InvalidInput
        If the step is negative or not finite.

    Examples
    --------
    >>> from surefoot.rules import Decision
    >>> Decision(step=0.1).accept
    True
    >>> again = Decision.undo(0.05, "the loss grew")
    >>> again.accept, again.restart, again.reason
    (False, True, 'the loss grew')
    """

    step: float
    accept: bool = True
    restart: bool = False
    reason: str = ""
    action: Literal["", "skip", "back", "stop"] = ""
    kind: str = ""
    keep: bool = True
    copies: tuple[tuple[int, float], ...] = ()
    look_back: bool = True
    limit: float = math.nan
    noise: float = math.nan

    def __post_init__(self) -> None:
        # a number's own type first: this is made at every step of a run
        if not isinstance(self.step, float | int) or not 0 <= self.step < math.inf:
            raise InvalidInput(f"a rule must answer with a finite step >= 0; got {self.step!r}; fix its update")

    @classmethod
    def undo(cls, step: float, reason: str) -> "Decision":
        """Go back to the last accepted point and take another step from there, without momentum."""
        return cls(step=step, accept=False, restart=True, reason=reason)


class Rule(ABC):
    """A step rule: a frozen configuration with pure functions `init` and `update`.

    The state is a frozen dataclass of numbers, strings, booleans, None, tuples of those and nested states,
    and keeps its shape: what is a nested state in `init()` stays one of the same class.

    Examples
    --------
    >>> from surefoot.problems import Quadratic
    >>> from surefoot.rules import Decision, Rule
    >>> from surefoot.solvers import descend
    >>> class Halving(Rule):
    ...     def init(self):
    ...         return ()
    ...     def update(self, state, observation):
    ...         return Decision(step=0.5**observation.iteration), state
    >>> descend(Quadratic([[0.5]], [1.0]), rule=Halving(), steps=3).trace.step[1:]
    array([1.  , 0.5 , 0.25])
    """

    # Names of the `Observation` values that it reads; a driver that cannot supply one refuses at construction.
    needs: frozenset[str] = frozenset()

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapper(Rule):
    """A rule that changes another rule's decisions; its state holds the other's."""

    rule: Rule
    # Names of the values that the wrapper itself reads.
    reads: ClassVar[frozenset[str]] = frozenset()

    @property
    def needs(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The values that the rule and the wrapper read."""
        return self.rule.needs | self.reads
