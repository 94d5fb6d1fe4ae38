import math

import pytest
from rules.table import PROBLEMS, RULES, WITHOUT_SPEED

from surefoot import rules
from surefoot.errors import InvalidInput
from surefoot.rules import Decision, Rule
from surefoot.solvers import descend
from surefoot.testing import check_rule


@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_passes_the_exam(name, problem):
    build = RULES[name]
    seen = check_rule(build(1.0), PROBLEMS[problem], rescaled=build)
    assert seen.decrease < 0
    assert seen.covariance <= 1e-9


@pytest.mark.parametrize("name", sorted(set(RULES) - WITHOUT_SPEED))
def test_fast_rules_converge_on_a_well_conditioned_quadratic(name):
    run = descend(PROBLEMS["quadratic"], rule=RULES[name](1.0), steps=400, tol=1e-6)
    assert run.converged, (name, run)


def test_every_public_rule_is_in_the_table():
    public = {name for name in rules.__all__ if isinstance(getattr(rules, name), type)}
    concrete = {name for name in public if issubclass(getattr(rules, name), Rule)} - {"Rule", "Schedule"}
    # the controller of integrators reads their local error; tests/solvers/test_integrate.py examines it
    concrete -= {"PI"}
    examined: set[str] = set()
    for build in RULES.values():
        rule = build(1.0)
        while rule is not None:
            examined.add(type(rule).__name__)
            rule = getattr(rule, "rule", None)
    assert concrete == examined


class Reckless(Rule):
    """A constant with one fault, for the exam to find."""

    def __init__(self, fault):
        self.fault = fault
        self.calls = 0

    def init(self):
        return rules.Constant(step=1.0).init()

    def update(self, state, observation):
        self.calls += 1
        step = 0.1
        if self.fault == "impure":
            step *= 1 + (self.calls % 7)
        elif self.fault == "undeclared":
            step *= 1 + 0 * observation.loss
        elif self.fault == "negative":
            step = -0.1
        elif self.fault == "too long":
            step = 10.0
        elif self.fault == "unit":
            step = 0.1
        elif self.fault == "no undo":
            step = 0.1 * observation.gradient_norm
        return Decision(step=step), state

    @property
    def needs(self):
        return frozenset({"gradient_norm"}) if self.fault == "no undo" else frozenset()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("impure", "JSON|two answers"),
        ("undeclared", "needs"),
        ("negative", "finite step >= 0"),
        ("too long", "never got below"),
        ("unit", "deviate"),
        ("no undo", "sensors say"),
    ],
)
def test_the_exam_finds_faults(fault, message):
    with pytest.raises(InvalidInput, match=message):
        check_rule(Reckless(fault), rescaled=lambda c: Reckless(fault))


def test_a_decision_refuses_what_is_no_step():
    for step in (-1.0, math.nan, math.inf):
        with pytest.raises(InvalidInput, match="finite step"):
            Decision(step=step)
