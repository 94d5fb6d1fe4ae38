"""Evaluation of an objective at trial points, where a failure is an answer and not an error."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from surefoot.errors import NotFinite, NotSmooth, SurefootError
from surefoot.operators import Array
from surefoot.problems._base import Problem

__all__ = ["attempt", "look"]


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result, or None if it raises: the logarithm of a negative number, a matrix without a factor.

    The start is not a trial point: call the function itself there, so that a mistake in it raises.

    Raises
    ------
    SurefootError
        If the function raises one that is neither `NotFinite` nor `NotSmooth`: it is about the call, not the point.
    MemoryError
        If there is no memory left.
    """
    try:
        return function(*arguments)
    except (NotFinite, NotSmooth):
        return None
    except (MemoryError, SurefootError):
        raise
    except Exception:  # whatever a user's objective raises outside its domain
        return None


def look(problem: Problem, x: Array) -> tuple[float, Array]:
    """Loss and gradient at a trial point; both nan if the problem raises."""
    both = attempt(problem.value_and_gradient, x)
    return (math.nan, np.full(x.shape, math.nan)) if both is None else both
