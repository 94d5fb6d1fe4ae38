"""Which states a run keeps, for how long, and to which of them it goes back."""

import contextlib
import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from surefoot.errors import InvalidInput, first_line
from surefoot.records import Record
from surefoot.training.loop._storage import DirectoryStore, Saved, saved_in, store_for
from surefoot.training.model.agreement import alone, everywhere, newest_common
from surefoot.training.model.snapshot import Snapshot, Subject

__all__ = ["SnapshotCost", "Snapshots"]

# Snapshots come each 1% of the run so far, between these bounds: what a return can cost, beside what keeping costs.
SHARE, LEAST_EVERY, MOST_EVERY = 0.01, 10, 100
# A snapshot is trusted to lie before the trouble when so many updates went well after it.
PROVED = 3


@dataclass(frozen=True, slots=True)
class SnapshotCost(Record):
    """What the snapshots have cost so far: how many, their seconds in all, the bytes held now."""

    snapshots: int
    seconds: float
    bytes: int


class Snapshots:
    """Two of them: the newest, and an older one to fall back on.

    A run is on probation for a while after its start and after each return. What it reaches meanwhile has not
    proved good: a rate that is too high may have done its damage long before the loss shows it. So the older
    snapshot, from before, stays until the probation is over; then each new one replaces the oldest.

    Parameters
    ----------
    subject : Subject
    keep : "device", "cpu" or Path
    every : int or None
        Updates between snapshots.
    run : str
        Name of the run.

    Attributes
    ----------
    due : int
        Update at which the next is to be taken.
    """

    def __init__(self, subject: Subject, keep: Any, every: int | None, run: str) -> None:
        self.subject = subject
        self._store = store_for(keep, run)
        self._every = every
        self.due = 0
        self._count, self._seconds = 0, 0.0

    @property
    def steps(self) -> list[int]:
        """Steps of the snapshots kept, oldest first."""
        return self._store.steps

    @property
    def cost(self) -> SnapshotCost:
        """So far."""
        return SnapshotCost(self._count, self._seconds, self._store.bytes)

    def take(self, updates: int, note: Mapping[str, Any], buffers: Sequence[Tensor] | None, *, probation: bool) -> str:
        """Keep the present state, on all ranks or on none; why it could not be kept, if so."""
        began = time.perf_counter()
        steps, trouble = self._store.steps, ""
        oldest = None if len(steps) < 2 else steps[1 if probation else 0]
        replaced = updates if updates in steps else oldest
        taken = None
        try:
            taken = self.subject.capture_if_sound(updates, self._store.memory(replaced), buffers)
            if taken is not None:
                taken.note.update(note)
                self._store.put(taken, replaced)
        except (OSError, MemoryError, RuntimeError) as error:
            # a run must not end for want of a copy of it: no room on the disk, on the device or in memory
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            taken, trouble = None, f"no snapshot could be kept ({first_line(error)}); the one before it stays"
        if not everywhere(taken is not None, self.subject.device) and not alone():
            taken = None
            self._store.only([step for step in steps if step != replaced])
        self._seconds += time.perf_counter() - began
        self._count += taken is not None
        self.due = updates + (self._every or min(max(int(SHARE * updates), LEAST_EVERY), MOST_EVERY))
        return trouble

    def target(self, before: int, *, again: bool) -> int | None:
        """The step to go back to: the newest up to this one, else the oldest; None if nothing is kept.

        Parameters
        ----------
        before : int
            The last update that is trusted to lie before the trouble.
        again : bool
            Whether a return has just been tried: then as far back as there is.
        """
        steps = self._store.steps
        if not steps:
            return None
        return steps[0] if again else max((step for step in steps if step <= before), default=steps[0])

    def look(self, step: int | None) -> Snapshot | None:
        """The snapshot of a step, if it can be read and is of this structure."""
        snapshot = None if step is None else self._store.look(step)
        return snapshot if snapshot is not None and snapshot.structure == self.subject.structure else None

    def restore(self, step: int | None, updates: int) -> Snapshot | None:
        """Go back to a step, or further if that snapshot cannot be read; None, and nothing touched, if none can.

        Newer ones are forgotten, and the next is taken a little later. All ranks go back or none does.
        """
        for candidate in [s for s in reversed(self._store.steps) if step is not None and s <= step]:
            snapshot = self.look(candidate)
            if everywhere(snapshot is not None, self.subject.device) and snapshot is not None:
                self.subject.restore(snapshot)
                self._store.only([s for s in self._store.steps if s <= candidate])
                self.due = updates + 1 + PROVED
                return snapshot
        return None

    def recover(self, run: str | None) -> tuple[str, Snapshot] | None:
        """The newest sound snapshot of a run in the directory that every rank has, put back; None if there is none.

        Parameters
        ----------
        run : str or None
            Which, where the directory has several.

        Returns
        -------
        (str, Snapshot) or None
            With the run's name.

        Raises
        ------
        InvalidInput
            If snapshots are not kept in a directory, it has several runs and none is named, or the snapshot is of
            another model or optimizer. Nothing is touched then.
        """
        if not isinstance(self._store, DirectoryStore):
            raise InvalidInput("snapshots in memory do not outlive the process; keep them in one: keep=Path(...)")
        saved = [one for one in saved_in(self._store.path) if run in (None, one.run)]
        runs = {one.run: one.step for one in saved}
        if len(runs) > 1:
            listed = ", ".join(f"{name} up to update {step}" for name, step in runs.items())
            raise InvalidInput(f"{self._store.path} has snapshots of {len(runs)} runs ({listed}); name one: run='...'")
        readable: dict[int, tuple[Saved, Snapshot]] = {}
        for one in saved:
            if (snapshot := one.read()) is not None:
                readable[one.step] = one, snapshot
        step = newest_common(list(readable))
        if step is None:
            return None
        self.subject.restore(readable[step][1])
        self._store.take_over(readable[step][0].run, [one for one, _ in readable.values() if one.step <= step])
        self.due = step
        return self._store.run, readable[step][1]

    def forget_older(self) -> None:
        """The newest has proved good by itself."""
        self._store.only(self._store.steps[-1:])

    def restart(self, updates: int) -> None:
        """Another state is in the model: forget all."""
        self.due = updates
        self._store.only([])

    def state_dict(self, *, proved: bool) -> dict[str, Any]:
        """For a checkpoint: what a return from its state may go back to; nothing if that state has proved good.

        A checkpoint of a run that is going wrong would otherwise be the only state that there is after loading it.
        Nothing either of sharded parameters, whose other parts are elsewhere.
        """
        whole = not any(hasattr(tensor, "placements") for tensor in self.subject.tensors())
        kept = [] if proved or not whole else [self._store.look(step) for step in self._store.steps]
        return {"due": self.due, "snapshots": [copy.deepcopy(one.plain()) for one in kept if one is not None]}

    def parse(self, data: Mapping[str, Any]) -> Callable[[], None]:
        """What `state_dict` returned; nothing is changed until the result is called. Without any one is due at once."""
        adopted = [self.subject.adopt(one) for one in data["snapshots"]]
        due, now = int(data["due"]), int(data["count"])

        def adopt() -> None:
            self.restart(due if adopted else now)
            with contextlib.suppress(OSError):  # a run must not end for want of a copy of it
                for snapshot in adopted:
                    self._store.put(snapshot, None)

        return adopt
