"""The base class of optimisers and integrators: how an iteration amplifies.

A method advances x' = F(x), and gradient descent on f is the case F = -grad f. On a linear flow F(x) = lambda x each
component is multiplied per step by something that depends on z = step * lambda alone. A curvature (an eigenvalue of
the Hessian) c is the flow eigenvalue -c, so for an optimiser z = -step * c.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Range, checked
from surefoot.methods._region import Region, region_of
from surefoot.methods._stability import StabilityPolynomial
from surefoot.methods.search import best_step, first_crossing

State = tuple[Any, ...]
Flow = Callable[[Any], Any]


class Method(ABC):
    """A linear one- or multi-step iteration, given by how it updates its state.

    A subclass defines `memory` and `update`; amplification, limits and the best step are derived from them numerically
    and may be overridden by closed forms.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The method's name in a table, with its parameters."""

    @property
    def memory(self) -> int:
        """Number of arrays in the state; the first is the iterate."""
        return 1

    @property
    def order(self) -> int:
        """Order of accuracy on x' = F(x); 0 for an iteration that is not a consistent integrator (momentum)."""
        return 0

    @property
    def evaluations(self) -> int:
        """Evaluations of F per step."""
        return 1

    @property
    def implicit(self) -> bool:
        """Whether a step solves equations."""
        return False

    def stability(self) -> StabilityPolynomial | None:
        """The polynomial P(r, z) behind `amplification`; None if a step is not polynomial in z."""
        try:
            return _polynomial_of(self)
        except TypeError:  # a method that cannot be hashed cannot be cached
            return _polynomial_of.__wrapped__(self)

    @abstractmethod
    def update(self, state: State, flow: Flow) -> State:
        """One step.

        Parameters
        ----------
        state : tuple of `memory` arrays
            The iterate first; see `start`.
        flow : callable
            x to step * F(x); for an optimiser -step * gradient(x).

        Returns
        -------
        tuple of `memory` arrays
        """

    def start(self, x: Any) -> State:
        """The state at the iterate x, everything else zero."""
        return (x, *(x * 0 for _ in range(self.memory - 1)))

    def begin(self, x: Any, flow: Flow) -> State:  # noqa: ARG002 - for methods that look back
        """The state at x on a known flow, earlier points as accurate as the method; `start` if there are none."""
        return self.start(x)

    def amplification(self, z: ArrayLike) -> NDArray[np.float64]:
        """Asymptotic growth per step on x' = lambda x: the spectral radius of the update.

        Parameters
        ----------
        z : complex array of any shape
            step * lambda, lambda an eigenvalue of the flow's Jacobian (minus a curvature).

        Returns
        -------
        float array of z's shape
            Below 1 the component decays, above 1 it grows.
        """
        points = np.asarray(z, dtype=np.complex128)
        # the columns of the update's matrix are the images of unit states
        zero, one = np.zeros_like(points), np.ones_like(points)
        columns = [
            self.update(tuple(one if i == j else zero for i in range(self.memory)), lambda x: points * x)
            for j in range(self.memory)
        ]
        companion = np.stack([np.stack(column, axis=-1) for column in columns], axis=-1)
        return np.abs(np.linalg.eigvals(companion)).max(axis=-1)

    def limit_along(self, direction: ArrayLike) -> NDArray[np.float64]:
        """How far the stable region reaches from 0 along rays of the complex plane.

        Parameters
        ----------
        direction : complex array of any shape
            Directions of unit modulus.

        Returns
        -------
        float array of the same shape
            sup r with amplification(s * direction) <= 1 for all 0 < s <= r, the piece connected to 0. Zero if
            arbitrarily small steps grow, infinity if no step does.
        """
        directions = np.asarray(direction, dtype=np.complex128)
        polynomial = self.stability()
        if polynomial is None:
            return first_crossing(self.amplification, directions)
        limits = [polynomial.limit_along(ray) for ray in directions.reshape(-1).tolist()]
        return np.asarray(limits).reshape(directions.shape)

    @property
    def real_limit(self) -> float:
        """Largest stable step * curvature: `limit_along` the negative real axis."""
        return float(self.limit_along(-1.0))

    @property
    def imaginary_limit(self) -> float:
        """Largest stable step * frequency: `limit_along` the imaginary axis."""
        return float(self.limit_along(1j))

    @checked
    def region(
        self, window: tuple[float, float, float, float] | None = None, points: Annotated[int, Range("[2, inf)")] = 201
    ) -> Region:
        """The stability region on a grid, for a picture.

        Parameters
        ----------
        window : (left, right, bottom, top), optional
            Part of the complex plane of z = step * eigenvalue; by default one that shows the region.
        points : int
            Grid points along each side.

        Returns
        -------
        Region

        Raises
        ------
        InvalidInput
            If the window is empty or points is below 2.
        """
        return region_of(self, window, points)

    def best_step(self, smallest: float, largest: float) -> tuple[float, float]:
        """The constant step with the best worst rate over curvatures in [smallest, largest].

        Parameters
        ----------
        smallest, largest : float
            Ends of the interval, 0 < smallest <= largest.

        Returns
        -------
        step : float
            Unit 1/curvature.
        rate : float
            Asymptotic contraction per step there, in [0, 1].
        """
        # the worst case may lie between the ends, since the factor need not be monotone. 33 points are closer than the
        # lobes of any method here except the stabilised ones, whose best parameters are known
        return self.best_step_at(-np.geomspace(smallest, largest, 33))

    def best_step_at(self, eigenvalues: ArrayLike) -> tuple[float, float]:
        """The constant step with the best worst rate over given flow eigenvalues, and that rate.

        Parameters
        ----------
        eigenvalues : complex array, shape (n,)
            Eigenvalues of the flow's Jacobian: none zero, each with a positive `limit_along`.

        Returns
        -------
        step, rate : float
            As in `best_step`.
        """
        points = np.asarray(eigenvalues, dtype=np.complex128)
        sizes = np.abs(points)
        # for an implicit method, which is always stable, up to 1e3 of the slowest time scale
        longest = min(float((self.limit_along(points / sizes) / sizes).min()), 1e3 / float(sizes.min()))
        return best_step(self.amplification, points, longest)

    def tuned(self, smallest: float, largest: float) -> str:  # noqa: ARG002 - for methods with a known best pair
        """The best parameters for curvatures in [smallest, largest] in words; empty if not known."""
        return ""


@lru_cache(maxsize=256)
def _polynomial_of(method: Method) -> StabilityPolynomial | None:
    from surefoot.methods._extracted import MOST_MEMORY, extract

    return extract(method.update, method.memory) if method.memory <= MOST_MEMORY else None
