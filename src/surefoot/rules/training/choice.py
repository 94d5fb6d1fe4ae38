"""The rate that a rehearsal points to: its losses at several rates, after the cool-down, as one number."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["JUDGES", "SPACING", "Choice", "choose", "mean_loss"]

# Between neighbours.
SPACING = 10**0.5
# Batches at the end of the cool-down that judge: the last four, in which the rate is below a fifth of its peak. Seven
# let in more of the noise of high rates.
JUDGES = 4
# Copies that differ by less than this part of the progress, beside the error of the difference, count as equal: their
# mean log rate varies less from seed to seed than the best of a grid. 2% let single runs with AdamW go as far wrong.
SAME = 0.05
# Where the next rate above fails the best is next to a cliff: so many half decades away from it.
AWAY = 0.25


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen.

    Parameters
    ----------
    best : int
        Copy with the least loss.
    rate : float
        The suggestion.
    interval : (float, float)
        The least and the largest rate, among the best one and those next to it, whose loss is above the least by no
        more than its standard error and 5% of the progress; the suggestion is in it. An *estimate*.
    top : bool
        Whether the best rate is the highest tried and nothing has failed above it.
    """

    best: int
    rate: float
    interval: tuple[float, float]
    top: bool


def mean_loss(losses: Sequence[float], last: int = JUDGES) -> float:
    """The mean of the last of them; infinite where one is not finite."""
    mean = sum(losses[-last:]) / len(losses[-last:])
    return mean if math.isfinite(mean) else math.inf


def choose(rates: Sequence[float], losses: Sequence[Sequence[float]], first: float, failed: float) -> Choice:
    """The mean in log rate of the best copy and its neighbours, each counted by how little worse it is.

        exp(-d/(e + 0.05 p)),    d = lack on the same batches, e its standard error, p = progress of the best

    A quarter of a half decade lower where the next rate up fails.

    Parameters
    ----------
    rates : sequence of float
        Peak rates of the copies that have not failed.
    losses : sequence of sequences of float
        Losses of each copy; the last four judge.
    first : float
        The loss before any update.
    failed : float
        The least rate that has failed; inf if none.
    """
    scores = [mean_loss(past) for past in losses]
    order = sorted(range(len(rates)), key=lambda i: rates[i])
    best = min(order, key=lambda i: (scores[i], rates[i]))
    place = order.index(best)
    near = [i for i in order[max(place - 1, 0) : place + 2] if math.isfinite(scores[i])] or [best]
    progress = max(first - scores[best], 0.0)
    weights = [1.0 if i == best else _weight(losses[best], losses[i], progress) for i in near]
    logs = [weight * math.log(rates[i]) for i, weight in zip(near, weights, strict=True)]
    rate = math.exp(sum(logs) / sum(weights))
    above = order[place + 1 :]
    if rates[best] * SPACING > 0.99 * failed or (above and not math.isfinite(scores[above[0]])):
        rate *= SPACING**-AWAY
    equal = [rate, *(rates[i] for i, weight in zip(near, weights, strict=True) if weight >= math.exp(-1))]
    return Choice(best, rate, (min(equal), max(equal)), top=not above and failed == math.inf)


def _weight(best: Sequence[float], other: Sequence[float], progress: float) -> float:
    """How much a copy counts beside the best: by what it lacks, over what that is uncertain by and what is the same."""
    lacks = [theirs - its for its, theirs in zip(best[-JUDGES:], other[-JUDGES:], strict=False)]
    error = statistics.stdev(lacks) / math.sqrt(len(lacks)) if len(lacks) > 1 else 0.0
    width = error + SAME * progress
    return math.exp(-statistics.fmean(lacks) / width) if width > 0 else 0.0
