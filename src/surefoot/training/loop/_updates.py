"""The updates of a run: each is measured, judged, and one thing is done about it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from surefoot.errors import Diverged, InvalidInput
from surefoot.rules import Decision
from surefoot.rules.training.watch import WatchState
from surefoot.training.loop._clipped_oscillation import ClippedOscillation, Turns, describe, plain_rate
from surefoot.training.loop._history import NO_WAY_BACK, Event, History, Moment, diagnosis, thinned
from surefoot.training.loop._judge import Judge
from surefoot.training.loop._looking_back import PointBefore
from surefoot.training.loop._reading import Reading, runs_ahead
from surefoot.training.loop._sensors import Sensed, Sensors
from surefoot.training.loop.copies import Copies
from surefoot.training.loop.group_rates import Rates
from surefoot.training.loop.snapshots import PROVED, Snapshots
from surefoot.training.loop.training_step import TrainingStep
from surefoot.training.model.agreement import alone, unread_norm
from surefoot.training.model.output_variation import OutputVariation
from surefoot.training.model.snapshot import Snapshot

# Below this factor a braked run hardly moves, and says so.
HARDLY = 1e-3
# The numbers that a checkpoint holds, and their kinds.
NUMBERS = {"count": int, "calls": int, "made": int, "rescues": int, "cooling": int, "end": float, "taken": float}
# What an update that is only noted is told.
ORDINARY = Decision(step=1.0)


class Updates:
    """Makes the updates of a run, and holds all that changes in it.

    Parameters
    ----------
    step : TrainingStep
    judge : Judge
    rates : Rates
    snapshots : Snapshots
    probe : callable or None
        () -> the loss that the sharpness is measured on.
    measure : bool
        Whether to measure it at a return.

    Attributes
    ----------
    count : int
        Updates judged so far, those left out included.
    calls : int
        Batches so far.
    made : int
        Updates made and not taken back.
    taken : float
        Rate of the last one.
    end, cooling : float, int
        Calls in the run, and in its cool-down.
    """

    def __init__(
        self,
        step: TrainingStep,
        judge: Judge,
        rates: Rates,
        snapshots: Snapshots,
        probe: Callable[[], Tensor] | None,
        measure: bool,
    ) -> None:
        self.step, self.judge, self.rates, self.snapshots = step, judge, rates, snapshots
        self.sensors = Sensors(step, snapshots.subject, rates, self._kept, probe, measure)
        self.variation = OutputVariation(step.model)
        self.oscillation = None if step.clip is None else ClippedOscillation(step.clip)
        self.before = PointBefore(step, snapshots.subject)
        self.copies = Copies(step, rates)
        self.log = History()
        self.moments: list[Moment] = []
        self.count, self.calls, self.made, self.rescues = 0, 0, 0, 0
        self.taken = math.nan
        self.end, self.cooling = math.inf, 0
        self.to_say = ""
        self._batch: list[tuple[Tensor, float]] = []
        # an update whose numbers are still on the device, with the rate before it
        self._unread: tuple[Reading, float] | None = None
        self._measured = False

    @property
    def remaining(self) -> float:
        """1 until the cool-down, then the part of it that is left."""
        left = self.end - self.calls
        return 1.0 if left > self.cooling else max(left, 0) / self.cooling

    @property
    def until_cooldown(self) -> float:
        """Updates before the cool-down begins; inf where nobody knows."""
        return max(self.end - self.cooling - self.calls, 0) / self.step.accumulate

    def add(self, closure: Callable[[], Tensor], weight: float) -> Tensor:
        """A batch, or a part of one; the update when all parts are there. The loss, detached."""
        if not self._batch:
            self._begin()
        self.sensors.closure = closure
        earlier = len(self._batch)
        try:
            if self.copies.running:
                value = self.copies.evaluate(closure, weight, fresh=not self._batch)
            else:
                value = self.step.backward(closure(), weight, fresh=not self._batch).detach()
            self._batch.append((value, weight))
            if len(self._batch) == self.step.accumulate:
                self._complete()
        except Diverged:  # the last good state is back already
            raise
        except BaseException:
            self._abandon()
            self.calls -= earlier
            raise
        finally:
            self.sensors.closure = None
        self.calls += 1
        return value

    def observe(self, value: Tensor) -> bool:
        """Whether somebody else's step, whose gradients are there, is to be made."""
        if self._unread is not None and not self.settle():
            return False
        self._note_structure()
        self.rates.settle()  # after a step that the caller left out
        if said := self.rates.read():
            self.log.remark(self.count, "rates", said)
        self.step.measure_buffers()
        norm = unread_norm(self.step.parameters)
        decision, go = ORDINARY, True
        if not self._is_ordinary(value, norm):
            self.settle()
            decision, go = self._decide(self._sense(self._reading(value, norm), value))
        if go:
            self.rates.lend(decision.step)
            self.made += decision.accept
            self.taken = decision.step if self.rates.driven else self.rates.first
        self.count += 1
        self.calls += 1
        self._measure_variation()
        return go

    def settle(self) -> bool:
        """Judge what is not judged yet, also the update that the device has judged alone; whether its state stands."""
        self._catch_up()
        if self._unread is None:
            return True
        (reading, before_it), self._unread = self._unread, None
        loss, norm, change, _, _ = reading.read()
        # as of that update
        taken, self.taken = self.taken, before_it
        self.count, self.made = self.count - 1, self.made - 1
        seen = self._sensed((loss,), norm, loss, drift=change)
        before = self.judge.state
        decision = self.judge.judge(seen)
        stands = decision.accept or decision.action == "skip"
        try:
            if decision.accept:
                self._accept(decision, seen)
                self.taken, self.made = taken, self.made + 1
                if self.oscillation is not None:  # counts; it compares nothing yet
                    self.oscillation.see(self.count, norm, self.judge.state.usual.level, ())
            elif stands:
                self._record("skip", decision, seen)
            else:
                self._refuse(decision, before, seen)
        finally:
            self.count += 1
        return stands

    def forget(self) -> None:
        """Another state is in the model: what was at hand is void."""
        self._batch, self._unread = [], None

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors; see `Loop.state_dict`."""
        self.settle()
        state: dict[str, Any] = {name: getattr(self, name) for name in NUMBERS}
        for part in self._parts:
            state |= part.state_dict()
        return {
            **state,
            **self.snapshots.state_dict(proved=not self.copies.running and self.judge.proved),
            "largest": self.variation.largest,
            "oscillation": None if self.oscillation is None else self.oscillation.state_dict(),
            "history": self.log.to_dict(),
            "moments": [moment.to_dict() for moment in thinned(self.moments)],
        }

    def parse(self, data: Mapping[str, Any]) -> Callable[[], None]:
        """What `state_dict` returned; nothing is changed until the result is called."""
        numbers = {name: kind(data[name]) for name, kind in NUMBERS.items()}
        if any(kind is int and numbers[name] < 0 for name, kind in NUMBERS.items()):
            raise InvalidInput("the state's counts are negative")
        log, largest = History.read(data["history"]), float(data["largest"])
        moments = [Moment.from_dict(moment) for moment in data["moments"]]
        oscillation, counts = self.oscillation, data["oscillation"]
        if oscillation is not None and counts is not None:
            oscillation = ClippedOscillation(oscillation.cap)
            oscillation.load_state_dict(counts)
        parts = [part.parse(data) for part in (*self._parts, self.snapshots)]

        def adopt() -> None:
            for part in parts:
                part()
            for name, number in numbers.items():
                setattr(self, name, number)
            self.log, self.moments, self.oscillation, self.variation.largest = log, moments, oscillation, largest
            self.forget()

        return adopt

    @property
    def _parts(self) -> tuple[Judge, Rates, Copies, PointBefore, Sensors]:
        """What has a state of its own."""
        return self.judge, self.rates, self.copies, self.before, self.sensors

    def _begin(self) -> None:
        """Before the first forward pass of an update."""
        if self.copies.running:
            self._note_structure()
            if self.copies.running:
                return
        if self.step.begin():
            self._note_structure()
        self._measure_variation()

    def _note_structure(self) -> None:
        """Another set of parameters, or another precision, makes what was kept void."""
        if not self.snapshots.subject.changed():
            return
        self.settle()
        self.copies.end()
        self.snapshots.restart(self.count)
        self.step.renew()
        self.before.forget()
        self.log.remark(
            self.count,
            "structure",
            "the parameters are others than before: earlier snapshots are void, a new one is due",
        )

    def _measure_variation(self) -> None:
        """Before a forward pass whose state may be kept, or whose last output was a constant."""
        if self.judge.watch is not None and (self.count >= self.snapshots.due or self.judge.state.constant):
            self.variation.arm()
            self._measured = True

    def _complete(self) -> None:
        """All parts of the batch are there: judge, decide, act, write it down."""
        parts, self._batch = self._batch, []
        total = parts[0][1] if len(parts) == 1 else sum(weight for _, weight in parts)
        events = len(self.log.events)
        try:
            moment = self._try(total) if self.copies.running else self._take(parts, total)
        finally:
            self.rates.settle()
        if self.judge.rule is not None and moment is not None:
            self._remember(moment, self.log.events[events:])
        self.count += 1

    def _take(self, parts: Sequence[tuple[Tensor, float]], total: float) -> Moment | None:
        """An update outside trials."""
        last = parts[-1][0]
        loss = last if len(parts) == 1 else torch.stack([v.double() * (w / total) for v, w in parts]).sum()
        norm = self.step.finish(total)
        if self._is_ordinary(loss, norm):
            self._update(ORDINARY)
            return None
        reading = self._reading(loss, norm)
        if not self.settle():
            return None  # the gradients at hand were of a state that is gone; so is this batch
        if self._may_wait():
            self._send(reading)
            return None
        seen = self._sense(reading, last)
        if self.step.scaler is not None and self.step.overflowed(seen.loss, seen.gradient_norm):
            self.step.update()
            return self._moment(seen.loss, 0.0, Decision(step=0.0, reason="the scaled gradient overflowed"))
        if said := self.to_say or self.rates.read():
            self.log.remark(self.count, "rates", said)
            self.to_say = ""
        decision, go = self._decide(seen)
        if not go:
            return self._moment(seen.loss, 0.0, decision)
        # before the update, since optimizers may change gradients in place
        turns = None
        if self.oscillation is not None:
            level, norm = self.judge.state.usual.level, seen.gradient_norm
            turns = self.oscillation.see(self.count, norm, level, self.step.parameters)
        if len(decision.copies) > 1:
            self.copies.begin(decision, seen.loss, seen.factor, self.variation.largest, first=self.made == 0)
            self._note_update(decision)
        else:
            self._update(decision)
        if turns:
            self._warn(turns, seen)
        return None if self.judge.rule is None else self._moment(seen.loss, self.rates.first, decision)

    def _update(self, decision: Decision) -> None:
        self.rates.write(decision.step)
        self.step.update()
        self._note_update(decision)

    def _note_update(self, decision: Decision) -> None:
        self.made += decision.accept
        self.taken = decision.step if self.rates.driven else self.rates.first

    def _try(self, total: float) -> Moment:
        """A batch in every copy; the watch looks on when one is left."""
        losses, norm = self.copies.finish(total, self.sensors.device)
        seen = self._sensed(losses, norm, losses[0])
        seen.factor = self.judge.state.factor
        decision = self.judge.decide(seen)
        self.copies.go_on(decision, seen.factor)
        if decision.accept:
            self.made += 1
            self.taken = decision.step * seen.factor
        if not self.copies.running:
            self.variation.largest = self.copies.largest
            if self.judge.follow(self.copies.past, proved=self.copies.first):
                # nothing proves a state better than a choice between several; before a later trial there are earlier
                # ones worth keeping
                self._keep(self.count + 1, None)
                self.snapshots.forget_older()
        return self._moment(losses[0], self.rates.first if decision.accept else 0.0, decision)

    def _is_ordinary(self, loss: Tensor, norm: Tensor) -> bool:
        """Whether each number of this update lies within what the run has seen, at a time when that is enough.

        It is taken then, whatever else they are, and only noted here: ten of them are judged at once. So it is done
        where reading a number costs nothing.
        """
        if not self.judge.may_note:
            self._catch_up()
            ahead = runs_ahead(self.snapshots.subject.device) or not alone()
            if ahead or self.log.open or self.step.scaler is not None or not self.judge.expect():
                return False
        if self._measured or self.count >= self.snapshots.due:
            return False
        length, moved = norm.item(), self.step.change
        if self.oscillation is not None and not length <= self.oscillation.cap:
            return False
        return self.judge.note(loss.item(), length, 0.0 if moved is None else moved.item())

    def _catch_up(self) -> None:
        if self.judge.catch_up() and self.oscillation is not None:  # none of them was clipped
            self.oscillation.see(self.count, 0.0, self.judge.state.usual.level, ())

    def _may_wait(self) -> bool:
        """Whether the device can judge this update alone, and the host read of it at the next one.

        Whoever keeps a snapshot, compares directions or evaluates the batch once more has to see the numbers first.
        """
        return (
            runs_ahead(self.snapshots.subject.device)
            and self.judge.calm > 0
            and not self._measured
            and self.count < self.snapshots.due
            and (self.oscillation is None or not self.oscillation.looks)
            and self.step.maskable
        )

    def _send(self, reading: Reading) -> None:
        """An update that is masked where its numbers lie beyond the bounds; `settle` reads them."""
        bad = reading.beyond(*self.judge.bounds)
        reading.send()
        self._unread = reading, self.taken
        self.rates.write(1.0)
        self.step.update_unless(bad)
        self._note_update(ORDINARY)

    def _reading(self, loss: Tensor, norm: Tensor) -> Reading:
        """What every update needs, unread."""
        output = self.variation.take() if self._measured else None
        return Reading(loss, norm, self.step.change, output, self.snapshots.subject.device)

    def _sense(self, reading: Reading, last: Tensor) -> Sensed:
        """What the rules may ask about this update."""
        loss, norm, change, spread, size = reading.read()
        if not 0 < norm < math.inf and self.step.clip is None:
            norm = self.sensors.gradient_norm()
        variation = math.nan
        if self._measured:
            variation, self._measured = self.variation.ratio(spread, size), False
        return self._sensed((loss,), norm, last, variation, change)

    def _sensed(
        self,
        losses: tuple[float, ...],
        norm: float,
        last: Tensor | float,
        variation: float = math.nan,
        drift: float = 0.0,
    ) -> Sensed:
        return Sensed(
            sensors=self.sensors, rate=self.rates.first, last=last, update=self.before.move(), iteration=self.made,
            step=self.taken, loss=losses[0], losses=losses, gradient_norm=norm, output_variation=variation,
            buffer_change=drift, remaining=self.remaining, until_cooldown=self.until_cooldown, rescues=self.rescues,
            previous_slope=self.before.slope,
        )  # fmt: skip

    def _decide(self, seen: Sensed) -> tuple[Decision, bool]:
        """The watch, then the rule; whether an update is to be made. What is to be done instead of one is done."""
        before = self.judge.state
        judged = self.judge.judge(seen)
        if not judged.accept:
            self._refuse(judged, before, seen)
            return replace(judged, reason=""), False  # an event has the reason
        self._accept(judged, seen)
        seen.factor = judged.step
        decision = self.judge.decide(seen)
        if self.judge.rule is None:
            return decision, True
        if decision.accept:
            if self.judge.looks_back:
                self.before.keep(decision, seen, self.judge.rule.needs)
        elif decision.action == "stop":
            raise InvalidInput(decision.reason)
        elif decision.action == "skip" or not self.before.put_back():
            self.step.leave_out()
            self.before.forget(whole=False)
            return decision, False
        if seen.factor == 1 or decision.copies:
            return decision, True
        return replace(decision, step=decision.step * seen.factor), True

    def _accept(self, decision: Decision, seen: Sensed) -> None:
        """The log and, where it is time and the state is good, a snapshot."""
        if decision.kind:
            self._record("go", decision, seen)
            self.variation.largest = 0.0  # of what came before the new data
        if self.log.open:
            self.log.close(self.count, down=self.judge.recovered)
        if decision.keep and self.count >= self.snapshots.due:
            self._keep(self.count, self.step.before)

    def _keep(self, updates: int, buffers: Sequence[Tensor] | None) -> None:
        note = {**self.judge.state_dict(), **self.rates.state_dict(), "calls": self.calls, "made": self.made}
        trouble = self.snapshots.take(updates, note, buffers, probation=self.judge.on_probation)
        self.log.remark(self.count, "snapshot", trouble)

    def _refuse(self, decision: Decision, before: WatchState, seen: Sensed) -> None:
        """The batch left out, the last good state put back, or the end."""
        self.step.leave_out()
        self.before.forget()
        if decision.action == "skip":
            self._record("skip", decision, seen)
            return
        undone, sharpness = 0, seen.sharpness
        back = self.snapshots.restore(self._target(before, decision.kind), self.count)
        if back is not None:
            self.judge.go_back(back.note)
            undone = self.count - back.step
        else:
            decision = replace(decision, reason=f"{decision.reason}; {NO_WAY_BACK}")
        self.variation.forget()
        self._measured = False
        self.rescues += self.judge.state.ceiling < before.ceiling
        self._record(decision.action, decision, seen, undone=undone, sharpness=sharpness)
        if decision.action == "stop":
            raise Diverged(diagnosis(self.log.events, before.rescues), self.log.events)
        if decision.step < HARDLY <= before.factor:
            self.log.remark(
                self.count,
                "brake",
                f"the brake is at {decision.step:.2g} of the rate: the run hardly moves until it recovers",
            )

    def _target(self, state: WatchState, kind: str = "") -> int | None:
        if self.judge.sudden(kind, state):  # no snapshot is taken of what is broken
            return self.snapshots.target(self.count, again=False)
        again = state.rescues > 0 and self.judge.doubts(state)
        return self.snapshots.target(self.count - PROVED - max(state.left_out, 1), again=again)

    def _kept(self) -> Snapshot | None:
        return self.snapshots.look(self._target(self.judge.state))

    def _abandon(self) -> None:
        """A closure raised: nothing of this batch stays, and the exception goes to the caller."""
        self._batch = []
        self.variation.forget()
        self._measured = False
        if self.copies.running:
            self.copies.forget()
        else:
            self.step.leave_out()
        self.rates.settle()

    def _record(self, action: str, decision: Decision, seen: Sensed, **more: Any) -> None:
        rates = () if math.isnan(self.rates.first) else (self.rates.first,)
        self.log.add(Event(
            step=self.count, action=action, kind=decision.kind, reason=decision.reason, loss=seen.loss,
            gradient_norm=seen.gradient_norm, factor=decision.step, rates=rates, **more,
        ))  # fmt: skip

    def _warn(self, turns: Turns, seen: Sensed) -> None:
        """Say it; the rate is that of the update just made."""
        rate = plain_rate(self.step.optimizers, self.rates.in_force)
        state = self.judge.state
        self.log.add(Event(
            step=self.count, action="warn", kind="clipped oscillation", loss=seen.loss,
            gradient_norm=seen.gradient_norm, reason=describe(turns, state.usual.level, rate),
            factor=state.factor, rates=self.rates.in_force, peak_to_peak=None if rate is None else rate * turns.cap,
        ))  # fmt: skip

    def _moment(self, loss: float, rate: float, decision: Decision) -> Moment:
        noise = decision.noise if math.isfinite(decision.noise) else self.judge.state.usual.typical
        return Moment(step=self.count, loss=loss, rate=rate, limit=decision.limit, noise=noise, event=decision.reason)

    def _remember(self, moment: Moment, events: Sequence[Event]) -> None:
        """One moment for each update, with what happened at it."""
        if events:
            news = [str(event) for event in events]
            moment = replace(moment, event="; ".join([*news, *([moment.event] if moment.event else [])]))
        self.moments.append(moment)
