"""What a guard did, and why: events that explain themselves, and the diagnosis it gives up with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from surefoot.records import Record, key
from surefoot.training.guard._sharpness import Sharpness

__all__ = ["Event", "Log", "diagnosis"]

NOTHING_HAPPENED = "nothing happened: every update was taken as the optimizer made it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """One intervention, or something the guard has to say.

    Parameters
    ----------
    step : int
        The update at which it happened, counted from 0 over the guard's life.
    action : "skip", "back", "stop", "go", "warn" or "note"
        Batch left out; returned to the last good state; gave up; went on with a remark; a warning, nothing done;
        a remark.
    kind : str
        Which sense spoke: "broken loss", "broken gradient", "broken state", "jump", "lost ground", "vanished",
        "collapse", "new data", "clipped oscillation", "snapshot".
    reason : str
        For a person.
    loss, gradient_norm : float
        As seen.
    undone : int
        Updates taken back.
    factor : float
        On the rates, from here on.
    rates : tuple of float
        Rate of each parameter group in the update before, factor included.
    sharpness : Sharpness or None
        Measured where it returned to; None unless it returned.
    recovered : int or None
        The update by which the mean loss was down again and nothing had happened for ten updates.
    swing : float or None
        Of a clipped oscillation under plain gradient descent: how far the parameters alternate, rate x C.
    """

    step: int
    action: str
    kind: str = field(metadata=key("cause"))
    reason: str
    loss: float
    gradient_norm: float
    undone: int = 0
    factor: float = 1.0
    rates: tuple[float, ...] = ()
    sharpness: Sharpness | None = None
    recovered: int | None = None
    swing: float | None = None

    def __str__(self) -> str:
        parts = [f"step {self.step}: {self.reason}"]
        if self.sharpness is not None and self.sharpness.largest is not None:
            parts.append(str(self.sharpness))
        parts += {
            "skip": ["batch left out"],
            "back": [f"rolled back {self.undone} step{'' if self.undone == 1 else 's'}", f"rate x {self.factor:.3g}"],
            "stop": ["gave up"],
            "go": ["taken for new data and went on"],
        }.get(self.action, [])
        if self.recovered is not None:
            parts.append(f"recovered by step {self.recovered}")
        return "; ".join(parts)


class Log:
    """The events of a run, and which of them it has not recovered from.

    Attributes
    ----------
    events : list of Event
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._open: list[int] = []

    def add(self, event: Event) -> None:
        """One more; interventions stay open until `close`."""
        if event.action in ("skip", "back"):
            self._open.append(len(self.events))
        self.events.append(event)

    def remark(self, step: int, kind: str, reason: str) -> None:
        """Something to say, once for as long as it stays the same."""
        if not self.events or self.events[-1].reason != reason:
            nan = float("nan")
            self.add(Event(step=step, action="note", kind=kind, reason=reason, loss=nan, gradient_norm=nan))

    def close(self, step: int, *, down: bool) -> None:
        """An update was made: batches left out are behind, and if the loss is down again, returns are too."""
        for i in list(self._open):
            event = self.events[i]
            if event.action == "skip" or down:
                self.events[i] = replace(event, recovered=step)
                self._open.remove(i)

    @property
    def pending(self) -> bool:
        """Whether there is anything to close."""
        return bool(self._open)

    def __str__(self) -> str:
        return explained(self.events)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"open": list(self._open), "history": [event.to_dict() for event in self.events]}

    def load(self, data: Mapping[str, Any]) -> None:
        """The inverse of `to_dict`, in place."""
        self._open = list(data["open"])
        self.events[:] = [Event.from_dict(event) for event in data["history"]]


def explained(events: Sequence[Event]) -> str:
    """The events as sentences, one a line."""
    if not events:
        return NOTHING_HAPPENED
    return "\n".join(str(event) for event in events)


def diagnosis(events: Sequence[Event], rescues: int) -> str:
    """Why a run was given up, and what would fix it."""
    returns = [event for event in events if event.action == "back"]
    last = events[-1]
    kinds = [event.kind for event in [*returns[-rescues:], last]]
    ratios = [e.sharpness.ratio for e in returns if e.sharpness is not None and e.sharpness.ratio is not None]
    if all(kind == "broken loss" for kind in kinds):
        advice = "the loss is not finite at a good state too: look at the data and at the loss (log(0), 0/0)"
    elif all(kind == "broken gradient" for kind in kinds):
        advice = "the loss is finite and its gradient is not: look for sqrt(0), norm(0), 0/0 in the backward pass"
    elif ratios:
        advice = f"the rate was {max(ratios):.3g} x the stability limit; start with a smaller one"
    else:
        advice = "start with a smaller rate, or look at the data of these steps"
    return (
        f"gave up at step {last.step} after {rescues} rescues in a row ({last.reason}); the rate was down to "
        f"{last.factor:.3g} of yours; {advice}. Model and optimizer are at the last good state. History:\n"
        + explained(events[-12:])
    )
