"""The pilot's own rule: short real runs side by side choose the rate, from the start and now and then."""

import math
from dataclasses import dataclass, replace

from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules._checks import fraction, number, whole
from surefoot.rules._course import Course, Outlook

__all__ = ["Autopilot", "AutopilotState"]

# The opening's rates over the reach of the first update. Best rates of whole runs were 0.2 to 5 times the reach with
# Adam; upwards the later trials go on, so what is missing above is found, what is missing below is not.
RIVALS = (1.0, 10**-0.5, 0.1, 10**0.5)
# (batches, lanes kept): half of a field is told from the rest in five steps; the last two need twenty, since a wild
# start may overtake a tame one (20 steps chose as well as 30 or 40, 8 worse).
CUTS = ((5, 3), (10, 2), (20, 1))
# Losses averaged into a score: of the same batches for all lanes, so their common noise is out already.
WINDOW = 3
# Scores closer than this part of the progress so far are equal, and then the higher rate is better: it explores more,
# and what noise it leaves the cool-down takes away.
TIE = 0.01
# A higher rate that is worse by this much, or a lower one that is not better by `TIE`, need not run to the end.
HOPELESS = 0.1
# Batches before a trial gives anything up.
PATIENCE = 4
# The first loss, as a part, that counts as progress where there is none yet.
FLOOR = 0.05
# Batches whose loss no lane survives, before the guard is left to say why.
BROKEN = 10
# Batches after a rescue without a trial.
REST = 40


