"""Exact worst-case rates of fixed step sequences, by performance estimation (needs the extra `certify`)."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType, MissingExtra, NotFinite
from surefoot.progress import Progress
from surefoot.records import Record
from surefoot.rules import Rule

__all__ = [
    "certify",
]


# Steps, and the seconds that their certificate took on one core of about 2.5 GHz.
MEASURED = 23, 1.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate(Record):
    """The worst that a step sequence can do on a class of functions.

    Parameters
    ----------
    steps : tuple of float
        h_0, ..., h_(n-1); unit 1/L.
    L, mu : float
        All functions whose gradient is L-Lipschitz and that are mu-strongly convex.
    worst_case : float
        The exact sup of (f(x_n) - f*) / |x_0 - x*|^2, to the accuracy of the solver.
    textbook : float or None
        The usual bound on the same ratio; None where there is none.
    source : str
        Source of the textbook bound.
    """

    steps: tuple[float, ...]
    L: float
    mu: float
    worst_case: float
    textbook: float | None
    source: str

    def __str__(self) -> str:
        lines = [
            f"{len(self.steps)} gradient steps on any {self.L:g}-smooth function"
            + (f" that is {self.mu:g}-strongly convex" if self.mu else " that is convex"),
            f"  worst case  f(x_n) - f* = {self.worst_case:.8g} |x_0 - x*|^2  (exact)",
        ]
        if self.textbook is not None:
            lines.append(f"  textbook    f(x_n) - f* <= {self.textbook:.8g} |x_0 - x*|^2  ({self.source})")
        if self.worst_case > self.L / 2:
            lines.append("  these steps can end higher than they began: f(x_0) - f* is at most L/2 |x_0 - x*|^2")
        return "\n".join(lines)


@checked
def certify(
    steps: Sequence[float] | Rule,
    L: float,
    mu: float = 0.0,
    *,
    count: int | None = None,
    progress: Progress | None = None,
) -> Certificate:
    """The exact worst case of gradient descent with given steps over all L-smooth mu-strongly convex functions.

        sup over f, x_0 of (f(x_n) - f*) / |x_0 - x*|^2,    x_(k+1) = x_k - h_k grad f(x_k)

    A semidefinite program of size n + 2 whose optimum is attained by a function of the class (Taylor, Hendrickx,
    Glineur 2017). Its time grows like n^3: half a second for n = 15, about a minute for n = 63.

    Parameters
    ----------
    steps : sequence of float, or Rule
        The h_k; or a rule that looks at nothing (a schedule), with `count`.
    L : float
        Smoothness, positive.
    mu : float
        Strong convexity, 0 <= mu < L.
    count : int, optional
        Number of steps to take from a rule.
    progress : callable, optional
        Called with (done, total, label, about how many seconds are left): once before the program is solved, and at
        the end.

    Returns
    -------
    Certificate

    Raises
    ------
    InvalidInput
        If a number is out of range, or the rule adapts to what it sees.
    InvalidType
        If the steps are neither.
    NotFinite
        If the steps are so long that no number says what they may do.
    MissingExtra
        If PEPit is not installed.
    """
    if not 0 < L < math.inf or not 0 <= mu < L:
        raise InvalidInput(f"needs 0 <= mu < L, finite; got mu={mu!r}, L={L!r}")
    sequence = _sequence(steps, count)
    textbook, source = _textbook(sequence, L, mu)
    if progress is not None:
        n, (size, seconds) = len(sequence), MEASURED
        progress(0, 1, f"a semidefinite program for {n} steps", seconds * (n / size) ** 3)
    worst = _worst_case(sequence, L, mu)
    if progress is not None:
        progress(1, 1, f"worst case {worst:.4g}", 0.0)
    return Certificate(steps=sequence, L=L, mu=mu, worst_case=worst, textbook=textbook, source=source)


@dataclass(frozen=True, slots=True)
class _StepNumber:
    """An observation that shows the count of steps only."""

    iteration: int
    step: float


def _sequence(steps: Sequence[float] | Rule, count: int | None) -> tuple[float, ...]:
    if isinstance(steps, Rule):
        return _steps_of(steps, count)
    if isinstance(steps, str) or not isinstance(steps, Sequence):
        raise InvalidType(f"steps must be a sequence of numbers or a rule; got {type(steps).__name__}")
    if count is not None:
        raise InvalidInput("count goes with a rule; a sequence has its own length")
    sequence = tuple(float(step) for step in steps)
    if not sequence or not all(0 <= step < math.inf for step in sequence):
        raise InvalidInput(f"needs at least one step, each finite and >= 0; got {sequence}")
    return sequence


def _steps_of(rule: Rule, count: int | None) -> tuple[float, ...]:
    if rule.needs:
        raise InvalidInput(
            f"{type(rule).__name__} adapts to what it sees ({', '.join(sorted(rule.needs))}): its steps are no fixed "
            "sequence, and a worst case over sequences says nothing of it; give a schedule such as Silver or Constant"
        )
    if count is None or count < 1:
        raise InvalidInput(f"how many steps of {type(rule).__name__}? give count >= 1; got {count!r}")
    state, step, sequence = rule.init(), math.nan, []
    for iteration in range(count):
        decision, state = rule.update(state, _StepNumber(iteration, step))  # pyright: ignore[reportArgumentType]
        step = decision.step
        sequence.append(step)
    return tuple(sequence)


def _textbook(steps: tuple[float, ...], L: float, mu: float) -> tuple[float | None, str]:
    if mu > 0:
        factor = math.prod(max(abs(1 - h * mu), abs(1 - h * L)) for h in steps)
        factor *= factor  # infinite where a power would raise
        return L / 2 * factor, "L/2 prod max(|1 - h mu|, |1 - h L|)^2, Polyak 1987"
    if all(math.isclose(h * L, 1) for h in steps):
        return L / (2 * len(steps)), "L/(2n) for h = 1/L, Beck and Teboulle 2009"
    return None, ""


def _worst_case(steps: tuple[float, ...], L: float, mu: float) -> float:
    try:
        from PEPit import PEP
        from PEPit.functions import SmoothConvexFunction, SmoothStronglyConvexFunction
    except ModuleNotFoundError as error:
        raise MissingExtra("certify needs PEPit; pip install '.[certify]' in a checkout of Surefoot") from error
    # In units where L = 1 the program is well scaled whatever the problem's units are.
    program: Any = PEP()
    if mu > 0:
        function = program.declare_function(SmoothStronglyConvexFunction, mu=mu / L, L=1.0)
    else:
        function = program.declare_function(SmoothConvexFunction, L=1.0)
    optimum: Any = function.stationary_point()
    x: Any = program.set_initial_point()
    program.set_initial_condition((x - optimum) ** 2 <= 1)
    for h in steps:
        x = x - h * L * function.gradient(x)
    program.set_performance_metric(function(x) - function(optimum))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of numbers too large for it: then it has no answer
        try:
            worst = program.solve(verbose=0)
        except ValueError:
            worst = None
    if worst is None or not math.isfinite(L * worst):
        raise NotFinite(f"steps times L of up to {max(steps) * L:.3g} have no numerical worst case; give shorter steps")
    return L * float(worst)
