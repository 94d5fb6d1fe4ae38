"""Rules by name, for a command line and for a table of contenders: ``bb``, ``constant:0.1``, ``chebyshev``."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.rules._base import Rule
from surefoot.rules.adaptive import AdGD, Auto, BarzilaiBorwein, Polyak
from surefoot.rules.names import Name, parse_name, parse_number
from surefoot.rules.schedules import (
    WSD,
    Chebyshev,
    Constant,
    Cosine,
    InverseSqrt,
    InverseTime,
    Linear,
    OneCycle,
    Silver,
    Subgradient,
)
from surefoot.rules.searches import Armijo, Backtracking, StrongWolfe

__all__ = ["Known", "NamedRule", "named_rule", "named_rules"]

# A cycle of Chebyshev's steps reduces the error by this much: longer ones gain little (the rate per step is within
# 10% of its limit here) and round worse.
CHEBYSHEV_GAIN = 1e3


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of a problem before a run; a rule that is told something takes it from here.

    Parameters
    ----------
    largest, smallest : float or None
        L and mu: bounds on the curvature everywhere; None where there is none (mu: or where it is 0).
    optimum : float or None
        f*.
    steps : int
        Length of the run.
    first : float or None
        First step to try, for rules that find their own.
    """

    largest: float | None = None
    smallest: float | None = None
    optimum: float | None = None
    steps: int = 1000
    first: float | None = None


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule that has a name.

    Parameters
    ----------
    name : str
        Name to type before the colon.
    summary : str
        One line.
    build : callable
        Function from (name, known) to the rule.
    argument : str
        Argument that may follow the colon, for a person; empty if none.
    """

    name: str
    summary: str
    build: Callable[[Name, Known], Rule]
    argument: str = ""


def named_rules() -> tuple[NamedRule, ...]:
    """All of them, in the order they are worth trying.

    Examples
    --------
    >>> from surefoot.rules import named_rules
    >>> [(rule.name, rule.summary) for rule in named_rules()][0]
    ('auto', 'when nothing is known: secant steps that adapt, guarded by the losses')
    """
    return _RULES


@checked
def named_rule(name: str, known: Known | None = None) -> Rule:
    """The rule that a name stands for.

    Parameters
    ----------
    name : str
        ``name`` or ``name:argument``. A step is a number, a multiple of 1/L such as ``1.9/L``, ``safe`` (1/L) or
        ``optimal`` (2/(L + mu); 1/L where mu is 0).
    known : Known
        Facts of the problem that the rule may be told.

    Returns
    -------
    Rule

    Raises
    ------
    InvalidInput
        If there is no such rule, its argument is wrong or missing, or it needs to be told what is not known.

    Examples
    --------
    >>> from surefoot.rules.named import Known, named_rule
    >>> named_rule("constant:0.1")
    Constant(step=0.1)
    >>> named_rule("constant:1.9/L", Known(largest=4.0))
    Constant(step=0.475)
    >>> named_rule("amijo")
    Traceback (most recent call last):
    surefoot.errors.InvalidInput: unknown rule 'amijo'; did you mean armijo?
    """
    given = parse_name(name, {entry.name: entry.argument for entry in _RULES})
    entry = next(entry for entry in _RULES if entry.name == given.word)
    return entry.build(given, Known() if known is None else known)


def step_of(name: Name, known: Known) -> float:
    """The step that a name's argument says, or without one the first step that is known."""
    rule, argument = name.word, name.argument
    if not argument:
        if known.first is None:
            raise InvalidInput(f"{rule} needs a step; write {rule}:0.1, {rule}:safe or {rule}:1.9/L")
        return known.first
    factor, slash, unit = argument.partition("/")
    if argument in ("safe", "optimal") or (slash and unit == "L"):
        if known.largest is None:
            raise InvalidInput(
                f"{name.text} is said in terms of the largest curvature L, which has no bound here; give a number"
            )
        if not 0 < known.largest < math.inf:
            raise InvalidInput(f"{name.text}: L = {known.largest:.4g} gives no scale; give the step as a number")
        if argument == "optimal":
            return 2 / (known.largest + (known.smallest or 0.0)) if known.smallest else 1 / known.largest
        return (1.0 if argument == "safe" else _positive(rule, factor)) / known.largest
    return _positive(rule, argument)


def _positive(rule: str, text: str) -> float:
    return parse_number(text, f"{rule} takes a positive number, such as 0.1", positive=True)


