"""What can be advised on: anything with candidate methods, an operator and short real runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from surefoot.methods import Method
from surefoot.operators import Operator
from surefoot.spectra import Spectrum


class Candidate(Protocol):
    """A method that the target can run with."""

    @property
    def label(self) -> str:
        """What to call it: ``SGD momentum 0.9``."""
        ...

    @property
    def method(self) -> Method:
        """Its amplification."""
        ...

    @property
    def note(self) -> str:
        """What a reader should know of how it was set up."""
        ...


@runtime_checkable
class Target(Protocol):
    """A problem as `surefoot.advise` sees it: no arrays of the problem's own kind cross this line.

    Examples
    --------
    >>> from surefoot.targets import Target, resolve
    >>> isinstance(resolve("quadratic")[0], Target)
    True
    """

    @property
    def name(self) -> str:
        """What to call it."""
        ...

    @property
    def constant_curvature(self) -> bool:
        """Whether the curvature is the same everywhere (a quadratic)."""
        ...

    def describe(self) -> Mapping[str, str]:
        """Facts for a reader: sizes, loss at the start, data."""
        ...

    def candidates(self) -> Sequence[Candidate]:
        """The methods to give advice for."""
        ...

    def global_curvature(self) -> Spectrum | None:
        """Bounds on the curvature that hold everywhere, where they are known; else None: measure `operator`."""
        ...

    def operator(self, candidate: Any) -> Operator:
        """The curvature at the start as the candidate sees it (preconditioned, with weight decay).

        The same object for candidates that see the same curvature.
        """
        ...

    def trial(self, candidate: Any, step: float, steps: int) -> list[float]:
        """Losses of a short real run from the start, the last one on all the data; nan where it is not finite."""
        ...

    def gradient_norms(self, candidate: Any, step: float, steps: int) -> list[float] | None:
        """Gradient norms of a deterministic run from the start; None where runs are stochastic."""
        ...

    def initial_loss(self) -> float:
        """The loss at the start, on all the data."""
        ...

    def constant_loss(self) -> float | None:
        """The loss of the best constant predictor, where it is known."""
        ...
