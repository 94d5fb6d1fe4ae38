"""Momentum in PyTorch's conventions: heavy ball, Nesterov, and the exponential average inside Adam.

All three keep a velocity w that includes the step (w = -step * torch's buffer), so that one `update` serves optimisers
and flows. With a constant step the iteration is the same.
"""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from surefoot.checks import Share, checked
from surefoot.errors import InvalidInput
from surefoot.methods._base import Flow, Method, State


def _check_ends(smallest: float, largest: float) -> None:
    if not 0 < smallest <= largest < float("inf"):
        raise InvalidInput(f"needs 0 < smallest <= largest, finite; got {smallest!r} and {largest!r}")


class _AveragedGradient(Method):
    """x <- x + w, w <- b w + gain * h F(x): heavy ball with a gain on the new gradient.

    The roots r of r^2 - (1 + b - gain y) r + b, y = step * curvature, give every closed form below.
    """

    @abstractmethod
    def _weights(self) -> tuple[float, float]:
        """The share b of the velocity that is kept, and the gain."""

    @property
    def memory(self) -> int:
        return 2

    def update(self, state: State, flow: Flow) -> State:
        """One step of (iterate, velocity)."""
        x, velocity = state
        decay, gain = self._weights()
        velocity = decay * velocity + gain * flow(x)
        return x + velocity, velocity

    def amplification(self, z: ArrayLike) -> NDArray[np.float64]:
        """Larger root modulus of r^2 - (1 + b + gain z) r + b."""
        decay, gain = self._weights()
        return larger_root(1 + decay + gain * np.asarray(z, dtype=np.complex128), decay)

    @property
    def real_limit(self) -> float:
        """2 (1 + b) / gain, where a root passes -1."""
        decay, gain = self._weights()
        return 2 * (1 + decay) / gain

    def best_step(self, smallest: float, largest: float) -> tuple[float, float]:
        """2 (1 + b) / (gain (L + mu)), where both ends of the spectrum have roots of equal modulus.

        Between the ends the roots are no larger. If (L - mu)/(L + mu) <= 2 sqrt(b)/(1 + b), all roots have modulus
        sqrt(b) and a range of steps is equally good, of which this is the midpoint.
        """
        step = self.real_limit / (largest + smallest)
        # the end L has the same modulus as mu
        return step, float(self.amplification(-step * smallest))


@checked
@dataclass(frozen=True, slots=True)
class HeavyBall(_AveragedGradient):
    """Heavy ball (Polyak 1964) as in ``torch.optim.SGD(momentum=b, dampening=d)``.

        v <- b v + (1 - d) grad f(x),    x <- x - step * v

    Stable while step * curvature < 2 (1 + b)/(1 - d). The effective rate of slow components is
    step (1 - d)/(1 - b).

    Parameters
    ----------
    momentum : float
        b in [0, 1).
    dampening : float
        d in [0, 1), 0 as in PyTorch.

    Raises
    ------
    InvalidInput
        If a parameter is outside [0, 1).

    Examples
    --------
    >>> from surefoot.methods import HeavyBall
    >>> HeavyBall(0.9).real_limit
    3.8
    """

    momentum: Share = 0.9
    dampening: Share = 0.0

    @property
    def name(self) -> str:
        """``heavy ball`` with its parameters."""
        damped = f", dampening {self.dampening:g}" if self.dampening else ""
        return f"heavy ball {self.momentum:g}{damped}"

    def _weights(self) -> tuple[float, float]:
        return self.momentum, 1 - self.dampening

    @classmethod
    def best(cls, smallest: float, largest: float) -> tuple["HeavyBall", float]:
        """Best momentum and step for curvatures in [smallest, largest] = [mu, L].

            step = (2/(sqrt L + sqrt mu))^2,    b = ((sqrt k - 1)/(sqrt k + 1))^2,    k = L/mu,    rate sqrt(b)

        (Polyak 1964.) Proved for quadratics; on other strongly convex functions this pair can cycle
        (Lessard, Recht, Packard 2016, section 4.6).

        Raises
        ------
        InvalidInput
            Unless 0 < smallest <= largest.
        """
        _check_ends(smallest, largest)
        root_l, root_mu = largest**0.5, smallest**0.5
        return cls(((root_l - root_mu) / (root_l + root_mu)) ** 2), (2 / (root_l + root_mu)) ** 2

    def tuned(self, smallest: float, largest: float) -> str:
        """The pair of `best` and its rate."""
        method, step = self.best(smallest, largest)
        return _pair(method.momentum, step, method.momentum**0.5)


