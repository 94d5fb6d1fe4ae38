import dataclasses
import importlib
import inspect
import math
import pkgutil
import sys

import pytest
from rules.table import OBSERVED, PROBLEMS, RULES, WITHOUT_SPEED, Run

import surefoot
from surefoot import rules
from surefoot.errors import InvalidInput, SurefootError
from surefoot.rules import Decision, Rule
from surefoot.rules.searches.first_step import SearchingRule
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


@pytest.mark.parametrize("name", OBSERVED)
def test_rules_of_other_runs_pass_it_on_observations(name):
    assert check_rule(OBSERVED[name], observe=Run()).decrease is None


def subclasses(base):
    for cls in base.__subclasses__():
        yield cls
        yield from subclasses(cls)


def test_every_rule_of_the_package_is_in_a_table():
    pytest.importorskip("torch")  # what trains networks is looked through too
    for module in pkgutil.walk_packages(surefoot.__path__, "surefoot."):
        if not module.name.startswith("surefoot.testing"):
            importlib.import_module(module.name)
    there = {
        cls
        for cls in subclasses(Rule)
        # a dataclass with slots is made twice, and the first is still a subclass
        if getattr(sys.modules[cls.__module__], cls.__name__, None) is cls and not inspect.isabstract(cls)
        if cls.__module__.startswith("surefoot.") and not cls.__module__.startswith("surefoot.testing")
    }
    examined = set()
    for rule in (*(build(1.0) for build in RULES.values()), *OBSERVED.values()):
        while rule is not None:
            examined.add(type(rule))
            rule = getattr(rule, "rule", None)
    assert there == examined
    assert {cls.__name__ for cls in there} <= set(rules.__all__)


@pytest.mark.parametrize("name", [*RULES, *OBSERVED])
def test_every_parameter_of_a_rule_is_checked(name):
    rule = RULES[name](1.0) if name in RULES else OBSERVED[name]
    for field in dataclasses.fields(rule):
        with pytest.raises(SurefootError, match=field.name):
            dataclasses.replace(rule, **{field.name: object()})


@pytest.mark.parametrize(
    ("base", "left"),
    [
        (Rule, {"init", "update"}),
        (rules.Schedule, {"at"}),
        (SearchingRule, {"begin", "decide"}),
    ],
)
def test_what_a_rule_has_to_define(base, left):
    assert base.__abstractmethods__ == left


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
    [("impure", "two answers"), ("undeclared", "needs"), ("negative", "finite step >= 0"), ("no undo", "sensors say")],
)
def test_the_exam_finds_faults_on_observations(fault, message):
    with pytest.raises(InvalidInput, match=message):
        check_rule(Reckless(fault), observe=Run())


def test_observations_take_the_place_of_a_run():
    with pytest.raises(InvalidInput, match="place of a run"):
        check_rule(rules.Constant(step=0.1), PROBLEMS["quadratic"], observe=Run())
    with pytest.raises(InvalidInput, match=r"'error'.*by `observe`"):
        check_rule(rules.PI(first=0.1, order=4))


class Forgetful(Rule):
    """Keeps a number out of the state that it saves."""

    def init(self):
        return rules.Cosine(step=1.0, steps=3).init()

    def update(self, state, observation):
        return Decision(step=0.1), state

    def dump(self, state):
        return {"lost": 0}

    def load(self, data):
        return data


def test_the_exam_finds_a_state_that_json_does_not_keep():
    with pytest.raises(InvalidInput, match="JSON"):
        check_rule(Forgetful())


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
