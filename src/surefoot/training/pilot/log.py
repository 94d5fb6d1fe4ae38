"""A pilot's moments as a log: JSON lines, TensorBoard's event files, or any logger that takes numbers."""

import math
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType, SurefootError
from surefoot.logs import EventWriter, JsonLines
from surefoot.training.loop import Moment
from surefoot.training.pilot._pilot import Pilot

__all__ = ["PilotLog"]

# Under these tags TensorBoard shows one group of charts.
TAG = "pilot/"
SCALARS = ("loss", "rate", "limit", "noise")


@checked
class PilotLog:
    """Writes what a pilot does while it does it; `surefoot.audit` and TensorBoard read it.

        log = PilotLog(pilot, jsonl="run.jsonl", events="runs/first")
        for batch in loader:
            pilot.step(lambda: loss(model, batch))
            log.write()

    Each record is flushed whole, so a killed run leaves a log that can be read. A resumed run goes on in the same
    JSON lines, and in a second event file in the same folder: make the log after `pilot.load_state_dict`.

    Parameters
    ----------
    pilot : Pilot
    jsonl : path, optional
        A record a line: step, loss, rate, limit, noise, event. An update that was not made has no rate; a number that
        is not finite is null.
    events : path, optional
        A folder for event files: scalars pilot/loss, pilot/rate, pilot/limit, pilot/noise, those that are finite. They
        are written here, so TensorBoard need not be installed.
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
        pilot: Pilot,
        *,
        jsonl: str | os.PathLike[str] | None = None,
        events: str | os.PathLike[str] | None = None,
        writer: Any = None,
    ) -> None:
        if jsonl is None and events is None and writer is None:
            raise InvalidInput("a log needs somewhere to write: give jsonl= (a file), events= (a folder) or writer=")
        self._send = None if writer is None else sender(writer)
        self._pilot = pilot
        self._lines = None if jsonl is None else JsonLines(jsonl)
        try:
            self._events = None if events is None else EventWriter(events)
        except SurefootError:
            if self._lines is not None:
                self._lines.close()
            raise
        self._written = len(pilot.history)

    def write(self) -> None:
        """Write the moments that are new since the last time."""
        moments = self._pilot.history[self._written :]
        for moment in moments:
            record = as_record(moment)
            if self._lines is not None:
                self._lines.write(record)
            scalars = {TAG + k: record[k] for k in SCALARS if record[k] is not None}
            if self._events is not None:
                self._events.write(moment.step, scalars)
            if self._send is not None:
                self._send(scalars, moment.step)
        self._written += len(moments)

    def close(self) -> None:
        """Write what is left, and no more; closing twice is once."""
        if self._lines is not None or self._events is not None or self._send is not None:
            self.write()
        for file in (self._lines, self._events):
            if file is not None:
                file.close()
        self._lines = self._events = self._send = None

    def __enter__(self) -> "PilotLog":
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


def as_record(moment: Moment) -> dict[str, Any]:
    """A moment as JSON has it: null for what is not finite, and for the rate of an update that was not made."""
    numbers: dict[str, float | None] = {k: v if math.isfinite(v := getattr(moment, k)) else None for k in SCALARS}
    if moment.rate == 0 and moment.event:
        numbers["rate"] = None
    return {"step": moment.step, **numbers, "event": moment.event}
