"""Penalties, constraints and scaled directions."""

import numpy as np
import pytest
from solvers.functions import Diagonal, Smooth

from surefoot import rules
from surefoot.errors import InvalidInput
from surefoot.methods import HeavyBall
from surefoot.problems import LeastSquares, Quadratic
from surefoot.solvers import FISTA, L1, AdaGrad, Box, FixedScaling, Nonnegative, RMSProp, descend

RNG = np.random.default_rng(0)
A = RNG.standard_normal((40, 60)) / 6
B = A[:, :5] @ np.array([3.0, -2.0, 1.5, 2.0, -1.0]) + 0.01 * RNG.standard_normal(40)
LASSO = LeastSquares(A, B)
L = float(np.linalg.eigvalsh(A.T @ A / 40)[-1])


def optimality(x, weight):
    """Largest violation of 0 in g + weight * subdifferential of |x|_1."""
    g = LASSO.gradient(x)
    return float(np.max(np.where(x != 0, np.abs(g + weight * np.sign(x)), np.maximum(np.abs(g) - weight, 0))))


@pytest.mark.parametrize(
    ("rule", "method"),
    [
        (rules.Constant(step=1 / L), None),
        (rules.Constant(step=1 / L), FISTA()),
        (rules.Constant(step=1 / L), HeavyBall(0.5)),
        (rules.Auto(), None),
        (rules.BarzilaiBorwein(), None),
        (rules.Backtracking(), None),
        (rules.AdGD(version=2020), None),
    ],
)
def test_lasso_satisfies_its_optimality_condition(rule, method):
    run = descend(LASSO, rule=rule, method=method, penalty=L1(0.01), steps=20000, tol=1e-9)
    assert run.converged, repr(run)
    assert optimality(run.x, 0.01) < 1e-7
    assert 1 <= np.count_nonzero(run.x) <= 20
    assert run.loss == pytest.approx(LASSO.value(run.x) + 0.01 * np.abs(run.x).sum(), rel=1e-12)


def test_separable_lasso_in_closed_form():
    problem = Smooth(lambda x: (0.5 * float((x - [3, -0.5, 1]) @ (x - [3, -0.5, 1])), x - [3, -0.5, 1]), np.zeros(3))
    run = descend(problem, rule=rules.Constant(step=1.0), penalty=L1(1.0), steps=5)
    np.testing.assert_allclose(run.x, [2, 0, 0])
    assert run.converged


@pytest.mark.parametrize("method", [None, FISTA()])
def test_constraints_hold_and_bind_where_they_should(method):
    centre = np.array([2.0, -1.0, 0.5])
    problem = Smooth(lambda x: (0.5 * float((x - centre) @ (x - centre)), x - centre), np.array([5.0, 5.0, 5.0]))
    run = descend(problem, rule=rules.Constant(step=0.7), method=method, penalty=Box(0, 1), steps=300)
    np.testing.assert_allclose(run.x, [1, 0, 0.5], atol=1e-6)
    assert (run.x >= 0).all()
    assert (run.x <= 1).all()
    positive = descend(LASSO, rule=rules.Auto(), penalty=Nonnegative(), steps=5000, tol=1e-7)
    assert positive.converged
    assert (positive.x >= 0).all()
    g = LASSO.gradient(positive.x)
    assert (g[positive.x == 0] >= -1e-6).all()


def test_any_operator_with_a_value_and_a_prox_will_do():
    class Indicator:
        def __call__(self, x):
            return bool(np.all(x >= 0))

        def prox(self, x, tau):
            return np.maximum(x, 0)

    one = descend(LASSO, rule=rules.Auto(), penalty=Indicator(), steps=500)
    two = descend(LASSO, rule=rules.Auto(), penalty=Nonnegative(), steps=500)
    np.testing.assert_array_equal(one.x, two.x)


