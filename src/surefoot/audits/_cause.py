"""One explanation of the rates, and what is shared by those who look for it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from surefoot.audits._plan import Plan
from surefoot.audits._rows import Curve, Match, Rows
from surefoot.rules import Cosine

__all__ = ["FAR", "MOST", "Cause", "Guess", "continued", "past", "simplest"]

# Processes, micro-batches: more than so many are looked for by search only.
MOST = 64
# A length is looked for between so many times shorter and longer.
FAR = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One explanation of the rates.

    Parameters
    ----------
    word : str
        The cause in a few words, always the same ones.
    says : str
        A sentence with its numbers.
    fix : str
        What would fix it.
    burden : int
        How much it assumes: of two that fit, the lighter is taken.
    worst : float
        Largest difference that it leaves, as a part of the largest rate.
    scale : float
        Factor between its curve and the rates.
    whole : bool
        Whether that factor is the whole run's, so that the plan's own rates have it too.
    """

    word: str
    says: str
    fix: str
    burden: int
    worst: float = 0.0
    scale: float = 1.0
    whole: bool = False

    def fitting(self, match: Match, *, whole: bool = False) -> "Cause":
        """The same cause with how well it fits."""
        return replace(self, worst=match.worst, scale=match.scale, whole=whole)


Guess = tuple[Cause, Curve]


def simplest(causes: list[Cause], rows: Rows) -> list[Cause]:
    """Those that leave no more than rounding first, of these the lightest, of equally light ones as they came."""
    return sorted(causes, key=lambda c: (c.worst > rows.tight, c.burden, c.worst if c.worst > rows.tight else 0.0))


def continued(plan: Plan) -> Iterator[Plan]:
    """The plan held at its end, and if it is a cosine, going on as torch's does."""
    yield plan
    if isinstance(plan.schedule, Cosine):
        yield replace(plan, periodic=True)


def past(plan: Plan) -> str:
    """What becomes of a cosine after its end."""
    return ", and rose again after its end, as torch's and transformers' cosine does" if plan.periodic else ""
