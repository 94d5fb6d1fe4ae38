"""Stabilised explicit methods, whose real stability interval grows with the square of the number of stages."""

import math
from abc import abstractmethod
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Nonnegative, Positive, Range, checked
from surefoot.errors import InvalidInput
from surefoot.methods._base import Flow, Method, State
from surefoot.methods.search import bisect_crossing

# The coefficients divide derivatives of T_s, which grow like s^4: their rounding error, 1e-16 s^4, reaches 1 here.
MOST_STAGES = 10_000
# Growth per step below this is rounding of the recurrence, which amplifies errors by about s^2 (Sommeijer et al. 1998).
ROUNDING = 1e-12
# Samples per stage along a ray: |R| oscillates s times over the region, fastest at its ends.
SAMPLES = 40
# Rays sampled in one array of 64 x 40 s complex numbers: 40 MB at a thousand stages.
RAYS_AT_A_TIME = 64
# Damping by order, as in Sommeijer, Shampine, Verwer 1998: it costs 3% and 2% of the real limit.
STANDARD_DAMPING = {1: 0.05, 2: 2 / 13}

Stages = Annotated[int, Range(f"[1, {MOST_STAGES}]")]


@dataclass(frozen=True, slots=True)
class Recurrence:
    """R(z) = a + b p_s(w0 + w1 z) and the three-term recurrence of the stages, row j for stage j >= 2.

    y_j = (1 - mu_j - nu_j) x + mu_j y_(j-1) + nu_j y_(j-2) + push_j h F(y_(j-1)) + first_j h F(x)
    """

    a: float
    b: float
    w0: float
    w1: float
    start: float
    rows: tuple[tuple[float, float, float, float], ...]


class _Stabilised(Method):
    """A method whose stages follow a three-term recurrence."""

    stages: int

    @property
    @abstractmethod
    def _recurrence(self) -> Recurrence:
        """The coefficients."""

    @property
    def evaluations(self) -> int:
        """Number of evaluations: one per stage."""
        return self.stages

    @classmethod
    @checked
    def covering(cls, reach: Positive, **settings: Any) -> Self:
        """The fewest stages with a real limit of at least `reach` = step * largest eigenvalue.

        Parameters
        ----------
        reach : float
        **settings
            Settings of the method: the order (default 2), the damping.

        Raises
        ------
        InvalidInput
            If that takes more than 10000 stages, or reach is not finite and positive.
        """
        build: Any = cls
        least = most = settings.get("order", 2)
        while build(most, **settings).real_limit < reach:
            least, most = most, 2 * most
            if most > MOST_STAGES:
                raise InvalidInput(
                    f"more than {MOST_STAGES} stages for step * eigenvalue = {reach:.3g}; use an implicit method"
                )
        return build(bisect_left(range(most), reach, least, key=lambda s: build(s, **settings).real_limit), **settings)

    def _check(self) -> None:
        if self.stages < self.order:
            raise InvalidInput(f"order {self.order} takes at least as many stages; got {self.stages}")

    def update(self, state: State, flow: Flow) -> State:
        """One step of (iterate,), which stores three vectors whatever the number of stages."""
        (x,) = state
        recurrence = self._recurrence
        first = flow(x)
        before, current = x, x + recurrence.start * first
        for mu, nu, push, anchor in recurrence.rows:
            following = mu * current + nu * before + push * flow(current)
            rest = 1 - mu - nu
            if rest:
                following = following + rest * x
            if anchor:
                following = following + anchor * first
            before, current = current, following
        return (current,)

    def amplification(self, z: ArrayLike) -> NDArray[np.float64]:
        """|R(z)| by the recurrence."""
        z = np.asarray(z, dtype=np.complex128)
        with np.errstate(over="ignore", invalid="ignore"):
            growth = np.abs(self.update((np.ones_like(z),), lambda x: z * x)[0])
        return np.where(np.isnan(growth), np.inf, growth)

    def limit_along(self, direction: ArrayLike) -> NDArray[np.float64]:
        """The limits, off the real axis by sampling: a point where the region is pinched may be missed."""
        directions = np.asarray(direction, dtype=np.complex128)
        rays = directions.reshape(-1)
        limits = np.asarray([0.0 if self._grows_at_once(complex(ray)) else math.inf for ray in rays])
        real = (rays.imag == 0) & (limits > 0)
        limits[real] = self.real_limit
        rest = np.flatnonzero(np.isinf(limits))
        for part in np.array_split(rest, max(1, math.ceil(rest.size / RAYS_AT_A_TIME))):
            limits[part] = self._sample(rays[part])
        return limits.reshape(directions.shape)

    def _sample(self, rays: NDArray[np.complex128]) -> NDArray[np.float64]:
        """The distance of the first growth along each ray, bracketed by samples and bisected."""
        count = SAMPLES * len(self._recurrence.rows) + 2 * SAMPLES
        # Chebyshev points, dense at the ends where |R| oscillates fastest; no ray reaches further than the real axis
        radii = 1.1 * self.real_limit * (1 - np.cos(np.linspace(0, np.pi, count))) / 2
        first = (self.amplification(rays[:, None] * radii) > 1 + ROUNDING).argmax(axis=1)
        return bisect_crossing(self.amplification, rays, radii, first, ROUNDING)

    def _grows_at_once(self, ray: complex) -> bool:
        """Whether small steps grow, by the first term of |R|^2 - 1: on the imaginary axis that of y^2 or y^4."""
        if ray.real != 0:
            return ray.real > 0
        c = np.zeros(6)
        c[0] = 1.0
        c = self.update((c,), lambda x: np.concatenate([[0.0], x[:-1]]))[0]
        # c[1] is 1, whatever the order
        terms = (1 - 2 * c[2], c[2] ** 2 - 2 * c[3] + 2 * c[4])
        return next((bool(t > 0) for t in terms if abs(t) > ROUNDING), False)


