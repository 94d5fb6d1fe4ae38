import math

import pytest
from rules.thirty import least_value, rivals, thirty

from surefoot import rules
from surefoot.solvers import descend

GAP = 1e-6
BUDGET = 3000


def gradients(problem, rule, least, budget=BUDGET):
    """Gradients until (f - f*)/(f0 - f*) <= 1e-6."""
    goal = least + GAP * (problem.value(problem.start()) - least)
    run = descend(problem, rule=rule, steps=budget, tol=0, callback=lambda _, loss: loss <= goal)
    return run.evaluations if run.stopped == "stopped by the callback" else math.inf


@pytest.mark.slow
def test_auto_needs_at_most_half_more_than_the_best_rule_in_hindsight():
    ratios, lines = {}, []
    for name, problem in thirty().items():
        least = least_value(problem)
        mine = gradients(problem, rules.Auto(), least)
        # a rival is of interest only while it may still win
        counts = {"nobody": min(BUDGET, 4 * mine)}
        for rival, rule in rivals(problem, least).items():
            counts[rival] = gradients(problem, rule, least, min(counts.values()))
        best = min(counts, key=counts.get)
        ratios[name] = mine / counts[best]
        lines.append(f"{name:26s} Auto {mine:5} best {counts[best]:5} {best}")
    print("\n".join(lines))
    assert len(ratios) == 30
    assert sum(ratio <= 1.5 for ratio in ratios.values()) >= 27, ratios
    assert max(ratios.values()) < 3
    assert math.exp(sum(math.log(ratio) for ratio in ratios.values()) / 30) < 1.1


def test_auto_says_what_it_does():
    problem = thirty()["ten outliers"]
    run = descend(problem, rule=rules.Auto(first=1.0), steps=400)
    said = set(run.trace.reason)
    assert "first trial" in said
    assert "first trial too long" in said
    assert "short" in said
    assert not run.trace.accepted.all()
