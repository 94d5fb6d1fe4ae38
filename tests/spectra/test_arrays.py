"""The same intervals from tensors in single precision, with a stored basis and without, as from NumPy in double."""

from itertools import pairwise

import numpy as np
import pytest

import surefoot as sf
from surefoot.errors import InvalidInput, NotRepeatable, NotSymmetric
from surefoot.operators import LinearMap, as_operator, gram, scaled, shifted
from surefoot.spectra.measured._certificate import upper_bound
from surefoot.spectra.measured.lanczos import Lanczos, random_unit

torch = pytest.importorskip("torch")

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


def diagonal(values, dtype=torch.float32, **facts):
    values = torch.as_tensor(np.asarray(values, dtype=float), dtype=dtype)
    return LinearMap((len(values), len(values)), lambda x: values * x, symmetric=True, like=values, **facts)


@pytest.mark.slow
@pytest.mark.parametrize(("failure", "max_memory"), [(0.5, 2**30), (0.1, 0)], ids=["stored", "three terms"])
@pytest.mark.parametrize("name", HARD)
def test_single_precision_misses_no_more_often_than_it_says(name, failure, max_memory):
    values = np.asarray(HARD[name], dtype=float)
    operator = diagonal(values)
    trials = 150
    misses = 0
    for seed in range(trials):
        which = ("largest", "smallest")[seed % 2]
        found = sf.spectrum(operator, rtol=0.2, failure=failure, which=which, rng=seed, max_memory=max_memory)
        misses += not getattr(found, which).contains(values.max() if which == "largest" else values.min())
    # three standard deviations of the binomial above its mean
    assert misses <= trials * failure + 3 * np.sqrt(trials * failure * (1 - failure))


