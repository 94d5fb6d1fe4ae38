"""How a run ended, in one word: the same words for a solver, a short trial, a sweep, a race and a training."""

from enum import StrEnum

__all__ = ["Ending"]


class Ending(StrEnum):
    """How a run ended.

    A value is the word itself, so it compares equal to it, prints as it, and is written to JSON as it.

    Attributes
    ----------
    GOOD
        ``good``: it converged or reached its goal, or will with as many moves again; of several runs side by side, one
        that got nearly as far as the best of them; of a training, one that ended below the best constant predictor.
    SLOW
        ``slow``: it got better, but clearly less than it could.
    TOO_SMALL
        ``too small``: slow because the steps are a small part of 1/curvature.
    NO_PROGRESS
        ``no progress``: it ended no better than its start, or than the best constant predictor.
    OSCILLATING
        ``oscillating``: it stays bounded and moves back and forth across the minimum.
    COLLAPSED
        ``collapsed``: it settled where most of what it had gained is lost again, or where a network's outputs no longer
        depend on its inputs.
    DIVERGED
        ``diverged``: it met a value that is not finite, or ended far above its start.

    Examples
    --------
    >>> from surefoot.solvers import Ending
    >>> Ending.NO_PROGRESS == "no progress", Ending.NO_PROGRESS.failed, Ending.SLOW.failed
    (True, True, False)
    """

    GOOD = "good"
    SLOW = "slow"
    TOO_SMALL = "too small"
    NO_PROGRESS = "no progress"
    OSCILLATING = "oscillating"
    COLLAPSED = "collapsed"
    DIVERGED = "diverged"

    def __repr__(self) -> str:
        return repr(self.value)

    @property
    def failed(self) -> bool:
        """Whether the run ended no better than it began, so that its step is one to stay below."""
        return self in (Ending.NO_PROGRESS, Ending.COLLAPSED, Ending.DIVERGED)
