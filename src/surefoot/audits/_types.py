"""The result of an audit."""

import math
from dataclasses import dataclass
from typing import Literal

from surefoot.records import Record
from surefoot.tables import align, spread

Verdict = Literal["as planned", "departs"]

# Rows of the table in print.
ROWS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit(Record):
    """The rates that ran against the plan.

    Parameters
    ----------
    log, column : str
        What was read, and the column of the rate in it; empty if it had no name.
    plan : str
        The plan as it was given.
    verdict : str
        ``as planned`` or ``departs``.
    cause : str
        Cause in a few words, from a fixed list (docs/audit.md); empty where all is as planned, "unknown" where no known
        cause explains every row.
    explanation : str
        The cause with its numbers; empty where all is as planned.
    fix : str
        What would fix it; empty where all is as planned.
    others : tuple of str
        Other causes that explain the log as simply and as well: the log cannot tell them apart.
    evidence : tuple of str
        Evidence for the verdict, and what else was noticed.
    rows : int
        Number of rates compared.
    first_departure : number or None
        First step whose rate differs by more than the tolerance.
    largest_departure : float
        Largest difference, as a part of the largest rate that ran.
    steps : tuple of numbers
    planned, ran : tuple of float
        A sample of the rows, evenly spread, for a table and a figure.
    """

    log: str
    column: str
    plan: str
    verdict: Verdict
    cause: str
    explanation: str
    fix: str
    others: tuple[str, ...]
    evidence: tuple[str, ...]
    rows: int
    first_departure: float | None
    largest_departure: float
    steps: tuple[float, ...]
    planned: tuple[float, ...]
    ran: tuple[float, ...]

    def __str__(self) -> str:
        cause = ", or ".join([self.cause, *self.others])
        head = f"{self.log}: {self.verdict}" + (f": {cause}" if cause else "")
        lines = [head, f"  plan {self.plan}; {self.rows} rates" + (f" in {self.column}" if self.column else "")]
        table = [("step", "planned", "ran", "ran / planned"), *(self._row(i) for i in self._rows_to_show())]
        lines += ["", *align(table), ""]
        if self.explanation:
            lines.append(f"  {self.explanation}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join([*lines, *(f"  {line}" for line in self.evidence)])

    def _row(self, i: int) -> tuple[str, str, str, str]:
        planned, ran = self.planned[i], self.ran[i]
        ratio = f"{ran / planned:.4g}" if planned and math.isfinite(ran / planned) else "-"
        return f"{self.steps[i]}", f"{planned:.5g}", f"{ran:.5g}", ratio

    def _rows_to_show(self) -> list[int]:
        """Rows for print: spread evenly, and the first one that departs."""
        first = [self.steps.index(self.first_departure)] if self.first_departure in self.steps else []
        return sorted({*spread(len(self.steps), ROWS), *first})
