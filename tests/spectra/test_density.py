"""Density, trace and eigenpairs against matrices whose spectrum is known."""

import json

import numpy as np
import pytest
import scipy.sparse as sp

from surefoot import spectra
from surefoot.errors import InvalidInput, NotSymmetric
from surefoot.operators import LinearMap, as_operator, gram
from surefoot.spectra import Density, density, eigenpairs, trace
from surefoot.spectra.measured._density import mass_below, quadrature
from surefoot.spectra.measured.lanczos import random_unit


class Counted(LinearMap):
    """Products only, counted: nothing can be read off entries."""

    def __init__(self, matrix, **facts):
        self.count = 0
        self.matrix = np.asarray(matrix)

        def product(x):
            self.count += 1
            return self.matrix @ x

        super().__init__(self.matrix.shape, product, dtype=self.matrix.dtype, **facts)


def rotation(n, seed=0, is_complex=False):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((n, n)) + (1j * rng.standard_normal((n, n)) if is_complex else 0)
    return np.linalg.qr(a)[0]


def matrix_of(values, seed=0, is_complex=False):
    q = rotation(len(values), seed, is_complex)
    a = (q * values) @ q.conj().T
    return (a + a.conj().T) / 2


def semicircle(n=500, seed=0):
    a = np.random.default_rng(seed).standard_normal((n, n))
    return (a + a.T) / np.sqrt(2 * n)


# --- density


def test_quadrature_gives_moments_exactly():
    values = np.random.default_rng(1).standard_normal(30)
    found = density(Counted(matrix_of(values)), n_vectors=400, steps=30)
    for power in range(1, 6):
        mean, error = found.integral(lambda x, power=power: x**power)
        assert abs(mean - (values**power).mean()) <= 4 * error
    assert found.integral(np.ones_like) == pytest.approx((1.0, 0.0), abs=1e-12)


def test_semicircle_law_and_the_matrix_itself():
    matrix = semicircle()
    found = density(Counted(matrix), n_vectors=10, steps=60, width=0.1)
    distances = (found.grid[:, None] - np.linalg.eigvalsh(matrix)) / 0.1
    itself = np.exp(-0.5 * distances**2).mean(axis=1) / (0.1 * np.sqrt(2 * np.pi))
    inside = np.abs(found.grid) < 1.7
    law = np.sqrt(np.maximum(4 - found.grid**2, 0)) / (2 * np.pi)
    assert (np.abs(found.density - itself)[inside] < 4.5 * found.standard_error[inside]).all()
    assert np.abs(found.density - law)[inside].max() < 0.04
    assert np.trapezoid(found.density, found.grid) == pytest.approx(1, abs=1e-3)
    assert found.products == 600


def test_the_default_width_leaves_no_ripples():
    found = density(Counted(semicircle()), n_vectors=40, steps=20)
    middle = np.abs(found.grid) < 1
    law = np.sqrt(np.maximum(4 - found.grid**2, 0)) / (2 * np.pi)
    assert np.abs(found.density - law)[middle].max() < 0.02


def test_shares_of_clusters_and_their_errors():
    values = np.repeat([-1.0, 0.0, 3.0], [10, 250, 40])
    operator = Counted(matrix_of(values))
    found = density(operator, n_vectors=12, steps=20)
    assert operator.count == found.products
    for lower, upper, truth in ((-2, -0.5, 10 / 300), (-0.5, 0.5, 250 / 300), (0.5, np.inf, 40 / 300)):
        share, error = found.share(lower, upper)
        assert abs(share - truth) < 4 * error
        assert error < 0.05


def start_and_measure(values, steps, seed):
    """What a start's quadrature gives, and the weights that the start itself has on the eigenvalues."""
    operator = as_operator(np.diag(values))
    own = random_unit(operator.space, values.size, np.random.default_rng(seed)) ** 2
    return quadrature(operator, steps, np.random.default_rng(seed)), own


