"""What a file declares, checked before anything of that size is allocated and before compiled code follows its indices.

A header is a promise by whoever wrote the file. NumPy allocates what a header says, SciPy follows the indices of a
sparse matrix without looking, and a few kilobytes of an archive unpack to gigabytes: so sizes first, then indices, then
content.
"""

import re
import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from surefoot.errors import InvalidInput

# By convention: what a problem from a file may take in memory; more belongs in Python, as an operator.
MOST_BYTES = 2**31
# By convention: a problem has two arrays, a sparse matrix five.
MOST_ARRAYS = 1000
# Bytes that a sparse matrix takes for each row and column, entries aside: pointers, and a few vectors.
PER_UNKNOWN = 32
# A longer header holds a dtype with thousands of fields, which is no table of numbers.
LONGEST_HEADER = 10_000

# A number of a Matrix Market file. SciPy reads a prefix of what it does not know.
ENTRY = re.compile(rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:inf|nan|infinity)", re.IGNORECASE)
# What the first line of a Matrix Market file may say.
FIELDS = ("real", "integer", "complex", "pattern", "double", "unsigned-integer")
SYMMETRIES = ("general", "symmetric", "skew-symmetric", "hermitian")


def check_array(path: Path, file: IO[bytes], size: int) -> None:
    """Check that the header of a .npy file promises no more than there is, and no more than is read.

    Parameters
    ----------
    path : path
    file : binary file
        At its beginning.
    size : int
        Bytes in it.

    Raises
    ------
    InvalidInput
        If it holds objects, or is larger than what is read.
    ValueError
        If it is no .npy file, or cut off.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file, max_header_size=LONGEST_HEADER)
    if dtype.hasobject:
        raise InvalidInput(
            f"{path} holds pickled objects, which are not read since they can run code; save an array of numbers: "
            "array.astype(float)"
        )
    declared = prod(int(n) for n in shape) * dtype.itemsize
    _refuse_large(path, declared)
    if declared > size - file.tell():
        raise ValueError(f"its header promises {declared:,} bytes and there are {size - file.tell():,}")


def check_archive(path: Path) -> None:
    """Check that the arrays of a .npz archive are what their headers say, and fit.

    Raises
    ------
    InvalidInput
        If they do not fit, or hold objects.
    ValueError
        If a member is no array, or the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > MOST_ARRAYS:
            raise InvalidInput(f"{path} holds {len(members)} arrays; keep the two of a problem")
        _refuse_large(path, sum(member.file_size for member in members))
        for member in members:
            if not member.filename.endswith(".npy"):
                raise ValueError(f"{member.filename} in it is no array")
            with archive.open(member) as file:
                check_array(path, file, member.file_size)


def sparse_matrix(path: Path, arrays: Mapping[str, Any]) -> Any:
    """A scipy.sparse matrix from the arrays of its archive, its structure checked.

    Raises
    ------
    InvalidInput
        If its shape is too large, or it is of a format that is not read.
    ValueError
        If an index is out of range, or lengths do not agree.
    """
    from scipy import sparse

    kind = arrays["format"].item()
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    rows, columns = _shape(path, arrays["shape"])
    data = np.asarray(arrays["data"])
    if data.dtype.kind not in "biufc":
        raise ValueError(f"its entries are {data.dtype}, not numbers")
    if kind in ("csr", "csc"):
        indices, pointers = _whole(arrays["indices"]), _whole(arrays["indptr"])
        major, minor = (rows, columns) if kind == "csr" else (columns, rows)
        _check_compressed(data, indices, pointers, major, minor)
        make = sparse.csr_array if kind == "csr" else sparse.csc_array
        return make((data, indices, pointers), shape=(rows, columns))
    if kind == "coo":
        at, across = _whole(arrays["row"]), _whole(arrays["col"])
        if not data.ndim == at.ndim == across.ndim == 1 or not len(data) == len(at) == len(across):
            raise ValueError("row, col and data differ in length")
        _check_range(at, rows)
        _check_range(across, columns)
        return sparse.coo_array((data, (at, across)), shape=(rows, columns))
    raise InvalidInput(f"{path} holds a sparse matrix of format {kind[:20]!r}; save it as matrix.tocsr()")


