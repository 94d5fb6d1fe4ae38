"""The one shape of a progress callback, and the clock that it is told the time by."""

import time
from collections.abc import Callable

__all__ = ["Progress"]

# (done, total, what is going on, seconds left or None where they cannot be guessed yet). What it returns is not used.
Progress = Callable[[int, int, str, float | None], object]


class Clock:
    """Seconds since it was made, and those that are left at the pace so far."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since it was made."""
        return time.perf_counter() - self._began

    def left(self, done: int, total: int, *, least: int = 0) -> float | None:
        """Seconds left; None until more than `least` are done, before which the pace is not known."""
        return self.seconds * (total - done) / done if done > least else None
