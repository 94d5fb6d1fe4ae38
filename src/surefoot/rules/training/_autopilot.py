"""The pilot's own rule: short real runs side by side choose the rate, from the start and now and then."""

import math
from dataclasses import dataclass, replace

from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules._checks import number, positive, whole
from surefoot.rules.training.observation import Course, Outlook

__all__ = ["Autopilot", "AutopilotState"]

# The opening's rates over the reach of the first update, that which stands for the run meanwhile first. Whole runs went
# best at 0.2 to 20 times the reach; what is missing above is found by the later trials, what is missing below is not.
RIVALS = (1.0, 10**-0.5, 0.1, 10**0.5)
# (batches, lanes kept): a few steps tell the worst; the last two need more, since a wild start may overtake a tame one
# (rates chosen after 20 to 40 steps made equally good runs, after 16 or 8 worse ones).
CUTS = ((5, 3), (10, 2), (20, 1))
# Losses averaged into a score, of the same batches for all lanes: their common noise is out already.
WINDOW = 3
# Scores closer than this part of the progress so far are equal, and then the higher rate is better: it explores more,
# and what noise it leaves the cool-down takes away. Where little loss is left, so is little to lose: each part of the
# progress that this rule speaks of is at most a multiple of the loss, in the ratio of 0.1 of it to 0.01.
TIE = 0.01
LEFT = 10
# A higher rate that is worse by this much, or a lower one that is not better by `TIE`, need not run to the end;
HOPELESS = 0.1
# of which no trial judges in its first batches.
PATIENCE = 4
# The part of the first loss that counts as progress where there is less.
FLOOR = 0.05
# Batches in a row that no lane survives, before the guard is left to say why.
BROKEN = 10
# Updates after a trial or a rescue without another one, and the same as a part of those made: what trials cost stays
# under 3% from update 800 on.
REST, REST_PART = 30, 0.5
# A trial that leaves less than this part of the updates made before the cool-down comes too late to pay.
LATE = 0.5
# The mean of the loss is over so many batches (1/MEMORY).
MEMORY = 0.1


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
    trial, rest : int
        Update at which the next trial is due, and before which there is none.
    failed : float
        The least rate that a trial gave up or the guard had to rescue the run from.
    ceiling : float
        The least rate that the guard had to rescue the run from.
    rescues : int
        Of the guard, seen so far.
    broken : int
        Batches in a row that no lane survived.
    level, best : float
        Mean of the loss, and its least value, since the last trial.
    cooling : bool
        Whether the cool-down has begun.
    """

    rates: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...] = ()
    opening: bool = True
    clock: int = 0
    first: float = math.nan
    trial: int = 0
    rest: int = 0
    failed: float = math.inf
    ceiling: float = math.inf
    rescues: int = 0
    broken: int = 0
    level: float = math.nan
    best: float = math.inf
    cooling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Autopilot(Rule):
    """Try rates side by side on the batches of the run itself, keep the best, cool down at the end.

        opening:    four rates around the reach of the first update, from one start; the worst go after 4, 8, 16 steps
        trial:      r, r/retreat and r*spacing from where the run is, `length` steps: up if no worse than 1% of the
                    progress so far, down if better by `down` of it. At update `first`, at `growth` times that and so
                    on, and whenever the mean loss has lost `slip` of the progress
        rescue:     the guard had to go back: r <- r/retreat, and no trial goes above half of what failed again
        cool-down:  in a straight line to zero

    A lane's score is the mean of its last three losses, each before its update, so of batches it has not seen. All
    lanes see the same batches, so little of the batch's noise is in a difference of scores. The user's own rate plays
    no part. Short runs favour low rates, since those average noise out (Wu et al. 2018); so ties go up, and going down
    takes much. A heuristic.

    Parameters
    ----------
    spacing, retreat : float
        What a trial tries upwards and downwards, > 1. Downwards is the smaller step: a low rate flatters itself.
    first : int
        Update of the first trial after the opening.
    growth : int
        From the update of one trial to that of the next, >= 2.
    length : int
        Batches of a trial.
    down, slip : float
        Parts of the progress, > 0.
    """

    spacing: float = 10**0.5
    retreat: float = 2.0
    first: int = 60
    growth: int = 4
    length: int = 8
    down: float = 0.1
    slip: float = 0.07

    def __post_init__(self) -> None:
        number(self, "spacing", "retreat", least=1 + 1e-9)
        whole(self, "first", "length", least=1)
        whole(self, "growth", least=2)
        positive(self, "down", "slip")

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
        after = AutopilotState(
            rates, ((),) * len(rates), first=seen.losses[0], trial=self.first, rest=seen.iteration + REST
        )
        return _fork(after, [(0, rate) for rate in rates], f"trying {_listed(rates)}"), after

    def _hold(self, state: AutopilotState, seen: Outlook) -> tuple[Decision, AutopilotState]:
        if seen.rescues > state.rescues:
            return self._rescued(state, seen)
        rate = state.rates[0]
        if seen.remaining < 1:
            reason = "" if state.cooling else "cool-down begins"
            return _course(state, rate * max(seen.remaining, 0.0), reason), replace(state, cooling=True)
        loss = seen.losses[0]
        level = loss if math.isnan(state.level) else state.level + MEMORY * (loss - state.level)
        state = replace(state, level=level, best=min(level, state.best))
        slipping = level - state.best > self.slip * _progress(state, state.best) and seen.iteration >= state.rest
        due = seen.iteration >= state.trial and seen.until_cooldown >= LATE * seen.iteration
        if not (due or slipping) or seen.until_cooldown <= self.length:
            return _course(state, rate, ""), state
        return self._try(state, seen, "the loss rose; " if slipping else "")

    def _try(self, state: AutopilotState, seen: Outlook, why: str) -> tuple[Decision, AutopilotState]:
        """Fork into the rate itself, a lower one and, where nothing forbids, a higher one."""
        rate = state.rates[0]
        rates = [rate, rate / self.retreat]
        if rate * self.spacing <= state.ceiling / 2:
            rates.append(rate * self.spacing)
        trial = state.trial if seen.iteration < state.trial else self.growth * seen.iteration
        after = replace(
            _rested(state, seen), rates=tuple(rates), losses=((),) * len(rates), opening=False, clock=0, trial=trial
        )
        return _fork(after, [(0, rate) for rate in rates], f"{why}trying {_listed(rates)}"), after

    def _rescued(self, state: AutopilotState, seen: Outlook) -> tuple[Decision, AutopilotState]:
        """A lasting reduction, beside the guard's own, which is over soon."""
        ceiling = min(state.ceiling, state.rates[0])
        rate = state.rates[0] / self.retreat ** (seen.rescues - state.rescues)
        after = replace(
            _rested(state, seen),
            rates=(rate,),
            rescues=seen.rescues,
            ceiling=ceiling,
            failed=min(state.failed, ceiling),
        )
        step = rate * (max(seen.remaining, 0.0) if seen.remaining < 1 else 1.0)
        return _course(after, step, f"held at {rate:.3g} after the rescue"), after

    def _compare(self, state: AutopilotState, seen: Outlook) -> tuple[Decision, AutopilotState]:
        if not any(math.isfinite(loss) for loss in seen.losses):
            return self._broken(state)
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

    def _broken(self, state: AutopilotState) -> tuple[Decision, AutopilotState]:
        """Leave the batch out; too often in a row, end the trial with the lowest rate."""
        reason = "no lane's loss is finite; batch left out"
        if state.broken < BROKEN:
            return replace(_course(state, 0.0, reason), accept=False), replace(state, broken=state.broken + 1)
        least = min(range(len(state.rates)), key=lambda i: state.rates[i])
        after = replace(state, rates=(state.rates[least],), losses=((),), broken=0)
        return _fork(after, [(least, state.rates[least])], reason), after

    def _survivors(self, state: AutopilotState, scores: list[float], over: bool) -> list[int]:
        """Lanes of the opening that go on, the best first: equals of the best by their rates, then by their scores."""
        keep = min([1] if over else [len(scores), *(keep for clock, keep in CUTS if state.clock >= clock)])
        if keep == len(scores):
            return list(range(keep))
        tie = min(scores) + TIE * _progress(state, min(scores))
        return sorted(range(len(scores)), key=lambda i: (max(scores[i], tie), -state.rates[i]))[:keep]

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


def _rested(state: AutopilotState, seen: Outlook) -> AutopilotState:
    """No trial for a while, and the mean loss from here on."""
    rest = seen.iteration + max(REST, int(REST_PART * seen.iteration))
    return replace(state, rest=rest, level=math.nan, best=math.inf)


def _progress(state: AutopilotState, loss: float) -> float:
    """From the first loss down to this one, at least a part of the first, at most a multiple of what is left."""
    if not math.isfinite(loss):
        return math.inf
    return min(max(state.first - loss, FLOOR * abs(state.first)), LEFT * abs(loss))


def _course(state: AutopilotState, step: float, reason: str) -> Course:
    return Course(step=step, reason=reason, watch=False, limit=state.failed if state.failed < math.inf else math.nan)


def _fork(state: AutopilotState, lanes: list[tuple[int, float]], reason: str) -> Course:
    return replace(_course(state, lanes[0][1], reason), lanes=tuple(lanes))


def _listed(rates: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{rate:.3g}" for rate in sorted(rates))
