"""Rows for what a user brings: a file, and a function in a module."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from surefoot.checks import as_path
from surefoot.targets._entry import Entry, Option
from surefoot.targets._formats import SUFFIXES, check_path
from surefoot.targets._problem import ProblemTarget


def _names_a_file(name: str) -> Mapping[str, Any] | None:
    if ".py:" in name:  # a function in a module, whose row says how one is named
        return None
    path = as_path(name)
    # a separator of either system: what was copied from the other one is a file that is not here, and no module
    if path.suffix.lower() not in SUFFIXES and not {"/", "\\"} & set(name) and not _is_there(path):
        return None
    # a missing file is reported before any other objection that a verb may have
    check_path(path)
    return {"path": name}


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # longer than a name may be
        return False


def _file(rng: int, path: str, loss: Any = None, label: str | None = None, **fit: Any) -> tuple[ProblemTarget, ...]:
    from surefoot.targets._files import load_problem

    return (ProblemTarget(load_problem(path, loss=loss, label=label, **fit), rng=rng),)


def _factory(rng: int, name: str) -> tuple[Any, ...]:
    from surefoot.targets._factory import load_factory

    return (load_factory(name, rng=rng),)


# The rows, in the order in which they are tried: a file is known by its ending, so it comes first.
OWN = (
    Entry(
        name="FILE",
        kind="problem",
        summary="a .npy, .npz, .mtx or .csv file: a symmetric matrix, or a table of data with --loss",
        build=_file,
        options=(
            Option(name="loss", type=str, metavar="NAME", help="quadratic, least-squares, logistic or softmax"),
            Option(
                name="label",
                type=str,
                metavar="COLUMN",
                help="the column to predict, by name or by index from 0 [the last one]",
            ),
            Option(name="ridge", type=float, metavar="R", help="a ridge, in the unit of the curvature [0]"),
            Option(name="intercept", type=bool, help="fit a constant as well, which the ridge leaves alone"),
        ),
        whose="a file",
        recognise=_names_a_file,
    ),
    Entry(
        name="MODULE:FACTORY",
        kind=None,
        summary="a function of yours: (model, loss, data), (f, x0), a problem, a matrix, a targets.ODE or a Map",
        build=_factory,
        # ode: is the prefix of the built-in equations, and one that is misspelt is no module of the user's
        recognise=lambda name: {"name": name} if ":" in name and not name.startswith("ode:") else None,
    ),
)
