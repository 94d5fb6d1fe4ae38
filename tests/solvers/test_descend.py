import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solvers.functions import Diagonal, Smooth

from surefoot import rules
from surefoot.errors import InvalidInput, NotFinite
from surefoot.methods import GradientDescent, HeavyBall, Nesterov
from surefoot.problems import LeastSquares, Logistic, Quadratic
from surefoot.rules import Rule
from surefoot.solvers import FISTA, descend

TEN = Diagonal(np.geomspace(0.01, 1, 10), np.ones(10))


def path_of(problem, **how):
    path = []
    run = descend(problem, tol=0, callback=lambda x, _: path.append(x), **how)
    return run, np.asarray(path)


@pytest.mark.parametrize("method", [GradientDescent(), HeavyBall(0.7), HeavyBall(0.5, 0.2), Nesterov(0.8)])
def test_iterates_are_the_methods_own(method):
    _, path = path_of(TEN, rule=rules.Constant(step=0.9), method=method, steps=30)
    state = method.start(TEN.start())
    for x in path:
        np.testing.assert_array_equal(x, state[0])
        state = method.update(state, lambda x: -0.9 * TEN.gradient(x))


def test_on_a_quadratic_the_second_order_model_is_exact_and_explains_the_overshoot():
    for curvature in (False, True):
        run, _ = path_of(TEN, rule=rules.Constant(step=2.5), steps=40, curvature=curvature)
        np.testing.assert_allclose(run.trace.predicted[1:], run.trace.change[1:], rtol=1e-9, atol=1e-12)
        a, kappa, g = run.trace.step[1:], run.trace.curvature[1:], run.trace.gradient_norm[:-1]
        np.testing.assert_allclose(run.trace.predicted[1:], -a * g**2 + a**2 * kappa * g**2 / 2, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(run.trace.overshoot[1:], run.trace.change[1:] > 0)
    assert "times 2/curvature" in run.trace.explain(30)
    assert "rose" in run.trace.explain(30)


def test_change_is_from_the_accepted_point_before():
    run, _ = path_of(TEN, rule=rules.Armijo(first=50.0), steps=40)
    last = run.trace.loss[0]
    for k in range(1, len(run.trace)):
        assert run.trace.change[k] == run.trace.loss[k] - last
        if run.trace.accepted[k]:
            last = run.trace.loss[k]


@settings(max_examples=30)
@given(unit=st.integers(-8, 8), length=st.integers(-8, 8), seed=st.integers(0, 50))
def test_units_do_not_matter(unit, length, seed):
    """f -> c f divides steps by c; x -> x/s divides them by s^2 once the first trial has found the scale."""
    rng = np.random.default_rng(seed)
    curvatures, start = rng.uniform(0.1, 10, 6), rng.standard_normal(6)
    c, s = 16.0**unit, 16.0**length
    plain = descend(Diagonal(curvatures, start), rule=rules.Auto(first=0.1), steps=300, tol=1e-6)
    other = descend(
        Diagonal(c * s**2 * curvatures, start / s), rule=rules.Auto(first=0.1 / (c * s**2)), steps=300, tol=1e-6
    )
    np.testing.assert_allclose(other.trace.step[1:] * c * s**2, plain.trace.step[1:], rtol=1e-9)
    blind = descend(Diagonal(c * s**2 * curvatures, start / s), rule=rules.Auto(), steps=300, tol=1e-6)
    assert blind.converged
    assert blind.evaluations <= plain.evaluations + 60


VERDICTS = [
    ("too small", 1e-4, 300, "linear"),
    ("slow", 1.0, 400, "linear"),
    ("good", 1.0, 5000, "linear"),
    ("oscillating", 2 - 1e-9, 300, "none"),
    ("diverged", 2.2, 100, "none"),
    ("diverged", 2.2, 20000, "none"),
]


@pytest.mark.parametrize(("word", "step", "steps", "convergence"), VERDICTS)
def test_verdicts(word, step, steps, convergence):
    run = descend(Diagonal(np.linspace(0.01, 1, 30), np.ones(30)), rule=rules.Constant(step=step), steps=steps)
    assert (run.verdict.ending, run.verdict.convergence) == (word, convergence), str(run)
    assert word in str(run)


def test_the_verdicts_numbers():
    slow = descend(Diagonal([0.01, 1.0], [1.0, 1.0]), rule=rules.Constant(step=1.0), steps=400, tol=1e-8)
    assert slow.verdict.rate == pytest.approx(0.99, rel=1e-6)
    # |g| starts at 1.00005: 0.01 * .99^k = 1e-8 * |g0| at k = 1374.6
    assert slow.verdict.remaining == pytest.approx(1374.6 - 400, abs=2)
    quartic = Smooth(lambda x: (float((x**4).sum()), 4 * x**3), [1.0])
    run = descend(quartic, rule=rules.Constant(step=0.05), steps=2000, tol=1e-10)
    assert run.verdict.convergence == "sublinear"
    assert run.verdict.order == pytest.approx(1.5, abs=0.05)  # x ~ k^-1/2, so the gradient ~ k^-3/2
    edge = descend(Diagonal([0.5, 1.0], [1.0, 1.0]), rule=rules.Constant(step=2.1), steps=50)
    assert edge.verdict.rate == pytest.approx(1.1, rel=1e-3)
    assert edge.verdict.reversals == 1.0
    assert edge.verdict.overshoots > 40


def test_a_value_that_is_not_finite_ends_the_run_at_the_last_good_iterate():
    cliff = Smooth(lambda x: (float(-np.log(x).sum() + x.sum()), 1 - 1 / x), [0.5])
    run = descend(cliff, rule=rules.Constant(step=6.0), steps=50)
    assert "not finite" in run.stopped
    assert run.verdict.ending == "diverged"
    assert np.isfinite(run.x).all()
    assert math.isfinite(run.loss)
    saved = descend(cliff, rule=rules.Brake(rule=rules.Constant(step=6.0)), steps=2000)
    assert saved.loss == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(NotFinite, match="x0"):
        descend(cliff, [-1.0], rule=rules.Constant(step=1.0))


def test_what_a_rule_needs_and_cannot_have_is_refused_before_the_run():
    with pytest.raises(InvalidInput, match="velocity"):
        descend(TEN, rule=rules.Armijo(), method=HeavyBall(0.9))

    class Telepath(Rule):
        @property
        def needs(self):
            return frozenset({"the future"})

        def init(self):
            raise AssertionError

        def update(self, state, observation):
            raise AssertionError

    with pytest.raises(InvalidInput, match="the future"):
        descend(TEN, rule=Telepath())
    with pytest.raises(InvalidInput, match=">= 0"):
        descend(TEN, rule=rules.Constant(step=1.0), steps=-1)
    with pytest.raises(InvalidInput, match="shape"):
        descend(TEN, np.ones(3), rule=rules.Constant(step=1.0))


def test_the_measured_rate_stands_beside_the_predicted_one():
    for method, step in ((GradientDescent(), 1.0), (HeavyBall(0.5), 1.2), (Nesterov(0.6), 0.8)):
        problem = Diagonal([0.05, 0.3, 1.0], np.ones(3))
        run = descend(
            problem, rule=rules.Constant(step=step), method=method, steps=150, tol=0, spectrum=problem.curvature()
        )
        assert run.verdict.rate == pytest.approx(run.verdict.predicted, abs=0.01)
        assert "by the spectrum" in str(run.verdict)
    assert math.isnan(descend(problem, rule=rules.Auto(), steps=5, spectrum=problem.curvature()).verdict.predicted)


def test_a_run_is_json():
    run = descend(TEN, rule=rules.Armijo(first=100.0), steps=20, tol=0, average=True)
    record = json.loads(json.dumps(run.to_dict(), allow_nan=False))
    assert record["trace"]["loss"][0] == run.trace.loss[0]
    assert record["trace"]["step"][0] == "nan"
    assert record["verdict"]["ending"] == run.verdict.ending


def test_callback_and_progress():
    seen = []
    run = descend(
        TEN, rule=rules.Constant(step=1.0), steps=50, callback=lambda x, f: f < 0.1, progress=lambda *a: seen.append(a)
    )
    assert run.stopped == "stopped by the callback"
    assert run.loss < 0.1
    assert [made for made, *_ in seen] == list(range(len(seen)))


def test_the_best_point_and_the_average_are_kept():
    absolute = Smooth(lambda x: (float(np.abs(x - 0.3).sum()), np.sign(x - 0.3)), [2.0])
    path = []
    run = descend(
        absolute, rule=rules.Subgradient(length=1.0), steps=2000, tol=0, average=True,
        callback=lambda x, _: path.append(x),
    )  # fmt: skip
    assert run.trace.loss.min() == pytest.approx(absolute.value(run.best_x))
    assert absolute.value(run.best_x) < 0.01
    np.testing.assert_allclose(run.average, np.mean(path[1:], axis=0))


def test_a_run_that_cannot_move_says_so():
    stuck = Smooth(lambda x: (float(x.sum()), 1e-30 * np.ones_like(x)), [1.0])
    run = descend(stuck, rule=rules.Constant(step=1.0), steps=50)
    assert "no longer moves" in run.stopped


# What other tools get wrong in silence.


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e3, 1e8])
@pytest.mark.parametrize(
    "rule", [rules.Auto(), rules.Backtracking(), rules.Armijo(), rules.AdGD(), rules.BarzilaiBorwein(kind="long")]
)
def test_no_stall_whatever_the_scale_of_the_data(scale, rule):
    rng = np.random.default_rng(3)
    A = scale * rng.standard_normal((40, 8))
    run = descend(LeastSquares(A, rng.standard_normal(40)), rule=rule, steps=1000, tol=1e-6)
    assert run.converged, repr(run)