@checked
@dataclass(frozen=True, slots=True)
class RungeKuttaChebyshev(_Stabilised):
    """Runge-Kutta-Chebyshev: s evaluations reach a real limit of about 2 s^2 (order 1) or 0.65 s^2 (order 2).

        order 1:  R = T_s(w0 + w1 z)/T_s(w0),                 w1 = T_s(w0)/T_s'(w0)
        order 2:  R = 1 + b_s (T_s(w0 + w1 z) - T_s(w0)),     w1 = T_s'(w0)/T_s''(w0),  b_s = T_s''(w0)/T_s'(w0)^2

    with w0 = 1 + damping/s^2. For diffusion and for optimisation: order 1 with the damping of `best` is Chebyshev's
    iteration, which no method with s gradients beats on a quadratic.

    Parameters
    ----------
    stages : int
        s from 2 (order 2) or 1 to 10000.
    damping : float, optional
        Damping >= 0; 0.05 for order 1 and 2/13 for order 2 if not given. Without damping the region is pinched
        to points.
    order : 1 or 2

    Raises
    ------
    InvalidInput
        If a parameter is out of range.

    References
    ----------
    Van der Houwen, Sommeijer 1980; Sommeijer, Shampine, Verwer, RKC: an explicit solver for parabolic PDEs, J. Comput.
    Appl. Math. 88 (1998) 315-326. The real limit is the true boundary; their formula for order 2 is a lower bound.

    Examples
    --------
    >>> from surefoot.methods import RungeKuttaChebyshev
    >>> RungeKuttaChebyshev(10, 0.0, order=1).real_limit
    200.0
    >>> round(RungeKuttaChebyshev(10, 0.05, order=1).real_limit, 6)
    193.654661
    """

    stages: Stages = 10
    damping: Nonnegative | None = None
    order: Literal[1, 2] = 2  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        self._check()
        if self.damping is None:
            object.__setattr__(self, "damping", STANDARD_DAMPING[self.order])

    @property
    def name(self) -> str:
        """``Runge-Kutta-Chebyshev`` with stages and order."""
        return f"Runge-Kutta-Chebyshev {self.order}, {self.stages} stages"

    @property
    def _recurrence(self) -> Recurrence:
        return _chebyshev(self.stages, float(self.damping or 0.0), self.order)

    @property
    def real_limit(self) -> float:
        """The z at which w0 + w1 z passes the point left of -1 where |R| = 1."""
        r, s = self._recurrence, self.stages
        if r.a == 0 or s % 2 == 0:
            return 2 * r.w0 / r.w1
        return (r.w0 + math.cosh(math.acosh((1 + r.a) / r.b) / s)) / r.w1

    @classmethod
    def best(cls, smallest: float, largest: float, stages: int) -> tuple[Self, float, float]:
        """Chebyshev's iteration for curvatures in [mu, L]: method, step and contraction per step of s gradients.

            R(step) = T_s((L + mu - 2 lambda)/(L - mu))/T_s(w0),    w0 = (L + mu)/(L - mu),    rate 1/T_s(w0)

        Raises
        ------
        InvalidInput
            Unless 0 < smallest < largest.
        """
        if not 0 < smallest < largest < math.inf:
            raise InvalidInput(f"needs 0 < smallest < largest, finite; got {smallest!r} and {largest!r}")
        w0 = (largest + smallest) / (largest - smallest)
        method = cls(stages, stages**2 * 2 * smallest / (largest - smallest), order=1)
        step = 2 / ((largest - smallest) * method._recurrence.w1)
        return method, step, 1 / math.cosh(stages * math.acosh(w0))

    def tuned(self, smallest: float, largest: float) -> str:
        """The pair of `best` for this number of stages."""
        if not smallest < largest:
            return ""
        method, step, rate = self.best(smallest, largest, self.stages)
        return (
            f"best damping for order 1: {method.damping:.6g} with step {step:.6g}, rate {rate:.6g} per step, "
            f"{rate ** (1 / self.stages):.6g} per gradient"
        )


