"""JSON lines: a record a line, flushed whole, so that a killed run leaves a log that can be read."""

import json
import math
import os
from collections.abc import Mapping
from typing import Any

from surefoot.checks import as_path, checked
from surefoot.errors import InvalidInput


@checked
class JsonLines:
    """Appends records to a file, one line of JSON each.

    Parameters
    ----------
    path : path
        Appended to if it is there: a resumed run goes on in the same log. A last line that was cut off is finished
        by a newline and left behind.

    Raises
    ------
    InvalidInput
        If it cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from surefoot.logs import JsonLines
    >>> with TemporaryDirectory() as folder:
    ...     log = JsonLines(Path(folder) / "run.jsonl")
    ...     log.write({"step": 0, "loss": 0.5})
    ...     log.close()
    ...     print((Path(folder) / "run.jsonl").read_text().strip())
    {"step": 0, "loss": 0.5}
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = as_path(path)
        try:
            cut_off = self.path.exists() and not self._ends_a_line()
            self._file = self.path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            reason = error.strerror or error
            raise InvalidInput(f"cannot write {self.path}: {reason}; write the log elsewhere") from error
        if cut_off:
            self._file.write("\n")

    def write(self, record: Mapping[str, Any]) -> None:
        """One line; a number that is not finite becomes null, since JSON has none."""
        line = json.dumps({key: _plain(value) for key, value in record.items()}, allow_nan=False)
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        """No more lines; closing twice is once."""
        self._file.close()

    def _ends_a_line(self) -> bool:
        with self.path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
