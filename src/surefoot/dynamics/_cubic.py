"""The cubic loss: gradient descent that takes the whole road to chaos, exactly."""

from dataclasses import dataclass
from typing import Any

from surefoot.checks import Positive, checked
from surefoot.dynamics._landscape import Landscape


@checked
@dataclass(frozen=True, slots=True)
class Cubic(Landscape):
    """The cubic loss, on which gradient descent is the logistic map.

        f(x) = a (x^2/2 - x^3/3),    z = eta a (1 - x) / (1 + eta a):    z' = r z (1 - z),  r = 1 + eta a

    So all that is known of that map is known of this training: for eta a < 2 it converges to the minimum at 0, whose
    curvature is a; the period doubles at 2, sqrt 6, 2.544090..., chaos begins at 2.569945672, period 3 at 2 sqrt 2; at
    3 it is conjugate to the tent map with the exponent ln 2; beyond 3 almost every orbit leaves for infinity. (The
    conjugacy is two lines of algebra; for the logistic map May 1976.)

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
        """The point where a step of gradient descent has derivative 0: f'' = 1/step."""
        return (1 - 1 / (step * self.a)) / 2

    def logistic(self, x: Any, step: Any) -> tuple[Any, Any]:
        """The state z and the parameter r of the logistic map that this is conjugate to."""
        r = 1 + step * self.a
        return step * self.a * (1 - x) / r, r
