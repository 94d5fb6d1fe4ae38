import math

import pytest

from surefoot import rules
from surefoot.errors import InvalidInput, InvalidType
from surefoot.rules import Known, named_rule, named_rules

KNOWN = Known(largest=10.0, smallest=0.1, optimum=-1.0, steps=50)
ARGUMENTS = {"STEP": "0.25", "LENGTH": "8", "OPTIMUM": "0"}


@pytest.mark.parametrize("entry", named_rules(), ids=lambda entry: entry.name)
def test_every_name_makes_a_rule_that_starts(entry):
    name = f"{entry.name}:{ARGUMENTS[entry.argument]}" if entry.argument else entry.name
    rule = named_rule(name, KNOWN)
    assert isinstance(rule, rules.Rule)
    rule.init()
    assert entry.summary
    assert "\n" not in entry.summary


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("auto", rules.Auto()),
        (" bb ", rules.BarzilaiBorwein()),
        ("bb-long", rules.BarzilaiBorwein(kind="long")),
        ("constant:0.1", rules.Constant(step=0.1)),
        ("constant:safe", rules.Constant(step=0.1)),
        ("constant:optimal", rules.Constant(step=2 / 10.1)),
        ("constant:2.2/L", rules.Constant(step=2.2 / 10)),
        ("cosine:1/L", rules.Cosine(step=0.1, steps=50)),
        ("chebyshev:7", rules.Chebyshev(smallest=0.1, largest=10.0, steps=7)),
        ("chebyshev", rules.Chebyshev(smallest=0.1, largest=10.0, steps=38)),
        ("polyak", rules.Polyak(optimum=-1.0)),
        ("polyak:2", rules.Polyak(optimum=2.0)),
        ("silver", rules.Silver(smoothness=10.0)),
    ],
)
def test_what_a_name_stands_for(name, rule):
    assert named_rule(name, KNOWN) == rule


def test_a_first_step_is_the_step_of_a_schedule_and_the_first_trial_of_a_search():
    assert named_rule("constant", Known(first=0.3)) == rules.Constant(step=0.3)
    assert named_rule("armijo", Known(first=0.3)) == rules.Armijo(first=0.3)


def test_without_strong_convexity_the_optimal_step_is_the_safe_one():
    assert named_rule("constant:optimal", Known(largest=4.0)) == rules.Constant(step=0.25)


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("bbb", KNOWN, "unknown rule 'bbb'; did you mean bb?"),
        ("nonsense", KNOWN, "unknown rule 'nonsense'; choose one of auto, bb"),
        ("constant", KNOWN, "constant needs a step; write constant:0.1"),
        ("constant:fast", KNOWN, "constant takes a positive number, such as 0.1; got 'fast'"),
        ("constant:-1", KNOWN, "positive number"),
        ("constant:nan", KNOWN, "positive number"),
        ("constant:safe", Known(), "largest curvature L, which has no bound here; give a number"),
        ("constant:x/L", KNOWN, "positive number, such as 0.1; got 'x'"),
        ("silver", Known(), "needs the largest curvature L"),
        ("chebyshev", Known(largest=1.0), "smallest curvature mu"),
        ("polyak", Known(), "needs the optimal value"),
        ("polyak:low", KNOWN, "got 'low'"),
        ("auto:3", KNOWN, "auto takes no argument; got '3'"),
    ],
)
def test_a_wrong_name_says_what_would_be_right(name, known, message):
    with pytest.raises(InvalidInput, match=message.replace("?", r"\?")):
        named_rule(name, known)


@pytest.mark.parametrize(
    ("name", "known", "rule"),
    [
        ("linear:0.1", KNOWN, rules.Linear(step=0.1, steps=50)),
        ("one-cycle:0.1", KNOWN, rules.OneCycle(peak=0.1, steps=50)),
        ("one-cycle:0.1", Known(steps=1), rules.OneCycle(peak=0.1, steps=2)),
        ("wsd:0.1", Known(steps=0), rules.WSD(peak=0.1, steps=1)),
        ("inverse-time:0.1", KNOWN, rules.InverseTime(step=0.1)),
        ("inverse-sqrt:0.1", KNOWN, rules.InverseSqrt(step=0.1)),
        ("subgradient:0.1", KNOWN, rules.Subgradient(length=0.1)),
        ("bb-short", Known(first=0.2), rules.BarzilaiBorwein(kind="short", first=0.2)),
        ("chebyshev", Known(largest=10.0, smallest=0.1, steps=20), rules.Chebyshev(smallest=0.1, largest=10, steps=20)),
        ("chebyshev:0.3", KNOWN, rules.Chebyshev(smallest=0.1, largest=10, steps=1)),
        ("chebyshev", Known(largest=2.0, smallest=3.0), rules.Chebyshev(smallest=2, largest=2, steps=1)),
    ],
)
def test_what_else_a_name_stands_for(name, known, rule):
    assert named_rule(name, known) == rule


@pytest.mark.parametrize("largest", [0.0, -1.0, float("inf")])
def test_a_largest_curvature_that_gives_no_scale_is_refused(largest):
    with pytest.raises(InvalidInput, match="gives no scale"):
        named_rule("constant:1.9/L", Known(largest=largest))
    with pytest.raises(InvalidInput, match="needs the largest curvature L"):
        named_rule("silver", Known(largest=largest))


def test_a_unit_is_one_over_the_largest_curvature():
    with pytest.raises(InvalidInput, match="got '1/M'"):
        named_rule("constant:1/M", KNOWN)


@pytest.mark.parametrize("largest", [0.0, -1.0, math.inf])
@pytest.mark.parametrize("name", ["constant:safe", "constant:1.9/L", "constant:optimal", "silver"])
def test_a_curvature_that_gives_no_scale_is_refused(name, largest):
    with pytest.raises(InvalidInput, match="L"):
        named_rule(name, Known(largest=largest))


def test_a_name_is_a_text():
    with pytest.raises(InvalidType, match="name must be a text"):
        named_rule(3)
