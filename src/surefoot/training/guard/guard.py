"""A training run that does not blow up: senses, undoes, brakes, goes on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import Diverged, InvalidInput, InvalidType
from surefoot.rules import Watch
from surefoot.rules.training.watch import Verdict, WatchState
from surefoot.training.guard._clipped_oscillation import Swing, Turns, plain_rate, told
from surefoot.training.guard._history import Event, Log, diagnosis
from surefoot.training.guard._sharpness import Sharpness, measured
from surefoot.training.loop import SnapshotCost
from surefoot.training.loop.rates import RateBrake
from surefoot.training.loop.rollback import Keeper
from surefoot.training.loop.update import Stepper, as_optimizers
from surefoot.training.model.agreement import agreed, alone, everywhere, gradient_norm
from surefoot.training.model.output_variation import Listener
from surefoot.training.model.snapshot import Subject

__all__ = ["Guard"]

# On probation, after the start and after each return, for so many times the rule's patience.
PROBATION = 10
# Updates without an event, the mean loss down again: recovered.
QUIET = 10


class _Sight:
    """What the rule may ask about this update; soundness is looked up only if it does."""

    __slots__ = ("_guard", "gradient_norm", "hearing", "loss")

    def __init__(self, guard: "Guard", loss: float, norm: float, hearing: float) -> None:
        self._guard, self.loss, self.gradient_norm, self.hearing = guard, loss, norm, hearing

    @property
    def sound(self) -> bool:
        return self._guard._sound()


class Guard:
    """Steps an optimizer, and takes back what goes wrong.

        guard = Guard(model, optimizer)
        for batch in loader:
            value = guard.step(lambda: loss(model, batch))

    Each update is judged by the rule `Watch` before it is made. A batch whose loss or gradient is not finite,
    or far outside the run's own band, is left out. If the state is to blame (it is not finite itself, the next
    batch is as bad, the mean loss lost ground, the gradient vanished, the model answers the same whatever it
    is asked) the last good state comes back, bit for bit, and the rates are shrunk while the optimizer steps;
    they grow back. For 200 updates (10 times the rule's patience) after the start and after each return, what the
    run reaches has not proved good: failing again in that time takes it back to where it began. After a number of
    rescues in a row `Diverged` is raised, with a diagnosis, at the last good state. Where it does not intervene the
    run is bitwise the unguarded one.

    Parameters
    ----------
    model : Module
        Compiled and DistributedDataParallel ones too; with several processes all ranks decide alike.
    optimizer : Optimizer or sequence of Optimizer
        All step together. Not those whose step needs a closure (LBFGS).
    scheduler : scheduler or sequence of schedulers, optional
        Goes back with the rest. You step it, as always; it never sees the brake's factor. Left out, it keeps
        counting batches.
    scaler : torch.amp.GradScaler, optional
        Scaling, unscaling and its update are done here. Its own skipped steps are not interventions.
    clip : float, optional
        Largest gradient norm, as ``clip_grad_norm_``. A rate above the limit, whose divergence the clip hides, is then
        told (the history's action "warn"); nothing is done about it.
    accumulate : int
        Calls of `step` that make one update, each loss divided by it.
    also : sequence
        Anything else with state_dict and load_state_dict that has to go back too: averages of the weights.
    rng : bool
        Whether random states go back: the same dropout masks again.
    keep : "device", "cpu" or Path
        Where the two snapshots are.
    every : int, optional
        Updates between snapshots; by default 1% of those made so far, between 10 and 100.
    rule : Watch
        The thresholds.
    measure : bool
        Whether to measure the sharpness at a rescue (some ten to a hundred gradients' time).
    probe : callable, optional
        () -> loss, what the sharpness is measured on; by default the batch at hand.

    Attributes
    ----------
    history : list of Event
    updates : int
        Updates judged so far.

    Raises
    ------
    InvalidType
        If an argument is of the wrong kind.
    InvalidInput
        If a number is out of its range, or the optimizers train nothing.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.guard.guard import Guard
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(2, 1)
    >>> guard = Guard(model, torch.optim.SGD(model.parameters(), lr=0.1))
    >>> x, y = torch.randn(8, 2), torch.zeros(8, 1)
    >>> for k in range(20):
    ...     bad = torch.full_like(x, float("nan")) if k == 12 else x
    ...     value = guard.step(lambda: torch.nn.functional.mse_loss(model(bad), y))
    >>> print(guard.explain())
    step 12: the loss is not finite; batch left out; recovered by step 13
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        *,
        scheduler: Any = None,
        scaler: Any = None,
        clip: float | None = None,
        accumulate: int = 1,
        also: Iterable[Any] = (),
        rng: bool = False,
        keep: Any = "device",
        every: int | None = None,
        rule: Watch | None = None,
        measure: bool = True,
        probe: Callable[[], Tensor] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InvalidType(f"model must be a torch.nn.Module; got a {type(model).__name__}")
        self.model = model
        self.optimizers = as_optimizers(optimizer)
        self.rule = Watch() if rule is None else rule
        if not isinstance(self.rule, Watch):
            raise InvalidType(f"rule must be a Watch; got a {type(self.rule).__name__}")
        if clip is not None and not clip > 0:
            raise InvalidInput(f"clip is the largest gradient norm, > 0; got {clip!r}; None for no clipping")
        if accumulate < 1 or (every is not None and every < 1):
            raise InvalidInput(f"accumulate and every must be at least 1; got {accumulate!r} and {every!r}")
        stateful = [*_listed(scheduler), *([] if scaler is None else [scaler]), *also]
        for thing in stateful:
            if not hasattr(thing, "state_dict") or not hasattr(thing, "load_state_dict"):
                raise InvalidType(f"a {type(thing).__name__} has no state_dict and load_state_dict, so no way back")
        self._accumulate, self._measure, self._probe = accumulate, measure, probe
        self._stepper = Stepper(model, self.optimizers, scaler, clip)
        self._keeper = Keeper(Subject(model, self.optimizers, stateful, rng), keep, every)
        self._brake = RateBrake(self.optimizers)
        self._listener = Listener(model)
        self._log = Log()
        self._swing = None if clip is None else Swing(clip)
        self._state: WatchState = self.rule.init()
        self._micro: list[float] = []
        self.updates = 0

    def step(self, closure: Callable[[], Tensor]) -> float:
        """One batch: zero the gradients, compute the loss, go backward, update, or rescue.

        Parameters
        ----------
        closure : callable
            () -> the loss, a scalar tensor. It only computes it.

        Returns
        -------
        float
            The loss, as it was, finite or not.

        Raises
        ------
        Diverged
            After too many rescues in a row.
        InvalidType
            If the closure returns no scalar tensor.
        """
        if not self._micro:
            self._brake.settle()
            self._stepper.begin()
            self._listen()
        try:
            loss = closure()
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                raise InvalidType(f"the closure must return the loss, a tensor of one number; got {_described(loss)}")
            self._stepper.backward(loss / self._accumulate if self._accumulate > 1 else loss)
        except BaseException:
            self._abandon()
            raise
        value = loss.item()
        self._micro.append(value)
        if len(self._micro) < self._accumulate:
            return value
        mean = sum(self._micro) / self._accumulate
        self._micro = []
        norm = self._stepper.finish()
        if self._judged(mean, norm, closure):
            # before the update, since optimizers may change gradients in place
            turns = self._swing and self._swing.see(self.updates, norm, self._state.level, self._trained())
            self._update()
            if turns:
                self._warn(turns, mean, norm)
        self.updates += 1
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
            After too many rescues in a row.
        """
        value = float(loss.detach()) if isinstance(loss, Tensor) else float(loss)
        self._brake.settle()
        go = self._judged(value, gradient_norm(self._trained()), self._probe)
        self.updates += 1
        self._listen()
        return go

    def explain(self) -> str:
        """What happened, why, and what was done about it; one line for each event."""
        return str(self._log)

    @property
    def history(self) -> list[Event]:
        """What it did and what it has to say, oldest first."""
        return self._log.events

    @property
    def factor(self) -> float:
        """What the rates are multiplied by while the optimizer steps: 1 unless the brake is on."""
        return self._brake.factor

    @property
    def cost(self) -> SnapshotCost:
        """What the snapshots cost."""
        return self._keeper.cost

    def state_dict(self) -> dict[str, Any]:
        """Plain values: counters, the rule's state and the history.

        After loading, snapshots are taken anew and gradients compared anew: a warning in the making may come up to
        20 updates later.
        """
        return {
            "updates": self.updates,
            "watch": self.rule.dump(self._state),
            "factor": self._brake.factor,
            "heard": self._listener.largest,
            "swing": self._swing and self._swing.state_dict(),
            **self._log.to_dict(),
        }

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; load the model and the optimizer first.

        Raises
        ------
        InvalidInput
            If it is of another rule.
        """
        self._state = self.rule.load(data["watch"])
        self.updates = data["updates"]
        self._brake.set(data["factor"])
        self._listener.largest = data["heard"]
        self._log.load(data)
        if self._swing is not None and data.get("swing") is not None:
            self._swing.load_state_dict(data["swing"])
        self._keeper.restart(self.updates)
        self._micro = []

    def recover(self) -> int | None:
        """After a crash: the newest complete snapshot of the directory given as `keep`, put back.

        Returns
        -------
        int or None
            The updates made before it, where the loop goes on; None, and nothing changed, if there is none.

        Raises
        ------
        InvalidInput
            If snapshots are not kept in a directory.
        """
        found = self._keeper.recover()
        if found is None:
            return None
        self._state = self.rule.load(found.note["watch"])
        self._brake.set(self._state.brake.factor)
        self.updates = found.step
        return found.step

    def _listen(self) -> None:
        """Before a forward pass whose state may be kept, or whose last answer was no answer."""
        if self._keeper.due(self.updates) or self._state.deaf:
            self._listener.arm()

    def _abandon(self) -> None:
        """A closure raised: nothing of this batch stays, and the exception goes to the caller."""
        self._micro = []
        self._listener.forget()
        self._stepper.leave_out()

    def _judged(self, loss: float, norm: float, closure: Callable[[], Tensor] | None) -> bool:
        """Sense, decide, act; whether the update is to be made."""
        hearing = self._listener.heard()
        if not alone():
            loss, norm, hearing = agreed((loss, norm, hearing), self._keeper.subject.device)
        if self._stepper.overflowed(loss, norm):
            return True
        before = self._state
        verdict, self._state = self.rule.update(before, _Sight(self, loss, norm, hearing))
        if verdict.accept:
            self._accept(verdict, loss, norm)
            return True
        rates = self._brake.rates
        self._stepper.leave_out()
        if verdict.action == "skip":
            self._record(verdict, loss, norm, rates=rates)
        else:
            self._return(verdict, before, loss, norm, rates, closure)
        return False

    def _accept(self, verdict: Verdict, loss: float, norm: float) -> None:
        """The factor, the log and, where it is time and the state is good, a snapshot."""
        if verdict.step != self._brake.factor:
            self._brake.set(verdict.step)
        if verdict.kind:
            self._record(verdict, loss, norm)
        state = self._state
        if self._log.pending:
            down = state.since >= QUIET and state.level - state.best <= max(state.spread, 0.0)
            self._log.close(self.updates, down=down)
        if verdict.good and self._keeper.due(self.updates):
            note = {"watch": self.rule.dump(state)}
            trouble = self._keeper.take(self.updates, note, self._stepper.before, probation=self._on_probation(state))
            if trouble:
                self._log.remark(self.updates, "snapshot", trouble)

    def _return(
        self,
        verdict: Verdict,
        before: WatchState,
        loss: float,
        norm: float,
        rates: tuple[float, ...],
        closure: Callable[[], Tensor] | None,
    ) -> None:
        """Back to the last good state, brake on; the end if the rule says so."""
        again = before.rescues > 0 and self._on_probation(before)
        sure = verdict.kind == "broken state"
        step = self._keeper.target(self.updates, sure=sure, probation=again, doubts=self.rule.doubts)
        undone = 0
        if step is not None:
            note = self._keeper.restore(step, self.updates)
            self._state = self.rule.rewound(self._state, self.rule.load(note["watch"]))
            undone = self.updates - step
        self._listener.forget()
        self._brake.set(verdict.step)
        over = verdict.action == "stop"
        sharpness = None if over else self._sharpness(closure, rates)
        self._record(verdict, loss, norm, undone=undone, rates=rates, sharpness=sharpness)
        if over:
            self._brake.release()
            raise Diverged(diagnosis(self.history, self._state.rescues - 1), self.history)

    def _on_probation(self, state: WatchState) -> bool:
        """Whether the start or the last return is too near to trust what was reached since."""
        return state.since < PROBATION * self.rule.patience

    def _sharpness(self, closure: Callable[[], Tensor] | None, rates: tuple[float, ...]) -> Sharpness | None:
        closure = self._probe or closure
        if not self._measure or closure is None or not rates or not alone():
            return None
        return measured(self.model, closure, self.optimizers[0], rates[0])

    def _sound(self) -> bool:
        return everywhere(self._keeper.subject.sound, self._keeper.subject.device)

    def _record(self, verdict: Verdict, loss: float, norm: float, **more: Any) -> None:
        self._log.add(Event(
            step=self.updates, action=verdict.action, kind=verdict.kind, reason=verdict.reason, loss=loss,
            gradient_norm=norm, factor=verdict.step, **more,
        ))  # fmt: skip

    def _warn(self, turns: Turns, loss: float, norm: float) -> None:
        """Say it; the rates are those of the update just made."""
        rates = self._brake.rates
        rate = plain_rate(self.optimizers, rates)
        self._log.add(Event(
            step=self.updates, action="warn", kind="clipped oscillation", loss=loss, gradient_norm=norm,
            reason=told(turns, self._state.level, rate), factor=self._brake.factor, rates=rates,
            swing=None if rate is None else rate * turns.cap,
        ))  # fmt: skip

    def _update(self) -> None:
        self._stepper.update()

    def _trained(self) -> list[Tensor]:
        return self._stepper.parameters


def _listed(thing: Any) -> list[Any]:
    return [] if thing is None else list(thing) if isinstance(thing, list | tuple) else [thing]


def _described(loss: Any) -> str:
    return f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
