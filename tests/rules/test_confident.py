import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import stdtrit

from surefoot.errors import InvalidInput
from surefoot.noise import mean_square_limits
from surefoot.problems import LeastSquares
from surefoot.rules import Armijo, Confident, Constant
from surefoot.rules.adaptive.moments import Moments
from surefoot.rules.adaptive.student import student_quantile
from surefoot.solvers import SAGA, SGD, Coordinate, descend, descend_by_parts

TRIALS, NOMINAL = 1000, 0.95
# Three standard deviations of the number of misses in so many trials.
LEAST = NOMINAL - 3 * math.sqrt(NOMINAL * (1 - NOMINAL) / TRIALS)


@example(0.95, 2.9e5)  # the last that the continued fraction answers
@example(0.95, 3.1e5)
@example(0.95, 1e8)  # where differences of lgamma leave seven digits
@given(st.floats(1e-6, 1 - 1e-6), st.floats(0.5, 1e7))
def test_student_quantile_is_scipys(probability, freedom):
    expected = float(stdtrit(freedom, probability))
    assert student_quantile(probability, freedom) == pytest.approx(expected, rel=2e-9, abs=1e-12)


def test_student_quantile_tends_to_the_normal_one():
    assert student_quantile(0.975, 1e12) == pytest.approx(1.959963984540054, rel=1e-9)
    assert student_quantile(0.5, 3) == 0
    with pytest.raises(InvalidInput, match="probability"):
        student_quantile(1.0, 3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_moments_are_those_of_numpy(values):
    found = Moments.of(values)
    assert found.count == pytest.approx(len(values))
    assert found.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert found.variance == pytest.approx(np.var(values, ddof=1), rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=30), st.floats(0.1, 0.99))
def test_forgetting_moments_are_those_of_their_weights(values, kept):
    found = Moments()
    for value in values:
        found = found.with_value(value, kept)
    weights = kept ** np.arange(len(values))[::-1]
    W, V = weights.sum(), (weights**2).sum()
    mean = weights @ values / W
    assert found.mean == pytest.approx(mean, abs=1e-9)
    assert found.variance == pytest.approx(weights @ (np.array(values) - mean) ** 2 / (W - V / W), abs=1e-7)
    assert found.count == pytest.approx(W * W / V)


def test_what_is_above_the_next_value_and_above_the_mean_in_closed_form():
    values = np.asarray([1.0, 2.0, 4.0, 9.0])
    found, s = Moments.of(values), values.std(ddof=1)
    t = stdtrit(3, 0.9)
    assert found.reach(0.9) == pytest.approx(4 + t * s * np.sqrt(1 + 1 / 4))
    assert found.upper(0.9) == pytest.approx(4 + t * s / 2)
    rare = np.log(2 / 0.1)
    assert found.upper(0.9, width=10.0) == pytest.approx(4 + s * np.sqrt(2 * rare / 4) + 7 * rare * 10 / (3 * 3))
    for few in (Moments(), Moments.of([1.0])):
        assert few.reach(0.9) == few.upper(0.9) == few.upper(0.9, width=1.0) == np.inf


def coverage(draw, mean, n, **options):
    rng = np.random.default_rng(0)
    return np.mean([Moments.of(draw(rng, n).tolist()).upper(NOMINAL, **options) >= mean for _ in range(TRIALS)])


@pytest.mark.parametrize("n", [3, 8, 32])
def test_students_bound_holds_for_normal_noise(n):
    assert coverage(lambda rng, n: 3 + rng.standard_normal(n), 3, n) >= LEAST


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.97])
def test_the_bound_holds_for_normal_noise_while_forgetting(kept):
    rng, held = np.random.default_rng(0), 0
    for _ in range(TRIALS):
        found = Moments()
        for value in rng.standard_normal(100).tolist():
            found = found.with_value(value, kept)
        held += found.upper(NOMINAL) >= 0
    assert held / TRIALS >= LEAST


def test_students_bound_holds_for_symmetric_heavy_tails_and_not_for_skewed_ones():
    """What the documentation says of where it fails."""
    assert coverage(lambda rng, n: rng.standard_t(3, n), 0, 8) >= LEAST
    skewed = {n: coverage(lambda rng, n: rng.lognormal(0, 1, n), math.exp(0.5), n) for n in (8, 200)}
    assert 0.70 < skewed[8] < 0.85
    assert 0.85 < skewed[200] < LEAST


