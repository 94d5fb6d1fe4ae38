"""What a run did, and why: a moment for each update, events that explain themselves, and the diagnosis at the end."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from surefoot.records import Record, key
from surefoot.training.loop._sharpness import Sharpness

# What a checkpoint keeps: so many events, and about twice so many moments; together below 100 kB.
EVENTS, MOMENTS = 100, 200
NOTHING_HAPPENED = "nothing happened: every update was taken as the optimizer made it"

# After a restart, or where no snapshot could be taken or read.
NO_WAY_BACK = "no earlier state is kept, so nothing was put back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Record):
    """One intervention, or something to be said.

    Parameters
    ----------
    step : int
        The update at which it happened, counted from 0 over the run's life.
    action : "skip", "back", "stop", "go", "warn" or "note"
        Batch left out; returned to the last good state; gave up; went on with a remark; a warning, nothing done;
        a remark.
    kind : str
        Which sense spoke: "broken loss", "broken gradient", "broken state", "jump", "lost ground", "vanished",
        "collapse", "new data", "clipped oscillation", "snapshot", "structure", "rates", "brake".
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
    peak_to_peak : float or None
        Width of a clipped oscillation under plain gradient descent: how far the parameters alternate, rate x C.
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
    peak_to_peak: float | None = None

    def __str__(self) -> str:
        parts = [f"step {self.step}: {self.reason}"]
        if self.sharpness is not None and self.sharpness.largest is not None:
            parts.append(str(self.sharpness))
        parts += {
            "skip": ["batch left out"],
            "back": [
                *([f"rolled back {self.undone} step{'' if self.undone == 1 else 's'}"] if self.undone else []),
                f"rate x {self.factor:.3g}",
            ],
            "stop": ["gave up"],
            "go": ["went on"],
        }.get(self.action, [])
        if self.recovered is not None:
            parts.append(f"recovered by step {self.recovered}")
        return "; ".join(parts)


class History:
    """The events of a run, and which of them it has not recovered from.

    Attributes
    ----------
    events : list of Event
    open : list of int
        Those that the run has not recovered from, by their places.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.open: list[int] = []

    def add(self, event: Event) -> None:
        """One more; interventions stay open until `close`."""
        if event.action in ("skip", "back"):
            self.open.append(len(self.events))
        self.events.append(event)

    def remark(self, step: int, kind: str, reason: str) -> None:
        """What there is to say, if anything; once for as long as it stays the same."""
        if reason and not (self.events and self.events[-1].reason == reason):
            self.add(Event(step=step, action="note", kind=kind, reason=reason, loss=math.nan, gradient_norm=math.nan))

    def close(self, step: int, *, down: bool) -> None:
        """An update was made: batches left out are behind, and if the loss is down again, returns are too."""
        for i in list(self.open):
            event = self.events[i]
            if event.action == "skip" or down:
                self.events[i] = replace(event, recovered=step)
                self.open.remove(i)

    def __str__(self) -> str:
        return explained(self.events)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; of a long history the last events."""
        first = max(len(self.events) - EVENTS, 0)
        return {
            "open": [i - first for i in self.open if i >= first],
            "events": [event.to_dict() for event in self.events[first:]],
        }

    @staticmethod
    def read(data: Mapping[str, Any]) -> "History":
        """The inverse of `to_dict`."""
        history = History()
        history.events = [Event.from_dict(event) for event in data["events"]]
        history.open = [int(i) for i in data["open"]]
        return history


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment(Record):
    """One update.

    Parameters
    ----------
    step : int
        Counted from 0 over the run's life; batches that were left out count.
    loss : float
        Loss of the batch, before the update.
    rate : float
        The first group's, as the optimizer had it; 0 if the update was not made.
    limit : float
        The largest rate that the rule takes for stable; nan where it has no opinion.
    noise : float
        The rule's measure of noise; nan where it has none.
    event : str
        What happened, for a person; empty if nothing.
    """

    step: int
    loss: float
    rate: float
    limit: float = math.nan
    noise: float = math.nan
    event: str = ""


def thinned(moments: Sequence[Moment]) -> list[Moment]:
    """What a checkpoint keeps of a long history: the last moments, those at which something happened, and some between.

    So a checkpoint does not grow with the run.
    """
    if len(moments) <= 2 * MOMENTS:
        return list(moments)
    early, last = moments[:-MOMENTS], moments[-MOMENTS:]
    told = [moment for moment in early if moment.event][-EVENTS:]
    every = -(-len(early) // (MOMENTS // 2))
    kept = {moment.step: moment for moment in [*early[::every], *told]}
    return [*(kept[step] for step in sorted(kept)), *last]


def explained(events: Sequence[Event]) -> str:
    """The events as sentences, one a line."""
    if not events:
        return NOTHING_HAPPENED
    return "\n".join(str(event) for event in events)


def diagnosis(events: Sequence[Event], rescues: int) -> str:
    """Why a run was given up, and what would fix it."""
    returns = [event for event in events if event.action == "back"]
    last = events[-1]
    kinds = [event.kind for event in [*returns[-rescues:], last]] if rescues else [last.kind]
    ratios = [e.sharpness.ratio for e in returns if e.sharpness is not None and e.sharpness.ratio is not None]
    if all(kind == "broken loss" for kind in kinds):
        advice = "the loss is not finite at a good state too: look at the data and at the loss (log(0), 0/0)"
    elif all(kind == "broken gradient" for kind in kinds):
        advice = "the loss is finite and its gradient is not: look for sqrt(0), norm(0), 0/0 in the backward pass"
    elif ratios:
        advice = f"the rate was {max(ratios):.3g} x the stability limit; start with a smaller one"
    else:
        advice = "start with a smaller rate, or look at the data of these steps"
    where = "as they were" if NO_WAY_BACK in last.reason else "at the last good state"
    return (
        f"gave up at step {last.step} after {rescues} rescue{'' if rescues == 1 else 's'} in a row ({last.reason}); "
        f"the rate was down to {last.factor:.3g} of yours; {advice}. Model and optimizer are {where}. "
        "History:\n" + explained(events[-12:])
    )
