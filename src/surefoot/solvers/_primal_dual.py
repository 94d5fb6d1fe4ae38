"""Primal-dual splitting with steps from a certified norm: Chambolle-Pock, or Condat-Vu with a smooth part."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import Nonnegative, Positive, Range, checked, real_array
from surefoot.errors import InvalidInput, InvalidType
from surefoot.operators import Array, Operator, as_operator
from surefoot.problems import Problem
from surefoot.records import Record
from surefoot.solvers._observation import norm as length
from surefoot.solvers._proximal import Proximal, penalty_value
from surefoot.spectra import Bounds, norm_squared

# Default share of the limit 1: strictly below it despite rounding.
SHARE = 0.99
# From Goldstein et al. 2015: the first relative change of the steps, its decay, and the tolerated ratio of residuals.
CHANGE, DECAY, APART = 0.5, 0.95, 1.5
# tau is at most 2/L, so a sigma |K|^2 below this share of L would hardly lengthen it.
LEAST = 0.05
# Residuals that have grown by this factor count as diverged. By convention.
HOPELESS = 1e8

Callback = Callable[[Array, int], object]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PrimalDual(Record):
    """The outcome of a primal-dual run.

    Parameters
    ----------
    x : array, shape (n,)
        The primal iterate.
    y : array, shape (m,)
        The dual one.
    objective : float
        f(x) + g(x) + h(K x).
    converged : bool
        Whether both residuals fell to tol.
    stopped : str
        Why the run ended, for a person.
    primal, dual : array, shape (k,)
        Residual norms of the optimality conditions after each step.
    tau, sigma : array, shape (k,)
        The steps taken.
    share : float
        tau (L/2 + sigma |K|^2), the share of the limit that was used.
    norm_squared : Bounds
        |K|^2, whose upper end the steps were computed from.
    """

    x: Array
    y: Array
    objective: float
    converged: bool
    stopped: str
    primal: NDArray[np.float64]
    dual: NDArray[np.float64]
    tau: NDArray[np.float64]
    sigma: NDArray[np.float64]
    share: float
    norm_squared: Bounds

    @property
    def diverged(self) -> bool:
        """Whether the residuals grew far above their first values or became not finite."""
        return self.stopped.startswith("diverged")

    def __repr__(self) -> str:
        return f"PrimalDual(objective={self.objective:.6g}, steps={len(self.tau)}, {self.stopped!r})"

    def __str__(self) -> str:
        return (
            f"{self.stopped} after {len(self.tau)} steps: objective {self.objective:.8g}, residuals "
            f"{_last(self.primal):.3g} (primal) and {_last(self.dual):.3g} (dual)\n"
            f"tau {_last(self.tau):.4g}, sigma {_last(self.sigma):.4g}: {self.share:.4g} of the limit for "
            f"|K|^2 <= {self.norm_squared.upper:.6g} ({self.norm_squared.upper_is})"
        )


@checked
@np.errstate(over="ignore", invalid="ignore")
def primal_dual(
    problem: Problem | None,
    K: Any,
    h: Proximal,
    *,
    g: Proximal | None = None,
    x0: Any = None,
    share: Positive = SHARE,
    ratio: Positive | None = None,
    adaptive: bool = True,
    norm: Bounds | Nonnegative | None = None,
    steps: Annotated[int, Range("[0, inf)")] = 1000,
    tol: Nonnegative = 1e-4,
    callback: Callback | None = None,
) -> PrimalDual:
    """Minimise f(x) + g(x) + h(K x): f smooth, g and h known by their proximal maps, K linear.

        x+ = prox_{tau g}(x - tau (grad f(x) + K'y))
        y+ = prox_{sigma h*}(y + sigma K (2 x+ - x)),    tau (L/2 + sigma |K|^2) = share

    Without f this is Chambolle and Pock's method, tau sigma |K|^2 = share. *Proved* to converge for share < 1 and any
    ratio (Condat 2013, theorem 3.1; with adaptive steps proved without f only, Goldstein et al. 2015); without f and
    with constant steps for share < 4/3 (Banert, Upadhyaya, Giselsson 2023), above which it diverges on <K x, y>. A
    larger share is allowed, to see what happens. |K|^2 is the upper end of its certified interval: with an
    estimate from below, such as power iteration's, the share would be larger than it seems.

    Parameters
    ----------
    problem : Problem or None
        f, which provides its curvature; None for f = 0.
    K : matrix or operator, shape (m, n)
    h, g : object with ``prox(x, tau)``
        Penalties such as `GroupL1`, `L1`, `Box`, and PyProximal's operators; g may be left out.
    x0 : array, shape (n,), optional
        The start: the problem's own, else zero.
    share : float
        Share of the limit to use, > 0.
    ratio : float, optional
        Initial sigma/tau. Default: 1 without f, else sigma |K|^2 = L/2, so that tau = share/L.
    adaptive : bool
        Adapt the ratio so that both residuals, times the distances moved in x and in y, fall alike (Goldstein et al.
        2015, algorithm 1; the changes decay and are summable, which preserves the proof).
    norm : Bounds or float, optional
        |K|^2, if it is known; else measured to 0.1%.
    steps : int
        Largest number of steps, each with one gradient, one product with K and one with K'.
    tol : float
        Stop when the primal residual is at most tol times the largest |grad f| or |K'y| so far, and the dual residual
        at most tol times the largest |K x|.
    callback : callable, optional
        Called with (x, steps made); a true return value stops the run.

    Returns
    -------
    PrimalDual
        The outcome, also of a diverging run.

    Raises
    ------
    InvalidInput
        If shapes do not fit or a number is out of range.
    InvalidType
        If h or g has no proximal map, or K is complex.

    References
    ----------
    A. Chambolle, T. Pock, J. Math. Imaging Vision 40 (2011) 120-145. L. Condat, J. Optim. Theory Appl. 158 (2013)
    460-479. T. Goldstein, M. Li, X. Yuan, Adaptive primal-dual splitting methods for statistical learning and image
    processing, NIPS 2015.

    Examples
    --------
    Total variation denoising of a step:

    >>> import numpy as np
    >>> from surefoot.solvers import GroupL1, SquaredDistance, primal_dual
    >>> from surefoot.operators import gradient
    >>> b = np.r_[np.zeros(4), np.ones(4)]
    >>> run = primal_dual(None, gradient((8,)), GroupL1(0.2, parts=1), g=SquaredDistance(b), tol=1e-9)
    >>> run.x.round(4).tolist()
    [0.05, 0.05, 0.05, 0.05, 0.95, 0.95, 0.95, 0.95]
    """
    operator = _operator(problem, K)
    if norm is None:
        known = norm_squared(operator)
    else:
        known = norm if isinstance(norm, Bounds) else Bounds(0.0, norm, "proved", "estimate")
    L = 0.0 if problem is None else max(problem.curvature().largest.upper, 0.0)
    engine = _Engine(problem, operator, h, g, _Plan(share, L, known.upper, ratio))
    stopped = engine.run(_start(problem, operator, x0), steps, tol, adaptive, callback)
    return engine.outcome(stopped, known)


class _Plan:
    """The step sizes: sigma, and tau = share/(L/2 + sigma |K|^2)."""

    def __init__(self, share: float, L: float, square: float, ratio: float | None) -> None:
        self.share, self.L, self.square = share, L, square
        if square <= 0:
            self.sigma = 1.0  # for K = 0 any step will do
        elif ratio is None:
            self.sigma = L / (2 * square) if L > 0 else math.sqrt(share / square)
        else:
            # tau = sigma/ratio in tau (L/2 + sigma |K|^2) = share, the positive root, without cancellation
            half = L / 4
            self.sigma = share * ratio / (half + math.sqrt(half * half + share * ratio * square))
        self.change = CHANGE
        if not (0 < self.sigma < math.inf and math.isfinite(1 / self.sigma)):
            raise InvalidInput(f"the steps leave the floats: sigma={self.sigma!r}; take a ratio nearer to 1")

    @property
    def tau(self) -> float:
        limit = self.L / 2 + self.sigma * self.square
        return self.share / limit if limit > 0 else 1.0

    def balance(self, primal: float, dual: float) -> None:
        """Lengthen the step of the side whose residual is larger."""
        if primal > APART * dual:
            least = LEAST * self.L / self.square if self.square > 0 else 0.0
            if self.sigma <= least:
                return
            self.sigma = max(self.sigma * (1 - self.change), least)
        elif dual > APART * primal:
            self.sigma /= 1 - self.change
        else:
            return
        self.change *= DECAY


@dataclass
class _Engine:
    """The recurrence and its history."""

    problem: Problem | None
    operator: Operator
    h: Proximal
    g: Proximal | None
    plan: _Plan
    rows: list[tuple[float, float, float, float]] = field(default_factory=list[Any])

    def run(self, x: Array, steps: int, tol: float, adaptive: bool, callback: Callback | None) -> str:
        """Run the recurrence; returns why it ended."""
        K, plan = self.operator, self.plan
        self.x, self.y = x, np.zeros(K.shape[0])
        start, image, pulled, slope = x, K.matvec(x), np.zeros(K.shape[1]), self.slope(x)
        forces, images = length(slope), length(image)  # the largest so far, with which residuals are compared
        for made in range(1, steps + 1):
            tau, sigma = plan.tau, plan.sigma
            moved = self.x - tau * (slope + pulled)
            x = moved if self.g is None else self.g.prox(moved, tau)
            new_image = _product(K.matvec, x)
            v = self.y + sigma * (2 * new_image - image)
            y = v - sigma * self.h.prox(v / sigma, 1 / sigma)  # Moreau's identity for the conjugate
            new_pulled, new_slope = _product(K.rmatvec, y), self.slope(x)
            primal = length((self.x - x) / tau - (pulled - new_pulled) - (slope - new_slope))
            dual = length((self.y - y) / sigma - (image - new_image))
            self.rows.append((primal, dual, tau, sigma))
            if not self.is_bounded(primal, dual):
                return f"diverged: the residuals grew to {primal:.3g} and {dual:.3g}"
            self.x, self.y, image, pulled, slope = x, y, new_image, new_pulled, new_slope
            forces, images = max(forces, length(slope), length(pulled)), max(images, length(image))
            if primal <= tol * forces and dual <= tol * images:
                return "converged"
            if callback is not None and callback(x, made):
                return "stopped by the callback"
            if adaptive:
                # both in the unit of the objective, so that the units of x and of K x do not matter
                plan.balance(primal * length(x - start), dual * length(y))
        return "all steps used"

    def slope(self, x: Array) -> Array:
        """The gradient of f."""
        return np.zeros(self.operator.shape[1]) if self.problem is None else self.problem.gradient(x)

    def is_bounded(self, primal: float, dual: float) -> bool:
        """Whether the residuals are finite and not far above their first values."""
        first = self.rows[0]
        return math.isfinite(primal) and math.isfinite(dual) and max(primal, dual) <= HOPELESS * max(first[0], first[1])

    def outcome(self, stopped: str, known: Bounds) -> PrimalDual:
        """The result of the run."""
        primal, dual, tau, sigma = np.asarray(self.rows, dtype=np.float64).reshape(-1, 4).T
        value = penalty_value(self.h, self.operator.matvec(self.x))
        value += 0.0 if self.g is None else penalty_value(self.g, self.x)
        return PrimalDual(
            x=self.x,
            y=self.y,
            objective=value + (0.0 if self.problem is None else self.problem.value(self.x)),
            converged=stopped == "converged",
            stopped=stopped,
            primal=primal,
            dual=dual,
            tau=tau,
            sigma=sigma,
            share=self.plan.share,
            norm_squared=known,
        )


def _operator(problem: Problem | None, K: Any) -> Operator:
    operator = as_operator(K, tolerance=0.0)
    if operator.complex:
        raise InvalidType("K must be real; got complex products: use the real form [[Re, -Im], [Im, Re]]")
    if problem is not None and problem.size != operator.shape[1]:
        raise InvalidInput(f"K must have a column for each of the {problem.size} unknowns; got shape {operator.shape}")
    return operator


def _start(problem: Problem | None, operator: Operator, x0: Any) -> Array:
    n = operator.shape[1]
    if x0 is None:
        return np.zeros(n) if problem is None else np.array(problem.start(), dtype=np.float64)
    x = real_array(x0, "x0")
    if x.shape != (n,) or not np.isfinite(x).all():
        raise InvalidInput(f"x0 must be finite and have shape ({n},); got shape {x.shape}")
    return x.copy()


def _product(product: Callable[[Array], Array], x: Array) -> Array:
    """The product, or nan for a vector that is not finite, which operators refuse."""
    return product(x) if np.isfinite(x).all() else np.full_like(x, math.nan)


def _last(values: NDArray[np.float64]) -> float:
    return float(values[-1]) if values.size else math.nan
