"""Every limit of every integrator: reference values, both sides by real runs, exactness near the imaginary axis."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surefoot import methods as sm
from surefoot.errors import InvalidInput, InvalidType, NotRepeatable, UnknownTarget
from surefoot.methods.search import first_crossing

inf = math.inf


def extragradient():
    return sm.from_update(lambda s, f: (s[0] + f(s[0] + f(s[0])),), name="extragradient")


def verlet():
    return sm.from_update(lambda s, f: (s[0] + s[1] + f(s[0]), s[1] + f(s[0])), 2, name="Verlet")


# method, order, real limit, imaginary limit (None: not a reference value), digits given
REFERENCE = [
    (sm.GradientDescent(), 1, 2, 0, 1e-9),
    (sm.Midpoint(), 2, 2, 0, 1e-9),
    (sm.Heun(), 2, 2, 0, 1e-9),
    (sm.Kutta3(), 3, 2.512745326618, math.sqrt(3), 1e-9),
    (sm.BogackiShampine(), 3, 2.512745326618, math.sqrt(3), 1e-9),
    (sm.RK4(), 4, 2.785293563405, math.sqrt(8), 1e-9),
    (sm.DormandPrince(), 5, 3.306567892635, 0.997189008633, 1e-9),
    (sm.SSPRK(3, 3), 3, 2.512745326618, math.sqrt(3), 1e-9),
    (sm.SSPRK(10, 4), 4, 13.917047464638, 4.921453, 1e-7),
    (sm.AdamsBashforth(1), 1, 2, 0, 1e-9),
    (sm.AdamsBashforth(2), 2, 1, 0, 1e-9),
    (sm.AdamsBashforth(3), 3, 6 / 11, 0.723627, 1e-6),
    (sm.AdamsBashforth(4), 4, 3 / 10, 0.429987, 1e-6),
    (sm.AdamsBashforth(5), 5, 90 / 551, 0, 1e-9),
    (sm.Leapfrog(), 2, 0, 1, 1e-9),
    (sm.RungeKuttaChebyshev(10, 0, order=1), 1, 200, 0, 1e-9),
    (sm.RungeKuttaChebyshev(10, 0.05, order=1), 1, 193.654661, 0, 1e-8),
    (sm.RungeKuttaChebyshev(10), 2, 64.7381, 0, 1e-6),
    (sm.RungeKuttaLegendre(9, order=1), 1, 90, 0, 1e-9),
    (sm.RungeKuttaLegendre(10), 2, 54, 0, 1e-9),
    (sm.BackwardEuler(), 1, inf, inf, 0),
    (sm.Trapezoidal(), 2, inf, inf, 0),
    (sm.RadauIIA(2), 3, inf, inf, 0),
    (sm.RadauIIA(3), 5, inf, inf, 0),
    (extragradient(), 1, 1, 1, 1e-9),
]
METHODS = [row[0] for row in REFERENCE]
NAMED = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
EXPLICIT = pytest.mark.parametrize("method", [m for m in METHODS if not m.implicit], ids=lambda m: m.name)


@pytest.mark.parametrize(
    ("method", "order", "real", "imaginary", "digits"), REFERENCE, ids=lambda v: getattr(v, "name", "")
)
def test_reference_values(method, order, real, imaginary, digits):
    assert method.order == order
    assert method.real_limit == pytest.approx(real, rel=digits)
    assert method.imaginary_limit == pytest.approx(imaginary, rel=digits, abs=0)


# what NodePy 1.1.1 (D. Ketcheson and others) says: (real, imaginary)
NODEPY = [
    (sm.Midpoint(), 2.0, 0),
    (sm.Heun(), 2.0, 0),
    (sm.BogackiShampine(), 2.5127453266183255, 1.7320508075688776),
    (sm.RK4(), 2.785293563405289, 2.82842712474619),
    (sm.DormandPrince(), 3.3065678926349484, 0.99718900863253),
    (sm.SSPRK(3, 3), 2.5127453266183255, 1.7320508075688776),
    (sm.SSPRK(10, 4), 13.917047464637577, 4.921453070732012),
]


@pytest.mark.parametrize(("method", "real", "imaginary"), NODEPY, ids=lambda v: getattr(v, "name", ""))
def test_agrees_with_nodepy(method, real, imaginary):
    assert method.real_limit == pytest.approx(real, rel=1e-10)
    assert method.imaginary_limit == pytest.approx(imaginary, rel=1e-10, abs=0)


def test_known_expressions():
    # |R(iy)|^2 - 1 = 0 in closed form where it has one
    assert sm.RK4().imaginary_limit == 2 * math.sqrt(2)
    assert sm.Kutta3().imaginary_limit == pytest.approx(math.sqrt(3), rel=1e-15)
    # R(-x) = -1 for the cubic: x^3/6 - x^2/2 + x - 2 = 0
    real = [r.real for r in np.roots([1 / 6, -1 / 2, 1, -2]) if abs(r.imag) < 1e-9]
    assert sm.Kutta3().real_limit == pytest.approx(real[0], rel=1e-13)
    assert verlet().real_limit == pytest.approx(4, rel=1e-12)  # h omega = 2: z = -(h omega)^2


@EXPLICIT
def test_both_sides_of_every_limit_by_real_runs(method):
    for rotation, limit in ((-1.0, method.real_limit), (1j, method.imaginary_limit)):
        if not limit or limit == inf:
            continue
        z = np.asarray([0.99, 1.01]) * limit * rotation
        state = method.start(np.ones(2, dtype=complex))
        sizes = []
        for _ in range(1200):
            state = method.update(state, lambda x, z=z: z * x)
            sizes.append(np.abs(state[0]))
            if sizes[-1][1] > 1e100:
                break
        middle, last = np.max(sizes[len(sizes) // 3 : -len(sizes) // 3], 0), np.max(sizes[-len(sizes) // 3 :], 0)
        assert last[0] <= (1 + 1e-4) * middle[0] or last[0] < 2
        assert last[1] > (1 + 5e-4) * middle[1]


@EXPLICIT
def test_polynomial_is_what_running_the_update_says(method):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4, 3)) - 0.5 + 1j * rng.standard_normal((4, 3))
    np.testing.assert_allclose(method.amplification(z), sm.Method.amplification(method, z), rtol=1e-8)
    stability = method.stability()
    if stability is not None:
        np.testing.assert_allclose(stability.amplification(z), method.amplification(z), rtol=1e-8)
        assert stability.order >= method.order


@pytest.mark.parametrize("method", [sm.RK4(), sm.DormandPrince(), sm.SSPRK(10, 4), sm.AdamsBashforth(3),
                                    sm.AdamsBashforth(4), sm.HeavyBall(0.5), sm.RungeKuttaChebyshev(6)],
                         ids=lambda m: m.name)  # fmt: skip
def test_limits_along_rays_against_a_fine_scan(method):
    for angle in np.linspace(0.5, 1, 9)[1:-1] * np.pi:
        ray = np.exp(1j * angle)
        limit = float(method.limit_along(ray))
        radii = np.linspace(1e-4, 1.5 * max(limit, 0.1), 4001)
        stable = method.amplification(radii * ray) <= 1 + 1e-12
        first = radii[int((~stable).argmax())]
        assert limit == pytest.approx(first, abs=2 * (radii[1] - radii[0]))


def test_the_piece_connected_to_0_is_meant():
    gap = sm.from_update(lambda s, f: (s[0] + f(s[0]) + 0.1 * f(f(s[0])),))
    # 1 - x + x^2/10 = -1 has roots (10 -+ sqrt 20)/2; beyond the second the method is stable again up to 10
    assert gap.real_limit == pytest.approx((10 - math.sqrt(20)) / 2, rel=1e-12)
    assert gap.amplification(-9.0) < 1


def test_near_the_imaginary_axis_nothing_is_decided_by_a_tolerance():
    assert sm.AdamsBashforth(2).imaginary_limit == 0
    assert sm.AdamsBashforth(5).imaginary_limit == 0
    # 1e-12 off the axis the growth y^4/4 wins over the decay from (4e-12)^(1/3) on
    ray = complex(-1e-12, 1.0)
    assert float(sm.AdamsBashforth(2).limit_along(ray)) == pytest.approx((4e-12) ** (1 / 3), rel=1e-2)
    assert float(sm.RK4().limit_along(complex(-1e-18, 1.0))) == pytest.approx(math.sqrt(8), rel=1e-9)
    assert float(sm.RK4().limit_along(complex(1e-18, 1.0))) == 0
    assert float(sm.Leapfrog().limit_along(complex(-1e-9, 1.0))) == 0


@NAMED
def test_growing_modes_grow(method):
    assert float(method.limit_along(1.0)) == 0 or method.implicit


def test_memory_may_be_redundant_and_parameters_irrational():
    plain = sm.from_update(lambda s, f: (s[0] + f(s[0]), s[1] * 0), 2)
    assert plain.real_limit == 2
    b = math.sqrt(0.5)
    ball = sm.from_update(lambda s, f: (s[0] + b * s[1] + f(s[0]), b * s[1] + f(s[0])), 2, name="ball")
    assert ball.real_limit == pytest.approx(sm.HeavyBall(b).real_limit, rel=1e-12)


def test_optimistic_gradient():
    # x+ = x - 2 g + g_old (Daskalakis et al. 2018): r^2 - (1 + 2 z) r + z has the root -1 at z = -2/3
    method = sm.from_update(lambda s, f: (s[0] + 2 * f(s[0]) - s[1], f(s[0])), 2)
    assert method.real_limit == pytest.approx(2 / 3, rel=1e-12)
    y = method.imaginary_limit
    assert method.amplification(0.999 * y * 1j) < 1 < method.amplification(1.001 * y * 1j)
    assert method.evaluations == 2


@given(st.floats(0.05, 0.95), st.floats(0, 0.9))
@settings(max_examples=30)
def test_extracted_limits_of_momentum(b, d):
    def step(state, f):
        v = b * state[1] + (1 - d) * f(state[0])
        return state[0] + v, v

    assert sm.from_update(step, 2).real_limit == pytest.approx(sm.HeavyBall(b, d).real_limit, rel=1e-9)


@given(st.integers(2, 40), st.floats(0, 0.5), st.integers(1, 2))
@settings(max_examples=40)
def test_chebyshev_real_limit_is_the_true_boundary(stages, damping, order):
    method = sm.RungeKuttaChebyshev(stages, damping, order=order)
    limit = method.real_limit
    assert method.amplification(-np.linspace(0, limit * (1 - 1e-12), 4000)).max() <= 1 + 1e-9
    assert method.amplification(-limit * (1 + 1e-6)) > 1
    if order == 2:
        assert limit >= 2 / 3 * (stages**2 - 1) * (1 - 2 * damping / 15) * (1 - 2 * damping)


def test_the_formula_of_the_second_order_is_a_lower_bound():
    for s in range(2, 60):
        limit = sm.RungeKuttaChebyshev(s).real_limit
        assert limit >= 2 / 3 * (s * s - 1) * (1 - 2 / 15 * 2 / 13) * (1 - 1e-12)
        assert sm.RungeKuttaLegendre(s).real_limit >= (s * s + s - 2) / 2 * (1 - 1e-12)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("kind", [sm.RungeKuttaChebyshev, sm.RungeKuttaLegendre])
def test_both_sides_of_the_real_limit_for_every_number_of_stages(kind, order):
    for stages in range(order, 14):
        method = kind(stages, order=order)
        inside, outside = method.amplification(-method.real_limit * np.asarray([1 - 1e-6, 1 + 1e-4]))
        assert inside <= 1 < outside, method.name


@pytest.mark.parametrize("kind", [sm.RungeKuttaChebyshev, sm.RungeKuttaLegendre])
def test_fewest_stages(kind):
    for reach in (0.5, 2.0, 63.0, 1e4):
        method = kind.covering(reach)
        assert method.real_limit >= reach
        if method.stages > 2:
            assert kind(method.stages - 1).real_limit < reach
    with pytest.raises(InvalidInput, match="more than 10000 stages"):
        kind.covering(1e12)


def test_chebyshev_iteration_as_a_method():
    method, step, rate = sm.RungeKuttaChebyshev.best(1.0, 1e4, 50)
    curvatures = np.linspace(1, 1e4, 20001)
    assert method.amplification(-step * curvatures).max() == pytest.approx(rate, rel=1e-9)
    assert rate == pytest.approx(1 / np.cosh(50 * np.arccosh(10001 / 9999)), rel=1e-12)
    assert f"{rate:.6g}" in method.tuned(1.0, 1e4)
    # sixteen stages' worth of gradient descent is no match
    assert rate < sm.GradientDescent().best_step(1.0, 1e4)[1] ** 50


@EXPLICIT
def test_order_is_the_slope_of_the_local_error(method):
    if method.order == 0 or method.memory > 1:
        return

    # x' = (-x0 x1, x0^2 - x1): nonlinear; the error of one step against 200 small ones of order 5
    def push(h):
        return lambda x: h * np.asarray([-x[0] * x[1], x[0] ** 2 - x[1]])

    x0, errors, steps = np.asarray([1.0, 0.5]), [], [0.02, 0.01]
    for h in steps:
        fine = (x0,)
        for _ in range(20):
            fine = sm.DormandPrince().update(fine, push(h / 20))
        errors.append(np.linalg.norm(method.update(method.start(x0), push(h))[0] - fine[0]))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(method.order + 1, abs=0.15)


@pytest.mark.parametrize("method", [sm.BackwardEuler(), sm.Trapezoidal(), sm.RadauIIA(2), sm.RadauIIA(3)],
                         ids=lambda m: m.name)  # fmt: skip
def test_implicit_steps_solve_their_equations(method):
    J = np.asarray([[-1.0, 300.0], [0.0, -1e4]])
    (moved,) = method.update((np.asarray([1.0, 1.0]),), lambda x: J @ x)
    A, b = method.tableau.matrix, np.asarray([float(v) for v in method.tableau.b])
    s = len(b)
    k = np.linalg.solve(np.eye(2 * s) - np.kron(A, J), np.tile(J @ [1.0, 1.0], s)).reshape(s, 2)
    np.testing.assert_allclose(moved, [1, 1] + b @ k, rtol=1e-9)
    # a nonlinear flow too
    (x,) = method.update((np.asarray([1.0]),), lambda x: -0.1 * x**3)
    assert x[0] == pytest.approx(1.2**-0.5, rel=1e-2)


def test_implicit_steps_refuse_what_they_cannot_do():
    with pytest.raises(InvalidInput, match="solve_ivp"):
        sm.BackwardEuler().update((np.ones(3000),), lambda x: -x)
    with pytest.raises(InvalidInput, match="did not converge"):
        sm.BackwardEuler().update((np.asarray([1.0]),), lambda x: -1e3 * np.sign(x - 0.5))


def test_a_users_tableau():
    ralston = sm.ButcherTableau(name="Ralston 3", A=[[], [0.5], [0, 0.75]], b=[2 / 9, 1 / 3, 4 / 9], order=3)
    method = sm.RungeKutta(ralston)
    assert method.real_limit == pytest.approx(2.512745326618, rel=1e-9)
    assert method.tableau.A[2][1] == Fraction(3, 4)
    gamma = 1 - math.sqrt(0.5)
    sdirk = sm.ButcherTableau(name="SDIRK 2", A=[[gamma, 0], [1 - gamma, gamma]], b=[1 - gamma, gamma], order=2)
    assert sm.RungeKutta(sdirk).imaginary_limit == inf
    gauss = sm.ButcherTableau(
        name="Gauss 4",
        A=[[1 / 4, 1 / 4 - math.sqrt(3) / 6], [1 / 4 + math.sqrt(3) / 6, 1 / 4]],
        b=[0.5, 0.5],
        order=4,
    )
    assert sm.RungeKutta(gauss).imaginary_limit == sm.RungeKutta(gauss).real_limit == inf
    assert "RK4()" in repr(sm.RK4())
    assert repr(sm.RungeKutta(gauss)) == "RungeKutta(ButcherTableau('Gauss 4', stages=2, order=4))"
    assert sm.RK4() == sm.RK4() != sm.Kutta3()
    assert hash(sm.RK4()) == hash(sm.RK4())
    for table in (method.tableau for method in METHODS if isinstance(method, sm.RungeKutta)):
        assert (table.embedded is None) == (table.embedded_order == 0), table.name


def test_evaluations():
    counted = {m.name: m.evaluations for m in METHODS}
    assert counted["Dormand-Prince 5(4)"] == 6
    assert counted["Bogacki-Shampine 3(2)"] == 3
    assert counted["RK4"] == 4
    assert counted["Adams-Bashforth 5"] == 1
    assert counted["Runge-Kutta-Chebyshev 2, 10 stages"] == 10
    for method in METHODS:
        if method.implicit:
            continue
        calls = []
        method.update(method.start(np.ones(1)), lambda x, calls=calls: calls.append(1) or 0 * x)
        assert len(calls) == method.evaluations


def test_multistep_methods_begin_with_full_order():
    # x' = -x from 1 to t = 1; the error falls by 2^k per halving
    for k in (2, 3, 4, 5):
        errors = []
        for n in (20, 40):
            method = sm.AdamsBashforth(k)

            def flow(x, n=n):
                return -x / n

            state = method.begin(np.ones(1), flow)
            for _ in range(n):
                state = method.update(state, flow)
            errors.append(abs(state[0][0] - math.exp(-1)))
        assert np.log2(errors[0] / errors[1]) == pytest.approx(k, abs=0.35)
    x = np.asarray([1.0 + 0j])
    state = sm.Leapfrog().begin(x, lambda x: 0.1j * x)
    for _ in range(1000):
        state = sm.Leapfrog().update(state, lambda x: 0.1j * x)
    assert abs(state[0][0]) == pytest.approx(1, abs=1e-2)


@NAMED
def test_regions(method):
    region = method.region(points=31)
    assert region.amplification.shape == (31, 31)
    assert region.mask.any() or method.real_limit == 0
    inner = 0.98 * region.boundary[np.abs(region.boundary) > 0]
    if not method.implicit:
        assert method.amplification(inner).max() <= 1 + 1e-9
    record = region.to_dict()
    assert record["kind"] == "region"
    assert method.name in str(region)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: sm.ButcherTableau(name="a", A=[[], [1]], b=[0.5, 0.4], order=1), InvalidInput, "off by 0.1"),
        (lambda: sm.ButcherTableau(name="a", A=[[], [1]], b=[0.5, 0.5], order=3), InvalidInput, "claim order 2"),
        (lambda: sm.ButcherTableau(name="a", A=[[], [1]], b=[0.5, 0.5], order=2, c=[0, 0.9]), InvalidInput, "row 1"),
        (lambda: sm.ButcherTableau(name="a", A=[[], [1]], b=[0.5, 0.5], order=2, c=[0]), InvalidInput, "2 entries"),
        (lambda: sm.ButcherTableau(name="a", A=[[1, 2, 3]], b=[1], order=1), InvalidInput, "rows of 1 entries"),
        (lambda: sm.ButcherTableau(name="a", A=[[]], b=[], order=1), InvalidInput, "at least one stage"),
        (lambda: sm.ButcherTableau(name="a", A=[[]], b=[math.nan], order=1), InvalidType, "finite numbers"),
        (lambda: sm.ButcherTableau(name="a", A=[["x"]], b=[1], order=1), InvalidType, "A must be several"),
        (lambda: sm.ButcherTableau(name="a", A=[[]], b=[1], order=9), InvalidInput, "from 1 to 8"),
        (
            lambda: sm.ButcherTableau(name="a", A=[[]], b=[1], order=1, embedded=[0.5], embedded_order=1),
            InvalidInput,
            "fix A or embedded",
        ),
        (lambda: sm.RungeKutta("RK4"), InvalidType, "ButcherTableau"),
        (lambda: sm.SSPRK(5, 5), InvalidInput, r"\(10, 4\)"),
        (lambda: sm.RadauIIA(4), InvalidInput, "from 1 to 3"),
        (lambda: sm.AdamsBashforth(6), InvalidInput, "1 to 5"),
        (lambda: sm.RungeKuttaChebyshev(1), InvalidInput, "stages"),
        (lambda: sm.RungeKuttaChebyshev(5, -1.0), InvalidInput, "damping"),
        (lambda: sm.RungeKuttaChebyshev(5, order=3), InvalidInput, "order"),
        (lambda: sm.RungeKuttaLegendre(0, order=1), InvalidInput, "stages"),
        (lambda: sm.RungeKuttaChebyshev.best(0.0, 1.0, 3), InvalidInput, "0 < smallest"),
        (lambda: sm.RungeKuttaChebyshev.covering(-1.0), InvalidInput, "reach"),
        (lambda: sm.from_update("x"), InvalidType, "function"),
        (lambda: sm.from_update(lambda s, f: s, 0), InvalidInput, "memory"),
        (lambda: sm.from_update(lambda s, f: s[0] + f(s[0])), InvalidType, "tuple of memory=1"),
        (lambda: sm.from_update(lambda s, f: (s[0], s[0])), InvalidType, "memory=1 arrays; got 2 arrays"),
        (lambda: sm.from_update(lambda s, f: (s[0][:1],)), InvalidType, "keep shapes"),
        (lambda: sm.from_update(lambda s, f: (s[0] + f(s[0]) ** 2,)), InvalidInput, "not linear"),
        (lambda: sm.from_update(lambda s, f: (s[0] / (1 - f(np.ones_like(s[0]))),)), InvalidInput, "not polynomial"),
        (lambda: sm.RK4().region(window=(1, 0, 0, 1)), InvalidInput, "window"),
        (lambda: sm.RK4().region(points=1), InvalidInput, "points"),
    ],
)
def test_bad_input(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_a_stateful_step_is_found_out():
    calls = []

    def step(state, f):
        calls.append(1)
        return (state[0] + len(calls) * f(state[0]),)

    with pytest.raises(NotRepeatable, match="two different answers"):
        sm.from_update(step)


def test_names():
    for name in sm.method_names():
        method = sm.named(name.replace("S", "7").upper())
        assert method.name
    assert sm.named("rkc10") == sm.RungeKuttaChebyshev(10)
    with pytest.raises(UnknownTarget, match="dormand-prince"):
        sm.named("dormand-price")
    with pytest.raises(UnknownTarget, match="give one of"):
        sm.named("xyzzy")
    with pytest.raises(InvalidInput, match="stages"):
        sm.named("rkc1")
    with pytest.raises(InvalidType, match="name must be a text; got 4"):
        sm.named(4)


def test_a_method_of_ones_own_need_not_be_hashable():
    class Own(sm.Method):
        __hash__ = None
        name = "own"

        def update(self, state, flow):
            return (state[0] + 0.5 * flow(state[0]),)

    assert Own().real_limit == 4
    assert Own().order == 0


def test_random_methods_against_a_scan():
    rng = np.random.default_rng(4)
    radii = np.concatenate([np.geomspace(1e-5, 1e-2, 200), np.linspace(1e-2, 30, 6000)])
    for memory in (1, 2, 3) * 3:
        B, C = 0.4 * rng.standard_normal((memory, memory)), 0.5 * rng.standard_normal((2, memory, memory))
        B[:, 0] = np.eye(memory)[0]

        def step(state, f, B=B, C=C):
            once = [f(x) for x in state]
            twice = [f(x) for x in once]
            return tuple(
                sum(b * x + c * y + d * z for b, c, d, x, y, z in zip(*row, state, once, twice, strict=True))
                for row in zip(B, *C, strict=True)
            )

        method = sm.from_update(step, memory)
        for ray in (-1.0, 1j, np.exp(2.0j), np.exp(2.8j)):
            limit = float(method.limit_along(ray))
            growth = sm.Method.amplification(method, radii * ray) > 1 + 1e-9
            first = radii[growth.argmax()] if growth.any() else inf
            before = radii[max(growth.argmax() - 1, 0)] if growth.any() else 29
            assert limit <= first * (1 + 1e-6)
            grows_slowly = method.amplification(np.linspace(limit, before, 22)[2:-1] * ray).min() > 1
            assert limit >= before * (1 - 1e-6) or first < 2e-5 or grows_slowly


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_complex_pair_that_leaves_the_disc_on_the_real_axis_is_a_double_root(kept):
    """A gradient taken one step late: r^2 - (1 + b) r + b + y, whose roots have the product 1 at y = 1 - b."""
    late = sm.from_update(lambda state, f: (state[0] + state[1], kept * state[1] + f(state[0])), memory=2)
    assert late.real_limit == pytest.approx(1 - kept, rel=1e-9)


@pytest.mark.parametrize(
    "method",
    [sm.RungeKuttaChebyshev(8), sm.RungeKuttaChebyshev(7, order=1), sm.RungeKuttaLegendre(6)],
    ids=lambda method: method.name,
)
def test_sampled_rays_of_a_stabilised_method_agree_with_its_polynomial(method):
    """From near the imaginary axis, where little is stable, to a hair from the real one, where all of it is."""
    rays = np.exp(1j * np.pi * np.array([0.55, 0.7, 0.85, 0.95, 0.99, 0.999, 1 - 1e-6]))
    polynomial = sm.from_update(method.update)
    np.testing.assert_allclose(method.limit_along(rays), polynomial.limit_along(rays), rtol=1e-6)


@pytest.mark.parametrize(("low", "high", "limit"), [(5.0, 5.1, 5.0), (1e-5, 1.0, 1e-5), (1e-9, 1e-6, 0.0)])
def test_a_search_sees_lobes_of_two_percent_and_growth_from_1e_minus_7_on(low, high, limit):
    """Of methods without a polynomial; what grows before 1e-7 grows at once."""

    def lobe(z):
        return np.where((np.abs(z) > low) & (np.abs(z) < high), 1.1, 0.9)

    assert first_crossing(lobe, np.array([-1.0 + 0j]))[0] == pytest.approx(limit, rel=1e-9, abs=0)


def test_coefficients_in_double_precision_are_taken_for_the_fractions_that_they_are():
    """Of Dormand and Prince's table, whose denominators have up to six digits, those that a double can tell."""
    table = sm.DormandPrince().tableau
    A, b = [[float(a) for a in row] for row in table.A], [float(w) for w in table.b]
    again = sm.ButcherTableau(name="again", A=A, b=b, order=5)
    assert again.A == table.A
    assert again.b == table.b


@pytest.mark.parametrize("bend", [1e-6, 1e-3])
def test_a_slight_curve_is_not_linear(bend):
    with pytest.raises(InvalidInput, match="superposition is off"):
        sm.from_update(lambda state, f: (state[0] + f(state[0]) + bend * state[0] ** 2,))
