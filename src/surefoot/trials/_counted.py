"""A problem that notes what is asked of it: every gradient, the loss there, and when."""

import time
from collections.abc import Generator
from contextlib import contextmanager

from surefoot.operators import Array
from surefoot.problems import Problem
from surefoot.spectra import Spectrum


class Enough(Exception):
    """A run of somebody else's code ends here: the goal is reached or the budget spent."""


class Counted(Problem):
    """A problem that records each gradient.

    Parameters
    ----------
    problem : Problem
        The problem that is evaluated.
    goal : float
        A loss that ends a run of somebody else's code.
    budget : int
        A number of gradients that ends it.

    Attributes
    ----------
    losses : list of float
        One for each gradient; nan where the loss was not asked for.
    seconds : list of float
        Time from the start to the end of each, without pauses.
    """

    def __init__(self, problem: Problem, goal: float = -float("inf"), budget: int = 0) -> None:
        self._inner = problem
        self._goal, self._budget = goal, budget
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self._began = time.perf_counter()

    @property
    def name(self) -> str:
        """As the problem's."""
        return self._inner.name

    @property
    def size(self) -> int:
        """As the problem's."""
        return self._inner.size

    @property
    def convex(self) -> bool:
        """As the problem's."""
        return self._inner.convex

    def start(self) -> Array:
        """As the problem's."""
        return self._inner.start()

    def value(self, x: Array) -> float:
        """f(x), not counted: no method here asks for values alone."""
        return self._inner.value(x)

    def gradient(self, x: Array) -> Array:
        """The gradient, counted."""
        gradient = self._inner.gradient(x)
        self.note(float("nan"))
        return gradient

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        """Both, counted as one gradient."""
        loss, gradient = self._inner.value_and_gradient(x)
        self.note(float(loss))
        return loss, gradient

    def hessian_product(self, x: Array, v: Array) -> Array:
        """The Hessian at x times v, not counted: a method that lives on products notes them itself."""
        return self._inner.hessian_product(x, v)

    @property
    def loss_is(self) -> str:
        """As the problem's."""
        return self._inner.loss_is

    def curvature(self) -> Spectrum:
        """As the problem's."""
        return self._inner.curvature()

    def begin(self) -> None:
        """Start the clock anew: what came before was preparation."""
        self._began = time.perf_counter()

    def note(self, loss: float) -> None:
        """One gradient more."""
        self.seconds.append(time.perf_counter() - self._began)
        self.losses.append(loss)

    def check(self) -> None:
        """Stop somebody else's code.

        Raises
        ------
        Enough
            If the goal is reached or the budget spent.
        """
        if self.losses and (self.losses[-1] <= self._goal or len(self.losses) >= self._budget):
            raise Enough

    @contextmanager
    def pause(self) -> Generator[None]:
        """What is computed in here is for the record only, and takes no time."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._began += time.perf_counter() - began