@dataclass(frozen=True, slots=True)
class AutopilotState:
    """Where the run is.

    Parameters
    ----------
    rates : tuple of float
        Of the lanes, that which stands for the run first; one outside trials.
    losses : tuple of tuples of float
        The last ones of each lane.
    opening : bool
        Whether the present trial is the first.
    clock : int
        Batches of the present trial.
    first : float
        The first loss.
    trial : int
        Update at which the next trial is due.
    failed : float
        The least rate that a trial gave up or the guard had to rescue the run from.
    ceiling : float
        The least rate that the guard had to rescue the run from.
    rescues : int
        Of the guard, seen so far.
    broken : int
        Batches in a row that no lane survived.
    cooling : bool
        Whether the cool-down has begun.
    """

    rates: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...] = ()
    opening: bool = True
    clock: int = 0
    first: float = math.nan
    trial: int = 0
    failed: float = math.inf
    ceiling: float = math.inf
    rescues: int = 0
    broken: int = 0
    cooling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Autopilot(Rule):
    """Try rates side by side on the batches of the run itself, keep the best, cool down at the end.

        opening:    four rates around the reach of the first update, from one start; the worst go after 5, 10, 20 steps
        trials:     r, r/spacing and r*spacing from where the run is, `length` steps, at update 60 and then at four
                    times the last one's: up if no worse than 1% of the progress so far, down if better by `down`
        rescue:     the guard had to go back: r <- r * lasting, and never above half of it by a trial again
        cool-down:  in a straight line to zero

    A lane's score is the mean of its last three losses, each before its update, so of batches it has not seen. All
    lanes see the same batches, so little of the batch's noise is in a difference of scores. The user's own rate plays
    no part. Short runs favour low rates, since they average noise out (Wu et al. 2018); so ties go up, and going down
    takes much. A heuristic.

    Parameters
    ----------
    spacing : float
        Between neighbouring rates, > 1.
    first : int
        Update of the first trial after the opening.
    growth : int
        From the update of one trial to that of the next; 4: a run of T updates has log4(T/60) trials.
    length : int
        Batches of a trial.
    down : float
        Part of the progress by which a lower rate must be ahead.
    lasting : float
        In (0, 1).
    """

    spacing: float = 10**0.5
    first: int = 60
    growth: int = 4
    length: int = 8
    down: float = 0.1
    lasting: float = 0.5

    def __post_init__(self) -> None:
        number(self, "spacing", "down", least=0)
        whole(self, "first", "length", least=1)
        whole(self, "growth", least=2)
        fraction(self, "lasting")

    @property
    def needs(self) -> frozenset[str]:
        """Losses of all lanes, the first update's reach, and how long the run is."""
        return frozenset({"losses", "reach", "remaining", "until_cooldown", "rescues"})

    def init(self) -> AutopilotState:
        """Nothing seen yet."""
        return AutopilotState()

    def update(self, state: AutopilotState, observation: Observation) -> tuple[Decision, AutopilotState]:
        """Open, compare or hold."""
        seen: Outlook = observation  # pyright: ignore[reportAssignmentType]
        if not state.rates:
            return self._open(state, seen)
        if len(state.rates) > 1:
            return self._compare(state, seen)
        return self._hold(state, seen)

    def _open(self, state: AutopilotState, seen: Outlook) -> tuple[Decision, AutopilotState]:
        reach = seen.reach
        if not 0 < reach < math.inf:
            reason = "no rate lowers the loss along the first update; batch left out"
            return replace(_course(state, 0.0, reason), accept=False), state
        rates = tuple(reach * part for part in RIVALS)
        after = AutopilotState(rates, ((),) * len(rates), first=seen.losses[0], trial=self.first)
        return _fork(after, [(0, rate) for rate in rates], f"trying {_listed(rates)}"), after

    def _hold(self, state: AutopilotState, seen: Outlook) -> tuple[Decision, AutopilotState]:
        rate, reason = state.rates[0], ""
        if seen.rescues > state.rescues:
            ceiling = min(state.ceiling, rate)
            rate *= self.lasting ** (seen.rescues - state.rescues)
            state = replace(
                state, rates=(rate,), rescues=seen.rescues, ceiling=ceiling, failed=min(state.failed, ceiling),
                trial=max(state.trial, seen.iteration + REST),
            )  # fmt: skip
            reason = f"held at {rate:.3g} after the rescue"
        if seen.remaining < 1:
            reason = reason if state.cooling else "cool-down begins"
            return _course(state, rate * seen.remaining, reason), replace(state, cooling=True)
        if seen.iteration < state.trial or seen.until_cooldown <= self.length:
            return _course(state, rate, reason), state
        rates = [rate, rate / self.spacing]
        if rate * self.spacing <= state.ceiling / 2:
            rates.append(rate * self.spacing)
        after = replace(
            state, rates=tuple(rates), losses=((),) * len(rates), opening=False, clock=0, broken=0,
            trial=self.growth * max(seen.iteration, 1),
        )  # fmt: skip
        return _fork(after, [(0, rate) for rate in rates], f"trying {_listed(sorted(rates))}"), after

    def _compare(self, state: AutopilotState, seen: Outlook) -> tuple[Decision, AutopilotState]:
        if not any(math.isfinite(loss) for loss in seen.losses) and state.broken < BROKEN:
            reason = "no lane's loss is finite; batch left out"
            return replace(_course(state, 0.0, reason), accept=False), replace(state, broken=state.broken + 1)
        losses = tuple((*past, loss)[-WINDOW:] for past, loss in zip(state.losses, seen.losses, strict=True))
        state = replace(state, losses=losses, clock=state.clock + 1, broken=0)
        scores = [sum(past) / len(past) for past in losses]
        scores = [score if math.isfinite(score) else math.inf for score in scores]
        over = seen.remaining < 1 or seen.until_cooldown <= 1
        kept = self._survivors(state, scores, over) if state.opening else self._worth(state, scores, over)
        dropped = [state.rates[i] for i in range(len(scores)) if i not in kept and scores[i] > scores[kept[0]]]
        higher = [rate for rate in dropped if rate > state.rates[kept[0]]]
        after = replace(
            state,
            rates=tuple(state.rates[i] for i in kept),
            losses=tuple(losses[i] for i in kept),
            failed=min([state.failed, *higher]) if len(kept) == 1 else state.failed,
        )
        reason = ""
        if len(kept) == 1:
            found = ", ".join(f"{state.rates[i]:.3g}: {scores[i]:.4g}" for i in range(len(scores)))
            reason = f"chose {after.rates[0]:.3g} (losses {found})"
        return _fork(after, [(i, state.rates[i]) for i in kept], reason), after

    def _survivors(self, state: AutopilotState, scores: list[float], over: bool) -> list[int]:
        """Lanes of the opening that go on, the best first."""
        order = sorted(range(len(scores)), key=lambda i: scores[i])
        keep = min([1] if over else [len(order), *(keep for clock, keep in CUTS if state.clock >= clock)])
        if keep > 1:
            return order[:keep] if keep < len(order) else list(range(len(order)))
        best = scores[order[0]]
        equal = [i for i in order if scores[i] <= best + TIE * _progress(state, best)]
        return [max(equal, key=lambda i: state.rates[i])] if equal else [min(order, key=lambda i: state.rates[i])]

    def _worth(self, state: AutopilotState, scores: list[float], over: bool) -> list[int]:
        """Lanes of a later trial that go on, the run's own first."""
        own = scores[0]
        progress = _progress(state, own)
        if not math.isfinite(own):
            return [min(range(len(scores)), key=lambda i: (scores[i], state.rates[i]))]
        behind = [(score - own) / progress for score in scores]
        ups = [i for i in range(1, len(scores)) if state.rates[i] > state.rates[0]]
        downs = [i for i in range(1, len(scores)) if state.rates[i] < state.rates[0]]
        if over or state.clock >= self.length:
            if any(behind[i] <= TIE for i in ups):
                return [next(i for i in ups if behind[i] <= TIE)]
            return [next((i for i in downs if behind[i] <= -self.down), 0)]
        if state.clock < PATIENCE:
            return list(range(len(scores)))
        hopeful = [i for i in ups if behind[i] < HOPELESS] + [i for i in downs if behind[i] < TIE]
        return [0, *sorted(hopeful)]


def _progress(state: AutopilotState, loss: float) -> float:
    """From the first loss down to this one; where there is none, a part of the first."""
    return max(state.first - loss, FLOOR * abs(state.first)) if math.isfinite(loss) else math.inf


def _course(state: AutopilotState, step: float, reason: str) -> Course:
    return Course(step=step, reason=reason, watch=False, limit=state.failed if state.failed < math.inf else math.nan)


def _fork(state: AutopilotState, lanes: list[tuple[int, float]], reason: str) -> Course:
    return replace(_course(state, lanes[0][1], reason), lanes=tuple(lanes))


def _listed(rates: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{rate:.3g}" for rate in sorted(rates))
