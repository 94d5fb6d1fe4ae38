"""The answer for one target, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from surefoot.records import Record
from surefoot.spectra import Spectrum
from surefoot.stability import Limits
from surefoot.trials.trial import Trial

__all__ = ["Advice", "Recommendation", "Verification"]


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

    def _derived(self) -> Mapping[str, Any]:
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
        From the short runs alone; None where Surefoot abstains.
    finding : str
        What the numbers say together: agreement or disagreement of limit and runs.
    amplification : tuple of (step, worst growth per step)
        Over the curvatures of the spectrum that are not negative.
    note : str
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
        return "\n\n".join([self._steps(), *map(str, self.details)])

    def _steps(self) -> str:
        head = f"{self.target}: how big a step?"
        facts = "; ".join(f"{name} {value}" for name, value in self.description.items())
        if self.abstained:
            return f"{head}\n  {facts}\n  no advice: {self.abstained}"
        table = _aligned([_HEADINGS, *(_row(r) for r in self.recommendations)])
        findings = [f"  {r.label}: {r.finding}" + (f" ({r.note})" if r.note else "") for r in self.recommendations]
        claims = "\n".join(_claims(self.recommendations))
        cost = f"  cost: {self.products} curvature products, {self.runs} short runs, {self.seconds:.1f} s"
        return "\n".join([head, f"  {facts}", "", *table, "", *findings, claims, cost])

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


_HEADINGS = ("method", "largest curvature", "linear limit", "checked", "usable in short runs", "suggested", "loss")


def _row(r: Recommendation) -> tuple[str, ...]:
    claims = [v.agrees for v in r.verification if v.agrees is not None]
    checked = f"{sum(claims)}/{len(claims)} agree" if claims else "-"
    usable = "-" if r.usable is None else f"{r.usable[0]:.3g} .. {r.usable[1]:.3g}"
    suggested = "-" if r.suggested is None else f"{r.suggested:.3g}"
    loss = next((f"{t.final:.4g}" for t in r.trials if t.step == r.suggested), "-")
    return r.label, str(r.spectrum.largest), f"{r.limits.curvature_limit:.4g}", checked, usable, suggested, loss


def _claims(recommendations: tuple[Recommendation, ...]) -> list[str]:
    """How far the curvatures can be trusted, once for all methods that see the same ones."""
    said = {
        f"  curvature: {r.spectrum.provenance}, {r.spectrum.scope}; largest {r.spectrum.largest}, "
        f"smallest {r.spectrum.smallest}"
        + (f", wrong with probability <= {r.spectrum.failure:g}" if r.spectrum.failure else "")
        + (f"; {r.spectrum.note}" if r.spectrum.note else ""): r.label
        for r in reversed(recommendations)
    }
    return [f"{text} ({label})" if len(said) > 1 else text for text, label in reversed(said.items())]


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
