"""A training run without a learning rate: measures, decides, steps, and is guarded."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import Decision, Rule
from surefoot.rules.training.observation import Course
from surefoot.training.guard import Event, Guard
from surefoot.training.guard.guard import PROBATION
from surefoot.training.loop.copies import Lanes
from surefoot.training.loop.group_rates import Rates
from surefoot.training.model.agreement import agreed, alone
from surefoot.training.pilot._history import Moment
from surefoot.training.pilot._instruments import Instruments
from surefoot.training.pilot._named import pilot_rule, refuse_foreign_steps
from surefoot.training.pilot._sensors import AVAILABLE, Senses, moved

__all__ = ["Pilot"]

# The last part of a run of known length is its cool-down.
COOL = 0.2
# What the guard goes back for that a rate can be blamed for.
BLAMED = frozenset({"jump", "lost ground", "vanished", "collapse", "broken state", "broken loss", "broken gradient"})
# What a rule reads of the last move.
LOOKING_BACK = frozenset({"displacement", "alignment", "arrival_slope", "arrival_curvature"})


class _Steered(Guard):
    """A guard that asks for a rate when an update has been found good."""

    def __init__(self, pilot: "Pilot", *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._pilot = pilot
        self._loss = math.nan

    def _judged(self, loss: float, norm: float, closure: Callable[[], Tensor] | None) -> bool:
        self._loss = loss
        return super()._judged(loss, norm, closure)

    def _update(self) -> None:
        self._pilot._steer(self._loss, super()._update)


class Pilot:
    """Trains with a rate that it finds, holds and anneals itself.

        pilot = Pilot(model, optimizer, total_steps=T)
        for batch in loader:
            value = pilot.step(lambda: loss(model, batch))

    At each update the guard judges the batch, the rule sees what the sensors see and decides the rate, the optimizer
    steps. The rates that the groups have at the start only say their ratios.

    Parameters
    ----------
    model : Module
    optimizer : Optimizer or sequence of Optimizer
    rule : str or Rule
        "auto"; "sharpness", "along-step"; a schedule or other rule of `surefoot.rules` by name ("cosine:0.1") or as an
        object, if it needs nothing that training cannot sense.
    total_steps : int, optional
        Calls of `step` in the run; the last 20% of it are the cool-down, beyond it the rate is 0. Without, the run
        goes on until `finish`.
    scheduler : scheduler or sequence of schedulers, optional
        Its rates then multiply the pilot's (relative to the first group's rate at the start); it sees its own only.
        You step it, as always. Without, the pilot's rates stand in the groups, and whatever else changes a group's lr
        between two updates multiplies that group's from then on.
    scaler, clip, accumulate, also, rng, keep, every, watch, measure, probe
        As in `Guard`; `watch` is its rule.

    Attributes
    ----------
    history : list of Moment
    guard : Guard
        What it did is in ``pilot.guard.explain()``.

    Raises
    ------
    InvalidType
        If an argument is of the wrong kind.
    InvalidInput
        If a rule is unknown or needs what training cannot sense, or a number is out of its range.

    Examples
    --------
    >>> import torch
    >>> from surefoot.training.pilot._pilot import Pilot
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Linear(2, 1)
    >>> pilot = Pilot(model, torch.optim.SGD(model.parameters(), lr=1e-9), total_steps=50)
    >>> x = torch.randn(64, 2)
    >>> for k in range(50):
    ...     value = pilot.step(lambda: (model(x) - x.sum(1, keepdim=True)).square().mean())
    >>> value < 1e-3
    True
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | Sequence[Optimizer],
        rule: str | Rule = "auto",
        total_steps: int | None = None,
        *,
        scheduler: Any = None,
        scaler: Any = None,
        clip: float | None = None,
        accumulate: int = 1,
        also: Iterable[Any] = (),
        rng: bool = False,
        keep: Any = "device",
        every: int | None = None,
        watch: Any = None,
        measure: bool = True,
        probe: Callable[[], Tensor] | None = None,
    ) -> None:
        if total_steps is not None and total_steps < 1:
            raise InvalidInput(f"total_steps must be at least 1; got {total_steps!r}; None if it is not known")
        self.rule = pilot_rule(rule, total_steps) if isinstance(rule, str) else rule
        if not isinstance(self.rule, Rule):
            raise InvalidType(f"rule must be a name or a Rule; got a {type(rule).__name__}")
        lacking = sorted(self.rule.needs - AVAILABLE)
        if lacking:
            raise InvalidInput(
                f"{type(self.rule).__name__} needs {', '.join(lacking)}, which a training run cannot supply; it knows "
                f"{', '.join(sorted(AVAILABLE))}"
            )
        self.guard: Guard = _Steered(
            self, model, optimizer, scheduler=scheduler, scaler=scaler, clip=clip, accumulate=accumulate, also=also,
            rng=rng, keep=keep, every=every, rule=watch, measure=measure, probe=probe,
        )  # fmt: skip
        refuse_foreign_steps(self.rule, self.guard.optimizers)
        self.model = model
        self._rates = Rates(self.guard.optimizers, shared=scheduler is not None)
        self._lanes = Lanes(model, self.guard.optimizers)
        self._scaler, self._clip, self._accumulate = scaler, clip, accumulate
        self._calls, self._parts = 0, 0
        self._end, self._cooling = math.inf, 0
        if total_steps is not None:
            self._end, self._cooling = total_steps, max(1, round(COOL * total_steps))
        self._state: Any = self.rule.init()
        self._made = 0
        self._taken = math.nan
        self._rescues = 0
        self._previous: list[Tensor] | None = None
        self._instruments = Instruments(self.guard, self._rates)
        self._moment: Moment | None = None
        self.history: list[Moment] = []

    def step(self, closure: Callable[[], Tensor]) -> float:
        """One batch: gradients to zero, the loss, backward, a rate, the update.

        Parameters
        ----------
        closure : callable
            () -> the loss, a scalar tensor. It only computes it; during trials it is called once for each rate.

        Returns
        -------
        float
            The loss.

        Raises
        ------
        Diverged
            After too many rescues in a row, with a diagnosis.
        InvalidType
            If the closure returns no scalar tensor.
        """
        self._instruments.closure, self._moment = closure, None
        before, events = self.guard.updates, len(self.guard.history)
        try:
            value = self._trial(closure) if len(self._lanes) else self.guard.step(closure)
        finally:
            self._instruments.closure = None
            self._rates.settle()
        self._calls += 1
        if self.guard.updates > before:
            self._record(before, value, self.guard.history[events:])
        return value

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
        if "remaining" not in self.rule.needs:
            raise InvalidInput(
                f"{type(self.rule).__name__} does not read what remains of the run; wrap it: "
                "surefoot.rules.Cooldown(rule=...)"
            )
        self._end, self._cooling = self._calls + steps, steps

    @property
    def rate(self) -> float:
        """The first group's rate of the last update; nan before the first."""
        return self._taken

    @property
    def remaining(self) -> float:
        """1 until the cool-down, then the part of it that is left."""
        left = self._end - self._calls
        return 1.0 if left > self._cooling else max(left, 0) / self._cooling

    @property
    def until_cooldown(self) -> float:
        """Updates before the cool-down begins; inf where nobody knows."""
        return max(self._end - self._cooling - self._calls, 0) / self._accumulate

    def explain(self) -> str:
        """Every event, one line each."""
        lines = [
            f"step {m.step}: {m.event}" if not m.event.startswith("step ") else m.event for m in self.history if m.event
        ]
        return "\n".join(lines)

    def state_dict(self) -> dict[str, Any]:
        """Numbers, strings, lists, dicts and tensors: ``torch.load(weights_only=True)`` reads them."""
        return {
            "guard": self.guard.state_dict(),
            "rule": self.rule.dump(self._state),
            "rates": self._rates.state_dict(),
            "calls": self._calls,
            "end": self._end,
            "cooling": self._cooling,
            "made": self._made,
            "taken": self._taken,
            "rescues": self._rescues,
            "lanes": self._lanes.state_dict(),
            "previous": None if self._previous is None else [p.clone() for p in self._previous],
            "tracker": self._instruments.state_dict(),
            "history": [moment.to_dict() for moment in self.history],
        }

    def load_state_dict(self, data: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken, bit for bit; load the model and the optimizer first.

        Raises
        ------
        InvalidInput
            If it is of another rule.
        """
        self._state = self.rule.load(data["rule"])
        self.guard.load_state_dict(data["guard"])
        self._rates.load_state_dict(data["rates"])
        self._calls, self._made, self._taken = data["calls"], data["made"], data["taken"]
        self._end, self._cooling = data["end"], data["cooling"]
        self._rescues, self._parts = data["rescues"], 0
        self._lanes.load_state_dict(data["lanes"])
        previous = data["previous"]
        parameters = self.guard._trained()
        self._previous = None
        if previous is not None:
            self._previous = [saved.to(p.device, copy=True) for saved, p in zip(previous, parameters, strict=True)]
        self._instruments.load_state_dict(data["tracker"])
        self.history = [Moment.from_dict(moment) for moment in data["history"]]

    def _steer(self, loss: float, update: Callable[[], None]) -> None:
        """Gradients are there and good: sense, decide, write the rate, update."""
        self._rates.read()
        decision = self._decide((loss,))
        course = decision if isinstance(decision, Course) else Course(step=decision.step)
        if not decision.accept:
            self.guard._stepper.leave_out()
            self._note(loss, course, 0.0)
            self._remember(course)
            return
        self._remember(course)
        self._taken = decision.step * self.guard.factor
        if len(course.lanes) > 1:
            self.guard._stepper.forget_scale()
            self._lanes.enter(loss, self.guard._listener.largest)
            self._lanes.advance(course.lanes, self._plain_update)
        else:
            self._rates.write(decision.step)
            update()
        self._made += 1
        self._note(loss, course, self._taken)

    def _remember(self, course: Course) -> None:
        """Keep the present point, for a rule that looks back from the next one."""
        watch = course.watch and not LOOKING_BACK.isdisjoint(self.rule.needs)
        self._previous = [p.detach().clone() for p in self.guard._trained()] if watch else None

    def _trial(self, closure: Callable[[], Tensor]) -> float:
        """A batch in every lane."""
        scale = 1.0 if self._scaler is None else self._scaler.get_scale()
        if self._parts == 0:
            self._rates.read()

        def evaluate() -> float:
            loss = closure()
            if not isinstance(loss, Tensor) or loss.numel() != 1:  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidType(f"the closure must return the loss, a tensor of one number; got {type(loss)}")
            (loss * (scale / self._accumulate)).backward()
            return float(loss.detach()) / self._accumulate

        try:
            value = self._lanes.sense(evaluate, fresh=self._parts == 0) * self._accumulate
        except BaseException:
            self._parts = 0
            self._lanes.forget()
            raise
        self._parts += 1
        if self._parts < self._accumulate:
            return value
        self._parts = 0
        self._unscale(scale)
        losses = self._lanes.losses
        if not alone():
            losses = tuple(agreed(losses, self.guard._trained()[0].device))
        decision = self._decide(losses)
        course = decision if isinstance(decision, Course) else Course(step=decision.step, accept=decision.accept)
        if decision.accept:
            self._lanes.advance(course.lanes or ((0, decision.step),), self._plain_update)
            self._made += 1
            if not self._lanes:
                self._vouch()
            self._taken = decision.step * self.guard.factor
        else:
            self._lanes.forget()
        self._note(losses[0], course, self._taken if decision.accept else 0.0)
        self.guard.updates += 1
        return value

    def _vouch(self) -> None:
        """Tell the guard that this state has stood a trial, and what was seen there: the rest is of no use."""
        guard = self.guard
        fresh = guard.rule.told(guard.rule.rewound(guard._state, guard.rule.init()), self._lanes.past)
        guard._state = replace(fresh, since=PROBATION * guard.rule.patience)
        guard._keeper.restart(guard.updates + 1)
        guard._keeper.take(guard.updates + 1, {"watch": guard.rule.dump(guard._state)}, None, probation=False)

    def _decide(self, losses: tuple[float, ...]) -> Decision:
        parameters = self.guard._trained()
        senses = Senses(
            iteration=self._made,
            step=self._taken,
            loss=losses[0],
            losses=losses,
            remaining=self.remaining,
            until_cooldown=self.until_cooldown,
            rescues=self._rescues,
            parameters=parameters,
            update=None if self._previous is None else moved(parameters, self._previous),
            instruments=self._instruments,
        )
        decision, self._state = self.rule.update(self._state, cast(Any, senses))
        return decision

    def _plain_update(self, rate: float) -> None:
        """One that neither the guard nor a scaler has a say in."""
        self._rates.write(rate)
        if self._clip is not None:
            torch.nn.utils.clip_grad_norm_(self.guard._trained(), self._clip)
        for optimizer in self.guard.optimizers:
            optimizer.step()

    def _unscale(self, scale: float) -> None:
        """Undo the loss scale in every lane; what overflowed is left out, or counts as not finite without a scaler."""
        overflows = 0
        for lane in self._lanes.lanes:
            found = [g for g in lane.gradients or [] if g is not None]
            if scale != 1.0:
                for g in found:
                    g.mul_(1 / scale)
            norm = norm_of(found)
            lane.past += ((lane.loss, norm),)
            if not math.isfinite(norm):
                overflows += 1
                lane.gradients = None
                if self._scaler is None:
                    lane.loss = math.nan
        if self._scaler is not None and overflows == len(self._lanes):
            self._scaler.update(scale / 2)

    def _note(self, loss: float, course: Course, rate: float) -> None:
        self._moment = Moment(
            step=self.guard.updates, loss=loss, rate=rate * self._rates.first, limit=course.limit,
            noise=course.noise if math.isfinite(course.noise) else self.guard._state.typical, event=course.reason,
        )  # fmt: skip

    def _record(self, step: int, loss: float, events: Sequence[Event]) -> None:
        for event in events:
            if event.action == "back":
                self._rescues += event.kind in BLAMED
                self._previous = None
        moment = self._moment or Moment(step=step, loss=loss, rate=0.0)
        news = [str(event) for event in events]
        if news:
            moment = replace(moment, event="; ".join([*news, *([moment.event] if moment.event else [])]))
        self.history.append(moment)


def norm_of(gradients: Sequence[Tensor]) -> float:
    """Of all of them together; not finite if any entry is not."""
    return float(torch.stack([torch.linalg.vector_norm(g) for g in gradients]).norm()) if gradients else 0.0
