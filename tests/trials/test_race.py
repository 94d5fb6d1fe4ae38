"""A race counts what it says it counts, judges by a minimum that is one, and tells who was first."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from solvers.functions import Diagonal, Smooth

from surefoot.errors import InvalidInput, NotFinite
from surefoot.methods import GradientDescent, HeavyBall, Nesterov
from surefoot.problems import AbsoluteLoss, LeastSquares, Logistic, Quadratic, Softmax
from surefoot.rules import Auto, Constant, Known
from surefoot.solvers import descend
from surefoot.targets import ShapedQuadratic
from surefoot.trials import Contender, contender, contender_names, known_of, minimum, race, run
from surefoot.trials._counted import Counted


def logistic():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((80, 5))
    return Logistic(X, (X[:, 0] + rng.standard_normal(80) > 0).astype(int), ridge=1e-2)


def rosenbrock():
    def both(x):
        a, c = x[1] - x[0] ** 2, 1 - x[0]
        return 100 * a * a + c * c, np.array([-400 * x[0] * a - 2 * c, 200 * a])

    return Smooth(both, [-1.2, 1.0])


def test_counts_are_the_runs_own():
    problem, gap = logistic(), 1e-6
    made = race(problem, ["auto", "constant:safe"], steps=400, baselines=False)
    goal = made.least.value + gap * (made.initial - made.least.value)
    for entry, rule in zip(made.entries, (Auto(), Constant(step=1 / problem.curvature().largest.upper)), strict=True):
        alone = descend(problem, rule=rule, steps=399, tol=0, callback=lambda _, loss: loss <= goal)
        assert entry.reached(gap) == alone.evaluations
        assert entry.gap[0] == 1.0
        assert (np.diff(entry.gap) <= 0).all()
        assert (np.diff(entry.seconds) >= 0).all()


def test_nothing_runs_longer_than_it_may_and_nothing_past_the_tolerance():
    made = race(ShapedQuadratic(1e4, "log", 60), steps=150, tol=1e-5)
    for entry in made.entries:
        assert entry.gradients <= 150
        assert (entry.gap[:-1] > 1e-5).all()
    assert {entry.ending for entry in made.entries if entry.final <= 1e-5} == {"good"}


def test_conjugate_gradients_take_one_gradient_for_each_curvature():
    problem = Quadratic(np.diag([1.0, 2.0, 5.0, 5.0, 5.0]), [1.0, 1.0, 1.0, 2.0, 3.0])
    (*_, cg, _) = race(problem, ["constant:safe"], steps=50, tol=1e-12).entries
    assert (cg.name, cg.baseline) == ("CG", True)
    assert cg.reached(1e-12) == 4  # three different curvatures, and the gradient at the start


def test_lbfgs_is_scipys():
    problem, seen = logistic(), []

    def both(x):
        loss, gradient = problem.value_and_gradient(x)
        seen.append(loss)
        return loss, gradient

    minimize(both, problem.start(), jac=True, method="L-BFGS-B", options={"ftol": 0.0, "gtol": 1e-12})
    entry = race(problem, ["auto"], steps=300, tol=1e-9).entries[-1]
    assert entry.name == "L-BFGS-B"
    best = np.minimum.accumulate(seen)[: entry.gradients]
    least = race(problem, ["auto"], steps=10, baselines=False).least.value
    np.testing.assert_allclose(entry.gap, np.maximum((best - least) / (seen[0] - least), 0), atol=1e-12)


@pytest.mark.parametrize(
    "problem",
    [
        logistic(),
        Softmax(np.random.default_rng(1).standard_normal((50, 4)), np.arange(50) % 3, ridge=1e-2),
        LeastSquares(np.random.default_rng(2).standard_normal((30, 6)), np.ones(30)),
        Quadratic(np.diag([1e-3, 1e3]), [1.0, 1.0]),
        ShapedQuadratic(1e6, "spiked", 40),
    ],
    ids=lambda problem: problem.name,
)
def test_the_minimum_is_one_and_its_error_is_proved(problem):
    found = minimum(problem, problem.start())
    rng = np.random.default_rng(0)
    x = descend(problem, rule=Auto(), steps=3000, tol=1e-12).x
    assert found.value <= problem.value(x) + 1e-12 * abs(found.value)
    assert found.error < 1e-12 * problem.value(problem.start()) + 1e-14
    for _ in range(20):
        assert found.value - found.error <= problem.value(x + 1e-3 * rng.standard_normal(problem.size))


def test_a_singular_quadratic_has_its_least_value():
    A = np.array([[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    found = minimum(LeastSquares(A, [1.0, 1.0, 3.0]), np.zeros(2))
    assert found.value == pytest.approx(1.5)


def test_where_nothing_is_proved_that_is_said():
    made = race(rosenbrock(), ["auto", "bb"], steps=300)
    assert made.least.error == math.inf
    assert "no proof" in str(made)
    assert made.least.value == pytest.approx(0.0, abs=1e-12)


def test_the_usual_contenders_are_those_that_can_run():
    names = [entry.name for entry in race(rosenbrock(), steps=20).entries]
    assert names == ["auto", "bb", "bb-short", "adgd", "armijo", "L-BFGS-B"]
    names = [entry.name for entry in race(ShapedQuadratic(10, "log", 5), steps=20).entries]
    assert {"chebyshev", "heavy-ball", "constant:optimal", "CG", "L-BFGS-B"} <= set(names)
    names = [entry.name for entry in race(logistic(), steps=20).entries]
    assert {"constant:safe", "fista", "L-BFGS-B"} <= set(names)


def test_the_ranking_and_the_finding():
    made = race(ShapedQuadratic(1e3, "log", 50), ["constant:safe", "auto"], steps=300)
    ranks = [entry.reached(1e-6) or math.inf for entry in made.ranking()]
    assert ranks == sorted(ranks)
    assert made.finding.startswith("auto reached a gap of 1e-06 first of the rules, after ")
    assert "CG took" in made.finding
    slow = race(ShapedQuadratic(1e3, "log", 50), ["constant:safe"], steps=20, baselines=False)
    assert slow.finding.startswith("no rule reached a gap of 1e-06 in 20 gradients")
    assert "> 20" in str(slow)


def test_polyak_is_told_the_minimum():
    made = race(logistic(), ["polyak"], steps=2000, baselines=False)
    assert made.entries[0].reached(1e-6)


def test_a_rule_that_diverges_is_shown_as_such():
    (entry,) = race(ShapedQuadratic(100, "log", 20), ["constant:2.2/L"], steps=200, baselines=False).entries
    assert entry.ending == "diverged"
    assert entry.reached(1e-3) is None


def test_a_race_is_json_and_a_table():
    made = race(logistic(), ["auto", "constant:1e9"], steps=60)
    record = json.loads(json.dumps(made.to_dict(), allow_nan=False))
    assert record["kind"] == "race"
    assert [entry["name"] for entry in record["entries"]] == ["auto", "constant:1e9", "L-BFGS-B"]
    heading, *rows = made.rows()
    assert heading == ("rule", "gradients", "seconds", "gap")
    assert len(rows) == sum(entry.gradients for entry in made.entries)
    assert rows[0][:2] == ("auto", 1)


def test_progress_counts_up_and_names_who_runs():
    seen = []
    race(logistic(), ["auto", "bb"], steps=40, progress=lambda *told: seen.append(told))
    done = [told[0] for told in seen]
    assert done == sorted(done)
    assert {told[2] for told in seen} == {"auto", "bb", "L-BFGS-B"}
    assert all(told[0] <= told[1] for told in seen)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rules": ["auot"]}, "unknown rule 'auot'; did you mean auto"),
        ({"rules": ["hevy-ball"]}, "did you mean heavy-ball"),
        ({"rules": ["constant"]}, "constant needs a step"),
        ({"steps": 0}, "steps must be a whole number >= 1"),
        ({"tol": 0.0}, r"tol must lie strictly between 0 and 1"),
        ({"tol": math.nan}, r"tol must lie strictly between 0 and 1"),
    ],
)
def test_what_cannot_be_raced_is_said_before_anything_is_computed(how, message):
    problem = Counted(logistic())
    with pytest.raises(InvalidInput, match=message):
        race(problem, **how)
    assert problem.losses == []


def test_without_a_minimum_there_is_no_race():
    with pytest.raises(InvalidInput, match=r"smallest curvature is -1, so the loss has no minimum.*add ridge > 1"):
        race(Quadratic(np.diag([1.0, -1.0]), [1.0, 0.0]))
    with pytest.raises(InvalidInput, match="at a minimum already"):
        race(Quadratic(np.eye(2)))
    with pytest.raises(NotFinite, match="loss at the start"):
        race(Smooth(lambda x: (math.nan, x), [1.0]))


def test_momentum_by_name():
    known = Known(largest=100.0, smallest=1.0)
    assert contender("heavy-ball", known).method == HeavyBall.best(1.0, 100.0)[0]
    assert contender("nesterov", known).method == Nesterov.best(1.0, 100.0)[0]
    assert contender("heavy-ball:0.9", known).rule == Constant(step=HeavyBall(0.9).best_step(1.0, 100.0)[0])
    assert contender("fista", known).rule == Constant(step=0.01)
    assert contender("fista:0.5", Known()).rule == Constant(step=0.5)
    assert contender("auto", Known()) == Contender("auto", Auto(), GradientDescent())
    for name in ("heavy-ball", "nesterov"):
        with pytest.raises(InvalidInput, match="needs mu and L"):
            contender(name, Known(largest=1.0))
    with pytest.raises(InvalidInput, match=r"its momentum.*got 'x'"):
        contender("nesterov:x", known)
    assert "fista" in contender_names()


def test_what_is_known_of_a_problem():
    known = known_of(Diagonal([0.5, 2.0], [1.0, 1.0]), 7, optimum=0.0)
    assert (known.largest, known.smallest, known.optimum, known.steps) == (2.0, 0.5, 0.0, 7)
    assert known_of(rosenbrock(), 7).largest is None


def test_a_run_tells_the_limit_its_steps_and_the_verdict():
    result = run(Diagonal([1.0, 100.0], [1.0, 1.0]), "constant:2.2/L", steps=60)
    assert result.limit == pytest.approx(0.02)
    assert result.descent.verdict.ending == "diverged"
    assert "60 of 60 steps exceed the limit 0.02 (2/L, L <= 100), at up to 1.1 times it" in result.findings
    assert any(finding.startswith("first overshoot, point") for finding in result.findings)
    fine = run(Diagonal([1.0, 100.0], [1.0, 1.0]), "constant:1.9/L", steps=2000)
    assert fine.descent.converged
    assert not any("exceed" in finding for finding in fine.findings)


def test_a_rule_that_goes_by_what_it_meets_is_not_blamed_for_long_steps():
    result = run(Diagonal([1.0, 100.0], [1.0, 1.0]), "auto")
    assert any("a limit for constant steps" in finding for finding in result.findings)


def test_a_run_of_what_has_no_limit():
    assert run(rosenbrock(), "auto", steps=50).limit is None
    assert run(Diagonal([1.0, 100.0], [1.0, 1.0]), "fista").limit is None


def test_a_step_beside_the_rule():
    assert run(Diagonal([1.0], [1.0]), "constant", step=0.5, steps=3).descent.trace.step[1] == 0.5
    assert run(Diagonal([1.0], [1.0]), "armijo", step=0.5, steps=3).descent.trace.step[1] == 0.5
    with pytest.raises(InvalidInput, match="step must be positive"):
        run(Diagonal([1.0], [1.0]), "constant", step=-1.0)


def test_a_run_is_json():
    record = json.loads(json.dumps(run(logistic(), "armijo", steps=30).to_dict(), allow_nan=False))
    assert record["kind"] == "run"
    assert len(record["descent"]["trace"]["loss"]) == record["descent"]["evaluations"]
    assert run(logistic(), "polyak", steps=30).descent.loss < 0.7


def test_where_f_is_not_smooth_the_rules_for_that_race():
    rng = np.random.default_rng(0)
    A = rng.standard_normal((40, 3))
    made = race(AbsoluteLoss(A, A @ [1.0, -1.0, 0.5]), steps=400)
    names = [entry.name for entry in made.entries]
    assert names == ["auto", "bb", "armijo", "polyak", "subgradient:1", "L-BFGS-B"]
    assert made.ranking(1e-3)[0].reached(1e-3)
