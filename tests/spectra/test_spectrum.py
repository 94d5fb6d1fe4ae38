"""Intervals hold the truth, at the price promised, and say how far they can be trusted."""

import json

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import surefoot as sf
from surefoot.errors import InvalidInput, InvalidType, NotFinite, NotRepeatable, NotSymmetric
from surefoot.operators import LinearMap, gram
from surefoot.spectra import Bounds, Spectrum, gershgorin, measure, norm_bound

N = 20_000


def diagonal(values, **facts):
    """An operator that hides its entries, so that only products can be had."""
    values = np.asarray(values)
    return LinearMap((values.size, values.size), lambda x: values * x, symmetric=True, **facts)


def laplacian(x):
    y = 2 * x
    y[1:] -= x[:-1]
    y[:-1] -= x[1:]
    return y


def outliers(n=N):
    bulk = 0.01 * np.abs(np.random.default_rng(1).standard_normal(n - 10))
    return np.concatenate([np.linspace(0.2, 1, 10), bulk])


LAPLACIAN = LinearMap((N, N), laplacian, symmetric=True)
LAPLACIAN_TOP = 2 - 2 * np.cos(np.pi * N / (N + 1))


@pytest.mark.parametrize(
    ("operator", "truth", "budget"),
    [
        (diagonal(outliers()), 1.0, 20),
        (diagonal(np.linspace(0, 1, N)), 1.0, 100),
        (LAPLACIAN, LAPLACIAN_TOP, 100),
    ],
    ids=["outliers over a bulk", "uniform", "Laplacian"],
)
@pytest.mark.parametrize("seed", range(3))
def test_products_for_a_one_percent_interval(operator, truth, budget, seed):
    found = sf.spectrum(operator, which="largest", rtol=0.01, failure=1e-6, rng=seed)
    assert found.products <= budget
    assert found.largest.contains(truth)
    assert found.largest.width <= 0.01 * truth
    assert found.largest.upper_is == "probabilistic"
    assert found.largest.lower_is == "proved"
    assert found.largest.failure == 1e-6


HARD = {
    "repeated": [1, 1, 1, 0.5, 0.5, 0, 0],
    "negative": [-1, -1, -0.5, -0.2, -0.2],
    "indefinite": [-2, -1, 0, 0, 0.5, 1],
    "spike": [1] + [0.01] * 20,
    "uniform": np.linspace(0, 1, 40),
    "spike over a high bulk": [1] + [0.97] * 30 + [0] * 19,
    "geometric": 2.0 ** -np.arange(30),
    "two": [0, 1],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failure", "which"), [(0.5, "largest"), (0.1, "largest"), (0.01, "largest"), (0.1, "smallest")]
)
@pytest.mark.parametrize("name", HARD)
def test_intervals_miss_no_more_often_than_they_say(name, failure, which):
    values = np.asarray(HARD[name], dtype=float)
    truth = values.max() if which == "largest" else values.min()
    operator = diagonal(values)
    trials = 500
    misses = sum(
        not getattr(sf.spectrum(operator, rtol=0.2, failure=failure, which=which, rng=seed), which).contains(truth)
        for seed in range(trials)
    )
    # three standard deviations of the binomial above its mean
    assert misses <= trials * failure + 3 * np.sqrt(trials * failure * (1 - failure))


@pytest.mark.parametrize("name", HARD)
def test_no_miss_at_the_default_probability(name):
    values = np.asarray(HARD[name], dtype=float)
    for seed in range(100):
        found = sf.spectrum(diagonal(values), rng=seed)
        assert found.largest.contains(values.max())
        assert found.smallest.contains(values.min())


@given(
    # a product of numbers below the normal ones is rounded to multiples of the least one: no linear map
    values=st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=30),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60)
def test_any_small_spectrum_is_enclosed(values, seed):
    values = np.asarray(values)
    found = sf.spectrum(diagonal(values), rng=seed)
    # a diagonal product of exact numbers is exact, the basis is not
    slack = 1e-12 * np.abs(values).max()
    assert found.largest.lower - slack <= values.max() <= found.largest.upper + slack
    assert found.smallest.lower - slack <= values.min() <= found.smallest.upper + slack


def test_exact_where_it_is_cheap():
    rng = np.random.default_rng(3)
    matrix = rng.standard_normal((50, 50))
    matrix = matrix + matrix.T
    found = sf.spectrum(matrix)
    np.testing.assert_allclose(found.points, np.linalg.eigvalsh(matrix), rtol=1e-12)
    assert found.provenance == "exact"
    assert found.products == 0
    assert found.failure == 0
    assert sf.spectrum(sp.csr_array(matrix)).largest == found.largest


def test_gram_keeps_small_eigenvalues():
    u, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((40, 3)))
    singular = np.array([1.0, 1e-6, 1e-10])
    found = sf.spectrum(gram(u * singular))
    np.testing.assert_allclose(found.points[::-1], singular**2, rtol=1e-4)
    assert found.smallest.lower > 0


