"""The errors that Surefoot raises: one hierarchy, each also the builtin that a caller expects.

Every message says what was wrong, with the shape or value seen, and what would fix it. A computation that merely did
not succeed (an interval wider than asked for, a run that diverged) is a result with a reason, not an exception; only
`Diverged` ends a loop that is not ours.
"""

from collections.abc import Sequence
from typing import Any

__all__ = [
    "Diverged",
    "Interrupted",
    "InvalidInput",
    "InvalidType",
    "LossFailed",
    "MissingExtra",
    "NotFinite",
    "NotRepeatable",
    "NotSmooth",
    "NotSymmetric",
    "SurefootError",
    "UnknownTarget",
]


class SurefootError(Exception):
    """Anything that Surefoot raises on purpose."""


class InvalidInput(SurefootError, ValueError):
    """A value outside what the argument allows: shape, range, emptiness."""


class InvalidType(SurefootError, TypeError):
    """An object of a kind that the argument does not take."""


class NotFinite(InvalidInput):
    """NaN or infinity where finite numbers are needed."""


class NotSymmetric(InvalidInput):
    """An operator that was said, or needs, to be symmetric and is not."""


class NotRepeatable(InvalidInput):
    """The same evaluation gave two different answers (dropout, augmentation, a stateful operator)."""


class NotSmooth(InvalidInput):
    """A function without a Lipschitz gradient was asked for its curvature."""


class LossFailed(SurefootError, RuntimeError):
    """A model or loss of the caller's that raised while it was evaluated here; its own error is the ``__cause__``."""


class UnknownTarget(InvalidInput):
    """A name that no built-in, file or importable factory answers to."""


class MissingExtra(SurefootError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it."""


class Interrupted(KeyboardInterrupt):
    """The user stopped a computation that had something to show already.

    It is a KeyboardInterrupt and no `SurefootError`: code that catches errors must not swallow Ctrl-C.

    Parameters
    ----------
    partial : result or None
        What the computation returns, as far as it had come.
    """

    def __init__(self, partial: Any = None) -> None:
        super().__init__()
        self.partial = partial


class Diverged(SurefootError, ArithmeticError):
    """A training run that its guard gave up on; model and optimizer are at the last good state.

    Parameters
    ----------
    message : str
        The diagnosis.
    history : sequence of training.Event
        What was tried.
    """

    def __init__(self, message: str, history: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.history = tuple(history)
