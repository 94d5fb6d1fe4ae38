"""What a problem is: a function of a vector, with the derivatives and the curvature it knows of itself."""

from abc import ABC, abstractmethod

import numpy as np

from surefoot.operators import Array, LinearMap, Operator
from surefoot.problems._checks import real_vector
from surefoot.spectra import Spectrum

__all__ = ["Problem"]


class Problem(ABC):
    """A smooth function f of a vector x of shape (size,)."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call it in a table, with its size."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of unknowns."""

    @property
    def convex(self) -> bool:
        """Whether f is known to be convex."""
        return False

    @property
    def constant_curvature(self) -> bool:
        """Whether the Hessian is the same everywhere: f is a quadratic."""
        return False

    @abstractmethod
    def value(self, x: Array) -> float:
        """f(x)."""

    @abstractmethod
    def gradient(self, x: Array) -> Array:
        """The gradient at x, shape (size,)."""

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both at once, for less than both in turn where work can be shared."""
        return self.value(x), self.gradient(x)

    @abstractmethod
    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v, shape (size,)."""

    @abstractmethod
    def curvature(self) -> Spectrum:
        """Bounds on the Hessian's eigenvalues that hold at every x."""

    def hessian(self, x: Array) -> Operator:
        """The Hessian at x as an operator."""
        x = self.checked(x)
        return LinearMap(
            (self.size, self.size),
            lambda v: self.hessian_product(x, v),
            symmetric=True,
            psd=self.convex,
            kind="curvature",
            scope="local",
        )

    def start(self) -> Array:
        """The default first iterate: zero."""
        return np.zeros(self.size)

    def checked(self, x: Array, name: str = "x") -> Array:
        """A float64 copy of x, shape (size,); the error names a shape, type or entry not allowed."""
        return real_vector(x, self.size, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"
