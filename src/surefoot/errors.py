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
    """Anything that Surefoot raises on purpose.

    Examples
    --------
    >>> import surefoot as sf
    >>> try:
    ...     sf.spectrum([[1.0, 2.0]])
    ... except sf.errors.SurefootError as error:  # whatever the library refuses
    ...     print(type(error).__name__)
    InvalidInput
    """


class InvalidInput(SurefootError, ValueError):
    """A value outside what the argument allows: shape, range, emptiness."""


class InvalidType(SurefootError, TypeError):
    """An object of a kind that the argument does not take.

    Examples
    --------
    >>> import surefoot as sf
    >>> sf.methods.EMAMomentum("0.9")
    Traceback (most recent call last):
        ...
    surefoot.errors.InvalidType: beta must be a number; got '0.9' (str)
    """


class NotFinite(InvalidInput):
    """NaN or infinity where finite numbers are needed.

    Examples
    --------
    >>> import surefoot as sf
    >>> sf.spectrum([[float("nan")]])
    Traceback (most recent call last):
        ...
    surefoot.errors.NotFinite: ...
    """


class NotSymmetric(InvalidInput):
    """An operator that is declared, or needs, to be symmetric and is not."""


class NotRepeatable(InvalidInput):
    """The same evaluation gave two different answers (dropout, augmentation, a stateful operator).

    Examples
    --------
    >>> import numpy as np
    >>> from surefoot.solvers import integrate
    >>> noise = np.random.default_rng(0)
    >>> integrate(lambda t, y: -y + noise.standard_normal(1), (0.0, 1.0), [1.0])
    Traceback (most recent call last):
        ...
    surefoot.errors.NotRepeatable: fun gave two different answers at the same point; ...
    """


class NotSmooth(InvalidInput):
    """A function without a Lipschitz gradient was asked for its curvature."""


class LossFailed(SurefootError, RuntimeError):
    """A model or loss of the caller's that raised while it was evaluated here; its own error is the ``__cause__``.

    Examples
    --------
    >>> from surefoot.errors import LossFailed
    >>> try:
    ...     raise LossFailed("the loss raised KeyError") from KeyError("labels")  # as a range test or a rehearsal does
    ... except LossFailed as error:
    ...     print(repr(error.__cause__))
    KeyError('labels')
    """


class UnknownTarget(InvalidInput):
    """A name that no built-in, file or importable factory answers to.

    Examples
    --------
    >>> from surefoot.targets import resolve
    >>> resolve("quadratics")
    Traceback (most recent call last):
        ...
    surefoot.errors.UnknownTarget: ...
    """


class MissingExtra(SurefootError, ImportError):
    """An optional dependency is not installed; the message names the extra that brings it.

    Examples
    --------
    It is an ImportError as well, so a program that can do without goes on as usual:

    >>> from surefoot.errors import MissingExtra
    >>> try:
    ...     raise MissingExtra("figures as PNG need Matplotlib; pip install '.[report]'")
    ... except ImportError as error:
    ...     print(error)
    figures as PNG need Matplotlib; pip install '.[report]'
    """


class Interrupted(KeyboardInterrupt):
    """The user stopped a computation that had something to show already.

    It is a KeyboardInterrupt and no `SurefootError`: code that catches errors must not swallow Ctrl-C.

    Parameters
    ----------
    partial : result or None
        What the computation returns, as far as it had come.

    Examples
    --------
    >>> from surefoot.errors import Interrupted
    >>> try:
    ...     raise Interrupted(partial=[0.5, 0.25])  # as Ctrl-C in a long computation does
    ... except Interrupted as stop:
    ...     print(stop.partial)
    [0.5, 0.25]
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


def first_line(error: BaseException) -> str:
    """What an error says, for quoting in a sentence: others' errors may have pages."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
