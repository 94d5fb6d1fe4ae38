"""Bracket the best rate by short real runs from the same start: the only source of a suggestion.

Rates are the places of a logarithmic grid, rate = first * ratio^place; `search` says where to run next.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import TypeVar

from surefoot.solvers import Ending
from surefoot.trials.trial import Trial

__all__ = ["MOST_RUNS", "SAME_FLOOR", "assess", "score", "search", "suggestion", "usable_range"]

Rate = TypeVar("Rate", int, float)

# Places between rates while the best one is not enclosed yet; then every place beside it is tried.
COARSE = 2
# `advise` tries rates by factors of 4, then of 2: a suggestion within a factor 2 is what so short a run can support.
RATIO = 2.0
# Places below the best rate that have to be known: 1/16 and 1/256 of it. A network at a rate much too large falls to
# the constant predictor at once and stays there, and so it does at the rates beside: only far below does it show.
BELOW = (4, 8)
# Six coarse steps from a wrong first rate, the two places below, and four to fill the grid; by convention.
MOST_RUNS = 14
# A run is good when it got at least this share of the best run's improvement, by convention.
GOOD_SHARE = 0.9
# An improvement below this share of the best one's, or of the constant predictor's loss, is rounding or chance.
NO_PROGRESS_SHARE = 0.001
# Final losses closer than this share of the improvement are as good as equal (noise, or the phase of an oscillation).
SAME_FLOOR = 1e-3


def _next_place(gains: Mapping[int, float], best: int) -> int | None:
    """Where on the grid to run next: up by coarse steps to the end of what is as good as the best, then beside it.

    Parameters
    ----------
    gains : mapping of int to float
        Place to what its run gained; 0 or less where it gained nothing, -inf where it failed.
    best : int
        The place that counts as the best.

    Returns
    -------
    int or None
        None when the best place is enclosed.
    """
    lowest, highest = min(gains), max(gains)
    if not gains[best] > 0:
        # nothing is gained at rates that are too large, whatever the reason, and at none if they are too small
        return lowest - COARSE
    low, high = _plateau(gains, best)
    if high == highest:
        return highest + COARSE
    if best == lowest:
        return lowest - COARSE
    beside = [i for i in (best - 1, best + 1) if i not in gains]
    # the ends of the plateau are narrowed down to a place, but not into a gap that was left on purpose
    beside += [i for i in (high + 1, low - 1) if i not in gains and i - 1 in gains and i + 1 in gains]
    if beside:
        return max(beside, key=lambda i: _beyond(gains, best, i))
    return next((best - gap for gap in BELOW if lowest > best - gap), None)


def _plateau(gains: Mapping[int, float], best: int) -> tuple[int, int]:
    """First and last of the tried places around the best one that are as good as it."""
    tried = sorted(gains)
    place = tried.index(best)
    enough = gains[best] - SAME_FLOOR * abs(gains[best])
    below = takewhile(lambda i: gains[i] >= enough, reversed(tried[:place]))
    above = takewhile(lambda i: gains[i] >= enough, tried[place + 1 :])
    return min(below, default=best), max(above, default=best)


def _beyond(gains: Mapping[int, float], best: int, i: int) -> float:
    """The gain on the far side of a gap beside the best place."""
    known = [k for k in (i - 1, i + 1) if k in gains and k != best]
    return max((gains[k] for k in known), default=-math.inf)


def search(run: Callable[[float], list[float]], guess: float, initial: float) -> dict[float, list[float]]:
    """Losses by step, around the step that ends lowest.

    Parameters
    ----------
    run : callable
        Step to losses, the last one final; nan where not finite.
    guess : float
        Where to start, positive.
    initial : float
        Loss at the start.

    Returns
    -------
    dict
        At most `MOST_RUNS` entries.
    """
    runs: dict[int, list[float]] = {}
    place: int | None = 0
    while place is not None and len(runs) < MOST_RUNS:
        runs[place] = run(guess * RATIO**place)
        gains = {i: initial - score(losses) for i, losses in runs.items()}
        place = _next_place(gains, best_of(runs, initial))
    return {guess * RATIO**i: losses for i, losses in runs.items()}


def best_of(runs: Mapping[Rate, Sequence[float]], initial: float) -> Rate:
    """The step whose run ends lowest; among runs as good as equal the one that is there first."""
    lowest = min(score(losses) for losses in runs.values())
    floor = lowest + SAME_FLOOR * abs(initial - lowest) if math.isfinite(lowest) else lowest

    def rank(step: Rate) -> tuple[float, int]:
        losses = runs[step]
        end = score(losses)
        if end > floor or not math.isfinite(end):
            return end, 0
        return lowest, next(i for i, loss in enumerate(losses) if loss <= floor)

    return min(sorted(runs), key=rank)


def score(losses: Sequence[float]) -> float:
    """The final loss; infinite where it is not a number."""
    return losses[-1] if math.isfinite(losses[-1]) else math.inf


def assess(runs: Mapping[float, Sequence[float]], initial: float, constant: float | None) -> tuple[Trial, ...]:
    """Trials in ascending steps, each judged against the start, the best constant predictor and the best of them."""
    if not runs:
        return ()
    baseline = initial if constant is None else min(initial, constant)
    lowest = min(score(losses) for losses in runs.values())
    improvement = baseline - lowest
    if constant is not None and improvement <= NO_PROGRESS_SHARE * abs(constant):
        improvement = 0.0  # no run is better than the constant predictor, so none of them is good
    return tuple(
        Trial(
            step=step,
            losses=tuple(runs[step]),
            ending=_ending(score(runs[step]), initial, baseline, improvement),
        )
        for step in sorted(runs)
    )


def _ending(final: float, initial: float, baseline: float, improvement: float) -> Ending:
    if not math.isfinite(final) or final > initial + max(improvement, 0.0):
        return Ending.DIVERGED
    gained = baseline - final
    if improvement <= 0 or gained <= NO_PROGRESS_SHARE * improvement:
        return Ending.NO_PROGRESS
    return Ending.GOOD if gained >= GOOD_SHARE * improvement else Ending.SLOW


def usable_range(trials: Sequence[Trial], initial: float) -> tuple[float, float] | None:
    """The steps around the best run between which all runs were good, none further than a factor 4 from the next."""
    best = _best_good(trials, initial)
    if best is None:
        return None
    low = high = best
    good = [trial.ending is Ending.GOOD for trial in trials]
    widest = RATIO**COARSE * (1 + 1e-9)  # a wider gap, to a place decades below, leaves open what is in it
    while low > 0 and good[low - 1] and trials[low].step <= widest * trials[low - 1].step:
        low -= 1
    while high + 1 < len(trials) and good[high + 1]:
        high += 1
    return trials[low].step, trials[high].step


def suggestion(trials: Sequence[Trial], initial: float) -> float | None:
    """The best good run's step, or one notch below it where the next larger step fails."""
    best = _best_good(trials, initial)
    if best is None:
        return None
    beside_a_cliff = best + 1 < len(trials) and trials[best + 1].ending.failed
    if beside_a_cliff and best > 0 and trials[best - 1].ending is Ending.GOOD:
        best -= 1
    return trials[best].step


def _best_good(trials: Sequence[Trial], initial: float) -> int | None:
    good = {trial.step: trial.losses for trial in trials if trial.ending is Ending.GOOD}
    if not good:
        return None
    best = best_of(good, initial)
    return next(i for i, trial in enumerate(trials) if trial.step == best)