@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["stored", "three terms"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_miss_past_the_loss_of_orthogonality(dtype, max_memory):
    """Eighty steps where the first eigenvalues converge after ten: T holds copies, the ends stay right."""
    bulk = 0.01 * np.abs(np.random.default_rng(1).standard_normal(390))
    values = np.concatenate([np.linspace(0.2, 1, 10), bulk])
    for seed in range(10):
        settings = {"rtol": 1e-12, "max_products": 80, "rng": seed, "max_memory": max_memory}
        found = sf.spectrum(diagonal(values, dtype), **settings)
        assert found.largest.contains(1.0)
        assert found.smallest.contains(values.min())
        # 16 rounding errors on each side and a little more; copies of what converged cost steps
        assert found.largest.width <= 1000 * torch.finfo(dtype).eps


@pytest.mark.parametrize("delta", [0.1, 1e-3, 3e-5])
@pytest.mark.parametrize("name", ["negative outliers", "both signs", "spike over a high bulk"])
def test_the_bound_holds_at_every_step_for_the_least_component(name, delta):
    """The worst start that the certificate allows, in single precision, past the appearance of copies."""
    n = 400
    values = {
        "negative outliers": [-50, -49, *np.linspace(-1, 0.9, n - 3), 1],
        "both signs": [-5, -4, -3, *np.linspace(-0.5, 0.5, n - 6), 1, 2, 3],
        "spike over a high bulk": [*[0.97] * 200, *[0] * 199, 1],
    }[name]
    start = np.random.default_rng(0).standard_normal(n)
    start[-1] = 0
    start *= np.sqrt(1 - (1.001 * delta) ** 2) / np.linalg.norm(start)
    start[-1] = 1.001 * delta
    run = Lanczos(diagonal(values), torch.as_tensor(start, dtype=torch.float32), max_memory=0)
    bounds = []
    while run.steps < 60 and not run.exhausted:
        run.advance()
        top = float(run.ritz[-1])
        bound = upper_bound(top, run.alphas, run.betas, delta, run.scale)
        bounds.append(bound + run.rounding * float(np.abs(run.ritz).max()))
    assert min(bounds) >= np.float32(max(values))
    # and it is no bound that holds for being wide
    assert name == "spike over a high bulk" or bounds[-1] <= max(values) + 0.01 * np.abs(values).max()


def test_the_sum_of_polynomials_never_shrinks():
    """More products never widen the bound above the same eigenvalue; the last polynomial alone did at copies."""
    values = np.concatenate([[-5.0, -4.0, 3.0], np.linspace(-1, 1, 397)])
    run = Lanczos(diagonal(values), random_unit(diagonal(values).space, 400, np.random.default_rng(0)), max_memory=0)
    bounds = []
    for _ in range(60):
        run.advance()
        bounds.append(upper_bound(float(run.ritz[-1]), run.alphas, run.betas, 1e-8, run.scale))
    assert all(after <= before + 1e-5 for before, after in pairwise(bounds))


def test_a_few_distinct_eigenvalues_are_no_asymmetry():
    """Small residuals magnify rounding, so that neighbours of a three-term recurrence are not orthogonal."""
    values = np.concatenate([[1.0], np.full(200, 0.97), np.zeros(199)])
    start = np.random.default_rng(0).standard_normal(400)
    start[0] *= 1e-4
    run = Lanczos(diagonal(values), torch.as_tensor(start / np.linalg.norm(start), dtype=torch.float32), max_memory=0)
    while run.steps < 40 and not run.exhausted:
        run.advance()
    assert run.ritz[-1] == pytest.approx(1, abs=0.04)


def test_three_terms_cost_few_products_more():
    n = 20_000
    values = np.linspace(0, 1, n)
    stored, without = (sf.spectrum(diagonal(values), which="largest", max_memory=m) for m in (2**32, 0))
    for found in (stored, without):
        assert found.largest.contains(1.0)
        assert found.largest.width <= 0.01
    assert without.products <= 1.25 * stored.products


def test_vectors_without_a_basis_come_from_a_second_run():
    values = np.concatenate([[3.0, 2.0], np.linspace(-1, 1, 500)])
    operator = diagonal(values)
    start = random_unit(operator.space, 502, np.random.default_rng(0))
    run = Lanczos(operator, start, max_memory=0)
    for _ in range(60):
        run.advance()
    assert not run.stored
    _, vectors = run.ritz_pairs(1)
    assert abs(float(vectors[0, 0])) == pytest.approx(1, abs=1e-3)
    with pytest.raises(InvalidInput, match="not stored"):
        run.ritz_pairs()
    # a basis that outgrows its memory is let go, and the run goes on
    grown = Lanczos(operator, start, max_memory=130 * 502 * 4)
    for _ in range(140):
        grown.advance()
    assert not grown.stored
    assert grown.ritz[-1] == pytest.approx(3, rel=1e-5)
    assert abs(float(grown.ritz_pairs(1)[1][0, 0])) == pytest.approx(1, abs=1e-3)


def test_blocks_of_a_basis_give_what_one_block_gives(monkeypatch):
    values = np.linspace(0, 1, 3000)
    whole = sf.spectrum(diagonal(values, torch.float64), which="largest")
    monkeypatch.setattr("surefoot.spectra.measured._basis.BLOCK_BYTES", 7 * 3000 * 8)
    cut = sf.spectrum(diagonal(values, torch.float64), which="largest")
    assert cut.products == whole.products
    assert cut.largest.upper == pytest.approx(whole.largest.upper, rel=1e-12)


def test_a_long_basis_in_single_precision_is_orthogonal_to_rounding():
    from surefoot.operators import Space
    from surefoot.spectra.measured._basis import Basis

    n = 2_000_000
    basis = Basis(Space.of(torch.zeros(1)), n)
    row = torch.full((n,), n**-0.5)
    basis.append(row)
    # products of 2 million positive terms: summed in one go they are off by several times 1e-4
    assert float(basis.project(row)[0]) == pytest.approx(n * float(row[0]) ** 2, rel=5e-5)


def test_only_numbers_come_to_the_host(monkeypatch):
    operator = diagonal(np.linspace(0, 1, 5000))
    sizes = []
    host = type(operator.space).host
    monkeypatch.setattr(type(operator.space), "host", lambda self, x: sizes.append(np.shape(x)) or host(self, x))
    found = sf.spectrum(operator, which="largest")
    assert all(np.prod(size) <= found.products for size in sizes)


def test_numpy_and_torch_agree():
    values = np.linspace(-1, 2, 4000)
    reference = sf.spectrum(LinearMap((4000, 4000), lambda x: values * x, symmetric=True))
    for dtype, tolerance in ((torch.float64, 0.01), (torch.float32, 0.01)):
        found = sf.spectrum(diagonal(values, dtype))
        assert found.largest.midpoint == pytest.approx(reference.largest.midpoint, rel=tolerance)
        assert found.smallest.contains(-1.0)
        assert found == sf.spectrum(diagonal(values, dtype))


def test_sparse_tensors_and_what_is_made_of_operators():
    n = 4000
    i = torch.arange(n)
    indices = torch.cat([torch.stack([i, i]), torch.stack([i[1:], i[:-1]]), torch.stack([i[:-1], i[1:]])], dim=1)
    entries = torch.cat([2 * torch.ones(n), -torch.ones(2 * n - 2)])
    laplacian = torch.sparse_coo_tensor(indices, entries, (n, n), check_invariants=True)
    found = sf.spectrum(laplacian, which="largest")
    top = 2 + 2 * np.cos(np.pi / (n + 1))
    assert found.largest.contains(top)
    assert found.products <= 100
    assert sf.spectrum(shifted(as_operator(laplacian), 1.0), which="largest").largest.contains(top + 1)
    assert sf.spectrum(scaled(as_operator(laplacian), 2.0), which="largest").largest.contains(4 * top)
    assert sf.spectrum(gram(laplacian), which="largest").largest.contains(top**2)


def test_density_trace_and_eigenpairs_stay_in_the_library():
    values = np.concatenate([[3.0, 3.0, 2.5], np.linspace(0, 1, 997)])
    operator = diagonal(values)
    found = sf.spectra.density(operator, n_vectors=6, steps=30)
    share, error = found.share(0.5)
    assert abs(share - 0.502) <= 4 * error
    total = sf.spectra.trace(operator, products=90)
    assert total.interval.lower - 3 <= values.sum() <= total.interval.upper + 3
    pairs = sf.spectra.eigenpairs(operator, 3)
    assert isinstance(pairs.vectors, torch.Tensor)
    np.testing.assert_allclose(pairs.values, [3, 3, 2.5], rtol=1e-4)
    torch.testing.assert_close(pairs.vectors.T @ pairs.vectors, torch.eye(3), rtol=0, atol=1e-5)
    assert torch.equal(pairs.vectors, sf.spectra.eigenpairs(operator, 3).vectors)


def test_complex_tensors():
    a = np.random.default_rng(0).standard_normal((3000, 6)) @ np.array([1, 1j] * 3)
    u = torch.as_tensor(a / np.linalg.norm(a), dtype=torch.complex128)
    operator = LinearMap((3000, 3000), lambda x: u * torch.vdot(u, x) + 0.1 * x, dtype=complex, symmetric=True, like=u)
    for max_memory in (2**30, 0):
        assert sf.spectrum(operator, which="largest", max_memory=max_memory).largest.contains(1.1)


def test_it_stops_when_what_is_left_is_rounding():
    values = np.linspace(0, 1, 3000)
    found = sf.spectrum(diagonal(values), which="largest", rtol=1e-6)
    assert "rounding of the products" in found.note
    assert "max_products" not in found.note
    assert found.products < 1000
    assert found.largest.contains(1.0)
    coarse = LinearMap((3000, 3000), lambda x: values * x, symmetric=True, precision=2.0**-8)
    half = sf.spectrum(coarse, which="largest")
    assert half.products <= 40
    assert "rounding of the products" in half.note
    # where rounding is no limit the budget is
    assert "allow more max_products" in sf.spectrum(diagonal(values), which="largest", max_products=5).note


@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["stored", "three terms"])
def test_what_is_wrong_with_an_operator_is_found_without_a_basis(max_memory):
    n = 3000
    skewed = torch.triu(torch.randn(n, n, generator=torch.Generator().manual_seed(0)))
    operator = LinearMap((n, n), lambda x: skewed @ x, symmetric=True, like=skewed)
    with pytest.raises(NotSymmetric, match="relative asymmetry"):
        sf.spectrum(operator, max_memory=max_memory)
    noise = torch.Generator().manual_seed(0)
    random = LinearMap(
        (n, n), lambda x: x * (torch.rand(n, generator=noise) < 0.5), symmetric=True, like=torch.zeros(1)
    )
    with pytest.raises(NotRepeatable, match="dropout"):
        sf.spectrum(random, max_memory=max_memory)


