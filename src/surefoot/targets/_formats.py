"""What a file holds: NumPy arrays and archives, Matrix Market, comma-separated tables."""

import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from surefoot.checks import as_path
from surefoot.errors import InvalidInput, SurefootError, UnknownTarget
from surefoot.operators import Array
from surefoot.targets._structure import check_archive, check_array, check_market, sparse_matrix
from surefoot.targets._tables import read_table

# Files that are read, and packed ones, for which the error says what to do.
SUFFIXES = (".npy", ".npz", ".mtx", ".csv")
PACKED = (".gz", ".bz2", ".xz", ".zip")


def check_path(path: str | PathLike[str]) -> Path:
    """A path to a file of a known kind that is there and is not empty.

    Raises
    ------
    UnknownTarget
        If nothing is there.
    InvalidInput
        If it is no regular file, of an unknown kind, or empty.
    """
    path = as_path(path)
    try:
        if not path.exists():
            where = "" if path.is_absolute() else f" in {Path.cwd()}"
            raise UnknownTarget(f"{path}: there is no such file{where}; check the path")
        if not path.is_file():
            what = "a directory" if path.is_dir() else "not a regular file"
            raise InvalidInput(f"{path} is {what}; give one {', '.join(SUFFIXES)} file")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        if isinstance(error, SurefootError):
            raise
        raise _unreadable(path, error) from error
    if path.suffix.lower() in PACKED:
        raise InvalidInput(f"{path} is packed; unpack it first, and give one {', '.join(SUFFIXES)} file")
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidInput(f"{path}: cannot read {path.suffix or 'a file without suffix'}; give {', '.join(SUFFIXES)}")
    if size == 0:
        raise InvalidInput(f"{path} is empty (0 bytes)")
    return path


def read_content(path: str | PathLike[str]) -> Any:
    """A Table (.csv), a mapping of arrays by name (.npz), or one dense or sparse matrix.

    Raises
    ------
    InvalidInput
        If the file cannot be read, by the rules of `check_path` or of its format.
    """
    path = check_path(path)
    readers = {".npy": _read_npy, ".npz": _read_npz, ".mtx": _read_mtx, ".csv": read_table}
    try:
        return readers[path.suffix.lower()](path)
    except SurefootError:
        raise
    except MemoryError as error:
        raise InvalidInput(f"{path}: does not fit in memory") from error
    except Exception as error:  # a malformed file makes NumPy and SciPy raise errors of many kinds
        raise _unreadable(path, error) from error


def _read_npy(path: Path) -> Array:
    with path.open("rb") as file:
        if not file.read(6).startswith(b"\x93NUMPY"):
            raise InvalidInput(
                f"{path} is not a NumPy array (it may be pickled, which is not read since it can run code); "
                "write it with numpy.save(path, array)"
            )
        file.seek(0)
        check_array(path, file, path.stat().st_size)
    return np.load(path, allow_pickle=False)


def _read_npz(path: Path) -> Any:
    from zipfile import is_zipfile

    if not is_zipfile(path):
        raise InvalidInput(f"{path} is not a NumPy archive; write it with numpy.savez(path, A=A, b=b)")
    check_archive(path)
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    if {"format", "shape", "data"} <= set(arrays):
        return sparse_matrix(path, arrays)
    if not arrays:
        raise InvalidInput(f"{path} is an archive without arrays; write it with numpy.savez(path, A=A, b=b)")
    return arrays


def _read_mtx(path: Path) -> Any:
    from scipy.io import mmread

    check_market(path)
    with warnings.catch_warnings():
        # SciPy 1.18 announces that 1.20 returns its newer class, and 1.13 cannot be asked for it: either will do
        warnings.simplefilter("ignore", DeprecationWarning)
        matrix: Any = mmread(path)
    return matrix.tocsr() if hasattr(matrix, "tocsr") else matrix


def _unreadable(path: Path, error: Exception) -> InvalidInput:
    # zipfile's errors quote what stands where a name should be, all of it
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return InvalidInput(f"{path}: cannot be read ({reason}); check that it is a whole {path.suffix} file")
