"""Where snapshots are kept: the device's memory, the CPU's, or a directory.

Both stores have the same methods: `put` keeps a snapshot in place of another, `look` returns that of a step, `only`
forgets the rest, and `memory` is what the next may be copied into. Which are kept is decided in `snapshots.py`.
"""

import contextlib
import hashlib
import os
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from surefoot.checks import as_path
from surefoot.errors import InvalidType, first_line
from surefoot.training.model.agreement import rank
from surefoot.training.model.snapshot import Snapshot

# Read in pieces, so that a check needs no second copy in memory.
PIECE = 1 << 20
# Seconds without a new byte after which a file is one that nobody writes; by convention, far above any pause of a disk.
# Asking whether its process lives would not do: it may run on another machine, and Windows has no harmless way to ask.
ABANDONED = 3600.0


class MemoryStore:
    """In memory, on the tensors' own devices or on the CPU.

    Parameters
    ----------
    device : str or None
        None: where the tensors are.
    """

    def __init__(self, device: str | None = None) -> None:
        self._device = device
        self._kept: list[Snapshot] = []
        self._spare: Snapshot | None = None

    @property
    def steps(self) -> list[int]:
        """Oldest first."""
        return [snapshot.step for snapshot in self._kept]

    @property
    def bytes(self) -> int:
        """Spare buffers included."""
        spare = 0 if self._spare is None else self._spare.bytes
        return sum(snapshot.bytes for snapshot in self._kept) + spare

    def memory(self, replaced: int | None) -> Snapshot | None:
        """The replaced one's, or that of one forgotten before."""
        return self._spare if replaced is None else self.look(replaced)

    def put(self, snapshot: Snapshot, replaced: int | None) -> None:
        """On the store's device."""
        self._spare = None
        kept = [one for one in self._kept if one.step != replaced]
        self._kept = [*kept, snapshot if self._device is None else snapshot.on(self._device)]

    def look(self, step: int) -> Snapshot | None:
        """Its memory stays the store's."""
        return next((snapshot for snapshot in self._kept if snapshot.step == step), None)

    def only(self, steps: Sequence[int]) -> None:
        """The memory of one of the others is used again."""
        gone = [snapshot for snapshot in self._kept if snapshot.step not in steps]
        self._kept = [snapshot for snapshot in self._kept if snapshot.step in steps]
        self._spare = gone[-1] if gone and steps else self._spare if steps else None


@dataclass(frozen=True, slots=True)
class Saved:
    """A file by its name, RUN.STEP.DIGEST.pt: whose it is, of which step, and what its content has to add up to."""

    path: Path
    run: str
    step: int
    digest: str

    def read(self) -> Snapshot | None:
        """The snapshot; None if it is not what was written, whatever the reason."""
        # a damaged file can fail in any way, and each means the same: not this one
        with contextlib.suppress(Exception):
            if _digest(self.path) == self.digest:
                snapshot = Snapshot.from_plain(torch.load(self.path, map_location="cpu", weights_only=True))
                return snapshot if snapshot.step == self.step else None
        return None


