"""The pilot's own rule: the run rehearses itself at several rates side by side, and goes on as the best of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from surefoot.checks import Fraction, Range, checked
from surefoot.rules._base import Decision, Observation, Rule
from surefoot.rules.training.choice import JUDGES, SPACING, choose, mean_loss

__all__ = ["Autopilot", "AutopilotState"]

# The rates a rehearsal begins with, over the reach of the first update; the first stands for the run meanwhile. Whole
# runs of six small tasks went best at 0.2 to 20 times the reach, some others at 100 times: what is above, it climbs to.
RIVALS = (1.0, 10**-0.5, 0.1, 10**0.5)
# Parts of a rehearsal: the warm-up ends at the first, rates are climbed to until the second, the cool-down begins at
# the third. Seven other settings, and moving down as well as up, left more regret on thirteen tasks.
WARM, CLIMB, HOLD = 0.2, 0.6, 0.7
# Climbs at most, four decades: where the loss says nothing about the rate, they have to end. By convention.
CLIMBS = 8
# Batches between two looks at whether to climb, and losses in the means that are compared there.
EVERY = 5
# Batches of the shortest rehearsal: four looks, and a cool-down that judges. By convention.
LEAST = 16
# Losses in the mean that says whether a copy is lost, from so many batches on, and how far above the first loss it is.
SHORT, EARLY, LOST = 3, 5, 0.5
# Updates of a run whose rehearsal is `part` of it; longer runs have longer ones by a power of their length, so what the
# rehearsal costs falls from 35% of the gradients at 500 to 8% at 6000 and 1% at 100,000.
USUAL, LENGTHEN = 500, 0.25
# A run of unknown length rehearses as one of this length: by convention.
UNKNOWN = 1000
# Long runs prefer lower rates than short ones (Wu et al. 2018): by this power of the length. On three tasks at six
# times their length 0.25 did as well as 0 or better; 0.5 did better for AdamW and worse for SGD.
HORIZON = 0.25
# Batches in a row that no copy survives, or that offer no descent, before something else has to say why.
BROKEN = 10
# A loss so many times the range of those before above them all is far beyond them, once there are so many: the watch,
# which is not asked during a rehearsal, has the same two.
FAR, BEGINNING = 10.0, 10


@dataclass(frozen=True, slots=True)
class AutopilotState:
    """Where the run is.

    Parameters
    ----------
    rates : tuple of float
        Peak rates of the copies, that which stands for the run first; one outside the rehearsal.
    losses : tuple of tuples of float
        Losses of each copy, in the rehearsal.
    clock, length : int
        Batches of the rehearsal so far, and in all.
    first : float
        The first loss.
    failed : float
        The least rate that was lost in the rehearsal or that the run had to be rescued from.
    climbs : int
        Higher rates that took the place of lower ones.
    rescues : int
        Rescues seen so far.
    broken : int
        Batches in a row that no copy survived.
    cooling : bool
        Whether the run's own cool-down has begun.
    tried : tuple of (float, tuple of float)
        Peak rates of the copies that the choice was between, each with the losses that judged it.
    """

    rates: tuple[float, ...] = ()
    losses: tuple[tuple[float, ...], ...] = ()
    clock: int = 0
    length: int = 0
    first: float = math.nan
    failed: float = math.inf
    climbs: int = 0
    rescues: int = 0
    broken: int = 0
    cooling: bool = False
    tried: tuple[tuple[float, tuple[float, ...]], ...] = ()


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Autopilot(Rule):
    """Rehearse the whole run in small at several rates side by side, go on as the best, cool down at the end.

        rehearsal:  four copies of the run at 0.1, 0.32, 1 and 3.2 times the reach of the first update, on the same
                    batches. Each is a whole run in small: a warm-up, a hold, a cool-down to zero. A copy whose loss
                    leaves the range it began in is given up; a batch far beyond what every copy has met is left out,
                    unless another follows. While the highest rate has the lowest loss, a copy of it
                    at 3.2 times that rate takes the place of the lowest
        choice:     when all have cooled down, the copy with the least mean loss over the last four batches. Its rate is
                    the mean in log rate with its two neighbours, weighted by exp(-d/(e + 0.05 p)): d how much worse
                    they are on the same batches, e the standard error of that, p the progress; a quarter of a half
                    decade lower next to a rate that fails; times (500/T)^(1/4) in a run of T > 500 updates
        hold:       the chosen copy goes on, at its rate. Halved for good after a rescue that the rate is to blame for
        cool-down:  in a straight line to zero

    All copies see the same batches with the same random numbers, so little of the batch's noise is in a difference. The
    user's own rate plays no part. Losses are compared when the copies have cooled down: before, low rates flatter
    themselves, since they average noise out (Wu et al. 2018). A heuristic.

    Parameters
    ----------
    part : float
        Length of the rehearsal as a part of the run, in (0, 1), for runs up to 500 updates; for longer ones that of
        500, times (T/500)^(1/4).
    retreat : float
        Divisor of the rate after a rescue, > 1.
    length : int, optional
        Updates of the rehearsal, >= 16; by default from `part`.

    Examples
    --------
    A run of 1000 updates begins with a rehearsal of about a tenth of it:

    >>> from surefoot.rules import Autopilot
    >>> Autopilot().rehearsal(1000)
    95
    """

    part: Fraction = 0.16
    retreat: Annotated[float, Range("(1, inf)")] = 2.0
    length: Annotated[int, Range(f"[{LEAST}, inf)")] | None = None
    needs = frozenset({"losses", "gradient_norm", "reach", "remaining", "until_cooldown", "rescues"})

    def init(self) -> AutopilotState:
        """Nothing seen yet."""
        return AutopilotState()

    def rehearsal(self, total: float) -> int:
        """Updates of the rehearsal of a run of so many."""
        usual = max(LEAST, round(self.part * min(total, USUAL) * max(total / USUAL, 1.0) ** LENGTHEN))
        return usual if self.length is None else self.length

    def update(self, state: AutopilotState, observation: Observation) -> tuple[Decision, AutopilotState]:
        """Open, compare or hold."""
        if not state.rates:
            return self._open(state, observation)
        if len(observation.losses) < len(state.rates):  # the other copies are gone: the model has changed its shape
            state = replace(state, rates=state.rates[:1], losses=((),))
        if len(state.rates) > 1:
            return self._rehearse(state, observation)
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
        length = self.rehearsal(_total(seen.until_cooldown))
        if seen.until_cooldown < length:  # a short run rehearses as long as there is time, its cool-down too
            length = int(max(3.0, seen.until_cooldown)) - 1
        rates = tuple(reach * part for part in RIVALS)
        after = replace(state, rates=rates, losses=((),) * len(rates), first=seen.losses[0], length=length, broken=0)
        return _continue(after, [0] * len(rates), f"rehearsing {_listed(rates)} for {length} updates"), after

    def _hold(self, state: AutopilotState, seen: Observation) -> tuple[Decision, AutopilotState]:
        reason = ""
        if seen.rescues > state.rescues:
            rate = state.rates[0] / self.retreat ** min(seen.rescues - state.rescues, 100)
            failed = min(state.failed, state.rates[0])
            state = replace(state, rates=(rate,), rescues=int(seen.rescues), failed=failed)
            reason = f"held at {rate:.3g} after the rescue"
        if seen.remaining < 1 and not state.cooling:
            state, reason = replace(state, cooling=True), reason or "cool-down begins"
        left = min(max(0.0, seen.remaining), 1.0)  # in this order NaN is 0: no step on what is not known
        return _decision(state, state.rates[0] * left, reason), state

    def _rehearse(self, state: AutopilotState, seen: Observation) -> tuple[Decision, AutopilotState]:
        if not any(math.isfinite(loss) for loss in seen.losses):
            return self._broken(state, "no copy's loss is finite; batch left out")
        if not state.broken and all(_far(past, loss) for past, loss in zip(state.losses, seen.losses, strict=True)):
            # rates differ, so what all copies meet at once is the batch; the second in a row is data
            least = min(filter(math.isfinite, seen.losses))
            return self._broken(state, f"every copy's loss jumped, the least to {least:.4g}; batch left out")
        losses = tuple((*past, loss) for past, loss in zip(state.losses, seen.losses, strict=True))
        state = replace(state, losses=losses, clock=state.clock + 1, broken=0)
        alive = _alive(state)
        lost = [rate for i, rate in enumerate(state.rates) if i not in alive]
        state = replace(state, failed=min([state.failed, *lost]))
        if state.clock >= state.length or len(alive) == 1 or seen.remaining < 1 or seen.until_cooldown <= 1:
            return self._choose(state, alive, _total(seen.until_cooldown + state.length))
        parents = alive
        if state.clock % EVERY == 0 and WARM * state.length <= state.clock <= CLIMB * state.length:
            parents = self._climb(state, alive)
        # a copy that is there twice goes on a second time at a higher rate
        rates = [state.rates[i] * (SPACING if i in parents[:k] else 1.0) for k, i in enumerate(parents)]
        higher = len(parents) - len({*parents})
        losses = tuple(state.losses[i] for i in parents)
        after = replace(state, rates=tuple(rates), losses=losses, climbs=state.climbs + higher)
        reason = f"climbing to {max(rates):.3g}" if higher else ""
        return _continue(after, parents, reason), after

    def _climb(self, state: AutopilotState, alive: list[int]) -> list[int]:
        """The copies to go on with: the highest twice, and without the lowest, if its loss is the least of all."""
        scores = [mean_loss(past, EVERY) for past in state.losses]
        order = sorted(alive, key=lambda i: state.rates[i])
        top = order[-1]
        # what has failed once is not tried again, but for rounding
        if (
            state.climbs >= CLIMBS
            or scores[top] > min(scores[i] for i in order)
            or state.rates[top] * SPACING > 0.99 * state.failed
        ):
            return alive
        kept = [i for i in alive if i != order[0]] if len(alive) == len(RIVALS) else alive
        return [*kept, top]

    def _choose(self, state: AutopilotState, alive: list[int], total: float) -> tuple[Decision, AutopilotState]:
        """Go on with the best copy, at the rate that its losses and its neighbours' point to."""
        rates, losses = [state.rates[i] for i in alive], [state.losses[i][-JUDGES:] for i in alive]
        choice = choose(rates, losses, state.first, state.failed)
        rate = choice.rate * max(total / USUAL, 1.0) ** -HORIZON
        tried = tuple(sorted(zip(rates, losses, strict=True)))
        said = ", ".join(f"{one:.3g}: {mean_loss(its):.4g}" for one, its in tried)
        after = replace(state, rates=(rate,), losses=((),), tried=tried)
        return _fork(after, [(alive[choice.best], rate)], f"chose {rate:.3g} (losses {said})"), after

    def _broken(self, state: AutopilotState, reason: str) -> tuple[Decision, AutopilotState]:
        """Leave the batch out; too often in a row, end the rehearsal with the lowest rate."""
        if state.broken < BROKEN:
            return _refusal(state, "skip", reason), replace(state, broken=state.broken + 1)
        least = min(range(len(state.rates)), key=lambda i: state.rates[i])
        after = replace(state, rates=(state.rates[least],), losses=((),))
        return replace(_fork(after, [(least, state.rates[least])], reason), accept=False, action="skip"), after