DRAWN = {
    "normal": (lambda rng, shape: rng.standard_normal(shape), 0.0),
    "uniform": (lambda rng, shape: rng.random(shape), 0.5),
    "Student's t": (lambda rng, shape: rng.standard_t(3, shape), 0.0),
    "exponential": (lambda rng, shape: rng.exponential(size=shape), 1.0),
    "log-normal, sigma 1": (lambda rng, shape: rng.lognormal(0, 1, shape), math.exp(0.5)),
    "log-normal, sigma 2": (lambda rng, shape: rng.lognormal(0, 2, shape), math.exp(2.0)),
    "Pareto": (lambda rng, shape: 1 + rng.pareto(1.5, shape), 3.0),
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_table_of_the_documentation(name):
    page = (Path(__file__).parents[2] / "docs" / "noise.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith(f"| {name}")]
    written = [float(cell.strip().rstrip("%")) / 100 for cell in row.split("|")[2:-1]]
    draw, mean = DRAWN[name]
    for n, share in zip((4, 8, 32, 200), written, strict=True):
        values = draw(np.random.default_rng(n), (20_000, n))
        upper = values.mean(axis=1) + stdtrit(n - 1, NOMINAL) * values.std(axis=1, ddof=1) / math.sqrt(n)
        assert np.mean(upper >= mean) == pytest.approx(share, abs=0.04)
    one = draw(np.random.default_rng(0), 8)
    naive = one.mean() + stdtrit(7, NOMINAL) * one.std(ddof=1) / math.sqrt(8)
    assert Moments.of(one.tolist()).upper(NOMINAL) == pytest.approx(naive, rel=1e-9)


@pytest.mark.parametrize("n", [8, 32])
def test_bernsteins_bound_holds_for_whatever_stays_in_its_interval(n):
    def rare(rng, n):
        return (rng.random(n) < 0.1).astype(float)

    assert coverage(rare, 0.1, n, width=1.0) >= LEAST
    assert coverage(rare, 0.1, n) < LEAST  # Student's sees no ones, and no variance, in a third of trials of 8
    assert coverage(lambda rng, n: rng.random(n), 0.5, n, width=1.0) >= LEAST


def test_mini_batches_bound_the_largest_eigenvalue_of_all():
    """lambda_max of independent mini-batches: biased upwards, so the bound holds more often than it says."""
    rng, held, tight = np.random.default_rng(0), 0, 0
    scales = np.array([1.0, 0.9, 0.5])
    for _ in range(TRIALS):
        x = rng.standard_normal((8, 64, 3)) * scales
        found = Moments.of(np.linalg.eigvalsh(x.transpose(0, 2, 1) @ x / 64)[:, -1].tolist())
        held += found.upper(NOMINAL) >= 1.0
        tight += found.upper(NOMINAL) <= 1.5
    assert held / TRIALS >= LEAST
    assert tight / TRIALS > 0.9


def test_no_bound_of_fewer_than_two_values():
    assert Moments().upper(0.9) == math.inf
    assert Moments.of([1.0]).upper(0.9, 1.0) == math.inf
    assert Moments.of([1.0, 1.0]).upper(0.9) == 1.0
    with pytest.raises(InvalidInput, match="confidence"):
        Moments.of([1.0, 2.0]).upper(1.0)


def test_the_next_value_is_below_a_reach_that_counts_its_own_noise_too():
    """1, 2, 3: mean 2, deviation 1, Student's t of two degrees of freedom 2.92."""
    assert Moments.of([1.0, 2.0, 3.0]).reach(0.95) == pytest.approx(2 + 2.91998558 * math.sqrt(4 / 3))
    assert Moments.of([1.0]).reach(0.95) == math.inf


class Seen:
    """One noisy curvature at a time."""

    def __init__(self, kappa, iteration=1, step=1.0):
        self.iteration, self.step, self.displacement = iteration, step, 0.5
        self.alignment = 0.25 * kappa


def steps_of(rule, kappas):
    state, steps = rule.init(), []
    for i, kappa in enumerate([math.nan, *kappas]):
        decision, state = rule.update(state, Seen(kappa, iteration=i))
        steps.append(decision.step)
    return steps


def test_steps_stay_below_one_over_the_mean_curvature_with_the_confidence():
    rng, held = np.random.default_rng(0), 0
    rule = Confident(first=1e-3, growth=10.0)
    for _ in range(TRIALS):
        held += steps_of(rule, 4 + rng.standard_normal(40))[-1] <= 0.25
    assert held / TRIALS >= LEAST


def test_noise_only_makes_steps_shorter():
    rng = np.random.default_rng(0)
    rule = Confident(first=1e-3, growth=10.0)
    noise = rng.standard_normal((200, 40))
    means = [np.mean([steps_of(rule, 4 + size * row)[-1] for row in noise]) for size in (0.0, 0.3, 1.0)]
    assert means[0] == pytest.approx(0.25)
    assert means[0] > means[1] > means[2]


def test_a_value_that_the_past_does_not_explain_counts_at_once():
    assert steps_of(Confident(first=1e-3, growth=10.0), [*[1.0, 1.1] * 10, 50.0])[-1] == pytest.approx(1 / 50)


def test_growth_and_longest_hold():
    steps = steps_of(Confident(first=0.01, growth=1.5, longest=0.05), [0.0] * 10)
    assert steps[1] == pytest.approx(0.015)
    assert max(steps) == 0.05
    assert steps_of(Confident(first=0.01), [-1.0] * 3)[-1] == pytest.approx(0.01 * 1.5**3)


def test_not_finite_is_taken_back():
    rule = Confident(first=0.1)
    _, state = rule.update(rule.init(), Seen(math.nan))
    decision, after = rule.update(state, Seen(math.inf))
    assert not decision.accept
    assert decision.step == pytest.approx(0.01)
    assert json.loads(json.dumps(rule.dump(after))) == rule.dump(after)


@pytest.mark.parametrize(
    "bad",
    [{"first": 0}, {"confidence": 1}, {"memory": 1.0}, {"growth": 0.5}, {"longest": -1}, {"width": math.inf}],
)
def test_bad_settings(bad):
    with pytest.raises(InvalidInput, match=next(iter(bad))):
        Confident(**{"first": 0.1, **bad})


# ---- with a part of the problem at a time -----------------------------------------------------------------

RNG = np.random.default_rng(1)
X = RNG.standard_normal((300, 10)) * np.linspace(0.3, 1.5, 10)
FITTED = LeastSquares(X, X @ RNG.standard_normal(10))


@pytest.mark.parametrize("batch", [1, 8, 64])
def test_noisy_runs_converge_without_being_told_anything(batch):
    run = descend_by_parts(FITTED, rule=Confident(first=1e-4), sampler=SGD(batch=batch), passes=30, tol=0)
    assert run.loss < 1e-2 * run.trace.loss[0]
    assert np.isfinite(run.trace.loss).all()
    stable = mean_square_limits(FITTED, batch).stable
    assert 0.05 * stable < np.median(run.trace.step[5:]) < stable


def test_the_inverse_of_the_largest_curvature_diverges_where_confident_steps_do_not():
    step = 1 / FITTED.curvature().largest.upper
    constant = descend_by_parts(FITTED, rule=Constant(step=step), sampler=SGD(), passes=5, tol=0)
    assert not constant.trace.loss[-1] < 1e3 * constant.trace.loss[0]


def test_the_secant_of_a_full_batch_is_that_of_the_problem():
    class All(SGD):
        def direction(self, memory, problem, x, rng):
            memory[1] = np.arange(problem.terms)
            return self.again(memory, problem, x)

        def draws(self, problem):
            return 1

    rule = Confident(first=1e-2)
    parts = descend_by_parts(FITTED, rule=rule, sampler=All(batch=300), passes=20, tol=0)
    whole = descend(FITTED, rule=rule, steps=20, tol=0)
    np.testing.assert_allclose(parts.trace.step[1:], whole.trace.step[1:], rtol=1e-9)
    assert parts.evaluations == 3 * 20 + 1


def test_rules_that_read_more_and_samplers_that_show_less_are_refused():
    with pytest.raises(InvalidInput, match="loss"):
        descend_by_parts(FITTED, rule=Armijo(), sampler=SGD())
    for sampler in (SAGA(), Coordinate(), None):
        with pytest.raises(InvalidInput, match="use SGD"):
            descend_by_parts(FITTED, rule=Confident(first=0.1), sampler=sampler)
