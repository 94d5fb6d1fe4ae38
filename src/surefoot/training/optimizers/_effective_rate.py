"""The rate of plain gradient descent that is equivalent to a rate and a momentum in slow directions."""

from torch.optim import Optimizer

from surefoot.checks import Positive, checked
from surefoot.errors import InvalidInput, InvalidType
from surefoot.methods import EMAMomentum, GradientDescent, HeavyBall, Method, Nesterov
from surefoot.training.optimizers._methods import NesterovAverage
from surefoot.training.optimizers.frozen import method_of


@checked
def effective_rate(method: Method | Optimizer, rate: Positive | None = None, *, curvature: float = 0.0) -> float:
    """The rate of plain gradient descent that moves slow directions as far.

        effective = rate * gain/(1 - b)

    b is the momentum and gain the weight of a new gradient: 1 for heavy ball and Nesterov, 1 - dampening with
    dampening, 1 - b for averaged momentum (Adam), whose effective rate is the rate. Exact as curvature -> 0. At
    curvature lambda the error that a step leaves, 1 - effective * lambda, is off relative to effective * lambda by
    about b x/(1 - b), x = effective * lambda (heavy ball; an *estimate* to first order); above rate * gain * lambda =
    (1 - sqrt b)^2 the motion oscillates and no rate of gradient descent is equivalent: give `curvature` to have that
    checked.

    Parameters
    ----------
    method : Method or torch.optim.Optimizer
        Method; an optimizer brings its rate, that of its first group.
    rate : float, optional
        Rate, > 0; needed with a Method.
    curvature : float
        Largest curvature that must not oscillate; where it does, the call is refused.

    Returns
    -------
    float

    Raises
    ------
    InvalidType
        If the method is of no kind with a closed form.
    InvalidInput
        If the rate is missing or not positive, or the curvature makes the motion oscillate.

    Examples
    --------
    >>> from surefoot.methods import EMAMomentum, HeavyBall
    >>> from surefoot.training.optimizers._effective_rate import effective_rate
    >>> round(effective_rate(HeavyBall(0.9), 0.01), 12)
    0.1
    >>> effective_rate(EMAMomentum(0.9), 0.01)
    0.01
    """
    if isinstance(method, Optimizer):
        rate = float(method.param_groups[0]["lr"]) if rate is None else rate
        method = method_of(method)
    if rate is None or not 0 < rate < float("inf"):
        raise InvalidInput(f"rate must be positive and finite; got {rate!r}")
    gain, momentum = _gain_and_momentum(method)
    critical = (1 - momentum**0.5) ** 2
    if momentum and rate * gain * curvature > critical:
        raise InvalidInput(
            f"at curvature {curvature:g} the motion oscillates: rate * gain * curvature = "
            f"{rate * gain * curvature:.3g} > (1 - sqrt b)^2 = {critical:.3g}, so no rate of gradient descent is "
            "equivalent; lower the momentum"
        )
    return rate * gain / (1 - momentum)


@checked
def equivalent_rate(method: Method | Optimizer, other: Method, rate: Positive | None = None) -> float:
    """The rate with which another method moves slow directions as far: the same effective rate.

        rate' = rate * (gain/(1 - b)) (1 - b')/gain'

    So (0.1, b = 0) is (0.01, b = 0.9) for heavy ball. The stability limits are not equivalent: at the same effective
    rate they differ by (1 + b)/(1 - b), which is what momentum is for.

    Parameters
    ----------
    method : Method or torch.optim.Optimizer
        Method, or optimizer, that `rate` belongs to.
    other : Method
    rate : float, optional
        Rate; needed with a Method.

    Returns
    -------
    float

    Raises
    ------
    InvalidType
        If a method is of no kind with a closed form.
    InvalidInput
        If the rate is missing or not positive.

    Examples
    --------
    >>> from surefoot.methods import GradientDescent, HeavyBall
    >>> from surefoot.training.optimizers._effective_rate import equivalent_rate
    >>> round(equivalent_rate(GradientDescent(), HeavyBall(0.9), 0.1), 12)
    0.01
    """
    return effective_rate(method, rate) / effective_rate(other, 1.0)


def _gain_and_momentum(method: Method) -> tuple[float, float]:
    """The weight of a new gradient, and b; an error for a method without a closed form."""
    if isinstance(method, GradientDescent):
        return 1.0, 0.0
    if isinstance(method, HeavyBall):
        return 1 - method.dampening, method.momentum
    if isinstance(method, Nesterov):
        return 1.0, method.momentum
    if isinstance(method, EMAMomentum | NesterovAverage):
        return 1 - method.beta, method.beta
    raise InvalidType(f"no effective rate is known for {method.name}; gradient descent and momentum methods have one")