def check_market(path: Path) -> None:
    """Check the lines of a Matrix Market file: SciPy's reader takes what it does not know for a shorter number.

    Raises
    ------
    InvalidInput
        If what it declares does not fit.
    ValueError
        If its header is unknown, an entry is no number or an index out of range, or lines are missing.
    """
    with path.open("rb") as file:
        head = file.readline(1024).lower().split()
        if len(head) < 5 or head[0] != b"%%matrixmarket" or head[1] != b"matrix":
            raise ValueError("the first line is no header such as %%MatrixMarket matrix coordinate real general")
        layout, field, symmetry = (word.decode("ascii", "replace") for word in head[2:5])
        if layout not in ("coordinate", "array") or field not in FIELDS or symmetry not in SYMMETRIES:
            raise ValueError(f"unknown kind of matrix: {layout} {field} {symmetry}"[:120])
        number, line = 1, b"%"
        while line and (line.lstrip().startswith(b"%") or not line.strip()):
            line, number = file.readline(4096), number + 1
        sizes = _counts(line, 3 if layout == "coordinate" else 2, number)
        coordinate = layout == "coordinate"
        width = {"complex": 2, "pattern": 0}.get(field, 1)
        entries = sizes[2] if coordinate else _dense(sizes[0], sizes[1], symmetry)
        _refuse_large(path, (sizes[0] + sizes[1]) * PER_UNKNOWN + entries * 24 if coordinate else 16 * entries)
        seen = 0
        for raw in iter(lambda: file.readline(4096), b""):
            number += 1
            cells = raw.split()
            if not cells or cells[0].startswith(b"%"):
                continue
            seen += 1
            indices = cells[:2] if coordinate else []
            for index, most in zip(indices, sizes, strict=False):
                if not index.isdigit() or len(index) > 18 or not 1 <= int(index) <= most:
                    raise ValueError(f"line {number}: index {_show(index)} is not in 1..{most}")
            values = cells[len(indices) :]
            if len(indices) < 2 * coordinate or len(values) != width:
                raise ValueError(f"line {number}: expected {2 * coordinate + width} numbers, got {len(cells)}")
            for value in values:
                if not ENTRY.fullmatch(value):
                    raise ValueError(f"line {number}: {_show(value)} is no number; write it as 1.5e+03")
        if seen != entries:
            raise ValueError(f"it declares {entries:,} entries and has {seen:,}")


def _dense(rows: int, columns: int, symmetry: str) -> int:
    """Entries of a dense matrix, of which a symmetric one has a triangle."""
    if symmetry == "general":
        return rows * columns
    return rows * (rows + 1) // 2 if symmetry != "skew-symmetric" else rows * (rows - 1) // 2


def _counts(line: bytes, count: int, number: int) -> list[int]:
    cells = line.split()
    if len(cells) != count or not all(cell.isdigit() and len(cell) <= 18 for cell in cells):
        raise ValueError(f"line {number}: expected {count} sizes, got {_show(line)}")
    return [int(cell) for cell in cells]


def _show(text: bytes) -> str:
    return repr(text.decode("ascii", "replace").strip()[:40])


def _shape(path: Path, shape: Any) -> tuple[int, int]:
    sizes = _whole(shape)
    if sizes.shape != (2,) or sizes.min() < 0:
        raise ValueError("its shape is not two sizes")
    rows, columns = (int(n) for n in sizes)
    _refuse_large(path, (rows + columns) * PER_UNKNOWN)
    return rows, columns


def _whole(array: Any) -> Any:
    numbers = np.asarray(array)
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"its indices are {numbers.dtype}, not whole numbers")
    return numbers.astype(np.int64)


def _check_compressed(data: Any, indices: Any, pointers: Any, major: int, minor: int) -> None:
    if not data.ndim == indices.ndim == pointers.ndim == 1 or len(pointers) != major + 1:
        raise ValueError("its pointers and its shape differ in length")
    if pointers[0] != 0 or np.any(np.diff(pointers) < 0) or pointers[-1] > min(len(indices), len(data)):
        raise ValueError("its pointers do not rise from 0 to the number of entries")
    _check_range(indices, minor)


def _check_range(indices: Any, most: int) -> None:
    if len(indices) and not (int(indices.min()) >= 0 and int(indices.max()) < most):
        raise ValueError(f"an index is not in 0..{most - 1}")


def _refuse_large(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise InvalidInput(
            f"{path} declares {size / 2**30:.3g} GB, and at most {MOST_BYTES >> 30} GB are read; give a part of it, or "
            "an operator in Python"
        )
