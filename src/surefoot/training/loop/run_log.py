"""A run as a log: JSON lines, TensorBoard's event files, or any logger that takes numbers."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType, SurefootError
from surefoot.logs import EventWriter, JsonLines
from surefoot.training.loop._history import Event, Moment
from surefoot.training.loop.loop import Loop

__all__ = ["RunLog"]

# Under these tags TensorBoard shows one group of charts for a pilot, and one for a guard.
PILOT, GUARD = "pilot/", "guard/"
OF_A_MOMENT = ("loss", "rate", "limit", "noise")
OF_AN_EVENT = ("loss", "gradient_norm", "factor", "undone")


@checked
class RunLog:
    """Writes what a pilot or a guard does while it does it; `surefoot.audit` and TensorBoard read a pilot's.

        log = RunLog(pilot, jsonl="run.jsonl", events="runs/first")
        for batch in loader:
            pilot.step(lambda: loss(model, batch))
            log.write()

    A pilot's log has each update. A guard reads no number of an ordinary update, so its log has its events only, each
    as soon as the guard knows of it.

    Each record is flushed whole, so a killed run leaves a log that can be read. A resumed run goes on in the same
    JSON lines, and in a second event file in the same folder: make the log after `pilot.load_state_dict`.

    Parameters
    ----------
    run : Pilot, Guard or Loop
    jsonl : path, optional
        A record a line. A pilot's: step, loss, rate, limit, noise, event. An update that was not made has no rate. A
        guard's: step, loss, gradient_norm, factor (on your rates, from here on), undone (updates taken back), action,
        event. A number that is not finite is null.
    events : path, optional
        A folder for event files: scalars pilot/loss, pilot/rate, pilot/limit, pilot/noise, or guard/loss,
        guard/gradient_norm, guard/factor, guard/undone; those that are finite. They are written here, so TensorBoard
        need not be installed.
    writer : object, optional
        A logger of yours, which gets the same numbers: whatever has ``add_scalar(tag, value, step)`` (TensorBoard's
        SummaryWriter), ``log_metrics(numbers, step=)`` (MLflow, Lightning's loggers) or ``log(numbers, step=)``
        (wandb). It is not closed here.

    Raises
    ------
    InvalidInput
        If none is given, or one cannot be written.
    InvalidType
        If the writer has none of these methods.
    """

    def __init__(
        self,
        run: Loop,
        *,
        jsonl: str | os.PathLike[str] | None = None,
        events: str | os.PathLike[str] | None = None,
        writer: Any = None,
    ) -> None:
        if jsonl is None and events is None and writer is None:
            raise InvalidInput("a log needs somewhere to write: give jsonl= (a file), events= (a folder) or writer=")
        self._send = None if writer is None else sender(writer)
        self._run, self._tag = run, GUARD if run.rule is None else PILOT
        self._lines = None if jsonl is None else JsonLines(jsonl)
        try:
            self._events = None if events is None else EventWriter(events)
        except SurefootError:
            if self._lines is not None:
                self._lines.close()
            raise
        self._written = len(self._happened)

    @property
    def _happened(self) -> Sequence[Moment | Event]:
        return self._run.known_events if self._run.rule is None else self._run.moments

    def write(self) -> None:
        """Write what is new since the last time."""
        happened = self._happened[self._written :]
        for one in happened:
            record = as_record(one)
            if self._lines is not None:
                self._lines.write(record)
            names = OF_A_MOMENT if isinstance(one, Moment) else OF_AN_EVENT
            scalars = {self._tag + k: record[k] for k in names if record[k] is not None}
            if self._events is not None:
                self._events.write(one.step, scalars)
            if self._send is not None:
                self._send(scalars, one.step)
        self._written += len(happened)

    def close(self) -> None:
        """Write what is left, and no more; closing twice is once."""
        if self._lines is not None or self._events is not None or self._send is not None:
            if self._run.rule is None:
                self._run.settle()
            self.write()
        for file in (self._lines, self._events):
            if file is not None:
                file.close()
        self._lines = self._events = self._send = None

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def sender(writer: Any) -> Callable[[Mapping[str, float], int], None]:
    """How a logger takes numbers: by the first of the methods that it has.

    Parameters
    ----------
    writer : object

    Returns
    -------
    callable
        (numbers by name, step)
    """
    if callable(add := getattr(writer, "add_scalar", None)):

        def one_by_one(numbers: Mapping[str, float], step: int) -> None:
            for name, value in numbers.items():
                add(name, value, step)

        return one_by_one
    log: Any = getattr(writer, "log_metrics", None) or getattr(writer, "log", None)
    if callable(log):

        def at_once(numbers: Mapping[str, float], step: int) -> None:
            log(dict(numbers), step=step)

        return at_once
    raise InvalidType(
        f"writer must have add_scalar, log_metrics or log; a {type(writer).__name__} has none: give a SummaryWriter, a "
        "wandb run, an MLflow module"
    )


def as_record(one: Moment | Event) -> dict[str, Any]:
    """A moment or an event as JSON has it: null for what is not finite, and for a rate at which no update was made."""
    names = OF_A_MOMENT if isinstance(one, Moment) else OF_AN_EVENT
    numbers: dict[str, float | None] = {k: v if math.isfinite(v := getattr(one, k)) else None for k in names}
    if isinstance(one, Event):
        return {"step": one.step, **numbers, "action": one.action, "event": str(one)}
    if one.rate == 0 and one.event:
        numbers["rate"] = None
    return {"step": one.step, **numbers, "event": one.event}
