"""Which states a run keeps, for how long, and to which of them it goes back."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from surefoot.errors import InvalidInput
from surefoot.records import Record
from surefoot.training.loop._storage import DirectoryStore, Saved, Store, saved_in, store_for
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
        self._store: Store = store_for(keep, run)
        self._every = every
        self.due = 0
        self._count, self._seconds = 0, 0.0

    @property
    def steps(self) -> list[int]:
        """Of the snapshots kept, oldest first."""
        return self._store.steps

    @property
    def cost(self) -> SnapshotCost:
        """So far."""
        return SnapshotCost(self._count, self._seconds, self._store.bytes)

    def take(self, updates: int, note: Mapping[str, Any], buffers: Sequence[Tensor] | None, *, probation: bool) -> str:
        """Keep the present state, on all ranks or on none; why it could not be kept, if so."""
        began = time.perf_counter()
        trouble, steps = "", self._store.steps
        try:
            taken = self._store.put(self.subject, updates, dict(note), buffers, newest=probation)
        except (OSError, MemoryError, RuntimeError) as error:
            # a run must not end for want of a copy of it: no room on the disk, on the device or in memory
            if isinstance(error, RuntimeError) and "memory" not in str(error):
                raise
            taken, trouble = False, f"no snapshot could be kept ({_first_line(error)}); the one before it stays"
        if not alone() and not everywhere(taken, self.subject.device):
            taken = False
            replaced = steps[1 if probation else 0] if len(steps) == 2 else None
            self._store.only([step for step in steps if step != replaced])
        self._seconds += time.perf_counter() - began
        self._count += taken
        self.due = updates + (self._every or min(max(int(SHARE * updates), LEAST_EVERY), MOST_EVERY))
        return trouble

    def target(self, updates: int, *, again: bool, doubts: int) -> int | None:
        """The step to go back to; None if nothing is kept.

        Parameters
        ----------
        updates : int
        again : bool
            Whether a return has just been tried: then further back.
        doubts : int
            Updates that the trouble took to be believed.
        """
        steps = self._store.steps
        if len(steps) < 2:
            return steps[0] if steps else None
        proved = updates - steps[-1] >= PROVED + doubts
        return steps[-1] if proved and not again else steps[0]

    def look(self, step: int | None) -> Snapshot | None:
        """The snapshot of a step, if it can be read and is of this structure."""
        found = None if step is None else self._store.look(step)
        return found if found is not None and found.structure == self.subject.structure else None

    def restore(self, step: int | None, updates: int) -> Snapshot | None:
        """Go back to a step, or further if that snapshot cannot be read; None, and nothing touched, if none can.

        Newer ones are forgotten, and the next is taken a little later. All ranks go back or none does.
        """
        for candidate in [s for s in reversed(self._store.steps) if step is not None and s <= step]:
            found = self.look(candidate)
            if everywhere(found is not None, self.subject.device) and found is not None:
                self.subject.restore(found)
                self._store.only([s for s in self._store.steps if s <= candidate])
                self.due = updates + 1 + PROVED
                return found
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
            if (found := one.read()) is not None:
                readable[one.step] = one, found
        step = newest_common(list(readable))
        if step is None:
            return None
        self.subject.restore(readable[step][1])
        self._store.run = readable[step][0].run
        self._store.adopt([one for one, _ in readable.values() if one.step <= step])
        self.due = step
        return self._store.run, readable[step][1]

    def restart(self, updates: int) -> None:
        """Another state is in the model: forget all."""
        self.due = updates
        self._store.only([])


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
