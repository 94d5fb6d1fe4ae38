"""The flip bifurcation at the step 2/f'': a small bounded oscillation follows, or escape."""

import math
from dataclasses import dataclass
from typing import Literal

from surefoot.checks import Finite, Positive, checked
from surefoot.records import Record


@dataclass(frozen=True, slots=True)
class Flip(Record):
    """The loss of stability of a minimum under gradient descent.

    Parameters
    ----------
    step : float
        Step 2/f'' at which it happens.
    coefficient : float
        c = (f'''/f'')^2 - f''''/(3 f''), unit 1/x^2.
    """

    step: float
    coefficient: float

    @property
    def outcome(self) -> Literal["bounded", "escape", "undecided"]:
        """What follows beyond the step: a bounded oscillation, escape, or a matter of higher derivatives."""
        if self.coefficient == 0:
            return "undecided"
        return "bounded" if self.coefficient > 0 else "escape"

    def amplitude(self, step: float) -> float:
        """Half the distance of the two points of the cycle, sqrt((2 step/self.step - 2)/c), to leading order.

        If the outcome is bounded, that of the stable cycle beyond the step; if not, that of the unstable cycle below
        it, which limits the basin of the minimum. NaN on the other side.
        """
        excess = 2 * step / self.step - 2
        if self.coefficient == 0 or excess * self.coefficient < 0:
            return math.nan
        return math.sqrt(excess / self.coefficient)

    def __str__(self) -> str:
        sign, meaning = {
            "bounded": ("positive", "past it a bounded oscillation between two points"),
            "escape": ("negative", "past it the orbit leaves this minimum at once"),
            "undecided": ("zero", "higher derivatives decide what follows"),
        }[self.outcome]
        return f"stable up to the step {self.step:.6g}; {meaning} (3 f'''^2 - f'' f'''' is {sign})"


@checked
def flip(second: Positive, third: Finite, fourth: Finite) -> Flip:
    """How gradient descent on a loss of one variable loses stability at a minimum with given derivatives.

        g(x) = x - eta f'(x),  eta = 2/f'':    c = g''^2/4 + g'''/6 = (f'''/f'')^2 - f''''/(3 f'')

    c > 0, that is 3 f'''^2 - f'' f'''' > 0: beyond 2/f'' a stable cycle of two points, sqrt((eta f'' - 2)/c) on each
    side, to leading order. c < 0: none; the orbit leaves. A *local* statement, from the normal form of a period
    doubling (Kuznetsov 2004, section 4.5) with g'' = -eta f''', g''' = -eta f''''.

    Parameters
    ----------
    second, third, fourth : float
        Derivatives of the loss at the minimum; second > 0.

    Returns
    -------
    Flip

    Raises
    ------
    InvalidInput
        If they are not finite, or second is not positive.

    Examples
    --------
    >>> from surefoot.dynamics import flip
    >>> print(flip(1.0, -2.0, 0.0))
    stable up to the step 2; past it a bounded oscillation between two points (3 f'''^2 - f'' f'''' is positive)
    >>> print(flip(1.0, 0.0, 1.0).outcome)
    escape
    """
    ratio = third / second
    return Flip(2 / second, ratio * ratio - fourth / (3 * second))
