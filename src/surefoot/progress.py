"""The one shape of a progress callback."""

from collections.abc import Callable

__all__ = ["Progress"]

# (done, total, what is going on, seconds left or None where they cannot be guessed yet). What it returns is not used.
Progress = Callable[[int, int, str, float | None], object]
