"""The pilot's own rule: short real runs side by side choose the rate, from the start and now and then."""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace

from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules._checks import number, positive, whole

__all__ = ["Autopilot", "AutopilotState"]

# The opening's rates over the reach of the first update, that which stands for the run meanwhile first. Whole runs of
# six small tasks went best at 0.2 to 20 times the reach.
RIVALS = (1.0, 10**-0.5, 0.1, 10**0.5)
# (batches, copies kept): a few batches tell the worst; the last two need more, since a wild start may overtake a tame
# one (rates chosen after 20 to 40 batches made equally good runs, after 16 or 8 worse ones).
CUTS = ((5, 3), (10, 2), (20, 1))
# Losses averaged into a score in the opening, of the same batches for all copies.
WINDOW = 3
# Scores of the opening closer than this part of the progress are equal, and then the higher rate is better: it explores
# more, and what noise it leaves the cool-down takes away. Progress is at most LEFT times the loss: where little loss is
# left, so is little to lose.
TIE, LEFT = 0.01, 10
# While the highest rate of the opening is no worse than any and the rates differ by less than this part of the loss,
# they are all too low to be told apart: the trial goes on with rates so many times higher, at most STRETCHES times.
TOLD_APART, STRETCH, STRETCHES = 0.1, 10**0.5, 8
# Paired differences over this many standard errors are no accident: Student's t with the three degrees of freedom of
# half a trial, 97.5% one-sided.
CLEARLY = 3.18
# In a later trial a copy this part of the progress behind is given up early, but not in the first batches.
HOPELESS, FIRST_BATCHES = 0.1, 4
# The part of the first loss that counts as progress where there is less.
FLOOR = 0.05
# Batches in a row that no copy survives, or that offer no descent, before something else has to say why.
BROKEN = 10
# Updates after a trial or a rescue without another one, and the same as a part of those made: what trials cost stays
# under 3% from update 800 on.
REST, REST_PART = 30, 0.5
# A trial that leaves less than this part of the updates made before the cool-down comes too late to pay.
LATE = 0.5
# The mean of the loss is over about so many batches (1/MEMORY), and has risen beyond so many typical deviations.
MEMORY, RISEN = 0.1, 2.0


