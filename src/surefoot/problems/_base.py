"""The base class of problems: functions of a vector with derivatives and curvature."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

import numpy as np

from surefoot.errors import InvalidInput
from surefoot.operators import Array, LinearMap, Matrix, Operator, gram
from surefoot.problems._changes import Change
from surefoot.problems._checks import real_vector
from surefoot.spectra import Bounds, Spectrum, spectrum

# A diverging run shows as an infinite value, which its driver reads, and not as a warning.
overflow_is_a_value = np.errstate(over="ignore", invalid="ignore")

# Largest size at which a Hessian is formed by one product per unknown.
FORM_LIMIT = 1000


EPS = float(np.finfo(np.float64).eps)
F = TypeVar("F", bound=Callable[..., Any])


def compute_once(method: F) -> F:
    """A method without arguments whose result is computed at the first call and kept in the instance."""
    name = f"_{method.__name__}"

    @functools.wraps(method)
    def call(self: Any) -> Any:
        known = vars(self)
        if name not in known:
            known[name] = method(self)
        return known[name]

    return cast("F", call)


class Problem(ABC):
    """A function f of a vector x of shape (size,).

    It has a gradient, at kinks a subgradient. If the gradient jumps or no curvature bounds its change, `curvature`
    raises NotSmooth or returns local bounds that name their region.

    Examples
    --------
    >>> from surefoot.problems import LeastSquares
    >>> f = LeastSquares([[1.0], [2.0]], [1.0, 2.0])  # a `Problem`, like every function in this module
    >>> f.value([1.0]), f.gradient([1.0]), f.convex, f.start()
    (0.0, array([0.]), True, array([0.]))
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The problem's name in a table, with its size."""

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
        """Whether the Hessian is the same everywhere, so that f is quadratic."""
        return False

    @property
    def loss_is(self) -> str:
        """What f is a mean or a sum of, since steps scale like 1/f; empty if there is no choice."""
        return ""

    @abstractmethod
    def value(self, x: Array) -> float:
        """f(x)."""

    @abstractmethod
    def gradient(self, x: Array) -> Array:
        """The gradient at x, shape (size,); a subgradient where there is a kink."""

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both at once, which may cost less than one after the other."""
        return self.value(x), self.gradient(x)

    @abstractmethod
    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v, shape (size,)."""

    @property
    def has_products(self) -> bool:
        """Whether it has a Hessian whose products are not differences of gradients."""
        return True

    @abstractmethod
    def curvature(self) -> Spectrum:
        """Bounds on the Hessian's eigenvalues that hold at every x."""

    def curvature_in(self, change: Change) -> Spectrum:
        """Bounds on the eigenvalues of S'HS, the Hessian in the variables z with x = S z.

        Measured if H is constant, else from the bounds on H and on S'S (proved, but wide unless S is small along the
        sharp directions): for mu <= H <= L

            min(mu smin^2, mu smax^2) <= S'HS <= max(L smin^2, L smax^2)
        """
        if self.constant_curvature:
            hessian = self.hessian(self.start())
            product = LinearMap(
                hessian.shape,
                lambda z: change.adjoint(hessian.matvec(change.apply(z))),
                symmetric=True,
                psd=hessian.psd,
                kind="curvature",
                precision=hessian.precision,
            )
            spec = spectrum(product)
            return replace(spec, provenance="closed form", scope="global", note=f"in the variables of {change.name}")
        # Ostrowski's theorem: each eigenvalue of S'HS is one of H times a number between the ends of S'S
        base = self.curvature()
        factor = LinearMap((change.size, change.size), change.apply, change.adjoint)
        squares = spectrum(gram(factor if change.matrix is None else change.matrix))
        return replace(
            base,
            largest=_product_bounds(base.largest, squares),
            smallest=_product_bounds(base.smallest, squares),
            products=base.products + squares.products,
            points=None,
            note=f"from the ends of H and of S'S, {change.name}; {base.note}".rstrip("; "),
        )

    @property
    def blocks(self) -> int:
        """Number of equal parts of x that a preconditioner should treat alike, such as the classes of a softmax."""
        return 1

    def hessian_diagonal(self, at: Array | None = None) -> Array:
        """The Hessian's diagonal at a point, by default the start, shape (size,); see `hessian_matrix`."""
        return np.asarray(self.hessian_matrix(at).diagonal())

    def hessian_matrix(self, at: Array | None = None) -> Matrix:
        """The Hessian's entries at a point, by default the start: one product per unknown.

        Raises
        ------
        InvalidInput
            If the problem has too many unknowns for that.
        """
        if self.size > FORM_LIMIT:
            raise InvalidInput(
                f"the Hessian of {self.name} would take {self.size} products to form, {FORM_LIMIT} at most are made; "
                "give a scale or an operator of your own"
            )
        x = self.start() if at is None else self.checked(at, "at")
        H = np.stack([self.hessian_product(x, unit) for unit in np.eye(self.size)])
        # products by differences are symmetric only to their own precision
        return 0.5 * (H + H.T)

    def uncertain_curvature(self, fraction: float) -> Spectrum:
        """Worst case of `curvature` if the scale of every feature may be off by a fraction, up or down.

        Parameters
        ----------
        fraction : float
            Largest relative error of a scale, in [0, 1): 0.1 for +-10%.

        Raises
        ------
        InvalidInput
            If the problem has no features, or the fraction is out of range.
        """
        raise InvalidInput(f"a {self.name} has no features whose scale could be off by {fraction:g}")

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
            precision=self._precision,
        )

    @property
    def _precision(self) -> float:
        """The relative error of a Hessian product."""
        return EPS

    def start(self) -> Array:
        """The default first iterate: zero."""
        return np.zeros(self.size)

    def checked(self, x: Array, name: str = "x") -> Array:
        """A float64 copy of x, shape (size,); refused unless all entries are finite numbers."""
        return real_vector(x, self.size, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


def _product_bounds(bounds: Bounds, squares: Spectrum) -> Bounds:
    """An interval for an extreme eigenvalue of S'HS, from that of H and the ends of S'S."""
    low, high = max(squares.smallest.lower, 0.0), squares.largest.upper
    lower = min(bounds.lower * low, bounds.lower * high)
    upper = max(bounds.upper * low, bounds.upper * high)
    # by the union bound both intervals hold with a probability of at least one minus the sum of their failures
    trust = "estimate" if "estimate" in (bounds.lower_is, bounds.upper_is) else "proved"
    if trust == "proved" and bounds.failure + squares.failure > 0:
        trust = "probabilistic"
    return Bounds(lower, upper, trust, trust, bounds.failure + squares.failure)
