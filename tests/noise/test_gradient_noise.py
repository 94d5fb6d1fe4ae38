import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot.errors import InvalidInput, InvalidType, NotFinite
from surefoot.noise import GradientNoise, gradient_noise, mean_square_limits, step_moments
from surefoot.noise.estimate import Deviations, estimate, jackknife
from surefoot.problems import LeastSquares, Logistic, Quadratic, Softmax
from surefoot.solvers import SGD

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 4)) * [0.3, 1.0, 1.0, 2.0]
Y = X @ [1.0, -1.0, 0.5, 0.2] + RNG.standard_normal(40)
PROBLEMS = {
    "least squares": LeastSquares(X, Y, ridge=0.1, intercept=True),
    "logistic": Logistic(X, (Y > 0).astype(int), ridge=0.1),
    "softmax": Softmax(X, RNG.integers(0, 3, 40)),
}


def term_hessians(problem, x):
    factors, penalty = problem.term_factors(x)
    return np.stack([F.T @ F + np.diag(penalty) for F in factors])


def deviations(gradients, size=1.0, metric=None):
    mean = gradients.mean(axis=0)
    away = gradients - mean
    bent = away if metric is None else away @ metric
    bent_mean = mean if metric is None else metric @ mean
    return Deviations(
        sizes=np.full(len(gradients), size),
        squares=(away * bent).sum(axis=1),
        projections=away @ bent_mean,
        square=float(mean @ bent_mean),
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_noise_of_a_finite_sum_is_that_of_its_definition(name):
    problem = PROBLEMS[name]
    x = np.random.default_rng(1).standard_normal(problem.size)
    gradients = problem.term_gradients(np.arange(problem.terms), x)
    mean = problem.gradient(x)
    covariance = np.cov(gradients.T, bias=True)
    H = np.stack([problem.hessian_product(x, e) for e in np.eye(problem.size)])
    noise = gradient_noise(problem, x, curvature=True)
    assert noise.variance == pytest.approx(np.trace(covariance), rel=1e-10)
    assert noise.square == pytest.approx(mean @ mean, rel=1e-10)
    assert noise.scale == pytest.approx(np.trace(covariance) / (mean @ mean), rel=1e-10)
    assert noise.curvature_scale == pytest.approx(np.trace(H @ covariance) / (mean @ H @ mean), rel=1e-10)
    assert noise.scale_bounds.width == 0


def test_scale_does_not_depend_on_the_unit_of_the_loss():
    problem, x = LeastSquares(X, Y), np.ones(4)
    scaled = LeastSquares(3 * X, 3 * Y)
    one, other = gradient_noise(problem, x, curvature=True), gradient_noise(scaled, x, curvature=True)
    assert other.variance == pytest.approx(81 * one.variance)
    assert other.scale == pytest.approx(one.scale)
    assert other.curvature_scale == pytest.approx(one.curvature_scale)


def test_at_the_minimum_there_is_no_scale():
    problem = LeastSquares([[1.0], [1.0]], [1.0, 3.0])
    noise = gradient_noise(problem, [2.0])
    assert noise.scale is None
    assert noise.scale_bounds.upper == math.inf
    assert math.isnan(noise.progress(8))


@pytest.mark.parametrize(("replacement", "batch"), [(True, 1), (True, 3), (False, 1), (False, 3), (False, 5)])
def test_moments_of_a_step_are_those_of_all_batches(replacement, batch):
    problem = LeastSquares(X[:5], Y[:5])
    x, rate = np.array([1.0, 2.0, -1.0, 0.5]), 0.3
    draw = itertools.product(range(5), repeat=batch) if replacement else itertools.combinations(range(5), batch)
    ends = np.stack([-rate * problem.term_gradients(np.array(rows), x).mean(axis=0) for rows in draw])
    moments = step_moments(problem, x, rate=rate, batch=batch, replacement=replacement)
    np.testing.assert_allclose(moments.drift, ends.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(ends.T, bias=True), atol=1e-12)
    noise = gradient_noise(problem, x)
    diffusion = noise.diffusion(rate, batch, of=None if replacement else 5)
    assert diffusion == pytest.approx(np.trace(moments.covariance), abs=1e-12)


def test_moments_of_a_step_are_those_of_the_sampler():
    problem, rate, batch, draws = PROBLEMS["logistic"], 0.5, 4, 20_000
    x, rng, sampler = np.ones(4), np.random.default_rng(3), SGD(batch=4)
    memory = sampler.begin(problem, x)
    moves = rate * np.stack([sampler.direction(memory, problem, x, rng) for _ in range(draws)])
    moments = step_moments(problem, x, rate=rate, batch=batch)
    spread = np.sqrt(np.diag(moments.covariance) / draws)
    assert np.all(np.abs(moves.mean(axis=0) - moments.drift) < 5 * spread)
    assert np.trace(np.cov(moves.T)) == pytest.approx(np.trace(moments.covariance), rel=0.05)


def test_moments_are_unbiased_and_match_the_two_batch_estimator():
    rng = np.random.default_rng(0)
    G, scales, size, groups = np.array([0.3, -0.2, 0.1]), np.array([1.0, 2.0, 0.5]), 8, 6
    found = []
    for _ in range(4000):
        gradients = G + scales * rng.standard_normal((groups, 3)) / math.sqrt(size)
        found.append(deviations(gradients, size).moments())
    small = (gradients**2).sum(axis=1).mean()
    big = (gradients.mean(axis=0) ** 2).sum()
    # McCandlish et al. 2018, equations A.2 and A.3
    square = (groups * size * big - size * small) / (groups * size - size)
    trace = (small - big) / (1 / size - 1 / (groups * size))
    assert found[-1] == pytest.approx((trace, square))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(4000)
    assert np.all(np.abs(mean - [(scales**2).sum(), G @ G]) < 4 * error)


def test_unequal_groups_are_unbiased():
    rng = np.random.default_rng(0)
    sizes, G, scales = np.array([1.0, 2.0, 4.0, 9.0, 3.0]), np.array([0.5, 0.5]), np.array([1.0, 3.0])
    found = []
    for _ in range(4000):
        g = G + scales * rng.standard_normal((5, 2)) / np.sqrt(sizes)[:, None]
        mean = sizes @ g / sizes.sum()
        d = g - mean
        found.append(
            Deviations(sizes=sizes, squares=(d * d).sum(axis=1), projections=d @ mean, square=mean @ mean).moments()
        )
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(4000)
    assert np.all(np.abs(mean - [10.0, 0.5]) < 4 * error)


def test_jackknife_is_that_of_leaving_out():
    g, size = np.random.default_rng(0).standard_normal((7, 3)) + 1, 4.0
    left = np.array([deviations(np.delete(g, k, axis=0), size).moments() for k in range(7)])
    naive = 6 / 7 * (left - left.mean(axis=0)).T @ (left - left.mean(axis=0))
    np.testing.assert_allclose(jackknife(deviations(g, size).left_out()), naive, rtol=1e-10)


def trials(signal, *, groups=64, dimension=20, count=400, metric=None):
    """Estimates from normal noise, with the true trace, |G|^2 and scale."""
    scales = np.linspace(0.5, 1.5, dimension)
    direction = np.ones(dimension) / math.sqrt(dimension)
    M = np.eye(dimension) if metric is None else metric
    trace = float(np.diag(M) @ scales**2)
    G = direction * math.sqrt(signal * trace / groups / (direction @ M @ direction))
    found = []
    for seed in range(count):
        g = G + scales * np.random.default_rng(seed).standard_normal((groups, dimension))
        curved = None if metric is None else deviations(g, metric=metric)
        found.append(estimate(deviations(g), curved, failure=0.1, source="", gradients=1))
    return found, float(scales @ scales), float(G @ G), trace / float(G @ M @ G)


@pytest.mark.parametrize("dimension", [2, 20])
@pytest.mark.parametrize("signal", [0.05, 1.0, 10.0])
def test_intervals_hold_as_often_as_they_say(signal, dimension):
    found, trace, square, scale = trials(signal, dimension=dimension)
    allowed = 0.1 + 3 * math.sqrt(0.1 * 0.9 / len(found))
    assert np.mean([not noise.scale_bounds.contains(scale) for noise in found]) <= allowed
    assert np.mean([not noise.variance_bounds.contains(trace) for noise in found]) <= allowed
    assert np.mean([not noise.square_bounds.contains(square) for noise in found]) <= allowed


def test_few_gradients_with_long_tails_are_where_intervals_fail():
    """What the documentation says of it."""
    missed = {}
    for groups in (8, 256):
        G, count = np.full(50, math.sqrt(10 / groups)), 400
        above = below = 0
        for seed in range(count):
            rng = np.random.default_rng(seed)
            sizes = np.sqrt(rng.pareto(2.5, (groups, 1)) * 1.5)  # E size^2 = 1, and 50 directions of variance 1
            g = G + sizes * rng.standard_normal((groups, 50))
            bounds = estimate(deviations(g), None, failure=0.05, source="", gradients=1).scale_bounds
            above += bounds.upper < groups / 10
            below += bounds.lower > groups / 10
        missed[groups] = above / count, below / count
    assert 0.12 < missed[8][0] < 0.28
    assert missed[8][1] < 0.02
    assert sum(missed[256]) < 0.12


def test_bias_of_the_ratio_is_small_where_it_is_given():
    found, _, _, scale = trials(20.0, dimension=5, count=2000)
    estimates = [noise.scale for noise in found]
    assert None not in estimates
    assert np.mean([noise.variance / noise.square for noise in found]) > 1.03 * scale  # the ratio as it is
    assert np.mean(estimates) == pytest.approx(scale, rel=0.015)


def test_no_upper_end_where_the_gradient_is_lost_in_noise():
    found, *_ = trials(0.001)
    unbounded = [noise for noise in found if noise.scale is None]
    assert len(unbounded) > 0.9 * len(found)
    assert all(noise.scale_bounds.upper == math.inf and "cannot be told" in noise.note for noise in unbounded)
    assert "at least" in str(unbounded[0])


def test_curved_interval_holds_and_negative_curvature_is_said():
    metric = np.diag(np.linspace(0.1, 3, 20))
    found, _, _, scale = trials(10.0, metric=metric, count=300)
    missed = np.mean([not noise.curvature_scale_bounds.contains(scale) for noise in found])
    assert missed <= 0.1 + 3 * math.sqrt(0.09 / 300)
    g = np.ones(20) + 0.1 * np.random.default_rng(0).standard_normal((64, 20))
    negative = estimate(deviations(g), deviations(g, metric=-metric), failure=0.1, source="", gradients=1)
    assert negative.curvature_scale is None
    assert "negative" in negative.note


@settings(max_examples=60)
@given(
    st.integers(3, 12),
    st.integers(1, 4),
    st.floats(0, 1e3),
    st.floats(1e-6, 1e6),
    st.integers(0, 10_000),
)
def test_estimates_are_ordered_and_scale(groups, dimension, signal, unit, seed):
    rng = np.random.default_rng(seed)
    g = signal + rng.standard_normal((groups, dimension)) ** 3
    one = estimate(deviations(g), None, failure=0.05, source="", gradients=1)
    assert one.variance_bounds.contains(one.variance)
    assert one.scale is None or one.scale_bounds.contains(one.scale)
    assert one.scale_bounds.lower >= 0
    other = estimate(deviations(unit * g), None, failure=0.05, source="", gradients=1)
    assert other.variance == pytest.approx(unit**2 * one.variance, rel=1e-6)
    if one.scale is not None and other.scale is not None:
        assert other.scale == pytest.approx(one.scale, rel=1e-5)


def test_json():
    found, *_ = trials(0.001, count=1)
    for noise in (*found, gradient_noise(PROBLEMS["logistic"], np.ones(4), curvature=True)):
        assert GradientNoise.from_dict(json.loads(json.dumps(noise.to_dict()))) == noise


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gradient_noise(Quadratic(np.eye(2))), InvalidType, "no sum of terms"),
        (lambda: gradient_noise(PROBLEMS["logistic"], [np.inf] * 4), NotFinite, "x"),
        (lambda: gradient_noise(LeastSquares([[1e200]], [1.0]), [1e200]), NotFinite, "not finite"),
        (lambda: step_moments(PROBLEMS["logistic"], rate=-1.0, batch=1), InvalidInput, "rate"),
        (lambda: step_moments(PROBLEMS["logistic"], rate=1.0, batch=41, replacement=False), InvalidInput, "41"),
        (lambda: estimate(deviations(X[:2]), None, failure=0.1, source="", gradients=1), InvalidInput, "at least 3"),
        (lambda: gradient_noise(PROBLEMS["logistic"]).diffusion(0.1, 0), InvalidInput, "batch"),
        (lambda: gradient_noise(PROBLEMS["logistic"]).progress(0.5), InvalidInput, "batch"),
        (lambda: mean_square_limits(Quadratic(np.eye(2)), 1), InvalidType, "no terms"),
        (lambda: mean_square_limits(PROBLEMS["logistic"], 1), InvalidInput, "minimum"),
        (lambda: mean_square_limits(LeastSquares(X, Y), 0), InvalidInput, "batch"),
        (
            lambda: mean_square_limits(LeastSquares(X, Y), 41, replacement=False),
            InvalidInput,
            "41 cannot be drawn without replacement from 40",
        ),
        (lambda: mean_square_limits(LeastSquares(np.ones((2, 900)), [1, 1]), 1), InvalidInput, "too many"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message), np.errstate(all="ignore"):
        call()