@dataclass(frozen=True, slots=True)
class AutopilotState:
    """Where the run is.

    Parameters
    ----------
    rates : tuple of float
        Of the copies, that which stands for the run first; one outside trials.
    losses : tuple of tuples of float
        Of each copy, in this trial.
    opening : bool
        Whether the present trial is the first.
    clock : int
        Batches of the present trial since it was last stretched.
    stretched : int
        How often the opening went on with higher rates.
    first : float
        The first loss.
    trial, rest : int
        Update at which the next trial is due, and before which there is none.
    failed : float
        The least rate that a trial gave up or the run had to be rescued from.
    ceiling : float
        The least rate that the run had to be rescued from.
    rescues : int
        Seen so far.
    broken : int
        Batches in a row that no copy survived.
    level, typical, best : float
        Mean of the loss, its typical deviation, and the least mean, since the last trial.
    cooling : bool
        Whether the cool-down has begun.
    """

    rates: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...] = ()
    opening: bool = True
    clock: int = 0
    stretched: int = 0
    first: float = math.nan
    trial: int = 0
    rest: int = 0
    failed: float = math.inf
    ceiling: float = math.inf
    rescues: int = 0
    broken: int = 0
    level: float = math.nan
    typical: float = 0.0
    best: float = math.inf
    cooling: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Autopilot(Rule):
    """Try rates side by side on the batches of the run itself, keep the best, cool down at the end.

        opening:    four rates around the reach of the first update, from one start; the worst go after 5, 10, 20
        batches;
                    as long as they cannot be told apart and the highest is no worse, rates up to a hundred times as
                    high take their place beside the reach, and win only if clearly better
        trial:      r, r/retreat and r*spacing from where the run is, `length` batches. A difference is believed if the
                    copies' paired losses over the second half differ by 3.18 standard errors: up if that is better,
                    down if it is better by `down` of the progress too, else stay. At update `first`, at `growth` times
                    that and so on, and when the mean loss has risen by `slip` of the progress and two typical
                    deviations; none while another rule holds the rate down, and none at a loss of 0
        rescue:     the rate was to blame for a return: r <- r/retreat, and no trial goes above half of what failed
        cool-down:  in a straight line to zero

    All copies see the same batches with the same random numbers, so little of the batch's noise is in a difference. The
    user's own rate plays no part. Short runs favour low rates, since those average noise out (Wu et al. 2018); so ties
    of the opening go up, and going down takes much. A heuristic.

    Parameters
    ----------
    spacing, retreat : float
        What a trial tries upwards and downwards, > 1. Downwards is the smaller step: a low rate flatters itself.
    first : int
        Update of the first trial after the opening.
    growth : int
        From the update of one trial to that of the next, >= 2.
    length : int
        Batches of a trial, >= 4.
    down, slip : float
        Parts of the progress, > 0.
    """

    spacing: float = 10**0.5
    retreat: float = 2.0
    first: int = 60
    growth: int = 4
    length: int = 8
    down: float = 0.05
    slip: float = 0.07

    def __post_init__(self) -> None:
        number(self, "spacing", "retreat", least=1 + 1e-9)
        whole(self, "first", least=1)
        whole(self, "length", least=4)
        whole(self, "growth", least=2)
        positive(self, "down", "slip")

    @property
    def needs(self) -> frozenset[str]:
        """Losses of all copies, the first update's reach, how long the run is, and what holds the rate down."""
        return frozenset({
            "losses", "gradient_norm", "reach", "remaining", "until_cooldown", "rescues", "factor",
        })  # fmt: skip

    def init(self) -> AutopilotState:
        """Nothing seen yet."""
        return AutopilotState()

    def update(self, state: AutopilotState, observation: Observation) -> tuple[Decision, AutopilotState]:
        """Open, compare or hold."""
        if not state.rates:
            return self._open(state, observation)
        if len(observation.losses) < len(state.rates):  # the other copies are gone: the model has changed its shape
            state = replace(state, rates=state.rates[:1], losses=((),), clock=0)
        if len(state.rates) > 1:
            return self._compare(state, observation)
        return self._hold(state, observation)

    def _open(self, state: AutopilotState, seen: Observation) -> tuple[Decision, AutopilotState]:
        if seen.gradient_norm == 0:
            # nothing to step along yet, so nothing to lose by going on
            return _decision(state, 0.0, "the gradient is 0"), state
        reach = seen.reach
        if not 0 < reach < math.inf:
            reason = "no rate lowers the loss along the first update; batch left out"
            if state.broken >= BROKEN:
                reason = (
                    f"{BROKEN} batches in a row have no rate that lowers their loss along the first update; check the "
                    "loss, its sign and its precision"
                )
                return _refusal(state, "stop", reason), state
            return _refusal(state, "skip", reason), replace(state, broken=state.broken + 1)
        rates = tuple(reach * part for part in RIVALS)
        after = replace(
            state, rates=rates, losses=((),) * len(rates), first=seen.losses[0], trial=self.first,
            rest=seen.iteration + REST, broken=0,
        )  # fmt: skip
        return _fork(after, [(0, rate) for rate in rates], f"trying {_listed(rates)}"), after

    def _hold(self, state: AutopilotState, seen: Observation) -> tuple[Decision, AutopilotState]:
        if seen.rescues > state.rescues:
            return self._rescued(state, seen)
        rate = state.rates[0]
        if seen.remaining < 1:
            reason = "" if state.cooling else "cool-down begins"
            return _decision(state, rate * max(seen.remaining, 0.0), reason), replace(state, cooling=True)
        loss = seen.losses[0]
        if not math.isfinite(loss):
            return _decision(state, rate, ""), state
        away = 0.0 if math.isnan(state.level) else loss - state.level
        level = loss if math.isnan(state.level) else state.level + MEMORY * away
        # cut, so that a rise is not at once what is typical
        typical = state.typical + MEMORY * (
            min(abs(away), max(3 * state.typical, self.slip * abs(level))) - state.typical
        )
        state = replace(state, level=level, typical=typical, best=min(level, state.best))
        if seen.factor < 1 or loss == 0 or seen.until_cooldown <= self.length or seen.iteration < state.rest:
            return _decision(state, rate, ""), state
        risen = level - state.best > max(self.slip * _progress(state, state.best), RISEN * typical)
        due = seen.iteration >= state.trial and seen.until_cooldown >= LATE * seen.iteration
        if not (due or risen):
            return _decision(state, rate, ""), state
        return self._try(state, seen, "the loss rose; " if risen else "")

    def _try(self, state: AutopilotState, seen: Observation, why: str) -> tuple[Decision, AutopilotState]:
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

    def _rescued(self, state: AutopilotState, seen: Observation) -> tuple[Decision, AutopilotState]:
        """A lasting reduction, beside the brake's own, which is over soon."""
        ceiling = min(state.ceiling, state.rates[0])
        rate = state.rates[0] / self.retreat ** min(seen.rescues - state.rescues, 100)
        after = replace(
            _rested(state, seen),
            rates=(rate,),
            rescues=int(seen.rescues),
            ceiling=ceiling,
            failed=min(state.failed, ceiling),
        )
        step = rate * (max(seen.remaining, 0.0) if seen.remaining < 1 else 1.0)
        return _decision(after, step, f"held at {rate:.3g} after the rescue"), after

    def _compare(self, state: AutopilotState, seen: Observation) -> tuple[Decision, AutopilotState]:
        if not any(math.isfinite(loss) for loss in seen.losses):
            return self._broken(state)
        losses = tuple((*past, loss) for past, loss in zip(state.losses, seen.losses, strict=True))
        state = replace(state, losses=losses, clock=state.clock + 1, broken=0)
        over = seen.remaining < 1 or seen.until_cooldown <= 1
        if not state.opening:
            return self._keep(state, self._worth(state, over))
        if not over and state.clock == CUTS[0][0] and state.stretched < STRETCHES and _alike(state):
            return self._stretch(state)
        return self._keep(state, self._survivors(state, over))

    def _keep(self, state: AutopilotState, kept: list[int]) -> tuple[Decision, AutopilotState]:
        """Go on with these copies, the one that stands for the run first."""
        scores = _scores(state)
        dropped = [i for i in range(len(scores)) if i not in kept and scores[i] > scores[kept[0]]]
        higher = [state.rates[i] for i in dropped if state.rates[i] > state.rates[kept[0]]]
        after = replace(
            state,
            rates=tuple(state.rates[i] for i in kept),
            losses=tuple(state.losses[i] for i in kept),
            failed=min([state.failed, *higher]) if len(kept) == 1 else state.failed,
        )
        reason = ""
        if len(kept) == 1:
            found = ", ".join(f"{state.rates[i]:.3g}: {scores[i]:.4g}" for i in range(len(scores)))
            reason = f"chose {after.rates[0]:.3g} (losses {found})"
            after = replace(after, losses=((),), clock=0)
        return _fork(after, [(i, state.rates[i]) for i in kept], reason), after

    def _stretch(self, state: AutopilotState) -> tuple[Decision, AutopilotState]:
        """The rates are all too low: that of the reach goes on, beside three higher ones from where the highest is."""
        top = max(range(len(state.rates)), key=lambda i: state.rates[i])
        rates = (state.rates[0], *(state.rates[top] * STRETCH**k for k in range(1, len(RIVALS))))
        after = replace(state, rates=rates, losses=((),) * len(rates), clock=0, stretched=state.stretched + 1)
        return _fork(
            after,
            [(0, rates[0]), *((top, rate) for rate in rates[1:])],
            f"too low to be told apart; trying {_listed(rates)}",
        ), after

    def _broken(self, state: AutopilotState) -> tuple[Decision, AutopilotState]:
        """Leave the batch out; too often in a row, end the trial with the lowest rate."""
        reason = "no copy's loss is finite; batch left out"
        if state.broken < BROKEN:
            return _refusal(state, "skip", reason), replace(state, broken=state.broken + 1)
        least = min(range(len(state.rates)), key=lambda i: state.rates[i])
        after = replace(state, rates=(state.rates[least],), losses=((),), broken=0)
        return replace(_fork(after, [(least, state.rates[least])], reason), accept=False, action="skip"), after

    def _survivors(self, state: AutopilotState, over: bool) -> list[int]:
        """Copies of the opening that go on, the best first: equals of the best by their rates, then by their scores."""
        scores = _scores(state)
        keep = min([1] if over else [len(scores), *(keep for clock, keep in CUTS if state.clock >= clock)])
        if keep == len(scores):
            return list(range(keep))
        if state.stretched:
            # higher rates have to be clearly better than the reach that they were stretched from
            others = sorted(range(1, len(scores)), key=lambda i: scores[i])
            return [0, *others[: keep - 1]] if keep > 1 else [0 if not others else self._better(state, others[:1], 0.0)]
        tie = min(scores) + TIE * _progress(state, min(scores))
        return sorted(range(len(scores)), key=lambda i: (max(scores[i], tie), -state.rates[i]))[:keep]

    def _worth(self, state: AutopilotState, over: bool) -> list[int]:
        """Copies of a later trial that go on, the run's own first."""
        scores = _scores(state)
        if not math.isfinite(scores[0]):
            return [min(range(len(scores)), key=lambda i: (scores[i], state.rates[i]))]
        progress = _progress(state, scores[0])
        if not over and state.clock < self.length:
            hopeful = (i for i in range(1, len(scores)) if scores[i] - scores[0] <= HOPELESS * progress)
            return list(range(len(scores))) if state.clock < FIRST_BATCHES else [0, *hopeful]
        return [self._better(state, range(1, len(scores)), self.down * progress)]

    def _better(self, state: AutopilotState, others: Iterable[int], down: float) -> int:
        """That of the others whose paired losses are clearly lower, of a lower rate by so much; else the run's own."""
        better: list[tuple[float, int]] = []
        for i in others:
            gain, error = _paired(state.losses[0], state.losses[i])
            if gain > max(CLEARLY * error, down if state.rates[i] < state.rates[0] else 0.0):
                better.append((gain, i))
        return max(better)[1] if better else 0


