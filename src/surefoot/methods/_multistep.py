"""Linear multistep methods: Adams-Bashforth and leapfrog."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any

from surefoot.checks import Range, checked
from surefoot.methods._base import Flow, Method, State
from surefoot.methods._tables import tableau

F = Fraction

# Weights of h F at the current point and the earlier ones (Bashforth, Adams 1883).
WEIGHTS: dict[int, tuple[Fraction, ...]] = {
    1: (F(1),),
    2: (F(3, 2), -F(1, 2)),
    3: (F(23, 12), -F(16, 12), F(5, 12)),
    4: (F(55, 24), -F(59, 24), F(37, 24), -F(9, 24)),
    5: (F(1901, 720), -F(2774, 720), F(2616, 720), -F(1274, 720), F(251, 720)),
}


@checked
@dataclass(frozen=True, slots=True)
class AdamsBashforth(Method):
    """The Adams-Bashforth methods: one evaluation per step, order k from the last k.

        x <- x + h sum_j b_j F_(n-j)        r^k - r^(k-1) - z (b_0 r^(k-1) + ... + b_(k-1))

    Real limits 1, 6/11, 3/10, 90/551 for k = 2..5; on the imaginary axis orders 2 and 5 grow at every step, by y^4/4
    and 95 y^6/288 (Hairer, Norsett, Wanner 1993, section III.1; Hairer, Wanner 1996, section V.1).

    Parameters
    ----------
    steps : int
        k from 1 to 5.

    Raises
    ------
    InvalidInput
        For another number.

    Examples
    --------
    >>> from surefoot.methods import AdamsBashforth
    >>> [AdamsBashforth(k).imaginary_limit > 0 for k in (2, 3, 4, 5)]
    [False, True, True, False]
    """

    steps: Annotated[int, Range("[1, 5]")] = 2

    @property
    def name(self) -> str:
        """``Adams-Bashforth`` with its order."""
        return f"Adams-Bashforth {self.steps}"

    @property
    def memory(self) -> int:
        """The iterate, and h F at the earlier points, latest first."""
        return self.steps

    @property
    def order(self) -> int:
        """The number of steps."""
        return self.steps

    def update(self, state: State, flow: Flow) -> State:
        """One step of (iterate, earlier values of h F)."""
        x, *earlier = state
        values = [flow(x), *earlier]
        for weight, value in zip(WEIGHTS[self.steps], values, strict=True):
            x = x + float(weight) * value
        return (x, *values[:-1])

    def begin(self, x: Any, flow: Flow) -> State:
        """The state with earlier values from Runge-Kutta steps back in time, which are as accurate as the method."""
        values: list[Any] = []
        past = x
        for _ in range(self.steps - 1):
            past = _back(past, flow)
            values.append(flow(past))
        return (x, *values)


@dataclass(frozen=True, slots=True)
class Leapfrog(Method):
    """The two-step midpoint rule: order 2, one evaluation, conservative on the imaginary axis, unstable with any decay.

    x_(n+1) = x_(n-1) + 2 h F(x_n)        r^2 - 2 z r - 1,    stable for z = i y, |y| < 1
    """

    @property
    def name(self) -> str:
        """``leapfrog``."""
        return "leapfrog"

    @property
    def memory(self) -> int:
        """The iterate and the one before."""
        return 2

    @property
    def order(self) -> int:
        """Two."""
        return 2

    def update(self, state: State, flow: Flow) -> State:
        """One step of (iterate, the one before)."""
        x, before = state
        return before + 2 * flow(x), x

    def start(self, x: Any) -> State:
        """The state at rest: both iterates are x."""
        return x, x

    def begin(self, x: Any, flow: Flow) -> State:
        """The state with the iterate before x from a Runge-Kutta step back in time."""
        return x, _back(x, flow)


def _back(x: Any, flow: Flow) -> Any:
    """One step of order 5 back in time: at least the order of every method here."""
    from surefoot.methods._runge_kutta import RungeKutta

    return RungeKutta(tableau("dormand-prince")).update((x,), lambda y: -flow(y))[0]