def _total(until_cooldown: float) -> float:
    """Updates of the whole run; the cool-down is its last fifth."""
    return until_cooldown / 0.8 if until_cooldown < math.inf else UNKNOWN


def _alive(state: AutopilotState) -> list[int]:
    """The copies that are not lost; where all are, those whose loss is finite, or all."""
    scores = [mean_loss(past, SHORT) for past in state.losses]
    finite = [i for i, score in enumerate(scores) if score < math.inf]
    if state.clock < EARLY:
        return finite or list(range(len(scores)))
    # small batches differ: the first one may begin at almost no loss, so what all met before they moved counts too
    began = min(max(past[:EARLY]) for past in state.losses)
    top = max((most for most in (state.first, began) if most < math.inf), default=math.inf)
    best = min(finite, key=lambda i: scores[i], default=0)
    # a rate below the best one's is not too high, only slow
    return [i for i in finite if scores[i] <= top + LOST * abs(top) or state.rates[i] < state.rates[best]] or list(
        range(len(scores))
    )


def _far(past: Sequence[float], loss: float) -> bool:
    """Whether a loss is far beyond all before it, or not finite."""
    if len(past) < BEGINNING:
        return not loss < math.inf
    span = max(past) - min(past)
    return span > 0 and not loss <= max(past) + FAR * span


def _factor(state: AutopilotState) -> float:
    """What the peak rates are multiplied by: the warm-up, the hold and the cool-down of the rehearsal."""
    warm, hold = WARM * state.length, round(HOLD * state.length)
    if state.clock < warm:
        return (state.clock + 1) / (warm + 1)
    return min(1.0, (state.length - state.clock) / (state.length - hold + 1))


def _decision(state: AutopilotState, step: float, reason: str) -> Decision:
    limit = state.failed if state.failed < math.inf else math.nan
    return Decision(step=step, reason=reason, look_back=False, limit=limit)


def _refusal(state: AutopilotState, action: str, reason: str) -> Decision:
    return replace(_decision(state, 0.0, reason), accept=False, action=action)


def _continue(state: AutopilotState, parents: Sequence[int], reason: str) -> Decision:
    """Each copy continues one of those before at its peak rate, times where the rehearsal is."""
    factor = _factor(state)
    return _fork(state, [(i, rate * factor) for i, rate in zip(parents, state.rates, strict=True)], reason)


def _fork(state: AutopilotState, copies: list[tuple[int, float]], reason: str) -> Decision:
    return replace(_decision(state, copies[0][1], reason), copies=tuple(copies))


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:.3g}" for rate in sorted(rates))