KNOWN = {
    "uniform": np.linspace(-1, 1, 400),
    "decades about 0": np.sort(np.sign(np.sin(np.arange(400))) * 10 ** -np.linspace(0, 6, 400)),
    "a bulk and far ones": np.sort(np.append(np.random.default_rng(0).standard_normal(390) * 0.01, np.arange(1.0, 11))),
    "clusters": np.sort(np.repeat([-1.0, 0.0, 3.0, 3.001], [10, 250, 100, 40])),
}


@pytest.mark.parametrize("steps", [4, 12, 40])
@pytest.mark.parametrize("name", KNOWN)
def test_the_mass_below_an_edge_is_as_near_as_it_says(name, steps):
    values = KNOWN[name]
    edges = np.unique(np.concatenate([[-2, 0, 4], values[::7] + 1e-9, np.linspace(-1.1, 3.1, 60)]))
    for seed in range(4):
        found, own = start_and_measure(values, steps, seed)
        for edge in edges:
            mass, error = mass_below(edge, *found)
            assert abs(mass - own[values <= edge].sum()) <= error + 1e-12
            # nor more than the nodes on both sides of the edge, where none is within rounding of it
            k = np.searchsorted(found[0], edge)
            if name != "clusters":
                assert error <= 1.5 * found[1][max(k - 1, 0) : k + 1].sum() + 1e-12
    if name == "clusters" and steps > 4:  # 2 lies in a gap
        assert mass_below(2.0, *found)[1] < 1e-6


def test_a_share_near_zero_says_what_it_cannot_tell():
    # a network's: most eigenvalues within decades about 0, where 40 products a start have a node or two
    values = np.repeat(KNOWN["decades about 0"], 5)
    values[-10:] = np.linspace(20, 60, 10)
    found = density(np.diag(values), n_vectors=4, steps=40)
    for width in (1e-4, 1e-2, 0.1, 0.5, 2.0):
        truth = (np.abs(values) <= width).mean()
        share, error = found.share(-width, width)
        assert abs(share - truth) <= error
    assert error < 0.02  # of (-2, 2], whose edges lie in gaps
    assert "+-" in str(found)


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5])
def test_a_share_narrower_than_the_nodes_are_apart(shift):
    # the sum over nodes within would be 0 or a whole node
    found = density(np.diag(np.linspace(-1, 1, 1000)), steps=40)
    for half in (0.005, 0.02, 0.1):
        share, error = found.share(shift - half, shift + half)
        assert share == pytest.approx(half, rel=0.2, abs=0.002)
        assert half - error <= share <= half + error
    assert found.share(-np.inf, np.inf) == (1.0, 0.0)
    with pytest.raises(InvalidInput, match="lower <= upper"):
        found.share(1.0, 0.0)


def test_the_standard_error_is_that_of_independent_repetitions():
    matrix = semicircle(60)
    means = [density(matrix, n_vectors=6, steps=10, rng=seed).integral(np.square) for seed in range(60)]
    spread = np.std([mean for mean, _ in means], ddof=1)
    assert spread == pytest.approx(np.sqrt(np.mean([error**2 for _, error in means])), rel=0.3)


