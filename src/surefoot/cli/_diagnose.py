"""What `advise` says of a differential equation: how stiff it is, and what to integrate it with."""

from collections.abc import Mapping
from typing import Any

from surefoot.cli._console import print_json, say
from surefoot.cli._failures import bad_input
from surefoot.errors import InvalidInput

__all__ = ["ODE_PREFIX", "diagnose"]

ODE_PREFIX = "ode:"


def diagnose(name: str, *, as_json: bool, options: Mapping[str, Any]) -> None:
    """Print the diagnosis of a built-in equation.

    Raises
    ------
    Stop
        If there is no such equation, or an option is given that says nothing here.
    """
    from surefoot.targets import ode

    with bad_input():
        for option, value in options.items():
            if value is not None:
                raise InvalidInput(f"{option} does not go with a differential equation; leave it out")
        equation = ode(name)
    found = equation.diagnose()
    if as_json:
        print_json({"kind": "diagnosis", "target": equation.name, **found.to_dict()})
        return
    say(f"{equation.name}: {equation.summary}")
    say(str(found))
