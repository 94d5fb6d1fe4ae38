"""Spectrum x method -> limits: the one function that every other room turns to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import GradientDescent, Method
from surefoot.operators import Array
from surefoot.spectra import Bounds, Spectrum, spectrum
from surefoot.spectra._types import Certainty

__all__ = ["Limits", "limits"]

GROWING = "no step is stable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a terrain allows a method. Steps have the unit 1/curvature (1/eigenvalue, time).

    Parameters
    ----------
    method : str
        Name of the method.
    stable : float
        Largest step stable in every direction: 0.0 with certified negative curvature (a growing mode), inf without
        curvature.
    curvature_limit : float
        The same with negative (growing) directions left out.
    safe : float or None
        1/L, the step of the best guaranteed decrease; gradient descent on a curvature only.
    optimal : float or None
        Best constant step; None where only sublinear convergence is known and the method has no such step.
    rate : float
        Asymptotic contraction per step at `optimal`; 1.0 where only sublinear is known.
    condition : Bounds or None
        On L/mu; None with negative curvature, or for a Jacobian.
    scope : "global" or "local"
        A claim for the whole problem, or a linear claim at one point.
    failure : float
        Probability that the spectrum's intervals, and so these numbers, are wrong.
    reasons : mapping of str to str
        For each number, where it comes from; "tuned": the best parameters of the method, where they are known.
    """

    method: str
    stable: float
    curvature_limit: float
    safe: float | None
    optimal: float | None
    rate: float
    condition: Bounds | None
    scope: Literal["global", "local"]
    failure: float
    reasons: Mapping[str, str] = field(repr=False)

    def iterations(self, tolerance: float) -> float:
        """Steps at `optimal` until the error shrank by `tolerance`, from the rate.

        Asymptotic, not a promise for methods whose iteration matrix is not normal (momentum). Infinite where only
        sublinear convergence is known.

        Raises
        ------
        InvalidInput
            If the tolerance is not in (0, 1).
        """
        if not 0 < tolerance < 1:
            raise InvalidInput(f"tolerance must be in (0, 1); got {tolerance!r}")
        if self.rate >= 1:
            return math.inf
        if self.rate <= 0:
            return 1
        return math.ceil(math.log(tolerance) / math.log(self.rate))

    def __str__(self) -> str:
        claim = "for the whole problem" if self.scope == "global" else "linear claim at this point"
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
        if "tuned" in self.reasons:
            lines.append(f"  {self.reasons['tuned']}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; an infinite number becomes the string "inf"."""
        return {
            "method": self.method,
            "stable": _jsonable(self.stable),
            "curvature_limit": _jsonable(self.curvature_limit),
            "safe": _jsonable(self.safe),
            "optimal": _jsonable(self.optimal),
            "rate": self.rate,
            "condition": None if self.condition is None else self.condition.to_dict(),
            "scope": self.scope,
            "failure": self.failure,
            "reasons": dict(self.reasons),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Limits":
        """The inverse of `to_dict`."""
        values = dict(data)
        for name in ("stable", "curvature_limit", "safe", "optimal"):
            values[name] = None if values[name] is None else float(values[name])
        if values["condition"] is not None:
            values["condition"] = Bounds.from_dict(values["condition"])
        return cls(**values)


def limits(
    terrain: Any,
    method: Method | None = None,
    *,
    rtol: float = 0.01,
    failure: float = 1e-6,
    rng: int | np.random.Generator = 0,
) -> Limits:
    """The largest stable step, the safe and the best one, and the rate, of a method on a terrain.

    Computed from the upper end of the curvature's interval and the lower end of the smallest eigenvalue's, so an
    uncertain measurement errs on the small side.

    Parameters
    ----------
    terrain : Spectrum, problem, matrix or operator
        A problem is asked for its `curvature()`, anything else is measured by `spectrum`.
    method : Method, optional
        Default `GradientDescent()`.
    rtol, failure, rng
        Passed to `spectrum` where something has to be measured.

    Returns
    -------
    Limits

    Raises
    ------
    InvalidType
        If the terrain or the method is not one.
    InvalidInput
        As raised by `spectrum`.

    Examples
    --------
    >>> import surefoot as sf
    >>> print(sf.limits([[2, 1], [1, 3]]))
    step limits of gradient descent (for the whole problem)
      stable           0.552786  2/L, L <= 3.61803
      curvature limit  0.552786  2/L, L <= 3.61803
      safe             0.276393  1/L: best guaranteed decrease
      optimal          0.4       2/(L + mu), mu >= 1.38197
      rate             0.447214  error per step at the optimal step
      condition        2.61803   L/mu
    """
    method = GradientDescent() if method is None else method
    if not isinstance(method, Method):
        raise InvalidType(f"method must be a Method such as GradientDescent(); got {type(method).__name__}")
    found = _measured(terrain, rtol, failure, rng)
    if found.points is not None and np.iscomplexobj(found.points):
        return _of_eigenvalues(found, found.points, method)
    return _of_curvature(found, method)


def _measured(terrain: Any, rtol: float, failure: float, rng: int | np.random.Generator) -> Spectrum:
    if isinstance(terrain, Spectrum):
        return terrain
    curvature = getattr(terrain, "curvature", None)
    if callable(curvature):
        found = curvature()
        if not isinstance(found, Spectrum):
            raise InvalidType(f"curvature() must return a Spectrum; got {type(found).__name__}")
        return found
    return spectrum(terrain, rtol=rtol, failure=failure, rng=rng)


def _of_curvature(found: Spectrum, method: Method) -> Limits:
    """Real eigenvalues in an interval: a curvature, or minus a symmetric Jacobian."""
    largest, smallest = found.largest, found.smallest
    if found.kind == "jacobian":
        largest, smallest = _negated(smallest), _negated(largest)
    negative = smallest.upper < 0
    top = largest.upper
    reasons: dict[str, str] = {}

    curvature_limit = method.real_limit / top if top > 0 else math.inf
    reasons["curvature limit"] = (
        f"{_coefficient(method.real_limit)}/L, L <= {top:.6g}" if top > 0 else "there is no positive curvature"
    )
    stable = 0.0 if negative else curvature_limit
    reasons["stable"] = _stable_reason(smallest, negative, reasons["curvature limit"])

    descends = isinstance(method, GradientDescent) and found.kind == "curvature"
    safe = (1 / top if top > 0 else math.inf) if descends else None
    reasons["safe"] = "1/L: best guaranteed decrease" if descends else "known for gradient descent only"

    optimal, rate = safe, 1.0
    if smallest.lower > 0:
        optimal, rate = method.best_step(smallest.lower, top)
        formula = "2/(L + mu)" if isinstance(method, GradientDescent) else "best worst rate over [mu, L]"
        reasons["optimal"] = f"{formula}, mu >= {smallest.lower:.6g}"
        reasons["rate"] = "error per step at the optimal step"
        tuned = method.tuned(smallest.lower, top)
        if tuned:
            reasons["tuned"] = tuned
    else:
        reasons["optimal"] = "the safe step" if descends else "none: no positive lower bound on the curvature"
        reasons["rate"] = _sublinear_reason(found, smallest, negative)

    condition = _condition(largest, smallest)
    reasons["condition"] = "L/mu" if condition is not None else "not defined without positive curvature only"
    return Limits(
        method=method.name,
        stable=stable,
        curvature_limit=curvature_limit,
        safe=safe,
        optimal=optimal,
        rate=rate,
        condition=condition,
        scope=found.scope,
        failure=found.failure,
        reasons=reasons,
    )


def _stable_reason(smallest: Bounds, negative: bool, otherwise: str) -> str:
    if negative:
        return f"{GROWING}: negative curvature {smallest}"
    if smallest.lower < 0:
        return f"{otherwise}; if no curvature is negative: the sign of the smallest, in {smallest}, is undecided"
    return otherwise


def _sublinear_reason(found: Spectrum, smallest: Bounds, negative: bool) -> str:
    if negative:
        return "no linear rate: negative curvature"
    if smallest.lower < 0:
        return "no linear rate is certified: the smallest curvature may be 0 or less"
    text = "sublinear in general: the smallest curvature is 0"
    if found.points is not None and found.scope == "global":
        positive = np.abs(found.points[found.points != 0])
        if positive.size:
            text += (
                f"; on a quadratic linear at the smallest positive eigenvalue {positive.min():.6g}: "
                f"1 - {positive.min() / positive.max():.3g} per safe step"
            )
    return text


def _of_eigenvalues(found: Spectrum, points: Array, method: Method) -> Limits:
    """A Jacobian's complex eigenvalues: the largest h with every h * lambda in the stable region, from 0 on."""
    points = points[points != 0]
    growing = points[np.real(points) > 0]
    decaying = points[np.real(points) <= 0]
    sizes = np.abs(decaying)
    reach = method.limit_along(decaying / sizes) / sizes if decaying.size else np.asarray([math.inf])
    curvature_limit = float(reach.min())
    tightest = (
        f"set by the eigenvalue {_complex(complex(decaying[reach.argmin()]))}" if decaying.size else "no decaying mode"
    )

    optimal, rate = None, 1.0
    reasons = {"curvature limit": tightest, "stable": tightest}
    if growing.size:
        reasons["stable"] = f"{GROWING}: growing mode {_complex(complex(growing[np.real(growing).argmax()]))}"
    if (
        decaying.size
        and not growing.size
        and np.real(decaying).max() < 0 < curvature_limit
        and points.size == found.size
    ):
        optimal, rate = method.best_step_at(decaying)
    reasons["optimal"] = (
        "fastest decay; accuracy may ask for less" if optimal is not None else "none: a mode does not decay"
    )
    reasons["rate"] = "decay per step at the optimal step" if optimal is not None else "no decay"
    reasons["safe"] = "known for gradient descent on a curvature only"
    return Limits(
        method=method.name,
        stable=0.0 if growing.size else curvature_limit,
        curvature_limit=curvature_limit,
        safe=None,
        optimal=optimal,
        rate=rate,
        condition=None,
        scope=found.scope,
        failure=found.failure,
        reasons=reasons,
    )


def _condition(largest: Bounds, smallest: Bounds) -> Bounds | None:
    if smallest.upper < 0 or largest.upper <= 0:
        return None
    trust = _weakest(largest, smallest)
    failure = largest.failure + smallest.failure
    upper = largest.upper / smallest.lower if smallest.lower > 0 else math.inf
    lower = max(1.0, largest.lower / smallest.upper) if smallest.upper > 0 else math.inf
    return Bounds(min(lower, upper), upper, trust, trust, failure)


def _weakest(*bounds: Bounds) -> Certainty:
    order: tuple[Certainty, ...] = ("exact", "proved", "probabilistic", "estimate")
    ends = {end for b in bounds for end in (b.lower_is, b.upper_is)}
    return next(certainty for certainty in reversed(order) if certainty in ends)


def _negated(bounds: Bounds) -> Bounds:
    return Bounds(-bounds.upper, -bounds.lower, bounds.upper_is, bounds.lower_is, bounds.failure)


def _coefficient(value: float) -> str:
    return f"{value:.6g}"


def _complex(value: complex) -> str:
    return f"{value.real:.6g}{value.imag:+.6g}i" if value.imag else f"{value.real:.6g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _jsonable(value: float | None) -> float | str | None:
    return value if value is None or math.isfinite(value) else "inf"
