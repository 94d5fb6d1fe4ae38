"""Gradient norms out of a log file."""

import os

from surefoot.errors import InvalidInput
from surefoot.logs import read_log

__all__ = ["logged_norms"]

# What trainers call the norm before clipping.
KNOWN = ("grad_norm", "gradient_norm", "train/grad_norm", "grad-norm", "gnorm", "total_norm", "global_norm")


def logged_norms(path: str | os.PathLike[str], column: str | None = None) -> list[float]:
    """The gradient norms of a training log, in its order; for `clip_advice`.

    Parameters
    ----------
    path : path
        A .csv, .tsv, .jsonl or .json file, transformers' trainer_state.json, or TensorBoard's event file or folder.
    column : str, optional
        Name of the norms, before clipping. Default: the first of ``grad_norm``, ``gradient_norm``,
        ``train/grad_norm``, ``gnorm``, ``total_norm``, ``global_norm`` that is there.

    Returns
    -------
    list of float
        Rows without the column are left out; NaN and infinity are kept.

    Raises
    ------
    UnknownTarget
        If there is no such file.
    InvalidInput
        If it cannot be read, has no such column, or the column holds something that is no number.
    """
    rows = read_log(path).rows
    present = list(dict.fromkeys(name for row in rows for name in row))
    name = column if column is not None else next((known for known in KNOWN if known in present), None)
    if name is None or name not in present:
        asked = f"no column {column!r}" if column is not None else "no gradient norms that I know by name"
        raise InvalidInput(f"{path} has {asked}; it has {', '.join(present[:12])}; say which: column=NAME")
    found: list[float] = []
    for number, row in enumerate(rows, 1):
        # JSON has no NaN: a logger writes null
        if name in row:
            value = row[name]
            try:
                found.append(float("nan") if value is None else float(value))
            except (TypeError, ValueError):
                raise InvalidInput(f"{path}, row {number}: {name} is no number: {value!r}") from None
    return found