def test_density_laws():
    matrix = semicircle(80)
    one = density(matrix, n_vectors=3, steps=15)
    many = density(7 * matrix, n_vectors=3, steps=15)
    moved = density(matrix + 2 * np.eye(80), n_vectors=3, steps=15)
    np.testing.assert_allclose(many.grid, 7 * one.grid, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(7 * many.density, one.density, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(moved.grid, one.grid + 2, rtol=1e-9)
    np.testing.assert_allclose(moved.density, one.density, rtol=1e-6, atol=1e-8)


def test_special_sizes():
    alone = density([[3.0]])
    assert alone.share(2.9, 3.1)[0] == 1
    assert np.isfinite(alone.density).all()
    assert density(np.zeros((4, 4))).integral(np.abs)[0] == pytest.approx(0, abs=1e-12)
    assert np.isnan(density(np.eye(4), n_vectors=1).standard_error).all()
    hermitian = density(Counted(matrix_of(np.arange(5.0), is_complex=True)), n_vectors=300)
    mean, error = hermitian.integral(lambda x: x)
    assert abs(mean - 2) < 4 * error


def test_density_round_trip_and_text():
    for vectors in (1, 3):
        found = density(semicircle(40), n_vectors=vectors, steps=8)
        again = Density.from_dict(json.loads(json.dumps(found.to_dict())))
        for name in ("grid", "density", "standard_error", "nodes", "weights", "residuals"):
            np.testing.assert_array_equal(getattr(again, name), getattr(found, name))
    assert "spectral density of size 40" in str(found)


def test_same_seed_same_numbers():
    a, b, c = (density(semicircle(40), rng=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.density, b.density)
    assert (a.density != c.density).any()


# --- trace


@pytest.mark.parametrize("deflate", [True, False])
def test_trace_intervals_hold_as_often_as_they_say(deflate):
    values = 1 / np.arange(1, 201) ** 1.5
    matrix = matrix_of(values)
    found = [trace(Counted(matrix), products=24, failure=0.1, deflate=deflate, rng=seed) for seed in range(100)]
    held = sum(t.interval.contains(values.sum()) for t in found)
    assert 80 <= held <= 99
    bias = np.mean([t.value for t in found]) - values.sum()
    assert abs(bias) < 4 * np.std([t.value for t in found]) / 10


def test_deflation_pays_where_eigenvalues_decay():
    values = 1 / np.arange(1, 301) ** 2
    matrix = matrix_of(values)

    def error(deflate):
        runs = [trace(Counted(matrix), products=60, deflate=deflate, rng=seed).value for seed in range(20)]
        return float(np.sqrt(np.mean((np.array(runs) - values.sum()) ** 2)))

    assert error(True) < error(False) / 5


def test_exact_traces():
    values = np.arange(5.0) - 1
    assert trace(Counted(matrix_of(values))).value == pytest.approx(5)
    assert trace(Counted(matrix_of(values))).method == "exact"
    assert trace(matrix_of(np.arange(300.0))).products == 0
    factor = np.random.default_rng(0).standard_normal((4, 300))
    assert trace(gram(factor)).value == pytest.approx((factor**2).sum())
    # random signs see a diagonal without spread: a multiple of the identity has no spread
    assert trace(Counted(np.eye(200) * 3), deflate=False).value == pytest.approx(600)


def test_products_of_a_trace_are_counted():
    for deflate in (True, False):
        operator = Counted(semicircle(100))
        assert trace(operator, products=32, deflate=deflate).products == operator.count == 32


def test_trace_laws():
    matrix = semicircle(100)
    one, many = trace(Counted(matrix), products=30), trace(Counted(5 * matrix), products=30)
    assert many.value == pytest.approx(5 * one.value)
    assert many.interval.width == pytest.approx(5 * one.interval.width)


# --- eigenpairs


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("hidden", [False, True])
def test_eigenpairs_against_a_solver(which, is_complex, hidden):
    values = np.concatenate([np.linspace(-1, 1, 190), [-9, -5, -4, -3, -2, 2, 3, 4, 5, 10]])
    matrix = matrix_of(values, is_complex=is_complex)
    found = eigenpairs(Counted(matrix) if hidden else matrix, 4, which=which, rtol=1e-6)
    truth = np.sort(values)[:4] if which == "smallest" else np.sort(values)[::-1][:4]
    np.testing.assert_allclose(found.values, truth, atol=1e-6 * 10)
    assert found.extreme.lower - 1e-12 <= truth[0] <= found.extreme.upper + 1e-12
    for value, vector, residual in zip(found.values, found.vectors.T, found.residuals, strict=True):
        seen = np.linalg.norm(matrix @ vector - value * vector)
        assert seen <= residual + 1e-12
        assert np.abs(values - value).min() <= residual + 1e-12
    np.testing.assert_allclose(found.vectors.conj().T @ found.vectors, np.eye(4), atol=1e-12)


def test_a_budget_is_kept_and_said():
    found = eigenpairs(Counted(semicircle(300)), 5, rtol=1e-8, max_products=12)
    assert found.products == 12
    assert "stopped after 12" in found.note
    truth = np.linalg.eigvalsh(semicircle(300))
    for value, residual in zip(found.values, found.residuals, strict=True):
        assert np.abs(truth - value).min() <= residual
    assert found.extreme.contains(truth[-1])


def test_an_eigenvalue_shows_as_often_as_it_is_there():
    found = eigenpairs(Counted(matrix_of(np.repeat([1.0, 2.0], 20))), 4)
    assert found.values == pytest.approx([2, 2, 2, 2])
    few = eigenpairs(Counted(matrix_of(np.repeat([1.0, 2.0, 3.0], [30, 8, 2]))), 4)
    assert few.values == pytest.approx([3, 3, 2, 2])
    assert few.rest.contains(2.0)
    np.testing.assert_allclose(few.vectors.T @ few.vectors, np.eye(4), atol=1e-12)


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_double_eigenvalues_of_a_laplacian(which):
    m = 50
    line = sp.diags_array([-np.ones(m - 1), 2 * np.ones(m), -np.ones(m - 1)], offsets=[-1, 0, 1])
    each = 4 * np.sin(np.pi * np.arange(1, m + 1) / (2 * m + 2)) ** 2
    truth = np.sort((each[:, None] + each).ravel())
    truth = truth[:6] if which == "smallest" else truth[::-1][:6]
    found = eigenpairs(sp.kronsum(line, line), 6, which=which, rtol=1e-3)
    np.testing.assert_allclose(found.values, truth, atol=1e-6)
    assert not found.note
    # all but six eigenvalues lie inside of what the last start leaves open
    seventh = np.sort((each[:, None] + each).ravel())[6 if which == "smallest" else -7]
    assert found.rest.lower - 1e-9 <= seventh <= found.rest.upper + 1e-9


def test_the_certificate_of_the_top_is_that_of_spectrum():
    matrix = semicircle(200)
    pairs = eigenpairs(Counted(matrix), 1, rtol=0.01)
    whole = spectra.spectrum(Counted(matrix), which="largest", rtol=0.01)
    assert pairs.extreme.upper == pytest.approx(whole.largest.upper, rel=0.02)
    assert pairs.extreme.failure == 1e-6


# --- arguments


@pytest.mark.parametrize("tool", [density, trace, lambda a: eigenpairs(a, 1)])
def test_rectangles_are_refused(tool):
    with pytest.raises(InvalidInput, match="square"):
        tool(np.ones((2, 3)))


@pytest.mark.parametrize("tool", [density, lambda a: eigenpairs(a, 1)])
def test_asymmetry_is_refused_known_or_found(tool):
    matrix = np.triu(np.ones((5, 5)))
    with pytest.raises(NotSymmetric):
        tool(matrix)
    with pytest.raises(NotSymmetric):
        tool(Counted(matrix))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: density(np.eye(3), n_vectors=0), "n_vectors"),
        (lambda: density(np.eye(3), width=0), "width"),
        (lambda: density(np.eye(3), points=1), "points"),
        (lambda: trace(np.eye(3), products=5), "products"),
        (lambda: trace(np.eye(3), failure=1), "failure"),
        (lambda: eigenpairs(np.eye(3), 4), r"1\.\.3"),
        (lambda: eigenpairs(np.eye(3), 1, which="top"), "largest"),
        (lambda: eigenpairs(np.eye(3), 1, rtol=0), "rtol"),
        (lambda: eigenpairs(np.eye(3), 3, max_products=2), "max_products"),
    ],
)
def test_arguments(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()
