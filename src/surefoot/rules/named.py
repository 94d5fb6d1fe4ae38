"""Rules by name, for the command and for tables of contenders: ``bb``, ``constant:0.1``, ``chebyshev``."""

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

# Reduction of the error by one cycle of Chebyshev's steps: longer cycles gain little (the rate per step is within 10%
# of its limit here) and round worse.
CHEBYSHEV_GAIN = 1e3


@checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Facts about a problem before a run, for the rules that need one.

    Parameters
    ----------
    largest, smallest : float or None
        L and mu, bounds on the curvature everywhere; None for no bound (mu: also for 0).
    optimum : float or None
        The least value f*.
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
    """A row of the table of rules by name.

    Parameters
    ----------
    name : str
        Word before the colon.
    summary : str
        Description of one line.
    build : callable
        Function from (name, known) to the rule.
    argument : str
        Name of the argument that may follow the colon; empty if none.
    """

    name: str
    summary: str
    build: Callable[[Name, Known], Rule]
    argument: str = ""


def named_rules() -> tuple[NamedRule, ...]:
    """All rules that have a name, in the order in which they are worth trying.

    Examples
    --------
    >>> from surefoot.rules import named_rules
    >>> [(rule.name, rule.summary) for rule in named_rules()][0]
    ('auto', 'when nothing is known: secant steps that adapt, guarded by the losses')
    """
    return _RULES


@checked
def named_rule(name: str, known: Known | None = None) -> Rule:
    """The rule of a name.

    Parameters
    ----------
    name : str
        ``name`` or ``name:argument``. A step is a number, a multiple of 1/L such as ``1.9/L``, ``safe`` (1/L) or
        ``optimal`` (2/(L + mu); 1/L where mu is 0).
    known : Known
        Facts about the problem that the rule may need.

    Returns
    -------
    Rule

    Raises
    ------
    InvalidInput
        If there is no such rule, its argument is wrong or missing, or it needs a fact that is not known.

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
    """The step in a name's argument; without an argument the first step that is known."""
    rule, argument = name.word, name.argument
    if not argument:
        if known.first is None:
            raise InvalidInput(f"{rule} needs a step; write {rule}:0.1, {rule}:safe or {rule}:1.9/L")
        return known.first
    factor, slash, unit = argument.partition("/")
    if argument not in ("safe", "optimal") and not (slash and unit == "L"):
        return _positive(rule, argument)
    if known.largest is None:
        raise InvalidInput(f"{name.text} needs the largest curvature L, which has no bound here; give a number")
    if not 0 < known.largest < math.inf:
        raise InvalidInput(f"{name.text}: L = {known.largest:.4g} gives no scale; give the step as a number")
    if argument == "optimal" and known.smallest:
        return 2 / (known.largest + known.smallest)
    return (1.0 if argument in ("safe", "optimal") else _positive(rule, factor)) / known.largest


def _positive(rule: str, text: str) -> float:
    return parse_number(text, f"{rule} takes a positive number, such as 0.1", positive=True)


def _smoothness(rule: str, known: Known) -> float:
    if known.largest is None or not 0 < known.largest < math.inf:
        raise InvalidInput(f"{rule} needs the largest curvature L, which has no bound here; try auto")
    return known.largest


def _polyak(name: Name, known: Known) -> Rule:
    if name.argument:
        return Polyak(optimum=parse_number(name.argument, "polyak takes the optimal value f*, a number"))
    if known.optimum is None:
        raise InvalidInput("polyak needs the optimal value f*, which is not known here; write polyak:0 if f* is 0")
    return Polyak(optimum=known.optimum)


def _chebyshev(name: Name, known: Known) -> Rule:
    largest = _smoothness("chebyshev", known)
    if not known.smallest:
        raise InvalidInput("chebyshev needs the smallest curvature mu, which is not known to be above 0; try auto")
    if name.argument:
        length = max(1, round(_positive(name.word, name.argument)))
    else:
        # the least T with cosh(2 T half_angle) >= the gain (see `Chebyshev.factor`); finite where mu = L
        half_angle = math.atanh(min(math.sqrt(known.smallest / largest), 1 - 1e-12))
        length = max(1, min(math.ceil(math.acosh(CHEBYSHEV_GAIN) / (2 * half_angle)), known.steps))
    return Chebyshev(smallest=min(known.smallest, largest), largest=largest, steps=length)


def _search(make: Callable[..., Rule], **settings: Any) -> Callable[[Name, Known], Rule]:
    """The builder of a rule that finds its own steps, given the first one to try."""
    return lambda _, known: make(first=known.first, **settings)


def _by_step(make: Callable[[float, int], Rule]) -> Callable[[Name, Known], Rule]:
    """The builder of a rule from the step in the argument and the number of steps of the run."""
    return lambda name, known: make(step_of(name, known), max(known.steps, 1))


_RULES = (
    NamedRule("auto", "when nothing is known: secant steps that adapt, guarded by the losses", _search(Auto)),
    NamedRule("bb", "Barzilai and Borwein's steps, long and short in turn, guarded", _search(BarzilaiBorwein)),
    NamedRule("bb-long", "Barzilai and Borwein's long steps only, guarded", _search(BarzilaiBorwein, kind="long")),
    NamedRule("bb-short", "Barzilai and Borwein's short steps only, guarded", _search(BarzilaiBorwein, kind="short")),
    NamedRule("adgd", "adaptive gradient descent: local smoothness, no search, proved for convex f", _search(AdGD)),
    NamedRule("armijo", "backtracking line search whose trials grow again", _search(Armijo)),
    NamedRule("wolfe", "line search for the strong Wolfe conditions", _search(StrongWolfe)),
    NamedRule("backtracking", "steps 1/L with an L that is estimated on the way, up and down", _search(Backtracking)),
    NamedRule("constant", "the same step every time", _by_step(lambda s, _: Constant(step=s)), "STEP"),
    NamedRule(
        "silver", "the silver schedule for convex f; needs L",
        lambda _, k: Silver(smoothness=_smoothness("silver", k)),
    ),
    NamedRule("chebyshev", "the best fixed steps for a quadratic; needs mu and L", _chebyshev, "LENGTH"),
    NamedRule("polyak", "steps from the gap to f*; needs f*", _polyak, "OPTIMUM"),
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
