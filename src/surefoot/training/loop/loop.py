"""One loop that owns a training run: it measures, asks its rules, and acts once."""

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.checks import Count, Positive, checked
from surefoot.errors import InvalidInput, InvalidType, first_line
from surefoot.rules import Rule, Watch
from surefoot.training.loop._history import Event, Moment
from surefoot.training.loop._judge import Judge
from surefoot.training.loop._sensors import SENSED
from surefoot.training.loop._updates import Updates
from surefoot.training.loop.group_rates import Rates
from surefoot.training.loop.snapshots import SnapshotCost, Snapshots
from surefoot.training.loop.training_step import TrainingStep, as_optimizers
from surefoot.training.model.agreement import common_name
from surefoot.training.model.snapshot import Subject

__all__ = ["Loop"]

# The last part of a run of known length is its cool-down. Hagele et al. (2024) found 20% as good as a cosine over all.
COOL = 0.2
FORMAT = 3


@checked
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
        clip: Positive | None = None,
        accumulate: Count = 1,
        also: Iterable[Any] = (),
        random_states: bool = False,
        keep: Any = "device",
        every: Count | None = None,
        measure: bool = True,
        probe: Callable[[], Tensor] | None = None,
        total_steps: Count | None = None,
    ) -> None:
        optimizers = as_optimizers(optimizer)
        if rule is not None:
            _refuse_lacking(rule)
        stateful = [*_listed(scheduler), *([] if scaler is None else [scaler]), *also]
        for thing in stateful:
            if not hasattr(thing, "state_dict") or not hasattr(thing, "load_state_dict"):
                raise InvalidType(f"a {type(thing).__name__} has no state_dict and load_state_dict, so no way back")
        self.model, self.optimizers = model, optimizers
        self._run = common_name(uuid.uuid4().hex[:12])
        self._judge = Judge(watch, rule)
        self._rates = Rates(optimizers, driven=rule is not None, named=scheduler is not None)
        self._snapshots = Snapshots(Subject(model, optimizers, stateful, random_states), keep, every, self._run)
        training_step = TrainingStep(model, optimizers, scaler, clip, accumulate)
        self._updates = Updates(training_step, self._judge, self._rates, self._snapshots, probe, measure)
        if total_steps is not None:
            self._updates.end, self._updates.cooling = total_steps, max(1, round(COOL * total_steps))

    def step(self, closure: Callable[[], Tensor], weight: float = 1.0) -> Tensor:
        """One batch: zero the gradients, compute the loss, go backward, and update, leave it out or go back.

        Parameters
        ----------
        closure : callable
            () -> the loss, a scalar tensor. It only computes it; during trials it is called once for each copy, and
            when a batch is compared with an earlier state once more.
        weight : float
            Weight of this batch among the `accumulate` that make an update: its number of samples, where they differ.

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
        return self._updates.add(closure, weight)

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
        return self._updates.observe(loss.detach() if isinstance(loss, Tensor) else torch.tensor(float(loss)))

    @checked
    def finish(self, steps: Count) -> None:
        """Cool down to zero over so many more calls of `step`, from the rate in force.

        Parameters
        ----------
        steps : int

        Raises
        ------
        InvalidInput
            If it is not positive, or the rule does not heed it.
        """
        if self.rule is None or "remaining" not in self.rule.needs:
            raise InvalidInput(
                f"{type(self.rule).__name__} does not read what remains of the run; wrap it: "
                "surefoot.rules.Cooldown(rule=...)"
            )
        self._updates.end, self._updates.cooling = self._updates.calls + steps, steps

    @property
    def rule(self) -> Rule | None:
        """What decides the rate; None if the user does."""
        return self._judge.rule

    @property
    def rule_state(self) -> Any:
        """The state of the rule for the rate; None where there is no rule."""
        return self._judge.rule_state

    @property
    def updates(self) -> int:
        """Updates judged so far."""
        return self._updates.count

    @property
    def events(self) -> list[Event]:
        """What was done beyond plain updates, and what there is to say, oldest first."""
        self._updates.settle()
        return self._updates.log.events

    @property
    def known_events(self) -> list[Event]:
        """`events` so far as they are known without waiting for the device."""
        return self._updates.log.events

    def settle(self) -> None:
        """Wait for the device, and judge what it has taken alone."""
        self._updates.settle()

    @property
    def moments(self) -> list[Moment]:
        """Each update, if a rule decides the rate, oldest first."""
        return self._updates.moments

    def explain(self) -> str:
        """What happened, why, and what was done about it; one line for each event."""
        if self.rule is None:
            self._updates.settle()
            return str(self._updates.log)
        told = [moment for moment in self.moments if moment.event]
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
        self._updates.copies.end()
        self._judge.drive(rule)
        if why:
            self._updates.to_say = why

    @property
    def rate(self) -> float:
        """The rate of the last update: what the rule decided, times the factor; nan before the first."""
        return self._updates.taken

    @property
    def factor(self) -> float:
        """What the watch multiplies the rates by: 1 unless the brake is on."""
        self._updates.settle()
        return self._judge.state.factor

    @property
    def cost(self) -> SnapshotCost:
        """What the snapshots cost."""
        return self._snapshots.cost

    def state_dict(self) -> dict[str, Any]:
        """Numbers, strings, lists, dicts and sometimes tensors: ``torch.load(weights_only=True)`` reads them.

        Tensors are in it in a trial, the copies, and while the state has not proved good: in the first 200 updates, as
        many after a return, and where something has begun to go wrong. Then the snapshots are in it too, so that a run
        that is loaded can still go back. Otherwise one is taken anew after loading.

        A long history is thinned, so that it stays below 100 kB beside the tensors. Clipped gradients are compared
        anew: a warning in the making may come up to 20 updates later.
        """
        return {
            "format": FORMAT,
            "run": self._run,
            "structure": self._snapshots.subject.structure,
            **self._updates.state_dict(),
        }

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, bit for bit; load the model and the optimizer first.

        Raises
        ------
        InvalidInput
            If it is of another rule, model or optimizer, or damaged; nothing is changed then.
        """
        try:
            if data["format"] != FORMAT:
                raise InvalidInput(f"the state has format {data['format']!r}; this version reads {FORMAT}")
            self._snapshots.subject.check(data["structure"])
            run, adopt = str(data["run"]), self._updates.parse(data)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                f"the state cannot be read ({type(error).__name__}: {first_line(error)}); nothing was changed; "
                "give what state_dict() returned"
            ) from error
        adopt()
        self._run = run

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
        recovered = self._snapshots.recover(run)
        if recovered is None:
            return None
        self._run, snapshot = recovered
        now, note = self._updates, snapshot.note
        self._judge.parse(note)()
        self._rates.parse(note)()
        now.calls, now.made, now.count = note["calls"], note["made"], snapshot.step
        now.forget()
        return snapshot.step


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