def _scores(state: AutopilotState) -> list[float]:
    """The mean of the last losses of each copy; infinite where one is not finite."""
    means = [sum(past[-WINDOW:]) / len(past[-WINDOW:]) for past in state.losses]
    return [mean if math.isfinite(mean) else math.inf for mean in means]


def _paired(own: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, float]:
    """By how much the other copy's loss is lower over the second half of the trial, and the standard error of that."""
    half = max(len(own) // 2, 1)
    gains = [a - b for a, b in zip(own[-half:], other[-half:], strict=True)]
    if not all(map(math.isfinite, gains)) or len(gains) < 2:
        return -math.inf, 0.0
    return statistics.fmean(gains), statistics.stdev(gains) / math.sqrt(len(gains))


def _alike(state: AutopilotState) -> bool:
    """Whether the highest rate is no worse than any other and all of them are too low to differ much."""
    scores = _scores(state)
    top = max(range(len(scores)), key=lambda i: state.rates[i])
    if not all(map(math.isfinite, scores)) or scores[top] > min(scores):
        return False
    return max(scores) - scores[top] <= TOLD_APART * abs(max(scores))


def _rested(state: AutopilotState, seen: Observation) -> AutopilotState:
    """No trial for a while, and the mean loss from here on."""
    rest = int(seen.iteration) + max(REST, int(REST_PART * seen.iteration))
    return replace(state, rest=rest, level=math.nan, typical=0.0, best=math.inf)


def _progress(state: AutopilotState, loss: float) -> float:
    """From the first loss down to this one, at least a part of the first, at most a multiple of what is left."""
    if not math.isfinite(loss):
        return math.inf
    return min(max(state.first - loss, FLOOR * abs(state.first)), LEFT * abs(loss))


def _decision(state: AutopilotState, step: float, reason: str) -> Decision:
    limit = state.failed if state.failed < math.inf else math.nan
    return Decision(step=step, reason=reason, look_back=False, limit=limit)


def _refusal(state: AutopilotState, action: str, reason: str) -> Decision:
    return replace(_decision(state, 0.0, reason), accept=False, action=action)


def _fork(state: AutopilotState, copies: list[tuple[int, float]], reason: str) -> Decision:
    return replace(_decision(state, copies[0][1], reason), copies=tuple(copies))


def _listed(rates: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{rate:.3g}" for rate in sorted(rates))
