"""Integration: order, tolerance, the stability monitor, the rule; and gradient descent is the forward Euler method."""

import json
import math

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotRepeatable
from surefoot.methods import (
    RK4,
    SSPRK,
    AdamsBashforth,
    BackwardEuler,
    BogackiShampine,
    DormandPrince,
    ForwardEuler,
    HeavyBall,
    Heun,
    Kutta3,
    Leapfrog,
    Midpoint,
    RadauIIA,
    RungeKuttaChebyshev,
    RungeKuttaLegendre,
    from_update,
)
from surefoot.rules import PI

CONSISTENT = [
    ForwardEuler(), Midpoint(), Heun(), Kutta3(), RK4(), BogackiShampine(), DormandPrince(), SSPRK(3, 3), SSPRK(10, 4),
    AdamsBashforth(2), AdamsBashforth(3), AdamsBashforth(4), AdamsBashforth(5), Leapfrog(), RungeKuttaChebyshev(5),
    RungeKuttaChebyshev(4, order=1), RungeKuttaLegendre(5), RungeKuttaLegendre(3, order=1), BackwardEuler(),
    RadauIIA(2),
]  # fmt: skip


def circle(t, y):
    return [-y[1] * (1 + 0.5 * np.cos(t)), y[0] * (1 + 0.5 * np.cos(t))]


