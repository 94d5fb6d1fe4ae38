"""A training run that does not blow up: senses, undoes, brakes, goes on."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules._watch import Verdict, Watch, WatchState
from surefoot.training._collapse import Listener
from surefoot.training._guard_brake import RateBrake
from surefoot.training._guard_history import Diverged, Event, diagnosis, explained
from surefoot.training._guard_sensors import agreed, alone, gradient_norm
from surefoot.training._guard_sharpness import Sharpness, measured
from surefoot.training._guard_shelf import DirectoryShelf, Shelf, latest, shelf_for
from surefoot.training._snapshot import Subject

__all__ = ["Guard", "SnapshotCost"]

# Snapshots come each 1% of the run so far, between these bounds: what a return can cost, beside what keeping costs.
SHARE, LEAST_EVERY, MOST_EVERY = 0.01, 10, 100
# A snapshot is trusted to lie before the trouble when so many updates went well after it.
PROVED = 3
# For this many times the rule's patience after a return the older snapshot stays, whatever comes.
PROBATION = 2
# Updates without an event, the mean loss down again: recovered.
QUIET = 10
# Overflows in a row that a GradScaler may take for a loss scale too high (2^16 down to below 1).
OVERFLOWS = 20


@dataclass(frozen=True, slots=True)
class SnapshotCost:
    """What the snapshots have cost so far: how many, their seconds in all, the bytes held now."""

    snapshots: int
    seconds: float
    bytes: int


class _Sight:
    """What the rule may ask about this update; soundness is looked up only if it does."""

    __slots__ = ("_guard", "collapsed", "gradient_norm", "loss")

    def __init__(self, guard: "Guard", loss: float, norm: float, collapsed: bool) -> None:
        self._guard, self.loss, self.gradient_norm, self.collapsed = guard, loss, norm, collapsed

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
    they grow back. After a number of rescues in a row `Diverged` is raised, with a diagnosis, at the last good
    state. Where it does not intervene the run is bitwise the unguarded one.

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
        Largest gradient norm, as ``clip_grad_norm_``.
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
    >>> from surefoot.training import Guard
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
        self.optimizers = _optimizers(optimizer)
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
        self._scaler, self._clip, self._accumulate, self._every = scaler, clip, accumulate, every
        self._measure, self._probe = measure, probe
        self._subject = Subject(model, self.optimizers, stateful, rng)
        self._shelf: Shelf = shelf_for(keep)
        self._brake = RateBrake(self.optimizers)
        self._listener = Listener(model)
        self._parameters: list[Tensor] = []
        self._buffers = self._subject.buffers()
        self._before: list[Tensor] | None = None
        self._state: WatchState = self.rule.init()
        self.history: list[Event] = []
        self.updates = 0
        self._next = 0
        self._open: list[int] = []
        self._micro: list[float] = []
        self._overflows = 0
        self._unscaled = False
        self._snapshots, self._seconds = 0, 0.0

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
            self._begin()
        try:
            loss = closure()
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                raise InvalidType(f"the closure must return the loss, a tensor of one number; got {_described(loss)}")
            share = loss / self._accumulate if self._accumulate > 1 else loss
            (share if self._scaler is None else self._scaler.scale(share)).backward()
        except BaseException:
            self._abandon()
            raise
        value = float(loss.detach())
        self._micro.append(value)
        if len(self._micro) < self._accumulate:
            return value
        mean = sum(self._micro) / self._accumulate
        self._micro = []
        if self._scaler is not None:
            for optimizer in self.optimizers:
                self._scaler.unscale_(optimizer)
            self._unscaled = True
        if self._clip is None:
            norm = gradient_norm(self._trained())
        else:
            norm = float(torch.nn.utils.clip_grad_norm_(self._trained(), self._clip))
        if self._judged(mean, norm, closure):
            self._update()
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
        if self._due():
            self._listener.arm()
        return go

    def explain(self) -> str:
        """What happened, why, and what was done about it; one line for each event."""
        return explained(self.history)

    @property
    def factor(self) -> float:
        """What the rates are multiplied by while the optimizer steps: 1 unless the brake is on."""
        return self._brake.factor

    @property
    def cost(self) -> SnapshotCost:
        """What the snapshots cost."""
        return SnapshotCost(self._snapshots, self._seconds, self._shelf.bytes)

    def state_dict(self) -> dict[str, Any]:
        """Plain values: counters, the rule's state and the history. Snapshots are taken anew after loading."""
        return {
            "updates": self.updates,
            "watch": self.rule.dump(self._state),
            "factor": self._brake.factor,
            "heard": self._listener.largest,
            "open": list(self._open),
            "history": [event.to_dict() for event in self.history],
        }

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; load the model and the optimizer first.

        Raises
        ------
        InvalidInput
            If it is of another rule.
        """
        self._state = self.rule.load(data["watch"])
        self.updates, self._next = data["updates"], data["updates"]
        self._brake.set(data["factor"])
        self._listener.largest = data["heard"]
        self._open = list(data["open"])
        self.history = [Event.from_dict(event) for event in data["history"]]
        self._shelf.clear()
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
        if not isinstance(self._shelf, DirectoryShelf):
            raise InvalidInput("snapshots in memory do not outlive the process; keep them in one: keep=Path(...)")
        found = latest(self._shelf.path)
        if found is None:
            return None
        self._subject.restore(found)
        self._state = self.rule.load(found.note["watch"])
        self._brake.set(self._state.brake.factor)
        self.updates = self._next = found.step
        return found.step

    def _begin(self) -> None:
        self._brake.settle()
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        if self._before is not None:
            for kept, buffer in zip(self._before, self._buffers, strict=True):
                kept.copy_(buffer)
        elif self._buffers:
            self._before = [buffer.detach().clone() for buffer in self._buffers]
        if self._due():
            self._listener.arm()

    def _due(self) -> bool:
        return self.updates >= self._next or self._listener.suspicious

    def _abandon(self) -> None:
        """A closure raised: nothing of this batch stays, and the exception goes to the caller."""
        self._micro = []
        self._listener.forget()
        self._leave_out()

    def _leave_out(self) -> None:
        """Forget the batch: gradients, and what its forward passes did to the buffers."""
        if self._before is not None:
            with torch.no_grad():
                for buffer, value in zip(self._buffers, self._before, strict=True):
                    buffer.copy_(value)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _judged(self, loss: float, norm: float, closure: Callable[[], Tensor] | None) -> bool:
        """Sense, decide, act; whether the update is to be made."""
        self._listener.conclude()
        deaf, doubtful = float(self._listener.collapsed), float(self._listener.doubtful)
        if not alone():
            loss, norm, deaf, doubtful = agreed((loss, norm, deaf, doubtful), self._trained()[0].device)
        if self._overflowed(loss, norm):
            return True
        before = self._state
        verdict, self._state = self.rule.update(self._state, _Sight(self, loss, norm, deaf > 0))
        if verdict.step != self._brake.factor and verdict.accept:
            self._brake.set(verdict.step)
        if verdict.accept:
            if verdict.kind:
                self._log(verdict, loss, norm)
            self._close(self.updates)
            if verdict.good and not doubtful and self.updates >= self._next:
                self._keep()
            return True
        rates = self._brake.rates
        if verdict.action == "skip":
            self._leave_out()
            self._reset_scaler()
            self._log(verdict, loss, norm, rates=rates)
            return False
        self._return(verdict, before, loss, norm, rates, closure)
        return False

    def _overflowed(self, loss: float, norm: float) -> bool:
        """Whether a GradScaler will deal with it: a finite loss, a gradient scaled too high."""
        enabled = self._scaler is not None and self._scaler.is_enabled()
        if not enabled or norm - norm == 0 or loss - loss != 0:
            self._overflows = 0
            return False
        self._overflows += 1
        return self._overflows <= OVERFLOWS

    def _update(self) -> None:
        if self._scaler is None:
            for optimizer in self.optimizers:
                optimizer.step()
            return
        for optimizer in self.optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()
        self._unscaled = False

    def _keep(self) -> None:
        began = time.perf_counter()
        try:
            note = {"watch": self.rule.dump(self._state)}
            taken = self._shelf.put(self._subject, self.updates, note, self._before, newest=self._on_probation)
        except OSError as error:
            reason = f"no snapshot could be written ({error}); the one before it stays"
            self._note("snapshot", reason)
            taken = True
        self._seconds += time.perf_counter() - began
        self._snapshots += taken
        self._next = self.updates + (self._every or min(max(int(SHARE * self.updates), LEAST_EVERY), MOST_EVERY))

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
        self._leave_out()
        step = self._target(verdict, before)
        undone = 0
        if step is not None:
            snapshot = self._shelf.get(step)
            self._subject.restore(snapshot)
            self._state = self.rule.rewound(self._state, self.rule.load(snapshot.note["watch"]))
            undone = self.updates - step
        self._listener.forget()
        self._reset_scaler()
        self._brake.set(verdict.step)
        self._next = self.updates + 1 + PROVED
        sharpness = None if verdict.action == "stop" else self._sharpness(closure, rates)
        self._log(verdict, loss, norm, undone=undone, rates=rates, sharpness=sharpness)
        if verdict.action == "stop":
            self._brake.release()
            raise Diverged(diagnosis(self.history, self._state.rescues - 1), self.history)

    def _target(self, verdict: Verdict, before: WatchState) -> int | None:
        """Which snapshot: the newest, or the one before it if the trouble may have begun there."""
        steps = self._shelf.steps
        if len(steps) < 2 or verdict.kind == "broken state":
            return steps[-1] if steps else None
        again = before.rescues > 0 and before.since < PROBATION * self.rule.patience
        proved = self.updates - steps[-1] >= PROVED + self.rule.doubts
        return steps[-1] if proved and not again else steps[0]

    @property
    def _on_probation(self) -> bool:
        """Whether the last rescue is too near to give up the state it came from."""
        return self._state.rescues > 0 and self._state.since < PROBATION * self.rule.patience

    def _reset_scaler(self) -> None:
        """Let the scaler forget a batch that is not stepped on, without taking it for an overflow."""
        if self._unscaled and self._scaler is not None:
            self._unscaled = False
            kept = self._scaler.state_dict()
            self._scaler.update()
            self._scaler.load_state_dict(kept)

    def _sharpness(self, closure: Callable[[], Tensor] | None, rates: tuple[float, ...]) -> Sharpness | None:
        closure = self._probe or closure
        if not self._measure or closure is None or not rates or not alone():
            return None
        return measured(self.model, closure, self.optimizers[0], rates[0])

    def _sound(self) -> bool:
        sound = self._subject.sound
        return sound if alone() else agreed((float(sound),), self._trained()[0].device)[0] == 1

    def _log(self, verdict: Verdict, loss: float, norm: float, **more: Any) -> None:
        event = Event(
            step=self.updates, action=verdict.action, kind=verdict.kind, reason=verdict.reason, loss=loss,
            gradient_norm=norm, factor=verdict.step, **more,
        )  # fmt: skip
        if verdict.action in ("skip", "back"):
            self._open.append(len(self.history))
        self.history.append(event)

    def _note(self, kind: str, reason: str) -> None:
        last = self.history[-1] if self.history else None
        if last is None or last.reason != reason:
            nan = float("nan")
            event = Event(step=self.updates, action="note", kind=kind, reason=reason, loss=nan, gradient_norm=nan)
            self.history.append(event)

    def _close(self, step: int) -> None:
        """Events that the run has recovered from."""
        if not self._open:
            return
        state = self._state
        down = state.level - state.best <= max(state.spread, 0.0)
        for i in list(self._open):
            event = self.history[i]
            if event.action == "skip" or (state.since >= QUIET and down):
                self.history[i] = replace(event, recovered=step)
                self._open.remove(i)

    def _trained(self) -> list[Tensor]:
        groups = [group["params"] for optimizer in self.optimizers for group in optimizer.param_groups]
        if sum(len(group) for group in groups) != len(self._parameters):
            self._parameters = [p for group in groups for p in group]
        return self._parameters


def _optimizers(optimizer: Any) -> tuple[Optimizer, ...]:
    found = tuple(cast("Iterable[Any]", optimizer)) if isinstance(optimizer, list | tuple) else (optimizer,)
    for one in found:
        if not isinstance(one, Optimizer):
            raise InvalidType(f"optimizer must be a torch.optim.Optimizer, or several; got a {type(one).__name__}")
        if isinstance(one, torch.optim.LBFGS):
            raise InvalidType("LBFGS evaluates the loss many times inside one step, so a guard has no say in it")
    if not found:
        raise InvalidInput("no optimizer was given; pass at least one")
    return found


def _listed(thing: Any) -> list[Any]:
    return [] if thing is None else list(thing) if isinstance(thing, list | tuple) else [thing]


def _described(loss: Any) -> str:
    return f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
