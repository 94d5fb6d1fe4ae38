"""The exam of a step rule: it descends, it is pure, it checkpoints, it declares what it reads, it survives bad news."""

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from surefoot.checks import checked
from surefoot.errors import InvalidInput
from surefoot.methods import Method
from surefoot.operators import Array
from surefoot.problems import Function, Problem, Quadratic
from surefoot.records import Record
from surefoot.rules import Decision, Observation, Rule, Wrapper
from surefoot.solvers.descend import SUPPLIED, descend

# A power of 16: scaling by it, and the square root of it, is exact in floating point.
UNIT = float(2**20)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCheck(Record):
    """What the exam saw.

    Parameters
    ----------
    decrease : float or None
        (least loss - first loss)/|first loss| of its run, negative; None where the caller's observations took the
        place of a run.
    evaluations : int
        Gradients that the run cost; 0 without one.
    covariance : float or None
        Largest relative deviation of the steps after a change of the loss's unit; None where it was not asked for.
    """

    decrease: float | None
    evaluations: int
    covariance: float | None


@checked
def check_rule(
    rule: Rule,
    problem: Problem | None = None,
    *,
    observe: Callable[[int, Decision | None], Any] | None = None,
    rescaled: Callable[[float], Rule] | None = None,
    method: Method | None = None,
    steps: int = 100,
    tolerance: float = 1e-9,
) -> RuleCheck:
    """Examine a rule on a problem that it is meant for, or on observations of the caller's own.

    Parameters
    ----------
    rule : Rule
        The candidate.
    problem : Problem, optional
        Problem of the class that it is meant for; default a quadratic with curvatures 1 and 10.
    observe : callable, optional
        (k, the decision before or None) to the k-th observation: any object with what the rule `needs`. For a rule that
        reads what no problem shows (an integrator's error, a training run's losses). No run is made then: that the rule
        descends and that its steps scale is not examined, all else is.
    rescaled : callable, optional
        c to the rule for the problem with its loss times c: steps have to be 1/c times as long. For a rule without
        units ``lambda c: rule``.
    method : Method, optional
        Method that takes the steps; default gradient descent.
    steps : int
        Length of the run.
    tolerance : float
        Relative deviation allowed of the rescaled steps.

    Returns
    -------
    RuleCheck

    Raises
    ------
    InvalidInput
        With what failed: the loss never fell; `update` is not a function of its arguments; a state does not survive
        JSON; a value was read that `needs` does not name; a bad observation was answered with a step that is
        negative or not finite; steps do not scale.

    Examples
    --------
    >>> from surefoot.rules import Constant
    >>> from surefoot.testing import check_rule
    >>> check_rule(Constant(step=0.1), rescaled=lambda c: Constant(step=0.1 / c)).covariance
    0.0
    """
    if observe is not None:
        if problem is not None or rescaled is not None or method is not None:
            raise InvalidInput("observe takes the place of a run; give no problem, method or rescaled rule with it")
        _walk(_Examined(rule=rule), observe, steps)
        _survive_bad_news(rule, observe)
        return RuleCheck(decrease=None, evaluations=0, covariance=None)
    problem = Quadratic(np.diag([1.0, 10.0]), np.ones(2)) if problem is None else problem
    unknown = rule.needs - SUPPLIED
    if unknown:
        raise InvalidInput(
            f"{_name(rule)}.needs names {sorted(unknown)}, which no problem shows; give observations by `observe`"
        )
    # tol=0: the rule is asked for all of the steps, also at the minimum
    plain = descend(problem, rule=_Examined(rule=rule), method=method, steps=steps, tol=0.0)
    first, least = float(plain.trace.loss[0]), float(np.nanmin(plain.trace.loss))
    if not least < first:
        raise InvalidInput(f"{_name(rule)} never got below the first loss {first:g} in {steps} steps")
    _survive_bad_news(rule, lambda k, _: _Ones(k))
    deviation = None
    if rescaled is not None:
        other = descend(_rescale(problem, UNIT), rule=rescaled(UNIT), method=method, steps=steps, tol=0.0)
        deviation = _deviation(plain.trace.step, UNIT * other.trace.step)
        if not deviation <= tolerance:
            raise InvalidInput(
                f"{_name(rule)}: with the loss times {UNIT:g} its steps deviate by {deviation:.3g}, relative"
            )
    return RuleCheck(
        decrease=(least - first) / abs(first) if first else -math.inf,
        evaluations=plain.evaluations,
        covariance=deviation,
    )


