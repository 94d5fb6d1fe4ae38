"""What can run by name: every named rule, and momentum with the parameters that theory gives it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from surefoot.checks import checked
from surefoot.errors import InvalidInput, InvalidType, NotSmooth
from surefoot.methods import GradientDescent, HeavyBall, Method, Nesterov
from surefoot.problems import Problem
from surefoot.rules import Constant, Known, Rule, named_rule, named_rules
from surefoot.rules.named import step_of
from surefoot.rules.names import Name, parse_name, parse_number
from surefoot.solvers import FISTA
from surefoot.trials._curvature import global_curvature
from surefoot.trials.factories import make_unless_named


@dataclass(frozen=True, slots=True)
class Contender:
    """A rule with the method whose steps it decides.

    Parameters
    ----------
    name : str
        Name as it was typed.
    rule : Rule
    method : Method
    """

    name: str
    rule: Rule
    method: Method


def contender_names() -> dict[str, str]:
    """Name, with what may follow its colon, to a line about it."""
    rules = {r.name + (f":{r.argument}" if r.argument else ""): r.summary for r in named_rules()}
    return rules | {name: summary for name, (summary, _) in MOMENTUM.items()}


@checked
def contender(name: str, known: Known) -> Contender:
    """The contender that a name stands for.

    Parameters
    ----------
    name : str
        A rule's name (see `surefoot.rules.named_rule`), ``fista``, ``nesterov``, ``heavy-ball``, or ``module:factory``
        of your own (see `surefoot.trials.factories.make`), which returns a rule, a method (taken at its best step for
        mu and L), or both, (rule, method).
    known : Known
        Facts about the problem that a rule may use.

    Returns
    -------
    Contender

    Raises
    ------
    InvalidInput
        If there is none of that name, its argument is wrong, or it needs a fact that is not known.
    InvalidType
        If a factory returns anything else.
    """
    takes = {rule.name: rule.argument for rule in named_rules()} | dict.fromkeys(MOMENTUM, "MOMENTUM")
    own = make_unless_named(name, takes)
    if own is not None:
        return Contender(name, *_of_own(name, own, known))
    given = parse_name(name, takes)
    if given.word in MOMENTUM:
        rule, method = MOMENTUM[given.word][1](given, known)
        return Contender(name, rule, method)
    return Contender(name, named_rule(name, known), GradientDescent())


def usual_contenders(problem: Problem, known: Known) -> tuple[str, ...]:
    """Names of the contenders worth seeing side by side on a problem."""
    names = ["auto", "bb", "bb-short", "adgd", "armijo"]
    if not _smooth(problem):
        return ("auto", "bb", "armijo", "polyak", "subgradient:1")
    if known.largest is None:
        return tuple(names)
    if not problem.constant_curvature:
        return (*names, "constant:safe", "fista")
    names.remove("bb-short")
    return (*names, "constant:optimal", *(("chebyshev", "heavy-ball") if known.smallest else ("fista",)))


@checked
def known_of(problem: Problem, steps: int, *, optimum: float | None = None, first: float | None = None) -> Known:
    """What a problem knows of itself: curvature bounds that hold everywhere, where there are some."""
    spec = global_curvature(problem)
    if spec is None:
        return Known(optimum=optimum, steps=steps, first=first)
    top, bottom = spec.largest.upper, spec.smallest.lower
    return Known(
        largest=top if 0 < top < float("inf") else None,
        smallest=bottom if bottom > 0 else None,
        optimum=optimum,
        steps=steps,
        first=first,
    )


def _smooth(problem: Problem) -> bool:
    try:
        problem.curvature()
    except NotSmooth:
        return False
    except NotImplementedError:
        pass
    return True


def _of_own(name: str, made: Any, known: Known) -> tuple[Rule, Method]:
    """The rule and the method of what a user's factory made: a rule, a method, or both."""
    if known.first is not None:
        raise InvalidInput(f"{name} says its own steps, and a step was given as well; leave it out")
    if isinstance(made, Rule):
        return made, GradientDescent()
    if isinstance(made, Method):
        return Constant(step=made.best_step(*_curvature_ends(name, known))[0]), made
    match made:
        case (Rule() as rule, Method() as method):
            return rule, method
        case _:
            raise InvalidType(
                f"{name}() returned a {type(made).__name__}; return a rule, a method, or the two, (rule, method)"
            )


def _curvature_ends(name: str, known: Known) -> tuple[float, float]:
    """The smallest and the largest curvature, mu and L.

    Raises
    ------
    InvalidInput
        If they are not both known to be above 0.
    """
    if known.largest is None or not known.smallest:
        raise InvalidInput(f"{name} needs mu and L, which are not both known here to be above 0; try fista or auto")
    return known.smallest, known.largest


def _fista(name: Name, known: Known) -> tuple[Rule, Method]:
    return Constant(step=step_of(replace(name, argument=name.argument or "safe"), known)), FISTA()


def _momentum(name: Name, known: Known, kind: type[Nesterov] | type[HeavyBall]) -> tuple[Rule, Method]:
    """The method with the momentum that was typed, or the best one, at its best step."""
    mu, top = _curvature_ends(name.word, known)
    if name.argument:
        momentum = parse_number(name.argument, f"{name.word} takes its momentum, a number in [0, 1)")
        method = kind(momentum)
        return Constant(step=method.best_step(mu, top)[0]), method
    method, step = kind.best(mu, top)
    return Constant(step=step), method


# Methods with momentum by name: a line about each, and what makes its rule and itself.
MOMENTUM: dict[str, tuple[str, Callable[[Name, Known], tuple[Rule, Method]]]] = {
    "fista": ("Nesterov's varying momentum with restart, steps 1/L", _fista),
    "nesterov": ("Nesterov's constant momentum, the best for mu and L", lambda n, k: _momentum(n, k, Nesterov)),
    "heavy-ball": ("Polyak's heavy ball, the best for mu and L", lambda n, k: _momentum(n, k, HeavyBall)),
}
