"""Functions with kinks: no curvature, valid subgradients, and rules that solve them."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from problems.cases import KINKED

import surefoot as sf
from surefoot import rules
from surefoot.errors import NotSmooth
from surefoot.problems import AbsoluteLoss, Hinge, Huber, LeastSquares, Logistic, ResidualNorm, precondition
from surefoot.solvers import SGD, descend_by_parts

RNG = np.random.default_rng(8)
A = RNG.standard_normal((25, 3))
B = A @ [1.0, -2.0, 0.5] + 0.3 * RNG.standard_normal(25)
Y = (B > 0).astype(int)
Y[:3] = 1 - Y[:3]
PROBLEMS = {
    "absolute": AbsoluteLoss(A, B),
    "hinge": Hinge(A, Y),
    "residual norm": ResidualNorm(A, B),
}
each = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


def least_value(problem):
    """The minimum, by linear programming or by a factorisation."""
    if isinstance(problem, ResidualNorm):
        return float(np.linalg.norm(A @ np.linalg.lstsq(A, B, rcond=None)[0] - B))
    n, d = A.shape
    cost = np.concatenate([np.zeros(d), np.full(n, 1 / n)])  # the slacks u >= each linear piece
    if isinstance(problem, AbsoluteLoss):
        rows = np.block([[A, -np.eye(n)], [-A, -np.eye(n)]])
        right = np.concatenate([B, -B])
    else:
        t = 2 * Y - 1
        rows, right = np.hstack([-t[:, None] * A, -np.eye(n)]), -np.ones(n)
    bounds = [(None, None)] * d + [(0, None)] * n
    return scipy.optimize.linprog(cost, A_ub=rows, b_ub=right, bounds=bounds).fun


@each
def test_subgradient_steps_reach_the_minimum(problem):
    least = least_value(problem)
    gap = problem.value(problem.start()) - least
    run = sf.descend(problem, rule=rules.Subgradient(length=1.0), steps=4000, tol=0, average=True)
    assert 0 <= problem.value(run.best_x) - least < 2e-3 * gap
    assert 0 <= problem.value(run.average) - least < 2e-2 * gap


@each
def test_polyak_told_the_minimum_is_faster(problem):
    least = least_value(problem)
    run = sf.descend(problem, rule=rules.Polyak(optimum=least), steps=4000, tol=0)
    assert problem.value(run.best_x) - least < 1e-3 * (problem.value(problem.start()) - least)


@pytest.mark.parametrize("problem", [PROBLEMS["absolute"], PROBLEMS["hinge"]])
def test_a_constant_step_does_not_settle(problem):
    """Ten times the moves gain nothing: what a kink does to plain gradient descent."""
    step = rules.Constant(step=0.3)
    losses = sf.descend(problem, rule=step, steps=3000, tol=0).trace.loss
    assert losses[-1000:].max() > 1.0001 * losses[-1000:].min()
    assert losses[-1000:].mean() == pytest.approx(losses[300:1300].mean(), rel=0.01)


@each
@settings(max_examples=50)
@given(seed=st.integers(0, 10**6))
def test_a_subgradient_supports_the_function(problem, seed):
    """f(y) >= f(x) + <g, y - x>, at kinks too."""
    x, y = np.random.default_rng(seed).standard_normal((2, 3))
    if seed % 2:
        x = np.linalg.solve(A[:3], B[:3] if not isinstance(problem, Hinge) else 2 * Y[:3] - 1.0)
    slack = problem.value(y) - problem.value(x) - problem.gradient(x) @ (y - x)
    assert slack >= -1e-12


@pytest.mark.parametrize(
    ("problem", "kink"),
    [(AbsoluteLoss([[2.0]], [2.0]), 1.0), (Hinge([[1.0], [-1.0]], [1, 0]), 1.0), (ResidualNorm([[2.0]], [2.0]), 1.0)],
)
def test_the_gradient_jumps_at_a_kink(problem, kink):
    before, after = problem.gradient([kink - 1e-9])[0], problem.gradient([kink + 1e-9])[0]
    assert abs(after - before) >= 1
    assert before <= problem.gradient([kink])[0] <= after


@pytest.mark.parametrize("case", KINKED, ids=lambda case: case.name)
def test_curvature_is_refused_with_the_reason_and_the_way_out(case):
    problem = case.problem
    for ask in (
        problem.curvature,
        lambda: sf.limits(problem),
        lambda: problem.hessian_product(problem.start(), problem.start()),
        lambda: precondition(problem, "jacobi"),
        lambda: precondition(problem, "cholesky"),
        lambda: precondition(problem, np.ones(problem.size)).curvature(),
    ):
        with pytest.raises(NotSmooth, match=r"not smooth: its gradient jumps where .*; use rules.Subgradient, or"):
            ask()
    if hasattr(problem, "term_curvatures"):
        for ask in (problem.term_curvatures, problem.coordinate_curvatures):
            with pytest.raises(NotSmooth):
                ask()


def test_residual_norm_is_refused_too():
    problem = ResidualNorm(A, B)
    for ask in (problem.curvature, lambda: sf.limits(problem)):
        with pytest.raises(NotSmooth, match=r"grows like 1/\|Ax - b\|.*; use rules.Subgradient.*LeastSquares"):
            ask()
    solvable = ResidualNorm(np.eye(2), [1.0, 2.0])
    with pytest.raises(NotSmooth, match="this x is a minimiser"):
        solvable.hessian_product([1.0, 2.0], [1.0, 0.0])
    np.testing.assert_array_equal(solvable.gradient([1.0, 2.0]), [0.0, 0.0])


def test_residual_norm_has_the_minimiser_of_least_squares_and_its_curvature_grows():
    solvable = A @ np.ones(3)
    problem, x, v = ResidualNorm(A, solvable), np.zeros(3), np.array([1.0, 2.0, 3.0])
    near = np.ones(3) + 1e-6 * v
    u = np.array([1.0, -1.0, 0.0])
    assert u @ problem.hessian_product(near, u) > 1e5 * (u @ problem.hessian_product(x, u))
    run = sf.descend(problem, rule=rules.Polyak(optimum=0.0), steps=2000, tol=0)
    np.testing.assert_allclose(run.best_x, np.ones(3), atol=1e-6)
    squares = sf.descend(LeastSquares(A, B), rule=rules.Auto(), tol=1e-12).x
    np.testing.assert_allclose(ResidualNorm(A, B).gradient(squares), 0, atol=1e-9)


@pytest.mark.parametrize("size", [1e-200, 1e200])
def test_residual_norm_neither_overflows_nor_underflows(size):
    assert ResidualNorm([[1.0], [1.0]], [3 * size, 4 * size]).value([0.0]) == pytest.approx(5 * size, rel=1e-14)


def test_the_smooth_neighbours_bound_them():
    """Huber <= delta |r| and >= delta |r| - delta^2/2; the logistic loss is within log 2 of the hinge at t = 0."""
    x = RNG.standard_normal(3)
    absolute, huber = AbsoluteLoss(A, B).value(x), Huber(A, B, 0.1).value(x)
    assert 0.1 * absolute - 0.1**2 / 2 <= huber <= 0.1 * absolute
    assert Hinge(A, Y).value(np.zeros(3)) == 1.0
    assert Logistic(A, Y).value(np.zeros(3)) == pytest.approx(np.log(2))


@pytest.mark.parametrize("sparse", [False, True])
def test_pegasos(sparse):
    """Stochastic subgradient steps 1/(ridge k): the mean of the iterates comes near the minimum."""
    data = scipy.sparse.csr_array(A) if sparse else A
    problem = Hinge(data, Y, ridge=0.1)
    deterministic = sf.descend(problem, rule=rules.Subgradient(length=1.0), steps=10000, tol=0)
    run = descend_by_parts(problem, rule=rules.InverseTime(step=10.0, halving=1), sampler=SGD(), passes=200, tol=0)
    least = problem.value(deterministic.best_x)
    assert problem.value(run.average) - least < 0.02 * (problem.value(np.zeros(3)) - least)


def test_overflow_is_an_infinite_value_without_a_warning():
    for problem in (AbsoluteLoss([[1e300]], [0.0]), Hinge([[1e300], [1e300]], [0, 1]), ResidualNorm([[1e300]], [0.0])):
        assert problem.value([1e300]) == np.inf


def test_names():
    assert AbsoluteLoss(A, B, ridge=0.1).name == "absolute loss, 25 x 3, ridge 0.1"
    assert Hinge(A, Y, intercept=True).name == "hinge loss, 25 x 3, intercept"
    assert ResidualNorm(A, B).name == "residual norm, 25 x 3"
    assert all(problem.convex and not problem.constant_curvature for problem in PROBLEMS.values())
