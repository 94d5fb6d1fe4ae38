"""The limits of a method on a problem: real eigenvalues here, complex ones in `_jacobian`."""

import math
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from surefoot.checks import Positive, checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import GradientDescent, Method
from surefoot.operators import Array, Kind, Operator, as_operator, dense
from surefoot.spectra import Bounds, Spectrum, spectrum
from surefoot.spectra.types import Certainty
from surefoot.stability._jacobian import GROWING, POWERS_LIMIT, limits_of_jacobian
from surefoot.stability._types import Limits
from surefoot.stability.clipped import clipped_limits

# Smallest largest curvature: a little below it 1/L overflows.
SMALLEST = 1e-300


@checked
def limits(
    problem: Any,
    method: Method | None = None,
    *,
    kind: Kind | None = None,
    clip: Positive | None = None,
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
        For a problem its `curvature()` is used, anything else is measured by `spectrum`.
    method : Method, optional
        Default `GradientDescent()`.
    kind : "curvature" or "jacobian", optional
        What a matrix or operator is: the curvature of x' = -A x, or the Jacobian of x' = A x. Default: its own kind,
        else a curvature if it is symmetric; for a matrix that is not symmetric it has to be given.
    clip : float, optional
        The norm at which gradients are clipped: above the limit gradient descent then does not diverge but oscillates,
        with a known amplitude.
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
    known = isinstance(problem, Spectrum) or callable(getattr(problem, "curvature", None))
    operator = None if known else as_operator(problem, kind=kind)
    if operator is None:
        spec = _spectrum_of(problem, kind)
    else:
        spec = spectrum(operator, kind=kind, rtol=rtol, failure=failure, rng=rng)
    if clip is not None and spec.kind == "jacobian":
        raise InvalidInput("clip cuts gradients, and a Jacobian's flow has none; leave it out")
    not_real = spec.field_of_values is not None or (spec.points is not None and np.iscomplexobj(spec.points))
    if clip is None and not_real:
        result = limits_of_jacobian(spec, method, _small_matrix(operator))
    else:
        result = _of_curvature(spec, method)
    if clip is not None:
        result = clipped_limits(result, method, spec.largest.upper, clip)
    remarks: dict[str, str] = {}
    if loss := getattr(problem, "loss_is", ""):
        remarks["loss"] = f"for f = {loss}"
    if note := getattr(operator, "note", ""):
        remarks["matrix"] = note
    return replace(result, reasons={**result.reasons, **remarks}) if remarks else result


def _spectrum_of(problem: Any, kind: Kind | None) -> Spectrum:
    """The spectrum itself, or the curvature of a problem."""
    spec = problem if isinstance(problem, Spectrum) else problem.curvature()
    if not isinstance(spec, Spectrum):
        raise InvalidType(f"curvature() must return a Spectrum; got {type(spec).__name__}")
    if kind not in (None, spec.kind):
        raise InvalidInput(f"kind={kind!r} was given for the spectrum of a {spec.kind}; leave it out")
    return spec


def _small_matrix(operator: Operator | None) -> Array | None:
    """The entries of a matrix that is small enough to take powers of; else None."""
    if operator is None or operator.entries is None or operator.shape[0] > POWERS_LIMIT:
        return None
    return dense(operator.entries)


def _of_curvature(spec: Spectrum, method: Method) -> Limits:
    """Limits for real eigenvalues in an interval: a curvature, or minus a symmetric Jacobian."""
    largest, smallest = spec.largest, spec.smallest
    if spec.kind == "jacobian":
        largest, smallest = -smallest, -largest
    top, mu = largest.upper, smallest.lower
    # the reciprocal would be infinite, and so would every step
    if 0 < top < SMALLEST:
        raise InvalidInput(f"the largest curvature is {top:.3g}, and 1/L leaves the floats; rescale the problem")
    descends = isinstance(method, GradientDescent) and spec.kind == "curvature"
    limit = method.real_limit / top if top > 0 else math.inf
    safe = (1 / top if top > 0 else math.inf) if descends else None
    # without a positive lower bound no rate can be promised, and the best step known is the safe one
    optimal, rate = method.best_step(mu, top) if mu > 0 else (safe, 1.0)
    condition = _condition(largest, smallest)
    source = f"{method.real_limit:.6g}/L, L <= {top:.6g}" if top > 0 else "there is no positive curvature"
    reasons = {
        "stable": source,
        "curvature limit": source,
        "safe": "1/L: best guaranteed decrease" if descends else "known for gradient descent only",
        "condition": "L/mu" if condition is not None else "not defined without positive curvature only",
    }
    if mu > 0:
        formula = "2/(L + mu)" if isinstance(method, GradientDescent) else "best worst rate over [mu, L]"
        reasons |= {"optimal": f"{formula}, mu >= {mu:.6g}", "rate": "error per step at the optimal step"}
        if tuned := method.tuned(mu, top):
            reasons["tuned"] = tuned
    else:
        reasons["optimal"] = "the safe step" if descends else "none: no positive lower bound on the curvature"
        reasons["rate"] = _sublinear_reason(spec)
    if smallest.upper < 0:
        reasons |= {"stable": f"{GROWING}: negative curvature {smallest}", "rate": "no linear rate: negative curvature"}
    elif mu < 0:
        reasons["stable"] += f"; if no curvature is negative: the sign of the smallest, in {smallest}, is undecided"
        reasons["rate"] = "no linear rate is certified: the smallest curvature may be 0 or less"
    if spec.region:
        reasons["holds"] = f"holds {spec.region}"
    return Limits(
        method=method.name,
        stable=0.0 if smallest.upper < 0 else limit,
        curvature_limit=limit,
        safe=safe,
        optimal=optimal,
        rate=rate,
        condition=condition,
        scope=spec.scope,
        failure=spec.failure,
        reasons=reasons,
    )


def _sublinear_reason(spec: Spectrum) -> str:
    text = "sublinear in general: the smallest curvature is 0"
    positive = np.abs(spec.points[spec.points != 0]) if spec.points is not None else np.empty(0)
    if spec.scope == "local" or not positive.size:
        return text
    return (
        f"{text}; on a quadratic linear at the smallest positive eigenvalue {positive.min():.6g}: "
        f"1 - {positive.min() / positive.max():.3g} per safe step"
    )


def _condition(largest: Bounds, smallest: Bounds) -> Bounds | None:
    if smallest.upper < 0 or largest.upper <= 0:
        return None
    # as certain as the least certain of the four ends
    ends: set[Certainty] = {largest.lower_is, largest.upper_is, smallest.lower_is, smallest.upper_is}
    trust = max(ends, key=get_args(Certainty).index)
    upper = largest.upper / smallest.lower if smallest.lower > 0 else math.inf
    lower = max(1.0, largest.lower / smallest.upper) if smallest.upper > 0 else math.inf
    return Bounds(min(lower, upper), upper, trust, trust, largest.failure + smallest.failure)
