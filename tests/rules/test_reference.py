"""Published values and worst cases: what each rule is known to do, to the digits it is known."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from solvers.functions import Diagonal, Smooth

from surefoot import rules
from surefoot.errors import InvalidInput
from surefoot.solvers import descend

RHO = 1 + math.sqrt(2)


def huber(radius):
    """Huber's function of one variable with L = 1: |x| beyond `radius` costs linearly."""

    def both(x):
        a = abs(float(x[0]))
        if a <= radius:
            return 0.5 * a * a, x.copy()
        return radius * a - 0.5 * radius**2, radius * np.sign(x)

    return Smooth(both, [1.0])


@pytest.mark.parametrize(("j", "worst"), [(1, 0.13060194), (2, 0.04691816), (3, 0.01842154), (4, 0.00746925)])
def test_silver_steps_attain_their_worst_case_on_a_huber_function(j, worst):
    bound = 1 / (4 * RHO**j - 2)
    assert bound == pytest.approx(worst, abs=5e-9)
    # the run that stays on the linear part until the end: radius * (1 + sum of steps) = 1 there and beyond
    n = 2**j - 1
    schedule = rules.Silver(smoothness=1.0)
    total = sum(schedule.at(k) for k in range(n))
    attained = max(
        descend(huber(radius), rule=schedule, steps=n, tol=0).loss
        for radius in (*np.linspace(0.2, 1, 50) / (1 + total), 1 / (2 * total + 1), *np.linspace(0.05, 1.0, 50))
    )
    assert attained == pytest.approx(bound, rel=1e-9)
    assert total == pytest.approx(RHO**j - 1)


@pytest.mark.parametrize("n", [1, 3, 7])
def test_constant_steps_attain_theirs(n):
    run = descend(huber(1 / (2 * n + 1)), rule=rules.Constant(step=1.0), steps=n, tol=0)
    assert run.loss == pytest.approx(1 / (4 * n + 2), rel=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 7, 48, 129, 726])
def test_chebyshev_reduces_every_error_by_its_factor_and_one_by_all_of_it(steps):
    rule = rules.Chebyshev(smallest=1e-4, largest=1.0, steps=steps)
    curvatures = np.concatenate([np.geomspace(1e-4, 1, 4000), np.linspace(1e-4, 1, 4000)])
    errors = np.ones_like(curvatures)
    for k in range(steps):
        errors *= 1 - rule.at(k) * curvatures
    assert np.abs(errors).max() == pytest.approx(rule.factor, rel=1e-6)
    exact = 1 / math.cosh(steps * math.acosh((1 + 1e-4) / (1 - 1e-4)))
    assert rule.factor == pytest.approx(exact, rel=1e-9)


def test_chebyshev_needs_726_steps_where_constant_steps_need_69078():
    def factor(steps):
        return rules.Chebyshev(smallest=1e-4, largest=1.0, steps=steps).factor

    assert factor(726) <= 1e-6 < factor(725)
    assert rules.Chebyshev(smallest=2.0, largest=2.0, steps=1).factor == 0.0
    rate = (1e4 - 1) / (1e4 + 1)
    assert math.ceil(math.log(1e-6) / math.log(rate)) == 69078


@pytest.mark.parametrize("steps", [64, 513, 726, 1000, 4096])
def test_chebyshev_order_is_a_permutation_and_stays_small_throughout(steps):
    kappa = 1e6
    rule = rules.Chebyshev(smallest=1 / kappa, largest=1.0, steps=steps)
    nodes = np.array([1 / rule.at(k) for k in range(steps)])
    angles = np.pi * (2 * np.arange(steps, 0, -1) - 1) / (2 * steps)
    expected = (1 + 1 / kappa) / 2 + (1 - 1 / kappa) / 2 * np.cos(angles)
    np.testing.assert_allclose(np.sort(nodes), expected, rtol=1e-9)
    curvatures = np.concatenate([np.geomspace(1 / kappa, 1, 300), np.linspace(1 / kappa, 1, 300)])
    products = np.cumsum(np.log(np.abs(1 - curvatures[:, None] / nodes) + 1e-300), axis=1)
    assert products.max() <= math.log(kappa)
    assert (products[:, -1:] - products).max() <= math.log(kappa)