@checked
@dataclass(frozen=True, slots=True)
class RungeKuttaLegendre(_Stabilised):
    """Runge-Kutta-Legendre: real limits s^2 + s (order 1) and (s^2 + s - 2)/2 (order 2), no parameter to choose.

        order 1:  R = P_s(1 + w1 z),                w1 = 2/(s^2 + s)
        order 2:  R = 1 - b_s + b_s P_s(1 + w1 z),  w1 = 4/(s^2 + s - 2),  b_s = (s^2 + s - 2)/(2 s (s + 1))

    For order 2 and an odd number of stages the formula is a lower bound and `real_limit` the true boundary.

    Parameters
    ----------
    stages : int
        s from 1 (order 1) or 2 to 10000.
    order : 1 or 2

    Raises
    ------
    InvalidInput
        If a parameter is out of range.

    References
    ----------
    Meyer, Balsara, Aslam, A stabilized Runge-Kutta-Legendre method for explicit super-time-stepping of parabolic and
    mixed equations, J. Comput. Phys. 257 (2014) 594-626.
    """

    stages: Stages = 9
    order: Literal[1, 2] = 2  # pyright: ignore[reportIncompatibleMethodOverride]

    def __post_init__(self) -> None:
        self._check()

    @property
    def name(self) -> str:
        """``Runge-Kutta-Legendre`` with stages and order."""
        return f"Runge-Kutta-Legendre {self.order}, {self.stages} stages"

    @property
    def _recurrence(self) -> Recurrence:
        return _legendre(self.stages, self.order)

    @property
    def real_limit(self) -> float:
        """The z at which 1 + w1 z passes -1, or a little beyond for odd s and order 2."""
        r, s = self._recurrence, self.stages
        if r.a == 0 or s % 2 == 0:
            return 2 / r.w1
        # |P_s(x)| = (1 + a)/b, x > 1, P_s increasing there
        from scipy.optimize import brentq
        from scipy.special import eval_legendre

        edge = brentq(lambda x: float(eval_legendre(s, x)) - (1 + r.a) / r.b, 1.0, 2.0, xtol=1e-15, rtol=1e-15)
        return (1 + float(edge)) / r.w1


@lru_cache(maxsize=512)
def _chebyshev(s: int, damping: float, order: int) -> Recurrence:
    w0 = 1 + damping / s**2
    T, D, E = [1.0, w0], [0.0, 1.0], [0.0, 0.0]
    for _ in range(2, s + 1):
        T.append(2 * w0 * T[-1] - T[-2])
        D.append(2 * w0 * D[-1] - D[-2] + 2 * T[-2])
        E.append(2 * w0 * E[-1] - E[-2] + 4 * D[-2])
    if order == 1:
        w1 = T[s] / D[s]
        b = [1 / t for t in T]
        rows = [(2 * w0 * b[j] / b[j - 1], -b[j] / b[j - 2], 2 * w1 * b[j] / b[j - 1], 0.0) for j in range(2, s + 1)]
        return Recurrence(0.0, b[s], w0, w1, w1 / w0, tuple(rows))
    w1 = D[s] / E[s]
    b = [E[j] / D[j] ** 2 for j in range(2, s + 1)]
    b = [b[0], b[0], *b]
    a = [1 - bj * t for bj, t in zip(b, T, strict=True)]
    rows = [
        (
            2 * w0 * b[j] / b[j - 1],
            -b[j] / b[j - 2],
            2 * w1 * b[j] / b[j - 1],
            -a[j - 1] * 2 * w1 * b[j] / b[j - 1],
        )
        for j in range(2, s + 1)
    ]
    return Recurrence(a[s], b[s], w0, w1, b[1] * w1, tuple(rows))


@lru_cache(maxsize=512)
def _legendre(s: int, order: int) -> Recurrence:
    if order == 1:
        w1 = 2 / (s * s + s)
        rows = [((2 * j - 1) / j, (1 - j) / j, w1 * (2 * j - 1) / j, 0.0) for j in range(2, s + 1)]
        return Recurrence(0.0, 1.0, 1.0, w1, w1, tuple(rows))
    w1 = 4 / (s * s + s - 2)
    b = [1 / 3, 1 / 3, *((j * j + j - 2) / (2 * j * (j + 1)) for j in range(2, s + 1))]
    rows = []
    for j in range(2, s + 1):
        mu = (2 * j - 1) / j * b[j] / b[j - 1]
        rows.append((mu, (1 - j) / j * b[j] / b[j - 2], mu * w1, -(1 - b[j - 1]) * mu * w1))
    return Recurrence(1 - b[s], b[s], 1.0, w1, b[1] * w1, tuple(rows))
