"""TensorBoard's event files: scalars in, scalars out, without TensorFlow.

An event file is a sequence of framed `Event` messages (fields: wall time 1, step 2, version 3, summary 5); a summary
holds values (field 1) of a tag (1) and a number: `simple_value` (2), or a tensor (8) of one number, as TensorFlow 2
writes it.
"""

import os
import struct
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from platform import node
from typing import IO

from surefoot.checks import as_path, checked
from surefoot.errors import InvalidInput
from surefoot.logs._source import check_file, too_many
from surefoot.logs._wire import BYTES, DOUBLE, FLOAT, VARINT, checksum, field, fields, frame

# How TensorBoard knows its files, and the version that a file begins with; it reads no other.
PREFIX = "events.out.tfevents."
_VERSION = b"brain.Event:2"
# TensorProto: numbers of the fields that hold a scalar, and how each is packed.
_TENSOR = {5: "<f", 6: "<d"}
# The same by the number of the dtype, for tensors whose numbers stand in one field of bytes.
_DTYPES = {1: "<f", 2: "<d"}
# The number of that field.
_CONTENT = 4
# Larger records hold images and graphs: no scalar needs so many bytes, and many in one event stay below it.
_LARGE = 65536
# Scalars to a row, when the bound on rows is applied to them: by convention, as many as trainers log at one step.
_TAGS = 6

Scalar = tuple[str, int, float]


@checked
class EventWriter:
    """Writes scalars as TensorBoard reads them, each event flushed whole: a killed run leaves a readable file.

    Parameters
    ----------
    folder : path
        Made if it is not there. A new file is begun in it each time, as TensorBoard expects of a resumed run.

    Raises
    ------
    InvalidInput
        If the folder cannot be made or written to.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from surefoot.logs import EventWriter, read_log
    >>> with TemporaryDirectory() as folder:
    ...     writer = EventWriter(folder)
    ...     writer.write(0, {"loss": 0.5})
    ...     writer.close()
    ...     read_log(folder).rows
    ({'step': 0, 'loss': 0.5},)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        now = time.time()
        place = as_path(folder)
        name = f"{PREFIX}{int(now):010d}.{node()}.{os.getpid()}"
        try:
            place.mkdir(parents=True, exist_ok=True)
            taken = 0
            while (place / f"{name}.{taken}").exists():
                taken += 1
            self.path = place / f"{name}.{taken}"
            self._file = self.path.open("xb")
        except OSError as error:
            raise InvalidInput(f"cannot write events to {place}: {error.strerror or error}; choose a folder") from error
        self._event(field(1, DOUBLE, now) + field(3, BYTES, _VERSION))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """One event with some scalars, in single precision as the format has it."""
        values = b"".join(
            field(1, BYTES, field(1, BYTES, tag.encode()) + field(2, FLOAT, _single(value)))
            for tag, value in scalars.items()
        )
        if values:
            self._event(field(1, DOUBLE, time.time()) + field(2, VARINT, step) + field(5, BYTES, values))

    def close(self) -> None:
        """No more events; closing twice is once."""
        self._file.close()

    def _event(self, event: bytes) -> None:
        self._file.write(frame(event))
        self._file.flush()


def is_events(path: Path) -> bool:
    """Whether a file has the name that TensorBoard gives to its event files."""
    return "tfevents" in path.name


@checked
def read_events(path: str | os.PathLike[str]) -> tuple[list[Scalar], bool]:
    """The scalars of an event file.

    Parameters
    ----------
    path : path

    Returns
    -------
    scalars : list of (tag, step, value)
        Scalars in the order of the file; single precision as written.
    whole : bool
        False if the last record is cut off, as in the file of a run that was killed; what is before it counts.

    Raises
    ------
    InvalidInput
        If it is no event file, or a checksum is wrong before the last record.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from surefoot.logs import EventWriter, read_events
    >>> with TemporaryDirectory() as folder:
    ...     writer = EventWriter(folder)
    ...     writer.write(0, {"loss": 0.5})
    ...     writer.close()
    ...     read_events(next(Path(folder).iterdir()))
    ([('loss', 0, 0.5)], True)
    """
    path = check_file(as_path(path), empty=True)
    scalars: list[Scalar] = []
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            for at, record in _records(path, file, size):
                if record is None:
                    return scalars, False
                try:
                    scalars.extend(_scalars(record))
                except ValueError as error:
                    raise InvalidInput(f"{path} is damaged at byte {at}: {error}; copy the file again") from error
                too_many(path, len(scalars) // _TAGS)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    return scalars, True


def _records(path: Path, file: IO[bytes], size: int) -> Generator[tuple[int, bytes | None]]:
    """Where each record begins, and the record; None for one that is cut off. Large ones are passed over unread."""
    at = 0
    while at < size:
        head = file.read(12)
        if len(head) < 12:
            yield at, None
            return
        if struct.unpack_from("<I", head, 8)[0] != checksum(head[:8]):
            what = "is no event file" if at == 0 else f"is damaged at byte {at}"
            raise InvalidInput(f"{path} {what}: a length has a wrong checksum; copy the file again")
        (length,) = struct.unpack_from("<Q", head)
        end = at + 12 + length + 4
        if end > size:
            yield at, None
            return
        if length > _LARGE:
            file.seek(end)
        else:
            record, check = file.read(length), file.read(4)
            if len(record) < length or len(check) < 4:
                yield at, None
                return
            if struct.unpack("<I", check)[0] != checksum(record):
                raise InvalidInput(
                    f"{path} is damaged at byte {at}: a record has a wrong checksum; copy the file again"
                )
            yield at, record
        at = end


def _scalars(event: bytes) -> list[Scalar]:
    step, summaries = 0, list[bytes]()
    for number, kind, value in fields(event):
        if number == 2 and kind == VARINT:
            step = _sign(int(value))
        elif number == 5 and isinstance(value, bytes):
            summaries.append(value)
    scalars: list[Scalar] = []
    for summary in summaries:
        for number, _, value in fields(summary):
            if number == 1 and isinstance(value, bytes) and (scalar := _tag_and_number(value)) is not None:
                scalars.append((scalar[0], step, scalar[1]))
    return scalars


def _tag_and_number(value: bytes) -> tuple[str, float] | None:
    """The tag and the number of a summary's value; None if it holds no number."""
    tag, number = "", None
    for which, kind, part in fields(value):
        if which == 1 and isinstance(part, bytes):
            tag = part.decode("utf-8", "replace")
        elif which == 2 and kind == FLOAT:
            number = float(part)
        elif which == 8 and isinstance(part, bytes):
            number = _tensor(part)
    return None if number is None else (tag, number)


def _tensor(message: bytes) -> float | None:
    """The number in a tensor that holds one."""
    dtype = 0
    for which, kind, part in fields(message):
        if which == 1 and kind == VARINT:
            dtype = int(part)
        elif which in _TENSOR:
            if not isinstance(part, bytes):
                return float(part)
            return _unpack(_TENSOR[which], part)
        elif which == _CONTENT and isinstance(part, bytes) and dtype in _DTYPES:
            return _unpack(_DTYPES[dtype], part)
    return None


def _unpack(form: str, data: bytes) -> float | None:
    return float(struct.unpack(form, data)[0]) if len(data) == struct.calcsize(form) else None


def _sign(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _single(value: float) -> float:
    """The value as single precision takes it: what is too large is infinite."""
    try:
        struct.pack("<f", value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
    return float(value)
