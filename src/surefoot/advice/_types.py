"""The answer for one target, as values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surefoot.advice._text import answer, best, rank, text
from surefoot.records import Record
from surefoot.spectra import Spectrum
from surefoot.stability import Limits
from surefoot.trials.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification(Record):
    """One run that puts a linear claim to the test.

    Parameters
    ----------
    factor : float
        Step over the limit under test.
    step : float
    what : str
        ``real iteration`` or ``frozen quadratic model``.
    expected, observed : str
        ``converges``, ``diverges`` or, for what was seen, ``undecided``; empty `expected` where theory is silent.
    values : tuple of float
        Gradient norms, or distances from the stationary point, relative to the first.
    """

    factor: float
    step: float
    what: str
    expected: str
    observed: str
    values: tuple[float, ...] = field(repr=False)

    @property
    def agrees(self) -> bool | None:
        """Whether theory and run agree; None where either does not say."""
        if not self.expected or self.observed == "undecided":
            return None
        return self.expected == self.observed

    def derived(self) -> Mapping[str, Any]:
        return {"agrees": self.agrees}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation(Record):
    """What to do with one method, and the evidence.

    Parameters
    ----------
    label : str
        The method or optimizer.
    spectrum : Spectrum
        Spectrum of the problem as the method sees it.
    ritz : tuple of float
        Eigenvalue estimates inside the spectrum, ascending, for a picture.
    limits : Limits
    verification : tuple of Verification
        The linear claim at 0.95 and 1.05 times the limit.
    trials : tuple of Trial
        Short real runs, ascending steps.
    usable : (float, float) or None
        Steps between which the short runs were good; None if none was.
    suggested : float or None
        Step from the short runs alone; None where Surefoot abstains.
    finding : str
        What the numbers say together: agreement or disagreement of limit and runs.
    amplification : tuple of (step, worst growth per step)
        Over the curvatures of the spectrum that are not negative.
    note : str
        How the method was set up.
    proved : float or None
        Every step below it converges, by a theorem on this problem; None where there is none, as for a network.
    """

    label: str
    spectrum: Spectrum
    ritz: tuple[float, ...] = field(repr=False)
    limits: Limits
    verification: tuple[Verification, ...]
    trials: tuple[Trial, ...]
    usable: tuple[float, float] | None
    suggested: float | None
    finding: str
    amplification: tuple[tuple[float, float], ...] = field(repr=False)
    note: str = ""
    proved: float | None = None

    @property
    def reached(self) -> float:
        """The loss that the short run at the suggested step came to; of the best run where none is suggested."""
        finals = {trial.step: trial.final for trial in self.trials}
        known = [final for final in finals.values() if math.isfinite(final)]
        return finals.get(self.suggested, math.nan) if self.suggested is not None else min(known, default=math.inf)

    @property
    def label_of_step(self) -> str:
        """``PROVED`` where a theorem covers the suggested step, else ``TRIED``: short real runs did well; or empty."""
        if self.suggested is None:
            return ""
        return "PROVED" if self.proved is not None and self.suggested < self.proved else "TRIED"

    def derived(self) -> Mapping[str, Any]:
        return {"label_of_step": self.label_of_step, "reached": self.reached}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice(Record):
    """The whole answer for one target: measured, decided, verified, explained.

    Parameters
    ----------
    target : str
    description : mapping of str to str
    recommendations : tuple of Recommendation
        One per method; empty where Surefoot abstains from the whole target.
    abstained : str
        Why there is no advice; empty where there is.
    initial_loss, constant_loss : float or None
        At the start, and of the best constant predictor.
    products : int
        Curvature products spent.
    runs : int
        Short real runs made.
    seconds : float
        Wall time.
    details : tuple of Record
        What the target's own `details()` found, if it has that method: of a residual network, what its blocks do to
        signal and gradient.
    """

    target: str
    description: Mapping[str, str]
    recommendations: tuple[Recommendation, ...]
    abstained: str = ""
    initial_loss: float | None = None
    constant_loss: float | None = None
    products: int = 0
    runs: int = 0
    seconds: float = 0.0
    details: tuple[Record, ...] = ()

    def __str__(self) -> str:
        return "\n\n".join([text(self), *map(str, self.details)])

    @property
    def answer(self) -> str:
        """The recommendation in a line: ``take AdamW at 0.003 for digits``."""
        return answer(self)

    @property
    def recommended(self) -> Recommendation | None:
        """The recommendation whose runs reached the lowest loss, of equals a proved one; None where there is none."""
        return None if self.abstained else best(self.recommendations, self.initial_loss)

    def derived(self) -> Mapping[str, Any]:
        order = rank(self.recommendations, self.initial_loss)
        return {"answer": self.answer, "ranking": [recommendation.label for recommendation in order]}

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML file with figures.

        Parameters
        ----------
        path : str or Path
            Written atomically; the folder must exist.

        Returns
        -------
        Path
            Where it is.

        Raises
        ------
        MissingExtra
            If Jinja2 or Matplotlib is not installed.
        InvalidInput
            If the folder does not exist.
        """
        from surefoot.report import write_report

        return write_report(self.to_dict(), path)
