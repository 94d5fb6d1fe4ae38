"""Twelve practices of a course on step sizes: a task, a cell to fill, and a check that says why an answer is wrong."""

from surefoot.testing.practices._practice import Practice, Verdict, practice, practices

__all__ = ["Practice", "Verdict", "practice", "practices"]
