"""Gradient norms out of a log."""

import math
from typing import Any

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.logs import read_curves, read_log
from surefoot.tables import abridge


@checked
def logged_norms(log: Any, column: str | None = None, *, until: float = math.inf) -> list[float]:
    """The gradient norms of a training log, in its order; for `clip_advice`.

    Parameters
    ----------
    log : path, DataFrame, mapping, or sequence
        What loggers write, as `surefoot.logs.read_log` takes it.
    column : str, optional
        Column of the norms before clipping (default: the one whose name says so, such as ``grad_norm``,
        ``train/grad_norm``, ``gnorm``, ``total_norm``).
    until : float
        Last step that counts (default: all). Of a run that diverged it is `surefoot.audits.Why.last_good`: norms of
        the divergence are no norms to set a cap by.

    Returns
    -------
    list of float
        Rows without the column are left out; NaN and infinity are kept.

    Raises
    ------
    UnknownTarget
        If there is no such file.
    InvalidInput
        If it cannot be read, has no such column, the column holds something that is no number, or nothing up to
        `until`.
    """
    file = read_log(log)
    norms = read_curves(file, {"norm": column}).norm
    if norms is None:
        columns = list(dict.fromkeys(name for row in file.rows for name in row))
        raise InvalidInput(
            f"{file.name} has no gradient norms that are known by name; it has {abridge(columns, 12)}; "
            "name their column with column= (--column)"
        )
    values = norms.values[norms.steps <= until].tolist()
    if not values:
        raise InvalidInput(f"{file.name} has no gradient norms up to step {until:g}; log them from the first step on")
    return values
