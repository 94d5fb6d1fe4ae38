"""One loop that owns a training run: it measures, asks its rules, and acts once."""

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import Diverged, InvalidInput, InvalidType
from surefoot.rules import Decision, Rule, Watch
from surefoot.rules.training.watch import WatchState
from surefoot.training.loop._clipped_oscillation import ClippedOscillation, Turns, describe, plain_rate
from surefoot.training.loop._history import Event, History, Moment, diagnosis, thinned
from surefoot.training.loop._reading import Reading, runs_ahead
from surefoot.training.loop._sensors import SENSED, Sensed, Sensors, moves
from surefoot.training.loop.copies import Copies
from surefoot.training.loop.group_rates import Rates
from surefoot.training.loop.snapshots import SnapshotCost, Snapshots
from surefoot.training.loop.training_step import TrainingStep, as_optimizers
from surefoot.training.model.agreement import alone, common_name, local, unread_norm
from surefoot.training.model.output_variation import OutputVariation
from surefoot.training.model.snapshot import Snapshot, Subject

__all__ = ["Loop"]

# On probation, after the start and after each return, for so many times the watch's patience.
PROBATION = 10
# Updates without an event, the mean loss down again: recovered.
QUIET = 10
# The last part of a run of known length is its cool-down. Hagele et al. (2024) found 20% as good as a cosine over all.
COOL = 0.2
# Below this factor a braked run hardly moves, and says so.
HARDLY = 1e-3
# What a rule reads of the last move, and what makes it one that may take that move back.
LOOKING_BACK = frozenset({"displacement", "alignment", "gradient_change", "arrival_slope", "arrival_curvature"})
UNDOING = frozenset({"loss", "alignment", "gradient_change", "previous_slope"})
# Gradient norms whose squares stay far inside single precision (its roots are 1e-19 to 1e19): the quick norm is right.
QUICK = (1e-12, 1e12)
# Ordinary updates are judged so many at once. After a training step nothing of the judge is in the processor cache, so
# that the first of a row takes as long as the other nine together.
TOGETHER = 10
FORMAT = 2
ORDINARY = Decision(step=1.0)


