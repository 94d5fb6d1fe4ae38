"""One explanation of the rates: the plan with something changed, and what that is in words."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from surefoot.audits._plan import Plan
from surefoot.audits._rows import Array, Rows

# Burden of a pair beyond the sum of the two: a single cause that explains the log always comes first.
PAIR = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A plan, and how the run went through it.

        rate(step) = plan.rates(pace * k),    k = step - shift, rounded down to a multiple of stair

    Parameters
    ----------
    plan : Plan
    pace : float
        Positions per step.
    shift : float
        Step at which the schedule began.
    stair : float
        Steps that a rate is held for.
    """

    plan: Plan
    pace: float = 1.0
    shift: float = 0.0
    stair: float = 1.0

    def with_plan(self, **changes: Any) -> "Variant":
        """The same variant of a plan with other settings."""
        return replace(self, plan=replace(self.plan, **changes))

    def rates(self, steps: Array, total: Array | float | None = None, warmup: Array | float | None = None) -> Array:
        """Rates at steps, perhaps with another total or warm-up, which are broadcast with the steps."""
        k = steps - self.shift
        if self.stair > 1:
            k = np.floor(k / self.stair) * self.stair
        return self.plan.rates(self.pace * k, total, warmup)

    def peak(self, rows: Rows) -> float:
        """The highest of its rates at the rows, at its start, and where its warm-up ends."""
        return float(self.rates(np.array([0.0, self.plan.warmup, *rows.some().steps])).max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One explanation.

    Parameters
    ----------
    word : str
        The cause in a few words, from a fixed list.
    says : str
        A sentence with its numbers.
    fix : str
        What would fix it.
    burden : int
        How much it assumes: of two explanations that fit, the one that assumes less is taken.
    variant : Variant or None
        The plan with that change; None where the rates are a constant or follow no curve.
    worst : float
        Largest difference that it leaves, as a part of the largest rate.
    scale : float
        Factor between its curve and the rates; the rate itself where that is a constant.
    whole : bool
        Whether that factor is the whole run's, so that the plan's own rates have it too.
    """

    word: str
    says: str
    fix: str
    burden: int
    variant: Variant | None = None
    worst: float = 0.0
    scale: float = 1.0
    whole: bool = False

    def and_then(self, other: "Explanation") -> "Explanation":
        """The explanation that consists of this one and another on top of it."""
        # a schedule that began again over another length is still one kind of cause
        word = self.word if self.word == other.word else f"{self.word} and {other.word}"
        return replace(
            other,
            word=word,
            says=f"{self.says}; and {other.says}",
            fix=self.fix if self.fix == other.fix else f"{self.fix}; and {other.fix}",
            burden=self.burden + other.burden + PAIR,
            worst=max(self.worst, other.worst),
            whole=self.whole,
        )


def sift(rows: Rows, explanations: list[Explanation], scale: float | None) -> list[Explanation]:
    """The explanations whose curves fit all rows, after a quick test on a sample of them.

    Parameters
    ----------
    rows : Rows
    explanations : list of Explanation
        One without a variant is left out.
    scale : float or None
        Factor; None for the best one of each.
    """
    few = rows.some()
    curves = [(each, each.variant) for each in explanations if each.variant is not None]
    if not curves:
        return []
    worst, _ = few.fit(np.stack([variant.rates(few.steps) for _, variant in curves]), scale)
    fitting: list[Explanation] = []
    # the best scale for a few rows need not be the best for all: twice the slack
    for i in np.nonzero(worst <= 2 * rows.loose)[0]:
        explanation, variant = curves[int(i)]
        all_worst, factor = rows.fit(variant.rates(rows.steps), scale)
        if all_worst <= rows.loose:
            fitting.append(replace(explanation, worst=float(all_worst), scale=float(factor)))
    return fitting


def simplest(explanations: list[Explanation], rows: Rows) -> list[Explanation]:
    """Explanations sorted: those that leave only rounding first, then by burden; ties keep their order."""
    return sorted(
        explanations, key=lambda s: (s.worst > rows.tight, s.burden, s.worst if s.worst > rows.tight else 0.0)
    )
