"""What a change of variables buys: conditions, limits and rates, by reference values and by laws."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems.scaled import LABELS, RNG, TARGET, X, condition
from sklearn.datasets import load_breast_cancer

import surefoot as sf
from surefoot import rules
from surefoot.problems import LeastSquares, Logistic, Preconditioned, Quadratic, precondition

# ---- reference values -------------------------------------------------------------------------------


def test_a_diagonal_quadratic_before_and_after():
    comparison = precondition(Quadratic(np.diag([1.0, 1e4]))).compare()
    assert (comparison.before.stable, comparison.after.stable) == (2e-4, 2.0)
    assert str(comparison).splitlines()[2].split() == ["stable", "0.0002", "2"]
    assert json.loads(json.dumps(comparison.to_dict()))["after"]["stable"] == 2.0
    heavy = precondition(Quadratic(np.diag([1.0, 1e4]))).compare(sf.methods.HeavyBall(0.5))
    assert (heavy.before.stable, heavy.after.stable) == (3e-4, 3.0)


def test_features_of_scales_one_and_a_hundred():
    """Orthonormal features: the limit 2 falls to 2/10000 when one is measured in a smaller unit, and comes back."""
    features = np.linalg.qr(RNG.standard_normal((16, 2)))[0] * 4
    assert sf.limits(LeastSquares(features, np.ones(16))).stable == pytest.approx(2.0, rel=1e-12)
    spoilt = LeastSquares(features * [1.0, 100.0], np.ones(16))
    comparison = precondition(spoilt, "jacobi").compare()
    assert comparison.before.stable == pytest.approx(2e-4, rel=1e-12)
    assert comparison.after.stable == pytest.approx(2.0, rel=1e-12)


@pytest.fixture(scope="module")
def tumours():
    return load_breast_cancer(return_X_y=True)


def test_breast_cancer_least_squares_conditions(tumours):
    data, y = tumours
    raw = LeastSquares(data, y)
    assert condition(raw) == pytest.approx(2.2063e12, rel=1e-3)
    assert condition(precondition(raw, "columns")) == pytest.approx(3.12164e6, rel=1e-3)
    assert condition(precondition(LeastSquares(data, y, intercept=True), "standardise")) == pytest.approx(
        99828.1, rel=1e-3
    )


def newton(problem):
    x = problem.start()
    for _ in range(60):
        move = np.linalg.solve(problem.hessian_matrix(x), -problem.gradient(x))
        while problem.value(x + move) > problem.value(x) + 1e-4 * (problem.gradient(x) @ move):
            move = move / 2
            if np.linalg.norm(move) < 1e-14:
                return x
        x = x + move
    return x


class Race:
    """Gradients until the loss of the one objective has come within 1e-6 of its least value, relative to the start."""

    def __init__(self, problem):
        self.problem = problem
        self.least = problem.value(newton(problem))
        self.goal = self.least + 1e-6 * (problem.value(problem.start()) - self.least)

    def run(self, changed, start=None, steps=20000):
        return sf.descend(
            changed, start, rule=rules.Auto(), steps=steps, tol=0, callback=lambda _, loss: loss <= self.goal
        )

    def anew(self, ways, every):
        """Scaled anew every so many moves, at the point reached."""
        x, gradients = self.problem.start(), 0
        for _ in range(100):
            changed = self.problem
            for by, local in ways:
                at = changed.from_original(x) if isinstance(changed, Preconditioned) else x
                changed = precondition(changed, by, at=at) if local else precondition(changed, by)
            run = self.run(changed, changed.from_original(x), every)
            x, gradients = changed.to_original(run.x), gradients + run.evaluations
            if self.problem.value(x) <= self.goal:
                return gradients
        raise AssertionError("not reached")


def test_breast_cancer_logistic_goals(tumours):
    """Gradients of the same raw objective, ridge 1e-3, to a relative gap of 1e-6; printed with -s."""
    data, y = tumours
    standardised = Race(Logistic((data - data.mean(axis=0)) / data.std(axis=0), y, ridge=1e-3))
    raw = Race(Logistic(data, y, ridge=1e-3))
    fitted = Race(Logistic(data, y, ridge=1e-3, intercept=True))
    both = precondition(precondition(fitted.problem, "standardise"), "jacobi")
    counts = {
        "standardised data": (standardised.run(standardised.problem).evaluations, 80),
        "raw, cholesky once": (raw.run(precondition(raw.problem, "cholesky")).evaluations, 1500),
        "raw, cholesky anew every 20": (raw.anew([("cholesky", True)], 20), 500),
        "raw with intercept, jacobi once": (fitted.run(precondition(fitted.problem, "jacobi")).evaluations, 1500),
        "raw with intercept, standardise and jacobi once": (fitted.run(both).evaluations, 1500),
        "the same, jacobi anew every 20": (fitted.anew([("standardise", False), ("jacobi", True)], 20), 500),
    }
    for name, (count, goal) in counts.items():
        print(f"{name}: {count} gradients, goal {goal}")
        assert count <= goal, name


# ---- laws -------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(s=st.floats(1e-3, 1e3), j=st.integers(0, 3), seed=st.integers(0, 1000))
def test_the_unit_of_a_feature(s, j, seed):
    """An orthogonal feature times s: its eigenvalue times s^2, the others as they were; scaled, no change at all."""
    rng = np.random.default_rng(seed)
    data = np.linalg.qr(rng.standard_normal((12, 4)))[0] * np.sqrt(12) * [1.0, 2.0, 3.0, 4.0]
    unit = np.ones(4)
    unit[j] = s
    eigenvalues = np.array([1.0, 4.0, 9.0, 16.0]) * unit**2
    b = rng.standard_normal(12)
    changed = LeastSquares(data * unit, b)
    np.testing.assert_allclose(changed.curvature().points, np.sort(eigenvalues), rtol=1e-10)
    for by in ("jacobi", "columns", "cholesky"):
        before, after = (precondition(problem, by).curvature() for problem in (LeastSquares(data, b), changed))
        np.testing.assert_allclose(after.points, before.points, rtol=1e-9)


@pytest.mark.parametrize("by", ["jacobi", "columns", "standardise"])
@settings(max_examples=25)
@given(powers=st.lists(st.integers(-20, 20), min_size=4, max_size=4))
def test_a_scaled_run_does_not_see_the_units(by, powers):
    """Features in units that are powers of two: the same iterates, bit for bit, for a problem without a ridge."""
    units = 2.0 ** np.array(powers)
    losses = []
    for data in (X, X * units):
        problem = Logistic(data, LABELS, intercept=True)
        losses.append(sf.descend(precondition(problem, by), rule=rules.Auto(), steps=30, tol=0).trace.loss)
    np.testing.assert_array_equal(losses[0], losses[1])


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), n=st.integers(2, 6))
def test_jacobi_is_within_n_of_the_best_diagonal_scaling(seed, n):
    """Van der Sluis 1969."""
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n + 2, n)) * np.exp(rng.standard_normal(n) * 3)
    jacobi = condition(precondition(Quadratic(F.T @ F)))
    for _ in range(10):
        other = condition(precondition(Quadratic(F.T @ F), np.exp(3 * rng.standard_normal(n))))
        assert jacobi <= n * other * (1 + 1e-6)


@settings(max_examples=25)
@given(ridge=st.floats(1e-4, 1e2), rank=st.integers(1, 3))
def test_a_ridge_buys_a_linear_rate(ridge, rank):
    """Rank deficient: without a ridge no rate is certain; with one it is (L - mu)/(L + mu), L and mu raised by it."""
    A = RNG.standard_normal((20, rank)) @ RNG.standard_normal((rank, 4))
    assert sf.limits(LeastSquares(A, TARGET[:20])).rate == 1.0
    lim = sf.limits(LeastSquares(A, TARGET[:20], ridge=ridge))
    top = np.linalg.eigvalsh(A.T @ A / 20)[-1]
    assert lim.rate == pytest.approx(top / (top + 2 * ridge), rel=1e-9)
    assert lim.optimal == pytest.approx(2 / (top + 2 * ridge), rel=1e-9)


def test_the_ridges_rate_is_the_one_measured():
    A = RNG.standard_normal((20, 2)) @ RNG.standard_normal((2, 4))
    problem = LeastSquares(A, TARGET[:20], ridge=0.3)
    lim = sf.limits(problem)
    start = 10 * RNG.standard_normal(4)
    run = sf.descend(
        problem, start, rule=rules.Constant(step=lim.optimal), steps=60, tol=0, spectrum=problem.curvature()
    )
    assert run.verdict.rate == pytest.approx(lim.rate, abs=0.02)
    assert run.verdict.predicted == pytest.approx(lim.rate, rel=1e-9)