def test_rank_deficient_is_never_negative():
    rng = np.random.default_rng(0)
    wide = sf.spectrum(gram(rng.standard_normal((5, 20))))
    assert wide.smallest == Bounds.exactly(0.0)
    low_rank = rng.standard_normal((20, 3))
    formed = sf.spectrum(low_rank @ low_rank.T)
    assert not formed.negative
    assert formed.smallest == Bounds.exactly(0.0)
    hidden = sf.spectrum(diagonal([1.0, 0.5] + [0.0] * 5000, psd=True))
    assert hidden.smallest.lower == 0
    assert not hidden.undecided


def test_complex_hermitian():
    rng = np.random.default_rng(2)
    matrix = rng.standard_normal((60, 60)) + 1j * rng.standard_normal((60, 60))
    matrix = matrix + matrix.conj().T
    truth = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(sf.spectrum(matrix).points, truth, rtol=1e-12)
    hidden = sf.spectrum(LinearMap((60, 60), matrix.__matmul__, dtype=complex))
    assert hidden.largest.contains(truth[-1])
    assert hidden.smallest.contains(truth[0])
    assert hidden.provenance == "measured"


def test_one_by_one_and_zero():
    assert sf.spectrum(diagonal([-3.0])).largest.contains(-3.0)
    zero = sf.spectrum(diagonal(np.zeros(500)))
    assert zero.largest == zero.smallest
    assert zero.largest.upper == 0
    assert zero.products == 1


def test_indefinite_and_negative_definite():
    values = np.linspace(-3, -1, 3000)
    found = sf.spectrum(diagonal(values))
    assert found.largest.contains(-1)
    assert found.smallest.contains(-3)
    assert found.negative
    assert found.largest.upper < 0


@pytest.mark.parametrize("value", [0.3, 1e-9])
def test_single_precision_products(value):
    scale = np.float32(value)
    operator = LinearMap(
        (5000, 5000),
        lambda x: (x.astype(np.float32) * scale).astype(float),
        symmetric=True,
        precision=2.0**-23,
    )
    found = sf.spectrum(operator)
    assert found.largest.contains(float(scale))
    assert found.largest.width <= 0.01 * value


def test_the_product_of_the_top_cluster_is_not_underestimated():
    # Power iteration stops 30% low on a spike over a 0.7 bulk; the certified upper end may not.
    values = np.full(4000, 0.7)
    values[0] = 1.0
    for seed in range(20):
        found = sf.spectrum(diagonal(values), which="largest", rng=seed)
        assert found.largest.contains(1.0)
        assert found.largest.width <= 0.01


def test_the_budget_is_kept_and_the_shortfall_said():
    found = sf.spectrum(LAPLACIAN, which="largest", max_products=12)
    assert found.products == 12
    assert found.largest.contains(LAPLACIAN_TOP)
    assert found.largest.width > 0.04
    assert "12 products" in found.note


def test_an_enclosure_from_the_entries_ends_it_early():
    n = 5000
    matrix = sp.diags_array([-np.ones(n - 1), 2 * np.ones(n), -np.ones(n - 1)], offsets=[-1, 0, 1])
    found = sf.spectrum(matrix, which="largest")
    assert found.products <= 10
    assert found.largest.upper == 4.0
    assert found.largest.upper_is == "proved"
    assert found.largest.failure == 0


def test_the_other_end_comes_for_free_but_claims_nothing():
    found = sf.spectrum(LAPLACIAN, which="largest")
    assert found.smallest.lower == -np.inf
    assert found.smallest.upper >= 0


@given(scale=st.floats(1e-8, 1e8), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_scale_covariance(scale, seed):
    values = outliers(500)
    reference, changed = (
        sf.spectrum(diagonal(values), rng=seed),
        sf.spectrum(diagonal(scale * values), rng=seed),
    )
    assert changed.products == reference.products
    assert changed.largest.upper == pytest.approx(scale * reference.largest.upper, rel=1e-9)


def test_same_seed_same_numbers_and_a_private_stream():
    operator = diagonal(outliers(400))
    assert sf.spectrum(operator, rng=7) == sf.spectrum(operator, rng=7)
    assert sf.spectrum(operator, rng=7) != sf.spectrum(operator, rng=8)
    # An operator whose top eigenvector is orthogonal to the seed's first draw must not escape the certificate.
    n = 300
    draw = np.random.default_rng(0).standard_normal(n)
    top = np.random.default_rng(1).standard_normal(n)
    top -= draw * (draw @ top) / (draw @ draw)
    top /= np.linalg.norm(top)
    found = sf.spectrum(LinearMap((n, n), lambda x: 0.5 * x + 0.5 * top * (top @ x), symmetric=True), rng=0)
    assert found.largest.contains(1.0)


def test_jacobians():
    rotation = sf.spectrum([[-1.0, 2.0], [-2.0, -1.0]], kind="jacobian")
    assert rotation.kind == "jacobian"
    np.testing.assert_allclose(sorted(rotation.points.imag), [-2, 2])
    assert rotation.largest == rotation.smallest == Bounds.exactly(-1.0)
    heat = sf.spectrum([[-2.0, 1.0], [1.0, -2.0]], kind="jacobian")
    assert heat.kind == "jacobian"
    hidden = sf.spectrum(LinearMap((2, 2), np.array([[-1.0, 2.0], [-2.0, -1.0]]).__matmul__), kind="jacobian")
    assert hidden.kind == "jacobian"
    assert hidden.products == 2


def test_measure_returns_orthonormal_ritz_vectors():
    values = outliers(800)
    found = measure(diagonal(values), which="largest")
    vectors = found.vectors()
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=1e-10)
    np.testing.assert_allclose(values * vectors[-1], vectors[-1], atol=0.1)