class Loop:
    """Steps an optimizer as its rules decide; the one owner of all that changes in a training run.

        loop = Loop(model, optimizer, watch=Watch(), rule=Autopilot(), total_steps=T)
        for batch in loader:
            value = loop.step(lambda: loss(model, batch))

    At each update the gradients are made, the watch judges the batch, the rule decides the rate, and one thing is done:
    an update at the product of what they said, the batch left out, or the last good state put back. `Guard` is a loop
    with a watch, `Pilot` one with a watch and a rule.

    Parameters
    ----------
    model : Module
        Compiled, DistributedDataParallel and fully_shard ones too; with several processes all ranks decide alike.
    optimizer : Optimizer or sequence of Optimizer
        All step together. Not those whose step needs a closure (LBFGS).
    watch : Watch, optional
        What judges each batch.
    rule : Rule, optional
        What decides the rate: any that needs nothing a training run cannot sense. None: the user does.
    scheduler : scheduler or sequence of schedulers, optional
        Goes back with the rest. You step it, as always; it sees its own rates only. Left out, it keeps counting batches
        when the run goes back.
    scaler : torch.amp.GradScaler, optional
        Scaling, unscaling and its update are done here. Its own skipped steps are not interventions.
    clip : float, optional
        Largest gradient norm, as ``clip_grad_norm_``. A rate above the limit, whose divergence the clip hides, is then
        told (an event with the action "warn"); nothing is done about it.
    accumulate : int
        Calls of `step` that make one update.
    also : sequence
        Anything else with state_dict and load_state_dict that has to go back too: averages of the weights.
    random_states : bool
        Whether random states go back: the same dropout masks again.
    keep : "device", "cpu" or Path
        Where the two snapshots are. Each is as large as parameters, buffers and optimizer state together.
    every : int, optional
        Updates between snapshots; by default 1% of those made so far, between 10 and 100.
    measure : bool
        Whether to measure the sharpness at a return (some ten to a hundred gradients' time).
    probe : callable, optional
        () -> loss, what the sharpness is measured on; by default the batch at hand.
    total_steps : int, optional
        Calls of `step` in the run; the last 20% of it are the cool-down.

    Attributes
    ----------
    updates : int
        Updates judged so far.

    Raises
    ------
    InvalidType
        If an argument is of the wrong kind.
    InvalidInput
        If a number is out of its range, the optimizers train nothing, or the rule needs what training cannot sense.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        *,
        watch: Watch | None = None,
        rule: Rule | None = None,
        scheduler: Any = None,
        scaler: Any = None,
        clip: float | None = None,
        accumulate: int = 1,
        also: Iterable[Any] = (),
        random_states: bool = False,
        keep: Any = "device",
        every: int | None = None,
        measure: bool = True,
        probe: Callable[[], Tensor] | None = None,
        total_steps: int | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InvalidType(f"model must be a torch.nn.Module; got a {type(model).__name__}")
        self.model, self.optimizers = model, as_optimizers(optimizer)
        self.watch, self.rule = watch, rule
        if watch is not None and not isinstance(watch, Watch):
            raise InvalidType(f"the watch must be a Watch; got a {type(watch).__name__}")
        if rule is not None and not isinstance(rule, Rule):
            raise InvalidType(f"rule must be a name or a Rule; got a {type(rule).__name__}")
        if rule is not None:
            _refuse_lacking(rule)
        if clip is not None and not clip > 0:
            raise InvalidInput(f"clip is the largest gradient norm, > 0; got {clip!r}; None for no clipping")
        if accumulate < 1 or (every is not None and every < 1):
            raise InvalidInput(f"accumulate and every must be at least 1; got {accumulate!r} and {every!r}")
        if total_steps is not None and total_steps < 1:
            raise InvalidInput(f"total_steps must be at least 1; got {total_steps!r}; None if it is not known")
        stateful = [*_listed(scheduler), *([] if scaler is None else [scaler]), *also]
        for thing in stateful:
            if not hasattr(thing, "state_dict") or not hasattr(thing, "load_state_dict"):
                raise InvalidType(f"a {type(thing).__name__} has no state_dict and load_state_dict, so no way back")
        self._run = common_name(uuid.uuid4().hex[:12])
        self._step = TrainingStep(model, self.optimizers, scaler, clip, accumulate)
        self._rates = Rates(self.optimizers, driven=rule is not None, named=scheduler is not None)
        self._snapshots = Snapshots(Subject(model, self.optimizers, stateful, random_states), keep, every, self._run)
        self._sensors = Sensors(self._step, self._snapshots.subject, self._rates, self._kept, probe, measure)
        self._variation = OutputVariation(model)
        self._oscillation = None if clip is None else ClippedOscillation(clip)
        self._copies = Copies(model, self.optimizers)
        self._log = History()
        self._moments: list[Moment] = []
        self._watch_state: WatchState = (watch or Watch()).init()
        self._rule_state: Any = None if rule is None else rule.init()
        self._parts: list[tuple[Tensor, float]] = []
        # an update whose numbers are still on the device, with the rate before it
        self._unread: tuple[Reading, float] | None = None
        # loss, gradient norm and change of the buffers of updates not judged yet, and how many more there may be
        self._waiting: list[tuple[float, float, float]] = []
        self._may_follow = 0
        self._trying, self._measured = False, False
        self._looks_back = rule is not None and not (LOOKING_BACK | UNDOING).isdisjoint(rule.needs)
        self._calls, self._made, self._rescues = 0, 0, 0
        self._taken = math.nan
        # a trial before the first update is of the rates at a scheduler's peak, not at the bottom of its warm-up
        self._at_peak = False
        self._said = ""
        self._end, self._cooling = math.inf, 0
        if total_steps is not None:
            self._end, self._cooling = total_steps, max(1, round(COOL * total_steps))
        # x- for a rule that looks back: its parameters, and all of it with its gradients for one that may return there
        self._before: list[Tensor] | None = None
        self._undo: tuple[Snapshot, list[Tensor | None]] | None = None
        self._previous_slope = math.nan
        self.updates = 0

    def step(self, closure: Callable[[], Tensor], weight: float = 1.0) -> Tensor:
        """One batch: zero the gradients, compute the loss, go backward, and update, leave it out or go back.

        Parameters
        ----------
        closure : callable
            () -> the loss, a scalar tensor. It only computes it; during trials it is called once for each copy, and
            when a batch is compared with an earlier state once more.
        weight : float
            Of this batch among the `accumulate` that make an update: its number of samples, where they differ.

        Returns
        -------
        Tensor
            The loss, as it was, finite or not; detached. Only who reads it (``float(value)``) waits for the device.

        Raises
        ------
        Diverged
            After too many returns or batches left out in a row, with a diagnosis.
        InvalidType, InvalidInput
            If the closure returns no loss.
        """
        if not 0 < weight < math.inf:
            raise InvalidInput(f"weight must be positive and finite; got {weight!r}")
        if not self._parts:
            self._begin()
        self._sensors.closure = closure
        try:
            value = self._evaluate(closure, weight)
            self._parts.append((value, weight))
            if len(self._parts) == self._step.accumulate:
                self._complete()
        except Diverged:  # the last good state is back already
            raise
        except BaseException:
            self._abandon()
            raise
        finally:
            self._sensors.closure = None
        self._calls += 1
        return value

    def observe(self, loss: Any) -> bool:
        """Judge a step of your own loop: between ``loss.backward()`` and ``optimizer.step()``.

        Parameters
        ----------
        loss : Tensor or float

        Returns
        -------
        bool
            Whether to take the optimizer's step. If not, gradients are gone and the state may have been put
            back; an optimizer that steps all the same has nothing to step with.

        Raises
        ------
        Diverged
            After too many returns or batches left out in a row.
        """
        value = loss.detach() if isinstance(loss, Tensor) else torch.tensor(float(loss))
        if self._unread is not None and not self._settle():
            return False
        self._note_structure()
        self._rates.settle()  # after a step that the caller left out
        said = self._rates.read()
        if said:
            self._log.remark(self.updates, "rates", said)
        self._step.measure_buffers()
        norm = unread_norm(self._step.parameters)
        decision, go = ORDINARY, True
        if not self._is_ordinary(value, norm):
            self._settle()
            decision, go = self._decide(self._sense(self._reading(value, norm), value))
        if go:
            self._rates.lend(decision.step)
            self._made += decision.accept
            self._taken = decision.step if self._rates.driven else self._rates.first
        self.updates += 1
        self._calls += 1
        self._measure_variation()
        return go

    def finish(self, steps: int) -> None:
        """Cool down to zero over so many more calls of `step`, from the rate in force.

        Parameters
        ----------
        steps : int

        Raises
        ------
        InvalidInput
            If it is not positive, or the rule does not heed it.
        """
        if steps < 1:
            raise InvalidInput(f"steps must be at least 1; got {steps!r}")
        if self.rule is None or "remaining" not in self.rule.needs:
            raise InvalidInput(
                f"{type(self.rule).__name__} does not read what remains of the run; wrap it: "
                "surefoot.rules.Cooldown(rule=...)"
            )
        self._end, self._cooling = self._calls + steps, steps

    @property
    def events(self) -> list[Event]:
        """What was done beyond plain updates, and what there is to say, oldest first."""
        self._settle()
        return self._log.events

    @property
    def moments(self) -> list[Moment]:
        """Each update, if a rule decides the rate, oldest first."""
        return self._moments

    def report(self) -> str:
        """What happened, one line for each event."""
        if self.rule is None:
            self._settle()
            return str(self._log)
        told = [moment for moment in self._moments if moment.event]
        return "\n".join(m.event if m.event.startswith("step ") else f"step {m.step}: {m.event}" for m in told)

    def drive(self, rule: Rule, why: str = "") -> None:
        """Let another rule decide the rate from here on.

        Parameters
        ----------
        rule : Rule
        why : str
            To be said, if anything.

        Raises
        ------
        InvalidInput
            If it needs what training cannot sense, or no rule has decided so far.
        """
        _refuse_lacking(rule)
        if not self._rates.driven:
            raise InvalidInput("the user decides the rates of this loop; make one with a rule")
        self._copies.end()
        self._trying = False
        self.rule, self._rule_state = rule, rule.init()
        self._looks_back = not (LOOKING_BACK | UNDOING).isdisjoint(rule.needs)
        if why:
            self._said = why

    @property
    def rule_state(self) -> Any:
        """The state of the rule for the rate; None where there is no rule."""
        return self._rule_state

    @property
    def rate(self) -> float:
        """The rate of the last update: what the rule decided, times the factor; nan before the first."""
        return self._taken

    @property
    def factor(self) -> float:
        """What the watch multiplies the rates by: 1 unless the brake is on."""
        self._settle()
        return self._watch_state.factor

    @property
    def remaining(self) -> float:
        """1 until the cool-down, then the part of it that is left."""
        left = self._end - self._calls
        return 1.0 if left > self._cooling else max(left, 0) / self._cooling

    @property
    def until_cooldown(self) -> float:
        """Updates before the cool-down begins; inf where nobody knows."""
        return max(self._end - self._cooling - self._calls, 0) / self._step.accumulate

    @property
    def cost(self) -> SnapshotCost:
        """What the snapshots cost."""
        return self._snapshots.cost

    def state_dict(self) -> dict[str, Any]:
        """Numbers, strings, lists, dicts and, in a trial, tensors: ``torch.load(weights_only=True)`` reads them.

        A long history is thinned, so that it stays below 100 kB beside the tensors. After loading, snapshots are taken
        anew and clipped gradients compared anew: a warning in the making may come up to 20 updates later.
        """
        self._settle()
        return {
            "format": FORMAT,
            "run": self._run,
            "structure": self._snapshots.subject.structure,
            "updates": self.updates,
            "calls": self._calls,
            "made": self._made,
            "rescues": self._rescues,
            "taken": self._taken,
            "end": self._end,
            "cooling": self._cooling,
            "watch": None if self.watch is None else self.watch.dump(self._watch_state),
            "rule": None if self.rule is None else self.rule.dump(self._rule_state),
            "rates": self._rates.state_dict(),
            "largest": self._variation.largest,
            "oscillation": None if self._oscillation is None else self._oscillation.state_dict(),
            "copies": self._copies.state_dict(),
            "before": None if self._before is None else [p.clone() for p in self._before],
            "previous slope": self._previous_slope,
            "tracker": self._sensors.state_dict(),
            "history": self._log.to_dict(),
            "moments": [moment.to_dict() for moment in thinned(self._moments)],
        }

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, bit for bit; load the model and the optimizer first.

        Raises
        ------
        InvalidInput
            If it is of another rule, model or optimizer, or damaged; nothing is changed then.
        """
        parameters = self._step.parameters
        try:
            if data["format"] != FORMAT:
                raise InvalidInput(f"the state has format {data['format']!r}; this version reads {FORMAT}")
            self._snapshots.subject.check(data["structure"])
            watch_state = self._watch_state if self.watch is None else self.watch.load(data["watch"])
            rule_state = None if self.rule is None else self.rule.load(data["rule"])
            history = History.read(data["history"])
            moments = [Moment.from_dict(moment) for moment in data["moments"]]
            counters = [int(data[name]) for name in ("updates", "calls", "made", "rescues", "cooling")]
            taken, end, slope, largest = (float(data[k]) for k in ("taken", "end", "previous slope", "largest"))
            rates = {**data["rates"]}
            if len(rates["weights"]) != len(rates["written"]) or min(counters) < 0:
                raise InvalidInput("the state's rates or counters do not fit together")
            self._copies.check(data["copies"])
            before = data["before"]
            if before is not None:
                pairs = zip(before, parameters, strict=True)
                before = [saved.to(p.device, local(p).dtype, copy=True).view(local(p).shape) for saved, p in pairs]
            oscillation = data["oscillation"]
            run = str(data["run"])
            self._sensors.load_state_dict(data["tracker"])
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            if isinstance(error, InvalidInput):
                raise
            said = (str(error).splitlines() or [""])[0]
            raise InvalidInput(
                f"the state cannot be read ({type(error).__name__}: {said}); nothing was changed; "
                "give what state_dict() returned"
            ) from error
        self._copies.load_state_dict(data["copies"])
        self._trying = len(self._copies) > 0
        self._rates.load_state_dict(rates)
        self._watch_state, self._rule_state, self._log, self._moments = watch_state, rule_state, history, moments
        self.updates, self._calls, self._made, self._rescues, self._cooling = counters
        self._taken, self._end, self._previous_slope = taken, end, slope
        self._variation.largest, self._before, self._undo, self._run = largest, before, None, run
        if self._oscillation is not None and oscillation is not None:
            self._oscillation.load_state_dict(oscillation)
        self._snapshots.restart(self.updates)
        self._parts, self._unread, self._waiting, self._may_follow = [], None, [], 0

    def recover(self, run: str | None = None) -> int | None:
        """After a crash: the newest sound snapshot of the directory given as `keep`, put back.

        Parameters
        ----------
        run : str, optional
            Which run's, where the directory has several; its name is the first part of the files' names.

        Returns
        -------
        int or None
            The updates made before it, where the loop goes on; None, and nothing changed, if there is none.

        Raises
        ------
        InvalidInput
            If snapshots are not kept in a directory, are of several runs, or of another model or optimizer; nothing is
            touched then.
        """
        found = self._snapshots.recover(run)
        if found is None:
            return None
        self._run, snapshot = found
        self._unread, self._waiting, self._may_follow = None, [], 0
        note = snapshot.note
        if self.watch is not None:
            self._watch_state = self.watch.load(note["watch"])
        if self.rule is not None and note["rule"] is not None:
            self._rule_state = self.rule.load(note["rule"])
        self._rates.load_state_dict(note["rates"])
        self._calls, self._made, self.updates = note["calls"], note["made"], snapshot.step
        return snapshot.step

    def _begin(self) -> None:
        """Before the first forward pass of an update."""
        if self._trying:
            self._note_structure()
        if not self._trying:
            if self._step.begin():
                self._note_structure()
            self._measure_variation()

    def _note_structure(self) -> None:
        """Another set of parameters, or another precision, makes what was kept void."""
        if not self._snapshots.subject.changed():
            return
        self._settle()
        self._copies.end()
        self._trying = False
        self._snapshots.restart(self.updates)
        self._step.renew()
        self._before = self._undo = None
        self._log.remark(
            self.updates,
            "structure",
            "the parameters are others than before: earlier snapshots are void, a new one is due",
        )

    def _measure_variation(self) -> None:
        """Before a forward pass whose state may be kept, or whose last output was a constant."""
        if self.watch is not None and (self.updates >= self._snapshots.due or self._watch_state.constant):
            self._variation.arm()
            self._measured = True

    def _evaluate(self, closure: Callable[[], Tensor], weight: float) -> Tensor:
        """Loss and gradients of one batch, or of a part of one; in every copy during a trial."""
        if not self._trying:
            return self._step.backward(closure(), weight, fresh=not self._parts).detach()
        scale, value = self._loss_scale(), torch.empty(0)

        def part() -> float:
            nonlocal value
            value = self._step.checked(closure())
            (value * (scale * weight / self._step.accumulate)).backward()
            value = value.detach()
            return float(value) * weight

        self._copies.sense(part, fresh=not self._parts)
        return value  # of the first copy, which comes last

    def _complete(self) -> None:
        """All parts of the batch are there: judge, decide, act, write it down."""
        parts, self._parts = self._parts, []
        total = sum(weight for _, weight in parts)
        events = len(self._log.events)
        try:
            moment = self._try(total) if self._trying else self._take(parts, total)
        finally:
            self._rates.settle()
        if self.rule is not None and moment is not None:
            self._remember(moment, self._log.events[events:])
        self.updates += 1

    def _reading(self, loss: Tensor, norm: Tensor) -> Reading:
        """What every update needs, unread."""
        output = self._variation.take() if self._measured else None
        return Reading(loss, norm, self._step.change, output, self._snapshots.subject.device)

    def _sense(self, reading: Reading, last: Tensor) -> Sensed:
        """What the rules may ask about this update."""
        loss, norm, change, spread, size = reading.read()
        if not 0 < norm < math.inf and self._step.clip is None:
            norm = self._sensors.gradient_norm()
        variation = math.nan
        if self._measured:
            variation, self._measured = self._variation.ratio(spread, size), False
        return self._sensed(loss, last, norm, variation, change, (loss,))

    def _sensed(
        self, loss: float, last: Tensor | float, norm: float, variation: float, change: float, losses: tuple[float, ...]
    ) -> Sensed:
        update = None if self._before is None else moves(self._step.parameters, self._before)
        return Sensed(
            self._sensors, self._made, self._taken, self._rates.first, loss, last, norm, variation, change,
            self.remaining, self.until_cooldown, self._rescues, losses, update, self._previous_slope,
        )  # fmt: skip

    def _take(self, parts: Sequence[tuple[Tensor, float]], total: float) -> Moment | None:
        """An update outside trials."""
        last = parts[-1][0]
        loss = last if len(parts) == 1 else torch.stack([v.double() * (w / total) for v, w in parts]).sum()
        norm = self._step.finish(total)
        if self._is_ordinary(loss, norm):
            self._rates.write(1.0)
            self._step.update()
            self._made += 1
            self._taken = self._rates.first
            return None
        reading = self._reading(loss, norm)
        if not self._settle():
            return None  # the gradients at hand were of a state that is gone; so is this batch
        if self._may_wait():
            self._send(reading)
            return None
        seen = self._sense(reading, last)
        if self._step.scaler is not None and self._step.overflowed(seen.loss, seen.gradient_norm):
            self._step.update()
            return self._moment(seen.loss, 0.0, Decision(step=0.0, reason="the scaled gradient overflowed"))
        said, self._said = self._said or self._rates.read(), ""
        if said:
            self._log.remark(self.updates, "rates", said)
        decision, go = self._decide(seen)
        if not go:
            return self._moment(seen.loss, 0.0, decision)
        # before the update, since optimizers may change gradients in place
        turns = None
        if self._oscillation is not None:
            level, norm = self._watch_state.usual.level, seen.gradient_norm
            turns = self._oscillation.see(self.updates, norm, level, self._step.parameters)
        if len(decision.copies) > 1:
            self._fork(decision, seen)
        else:
            self._rates.write(decision.step)
            self._step.update()
        self._made += decision.accept
        self._taken = decision.step if self._rates.driven else self._rates.first
        if turns:
            self._warn(turns, seen)
        return None if self.rule is None else self._moment(seen.loss, self._rates.first, decision)

    def _is_ordinary(self, loss: Tensor, norm: Tensor) -> bool:
        """Whether each number of this update lies within what the run has seen, at a time when that is enough.

        It is taken then, whatever else they are, and only noted here: `_catch_up` judges ten of them at once.
        """
        if not self._may_follow:
            self._catch_up()
            self._may_follow = min(self._outlook(), TOGETHER)
        if not self._may_follow or self._measured or self.updates >= self._snapshots.due:
            return False
        usual, moved = self._watch_state.usual, self._step.change
        numbers = loss.item(), norm.item(), 0.0 if moved is None else moved.item()
        if not (
            -math.inf < numbers[0] <= usual.top
            and QUICK[0] < numbers[1] <= usual.peak
            and numbers[2] <= usual.drift
            and (self._oscillation is None or numbers[1] <= self._oscillation.cap)
        ):
            return False
        self._waiting.append(numbers)
        self._may_follow -= 1
        return True

    def _outlook(self) -> int:
        """How many updates whose numbers have been met before may go by before they are judged, on a CPU."""
        if self.rule is not None or self.watch is None or self._step.scaler is not None or self._log.open:
            return 0
        if not alone() or runs_ahead(self._snapshots.subject.device) or not self._watch_state.usual.peak < QUICK[1]:
            return 0
        return self.watch.calm(self._watch_state)

    def _catch_up(self) -> None:
        """Judge the updates that were only noted."""
        if self._waiting and self.watch is not None:
            for numbers in self._waiting:
                self._watch_state = self.watch.accept(self._watch_state, *numbers)
            if self._oscillation is not None:  # none of them was clipped
                self._oscillation.see(self.updates, 0.0, self._watch_state.usual.level, ())
            self._waiting = []
        self._may_follow = 0

    def _may_wait(self) -> bool:
        """Whether the device can judge this update alone, and the host read of it at the next one.

        A rule has to see the numbers first, and so has whoever keeps a snapshot, compares directions or evaluates the
        batch once more.
        """
        return (
            self.rule is None
            and runs_ahead(self._snapshots.subject.device)
            and self.watch is not None
            and self.watch.calm(self._watch_state)
            and not self._measured
            and self.updates < self._snapshots.due
            and QUICK[0] < self._watch_state.usual.peak < QUICK[1]
            and (self._oscillation is None or not self._oscillation.looks)
            and self._step.maskable
        )

    def _send(self, reading: Reading) -> None:
        """An update that is masked where its numbers lie beyond the bounds; `_settle` reads them."""
        assert self.watch is not None
        bad = reading.beyond(*self.watch.bounds(self._watch_state))
        reading.send()
        self._unread = reading, self._taken
        self._rates.write(1.0)
        self._step.update_unless(bad)
        self._made += 1
        self._taken = self._rates.first

    def _settle(self) -> bool:
        """Read and judge the update that the device has judged alone, if there is one; whether its state stands."""
        self._catch_up()
        if self._unread is None or self.watch is None:
            return True
        (reading, before_it), self._unread = self._unread, None
        loss, norm, change, _, _ = reading.read()
        # as of that update
        taken, self._taken = self._taken, before_it
        self.updates, self._made = self.updates - 1, self._made - 1
        seen = self._sensed(loss, loss, norm, math.nan, change, (loss,))
        before = self._watch_state
        decision, self._watch_state = self.watch.update(before, seen)
        stands = decision.accept or decision.action == "skip"
        try:
            if decision.accept:
                self._accept(decision, seen)
                self._taken, self._made = taken, self._made + 1
                if self._oscillation is not None:  # counts; it compares nothing yet
                    self._oscillation.see(self.updates, norm, self._watch_state.usual.level, ())
            elif stands:
                self._record("skip", decision, seen)
            else:
                self._refuse(decision, before, seen)
        finally:
            self.updates += 1
        return stands

    def _decide(self, seen: Sensed) -> tuple[Decision, bool]:
        """Each rule in turn; whether an update is to be made. What is to be done instead of one is done."""
        if self.watch is not None:
            before = self._watch_state
            judged, self._watch_state = self.watch.update(before, seen)
            if not judged.accept:
                self._refuse(judged, before, seen)
                return replace(judged, reason=""), False  # an event has the reason
            self._accept(judged, seen)
            seen.factor = judged.step
        if self.rule is None:
            return Decision(step=seen.factor), True
        decision, self._rule_state = self.rule.update(self._rule_state, seen)
        if decision.accept:
            if self._looks_back:
                self._look_back(decision, seen)
        elif decision.action == "stop":
            raise InvalidInput(decision.reason)
        elif decision.action == "skip" or self._undo is None:
            self._step.leave_out()
            self._before = None
            return decision, False
        else:
            kept, gradients = self._undo
            self._snapshots.subject.restore(kept)
            for p, g in zip(self._step.parameters, gradients, strict=True):
                p.grad = None if g is None else g.clone()
        if seen.factor == 1 or decision.copies:
            return decision, True
        return replace(decision, step=decision.step * seen.factor), True

    def _look_back(self, decision: Decision, seen: Sensed) -> None:
        """Keep the present point, for a rule that looks back from the next one or may return here."""
        needs = frozenset[str]() if self.rule is None else self.rule.needs
        parameters = self._step.parameters
        looks = decision.look_back and not LOOKING_BACK.isdisjoint(needs)
        self._before = [local(p.detach()).clone() for p in parameters] if looks else None
        if "previous_slope" in needs:
            self._previous_slope = seen.slope
        if not UNDOING.isdisjoint(needs):
            gradients = [None if p.grad is None else p.grad.clone() for p in parameters]
            self._undo = self._snapshots.subject.capture(0), gradients

    def _accept(self, decision: Decision, seen: Sensed) -> None:
        """The log and, where it is time and the state is good, a snapshot."""
        if decision.kind:
            self._record("go", decision, seen)
        state = self._watch_state
        if self._log.open:
            self._log.close(self.updates, down=state.since >= QUIET and state.usual.near)
        if decision.keep and self.updates >= self._snapshots.due:
            self._keep(self.updates, self._step.before)

    def _keep(self, updates: int, buffers: Sequence[Tensor] | None) -> None:
        note = {
            "watch": None if self.watch is None else self.watch.dump(self._watch_state),
            "rule": None if self.rule is None else self.rule.dump(self._rule_state),
            "rates": self._rates.state_dict(), "calls": self._calls, "made": self._made,
        }  # fmt: skip
        trouble = self._snapshots.take(updates, note, buffers, probation=self._on_probation(self._watch_state))
        if trouble:
            self._log.remark(self.updates, "snapshot", trouble)

    def _refuse(self, decision: Decision, before: WatchState, seen: Sensed) -> None:
        """The batch left out, the last good state put back, or the end."""
        self._step.leave_out()
        self._before = self._undo = None
        if decision.action == "skip":
            self._record("skip", decision, seen)
            return
        undone, sharpness = 0, seen.sharpness
        back = self._snapshots.restore(self._target(before), self.updates)
        if back is not None and self.watch is not None:
            self._watch_state = self.watch.after_return(self._watch_state, self.watch.load(back.note["watch"]))
            undone = self.updates - back.step
        self._variation.forget()
        self._measured = False
        self._rescues += self._watch_state.ceiling < before.ceiling
        self._record(decision.action, decision, seen, undone=undone, sharpness=sharpness)
        if decision.action == "stop":
            raise Diverged(diagnosis(self._log.events, before.rescues), self._log.events)
        if decision.step < HARDLY <= before.factor:
            self._log.remark(
                self.updates,
                "brake",
                f"the brake is at {decision.step:.2g} of the rate: the run hardly moves until it recovers",
            )

    def _target(self, state: WatchState) -> int | None:
        again = state.rescues > 0 and self._on_probation(state)
        return self._snapshots.target(self.updates, again=again, doubts=max(state.left_out, 1))

    def _kept(self) -> Snapshot | None:
        return self._snapshots.look(self._target(self._watch_state))

    def _on_probation(self, state: WatchState) -> bool:
        """Whether the start or the last return is too near to trust what was reached since."""
        return self.watch is not None and state.since < PROBATION * self.watch.patience

    def _fork(self, decision: Decision, seen: Sensed) -> None:
        """The run goes on in several copies."""
        self._step.forget_scale()
        self._at_peak = self._made == 0
        self._copies.enter(seen.loss, self._variation.largest)
        self._copies.advance(decision.copies, lambda rate: self._plain_update(rate * seen.factor))
        self._trying = True

    def _try(self, total: float) -> Moment:
        """A batch in every copy; the watch looks on when one is left."""
        self._rates.read()
        scale = self._loss_scale()
        overflow = self._copies.finish(scale * total / self._step.accumulate, total, self._sensors.device)
        losses, norms = self._copies.losses, self._copies.norms
        self._copies.spoil(as_loss=self._step.scaler is None)
        if self._step.scaler is None:
            losses = self._copies.losses
        elif overflow:
            self._step.scaler.update(scale / 2)
        seen = self._sensed(losses[0], losses[0], norms[0], math.nan, 0.0, losses)
        seen.factor = self.factor
        decision, self._rule_state = (self.rule or Watch()).update(self._rule_state, seen)
        if decision.accept:
            self._copies.advance(
                decision.copies or ((0, decision.step),), lambda rate: self._plain_update(rate * seen.factor)
            )
            self._made += 1
            self._taken = decision.step * seen.factor
        else:
            self._copies.forget()
            if len(decision.copies) == 1:
                self._copies.choose(decision.copies[0][0])
        self._trying = len(self._copies) > 0
        if not self._trying:
            self._follow()
        return self._moment(losses[0], self._rates.first if decision.accept else 0.0, decision)

    def _follow(self) -> None:
        """A trial is over: what was seen in it becomes part of the one memory, and its end a state to return to."""
        if self.watch is None:
            return
        state = self.watch.follow(self._watch_state, self._copies.past)
        self._variation.largest = self._copies.largest
        self._watch_state = state
        if state.usual.near and self._at_peak:
            # after the opening it is the best of several runs side by side: nothing proves a state better than that. A
            # later trial may have begun where the run had gone wrong already, and earlier states are worth keeping.
            self._watch_state = replace(state, since=max(state.since, PROBATION * self.watch.patience))
            self._snapshots.restart(self.updates + 1)
            self._keep(self.updates + 1, None)

    def _plain_update(self, rate: float) -> None:
        """One that neither the watch nor a scaler has a say in."""
        self._rates.write(rate, at_peak=self._at_peak)
        if self._step.clip is not None:
            self._step.cut()
        self._step.update_without_scaler()

    def _loss_scale(self) -> float:
        return 1.0 if self._step.scaler is None else self._step.scaler.get_scale()

    def _abandon(self) -> None:
        """A closure raised: nothing of this batch stays, and the exception goes to the caller."""
        self._parts = []
        self._variation.forget()
        self._measured = False
        if self._trying:
            self._copies.forget()
        else:
            self._step.leave_out()
        self._rates.settle()

    def _record(self, action: str, decision: Decision, seen: Sensed, **more: Any) -> None:
        rates = () if math.isnan(self._rates.first) else (self._rates.first,)
        self._log.add(Event(
            step=self.updates, action=action, kind=decision.kind, reason=decision.reason, loss=seen.loss,
            gradient_norm=seen.gradient_norm, factor=decision.step, rates=rates, **more,
        ))  # fmt: skip

    def _warn(self, turns: Turns, seen: Sensed) -> None:
        """Say it; the rate is that of the update just made."""
        rate = plain_rate(self.optimizers, self._rates.in_force)
        self._log.add(Event(
            step=self.updates, action="warn", kind="clipped oscillation", loss=seen.loss,
            gradient_norm=seen.gradient_norm, reason=describe(turns, self._watch_state.usual.level, rate),
            factor=self.factor, rates=self._rates.in_force, peak_to_peak=None if rate is None else rate * turns.cap,
        ))  # fmt: skip

    def _moment(self, loss: float, rate: float, decision: Decision) -> Moment:
        noise = decision.noise if math.isfinite(decision.noise) else self._watch_state.usual.typical
        return Moment(step=self.updates, loss=loss, rate=rate, limit=decision.limit, noise=noise, event=decision.reason)

    def _remember(self, moment: Moment, events: Sequence[Event]) -> None:
        """One moment for each update, with what happened at it."""
        if events:
            news = [str(event) for event in events]
            moment = replace(moment, event="; ".join([*news, *([moment.event] if moment.event else [])]))
        self._moments.append(moment)


def _refuse_lacking(rule: Rule) -> None:
    """A rule that needs what training cannot sense is refused before anything is done."""
    lacking = sorted(rule.needs - SENSED)
    if lacking:
        raise InvalidInput(
            f"{type(rule).__name__} needs {', '.join(lacking)}, which a training run cannot supply; it knows "
            f"{', '.join(sorted(SENSED))}"
        )


def _listed(thing: Any) -> list[Any]:
    return [] if thing is None else list(thing) if isinstance(thing, list | tuple) else [thing]
