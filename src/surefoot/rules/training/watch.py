"""A watch over noisy training: it undoes what made other batches worse, and brakes what is too fast."""

import math
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from surefoot.checks import Count, Fraction, Range, checked
from surefoot.rules._base import Decision, Observation, Rule

__all__ = ["CONFIRMED", "CONSTANT", "Watch", "WatchState"]

# Averages over about ten updates: shorter than the interval between snapshots, longer than a lucky batch.
MEMORY = 0.1
# A deviation moves the averages by so many typical ones at most, so that a single batch cannot: by convention.
ROBUST = 5.0
# The first updates say little about what is usual; in them only what is not finite is refused.
BEGINNING = 10
# Ground is lost above the least mean by this part of the progress, so many typical deviations and this part of the
# first loss: three times what six small tasks showed at rates from 1/100 to 1 x the best.
LOST = (0.5, 5.0, 0.05)
# A state is near the best, so worth keeping, within these: likewise.
NEAR = (0.05, 2.0, 0.02)
# Updates over which the least mean is forgotten: data change, and noise grows.
LONG = 500
# A gradient this much smaller than the largest has vanished; six digits are what single precision resolves.
VANISHED = 1e-6
# Of the most that the output varied: below the first it is a constant, below the second doubtful. By convention.
CONSTANT, DOUBTFUL = 1e-3, 0.1
# So often in a row before a constant output is believed: a batch may happen to be uniform.
CONFIRMED = 3
# On probation, after the start and after each return, for so many times the patience: a rate that is too high does its
# damage long before the loss shows it. By convention.
PROBATION = 10
# Batches in a row left out before the state is suspected, where it cannot be asked. One is the usual corrupted batch.
DOUBTS = 2
# After so many brakings the rate is no longer accused without a comparison.
SURELY = 4
# How fast the allowance made for batches left out is taken back: what comes once in a hundred updates stays refused,
# what comes once in thirty is data.
TAKEN_BACK = 0.975
# A rate below this part of the measured stability limit is not what went wrong. The limit is a linear claim on one
# batch, and one that is solved already is flat: 0.03 was seen where the rate was three times too high.
FAR_BELOW = 0.01
# A pause in the factor's growth, in units of the patience, and how many times longer after each rescue in a row.
PAUSE, PAUSE_GROWTH = 2, 4
# At the full rate for so many pauses: the rescues are forgotten.
FORGETTING = 10
# Without a measurement, these kinds accuse the rate at the first return; any other kind does at the second.
GUILTY = frozenset({"jump", "lost ground", "vanished", "collapse"})
LEAST_FACTOR = 1e-30  # keeps divisions by the factor finite


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual in this run, from the updates accepted.

    Parameters
    ----------
    count : int
        Updates.
    first, level, typical : float
        The first loss, its mean and its typical deviation.
    best, quiet : float
        The least mean and the least typical deviation, slowly forgotten. Where the loss rises its deviations do too, so
        what is far has to be told by those of before.
    top, peak, drift : float
        The largest loss, gradient norm and change of the buffers, never forgotten.
    allowance : float
        What the reach beyond them is multiplied by, after batches there were left out.
    """

    count: int = 0
    first: float = math.nan
    level: float = math.nan
    typical: float = 0.0
    best: float = math.nan
    quiet: float = 0.0
    top: float = math.nan
    peak: float = 0.0
    drift: float = 0.0
    allowance: float = 1.0

    @property
    def near(self) -> bool:
        """Whether the mean loss is near its least."""
        return self.level - self.best <= self.above(NEAR)

    def above(self, thresholds: tuple[float, float, float]) -> float:
        """Parts of the progress so far, of a quiet deviation, of the first loss: the largest of the three."""
        progress, deviations, first = thresholds
        # a run that began at 0 and has gained nothing since has no quiet time to be judged by
        usual = self.typical if self.first == 0 and self.best >= 0 else self.quiet
        return max(progress * (self.first - self.best), deviations * usual, first * abs(self.first))


@dataclass(frozen=True, slots=True)
class WatchState:
    """What the watch remembers.

    Parameters
    ----------
    usual : Usual
    lost, still, constant : int
        Batches on which ground was lost, less those on which it was not; updates in a row without a gradient, and with
        a constant output.
    left_out, beyond : int
        Batches in a row, and how many of them were finite.
    since : int
        Updates since the last return.
    rescues : int
        Returns since the rate was last fully restored and stood the test.
    factor : float
        On the rate.
    ceiling : float
        Where the factor's growth pauses: half of what last failed, then twice as much after each pause.
    wait : int
        Updates until the ceiling may rise.
    """

    usual: Usual = field(default_factory=Usual)
    lost: int = 0
    still: int = 0
    constant: int = 0
    left_out: int = 0
    beyond: int = 0
    since: int = 0
    rescues: int = 0
    factor: float = 1.0
    ceiling: float = 1.0
    wait: int = 0


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Rule):
    """Judge a noisy run by consequences, and brake it if the rate is to blame.

        left out:   loss, gradient or buffers not finite, or more than `far` times beyond all that the run has seen
        back:       other batches got worse: the loss exceeds its least mean by half the progress so far, 5 typical
                    deviations and a twentieth of the first loss on `patience` more batches than not, and is lower at
                    the last good state on the very same batch batches in a row are left out here, and would not be at
                    the last good state the gradient fell to a millionth while the loss is not at its best, `patience`
                    updates long the output varies by less than a thousandth of the most it did, or by less than a tenth
                    while the loss is not near its least; three times in a row parameters or the optimizer's state are
                    not finite
        brake:      a return shrinks the rate, unless it was below a hundredth of the stability limit measured there

    A single batch is never undone for being unusual: a finite loss is taken, and is a fault only if *other* batches
    then get worse. What is as bad at the last good state is data: it is left out if not finite, up to `leave_out` in a
    row, and taken as the new usual if it is. An allowance for what was left out grows by `far` each time and fades, so
    that what recurs within some thirty updates is no longer refused.

    After a return the factor grows back with time, pausing at half of what failed, then at twice that and so on to 1.
    The n-th rescue in a row, n > 1, shrinks twice, pauses at shrink^(n-1) of that first, and 4^(n-1) times as long as 2
    `patience`. A first return for what is not finite accuses the rate of nothing.

    A change of the loss's unit or the gradient's changes no decision; a constant added to the loss none after the first
    updates, in which |first loss| stands for a range not yet seen. Losses that are 0, constant, negative or cross 0 are
    ordinary. All thresholds are heuristics.

    Parameters
    ----------
    far : float
        Multiple of the range of losses, of the largest gradient norm and of the largest change of the buffers beyond
        which a batch is left out, >= 1.
    shrink : float
        What a rescue multiplies the rate by, in (0, 1).
    grow : float
        What an update multiplies it by until it is back, >= 1.
    patience : int
        Updates that lost ground has to last, >= 1.
    leave_out : int
        Batches left out in a row after which to give up, >= 1.
    rescues : int
        Returns in a row after which to give up, >= 1.

    Examples
    --------
    A batch whose loss is not finite is left out:

    >>> import math
    >>> from types import SimpleNamespace as Seen
    >>> from surefoot.rules import Watch
    >>> rule, seen = Watch(), Seen(loss=math.nan, gradient_norm=math.nan, buffer_change=0.0, sound=True)
    >>> decision, _ = rule.update(rule.init(), seen)
    >>> decision.action, decision.accept
    ('skip', False)
    """

    far: Annotated[float, Range("[1, inf)")] = 10.0
    shrink: Fraction = 0.25
    grow: Annotated[float, Range("[1, inf)")] = 1.05
    patience: Count = 20
    leave_out: Count = 100
    rescues: Count = 10
    needs = frozenset({
        "loss", "gradient_norm", "output_variation", "buffer_change", "sound", "kept_loss", "kept_gradient_norm",
        "kept_limit", "outside",
    })  # fmt: skip

    def init(self) -> WatchState:
        """At full rate, with nothing seen."""
        return WatchState()

    def update(self, state: WatchState, observation: Observation) -> tuple[Decision, WatchState]:
        """Go on, leave the batch out, return or give up; the step is the factor on the rate."""
        loss, norm, drift = observation.loss, observation.gradient_norm, observation.buffer_change
        most_loss, most_norm, most_drift = self.bounds(state)
        # comparisons with nan are false, so what is not finite is refused too
        if not (-_LARGEST <= loss <= most_loss and norm <= most_norm and drift <= most_drift):
            return self._refuse(state, observation)
        return self._take(state, loss, norm, drift, observation)

    def bounds(self, state: WatchState) -> tuple[float, float, float]:
        """The largest loss, gradient norm and change of the buffers that a batch may have; at most the largest float.

        Known before the batch is: a driver may compare on the device, and while it is `calm` read the numbers later.
        """
        usual, reach = state.usual, self.far * state.usual.allowance
        finite = _LARGEST
        if usual.count < BEGINNING:
            return finite, finite, finite
        span = max(usual.top - usual.best, usual.typical)
        return (
            min(usual.top + reach * span, finite) if span > 0 else finite,
            min(reach * usual.peak, finite) if usual.peak > 0 else finite,
            min(reach * usual.drift, finite) if usual.drift > 0 else finite,
        )

    def calm(self, state: WatchState) -> int:
        """For how many batches ahead each is taken or left out as the `bounds` say, whatever its numbers.

        Nothing has to be asked about them then, and no factor is on the rate. Only a state that is broken already can
        still need a return.
        """
        if state.rescues or state.left_out or state.constant or state.usual.count < BEGINNING:
            return 0
        return max(self.patience - 1 - max(state.lost, state.still), 0)

    def accept(
        self, state: WatchState, loss: float, norm: float, drift: float, variation: float = math.nan
    ) -> WatchState:
        """The state after a batch that was taken: what `update` comes to where it is `calm`."""
        usual = _with(state.usual, loss, norm, drift)
        if state.beyond:
            # only now, so that in a row of them each is judged alike
            usual = replace(usual, allowance=min(usual.allowance * self.far, _LARGEST))
        near = usual.near
        lost = max(state.lost + (1 if loss - usual.best > usual.above(LOST) else -1), 0)
        # at a minimum the gradient vanishes too, but there the loss is at its best
        vanished = norm <= VANISHED * usual.peak and not near
        constant = state.constant
        if not math.isnan(variation):
            constant = constant + 1 if variation < CONSTANT or (variation < DOUBTFUL and not near) else 0
        # in full, since `replace` asks for each field by name, and this is done at every update
        return WatchState(
            usual, lost, state.still + 1 if vanished else 0, constant, 0, 0, state.since + 1, state.rescues,
            state.factor, state.ceiling, state.wait,
        )  # fmt: skip

    def doubts(self, state: WatchState) -> bool:
        """Whether the start or the last return is too near to trust what was reached since."""
        return state.since < PROBATION * self.patience

    def trusts(self, state: WatchState) -> bool:
        """Whether nothing speaks against the present state: it is near the best, and no suspicion is open."""
        return not (state.left_out or state.lost or state.still or state.constant) and state.usual.near

    def follow(self, state: WatchState, past: Any) -> WatchState:
        """The state after batches that the run took without being asked, from (loss, gradient norm) of each.

        What is usual goes on from there, and nothing else of the state changes: so a trial of rates, in which the
        copies' losses are not the run's, leaves one memory of the run.
        """
        usual = replace(state.usual, drift=0.0)  # not measured in a trial, so not known any more
        for loss, norm in past:
            if math.isfinite(loss) and math.isfinite(norm):
                usual = _with(usual, loss, norm, 0.0)
        return replace(state, usual=usual)

    def after_return(self, now: WatchState, then: WatchState) -> WatchState:
        """What holds after a return: what was usual then, and the brake of now."""
        return replace(now, usual=then.usual)

    def _take(
        self, state: WatchState, loss: float, norm: float, drift: float, seen: Observation
    ) -> tuple[Decision, WatchState]:
        """Accept the batch, and look at what no single batch shows."""
        variation = seen.output_variation
        after = self.accept(state, loss, norm, drift, variation)
        lost, still, constant = after.lost, after.still, after.constant
        keep = not variation < DOUBTFUL and self.trusts(after)
        if state.rescues and lost == 0:
            after = self._release(after)
        if constant >= CONFIRMED:
            reason = "the model's output no longer depends on its input"
            # a wild start, or one that was returned to, is no better than a constant either
            if self.doubts(after) or not seen.kept_loss > loss + after.usual.above(NEAR):
                return self._back(after, "collapse", reason, seen)
            note = f"{reason}, and an earlier state does worse: taken for new data"
            return Decision(step=after.factor, keep=False, kind="new data", reason=note), replace(after, constant=0)
        if still >= self.patience:
            reason = f"the gradient norm fell to {norm:.3g} with the loss at {loss:.4g}"
            return self._back(after, "vanished", reason, seen)
        if lost >= self.patience:
            return self._weigh(after, loss, seen)
        if after.factor == 1:
            return GO_ON if keep else GO_ON_UNKEPT, after
        return Decision(step=after.factor, keep=keep), after

    def _weigh(self, state: WatchState, loss: float, seen: Observation) -> tuple[Decision, WatchState]:
        """Ground was lost: to the state if it is worse than the last good one on the same batch, else to the data."""
        usual = state.usual
        risen = usual.level - usual.best
        reason = f"the mean loss rose from {usual.best:.4g} to {usual.level:.4g}"
        kept = seen.kept_loss
        # the mean lags: where this loss has come down already, half of its own rise is what counts
        worse = kept < loss - min(risen, loss - usual.best) / 2
        if worse and not seen.outside:
            return self._back(state, "lost ground", f"{reason}; the last good state has {kept:.4g} here", seen)
        if math.isnan(kept) and self._may_be_the_rate(state):
            return self._back(state, "lost ground", reason, seen)
        settled = replace(usual, best=usual.level, first=usual.first + risen)
        why = "it also depends on what is trained elsewhere" if worse else "an earlier state does no better"
        note = f"{reason}, and {why}: taken for new data"
        return Decision(step=state.factor, keep=False, kind="new data", reason=note), replace(
            state, usual=settled, lost=0
        )

    def _refuse(self, state: WatchState, seen: Observation) -> tuple[Decision, WatchState]:
        """The batch is not finite or far beyond: to be left out, unless the state is to blame."""
        kind, reason = self._fault(state, seen)
        finite = kind == "jump"
        if not finite and not seen.sound:
            return self._back(state, "broken state", "parameters, buffers or optimizer state are not finite", seen)
        left = state.left_out + 1
        if left > self.leave_out:
            reason = f"{reason}; {self.leave_out} batches in a row were left out"
            return Decision(step=state.factor, accept=False, action="stop", kind=kind, reason=reason, keep=False), state
        # a state just returned to is not to blame for what it meets, and who was acquitted in this row stays so
        if left == DOUBTS and not (state.rescues and state.since == 0):
            guilty = self._state_is_guilty(state, seen)
            if guilty:
                return self._back(state, kind, f"{reason}, {left} times in a row{guilty}", seen)
        if left >= DOUBTS and finite:
            decision, after = self._take(state, seen.loss, seen.gradient_norm, seen.buffer_change, seen)
            if decision.accept:
                reason = f"{reason}, {left} times in a row, at an earlier state too: taken for new data"
                return replace(decision, kind="new data", reason=reason, keep=False), after
            return decision, after
        after = replace(state, left_out=left, beyond=state.beyond + finite)
        return Decision(step=state.factor, accept=False, action="skip", kind=kind, reason=reason, keep=False), after

    def _may_be_the_rate(self, state: WatchState) -> bool:
        """Where no earlier state can be asked: whether braking has not been tried enough."""
        return state.factor > self.shrink**SURELY

    def _state_is_guilty(self, state: WatchState, seen: Observation) -> str:
        """Why, if the last good state would have taken this batch; empty if it would not."""
        most_loss, most_norm, _ = self.bounds(state)
        if seen.loss <= most_loss and seen.gradient_norm <= most_norm:
            return ""  # what moved the buffers is the batch
        loss, norm = seen.kept_loss, seen.kept_gradient_norm
        if math.isnan(loss):
            return "; no earlier state to compare with" if self._may_be_the_rate(state) else ""
        if loss <= most_loss and norm <= most_norm:
            return f"; the last good state has {loss:.4g} here"
        return ""

    def _fault(self, state: WatchState, seen: Observation) -> tuple[str, str]:
        loss, norm, drift = seen.loss, seen.gradient_norm, seen.buffer_change
        most_loss, most_norm, _ = self.bounds(state)
        for name, value in (("loss", loss), ("gradient", norm), ("buffers", drift)):
            if not math.isfinite(value):
                return f"broken {name}", f"the {name} {'are' if name == 'buffers' else 'is'} not finite"
        usual = state.usual
        if loss < -_LARGEST:
            return "jump", f"the loss fell from about {usual.level:.4g} to {loss:.4g}, beyond what numbers can follow"
        if not loss <= most_loss:
            return (
                "jump",
                f"the loss jumped from about {usual.level:.4g} to {loss:.4g}, above all seen ({usual.top:.4g})",
            )
        if not norm <= most_norm:
            return "jump", f"the gradient norm jumped to {norm:.4g}, {norm / usual.peak:.3g} times the largest seen"
        return "jump", f"the batch moves the model's buffers {drift / usual.drift:.3g} times as far as any before"

    def _back(self, state: WatchState, kind: str, reason: str, seen: Observation) -> tuple[Decision, WatchState]:
        rescues = state.rescues + 1
        factor, ceiling = state.factor, state.ceiling
        accused = kind in GUILTY or rescues > 1
        limit = seen.kept_limit
        part = seen.step / limit if 0 < limit < math.inf else math.nan
        innocent = part < FAR_BELOW
        if accused and innocent:
            reason = f"{reason}; at {part:.2g} x the stability limit the rate is not the cause"
        if not innocent:
            factor = max(factor * self.shrink ** (1 if rescues == 1 else 2), LEAST_FACTOR)
        if accused and not innocent:
            ceiling = min(state.factor * self.shrink ** (rescues - 1) / 2, ceiling)
        after = WatchState(
            usual=state.usual,
            rescues=rescues,
            factor=factor,
            ceiling=max(ceiling, LEAST_FACTOR),
            wait=_pause(self, rescues),
        )
        action = "back" if rescues <= self.rescues else "stop"
        return Decision(
            step=factor, accept=False, restart=True, action=action, kind=kind, reason=reason, keep=False
        ), after

    def _release(self, state: WatchState) -> WatchState:
        """One more update on which no ground was lost: the factor grows, or waits at its ceiling."""
        if state.factor < state.ceiling:
            return replace(state, factor=min(self.grow * state.factor, state.ceiling))
        if state.wait > 0:
            return replace(state, wait=state.wait - 1)
        if state.ceiling < 1:
            ceiling = min(2 * state.ceiling, 1.0)
            wait = _pause(self, state.rescues) * (FORGETTING if ceiling == 1 else 1)
            return replace(state, ceiling=ceiling, wait=wait)
        return replace(state, rescues=0)


# What nearly every update gets.
GO_ON, GO_ON_UNKEPT = Decision(step=1.0, keep=True), Decision(step=1.0, keep=False)
# JSON and comparisons on a device take it, unlike infinity.
_LARGEST = 3e38


def _pause(watch: Watch, rescues: int) -> int:
    return PAUSE * watch.patience * PAUSE_GROWTH ** min(rescues - 1, 10)


def _with(usual: Usual, loss: float, norm: float, drift: float) -> Usual:
    """One more batch. The deviation that moves the averages is cut, so that it takes many batches to move them."""
    if usual.count == 0:
        return Usual(count=1, first=loss, level=loss, best=loss, top=loss, peak=norm, drift=drift)
    weight = max(MEMORY, 1 / (usual.count + 1))
    away = loss - usual.level
    reach = max(ROBUST * usual.typical, NEAR[0] * (usual.first - usual.best))
    moved = max(min(away, reach), -reach) if usual.count >= BEGINNING and reach > 0 else away
    level = usual.level + weight * moved
    typical = usual.typical + weight * (abs(moved) - usual.typical)
    best = _least(usual.best, level)
    if usual.count >= BEGINNING and usual.quiet:
        quiet = _least(usual.quiet, typical)
    elif level - best <= abs(usual.first):  # a deviation of 0 says that nothing has varied yet
        quiet = max(typical, usual.quiet)
    else:  # a run that climbs from its first updates on shows by how much it climbs, and nothing of its noise
        quiet = usual.quiet
    return Usual(
        count=usual.count + 1,
        first=usual.first,
        level=level,
        typical=typical,
        best=best,
        quiet=quiet,
        top=max(usual.top, loss),
        peak=max(usual.peak, norm),
        drift=max(usual.drift, drift),
        allowance=max(usual.allowance * TAKEN_BACK, 1.0),
    )


def _least(least: float, value: float) -> float:
    """The least value so far, slowly forgotten."""
    return value if value < least else least + (value - least) / LONG