def test_enclosures_enclose():
    rng = np.random.default_rng(0)
    for _ in range(50):
        matrix = rng.standard_normal((8, 8)) * rng.uniform(0, 2, (8, 1))
        lower, upper = gershgorin(matrix)
        real = np.linalg.eigvals(matrix).real
        assert lower <= real.min()
        assert real.max() <= upper
        assert np.linalg.norm(matrix, 2) <= norm_bound(matrix) * (1 + 1e-14)
        assert norm_bound(sp.csr_array(matrix)) == pytest.approx(norm_bound(matrix))


def test_json_round_trip():
    for source, kind in (([[2.0, 1], [1, 3]], None), ([[-1.0, 2], [-2, -1]], "jacobian")):
        found = sf.spectrum(source, kind=kind)
        again = Spectrum.from_dict(json.loads(json.dumps(found.to_dict())))
        assert again == found
        np.testing.assert_array_equal(again.points, found.points)
    one_sided = sf.spectrum(LAPLACIAN, which="largest", max_products=3)
    assert Spectrum.from_dict(json.loads(json.dumps(one_sided.to_dict(), allow_nan=False))) == one_sided


def test_shift_and_scale_of_a_spectrum():
    found = sf.spectrum([[2.0, 1], [1, 3]])
    assert found.shifted(1).smallest.lower == pytest.approx(found.smallest.lower + 1)
    assert found.scaled(2).points[-1] == pytest.approx(2 * found.points[-1])
    with pytest.raises(NotFinite):
        found.shifted(np.nan)
    with pytest.raises(InvalidInput, match="positive"):
        found.scaled(-1.0)


class TestBadInput:
    def test_shape(self):
        with pytest.raises(InvalidInput, match=r"\(20, 5\).*gram"):
            sf.spectrum(np.ones((20, 5)))

    def test_said_to_be_symmetric(self):
        with pytest.raises(NotSymmetric, match="symmetrise"):
            sf.spectrum([[1.0, 2], [3, 4]], symmetric=True)
        with pytest.raises(NotSymmetric, match="symmetrise"):
            sf.spectrum([[1.0, 2], [3, 4]], kind="curvature")
        skewed = np.triu(np.random.default_rng(0).standard_normal((3000, 3000)))
        with pytest.raises(NotSymmetric, match="relative asymmetry"):
            sf.spectrum(LinearMap((3000, 3000), skewed.__matmul__, symmetric=True))

    def test_too_large_for_all_eigenvalues_and_without_adjoint(self):
        skewed = np.triu(np.ones((1500, 1500)))
        found = sf.spectrum(LinearMap((1500, 1500), skewed.__matmul__), kind="jacobian")
        assert found.points.size < 1500
        assert found.largest.upper_is == "estimate"
        assert "no bound" in found.note

    def test_not_repeatable(self):
        noise = np.random.default_rng(0)
        with pytest.raises(NotRepeatable, match="dropout"):
            sf.spectrum(LinearMap((100, 100), lambda x: x * (noise.uniform(size=100) < 0.5), symmetric=True))

    def test_not_finite(self):
        with pytest.raises(NotFinite, match="NaN or infinite"):
            sf.spectrum(LinearMap((5, 5), lambda x: x * np.nan, symmetric=True))

    @pytest.mark.parametrize(
        "arguments",
        [
            {"rtol": 0}, {"rtol": np.nan}, {"failure": 0}, {"failure": 1}, {"which": "top"}, {"max_products": 0},
            {"kind": "hessian"}, {"rng": -1},
        ],
    )  # fmt: skip
    def test_arguments(self, arguments):
        with pytest.raises(InvalidInput, match=next(iter(arguments))):
            sf.spectrum(np.eye(2), **arguments)

    def test_rng_type(self):
        with pytest.raises(InvalidType, match="float"):
            sf.spectrum(np.eye(2), rng=0.5)

    def test_bounds(self):
        with pytest.raises(InvalidInput, match="lower <= upper"):
            Bounds(2, 1)