@pytest.mark.parametrize(
    "function",
    [lambda x: 3 * x + 1, lambda x: np.maximum(x, 0) + x, lambda x: x + 0.1 * x**3 * x.size, np.abs],
    ids=["a constant", "a kink", "a cube", "moduli"],
)
@pytest.mark.parametrize("n", [200, 3000])
def test_a_black_box_that_is_not_linear_is_refused(function, n):
    with pytest.raises(InvalidInput, match="not linear"):
        sf.spectrum(as_operator(function, n))


def test_an_affine_map_of_a_matrix_that_is_not_symmetric():
    from scipy.sparse.linalg import LinearOperator

    A = np.random.default_rng(0).standard_normal((400, 400))
    with pytest.raises(InvalidInput, match="not linear"):
        sf.spectrum(LinearOperator((400, 400), matvec=lambda x: A @ x + 1, dtype=float))


@pytest.mark.parametrize("unit", [1e308, 1e-300])
def test_any_unit_of_double_precision(unit):
    values = np.linspace(0.1, 1, 300)
    found = sf.spectra.measure(LinearMap((300, 300), lambda x: unit * (values * x), symmetric=True))
    assert found.spectrum.largest.contains(unit)
    assert found.spectrum.smallest.contains(0.1 * unit)
    assert found.values[-1] == pytest.approx(unit, rel=0.01)