COUNTS = {
    "Chebyshev": (rules.Chebyshev(smallest=1e-4, largest=1.0, steps=708), 708, 0.0),
    "long": (rules.BarzilaiBorwein(kind="long", averaging=1.0), 1316, 0.25),
    "short": (rules.BarzilaiBorwein(kind="short", averaging=1.0), 1034, 0.6),
}


def test_counts_on_a_linear_spectrum():
    """Condition 1e4, a thousand curvatures, error 1 in each: steps until the error's norm is 1e-6 of its first."""
    problem = Diagonal(np.linspace(1e-4, 1, 1000), np.ones(1000))
    counts = {}
    for name, (rule, _, _) in COUNTS.items():
        run = descend(
            problem, rule=rule, steps=4000, tol=0, callback=lambda x, _: np.linalg.norm(x) <= 1e-6 * math.sqrt(1000)
        )
        counts[name] = run.evaluations - 1
    for name, (_, expected, tolerance) in COUNTS.items():
        assert counts[name] == pytest.approx(expected, rel=tolerance), counts


def test_polyak_lands_on_the_minimum_of_a_norm_in_one_step():
    run = descend(Smooth(lambda x: (float(np.linalg.norm(x)), x / np.linalg.norm(x)), [3.0, 4.0]),
                  rule=rules.Polyak(optimum=0.0), steps=1, tol=0)  # fmt: skip
    assert run.trace.step[1] == pytest.approx(5.0)


def test_polyak_with_only_a_bound_still_gets_there():
    problem = Diagonal(np.array([1.0, 10.0]), np.ones(2))
    run = descend(problem, rule=rules.Polyak(lower_bound=-1000.0), steps=400, tol=0)
    assert run.trace.loss.min() < 1e-4


@pytest.mark.parametrize("kind", ["long", "short"])
def test_secant_steps_are_reciprocal_curvatures_in_range(kind):
    problem = Diagonal(np.geomspace(0.1, 10, 20), np.ones(20))
    run = descend(problem, rule=rules.BarzilaiBorwein(kind=kind, first=0.1), steps=60, tol=0)
    kept = run.trace.step[2:][run.trace.accepted[1:-1]]
    assert ((kept > 0.1 * (1 - 1e-9)) & (kept < 10 * (1 + 1e-9))).all()


def test_adgd_follows_its_formula():
    """The recurrences transcribed by hand on f = x^2/2 + x^4/4, in one dimension."""
    problem = Smooth(lambda x: (float((x**2 / 2 + x**4 / 4).sum()), x + x**3), [2.0])
    for version in (2020, 2023):
        run = descend(problem, rule=rules.AdGD(version=version, first=0.01), steps=12, tol=0)
        x, step, theta = 2.0, 0.01, None
        for k in range(1, 12):
            before, x = x, x - step * (x + x**3)
            assert run.trace.step[k] == pytest.approx(step, rel=1e-12)
            local = abs((x + x**3) - (before + before**3)) / abs(x - before)
            if theta is None:
                new = (0.5 if version == 2020 else math.sqrt(0.5)) / local
                step, theta = new, (math.inf if version == 2020 else 1 / 3)
            elif version == 2020:
                new = min(math.sqrt(1 + theta) * step, 0.5 / local)
                step, theta = new, new / step
            else:
                rest = max(2 * (step * local) ** 2 - 1, 0)
                new = min(math.sqrt(2 / 3 + theta) * step, step / math.sqrt(rest) if rest else math.inf)
                step, theta = new, new / step


