"""Runge-Kutta methods, each given by its tableau."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Range, checked
from surefoot.errors import InvalidInput
from surefoot.methods._base import Flow, Method, State
from surefoot.methods._implicit import implicit_stages
from surefoot.methods._stability import StabilityPolynomial
from surefoot.methods._tableau import ButcherTableau
from surefoot.methods._tables import tableau


@checked
@dataclass(frozen=True, slots=True, repr=False)
class RungeKutta(Method):
    """The method of a Butcher tableau.

        k_i = h F(x + sum_j a_ij k_j),    x <- x + sum_i b_i k_i,    R(z) = 1 + z b' (I - z A)^-1 1

    An explicit tableau runs its stages one after the other. Implicit ones are for comparison: their stage equations are
    solved densely, by a simplified Newton iteration with a Jacobian of the flow from one evaluation per unknown (a few
    iterations on a linear flow). For stiff problems use SciPy's implicit solvers, through `surefoot.integrate`.

    Parameters
    ----------
    tableau : ButcherTableau

    Examples
    --------
    >>> from surefoot.methods import ButcherTableau, RungeKutta
    >>> ralston = RungeKutta(ButcherTableau(name="Ralston", A=[[], [2 / 3]], b=[1 / 4, 3 / 4], order=2))
    >>> ralston.real_limit, ralston.imaginary_limit
    (2.0, 0.0)
    """

    tableau: ButcherTableau

    def __repr__(self) -> str:
        return f"RungeKutta({self.tableau!r})" if type(self) is RungeKutta else f"{type(self).__name__}()"

    @property
    def name(self) -> str:
        """The tableau's name."""
        return self.tableau.name

    @property
    def order(self) -> int:
        """The tableau's order."""
        return self.tableau.order

    @property
    def evaluations(self) -> int:
        """Number of stages that are used."""
        return self.tableau.evaluations

    @property
    def implicit(self) -> bool:
        """Whether a step solves equations."""
        return not self.tableau.explicit

    def stability(self) -> StabilityPolynomial:
        """The polynomial, from the tableau."""
        return self.tableau.stability()

    def amplification(self, z: ArrayLike) -> NDArray[np.float64]:
        """|R(z)|."""
        return self.tableau.stability().amplification(z)

    def update(self, state: State, flow: Flow) -> State:
        """One step of (iterate,)."""
        (x,) = state
        if self.implicit:
            stages = implicit_stages(self.tableau, x, flow)
            return (x + sum(float(b) * k for b, k in zip(self.tableau.b, stages, strict=True)),)
        # a stage that only the next step would use (first same as last) is not evaluated
        used = max(i + 1 for i, weight in enumerate(self.tableau.b) if weight)
        return (self._combine(x, self._stages(x, flow, used)),)

    def with_error(self, x: NDArray[np.float64], flow: Flow) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """One step of an explicit method, and the difference to the embedded formula; None without one."""
        embedded = self.tableau.embedded
        if embedded is None:
            return self.update((x,), flow)[0], None
        # all stages, since the embedded formula may use one that the step itself does not
        stages = self._stages(x, flow, self.tableau.stages)
        gaps = [float(b) - float(e) for b, e in zip(self.tableau.b, embedded, strict=True)]
        error = np.asarray(sum(gap * k for gap, k in zip(gaps, stages, strict=True)))
        return self._combine(x, stages), error

    def _stages(self, x: Any, flow: Flow, count: int) -> list[Any]:
        stages: list[Any] = []
        for row in self.tableau.A[:count]:
            point = x
            for a, k in zip(row, stages, strict=False):
                if a:
                    point = point + float(a) * k
            stages.append(flow(point))
        return stages

    def _combine(self, x: Any, stages: list[Any]) -> Any:
        for weight, k in zip(self.tableau.b, stages, strict=False):
            if weight:
                x = x + float(weight) * k
        return x


class _Named(RungeKutta):
    """A method given by a row of the table."""

    row: ClassVar[str]

    def __init__(self) -> None:
        RungeKutta.__init__(self, tableau(self.row))


class Midpoint(_Named):
    """Runge's midpoint rule: order 2, real limit 2."""

    row = "midpoint"


class Heun(_Named):
    """Heun's method, the explicit trapezoidal rule: order 2, real limit 2."""

    row = "heun"


class Kutta3(_Named):
    """Kutta's third-order method: real limit 2.5127, imaginary limit sqrt(3)."""

    row = "kutta"


class RK4(_Named):
    """The Runge-Kutta method of order 4.

    Real limit 2.7853, imaginary limit 2 sqrt(2).

    Examples
    --------
    >>> from surefoot.methods import RK4
    >>> round(RK4().real_limit, 12), round(RK4().imaginary_limit, 12)
    (2.785293563405, 2.828427124746)
    """

    row = "classical"


class BogackiShampine(_Named):
    """The pair of order 3(2) of Bogacki and Shampine, SciPy's ``RK23``."""

    row = "bogacki-shampine"


class DormandPrince(_Named):
    """The pair of order 5(4) of Dormand and Prince, SciPy's ``RK45``: real limit 3.3066, imaginary limit 0.9972."""

    row = "dormand-prince"


@checked
class SSPRK(RungeKutta):
    """Strong-stability-preserving methods for conservation laws: (3, 3) and (10, 4).

    Parameters
    ----------
    stages, order : int
        Either (3, 3), of Shu and Osher 1988, or (10, 4), of Ketcheson 2008.

    Raises
    ------
    InvalidInput
        For another pair.
    """

    def __init__(self, stages: int = 3, order: int = 3) -> None:
        if (stages, order) not in ((3, 3), (10, 4)):
            raise InvalidInput(f"SSPRK has (stages, order) (3, 3) and (10, 4); got {(stages, order)}")
        super().__init__(tableau(f"ssp {stages} {order}"))


class BackwardEuler(_Named):
    """R = 1/(1 - z): order 1, stable for every decaying mode at every step."""

    row = "radau 1"


class Trapezoidal(_Named):
    """R = (1 + z/2)/(1 - z/2): order 2, always stable, and stiff modes ring (R -> -1)."""

    row = "trapezoidal"


@checked
class RadauIIA(RungeKutta):
    """Order 2 s - 1, always stable, R -> 0 for stiff modes; three stages are SciPy's ``Radau``.

    Parameters
    ----------
    stages : int
        Number of stages: 1, 2 or 3.

    Raises
    ------
    InvalidInput
        For another number.
    """

    def __init__(self, stages: Annotated[int, Range("[1, 3]")] = 3) -> None:
        super().__init__(tableau(f"radau {stages}"))