def _name(rule: Rule) -> str:
    return type(rule).__name__


def _deviation(steps: Array, others: Array) -> float:
    if steps.shape != others.shape:
        return math.inf
    pairs = zip(steps[1:].tolist(), others[1:].tolist(), strict=True)
    return max((abs(a - b) / max(abs(a), abs(b)) for a, b in pairs if a != b), default=0.0)


class _Examined(Wrapper):
    """Asks everything twice, the second time with a state that went through JSON, and hands out what was declared."""

    def init(self) -> Any:
        return self.rule.init()

    def update(self, state: Any, observation: Observation) -> tuple[Decision, Any]:
        declared = cast(Observation, _Declared(observation, self.rule))
        answer = self.rule.update(state, declared)
        # by their text: nan equals itself there
        if repr(answer) != repr(self.rule.update(state, declared)):
            raise InvalidInput(f"{_name(self.rule)}.update gave two answers to the same question; it has to be pure")
        text = json.dumps(self.rule.dump(state), allow_nan=False)
        if repr(answer) != repr(self.rule.update(self.rule.load(json.loads(text)), declared)):
            raise InvalidInput(
                f"{_name(self.rule)} decides otherwise after its state went through JSON: keep all of it in init()"
            )
        return answer


class _Declared:
    """An observation without what the rule did not declare."""

    def __init__(self, observation: Observation, rule: Rule) -> None:
        self._observation = observation
        self._rule = rule

    def __getattr__(self, name: str) -> Any:
        if name not in self._rule.needs and name not in ("iteration", "step"):
            raise InvalidInput(f"{_name(self._rule)} reads {name}, which its `needs` does not name")
        return getattr(self._observation, name)


class _Ones:
    """An observation with the value 1 everywhere."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration
        self.step = math.nan if iteration == 0 else 1.0

    def __getattr__(self, name: str) -> float:
        return 1.0


class _Spoiled:
    """An observation whose floats, alone and in tuples, are all the same bad one."""

    def __init__(self, observation: Any, value: float) -> None:
        self._observation = observation
        self._value = value

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._observation, name)
        if name in ("iteration", "step"):
            return value
        if isinstance(value, tuple):
            return (self._value,) * len(cast("tuple[float, ...]", value))
        return self._value if isinstance(value, float) else value


def _walk(rule: Rule, observe: Callable[[int, Decision | None], Any], steps: int) -> None:
    state, decision = rule.init(), None
    for k in range(steps):
        decision, state = rule.update(state, observe(k, decision))


def _survive_bad_news(rule: Rule, observe: Callable[[int, Decision | None], Any]) -> None:
    """Nothing that a sensor can say may lead to a step that is negative or not finite: `Decision` refuses those."""
    # what a sensor reports where a run overflows, underflows, or stands at a stationary point
    values = (math.nan, math.inf, -math.inf, 0.0, 1e300, -1e300, 1e-300)
    for first, second in itertools.product(values, repeat=2):
        state, decision = rule.init(), None
        # good observations between the bad ones: a rule must survive what it kept of them, too
        for k, value in enumerate((first, None, second, None, second)):
            seen = observe(k, decision)
            try:
                decision, state = rule.update(
                    state, seen if value is None else cast(Observation, _Spoiled(seen, value))
                )
            except (ArithmeticError, ValueError, TypeError, LookupError) as error:
                raise InvalidInput(f"{_name(rule)} fails where its sensors say {value!r}: {error}") from error


def _rescale(problem: Problem, factor: float) -> Problem:
    """The problem with its loss in another unit."""
    return Function(
        lambda x: factor * problem.value(x),
        lambda x: factor * problem.gradient(x),
        lambda x, v: factor * problem.hessian_product(x, v),
        start=problem.start(),
    )