class DirectoryStore:
    """In files that are complete or not there: written beside, flushed to the disk, then renamed.

    A file's name has the run, the step and a checksum of the content in it, so one rename makes all of it valid, and a
    run never touches another's files.

    Parameters
    ----------
    path : Path
        Made if missing.
    run : str
        Name of the run.
    """

    def __init__(self, path: Path, run: str) -> None:
        self.path, self.run = path, run
        path.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        self._kept: list[Saved] = []
        self._proved = False

    @property
    def steps(self) -> list[int]:
        """Oldest first."""
        return [saved.step for saved in self._kept]

    @property
    def bytes(self) -> int:
        """On disk."""
        return sum(saved.path.stat().st_size for saved in self._kept if saved.path.exists())

    def memory(self, replaced: int | None) -> None:
        """None: what is replaced is a file."""

    def put(self, snapshot: Snapshot, replaced: int | None) -> None:
        """Write a file, then remove the one that it replaces.

        Raises
        ------
        OSError
            If it cannot be written; what was there stays.
        InvalidType
            If the state holds objects that a safe file cannot.
        """
        step = snapshot.step
        try:
            saved = write_atomically(snapshot.on("cpu").plain(), self.path, self.run, step)
            if not self._proved:
                torch.load(saved.path, map_location="cpu", weights_only=True)  # better now than when it is needed
                self._proved = True
        except (pickle.PickleError, AttributeError, TypeError) as error:
            for path in self.path.glob(f"{self.run}.{step}.*"):
                path.unlink(missing_ok=True)
            raise InvalidType(
                f"the optimizer, or what was passed in `also`, keeps objects that torch.load(weights_only=True) "
                f"refuses ({first_line(error)}); keep='cpu' takes them"
            ) from error
        gone = [kept for kept in self._kept if kept.step == replaced]
        self._kept = [*(kept for kept in self._kept if kept not in gone), saved]
        for kept in gone:
            if kept.path != saved.path:
                kept.path.unlink(missing_ok=True)

    def look(self, step: int) -> Snapshot | None:
        """Read from the file."""
        saved = next((kept for kept in self._kept if kept.step == step), None)
        return None if saved is None else saved.read()

    def only(self, steps: Sequence[int]) -> None:
        """The files of the others are removed."""
        for saved in [kept for kept in self._kept if kept.step not in steps]:
            saved.path.unlink(missing_ok=True)
        self._kept = [kept for kept in self._kept if kept.step in steps]

    def take_over(self, run: str, saved: Sequence[Saved]) -> None:
        """Go on with what an earlier process of this run has left; what it left half written is removed."""
        for path in self.path.glob(f"{run}.*.part"):
            with contextlib.suppress(OSError):
                path.unlink()
        self.run, self._kept = run, sorted(saved, key=lambda one: one.step)[-2:]


def store_for(keep: Any, run: str) -> MemoryStore | DirectoryStore:
    """The store that the argument `keep` names.

    Raises
    ------
    InvalidType
        If it names none.
    """
    if isinstance(keep, str) and keep in ("device", "cpu"):
        return MemoryStore() if keep == "device" else MemoryStore("cpu")
    if isinstance(keep, Path):
        folder, own = as_path(keep), rank()
        return DirectoryStore(folder if own is None else folder / f"rank-{own}", run)
    raise InvalidType(f"keep is 'device', 'cpu' or a pathlib.Path of a directory; got {keep!r}")


def write_atomically(data: Any, folder: Path, run: str, step: int) -> Saved:
    """Write beside, flush, rename to a name that has the checksum in it.

    Raises
    ------
    OSError
        If the disk is full or the directory gone; what was there is untouched.
    """
    beside = folder / f"{run}.{step}.{os.getpid()}.part"
    try:
        with beside.open("wb") as file:
            torch.save(data, file)
            file.flush()
            os.fsync(file.fileno())
        digest = _digest(beside)
        path = folder / f"{run}.{step}.{digest}.pt"
        beside.replace(path)
        _flush_directory(folder)
    except RuntimeError as error:  # how torch's writer reports a full disk
        raise OSError(f"no snapshot could be written to {folder}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return Saved(path, run, step, digest)


def saved_in(folder: Path) -> list[Saved]:
    """The files in a directory that are snapshots by their name, oldest step first."""
    saved: list[Saved] = []
    for path in folder.glob("*.pt"):
        run, step, digest = [*path.name.split("."), "", ""][:3]
        if step.isdecimal() and digest != "pt":
            saved.append(Saved(path, run, int(step), digest))
    return sorted(saved, key=lambda one: one.step)


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            total.update(piece)
    return total.hexdigest()[:32]


def _remove_abandoned(folder: Path) -> None:
    """What nobody goes on writing: half of a file, left by a process that was killed."""
    before = time.time() - ABANDONED
    for path in folder.glob("*.part"):
        # gone by itself, or held by its writer, as Windows does
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()


def _flush_directory(path: Path) -> None:
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