@checked
@dataclass(frozen=True, slots=True)
class EMAMomentum(_AveragedGradient):
    """Momentum as an exponential moving average: Adam's first moment, or SGD with dampening = momentum.

        m <- b m + (1 - b) grad f(x),    x <- x - step * m

    Stable while step * curvature < 2 (1 + b)/(1 - b) (Cohen et al. 2022, equation 2): 38 for b = 0.9. For Adam the
    curvature is that of P^-1/2 H P^-1/2 with P = sqrt(second moment) + eps held fixed.

    Parameters
    ----------
    beta : float
        b in [0, 1).

    Raises
    ------
    InvalidInput
        If beta is outside [0, 1).

    Examples
    --------
    >>> from surefoot.methods import EMAMomentum
    >>> round(EMAMomentum(0.9).real_limit, 12)
    38.0
    """

    beta: Share = 0.9

    @property
    def name(self) -> str:
        """``averaged momentum`` with its parameter."""
        return f"averaged momentum {self.beta:g}"

    def _weights(self) -> tuple[float, float]:
        return self.beta, 1 - self.beta


@checked
@dataclass(frozen=True, slots=True)
class Nesterov(Method):
    """Nesterov momentum as in ``torch.optim.SGD(momentum=b, nesterov=True)``.

        v <- b v + grad f(x),    x <- x - step (grad f(x) + b v)

    where torch's x is the look-ahead point. Stable while step * curvature < 2 (1 + b)/(1 + 2 b) (Cohen et al. 2021,
    appendix B): the roots solve r^2 - (1 + b)(1 - y) r + b (1 - y) = 0, y = step * curvature.

    Parameters
    ----------
    momentum : float
        b in [0, 1).

    Raises
    ------
    InvalidInput
        If momentum is outside [0, 1).

    Examples
    --------
    >>> from surefoot.methods import Nesterov
    >>> round(Nesterov(0.9).real_limit, 6)
    1.357143
    """

    momentum: Share = 0.9

    @property
    def name(self) -> str:
        """``Nesterov`` with its parameter."""
        return f"Nesterov {self.momentum:g}"

    @property
    def memory(self) -> int:
        """Two arrays: the iterate (torch's parameters) and the velocity."""
        return 2

    def update(self, state: State, flow: Flow) -> State:
        """One step of (iterate, velocity)."""
        x, velocity = state
        push = flow(x)
        velocity = self.momentum * velocity + push
        return x + push + self.momentum * velocity, velocity

    def amplification(self, z: ArrayLike) -> NDArray[np.float64]:
        """Larger root modulus of r^2 - (1 + b)(1 + z) r + b (1 + z)."""
        growth = 1 + np.asarray(z, dtype=np.complex128)
        return larger_root((1 + self.momentum) * growth, self.momentum * growth)

    @property
    def real_limit(self) -> float:
        """2 (1 + b)/(1 + 2 b), where a root passes -1."""
        return 2 * (1 + self.momentum) / (1 + 2 * self.momentum)

    @classmethod
    def best(cls, smallest: float, largest: float) -> tuple["Nesterov", float]:
        """Best momentum and step for curvatures in [smallest, largest] = [mu, L].

            step = 4/(3L + mu),    b = (s - 2)/(s + 2),    rate 1 - 2/s,    s = sqrt(3k + 1),    k = L/mu

        (Lessard, Recht, Packard 2016, proposition 1: quadratics.)

        Raises
        ------
        InvalidInput
            Unless 0 < smallest <= largest.
        """
        _check_ends(smallest, largest)
        # at this step the two roots of mu coincide, where the larger one is smallest
        s = (3 * largest / smallest + 1) ** 0.5
        return cls((s - 2) / (s + 2)), 4 / (3 * largest + smallest)

    def tuned(self, smallest: float, largest: float) -> str:
        """The pair of `best` and its rate."""
        method, step = self.best(smallest, largest)
        return _pair(method.momentum, step, 1 - 2 / (3 * largest / smallest + 1) ** 0.5)


def _pair(momentum: float, step: float, rate: float) -> str:
    return f"best pair: momentum {momentum:.6g} with step {step:.6g}, rate {rate:.6g}"


def larger_root(p: NDArray[np.complex128], q: float | NDArray[np.complex128]) -> NDArray[np.float64]:
    """Larger modulus of the roots of r^2 - p r + q."""
    discriminant = np.sqrt(p * p - 4 * q)
    return np.maximum(np.abs(p + discriminant), np.abs(p - discriminant)) / 2
