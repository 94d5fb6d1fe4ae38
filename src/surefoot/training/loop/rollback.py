"""Which states a guard keeps, for how long, and to which of them it goes back."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from surefoot.errors import InvalidInput
from surefoot.records import Record
from surefoot.training.loop._storage import DirectoryShelf, Shelf, shelf_for
from surefoot.training.model.agreement import alone, everywhere, newest_common
from surefoot.training.model.snapshot import Snapshot, Subject

__all__ = ["Keeper", "SnapshotCost"]

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


class Keeper:
    """Two snapshots: the newest, and an older one to fall back on.

    A run is on probation for a while after its start and after each return. What it reaches meanwhile has not
    proved good: a rate that is too high may have done its damage long before the loss shows it. So the older
    snapshot, from before, stays until the probation is over; then each new one replaces the oldest.

    Parameters
    ----------
    subject : Subject
    keep : "device", "cpu" or Path
    every : int or None
        Updates between snapshots.
    """

    def __init__(self, subject: Subject, keep: Any, every: int | None) -> None:
        self.subject = subject
        self._shelf: Shelf = shelf_for(keep)
        self._every = every
        self._next = 0
        self._count, self._seconds = 0, 0.0

    @property
    def steps(self) -> list[int]:
        """Of the snapshots kept, oldest first."""
        return self._shelf.steps

    @property
    def cost(self) -> SnapshotCost:
        """So far."""
        return SnapshotCost(self._count, self._seconds, self._shelf.bytes)

    def due(self, updates: int) -> bool:
        """Whether it is time for a snapshot."""
        return updates >= self._next

    def take(self, updates: int, note: Mapping[str, Any], buffers: Sequence[Tensor] | None, *, probation: bool) -> str:
        """Keep the present state, on all ranks or on none; why it could not be written, if so."""
        began = time.perf_counter()
        trouble, steps = "", self._shelf.steps
        try:
            taken = self._shelf.put(self.subject, updates, dict(note), buffers, newest=probation)
        except OSError as error:
            taken, trouble = False, f"no snapshot could be written ({error}); the one before it stays"
        if not alone() and not everywhere(taken, self.subject.device):
            replaced = steps[1 if probation else 0] if len(steps) == 2 else None
            self._shelf.only([step for step in steps if step != replaced])
        self._seconds += time.perf_counter() - began
        self._count += taken
        self._next = updates + (self._every or min(max(int(SHARE * updates), LEAST_EVERY), MOST_EVERY))
        return trouble

    def target(self, updates: int, *, sure: bool, probation: bool, doubts: int) -> int | None:
        """The step to go back to; None if nothing is kept.

        Parameters
        ----------
        updates : int
        sure : bool
            Whether the trouble is newer than any snapshot: those are all finite.
        probation : bool
            Whether nothing newer than the older snapshot has proved good.
        doubts : int
            Updates that the trouble took to be believed.
        """
        steps = self._shelf.steps
        if len(steps) < 2 or sure:
            return steps[-1] if steps else None
        proved = updates - steps[-1] >= PROVED + doubts
        return steps[-1] if proved and not probation else steps[0]

    def restore(self, step: int, updates: int) -> dict[str, Any]:
        """Go back; the note of that snapshot. The next one is taken a little later."""
        snapshot = self._shelf.get(step)
        self.subject.restore(snapshot)
        self._next = updates + 1 + PROVED
        return snapshot.note

    def recover(self) -> Snapshot | None:
        """The newest snapshot in the directory that every rank has, put back; None if there is none.

        Raises
        ------
        InvalidInput
            If snapshots are not kept in a directory.
        """
        if not isinstance(self._shelf, DirectoryShelf):
            raise InvalidInput("snapshots in memory do not outlive the process; keep them in one: keep=Path(...)")
        found = {snapshot.step: snapshot for snapshot in self._shelf.found()}
        step = newest_common(list(found))
        if step is None:
            return None
        self.subject.restore(found[step])
        self._next = step
        return found[step]

    def restart(self, updates: int) -> None:
        """Another state is in the model: forget all."""
        self._next = updates
        self._shelf.only([])