def test_armijo_and_wolfe_conditions_hold_at_every_accepted_point():
    problem = Smooth(lambda x: (float(np.cosh(x).sum() + 0.05 * x @ x), np.sinh(x) + 0.1 * x), [3.0, -2.0, 0.5])
    for rule in (rules.Armijo(), rules.StrongWolfe()):
        path = []
        run = descend(problem, rule=rule, steps=200, tol=1e-4, callback=lambda x, _, path=path: path.append(x))
        assert run.converged
        steps = run.trace.step[run.trace.accepted][1:]
        for x, y, step in zip(path[:-1], path[1:], steps, strict=True):
            f, g = problem.value_and_gradient(x)
            h, after = problem.value_and_gradient(y)
            assert h <= f - rule.decrease * step * g @ g + 1e-12
            if isinstance(rule, rules.StrongWolfe):
                assert abs(after @ g) <= rule.curvature * g @ g


def test_backtracking_grows_back():
    """Where the curvature falls by 1e4 on the way, a step that only shrinks is stuck with the sharpest place."""

    def both(x):
        return float(np.where(x > 1, 5000 * (x - 1) ** 2 + x**2 / 2, x**2 / 2).sum()), np.where(
            x > 1, 1e4 * (x - 1) + x, x
        )

    grown = descend(Smooth(both, [3.0]), rule=rules.Backtracking(), steps=200, tol=1e-8)
    stuck = descend(Smooth(both, [3.0]), rule=rules.Backtracking(grow=1.0), steps=200, tol=1e-8)
    assert grown.converged
    assert not stuck.converged


def test_clipping_turns_divergence_into_a_cycle_of_the_predicted_size():
    """Peak to peak exactly step * C, mean |x| exactly step * C/2, with C = cap/step."""
    cap, step, a = 0.5, 3.0, 1.0
    path = []
    descend(Diagonal(np.array([a]), np.array([0.3])), rule=rules.Clipped(rule=rules.Constant(step=step), cap=cap),
            steps=200, tol=0, callback=lambda x, _: path.append(float(x[0])))  # fmt: skip
    late = np.asarray(path[-100:])
    assert np.ptp(late) == pytest.approx(cap, rel=1e-12)
    assert np.abs(late).mean() == pytest.approx(cap / 2, rel=1e-12)


def test_brake_keeps_a_step_above_the_limit_from_diverging():
    problem = Diagonal(np.linspace(0.1, 1, 20), np.ones(20))
    assert descend(problem, rule=rules.Constant(step=30.0), steps=300).verdict.ending == "diverged"
    run = descend(problem, rule=rules.Brake(rule=rules.Constant(step=30.0)), steps=2000)
    assert run.loss < 1e-6 * run.trace.loss[0]
    assert "brake" in "".join(run.trace.reason)


def test_bad_configuration_says_what_and_why():
    for build, words in (
        (lambda: rules.Constant(step=-1), "step must be positive and finite; got -1"),
        (lambda: rules.Chebyshev(smallest=2, largest=1, steps=3), "smallest must not exceed"),
        (lambda: rules.Polyak(), "either optimum or lower_bound"),
        (lambda: rules.WSD(peak=1, steps=10, warmup=0.6, decay=0.6), "at most 1"),
        (lambda: rules.StepDecay(step=1, every=0), "every must be a whole number >= 1; got 0"),
        (lambda: rules.BarzilaiBorwein(kind="medium"), "kind must be"),
    ):
        with pytest.raises(InvalidInput, match=words):
            build()
    with pytest.raises(TypeError, match="step must be a number"):
        rules.Constant(step="fast")


@pytest.mark.parametrize(("error", "factor"), [(1.5, 0.9 * 1.5**-0.2), (1e9, 0.2), (math.inf, 0.2)])
def test_a_rejected_step_is_shortened_by_the_root_of_its_error(error, factor):
    seen = SimpleNamespace(iteration=1, step=0.5, error=error)
    decision, state = rules.PI(first=0.1, order=4).update(rules.PI(first=0.1, order=4).init(), seen)
    assert (decision.accept, state.rejected) == (False, True)
    assert decision.step == pytest.approx(factor * 0.5, rel=1e-12)
