"""The cubic loss, on which gradient descent goes through the period doublings to chaos."""

from dataclasses import dataclass
from typing import Any

from surefoot.checks import Positive, checked
from surefoot.dynamics._landscape import Landscape


@checked
@dataclass(frozen=True, slots=True)
class Cubic(Landscape):
    """The cubic loss, on which gradient descent is the logistic map.

        f(x) = a (x^2/2 - x^3/3),    z = eta a (1 - x) / (1 + eta a):    z' = r z (1 - z),  r = 1 + eta a

    All results on the logistic map apply (May 1976). For eta a < 2 gradient descent converges to the minimum at 0, of
    curvature a; the period doubles at eta a = 2, sqrt 6, 2.544090..., chaos begins at 2.569945672, period 3 at 2 sqrt
    2; at 3 the map is conjugate to the tent map, with exponent ln 2; beyond 3 almost every orbit diverges.

    Parameters
    ----------
    a : float
        Curvature at the minimum, positive.

    Examples
    --------
    >>> from surefoot.dynamics import Cubic, bifurcations
    >>> print(bifurcations(Cubic(2.0), (0.5, 1.5), 0.1, 2))
    period doublings
         1 -> 2    at 1
         2 -> 4    at 1.22474487139
      found all 2
    """

    a: Positive = 1.0

    def value(self, x: Any) -> Any:
        """f(x) = a (x^2/2 - x^3/3)."""
        return self.a * x * x * (0.5 - x / 3)

    def gradient(self, x: Any) -> Any:
        """f'(x) = a (x - x^2)."""
        return self.a * (x - x * x)

    def curvature(self, x: Any) -> Any:
        """f''(x) = a (1 - 2x)."""
        return self.a * (1 - 2 * x)

    def critical(self, step: Any) -> Any:
        """The point at which the derivative of a gradient step is 0, that is f'' = 1/step."""
        return (1 - 1 / (step * self.a)) / 2

    def logistic(self, x: Any, step: Any) -> tuple[Any, Any]:
        """The state z and the parameter r of the logistic map that this is conjugate to."""
        r = 1 + step * self.a
        return step * self.a * (1 - x) / r, r