# ---- mean-square stability ------------------------------------------------------------------------------


def growth(hessians, batch, rate, replacement):
    """Spectral radius of the second moments' map, every batch enumerated."""
    n, d, _ = hessians.shape
    draw = itertools.product(range(n), repeat=batch) if replacement else itertools.combinations(range(n), batch)
    steps = [np.eye(d) - rate * hessians[list(rows)].mean(axis=0) for rows in draw]
    return np.abs(np.linalg.eigvals(sum(np.kron(A, A) for A in steps) / len(steps))).max()


SMALL = {
    "least squares": (LeastSquares(X[:5, :3], Y[:5]), None),
    "least squares, ridge, intercept": (LeastSquares(X[:5, :2], Y[:5], ridge=0.3, intercept=True), None),
    "more unknowns than terms": (LeastSquares(X[:3], Y[:3]), None),
    "logistic": (Logistic(X[:6, 1:3], [0, 1, 0, 1, 1, 0], ridge=0.1), np.array([0.3, -0.2])),
    "softmax": (Softmax(X[:4, :2], [0, 1, 2, 1], ridge=0.1), np.linspace(-1, 1, 6)),
}


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("name", SMALL)
def test_second_moments_shrink_below_the_limit_and_grow_above(name, batch, replacement):
    problem, at = SMALL[name]
    x = problem.start() if at is None else at
    hessians = term_hessians(problem, x)
    limits = mean_square_limits(problem, batch, at=at, replacement=replacement)
    # directions without curvature stay where they are: their factor is 1
    assert growth(hessians, batch, 0.97 * limits.stable, replacement) <= 1 + 1e-9
    assert growth(hessians, batch, 1.03 * limits.stable, replacement) > 1.001
    assert limits.stable <= 2 / np.linalg.eigvalsh(hessians.mean(axis=0))[-1] * (1 + 1e-9)


