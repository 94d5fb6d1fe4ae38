"""The outcome of a race, as values."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surefoot.records import Record
from surefoot.solvers import Ending
from surefoot.tables import Table, align
from surefoot.trials._minimum import Minimum

# The gaps to which gradients are counted: what a rough answer takes and what an exact one does. By convention.
GAPS = (1e-3, 1e-6)
# SciPy's method is recommended where it takes this many times fewer gradients; less may be luck. By convention.
FAR_BETTER = 1.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entry(Record):
    """How one rule, or one of SciPy's methods, did.

    Parameters
    ----------
    name : str
    baseline : bool
        Whether it is SciPy's.
    ending : Ending
        ``good``: reached the race's tolerance; else what the verdict on the run says.
    stopped : str
        Why it ended, where that was neither the tolerance nor the budget.
    evidence : str
        The verdict on its run, in full; empty for SciPy's methods.
    rejected : int
        Number of points taken back.
    gap : array, shape (n,)
        (least loss so far - f*)/(f(x0) - f*) after each gradient; inf while there is none.
    seconds : array, shape (n,)
        Time since the start, after each gradient.
    """

    name: str
    baseline: bool
    ending: Ending
    stopped: str = ""
    evidence: str = ""
    rejected: int = 0
    gap: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)
    seconds: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False)

    @property
    def gradients(self) -> int:
        """Number of gradients spent."""
        return len(self.gap)

    @property
    def final(self) -> float:
        """The last gap."""
        return float(self.gap[-1]) if self.gap.size else math.inf

    def reached(self, gap: float) -> int | None:
        """Number of gradients until the gap was at most this; None if it never was."""
        there = np.flatnonzero(self.gap <= gap)
        return int(there[0]) + 1 if there.size else None

    def derived(self) -> Mapping[str, Any]:
        return {
            "gradients": self.gradients,
            "final": self.final,
            "reached": {f"{gap:g}": self.reached(gap) for gap in GAPS},
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Race(Table):
    """Rules side by side on one problem.

    Parameters
    ----------
    problem : str
        Its name.
    initial : float
        Loss at the start.
    least : Minimum
        f*, where it comes from, and how far below it the truth may be.
    steps : int
        Most gradients of each.
    tol : float
        Relative gap at which a run was over.
    entries : tuple of Entry
        Runs in the order in which they were made, SciPy's last.
    seconds : float
        Wall time of it all.
    """

    problem: str
    initial: float
    least: Minimum
    steps: int
    tol: float
    entries: tuple[Entry, ...]
    seconds: float

    def ranking(self, gap: float = GAPS[-1]) -> tuple[Entry, ...]:
        """Entries that reached the gap, fewest gradients first; then the others, smallest gap first."""

        def place(entry: Entry) -> tuple[float, float]:
            return entry.reached(gap) or math.inf, entry.final

        return tuple(sorted(self.entries, key=place))

    @property
    def finding(self) -> str:
        """Who was first, in a sentence."""
        gap = GAPS[-1]
        rules = [entry for entry in self.ranking(gap) if not entry.baseline]
        others = [entry for entry in self.ranking(gap) if entry.baseline and entry.reached(gap)]
        if not rules:
            return "no rule ran"
        best = rules[0]
        if best.reached(gap) is None:
            text = f"no rule reached a gap of {gap:g} in {self.steps} gradients; {best.name} came to {best.final:.2g}"
        else:
            text = f"{best.name} reached a gap of {gap:g} first of the rules, after {best.reached(gap)} gradients"
        if others:
            text += "; outside: " + " and ".join(f"{e.name} took {e.reached(gap)}" for e in others)
        return text + self._better_outside(best, others, gap)

    @staticmethod
    def _better_outside(best: Entry, others: Sequence[Entry], gap: float) -> str:
        """Advice to take SciPy, where it is the better tool; else empty."""
        spent = best.reached(gap) or best.gradients
        fewest = min((n for e in others if (n := e.reached(gap))), default=spent)
        if spent < FAR_BETTER * fewest:
            return ""
        return (
            f", {spent / fewest:.2g} times fewer: with exact gradients and room for ten vectors, "
            "scipy.optimize.minimize is the better tool here"
        )

    def __str__(self) -> str:
        heading = ("rule", *(f"gradients to {gap:g}" for gap in GAPS), "final gap", "time", "verdict")
        lines = [
            self.finding,
            f"  for {self.problem}: a race of {len(self.entries)}",
            f"  f at the start {self.initial:.6g}; f* {self.least.value:.10g} ({self._trust})",
            "",
            *align([heading, *(self._row(entry) for entry in self.entries)]),
        ]
        stopped = [f"  {e.name}: {e.stopped}" for e in self.entries if e.stopped]
        return "\n".join([*lines, *([""] if stopped else []), *stopped])

    def _row(self, entry: Entry) -> tuple[str, ...]:
        counts = [str(n) if (n := entry.reached(gap)) else f"> {entry.gradients}" for gap in GAPS]
        name = f"{entry.name} (SciPy)" if entry.baseline else entry.name
        return name, *counts, f"{entry.final:.2g}", duration(entry.seconds), entry.ending

    def derived(self) -> Mapping[str, Any]:
        return {"finding": self.finding, "trust": self._trust}

    @property
    def _trust(self) -> str:
        if self.least.given:
            return self.least.how
        if self.least.error <= 1e-3 * self.tol * (self.initial - self.least.value):
            return f"{self.least.how}; proved" + (f" to {self.least.error:.2g}" if self.least.error else "")
        if self.least.error < math.inf:
            return f"{self.least.how}; proved only to {self.least.error:.2g}"
        return f"{self.least.how}; no proof of it"

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """A row (rule, gradients, seconds, gap) for each gradient of each run, the heading first."""
        yield "rule", "gradients", "seconds", "gap"
        for entry in self.entries:
            for k, (seconds, gap) in enumerate(zip(entry.seconds.tolist(), entry.gap.tolist(), strict=True), 1):
                yield entry.name, k, seconds, gap


def duration(seconds: NDArray[np.float64]) -> str:
    """The last of some times, in a unit that suits it."""
    last = float(seconds[-1]) if seconds.size else 0.0
    return f"{1e3 * last:.3g} ms" if last < 1 else f"{last:.3g} s"
