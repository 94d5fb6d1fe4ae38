"""What an objective gives at a point that an algorithm merely tries: a failure there is an answer, not the end."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from surefoot.errors import NotFinite, NotSmooth, SurefootError
from surefoot.operators import Array
from surefoot.problems._base import Problem

__all__ = ["attempt", "look"]


def attempt(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result, or None where it raises: a logarithm of a negative number, a matrix without a factor.

    The start is no trial: call the function itself there, so that a mistake in it shows as what it is.

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
    except Exception:  # whatever a user's objective has to say of a point outside its domain
        return None


def look(problem: Problem, x: Array) -> tuple[float, Array]:
    """Loss and gradient at a trial point; both nan where the problem raises."""
    both = attempt(problem.value_and_gradient, x)
    return (math.nan, np.full(x.shape, math.nan)) if both is None else both
