"""A classical problem as a target: gradient descent with and without momentum, run for real."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from surefoot.checks import checked, random_generator
from surefoot.errors import NotFinite, SurefootError
from surefoot.methods import GradientDescent, HeavyBall, Method, Nesterov
from surefoot.operators import Array, Operator
from surefoot.problems import Logistic, Problem, precondition
from surefoot.rules import Constant
from surefoot.solvers import Trace, descend
from surefoot.spectra import Spectrum
from surefoot.stability import Limits, limits
from surefoot.targets._entry import Kind

# Scaling is mentioned where curvatures along the axes differ by this factor (features by its root), on problems small
# enough to try it for free.
UNEVEN = 1000.0
MOST_SCALED = 500
# Entries of the data for which a linear program is a second's work.
MOST_SEPARATED = 500_000


@dataclass(frozen=True, slots=True)
class ProblemCandidate:
    """A method with the name it goes by."""

    label: str
    method: Method
    note: str = ""


@checked
class ProblemTarget:
    """A `Problem` as a target.

    Parameters
    ----------
    problem : Problem
        Kept as `problem`; `start` is where its runs begin, shape (size,).
    rng : int
        Seed of the start, which is random only where the problem's own start is already stationary.
    name : str
        What to call it, where its problem's name does not tell it from its neighbour.

    Attributes
    ----------
    enough : callable or None
        (x, loss) to whether a run is to stop there; None where only the minimum is.
    goal : float or None
        The loss that counts as the least in a race, where that is not the minimum.

    Examples
    --------
    >>> from surefoot.problems import Quadratic
    >>> from surefoot.targets import ProblemTarget
    >>> target = ProblemTarget(Quadratic([[1.0]], [1.0]))
    >>> target.trial(target.candidates()[0], 0.5, 2)  # descent halves x - 1: f = ((x - 1)^2 - 1)/2
    [0.0, -0.375, -0.46875]
    """

    kind: ClassVar[Kind] = "problem"
    enough: Callable[[Array, float], bool] | None = None
    goal: float | None = None

    def __init__(self, problem: Problem, rng: int = 0, *, name: str = "") -> None:
        self.problem = problem
        self.start = _moving_start(problem, rng)
        self.uncertain = 0.0
        self._name = name or problem.name
        self._hessian = problem.hessian(self.start)

    def with_uncertainty(self, fraction: float) -> "ProblemTarget":
        """The same target with every feature's scale known to +-fraction only: limits hold for all of them.

        Raises
        ------
        InvalidInput
            If the problem has no features, or the fraction is out of range.
        """
        self.problem.uncertain_curvature(fraction)
        other = copy.copy(self)
        other.uncertain = fraction
        return other

    @property
    def name(self) -> str:
        """The name it was given, or the problem's."""
        return self._name

    @property
    def constant_curvature(self) -> bool:
        """Whether the problem is a quadratic, and known for certain."""
        return self.problem.constant_curvature and not self.uncertain

    def describe(self) -> Mapping[str, str]:
        """Size, convexity, the loss at the start, and what scaling the unknowns would buy where it buys much."""
        facts = {
            "unknowns": f"{self.problem.size}",
            "convex": "yes" if self.problem.convex else "not known",
            "loss at the start": f"{self.initial_loss():.6g}",
            **({"loss": self.problem.loss_is} if self.problem.loss_is else {}),
            **_separable(self.problem),
        }
        gain = _gain_by_scaling(self.problem)
        return {**facts, "scaling the unknowns": gain} if gain else facts

    def candidates(self) -> tuple[ProblemCandidate, ...]:
        """Gradient descent, heavy ball and Nesterov."""
        methods = {
            "gradient descent": GradientDescent(),
            "heavy ball 0.9": HeavyBall(0.9),
            "Nesterov 0.9": Nesterov(0.9),
        }
        return tuple(ProblemCandidate(label, method) for label, method in methods.items())

    def global_curvature(self) -> Spectrum:
        """The problem's own bounds, or the worst case of uncertain features."""
        return self.problem.uncertain_curvature(self.uncertain) if self.uncertain else self.problem.curvature()

    def operator(self, candidate: ProblemCandidate) -> Operator:  # noqa: ARG002 - every method sees the same curvature
        """The Hessian at the start."""
        return self._hessian

    def proved_below(self, candidate: ProblemCandidate, allowed: Limits) -> float | None:
        """The step below which every run converges, by a theorem; None where there is none.

        On a convex quadratic the linear limit is one for every method. On another convex f with gradients of Lipschitz
        constant L gradient descent converges below 2/L (Polyak 1987, section 1.4); momentum has no such theorem here.
        """
        if not self.problem.convex or not 0 < allowed.stable < math.inf:
            return None
        linear = self.constant_curvature
        smooth = allowed.scope == "global" and isinstance(candidate.method, GradientDescent)
        return allowed.stable if linear or smooth else None

    def trial(self, candidate: ProblemCandidate, step: float, steps: int) -> list[float]:
        """Losses along a run; the list ends early with nan where it left the finite numbers."""
        trace = self._run(candidate.method, step, steps)
        return [math.nan] if trace is None else _whole(trace, trace.loss, steps)

    def gradient_norms(self, candidate: ProblemCandidate, step: float, steps: int) -> list[float]:
        """Gradient norms along a run; ends early with nan where it left the finite numbers."""
        trace = self._run(candidate.method, step, steps)
        return [math.nan] if trace is None else _whole(trace, trace.gradient_norm, steps)

    def initial_loss(self) -> float:
        """The loss at the start."""
        return self.problem.value(self.start)

    def constant_loss(self) -> float | None:
        """Not defined for a problem in general."""
        return None

    def _run(self, method: Method, step: float, steps: int) -> Trace | None:
        """Every point of a run at a constant step; None where not even the start is finite."""
        try:
            run = descend(
                self.problem, self.start, rule=Constant(step=step), method=method, steps=steps, tol=0.0, curvature=False
            )
        except NotFinite:
            return None
        return run.trace