def test_jacobi_scaling_raises_the_limit_from_2e_4_to_2():
    problem = Diagonal([1.0, 1e4], [1.0, 1.0])
    assert descend(problem, rule=rules.Constant(step=1.98e-4), steps=50, tol=0).trace.loss[-1] < problem.value(
        np.ones(2)
    )
    assert descend(problem, rule=rules.Constant(step=2.02e-4), steps=400).verdict.ending == "diverged"
    scale = 1 / np.array([1.0, 1e4])
    assert descend(problem, rule=rules.Constant(step=1.98), scaling=scale, steps=2000).converged
    assert descend(problem, rule=rules.Constant(step=2.02), scaling=scale, steps=400).verdict.ending == "diverged"


def test_a_fixed_scaling_is_plain_descent_in_other_variables():
    curvatures, start = np.geomspace(1, 1e3, 8), np.ones(8)
    scale = np.geomspace(1, 1e-3, 8) * RNG.uniform(0.5, 2, 8)
    for rule in (rules.Auto(first=0.1), rules.Armijo(first=0.1), rules.AdGD(first=0.1), rules.StrongWolfe(first=0.1)):
        scaled = descend(Diagonal(curvatures, start), rule=rule, scaling=FixedScaling(scale), steps=15, tol=0)
        plain = descend(Diagonal(curvatures * scale, start / np.sqrt(scale)), rule=rule, steps=15, tol=0)
        np.testing.assert_allclose(scaled.trace.step, plain.trace.step, rtol=1e-6)
        np.testing.assert_allclose(scaled.trace.loss, plain.trace.loss, rtol=1e-6)


@pytest.mark.parametrize("step", [0.01, 1.0, 100.0])
def test_adagrad_converges_at_any_rate(step):
    run = descend(
        Diagonal([1.0, 50.0], [1.0, 1.0]), rule=rules.Constant(step=step), scaling=AdaGrad(), steps=20000, tol=1e-3
    )
    assert run.converged


@pytest.mark.parametrize("curvature", [0.5, 3.0, 1e3])
def test_rmsprop_ends_in_a_cycle_of_plus_and_minus_half_its_rate(curvature):
    path = []
    descend(Diagonal([curvature], [0.2]), rule=rules.Constant(step=0.1), scaling=RMSProp(decay=0.9, eps=1e-300),
            steps=4000, tol=0, callback=lambda x, _: path.append(float(x[0])))  # fmt: skip
    np.testing.assert_allclose(np.abs(path[-10:]), 0.05, rtol=1e-6)
    assert path[-1] * path[-2] < 0


def test_adams_first_step_is_its_rate_in_every_entry():
    run = descend(Diagonal([1.0, 1e4], [1.0, 1.0]), rule=rules.Constant(step=0.1),
                  scaling=RMSProp(decay=0.999, corrected=True), steps=1, tol=0)  # fmt: skip
    np.testing.assert_allclose(run.x, [0.9, 0.9], rtol=1e-6)


def test_what_excludes_what():
    with pytest.raises(InvalidInput, match="either penalty or scaling"):
        descend(LASSO, rule=rules.Auto(), penalty=L1(), scaling=AdaGrad())
    for build in (
        lambda: L1(-1),
        lambda: Box(1, 0),
        lambda: AdaGrad(0),
        lambda: RMSProp(1.0),
        lambda: FixedScaling([0.0]),
    ):
        with pytest.raises(InvalidInput):
            build()


def test_total_variation_through_pyproximal():
    pyproximal = pytest.importorskip("pyproximal")
    truth = np.zeros((16, 16))
    truth[4:12, 4:12] = 1
    noisy = truth + 0.3 * np.random.default_rng(0).standard_normal(truth.shape)
    # its own default stops the inner iteration early, 3% off
    penalty = pyproximal.TV(dims=truth.shape, sigma=0.3, niter=300, rtol=1e-9)
    # min |x - b|^2/2 + TV(x) is the proximal map of TV at b: an answer by another way
    problem = Quadratic(np.eye(noisy.size), noisy.ravel())
    run = descend(problem, rule=rules.Constant(step=0.5), penalty=penalty, steps=60, tol=1e-6)
    expected = penalty.prox(noisy.ravel(), 1.0)
    assert run.converged
    assert np.linalg.norm(run.x - expected) < 1e-3 * np.linalg.norm(expected)
    assert np.linalg.norm(run.x - truth.ravel()) < 0.4 * np.linalg.norm(noisy - truth)
