"""Rules that a pilot knows by name."""

from collections.abc import Callable

from surefoot.errors import InvalidInput
from surefoot.rules._along_step import AlongStep
from surefoot.rules._autopilot import Autopilot
from surefoot.rules._base import Rule
from surefoot.rules._cooldown import Cooldown
from surefoot.rules._named import Known, named_rule, named_rules, unknown_rule
from surefoot.rules._sharpness import Sharpness

__all__ = ["pilot_rule"]

_OWN: dict[str, Callable[[], Rule]] = {
    "auto": lambda: Autopilot(),
    "along-step": lambda: Cooldown(rule=AlongStep()),
    "sharpness": lambda: Cooldown(rule=Sharpness()),
}


def pilot_rule(name: str, total_steps: int | None) -> Rule:
    """The rule that a name stands for in training; schedules are told the length of the run.

    Raises
    ------
    InvalidInput
        If there is none, or a schedule needs a length that is not known.
    """
    word = name.strip().partition(":")[0]
    if word in _OWN:
        if word != name.strip():
            raise InvalidInput(f"the rule {word} takes no argument; got {name!r}")
        return _OWN[word]()
    shared = [entry.name for entry in named_rules() if entry.name not in _OWN]
    if word not in shared:
        raise unknown_rule(name, [*_OWN, *shared])
    if total_steps is None and word in {"cosine", "linear", "one-cycle", "wsd"}:
        raise InvalidInput(f"{word} is a schedule for a run of known length; give total_steps")
    return named_rule(name, Known(steps=total_steps or 1))
