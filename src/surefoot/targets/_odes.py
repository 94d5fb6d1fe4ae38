"""Differential equations that ship with Surefoot, under the prefix ``ode:``."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators import Array
from surefoot.solvers import Diagnosis, diagnose
from surefoot.targets._entry import Entry, Kind

# Sets equations apart from modules of the user, which have a colon in their names too.
PREFIX = "ode:"


@checked
@dataclass(frozen=True, slots=True, eq=False)
class ODE:
    """An initial value problem y' = fun(t, y), y(t0) = y0.

    Parameters
    ----------
    name : str
        What to call it; of a built-in one, what to type after ``ode:``.
    fun : callable
        (t, y) to y'.
    y0 : array, shape (n,)
    span : (t0, t1)
    sparsity : callable or None
        Makes the pattern of the Jacobian, a sparse matrix; called only when it is needed.
    rtol : float
        An accuracy that makes sense for it.
    summary : str
        A line about it, shown beside its name.

    Raises
    ------
    InvalidInput
        If the start is no vector, or the span does not go forward.

    Examples
    --------
    >>> from surefoot.targets import ODE
    >>> decay = ODE("decay", lambda t, y: -50 * y, [1.0], (0.0, 1.0))
    >>> decay.kind, decay.y0.shape
    ('ode', (1,))
    """

    kind: ClassVar[Kind] = "ode"

    name: str
    fun: Callable[[float, Array], ArrayLike]
    y0: ArrayLike
    span: tuple[float, float]
    sparsity: Callable[[], Any] | None = None
    rtol: float = 1e-4
    summary: str = ""

    def __post_init__(self) -> None:
        start: NDArray[np.float64] = real_array(self.y0, "y0")
        if start.ndim != 1 or not start.size:
            raise InvalidInput(f"y0 must be a vector; got shape {start.shape}; give one number for each unknown")
        if not -math.inf < self.span[0] < self.span[1] < math.inf:
            raise InvalidInput(f"the span must go from t0 to a later t1; got {self.span!r}")
        object.__setattr__(self, "y0", start)

    @classmethod
    def linear(cls, jacobian: Any, *, start: Any = None, end: float = 1.0, name: str = "linear") -> "ODE":
        """The equation y' = J y of a matrix: how a step fares is a question of its eigenvalues alone.

        Parameters
        ----------
        jacobian : array, shape (n, n)
        start : array, shape (n,), optional
            Default: all ones.
        end : float
            Time that it is to run, from 0.
        name : str

        Raises
        ------
        InvalidInput
            If the matrix is not square.

        Examples
        --------
        >>> from surefoot.targets import ODE
        >>> ODE.linear([[0.0, 1.0], [-1.0, -0.1]]).diagnose().recommendation
        'explicit'
        """
        matrix = real_array(jacobian, "jacobian")
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise InvalidInput(f"a Jacobian is square; got shape {matrix.shape}")
        first = np.ones(len(matrix)) if start is None else start
        summary = f"y' = J y, {len(matrix)} unknowns"
        return cls(name, lambda _, y: matrix @ y, first, (0.0, end), summary=summary)

    def diagnose(self, *, rtol: float | None = None, atol: float | None = None) -> Diagnosis:
        """`surefoot.diagnose` on the whole span, with its own accuracy unless told otherwise."""
        t0, t1 = self.span
        rtol = self.rtol if rtol is None else rtol
        atol = 1e-3 * rtol if atol is None else atol
        pattern = None if self.sparsity is None else self.sparsity()
        return diagnose(self.fun, t0, self.y0, span=t1 - t0, sparsity=pattern, rtol=rtol, atol=atol)


def _robertson() -> ODE:
    def fun(t: float, y: Array) -> list[float]:  # noqa: ARG001
        slow, fast, merge = 0.04 * y[0], 3e7 * y[1] ** 2, 1e4 * y[1] * y[2]
        return [merge - slow, slow - merge - fast, fast]

    summary = "three chemical reactions with rates nine orders of magnitude apart"
    return ODE("robertson", fun, [1.0, 0.0, 0.0], (0.0, 40.0), summary=summary)


def _van_der_pol(mu: float, end: float, name: str, summary: str) -> ODE:
    def fun(t: float, y: Array) -> list[float]:  # noqa: ARG001
        return [y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]]

    return ODE(name, fun, [2.0, 0.0], (0.0, end), summary=summary)


def _brusselator() -> ODE:
    n = 64
    x = np.arange(1, n + 1) / (n + 1)
    diffusion = 0.02 * (n + 1) ** 2

    def fun(t: float, y: Array) -> Array:  # noqa: ARG001
        u, v = y[::2], y[1::2]
        rate = np.empty_like(y)
        rate[::2] = 1 + u * u * v - 4 * u + diffusion * (np.append(1.0, u[:-1]) - 2 * u + np.append(u[1:], 1.0))
        rate[1::2] = 3 * u - u * u * v + diffusion * (np.append(3.0, v[:-1]) - 2 * v + np.append(v[1:], 3.0))
        return rate

    start = np.empty(2 * n)
    start[::2], start[1::2] = 1 + np.sin(2 * np.pi * x), 3.0

    def pattern() -> Any:
        from scipy.sparse import diags_array

        bands: Any = [np.ones(2 * n - abs(k)) for k in range(-2, 3)]
        return diags_array(bands, offsets=list(range(-2, 3)))

    summary = "reaction and diffusion on a line, 128 unknowns"
    return ODE("brusselator-1d", fun, start, (0.0, 10.0), pattern, summary=summary)


def _heat() -> ODE:
    n = 200
    x = np.arange(1, n + 1) / (n + 1)
    scale = (n + 1.0) ** 2

    def fun(t: float, u: Array) -> Array:  # noqa: ARG001
        return scale * (np.append(0.0, u[:-1]) - 2 * u + np.append(u[1:], 0.0))

    start = np.sin(np.pi * x) + 0.2 * np.sin(8 * np.pi * x)
    return ODE("heat-1d", fun, start, (0.0, 0.2), summary="heat conduction in a rod, 200 unknowns: stiff and real")


def _kepler() -> ODE:
    def fun(t: float, y: Array) -> list[float]:  # noqa: ARG001
        cube = (y[0] ** 2 + y[1] ** 2) ** 1.5
        return [y[2], y[3], -y[0] / cube, -y[1] / cube]

    e = 0.6
    start = [1 - e, 0.0, 0.0, ((1 + e) / (1 - e)) ** 0.5]
    summary = "two bodies, eccentricity 0.6, one orbit: oscillation, no decay"
    return ODE("kepler", fun, start, (0.0, 2 * math.pi), summary=summary)


def _lorenz() -> ODE:
    def fun(t: float, y: Array) -> list[float]:  # noqa: ARG001
        return [10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]]

    return ODE("lorenz", fun, [1.0, 1.0, 1.0], (0.0, 5.0), summary="the butterfly: chaos, growth without stiffness")


def _fast_slow() -> ODE:
    def fun(t: float, y: Array) -> list[float]:  # noqa: ARG001
        exchange = 1e4 * (y[0] - y[1])
        return [-exchange - 0.1 * y[0], exchange - 0.5 * y[1]]

    summary = "a fast exchange between two species that decay slowly: stiff after a thousandth of the time"
    return ODE("fast-slow", fun, [1.0, 0.0], (0.0, 5.0), summary=summary)


def _moon() -> ODE:
    planet, moon = 1e-3, 1e-9
    distance = 0.004

    # the moon's place and velocity are relative to the planet, so that a relative tolerance sees its orbit
    def fun(t: float, y: Array) -> Array:  # noqa: ARG001
        p, r, v, w = y[0:2], y[2:4], y[4:6], y[6:8]
        m = p + r
        cube = float(r @ r) ** 1.5
        pull_p = -p / float(p @ p) ** 1.5 + moon * r / cube
        pull_m = -m / float(m @ m) ** 1.5 - planet * r / cube
        return np.concatenate([v, w, pull_p, pull_m - pull_p])

    around = (planet / distance) ** 0.5
    start = [1.0, 0.0, distance, 0.0, 0.0, 1.0, 0.0, around]
    summary = "a star, a planet and its close moon: fast and slow oscillation, which is not stiffness"
    return ODE("star-and-moon", fun, start, (0.0, 0.2), rtol=1e-7, summary=summary)


# From mild to stiff and back: every answer that a diagnosis can give is among them.
EQUATIONS = (
    _robertson(),
    _van_der_pol(1.0, 20.0, "van-der-pol", "an oscillator with nonlinear damping, mu = 1: not stiff"),
    _van_der_pol(1000.0, 2000.0, "van-der-pol-1000", "the same with mu = 1000: slow drift, sudden jumps, stiff"),
    _brusselator(),
    _heat(),
    _kepler(),
    _lorenz(),
    _fast_slow(),
    _moon(),
)
# An equation is frozen, so that one object serves every caller.
ODES = tuple(
    Entry(name=PREFIX + each.name, kind="ode", summary=each.summary, build=lambda _, each=each: (each,))
    for each in EQUATIONS
)