@pytest.mark.parametrize("factor", [2.05, 2.2, 4.0])
def test_a_step_above_the_limit_is_never_silent(factor):
    run = descend(Diagonal(np.linspace(0.1, 1, 20), np.ones(20)), rule=rules.Constant(step=factor), steps=100)
    assert run.verdict.ending == "diverged"
    assert run.verdict.overshoots > 0


def test_long_secant_steps_on_badly_scaled_data_do_not_diverge():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 10)) * np.geomspace(1, 1e4, 10)
    y = (X @ (rng.standard_normal(10) / np.geomspace(1, 1e4, 10)) + 0.5 * rng.standard_normal(200) > 0).astype(int)
    problem = Logistic(X, y, ridge=1e-3)
    run = descend(problem, rule=rules.BarzilaiBorwein(kind="long"), steps=2000)
    assert run.loss < run.trace.loss[0]
    assert run.trace.loss[run.trace.accepted].max() <= run.trace.loss[0] * (1 + 1e-9)


class Single(Smooth):
    """Least squares computed in single precision."""

    def __init__(self, A, b):
        self.A, self.b = A.astype(np.float32), b.astype(np.float32)
        super().__init__(self._both, np.zeros(A.shape[1]))

    def _both(self, x):
        r = self.A @ x.astype(np.float32) - self.b
        return float(r @ r / (2 * len(r))), (self.A.T @ r / len(r)).astype(float)


