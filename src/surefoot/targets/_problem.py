"""A classical problem as a target: gradient descent with and without momentum, run for real."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from surefoot.errors import NotFinite
from surefoot.methods import Flow, GradientDescent, HeavyBall, Method, Nesterov
from surefoot.operators import Array, Operator
from surefoot.problems import Problem
from surefoot.spectra import Spectrum

__all__ = ["ProblemCandidate", "ProblemTarget"]


@dataclass(frozen=True, slots=True)
class ProblemCandidate:
    """A method with the name it goes by."""

    label: str
    method: Method
    note: str = ""


class ProblemTarget:
    """A `Problem` as a target.

    Parameters
    ----------
    problem : Problem
    rng : int
        Seed of the start, which is random only where the problem's own start is already stationary.
    """

    def __init__(self, problem: Problem, rng: int = 0) -> None:
        self.problem = problem
        self._start = _moving_start(problem, rng)
        self._hessian = problem.hessian(self._start)

    @property
    def name(self) -> str:
        """The problem's name."""
        return self.problem.name

    @property
    def constant_curvature(self) -> bool:
        """Whether the problem is a quadratic."""
        return self.problem.constant_curvature

    def describe(self) -> Mapping[str, str]:
        """Size, convexity and the loss at the start."""
        return {
            "unknowns": f"{self.problem.size}",
            "convex": "yes" if self.problem.convex else "not known",
            "loss at the start": f"{self.initial_loss():.6g}",
        }

    def candidates(self) -> tuple[ProblemCandidate, ...]:
        """Gradient descent, heavy ball and Nesterov."""
        methods = {
            "gradient descent": GradientDescent(),
            "heavy ball 0.9": HeavyBall(0.9),
            "Nesterov 0.9": Nesterov(0.9),
        }
        return tuple(ProblemCandidate(label, method) for label, method in methods.items())

    def global_curvature(self) -> Spectrum:
        """The problem's own bounds."""
        return self.problem.curvature()

    def operator(self, candidate: ProblemCandidate) -> Operator:  # noqa: ARG002 - every method sees the same terrain
        """The Hessian at the start."""
        return self._hessian

    def trial(self, candidate: ProblemCandidate, step: float, steps: int) -> list[float]:
        """Losses along a run; the list ends early with nan where it left the finite numbers."""
        return [loss if math.isfinite(loss) else math.nan for loss, _ in self._run(candidate.method, step, steps)]

    def gradient_norms(self, candidate: ProblemCandidate, step: float, steps: int) -> list[float]:
        """Gradient norms along a run."""
        return [norm for _, norm in self._run(candidate.method, step, steps)]

    def initial_loss(self) -> float:
        """The loss at the start."""
        return self.problem.value(self._start)

    def constant_loss(self) -> float | None:
        """Not defined for a problem in general."""
        return None

    def _run(self, method: Method, step: float, steps: int) -> Iterator[tuple[float, float]]:
        """Loss and gradient norm at each iterate; ends with nan where a run leaves the finite numbers."""
        state = method.start(self._start)
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(steps + 1):
                try:
                    loss, gradient = self.problem.value_and_gradient(state[0])
                except NotFinite:
                    yield math.nan, math.nan
                    return
                yield loss, float(np.linalg.norm(gradient))
                state = method.update(state, self._flow(step, state[0], gradient))

    def _flow(self, step: float, at: Array, gradient: Array) -> Flow:
        """-step * gradient, without computing it again at the iterate."""
        return lambda x: -step * (gradient if x is at else self.problem.gradient(x))


def _moving_start(problem: Problem, rng: int) -> Array:
    """The problem's start, or a random point where the gradient there is zero."""
    start = problem.start()
    if np.linalg.norm(problem.gradient(start)) > 0:
        return start
    return np.random.default_rng(rng).standard_normal(problem.size)
