"""Bracket the usable step by short real runs from the same start: the only source of a suggestion."""

import math
from collections.abc import Callable, Mapping, Sequence

from surefoot.solvers import Ending
from surefoot.trials.trial import Trial

__all__ = ["MOST_RUNS", "assess", "search", "suggestion", "usable_range"]

MOST_RUNS = 14
COARSE, FINE = 4.0, 2.0
# A run is good when it got at least this share of the best run's improvement.
GOOD_SHARE = 0.9
NO_PROGRESS_SHARE = 0.001
# Final losses closer than this share of the improvement are as good as equal (noise, or the phase of an oscillation).
SAME_FLOOR = 1e-3


def search(run: Callable[[float], list[float]], guess: float, initial: float) -> dict[float, list[float]]:
    """Losses by step, around the step that ends lowest: by factors of 4 until it is enclosed, then of 2.

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
    found: dict[float, list[float]] = {}

    def enclose(factor: float) -> None:
        while len(found) < MOST_RUNS:
            best = best_of(found, initial)
            around = [s for s in (best * factor, best / factor) if not any(math.isclose(s, t) for t in found)]
            if not around:
                return
            found[around[0]] = run(around[0])

    found[guess] = run(guess)
    enclose(COARSE)
    enclose(FINE)
    return found


def best_of(found: Mapping[float, Sequence[float]], initial: float) -> float:
    """The step whose run ends lowest; among runs as good as equal the one that is there first."""
    lowest = min(score(losses) for losses in found.values())
    floor = lowest + SAME_FLOOR * abs(initial - lowest) if math.isfinite(lowest) else lowest

    def rank(step: float) -> tuple[float, int]:
        losses = found[step]
        end = score(losses)
        if end > floor or not math.isfinite(end):
            return end, 0
        return lowest, next(i for i, loss in enumerate(losses) if loss <= floor)

    return min(sorted(found), key=rank)


def score(losses: Sequence[float]) -> float:
    """The final loss; infinite where it is not a number."""
    return losses[-1] if math.isfinite(losses[-1]) else math.inf


def assess(found: dict[float, list[float]], initial: float, constant: float | None) -> tuple[Trial, ...]:
    """Trials in ascending steps, each judged against the start and the best one."""
    baseline = initial if constant is None else min(initial, constant)
    lowest = min(score(losses) for losses in found.values())
    improvement = baseline - lowest
    return tuple(
        Trial(
            step=step,
            losses=tuple(found[step]),
            ending=_ending(score(found[step]), initial, baseline, improvement),
        )
        for step in sorted(found)
    )


def _ending(final: float, initial: float, baseline: float, improvement: float) -> Ending:
    if not math.isfinite(final) or final > initial + max(improvement, 0.0):
        return Ending.DIVERGED
    gained = baseline - final
    if improvement <= 0 or gained <= NO_PROGRESS_SHARE * improvement:
        return Ending.NO_PROGRESS
    return Ending.GOOD if gained >= GOOD_SHARE * improvement else Ending.SLOW


def usable_range(trials: Sequence[Trial], initial: float) -> tuple[float, float] | None:
    """The steps around the best run between which all runs were good."""
    best = _best_good(trials, initial)
    if best is None:
        return None
    low = high = best
    good = [trial.ending is Ending.GOOD for trial in trials]
    while low > 0 and good[low - 1]:
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