def test_full_batch_is_gradient_descent():
    problem = LeastSquares(X, Y)
    limit = mean_square_limits(problem, 40, replacement=False, rtol=1e-6).stable
    assert limit == pytest.approx(2 / problem.curvature().largest.upper, rel=1e-5)


def test_one_feature_has_a_closed_form():
    a = X[:, 3] ** 2
    for batch in (1, 7):
        limit = mean_square_limits(LeastSquares(X[:, 3:], Y), batch, rtol=1e-9).stable
        assert limit == pytest.approx(2 * a.mean() / (a.mean() ** 2 + a.var() / batch), rel=1e-8)


def test_normal_features_tend_to_two_thirds():
    x = np.random.default_rng(0).standard_normal((200_000, 1))
    assert mean_square_limits(LeastSquares(x, x[:, 0]), 1).stable == pytest.approx(2 / 3, rel=0.02)


def test_limit_rises_with_the_batch_to_that_of_the_full_gradient():
    problem = LeastSquares(X, Y)
    found = [mean_square_limits(problem, batch).stable for batch in (1, 2, 4, 16, 256, 100_000)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(2 / problem.curvature().largest.upper, rel=0.01)


def test_runs_confirm_the_limit_from_both_sides():
    """4,000 runs of SGD on a problem that can be fitted exactly: E|x|^2 falls at 0.97 of the limit, grows at 1.03.

    The noise is mild: with much of it the mean is made by runs too rare to be among 4,000.
    """
    A = np.random.default_rng(2).standard_normal((12, 2))
    problem, batch, steps = LeastSquares(A, np.zeros(12)), 10, 40
    limit = mean_square_limits(problem, batch, replacement=False, rtol=1e-6).stable
    rng = np.random.default_rng(0)
    sizes = {}
    for factor in (0.97, 1.03):
        x = np.tile([1.0, 1.0], (4000, 1))
        for _ in range(steps):
            rows = rng.permuted(np.tile(np.arange(12), (4000, 1)), axis=1)[:, :batch]
            picked = A[rows]
            residual = np.einsum("rbi,ri->rb", picked, x)
            x = x - factor * limit * np.einsum("rb,rbi->ri", residual, picked) / batch
        sizes[factor] = (x * x).sum(axis=1).mean()
    assert 1.03 * limit < 2 / problem.curvature().largest.upper  # without noise both would converge
    assert sizes[0.97] < 0.1
    assert sizes[1.03] > 10


def test_a_flat_problem_has_no_limit():
    limits = mean_square_limits(LeastSquares(np.zeros((3, 2)), np.zeros(3)), 1)
    assert limits.stable == math.inf
    assert "no positive curvature" in str(limits)


def test_limits_print_the_price_of_noise():
    text = str(mean_square_limits(LeastSquares([[1.0], [3.0]], [0.0, 0.0]), 1))
    assert "SGD, batches of 1" in text
    assert "without noise 2/L = 0.4" in text
