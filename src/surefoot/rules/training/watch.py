"""A watch over noisy training: the brake, with senses that a mini-batch does not fool."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from surefoot.rules._base import Observation, Rule
from surefoot.rules._checks import fraction, number, whole
from surefoot.rules.schedules import Constant
from surefoot.rules.training._watch_state import Action, Sight, Verdict, WatchState
from surefoot.rules.wrappers import Brake
from surefoot.rules.wrappers.brake import BrakeState

__all__ = ["Watch"]

# Averages over about ten steps: shorter than any snapshot's interval, longer than a lucky batch.
MEMORY = 0.1
# The least spread believed, as a part of the progress made so far: a converged run is not alarmed by trifles.
TRIFLE = 0.05
# Lost ground: by this part of the progress so far, this many typical deviations, this part of the first loss.
LOST = (0.5, 5.0, 0.05)
# A step far above counts as so many at most.
FAST = 5.0
# Near the best, so worth keeping: likewise.
NEAR = (TRIFLE, 2.0, 0.02)
# Steps over which a best value is forgotten: data change, and noise grows.
LONG = 500
# A gradient this much smaller than of late has vanished; six digits are what single precision resolves.
NOTHING = 1e-6
# A state just restored is not to blame for what it sees: that many more batches are left out before a conclusion.
MORE_DOUBTS = 3
# After so many brakings the rate is no longer to blame for lost ground.
SURELY = 4
# A pause in the factor's growth, in units of the patience.
PAUSE = 2
# After a rescue in a row the next growth waits this many times longer.
PATIENCE_GROWTH = 4
# An answer that varies by less than this part of the most it did is a constant.
DEAF = 1e-3
# By less than this part: doubtful, nothing to keep; a constant too if the loss has left its best at the same time.
DULL = 0.1
# So often in a row before it is believed.
CONFIRMED = 3
# At full rate for so many pauses: the rescues are forgotten.
FORGETTING = 10
# What a rescue suspects the rate of: these kinds, or any kind but for the first time.
GUILTY = frozenset({"jump", "lost ground", "vanished", "collapse"})


GO = Verdict(step=1.0)


@dataclass(frozen=True, slots=True)
class _Told:
    """A batch of which nothing else is known."""

    loss: float
    gradient_norm: float
    hearing: float = math.nan
    sound: bool = True


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the brake is shown: whether this is broken, in its own terms."""

    iteration: int
    loss: float
    gradient_norm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch(Rule):
    """Brake a noisy run when it leaves its own band, and only then.

        level m <- m + (loss - m)/10,      spread s <- max(|loss - m|, forget s),   peak p <- max(|g|, forget p)
        jump:     loss > m + band s  and  |g| > ratio p,   or either by `far` times as much
        lost:     m above its least value by half the progress so far, 5 typical deviations and a twentieth of the
                  first loss, `patience` steps long
        vanished: |g| <= p/10^6 while the loss is not at its best, `patience` steps long
        collapse: the model's answers vary with its input by less than a thousandth of the most they did, or by less
                  than a tenth while the mean loss is not near its least; three times in a row
        broken:   loss, gradient or state not finite

    A jump, or a broken loss or gradient beside a sound state, costs a batch first: it is left out, and only if
    the next ones are as bad is the state to blame. Everything else returns to the last good state with the rate
    shrunk; the `Brake` inside decides the factor. It grows back at once while the loss is near its best, pausing
    at half of what failed, then at twice that and so on to 1. The n-th rescue in a row, n > 1, shrinks twice,
    pauses at shrink^(n-1) of that first, and 4^(n-1) times as long as 2 `patience`. A first return for what is
    not finite suspects the rate of nothing and has no pause. A return that changes nothing, the very batches
    after it jumping too, is taken for new data, and the band moves there.

    Changing the loss's unit, or the gradient's, changes no decision; adding a constant to the loss none after
    the first steps, in which |first loss| stands for a spread not yet seen. Heuristics: thresholds are three
    times what six small tasks showed at rates of 1/100 to 1 x the best.

    Parameters
    ----------
    band : float
        Spreads above the level that count as a jump, >= 1.
    ratio : float
        Growth of the gradient norm over the largest of late that counts as a jump, >= 1.
    far : float
        Multiple of `band` or `ratio` that counts alone, >= 1.
    forget : float
        Of spread and peak, in (0, 1).
    shrink, grow : float
        As in `Brake`.
    doubts : int
        Batches left out in a row before the state is blamed.
    patience : int
        Steps, >= 1.
    rescues : int
        Returns in a row after which to give up.
    """

    band: float = 4.0
    ratio: float = 4.0
    far: float = 3.0
    forget: float = 0.98
    shrink: float = 0.25
    grow: float = 1.05
    doubts: int = 1
    patience: int = 20
    rescues: int = 10

    def __post_init__(self) -> None:
        number(self, "band", "ratio", "far", "grow", least=1)
        fraction(self, "forget", "shrink")
        whole(self, "patience", "rescues", least=1)
        whole(self, "doubts", least=0)

    @property
    def brake(self) -> Brake:
        """The rule that holds the factor."""
        return Brake(rule=Constant(step=1.0), shrink=self.shrink, grow=self.grow)

    @property
    def needs(self) -> frozenset[str]:
        """Loss, gradient norm, and what only a training driver senses."""
        return frozenset({"loss", "gradient_norm", "sound", "hearing"})

    def init(self) -> WatchState:
        """At full rate, with nothing seen."""
        brake = self.brake
        _, state = brake.update(brake.init(), _as_observation(_Seen(0, 0.0, 1.0)))
        return WatchState(state)

    def update(self, state: WatchState, observation: Any) -> tuple[Verdict, WatchState]:
        """Go, leave out, return or give up."""
        seen: Sight = observation
        loss, norm = seen.loss, seen.gradient_norm
        if not math.isfinite(loss) or not math.isfinite(norm):
            which = "gradient" if math.isfinite(loss) else "loss"
            if not seen.sound:
                return self._back(state, "broken state", "parameters, buffers or optimizer state are not finite")
            return self._doubt(state, f"broken {which}", f"the {which} is not finite")
        if state.count == 0:
            return self._went(_begun(state, seen), seen)
        jump = self._jump(state, loss, norm)
        if jump and not (_untried(state) and state.doubts >= self._allowed(state)):
            return self._doubt(state, "jump", jump)
        if jump:
            fresh = replace(state, level=loss, spread=abs(loss - state.level), peak=norm, best=loss, lost=0.0)
            verdict, after = self._went(fresh, seen)
            return replace(verdict, kind="new data", reason=f"{jump}, at a good state too", adopted=True), after
        return self._judged(*self._went(state, seen), seen)

    def told(self, state: WatchState, past: Iterable[tuple[float, float]]) -> WatchState:
        """The state after batches that others judged and accepted, from loss and gradient norm of each finite one."""
        for loss, norm in past:
            if math.isfinite(loss) and math.isfinite(norm):
                seen = _Told(loss, norm)
                _, state = self._went(state if state.count else _begun(state, seen), seen)
        return state

    def rewound(self, now: WatchState, then: WatchState) -> WatchState:
        """The averages of an earlier state with the brake of the present: what holds after a return."""
        kept = replace(then, brake=now.brake, rescues=now.rescues, wait=now.wait, ceiling=now.ceiling)
        return replace(kept, since=0, doubts=0, lost=0.0, still=0, deaf=0)

    def _jump(self, state: WatchState, loss: float, norm: float) -> str:
        spread = max(state.spread, TRIFLE * (state.first - state.best))
        excess = (loss - state.level) / spread if spread > 0 else 0.0
        rise = norm / state.peak if state.peak > 0 else 1.0
        if excess > self.far * self.band or (excess > self.band and rise > self.ratio):
            return f"the loss jumped from about {state.level:.4g} to {loss:.4g}, the gradient grew {rise:.3g} times"
        if rise > self.far * self.ratio:
            return f"the gradient norm grew {rise:.3g} times, to {norm:.4g}"
        return ""

    def _judged(self, verdict: Verdict, after: WatchState, seen: Sight) -> tuple[Verdict, WatchState]:
        """What no single batch shows: the averages after it."""
        if after.deaf >= CONFIRMED:
            return self._back(after, "collapse", "the model answers the same whatever it is asked")
        if after.still >= self.patience:
            sunk = f"the gradient norm fell to {seen.gradient_norm:.3g} with the loss at {seen.loss:.4g}"
            return self._back(after, "vanished", sunk)
        if after.lost < self.patience:
            return verdict, after
        risen = after.level - after.best
        reason = f"the mean loss rose from {after.best:.4g} to {after.level:.4g}"
        if after.brake.factor > self.shrink**SURELY:
            return self._back(after, "lost ground", reason)
        settled = replace(after, best=after.level, first=after.first + risen, lost=0.0)
        return replace(verdict, kind="new data", reason=f"{reason}, at a small rate too", adopted=True), settled

    def _went(self, state: WatchState, seen: Sight) -> tuple[Verdict, WatchState]:
        """Accept: averages and factor move on."""
        loss, norm, hearing = seen.loss, seen.gradient_norm, seen.hearing
        away, weight = loss - state.level, max(MEMORY, 1 / (state.count + 1))
        level, typical = state.level + weight * away, state.typical + weight * (abs(away) - state.typical)
        scale = abs(state.first) if state.count < 1 / MEMORY else _least(state.scale, typical)
        best = _least(state.best, level)
        above, gained, first = level - best, state.first - best, abs(state.first)
        ground = max(LOST[0] * gained, LOST[1] * scale, LOST[2] * first)
        lost = state.lost + min(above / ground, FAST) if above > ground > 0 else 0.0
        near = above <= max(NEAR[0] * gained, NEAR[1] * scale, NEAR[2] * first)
        # at a minimum the gradient vanishes too, but there the loss is at its best
        vanished = norm <= NOTHING * state.peak and above > max(TRIFLE * gained, NOTHING * first)
        still = state.still + 1 if vanished else 0
        deaf = state.deaf
        if not math.isnan(hearing):
            deaf = deaf + 1 if hearing < DEAF or (hearing < DULL and not near) else 0
        good = near and not still and not deaf and not hearing < DULL
        brake, wait, ceiling, rescues = state.brake, state.wait, state.ceiling, state.rescues
        if rescues and good:
            brake, wait, ceiling, rescues = self._released(state)
        verdict = GO if good and brake.factor == 1 else Verdict(step=brake.factor, good=good)
        return verdict, WatchState(
            brake, state.count + 1, level, max(abs(away), self.forget * state.spread), typical,
            max(norm, self.forget * state.peak), state.first, best, scale, lost, still, deaf, 0, rescues,
            state.since + 1, wait, ceiling,
        )  # fmt: skip

    def _released(self, state: WatchState) -> tuple[BrakeState, int, float, int]:
        """Brake, wait, ceiling and rescues after one more good update."""
        brake, wait, ceiling, rescues = state.brake, state.wait, state.ceiling, state.rescues
        if brake.factor < ceiling:
            grown = self.brake.update(brake, _as_observation(_Seen(1, 0.0, 1.0)))[1]
            return replace(grown, factor=min(grown.factor, ceiling)), wait, ceiling, rescues
        if wait > 0:
            return brake, wait - 1, ceiling, rescues
        if ceiling < 1:
            ceiling = min(2 * ceiling, 1.0)
            return brake, self._pause(rescues) * (FORGETTING if ceiling == 1 else 1), ceiling, rescues
        return brake, 0, 1.0, 0

    def _pause(self, rescues: int) -> int:
        return PAUSE * self.patience * PATIENCE_GROWTH ** min(rescues - 1, 10)

    def _allowed(self, state: WatchState) -> int:
        """How many batches in a row may be left out before the state is blamed."""
        return self.doubts + (MORE_DOUBTS if _untried(state) else 0)

    def _doubt(self, state: WatchState, kind: str, reason: str) -> tuple[Verdict, WatchState]:
        if state.doubts < self._allowed(state):
            factor = state.brake.factor
            verdict = Verdict(step=factor, accept=False, action="skip", kind=kind, reason=reason, good=False)
            return verdict, replace(state, doubts=state.doubts + 1)
        return self._back(state, kind, f"{reason}, {state.doubts + 1} times in a row")

    def _back(self, state: WatchState, kind: str, reason: str) -> tuple[Verdict, WatchState]:
        rescues = state.rescues + 1
        shown = _Seen(1, math.nan, math.nan)
        decision, brake = self.brake.update(state.brake, _as_observation(shown))
        if rescues > 1:
            decision, brake = self.brake.update(brake, _as_observation(shown))
        action: Action = "back" if rescues <= self.rescues else "stop"
        guilty = kind in GUILTY or rescues > 1
        failed = state.brake.factor * self.shrink ** (rescues - 1)
        ceiling = min(failed / 2, state.ceiling) if guilty else state.ceiling
        after = replace(
            state, brake=brake, rescues=rescues, since=0, doubts=0, lost=0.0, still=0, deaf=0,
            wait=self._pause(rescues), ceiling=ceiling,
        )  # fmt: skip
        return Verdict(
            step=decision.step, accept=False, restart=True, action=action, kind=kind, reason=reason, good=False
        ), after


def _least(least: float, value: float) -> float:
    """The least value so far, slowly forgotten."""
    return value if value < least else least + (value - least) / LONG


def _untried(state: WatchState) -> bool:
    """Whether this is the state that was returned to, with no update since."""
    return state.rescues > 0 and state.since == 0


def _begun(state: WatchState, seen: Sight) -> WatchState:
    """Averages at the first batch."""
    loss, norm = seen.loss, seen.gradient_norm
    return replace(
        state, level=loss, spread=abs(loss), typical=0.0, peak=norm, first=loss, best=loss, scale=abs(loss)
    )  # fmt: skip


def _as_observation(seen: _Seen) -> Observation:
    """The brake over a constant rule reads these three only."""
    whole_observation: Any = seen
    return whole_observation
