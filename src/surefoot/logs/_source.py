"""Text out of a file, a line at a time, within bounds that are stated: a log is data, whoever wrote it."""

import gzip
import io
import os
import stat
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import IO

from surefoot.errors import InvalidInput, UnknownTarget

# By convention: a log of half a million rows of six values takes about 300 MB as rows.
MOST_ROWS = 500_000
# By convention; of the text after unpacking, so that a small archive cannot fill the memory.
MOST_BYTES = 512 * 2**20
# No logger writes longer ones; a file without line ends is no log.
LONGEST_LINE = 2**20
# The first bytes of a gzipped file, and the byte order marks of UTF-16.
GZIP = b"\x1f\x8b"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def check_file(path: Path, *, empty: bool = False) -> Path:
    """A path to a regular file, by default one that is not empty.

    Raises
    ------
    UnknownTarget
        If nothing is there.
    InvalidInput
        If it is a pipe or a device, which could be read for ever, or empty.
    """
    try:
        # not path.exists(): it takes a path that may not be read for one that is not there
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise UnknownTarget(f"{path}: there is no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read ({error}); check the path") from error
    if not stat.S_ISREG(status.st_mode):
        raise InvalidInput(f"{path} is no regular file; copy what it gives to a file")
    if status.st_size == 0 and not empty:
        raise InvalidInput(f"{path} is empty (0 bytes); give the log of a run that logged something")
    return path


def too_many(path: Path, rows: int) -> None:
    """Refuse more rows than are read.

    Raises
    ------
    InvalidInput
        If there are.
    """
    if rows > MOST_ROWS:
        raise InvalidInput(f"{path} holds more than {MOST_ROWS:,} rows; keep every tenth, or the part in question")


class Lines:
    """The lines of a text file, plain or gzipped, without their ends.

    A carriage return ends a line too, as progress bars write it. Windows' UTF-16 is recognised by its first two bytes.

    Parameters
    ----------
    path : path
    strict : bool
        Refuse what is not UTF-8; otherwise such bytes become question marks, as logs of terminals hold anything.
    """

    def __init__(self, path: Path, *, strict: bool = True) -> None:
        self.path = check_file(path)
        self.strict = strict
        self.notes: list[str] = []

    def __iter__(self) -> Generator[str]:
        return self._read(LONGEST_LINE, MOST_BYTES, f"a line of more than {LONGEST_LINE:,} characters; is it a log?")

    def text(self, most: int) -> str:
        """The whole text, if it has at most `most` characters.

        Raises
        ------
        InvalidInput
            If it has more, or cannot be read.
        """
        text = "\n".join(self._read(most, most, f"more than {most >> 20} MB in one document; write a record a line"))
        if self.notes:
            raise InvalidInput(f"{self.path}: {self.notes[0]}; copy it again")
        return text

    def _read(self, longest: int, most: int, too_long: str) -> Generator[str]:
        read = 0
        try:
            with self._open() as file:
                # readline with a bound: a gigabyte without a line end would otherwise be one string
                while line := file.readline(longest + 1):
                    read += len(line)
                    if len(line) > longest:
                        raise InvalidInput(f"{self.path} holds {too_long}")
                    if read > most:
                        raise InvalidInput(f"{self.path} holds more than {most >> 20} MB; cut it")
                    if "\0" in line:
                        raise InvalidInput(f"{self.path} is no text: it holds NUL bytes; give the log itself")
                    yield line.rstrip("\n")
        except EOFError:
            # what came before the cut was yielded, and counts
            self.notes.append("the archive is cut off, as in a run that was killed")
        except (OSError, UnicodeError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise InvalidInput(f"{self.path}: cannot be read ({reason}); check that it is text in UTF-8") from error

    def _open(self) -> IO[str]:
        with self.path.open("rb") as file:
            first = file.read(2)
        raw = gzip.open(self.path, "rb") if first == GZIP else self.path.open("rb")  # noqa: SIM115 - the wrapper closes it
        try:
            if first == GZIP:
                first = raw.read(2)
                raw.seek(0)
        except BaseException:
            raw.close()
            raise
        # PowerShell's redirection writes UTF-16, and says so
        encoding = "utf-16" if first in UTF16 else "utf-8-sig"
        return io.TextIOWrapper(raw, encoding=encoding, errors="strict" if self.strict else "replace")  # pyright: ignore[reportArgumentType]
