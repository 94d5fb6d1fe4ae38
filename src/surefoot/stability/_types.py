"""The result of `limits`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from surefoot.checks import Fraction, checked
from surefoot.records import Record
from surefoot.spectra import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Record):
    """The step limits of a method on a problem. Steps have the unit 1/curvature (1/eigenvalue, time).

    Parameters
    ----------
    method : str
        Name of the method.
    stable : float
        Largest step stable in every direction: 0.0 with certified negative curvature (a growing mode), inf without
        curvature.
    curvature_limit : float
        The same without negative (growing) directions.
    safe : float or None
        1/L, the step of the best guaranteed decrease; only for gradient descent on a curvature.
    optimal : float or None
        Best constant step; None if only sublinear convergence is known and the method has no safe step.
    rate : float
        Asymptotic contraction per step at `optimal`; 1.0 if only sublinear convergence is known.
    condition : Bounds or None
        Interval of L/mu; None with negative curvature, or for a Jacobian.
    scope : "global" or "local"
        A claim for the whole problem, or a linear claim at one point.
    failure : float
        Probability that the spectrum's intervals, and so these numbers, are wrong.
    reasons : mapping of str to str
        The source of each number; "tuned": the best parameters of the method, if they are known; "transient": that
        errors may grow before they decay, because a Jacobian is not normal; "holds": where a local claim holds, if not
        only at one point; "matrix": what was changed in a matrix (made symmetric, by how much); "loss": what the loss
        is a mean or a sum of, if the problem says so.
    """

    method: str
    stable: float
    curvature_limit: float
    safe: float | None = None
    optimal: float | None = None
    rate: float = 1.0
    condition: Bounds | None = None
    scope: Literal["global", "local"]
    failure: float
    reasons: Mapping[str, str] = field(repr=False)

    @checked
    def iterations(self, tolerance: Fraction) -> float:
        """Steps at `optimal` after which the error has shrunk by `tolerance`, from the rate.

        Asymptotic: not guaranteed for methods whose iteration matrix is not normal (momentum). Infinite if only
        sublinear convergence is known.

        Raises
        ------
        InvalidInput
            If the tolerance is not in (0, 1).
        """
        if self.rate >= 1:
            return math.inf
        if self.rate <= 0:
            return 1
        return math.ceil(math.log(tolerance) / math.log(self.rate))

    def __str__(self) -> str:
        claim = "for the whole problem" if self.scope == "global" else "linear claim at this point"
        claim = "local claim" if "holds" in self.reasons else claim
        certainty = f", wrong with probability <= {self.failure:g}" if self.failure else ""
        rows = [
            ("stable", _number(self.stable)),
            ("curvature limit", _number(self.curvature_limit)),
            ("safe", _number(self.safe)),
            ("optimal", _number(self.optimal)),
            ("rate", _number(self.rate)),
            ("condition", "-" if self.condition is None else str(self.condition)),
        ]
        width = max(len(value) for _, value in rows)
        lines = [f"step limits of {self.method} ({claim}{certainty})"]
        lines += [f"  {name:<16} {value:<{width}}  {self.reasons.get(name, '')}".rstrip() for name, value in rows]
        remarks = ("tuned", "transient", "holds", "matrix", "loss")
        lines += [f"  {self.reasons[name]}" for name in remarks if name in self.reasons]
        return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"
