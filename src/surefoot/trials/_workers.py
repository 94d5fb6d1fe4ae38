"""Runs that do not need each other, on joblib's workers: processes here, or the machines of Dask, Ray or Spark."""

import importlib
import sys
import warnings
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeVar

from surefoot.errors import InvalidInput, MissingExtra
from surefoot.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")


class Here:
    """A progress callback that stays in the process that made it; a copy elsewhere, in a worker, tells nobody.

    Parameters
    ----------
    progress : callable, optional
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress

    def __reduce__(self) -> tuple[type["Here"], tuple[()]]:
        return Here, ()

    def __call__(self, done: int, total: int, label: str, left: float | None) -> None:
        if self._progress is not None:
            self._progress(done, total, label, left)


def each(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None
) -> Generator[Result, None, None]:
    """Each item's result, in the order of the items, as soon as it and those before it are there.

    Parameters
    ----------
    function : callable
        Run in a worker, on copies of what it holds.
    items : sequence
    workers : int, optional
        How many at once; -1 for one a core. Default: what a surrounding ``joblib.parallel_config`` says, else 1. With 1
        all is done here, one after the other.

    Raises
    ------
    InvalidInput
        If workers is 0.
    MissingExtra
        If more than one are asked for and joblib is not installed.
    """
    pool = _pool(workers)
    if pool is None:
        yield from map(function, items)
        return
    joblib: Any = importlib.import_module("joblib")
    # Packed by cloudpickle whatever the backend, so that functions without a name travel too, and arrays arrive aligned
    # as they were here: Dask's own packing leaves them at any address, and sums then differ in their last bit.
    job = joblib.delayed(joblib.wrap_non_picklable_objects(function))
    if pool.return_generator:
        results = pool(map(job, items))
        try:
            for result in results:  # noqa: UP028 - `yield from` would hand the interrupt on to it
                yield result
        finally:
            # After an interrupt the runs that are under way are given up: wanted, so no word of joblib's.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                results.close()
        return
    # A backend that hands back lists only (Ray's): one round of all its workers after the other, so that there is
    # something to tell, and to keep on Ctrl-C, in between.
    at_once = joblib.effective_n_jobs(workers)
    for first in range(0, len(items), at_once):
        yield from pool(map(job, items[first : first + at_once]))


def _pool(workers: int | None) -> Any:
    """A ``joblib.Parallel``; None where all is to be done here."""
    if workers == 0:
        raise InvalidInput("workers must be a number of processes, or -1 for one a core; got 0")
    # a parallel_config is a thing of joblib's: where joblib is not imported there is none
    if workers == 1 or (workers is None and "joblib" not in sys.modules):
        return None
    try:
        joblib: Any = importlib.import_module("joblib")
    except ImportError as error:
        raise MissingExtra(
            "more than one worker needs joblib; pip install '.[workers]' in a checkout of Surefoot"
        ) from error
    try:
        return joblib.Parallel(n_jobs=workers, return_as="generator")
    except ValueError:
        return joblib.Parallel(n_jobs=workers)
