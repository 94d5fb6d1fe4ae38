"""Diagonal scalings of the direction computed from gradients: AdaGrad, RMSProp, Adam's second moment.

The run moves along d = -P g, P = diag(scale), and measures lengths to match: |s|^2 = s'P^-1 s, |g|^2 = g'P g. For a
fixed P that is plain descent in the variable P^-1/2 x, so every rule works unchanged.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from surefoot.checks import Positive, Share, checked, real_array
from surefoot.errors import InvalidInput
from surefoot.operators import Array


class Scaling(Protocol):
    """A rule for P without a state of its own: its memory is one array and a count.

    Examples
    --------
    A scaling by 1/diag(H) of a diagonal H takes one step to the minimum, so two gradients:

    >>> import numpy as np
    >>> from surefoot.problems import Quadratic
    >>> from surefoot.rules import Constant
    >>> from surefoot.solvers import descend
    >>> class Jacobi:
    ...     def update(self, memory, count, gradient):
    ...         return np.array([1.0, 0.01]), memory
    >>> problem = Quadratic([[1.0, 0.0], [0.0, 100.0]], [1.0, 1.0])
    >>> descend(problem, rule=Constant(step=1.0), scaling=Jacobi()).evaluations
    2
    """

    def update(self, memory: Array, count: int, gradient: Array) -> tuple[Array, Array]:
        """The scale, shape (size,), for this gradient, and the next memory; `count` gradients were given before."""
        ...


@checked
@dataclass(frozen=True, slots=True)
class AdaGrad:
    """Scale each entry by the root of the sum of its squared gradients.

        G <- G + g^2,    P = 1/(sqrt G + eps)

    (Duchi, Hazan, Singer 2011.)

    Parameters
    ----------
    eps : float
        > 0.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.solvers import AdaGrad
    >>> scale, memory = AdaGrad().update(np.zeros(2), 0, np.array([4.0, 0.5]))
    >>> scale.round(6), memory
    (array([0.25, 2.  ]), array([16.  ,  0.25]))
    """

    eps: Positive = 1e-10

    def update(self, memory: Array, count: int, gradient: Array) -> tuple[Array, Array]:  # noqa: ARG002 - the contract
        """The scale and the sum of squares."""
        memory = memory + gradient * gradient
        return 1 / (np.sqrt(memory) + self.eps), memory


@checked
@dataclass(frozen=True, slots=True)
class RMSProp:
    """Scale each entry by the root of an average of its squared gradients.

        v <- b v + (1 - b) g^2,    P = 1/(sqrt(v/c) + eps),    c = 1 - b^k if corrected, else 1

    (Tieleman, Hinton 2012; corrected as in Adam: Kingma, Ba 2015.) Corrected, with ``EMAMomentum`` as the method, it is
    Adam except for two things: the scale and the step enter the average instead of following it, and the first moment
    is not corrected. With a constant step it ends in a cycle of about that size: use a decaying one.

    Parameters
    ----------
    decay : float
        b in [0, 1); 0.99 as in PyTorch's RMSprop, 0.999 in Adam.
    eps : float
        > 0.
    corrected : bool
        Whether to correct for the start at 0.

    Raises
    ------
    InvalidInput
        If a parameter is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.solvers import RMSProp
    >>> scale, memory = RMSProp(corrected=True).update(np.zeros(2), 0, np.array([4.0, 0.5]))
    >>> scale.round(6)  # the first step is the gradient's sign
    array([0.25, 2.  ])
    """

    decay: Share = 0.99
    eps: Positive = 1e-8
    corrected: bool = False

    def update(self, memory: Array, count: int, gradient: Array) -> tuple[Array, Array]:
        """The scale and the average."""
        memory = self.decay * memory + (1 - self.decay) * gradient * gradient
        share = 1 - self.decay ** (count + 1) if self.corrected else 1.0
        return 1 / (np.sqrt(memory / share) + self.eps), memory


@checked
class FixedScaling:
    """The same scale throughout: Jacobi's 1/diag(H), or 1/(feature scale)^2.

    Parameters
    ----------
    scale : array, shape (size,)
        Positive and finite.

    Raises
    ------
    InvalidInput
        If an entry is not positive and finite.
    """

    def __init__(self, scale: Array) -> None:
        self.scale: Array = real_array(scale, "scale")
        if not bool(np.all((self.scale > 0) & np.isfinite(self.scale))):
            raise InvalidInput("the entries of a scaling must be positive and finite")

    def update(self, memory: Array, count: int, gradient: Array) -> tuple[Array, Array]:  # noqa: ARG002 - the contract
        """The scale, and no memory."""
        return self.scale, memory
