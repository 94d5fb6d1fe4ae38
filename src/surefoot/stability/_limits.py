"""The limits of a method on a problem: real eigenvalues here, complex ones in `_jacobian`."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import GradientDescent, Method
from surefoot.operators import Array, Kind, Operator, as_operator
from surefoot.spectra import Bounds, Spectrum, spectrum
from surefoot.spectra.types import Certainty
from surefoot.stability._jacobian import GROWING, POWERS_LIMIT, limits_of_jacobian
from surefoot.stability._types import Limits
from surefoot.stability.clipped import clipped_limits

__all__ = ["limits"]

# A curvature below this has no step in the floats: 1/L overflows a little further down.
SMALLEST = 1e-300


@checked
def limits(
    problem: Any,
    method: Method | None = None,
    *,
    kind: Kind | None = None,
    clip: float | None = None,
    rtol: float = 0.01,
    failure: float = 1e-6,
    rng: int | np.random.Generator = 0,
) -> Limits:
    """The largest stable step, the safe and the best one, and the rate, of a method on a problem.

    Computed from the upper end of the curvature's interval and the lower end of the smallest eigenvalue's, so an
    uncertain measurement errs on the small side.

    Parameters
    ----------
    problem : Spectrum, problem, matrix or operator
        A problem is asked for its `curvature()`, anything else is measured by `spectrum`.
    method : Method, optional
        Default `GradientDescent()`.
    kind : "curvature" or "jacobian", optional
        What a matrix or operator is: the curvature of x' = -A x, or the Jacobian of x' = A x. Default: what it says of
        itself, else a curvature if it is symmetric; a matrix that is not is asked about.
    clip : float, optional
        The norm at which gradients are cut: above the limit gradient descent then does not diverge but oscillates, by
        an amount that is known.
    rtol, failure, rng
        Passed to `spectrum` where something has to be measured.

    Returns
    -------
    Limits
        With `clip`, a `ClippedLimits`.

    Raises
    ------
    InvalidType
        If the problem or the method is not one.
    InvalidInput
        As raised by `spectrum`, so also where a matrix is not symmetric and `kind` is missing; if `clip` is not a
        positive number, or the problem is a Jacobian; if `kind` contradicts a measured spectrum.

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
    operator = None if _has_curvature(problem) else as_operator(problem, kind=kind)
    if operator is None:
        found = _spectrum_of(problem, kind)
    else:
        found = spectrum(operator, kind=kind, rtol=rtol, failure=failure, rng=rng)
    made = _limits(found, method, operator, clip)
    if loss_is := getattr(problem, "loss_is", ""):
        made = replace(made, reasons={**made.reasons, "loss": f"for f = {loss_is}"})
    if operator is not None and operator.note:
        made = replace(made, reasons={**made.reasons, "matrix": operator.note})
    return made


def _limits(found: Spectrum, method: Method, operator: Operator | None, clip: float | None) -> Limits:
    if clip is not None:
        if found.kind == "jacobian":
            raise InvalidInput("clip cuts gradients, and a Jacobian's flow has none; leave it out")
        return clipped_limits(_of_curvature(found, method), method, found.largest.upper, clip)
    if found.field_of_values is not None or (found.points is not None and np.iscomplexobj(found.points)):
        return limits_of_jacobian(found, method, _small_matrix(operator))
    return _of_curvature(found, method)


def _has_curvature(problem: Any) -> bool:
    return isinstance(problem, Spectrum) or callable(getattr(problem, "curvature", None))


def _spectrum_of(problem: Any, kind: Kind | None) -> Spectrum:
    """A spectrum as it is, or a problem's curvature."""
    found = problem if isinstance(problem, Spectrum) else problem.curvature()
    if not isinstance(found, Spectrum):
        raise InvalidType(f"curvature() must return a Spectrum; got {type(found).__name__}")
    if kind not in (None, found.kind):
        raise InvalidInput(f"kind={kind!r} was said of the spectrum of a {found.kind}; leave it out")
    return found


def _small_matrix(operator: Operator | None) -> Array | None:
    """The entries of a matrix small enough to take powers of, where there is one."""
    if operator is None or operator.entries is None or operator.shape[0] > POWERS_LIMIT:
        return None
    return operator.entries.toarray() if hasattr(operator.entries, "toarray") else operator.entries


def _of_curvature(found: Spectrum, method: Method) -> Limits:
    """Real eigenvalues in an interval: a curvature, or minus a symmetric Jacobian."""
    largest, smallest = found.largest, found.smallest
    if found.kind == "jacobian":
        largest, smallest = _negate(smallest), _negate(largest)
    negative = smallest.upper < 0
    top = largest.upper
    if 0 < top < SMALLEST:
        raise InvalidInput(f"the largest curvature is {top:.3g}, and 1/L leaves the floats; rescale the problem")
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

    if found.region:
        reasons["holds"] = f"holds {found.region}"
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


def _negate(bounds: Bounds) -> Bounds:
    return Bounds(-bounds.upper, -bounds.lower, bounds.upper_is, bounds.lower_is, bounds.failure)


def _coefficient(value: float) -> str:
    return f"{value:.6g}"