def _smoothness(rule: str, known: Known) -> float:
    if known.largest is None or not 0 < known.largest < math.inf:
        raise InvalidInput(f"{rule} is told the largest curvature L, which has no bound here; try auto")
    return known.largest


def _polyak(name: Name, known: Known) -> Rule:
    if name.argument:
        return Polyak(optimum=parse_number(name.argument, "polyak takes the optimal value f*, a number"))
    if known.optimum is None:
        raise InvalidInput("polyak is told the optimal value f*, which is not known here; write polyak:0 if f* is 0")
    return Polyak(optimum=known.optimum)


def _chebyshev(name: Name, known: Known) -> Rule:
    largest = _smoothness("chebyshev", known)
    if not known.smallest:
        raise InvalidInput("chebyshev is told the smallest curvature mu, which is not known to be above 0; try auto")
    if name.argument:
        length = max(1, round(_positive(name.word, name.argument)))
    else:
        half_angle = math.atanh(min(math.sqrt(known.smallest / largest), 1 - 1e-12))
        length = max(1, min(math.ceil(math.acosh(CHEBYSHEV_GAIN) / (2 * half_angle)), known.steps))
    return Chebyshev(smallest=min(known.smallest, largest), largest=largest, steps=length)


def _search(make: Callable[..., Rule], **settings: Any) -> Callable[[Name, Known], Rule]:
    """A rule that finds its own steps, told the first one to try."""
    return lambda _, known: make(first=known.first, **settings)


def _by_step(make: Callable[[float, int], Rule]) -> Callable[[Name, Known], Rule]:
    """A rule made from the step that the argument says, and the number of steps of the run."""
    return lambda name, known: make(step_of(name, known), max(known.steps, 1))


_RULES = (
    NamedRule("auto", "when nothing is known: secant steps that adapt, guarded by the losses", _search(Auto)),
    NamedRule("bb", "Barzilai and Borwein's steps, long and short in turn, guarded", _search(BarzilaiBorwein)),
    NamedRule("bb-long", "the long ones only", _search(BarzilaiBorwein, kind="long")),
    NamedRule("bb-short", "the short ones only", _search(BarzilaiBorwein, kind="short")),
    NamedRule("adgd", "adaptive gradient descent: local smoothness, no search, proved for convex f", _search(AdGD)),
    NamedRule("armijo", "backtracking line search whose trials grow again", _search(Armijo)),
    NamedRule("wolfe", "line search for the strong Wolfe conditions", _search(StrongWolfe)),
    NamedRule("backtracking", "steps 1/L with an L that is estimated on the way, up and down", _search(Backtracking)),
    NamedRule("constant", "the same step every time", _by_step(lambda s, _: Constant(step=s)), "STEP"),
    NamedRule(
        "silver", "the silver schedule: told L, for convex f",
        lambda _, k: Silver(smoothness=_smoothness("silver", k)),
    ),
    NamedRule("chebyshev", "the best fixed steps for a quadratic: told mu and L", _chebyshev, "LENGTH"),
    NamedRule("polyak", "from the gap to f*: told f*", _polyak, "OPTIMUM"),
    NamedRule(
        "cosine", "half a cosine from STEP to 0 over the run",
        _by_step(lambda s, n: Cosine(step=s, steps=n)), "STEP",
    ),
    NamedRule(
        "linear", "a straight line from STEP to 0 over the run",
        _by_step(lambda s, n: Linear(step=s, steps=n)), "STEP",
    ),
    NamedRule(
        "one-cycle", "up to STEP and down again",
        _by_step(lambda s, n: OneCycle(peak=s, steps=max(n, 2))), "STEP",
    ),
    NamedRule("wsd", "warm up to STEP, stay, decay", _by_step(lambda s, n: WSD(peak=s, steps=n)), "STEP"),
    NamedRule("inverse-time", "STEP/(1 + k)", _by_step(lambda s, _: InverseTime(step=s)), "STEP"),
    NamedRule("inverse-sqrt", "STEP/sqrt(1 + k)", _by_step(lambda s, _: InverseSqrt(step=s)), "STEP"),
    NamedRule(
        "subgradient", "moves of length LENGTH/sqrt(k) along the normalised subgradient, for f that is not smooth",
        _by_step(lambda s, _: Subgradient(length=s)), "LENGTH",
    ),
)  # fmt: skip
