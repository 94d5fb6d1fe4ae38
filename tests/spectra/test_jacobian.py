"""Jacobians by every route agree; stencils have the eigenvalues of their matrices; bad functions are named."""

import numpy as np
import pytest
import scipy.sparse

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotRepeatable
from surefoot.operators import LinearMap


def pendulum(t, y):
    return [y[1], -np.sin(y[0]) - 0.1 * y[1]]


def brusselator(t, y):
    u, v = y[::2], y[1::2]
    lap = [np.concatenate([[1.0], w[:-1]]) - 2 * w + np.concatenate([w[1:], [1.0]]) for w in (u, v)]
    out = np.empty_like(y)
    out[::2] = 1 + u**2 * v - 4 * u + 50 * lap[0]
    out[1::2] = 3 * u - u**2 * v + 50 * lap[1]
    return out


def exact_brusselator(y):
    n = y.size
    J = np.zeros((n, n))
    for j in range(n):
        z = y.astype(complex)
        z[j] += 1e-30j
        J[:, j] = np.imag(brusselator_complex(z)) / 1e-30
    return J


def brusselator_complex(y):
    u, v = y[::2], y[1::2]
    out = np.empty_like(y)
    for k, w in ((0, u), (1, v)):
        out[k::2] = 50 * (np.concatenate([[1.0], w[:-1]]) - 2 * w + np.concatenate([w[1:], [1.0]]))
    out[::2] += 1 + u**2 * v - 4 * u
    out[1::2] += 3 * u - u**2 * v
    return out


def pattern(n):
    return scipy.sparse.diags_array([np.ones(n - abs(k)) for k in range(-2, 3)], offsets=list(range(-2, 3)))


def test_all_routes_agree():
    y = 1 + np.random.default_rng(0).random(40)
    truth = exact_brusselator(y)
    dense = sf.jacobian(brusselator, 0.0, y)
    sparse = sf.jacobian(brusselator, 0.0, y, sparsity=pattern(40))
    products = sf.jacobian(brusselator, 0.0, y, scheme="products")
    analytic = sf.jacobian(brusselator, 0.0, y, jac=lambda t, x: exact_brusselator(x))
    scale = np.abs(truth).max()
    for J in (dense, sparse, products, analytic):
        formed = np.stack([J.matvec(e) for e in np.eye(40)], axis=1)
        np.testing.assert_allclose(formed, truth, atol=1e-8 * scale)
        assert J.kind == "jacobian"
        assert J.scope == "local"
    assert sparse.evaluations == 2 + 2 * 5
    assert dense.evaluations == 2 + 2 * 40
    assert products.entries is None
    v = np.arange(40.0)
    np.testing.assert_allclose(products.matvec(v), truth @ v, atol=1e-7 * scale * 40)
    np.testing.assert_allclose(dense.rmatvec(y), truth.T @ y, atol=1e-7 * scale)


def test_a_symmetric_jacobian_is_recognised_through_differencing_noise():
    def heat(t, u):
        return 1e4 * (np.concatenate([[0], u[:-1]]) - 2 * u + np.concatenate([u[1:], [0]]))

    y = np.random.default_rng(1).random(30)
    assert sf.jacobian(heat, 0.0, y).symmetric
    lim = sf.limits(sf.jacobian(heat, 0.0, y))
    assert lim.stable == pytest.approx(2 / (4e4 * np.cos(np.pi / 62) ** 2), rel=1e-7)


def test_the_heat_equation_with_a_hundred_thousand_unknowns():
    m = 317
    scale = (m + 1.0) ** 2

    def heat(t, u):
        u = u.reshape(m, m)
        r = -4 * u
        r[1:] += u[:-1]
        r[:-1] += u[1:]
        r[:, 1:] += u[:, :-1]
        r[:, :-1] += u[:, 1:]
        return scale * r.ravel()

    T = scipy.sparse.diags_array([np.ones(m - 1), np.ones(m), np.ones(m - 1)], offsets=[-1, 0, 1])
    eye = scipy.sparse.eye_array(m)
    J = sf.jacobian(heat, 0.0, np.ones(m * m), sparsity=scipy.sparse.kron(T, eye) + scipy.sparse.kron(eye, T))
    found = sf.spectrum(J)
    assert J.evaluations + found.products <= 60
    truth = 8 * scale * np.cos(np.pi / (2 * m + 2)) ** 2
    for method in (sf.methods.ForwardEuler(), sf.methods.RungeKuttaChebyshev(20)):
        stable = sf.limits(found, method).stable
        assert 0.99 <= stable * truth / method.real_limit <= 1 + 1e-6


