"""The playground: one page in which a step can be moved, and what it does be seen. Offline, one file."""

from surefoot.playground._page import page, play

__all__ = ["page", "play"]
