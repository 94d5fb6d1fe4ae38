"""Where snapshots are kept: the device's memory, the CPU's, or a directory; two of them, the newest last."""

import contextlib
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from surefoot.errors import InvalidType
from surefoot.training.model.agreement import rank
from surefoot.training.model.snapshot import Snapshot, Subject

__all__ = ["DirectoryShelf", "MemoryShelf", "Shelf", "latest", "shelf_for"]

NAMES = ("snapshot-0.pt", "snapshot-1.pt")


class Shelf(Protocol):
    """Two snapshots at most."""

    @property
    def steps(self) -> list[int]:
        """The steps of those kept, oldest first."""
        ...

    @property
    def bytes(self) -> int:
        """What they occupy."""
        ...

    def put(
        self, subject: Subject, step: int, note: dict[str, Any], buffers: Any = None, *, newest: bool = False
    ) -> bool:
        """Take one, in place of the oldest (or of the newest); False if the state is not all finite."""
        ...

    def get(self, step: int) -> Snapshot:
        """The one of that step; newer ones are dropped."""
        ...

    def only(self, steps: Sequence[int]) -> None:
        """Forget all but these."""
        ...


class MemoryShelf:
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

    def put(
        self, subject: Subject, step: int, note: dict[str, Any], buffers: Any = None, *, newest: bool = False
    ) -> bool:
        """Copy into the memory of the one it replaces."""
        if len(self._kept) == 2:
            self._spare = self._kept.pop(1 if newest else 0)
        spare, self._spare = self._spare, None
        taken = subject.capture(step, into=spare, buffers=buffers)
        if not taken.sound:
            self._spare = taken
            return False
        taken.note.update(note)
        self._kept.append(taken if self._device is None else taken.on(self._device))
        return True

    def get(self, step: int) -> Snapshot:
        """Its buffers stay the shelf's."""
        while self._kept[-1].step != step:
            self._spare = self._kept.pop()
        return self._kept[-1]

    def only(self, steps: Sequence[int]) -> None:
        """Free the memory of the others."""
        self._kept, self._spare = [snapshot for snapshot in self._kept if snapshot.step in steps], None


class DirectoryShelf:
    """In files that are complete or not there: written beside, flushed to the disk, then renamed.

    Parameters
    ----------
    path : Path
        Made if missing. Two files: snapshot-0.pt and snapshot-1.pt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._kept: list[tuple[int, str, int]] = []
        self._proved = False

    @property
    def steps(self) -> list[int]:
        """Oldest first."""
        return [step for step, _, _ in self._kept]

    @property
    def bytes(self) -> int:
        """On disk."""
        return sum(size for _, _, size in self._kept)

    def put(
        self, subject: Subject, step: int, note: dict[str, Any], buffers: Any = None, *, newest: bool = False
    ) -> bool:
        """Write the file anew of the one it replaces.

        Raises
        ------
        OSError
            If it cannot be written; what was there stays.
        InvalidType
            If the state holds objects that a safe file cannot.
        """
        taken = subject.capture(step, buffers=buffers)
        if not taken.sound:
            return False
        taken.note.update(note)
        used = [name for _, name, _ in self._kept]
        name = used[newest] if len(used) == 2 else next(name for name in NAMES if name not in used)
        try:
            size = write_atomically(taken.on("cpu").plain(), self.path / name)
            if not self._proved:
                read(self.path / name)  # better now than when it is needed
                self._proved = True
        except (pickle.PickleError, AttributeError, TypeError) as error:
            (self.path / name).unlink(missing_ok=True)
            raise InvalidType(
                f"the optimizer, or what was passed in `also`, keeps objects that torch.load(weights_only=True) "
                f"refuses ({str(error).splitlines()[0]}); keep='cpu' takes them"
            ) from error
        self._kept = [*(kept for kept in self._kept if kept[1] != name), (step, name, size)]
        return True

    def get(self, step: int) -> Snapshot:
        """Read from the file."""
        while self._kept[-1][0] != step:
            _, name, _ = self._kept.pop()
            (self.path / name).unlink(missing_ok=True)
        return read(self.path / self._kept[-1][1])

    def only(self, steps: Sequence[int]) -> None:
        """The files of the others stay until they are written anew."""
        self._kept = [kept for kept in self._kept if kept[0] in steps]

    def found(self) -> list[Snapshot]:
        """The complete ones that an earlier process left here too."""
        return found_in(self.path)


def shelf_for(keep: Any) -> Shelf:
    """The shelf that the argument `keep` names.

    Raises
    ------
    InvalidType
        If it names none.
    """
    if keep == "device":
        return MemoryShelf()
    if keep == "cpu":
        return MemoryShelf("cpu")
    if isinstance(keep, Path):
        own = rank()
        return DirectoryShelf(keep if own is None else keep / f"rank-{own}")
    raise InvalidType(f"keep is 'device', 'cpu' or a pathlib.Path of a directory; got {keep!r}")


def write_atomically(data: Any, path: Path) -> int:
    """Write beside, flush, rename; the size in bytes.

    Raises
    ------
    OSError
        If the disk is full or the directory gone; what was at the path is untouched.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            torch.save(data, file)
            file.flush()
            os.fsync(file.fileno())
        size = beside.stat().st_size
        beside.replace(path)
        _flush_directory(path.parent)
    except RuntimeError as error:  # how torch's writer reports a full disk
        raise OSError(f"{path} could not be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return size


def read(path: Path) -> Snapshot:
    """A snapshot from its file, which holds nothing that could run."""
    return Snapshot.from_plain(torch.load(path, map_location="cpu", weights_only=True))


def found_in(path: Path) -> list[Snapshot]:
    """The complete snapshots in a directory."""
    found: list[Snapshot] = []
    for name in NAMES:
        with contextlib.suppress(OSError, RuntimeError, ValueError, EOFError):
            found.append(read(path / name))
    return found


def latest(path: Path) -> Snapshot | None:
    """The newest complete snapshot in a directory; None if there is none."""
    return max(found_in(path), key=lambda snapshot: snapshot.step, default=None)


def _flush_directory(path: Path) -> None:
    if os.name == "posix":
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
