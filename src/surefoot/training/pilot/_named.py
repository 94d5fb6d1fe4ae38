"""Rules that a pilot knows by name."""

from collections.abc import Callable, Sequence

from torch.optim import SGD, Optimizer

from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import AlongStep, Autopilot, Cooldown, Known, Polyak, Rule, Sharpness, named_rule, named_rules
from surefoot.rules.names import parse_name
from surefoot.trials.factories import make_unless_named

_OWN: dict[str, Callable[[], Rule]] = {
    "auto": lambda: Autopilot(),
    "along-step": lambda: Cooldown(rule=AlongStep()),
    "sharpness": lambda: Cooldown(rule=Sharpness()),
}


def pilot_rule(name: str, total_steps: int | None) -> Rule:
    """The rule that a name, or ``module:factory``, stands for in training; schedules get the length of the run."""
    takes = {entry.name: entry.argument for entry in named_rules()} | dict.fromkeys(_OWN, "")
    own = make_unless_named(name, takes)
    if isinstance(own, Rule):
        return own
    if own is not None:
        raise InvalidType(f"{name}() returned a {type(own).__name__}; return a surefoot.rules.Rule")
    word = parse_name(name, takes).word
    if word in _OWN:
        return _OWN[word]()
    if total_steps is None and word in {"cosine", "linear", "one-cycle", "wsd"}:
        raise InvalidInput(f"{word} is a schedule for a run of known length; give total_steps")
    return named_rule(name, Known(steps=total_steps or 1))


def refuse_foreign_steps(rule: Rule, optimizers: Sequence[Optimizer]) -> None:
    """Polyak's step divides by |g|^2, so it is one for the gradient itself and for no other direction."""
    for optimizer in optimizers:
        plain = type(optimizer) is SGD and not any(group["momentum"] for group in optimizer.param_groups)
        if isinstance(rule, Polyak) and not plain:
            raise InvalidInput(
                f"Polyak's step is for plain gradients, and {type(optimizer).__name__} moves along another direction; "
                "use SGD with momentum=0, or rule='auto'"
            )