@pytest.mark.parametrize("rule", [rules.Auto(), rules.BarzilaiBorwein()])
def test_a_battery_without_one_stall_or_silent_divergence(rule):
    failures = []
    for seed in range(9):
        rng = np.random.default_rng(seed)
        for scale in (1e-8, 1e-4, 1.0, 1e4, 1e8):
            A = rng.standard_normal((60, 20))
            if seed % 3 == 0:
                A[:, 0] *= 300  # a spike of 1e5 in the spectrum
            elif seed % 3 == 1:
                A = A * np.geomspace(0.1, 1, 20)
            b = A @ rng.standard_normal(20) + 0.1 * rng.standard_normal(60)
            cases = [
                (LeastSquares(scale * A, b), 1e-7),
                (LeastSquares(A, scale * b), 1e-7),
                (Logistic(scale * A, (b > 0).astype(int), ridge=1e-3 * scale**2), 1e-7),
                (Single(scale * A, b), 1e-4),
            ]
            for problem, tol in cases:
                run = descend(problem, rule=rule, steps=5000, tol=tol)
                if not run.converged:
                    failures.append((seed, scale, repr(run)))
    assert not failures


def test_momentum_reaches_its_published_rates():
    problem = Diagonal(np.geomspace(0.01, 1, 200), np.ones(200))
    for family, rate in ((HeavyBall, 0.818182), (Nesterov, 0.884722)):
        method, step = family.best(0.01, 1.0)
        run = descend(problem, rule=rules.Constant(step=step), method=method, steps=120, tol=0)
        assert run.verdict.rate == pytest.approx(rate, abs=0.02)


def test_fista_keeps_its_bound_restarts_and_diverges_above_its_limit():
    curvatures = np.concatenate([[0.0], np.geomspace(1e-6, 1, 60)])
    problem = Diagonal(curvatures, np.ones(61))
    plain, path = path_of(problem, rule=rules.Constant(step=1.0), method=FISTA(restart=False), steps=300)
    for k, x in enumerate(path[1:], start=1):
        y = x - problem.gradient(x)  # the iterate that follows from the point where the gradient is taken
        assert problem.value(y) <= 2 * np.sum(path[0] ** 2) / (k + 2) ** 2
    strong = Diagonal(np.geomspace(1e-3, 1, 60), np.ones(60))
    restarted = descend(strong, rule=rules.Constant(step=1.0), method=FISTA(), steps=3000, tol=1e-8)
    without = descend(strong, rule=rules.Constant(step=1.0), method=FISTA(restart=False), steps=3000, tol=1e-8)
    assert restarted.converged
    assert restarted.evaluations < 0.6 * without.evaluations
    single = Diagonal([1.0], [1.0])
    above = descend(single, rule=rules.Constant(step=1.4), method=FISTA(restart=False), steps=400, tol=0)
    below = descend(single, rule=rules.Constant(step=1.3), method=FISTA(restart=False), steps=400, tol=0)
    assert above.loss > 1e6
    assert below.loss < 1e-3
    with pytest.raises(InvalidInput, match="varies"):
        FISTA().amplification(-1.0)
    assert plain.verdict.ending != "diverged"


def test_a_rule_goes_on_from_its_dumped_state():
    problem = Quadratic(np.diag([1.0, 5.0, 30.0]), np.ones(3))
    rule = rules.Auto()
    run = descend(problem, rule=rule, steps=10, tol=0)
    assert rule.load(rule.dump(run.state)) == run.state
    with pytest.raises(InvalidInput, match=r"'inner' of a brake state is missing; .* with the .* rule"):
        rules.Brake(rule=rule).load(rule.dump(run.state))
