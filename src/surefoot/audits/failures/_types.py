"""The diagnosis of a run: findings, which the log shows, and causes, which would explain them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from surefoot.records import Record

# Findings that say where the loss left its level for good.
DIVERGENCE = ("diverged", "slow divergence")
Verdict = Literal["good", "too small", "oscillating", "diverging", "cannot tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding(Record):
    """Something that the log shows.

    Parameters
    ----------
    word : str
        Finding in a few words, always the same ones (docs/it-diverged.md lists them).
    says : str
        A sentence with its numbers.
    step : float or None
        Where it begins.
    fault : bool
        Whether it is a fault; other findings are for the reader.
    """

    word: str
    says: str
    step: float | None = None
    fault: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause(Record):
    """Something that would explain the findings.

    Parameters
    ----------
    word : str
        Cause in a few words, always the same ones (docs/it-diverged.md lists them).
    says : str
        Why the log speaks for it, with its numbers.
    certain : bool
        Whether the log shows the cause itself, such as a rate of 0, and not only what it does.
    try_first : tuple of str
        What to try, the most useful first, with the numbers of this run.
    measure : str
        What would confirm it or rule it out.
    weight : float
        How much speaks for it: of several causes the heaviest comes first.
    """

    word: str
    says: str
    certain: bool = False
    try_first: tuple[str, ...] = ()
    measure: str = ""
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Why(Record):
    """What became of a run, and why.

    Parameters
    ----------
    log : str
        Name of the log.
    unit : str
        What steps are: "step", "epoch", or "row".
    verdict : str
        ``good``, ``too small``, ``oscillating``, ``diverging``, or ``cannot tell``.
    summary : str
        What happened, in a sentence.
    findings : tuple of Finding
        Findings in the order in which they matter.
    causes : tuple of Cause
        Causes, at most three, the likeliest first; none where nothing is wrong or nothing known fits.
    try_first : tuple of str
        What to try, in order; at most three.
    measures : tuple of str
        What would tell more: a measurement or a command each.
    notes : tuple of str
        What was read, and what was odd about it.
    curves : mapping
        Curves for a figure: of "loss", "validation", "norm", "rate" and "scale" those that were logged, each with
        "steps" and "values" (finite ones, some of them where there are many) and "broken", the steps at which it is not
        finite.
    marks : tuple of (float, str)
        Steps to point at, and what happened there.
    """

    log: str
    unit: str
    verdict: Verdict
    summary: str
    findings: tuple[Finding, ...]
    causes: tuple[Cause, ...]
    try_first: tuple[str, ...]
    measures: tuple[str, ...]
    notes: tuple[str, ...]
    curves: Mapping[str, Mapping[str, tuple[float, ...]]]
    marks: tuple[tuple[float, str], ...]

    @property
    def certain(self) -> bool:
        """Whether the log shows the cause, and no other is needed."""
        return len(self.causes) == 1 and self.causes[0].certain

    @property
    def fine(self) -> bool:
        """Whether the run was good and no fault was found."""
        return self.verdict == "good" and not any(finding.fault for finding in self.findings)

    @property
    def last_good(self) -> float | None:
        """Step of the last row before the loss diverged; None if it did not, or was not logged."""
        steps = [f.step for f in self.findings if f.word in DIVERGENCE and f.step is not None]
        return min(steps, default=None)

    def __str__(self) -> str:
        lines = [f"{self.log}: {self.verdict}", f"  {self.summary}"]
        if self.findings:
            lines += ["", "what the log shows", *(f"  {finding.says}" for finding in self.findings)]
        if self.causes:
            one = len(self.causes) == 1
            head = "cause" if self.certain else "likely cause" if one else "what would explain it, the likeliest first"
            lines += ["", head, *(f"  {cause.word}: {cause.says}" for cause in self.causes)]
        if self.try_first:
            lines += ["", "try first", *(f"  {i}. {text}" for i, text in enumerate(self.try_first, 1))]
        if self.measures:
            lines += ["", "what would tell more", *(f"  {text}" for text in self.measures)]
        if self.notes:
            lines += ["", *(f"  {note}" for note in self.notes)]
        return "\n".join(lines)