def circle_at(t):
    angle = t + 0.5 * np.sin(t)
    return np.asarray([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize("method", CONSISTENT, ids=lambda m: m.name)
def test_global_error_has_the_slope_of_the_order(method):
    errors = [
        np.linalg.norm(
            sf.integrate(circle, (0, 2), [1.0, 0.0], method=method, step=h, monitor=False).final - circle_at(2)
        )
        for h in (0.1, 0.05)
    ]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(method.order, abs=0.4)


@pytest.mark.parametrize("method", [Heun(), BogackiShampine(), DormandPrince()], ids=lambda m: m.name)
def test_adaptive_error_follows_the_tolerance(method):
    errors = []
    for rtol in (1e-3, 1e-5, 1e-7):
        run = sf.integrate(circle, (0, 6), [1.0, 0.0], method=method, rtol=rtol, atol=1e-12)
        assert run.finished
        assert run.t[-1] == 6
        assert run.sizes.sum() == pytest.approx(6)
        errors.append(np.linalg.norm(run.final - circle_at(6)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-4
    assert run.steps + run.rejected == pytest.approx(run.evaluations / method.tableau.stages)


def test_the_controller_sits_at_the_stability_limit():
    run = sf.integrate(lambda t, y: [-1000 * (y[0] - np.cos(t))], (0, 2), [1.0], rtol=1e-3)
    late = run.sizes[len(run.sizes) // 2 :]
    assert np.mean(late) * 1000 == pytest.approx(DormandPrince().real_limit, rel=0.15)
    assert np.std(late) < 0.2 * np.mean(late)
    assert run.rejected < 0.1 * run.steps


def test_the_monitor_tells_both_sides():
    def decay(t, y):
        return -50 * y

    inside = sf.integrate(decay, (0, 2), [1.0], method=ForwardEuler(), step=0.99 * 0.04)
    outside = sf.integrate(decay, (0, 2), [1.0], method=ForwardEuler(), step=1.03 * 0.04)
    assert inside.stable
    assert inside.message == "finished"
    assert abs(inside.final[0]) < 1
    assert not outside.stable
    assert "above the stable 0.04" in outside.message
    assert abs(outside.final[0]) > 1
    blown = sf.integrate(lambda t, y: -1e3 * y**3, (0, 1), [10.0], step=0.01)
    assert not blown.finished
    assert "left the finite numbers" in blown.message
    json.dumps(blown.to_dict(), allow_nan=False)


def test_scipy_takes_over():
    run = sf.integrate(lambda t, y: -1e5 * (y - np.cos(t)), (0, 1), [0.0], method="Radau", step=0.2)
    assert run.finished
    assert run.sizes.max() <= 0.2 * (1 + 1e-12)
    assert "solve_ivp" in run.message
    assert run.final[0] == pytest.approx(np.cos(1), abs=1e-4)


def test_what_stops_a_run():
    singular = sf.integrate(lambda t, y: y**2, (0, 2), [1.0])
    assert not singular.finished
    assert singular.t[-1] == pytest.approx(1, abs=1e-3)
    short = sf.integrate(circle, (0, 100), [1.0, 0.0], max_steps=20)
    assert "all 20 steps used" in short.message
    assert len(sf.integrate(circle, (0, 10), [1.0, 0.0], step=1e-3, monitor=False).t) <= 3000


@pytest.mark.parametrize("step", [1e-4, 1.5e-3])
def test_gradient_descent_is_forward_euler_bit_for_bit(step):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 4))
    problems = [
        sf.problems.Quadratic(np.diag([1.0, 10.0, 1e3]), np.ones(3)),
        sf.problems.Logistic(X, (X[:, 0] > 0).astype(int), ridge=1e-2),
    ]
    for problem in problems:
        descent = sf.descend(problem, rule=sf.rules.Constant(step=step), steps=100, tol=0)
        euler = sf.integrate(
            sf.gradient_flow(problem), (0, 100 * step), problem.start(), method=ForwardEuler(), step=step
        )
        assert euler.steps == 100
        np.testing.assert_array_equal(descent.x, euler.final)


def test_momentum_is_its_second_order_flow():
    # x'' = -c x' - grad f by symplectic Euler, h = sqrt(step), is heavy ball with momentum 1 - c h: the same limits
    c, h = 0.4, 0.3
    ball = HeavyBall(1 - c * h)

    def symplectic(state, f):
        x, v = state  # v times h; f carries h^2 = step
        v = v - c * h * v + f(x)
        return x + v, v

    assert from_update(symplectic, 2).real_limit == pytest.approx(ball.real_limit, rel=1e-12)


def test_chebyshev_as_an_accelerated_optimiser():
    curvatures = np.linspace(1, 1e4, 200)
    problem = sf.problems.Quadratic(np.diag(curvatures), np.ones(200))
    stages = 727
    method, step, rate = RungeKuttaChebyshev.best(1.0, 1e4, stages)
    outer = math.ceil(math.log(1e-6) / math.log(rate))
    run = sf.descend(problem, rule=sf.rules.Constant(step=step), method=method, steps=outer, tol=0)
    error = np.linalg.norm(curvatures * run.x - 1) / np.sqrt(200)
    assert error < 1e-6
    # Chebyshev steps need 726 gradients in the worst case at this condition, gradient descent 138149
    assert outer * stages == run.evaluations - 1 == 727


def test_pi_rule():
    rule = PI(first=0.1, order=4)
    assert rule.needs == {"error"}
    with pytest.raises(InvalidInput, match="error"):
        sf.descend(sf.problems.Quadratic(np.eye(2)), rule=rule)
    state = rule.init()
    assert rule.load(json.loads(json.dumps(rule.dump(state)))) == state
    constant = sf.rules.Constant(step=0.05)
    assert sf.integrate(circle, (0, 1), [1.0, 0.0], rule=constant).steps == 20


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: sf.integrate(circle, (0, 1), [1.0, 0.0], method=RK4()), InvalidInput, "embedded"),
        (lambda: sf.integrate(circle, (1, 0), [1.0, 0.0]), InvalidInput, "span"),
        (lambda: sf.integrate(circle, (0, 1), [[1.0]]), InvalidInput, "y0"),
        (lambda: sf.integrate(circle, (0, 1), [np.nan, 0.0]), NotFinite, "y0"),
        (lambda: sf.integrate(circle, (0, 1), [1.0, 0.0], step=-1.0), InvalidInput, "step"),
        (lambda: sf.integrate(circle, (0, 1), [1.0, 0.0], step=1e-9), InvalidInput, "max_steps"),
        (lambda: sf.integrate(circle, (0, 1), [1.0, 0.0], rtol=0.0), InvalidInput, "rtol must be in"),
        (lambda: sf.integrate(circle, (0, 1), [1.0, 0.0], max_steps=0), InvalidInput, "max_steps"),
        (lambda: sf.integrate(circle, (0, 1), [1.0, 0.0], method="RK9"), InvalidInput, "LSODA"),
        (lambda: sf.integrate(circle, (0, 1), [1.0, 0.0], method=3), InvalidType, "Method"),
        (lambda: sf.integrate(circle, (0, 1), [1.0, 0.0], rule=sf.rules.AdGD(first=1.0)), InvalidInput, "observe"),
        (lambda: sf.integrate(lambda t, y: y[:1], (0, 1), [1.0, 0.0]), InvalidInput, r"shape \(2,\)"),
        (lambda: sf.integrate(lambda t, y: y * np.nan, (0, 1), [1.0, 0.0]), NotFinite, "fun returned NaN"),
        (lambda: sf.gradient_flow("f"), InvalidType, "problem"),
        (lambda: PI(first=0.0, order=2), InvalidInput, "first"),
        (lambda: PI(first=1.0, order=2, grow=0.5), InvalidInput, "grow"),
    ],
)
def test_bad_input(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_a_stateful_fun_is_found_out():
    calls = []

    def fun(t, y):
        calls.append(1)
        return y * len(calls)

    with pytest.raises(NotRepeatable, match="two different answers"):
        sf.integrate(fun, (0, 1), [1.0])


@pytest.mark.parametrize("method", [m for m in CONSISTENT if m.order < 5], ids=lambda m: m.name)
def test_local_error_has_the_slope_of_the_order_plus_one(method):
    measured = sf.solvers.local_error(circle, 0.3, [1.0, 0.5], method, [0.04, 0.02])
    assert measured.slope == pytest.approx(method.order + 1, abs=0.2)


def test_local_error_refuses():
    with pytest.raises(InvalidInput, match="two different"):
        sf.solvers.local_error(circle, 0.0, [1.0, 0.0], RK4(), [0.1])
    with pytest.raises(InvalidInput, match="no error at all"):
        sf.solvers.local_error(lambda t, y: 0 * y, 0.0, [1.0, 0.0], RK4(), [0.1, 0.2])


def test_chebyshev_with_steps_of_its_own():
    n = 100
    scale = (n + 1.0) ** 2

    def heat(t, u):
        return scale * (np.append(0.0, u[:-1]) - 2 * u + np.append(u[1:], 0.0))

    u0 = np.sin(np.pi * np.arange(1, n + 1) / (n + 1))
    decay = -2 * scale * (1 - np.cos(np.pi / (n + 1)))  # u0 is an eigenvector
    errors = []
    for rtol in (1e-3, 1e-5):
        run = sf.integrate(heat, (0, 0.2), u0, method="RKC", rtol=rtol, atol=1e-3 * rtol)
        assert run.finished
        assert run.evaluations < 3000  # 4081 steps of Euler are needed for stability alone
        errors.append(np.abs(run.final - u0 * np.exp(0.2 * decay)).max() / np.exp(0.2 * decay))
    assert errors[0] < 0.05
    assert errors[1] < 0.1 * errors[0]  # the error of the whole span goes as tol^(2/3)


def test_chebyshev_knows_the_time():
    run = sf.integrate(lambda t, y: -100 * (y - np.sin(t)) + np.cos(t), (0, 2), [0.0], method="RKC", rtol=1e-6)
    assert run.final[0] == pytest.approx(np.sin(2), abs=1e-5)
    blown = sf.integrate(lambda _, y: y**2, (0, 2), [1.0], method="RKC", max_steps=2000)
    assert not blown.finished
    assert "stopped at t = " in blown.message