def test_large_operators_are_enclosed_by_their_field_of_values():
    n = 1500
    rng = np.random.default_rng(3)
    decay, turn = -1 - 4 * rng.random(n // 2), 3 * rng.random(n // 2)
    blocks = [np.asarray([[a, b], [-b, a]]) for a, b in zip(decay, turn, strict=True)]
    A = scipy.sparse.block_diag([scipy.sparse.coo_array(block) for block in blocks]).tocsr()
    for operator in (A, LinearMap((n, n), A.__matmul__, A.T.__matmul__, symmetric=False, kind="jacobian")):
        found = sf.spectrum(operator, kind="jacobian")
        eigenvalues = np.concatenate([decay + 1j * turn, decay - 1j * turn])
        inside = _inside(found.field_of_values, eigenvalues)
        assert inside.all()
        exact = min(sf.methods.RK4().limit_along(z / abs(z)) / abs(z) for z in eigenvalues[: n // 2])
        lim = sf.limits(found, sf.methods.RK4())
        assert 0.9 * exact <= lim.stable <= exact
        assert lim.curvature_limit == pytest.approx(exact, rel=0.02)


def test_advection_and_diffusion_on_a_large_grid():
    m = 64
    T = scipy.sparse.diags_array([300 * np.ones(m - 1), -500 * np.ones(m), 200 * np.ones(m - 1)], offsets=[-1, 0, 1])
    eye = scipy.sparse.eye_array(m)
    J = (scipy.sparse.kron(T, eye) + scipy.sparse.kron(eye, T)).tocsr()
    line = np.linalg.eigvals(T.toarray())
    eigenvalues = (line[:, None] + line).ravel()
    found = sf.spectrum(J, kind="jacobian")
    assert _inside(found.field_of_values, eigenvalues).all()
    for method in (sf.methods.RK4(), sf.methods.DormandPrince()):
        exact = method.real_limit / np.abs(eigenvalues).max()
        lim = sf.limits(found, method)
        assert 0.9 * exact <= lim.stable <= exact
        assert lim.stable <= lim.curvature_limit
    # the field's enclosure has corners on the imaginary axis, where Euler has no step: said, with an estimate beside it
    euler = sf.limits(found)
    assert euler.stable == 0
    assert "no step is certified" in euler.reasons["stable"]
    assert euler.curvature_limit > 0


def _inside(corners, points):
    following = np.roll(corners, -1)
    edges = following - corners
    return (((points[:, None] - corners) * np.conj(edges)).imag >= -1e-9 * np.abs(corners).max() ** 2).all(axis=1)


def test_an_estimate_is_called_one():
    n = 1200
    upwind = LinearMap((n, n), lambda x: np.concatenate([[0], x[:-1]]) - x, kind="jacobian")
    found = sf.spectrum(upwind, kind="jacobian")
    assert found.largest.upper_is == "estimate"
    assert found.points.size < n
    assert sf.limits(found).stable == pytest.approx(1, rel=0.02)
    again = sf.Spectrum.from_dict(found.to_dict())
    np.testing.assert_array_equal(again.field_of_values, found.field_of_values)
    assert again.eigenvector_condition == np.inf
    np.testing.assert_allclose(found.scaled(2.0).field_of_values, 2 * found.field_of_values)


def circulant(coefficients, n):
    A = np.zeros((n, n))
    for k, a in coefficients.items():
        A += a * np.roll(np.eye(n), k, axis=1)
    return A


@pytest.mark.parametrize("coefficients", [{-1: 1.0, 0: -2.0, 1: 1.0}, {-1: 3.0, 0: -3.0}, {-1: 1.0, 1: -1.0}, {2: 0.5}])
def test_symbols_are_the_eigenvalues_of_circulants(coefficients):
    found = sf.spectra.stencil(coefficients)
    eigenvalues = np.linalg.eigvals(circulant(coefficients, 24))
    distance = np.abs(eigenvalues[:, None] - found.points[None, :]).min(axis=1)
    assert distance.max() < 1e-9


def test_cfl_conditions():
    euler, rk4, leapfrog = sf.methods.ForwardEuler(), sf.methods.RK4(), sf.methods.Leapfrog()
    assert sf.limits(sf.spectra.heat(0.1, 2.0)).stable == pytest.approx(0.01 / 4, rel=1e-12)
    assert sf.limits(sf.spectra.heat((0.1, 0.2, 0.1))).stable == pytest.approx(0.5 / (100 + 25 + 100), rel=1e-12)
    assert sf.limits(sf.spectra.advection(0.1, 3.0, "upwind"), euler).stable == pytest.approx(0.1 / 3, rel=1e-9)
    assert sf.limits(sf.spectra.advection(0.1, 3.0), euler).stable == 0
    assert sf.limits(sf.spectra.advection(0.1, 3.0), rk4).stable == pytest.approx(8**0.5 * 0.1 / 3, rel=1e-9)
    assert sf.limits(sf.spectra.advection((0.1, 0.1), (3.0, 1.0)), leapfrog).stable == pytest.approx(0.1 / 4, rel=1e-9)
    assert sf.limits(sf.spectra.wave(0.1, 2.0), leapfrog).stable == pytest.approx(0.1 / 4, rel=1e-9)
    assert sf.limits(sf.spectra.wave((0.1, 0.1), 1.0), rk4).stable == pytest.approx(0.1, rel=1e-9)


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda: sf.jacobian(lambda t, y: y[:1], 0.0, [1.0, 2.0]), InvalidInput, r"shape \(2,\); got shape \(1,\)"),
        (lambda: sf.jacobian(lambda t, y: y * np.nan, 0.0, [1.0]), NotFinite, "fun returned NaN"),
        (lambda: sf.jacobian(lambda t, y: y * 1j, 0.0, [1.0]), InvalidType, "real numbers"),
        (lambda: sf.jacobian("f", 0.0, [1.0]), InvalidType, "function"),
        (lambda: sf.jacobian(pendulum, 0.0, []), InvalidInput, "at least one entry"),
        (lambda: sf.jacobian(pendulum, 0.0, [[1.0, 2.0]]), InvalidInput, "vector"),
        (lambda: sf.jacobian(pendulum, 0.0, ["a", "b"]), InvalidType, "array of numbers"),
        (lambda: sf.jacobian(pendulum, 0.0, [np.inf, 0.0]), NotFinite, "infinite"),
        (lambda: sf.jacobian(pendulum, 0.0, [1.0, 0.0], jac=np.eye(3)), InvalidInput, r"\(2, 2\)"),
        (lambda: sf.jacobian(pendulum, 0.0, [1.0, 0.0], sparsity=np.eye(3)), InvalidInput, r"\(2, 2\)"),
        (lambda: sf.jacobian(pendulum, 0.0, [1.0, 0.0], scheme="sparse"), InvalidInput, "needs sparsity"),
        (lambda: sf.jacobian(pendulum, 0.0, [1.0, 0.0], scheme="magic"), InvalidInput, "magic"),
        (lambda: sf.spectra.stencil({}), InvalidInput, "at least one"),
        (lambda: sf.spectra.stencil({0: np.nan}), InvalidInput, "finite"),
        (lambda: sf.spectra.stencil({0: 1.0, (1, 1): 1.0}), InvalidInput, "same 1 to 3"),
        (lambda: sf.spectra.heat(0.0), InvalidInput, "spacing"),
        (lambda: sf.spectra.heat(1.0, -1.0), InvalidInput, "diffusivity"),
        (lambda: sf.spectra.advection(1.0, 1.0, "magic"), InvalidInput, "scheme"),
        (lambda: sf.spectra.advection((1.0, 1.0), (1.0, 1.0, 1.0)), InvalidInput, "speed"),
        (lambda: sf.spectra.wave([1.0] * 4), InvalidInput, "1 to 3"),
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
        sf.jacobian(fun, 0.0, [1.0])