def _separable(problem: Problem) -> dict[str, str]:
    """Whether a logistic regression has no minimum; asked where the answer is cheap."""
    if not isinstance(problem, Logistic) or problem.ridge or problem.size * problem.terms > MOST_SEPARATED:
        return {}
    if not problem.separable:
        return {}
    return {"separable": "yes, so the loss has no minimum and the weights grow for ever; add a ridge"}


def _whole(trace: Trace, values: NDArray[np.float64], steps: int) -> list[float]:
    """As many as a run has points: one that came to rest stays there, one that left the numbers ends in nan."""
    numbers: list[float] = values.tolist()
    if math.isfinite(trace.loss[-1]) and math.isfinite(trace.gradient_norm[-1]):
        return numbers + [numbers[-1]] * (steps + 1 - len(numbers))
    return [*numbers[:-1], math.nan]


def _gain_by_scaling(problem: Problem) -> str:
    """The limit before and after Jacobi scaling, where the unknowns have uneven units; empty elsewhere.

    Multiply a feature by s and its curvature is multiplied by s^2: uneven units cost steps, and the fix is free.
    """
    if problem.size > MOST_SCALED:
        return ""
    try:
        diagonal = problem.hessian_diagonal()
        if not diagonal.max() > UNEVEN * diagonal.min() > 0:
            return ""
        before, after = limits(problem), limits(precondition(problem, "jacobi"))
    except SurefootError:  # no diagonal to be had, or no curvature
        return ""
    return f"raises the limit from {before.curvature_limit:.4g} to {after.curvature_limit:.4g} (Jacobi preconditioning)"


def _moving_start(problem: Problem, rng: int) -> Array:
    """The problem's start, or a random point where the gradient there is zero."""
    start = problem.start()
    if np.linalg.norm(problem.gradient(start)) > 0:
        return start
    return random_generator(rng).standard_normal(problem.size)
