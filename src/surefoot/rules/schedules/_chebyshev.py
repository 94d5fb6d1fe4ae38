"""Chebyshev's steps: the best fixed schedule for a quadratic of known ends, in an order that rounding survives."""

import math
from dataclasses import dataclass
from functools import lru_cache

from surefoot.checks import Count, Positive, checked
from surefoot.errors import InvalidInput
from surefoot.rules.schedules._smooth import Schedule

# Largest cycle in Leja's order, which is a little better balanced than the doubled one but takes T^2/2 operations: up
# to here under 1 ms.
LEJA_ONLY = 64


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Chebyshev(Schedule):
    """The steps whose product polynomial is least on [mu, L] (Young 1953).

        1/eta_j = (L + mu)/2 + (L - mu)/2 cos(pi (2j - 1)/(2T)),    j = 1..T
        |x_T - x*| <= |x_0 - x*| / T_T((L + mu)/(L - mu))

    A proved bound for quadratics with curvatures in [mu, L], attained. For other functions it is a heuristic;
    above L it diverges. Single steps exceed 2/L by far, so the error grows and shrinks within a cycle, and in
    sorted order rounding (or overflow) ruins it. The steps are taken in Leja's order, doubled as Lebedev and
    Finogenov (1971) do: no partial product was seen to exceed L/mu. After T steps the cycle starts again.

    Parameters
    ----------
    smallest, largest : float
        mu and L, 0 < mu <= L: bounds on the curvature.
    steps : int
        T >= 1, the length of a cycle. Longer is better in theory; the gain beyond a few times sqrt(L/mu) is
        small.

    Raises
    ------
    InvalidInput
        If smallest > largest.

    Examples
    --------
    >>> from surefoot.rules import Chebyshev
    >>> Chebyshev(smallest=1.0, largest=3.0, steps=1).at(0)
    0.5
    """

    smallest: Positive
    largest: Positive
    steps: Count

    def __post_init__(self) -> None:
        if self.smallest > self.largest:
            raise InvalidInput(f"smallest must not exceed largest={self.largest!r}; got {self.smallest!r}")

    def at(self, k: int) -> float:
        """The k-th step of the cycle."""
        j = _stable_order(self.steps)[k % self.steps]
        node = math.cos(math.pi * (2 * j - 1) / (2 * self.steps))
        return 2 / (self.largest + self.smallest + (self.largest - self.smallest) * node)

    @property
    def factor(self) -> float:
        """Worst reduction of the error by one cycle, 1/T_T((L + mu)/(L - mu)); 0 where mu = L."""
        if self.smallest == self.largest:
            return 0.0
        # acosh((L + mu)/(L - mu)) without cancellation
        angle = 2 * math.atanh(math.sqrt(self.smallest / self.largest))
        return 1 / math.cosh(min(self.steps * angle, 700.0))  # cosh overflows at 710


@lru_cache(maxsize=32)
def _stable_order(steps: int) -> tuple[int, ...]:
    """1..steps so that every stretch of the order is spread over the whole range.

    Leja's order for an odd number (T^2/2 operations); an even one doubles the order of its half, each index
    followed by its mirror image (Lebedev, Finogenov 1971).
    """
    if steps % 2 == 0 and steps > LEJA_ONLY:
        half = steps // 2
        return tuple(index for j in _stable_order(half) for index in (j, 2 * half + 1 - j))
    nodes = [math.cos(math.pi * (2 * j - 1) / (2 * steps)) for j in range(1, steps + 1)]
    left = list(range(steps))
    distance = [0.0] * steps  # the logarithm of the product of the distances to the nodes already taken
    order = [0]
    while len(order) < steps:
        taken = order[-1]
        left.remove(taken)
        for i in left:
            distance[i] += math.log(abs(nodes[i] - nodes[taken]))
        order.append(max(left, key=distance.__getitem__))
    return tuple(i + 1 for i in order)
